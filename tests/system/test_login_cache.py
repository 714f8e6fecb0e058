"""A cached login is unconfirmed until the maildrop is opened, and never holds longer than what it was verified against (A11, P5).

The secrets cannot be asked for in these tests, so that nobody can have looked
at them who let somebody in.
"""
import base64
import functools
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit

WHO, OTHER = "anna@example.org", "bert@example.org"
ASKED = "postern.credentials(text), postern.login(text, inet, boolean)"


def by(*ways):
    """By PASS, and by PLAIN and LOGIN, which carry the same; LOGIN is PASS in other words, so some tests leave it out."""
    def decorated(test):
        @functools.wraps(test)
        def wrapped(self):
            for self.by in ways:
                with self.subTest(by=self.by):
                    self.setUp()
                    test(self)
                    self.doCleanups()
        return wrapped
    return decorated


by_each, by_all = by("PASS", "PLAIN"), by("PASS", "PLAIN", "LOGIN")


class Unconfirmed(unittest.TestCase):
    by = "PASS"

    @classmethod
    def setUpClass(cls):
        # One helper: of several, each that was told that it may not would wait for a second of its own.
        cls.site = kit.Site("unconfirmed-", kit.QUICK + 'cells = 1; auth_helpers = 1; log_level = "debug";\n')
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        for name in (WHO, OTHER):
            cls.site.account(name, [kit.letter(1)])

    def say(self, name=WHO, password=kit.PASSWORD):
        with self.site.connect() as pop:
            if self.by == "PASS":
                pop.ok("USER " + name)
                reply = pop.cmd("PASS " + password)
            elif self.by == "PLAIN":
                reply = pop.cmd("AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()).decode())
            else:
                for line in "AUTH LOGIN", base64.b64encode(name.encode()).decode():
                    self.assertTrue(pop.cmd(line).startswith(b"+ "))
                reply = pop.cmd(base64.b64encode(password.encode()).decode())
            if reply.startswith(b"+OK"):
                pop.ok("QUIT")
            return reply

    def setUp(self):
        """Known from this network, and cached."""
        for _ in range(3):
            self.assertTrue(self.say().startswith(b"+OK"))

    def without_secrets(self):
        self.site.sql(f"revoke execute on function {ASKED} from postern_auth")
        self.addCleanup(self.with_secrets)

    def with_secrets(self):
        self.site.sql(f"grant execute on function {ASKED} to postern_auth")
        # A helper that was told that it may not asks again after a second.
        kit.wait_until(lambda: self.say("nobody@example.org").startswith(b"-ERR [AUTH]"))

    @by_all
    def test_nobody_is_asked(self):
        self.without_secrets()
        for _ in range(3):
            self.assertTrue(self.say().startswith(b"+OK"))
        by = " mechanism=PLAIN" if self.by == "PLAIN" else ""
        self.assertIn(f'auth name="anna@example.org"{by} result=ok cached=unconfirmed', self.site.log_text())
        self.assertRegex(self.say(password="wrong"), rb"^-ERR \[SYS/(TEMP|PERM)\]")
        self.assertRegex(self.say(OTHER), rb"^-ERR \[SYS/(TEMP|PERM)\]")

    @by_each
    def test_what_ends_it(self):
        changes = (
            "update postern.credential c set secret = c.secret from postern.mailbox m where m.mailbox = c.mailbox and m.address = '%s'",
            "update postern.mailbox set enabled = false where address = '%s'",
            "update postern.domain set enabled = false where name = split_part('%s', '@', 2)",
            "update postern.tenant t set enabled = false from postern.domain d where d.tenant = t.tenant and d.name = split_part('%s', '@', 2)",
            "select postern.set_policy(null, null, '%s', '{login_delay}', '{null}')",
        )
        for change in changes:
            with self.subTest(change=change):
                self.setUp()
                self.without_secrets()
                self.assertTrue(self.say().startswith(b"+OK"))
                self.site.sql(change % WHO)
                self.assertRegex(self.say(), rb"^-ERR \[SYS/(TEMP|PERM)\]")
                self.site.sql("update postern.mailbox set enabled = true; update postern.domain set enabled = true;"
                              "update postern.tenant set enabled = true")
                self.doCleanups()

    @by_all
    def test_new_password(self):
        self.site.ctl("password", WHO, stdin=b"another one\n")
        try:
            self.assertEqual(self.say(), b"-ERR [AUTH] wrong name or password")
            self.assertTrue(self.say(password="another one").startswith(b"+OK"))
            self.assertTrue(self.say(password="another one").startswith(b"+OK"))
            self.assertEqual(self.say(), b"-ERR [AUTH] wrong name or password")
        finally:
            self.site.ctl("password", WHO, stdin=kit.PASSWORD.encode() + b"\n")

    @by_each
    def test_disabled(self):
        self.site.ctl("mailbox", "disable", WHO)
        try:
            self.assertEqual(self.say(), b"-ERR [AUTH] wrong name or password")
        finally:
            self.site.ctl("mailbox", "enable", WHO)
        self.assertTrue(self.say().startswith(b"+OK"))

    @by_each
    def test_policy(self):
        self.site.ctl("policy", "set", "--mailbox", WHO, "maintenance=back at noon")
        try:
            self.assertEqual(self.say(), b"-ERR [SYS/TEMP] back at noon")
            self.assertEqual(self.say(password="wrong"), b"-ERR [AUTH] wrong name or password")
        finally:
            self.site.ctl("policy", "clear", "--mailbox", WHO)
        self.assertTrue(self.say().startswith(b"+OK"))

    @by_all
    def test_in_use(self):
        """Only a confirmed login is told, or asks the other session to go."""
        with self.site.login(WHO) as held:
            self.assertTrue(self.say().startswith(b"-ERR [IN-USE]"))
            self.site.ctl("password", WHO, stdin=b"another one\n")
            try:
                self.assertEqual(self.say(), b"-ERR [AUTH] wrong name or password")
                self.assertTrue(self.say(password="another one").startswith(b"-ERR [IN-USE]"))
            finally:
                self.site.ctl("password", WHO, stdin=kit.PASSWORD.encode() + b"\n")
            held.ok("QUIT")
        self.assertTrue(self.say().startswith(b"+OK"))

    def test_one_for_another(self):
        """What PASS has verified PLAIN need not, also with her own name to act as; with another's it is refused."""
        self.without_secrets()
        with self.site.connect() as pop:
            pop.ok("AUTH PLAIN " + base64.b64encode(f"{WHO}\0{WHO}\0{kit.PASSWORD}".encode()).decode())
            pop.ok("QUIT")
        with self.site.connect() as pop:
            pop.err("AUTH PLAIN " + base64.b64encode(f"{OTHER}\0{WHO}\0{kit.PASSWORD}".encode()).decode(), "AUTH")

    def test_replaced_credentials(self):
        """What another program's tables say may change without a word to us: they are asked each time."""
        self.site.sql("create table public.kept as select pg_get_functiondef('postern.credentials'::regproc) as def")
        changed = "update postern.policy_version set version = postern.next_proof(version)"
        self.site.sql(r"do $do$ begin execute (select replace(def, E'\nend\n', E'\nend -- of a provider\n') from public.kept); end $do$; " + changed)
        try:
            for _ in range(3):
                self.assertTrue(self.say().startswith(b"+OK"))
            self.without_secrets()
            self.assertRegex(self.say(), rb"^-ERR \[SYS/(TEMP|PERM)\]")
        finally:
            self.doCleanups()
            self.site.sql("do $do$ begin execute (select def from public.kept); end $do$; drop table public.kept; " + changed)
        self.assertEqual(self.site.sql("select count(*) from postern.list_replaced()"), "0")


class Shared(unittest.TestCase):
    """What one helper has verified and was told, all know, and those that come later: each password costs Argon2 once, and the database is asked once."""

    def test_once(self):
        site = kit.Site("cached-", kit.QUICK + 'cells = 2; auth_helpers = 2; log_level = "debug";\n')
        self.addCleanup(site.down)
        site.up()
        site.account(WHO, [kit.letter(1)])

        def logins(password=kit.PASSWORD):
            for _ in range(12):
                with site.connect() as pop:
                    pop.login(WHO, password)
                    pop.ok("QUIT")

        def verified():
            """Logins for which somebody had to look at the hash, of how many."""
            lines = [line for line in site.log_text().splitlines() if 'auth name="anna@example.org" result=ok' in line]
            return len([line for line in lines if "cached=" not in line]), len(lines)

        def cached():
            """The helpers that have answered without a question to the database, and how often others have not."""
            lines = [line for line in site.log_text().splitlines() if 'auth name="anna@example.org" result=ok' in line]
            return {re.search(r"posternd auth [\d.]+", line)[0] for line in lines if "cached=unconfirmed" in line}, len([line for line in lines if "cached=unconfirmed" not in line])

        logins()
        self.assertEqual(verified(), (1, 12))
        site.ctl("reload")
        logins()
        kit.kill(site.tree()[1][0])
        self.assertTrue(kit.wait_until(lambda: len(site.tree()[1]) == 2))
        logins()
        site.ctl("upgrade")
        logins()
        self.assertEqual(verified(), (1, 48))
        helpers, asked = cached()
        self.assertEqual(asked, 1)
        self.assertGreater(len(helpers), 1)

        # What has changed all of them know, from the first one on.
        def refused(reply, password=kit.PASSWORD):
            for _ in range(4):
                with site.connect() as pop:
                    pop.ok("USER " + WHO)
                    self.assertEqual(pop.cmd("PASS " + password), reply)

        site.ctl("policy", "set", "--domain", "example.org", "maintenance=back at noon")
        refused(b"-ERR [SYS/TEMP] back at noon")
        site.ctl("policy", "clear", "--domain", "example.org")
        logins()
        self.assertEqual(verified()[0], 1)
        site.ctl("mailbox", "disable", WHO)
        refused(b"-ERR [AUTH] wrong name or password")
        site.ctl("mailbox", "enable", WHO)
        logins()
        before = verified()[0]
        site.ctl("password", WHO, stdin=b"another one\n")
        refused(b"-ERR [AUTH] wrong name or password")
        logins("another one")
        self.assertEqual(verified()[0], before + 1)
        # While there is a text of maintenance each is asked about; of the other changes one login told all helpers.
        self.assertLess(cached()[1], 12)

        # Whoever has that memory can say that a password was verified: no worker has.
        master, workers, helpers = site.tree()
        self.assertNotIn("postern-login-cache", pathlib.Path(f"/proc/{master}/maps").read_text())
        for pid in workers + helpers:
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
            self.assertEqual("postern-login-cache" in maps, pid in helpers)
            self.assertNotIn("postern-login-cache", " ".join(kit.opened(pid)))
