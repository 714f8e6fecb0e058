"""LMTP: limits, quotas, duplicates, who may deliver, what is checked and logged, and a single session."""
import re
import socket
import subprocess
import threading
import time
import unittest

from lmtpkit import DOMAIN, LETTER, U1, U2, U3, Case, Lmtp, Site, kit, stuff


class Limits(Case):
    conf = ('lmtp_max_size = "1M"; lmtp_max_recipients = 100; lmtp_idle = "5s"; lmtp_sessions = 5; lmtp_spool_memory = "1M";\n'
            'lmtp_spool_size = "2M"; nul_octets = "reject"; bare_newline = "reject"; lmtp_over_quota = "permanent";\n'
            'lmtp_disabled = "temporary"; lmtp_separator = "-";\n')

    def test_too_large(self):                                   # LV04, LV05, LD11, LE09
        c = self.connect()
        c.expect("552 5.3.4", f"MAIL FROM:<s@x> SIZE={(1 << 20) + 1}")
        replies = c.deliver(b"x" * ((1 << 20) - 2) + b"\r\n", U1, U2, params=" SIZE=10")
        self.assertEqual([r[:3] for r in replies], [b"250", b"250"])
        replies = c.deliver(b"x" * ((1 << 20) - 1) + b"\r\n", U1, U2, params=" SIZE=10")
        self.assertEqual([r[:9] for r in replies], [b"552 5.3.4"] * 2)
        c.deliver(LETTER, U1)
        self.assertEqual([self.site.count(u) for u in ("u1", "u2")], [2, 1])

    def test_too_large_chunks(self):                            # LV11
        c = self.connect()
        c.mail(U1, U2)
        c.send(b"BDAT 2000000\r\n" + b"QUIT\r\n" * 333333 + b"QU")
        self.assertTrue(c.reply().startswith(b"552 5.3.4"))
        c.send(b"BDAT 6\r\nQUIT\r\n")
        self.assertTrue(c.reply().startswith(b"552 5.3.4"))
        c.ok("RSET")
        c.mail(U1, U2)
        c.send(b"BDAT 2000000 LAST\r\n" + b"QUIT\r\n" * 333333 + b"QU")
        self.assertEqual([c.reply()[:9] for _ in range(2)], [b"552 5.3.4"] * 2)
        c.deliver(LETTER, U1)

    def test_recipients(self):                                  # LW09
        c = self.connect()
        c.mail(*[U1] * 100)
        c.expect("452 4.5.3", f"RCPT TO:<{U2}>")
        self.assertEqual(len(c.data(LETTER, 100)), 100)

    def test_only_the_accepted_count(self):                     # LW09: those that come with unknown ones, too
        c = self.connect()
        c.ok("MAIL FROM:<s@x>")
        c.send("".join(f"RCPT TO:<ghost{n}@{DOMAIN}>\r\nRCPT TO:<u1-{n}@{DOMAIN}>\r\n" for n in range(101)))
        replies = [c.reply()[:3] for _ in range(202)]
        self.assertEqual(set(replies[0::2]), {b"550"})
        self.assertEqual(replies[1::2], [b"250"] * 100 + [b"452"])

    def test_idle(self):                                        # LM14
        c = self.connect()
        self.assertTrue(c.reply().startswith(b"421 4.4.2"))
        self.assertTrue(c.at_end())
        c = self.connect()
        c.mail(U1)
        c.expect("354", "DATA", plain=True)
        c.send("half of it")
        self.assertTrue(c.reply().startswith(b"421 4.4.2"))
        self.assertEqual(self.site.count("u1"), 0)

    def test_connections(self):
        held = [self.connect() for _ in range(5)]
        c = self.connect(greet=False)
        self.assertTrue(c.reply(plain=True).startswith(b"421 4.3.2"))
        self.assertTrue(c.at_end())
        held[0].expect("221", "QUIT")
        held[0].at_end()
        self.assertTrue(kit.wait_until(lambda: self.connect(greet=False).reply(plain=True).startswith(b"220")))

    def test_nul_is_refused(self):                              # LD08
        c = self.connect()
        replies = c.deliver(b"A: b\r\n\r\na\0b\r\n", U1, U2)
        self.assertEqual([r[:9] for r in replies], [b"554 5.6.0"] * 2)
        self.assertEqual(self.site.count("u1"), 0)
        c.mail(U1, U2)
        c.send(b"BDAT 5\r\na\0b\r\n")
        self.assertTrue(c.reply().startswith(b"250"))
        c.send(b"BDAT 0 LAST\r\n")
        self.assertEqual([c.reply()[:9] for _ in range(2)], [b"554 5.6.0"] * 2)
        c.deliver(LETTER, U1)

    def test_bare_line_ends_are_refused(self):                  # LD05
        c = self.connect()
        for message in (b"a\nb\r\n", b"a\rb\r\n", b"a\n.\nb\r\n"):
            replies = c.deliver(message, U1, U2)
            self.assertEqual([r[:9] for r in replies], [b"554 5.6.0"] * 2)
        self.one(LETTER)

    def test_spool_is_full(self):                               # LE08: every recipient, after the end of the data
        big = b"x" * 900000 + b"\r\n"
        clients = [self.connect() for _ in range(4)]
        for c in clients:
            c.mail(U1, U2)
            c.expect("354", "DATA", plain=True)
            c.send(big)
        for c in clients:
            c.send(b"NOOP\r\n")         # it was all read
        time.sleep(0.2)
        replies = []
        for c in clients:
            c.send(b".\r\n")
            replies.append([c.reply()[:9] for _ in range(2)])
        self.assertIn([b"452 4.3.1"] * 2, replies)
        self.assertTrue(all(r in ([b"452 4.3.1"] * 2, [b"250 2.1.5"] * 2) for r in replies))
        self.assertTrue([r[:3] for r in self.connect().deliver(big, U1)] == [b"250"])

    def test_no_spool_directory(self):                          # LE08
        self.site.lab.spool.rename(self.site.lab.spool.with_name("gone"))
        try:
            c = self.connect()
            self.assertEqual([r[:9] for r in c.deliver(b"x" * 900000, U1, U2)], [b"452 4.3.1"] * 2)
            self.assertEqual([r[:3] for r in c.deliver(LETTER, U1)], [b"250"])
        finally:
            self.site.lab.spool.with_name("gone").rename(self.site.lab.spool)

    def test_separator(self):                                   # LW13
        c = self.connect()
        c.ok("MAIL FROM:<>")
        c.ok(f"RCPT TO:<u1-x@{DOMAIN}>")
        c.expect("550 5.1.1", f"RCPT TO:<u1+x@{DOMAIN}>")

    def test_disabled(self):                                    # LW07
        self.site.ctl("mailbox", "disable", U3)
        try:
            c = self.connect()
            c.ok("MAIL FROM:<>")
            c.expect("451 4.2.1", f"RCPT TO:<{U3}>")
        finally:
            self.site.ctl("mailbox", "enable", U3)


class Quotas(Case):
    @classmethod
    def prepare(cls):
        cls.site.ctl("tenant", "add", "small", "--quota", "30k")
        cls.site.ctl("domain", "add", "small.example", "--tenant", "small", "--quota", "20k")
        cls.site.ctl("domain", "add", "other.example", "--tenant", "small")
        cls.site.ctl("mailbox", "add", "s1@small.example", "--quota", "10k")
        for name in ("s2@small.example", "s3@small.example", "o1@other.example"):
            cls.site.ctl("mailbox", "add", name)
        # The same by messages: 7 of the tenant, 5 of the domain, 2 of n1, 3 of each other.
        cls.site.ctl("tenant", "add", "few", "--quota-messages", "7", "--quota-messages-each", "3")
        cls.site.ctl("domain", "add", "few.example", "--tenant", "few", "--quota-messages", "5")
        cls.site.ctl("domain", "add", "more.example", "--tenant", "few")
        cls.site.ctl("mailbox", "add", "n1@few.example", "--quota-messages", "2")
        for name in ("n2@few.example", "n3@few.example", "m1@more.example", "m2@more.example"):
            cls.site.ctl("mailbox", "add", name)

    def setUp(self):
        super().setUp()
        self.site.empty("n1", "n2", "n3", domain="few.example")
        self.site.empty("m1", "m2", domain="more.example")
        self.site.empty("s1", "s2", "s3", domain="small.example")
        self.site.empty("o1", domain="other.example")

    def codes(self, message, *recipients):
        return [r[:9].decode() for r in self.connect().deliver(message, *recipients)]

    def test_mailbox(self):                                     # LW08, LE06, LE07
        letter = kit.letter(1, 6000)
        self.assertEqual(self.codes(letter, "s1@small.example", U1), ["250 2.1.5"] * 2)
        self.assertEqual(self.codes(letter, U1, "s1@small.example", U2), ["250 2.1.5", "452 4.2.2", "250 2.1.5"])
        self.assertEqual(self.codes(kit.letter(1, 11000), U1, "s1@small.example"), ["250 2.1.5", "552 5.2.3"])
        self.assertEqual([self.site.count("s1", "small.example"), self.site.count("u1"), self.site.count("u2")], [1, 3, 1])
        self.site.checked()

    def test_nothing_is_kept_if_nobody_is_left(self):
        before = self.site.contents()
        self.assertEqual(self.codes(kit.letter(1, 11000), "s1@small.example"), ["552 5.2.3"])
        self.assertEqual(self.codes(kit.letter(1, 600000), "s1@small.example"), ["552 5.2.3"])
        self.assertEqual(self.site.contents(), before)
        self.site.checked()

    def test_large_ones(self):
        self.assertEqual(self.codes(kit.letter(1, 600000), "s1@small.example", U1, "s2@small.example", U2),
                         ["552 5.2.3", "250 2.1.5", "552 5.2.3", "250 2.1.5"])
        self.assertEqual(int(self.site.sql("select refs from postern.content order by content desc limit 1")), 2)
        self.site.checked()

    def test_at_rcpt(self):                                     # LW08: SIZE is known
        self.codes(kit.letter(1, 6000), "s1@small.example")
        c = self.connect()
        c.ok("MAIL FROM:<> SIZE=6000")
        c.expect("452 4.2.2", "RCPT TO:<s1@small.example>")
        c.ok("RSET")
        c.ok("MAIL FROM:<> SIZE=11000")
        c.expect("552 5.2.3", "RCPT TO:<s1@small.example>")
        c.ok("RSET")
        c.ok("MAIL FROM:<> SIZE=1000")
        c.ok("RCPT TO:<s1@small.example>")

    def test_domain_and_tenant(self):
        letter = kit.letter(1, 8000)
        self.assertEqual(self.codes(letter, "s2@small.example", "s3@small.example", "s1@small.example"),
                         ["250 2.1.5", "250 2.1.5", "452 4.2.2"])
        self.assertEqual(self.codes(letter, "o1@other.example"), ["250 2.1.5"])
        self.assertEqual(self.codes(letter, "o1@other.example"), ["452 4.2.2"])      # its tenant
        self.assertEqual(self.codes(kit.letter(1, 21000), "s2@small.example"), ["552 5.2.3"])
        self.assertEqual(self.codes(kit.letter(1, 31000), "o1@other.example"), ["552 5.2.3"])
        self.site.checked()

    def test_alias_is_for_those_who_have_room(self):
        self.site.ctl("alias", "add", "both@small.example", "s1@small.example", U1, "--force")
        self.addCleanup(self.site.ctl, "alias", "remove", "both@small.example", "--yes", check=False)
        self.codes(kit.letter(1, 6000), "s1@small.example")
        self.assertEqual(self.codes(kit.letter(1, 6000), "both@small.example", U1), ["250 2.1.5", "250 2.1.5"])
        self.assertEqual([self.site.count("s1", "small.example"), self.site.count("u1")], [1, 1])

    @staticmethod
    def tried(c, *names):
        """The verdict of each, at RCPT or at the end of the data; an address without a domain is one of few.example."""
        c.ok("MAIL FROM:<s@x>")
        at_rcpt = [c.cmd(f"RCPT TO:<{name if '@' in name else name + '@few.example'}>")[:9].decode() for name in names]
        accepted = sum(r[:3] == "250" for r in at_rcpt)
        at_end = iter(c.data(LETTER, accepted) if accepted else ())
        if not accepted:
            c.ok("RSET")
        return [next(at_end)[:9].decode() if r[:3] == "250" else r for r in at_rcpt]

    def test_messages(self):
        """However small they are."""
        c = self.connect()
        stored, full = "250 2.1.5", "452 4.2.2"
        self.assertEqual([self.tried(c, "n1") for _ in range(3)], [[stored], [stored], [full]])
        self.assertEqual([self.tried(c, "m1@more.example") for _ in range(4)], [[stored]] * 3 + [[full]])
        # Of the domain there are three left, of the tenant two; and several in one transaction count one after the other.
        self.assertEqual(self.tried(c, "n2", "n1", "n3", "m2@more.example", U1), [stored, full, stored, full, stored])
        self.assertEqual(self.tried(c, "n2"), [full])       # of its tenant
        # What is deleted makes room.
        self.site.empty("n1", domain="few.example")
        self.assertEqual([self.tried(c, "n2") for _ in range(3)], [[stored], [stored], [full]])
        self.site.empty("m1", domain="more.example")
        self.assertEqual(self.tried(c, "n3", "n1"), [stored, full])     # of its domain
        self.site.ctl("domain", "set", "few.example", "--quota-messages", "none")
        try:
            self.assertEqual(self.tried(c, "n3", "n1"), [stored, stored])
        finally:
            self.site.ctl("domain", "set", "few.example", "--quota-messages", "5")
        self.site.checked()

    def test_messages_under_concurrency(self):
        """Many at once into what has room for five, and three each: what was accepted at RCPT is decided at the end."""
        results, lock = [], threading.Lock()

        def work(n):
            with self.site.lmtp_connect() as c:
                for k in range(5):
                    verdicts = self.tried(c, *[f"n{(n + k + i) % 3 + 1}" for i in range(k % 2 + 1)])
                    with lock:
                        results.extend(verdicts)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(results), 42)
        self.assertEqual(set(results), {"250 2.1.5", "452 4.2.2"})
        self.assertEqual(results.count("250 2.1.5"), 5)
        counts = [self.site.count(name, "few.example") for name in ("n1", "n2", "n3")]
        self.assertEqual(sum(counts), 5)
        self.assertTrue(counts[0] <= 2 and max(counts) <= 3, counts)
        self.site.checked()

    def test_exact_under_concurrency(self):
        """Thirty deliveries at once into what has room for a few: not an octet too much, and every verdict is true."""
        letter = kit.letter(1, 2500)
        results, lock = [], threading.Lock()

        def work(n):
            with self.site.lmtp_connect() as c:
                for k in range(5):
                    reply, = c.deliver(letter, f"s{(n + k) % 3 + 1}@small.example")
                    with lock:
                        results.append(reply[:9])
        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(results), 30)
        self.assertEqual(set(results), {b"250 2.1.5", b"452 4.2.2"})
        stored = int(self.site.sql("select sum(m.messages) from postern.mailbox m join postern.domain d using (domain) where d.name = 'small.example'"))
        octets = int(self.site.sql("select sum(m.octets) from postern.mailbox m join postern.domain d using (domain) where d.name = 'small.example'"))
        self.assertEqual(stored, results.count(b"250 2.1.5"))
        self.assertLessEqual(octets, 20480)
        self.assertGreater(octets + 3000, 20480)
        self.site.checked()


class Duplicates(Case):
    conf = 'lmtp_duplicate_window = "1h";\n'

    def test_the_same_again(self):                              # LE11
        self.site.sql("delete from postern.delivery")
        self.connect().deliver(LETTER, U1, U2)
        reply, = self.connect().deliver(LETTER, U1)
        self.assertTrue(reply.startswith(b"250 2."))
        replies = self.connect().deliver(LETTER, U1, U3)
        self.assertEqual([r[:3] for r in replies], [b"250", b"250"])
        self.assertEqual([self.site.count(u) for u in ("u1", "u2", "u3")], [1, 1, 1])

    def test_what_is_not_the_same(self):
        self.site.sql("delete from postern.delivery")
        c = self.connect()
        c.deliver(LETTER, U1)
        c.deliver(LETTER.replace(b"<1@x>", b"<2@x>"), U1)
        c.deliver(LETTER, U1, sender="other@sender.example")
        c.deliver(LETTER, f"u1+tag@{DOMAIN}")
        for _ in range(2):
            c.deliver(b"Subject: without\r\n\r\nid\r\n", U1)
        self.assertEqual(self.site.count("u1"), 6)
        self.site.sql("update postern.delivery set delivered_at = delivered_at - interval '61 minutes'")
        c.deliver(LETTER, U1)
        self.assertEqual(self.site.count("u1"), 7)
        # What is too old is cleared away by one of the next ones.
        for n in range(200):
            c.deliver(LETTER.replace(b"<1@x>", b"<more%d@x>" % n), U3)
            if n % 8 == 7 and self.site.sql("select count(*) from postern.delivery where delivered_at < now() - interval '1 hour'") == "0":
                break
        else:
            self.fail("what is too old is still there")

    def test_another_text_under_the_same_id(self):              # LE11: no mail is thrown away
        self.site.sql("delete from postern.delivery")
        other = LETTER.replace(b"body", b"another body")
        for letter in (LETTER, other, LETTER, other, LETTER.replace(b"Subject", b"X-Spam: no\r\nSubject")):
            reply, = self.connect().deliver(letter, U1)
            self.assertTrue(reply.startswith(b"250"))
        self.assertEqual([body for _, body in self.site.bodies(U1)], [LETTER, other, LETTER.replace(b"Subject", b"X-Spam: no\r\nSubject")])

    def test_large_ones(self):                                  # not in memory, and by BDAT
        self.site.sql("delete from postern.delivery")
        letter = kit.letter(1, 600000)
        for message in (letter, letter, letter[:-3] + b"!\r\n"):
            self.connect().deliver(message, U1)
        c = self.connect()
        c.mail(U1)
        for piece, last in ((letter[:70001], b""), (letter[70001:], b" LAST")):
            c.send(b"BDAT %d%s\r\n" % (len(piece), last) + piece)
            self.assertTrue(c.reply().startswith(b"250"))
        self.assertEqual(self.site.count("u1"), 2)

    def test_what_a_mail_server_writes_at_each_attempt(self):   # Exim's delivery_date_add, envelope_to_add
        self.site.sql("delete from postern.delivery")
        for day, left in ((b"Mon", b"u1@t1.example,\r\n\tu2@t1.example"), (b"Tue", b"u1@t1.example")):
            self.connect().deliver(b"Envelope-to: " + left + b"\r\nDelivery-date: " + day + b"\r\n" + LETTER, U1)
        self.assertEqual(self.site.count("u1"), 1)

    def test_refused_is_not_remembered(self):
        self.site.sql("delete from postern.delivery")
        self.site.ctl("mailbox", "set", U1, "--quota", "100")
        try:
            reply, = self.connect().deliver(LETTER, U1)
            self.assertTrue(reply.startswith(b"552 5.2.3"), reply)
        finally:
            self.site.ctl("mailbox", "set", U1, "--quota", "none")
        reply, = self.connect().deliver(LETTER, U1)
        self.assertTrue(reply.startswith(b"250"), reply)
        self.assertEqual(self.site.count("u1"), 1)


class Trust(Case):
    @classmethod
    def setUpClass(cls):
        cls.site = Site("lmtp-")
        cls.addClassCleanup(cls.site.down)
        where = cls.site.dir
        listeners = [f'{{ address = "127.0.0.1"; port = {kit.lab.free_port()}; }}',
                     f'{{ address = "{where}/l.sock"; protocol = "lmtp"; }}',
                     f'{{ address = "{where}/open.sock"; protocol = "lmtp"; mode = "0666"; allow = "user:daemon"; }}',
                     f'{{ address = "127.0.0.1"; port = {cls.site.lmtp}; protocol = "lmtp"; allow = "192.0.2.0/24"; }}']
        cls.site.up(kit.QUICK + f'cells = 1; listeners = ( {", ".join(listeners)} );\n')
        cls.site.users("u1", "u2", "u3")

    def test_mode(self):
        self.assertEqual((self.site.dir / "l.sock").stat().st_mode & 0o777, 0o660)
        self.assertEqual((self.site.dir / "open.sock").stat().st_mode & 0o777, 0o666)

    def test_unix_socket(self):
        with Lmtp(str(self.site.dir / "l.sock")) as c:
            c.deliver(LETTER, U1)
        self.assertIn(b"(unix)", self.site.bodies(U1)[0][0])

    def test_another_user(self):
        with Lmtp(str(self.site.dir / "open.sock"), greet=False) as c:
            self.assertTrue(c.reply(plain=True).startswith(b"554 5.7.1"))
            self.assertTrue(c.at_end())

    def test_another_network(self):
        with self.site.lmtp_connect(greet=False) as c:
            self.assertTrue(c.reply(plain=True).startswith(b"554 5.7.1"))
            self.assertTrue(c.at_end())


class Check(Case):
    def problems(self, text):
        path = self.site.dir / "check.conf"
        path.write_text(self.site.lab.conf.read_text() + text)
        done = subprocess.run([str(self.site.lab.posternd), "-c", str(path), "--check"], stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout

    def test_port_25(self):                                     # LM13
        conf = self.site.lab.conf.read_text()
        path = self.site.dir / "check.conf"
        path.write_text(re.sub(r"port = \d+; protocol", "port = 25; protocol", conf))
        done = subprocess.run([str(self.site.lab.posternd), "-c", str(path), "--check"], stdout=subprocess.PIPE, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("25", done.stdout)

    def test_words(self):
        for text in ('bare_newline = "maybe";', 'nul_octets = "keep";', 'lmtp_over_quota = "never";', 'lmtp_disabled = "no";',
                     'lmtp_postmaster = "Root";', 'lmtp_separator = "@";', 'lmtp_hostname = "a b";', 'lmtp_max_recipients = 99;'):
            status, said = self.problems(text + "\n")
            self.assertEqual(status, 1, text)
            self.assertIn(text.split(" ")[0], said)
            self.assertRegex(said, r"check\.conf:\d+: ")


class Inetd(Case):
    def run_one(self, data, **kw):
        return subprocess.run([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--inetd=lmtp"], input=data,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60, **kw)

    def test_pipes(self):
        session = (b"LHLO x\r\nMAIL FROM:<s@x>\r\nRCPT TO:<u1@t1.example>\r\nRCPT TO:<ghost@t1.example>\r\nDATA\r\n" +
                   stuff(LETTER) + b"QUIT\r\n")
        done = self.run_one(session)
        codes = re.findall(rb"^(\d\d\d) ", done.stdout, re.M)
        self.assertEqual(codes, [b"220", b"250", b"250", b"250", b"550", b"354", b"250", b"221"])
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        trace, body = self.site.bodies(U1)[0]
        self.assertIn(b"(stdin)", trace)
        self.assertEqual(body, LETTER)

    def test_large(self):
        message = kit.letter(1, 2_000_000)
        done = self.run_one(b"LHLO x\r\nMAIL FROM:<s@x>\r\nRCPT TO:<u1@t1.example>\r\nDATA\r\n" + stuff(message) + b"QUIT\r\n")
        self.assertIn(b"250 2.1.5 <u1@t1.example> stored", done.stdout)
        self.assertEqual(self.site.bodies(U1)[0][1], message)

    def test_socket(self):
        ours, theirs = socket.socketpair()
        with theirs:
            proc = subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--inetd=lmtp"], stdin=theirs,
                                    stdout=theirs, stderr=theirs)
        with ours:
            ours.settimeout(20)
            self.assertTrue(ours.recv(1000).startswith(b"220 "))
            ours.sendall(b"QUIT\r\n")
            self.assertTrue(ours.recv(1000).startswith(b"221 "))
        self.assertEqual(proc.wait(20), 0)


class Logs(Case):
    def test_a_line_for_each_recipient(self):                   # LE19
        c = self.connect()
        c.ok("MAIL FROM:<s@sender.example>")
        c.ok(f"RCPT TO:<{U1}>")
        c.expect("550", f"RCPT TO:<ghost@{DOMAIN}>")
        c.ok(f"RCPT TO:<{U2}>")
        for reply in c.data(LETTER, 2):
            self.assertTrue(reply.startswith(b"250"))
        name = re.search(rb"stored as (\S+)", reply).group(1).decode()
        lines = [line for line in self.site.log_text().splitlines() if f" {name} lmtp " in line]
        self.assertEqual(len(lines), 3)
        self.assertRegex(lines[0], rf'from="s@sender.example" to="ghost@{DOMAIN}" refused code=550 status=5\.1\.1')
        for line, who in zip(lines[1:], (U1, U2)):
            self.assertRegex(line, rf'from="s@sender.example" to="{who}" octets=\d+ code=250 status=2\.1\.5 mailbox=\d+ mailboxes=1 '
                                   r'uid=[1-9]\d* db=\d+ms message-id="<1@x>"')
        c.expect("221", "QUIT")
        c.at_end()
        self.assertTrue(kit.wait_until(lambda: f"{name.split('.')[0]} lmtp session " in self.site.log_text()))


if __name__ == "__main__":
    unittest.main()
