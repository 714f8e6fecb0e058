#!/usr/bin/env python3
"""Another program takes over under load: no connection refused, no login failed, no session ended."""
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
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
        kit.wait_until(lambda: load.done >= wanted or load.failures)

    def test_under_load(self):
        old = self.master()
        pop = self.site.login("long@example.org")
        pop.ok("DELE 1")
        with Load(self.site) as load:
            self.until_load(load, 20)
            for _ in range(2):
                before = self.master()
                done = self.site.ctl("upgrade")
                self.assertRegex(done.stdout.decode(), r"^process \d+ serves, process \d+ keeps its sessions until they end\n$")
                self.assertNotEqual(self.master(), before)
                self.until_load(load, 20)
        self.assertEqual(load.failures, [])
        # The session of before goes on where it was, and what it does counts.
        self.assertTrue(kit.alive(old))
        self.assertIn(b"-ERR [IN-USE]", self.in_use())
        self.assertEqual(pop.stat()[0], 1)
        pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: not kit.alive(old)))
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
            self.assertRegex(done.stdout.decode(), r"did not start \(exit status 1\), this one continues:\nposternctl: .*cells")
            self.assertIn("cells", done.stdout.decode())
            self.until_load(load, 5)
        self.assertEqual(load.failures, [])
        self.assertEqual(self.master(), before)
        self.assertRegex(self.site.log_text(), r"upgrade: the new posternd did not start \(exit status 1\), this one continues: .*cells")
        self.site.lab.conf.write_text(good)
        self.site.ctl("upgrade")
        self.assertNotEqual(self.master(), before)


class Program(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("postern-upgrade-").up()
        cls.addClassCleanup(cls.site.down)
        cls.site.account("a@example.org", [kit.letter(1)])

    def test_by_signal_with_another_file(self):
        """The path is looked up anew: what was installed there meanwhile is what takes over."""
        site = self.site
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
            self.assertTrue(kit.wait_until(lambda: not kit.alive(new)))
        finally:
            second.stop()

    def test_sockets_of_a_service_manager(self):
        """They are handed on too, and the manager is told which process is the main one now."""
        site = self.site
        second = kit.Second(site, f'pid_file = "{site.dir}/second.pid";\n')
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(site.lab.sockets / "notify"))
            manager.settimeout(20)
            second.address = "127.0.0.1:%d" % server.getsockname()[1]
            number = fcntl.fcntl(server.fileno(), fcntl.F_DUPFD, 5)
            script = f'exec 3<&{number} {number}<&-; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"'
            second.proc = subprocess.Popen(["/bin/sh", "-c", script, str(site.lab.posternd), "-c", str(second.conf)],
                                           pass_fds=[number], env=kit.lab.plain_env(NOTIFY_SOCKET=str(site.lab.sockets / "notify")))
            os.close(number)
            self.assertEqual(manager.recv(100), b"READY=1")
            pop = kit.Pop(second.address)
            pop.login("a@example.org")
            second.proc.send_signal(signal.SIGUSR2)
            # One of the two is the new one's, which the manager does not know yet.
            told = {manager.recv(100), manager.recv(100)}
            main = next(t for t in told if t.startswith(b"MAINPID="))
            self.assertEqual(told - {main}, {b"READY=1"})
            new = int(main.split(b"=")[1].split()[0])
            self.assertEqual(new, int(pathlib.Path(site.dir, "second.pid").read_text()))
            pop.ok("QUIT")
            self.assertEqual(second.proc.wait(kit.PATIENCE), 0)
            with kit.Pop(second.address) as pop:
                pop.login("a@example.org")
                pop.ok("QUIT")
            os.kill(new, signal.SIGTERM)
            self.assertTrue(kit.wait_until(lambda: not kit.alive(new)))
        second.stop()

    def test_unix_sockets_and_another_configuration(self):
        """Paths that go on are not bound anew, those that are gone are removed, new ones are made."""
        site = self.site
        stays, goes, comes = (str(site.lab.sockets / name) for name in ("stays", "goes", "comes"))

        def conf(*paths):
            listeners = ", ".join(f'{{ address = "{p}"; }}' for p in paths)
            return f'pid_file = "{site.dir}/second.pid"; listeners = ( {listeners} );\n'
        second = kit.Second(site, conf(stays, goes))
        second.address = stays
        second.start("--foreground")
        inode = os.stat(stays).st_ino
        text = second.conf.read_text()
        second.conf.write_text(text.replace(goes, comes))
        second.proc.send_signal(signal.SIGUSR2)
        self.assertEqual(second.proc.wait(20), 0)
        new = int(pathlib.Path(site.dir, "second.pid").read_text())
        self.assertEqual(os.stat(stays).st_ino, inode)
        self.assertFalse(os.path.exists(goes))
        for path in (stays, comes):
            with kit.Pop(path) as pop:
                pop.login("a@example.org")
                pop.ok("QUIT")
        os.kill(new, signal.SIGTERM)
        self.assertTrue(kit.wait_until(lambda: not kit.alive(new)))
        self.assertFalse(os.path.exists(stays))


if __name__ == "__main__":
    unittest.main()
