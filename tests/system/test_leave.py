"""Moving out: what `export` writes is read by other servers, whose clients fetch nothing twice; and `compare` finds each difference."""
import base64
import hashlib
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
import unittest

import kit
sys.path.insert(0, str(kit.TESTS / "service"))
import installsteps                                             # noqa: E402
from oldpop3 import OldServer                                  # noqa: E402
import olddovecot                                               # noqa: E402
import oldmbox                                                  # noqa: E402

DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 3
FROM_ = b"From a@b Sun Nov 22 21:45:20 2026\n"
# A client knows these as the old server sent them: 92 octets, 480, and what may mean something in a list.
ODD = [b"1795390000.M1P2V0000000000000801I0000000000000001_0.mail.example.org,S=1234567890,W=1234567890", b"%" * 480, "\u00e4-\u20ac".encode(),
       b":P", b"P:x", b"2,S", b"!~", b"W100", b"\"q\\'"]
LETTERS = [b"Subject: one\r\n\r\nplain\r\n", b"Subject: two\r\n\r\nFrom here\r\n>From there\r\n.dot\r\n..\r\n\r\n\r\n", b"Subject: 3\r\n\r\nnul \0 and \xff\r\n",
           b"Subject: header only\r\n\r\n", b"Subject: one\r\n\r\nplain\r\n", b"Subject: long line\r\n\r\n" + b"x" * 300000 + b"\r\n",
           b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 80000, b"Subject: 8\r\n\r\n", b"Subject: 9\r\n\r\nx\r\n"]
assert len(ODD) == len(LETTERS)


SITE = kit.Site("leave-")          # one for all: each test has mailboxes, or a domain, of its own


def setUpModule():
    unittest.addModuleCleanup(SITE.down)
    SITE.up()
    SITE.lab.certificate("good", ["DNS:localhost"])


class Dovecot(olddovecot.Dovecot):
    """Reads a copy of a Maildir: what its own clients see."""
    NAME = "anna@new.example"

    def __init__(self, maildir=None, more=""):
        self.top = tempfile.TemporaryDirectory()
        pathlib.Path(self.top.name).chmod(0o755)
        super().__init__(pathlib.Path(self.top.name, "dovecot"), SITE.lab.tls / "good.pem", self.NAME, kit.PASSWORD, "maildir",
                         f"disable_plaintext_auth = no\nauth_username_format = %u\n{more}\n")
        self.maildir = self.dir / "mail/anna"
        if maildir is not None:
            shutil.copytree(maildir, self.maildir)
            self.own("mail")

    def own(self, user):
        subprocess.run(["chown", "-R", f"{user}:", self.maildir], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()
        log = self.log()
        self.top.cleanup()
        if "Error: " in log:
            raise AssertionError(log)

    def shown(self, name=NAME, password=kit.PASSWORD):
        with kit.Pop(f"127.0.0.1:{self.port}") as pop:
            pop.login(name, password)
            return shown(pop)


def shown(pop):
    """UIDLs, sizes and messages; the session ends."""
    uidls, sizes = pop.uidl(), [line.split()[1] for line in pop.multi("LIST")]
    letters = [pop.retr(n) for n in range(1, len(sizes) + 1)]
    pop.ok("QUIT")
    return uidls, sizes, letters


class LeaveCase(unittest.TestCase):
    site, count = SITE, 0

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)

    def write(self, name, octets, mtime=1795390000):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
        os.utime(path, (mtime, mtime))
        return str(path)

    def ctl(self, *args, exit=DONE):
        done = self.site.ctl(*(str(a) for a in args), check=False)
        self.assertEqual(done.returncode, exit, done.stdout.decode(errors="replace"))
        return done.stdout.decode(errors="replace")

    def mailbox(self, letters=(), uidls=None, domain="example.org"):
        """Each letter a second older than the one before; with these UIDLs, then one that Postern made."""
        LeaveCase.count += 1
        who = f"leave{self.count}@{domain}"
        self.site.account(who)
        if letters:
            for n, letter in enumerate(letters):
                self.write(f"in{self.count}/{n:03}.eml", letter, mtime=1795390000 - n)
            listed = self.write(f"in{self.count}.uidls", b"".join(b"%03d.eml\t%s\n" % (n, u) for n, u in enumerate(uidls))) if uidls else None
            self.ctl("import", who, self.dir / f"in{self.count}", *(["--uidls", listed] if listed else []))
        return who

    def rows(self, who):
        return [{k: m[k] for k in ("uidl", "octets", "received_at")} for m in json.loads(self.ctl("--json", "message", "list", who))]

    def shown(self, who):
        """As a client of Postern sees them."""
        with self.site.login(who) as pop:
            return shown(pop)

    def expect_dovecot(self, who, maildir, *more):
        with Dovecot(maildir, *more) as dovecot:
            self.assertEqual(dovecot.shown(), self.shown(who))


@unittest.skipUnless(kit.ROOT, "only root can run Dovecot")
class ToDovecot(LeaveCase):
    def test_shows_what_postern_shows(self):
        who = self.mailbox(LETTERS, ODD)
        self.site.deliver(who, [b"Subject: new\r\n\r\n"])
        self.ctl("export", who, self.dir / "md", "--format", "maildir")
        self.expect_dovecot(who, self.dir / "md")
        self.expect_dovecot(who, self.dir / "md", "pop3_uidl_format = %v.%u")
        # Whatever comes later has another UIDL than all of these.
        self.write("md/new/1800000000.M1P1.host", b"Subject: later\n\n")
        with Dovecot(self.dir / "md") as dovecot:
            uidls, _, _ = dovecot.shown()
            self.assertEqual(uidls[:-1], self.shown(who)[0])
            self.assertNotIn(uidls[-1], uidls[:-1])

    def test_brought_up_to_date(self):
        """A second pass reads and writes what changed, and mends what a crash left; not what others have used."""
        who, out = self.mailbox(LETTERS, ODD), self.dir / "md"
        self.ctl("export", who, out, "--format", "maildir")
        self.assertIn("not an empty directory", self.ctl("export", who, out, "--format", "maildir", exit=FAILED))
        self.assertIn("exported 0 messages, 0 octets", self.ctl("export", who, out, "--format", "maildir", "--sync"))
        self.site.deliver(who, [b"Subject: new\r\n\r\n", kit.letter(2)])
        with self.site.login(who) as pop:
            pop.ok("DELE 2")
            pop.ok("DELE 4")
            pop.ok("QUIT")
        files = {p.name: p.stat().st_ctime_ns for p in (out / "new").iterdir()}
        names = sorted(files)
        os.truncate(out / "new" / names[0], 3)
        (out / "tmp/message.postern").touch()
        (out / "tmp/uidlist.postern").touch()
        (out / "dovecot-uidlist").unlink()
        told = self.ctl("export", who, out, "--format", "maildir", "--sync")
        self.assertIn("exported 3 messages", told)
        self.assertIn("; 6 were there, 2 have gone and were removed", told)
        kept = {p.name: p.stat().st_ctime_ns for p in (out / "new").iterdir()}
        self.assertEqual(len(kept), 9)
        self.assertEqual(sum(files.get(name) == since for name, since in kept.items()), 6)
        self.assertEqual(list((out / "tmp").iterdir()), [])
        # A mail program has looked at one.
        some = min((out / "new").iterdir())
        some.rename(out / "cur" / f"{some.name}:2,S")
        self.assertIn("exported 0 messages, 0 octets", told := self.ctl("export", who, out, "--format", "maildir", "--sync"))
        self.assertIn("; 9 were there, 0 have gone", told)
        self.expect_dovecot(who, out)
        # What Dovecot has used says more than ours.
        with Dovecot(out) as dovecot:
            dovecot.shown()
            dovecot.own("root")
            there, again = dovecot.maildir, ("export", who, dovecot.maildir, "--format", "maildir", "--sync")
            before = sorted(there.rglob("*"))
            self.assertIn("which no export of this mailbox has written", self.ctl(*again, exit=FAILED))
            for path in there.iterdir():
                if path.name.startswith("dovecot") and path.name != "dovecot-uidlist" or path.name in ("maildirfolder", "subscriptions"):
                    path.unlink()
                    before.remove(path)
            self.assertIn("Dovecot has used it", self.ctl(*again, exit=FAILED))
            self.assertEqual(sorted(there.rglob("*")), before)

    def test_refuses_to_add_to_what_others_have(self):
        who, other = self.mailbox(LETTERS[:2]), self.mailbox(LETTERS[:2])
        self.ctl("export", who, self.dir / "md", "--format", "maildir")

        def refused(path, why, *args):
            before = sorted((self.dir / "md").rglob("*"))
            self.assertIn(why, self.ctl("export", *(args or (who,)), path, "--format", "maildir", "--sync", exit=FAILED))
            self.assertEqual(sorted((self.dir / "md").rglob("*")), before)

        refused(self.dir / "md", "which no export of this mailbox has written", other)
        for name in ("new/1800000000.M1P1.host", "subscriptions", "tmp/1", "cur/1795390000.Q000000000001V000000000000.postern,S=1,W=1:2,S"):
            self.write(f"md/{name}", b"x")
            refused(self.dir / "md", "which no export of this mailbox has written")
            (self.dir / "md" / name).unlink()
        (self.dir / "link").symlink_to(self.dir / "md")
        refused(self.dir / "link", "is not a directory")
        shutil.move(self.dir / "md/new", self.dir / "new")
        (self.dir / "md/new").symlink_to(self.dir / "new")
        refused(self.dir / "md", "could not open the directories")
        (self.dir / "md/new").unlink()
        shutil.move(self.dir / "new", self.dir / "md/new")
        os.chown(self.dir / "md", pwd.getpwnam("nobody").pw_uid, -1)
        refused(self.dir / "md", "it belongs to another user")
        os.chown(self.dir / "md", os.geteuid(), -1)
        self.assertIn("were there", self.ctl("export", who, self.dir / "md", "--format", "maildir", "--sync"))
        for bad in (("--format", "mbox", "--sync"), ("--format", "eml", "--x-uidl"), ("--format", "eml", "--all"), ("--domain", "example.org")):
            self.ctl("export", who, self.dir / "bad", *bad, exit=USAGE)
        self.assertFalse((self.dir / "bad").exists())

    def test_and_back(self):
        """What the new server has got meanwhile is brought by an import; the rest is there."""
        who = self.mailbox(LETTERS[:3], ODD[:3])
        self.site.deliver(who, [kit.letter(1), kit.letter(2)])
        self.ctl("export", who, self.dir / "md", "--format", "maildir")
        with Dovecot(self.dir / "md") as dovecot:
            (dovecot.maildir / "new/1800000000.M1P1.host").write_bytes(b"Subject: later\n\n")
            dovecot.own("mail")
            later = dovecot.shown()[0][-1].decode()
            before = self.rows(who)
            self.assertIn("imported 1 messages", self.ctl("import", who, dovecot.maildir, "--resume"))
            self.assertEqual(self.rows(who)[:-1], before)
            self.assertEqual(self.rows(who)[-1]["uidl"], later)
            self.assertIn("ALIKE", self.ctl("compare", who, dovecot.maildir))

    def test_whole_house_logs_in(self):
        """As INSTALL has it: directories, passwords and its configuration; users log in with what they know and find their mail."""
        domain = "house.example"
        self.site.ctl("tenant", "add", domain)
        self.site.ctl("domain", "add", domain, "--tenant", domain)
        for n, local in enumerate(("anna", "bert")):
            self.site.account(f"{local}@{domain}", LETTERS[:n + 1], f"secret of {local}")
        top = self.dir / "leave"
        self.ctl("export", "--domain", domain, top)
        self.ctl("--as", "user=postgres", "secrets", "export", self.dir / "passwd", "--domain", domain)
        conf, = (b.text for b in installsteps.read() if b.first.startswith("mail_location"))
        for what, here in (("/srv/leave", str(top)), ("/etc/dovecot/leave.passwd", str(self.dir / "passwd")), ("uid=vmail gid=vmail", "uid=mail gid=mail")):
            self.assertIn(what, conf)
            conf = conf.replace(what, here)
        subprocess.run(["chown", "-R", "mail:mail", top], check=True)
        shutil.chown(self.dir / "passwd", "nobody")
        self.dir.chmod(0o755)
        with Dovecot(more=conf) as dovecot:
            for local in ("anna", "bert"):
                with self.site.login(f"{local}@{domain}", f"secret of {local}") as pop:
                    self.assertEqual(dovecot.shown(f"{local}@{domain}", f"secret of {local}"), shown(pop))

    def test_clients_fetch_only_what_is_new(self):
        who = self.mailbox(LETTERS[:5], [ODD[0], *ODD[3:7]])
        self.site.deliver(who, [kit.letter(1)])
        for name in ("cur", "new", "tmp"):
            (self.dir / "got" / name).mkdir(parents=True)

        def fetchmail(port):
            rc = self.dir / "fetchmailrc"
            rc.write_text(f'poll 127.0.0.1 service {port} protocol pop3 uidl timeout 60 user "{who}" password "{kit.PASSWORD}" sslproto \'\' no rewrite keep\n'
                          f'  mda "cat >> {self.dir}/fetched"\n')
            rc.chmod(0o600)
            (self.dir / "fetched").write_bytes(b"")
            done = subprocess.run(["fetchmail", "--fetchmailrc", rc, "--pidfile", self.dir / "pid", "--idfile", self.dir / "ids", "--nosyslog", "--silent"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=dict(os.environ, HOME=str(self.dir)))
            self.assertIn(done.returncode, (0, 1), done.stdout)
            return (self.dir / "fetched").read_bytes().count(b"Subject: ")

        def mpop(port):
            rc = self.dir / "mpoprc"
            rc.write_text(f"account default\nhost 127.0.0.1\nport {port}\nuser {who}\npassword {kit.PASSWORD}\nauth user\ntls off\nkeep on\n"
                          f"received_header off\ndelivery maildir {self.dir}/got\nuidls_file {self.dir}/uidls\n")
            rc.chmod(0o600)
            before = len(list((self.dir / "got/new").iterdir()))
            subprocess.run(["mpop", "--file", rc, "--quiet"], check=True, env=dict(os.environ, HOME=str(self.dir)))
            return len(list((self.dir / "got/new").iterdir())) - before

        port = self.site.address.rpartition(":")[2]
        self.assertEqual((fetchmail(port), mpop(port)), (6, 6))
        self.ctl("export", who, self.dir / "md", "--format", "maildir")
        self.write("md/new/1800000000.M1P1.host", b"Subject: later\n\n")
        local, _, _ = who.partition("@")
        with Dovecot(self.dir / "md") as dovecot:
            (dovecot.dir / "users").write_text(f"{who}:{{PLAIN}}{kit.PASSWORD}\n")
            dovecot.maildir.rename(dovecot.maildir.with_name(local))
            self.assertEqual((fetchmail(dovecot.port), mpop(dovecot.port)), (1, 1))
            self.assertEqual((fetchmail(dovecot.port), mpop(dovecot.port)), (0, 0))

    def test_many(self):
        who = self.mailbox([b"Subject: many\r\n\r\n"])
        self.site.sql(f"""
            begin;
            insert into postern.message (mailbox, uid, content, octets, received_at, uidl)
                select g.mailbox, n, g.content, g.octets, g.received_at - n * interval '1 second', case when n % 2 = 0 then 'old-' || n end
                  from postern.message g join postern.mailbox m using (mailbox), generate_series(2, 20000) n where m.address = '{who}';
            update postern.content c set refs = 20000 from postern.message g join postern.mailbox m using (mailbox)
             where m.address = '{who}' and c.content = g.content and g.uid = 1;
            update postern.mailbox set next_uid = 20001 where address = '{who}';
            commit""")
        self.site.recount(who)
        self.ctl("export", who, self.dir / "md", "--format", "maildir")
        with self.site.login(who) as pop, Dovecot(self.dir / "md") as dovecot, kit.Pop(f"127.0.0.1:{dovecot.port}") as new:
            new.login(dovecot.NAME, kit.PASSWORD)
            for command in "UIDL", "LIST":
                self.assertEqual(new.multi(command), pop.multi(command))
            for each in pop, new:
                each.ok("QUIT")
        self.assertIn("ALIKE", self.ctl("compare", who, self.dir / "md"))
        self.assertIn("20000 were there", self.ctl("export", who, self.dir / "md", "--format", "maildir", "--sync"))


class RoundTrips(LeaveCase):
    def test_all_the_same(self):
        """Out and in again: UIDLs, order, octets, text, time of arrival, in each format."""
        who = self.mailbox(LETTERS, ODD)
        for form in "maildir", "mbox", "eml":
            with self.subTest(form=form):
                other, out = self.mailbox(), self.dir / form
                lists = () if form == "maildir" else ("--uidls", str(out) + ".uidls")
                self.assertNotIn("UIDLs are not in it", self.ctl("export", who, out, "--format", form, *lists))
                self.ctl("import", other, out, *lists)
                self.assertEqual(self.rows(other), self.rows(who))
                self.assertEqual(self.site.fetched(other), LETTERS)
                self.assertIn("ALIKE", self.ctl("compare", other, out, *lists))
        # What a format does not keep is said.
        self.assertIn("the UIDLs are not in it: see --uidls", self.ctl("export", who, self.dir / "plain"))
        self.ctl("export", who, self.dir / "x", "--x-uidl")
        self.assertEqual([line[8:] for line in (self.dir / "x").read_bytes().split(b"\n") if line.startswith(b"X-UIDL: ")], ODD)
        self.site.checked()

    @unittest.skipUnless(kit.ROOT and all(os.path.exists(p) for p in ("/usr/sbin/pop3d", "/usr/lib/dovecot/pop3")),
                         "needs root, mailutils-pop3d and dovecot-pop3d")
    def test_mbox_with_uidls(self):
        """What others show of an mbox with X-UIDL; and what comes back of it, the field included."""
        letters, uidls = LETTERS[:5], [ODD[0], *ODD[3:7]]
        who = self.mailbox(letters, uidls)
        self.ctl("export", who, self.dir / "box", "--x-uidl")
        shown = oldmbox.mailutils((self.dir / "box").read_bytes(), len(letters))
        self.assertEqual([u.encode() for u in shown[0]], uidls)
        back = self.mailbox()
        self.ctl("import", back, self.dir / "box", "--server", "qpopper", "--quoting", "rd")
        self.assertEqual([row["uidl"].encode() for row in self.rows(back)], uidls)
        # As qpopper showed them: with the field behind the others.
        self.assertEqual([octets.replace(b"X-UIDL: " + uidl + b"\r\n", b"", 1) for uidl, octets in zip(uidls, self.site.fetched(back))], letters)
        self.assertIn("only in header fields", self.ctl("compare", who, self.dir / "box", "--server", "qpopper", "--quoting", "rd", exit=PARTLY))

    def test_what_was_written_by_hand(self):
        """Rows that no function of the schema makes: no line is forged, and no path leads elsewhere."""
        who = self.mailbox(LETTERS[:2])
        self.site.sql(f"""update postern.message g set uidl = E'a\\n3 Px :x' from postern.mailbox m
                           where m.mailbox = g.mailbox and m.address = '{who}' and g.uid = 2""")
        for form in "maildir", "mbox", "eml":
            self.assertIn("the message with uid 2 has a UIDL that has a control character",
                          self.ctl("export", who, self.dir / form, "--format", form, "--uidls", self.dir / f"{form}.uidls", exit=FAILED))
            self.assertNotIn(b":x", (self.dir / f"{form}.uidls").read_bytes())
        self.assertFalse((self.dir / "maildir/dovecot-uidlist").exists())
        self.assertFalse((self.dir / "mbox").exists())
        self.site.ctl("mailbox", "remove", who, "--yes")
        self.site.sql(f"""begin; set local session_replication_role = replica;
                          insert into postern.mailbox (domain, address) select domain, 'x@..' from postern.domain where name = 'example.org'; commit""")
        try:
            self.assertIn("x@..: no directory can have the name", self.ctl("export", "--domain", "example.org", self.dir / "all", exit=PARTLY))
        finally:
            self.site.sql("begin; set local session_replication_role = replica; delete from postern.mailbox where address = 'x@..'; commit")
        self.assertLessEqual({p.name for p in (self.dir / "all").iterdir()}, {"example.org"})

    def test_a_whole_house(self):
        """A directory for each mailbox, one call; a second pass does the rest; who cannot be written does not stop the others."""
        self.site.ctl("tenant", "add", "house")
        for domain in "a.example", "b.example":
            self.site.ctl("domain", "add", domain, "--tenant", "house")
        names = ["anna@a.example", "bert@a.example", "anna@b.example", '"with blank"@b.example']
        for n, name in enumerate(names):
            self.site.account(name, LETTERS[:n])
        out = self.dir / "house"
        self.assertIn("exported 4 mailboxes with 6 messages", self.ctl("export", "--tenant", "house", out))
        found = sorted(str(p.parent.relative_to(out)) for p in out.rglob("dovecot-uidlist"))
        self.assertEqual(found, sorted(["a.example/anna", "a.example/bert", "b.example/anna", 'b.example/"with blank"']))
        self.assertTrue(all((p.stat().st_mode & 0o077) == 0 for p in [out, *out.rglob("*")]))
        self.assertIn("ALIKE", self.ctl("compare", names[2], out / "b.example/anna"))
        self.assertIn("not an empty directory", self.ctl("export", "--tenant", "house", out, exit=FAILED))
        # The second pass.
        self.site.account("a/b@a.example", LETTERS[:1])
        self.site.account("new@b.example", LETTERS[:1])
        self.site.deliver(names[0], [LETTERS[5]])
        shutil.move(out / "a.example/bert", self.dir / "bert")
        (out / "a.example/bert").symlink_to(self.dir / "bert")
        told = self.ctl("export", "--tenant", "house", out, "--sync", exit=PARTLY)
        self.assertIn("a/b@a.example: no directory can have the name", told)
        self.assertIn("a.example/bert: it exists and is not a directory", told)
        self.assertIn("exported 4 mailboxes with 7 messages", told)
        self.assertIn("; 2 failed", told)
        for name in (names[0], "new@b.example"):
            local, _, domain = name.partition("@")
            self.assertIn("ALIKE", self.ctl("compare", name, out / domain / local))
        # Whose mailbox has gone, or has another name, keeps no mail by accident.
        self.site.ctl("mailbox", "remove", "a/b@a.example", "--yes")
        self.site.ctl("mailbox", "remove", "bert@a.example", "--yes")
        self.site.ctl("mailbox", "set", "new@b.example", "--name", "newer@b.example")
        told = self.ctl("export", "--tenant", "house", out, "--sync", exit=PARTLY)
        for name in "a.example/bert", "b.example/new":
            self.assertIn(f"{out}/{name} was left as it is: there is no such mailbox any more", told)
        self.assertEqual(told.count("was left"), 2)
        told = self.ctl("export", "--domain", "b.example", out, "--sync", exit=PARTLY)
        self.assertEqual((told.count("was left"), told.count("b.example/new was left")), (1, 1))
        self.site.ctl("mailbox", "set", "newer@b.example", "--name", "new@b.example")
        shutil.rmtree(out / "b.example/newer")
        self.ctl("export", "--domain", "b.example", out, "--sync")
        # The other formats have a list beside each.
        for form in "mbox", "eml":
            self.assertIn("exported 3 mailboxes", self.ctl("export", "--domain", "b.example", self.dir / form, "--format", form))
            base = self.dir / form / "b.example"
            back = self.mailbox()
            self.ctl("import", back, base / f"anna.{form}", "--uidls", base / "anna.uidls")
            want = self.rows("anna@b.example")
            if form == "mbox":
                want = [dict(row, received_at=row["received_at"].partition(".")[0] + "Z") for row in want]
            self.assertEqual(self.rows(back), want)
        self.ctl("export", "--domain", "b.example", "--all", self.dir / "no", exit=USAGE)
        self.ctl("export", "--domain", "none.example", self.dir / "no", exit=FAILED)
        self.assertFalse((self.dir / "no").exists())


class Passwords(LeaveCase):
    """Hashes as Dovecot reads them, sealed in the database or not; and nobody else gets them."""
    DES = "{CRYPT}rEK1ecacw.7.c"        # "password"

    def setUp(self):
        super().setUp()
        LeaveCase.count += 1
        self.domain = f"p{self.count}.example"
        self.site.ctl("tenant", "add", self.domain)
        self.site.ctl("domain", "add", self.domain, "--tenant", self.domain)

    def account(self, local, stored=None):
        who = f"{local}@{self.domain}"
        self.site.account(who)
        if stored is not None:
            self.site.ctl("password", who, "--hash", stdin=stored.encode() + b"\n")
        return who

    def exported(self, exit=DONE, conf=None):
        path = self.dir / f"passwd{len(list(self.dir.iterdir()))}"
        done = subprocess.run([self.site.lab.posternctl, "-c", conf or self.site.lab.conf, "--as", "user=postgres", "secrets", "export", path, "--domain", self.domain],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=kit.lab.plain_env(), check=False, text=True)
        self.assertEqual(done.returncode, exit, done.stdout)
        if not path.exists():
            return {}, done.stdout
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        lines = [line.split(":") for line in path.read_text().splitlines()]
        self.assertTrue(all(line[2:] == [""] * 6 for line in lines), lines)
        for line in lines:
            self.assertNotIn(line[1].partition("}")[2], done.stdout)
        return {line[0].partition("@")[0]: line[1] for line in lines}, done.stdout

    def test_hashes(self):
        sha512 = subprocess.run(["openssl", "passwd", "-6", kit.PASSWORD], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
        ssha = "{SSHA256}" + base64.b64encode(hashlib.sha256(kit.PASSWORD.encode() + b"salt").digest() + b"salt").decode()
        self.account("argon")
        self.account("crypt", sha512)
        self.account("ssha", ssha)
        self.account("des", self.DES)
        found, told = self.exported()
        self.assertIn("wrote the passwords of 4 mailboxes", told)
        self.assertTrue(found["argon"].startswith("{ARGON2ID}$argon2id$"))
        self.assertEqual({k: found[k] for k in ("crypt", "ssha", "des")}, {"crypt": "{SHA512-CRYPT}" + sha512, "ssha": ssha, "des": self.DES})
        if kit.ROOT:
            with Dovecot() as dovecot:
                for name, password in (("argon", kit.PASSWORD), ("crypt", kit.PASSWORD), ("ssha", kit.PASSWORD), ("des", "password")):
                    self.assertIn(b"verified", dovecot.doveadm("pw", "-t", found[name], "-p", password), found[name])
        # Who may not log in here may not there; what an entry has no room for is said.
        self.site.ctl("mailbox", "disable", f"argon@{self.domain}")
        self.site.ctl("password", f"crypt@{self.domain}", "--remove")
        self.site.ctl("app-password", "add", f"ssha@{self.domain}", "phone")
        self.account("pbkdf", "$pbkdf2-sha256$1000$c2FsdHNhbHQ$" + base64.b64encode(hashlib.pbkdf2_hmac("sha256", b"x", b"saltsalt", 1000)).decode().rstrip("=").replace("+", "."))
        found, told = self.exported(PARTLY)
        self.assertEqual(sorted(found), ["des", "ssha"])
        for why in (f"argon@{self.domain} was left out: it is disabled", f"crypt@{self.domain} was left out: it has no password",
                    f"pbkdf@{self.domain} was left out: Dovecot does not know", "3 were left out, and 1 app passwords"):
            self.assertIn(why, told)

    def test_sealed_and_scram(self):
        who, other = self.account("one"), self.account("two")
        plain, _ = self.exported()
        keys = self.dir / "keys"
        keys.write_bytes(self.site.ctl("secrets", "new-key", "k1").stdout)
        keys.chmod(0o600)
        conf = self.dir / "conf"
        conf.write_text(self.site.lab.conf.read_text() + f'auth_key_file = "{keys}";\n')
        seal = [self.site.lab.posternctl, "-c", conf, "--as", "user=postgres", "secrets", "seal"]
        subprocess.run(seal, check=True, env=kit.lab.plain_env(), stdout=subprocess.DEVNULL)
        self.addCleanup(subprocess.run, [*seal[:-1], "unseal"], check=False, env=kit.lab.plain_env(), stdout=subprocess.DEVNULL)
        self.assertEqual(self.exported(conf=conf)[0], plain)
        found, told = self.exported(PARTLY)
        self.assertEqual(found, {})
        self.assertIn(f"{who} was left out: ", told)
        # Another one's verifier, moved by whoever can write to the database, opens nowhere.
        self.site.sql(f"""update postern.credential c set secret = d.secret from postern.credential d, postern.mailbox m, postern.mailbox n
                           where c.mailbox = m.mailbox and m.address = '{who}' and d.mailbox = n.mailbox and n.address = '{other}'""")
        found, told = self.exported(PARTLY, conf)
        self.assertEqual(found, {"two": plain["two"]})
        verifier = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$" + ":".join(base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
        self.site.sql(f"""update postern.credential c set kind = 'scram-sha-256', secret = '{verifier}' from postern.mailbox m
                           where c.mailbox = m.mailbox and m.address = '{who}'""")
        self.assertEqual(self.exported(conf=conf)[0]["one"], "{SCRAM-SHA-256}" + verifier.partition("$")[2].replace(":", ",").replace("$", ","))

    def test_only_for_the_owner_and_new_files(self):
        self.account("one")
        path = self.write("there", b"mine")
        (self.dir / "link").symlink_to(self.dir / "made")
        for target in path, self.dir / "link", self.dir / "no/where":
            done = self.site.ctl("--as", "user=postgres", "secrets", "export", target, check=False)
            self.assertEqual(done.returncode, FAILED, done.stdout)
        self.assertEqual(pathlib.Path(path).read_bytes(), b"mine")
        self.assertFalse((self.dir / "made").exists())
        # The operator's own role may not.
        self.assertIn("permission denied", self.ctl("secrets", "export", self.dir / "mine", exit=FAILED))
        self.assertFalse((self.dir / "mine").exists())


class Compare(LeaveCase):
    def setUp(self):
        super().setUp()
        self.who = self.mailbox(LETTERS, ODD)
        self.ctl("export", self.who, self.dir / "out", "--format", "eml", "--uidls", self.dir / "list")
        self.args = (self.who, self.dir / "out", "--uidls", self.dir / "list")

    def compared(self, exit=PARTLY):
        told = self.ctl("compare", *self.args, exit=exit)
        found = json.loads(self.ctl("--json", "compare", *self.args, exit=exit))
        self.assertEqual(found["alike"], exit == DONE)
        self.assertEqual(told.splitlines()[-1].partition(" ")[0], "ALIKE" if exit == DONE else "NOT-ALIKE")
        return told, found

    def counts(self, found):
        return {k: found[k] for k in ("missing", "extra", "different", "order", "deleted", "rejected", "left_out", "doubts") if found[k]}

    def eml(self, n):
        return self.dir / f"out/{n:09}.eml"

    def relist(self, change):
        lines = (self.dir / "list").read_bytes().split(b"\n")[:-1]
        change(lines)
        (self.dir / "list").write_bytes(b"".join(line + b"\n" for line in lines))

    def test_alike(self):
        _, found = self.compared(DONE)
        self.assertEqual((found["here"], found["there"], found["same"], found["differences"]), (9, 9, 9, []))
        # What a user has deleted since is expected.
        with self.site.login(self.who) as pop:
            pop.ok("DELE 1")
            pop.ok("DELE 3")
            pop.ok("QUIT")
        told, found = self.compared(DONE)
        self.assertEqual((self.counts(found), found["same"]), ({"deleted": 2}, 7))
        self.assertIn("2 deleted here since they were imported", told)
        self.assertIn("2 missing here", self.ctl("compare", *self.args, "--with", "gone", exit=PARTLY))

    def test_missing_and_extra(self):
        os.unlink(self.eml(2))
        self.write("out/000000010.eml", b"Subject: other\r\n\r\n")
        self.relist(lambda lines: lines.__setitem__(1, b"000000010.eml\tother"))
        told, found = self.compared()
        self.assertEqual(self.counts(found), {"missing": 1, "extra": 1})
        self.assertIn(f"MISSING {self.eml(10)} with the UIDL other is not in the mailbox", told)
        self.assertIn("EXTRA uid 2 with the UIDL " + "%" * 480 + " is not at the source", told)
        kinds = {d["kind"]: d for d in found["differences"]}
        self.assertEqual((kinds["missing"]["file"], kinds["missing"]["uidl"], kinds["extra"]["uid"]), (str(self.eml(10)), "other", 2))

    def test_uidls(self):
        """Another one, and two that have changed places: the same UIDL, another text."""
        def change(lines):
            lines[6] = b"000000007.eml\tanother"
            lines[0], lines[7] = b"000000001.eml\t" + ODD[7], b"000000008.eml\t" + ODD[0]
        self.relist(change)
        told, found = self.compared()
        self.assertEqual((self.counts(found), found["same"]), ({"different": 3, "order": 2}, 6))
        self.assertIn(f"DIFFERS {self.eml(7)} from uid 7: the UIDL there is another, here !~\n", told)
        self.assertIn(f"DIFFERS {self.eml(1)} from uid 8: octets there {len(LETTERS[0])}, here {len(LETTERS[7])}; is another text\n", told)

    def test_text(self):
        self.eml(9).write_bytes(LETTERS[8].replace(b"x", b"y"))
        self.eml(1).write_bytes(b"Status: RO\r\nX-UIDL: x\r\n y\r\n" + LETTERS[0])
        told, found = self.compared()
        self.assertEqual(self.counts(found), {"different": 2})
        self.assertIn(f"DIFFERS {self.eml(9)} from uid 9: is another text\n", told)
        self.assertRegex(told, r"DIFFERS \S+001.eml from uid 1: octets there \d+, here \d+; differs only in header fields that servers add or hide\n")
        self.assertEqual([(d["uid"], d["text"], d["only_fields"], d.get("octets")) for d in found["differences"]],
                         [(1, True, True, 27 + len(LETTERS[0])), (9, True, False, None)])
        # Without UIDLs the messages are found all the same; that they were not compared is said.
        self.assertIn(", 9 whose UIDL the source does not know", self.ctl("compare", self.who, self.dir / "out", exit=PARTLY))
        told = self.ctl("compare", self.who, self.dir / "out", exit=PARTLY)
        self.assertRegex(told, r"DIFFERS \S+001.eml from uid \d: .*only in header fields")
        self.assertRegex(told, r"MISSING \S+009.eml is not")
        self.assertIn("EXTRA uid 9", told)

    def test_order(self):
        """As few as have changed places, and not all those between."""
        os.rename(self.eml(2), self.dir / "out/000000009a.eml")
        self.relist(lambda lines: lines.__setitem__(1, b"000000009a.eml\t" + ODD[1]))
        told, found = self.compared()
        self.assertEqual((self.counts(found), found["same"]), ({"order": 1}, 8))
        self.assertIn("9a.eml is uid 2, which stands elsewhere in the order", told)

    def test_what_cannot_be_compared(self):
        self.write("out/000000010.eml", b"")
        self.relist(lambda lines: lines.append(b"gone.eml\tx"))
        told, found = self.compared()
        self.assertEqual(self.counts(found), {"rejected": 1, "doubts": 1})
        self.assertIn("10.eml is empty", told)
        path = self.write("box", FROM_ + b"Status: D\nA: 1\n\n")
        self.assertIn("1 left out", self.ctl("compare", self.mailbox(), path))
        self.assertIn("MISSING", self.ctl("compare", self.mailbox(), path, "--with", "deleted", exit=PARTLY))
        self.ctl("compare", "nobody@example.org", path, exit=FAILED)
        self.ctl("compare", self.who, path, "--with", "ghosts", exit=USAGE)
        self.ctl("compare", self.who, self.dir / "nowhere", exit=PARTLY)

    def test_a_whole_file(self):
        """The file that `move` takes: one report, and a line that is wrong stops no other."""
        other, none = self.mailbox(LETTERS[:2]), self.mailbox()
        table = [["address", "source", "source", "format", "uidls"], [self.who, str(self.dir / "out"), "", "eml", str(self.dir / "list")],
                 [other, str(self.eml(1)), str(self.eml(3)), "", ""], [none, "", "", "", ""], ["no address", "", "", "", ""],
                 ["nobody@example.org", str(self.eml(1)), "", "", ""]]
        path = self.write("table.csv", "".join(",".join(row) + "\n" for row in table).encode())
        told = self.ctl("compare", "--from", path, exit=PARTLY)
        for want in (f"\nALIKE {self.who}: 9", f"MISSING {self.eml(3)} is not", "EXTRA uid 2", f"NOT-ALIKE {other}: 2", 'posternctl: line 5, "no address": ',
                     "mailbox nobody@example.org does not exist", "compared 4 mailboxes: 1 alike, 1 not alike, 2 failed, 1 without a source\n"):
            self.assertIn(want, "\n" + told)
        found = json.loads(self.site.lab.ctl("--json", "compare", "--from", path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
        self.assertEqual([(m["address"], m.get("alike"), m.get("failed")) for m in found["mailboxes"]],
                         [(self.who, True, None), (other, False, None), ("no address", None, True), ("nobody@example.org", None, True)])
        self.assertEqual((found["alike"], found["not_alike"], found["failed"], found["without_source"]), (1, 1, 2, 1))
        path = self.write("table.csv", "".join(",".join(row) + "\n" for row in table[:2]).encode())
        self.ctl("compare", "--from", path)
        for bad in ((self.who, "--from", path), ("--from", path, "--uidls", path), (self.who, path, "--domain", "example.org"), ()):
            self.ctl("compare", *bad, exit=USAGE)

    def test_a_server(self):
        """Of POP3: each message is fetched; one that goes away in the middle is a failure, and nothing is missing because of it."""
        mail = [(uidl.decode(), letter) for uidl, letter in list(zip(ODD, LETTERS))[2:6]]
        who, secret = self.mailbox([m for _, m in mail], [u.encode() for u, _ in mail]), self.write("secret", b"wonder\n")

        def compared(mail, exit, **quirks):
            with OldServer(mail, **quirks) as server:
                told = self.ctl("compare", who, "--pop3", server.url(), "--user", "anna", "--password-file", secret, "--accept", "plaintext", "--wait", "1", exit=exit)
                table = self.write("table.csv", f"address,source,user,secret\n{who},{server.url()},anna,wonder\n".encode())
                again = self.ctl("compare", "--from", table, "--accept", "plaintext", "--wait", "1", exit=PARTLY if exit == FAILED else exit)
            return told, again

        told, again = compared(mail, DONE)
        self.assertIn(f"ALIKE {who}: 4 messages here, 4 at the source, 4 the same\n", told)
        self.assertIn("compared 1 mailboxes: 1 alike", again)
        told, again = compared([*mail[1:], ("new", LETTERS[0])], PARTLY)
        for want in (f"EXTRA uid 1 with the UIDL {ODD[2].decode()}", "MISSING ", " with the UIDL new is not in the mailbox"):
            self.assertIn(want, told)
            self.assertIn(want, again)
        told, again = compared(mail, PARTLY, refused={3: "-ERR no"})
        self.assertIn(":message 3 ", told)
        self.assertNotIn("EXTRA", told + again)
        self.assertIn(f"NOT-ALIKE {who}: 4 messages here, 3 at the source, 3 the same, 1 rejected\n", told)
        told, again = compared(mail, FAILED, cut={3: 99}, login=["+OK", *["-ERR [AUTH] no"] * 20])
        self.assertNotIn("EXTRA", told + again)
        self.assertNotIn("ALIKE", told + again)
        self.assertIn("0 alike, 0 not alike, 1 failed", again)
        self.ctl("compare", "--from", secret, "--pop3", "pop://localhost", exit=USAGE)

    def test_line_in_front(self):
        """Compared is what a client is sent, the line of a delivery included."""
        who = self.mailbox([b"A: 1\r\n\r\n"])
        self.site.sql(f"""update postern.message g set delivered_to = 'x@example.org', octets = g.octets + 29
                            from postern.mailbox m where m.mailbox = g.mailbox and m.address = '{who}'""")
        self.site.recount(who)
        self.ctl("export", who, self.dir / "md", "--format", "maildir")
        self.assertIn("ALIKE", self.ctl("compare", who, self.dir / "md"))
        self.assertIn("only in header fields", self.ctl("compare", who, self.write("one.eml", b"A: 1\n\n"), exit=PARTLY))


if __name__ == "__main__":
    unittest.main()
