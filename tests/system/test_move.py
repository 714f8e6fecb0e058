"""`posternctl move`: many mailboxes at once; a line that is wrong fails alone, and the same command again does what is left."""
import csv
import hashlib
import io
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

import kit
import lab
import olddovecot
from oldpop3 import OldServer

DONE, FAILED, USAGE, PARTLY, NO_DATABASE = 0, 1, 2, 3, 4


def crypted(password):
    return subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password.encode(), stdout=subprocess.PIPE,
                          check=True).stdout.decode().strip()


class MoveCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("move-")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.ctl("tenant", "add", "house")
        cls.domains = 0

    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=self.site.dir)
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        type(self).domains += 1
        self.domain = f"d{self.domains}.example"

    def maildir(self, name, letters):
        folder = self.dir / name
        for part in ("cur", "new", "tmp"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for n, letter in letters.items() if isinstance(letters, dict) else enumerate(letters, 1):
            (folder / "cur" / f"{1700000000 + n}.M{n}.host:2,S").write_bytes(letter)
        return folder

    def table(self, columns, rows, name="house.csv"):
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(rows)
        path = self.dir / name
        path.write_text(text.getvalue(), encoding="utf-8")
        return str(path)

    def move(self, *args, exit=DONE, tenant=True):
        done = self.site.ctl("--json", "move", *args, *(["--tenant", "house"] if tenant else []), check=False)
        if exit is not None:
            self.assertEqual(done.returncode, exit, done.stdout.decode(errors="replace"))
        text = done.stdout.decode()
        return json.loads(text[text.index("{"):text.rindex("}") + 1])

    def command(self, *args):
        """The command itself, for a test that interferes with it."""
        place = self.site.lab
        return [str(place.posternctl), "-c", str(place.conf), "--json", "move", *args, "--tenant", "house"]

    def digests(self, who):
        return self.site.sql(f"""select encode(c.digest, 'hex') from postern.message g join postern.mailbox m using (mailbox)
            join postern.content c using (content) where m.address = '{who}' order by 1""").split()

    def digests_of(self, letters):
        return sorted(hashlib.blake2b(kit.canonical(letter), digest_size=32).hexdigest() for letter in letters)


class House(MoveCase):
    def test_thousand_lines(self):
        """Each way in which a line can be wrong, among many that are right."""
        one = self.dir / "one.eml"
        one.write_bytes(kit.letter(1))
        good, broken, without = crypted("secret"), {}, {}
        self.site.ctl("domain", "add", self.domain, "--tenant", "house")
        self.site.ctl("domain", "add", "other-" + self.domain, "--alias-of", self.domain)
        self.site.ctl("mailbox", "add", f"target@{self.domain}")
        self.site.ctl("alias", "add", f"alias@{self.domain}", f"target@{self.domain}")
        columns = ["address", "source", "hash", "quota", "uidls", "format"]
        rows = [[f"u{n}@{self.domain}", one if n % 50 == 0 else "", good if n % 100 == 0 else "", "1M", "", ""] for n in range(1, 1001)]
        empty_file = self.dir / "empty.uidls"
        empty_file.write_text("")
        for n, (change, reason) in enumerate((
                ({0: "no address"}, "quotes"), ({0: ""}, ""), ({0: f"u1@{self.domain}"}, "line 2 is of the same mailbox"),
                ({0: f"alias@{self.domain}"}, "alias"), ({0: f"x@other-{self.domain}"}, f"alias of {self.domain}"),
                ({1: self.dir / "nowhere"}, "No such file"), ({2: "{CRAM-MD5}0123"}, "CRAM-MD5"), ({2: "!" + good}, "locked"),
                ({2: good[:20]}, "cannot be used"), ({3: "much"}, "quota"), ({4: self.dir / "no.uidls"}, "No such file"),
                ({4: empty_file}, "no source"), ({5: "mbx"}, "format")), 2):
            at = 7 * n
            for column, value in change.items():
                rows[at][column] = value
            (without if 2 in change else broken)[at + 2] = reason
        path = self.table(columns, rows)
        with open(path, "a", encoding="utf-8") as out:
            out.write("cut@off,\n" + '"never closed,,,,,\n' + "a,b,c,d,e,f,g\n")
        for line, reason in ((1002, "fewer fields"), (1003, "quote"), (1004, "more fields")):
            broken[line] = reason
        told = self.move(path, "--dry-run", exit=PARTLY)
        self.assertEqual(self.site.sql("select count(*) from postern.mailbox where address like 'u%@" + self.domain + "'"), "0")
        for told in (told, self.move(path, "--jobs", "8", exit=PARTLY)):
            lines = {m["line"]: m for m in told["mailboxes"]}
            self.assertEqual(len(lines), 1003)
            self.assertEqual({n for n, m in lines.items() if m["state"] == "refused"}, set(broken))
            for n, reason in broken.items():
                self.assertIn(reason, lines[n]["reason"], n)
            self.assertEqual((told["done"], told["partly"], told["refused"], told["failed"]),
                             (1003 - len(broken) - len(without), len(without), len(broken), 0))
            for n, reason in without.items():           # whose password cannot be set get their mail all the same
                self.assertEqual((lines[n]["state"], lines[n]["set_password"]), ("partly", False))
                self.assertIn(reason, lines[n]["reason"], n)
            self.assertEqual(told["imported"], sum(1 for n in range(50, 1001, 50) if n + 1 not in broken))
        self.assertEqual(int(self.site.sql("select count(*) from postern.mailbox where address like 'u%@" + self.domain + "'")), 1003 - len(broken))
        again = self.move(path, exit=PARTLY)
        self.assertEqual((again["imported"], again["done"]), (0, 1003 - len(broken) - len(without)))
        self.assertEqual(self.digests(f"u1000@{self.domain}"), self.digests_of([kit.letter(1)]))
        with self.site.login(f"u1000@{self.domain}", "secret") as pop:
            pop.ok("QUIT")

    def test_killed(self):
        """In the middle, by SIGKILL; the same command again: nothing is lost, nothing is doubled."""
        letters = {f"k{n}@{self.domain}": [kit.letter(1000 * n + k, 900) for k in range(500)] for n in range(6)}
        path = self.table(["address", "source"], [[who, self.maildir(who, all_of)] for who, all_of in letters.items()])
        stored = f"select count(*) from postern.message g join postern.mailbox m using (mailbox) where m.address like 'k%@{self.domain}'"
        with subprocess.Popen(self.command(path, "--jobs", "2"), env=lab.plain_env(), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as posternctl:
            kit.wait_until(lambda: int(self.site.sql(stored)) > 0)
            posternctl.kill()
        told = self.move(path, "--jobs", "2")
        self.assertEqual(told["imported"] + sum(m["there_already"] for m in told["mailboxes"]), 3000)
        for who, all_of in letters.items():
            self.assertEqual(self.digests(who), self.digests_of(all_of), who)
        self.site.checked()

    def test_interrupted(self):
        path = self.table(["address", "source"],
                          [[f"i{n}@{self.domain}", self.maildir(f"i{n}", [kit.letter(1000 * n + k, 900) for k in range(500)])] for n in range(8)])
        stored = f"select count(*) from postern.message g join postern.mailbox m using (mailbox) where m.address like 'i%@{self.domain}'"
        with subprocess.Popen(self.command(path, "--jobs", "1"), env=lab.plain_env(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as posternctl:
            kit.wait_until(lambda: int(self.site.sql(stored)) > 0)
            posternctl.send_signal(signal.SIGINT)
            text = posternctl.communicate()[0].decode()
        if posternctl.returncode != DONE:       # it may have been quicker
            self.assertEqual(posternctl.returncode, PARTLY, text)
            self.assertIn("run the same command again", text)
            told = json.loads(text[text.index("{"):text.rindex("}") + 1])
            self.assertEqual(told["imported"], int(self.site.sql(stored)))
            self.assertGreater(told["not_begun"] + told["interrupted"], 0)
        self.move(path)
        self.assertEqual(int(self.site.sql(stored)), 4000)

    def test_process_dies(self):
        """It fails its line only."""
        names = [f"p{n}@{self.domain}" for n in range(6)]
        path = self.table(["address", "source"], [[who, self.maildir(who, [kit.letter(n)])] for n, who in enumerate(names)])
        for who in names:
            self.site.ctl("domain", "add", self.domain, "--tenant", "house", check=False)
            self.site.ctl("mailbox", "add", who)
        with self.site.psql() as holder:
            holder.ask(f"select postern.begin_import('{names[1]}')")
            with subprocess.Popen(self.command(path, "--jobs", "2"), env=lab.plain_env(), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT) as posternctl:
                text = ""
                while text.count('"state":"done"') < 5:         # each is written when it is done
                    text += os.read(posternctl.stdout.fileno(), 65536).decode()
                for pid in pathlib.Path(f"/proc/{posternctl.pid}/task/{posternctl.pid}/children").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                text += posternctl.communicate()[0].decode()
        self.assertEqual(posternctl.returncode, PARTLY, text)
        told = json.loads(text)
        self.assertEqual([m["state"] for m in sorted(told["mailboxes"], key=lambda m: m["line"])], ["done", "failed"] + 4 * ["done"])
        self.assertIn("signal 9", next(m["reason"] for m in told["mailboxes"] if m["state"] == "failed"))
        self.move(path)
        self.assertEqual(self.digests(names[1]), self.digests_of([kit.letter(1)]))

    def test_passes(self):
        """A second pass copies what is new; nothing returns that its owner deleted; a password that was changed here stays."""
        who = f"passes@{self.domain}"
        folder = self.maildir("box", {n: kit.letter(n) for n in range(1, 5)})
        path = self.table(["address", "source", "password", "quota"], [[who, folder, "before", "10M"]])
        first = self.move(path)["mailboxes"][0]
        self.assertEqual((first["imported"], first["made_mailbox"], first["made_domain"], first["set_password"]), (4, True, True, True))
        with self.site.login(who, "before") as pop:
            pop.ok("DELE 2")
            pop.ok("QUIT")
        self.site.password(who, "changed")
        self.site.ctl("mailbox", "set", who, "--quota", "20M")
        self.maildir("box", {9: kit.letter(9), 10: kit.letter(1)})       # a new one, and one more copy of one that is there
        last = self.move(path, "--final")["mailboxes"][0]
        self.assertEqual((last["imported"], last["there_already"], last["left_out_gone"]), (2, 3, 1))
        self.assertEqual((last["set_password"], last["kept_password"]), (False, True))
        self.assertEqual(self.digests(who), self.digests_of([kit.letter(n) for n in (1, 1, 3, 4, 9)]))
        self.assertEqual(self.site.sql(f"select quota from postern.mailbox where address = '{who}'"), str(20 << 20))
        with self.site.login(who, "changed") as pop:
            pop.ok("QUIT")
        self.move(path)         # before the switch the old server is right
        with self.site.login(who, "before") as pop:
            pop.ok("QUIT")
        self.assertEqual(self.move(path, "--with", "gone")["mailboxes"][0]["imported"], 1)

    def test_passwords(self):
        """Each way to name one, in the file or in a file beside it."""
        for name, text in (("hash", crypted("one") + "\n"), ("pass", "two\n"), ("empty", ""), ("odd", "{CRAM-MD5}00\n")):
            (self.dir / name).write_text(text)
        rows = [["a", crypted("zero"), "", "", ""], ["b", "", self.dir / "hash", "", ""], ["c", "", "", "{PLAIN}x", ""], ["d", "", "", "", self.dir / "pass"],
                ["e", "", self.dir / "empty", "", ""], ["f", "", self.dir / "none", "", ""], ["g", crypted("x"), "", "y", ""],
                ["h", "", self.dir / "odd", "", ""], ["i", "{PLAIN}three", "", "", ""]]
        path = self.table(["address", "hash", "hash_file", "password", "password_file"], rows)
        told = {m["address"][0]: m for m in self.move(path, "--domain", self.domain, exit=PARTLY)["mailboxes"]}
        self.assertEqual({who: m["state"] for who, m in told.items()},
                         dict.fromkeys("abcdi", "done") | dict.fromkeys("efg", "refused") | {"h": "partly"})
        for who, reason in (("e", "is empty"), ("f", "No such file"), ("g", "more than one"), ("h", "CRAM-MD5")):
            self.assertIn(reason, told[who]["reason"])
        for who, password in (("a", "zero"), ("b", "one"), ("c", "{PLAIN}x"), ("d", "two"), ("i", "three")):
            with self.site.login(f"{who}@{self.domain}", password) as pop:
                pop.ok("QUIT")

    def test_quota(self):
        rows = [[f"q{n}@{self.domain}", self.maildir(f"q{n}", [kit.letter(n, 3000)]), "1k" if n == 1 else ""] for n in range(3)]
        path = self.table(["address", "source", "quota"], rows)
        for dry in (["--dry-run"], []):
            told = {m["address"]: m for m in self.move(path, "--jobs", "1", *dry, exit=PARTLY)["mailboxes"]}
            self.assertEqual([told[row[0]]["state"] for row in rows], ["done", "failed", "done"])
            self.assertIn("quota", told[rows[1][0]]["reason"])
        self.assertEqual(self.digests(rows[1][0]), [])
        self.assertEqual(self.move(path, "--over-quota")["imported"], 1)
        self.site.checked()
        self.site.ctl("tenant", "set", "house", "--quota", "1")
        self.addCleanup(self.site.ctl, "tenant", "set", "house", "--quota", "none")
        more = str(self.maildir("more", [kit.letter(77)]))
        self.assertEqual(self.site.ctl("import", rows[0][0], more, check=False).returncode, FAILED)
        self.assertEqual(self.site.ctl("import", rows[0][0], more, "--over-quota").returncode, DONE)

    def test_sync(self):
        """Before the switch: what has gone from the files goes here, unless somebody has read it here, or an odd lot would go."""
        who = f"sync@{self.domain}"
        folder = self.maildir("box", {n: kit.letter(n) for n in range(1, 21)} | {30: kit.letter(1)})
        path = self.table(["address", "source", "password"], [[who, folder, "secret"]])
        self.assertEqual(self.move(path, "--sync")["imported"], 21)
        self.site.deliver(who, [kit.letter(50)])                # it did not come from there
        with self.site.login(who, "secret") as pop:
            pop.retr(2)
            pop.ok("QUIT")
        read = f"select count(*) from postern.message g join postern.mailbox m using (mailbox) where m.address = '{who}' and g.retrieved_at is not null"
        self.assertTrue(kit.wait_until(lambda: self.site.sql(read) == "1"))

        def remove(*numbers):
            for n in numbers:
                (folder / "cur" / f"{1700000000 + n}.M{n}.host:2,S").unlink()

        remove(2, 3, 1)         # of the first message a copy is there
        self.maildir("box", {31: kit.letter(31)})
        for dry in (["--dry-run"], []):
            told = self.move(path, "--sync", *dry)["mailboxes"][0]
            self.assertEqual((told["imported"], told["removed"], told["gone_but_read"], told["left_out_gone"]), (1, 2, 1, 0))
        self.assertEqual(self.digests(who), self.digests_of([kit.letter(n) for n in [1, 2, *range(4, 21), 31, 50]]))
        # What comes back at the old server does so here; what a client has deleted here does not.
        self.maildir("box", {3: kit.letter(3)})
        with self.site.login(who, "secret") as pop:
            pop.ok("DELE 3")
            pop.ok("QUIT")
        told = self.move(path, "--sync")["mailboxes"][0]
        self.assertEqual((told["imported"], told["removed"], told["left_out_gone"]), (1, 0, 1))
        self.assertEqual(self.digests(who), self.digests_of([kit.letter(n) for n in [1, 2, 3, *range(5, 21), 31, 50]]))
        # Not if one file cannot be read: it may be what seems to have gone.
        remove(5)
        (folder / "cur" / "1700000099.M99.host:2,S").write_bytes(b"")
        told = self.move(path, "--sync", exit=PARTLY)["mailboxes"][0]
        self.assertEqual((told["state"], told["removed"]), ("partly", 0))
        self.assertIn("nothing was removed", told["reason"])
        (folder / "cur" / "1700000099.M99.host:2,S").unlink()
        remove(*range(6, 20))
        told = self.move(path, "--sync", exit=FAILED)["mailboxes"][0]
        self.assertEqual((told["state"], told["removed"]), ("failed", 0))
        self.assertIn("--sync-limit", told["reason"])
        self.assertEqual(self.move(path, "--sync", "--sync-limit", "100")["mailboxes"][0]["removed"], 15)
        self.assertEqual(self.digests(who), self.digests_of([kit.letter(n) for n in [1, 2, 3, 20, 31, 50]]))
        # After the switch nothing is removed any more, whoever forgets that.
        self.move(path, "--final")
        remove(20)
        self.assertEqual(self.move(path, "--sync")["mailboxes"][0]["removed"], 0)
        self.site.checked()

    def test_sync_of_copies(self):
        """Of two copies the one goes whose UIDL has gone; and nothing goes while a session has the maildrop."""
        who = f"copies@{self.domain}"
        folder = self.maildir("box", {1: kit.letter(1), 2: kit.letter(1), 3: kit.letter(3)})
        names = sorted(os.listdir(folder / "cur"))

        def listed(numbers):
            (folder / "dovecot-uidlist").write_text("3 V1700000000 N8 G0123456789abcdef0123456789abcdef\n" +
                                                    "".join(f"{n} :{names[n - 1].partition(':')[0]}\n" for n in numbers), encoding="ascii")

        listed((1, 2, 3))
        path = self.table(["address", "source", "uidl_format", "password"], [[who, folder, "%v.%u", "secret"]])
        self.move(path, "--sync")
        (folder / "cur" / names[0]).unlink()
        listed((2, 3))
        with self.site.login(who, "secret"):
            told = self.move(path, "--sync", exit=PARTLY)["mailboxes"][0]
            self.assertIn("a session holds the maildrop", told["reason"])
        kit.wait_until(lambda: self.move(path, "--sync", exit=None)["mailboxes"][0]["state"] == "done")
        with self.site.login(who, "secret") as pop:
            self.assertEqual(pop.uidl(), [b"1700000000.2", b"1700000000.3"])
            pop.ok("QUIT")

    @unittest.skipIf(os.geteuid() != 0, "Dovecot is started by root")
    def test_night(self):
        """A house of Dovecot, one mailbox by its files and by POP3: before, the night, after; clients see the UIDLs that they know."""
        self.site.lab.certificate("old", ["DNS:localhost"])
        old = olddovecot.Dovecot(self.dir / "old", self.site.lab.tls / "old.pem", "anna", "wonder", more="disable_plaintext_auth = no\n")
        self.addCleanup(old.down)
        self.dir.chmod(0o755)
        old.put([kit.letter(n) for n in range(1, 7)])
        users = self.dir / "users"
        users.write_text("".join(f"{who}@{self.domain}:{crypted('wonder')}:::::\n" for who in ("files", "pop3")))
        secret = self.dir / "secret"
        secret.write_text("wonder\n")
        path = self.table(["address", "source", "user", "secret_file"],
                          [[f"files@{self.domain}", self.dir / "old/mail/anna", "", ""],
                           [f"pop3@{self.domain}", f"pops://localhost:{old.tls_port}", "anna", secret]])
        ca = ["--tls-ca", str(self.site.lab.tls / "ca.pem")]

        def seen(address, who, password="wonder"):
            with kit.Pop(address) as pop:
                pop.login(who, password)
                uidls = pop.uidl()
                return [(uidl, pop.retr(n)) for n, uidl in enumerate(uidls, 1)]

        self.assertEqual(self.move(path, "--sync", *ca)["imported"], 12)
        told = json.loads(self.site.ctl("--json", "passwords", users, "--format", "dovecot").stdout)
        self.assertEqual((told["set"], told["schemes"]), (2, [{"scheme": "SHA512-CRYPT", "mailboxes": 2}]))
        # Until the night: mail comes in, a client deletes.
        old.put([kit.letter(7)])
        with kit.Pop(f"127.0.0.1:{old.port}") as pop:
            pop.login("anna", "wonder")
            pop.ok("DELE 3")
            pop.ok("QUIT")
        told = self.move(path, "--sync", *ca)
        self.assertEqual([(m["state"], m["imported"], m["removed"]) for m in told["mailboxes"]], 2 * [("done", 1, 1)])
        before = seen(f"127.0.0.1:{old.port}", "anna")
        for who in ("files", "pop3"):
            self.assertEqual(seen(self.site.address, f"{who}@{self.domain}"), before)
        # Afterwards: a client deletes here, a letter comes late there.
        with self.site.login(f"files@{self.domain}", "wonder") as pop:
            pop.ok("DELE 1")
            pop.ok("QUIT")
        old.put([kit.letter(8)])
        self.assertEqual(self.move(path, "--final", *ca)["imported"], 2)
        after = seen(f"127.0.0.1:{old.port}", "anna")
        self.assertEqual(seen(self.site.address, f"files@{self.domain}"), after[1:])
        self.assertEqual(seen(self.site.address, f"pop3@{self.domain}"), after)

    def test_known_by_uidl(self):
        """What its server named by a UIDL that is here is not read again; what is marked as deleted there goes with --sync."""
        who = f"known@{self.domain}"
        folder = self.maildir("box", {1: kit.letter(1), 2: kit.letter(2), 3: kit.letter(3)})
        names = sorted(os.listdir(folder / "cur"))
        (folder / "dovecot-uidlist").write_text("3 V1700000000 N8 G0123456789abcdef0123456789abcdef\n" +
                                                "".join(f"{n} :{name.partition(':')[0]}\n" for n, name in enumerate(names, 1)), encoding="ascii")
        path = self.table(["address", "source"], [[who, folder]])
        self.assertEqual(self.move(path, "--sync")["imported"], 3)
        first = folder / "cur" / names[0]
        time = first.stat().st_mtime_ns
        first.write_bytes(b"From: x\n\nnot what was there\n")
        os.utime(first, ns=(time, time))
        (folder / "cur" / names[1]).rename(folder / "cur" / (names[1] + "T"))
        told = self.move(path, "--sync")["mailboxes"][0]
        self.assertEqual((told["imported"], told["there_already"], told["left_out_deleted"], told["removed"]), (0, 2, 1, 1))
        self.assertEqual(self.digests(who), self.digests_of([kit.letter(1), kit.letter(3)]))
        # Another folder may have the same UIDLs: other messages are told by their time, and copied.
        other = self.maildir("other", {1: kit.letter(11), 3: kit.letter(13)})
        (other / "dovecot-uidlist").write_bytes((folder / "dovecot-uidlist").read_bytes())
        path = self.table(["address", "source"], [[who, other]])
        self.assertEqual(self.move(path, exit=PARTLY)["imported"], 2)
        self.assertEqual(self.digests(who), self.digests_of([kit.letter(n) for n in (1, 3, 11, 13)]))

    def test_mbox_that_grows(self):
        """Mail that comes into an mbox after it was looked at is not taken for a file that is known by its UIDL."""
        who = f"grows@{self.domain}"
        folder = self.maildir("box", {1: kit.letter(1), 2: kit.letter(2)})
        (folder / "dovecot-uidlist").write_text("3 V1700000000 N8 G0123456789abcdef0123456789abcdef\n" +
                                                "".join(f"{n} :{name.partition(':')[0]}\n" for n, name in enumerate(sorted(os.listdir(folder / "cur")), 1)),
                                                encoding="ascii")
        mbox = self.dir / "mbox"
        mbox.write_bytes(b"From a@b Mon Jan  2 03:04:05 2023\n" + kit.letter(11).replace(b"\r\n", b"\n") + b"\n")
        path = self.table(["address", "source", "source"], [[who, mbox, folder]])
        self.move(path, exit=None)
        self.assertEqual(len(self.digests(who)), 3)
        # Behind the look, and in front of the first message, an import asks for the codec.
        lock = self.site.psql()
        self.addCleanup(lock.close)
        lock.ask("begin; lock table postern.policy in access exclusive mode")
        moving = subprocess.Popen(self.command(path), env=lab.plain_env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertTrue(kit.wait_until(lambda: self.site.sql(
            "select count(*) from pg_locks where not granted and relation = 'postern.policy'::regclass") == "1"))
        with open(mbox, "ab") as end:
            end.write(b"From a@b Mon Jan  2 03:04:06 2023\n" + kit.letter(12).replace(b"\r\n", b"\n") + b"\n")
        lock.ask("rollback")
        moving.communicate()
        self.assertEqual(self.digests(who), self.digests_of([kit.letter(n) for n in (1, 2, 11, 12)]))

    def test_servers(self):
        """Mail of POP3 servers, of which some are not as they should be; one password is wrong."""
        def server(*args, **quirks):
            made = OldServer(*args, **quirks)
            self.addCleanup(made.__exit__)
            return made

        def mail(*numbers):
            return [(f"old-{n}", kit.letter(n)) for n in numbers]

        good, wrong, cut = server(mail(1, 2, 3)), server(mail(4)), server(mail(5, 6), cut={2: 1})
        closed = server([])
        closed.__exit__()
        secret = self.dir / "secret"
        secret.write_text("wonder\n")
        rows = [[f"good@{self.domain}", good.url(), "anna", "wonder", ""], [f"wrong@{self.domain}", wrong.url(), "anna", "false", ""],
                [f"cut@{self.domain}", cut.url(), "anna", "", secret], [f"closed@{self.domain}", closed.url(), "anna", "wonder", ""],
                [f"odd@{self.domain}", "pop://", "anna", "x", ""], [f"none@{self.domain}", good.url(), "anna", "", ""],
                [f"file@{self.domain}", self.maildir("box", []), "anna", "wonder", ""]]
        path = self.table(["address", "source", "user", "secret", "secret_file"], rows)
        told = {m["line"]: m for m in self.move(path, "--accept", "plaintext", "--wait", "1", exit=PARTLY)["mailboxes"]}
        self.assertEqual([told[n]["state"] for n in range(2, 9)], ["done", "failed", "done", "failed", "refused", "refused", "refused"])
        self.assertIn("[AUTH] no", told[3]["reason"])
        self.assertNotIn("wonder", json.dumps(told))
        self.site.password(rows[0][0])
        with self.site.login(rows[0][0]) as pop:
            self.assertEqual(pop.uidl(), [b"old-1", b"old-2", b"old-3"])
            pop.ok("QUIT")
        self.assertEqual(self.digests(rows[2][0]), self.digests_of([kit.letter(5), kit.letter(6)]))
        # The second pass fetches what is new, and removes what has gone.
        del good.mail[1]
        good.mail.append(["old-9", kit.letter(9)])
        rows[1][3] = "wonder"
        fetched = len(good.fetched)
        path = self.table(["address", "source", "user", "secret", "secret_file"], rows[:3])
        told = {m["line"]: m for m in self.move(path, "--accept", "plaintext", "--sync")["mailboxes"]}
        self.assertEqual([(m["imported"], m["removed"]) for m in (told[2], told[3], told[4])], [(1, 1), (1, 0), (0, 0)])
        self.assertEqual(len(good.fetched), fetched + 1)
        self.assertEqual(self.digests(rows[0][0]), self.digests_of([kit.letter(n) for n in (1, 3, 9)]))

    def test_empty_spool(self):
        """Who has no mail has an empty mbox; who had some may have lost it, and keeps it here."""
        spool, who = self.dir / "anna", f"empty@{self.domain}"
        spool.write_bytes(b"")
        path = self.table(["address", "source"], [[who, spool]])
        self.assertEqual([m["state"] for m in self.move(path, "--sync")["mailboxes"]], ["done"])
        spool.write_bytes(b"From a@b Mon Jan  2 03:04:05 2023\n" + kit.letter(1).replace(b"\r\n", b"\n") + b"\n")
        self.assertEqual(self.move(path, "--sync")["imported"], 1)
        spool.write_bytes(b"")
        told = self.move(path, "--sync", exit=FAILED)["mailboxes"][0]
        self.assertIn("there is no message in the files, and all 1", told["reason"])
        self.assertEqual(self.move(path, "--sync", "--sync-limit", "100")["mailboxes"][0]["removed"], 1)

    def test_what_a_server_says_is_shown(self):
        """Not sent to the terminal as it is."""
        server = OldServer([("old-1", kit.letter(1))], login=["-ERR [IN-USE] \x1b]0;mine\x07 \x1b[2J"])
        self.addCleanup(server.__exit__)
        path = self.table(["address", "source", "user", "secret"], [[f"shown@{self.domain}", server.url(), "anna", "wonder"]])
        out = self.site.ctl("move", path, "--tenant", "house", "--accept", "plaintext", "--wait", "5").stdout
        self.assertRegex(out, rb"SERVER \S+ the server says: \[IN-USE\] .*; trying again in 1 s\n")
        self.assertNotIn(b"\x1b", out)

    def test_unreadable(self):
        """A file that nobody may read is told, and brought by the next run."""
        folder = self.maildir("box", [kit.letter(1), kit.letter(2)])
        closed = sorted((folder / "cur").iterdir())[0]
        closed.chmod(0)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "nobody:nogroup", folder], check=True)
        path = self.table(["address", "source"], [[f"closed@{self.domain}", folder], [f"open@{self.domain}", self.maildir("open", [kit.letter(3)])]])
        told = {m["line"]: m for m in self.move(path, exit=PARTLY)["mailboxes"]}
        self.assertEqual((told[2]["state"], told[2]["imported"], told[3]["state"]), ("partly", 1, "done"))
        self.assertEqual([(n["kind"], n["file"], n["reason"]) for n in told[2]["notes"]], [("REJECTED", str(closed), "permission denied")])
        closed.chmod(0o644)
        self.assertEqual(self.move(path)["imported"], 1)

    def test_what_is_asked(self):
        path = self.table(["address"], [[f"a@{self.domain}"]])
        self.assertIn("its domain is not here", self.move(path, exit=FAILED, tenant=False)["mailboxes"][0]["reason"])
        self.assertIn("no such mailbox", self.move(path, "--no-create", exit=FAILED, tenant=False)["mailboxes"][0]["reason"])
        for args, status in ((["--tenant", "nobody"], FAILED), (["--tenant", "house", "--no-create"], USAGE), (["--final", "--with", "gone"], USAGE),
                             (["--final", "--sync"], USAGE), (["--sync-limit", "10"], USAGE), (["--master", "m"], USAGE),
                             (["--jobs", "0"], USAGE), (["--jobs", "65"], USAGE), (["--format", "mbx"], USAGE)):
            self.assertEqual(self.site.ctl("move", path, *args, check=False).returncode, status, args)
        for text, reason in (("", "no line that names"), ("address;adress\n", 'no column "adress"'), ("source\nx\n", "must name"),
                             ("address,address\n", "too often"), ("\0\0\n", "NUL"), ("# none\naddress\n", "no line follows")):
            bad = self.dir / "bad.csv"
            bad.write_text(text, encoding="utf-8")
            done = self.site.ctl("move", bad, check=False)
            self.assertEqual(done.returncode, FAILED)
            self.assertIn(reason, done.stdout.decode())

    def test_forms_of_tables(self):
        """What spreadsheets and awk write."""
        one = self.dir / "with, comma; and \"quote\".eml"
        one.write_bytes(kit.letter(1))
        quoted = '"' + str(one).replace('"', '""') + '"'
        for n, text in enumerate((f"\ufeffAddress,Source,Quota\r\nf0@{self.domain},{quoted},none\r\n",
                                  f"# for tonight\n\naddress;source\n f1@{self.domain} ;{quoted}\n#f9@{self.domain};\n",
                                  f"address\tsource\tsource\nf2@{self.domain}\t{quoted}\t\n",
                                  f'"source","address"\n{quoted},"F3@{self.domain.upper()}"')):
            path = self.dir / "form.csv"
            path.write_text(text, encoding="utf-8")
            told = self.move(path)
            self.assertEqual((told["lines"], told["imported"]), (1, 1), text)
            self.assertEqual(self.digests(f"f{n}@{self.domain}"), self.digests_of([kit.letter(1)]))

    def test_table_for_people(self):
        folder = self.maildir("box", [kit.letter(1), b"no mail at all\n"])
        path = self.table(["address", "source", "hash"], [["a", folder, ""], ["b", "", ""], ["c", "", "{CRAM-MD5}secret"]])
        would = self.site.ctl("move", path, "--tenant", "house", "--domain", self.domain, "--dry-run", check=False).stdout.decode()
        self.assertIn("make the domain, make the mailbox", would)
        self.assertIn(f"would move 1 of 3 mailboxes: 1 messages, {len(kit.canonical(kit.letter(1)))} octets", would)
        done = self.site.ctl("move", path, "--tenant", "house", "--domain", self.domain, check=False)
        out = done.stdout.decode()
        self.assertEqual(done.returncode, PARTLY, out)
        self.assertIn(f"PASSWORD line 4 c@{self.domain}: the password hash cannot be used: it is the state of CRAM-MD5", out)
        self.assertIn(f"a@{self.domain} REJECTED ", out)
        rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()[:1].isdigit()}
        self.assertEqual(rows["2"][1:4], [f"a@{self.domain}", "partly", "1"])
        self.assertEqual(rows["3"][1:4], [f"b@{self.domain}", "done", "0"])
        self.assertEqual(rows["4"][1:4], [f"c@{self.domain}", "partly", "0"])
        self.assertIn("1 rejected", out)
        self.assertIn("moved 1 of 3 mailboxes", out)
        self.assertNotIn("secret", out)

    def test_dovecot(self):
        """A Maildir of Dovecot brings its UIDLs along; that of another format says so by its column."""
        folder = self.maildir("box", {n: kit.letter(n) for n in (1, 2)})
        names = sorted(os.listdir(folder / "cur"))
        (folder / "dovecot-uidlist").write_text("3 V1700000000 N8 G0123456789abcdef0123456789abcdef\n" +
                                                "".join(f"{uid} :{name.partition(':')[0]}\n" for uid, name in zip((5, 7), reversed(names))), encoding="ascii")
        path = self.table(["address", "source", "uidl_format"],
                          [[f"x@{self.domain}", folder, ""], [f"y@{self.domain}", folder, "%v.%u"], [f"z@{self.domain}", folder, "%q"]])
        told = {m["line"]: m for m in self.move(path, exit=PARTLY)["mailboxes"]}
        self.assertEqual([told[n]["state"] for n in (2, 3, 4)], ["done", "done", "refused"])
        self.site.password(f"y@{self.domain}")
        with self.site.login(f"y@{self.domain}") as pop:
            self.assertEqual(pop.uidl(), [b"1700000000.5", b"1700000000.7"])
            pop.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
