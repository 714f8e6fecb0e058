"""A daemon in its sandbox: who is in one, and that a database with an address or a name is found again and again from there.

What a process can still do inside is asked by tests/unit/test_sandbox.c."""
import os
import pathlib
import signal
import unittest

import kit

WHO = "sandbox@example.org"

def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@unittest.skipIf(kit.sanitized(), "sanitizers look into /proc: there is no sandbox")
class Sandbox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("sandbox-", kit.QUICK + 'cells = 1; database_retry = "500ms";\n', lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])

    def test_who_is_in(self):
        master, workers, helpers = self.site.tree()
        self.assertEqual(status(master)["NoNewPrivs"], "1")
        self.assertEqual(status(master)["Seccomp"], "0")
        self.assertEqual((len(workers), len(helpers)), (1, 2))
        for pid in workers + helpers:
            self.assertEqual((status(pid)["NoNewPrivs"], status(pid)["Seccomp"]), ("1", "2"))
            self.assertRegex(pathlib.Path(f"/proc/{pid}/limits").read_text(), r"Max processes +0 +0 ")

    def test_a_kill_is_told(self):
        """As the kernel does it to one that asks for what only an intruder would."""
        daemon = self.site.second()
        self.addCleanup(daemon.stop)
        daemon.start()
        worker = next(p for p in daemon.pids() if pathlib.Path(f"/proc/{p}/comm").read_text().startswith("posternd w"))
        os.kill(worker, signal.SIGSYS)
        self.assertTrue(kit.wait_until(lambda: "killed by signal 31 (Bad system call)" in daemon.log.read_text(), 10))

    def test_last_database_by_address_or_name(self):
        """A name is looked up in the sandbox at each connection, also at those after a restart. From here on the site has no database."""
        port = kit.lab.free_port()
        place = self.site.lab
        hba, conf = place.data / "pg_hba.conf", place.data / "lab.conf"
        hba.write_text(hba.read_text() + "host all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\n")
        conf.write_text(conf.read_text() + f"listen_addresses = 'localhost'\nport = {port}\n")
        self.site.pg_restart()

        def logs_in(daemon):
            try:
                with kit.Pop(daemon.address) as pop:
                    pop.login(WHO)
                    return pop.stat()[0] == 1
            except (AssertionError, OSError):
                return False
        for host in ("127.0.0.1", "localhost"):
            with self.subTest(host=host):
                daemon = self.site.second(f'database = "host={host} port={port} dbname={kit.lab.DATABASE}";\n')
                self.addCleanup(daemon.stop)
                daemon.start()
                self.assertTrue(kit.wait_until(lambda: logs_in(daemon), 15), kit.lab.tail(daemon.log))
                self.site.pg_restart("immediate")
                self.assertTrue(kit.wait_until(lambda: logs_in(daemon), 15), kit.lab.tail(daemon.log))


if __name__ == "__main__":
    unittest.main()
