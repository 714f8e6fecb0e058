"""Master, cells, reload, drain, super servers, the configuration (N06-N09, Q09, Q13, Q14)."""
import fcntl
import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

import kit
import superserver

WHO = "daemon@example.org"
CONF = kit.QUICK + 'cells = 2; drain_time = "4s"; respawn_pause = "500ms"; database_retry = "500ms";\n'


class DaemonCase(unittest.TestCase):
    conf = CONF

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("daemon-", cls.conf)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.letters = [kit.letter(n) for n in range(1, 4)]
        cls.site.account(WHO, cls.letters)

    def works(self):
        """Mail is all there, and somebody serves it."""
        with self.site.login_soon(WHO) as pop:
            self.assertEqual(pop.stat()[0], 3)
            self.assertEqual(pop.retr(2), self.letters[1])
            pop.ok("QUIT")

    def until(self, test, what, seconds=10):
        self.assertTrue(kit.wait_until(test, seconds), f"{what}{self.site.log_tail()}")


class Reload(DaemonCase):
    def reload(self, conf):
        self.site.lab.write_conf(int(self.site.address.rpartition(":")[2]), conf)
        os.kill(self.site.lab.master_pid(), signal.SIGHUP)

    def announces(self):
        with self.site.connect() as pop:
            return any(line.startswith(b"IMPLEMENTATION") for line in pop.multi("CAPA"))

    def setUp(self):
        self.addCleanup(self.reload, CONF)

    def test_new_configuration(self):
        """Sessions stay as they are, new ones see the new one; old workers go when they are done."""
        pop = self.site.login(WHO)
        pop.ok("DELE 1")
        old = set(self.site.tree()[1])
        self.assertTrue(self.announces())
        self.reload(CONF + "pop3_implementation = false;\n")
        self.until(lambda: not self.announces(), "the new configuration is not in use")
        pop.ok("RSET")
        self.assertEqual(pop.retr(2), self.letters[1])
        pop.ok("QUIT")
        pop.close()
        self.until(lambda: not old & set(self.site.tree()[1]), "the old workers are still there")
        self.until(lambda: len(self.site.tree()[1]) == 2, "there are not two workers")
        self.works()

    def test_broken_configuration(self):
        """It is told, and the old one stays."""
        self.reload(CONF + 'pop3_implementation = false;\npop3_idel = "10m";\npop3_bad_commands = 0;\n')
        self.until(lambda: "pop3_idel" in self.site.log_text() and "pop3_bad_commands" in self.site.log_text(),
                   "the problems are not in the log")
        time.sleep(0.3)
        self.assertTrue(self.announces())
        self.works()
        self.reload(CONF + "pop3_idle = ;;; {\n")
        time.sleep(0.3)
        self.works()

    def test_no_connection_is_refused(self):
        errors, stop = [], threading.Event()

        def knock():
            while not stop.is_set():
                try:
                    with self.site.connect(timeout=kit.PATIENCE) as pop:
                        pop.ok("QUIT")
                except (OSError, EOFError, AssertionError) as e:
                    errors.append(repr(e))
        threads = [threading.Thread(target=knock) for _ in range(3)]
        for t in threads:
            t.start()
        for _ in range(8):
            self.reload(CONF)
            time.sleep(0.15)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])
        self.until(lambda: len(self.site.tree()[1]) == 2, "the old workers are still there")

    def test_another_listener(self):
        port = kit.lab.free_port()
        here = int(self.site.address.rpartition(":")[2])
        both = f'listeners = ( {{ address = "127.0.0.1"; port = {here}; }}, {{ address = "127.0.0.1"; port = {port}; }} );\n'
        self.reload(CONF + both)

        def open_():
            try:
                kit.Pop(f"127.0.0.1:{port}").close()
                return True
            except OSError:
                return False
        self.until(open_, "the new listener is not there")
        self.works()
        self.reload(CONF)
        self.until(lambda: not open_(), "the listener that was taken out is still there")
        self.works()

    def test_log_file_is_opened_again(self):
        moved = self.site.lab.log.with_suffix(".1")
        self.site.lab.log.rename(moved)
        self.reload(CONF)
        self.until(self.site.lab.log.exists, "no new log file")

        def written():
            # The first ones may still be taken by a worker of before.
            self.works()
            return "login" in self.site.log_text()
        self.until(written, "no login is in the new log file")


class Cells(DaemonCase):
    def test_killed_members_are_replaced(self):
        master = self.site.lab.master_pid()
        for kind in (1, 2):
            for _ in range(3):
                victim = self.site.tree()[kind][0]
                kit.kill(victim)
                self.until(lambda: len(self.site.tree()[1]) == 2 and len(self.site.tree()[2]) == 4, "no new cell")
                self.works()
        self.assertEqual(self.site.lab.master_pid(), master)
        self.assertIn("signal 9", self.site.log_text())

    def test_rights(self):
        """Who may do what: as root, workers and helpers are two other users, with no right left."""
        master, workers, helpers = self.site.tree()
        for pid in workers + helpers:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                rows = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            self.assertEqual(int(rows["CapEff"], 16) if kit.ROOT else 0, 0)
            uid = int(rows["Uid"].split()[0])
            wanted = {True: "nobody", False: "daemon"}[pid in workers]
            if kit.ROOT:
                self.assertEqual(set(rows["Uid"].split()), {str(kit.lab.pwd.getpwnam(wanted).pw_uid)})
                self.assertNotIn("0", rows["Groups"].split())
            else:
                self.assertEqual(uid, os.geteuid())
        self.assertTrue(kit.alive(master))

    def test_scheduling(self):
        """Workers and helpers interrupt nobody when they are woken; the master, which looks after them, does."""
        master, workers, helpers = self.site.tree()
        self.assertEqual({os.sched_getscheduler(pid) for pid in workers + helpers}, {os.SCHED_BATCH})
        self.assertEqual(os.sched_getscheduler(master), os.SCHED_OTHER)


class Full(DaemonCase):
    conf = CONF + "sessions_per_worker = 10; batch_scheduling = false;\n"

    def test_scheduling(self):
        _, workers, helpers = self.site.tree()
        self.assertEqual({os.sched_getscheduler(pid) for pid in workers + helpers}, {os.SCHED_OTHER})

    def test_other_worker_keeps_its_sessions(self):
        """Ten go to each, no more; those of the one that dies are lost, the others notice nothing."""
        pops = [self.site.connect() for _ in range(20)]
        waiting = self.site.connect(greet=False)
        kit.kill(self.site.tree()[1][0])
        kept = 0
        for pop in pops:
            try:
                pop.multi("CAPA")
                kept += 1
            except (EOFError, OSError):
                pass
        self.assertEqual(kept, 10)
        # Who waited for a place is taken by the worker that is new.
        self.assertTrue(waiting.line().startswith(b"+OK"))
        for pop in [*pops, waiting]:
            pop.close()
        self.until(lambda: len(self.site.tree()[1]) == 2, "no new worker")
        self.works()


class Hanging(DaemonCase):
    conf = CONF + 'sessions_per_worker = 1; worker_watchdog = "5s"; auth_deadline = "1s";\n'

    def test_worker_is_replaced(self):
        """Its session is over, without deletion; that of the other worker notices nothing."""
        users = (WHO, "other@example.org")
        self.site.account(users[1], self.letters)
        pops = [self.site.login(user) for user in users]
        for pop in pops:
            pop.ok("DELE 1")
        hanging, other = self.site.tree()[1]
        os.kill(hanging, signal.SIGSTOP)
        self.until(lambda: not kit.alive(hanging), "the worker still hangs", 15)
        self.assertRegex(self.site.log_text(), rf"worker [12] \(pid {hanging}\) unresponsive for 5.0 s, killing it")
        ended = []
        for user, pop in zip(users, pops):
            try:
                pop.ok("QUIT")
            except (EOFError, OSError):
                ended.append(user)
        self.assertEqual(len(ended), 1)
        self.until(lambda: len(self.site.tree()[1]) == 2, "no new worker")
        self.assertIn(other, self.site.tree()[1])
        for user in users:
            with self.site.login_soon(user) as pop:
                self.assertEqual(pop.stat()[0], 3 if user in ended else 2)
                pop.ok("QUIT")

    def test_helper_is_replaced(self):
        """Whoever is logged in notices nothing; logins go to a new cell."""
        users = (WHO, "other@example.org")
        self.site.account(users[1], self.letters)
        pops = [self.site.login(user) for user in users]
        workers, helpers = self.site.tree()[1:]
        for pid in helpers:
            os.kill(pid, signal.SIGSTOP)
        pops.append(self.site.connect(greet=False))     # waits for a worker: each has its session
        pops[0].ok("QUIT")
        waiting = pops[-1]
        waiting.line()
        waiting.ok("USER " + WHO)
        waiting.err("PASS " + kit.PASSWORD, "SYS/TEMP")
        # Only the worker that was asked knows; the helpers of the other one are not looked at.
        self.until(lambda: sum(map(kit.alive, helpers)) == len(helpers) // 2, "the helper still hangs", 25)
        self.assertRegex(self.site.log_text(), r"auth helpers of worker [12] unresponsive")
        for pid in helpers:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        self.until(lambda: len(set(self.site.tree()[1]) - set(workers)) == 1, "no new cell")
        pops[1].ok("QUIT")
        waiting.close()
        self.works()

    def test_helper_that_outlives_its_worker(self):
        """It ends with its worker; nobody is left to say that it does not."""
        workers, helpers = self.site.tree()[1:]
        for pid in helpers:
            os.kill(pid, signal.SIGSTOP)
        kit.kill(workers[0])
        self.until(lambda: sum(map(kit.alive, helpers)) == len(helpers) // 2, "the helpers are still there", 15)
        for pid in filter(kit.alive, helpers):
            os.kill(pid, signal.SIGCONT)
        self.until(lambda: len(self.site.tree()[1]) == 2, "no new cell")
        self.works()

    def test_all_stood_still(self):
        """As the whole machine may: nobody is killed for that."""
        master, workers, helpers = self.site.tree()
        for signo in (signal.SIGSTOP, signal.SIGCONT):
            for pid in [master, *workers, *helpers]:
                os.kill(pid, signo)
            time.sleep(6 if signo == signal.SIGSTOP else 2)
        self.assertEqual(set(self.site.tree()[1]), set(workers))


class Stop(DaemonCase):
    conf = CONF.replace('drain_time = "4s"', 'drain_time = "8s"')

    def setUp(self):
        if self.site.lab.master_pid() is None:
            self.site.lab.daemon_start()

    def stopped(self, master):
        self.until(lambda: not kit.alive(master), "the master is still there", 20)
        self.assertFalse(self.site.lab.pid_file.exists())
        self.assertEqual(self.site.lab.daemon_pids(), [])

    def refuses(self):
        try:
            self.site.connect(greet=False).close()
            return False
        except OSError:
            return True

    def test_drain(self):
        """Q13 Q14: no new session; one that runs may finish, its QUIT counts."""
        self.site.account("drain@example.org", self.letters)
        finishing, lingering = self.site.login("drain@example.org"), self.site.login(WHO)
        finishing.ok("DELE 1")
        lingering.ok("DELE 1")
        master = self.site.lab.master_pid()
        os.kill(master, signal.SIGTERM)

        self.until(self.refuses, "connections are still taken")
        self.assertEqual(finishing.retr(2), self.letters[1])
        finishing.ok("QUIT")
        # At the end of its time the other one is closed; nothing of it is deleted.
        self.assertRegex(b"".join(iter(lambda: lingering.sock.recv(4096), b"")), rb"^(-ERR \[SYS/TEMP\][^\r\n]*\r\n)?$")
        self.stopped(master)
        self.site.lab.daemon_start()
        self.works()
        self.assertEqual(len(self.site.stored("drain@example.org")), 2)

    def test_twice_is_at_once(self):
        pop = self.site.login(WHO)
        pop.ok("DELE 1")
        master = self.site.lab.master_pid()
        os.kill(master, signal.SIGTERM)
        self.until(self.refuses, "connections are still taken")
        os.kill(master, signal.SIGTERM)
        self.assertTrue(kit.lab.wait_until(lambda: not kit.alive(master), 7), self.site.log_tail())
        self.stopped(master)
        self.site.lab.daemon_start()
        self.works()

    def test_commit_that_runs_is_finished(self):
        self.site.account("commit@example.org", self.letters)
        pop = self.site.login("commit@example.org")
        pop.ok("DELE 1")
        master = self.site.lab.master_pid()
        with self.site.psql() as psql:
            psql.ask("begin")
            psql.ask("select 1 from postern.mailbox where address = 'commit@example.org' for update")
            pop.send(b"QUIT\r\n")
            waiting = "select count(*) from pg_stat_activity where usename = 'postern_mail' and wait_event_type = 'Lock'"
            self.until(lambda: self.site.sql(waiting) == "1", "QUIT does not wait for the row")
            os.kill(master, signal.SIGTERM)
            self.until(self.refuses, "connections are still taken")
            psql.ask("rollback")
            self.assertTrue(pop.line().startswith(b"+OK"))
        self.stopped(master)
        self.assertEqual(len(self.site.stored("commit@example.org")), 2)


class Start(DaemonCase):
    def posternd(self, *args, conf=None, **kw):
        path = self.site.dir / "start.conf"
        if conf is not None:
            path.write_text(conf)
        return subprocess.run([str(self.site.lab.posternd), "-c", str(path if conf is not None else self.site.lab.conf), *args],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=kit.lab.plain_env(), check=False, timeout=30, **kw)

    BROKEN = 'cells = "many";\npop3_idel = "10m";\nauth_helpers = 65;\npop3_idle = "1m";\n' \
             'listeners = ( { address = "127.0.0.1"; port = 70000; }, { prot = "pop3"; address = "x"; } );\n'

    def test_check_tells_every_problem(self):
        done = self.posternd("--check", conf=self.BROKEN)
        self.assertEqual(done.returncode, 1, done.stdout)
        for line, word in ((1, "cells"), (2, "pop3_idel"), (3, "auth_helpers"), (5, "port"), (5, "prot")):
            self.assertRegex(done.stdout, rf"(?m)^{re.escape(str(self.site.dir))}/start\.conf:{line}: .*{word}", done.stdout)
        self.assertIn("pop3_idle", done.stdout)        # Q09
        again = self.posternd(conf=self.BROKEN)
        self.assertEqual(again.returncode, 1)
        self.assertIn("pop3_idel", again.stdout)

    def test_check_names_the_words(self):
        """Where a word is wrong, --check says which ones there are, in a listener too."""
        done = self.posternd("--check", conf='tls_min = "1.4";\nsasl_mechanisms = "PLAIN, LOGIN KERBEROS_V4";\n'
                             'listeners = ( { address = "127.0.0.1"; cleartext_login = "tls"; } );\n')
        self.assertEqual(done.returncode, 1, done.stdout)
        for line, text in ((1, 'tls_min must be "1.0", "1.1", "1.2" or "1.3" and is "1.4"'),
                           (2, 'sasl_mechanisms: "KERBEROS_V4" is not one of SCRAM-SHA-256-PLUS, SCRAM-SHA-256, '),
                           (3, 'cleartext_login must be "never", "local" or "always" and is "tls"')):
            self.assertIn(f"start.conf:{line}: {text}", done.stdout)

    def test_check_of_a_watchdog(self):
        """One that would take a busy worker for one that hangs is refused; none at all is not."""
        for value, status in (("4999ms", 1), ("5s", 0), ("0", 0)):
            done = self.posternd("--check", conf=self.site.lab.conf.read_text() + f'worker_watchdog = "{value}";\n')
            self.assertEqual(done.returncode, status, done.stdout)
            self.assertEqual("worker_watchdog: below 5s" in done.stdout, status == 1, done.stdout)

    def test_check_of_a_login_cache(self):
        """Octets that would be enough for a few logins only are a number of logins."""
        for value, status in (("65536", 1), ('"2047K"', 1), ('"2M"', 0), ("0", 0)):
            done = self.posternd("--check", conf=self.site.lab.conf.read_text() + f"auth_cache = {value};\n")
            self.assertEqual(done.returncode, status, done.stdout)
            self.assertEqual("are too few: set at least 2M, or 0" in done.stdout, status == 1, done.stdout)

    def test_check_of_a_good_one(self):
        done = self.posternd("--check")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_check_of_none(self):
        done = self.posternd("-c", str(self.site.dir / "there-is-none.conf"), "--check")
        self.assertEqual(done.returncode, 1)
        self.assertIn("there-is-none.conf", done.stdout)

    def test_printed_configuration_is_a_good_one(self):
        printed = self.posternd("--print-config").stdout
        self.assertEqual(printed, (kit.TOP / "etc" / "postern.conf").read_text(), "etc/postern.conf is not what --print-config says")

    def test_command_line(self):
        self.assertEqual(self.posternd("--nonsense").returncode, 2)
        self.assertEqual(self.posternd("word").returncode, 2)
        for word in ("--help", "--version"):
            done = self.posternd(word)
            self.assertEqual(done.returncode, 0)
            self.assertIn("postern", done.stdout)

    def test_address_in_use(self):
        text = self.site.lab.conf.read_text().replace("posternd.pid", "other.pid")
        done = self.posternd(conf=text)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(self.site.address.rpartition(":")[2], done.stdout)
        self.works()

    def test_schema_that_is_not_known(self):
        """It refuses, and says which command mends it."""
        text = self.site.lab.conf.read_text().replace("posternd.pid", "other.pid")
        text = re.sub(r"(?m)^listeners.*$", f'listeners = ( {{ address = "127.0.0.1"; port = {kit.lab.free_port()}; }} );', text)
        version = int(self.site.sql("select max(version) from postern.schema_version"))
        for change, undo, word in (
                (f"insert into postern.schema_version (version, name) values ({version + 1}, 'later')",
                 f"delete from postern.schema_version where version > {version}", "upgrade|newer|package|posternd"),
                (f"update postern.schema_version set version = {version - 1} where version = {version}",
                 f"update postern.schema_version set version = {version} where version = {version - 1}", "posternctl.*schema upgrade")):
            self.site.sql(change)
            try:
                done = self.posternd(conf=text)
            finally:
                self.site.sql(undo)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertRegex(done.stdout, word)
        self.site.sql("create database bare")
        done = self.posternd(conf=text.replace("dbname=postern", "dbname=bare"))
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stdout, "posternctl.*schema init")
        self.site.sql("drop database bare")
        self.until(lambda: len(self.site.tree()[1]) == 2, "the workers did not come back")
        self.site.wait_lanes()
        self.works()

    def test_database_that_is_absent(self):
        """It starts all the same: the database may come later."""
        text = self.site.lab.conf.read_text()
        second = self.site.second(f'database = "host={self.site.dir}/nowhere dbname=postern";\n')
        self.assertIn("database", text)
        second.start("--foreground")
        self.addCleanup(second.stop)
        with kit.Pop(second.address) as pop:
            pop.ok("USER " + WHO)
            pop.err("PASS " + kit.PASSWORD, "SYS/TEMP")
        self.assertEqual(second.stop(), 0)


class Sockets(DaemonCase):
    """Listeners that somebody else has made."""

    def talk(self, address):
        with kit.Pop(address) as pop:
            pop.login(WHO)
            self.assertEqual(pop.retr(1), self.letters[0])
            pop.ok("QUIT")

    def test_listen_fds(self):
        second = self.site.second()
        with socket.create_server(("127.0.0.1", 0)) as server:
            second.address = "127.0.0.1:%d" % server.getsockname()[1]
            # Not number 3 itself, which the shell would close again; and one digit, as sh wants it.
            number = fcntl.fcntl(server.fileno(), fcntl.F_DUPFD, 5)
            script = f'exec 3<&{number} {number}<&-; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"'
            second.proc = subprocess.Popen(["/bin/sh", "-c", script, str(self.site.lab.posternd), "-c", str(second.conf)],
                                           pass_fds=[number], env=kit.lab.plain_env())
            os.close(number)
        self.addCleanup(second.stop)
        self.talk(second.address)
        self.assertIsNone(second.proc.poll())
        self.assertEqual(second.stop(), 0)

    def test_listening_socket_on_descriptor_0(self):
        second = self.site.second()
        with socket.create_server(("127.0.0.1", 0)) as server:
            second.address = "127.0.0.1:%d" % server.getsockname()[1]
            second.start(stdin=server, wait=False)
        self.addCleanup(second.stop)
        self.talk(second.address)
        self.talk(second.address)
        self.assertEqual(second.stop(), 0)

    def test_wait(self):
        """xinetd and openbsd-inetd with `wait`: the first connection starts posternd, it serves all others."""
        for kind in ("xinetd", "inetd"):
            with self.subTest(kind=kind):
                server = superserver.start(kind, self.site, wait=True)
                try:
                    self.talk(server.address)
                    masters = self.site.lab.daemon_pids()
                    for _ in range(5):
                        self.talk(server.address)
                    self.assertEqual(sorted(self.site.lab.daemon_pids()), sorted(masters))
                finally:
                    server.stop()


class OneShot(DaemonCase):
    """--inetd beyond what the dialogues say."""

    def start(self, sock, conf=None):
        return subprocess.Popen([str(self.site.lab.posternd), "-c", str(conf or self.site.lab.conf), "--inetd"],
                                stdin=sock, stdout=sock, stderr=sock, env=kit.lab.plain_env())

    def test_broken_configuration(self):
        """One line for the client, the problems for the log."""
        conf = self.site.dir / "broken.conf"
        conf.write_text(f'log = "{self.site.dir}/broken.log";\npop3_idel = 1;\n')
        ours, theirs = socket.socketpair()
        with theirs:
            proc = self.start(theirs, conf)
        with ours:
            ours.settimeout(kit.PATIENCE)
            said = b"".join(iter(lambda: ours.recv(4096), b""))
        self.assertEqual(proc.wait(kit.PATIENCE), 1)
        self.assertRegex(said, rb"^-ERR \[SYS/PERM\] [ -~]*\r\n$")
        self.assertIn("pop3_idel", (self.site.dir / "broken.log").read_text())

    def test_log_to_standard_error(self):
        """N07: standard error is the client: not one octet goes there, however much there is to complain of."""
        conf = self.site.dir / "noisy.conf"
        text = re.sub(r"(?m)^log = .*$", 'log = "stderr"; log_level = "debug";', self.site.lab.conf.read_text())
        conf.write_text(text.replace("dbname=postern", "dbname=nothing"))
        ours, theirs = socket.socketpair()
        with theirs:
            proc = self.start(theirs, conf)
        with kit.Pop("", sock=ours) as pop:
            pop.ok("USER " + WHO)
            pop.err("PASS " + kit.PASSWORD, "SYS/TEMP")
            pop.err("XX")
            pop.ok("QUIT")
            self.assertTrue(pop.at_end())
        self.assertEqual(proc.wait(kit.PATIENCE), 0)

    def test_one_write_for_a_reply(self):
        """Y10: also with the dot line. A pipe that keeps writes apart shows it."""
        r0, w0 = os.pipe()
        r1, w1 = os.pipe2(os.O_DIRECT)
        proc = subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--inetd"],
                                stdin=r0, stdout=w1, stderr=w1, env=kit.lab.plain_env())
        for fd in (r0, w1):
            os.close(fd)
        self.assertRegex(os.read(r1, 65536), rb"^\+OK [^\n]*\r\n$")
        for command, wanted in ((f"USER {WHO}", rb"\+OK [^\n]*\r\n"), (f"PASS {kit.PASSWORD}", rb"\+OK [^\n]*\r\n"),
                                ("STAT", rb"\+OK 3 \d+\r\n"), ("LIST", rb"\+OK[^\n]*\r\n(\d+ \d+\r\n){3}\.\r\n"),
                                ("UIDL", rb"\+OK[^\n]*\r\n(\d+ [!-~]+\r\n){3}\.\r\n"),
                                ("RETR 1", rb"\+OK[^\n]*\r\n" + re.escape(self.letters[0]) + rb"\.\r\n"),
                                ("TOP 1 1", rb"\+OK(.|\n)*\r\n\.\r\n"), ("QUIT", rb"\+OK [^\n]*\r\n")):
            os.write(w0, command.encode() + b"\r\n")
            self.assertRegex(os.read(r1, 65536), b"^" + wanted + b"$", command)
        self.assertEqual(os.read(r1, 1), b"")
        os.close(w0)
        os.close(r1)
        self.assertEqual(proc.wait(kit.PATIENCE), 0)

    def test_peer_is_gone(self):
        """N09: before the greeting; quietly, and no child stays."""
        size = self.site.lab.log.stat().st_size
        for _ in range(20):
            ours, theirs = socket.socketpair()
            ours.close()
            with theirs:
                proc = self.start(theirs)
            self.assertEqual(proc.wait(kit.PATIENCE), 0)
        self.assertLess(self.site.lab.log.stat().st_size - size, 20 * 300)
        own = set(self.site.lab.daemon_pids()) - {p for kind in self.site.tree() for p in (kind if isinstance(kind, list) else [kind])}
        self.assertEqual(own, set())

    def test_closed_descriptors(self):
        """Closed standard input or output: an end, not a loop."""
        proc = subprocess.Popen(["/bin/sh", "-c", 'exec "$0" -c "$1" --inetd <&- >&- 2>&-', str(self.site.lab.posternd),
                                 str(self.site.lab.conf)], env=kit.lab.plain_env())
        self.assertIsNotNone(proc.wait(kit.PATIENCE))

    def test_killed(self):
        """Q13: SIGKILL and SIGTERM in mid-session: nothing is deleted, the maildrop is free."""
        for signo in (signal.SIGKILL, signal.SIGTERM):
            ours, theirs = socket.socketpair()
            with theirs:
                proc = self.start(theirs)
            with kit.Pop("", sock=ours) as pop:
                pop.login(WHO)
                pop.ok("DELE 1")
                proc.send_signal(signo)
                proc.wait(kit.PATIENCE)
            self.works()
        self.until(lambda: len(self.site.lab.daemon_pids()) == 7, "a helper stayed behind")


class Storm(DaemonCase):
    def test_connect_and_reset(self):
        """N09: a thousand that go before the greeting."""
        size = self.site.lab.log.stat().st_size
        before = self.site.tree()
        for _ in range(1000):
            self.site.connect(greet=False).reset()
        self.works()
        self.assertEqual([sorted(k) if isinstance(k, list) else k for k in self.site.tree()],
                         [sorted(k) if isinstance(k, list) else k for k in before])
        self.assertLess(self.site.lab.log.stat().st_size - size, 1000 * 300)

    def test_bad_commands(self):
        """N06: ten thousand of them do not get ten thousand answers; good pipelines do."""
        pop = self.site.connect()
        try:
            pop.send(b"XX\r\n" * 10_000)
        except OSError:
            pass
        answers = 0
        try:
            while True:
                answers += pop.line().startswith(b"-ERR")
        except (EOFError, OSError):
            pass
        pop.close()
        self.assertGreaterEqual(answers, 1)
        self.assertLessEqual(answers, 20)
        with self.site.login(WHO) as pop:
            pop.send(b"RETR 99\r\nNOOP\r\n" * 200)
            for _ in range(200):
                self.assertTrue(pop.line().startswith(b"-ERR"))
                self.assertTrue(pop.line().startswith(b"+OK"))
            pop.send(b"LIST 99\r\n" * 100)
            for _ in range(100):
                self.assertTrue(pop.line().startswith(b"-ERR"))
            pop.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
