"""Mail of real servers: what Dovecot, Courier and Cyrus show of their directories, Postern shows after the import, and clients fetch only what is new."""
import json
import os
import pathlib
import poplib
import shutil
import subprocess
import tempfile
import unittest

import kit
import oldservers

DONE, REFUSED, USAGE, PARTLY = 0, 1, 2, 3


def letters(first, count):
    """Of different sizes."""
    return [b"From: s%d@x\nSubject: %d\nMessage-ID: <%d@x>\n\n" % (n, n, n) + b"x\n" * n for n in range(first, first + count)]


def setUpModule():
    """One lab for all: a mailbox for each import."""
    if not kit.ROOT:
        raise unittest.SkipTest("the old servers become somebody else")
    Moving.site = kit.Site("moving-")
    unittest.addModuleCleanup(Moving.site.down)
    Moving.site.up()


class Moving(unittest.TestCase):
    site, count = None, 0

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="moving-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.dir.chmod(0o755)

    def mailbox(self):
        Moving.count += 1
        who = f"moving{Moving.count}@example.org"
        self.site.account(who)
        return who

    def maildir(self, name="md"):
        """Names whose order depends on who orders them, in cur and in new."""
        folder = self.dir / name
        names = ["cur/1700000000.M99P1.host:2,S", "cur/1700000000.M100P1.host,S=%d:2,", "new/1700000000.M7P1.host", "cur/999999999.1.host:2,RS",
                 "cur/1700000001.M1P1.host,S=%d,W=%d:2,S", "new/1650000000.M5P1.hOst+x", "cur/1600000000.a'b.host:2,"]
        for part in "cur", "new", "tmp":
            (folder / part).mkdir(parents=True)
        for name, letter in zip(names, letters(0, len(names))):
            octets = letter.replace(b"\r\n", b"\n")
            path = folder / name.replace("S=%d", f"S={len(octets)}").replace("W=%d", f"W={len(octets) + octets.count(10)}")
            path.write_bytes(octets)
            os.utime(path, (1650000000 + len(octets), 1650000000 + len(octets)))
        oldservers.owned(folder)
        return folder

    def add(self, folder, name, letter):
        (folder / name).write_bytes(letter)
        oldservers.owned(folder)

    def run_import(self, who, *args, exit=DONE):
        done = self.site.ctl("import", who, *map(str, args), check=False)
        self.assertEqual(done.returncode, exit, done.stdout)
        return done.stdout.decode()

    def listed(self, who):
        with self.site.login(who) as pop:
            found = [u.decode("latin-1") for u in pop.uidl()], [int(row.split()[1]) for row in pop.multi("LIST")]
            pop.ok("QUIT")
        return found

    def moved(self, old, folder, *args):
        """The same UIDLs and sizes in the same order at both servers."""
        who = self.mailbox()
        out = self.run_import(who, folder, *args)
        self.assertEqual(self.listed(who), old, out)
        return who

    def fetched_by_fetchmail(self, port, user, password):
        """Subjects that it had not seen: it keeps mail on the server, and UIDLs in its file."""
        rc, mda = self.dir / "fetchmailrc", self.dir / "mda"
        mda.write_text(f'#!/bin/sh\nexec cat >"$(mktemp {self.dir}/got.XXXXXX)"\n')
        mda.chmod(0o755)
        rc.write_text(f"poll 127.0.0.1 service {port} protocol pop3 uidl auth password username '{user}' password '{password}' sslproto '' keep mda '{mda}'\n")
        rc.chmod(0o600)
        for path in self.dir.glob("got.*"):
            path.unlink()
        done = subprocess.run(["fetchmail", "--fetchmailrc", rc, "--pidfile", self.dir / "pid", "--idfile", self.dir / "ids", "--nosyslog"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, HOME=str(self.dir), LC_ALL="C"), timeout=60, check=False)
        self.assertIn(done.returncode, (0, 1), done.stdout)
        return sorted(int(line.split()[1]) for path in self.dir.glob("got.*") for line in path.read_text().splitlines() if line.startswith("Subject: "))

    def fetched_by_mpop(self, port, user, password):
        conf, mbox = self.dir / "mpoprc", self.dir / "mbox"
        conf.write_text(f"account a\nhost 127.0.0.1\nport {port}\nuser {user}\npassword {password}\nauth user\ntls off\nkeep on\nonly_new on\n"
                        f"uidls_file {self.dir}/mpop-uidls\ndelivery mbox {mbox}\naccount default : a\n")
        conf.chmod(0o600)
        mbox.unlink(missing_ok=True)
        done = subprocess.run(["mpop", "-C", conf, "-Q"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict(os.environ, HOME=str(self.dir), LC_ALL="C"), timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return sorted(int(line.split()[1]) for line in mbox.read_text().splitlines() if line.startswith("Subject: ")) if mbox.exists() else []

    def clients_move(self, old, folder, new_name, *args):
        """fetchmail and mpop poll the old server; mail comes after that; from Postern they fetch this mail alone."""
        clients, who = (self.fetched_by_fetchmail, self.fetched_by_mpop), self.mailbox()     # they keep UIDLs by name and host
        for client in clients:
            self.assertEqual(client(old.port, who, kit.PASSWORD), list(range(7)))
        self.add(folder, new_name, letters(70, 1)[0])
        self.run_import(who, folder, *args)
        port = self.site.address.rpartition(":")[2]
        for client in clients:
            self.assertEqual(client(port, who, kit.PASSWORD), [70])
            self.assertEqual(client(port, who, kit.PASSWORD), [])


class Dovecot(Moving):
    OLD = ("%v.%u", "%f", "%g", "%08Xv%08Xu", "%Mf", "%UXu-%05v", "%Lf")                 # up to 2.3
    NEW = ("%{uidvalidity}.%{uid}", "%{filename}", "%{guid}", "%{uidvalidity | hex(8)}%{uid | hex(8)}", "%{filename | md5}", "%{uid|hex(4) | upper}",
           "%{filename | lower}")

    def dovecot(self, folder, name="dovecot", **settings):
        old = oldservers.Dovecot(self.dir / name, folder, **settings)
        self.addCleanup(old.down)
        return old

    def test_formats(self):
        """The default, and those that an operator is likely to have, said by an option and read from the configuration."""
        for n in range(-1, len(self.OLD)):
            folder = self.maildir(f"md{n}")
            uidl_format = None if n < 0 else self.OLD[n]
            old = self.dovecot(folder, f"dovecot{n}", pop3_uidl_format=uidl_format)
            if old.is_24 and n >= 0:
                uidl_format = self.NEW[n]
                old = self.dovecot(folder, f"dovecot{n}-2", pop3_uidl_format=uidl_format)
            with self.subTest(uidl_format=uidl_format):
                shown = old.session()
                self.assertEqual(len(set(shown[0])), 7)
                self.moved(shown, folder, *(["--uidl-format", uidl_format] if uidl_format else []))
                self.moved(shown, folder, "--doveconf", old.printed(self.dir / "printed"))

    def test_kept_and_removed(self):
        """pop3_save_uidl, and pop3_deleted_flag: what POP3 clients removed is there for IMAP, and does not come back."""
        folder = self.maildir()
        settings = {"pop3_save_uidl": "yes", "pop3_deleted_flag": "POP3Deleted"}
        first = self.dovecot(folder, **settings)
        kept = first.session()
        old = self.dovecot(folder, "second", pop3_uidl_format="%{guid}" if first.is_24 else "%g", **settings)
        self.assertEqual(old.session(delete=(2, 5)), kept)
        printed = old.printed(self.dir / "printed")
        who = self.moved(old.session(), folder, "--doveconf", printed)
        self.assertEqual(len(self.listed(who)[0]), 5)
        self.assertIn("imported 2 messages", self.run_import(who, folder, "--doveconf", printed, "--resume", "--with", "hidden"))
        self.assertIn("left out: 2 not shown by their server (--with hidden)", self.run_import(self.mailbox(), folder, "--doveconf", printed))
        # The list is there without the configuration, and hides nothing; a UIDL that it keeps is of no format.
        self.run_import(who := self.mailbox(), folder, "--uidl-format", "%f")
        self.assertEqual(self.listed(who), kept)

    def test_of_messages(self):
        """pop3_reuse_xuidl: the field of a server before, where the list keeps no UIDL."""
        folder = self.maildir()
        for n, path in enumerate(path for path in sorted(folder.glob("[cn][ue][rw]/*")) if "S=" not in path.name):
            path.write_bytes((b"X-UIDL: of-%d\n" % n if n < 3 else b"") + path.read_bytes() + b"X-UIDL: text\n")
        oldservers.owned(folder)
        old = self.dovecot(folder, pop3_reuse_xuidl="yes")
        shown = old.session()
        self.assertEqual(sum(uidl.startswith("of-") for uidl in shown[0]), 3)
        self.moved(shown, folder, "--doveconf", old.printed(self.dir / "printed"))

    def test_lists_elsewhere(self):
        """CONTROL= in mail_location, or mail_control_path; the configuration says that there is something to say."""
        folder, control = self.maildir(), self.dir / "control"
        control.mkdir()
        oldservers.owned(control)
        old = self.dovecot(folder, control=control)
        shown, printed = old.session(), old.printed(self.dir / "printed")
        self.assertFalse((folder / "dovecot-uidlist").exists())
        self.assertIn("see --control", self.run_import(self.mailbox(), folder, "--doveconf", printed, exit=REFUSED))
        self.moved(shown, folder, "--control", control)
        self.moved(shown, folder, "--doveconf", printed, "--control", control)
        self.assertIn("has gone", self.run_import(self.mailbox(), folder, "--control", self.dir / "none", exit=REFUSED))
        self.run_import(self.mailbox(), folder, folder, "--control", control, exit=USAGE)

    def test_md5_of_headers(self):
        """%m shows nothing at all of a Maildir: it is refused, and why is said."""
        folder = self.maildir()
        old = self.dovecot(folder, pop3_uidl_format="%m")
        if old.is_24:
            old = self.dovecot(folder, "second", pop3_uidl_format="%{md5}")
        with self.assertRaises((poplib.error_proto, OSError, IndexError)):
            old.session()
        done = self.site.ctl("import", self.mailbox(), str(folder), "--uidl-format", "%m", check=False)
        self.assertIn(done.returncode, (REFUSED, USAGE))        # at once, or when it is seen that it is a Maildir
        self.assertIn("with a Maildir it shows no UIDLs then", done.stdout.decode())
        printed = old.printed(self.dir / "printed")
        self.assertIn(f"{printed} has a pop3_uidl_format that has %m", self.run_import(self.mailbox(), folder, "--doveconf", printed, exit=REFUSED))

    def test_clients(self):
        folder = self.maildir()
        self.clients_move(self.dovecot(folder), folder, "new/1600000000.late.host")


class Courier(Moving):
    def test_listing(self):
        """Also of what IMAP has marked as deleted or as a draft, which POP3 shows; and after names have changed."""
        folder = self.maildir()
        old = oldservers.Courier(folder)
        self.addCleanup(old.down)
        self.moved(old.session(), folder)
        for path, flag in zip(sorted(folder.glob("cur/*")), ("T", "D", "S")):
            path.rename(f"{path}{flag}")
        shown = old.session()
        self.assertEqual(len(shown[0]), 7)
        self.moved(shown, folder, "--with", "deleted,drafts")
        self.assertIn("left out: 1 marked as deleted (--with deleted); left out: 1 drafts (--with drafts)", self.run_import(self.mailbox(), folder))

    def test_clients(self):
        folder = self.maildir()
        old = oldservers.Courier(folder)
        self.addCleanup(old.down)
        self.clients_move(old, folder, "new/1650000001.late.host")


class Lists(Moving):
    """Directories that nobody serves any more, and lists that are wrong."""

    def subjects(self, who):
        return [int(line.split()[1]) for octets in self.site.fetched(who) for line in octets.decode().splitlines() if line.startswith("Subject: ")]

    def test_of_two_servers(self):
        """Courier's Maildir became Dovecot's: which of them clients know, the operator says."""
        folder = self.maildir()
        names = [path.name.partition(":")[0] for path in sorted(folder.glob("[cn][ue][rw]/*"))]
        (folder / "courierpop3dsizelist").write_text("/3 8 5\n" + "".join(f"{name}:2,S 11 {n}:5:0\n" for n, name in enumerate(names, 1)))
        (folder / "dovecot-uidlist").write_text("3 V6 N8\n" + "".join(f"{n} :{name}\n" for n, name in enumerate(names, 1)))
        oldservers.owned(folder)
        who = self.mailbox()
        out = self.run_import(who, folder, exit=REFUSED)
        self.assertIn(f"{folder} has dovecot-uidlist and courierpop3dsizelist: say by --server", out)
        self.assertIn("nothing was stored", out)
        self.assertEqual(self.site.fetched(who), [])
        self.run_import(who, folder, "--server", "courier")
        self.assertEqual(sorted(self.listed(who)[0]), [f"UID{n}-5" for n in range(1, 8)])
        self.run_import(who, folder, "--set-uidls", "--server", "dovecot", "--uidl-format", "%v.%u")
        self.assertEqual(sorted(self.listed(who)[0]), [f"6.{n}" for n in range(1, 8)])
        for args, why in ((("--server", "cyrus"), "is a Maildir: it was of another server"), (("--server", "courier", "--uidl-format", "%f"), "--uidl-format is not possible"),
                          (("--server", "postfix"), "--server is not dovecot,"), (("--server", "none", "--uidl-format", "%f"), "--uidl-format is not possible"),
                          (("--server", "qmail", "--uidl-format", "%f.%u"), "--uidl-format has more than names"), (("--server", "courier", "--doveconf", "x"), "--doveconf is for --server dovecot"),
                          (("--doveconf", self.dir / "none"), "No such file"), (("--doveconf", folder / "dovecot-uidlist"), "is not what doveconf prints"),
                          (("--server", "dovecot", "--uidl-format", "cyrus"), "is the same for all messages")):
            done = self.site.ctl("import", who, str(folder), *map(str, args), check=False)
            self.assertIn(done.returncode, (REFUSED, USAGE))
            self.assertIn(why, done.stdout.decode())
        self.assertEqual(len(self.listed(who)[0]), 7)

    def test_a_house_of_several_servers(self):
        """`move`: each line has its server, format and directory of lists; what was said of Dovecot is not for the others."""
        who = [self.mailbox() for _ in range(4)]
        folders = [self.maildir(f"md{n}") for n in range(4)]
        names = [path.name.partition(":")[0] for path in sorted(folders[0].glob("[cn][ue][rw]/*"))]
        courier = "/3 8 5\n" + "".join(f"{name}:2,S 11 {n}:5:0\n" for n, name in enumerate(names, 1))
        dovecot = "3 V6 N8\n" + "".join(f"{n} :{name}\n" for n, name in enumerate(names, 1))
        (self.dir / "control").mkdir()
        for path, text in ((folders[0] / "courierpop3dsizelist", courier), (folders[0] / "dovecot-uidlist", dovecot), (folders[1] / "dovecot-uidlist", dovecot),
                           (self.dir / "control/dovecot-uidlist", dovecot)):
            path.write_text(text)
        for folder in *folders, self.dir / "control":
            oldservers.owned(folder)
        (self.dir / "doveconf").write_text("pop3_uidl_format = %v.%u\n")
        rows = [f"{who[0]},{folders[0]},courier,,", f"{who[1]},{folders[1]},,,", f"{who[2]},{folders[2]},dovecot,%u-%v,{self.dir}/control", f"{who[3]},{folders[3]},qmail,,",
                f"{self.mailbox()},{folders[3]},postfix,,", f"{self.mailbox()},{folders[3]},,%z,", f"{self.mailbox()},,,,{self.dir}/control"]
        (self.dir / "table").write_text("address,source,server,uidl_format,control\n" + "\n".join(rows) + "\n")
        done = self.site.ctl("move", str(self.dir / "table"), "--doveconf", str(self.dir / "doveconf"), check=False).stdout.decode()
        for n, row in enumerate(rows[4:], 6):
            self.assertIn(f"REFUSED line {n} {row.partition(',')[0]}: ", done)
        wanted = [f"UID{n}-5" for n in range(1, 8)], [f"6.{n}" for n in range(1, 8)], [f"{n}-6" for n in range(1, 8)], sorted(names)
        for address, uidls in zip(who, wanted):
            self.assertEqual(sorted(self.listed(address)[0]), uidls, done)
        (self.dir / "table").write_text("address,source,server,uidl_format,control\n" + "\n".join(rows[:4]) + "\n")
        done = self.site.ctl("compare", "--from", str(self.dir / "table"), "--doveconf", str(self.dir / "doveconf"), check=False)
        self.assertEqual(done.returncode, DONE, done.stdout)
        self.assertIn("compared 4 mailboxes: 4 alike, 0 not alike", done.stdout.decode())

    def test_names(self):
        """qmail-pop3d has no list: names are UIDLs, and the order is that of the files' times."""
        folder = self.maildir()
        who = self.mailbox()
        self.run_import(who, folder, "--server", "qmail")
        names = {path: path.name.partition(":")[0] for path in folder.glob("[cn][ue][rw]/*")}
        self.assertEqual(self.listed(who)[0], [names[path] for path in sorted(names, key=lambda path: path.stat().st_mtime)])
        who = self.mailbox()
        self.run_import(who, folder, "--uidl-format", "%f")
        self.assertEqual(sorted(self.listed(who)[0]), sorted(names.values()))
        self.assertEqual(self.subjects(who)[0], 3)      # 999999999
        # Of a format with uids there is nothing to be had, and this is said.
        self.assertIn("has no list of a server", self.run_import(self.mailbox(), folder, "--uidl-format", "%v.%u", exit=PARTLY))
        self.assertIn("has no dovecot-uidlist", self.run_import(self.mailbox(), folder, "--server", "dovecot", exit=PARTLY))
        self.assertIn("has no courierpop3dsizelist", self.run_import(self.mailbox(), folder, "--server", "courier", exit=PARTLY))

    def test_folders(self):
        """Named and left out, or imported behind the inbox, without UIDLs that POP3 never showed; no link is followed."""
        folder = self.maildir()
        for n, name in enumerate((".Sent", ".Trash", "Archive/2020"), 20):
            for part in "cur", "new", "tmp":
                (folder / name / part).mkdir(parents=True)
            (folder / name / f"cur/{n}.x:2,S").write_bytes(letters(n, 1)[0])
            (folder / name / "dovecot-uidlist").write_text(f"3 V6 N8\n1 :{n}.x\n")
        names = [path.name.partition(":")[0] for path in sorted(folder.glob("[cn][ue][rw]/*"))]
        (folder / "dovecot-uidlist").write_text("3 V6 N8\n" + "".join(f"{n} :{name}\n" for n, name in enumerate(names, 1)))
        oldservers.owned(folder)
        (self.dir / "secret/cur").mkdir(parents=True)
        (self.dir / "secret/new").mkdir()
        (self.dir / "secret/cur/1.x").write_bytes(letters(99, 1)[0])
        (folder / ".Link").symlink_to(self.dir / "secret")
        (folder / ".Half").mkdir()
        (folder / ".Half/cur").symlink_to(self.dir / "secret/cur")
        out = self.run_import(self.mailbox(), folder)
        for name in ".Sent", ".Trash", "Archive/2020":
            self.assertIn(f"FOLDER {folder}/{name} is not imported: see --folders", out)
        self.assertEqual(out.count("FOLDER"), 3)
        who = self.mailbox()
        self.assertNotIn("FOLDER", self.run_import(who, folder, "--folders", "--uidl-format", "%v.%u"))
        self.assertEqual(self.subjects(who)[7:], [20, 21, 22])
        uidls = self.listed(who)[0]
        self.assertEqual((len(set(uidls)), uidls[:7]), (10, [f"6.{n}" for n in range(1, 8)]))
        self.assertEqual(sorted(self.subjects(who)), [*range(7), 20, 21, 22])
        self.assertEqual(json.loads(self.run_import("--json", self.mailbox(), folder, "--folders"))["folders"], [])

    def test_of_others(self):
        """Lists, as messages, are those of the owner of the directory."""
        folder = self.maildir()
        (self.dir / "list").write_text("/3 8 5\n")
        for make, why in ((lambda path: path.symlink_to(self.dir / "list"), "is a symbolic link"), (os.mkfifo, "is not a regular file"),
                          (lambda path: path.write_text("/3 8 5\n"), "does not belong to the owner"), (lambda path: path.mkdir(), "is a directory"),
                          (lambda path: (path.write_text("/3 8 5\n"), os.chown(path, oldservers.OWNER.pw_uid, -1), path.chmod(0)), "permission denied")):
            path = folder / "courierpop3dsizelist"
            make(path)
            out = self.run_import(self.mailbox(), folder, exit=REFUSED)
            self.assertIn(f"{path} {why}", out)
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def test_wrong_lists_of_courier(self):
        folder = self.maildir()
        path = folder / "courierpop3dsizelist"
        lines = ["/3 20 5", "1700000000.M99P1.host:2,S 11 1:5:0", "1700000000.M7P1.host 11 2:5:0", "1700000000.M7P1.host 11 3:5:0", "gone.host 11 4:5:0", "x", "a/b 11 6:5:0",
                 "999999999.1.host:2, 11 18446744073709551616:5:0", "1600000000.a'b.host 11 0:5:0", "1650000000.M5P1.hOst+x:2, 11 9:5:0"]
        path.write_text("\n".join(lines))
        oldservers.owned(folder)
        who = self.mailbox()
        out = self.run_import(who, folder, exit=PARTLY)
        self.assertEqual([line for line in out.splitlines() if line.startswith("DOUBT")],
                         [f"DOUBT {path}:{n} {why}" for n, why in ((4, "names a file that a line before names"), (6, "does not end with the numbers of its version"),
                                                                   (7, "has a name that no file of a Maildir has"), (8, "does not end with the numbers of its version"),
                                                                   (10, "is not complete"))])
        uidls = self.listed(who)[0]
        self.assertEqual([uidls[1], uidls[4], uidls[5]], ["1600000000.a+27b.host", "UID2-5", "UID1-5"])
        for octets, why in ((b"", "is empty"), (b"/9 1 2\n", "is of a version"), (b"/3 x\n", "has no number")):
            path.write_bytes(octets)
            self.assertIn(f"{path} {why}", self.run_import(who, folder, exit=REFUSED))
        self.assertEqual(len(self.listed(who)[0]), 7)


class Cyrus(Moving):
    def cyrus(self, conf=""):
        old = oldservers.Cyrus(self.dir / "cyrus", conf)
        self.addCleanup(old.down)
        return old

    def test_what_it_has(self):
        """Order by uid; removed messages whose files are there; folders, times, and an index that does not fit."""
        old = self.cyrus()
        old.deliver(letters(0, 12))
        old.session(delete=(2, 11))
        shown, folder = old.session(), old.mailbox()
        for path in folder.glob("[0-9]*."):
            os.utime(path, (1600000000, 1600000000))        # the index says when it came
        self.assertEqual(len(list(folder.glob("[0-9]*."))), 12)
        who = self.mailbox()
        self.assertIn("left out: 2 not shown by their server (--with hidden)", self.run_import(who, folder))
        self.assertEqual(self.listed(who), shown)
        self.assertTrue(all(m["received_at"] > "2021" for m in json.loads(self.site.ctl("--json", "message", "list", who).stdout)))
        out = self.run_import(who, folder, "--resume", "--with", "hidden")
        self.assertIn("imported 2 messages", out)
        # Flags of IMAP, and a time after which POP3 shows messages: uids 1, 3 and 4, of records 0, 2 and 3.
        path, whole = folder / "cyrus.index", (folder / "cyrus.index").read_bytes()
        start, record = (int.from_bytes(whole[at:at + 4], "big") for at in (12, 16))
        flagged = bytearray(whole)
        for n, bit in ((0, 1 << 2), (2, 1 << 3)):
            flagged[start + n * record + 35] |= bit
        path.write_bytes(flagged)
        out = self.run_import(self.mailbox(), folder)
        self.assertIn("left out: 1 marked as deleted (--with deleted); left out: 1 drafts (--with drafts); left out: 2 not shown by their server", out)
        self.moved(shown, folder, "--with", "deleted,drafts")
        flagged = bytearray(whole)
        flagged[start + 3 * record + 4:start + 3 * record + 8] = (1600000000).to_bytes(4, "big")
        flagged[112:116] = (1600000000).to_bytes(4, "big")
        path.write_bytes(flagged)
        self.assertIn("left out: 3 not shown by their server", self.run_import(self.mailbox(), folder))
        path.write_bytes(whole)
        # A file that it never had, one that is newer than the index, one that has gone, and a folder.
        for name, octets in (("cyrus.squat", b"x"), ("99.", letters(99, 1)[0]), ("2x.", b"A: x\n\n"), ("Sent/1.", letters(50, 1)[0])):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(octets)
        (folder / "5.").unlink()
        shutil.copy(folder / "cyrus.index", folder / "Sent/cyrus.index")
        oldservers.owned(folder)
        out = self.run_import(self.mailbox(), folder, exit=PARTLY)
        for line in (f"FOLDER {folder}/Sent is not imported", f"REJECTED {folder}/2x. is not named like a message of Cyrus",
                     f"DOUBT {folder}/cyrus.index:5 shows a message that has no file", f"DOUBT {folder}/cyrus.index:0 is older than its directory"):
            self.assertIn(line, out)
        self.assertIn("imported 10 messages", out)
        # Its folder has the same index, by which most of its files have gone.
        out = self.run_import(self.mailbox(), folder, "--folders", exit=PARTLY)
        self.assertIn("imported 11 messages", out)
        self.assertNotIn("FOLDER", out)
        shutil.rmtree(folder / "Sent")
        index = (folder / "cyrus.index").read_bytes()
        for octets, why in ((b"", "is empty"), (index[:-1], "is shorter than its header says"), (index[:8] + b"\0\0\0\x63" + index[12:], "is of a version that is not known")):
            (folder / "cyrus.index").write_bytes(octets)
            self.assertIn(f"{folder}/cyrus.index {why}", self.run_import(self.mailbox(), folder, exit=REFUSED))
        (folder / "cyrus.index").unlink()
        self.assertIn("has no cyrus.index: see --control", self.run_import(self.mailbox(), folder, exit=REFUSED))

    def test_second_pass(self):
        """What clients removed at Cyrus goes here, too, though its file is there for days; what came since comes."""
        old = self.cyrus()
        old.deliver(letters(0, 12))
        who, table = self.mailbox(), self.dir / "table"
        table.write_text(f"address,source\n{who},{old.mailbox()}\n")
        self.site.ctl("move", str(table), "--sync")
        self.assertEqual(self.listed(who), old.session())
        old.session(delete=(1, 4, 12))
        old.deliver(letters(20, 2))
        out = self.site.ctl("move", str(table), "--sync").stdout.decode()
        self.assertEqual(self.listed(who), old.session(), out)
        self.site.ctl("compare", who, str(old.mailbox()))

    def test_formats(self):
        for uidl_format in "cyrus", "uidonly", "dovecot", "courier":
            with self.subTest(uidl_format=uidl_format):
                old = oldservers.Cyrus(self.dir / uidl_format, f"uidl_format: {uidl_format}\n")
                self.addCleanup(old.down)
                old.deliver(letters(0, 12))
                old.session(delete=(2, 11))
                self.moved(old.session(), old.mailbox(), "--uidl-format", uidl_format)


if __name__ == "__main__":
    unittest.main()
