"""Nobody learns from the time of an answer which names there are (A10)."""
import base64
import concurrent.futures
import math
import random
import time
import unittest

import kit
import test_guard

WHO = test_guard.WHO


class Indistinguishable(test_guard.GuardCase):
    conf = kit.QUICK + ('sasl_mechanisms = "SCRAM-SHA-256 CRAM-MD5 APOP PLAIN"; pop3_login_failures = 100; pop3_login_time = "10m"; '
                        'pop3_bad_commands = 10000; auth_failures = 100000;\n')

    def accounts(self):
        """Names that a stranger must not be able to tell apart; the first one exists."""
        names = [WHO, "nobody@example.org", "off@example.org", "old@example.org", "nopop@example.org", "none@example.org",
                 "x@tenant-off.example", "x@nowhere.example"]
        for name in names[2:6]:
            self.site.account(name, [])
        self.site.ctl("tenant", "add", "switched-off")
        self.site.ctl("domain", "add", "tenant-off.example", "--tenant", "switched-off")
        self.site.ctl("mailbox", "add", names[6])
        self.site.sql("""insert into postern.credential (mailbox, kind, secret) select m.mailbox, s.kind, s.secret from postern.mailbox m,
            (values ('scram-sha-256', 'SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$' || k || ':' || k), ('shared-secret', 'a secret')) s (kind, secret)
            where m.address <> 'none@example.org'""".replace("|| k", "|| '" + base64.b64encode(bytes(32)).decode() + "'"))
        self.site.sql("""update postern.credential c set secret = '{SHA256}' || encode(sha256('x'), 'base64') from postern.mailbox m
            where c.mailbox = m.mailbox and c.kind = 'password' and m.address = 'old@example.org'""")
        self.site.ctl("mailbox", "disable", "off@example.org")
        self.site.ctl("tenant", "disable", "switched-off")
        self.site.ctl("policy", "set", "--mailbox", "nopop@example.org", "pop3=off")
        return names

    @staticmethod
    def password(pop, who):
        pop.ok("USER " + who)
        return lambda: pop.err("PASS wrong", "AUTH")

    @staticmethod
    def apop(pop, who):
        return lambda: pop.err(f"APOP {who} {32 * '0'}", "AUTH")

    @staticmethod
    def cram(pop, who):
        if not pop.cmd("AUTH CRAM-MD5").startswith(b"+ "):
            raise AssertionError("no challenge")
        answer = base64.b64encode(f"{who} {32 * '0'}".encode()).decode()
        return lambda: pop.err(answer, "AUTH")

    @staticmethod
    def scram(pop, who):
        first = base64.b64encode(f"n,,n={who},r=0123456789abcdefghij".encode()).decode()

        def challenged():
            if not pop.cmd("AUTH SCRAM-SHA-256 " + first).startswith(b"+ "):
                raise AssertionError("no challenge")
        return challenged

    def times(self, names, way, tries, threads):
        def some(thread):
            taken = {who: [] for who in names}
            # Each thread has an order of its own: answers leave on a grid, which keeps threads in step, and one
            # moment in which the machine is slow would otherwise hit one name in all of them.
            order = random.Random(thread)
            with test_guard.connect(self.site) as pop:
                for n in range(tries):
                    if n and n % 10 == 0:
                        pop.close()
                        pop = test_guard.connect(self.site)
                    for who in order.sample(names, len(names)):
                        ask = way(pop, who)
                        began = time.perf_counter()
                        ask()
                        taken[who].append(time.perf_counter() - began)
                        if way == self.scram:
                            pop.err("*")
            pop.close()
            return taken
        all_taken = {who: [] for who in names}
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for taken in pool.map(some, range(threads)):
                for who, times in taken.items():
                    all_taken[who] += times
        return all_taken

    def test_challenge_waits(self):
        """What a busy machine blurs: no challenge that depends on a name comes before its quantum of 20 ms is over."""
        taken = self.times([WHO, "ghost@example.org", "x@nowhere.example"], self.scram, 8, 1)
        for who, times in taken.items():
            # The server's clock is of whole milliseconds; there is no upper bound here.
            self.assertGreater(min(times), 0.018, who)

    def compare(self, names, ways, tries, threads):
        for way in ways:
            taken = self.times(names, way, tries, threads)
            for who in names[1:]:
                with self.subTest(way=way.__name__, who=who):
                    self.assertGreater(mann_whitney(taken[WHO], taken[who]), 1e-6)

    def test_times(self):
        """
        A10: for each way to log in, the times for a wrong password, an unknown name, an unknown domain,
        what is disabled, what has an old hash, no secret or a policy come from one distribution.
        Mann-Whitney over tries that take turns; what fails here by chance does so once
        in some ten thousand runs, whatever the load of the machine, as it hits all alike.
        """
        names = self.accounts()
        self.compare(names, (self.scram,), 12, 4)
        self.compare(names, (self.password, self.apop, self.cram), 6, 8)
        # And while others guess, so that helpers are busy and answers are late.
        stop = False

        def guess(thread):
            n = 0
            with test_guard.connect(self.site) as pop:
                while not stop:
                    n += 1
                    pop.ok("USER " + names[n % len(names)])
                    pop.err("PASS guess", "AUTH")
                    if n % 50 == 0:
                        pop.close()
                        pop = test_guard.connect(self.site)
            pop.close()
            return n
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            threads = [pool.submit(guess, n) for n in range(8)]
            try:
                self.compare(names, (self.scram, self.password), 6, 6)
            finally:
                stop = True
            self.assertTrue(all(t.result() > 0 for t in threads))


def mann_whitney(a, b):
    """The two-sided p that these come from one distribution (normal approximation)."""
    ranked = sorted([(x, 0) for x in a] + [(x, 1) for x in b])
    rank_sum = sum(rank for rank, (_, of) in enumerate(ranked, 1) if of == 0)
    u = rank_sum - len(a) * (len(a) + 1) / 2
    mean = len(a) * len(b) / 2
    deviation = math.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12)
    return math.erfc(abs(u - mean) / deviation / math.sqrt(2))


if __name__ == "__main__":
    unittest.main()
