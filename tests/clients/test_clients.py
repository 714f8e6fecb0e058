"""Real clients fetch every sample; what they got is compared with the file, octet for octet."""
import mailbox
import os
import pathlib
import poplib
import re
import shutil
import ssl
import subprocess
import tempfile
import unittest

import kit

WHO = "clients@example.org"


def with_lf(data):
    """As a Unix client stores it."""
    return data.replace(b"\r\n", b"\n")


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("clients-", pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.host, _, cls.port = cls.site.address.rpartition(":")
        cls.ca = cls.site.lab.tls / "ca.pem"
        # A large one, made here; and one that is all dots.
        cls.letters = [p.read_bytes() for p in kit.samples()]
        cls.letters.append(kit.letter(9, 3_000_000))
        cls.letters.append(b"Subject: dots\r\n\r\n" + b".\r\n..\r\n.x\r\n" * 3000)
        cls.want = [kit.canonical(data) for data in cls.letters]

    def setUp(self):
        self.site.account(WHO, self.letters)
        self.tmp = pathlib.Path(tempfile.mkdtemp(dir=self.site.dir))
        self.addCleanup(shutil.rmtree, self.tmp)

    def run_client(self, *argv, ok=(0,), **kw):
        done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=60, env=dict(os.environ, HOME=str(self.tmp), LC_ALL="C"), **kw)
        self.assertIn(done.returncode, ok, f"{argv}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}{self.site.log_tail()}")
        return done

    def left(self):
        return int(self.site.sql(f"select messages from postern.mailbox where address = '{WHO}'"))

    def test_poplib(self):
        """X04 Y01: poplib counts octets by itself."""
        pop = poplib.POP3(self.host, int(self.port), timeout=30)
        poplib._MAXLINE = 1 << 20           # its own limit for a line is below what mail has
        self.assertIn("UIDL", pop.capa())
        pop.user(WHO)
        pop.pass_(kit.PASSWORD)
        self.assertEqual(pop.stat(), (len(self.want), sum(map(len, self.want))))
        sizes = [int(row.split()[1]) for row in pop.list()[1]]
        for n, want in enumerate(self.want, 1):
            _, lines, _ = pop.retr(n)
            self.assertEqual(b"".join(line + b"\r\n" for line in lines), want, f"message {n}")
            self.assertEqual(sizes[n - 1], len(want))
            head = want.partition(b"\r\n\r\n")[0].split(b"\r\n")
            top = pop.top(n, 0)[1]
            self.assertEqual([line for line in top if line], [line for line in head if line])
        uids = [row.split()[1] for row in pop.uidl()[1]]
        self.assertEqual(len(set(uids)), len(self.want))
        pop.dele(1)
        pop.rset()
        pop.quit()
        self.assertEqual(self.left(), len(self.want))

    def test_curl(self):
        url = f"pop3://{self.site.address}/"
        login = ("--silent", "--show-error", "--user", f"{WHO}:{kit.PASSWORD}")
        listing = self.run_client("curl", *login, url).stdout
        self.assertEqual(listing, b"".join(b"%d %d\r\n" % (n, len(w)) for n, w in enumerate(self.want, 1)))
        for n, want in enumerate(self.want, 1):
            self.assertEqual(self.run_client("curl", *login, f"{url}{n}").stdout, want, f"message {n}")
        self.assertIn(b"1 ", self.run_client("curl", *login, "--request", "UIDL", url).stdout)
        # 67: curl's "login denied".
        self.run_client("curl", "--silent", "--user", f"{WHO}:wrong", url, ok=(67,))
        self.run_client("curl", *login, "--request", "DELE", "--head", url + "2")
        self.assertEqual(self.left(), len(self.want) - 1)

    def test_fetchmail(self):
        """It fetches all, deletes all, and hands each one over as it came, lines ending in LF."""
        rc = self.tmp / "fetchmailrc"
        rc.write_text(f'poll {self.host} service {self.port} protocol pop3 user "{WHO}" password "{kit.PASSWORD}" '
                      f"sslproto '' no rewrite no stripcr fetchall nokeep\n"
                      f'  mda "cat > {self.tmp}/$(ls {self.tmp} | wc -l).got"\n')
        rc.chmod(0o600)
        self.run_client("fetchmail", "--fetchmailrc", rc, "--pidfile", self.tmp / "pid", "--invisible",
                        "--nosyslog", "--silent")
        # Numbers, as the clock of a machine may be set while we run.
        got = [p.read_bytes() for p in sorted(self.tmp.glob("*.got"), key=lambda p: int(p.stem))]
        self.assertEqual(len(got), len(self.want))
        for n, (data, want) in enumerate(zip(got, self.want), 1):
            # fetchmail parses the header and may end the message itself; the body is not its business,
            # but for a line of more than 8 KiB: every 8 KiB it adds an octet or two of its own there.
            body, data = with_lf(want).partition(b"\n\n")[2].rstrip(b"\n"), with_lf(data).rstrip(b"\n")
            if max(map(len, body.split(b"\n"))) > 8000:
                rest = iter(data.partition(b"\n\n")[2])
                self.assertTrue(all(octet in rest for octet in body), f"message {n}: {data[-300:]}")
            else:
                self.assertTrue(data.endswith(body), f"message {n}: {data[-300:]}")
        self.assertEqual(self.left(), 0)

    def test_mpop(self):
        """Two runs: the second one, by UIDL, finds nothing new."""
        maildir = self.tmp / "Maildir"
        for name in ("cur", "new", "tmp"):
            (maildir / name).mkdir(parents=True)
        rc = self.tmp / "mpoprc"
        rc.write_text(f"account default\nhost {self.host}\nport {self.port}\nuser {WHO}\npassword {kit.PASSWORD}\n"
                      f"auth user\ntls off\nkeep on\nreceived_header off\ndelivery maildir {maildir}\n"
                      f"uidls_file {self.tmp}/uidls\n")
        rc.chmod(0o600)
        self.run_client("mpop", "--file", rc, "--quiet")
        box = mailbox.Maildir(maildir)
        got = sorted(box.get_bytes(key) for key in box.keys())
        self.assertEqual(len(got), len(self.want))
        self.assertEqual(got, sorted(with_lf(w) for w in self.want))
        again = self.run_client("mpop", "--file", rc, "--quiet")
        self.assertEqual(len(mailbox.Maildir(maildir).keys()), len(self.want), again.stdout)
        # The same run without `keep` takes them away.
        rc.write_text(re.sub("keep on", "keep off", rc.read_text()))
        self.run_client("mpop", "--file", rc, "--quiet")
        self.assertEqual(self.left(), 0)


    # -- the same with TLS: at once, and by STLS

    def test_poplib_tls(self):
        trust = ssl.create_default_context(cafile=self.ca)
        poplib._MAXLINE = 1 << 20
        for way in ("implicit", "stls"):
            if way == "implicit":
                pop = poplib.POP3_SSL("localhost", self.site.pop3s, timeout=30, context=trust)
            else:
                pop = poplib.POP3("localhost", int(self.port), timeout=30)
                pop.stls(trust)
            self.assertNotIn("STLS", pop.capa())
            pop.user(WHO)
            pop.pass_(kit.PASSWORD)
            for n, want in enumerate(self.want, 1):
                self.assertEqual(b"".join(line + b"\r\n" for line in pop.retr(n)[1]), want, f"message {n}")
            pop.quit()

    def test_curl_tls(self):
        login = ("--silent", "--show-error", "--cacert", self.ca, "--user", f"{WHO}:{kit.PASSWORD}")
        for way in ((f"pop3s://localhost:{self.site.pop3s}/",), (f"pop3://localhost:{self.port}/", "--ssl-reqd")):
            url, *more = way
            for n, want in enumerate(self.want, 1):
                self.assertEqual(self.run_client("curl", *login, *more, f"{url}{n}").stdout, want, f"message {n}")
        # 60: a client that does not trust the authority takes nothing; 77: it trusts nobody, as there are no ca-certificates.
        self.run_client("curl", "--silent", "--user", f"{WHO}:{kit.PASSWORD}", f"pop3s://localhost:{self.site.pop3s}/", ok=(60, 77))
        for version, ok in (("--tls-max", (35,)), ("--tlsv1.3", (0,))):
            more = (version, "1.1") if version == "--tls-max" else (version,)
            self.run_client("curl", *login, *more, f"pop3s://localhost:{self.site.pop3s}/", ok=ok)

    def test_mpop_tls(self):
        for starttls, port in (("on", self.port), ("off", self.site.pop3s)):
            maildir = self.tmp / f"Maildir{starttls}"
            for name in ("cur", "new", "tmp"):
                (maildir / name).mkdir(parents=True)
            rc = self.tmp / "mpoprc"
            rc.write_text(f"account default\nhost localhost\nport {port}\nuser {WHO}\npassword {kit.PASSWORD}\nauth user\n"
                          f"tls on\ntls_starttls {starttls}\ntls_trust_file {self.ca}\nkeep on\nreceived_header off\n"
                          f"delivery maildir {maildir}\nuidls_file {self.tmp}/uidls{starttls}\n")
            rc.chmod(0o600)
            self.run_client("mpop", "--file", rc, "--quiet")
            box = mailbox.Maildir(maildir)
            self.assertEqual(sorted(box.get_bytes(key) for key in box.keys()), sorted(with_lf(w) for w in self.want))

    def test_fetchmail_tls(self):
        for port, ssl_words in ((self.site.pop3s, "ssl"), (self.port, "sslproto tls1.2+")):
            self.site.account(WHO, self.letters[:3])
            rc = self.tmp / "fetchmailrc"
            rc.write_text(f'poll localhost service {port} protocol pop3 user "{WHO}" password "{kit.PASSWORD}" '
                          f'{ssl_words} sslcertck sslcertfile "{self.ca}" fetchall nokeep mda "cat >> {self.tmp}/{port}.got"\n')
            rc.chmod(0o600)
            self.run_client("fetchmail", "--fetchmailrc", rc, "--pidfile", self.tmp / "pid", "--invisible", "--nosyslog", "--silent")
            self.assertEqual(self.left(), 0)
            self.assertTrue((self.tmp / f"{port}.got").stat().st_size > 0)
        self.assertRegex(self.site.log_text(), f'login user="{WHO}" peer=\\S+ tls=TLSv1.[23] cipher=\\S+ result=ok')


if __name__ == "__main__":
    unittest.main()
