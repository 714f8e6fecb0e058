"""A quarter of a minute of torture, with the faults that can be had everywhere (P2, P3)."""
import pathlib
import subprocess
import sys
import unittest


class Short(unittest.TestCase):
    def test_everything_is_accounted_for(self):
        run = pathlib.Path(__file__).with_name("run")
        done = subprocess.run([sys.executable, str(run), "--short", "--seed", "1", "--verbose"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("\n0 problem(s)\n", done.stdout)


if __name__ == "__main__":
    unittest.main()
