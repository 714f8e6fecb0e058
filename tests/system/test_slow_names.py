"""A name service that has stopped to answer holds up no session: names of the database's hosts are looked up beside them."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import kit

WHO = "names@example.org"


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

    def second(self, where):
        """Its workers have a database of their own to look for; helpers do not know the name."""
        roles = [line for line in self.site.lab.conf.read_text().splitlines() if line.startswith("database_mail")]
        user = "user=postern_mail" if not roles else roles[0].split('"')[1]
        second = self.site.second(f'database_mail = "{user} {where}";\n')
        self.addCleanup(second.stop)
        return second.start("--foreground", env=kit.lab.plain_env(LD_PRELOAD=str(self.library), SLOW_NAMES=str(self.slow)))

    def relay(self, client):
        """From a client to the database, and back, until one of them ends."""
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(f"{self.site.lab.sockets}/.s.PGSQL.{kit.lab.PGPORT}")

            def copy(from_, to):
                try:
                    while data := from_.recv(65536):
                        to.sendall(data)
                    to.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            back = threading.Thread(target=copy, args=(server, client))
            back.start()
            copy(client, server)
            back.join()

    def test_several_addresses(self):
        """Of one name: at the first one nobody says anything, and the second one is the database."""
        hba = self.site.lab.data / "pg_hba.conf"
        hba.write_text("local all postern_mail trust\n" + hba.read_text())     # the relay is somebody else
        self.site.sql("select pg_reload_conf()")
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        port = silent.getsockname()[1]
        there = socket.create_server(("127.0.0.2", port))
        self.addCleanup(there.close)

        def serve():
            while True:
                try:
                    client = there.accept()[0]
                except OSError:
                    return
                threading.Thread(target=self.relay, args=(client,), daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        second = self.second(f"host=two.slow.test port={port} connect_timeout=1 sslmode=disable gssencmode=disable")

        def logs_in():
            with kit.Pop(second.address) as pop:
                pop.ok("USER " + WHO)
                return pop.cmd("PASS " + kit.PASSWORD).startswith(b"+OK") and pop.ok("QUIT")
        self.assertTrue(kit.wait_until(logs_in), second.log.read_text())
        second.stop()
        there.shutdown(socket.SHUT_RDWR)

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
