"""TLS as an operator sets it up: certificates, names, reload, tickets, who needs it (T12, T16, T17, A14, C07)."""
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import unittest

import kit
from tlskit import WHO, TlsCase, context


class Names(TlsCase):
    """T12 T17: which certificate, and when another one."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sni = cls.site.dir / "sni"
        cls.sni.mkdir(mode=0o700)
        cls.site.lab.certificate("mail.one.example", ["DNS:mail.one.example"], cls.sni, kind="RSA")
        cls.site.lab.certificate("mail.two.example", ["DNS:mail.two.example"], cls.sni)
        # The other form: all in one file.
        key = cls.sni / "mail.two.example.key"
        with open(cls.sni / "mail.two.example.pem", "a", encoding="ascii") as out:
            out.write(key.read_text())
        key.unlink()
        (cls.sni / "README").write_text("not a certificate\n")
        cls.site.lab.certificate("_.wild.example", ["DNS:*.wild.example"], cls.sni)
        cls.site.lab.certificate("own.wild.example", ["DNS:own.wild.example"], cls.sni)
        cls.site.lab.certificate("both.example", ["DNS:both.example"], cls.sni)
        cls.site.lab.certificate("both.example+rsa", ["DNS:both.example"], cls.sni, kind="RSA")
        cls.more = f'tls_sni_directory = "{cls.sni}";\n'

    def setUp(self):
        self.reload(self.conf + self.more)
        self.until(lambda: self.subject("mail.two.example") == "mail.two.example", "the directory is not in use")

    def subject(self, name, connect=None):
        c = context(self.site)
        c.check_hostname = False
        try:
            with (connect or self.implicit)(c, name) as pop:
                return dict(row[0] for row in pop.sock.getpeercert()["subject"])["commonName"]
        except (OSError, EOFError):
            return None

    def test_names(self):
        for name, want in (("mail.one.example", "mail.one.example"), ("MAIL.Two.Example", "mail.two.example"),
                           ("localhost", "localhost"), ("unknown.example", "localhost"), (None, "localhost"),
                           ("a" * 60 + ".example", "localhost"),
                           ("mail.wild.example", "_.wild.example"), ("x.WILD.example", "_.wild.example"), ("own.wild.example", "own.wild.example"),
                           ("a.mail.wild.example", "localhost"), ("wild.example", "localhost"), ("both.example", "both.example")):
            for kind, connect in self.both():
                with self.subTest(name=name, kind=kind):
                    self.assertEqual(self.subject(name, connect), want)
        # A client that knows one kind of key only gets the name's certificate or none, never another name's.
        said = self.s_client("-servername", "mail.one.example", "-sigalgs", "ECDSA+SHA256")
        self.assertNotIn("+OK", said)
        self.assertIn("mail.one.example", self.s_client("-servername", "mail.one.example", "-sigalgs", "RSA-PSS+SHA256"))

    def test_two_kinds_of_keys(self):
        """The client's choice; two of one kind are a mistake."""
        for algorithm, want in (("ECDSA+SHA256", "both.example"), ("RSA-PSS+SHA256", "both.example+rsa")):
            for version in ("-tls1_2", "-tls1_3"):
                with self.subTest(algorithm=algorithm, version=version):
                    said = self.s_client("-servername", "both.example", "-sigalgs", algorithm, version)
                    self.assertRegex(said, rf'subject=CN ?= ?"?{re.escape(want)}"?\n')
        second = self.sni / "both.example+more.pem"
        shutil.copyfile(self.sni / "both.example.pem", second)
        shutil.copyfile(self.sni / "both.example.key", second.with_suffix(".key"))
        self.addCleanup(second.unlink)
        done = subprocess.run([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--check"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, env=kit.lab.plain_env(), check=False, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("two certificates for both.example have the same type of key", done.stdout)

    def test_reload(self):
        """T17: new connections get the new one, sessions of before go on."""
        pop = self.implicit()
        pop.login(WHO)
        before = pop.sock.getpeercert(True)
        self.site.lab.certificate("localhost", ["DNS:localhost", "IP:127.0.0.1"])
        self.reload(self.conf + self.more)

        def changed():
            with self.implicit() as other:
                return other.sock.getpeercert(True) != before
        self.until(changed, "the old certificate is still in use")
        self.assertEqual(pop.retr(4), self.letters[3])
        pop.ok("QUIT")
        pop.close()

    def test_broken_certificate_keeps_the_old_one(self):
        """Every problem is in the log, with its file; nothing changes."""
        pem, key = self.site.lab.tls / "localhost.pem", self.site.lab.tls / "localhost.key"
        good, good_key = pem.read_text(), key.read_text()
        other = (self.sni / "mail.one.example.key").read_text()
        bad_name = self.sni / "bad.example.pem"
        encrypted = subprocess.run(["openssl", "pkey", "-in", str(key), "-aes128", "-passout", "pass:x"],
                                   stdout=subprocess.PIPE, check=True).stdout.decode()
        try:
            for what, path, text, word in (
                    ("empty", pem, "", "no certificate in .*localhost.pem"),
                    ("cut", pem, good[:len(good) - 60], "chain in .*localhost.pem is broken"),
                    ("another key", key, other, "the key in .*localhost.key does not match the certificate in"),
                    ("no key", key, "x", "no private key in .*localhost.key"),
                    ("passphrase", key, encrypted, "localhost.key has a passphrase"),
                    ("of a name", bad_name, "x", "no certificate in .*bad.example.pem")):
                with self.subTest(what=what):
                    size = len(self.site.log_text())
                    path.write_text(text)
                    self.reload(self.conf + self.more + "pop3_implementation = false;\n")
                    self.until(lambda s=size: "the old configuration and its certificates stay" in self.site.log_text()[s:],
                               "the reload was not refused")
                    self.assertRegex(self.site.log_text()[size:], word)
                    with self.implicit() as pop:
                        self.assertIn(b"IMPLEMENTATION Postern", pop.multi("CAPA"))
                    # At a start and for --check it is the end.
                    for args in (["--check"], ["--foreground"]):
                        done = subprocess.run([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), *args],
                                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                              text=True, env=kit.lab.plain_env(), check=False, timeout=30)
                        self.assertEqual(done.returncode, 1, done.stdout)
                        self.assertRegex(done.stdout, word)
                pem.write_text(good)
                key.write_text(good_key)
                bad_name.unlink(missing_ok=True)
        finally:
            pem.write_text(good)
            key.write_text(good_key)
            bad_name.unlink(missing_ok=True)


class Tickets(TlsCase):
    """T16: a ticket is good in every cell, and after a reload; not in another daemon."""

    conf = kit.QUICK + "cells = 3;\n"

    def setUp(self):
        self.renew(self.conf)

    def renew(self, conf):
        """Until nobody of before takes a connection."""
        workers = set(self.site.tree()[1])
        self.reload(conf)
        self.until(lambda: len(self.site.tree()[1]) == 3 and not workers & set(self.site.tree()[1]), "no new cells")

    def resumed(self, session, ctx):
        with self.implicit(ctx, session=session) as pop:
            pop.ok("QUIT")
            reused = pop.sock.session_reused
            return reused, pop.sock.session

    def test_resumption(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version):
                ctx = context(self.site)
                ctx.minimum_version = ctx.maximum_version = version
                reused, session = self.resumed(None, ctx)
                self.assertFalse(reused)
                for _ in range(20):
                    reused, session = self.resumed(session, ctx)
                    self.assertTrue(reused)
                self.renew(self.conf)
                for _ in range(5):
                    reused, session = self.resumed(session, ctx)
                    self.assertTrue(reused)
                # Other keys: a full handshake, and all is well.
                self.renew(self.conf + 'tls_ticket_life = "1h";\n')
                self.assertFalse(self.resumed(session, ctx)[0])
                self.renew(self.conf)

    def test_rotation(self):
        """The clock alone brings new keys, to all cells the same; what is older than two lives is not taken."""
        self.renew(self.conf + 'tls_ticket_life = "4s";\n')
        ctx = context(self.site)
        ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion.TLSv1_3
        _, first = self.resumed(None, ctx)
        session, reuses = first, 0
        end = time.monotonic() + 9
        # As long as it takes to see some reused, where the host is busy: tickets of four seconds are for this test only.
        while time.monotonic() < end or (reuses <= 5 and time.monotonic() < end + kit.PATIENCE):
            reused, session = self.resumed(session, ctx)
            reuses += reused
            time.sleep(0.2)
        self.assertGreater(reuses, 5)
        self.assertFalse(self.resumed(first, ctx)[0])

    def test_off(self):
        self.renew(self.conf + "tls_ticket_life = 0;\n")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            ctx = context(self.site)
            ctx.minimum_version = ctx.maximum_version = version

            with self.implicit(ctx) as pop:
                pop.ok("QUIT")
                self.assertTrue(pop.sock.session is None or not pop.sock.session.has_ticket)


class Policy(TlsCase):
    """A14 C07: who may log in without TLS."""

    conf = kit.QUICK + 'log_level = "debug";\n'

    def second(self, listener, more=""):
        port = kit.lab.free_port()
        tls = self.site.lab.tls
        second = self.site.second(f'listeners = ( {{ address = "127.0.0.1"; port = {port}; {listener} }} );\n'
                                  f'tls_certificate = "{tls}/localhost.pem"; tls_key = "{tls}/localhost.key";\n' + more)
        second.address = f"127.0.0.1:{port}"
        second.start("--foreground")
        self.addCleanup(second.stop)
        return second

    def test_never(self):
        second = self.second('cleartext_login = "never";')
        secret = "never-in-the-log"
        with kit.Pop(second.address) as pop:
            lines = pop.multi("CAPA")
            self.assertNotIn(b"USER", lines)
            self.assertIn(b"STLS", lines)
            for text in ("USER " + WHO, "PASS " + kit.PASSWORD, "PASS " + secret):
                self.assertRegex(pop.err(text), rb"^-ERR TLS is required to log in: use STLS, or TLS on port 995$")
            pop.err("STAT")
            pop.ok("STLS")
            self.handshake(pop)
            self.assertIn(b"USER", pop.multi("CAPA"))
            pop.login(WHO)
            pop.ok("QUIT")
        log = second.log.read_text()
        self.assertNotIn(secret, log)
        self.assertRegex(log, rf'login user="{WHO}" peer=\S+ result=refused reason=cleartext')

    def test_local_is_the_default(self):
        """An address of this host that is not loopback stands in for somebody elsewhere."""
        with self.site.connect() as pop:
            self.assertIn(b"USER", pop.multi("CAPA"))
        address = own_address()
        if address is None:
            self.skipTest("this host has no address but loopback")
        port = kit.lab.free_port()
        tls = self.site.lab.tls
        second = self.site.second(
            f'listeners = ( {{ address = "*"; port = {port}; }}, {{ address = "{self.site.dir}/clear.sock"; tls = "none"; }} );\n'
            f'tls_certificate = "{tls}/localhost.pem"; tls_key = "{tls}/localhost.key";\n')
        second.address = f"127.0.0.1:{port}"
        second.start("--foreground")
        self.addCleanup(second.stop)
        with kit.Pop(f"{address}:{port}") as pop:
            self.assertNotIn(b"USER", pop.multi("CAPA"))
            pop.err("USER " + WHO)
            pop.err("PASS " + kit.PASSWORD)
            pop.ok("QUIT")
        for place in (f"127.0.0.1:{port}", str(self.site.dir / "clear.sock")):
            with self.subTest(place=place), kit.Pop(place) as pop:
                lines = pop.multi("CAPA")
                self.assertEqual(b"STLS" in lines, not place.startswith("/"))
                pop.login(WHO)
                pop.ok("QUIT")

    def test_always(self):
        address = own_address()
        if address is None:
            self.skipTest("this host has no address but loopback")
        port = kit.lab.free_port()
        second = self.site.second(f'listeners = ( {{ address = "*"; port = {port}; cleartext_login = "always"; }} );\n')
        second.address = f"127.0.0.1:{port}"
        second.start("--foreground")
        self.addCleanup(second.stop)
        with kit.Pop(f"{address}:{port}") as pop:
            lines = pop.multi("CAPA")
            self.assertIn(b"USER", lines)
            self.assertNotIn(b"STLS", lines)
            pop.err("STLS")
            pop.login(WHO)
            pop.ok("QUIT")

    def test_of_a_listener(self):
        """A certificate of its own; and a warning where clients could never log in."""
        self.site.lab.certificate("own.example", ["DNS:own.example"], self.site.dir)
        second = self.second(f'certificate = "{self.site.dir}/own.example.pem"; key = "{self.site.dir}/own.example.key";')
        with kit.Pop(second.address) as pop:
            pop.ok("STLS")
            self.handshake(pop, name="own.example")
            pop.ok("QUIT")
        third = self.site.second(f'listeners = ( {{ address = "*"; port = {kit.lab.free_port()}; }} );\n')
        third.start("--foreground", wait=False)
        self.addCleanup(third.stop)
        self.until(lambda: third.log.exists() and "clients on other hosts cannot log in" in third.log.read_text(), "no warning")


def own_address():
    """Of this host, not loopback; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = s.getsockname()[0]
    return None if found.startswith("127.") else found


class Key(TlsCase):
    def test_key_is_unreadable_for_workers(self):
        """It is root's, and a cell that is made later has it all the same."""
        if not kit.ROOT:
            self.skipTest("all processes are one user's")
        key = self.site.lab.tls / "localhost.key"
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        hidden = key.with_suffix(".away")
        shutil.move(key, hidden)
        self.addCleanup(shutil.move, hidden, key)
        for pid in self.site.tree()[1]:
            kit.kill(pid)
        self.until(lambda: len(self.site.tree()[1]) == len(os.sched_getaffinity(0)), "no new cells")
        with self.implicit() as pop:
            pop.login(WHO)
            pop.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
