"""A daemon in its sandbox: who is in one, what somebody who took over one of its processes meets, and
that a database with an address or a name is found again and again from there.

What each role may ask of the kernel is gone through by tests/unit/test_sandbox.c."""
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import intruder
import kit
from intruder import Intruder

WHO = "sandbox@example.org"

def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@unittest.skipIf(kit.sanitized(), "sanitizers look into /proc: there is no sandbox")
class Sandbox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("sandbox-", kit.QUICK + 'cells = 1; database_retry = "500ms";\n', lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])

    def test_who_is_in(self):
        master, workers, helpers = self.site.tree()
        self.assertEqual(status(master)["NoNewPrivs"], "1")
        self.assertEqual(status(master)["Seccomp"], "0")
        self.assertEqual((len(workers), len(helpers)), (1, 2))
        for pid in workers + helpers:
            self.assertEqual((status(pid)["NoNewPrivs"], status(pid)["Seccomp"]), ("1", "2"))
            self.assertRegex(pathlib.Path(f"/proc/{pid}/limits").read_text(), r"Max processes +0 +0 ")

    def is_in(self, pid):
        self.assertEqual((status(pid)["NoNewPrivs"], status(pid)["Seccomp"]), ("1", "2"))
        self.assertNotIn("0", status(pid)["Uid"].split())
        self.assertRegex(pathlib.Path(f"/proc/{pid}/limits").read_text(), r"Max core file size +0 +0 ")

    @unittest.skipUnless(kit.ROOT, "an ordinary user has one uid for all")
    def test_in_inetd(self):
        """POP3 with its helper, and LMTP, which has none."""
        for mode, helpers in (("--inetd", 1), ("--inetd=lmtp", 0)):
            ours, theirs = socket.socketpair()
            with ours, subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), mode], stdin=theirs, stdout=theirs) as proc:
                theirs.close()
                # A greeting comes after all of the start.
                self.assertRegex(ours.recv(1000), rb"^(\+OK|220) ")
                self.is_in(proc.pid)
                children = pathlib.Path(f"/proc/{proc.pid}/task/{proc.pid}/children").read_text().split()
                self.assertEqual(len(children), helpers)
                for pid in children:
                    self.assertTrue(kit.wait_until(lambda pid=pid: status(pid)["Seccomp"] == "2"))
                    self.is_in(pid)
                ours.sendall(b"QUIT\r\n")

    @unittest.skipUnless(kit.ROOT, "an ordinary user has one uid for all")
    def test_in_metrics(self):
        daemon = self.site.second(f'metrics_listen = "127.0.0.1:{kit.lab.free_port()}";\n')
        self.addCleanup(daemon.stop)
        daemon.start()
        # It takes its name when it has begun, which may be after the first greeting.
        found = []
        self.assertTrue(kit.wait_until(lambda: found.extend(p for p in daemon.pids() if pathlib.Path(
            f"/proc/{p}/comm").read_text() == "posternd metric\n") or found, 10))
        self.assertTrue(kit.wait_until(lambda: status(found[0])["Seccomp"] == "2"))
        self.is_in(found[0])

    def test_a_kill_is_told(self):
        """As the kernel does it to one that asks for what only an intruder would."""
        daemon = self.site.second()
        self.addCleanup(daemon.stop)
        daemon.start()
        worker = next(p for p in daemon.pids() if pathlib.Path(f"/proc/{p}/comm").read_text().startswith("posternd w"))
        os.kill(worker, signal.SIGSYS)
        self.assertTrue(kit.wait_until(lambda: "killed by signal 31 (Bad system call)" in daemon.log.read_text()))

    def test_last_database_by_address_or_name(self):
        """A name is looked up in the sandbox at each connection, also at those after a restart. From here on the site has no database."""
        port = kit.lab.free_port()
        place = self.site.lab
        hba, conf = place.data / "pg_hba.conf", place.data / "lab.conf"
        hba.write_text(hba.read_text() + "host all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\n")
        conf.write_text(conf.read_text() + f"listen_addresses = 'localhost'\nport = {port}\n")
        self.site.pg_restart()

        def logs_in(daemon):
            try:
                with kit.Pop(daemon.address) as pop:
                    pop.login(WHO)
                    return pop.stat()[0] == 1
            except (AssertionError, OSError):
                return False
        for host in ("127.0.0.1", "localhost"):
            with self.subTest(host=host):
                daemon = self.site.second(f'database = "host={host} port={port} dbname={kit.lab.DATABASE}";\n')
                self.addCleanup(daemon.stop)
                daemon.start()
                self.assertTrue(kit.wait_until(lambda: logs_in(daemon)), kit.lab.tail(daemon.log))
                self.site.pg_restart("immediate")
                self.assertTrue(kit.wait_until(lambda: logs_in(daemon)), kit.lab.tail(daemon.log))


@unittest.skipIf(kit.sanitized(), "sanitizers look into /proc: there is no sandbox")
@unittest.skipUnless(kit.ROOT and intruder.AVAILABLE, "takes over processes of other users, on x86-64")
class TakenOver(unittest.TestCase):
    """Each clause of what a hijacked worker cannot do, asked in the living one; and of its helper, where that differs."""

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("taken-", kit.QUICK + 'lmtp_user = "news";\n', lmtp=True, pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])
        # Where everybody may read them: what refuses is then not their mode.
        cls.open_place = cls.site.lab.sockets / "open"
        cls.open_place.mkdir(mode=0o755)
        cls.seal_key = cls.open_place / "seal.key"
        cls.seal_key.write_bytes(cls.site.ctl("secrets", "new-key", "k1").stdout)
        cls.own_seal_key = cls.site.lab.data.parent / "auth.keys"
        cls.own_seal_key.write_bytes(cls.seal_key.read_bytes())
        cls.own_seal_key.chmod(0o400)
        os.chown(cls.own_seal_key, pwd.getpwnam("daemon").pw_uid, 0)
        tls_key = cls.site.lab.tls / "localhost.key"
        cls.open_tls_key = cls.open_place / "tls.key"
        cls.open_tls_key.write_bytes(tls_key.read_bytes())
        cls.open_tls_key.chmod(0o644)
        cls.tls = (f'cells = 1; tls_certificate = "{cls.site.lab.tls}/localhost.pem"; tls_key = "{tls_key}";'
                   f' lmtp_spool_dir = "{cls.site.lab.spool}"; auth_key_file = "{cls.own_seal_key}";\n')

    def setUp(self):
        self.start()

    def start(self, more=""):
        pop3, lmtp = kit.lab.free_port(), kit.lab.free_port()
        self.daemon = self.site.second(self.tls + more + f"""listeners = ( {{ address = "127.0.0.1"; port = {pop3}; }},
            {{ address = "127.0.0.1"; port = {lmtp}; protocol = "lmtp"; }} );\n""")
        self.daemon.address = f"127.0.0.1:{pop3}"
        self.addCleanup(self.daemon.stop)
        self.daemon.start()
        self.master = self.daemon.proc.pid
        self.worker, self.lmtp_worker, self.helper = self.named("posternd w1"), self.named("posternd w2"), self.named("posternd a1.1")
        # A helper takes its first order a moment after the listeners are there: only then has it shut itself in.
        self.assertTrue(kit.wait_until(lambda: all(status(p)["Seccomp"].strip() == "2" for p in (
            self.worker, self.lmtp_worker, self.helper))))

    def named(self, name):
        """It takes its name when it has begun, which may be after the first greeting."""
        found = []
        self.assertTrue(kit.wait_until(lambda: found.extend(p for p in self.daemon.pids() if pathlib.Path(
            f"/proc/{p}/comm").read_text() == name + "\n") or found, 10), name)
        return found[0]

    def test_own_users_without_rights(self):
        """No capability, no user and group but the role's own, whichever of the four one looks at."""
        for pid, user in ((self.worker, "nobody"), (self.lmtp_worker, "news"), (self.helper, "daemon")):
            is_, pw = status(pid), pwd.getpwnam(user)
            self.assertEqual(is_["Uid"].split(), [str(pw.pw_uid)] * 4)
            self.assertEqual(is_["Gid"].split(), [str(pw.pw_gid)] * 4)
            for which in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(is_[which], 16), 0, which)

    @unittest.skipUnless(intruder.landlock() >= 1, "the kernel has no Landlock")
    def test_worker_reads_no_key(self):
        for pid in (self.worker, self.lmtp_worker):
            with Intruder(pid) as p:
                self.assertEqual(p.opens(self.site.lab.tls / "localhost.key"), "EACCES")
                self.assertEqual(p.opens(self.open_tls_key), "EACCES")
                self.assertEqual(p.opens(self.seal_key), "EACCES")
                self.assertEqual(p.opens(self.own_seal_key), "EACCES")
                self.assertEqual(p.opens("/etc/shadow"), "EACCES")
                # What it does need is there: the test can tell the two apart.
                self.assertEqual(p.opens("/etc/passwd"), 0)
        with Intruder(self.helper) as p:
            self.assertEqual(p.opens(self.open_tls_key), "EACCES")
            self.assertEqual(p.opens(self.own_seal_key), 0)

    def test_private_key_in_memory(self):
        """Who signs with it has it; a worker for LMTP, a helper and who serves the metrics have none."""
        self.daemon.stop()
        self.start(f'metrics_listen = "127.0.0.1:{kit.lab.free_port()}"; metrics_user = "mail";\n')
        text = subprocess.run(["openssl", "ec", "-in", self.site.lab.tls / "localhost.key", "-noout", "-text"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=True).stdout
        number = bytes.fromhex("".join(re.search(r"(?s)priv:(.*?)pub:", text).group(1).replace(":", "").split()))[-32:]
        pem = [line.encode() for line in (self.site.lab.tls / "localhost.key").read_text().splitlines() if "-" not in line]

        def has(pid):
            found = False
            with open(f"/proc/{pid}/mem", "rb", 0) as mem:
                for first, last in re.findall(r"(?m)^([0-9a-f]+)-([0-9a-f]+) rw", pathlib.Path(f"/proc/{pid}/maps").read_text()):
                    try:
                        mem.seek(int(first, 16))
                        octets = mem.read(int(last, 16) - int(first, 16))
                    except OSError:
                        continue
                    # As OpenSSL keeps it, as it is encoded, as it was read.
                    found = found or any(form in octets for form in (number[::-1], number, *pem))
            return found
        metrics = self.named("posternd metric")
        self.assertTrue(kit.wait_until(lambda: status(metrics)["Seccomp"].strip() == "2"))
        self.assertEqual([has(pid) for pid in (self.worker, self.lmtp_worker, self.helper, metrics)], [True, False, False, False])

    def test_keys_are_locked(self):
        """The helper's memory with the seal's keys, and with the key of the login cache, is neither paged out nor part of a core file."""
        def locked():
            """Of the mappings that are: whose they are."""
            found = re.findall(r"^[0-9a-f]+-\S+ \S+ \S+ \S+ \d+ *(.*)\n(?:[A-Z].*\n)*?VmFlags:(.*)$",
                               pathlib.Path(f"/proc/{self.helper}/smaps").read_text(), re.M)
            return {"cache" if "postern-login-cache" in name else "own" for name, flags in found if {"lo", "dd"} <= set(flags.split())}

        self.assertTrue(kit.wait_until(lambda: locked() == {"own", "cache"}), locked())
        self.assertNotEqual(status(self.helper)["VmLck"].split()[0], "0")

    @unittest.skipUnless(intruder.landlock() >= 1, "the kernel has no Landlock")
    def test_worker_opens_nothing_of_others(self):
        """Neither mail at the database's, nor what is open or in memory elsewhere; nothing new but, for LMTP, in the spool."""
        self.assertEqual([name for name in kit.opened(self.worker) if name.endswith((".key", ".pem", ".conf"))], [])
        with Intruder(self.worker) as p:
            self.assertEqual(p.opens(self.site.lab.data / "PG_VERSION"), "EACCES")
            for path in (f"/proc/{self.helper}/mem", f"/proc/{self.master}/mem", f"/proc/{self.master}/fd/0", "/proc/self/mem"):
                self.assertIn(p.opens(path), ("EACCES", "EPERM", "ENOENT"), path)
            self.assertEqual(p.opens("/tmp/postern-was-here", os.O_WRONLY | os.O_CREAT), "EACCES")
            self.assertEqual(p.opens(self.site.lab.spool, os.O_RDWR | os.O_TMPFILE), "EACCES")
        with Intruder(self.lmtp_worker) as p:
            self.assertEqual(p.opens("/tmp/postern-was-here", os.O_WRONLY | os.O_CREAT), "EACCES")
            self.assertEqual(p.opens(self.site.lab.spool, os.O_RDWR | os.O_TMPFILE), 0)
        self.assertEqual(list(self.site.lab.spool.iterdir()), [], "files of the spool have no name to open")

    def is_killed_by_exec(self, pid):
        with Intruder(pid) as p, self.assertRaises(intruder.Killed) as killed:
            p.executes("/bin/sh")
        self.assertEqual(killed.exception.args[0], signal.SIGSYS)

    def test_worker_executes_nothing(self):
        self.is_killed_by_exec(self.worker)

    def test_helper_executes_nothing(self):
        self.is_killed_by_exec(self.helper)

    def test_nobody_connects_elsewhere(self):
        """The database of this daemon is a socket in a folder: neither TCP nor UDP is any of their business."""
        with socket.create_server(("127.0.0.1", 0)) as there:
            for pid in (self.worker, self.lmtp_worker, self.helper):
                with Intruder(pid) as p:
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        self.assertEqual(p.connects(there.getsockname(), kind), "EPERM")
                    self.assertEqual(p.connects(str(self.site.lab.sockets / "control")), "EACCES")
                    self.assertEqual(p.connects(str(self.site.lab.sockets / ".s.PGSQL.5432")), 0)

    def test_worker_signals_nobody(self):
        with Intruder(self.worker) as p:
            for pid in (self.master, self.helper):
                self.assertEqual(p.call(intruder.KILL, pid, 0), -1)     # EPERM

    def as_user(self, user, role, query):
        pw = pwd.getpwnam(user)
        return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", role, "-c", query], cwd="/", user=pw.pw_uid, group=pw.pw_gid,
                              extra_groups=[], env=self.site.lab.env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def test_worker_at_the_database(self):
        """What is left to one who has a worker's user: one role, with a handful of functions."""
        tables = self.site.sql("select relname from pg_class where relnamespace = 'postern'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')").split()
        self.assertIn("credential", tables)
        self.assertIn("content_part", tables)
        for user, role in (("nobody", "postern_mail"), ("news", "postern_lmtp")):
            def ask(query, user=user, role=role):
                return self.as_user(user, role, query)
            self.assertEqual(ask("select postern.schema_version() > 0").stdout.strip(), "t")
            asked = "; ".join(f"do $$ begin perform 1 from postern.{name}; raise notice 'read {name}';"
                              " exception when insufficient_privilege then null; end $$" for name in tables)
            told = ask(asked)
            self.assertEqual((told.returncode, told.stdout), (0, ""), role)
            self.assertIn("permission denied for function credentials", ask(f"select postern.credentials('{WHO}')").stdout)
            self.assertIn("permission denied to set role", ask("set role postern_auth").stdout)
            self.assertIn("permission denied", ask("select pg_read_file('PG_VERSION')").stdout)
            self.assertIn("pg_execute_server_program", ask("copy (select 1) to program 'true'").stdout)

    def test_each_kind_at_the_database(self):
        """In each process, as each role: one of them, and none for who serves the metrics, whom the kernel keeps out, too."""
        self.daemon.stop()
        self.start(f'metrics_listen = "127.0.0.1:{kit.lab.free_port()}"; metrics_user = "mail";\n')
        metrics = self.named("posternd metric")
        self.assertTrue(kit.wait_until(lambda: status(metrics)["Seccomp"].strip() == "2"))
        self.assertEqual(status(metrics)["Uid"].split(), [str(pwd.getpwnam("mail").pw_uid)] * 4)
        socket_file, database = self.site.lab.sockets / ".s.PGSQL.5432", kit.lab.DATABASE
        for pid, user, own in ((self.worker, "nobody", "postern_mail"), (self.lmtp_worker, "news", "postern_lmtp"),
                               (self.helper, "daemon", "postern_auth"), (metrics, "mail", None)):
            with Intruder(pid) as p:
                for role in ("postern_mail", "postern_lmtp", "postern_auth", "postern_admin", "postgres"):
                    self.assertEqual(p.logs_in(socket_file, role, database), "EPERM" if own is None else role == own, (user, role))
                    # The database does not let the user in either, whatever process it has.
                    self.assertEqual(self.as_user(user, role, "select 1").stdout == "1\n", role == own, (user, role))
        with Intruder(metrics) as p, socket.create_server(("127.0.0.1", 0)) as there:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                self.assertEqual(p.connects(str(socket_file), kind), "EPERM")
                self.assertEqual(p.connects(there.getsockname(), kind), "EPERM")

    def test_one_session_at_the_database(self):
        """The same of --inetd: who speaks LMTP has its user, and one role."""
        socket_file = self.site.lab.sockets / ".s.PGSQL.5432"
        for mode, user, own in (("--inetd", "nobody", "postern_mail"), ("--inetd=lmtp", "news", "postern_lmtp")):
            ours, theirs = socket.socketpair()
            with ours, subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.daemon.conf), mode], stdin=theirs, stdout=theirs) as proc:
                theirs.close()
                self.assertRegex(ours.recv(1000), rb"^(\+OK|220) ")
                self.assertEqual(status(proc.pid)["Uid"].split(), [str(pwd.getpwnam(user).pw_uid)] * 4)
                with Intruder(proc.pid) as p:
                    for role in ("postern_mail", "postern_lmtp", "postern_auth"):
                        self.assertEqual(p.logs_in(socket_file, role, kit.lab.DATABASE), role == own, (user, role))
                    self.assertEqual(p.opens(self.site.lab.spool, os.O_RDWR | os.O_TMPFILE), 0 if own == "postern_lmtp" else "EACCES")
                ours.sendall(b"QUIT\r\n")

    def test_users_are_checked(self):
        listen = f"""metrics_listen = "127.0.0.1:{kit.lab.free_port()}";
            listeners = ( {{ address = "127.0.0.1"; port = {kit.lab.free_port()}; }},
                          {{ address = "127.0.0.1"; port = {kit.lab.free_port()}; protocol = "lmtp"; }} );\n"""
        good = self.site.conf_text
        self.addCleanup(setattr, self.site, "conf_text", good)
        self.site.conf_text = good.replace('lmtp_user = "news";', "")
        for metrics, lmtp, said in (
                ("", "news", "warning: metrics_user"), ("news", "news", "warning: metrics_user"), ("mail", "news", None),
                ("daemon", "news", "metrics_user: must differ from auth_user"), ("root", "news", "is the superuser"),
                ("nosuchuser", "news", "does not exist"), ("mail", "", "warning: lmtp_user"), ("mail", "nobody", "warning: lmtp_user"),
                ("mail", "daemon", "lmtp_user: must differ from auth_user"), ("mail", "root", "lmtp_user: \"root\" is the superuser"),
                ("mail", "nosuchuser", "lmtp_user: user \"nosuchuser\" does not exist"),
                # Whom the database does not know.
                ("news", "mail", 'Peer authentication failed for user "postern_lmtp"')):
            conf = self.site.second(listen + f'metrics_user = "{metrics}"; lmtp_user = "{lmtp}"; lmtp_spool_dir = "/tmp";\n').conf
            done = subprocess.run([str(self.site.lab.posternd), "-c", str(conf), "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False)
            with self.subTest(metrics=metrics, lmtp=lmtp):
                if said is None:
                    self.assertEqual((done.stdout, done.returncode), (f"{conf}: ok\n", 0))
                else:
                    self.assertIn(said, done.stdout)

    def test_master_has_no_client(self):
        """It reads no octet of one: it does not even have the socket."""
        with kit.Pop(self.daemon.address) as pop:
            pop.login(WHO)
            _, port = pop.sock.getsockname()
            ends = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
            inode = next(f[9] for f in ends if f[2].endswith(f":{port:04X}") and f[3] == "01")

            def has(pid):
                return f"socket:[{inode}]" in kit.opened(pid)
            self.assertEqual([pid for pid in self.daemon.pids() if has(pid)], [self.worker])


if __name__ == "__main__":
    unittest.main()
