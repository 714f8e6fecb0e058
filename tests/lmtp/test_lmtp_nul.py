"""A message with NULs comes back as it came, by every way that it can go (LD08, LV02, Y08, P1)."""
import pathlib
import re
import tempfile
import unittest

from lmtpkit import U1, U2, Case, kit

WINDOW = 262144         # octets that a worker reads of a connection, or of the database, at once
PART = 8000


def edges(size):
    """Text of this many octets whose NULs lie across every edge of a part and of a window, whatever is put in front of it."""
    data = bytearray(kit.letter(1, size))
    for edge in range(PART, size, PART):
        data[edge - 400:edge + 8] = b"\0" * 408
    for edge in range(WINDOW, size, WINDOW):
        data[edge - 400:edge + 8] = b"\0\r\n\0." * 81 + b"\0\0\0"
    return re.sub(rb"\r(?!\n)|(?<!\r)\n", b"x", bytes(data))      # half a line end was overwritten


MESSAGES = (b"A: b\0c\r\nSub\0ject: \0\r\n\0: d\r\n e\0\r\n\r\n\0a\0\0b\r\n\0\r\n\0\r\n",
            b"\0\r\n\r\n\0\r\n.\0\r\n\0.\r\n..\0\r\n.\r\n\0",
            b"Message-ID: <1\0@x>\r\n\r\n\0\xff\x80\0\r\n",
            b"Message-ID:\0<1@x>\r\n\r\n" + b"\0" * 300000 + b"\r\n",
            edges(40000), edges(600000))


class Nul(Case):
    conf = 'lmtp_duplicate_window = "1h";\n'

    def setUp(self):
        super().setUp()
        self.site.sql("delete from postern.delivery")

    def put(self, message):
        """By DATA, and the same by BDAT in chunks that end anywhere."""
        c = self.connect()
        self.assertEqual([r[:3] for r in c.deliver(message, U1, sender="data@x")], [b"250"])
        c.mail(U1, sender="bdat@x")
        for n in range(0, len(message), 65521):
            piece = message[n:n + 65521]
            c.send(b"BDAT %d\r\n" % len(piece) + piece)
            self.assertTrue(c.reply().startswith(b"250"))
        c.send(b"BDAT 0 LAST\r\n")
        self.assertTrue(c.reply().startswith(b"250"))

    def test_pop3(self):
        for message in MESSAGES:
            self.site.empty("u1")
            self.put(message)
            want = message if message.endswith(b"\r\n") else message + b"\r\n"
            self.assertTrue([body for _, body in self.site.bodies(U1)] == [want] * 2, message[:40])
            with self.site.login(U1) as c:
                whole = c.retr(1)
                self.assertEqual(c.ok("LIST 1").split()[2], str(len(whole)).encode())
                head, _, body = whole.partition(b"\r\n\r\n")
                for lines in (0, 1, 3):
                    first = body.split(b"\r\n")[:-1][:lines]
                    self.assertEqual(kit.unstuffed(c.multi(f"TOP 1 {lines}")), b"\r\n".join([head, b"", *first, b""]), lines)
        self.site.checked()

    def test_tools(self):
        for message in MESSAGES:
            self.put(message)
        stored = self.site.fetched(U1)
        self.site.ctl("verify")
        self.site.ctl("check")
        with tempfile.TemporaryDirectory(dir=self.site.dir) as where:
            for form in ("mbox", "maildir", "eml"):
                target = pathlib.Path(where) / form
                self.site.ctl("export", U1, str(target), "--format", form)
                self.site.empty("u2")
                self.site.ctl("import", U2, str(target))
                self.assertTrue(self.site.fetched(U2) == stored, form)


if __name__ == "__main__":
    unittest.main()
