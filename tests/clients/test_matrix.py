"""Every client over every transport by every mechanism that it knows: a row is a client, and says how to start it.

What a client brings home is compared with what was put there, and the log says
that it came as it was told to: with TLS or without, by this mechanism.
"""
import mailbox
import os
import pathlib
import poplib
import pty
import re
import select
import shutil
import ssl
import subprocess
import tempfile
import termios
import time
import unittest

import kit
import scram

WHO = "matrix@example.org"
TRANSPORTS = ("plain", "stls", "pop3s")
CONF = kit.QUICK + 'sasl_mechanisms = "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 APOP";\n'


class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("matrix-", CONF, pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.ca = cls.site.lab.tls / "ca.pem"
        cls.letters = [kit.letter(1), kit.letter(2, 20000), b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nend\r\n"]
        cls.want = sorted(letter.replace(b"\r\n", b"\n") for letter in cls.letters)
        cls.site.account(WHO, cls.letters)
        for kind, secret in (("scram-sha-256", scram.verifier(kit.PASSWORD)), ("shared-secret", kit.PASSWORD)):
            cls.site.sql(f"""insert into postern.credential (mailbox, kind, secret)
                select mailbox, '{kind}', '{secret}' from postern.mailbox where address = '{WHO}'""")

    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(dir=self.site.dir))
        self.addCleanup(shutil.rmtree, self.tmp)
        self.maildir = self.tmp / "Maildir"

    def port(self, transport):
        return self.site.pop3s if transport == "pop3s" else self.site.address.rpartition(":")[2]

    def write(self, name, text):
        path = self.tmp / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def fresh(self):
        shutil.rmtree(self.maildir, ignore_errors=True)
        for name in ("cur", "new", "tmp"):
            (self.maildir / name).mkdir(parents=True)

    def brought(self):
        box = mailbox.Maildir(self.maildir)
        return sorted(box.get_bytes(key) for key in box.keys())

    def run_client(self, *argv, **kw):
        done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=60, env=dict(os.environ, HOME=str(self.tmp), LC_ALL="C"), **kw)
        self.assertEqual(done.returncode, 0, f"{argv}\n{done.stdout[-2000:].decode(errors='replace')}{self.site.log_tail()}")
        return done.stdout

    def each(self, client, transports, mechanisms, run):
        """mechanisms: as the client calls it -> as our log does (None: USER and PASS)."""
        for transport in transports:
            for name, logged in mechanisms.items():
                with self.subTest(client=client, transport=transport, mechanism=name):
                    since = len(self.site.log_text())
                    self.fresh()
                    got = run(transport, name)
                    self.assertEqual(self.brought() if got is None else sorted(got), self.want)
                    tls = "" if transport == "plain" else r"tls=TLSv1\.[23] cipher=\S+ "
                    mechanism = f"mechanism={logged} " if logged else ""
                    pattern = rf'login user="{WHO}" peer=\S+ {tls}{mechanism}result=ok'
                    self.assertTrue(kit.wait_until(lambda s=since, p=pattern: re.search(p, self.site.log_text()[s:])), pattern + self.site.log_tail())
                    pattern = rf'session user="{WHO}" peer=.* mechanism={logged or "USER"} .* end='
                    self.assertTrue(kit.wait_until(lambda s=since, p=pattern: re.search(p, self.site.log_text()[s:])), pattern + self.site.log_tail())

    # -- the rows

    def test_curl(self):
        def run(transport, mechanism):
            login = ("--silent", "--show-error", "--cacert", self.ca, "--user", f"{WHO}:{kit.PASSWORD}", "--login-options", f"AUTH={mechanism}")
            url = f"{'pop3s' if transport == 'pop3s' else 'pop3'}://localhost:{self.port(transport)}/"
            more = ("--ssl-reqd",) if transport == "stls" else ()
            return [self.run_client("curl", *login, *more, f"{url}{n}").replace(b"\r\n", b"\n") for n in range(1, len(self.want) + 1)]
        self.each("curl", TRANSPORTS, {"PLAIN": "PLAIN", "LOGIN": "LOGIN", "CRAM-MD5": "CRAM-MD5", "+APOP": "APOP"}, run)
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "+APOP"):
            with self.subTest(wrong=mechanism):
                done = subprocess.run(["curl", "--silent", "--user", f"{WHO}:wrong", "--login-options", f"AUTH={mechanism}", f"pop3://{self.site.address}/"],
                                      timeout=60, check=False)
                self.assertEqual(done.returncode, 67)       # "login denied"

    def test_mpop(self):
        def run(transport, mechanism):
            tls = "tls off" if transport == "plain" else \
                f"tls on\ntls_starttls {'on' if transport == 'stls' else 'off'}\ntls_trust_file {self.ca}"
            rc = self.write("mpoprc", f"account default\nhost localhost\nport {self.port(transport)}\nuser {WHO}\npassword {kit.PASSWORD}\n"
                            f"auth {mechanism}\n{tls}\nkeep on\nreceived_header off\ndelivery maildir {self.maildir}\n"
                            f"uidls_file {self.tmp}/uidls-{transport}-{mechanism}\n")
            self.run_client("mpop", "--file", rc, "--quiet")
        plain = {"scram-sha-1": "SCRAM-SHA-1", "scram-sha-256": "SCRAM-SHA-256"}
        version = subprocess.run(["mpop", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        # Debian 13's binds SCRAM to the TLS connection, and gives up by itself where it is told not to; Debian 12's cannot.
        binds = tuple(map(int, re.search(r"version (\d+)\.(\d+)\.(\d+)", version).groups())) >= (1, 4, 21)
        bound = {f"{name}-plus": f"{logged}-PLUS" for name, logged in plain.items()} if binds else plain
        self.each("mpop", TRANSPORTS, {"user": None, "plain": "PLAIN", "login": "LOGIN", "cram-md5": "CRAM-MD5", "apop": "APOP"}, run)
        self.each("mpop", ("plain",), plain, run)
        self.each("mpop", ("stls", "pop3s"), bound, run)

    def test_fetchmail(self):
        def run(transport, mechanism):
            tls = {"plain": "sslproto ''", "stls": "sslproto tls1.2+ sslcertck", "pop3s": "ssl sslcertck"}[transport]
            how = {"password": "protocol pop3 auth password", "cram-md5": "protocol pop3 auth cram-md5", "apop": "protocol apop"}[mechanism]
            rc = self.write("fetchmailrc", f'poll localhost service {self.port(transport)} {how} user "{WHO}" password "{kit.PASSWORD}" {tls} '
                            f'sslcertfile "{self.ca}" no rewrite fetchall keep mda "cat > {self.tmp}/$(date +%s%N).got"\n')
            self.run_client("fetchmail", "--fetchmailrc", rc, "--pidfile", self.tmp / "pid", "--invisible", "--nosyslog", "--silent")
            got = []
            for path in self.tmp.glob("*.got"):
                # The header is its business; it adds lines to that.
                data = path.read_bytes()
                head, _, body = data.partition(b"\n\n")
                got += [w for w in self.want if w.partition(b"\n\n")[2] == body and re.search(rb"^Subject: [^\n]*", w, re.M)[0] in head] or [data]
                path.unlink()
            return got
        self.each("fetchmail", TRANSPORTS, {"password": None, "cram-md5": "CRAM-MD5"}, run)
        # With "protocol apop" it never says STLS, whatever sslproto asks for.
        self.each("fetchmail", ("plain", "pop3s"), {"apop": "APOP"}, run)

    def test_poplib(self):
        def run(transport, mechanism):
            trust = ssl.create_default_context(cafile=self.ca)
            if transport == "pop3s":
                pop = poplib.POP3_SSL("localhost", self.site.pop3s, timeout=30, context=trust)
            else:
                pop = poplib.POP3("localhost", int(self.port(transport)), timeout=30)
            if transport == "stls":
                pop.stls(trust)
            if mechanism == "apop":
                pop.apop(WHO, kit.PASSWORD)
            else:
                pop.user(WHO)
                pop.pass_(kit.PASSWORD)
            got = [b"".join(line + b"\n" for line in pop.retr(n)[1]) for n in range(1, len(self.want) + 1)]
            pop.quit()
            return got
        self.each("poplib", TRANSPORTS, {"user": None, "apop": "APOP"}, run)

    def test_getmail(self):
        """It knows no STLS, and does not deliver as root."""
        if kit.ROOT:
            shutil.chown(self.tmp, "nobody")
            ca = self.tmp / "ca.pem"
            shutil.copyfile(self.ca, ca)
        else:
            ca = self.ca

        def run(transport, mechanism):
            kind, more = ("SimplePOP3SSLRetriever", f"ca_certs = {ca}\n") if transport == "pop3s" else ("SimplePOP3Retriever", "")
            apop = "use_apop = true\n" if mechanism == "apop" else ""
            rc = self.write("getmailrc", f"[retriever]\ntype = {kind}\nserver = localhost\nport = {self.port(transport)}\nusername = {WHO}\n"
                            f"password = {kit.PASSWORD}\n{more}{apop}[destination]\ntype = Maildir\npath = {self.maildir}/\n"
                            "[options]\nread_all = true\ndelivered_to = false\nreceived = false\nverbose = 1\n")
            if kit.ROOT:
                subprocess.run(["chown", "-R", "nobody", self.tmp], check=True)
            self.run_client("getmail", "--getmaildir", self.tmp, "--rcfile", rc, **({"user": "nobody", "group": "nogroup", "extra_groups": []} if kit.ROOT else {}))
            # It adds a Return-Path line of its own.
            return [re.sub(rb"^Return-Path: [^\n]*\n", b"", data) for data in self.brought()]
        self.each("getmail", ("plain", "pop3s"), {"user": None, "apop": "APOP"}, run)

    def test_mutt(self):
        """On a terminal, as it has no other way; keys copy all messages into a Maildir and leave."""
        def run(transport, mechanism):
            url = f"{'pops' if transport == 'pop3s' else 'pop'}://localhost:{self.port(transport)}/"
            rc = self.write("muttrc", f'set pop_user="{WHO}"\nset pop_pass="{kit.PASSWORD}"\nset pop_authenticators="{mechanism}"\n'
                            f'set ssl_starttls={"yes" if transport == "stls" else "no"}\nset ssl_force_tls={"no" if transport == "plain" else "yes"}\n'
                            f'set ssl_ca_certificates_file="{self.ca}"\nset certificate_file="{self.tmp}/known"\nset ssl_verify_host=yes\nset pop_delete=no\nset pop_reconnect=no\n'
                            f'set folder="{self.tmp}"\n'
                            "set mbox_type=Maildir\nset confirmappend=no\nset confirmcreate=no\nset delete=no\nset quit=yes\nset wait_key=no\n"
                            "set copy=no\nset move=no\nset sleep_time=0\nset pop_checkinterval=0\nset header_cache=\"\"\nset message_cachedir=\"\"\n"
                            f'push "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{self.maildir}<enter><exit>"\n')
            self.on_terminal("mutt", "-n", "-F", rc, "-f", url)
            # It writes a Status line and such behind the header of a copy.
            return [re.sub(rb"^(Status|Content-Length|Lines): [^\n]*\n", b"", data, flags=re.M) for data in self.brought()]
        self.each("mutt", TRANSPORTS, {"user": None, "apop": "APOP", "plain": "PLAIN", "cram-md5": "CRAM-MD5", "scram-sha-256": "SCRAM-SHA-256"}, run)

    def on_terminal(self, *argv):
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(ours, (40, 120))       # to ncurses 6.5 one without a size is none
        env = dict(os.environ, HOME=str(self.tmp), LC_ALL="C", TERM="xterm")
        with subprocess.Popen([str(a) for a in argv], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True) as proc:
            os.close(theirs)
            shown, end = b"", time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    if select.select([ours], [], [], 0.2)[0]:
                        shown += os.read(ours, 65536)
                    elif proc.poll() is not None:
                        break
                except OSError:         # nobody has the terminal open any more
                    break
            else:
                proc.kill()
            os.close(ours)
            self.assertEqual(proc.wait(10), 0, shown[-3000:].decode(errors="replace") + self.site.log_tail())

    def test_openssl(self):
        """s_client, with the session by hand: -starttls pop3 says STLS by itself."""
        def run(transport, _mechanism):
            how = ("-starttls", "pop3") if transport == "stls" else ()
            with subprocess.Popen(["openssl", "s_client", "-connect", f"localhost:{self.port(transport)}", "-CAfile", str(self.ca), "-verify_return_error",
                                   "-verify_hostname", "localhost", "-crlf", "-quiet", *how],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as proc:
                said, _ = proc.communicate(f"USER {WHO}\nPASS {kit.PASSWORD}\n".encode() + b"".join(b"RETR %d\n" % n for n in (1, 2, 3)) + b"QUIT\n", 30)
            self.assertEqual(proc.returncode, 0)
            parts = re.findall(rb"(?s)\+OK \d+ octets[^\n]*\r\n(.*?)\r\n\.\r\n", said)
            return [kit.unstuffed(part.split(b"\r\n")).replace(b"\r\n", b"\n") for part in parts]
        self.each("openssl", ("stls", "pop3s"), {"user": None}, run)


if __name__ == "__main__":
    unittest.main()
