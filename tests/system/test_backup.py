"""A back-up that is restored has the same octets under the same UIDLs, and gives no UIDL twice."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import kit

WHO = "backup@example.org"


class Backup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("backup-", kit.QUICK + "cells = 1;\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, kit.samples() + [kit.letter(n, 30000) for n in range(4)])
        cls.site.sql(f"insert into postern.policy (mailbox, undelete) values ({cls.site.mailbox(WHO)}, 9)")
        with cls.site.login(WHO) as pop:
            pop.ok("DELE 2")
            pop.ok("QUIT")

    def pg(self, name, *args, **kw):
        done = subprocess.run([str(self.site.lab.pg_bin(name)), *args], env=self.site.lab.env(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, **kw)
        self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace"))

    def conf(self, words):
        """A configuration whose `database` has these words besides."""
        path = self.site.dir / f"{self.id().rsplit('.', 1)[-1]}.conf"
        lines = self.site.lab.conf.read_text().splitlines()
        path.write_text("".join(line[:line.rindex('"')] + " " + words + '";\n' for line in lines if line.startswith("database ")))
        return path

    def ctl(self, conf, *args):
        done = subprocess.run([str(self.site.lab.posternctl), "-c", str(conf), *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=kit.lab.plain_env(), check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace"))
        return done.stdout

    def everything(self, conf):
        """UIDL, octets, and the octets themselves."""
        listed = json.loads(self.ctl(conf, "--json", "message", "list", WHO))
        return [(m["uidl"], m["octets"], self.ctl(conf, "message", "show", WHO, str(m["uid"]), "--raw")) for m in listed]

    def test_pg_dump(self):
        before = self.everything(self.site.lab.conf)
        dump = str(self.site.dir / "dump")
        self.pg("pg_dump", "-Fc", "-f", dump, "-d", kit.lab.DATABASE)
        # What is given after the dump was made is not in it.
        self.site.deliver(WHO, [kit.letter(90), kit.letter(91)])
        given = [m[0] for m in self.everything(self.site.lab.conf)]
        self.pg("createdb", "restored")
        self.pg("pg_restore", "-d", "restored", "--exit-on-error", dump)
        conf = self.conf("dbname=restored")
        self.assertEqual(self.everything(conf), before)
        self.ctl(conf, "check")
        self.ctl(conf, "verify")
        self.assertEqual([m["uid"] for m in json.loads(self.ctl(conf, "--json", "undelete", WHO, "--dry-run"))], [2])
        self.ctl(conf, "restored")
        letter = self.site.dir / "new.eml"
        letter.write_bytes(kit.letter(92))
        self.ctl(conf, "import", WHO, str(letter))
        after = self.everything(conf)
        self.assertEqual(after[:-1], before)
        self.assertNotIn(after[-1][0], given, "a client would take it for a message that it has")
        self.ctl(conf, "expire")
        self.ctl(conf, "check")

    def test_pg_basebackup(self):
        before = self.everything(self.site.lab.conf)
        lab = self.site.lab
        # A place that PostgreSQL's user may write to, with a path short enough for a socket.
        place = pathlib.Path(tempfile.mkdtemp(prefix="pbb-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, place, True)
        if kit.ROOT:
            shutil.chown(place, "postgres", "postgres")
        os.chmod(place, 0o755)
        with open(lab.data / "pg_hba.conf", "a", encoding="ascii") as hba:
            hba.write("local replication postgres trust\n")
        lab.sql("select pg_reload_conf()")
        env = {k: v for k, v in lab.env().items() if k.startswith("PG")}
        lab.as_pg("env", *[f"{k}={v}" for k, v in env.items()], lab.pg_bin("pg_basebackup"), "-D", place / "data", "-c", "fast",
                  what="pg_basebackup")
        lab.as_pg(lab.pg_bin("pg_ctl"), "-D", place / "data", "-l", place / "log", "-w", "-o", f"-k {place} -c listen_addresses=",
                  "start", what="starting the copy")
        try:
            conf = self.conf(f"host={place}")
            self.assertEqual(self.everything(conf), before)
            self.ctl(conf, "check")
        finally:
            lab.as_pg(lab.pg_bin("pg_ctl"), "-D", place / "data", "-m", "immediate", "-w", "stop", what="stopping the copy")


if __name__ == "__main__":
    unittest.main()
