"""Somebody who has taken a worker over plays by SQL, in the roles of the processes, on the maildrops of those who did not log in there.

What each role may execute is in test_posternctl.py; here is what comes of it.
"""
import getpass
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit                                                              # noqa: E402
import wire                                                             # noqa: E402

ANNA, BERT = "anna@one.example", "bert@two.example"
TWO_MINUTES = 120000


class Role(kit.Psql):
    """A connection of its own that has this role and can have no other, as pg_hba.conf gives it to a process."""

    def __init__(self, site, role):
        super().__init__(site.lab)
        self.proc.stdin.write("\\set VERBOSITY sqlstate\n")
        self.ask(f"set session authorization {role}")
        self.pid = self.ask("select pg_backend_pid()")

    def refused(self, sql, state):
        found = self.ask(sql)
        if f"ERROR:  {state}" not in found:
            raise AssertionError(f"{sql}\nwas to be refused with {state}, and gave\n{found}")


class Attack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("tickets-", lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.prepare()
        for who in (ANNA, BERT):
            cls.site.account(who, [kit.letter(n) for n in range(3)])
        cls.anna, cls.bert = cls.site.mailbox(ANNA), cls.site.mailbox(BERT)

    @classmethod
    def prepare(cls):
        pass

    def setUp(self):
        self.mail = self.role("postern_mail")
        self.addCleanup(self.nothing_lost)

    def role(self, name):
        role = Role(self.site, name)
        self.addCleanup(role.close)
        return role

    def nothing_lost(self):
        for who in (ANNA, BERT):
            self.assertEqual(len(self.site.fetched(who)), 3)

    def ticket(self, mailbox, pid, life=TWO_MINUTES, key="desc", kind=1, proof=0, version=0):
        """As a helper makes it."""
        return self.site.sql(f"""with t as (select '\\x{kind:02}'::bytea || int8send({mailbox}) || int8send({proof}) || int8send({version}) || int4send({pid})
                || int8send(postern.now_ms() + {life}) as text)
            select t.text || postern.signed(k, t.text) from t, postern.ticket_key k order by k.key {key} limit 1""")

    def open(self, ticket, mailbox=None, proof="null", version="null"):
        given = "null" if ticket is None else f"'{ticket}'"
        return f"select outcome from postern.open_maildrop({mailbox or self.anna}, null, null, null, {proof}, {version}, {given})"

    def opens(self, role, mailbox, **how):
        ticket = self.ticket(mailbox, role.pid, **how)
        self.assertEqual(role.ask(self.open(ticket, mailbox)), "0")
        return ticket

    def close(self, role, mailbox):
        self.assertEqual(role.ask(f"select postern.close_maildrop({mailbox})"), "t")

    # ------------------------------------------------------------- opening

    def test_open(self):
        good = self.ticket(self.anna, self.mail.pid)
        broken = good[:-1] + ("0" if good[-1] != "0" else "1")
        other = self.role("postern_mail")
        for ticket in (None, r"\x", r"\x01", good[:-2], good + "00", broken, r"\x" + "00" * 69,
                       self.ticket(self.bert, self.mail.pid), self.ticket(self.anna, other.pid), self.ticket(self.anna, self.mail.pid, life=-1),
                       self.ticket(self.anna, self.mail.pid, kind=3), self.ticket(self.anna, self.mail.pid, proof=5, version=6)):
            self.mail.refused(self.open(ticket), "PN401")
        # Not another login's proof, nor a cached one's ticket as that of one who showed the secrets.
        self.mail.refused(self.open(good, proof="5", version="6"), "PN401")
        # A good one opens on the connection that it is for, and on no other.
        other.refused(self.open(good), "PN401")
        self.assertEqual(self.mail.ask(self.open(good)), "0")
        other.refused(self.open(good), "PN401")
        self.close(self.mail, self.anna)
        self.assertEqual(self.site.sql("select count(*) from pg_locks where locktype = 'advisory'"), "0")

    def test_no_key(self):
        """Workers cannot make any, nor those who deliver; the helper cannot open anything."""
        for name in ("postern_mail", "postern_lmtp"):
            role = self.role(name)
            role.refused("select secret from postern.newest_ticket_key()", "42501")
            role.refused("select * from postern.ticket_key", "42501")
            role.refused("select postern.new_ticket_key()", "42501")
        self.role("postern_lmtp").refused(self.open(self.ticket(self.anna, 1)), "42501")
        auth = self.role("postern_auth")
        auth.refused(self.open(self.ticket(self.anna, auth.pid)), "42501")
        auth.refused(f"select * from postern.fetch_parts({self.anna}, '{{1}}', 0, 1, null)", "42501")

    # ------------------------------------------------------------- what the lock is good for

    def test_nothing_without_the_lock(self):
        other = self.role("postern_mail")
        anna = self.opens(other, self.anna)
        bert = self.opens(self.mail, self.bert)
        for ticket in (anna, bert, self.ticket(self.anna, self.mail.pid)):
            for ask in ("* from postern.fetch_parts({0}, '{{1}}', 0, 1, '{1}')", "* from postern.fetch_headers({0}, '{{1}}', '{1}')",
                        "* from postern.expunge({0}, '{{1,2,3}}', 'a', 'b', 1, '{{}}', 0, '{1}')"):
                self.mail.refused("select " + ask.format(self.anna, ticket), "PN423")
        self.assertEqual(self.mail.ask(f"select postern.close_maildrop({self.anna})").splitlines()[-1], "f")
        # Who has it reads, and its owner's mail only.
        self.assertEqual(other.ask(f"select count(*) > 0 from postern.fetch_parts({self.anna}, '{{1}}', 0, 9, '{anna}')"), "t")
        self.close(other, self.anna)
        other.refused(f"select * from postern.fetch_parts({self.anna}, '{{1}}', 0, 1, '{anna}')", "PN423")
        self.close(self.mail, self.bert)

    def test_no_lock_but_by_functions(self):
        for name in ("postern_mail", "postern_lmtp", "postern_auth"):
            role = self.role(name)
            for f in ("pg_advisory_lock", "pg_try_advisory_lock", "pg_advisory_xact_lock", "pg_try_advisory_xact_lock_shared"):
                role.refused(f"select {f}(postern.lock_key({self.anna}))" if name == "postern_mail" else f"select {f}(1)", "42501")
            role.refused("select pg_advisory_unlock_all()", "42501")
        self.assertIn("nobody but", self.site.ctl("schema", "status").stdout.decode())

    def test_moves(self):
        """A lock goes to the connection that its holder names, and to no other; none becomes exclusive that was not there."""
        other, third = self.role("postern_mail"), self.role("postern_mail")
        anna = self.opens(self.mail, self.anna)
        step = "select failed from postern.move_locks({0}, '{{{1}}}', {2}, {3}, {4})"
        far = "(extract(epoch from now()) * 1000)::bigint + 60000"
        # To join without a pass, and with the ticket's octets as one.
        other.refused(step.format(2, self.anna, "null", far, "null"), "PN401")
        other.refused(step.format(2, self.anna, "null", far, "sha256('x')"), "PN401")
        # To share, leave or own what one does not hold.
        for n in (1, 3, 4):
            self.assertEqual(other.ask(step.format(n, self.bert, other.pid, "null", "null")).splitlines()[-1], "1")
            self.assertEqual(other.ask(step.format(n, self.anna, other.pid, "null", "null")).splitlines()[-1], "1")
        other.refused(f"select * from postern.fetch_parts({self.anna}, '{{1}}', 0, 1, null)", "PN423")
        # No pass where nothing was held.
        self.assertEqual(other.ask(f"select pass is null from postern.move_locks(1, '{{{self.bert}}}', {other.pid}, null, null)").splitlines()[-1], "t")
        failed, until, made = self.mail.ask(f"select failed, until, pass from postern.move_locks(1, '{{{self.anna}}}', {other.pid}, null, null)").split("|")
        self.assertEqual(failed, "0")
        third.refused(step.format(2, self.anna, "null", until, f"'{made}'"), "PN401")
        other.refused(step.format(2, self.bert, "null", until, f"'{made}'"), "PN401")
        other.refused(step.format(2, self.anna, "null", int(until) + 1, f"'{made}'"), "PN401")
        self.assertEqual(other.ask(step.format(2, self.anna, "null", until, f"'{made}'")), "0")
        # A shared lock reads nothing.
        other.refused(f"select * from postern.fetch_parts({self.anna}, '{{1}}', 0, 1, null)", "PN423")
        self.assertEqual(self.mail.ask(step.format(3, self.anna, "null", "null", "null")), "0")
        self.assertEqual(other.ask(step.format(4, self.anna, "null", "null", "null")), "0")
        self.assertEqual(other.ask(f"select count(*) > 0 from postern.fetch_parts({self.anna}, '{{1}}', 0, 9, '{anna}')"), "t")
        self.close(other, self.anna)

    # ------------------------------------------------------------- what is said of others

    def test_takeover_and_history(self):
        # Nobody logs in to it: what is noted is what is noted here.
        self.site.fill("carl@one.example", [kit.letter(1)])
        carl = self.site.mailbox("carl@one.example")
        self.mail.refused(f"select postern.ask_release({carl}, 'postern_reply_0123456789abcdef', 'a', null)", "PN401")
        self.mail.refused(f"select postern.ask_release({carl}, 'postern_reply_0123456789abcdef', 'a', '{self.ticket(self.bert, self.mail.pid)}')", "PN401")
        self.mail.refused(f"select postern.ask_release({carl}, 'postern_reply_0123456789abcdef', 'a', '{self.ticket(carl, self.mail.pid, life=-1)}')", "PN401")
        self.mail.ask(f"select postern.ask_release({carl}, 'postern_reply_0123456789abcdef', 'a', '{self.ticket(carl, self.mail.pid)}')")

        def note(mailbox, session, ticket, opened=0, closed=1000):
            return self.mail.ask(f"select postern.note_sessions(1000, '{{{mailbox}}}', '{{{session}}}', '{{x}}', '{{{opened}}}', '{{{closed}}}', '{{5}}', '{{1}}',"
                                 f" '{{1}}', array['{ticket}'::bytea])")

        def noted(session):
            return self.site.sql(f"select count(*) from postern.history where session = '{session}' and at <= now() and since <= now()")

        self.site.sql(f"insert into postern.policy (mailbox, expire_retrieved) values ({carl}, 5) on conflict do nothing")
        self.addCleanup(self.site.sql, f"delete from postern.policy where mailbox = {carl}")
        note(carl, "forged", self.ticket(self.bert, self.mail.pid))
        note(carl, "broken", self.ticket(carl, self.mail.pid)[:-2] + "00")
        self.assertEqual((noted("forged"), noted("broken")), ("0", "0"))
        self.assertEqual(self.site.sql(f"select count(*) from postern.message where mailbox = {carl} and retrieved_at is not null"), "0")
        # Long before its ticket, or far ahead: it is put where it can have been.
        note(carl, "future", self.ticket(carl, self.mail.pid), closed=10**12)
        note(carl, "past", self.ticket(carl, self.mail.pid), opened=-10**10, closed=-10**9)
        self.assertEqual((noted("future"), noted("past")), ("1", "1"))
        self.assertEqual(self.site.sql("select count(*) from postern.history where session in ('future', 'past') and since < now() - interval '5 minutes'"), "0")
        self.assertEqual(self.site.sql(f"select count(*) from postern.message where mailbox = {carl} and retrieved_at > now()"), "0")

    # ------------------------------------------------------------- keys

    def test_new_key(self):
        """The key before the newest still opens, once; posternd goes on either way."""
        old = self.ticket(self.anna, self.mail.pid)
        self.site.ctl("secrets", "new-ticket-key", "--as", f"user={self.site.sql('select current_user')}")
        self.assertEqual(self.site.sql("select count(*) from postern.ticket_key"), "2")
        self.assertEqual(self.mail.ask(self.open(old)), "0")
        self.close(self.mail, self.anna)
        self.site.fetched(ANNA)
        self.opens(self.mail, self.anna)
        self.close(self.mail, self.anna)
        self.site.sql("select postern.new_ticket_key()")
        self.mail.refused(self.open(old), "PN401")
        # The helpers look again with a new connection at the latest, or within a minute; what they have until then opens nothing.
        self.site.sql("select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = 'postern_auth'")
        self.site.login_soon(ANNA, 90).close()


class Managed(Attack):
    """The same where nobody is superuser (a managed PostgreSQL): the schema belongs to a role that may make roles, and
    PostgreSQL's functions for advisory locks are everybody's."""

    @classmethod
    def prepare(cls):
        place = cls.site.lab
        place.daemon_stop()
        ident = place.data / "pg_ident.conf"
        ident.write_text(ident.read_text() + "".join(f"postern {user} plain_owner\n" for user in ("root", getpass.getuser())))
        place.sql(f"drop database {kit.lab.DATABASE} with (force)", "postgres")
        place.sql("create role plain_owner login createrole", "postgres")
        place.sql(f"create database {kit.lab.DATABASE} owner plain_owner", "postgres")
        place.sql("select pg_reload_conf()", "postgres")
        done = cls.site.ctl("schema", "init", "--as", "user=plain_owner").stdout.decode()
        assert "everybody may execute" in done, done
        place.daemon_start()

    def test_no_lock_but_by_functions(self):
        """Who can connect can take a lock, and keep its owner out with it, but neither read nor delete."""
        self.assertEqual(self.site.sql("select postern.locks_are_ours(), pg_get_userbyid(nspowner), rolsuper from pg_namespace"
                                       " join pg_roles r on r.oid = nspowner where nspname = 'postern'"), "f|plain_owner|f")
        self.assertIn("tickets only", self.site.ctl("schema", "status").stdout.decode())
        self.assertIn("tickets only", self.site.ctl("check", "--quick").stdout.decode())
        bert = self.ticket(self.bert, self.mail.pid)
        for take, give in (("lock", "unlock"), ("lock_shared", "unlock_shared")):
            self.mail.ask(f"select pg_advisory_{take}(k), pg_advisory_{take}(k) from postern.lock_key({self.anna}) k")
            for ticket in ("null", f"'{bert}'", f"'{self.ticket(self.anna, self.mail.pid, kind=3)}'"):
                self.mail.refused(f"select * from postern.fetch_parts({self.anna}, '{{1}}', 0, 1, {ticket})", "PN423")
                self.mail.refused(f"select * from postern.fetch_headers({self.anna}, '{{1}}', {ticket})", "PN423")
                self.mail.refused(f"select * from postern.expunge({self.anna}, '{{1}}', 'a', 'b', 1, '{{}}', 0, {ticket})", "PN423")
            self.mail.ask(f"select pg_advisory_{give}(k), pg_advisory_{give}(k) from postern.lock_key({self.anna}) k")

    def test_whole_sessions(self):
        """All that owners do: log in, read, delete; mail is delivered; what is stored is sound."""
        who = "dora@one.example"
        self.site.account(who, [kit.letter(1), kit.letter(2)])
        with wire.Lmtp(f"127.0.0.1:{self.site.lmtp}") as lmtp:
            reply, = lmtp.deliver(kit.letter(3), who)
            self.assertTrue(reply.startswith(b"250 "), reply)
        with self.site.login(who) as pop:
            self.assertEqual(pop.stat()[0], 3)
            self.assertEqual(pop.retr(1), kit.letter(1))
            pop.multi("TOP 2 0")
            pop.ok("DELE 1")
            with self.site.connect() as second:
                second.ok("USER " + who)
                second.err("PASS " + kit.PASSWORD, "IN-USE")
            pop.ok("QUIT")
        with self.site.login(who) as pop:
            self.assertEqual(pop.stat()[0], 2)
            pop.ok("DELE 2")        # and leaves
        with self.site.login_soon(who) as pop:
            pop.ok("QUIT")
        found = self.site.fetched(who)
        self.assertEqual((len(found), found[0]), (2, kit.letter(2)))
        self.assertTrue(found[1].endswith(kit.letter(3)))
        self.site.checked()

    def test_of_a_superuser_later(self):
        """Who gets one hardens the database: then it is as anywhere else."""
        self.addCleanup(self.site.sql, "grant execute on function pg_advisory_lock(bigint), pg_try_advisory_lock(bigint),"
                        " pg_advisory_unlock(bigint), pg_advisory_lock_shared(bigint), pg_advisory_unlock_shared(bigint) to public;"
                        " set session authorization plain_owner; select postern.protect()")
        self.assertEqual(self.site.sql("select postern.protect()"), "t")
        self.mail.refused(f"select pg_advisory_lock(postern.lock_key({self.anna}))", "42501")
        self.assertIn("nobody but", self.site.ctl("schema", "status").stdout.decode())
        self.nothing_lost()


if __name__ == "__main__":
    unittest.main()
