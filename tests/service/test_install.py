"""INSTALL, without doing what it says: its blocks are known, its steps are counted right, its libraries are ours.

`make install-check` does each step in a fresh Debian.
"""
import os
import re
import shutil
import subprocess
import unittest

import installsteps
import kit

# Of a fresh Debian, or of what the steps before have installed.
PROGRAMS = {"apt-get", "make", "adduser", "su", "cd", "install", "cp", "systemctl", "posternd", "posternctl", "curl", "chown", "chmod",
            "umask"}


class Install(unittest.TestCase):
    def setUp(self):
        self.blocks = installsteps.read()
        self.text = installsteps.INSTALL.read_text()

    def test_steps(self):
        steps = installsteps.steps()
        self.assertEqual(steps, list(range(1, len(steps) + 1)))
        for number in re.findall(r"\b(?:step|steps|see) (\d+)\b", self.text):
            self.assertIn(int(number), steps)
        self.assertIn(f"sealed (step {self.step_of('Sealed secrets')})", self.text)

    def step_of(self, title):
        return int(re.search(rf"^ ?(\d+)\. {title}", self.text, re.M).group(1))

    def test_every_exception_is_there(self):
        for key in installsteps.NOT_COMMANDS:
            self.assertEqual(sum(block.first.startswith(key) for block in self.blocks), 1, key)

    def test_commands(self):
        """The shell understands them, and they are programs that we know."""
        for block in self.blocks:
            if block.kind not in ("run", "after"):
                continue
            with self.subTest(block=block):
                done = subprocess.run(["sh", "-n"], input=block.text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      check=False)
                self.assertEqual((done.returncode, done.stdout), (0, ""))
                plain = re.sub(r"'[^']*'|\$\([^)]*\)|(^|\s)#.*$", " ", block.text, flags=re.M)
                for command in re.split(r"[\n;]|&&", plain):
                    words = command.strip("() ").split()
                    if words:
                        self.assertIn(words[0], PROGRAMS)

    def test_files(self):
        for block in self.blocks:
            if block.kind == "files":
                for line in block.text.splitlines():
                    self.assertTrue((kit.TOP / line.split()[0]).exists(), line)

    def test_options(self):
        sample = (kit.TOP / "etc/postern.conf").read_text()
        for block in self.blocks:
            if block.kind == "conf":
                for name in kit.lab.top_names(block.text):
                    self.assertRegex(sample, rf"(?m)^#?{name} =")
                said = re.findall(r"(?m)^(\w+) *=", block.text)
                self.assertEqual(len(said), len(set(said)), f"{block}: twice, which libconfig refuses")

    def test_libraries(self):
        """Those that INSTALL explains are those that the programs are linked with."""
        said, = (block for block in self.blocks if block.first.startswith("libpq "))
        linked = re.search(r"^PKGS\s*:= (.*)$", (kit.TOP / "Makefile").read_text(), re.M).group(1).split()
        names = {"libevent_core": "libevent", "libevent_extra": "libevent", "libcrypt": "libxcrypt", "jansson": "libjansson",
                 "libssl": "OpenSSL", "libcrypto": "OpenSSL"}
        # Not every library tells pkg-config of itself.
        linked += re.findall(r"^PKG_LIBS.* -l(\w+)", (kit.TOP / "Makefile").read_text(), re.M)
        names["unistring"] = "libunistring"
        self.assertEqual({line.split()[0] for line in said.text.splitlines()}, {names.get(name, name) for name in linked})

    def test_packages(self):
        """Each line has a use, a name and a reason, and apt knows those of this release."""
        words = [line.split(None, 2) for line in (kit.TOP / "packages").read_text().splitlines() if not line.startswith("#")]
        self.assertEqual([w for w in words if len(w) != 3], [])
        release = re.search(r"^VERSION_CODENAME=(\w+)", open("/etc/os-release", encoding="utf-8").read(), re.M).group(1)
        ours = [name for use, name, _ in words if use.partition(":")[2] in ("", release)]
        done = subprocess.run(["apt-cache", "--names-only", "show", *ours], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=dict(os.environ, LC_ALL="C"), check=False)
        if shutil.which("apt-cache") and done.stdout:
            self.assertEqual(set(ours) - set(re.findall(r"^Package: (\S+)", done.stdout, re.M)), set())


if __name__ == "__main__":
    unittest.main()
