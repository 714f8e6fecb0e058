"""Every way of being started that etc/ has a file for: units of systemd, super servers, s6.

A real systemd needs to be the first process; here its units are checked by
systemd-analyze, and its way to pass sockets is that of systemd-socket-activate.
"""
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import unittest

import kit
import superserver

WHO = "service@example.org"
ETC = kit.TOP / "etc"
UNITS = ETC / "systemd"
PROTOCOLS = ("pop3", "pop3s", "lmtp")


def moved(text, site, conf):
    """A file of etc/ with our program and configuration in it."""
    return re.sub(r"/usr/local/sbin/posternd\b", f"{site.lab.posternd} -c {conf}", text)


def listener(protocol, port):
    more = {"pop3": "", "pop3s": ' tls = "implicit";', "lmtp": ' protocol = "lmtp";'}[protocol]
    return f'{{ name = "{protocol}"; address = "127.0.0.1"; port = {port};{more} }}'


class ServiceCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("service-", kit.QUICK + "cells = 1;\n", pop3s=True, lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.letters = [kit.letter(n) for n in range(1, 3)]
        cls.site.account(WHO, cls.letters)
        cls.context = ssl.create_default_context(cafile=cls.site.lab.tls / "ca.pem")

    def session(self, protocol, address):
        """One, of this protocol. Returns the client's port."""
        host, _, port = address.rpartition(":")
        sock = socket.create_connection((host, int(port)), timeout=kit.PATIENCE)
        own = sock.getsockname()[1]
        if protocol == "lmtp":
            with sock, sock.makefile("rwb") as f:
                self.assertRegex(f.readline(), b"^220 ")
                f.write(f"LHLO t\r\nMAIL FROM:<a@b>\r\nRCPT TO:<{WHO}>\r\nQUIT\r\n".encode())
                f.flush()
                replies = f.read()
                self.assertRegex(replies, rb"(?m)^250[^\n]*\n250 2\.1\.5[^\n]*\n221 ")
            return own
        if protocol == "pop3s":
            sock = self.context.wrap_socket(sock, server_hostname="localhost")
        with kit.Pop("", sock=sock) as pop:
            pop.login(WHO)
            self.assertEqual(pop.retr(1), self.letters[0])
            pop.ok("QUIT")
        return own

    def logged_since(self, log, size, wanted):
        def there():
            return re.search(wanted, log.read_text(errors="replace")[size:], re.M)
        self.assertTrue(kit.wait_until(there), f"no {wanted} in {log.read_text()[size:]}")

    def conf(self, name, listeners, more=""):
        """A configuration of its own beside the lab's, with a log of its own."""
        log = self.site.dir / f"{name}.log"
        log.touch()
        log.chmod(0o666)
        text = self.site.lab.conf.read_text()
        text = re.sub(r"(?m)^listeners = .*$", f"listeners = ( {', '.join(listeners)} );", text)
        text = re.sub(r"(?m)^log = .*$", f'log = "{log}";', text)
        text = re.sub(r"(?m)^pid_file = .*$", "", text)
        path = self.site.dir / f"{name}.conf"
        path.write_text(text + more + "\n")
        return path, log

    def stop(self, proc, signo=signal.SIGTERM):
        if proc.poll() is None:
            proc.send_signal(signo)
        try:
            return proc.wait(kit.PATIENCE)
        except subprocess.TimeoutExpired:
            proc.kill()
            raise


class SuperServers(ServiceCase):
    def test_sessions(self):
        """Each of them, with each protocol; the log has the client's address."""
        for kind in ("xinetd", "inetd", "inetutils", "tcpserver"):
            for protocol in PROTOCOLS:
                with self.subTest(kind=kind, protocol=protocol):
                    size = self.site.lab.log.stat().st_size
                    server = superserver.start(kind, self.site, protocol=protocol)
                    try:
                        own = self.session(protocol, server.address)
                        self.logged_since(self.site.lab.log, size, rf" peer=127\.0\.0\.1:{own} .*end=quit")
                    finally:
                        server.stop()

    def test_wait(self):
        """GNU's, whose first connection starts posternd; it serves all that follow. (The others: test_daemon.)"""
        server = superserver.start("inetutils", self.site, wait=True)
        try:
            self.session("pop3", server.address)
            masters = sorted(self.site.lab.daemon_pids())
            self.session("pop3", server.address)
            self.assertEqual(sorted(self.site.lab.daemon_pids()), masters)
        finally:
            server.stop()


class Passed(ServiceCase):
    """Each of them starts postern-inetd, which passes the client to the posternd that runs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sockets = {p: cls.site.dir / f"inetd-{p}" for p in ("pop3", "lmtp")}
        conf = cls.site.lab.conf
        conf.write_text(re.sub(r"(?m)^(listeners = .*) \);$", r"\1, " + ", ".join(
            f'{{ address = "{place}"; passed = true; protocol = "{p}"; }}' for p, place in cls.sockets.items()) + " );",
            conf.read_text()))
        cls.site.ctl("reload")

    def program(self, protocol, *more):
        return [kit.lab.build_dir() / "postern-inetd", f"--socket={self.sockets['lmtp' if protocol == 'lmtp' else 'pop3']}", *more]

    def by_worker(self, size, own):
        self.logged_since(self.site.lab.log, size, rf"posternd worker 1\S+ \S+ (lmtp )?session .*peer=127\.0\.0\.1:{own} .*end=quit")

    def test_super_servers(self):
        for kind in ("xinetd", "inetd", "inetutils", "tcpserver"):
            for protocol in PROTOCOLS:
                with self.subTest(kind=kind, protocol=protocol):
                    size = self.site.lab.log.stat().st_size
                    server = superserver.start(kind, self.site, protocol=protocol, program=self.program(protocol))
                    try:
                        self.by_worker(size, self.session(protocol, server.address))
                    finally:
                        server.stop()

    def test_systemd(self):
        """Accept=yes; what the units say is replaced by the line of their comment."""
        for protocol, unit in (("pop3", "posternd@.service"), ("pop3s", "posternd-pop3s@.service"), ("lmtp", "posternd-lmtp@.service")):
            with self.subTest(unit=unit):
                line = re.search(r"(?m)^#\s*ExecStart=-\S+/postern-inetd (.*)$", (UNITS / unit).read_text()).group(1)
                size, port = self.site.lab.log.stat().st_size, kit.lab.free_port()
                Systemd.activate(self, ["-l", f"127.0.0.1:{port}", "--accept", "--inetd"],
                                 [str(word) for word in self.program(protocol, *line.split())])
                self.by_worker(size, self.session(protocol, f"127.0.0.1:{port}"))

    def held(self, server):
        host, _, port = server.address.rpartition(":")
        sock = socket.create_connection((host, int(port)), timeout=kit.PATIENCE)
        self.addCleanup(sock.close)
        return kit.Pop("", sock=sock)

    def test_who_counts_processes(self):
        """xinetd's instances and tcpserver's -c hold sessions with --stay, and not without."""
        for kind in ("xinetd", "tcpserver"):
            for stay in (True, False):
                with self.subTest(kind=kind, stay=stay):
                    program = self.program("pop3", *(["--stay"] if stay else []))
                    server = self.few(kind, program)
                    try:
                        sessions = [self.held(server), self.held(server)]
                        if stay:
                            self.assertFalse(self.gets_in(server))
                            sessions.pop().ok("QUIT")
                        # Where one has left there is room again; without --stay there always is.
                        self.assertTrue(kit.wait_until(lambda: self.gets_in(server)))
                    finally:
                        server.stop()

    def gets_in(self, server):
        host, _, port = server.address.rpartition(":")
        try:
            # One that has to wait for room is none that got in.
            with socket.create_connection((host, int(port)), timeout=3) as sock:
                kit.Pop("", sock=sock)
            return True
        except (EOFError, OSError):
            return False

    def few(self, kind, program):
        """With room for two."""
        port = kit.lab.free_port()
        words = [str(word) for word in program]
        if kind == "xinetd":
            conf = self.site.dir / "few.conf"
            text = superserver.xinetd_conf(self.site, port, False, "--inetd", words)
            conf.write_text(re.sub(r"(instances +=) \d+", r"\1 2", text))
            argv = ["/usr/sbin/xinetd", "-dontfork", "-f", str(conf), "-pidfile", str(self.site.dir / "few.pid")]
        else:
            argv = superserver.tcpserver_argv(self.site, port, "pop3", words)
            argv[argv.index("-c") + 1] = "2"
        return superserver.SuperServer(argv, f"127.0.0.1:{port}", self.site.dir / "few.log")


class Systemd(ServiceCase):
    def units(self):
        """All units, with the programs that are tested."""
        place = self.site.dir / "units"
        place.mkdir(exist_ok=True)
        for unit in UNITS.iterdir():
            text = unit.read_text().replace("/usr/local/sbin/", f"{kit.lab.build_dir()}/")
            (place / unit.name).write_text(text)
        return [p for p in sorted(place.iterdir()) if p.suffix != ".conf"]

    def test_verify(self):
        units = self.units()
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, units)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        ours = [line for line in done.stdout.splitlines() if "postern" in line]
        self.assertEqual(ours, [])

    def test_security(self):
        """Exposure of 2.0 or better."""
        for unit in self.units():
            if unit.suffix == ".service":
                done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout)

    def start_of(self, unit, conf):
        line = re.search(r"(?m)^ExecStart=-?(.*)$", (UNITS / unit).read_text()).group(1)
        return moved(line, self.site, conf).split()

    def activate(self, options, argv):
        proc = subprocess.Popen(["systemd-socket-activate", *options, *argv], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=kit.lab.plain_env())
        self.addCleanup(self.stop, proc)
        port = options[options.index("-l") + 1].rpartition(":")[2]

        def listens():
            return f":{int(port):04X} 00000000:0000 0A" in pathlib.Path("/proc/net/tcp").read_text()
        self.assertTrue(kit.wait_until(listens))
        return proc

    def test_named_sockets(self):
        """posternd.service: sockets come in an order that is not the configuration's."""
        ports = {p: kit.lab.free_port() for p in PROTOCOLS}
        names = {re.search(r"(?m)^FileDescriptorName=(.*)$", p.read_text()).group(1) for p in UNITS.glob("*.socket")}
        self.assertEqual(names, set(PROTOCOLS) | {"inetd-pop3"})
        conf, log = self.conf("named", [listener(p, ports[p]) for p in PROTOCOLS])
        order = ("lmtp", "pop3s", "pop3")
        listen = [word for p in order for word in ("-l", f"127.0.0.1:{ports[p]}")]
        proc = self.activate([*listen, "--fdname=" + ":".join(order)], self.start_of("posternd.service", conf))
        for protocol in PROTOCOLS:
            self.session(protocol, f"127.0.0.1:{ports[protocol]}")
        proc.send_signal(signal.SIGHUP)             # they are kept
        self.logged_since(log, 0, "cells with the new configuration")
        for protocol in PROTOCOLS:
            self.session(protocol, f"127.0.0.1:{ports[protocol]}")
        self.assertEqual(self.stop(proc), 0)

    def test_name_of_no_listener(self):
        """Rather not started than a port for TLS without."""
        port = kit.lab.free_port()
        conf, _ = self.conf("unknown", [listener("pop3", port)])
        proc = self.activate(["-l", f"127.0.0.1:{port}", "--fdname=other"], self.start_of("posternd.service", conf))
        with socket.create_connection(("127.0.0.1", port), timeout=kit.PATIENCE):
            self.assertEqual(proc.wait(kit.PATIENCE), 1)

    def test_accept(self):
        """posternd@.service and its like."""
        for protocol, unit in (("pop3", "posternd@.service"), ("pop3s", "posternd-pop3s@.service"), ("lmtp", "posternd-lmtp@.service")):
            with self.subTest(unit=unit):
                self.assertIn("\nStandardInput=socket\n", (UNITS / unit).read_text())
                port = kit.lab.free_port()
                size = self.site.lab.log.stat().st_size
                self.activate(["-l", f"127.0.0.1:{port}", "--accept", "--inetd"], self.start_of(unit, self.site.lab.conf))
                own = self.session(protocol, f"127.0.0.1:{port}")
                self.logged_since(self.site.lab.log, size, rf" peer=127\.0\.0\.1:{own} .*end=quit")

    def test_notify(self):
        """Type=notify, and the watchdog as long as somebody accepts."""
        path = self.site.dir / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(path))
            manager.settimeout(kit.PATIENCE)

            def until(state):
                while (said := manager.recv(200)) != state:
                    self.assertEqual(said, b"WATCHDOG=1")
            port = kit.lab.free_port()
            conf, _ = self.conf("notify", [listener("pop3", port)], 'respawn_pause = "10m";')
            proc = subprocess.Popen(self.start_of("posternd.service", conf),
                                    env=kit.lab.plain_env(NOTIFY_SOCKET=str(path), WATCHDOG_USEC="200000"))
            self.addCleanup(self.stop, proc)
            until(b"READY=1")
            self.session("pop3", f"127.0.0.1:{port}")
            until(b"WATCHDOG=1")
            until(b"WATCHDOG=1")
            proc.send_signal(signal.SIGHUP)
            until(b"RELOADING=1")
            until(b"READY=1")
            proc.send_signal(signal.SIGTERM)
            until(b"STOPPING=1")
            self.assertEqual(proc.wait(kit.PATIENCE), 0)


class S6(ServiceCase):
    def test_service_directory(self):
        port = kit.lab.free_port()
        conf, log = self.conf("s6", [listener("pop3", port)])
        place = self.site.dir / "s6" / "posternd"
        shutil.copytree(ETC / "s6" / "posternd", place)
        run = place / "run"
        run.write_text(moved(run.read_text(), self.site, conf))
        proc = subprocess.Popen(["s6-supervise", str(place)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, env=kit.lab.plain_env())
        try:
            # It makes them one after the other, and s6-svwait wants both.
            self.assertTrue(kit.wait_until(lambda: all((place / "supervise" / name).exists() for name in ("control", "status"))))
            # -U: not merely started, but ready.
            subprocess.run(["s6-svwait", "-U", "-t", "10000", str(place)], check=True)
            self.session("pop3", f"127.0.0.1:{port}")
            subprocess.run(["s6-svc", "-h", str(place)], check=True)
            self.logged_since(log, 0, "cells with the new configuration")
            self.session("pop3", f"127.0.0.1:{port}")
        finally:
            subprocess.run(["s6-svc", "-wD", "-T", "15000", "-d", str(place)], check=False)
            subprocess.run(["s6-svc", "-x", str(place)], check=False)
            self.stop(proc)
        self.logged_since(log, 0, "posternd has stopped")


if __name__ == "__main__":
    unittest.main()
