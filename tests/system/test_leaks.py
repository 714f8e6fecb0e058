"""After many sessions of every kind each process has the descriptors and, but for what allocators keep, the memory it had.

LEAK_SESSIONS=100000 is the long form (make check-leaks)."""
import os
import pathlib
import socket
import ssl
import threading
import unittest

import kit
from lmtpkit import Lmtp

COUNT = int(os.environ.get("LEAK_SESSIONS", "1200"))
THREADS = 4
WHO = [f"leak{n}@example.org" for n in range(THREADS)]
SLACK = 768 * 1024              # octets: what a cache that fills up, or a heap that is cut in other pieces, may take


def private(pid):
    """Octets of anonymous memory that are a process's own."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    return 0


class Leaks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        conf = kit.QUICK.replace("100ms", "0") + "cells = 1; auth_helpers = 2; auth_failures = 1000000; pop3_limit_failures = 1000000;\n"
        cls.site = kit.Site("leaks-", conf, lmtp=True, pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        for who in WHO:
            cls.site.account(who, [kit.letter(1), kit.letter(2, 30_000)])
        cls.tls = ssl.create_default_context(cafile=str(cls.site.lab.tls / "ca.pem"))

    def whole(self, who):
        with self.site.login(who) as pop:
            pop.multi("LIST")
            pop.retr(2)
            pop.ok("DELE 1")
            pop.ok("QUIT")

    def wrong(self, who):
        with self.site.connect() as pop:
            pop.ok("USER " + who)
            pop.err("PASS wrong")
            pop.err("NONSENSE")

    def secured(self, who):
        sock = socket.create_connection(("127.0.0.1", self.site.pop3s), timeout=30)
        with kit.Pop("", sock=self.tls.wrap_socket(sock, server_hostname="localhost"), timeout=30) as pop:
            pop.login(who)
            pop.retr(1)
            pop.ok("QUIT")

    def stls(self, who):
        with self.site.connect() as pop:
            pop.ok("STLS")
            pop.sock = self.tls.wrap_socket(pop.sock, server_hostname="localhost")
            pop.ok("USER " + who)

    def vanished(self, who):
        pop = self.site.login(who)
        pop.send(b"RETR 1\r\nRETR 1\r\nTOP 1 1")
        pop.reset()

    def delivered(self, who):
        with Lmtp(f"127.0.0.1:{self.site.lmtp}") as c:
            c.send(f"MAIL FROM:<>\r\nRCPT TO:<{who}>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n")
            for _ in range(4):
                c.reply(plain=True)
            c.send(kit.letter(3) + b".\r\nQUIT\r\n")
            assert c.reply().startswith(b"250"), "not delivered"

    def sessions(self, count):
        kinds = [self.whole, self.delivered, self.wrong, self.secured, self.stls, self.vanished]
        failed = []

        def work(who):
            try:
                for n in range(count // THREADS):
                    kind = kinds[n % len(kinds)]
                    try:
                        kind(who)
                    except AssertionError as e:
                        # One that vanished may still hold its maildrop for a moment.
                        if "IN-USE" not in str(e):
                            raise
            except BaseException as e:          # noqa: B902
                failed.append(f"{kind.__name__}: {e!r}")
        threads = [threading.Thread(target=work, args=(who,)) for who in WHO]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [], self.site.log_tail())

    def measured(self):
        """By process, when all sessions are over."""
        self.assertTrue(kit.wait_until(lambda: "sessions" not in self.site.sql(
            "select case when count(*) > 0 then 'sessions' else '' end from pg_locks where locktype = 'advisory'"), 15))
        master, workers, helpers = self.site.tree()
        return {pid: (kit.fds(pid), private(pid)) for pid in [master] + workers + helpers}

    def test_all_kinds(self):
        self.sessions(max(COUNT // 3, 240))
        before = self.measured()
        self.sessions(COUNT)
        after = self.measured()
        self.assertEqual(before.keys(), after.keys(), self.site.log_tail())
        for pid, (fds, octets) in after.items():
            print(f"\n{pathlib.Path(f'/proc/{pid}/comm').read_text().strip()}: {before[pid]} -> {fds, octets}", end=" ", flush=True)
            self.assertTrue(kit.wait_until(lambda p=pid: kit.fds(p) == before[p][0]), f"{pid}: {before[pid]}, {after[pid]}")
            if not kit.sanitized():
                self.assertLess(octets, before[pid][1] + SLACK, f"{pid}: {before[pid]}, {after[pid]}")


if __name__ == "__main__":
    unittest.main()
