"""A family of addresses is missing: what is there is served and a line says so, at start, reload and upgrade; by name it is an error."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import unittest

import kit

WHO = "family@example.org"
GONE = {"IPv6": socket.AF_INET6, "IPv4": socket.AF_INET}
HERE = {"IPv6": "127.0.0.1", "IPv4": "[::1]"}               # where it is served without that one


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


class Families(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("families-", kit.QUICK + 'cells = 1; drain_time = "2s";\n', pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])

    def daemon(self, address="*", metrics=""):
        """One with a listener of each kind, not started."""
        ports = [kit.lab.free_port() for _ in range(3)]
        kinds = ["", 'tls = "implicit";', 'protocol = "lmtp";']
        groups = ", ".join(f'{{ address = "{address}"; port = {p}; {k} }}' for p, k in zip(ports, kinds))
        second = self.site.second(f'{self.tls()}lmtp_spool_dir = "{self.site.dir}";\n'
                                  f"listeners = ( {groups} );\n" + metrics)
        second.ports = ports
        second.address = f"127.0.0.1:{ports[0]}"
        return second

    def tls(self):
        return "".join(line + "\n" for line in self.site.lab.conf.read_text().splitlines() if line.startswith(("tls_certificate", "tls_key")))

    def served(self, second, missing):
        """POP3, LMTP and the door of TLS, by the family that is there."""
        host = HERE[missing]
        with kit.Pop(f"{host}:{second.ports[0]}") as pop:
            pop.login(WHO)
            pop.ok("QUIT")
        for port in second.ports[1:]:
            socket.create_connection((host.strip("[]"), port), timeout=5).close()

    def told(self, second, missing, times):
        """Once for each listener and each time that they are looked at."""
        line = re.compile(rf"listening on \* port \d+ without {missing}, which this system does not have")
        self.assertTrue(kit.wait_until(lambda: len(line.findall(second.log.read_text())) >= times), second.log.read_text())
        self.assertEqual(len(line.findall(second.log.read_text())), times)

    def one_is_missing(self, missing):
        if missing == "IPv4" and not has_ipv6():
            self.skipTest("there is no IPv6 on this host")
        second = self.daemon()
        filtered = {"preexec_fn": kit.without_family(GONE[missing]), "env": kit.lab.plain_env()}
        check = subprocess.run([self.site.lab.posternd, "-c", second.conf, "--check"], stdout=subprocess.PIPE, text=True, check=False, **filtered)
        # But for that LMTP has no user of its own.
        lines = [line for line in check.stdout.splitlines() if "warning: lmtp_user: " not in line]
        self.assertEqual((check.returncode, lines), (0, [f"{second.conf}: ok"]))
        second.address = f"{HERE[missing]}:{second.ports[0]}"
        self.addCleanup(second.stop)
        second.start("--foreground", **filtered)
        self.served(second, missing)
        self.told(second, missing, 3)
        os.kill(second.proc.pid, signal.SIGHUP)
        self.told(second, missing, 6)
        self.served(second, missing)
        ctl = pathlib.Path(self.site.lab.posternd).with_name("posternctl")
        done = subprocess.run([ctl, "-c", second.conf, "upgrade"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, env=kit.lab.plain_env())
        self.assertRegex(done.stdout, r"^process \d+ serves")
        self.told(second, missing, 9)
        self.served(second, missing)

    def test_no_ipv6(self):
        self.one_is_missing("IPv6")

    def test_no_ipv4(self):
        self.one_is_missing("IPv4")

    def refused(self, second, text, *families):
        """--check and the start say the same."""
        for more in (["--check"], ["--foreground"]):
            done = subprocess.run([self.site.lab.posternd, "-c", second.conf, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False, timeout=20, env=kit.lab.plain_env(), preexec_fn=kit.without_family(*families))
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(text, done.stdout)

    def test_by_name(self):
        self.refused(self.daemon("::1"), 'listeners: address: "::1" needs IPv6, which this system does not have', socket.AF_INET6)
        self.refused(self.daemon("127.0.0.1"), 'listeners: address: "127.0.0.1" needs IPv4, which this system does not have', socket.AF_INET)
        self.refused(self.daemon("*", f'metrics_listen = "[::1]:{kit.lab.free_port()}";\n'),
                     'metrics_listen: "::1" needs IPv6, which this system does not have', socket.AF_INET6)

    def test_neither(self):
        self.refused(self.daemon(), '"*" needs IPv4 and IPv6, which this system does not have', socket.AF_INET, socket.AF_INET6)


if __name__ == "__main__":
    unittest.main()
