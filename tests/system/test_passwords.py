"""`posternctl passwords`: hashes of other servers for many mailboxes at once, each proven by a login; what they allow, and what is refused."""
import base64
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import kit
import lab
import scram

DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 3
DOMAIN = "pw.example"


def crypted(password, kind="-6"):
    return subprocess.run(["openssl", "passwd", kind, "-stdin"], input=password.encode(), stdout=subprocess.PIPE,
                          check=True).stdout.decode().strip()


def ssha(password):
    salt = os.urandom(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def dovecot_scram(password, name="sha256"):
    head, rounds_salt, keys = scram.verifier(password, name).split("$")
    return f"{{{head}}}" + ",".join((*rounds_salt.split(":"), *keys.split(":")))


class PasswordsCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("passwords-", kit.QUICK + 'auth_upgrade = true;\nsasl_mechanisms = "PLAIN SCRAM-SHA-256";\n')
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(f"model@{DOMAIN}")
        cls.site.ctl("domain", "set", DOMAIN, "--store", "scram-sha-256,shared-secret")

    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=self.site.dir)
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)

    def mailboxes(self, *names):
        for name in names:
            self.site.sql(f"select postern.add_mailbox('{name}@{DOMAIN}', null)")

    def passwords(self, text, *args, exit=DONE):
        path = self.dir / "file"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = self.site.ctl("--json", "passwords", path, *args, check=False)
        self.assertEqual(done.returncode, exit, done.stdout.decode(errors="replace"))
        out = done.stdout.decode()
        return json.loads(out[out.index("{"):out.rindex("}") + 1])

    def proves(self, name, password):
        with self.site.connect() as pop:
            pop.ok(f"USER {name}@{DOMAIN}")
            good = pop.cmd(f"PASS {password}").startswith(b"+OK")
            pop.ok("QUIT")
            return good

    def scram(self, name, password):
        with self.site.connect() as pop:
            client = scram.Client(f"{name}@{DOMAIN}", password)
            challenge = pop.cmd("AUTH SCRAM-SHA-256 " + scram.b64(client.first()))
            if not challenge.startswith(b"+ "):
                return False
            final = pop.cmd(scram.b64(client.final(base64.b64decode(challenge[2:]))))
            if not final.startswith(b"+ "):
                return False
            self.assertEqual(base64.b64decode(final[2:]), client.signature)
            pop.ok("")
            pop.ok("QUIT")
            return True

    def kinds(self, name):
        return self.site.sql(f"""select string_agg(c.kind, ' ' order by c.kind) from postern.credential c
            join postern.mailbox m using (mailbox) where m.address = '{name}@{DOMAIN}'""")


class Formats(PasswordsCase):
    def test_dovecot(self):
        """Of the schemes of a passwd-file each that can be verified is; the others are refused by line, with the reason."""
        hashes = {"d-sha512": "{SHA512-CRYPT}" + crypted("geheim"), "d-bare": crypted("geheim", "-5"), "d-ssha": ssha("geheim"),
                  "d-plain": "{PLAIN}geheim", "d-scram": dovecot_scram("geheim"), "d-scram1": dovecot_scram("geheim", "sha1")}
        self.mailboxes(*hashes, "d-cram", "d-locked", "d-none", "d-odd")
        text = "# users\n\n" + "".join(f"{name}@{DOMAIN}:{secret}:1000:1000::/home/x::userdb_quota=1\n" for name, secret in hashes.items())
        text += f"D-CRAM:{{CRAM-MD5}}{64 * '0'}\nd-locked:!{crypted('x')}::\nd-none:::\nd-odd:{{FOO}}bar\n" + \
                f"d-nobody:{crypted('x')}\nd-ssha:{ssha('other')}\nno colon\nd-scram@{DOMAIN}x y:z\n"
        for dry in (True, False):
            told = self.passwords(text, "--format", "dovecot", "--domain", DOMAIN, *(["--dry-run"] if dry else []), exit=PARTLY)
            refused = {r["line"]: r["reason"] for r in told["refused"]}
            self.assertEqual(sorted(refused), list(range(9, 17)))
            for line, reason in ((9, "CRAM-MD5"), (10, "locked"), (11, "no password"), (12, "not known"), (13, "no such mailbox"),
                                 (14, "line before"), (15, "no colon"), (16, "")):
                self.assertIn(reason, refused[line])
            self.assertEqual({s["scheme"]: s["mailboxes"] for s in told["schemes"]},
                             {name: 1 for name in ("SHA512-CRYPT", "SHA256-CRYPT", "SSHA", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-1")})
            self.assertEqual((told["set"], told["refused_in_all"], told["without_scram"], told["without_shared_secret"], told["dry_run"]),
                             (6, 8, 4, 5, dry))
            self.assertEqual(self.kinds("d-plain"), "" if dry else "password scram-sha-256 shared-secret")
        self.assertEqual(self.kinds("d-scram"), "password scram-sha-256")
        self.assertEqual(self.kinds("d-scram1"), "password scram-sha-1")
        self.assertTrue(self.scram("d-scram", "geheim"))
        self.assertFalse(self.scram("d-scram", "falsch"))
        self.assertTrue(self.scram("d-plain", "geheim"))
        for name in hashes:
            self.assertFalse(self.proves(name, "falsch"), name)
            self.assertTrue(self.proves(name, "geheim"), name)
        # A login left behind what was missing, and a better hash.
        kit.wait_until(lambda: self.kinds("d-ssha") == "password scram-sha-256 shared-secret")
        self.assertTrue(self.scram("d-ssha", "geheim"))
        kit.wait_until(lambda: self.kinds("d-scram") == "password scram-sha-256 shared-secret")
        self.assertTrue(self.scram("d-scram", "geheim"))
        self.assertTrue(self.proves("d-scram", "geheim"))

    def test_shadow_and_userdb(self):
        self.mailboxes("shadow1", "shadow2", "userdb1", "userdb2", "userdb3")
        told = self.passwords(f"shadow1:{crypted('eins')}:19000:0:99999:7:::\nshadow2:*:19000::::::\n", "--format", "shadow", "--domain", DOMAIN,
                              exit=PARTLY)
        self.assertEqual((told["set"], [r["name"] for r in told["refused"]]), (1, ["shadow2"]))
        self.assertTrue(self.proves("shadow1", "eins"))
        told = self.passwords(f"userdb1@{DOMAIN}\tuid=1000|systempw={crypted('zwei', '-1')}|home=/x|hmac-md5pw=00\n"
                              f"userdb2@{DOMAIN}\tuid=1000|hmac-md5pw={128 * '0'}|home=/x\n"
                              f"userdb3@{DOMAIN}\tsystempw={crypted('x')}|pop3pw={crypted('drei')}\r\n"
                              f"userdb3@{DOMAIN} systempw=x\n", "--format", "userdb", exit=PARTLY)
        self.assertEqual([(r["line"], "CRAM-MD5" in r["reason"]) for r in told["refused"]], [(2, True), (4, False)])
        self.assertTrue(self.proves("userdb1", "zwei"))
        self.assertTrue(self.proves("userdb3", "drei"))

    def test_csv(self):
        """What a query of another database prints. After the switch a password that was set here stays."""
        self.mailboxes("csv1", "csv2", "csv3", "csv4")
        text = f"Address\tHash\tpassword\ncsv1@{DOMAIN}\t{dovecot_scram('eins')}\t\ncsv2@{DOMAIN}\t\tzwei \"zwei\n" \
               f"csv3@{DOMAIN}\t{ssha('x')}\tx\ncsv4@{DOMAIN}\t\t\ncsv4@{DOMAIN}\n"
        told = self.passwords(text, exit=PARTLY)
        self.assertEqual([r["line"] for r in told["refused"]], [4, 5, 6])
        self.assertTrue(self.scram("csv1", "eins"))
        self.assertTrue(self.proves("csv2", 'zwei "zwei'))
        self.site.password(f"csv1@{DOMAIN}", "neu")
        told = self.passwords(text, "--final", exit=PARTLY)
        self.assertEqual((told["set"], told["kept"]), (0, 2))
        self.assertTrue(self.proves("csv1", "neu"))
        self.passwords(text, exit=PARTLY)
        self.assertTrue(self.proves("csv1", "eins"))
        for bad in ("", "hash,password\n", "address,quota\n"):
            self.assertEqual(self.site.ctl("passwords", "-", check=False, stdin=bad.encode()).returncode, FAILED)
        self.assertEqual(self.site.ctl("passwords", "-", "--format", "maildir", check=False, stdin=b"").returncode, USAGE)
        self.assertEqual(self.site.ctl("passwords", "-", check=False, stdin=f"address,hash\ncsv1@{DOMAIN},{ssha('stdin')}".encode()).returncode, DONE)
        self.assertTrue(self.proves("csv1", "stdin"))

    def test_one_hash(self):
        """`password --hash` takes a verifier, too, as Dovecot and as PostgreSQL write it."""
        self.mailboxes("one")
        for text in (dovecot_scram("geheim"), scram.verifier("geheim")):
            self.site.ctl("password", f"one@{DOMAIN}", "--hash", stdin=(text + "\n").encode())
            self.assertTrue(self.scram("one", "geheim"))
            self.assertTrue(self.proves("one", "geheim"))
        done = self.site.ctl("password", f"one@{DOMAIN}", "--hash", check=False, stdin=(dovecot_scram("x")[:-4] + "\n").encode())
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("SCRAM verifier", done.stdout.decode())
        self.assertTrue(self.proves("one", "geheim"))

    def test_many(self):
        """Ten thousand in few statements. What people are told has no secret in it."""
        self.site.sql(f"""insert into postern.mailbox (domain, address) select domain, 'many' || n || '@{DOMAIN}'
            from postern.domain, generate_series(1, 10000) n where name = '{DOMAIN}'""")
        sha = ssha("geheim")
        path = self.dir / "many"
        path.write_text("".join(f"many{n}@{DOMAIN}:{sha}\n" for n in range(1, 10002)))
        done = self.site.ctl("passwords", path, "--format", "dovecot", check=False)
        out = done.stdout.decode()
        self.assertEqual(done.returncode, PARTLY, out)
        self.assertNotIn(sha[6:], out)
        self.assertIn(f"REFUSED line 10001 many10001@{DOMAIN}: there is no such mailbox\n", out)
        self.assertIn("set the passwords of 10000 mailboxes, refused 1 lines", out)
        self.assertRegex(out, r"(?m)^SSHA +10000$")
        self.assertIn("10000 mailboxes cannot use SCRAM-SHA-256 before a login with PASS", out)
        self.assertTrue(self.proves("many9999", "geheim"))


class Sealed(PasswordsCase):
    def test_sealed(self):
        """Where there is a key, nothing is stored that a thief could use."""
        key = self.site.dir / "keys"
        key.write_bytes(self.site.ctl("secrets", "new-key", "k1").stdout)
        key.chmod(0o600)
        conf = self.dir / "conf"
        conf.write_text(self.site.lab.conf.read_text() + f'\nauth_key_file = "{key}";\n')
        self.mailboxes("sealed1", "sealed2")
        path = self.dir / "file"
        path.write_text(f"sealed1@{DOMAIN}:{dovecot_scram('geheim')}\nsealed2@{DOMAIN}:{{PLAIN}}geheim\n")
        subprocess.run([self.site.lab.posternctl, "-c", conf, "passwords", path, "--format", "dovecot"], env=lab.plain_env(),
                       stdout=subprocess.DEVNULL, check=True)
        # The processes of a move have the keys, too.
        self.mailboxes("sealed3", "sealed4")
        path.write_text(f"address,hash\nsealed3@{DOMAIN},{ssha('geheim')}\nsealed4@{DOMAIN},{{PLAIN}}geheim\n")
        subprocess.run([self.site.lab.posternctl, "-c", conf, "move", path], env=lab.plain_env(), stdout=subprocess.DEVNULL, check=True)
        self.assertEqual([self.kinds(f"sealed{n}") for n in (1, 2, 3, 4)],
                         ["password scram-sha-256", "password scram-sha-256 shared-secret", "password", "password scram-sha-256 shared-secret"])
        stored = self.site.sql("""select distinct starts_with(c.secret, '{SEALED}k1:') from postern.credential c
            join postern.mailbox m using (mailbox) where m.address like 'sealed_@%'""")
        self.assertEqual(stored, "t")


class Doveadm(PasswordsCase):
    """What Dovecot's own program makes, where it can be unpacked."""

    def test_doveadm(self):
        tree = kit.unpacked("dovecot-core")
        program = tree / "usr/bin/doveadm"
        conf = self.dir / "dovecot.conf"
        libs = ":".join(str(p) for p in (tree / "usr/lib/dovecot", tree / "usr/lib/dovecot/modules"))
        env = dict(os.environ, **kit.beside(tree))
        env["LD_LIBRARY_PATH"] = libs + ":" + env.get("LD_LIBRARY_PATH", "")
        version = subprocess.run([program, "--version"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout.decode()
        conf.write_text(("dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n" if version.startswith("2.4") else "") +
                        "log_path = /dev/stderr\n")
        schemes = ["SHA512-CRYPT", "BLF-CRYPT", "SSHA512", "PBKDF2", "SCRAM-SHA-256", "SCRAM-SHA-1", "ARGON2ID", "CRAM-MD5"]
        lines, made = [], []
        for scheme in schemes:
            done = subprocess.run([program, "-c", conf, "pw", "-s", scheme, "-p", "ge heim"], env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False)
            if done.returncode == 0:
                name = "adm-" + scheme.lower()
                made.append(scheme)
                self.mailboxes(name)
                lines.append(f"{name}@{DOMAIN}:{done.stdout.decode().strip()}:\n")
        self.assertIn("SCRAM-SHA-256", made, done.stderr.decode())
        told = self.passwords("".join(lines), "--format", "dovecot", exit=PARTLY)
        self.assertEqual([r["name"] for r in told["refused"]], [f"adm-cram-md5@{DOMAIN}"])
        for scheme in made[:-1]:
            self.assertTrue(self.proves("adm-" + scheme.lower(), "ge heim"), scheme)
        self.assertTrue(self.scram("adm-scram-sha-256", "ge heim"))


if __name__ == "__main__":
    unittest.main()
