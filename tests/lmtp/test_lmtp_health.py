"""Health checks of load balancers, of LMTP and POP3: they leave no line in the log (R: an operator's day)."""
import contextlib
import re
import socket
import ssl
import struct
import unittest

from lmtpkit import LETTER, U1, Lmtp, Site, kit

V1 = b"PROXY TCP4 192.0.2.77 198.51.100.2 4242 110\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEADERS = (V1, b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\0\0", SIGNATURE + b"\x20\x11\0\x0c" + b"\0" * 12, SIGNATURE + b"\x21\x00\0\0")


class Health(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = Site("health-", pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.users("u1")
        tls = cls.site.lab.tls
        names = {"pop3": "", "pop3s": 'tls = "implicit";', "lmtp": 'protocol = "lmtp";',
                 "proxied": 'proxy = "127.0.0.1";', "proxieds": 'proxy = "127.0.0.1"; tls = "implicit";',
                 "proxiedl": 'proxy = "127.0.0.1"; protocol = "lmtp"; allow = "127.0.0.1 192.0.2.0/24";',
                 "foreignl": 'proxy = "127.0.0.1"; protocol = "lmtp"; allow = "192.0.2.0/24";'}
        cls.ports = {name: kit.lab.free_port() for name in names}
        rows = [f'{{ address = "127.0.0.1"; port = {cls.ports[name]}; {more} }}' for name, more in names.items()]
        cls.second = cls.site.second(f'cells = 1; tls_certificate = "{tls}/localhost.pem"; tls_key = "{tls}/localhost.key";\n'
                                     f'lmtp_spool_dir = "{cls.site.lab.spool}"; listeners = ( {", ".join(rows)} );\n')
        cls.second.address = f"127.0.0.1:{cls.ports['pop3']}"
        cls.second.start("--foreground")
        cls.addClassCleanup(cls.second.stop)

    def log_text(self):
        return self.second.log.read_text(errors="replace")

    def tell(self, name, *octets, hear=True, reset=False, tls=False):
        """One check: all of it is sent, the answer is read or not, and the connection is closed."""
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", self.ports[name]), timeout=kit.PATIENCE))
            for part in octets[:1] if tls else octets:
                sock.sendall(part)
            if tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                sock = stack.enter_context(context.wrap_socket(sock))
                for part in octets[1:]:
                    sock.sendall(part)
            with contextlib.suppress(OSError):
                if hear:
                    sock.recv(1000)
                if octets and octets[-1].endswith(b"QUIT\r\n"):
                    while sock.recv(1000):
                        pass
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def lines(self, checks):
        """What the log has got by these checks; a delivery and its session end it."""
        before = len(self.log_text())
        checks()
        with Lmtp(f"127.0.0.1:{self.ports['lmtp']}") as c:
            reply, = c.deliver(LETTER, U1, sender="sentinel@x")
            c.expect("221", "QUIT")
        name = re.search(rb"stored as ([0-9a-f]+)", reply).group(1).decode()
        # Twice: what was begun before the first one has ended then.
        with Lmtp(f"127.0.0.1:{self.ports['lmtp']}") as c:
            c.ok("LHLO sentinel", plain=True)
            c.mail(U1)
        self.assertTrue(kit.wait_until(lambda: 'lhlo="sentinel"' in self.log_text()[before:]))
        return [line for line in self.log_text()[before:].splitlines() if name not in line and 'lhlo="sentinel"' not in line]

    def test_nothing_is_done(self):
        def checks():
            for name in self.ports:
                proxied = name.startswith(("proxied", "foreign"))
                for reset in (False, True):
                    self.tell(name, hear=not proxied and name != "pop3s", reset=reset)
                    self.tell(name, hear=False, reset=reset)
            for words in (b"QUIT\r\n", b"NOOP\r\nQUIT\r\n", b"LHLO balancer\r\nQUIT\r\n", b"LHLO balancer\r\nNOOP\r\nRSET\r\nQUIT\r\n", b"\r\n"):
                self.tell("lmtp", words)
            for words in (b"QUIT\r\n", b"CAPA\r\nQUIT\r\n", b"\r\n"):
                self.tell("pop3", words)
            for reset in (False, True):
                self.tell("pop3s", b"", tls=True, hear=False, reset=reset)
                self.tell("pop3s", b"", b"QUIT\r\n", tls=True)
        self.assertEqual(self.lines(checks), [])

    def test_behind_a_proxy(self):
        def checks():
            for header in HEADERS:
                for name in ("proxied", "proxieds", "proxiedl"):
                    self.tell(name, header, hear=name != "proxieds")
                    self.tell(name, header, hear=False, reset=True)
                self.tell("proxied", header + b"QUIT\r\n")
                self.tell("proxiedl", header + b"QUIT\r\n")
                self.tell("proxieds", header, b"QUIT\r\n", tls=True)
        self.assertEqual(self.lines(checks), [])

    def test_a_proxy_that_may_not_deliver(self):
        """One warning a minute tells of a proxy that hides its clients; each of those that it names has its own."""
        found = self.lines(lambda: [self.tell("foreignl", header) for header in HEADERS[1:] * 3])
        self.assertEqual(len(found), 1, found)
        self.assertIn("names no client", found[0])
        found = self.lines(lambda: [self.tell("foreignl", b"PROXY TCP4 198.51.100.7 198.51.100.2 4242 24\r\n") for _ in range(3)])
        self.assertEqual(len([line for line in found if "198.51.100.7:4242 not allowed to deliver here" in line]), 3, found)

    def test_what_is_more_is_told(self):
        def broken():
            self.tell("proxied", b"GET / HTTP/1.0\r\n\r\n")
            self.tell("proxied", V1[:20], hear=False)
        self.assertEqual(len([line for line in self.lines(broken) if " closed: " in line]), 2)
        found = self.lines(lambda: self.tell("lmtp", b"LHLO x\r\nMAIL FROM:<> SIZE=99999999999\r\nQUIT\r\n"))
        self.assertRegex("\n".join(found), r'lmtp session .*lhlo="x" .*end=quit')
        found = self.lines(lambda: self.tell("lmtp", b"x\r\n" * 30))
        self.assertRegex("\n".join(found), r"lmtp session .*end=errors")
        found = self.lines(lambda: self.tell("pop3s", b"GET / HTTP/1.0\r\n\r\n"))
        self.assertRegex("\n".join(found), r"tls-error=")


if __name__ == "__main__":
    unittest.main()
