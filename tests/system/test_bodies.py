"""Octets: what is stored is what is sent, wherever a piece or a buffer ends (P1, X04, X10, Y03, Y04, Y14, U07)."""
import unittest

import kit

WHO = "bodies@example.org"
HEAD = b"Subject: x\r\n\r\n"
EDGES = (4096, 8000, 8192, 16000, 16384, 32768, 65536, 256000, 262144)


def dots_around(edge):
    """CR, LF and dot fall on each side of the edge: six letters, one octet apart."""
    for shift in range(-3, 3):
        fill = b"y" * 70 + b"\r\n"
        room = edge + shift - len(HEAD)
        body = fill * (room // len(fill))
        rest = room - len(body)
        body += b"z" * max(0, rest - 2) + b"\r\n"[:rest] if rest >= 2 else b"z" * rest
        yield kit.canonical(HEAD + body + b"\r\n.\r\n..\r\n.q\r\n" + b"end\r\n" * 3)


class Bodies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("bodies-")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()

    def round_trip(self, letters):
        rejected = self.site.fill(WHO, letters)
        self.assertEqual(rejected, [])
        self.site.password(WHO)
        got = self.site.fetched(WHO)
        self.assertEqual(len(got), len(letters))
        for n, (data, want) in enumerate(zip(got, letters), 1):
            self.assertEqual(data, kit.canonical(want), f"message {n}")

    def test_dots_at_every_edge(self):
        self.round_trip([letter for edge in EDGES for letter in dots_around(edge)])

    def test_nothing_but_dots(self):
        self.round_trip([HEAD + b".\r\n" * n for n in (1, 2, 3, 1333, 2666, 5461, 87381)] + [HEAD + b"." * 300000 + b"\r\n"])

    def test_every_small_size(self):
        """Around a part of 8,000 octets, and around nothing at all."""
        sizes = list(range(0, 40)) + list(range(7960, 8040)) + list(range(15990, 16010))
        self.round_trip([HEAD + b"a" * n + b"\r\n" for n in sizes])

    def test_odd_octets(self):
        """X04 Y07 Y08: all 256, NULs, a line of a million, bare line ends, 8-bit, header only."""
        self.round_trip([
            HEAD + bytes(c for c in range(256) if c not in (10, 13)) * 40 + b"\r\n",
            HEAD + b"\0" * 9000 + b"\r\n",
            HEAD + b"l" * 1_000_000 + b"\r\n",
            HEAD + b"a\nb\rc\r\rd\n\ne\r\n\r\nf\r\r\n",
            b"Subject: only this",
            b"\nbody without a header\n",
            HEAD + "Grüße, приве́т\n".encode() * 700,
        ])

    def test_top(self):
        """Y13 Y14 Y17, across pieces."""
        letters = [kit.letter(1, 700_000), HEAD + b".\r\n" * 3000, b"Subject: no body\r\n"]
        self.round_trip(letters)
        with self.site.login(WHO) as pop:
            for n, letter in enumerate(letters, 1):
                head, blank, body = kit.canonical(letter).partition(b"\r\n\r\n")
                lines = body.splitlines(keepends=True)
                for count in (0, 1, 2, 100, 2999, 3000, 3001, 10_000, 1_000_000):
                    got = kit.unstuffed(pop.multi(f"TOP {n} {count}"))
                    self.assertEqual(got, head + blank + b"".join(lines[:count]), f"TOP {n} {count}")
            self.assertEqual(pop.retr(1), letters[0])
            pop.ok("QUIT")

    def test_any_order(self):
        """Reading ahead must not mix messages up, whatever is asked next."""
        letters = [kit.letter(n, 300 + n * 997 % 9000) for n in range(1, 61)]
        self.round_trip(letters)
        order = list(range(1, 61)) + list(range(60, 0, -1)) + [(n * 37) % 60 + 1 for n in range(120)]
        with self.site.login(WHO) as pop:
            pop.send(b"".join(b"RETR %d\r\n" % n for n in order))
            for n in order:
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertEqual(kit.unstuffed(pop.body()), letters[n - 1], f"message {n}")
            pop.ok("QUIT")

    def test_others_change_what_is_read_ahead(self):
        """One range of uids is read: what was removed from it meanwhile is missed alone, what came back into it is nobody's."""
        letters = [kit.letter(n, 300 + n) for n in range(1, 41)]
        self.round_trip(letters)
        self.site.account("elsewhere@example.org")
        here, there = self.site.mailbox(WHO), self.site.mailbox("elsewhere@example.org")
        uids = self.site.sql(f"select uid from postern.message where mailbox = {here} order by uid").split()
        moved = f"uid in ({uids[3]}, {uids[29]})"
        self.site.sql(f"""update postern.message set mailbox = {there} where mailbox = {here} and {moved};
            update postern.mailbox set expunges = expunges + 1 where mailbox = {here}""")
        for listing in (letters, uids):
            del listing[29], listing[3]
        gone = {3, 20, 38}
        with self.site.login(WHO) as pop:
            self.assertEqual(pop.stat()[0], 38)
            self.site.sql(f"""update postern.message set mailbox = {here} where mailbox = {there} and {moved};
                select postern.remove_messages({here}, array[{", ".join(uids[n - 1] for n in gone)}])""")
            for n in range(1, 39):
                if n in gone:
                    self.assertRegex(pop.cmd(f"RETR {n}"), rb"^-ERR .*no longer exists")
                else:
                    self.assertEqual(pop.retr(n), letters[n - 1], f"message {n}")
            pop.ok("QUIT")
        self.site.recount(WHO)
        self.site.recount("elsewhere@example.org")

    def test_octets_that_are_not_canonical(self):
        """Y04: a dot behind a bare LF or CR in what is stored cannot end the reply."""
        self.round_trip([HEAD + b"a--.--b--.--c" + b"\r\n"])
        self.site.sql(f"""update postern.content_part p
            set data = convert_to(replace(replace(convert_from(p.data, 'UTF8'), 'a--.--', E'a\\n.\\r\\n'), 'b--.--', E'b\\r.\\r\\n'), 'UTF8')
            from postern.message m join postern.mailbox b using (mailbox) where b.address = '{WHO}' and p.content = m.content""")
        self.site.sql(f"""update postern.message m set octets = (select sum(length(p.data)) from postern.content_part p
            where p.content = m.content) from postern.mailbox b where b.mailbox = m.mailbox and b.address = '{WHO}'""")
        self.site.recount(WHO)
        with self.site.login(WHO) as pop:
            body = b"\r\n".join(pop.multi("RETR 1"))
            self.assertNotIn(b"\n.\r\n", body + b"\r\n")
            self.assertIn(b"c", body[-3:])
            self.assertEqual(pop.stat()[0], 1)
            pop.ok("QUIT")

    def test_64_bits(self):
        """X10: sums above 4 GiB, and one message of 5 GB by its size."""
        self.round_trip([HEAD, HEAD])
        self.site.sql(f"""update postern.message m set octets = 5000000000 from postern.mailbox b
            where b.mailbox = m.mailbox and b.address = '{WHO}'""")
        self.site.recount(WHO)
        with self.site.login(WHO) as pop:
            self.assertEqual(pop.stat(), (2, 10_000_000_000))
            self.assertEqual(pop.multi("LIST"), [b"1 5000000000", b"2 5000000000"])
            pop.ok("DELE 2")
            self.assertEqual(pop.stat(), (1, 5_000_000_000))
            pop.ok("QUIT")

    def test_delivered_to(self):
        """The Delivered-To line is sent in front, and LIST has counted it."""
        self.round_trip([HEAD + b"hello\r\n", b".x: starts with a dot\r\n\r\n.\r\n"])
        line = b"Delivered-To: " + WHO.encode() + b"\r\n"
        self.site.sql(f"""update postern.message m set delivered_to = b.address, octets = m.octets + {len(line)}
            from postern.mailbox b where b.mailbox = m.mailbox and b.address = '{WHO}'""")
        self.site.recount(WHO)
        got = self.site.fetched(WHO)
        self.assertEqual(got, [line + HEAD + b"hello\r\n", line + b".x: starts with a dot\r\n\r\n.\r\n"])
        self.site.checked()

    def test_uidl_of_an_imported_message(self):
        """U02 U07: what it brought along is what is shown."""
        self.round_trip([HEAD, HEAD, HEAD])
        own = ["!", "~" * 70]
        for n, uidl in enumerate(own, 1):
            self.site.sql(f"""update postern.message m set uidl = '{uidl}' from postern.mailbox b
                where b.mailbox = m.mailbox and b.address = '{WHO}' and m.uid = {self.site.uid(WHO, n)}""")
        self.site.recount(WHO)
        with self.site.login(WHO) as pop:
            uids = [u.decode() for u in pop.uidl()]
            self.assertEqual(uids[:2], own)
            self.assertRegex(uids[2], r"^[0-9a-f]{12}\.\d+$")
            pop.ok("QUIT")


class CodedBodies(Bodies):
    """The same of mail that is stored compressed, as far as it gets shorter."""

    test_octets_that_are_not_canonical = test_64_bits = test_uidl_of_an_imported_message = None
    test_others_change_what_is_read_ahead = test_any_order = test_delivered_to = None       # unit drop_coded

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.site.ctl("policy", "set", "codec=zstd")

    @classmethod
    def tearDownClass(cls):
        assert cls.site.sql("select count(*) > 0 from postern.content_part where codec = 1") == "t"


if __name__ == "__main__":
    unittest.main()
