"""A connection pooler between us and the database: one that shares connections between transactions is told, one that does not serves inetd."""
import os
import pwd
import signal
import socket
import subprocess
import time
import unittest

import kit

WHO = "pooler@example.org"
CONF = kit.QUICK + 'cells = 1; database_retry = "300ms";\n'
ADVICE = "a connection pooler that shares connections between transactions"
ROLES = ("postern_mail", "postern_auth", "postern_lmtp", "postern_admin")


class Bouncer:
    """PgBouncer from Debian's package, unpacked; it listens on a unix socket beside the lab's."""

    def __init__(self, site, mode, more=""):
        self.dir = site.lab.sockets / f"bouncer-{mode}-{time.monotonic_ns()}"
        self.dir.mkdir()
        lab = site.lab
        # Each role has a database entry that connects as that role: who connects is not looked at here.
        (self.dir / "users").write_text("".join(f'"{role}" ""\n' for role in ROLES))
        (self.dir / "ini").write_text(f"""[databases]
postern = host={lab.sockets} port={kit.lab.PGPORT} dbname=postern
[pgbouncer]
pool_mode = {mode}
listen_addr =
listen_port = {kit.lab.PGPORT}
unix_socket_dir = {self.dir}
auth_type = trust
auth_file = {self.dir}/users
logfile = {self.dir}/log
default_pool_size = 3
ignore_startup_parameters = extra_float_digits,options
{more}
""")
        if kit.ROOT:
            for path in (self.dir, self.dir / "ini", self.dir / "users"):
                os.chown(path, *self.owner())
        self.proc = self.start()
        if not kit.wait_until((self.dir / f".s.PGSQL.{kit.lab.PGPORT}").exists):
            self.stop()
            raise AssertionError("PgBouncer does not start" + kit.lab.tail(self.dir / "log"))
        self.database = f'database = "host={self.dir} port={kit.lab.PGPORT} dbname=postern";\n'

    def start(self):
        tree = kit.unpacked("pgbouncer")
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if kit.ROOT else {}
        return subprocess.Popen([tree / "usr/sbin/pgbouncer", self.dir / "ini"], cwd="/", stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=kit.die_with_parent,
                                env=dict(os.environ, **kit.beside(tree)), **user)

    @staticmethod
    def owner():
        who = pwd.getpwnam("postgres")
        return who.pw_uid, who.pw_gid

    def stop(self):
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()


class Pooler(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("pooler-", CONF)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])

    def bouncer(self, mode, more=""):
        found = Bouncer(self.site, mode, more)
        self.addCleanup(found.stop)
        return found

    def check(self, database, *more):
        conf = self.site.dir / "check.conf"
        lines = [line for line in self.site.lab.conf.read_text().splitlines() if not line.startswith("database ")]
        conf.write_text("\n".join(lines) + "\n" + database)
        return subprocess.run([str(self.site.lab.posternd), "-c", str(conf), "--check", *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, env=kit.lab.plain_env())

    def test_recognised_by_check(self):
        for mode, more in (("transaction", ""), ("transaction", "server_round_robin = 1"), ("transaction", "default_pool_size = 1"),
                           ("statement", "")):
            with self.subTest(mode=mode, more=more):
                done = self.check(self.bouncer(mode, more).database)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(ADVICE, done.stdout)
                self.assertIn("let `database` name PostgreSQL itself", done.stdout)

    def test_recognised_for_inetd(self):
        """There only a pooler that shares connections between sessions serves; a database that is away is no problem of the file."""
        bouncer = self.bouncer("transaction")
        done = self.check(bouncer.database, "--inetd")
        self.assertEqual((done.returncode, ADVICE in done.stdout), (1, True), done.stdout)
        done = self.check(self.bouncer("session").database, "--inetd")
        self.assertEqual((done.returncode, done.stdout.endswith(": ok\n")), (0, True), done.stdout)
        bouncer.stop()
        done = self.check(bouncer.database, "--inetd")
        self.assertEqual((done.returncode, done.stdout.endswith(": ok\n")), (0, True), done.stdout)

    def test_busy_pool(self):
        """Others take and give back connections of the same pool all the time."""
        bouncer = self.bouncer("transaction", "default_pool_size = 20")
        others = [subprocess.Popen(["psql", "-Xq", "-h", str(bouncer.dir), "-U", "postern_mail", "postern"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=kit.lab.plain_env(), text=True) for _ in range(4)]
        try:
            for other in others:
                other.stdin.write("begin; select pg_sleep(0.005); commit;\n" * 2000)
                other.stdin.flush()
            for _ in range(5):
                self.assertIn(ADVICE, self.check(bouncer.database).stdout)
        finally:
            for other in others:
                other.kill()
                other.wait()
                other.stdin.close()

    def test_recognised_at_start(self):
        daemon = self.site.second(self.bouncer("transaction").database)
        daemon.start("--foreground", wait=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertEqual(daemon.proc.wait(20), 1)
        self.assertIn(ADVICE, daemon.log.read_text())

    def test_recognised_later(self):
        """The database was away at the start, or the pooler's mode was changed: lanes say it as soon as two meet in one connection."""
        bouncer = self.bouncer("transaction", "default_pool_size = 1")
        bouncer.stop()
        daemon = self.site.second(bouncer.database)
        daemon.start()
        self.addCleanup(daemon.stop)
        proc = bouncer.start()
        self.addCleanup(proc.wait)
        self.addCleanup(proc.kill)

        def told():
            try:
                with kit.Pop(daemon.address) as pop:
                    pop.ok("USER " + WHO)
                    pop.cmd("PASS " + kit.PASSWORD)
            except (OSError, EOFError):
                pass
            return ADVICE in daemon.log.read_text()
        self.assertTrue(kit.wait_until(told), kit.lab.tail(daemon.log))

    def test_session_pooling(self):
        """Nothing is wrong with it."""
        bouncer = self.bouncer("session", "default_pool_size = 10")
        done = self.check(bouncer.database)
        self.assertEqual(done.returncode, 0, done.stdout)
        daemon = self.site.second(bouncer.database).start()
        self.addCleanup(daemon.stop)
        for _ in range(4):
            with kit.Pop(daemon.address) as pop:
                pop.login(WHO)
                self.assertEqual(pop.retr(1), kit.letter(1))
                pop.ok("QUIT")

    def test_full_pool(self):
        """
        Of a program for one session: its deletion waits for a row, and the pooler has no other connection to
        ask by whether the database lives. It is as long as a statement may be.
        """
        who = "full@example.org"
        self.site.account(who, [kit.letter(1)])
        bouncer = self.bouncer("session", "default_pool_size = 1")
        conf = self.site.second(bouncer.database + 'database_statement_timeout = "60s";\n').conf
        ours, theirs = socket.socketpair()
        proc = subprocess.Popen([str(self.site.lab.posternd), "-c", str(conf), "--inetd"], stdin=theirs, stdout=theirs, env=kit.lab.plain_env())
        self.addCleanup(proc.wait)
        theirs.close()
        with kit.Pop(None, sock=ours) as pop, self.site.psql() as holder:
            pop.login(who)
            pop.ok("DELE 1")
            holder.ask(f"begin; select from postern.mailbox where address = '{who}' for update")
            pop.send(b"QUIT\r\n")
            # Longer than it takes to find out that a server hangs, and then once more.
            self.assertTrue(kit.wait_until(lambda: self.site.sql(
                "select count(*) from pg_stat_activity where usename = 'postern_mail' and wait_event_type = 'Lock'"
                " and now() - query_start > '15 s'") == "1"))
            holder.ask("commit")
            self.assertRegex(pop.line(), rb"^\+OK")

    def test_none(self):
        done = self.check(f'database = "host={self.site.lab.sockets} port={kit.lab.PGPORT} dbname=postern";\n')
        self.assertEqual((done.returncode, done.stdout.endswith(": ok\n")), (0, True), done.stdout)


if __name__ == "__main__":
    unittest.main()
