#!/usr/bin/env python3
"""posternctl's commands to the running daemon, each over the control socket."""
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import fcntl
import sys
import termios
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit

WHO = "anna@example.org"


class Control(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("postern-control-").up()
        cls.site.account(WHO, [kit.letter(1), kit.letter(2, 3000)])

    @classmethod
    def tearDownClass(cls):
        cls.site.down()

    @property
    def path(self):
        return str(self.site.lab.sockets / "control")

    def ask(self, line):
        """The answer to these octets, to its end."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(kit.PATIENCE)
            s.connect(self.path)
            s.sendall(line)
            data = b""
            while more := s.recv(65536):
                data += more
            return data

    def line(self, pattern, seconds=5):
        found = []

        def there():
            found[:] = re.findall(pattern, self.site.log_text())
            return found
        self.assertTrue(kit.wait_until(there, seconds), f"{pattern}{self.site.log_tail()}")
        return found[-1]

    # ---------------------------------------------------------------- the log

    def test_session_line(self):
        with self.site.login(WHO) as pop:
            pop.retr(1)
            pop.multi("TOP 2 3")
            other = self.site.connect()
            other.ok("USER " + WHO)
            other.err("PASS " + kit.PASSWORD, "IN-USE")
            pop.ok("QUIT")
            other.login(WHO)
            other.ok("QUIT")
        self.line(r'session user="anna@example.org" peer=127\.0\.0\.1:\d+ retr=1/\d+ top=1/\d+ dele=0 left=2/\d+ '
                  r'local=127\.0\.0\.1:\d+ mechanism=USER sql=[3-9] sql-time=0\.\d{6} auth-time=0\.\d{6} in-use=0 in=\d+ out=\d+ '
                  r'time=\d+\.\d{3} end=quit')
        self.line(r"session .* sql=[2-9] .* in-use=1 .* end=quit")

    # ------------------------------------------------------------------ trace

    def traced(self, say):
        """Does what this says to a worker show in the log? It is told by the master, in its own time."""
        before = self.site.log_text().count(" trace ")
        for _ in range(3):
            say()
        return self.site.log_text().count(" trace ") > before

    def greeted(self):
        self.site.connect().close()

    def test_trace_of_a_mailbox(self):
        before = self.site.log_text().count(" trace ")
        with self.site.login(WHO) as pop:
            pop.stat()
            self.assertEqual(self.site.log_text().count(" trace "), before)
            self.site.ctl("trace", WHO, "--minutes", "1")
            self.assertTrue(kit.wait_until(lambda: self.traced(pop.stat)))
            pop.retr(2)
            pop.err("PASS " + kit.PASSWORD)
            pop.err("not a command open sesame")
            pop.stat()
            self.line(r'trace S: "\+OK 2 \d+"')
            self.site.ctl("trace", WHO, "--off")
            self.assertTrue(kit.wait_until(lambda: not self.traced(pop.stat)))
            pop.ok("NOOP")
            pop.ok("QUIT")
        text = self.site.log_text()
        self.assertRegex(text, r'[0-9a-f]{12} trace C: "RETR 2"\n')
        self.assertRegex(text, r'trace S: "\+OK \d+ octets"\n.*trace S: \(\d+ octets\)')
        self.assertNotIn("NOOP", text)
        self.assertNotIn("quick brown fox", text)
        self.assertNotIn(kit.PASSWORD, text)

    def test_trace_of_clients_masks_secrets(self):
        self.site.ctl("trace", "127.0.0.0/8", "--minutes", "1")
        self.assertTrue(kit.wait_until(lambda: self.traced(self.greeted)))
        try:
            with self.site.connect() as pop:
                pop.cmd("PASSWORD " + kit.PASSWORD)
                pop.cmd("AUTH PLAIN AGFubmEAb3BlbiBzZXNhbWU=")
            with self.site.connect() as pop:
                pop.cmd("AUTH PLAIN")
                pop.cmd("AGFubmFAZXhhbXBsZS5vcmcAb3BlbiBzZXNhbWU=")
                pop.ok("QUIT")
            with self.site.login(WHO) as pop:
                pop.ok("QUIT")
            self.line(r'trace C: "QUIT"')
        finally:
            self.site.ctl("trace", "127.0.0.0/8", "--off")
        text = self.site.log_text()
        self.assertRegex(text, r"trace start peer=127\.0\.0\.1:\d+")
        self.assertRegex(text, r"trace C: PASS \*\*\*\n")
        self.assertRegex(text, r"trace C: AUTH \*\*\*\n")
        self.assertRegex(text, r"trace C: \*\*\*\n")
        for secret in (kit.PASSWORD, "b3Blbi", "AGFubm"):
            self.assertNotIn(secret, text)

    def test_trace_ends_by_itself_and_outlives_a_worker(self):
        self.assertEqual(self.ask(b"trace 127.0.0.1 2\n"), b"OK traced for 2 s\n")
        kit.kill(self.site.tree()[1][0])
        with self.site.login_soon(WHO) as pop:
            pop.ok("QUIT")
        time.sleep(2.2)
        before = self.site.log_text().count(" trace ")
        with self.site.login_soon(WHO) as pop:
            pop.ok("QUIT")
        self.assertEqual(self.site.log_text().count(" trace "), before)
        self.site.wait_lanes()

    # ------------------------------------------------------------------- kick

    def test_kick_by_address_deletes_nothing(self):
        pop = self.site.login(WHO)
        pop.ok("DELE 1")
        done = self.site.ctl("kick", "Anna@Example.ORG")
        self.assertRegex(done.stdout.decode(), r'^kicked session [0-9a-f]{12} "anna@example.org"\n$')
        self.assertTrue(pop.at_end())
        self.line(r"session user=\"anna@example.org\" .* end=kicked")
        with self.site.login_soon(WHO) as pop:
            self.assertEqual(pop.stat()[0], 2)
            pop.ok("QUIT")

    def test_kick_by_session_before_its_login(self):
        self.site.ctl("log-level", "debug")
        try:
            pop = self.site.connect()
            session = self.line(r"([0-9a-f]{12}) start peer=127\.0\.0\.1:%d\b" % pop.sock.getsockname()[1])
            self.site.ctl("kick", session)
            self.assertTrue(pop.at_end())
        finally:
            self.site.ctl("log-level", "info")

    def test_kick_of_nobody(self):
        done = self.site.ctl("kick", "bert@example.org", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"has no session", done.stdout)

    # ------------------------------------------------- log level, reload, status

    def test_log_level(self):
        self.site.ctl("log-level", "debug")
        with self.site.login(WHO) as pop:
            pop.ok("QUIT")
        self.line(r"[0-9a-f]{12} state=transaction")
        self.line(r"posternd auth \d\.\d\[\d+\]: [0-9a-f]{12} auth name=")      # helpers too
        self.site.ctl("log-level", "info")
        before = self.site.log_text().count("state=transaction")
        with self.site.login(WHO) as pop:
            pop.ok("QUIT")
        self.assertEqual(self.site.log_text().count("state=transaction"), before)

    def test_reload_says_what_is_wrong(self):
        good = self.site.lab.conf.read_text()
        try:
            self.site.lab.conf.write_text(good + "cells = -1;\n")
            done = self.ask(b"reload\n").decode()
            self.assertRegex(done, r"^ERR the old configuration stays in effect:\n.*postern\.conf:\d+: .*cells")
            done = self.site.ctl("reload", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stdout.decode(),
                             r"\Aposternctl: the old configuration stays in effect:\nposternctl: \S*postern\.conf:\d+: .*cells")
        finally:
            self.site.lab.conf.write_text(good)
        self.assertIn(b"reloaded", self.site.ctl("reload").stdout)
        self.site.wait_lanes()

    def test_status(self):
        with self.site.login(WHO) as pop:
            pop.ok("NOOP")
            now = {}

            def one_session():
                """Workers measure now and then: sessions of the test before may still be counted, and this one not yet locked."""
                now.update(json.loads(self.site.ctl("--json", "status").stdout))
                return now["ready"] == 1 and now['sessions{protocol="pop3"}'] == 1 and now["maildrops_locked"] == 1
            self.assertTrue(kit.wait_until(one_session), now)
            self.assertGreaterEqual(now['pop3_logins_total{result="ok"}'], 1)
            self.assertGreaterEqual(now["database_statement_seconds_count"], 1)
            pop.ok("QUIT")
        text = self.site.ctl("status").stdout.decode()
        self.assertRegex(text, r"(?m)^ready +yes$")

    def test_counts_outlive_a_worker(self):
        with self.site.login(WHO) as pop:
            pop.ok("QUIT")
        name = 'pop3_logins_total{result="ok"}'
        before = json.loads(self.site.ctl("--json", "status").stdout)
        for pid in self.site.tree()[1]:
            kit.kill(pid)
        kit.wait_until(lambda: len(self.site.tree()[1]) >= before["workers"])
        after = json.loads(self.site.ctl("--json", "status").stdout)
        self.assertGreaterEqual(after[name], before[name])
        self.assertGreater(after["cell_deaths_total"], before["cell_deaths_total"])
        self.site.wait_lanes()

    # -------------------------------------------------------------------- top

    def test_top(self):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(str(self.site.lab.posternctl), ["posternctl", "-c", str(self.site.lab.conf), "top"])
        seen = b""

        def read_until(text, seconds=10):
            nonlocal seen
            end = time.monotonic() + seconds
            while text not in seen and time.monotonic() < end:
                if select.select([fd], [], [], 0.2)[0]:
                    try:
                        seen += os.read(fd, 65536)
                    except OSError:
                        break
            self.assertIn(text, seen)
        try:
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
            read_until(b"q quits")
            read_until(b"lanes      up")
            seen = b""
            # A narrow window: lines are cut, and it is drawn anew.
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 5, 20, 0, 0))
            os.kill(pid, signal.SIGWINCH)
            read_until(b"sessions   pop3")
            self.assertNotIn(b"helpers", seen.rsplit(b"\033[1;1H", 1)[-1])
            os.write(fd, b"q")
            read_until(b"\033[?25h")
            self.assertTrue(kit.wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid))
        finally:
            os.close(fd)

    def test_top_without_a_terminal(self):
        self.assertEqual(self.site.ctl("top", check=False).returncode, 2)

    # -------------------------------------------------------- who and what is heard

    def test_mode(self):
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)

    @unittest.skipUnless(kit.ROOT, "needs another user")
    def test_others_are_not_heard(self):
        os.chmod(self.path, 0o666)
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setresuid(65534, 65534, 65534)
            try:
                os.write(into, b"said " + self.ask(b"status\n"))
            except OSError:
                os.write(into, b"closed")
            os._exit(0)
        os.waitpid(pid, 0)
        os.chmod(self.path, 0o600)
        self.assertIn(os.read(out, 100), (b"closed", b"said "))
        os.close(out)
        os.close(into)
        self.line(r"control: permission denied for uid \d+ \(pid \d+\)")

    def test_what_is_no_command(self):
        for line in (b"\n", b"fly\n", b"status now\n", b" status\n", b"kick\n", b"kick a b\n", b"trace x 5\n", b"trace 127.0.0.1 -1\n",
                     b"trace 127.0.0.1/33 5\n", b"trace 127.0.0.1 99999999\n", b"log-level loud\n", b"status\nstatus\n", b"sta\0tus\n",
                     b"kick \x1b[2J\n", b"drain soon\n", b"kick " + b"a" * 400 + b"\n"):
            with self.subTest(line=line):
                self.assertTrue(self.ask(line).startswith(b"ERR "))
        with self.assertRaises(ConnectionResetError):
            self.ask(b"x" * 4096)

    def test_silent_operators_hold_up_nobody(self):
        silent = []
        try:
            for _ in range(7):
                s = socket.socket(socket.AF_UNIX)
                s.connect(self.path)
                silent.append(s)
            self.assertTrue(self.ask(b"status\n").startswith(b"OK\n"))
            with self.site.login(WHO) as pop:
                pop.ok("QUIT")
        finally:
            for s in silent:
                s.close()


class Drain(unittest.TestCase):
    def test_drain(self):
        site = kit.Site("postern-drain-").up()
        try:
            site.account(WHO, [kit.letter(1)])
            pop = site.login(WHO)
            self.assertIn(b"draining", site.ctl("drain", "--minutes", "5").stdout)
            self.assertTrue(kit.wait_until(lambda: not self.accepts(site)))
            self.assertEqual(pop.stat()[0], 1)
            pop.ok("DELE 1")
            pop.ok("QUIT")
            self.assertTrue(kit.wait_until(lambda: not site.lab.daemon_pids()))
            self.assertFalse((site.lab.sockets / "control").exists())
        finally:
            site.down()

    @staticmethod
    def accepts(site):
        try:
            with site.connect():
                return True
        except (OSError, EOFError):
            return False


if __name__ == "__main__":
    unittest.main()
