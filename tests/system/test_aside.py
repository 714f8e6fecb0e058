"""Sessions that rest: their locks are moved to a connection of their own, and nobody notices (P2, P3, P7, L10)."""
import threading
import unittest

import kit

SESSIONS = 80
HELD = "select pid from postern.held_maildrops() where address like 'rest%'"


class Aside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("aside-", kit.QUICK + "cells = 1;\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.letters = [kit.letter(n) for n in range(1, 4)]
        cls.names = [f"rest{n}@example.org" for n in range(SESSIONS)]
        # The password of one will do for all: its hash takes its time.
        cls.site.account(cls.names[0])
        cls.site.sql(f"""
            insert into postern.mailbox (domain, address)
                select domain, 'rest' || n || '@example.org' from postern.domain, generate_series(1, {SESSIONS - 1}) n where name = 'example.org';
            insert into postern.credential (mailbox, kind, secret)
                select m.mailbox, c.kind, c.secret from postern.mailbox m, postern.credential c where m.mailbox <> c.mailbox""")

    def setUp(self):
        for name in self.names[:4]:
            self.site.fill(name, self.letters)

    def logged_in(self):
        lanes = self.site.lane_pids()
        pops = [self.site.login(name) for name in self.names]
        for pop in pops:
            self.addCleanup(pop.close)
        return lanes, pops

    def moved(self, lanes):
        """All but some are held by one other connection, and each by one; its process."""
        def over():
            holders = self.site.sql(HELD).split()
            return len(holders) == SESSIONS and sum(int(pid) in lanes for pid in holders) <= 32
        self.assertTrue(kit.wait_until(over), self.site.sql(HELD))
        aside = {int(pid) for pid in self.site.sql(HELD).split()} - set(lanes)
        self.assertEqual(len(aside), 1)
        return aside.pop()

    def aside(self, pid):
        """Of the first four those that were moved."""
        there = self.site.sql(f"select address from postern.held_maildrops() where pid = {pid}").split()
        return [n for n, name in enumerate(self.names[:4]) if name in there]

    @staticmethod
    def answer(address, name):
        with kit.Pop(address) as pop:
            pop.ok("USER " + name)
            return pop.cmd("PASS " + kit.PASSWORD).split()[1]

    def refused(self, address, name):
        with kit.Pop(address) as pop:
            pop.ok("USER " + name)
            pop.err("PASS " + kit.PASSWORD, "IN-USE")

    def test_moved_and_lost(self):
        second = self.site.second().start("--foreground")
        self.addCleanup(second.stop)
        others, over = [self.site.address, second.address], threading.Event()
        strange = []

        def try_to_get_in():
            """While they are moved, and afterwards."""
            while not over.is_set():
                for n, address in enumerate(others * 2):
                    with kit.Pop(address) as pop:
                        pop.ok("USER " + self.names[n])
                        strange.append(pop.cmd("PASS " + kit.PASSWORD))
        lanes, pops = self.logged_in()
        stranger = threading.Thread(target=try_to_get_in)
        stranger.start()
        try:
            aside = self.moved(lanes)
        finally:
            over.set()
            stranger.join()
        self.assertEqual({reply.split()[1] for reply in strange}, {b"[IN-USE]"})
        shown = self.site.ctl("sessions").stdout.decode()
        self.assertEqual(shown.count("127.0.0.1:"), SESSIONS)

        # They read, delete and quit as before.
        first, *rest = self.aside(aside)
        self.assertEqual(pops[first].retr(2), self.letters[1])
        pops[first].ok("DELE 2")
        pops[first].ok("QUIT")
        self.assertEqual(self.site.fetched(self.names[first]), [self.letters[0], self.letters[2]])

        # Without the connection there is no lock, and without the lock no deletion.
        doomed = rest[0]
        pops[doomed].ok("DELE 1")
        kit.kill(aside)
        with self.site.login_soon(self.names[doomed]) as pop:
            self.assertEqual(pop.stat()[0], 3)
            pops[doomed].err("QUIT", "SYS/TEMP")
            # PostgreSQL began anew for that kill: the other daemon may still be on its way back.
            self.assertTrue(kit.wait_until(lambda: self.answer(second.address, self.names[doomed]) != b"[SYS/TEMP]"))
            self.refused(second.address, self.names[doomed])
            self.assertEqual(pop.stat()[0], 3)
            pop.ok("QUIT")
        self.site.checked()

    def test_away_with_the_worker(self):
        """L05: its locks go with it, those aside too."""
        lanes, _ = self.logged_in()
        self.moved(lanes)
        for pid in self.site.tree()[1]:
            kit.kill(pid)
        for name in self.names[:4]:
            with self.site.login_soon(name) as pop:
                pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: self.site.sql(HELD) == ""))


if __name__ == "__main__":
    unittest.main()
