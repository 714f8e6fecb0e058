"""A name service that has stopped to answer holds up no session: names of the database's hosts are looked up beside them."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import kit

WHO = "names@example.org"
PLAIN = "sslmode=disable gssencmode=disable"
IDENTITY = re.search(r"(?s)create (function postern.server_identity.*?\n\$\$);", (kit.TOP / "sql/schema/21_hardening.sql").read_text()).group(1)
IDENTITY = "create or replace " + IDENTITY


@unittest.skipIf(kit.sanitized(), "preloaded before the sanitizer")
class SlowNames(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("names-", kit.QUICK + 'cells = 1; database_retry = "500ms";\n')
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])
        cls.place = pathlib.Path(tempfile.mkdtemp(prefix="postern-names-"))
        cls.addClassCleanup(shutil.rmtree, cls.place)
        cls.place.chmod(0o755)
        cls.library, cls.slow = cls.place / "slow_names.so", cls.place / "slow"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", cls.library, kit.TESTS / "checks" / "slow_names.c"], check=True)

    def second(self, where, kind="mail"):
        """Its workers, or its helpers, have a database of their own to look for."""
        option = "database_" + kind
        roles = [line for line in self.site.lab.conf.read_text().splitlines() if line.startswith(option)]
        user = f"user=postern_{kind}" if not roles else roles[0].split('"')[1]
        second = self.site.second(f'{option} = "{user} {where}";\n')
        self.addCleanup(second.stop)
        return second.start("--foreground", env=kit.lab.plain_env(LD_PRELOAD=str(self.library), SLOW_NAMES=str(self.slow)))

    def logs_in(self, second):
        def test():
            with kit.Pop(second.address) as pop:
                pop.ok("USER " + WHO)
                return pop.cmd("PASS " + kit.PASSWORD).startswith(b"+OK") and pop.ok("QUIT")
        self.assertTrue(kit.wait_until(test), second.log.read_text())

    def relay(self, client, database):
        """From a client to the database, perhaps to one of another name, and back, until one of them ends."""
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(f"{self.site.lab.sockets}/.s.PGSQL.{kit.lab.PGPORT}")

            def copy(from_, to, name=None):
                try:
                    while data := from_.recv(65536):
                        if name is not None:
                            data = data.replace(b"\0database\0" + kit.lab.DATABASE.encode() + b"\0", b"\0database\0" + name.encode() + b"\0")
                            name = None
                        to.sendall(data)
                    to.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            back = threading.Thread(target=copy, args=(server, client))
            back.start()
            copy(client, server, database)
            back.join()

    def serve(self, address, port, database=kit.lab.DATABASE):
        """The database, or another one, is there, too."""
        hba = self.site.lab.data / "pg_hba.conf"
        hba.write_text("local all postern_mail,postern_auth trust\n" + hba.read_text())    # the relay is somebody else
        self.site.sql("select pg_reload_conf()")
        there = socket.create_server((address, port))
        self.addCleanup(there.close)
        self.addCleanup(there.shutdown, socket.SHUT_RDWR)

        def accept():
            while True:
                try:
                    client = there.accept()[0]
                except OSError:
                    return
                threading.Thread(target=self.relay, args=(client, database), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()

    def test_several_addresses(self):
        """Of one name: at the first one nobody says anything, and the second one is the database."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        port = silent.getsockname()[1]
        self.serve("127.0.0.2", port)
        self.logs_in(self.second(f"host=two.slow.test port={port} connect_timeout=1 {PLAIN}"))

    def test_replaced_at_the_first_address(self):
        """Of one name: there a primary lives on that another one has replaced. Helpers go past it."""
        old = kit.lab.DATABASE[::-1]
        self.site.sql(f"create database {old}")
        where = f"host={self.site.lab.sockets} port={kit.lab.PGPORT} dbname={old} user=postgres"
        self.site.ctl("--as", where, "schema", "init")
        self.addCleanup(self.site.sql, f"drop database {old} with (force)")
        port = kit.lab.free_port()
        newer = IDENTITY.replace("left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)", "'000000FF'")
        self.site.sql(newer)
        self.addCleanup(self.site.sql, IDENTITY)
        self.serve("127.0.0.1", port, old)
        self.serve("127.0.0.2", port)
        self.logs_in(self.second(f"host=two.slow.test port={port} {PLAIN}", "auth"))

    def test_lanes_come_back(self):
        slow = self.slow
        # First a name where no database listens, then the one that there is.
        second = self.second(f"host=db.slow.test,{self.site.lab.sockets} port=1,{kit.lab.PGPORT}")
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
        slow.unlink()


if __name__ == "__main__":
    unittest.main()
