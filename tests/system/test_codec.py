"""Mail that is stored compressed: what comes out is what went in, however it came and is read, and while it is recoded (P1, P2, P7)."""
import base64
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import threading
import unittest

import kit
import lab
import lmtpkit

ANNA, BERT, CLARA = (f"{name}@t1.example" for name in ("anna", "bert", "clara"))
FORMS = """select count(*) filter (where p.codec is null), count(*) filter (where p.codec = 1), count(*) filter (where p.codec > 1)
             from postern.content_part p"""


def text(number, octets):
    """As most mail is: it becomes a third."""
    return kit.letter(number, octets)


def attachment(number, octets):
    """Base64 of what cannot be compressed: it becomes three quarters."""
    body = base64.encodebytes(random.Random(number).randbytes(octets * 3 // 4)).replace(b"\n", b"\r\n")
    return kit.letter(number, 100) + body


def noise(number, octets):
    """It becomes nothing."""
    return b"Subject: noise\r\n\r\n" + random.Random(number).randbytes(octets).replace(b"\r", b"r").replace(b"\n", b"n") + b"\r\n"


def mix():
    return ([text(n, size) for n, size in enumerate((100, 2000, 7990, 9000, 30_000, 63_900, 64_100, 130_000, 300_000))] +
            [attachment(n, size) for n, size in enumerate((5000, 200_000, 700_000))] +
            [noise(1, 90_000), noise(2, 300), text(9, 100_000) + noise(3, 150_000) + text(10, 100_000)])


class Site(lmtpkit.Site):
    def forms(self):
        """Parts that are plain, that are coded by zstd, and others."""
        return tuple(int(n) for n in self.sql(FORMS).split("|"))

    def coded(self, address):
        """Of its messages, in order: is one of their parts coded?"""
        return [row == "t" for row in self.sql(f"""
            select bool_or(p.codec is not null) from postern.message m join postern.mailbox b using (mailbox)
              join postern.content_part p on p.content = m.content where b.address = '{address}' group by m.uid order by m.uid""").split()]

    def sound(self):
        """check and verify say so, and the sums of what is stored are right."""
        self.checked()
        self.ctl("verify")
        wrong = self.sql("""select c.content, c.stored from postern.content c
            cross join lateral (select sum(length(p.data)) as n, bool_or(p.codec is not null) as coded
                                  from postern.content_part p where p.content = c.content) s
             where case when c.stored is null then s.coded else c.stored <> s.n end""")
        assert wrong == "", wrong

    def recode(self, *args, check=True):
        done = self.ctl("recode", *args, check=check)
        return done.stdout.decode()


def setUpModule():
    Case.site = Site("codec-", "cells = 1;\n")
    unittest.addModuleCleanup(Case.site.down)
    Case.site.up()
    Case.site.users("anna", "bert", "clara")


class Case(unittest.TestCase):
    site = None

    def setUp(self):
        self.site.empty("anna", "bert", "clara")
        # What was much, or could be brought back, is there still.
        self.site.sql("""update postern.deleted set until = now();
            do $$ begin while (select r.more from postern.reclaim(1 << 30) r) loop end loop; end $$""")
        self.assertEqual(self.site.contents(), 0)
        for scope in ((), ("--domain", "t1.example"), *(("--mailbox", who) for who in (ANNA, BERT, CLARA))):
            self.site.ctl("policy", "clear", *scope)

    def zstd(self, *scope):
        self.site.ctl("policy", "set", *scope, "codec=zstd")

    def lmtp(self, letters, *to):
        with self.site.lmtp_connect() as client:
            for letter in letters:
                for reply in client.deliver(letter, *(to or (ANNA,))):
                    self.assertTrue(reply.startswith(b"250 2."), reply)

    def received(self, address, letters):
        self.assertEqual([data for _, data in self.site.bodies(address)], letters)


class Delivery(Case):
    def test_off_by_default(self):
        self.lmtp(mix())
        self.site.fill(BERT, [text(1, 100_000)])
        self.assertEqual(self.site.forms()[1:], (0, 0))
        self.assertEqual(self.site.sql("select count(*) from postern.content where stored is not null"), "0")

    def test_lmtp_and_import(self):
        """RETR, TOP, export, message show, disclose, verify: as of plain mail; what does not get shorter stays plain."""
        self.zstd()
        self.lmtp(mix())
        self.received(ANNA, mix())
        letters = [kit.canonical(letter) for letter in mix()]
        self.site.fill(BERT, mix())
        self.assertEqual(self.site.fetched(BERT), letters)
        self.assertEqual(self.site.coded(BERT), [letter not in (noise(1, 90_000), noise(2, 300)) for letter in mix()])
        plain, coded, other = self.site.forms()
        self.assertGreater(plain, 2 * 20)
        self.assertGreater(coded, 2 * 80)
        self.assertEqual(other, 0)
        self.site.sound()
        with self.site.login(BERT) as pop:
            for n, letter in enumerate(letters, 1):
                head, _, body = letter.partition(b"\r\n\r\n")
                lines = body.split(b"\r\n")
                for count in (0, 1, 100, 99_999_999):
                    top = head + b"\r\n\r\n" + b"".join(line + b"\r\n" for line in lines[:-1][:count])
                    self.assertEqual(kit.unstuffed(pop.multi(f"TOP {n} {count}")), top, (n, count))
            pop.ok("QUIT")
        with tempfile.TemporaryDirectory() as folder:
            self.site.ctl("export", "--format", "eml", BERT, f"{folder}/out")
            self.assertEqual([p.read_bytes() for p in sorted(pathlib.Path(folder, "out").iterdir())], letters)
            self.site.ctl("disclose", BERT, f"{folder}/all")
            found = [p.read_bytes() for p in pathlib.Path(folder, "all").rglob("*") if p.is_file() and p.name != "data.json"]
            self.assertEqual(sum(map(len, found)) > sum(map(len, letters)) * 0.9, True)
        self.assertEqual(self.site.ctl("message", "show", "--raw", BERT, self.site.uid(BERT, 9)).stdout, letters[8])
        shown = self.site.ctl("message", "show", BERT, self.site.uid(BERT, 9)).stdout.decode()
        self.assertLess(int(re.search(r"stored_octets\s+(\d+)", shown).group(1)), len(letters[8]) // 2)

    def test_large_in_bounded_memory(self):
        """30 MB in and out: the worker holds pieces of it."""
        letter = attachment(1, 20_000_000) + text(2, 10_000_000)
        self.zstd()
        self.lmtp([text(3, 300_000)])
        self.site.fetched(ANNA)
        before = {pid: kit.rss(pid) for pid in self.site.tree()[1]}
        self.lmtp([letter])
        with self.site.login(ANNA) as pop:
            data = pop.retr(2)
            self.assertEqual(data[-len(letter):], letter)
            pop.ok("QUIT")
        if not kit.sanitized():
            for pid, was in before.items():
                self.assertLess(kit.rss(pid) - was, 12_000_000)
        self.site.sound()
        self.assertLess(int(self.site.sql("select max(stored) from postern.content")), len(letter) * 0.7)

    def test_sessions_at_once(self):
        """Groups of deliveries, one of them refused, plain ones and coded ones; fetched by many at once."""
        self.zstd("--mailbox", ANNA)
        letters = {who: [text(100 * n + i, 500 + 300 * i) for i in range(40)] for n, who in enumerate((ANNA, BERT, CLARA))}
        failed = []

        def deliver(who, some):
            try:
                self.lmtp(some, who)
            except Exception as e:      # told by the main thread
                failed.append(e)
        threads = [threading.Thread(target=deliver, args=(who, letters[who][k::4])) for who in letters for k in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])
        for who in letters:
            self.assertEqual(sorted(data for _, data in self.site.bodies(who)), sorted(letters[who]))
        self.assertEqual(sum(self.site.coded(BERT) + self.site.coded(CLARA)), 0)
        self.assertGreater(sum(self.site.coded(ANNA)), 35)
        # Small messages of several sessions come in one answer.
        self.site.empty("anna")
        self.site.fill(ANNA, letters[BERT])
        wanted = [kit.canonical(letter) for letter in letters[BERT]]
        copies = self.site.copies(ANNA, "copy", 8)
        self.addCleanup(lambda: [self.site.ctl("mailbox", "remove", who, "--yes") for who in copies])

        def fetch(who):
            try:
                self.assertEqual(self.site.fetched(who), wanted)
            except Exception as e:      # told by the main thread
                failed.append(e)
        threads = [threading.Thread(target=fetch, args=(who,)) for who in copies]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])
        self.site.sound()

    def test_any_recipient_decides(self):
        """A content that is shared is coded if the policy of one recipient says so; narrower policies count before wider ones."""
        self.zstd("--domain", "t1.example")
        self.site.ctl("policy", "set", "--mailbox", BERT, "codec=plain")
        self.lmtp([text(1, 5000)], BERT)
        self.lmtp([text(2, 5000)], ANNA)
        self.lmtp([text(3, 5000)], BERT, ANNA)
        self.lmtp([text(4, 600_000)], BERT, ANNA)
        self.assertEqual(self.site.coded(BERT), [False, True, True])
        self.assertEqual(self.site.coded(ANNA), [True, True, True])
        self.received(BERT, [text(1, 5000), text(3, 5000), text(4, 600_000)])
        self.site.ctl("policy", "set", "--domain", "t1.example", "codec=default")
        self.lmtp([text(5, 5000)], ANNA)
        tenant = self.site.sql("select t.name from postern.tenant t join postern.domain d using (tenant) where d.name = 't1.example'")
        self.addCleanup(self.site.ctl, "policy", "clear", "--tenant", tenant)
        self.zstd("--tenant", tenant)
        self.lmtp([text(6, 5000)], ANNA)
        self.site.ctl("policy", "set", "--tenant", tenant, "codec=plain")
        self.zstd()
        self.lmtp([text(7, 5000)], ANNA)
        self.site.ctl("policy", "clear", "--tenant", tenant)
        self.lmtp([text(8, 5000)], ANNA)
        self.assertEqual(self.site.coded(ANNA), [True, True, True, False, True, False, True])
        done = self.site.ctl("policy", "set", "codec=gzip", check=False)
        self.assertIn('codec can be plain or zstd, not "gzip"', done.stdout.decode())
        self.assertEqual(done.returncode, 1)
        self.assertRegex(self.site.ctl("policy", "show").stdout.decode(), r"bert@t1\.example.*plain")
        self.site.sound()

    def test_deleted_and_brought_back(self):
        self.site.ctl("policy", "set", "undelete=3", "codec=zstd")
        self.lmtp(mix()[3:8])
        with self.site.login(ANNA) as pop:
            for n in range(1, 6):
                pop.ok(f"DELE {n}")
            pop.ok("QUIT")
        # What was deleted is recoded, too.
        self.site.recode("--to", "plain", "--mailbox", ANNA)
        self.assertEqual(self.site.forms()[1], 0)
        self.site.recode("--to", "zstd", "--mailbox", ANNA)
        self.assertEqual(self.site.forms()[0], 0)
        self.site.ctl("undelete", ANNA)
        self.received(ANNA, mix()[3:8])
        self.site.sound()

    def test_quota_and_du(self):
        """A quota is of octets as they are sent; du says how much is stored, and what sharing and coding save."""
        letters = [text(1, 50_000), text(2, 50_000)]
        self.zstd()
        self.lmtp(letters, ANNA, BERT)
        row = self.site.sql("select octets, stored_octets, shared_octets, saved_octets from postern.space('all', null) where name is null")
        octets, stored, shared, saved = (int(n) for n in row.split("|"))
        self.assertEqual(stored, int(self.site.sql("select sum(length(data)) from postern.content_part")))
        lines = int(self.site.sql("select sum(octet_length(delivered_to) + 16) from postern.message"))
        self.assertEqual(octets - lines, stored + shared + saved)
        self.assertLess(stored, shared // 2)
        for scope in (("--mailbox", ANNA), ("--domain", "t1.example"), ()):
            self.assertIn(str(stored), self.site.ctl("du", *scope).stdout.decode())
        self.addCleanup(self.site.ctl, "mailbox", "set", ANNA, "--quota", "none")
        self.site.ctl("mailbox", "set", ANNA, "--quota", "90000")
        with self.site.lmtp_connect() as client:
            client.ok("MAIL FROM:<s@sender.example>")
            self.assertTrue(client.cmd(f"RCPT TO:<{ANNA}>").startswith(b"452 4.2.2"), "over quota by octets as they are sent")


class Recode(Case):
    def test_both_ways(self):
        """Everything, a domain, a mailbox; again there is nothing to do; what did not get shorter is not tried again."""
        self.lmtp(mix())
        self.lmtp([text(50, 20_000)], ANNA, BERT)
        self.assertIn("would be recoded to zstd", self.site.recode("--dry-run"))
        self.assertEqual(self.site.forms()[1], 0)
        said = self.site.recode("--mailbox", BERT)
        self.assertRegex(said, r"^1 content\(s\), 2\d{4} octets recoded to zstd: they take \d{3} octets; 0 were removed")
        self.assertEqual(self.site.coded(BERT), [True])
        self.assertRegex(self.site.recode("--domain", "t1.example", "--batch", "3"), r"^15 content")
        self.assertRegex(self.site.recode(), r"^0 content")
        self.received(ANNA, mix() + [text(50, 20_000)])
        self.site.sound()
        self.assertRegex(self.site.recode("--to", "plain"), r"^15 content|^16 content")
        self.assertEqual(self.site.forms()[1:], (0, 0))
        self.assertEqual(self.site.sql("select count(*) from postern.content where stored is not null"), "0")
        self.assertRegex(self.site.recode("--to", "plain"), r"^0 content")
        self.received(ANNA, mix() + [text(50, 20_000)])
        self.site.sound()
        self.assertEqual(self.site.recode("--domain", "no.such", check=False), "posternctl: domain no.such does not exist\n")
        said = self.site.recode("--to", "gzip", check=False)
        self.assertIn('there is no codec "gzip": give zstd or plain', said)

    def test_a_client_in_the_middle(self):
        """A RETR that stands still while its message is recoded, and there and back, goes on as if nothing had been."""
        letter = attachment(1, 4_000_000) + text(2, 2_000_000)
        self.lmtp([letter])
        for forms in (["zstd"], ["plain"], ["zstd", "plain", "zstd"]):
            with self.site.login(ANNA) as pop:
                pop.send(b"RETR 1\r\n")
                head = pop.sock.recv(100_000)
                for form in forms:
                    self.assertRegex(self.site.recode("--to", form, "--mailbox", ANNA), r"^1 content")
                pop.buf += head
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertEqual(kit.unstuffed(pop.body())[-len(letter):], letter)
                pop.ok("QUIT")
        self.site.sound()

    def test_while_mail_flows(self):
        """Deliveries, polls and deletions go on while all is recoded again and again."""
        letters = [text(n, 200 + 900 * n) for n in range(60)] + [attachment(7, 1_500_000)]
        self.lmtp(letters)
        self.lmtp(letters, BERT)
        stop, failed, sent = threading.Event(), [], []

        def guard(work):
            try:
                while not stop.is_set():
                    work()
            except Exception as e:      # told by the main thread
                failed.append(e)
                stop.set()

        def fetch():
            self.received(ANNA, letters)

        def deliver():
            letter = text(1000 + len(sent), 3000)
            self.lmtp([letter], CLARA)
            sent.append(letter)

        def delete():
            with self.site.login(BERT) as pop:
                for n in range(1, min(3, pop.stat()[0]) + 1):
                    pop.ok(f"DELE {n}")
                pop.ok("QUIT")
        threads = [threading.Thread(target=guard, args=(work,)) for work in (fetch, deliver, delete)]
        for t in threads:
            t.start()
        try:
            for n in range(4):
                said = self.site.recode("--to", ("zstd", "plain")[n % 2], "--batch", "20")
                self.assertRegex(said, "0 are locked by others, 0 are damaged")
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(failed, [])
        self.received(CLARA, sent)
        self.site.sound()

    def test_killed(self):
        """P2: kill -9 at any moment; the next run goes on with the rest."""
        letters = [text(n, 40_000) for n in range(20)] + [attachment(8, 3_000_000)]
        self.lmtp(letters)
        rng = random.Random(5)
        killed = 0
        for n in range(6):
            form = ("zstd", "plain")[n // 3]
            proc = subprocess.Popen([str(self.site.lab.posternctl), "-c", str(self.site.lab.conf), "recode", "--to", form, "--rate", "20",
                                     "--batch", "5"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=lab.plain_env())
            try:
                proc.wait(rng.uniform(0.02, 0.25))
            except subprocess.TimeoutExpired:
                proc.send_signal(signal.SIGKILL)
                proc.wait()
                killed += 1
            self.assertEqual(int(self.site.sql("select count(*) from postern.content")), len(letters))
            self.received(ANNA, letters)
            if n % 3 == 2:
                self.assertTrue(kit.wait_until(lambda: "another recode" not in self.site.recode("--to", form, check=False)))
                self.assertEqual(self.site.forms()[n // 3], 0)
                self.site.sound()
        self.assertGreater(killed, 0)

    def test_page_after_page(self):
        """More messages than are asked for at once, deleted ones among them, in mailboxes that share contents."""
        self.site.ctl("policy", "set", "undelete=3")
        self.site.fill(ANNA, [text(n, 300) for n in range(2300)])
        with self.site.login(ANNA) as pop:
            for n in range(500, 1700):
                pop.send(b"DELE %d\r\n" % n)
            for n in range(500, 1700):
                pop.line()
            pop.ok("QUIT")
        self.assertRegex(self.site.recode("--domain", "t1.example", "--dry-run"), r"^2300 content")
        self.assertRegex(self.site.recode("--domain", "t1.example", "--batch", "300"), r"^2300 content")
        self.assertRegex(self.site.recode("--domain", "t1.example"), r"^0 content")
        self.assertRegex(self.site.recode("--to", "plain", "--mailbox", ANNA), r"^2300 content")
        self.site.sound()

    def test_one_at_a_time(self):
        with self.site.psql() as psql:
            psql.ask("select postern.begin_recode()")
            done = self.site.ctl("recode", check=False)
            self.assertIn("another recode is running", done.stdout.decode())
            self.assertEqual(done.returncode, 1)

    def test_others_hold_it(self):
        """Nobody is waited for, and it is told."""
        self.lmtp([text(1, 5000), text(2, 5000)])
        with self.site.psql() as psql:
            psql.ask("begin; select from postern.content order by content limit 1 for update")
            done = self.site.ctl("recode", check=False)
            self.assertRegex(done.stdout.decode(), r"^1 content.* 1 are locked by others")
            self.assertEqual(done.returncode, 3)
            psql.ask("rollback")
        self.assertRegex(self.site.recode(), r"^1 content")
        self.site.sound()

    def test_damaged(self):
        """It stays as it is, and is told of, to the operator and to the client; nobody gets a wrong octet."""
        self.zstd()
        letters = [text(n, 100_000 if n != 2 else 400_000) for n in range(4)]
        self.lmtp(letters)
        contents = self.site.sql("select content from postern.content order by content").split()
        self.site.sql(f"""
            update postern.content_part set data = set_byte(data, 200, get_byte(data, 200) # 85) where part = 0 and content = {contents[1]};
            delete from postern.content_part where part >= 40 and content = {contents[2]}""")
        with self.site.login(ANNA) as pop:
            self.assertTrue(pop.retr(1).endswith(letters[0]))
            self.assertIn(b"[SYS/PERM]", pop.cmd("RETR 2"))
            self.assertTrue(pop.retr(4).endswith(letters[3]))
            pop.send(b"RETR 3\r\n")
            with self.assertRaises((EOFError, OSError)):
                pop.line()
                pop.body()
        done = self.site.ctl("recode", "--to", "plain", check=False)
        self.assertEqual(done.returncode, 3, done.stdout)
        self.assertIn(f"content {contents[1]} stays as it is", done.stdout.decode())
        self.assertIn(f"content {contents[2]} stays as it is", done.stdout.decode())
        self.assertRegex(done.stdout.decode(), r"2 content\(s\).* 2 are damaged")
        done = self.site.ctl("verify", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(re.findall(r"^WRONG content", done.stdout.decode(), re.M)), 2, done.stdout)

    def test_nothing_but_what_is_there(self):
        """The function takes no run that would make a content shorter, longer or another."""
        self.lmtp([text(1, 100_000)])
        content = self.site.sql("select content from postern.content")
        size = int(self.site.sql("select octets from postern.content"))
        before = self.site.stored(ANNA)
        for firsts, octets, data, last in ((0, size - 1, size - 1, True), (0, size + 1, size + 1, True), (0, size, size + 1, True),
                                           (8, size, size, True), (0, 64000, 64000, True), (0, size, size, False), (4, 64000, 64000, False),
                                           (-8, 64000, 64000, False), (0, size, 3, True), (0, size, 0, True)):
            with self.assertRaisesRegex(Exception, "are no run of it|coded run"):
                self.site.sql(f"select postern.recode(1, '{{{content}}}', '{{{firsts}}}', '{{{octets}}}',"
                              f" array[decode(repeat('00', {data}), 'hex')], {last})")
        self.assertEqual(self.site.stored(ANNA), before)


if __name__ == "__main__":
    unittest.main()
