"""posternctl deliver: what it hands over, and the exit statuses that mail servers go by."""
import subprocess
import unittest

from lmtpkit import DOMAIN, LETTER, U1, Case, kit

OK, USAGE, DATAERR, NOUSER, UNAVAILABLE, TEMPFAIL = 0, 64, 65, 67, 69, 75       # sysexits.h


class Deliver(Case):
    conf = 'lmtp_over_quota = "permanent"; lmtp_max_size = "10M";\n'

    def deliver(self, message, *args, socket=None):
        where = socket or f"127.0.0.1:{self.site.lmtp}"
        done = subprocess.run([self.site.lab.posternctl, "deliver", "--socket", where, *args], input=message,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(done.stderr, b"")
        return done.returncode, done.stdout.decode()

    def stored(self, message, *args):
        self.site.empty("u1")
        self.assertEqual(self.deliver(message, U1, *args), (OK, ""))
        return self.site.bodies(U1)[0]

    def test_messages(self):
        for message in (LETTER, b"A: b\r\n\r\n.\r\n..\r\n.x\r\n", b"A: b\n\n.\n..\n.x\nlast", b"a\rb\nc\r\n", b"x",
                        b"A: b\n\n\0\n.\0\n\0" + b"\0" * 40000,
                        "gr\u00fc\u00dfe\r\n\r\n".encode() + b"\xff\xfe\r\n", b"\r\n", b"." * 40000, kit.letter(1, 5_000_000)):
            self.assertEqual(self.stored(message)[1], kit.canonical(message))

    def test_dots_at_every_edge(self):
        """Lines of one dot, in any place of the pieces that are read."""
        for n in range(32765, 32771):
            message = b"x" * n + b"\n.\n.\n"
            self.assertEqual(self.stored(message)[1], kit.canonical(message))

    def test_mbox_line(self):
        self.assertEqual(self.stored(b"From s@x Tue Nov 14 22:13:20 2023\n" + LETTER)[1], LETTER)
        self.assertEqual(self.stored(b"From: a@b\r\n\r\nFrom here\r\n")[1], b"From: a@b\r\n\r\nFrom here\r\n")

    def test_sender(self):
        for args, want in (((), b"<>"), (("--sender", ""), b"<>"), (("-f", "<>"), b"<>"), (("-f", "s@x.example"), b"<s@x.example>"),
                           (("-f", "\u00fc@x.example"), "<\u00fc@x.example>".encode())):
            self.assertIn(b"Return-Path: " + want + b"\r\n", self.stored(LETTER, *args)[0])

    def test_refusals(self):
        status, said = self.deliver(LETTER, f"ghost@{DOMAIN}")
        self.assertEqual(status, NOUSER)
        self.assertRegex(said, r"^5\.1\.1 ")
        self.assertEqual(self.deliver(LETTER, "x@nowhere.example")[0], NOUSER)
        self.assertEqual(self.deliver(b"x" * 11_000_000, U1)[0], DATAERR)
        self.assertEqual(self.deliver(b"", U1)[0], DATAERR)
        self.site.ctl("mailbox", "set", U1, "--quota", "300")
        self.addCleanup(self.site.ctl, "mailbox", "set", U1, "--quota", "none")
        status, said = self.deliver(b"x" * 400, U1)
        self.assertEqual(status, UNAVAILABLE)
        self.assertRegex(said, r"^5\.2\.3 ")
        self.assertEqual(self.site.count("u1"), 0)

    def test_trouble_is_temporary(self):
        for where in ("/nonexistent/lmtp", "127.0.0.1:1", "nowhere", "/" + "x" * 200):
            status, said = self.deliver(LETTER, U1, socket=where)
            self.assertEqual(status, TEMPFAIL)
            self.assertRegex(said, r"^4\.3\.0 ")
        # Something else listens there, and says nothing that LMTP knows.
        self.assertEqual(self.deliver(LETTER, U1, socket=self.site.address)[0], TEMPFAIL)

    def test_hostile_arguments(self):
        for who in ("a@b>\r\nRCPT TO:<u2@t1.example", "a\nb@x", "<a@b>", "", "a@b\x7f"):
            self.assertEqual(self.deliver(LETTER, who)[0], USAGE)
            self.assertEqual(self.deliver(LETTER, U1, "-f", who)[0], USAGE if who else OK)


if __name__ == "__main__":
    unittest.main()
