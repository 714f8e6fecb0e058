"""Who holds a maildrop, who else wants it, what comes in meanwhile (L01-L08, P3, Q16, Q17, X07, X08, N08)."""
import signal
import socket
import threading
import unittest

import kit

WHO = "sharing@example.org"


class Sharing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("sharing-", kit.QUICK + "cells = 2;\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.letters = [kit.letter(n) for n in range(1, 6)]

    def setUp(self):
        self.site.account(WHO, self.letters)

    def refused(self, address):
        with kit.Pop(address) as pop:
            pop.ok("USER " + WHO)
            pop.err("PASS wrong", "AUTH")               # L02
            pop.ok("USER " + WHO)
            pop.err("PASS " + kit.PASSWORD, "IN-USE")   # L01
            pop.ok("QUIT")

    def test_two_daemons(self):
        second = self.site.second().start("--foreground")
        self.addCleanup(second.stop)
        with self.site.login(WHO) as pop:
            self.refused(second.address)
            for _ in range(8):                          # whichever worker it is
                self.refused(self.site.address)
            pop.ok("DELE 2")
            pop.ok("QUIT")
        with kit.Pop(second.address) as pop:
            pop.login(WHO)
            self.assertEqual(pop.stat()[0], 4)
            self.refused(self.site.address)
            # L05: that host dies.
            kit.lab.signal_all(second.pids(), signal.SIGKILL)
        with self.site.login_soon(WHO) as pop:
            self.assertEqual(pop.stat()[0], 4)
            pop.ok("QUIT")

    def test_login_right_after_quit(self):
        """Q17: who has seen the reply to QUIT finds the maildrop free, on any worker."""
        for n in range(300):
            with self.site.connect() as pop:
                pop.ok("USER " + WHO)
                reply = pop.cmd("PASS " + kit.PASSWORD)
                self.assertTrue(reply.startswith(b"+OK"), f"login {n}: {reply}")
                pop.ok("QUIT")

    def test_only_one_wins(self):
        """P3: twenty at once; exactly one gets it."""
        for _ in range(5):
            pops = [self.site.connect() for _ in range(20)]
            for pop in pops:
                pop.ok("USER " + WHO)
            replies = [None] * len(pops)

            def enter(n):
                replies[n] = pops[n].cmd("PASS " + kit.PASSWORD)
            threads = [threading.Thread(target=enter, args=(n,)) for n in range(len(pops))]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            won = [r for r in replies if r.startswith(b"+OK")]
            self.assertEqual(len(won), 1, replies)
            self.assertTrue(all(r.startswith(b"-ERR [IN-USE]") for r in replies if r not in won), replies)
            pops[[r.startswith(b"+OK") for r in replies].index(True)].ok("QUIT")
            for pop in pops:
                pop.close()

    def test_delivery_is_not_blocked(self):
        """L08 X07 Q16 U05"""
        with self.site.login(WHO) as pop:
            uids = pop.uidl()
            pop.ok("DELE 1")
            self.site.deliver(WHO, [kit.letter(77), kit.letter(78)])
            self.assertEqual(pop.stat()[0], 4)
            pop.err("LIST 6")
            self.assertEqual(len(pop.multi("UIDL")), 4)
            for n in range(2, 6):
                pop.ok(f"DELE {n}")
            pop.ok("QUIT")
        with self.site.login(WHO) as pop:
            self.assertEqual(pop.stat()[0], 2)
            self.assertEqual(pop.retr(1), kit.letter(77))
            self.assertFalse(set(uids) & set(pop.uidl()))
            pop.ok("QUIT")
        self.site.checked()

    def test_uidl_is_for_ever(self):
        """U04 U06 U09: after sessions with and without QUIT, deletions, a restart of posternd."""
        with self.site.login(WHO) as pop:
            first = pop.uidl()
            pop.ok("DELE 3")
        with self.site.login_soon(WHO) as pop:
            self.assertEqual(pop.uidl(), first)
            pop.ok("DELE 3")
            pop.ok("QUIT")
        rest = first[:2] + first[3:]
        self.site.lab.daemon_stop()
        self.site.lab.daemon_start()
        with self.site.login_soon(WHO) as pop:
            self.assertEqual(pop.uidl(), rest)
            pop.ok("QUIT")

    def test_operator_removes_in_mid_session(self):
        """X08: RETR says so, the numbers stay, QUIT succeeds."""
        with self.site.login(WHO) as pop:
            self.site.ctl("message", "remove", WHO, self.site.uid(WHO, 2))
            self.assertEqual(pop.stat()[0], 5)
            self.assertEqual(pop.retr(1), self.letters[0])
            pop.err("RETR 2")
            pop.err("TOP 2 0")
            self.assertEqual(pop.retr(3), self.letters[2])
            pop.ok("DELE 2")
            pop.ok("DELE 3")
            pop.ok("QUIT")
        self.assertEqual(self.site.fetched(WHO), [self.letters[0], self.letters[3], self.letters[4]])
        self.site.checked()

    def test_listing_that_is_kept(self):
        """A worker that remembers a listing must see what others did in between."""
        with self.site.login(WHO) as pop:
            pop.ok("QUIT")
        self.site.ctl("message", "remove", WHO, self.site.uid(WHO, 4))
        self.site.deliver(WHO, [kit.letter(80)])
        want = self.letters[:3] + self.letters[4:] + [kit.letter(80)]
        for _ in range(4):
            self.assertEqual(self.site.fetched(WHO), want)

    def test_lock_comes_first(self):
        """L04: who has read +OK holds it."""
        lock = f"select count(*) from pg_locks where locktype = 'advisory' and granted and objid = {self.site.mailbox(WHO)}"
        with self.site.login(WHO) as pop:
            self.assertEqual(self.site.sql(lock), "1")
            pop.ok("QUIT")
            self.assertEqual(self.site.sql(lock), "0")

    def test_sessions_are_shown(self):
        """`posternctl sessions` knows who holds what."""
        with self.site.login(WHO) as pop:
            shown = self.site.ctl("sessions").stdout.decode()
            self.assertIn(WHO, shown)
            self.assertIn("127.0.0.1", shown)
            pop.ok("QUIT")

    def test_every_kind_of_socket(self):
        """N08: IPv4, IPv6, v4-mapped, unix."""
        port6, portall = kit.lab.free_port(), kit.lab.free_port()
        path = self.site.dir / "pop3.socket"
        listeners = f'{{ address = "::1"; port = {port6}; }}, {{ address = "*"; port = {portall}; }}, {{ address = "{path}"; }}'
        second = self.site.second(f'listeners = ( {listeners} );\n')
        second.address = f"[::1]:{port6}"
        second.start("--foreground")
        self.addCleanup(second.stop)
        with socket.create_connection(("::ffff:127.0.0.1", portall)) as mapped:
            self.assertTrue(mapped.recv(3) == b"+OK")
        for address in (f"[::1]:{port6}", f"127.0.0.1:{portall}", f"[::1]:{portall}", str(path)):
            with self.subTest(address=address), kit.Pop(address) as pop:
                pop.login(WHO)
                self.assertEqual(pop.retr(1), self.letters[0])
                pop.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
