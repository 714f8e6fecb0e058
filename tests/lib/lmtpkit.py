"""What the tests of LMTP share: a client that hides nothing, and a site that has a place to deliver to."""
import re
import socket
import unittest

import kit

DOMAIN = "t1.example"
U1, U2, U3 = (f"u{n}@{DOMAIN}" for n in (1, 2, 3))
LETTER = b"Message-ID: <1@x>\r\nSubject: hello\r\n\r\nbody\r\n"
REPLY = re.compile(rb"^([2-5][0-9][0-9])([ -])(.*)$")
ENHANCED = re.compile(rb"^([245])\.[0-9]{1,3}\.[0-9]{1,3} ")


class Lmtp:
    """One connection. A reply is its lines, joined by LF, without their CRLF."""

    def __init__(self, address, greet=True, timeout=kit.PATIENCE, lhlo=True):
        family = socket.AF_UNIX if address.startswith("/") else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(timeout)
        host, _, port = address.rpartition(":")
        self.sock.connect(address if family == socket.AF_UNIX else (host, int(port)))
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = bytearray()
        self.verbs = []         # whose replies need no enhanced code: greeting, LHLO, 354
        if greet:
            self.greeting = self.reply(plain=True)
            assert self.greeting.startswith(b"220 "), self.greeting
            if lhlo:
                self.ok("LHLO tester.example", plain=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def fill(self):
        data = self.sock.recv(262144)
        if not data:
            raise EOFError(f"the server closed; unread: {bytes(self.buf)!r}")
        self.buf += data

    def line(self):
        while b"\r\n" not in self.buf:
            self.fill()
        line, _, rest = bytes(self.buf).partition(b"\r\n")
        self.buf = bytearray(rest)
        assert len(line) <= 510 and b"\r" not in line and b"\n" not in line, line
        return line

    def reply(self, plain=False):
        """One whole reply; its form is checked (LV03, LE02)."""
        lines, code = [], None
        while True:
            line = self.line()
            match = REPLY.match(line)
            assert match, line
            assert code in (None, match.group(1)), lines
            code = match.group(1)
            if not plain and code[:1] in b"245":
                enhanced = ENHANCED.match(match.group(3))
                assert enhanced and enhanced.group(1) == code[:1], line
            lines.append(line)
            if match.group(2) == b" ":
                return b"\n".join(lines)

    def cmd(self, text, plain=False):
        self.send((text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.reply(plain)

    def expect(self, want, text, plain=False):
        """want: the beginning of the reply, `250` or `501 5.5.4`."""
        got = self.cmd(text, plain)
        assert got.startswith(want.encode()), f"{text}: {got}, wanted {want}"
        return got

    def ok(self, text, plain=False):
        return self.expect("250", text, plain)

    def mail(self, *recipients, sender="s@sender.example", params=""):
        """A transaction up to its recipients, who must all be accepted."""
        self.ok(f"MAIL FROM:<{sender}>{params}")
        for r in recipients:
            self.ok(f"RCPT TO:<{r}>")

    def data(self, message, replies=1, stuffed=False):
        """DATA with these octets. The replies."""
        self.expect("354", "DATA", plain=True)
        self.send(message if stuffed else stuff(message))
        return [self.reply() for _ in range(replies)]

    def deliver(self, message, *recipients, **kw):
        self.mail(*recipients, **kw)
        return self.data(message, len(recipients))

    def at_end(self):
        """Nothing more comes, and the connection ends."""
        try:
            data = self.sock.recv(1)
        except ConnectionResetError:
            data = b""
        return data == b"" and not self.buf

    def silent(self, seconds=0.3):
        """Nothing comes for a moment."""
        before, self.buf = self.buf, bytearray()
        self.sock.settimeout(seconds)
        try:
            return not before and self.sock.recv(1) == b"impossible"
        except TimeoutError:
            return not before
        finally:
            self.sock.settimeout(kit.PATIENCE)


def stuff(message):
    """As RFC 5321 section 4.5.2 has it: lines are what CRLF ends."""
    if message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    if message.startswith(b"."):
        message = b"." + message
    return message.replace(b"\r\n.", b"\r\n..") + b".\r\n"


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
    """A site of one cell with three mailboxes, which are empty before each test."""

    conf, pgconf = "", ""

    @classmethod
    def setUpClass(cls):
        cls.site = Site("lmtp-", "cells = 1;\n" + cls.conf, pgconf=cls.pgconf)
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
