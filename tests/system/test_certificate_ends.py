"""Certificates that run out: said at start, reload and --check, and shown as a metric; the days between are in unit tls_ends."""
import re
import subprocess
import time
import unittest
import urllib.request

import kit
from test_client_certificates import Authority

PAST = ("20200101000000Z", "20200201000000Z")


class Ends(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = kit.lab.free_port()
        cls.site = kit.Site("ends-", kit.QUICK + f'metrics_listen = "127.0.0.1:{cls.port}";\n', pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.ca = Authority(cls.site.dir, "ours")
        cls.ca.sign("gone", "/CN=gone")
        cls.crl = cls.ca.revoked(cls.ca.dir / "gone.pem")
        cls.tls = cls.site.lab.tls
        cls.conf = cls.site.lab.conf.read_text()

    def setUp(self):
        self.addCleanup(self.reload, self.conf)

    def reload(self, text):
        before = self.site.log_text().count("cells with the new configuration")
        self.site.lab.conf.write_text(text)
        self.site.ctl("reload")
        self.assertTrue(kit.wait_until(lambda: self.site.log_text().count("cells with the new configuration") > before))

    def check(self, text):
        """Status and lines, but for the one about who serves the metrics."""
        conf = self.site.dir / "checked.conf"
        conf.write_text(text)
        done = subprocess.run([str(self.site.lab.posternd), "-c", str(conf), "--check"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, env=kit.lab.plain_env(), check=False, timeout=30)
        lines = done.stdout.replace(str(conf), "FILE").splitlines()
        return done.returncode, [line for line in lines if not line.startswith("FILE: warning: metrics_user: ")]

    def shown(self):
        """(kind, file): seconds, by /metrics."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=kit.PATIENCE) as answer:
                text = answer.read().decode()
        except OSError:         # the process that answers is another one after a reload
            return {}
        return {m.groups()[:2]: int(m[3]) for m in re.finditer(r'^postern_certificate_end_seconds\{kind="(\w+)",file="(.*)"\} (\d+)$', text, re.M)}

    def clients(self, crl):
        return re.sub(r'tls = "implicit";', f'tls = "implicit"; client_verify = "optional"; client_ca = "{self.ca.pem}"; client_crl = "{crl}";', self.conf)

    def test_soon(self):
        mine = self.tls / "localhost.pem"
        self.assertEqual(self.check(self.conf), (0, ["FILE: ok"]))
        self.assertNotIn("localhost.pem expires in", self.site.log_text())
        text = self.clients(self.crl) + 'tls_warn_before = "60d";\n'
        status, lines = self.check(text)
        self.assertEqual((status, lines[-1]), (0, "FILE: ok"))
        for what in (f"the certificate in {mine}", f"a certificate of the chain in {mine}", f"the client authority in {self.ca.pem}",
                     f"the revocation list in {self.crl}"):
            found = [line for line in lines if line.startswith(f"FILE: warning: {what} expires in ")]
            self.assertEqual(len(found), 1, (what, lines))
            self.assertRegex(found[0], r" expires in (29|30) days, on \d{4}-\d\d-\d\d \d\d:\d\d UTC: from then on ")
        size = len(self.site.log_text())
        self.reload(text)
        log = self.site.log_text()[size:]
        self.assertEqual(len(re.findall(rf": the certificate in {re.escape(str(mine))} expires in (29|30) days", log)), 1, log)

    def test_over(self):
        """It is said; who does not look at it is still served."""
        old = self.ca.sign("old", "/CN=localhost", start=PAST)
        old.chmod(0o600)
        text = re.sub(r'tls_certificate = "[^"]*"', f'tls_certificate = "{old}"', self.conf)
        text = re.sub(r'tls_key = "[^"]*";', "", text)
        said = f"the certificate in {old} expired on 2020-02-01 00:00 UTC: clients refuse it"
        self.assertEqual(self.check(text), (0, [f"FILE: error: {said}", "FILE: ok"]))
        size = len(self.site.log_text())
        self.reload(text)
        self.assertRegex(self.site.log_text()[size:], ": " + re.escape(said))
        with self.site.connect() as pop:
            pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: self.shown().get(("certificate", str(old))) == 1580515200), self.shown())
        self.assertNotIn(("certificate", str(self.tls / "localhost.pem")), self.shown())

    def test_list_that_is_over(self):
        """Its nextUpdate is past: everybody is refused who has a certificate."""
        crl = self.ca.dir / "old-crl.pem"
        self.ca.openssl("ca", "-config", self.ca.conf, "-gencrl", "-crl_lastupdate", PAST[0], "-crl_nextupdate", PAST[1], "-out", crl)
        status, lines = self.check(self.clients(crl))
        self.assertEqual((status, lines), (0, [f"FILE: error: the revocation list in {crl} expired on 2020-02-01 00:00 UTC: "
                                               "all certificates of that authority are refused", "FILE: ok"]))

    def test_metric(self):
        self.assertTrue(kit.wait_until(self.shown))
        shown = self.shown()
        mine = str(self.tls / "localhost.pem")
        self.assertEqual(set(shown), {("certificate", mine), ("chain", mine)})
        self.assertTrue(all(29 * 86400 < end - time.time() <= 30 * 86400 for end in shown.values()), shown)


if __name__ == "__main__":
    unittest.main()
