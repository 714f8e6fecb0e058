"""OAUTHBEARER (RFC 7628) and XOAUTH2: tokens that an OAuth server signed, made here with openssl, and those that are not good."""
import base64
import hashlib
import hmac
import json
import subprocess
import time
import unittest

import kit
from test_sasl import challenge
from tlskit import WHO, TlsCase

ISSUER, AUDIENCE = "https://login.example.org", "pop.example.org"


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*args, data=None):
    return subprocess.run(["openssl", *map(str, args)], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, timeout=30).stdout


def raw_signature(der):
    """The two numbers of an ECDSA signature side by side, 32 octets each."""
    out, at = b"", 2
    for _ in range(2):
        size = der[at + 1]
        out += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + size
    return out


class OAuth(TlsCase):
    @classmethod
    def setUpClass(cls):
        cls.conf = kit.QUICK
        super().setUpClass()
        place = cls.site.dir / "oauth"
        place.mkdir(mode=0o755)
        cls.keys = {"RS256": place / "rsa.pem", "ES256": place / "p256.pem", "other": place / "other.pem"}
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", cls.keys["RS256"])
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", cls.keys["other"])
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", cls.keys["ES256"])
        cls.public = b"".join(openssl("pkey", "-in", cls.keys[name], "-pubout") for name in ("ES256", "RS256"))
        (place / "public.pem").write_bytes(cls.public)
        (place / "public.pem").chmod(0o644)
        cls.second = cls.site.second(f'sasl_mechanisms = "OAUTHBEARER XOAUTH2"; oauth_keys = "{place}/public.pem"; '
                                     f'oauth_issuer = "{ISSUER}"; oauth_audience = "{AUDIENCE}"; pop3_login_failures = 100;')
        cls.addClassCleanup(cls.second.stop)
        cls.second.start()

    def token(self, alg="RS256", key=None, header=None, drop=(), **claims):
        now = int(time.time())
        what = {"iss": ISSUER, "aud": ["other", AUDIENCE], "exp": now + 300, "nbf": now - 5, "email": WHO, "sub": "1", **claims}
        for name in drop:
            del what[name]
        text = ".".join(b64url(json.dumps(part).encode()) for part in ({"alg": alg, "kid": "1", **(header or {})}, what))
        if alg == "none":
            return text + "."
        if alg == "HS256":
            return text + "." + b64url(hmac.digest(self.public, text.encode(), hashlib.sha256))
        sig = openssl("dgst", "-sha256", "-sign", self.keys[key or alg], data=text.encode())
        return text + "." + b64url(raw_signature(sig) if alg == "ES256" else sig)

    def signed(self, header, payload):
        text = f"{header}.{payload}"
        return text + "." + b64url(openssl("dgst", "-sha256", "-sign", self.keys["RS256"], data=text.encode()))

    def message(self, token, user=WHO, mechanism="OAUTHBEARER"):
        first = f"n,a={user}," if mechanism == "OAUTHBEARER" else f"user={user}"
        more = "\1host=pop.example.org\1port=110" if mechanism == "OAUTHBEARER" else ""
        return base64.b64encode(f"{first}{more}\1auth=Bearer {token}\1\1".encode()).decode()

    def auth(self, message, mechanism="OAUTHBEARER"):
        """The last line; a token that is not good is told before it (RFC 7628 section 3.2.3)."""
        with kit.Pop(self.second.address) as pop:
            self.assertIn(b"SASL OAUTHBEARER XOAUTH2", pop.multi("CAPA"))
            self.assertEqual(pop.cmd("AUTH " + mechanism), b"+ ")
            line = pop.cmd(message)
            if line.startswith(b"+ "):
                self.assertEqual(json.loads(challenge(line)), {"status": "invalid_token"})
                line = pop.cmd("AQ==" if mechanism == "OAUTHBEARER" else "")
                self.assertEqual(line, b"-ERR [AUTH] wrong name or password")
                return "invalid"
            if line.startswith(b"+OK"):
                pop.ok("QUIT")
            return line[:4].decode().strip()

    def test_good(self):
        """S10: in the command too, which is longer than 255 octets then."""
        for alg in ("RS256", "ES256"):
            for mechanism in ("OAUTHBEARER", "XOAUTH2"):
                with self.subTest(alg=alg, mechanism=mechanism):
                    self.assertEqual(self.auth(self.message(self.token(alg), mechanism=mechanism), mechanism), "+OK")
        self.assertEqual(self.auth(self.message(self.token(aud=AUDIENCE, email_verified=True, email=WHO.upper()))), "+OK")
        self.assertEqual(self.auth(self.message(self.token(email_verified="true"))), "+OK")
        with kit.Pop(self.second.address) as pop:
            pop.ok("AUTH OAUTHBEARER " + base64.b64encode(f"n,,\1auth=Bearer {self.token()}\1\1".encode()).decode())
            pop.ok("QUIT")

    def test_not_good(self):
        now, good = int(time.time()), self.token()
        header, payload, _ = good.split(".")
        self.site.account("off@example.org", [])
        self.site.ctl("mailbox", "disable", "off@example.org")
        bad = {
            "signature": self.token(key="other"), "none": self.token("none"), "secret": self.token("HS256"),
            "algorithm": self.token("ES256", header={"alg": "RS256"}), "critical": self.token(header={"crit": ["x"]}),
            "expired": self.token(exp=now - 120), "for ever": self.token(drop=["exp"]), "text": self.token(exp="9999999999"),
            "early": self.token(nbf=now + 600), "issuer": self.token(iss="https://evil.example"), "no issuer": self.token(drop=["iss"]),
            "audience": self.token(aud="imap.example.org"), "no audience": self.token(drop=["aud"]), "address": self.token(drop=["email"]),
            "unverified": self.token(email_verified=False), "unverified text": self.token(email_verified="false"),
            "unverified number": self.token(email_verified=0), "verified 1": self.token(email_verified=1),
            "unverified null": self.token(email_verified=None), "unverified empty": self.token(email_verified=""),
            "unverified list": self.token(email_verified=[True]), "unverified case": self.token(email_verified="True"),
            "ghost": self.token(email="ghost@example.org"),
            "off": self.token(email="off@example.org"), "whose": self.token(email="other@example.org"),
            "cut": good[:-4], "two parts": f"{header}.{payload}", "padding": good + "==", "junk": "x", "dots": "..",
            "twice": self.signed(header, b64url(base64.urlsafe_b64decode(payload + "==")[:-1] + b', "email": "tls@example.org"}')),
        }
        for name, token in bad.items():
            with self.subTest(name=name):
                self.assertEqual(self.auth(self.message(token)), "invalid")
        self.assertEqual(self.auth(self.message(good, user="other@example.org")), "invalid")
        log = self.second.log.read_text()
        for reason in ("token-signature", "token-algorithm", "token-expired", "token-not-yet", "token-issuer", "token-audience",
                       "token-address", "token-malformed", "unknown", "disabled", "authzid"):
            self.assertIn(f"mechanism=OAUTHBEARER result=refused reason={reason}", log)
        self.assertNotIn(payload, log)

    def test_malformed(self):
        good = self.token()
        for message in ("", f"auth=Bearer {good}\1\1", f"n,,\1auth=Bearer {good}\1", f"n,,\1auth=Bearer {good}", "n,,\1\1",
                        f"p=tls-exporter,,\1auth=Bearer {good}\1\1", f"n,b=x,\1auth=Bearer {good}\1\1", f"n,,\1auth=Bearer {good}\1\1x",
                        f"n,,\1auth=Bearer {good}\1auth=Bearer {good}\1\1", f"n,,\1auth=Basic {good}\1\1", f"n,,\1auth=Bearer \0{good}\1\1"):
            with self.subTest(message=message[:20]):
                self.assertEqual(self.auth(base64.b64encode(message.encode()).decode()), "-ERR")
        self.assertEqual(self.auth(base64.b64encode(f"user=\1auth=Bearer {good}\1\1".encode()).decode(), "XOAUTH2"), "-ERR")

    def test_curl(self):
        for mechanism in ("OAUTHBEARER", "XOAUTH2"):
            for token, status in ((self.token(), 0), (self.token(key="other"), 67)):
                with self.subTest(mechanism=mechanism, status=status):
                    done = subprocess.run(["curl", "--silent", "--show-error", "--user", WHO + ":", "--oauth2-bearer", token, "--login-options",
                                           f"AUTH={mechanism}", f"pop3://{self.second.address}/1"], stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, check=False, timeout=30)
                    self.assertEqual(done.returncode, status, done.stderr)
                    self.assertEqual(done.stdout, self.letters[0] if status == 0 else b"")

    def test_configuration(self):
        """What is missing is told before anybody logs in."""
        conf = self.site.dir / "check.conf"
        text = self.site.lab.conf.read_text() + 'sasl_mechanisms = "OAUTHBEARER";'
        for more, problem in (("", b"oauth_keys"), (f'oauth_keys = "{self.keys["RS256"]}";', b"other things than public keys"),
                              (f'oauth_keys = "{self.site.dir}/oauth/public.pem";', b"oauth_issuer")):
            conf.write_text(text + more)
            done = subprocess.run([str(self.site.lab.posternd), "-c", str(conf), "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  check=False, timeout=30)
            self.assertEqual(done.returncode, 1)
            self.assertIn(problem, done.stdout)


if __name__ == "__main__":
    unittest.main()
