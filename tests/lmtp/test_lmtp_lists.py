"""Mail to an address that means several mailboxes, some of which cannot take it (LW07, LW08, LE06, LE07, LD15)."""
import json
import re
import threading
import unittest

from lmtpkit import DOMAIN, LETTER, U1, U2, U3, Case, kit

FULL, OFF, LIST = f"full@{DOMAIN}", f"off@{DOMAIN}", f"list@{DOMAIN}"
SMALL, BIG = kit.letter(1, 3000), kit.letter(1, 600000)


class Lists(Case):
    """FULL has room for LETTER, not for SMALL; BIG is larger than its quota."""

    @classmethod
    def prepare(cls):
        cls.site.users("full", "off")
        cls.site.ctl("mailbox", "set", FULL, "--quota", "4000")
        cls.site.ctl("mailbox", "disable", OFF)

    def setUp(self):
        super().setUp()
        self.site.empty("full")
        self.connect().deliver(kit.letter(1, 2000), FULL)
        self.since = len(self.site.log_text())

    def alias(self, address, *members):
        self.site.ctl("alias", "add", address, *members, "--force")
        self.addCleanup(self.site.ctl, "alias", "remove", address, check=False)

    def codes(self, message, *recipients, **kw):
        return [r[:9].decode() for r in self.connect().deliver(message, *recipients, **kw)]

    def counts(self, *names):
        return [self.site.count(name) for name in names]

    def refusals(self, who):
        found = json.loads(self.site.ctl("--json", "history", who).stdout)
        return [(e["means"], e["session"], e["octets"]) for e in found if e["event"] == "refusal"]

    def lost(self):
        """The lines of the log, each as member and reason."""
        lines = [line for line in self.site.log_text()[self.since:].splitlines() if " lost reason=" in line]
        return [re.search(r'member="([^"]*)".* lost reason=(\S+) ', line).groups() for line in lines]

    def refs(self):
        return int(self.site.sql("select refs from postern.content order by content desc limit 1"))


class Skip(Lists):
    def test_a_full_member(self):
        self.alias(LIST, U1, FULL, U2)
        before = len(self.refusals(FULL))
        reply, = self.connect().deliver(SMALL, LIST)
        self.assertTrue(reply.startswith(b"250 2.1.5"), reply)
        self.assertEqual(self.counts("u1", "u2", "full"), [1, 1, 1])
        self.assertEqual(self.refs(), 2)
        self.assertEqual(self.lost(), [(FULL, "over-quota")])
        name = re.search(rb"stored as (\S+)", reply).group(1).decode()
        means, session, octets = self.refusals(FULL)[before]
        self.assertEqual((means, session), ("over quota", name))
        self.assertEqual(octets, len(self.site.fetched(U1)[0]))
        line = [line for line in self.site.log_text().splitlines() if f" {name} lmtp from" in line]
        self.assertEqual(len(line), 2)
        self.assertRegex(line[0], rf'to="{LIST}" octets=\d+ member="{FULL}" mailbox=\d+ lost reason=over-quota message-id="<1@example.org>"')
        self.assertRegex(line[1], r"code=250 .*mailboxes=2 uid=[1-9]")
        self.site.checked()

    def test_a_message_larger_than_one_quota(self):             # it was 552 for all of them
        self.alias(LIST, FULL, U1, U2)
        self.assertEqual(self.codes(BIG, LIST, params=f" SIZE={len(BIG)}"), ["250 2.1.5"])
        self.assertEqual(self.counts("u1", "u2", "full"), [1, 1, 1])
        self.assertEqual(self.refs(), 2)
        self.assertEqual(self.lost(), [(FULL, "larger-than-quota")])
        self.site.checked()

    def test_nobody_has_room(self):
        self.alias(LIST, FULL, OFF)
        contents = self.site.contents()
        before = len(self.refusals(FULL))
        self.assertEqual(self.codes(SMALL, LIST), ["452 4.2.2"])
        self.assertEqual(self.codes(BIG, LIST), ["552 5.2.3"])
        c = self.connect()
        c.ok("MAIL FROM:<> SIZE=3000")
        c.expect("452 4.2.2", f"RCPT TO:<{LIST}>")
        c.ok("RSET")
        c.ok("MAIL FROM:<> SIZE=600000")
        c.expect("552 5.2.3", f"RCPT TO:<{LIST}>")
        self.assertEqual(self.site.contents(), contents)
        self.assertEqual((self.lost(), len(self.refusals(FULL))), ([], before))

    def test_what_may_be_different_soon_comes_first(self):
        self.site.ctl("mailbox", "set", U3, "--quota", "700k")
        self.addCleanup(self.site.ctl, "mailbox", "set", U3, "--quota", "none")
        self.connect().deliver(kit.letter(1, 200000), U3)
        self.alias(LIST, FULL, U3)
        self.assertEqual(self.codes(BIG, LIST), ["452 4.2.2"])
        self.assertEqual(self.codes(BIG, LIST, params="") + self.codes(BIG, FULL), ["452 4.2.2", "552 5.2.3"])

    def test_a_disabled_member(self):
        self.alias(LIST, OFF, U1)
        self.assertEqual(self.codes(LETTER, LIST), ["250 2.1.5"])
        self.assertEqual(self.counts("u1", "off"), [1, 0])
        self.assertEqual(self.lost(), [(OFF, "disabled")])
        self.assertEqual(self.refusals(OFF)[-1][0], "disabled")
        self.alias(f"closed@{DOMAIN}", OFF)
        c = self.connect()
        c.ok("MAIL FROM:<>")
        c.expect("550 5.2.1", f"RCPT TO:<closed@{DOMAIN}>")

    def test_changed_between_rcpt_and_data(self):
        for name in ("gone1", "late"):
            self.site.users(name)
        self.alias(LIST, U1, f"gone1@{DOMAIN}", f"late@{DOMAIN}")
        c = self.connect()
        c.mail(LIST)
        self.site.ctl("mailbox", "remove", f"gone1@{DOMAIN}", "--yes")
        self.site.ctl("mailbox", "disable", f"late@{DOMAIN}")
        self.assertEqual([r[:9] for r in c.data(LETTER)], [b"250 2.1.5"])
        self.assertEqual(sorted(self.lost()), [("", "removed"), (f"late@{DOMAIN}", "disabled")])
        self.site.users("gone2", "gone3")
        self.alias(f"pair@{DOMAIN}", f"gone2@{DOMAIN}", f"gone3@{DOMAIN}")
        c.mail(f"pair@{DOMAIN}", U2)
        for name in ("gone2", "gone3"):
            self.site.ctl("mailbox", "remove", f"{name}@{DOMAIN}", "--yes")
        self.assertEqual([r[:9] for r in c.data(LETTER, 2)], [b"550 5.1.1", b"250 2.1.5"])
        self.site.checked()

    def test_direct_and_by_lists(self):
        """A mailbox has one copy, whoever names it; who is full is refused where named alone, and lost in each list."""
        self.alias(LIST, U1, FULL)
        self.alias(f"other@{DOMAIN}", FULL, U2, U1)
        self.assertEqual(self.codes(SMALL, FULL, LIST, U1, f"other@{DOMAIN}"), ["452 4.2.2"] + ["250 2.1.5"] * 3)
        self.assertEqual(self.counts("u1", "u2", "full"), [1, 1, 1])
        self.assertEqual(self.lost(), [(FULL, "over-quota")] * 2)
        self.assertEqual(self.codes(LETTER, FULL, LIST), ["250 2.1.5"] * 2)
        self.assertEqual(self.counts("u1", "full"), [2, 2])
        self.site.checked()

    def test_catch_all(self):
        self.site.ctl("domain", "add", "catch.example", "--tenant", self.site.sql("select name from postern.tenant limit 1").strip())
        self.alias("@catch.example", U1, FULL, OFF)
        self.assertEqual(self.codes(SMALL, "any@catch.example"), ["250 2.1.5"])
        self.assertEqual(sorted(self.lost()), [(FULL, "over-quota"), (OFF, "disabled")])
        self.assertIn(b"Delivered-To: any@catch.example\r\n", self.site.fetched(U1)[0])

    def test_domain_and_tenant(self):
        for what, tenant, domain in (("domain", [], ["--quota", "10k"]), ("tenant", ["--quota", "10k"], [])):
            name = f"{what}.example"
            self.site.ctl("tenant", "add", what, *tenant)
            self.site.ctl("domain", "add", name, "--tenant", what, *domain)
            self.site.users("a", "b", domain=name)
            self.alias(f"list@{name}", f"a@{name}", U1, f"b@{name}")
            self.since = len(self.site.log_text())
            letter = kit.letter(1, 7000)
            # There is room for one copy: whose mailbox is older has it.
            self.assertEqual(self.codes(letter, f"list@{name}"), ["250 2.1.5"])
            self.assertEqual([self.site.count(n, name) for n in "ab"], [1, 0])
            self.assertEqual(self.lost(), [(f"b@{name}", "over-quota")])
            self.assertEqual(self.codes(letter, f"list@{name}"), ["250 2.1.5"])
            self.assertEqual(len(self.lost()), 3)
            self.assertEqual(self.codes(kit.letter(1, 11000), f"list@{name}"), ["250 2.1.5"])
            self.assertEqual(self.lost()[3:], [(f"a@{name}", "larger-than-quota"), (f"b@{name}", "larger-than-quota")])
        self.site.checked()

    def test_the_tool(self):
        self.alias(LIST, U1, FULL)
        self.site.ctl("deliver", "--socket", f"127.0.0.1:{self.site.lmtp}", LIST, stdin=SMALL)
        self.assertEqual(self.counts("u1", "full"), [1, 1])

    def test_exact_under_concurrency(self):
        """Deliveries at once to a list one of whose members has room for a few: each copy is there, or told to be lost."""
        self.site.empty("full")
        self.site.ctl("mailbox", "set", FULL, "--quota", "12k")
        self.addCleanup(self.site.ctl, "mailbox", "set", FULL, "--quota", "4000")
        self.alias(LIST, U1, FULL)
        before = len(self.refusals(FULL))
        found, lock = [], threading.Lock()

        def work():
            with self.site.lmtp_connect() as c:
                for _ in range(4):
                    reply, = c.deliver(SMALL, LIST)
                    with lock:
                        found.append(reply[:3])
        threads = [threading.Thread(target=work) for _ in range(5)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(found, [b"250"] * 20)
        self.assertEqual(self.counts("u1", "full"), [20, 3])
        self.assertEqual((len(self.lost()), len(self.refusals(FULL)) - before), (17, 17))
        self.site.checked()


class Refuse(Lists):
    conf = 'lmtp_list_over_quota = "refuse"; lmtp_over_quota = "permanent";\n'

    def test_all_or_nothing(self):
        self.alias(LIST, U1, FULL)
        before = len(self.refusals(FULL))
        self.assertEqual(self.codes(SMALL, LIST, U2), ["552 5.2.2", "250 2.1.5"])
        self.assertEqual(self.codes(BIG, U2, LIST), ["250 2.1.5", "552 5.2.3"])
        c = self.connect()
        c.ok("MAIL FROM:<> SIZE=600000")
        c.expect("552 5.2.3", f"RCPT TO:<{LIST}>")
        self.assertEqual(self.counts("u1", "u2", "full"), [0, 2, 1])
        self.assertEqual((self.lost(), len(self.refusals(FULL))), ([], before))
        self.assertEqual(self.codes(LETTER, LIST), ["250 2.1.5"])
        self.assertEqual(self.counts("u1", "full"), [1, 2])
        self.site.checked()

    def test_a_disabled_member_is_passed_over(self):
        self.alias(LIST, OFF, U1)
        self.assertEqual(self.codes(LETTER, LIST), ["250 2.1.5"])
        self.assertEqual(self.lost(), [(OFF, "disabled")])


class Duplicates(Lists):
    conf = 'lmtp_duplicate_window = "1h";\n'

    def test_again(self):
        """What was acknowledged for the others is acknowledged, though the member has room now."""
        self.alias(LIST, U1, FULL)
        self.assertEqual(self.codes(SMALL, LIST), ["250 2.1.5"])
        self.site.empty("full")
        reply, = self.connect().deliver(SMALL, LIST)
        self.assertIn(b"already has this message", reply)
        self.assertEqual(self.counts("u1", "full"), [1, 0])
        self.assertEqual(self.codes(SMALL, FULL), ["250 2.1.5"])


if __name__ == "__main__":
    unittest.main()
