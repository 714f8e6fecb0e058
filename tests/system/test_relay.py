"""While half have moved: logins to mailboxes that are still at an old server are relayed to it, a real Dovecot or one that misbehaves."""
import base64
import json
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import relayeddovecot
import kit
import lab
import scram
import test_secrecy
from wire import Lmtp

OLD, NEW = "old secret", kit.PASSWORD
# Unlike anything else that is in memory.
UNIQUE, WRONG = "Vq7-relay-horse-battery", "Vq7-wrong-horse-battery"
# Three failures would end the patience of a test long before those of a guesser.
CONF = kit.QUICK + ('cells = 1; auth_helpers = 1; log_level = "debug"; pop3_login_failures = 100; pop3_relay_pause = "100ms";\n'
                    'pop3_idle_below_standard = true;\n')


def plain(name, password, authzid=""):
    return base64.b64encode(f"{authzid}\0{name}\0{password}".encode()).decode()


class Relayed(unittest.TestCase):
    """With a Dovecot as the old server."""

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("relay-", CONF, pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.old = relayeddovecot.Dovecot(cls.site.dir / "old")
        ports = " ".join(f"localhost:{port}" for port in (cls.old.port, cls.old.tls_port, cls.old.proxy_port))
        cls.site.up(CONF + f'pop3_limit_exempt = "127.0.0.0/24"; pop3_relay_servers = "{ports}"; pop3_relay_tls_ca = "{cls.site.dir}/tls/ca.pem";\n')
        cls.addClassCleanup(cls.old.down)
        for name in [f"relay{n}@example.org" for n in range(1, 41)] + ["another.name", "short", "nobody.here@elsewhere.example", "unknown@limited.example"]:
            cls.old.account(name, OLD)
        cls.old.account("unique@example.org", UNIQUE)
        cls.old.up(cls.site.lab.tls / "localhost.pem", cls.site.lab.tls / "localhost.key")
        for name, port, settings in (("pops", cls.old.tls_port, ()), ("stls", cls.old.port, ("tls=stls", "tells=xclient")),
                                     ("proxied1", cls.old.proxy_port, ("tls=stls", "tells=proxy1")),
                                     ("proxied2", cls.old.proxy_port, ("tls=stls", "tells=proxy2")),
                                     ("clear", cls.old.port, ("tls=none", "cleartext=yes")),
                                     ("learning", cls.old.tls_port, ("learn=yes",))):
            cls.site.ctl("old-server", "add", name, f"localhost:{port}", *settings)
        cls.site.ctl("tenant", "add", "provider")
        cls.count = 0

    def mailbox(self, server, letters=(), here=(), name=None):
        """One that exists at both servers, with a password of each."""
        type(self).count += 1
        who = f"relay{self.count}@example.org"
        self.site.account(who, here)
        self.old.fill(name or who, letters)
        self.site.ctl("mailbox", "elsewhere", server, who, *(("--name", name) if name else ()))
        return who

    def until_logged(self, pattern):
        self.assertTrue(kit.wait_until(lambda: re.search(pattern, self.site.log_text())), pattern + self.site.log_tail())

    def said(self, who, password=OLD):
        """The answer to a login, whose session is ended."""
        with self.site.connect() as pop:
            pop.ok("USER " + who)
            reply = pop.cmd("PASS " + password)
            if reply.startswith(b"+OK"):
                pop.ok("QUIT")
            return reply

    def test_each_way(self):
        letters = [kit.letter(1), kit.letter(2, 300_000), b"Subject: dots\r\n\r\n.\r\n..\r\n"]
        for server in "pops", "stls", "proxied1", "proxied2", "clear":
            with self.subTest(server):
                who = self.mailbox(server, letters, [kit.letter(9)])
                with self.site.login(who, OLD) as pop:
                    self.assertEqual([pop.retr(n) for n in (1, 2, 3)], letters)
                    self.assertEqual(len(pop.multi("UIDL")), 3)
                    pop.ok("DELE 1")
                    pop.ok("QUIT")
                    self.assertTrue(pop.at_end())
                with self.site.login(who, OLD) as pop:
                    self.assertEqual(pop.ok("STAT").split()[1], b"2")
                self.assertRegex(self.said(who, NEW), rb"^-ERR \[AUTH\]")
                # Nothing of it was done here.
                self.assertEqual(self.site.sql(f"select messages from postern.mailbox where address = '{who}'"), "1")
                self.until_logged(rf'session user="{who}" peer=127.0.0.1:\d+ relayed=localhost:\d+ .* in=\d+ out=3\d{{5}} time=[\d.]+ end=quit')

    def test_mechanisms(self):
        who = self.mailbox("pops", [kit.letter(1)])
        for words in ((f"AUTH PLAIN {plain(who, OLD)}",), (f"AUTH PLAIN {plain(who, OLD, who)}",), ("AUTH PLAIN", plain(who, OLD)),
                      ("AUTH LOGIN", base64.b64encode(who.encode()).decode(), base64.b64encode(OLD.encode()).decode())):
            with self.subTest(words[0]), self.site.connect() as pop:
                for word in words[:-1]:
                    self.assertTrue(pop.cmd(word).startswith(b"+ "))
                pop.ok(words[-1])
                self.assertEqual(pop.ok("STAT").split()[1], b"1")
        with self.site.connect() as pop:
            pop.err(f"AUTH PLAIN {plain(who, OLD, 'somebody@example.org')}", "AUTH")

    def test_client_is_told(self):
        for server in "stls", "proxied1", "proxied2":
            with self.subTest(server):
                who = self.mailbox(server)
                host, _, port = self.site.address.rpartition(":")
                sock = socket.create_connection((host, int(port)), source_address=("127.0.0.77", 0))
                with kit.Pop("", sock=sock) as pop:
                    pop.login(who, OLD)
                    pop.ok("QUIT")
                self.assertTrue(kit.wait_until(lambda: re.search(rf"Login: user=<{who}>.* rip=127\.0\.0\.77,", self.old.log())))

    def test_names(self):
        who = self.mailbox("pops", [kit.letter(1)], name="another.name")
        with self.site.login(who, OLD) as pop:
            self.assertEqual(pop.ok("STAT").split()[1], b"1")
        self.site.ctl("old-server", "add", "locals", f"localhost:{self.old.tls_port}", "names=local")
        self.site.account("short@example.org")
        self.old.fill("short", ())
        self.site.ctl("mailbox", "elsewhere", "locals", "short@example.org")
        self.assertTrue(self.said("short@example.org").startswith(b"+OK"))
        shown = json.loads(self.site.ctl("--json", "elsewhere").stdout)
        self.assertIn({"kind": "mailbox", "name": who, "server": "pops", "name_there": "another.name", "password": True, "seen": None}, shown)
        self.assertEqual(json.loads(self.site.ctl("--json", "mailbox", "show", who).stdout)["old_server"], "pops")
        # A mail server is told, too.
        self.assertEqual(self.site.sql(f"set role postern_maps; select server from postern_maps.elsewhere where address = '{who}'").split()[-1], "pops")

    def test_domain(self):
        self.site.ctl("domain", "add", "elsewhere.example", "--tenant", "provider")
        self.site.ctl("domain", "add", "other.example", "--alias-of", "elsewhere.example")
        self.site.ctl("domain", "elsewhere", "elsewhere.example", "pops")
        self.old.fill("nobody.here@elsewhere.example", [kit.letter(1)])
        for name in "nobody.here@elsewhere.example", "Nobody.Here@Elsewhere.Example", "nobody.here@other.example":
            with self.subTest(name), self.site.login(name, OLD) as pop:
                self.assertEqual(pop.ok("STAT").split()[1], b"1")
        self.assertRegex(self.said("nobody.at.all@elsewhere.example"), rb"^-ERR \[AUTH\]")
        # Moved, one by one, and then all of it.
        self.site.account("moved@elsewhere.example", [kit.letter(1), kit.letter(2)])
        self.assertRegex(self.said("moved@elsewhere.example", NEW), rb"^-ERR \[AUTH\]")
        self.site.ctl("mailbox", "here", "moved@elsewhere.example")
        self.assertTrue(self.said("moved@elsewhere.example", NEW).startswith(b"+OK 2 messages"))
        self.site.ctl("domain", "here", "elsewhere.example")
        self.assertRegex(self.said("nobody.here@elsewhere.example"), rb"^-ERR \[AUTH\]")
        self.assertEqual(json.loads(self.site.ctl("--json", "elsewhere", "elsewhere.example").stdout), [])

    def test_cache_hides_no_change(self):
        who = self.mailbox("pops", [kit.letter(1)], [kit.letter(1), kit.letter(2)])
        self.site.ctl("mailbox", "here", who)
        for _ in range(3):
            self.assertTrue(self.said(who, NEW).startswith(b"+OK 2 messages"))
        self.until_logged(f'auth name="{who}" result=ok cached=unconfirmed')
        self.site.ctl("mailbox", "elsewhere", "pops", who)
        self.assertRegex(self.said(who, NEW), rb"^-ERR \[AUTH\]")
        self.assertTrue(self.said(who).startswith(b"+OK"))
        self.site.ctl("mailbox", "here", who)
        self.assertRegex(self.said(who), rb"^-ERR \[AUTH\]")
        self.assertTrue(self.said(who, NEW).startswith(b"+OK 2 messages"))

    def test_moved_while_it_is_relayed(self):
        who = self.mailbox("pops", [kit.letter(1)], [kit.letter(1), kit.letter(2)])
        with self.site.login(who, OLD) as relayed:
            self.site.ctl("mailbox", "here", who)
            with self.site.login(who, NEW) as pop:
                self.assertEqual(pop.ok("STAT").split()[1], b"2")
                self.assertEqual(relayed.ok("STAT").split()[1], b"1")
                relayed.ok("DELE 1")
                relayed.ok("QUIT")
            self.assertTrue(self.said(who, NEW).startswith(b"+OK 2 messages"))

    def test_pipelined(self):
        who = self.mailbox("pops", [kit.letter(1, 100_000)])
        for ending in "", "shut down":
            with self.subTest(ending), self.site.connect() as pop:
                pop.send(f"USER {who}\r\nPASS {OLD}\r\nSTAT\r\nRETR 1\r\nQUIT\r\n")
                if ending:
                    pop.sock.shutdown(socket.SHUT_WR)
                for _ in range(3):
                    self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertEqual(kit.unstuffed(pop.body()), kit.letter(1, 100_000))
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertTrue(pop.at_end())

    def test_slow_client_costs_little(self):
        who = self.mailbox("pops", [kit.letter(1, 40_000_000)])
        _, workers, _ = self.site.tree()
        before = kit.rss(workers[0])
        with kit.Pop(self.site.address, rcvbuf=4096) as pop:
            pop.login(who, OLD)
            pop.send("RETR 1\r\n")
            pop.line()
            # The old server has sent what there is room for, and the worker goes on with others.
            self.assertTrue(self.said(who, "wrong").startswith(b"-ERR"))
            self.assertLess(kit.rss(workers[0]) - before, 8_000_000)
            self.assertEqual(kit.unstuffed(pop.body()), kit.letter(1, 40_000_000))
            pop.ok("QUIT")

    def relayed(self):
        """How many sessions are, as an operator sees it."""
        found = re.search(r"pop3_relayed_sessions\W+(\d+)", self.site.ctl("--json", "status").stdout.decode())
        return int(found[1]) if found else None

    def test_kick(self):
        who = self.mailbox("pops", [kit.letter(1)])
        with self.site.login(who, OLD) as pop:
            self.assertTrue(kit.wait_until(lambda: self.relayed() == 1), self.site.ctl("--json", "status").stdout)
            self.assertIn(f'"{who}"', self.site.ctl("kick", who).stdout.decode())
            self.assertTrue(pop.at_end())
        self.until_logged(rf'session user="{who}" .* relayed=.* end=kicked')
        self.assertTrue(kit.wait_until(lambda: self.relayed() == 0))

    def test_trace(self):
        who = self.mailbox("pops", [kit.letter(1)])
        self.site.ctl("trace", who)
        self.assertTrue(self.said(who).startswith(b"+OK"))
        self.until_logged(r"trace C: \(6 octets relayed\)")
        self.assertNotIn(OLD, self.site.log_text())

    def test_policies(self):
        who = self.mailbox("pops", [kit.letter(1)])
        self.site.ctl("policy", "set", "--mailbox", who, "maintenance=back at noon")
        self.assertEqual(self.said(who), b"-ERR [SYS/TEMP] back at noon")
        # Nobody else is told.
        self.assertRegex(self.said(who, "wrong"), rb"^-ERR \[AUTH\]")
        self.site.ctl("policy", "set", "--mailbox", who, "maintenance=default", "pop3=false")
        self.assertRegex(self.said(who), rb"^-ERR \[SYS/PERM\]")
        self.site.ctl("policy", "clear", "--mailbox", who)
        self.site.ctl("mailbox", "disable", who)
        self.assertRegex(self.said(who), rb"^-ERR \[AUTH\]")

    def test_sessions_are_limited(self):
        """Of a domain that is elsewhere as a whole, where nobody has a mailbox here, too."""
        self.site.ctl("domain", "add", "limited.example", "--tenant", "provider")
        self.site.ctl("domain", "elsewhere", "limited.example", "pops")
        self.site.ctl("policy", "set", "--domain", "limited.example", "sessions=1")
        self.old.fill("unknown@limited.example", [kit.letter(1)])
        with self.site.login("unknown@limited.example", OLD) as pop:
            self.assertRegex(self.said("unknown@limited.example"), rb"^-ERR \[SYS/TEMP\] too many sessions")
            pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: self.said("unknown@limited.example").startswith(b"+OK")))

    def test_upgrade(self):
        """The old process keeps what it relays, the new one relays from its start."""
        who = self.mailbox("pops", [kit.letter(1, 3_000_000)])
        _, workers, _ = self.site.tree()
        with self.site.login(who, OLD) as pop:
            self.site.ctl("upgrade")
            self.assertTrue(kit.wait_until(lambda: set(self.site.tree()[1]) - set(workers)))
            self.assertEqual(pop.retr(1), kit.letter(1, 3_000_000))
            with self.site.login(who, OLD) as other:
                self.assertEqual(other.ok("STAT").split()[1], b"1")
            pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: not set(self.site.tree()[1]) & set(workers)))

    def test_failures_count(self):
        who = self.mailbox("pops")
        # Those of this host's own addresses do not.
        host, _, port = self.site.address.rpartition(":")
        sock = socket.create_connection((host, int(port)), source_address=("127.1.0.1", 0))
        with kit.Pop("", sock=sock) as pop:
            pop.ok("USER " + who)
            pop.err("PASS wrong", "AUTH")
        self.until_logged(rf'login user="{who}" peer=\S+ result=refused reason=password')
        counted = f"select count(*) from postern.guess where account = postern.guess_account('{who}')"
        self.assertTrue(kit.wait_until(lambda: self.site.sql(counted) == "1"))
        # By the name that was typed, as that is looked up: also where the domain has another one.
        self.site.ctl("domain", "add", "typed.example", "--alias-of", "example.org")
        for how in "USER", "PLAIN":
            typed = self.mailbox("pops").replace("example.org", "typed.example")
            sock = socket.create_connection((host, int(port)), source_address=("127.1.0.2", 0))
            with self.subTest(how), kit.Pop("", sock=sock) as pop:
                if how == "USER":
                    pop.ok("USER " + typed)
                pop.err("PASS wrong" if how == "USER" else f"AUTH PLAIN {plain(typed, 'wrong')}", "AUTH")
                counted = f"select count(*) from postern.guess where account = postern.guess_account('{typed}')"
                self.assertTrue(kit.wait_until(lambda counted=counted: self.site.sql(counted) == "1"), self.site.log_tail())

    def test_learns(self):
        who = self.mailbox("learning", [kit.letter(1)], [kit.letter(1)])
        self.site.ctl("password", who, "--remove")
        stored = f"select c.secret from postern.credential c join postern.mailbox m using (mailbox) where m.address = '{who}'"
        self.said(who, "wrong")
        self.assertTrue(self.said(who).startswith(b"+OK"))
        self.assertTrue(kit.wait_until(lambda: self.site.sql(stored).startswith("$argon2id$")))
        # The same again makes no other; a new password there becomes the one here.
        before = self.site.sql(stored)
        self.assertTrue(self.said(who).startswith(b"+OK"))
        users = (self.old.dir / "users").read_text()
        (self.old.dir / "users").write_text(users.replace(f"{who}:{{PLAIN}}{OLD}", f"{who}:{{PLAIN}}newer"))
        self.assertTrue(kit.wait_until(lambda: self.said(who, "newer").startswith(b"+OK")))
        self.assertTrue(kit.wait_until(lambda: self.site.sql(stored) not in ("", before)))
        self.site.ctl("mailbox", "here", who)
        self.assertRegex(self.said(who, OLD), rb"^-ERR \[AUTH\]")
        self.assertTrue(self.said(who, "newer").startswith(b"+OK 1 message"))
        # Nothing is learned of those who are here, whatever a worker claims.
        self.assertEqual(self.site.sql(f"select postern.learn_secret({self.site.mailbox(who)}, null, 'x')"), "f")


    def test_old_server_dies_in_the_middle(self):
        letters = [kit.letter(1, 30_000_000)]
        who = self.mailbox("pops", letters)
        with kit.Pop(self.site.address, rcvbuf=4096) as pop:
            pop.login(who, OLD)
            pop.send("DELE 1\r\nRSET\r\nRETR 1\r\n")
            for _ in range(3):
                pop.line()
            self.old.down(signal.SIGKILL)
            # No end of the message is made up.
            with self.assertRaises((EOFError, ConnectionError)):
                pop.body()
        self.until_logged(rf'session user="{who}" .* relayed=.* end=old-server')
        self.assertRegex(self.said(who), rb"^-ERR \[SYS/TEMP\]")
        self.until_logged(r"old server localhost:\d+ cannot be used: .?Connection refused")
        self.old.start()
        self.assertTrue(kit.wait_until(lambda: self.said(who).startswith(b"+OK")))
        with self.site.login(who, OLD) as pop:
            self.assertEqual(pop.retr(1), letters[0])

    @unittest.skipUnless(kit.ROOT, "looks into the memory of others")
    @unittest.skipIf(kit.sanitized(), "sanitizers keep what was freed")
    def test_passwords_are_wiped(self):
        who = "unique@example.org"
        self.site.account(who)
        self.old.fill(who, ())
        forms = [password.encode() for password in (UNIQUE, WRONG)]
        forms += [plain(who, password).rstrip("=")[-24:].encode() for password in (UNIQUE, WRONG)]
        for server in "pops", "clear", "learning":
            self.site.ctl("mailbox", "elsewhere", server, who)
            self.assertRegex(self.said(who, WRONG), rb"^-ERR \[AUTH\]")
            self.assertTrue(self.said(who, UNIQUE).startswith(b"+OK"))
            with self.site.connect() as pop:
                pop.ok(f"AUTH PLAIN {plain(who, UNIQUE)}")
                _, workers, helpers = self.site.tree()
                for pid in workers + helpers:
                    with self.subTest(server=server, process=pathlib.Path(f"/proc/{pid}/comm").read_text().strip()):
                        self.assertTrue(kit.wait_until(lambda pid=pid: not test_secrecy.found(pid, forms)), test_secrecy.found(pid, forms))
        self.assertNotIn("Vq7", self.site.log_text())

    def refuses(self, pattern, *args, status=1, stdin=None):
        done = self.site.ctl(*args, check=False, stdin=stdin)
        self.assertRegex(done.stdout.decode(), pattern)
        self.assertEqual(done.returncode, status)

    def test_wrong_input(self):
        self.refuses("not HOST:PORT", "old-server", "add", "x", "old.example", status=2)
        self.refuses("not HOST:PORT", "old-server", "add", "x", "::1:995", status=2)
        self.refuses("invalid name, host or setting", "old-server", "add", "X y", "old.example:995")
        self.refuses("already exists", "old-server", "add", "pops", "old.example:995")
        self.refuses("does not exist", "old-server", "set", "nowhere", "learn=yes")
        self.refuses("add cleartext=yes", "old-server", "add", "x", "old.example:110", "tls=none")
        self.refuses("add cleartext=yes", "old-server", "set", "clear", "cleartext=no")
        self.refuses("tls is pops, stls or none", "old-server", "set", "pops", "tls=ssl")
        self.refuses('unknown setting "what"', "old-server", "set", "pops", "what=x")
        self.refuses('learn cannot be set to "perhaps"', "old-server", "set", "pops", "learn=perhaps")
        self.refuses("is not SETTING=VALUE", "old-server", "set", "pops", "learn", status=2)
        self.refuses("old server nowhere does not exist", "mailbox", "elsewhere", "nowhere", "anna@example.org")
        self.refuses("mailbox nobody@example.org does not exist", "mailbox", "elsewhere", "pops", "nobody@example.org")
        self.refuses("give addresses, or --file", "mailbox", "elsewhere", "pops", status=2)
        self.refuses("--name goes with one address", "mailbox", "elsewhere", "pops", "a@example.org", "b@example.org", "--name", "x", status=2)
        self.refuses("could not read /nowhere", "mailbox", "here", "--file", "/nowhere")
        self.refuses("domain nowhere.example does not exist", "domain", "elsewhere", "nowhere.example", "pops")
        who = self.mailbox("clear")
        self.refuses("are still at old server clear", "old-server", "remove", "clear")
        self.site.ctl("mailbox", "here", who)
        self.site.ctl("old-server", "add", "gone", "old.example:995")
        self.site.ctl("mailbox", "elsewhere", "gone", who)
        self.site.ctl("mailbox", "here", who)
        self.site.ctl("old-server", "remove", "gone")

    def test_many_at_once(self):
        """Of a file: all of them or none, with the line that is wrong."""
        names = [self.mailbox("pops") for _ in range(3)]
        lines = f"# moved\n\n{names[0]}\n  {names[1].upper()}\t a name there \r\n{names[2]} x\n".encode()
        said = self.site.ctl("mailbox", "elsewhere", "stls", "--file", "-", stdin=lines).stdout
        self.assertIn(b"3 of 3 mailboxes changed: elsewhere, at stls", said)
        shown = {row["name"]: (row["server"], row["name_there"]) for row in json.loads(self.site.ctl("--json", "elsewhere", "example.org").stdout)}
        self.assertEqual([shown[name] for name in names], [("stls", None), ("stls", "a name there"), ("stls", "x")])
        for wrong, pattern in ((f"{names[0]}\nnobody@example.org\n", "nobody@example.org does not exist"),
                               (f"{names[0]}\nno address\n", "-:2: this line is wrong"), (f"{names[0]} x\n", "-:1: this line is wrong")):
            done = self.site.ctl("mailbox", "here", "--file", "-", check=False, stdin=wrong.encode())
            self.assertRegex(done.stdout.decode(), pattern)
            self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"3 of 3 mailboxes changed: here", self.site.ctl("mailbox", "here", "--file", "-", stdin="\n".join(names).encode()).stdout)
        self.assertIn(b"0 of 3 mailboxes changed: here", self.site.ctl("mailbox", "here", *names).stdout)

    def test_unlisted(self):
        """Whoever writes to the database cannot have passwords sent to a server of theirs."""
        who = self.mailbox("pops")
        self.site.ctl("old-server", "add", "unlisted", f"127.0.0.1:{self.old.tls_port}")
        self.site.ctl("mailbox", "elsewhere", "unlisted", who)
        self.assertRegex(self.said(who), rb"^-ERR \[SYS/TEMP\]")
        self.until_logged(r"which pop3_relay_servers does not name")
        self.assertNotIn(who, self.old.log())


class Scripted:
    """An old server that does as a test says: for each connection script(connection) runs in a thread."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port, self.script, self.seen, self.open = self.sock.getsockname()[1], None, [], []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            self.open.append(client)
            threading.Thread(target=self.one, args=(client,), daemon=True).start()

    def one(self, client):
        pop = kit.Pop("", sock=client, greet=False)
        try:
            self.script(pop)
        except (OSError, EOFError):
            pass
        finally:
            client.close()

    def close(self):
        self.sock.close()
        for client in self.open:
            client.close()

    def dialogue(self, *replies, greeting=b"+OK old"):
        """A server that answers CAPA with -ERR, so that USER and PASS follow, and then as it is said here."""
        def script(pop):
            pop.send(greeting + b"\r\n")
            for reply in (b"-ERR no CAPA", *replies):
                self.seen.append(pop.line())
                pop.send(reply + b"\r\n")
            while b"QUIT" not in self.seen:
                self.seen.append(pop.line())
                pop.send(b"+OK\r\n")
        self.seen.clear()
        self.script = script


class Misbehaving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("relay-faults-", CONF, lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.old = Scripted()
        cls.addClassCleanup(cls.old.close)
        cls.dead = lab.free_port()
        cls.conf = CONF + (f'pop3_relay_servers = "127.0.0.1:{cls.old.port} localhost:{cls.old.port} 127.0.0.1:{cls.dead}"; pop3_relay_time = "3s";\n'
                           'pop3_relay_sessions = 4; sasl_mechanisms = "SCRAM-SHA-256 PLAIN LOGIN"; sasl_without_tls = true;\n')
        place = lab.Lab(cls.site.dir)
        place.certificate("other", ["DNS:other.example", "IP:127.0.0.2"])
        folder = place.tls
        for name, days in ("selfmade", "30"), ("ended", "-1"):
            for words in (["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                           "-keyout", f"{name}.key", "-out", f"{name}.csr"],
                          ["x509", "-req", "-in", f"{name}.csr", "-signkey", f"{name}.key", "-days", days, "-out", f"{name}.pem"]):
                subprocess.run(["openssl", *words], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # One that is believed, but is over.
        with open(folder / "ca.pem", "a", encoding="ascii") as authorities:
            authorities.write((folder / "ended.pem").read_text())
        cls.site.up(cls.conf + f'pop3_relay_tls_ca = "{folder}/ca.pem";\n')
        cls.site.ctl("old-server", "add", "old", f"127.0.0.1:{cls.old.port}", "tls=none", "cleartext=yes")
        cls.site.ctl("old-server", "add", "dead", f"127.0.0.1:{cls.dead}")
        cls.site.account("anna@example.org", [kit.letter(1)])
        cls.site.ctl("mailbox", "elsewhere", "old", "anna@example.org")

    def said(self, who="anna@example.org", password=OLD):
        with self.site.connect() as pop:
            pop.ok("USER " + who)
            return pop.cmd("PASS " + password)

    def until_answered(self, pattern, who="anna@example.org", password=OLD):
        """The pause behind a server that could not be asked passes meanwhile."""
        last = []

        def there():
            last[:] = [self.said(who, password)]
            return re.match(pattern, last[0])
        self.assertTrue(kit.wait_until(there), last)

    def until_logged(self, pattern):
        self.assertTrue(kit.wait_until(lambda: re.search(pattern, self.site.log_text())), pattern + self.site.log_tail())

    def test_refusals(self):
        for reply, wanted in ((b"-ERR [AUTH] no", rb"-ERR \[AUTH\] wrong"), (b"-ERR Authentication failed.", rb"-ERR \[AUTH\] wrong"),
                              (b"-ERR [IN-USE] locked \x1b[2J", rb"-ERR \[IN-USE\] this mailbox is in use"),
                              (b"-ERR [login-delay] wait", rb"-ERR \[LOGIN-DELAY\] "), (b"-ERR [SYS/TEMP] x", rb"-ERR \[SYS/TEMP\] "),
                              (b"-ERR [SYS/PERM] x", rb"-ERR \[SYS/PERM\] ")):
            with self.subTest(reply):
                self.old.dialogue(b"+OK", reply)
                self.until_answered(wanted)
                self.assertEqual(self.old.seen[:3], [b"CAPA", b"USER anna@example.org", b"PASS " + OLD.encode()])
        self.old.dialogue(b"-ERR no such user")
        self.until_answered(rb"-ERR \[AUTH\] wrong")

    def test_only_yes_is_learned(self):
        """[LOGIN-DELAY] and [IN-USE] may be said before the password was looked at, or sent: it may be a guess."""
        self.site.account("learned@example.org")
        self.site.ctl("password", "learned@example.org", "--remove")
        self.site.ctl("old-server", "add", "learning", f"127.0.0.1:{self.old.port}", "tls=none", "cleartext=yes", "learn=yes")
        self.site.ctl("mailbox", "elsewhere", "learning", "learned@example.org")
        for replies in ((b"-ERR [LOGIN-DELAY] wait",), (b"-ERR [IN-USE] locked",), (b"+OK", b"-ERR [LOGIN-DELAY] wait"), (b"+OK", b"-ERR [IN-USE] locked")):
            self.old.dialogue(*replies)
            self.until_answered(rb"-ERR \[(IN-USE|LOGIN-DELAY)\] ", "learned@example.org", "guessed")
        self.old.dialogue(b"+OK", b"+OK")
        self.until_answered(rb"\+OK", "learned@example.org")
        learned = rf"learned the password of mailbox {self.site.mailbox('learned@example.org')} "
        self.until_logged(learned)
        self.site.ctl("mailbox", "here", "learned@example.org")
        self.until_answered(rb"\+OK", "learned@example.org")
        # They are stored in the order in which they came.
        self.assertEqual(len(re.findall(learned, self.site.log_text())), 1)

    def test_garbage(self):
        def endless(pop):
            pop.send(b"+OK old\r\n")
            pop.line()
            while True:
                pop.send(b"x" * 65536)

        def lines(pop):
            pop.send(b"+OK old\r\n")
            pop.line()
            pop.send(b"+OK\r\n" + b"X\r\n" * 100_000)
            pop.line()

        def greeting(octets):
            return lambda pop: (pop.send(octets), pop.line())
        for script, why in ((endless, "its answer is too long a line"), (lines, "its answer to CAPA has no end"),
                            (greeting(b"220 smtp.old.example ESMTP\r\n"), "it does not speak POP3"), (greeting(b"\0\0\r\n"), "there is a NUL"),
                            (greeting(b"-ERR full\r\n"), "it greets with an error"), (greeting(b"+OKAY\r\n"), "it does not speak POP3"),
                            (lambda pop: None, "it closed the connection before its answer to greeting")):
            with self.subTest(why):
                self.old.script = script
                pattern = rf'old server 127.0.0.1:\d+ cannot be used: "{why}'

                def told():
                    self.assertRegex(self.said(), rb"^-ERR \[SYS/TEMP\]")
                    return len(re.findall(pattern, self.site.log_text())) > before
                before = len(re.findall(pattern, self.site.log_text()))
                self.assertTrue(kit.wait_until(told), self.site.log_tail())

    def forget_faults(self):
        """What another test has left of the old server is forgotten."""
        self.old.dialogue(b"+OK", b"-ERR [AUTH]")
        self.until_answered(rb"-ERR \[AUTH\]")

    def test_hangs(self):
        ready = threading.Event()

        def hang(pop):
            ready.wait(kit.PATIENCE)
            pop.send(b"-ERR x\r\n")
        self.forget_faults()
        self.old.script = hang
        self.addCleanup(ready.set)
        # So many wait as may; those who come then are told at once, and others who are here are served.
        waiting = [self.site.connect() for _ in range(8)]
        for pop in waiting:
            pop.ok("USER anna@example.org")
            pop.send("PASS x\r\n")
        self.until_answered(rb"-ERR \[SYS/TEMP\] too many")
        self.site.account("here@example.org")
        self.assertTrue(self.said("here@example.org", NEW).startswith(b"+OK"))
        for pop in waiting:
            self.assertRegex(pop.line(), rb"-ERR \[SYS/TEMP\]")
            pop.close()
        self.until_logged(r"cannot be used: .?no answer in time \(greeting\)")

    def pause(self, was, becomes):
        text = self.site.lab.conf.read_text()
        self.site.lab.conf.write_text(text.replace(f'pop3_relay_pause = "{was}"', f'pop3_relay_pause = "{becomes}"'))
        self.assertIn(b"reloaded", self.site.ctl("reload").stdout)

    def test_silence_keeps_nobody_out(self):
        """A wrong password is answered by silence, or by an end: others are served at once."""
        ready = threading.Event()

        def script(pop):
            pop.send(b"+OK old\r\n")
            for reply in b"-ERR no CAPA\r\n", b"+OK\r\n":
                pop.line()
                pop.send(reply)
            if pop.line() == b"PASS closes":
                return
            ready.wait(kit.PATIENCE)
        self.forget_faults()
        self.pause("100ms", "10m")
        self.addCleanup(self.pause, "10m", "100ms")
        self.addCleanup(ready.set)
        for password, why in ("closes", "it closed the connection before its answer to PASS"), ("hangs", r"no answer in time \(PASS\)"):
            with self.subTest(password):
                self.old.script = script
                self.assertRegex(self.said(password=password), rb"^-ERR \[SYS/TEMP\]")
                self.until_logged(rf'did not answer the login of user="anna@example.org": .?{why}')
                self.old.dialogue(b"+OK", b"+OK")
                self.assertRegex(self.said(), rb"^\+OK")

    def test_last_word(self):
        """What the old server has sent before its end is passed on, however it ends and however slow the client is."""
        self.forget_faults()
        big = b"+OK\r\n" + b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 50_000 + b".\r\n"
        for commands, answer, resets, end in ((2, big + b"+OK bye\r\n", False, "quit"), (1, big + b"-ERR idle for too long\r\n", False, "old-server"),
                                              (1, b"+OK bye\r\n", True, "quit")):
            def script(pop, commands=commands, answer=answer, resets=resets):
                pop.send(b"+OK old\r\n")
                for reply in b"-ERR no CAPA\r\n", b"+OK\r\n", b"+OK\r\n":
                    pop.line()
                    pop.send(reply)
                for _ in range(commands):
                    pop.line()
                pop.send(answer)
                if resets:
                    pop.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with self.subTest(commands=commands, resets=resets):
                self.old.script = script
                ended = f" relayed=.* end={end}"
                before = len(re.findall(ended, self.site.log_text()))
                with kit.Pop(self.site.address, rcvbuf=4096) as pop:
                    pop.login("anna@example.org", OLD)
                    pop.send("QUIT\r\n" if resets else "RETR 1\r\nQUIT\r\n" if commands == 2 else "RETR 1\r\n")
                    got = b"".join(pop.line() + b"\r\n" for _ in range(answer.count(b"\r\n")))
                    self.assertTrue(got == answer, len(got))
                    self.assertTrue(pop.at_end())
                self.assertTrue(kit.wait_until(lambda: len(re.findall(ended, self.site.log_text())) > before), self.site.log_tail())

    def test_nobody_there(self):
        self.site.account("dead@example.org")
        self.site.ctl("mailbox", "elsewhere", "dead", "dead@example.org")
        self.until_answered(rb"-ERR \[SYS/TEMP\] the server that has this mailbox cannot be asked now", "dead@example.org")
        self.until_logged(rf"old server 127.0.0.1:{self.dead} cannot be used: .?Connection refused")

    def test_password_that_cannot_be_said(self):
        self.old.dialogue(b"+OK", b"+OK")
        with self.site.connect() as pop:
            pop.send(f"AUTH PLAIN {plain('anna@example.org', 'a')}\r\n".replace(plain("anna@example.org", "a"),
                     plain("anna@example.org", "a\r\nDELE 1")))
            self.assertRegex(pop.line(), rb"-ERR \[AUTH\]")
        self.assertNotIn(b"DELE 1", self.old.seen)

    def test_plain_where_it_is_offered(self):
        def script(pop):
            pop.send(b"+OK old\r\n")
            pop.line()
            pop.send(b"+OK\r\nTOP\r\nSASL LOGIN PLAIN\r\n.\r\n")
            seen.append(pop.line())
            pop.send(b"+ \r\n")
            seen.append(pop.line())
            pop.send(b"+OK\r\n")
            pop.line()
        seen = []
        self.old.script = script
        self.until_answered(rb"\+OK", password="pass word\t\xe4")
        self.assertEqual(seen, [b"AUTH PLAIN", plain("anna@example.org", "pass word\t\xe4").encode()])

    def test_what_cannot_be_relayed(self):
        self.old.dialogue(b"+OK", b"+OK")
        self.site.ctl("domain", "set", "example.org", "--store", "scram-sha-256")
        self.site.password("anna@example.org")
        for password, wanted in (("wrong", rb"-ERR \[AUTH\]"), (NEW, rb"-ERR this mailbox can be logged in to with a password only")):
            with self.subTest(wanted), self.site.connect() as pop:
                client = scram.Client("anna@example.org", password)
                reply = pop.cmd("AUTH SCRAM-SHA-256 " + base64.b64encode(client.first()).decode())
                reply = pop.cmd(base64.b64encode(client.final(base64.b64decode(reply[2:]))).decode())
                self.assertRegex(reply if not reply.startswith(b"+ ") else pop.cmd(""), wanted)
        self.assertEqual(self.old.seen, [])
        self.until_logged("result=refused reason=old-server-mechanism")

    def test_says_more_than_it_should(self):
        """Behind the answer to STLS, where it would be taken for what comes by TLS; in one piece, and in two."""
        self.site.ctl("old-server", "set", "old", "tls=stls")
        self.addCleanup(self.site.ctl, "old-server", "set", "old", "tls=none")
        for pieces in (b"+OK begin\r\n+OK logged in\r\n",), (b"+O", b"K begin\r\n"), (b"+OK begin\r\n",):
            def script(pop, pieces=pieces):
                pop.send(b"+OK old\r\n")
                self.assertEqual(pop.line(), b"STLS")
                for piece in pieces:
                    pop.send(piece)
                first.append(pop.sock.recv(1))
                pop.send(b"+OK logged in\r\n" * 3)
                pop.sock.recv(10)
            first = []
            with self.subTest(pieces):
                self.old.script = script
                self.assertTrue(kit.wait_until(lambda: re.match(rb"-ERR \[SYS/TEMP\]", self.said()) and first))
                # The first octet of a handshake, or the end.
                self.assertIn(first[0], (b"\x16", b""))

    def test_mail(self):
        """It is stored here, or waits; nobody is told that there is no such user whom the old server may have."""
        self.site.account("bert@example.org")
        self.site.ctl("domain", "add", "elsewhere.example", "--tenant", self.site.sql("select t.name from postern.tenant t limit 1"))
        self.site.account("moved@elsewhere.example")
        self.site.ctl("domain", "elsewhere", "elsewhere.example", "old")
        self.site.ctl("mailbox", "here", "moved@elsewhere.example")
        self.site.ctl("alias", "add", "all@example.org", "anna@example.org", "bert@example.org")
        self.addCleanup(self.site.ctl, "old-server", "set", "old", "mail=here")
        for mail, wanted in (("here", "250"), ("defer", "450")):
            self.site.ctl("old-server", "set", "old", f"mail={mail}")
            with self.subTest(mail), Lmtp(f"127.0.0.1:{self.site.lmtp}") as lmtp:
                lmtp.ok("MAIL FROM:<s@sender.example>")
                for who, code in (("anna@example.org", wanted), ("all@example.org", wanted), ("bert@example.org", "250"),
                                  ("moved@elsewhere.example", "250"), ("nobody@elsewhere.example", "450"), ("nobody@example.org", "550")):
                    with self.subTest(who):
                        lmtp.send(f"RCPT TO:<{who}>\r\n")
                        reply = str(lmtp.reply())
                        self.assertIn(code, reply)
                        self.assertEqual("still at another server" in reply, code == "450")

    def test_silence(self):
        """A session in which nothing goes either way ends, and so does one whose client does not take what is sent."""
        def script(pop):
            pop.send(b"+OK old\r\n")
            for reply in b"-ERR", b"+OK", b"+OK":
                pop.line()
                pop.send(reply + b"\r\n")
            pop.line()
            while True:
                pop.send(b"x" * 65536)
        self.old.script = script
        second = self.site.second('pop3_idle = "2s"; pop3_write_time = "2s";\n').start()
        self.addCleanup(second.stop)

        def ended(count):
            return len(re.findall('session user="anna@example.org" .* relayed=.* end=timeout', second.log.read_text())) == count
        with kit.Pop(second.address) as pop:
            pop.login("anna@example.org", OLD)
            self.assertTrue(pop.at_end())
            self.assertTrue(kit.wait_until(lambda: ended(1)))
        with kit.Pop(second.address, rcvbuf=4096) as pop:
            pop.login("anna@example.org", OLD)
            pop.send("RETR 1\r\n")
            self.assertTrue(kit.wait_until(lambda: ended(2)))

    def test_check(self):
        """posternd --check says what cannot be relayed, and what is no server."""
        def check(text):
            path = self.site.dir / "check.conf"
            path.write_text(self.site.lab.conf.read_text() + text)
            return subprocess.run([str(self.site.lab.posternd), "-c", str(path), "--check"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, env=lab.plain_env(), check=False).stdout.decode()
        self.assertIn("warning: sasl_mechanisms: SCRAM-SHA-256 cannot be relayed", check(""))
        self.assertNotIn("PLAIN cannot", check(""))
        conf = self.site.lab.conf.read_text()
        for found, wrong, pattern in ((f"127.0.0.1:{self.dead}", "old.example", '"old.example" is not HOST:PORT'),
                                      ('pop3_relay_time = "3s"', 'pop3_relay_time = "2m"', "must be less than pop3_login_time"),
                                      (f"{self.site.dir}/tls/ca.pem", "/nowhere/ca.pem", "could not read the authorities of old servers in /nowhere")):
            with self.subTest(wrong):
                self.assertIn(found, conf)
                path = self.site.dir / "wrong.conf"
                path.write_text(conf.replace(found, wrong))
                done = subprocess.run([str(self.site.lab.posternd), "-c", str(path), "--check"], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, env=lab.plain_env(), check=False)
                self.assertIn(pattern, done.stdout.decode())
                self.assertNotEqual(done.returncode, 0)

    def test_certificates(self):
        """Of another name, of another authority, over: nothing is said by TLS, nor without."""
        self.addCleanup(self.site.ctl, "old-server", "set", "old", "tls=none", "host=127.0.0.1")
        for tls in "pops", "stls":
            for name, why in (("other", "hostname mismatch"), ("selfmade", "self.signed certificate"),
                              ("ended", "certificate has expired")):
                def script(pop, tls=tls, name=name):
                    if tls == "stls":
                        pop.send(b"+OK old\r\n")
                        pop.line()
                        pop.send(b"+OK\r\n")
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(self.site.lab.tls / f"{name}.pem", self.site.lab.tls / f"{name}.key")
                    pop.sock = context.wrap_socket(pop.sock, server_side=True)
                    pop.send(b"+OK old\r\n")
                    while True:
                        heard.append(pop.line())
                heard = []
                with self.subTest(tls=tls, certificate=name):
                    self.site.ctl("old-server", "set", "old", f"tls={tls}", "host=localhost")
                    self.old.script = script
                    pattern = f"cannot be used: .?TLS: ({why})"
                    before = len(re.findall(pattern, self.site.log_text()))

                    def told():
                        self.assertRegex(self.said(), rb"^-ERR \[SYS/TEMP\]")
                        return len(re.findall(pattern, self.site.log_text())) > before
                    self.assertTrue(kit.wait_until(told), self.site.log_tail())
                    self.assertEqual(heard, [])

    def test_inetd(self):
        self.old.dialogue(b"+OK", b"+OK")
        ours, theirs = socket.socketpair()
        with subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--inetd"], stdin=theirs, stdout=theirs,
                              stderr=subprocess.DEVNULL, env=lab.plain_env()) as proc:
            theirs.close()
            with kit.Pop("", sock=ours) as pop:
                pop.login("anna@example.org", OLD)
                pop.ok("NOOP anything")
                pop.ok("QUIT")
            proc.wait(kit.PATIENCE)
        self.assertIn(b"NOOP anything", self.old.seen)


if __name__ == "__main__":
    unittest.main()
