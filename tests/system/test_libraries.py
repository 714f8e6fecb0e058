"""PostgreSQL's package is upgraded under the running server: files of the new one, a process of the old one."""
import shutil
import subprocess
import unittest

import kit

WHO = "libraries@example.org"
# One connection of each kind: what the first login has loaded, the next one finds loaded.
CONF = kit.QUICK + 'cells = 1; auth_helpers = 1; database_lanes = 1; database_retry = "300ms";\n'
ADVICE = "PostgreSQL's files were replaced under the running server, as an upgrade of its package does: restart PostgreSQL"


class Libraries(unittest.TestCase):
    def place(self, pgconf):
        """A site whose PostgreSQL runs from a copy of its files."""
        self.site = kit.Site("libraries-", CONF, pgconf=pgconf)
        self.addCleanup(self.site.down)
        self.site.up()
        self.site.account(WHO, [kit.letter(1)])
        server = self.site.lab.pg_bin("postgres").resolve().parents[1]
        top = self.site.lab.sockets / "usr"
        copy = top / "lib/postgresql" / server.name
        shutil.copytree(server, copy, ignore=shutil.ignore_patterns("bitcode", "llvmjit*"))
        (top / "share").mkdir()
        (top / "share/postgresql").symlink_to("/usr/share/postgresql")
        self.site.pg_stop()
        self.site.lab.pg_bin = lambda name: copy / "bin" / name
        self.site.lab.pg_start()
        self.site.wait_lanes()
        self.site.login_soon(WHO).close()
        self.library = copy / "lib/plpgsql.so"

    def replace(self, text):
        """As dpkg does: a new file under the old name."""
        source, made = self.site.dir / "new.c", self.library.with_suffix(".new")
        source.write_text(text)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", made, source], check=True)
        made.chmod(0o644)
        made.rename(self.library)

    def new_connections(self):
        """In the place of all that were there."""
        self.site.sql("select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename like 'postern%'")
        self.site.wait_lanes()

    def login(self):
        with self.site.connect() as pop:
            pop.ok("USER " + WHO)
            return pop.cmd("PASS " + kit.PASSWORD)

    def told(self, before):
        """At a login over a new connection: the first ones may come before it is ready."""
        def seen():
            self.assertRegex(self.login(), rb"^-ERR \[SYS/TEMP\]")
            return ADVICE in self.site.log_text()[before:]
        self.assertTrue(kit.wait_until(seen), self.site.log_text()[before:])

    def test_without_preloading(self):
        self.place("")
        kept = self.library.read_bytes()
        for text in ("extern int no_such_thing_in_the_server(void); int f(void) { return no_such_thing_in_the_server(); }"
                     " int (*p)(void) = no_such_thing_in_the_server;", "int f(void) { return 0; }"):
            self.replace(text)
            # Those that are there have the old one.
            self.assertEqual(self.login()[:3], b"+OK")
            before = len(self.site.log_text())
            self.new_connections()
            self.told(before)
            self.assertIn(ADVICE, self.site.ctl("tenant", "add", "t", check=False).stdout.decode())
            self.library.unlink()
            self.library.write_bytes(kept)
            self.site.pg_restart()
            self.site.wait_lanes()
            self.site.login_soon(WHO).close()

    def test_with_preloading(self):
        self.place("shared_preload_libraries = 'plpgsql'\n")
        self.replace("int f(void) { return 0; }")
        self.new_connections()
        self.site.login_soon(WHO).close()
        self.site.ctl("tenant", "add", "t")
        self.assertNotIn(ADVICE, self.site.log_text())


if __name__ == "__main__":
    unittest.main()
