"""What of passwords and stored secrets can be found afterwards: in the memory of the processes, in the log, as core files.

A promise of the design: a stored secret never reaches a worker, and a password is wiped after use.
"""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit
import scram
from tlskit import TlsCase

WHO = "carla@example.org"
# Unlike anything else that is in memory, the wrong ones too.
RIGHT, WRONG, TOO_LATE = "Vq7-right-horse-battery", "Vq7-wrong-horse-battery", "Vq7-late-horse-battery"
NOBODY = "Vq7-nobody-horse-battery"
SHARED = "Vq7-shared-horse-battery"


def plain(name, password):
    return base64.b64encode(b"\0" + name.encode() + b"\0" + password.encode()).decode()


def memory(pid):
    """All that it can write to: heap, stacks, data, what was mapped."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split()
        if not fields[1].startswith("rw") or fields[-1] in ("[vvar]", "[vsyscall]"):
            continue
        first, last = (int(x, 16) for x in fields[0].split("-"))
        with open(f"/proc/{pid}/mem", "rb", 0) as mem:
            try:
                mem.seek(first)
                yield fields[-1], mem.read(last - first)
            except OSError:
                pass        # guard pages of locked memory


def found(pid, words):
    """Which of the words stand in its memory, and where."""
    return sorted({f"{word!r} in {place}" for place, octets in memory(pid) for word in words if word in octets})


@unittest.skipUnless(kit.ROOT, "looks into the memory of others")
@unittest.skipIf(kit.sanitized(), "sanitizers keep what was freed")
class Secrecy(TlsCase):
    conf = kit.QUICK + 'cells = 1; auth_helpers = 1; sasl_mechanisms = "PLAIN LOGIN SCRAM-SHA-256"; pop3_login_failures = 20;\n'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.site.account(WHO, [kit.letter(1)], RIGHT)
        cls.stored = cls.site.sql("select secret from postern.credential limit 1")

    def talk(self, opened):
        """Every way in by a password, right and wrong."""
        with opened() as pop:
            pop.err(f"AUTH PLAIN {plain(WHO, WRONG)}")
            pop.err(f"AUTH PLAIN {plain('nobody@example.org', NOBODY)}")
            self.assertEqual(pop.cmd("AUTH LOGIN")[:2], b"+ ")
            pop.cmd(base64.b64encode(WHO.encode()).decode())
            self.assertTrue(pop.cmd(base64.b64encode(WRONG.encode()).decode()).startswith(b"-ERR"))
            pop.ok(f"USER {WHO}")
            pop.err(f"PASS {WRONG}")
            pop.login(WHO, RIGHT)
            pop.err(f"PASS {TOO_LATE}")
            pop.ok("QUIT")
        with opened() as pop:
            pop.ok(f"AUTH PLAIN {plain(WHO, RIGHT)}")
            pop.ok("STAT")
            # At rest, with the session still there.
            self.look()
            pop.ok("QUIT")
        self.look()

    def look(self):
        master, workers, helpers = self.site.tree()
        # All passwords have a middle in common; base64 of it at each of the three places in a group.
        middle = b"-horse-battery"
        words = [middle] + [base64.b64encode(b"x" * shift + middle)[4:-4] for shift in range(3)]
        # The tail of an Argon2id text is its digest: no parser keeps it in pieces.
        digest = self.stored.split("$")[-1].encode()
        for pid in helpers:
            self.assertEqual(found(pid, words), [], "auth helper")
        for pid in workers + [master]:
            self.assertEqual(found(pid, words + [digest]), [], "worker or master")

    def test_the_test(self):
        """What is certainly there is found: the name of the mailbox whose listing the worker keeps."""
        with self.site.connect() as pop:
            pop.login(WHO, RIGHT)
            self.assertTrue(found(self.site.tree()[1][0], [WHO.encode()]))

    def test_clear(self):
        self.talk(self.site.connect)

    def test_tls(self):
        self.talk(self.implicit)

    def test_log(self):
        """Not at the most talkative level either."""
        self.talk(self.site.connect)
        log = self.site.log_text()
        for word in (RIGHT, WRONG, NOBODY, TOO_LATE, plain(WHO, RIGHT), self.stored.split("$")[-1]):
            self.assertNotIn(word, log)

    def test_no_core(self):
        """Neither by limit nor by being dumpable, for any process: /proc belongs to root where it is not."""
        master, workers, helpers = self.site.tree()
        for pid in [master] + workers + helpers:
            self.assertRegex(pathlib.Path(f"/proc/{pid}/limits").read_text(), r"Max core file size +0 +0 ")
        for pid in [master] + workers + helpers:
            self.assertEqual(os.stat(f"/proc/{pid}/mem").st_uid, 0)


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@unittest.skipUnless(kit.ROOT, "looks into the memory of others")
@unittest.skipIf(kit.sanitized(), "sanitizers keep what was freed")
class Exchanges(TlsCase):
    """Mechanisms by which no password is sent: what is stored for them, in the forms it has on the way; and a bearer's token, which is sent."""

    conf = kit.QUICK + ('cells = 1; auth_helpers = 1; pop3_login_failures = 20; sasl_mechanisms = "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 APOP OAUTHBEARER XOAUTH2"; '
                        'oauth_keys = "/tmp/postern-secrecy.pem"; oauth_issuer = "https://id.example.org"; oauth_audience = "pop3";\n')

    @classmethod
    def setUpClass(cls):
        keys = kit.tempfile.mkdtemp(prefix="postern-secrecy-")
        cls.addClassCleanup(kit.shutil.rmtree, keys)
        os.chmod(keys, 0o755)
        cls.key, public = pathlib.Path(keys, "key.pem"), pathlib.Path(keys, "public.pem")
        for argv in (["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", cls.key], ["pkey", "-in", cls.key, "-pubout", "-out", public]):
            subprocess.run(["openssl", *argv], check=True, stderr=subprocess.DEVNULL, timeout=30)
        cls.conf = cls.conf.replace("/tmp/postern-secrecy.pem", str(public))
        super().setUpClass()
        cls.site.account(WHO, [kit.letter(1)], RIGHT)
        cls.verifier = scram.verifier(RIGHT)
        for kind, secret in (("scram-sha-256", cls.verifier), ("shared-secret", SHARED)):
            cls.site.sql(f"insert into postern.credential (mailbox, kind, secret) values ({cls.site.mailbox(WHO)}, '{kind}', '{secret}')")

    def token(self):
        now = int(time.time())
        text = ".".join(b64url(json.dumps(part).encode()) for part in (
            {"alg": "RS256"}, {"iss": "https://id.example.org", "aud": "pop3", "exp": now + 300, "email": WHO}))
        return text + "." + b64url(subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=text.encode(), stdout=subprocess.PIPE,
                                                  check=True, timeout=30).stdout)

    def scram(self, mechanism, name, secret):
        client = scram.Client(WHO, secret, name)
        with self.site.connect() as pop:
            line = pop.cmd(f"AUTH {mechanism} {scram.b64(client.first())}")
            line = pop.cmd(base64.b64encode(client.final(base64.b64decode(line[2:]))))
            if not line.startswith(b"+ "):
                return False
            self.assertTrue(pop.cmd("").startswith(b"+OK"))
            pop.ok("QUIT")
            return True

    def cram_md5(self, secret):
        with self.site.connect() as pop:
            challenge = base64.b64decode(pop.cmd("AUTH CRAM-MD5")[2:])
            return pop.cmd(base64.b64encode(f"{WHO} {hmac.new(secret.encode(), challenge, 'md5').hexdigest()}".encode())).startswith(b"+OK")

    def apop(self, secret):
        with self.site.connect(greet=False) as pop:
            stamp = pop.line().split()[-1]
            return pop.cmd(f"APOP {WHO} {hashlib.md5(stamp + secret.encode()).hexdigest()}").startswith(b"+OK")

    def looks(self, words, tokens=()):
        """The words are none of a worker's business; nobody keeps tokens."""
        master, workers, helpers = self.site.tree()
        for pid in workers + [master]:
            self.assertEqual(found(pid, [*words, *tokens]), [], "worker or master")
        for pid in helpers:
            self.assertEqual(found(pid, tokens), [], "auth helper")

    def test_stored(self):
        self.assertTrue(self.scram("SCRAM-SHA-256", "sha256", RIGHT))
        self.assertFalse(self.scram("SCRAM-SHA-256", "sha256", WRONG))
        self.assertTrue(self.scram("SCRAM-SHA-1", "sha1", SHARED))
        for how in (self.cram_md5, self.apop):
            self.assertTrue(how(SHARED))
            self.assertFalse(how(WRONG))
        texts = self.verifier.split("$")[-1].split(":")     # StoredKey, ServerKey
        words = [SHARED.encode(), base64.b64encode(SHARED.encode()), *(text.encode() for text in texts), *map(base64.b64decode, texts)]
        self.looks(words)
        log = self.site.log_text()
        for word in (SHARED, *texts):
            self.assertNotIn(word, log)

    def test_token(self):
        """Neither as it is nor in what goes over the wire."""
        good = self.token()
        bad = good[:-60] + "A" * 20 + good[-40:]
        tokens = []
        for mechanism, message in (("OAUTHBEARER", "n,a={},\1auth=Bearer {}\1\1"), ("XOAUTH2", "user={}\1auth=Bearer {}\1\1")):
            for token, wanted in ((good, b"+OK"), (bad, b"+ ")):
                sent = base64.b64encode(message.format(WHO, token).encode()).decode()
                with self.site.connect() as pop:
                    self.assertEqual(pop.cmd("AUTH " + mechanism), b"+ ")
                    self.assertTrue(pop.cmd(sent).startswith(wanted))
                # Of the signature: what only who had the token has.
                tokens += [token[-36:].encode(), sent[-40:-8].encode()]
        self.looks([], tokens)
        for token in tokens:
            self.assertNotIn(token.decode(), self.site.log_text())


if __name__ == "__main__":
    unittest.main()
