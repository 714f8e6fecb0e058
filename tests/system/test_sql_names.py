"""What SQL takes as a name: what the programs make of it, and nothing else; `check` finds what came in another way."""
import ast
import json
import re
import unittest

import kit

D = "names.example"
REFUSED = [
    ("mailbox", f"Upper@{D}", "lower case"),
    ("mailbox", f"has space@{D}", "space"),
    ("mailbox", f" anna@{D}", "space"),
    ("mailbox", f"anna @{D}", "space"),
    ("mailbox", f"a@b@{D}", "quotes only"),
    ("mailbox", f'x"y@{D}', "quotes only"),
    ("mailbox", f'x"@{D}', "quotes only"),
    ("mailbox", f"(x)@{D}", "quotes only"),
    ("mailbox", f"a\\b@{D}", "quotes only"),
    ("mailbox", f"[a]@{D}", "quotes only"),
    ("mailbox", f'"ab"@{D}', "does not need"),
    ("mailbox", f'"a.b+c"@{D}', "does not need"),
    ("mailbox", f'"j\u00f6rg"@{D}', "does not need"),
    ("mailbox", f'""@{D}', "RFC 5321"),
    ("mailbox", f'"@{D}', "RFC 5321"),
    ("mailbox", f'"a b@{D}', "RFC 5321"),
    ("mailbox", f'"a b\\"@{D}', "RFC 5321"),
    ("mailbox", f'"a \\b"@{D}', "RFC 5321"),
    ("mailbox", f'"a"b"@{D}', "RFC 5321"),
    ("mailbox", f'"a b"c@{D}', "RFC 5321"),
    ("mailbox", f"\"Has space\"@{D}", "lower case"),
    ("alias", f'"ab"@{D}', "does not need"),
    ("mailbox", f"tab\tin@{D}", "control"),
    ("mailbox", f"an\u0085na@{D}", "control"),
    ("mailbox", f"\x7f@{D}", "control"),
    ("mailbox", f"bu\u0308cher@{D}", "NFC"),
    ("mailbox", "anna@Names.Example", "lower case"),
    ("mailbox", "anna@b\u00fccher.example", "A-labels"),
    ("mailbox", "anna@names.example.", "labels"),
    ("mailbox", "anna@-x.example", "labels"),
    ("mailbox", "anna@" + "a" * 64 + ".example", "labels"),
    ("mailbox", "anna@" + "a." * 127, "253"),
    ("mailbox", "anna@", "labels"),
    ("mailbox", "anna", "no domain"),
    ("mailbox", f"@{D}", "nothing before"),
    ("mailbox", "x" * 65 + f"@{D}", "64"),
    ("mailbox", "\u00fc" * 33 + f"@{D}", "64"),
    ("alias", f"Upper@{D}", "lower case"),
    ("alias", "@Names.example", "lower case"),
    ("domain", "Upper.example", "lower case"),
    ("domain", "has space", "labels"),
    ("domain", "a..b", "labels"),
    ("domain", "x@y", "labels"),
    ("domain", "", "labels"),
]
TAKEN = [f"\"has space\"@{D}", f"j\u00f6rg@{D}", f"o'neil+tag@{D}", f"\"a@b\"@{D}", f"\"a\\\\b\"@{D}", f"\"a\\\"b\"@{D}", f"\".[]\"@{D}",
         f"a..b.@{D}", f"!#$%&'*+-/=?^_`{{|}}~@{D}", f"{'x' * 64}@{D}", f"\U0001f600@{D}"]


def literal(text):
    return "'" + text.replace("'", "''") + "'"


class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("sql-names-")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.ctl("tenant", "add", "t")
        cls.site.ctl("domain", "add", D, "--tenant", "t")
        cls.site.ctl("mailbox", "add", f"anna@{D}")

    def setUp(self):
        self.psql = self.site.psql()
        self.addCleanup(self.psql.close)

    def refused(self, sql):
        """The words of an error; None if there was none."""
        said = self.psql.ask(f"begin; {sql}; rollback")
        return said if "ERROR:" in said else None

    def test_functions_refuse(self):
        calls = {"mailbox": ["postern.add_mailbox({}, null)", f"postern.set_mailbox('anna@{D}', {{}}, null, null)", "postern.adopt({}, 't')"],
                 "alias": [f"postern.add_alias({{}}, array['anna@{D}'])"],
                 "domain": ["postern.add_domain({}, 't', null, null)", f"postern.set_domain('{D}', {{}}, null, null, null)"]}
        for kind, name, why in REFUSED:
            for call in calls[kind]:
                with self.subTest(call=call, name=name):
                    said = self.refused("select " + call.format(literal(name)))
                    self.assertIsNotNone(said)
                    self.assertRegex(said, rf'(?s){kind} ".*" cannot be used: .*{why}')

    def test_tables_refuse(self):
        columns = {"mailbox": "mailbox (domain, address) select domain, {} from postern.domain limit 1",
                   "alias": "alias (domain, address, mailbox) select domain, {}, mailbox from postern.mailbox limit 1",
                   "domain": "domain (tenant, name) select tenant, {} from postern.tenant"}
        for kind, name, _ in REFUSED:
            with self.subTest(name=name):
                self.assertIn("cannot be", self.refused("insert into postern." + columns[kind].format(literal(name))) or "")

    def test_what_is_canonical_is_taken(self):
        for name in TAKEN:
            with self.subTest(name=name):
                self.assertIsNone(self.refused(f"select postern.add_mailbox({literal(name)}, null)"))
        self.assertIsNone(self.refused(f"select postern.add_alias('@{D}', array['anna@{D}'])"))

    def test_no_stricter_than_the_programs(self):
        """All that name_canonical() makes, by its own test."""
        text = (kit.TESTS / "unit" / "test_auth_name.c").read_text()
        text = text[text.index("names[] = {"):text.index("};", text.index("names[] = {"))]
        rows = re.findall(r'\{ ((?:"(?:[^"\\]|\\.)*"\s*)+), (?:"(?:[^"\\]|\\.)*"\s*)+, ((?:"(?:[^"\\]|\\.)*"\s*)+) \}', text)
        wanted = [ast.literal_eval("(" + re.sub(r'(?<!\\)"((?:[^"\\]|\\.)*)"', r'b"\1"', want) + ")").decode() for _, want in rows]
        self.assertGreater(len(wanted), 20)
        for name in wanted:
            if " " in name and not name.startswith('"'):
                continue        # never an address of a mailbox, however it is spelled
            with self.subTest(name=name):
                self.assertEqual(self.site.sql(f"select coalesce(postern.name_fault('mailbox', {literal(name)}), 'none')"), "none")

    def test_plain_names_have_no_fault(self):
        """What `check` passes over at first sight is what name_fault() has nothing against."""
        names = [n for k, n, _ in REFUSED if k != "domain"] + TAKEN
        names += [f"anna.b_c+d=e-f@xn--a-b.{D}", f"a@{'a.' * 29}bc", f"a@{'a' * 63}"]
        found = self.site.sql("select coalesce(postern.name_fault('mailbox', n), 'none') from unnest(array["
                              + ", ".join(map(literal, names)) + "]) n where postern.is_plain_name(n)").split("\n")
        self.assertGreaterEqual(len(found), 2)
        self.assertEqual(set(found), {"none"})

    def test_check_finds_them(self):
        site = self.site
        site.checked()
        site.sql("begin; set local session_replication_role = replica;"
                 " insert into postern.mailbox (domain, address) select domain, x from postern.domain,"
                 f""" unnest(array['Upper@{D}', 'has space@{D}', 'anna@other.example', 'UPPER@{D}', '"quoted"@{D}']) x;"""
                 f" insert into postern.alias (domain, address, mailbox) select domain, 'All@{D}', mailbox from postern.mailbox limit 2;"
                 " insert into postern.domain (tenant, name) select tenant, 'Some.example' from postern.tenant; commit")
        try:
            done = site.ctl("check", "--quick", check=False)
            said = done.stdout.decode()
            self.assertEqual(done.returncode, 1, said)
            self.assertIn(f'WRONG 5 mailbox(es) that neither clients nor mail can reach: ""quoted"@{D}" (it has quotes that it does not need), '
                          f'"UPPER@{D}" (it is not in lower case), ', said)
            self.assertIn(f'WRONG 1 alias(es) that neither clients nor mail can reach: "All@{D}" (it is not in lower case)', said)
            self.assertIn('WRONG 1 domain(s) that neither clients nor mail can reach: "Some.example" (its domain is not in lower case)', said)
            found = json.loads(site.ctl("--json", "check", "--quick", check=False).stdout)
            self.assertEqual([p["kind"] for p in found["problems"]], ["alias names", "domain names", "mailbox names"])
            self.assertTrue(all(not p["mended"] for p in found["problems"]))
        finally:
            site.sql("begin; set local session_replication_role = replica; delete from postern.alias; delete from postern.mailbox"
                     f" where address <> 'anna@{D}'; delete from postern.domain where name <> '{D}'; commit")
        site.checked()

    def test_check_finds_what_the_programs_spell_otherwise(self):
        """Beyond ASCII SQL does not know what they fold."""
        site, typed = self.site, f"J\u00d6RG@{D}"
        site.ctl("mailbox", "add", typed)
        made = site.sql("select address from postern.mailbox where address like 'j%' collate \"C\"")
        site.checked()
        hand = typed.replace("J", "j").replace("RG", "rg")
        try:
            if hand != made:
                self.assertEqual(self.refused(f"select postern.add_mailbox({literal(hand)}, null)"), None)
                site.sql(f"update postern.mailbox set address = {literal(hand)} where address = {literal(made)}")
                done = site.ctl("check", "--quick", check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(f'WRONG 1 mailbox(es) that neither clients nor mail can reach: "{hand}" (it is spelled "{made}")',
                              done.stdout.decode())
        finally:
            site.sql("delete from postern.mailbox where address like 'j%'")


if __name__ == "__main__":
    unittest.main()
