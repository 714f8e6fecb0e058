"""Stored secrets: kinds, seals, app passwords, better hashes, and a provider's own tables."""
import base64
import json
import os
import pwd
import signal
import subprocess
import unittest

import kit
import scram
from kit import lab

CONF = kit.QUICK + 'sasl_mechanisms = "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 APOP";\n'


class SecretsCase(unittest.TestCase):
    conf = CONF
    lmtp = False

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("secrets-", cls.conf, lmtp=cls.lmtp)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()

    def account(self, name, password=kit.PASSWORD):
        address = name + "@example.org"
        self.site.account(address, [], password)
        return address

    def login(self, address, password=kit.PASSWORD):
        with self.site.connect() as pop:
            pop.cmd("USER " + address)
            reply = pop.cmd("PASS " + password)
            # The maildrop is free for the next one when this is answered.
            pop.ok("QUIT")
            return reply

    def ok(self, address, password=kit.PASSWORD):
        reply = self.login(address, password)
        self.assertTrue(reply.startswith(b"+OK"), reply)

    def refused(self, address, password, code=b"[AUTH]"):
        reply = self.login(address, password)
        self.assertTrue(reply.startswith(b"-ERR " + code), reply)

    def mechanism(self, mechanism, address, password=kit.PASSWORD):
        if mechanism.startswith("SCRAM"):
            return self.scram(mechanism, address, password)
        host, port = self.site.address.split(":")
        done = subprocess.run(["curl", "-sS", "--max-time", "20", f"pop3://{host}:{port}/", "-u", f"{address}:{password}",
                               "--login-options", "AUTH=" + mechanism],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return done.returncode == 0

    def scram(self, mechanism, address, password):
        client = scram.Client(address, password, "sha1" if mechanism.endswith("SHA-1") else "sha256")
        with self.site.connect() as pop:
            line = pop.cmd(f"AUTH {mechanism} {scram.b64(client.first())}")
            for step in (client.final, lambda challenge: b""):
                if not line.startswith(b"+ "):
                    break
                line = pop.cmd(scram.b64(step(base64.b64decode(line[2:]))))
            if line.startswith(b"+OK"):
                pop.ok("QUIT")
            return line.startswith(b"+OK")

    def stored(self, address):
        """kind: secret, of all but app passwords"""
        text = self.site.sql(f"""select c.kind || ' ' || c.secret from postern.credential c join postern.mailbox m using (mailbox)
            where m.address = '{address}' and c.kind <> 'app-password' order by 1""")
        return dict(line.split(" ", 1) for line in text.splitlines())

    def set_stored(self, address, secret):
        self.site.sql(f"""update postern.credential c set secret = '{secret}' from postern.mailbox m
            where m.mailbox = c.mailbox and m.address = '{address}' and c.kind = 'password'""")

    def as_owner(self, *args, check=True):
        return self.site.ctl("--as", "user=postgres", *args, check=check)


class Kinds(SecretsCase):
    def test_only_where_wanted(self):
        """Nothing but a hash, until the operator says so for a domain; and gone when he takes it back."""
        who = self.account("kinds")
        self.assertEqual(list(self.stored(who)), ["password"])
        self.assertFalse(self.mechanism("SCRAM-SHA-256", who))
        self.site.ctl("domain", "set", "example.org", "--store", "scram-sha-256,scram-sha-1,shared-secret")
        shown = json.loads(self.site.ctl("--json", "domain", "show", "example.org").stdout)
        self.assertEqual(shown["stores"], "scram-sha-256 scram-sha-1 shared-secret")
        self.site.password(who)
        stored = self.stored(who)
        self.assertEqual(sorted(stored), ["password", "scram-sha-1", "scram-sha-256", "shared-secret"])
        self.assertEqual(stored["shared-secret"], kit.PASSWORD)
        for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "+APOP"):
            with self.subTest(mechanism=mechanism):
                self.assertTrue(self.mechanism(mechanism, who))
                self.assertFalse(self.mechanism(mechanism, who, "wrong"))
        self.site.password(who, "another one")
        self.assertTrue(self.mechanism("SCRAM-SHA-256", who, "another one"))
        self.assertFalse(self.mechanism("SCRAM-SHA-256", who))
        # A hash is of a password that nobody knows here: the other kinds are of an old one.
        self.site.lab.ctl("password", who, "--hash", input=b"{PLAIN}third\n", stdout=subprocess.DEVNULL)
        self.assertEqual(self.stored(who), {"password": "{PLAIN}third"})
        self.site.password(who)
        self.site.ctl("domain", "set", "example.org", "--store", "none")
        self.assertEqual(list(self.stored(who)), ["password"])
        done = self.site.ctl("domain", "set", "example.org", "--store", "rot13", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"scram-sha-256, scram-sha-1 and shared-secret", done.stdout)

    def test_names_and_locked(self):
        """What dumps of other servers hold, and accounts that they had locked."""
        who = self.account("names")
        for stored in ("{SSHA256}/xF6rakxZymYItxrJRL6wQDY581NhAfzfmNwhwIrL83aU9la", "{PLAIN-MD5}a8f6830bce790a8a67fc2e84e12093ba",
                       "{PBKDF2}$1$ZYxh3E.mXEhp4tfj$5000$ad0e04a424cbb3fade4b7dedb9ef49bf1b0cc535", "{PLAIN}pencil"):
            with self.subTest(stored=stored):
                self.set_stored(who, stored)
                self.ok(who, "pencil")
                self.refused(who, "pencils")
        for stored in ("!", "*", "!!", "!$1$saltsalt$wCrc3hcrR95SV83Xh8Z.41"):
            with self.subTest(stored=stored):
                self.set_stored(who, stored)
                self.refused(who, "pencil")
                self.assertIn("reason=no-password", self.site.log_text())
                done = self.site.lab.ctl("password", who, "--hash", input=stored.encode() + b"\n",
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                self.assertEqual(done.returncode, 1)
                self.assertIn(b"locked", done.stdout)
        self.set_stored(who, "{NTLM}abc")
        self.refused(who, "pencil")
        self.assertRegex(self.site.log_text(), rf'auth name="{who}" result=refused reason=unusable')

    def test_app_passwords(self):
        who = self.account("apps")
        phone = self.site.ctl("app-password", "add", who, "phone").stdout.decode().strip()
        tablet = json.loads(self.site.ctl("--json", "app-password", "add", who, "my tablet").stdout)["password"]
        self.assertRegex(phone, r"^([a-z2-9]{5}-){4}[a-z2-9]{5}$")
        self.assertNotEqual(phone, tablet)
        self.assertIn(b"already", self.site.ctl("app-password", "add", who, "phone", check=False).stdout)
        self.assertNotIn(phone, self.site.sql("select string_agg(secret, ' ') from postern.credential"))
        for typed in (phone, phone.replace("-", ""), phone.upper(), phone.replace("-", " "), tablet, kit.PASSWORD):
            self.ok(who, typed)
        self.refused(who, phone[:-1])
        rows = json.loads(self.site.ctl("--json", "app-password", "list", who).stdout)
        self.assertEqual([r["name"] for r in rows], ["my tablet", "phone"])
        self.assertTrue(lab.wait_until(lambda: self.site.sql(
            "select count(*) from postern.credential where used_at = date_trunc('hour', used_at)") == "2", 10))
        # Only they work, where there is no password any more.
        self.site.ctl("password", who, "--remove")
        self.refused(who, kit.PASSWORD)
        self.ok(who, phone)
        self.site.ctl("app-password", "remove", who, "phone")
        for _ in range(6):
            self.refused(who, phone)
        self.ok(who, tablet)
        for n in range(15):
            self.site.ctl("app-password", "add", who, f"n{n}")
        self.assertIn(b"16 app passwords", self.site.ctl("app-password", "add", who, "more", check=False).stdout)
        for name in ("", "x" * 65, "a\nb"):
            self.assertNotEqual(self.site.ctl("app-password", "add", who, name, check=False).returncode, 0)
        self.ok(who, tablet)

    def test_use_is_written_once(self):
        """A poll with an app password writes once an hour, not each time."""
        who = self.account("hourly")
        app = self.site.ctl("app-password", "add", who, "phone").stdout.decode().strip()
        used = lambda: self.site.sql(f"""select c.xmin || ' ' || c.used_at from postern.credential c join postern.mailbox m using (mailbox)
            where m.address = '{who}' and c.kind = 'app-password'""")
        self.ok(who, app)
        self.assertTrue(lab.wait_until(used, 10))
        before = used()
        for _ in range(8):
            self.ok(who, app)
        self.assertEqual(used(), before)


class Upgrade(SecretsCase):
    conf = CONF + "auth_upgrade = true;\n"

    def test_at_login(self):
        who = self.account("upgrade")
        self.set_stored(who, "{SSHA256}/xF6rakxZymYItxrJRL6wQDY581NhAfzfmNwhwIrL83aU9la")
        self.site.ctl("domain", "set", "example.org", "--store", "scram-sha-256")
        self.refused(who, "wrong")
        self.assertTrue(self.stored(who)["password"].startswith("{SSHA256}"))
        self.ok(who, "pencil")
        self.assertTrue(lab.wait_until(lambda: len(self.stored(who)) == 2, 10), self.stored(who))
        self.assertTrue(self.stored(who)["password"].startswith("$argon2id$"))
        self.ok(who, "pencil")
        self.assertTrue(self.mechanism("SCRAM-SHA-256", who, "pencil"))
        self.refused(who, "wrong")

    def test_concurrent_change_wins(self):
        """The functions themselves: a secret that is not the verified one any more is left alone."""
        who = self.account("race")
        mailbox = self.site.mailbox(who)
        self.assertEqual(self.site.sql(f"select postern.upgrade_secret({mailbox}, 'password', '', 'old', 'better')"), "f")
        self.assertEqual(self.site.sql(f"select postern.add_secret({mailbox}, 'old', 'scram-sha-256', 'x')"), "f")
        self.assertTrue(self.stored(who)["password"].startswith("$argon2id$"))


class Sealed(SecretsCase):
    """With keys: what is in the database proves nothing without them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = cls.site.lab.data.parent / "auth.keys"
        cls.write_keys(cls.new_key("k1"))

    @classmethod
    def new_key(cls, name):
        return cls.site.ctl("secrets", "new-key", name).stdout.decode().strip()

    @classmethod
    def write_keys(cls, *lines):
        cls.keys.unlink(missing_ok=True)
        cls.keys.write_text("\n".join(lines) + "\n")
        cls.keys.chmod(0o400)
        if lab.ROOT:
            # The helpers' user in the lab.
            os.chown(cls.keys, pwd.getpwnam("daemon").pw_uid, 0)

    def counts(self):
        rows = json.loads(self.as_owner("--json", "secrets", "status").stdout)
        return {(r["kind"], r["key"] or ""): int(r["secrets"]) for r in rows}

    def test_life_of_a_key(self):
        who, other = self.account("sealed"), self.account("other", "other password")
        self.site.ctl("domain", "set", "example.org", "--store", "scram-sha-256,shared-secret")
        self.site.password(who)
        app = self.site.ctl("app-password", "add", who, "phone").stdout.decode().strip()
        self.ok(who)
        # There is no key yet.
        self.assertIn(b"no key", self.as_owner("secrets", "seal", check=False).stdout)
        self.site.lab.conf.write_text(self.site.lab.conf.read_text() + f'auth_key_file = "{self.keys}"; auth_upgrade = true;\n')
        self.reload()
        self.ok(who)
        self.as_owner("secrets", "seal")
        self.assertEqual({key for _, key in self.counts()}, {"k1"})
        dump = self.site.sql("select string_agg(secret, ' ') from postern.credential")
        for word in ("argon2", "SCRAM", "SSHA512", kit.PASSWORD):
            self.assertNotIn(word, dump)
        self.everything_works(who, app)
        self.refused(who, "other password")
        # What is set from now on is sealed at once.
        self.site.password(who)
        self.assertEqual({key for _, key in self.counts()}, {"k1"})
        self.everything_works(who, app)

        # A thief who can write moves the secret of his own mailbox into another: the seal is broken.
        mine, others = self.site.mailbox(who), self.site.mailbox(other)
        keep = self.site.sql(f"select secret from postern.credential where mailbox = {others} and kind = 'password'")
        self.site.sql(f"""update postern.credential o set secret = m.secret from postern.credential m
            where o.mailbox = {others} and m.mailbox = {mine} and o.kind = 'password' and m.kind = 'password'""")
        self.refused(other, kit.PASSWORD)
        self.assertIn("its seal is broken", self.site.log_text())
        self.site.sql(f"update postern.credential set secret = '{keep}' where mailbox = {others} and kind = 'password'")
        self.ok(other, "other password")

        # A new key: the first one seals, the old one still opens, until all are sealed anew.
        old = self.keys.read_text().strip()
        new = self.new_key("k2")
        self.write_keys(new, old)
        self.reload()
        self.everything_works(who, app)
        self.as_owner("secrets", "seal")
        self.assertEqual({key for _, key in self.counts()}, {"k2"})
        self.write_keys(new)
        self.reload()
        self.everything_works(who, app)

        # Without its key a secret is nobody's, and the log says what to do.
        self.write_keys(old)
        self.reload()
        self.refused(who, kit.PASSWORD)
        # Nor the next time, when a helper knows the policy again, and the memory the password as proven.
        self.refused(who, kit.PASSWORD)
        self.assertIn("not in the key file", self.site.log_text())
        self.assertRegex(self.site.log_text(), rf'auth name="{who}" result=refused reason=unusable')
        done = self.as_owner("secrets", "unseal", check=False)
        self.assertEqual(done.returncode, 3)
        self.write_keys(new)
        self.reload()
        self.as_owner("secrets", "unseal")
        self.assertEqual({key for _, key in self.counts()}, {""})
        self.everything_works(who, app)

        # A login puts the seal on, where that is wanted.
        self.ok(other, "other password")
        self.assertTrue(lab.wait_until(lambda: ("password", "k2") in self.counts(), 10), self.counts())
        self.ok(other, "other password")

        # A file that others may read is not used, and said so.
        self.keys.chmod(0o444)
        self.assertIn(b"others than its owner", self.site.ctl("password", who, "--remove", check=False).stdout)

    def reload(self):
        """New helpers read the file again."""
        before = set(self.site.tree()[2])
        os.kill(self.site.lab.master_pid(), signal.SIGHUP)
        self.assertTrue(lab.wait_until(lambda: self.site.tree()[2] and not before & set(self.site.tree()[2]), 15))

    def everything_works(self, who, app):
        self.ok(who)
        self.ok(who, app)
        self.refused(who, "wrong")
        for mechanism in ("SCRAM-SHA-256", "CRAM-MD5", "+APOP"):
            self.assertTrue(self.mechanism(mechanism, who), mechanism)

    def test_worker_cannot_read(self):
        """Not the keys, and not the secrets: only helpers may."""
        if not lab.ROOT:
            self.skipTest("needs several users")
        self.write_keys(self.new_key("k1"))
        got = subprocess.run(["cat", str(self.keys)], user="nobody", group=pwd.getpwnam("nobody").pw_gid, extra_groups=[],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", check=False)
        self.assertNotEqual(got.returncode, 0)
        self.assertIn(b"Permission denied", got.stdout)



if __name__ == "__main__":
    unittest.main()
