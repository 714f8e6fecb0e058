"""`disclose` and `erase`: what a person may ask for (GDPR 15 and 17), of a mailbox that is there or was removed."""
import json
import pathlib
import time
import unittest

import kit

ANNA, BERT = "anna@example.org", "bert@example.org"


class Person(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("person-", kit.QUICK)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()

    def setUp(self):
        for who in (ANNA, BERT):
            if self.site.sql(f"select count(*) from postern.mailbox where address = '{who}'") == "0":
                self.site.account(who, [kit.letter(1), kit.letter(2), kit.letter(3)])
        self.number = self.site.mailbox(ANNA)

    def session(self, who):
        with self.site.login(who) as pop:
            pop.retr(1)
            pop.ok("DELE 1")
            pop.ok("QUIT")

    def mark(self):
        """Something in every table that can hold something of hers."""
        self.site.ctl("policy", "set", "--mailbox", ANNA, "undelete=7d")
        self.session(ANNA)
        self.session(BERT)
        self.site.ctl("alias", "add", "team@example.org", ANNA, BERT)
        self.addCleanup(self.site.ctl, "alias", "remove", "team@example.org", check=False)
        self.site.ctl("app-password", "add", ANNA, "phone")
        self.site.sql(f"insert into postern.known_address (mailbox, network, seen) values ({self.number}, '192.0.2.0/24', current_date)")
        self.site.sql(f"select postern.count_failure('{ANNA}', 600000, 10)")

    def json(self, *args, check=True):
        return json.loads(self.site.ctl("--json", *args, check=check).stdout)

    def rows(self, *args):
        return {row["what"]: row["rows"] for row in self.json("erase", *args)["known"]}

    def left(self, number):
        """Tables with rows of that mailbox: any column of that name."""
        tables = self.site.sql("select c.relname from pg_attribute a join pg_class c on c.oid = a.attrelid where a.attname = 'mailbox'"
                               " and c.relnamespace = 'postern'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition").split()
        self.assertIn("history", tables)
        return {t for t in tables if self.site.sql(f"select count(*) from postern.{t} where mailbox = {number}") != "0"}

    def test_erase(self):
        self.mark()
        known = self.rows(ANNA, "--dry-run")
        self.assertEqual(known, {"mailbox": 1, "messages": 2, "deleted messages": 1, "secrets": 2, "aliases that mean it": 1, "policies": 1,
                                 "known networks": known["known networks"], "digests of imported messages": 3, "history": 2,
                                 "failed logins": 1, "changes by operators": known["changes by operators"]} |
                         {k: v for k, v in known.items() if "removed" in k})
        refused = self.site.ctl("erase", ANNA, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"add --yes to erase all of it", refused.stdout + (refused.stderr or b""))
        self.assertEqual(self.left(self.number), {"mailbox", "message", "deleted", "credential", "alias", "policy", "known_address",
                                                  "imported", "history", "audit"})
        bert = self.left(self.site.mailbox(BERT))
        done = self.json("erase", ANNA, "--yes")
        self.assertEqual({row["what"]: row["rows"] for row in done["erased"]}, known)
        self.assertIn("back-ups, archived WAL and standbys", [row["what"] for row in done["kept"]])
        self.assertEqual(self.left(self.number), set())
        self.assertEqual(self.left(self.site.mailbox(BERT)), bert)
        self.assertEqual(self.site.sql("select count(*) from postern.removed"), "0")
        self.assertEqual(self.site.ctl("erase", ANNA, "--yes", check=False).returncode, 1)
        self.site.checked()

    def test_removed_before(self):
        """The name of a mailbox that is gone finds its history; one of the same name that is there stays."""
        self.session(ANNA)
        self.site.ctl("mailbox", "remove", ANNA, "--yes")
        self.assertEqual(self.left(self.number), {"history", "removed", "audit"})
        self.assertNotIn("anna", self.site.sql("select * from postern.removed"))
        self.site.account(ANNA, [kit.letter(7)])
        second = self.site.mailbox(ANNA)
        self.session(ANNA)
        known = self.rows(ANNA, "--removed", "--dry-run")
        self.assertEqual(known, {"removed mailboxes": 1, "history of removed mailboxes": 2,
                                 "changes of removed mailboxes": known["changes of removed mailboxes"]})
        self.site.ctl("erase", ANNA, "--removed", "--yes")
        self.assertEqual(self.left(self.number), set())
        self.assertTrue({"mailbox", "history"} <= self.left(second))

    def test_held(self):
        """Not while a session holds the maildrop, unless forced."""
        self.session(ANNA)
        with self.site.login(ANNA) as pop:
            pop.retr(1)
            self.assertEqual(self.site.ctl("erase", ANNA, "--yes", check=False).returncode, 1)
            self.site.ctl("erase", ANNA, "--yes", "--force")
            pop.ok("NOOP")
        self.assertTrue(kit.wait_until(lambda: self.site.sql("select count(*) from postern.held_maildrops()") == "0"))

    def test_session_that_outlives_it(self):
        """What it did is noted at its end: of nobody's mailbox, with the address of the client, where no verb would find it."""
        for last in ("NOOP", "DELE 1"):
            with self.subTest(last=last):
                self.site.ctl("mailbox", "remove", ANNA, "--yes", "--force", check=False)
                self.setUp()
                self.session(ANNA)      # of which erase finds something
                pop = self.site.login(ANNA)
                pop.retr(1)
                pop.ok(last)
                self.site.ctl("erase", ANNA, "--yes", "--force")
                pop.cmd("QUIT")
                pop.close()
                time.sleep(2.5)         # workers write those of a second at its end
                self.assertEqual(self.left(self.number), set())

    def test_history_of_a_removed_one(self):
        """Removed and not erased, it keeps that of the session that outlived it."""
        self.site.ctl("mailbox", "remove", ANNA, "--yes", "--force")
        self.setUp()
        pop = self.site.login(ANNA)
        pop.retr(1)
        self.site.ctl("mailbox", "remove", ANNA, "--yes", "--force")
        pop.cmd("QUIT")
        pop.close()
        self.assertTrue(kit.wait_until(lambda: "history" in self.left(self.number)))
        self.site.ctl("erase", ANNA, "--removed", "--yes")
        self.assertEqual(self.left(self.number), set())

    def test_goes_with_the_history(self):
        self.site.ctl("mailbox", "remove", ANNA, "--yes")
        self.site.sql(f"update postern.removed set removed_at = now() - interval '400 days' where mailbox = {self.number}")
        self.site.ctl("expire")
        self.assertNotIn("removed", self.left(self.number))

    def test_disclose(self):
        self.mark()
        path = pathlib.Path(self.site.dir) / f"anna-{time.monotonic_ns()}"
        self.site.ctl("disclose", ANNA, str(path))
        text = (path / "data.json").read_text()
        data = json.loads(text)
        self.assertEqual(data["mailbox"]["messages"], 2)
        self.assertEqual({(s["kind"], s["name"]) for s in data["secrets"]}, {("password", None), ("app-password", "phone")})
        self.assertEqual([a["address"] for a in data["aliases"]], ["team@example.org"])
        self.assertEqual(data["policy"]["undelete"], 7)
        self.assertIn("192.0.2.0/24", [n["network"] for n in data["known_networks"]])
        self.assertEqual(([m["uid"] for m in data["messages"]], [m["uid"] for m in data["deleted_messages"]]), ([2, 3], [1]))
        self.assertEqual([h["what"] for h in data["history"]], ["deletion", "session"])
        self.assertTrue(all(h["peer"].startswith("127.0.0.1:") for h in data["history"]))
        self.assertIsNotNone(data["failed_logins_until"])
        for secret in self.site.sql(f"select secret from postern.credential where mailbox = {self.number}").split("\n"):
            self.assertNotIn(secret, text)
        self.assertNotIn(BERT, text)
        mails = sorted((path / "mail").iterdir())
        self.assertEqual([m.read_bytes() for m in mails], [kit.letter(2), kit.letter(3)])
        self.assertEqual({p.stat().st_mode & 0o77 for p in (path, path / "data.json", path / "mail", *mails)}, {0})
        self.assertEqual(self.site.ctl("disclose", ANNA, str(path), check=False).returncode, 1)     # never over what is there
        self.site.ctl("mailbox", "remove", ANNA, "--yes")
        self.site.ctl("disclose", ANNA, str(path) + "-removed")
        data = json.loads((path.parent / (path.name + "-removed") / "data.json").read_text())
        self.assertEqual([h["what"] for r in data["removed_mailboxes"] for h in r["history"]][-2:], ["deletion", "session"])
        self.assertEqual(self.site.ctl("disclose", "ghost@example.org", str(path) + "-ghost", check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
