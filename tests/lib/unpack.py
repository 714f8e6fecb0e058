#!/usr/bin/env python3
"""Debian packages that are fetched and unpacked, as they cannot be installed beside each other or would start a service.

  tests/lib/unpack.py PACKAGE...          unpacks each below $BUILD/debs

What a package depends on and is not installed is unpacked with it: apt knows
what that is in this release, and no list of ours has to.
"""
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
DEBS = (TOP / os.environ.get("BUILD", "build")).resolve() / "debs"
# With another C library than the one whose loader starts it no program runs.
NOT_BESIDE = {"libc6", "libc-bin"}


def apt(*argv, cwd=None):
    return subprocess.run(["apt-get", "-q", *argv], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=dict(os.environ, LC_ALL="C"), check=False)


def wanted(package):
    """The package, and what would be installed with it; None where apt does not know."""
    done = apt("-s", "-o", "Debug::NoLocking=1", "install", "--no-install-recommends", package)
    if done.returncode != 0:
        return None
    found = re.findall(r"^Inst (\S+)", done.stdout, re.M)
    return [package] + [name for name in found if name.partition(":")[0] not in NOT_BESIDE | {package}]


def fetch(package, folder):
    """Into this folder. What apt said where that was not possible, or None."""
    names = wanted(package)
    if names is None:
        return f"apt-get does not know how {package} could be installed"
    done = apt("download", *names, cwd=folder)
    return done.stdout if done.returncode != 0 else None


def unpack(package):
    """The folder of the package."""
    where = DEBS / package
    DEBS.mkdir(parents=True, exist_ok=True)
    with open(DEBS / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)        # several tests may ask at once
        if where.is_dir():
            return where
        fresh = where.with_suffix(".tmp")
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "debs").mkdir(parents=True)
        error = fetch(package, fresh / "debs")
        if error is not None:
            subprocess.run([*(["sudo"] if os.geteuid() != 0 else []), "apt-get", "update", "-q"], stdout=subprocess.DEVNULL, check=False)
            error = fetch(package, fresh / "debs")
        if error is not None:
            raise AssertionError(f"{package} could not be fetched:\n{error}")
        for deb in (fresh / "debs").glob("*.deb"):
            subprocess.run(["dpkg", "-x", deb, fresh], check=True)
        shutil.rmtree(fresh / "debs")
        fresh.rename(where)
    return where


def beside(*trees):
    """What the environment of an unpacked program needs, so that it finds what was unpacked with it."""
    def there(pattern):
        return ":".join(str(path) for tree in trees for path in sorted(tree.glob(pattern)))
    found = {"LD_LIBRARY_PATH": ":".join(filter(None, (there("usr/lib/*-linux-gnu*"), there("lib/*-linux-gnu*")))),
             "PYTHONPATH": there("usr/lib/python3/dist-packages"), "PERL5LIB": there("usr/share/perl5")}
    return {name: value for name, value in found.items() if value}


if __name__ == "__main__":
    for word in sys.argv[1:]:
        unpack(word)
