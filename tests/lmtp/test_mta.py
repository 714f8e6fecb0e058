"""A real Postfix and a real Exim deliver into Postern, by the configurations of etc/; the mail is read back by POP3.

Debian's packages are fetched and unpacked into $BUILD/debs (they cannot be
installed beside each other) and run on loopback, in private directories.
Both start as root and become somebody else, so only root can run them.
"""
import grp
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import subprocess
import unittest

from lmtpkit import DOMAIN, LETTER, U1, U2, Case, Site, kit

unpacked, sections = kit.unpacked, kit.sections
MTA_USER = "mail"               # stands in for postfix and Debian-exim, which their packages would make
ALIAS = "alias.example"


def messages():
    """What is awkward on its way: dots, 8 bit, bare line ends, ten megabytes."""
    head = b"From: s@sender.example\r\nTo: u1@t1.example\r\nSubject: test\r\nMessage-ID: <%d@sender.example>\r\n" \
           b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n"
    bodies = [b"body\r\n", b".\r\n..\r\n.x\r\n...\r\n", "gr\u00fc\u00dfe\r\n".encode() + b"\xff\xfe\x80\r\n", b"a\r\n" * 3 + b"\r\n\r\n",
              b"", b"x" * 990 + b"\r\n", kit.letter(7, 300000), kit.letter(8, 10_000_000)]
    return [head % n + body for n, body in enumerate(bodies)]


class Mta(unittest.TestCase):
    """Postern with a socket that the mail server can reach."""

    @classmethod
    def setUpClass(cls):
        cls.site = Site("mta-")
        cls.addClassCleanup(cls.site.down)
        cls.dir = cls.site.dir / "mta"
        cls.socket = cls.dir / "queue" / "postern" / "lmtp"
        cls.socket.parent.mkdir(parents=True)
        listeners = (f'{{ address = "127.0.0.1"; port = {kit.lab.free_port()}; }}, {{ address = "{cls.socket}"; protocol = "lmtp";'
                     f' mode = "0660"; group = "{grp.getgrgid(pwd.getpwnam(MTA_USER).pw_gid).gr_name}"; }},'
                     f' {{ address = "127.0.0.1"; port = {cls.site.lmtp}; protocol = "lmtp"; }}')
        cls.site.up(kit.QUICK + f"listeners = ( {listeners} );\n")
        cls.site.users("u1", "u2")
        cls.site.ctl("domain", "add", ALIAS, "--alias-of", DOMAIN)
        cls.site.ctl("alias", "add", f"all@{DOMAIN}", U1, U2)
        cls.site.users("p1", domain="pipe.example")
        cls.site.sql(f"select count(postern.add_mailbox('r' || n || '@{DOMAIN}', null)) from generate_series(1, 200) n")
        cls.port = kit.lab.free_port()
        cls.start()
        if not kit.wait_until(cls.answers):
            raise AssertionError("the mail server does not answer:\n" + cls.log())

    def setUp(self):
        self.site.empty("u1", "u2")

    @classmethod
    def answers(cls):
        try:
            with smtplib.SMTP("127.0.0.1", cls.port, timeout=5) as s:
                return s.noop()[0] == 250
        except OSError:
            return False

    def send(self, message, *recipients, utf8=False):
        """Over SMTP, the octets as they are but for dot-stuffing. Who was refused."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as s:
            return s.sendmail("s@sender.example", list(recipients), message, mail_options=["BODY=8BITMIME"])

    def arrived(self, count, *names):
        if not kit.wait_until(lambda: all(self.site.count(n) == count for n in names), 60):
            self.fail(f"{[self.site.count(n) for n in names]} instead of {count}\n{self.log()}\n{self.site.log_tail()}")

    def check_messages(self):
        sent = messages()
        for message in sent:
            self.send(message, U1)
        self.arrived(len(sent), "u1")
        bodies = [body for _, body in self.site.bodies(U1)]
        for message in sent:
            # In front is what the mail server itself wrote.
            self.assertEqual(1, sum(b.endswith(b"\r\n" + message) and b.startswith(b"Received: ") for b in bodies), message[:200])
        self.site.checked()

    def check_many_recipients(self):
        before = self.site.contents()
        names = [f"r{n}" for n in range(1, 201)]
        self.send(LETTER, *(f"{n}@{DOMAIN}" for n in names))
        self.arrived(1, *names)
        self.assertEqual(self.site.contents(), before + 1)      # one transaction, stored once
        self.site.checked()

    def check_refused(self, code):
        for who in (f"ghost@{DOMAIN}", f"ghost@{ALIAS}", "x@nowhere.example"):
            with self.assertRaises(smtplib.SMTPRecipientsRefused) as refused:
                self.send(LETTER, who)
            self.assertIn(refused.exception.recipients[who][0], code)


class Postfix(Mta):
    @classmethod
    def start(cls):
        tree, pgsql = unpacked("postfix"), unpacked("postfix-pgsql")
        etc, data = cls.dir / "etc", cls.dir / "data"
        libs = cls.dir / "lib"
        etc.mkdir()
        data.mkdir()
        # Postfix looks for the libraries of its tables in one folder.
        shutil.copytree(tree / "usr/lib/postfix", libs, symlinks=True)
        for lib in (pgsql / "usr/lib/postfix").glob("*.so*"):
            shutil.copy(lib, libs)
        cls.library_path = f"{libs}:{kit.beside(tree, pgsql).get('LD_LIBRARY_PATH', '')}".rstrip(":")
        (etc / "dynamicmaps.cf").write_text("pgsql postfix-pgsql.so dict_pgsql_open\n")
        for name in ("pid", "active", "incoming", "deferred", "defer", "bounce", "corrupt", "flush", "hold", "saved", "trace", "private",
                     "public", "maildrop"):
            (cls.dir / "queue" / name).mkdir()
        for path in (data, *(cls.dir / "queue").iterdir()):
            if path.name not in ("pid", "postern"):
                shutil.chown(path, MTA_USER, MTA_USER)
        sample = sections("postfix-postern")
        main = sample.pop("/etc/postfix/main.cf")
        pipe = sample.pop("or by a program, one recipient at a time: /etc/postfix/master.cf")
        pipe = re.sub(r"^#.*\n", "", pipe, flags=re.M).replace("/usr/local/sbin/posternctl", str(cls.site.lab.posternctl))
        pipe = pipe.replace("/run/postern/lmtp", f"127.0.0.1:{cls.site.lmtp}")
        for title, text in sample.items():
            (etc / pathlib.Path(title).name).write_text(text.replace("unix:/run/postgresql", f"unix:{cls.site.lab.sockets}"))
        main = main.replace("/etc/postfix", str(etc))
        (etc / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {cls.dir}/queue
command_directory = {tree}/usr/sbin
daemon_directory = {libs}/sbin
shlib_directory = {libs}
meta_directory = {etc}
data_directory = {data}
mail_owner = {MTA_USER}
setgid_group = news
default_privs = nobody
import_environment = MAIL_CONFIG LD_LIBRARY_PATH={cls.library_path} TZ
maillog_file = {cls.dir}/log
maillog_file_prefixes = {cls.dir}
inet_interfaces = 127.0.0.1
myhostname = mx.test.example
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
message_size_limit = 50000000
virtual_mailbox_limit = 0
smtpd_recipient_limit = 1000
smtpd_relay_restrictions = reject_unauth_destination
transport_maps = inline:{{ pipe.example=postern: }}
postern_destination_recipient_limit = 1
queue_run_delay = 2s
minimal_backoff_time = 2s
transport_retry_time = 1s
# As they come: a line of more than 998 octets would be folded.
lmtp_line_length_limit = 0
{main}
""")
        # As Debian has it, but for what is not needed; the LMTP client runs chrooted there, too.
        (etc / "master.cf").write_text(f"""
127.0.0.1:{cls.port} inet n - n - - smtpd
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
proxymap  unix  -       -       n       -       -       proxymap
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
lmtp      unix  -       -       y       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
{pipe}
""")
        ident = cls.site.lab.data / "pg_ident.conf"
        ident.write_text(ident.read_text() + f"postern {MTA_USER} postern_maps\n")
        cls.site.sql("select pg_reload_conf()")
        with open(cls.dir / "out", "wb") as out:
            cls.proc = subprocess.Popen([f"{libs}/sbin/master", "-c", str(etc), "-d"], stdin=subprocess.DEVNULL,
                                        stdout=out, stderr=subprocess.STDOUT,
                                        env={"LD_LIBRARY_PATH": cls.library_path, "PATH": os.environ["PATH"]})
        cls.addClassCleanup(cls.stop)

    @classmethod
    def stop(cls):
        cls.proc.send_signal(signal.SIGTERM)
        cls.proc.wait(20)

    @classmethod
    def log(cls):
        return "".join(p.read_text(errors="replace") for p in (cls.dir / "out", cls.dir / "log") if p.exists())

    def test_messages(self):
        self.check_messages()

    def test_many_recipients(self):
        self.check_many_recipients()

    def test_refused_while_the_sender_is_there(self):
        self.check_refused((550, 554))

    def test_whom_the_maps_know(self):
        self.site.ctl("alias", "add", f"@{DOMAIN}", U2)
        self.addCleanup(self.site.ctl, "alias", "remove", f"@{DOMAIN}")
        for n, who in enumerate((f"u1+tag@{DOMAIN}", f"U1@{ALIAS}", f"all@{DOMAIN}", f"all@{ALIAS}"), 1):
            self.send(LETTER, who)
            self.arrived(n, "u1")
        self.arrived(2, "u2")
        self.send(LETTER, f"anybody@{DOMAIN}", f"anybody@{ALIAS}")
        kit.wait_until(lambda: self.site.count("u2") >= 3)
        self.assertGreaterEqual(self.site.count("u2"), 3)

    def test_bare_line_ends(self):
        """Postfix makes lines of them; what arrives is canonical."""
        self.send(b"Subject: x\r\n\r\na\nb\n.\nc\r\n", U1)
        self.arrived(1, "u1")
        self.assertTrue(self.site.bodies(U1)[0][1].endswith(b"\r\n\r\na\r\nb\r\n.\r\nc\r\n"))

    def test_postern_is_away(self):
        """It waits in Postfix's queue, is tried again, and is there once."""
        os.kill(self.site.lab.master_pid(), signal.SIGTERM)
        self.assertTrue(kit.wait_until(lambda: not self.site.lab.daemon_pids()))
        self.send(LETTER, U1, U2)
        self.assertTrue(kit.wait_until(lambda: "status=deferred" in self.log()), self.log())
        self.site.lab.daemon_start()
        self.arrived(1, "u1", "u2")

    def test_pipe(self):
        """By posternctl deliver, as pipe(8) starts it: the tool's exit statuses and words are what Postfix makes of them."""
        self.site.empty("p1", domain="pipe.example")
        message = messages()[1]
        self.send(message, "p1@pipe.example")
        self.assertTrue(kit.wait_until(lambda: self.site.count("p1", "pipe.example") == 1), self.log())
        self.assertTrue(self.site.bodies("p1@pipe.example")[0][1].endswith(b"\r\n" + message))
        self.site.ctl("mailbox", "set", "p1@pipe.example", "--quota", "100")
        self.addCleanup(self.site.ctl, "mailbox", "set", "p1@pipe.example", "--quota", "none")
        self.send(message, "p1@pipe.example")
        self.assertTrue(kit.wait_until(lambda: "dsn=4.2.2, status=deferred" in self.log()), self.log())
        self.site.ctl("mailbox", "set", "p1@pipe.example", "--quota", "none")
        self.assertTrue(kit.wait_until(lambda: self.site.count("p1", "pipe.example") == 2), self.log())

    def test_smtp_source(self):
        """Postfix's own generator speaks LMTP to Postern directly."""
        done = subprocess.run([unpacked("postfix") / "usr/sbin/smtp-source", "-L", "-m", "300", "-s", "8", "-l", "5000", "-f", "s@sender.example",
                               "-t", U1, f"inet:127.0.0.1:{self.site.lmtp}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={"LD_LIBRARY_PATH": self.library_path}, timeout=120, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b""))
        self.assertEqual(self.site.count("u1"), 300)
        self.site.checked()


class Exim(Mta):
    @classmethod
    def start(cls):
        # A copy, which is not setuid: such programs do not take the library that they get below.
        exim = cls.dir / "exim4"
        tree = unpacked("exim4-daemon-light")
        shutil.copyfile(tree / "usr/sbin/exim4", exim)
        exim.chmod(0o755)
        sample = sections("exim-postern")
        main = sample["main section"].replace("example.org : example.net", f"{DOMAIN} : {ALIAS}")
        acl = sample["acl_check_rcpt, before `accept domains = +local_domains`"]
        conf = cls.dir / "exim.conf"
        spool = cls.dir / "spool"
        for path in (spool, cls.dir / "log"):
            path.mkdir()
            shutil.chown(path, MTA_USER, MTA_USER)
        conf.write_text(f"""
keep_environment =
never_users =
exim_path = {cls.dir}/exim
deliver_drop_privilege = true
primary_hostname = mx.test.example
spool_directory = {spool}
log_file_path = {cls.dir}/log/%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = {cls.port}
tls_advertise_hosts =
message_size_limit = 50M
smtp_accept_max = 0
recipients_max = 1000
accept_8bitmime = true
acl_smtp_rcpt = acl_check_rcpt
acl_smtp_data = acl_check_data
{main}
begin acl
acl_check_rcpt:
{acl}
  deny message = relay not permitted
acl_check_data:
  accept
begin routers
{sample["routers, before those for local users"]}
begin transports
{sample["transports"].replace("port = 24", f"port = {cls.site.lmtp}")}
begin retry
* * F,1h,1s
""")
        conf.chmod(0o644)
        # Debian's Exim wants a user of that name, before it reads anything: it gets one, for itself.
        user = pwd.getpwnam(MTA_USER)
        for name, line in (("passwd", f"Debian-exim:x:{user.pw_uid}:{user.pw_gid}::/:/bin/false\n"),
                           ("group", f"Debian-exim:x:{user.pw_gid}:\n")):
            (cls.dir / name).write_text(line + pathlib.Path("/etc", name).read_text())
        wrapper, = unpacked("libnss-wrapper").glob("usr/lib/*/libnss_wrapper.so")
        again = cls.dir / "exim"        # it starts itself again, and drops what it does not know from its environment
        again.write_text(f"#!/bin/sh\nLD_LIBRARY_PATH={kit.beside(tree).get('LD_LIBRARY_PATH', '')} LD_PRELOAD={wrapper} NSS_WRAPPER_PASSWD={cls.dir}/passwd NSS_WRAPPER_GROUP={cls.dir}/group \\\n"
                         f"    exec {exim} \"$@\"\n")
        again.chmod(0o755)
        with open(cls.dir / "out", "wb") as out:
            cls.proc = subprocess.Popen([str(again), "-C", str(conf), "-bdf", "-q1s"], stdin=subprocess.DEVNULL,
                                        stdout=out, stderr=subprocess.STDOUT)
        cls.addClassCleanup(cls.stop)

    @classmethod
    def stop(cls):
        cls.proc.send_signal(signal.SIGTERM)
        cls.proc.wait(20)
        # Its queue runners are processes of their own.
        for pid in kit.lab.pids():
            try:
                argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if str(cls.dir).encode() in argv:
                kit.lab.signal_all([pid], signal.SIGTERM)

    @classmethod
    def log(cls):
        return "".join(p.read_text(errors="replace") for p in (cls.dir / "out", *(cls.dir / "log").glob("*log")) if p.exists())

    def test_messages(self):
        self.check_messages()

    def test_many_recipients(self):
        self.check_many_recipients()

    def test_refused_while_the_sender_is_there(self):
        self.check_refused((550,))


class Swaks(Case):
    """Single dialogues, by a client that we did not write."""

    def swaks(self, *args, data=None):
        tree = unpacked("swaks")
        done = subprocess.run(["perl", tree / "usr/bin/swaks", "--protocol", "LMTP", "--server", "127.0.0.1",
                               "--port", str(self.site.lmtp), "--from", "s@sender.example", "--helo", "tester.example", *args],
                              input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
                              env=kit.lab.plain_env(**kit.beside(tree)))
        return done.returncode, done.stdout.decode(errors="replace")

    def test_delivery(self):
        status, said = self.swaks("--to", f"{U1},{U2}", "--data", "-", data=b"Subject: test\n\n.dot\n..\nlast\n")
        self.assertEqual(status, 0, said)
        self.assertEqual(len(re.findall(r"^<-  250 2\.1\.5 <u\d@t1\.example> stored", said, re.M)), 2)
        for who in (U1, U2):
            self.assertTrue(self.site.bodies(who)[0][1].startswith(b"Subject: test\r\n\r\n.dot\r\n..\r\nlast\r\n"))

    def test_pipelining(self):
        status, said = self.swaks("--to", f"{U1},ghost@{DOMAIN}", "--pipeline", "--body", "hello")
        self.assertEqual(self.site.count("u1"), 1, said)
        self.assertIn("550 5.1.1", said)

    def test_refused(self):
        status, said = self.swaks("--to", f"ghost@{DOMAIN}")
        self.assertEqual(status, 24, said)          # swaks: no recipient was accepted


if not kit.ROOT:
    print("skipped 2: neither Postfix nor Exim can be started by anybody but root")
    del Postfix, Exim
del Mta

if __name__ == "__main__":
    unittest.main()
