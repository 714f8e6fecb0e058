"""Much: many messages, large ones, many sessions, slow readers; memory and statements stay bounded.

(C16, E04, G11, N04, N05, N14, X11, Y20, Y21, P7.) No time is asserted, only sizes and counts.
"""
import re
import resource
import threading
import time
import unittest

import kit

MB = 1 << 20


def raise_limit():
    """A client needs a descriptor for each session too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))


class Peak(threading.Thread):
    """The largest resident size of a process while something is done."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.first, self.peak, self.over = pid, kit.rss(pid), 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.wait(0.02):
            try:
                self.peak = max(self.peak, kit.rss(self.pid))
            except OSError:
                return

    @property
    def growth(self):
        return max(0, self.peak - self.first)


class Load(unittest.TestCase):
    conf = kit.QUICK + "cells = 1;\n"
    pgconf = ""

    @classmethod
    def setUpClass(cls):
        raise_limit()
        cls.site = kit.Site("load-", cls.conf, cls.pgconf)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()

    def bounded(self, octets, limit):
        if not kit.sanitized():
            self.assertLess(octets, limit)

    def worker(self):
        workers = self.site.tree()[1]
        self.assertEqual(len(workers), 1)
        return workers[0]

    def copies(self, count, name="many", messages=1):
        """count mailboxes with the password and the first messages of one that is there."""
        return self.site.copies("model@example.org", name, count, messages)


class Maildrops(Load):
    def test_twenty_thousand_messages(self):
        """X11 E04: listings in full, a pipeline of DELE, one transaction at the end."""
        who, n = "large@example.org", 20_000
        letters = [b"Subject: %d\r\n\r\nletter %d\r\n" % (i, i) for i in range(1, n + 1)]
        self.site.account(who, letters)
        with self.site.login(who, timeout=60) as pop:
            self.assertEqual(pop.stat(), (n, sum(map(len, letters))))
            self.assertEqual(pop.multi("LIST"), [b"%d %d" % (i, len(letter)) for i, letter in enumerate(letters, 1)])
            uidls = pop.uidl()
            self.assertEqual(len(set(uidls)), n)
            self.assertEqual(pop.retr(n), letters[-1])
            pop.send(b"".join(b"DELE %d\r\n" % i for i in range(1, 5001)))
            for _ in range(5000):
                self.assertTrue(pop.line().startswith(b"+OK"))
            self.assertEqual(pop.stat()[0], n - 5000)
            pop.send(b"QUIT\r\n")
            self.assertTrue(pop.line().startswith(b"+OK"))
        with self.site.login(who, timeout=60) as pop:
            self.assertEqual(pop.uidl(), uidls[5000:])
            self.assertEqual(pop.retr(1), letters[5000])
            pop.ok("RETR 15000")
            self.assertEqual(kit.unstuffed(pop.body()), letters[-1])
            pop.ok("QUIT")
        self.site.checked()


class Large(Load):
    def test_hundred_megabytes(self):
        """Read fast, then slowly: the worker's memory is a matter of pieces, not of the message."""
        who, letter = "model@example.org", kit.letter(1, 100_000_000)
        self.site.account(who, [letter])
        with self.site.login(who, timeout=60) as pop:
            pop.ok("TOP 1 10")
            pop.body()
            with Peak(self.worker()) as peak:
                self.assertEqual(pop.retr(1), letter)
            self.bounded(peak.growth, 16 * MB)
            pop.ok("QUIT")
        with Peak(self.worker()) as peak, kit.Pop(self.site.address, rcvbuf=16384) as pop:
            pop.login(who)
            pop.send(b"RETR 1\r\n")
            for _ in range(40):
                pop.sock.recv(4096)
                time.sleep(0.05)
        self.bounded(peak.growth, 16 * MB)

        # Y21: twenty at once; the time-out for clients that take nothing is not reached here.
        many = self.copies(20, "same")
        pops = []
        with Peak(self.worker()) as peak:
            for address in many:
                pop = kit.Pop(self.site.address, rcvbuf=16384)
                pop.login(address)
                pop.send(b"RETR 1\r\n")
                pops.append(pop)
            time.sleep(2)
            for pop in pops:
                self.assertTrue(pop.line().startswith(b"+OK"))
        for pop in pops:
            pop.close()
        self.bounded(peak.growth, 20 * 2 * MB)
        # Nobody was hurt by those who hung up in the middle.
        with self.site.login_soon(many[0]) as pop:
            self.assertEqual(pop.stat(), (1, len(letter)))
            pop.ok("QUIT")

    def test_pipeline_that_is_not_read(self):
        """N04 N05: a thousand RETR of 1 MB without reading; bounded memory, then every octet."""
        who, letter = "pipeline@example.org", kit.letter(3, 1_000_000)
        self.site.account(who, [letter])
        times = 300
        with self.site.login(who, timeout=60) as pop:
            with Peak(self.worker()) as peak:
                sender = threading.Thread(target=pop.send, args=(b"RETR 1\r\n" * times + b"NOOP\r\n" * 200_000,), daemon=True)
                sender.start()
                time.sleep(3)
                self.bounded(peak.peak - peak.first, 16 * MB)
                for _ in range(times):
                    self.assertTrue(pop.line().startswith(b"+OK"))
                    self.assertEqual(kit.unstuffed(pop.body()), letter)
                for _ in range(200_000):
                    self.assertTrue(pop.line().startswith(b"+OK"))
                sender.join()
            self.bounded(peak.growth, 16 * MB)
            pop.ok("QUIT")

    def test_many_capa(self):
        """C16"""
        with self.site.connect() as pop, Peak(self.worker()) as peak:
            sender = threading.Thread(target=pop.send, args=(b"CAPA\r\n" * 10_000,), daemon=True)
            sender.start()
            for _ in range(10_000):
                self.assertTrue(pop.line().startswith(b"+OK"))
                pop.body()
            pop.ok("QUIT")
        self.bounded(peak.growth, 4 * MB)

    def test_line_without_end(self):
        """G11: 8 MiB without a line end cost next to nothing, and the connection."""
        # Once before, so that what a first session needs is there.
        with self.site.connect() as pop:
            pop.ok("QUIT")
        pop = self.site.connect()
        with Peak(self.worker()) as peak:
            try:
                pop.send(b"A" * (8 * MB))
            except (ConnectionResetError, BrokenPipeError):
                pass
            try:
                data = b"".join(iter(lambda: pop.sock.recv(65536), b""))
            except ConnectionResetError:
                data = b""
        pop.close()
        self.assertRegex(data, rb"^(-ERR[^\r\n]*\r\n)?$")
        self.bounded(peak.growth, MB // 2)


class Many(Load):
    conf = kit.QUICK + 'cells = 1; pop3_login_time = "5m";\n'

    def test_thousand_idle_sessions(self):
        """P7: each with its maildrop locked; no connection to the database for any of them, but one for those that rest."""
        self.site.account("model@example.org", [kit.letter(1)])
        addresses = self.copies(1000)
        lanes = self.site.lane_pids()
        before = kit.rss(self.worker())
        pops = [self.site.login(address) for address in addresses]
        grown = kit.rss(self.worker()) - before
        # One that is moved aside in this moment has two.
        locks = "select count(distinct objid) from pg_locks where locktype = 'advisory' and granted"
        self.assertEqual(self.site.sql(locks), "1000")
        self.assertLessEqual(set(lanes), set(self.site.lane_pids()))
        self.assertLessEqual(len(self.site.lane_pids()), len(lanes) + 1)
        self.bounded(grown / 1000, 16 * 1024)
        for pop in pops[::100]:
            self.assertEqual(pop.retr(1), kit.letter(1))
        for n, pop in enumerate(pops):
            if n % 2:
                pop.ok("QUIT")
            pop.close()
        self.assertTrue(kit.wait_until(lambda: self.site.sql(locks) == "0"))
        with self.site.login(addresses[0]) as pop:
            pop.ok("QUIT")

    def test_silent_connections(self):
        """A19: a thousand that say nothing do not keep anybody out."""
        self.site.account("someone@example.org", [kit.letter(1)])
        silent = [self.site.connect(greet=False) for _ in range(1000)]
        self.assertEqual(self.site.fetched("someone@example.org"), [kit.letter(1)])
        for pop in silent:
            pop.close()

    def test_two_thousand_sessions_leave_nothing(self):
        """N14: descriptors and backends stay as they were, memory too once it is warm."""
        self.site.account("leak@example.org", [kit.letter(n) for n in range(1, 4)])

        def sessions(count):
            for n in range(count):
                with self.site.connect() as pop:
                    pop.send(f"USER leak@example.org\r\nPASS {kit.PASSWORD}\r\nUIDL\r\n".encode())
                    pop.line()
                    self.assertTrue(pop.line().startswith(b"+OK"))
                    pop.line()
                    pop.body()
                    if n % 3 == 0:
                        pop.retr(2)
                    # The reply to QUIT says that the maildrop is free again.
                    pop.ok("QUIT")
        sessions(500)
        worker, _, helpers = self.worker(), *self.site.tree()[1:]

        def state():
            return [kit.fds(pid) for pid in [worker, *sorted(helpers)]], len(self.site.lane_pids())
        kit.lab.wait_until(lambda: state() == state(), 1)
        before, size = state(), kit.rss(worker)
        sessions(1500)
        # The last connection may still be on its way out.
        self.assertTrue(kit.wait_until(lambda: state() == before), (before, state()))
        self.assertEqual(self.worker(), worker)
        self.bounded(kit.rss(worker) - size, MB)


class Slow(Load):
    conf = kit.QUICK + 'cells = 1; pop3_write_time = "2s";\n'

    def test_client_that_takes_nothing(self):
        """Y20: it is closed without deletion, and the maildrop is free."""
        who = "slow@example.org"
        self.site.account(who, [kit.letter(1), kit.letter(2, 20_000_000)])
        pop = kit.Pop(self.site.address, rcvbuf=8192)
        pop.login(who)
        pop.ok("DELE 1")
        pop.send(b"RETR 2\r\n")
        with self.site.login_soon(who, seconds=20) as again:
            self.assertEqual(again.stat()[0], 2)
            again.ok("QUIT")
        pop.close()

    def test_client_that_takes_a_little(self):
        """Q12: who reads a trickle is neither idle nor gone."""
        who = "trickle@example.org"
        self.site.account(who, [kit.letter(2, 3_000_000)])
        with kit.Pop(self.site.address, rcvbuf=8192) as pop:
            pop.login(who)
            pop.send(b"RETR 1\r\n")
            got = b""
            for _ in range(12):
                got += pop.sock.recv(65536)
                time.sleep(0.5)
            pop.buf += got
            self.assertTrue(pop.line().startswith(b"+OK"))
            self.assertEqual(kit.unstuffed(pop.body()), kit.letter(2, 3_000_000))
            pop.ok("QUIT")


class Statements(Load):
    """What a session costs the database, counted by PostgreSQL itself."""

    conf = kit.QUICK + "cells = 1; auth_helpers = 1;\n"
    pgconf = "log_statement = 'all'\nlog_line_prefix = '%u '\n"

    def counted(self, work):
        """Statements of the lanes and of the helper while `work` runs."""
        log = self.site.lab.pg_log
        time.sleep(0.2)
        at = log.stat().st_size
        work()
        time.sleep(0.3)
        with open(log, "rb") as file:
            file.seek(at)
            text = file.read().decode(errors="replace")
        counts = {}
        for role in ("postern_mail", "postern_auth"):
            counts[role] = re.findall(rf"^{role} LOG:  (?:execute|statement).*$", text, re.M)
        return counts

    def test_budget(self):
        who = "budget@example.org"
        self.site.account(who, [kit.letter(n, 2000) for n in range(1, 51)])

        def poll():
            with self.site.login(who) as pop:
                pop.ok("STAT")
                pop.multi("UIDL")
                pop.ok("QUIT")
        for _ in range(3):                          # cold, then with a listing that is remembered
            counts = self.counted(poll)
            self.assertLessEqual(len(counts["postern_mail"]), 3, counts)
            self.assertGreaterEqual(len(counts["postern_mail"]), 2, counts)
            self.assertLessEqual(len(counts["postern_auth"]), 1, counts)
        # Each helper has seen him once: from then on nobody looks at the secrets.
        self.assertTrue(any(not self.counted(poll)["postern_auth"] for _ in range(20)))

        pop = self.site.login(who)
        for n in (7, 3, 50):
            counts = self.counted(lambda number=n: pop.retr(number))
            self.assertLessEqual(len(counts["postern_mail"]), 1, counts)
            self.assertEqual(len(counts["postern_auth"]), 0)
        for text in ("STAT", "NOOP", "LIST 1", "DELE 9", "RSET"):
            counts = self.counted(lambda line=text: pop.ok(line))
            self.assertEqual(len(counts["postern_mail"]), 0, (text, counts))
        counts = self.counted(lambda: [pop.retr(n) for n in range(1, 51)])
        self.assertLessEqual(len(counts["postern_mail"]), 50, "reading ahead costs more than it saves")
        pop.ok("DELE 1")
        counts = self.counted(lambda: pop.ok("QUIT"))
        self.assertLessEqual(len(counts["postern_mail"]), 2, counts)

    def test_refused_login_costs_one(self):
        def refused():
            with self.site.connect() as pop:
                pop.ok("USER nobody@example.org")
                pop.err("PASS x", "AUTH")
        counts = self.counted(refused)
        self.assertEqual((len(counts["postern_mail"]), len(counts["postern_auth"])), (0, 1), counts)

    def test_capa_costs_nothing(self):
        """C16"""
        def capa():
            with self.site.connect() as pop:
                pop.multi("CAPA")
                pop.ok("QUIT")
        counts = self.counted(capa)
        self.assertEqual(sum(map(len, counts.values())), 0, counts)


if __name__ == "__main__":
    unittest.main()
