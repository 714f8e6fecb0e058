"""tests/lab by its command line: what others rely on."""
import pathlib
import signal
import subprocess
import tempfile
import unittest

import kit

WHO = "new@lab.example"


class LabScript(unittest.TestCase):
    def setUp(self):
        # Longer than a socket's path may be: PGHOST has to be somewhere else.
        base = pathlib.Path(tempfile.mkdtemp(prefix="lab-", dir=kit.os.environ.get("POSTERN_CHECK_DIR", "/tmp")))
        base.chmod(0o755)
        self.addCleanup(kit.shutil.rmtree, base)
        self.dir = base / ("long" * 25)
        self.addCleanup(self.leave_nothing)

    def leave_nothing(self):
        place = kit.lab.Lab(self.dir)
        place.down()
        place.forget()

    def lab(self, *argv, status=0, stdin=None):
        done = subprocess.run([str(kit.TESTS / "lab"), *map(str, argv)], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, status, f"{argv}\n{done.stdout}{done.stderr}")
        return done

    def up(self, *more):
        said = self.lab("up", self.dir, "--set", kit.QUICK, *more)
        return dict(line.split("=", 1) for line in said.stdout.splitlines()), said

    def mail(self):
        with kit.Pop(self.at["POP3"]) as pop:
            pop.login(WHO)
            found = [pop.retr(n + 1) for n in range(pop.stat()[0])]
            pop.ok("QUIT")
            return found

    def test_life(self):
        port = kit.lab.free_port()
        self.at, _ = self.up("--pop3", port, "--pop3s", kit.lab.free_port(), "--lmtp", kit.lab.free_port(), "--set", "cells = 1;")
        self.assertEqual(self.at["POP3"], f"127.0.0.1:{port}")
        for name in ("CONF", "PGHOST", "PGPORT", "PGDATABASE", "LOG", "POP3S", "CAFILE", "LMTP"):
            self.assertIn(name, self.at)
        self.assertIn("cells = 1;", pathlib.Path(self.at["CONF"]).read_text())

        files = {"2.eml": b"Subject: b\n\nno end", "1.eml": b"Subject: a\r\n\r\nNUL \0 kept\r\n", "3.eml": b"", "10.eml": b"Subject: ten\n\n.\n"}
        folder = self.dir / "mail"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        refused = self.lab("fill", self.dir, WHO, folder).stdout
        self.assertRegex(refused, r"\AREJECTED \S*3\.eml .+\n\Z")
        self.lab("password", self.dir, WHO, stdin=kit.PASSWORD + "\n")
        wanted = [kit.canonical(files[name]) for name in ("1.eml", "2.eml", "10.eml")]
        self.assertEqual(self.mail(), wanted)
        self.lab("fill", self.dir, WHO, folder)
        self.assertEqual(self.mail(), wanted)

        self.assertIn("up already", self.lab("up", self.dir, status=1).stderr)
        self.lab("fill", self.dir, "no-address", folder, status=1)
        self.lab("fill", self.dir, WHO, folder / "nothing", status=1)

        # Everything is killed: it comes up again, with its mail.
        place = kit.lab.Lab(self.dir)
        kit.lab.signal_all(place.daemon_pids() + place.pg_pids(), signal.SIGKILL)
        self.at, _ = self.up()
        self.assertEqual(self.mail(), wanted)

        self.lab("down", self.dir)
        self.lab("down", self.dir)
        place = kit.lab.Lab(self.dir)
        self.assertEqual(place.daemon_pids() + place.pg_pids(), [])
        # Kept only where it holds the data, because DIR is below a folder that PostgreSQL may not enter.
        self.assertEqual(pathlib.Path(self.at["PGHOST"]).exists(), place.data.parent == place.sockets)
        self.at, _ = self.up()
        self.assertEqual(self.mail(), wanted)

    def test_configuration_that_is_broken(self):
        """It says why, and leaves nothing running."""
        done = self.lab("up", self.dir, "--set", "cells = 1; pop3_idel = 7;", status=1)
        self.assertIn("pop3_idel", done.stderr)
        place = kit.lab.Lab(self.dir)
        self.assertEqual(place.daemon_pids() + place.pg_pids(), [])


if __name__ == "__main__":
    unittest.main()
