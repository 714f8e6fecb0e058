"""Imports of what programs really write: each mbox, Maildir and folder through `posternctl import` to RETR, octets and counts exact."""
import hashlib
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import unittest

import kit

DONE, REFUSED, USAGE, PARTLY, NO_DATABASE = 0, 1, 2, 3, 4
FROM_ = b"From a@b Sun Nov 22 21:45:20 2026\n"
INTERNAL = (b"From MAILER-DAEMON Sun Nov 22 21:45:20 2026\nDate: 22 Nov 2026 21:45:20 +0000\n"
            b"From: Mail System Internal Data <MAILER-DAEMON@host>\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"
            b"Message-ID: <1@host>\nX-IMAP: 1 3\nStatus: RO\n\nThis text is part of the internal format of your mail folder.\n\n")


class ImportCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("import-")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.count = 0

    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=self.site.dir)
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)

    def write(self, name, octets, mtime=1795390000):
        path = self.dir / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
        os.utime(path, (mtime, mtime))
        return str(path)

    def mailbox(self):
        type(self).count += 1
        who = f"import{self.count}@example.org"
        self.site.account(who)
        return who

    def run_import(self, who, *args, exit=DONE):
        done = self.site.ctl("import", who, *args, check=False)
        self.assertEqual(done.returncode, exit, done.stdout)
        return done.stdout.decode()

    def expect(self, wanted, *args, exit=DONE, who=None):
        """What RETR sends of a fresh mailbox after this import; the octets that were counted are those."""
        who = who or self.mailbox()
        out = self.run_import(who, *args, exit=exit)
        got = self.site.fetched(who)
        self.assertEqual(got, [kit.canonical(w) for w in wanted], out)
        if "imported" in out:
            self.assertIn(f"imported {len(wanted)} messages, {sum(map(len, got))} octets", out)
        return out, who

    def received(self, who):
        return [m["received_at"] for m in json.loads(self.site.ctl("--json", "message", "list", who).stdout)]

    # -- point of an mbox: where its messages are


class Import(ImportCase):
    def test_separators_of_many_programs(self):
        one, two, three = b"A: 1\n\nx\n", b"B: 2\n\n>y\n", b"C: 3\n\n"
        for line in (b"From ", b"From - ", b"From a@b", b"From a@b 2026-11-22T21:45:20Z", b"From a@b 2026-11-22 21:45:20 +0100",
                     b"From a@b Sun Nov 22 9:00:00 2026", b"From a@b Sun Nov 22 21:45:20 26", b"From a@b Sunday November 22 21:45:20 2026",
                     b"From - Sun Nov 22 21:45:20 2026", b"From anna neulich", b"From anna@b am Sonntag"):
            with self.subTest(line=line):
                path = self.write("box", b"".join(line + b"\n" + m + b"\n" for m in (one, two, three)))
                out, _ = self.expect([one, two, three], path)
                self.assertIn(f"read 1 files, {os.path.getsize(path)} octets; 1 of them mbox, with 3 separators", out)
                self.expect([one, two, three], path, "--format", "mbox")
        for front in (b"\n", b"\r\n\n", b">", b"\n>"):
            with self.subTest(front=front):
                self.expect([one, two], self.write("box", front + FROM_ + one + b"\n" + FROM_ + two + b"\n"))
        crlf = b"".join(FROM_ + m + b"\n" for m in (one, two, three)).replace(b"\n", b"\r\n")
        self.expect([one, two, three], self.write("box", crlf))
        # No line end at the end, no empty line.
        self.expect([one, b"B: 2\n\nend"], self.write("box", FROM_ + one + b"\n" + FROM_ + b"B: 2\n\nend"))

    def test_refused_rather_than_taken_for_one(self):
        path = self.write("box", b"From here\nit goes on\n\n" + FROM_ + b"A: 1\n\n" + FROM_ + b"B: 2\n")
        out, _ = self.expect([], path, exit=PARTLY)
        self.assertIn(f"REJECTED {path} begins with", out)
        self.expect([b"it goes on\n", b"A: 1\n", b"B: 2\n"], path, "--format", "mbox")
        self.expect([], self.write("no", b"A: 1\n\n" + FROM_ + b"B: 2\n"), "--format", "mbox", exit=PARTLY)

    def test_folder_of_mboxes(self):
        self.write("folder/Inbox", FROM_ + b"A: 1\n\n\n" + FROM_ + b"A: 2\n\n")
        self.write("folder/Sent", b"From - Sun Nov 22 21:45:20 2026\nA: 3\n\nx\n\n")
        self.write("folder/one.eml", b"A: 0\n\n")
        os.mkdir(self.dir / "folder/Inbox.sbd")
        folder = str(self.dir / "folder")
        out, _ = self.expect([b"A: 1\n\n", b"A: 2\n", b"A: 3\n\nx\n", b"A: 0\n\n"], folder, exit=PARTLY)
        self.assertIn("read 4 files", out)
        self.assertIn("2 of them mbox, with 3 separators", out)
        out, _ = self.expect([b"A: 1\n\n", b"A: 2\n", b"A: 3\n\nx\n"], folder, "--format", "mbox", exit=PARTLY)
        self.assertIn("one.eml does not begin with a From_ line", out)

    def test_lines_of_text(self):
        """A message is not cut at one, and where there is a doubt its line is told."""
        one = b"A: 1\n\nThe room is taken\nFrom Mon 5 Jan 2026 08:30 until noon.\nCome later.\n"
        self.expect([one, b"B: 2\n"], self.write("box", FROM_ + one + b"\n" + FROM_ + b"B: 2\n\n"))
        one = b"A: 1\n\nAn mbox has lines like\n\n" + FROM_ + b"and so on.\n"
        path = self.write("with blank", FROM_ + one + b"\n" + FROM_ + b"B: 2\n\n")
        out, _ = self.expect([one, b"B: 2\n"], path, exit=PARTLY)
        self.assertIn(f'DOUBT "{path}":6 treated as text', out)
        self.assertIn("1 doubts", out)
        path = self.write("box", FROM_ + b"A: 1\n\nx\n" + FROM_ + b"B: 2\n")
        out, who = self.expect([b"A: 1\n\nx\n", b"B: 2\n"], path, exit=PARTLY)
        self.assertIn(f"DOUBT {path}:5 treated as a separator", out)
        told = json.loads(self.run_import("--json", who, path, exit=PARTLY))
        self.assertEqual([(d["file"], d["line"]) for d in told["doubts"]], [(path, 5)])
        self.assertEqual((told["files"], told["mboxes"], told["separators"], told["octets_seen"], told["imported"]),
                         (1, 1, 2, os.path.getsize(path), 2))

    def test_content_length(self):
        body = b"x\n\n" + FROM_ + b"Subject: inner\n\n>From y\n"
        one = b"A: 1\nContent-Length: %d\n\n" % len(body) + body
        out, _ = self.expect([one, b"B: 2\n"], self.write("cl2", FROM_ + one + b"\n" + FROM_ + b"B: 2\n\n"), exit=PARTLY)
        self.assertIn("cl2:7 treated as text: a separator within the Content-Length", out)
        self.expect([one], self.write("cl2", FROM_ + one), exit=PARTLY)
        # One that is wrong, by an octet, or by a message: not believed.
        for wrong in (len(body) - 1, 4, 0, 10 ** 9, 10 ** 30):
            parts = [b"A: 1\nContent-Length: %d\n\nx\n" % wrong, b"Subject: inner\n\nFrom y\n", b"B: 2\n"]
            self.expect(parts, self.write("wrong", FROM_ + parts[0] + b"\n" + FROM_ + b"Subject: inner\n\n>From y\n\n" + FROM_ + b"B: 2\n\n"))

    def test_from_lines_left_in_front(self):
        bugs = b"From nyt@x Fri Apr 11 15:36:11 2025\n>From - Sat Apr 12 2025 15:59:28\nX-Mozilla-Status: 0001\nA: 1\n\n"
        _, who = self.expect([b"X-Mozilla-Status: 0001\nA: 1\n"], self.write("box", bugs))
        self.assertEqual(self.received(who), ["2025-04-11T15:36:11Z"])
        self.write("dir/1.eml", b">From - Sat Apr 12 15:59:28 2025\nA: 1\n\n>From x\n\n\n")
        self.write("dir/2.eml", b"From a@b Sat Apr 12 15:59:28 2025\r\n>From c\r\nA: 2\r\n\r\n\r\n")
        self.write("dir/3", b"From a@b Sat Apr 12 15:59:28 2025\n\nno header\n")
        self.write("dir/4", b">From here on\n\ntext\n")
        wanted = [b"A: 1\n\n>From x\n\n\n", b"A: 2\n\n\n", b"\nno header\n", b">From here on\n\ntext\n"]
        _, who = self.expect(wanted, str(self.dir / "dir"))
        self.assertEqual(self.received(who)[1], "2025-04-12T15:59:28Z")
        self.write("md/cur/1.a:2,S", FROM_ + b"A: 1\n\n" + FROM_ + b"B: 2\n")
        os.mkdir(self.dir / "md/new")
        self.expect([b"A: 1\n\n" + FROM_ + b"B: 2\n"], str(self.dir / "md"))

    def test_received(self):
        lines = [(b"Sun Nov 22 13:45:20 PST 2026", "21:45:20"), (b"Sun Nov 22 21:45:20 2026 CET", "20:45:20"),
                 (b"Sun Nov 22 14:45:20 GMT-0700 2026", "21:45:20"), (b"Sun Nov 22 16:45:20 EST 2026", "21:45:20")]
        path = self.write("box", b"".join(b"From a@b %s\nA: %d\n\n" % (d, n) for n, (d, _) in enumerate(lines)))
        who = self.mailbox()
        self.run_import(who, path)
        self.assertEqual(self.received(who), [f"2026-11-22T{t}Z" for _, t in lines])
        # Without a date: that of the header, if it is not later than the file; else that of the file.
        path = self.write("box", b"From - \nDate: Sat, 21 Nov 2026 21:45:20 +0000\nA: 1\n\nFrom - \nDate: 1 Jan 2099 00:00:00 GMT\n\n\nFrom - \nA: 3\n\n",
                          mtime=1795383920)
        who = self.mailbox()
        self.run_import(who, path)
        self.assertEqual(self.received(who), ["2026-11-21T21:45:20Z", "2026-11-22T21:45:20Z", "2026-11-22T21:45:20Z"])

    def test_large_and_hostile(self):
        """Lines without an end, From_ lines by the million, in bounded time; what is stored is exact."""
        long_line = b"A: 1\n\n" + b"x" * 3_000_000 + b"\n" + b"From " * 200_000 + b"\n"
        many = b"B: 2\n\n" + b"From \n" * 300_000
        self.expect([long_line, many], self.write("box", FROM_ + long_line + b"\n" + FROM_ + many + b"\n"))

    # -- state that the format has

    def left_out(self, wanted, all_of_it, kind, text, path, kinds="deleted,drafts,folder-data"):
        out, who = self.expect(wanted, path)
        self.assertIn(f"left out: {len(all_of_it) - len(wanted)} {text} (--with {kind})", out)
        told = json.loads(self.run_import("--json", self.mailbox(), path))
        self.assertEqual(told["left_out_" + kind.replace("-", "_")], len(all_of_it) - len(wanted))
        for with_ in (kind, kinds):
            out, _ = self.expect(all_of_it, path, "--with", with_)
            self.assertNotIn("left out", out)

    def test_deleted(self):
        for field in (b"X-Mozilla-Status: 0009", b"X-Mozilla-Status2: 00200000", b"X-Status: D", b"Status: ROD"):
            with self.subTest(field=field):
                dead, live = b"A: 1\n" + field + b"\n\nx\n", b"A: 2\nX-Mozilla-Status: 0001\nStatus: RO\nX-Status: A\n\n" + field + b"\n"
                path = self.write("box", FROM_ + dead + b"\n" + FROM_ + live + b"\n")
                self.left_out([live], [dead, live], "deleted", "marked as deleted", path)
        for folder in ("cur", "new"):
            os.makedirs(self.dir / "md" / folder)
        self.write("md/cur/1.a:2,ST", b"A: 1\n\n")
        self.write("md/cur/2.a:2,S", b"A: 2\nX-Status: D\n\n")
        self.left_out([b"A: 2\nX-Status: D\n\n"], [b"A: 1\n\n", b"A: 2\nX-Status: D\n\n"], "deleted", "marked as deleted", str(self.dir / "md"))
        self.write("mh/,1", b"A: 1\n\n")
        self.write("mh/2", b"A: 2\n\n")
        self.left_out([b"A: 2\n\n"], [b"A: 1\n\n", b"A: 2\n\n"], "deleted", "marked as deleted", str(self.dir / "mh"))

    def test_drafts(self):
        for field in (b"X-Mozilla-Draft-Info: internal/draft; vcard=0", b"X-Status: T"):
            draft, live = b"A: 1\n" + field + b"\n\n", b"A: 2\n"
            self.left_out([live], [draft, live], "drafts", "drafts", self.write("box", FROM_ + draft + b"\n" + FROM_ + live + b"\n"))
        for folder in ("cur", "new"):
            os.makedirs(self.dir / "md" / folder)
        self.write("md/cur/1.a:2,D", b"A: 1\n\n")
        self.write("md/cur/2.a:2,", b"A: 2\n\n")
        self.left_out([b"A: 2\n\n"], [b"A: 1\n\n", b"A: 2\n\n"], "drafts", "drafts", str(self.dir / "md"))
        self.run_import(self.mailbox(), str(self.dir / "md"), "--with", "drafts,dead", exit=USAGE)

    def test_folder_internal_data(self):
        live = b"Subject: x\nX-IMAPbase: 1 3\n\n"
        path = self.write("box", INTERNAL + FROM_ + live + b"\n")
        pseudo = INTERNAL.split(b"\n", 1)[1][:-1]
        self.left_out([live], [pseudo, live], "folder-data", "FOLDER INTERNAL DATA", path)
        # No server ever showed it: it has no UIDL.
        who = self.mailbox()
        self.run_import(who, path, "--uidls", self.write("uidls", b"only\n"))
        with self.site.login(who) as pop:
            self.assertEqual(pop.uidl(), [b"only"])
            pop.ok("QUIT")

    def test_uidls_as_the_old_server_sent_them(self):
        """U02: long ones, and octets that RFC 1939 does not let a server make; alone and in a list."""
        kept = [b"1795390000.M1P2V0000000000000801I0000000000000001_0.mail.example.org,S=1234567890,W=1234567890", b"%" * 480, "\u00e4-\u20ac".encode()]
        path = self.write("box", b"".join(FROM_ + b"A: %d\n\n" % n for n in range(3)))
        who = self.mailbox()
        self.run_import(who, path, "--uidls", self.write("uidls", b"\n".join(kept) + b"\n"))
        with self.site.login(who) as pop:
            self.assertEqual(pop.uidl(), kept)
            for n, uidl in enumerate(kept, 1):
                self.assertEqual(pop.ok(f"UIDL {n}"), b"+OK %d %s" % (n, uidl))
            pop.ok("QUIT")

    def test_connection_lost_before_the_first_message(self):
        """P2: an import says what was stored, whatever the last question was that had no answer."""
        who, path = self.mailbox(), self.write("one", b"A: 1\n\n")
        read = "select pg_get_functiondef('postern.mail_codec(bigint)'::regprocedure)"
        before = self.site.sql(read)
        self.site.sql("create or replace function postern.mail_codec(p_mailbox bigint) returns integer language plpgsql security definer"
                      " as $$ begin perform pg_terminate_backend(pg_backend_pid()); return 0; end $$")
        self.addCleanup(self.site.sql, before)
        out = self.run_import(who, path, exit=NO_DATABASE)
        self.assertIn("imported 0 messages", out)
        self.site.sql(before)
        self.run_import(who, path)

    def test_resume_brings_nothing_back(self):
        """What a client deleted between two runs stays deleted, each copy; what is new comes."""
        letters = [b"A: %d\n\n" % (n // 2) for n in range(10)] + [b"Subject: large\n\n" + b"x\n" * 1_000_000]
        for n, letter in enumerate(letters):
            self.write("dir/%02d" % n, letter)
        who, folder = self.mailbox(), str(self.dir / "dir")
        self.run_import(who, folder)
        with self.site.login(who) as pop:
            for n in (1, 2, 3, 11):
                pop.ok(f"DELE {n}")
            pop.ok("QUIT")
        out, _ = self.expect_resumed(who, folder, letters[3:10])
        self.assertIn("imported 0 messages", out)
        self.assertIn("7 already there", out)
        self.assertIn("left out: 4 deleted since they were imported (--with gone)", out)
        self.write("dir/11", b"A: new\n\n")
        self.write("dir/12", b"A: 0\n\n")       # a third copy
        out, _ = self.expect_resumed(who, folder, letters[3:10] + [b"A: new\n\n", b"A: 0\n\n"])
        self.assertIn("imported 2 messages", out)
        # A whole mailbox that was emptied, also by an operator.
        self.site.ctl("message", "remove", who, "--all", "--yes")
        self.expect_resumed(who, folder, [])
        out, _ = self.expect_resumed(who, folder, letters + [b"A: new\n\n", b"A: 0\n\n"], "--with", "gone")
        self.assertIn("imported 13 messages", out)
        # Only a resumed import compares; and nothing is left of it with the mailbox.
        self.run_import(who, self.write("again", b"A: 1\n\n"))
        self.assertEqual(len(self.site.fetched(who)), 14)
        self.site.checked()
        self.site.ctl("mailbox", "remove", who, "--yes")
        self.assertEqual(self.site.sql("select count(*) from postern.imported where mailbox not in (select mailbox from postern.mailbox)"), "0")

    def expect_resumed(self, who, path, wanted, *args):
        out = self.run_import(who, path, "--resume", *args)
        self.assertEqual(self.site.fetched(who), [kit.canonical(w) for w in wanted], out)
        return out, who

    def test_dry_run(self):
        """All is read and judged, and nothing is stored; what is there already counts with --resume."""
        path = self.write("box.eml", b"From: me@x\n\nmine\n")
        none = self.write("none.eml", b"no mail\n")
        who = self.mailbox()
        out = self.run_import(who, path, none, "--dry-run", exit=PARTLY)
        self.assertIn("would import 1 messages", out)
        self.assertIn("1 rejected", out)
        self.assertEqual(self.site.fetched(who), [])
        self.run_import(who, path)
        self.assertIn("would import 0 messages", self.run_import(who, path, "--resume", "--dry-run"))
        self.assertEqual(len(self.site.fetched(who)), 1)

    # -- UIDLs

    def uidls(self, who):
        return [m["uidl"] for m in json.loads(self.site.ctl("--json", "message", "list", who).stdout)]

    def test_uidls_by_name(self):
        """In the order of the names, with numbers as numbers; each message gets the UIDL that was made for it, whatever the order of the list."""
        names = ["99.M7P1.host:2,", "100.M99P1.host:2,S", "100.M100P1.host:2,", "101.M5P1.host:2,RS"]
        letters = [b"A: %d\n\n" % n for n in range(4)]
        for name, letter in zip(names, letters):
            self.write("md/cur/" + name, letter)
        (self.dir / "md/new").mkdir()
        folder, digest = str(self.dir / "md"), hashlib.blake2b(kit.canonical(letters[3]), digest_size=32).hexdigest()
        lines = [digest + "\tthree", "100.M100P1.host\ttwo", folder + "/cur/99.M7P1.host\tzero", "100.M99P1.host:2,S\tone"]
        listed = self.write("uidls", "\n".join(lines).encode())
        _, who = self.expect(letters, folder, "--uidls", listed)
        self.assertEqual(self.uidls(who), ["zero", "one", "two", "three"])
        # Without names it would be a guess.
        self.run_import(who, folder, "--uidls", self.write("bare", b"a\nb\nc\nd\n"), exit=REFUSED)
        self.assertEqual(len(self.uidls(who)), 4)
        # Resumed: what is there is passed over, with the UIDL that it has.
        self.write("md/new/102.M1P1.host", b"A: new\n\n")
        out = self.run_import(who, folder, "--resume", "--uidls", self.write("uidls", "\n".join(lines + ["102.M1P1.host\tnew"]).encode()))
        self.assertIn("imported 1 messages", out)
        self.assertEqual(self.uidls(who), ["zero", "one", "two", "three", "new"])
        # Another message with a UIDL that is in use gets a new one, and this is said.
        self.write("md/new/103.M1P1.host", b"A: other\n\n")
        out = self.run_import(who, folder, "--resume", "--uidls", self.write("uidls", "\n".join(lines[:3] + ["102.M1P1.host\tnew", "103.M1P1.host\tone"]).encode()), exit=PARTLY)
        self.assertIn("another message in the mailbox has its own", out)
        self.assertEqual(len(set(self.uidls(who))), 6)

    def test_uidls_that_are_wrong(self):
        """Each is told with its line before anything is stored, and the others count."""
        for n in range(1, 11):
            self.write(f"mh/{n}", b"A: %d\n\n" % n)
        self.write("mh/,3", b"A: removed\n\n")
        lines = ["1\tone", "2\tone", "3", "4\t", "5\tfive five", "\tno name", "7\tseven", "7\tagain", "11\tgone", "f" * 64 + "\tdigest", "10\tten"]
        out, who = self.expect([b"A: %d\n\n" % n for n in range(1, 11)], str(self.dir / "mh"), "--uidls",
                               listed := self.write("uidls", "\r\n".join(lines).encode()), exit=PARTLY)
        told = [line for line in out.split("\n") if line.startswith("UIDL ")]
        for want in (f"UIDL {listed}:2 one is that of a message before, too", f"UIDL {listed}:3 3 has no name and tab", f'UIDL {listed}:4 "" is empty',
                     f'UIDL {listed}:5 "five five" has a space', f'UIDL {listed}:6 "no name" has a space', f"UIDL {listed}:8 again names a message that a line before",
                     f"UIDL {listed}:9 gone names no message", f"UIDL {listed}:10 digest has the digest of no", *(f"UIDL {self.dir}/mh/{n} is not in the list" for n in (3, 6, 8, 9))):
            self.assertEqual(len([line for line in told if line.startswith(want)]), 1, (want, told))
        self.assertEqual(len(told), 12)
        got = self.uidls(who)
        self.assertEqual([got[n - 1] for n in (1, 7, 10)], ["one", "seven", "ten"])
        self.assertEqual(len([u for u in got if "." in u]), 7)
        told = json.loads(self.run_import("--json", self.mailbox(), str(self.dir / "mh"), "--uidls", listed, exit=PARTLY))
        self.assertEqual((told["uidls_in_doubt"], told["imported"], [t["line"] for t in told["uidls"] if "line" in t]), (12, 10, [3, 6, 8, 9, 10, 2, 4, 5]))
        # Two files of one name are told apart by their paths.
        self.write("mh2/1", b"B: 1\n\n")
        both = [str(self.dir / "mh"), str(self.dir / "mh2")]
        out = self.run_import(who := self.mailbox(), *both, "--uidls", self.write("two", f"1\tone\n{both[1]}/1\tother\n".encode()), exit=PARTLY)
        self.assertIn(":1 one has a name that several files have", out)
        self.assertEqual(self.uidls(who)[-1], "other")

    def test_uidls_set_afterwards(self):
        """Of mail that is there: by digest, copies in order, places changed; nothing else changes, and nobody loses theirs."""
        letters = [b"A: 0\n\n", b"A: 1\n\n", b"A: 1\n\n", b"A: 2\n\n", b"A: 3\n\n"]
        path = self.write("box", b"".join(FROM_ + letter + b"\n" for letter in letters))
        _, who = self.expect(letters, path)
        own = self.uidls(who)

        def attempt(uidls, *args, exit=DONE, path=path):
            return self.run_import(who, path, "--set-uidls", "--uidls", self.write("uidls", "".join(u + "\n" for u in uidls).encode()), *args, exit=exit)

        with self.site.login(who) as pop:
            self.assertIn("would set 5 UIDLs", attempt("abcde", "--dry-run"))
            self.assertEqual(self.uidls(who), own)
            self.assertIn("set 5 UIDLs", attempt("abcde"))
            self.assertEqual([u.decode() for u in pop.uidl()], own)    # its listing is a snapshot
            pop.ok("QUIT")
        self.assertEqual(self.site.fetched(who), [kit.canonical(w) for w in letters])
        with self.site.login(who) as pop:
            self.assertEqual(pop.uidl(), [b"a", b"b", b"c", b"d", b"e"])
            pop.ok("QUIT")
        self.assertIn("set 0 UIDLs in", attempt("abcde"))
        self.assertIn("set 3 UIDLs", attempt("dcbea"))      # three change places, and the copies need not
        self.assertEqual(self.uidls(who), ["d", "b", "c", "e", "a"])
        self.site.checked()
        # One message is removed, and one of another source has the UIDL of none that is spoken of.
        self.site.ctl("message", "uidl", who, "4", "x")
        self.assertEqual(self.site.ctl("message", "uidl", who, "4").stdout, b"x\n")
        two = self.write("two", FROM_ + letters[0] + b"\n" + FROM_ + letters[4] + b"\n" + FROM_ + b"A: none\n\n")
        out = attempt(["x", "y", "z"], path=two, exit=PARTLY)
        self.assertIn(":1 x is that of another message in the mailbox", out)
        self.assertIn("set 1 UIDLs", out)
        self.assertIn("1 are not in the mailbox", out)
        self.site.ctl("message", "uidl", who, "4", "--remove")
        self.assertEqual(self.uidls(who)[3:], [own[3], "y"])
        for bad, exit in (("a b", USAGE), ("y", REFUSED), (own[0], REFUSED), ("", USAGE)):
            self.assertEqual(self.site.ctl("message", "uidl", who, "4", bad, check=False).returncode, exit, bad)
        told = json.loads(self.run_import("--json", who, two, "--set-uidls", "--uidls", self.write("uidls", b"1\n2\n3\n"), exit=PARTLY))
        self.assertEqual((told["set"], told["had"], told["missing"], told["dry_run"]), (2, 0, 1, False))

    # -- Dovecot

    UIDLIST = ("3 V1796063130 N20 Gcd4d560e9abf0d6b5268000083ecc375\n1 W11 :1700000000.M7P1.host\n2 W11 :1700000001.M8P1.gone\n"
               "4 O2 Pkept-uidl :1700000005.M1P1.host\n5 O1 P :1600000000.M9P1.host,S=8\n7 G0123abc W11 :1700000000.M100P1.host:2,\n"
               "9 :1500000000.M1P1.host\n")
    FILES = [("1600000000.M9P1.host,S=8:2,S", 5), ("1700000005.M1P1.host:2,", 4), ("1700000000.M7P1.host:2,S", 1),
             ("1700000000.M100P1.host:2,", 7), ("1500000000.M1P1.host:2,RS", 9)]        # in the order of POP3

    def dovecot(self, name):
        for path, n in self.FILES:
            self.write(f"{name}/cur/{path}", b"A: %d\n\nx\n" % n)
        for part in "new", "tmp":
            (self.dir / name / part).mkdir()
        self.write(f"{name}/dovecot-uidlist", self.UIDLIST.encode())
        return self.dir / name

    def asked(self, uidl_format):
        """What a real Dovecot says of the same Maildir, where one is installed; else what one has said, which is in test_dovecot, too."""
        fixed = ["1600000000.M9P1.host,S=8", "kept-uidl"]
        if not (os.path.exists("/usr/lib/dovecot/pop3") and kit.ROOT):
            return fixed + {None: ["000000016b0dbf9a", "000000076b0dbf9a", "000000096b0dbf9a"], "%v.%u": [f"1796063130.{n}" for n in (1, 7, 9)],
                            "%f": [name.partition(":")[0] for name, _ in self.FILES[2:]],
                            "%g": ["1700000000.M7P1.host", "0123abc", "1500000000.M1P1.host"]}[uidl_format]
        with tempfile.TemporaryDirectory(prefix="dovecot-") as top:
            shutil.copytree(self.dir / "md", f"{top}/md")
            for name in "run", "state":
                os.mkdir(f"{top}/{name}")
            with open(f"{top}/conf", "w", encoding="ascii") as conf:
                conf.write(f"mail_location = maildir:{top}/md\nlog_path = /dev/stderr\nbase_dir = {top}/run\nstate_dir = {top}/state\nssl = no\n")
                if uidl_format:
                    conf.write(f"pop3_uidl_format = {uidl_format}\n")
            subprocess.run(["chown", "-R", "nobody:nogroup", top], check=True)
            done = subprocess.run(["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "env", "USER=anna", f"HOME={top}",
                                   "/usr/lib/dovecot/pop3", "-c", f"{top}/conf"], input=b"UIDL\r\nQUIT\r\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        got = [line.split()[1].decode() for line in done.stdout.split(b"\r\n") if line[:1].isdigit()]
        self.assertEqual(got[:2], fixed, done)
        return got

    def test_dovecot_maildir(self):
        """The UIDLs that clients know, in the order that they know; what came since, and what is elsewhere, is told."""
        folder = self.dovecot("md")
        letters = [b"A: %d\n\nx\n" % n for _, n in self.FILES]
        for uidl_format in None, "%v.%u", "%f", "%g":
            with self.subTest(uidl_format=uidl_format):
                out, who = self.expect(letters, str(folder), *(["--uidl-format", uidl_format] if uidl_format else []))
                self.assertEqual(self.uidls(who), self.asked(uidl_format), out)
        # One that Dovecot never listed comes behind, with a UIDL of ours; the folder is named. A second run stores nothing.
        self.write("md/new/1400000000.M1P1.host", b"A: new\n\n")
        self.write("md/.Sent/cur/1.x:2,S", b"A: sent\n\n")
        out = self.run_import(who, str(folder), "--uidl-format", "%g", "--resume")
        self.assertIn("imported 1 messages", out)
        self.assertIn(f"FOLDER {folder}/.Sent is not imported", out)
        self.assertEqual(json.loads(self.run_import("--json", self.mailbox(), str(folder)))["folders"], [f"{folder}/.Sent"])
        # Without its list; then set afterwards.
        _, who = self.expect([letters[4], letters[0]] + [letters[2], letters[3], letters[1]], str(self.dovecot("md2")), "--server", "none")
        self.assertIn("set 5 UIDLs", self.run_import(who, str(self.dir / "md2"), "--set-uidls"))
        asked = ["000000096b0dbf9a", "1600000000.M9P1.host,S=8", "000000016b0dbf9a", "000000076b0dbf9a", "kept-uidl"]
        self.assertEqual(self.uidls(who), asked)

    def test_dovecot_lists_that_are_wrong(self):
        """A line costs its message the UIDL; a list that cannot be read stops all before anything is stored."""
        folder = self.dovecot("md")
        path = str(folder / "dovecot-uidlist")
        lines = self.UIDLIST.split("\n")
        self.write("md/dovecot-uidlist", "\n".join([*lines[:3], "3 :1700000005.M1P1.host\0", "5 O9 P" + "x" * 481 + " :1600000000.M9P1.host,S=8",
                                                    "7 Pkept :1700000000.M100P1.host", "8 Pkept :1500000000.M1P1.host", "6 :1.x", ""]).encode())
        who = self.mailbox()
        out = self.run_import(who, str(folder), exit=PARTLY)
        for want in (f"DOUBT {path}:4 has a name that no file", f"DOUBT {path}:8 has a uid that does not rise", f"UIDL {path}:5 {'x' * 481} is longer",
                     f"UIDL {path}:7 kept is that of a message before"):
            self.assertIn(want, out)
        self.assertEqual([u for u in self.uidls(who) if "." not in u], ["000000016b0dbf9a", "kept"])
        for octets, why in ((b"", "is empty"), (b"3 N5\n1 :a\n", "has no uidvalidity"), (b"4 V1\n", "does not begin with the version")):
            self.write("md/dovecot-uidlist", octets)
            done = self.site.ctl("import", who, str(folder), check=False)
            self.assertEqual(done.returncode, REFUSED)
            self.assertIn(f"{path} {why}", done.stdout.decode())
        self.write("secret", self.UIDLIST.encode())
        os.unlink(path)
        os.symlink(self.dir / "secret", path)
        self.assertIn("is a symbolic link", self.run_import(who, str(folder), exit=REFUSED))
        os.unlink(path)
        os.mkfifo(path)
        self.assertIn("is not a regular file", self.run_import(who, str(folder), exit=REFUSED))
        self.assertEqual(len(self.uidls(who)), 5)
        self.assertIn("for an mbox only", self.run_import(who, str(folder), "--uidl-format", "%m", exit=REFUSED))

    # -- names

    def test_names_cannot_forge_lines(self):
        """A file's name is its owner's: no line, no escape sequence of it reaches the output as such."""
        names = [b"x is empty\nREJECTED passwd y", b"\x1b[2Jgone", b"a\rREJECTED b", "\u009b2J\u202e".encode(), b"\xff\xfe", b'q"\\', b"tab\there"]
        for name in names:
            self.write(b"dir/" + name, b"")
        self.write(b"dir/mbox\nDOUBT", FROM_ + b"A: 1\n" + FROM_ + b"B: 2\n")
        who = self.mailbox()
        done = self.site.ctl("import", who, str(self.dir / "dir"), check=False).stdout
        self.assertEqual(done.count(b"\n"), len(names) + 1 + 2, done)
        for byte in b"\x1b\r\t\xff":
            self.assertNotIn(byte, done)
        self.assertNotIn("\u009b".encode(), done)
        self.assertEqual(sum(line.startswith(b"REJECTED ") for line in done.split(b"\n")), len(names))
        folder = os.fsencode(self.dir / "dir")
        for want in (rb'"%s/x is empty\nREJECTED passwd y" is empty', rb'"%s/\033[2Jgone" is empty', rb'"%s/\302\2332J\342\200\256" is empty',
                     rb'"%s/\377\376" is empty', rb'"%s/q\"\\" is empty', rb'"%s/mbox\nDOUBT":3 treated'):
            self.assertIn(want % folder, done)
        told = json.loads(self.site.ctl("--json", "import", who, str(self.dir / "dir"), check=False).stdout)
        self.assertIn(str(self.dir / "dir") + "/x is empty\nREJECTED passwd y", [r["file"] for r in told["rejected"]])
        for verb in (("import", who, "--uidls"), ("export", who, str(self.dir / "out"), "--uidls")):
            done = self.site.ctl(*verb, str(self.dir / "no\nposternctl: fine\u009b" / "x"), *(["x"] if verb[0] == "import" else []), check=False).stdout
            self.assertEqual(done.count(b"\n"), 1, done)
            self.assertIn(rb'/no\nposternctl: fine\302\233/x"', done)


@unittest.skipUnless(kit.ROOT, "only root imports what others own")
class Links(ImportCase):
    """Whoever owns the folder may not have read what a link in it leads to: it would come to them as mail."""

    def setUp(self):
        super().setUp()
        self.secret = self.write("secret", b"From: root@x\n\nsecret\n")
        self.theirs = self.write("theirs", b"From: me@x\n\ntheirs\n")
        self.user = pwd.getpwnam("nobody").pw_uid
        os.chown(self.theirs, self.user, -1)

    def link(self, name, to, owner):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(to)
        os.lchown(path, owner, -1)
        return str(path)

    FOLLOW = "see --follow-links"

    def test_in_a_folder(self):
        """No link is followed, whoever made it; with --follow-links those of root, and to one's own."""
        self.link("mail/1.eml", self.secret, self.user)
        self.link("mail/2.eml", self.theirs, self.user)
        self.link("mail/3.eml", self.secret, 0)
        self.write("mail/4.eml", b"From: me@x\n\nmine\n")
        out, _ = self.expect([b"From: me@x\n\nmine\n"], str(self.dir / "mail"), exit=PARTLY)
        for n in "123":
            self.assertIn(f"mail/{n}.eml is a symbolic link: {self.FOLLOW}", out)
        out, _ = self.expect([b"From: me@x\n\ntheirs\n", b"From: root@x\n\nsecret\n", b"From: me@x\n\nmine\n"],
                             str(self.dir / "mail"), "--follow-links", exit=PARTLY)
        self.assertIn("mail/1.eml is a symbolic link to a file of another owner", out)

    def test_in_a_maildir(self):
        self.link("Maildir/cur/1:2,", self.secret, self.user)
        self.write("Maildir/new/2", b"From: me@x\n\nmine\n")
        out, _ = self.expect([b"From: me@x\n\nmine\n"], str(self.dir / "Maildir"), exit=PARTLY)
        self.assertIn(f"cur/1:2, is a symbolic link: {self.FOLLOW}", out)
        out, _ = self.expect([b"From: me@x\n\nmine\n"], str(self.dir / "Maildir"), "--follow-links", exit=PARTLY)
        self.assertIn("cur/1:2, is a symbolic link to a file of another owner", out)
        self.write("other/1", b"From: other@x\n\nanother's\n")
        self.link("Maildir2/cur", self.dir / "other", self.user)
        self.write("Maildir2/new/2", b"From: me@x\n\nmine\n")
        out, _ = self.expect([b"From: me@x\n\nmine\n"], str(self.dir / "Maildir2"), exit=PARTLY)
        self.assertIn(f"Maildir2/cur is a symbolic link: {self.FOLLOW}", out)
        out, _ = self.expect([b"From: me@x\n\nmine\n"], str(self.dir / "Maildir2"), "--follow-links", exit=PARTLY)
        self.assertIn("Maildir2/cur is a symbolic link to a file of another owner", out)

    def customers(self):
        """A Maildir with one message, all of it theirs."""
        folder = self.dir / "theirs.d"
        self.write("theirs.d/cur/1:2,S", b"From: me@x\n\nmine\n")
        (folder / "new").mkdir()
        for path in (folder, folder / "new", folder / "cur", folder / "cur/1:2,S"):
            os.chown(path, self.user, -1)
        return folder

    def test_of_others_and_hard_links(self):
        """What is not of the folder's owner did not come there as their mail; nor did what has another name elsewhere."""
        folder = self.customers()
        os.link(self.secret, folder / "cur/2:2,")
        os.link(self.theirs, folder / "cur/3:2,")
        self.write("theirs.d/new/4", b"From: root@x\n\nof root\n")
        out, _ = self.expect([b"From: me@x\n\nmine\n"], str(folder), exit=PARTLY)
        self.assertIn(f"cur/2:2, does not belong to the owner of its directory: {self.FOLLOW}", out)
        self.assertIn(f"cur/3:2, has more than one link: {self.FOLLOW}", out)
        self.assertIn(f"new/4 does not belong to the owner of its directory: {self.FOLLOW}", out)
        who = self.mailbox()
        self.run_import(who, str(folder), "--follow-links")
        self.assertEqual(len(self.site.fetched(who)), 4)

    def test_with_the_rights_of_the_owner(self):
        """Root may read anything; what its owner may not read is no mail of theirs."""
        folder = self.customers()
        (folder / "cur/1:2,S").chmod(0)
        out, _ = self.expect([], str(folder), exit=PARTLY)
        self.assertIn("cur/1:2,S permission denied", out)
        (folder / "cur/1:2,S").chmod(0o400)
        self.expect([b"From: me@x\n\nmine\n"], str(folder))

    def test_in_a_path(self):
        """A home that is named in a list may lead to the mail of its neighbour."""
        folder = self.customers()
        mbox = self.write("spool/theirs", b"From a@b Mon Jan  2 03:04:05 2023\nFrom: me@x\n\nspooled\n")
        os.chown(mbox, self.user, -1)
        other = pwd.getpwnam("daemon").pw_uid
        for name, to in (("home/Maildir", folder), ("home/mbox", mbox)):
            path = self.link(name, to, other)
            for more in ((), ("--follow-links",)):
                out, _ = self.expect([], path, *more, exit=PARTLY)
                self.assertIn(f"{name} is a symbolic link to a file of another owner, or lies behind one", out)
        out, _ = self.expect([], self.link("home/mail", folder.parent, other) + "/theirs.d", exit=PARTLY)
        self.assertIn("home/mail/theirs.d is a symbolic link", out)
        self.expect([b"From: me@x\n\nmine\n"], self.link("root/Maildir", folder, 0))
        self.expect([b"From: me@x\n\nmine\n"], self.link("own/Maildir", folder, self.user))
        self.expect([b"From: me@x\n\nspooled\n"], self.link("own/mbox", mbox, self.user))

    def test_what_is_written(self):
        """No export, and nothing of disclose, goes where a link leads, or into a directory of somebody else's."""
        who = self.mailbox()
        self.site.ctl("import", who, self.write("one.eml", b"From: me@x\n\nmine\n"))
        empty, others = self.dir / "empty", self.dir / "others"
        for path in (empty, others):
            path.mkdir()
        os.chown(others, self.user, -1)
        self.link("linked", empty, self.user)
        for verb, path in (("export", "linked"), ("export", "others"), ("disclose", "linked"), ("disclose", "others")):
            for form in (("--format", "maildir"), ("--format", "eml")) if verb == "export" else ((),):
                done = self.site.ctl(verb, who, str(self.dir / path), *form, check=False)
                self.assertEqual(done.returncode, 1, (verb, path, done.stdout))
        self.link("file", self.dir / "made", self.user)
        for args in (("export", who, str(self.dir / "file")), ("export", who, str(self.dir / "m1"), "--uidls", str(self.dir / "file"))):
            self.assertEqual(self.site.ctl(*args, check=False).returncode, 1, args)
        self.assertEqual(list(empty.iterdir()) + list(others.iterdir()), [])
        self.assertFalse((self.dir / "made").exists())
        self.site.ctl("export", who, str(empty), "--format", "maildir")
        self.assertEqual(len(list((empty / "new").iterdir())), 1)
        self.site.ctl("disclose", who, str(self.dir / "told"))
        self.assertEqual(sorted(p.name for p in (self.dir / "told").rglob("*")), ["000000001.eml", "data.json", "mail"])

    def test_that_the_operator_named(self):
        """By a link of their own."""
        self.expect([b"From: root@x\n\nsecret\n"], self.link("box.eml", self.secret, 0))
        self.expect([b"From: me@x\n\ntheirs\n"], self.link("theirs.eml", self.theirs, 0))


if __name__ == "__main__":
    unittest.main()
