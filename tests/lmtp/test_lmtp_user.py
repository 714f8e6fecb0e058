"""LMTP with workers of its own (lmtp_user). Who may what at the database is in tests/system/test_sandbox.py."""
import pathlib
import re
import signal
import unittest

from lmtpkit import DOMAIN, LETTER, U1, U2, Lmtp, Site, kit

CONF = 'cells = 1; auth_helpers = 1; lmtp_user = "news";\n'


def named(pids):
    return {p: pathlib.Path(f"/proc/{p}/comm").read_text().strip() for p in pids}


class Own(unittest.TestCase):
    """One cell for POP3, one for LMTP."""

    @classmethod
    def setUpClass(cls):
        cls.site = Site("lmtp-user-", CONF)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.users("u1", "u2")

    def setUp(self):
        self.site.empty("u1", "u2")

    def delivers(self, address=None):
        with Lmtp(address or f"127.0.0.1:{self.site.lmtp}") as client:
            reply, = client.deliver(LETTER, U1)
            self.assertTrue(reply.startswith(b"250 2."), reply)

    def workers(self):
        """Of POP3, of LMTP."""
        found = named(self.site.tree()[1])
        return [p for p, name in found.items() if name == "posternd w1"], [p for p, name in found.items() if name == "posternd w2"]

    def gauges(self):
        return dict(line.rsplit(None, 1) for line in self.site.ctl("status").stdout.decode().splitlines())

    def test_mail_goes_through(self):
        (pop3,), (lmtp,) = self.workers()
        self.assertEqual(len(self.site.tree()[2]), 1)
        self.delivers()
        self.assertEqual(self.site.bodies(U1)[0][1], LETTER)
        # Each has the sockets of its clients and of its database, and of nobody else's.
        self.assertGreater(len(kit.opened(pop3)), 0)
        self.assertEqual(self.site.sql("select count(distinct usename) from pg_stat_activity where usename like 'postern%'"), "3")
        with self.site.login(U1) as pop, self.site.lmtp_connect():
            listening = {line.split()[9]: line.split()[1].split(":")[1] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()
                         if line.split()[3] == "0A"}
            for pid, port in ((pop3, int(self.site.address.split(":")[1])), (lmtp, self.site.lmtp)):
                inodes = [name[8:-1] for name in kit.opened(pid) if name.startswith("socket:[")]
                self.assertEqual([listening[i] for i in inodes if i in listening], [f"{port:04X}"])
            names = ["workers", 'sessions{protocol="pop3"}', 'sessions{protocol="lmtp"}', "database_lanes_up", "database_lmtp_lanes_up",
                     "auth_helpers", "ready"]
            # Each process says its own once a second.
            self.assertTrue(kit.wait_until(lambda: [self.gauges()[name] for name in names] == ["2", "1", "1", "2", "4", "1", "yes"]), self.gauges())
            # All workers answer, whatever they serve.
            done = self.site.ctl("kick", U1)
            self.assertRegex(done.stdout.decode(), rf'^kicked session [0-9a-f]+ "{U1}"\n$')
            self.assertTrue(pop.at_end())

    def test_one_dies(self):
        """Its cell is replaced; sessions of the other protocol do not notice."""
        (pop3,), (lmtp,) = self.workers()
        with self.site.login(U2) as pop, self.site.lmtp_connect() as client:
            kit.kill(lmtp)
            pop.ok("NOOP")
            self.assertTrue(kit.wait_until(lambda: [p for p in self.workers()[1] if p != lmtp]))
            self.delivers()
            self.assertEqual(self.workers()[0], [pop3])
            client.close()
        with self.site.lmtp_connect() as client:
            kit.kill(pop3)
            client.ok("NOOP")
            self.site.login_soon(U2).close()
            client.mail(U1)
            client.data(LETTER)
        self.assertEqual(self.site.count("u1"), 2)

    def test_reload_and_upgrade(self):
        """To workers that serve both and back; sessions stay, in a reload and in an upgrade."""
        conf = self.site.lab.conf
        good = conf.read_text()
        self.addCleanup(lambda: (conf.write_text(good), self.site.ctl("reload")))
        pop = self.site.login(U2)
        self.addCleanup(pop.close)
        # Without root there is one user, whom the database lets in as each role; with root the role is the other user's.
        both = good.replace('lmtp_user = "news";', 'database_lmtp_lanes = 1;' if not kit.ROOT else 'lmtp_user = "nobody";')
        ident = self.site.lab.data / "pg_ident.conf"
        if kit.ROOT:
            ident.write_text(ident.read_text() + "postern nobody postern_lmtp\n")
            self.site.sql("select pg_reload_conf()")
        for text, cells in ((both, 1), (good, 2)):
            conf.write_text(text)
            self.assertIn(f"{cells} cells", self.site.ctl("reload").stdout.decode())
            self.assertTrue(kit.wait_until(lambda cells=cells: len(self.site.tree()[1]) == cells + 1), self.site.tree())
            self.delivers()
            pop.ok("NOOP")
        done = self.site.ctl("upgrade")
        self.assertRegex(done.stdout.decode(), r"^process \d+ serves, process \d+ keeps its sessions until they end\n$")
        # It says so when all lanes are there.
        self.assertEqual(self.gauges()["database_lmtp_lanes_up"], "4")
        self.delivers()
        self.assertEqual(len(self.site.bodies(U1)), 3)
        pop.ok("QUIT")

    def test_lmtp_alone(self):
        """A host that only takes mail: nobody there may read any, nor log anybody in."""
        address = f"127.0.0.1:{kit.lab.free_port()}"
        daemon = self.site.second(f'lmtp_spool_dir = "{self.site.lab.spool}"; listeners = ( {{ address = "127.0.0.1"; '
                                  f'port = {address.split(":")[1]}; protocol = "lmtp"; }} );\n')
        daemon.start("--foreground", wait=False)
        self.addCleanup(daemon.stop)

        def up():
            try:
                self.delivers(address)
            except (OSError, EOFError, AssertionError):
                return False
            return True
        self.assertTrue(kit.wait_until(up), kit.lab.tail(daemon.log))
        self.assertEqual(sorted(named(daemon.pids()).values()), ["posternd", "posternd w1"])
        self.assertTrue(kit.wait_until(lambda: re.search(r"(?m)^ready +yes$", daemon.place().ctl("status", stdout=-1).stdout.decode())))
        self.assertTrue(self.site.bodies(f"u1@{DOMAIN}"))
        self.assertEqual(daemon.stop(signal.SIGTERM), 0)


if __name__ == "__main__":
    unittest.main()
