#!/usr/bin/env python3
"""Another program takes over under load: no connection refused, no login failed, no session ended."""
import os
import pathlib
import shutil
import signal
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import kit

CLIENTS = 4


class Load:
    """Clients that log in one after the other, each in a mailbox of its own."""

    def __init__(self, site):
        self.site, self.over, self.failures, self.done = site, threading.Event(), [], 0
        self.threads = [threading.Thread(target=self.run, args=(f"u{n}@example.org",)) for n in range(CLIENTS)]

    def run(self, who):
        while not self.over.is_set():
            try:
                with self.site.login(who) as pop:
                    pop.retr(1)
                    pop.ok("QUIT")
                self.done += 1
            except Exception as e:      # pylint: disable=broad-except
                self.failures.append(f"{who}: {e!r}")
                return

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


class Upgrade(unittest.TestCase):
    def setUp(self):
        self.site = kit.Site("postern-upgrade-").up()
        self.addCleanup(self.site.down)
        for n in range(CLIENTS):
            self.site.account(f"u{n}@example.org", [kit.letter(n)])
        self.site.account("long@example.org", [kit.letter(1), kit.letter(2)])

    def master(self):
        return int(self.site.lab.pid_file.read_text())

    def until_load(self, load, more):
        wanted = load.done + more
        kit.wait_until(lambda: load.done >= wanted or load.failures, 20)

    def test_under_load(self):
        old = self.master()
        pop = self.site.login("long@example.org")
        pop.ok("DELE 1")
        with Load(self.site) as load:
            self.until_load(load, 20)
            for _ in range(2):
                before = self.master()
                done = self.site.ctl("upgrade")
                self.assertRegex(done.stdout.decode(), r"^process \d+ serves, the sessions of process \d+ go on until they end\n$")
                self.assertNotEqual(self.master(), before)
                self.until_load(load, 20)
        self.assertEqual(load.failures, [])
        # The session of before goes on where it was, and what it does counts.
        self.assertTrue(kit.alive(old))
        self.assertIn(b"-ERR [IN-USE]", self.in_use())
        self.assertEqual(pop.stat()[0], 1)
        pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: not kit.alive(old), 10))
        self.assertEqual(len(self.site.fetched("long@example.org")), 1)
        # Commands go to the new one, and the path of its socket is still there.
        self.assertIn(b"ready", self.site.ctl("status").stdout)

    def in_use(self):
        with self.site.connect() as pop:
            pop.ok("USER long@example.org")
            return pop.cmd("PASS " + kit.PASSWORD)

    def test_new_one_does_not_start(self):
        before = self.master()
        good = self.site.lab.conf.read_text()
        self.site.lab.conf.write_text(good + 'cells = "many";\n')
        with Load(self.site) as load:
            self.until_load(load, 5)
            done = self.site.ctl("upgrade", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stdout.decode(), r"did not start \(exit status 1\), this one goes on")
            self.assertIn("cells", done.stdout.decode())
            self.until_load(load, 5)
        self.assertEqual(load.failures, [])
        self.assertEqual(self.master(), before)
        self.assertRegex(self.site.log_text(), r"upgrade: the new posternd did not start \(exit status 1\), this one goes on: .*cells")
        self.site.lab.conf.write_text(good)
        self.site.ctl("upgrade")
        self.assertNotEqual(self.master(), before)


class Program(unittest.TestCase):
    def test_by_signal_with_another_file(self):
        """The path is looked up anew: what was installed there meanwhile is what takes over."""
        site = kit.Site("postern-upgrade-").up()
        self.addCleanup(site.down)
        site.account("a@example.org", [kit.letter(1)])
        folder = site.lab.sockets / "sbin"
        folder.mkdir()
        program = folder / "posternd"
        shutil.copy(site.lab.posternd, program)
        second = kit.Second(site, f'pid_file = "{site.dir}/second.pid";\n')
        real, type(site.lab).posternd = type(site.lab).posternd, property(lambda _: program)
        try:
            second.start("--foreground")
        finally:
            type(site.lab).posternd = real
        try:
            old = second.proc.pid
            os.rename(program, folder / "old")
            shutil.copy(site.lab.posternd, program)
            os.kill(old, signal.SIGUSR2)
            self.assertEqual(second.proc.wait(20), 0)
            new = int(pathlib.Path(site.dir, "second.pid").read_text())
            self.assertEqual(os.readlink(f"/proc/{new}/exe"), str(program))
            with kit.Pop(second.address) as pop:
                pop.login("a@example.org")
                pop.ok("QUIT")
            os.kill(new, signal.SIGTERM)
            self.assertTrue(kit.wait_until(lambda: not kit.alive(new), 10))
        finally:
            second.stop()


if __name__ == "__main__":
    unittest.main()
