#!/usr/bin/env python3
"""What a statement costs does not follow what is behind it: blocks are counted, and no time is taken."""
import pathlib
import statistics
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "growth"))
import kit                      # noqa: E402
import pq                       # noqa: E402
import store                    # noqa: E402
from privatepg import PrivatePG  # noqa: E402


def setUpModule():
    global pg
    pg = PrivatePG().start()


def tearDownModule():
    pg.stop()


class Base(unittest.TestCase):
    """Each class has a database of its own."""

    @classmethod
    def setUpClass(cls):
        cls.database = "db_" + cls.__name__.lower()
        pg.sql("postgres", f"create database {cls.database}")
        subprocess.run([kit.lab.build_dir() / "posternctl", "--as", f"{pg.conninfo(cls.database)} user=postgres", "schema", "init"],
                       check=True, stdout=subprocess.DEVNULL)
        cls.sql(store.TOOLS)

    @classmethod
    def sql(cls, text):
        return pg.sql(cls.database, text)

    @classmethod
    def session(cls):
        return pq.Connection(conninfo=f"{pg.conninfo(cls.database)} user=postgres")

    def blocks(self, *statements):
        """The least number of blocks in some rounds, in one session that knows them all: for each, each time a transaction."""
        rounds = 6
        asked = "".join(f"select growth.blocks($q${s}$q$);\n" for s in statements) * rounds
        done = subprocess.run(pg.psql_argv(self.database), input=asked, text=True, check=True, stdout=subprocess.PIPE)
        found = [int(line) for line in done.stdout.split()]
        return [min(found[n::len(statements)]) for n in range(len(statements))]

    def snapshot(self):
        """Held until the test ends, as a dump or a standby holds it: what is removed or replaced meanwhile stays where it is."""
        holder = subprocess.Popen(pg.psql_argv(self.database), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.stdin.close)
        holder.stdin.write("begin isolation level repeatable read; select count(*) from postern.mailbox;\n")
        holder.stdin.flush()
        holder.stdout.readline()


class HeldSnapshot(Base):
    """As long as somebody holds a snapshot, every version of a row stays, and who looks for the row passes them."""

    MANY, DELIVERIES = 3000, 1500

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sql("""
            select postern.add_tenant('free', null), postern.add_tenant('limited', 1::bigint << 40);
            select postern.add_domain('a.example', 'free', null, null), postern.add_domain('b.example', 'free', null, 1::bigint << 40, 1 << 30),
                   postern.add_domain('c.example', 'limited', null, null);
            insert into postern.mailbox (domain, address) select d.domain, n || '@' || d.name from postern.domain d, generate_series(1, 100) n""")
        cls.boxes = dict(line.split("|") for line in cls.sql("select address, mailbox from postern.mailbox").splitlines())

    def deliver_to_others(self, domain, count):
        """Than the first mailbox of the domain, each in a transaction of its own."""
        self.sql(f"""do $$ begin
            for i in 1 .. {count} loop
                perform growth.deliver(m.mailbox) from postern.mailbox m where m.address = (2 + i % 99) || '@{domain}';
                commit;
            end loop; end $$""")

    def test_deliveries(self):
        """The sums of a domain, with a quota or without."""
        for domain in ("a.example", "b.example", "c.example"):
            with self.subTest(domain):
                deliver = f"select growth.deliver({self.boxes['1@' + domain]})"
                self.snapshot()
                before, = self.blocks(deliver)
                self.deliver_to_others(domain, self.DELIVERIES)
                after, = self.blocks(deliver)
                self.assertLessEqual(after, before + 20)
        self.assertEqual(self.sql("select * from postern.find_problems()"), "")

    def grows(self, asked, done):
        """How many blocks more a statement looks at when something was done MANY times, each time in a transaction of its own."""
        self.snapshot()
        first, = self.blocks(asked)
        self.sql(f"do $$ begin for i in 1 .. {self.MANY} loop {done}; commit; end loop; end $$")
        last, = self.blocks(asked)
        return last - first

    def test_policies(self):
        """Their version, which every login and every session asks for."""
        changed = "update postern.policy_version set version = postern.next_proof(version)"
        for asked in (f"select growth.poll({self.boxes['1@a.example']}, 1)", "select * from postern.login('1@a.example', null, true)"):
            self.assertLessEqual(self.grows(asked, changed), 5)

    def test_guesses(self):
        """Of one name, however many there are."""
        self.assertLessEqual(self.grows("select postern.guessed_until('1@a.example')",
                                        "perform postern.count_failures(array['1@a.example'], 60000, 10)"), 5)
        self.assertEqual(self.sql("select round(extract(epoch from postern.guessed_until('1@a.example') - now()) / 60)"), "10")

    def test_duplicates(self):
        """What is remembered of deliveries, and forgotten a moment later; and nothing of it is left for long."""
        forget = "select postern.forget_deliveries(now(), 100)"
        self.assertLessEqual(self.grows(forget, """
            insert into postern.delivery values (decode(lpad(to_hex(i), 32, '0'), 'hex'), clock_timestamp());
            if i % 20 = 0 then perform postern.forget_deliveries(clock_timestamp(), 100); end if"""), 10)
        self.sql("do $$ begin for i in 1 .. 10 loop perform postern.forget_deliveries(now(), 100); end loop; end $$")
        self.assertEqual(self.sql("select count(*) from postern.delivery"), "0")

    def test_reclaimed(self):
        """What large deletions left behind; and what was deleted earlier and committed later."""
        deleted = """insert into postern.deleted (mailbox, uid, content, octets, received_at, deleted_at, until)
            select 1, n, 999999, 1, now(), now(), clock_timestamp() - interval '1 hour' from generate_series({}, {}) n"""
        everything = "do $$ begin while (select r.more from postern.reclaim(1000) r) loop commit; end loop; end $$"
        self.snapshot()
        self.sql(deleted.format(1, 10))
        first, = self.blocks("select postern.reclaim(1)")
        self.sql(everything)
        self.sql(deleted.format(11, 10 + self.MANY))
        self.sql(everything)
        self.sql(deleted.format(11 + self.MANY, 20 + self.MANY))
        last, = self.blocks("select postern.reclaim(1)")
        self.assertLessEqual(last - first, 20)
        self.sql("update postern.deleted set until = until - interval '1 day' where uid = (select max(uid) from postern.deleted)")
        self.sql(everything)
        self.assertEqual(self.sql("select count(*) from postern.deleted"), "0")

    def test_long_transaction(self):
        """It has begun to write before all of these, and has its own change at the end."""
        deliver = f"select growth.deliver({self.boxes['1@b.example']})"
        before, = self.blocks(deliver)
        holder = subprocess.Popen(pg.psql_argv(self.database), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.stdin.close)
        holder.stdin.write("begin; select pg_current_xact_id();\n")
        holder.stdin.flush()
        xact = holder.stdout.readline().strip()
        self.deliver_to_others("b.example", self.MANY)
        after, = self.blocks(deliver)
        self.assertLessEqual(after, before + 20)
        self.assertEqual(self.sql("select running from postern.usage where domain = 2"), "{%s}" % xact)
        holder.stdin.write(deliver + "; commit;\n")
        holder.stdin.flush()
        holder.stdout.readline()
        while self.sql("select running from postern.usage where domain = 2") != "{}":
            self.assertEqual(self.sql("select * from postern.find_problems()"), "")
            self.sql(f"do $$ begin for i in 1 .. 8 loop perform growth.deliver({self.boxes['1@b.example']}); commit; end loop; end $$")
        self.assertEqual(self.sql("select * from postern.find_problems()"), "")

    def test_sums_of_another_server(self):
        """Where a dump brings them, they speak of transactions that are far ahead here: nothing is missed, and they are made anew."""
        deliver = f"""do $$ begin
            for i in 1 .. 200 loop
                perform growth.deliver({self.boxes["100@a.example"]});
                commit;
            end loop; end $$"""
        self.sql(deliver)
        self.sql("create table dumped as table postern.usage; delete from postern.usage")
        self.sql("update dumped set below = '99999999999', folded_by = '99999999999';"
                 " insert into postern.usage select * from dumped; drop table dumped")
        self.sql("select growth.deliver(%s)" % self.boxes["100@a.example"])
        self.assertEqual(self.sql("select * from postern.find_problems()"), "")
        self.sql(deliver)
        self.assertEqual(self.sql("select * from postern.find_problems()"), "")
        self.assertEqual(self.sql("select count(*) from postern.usage u where u.domain = 1 and u.xmin = u.made_by and below < '99999999999'"), "1")


class Scattered(Base):
    """Messages that came to many mailboxes in the course of time: those of a mailbox are far from each other."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sql("""
            select postern.add_tenant('t', null);
            select postern.add_domain('a.example', 't', null, null);
            insert into postern.mailbox (domain, address, messages, octets, next_uid)
                select d.domain, n || '@a.example', 20, 60000, 21 from postern.domain d, generate_series(0, 1000) n;
            insert into postern.message (mailbox, uid, content, octets)
                select m.mailbox, n, 1, 3000 from generate_series(1, 20) n, postern.mailbox m where m.address <> '0@a.example' order by n, random();
            """)
        cls.sql("vacuum analyze postern.message")

    def test_listing(self):
        """It costs pages of the index, whether nothing is listed or twenty messages."""
        pages = int(self.sql("select count(distinct (ctid::text::point)[0]) from postern.message where mailbox = 500"))
        self.assertGreater(pages, 15)
        nothing, listed = self.blocks(*(f"select growth.poll({n})" for n in (1, 500)))
        self.assertEqual(self.sql("select growth.poll(500)"), "20")
        self.assertLessEqual(listed, nothing + 3)


class ManyMailboxes(Base):
    """Twenty times as many of them: what is for one of them costs the same but for another level of an index, and what
    is for all of them costs no more for each. `make growth` does that with larger ones, and takes the time."""

    FEW, MANY, MESSAGES = 1000, 20_000, 3

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.few = cls.measured(0, cls.FEW)
        cls.many = cls.measured(cls.FEW, cls.MANY)

    @classmethod
    def measured(cls, first, last):
        with cls.session() as s:
            store.fill(s.ask, first, last, cls.MESSAGES)
            s.ask("delete from postern.policy")
            s.ask(f"insert into postern.policy (domain, expire_delivered) select domain, 1 from postern.domain where name = '{store.LARGE}'")
            s.ask("select growth.choose(40)")
            found = {}
            for kind in ("login", "cold", "warm", "deliver"):
                costs = [int(s.ask(f"select hit + read from growth.cost('{kind}', {n})")) for n in range(1, 41)]
                found[kind] = statistics.median(costs[15:])         # the first of them make plans
            for name, asked in (("du of a domain", f"select * from postern.space('domain', '{store.small(2)}')"),
                                ("du", "select * from postern.space('all', null)"),
                                ("check", "select * from postern.find_problems()"),
                                ("expire", "select * from postern.list_expired(0, 1000000)"),
                                ("list", "select * from postern.list_mailboxes(null)")):
                found[name] = int(s.ask(f"select growth.blocks($q${asked}$q$)"))
            return found

    def test_one_mailbox(self):
        for kind, levels in (("login", 6), ("cold", 4), ("warm", 3), ("deliver", 9)):
            with self.subTest(kind):
                self.assertLessEqual(self.many[kind], self.few[kind] + levels)

    def test_a_domain(self):
        self.assertLessEqual(self.many["du of a domain"], self.few["du of a domain"] + 6 * store.SMALL)

    def test_all_mailboxes(self):
        for verb in ("du", "check", "expire", "list"):
            with self.subTest(verb):
                self.assertLessEqual(self.many[verb] / self.MANY, 1.25 * self.few[verb] / self.FEW)


if __name__ == "__main__":
    unittest.main()
