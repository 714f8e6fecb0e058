"""SASL and APOP against a real database (RFC 5034, 5802, 7677, 2195, 1939 section 7): what a dialogue cannot compute.

P01-P09, C05, C07, C08, S03, S09, S19-S23, S25-S28, S30, S31.
"""
import base64
import contextlib
import hashlib
import hmac
import os
import poplib
import re
import socket
import ssl
import subprocess
import unittest

import kit
import scram
from tlskit import TlsCase, context

WHO = "sasl@example.org"
GHOST = "ghost@example.org"
SECRET = "tanstaaftanstaaf"
ALL = ('sasl_mechanisms = "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS SCRAM-SHA-1 SCRAM-SHA-1-PLUS CRAM-MD5 EXTERNAL APOP";'
       "pop3_login_failures = 100; pop3_bad_commands = 1000;\n")


def store(site, address, kind, secret):
    site.sql(f"""insert into postern.credential (mailbox, kind, secret)
        select mailbox, '{kind}', '{secret}' from postern.mailbox where address = '{address}'
        on conflict (mailbox, kind, label) do update set secret = excluded.secret""")


def say(pop, message):
    return pop.cmd(base64.b64encode(message))


def challenge(line):
    if re.fullmatch(rb"\+ [A-Za-z0-9+/]*=*", line) is None:
        raise AssertionError(f"S12: {line}")
    return base64.b64decode(line[2:])


def scram_login(pop, client, mechanism="SCRAM-SHA-256", **final):
    """The last line of the server; where the proof was right, that of the client's empty answer."""
    line = pop.cmd(f"AUTH {mechanism} {scram.b64(client.first())}")
    if not line.startswith(b"+ "):
        return line
    line = say(pop, client.final(challenge(line), **final))
    if not line.startswith(b"+ "):
        return line
    if challenge(line) != client.signature:
        raise AssertionError("the server does not know the secret")
    return pop.cmd("")


def cram_md5(pop, user, secret):
    line = challenge(pop.cmd("AUTH CRAM-MD5"))
    if re.fullmatch(rb"<[!-;=?-~]+@[!-;=?-~]+>", line) is None:
        raise AssertionError(f"S19: {line}")
    return say(pop, f"{user} {hmac.new(secret.encode(), line, 'md5').hexdigest()}".encode())


class Vectors(unittest.TestCase):
    """The clients of this file are what the standards say."""

    def test_scram(self):
        """S20."""
        c = scram.Client("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
        final = c.final(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
        self.assertEqual(c.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
        self.assertTrue(final.endswith(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
        self.assertEqual(c.signature, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        c = scram.Client("user", "pencil", "sha1", nonce="fyko+d2lbbFgONRv9qkxdawL")
        final = c.final(b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096")
        self.assertTrue(final.endswith(b",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="))
        self.assertEqual(c.signature, b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")

    def test_cram_md5_and_apop(self):
        """S19 P03."""
        self.assertEqual(hmac.new(b"tanstaaftanstaaf", b"<1896.697170952@postoffice.reston.mci.net>", "md5").hexdigest(),
                         "b913a602c7eda7a495b4e6e7334d3890")
        self.assertEqual(hashlib.md5(b"<1896.697170952@dbc.mtview.ca.us>tanstaaf").hexdigest(), "c4c9334bac560ecc979e58001b3e22fb")


class SaslCase(TlsCase):
    conf = kit.QUICK + ALL

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.site.account(WHO, cls.letters[:2])
        store(cls.site, WHO, "scram-sha-256", scram.verifier(kit.PASSWORD))
        store(cls.site, WHO, "shared-secret", SECRET)

    def in_log(self, pattern):
        self.assertTrue(kit.wait_until(lambda: re.search(pattern, self.site.log_text())), pattern + self.site.log_tail())

    def refused(self, line):
        self.assertEqual(line, b"-ERR [AUTH] wrong name or password")


class Scram(SaslCase):
    def test_login(self):
        """S21: the server's proof goes out as a challenge; an empty line, then +OK; SASL is still in CAPA (C05)."""
        with self.site.connect() as pop:
            line = scram_login(pop, scram.Client(WHO, kit.PASSWORD))
            self.assertTrue(line.startswith(b"+OK 2 messages"), line)
            self.assertIn(b"SASL SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN", pop.multi("CAPA"))
            pop.err("AUTH PLAIN")
            pop.ok("QUIT")
        self.in_log(rf'login user="{WHO}" peer=\S+ mechanism=SCRAM-SHA-256 result=ok')

    def test_without_initial_response(self):
        with self.site.connect() as pop:
            c = scram.Client(WHO.upper(), kit.PASSWORD, header=f"n,a={WHO},")
            self.assertEqual(pop.cmd("AUTH SCRAM-SHA-256"), b"+ ")
            line = say(pop, c.final(challenge(say(pop, c.first()))))
            self.assertEqual(challenge(line), c.signature)
            self.assertTrue(pop.cmd("").startswith(b"+OK"))
            pop.ok("QUIT")

    def test_wrong(self):
        """S09 S22 S27: an altered proof, nonce or header, somebody else's authorization identity; then all is as before."""
        with self.site.connect() as pop:
            self.refused(scram_login(pop, scram.Client(WHO, "wrong")))
            self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD), nonce="abc"))
            self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD), cbind=scram.b64(b"y,,")))
            self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="n,a=tls@example.org,")))
            self.refused(scram_login(pop, scram.Client(GHOST, kit.PASSWORD)))
            c = scram.Client(WHO, kit.PASSWORD)
            final = c.final(challenge(pop.cmd(f"AUTH SCRAM-SHA-256 {scram.b64(c.first())}")))
            self.refused(say(pop, final.replace(b",p=", b",p=A")[:-1]))
            self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="p=tls-exporter,,", binding=b"x" * 32)))
            pop.login(WHO)
            pop.ok("QUIT")
        for reason in ("password", "authzid", "unknown"):
            self.in_log(rf"auth name=\S+ mechanism=SCRAM-SHA-256 result=refused reason={reason}")

    def test_given_up_at_the_end(self):
        """S21: a star, or something else, instead of the empty line."""
        for instead in ("*", "YQ=="):
            with self.subTest(instead=instead), self.site.connect() as pop:
                c = scram.Client(WHO, kit.PASSWORD)
                line = say(pop, c.final(challenge(pop.cmd(f"AUTH SCRAM-SHA-256 {scram.b64(c.first())}"))))
                self.assertEqual(challenge(line), c.signature)
                self.assertTrue(pop.cmd(instead).startswith(b"-ERR"))
                pop.err("STAT")

    def offer(self, user, address=None, mechanism="SCRAM-SHA-256"):
        """Salt and iteration count."""
        with kit.Pop(address or self.site.address) as pop:
            c = scram.Client(user, "x")
            return c.parse(challenge(pop.cmd(f"AUTH {mechanism} {scram.b64(c.first())}")))[1:]

    def elsewhere(self, user):
        """What a host that has just been started offers."""
        second = self.site.second().start()
        try:
            return self.offer(user, second.address)
        finally:
            second.stop()

    def test_names_that_are_not_there(self):
        """S26: they have a salt like others, always the same, whichever helper is asked, and after a restart."""
        none = "none@example.org"
        self.site.account(none, [])
        real = self.offer(WHO)
        salts = {user: self.offer(user) for user in (GHOST, "other@example.org", none)}
        self.assertEqual(len({s for s, _ in salts.values()}), 3)
        for salt, iterations in salts.values():
            self.assertEqual((len(salt), iterations), (len(real[0]), real[1]))
        second = self.site.second()
        self.addCleanup(second.stop)
        second.start()
        for _ in range(6):
            for user, want in salts.items():
                self.assertEqual(self.offer(user), want)
                self.assertEqual(self.offer(user.upper(), second.address), want)
        self.assertNotEqual(self.offer(GHOST, mechanism="SCRAM-SHA-1")[0], salts[GHOST][0])
        with self.site.connect() as pop:
            self.refused(scram_login(pop, scram.Client(none, kit.PASSWORD)))
        self.in_log(rf'auth name="{none}" mechanism=SCRAM-SHA-256 result=refused reason=no-secret')

    def test_salts_are_of_the_database(self):
        """They come from a row of the database: whatever host it is, and whatever its machine-id."""
        kept = self.site.sql("select decoy from postern.login_key")
        self.addCleanup(self.site.sql, f"update postern.login_key set decoy = '{kept}'")
        salt, real = self.offer(GHOST), self.offer(WHO)
        self.site.sql("update postern.login_key set decoy = sha256('other')")
        self.assertNotEqual(self.elsewhere(GHOST)[0], salt[0])
        self.assertEqual(self.elsewhere(WHO), real)
        self.site.sql(f"update postern.login_key set decoy = '{kept}'")
        self.assertEqual(self.elsewhere(GHOST), salt)

    def test_inetd_has_the_same_salts(self):
        want = self.offer(GHOST)
        ours, theirs = socket.socketpair()
        with theirs:
            proc = subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--inetd"],
                                    stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=kit.lab.plain_env())
        with kit.Pop("", sock=ours) as pop:
            c = scram.Client(GHOST, "x")
            self.assertEqual(c.parse(challenge(pop.cmd(f"AUTH SCRAM-SHA-256 {scram.b64(c.first())}")))[1:], want)
            pop.err("*")
            line = scram_login(pop, scram.Client(WHO, kit.PASSWORD))
            self.assertTrue(line.startswith(b"+OK"), line)
            pop.ok("QUIT")
        proc.wait(kit.PATIENCE)

    def test_derived(self):
        """A mailbox with the secret itself needs no verifier."""
        who = "derived@example.org"
        self.site.account(who, [])
        store(self.site, who, "shared-secret", SECRET)
        for mechanism, name in (("SCRAM-SHA-256", "sha256"), ("SCRAM-SHA-1", "sha1")):
            with self.subTest(mechanism=mechanism), self.site.connect() as pop:
                self.refused(scram_login(pop, scram.Client(who, kit.PASSWORD, name), mechanism))
                line = scram_login(pop, scram.Client(who, SECRET, name), mechanism)
                self.assertTrue(line.startswith(b"+OK"), line)
                pop.ok("QUIT")

    def test_disabled(self):
        """As a wrong password, and the server's proof is not shown."""
        who = "off@example.org"
        self.site.account(who, [])
        store(self.site, who, "scram-sha-256", scram.verifier(kit.PASSWORD))
        store(self.site, who, "shared-secret", SECRET)
        self.site.ctl("mailbox", "disable", who)
        with self.site.connect() as pop:
            self.refused(scram_login(pop, scram.Client(who, kit.PASSWORD)))
            self.refused(cram_md5(pop, who, SECRET))
            self.refused(pop.cmd(f"APOP {who} {apop_digest(pop.greeting, SECRET)}"))

    def test_stored_nonsense(self):
        """An operator has to act, as the log says; to a client it is a name that does not exist."""
        who = "nonsense@example.org"
        self.site.account(who, [])
        store(self.site, who, "scram-sha-256", "SCRAM-SHA-256$4096:x$y:z")
        with self.site.connect() as pop:
            self.refused(scram_login(pop, scram.Client(who, kit.PASSWORD)))
        self.in_log(r"a stored secret of mailbox \d+ cannot be used")
        self.in_log(r'auth name="nonsense@example.org" mechanism=SCRAM-SHA-256 result=refused reason=unusable')


class Binding(SaslCase):
    """S25: SCRAM-SHA-256-PLUS, bound to the TLS connection."""

    def test_offered_with_tls_only(self):
        with self.site.connect() as pop:
            self.assertNotIn(b"PLUS", b" ".join(pop.multi("CAPA")))
            pop.err("AUTH SCRAM-SHA-256-PLUS")
            pop.ok("STLS")
            self.handshake(pop)
            self.assertIn(b"SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN", pop.multi("CAPA"))

    def test_unique(self):
        """TLS 1.2, a full handshake and a session that was resumed."""
        ctx = context(self.site)
        ctx.maximum_version = ssl.TLSVersion.TLSv1_2
        session = None
        for _ in range(2):
            with self.implicit(ctx, session=session) as pop:
                session = pop.sock.session
                bound = pop.sock.get_channel_binding("tls-unique")
                self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="p=tls-unique,,", binding=bytes(len(bound))),
                                         "SCRAM-SHA-256-PLUS"))
                line = scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="p=tls-unique,,", binding=bound), "SCRAM-SHA-256-PLUS")
                self.assertTrue(line.startswith(b"+OK"), line)
                pop.ok("QUIT")
                resumed = pop.sock.session_reused
        self.assertTrue(resumed)

    def test_exporter(self):
        """TLS 1.3; the octets are what openssl s_client says they are."""
        with Exported(self.site, self.pop3s) as pop:
            self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="p=tls-exporter,,", binding=bytes(32)), "SCRAM-SHA-256-PLUS"))
            self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="p=tls-unique,,", binding=pop.exported), "SCRAM-SHA-256-PLUS"))
            line = scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="p=tls-exporter,,", binding=pop.exported), "SCRAM-SHA-256-PLUS")
            self.assertTrue(line.startswith(b"+OK"), line)
            pop.ok("QUIT")

    def test_downgrade(self):
        """Who could bind, and says that we did not offer it, was lied to; with a mechanism that binds, binding is a must."""
        with self.implicit() as pop:
            self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="y,,")))
            self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD), "SCRAM-SHA-256-PLUS"))
            self.refused(scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="p=tls-server-end-point,,", binding=b"x" * 32), "SCRAM-SHA-256-PLUS"))
            self.assertTrue(scram_login(pop, scram.Client(WHO, kit.PASSWORD)).startswith(b"+OK"))
            pop.ok("QUIT")
        with self.site.connect() as pop:        # without TLS it was not offered
            self.assertTrue(scram_login(pop, scram.Client(WHO, kit.PASSWORD, header="y,,")).startswith(b"+OK"))
            pop.ok("QUIT")

    def test_external_without_a_certificate(self):
        """S28: TLS alone logs nobody in."""
        with self.implicit() as pop:
            self.assertNotIn(b"EXTERNAL", b" ".join(pop.multi("CAPA")))
            pop.err("AUTH EXTERNAL =")
            pop.err("STAT")


class Exported(kit.Pop):
    """openssl s_client, which tells what TLS exports."""

    def __init__(self, site, address):
        self.proc = subprocess.Popen(["openssl", "s_client", "-connect", address, "-tls1_3", "-nocommands", "-CAfile", str(site.lab.tls / "ca.pem"),
                                      "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.buf = bytearray()
        while b"+OK Postern ready" not in self.buf:
            self.fill()
        self.exported = bytes.fromhex(re.search(rb"Keying material: ([0-9A-F]{64})", self.buf).group(1).decode())
        del self.buf[:self.buf.index(b"+OK Postern ready")]
        self.line()

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(kit.PATIENCE)
        self.proc.stdout.close()

    def send(self, data):
        self.proc.stdin.write(data)
        self.proc.stdin.flush()

    def line(self):
        """TLS 1.3 sends tickets when it likes, and s_client tells of them in between."""
        while True:
            line = super().line() if b"\r\n" in self.buf else None
            if line is None:
                self.fill()
                continue
            at = max(line.rfind(b"+"), line.rfind(b"-ERR"), 0) if b"\n" in line else 0
            return line[at:] if at else line

    def fill(self):
        data = os.read(self.proc.stdout.fileno(), 65536)
        if not data:
            raise EOFError(f"the server closed; unread: {bytes(self.buf)!r}")
        self.buf += data


def apop_digest(greeting, secret):
    stamp = re.search(rb"<[^<>]+>", greeting).group()
    return hashlib.md5(stamp + secret.encode()).hexdigest()


class SharedSecrets(SaslCase):
    def test_cram_md5(self):
        """S19."""
        with self.site.connect() as pop:
            self.refused(cram_md5(pop, WHO, "wrong"))
            self.refused(cram_md5(pop, GHOST, SECRET))
            self.refused(cram_md5(pop, WHO, kit.PASSWORD))
            self.assertTrue(cram_md5(pop, WHO.upper(), SECRET).startswith(b"+OK 2 messages"))
            pop.ok("QUIT")
        self.in_log(rf'auth name="{WHO}" mechanism=CRAM-MD5 result=refused reason=password')
        self.in_log(rf'login user="{WHO}" peer=\S+ mechanism=CRAM-MD5 result=ok')

    def test_apop(self):
        """P01 P02 P06 P09."""
        seen = set()
        for _ in range(50):
            with self.site.connect() as pop:
                stamp = re.search(rb" <([0-9a-f]{24,}\.\d+)@([A-Za-z0-9._-]+)>$", pop.greeting)
                self.assertTrue(stamp, pop.greeting)
                self.assertLessEqual(len(pop.greeting), 510)
                seen.add(stamp.group(1))
        self.assertEqual(len(seen), 50)
        with self.site.connect() as pop:
            self.refused(pop.cmd(f"APOP {WHO} {apop_digest(pop.greeting, 'wrong')}"))
            self.refused(pop.cmd(f"APOP {GHOST} {apop_digest(pop.greeting, SECRET)}"))
            pop.ok("USER " + WHO)               # P05: the name of USER is dropped
            self.assertTrue(pop.cmd(f"APOP {WHO} {apop_digest(pop.greeting, SECRET)}").startswith(b"+OK 2 messages"))
            pop.err(f"APOP {WHO} x")
            pop.ok("QUIT")
        self.in_log(rf'login user="{WHO}" peer=\S+ mechanism=APOP result=ok')

    def test_apop_digests(self):
        """P04: 32 lower-case digits and nothing else."""
        with self.site.connect() as pop:
            digest = apop_digest(pop.greeting, SECRET)
            for wrong in (digest.upper(), digest[:-1], digest + "0", "g" + digest[1:]):
                if wrong != digest:
                    self.refused(pop.cmd(f"APOP {WHO} {wrong}"))
            for wrong in (f"APOP {WHO}", "APOP", f"APOP {WHO} {digest} x"):
                pop.err(wrong)
            # Blanks around the name are none of it, as after USER.
            self.assertTrue(pop.cmd(f"APOP  {WHO} {digest}").startswith(b"+OK"))
            pop.ok("QUIT")

    def test_nothing_stored(self):
        """P07: no secret, or an empty one, is nobody's."""
        for who, secret in (("none@example.org", None), ("empty@example.org", "")):
            self.site.account(who, [])
            if secret is not None:
                store(self.site, who, "shared-secret", secret)
            with self.subTest(who=who), self.site.connect() as pop:
                self.refused(pop.cmd(f"APOP {who} {apop_digest(pop.greeting, '')}"))
                self.refused(cram_md5(pop, who, ""))

    def test_poplib(self):
        """P03: another's client."""
        host, _, port = self.site.address.rpartition(":")
        pop = poplib.POP3(host, int(port), timeout=30)
        pop.apop(WHO, SECRET)
        self.assertEqual(pop.stat()[0], 2)
        pop.quit()

    def test_apop_after_stls(self):
        """The timestamp is that of the greeting."""
        with self.site.connect() as pop:
            pop.ok("STLS")
            self.handshake(pop)
            self.assertTrue(pop.cmd(f"APOP {WHO} {apop_digest(pop.greeting, SECRET)}").startswith(b"+OK"))
            pop.ok("QUIT")
        with self.implicit() as pop:
            self.assertTrue(pop.cmd(f"APOP {WHO} {apop_digest(pop.greeting, SECRET)}").startswith(b"+OK"))
            pop.ok("QUIT")


class InTheClear(TlsCase):
    """C07 C08 A14: who may not send his password in the clear."""
    conf = kit.QUICK

    def sasl(self, pop):
        return [line for line in pop.multi("CAPA") if line.split()[0] in (b"USER", b"SASL")]

    def test_offer(self):
        """As it is by default; not allowed; and where only mechanisms that do not send it are."""
        with self.site.connect() as pop:
            self.assertEqual(self.sasl(pop), [b"USER", b"SASL PLAIN LOGIN"])
            self.assertNotIn(b"<", pop.greeting)
        text = self.site.lab.conf.read_text()
        for extra, clear in (("", []), ("sasl_without_tls = true;", [b"SASL SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5"])):
            with self.subTest(extra=extra):
                self.site.lab.conf.write_text(re.sub(r'(address = "127[^;]*;)', r'\1 cleartext_login = "never";', text) + ALL + extra)
                self.addCleanup(self.site.lab.conf.write_text, text)
                ours, theirs = socket.socketpair()
                with theirs:
                    proc = subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--inetd"],
                                            stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=kit.lab.plain_env())
                with kit.Pop("", sock=ours) as pop:
                    self.assertEqual(self.sasl(pop), clear)
                    self.assertEqual(b"<" in pop.greeting, bool(extra))
                    self.assertNotIn(b"PLAIN", pop.err("AUTH PLAIN " + scram.b64(f"\0{WHO}\0{kit.PASSWORD}".encode())))
                    if not extra:
                        pop.err("AUTH")
                        pop.err("AUTH SCRAM-SHA-256")
                    pop.ok("STLS")
                    self.handshake(pop)
                    self.assertEqual([line.split()[0] for line in self.sasl(pop)], [b"USER", b"SASL"])
                    self.assertIn(b" PLAIN LOGIN", b" ".join(self.sasl(pop)))
                    pop.ok("QUIT")
                proc.wait(kit.PATIENCE)


class Failures(SaslCase):
    def test_helper_dies_in_an_exchange(self):
        """S31: [SYS/TEMP], and the connection goes on."""
        with self.site.connect() as pop:
            c = scram.Client(WHO, kit.PASSWORD)
            first, line = f"AUTH SCRAM-SHA-256 {scram.b64(c.first())}", b""

            def challenged():
                """Not as long as this cell's helpers look for the database that the test before this one took away."""
                nonlocal line
                line = pop.cmd(first)
                return line.startswith(b"+ ")
            self.assertTrue(kit.wait_until(challenged), line)
            for pid in self.site.tree()[2]:
                with contextlib.suppress(ProcessLookupError):       # a cell without sessions may have ended by itself meanwhile
                    kit.kill(pid)
            final = c.final(challenge(line))
            self.in_log("auth helper was lost")
            self.assertTrue(say(pop, final).startswith(b"-ERR [SYS/TEMP]"))
            self.assertTrue(pop.multi("CAPA"))
        with self.site.login_soon(WHO) as pop:
            pop.ok("QUIT")

    def test_database_away(self):
        self.site.pg_stop("immediate")
        try:
            with self.site.connect() as pop:
                for line in (scram_login(pop, scram.Client(WHO, kit.PASSWORD)), cram_md5(pop, WHO, SECRET),
                             pop.cmd(f"APOP {WHO} {apop_digest(pop.greeting, SECRET)}"),
                             pop.cmd("AUTH PLAIN " + scram.b64(f"\0{WHO}\0{kit.PASSWORD}".encode()))):
                    self.assertTrue(line.startswith(b"-ERR [SYS/TEMP]"), line)
        finally:
            self.site.lab.pg_start()
        with self.site.login_soon(WHO) as pop:
            pop.ok("QUIT")

    def test_many_that_never_end(self):
        """S30: they are in nobody's way, and hold nothing of the database's."""
        waiting = []
        try:
            for n in range(300):
                pop = self.site.connect()
                waiting.append(pop)
                c = scram.Client(f"u{n}@example.org", "x")
                challenge(pop.cmd(f"AUTH SCRAM-SHA-256 {scram.b64(c.first())}"))
            self.assertEqual(self.site.sql("select count(*) from pg_stat_activity where usename = 'postern_auth' and state <> 'idle'"), "0")
            with self.site.connect() as pop:
                self.assertTrue(scram_login(pop, scram.Client(WHO, kit.PASSWORD)).startswith(b"+OK"))
                pop.ok("QUIT")
        finally:
            for pop in waiting:
                pop.reset()
        with self.site.connect() as pop:
            self.assertTrue(scram_login(pop, scram.Client(WHO, kit.PASSWORD)).startswith(b"+OK"))
            pop.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
