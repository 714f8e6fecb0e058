"""The soak for some seconds: that it plays its parts, and that its verdict tells what grows from what does not."""
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

import kit

SOAK = kit.TESTS / "soak"
sys.path.insert(0, str(SOAK))
import report                   # noqa: E402


class Soak(unittest.TestCase):
    def test_some_seconds(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([str(SOAK / "run"), "--seconds", "4", "--rate", "2", "--seed", "1", "--results", folder], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False, timeout=300)
            self.assertEqual(done.returncode, 0, done.stdout)
            result = json.loads(pathlib.Path(folder, "soak.json").read_text())
            self.assertIn("verdict: flat", pathlib.Path(folder, "soak.txt").read_text())
        self.assertEqual(result["wrong"], [])
        self.assertEqual(set(result["done"]), {"poll", "fetch", "keep", "idle", "vanish", "wrong", "deliver"})
        self.assertGreaterEqual(len(result["rows"]), 7)
        for name in ("worker 1, PSS KiB", "workers, descriptors", "helper 4, heap KiB", "postern_mail 4, anonymous KiB",
                     "dead tuples", "database without history, octets"):
            self.assertIn(name, result["verdict"])
        self.assertEqual({name for name, _, _ in result["samples"]}, {"poll", "delivery", "echo", "disk"})

    def test_verdict(self):
        rng = random.Random(7)

        def flat(kind, level):
            return report.judge(kind, [(t, level(t)) for t in range(0, 3600, 10)])["flat"]
        self.assertTrue(flat("memory", lambda t: 8000 + rng.uniform(-900, 900)))
        self.assertTrue(flat("memory", lambda t: 8000 if t < 1500 else 9000), "it grew, but before the second half")
        self.assertTrue(flat("memory", lambda t: 30000 if t == 3000 else 8000), "a spike")
        self.assertFalse(flat("memory", lambda t: 8000 + t / 3 + rng.uniform(-300, 300)), "600 KiB in half an hour")
        self.assertTrue(flat("dead", lambda t: t % 60 * 300), "a saw, as vacuum makes it")
        self.assertFalse(flat("dead", lambda t: t % 60 * 300 + t * 6))
        self.assertFalse(flat("fds", lambda t: 30 + t / 200))
        self.assertTrue(flat("fds", lambda t: 30 - t / 200), "what shrinks does no harm")


if __name__ == "__main__":
    unittest.main()
