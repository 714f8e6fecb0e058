"""What the tests of LMTP share: a site that has a place to deliver to."""
import re
import unittest

import kit
from wire import Lmtp, stuff  # noqa: F401

DOMAIN = "t1.example"
U1, U2, U3 = (f"u{n}@{DOMAIN}" for n in (1, 2, 3))
LETTER = b"Message-ID: <1@x>\r\nSubject: hello\r\n\r\nbody\r\n"


class Site(kit.Site):
    def __init__(self, prefix, conf="", **kw):
        super().__init__(prefix, kit.QUICK + conf, lmtp=True, **kw)

    def users(self, *names, domain=DOMAIN):
        for name in names:
            self.account(f"{name}@{domain}")

    def lmtp_connect(self, **kw):
        return Lmtp(f"127.0.0.1:{self.lmtp}", **kw)

    def bodies(self, address):
        """What was delivered, as POP3 sends it, without the lines that we put in front: (those lines, the rest)."""
        found = []
        for data in self.fetched(address):
            match = re.match(rb"(Delivered-To: [^\r]*\r\nReturn-Path: <[^\r]*>\r\nReceived: [^\r]*\r\n(?:[ \t][^\r]*\r\n)*)",
                             data)
            assert match, data[:300]
            found.append((match.group(1), data[match.end():]))
        return found

    def empty(self, *names, domain=DOMAIN):
        for name in names:
            self.ctl("message", "remove", f"{name}@{domain}", "--all", "--yes")

    def count(self, name, domain=DOMAIN):
        return int(self.sql(f"select messages from postern.mailbox where address = '{name}@{domain}'"))

    def contents(self):
        return int(self.sql("select count(*) from postern.content"))

    def lmtp_lanes(self):
        return [int(n) for n in self.sql("select pid from pg_stat_activity where usename = 'postern_lmtp'").split()]


class Case(unittest.TestCase):
    """A site of one cell, mostly, with three mailboxes, which are empty before each test."""

    conf, pgconf, cells = "", "", 1

    @classmethod
    def setUpClass(cls):
        cls.site = Site("lmtp-", f"cells = {cls.cells};\n" + cls.conf, pgconf=cls.pgconf)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.users("u1", "u2", "u3")
        cls.prepare()

    @classmethod
    def prepare(cls):
        pass

    def setUp(self):
        self.site.empty("u1", "u2", "u3")

    def connect(self, **kw):
        client = self.site.lmtp_connect(**kw)
        self.addCleanup(client.close)
        return client

    def one(self, message, to=U1, client=None):
        """Delivers it and returns what POP3 says it is: the lines in front, the rest."""
        self.site.empty("u1")
        reply, = (client or self.connect()).deliver(message, to)
        self.assertTrue(reply.startswith(b"250 2."), reply)
        return self.site.bodies(U1)[0]
