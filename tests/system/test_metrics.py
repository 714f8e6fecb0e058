#!/usr/bin/env python3
"""/metrics, /alive and /ready, what strangers may send there, and the dashboard and alerts that name metrics."""
import json
import pathlib
import re
import socket
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit

WHO = "anna@example.org"
TOP = kit.TOP


def http(port, request, timeout=kit.PATIENCE):
    """The whole reply to these octets."""
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        s.sendall(request)
        data = b""
        try:
            while more := s.recv(65536):
                data += more
        except ConnectionResetError:
            pass
        return data


def get(port, path):
    head, _, body = http(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()).partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def values(text):
    """The text as Prometheus understands it; whatever it would not is an error."""
    found, kinds, helped = {}, {}, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, sentence = line[7:].split(" ", 1)
            assert name not in helped and len(sentence) > 8, line
            helped.add(name)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name not in kinds, line
            kinds[name] = kind
        else:
            m = re.fullmatch(r'((postern_[a-z0-9_]+?)(?:_bucket|_sum|_count)?(?:\{[a-z]+="[^"]*"\})?) (\d+(?:\.\d+)?)', line)
            assert m, line
            family = m[2] if m[2] in kinds else re.match(r"[a-z0-9_]+", m[1])[0]
            assert family in kinds and family in helped, line
            assert m[1] not in found, line
            found[m[1]] = float(m[3])
    return found


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = kit.lab.free_port()
        cls.site = kit.Site("postern-metrics-", kit.QUICK + f'metrics_listen = "127.0.0.1:{cls.port}";\n', lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1), kit.letter(2, 5000)])
        kit.wait_until(lambda: get(cls.port, "/ready")[0] == 200)

    def metrics(self):
        code, text = get(self.port, "/metrics")
        self.assertEqual(code, 200)
        return values(text)

    def change(self, before, name):
        return self.metrics()["postern_" + name] - before["postern_" + name]

    def test_what_is_counted(self):
        before = self.metrics()
        with self.site.login(WHO) as pop:
            octets = len(pop.retr(1))
            pop.multi("TOP 2 1")
            with self.site.connect() as other:
                other.ok("USER " + WHO)
                other.err("PASS " + kit.PASSWORD, "IN-USE")
                other.ok("USER " + WHO)
                other.err("PASS wrong", "AUTH")
                other.err("FLY")
            pop.ok("DELE 1")
            pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: self.change(before, "pop3_deleted_messages_total") == 1))
        for name, wanted in {
                'pop3_logins_total{result="ok"}': 1, 'pop3_logins_total{result="in_use"}': 1,
                'pop3_logins_total{result="credentials"}': 1, 'pop3_mechanisms_total{mechanism="user"}': 1,
                'pop3_login_tls_total{version="none"}': 1, "pop3_retrieved_messages_total": 1,
                "pop3_retrieved_octets_total": octets, "pop3_topped_messages_total": 1, "pop3_connections_total": 2,
                'pop3_commands_total{command="retr"}': 1, 'pop3_commands_total{command="pass"}': 3,
                'pop3_commands_total{command="other"}': 1}.items():
            self.assertEqual(self.change(before, name), wanted, name)
        # open, fetch, expunge, close; the one in use; and the sums are there too
        self.assertGreaterEqual(self.change(before, "database_statement_seconds_count"), 4)
        self.assertGreater(self.change(before, "database_statement_seconds_sum"), 0)
        self.assertGreaterEqual(self.change(before, "auth_hash_seconds_count"), 1)
        # One question more where the login was cached, and then the maildrop was in use.
        self.assertIn(self.change(before, "auth_wait_seconds_count"), (3, 4))
        self.site.fill(WHO, [kit.letter(1), kit.letter(2, 5000)])

    def test_deliveries(self):
        before = self.metrics()
        letter = kit.letter(7)
        self.site.ctl("trace", "127.0.0.1", "--minutes", "1")
        with socket.create_connection(("127.0.0.1", self.site.lmtp), 10) as s:
            s.sendall(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<" + WHO.encode() + b">\r\nDATA\r\n")
            while b"354" not in s.recv(65536):
                pass
            s.sendall(letter + b".\r\nQUIT\r\n")
            while s.recv(65536):
                pass
        self.assertEqual(self.change(before, 'lmtp_deliveries_total{result="stored"}'), 1)
        self.assertEqual(self.change(before, "lmtp_messages_total"), 1)
        self.assertEqual(self.change(before, "lmtp_connections_total"), 1)
        self.site.ctl("trace", "127.0.0.1", "--off")
        text = self.site.log_text()
        self.assertRegex(text, r'trace C: "RCPT TO:<anna@example.org>"')
        self.assertRegex(text, r'trace C: \(message of \d+ octets\)\n.*\n?.*trace S: "250 ')
        self.assertRegex(text, r'lmtp session peer=127\.0\.0\.1:\d+ local=127\.0\.0\.1:\d+ lhlo="x" messages=1 deliveries=1 sql-time=\d+\.\d{3} ')
        self.assertNotIn("quick brown fox", text)

    def test_histograms_add_up(self):
        with self.site.login(WHO) as pop:
            pop.ok("QUIT")
        now = self.metrics()
        rows = [v for name, v in now.items() if name.startswith("postern_database_statement_seconds_bucket")]
        self.assertEqual(rows, sorted(rows))
        self.assertEqual(rows[-1], now["postern_database_statement_seconds_count"])

    def test_ready_follows_the_database(self):
        self.assertEqual(get(self.port, "/ready"), (200, "ready\n"))
        self.site.pg_stop("immediate")
        try:
            self.assertTrue(kit.wait_until(lambda: get(self.port, "/ready")[0] == 503))
            self.assertEqual(get(self.port, "/alive")[0], 200)
        finally:
            self.site.lab.pg_start()
        self.assertTrue(kit.wait_until(lambda: get(self.port, "/ready")[0] == 200))
        self.site.wait_lanes()

    def test_what_strangers_send(self):
        for request in (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 2000 + b"\r\n\r\n", b"GET\r\n\r\n",
                        b"GET /metrics HTTP/1.1\r\n" + b"X: " + b"y" * 10000 + b"\r\n\r\n",
                        b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b"USER anna\r\n\r\n",
                        b"PUT /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
            with self.subTest(request=request[:40]):
                try:
                    self.assertNotIn(b" 200 ", http(self.port, request).split(b"\r\n")[0])
                except (ConnectionResetError, BrokenPipeError):
                    pass
        self.assertEqual(get(self.port, "/alive"), (200, "alive\n"))

    def test_many_connections_that_say_nothing(self):
        """They are bounded, and over in seconds; sessions do not notice."""
        silent = [socket.create_connection(("127.0.0.1", self.port), 10) for _ in range(60)]
        try:
            with self.site.login(WHO) as pop:
                pop.ok("QUIT")
            self.assertTrue(kit.wait_until(lambda: self.answers()))
        finally:
            for s in silent:
                s.close()

    def answers(self):
        try:
            return get(self.port, "/alive")[0] == 200
        except (OSError, IndexError):
            return False

    def test_another_process_when_it_dies(self):
        for pid in self.site.lab.daemon_pids():
            if pathlib.Path(f"/proc/{pid}/comm").read_text() == "posternd metric\n":
                kit.kill(pid)
        self.assertTrue(kit.wait_until(self.answers))

    # -------------------------------------------------- the dashboard and the alerts

    def known(self):
        names = set()
        for name in self.metrics():
            names.add(re.match(r"[a-z0-9_]+", name)[0])
        names |= set(re.findall(r"^# TYPE (postern_certificate\w+) gauge$", get(self.port, "/metrics")[1], re.M))     # there is none here
        return names

    def test_dashboard_and_alerts_name_what_is_there(self):
        known = self.known()
        dashboard = (TOP / "etc/grafana-postern.json").read_text()
        json.loads(dashboard)
        alerts = (TOP / "etc/prometheus-postern.rules").read_text()
        for text in (dashboard, alerts):
            for name in set(re.findall(r"\bpostern_[a-z0-9_]+", text)):
                self.assertIn(name, known)

    def test_dashboard_shows_all(self):
        dashboard = (TOP / "etc/grafana-postern.json").read_text()
        shown = set(re.findall(r"\bpostern_[a-z0-9_]+", dashboard))
        for name in self.known():
            self.assertTrue(name in shown or re.sub(r"_(sum|count)$", "_bucket", name) in shown, name)


if __name__ == "__main__":
    unittest.main()
