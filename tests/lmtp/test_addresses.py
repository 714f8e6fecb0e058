"""Every way in has one spelling of a name and of a password, and the log says whose login was refused."""
import base64
import hashlib
import os
import re
import signal
import unicodedata
import unittest

import lmtpkit
import kit
import scram

OPEN = ('sasl_mechanisms = "PLAIN, LOGIN,SCRAM-SHA-256 CRAM-MD5 APOP"; pop3_login_failures = 100; pop3_bad_commands = 1000;\n'
        'pop3_limit_exempt = "127.0.0.0/8"; lmtp_bad_commands = 1000; auth_deadline = "5s";\n')
NFC, NFD = "J\u00f6rg", "Jo\u0308rg"

# What somebody types, and what it is; None: no address anywhere.
ADDRESSES = (
    ("plain@names.example", "plain@names.example"),
    ("UPPER.Case@Names.EXAMPLE.", "upper.case@names.example"),
    (" blank@names.example\t", "blank@names.example"),
    ("tag+detail@names.example", "tag+detail@names.example"),
    ("dots..two@names.example", "dots..two@names.example"),
    (".dot@names.example", ".dot@names.example"),
    ("o'neil!#$%&*/=?^_`{|}~-@names.example", "o'neil!#$%&*/=?^_`{|}~-@names.example"),
    ('"quoted"@names.example', "quoted@names.example"),
    ('"a b"@names.example', '"a b"@names.example'),
    ('"A  C "@names.example', '"a  c "@names.example'),
    ('"at@sign"@names.example', '"at@sign"@names.example'),
    ('"q\\"\\\\"@names.example', '"q\\"\\\\"@names.example'),
    ('"\\b\\s"@names.example', "bs@names.example"),
    (NFC + "@names.example", "j\u00f6rg@names.example"),
    (NFD + ".d@names.example", "j\u00f6rg.d@names.example"),
    ('"J\u00d6RG\u00a0B"@names.example', '"j\u00f6rg b"@names.example'),
    ("\u212aelvin@names.example", "kelvin@names.example"),
    ("\uff37ide@names.example", "wide@names.example"),
    ("so\u00adft@names.example", "soft@names.example"),
    ("\u05d0\u05d1@names.example", "\u05d0\u05d1@names.example"),
    ("\u03a3\u0391\u03a3@names.example", "\u03c3\u03b1\u03c3@names.example"),
    ("\u0130@names.example", "i\u0307@names.example"),
    ("\U0001f600@names.example", "\U0001f600@names.example"),
    ("idn@b\u00fccher.example", "idn@xn--bcher-kva.example"),
    ("idn2@Bu\u0308CHER.example", "idn2@xn--bcher-kva.example"),
    ("idn3@XN--BCHER-KVA.example", "idn3@xn--bcher-kva.example"),
    ("x" * 64 + "@names.example", "x" * 64 + "@names.example"),
    ("a b@names.example", None),
    ("a\u00a0b@names.example", None),
    ("a:b@names.example", None),
    ("a@b@names.example", None),
    ('"open@names.example', None),
    ('"a"b@names.example', None),
    ('""@names.example', None),
    ("@names.example", None),
    ("\u200b@names.example", None),
    ("\ufb01n@names.example", None),
    ("x\u00b2@names.example", None),
    ("\ue000@names.example", None),
    ("a@[192.0.2.1]", None),
    ("a@names..example", None),
    ("a@-names.example", None),
    ("a@na mes.example", None),
    ("x" * 65 + "@names.example", None),
)


def plain(name, password, authzid=""):
    return "AUTH PLAIN " + base64.b64encode(f"{authzid}\0{name}\0{password}".encode()).decode()


class Case(lmtpkit.Case):
    conf = OPEN

    @classmethod
    def prepare(cls):
        for domain in ("names.example", "b\u00fccher.example"):
            cls.site.ctl("domain", "add", domain, "--tenant", cls.site.json_tenant())

    def pop(self):
        pop = self.site.connect()
        self.addCleanup(pop.close)
        return pop

    def user(self, name, password=kit.PASSWORD):
        """The answer to PASS, which may be a listing."""
        with self.site.connect() as pop:
            pop.ok(f"USER {name}")
            reply = pop.cmd(f"PASS {password}")
            pop.ok("QUIT")
            return reply

    def auth(self, name, password=kit.PASSWORD, authzid=""):
        with self.site.connect() as pop:
            reply = pop.cmd(plain(name, password, authzid))
            pop.ok("QUIT")
            return reply

    def logged(self, pattern):
        if not kit.wait_until(lambda: re.search(pattern, self.site.log_text())):
            self.fail(f"no line {pattern}{self.site.log_tail()}")


class Site(lmtpkit.Site):
    def json_tenant(self):
        return self.sql("select name from postern.tenant order by tenant limit 1")


class Addresses(Case):
    def rcpt(self, name):
        client = self.site.lmtp_connect()
        with client:
            client.ok("MAIL FROM:<s@sender.example> SMTPUTF8")
            reply = client.cmd(f"RCPT TO:<{name}>")
            if reply.startswith(b"250"):
                self.assertTrue(client.data(lmtpkit.LETTER)[0].startswith(b"250"), name)
            return reply.decode()

    def test_every_way_in(self):
        """What `mailbox add` takes is logged in to and delivered to as it was typed and as it is stored; else nobody takes it."""
        for typed, canonical in ADDRESSES:
            with self.subTest(typed=typed):
                done = self.site.ctl("mailbox", "add", typed, check=False)
                said = done.stdout.decode()
                self.assertEqual(done.returncode == 0, canonical is not None, said)
                if canonical is None:
                    self.refused(typed, said)
                else:
                    self.taken(typed, canonical)

    def taken(self, typed, canonical):
        self.assertEqual(self.site.sql("select address from postern.mailbox order by mailbox desc limit 1"), canonical)
        self.site.password(typed)
        for name in (typed, canonical, canonical.upper() if canonical.isascii() else unicodedata.normalize("NFD", canonical)):
            self.assertTrue(self.user(name).startswith(b"+OK"), name)
            self.assertTrue(self.auth(name).startswith(b"+OK"), name)
            self.assertTrue(self.auth(name, authzid=canonical).startswith(b"+OK"), name)
            self.assertEqual(self.rcpt(name.strip())[:3], "250", name)
        self.assertEqual(self.site.ctl("mailbox", "add", canonical, check=False).returncode, 1)
        self.assertTrue(self.user(canonical).startswith(b"+OK 3 "))

    def refused(self, typed, said):
        why = said.strip().rpartition("is not an address: ")[2]
        self.assertNotEqual(why, "")
        self.assertTrue(self.user(typed).startswith(b"-ERR [AUTH]"))
        self.assertTrue(self.auth(typed).startswith(b"-ERR [AUTH]"))
        reply = self.rcpt(typed)
        # What is no path has no further reason.
        self.assertIn(reply, (f"501 5.1.3 not an address: {why}", "501 5.1.3 not an address"))
        for verb in (("alias", "add", typed, "u1@t1.example", "--force"), ("alias", "add", "al@names.example", typed, "--force"), ("mailbox", "show", typed)):
            if verb[2][0] == "@":
                continue            # a catch-all
            done = self.site.ctl(*verb, check=False)
            self.assertEqual(done.returncode, 1, verb)
            self.assertIn(why, done.stdout.decode())

    def test_catch_all_and_policy(self):
        self.site.ctl("alias", "add", "@B\u00dcCHER.example ", "U1@t1.example ", "--force")
        self.assertEqual(self.rcpt("anybody@xn--bcher-kva.example")[:3], "250")
        self.site.ctl("policy", "set", "--mailbox", " U1@T1.example", "login_delay=1")
        self.site.ctl("policy", "clear", "--mailbox", '"u1"@t1.example')

    def test_default_of_user_is_a_line(self):
        pop = self.pop()
        for line in ("USER", "USER ", "USER  \t", "APOP", "APOP x", "APOP x "):
            self.assertTrue(pop.cmd(line).startswith(b"-ERR"), line)
        self.assertTrue(pop.cmd("USER   u1@t1.example  ").startswith(b"+OK"))
        self.assertTrue(pop.cmd("PASS " + kit.PASSWORD).startswith(b"+OK"))

    def test_password_is_never_trimmed(self):
        self.assertTrue(self.user("u1@t1.example", kit.PASSWORD + " ").startswith(b"-ERR [AUTH]"))
        self.assertTrue(self.auth("u1@t1.example ", " " + kit.PASSWORD).startswith(b"-ERR [AUTH]"))


class Passwords(Case):
    def apop(self, name, secret):
        with self.site.connect() as pop:
            stamp = re.search(rb"<[^>]*>", pop.greeting).group()
            return pop.cmd(f"APOP {name} {hashlib.md5(stamp + secret.encode()).hexdigest()} ")

    def scram(self, name, password):
        with self.site.connect() as pop:
            client = scram.Client(name, password)
            line = pop.cmd("AUTH SCRAM-SHA-256 " + scram.b64(client.first()))
            if not line.startswith(b"+ "):
                return line
            line = pop.cmd(scram.b64(client.final(base64.b64decode(line[2:]))))
            return pop.cmd("") if line.startswith(b"+ ") else line

    def test_either_form(self):
        """Set in one form, sent in any: composed, decomposed, another kind of blank, a KELVIN SIGN."""
        who = "forms@t1.example"
        self.site.ctl("mailbox", "add", who)
        forms = [f"{k}{name}{blank}x" for k in "K\u212a" for name in (NFC, NFD) for blank in " \u00a0"]
        for stored in (forms[0], forms[-1]):
            for store in ("none", "scram-sha-256, shared-secret", "shared-secret"):
                self.site.ctl("domain", "set", "t1.example", "--store", store)
                self.site.password(who, stored)
                for sent in forms:
                    with self.subTest(stored=stored, store=store, sent=sent):
                        self.assertTrue(self.user(who, sent).startswith(b"+OK"))
                        self.assertTrue(self.auth(who, sent).startswith(b"+OK"))
                        self.assertTrue(self.user(who, sent + "y").startswith(b"-ERR [AUTH]"))
            for sent in (forms[0], unicodedata.normalize("NFD", forms[0])):
                self.assertTrue(self.apop(who, sent).startswith(b"+OK"), sent)
            self.assertTrue(self.scram(who, forms[0]).startswith(b"+OK"))
            self.assertTrue(self.apop(who, forms[0] + "y").startswith(b"-ERR [AUTH]"))


class Log(Case):
    """No refusal before a login is seen at level debug only; and none without the name, where a client has said it."""

    def test_last_refusal_is_told(self):
        for line, reply in (("USER", "invalid arguments"), ("AUTH GSSAPI", "authentication mechanism not available"),
                            ("AUTH PLAIN ???", "invalid base64"), ("USER\tu1@t1.example", "unknown command"),
                            ("PASS x", "send USER first"), ("STLS", "TLS is not available"), ("APOP x", "invalid arguments")):
            with self.subTest(line=line):
                before = len(re.findall("result=refused reply=", self.site.log_text()))
                with self.site.connect() as pop:
                    self.assertTrue(pop.cmd(line).startswith(b"-ERR"))
                    pop.ok("QUIT")
                self.assertTrue(kit.wait_until(
                    lambda: len(re.findall("result=refused reply=", self.site.log_text())) == before + 1, 10), line)
                verb = line[:4]
                self.logged(rf'login peer=\S+ user="" command={verb} result=refused reply="{reply}')

    def test_line_too_long(self):
        with self.site.connect() as pop:
            pop.ok("USER long@t1.example")
            self.assertTrue(pop.cmd("PASS " + "x" * 300).startswith(b"-ERR"))
            pop.ok("QUIT")
        self.logged(r'user="long@t1\.example" command=PASS result=refused reply="command longer than')
        self.assertNotIn("x" * 20, self.site.log_text())

    def test_cancelled(self):
        with self.site.connect() as pop:
            pop.cmd("AUTH LOGIN")
            pop.cmd(base64.b64encode(b"cancel@t1.example"))
            self.assertTrue(pop.cmd("*").startswith(b"-ERR"))
            # It was no USER.
            self.assertTrue(pop.cmd("PASS " + kit.PASSWORD).startswith(b"-ERR send USER"))
            pop.ok("QUIT")
        self.logged(r'login user="cancel@t1\.example" [^\n]*mechanism=LOGIN result=refused reason=aborted')

    def test_who_comes_in_is_not_told(self):
        with self.site.connect() as pop:
            pop.cmd("AUTH GSSAPI")
            pop.ok("USER u2@t1.example")
            pop.ok("PASS " + kit.PASSWORD)
            session = re.search(r'(\w+) login user="u2@t1\.example" [^\n]*result=ok', self.site.log_text()).group(1)
            pop.ok("QUIT")
        self.logged(rf"{session} session user=")
        self.assertNotRegex(self.site.log_text(), rf"{session} login peer=")

    def test_health_checks_are_not_told(self):
        """A probe that says no name and no word of a login stays at level debug."""
        with self.site.connect() as pop:
            pop.cmd("NOOP")
            pop.cmd("HELO x")
            pop.ok("QUIT")
        self.assertNotRegex(self.site.log_text(), "command=(NOOP|HELO)")

    def attempts(self):
        """Every way to say a name, with none in it that could not be known."""
        stamp = None
        for way in ("USER", "PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5", "APOP"):
            name = f"{way.lower()}.name@t1.example"
            pop = self.pop()
            stamp = re.search(rb"<[^>]*>", pop.greeting)
            self.assertIsNotNone(stamp)
            if way == "USER":
                pop.ok("USER " + name)
                pop.send(b"PASS x\r\n")
            elif way == "PLAIN":
                pop.send(plain(name, "x").encode() + b"\r\n")
            elif way == "LOGIN":
                self.assertTrue(pop.cmd(b"AUTH LOGIN " + base64.b64encode(name.encode())).startswith(b"+ "))
                pop.send(base64.b64encode(b"x") + b"\r\n")
            elif way == "APOP":
                pop.send(f"APOP {name} {'0' * 32}\r\n".encode())
            elif way == "CRAM-MD5":
                pop.send(b"AUTH CRAM-MD5\r\n")
            else:
                pop.send(b"AUTH SCRAM-SHA-256 " + base64.b64encode(f"n,,n={name},r=abcdefgh".encode()) + b"\r\n")
            yield way, name, pop

    def test_helpers_are_away(self):
        """A helper that never answers cannot say whose login it was."""
        _, _, helpers = self.site.tree()
        for pid in helpers:
            os.kill(pid, signal.SIGSTOP)
        try:
            waiting = list(self.attempts())
            for way, name, pop in waiting:
                self.assertTrue(pop.line().startswith(b"-ERR [SYS/TEMP]"), way)
                if way != "CRAM-MD5":       # where the server begins
                    self.logged(rf'login user="{re.escape(name)}" [^\n]*reason=auth-unavailable')
        finally:
            for pid in helpers:
                if kit.alive(pid):
                    os.kill(pid, signal.SIGCONT)

    def test_database_is_away(self):
        # Other tests' logins have to be over, so that a helper that went is back.
        self.assertTrue(kit.wait_until(lambda: self.user("u3@t1.example").startswith(b"+OK")))
        self.site.pg_stop()
        try:
            for way, name, pop in self.attempts():
                line = pop.line()
                if way == "CRAM-MD5":
                    line = pop.cmd(base64.b64encode(f"{name} {'0' * 32}".encode()))
                self.assertTrue(line.startswith(b"-ERR [SYS/TEMP]"), (way, line))
                self.logged(rf'login user="{re.escape(name)}" [^\n]*reason=auth-unavailable')
        finally:
            self.site.lab.pg_start()
        self.assertNotRegex(self.site.log_text(), r'user="" [^\n]*mechanism=(PLAIN|LOGIN|SCRAM-SHA-256|APOP)[^\n]*auth-unavailable')

    def test_malformed_name_in_the_helpers_line(self):
        self.assertTrue(self.auth("a b@t1.example").startswith(b"-ERR [AUTH]"))
        self.logged(r'auth name="a b@t1\.example" mechanism=PLAIN result=refused reason=unknown')
        self.logged(r'login user="a b@t1\.example" [^\n]*mechanism=PLAIN result=refused reason=password')


lmtpkit.Site = Site


if __name__ == "__main__":
    unittest.main()
