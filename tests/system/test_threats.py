"""The threat model (daemon/SECURITY) names a test for each claim: these are there."""
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit

TEXT = (kit.TOP / "daemon" / "SECURITY").read_text()


class Threats(unittest.TestCase):
    def module(self, name):
        found = [kit.TESTS / folder / f"test_{name}.py" for folder in ("system", "lmtp")]
        found = [path for path in found if path.exists()]
        self.assertEqual(len(found), 1, f"{name}: no such tests")
        return found[0].read_text()

    def test_names(self):
        """`module.test_name` and `module.Class`; `.test_name` is one of the module that was named last."""
        module, names = None, 0
        for found in re.finditer(r"\b([a-z][a-z0-9_]*)\.(test_\w+|[A-Z]\w+)|(?<=\s)\.(test_\w+)", TEXT):
            module = found[1] or module
            name = found[2] or found[3]
            kind = "def" if name.startswith("test_") else "class"
            with self.subTest(test=f"{module}.{name}"):
                self.assertTrue(re.search(rf"(?m)^\s*{kind} {name}\b", self.module(module)))
            names += 1
        self.assertGreater(names, 50)

    def test_unit_and_fuzz(self):
        names = 0
        for kind, listed in re.findall(r"(?<![\w/])(unit|fuzz) ((?:[a-z0-9_]+,\s+)*[a-z0-9_]+)", re.sub("`.*?`", "", TEXT)):
            for name in re.split(r",\s+", listed):
                path = kit.TESTS / kind / (f"test_{name}.c" if kind == "unit" else f"fuzz_{name}.c")
                with self.subTest(test=f"{kind} {name}"):
                    self.assertTrue(path.exists(), path)
                names += 1
        self.assertGreater(names, 15)


if __name__ == "__main__":
    unittest.main()
