"""Room: what it takes, what expires, what is removed, what is read back."""
import json
import unittest

import kit

DAY = "interval '1 day'"


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("space-", kit.QUICK + "cells = 1;\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()

    def json(self, *args, exit=0):
        done = self.site.ctl("--json", *args, check=False)
        self.assertEqual(done.returncode, exit, done.stdout)
        return json.loads(done.stdout)

    def uids(self, who):
        return [m["uid"] for m in self.json("message", "list", who)]

    def policy(self, who, column, days):
        self.site.sql(f"insert into postern.policy (mailbox, {column}) values ({self.site.mailbox(who)}, {days})")


class Expire(Base):
    def test_days_after_delivery(self):
        who, spared = "delivered@example.org", "spared@example.org"
        for address in (who, spared):
            self.site.account(address, [kit.letter(n) for n in range(6)])
        self.policy(who, "expire_delivered", 30)
        self.site.sql(f"update postern.message set received_at = now() - 31 * {DAY} where uid <= 4")
        text = self.site.ctl("expire", "--dry-run").stdout.decode()
        self.assertIn(f"{who}: 4 message(s)", text)
        self.assertNotIn(spared, text)
        self.assertEqual(len(self.uids(who)), 6)
        # A maildrop that is open is not touched.
        with self.site.login(who) as pop:
            done = self.json("expire")
            self.assertEqual((done["held"], done["messages"]), (1, 0))
            self.assertEqual(pop.retr(1), kit.letter(0))
            pop.ok("QUIT")
        self.assertEqual(self.json("expire", "--mailbox", spared)["messages"], 0)
        done = self.json("expire", "--batch", "3", "--domain", "example.org")
        self.assertEqual((done["held"], done["messages"], done["mailboxes"]), (0, 4, 1))
        self.assertEqual((self.uids(who), len(self.uids(spared))), ([5, 6], 6))
        self.assertEqual([e["means"] for e in self.json("history", who) if e["event"] == "deletion"], ["expire"] * 4)
        self.assertEqual(self.json("expire")["messages"], 0)
        self.site.checked()

    def test_days_after_retrieval(self):
        who = "retrieved@example.org"
        self.site.account(who, [kit.letter(n) for n in range(4)])
        self.policy(who, "expire_retrieved", 7)
        with self.site.login(who) as pop:
            pop.retr(1)
            pop.retr(2)
            pop.multi("TOP 3 1")            # a look is not a retrieval
            pop.ok("QUIT")
        mailbox = self.site.mailbox(who)
        retrieved = f"select uid from postern.message where mailbox = {mailbox} and retrieved_at is not null order by 1"
        self.assertTrue(kit.wait_until(lambda: self.site.sql(retrieved) == "1\n2"), "noted behind the session's back")
        self.assertEqual(self.json("expire")["messages"], 0)
        self.site.sql(f"update postern.message set retrieved_at = retrieved_at - 8 * {DAY} where mailbox = {mailbox} and uid = 1")
        with self.site.login(who) as pop:   # once more: it is the first time that counts; and one is deleted too
            pop.retr(1)
            pop.retr(3)
            pop.ok("DELE 4")
            pop.ok("QUIT")
        self.assertEqual(self.json("expire")["messages"], 1)
        self.assertEqual(self.uids(who), [2, 3])
        self.assertEqual(self.site.sql(f"select count(retrieved_at) from postern.message where mailbox = {mailbox}"), "2")
        self.site.checked()


class Du(Base):
    def test_mail(self):
        self.site.ctl("tenant", "add", "umbrella")
        self.site.ctl("domain", "add", "umbrella.example", "--tenant", "umbrella")
        for name in ("a", "b"):
            self.site.ctl("mailbox", "add", f"{name}@umbrella.example")
        self.site.sql("""do $$ declare c bigint[]; begin
            c := postern.put_contents('{3}', array[sha256('')], '{2}');
            perform postern.put_parts(c, '{0}', array['abc'::bytea]);
            perform postern.put_messages(b.mailbox, c, null, null, null) from postern.mailbox b where address like '%@umbrella.example';
            end $$""")
        rows = self.json("du", "--domain", "umbrella.example")["mail"]
        self.assertEqual([(r["name"], r["messages"], r["octets"], r["stored_octets"], r["shared_octets"]) for r in rows],
                         [("a@umbrella.example", 1, 3, 3, 0), ("b@umbrella.example", 1, 3, 3, 0), (None, 2, 6, 3, 3)])
        self.assertEqual([r["name"] for r in self.json("du", "--tenant", "umbrella")["mail"]], ["umbrella.example", None])
        whole = self.json("du")
        self.assertIn("umbrella", [r["name"] for r in whole["mail"]])
        self.assertGreater(whole["database_octets"], 1000000)
        tables = {t["name"]: t for t in whole["tables"]}
        self.assertLessEqual({"message", "content", "content_part", "history", "deleted", "mailbox"}, set(tables))
        self.assertNotIn("history_rest", tables)
        self.assertEqual(self.site.ctl("du", "--tenant", "a", "--mailbox", "b@c.d", check=False).returncode, 2)
        self.assertEqual(self.site.ctl("du", "--tenant", "nobody", check=False).returncode, 1)

    def test_advice(self):
        self.site.sql("alter table postern.delivery set (autovacuum_enabled = off)")
        self.site.sql("insert into postern.delivery select decode(lpad(to_hex(n), 32, '0'), 'hex'), now() from generate_series(1, 4000) n")
        self.site.sql("delete from postern.delivery")

        def advice():
            return next(t for t in self.json("du")["tables"] if t["name"] == "delivery")["advice"]
        self.assertTrue(kit.wait_until(lambda: advice() is not None))
        self.assertIn("vacuum has never run although 100 % is dead: look at", advice())
        self.assertIn(b"delivery", self.site.ctl("du").stdout)
        self.site.sql("vacuum postern.delivery")
        self.assertTrue(kit.wait_until(lambda: advice() is None))


class Remove(Base):
    def test_tenant(self):
        self.site.ctl("tenant", "add", "leaving")
        self.site.ctl("domain", "add", "leaving.example", "--tenant", "leaving")
        self.site.ctl("domain", "add", "leaving.test", "--alias-of", "leaving.example")
        names = [f"{n}@leaving.example" for n in range(3)]
        for who in names:
            self.site.account(who, [kit.letter(n) for n in range(5)])
        self.policy(names[0], "undelete", 5)
        with self.site.login(names[0]) as pop:
            pop.ok("DELE 1")
            pop.ok("QUIT")
        text = self.site.ctl("tenant", "remove", "leaving", "--dry-run").stdout.decode()
        self.assertIn("2 domain(s) with 3 mailbox(es), 14 message(s)", text)
        self.assertEqual(len(self.uids(names[0])), 4)
        self.assertEqual(self.site.ctl("tenant", "remove", "leaving", check=False).returncode, 1)
        self.assertTrue(self.json("tenant", "show", "leaving")["enabled"])

        # While a session holds one it stops there, with the tenant disabled, and can be asked again.
        with self.site.login(names[1]) as pop:
            done = self.site.ctl("tenant", "remove", "leaving", "--yes", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"a session holds the maildrop of " + names[1].encode(), done.stdout)
            self.assertIn(b"repeat the command to continue", done.stdout)
            self.assertEqual(len(self.json("mailbox", "list", "leaving.example")), 2)
            self.assertEqual(pop.retr(5), kit.letter(4))
            pop.ok("QUIT")
        with self.site.connect() as pop:
            pop.ok("USER " + names[2])
            pop.err("PASS " + kit.PASSWORD)
        self.site.ctl("tenant", "remove", "leaving", "--yes")
        self.assertEqual(self.site.ctl("tenant", "show", "leaving", check=False).returncode, 1)
        self.assertEqual(self.site.sql("select count(*) from postern.deleted"), "0")
        self.site.checked()

    def test_in_batches(self):
        """What was interrupted between two batches goes on; no mail comes in meanwhile."""
        who = "batches@example.org"
        self.site.account(who, [kit.letter(n) for n in range(7)])
        self.assertEqual(self.site.sql(f"select messages, gone from postern.remove_mailbox('{who}', false, 3)"), "3|f")
        shown = self.json("mailbox", "show", who)
        self.assertEqual((shown["enabled"], shown["messages"]), (False, 4))
        self.site.checked()
        self.site.ctl("mailbox", "remove", who, "--yes")
        self.assertEqual(self.site.ctl("mailbox", "show", who, check=False).returncode, 1)
        self.site.checked()


class Verify(Base):
    def test_damage_and_resume(self):
        who = "verify@example.org"
        self.site.account(who, [kit.letter(n, 20000) for n in range(20)])
        whole = self.json("verify", "--rate", "100")
        self.assertEqual((whole["contents_read"], whole["wrong"], whole["complete"]), (20, 0, True))
        self.assertEqual(whole["octets_read"], int(self.site.sql("select sum(octets) from postern.content")))
        fifth = self.site.sql("select content from postern.content order by 1 offset 4 limit 1")
        tenth = self.site.sql("select content from postern.content order by 1 offset 9 limit 1")
        self.site.sql(f"update postern.content_part set data = overlay(data placing 'XX'::bytea from 1) where content in ({fifth}, {tenth}) and part = 1")
        found = self.json("verify", exit=1)
        self.assertEqual((found["contents_read"], found["wrong"]), (20, 2))
        self.assertIn(f"content {fifth}", found["problems"][0])
        self.assertIn(f"{who} uid 5", found["problems"][0])
        # As if it had been killed behind the seventh.
        self.site.sql(f"update postern.verification set finished_at = null, content = {fifth}::bigint + 2, contents = 7, octets = 1, damaged = 1")
        found = self.json("verify", "--resume", exit=1)
        self.assertEqual((found["contents_read"], found["wrong"], len(found["problems"])), (20, 2, 1))
        # The last one came to its end: there is nothing to resume.
        self.assertEqual(self.json("verify", "--resume", exit=1)["wrong"], 2)
        # `check` reads the same way.
        self.assertEqual(self.json("check", exit=1)["wrong"], 2)


if __name__ == "__main__":
    unittest.main()
