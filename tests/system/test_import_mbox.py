"""An mbox of another server, imported: the UIDLs, the order and the octets that the server itself shows of it.

Dovecot, mailutils and popa3d are Debian's; what UW ipop3d and qpopper do stands in their sources.
"""
import json
import os
import pathlib
import tempfile
import unittest

import kit
import oldmbox

DONE, REFUSED, USAGE, PARTLY = 0, 1, 2, 3
FROM_ = b"From a@b Sun Nov 22 21:45:20 2026\n"
LETTERS = [
    b"Received: from x by y; Sun, 22 Nov 2026 21:45:20 +0000\n\tfolded\nReceived: from z by x; Sun, 22 Nov 2026 21:45:19 +0000\n"
    b"Delivered-To: anna@example.org\nDate: Sun, 22 Nov 2026 21:45:18 +0000\nMessage-ID: <1@example.org>\nSubject: one\n\n"
    b"body\n.\n..dots\n>From quoted\n>>From twice\n",
    b"Date: Sun, 22 Nov 2026 21:45:18 +0000\nMessage-Id: <2@example.org>\nSubject: two\n folded\nFrom: b@example.org\n\nno received\n",
    b"X-Delivery-ID: abc\ndate: Sun, 22 Nov 2026 21:45:18 +0000\n folded\nReceived: by y; Sun, 22 Nov 2026 21:45:20 +0000\n"
    b"Message-ID: <3@example.org>\nStatus: RO\nX-Status: A\nContent-Length: 4\nX-Keywords: foo\n\tbar\nX-UIDL: kept-by-another\n\nabc\n",
    b"Subject: no body\nMessage-ID: <4@example.org>\n\n",
    b"Subject: \xfcmlaut\nDate: x\n\n\xe4 eight bits\n\n\nempty lines at the end\n\n\n",
    b"Subject: " + b"long " * 20000 + b"\nDate: Mon, 23 Nov 2026 21:45:18 +0000\n\nlast\n",
]
MBOX = b"".join(FROM_ + letter + b"\n" for letter in LETTERS)
# As c-client writes it, with the pseudo message or without.
INTERNAL = (b"From MAILER-DAEMON Sun Nov 22 21:45:20 2026\nDate: 22 Nov 2026 21:45:20 +0000\n"
            b"From: Mail System Internal Data <MAILER-DAEMON@host>\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"
            b"Message-ID: <1@host>\nX-IMAP: 1795390000 0000000009\nStatus: RO\n\nThis text is part of the internal format of your mail folder.\n\n")


class MboxCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("mbox-")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.count = 0

    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=self.site.dir)
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)

    def write(self, name, octets):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
        return str(path)

    def run_import(self, *args, who=None, exit=DONE):
        """The mailbox, and what was said."""
        if who is None:
            type(self).count += 1
            who = f"mbox{self.count}@example.org"
            self.site.account(who)
        done = self.site.ctl("import", who, *args, check=False)
        self.assertEqual(done.returncode, exit, done.stdout)
        return who, done.stdout.decode()

    def shown(self, who):
        with self.site.login(who) as pop:
            uidls, sizes = ([line.split()[1].decode() for line in pop.multi(word)] for word in ("UIDL", "LIST"))
        return uidls, [int(size) for size in sizes], self.site.fetched(who)

    def check_same(self, shown, *args):
        """Postern shows what the old server has shown of the mbox that it left."""
        uidls, sizes, messages, mbox = shown
        who, out = self.run_import(self.write("mbox", mbox), *args)
        self.assertEqual(self.shown(who), (uidls, sizes, messages), out)
        return who

    @unittest.skipUnless(os.path.exists("/usr/lib/dovecot/pop3") and kit.ROOT, "no dovecot-pop3d")
    def test_dovecot(self):
        for uidl_format in None, "%v.%u", "%m":
            with self.subTest(uidl_format=uidl_format):
                extra = f"pop3_uidl_format = {uidl_format}" if uidl_format else ""
                shown = oldmbox.dovecot(oldmbox.dovecot(MBOX, 6, extra)[3], 6, extra)
                self.assertIn(b"X-IMAPbase: ", shown[3])
                self.check_same(shown, *(["--uidl-format", uidl_format] if uidl_format else ["--server", "dovecot"]))

    @unittest.skipUnless(os.path.exists("/usr/sbin/pop3d"), "no mailutils-pop3d")
    def test_mailutils(self):
        shown = oldmbox.mailutils(oldmbox.mailutils(MBOX, 6)[3], 6)
        self.assertIn(b"X-UIDL: ", shown[3])
        self.check_same(shown, "--server", "mailutils")

    @unittest.skipUnless(kit.ROOT, "needs a namespace of its own")
    def test_popa3d(self):
        self.check_same(oldmbox.popa3d(MBOX, 6), "--server", "popa3d")
        # With a message that was there twice, two UIDLs that are the same: the second one gets one of ours.
        twice = oldmbox.popa3d(MBOX + FROM_ + LETTERS[0], 7)
        who, out = self.run_import(self.write("mbox", twice[3]), "--server", "popa3d", exit=PARTLY)
        self.assertIn(f"{twice[0][0]} is that of a message before, too", out)
        self.assertEqual(self.shown(who)[0][:6], twice[0][:6])

    # What c-client 2007f wrote into an mbox, and what ipop3d makes of it: Status is behind the header, and shown of all.
    UW = [
        (b"Received: by x; Sun, 22 Nov 2026 21:45:20 +0000\n\tfolded\nSubject: one\n", b"X-IMAPbase: 1796069955 6\nStatus: RO\nX-Status: \n"
         b"X-Keywords:                      \nX-UID: 1\n", b"Status: RO\n", b"body\n.\n..dots\n>From quoted\n"),
        (b"Message-ID: <3@example.org>\nContent-Length: 4\nX-UIDL: kept-by-another\n", b"Status: O\nX-Status: A\nX-Keywords: foo\n\tbar\nX-UID: 2\n",
         b"Status:  O\n", b"abc\n"),
        (b"Subject: no body\n", b"Status: RO\nX-Status: \nX-Keywords:                 \nX-UID: 4\n", b"Status: RO\n", b""),
        (b"Subject: going\n", b"Status: O\nX-Status: D\nX-Keywords:                 \nX-UID: 5\n", None, b"deleted\n"),
        (b"Subject: new\n", b"X-UID: 77\n", b"Status:   \n", b"not seen by that server\n"),
    ]

    def test_uw(self):
        mbox = b"".join(FROM_ + head + own + b"\n" + body + b"\n" for head, own, _, body in self.UW)
        wanted = [kit.canonical(head + status + b"\n" + body) for head, _, status, body in self.UW if status is not None]
        for shape in mbox, INTERNAL.replace(b"1795390000 0000000009", b"1796069955 6") + mbox.replace(b"X-IMAPbase: 1796069955 6\n", b""):
            who, out = self.run_import(self.write("mbox", shape), "--server", "uw")
            uidls, _, messages = self.shown(who)
            self.assertEqual(messages, wanted, out)
            self.assertEqual(uidls[:3], ["6b0dda4300000001", "6b0dda4300000002", "6b0dda4300000004"])
            self.assertNotIn("6b0dda43", uidls[3])      # its X-UID is not one that the server gave
            self.assertIn("left out: 1 marked as deleted", out)

    def test_qpopper(self):
        """X-UIDL stands in front of the header, and is shown in front of Status."""
        letters = [(b"X-UIDL: !N(\"!+#-\"!$0N!!+?n\"!\n", b"Subject: one\nContent-Length: 5\nX-Folded: a\n", b"Status: RO\nTo: b@example.org\n", b"body\n"),
                   (b"X-UIDL: 4bb7fe7e3f2a\n", b"Subject: two\n", b"", b">From quoted\n"), (b"", b"Subject: new\n", b"", b"x\n")]
        mbox = b"".join(FROM_ + uidl + head + tail + b"\n" + body + b"\n" for uidl, head, tail, body in letters)
        who, out = self.run_import(self.write("mbox", mbox), "--server", "qpopper")
        uidls, _, messages = self.shown(who)
        self.assertEqual(messages, [kit.canonical(head.replace(b"Content-Length: 5\n", b"") + uidl + tail + b"\n" + body)
                                    for uidl, head, tail, body in letters], out)
        self.assertEqual(uidls[:2], ['!N("!+#-"!$0N!!+?n"!', "4bb7fe7e3f2a"])

    def test_nobody_says_which(self):
        """Where a server gave UIDs, and no other place, the import asks for its name before anything is stored."""
        mbox = b"".join(FROM_ + head + own + b"\n" + body + b"\n" for head, own, _, body in self.UW)
        path = self.write("mbox", mbox)
        for shape in mbox, INTERNAL + mbox.replace(b"X-IMAPbase: 1796069955 6\n", b""):
            who, out = self.run_import(self.write("mbox", shape), exit=REFUSED)
            self.assertIn(f"{path} has the UIDs of a server", out)
            self.assertIn("--server", out)
            self.assertEqual(self.shown(who)[0], [])
        who, out = self.run_import(path, "--server", "none")
        self.assertNotIn("6b0dda43", "".join(self.shown(who)[0]), out)
        # A list says more; what was hidden stays hidden if the server is named.
        uidls = self.write("list", b"a\nb\nc\nd\ne\n")
        for args in ((), ("--server", "uw")):
            who, out = self.run_import(path, "--uidls", uidls, *args)
            self.assertEqual(self.shown(who)[0], ["a", "b", "c", "e"], out)
            self.assertEqual(b"X-UID:" in b"".join(self.shown(who)[2]), not args)
        # Of several in a directory each one for itself.
        folder = self.dir / "folder"
        folder.mkdir()
        (folder / "a").write_bytes(mbox)
        (folder / "b").write_bytes(FROM_ + LETTERS[0] + b"\n")
        for args, status, count in ((), PARTLY, 1), (("--server", "uw"), DONE, 1 + 4), (("--server", "none"), DONE, 1 + 4):
            who, out = self.run_import(str(folder), *args, exit=status)
            self.assertEqual(len(self.shown(who)[0]), count, out)
            self.assertEqual("REJECTED" in out, bool(status), out)
        # Neither of these is a server's.
        for octets in (INTERNAL + FROM_ + LETTERS[0] + b"\n", FROM_ + b"X-UID: 1\n" + LETTERS[0] + b"\n", FROM_ + LETTERS[2] + b"\n"):
            self.run_import(self.write("other", octets))
        _, out = self.run_import(path, "--server", "exchange", exit=USAGE)
        self.assertIn("mailutils", out)
        for name, uidl_format, status in (("dovecot", "%f", REFUSED), ("dovecot", "%g", REFUSED), ("dovecot", "%m%u", USAGE), ("uw", "%u", USAGE),
                                          ("courier", None, REFUSED)):
            _, out = self.run_import(path, "--server", name, *(["--uidl-format", uidl_format] if uidl_format else []), exit=status)
            self.assertRegex(out, "format|--server")
        os.makedirs(self.dir / "maildir/cur")
        os.mkdir(self.dir / "maildir/new")
        _, out = self.run_import(str(self.dir / "maildir"), "--server", "uw", exit=REFUSED)
        self.assertIn("is a Maildir", out)

    def test_afterwards(self):
        """Mail that was imported before gets its UIDLs, and what came since is brought, if the octets are the same."""
        mbox = b"".join(FROM_ + head + own + b"\n" + body + b"\n" for head, own, _, body in self.UW)
        path = self.write("mbox", mbox)
        who, _ = self.run_import(path, "--server", "uw", "--uidls", self.write("list", b"a\nb\nc\nd\ne\n"))
        # The one that is marked as deleted is not there.
        self.assertIn("set 3 UIDLs", self.run_import(path, "--server", "uw", "--set-uidls", who=who)[1])
        self.assertEqual(self.shown(who)[0][:3], ["6b0dda4300000001", "6b0dda4300000002", "6b0dda4300000004"])
        self.write("mbox", mbox + FROM_ + LETTERS[0] + b"\n")
        told = json.loads(self.run_import("--json", path, "--server", "uw", "--resume", who=who)[1])
        self.assertEqual((told["imported"], told["there_already"], told["uidls_in_doubt"]), (1, 4, 0))

    def test_copy_that_was_deleted(self):
        """The UIDL of a copy that was left out is not that of the other, which clients know by its own."""
        copy = b"Subject: twice\n"
        own = b"X-UID: %d\n"
        path = self.write("mbox", FROM_ + b"X-IMAPbase: 1796069955 2\n" + copy + own % 1 + b"X-Status: D\n\ntext\n\n" +
                          FROM_ + copy + own % 2 + b"X-Status: A\n\ntext\n\n")
        for args, status, uidls in ((), DONE, ["6b0dda4300000002"]), (("--with", "deleted"), PARTLY, ["6b0dda4300000001"]):
            who, _ = self.run_import(path, "--server", "uw", "--uidls", self.write("list", b"a\nb\n"))
            self.assertEqual(self.shown(who)[0], ["b"])
            out = self.run_import(path, "--server", "uw", "--set-uidls", *args, who=who, exit=status)[1]
            self.assertEqual(self.shown(who)[0], uidls, out)

    def test_dbox(self):
        """Files of Dovecot's own formats are no messages, whichever path leads to them."""
        octets = b"2 M1e C6925a1b3\n\1\2N            0000000000000019\nSubject: x\n\nbody\n\n\1\3\nR6925a1b3\nV1a\n\n"
        self.write("sdbox/mailboxes/INBOX/dbox-Mails/u.1", octets)
        self.write("sdbox/mailboxes/INBOX/dbox-Mails/dovecot.index", b"x")
        self.write("mdbox/storage/m.1", octets)
        self.write("mdbox/storage/dovecot.map.index.log", b"x")
        os.makedirs(self.dir / "mdbox/mailboxes/INBOX/dbox-Mails")
        who = None
        for path in ("sdbox", "sdbox/mailboxes/INBOX", "sdbox/mailboxes/INBOX/dbox-Mails", "mdbox", "mdbox/storage", "mdbox/mailboxes/INBOX"):
            for more in ((), ("--any",), ("--format", "maildir")) if path == "sdbox" else ((),):
                who, out = self.run_import(str(self.dir / path), *more, who=who, exit=REFUSED)
                self.assertIn(f"{self.dir / path} is an mdbox or sdbox of Dovecot", out)
                self.assertIn("doveadm backup", out)
        files = [str(self.dir / path) for path in ("sdbox/mailboxes/INBOX/dbox-Mails/u.1", "mdbox/storage/m.1")]
        for more in (), ("--any",), ("--format", "eml"), ("--format", "mbox"):
            _, out = self.run_import(*files, *more, who=who, exit=PARTLY)
            for path in files:
                self.assertIn(f"REJECTED {path} is a file of Dovecot's mdbox or sdbox", out)
        self.assertEqual(self.shown(who)[0], [])

    def test_received(self):
        """From_ lines with the time of the place, as Postfix, procmail and Dovecot write them, and with a zone, as UW imap does."""
        field = b"Received: by x; Sun, 22 Nov 2026 12:00:07 -0800\n"
        dates = [(b"Sun Nov 22 21:00:20 2026", field, "2026-11-22 20:00:20Z"), (b" Mon Nov 23 06:45:01 2026", field, "2026-11-22 20:00:01Z"),
                 (b"Sun Nov 22 20:00:20 2026", field, "2026-11-22 20:00:20Z"), (b"Sun Nov 22 13:00:20 2026", field, "2026-11-22 20:00:20Z"),
                 (b"Sun Nov 22 21:00:20 2026 +0200", field, "2026-11-22 19:00:20Z"), (b"Sun Nov 22 21:00:20 CET 2026", field, "2026-11-22 20:00:20Z"),
                 (b"Sun Nov 22 21:00:20 2026", b"", "2026-11-22 21:00:20Z"), (b"Tue Nov 24 21:00:20 2026", field, "2026-11-24 21:00:20Z")]
        path = self.write("mbox", b"".join(b"From a@b " + date + b"\n" + head + b"Subject: x\n\nbody\n\n" for date, head, _ in dates))
        who, _ = self.run_import(path, "--server", "popa3d", "--uidls", self.write("list", b"".join(b"u%d\n" % n for n in range(len(dates)))))
        lines = self.site.ctl("message", "list", who).stdout.decode().splitlines()[1:]
        self.assertEqual([" ".join(line.split()[4:6]) for line in lines], [want for _, _, want in dates])

    def test_house(self):
        """Many mboxes at once, and compared afterwards: the server is that of the whole house, or the line of a mailbox has a list."""
        mbox = b"".join(FROM_ + head + own + b"\n" + body + b"\n" for head, own, _, body in self.UW)
        rows = ["address,source,uidls"]
        for n in 1, 2:
            self.site.account(f"house{n}@example.org")
            rows.append(f"house{n}@example.org,{self.write(f'house{n}', mbox.replace(b'1796069955', b'%d' % n))},")
        table = self.write("house.csv", "\n".join(rows).encode() + b"\n")
        done = self.site.ctl("move", table, check=False)
        self.assertIn(b"has the UIDs of a server", done.stdout)
        self.assertEqual([self.shown(f"house{n}@example.org")[0] for n in (1, 2)], [[], []])
        self.site.account("house3@example.org")
        uidls = self.write("list", b"a\nb\nc\nd\ne\n")
        rows.append(f"house3@example.org,{self.write('house3', mbox)},{uidls}")
        self.write("house.csv", "\n".join(rows).encode() + b"\n")
        self.site.ctl("move", table, "--server", "uw")
        self.assertEqual([self.shown(f"house{n}@example.org")[0][0] for n in (1, 2, 3)], ["0000000100000001", "0000000200000001", "a"])
        out = self.site.ctl("compare", "--from", table, "--server", "uw", check=False).stdout.decode()
        self.assertIn("house1@example.org", out)
        self.assertIn("3 alike", out)
