"""The clients of tests and figures: POP3, LMTP, and what they have in common.

They must never repair what they see: a wrong octet has to reach the test.
"""
import re
import socket

PASSWORD = "open sesame"
# Seconds for what should come soon: a machine may be busy, and that is no failure. Less than the 30 s after which the server
# does some things by itself.
PATIENCE = 25
REPLY = re.compile(rb"^([2-5][0-9][0-9])([ -])(.*)$")
ENHANCED = re.compile(rb"^([245])\.[0-9]{1,3}\.[0-9]{1,3} ")


def unstuffed(lines):
    return b"".join(line[1:] + b"\r\n" if line.startswith(b".") else line + b"\r\n" for line in lines)


def stuff(message):
    """As RFC 5321 section 4.5.2 has it: lines are what CRLF ends."""
    if message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    if message.startswith(b"."):
        message = b"." + message
    return message.replace(b"\r\n.", b"\r\n..") + b".\r\n"


class Wire:
    """One connection, to HOST:PORT, [HOST]:PORT or the path of a socket, or one that is there already."""

    def __init__(self, address, timeout=PATIENCE, sock=None, rcvbuf=None):
        if sock is None:
            family = socket.AF_UNIX if address.startswith("/") else \
                socket.AF_INET6 if address.startswith("[") else socket.AF_INET
            sock = socket.socket(family)
            if rcvbuf:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            sock.settimeout(timeout)
            host, _, port = address.rpartition(":")
            sock.connect(address if family == socket.AF_UNIX else (host.strip("[]"), int(port)))
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        self.sock = sock
        self.buf = bytearray()

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
        """The next one, without its CRLF."""
        at = 0
        while True:
            end = self.buf.find(b"\r\n", at)
            if end >= 0:
                line = bytes(self.buf[:end])
                del self.buf[:end + 2]
                return line
            at = max(0, len(self.buf) - 1)
            self.fill()

    def at_end(self, seconds=PATIENCE):
        """True if nothing more comes and the connection ends; a reset counts as an end."""
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        self.buf += data
        return data == b"" and not self.buf


class Pop(Wire):
    """POP3. Lines are octets without their CRLF."""

    def __init__(self, address, greet=True, timeout=PATIENCE, sock=None, rcvbuf=None):
        super().__init__(address, timeout, sock, rcvbuf)
        self.greeting = None
        if greet:
            self.greeting = self.line()
            if not self.greeting.startswith(b"+OK"):
                raise AssertionError(f"greeting: {self.greeting}")

    def cmd(self, text):
        self.send((text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.line()

    def ok(self, text):
        reply = self.cmd(text)
        if not reply.startswith(b"+OK"):
            raise AssertionError(f"{text}: {reply}")
        return reply

    def err(self, text, code=None):
        reply = self.cmd(text)
        if not reply.startswith(b"-ERR" + (b" [" + code.encode() + b"]" if code else b"")):
            raise AssertionError(f"{text}: {reply}, wanted -ERR {code or ''}")
        return reply

    def body(self):
        """The lines before the dot line, as they came."""
        at = 0
        while True:
            if self.buf.startswith(b".\r\n"):
                del self.buf[:3]
                return []
            end = self.buf.find(b"\r\n.\r\n", at)
            if end >= 0:
                lines = bytes(self.buf[:end]).split(b"\r\n")
                del self.buf[:end + 5]
                return lines
            at = max(0, len(self.buf) - 4)
            self.fill()

    def multi(self, text):
        self.ok(text)
        return self.body()

    def retr(self, n):
        return unstuffed(self.multi(f"RETR {n}"))

    def stat(self):
        return tuple(int(n) for n in self.ok("STAT").split()[1:3])

    def uidl(self):
        return [line.split()[1] for line in self.multi("UIDL")]

    def login(self, address, password=PASSWORD):
        self.ok("USER " + address)
        return self.ok("PASS " + password)


class Lmtp(Wire):
    """LMTP. A reply is its lines, joined by LF, without their CRLF; its form is checked, plain: without an enhanced code."""

    def __init__(self, address, greet=True, timeout=PATIENCE, lhlo=True):
        super().__init__(address, timeout)
        if greet:
            self.greeting = self.reply(plain=True)
            assert self.greeting.startswith(b"220 "), self.greeting
            if lhlo:
                self.ok("LHLO tester.example", plain=True)

    def line(self):
        line = super().line()
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

    def silent(self, seconds=0.3):
        """Nothing comes for a moment."""
        before, self.buf = self.buf, bytearray()
        self.sock.settimeout(seconds)
        try:
            return not before and self.sock.recv(1) == b"impossible"
        except TimeoutError:
            return not before
        finally:
            self.sock.settimeout(PATIENCE)
