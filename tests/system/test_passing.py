"""Clients that a program was started for (inetd), passed to the posternd that runs: postern-inetd, posternd --inetd, the attacks."""
import array
import contextlib
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import unittest

import kit

WHO = "passed@example.org"
LETTERS = [kit.letter(1), kit.letter(2)]
TLS, STAY = 1, 2
NOBODY = 65534


def message(protocol=b"pop3", flags=0, magic=b"postern1"):
    return struct.pack("8s16sI", magic, protocol, flags)


@contextlib.contextmanager
def pair():
    """The client's end of a connection over TCP, and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname(), kit.PATIENCE) as client:
        server, _ = door.accept()
        with server:
            yield client, server


class PassingCase(unittest.TestCase):
    MORE = ""

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("passing-", kit.QUICK, pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.socket = {name: str(cls.site.dir / name) for name in ("pop3", "lmtp", "proxied")}
        # Whoever cannot read the configuration, and has no user of the database, can reach the sockets.
        cls.site.dir.chmod(0o711)
        cls.site.up(kit.QUICK + 'cells = 1;\nlog_level = "debug";\n' + cls.MORE + f"""
            listeners = ( {{ address = "127.0.0.1"; port = {kit.lab.free_port()}; }},
                {{ address = "{cls.socket["pop3"]}"; passed = true; mode = "0666"; allow = "user:root"; default_domain = "example.org"; }},
                {{ address = "{cls.socket["lmtp"]}"; passed = true; protocol = "lmtp"; allow = "user:nobody"; }},
                {{ address = "{cls.socket["proxied"]}"; passed = true; proxy = "127.0.0.1"; }} );
            """)
        cls.site.account(WHO, LETTERS)
        cls.workers = cls.find_workers()

    @classmethod
    def find_workers(cls):
        return sorted(pid for pid in cls.site.lab.daemon_pids() if cls.name(pid).startswith("posternd w"))

    def reload(self):
        """None of the workers from before is there any more: for a moment both take clients."""
        before = set(self.find_workers())
        self.site.ctl("reload")
        self.assertTrue(kit.wait_until(lambda: (now := self.find_workers()) and not before & set(now)))

    @staticmethod
    def name(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/comm").read_text()
        except OSError:
            return ""

    @classmethod
    def argv(cls, *args, program="postern-inetd", to="pop3"):
        more = [f"--socket={cls.socket[to]}"] if program == "postern-inetd" else ["--inetd"]
        return [str(cls.site.lab.posternd.parent / program), *more, "-c", str(cls.site.lab.conf), *args]

    def start(self, client, *args, **kw):
        """The program, as inetd starts it: it has the only descriptors."""
        with client:
            proc = subprocess.Popen(self.argv(*args, **kw), stdin=client, stdout=client, stderr=client, env=kit.lab.plain_env())
        self.addCleanup(self.end, proc)
        return proc

    def end(self, proc):
        """Its client has gone, so it ends by itself."""
        try:
            proc.wait(kit.PATIENCE)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()
            raise

    @contextlib.contextmanager
    def passed(self, *args, **kw):
        """A session that has begun, and the program."""
        with pair() as (client, server):
            proc = self.start(server, *args, **kw)
            with kit.Pop("", sock=client) as pop:
                yield pop, proc

    def since(self):
        return len(self.site.log_text())

    def logged(self, pattern, since=0):
        self.assertTrue(kit.wait_until(lambda: re.search(pattern, self.site.log_text()[since:])),
                        f"{pattern} is not in the log{self.site.log_tail()}")

    def assertServes(self):
        """The same workers as ever, and nothing of theirs is left open."""
        with self.passed() as (pop, _):
            pop.login(WHO)
            pop.ok("QUIT")
        self.assertEqual(self.find_workers(), self.workers)


class Passed(PassingCase):
    def test_leaves_at_once(self):
        """The session is the worker's, with the address of the client; the listener's options are the session's."""
        for program in ("postern-inetd", "posternd"):
            with self.subTest(program=program):
                since = self.since()
                with self.passed(program=program) as (pop, proc):
                    self.assertEqual(proc.wait(kit.PATIENCE), 0)
                    pop.login(WHO.partition("@")[0])
                    self.assertEqual(pop.retr(1), LETTERS[0])
                    own = pop.sock.getsockname()[1]
                    pop.ok("QUIT")
                    self.assertTrue(pop.at_end())
                self.logged(rf'posternd worker 1\[\d+\]: \w+ session user="{WHO}" peer=127\.0\.0\.1:{own} .*end=quit', since)

    def test_stays(self):
        for args in (("--stay",), ("--stay", "--tls")):
            with self.subTest(args=args), pair() as (client, server):
                proc = self.start(server, *args)
                if "--tls" in args:
                    context = ssl.create_default_context(cafile=self.site.lab.tls / "ca.pem")
                    client = context.wrap_socket(client, server_hostname="localhost")
                with kit.Pop("", sock=client) as pop:
                    pop.login(WHO)
                    self.assertIsNone(proc.poll())
                    pop.ok("QUIT")
                    self.assertTrue(pop.at_end())
                    self.assertEqual(proc.wait(kit.PATIENCE), 0)

    def test_its_end_is_the_session_s(self):
        """Whoever kills the program that stayed wants the session to end; nothing is deleted, as under --inetd alone."""
        since = self.since()
        with self.passed("--stay") as (pop, proc):
            pop.login(WHO)
            pop.ok("DELE 1")
            proc.terminate()
            self.assertTrue(pop.at_end())
        self.logged("end=drain", since)
        self.assertEqual(self.site.fetched(WHO), LETTERS)

    def test_pipes(self):
        """ssh: octets go both ways through the program, which ends with the session; also where the other side ends first."""
        said = b"USER %s\r\nPASS %s\r\nRETR 1\r\nRETR 2\r\n" % (WHO.encode(), kit.PASSWORD.encode())
        for more, last in ((b"QUIT\r\n", "quit"), (b"", "eof")):
            since = self.since()
            done = subprocess.run(self.argv(), input=said + more, stdout=subprocess.PIPE, timeout=kit.PATIENCE, check=True)
            for letter in LETTERS:
                self.assertIn(letter, done.stdout)
            self.logged(rf"worker 1.* peer=unix .*end={last}", since)

    def test_pipe_that_nobody_reads(self):
        since = self.since()
        with subprocess.Popen(self.argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as proc:
            proc.stdout.readline()
            proc.stdout.close()
            proc.stdin.write(b"CAPA\r\n")
            proc.stdin.flush()
            self.assertEqual(proc.wait(kit.PATIENCE), 0)
        self.logged(r"worker 1.* session .*end=(lost|eof)", since)

    def test_one_unix_socket(self):
        """sshd's: it ends the connection when its command ends, so the program stays."""
        client, server = socket.socketpair()
        with client:
            proc = self.start(server)
            with kit.Pop("", sock=client) as pop:
                pop.login(WHO)
                self.assertIsNone(proc.poll())
                pop.ok("QUIT")
            self.assertEqual(proc.wait(kit.PATIENCE), 0)

    def test_lmtp(self):
        since = self.since()
        with pair() as (client, server):
            self.start(server, "--inetd=lmtp", to="lmtp")
            with client.makefile("rwb") as f:
                self.assertRegex(f.readline(), b"^220 ")
                f.write(f"LHLO t\r\nMAIL FROM:<a@b>\r\nRCPT TO:<{WHO}>\r\nQUIT\r\n".encode())
                f.flush()
                self.assertRegex(f.read(), rb"(?m)^250 2\.1\.5")
        self.logged(r"worker 1.* lmtp session peer=127", since)
        # By a pipe it is root who delivers, who passed it.
        done = subprocess.run(self.argv("--inetd=lmtp", to="lmtp"), input=b"LHLO t\r\nQUIT\r\n", stdout=subprocess.PIPE,
                              timeout=kit.PATIENCE, check=True)
        self.assertRegex(done.stdout, rb"(?s)^220 .*\n221 ")

    def test_proxy(self):
        since = self.since()
        for args in ((), ("--stay",)):
            with pair() as (client, server):
                self.start(server, *args, to="proxied")
                client.sendall(b"PROXY TCP4 192.0.2.77 198.51.100.2 4242 110\r\n")
                with kit.Pop("", sock=client) as pop:
                    pop.ok("QUIT")
                    self.assertTrue(pop.at_end())
        self.logged(r"start peer=192\.0\.2\.77:4242", since)
        # One without a header: who stayed hears of its end too.
        with pair() as (client, server):
            proc = self.start(server, "--stay", to="proxied")
            client.sendall(b"QUIT\r\n")
            self.assertEqual(proc.wait(kit.PATIENCE), 0)

    def test_kick(self):
        with self.passed() as (pop, _):
            pop.login(WHO)
            self.assertIn(WHO.encode(), self.site.ctl("kick", WHO).stdout)
            self.assertTrue(pop.at_end())

    def test_reload_and_upgrade(self):
        """The socket is the same one afterwards, and a session of before goes on."""
        inode = os.stat(self.socket["pop3"]).st_ino
        with self.passed("--stay") as (pop, proc):
            pop.login(WHO)
            self.site.ctl("reload")
            self.site.ctl("upgrade")
            self.assertEqual(os.stat(self.socket["pop3"]).st_ino, inode)
            with self.passed() as (other, _):
                other.ok("CAPA")
            pop.ok("NOOP")
            self.assertIsNone(proc.poll())
            pop.ok("QUIT")
        self.assertEqual(proc.wait(kit.PATIENCE), 0)
        type(self).workers = self.find_workers()


class Alone(PassingCase):
    """Where nobody takes the client it is served by the program itself, which has read nothing of it."""

    # Sent before the program is started: whoever reads it must have all of it.
    SAID = b"USER %s\r\nPASS %s\r\nSTAT\r\nQUIT\r\n" % (WHO.encode(), kit.PASSWORD.encode())

    def alone(self, *args, **kw):
        since = self.since()
        with pair() as (client, server):
            client.sendall(self.SAID)
            self.start(server, *args, **kw)
            with client.makefile("rb") as f:
                self.assertRegex(f.read(), rb"(?s)^\+OK[^\n]*\n\+OK[^\n]*\n\+OK[^\n]*\n\+OK 2 [^\n]*\n\+OK[^\n]*\n$")
        self.logged(rf'posternd\[\d+\]: \w+ session user="{WHO}" .*end=quit', since)

    def test_option(self):
        self.alone("--alone", program="posternd")

    def test_no_socket(self):
        self.alone("--socket=/nonexistent/inetd")

    def test_refused(self):
        """By a listener of another protocol."""
        self.alone(f"--socket={self.socket['lmtp']}")

    def test_stopped(self):
        """A worker that does not answer in time cannot take the client later."""
        type(self).workers = self.find_workers()
        for pid in self.workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.alone()
        finally:
            for pid in self.workers:
                os.kill(pid, signal.SIGCONT)
        self.logged(r"passed a client and has gone")
        self.assertServes()

    def test_full(self):
        self.site.lab.conf.write_text(self.site.lab.conf.read_text() + "sessions_per_worker = 1;\n")
        self.reload()
        with self.passed():
            self.alone()
        self.site.lab.conf.write_text(self.site.lab.conf.read_text().replace("sessions_per_worker = 1;\n", ""))
        self.reload()

    def test_no_database_before_a_login(self):
        """Who only looks costs no connection to it; a name and a password cost the two that a session has."""
        place = self.site.dir / "nodb"
        place.mkdir(mode=0o755)
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(place / ".s.PGSQL.5432"))
            os.chmod(place / ".s.PGSQL.5432", 0o777)
            door.listen()
            door.settimeout(0)
            conf = self.site.dir / "nodb.conf"
            conf.write_text(re.sub(r'(?m)^database = .*$', f'database = "host={place} port=5432 dbname=x";',
                                   self.site.lab.conf.read_text()))
            with pair() as (client, server):
                self.start(server, "--alone", "-c", str(conf), program="posternd")
                with kit.Pop("", sock=client) as pop:
                    pop.multi("CAPA")
                    pop.ok(f"USER {WHO}")
                    self.assertRaises(BlockingIOError, door.accept)
                    pop.send(f"PASS {kit.PASSWORD}\r\n")
                    door.settimeout(kit.PATIENCE)
                    door.accept()[0].close()
                    door.accept()[0].close()
                    self.assertRegex(pop.line(), rb"^-ERR \[SYS/TEMP\]")

    def test_options_that_there_are_not(self):
        """What is wrong is said in the words of the protocol."""
        with pair() as (client, server):
            proc = self.start(server, "--no-such-option")
            with client.makefile("rb") as f:
                self.assertEqual(f.read(), b"-ERR [SYS/PERM] server misconfigured\r\n")
            self.assertEqual(proc.wait(kit.PATIENCE), 2)


class Attacks(PassingCase):
    """What is passed is a stranger's, until it was looked at."""

    @contextlib.contextmanager
    def connected(self, to="pop3"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(kit.PATIENCE)
            sock.connect(self.socket[to])
            yield sock

    @staticmethod
    def send(sock, data, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sock.sendmsg([data], control)

    def refused(self, data, fds=(), to="pop3", why=None):
        since = self.since()
        with self.connected(to) as sock:
            self.send(sock, data, fds)
            self.assertIn(sock.recv(10), (b"R", b""))
        self.logged(why or "was refused to pass a client|not logged again", 0 if why is None else since)

    def taken(self, sock):
        self.assertEqual(sock.recv(10), b"T")

    def tearDown(self):
        self.assertServes()

    def test_forms(self):
        with pair() as (_, server):
            fd = [server.fileno()]
            good = message()
            for data in (b"x", good[:-1], good + b"x", message(magic=b"postern2"), message(flags=4), message(flags=1 << 31),
                         message(protocol=b""), message(protocol=b"pop3" * 4), message(protocol=b"imap"), message(protocol=b"lmtp"),
                         bytes(28), os.urandom(28), os.urandom(5000)):
                with self.subTest(data=data[:30]):
                    self.refused(data, fd)

    def test_descriptors(self):
        with contextlib.ExitStack() as stack:
            client, server = stack.enter_context(pair())
            file = stack.enter_context(tempfile.TemporaryFile())
            reading, writing = os.pipe()
            stack.callback(os.close, reading)
            stack.callback(os.close, writing)
            path = os.open(self.socket["pop3"], os.O_PATH)
            stack.callback(os.close, path)
            others = [stack.enter_context(sock) for sock in (
                socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
                socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), *socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))]
            for fds in ([], [file.fileno()], [reading], [writing], [path], *([o.fileno()] for o in others),
                        [server.fileno()] * 2, [server.fileno(), file.fileno()], [server.fileno()] * 200):
                with self.subTest(fds=len(fds)):
                    self.refused(message(), fds)
            # It was its alone all the time.
            server.sendall(b"mine")
            self.assertEqual(client.recv(10), b"mine")

    def test_nothing_is_left_open(self):
        with pair() as (_, server), tempfile.TemporaryFile() as file:
            before = kit.opened(self.workers[0])
            for _ in range(20):
                self.refused(message(), [server.fileno(), file.fileno()])
                self.refused(message(flags=8), [server.fileno()])
            self.assertTrue(kit.wait_until(lambda: kit.opened(self.workers[0]) == before))

    def test_socket_without_a_client(self):
        """Never connected: it is taken, and found to be nobody's."""
        with self.connected() as sock, socket.socket() as client:
            self.send(sock, message(flags=STAY), [client.fileno()])
            self.taken(sock)
            self.assertEqual(sock.recv(10), b"")

    def test_no_certificate_no_tls(self):
        """LMTP has none."""
        with pair() as (_, server):
            self.refused(message(b"lmtp", TLS), [server.fileno()], to="lmtp")

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_other_users(self):
        """By the mode of the socket, or by `allow`."""
        code = ("import array, socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); a, b = socket.socketpair()\n"
                "try: s.sendmsg([bytes.fromhex(sys.argv[2])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [a.fileno()]))])\n"
                "except BrokenPipeError: pass\n"
                "print(s.recv(1))")

        def attempt(to, protocol):
            return subprocess.run(["python3", "-c", code, self.socket[to], message(protocol).hex()], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, check=False, user=NOBODY, group=NOBODY, extra_groups=[])
        denied = attempt("proxied", b"pop3")
        self.assertIn("Permission denied", denied.stderr)
        refused = attempt("pop3", b"pop3")
        self.assertRegex(refused.stdout + refused.stderr, r"b'R?'|reset")

    def test_silence(self):
        """Who passes nothing is closed; before it the others come in all the same."""
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(self.connected()) for _ in range(20)]
            self.assertServes()
            for sock in silent:
                self.assertIn(sock.recv(10), (b"R", b""))

    def test_flood(self):
        """More silent ones than may wait: the rest is closed at once, and a good one takes its turn."""
        with contextlib.ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(self.connected())
            with self.passed() as (pop, _):
                pop.ok("QUIT")

    def test_mode_of_other_holders(self):
        """Who passed the socket still has it: nothing that they do to it makes the worker wait."""
        with pair() as (client, server), self.connected() as sock:
            self.send(sock, message(), [server.fileno()])
            self.taken(sock)
            server.setblocking(True)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 1000, 0))
            with kit.Pop("", sock=client) as pop:
                pop.ok("CAPA")
                self.assertServes()

    def test_limits_by_address(self):
        """The worker asks the kernel for it, so a flood by this way is that of its address."""
        self.site.lab.conf.write_text(self.site.lab.conf.read_text() + "pop3_limit_sessions = 2; pop3_limit_exempt = \"\";\n")
        self.reload()
        type(self).workers = []
        with self.passed(), self.passed(), pair() as (client, server):
            self.start(server)
            with client.makefile("rb") as f:
                self.assertRegex(f.readline(), rb"^-ERR \[SYS/TEMP\] too many")
        self.site.lab.conf.write_text(self.site.lab.conf.read_text().replace("pop3_limit_sessions = 2; pop3_limit_exempt = \"\";\n", ""))
        self.reload()
        type(self).workers = self.find_workers()


if __name__ == "__main__":
    unittest.main()
