"""LMTP: every command has its reply, in their order, whatever a client says when (LV09-LV11, LE01, LE14)."""
import unittest

from lmtpkit import DOMAIN, LETTER, U1, U2, Case

GHOST = f"RCPT TO:<ghost@{DOMAIN}>"


class Replies(Case):
    conf = 'lmtp_max_size = "64k"; lmtp_bad_commands = 1000;\n'

    def said(self, client, octets, *codes):
        """All of it in one segment: these replies and, as the one to NOOP follows, no other."""
        client.send(octets + b"NOOP\r\n")
        got = [client.reply()[:len(code)].decode() for code in (*codes, "250 2.0.0")]
        self.assertEqual(got, [*codes, "250 2.0.0"], octets)
        self.assertTrue(client.silent(0.05), octets)

    def test_last_chunk_without_recipients(self):               # LV09, LD01: 503, and its octets are used up
        for first in (b"MAIL FROM:<s@x>\r\n", f"MAIL FROM:<s@x>\r\n{GHOST}\r\n".encode()):
            before = ["250"] + ["550"] * (b"RCPT" in first)
            self.said(self.connect(), first + b"BDAT 6 LAST\r\nQUIT\r\n", *before, "503 5.5.1")
            self.said(self.connect(), first + b"BDAT 0 LAST\r\n", *before, "503 5.5.1")
            self.said(self.connect(), first + b"BDAT 0\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n", *before, *["503 5.5.1"] * 3)

    def test_a_transaction_that_lost_a_chunk(self):             # RFC 3030 section 2: what follows a failed BDAT fails, too
        c = self.connect()
        self.said(c, f"MAIL FROM:<s@x>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<{U1}>\r\nBDAT 6 LAST\r\nQUIT\r\n".encode(),
                  "250", "503 5.5.1", "503 5.5.1", "503 5.5.1")
        self.said(c, f"MAIL FROM:<s@x>\r\nBDAT 6\r\nQUIT\r\nDATA\r\nRSET\r\n".encode(), "250", "503 5.5.1", "503 5.5.1", "250")
        c.deliver(LETTER, U1)
        self.assertEqual(self.site.count("u1"), 1)

    def test_chunks_of_unknown_size(self):
        """RFC 3030: what follows is the octets of a message, and nothing of it may be done as commands."""
        rcpt = f"MAIL FROM:<s@x>\r\nRCPT TO:<{U1}>\r\n".encode()
        for before, codes in ((b"", []), (rcpt, [b"250", b"250"])):
            for line, code in ((b"BDAT", b"501 5.5.4"), (b"bdat ", b"501 5.5.4"), (b"BDAT LAST", b"501 5.5.4"), (b"BDAT  6 LAST", b"501 5.5.4"),
                               (b"BDAT 6 LAST x", b"501 5.5.4"), (b"BDAT 6\0", b"501 5.5.2"), (b"BDAT\t6 LAST", b"501 5.5.2"),
                               (b"BDAT 6 LAST\x7f", b"501 5.5.2"), (b"BDAT 6 LAST\n", b"500 5.5.2"), (b"BDAT\r6 LAST", b"500 5.5.2"),
                               (b"BDAT 6" + b" " * 600 + b"LAST", b"500 5.5.2"), (b"BDAT 6" + b" " * 3000 + b"LAST", b"500 5.5.2"),
                               (b"BDAT 6" + b" " * 60000 + b"LAST", b"500 5.5.2")):
                c = self.connect()
                c.send(before + line + b"\r\n" + b"NOOP\r\nRSET\r\n")
                self.assertEqual([c.reply()[:len(want)] for want in (*codes, code)], [*codes, code], line[:20])
                with self.assertRaises((EOFError, ConnectionError), msg=line[:20]):
                    c.reply()
        self.said(self.connect(), b"BDATA\r\nBDAT6 LAST\r\n" + b"BDAX" + b" " * 3000 + b"\r\n", *["500 5.5.1"] * 2, "500 5.5.2")

    def test_chunks_out_of_sequence(self):
        c = self.connect(lhlo=False)
        self.said(c, b"BDAT 6 LAST\r\nQUIT\r\nBDAT 0 LAST\r\nBDAT 6\r\nQUIT\r\n", *["503 5.5.1"] * 3)
        c.ok("LHLO x", plain=True)
        self.said(c, b"BDAT 6 LAST\r\nQUIT\r\nBDAT 0 LAST\r\nBDAT 6\r\nQUIT\r\n", *["503 5.5.1"] * 3)
        c.mail(U1, U2)
        self.said(c, b"BDAT 3 LAST\r\na\r\nBDAT 6 LAST\r\nQUIT\r\nDATA\r\n", "250", "250", "503 5.5.1", "503 5.5.1")

    def test_data_behind_chunks(self):                          # LV10
        c = self.connect()
        c.mail(U1)
        self.said(c, b"BDAT 3\r\na\r\nDATA\r\nBDAT 0\r\nBDAT 3 LAST\r\nb\r\n", "250", "503 5.5.1", "250", "250 2.1.5")
        self.assertEqual(self.site.bodies(U1)[0][1], b"a\r\nb\r\n")

    def test_chunks_that_are_too_large(self):                   # LV11, LE09
        c = self.connect()
        c.mail(U1, U2)
        self.said(c, b"BDAT 70000\r\n" + b"x" * 70000 + b"BDAT 0\r\nBDAT 6\r\nQUIT\r\nBDAT 0 LAST\r\n", *["552 5.3.4"] * 5)
        c.mail(U1, U2)
        self.said(c, b"BDAT 70000 LAST\r\n" + b"x" * 70000, *["552 5.3.4"] * 2)
        c.mail(U1)
        self.said(c, b"BDAT 65534 LAST\r\n" + b"x" * 65534, "250")      # its line end is added
        self.assertEqual([self.site.count("u1"), self.site.count("u2")], [1, 0])

    def test_replies_to_recipients_come_in_order(self):         # LE14: no refusal overtakes one that waits for the database
        c = self.connect()
        c.ok("MAIL FROM:<s@x>")
        for bad, code in ((b"RCPT TO:<a\0b@x>", "501 5.5.2"), (b"RCPT  ", "501 5.5.4"), (b"RCPT TO:<\rx>", "500 5.5.2"),
                          (b"RCPT", "501 5.5.4"), (b"RCPT TO:<" + b"r" * 2000 + b">", "500 5.5.2"), (b"RCPT x", "501 5.5.4"),
                          (b"XYZZY", "500 5.5.1"), (b"BDAT 0", "250"), (b"MAIL FROM:<a@b>", "503 5.5.1")):
            self.said(c, f"RCPT TO:<{U1}>\r\n{GHOST}\r\n".encode() + bad + b"\r\n" + f"{GHOST}\r\nRCPT TO:<{U2}>\r\n".encode(),
                      "250 2.1.5", "550 5.1.1", code, *(["503 5.5.1"] * 2 if bad == b"BDAT 0" else ["550 5.1.1", "250 2.1.5"]))
            if bad == b"BDAT 0":
                c.ok("RSET")
                c.ok("MAIL FROM:<s@x>")


if __name__ == "__main__":
    unittest.main()
