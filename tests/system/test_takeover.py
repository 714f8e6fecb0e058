#!/usr/bin/env python3
"""A client that vanished, and comes back: the silent session gives its maildrop up, one at work keeps it."""
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit

WHO = "anna@example.org"
AFTER = 2.0             # it must be possible to log in within that, on a busy machine too
CONF = kit.QUICK + f'cells = 1; pop3_takeover_after = "{int(AFTER * 1000)}ms";\n'
CHANNEL = "postern_reply_0123456789abcdef"


class Takeover(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("postern-takeover-", conf=CONF).up()
        cls.site.account(WHO, [kit.letter(1), kit.letter(2, 3000), kit.letter(3, 4 << 20)])
        cls.second = cls.site.second().start("--foreground")

    @classmethod
    def tearDownClass(cls):
        cls.second.stop()
        cls.site.down()

    def tearDown(self):
        # Each test leaves the maildrop as it found it.
        self.assertTrue(kit.wait_until(lambda: self.holders() == 0), "a lock was left")

    def holders(self):
        return int(self.site.sql("select count(*) from postern.held_maildrops()"))

    def login(self, address):
        pop = kit.Pop(address)
        pop.login(WHO)
        return pop

    def refused(self, address):
        """Seconds that [IN-USE] took."""
        with kit.Pop(address) as pop:
            pop.ok("USER " + WHO)
            began = time.monotonic()
            pop.err("PASS " + kit.PASSWORD, "IN-USE")
            return time.monotonic() - began

    def logged(self, log, pattern):
        self.assertTrue(kit.wait_until(lambda: pattern in pathlib.Path(log).read_text()), f"{pattern}{kit.lab.tail(log)}")

    def given_up(self, pop):
        """The client hears of it when it speaks again, and no other word."""
        self.assertTrue(pop.line().startswith(b"-ERR [SYS/TEMP] "))
        self.assertTrue(pop.at_end())
        pop.close()

    # L06: on another host, on the same one, and a session of inetd, either way.

    def test_other_host(self):
        old = self.login(self.site.address)
        self.refused(self.second.address)   # it has just said something
        time.sleep(AFTER + 0.1)
        with self.login(self.second.address) as new:
            self.assertEqual(new.stat()[0], 3)                  # nothing was deleted
            self.given_up(old)
            new.ok("QUIT")
        self.logged(self.site.lab.log, "end=taken-over")
        self.logged(self.site.lab.log, f'maildrop of user="{WHO}" given up to session="')

    def test_same_worker(self):
        old = self.login(self.site.address)
        self.refused(self.site.address)
        time.sleep(AFTER + 0.1)
        with self.login(self.site.address) as new:
            self.given_up(old)
            self.assertEqual(new.stat()[0], 3)
            new.ok("QUIT")

    def inetd(self):
        ours, theirs = socket.socketpair()
        proc = subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--inetd"], stdin=theirs, stdout=theirs)
        theirs.close()
        return proc, kit.Pop("", sock=ours)

    def test_inetd_gives_up(self):
        proc, old = self.inetd()
        old.login(WHO)
        time.sleep(AFTER + 0.1)
        with self.login(self.site.address) as new:
            self.given_up(old)
            new.ok("QUIT")
        self.assertEqual(proc.wait(kit.PATIENCE), 0)

    def test_inetd_takes_over(self):
        old = self.login(self.second.address)
        proc, new = self.inetd()
        time.sleep(AFTER + 0.1)
        new.login(WHO)
        self.given_up(old)
        new.ok("QUIT")
        new.close()
        self.assertEqual(proc.wait(kit.PATIENCE), 0)

    # What is silence, and what is work.

    def test_at_work(self):
        took = []
        with self.login(self.site.address) as old:
            for _ in range(4):
                time.sleep(AFTER / 2)
                took.append(self.refused(self.second.address))
                old.ok("NOOP")
            old.ok("DELE 1")
            old.ok("RSET")
            old.ok("QUIT")
        print("refused after ms:", " ".join(f"{s * 1000:.0f}" for s in sorted(took)), file=sys.stderr)

    def test_reads_nothing(self):
        """In the middle of a message that the client does not take: octets that stay here are silence."""
        old = kit.Pop(self.site.address, rcvbuf=4096)
        old.login(WHO)
        old.send(b"RETR 3\r\n")
        time.sleep(AFTER + 0.5)
        with self.login(self.second.address) as new:
            self.assertEqual(new.stat()[0], 3)
            new.ok("QUIT")
        with self.assertRaises((EOFError, ConnectionResetError)):   # and never the end of the message
            while True:
                old.fill()
        self.assertFalse(bytes(old.buf).endswith(b"\r\n.\r\n"))
        old.close()

    def test_reads_slowly(self):
        """Takes some of it again and again: it stays."""
        with kit.Pop(self.site.address, rcvbuf=65536) as old:
            old.login(WHO)
            old.send(b"RETR 3\r\n")
            for _ in range(8):
                time.sleep(AFTER / 4)
                while len(old.buf) < 400000:
                    old.fill()
                old.buf.clear()
            self.refused(self.second.address)
            old.reset()

    def test_quit_is_work(self):
        """A QUIT that waits for the database is not interrupted, and its deletion holds."""
        self.site.account("quit@example.org", [kit.letter(1), kit.letter(2)])
        mailbox = self.site.mailbox("quit@example.org")
        with kit.Pop(self.site.address) as old, self.site.psql() as blocker:
            old.login("quit@example.org")
            old.ok("DELE 1")
            blocker.ask(f"begin; select 1 from postern.mailbox where mailbox = {mailbox} for update")
            old.send(b"QUIT\r\n")
            time.sleep(AFTER + 0.2)
            for address in (self.second.address, self.site.address):
                with kit.Pop(address) as new:
                    new.ok("USER quit@example.org")
                    new.err("PASS " + kit.PASSWORD, "IN-USE")
            blocker.ask("rollback")
            self.assertTrue(old.line().startswith(b"+OK"))
        with kit.Pop(self.second.address) as new:
            new.login("quit@example.org")
            self.assertEqual(new.stat()[0], 1)
            new.ok("QUIT")

    def test_one_of_two(self):
        """Two ask at once: one gets in, the other one is told so."""
        old = self.login(self.site.address)
        time.sleep(AFTER + 0.1)
        pops = [kit.Pop(a) for a in (self.second.address, self.site.address, self.second.address, self.site.address)]
        for pop in pops:
            pop.ok("USER " + WHO)
        replies = {}

        def one(n):
            replies[n] = pops[n].cmd("PASS " + kit.PASSWORD)
        threads = [threading.Thread(target=one, args=(n,)) for n in range(len(pops))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        won = [n for n, reply in replies.items() if reply.startswith(b"+OK")]
        self.assertEqual(len(won), 1, replies)
        self.assertTrue(all(r.startswith(b"-ERR [IN-USE]") for n, r in replies.items() if n not in won), replies)
        self.given_up(old)
        pops[won[0]].ok("QUIT")
        for pop in pops:
            pop.close()

    # What would be lost with a session makes its host patient.

    def test_filters(self):
        """Silent for long between RETR and DELE, and behind DELE, while others poll: the deletion is kept."""
        self.site.account("slow@example.org", [kit.letter(1), kit.letter(2)])
        for left, (old_at, new_at) in enumerate(((self.site.address, self.second.address), (self.site.address, self.site.address))):
            with kit.Pop(old_at) as old:
                old.login("slow@example.org")
                old.ok("RETR 1")
                old.body()
                for command in ("DELE 1", "QUIT"):
                    time.sleep(AFTER + 0.1)
                    with kit.Pop(new_at) as new:
                        new.ok("USER slow@example.org")
                        new.err("PASS " + kit.PASSWORD, "IN-USE")
                    old.ok(command)
            with kit.Pop(new_at) as new:
                new.login("slow@example.org")
                self.assertEqual(new.stat()[0], 1 - left)
                new.ok("QUIT")

    def test_marks_undone(self):
        """Nothing to lose any more: as silent as any other."""
        old = self.login(self.site.address)
        old.ok("DELE 1")
        old.ok("RSET")
        time.sleep(AFTER + 0.1)
        with self.login(self.second.address) as new:
            self.given_up(old)
            new.ok("QUIT")

    def test_patience_ends(self):
        """The host of the session with deletions says for how long; then they are not done."""
        third = self.site.second('pop3_takeover_after_deletions = "3s";').start("--foreground")
        self.addCleanup(third.stop)
        old = self.login(third.address)
        old.ok("DELE 1")
        time.sleep(3.1)
        with self.login(self.second.address) as new:
            self.assertEqual(new.stat()[0], 3)
            self.given_up(old)
            new.ok("QUIT")

    # What comes by NOTIFY comes from anybody.

    def test_flood(self):
        """Many logins to a maildrop in use do not become as many notifications."""
        with self.site.psql() as ear, self.login(self.site.address) as old:
            ear.ask("listen postern_ask")
            began = time.monotonic()
            tries = 0
            while time.monotonic() < began + 2.5:
                old.ok("NOOP")
                self.refused(self.second.address)
                tries += 1
            spent = time.monotonic() - began
            heard = ear.ask("select 1") + ear.ask("select 1")   # psql prints what came behind the next statement
            asked = heard.count(f"release {self.site.mailbox(WHO)} ")
            self.assertGreater(tries, 10)
            self.assertIn(asked, range(1, int(spent) + 2), f"{tries} tries in {spent} s")
            old.ok("QUIT")

    def test_forged(self):
        """By a role that may log in, but is no operator: a session at work stays, whatever it is told."""
        mailbox = self.site.mailbox(WHO)
        who = {"user": "nobody"} if os.geteuid() == 0 else {}
        with self.login(self.site.address) as old, \
                subprocess.Popen(["psql", "-XAtq", "-U", "postern_mail"], env=self.site.lab.env(), text=True, cwd="/", **who,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
            for text in (f"release {mailbox} {CHANNEL} x", f"order {mailbox} {CHANNEL}", f"order {mailbox} x",
                         f"release {mailbox} {CHANNEL}", f"release -1 {CHANNEL} x", f"release {2 ** 64} {CHANNEL} x", "release",
                         "", " ", "who", "who x", "order  ", "x" * 7000, f"free {mailbox}"):
                worker.stdin.write(f"notify postern_ask, $${text}$$;\n")
            worker.stdin.flush()
            self.logged(self.site.lab.log, "ignoring a release order that is not from an operator")
            old.ok("NOOP")
            worker.stdin.close()
            old.ok("QUIT")

    def test_break(self):
        """L09: an operator breaks the lock of a session at work, on another host too; it deletes nothing."""
        self.assertEqual(self.site.ctl("break", WHO, check=False).returncode, 1)
        for address in (self.second.address, self.site.address):
            old = self.login(address)
            old.ok("DELE 1")
            self.site.ctl("break", WHO)
            with self.login(self.second.address) as new:
                self.assertEqual(new.stat()[0], 3)
                self.given_up(old)
                new.ok("QUIT")

    def test_break_force(self):
        """Its worker hangs: only --force ends what it holds, and that is all of its connection."""
        third = self.site.second("database_lanes = 1;").start("--foreground")
        self.addCleanup(third.stop)
        self.site.account("other@example.org", [kit.letter(1)])
        pops = [self.login(third.address), kit.Pop(third.address)]
        pops[1].login("other@example.org")
        for pop in pops:
            pop.ok("DELE 1")
        hung = [pid for pid in third.pids() if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("posternd w")]
        self.assertEqual(len(hung), 1)
        os.kill(hung[0], signal.SIGSTOP)
        try:
            done = self.site.ctl("break", WHO, check=False)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(b"--force", done.stdout)
            self.assertIn(b"and 2 in all", self.site.ctl("break", WHO, "--force").stdout)
            with self.login(self.site.address) as new:
                self.assertEqual(new.stat()[0], 3)
                new.ok("QUIT")
        finally:
            os.kill(hung[0], signal.SIGCONT)
        for pop in pops:
            pop.err("QUIT", "SYS/TEMP")
            pop.close()

    def test_off(self):
        """0 is never: neither gives it up, nor asks for it."""
        third = self.site.second()
        third.conf.write_text(third.conf.read_text().replace(f'"{int(AFTER * 1000)}ms"', '"0s"'))
        third.start("--foreground")
        self.addCleanup(third.stop)
        with self.login(third.address) as old:
            time.sleep(AFTER + 0.1)
            self.refused(self.second.address)
            old.ok("QUIT")
        with self.login(self.second.address) as old:
            time.sleep(AFTER + 0.1)
            self.refused(third.address)
            old.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
