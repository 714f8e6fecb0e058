"""Certificates of clients: who has to show one, which are good, what they prove (SASL EXTERNAL), and for how long."""
import base64
import os
import re
import signal
import socket
import ssl
import subprocess
import unittest

import kit
from tlskit import WHO, context

OTHER = "other@example.org"


class Authority:
    """Signs, and revokes."""

    def __init__(self, folder, name):
        self.dir = folder / name
        self.dir.mkdir()
        self.pem, self.key = self.dir / "ca.pem", self.dir / "ca.key"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                     "-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                     "-keyout", self.key, "-out", self.pem)
        (self.dir / "index.txt").write_text("")
        (self.dir / "number").write_text("01\n")
        self.conf = self.dir / "ca.cnf"
        self.conf.write_text(f"""[ca]\ndefault_ca = own\n[own]\ndatabase = {self.dir}/index.txt\nserial = {self.dir}/number\nnew_certs_dir = {self.dir}
certificate = {self.pem}\nprivate_key = {self.key}\ndefault_md = sha256\npolicy = any\nunique_subject = no\ndefault_crl_days = 30
[any]\ncommonName = optional\nemailAddress = optional\n""")

    @staticmethod
    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)

    def sign(self, name, subject, extensions="", days=30, start=None):
        """A file with certificate and key."""
        both, key, request = self.dir / f"{name}.pem", self.dir / f"{name}.key", self.dir / f"{name}.csr"
        own = self.dir / f"{name}.cnf"
        own.write_text("basicConstraints=CA:false\n" + extensions + "\n")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", key, "-out", request)
        dates = ("-startdate", start[0], "-enddate", start[1]) if start else ("-days", days)
        self.openssl("ca", "-batch", "-notext", "-config", self.conf, "-preserveDN", "-in", request, "-extfile", own, *dates, "-out", both)
        both.write_text(both.read_text() + key.read_text())
        return both

    def revoked(self, *files):
        for file in files:
            self.openssl("ca", "-config", self.conf, "-revoke", file)
        crl = self.dir / "crl.pem"
        self.openssl("ca", "-config", self.conf, "-gencrl", "-out", crl)
        return crl


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("clientcerts-", pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        for who in (WHO, OTHER):
            cls.site.account(who, [kit.letter(1)])
            cls.site.ctl("certificate", who)
        cls.ca, cls.foreign_ca = Authority(cls.site.dir, "ours"), Authority(cls.site.dir, "theirs")
        san = f"subjectAltName=email:{WHO}"
        cls.good = cls.ca.sign("good", "/CN=Anna", san)
        cls.two = cls.ca.sign("two", "/CN=Anna", f"subjectAltName=DNS:x.example,email:{OTHER},email:{WHO}")
        cls.subject = cls.ca.sign("subject", f"/CN={OTHER}/emailAddress={WHO}")
        cls.nobody = cls.ca.sign("nobody", "/CN=Anna", "subjectAltName=DNS:client.example")
        cls.odd = cls.ca.sign("odd", "/CN=Anna", "subjectAltName=email:not an address")
        cls.unknown = cls.ca.sign("unknown", "/CN=x", "subjectAltName=email:ghost@example.org")
        cls.expired = cls.ca.sign("expired", "/CN=Anna", san, start=("20200101000000Z", "20200201000000Z"))
        cls.server_only = cls.ca.sign("server", "/CN=Anna", san + "\nextendedKeyUsage=serverAuth")
        cls.gone = cls.ca.sign("gone", "/CN=Anna", san)
        cls.later = cls.ca.sign("later", "/CN=Anna", san)
        cls.foreign = cls.foreign_ca.sign("foreign", "/CN=Anna", san)
        cls.crl = cls.ca.revoked(cls.gone)
        ca = f'client_ca = "{cls.ca.pem}";'
        rows = {
            "optional": f'client_verify = "optional"; {ca}',
            "require": f'client_verify = "require"; {ca}',
            "crl": f'client_verify = "optional"; {ca} client_crl = "{cls.crl}";',
            "email": f'client_verify = "optional"; {ca} client_identity = "email";',
            "cn": f'client_verify = "optional"; {ca} client_identity = "cn";',
            "foreign": f'client_verify = "optional"; client_ca = "{cls.foreign_ca.pem}";',
            "none": "",
        }
        cls.ports = {name: kit.lab.free_port() for name in (*rows, "stls")}
        listeners = ["{ address = \"127.0.0.1\"; port = %d; tls = \"implicit\"; %s }" % (cls.ports[name], row) for name, row in rows.items()]
        listeners.insert(0, f'{{ address = "127.0.0.1"; port = {cls.ports["stls"]}; {rows["require"]} }}')
        tls = cls.site.lab.tls
        cls.second = cls.site.second(f'log_level = "debug"; cells = 1;\nlisteners = ( {", ".join(listeners)} );\n'
                                     f'tls_certificate = "{tls}/localhost.pem"; tls_key = "{tls}/localhost.key";\n')
        cls.second.address = f"127.0.0.1:{cls.ports['stls']}"
        cls.second.start("--foreground")
        cls.addClassCleanup(cls.second.stop)

    def context(self, cert=None, version=None):
        c = context(self.site)
        if version is not None:
            c.minimum_version = c.maximum_version = version
        if cert is not None:
            c.load_cert_chain(cert)
        return c

    def connect(self, name, cert=None, ctx=None, session=None):
        sock = socket.create_connection(("127.0.0.1", self.ports[name]), timeout=kit.PATIENCE)
        self.addCleanup(sock.close)
        sock = (ctx or self.context(cert)).wrap_socket(sock, server_hostname="localhost", session=session)
        return kit.Pop("", sock=sock)

    def external(self, pop, authzid=""):
        return pop.cmd("AUTH EXTERNAL " + (base64.b64encode(authzid.encode()).decode() or "="))

    def offered(self, pop):
        return b"EXTERNAL" in b" ".join(pop.multi("CAPA"))

    def logged(self, pattern, since=0):
        self.assertTrue(kit.wait_until(lambda: re.search(pattern, self.second.log.read_text()[since:])),
                        f"{pattern} is not in the log{kit.lab.tail(self.second.log)}")

    def refused(self, name, cert, why, **kw):
        since = len(self.second.log.read_text())
        with self.assertRaises((ssl.SSLError, ConnectionError, EOFError)):
            # With TLS 1.3 a client hears of it only at its first read.
            self.connect(name, cert, **kw)
        self.logged(f'tls-error="[^"]*{why}', since)

    def test_login(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for name in ("optional", "require", "crl"):
                for authzid in ("", WHO):
                    with self.subTest(version=version, name=name, authzid=authzid), self.connect(name, ctx=self.context(self.good, version)) as pop:
                        self.assertTrue(self.offered(pop))
                        self.assertRegex(self.external(pop, authzid), rb"^\+OK")
                        self.assertEqual(pop.stat()[0], 1)
                        pop.ok("QUIT")
        self.logged(rf'login user="{WHO}" peer=\S+ tls=\S+ cipher=\S+ mechanism=EXTERNAL result=ok')

    def test_only_where_it_is_stored(self):
        """A certificate, or a worker that says there was one, lets nobody in to a mailbox that accepts none."""
        with self.connect("optional", self.good) as pop:
            self.assertTrue(self.offered(pop))
            self.site.ctl("certificate", WHO, "--remove")
            self.addCleanup(self.site.ctl, "certificate", WHO)
            self.assertEqual(self.external(pop), b"-ERR [AUTH] wrong name or password")
            self.logged(rf'auth name="{WHO}" mechanism=EXTERNAL result=refused reason=no-secret')
            self.assertNotEqual(self.site.ctl("certificate", WHO, "--remove", check=False).returncode, 0)
            # Neither a new password nor what the domain stores is about certificates.
            self.site.ctl("certificate", WHO)
            self.site.ctl("password", WHO, stdin=kit.PASSWORD.encode() + b"\n")
            self.site.ctl("domain", "set", WHO.split("@")[1], "--store", "none")
            self.assertRegex(self.external(pop), rb"^\+OK")
            pop.ok("QUIT")

    def test_stls(self):
        """Nothing is proved before the handshake."""
        with kit.Pop(self.second.address) as pop:
            self.assertFalse(self.offered(pop))
            pop.err("AUTH EXTERNAL =")
            pop.ok("STLS")
            pop.sock = self.context(self.good).wrap_socket(pop.sock, server_hostname="localhost")
            self.assertRegex(self.external(pop), rb"^\+OK")
            pop.ok("QUIT")

    def test_somebody_else(self):
        """A certificate lets in its own address, and no other; it is no login by itself, and passwords work beside it."""
        with self.connect("optional", self.good) as pop:
            pop.err("STAT")
            self.assertRegex(self.external(pop, OTHER), rb"^-ERR")
            pop.login(OTHER)
            pop.ok("QUIT")
        with self.connect("optional", self.unknown) as pop:
            self.assertTrue(self.offered(pop))
            self.assertRegex(self.external(pop), rb"^-ERR")

    def test_without(self):
        for name in ("optional", "none"):
            with self.subTest(name=name), self.connect(name) as pop:
                self.assertFalse(self.offered(pop))
                self.assertRegex(self.external(pop), rb"^-ERR")
                pop.login(WHO)
                pop.ok("QUIT")
        # Where nobody asks, nothing is shown.
        with self.connect("none", self.good) as pop:
            self.assertFalse(self.offered(pop))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.refused("require", None, "peer did not return a certificate", ctx=self.context(None, version))

    def test_identity(self):
        """Which part of it is the address."""
        for name, cert, want in (("optional", self.two, OTHER), ("optional", self.subject, None), ("optional", self.nobody, None), ("optional", self.odd, None),
                                 ("email", self.subject, WHO), ("email", self.good, None), ("cn", self.subject, OTHER), ("cn", self.good, None)):
            with self.subTest(name=name, cert=cert.name), self.connect(name, cert) as pop:
                self.assertEqual(self.offered(pop), want is not None)
                reply = self.external(pop)
                if want is None:
                    self.assertRegex(reply, rb"^-ERR")
                else:
                    self.assertRegex(reply, rb"^\+OK")
                    self.assertIn(want, self.site.ctl("sessions").stdout.decode())
                    pop.ok("QUIT")

    def test_bad(self):
        """What is shown has to be good, also where nothing needs to be shown."""
        for name in ("optional", "require"):
            for cert, why in ((self.expired, "certificate has expired"), (self.foreign, "unable to get local issuer certificate"),
                              (self.server_only, "(un)?suitable certificate purpose|unsupported certificate purpose")):
                with self.subTest(name=name, cert=cert.name):
                    self.refused(name, cert, why)
        self.refused("crl", self.gone, "certificate revoked")
        with self.connect("optional", self.gone) as pop:
            self.assertTrue(self.offered(pop))
        with self.connect("foreign", self.foreign) as pop:
            self.assertRegex(self.external(pop), rb"^\+OK")
            pop.ok("QUIT")

    def resumed(self, name, ctx, session=None):
        with self.connect(name, ctx=ctx, session=session) as pop:
            found = self.offered(pop), pop.sock.session_reused
            pop.ok("QUIT")
            return *found, pop.sock.session

    def test_resumption(self):
        """A resumed session has the identity of its first one, at a listener that asks for the same only."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version):
                ctx = self.context(self.good, version)
                offered, _, session = self.resumed("optional", ctx)
                self.assertTrue(offered)
                for _ in range(3):
                    offered, reused, session = self.resumed("optional", ctx, session)
                    self.assertTrue(offered and reused)
                # Other authorities, another list, none: a full handshake, and their verdict.
                for name in ("crl", "none"):
                    offered, reused, _ = self.resumed(name, ctx, session)
                    self.assertFalse(reused)
                    self.assertEqual(offered, name == "crl")
                # Without its certificate, at a listener that trusts others.
                bare = self.context(None, version)
                self.assertEqual(self.resumed("optional", bare)[:2], (False, False))
                foreign = self.context(self.foreign, version)
                offered, _, session = self.resumed("foreign", foreign)
                self.assertTrue(offered)
                with self.assertRaises((ssl.SSLError, ConnectionError, EOFError)):
                    self.resumed("optional", foreign, session)

    def test_checked(self):
        """What cannot be is told, by --check too."""
        conf = self.site.dir / "wrong.conf"
        text = self.second.conf.read_text()
        for old, new, why in ((f'client_ca = "{self.ca.pem}"', 'client_ca = ""', "requires client_ca"),
                              (f'client_ca = "{self.ca.pem}"', 'client_ca = "/nonexistent"', "could not read the client authorities in /nonexistent"),
                              (f'client_crl = "{self.crl}"', f'client_crl = "{self.ca.pem}"', "could not read the revocation list"),
                              ('client_verify = "require"', 'client_verify = "maybe"', 'client_verify must be "none", "optional" or "require"'),
                              ('client_identity = "cn"', 'client_identity = "dn"', 'client_identity must be "san", "email" or "cn"'),
                              ('client_verify = "require"', 'client_verify = "none"', "require client_verify"),
                              ('client_verify = "require"', 'tls = "none"; client_verify = "require"', "TLS is not available")):
            with self.subTest(why=why):
                self.assertIn(old, text)
                conf.write_text(text.replace(old, new, 1))
                done = subprocess.run([str(self.site.lab.posternd), "-c", str(conf), "--check"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, env=kit.lab.plain_env(), check=False, timeout=30)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(why, done.stdout)

    def test_revoked_since(self):
        """A list of revoked certificates that is read again holds for tickets of before too."""
        ctx = self.context(self.later)
        session = None
        for want in (False, True):
            offered, reused, session = self.resumed("crl", ctx, session)
            self.assertEqual((offered, reused), (True, want))
        self.ca.revoked(self.later)
        os.kill(self.second.proc.pid, signal.SIGHUP)

        def refused():
            try:
                self.resumed("crl", ctx, session)
                return False
            except (ssl.SSLError, ConnectionError, EOFError):
                return True
        since = len(self.second.log.read_text())
        self.assertTrue(kit.wait_until(refused), kit.lab.tail(self.second.log))
        self.logged('tls-error="certificate revoked"', since)


if __name__ == "__main__":
    unittest.main()
