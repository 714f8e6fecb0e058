"""kill -9 of everything, in every state of a session (P2, P3, Q02-Q05, Q13, L05, Y11).

Afterwards no message is lost, doubled or changed, and the maildrop can be
opened at once. Only messages whose QUIT was committed may be gone.
"""
import unittest

import kit

WHO = "kills@example.org"
BIG = 6
CONF = kit.QUICK + 'cells = 1; auth_helpers = 1; drain_time = "20s"; respawn_pause = "500ms"; database_retry = "500ms";\n'


class Held:
    """A session in some state, and the row that psql may hold for it."""

    def __init__(self, pop, psql=None, marked=()):
        self.pop, self.psql, self.marked = pop, psql, set(marked)

    def let_go(self):
        if self.psql is not None:
            try:
                self.psql.ask("rollback")
            except (AssertionError, BrokenPipeError):
                pass                    # kill -9 of a backend ends them all
            self.psql.close()
            self.psql = None


class Kills(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("kills-", CONF)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.letters = [kit.letter(n) for n in range(1, BIG)] + [kit.letter(BIG, 12_000_000)]

    # -- states

    def greeted(self):
        return Held(self.site.connect())

    def user_sent(self):
        pop = self.site.connect()
        pop.ok("USER " + WHO)
        return Held(pop)

    def idle(self):
        return Held(self.site.login_soon(WHO))

    def mid_retr(self):
        pop = kit.Pop(self.site.address, rcvbuf=16384)
        pop.login(WHO)
        pop.ok(f"RETR {BIG}")
        pop.fill()
        return Held(pop)

    def marked(self):
        held = self.idle()
        held.pop.ok("DELE 1")
        held.pop.ok("DELE 3")
        held.marked = {1, 3}
        return held

    def in_commit(self):
        """The row of the mailbox is held from outside, so that the commit has to wait."""
        held = self.marked()
        held.psql = self.site.psql()
        held.psql.ask("begin")
        held.psql.ask(f"select 1 from postern.mailbox where address = '{WHO}' for update")
        held.pop.send(b"QUIT\r\n")
        waiting = "select count(*) from pg_stat_activity where usename = 'postern_mail' and wait_event_type = 'Lock'"
        self.assertTrue(kit.wait_until(lambda: self.site.sql(waiting) == "1"), "QUIT does not wait for the row")
        return held

    STATES = ["greeted", "user_sent", "idle", "mid_retr", "marked", "in_commit"]

    # -- what is true afterwards

    whole = None        # the rows of the mailbox, where the last check found all of them there and fetched each

    def fresh(self):
        before, Kills.whole = self.whole, None
        if before is None:
            self.site.account(WHO, self.letters)
            return self.site.stored(WHO)
        return before

    def check_after(self, before, held, may_commit=False, must_commit=False):
        held.let_go()
        with self.site.login_soon(WHO) as pop:
            count, octets = pop.stat()
            pop.ok("QUIT")
        after = self.site.stored(WHO)
        gone = [row for n, row in enumerate(before, 1) if n in held.marked]
        kept = [row for row in before if row not in gone]
        if must_commit:
            self.assertEqual(after, kept)
        elif may_commit:
            self.assertIn(after, (before, kept))
        else:
            self.assertEqual(after, before)
        self.assertEqual(count, len(after))
        self.assertEqual(octets, sum(int(row.split("|")[1]) for row in after))
        letters = [data for data, row in zip(self.letters, before) if row in after]
        self.assertEqual(self.site.fetched(WHO), letters)
        if after == before:
            Kills.whole = before

    def each_state(self, kill, check, states=STATES):
        for state in states:
            with self.subTest(state=state):
                before = self.fresh()
                held = getattr(self, state)()
                try:
                    kill(held)
                    check(state, held, before)
                finally:
                    held.let_go()
                    held.pop.close()

    def drain_to_end(self, pop):
        """All that still comes; a connection that is reset has ended too."""
        data = bytes(pop.buf)
        try:
            while True:
                more = pop.sock.recv(262144)
                if not more:
                    return data
                data += more
        except ConnectionResetError:
            return data

    # -- victims

    def test_worker(self):
        def kill(_):
            kit.kill(self.site.tree()[1][0])

        def check(state, held, before):
            rest = self.drain_to_end(held.pop)
            self.assertNotIn(b"+OK", rest if state != "mid_retr" else rest[-5:])
            # The commit that waited for the row goes through when it gets it, or not: nobody was told +OK.
            self.check_after(before, held, may_commit=state == "in_commit")
        self.each_state(kill, check)

    def test_helper(self):
        """Sessions go on; a login in that moment is put off, not refused."""
        def kill(_):
            kit.kill(self.site.tree()[2][0])

        def check(state, held, before):
            pop = held.pop
            if state in ("greeted", "user_sent"):
                # The name may have been forgotten, and the cell may be a new one soon.
                pop.cmd("USER " + WHO)
                self.assertRegex(pop.cmd("PASS " + kit.PASSWORD), rb"^(\+OK|-ERR \[SYS/TEMP\])")
            elif state == "mid_retr":
                self.assertEqual(kit.unstuffed(pop.body()), self.letters[BIG - 1])
            elif state == "in_commit":
                held.let_go()
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.check_after(before, held, must_commit=True)
                return
            if state in ("idle", "marked", "mid_retr"):
                self.assertEqual(kit.unstuffed(pop.multi("RETR 2")), self.letters[1])
            pop.close()
            self.check_after(before, held)
        self.each_state(kill, check)

    def test_master(self):
        """Workers see it and drain: a session may finish. A new daemon can be started at once."""
        def kill(_):
            kit.kill(self.site.tree()[0])

        def start_again():
            def started():
                try:
                    self.site.lab.daemon_start()
                    return True
                except kit.lab.LabError:
                    return False
            self.assertTrue(kit.wait_until(started), self.site.log_tail())

        def check(state, held, before):
            pop = held.pop
            if state == "mid_retr":
                self.assertEqual(kit.unstuffed(pop.body()), self.letters[BIG - 1])
            elif state == "marked":
                self.assertEqual(pop.stat()[0], len(before) - 2)
                self.assertTrue(pop.cmd("QUIT").startswith(b"+OK"))
            elif state == "in_commit":
                held.let_go()
                self.assertTrue(pop.line().startswith(b"+OK"))
            pop.close()
            start_again()
            self.check_after(before, held, must_commit=state in ("marked", "in_commit"))
        self.each_state(kill, check)

    def test_backend(self):
        """PostgreSQL answers kill -9 of a backend with a restart of all of them."""
        def kill(_):
            lanes = self.site.lane_pids()
            kit.kill(lanes[0])
            # The others are told by the postmaster, which has to see it first.
            self.assertTrue(kit.wait_until(lambda: not any(map(kit.alive, lanes))))

        def check(state, held, before):
            pop = held.pop
            if state == "mid_retr":
                rest = self.drain_to_end(pop)
                self.assertLess(len(rest), len(self.letters[BIG - 1]), "Y11: the whole message came")
                self.assertFalse(rest.endswith(b"\r\n.\r\n"), "Y11: the dot was sent")
            elif state in ("idle", "marked"):
                pop.err("RETR 2", "SYS/TEMP")
                pop.err("QUIT", "SYS/TEMP")
                self.assertTrue(pop.at_end())
            elif state == "in_commit":
                self.assertRegex(pop.line(), rb"^-ERR \[SYS/TEMP\]")
                self.assertTrue(pop.at_end())
            pop.close()
            held.let_go()
            self.site.wait_lanes()
            self.check_after(before, held)
        self.each_state(kill, check)

    def test_client(self):
        def kill(held):
            held.pop.reset()

        def check(state, held, before):
            # Q06: the QUIT line was there.
            held.let_go()
            if state == "in_commit":
                self.assertTrue(kit.wait_until(lambda: len(self.site.stored(WHO)) == len(before) - 2))
            self.check_after(before, held, must_commit=state == "in_commit")
        self.each_state(kill, check)

    def test_kicked(self):
        """Not killed, but ended at an operator's word in the same states: only a QUIT that was whole counts, and it does."""
        def kill(_):
            self.site.ctl("kick", WHO)

        def check(state, held, before):
            rest = self.drain_to_end(held.pop)
            self.assertNotIn(b"+OK", rest if state != "mid_retr" else rest[-5:])
            held.let_go()
            if state == "in_commit":
                self.assertTrue(kit.wait_until(lambda: len(self.site.stored(WHO)) == len(before) - 2))
            self.check_after(before, held, must_commit=state == "in_commit")
        self.each_state(kill, check, [state for state in self.STATES if state not in ("greeted", "user_sent")])

    def test_nothing_is_wrong_at_the_end(self):
        self.fresh()
        self.site.checked()


if __name__ == "__main__":
    unittest.main()
