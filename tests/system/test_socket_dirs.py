"""The directory of a unix socket is missing, as /run/postern is after a start of the machine: it is made, or it is told what to do."""
import os
import pathlib
import pwd
import socket
import stat
import subprocess
import unittest

import kit

WHO = "dirs@example.org"


class SocketDirs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("dirs-", kit.QUICK + "cells = 1;\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])

    def daemon(self, place):
        """All of its sockets lie there, each in a directory that is missing."""
        port = kit.lab.free_port()
        second = self.site.second(
            f'lmtp_spool_dir = "{self.site.dir}"; control_socket = "{place}/c/control";\n'
            f'listeners = ( {{ address = "127.0.0.1"; port = {port}; }}, {{ address = "{place}/l/lmtp"; protocol = "lmtp"; }},'
            f' {{ address = "{place}/p/pop3"; }} );\n')
        second.address = f"127.0.0.1:{port}"
        return second

    def check(self, second, **kw):
        return subprocess.run([self.site.lab.posternd, "-c", second.conf, "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, env=kit.lab.plain_env(), **kw)

    def test_made(self):
        place = pathlib.Path(self.site.lab.sockets) / "run"
        place.mkdir(mode=0o755)
        second = self.daemon(place)
        done = self.check(second)
        # But for that LMTP has no user of its own.
        lines = [line for line in done.stdout.splitlines() if "warning: lmtp_user: " not in line]
        self.assertEqual((done.returncode, lines), (0, [f"{second.conf}: ok"]))
        self.assertEqual(list(place.iterdir()), [])             # a check makes nothing
        self.addCleanup(second.stop)
        second.start("--foreground", umask=0o077)
        for name in ("c", "l", "p"):
            st = (place / name).stat()
            self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid), (0o755, os.geteuid()))
        with kit.Pop(f"{place}/p/pop3") as pop:
            pop.login(WHO)
            pop.ok("QUIT")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{place}/l/lmtp")
            self.assertRegex(s.recv(100), b"^220 ")
        ctl = pathlib.Path(self.site.lab.posternd).with_name("posternctl")
        done = subprocess.run([ctl, "-c", second.conf, "status"], stdout=subprocess.PIPE, text=True, check=False, env=kit.lab.plain_env())
        self.assertEqual(done.returncode, 0)

    def test_more_than_one_is_missing(self):
        place = pathlib.Path(self.site.lab.sockets) / "not" / "there"
        second = self.daemon(place)
        wanted = f'the directory {place}/l does not exist and cannot be created: No such file or directory; create it with "install -d -m 755 {place}/l"'
        for more in (["--check"], ["--foreground"]):
            done = subprocess.run([self.site.lab.posternd, "-c", second.conf, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False, timeout=20, env=kit.lab.plain_env())
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(wanted, done.stdout)

    @unittest.skipUnless(kit.ROOT, "only root can become another user")
    def test_not_root(self):
        """Who may not make it is told so, and the server does without a control socket."""
        place = pathlib.Path(self.site.lab.sockets) / "others"
        place.mkdir(mode=0o755)
        second = self.site.second(f'control_socket = "{place}/c/control";\n')
        second.conf.chmod(0o644)
        nobody = pwd.getpwnam("nobody")
        for p in (self.site.lab.dir, self.site.lab.sockets):
            os.chmod(p, os.stat(p).st_mode | 0o011)
        program = pathlib.Path(self.site.lab.sockets) / "posternd"
        program.write_bytes(pathlib.Path(self.site.lab.posternd).read_bytes())
        program.chmod(0o755)
        done = subprocess.run([program, "-c", second.conf, "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, env=kit.lab.plain_env(), user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"warning: control_socket: the directory {place}/c does not exist and cannot be created: Permission denied;", done.stdout)


if __name__ == "__main__":
    unittest.main()
