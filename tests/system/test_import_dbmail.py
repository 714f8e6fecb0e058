"""Mail out of a database of DBMail: what its POP3 server sends, and in its order; from a role that may only read."""
import base64
import json
import pathlib
import unittest

import kit
import privatepg

DONE, REFUSED, USAGE, PARTLY = 0, 1, 2, 3
HERE = pathlib.Path(__file__).resolve().parents[1] / "lib" / "dbmail"
SENT = {user: [(uidl, base64.b64decode(octets)) for uidl, octets in messages]
        for user, messages in json.loads((HERE / "dbmail.json").read_text(encoding="ascii")).items()}


class DBMail(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("dbmail-")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.pg = privatepg.PrivatePG()
        cls.addClassCleanup(cls.pg.stop)
        cls.pg.start()
        cls.pg.sql("postgres", "create role dbmail_reader login")
        for name in "dbmail", "odd":
            cls.pg.sql("postgres", f"create database {name}")
            cls.pg.sql(name, (HERE / "dbmail.sql").read_text(encoding="ascii"))
            cls.pg.sql(name, "grant select on all tables in schema public to dbmail_reader")
        cls.words = cls.pg.conninfo("dbmail") + " user=dbmail_reader"
        cls.count = 0

    def run_import(self, *args, who=None, exit=DONE, words=None):
        if who is None:
            type(self).count += 1
            who = f"dbmail{self.count}@example.org"
            self.site.account(who)
        done = self.site.ctl("import", who, "--dbmail", words or self.words, *args, check=False)
        self.assertEqual(done.returncode, exit, done.stdout)
        return who, done.stdout.decode()

    def uidls(self, who):
        with self.site.login(who) as pop:
            return [line.split()[1].decode() for line in pop.multi("UIDL")]

    def shown(self, who):
        return list(zip(self.uidls(who), self.site.fetched(who)))

    def test_users(self):
        """Of a real DBMail's dump, of DBMail's own way to take mail apart, and of what 2.2 has stored."""
        for user, sent in SENT.items():
            with self.subTest(user=user):
                # A lone CR is an end of a line with us.
                wanted = [(uidl, octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")) for uidl, octets in sent]
                who, out = self.run_import("--user", user)
                for got, want in zip(self.shown(who), wanted):
                    self.assertEqual(got, want, out)
                self.assertEqual(len(self.shown(who)), len(wanted))
        # In the mailbox: when it came.
        who, _ = self.run_import("--user", "paperino@pippopluto.com")
        self.assertIn("2014-03-07 09:44:14Z", self.site.ctl("message", "list", who).stdout.decode())

    def test_states(self):
        """What DBMail has removed never comes; what is marked for it, and drafts, if asked for; not what is in another mailbox."""
        who, out = self.run_import("--user", "anna@example.org")
        self.assertIn("left out: 1 marked as deleted (--with deleted); left out: 1 drafts (--with drafts)", out)
        n = len(SENT["anna@example.org"])
        who, out = self.run_import("--user", "anna@example.org", "--with", "deleted,drafts")
        self.assertEqual(len(self.shown(who)), n + 2)
        # Nothing comes twice, nor again; and what is new comes.
        self.assertIn("imported 0 messages", self.run_import("--user", "anna@example.org", "--with", "deleted,drafts", who=who)[1])
        self.pg.sql("dbmail", "insert into dbmail_messages (message_idnr, mailbox_idnr, physmessage_id, unique_id) values (9000, 200, 500, 'fresh')")
        self.addCleanup(self.pg.sql, "dbmail", "delete from dbmail_messages where message_idnr = 9000")
        told = json.loads(self.run_import("--json", "--user", "anna@example.org", "--with", "deleted,drafts", who=who)[1])
        self.assertEqual((told["imported"], told["there_already"]), (1, n + 2))
        self.assertEqual(self.uidls(who)[-1], "fresh")      # and not retrieved, or it would stay
        # What goes there goes here, if that is asked for.
        self.pg.sql("dbmail", "update dbmail_messages set status = 2 where message_idnr = 9000")
        out = self.run_import("--user", "anna@example.org", "--with", "gone", "--sync", who=who)[1]
        self.assertNotIn("fresh", self.uidls(who), out)

    def test_who(self):
        self.assertIn("imported 0 messages", self.run_import("--user", "empty@example.org")[1])
        self.assertIn("imported 1 messages", self.run_import("--user", "case@example.org")[1])
        self.assertIn("imported 0 messages", self.run_import("--user", "Case@example.org")[1])
        self.assertIn("several, in capitals and not", self.run_import("--user", "CASE@example.org", exit=REFUSED)[1])
        self.assertIn("dbmail_users has no such userid", self.run_import("--user", "nobody@example.org", exit=REFUSED)[1])
        self.assertIn("dbmail_users has no such userid", self.run_import(exit=REFUSED)[1])
        self.site.account("anna@example.org")
        self.run_import(who="anna@example.org")
        self.assertEqual(len(self.shown("anna@example.org")), len(SENT["anna@example.org"]))
        self.assertIn("would", self.run_import("--user", "ANNA@example.org", "--dry-run")[1])

    def test_what_is_wrong(self):
        """Nothing is stored, and it is said why."""
        for words, why in ((self.words.replace("dbname=dbmail", "dbname=nothing"), "does not exist"),
                           (self.words.replace("dbname=dbmail", "dbname=postgres"), "dbmail_users"),
                           ("host=/nowhere dbname=dbmail", "could not connect")):
            self.assertIn(why, self.run_import("--user", "anna@example.org", words=words, exit=REFUSED)[1])
        for words in ("dbname=dbmail password=secret", "postgresql://a:secret@127.0.0.1/dbmail", "no words", "nothing=x"):
            out = self.run_import("--user", "anna@example.org", words=words, exit=USAGE)[1]
            self.assertIn("connection string", out)
            self.assertNotIn("secret", out)
        for more in (("/dev/null",), ("--pop3", "pop://127.0.0.1"), ("--format", "mbox"), ("--server", "uw"), ("--uidls", "x"), ("--sync-limit", "5")):
            self.run_import(*more, exit=USAGE)

    def test_house(self):
        """`move` takes users of DBMail for sources, among others; each line for itself, and nothing twice."""
        self.site.ctl("tenant", "add", "dbmailhouse")
        path = self.site.dir / "dbmail.csv"
        rows = [("one@house.example", "dbmail:paperino@pippopluto.com", ""), ("two@house.example", "dbmail:", "anna@example.org"),
                ("three@house.example", "dbmail:", ""), ("four@house.example", "dbmail:anna@example.org", "secret"), ("five@house.example", "", "")]
        text = "".join(f"{address},{source},{'' if user == 'secret' else user},{'secret' if user == 'secret' else ''}\n" for address, source, user in rows)
        path.write_text("address,source,user,secret\n" + text, encoding="ascii")

        def move(*args, exit=PARTLY):
            done = self.site.ctl("move", str(path), "--tenant", "dbmailhouse", *args, check=False)
            self.assertEqual(done.returncode, exit, done.stdout)
            return done.stdout.decode()
        out = move()
        self.assertEqual(out.count("REFUSED line"), 4, out)
        self.assertIn("line 3 two@house.example: its source is DBMail: --dbmail must name the database", out)
        self.assertNotIn("secret", move("--dbmail", "dbname=dbmail password=secret", exit=USAGE))
        for _ in range(2):
            out = move("--dbmail", self.words)
            self.assertIn("dbmail_users has no such userid", out)
            self.assertIn("DBMail is the only source of its mailbox, and needs nothing but a user", out)
            for who, user in ("one@house.example", "paperino@pippopluto.com"), ("two@house.example", "anna@example.org"):
                uidls = self.site.sql(f"""select uidl from postern.message join postern.mailbox using (mailbox)
                    where address = '{who}' order by uid""").split()
                self.assertEqual(uidls, [uidl for uidl, _ in SENT[user]], out)
        done = self.site.ctl("compare", "--from", str(path), "--dbmail", self.words, check=False)
        self.assertEqual(done.returncode, PARTLY, done.stdout)
        self.assertIn(b"compared 4 mailboxes: 2 alike, 0 not alike, 2 failed, 1 without a source", done.stdout)
        done = self.site.ctl("compare", "one@house.example", "--dbmail", self.words, "--user", "anna@example.org", check=False)
        self.assertEqual(done.returncode, PARTLY, done.stdout)
        self.assertIn(b"NOT-ALIKE", done.stdout)
        self.assertIn(b"ALIKE", self.site.ctl("compare", "one@house.example", "--dbmail", self.words, "--user", "paperino@pippopluto.com").stdout)

    def test_rows_that_make_no_sense(self):
        """A message costs itself only; a table that is another one ends the import."""
        def sql(text):
            self.pg.sql("odd", text)
        words = self.words.replace("dbname=dbmail", "dbname=odd")
        user = "paperino@pippopluto.com"
        sql("update dbmail_partlists set part_depth = 65 where physmessage_id = 1; update dbmail_physmessage set messagesize = -5 where id = 2;"
            "delete from dbmail_partlists where physmessage_id = 36")
        who, out = self.run_import("--user", user, words=words, exit=PARTLY)
        for n, why in ((1, "has parts that are deeper"), (2, "has numbers in its row that make no sense"), (3, "has no parts in the database")):
            self.assertRegex(out, rf"REJECTED dbmail:{user}:message {n} {why}")
        self.assertEqual([uidl for uidl, _ in self.shown(who)], [SENT[user][3][0]])
        # Two that are the same, and one that nobody can send.
        sql("update dbmail_messages set unique_id = 'same' where mailbox_idnr = 200 and message_idnr < 1900;"
            "update dbmail_messages set unique_id = E'a\\nb' where message_idnr = 2000")
        who, out = self.run_import("--user", "anna@example.org", words=words, exit=PARTLY)
        self.assertIn("same is that of a message before, too", out)
        self.assertEqual(len(self.shown(who)), len(SENT["anna@example.org"]))
        sql("alter table dbmail_mimeparts alter data type text using 'x'")
        who, out = self.run_import("--user", user, words=words, exit=REFUSED)
        self.assertIn(f"dbmail:{user} could not read a message", out)
        sql("drop table dbmail_mimeparts cascade")
        self.assertIn("dbmail_mimeparts", self.run_import("--user", user, words=words, exit=REFUSED)[1])

    def test_words_of_the_database(self):
        """What it says cannot control the terminal, and a view of it may do no more than its table."""
        self.pg.sql("postgres", "create database words")
        self.pg.sql("words", (HERE / "dbmail.sql").read_text(encoding="ascii"))
        self.pg.sql("words", """alter table dbmail_partlists rename to lists;
            create function boom(n bigint) returns bigint language plpgsql as $$ begin raise exception E'\\x1b[31mred\\x07'; end $$;
            create view dbmail_partlists as select boom(physmessage_id) as physmessage_id, is_header, part_key, part_depth, part_order, part_id from lists;
            alter table dbmail_messages alter unique_id type text; update dbmail_messages set unique_id = E'\\x1b[31mx';
            grant select on all tables in schema public to dbmail_reader""")
        words = self.words.replace("dbname=dbmail", "dbname=words")
        for args in (), ("--json",):
            _, out = self.run_import("--user", "paperino@pippopluto.com", *args, words=words, exit=REFUSED)
            self.assertIn("could not read a message: ERROR:  ?[31mred?", out)
            self.assertNotRegex(out, "[\x1b\x07]")
        # It may not write, even where the role may: the transaction is read only.
        self.pg.sql("words", """create or replace function boom(n bigint) returns bigint language plpgsql as $$
            begin delete from dbmail_users; return n; end $$; grant all on all tables in schema public to dbmail_reader""")
        _, out = self.run_import("--user", "paperino@pippopluto.com", words=words, exit=REFUSED)
        self.assertIn("read-only transaction", out)
