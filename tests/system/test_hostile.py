"""Clients that hold connections and hardly move, floods, and no descriptors left: others are served, all comes back.

(A19, N04, N05, Y20, P7.) The short form of tests/load, which has 10,000 of each and measures.
"""
import ctypes
import os
import pathlib
import resource
import sys
import time
import unittest

import kit
import lmtpkit

sys.path.insert(0, str(kit.TESTS / "load"))
import hostile                  # noqa: E402

COUNT = 50
GOOD, INBOX = (f"{name}@{hostile.DOMAIN}" for name in ("good", "inbox"))
LETTERS = [kit.letter(n) for n in range(1, 4)]


def cpu(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return sum(map(int, text[text.rindex(")") + 2:].split()[11:13])) / os.sysconf("SC_CLK_TCK")


class Case(unittest.TestCase):
    conf = kit.QUICK + 'cells = 1; pop3_limit_exempt = ""; lmtp_sessions = 500;\n'

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("hostile-", cls.conf, lmtp=True, pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(GOOD, LETTERS)
        cls.site.account(INBOX)
        cls.worker, = cls.site.tree()[1]

    def served(self):
        self.assertEqual(self.site.fetched(GOOD), LETTERS)
        with lmtpkit.Lmtp(f"127.0.0.1:{self.site.lmtp}") as lmtp:
            self.assertTrue(lmtp.deliver(LETTERS[0], INBOX)[0].startswith(b"250 "))

    def soon_as_before(self, fds):
        self.assertTrue(kit.wait_until(lambda: kit.fds(self.worker) <= fds), (fds, kit.fds(self.worker)))


class Load(Case):
    def test_held(self):
        """Every way to be slow at once."""
        self.site.account(f"model@{hostile.DOMAIN}", [kit.letter(1, 300_000)])
        self.site.copies(f"model@{hostile.DOMAIN}", "many", len(hostile.SLOW) * COUNT)
        self.served()
        fds, lanes, size = kit.fds(self.worker), sorted(self.site.lane_pids()), kit.rss(self.worker)
        slow = [hostile.Slow(hostile.Addresses(self.site), name, COUNT, n * COUNT, every=0.2) for n, name in enumerate(hostile.SLOW)]
        for one in slow:
            one.process.start()
        self.assertEqual([one.mine.recv() for one in slow], [(COUNT, [])] * len(slow))
        self.assertGreaterEqual(kit.fds(self.worker), fds + len(slow) * COUNT)
        for _ in range(3):
            self.served()
        # One connection more where locks of sessions that rest were moved aside.
        now = self.site.lane_pids()
        self.assertLessEqual(set(lanes), set(now))
        self.assertLessEqual(len(now), len(lanes) + 1)
        if not kit.sanitized():
            crowd = kit.rss(self.worker) - size
            self.assertLess(crowd, len(slow) * COUNT * 200_000)
        self.assertEqual([one.end() for one in slow], [COUNT] * len(slow))
        self.soon_as_before(fds)
        if not kit.sanitized():
            self.assertTrue(kit.wait_until(lambda: kit.rss(self.worker) - size < crowd // 3), (kit.rss(self.worker) - size, crowd))
        self.served()
        self.site.checked()

    def test_floods(self):
        self.served()
        fds = kit.fds(self.worker)
        floods = [hostile.Flood(hostile.Addresses(self.site), name, 20) for name in hostile.FLOODS]
        for flood in floods:
            flood.start()
        time.sleep(0.5)
        for _ in range(3):
            self.served()
        for flood in floods:
            self.assertGreater(flood.end(), 20)
        self.soon_as_before(fds)
        self.served()


def few_descriptors():
    """For a child: so many and no more, root or not."""
    ctypes.CDLL(None).prctl(24, 24, 0, 0, 0)        # PR_CAPBSET_DROP CAP_SYS_RESOURCE
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))


class Descriptors(Case):
    def test_none_left(self):
        """Accepting pauses, without a busy loop; who is there is served; all comes back with the descriptors."""
        pop3, lmtp_at = kit.lab.free_port(), kit.lab.free_port()
        daemon = self.site.second(f"""
            listeners = ( {{ address = "127.0.0.1"; port = {pop3}; }}, {{ address = "127.0.0.1"; port = {lmtp_at}; protocol = "lmtp"; }} );
            lmtp_spool_dir = "{self.site.lab.spool}"; """)
        daemon.address = f"127.0.0.1:{pop3}"
        self.addCleanup(daemon.stop)
        others = self.site.lane_pids()
        daemon.start(preexec_fn=few_descriptors)
        self.site.wait_lanes(len(others) + 2)
        lanes = set(self.site.lane_pids()) - set(others)
        worker, = (pid for pid in daemon.pids() if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("posternd w"))

        with kit.Pop(daemon.address) as there, lmtpkit.Lmtp(f"127.0.0.1:{lmtp_at}") as lmtp:
            there.login(GOOD)
            crowd = [kit.Pop(daemon.address, greet=False) for _ in range(80)]

            def complaints():
                return daemon.log.read_text().count("could not accept a connection: Too many open files")
            self.assertTrue(kit.wait_until(complaints))
            used = cpu(worker)
            time.sleep(1.5)
            self.assertLess(cpu(worker) - used, 0.3, "seconds of CPU in 1.5 s: it tries again and again")
            self.assertEqual(complaints(), 1)
            self.assertEqual(there.retr(2), LETTERS[1])
            self.assertTrue(lmtp.deliver(LETTERS[0], INBOX)[0].startswith(b"250 "))
            # More than stays in memory wants a file: refused for now, and only that.
            reply, = lmtp.deliver(kit.letter(1, 600_000), INBOX)
            self.assertTrue(reply.startswith(b"452 4.3.1"), reply)
            self.assertTrue(lmtp.deliver(LETTERS[0], INBOX)[0].startswith(b"250 "))
            there.ok("QUIT")
            # A client may take what a lost lane leaves: the lane comes back when there is a descriptor again.
            for pid in lanes:
                self.site.sql(f"select pg_terminate_backend({pid})")
            time.sleep(0.5)
            for pop in crowd:
                pop.close()
            self.site.wait_lanes(len(others) + 2)
            with kit.Pop(daemon.address) as again:
                again.login(GOOD)
                self.assertEqual(again.retr(3), LETTERS[2])
                again.ok("QUIT")
            self.assertTrue(lmtp.deliver(kit.letter(1, 600_000), INBOX)[0].startswith(b"250 "))
        self.assertTrue(kit.alive(worker))
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
