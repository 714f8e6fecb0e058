"""A disk of lmtp_spool_dir that stands still holds up nobody but the messages that need it, and loses none of them."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from lmtpkit import LETTER, U1, U2, U3, Lmtp, Site, kit

LARGE = b"Message-ID: <large@x>\r\nSubject: large\r\n\r\n" + b"".join(b"%07d and some more of a line\r\n" % n for n in range(200000))


@unittest.skipIf(kit.sanitized(), "preloaded before the sanitizer")
class SlowSpool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = Site("slow-spool-", "cells = 1;\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.users("u1", "u2", "u3")
        cls.place = pathlib.Path(tempfile.mkdtemp(prefix="postern-disk-"))
        cls.addClassCleanup(shutil.rmtree, cls.place)
        cls.place.chmod(0o755)
        cls.library = cls.place / "slow_disk.so"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", cls.library, kit.TESTS / "checks" / "slow_disk.c"], check=True)

    def setUp(self):
        self.site.empty("u1", "u2", "u3")
        lmtp = kit.lab.free_port()
        same = [line for line in self.site.lab.conf.read_text().splitlines() if line.startswith(("database_", "lmtp_spool_dir"))]
        self.second = self.site.second("\n".join(line for line in same if line.split(" ")[0] not in self.site.conf_text) + "\n")
        text = self.second.conf.read_text()
        old = next(line for line in text.splitlines() if line.startswith("listeners"))
        self.second.conf.write_text(text.replace(old, old.replace(" );", f', {{ address = "127.0.0.1"; port = {lmtp}; protocol = "lmtp"; }} );')))
        self.address = f"127.0.0.1:{lmtp}"
        self.addCleanup(self.second.stop)
        self.second.start("--foreground", env=kit.lab.plain_env(LD_PRELOAD=str(self.library), SLOW_DISK=str(self.place / "slow")))
        self.assertNotIn("sandbox: no", self.second.log.read_text())

    def slow(self, what):
        path = self.place / f"slow.{what}"
        path.write_text("")
        self.addCleanup(path.unlink, missing_ok=True)
        return path

    def deliver_large(self, replies, to=U1):
        with Lmtp(self.address, timeout=90) as c:
            replies.append(c.deliver(LARGE, to)[0][:9])

    def others_are_served(self):
        """For some time: polls, and deliveries that fit into memory."""
        before = self.site.count("u2")
        for n in range(20):
            with kit.Pop(self.second.address, timeout=8) as pop:
                pop.login(U2)
                pop.ok("QUIT")
            with Lmtp(self.address, timeout=8) as c:
                self.assertEqual([r[:9] for r in c.deliver(LETTER, U2)], [b"250 2.1.5"])
                self.assertEqual([r[:9] for r in c.deliver(b"x" * 200000 + b"\r\n", U2)], [b"250 2.1.5"])
        self.assertEqual(self.site.count("u2"), before + 40)

    def stands_still(self, what):
        slow, replies = self.slow(what), []
        threads = [threading.Thread(target=self.deliver_large, args=(replies, to), daemon=True) for to in (U1, U3, U1)]
        for t in threads:
            t.start()
        self.others_are_served()
        self.assertEqual(replies, [])
        self.assertEqual(self.site.count("u1"), 0)
        slow.unlink()
        for t in threads:
            t.join(90)
        self.assertEqual(replies, [b"250 2.1.5"] * 3)
        for address in (U1, U3):
            for _, body in self.site.bodies(address):
                self.assertTrue(body == LARGE)
        self.assertEqual([self.site.count(u) for u in ("u1", "u3")], [2, 1])

    def test_writes(self):
        self.stands_still("write")

    def test_reads(self):
        self.stands_still("read")

    def test_the_client_goes(self):
        """Nothing is left of a delivery that was given up meanwhile, and the next one finds all as it was."""
        slow = self.slow("write")
        clients = [Lmtp(self.address) for _ in range(3)]
        for c in clients:
            c.mail(U1)
            c.expect("354", "DATA", plain=True)
            c.send(LARGE[:600000])
        self.others_are_served()
        for c in clients:
            c.reset()
        slow.unlink()
        replies = []
        self.deliver_large(replies)
        self.assertEqual(replies, [b"250 2.1.5"])
        self.assertEqual(self.site.count("u1"), 1)
        self.assertTrue(kit.wait_until(lambda: self.open_spools() == 0))

    def open_spools(self):
        spool, found = str(self.site.lab.spool), 0
        for pid in self.second.pids():
            for fd in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
                try:
                    found += os.readlink(fd).startswith(spool)
                except OSError:
                    pass
        return found

    def test_drain(self):
        """A worker that is told to go stores the message that it is at, however slow the disk."""
        slow, replies = self.slow("write"), []
        thread = threading.Thread(target=self.deliver_large, args=(replies,), daemon=True)
        thread.start()
        self.others_are_served()
        self.second.proc.send_signal(signal.SIGTERM)
        self.assertTrue(kit.wait_until(lambda: not self.second.greets()))
        self.assertEqual(replies, [])
        slow.unlink()
        thread.join(90)
        self.assertEqual(replies, [b"250 2.1.5"])
        self.assertTrue(self.site.bodies(U1)[0][1] == LARGE)
        self.assertEqual(self.second.stop(), 0)


if __name__ == "__main__":
    unittest.main()
