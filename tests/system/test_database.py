"""The database goes away, comes back, refuses (A11-A13, A23, L10, Q02-Q04, R06, R07, Y11, Y12)."""
import unittest

import kit

WHO = "database@example.org"
CONF = kit.QUICK + 'cells = 1; database_lane_sessions = 1; database_retry = "500ms"; database_statement_timeout = "2s";\n'


class Database(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("database-", CONF)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.letters = [kit.letter(n) for n in range(1, 5)] + [kit.letter(5, 12_000_000)]

    def setUp(self):
        self.site.account(WHO, self.letters)
        self.before = self.site.stored(WHO)

    def unchanged(self):
        self.assertEqual(self.site.stored(WHO), self.before)
        self.assertEqual(self.site.fetched(WHO), self.letters)

    def restart(self, mode):
        pop = self.site.login(WHO)
        pop.ok("DELE 1")
        fresh = self.site.connect()
        fresh.ok("USER " + WHO)
        self.site.pg_restart(mode)
        # R06: never [AUTH], never silence.
        pop.err("RETR 2", "SYS/TEMP")
        self.assertEqual(pop.stat()[0], len(self.letters) - 1)
        pop.err("QUIT", "SYS/TEMP")
        self.assertTrue(pop.at_end())
        self.site.wait_lanes()
        # The same posternd, and a connection that was there before.
        reply = fresh.cmd("PASS " + kit.PASSWORD)
        self.assertRegex(reply, rb"^(\+OK|-ERR \[SYS/TEMP\])")
        fresh.close()
        self.site.login_soon(WHO).close()
        kit.wait_until(lambda: self.site.sql("select count(*) from pg_locks where locktype = 'advisory'") == "0")
        self.unchanged()

    def test_restart_fast(self):
        self.restart("fast")

    def test_restart_immediate(self):
        self.restart("immediate")

    def test_stopped_in_the_middle_of_a_message(self):
        """Y11 R06"""
        pop = kit.Pop(self.site.address, rcvbuf=16384)
        pop.login(WHO)
        pop.ok("RETR 5")
        pop.fill()
        self.site.pg_restart("immediate")
        data = bytes(pop.buf)
        while True:
            try:
                more = pop.sock.recv(262144)
            except ConnectionResetError:
                break
            if not more:
                break
            data += more
        self.assertLess(len(data), len(self.letters[4]))
        self.assertFalse(data.endswith(b"\r\n.\r\n"))
        self.site.wait_lanes()
        self.unchanged()

    def test_absent_at_login(self):
        """A11 A23 R07: the same connection can log in when it is back."""
        self.site.pg_stop("fast")
        try:
            pop = self.site.connect()
            pop.ok("USER " + WHO)
            pop.err("PASS " + kit.PASSWORD, "SYS/TEMP")
            pop.ok("USER " + WHO)
            pop.err("PASS wrong", "SYS/TEMP")
        finally:
            self.site.lab.pg_start()
        self.site.wait_lanes()

        def logged_in():
            pop.ok("USER " + WHO)
            return pop.cmd("PASS " + kit.PASSWORD).startswith(b"+OK")
        self.assertTrue(kit.wait_until(logged_in), self.site.log_tail())
        pop.ok("QUIT")
        self.unchanged()

    def test_one_lane_is_lost(self):
        """L10: who was on it can delete no more; who was not notices nothing."""
        others = [f"lane{n}@example.org" for n in range(4)]
        for who in others:
            self.site.account(who, self.letters[:2])
        pops = {who: self.site.login(who) for who in others}
        for pop in pops.values():
            pop.ok("DELE 1")
        victim = int(self.site.sql(f"""select l.pid from pg_locks l where l.locktype = 'advisory'
            and l.objid = {self.site.mailbox(others[0])} limit 1"""))
        lost = {who for who in others if self.site.sql(
            f"select pid from pg_locks where locktype = 'advisory' and objid = {self.site.mailbox(who)}") == str(victim)}
        self.assertLess(len(lost), len(others), "all sessions are on one lane")
        self.site.sql(f"select pg_terminate_backend({victim})")
        for who, pop in pops.items():
            if who in lost:
                pop.err("RETR 2", "SYS/TEMP")
                # Another session takes the maildrop: the first one must not delete from it.
                with self.site.login_soon(who) as second:
                    pop.err("QUIT", "SYS/TEMP")
                    self.assertEqual(second.stat()[0], 2)
                    second.ok("QUIT")
            else:
                self.assertEqual(pop.retr(2), self.letters[1])
                pop.ok("QUIT")
            pop.close()
            count = self.site.sql(f"select messages from postern.mailbox where address = '{who}'")
            self.assertEqual(count, "2" if who in lost else "1", who)
        self.site.wait_lanes()

    def test_one_process_of_the_database_hangs(self):
        """Who is on its lane waits until a statement may have lasted too long; the server lives, so nobody else does."""
        others = [f"lane{n}@example.org" for n in range(4)]
        for who in others:
            self.site.account(who, self.letters[:2])
        pops = {who: self.site.login(who) for who in others}
        lanes = {who: int(self.site.sql(f"select pid from pg_locks where locktype = 'advisory' and objid = {self.site.mailbox(who)}"))
                 for who in others}
        victim = lanes[others[0]]
        self.assertNotEqual(set(lanes.values()), {victim})
        before = self.site.log_text().count("on no connection")
        kit.os.kill(victim, kit.signal.SIGSTOP)
        try:
            pops[others[0]].send(b"RETR 2\r\n")
            for who, pop in pops.items():
                if lanes[who] != victim:
                    self.assertEqual(pop.retr(2), self.letters[1])
            # It is asked on another lane whether the server lives; who comes now is not put on the one that waits.
            self.assertTrue(kit.wait_until(lambda: self.site.sql(
                "select count(*) from pg_stat_activity where usename = 'postern_mail' and query = 'select 1'") == "1"))
            for _ in range(4):
                self.site.login(WHO).close()
            self.assertRegex(pops[others[0]].line(), rb"^-ERR \[SYS/TEMP\]")
        finally:
            kit.os.kill(victim, kit.signal.SIGCONT)
        for who, pop in pops.items():
            if lanes[who] != victim:
                pop.ok("QUIT")
            pop.close()
        self.assertEqual(self.site.log_text().count("on no connection"), before)
        self.site.wait_lanes()


    def test_commit_that_takes_too_long(self):
        """Q03 Q04: the statement's time is over: nothing is deleted, the lock is free at once."""
        pop = self.site.login(WHO)
        pop.ok("DELE 1")
        with self.site.psql() as psql:
            psql.ask("begin")
            psql.ask(f"select 1 from postern.mailbox where address = '{WHO}' for update")
            pop.err("QUIT", "SYS/TEMP")
            self.assertTrue(pop.at_end())
            psql.ask("rollback")
        with self.site.login(WHO) as again:
            self.assertEqual(again.stat()[0], len(self.letters))
            again.ok("QUIT")
        self.unchanged()

    def test_read_only(self):
        """Q03: mail can be read, a deletion is refused, and nobody is told otherwise."""
        self.site.sql("""create function public.no() returns trigger language plpgsql as
            $$begin raise 'cannot execute DELETE in a read-only transaction' using errcode = '25006'; end$$;
            create trigger no before delete on postern.message for each statement execute function public.no()""")
        try:
            with self.site.login_soon(WHO) as pop:
                self.assertEqual(pop.retr(1), self.letters[0])
                pop.ok("DELE 1")
                pop.err("QUIT", "SYS/TEMP")
                self.assertTrue(pop.at_end())
        finally:
            self.site.sql("drop trigger no on postern.message; drop function public.no()")
        self.site.login_soon(WHO).close()
        self.unchanged()

    def test_open_fails_after_good_credentials(self):
        """A12 A13 R07: one -ERR, not [AUTH], and no lock stays behind."""
        name = "open_maildrop(bigint, bigint, bigint, bigint, bigint, bigint, bytea)"
        self.site.sql(f"revoke execute on function postern.{name} from postern_mail")
        try:
            pop = self.site.connect()
            pop.ok("USER " + WHO)
            self.assertRegex(pop.cmd("PASS " + kit.PASSWORD), rb"^-ERR \[SYS/(TEMP|PERM)\]")
            pop.ok("CAPA")
            pop.body()
        finally:
            self.site.sql(f"grant execute on function postern.{name} to postern_mail")
        self.assertEqual(self.site.sql("select count(*) from pg_locks where locktype = 'advisory'"), "0")
        with self.site.login_soon(WHO) as again:
            again.ok("QUIT")
        pop.ok("USER " + WHO)
        pop.ok("PASS " + kit.PASSWORD)
        pop.ok("QUIT")

    def test_first_piece_cannot_be_read(self):
        """Y12: -ERR and no octet of the message; the session goes on."""
        name = "fetch_parts(bigint, bigint[], integer, integer, bytea)"
        with self.site.login(WHO) as pop:
            self.site.sql(f"revoke execute on function postern.{name} from postern_mail")
            try:
                self.assertRegex(pop.cmd("RETR 1"), rb"^-ERR \[SYS/(TEMP|PERM)\]")
                self.assertEqual(pop.stat()[0], len(self.letters))
            finally:
                self.site.sql(f"grant execute on function postern.{name} to postern_mail")
            self.assertEqual(pop.retr(1), self.letters[0])
            pop.ok("QUIT")

    def test_stored_octets_do_not_match(self):
        """P1: what LIST says and what is there differ: the reply is never closed with a dot."""
        self.site.sql(f"""update postern.content_part p set data = substr(p.data, 1, length(p.data) - 10)
            from postern.message m join postern.mailbox b using (mailbox)
            where b.address = '{WHO}' and m.uid = (select min(uid) from postern.message where mailbox = b.mailbox)
              and p.content = m.content""")
        pop = self.site.login(WHO)
        pop.send(b"RETR 1\r\n")
        data = b""
        try:
            pop.sock.settimeout(3)
            while not data.startswith(b"-ERR") or b"\r\n" not in data:
                more = pop.sock.recv(65536)
                if not more:
                    break
                data += more
        finally:
            pop.close()
        self.assertNotIn(b"\r\n.\r\n", data)


if __name__ == "__main__":
    unittest.main()
