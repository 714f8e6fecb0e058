"""Mail from somebody else's POP3 server: `posternctl import --pop3`, with a server that does what servers do, and with Dovecot."""
import itertools
import json
import pathlib
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

import kit
import lab
import olddovecot
from oldpop3 import OldServer

DONE, REFUSED, USAGE, PARTLY = 0, 1, 2, 3
PASSWORD = "wonder"


def mail(count, first=1, octets=400):
    return [(f"uid-{n}", kit.letter(n, octets)) for n in range(first, first + count)]


def setUpModule():
    """One lab for all: each test has mailboxes of its own."""
    site = kit.Site("import-pop3-", kit.QUICK + "cells = 1;\n")
    unittest.addModuleCleanup(site.down)
    site.up()
    for name, host in (("good", "DNS:localhost"), ("other", "DNS:old.example"), ("address", "IP:127.0.0.1")):
        site.lab.certificate(name, [host])
    Pop3Case.site, Pop3Case.ca, Pop3Case.secret = site, site.lab.tls / "ca.pem", site.dir / "secret"
    Pop3Case.secret.write_text(PASSWORD + "\n")


class Pop3Case(unittest.TestCase):
    numbers = itertools.count(1)

    def mailbox(self, letters=()):
        who = f"p{next(self.numbers)}@example.org"
        self.site.account(who, letters)
        return who

    def server(self, *args, **quirks):
        server = OldServer(*args, **quirks)
        self.addCleanup(server.__exit__)
        return server

    def command(self, who, server, *args):
        words = ["import", who, "--pop3", server if isinstance(server, str) else server.url(), "--user", "anna",
                 "--password-file", str(self.secret)]
        return words + (["--accept", "plaintext"] if not isinstance(server, str) and not server.tls and not server.stls else []) + list(args)

    def run_import(self, who, server, *args, exit=DONE):
        done = self.site.ctl(*self.command(who, server, *args), check=False)
        self.assertEqual(done.returncode, exit, done.stdout)
        return done.stdout.decode()

    def start(self, who, server, *args):
        argv = [self.site.lab.posternctl, "-c", self.site.lab.conf, *self.command(who, server, *args)]
        return subprocess.Popen([str(a) for a in argv], env=lab.plain_env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def uidls(self, who):
        with self.site.login(who) as pop:
            return [line.split()[1].decode("utf-8", "surrogateescape") for line in pop.multi("UIDL")]

    def expect(self, wanted, who):
        """UIDLs and octets, in order; None is a UIDL of ours."""
        self.assertEqual([kit.canonical(octets) for _, octets in wanted], self.site.fetched(who))
        ours = f"{int(self.site.sql(f'''select uidvalidity from postern.mailbox where address = '{who}' ''')):012x}."
        self.assertEqual([uidl for uidl, _ in wanted],
                         [None if uidl.startswith(ours) else uidl for uidl in self.uidls(who)])

    def received(self, who):
        return [m["received_at"] for m in json.loads(self.site.ctl("--json", "message", "list", who).stdout)]


class Server(Pop3Case):
    """What servers do, well or not."""

    def test_order_uidls_and_times(self):
        dated = b"Received: from a by b; Sun, 22 Nov 2026 21:45:20 +0100\r\nDate: Sat, 21 Nov 2026 00:00:00 +0000\r\n\r\n..\n.x\r.\r\n"
        letters = [("zz", dated), ("a~" * 40, b"Date: Sat, 21 Nov 2026 00:00:00 +0000\n\n."), ("\u20ac", b"A: 1\n\nno line end"),
                   ("y" * 480, kit.letter(4, 90_000)), ("b", b"\r\n.\r\n..\r\n")]
        server, who = self.server(letters), self.mailbox()
        out = self.run_import(who, server)
        self.expect(letters, who)
        self.assertIn("imported 5 messages", out)
        self.assertIn("listed 5 messages", out)
        self.assertIn("; times of arrival by Date: 1; arrived now, as they say no time: 3", out)
        self.assertEqual(self.received(who)[:2], ["2026-11-22T20:45:20Z", "2026-11-21T00:00:00Z"])
        self.assertNotIn("DELE", " ".join(server.commands))
        self.assertNotIn(PASSWORD, out)
        # The same again fetches nothing; what came since, it does.
        server.fetched.clear()
        self.assertIn("imported 0 messages, 0 octets into " + who, self.run_import(who, server))
        server.mail += mail(2, 100)
        self.assertIn("imported 2 messages", self.run_import(who, server))
        self.assertEqual(server.fetched, [6, 7])
        self.expect(letters + mail(2, 100), who)

    def test_asks_ahead_only_where_it_may(self):
        for capa, most in ((["UIDL", "PIPELINING"], 128), (["UIDL"], 1), (None, 1)):
            with self.subTest(capa=capa):
                server, who = self.server(mail(300), capa=capa), self.mailbox()
                self.run_import(who, server)
                self.expect(mail(300), who)

    def test_uidls_that_are_none(self):
        """Double, missing, or not to be kept: the messages get ours, and are compared by digest."""
        letters = [("one", kit.letter(1)), ("two", kit.letter(2)), ("two", kit.letter(3)), (None, kit.letter(4)), ("a b", kit.letter(5)),
                   ("x" * 481, kit.letter(6)), ("\udcff", kit.letter(7)), ("three", kit.letter(8))]
        server, who = self.server(letters), self.mailbox()
        out = self.run_import(who, server, exit=PARTLY)
        self.assertIn(f"UIDL {server.url()}:3 two is that of a message before, too", out)
        self.assertIn(f"UIDL {server.url()}:message 4 has no UIDL at the server", out)
        self.assertIn("5 UIDLs in doubt", out)
        wanted = [(None if n in (2, 3, 4, 5, 6) else uidl, octets) for n, (uidl, octets) in enumerate(letters)]
        self.expect(wanted, who)
        server.fetched.clear()
        self.run_import(who, server, exit=PARTLY)
        self.assertEqual(server.fetched, [2, 3, 4, 5, 6, 7])
        self.expect(wanted, who)

    def test_server_without_uidls(self):
        letters = [(None, kit.letter(n)) for n in (1, 2, 2, 3)]
        server, who = self.server(letters), self.mailbox()
        out = self.run_import(who, server, exit=PARTLY)
        self.assertIn("has no UIDLs", out)
        self.expect(letters, who)
        server.mail.append([None, kit.letter(2)])
        self.assertIn("imported 1 messages", self.run_import(who, server, exit=PARTLY))
        self.expect(letters + [(None, kit.letter(2))], who)

    def test_sizes_that_are_wrong(self):
        for sizes in (-300, 5000, lambda octets: 0, lambda octets: 9_223_372_036_854_775_807):
            with self.subTest(sizes=sizes):
                server, who = self.server(mail(3), sizes=sizes), self.mailbox()
                self.run_import(who, server)
                self.expect(mail(3), who)

    def test_lines_that_end_by_lf_alone(self):
        server, who = self.server(mail(3), end=b"\n"), self.mailbox()
        self.run_import(who, server)
        self.expect(mail(3), who)

    def test_messages_that_cannot_be_had(self):
        server, who = self.server(mail(6), refused={2: "-ERR [SYS/PERM] corrupt\x1b[31m", 3: "-ERR [SYS/TEMP] later"}, raw={5: b"+OK\r\n.\r\n"}), self.mailbox()
        out = self.run_import(who, server, "--wait", "4", exit=PARTLY)
        self.assertIn(f"REJECTED {server.url()}:message 2 the server says: [SYS/PERM] corrupt?[31m", out)
        self.assertIn(f"REJECTED {server.url()}:message 3 could not be read in 3 tries: the server says: [SYS/TEMP] later", out)
        self.assertIn(f"REJECTED {server.url()}:message 5 is empty", out)
        self.expect([m for n, m in enumerate(mail(6), 1) if n not in (2, 3, 5)], who)
        server.refused, server.raw = {}, {}
        self.assertIn("imported 3 messages", self.run_import(who, server))

    def test_connection_lost(self):
        """It is made again; a message that never comes is rejected, and the others follow."""
        server, who = self.server(mail(8, octets=20_000), cut={2: 1, 4: 2, 6: 99}, drop=0), self.mailbox()
        out = self.run_import(who, server, exit=PARTLY)
        self.assertIn(":message 6 could not be read in 3 tries: the server closed the connection", out)
        self.assertIn("imported 7 messages", out)
        server.cut = {}
        self.assertIn("imported 1 messages", self.run_import(who, server))
        self.assertEqual(sorted(self.uidls(who)), sorted(uidl for uidl, _ in mail(8)))

    def test_server_that_is_away_for_a_while(self):
        server, who = self.server(mail(5), cut={3: 1}), self.mailbox()
        first = server.retrieve

        def retrieve(connection, there, number):
            alive = first(connection, there, number)
            server.drop = 0 if alive else 2
            return alive
        server.retrieve = retrieve
        out = self.run_import(who, server)
        self.assertEqual(out.count("trying again in"), 2, out)
        self.expect(mail(5), who)

    def test_octet_by_octet(self):
        server, who = self.server(mail(2), trickle=True), self.mailbox()
        self.run_import(who, server)
        self.expect(mail(2), who)

    def test_an_octet_now_and_then(self):
        """A server is not waited for as long as it likes."""
        server, who = self.server(mail(1), endless=True), self.mailbox()
        self.assertIn("less than 1 KB of an answer in 1 seconds", self.run_import(who, server, "--wait", "1", exit=REFUSED))

    def test_ipv6(self):
        try:
            server = self.server(mail(1), host="::1")
        except OSError:
            self.skipTest("no IPv6 here")
        who = self.mailbox()
        self.run_import(who, f"pop://[::1]:{server.port}", "--accept", "plaintext")
        self.expect(mail(1), who)

    def test_changes_while_the_connection_is_lost(self):
        """Messages are found again by UIDL, where others have gone in front of them."""
        server, who = self.server(mail(8), cut={5: 1}), self.mailbox()
        first = server.retrieve

        def retrieve(connection, there, number):
            alive = first(connection, there, number)
            if not alive:
                server.mail[:] = [m for m in server.mail if m[0] not in ("uid-1", "uid-7")] + [["uid-9", kit.letter(9)]]
            return alive
        server.retrieve = retrieve
        out = self.run_import(who, server, exit=PARTLY)
        self.assertIn(":message 7 is no longer at the server", out)
        self.expect([m for m in mail(8) if m[0] != "uid-7"], who)

    def test_numbers_mean_nothing_without_uidls(self):
        server, who = self.server([(None, kit.letter(n)) for n in range(8)], cut={5: 1}), self.mailbox()
        first = server.retrieve

        def retrieve(connection, there, number):
            alive = first(connection, there, number)
            if not alive:
                del server.mail[0]
            return alive
        server.retrieve = retrieve
        out = self.run_import(who, server, exit=REFUSED)
        self.assertIn("have changed since", out)
        self.run_import(who, server, exit=PARTLY)
        self.expect([(None, kit.letter(n)) for n in range(8)], who)

    def test_busy_servers(self):
        for reply in ("-ERR [IN-USE] locked", "-ERR [SYS/TEMP] try again", "-ERR [LOGIN-DELAY 2] too soon"):
            with self.subTest(reply=reply):
                server, who = self.server(mail(2), login=[reply]), self.mailbox()
                out = self.run_import(who, server)
                self.assertIn("trying again in", out)
                self.expect(mail(2), who)
        server, who = self.server(mail(2), login=["-ERR [IN-USE] locked"] * 9), self.mailbox()
        out = self.run_import(who, server, "--wait", "2", exit=REFUSED)
        self.assertIn("[IN-USE] locked: nothing was stored", out)
        server = self.server(mail(2), login=["-ERR [LOGIN-DELAY] too soon"], capa=["UIDL", "USER", "LOGIN-DELAY 900"])
        self.assertIn("too soon; it wants us to wait for 900 s: see --wait", self.run_import(who, server, exit=REFUSED))
        server = self.server(mail(2), login=["-ERR wrong"])
        self.assertIn("wrong: nothing was stored", self.run_import(who, server, exit=REFUSED))
        self.assertEqual(server.sessions, 1)

    def test_servers_that_make_no_sense(self):
        who = self.mailbox()
        for what, quirks in (("is no reply of POP3", {"login": ["220 hello"]}), ("is out of order", {"mail": mail(2), "order": True}),
                             ("longer than 8192", {"login": ["+OK " + "x" * 9000]})):
            with self.subTest(what=what):
                server = self.server(quirks.get("mail", mail(1)), login=quirks.get("login", []))
                if "order" in quirks:
                    plain = server.command

                    def command(connection, there, verb, rest, server=server, plain=plain):
                        if verb == "LIST":
                            server.send(connection, "+OK", "2 1", "1 1", ".")
                            return True
                        return plain(connection, there, verb, rest)
                    server.command = command
                out = self.run_import(who, server, exit=REFUSED)
                self.assertIn(what, out)
        silent = self.server(mail(1))
        silent.session = lambda connection: connection.recv(1 << 16) and connection.recv(1 << 16)
        self.assertIn("no answer for 1 seconds", self.run_import(who, silent, "--wait", "1", exit=REFUSED))
        nobody = self.server(mail(1))
        nobody.__exit__()
        self.assertIn("Connection refused", self.run_import(who, nobody, exit=REFUSED))

    def test_large_message_in_bounded_memory(self):
        large, peak = kit.letter(1, 30_000_000), []
        server, who = self.server([("large", large), ("small", kit.letter(2))], capa=["UIDL"]), self.mailbox()
        first = server.retrieve

        def retrieve(connection, there, number):
            if number == 2:         # it is asked for when the first one is stored
                peak.append(int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{run.pid}/status").read_text()).group(1)))
            return first(connection, there, number)
        server.retrieve = retrieve
        run = self.start(who, server)
        out, _ = run.communicate()
        self.assertEqual(run.returncode, DONE, out)
        print(f"import of 30 MB by POP3: {peak[0]} kB resident", file=sys.stderr)
        if not kit.sanitized():
            self.assertLess(peak[0], 40000)
        self.expect([("large", large), ("small", kit.letter(2))], who)


class Login(Pop3Case):
    def context(self, name):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(self.site.lab.tls / f"{name}.pem", self.site.lab.tls / f"{name}.key")
        return c

    def test_certificates(self):
        capa = ["STLS", "USER", "UIDL"]
        for way in "tls", "stls":
            with self.subTest(way=way):
                server, who = self.server(mail(1), capa=capa, **{way: self.context("good")}), self.mailbox()
                out = self.run_import(who, server, "--tls-ca", self.ca)
                self.assertNotIn("warning", out)
                self.expect(mail(1), who)
                # Nobody is told a name or a password who is not the one.
                server, who = self.server(mail(1), capa=capa, **{way: self.context("good")}), self.mailbox()
                self.assertIn("its certificate cannot be trusted", self.run_import(who, server, exit=REFUSED))
                self.assertEqual(server.commands, [] if way == "tls" else ["CAPA", "STLS"])
                self.assertEqual(server.sessions, 1)
                server, who = self.server(mail(1), capa=capa, **{way: self.context("other")}), self.mailbox()
                self.assertIn("its certificate cannot be trusted: hostname mismatch", self.run_import(who, server, "--tls-ca", self.ca, exit=REFUSED))
                out = self.run_import(who, server, "--accept", "untrusted")
                self.assertIn("warning: the certificate of", out)
                self.expect(mail(1), who)
        server, who = self.server(mail(1), tls=self.context("address")), self.mailbox()
        self.run_import(who, server.url().replace("localhost", "127.0.0.1"), "--tls-ca", self.ca)
        self.assertIn("could not read the authorities", self.run_import(who, server, "--tls-ca", "/nonexistent", exit=REFUSED))

    def test_stls_that_is_taken_away(self):
        """By somebody on the way: no plain text unless asked for, and nothing that came in front of TLS."""
        server, who = self.server(mail(1), capa=None, stls=self.context("good")), self.mailbox()
        self.run_import(who, server, "--tls-ca", self.ca)
        self.expect(mail(1), who)
        server, who = self.server(mail(1), capa=["USER"], stls=self.context("good")), self.mailbox()
        self.assertIn("offers no TLS", self.run_import(who, server, "--tls-ca", self.ca, exit=REFUSED))
        server = self.server(mail(1), capa=["STLS", "USER"], stls=self.context("good"))
        server.injected = b"+OK\r\n.\r\n"
        self.assertIn("in front of TLS", self.run_import(who, server, "--tls-ca", self.ca, exit=REFUSED))

    def test_master_users(self):
        for capa, master, wanted in ((["SASL PLAIN"], "master", "AUTH PLAIN "), (["USER"], "master", "USER anna*master"),
                                     (["SASL PLAIN"], "/master", "USER anna/master")):
            with self.subTest(capa=capa, master=master):
                server, who = self.server(mail(1), capa=capa), self.mailbox()
                if not wanted.startswith("AUTH"):
                    server.user = wanted.removeprefix("USER ")
                self.run_import(who, server, "--master", master)
                self.assertIn(wanted, "\n".join(server.commands))
                self.expect(mail(1), who)

    def test_sasl_where_user_is_none(self):
        server, who = self.server(mail(1), capa=["SASL LOGIN PLAIN"]), self.mailbox()
        self.run_import(who, server)
        self.assertFalse(any(line.startswith(("USER", "PASS")) for line in server.commands))

    def test_no_secret_in_the_clear(self):
        server, who = self.server(mail(1)), self.mailbox()
        done = self.site.ctl("import", who, "--pop3", server.url(), "--user", "anna", "--password-file", str(self.secret), check=False)
        self.assertEqual(done.returncode, REFUSED)
        self.assertIn(b"the server offers no TLS", done.stdout)
        self.assertEqual([line.split()[0] for line in server.commands], ["CAPA"])

    def test_usage(self):
        who = self.mailbox()
        for args, said in ((["--pop3", "imap://x"], "begins with neither"), (["--pop3", "pops://u@x"], "--user"), (["--user", "x"], "--user is for --pop3"),
                           ([], "needs a path"), (["--pop3", "pop://x", "/tmp"], "exclude"), (["--pop3", "pop://x", "--any"], "--any is for files"),
                           *((["--pop3", "pop://x", option, *value], f"{option} is for files") for option, *value in
                             (["--server", "dovecot"], ["--control", "/tmp"], ["--folders"])),
                           (["--pop3", "pop://x", "--sync-limit", "3"], "--sync-limit is for --sync"), (["--pop3", "pop://x", "--accept", "all"], "not untrusted or plaintext"),
                           (["--pop3", "pop://x"], "there is no terminal")):
            with self.subTest(args=args):
                done = self.site.ctl("import", who, *args, check=False)
                self.assertIn(done.returncode, (USAGE, REFUSED), done.stdout)
                self.assertIn(said, done.stdout.decode())


class Ends(Pop3Case):
    """Ended in the middle."""

    def stored(self, who):
        return int(self.site.sql(f"select messages from postern.mailbox where address = '{who}'"))

    def test_killed(self):
        letters = mail(2500, octets=100)
        server, who = self.server(letters), self.mailbox()
        for _ in range(2):
            before = self.stored(who)
            run = self.start(who, server)
            kit.wait_until(lambda: self.stored(who) > before or run.poll() is not None)
            run.kill()
            run.communicate()
        self.run_import(who, server)
        self.assertEqual(self.uidls(who), [uidl for uidl, _ in letters])
        self.assertEqual(self.site.sql("select count(distinct content) from postern.message join postern.mailbox using (mailbox)"
                                       f" where address = '{who}'"), "2500")

    def test_interrupted(self):
        """What came is stored, even if the server says nothing any more."""
        server, who = self.server(mail(5)), self.mailbox()
        stuck, first = threading.Event(), server.retrieve

        def retrieve(connection, there, number):
            if number < 4:
                return first(connection, there, number)
            stuck.set()
            return connection.recv(1) is None
        server.retrieve = retrieve
        run = self.start(who, server)
        self.assertTrue(stuck.wait(kit.PATIENCE))
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=kit.PATIENCE)
        self.assertEqual(run.returncode, PARTLY, out)
        self.assertIn(b"interrupted: run the same command again", out)
        self.assertIn(self.stored(who), (1, 2, 3))      # those that it has read by then
        self.expect(mail(self.stored(who)), who)
        server.retrieve = first
        self.run_import(who, server)
        self.expect(mail(5), who)


@unittest.skipUnless(lab.ROOT, "Dovecot is started by root")
class Dovecot(Pop3Case):
    """Clients that left their mail at Dovecot find it here, and fetch what is new."""

    def run_client(self, *argv):
        done = subprocess.run([str(a) for a in argv], env=lab.plain_env(HOME=str(self.home)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, timeout=60, check=False)
        self.assertIn(done.returncode, (0, 1), done.stdout)     # fetchmail: 1 is no new mail

    def fetchmail(self, port, who, password):
        rc = self.home / "fetchmailrc"
        rc.write_text(f'poll old.example via 127.0.0.1 service {port} protocol pop3 uidl user "{who}" password "{password}" sslproto \'\' keep '
                      f'mda "cat >> {self.home}/fetchmail.got"\n')
        rc.chmod(0o600)
        (self.home / "fetchmail.got").write_bytes(b"")
        self.run_client("fetchmail", "--fetchmailrc", rc, "--idfile", self.home / "fetchids", "--pidfile", self.home / "pid", "--nosyslog", "--silent")
        return sorted(re.findall(rb"^Subject: letter (\d+)", (self.home / "fetchmail.got").read_bytes(), re.M), key=int)

    def mpop(self, port, who, password):
        rc = self.home / "mpoprc"
        rc.write_text(f"account default\nhost localhost\nport {port}\nuser {who}\npassword {password}\nauth user\ntls off\nkeep on\n"
                      f"received_header off\ndelivery mbox {self.home}/mpop.got\nuidls_file {self.home}/uidls\n")
        rc.chmod(0o600)
        (self.home / "mpop.got").write_bytes(b"")
        self.run_client("mpop", "--file", rc, "--quiet")
        return sorted(re.findall(rb"^Subject: letter (\d+)", (self.home / "mpop.got").read_bytes(), re.M), key=int)

    def test_clients_fetch_what_is_new(self):
        for kind in "maildir", "mdbox":
            with self.subTest(kind=kind):
                self.moves_from(kind)

    def moves_from(self, kind):
        who = self.mailbox()
        old = olddovecot.Dovecot(self.site.dir / kind, self.site.lab.tls / "good.pem", who, PASSWORD, kind,
                                 "disable_plaintext_auth = no\n" + ("pop3_uidl_format = %v.%u\n" if kind == "mdbox" else ""))
        self.addCleanup(old.down)
        self.home = self.site.dir / f"home-{kind}"
        self.home.mkdir()
        everything = [b"%d" % n for n in range(1, 9)]
        old.put([kit.letter(n) for n in range(1, 9)] + [b"Subject: dots\n\n.\n..\n.x\n"])
        self.assertEqual(self.fetchmail(old.port, who, PASSWORD), everything)
        self.assertEqual(self.mpop(old.port, who, PASSWORD), everything)

        def run(*args, **how):
            argv = ["import", who, "--pop3", *args, "--password-file", self.secret, "--tls-ca", self.ca]
            done = self.site.ctl(*argv, check=False)
            self.assertEqual(done.returncode, how.get("exit", DONE), done.stdout)
            return done.stdout.decode()
        self.assertIn("imported 9 messages", run(f"pops://localhost:{old.tls_port}"))
        self.assertIn("9 already there", run(f"pop://localhost:{old.port}"))
        # A second pass: mail came in, and a client deleted some.
        old.put([kit.letter(10), kit.letter(11)])
        with kit.Pop(f"127.0.0.1:{old.port}") as pop:
            pop.login(who, PASSWORD)
            pop.ok("DELE 2")
            pop.ok("QUIT")
        out = run(f"pops://localhost:{old.tls_port}", "--master", "master", "--sync")
        self.assertIn("imported 2 messages", out)
        self.assertIn("removed 1 of 11 messages", out)
        with kit.Pop(f"127.0.0.1:{old.port}") as pop:
            pop.login(who, PASSWORD)
            uidls, octets = [uidl.decode() for uidl in pop.uidl()], [pop.retr(n) for n in range(1, 11)]
        self.expect(list(zip(uidls, octets)), who)
        self.site.deliver(who, [kit.letter(12)])
        port = self.site.address.rpartition(":")[2]
        self.assertEqual(self.fetchmail(port, who, kit.PASSWORD), [b"10", b"11", b"12"])
        self.assertEqual(self.mpop(port, who, kit.PASSWORD), [b"10", b"11", b"12"])
        self.assertIn("AUTH", self.site.ctl("import", self.mailbox(), "--pop3", f"pops://localhost:{old.tls_port}", "--user", who, "--accept", "untrusted",
                                            "--password-file", "-", stdin=b"wrong\n", check=False).stdout.decode())


class Passes(Pop3Case):
    """The second time, and what has gone since."""

    def gone(self, who, *numbers):
        with self.site.login(who) as pop:
            for n in numbers:
                pop.ok(f"DELE {n}")
            pop.ok("QUIT")

    def read(self, who, *numbers):
        with self.site.login(who) as pop:
            for n in numbers:
                pop.retr(n)
            pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: self.site.sql(
            f"select count(*) from postern.message g join postern.mailbox m using (mailbox) where address = '{who}' and retrieved_at is not null") >= str(len(numbers))))

    def test_what_was_deleted_here_stays_so(self):
        server, who = self.server(mail(6)), self.mailbox()
        self.run_import(who, server)
        self.gone(who, 2, 3)
        server.fetched.clear()
        out = self.run_import(who, server)
        self.assertIn("4 already there", out)
        self.assertIn("left out: 2 deleted since they were imported", out)
        self.assertEqual(server.fetched, [])
        out = self.run_import(who, server, "--with", "gone", "--dry-run")
        self.assertIn("would import 2 messages", out)
        self.run_import(who, server, "--with", "gone")
        self.assertEqual(sorted(self.uidls(who)), sorted(u for u, _ in mail(6)))

    def test_dry_run(self):
        server, who = self.server(mail(3)), self.mailbox()
        out = self.run_import(who, server, "--dry-run")
        self.assertIn("would import 3 messages", out)
        self.assertEqual((server.fetched, self.uidls(who)), ([], []))
        told = json.loads(self.site.ctl("--json", *self.command(who, server, "--dry-run")).stdout.splitlines()[-1])
        self.assertEqual((told["imported"], told["dry_run"]), (3, True))

    def test_copies_are_told_apart(self):
        """Two messages with the same octets: that one is known by its UIDL does not make the other known."""
        server, who = self.server([("one", kit.letter(1))]), self.mailbox()
        self.run_import(who, server)
        server.mail += [["two", kit.letter(1)], ["three", kit.letter(1)]]
        self.run_import(who, server)
        self.expect([(u, kit.letter(1)) for u in ("one", "two", "three")], who)

    def test_mail_that_came_from_files_gets_its_uidls(self):
        letters = mail(5)
        server, who = self.server(letters), self.mailbox()
        with tempfile.TemporaryDirectory() as folder:
            for n, (_, octets) in enumerate(letters):
                pathlib.Path(folder, f"{n}.eml").write_bytes(octets)
            self.site.ctl("import", who, folder)
        self.gone(who, 2)
        out = self.run_import(who, server)
        self.assertIn("imported 0 messages", out)
        self.assertIn("4 messages got their UIDLs", out)
        self.expect([m for n, m in enumerate(letters) if n != 1], who)
        server.fetched.clear()
        out = self.run_import(who, server)
        self.assertIn("left out: 1 deleted since", out)
        self.assertEqual(server.fetched, [])

    def test_uidls_that_the_server_has_changed(self):
        """The messages are there, with the UIDLs that clients know: that is told, once, and --set-uidls changes them."""
        server, who = self.server(mail(3)), self.mailbox()
        self.run_import(who, server)
        server.mail = [[f"new-{uidl}", octets] for uidl, octets in mail(3)]
        self.assertIn("3 messages have other UIDLs here", self.run_import(who, server))
        self.expect(mail(3), who)
        self.assertNotIn("other UIDLs", self.run_import(who, server))
        self.assertIn("set 3 UIDLs", self.run_import(who, server, "--set-uidls"))
        self.expect([(f"new-{uidl}", octets) for uidl, octets in mail(3)], who)

    def test_set_uidls(self):
        letters = mail(3)
        who = self.mailbox([octets for _, octets in letters])
        server = self.server(letters)
        self.assertIn("would set 3 UIDLs", self.run_import(who, server, "--set-uidls", "--dry-run"))
        self.assertIn("set 3 UIDLs", self.run_import(who, server, "--set-uidls"))
        self.expect(letters, who)
        # Nothing is set, if not all can be looked at.
        server.mail = [[f"new-{uidl}", octets] for uidl, octets in letters]
        first, server.drop = server.retrieve, 0

        def retrieve(connection, there, number):
            if number == 3:
                server.password = "changed"
                return False
            return first(connection, there, number)
        server.retrieve = retrieve
        self.assertIn("no UIDL was set", self.run_import(who, server, "--set-uidls", exit=REFUSED))
        self.expect(letters, who)

    def test_sync(self):
        server, who = self.server(mail(8)), self.mailbox()
        self.run_import(who, server)
        self.site.deliver(who, [kit.letter(99)])
        self.read(who, 2)
        server.mail = server.mail[3:] + [["uid-20", kit.letter(20)]]
        out = self.run_import(who, server, "--sync", "--dry-run")
        self.assertIn("would import 1 messages", out)
        self.assertIn("would remove 2 of 8 messages, kept 1 that were read here", out)
        with self.site.login(who):
            self.assertIn("a session holds the maildrop", self.run_import(who, server, "--sync", exit=PARTLY))
        out = self.run_import(who, server, "--sync")
        self.assertIn("removed 2 of 9 messages, kept 1 that were read here", out)
        self.assertEqual([u for u in self.uidls(who) if u.startswith("uid-")], ["uid-2"] + [f"uid-{n}" for n in (4, 5, 6, 7, 8, 20)])
        self.assertEqual(len(self.uidls(who)), 8)
        self.assertIn("sync", self.site.ctl("history", who).stdout.decode())
        # What comes back is imported again.
        server.mail.append(["uid-1", kit.letter(1)])
        self.assertIn("imported 1 messages", self.run_import(who, server, "--sync"))
        self.assertIn("uid-1", self.uidls(who))

    def test_sync_with_a_server_that_lost_its_mail(self):
        server, who = self.server(mail(30)), self.mailbox()
        self.run_import(who, server)
        server.mail = []
        self.assertIn("lists no message", self.run_import(who, server, "--sync", exit=REFUSED))
        server.mail = [list(m) for m in mail(10)]
        out = self.run_import(who, server, "--sync", exit=REFUSED)
        self.assertIn("20 of 30 messages that came from there have gone", out)
        self.assertEqual(len(self.uidls(who)), 30)
        self.assertIn("removed 20 of 30", self.run_import(who, server, "--sync", "--sync-limit", "70"))
        server.mail = []
        self.assertIn("removed 10 of 10", self.run_import(who, server, "--sync", "--sync-limit", "100"))
        self.assertEqual(self.uidls(who), [])

    def test_sync_with_a_server_that_shows_other_uidls(self):
        """Whose UIDLs changed, or are not shown for once, is still there: nothing of it goes here."""
        server, who = self.server(mail(4)), self.mailbox()
        self.run_import(who, server)
        server.mail = [[f"new-{uidl}", octets] for uidl, octets in mail(4)]
        out = self.run_import(who, server, "--sync")
        self.assertIn("4 messages have other UIDLs here", out)
        self.assertIn("nothing that was imported from the server has gone there", out)
        self.expect(mail(4), who)
        server.mail[3][0] = None
        self.assertIn("1 of 4 messages have no UIDL at the server: nothing was removed", self.run_import(who, server, "--sync", exit=PARTLY))
        server.mail = [[None, octets] for _, octets in mail(4)]
        self.assertIn("4 of 4 messages have no UIDL at the server: nothing was removed", self.run_import(who, server, "--sync", exit=PARTLY))
        self.expect(mail(4), who)
        # And what has gone there goes here.
        server.mail = [[f"new-{uidl}", octets] for uidl, octets in mail(3)]
        self.assertIn("removed 1 of 4", self.run_import(who, server, "--sync"))
        self.expect(mail(3), who)

    def test_another_source_is_left_alone(self):
        """What came from files, or from another user, is not missed by this server."""
        server, who = self.server(mail(3)), self.mailbox()
        self.run_import(who, server)
        other = self.server(mail(3, 50), user="other")
        self.site.ctl("import", who, "--pop3", other.url(), "--user", "other", "--password-file", str(self.secret), "--accept", "plaintext")
        out = self.run_import(who, server, "--sync")
        self.assertIn("nothing that was imported from the server has gone there", out)
        self.assertEqual(len(self.uidls(who)), 6)
