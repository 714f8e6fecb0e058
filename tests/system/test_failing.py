"""An allocation fails: any of them, of ours or of a library's, in a session of POP3 or LMTP, an auth helper, a tool.

What was begun is refused, or its process ends and says why; nobody crashes,
no message is lost or cut off, and the next session works. Some of all
allocations are tried here; FAILING_EACH=1 tries every one."""
import os
import re
import struct
import subprocess
import unittest

import kit

WHO, TO = "failing@example.org", "target@example.org"
EACH = int(os.environ.get("FAILING_EACH", "0"))
SAMPLE = 12                     # failures a scenario, in the short form
LETTERS = [kit.letter(n, size) for n, size in ((1, 400), (2, 20_000), (3, 700))]
POP3 = (f"CAPA\r\nUSER {WHO}\r\nPASS {kit.PASSWORD}\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 3\r\nRETR 2\r\n"
        "DELE 3\r\nRSET\r\nDELE 1\r\nQUIT\r\n").encode()
TOP = LETTERS[1][:LETTERS[1].index(b"\r\n\r\n") + 4] + b"".join(LETTERS[1].split(b"\r\n\r\n", 1)[1].splitlines(True)[:3])
LMTP = (f"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{TO}>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n").encode() + LETTERS[1] + b".\r\nQUIT\r\n"


@unittest.skipIf(kit.sanitized(), "they have an allocator of their own")
class Failing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Without the sandbox: libseccomp allocates thousands of times before a session begins, and does not look at all of
        # the results. A short time-out: libpq waits where it could not keep an answer, and the lane's watchdog ends that.
        cls.site = kit.Site("failing-", kit.QUICK + 'cells = 1; sandbox = "off"; database_statement_timeout = "2s";\n')
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.library = cls.site.dir / "failing.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", cls.library, kit.TESTS / "checks" / "failing.c"], check=True)
        cls.library.chmod(0o755)
        cls.site.account(WHO, LETTERS)
        cls.site.account(TO)
        cls.conf = cls.site.dir / "failing.conf"
        cls.log = cls.site.dir / "failing.log"
        cls.conf.write_text(re.sub(r'log = "[^"]*"', f'log = "{cls.log}"', cls.site.lab.conf.read_text()))
        cls.counts = cls.site.dir / "counts"

    def run_one(self, argv, stdin, at=None, who=0, row=1):
        """Exit status, output, what was logged, and how many allocations there were."""
        self.counts.write_bytes(bytes(4096))
        self.log.write_text("")
        env = kit.lab.plain_env(LD_PRELOAD=str(self.library), FAILING_COUNTS=str(self.counts), FAILING_IN=str(who), FAILING_FOR=str(row))
        if at is not None:
            env["FAILING_AT"] = str(at)
        done = subprocess.run([str(a) for a in argv], input=stdin, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=60, check=False)
        page = self.counts.read_bytes()
        self.crashed = page[16:].rstrip(b"\0").decode()
        return done, self.log.read_text(errors="replace") + done.stderr.decode(errors="replace"), struct.unpack("QQ", page[:16])

    def numbers(self, count):
        return range(1, count + 1) if EACH else sorted({1 + count * n // SAMPLE for n in range(SAMPLE)} - {count + 1})

    def ended_well(self, done, log, what):
        """Nothing ends by a signal but by our own abort(), and that says why. 
        libconfig crashes, and the C library looking for a user: then there is no session yet."""
        if "/libconfig.so" in self.crashed or self.crashed == "getpwnam":
            self.assertEqual(done.stdout, b"", what)
            return
        self.assertEqual(self.crashed, "", f"{what}\n{log}")
        if done.returncode < 0:
            self.assertEqual(done.returncode, -6, f"{what}\n{log}")
            # Until its configuration was read a session has no log; in tools the C library has assertions of its own.
            if "--inetd" in what and (done.stdout or log):
                self.assertRegex(log, "out of memory|assertion failed", what)

    def failures(self, argv, stdin, look, who=0, prepare=None):
        if prepare:
            prepare()
        done, log, counts = self.run_one(argv, stdin)
        self.assertEqual(done.returncode, 0, log)
        look(done.stdout, True, f"nothing failed\n{log}\n{done.stdout[-300:]!r}")
        self.assertGreater(counts[who], 0)
        tried = 0
        for row in (1, 1 << 40):
            for at in self.numbers(counts[who]):
                if prepare:
                    prepare()
                what = f"allocation {at} of {counts[who]} of {'process' if who == 0 else 'helper'}, {row} in a row: {argv[1:]}"
                done, log, _ = self.run_one(argv, stdin, at, who, row)
                with self.subTest(what):
                    self.ended_well(done, log, what)
                    look(done.stdout, False, f"{what}\n{log}\n{done.stdout[-300:]!r}")
                tried += 1
        if EACH:
            print(f"{tried} failures", end=" ", flush=True)

    # -- POP3

    def refill(self):
        have = self.site.sql(f"select messages from postern.mailbox where address = '{WHO}'")
        if have != "3":
            self.site.fill(WHO, LETTERS)

    def look_pop3(self, out, whole, what):
        """Bodies that came to their end are whole (any may have been refused); a deletion that was confirmed took place, and no other."""
        bodies = re.findall(rb"\r\n(From: .*?\r\n)\.\r\n", out, re.S)
        asked = iter((LETTERS[0], TOP, LETTERS[1]))
        for body in bodies:
            self.assertTrue(any(body == wanted for wanted in asked), what)
        left = int(self.site.sql(f"select messages from postern.mailbox where address = '{WHO}'"))
        real = int(self.site.sql(f"select count(*) from postern.message join postern.mailbox using (mailbox) where address = '{WHO}'"))
        self.assertEqual(left, real, what)
        last = out.rstrip(b"\r\n").rsplit(b"\r\n", 1)[-1]
        if whole:
            self.assertEqual((len(bodies), left), (3, 2), what)
        self.assertIn(left, (2, 3), what)
        # The last reply is QUIT's only if all others came.
        if left == 3 and len(bodies) == 3:
            self.assertFalse(re.match(rb"\+OK.*(deleted|removed)", last), what)

    def test_session(self):
        self.failures([self.site.lab.posternd, "-c", self.conf, "--inetd"], POP3, self.look_pop3, prepare=self.refill)

    def test_helper(self):
        self.failures([self.site.lab.posternd, "-c", self.conf, "--inetd"], POP3, self.look_pop3, who=1, prepare=self.refill)

    # -- LMTP

    def look_lmtp(self, out, whole, what):
        """250 behind the dot: it is there, once. No 250: it may be there, when the answer of a commit was lost."""
        now = int(self.site.sql(f"select messages from postern.mailbox where address = '{TO}'"))
        said = len(re.findall(rb"^250 2\.[0-9.]+ [^\r]*\r$", out.split(b"354", 1)[1], re.M)) if b"354" in out else 0
        came = now - self.had
        self.had = now
        if whole:
            self.assertEqual((said, came), (1, 1), what)
        self.assertLessEqual(came, 1, what)
        if said:
            self.assertEqual(came, 1, what)

    def test_delivery(self):
        self.had = int(self.site.sql(f"select messages from postern.mailbox where address = '{TO}'"))
        self.failures([self.site.lab.posternd, "-c", self.conf, "--inetd=lmtp"], LMTP, self.look_lmtp)

    # -- tools

    def test_tools(self):
        ctl = self.site.lab.posternctl
        for argv in (["mailbox", "show", WHO], ["check"]):
            self.failures([ctl, "-c", self.conf, *argv], b"", lambda *_: None)
        self.failures([self.site.lab.posternd, "-c", self.conf, "--check"], b"", lambda *_: None)

    def tearDown(self):
        self.site.checked()
        with self.site.login(TO) as pop:
            pop.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
