"""The accounting finds each kind of damage that is planted, names it, and finds none where there is none."""
import contextlib
import itertools
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import actors                  # noqa: E402
import check                   # noqa: E402
import deliverers              # noqa: E402
import ledger                  # noqa: E402
import letters                 # noqa: E402
import readers                 # noqa: E402
from lmtpkit import Site, kit   # noqa: E402

CONF = 'cells = 1; lmtp_spool_memory = "0";\n'


class Planted(unittest.TestCase):
    """Each test has a mailbox of its own, with letters in it that the actors brought, and some that they deleted."""

    @classmethod
    def setUpClass(cls):
        cls.site = Site("planted-", CONF, pgconf="fsync = off\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(f"first@{actors.DOMAIN}")
        # One for all tests: to start a psql for each statement took most of their time.
        cls.psql = cls.site.psql()
        cls.addClassCleanup(cls.psql.close)
        cls.numbers = itertools.count(1)

    def setUp(self):
        name = f"p{next(self.numbers)}"
        self.box = f"{name}@{actors.DOMAIN}"
        self.sql(f"select postern.add_mailbox('{self.box}', null);"
                      " insert into postern.credential (mailbox, kind, secret) select m.mailbox, 'password', c.secret"
                      f" from postern.mailbox m, (select secret from postern.credential limit 1) c where m.address = '{self.box}'")
        self.book = ledger.Ledger(self.site.dir / f"{name}.ledger")
        self.addCleanup(self.book.close)
        self.world = actors.World(self.site, self.book, [name])
        self.deliverer = deliverers.Deliverer(self.world, 1)
        with self.site.lmtp_connect() as client:
            for _ in range(6):
                self.deliver(client=client)
        self.fetched = self.session(delete=(1, 2))

    def tearDown(self):
        """Nothing is left for the next test, whatever was planted."""
        self.sql("delete from postern.message; delete from postern.content_part; delete from postern.content;"
                      "update postern.mailbox set messages = 0, octets = 0, expunges = expunges + 1;"
                      "delete from postern.usage; delete from postern.usage_change")

    # -- what actors do, one by one

    def sql(self, text):
        answer = self.psql.ask(text)
        self.assertNotIn("ERROR", answer)
        return answer

    def deliver(self, answer=True, client=None):
        """answer: False, it did not come; None: not even the end was sent, as the ledger has it."""
        token = self.world.name("t")
        data = letters.write(token, 500, self.deliverer.rng)
        self.book.note("letter", t=token, octets=len(data))
        if answer is not None:
            self.book.note("sent", **{"t": token, "try": 1, "to": [self.box]})
        with contextlib.ExitStack() as stack:
            if client is None:
                client = stack.enter_context(self.site.lmtp_connect())
            reply, = client.deliver(data, self.box)
        if answer:
            self.deliverer.answer(token, 1, self.box, reply)

    def session(self, delete=(), answer=True):
        """The UIDLs that it was shown."""
        name = self.world.name("s")
        reader = readers.Reader(self.world, 1)
        with self.site.connect() as pop:
            pop.ok("USER " + self.box)
            self.book.note("open", s=name, box=self.box)
            pop.ok("PASS " + kit.PASSWORD)
            uidls = [u.decode() for u in pop.uidl()]
            self.book.note("list", s=name, box=self.box, uidls=uidls)
            for n, uidl in enumerate(uidls, 1):
                pop.send(b"TOP %d 0\r\n" % n)
                reader.top(pop, self.box, uidl)
            for n in delete:
                pop.ok(f"DELE {n}")
            self.book.note("quit", s=name, box=self.box, uidls=[uidls[n - 1] for n in delete])
            pop.ok("QUIT")
            if answer:
                self.book.note("gone", s=name)
        return uidls

    def names(self):
        """The names of what is found, and all of it."""
        problems = check.everything(self.site, [self.box], self.book.path, patience=1)
        return {p.partition(":")[0] for p in problems}, "\n".join(problems)

    def expect(self, *names):
        """These, and nothing else."""
        got, text = self.names()
        self.assertEqual(got, set(names), text)

    def rows(self, uid):
        return f"mailbox = {self.number(self.box)} and uid = {uid}"

    def number(self, box):
        return self.sql(f"select mailbox from postern.mailbox where address = '{box}'")

    def recount(self, *boxes):
        """The sums are right, and no listing is remembered."""
        names = ", ".join(f"'{b}'" for b in boxes or (self.box,))
        self.sql(f"""update postern.mailbox b set expunges = expunges + 1, messages = s.n, octets = s.o
              from (select x.mailbox, count(g.uid) as n, coalesce(sum(g.octets), 0) as o
                      from postern.mailbox x left join postern.message g using (mailbox) group by 1) s
             where s.mailbox = b.mailbox and b.address in ({names});
            select postern.mend('usage', domain) from postern.domain""")

    def copy(self, uid, new):
        """A second message row for a content."""
        self.sql(f"""insert into postern.message (mailbox, uid, content, octets, delivered_to)
              select mailbox, {new}, content, octets, delivered_to from postern.message where {self.rows(uid)};
            update postern.content c set refs = refs + 1 from postern.message g where g.content = c.content and g.uid = {new};
            update postern.mailbox set next_uid = greatest(next_uid, {new} + 1) where address = '{self.box}'""")
        self.recount()

    def drop(self, uid):
        """As if it had never been there: all sums are right."""
        self.sql(f"""with g as (delete from postern.message where {self.rows(uid)} returning content),
                c as (delete from postern.content using g where content.content = g.content returning content.content)
            delete from postern.content_part p using c where p.content = c.content""")
        self.recount()

    # -- nothing is planted

    def test_nothing(self):
        self.expect()

    def test_answers_that_were_lost(self):
        """Either may hold, and it is one of them."""
        self.deliver(answer=False)
        self.session(delete=(1,), answer=False)
        self.session()
        self.expect()

    def test_sent_twice_where_no_answer_came(self):
        token = self.world.name("t")
        data = letters.write(token, 300, self.deliverer.rng)
        for attempt in (1, 2):
            self.book.note("sent", **{"t": token, "try": attempt, "to": [self.box]})
            with self.site.lmtp_connect() as client:
                client.deliver(data, self.box)
        self.book.note("acked", **{"t": token, "try": 2, "box": self.box})
        self.session()
        self.expect()

    def test_only_the_ledger_is_cut(self):
        """Its writer was killed in the middle of a line."""
        with open(self.book.path, "ab") as f:
            f.write(b'{"e":"wro')
        self.expect()

    # -- messages

    def test_lost(self):
        self.drop(4)
        self.expect("lost")

    def test_lost_before_anybody_saw_it(self):
        self.deliver()
        self.drop(7)
        self.expect("lost")

    def test_lost_and_the_sums_are_as_they_were(self):
        self.sql(f"delete from postern.message where {self.rows(4)}")
        got, text = self.names()
        self.assertEqual(got, {"lost", "check"}, text)
        self.assertRegex(text, r"check: .*counts 4 messages")

    def test_doubled(self):
        self.copy(4, 7)
        self.expect("doubled")

    def test_returned(self):
        """What was deleted is there again, under its own UIDL."""
        self.copy(4, 1)
        got, text = self.names()
        self.assertIn("returned", got, text)

    def test_uid_reused(self):
        """Another letter under a UIDL that was known as one."""
        self.drop(6)
        self.deliver()
        self.sql(f"update postern.message set uid = 6 where {self.rows(7)}")
        self.recount()
        got, text = self.names()
        self.assertIn("uid reused", got, text)

    def test_uid_order(self):
        """A later letter gets a lower uid than one that was acknowledged before."""
        self.sql(f"update postern.mailbox set next_uid = 50 where address = '{self.box}'")
        self.deliver()
        self.session()
        self.sql(f"update postern.mailbox set next_uid = 20 where address = '{self.box}'")
        self.deliver()
        self.sql(f"update postern.mailbox set next_uid = 51, expunges = expunges + 1 where address = '{self.box}'")
        self.expect("uid order")

    def test_uidvalidity(self):
        self.sql(f"update postern.mailbox set uidvalidity = uidvalidity + 1, expunges = expunges + 1 where address = '{self.box}'")
        got, text = self.names()
        self.assertIn("lost", got, text)

    def test_unknown(self):
        """A letter that was never sent to its end."""
        self.deliver(answer=None)
        self.expect("unknown")

    def test_not_a_letter(self):
        with self.site.lmtp_connect() as client:
            client.deliver(b"Subject: who am I?\r\n\r\n", self.box)
        self.expect("changed")

    def test_changed(self):
        self.sql(f"""update postern.content_part p set data = set_byte(data, length(data) - 5, 33) from postern.message
            where {self.rows(4)} and p.content = message.content""")
        self.expect("changed", "check")

    def test_cut(self):
        """Postern sees it and does not send it."""
        self.sql(f"""update postern.content_part p set data = substr(data, 1, length(data) - 10) from postern.message
            where {self.rows(4)} and p.content = message.content""")
        self.expect("lost", "check")

    def test_in_the_wrong_mailbox(self):
        other = f"first@{actors.DOMAIN}"
        self.sql(f"update postern.message set mailbox = {self.number(other)} where {self.rows(4)}")
        self.sql(f"update postern.mailbox set next_uid = 5 where address = '{other}'")
        self.recount(self.box, other)
        self.assertIn("unknown", {p.partition(":")[0] for p in check.read_all(self.site, [self.box, other], self.book.path)})
        self.expect("lost")

    def test_half_a_deletion(self):
        self.book.note("open", s="late", box=self.box)
        self.book.note("list", s="late", box=self.box, uidls=self.fetched[2:])
        self.book.note("quit", s="late", box=self.box, uidls=self.fetched[2:5])
        self.drop(3)
        self.expect("half a deletion")

    def test_deletion_behind_the_back_of_another_session(self):
        for name in ("slow", "next"):
            self.book.note("open", s=name, box=self.box)
            self.book.note("list", s=name, box=self.box, uidls=self.fetched[2:])
        self.book.note("quit", s="slow", box=self.box, uidls=self.fetched[2:3])
        self.book.note("gone", s="slow")
        self.drop(3)
        self.expect("fence")

    def test_acknowledged_deletion_that_did_not_happen(self):
        self.book.note("open", s="late", box=self.box)
        self.book.note("list", s="late", box=self.box, uidls=self.fetched[2:])
        self.book.note("quit", s="late", box=self.box, uidls=self.fetched[2:4])
        self.book.note("gone", s="late")
        self.expect("returned")

    def test_sessions_saw_it_go_and_come(self):
        """At the end all is right; in between a letter was not shown."""
        self.book.note("open", s="blind", box=self.box)
        self.book.note("list", s="blind", box=self.box, uidls=self.fetched[3:])
        self.expect("lost")

    def test_what_actors_saw(self):
        self.book.note("wrong", what="planted")
        self.expect("wrong")

    # -- sums, references, locks, files

    def test_counters(self):
        self.sql(f"update postern.mailbox set octets = octets + 1 where address = '{self.box}'")
        got, text = self.names()
        self.assertIn("check", got, text)

    def test_usage(self):
        self.sql("select postern.add_usage(domain, 1, 0) from postern.domain")
        self.expect("check")

    def test_quota(self):
        self.sql(f"update postern.mailbox set quota = 10 where address = '{self.box}'")
        self.addCleanup(self.sql, f"update postern.mailbox set quota = null where address = '{self.box}'")
        self.expect("quota")

    def test_orphan_content(self):
        self.sql("insert into postern.content (refs, octets, digest) values (1, 0, decode(repeat('00', 32), 'hex'))")
        got, text = self.names()
        self.assertRegex(text, "check: .*no message refers to")

    def test_references(self):
        self.sql("update postern.content set refs = refs + 1")
        self.expect("check")

    def test_a_lock_is_held(self):
        key = f"postern.lock_key({self.number(self.box)})"
        self.sql(f"select pg_advisory_lock({key})")
        got, text = self.names()
        self.sql(f"select pg_advisory_unlock({key})")
        self.assertEqual(got, {"lock"}, text)
        self.assertRegex(text, "cannot be opened: .*IN-USE")

    def test_a_session_is_left(self):
        with self.site.login(self.box):
            got, text = self.names()
        self.assertEqual(got, {"lock"}, text)

    def test_spool_file(self):
        left = self.site.lab.spool / "spool.x"
        left.touch()
        self.addCleanup(os.unlink, left)
        self.expect("spool")

    def test_spool_file_without_a_name(self):
        with self.site.lmtp_connect() as client:
            client.mail(self.box)
            client.expect("354", "DATA", plain=True)
            client.send(kit.letter(1, 300_000))
            self.assertTrue(kit.wait_until(lambda: check.leftovers(self.site), 10))
            self.expect("spool")


class Crashes(unittest.TestCase):
    def test_each(self):
        line = "2026-01-01T00:00:00.000Z posternd[1]: worker 1 (pid 2) "
        for end, memory, found in (("was killed by signal 9 (Killed)", "", False), ("was killed by signal 11 (Segmentation fault)", "", True),
                                   ("was killed by signal 31 (Bad system call)", "out of memory\n", True),
                                   ("was killed by signal 6 (Aborted)", "", True), ("was killed by signal 6 (Aborted)", "out of memory\n", False),
                                   ("exited with status 0", "", False), ("exited with status 1", "", True)):
            self.assertEqual(bool(check.crashes(memory + line + end + "\n")), found, end)
        self.assertTrue(check.crashes("assertion failed at x.c:1: n > 0\n"))


if __name__ == "__main__":
    unittest.main()
