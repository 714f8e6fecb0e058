"""LMTP on the wire: what DATA and BDAT carry, read back by POP3 (LD, LV08-LV11, LE13, LE14)."""
import re
import time
import unittest

from lmtpkit import DOMAIN, LETTER, U1, U2, U3, Case, kit, stuff


class Data(Case):
    def test_dots(self):                                        # LD02, LD03
        self.assertEqual(self.one(b"A: b\r\n\r\n.\r\n..\r\n.x\r\n...\r\nx.\r\n")[1], b"A: b\r\n\r\n.\r\n..\r\n.x\r\n...\r\nx.\r\n")

    def test_only_crlf_dot_crlf_ends(self):                     # LD04, LD05
        for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r"):
            c = self.connect()
            self.site.empty("u1")
            c.mail(U1)
            c.expect("354", "DATA", plain=True)
            c.send(b"A: b\r\n\r\nx" + end + b"MAIL FROM:<evil@x>\r\nRCPT TO:<u2@t1.example>\r\n")
            self.assertTrue(c.silent(), end)
            c.send(b"\r\n.\r\n")
            self.assertTrue(c.reply().startswith(b"250"))
            c.ok("NOOP")
            (_, body), = self.site.bodies(U1)
            # Each bare CR or LF became CRLF; a dot in front of what is no line end was stuffing.
            dot = b"" if end.startswith(b"\r\n") else b"."
            last = b"" if end.endswith(b"\r\n") and not dot else b"\r\n"
            self.assertEqual(body, b"A: b\r\n\r\nx\r\n" + dot + last + b"MAIL FROM:<evil@x>\r\nRCPT TO:<u2@t1.example>\r\n\r\n", end)
        self.assertEqual(self.site.count("u2"), 0)

    def test_bare_line_ends(self):                              # LD05
        for given, stored in ((b"a\nb\r\n", b"a\r\nb\r\n"), (b"a\rb\r\n", b"a\r\nb\r\n"), (b"a\r\r\nb\r\n", b"a\r\n\r\nb\r\n"),
                              (b"a\n\rb\r\n", b"a\r\n\r\nb\r\n"), (b"a\n\r\n", b"a\r\n\r\n")):
            self.assertEqual(self.one(b"A: b\r\n\r\n" + given)[1], b"A: b\r\n\r\n" + stored)

    def test_empty(self):                                       # LD06
        c = self.connect()
        c.mail(U1)
        reply, = c.data(b".\r\n", stuffed=True)
        self.assertTrue(reply.startswith(b"250"))
        self.assertEqual(self.site.bodies(U1)[0][1], b"")

    def test_long_lines(self):                                  # LD07
        for n in (998, 999, 1000, 1001, 2048, 1 << 20):
            message = b"A: b\r\n\r\n" + b"x" * n + b"\r\n"
            self.assertEqual(self.one(message)[1], message)

    def test_no_line_end_at_all(self):                          # LD07, LD10
        message = b"x" * (50 << 20) + b"\r\n"
        self.assertEqual(self.one(message)[1], message)

    def test_nul_is_stored(self):                               # LD08
        message = b"A: b\0c\r\n\r\n\0a\0\0b\r\n\0\r\n"
        self.assertEqual(self.one(message)[1], message)

    def test_eight_bit(self):                                   # LV02
        message = b"A: b\r\n\r\n" + bytes(n for n in range(1, 256) if n not in (10, 13)) + b"\r\n"
        self.assertEqual(self.one(message)[1], message)

    def test_every_cut(self):                                   # LD09
        message = stuff(b"A: b\r\n\r\n.x\r\ny\r\n")
        c = self.connect()
        for cut in range(len(message)):
            c.mail(U1)
            c.expect("354", "DATA", plain=True)
            c.send(message[:cut])
            time.sleep(0.002)
            c.send(message[cut:])
            self.assertTrue(c.reply().startswith(b"250"))
        c.mail(U1)
        c.expect("354", "DATA", plain=True)
        for n in range(len(message)):
            c.send(message[n:n + 1])
        self.assertTrue(c.reply().startswith(b"250"))
        bodies = self.site.bodies(U1)
        self.assertEqual(len(bodies), len(message) + 1)
        self.assertEqual({body for _, body in bodies}, {b"A: b\r\n\r\n.x\r\ny\r\n"})

    def test_sizes_around_the_pieces(self):                     # LD12, P1
        for n in (7999, 8000, 8001, 16000, 255999, 256000, 256001, 262143, 262144, 262145, 512000, 1000001):
            message = kit.letter(n, n)
            trace, body = self.one(message)
            self.assertEqual(body, message, n)
            self.assertEqual(int(self.site.sql("select octets from postern.message order by mailbox, uid limit 1")),
                             len(trace) + len(body))
        self.site.checked()

    def test_trace(self):                                       # LD13, LD14
        forged = b"Return-Path: <forged@x>\r\nReceived: from a\r\n\tby b; date\r\nReceived: from c by d; date\r\nSubject: x\r\n\r\nbody\r\n"
        trace, body = self.one(forged)
        self.assertEqual(body, forged)
        self.assertRegex(trace.decode(), "^" + re.escape(f"Delivered-To: {U1}\r\nReturn-Path: <s@sender.example>\r\n") +
                         r"Received: from tester\.example \(\[127\.0\.0\.1\]\)\r\n"
                         r"\tby \S+ \(Postern\) with LMTP id [0-9a-f]{16}\.1\r\n\tfor <u1@t1\.example>;\r\n"
                         r"\t(Sun|Mon|Tue|Wed|Thu|Fri|Sat), \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n$")

    def test_without_recipients(self):                          # LD01, LE15
        c = self.connect()
        c.send(f"MAIL FROM:<s@x>\r\nRCPT TO:<ghost@{DOMAIN}>\r\nDATA\r\nRSET\r\n")
        self.assertEqual([c.reply()[:9] for _ in range(4)], [b"250 2.1.0", b"550 5.1.1", b"503 5.5.1", b"250 2.0.0"])

    def test_pipelined(self):                                   # LE14
        c = self.connect()
        c.send(f"MAIL FROM:<s@x>\r\nRCPT TO:<{U1}>\r\nRCPT TO:<ghost@{DOMAIN}>\r\nRCPT TO:<{U2}>\r\nDATA\r\n")
        self.assertEqual([c.reply()[:3] for _ in range(5)], [b"250", b"250", b"550", b"250", b"354"])
        c.send(stuff(LETTER) + f"MAIL FROM:<>\r\nRCPT TO:<{U3}>\r\nDATA\r\n".encode())
        self.assertEqual([c.reply()[:3] for _ in range(5)], [b"250", b"250", b"250", b"250", b"354"])
        c.send(stuff(LETTER) + b"QUIT\r\n")
        self.assertEqual([c.reply()[:3] for _ in range(2)], [b"250", b"221"])
        self.assertTrue(c.at_end())
        self.assertEqual([self.site.count(u) for u in ("u1", "u2", "u3")], [1, 1, 1])

    def test_everything_in_one_segment(self):                   # LE14: the client does not even wait for 354
        c = self.connect()
        c.send(b"MAIL FROM:<s@x>\r\nRCPT TO:<u1@t1.example>\r\nDATA\r\n" + stuff(LETTER) + b"NOOP\r\n")
        self.assertEqual([c.reply()[:3] for _ in range(5)], [b"250", b"250", b"354", b"250", b"250"])

    def test_clean_afterwards(self):                            # LE13
        c = self.connect()
        self.site.ctl("mailbox", "set", U1, "--quota", "10")
        self.addCleanup(self.site.ctl, "mailbox", "set", U1, "--quota", "none")
        c.deliver(LETTER, U1)
        c.expect("503 5.5.1", "DATA")
        c.ok("MAIL FROM:<second@x>")
        c.ok(f"RCPT TO:<{U2}>")
        reply, = c.data(LETTER)
        self.assertTrue(reply.startswith(b"250"))
        self.assertEqual([self.site.count(u) for u in ("u1", "u2")], [0, 1])
        self.assertIn(b"<second@x>", self.site.bodies(U2)[0][0])


class Chunks(Case):
    def bdat(self, client, data, last=False):
        client.send(b"BDAT %d%s\r\n" % (len(data), b" LAST" if last else b"") + data)

    def test_one_chunk(self):                                   # LV09, LV10
        c = self.connect()
        c.mail(U1, U2)
        self.bdat(c, b".\r\n.x\r\n..\r\n.\r\n", last=True)
        self.assertEqual([c.reply()[:3] for _ in range(2)], [b"250", b"250"])
        self.assertEqual(self.site.bodies(U1)[0][1], b".\r\n.x\r\n..\r\n.\r\n")

    def test_several_chunks(self):                              # LV09
        message = kit.letter(1, 300000)
        c = self.connect()
        c.mail(U1)
        for n in range(0, len(message), 99991):
            self.bdat(c, message[n:n + 99991])
            self.assertTrue(c.reply().startswith(b"250 2.0.0"))
        self.bdat(c, b"", last=True)
        self.assertTrue(c.reply().startswith(b"250 2."))
        self.assertEqual(self.site.bodies(U1)[0][1], message)

    def test_a_line_end_across_chunks(self):
        c = self.connect()
        c.mail(U1)
        c.send(b"BDAT 2\r\na\rBDAT 2\r\n\nbBDAT 1 LAST\r\n\r")
        self.assertEqual([c.reply()[:3] for _ in range(3)], [b"250", b"250", b"250"])
        self.assertEqual(self.site.bodies(U1)[0][1], b"a\r\nb\r\n")

    def test_missing_last_line_end(self):                       # X04
        c = self.connect()
        for given, stored in ((b"a", b"a\r\n"), (b"a\r\n", b"a\r\n"), (b"a\n", b"a\r\n"), (b"", b"")):
            self.site.empty("u1")
            c.mail(U1)
            self.bdat(c, given, last=True)
            self.assertTrue(c.reply().startswith(b"250"))
            self.assertEqual(self.site.bodies(U1)[0][1], stored)

    def test_commands_between(self):                            # LV10
        c = self.connect()
        c.mail(U1)
        self.bdat(c, b"a\r\n")
        c.reply()
        c.expect("503 5.5.1", "DATA")
        c.expect("503 5.5.1", f"RCPT TO:<{U2}>")
        c.expect("503 5.5.1", "MAIL FROM:<x@y>")
        c.ok("NOOP")
        c.ok("RSET")
        c.expect("503 5.5.1", "DATA")
        self.assertEqual(self.site.count("u1"), 0)

    def test_without_recipients(self):                          # LV09: refused each time; the octets are used up
        c = self.connect()
        c.ok("MAIL FROM:<s@x>")
        c.expect("550", f"RCPT TO:<ghost@{DOMAIN}>")
        self.bdat(c, b"QUIT\r\n")
        self.assertTrue(c.reply().startswith(b"503 5.5.1"))
        self.bdat(c, b"QUIT\r\n", last=True)
        self.assertTrue(c.reply().startswith(b"503 5.5.1"))
        c.ok("NOOP")
        c.expect("503 5.5.1", "DATA")
        self.bdat(c, b"QUIT\r\n")
        self.assertTrue(c.reply().startswith(b"503 5.5.1"))
        c.deliver(LETTER, U1)

    def test_before_lhlo(self):
        c = self.connect(lhlo=False)
        self.bdat(c, b"QUIT\r\n")
        self.assertTrue(c.reply().startswith(b"503 5.5.1"))
        c.ok("NOOP")

    def test_malformed(self):
        for text in ("BDAT", "BDAT x", "BDAT -1", "BDAT 5 LASTS", "BDAT 5 LAST x", "BDAT " + "9" * 30):
            c = self.connect()
            c.mail(U1)
            self.assertRegex(c.cmd(text), rb"^501 5\.5\.4", text)

    def test_nul(self):
        c = self.connect()
        c.mail(U1, U2)
        self.bdat(c, b"a\0b\r\n")
        self.assertTrue(c.reply().startswith(b"250"))
        self.bdat(c, b"", last=True)
        self.assertEqual([c.reply()[:3] for _ in range(2)], [b"250"] * 2)
        self.assertEqual(self.site.bodies(U1)[0][1], b"a\0b\r\n")


if __name__ == "__main__":
    unittest.main()
