"""What of passwords and stored secrets can be found afterwards: in the memory of the processes, in the log, as core files.

A promise of the design: a stored secret never reaches a worker, and a password is wiped after use.
"""
import base64
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import kit
from tlskit import TlsCase

WHO = "carla@example.org"
# Unlike anything else that is in memory, the wrong ones too.
RIGHT, WRONG, TOO_LATE = "Vq7-right-horse-battery", "Vq7-wrong-horse-battery", "Vq7-late-horse-battery"
NOBODY = "Vq7-nobody-horse-battery"


def plain(name, password):
    return base64.b64encode(b"\0" + name.encode() + b"\0" + password.encode()).decode()


def memory(pid):
    """All that it can write to: heap, stacks, data, what was mapped."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split()
        if not fields[1].startswith("rw") or fields[-1] in ("[vvar]", "[vsyscall]"):
            continue
        first, last = (int(x, 16) for x in fields[0].split("-"))
        with open(f"/proc/{pid}/mem", "rb", 0) as mem:
            try:
                mem.seek(first)
                yield fields[-1], mem.read(last - first)
            except OSError:
                pass        # guard pages of locked memory


@unittest.skipUnless(kit.ROOT, "looks into the memory of others")
@unittest.skipIf(kit.sanitized(), "sanitizers keep what was freed")
class Secrecy(TlsCase):
    conf = kit.QUICK + 'cells = 1; auth_helpers = 1; sasl_mechanisms = "PLAIN LOGIN SCRAM-SHA-256"; pop3_login_failures = 20;\n'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.site.account(WHO, [kit.letter(1)], RIGHT)
        cls.stored = cls.site.sql("select secret from postern.credential limit 1")

    @staticmethod
    def found(pid, words):
        """Which of the words stand in its memory, and where."""
        return sorted({f"{word!r} in {place}" for place, octets in memory(pid) for word in words if word in octets})

    def talk(self, opened):
        """Every way in by a password, right and wrong."""
        with opened() as pop:
            pop.err(f"AUTH PLAIN {plain(WHO, WRONG)}")
            pop.err(f"AUTH PLAIN {plain('nobody@example.org', NOBODY)}")
            self.assertEqual(pop.cmd("AUTH LOGIN")[:2], b"+ ")
            pop.cmd(base64.b64encode(WHO.encode()).decode())
            self.assertTrue(pop.cmd(base64.b64encode(WRONG.encode()).decode()).startswith(b"-ERR"))
            pop.ok(f"USER {WHO}")
            pop.err(f"PASS {WRONG}")
            pop.login(WHO, RIGHT)
            pop.err(f"PASS {TOO_LATE}")
            pop.ok("QUIT")
        with opened() as pop:
            pop.ok(f"AUTH PLAIN {plain(WHO, RIGHT)}")
            pop.ok("STAT")
            # At rest, with the session still there.
            self.look()
            pop.ok("QUIT")
        self.look()

    def look(self):
        master, workers, helpers = self.site.tree()
        # All passwords have a middle in common; base64 of it at each of the three places in a group.
        middle = b"-horse-battery"
        words = [middle] + [base64.b64encode(b"x" * shift + middle)[4:-4] for shift in range(3)]
        # The tail of an Argon2id text is its digest: no parser keeps it in pieces.
        digest = self.stored.split("$")[-1].encode()
        for pid in helpers:
            self.assertEqual(self.found(pid, words), [], "auth helper")
        for pid in workers + [master]:
            self.assertEqual(self.found(pid, words + [digest]), [], "worker or master")

    def test_the_test(self):
        """What is certainly there is found: the name of the mailbox whose listing the worker keeps."""
        with self.site.connect() as pop:
            pop.login(WHO, RIGHT)
            self.assertTrue(self.found(self.site.tree()[1][0], [WHO.encode()]))

    def test_clear(self):
        self.talk(self.site.connect)

    def test_tls(self):
        self.talk(self.implicit)

    def test_log(self):
        """Not at the most talkative level either."""
        self.talk(self.site.connect)
        log = self.site.log_text()
        for word in (RIGHT, WRONG, NOBODY, TOO_LATE, plain(WHO, RIGHT), self.stored.split("$")[-1]):
            self.assertNotIn(word, log)

    def test_no_core(self):
        """Neither by limit nor by being dumpable, for any process: /proc belongs to root where it is not."""
        master, workers, helpers = self.site.tree()
        for pid in [master] + workers + helpers:
            self.assertRegex(pathlib.Path(f"/proc/{pid}/limits").read_text(), r"Max core file size +0 +0 ")
        for pid in [master] + workers + helpers:
            self.assertEqual(os.stat(f"/proc/{pid}/mem").st_uid, 0)


if __name__ == "__main__":
    unittest.main()
