"""N10: the PROXY protocol, from a socket that says anything, and from haproxy, nginx and stunnel by the samples of etc/."""
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import unittest

import kit
from tlskit import WHO, context

V1 = b"PROXY TCP4 192.0.2.77 198.51.100.2 4242 110\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command=0x21, family=0x11, addresses=None, tlvs=b""):
    if addresses is None:
        addresses = socket.inet_aton("192.0.2.77") + socket.inet_aton("198.51.100.2") + struct.pack("!HH", 4242, 110)
    body = addresses + tlvs
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def tls_facts(client=1, verify=0, name=None):
    more = tlv(0x21, b"TLSv1.3") + tlv(0x23, b"TLS_AES_128_GCM_SHA256") + (tlv(0x22, name) if name else b"")
    return tlv(0x20, struct.pack("!BI", client, verify) + more)


class ProxyCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("proxy-", pop3s=True, lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.letters = [kit.letter(n) for n in range(1, 4)]
        cls.site.account(WHO, cls.letters)

    @classmethod
    def start(cls, listeners, more=""):
        """Another posternd, with these listeners behind a plain one."""
        plain = kit.lab.free_port()
        tls = cls.site.lab.tls
        second = cls.site.second(
            f'log_level = "debug";\ntls_certificate = "{tls}/localhost.pem"; tls_key = "{tls}/localhost.key";\n'
            f'lmtp_spool_dir = "{cls.site.lab.spool}";\n'
            f'listeners = ( {{ address = "127.0.0.1"; port = {plain}; }}, {listeners} );\n{more}')
        second.address = f"127.0.0.1:{plain}"
        second.start("--foreground")
        cls.addClassCleanup(second.stop)
        return second

    def logged(self, pattern, since=0):
        self.assertTrue(kit.wait_until(lambda: re.search(pattern, self.second.log.read_text()[since:])),
                        f"{pattern} is not in the log{kit.lab.tail(self.second.log)}")

    def session(self, pop):
        """A login, mail, and an end."""
        pop.login(WHO)
        self.assertEqual(pop.retr(2), self.letters[1])
        pop.ok("QUIT")


class Headers(ProxyCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        names = ("local", "always", "implicit", "facts", "names", "names_only", "foreign", "lmtp", "lmtp_none")
        cls.ports = {name: kit.lab.free_port() for name in names}
        cls.path = str(cls.site.dir / "proxy.sock")
        more = {
            "local": 'proxy = "127.0.0.1";',
            "always": 'proxy = "::1, 127.0.0.0/8"; cleartext_login = "always";',
            "implicit": 'proxy = "127.0.0.1"; tls = "implicit";',
            "facts": 'proxy = "127.0.0.1"; proxy_tls = true;',
            "names": 'proxy = "127.0.0.1"; proxy_tls = true; client_identity = "cn";',
            "names_only": 'proxy = "127.0.0.1"; client_identity = "cn";',
            "foreign": 'proxy = "192.0.2.0/24 2001:db8::/32"; cleartext_login = "always";',
            "lmtp": 'proxy = "127.0.0.1"; protocol = "lmtp"; allow = "192.0.2.0/25";',
            "lmtp_none": 'proxy = "127.0.0.1"; protocol = "lmtp";',
        }
        rows = [f'{{ address = "127.0.0.1"; port = {port}; {more[name]} }}' for name, port in cls.ports.items()]
        rows.append(f'{{ address = "{cls.path}"; proxy = "unix"; cleartext_login = "always"; }}')
        cls.second = cls.start(", ".join(rows))

    def connect(self, name, *octets, greet=True):
        sock = socket.create_connection(("127.0.0.1", self.ports[name]), timeout=kit.PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in octets:
            sock.sendall(part)
        return kit.Pop("", sock=sock, greet=greet)

    def test_versions(self):
        """The address that is told is the one that is logged, and shown."""
        v6 = socket.inet_pton(socket.AF_INET6, "2001:db8::77") + socket.inet_pton(socket.AF_INET6, "2001:db8::2") + struct.pack("!HH", 4243, 110)
        for header, peer in ((V1, "192.0.2.77:4242"), (v2(), "192.0.2.77:4242"), (v2(0x21, 0x21, v6), "[2001:db8::77]:4243"),
                             (b"PROXY TCP6 2001:db8::78 ::1 1 2\r\n", "[2001:db8::78]:1"),
                             (v2(tlvs=tlv(0xE0, b"x" * 3000)), "192.0.2.77:4242"), (v2(0x21, 0x31, b"\0" * 216), "unix")):
            with self.subTest(header=header[:60]):
                since = len(self.second.log.read_text())
                with self.connect("always", header) as pop:
                    pop.login(WHO)
                    shown = self.site.ctl("sessions").stdout.decode()
                    self.assertIn(peer, shown)
                    pop.ok("QUIT")
                self.logged(rf'login user="{WHO}" peer={re.escape(peer)} result=ok', since)

    def test_one_segment_and_many(self):
        """What follows the header is the client's, and no octet of it is lost."""
        for header in (V1, v2()):
            with self.connect("always", header + b"CAPA\r\nQUIT\r\n") as pop:
                self.assertTrue(pop.line().startswith(b"+OK"))
                pop.body()
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertTrue(pop.at_end())
            with self.connect("always", *(bytes([octet]) for octet in header)) as pop:
                self.session(pop)

    def test_cleartext(self):
        """Nobody who comes by a proxy is local, whatever is told."""
        for header in (V1, b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", b"PROXY UNKNOWN\r\n", v2(0x20), v2(0x21, 0x31, b"\0" * 216)):
            with self.subTest(header=header), self.connect("local", header) as pop:
                lines = pop.multi("CAPA")
                self.assertNotIn(b"USER", lines)
                self.assertIn(b"STLS", lines)
                pop.err("USER " + WHO)
                pop.ok("STLS")
                pop.sock = context(self.site).wrap_socket(pop.sock, server_hostname="localhost")
                self.session(pop)

    def test_implicit(self):
        """The header comes in front of the handshake, also in the same segment with it."""
        ctx = context(self.site)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ctx.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        for header in (V1, v2()):
            with self.subTest(header=header[:8]):
                with self.connect("implicit", header, greet=False) as pop:
                    sock = ctx.wrap_socket(pop.sock, server_hostname="localhost")
                    self.session(kit.Pop("", sock=sock))
        with self.connect("implicit", V1 + outgoing.read(), greet=False) as pop:
            for _ in range(10):
                incoming.write(pop.sock.recv(65536))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    pass
            self.assertEqual(tls.version(), "TLSv1.3")

    def test_local_and_unknown(self):
        """A health check is served, under the proxy's own address."""
        for header in (v2(0x20), v2(0x20, 0, b""), b"PROXY UNKNOWN\r\n", v2(0x21, 0, b"")):
            with self.subTest(header=header), self.connect("always", header) as pop:
                since = len(self.second.log.read_text())
                self.session(pop)
                self.logged(rf'login user="{WHO}" peer=127.0.0.1:\d+ result=ok', since)

    def test_refused(self):
        """Closed without a word, and logged."""
        bad = (b"USER anna\r\n", b"\x16\x03\x01\x02\0\x01\0", b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 192.0.2.1 x 1 2\r\n",
               b"PROXY UNKNOWN " + b"x" * 200, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", v2(0x22), v2(0x21, 0x12), v2(addresses=b"short"),
               v2(tlvs=b"\x20\xff\xff"), SIGNATURE + b"\x21\x11\xff\xff", SIGNATURE[:-1] + b"x")
        for name in ("always", "implicit"):
            for data in bad:
                with self.subTest(name=name, data=data[:30]):
                    since = len(self.second.log.read_text())
                    with self.connect(name, data, greet=False) as pop:
                        self.assertTrue(pop.at_end())
                    self.logged(r"proxy=127.0.0.1:\d+ closed: .*header", since)
        since = len(self.second.log.read_text())
        self.connect("always", V1[:20], greet=False).close()
        self.logged("the connection ended within the PROXY header", since)

    def test_foreign(self):
        """Whoever is not named is not listened to."""
        for data in (V1, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", v2(), b""):
            since = len(self.second.log.read_text())
            with self.connect("foreign", greet=False) as pop:
                try:
                    pop.send(data)
                except OSError:
                    pass
                self.assertTrue(pop.at_end())
            self.logged(r"proxy=127.0.0.1:\d+ closed: not in `proxy` of the listener", since)

    def test_silence(self):
        """A header that does not come, or stops, is not waited for; a neighbour does not notice."""
        waiting = [self.connect("always", V1[:n], greet=False) for n in (0, 1, 30)] + [self.connect("implicit", v2()[:n], greet=False) for n in (0, 20)]
        with self.connect("always", V1) as pop:
            self.session(pop)
        for pop in waiting:
            self.assertTrue(pop.at_end(12))
            pop.close()
        self.logged("no PROXY header received in time")

    def test_told_of_tls(self):
        """Believed where proxy_tls says so: no STLS, a login as with TLS, and the log says by what."""
        with self.connect("facts", v2(tlvs=tls_facts())) as pop:
            lines = pop.multi("CAPA")
            self.assertIn(b"USER", lines)
            self.assertNotIn(b"STLS", lines)
            pop.err("STLS")
            self.session(pop)
        self.logged(rf'login user="{WHO}" peer=192.0.2.77:4242 tls=TLSv1.3 cipher=TLS_AES_128_GCM_SHA256 result=ok')
        for name, header in (("local", v2(tlvs=tls_facts())), ("facts", v2()), ("facts", V1), ("facts", v2(tlvs=tls_facts(client=0))),
                             ("facts", v2(0x20, tlvs=tls_facts()))):
            with self.subTest(name=name, header=header[:16]), self.connect(name, header) as pop:
                lines = pop.multi("CAPA")
                self.assertNotIn(b"USER", lines)
                self.assertIn(b"STLS", lines)
                pop.err("USER " + WHO)

    def test_told_of_a_certificate(self):
        """The name in it is the client's address where the listener says so, and the proxy has found it good."""
        self.site.ctl("certificate", WHO)
        name = WHO.encode()
        for port, header, want in (("names", tls_facts(7, 0, name), True), ("names", tls_facts(5, 0, name), True),
                                   ("names", tls_facts(1, 0, name), False), ("names", tls_facts(7, 1, name), False),
                                   ("names", tls_facts(6, 0, name), False), ("names", tls_facts(7, 0, b"anna"), False),
                                   ("facts", tls_facts(7, 0, name), False), ("names_only", tls_facts(7, 0, name), False)):
            with self.subTest(port=port, header=header[:8]), self.connect(port, v2(tlvs=header)) as pop:
                self.assertEqual(b"EXTERNAL" in b" ".join(pop.multi("CAPA")), want)
                self.assertEqual(pop.cmd("AUTH EXTERNAL =").startswith(b"+OK"), want)
                pop.ok("QUIT")

    def test_unix(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.path)
        sock.sendall(V1)
        with kit.Pop("", sock=sock) as pop:
            self.session(pop)

    def test_lmtp(self):
        """`allow` is about the client; without networks nobody from afar may deliver."""
        v1_foreign = b"PROXY TCP4 192.0.2.200 198.51.100.2 4242 24\r\n"
        v1_loopback = b"PROXY TCP4 127.0.0.1 127.0.0.1 4242 24\r\n"
        for name, header, want in (("lmtp", V1, b"220 "), ("lmtp", v1_foreign, b"554 "), ("lmtp_none", V1, b"554 "),
                                   ("lmtp_none", v1_loopback, b"554 "), ("lmtp_none", v2(0x20), b"220 ")):
            with self.subTest(name=name, header=header[:40]), self.connect(name, header, greet=False) as lmtp:
                self.assertEqual(lmtp.line()[:4], want)

    def test_inetd(self):
        conf = self.site.dir / "inetd.conf"
        text = re.sub(r"listeners = .*", "", self.second.conf.read_text())
        conf.write_text(text + 'listeners = ( { address = "/nowhere"; proxy = "unix"; cleartext_login = "always"; } );\n')
        for header, good in ((V1, True), (v2() + b"CAPA\r\n", True), (b"CAPA\r\n", False), (b"", False)):
            with self.subTest(header=header[:10]):
                ours, theirs = socket.socketpair()
                with subprocess.Popen([str(self.site.lab.posternd), "-c", str(conf), "--inetd"], stdin=theirs, stdout=theirs,
                                      stderr=subprocess.DEVNULL, env=kit.lab.plain_env()) as proc:
                    theirs.close()
                    ours.sendall(header)
                    with kit.Pop("", sock=ours, greet=good) as pop:
                        if not good:
                            self.assertTrue(pop.at_end(15))
                        elif header.endswith(b"CAPA\r\n"):
                            pop.line(), pop.body()
                        if good:
                            self.session(pop)
                    self.assertEqual(proc.wait(kit.PATIENCE), 0)

    def test_drain(self):
        """A header that comes while the worker drains is served or closed; nobody is left behind."""
        port = kit.lab.free_port()
        other = self.start(f'{{ address = "127.0.0.1"; port = {port}; proxy = "127.0.0.1"; cleartext_login = "always"; }}', 'drain_time = "1s";')
        sock = socket.create_connection(("127.0.0.1", port), timeout=kit.PATIENCE)
        self.assertTrue(kit.wait_until(lambda: len(other.pids()) > 1))
        with kit.Pop("", sock=sock, greet=False) as pop:
            other.proc.send_signal(signal.SIGTERM)
            self.assertTrue(pop.at_end(10))
        self.assertEqual(other.proc.wait(kit.PATIENCE), 0)


class Proxies(ProxyCase):
    """Debian's own, unpacked; each in its sample configuration, with the addresses of this test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dir = cls.site.dir / "front"
        cls.dir.mkdir(mode=0o700)
        tls = cls.site.lab.tls
        shutil.copyfile(tls / "localhost.key", cls.dir / "mail.key")
        (cls.dir / "mail.pem").write_text((tls / "localhost.pem").read_text() + (tls / "localhost.key").read_text())

    def setUp(self):
        self.mine = {port: kit.lab.free_port() for port in (1110, 1995, 1996)}      # Postern's
        self.front = {port: kit.lab.free_port() for port in (110, 995, 1995)}       # the proxy's

    def proxied(self, sample):
        """Postern by the sample's first section; the text of the second."""
        parts = kit.sections(sample)
        own = parts.pop("postern.conf").replace("192.0.2.5", "127.0.0.1").replace("192.0.2.10", "127.0.0.1")
        for port, here in self.mine.items():
            own = own.replace(f"port = {port};", f"port = {here};")
        rows = re.search(r"listeners = \((.*)\);", own, re.S).group(1)
        self.second = self.start(rows)
        self.addCleanup(self.second.stop)
        text, = parts.values()
        for port, here in self.mine.items():
            text = re.sub(rf"(192\.0\.2\.5|127\.0\.0\.1):{port}\b", f"127.0.0.1:{here}", text)
        for port, here in self.front.items():
            text = re.sub(rf"^(\s*bind ):{port}\b", rf"\g<1>127.0.0.1:{here}", text, flags=re.M)
            text = re.sub(rf"^(\s*(?:listen|accept =) ){port}\b", rf"\g<1>127.0.0.1:{here}", text, flags=re.M)
        return re.sub(r"/etc/(haproxy|nginx|stunnel)/", f"{self.dir}/", text)

    def run_proxy(self, name, text, tree, program, *argv):
        conf = self.dir / f"{name}.conf"
        conf.write_text(text)
        log = open(self.dir / f"{name}.log", "wb")
        self.addCleanup(log.close)
        proc = subprocess.Popen([str(a).replace("CONF", str(conf)) for a in (tree / program, *argv)], stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log, env=kit.lab.plain_env(**kit.beside(tree)))
        self.addCleanup(proc.wait)
        self.addCleanup(proc.terminate)
        port = self.front[1995 if name != "stunnel" else 995]
        if not kit.wait_until(lambda: self.answers(port)):
            self.fail(f"{name} does not answer:\n{(self.dir / f'{name}.log').read_text()}{kit.lab.tail(self.second.log)}")

    def answers(self, port):
        try:
            self.tls(port).close()
            return True
        except (OSError, EOFError):
            return False

    def tls(self, port):
        sock = socket.create_connection(("127.0.0.1", port), timeout=kit.PATIENCE)
        sock = context(self.site, alpn=["pop3"]).wrap_socket(sock, server_hostname="localhost")
        return kit.Pop("", sock=sock)

    def through(self, pop, what):
        """The log has the address of our end, not the proxy's."""
        peer = "{}:{}".format(*pop.sock.getsockname())
        self.session(pop)
        pop.close()
        self.logged(rf'login user="{WHO}" peer={re.escape(peer)} {what}result=ok')

    def check_pop3_and_pass_through(self):
        with kit.Pop(f"127.0.0.1:{self.front[110]}") as pop:
            pop.err("USER " + WHO)
            pop.ok("STLS")
            pop.sock = context(self.site).wrap_socket(pop.sock, server_hostname="localhost")
            self.through(pop, r"tls=TLSv1.3 cipher=\S+ ")
        self.through(self.tls(self.front[995]), r"tls=TLSv1.3 cipher=\S+ ")

    def test_haproxy(self):
        text = self.proxied("haproxy-postern")
        self.run_proxy("haproxy", text, kit.unpacked("haproxy"), "usr/sbin/haproxy", "-db", "-f", "CONF")
        self.check_pop3_and_pass_through()
        with self.tls(self.front[1995]) as pop:
            self.assertNotIn(b"STLS", pop.multi("CAPA"))
            self.through(pop, r"tls=TLSv1.3 cipher=TLS_\S+ ")
        # Health checks come all the while (LOCAL), and none of them is refused.
        self.assertTrue(kit.wait_until(lambda: self.second.log.read_text().count("client=unknown") >= 3))
        self.assertNotIn(" closed: ", self.second.log.read_text())

    def test_haproxy_version_1(self):
        text = self.proxied("haproxy-postern").replace("proxy-v2-options ssl,cert-cn,ssl-cipher", "").replace("send-proxy-v2", "send-proxy")
        self.run_proxy("haproxy", text, kit.unpacked("haproxy"), "usr/sbin/haproxy", "-db", "-f", "CONF")
        self.check_pop3_and_pass_through()
        # Version 1 tells nothing of TLS.
        with self.tls(self.front[1995]) as pop:
            self.assertNotIn(b"USER", pop.multi("CAPA"))

    def test_nginx(self):
        text = self.proxied("nginx-postern")
        module = kit.unpacked("libnginx-mod-stream") / "usr/lib/nginx/modules/ngx_stream_module.so"
        user = "user root;\n" if kit.ROOT else ""
        text = f"load_module {module};\n{user}daemon off;\npid {self.dir}/nginx.pid;\nerror_log stderr;\nevents {{ }}\n" + text
        self.run_proxy("nginx", text, kit.unpacked("nginx"), "usr/sbin/nginx", "-e", "stderr", "-c", "CONF", "-p", self.dir)
        self.check_pop3_and_pass_through()
        self.through(self.tls(self.front[1995]), "")

    def test_stunnel(self):
        text = self.proxied("stunnel-postern")
        text = "foreground = yes\npid =\n" + text
        self.run_proxy("stunnel", text, kit.unpacked("stunnel4"), "usr/bin/stunnel4", "CONF")
        self.through(self.tls(self.front[995]), "")


if __name__ == "__main__":
    unittest.main()
