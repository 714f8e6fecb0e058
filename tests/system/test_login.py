"""Names, passwords, refusals, limits, timers, log lines (A02, A07, A10, C09-C12, L02, N12, Q09-Q11, R03, R04)."""
import re
import time
import unittest

import kit

WHO = "login@example.org"


class LoginCase(unittest.TestCase):
    conf = kit.QUICK

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("login-", cls.conf)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.letters = [kit.letter(n) for n in range(1, 4)]
        cls.site.account(WHO, cls.letters)

    def answers(self, name, password):
        with self.site.connect() as pop:
            replies = pop.cmd("USER " + name), pop.cmd("PASS " + password)
            # The maildrop is free for the next one when this is answered.
            pop.ok("QUIT")
            return replies


class Refusals(LoginCase):
    def test_all_look_the_same(self):
        """A02 A10: unknown, disabled, without a password, of a disabled domain or tenant, and a wrong password."""
        for who in ("off@example.org", "none@example.org", "u@off.example"):
            self.site.account(who, [])
        self.site.ctl("tenant", "add", "other")
        self.site.ctl("domain", "add", "tenant.example", "--tenant", "other")
        self.site.ctl("mailbox", "add", "u@tenant.example")
        self.site.password("u@tenant.example")
        self.site.ctl("mailbox", "disable", "off@example.org")
        self.site.ctl("domain", "disable", "off.example")
        self.site.ctl("tenant", "disable", "other")
        self.site.sql("""delete from postern.credential c using postern.mailbox m
            where m.mailbox = c.mailbox and m.address = 'none@example.org'""")
        wanted = self.answers(WHO, "wrong")
        self.assertTrue(wanted[1].startswith(b"-ERR [AUTH]"))
        for who in ("ghost@example.org", "ghost@nowhere.example", "ghost", "off@example.org", "none@example.org",
                    "u@off.example", "u@tenant.example", "@", "a@b@c", "x" * 240):
            with self.subTest(who=who):
                self.assertEqual(self.answers(who, kit.PASSWORD), wanted)
        self.assertEqual(self.answers(WHO, " "), wanted)

    def test_changed_password(self):
        """Whatever a helper remembers: from the moment of the change only the new one is good."""
        who = "changed@example.org"
        self.site.account(who, [])
        for n in range(12):                     # more often than there are helpers, so that all remember
            self.assertTrue(self.answers(who, kit.PASSWORD)[1].startswith(b"+OK"), n)
        self.site.password(who, "another one")
        for n in range(6):
            self.assertTrue(self.answers(who, kit.PASSWORD)[1].startswith(b"-ERR [AUTH]"), n)
            self.assertTrue(self.answers(who, "another one")[1].startswith(b"+OK"), n)
        self.site.password(who)
        for n in range(6):
            self.assertTrue(self.answers(who, kit.PASSWORD)[1].startswith(b"+OK"), n)

    def test_hashes_of_other_servers(self):
        """crypt(3) as it stands in their tables."""
        who = "crypt@example.org"
        self.site.account(who, [])
        for stored in ("$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/",
                       "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"):
            self.site.sql(f"""update postern.credential c set secret = '{stored}' from postern.mailbox m
                where m.mailbox = c.mailbox and m.address = '{who}'""")
            with self.subTest(stored=stored[:3]):
                self.assertTrue(self.answers(who, "password")[1].startswith(b"+OK"))
                self.assertTrue(self.answers(who, "Password")[1].startswith(b"-ERR [AUTH]"))

    def test_long_passwords(self):
        """As long as a command may be."""
        who, long = "long@example.org", "p" * 248
        self.site.account(who, [], long)
        self.assertTrue(self.answers(who, long)[1].startswith(b"+OK"))
        self.assertTrue(self.answers(who, long[:-1])[1].startswith(b"-ERR [AUTH]"))

    def test_log(self):
        """N12: a line for each login and each end, and never a password."""
        secret = "n0t-f0r-the-l0g"
        who = "logged@example.org"
        self.site.account(who, self.letters, secret)
        with self.site.connect() as pop:
            pop.ok("USER " + who)
            pop.err("PASS wrong-" + secret)
            pop.ok("USER " + who)
            pop.ok("PASS " + secret)
            pop.err("PASS " + secret)
            pop.err(secret)
            pop.retr(1)
            pop.ok("DELE 1")
            pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: "end=quit" in self.site.log_text()), self.site.log_tail())
        text = self.site.log_text()
        self.assertNotIn(secret, text)
        login = re.search(rf"(\S+) login .*{re.escape(who)}.*result=ok", text)
        self.assertIsNotNone(login, text[-3000:])
        self.assertRegex(text, rf'login .*{re.escape(who)}.*result=refused')
        self.assertRegex(text, rf"{login.group(1)} session .*retr=1/.*dele=1")
        self.assertIn("127.0.0.1", login.group(0))


class Capabilities(LoginCase):
    conf = kit.QUICK + 'pop3_expire = "30"; pop3_login_delay = "3s"; pop3_implementation = false;\n'

    def test_login_delay_and_expire(self):
        """C09 C11 C12 R03 R04: announced and enforced; from the last good login, on any worker."""
        who = "delay@example.org"
        self.site.account(who, [])
        with self.site.connect() as pop:
            lines = pop.multi("CAPA")
        self.assertIn(b"EXPIRE 30", lines)
        self.assertIn(b"LOGIN-DELAY 3", lines)
        self.assertFalse([line for line in lines if line.startswith(b"IMPLEMENTATION")])
        with self.site.login(who) as pop:
            began = time.monotonic()
            self.assertEqual(pop.multi("CAPA"), lines)
            pop.ok("QUIT")
        while time.monotonic() < began + 2:
            with self.site.connect() as pop:
                self.assertEqual(pop.cmd("USER " + who), pop.cmd("USER ghost@example.org"))
                pop.ok("USER " + who)
                reply = pop.cmd("PASS " + kit.PASSWORD)
                if time.monotonic() < began + 2.5:
                    self.assertTrue(reply.startswith(b"-ERR [LOGIN-DELAY]"), reply)
                elif reply.startswith(b"+OK"):
                    return              # on a busy machine it was over before the word came
                pop.ok("USER " + who)
                pop.err("PASS wrong", "AUTH")
        # Refusals have not made it longer.
        time.sleep(max(0, began + 3.2 - time.monotonic()))
        with self.site.login(who) as pop:
            pop.ok("QUIT")


class Timers(LoginCase):
    conf = kit.QUICK + 'pop3_idle = "4s"; pop3_idle_below_standard = true; pop3_login_time = "4s";\n'

    def test_idle(self):
        """Q10 Q11: any command starts it again; at its end the connection closes without a word, nothing is deleted."""
        pop = self.site.login(WHO)
        pop.ok("DELE 1")
        for _ in range(5):
            time.sleep(1)
            pop.ok("NOOP")
        self.assertTrue(pop.at_end())
        with self.site.login_soon(WHO) as again:
            self.assertEqual(again.stat()[0], 3)
            again.ok("QUIT")

    def test_before_login(self):
        """A19: commands do not make that time longer."""
        pop = self.site.connect()
        end = time.monotonic() + 20
        try:
            while time.monotonic() < end:
                pop.ok("USER nobody")
                time.sleep(0.2)
        except (EOFError, OSError):
            return
        self.fail("a connection without a login is kept for ever")


class DefaultDomain(LoginCase):
    def test_default_domain(self):
        port = kit.lab.free_port()
        second = self.site.second(f'listeners = ( {{ address = "127.0.0.1"; port = {port}; default_domain = "EXAMPLE.org"; }} );\n')
        second.address = f"127.0.0.1:{port}"
        second.start("--foreground")
        self.addCleanup(second.stop)
        for name in ("login", "LOGIN", WHO, "Login@Example.ORG", WHO + "."):
            with self.subTest(name=name), kit.Pop(second.address) as pop:
                pop.login(name)
                self.assertEqual(pop.stat()[0], 3)
                pop.ok("QUIT")

    def test_international_domain(self):
        """A U-label and its A-label are one domain."""
        self.site.account("post@xn--bcher-kva.example", self.letters)
        for name in ("post@xn--bcher-kva.example", "post@b\u00fccher.example", "Post@B\u00dcCHER.example"):
            with self.subTest(name=name), self.site.connect() as pop:
                pop.login(name)
                pop.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
