"""Clients whose network swallows everything: no FIN, no RST, no acknowledgement (A19, N04, Y20).

In a network namespace of its own this process can take loopback down: what is
on its way is lost, on both sides, and nobody is told. The database is on a
unix socket and stays.
"""
import ctypes
import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit
import lmtpkit

WHO, INBOX = "anna@example.org", "bert@example.org"
CLONE_NEWNET, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8913, 0x8914, 1


def set_loopback(up):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name, flags = struct.unpack("16sh", fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh", name, flags | IFF_UP if up else flags & ~IFF_UP))


class BlackHole(unittest.TestCase):
    site = None

    @classmethod
    def setUpClass(cls):
        """All that is started from here on is in the new namespace."""
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            print(f"not done: no network namespace: {os.strerror(ctypes.get_errno())}")
            return
        set_loopback(True)
        cls.site = kit.Site("hole-", kit.QUICK + 'tcp_keepalive = "3s"; tcp_user_timeout = "4s"; pop3_takeover_after = "0s";\n', lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1), kit.letter(2, 8_000_000)])
        cls.site.account(INBOX)

    def locks(self):
        return int(self.site.sql("select count(*) from postern.held_maildrops()"))

    def in_the_dark(self, condition):
        set_loopback(False)
        try:
            self.assertTrue(kit.wait_until(condition))
        finally:
            set_loopback(True)

    def free(self):
        """Nothing was deleted, and the owner gets in."""
        self.assertEqual(self.site.sql(f"select messages from postern.mailbox where address = '{WHO}'"), "2")
        with self.site.login_soon(WHO) as pop:
            pop.ok("QUIT")
        self.site.checked()

    def test_idle(self):
        if self.site is None:
            return
        with self.site.login(WHO) as pop:
            pop.ok("DELE 1")
            self.assertEqual(self.locks(), 1)
            self.in_the_dark(lambda: self.locks() == 0)
        self.free()

    def test_in_retr(self):
        """Octets are on their way that nobody acknowledges."""
        if self.site is None:
            return
        with self.site.login(WHO) as pop:
            pop.ok("DELE 1")
            pop.send(b"RETR 2\r\n")
            pop.line()
            self.in_the_dark(lambda: self.locks() == 0)
        self.free()

    def test_taken_over(self):
        """Deletions are waited for, but not for those of a client that the kernel knows to be gone: the next login but one has it."""
        if self.site is None:
            return
        third = self.site.second('pop3_takeover_after_deletions = "1h";')
        third.conf.write_text(third.conf.read_text().replace('tcp_user_timeout = "4s"', 'tcp_user_timeout = "1h"')
                              .replace('pop3_takeover_after = "0s"', 'pop3_takeover_after = "1s"'))
        third.start("--foreground")
        self.addCleanup(third.stop)
        refusals = []

        def taken():
            ours, theirs = socket.socketpair()
            with theirs, subprocess.Popen([str(self.site.lab.posternd), "-c", str(third.conf), "--inetd"], stdin=theirs, stdout=theirs) as proc:
                theirs.close()
                with kit.Pop("", sock=ours) as pop:
                    pop.ok("USER " + WHO)
                    reply = pop.cmd("PASS " + kit.PASSWORD)
                    if not reply.startswith(b"+OK"):
                        refusals.append(reply)
                    pop.cmd("QUIT")
                proc.wait(kit.PATIENCE)
            return reply.startswith(b"+OK")

        for commands in (["DELE 1"], ["DELE 1", "RETR 2"]):     # with nothing on its way, and with octets that nobody takes
            with kit.Pop(third.address) as pop:
                pop.login(WHO)
                for command in commands:
                    pop.send(command.encode() + b"\r\n")
                    pop.line()
                self.in_the_dark(taken)
        self.assertTrue(all(reply.startswith(b"-ERR [IN-USE]") for reply in refusals), refusals)
        self.free()

    def test_in_quit(self):
        """What was committed stays; only the answer is lost."""
        if self.site is None:
            return
        self.site.account("carl@example.org", [kit.letter(1)])
        with self.site.login("carl@example.org") as pop:
            pop.ok("DELE 1")
            pop.send(b"QUIT\r\n")
            self.in_the_dark(lambda: self.locks() == 0)
        self.assertIn(self.site.sql("select messages from postern.mailbox where address = 'carl@example.org'"), ("0", "1"))
        with self.site.login_soon("carl@example.org") as pop:
            pop.ok("QUIT")
        self.site.checked()

    def test_in_data(self):
        if self.site is None:
            return
        worker = self.site.tree()[1]
        before = sum(map(kit.fds, worker))
        lmtp = lmtpkit.Lmtp(f"127.0.0.1:{self.site.lmtp}")
        lmtp.sock.sendall(f"LHLO x.example\r\nMAIL FROM:<s@x.example>\r\nRCPT TO:<{INBOX}>\r\nDATA\r\n".encode())
        lmtp.sock.sendall(b"Subject: half\r\n\r\n" + b"x" * 900)
        self.assertTrue(kit.wait_until(lambda: sum(map(kit.fds, worker)) > before))
        self.in_the_dark(lambda: sum(map(kit.fds, worker)) <= before)
        lmtp.sock.close()
        self.assertEqual(self.site.sql(f"select messages from postern.mailbox where address = '{INBOX}'"), "0")
        self.site.checked()
