"""Nobody reads the log: sessions go on, what is dropped is counted and told when it is read again. A log daemon that is away, or restarted."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import unittest
import urllib.request

import kit

WHO = "stall@example.org"
SESSIONS = 1000
TOLD = re.compile(rb"logging resumed, (\d+) lines were dropped")


class Stalls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("log-", kit.QUICK + "cells = 2;\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        for n in range(4):
            cls.site.account(f"{n}{WHO}", [kit.letter(1)])

    def daemon(self, log, **kw):
        self.metrics = kit.lab.free_port()
        second = self.site.second(f'log = "{log}"; log_level = "debug"; metrics_listen = "127.0.0.1:{self.metrics}";\n')
        self.addCleanup(second.stop)
        return second.start("--foreground", **kw)

    def dropped(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=kit.PATIENCE) as reply:
            text = reply.read().decode()
        return int(re.search(r"^postern_log_lines_dropped_total (\d+)$", text, re.M).group(1))

    def sessions(self, second, count):
        """By several clients at once; helpers log too, what they refuse."""
        failures = []

        def client(who):
            try:
                for n in range(count // 4):
                    with kit.Pop(second.address, timeout=20) as pop:
                        pop.ok("USER " + who)
                        if n % 25 == 0:
                            pop.err("PASS wrong")
                            pop.ok("USER " + who)
                        pop.ok("PASS " + kit.PASSWORD)
                        pop.ok("QUIT")
            except (OSError, EOFError, AssertionError) as e:
                failures.append(repr(e))
        threads = [threading.Thread(target=client, args=(f"{n}{WHO}",)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])

    def all_told(self, second, read):
        """Read on until the numbers that lines tell are all that was counted."""
        seen = bytearray()

        def all_there():
            seen.extend(read())
            return sum(int(n) for n in TOLD.findall(seen)) == self.dropped() > 0
        self.sessions(second, 8)
        self.assertTrue(kit.wait_until(all_there), f"{self.dropped()} were dropped, {TOLD.findall(seen)} told")
        # What other processes kept is written, too.
        quiet = 0
        while quiet < 40:
            data = read()
            quiet = 0 if data else quiet + 1
            time.sleep(0.02)
        before = self.dropped()
        reader = threading.Thread(target=lambda: [seen.extend(read()) for _ in iter(lambda: done.wait(0.002), True)])
        done, mark = threading.Event(), len(seen)
        reader.start()
        self.sessions(second, 40)
        done.set()
        reader.join()
        self.assertTrue(kit.wait_until(lambda: seen.extend(read()) or seen.count(b"result=ok", mark) >= 40), bytes(seen[mark:]))
        self.assertEqual(self.dropped(), before)
        return bytes(seen)

    def unread_stderr(self, reader, writer):
        flags = os.get_blocking(writer.fileno())
        second = self.daemon("stderr", stderr=writer)
        self.sessions(second, SESSIONS)
        self.assertGreater(self.dropped(), 0)
        # All that is here is ours, too: nobody made it non-blocking.
        self.assertEqual(os.get_blocking(writer.fileno()), flags)
        os.kill(second.proc.pid, signal.SIGHUP)
        self.sessions(second, 40)
        os.set_blocking(reader.fileno(), False)

        def read():
            try:
                return os.read(reader.fileno(), 1 << 20)
            except BlockingIOError:
                return b""
        self.all_told(second, read)

    def test_pipe(self):
        r, w = os.pipe()
        with open(r, "rb", buffering=0) as reader, open(w, "wb", buffering=0) as writer:
            self.unread_stderr(reader, writer)

    def test_socket(self):
        """As systemd's."""
        reader, writer = socket.socketpair()
        with reader, writer:
            self.unread_stderr(reader, writer)

    def log_daemon(self, path):
        path.unlink(missing_ok=True)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.addCleanup(s.close)
        s.bind(str(path))
        path.chmod(0o666)
        return s

    def take(self, s):
        data = b""
        try:
            while True:
                data += s.recv(4096) + b"\n"
        except BlockingIOError:
            return data

    def place(self):
        path = pathlib.Path(self.site.lab.sockets) / "devlog"
        if kit.ROOT:
            os.chmod(path.parent, os.stat(path.parent).st_mode | 0o011)
        return path

    def test_syslog(self):
        path = self.place()
        s = self.log_daemon(path)
        second = self.daemon(f"syslog:{path}")
        self.sessions(second, SESSIONS)
        self.assertGreater(self.dropped(), 0)
        seen = self.all_told(second, lambda: self.take(s))
        self.assertRegex(seen, rb"(?m)^<2\d>[A-Z][a-z]{2} [ \d]\d [\d:]{8} posternd worker \d\[\d+\]: \w+ ")
        # It is restarted: under its name there is another socket. Workers are in their sandbox by now.
        s.close()
        s = self.log_daemon(path)
        mark = []
        self.sessions(second, 40)
        self.assertTrue(kit.wait_until(lambda: mark.append(self.take(s)) or b"".join(mark).count(b"result=ok") >= 40), b"".join(mark))

    def test_nobody_is_there(self):
        """It is told on standard error, and heard when it comes."""
        path = self.place()
        path.unlink(missing_ok=True)
        errors = self.site.dir / "errors"
        with open(errors, "wb") as out:
            second = self.daemon(f"syslog:{path}", stderr=out)
        self.assertIn(f"no log daemon listens at {path}: log lines are dropped until one does", errors.read_text())
        self.sessions(second, 40)
        s = self.log_daemon(path)
        seen = []
        self.assertTrue(kit.wait_until(lambda: seen.append(self.take(s)) or b"result=ok" in b"".join(seen)), b"".join(seen))

    def test_upgrade(self):
        """The new one logs to where the old one did, not to where it was read during its start."""
        r, w = os.pipe()
        with open(r, "rb", buffering=0) as reader, open(w, "wb", buffering=0) as writer:
            second = self.daemon("stderr", stderr=writer)
            os.set_blocking(r, False)
            ctl = pathlib.Path(self.site.lab.posternd).with_name("posternctl")
            done = subprocess.run([ctl, "-c", second.conf, "upgrade"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                                  env=kit.lab.plain_env())
            new = int(re.match(r"process (\d+) serves", done.stdout).group(1))
            self.assertTrue(kit.wait_until(lambda: not kit.alive(second.proc.pid) or second.proc.poll() is not None))
            seen = bytearray(reader.read() or b"")
            self.sessions(second, 8)
            self.assertTrue(kit.wait_until(lambda: seen.extend(reader.read() or b"") or seen.count(b"result=ok") >= 8), bytes(seen))
            self.assertIn(b"posternd[%d]: upgrade: this process serves" % new, seen)

    def test_reload_tells(self):
        path = self.place()
        path.unlink(missing_ok=True)
        second = self.daemon(str(self.site.dir / "reload.log"))
        second.conf.write_text(re.sub(r'log = "[^"]*";', f'log = "syslog:{path}";', second.conf.read_text()))
        ctl = pathlib.Path(self.site.lab.posternd).with_name("posternctl")
        done = subprocess.run([ctl, "-c", second.conf, "reload"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              env=kit.lab.plain_env())
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"no log daemon listens at {path}", done.stdout)


if __name__ == "__main__":
    unittest.main()
