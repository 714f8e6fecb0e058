"""TLS as a client sees it: from the first octet, by STLS, under --inetd (T01-T08, T10-T16, T18, C06).

With Python's ssl and, for what that cannot do wrong on purpose, openssl s_client.
"""
import os
import re
import socket
import ssl
import subprocess
import time
import unittest

import kit
from tlskit import WHO, TlsCase, context


class Sessions(TlsCase):
    def test_whole_session(self):
        """T01 T10: mail goes through it octet for octet; QUIT commits."""
        for name, connect in self.both():
            with self.subTest(name=name), connect() as pop:
                self.site.account(WHO, self.letters)
                pop.login(WHO)
                for n, want in enumerate(self.letters, 1):
                    self.assertEqual(pop.retr(n), want)
                pop.send(b"LIST\r\nUIDL\r\nRETR 4\r\nNOOP\r\n")
                for _ in range(2):
                    self.assertTrue(pop.line().startswith(b"+OK"))
                    self.assertEqual(len(pop.body()), 4)
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertEqual(kit.unstuffed(pop.body()), self.letters[3])
                self.assertTrue(pop.line().startswith(b"+OK"))
                pop.ok("DELE 1")
                pop.ok("QUIT")
                # close_notify: recv() would raise without it.
                self.assertEqual(pop.sock.recv(100), b"")
                self.assertEqual(len(self.site.stored(WHO)), 3)

    def test_version_and_log(self):
        for name, version in (("TLSv1.2", ssl.TLSVersion.TLSv1_2), ("TLSv1.3", ssl.TLSVersion.TLSv1_3)):
            ctx = context(self.site)
            ctx.minimum_version = ctx.maximum_version = version
            for kind, connect in self.both():
                with self.subTest(name=name, kind=kind), connect(ctx) as pop:
                    self.assertEqual(pop.sock.version(), name)
                    pop.login(WHO)
                    self.assertEqual(pop.retr(2), self.letters[1])
                    pop.ok("QUIT")
        for name in ("TLSv1.2", "TLSv1.3"):
            self.assertRegex(self.site.log_text(), rf'login user="{WHO}" peer=127.0.0.1:\d+ tls={name} cipher=\S+ result=ok')
            self.until(lambda n=name: re.search(rf'session user="{WHO}" peer=\S+ tls={n} cipher=\S+ retr=', self.site.log_text()),
                       "no line of the session")

    def test_capabilities(self):
        """C06: STLS is offered where it may be used: before TLS and before the login."""
        with self.site.connect() as pop:
            self.assertIn(b"STLS", pop.multi("CAPA"))
            pop.ok("STLS")
            self.handshake(pop)
            self.assertNotIn(b"STLS", pop.multi("CAPA"))
            self.assertIn(b"USER", pop.multi("CAPA"))
            pop.login(WHO)
            self.assertNotIn(b"STLS", pop.multi("CAPA"))
            pop.ok("QUIT")
        with self.site.login(WHO) as pop:
            self.assertNotIn(b"STLS", pop.multi("CAPA"))
            pop.ok("QUIT")
        with self.implicit() as pop:
            self.assertNotIn(b"STLS", pop.multi("CAPA"))

    def test_stls_where_it_is_not(self):
        """T04 T05: inside TLS, after the login: -ERR, and all goes on."""
        for name, connect in self.both():
            with self.subTest(name=name), connect() as pop:
                pop.err("STLS")
                pop.login(WHO)
                pop.err("STLS")
                pop.ok("QUIT")
        with self.site.login(WHO) as pop:
            pop.err("STLS")
            self.assertEqual(pop.retr(2), self.letters[1])
            pop.ok("QUIT")

    def test_stls_with_argument(self):
        """T08"""
        with self.site.connect() as pop:
            pop.err("STLS x")
            self.assertIn(b"STLS", pop.multi("CAPA"))
            pop.ok("QUIT")

    def test_handshake_is_no_login(self):
        """T06"""
        for name, connect in self.both():
            with self.subTest(name=name), connect() as pop:
                pop.err("STAT")
                pop.ok("QUIT")

    def test_name_is_forgotten(self):
        """T03"""
        with self.site.connect() as pop:
            pop.ok("USER " + WHO)
            pop.ok("STLS")
            self.handshake(pop)
            pop.err("PASS " + kit.PASSWORD)
            pop.login(WHO)
            pop.ok("QUIT")

    def test_pipelined_before_stls(self):
        with self.site.connect() as pop:
            pop.send(b"CAPA\r\nUSER x\r\nSTLS\r\n")
            pop.line()
            pop.body()
            self.assertTrue(pop.line().startswith(b"+OK"))
            self.assertTrue(pop.line().startswith(b"+OK"))
            self.handshake(pop)
            pop.login(WHO)
            pop.ok("QUIT")


class Injection(TlsCase):
    def test_same_segment(self):
        """T02: octets behind STLS in the clear: the session ends, they are never a command."""
        for more in (b"USER evil\r\n", b"NOOP\r\n" * 50, b"X", b"\r\n"):
            with self.subTest(more=more[:20]), self.site.connect() as pop:
                pop.send(b"STLS\r\n" + more)
                self.assertTrue(pop.line().startswith(b"-ERR"))
                self.assertTrue(pop.at_end())

    def test_after_the_answer(self):
        """T02 T07: the next octets are a handshake or the end."""
        for more in (b"USER evil\r\nPASS evil\r\n", b"CAPA\r\n", b"\x80\x80" * 100, b"GET / HTTP/1.1\r\n\r\n"):
            with self.subTest(more=more[:20]), self.site.connect() as pop:
                pop.ok("STLS")
                pop.send(more)
                self.assert_no_reply(pop)

    def test_before_the_answer(self):
        """In another segment, perhaps before our answer: whichever way the race ends nothing of it is run."""
        for _ in range(30):
            with self.site.connect() as pop:
                pop.send(b"STLS\r\n")
                pop.send(b"USER evil\r\n")
                said = self.rest(pop)
                self.assertRegex(said, rb"^(\+OK[^\r\n]*\r\n[\x15\x16]?[^+]*|-ERR[^\r\n]*\r\n)$")

    def test_clear_on_port_995(self):
        """T10 T07: no greeting in the clear, no answer, and the end."""
        for more in (b"CAPA\r\n", b"QUIT\r\n", b"GET / HTTP/1.0\r\n\r\n", b"\0" * 600):
            with self.subTest(more=more[:20]), kit.Pop(self.pop3s, greet=False) as pop:
                pop.send(more)
                self.assert_no_reply(pop)

    def test_wrong_port_is_told(self):
        """Either way round the log says what was wrong with the client's settings."""
        with kit.Pop(self.pop3s, greet=False) as pop:
            pop.send(b"USER " + WHO.encode() + b"\r\n")
            self.assert_no_reply(pop)
        self.until(lambda: 'tls-error="not a TLS handshake"' in self.site.log_text(), "it is not in the log")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            context(self.site).wrap_socket(self.raw(self.site.address), server_hostname="localhost")
        self.until(lambda: "end=early-tls" in self.site.log_text(), "it is not in the log")

    def test_silence_on_port_995(self):
        with kit.Pop(self.pop3s, greet=False) as pop:
            pop.sock.settimeout(1.5)
            with self.assertRaises(TimeoutError):
                pop.sock.recv(1)

    def rest(self, pop):
        said = b""
        try:
            while data := pop.sock.recv(4096):
                said += data
        except ConnectionError:
            pass
        return said

    def assert_no_reply(self, pop):
        """An alert (it begins with 21) or nothing."""
        self.assertRegex(self.rest(pop), rb"(?s)^(\x15\x03.*)?$")


class Rules(TlsCase):
    def refused(self, ctx, name="localhost"):
        with self.assertRaises((ssl.SSLError, ConnectionError)) as caught:
            self.implicit(ctx, name).close()
        return str(caught.exception)

    def test_old_versions(self):
        """T11 T07: refused by default, and told in the log."""
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.subTest(version=version):
                self.assertRegex(self.refused(context(version=version)).lower(), "protocol_version|protocol version|unsupported")
        self.until(lambda: 'tls-error="unsupported protocol"' in self.site.log_text(), "it is not in the log")

    def test_alpn(self):
        """T13"""
        with self.implicit(context(self.site, alpn=["pop3"])) as pop:
            self.assertEqual(pop.sock.selected_alpn_protocol(), "pop3")
        with self.implicit(context(self.site, alpn=["imap", "pop3", "http/1.1"])) as pop:
            self.assertEqual(pop.sock.selected_alpn_protocol(), "pop3")
        with self.implicit() as pop:
            self.assertIsNone(pop.sock.selected_alpn_protocol())
        for offer in (["http/1.1"], ["imap", "h2"], ["pop"], ["pop33"]):
            with self.subTest(offer=offer):
                self.assertRegex(self.refused(context(self.site, alpn=offer)).lower(), "no.application.protocol")

    def test_renegotiation_and_compression(self):
        """T16, with s_client's own command R, which it takes from a line of its own."""
        self.assertIn("Compression: NONE", self.s_client("-tls1_2"))
        with subprocess.Popen(["openssl", "s_client", "-connect", self.pop3s, "-tls1_2"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as proc:
            said = b""
            while b"+OK Postern" not in said:
                said += os.read(proc.stdout.fileno(), 65536)
            proc.stdin.write(b"R\n")
            while data := os.read(proc.stdout.fileno(), 65536):
                said += data
        self.assertRegex(said.decode(errors="replace"), "(?s)RENEGOTIATING.*no renegotiation")

    def test_no_early_data(self):
        said = self.s_client("-tls1_3", "-quiet", stdin=b"QUIT\r\n")
        self.assertIn("+OK bye", said)
        # The ticket is shown once a command has been answered; s_client -quiet hides it, so once more.
        path = self.site.dir / "early.sess"
        said = self.s_client("-tls1_3", "-sess_out", str(path), stdin=b"QUIT\r\n")
        self.assertIn("Max Early Data: 0", said)
        shown = subprocess.run(["openssl", "sess_id", "-in", str(path), "-noout", "-text"], stdout=subprocess.PIPE,
                               check=True).stdout.decode()
        self.assertIn("Max Early Data: 0", shown)

    def test_ciphers(self):
        """No key exchange without forward secrecy, no export, no anonymous one."""
        for cipher in ("kRSA", "aNULL", "eNULL", "3DES", "RC4", "PSK"):
            said = self.s_client("-tls1_2", "-cipher", cipher + ":@SECLEVEL=0")
            with self.subTest(cipher=cipher):
                self.assertNotIn("+OK", said)

    def test_what_is_spoken(self):
        """T11 T16: each version, cipher and group that a client could ask for, and which of them is answered."""
        def answered(*args):
            return "+OK Postern" in self.s_client(*args)
        ciphers = subprocess.run(["openssl", "ciphers", "-tls1_2", "-s", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"], stdout=subprocess.PIPE,
                                 check=True).stdout.decode().strip().split(":")
        spoken = {c for c in ciphers if not c.startswith("TLS_") and c.startswith("ECDHE-ECDSA") and answered("-tls1_2", "-cipher", c + ":@SECLEVEL=0")}
        self.assertEqual(spoken, {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"})
        for family in ("DHE", "ECDH", "PSK", "SRP", "kRSA", "ADH", "AECDH"):
            self.assertFalse(answered("-tls1_2", "-cipher", f"{family}:!kECDHE:@SECLEVEL=0"), family)
        for suite in ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"):
            self.assertTrue(answered("-tls1_3", "-ciphersuites", suite), suite)
        self.assertFalse(answered("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"))
        for group, want in (("X25519", True), ("P-256", True), ("P-384", True), ("secp256k1", False), ("P-192", False), ("brainpoolP256r1", False)):
            self.assertEqual(answered("-tls1_3", "-groups", group), want, group)
            # In 1.2 the groups are those of keys too, and that of the certificate is P-256.
            groups = f"{group}:P-256" if want and group != "P-256" else group
            self.assertEqual(answered("-tls1_2", "-groups", groups), want, group)

    def test_downgrade_is_seen(self):
        """RFC 8446 section 4.1.3: who speaks 1.3 and is asked for 1.2 says so in its random; RFC 7507."""
        said = self.s_client("-tls1_2", "-trace") if "-trace" in subprocess.run(["openssl", "s_client", "-help"], stderr=subprocess.PIPE,
                                                                                check=False).stderr.decode() else None
        if said is not None:
            self.assertIn("444F574E47524401", re.sub(r"\s", "", said).upper())
        said = self.s_client("-tls1_2", "-fallback_scsv")
        self.assertNotIn("+OK", said)
        self.assertIn("inappropriate fallback", said)

    def test_cut_deletes_nothing(self):
        """T15: the TCP connection ends without close_notify."""
        for _, connect in self.both():
            for end in ("close", "reset", "shutdown"):
                self.site.account(WHO, self.letters)
                pop = connect()
                pop.login(WHO)
                pop.ok("DELE 1")
                raw = socket.socket(fileno=os.dup(pop.sock.fileno()))
                os.close(pop.sock.detach())
                if end == "reset":
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                elif end == "shutdown":
                    raw.shutdown(socket.SHUT_WR)
                raw.close()
                with self.site.login_soon(WHO) as again:
                    self.assertEqual(again.stat()[0], len(self.letters))
                    again.ok("QUIT")

    def test_goodbye_without_quit(self):
        """A close_notify is the end of the input, and no QUIT either."""
        pop = self.implicit()
        pop.login(WHO)
        pop.ok("DELE 1")
        pop.sock.unwrap().close()
        with self.site.login_soon(WHO) as again:
            self.assertEqual(again.stat()[0], len(self.letters))
            again.ok("QUIT")

    def test_slow_reader(self):
        """A client that takes a long message slowly gets all of it."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(30)
        raw.connect(("127.0.0.1", self.site.pop3s))
        with kit.Pop("", sock=context(self.site).wrap_socket(raw, server_hostname="localhost"), timeout=30) as pop:
            pop.login(WHO)
            pop.send(b"RETR 4\r\n" * 3 + b"QUIT\r\n")
            time.sleep(1)
            for _ in range(3):
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertEqual(kit.unstuffed(pop.body()), self.letters[3])
            self.assertTrue(pop.line().startswith(b"+OK"))

    def test_one_octet_at_a_time(self):
        """Handshake and commands in the smallest of pieces."""
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context(self.site).wrap_bio(inside, outside, server_hostname="localhost")
        with self.raw(self.pop3s) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def step(call, *args):
                while True:
                    try:
                        result = call(*args)
                    except ssl.SSLWantReadError:
                        result = None
                    for octet in outside.read():
                        s.sendall(bytes([octet]))
                    if result is not None:
                        return result
                    data = s.recv(4096)
                    self.assertTrue(data)
                    inside.write(data)
            step(lambda: tls.do_handshake() or True)
            self.assertTrue(step(tls.read, 4096).startswith(b"+OK"))
            step(tls.write, b"QUIT\r\n")
            self.assertTrue(step(tls.read, 4096).startswith(b"+OK"))


class Stall(TlsCase):
    """T18: half handshakes end with the time for a login, and stand in nobody's way."""

    conf = kit.QUICK + 'pop3_login_time = "8s";\n'

    def test_half_handshakes(self):
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        with self.assertRaises(ssl.SSLWantReadError):
            context().wrap_bio(inside, outside).do_handshake()
        hello = outside.read()
        held = []
        for n in range(500):
            s = self.raw(self.pop3s)
            s.sendall([b"", hello[:100], hello][n % 3])
            held.append(s)
        for _, connect in self.both():
            with connect() as pop:
                pop.login(WHO)
                self.assertEqual(pop.retr(1), self.letters[0])
                pop.ok("QUIT")
        for s in held:
            s.settimeout(kit.PATIENCE)
            try:
                while s.recv(65536):
                    pass
            except ConnectionError:
                pass
            s.close()

    def test_stls_and_nothing(self):
        with self.site.connect() as pop:
            pop.ok("STLS")
            self.assertTrue(pop.at_end(15))


class OneShot(TlsCase):
    """posternd --inetd: TLS at once with --tls, or by STLS; on a socket and on two pipes."""

    def start(self, *args, stdin, stdout, conf=None, env=None):
        return subprocess.Popen([str(self.site.lab.posternd), "-c", str(conf or self.site.lab.conf), "--inetd", *args],
                                stdin=stdin, stdout=stdout, stderr=stdout, env={**kit.lab.plain_env(), **(env or {})})

    def test_socket(self):
        for tls in (True, False):
            with self.subTest(tls=tls):
                ours, theirs = socket.socketpair()
                with theirs:
                    proc = self.start(*(["--tls"] if tls else []), stdin=theirs, stdout=theirs)
                ours.settimeout(kit.PATIENCE)
                if tls:
                    pop = kit.Pop("", sock=context(self.site).wrap_socket(ours, server_hostname="localhost"))
                else:
                    pop = kit.Pop("", sock=ours)
                    self.assertIn(b"STLS", pop.multi("CAPA"))
                    pop.ok("STLS")
                    self.handshake(pop)
                with pop:
                    pop.login(WHO)
                    self.assertEqual(pop.retr(4), self.letters[3])
                    pop.ok("QUIT")
                self.assertEqual(proc.wait(kit.PATIENCE), 0)

    def test_pipes(self):
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context(self.site).wrap_bio(inside, outside, server_hostname="localhost")
        proc = subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--inetd", "--tls"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=kit.lab.plain_env(), bufsize=0)

        def step(call, *args):
            while True:
                try:
                    result = call(*args)
                except ssl.SSLWantReadError:
                    result = None
                wanted = outside.read()
                if wanted:
                    proc.stdin.write(wanted)
                if result is not None:
                    return result
                data = os.read(proc.stdout.fileno(), 65536)
                self.assertTrue(data)
                inside.write(data)

        step(lambda: tls.do_handshake() or True)
        self.assertTrue(step(tls.read, 4096).startswith(b"+OK"))
        step(tls.write, f"USER {WHO}\r\nPASS {kit.PASSWORD}\r\nSTAT\r\nQUIT\r\n".encode())
        said = b""
        while b"bye" not in said:
            said += step(tls.read, 4096)
        self.assertEqual(said.count(b"+OK"), 4)
        proc.stdin.close()
        self.assertEqual(proc.wait(kit.PATIENCE), 0)
        proc.stdout.close()

    def test_unusable_certificate(self):
        """It is looked at only where TLS is asked for: by STLS, or from the first octet; a file that cannot be read, always."""
        conf = self.site.dir / "unusable.conf"
        text = self.site.lab.conf.read_text()
        for key, args, said in (("ca.pem", [], b"+OK"), ("ca.pem", ["--tls"], b""), ("none.key", [], b"-ERR [SYS/PERM]")):
            with self.subTest(key=key, args=args):
                conf.write_text(text.replace("localhost.key", key))
                ours, theirs = socket.socketpair()
                with theirs:
                    proc = self.start(*args, stdin=theirs, stdout=theirs, conf=conf)
                ours.settimeout(kit.PATIENCE)
                with ours, ours.makefile("rb") as lines:
                    self.assertTrue(lines.readline().startswith(said))
                    if said == b"+OK":
                        for command, answer in ((b"STLS", b"-ERR [SYS/PERM]"), (b"STLS", b"-ERR"), (b"USER x", b"+OK"), (b"QUIT", b"+OK")):
                            ours.sendall(command + b"\r\n")
                            self.assertTrue(lines.readline().startswith(answer))
                    else:
                        self.assertEqual(lines.read(), b"")
                self.assertEqual(proc.wait(kit.PATIENCE), 0 if said == b"+OK" else 1)

    def test_policy_of_the_system(self):
        """What OpenSSL's own configuration says holds by STLS, too, where the process can no longer read it."""
        policy = self.site.dir / "openssl.cnf"
        policy.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nCiphersuites = TLS_CHACHA20_POLY1305_SHA256\n")
        ours, theirs = socket.socketpair()
        with theirs:
            proc = self.start(stdin=theirs, stdout=theirs, env={"OPENSSL_CONF": str(policy)})
        ours.settimeout(kit.PATIENCE)
        with kit.Pop("", sock=ours) as pop:
            pop.ok("STLS")
            self.handshake(pop)
            self.assertEqual(pop.sock.cipher()[0], "TLS_CHACHA20_POLY1305_SHA256")
            pop.ok("QUIT")
        self.assertEqual(proc.wait(kit.PATIENCE), 0)

    def test_no_certificate(self):
        """To a client that waits for a handshake not one octet in the clear is said."""
        conf = self.site.dir / "bare.conf"
        conf.write_text(re.sub(r"(?ms)^(tls_\w+ = [^;]*;|listeners = .*?\);)$", "", self.site.lab.conf.read_text()))
        ours, theirs = socket.socketpair()
        with theirs:
            proc = self.start("--tls", stdin=theirs, stdout=theirs, conf=conf)
        with ours:
            ours.settimeout(kit.PATIENCE)
            self.assertEqual(ours.recv(100), b"")
        self.assertEqual(proc.wait(kit.PATIENCE), 1)

    def test_command_line(self):
        for args in (["--tls"], ["--tls", "--foreground"]):
            done = subprocess.run([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), *args],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
