"""A name service that has stopped to answer holds up no session: names of the database's hosts are looked up beside them."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import kit

WHO = "names@example.org"


@unittest.skipIf(kit.sanitized(), "preloaded before the sanitizer")
class SlowNames(unittest.TestCase):
    def setUp(self):
        self.site = kit.Site("names-", kit.QUICK + 'cells = 1; database_retry = "500ms";\n')
        self.addCleanup(self.site.down)
        self.site.up()
        self.site.account(WHO, [kit.letter(1)])
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="postern-names-"))
        self.addCleanup(shutil.rmtree, self.place)
        self.place.chmod(0o755)

    def test_lanes_come_back(self):
        library, slow = self.place / "slow_names.so", self.place / "slow"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", library, kit.TESTS / "checks" / "slow_names.c"], check=True)
        # First a name where no database listens, then the one that there is. Helpers may wait, and do not know the name.
        roles = [line for line in self.site.lab.conf.read_text().splitlines() if line.startswith("database_mail")]
        user = "user=postern_mail" if not roles else roles[0].split('"')[1]
        second = self.site.second(f'database_mail = "{user} host=db.slow.test,{self.site.lab.sockets} port=1,{kit.lab.PGPORT}";\n')
        self.addCleanup(second.stop)
        second.start("--foreground", env=kit.lab.plain_env(LD_PRELOAD=str(library), SLOW_NAMES=str(slow)))
        with kit.Pop(second.address) as pop:
            pop.login(WHO)
            pop.ok("QUIT")
        self.assertNotIn("sandbox: no", second.log.read_text())
        slow.write_text("")
        for _ in range(2):
            self.site.sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'postern_mail'")
            end = time.monotonic() + 3 * kit.PATIENCE
            while True:
                # It is greeted at once, whatever becomes of the login.
                with kit.Pop(second.address) as pop:
                    pop.ok("USER " + WHO)
                    if pop.cmd("PASS " + kit.PASSWORD).startswith(b"+OK"):
                        pop.ok("QUIT")
                        break
                self.assertLess(time.monotonic(), end, second.log.read_text())
                time.sleep(0.1)


if __name__ == "__main__":
    unittest.main()
