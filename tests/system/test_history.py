"""Where did my mail go: deletions and sessions are noted, deletions undone, large ones reclaimed behind QUIT's back (P2)."""
import json
import unittest

import kit


class Base(unittest.TestCase):
    conf = ""

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("history-", kit.QUICK + "cells = 1;\n" + cls.conf)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()

    def json(self, *args, check=True):
        return json.loads(self.site.ctl("--json", *args, check=check).stdout)

    def history(self, who, *events):
        return [e for e in self.json("history", who) if not events or e["event"] in events]

    def delete(self, who, numbers, retrieve=()):
        """The UIDLs of what was deleted."""
        with self.site.login(who) as pop:
            uidls = [line.decode().split()[1] for line in pop.multi("UIDL")]
            for n in retrieve:
                pop.retr(n)
            for n in numbers:
                pop.ok(f"DELE {n}")
            pop.ok("QUIT")
        return [uidls[n - 1] for n in numbers]

    def policy(self, who, column, days):
        self.site.sql(f"insert into postern.policy (mailbox, {column}) values ({self.site.mailbox(who)}, {days})"
                      f" on conflict (tenant, domain, mailbox) do update set {column} = {days}")

    def contents(self, who):
        """Octets of mail that the database holds for it, deleted or not."""
        return int(self.site.sql(f"""select coalesce(sum(c.octets), 0) from postern.content c
            where c.content in (select r.content from postern.reference r where r.mailbox = {self.site.mailbox(who)})"""))

    def until(self, test, what):
        self.assertTrue(kit.wait_until(test), what)


class History(Base):
    def test_fetch_and_delete(self):
        who = "fetch@example.org"
        letters = [kit.letter(n) for n in range(3)]
        self.site.account(who, letters)
        uidls = self.delete(who, [1, 3], retrieve=[1, 2])
        events = self.history(who)
        self.assertEqual([e["event"] for e in events], ["delivery"] * 3 + ["login"] + ["deletion"] * 2)
        login = events[3]
        self.assertEqual((login["messages"], login["octets"], login["means"]), (2, len(letters[0]) + len(letters[1]), "pop3"))
        for e, uidl, letter in zip(events[4:], uidls, (letters[0], letters[2])):
            self.assertEqual((e["uidl"], e["octets"], e["means"], e["session"], e["peer"]),
                             (uidl, len(letter), "pop3", login["session"], login["peer"]))
            self.assertIsNone(e["undelete_until"])
        self.assertIn(login["session"], self.site.log_text())
        self.assertTrue(login["peer"].startswith("127.0.0.1:"))
        self.assertEqual([e["uid"] for e in self.history(who, "delivery")], [1, 2, 3])
        for since, count in (("1h", 6), ("today", 6), ("yesterday", 6), ("2026-01-01", 6), ("2026-01-01 10:00", 6)):
            self.assertEqual(len(self.json("history", who, "--since", since)), count, since)
        for verb in ("history", "undelete"):
            for since, why in (("2999-01-01", "the time is in the future"), ("tomorrow", "a time is 10m"), ("10", "a time is 10m")):
                done = self.site.ctl(verb, who, "--since", since, check=False)
                self.assertEqual(done.returncode, 2)
                self.assertIn(why, (done.stdout + (done.stderr or b"")).decode())
        self.assertEqual(self.contents(who), len(letters[1]))
        self.site.checked()

    def test_durations_of_policies(self):
        """Typed as those of --since, and in the unit of each."""
        who = "durations@example.org"
        self.site.account(who)
        self.site.ctl("policy", "set", "--mailbox", who, "undelete=7d", "login_delay=2m", "trace=30m", "expire_delivered=48h", "expire_retrieved=30")
        row = self.json("policy", "show", "--mailbox", who)[0]
        self.assertEqual((row["undelete"], row["login_delay"], row["expire_delivered"], row["expire_retrieved"]), (7, 120, 2, 30))
        self.assertEqual(self.site.sql("select trace_until - clock_timestamp() between '25 min' and '30 min' from postern.policy where trace_until is not null"), "t")
        self.site.ctl("policy", "clear", "--mailbox", who)
        for wrong in ("undelete=7h", "login_delay=10ms", "undelete=7w"):
            self.assertEqual(self.site.ctl("policy", "set", "--mailbox", who, wrong, check=False).returncode, 1, wrong)

    def test_poll_leaves_nothing(self):
        who = "poll@example.org"
        self.site.account(who, [kit.letter(1)])
        with self.site.login(who) as pop:
            pop.multi("UIDL")
            pop.multi("TOP 1 0")
            pop.ok("QUIT")
        self.assertEqual([e["event"] for e in self.history(who)], ["delivery"])

    def test_who_leaves_mail_there(self):
        who = "leave@example.org"
        self.site.account(who, [kit.letter(1), kit.letter(2)])
        self.delete(who, [], retrieve=[1])
        with self.site.login(who) as pop:       # and hangs up
            pop.retr(1)
            pop.retr(2)
            pop.multi("TOP 2 99999999")         # all of it, once more: counts once
        self.until(lambda: len(self.history(who, "login")) == 2, "two logins")
        self.assertEqual([e["messages"] for e in self.history(who, "login")], [1, 2])
        self.assertEqual(self.site.sql(f"select count(retrieved_at) from postern.message where mailbox = {self.site.mailbox(who)}"), "0")

    def test_operator_and_own_uidls(self):
        who = "operator@example.org"
        self.site.account(who, [])
        mbox = self.site.dir / "old.eml"
        mbox.write_bytes(kit.letter(1))
        (self.site.dir / "old.uidls").write_text("from-the-old-server\n")
        self.site.ctl("import", who, str(mbox), "--uidls", str(self.site.dir / "old.uidls"))
        self.site.ctl("message", "remove", who, "1")
        e = self.history(who, "deletion")[0]
        self.assertEqual((e["uidl"], e["means"], e["session"]), ("from-the-old-server", "operator", None))

    def test_days(self):
        """A day that nobody made a partition for takes its rows all the same; old days are dropped."""
        who = "days@example.org"
        self.site.account(who, [kit.letter(1), kit.letter(2)])
        self.delete(who, [1])
        dropped = 0
        while self.site.sql("select postern.drop_history((now() + interval '99 days')::date)") != "":
            dropped += 1
        self.assertGreaterEqual(dropped, 8)
        self.assertEqual(self.history(who, "deletion"), [])
        self.delete(who, [1])
        self.assertEqual(self.site.sql("select count(*) > 0 from postern.history_rest"), "t")
        self.site.sql("""create table postern.history_20200102 partition of postern.history for values from ('2020-01-02 00:00+0')
                                                                                     to ('2020-01-03 00:00+0');
            insert into postern.history (at, mailbox, what, octets, since) values ('2020-01-02 12:00+0', 1, 'session', 1, now()),
                                                                                  ('2020-01-01 12:00+0', 1, 'session', 1, now())""")
        self.assertEqual(self.json("expire", "--dry-run")["history_days_dropped"], 1)
        done = self.json("expire")
        # Not today's: it has rows elsewhere.
        self.assertEqual((done["history_days_dropped"], done["history_days_made"], done["complete"]), (1, 7, True))
        self.assertEqual(self.site.sql("select count(*) from postern.history where at < '2021-01-01'"), "0")
        self.assertEqual(len(self.history(who, "deletion")), 1)
        self.assertEqual(self.json("expire")["history_days_made"], 0)


class Undelete(Base):
    def test_back(self):
        who = "back@example.org"
        letters = [kit.letter(n) for n in range(4)]
        self.site.account(who, letters)
        self.policy(who, "undelete", 3)
        uidls = self.delete(who, [1, 2, 4])
        self.assertEqual(self.contents(who), sum(map(len, letters)))
        self.assertEqual(self.json("mailbox", "show", who)["octets"], len(letters[2]))
        deletion = self.history(who, "deletion")[0]
        self.assertIsNotNone(deletion["undelete_until"])
        space = self.json("du", "--mailbox", who)["mail"][0]
        self.assertEqual((space["undeletable"], space["undeletable_octets"]), (3, sum(map(len, letters)) - len(letters[2])))
        self.json("expire")                                     # not yet
        self.site.checked()
        self.assertEqual([m["uidl"] for m in self.json("undelete", who, "--dry-run")], uidls)
        self.assertEqual([m["new_uid"] for m in self.json("undelete", who, "--uid", "2")], [5])
        self.assertEqual(len(self.json("undelete", who, "--session", deletion["session"])), 2)
        self.assertEqual(self.site.ctl("undelete", who, check=False).returncode, 1)
        self.assertEqual(self.site.fetched(who), [letters[2], letters[1], letters[0], letters[3]])
        with self.site.login(who) as pop:
            now = [line.decode().split()[1] for line in pop.multi("UIDL")]
        self.assertFalse(set(now) & set(uidls), "a client would take them for messages that it has")
        self.assertEqual(len(self.history(who, "undelete")), 3)
        self.site.checked()

    def test_quota(self):
        who = "full@example.org"
        self.site.account(who, [kit.letter(1, 2000)])
        self.policy(who, "undelete", 3)
        self.delete(who, [1])
        self.site.ctl("mailbox", "set", who, "--quota", "1k")
        done = self.site.ctl("undelete", who, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"quota", done.stdout)
        self.site.ctl("mailbox", "set", who, "--quota", "none", "--quota-messages", "0")
        self.assertIn(b"is 0 messages, 0 are used, 1 more", self.site.ctl("undelete", who, check=False).stdout)
        self.site.ctl("mailbox", "set", who, "--quota-messages", "none")
        self.site.ctl("undelete", who)
        self.site.checked()

    def test_grace_is_over(self):
        who = "over@example.org"
        self.site.account(who, [kit.letter(1), kit.letter(2)])
        self.policy(who, "undelete", 1)
        self.delete(who, [1, 2])
        self.site.sql(f"update postern.deleted set until = now() where mailbox = {self.site.mailbox(who)} and uid = 1")
        self.assertEqual([m["uid"] for m in self.json("undelete", who, "--dry-run")], [2])
        self.site.ctl("expire")
        self.assertEqual(self.contents(who), len(kit.letter(2)))
        self.assertEqual(self.site.sql("select count(*) from postern.content_part p where not exists"
                                       " (select from postern.content c where c.content = p.content)"), "0")
        self.site.checked()

    def test_shared_content(self):
        """One content in two mailboxes: deleted in both, brought back in one, reclaimed in the other."""
        one, other = "one@example.org", "other@example.org"
        for who in (one, other):
            self.site.account(who)
            self.policy(who, "undelete", 1)
        self.site.sql(f"""do $$ declare c bigint[]; begin
            c := postern.put_contents('{{3}}', array[decode('{32 * "00"}', 'hex')], '{{2}}');
            perform postern.put_parts(c, '{{0}}', array['abc'::bytea]);
            perform postern.put_messages(b.mailbox, c, null, null, null) from postern.mailbox b
              where address in ('{one}', '{other}') ; end $$""")
        for who in (one, other):
            self.delete(who, [1])
        self.site.sql(f"update postern.deleted set until = now() where mailbox = {self.site.mailbox(other)}")
        self.site.ctl("expire")
        self.site.ctl("undelete", one)
        self.assertEqual(self.site.sql(f"select c.refs from postern.content c join postern.message m using (content)"
                                       f" where m.mailbox = {self.site.mailbox(one)}"), "1")
        with self.site.login(one) as pop:
            self.assertEqual(pop.multi("RETR 1"), [b"abc"])
        self.assertEqual(self.json("check", "--quick")["wrong"], 0)


class Large(Base):
    """What takes long is not done in front of QUIT's reply."""

    def fill(self, who):
        self.site.account(who, [kit.letter(n, 100000) for n in range(80)])

    def left(self, who):
        return int(self.site.sql(f"select count(*) from postern.deleted where mailbox = {self.site.mailbox(who)}"))

    def test_room_comes_back(self):
        who = "large@example.org"
        self.fill(who)
        self.delete(who, range(1, 80))
        self.until(lambda: self.left(who) == 0, "reclaimed by the worker")
        self.assertEqual(self.contents(who), len(kit.letter(79, 100000)))
        self.assertEqual(len(self.history(who, "deletion")), 79)
        self.assertEqual(self.site.ctl("undelete", who, check=False).returncode, 1)
        self.site.checked()

    def test_worker_is_killed(self):
        """P2: nothing is lost, and what it left undone `expire` does."""
        who = "killed@example.org"
        self.fill(who)
        _, workers, _ = self.site.tree()
        self.delete(who, range(1, 80))
        for pid in workers:
            kit.kill(pid)
        self.site.checked()
        self.site.ctl("expire")
        self.assertEqual((self.left(who), self.contents(who)), (0, len(kit.letter(79, 100000))))
        self.site.login_soon(who).ok("QUIT")
        self.assertEqual(self.site.fetched(who), [kit.letter(79, 100000)])
        self.site.checked()


if __name__ == "__main__":
    unittest.main()
