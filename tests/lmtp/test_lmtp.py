"""LMTP on the wire: the session and the envelope (LM, LV01-LV07, LW)."""
import unittest

from lmtpkit import DOMAIN, LETTER, U1, U2, U3, Case, kit


class Session(Case):
    def test_greeting_and_lhlo(self):                           # LM01, LM02, LV01, LV02, LV04, LV08
        c = self.connect(lhlo=False)
        host = c.greeting.split(b" ")[1]
        lines = c.ok("LHLO c.example", plain=True).split(b"\n")
        self.assertEqual(lines[0], b"250-" + host)
        self.assertEqual([line[4:] for line in lines[1:]],
                         [b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"SIZE 104857600", b"CHUNKING", b"ENHANCEDSTATUSCODES"])

    def test_helo_and_ehlo(self):                               # LM03
        c = self.connect(lhlo=False)
        for verb in ("HELO x", "EHLO x", "ehlo"):
            c.expect("500 5.5.1", verb)

    def test_sequence(self):                                    # LM04, LW02, LW03, LD01
        c = self.connect(lhlo=False)
        for text in ("MAIL FROM:<a@b>", f"RCPT TO:<{U1}>", "DATA"):
            c.expect("503 5.5.1", text)
        c.ok("LHLO x", plain=True)
        c.expect("503 5.5.1", f"RCPT TO:<{U1}>")
        c.expect("503 5.5.1", "DATA")
        c.ok("MAIL FROM:<first@x>")
        c.expect("503 5.5.1", "MAIL FROM:<second@x>")
        c.expect("503 5.5.1", "DATA")
        c.ok(f"RCPT TO:<{U1}>")
        c.data(LETTER)
        self.assertIn(b"Return-Path: <first@x>\r\n", self.site.bodies(U1)[0][0])

    def test_lhlo_name(self):                                   # LM05
        c = self.connect(lhlo=False)
        c.expect("501 5.5.4", "LHLO")
        c.expect("501 5.5.4", "LHLO ")
        for name in ("_x_", "a b c", "[127.0.0.1]", "(x", "\u00fc"):
            c.ok("LHLO " + name, plain=True)
            trace, _ = self.one(LETTER, client=c)
            self.assertRegex(trace, rb"Received: from (unknown|_x_|\[127\.0\.0\.1\]) \(\[127\.0\.0\.1\]\)\r\n")

    def test_lhlo_resets(self):                                 # LM06
        c = self.connect()
        c.mail(U1)
        c.ok("LHLO x", plain=True)
        c.expect("503 5.5.1", "DATA")

    def test_rset(self):                                        # LM07
        c = self.connect(lhlo=False)
        c.ok("RSET")
        c.ok("LHLO x", plain=True)
        c.mail(U1, U2)
        c.ok("RSET")
        c.expect("503 5.5.1", "DATA")
        c.deliver(LETTER, U1)
        c.ok("RSET")
        c.expect("501 5.5.4", "RSET x")
        self.assertEqual(self.site.count("u2"), 0)

    def test_small_commands(self):                              # LM08, LM09, LM12
        c = self.connect()
        c.ok("NOOP")
        c.ok("noop with words")
        c.expect("252 2.", "VRFY u1")
        c.expect("501 5.", "VRFY")
        self.assertTrue(c.expect("214-2.0.0", "HELP").startswith(b"214-"))
        c.expect("502 5.5.1", "EXPN list")
        c.expect("502 5.5.1", "STARTTLS")                       # LV13: not offered
        c.expect("502 5.5.1", "AUTH PLAIN")
        c.expect("500 5.5.1", "XCLIENT NAME=x")                 # LV14
        c.expect("500 5.5.1", "XYZZY")
        c.expect("500 5.5.1", "")
        c.expect("500 5.5.1", " NOOP")
        c.expect("501 5.5.4", "DATA x")
        c.expect("501 5.5.4", "QUIT x")
        c.ok("mail from:<a@b>")
        c.ok(f"rCpT tO:<{U1}>")
        c.expect("221 2.0.0", "quit")
        self.assertTrue(c.at_end())

    def test_line_lengths(self):                                # LM10
        c = self.connect()
        c.ok("NOOP " + "x" * (512 - 2 - 5))
        c.expect("500 5.5.2", "NOOP " + "x" * (513 - 2 - 5))
        c.expect("500 5.5.2", "NOOP " + "x" * 20000)
        c.ok("NOOP")
        c.ok("MAIL FROM:<" + "s" * 450 + "@sender.example> BODY=8BITMIME SMTPUTF8 SIZE=100000")
        c.expect("501 5.1.3", "RCPT TO:<" + "r" * 300 + f"@{DOMAIN}>")
        c.expect("500 5.5.2", "RCPT TO:<" + "r" * 20000 + ">")
        c.ok("NOOP")

    def test_line_without_end(self):                            # LM10, bounded
        c = self.connect()
        try:
            c.send(b"x" * 200000)
        except OSError:
            pass
        self.assertTrue(c.reply().startswith(b"421 4.7.0"))

    def test_bare_line_ends(self):                              # LM11
        c = self.connect()
        c.expect("500 5.5.2", "NOOP\nRSET")
        c.expect("500 5.5.2", "NOOP\rRSET")
        c.send("NOOP\n")
        self.assertTrue(c.silent())
        self.assertTrue(c.cmd("").startswith(b"500 5.5.2"))
        c.ok("NOOP")

    def test_odd_octets(self):                                  # LM16
        c = self.connect()
        c.ok("MAIL FROM:<>")
        for text in (b"RCPT TO:<a\0b>", b"NOOP \0", b"RCPT TO:<a\x7fb@x>", b"RCPT\tTO:<a@b>"):
            self.assertTrue(c.cmd(text).startswith(b"501 5."), text)
        self.assertTrue(c.cmd(b"RCPT TO:<\xff\xfe@x>").startswith(b"501 5."))
        self.assertTrue(c.cmd(b"\xff\xfe").startswith(b"500 5."))
        c.ok("NOOP")

    def test_hostile_paths(self):                               # LM17, LW17
        c = self.connect()
        c.ok("MAIL FROM:<>")
        for path in ('<"">', '<""@x>', '<@>', "<>", f"<{'a' * 65}@{DOMAIN}>", f"<a@{'b.' * 126}example>", "<" + "a" * 300 + ">",
                     f"<a@{'b' * 64}.example>", "<a@[127.0.0.1]>", "<a@-x.example>"):
            reply = c.cmd(f"RCPT TO:{path}")
            self.assertRegex(reply, rb"^(501|550) 5\.1\.", path)

    def test_too_many_errors(self):                             # LM15
        c = self.connect()
        for _ in range(19):
            c.expect("500", "XYZZY")
        self.assertTrue(c.cmd("XYZZY").startswith(b"421 4.7.0"))
        self.assertTrue(c.at_end())

    def test_good_mail_forgives(self):                          # LM15: a connection of long life
        c = self.connect()
        for _ in range(5):
            for _ in range(10):
                c.expect("500", "XYZZY")
            c.deliver(LETTER, U1)
        # What it could not know is no error of the client.
        c.ok("MAIL FROM:<>")
        for n in range(60):
            c.expect("550 5.1.1", f"RCPT TO:<ghost{n}@{DOMAIN}>")
        c.ok(f"RCPT TO:<{U1}>")
        # Nor is what a sender wrote.
        for n in range(60):
            c.expect("501 5.1.3", f"RCPT TO:<ghost{n}@[192.0.2.1]>")
        c.ok(f"RCPT TO:<{U1}>")


class Envelope(Case):
    @classmethod
    def prepare(cls):
        cls.site.ctl("alias", "add", f"all@{DOMAIN}", U1, U2, U3)
        cls.site.ctl("domain", "add", "alias.example", "--alias-of", DOMAIN)
        cls.site.users("v1", domain="t2.example")
        cls.site.ctl("alias", "add", "@t2.example", "v1@t2.example")
        cls.site.ctl("alias", "add", f"far@{DOMAIN}", U1, "v1@t2.example", "--force")
        cls.site.users("off")
        cls.site.ctl("mailbox", "disable", f"off@{DOMAIN}")
        cls.site.ctl("domain", "add", "b\u00fccher.example", "--tenant", "lab")
        cls.site.ctl("mailbox", "add", "info@b\u00fccher.example")
        cls.site.ctl("mailbox", "add", f'"u 1"@{DOMAIN}')

    def rcpt(self, path, utf8=False):
        c = self.connect()
        c.ok("MAIL FROM:<s@x>" + (" SMTPUTF8" if utf8 else ""))
        return c.cmd(f"RCPT TO:{path}").decode()

    def test_null_sender(self):                                 # LW01
        c = self.connect()
        c.deliver(LETTER, U1, sender="")
        self.assertIn(b"Return-Path: <>\r\n", self.site.bodies(U1)[0][0])

    def test_verdicts(self):                                    # LW04, LW05, LW07
        self.assertRegex(self.rcpt(f"<ghost@{DOMAIN}>"), r"^550 5\.1\.1 ")
        self.assertRegex(self.rcpt("<x@nowhere.example>"), r"^550 5\.1\.2 ")
        self.assertRegex(self.rcpt("<ghost@alias.example>"), r"^550 5\.1\.1 ")
        self.assertRegex(self.rcpt(f"<off@{DOMAIN}>"), r"^550 5\.2\.1 ")

    def test_paths(self):                                       # LW12, LW14, LW15, LW16
        for path in (f"<{U1}>", f"<U1@{DOMAIN.upper()}>", f"<u1@{DOMAIN}.>", f"<@a,@b:{U1}>", f'<"u1"@{DOMAIN}>', f'<"\\u1"@{DOMAIN}>',
                     f'<"u 1"@{DOMAIN}>', f'<"u\\ 1"@{DOMAIN}>', f" <{U1}>", "<u1@alias.example>", "<info@xn--bcher-kva.example>"):
            self.assertRegex(self.rcpt(path), r"^250 2\.1\.5 ", path)
        for path in (U1, f"<{U1}", f"  <{U1}>", f"<{U1}>x", "", "<u 1@x>"):
            self.assertRegex(self.rcpt(path), r"^501 5\.", path)

    def test_utf8(self):                                        # LV06, LW12
        for path in ("<info@b\u00fccher.example>", "<info@B\u00dcCHER.example>"):
            self.assertRegex(self.rcpt(path, utf8=True), r"^250 ")
            self.assertRegex(self.rcpt(path), r"^553 5\.6\.7 ")
        c = self.connect()
        c.expect("553 5.6.7", "MAIL FROM:<\u00fc@x>")
        c.ok("MAIL FROM:<\u00fc@x> SMTPUTF8")
        c.ok(f"RCPT TO:<{U1}>")
        c.data("Subject: \u00fc\r\n\r\n\u00fc\r\n".encode())
        trace, body = self.site.bodies(U1)[0]
        self.assertIn("Return-Path: <\u00fc@x>\r\n".encode(), trace)
        self.assertIn(b" with UTF8LMTP id ", trace)
        self.assertEqual(body, "Subject: \u00fc\r\n\r\n\u00fc\r\n".encode())

    def test_parameters(self):                                  # LV02, LV04, LV07, LV12
        c = self.connect()
        limit = 104857600
        for text, want in ((f"SIZE={limit}", "250"), (f"SIZE={limit + 1}", "552 5.3.4"), ("SIZE=1" + "0" * 30, "552 5.3.4"),
                           ("SIZE=x", "501 5.5.4"), ("SIZE=", "501 5.5.4"), ("SIZE=1 SIZE=1", "501 5.5.4"), ("BODY=7BIT", "250"),
                           ("BODY=8BITMIME", "250"), ("BODY=BINARYMIME", "555 5.5.4"), ("FOO=1", "555 5.5.4"), ("RET=HDRS", "555 5.5.4"),
                           ("ENVID=x", "555 5.5.4"), ("AUTH=<>", "555 5.5.4"), ("SMTPUTF8", "250"), ("body=7bit smtputf8 size=5", "250")):
            c.expect(want, f"MAIL FROM:<s@x> {text}")
            c.ok("RSET")
        c.ok("MAIL FROM:<s@x>")
        c.expect("555 5.5.4", f"RCPT TO:<{U1}> NOTIFY=NEVER")
        c.expect("501 5.5.4", f"RCPT TO:<{U1}> =")

    def test_postmaster(self):                                  # LW11
        for path in (f"<POSTMASTER@{DOMAIN}>", "<postmaster@alias.example>", "<postmaster@t2.example>"):
            self.assertRegex(self.rcpt(path), r"^250 ", path)
        self.assertRegex(self.rcpt("<postmaster@nowhere.example>"), r"^550 5\.1\.2 ")
        # Without a domain it is nobody's: no tenant gets it because its domain is the oldest.
        for path in ("<postmaster>", "<PostMaster>"):
            self.assertRegex(self.rcpt(path), r"^550 5\.1\.1 <postmaster> needs a domain here: no lmtp_postmaster ", path)
        self.assertRegex(self.site.log_text(), r"lmtp from=\S+ to=\S*postmaster\S* refused code=550 status=5\.1\.1\n")
        self.assertEqual(self.site.sql("select verdict, mailbox from postern.resolve('{postmaster}', array[null], 0, null)"), "1|")
        c = self.connect()
        c.deliver(LETTER, f"postmaster@{DOMAIN}")
        self.assertEqual(self.site.count("u1"), 1)              # the oldest mailbox of the domain

    def test_tag(self):                                         # LW13
        trace, _ = self.one(LETTER, to=f"u1+Lists.x@{DOMAIN}")
        self.assertIn(f"Delivered-To: u1+lists.x@{DOMAIN}\r\n".encode(), trace)
        self.assertRegex(self.rcpt(f"<ghost+u1@{DOMAIN}>"), r"^550 ")
        self.assertRegex(self.rcpt(f"<+u1@{DOMAIN}>"), r"^550 ")
        self.assertRegex(self.rcpt("<u1+tag@alias.example>"), r"^250 ")
        self.assertRegex(self.rcpt(f"<all+tag@{DOMAIN}>"), r"^250 ")

    def test_alias_to_many(self):
        before = self.site.contents()
        reply, = self.connect().deliver(LETTER, f"all@{DOMAIN}")
        self.assertTrue(reply.startswith(b"250"))
        self.assertEqual([self.site.count(u) for u in ("u1", "u2", "u3")], [1, 1, 1])
        self.assertEqual(self.site.contents(), before + 1)
        self.assertEqual(int(self.site.sql("select refs from postern.content order by content desc limit 1")), 3)
        self.site.checked()

    def test_shared_and_own_are_deleted_together(self):
        """What one QUIT removes: the content that nobody shares goes, of the shared one a reference."""
        before = self.site.contents()
        self.connect().deliver(LETTER, U1, U2)
        self.connect().deliver(LETTER, U1)
        for user, messages, left in ((U1, 2, 1), (U2, 1, 0)):
            with self.site.login(user) as pop:
                for n in range(messages):
                    pop.ok(f"DELE {n + 1}")
                pop.ok("QUIT")
            self.assertEqual(self.site.contents(), before + left)
            self.site.checked()

    def test_alias_over_domains(self):
        self.site.empty("v1", domain="t2.example")
        self.connect().deliver(LETTER, f"far@{DOMAIN}")
        self.assertEqual(self.site.count("u1"), 1)
        self.assertEqual(self.site.count("v1", "t2.example"), 1)

    def test_catch_all(self):
        self.site.empty("v1", domain="t2.example")
        reply, = self.connect().deliver(LETTER, "anything@t2.example")
        self.assertTrue(reply.startswith(b"250"))
        trace, _ = self.site.bodies("v1@t2.example")[0]
        self.assertIn(b"Delivered-To: anything@t2.example\r\n", trace)

    def test_same_recipient_twice(self):                        # LW10, LE01
        replies = self.connect().deliver(LETTER, U1, U1)
        self.assertEqual([r[:3] for r in replies], [b"250", b"250"])
        self.assertEqual(self.site.count("u1"), 1)

    def test_many_recipients(self):                             # LW09
        c = self.connect()
        c.ok("MAIL FROM:<s@x>")
        c.send(b"".join(b"RCPT TO:<u1+%d@t1.example>\r\n" % n for n in range(1001)))
        replies = [c.reply() for _ in range(1001)]
        self.assertEqual({r[:9] for r in replies[:1000]}, {b"250 2.1.5"})
        self.assertTrue(replies[1000].startswith(b"452 4.5.3"))
        self.assertEqual({r[:3] for r in c.data(LETTER, 1000)}, {b"250"})
        self.assertEqual(self.site.count("u1"), 1)

    def test_recipients_do_not_meet(self):                      # LD14, LD15
        self.connect().deliver(LETTER, U1, U2)
        for mine, other in ((U1, U2), (U2, U1)):
            trace, body = self.site.bodies(mine)[0]
            self.assertTrue(trace.startswith(f"Delivered-To: {mine}\r\n".encode()))
            self.assertNotIn(other.encode(), trace + body)
            self.assertNotIn(b"for <", trace)

    def test_replies_keep_their_order(self):
        c = self.connect()
        c.send(f"MAIL FROM:<s@x>\r\nRCPT TO:<{U1}>\r\nRCPT TO:<bad\r\nRCPT TO:<ghost@{DOMAIN}>\r\nNOOP\r\nRCPT TO:<{U2}>\r\nRSET\r\n")
        self.assertEqual([c.reply()[:3] for _ in range(7)], [b"250", b"250", b"501", b"550", b"250", b"250", b"250"])


class Postmaster(Case):
    conf = f'lmtp_postmaster = "{U2}";\n'

    def test_named(self):                                       # LW11
        for n, path in enumerate(("postmaster", "PostMaster", f"postmaster@{DOMAIN}"), 1):
            c = self.connect()
            c.ok("MAIL FROM:<s@x>")
            c.ok(f"RCPT TO:<{path}>")
            c.data(LETTER)
            self.assertEqual([self.site.count(u) for u in ("u1", "u2")], [0, n], path)


class Budget(Case):
    """What the database is asked for: recipients that come together are one question, a message is one."""

    pgconf = "track_functions = 'pl'"

    def calls(self):
        rows = self.site.sql("select funcname, calls from pg_stat_user_functions where funcname in ('resolve', 'deliver', 'put_octets')")
        return {name: int(n) for name, n in (row.split("|") for row in rows.splitlines()) if n != "0"}

    def asked(self, work):
        self.site.sql("select pg_stat_reset()")
        client = self.connect()
        work(client)
        client.expect("221", "QUIT")
        # A backend tells its counts only now and then.
        for pid in self.site.lmtp_lanes():
            self.site.sql(f"select pg_terminate_backend({pid}, 5000)")
        self.assertTrue(kit.wait_until(lambda: len(self.site.lmtp_lanes()) == 4))
        return self.calls()

    def test_one_recipient(self):
        self.assertEqual(self.asked(lambda c: c.deliver(LETTER, U1)), {"resolve": 1, "deliver": 1})

    def test_many_recipients(self):
        def work(c):
            c.send("MAIL FROM:<s@x>\r\n" + "".join(f"RCPT TO:<u{n % 3 + 1}+{n}@{DOMAIN}>\r\n" for n in range(100)) + "DATA\r\n")
            self.assertEqual([c.reply()[:3] for _ in range(102)], [b"250"] * 101 + [b"354"])
            c.send(b"x\r\n.\r\n")
            self.assertEqual({c.reply()[:3] for _ in range(100)}, {b"250"})
        self.assertEqual(self.asked(work), {"resolve": 1, "deliver": 1})

    def test_large(self):
        self.assertEqual(self.asked(lambda c: c.deliver(kit.letter(1, 1_000_000), U1)), {"resolve": 1, "deliver": 1, "put_octets": 4})


if __name__ == "__main__":
    unittest.main()
