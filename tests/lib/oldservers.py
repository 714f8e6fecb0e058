"""POP3 servers that mail comes from: Debian's Dovecot, Courier and Cyrus, unpacked privately.

The POP3 process of Dovecot and that of Courier serve one session, whose password another
program has checked, on standard input and output; Login is that program, on loopback. Cyrus
has its master, as its own programs want it. Only root can run them, as they become somebody
else.
"""
import contextlib
import os
import pathlib
import poplib
import pwd
import shutil
import smtplib
import socket
import socketserver
import struct
import subprocess
import threading

import kit

OWNER = pwd.getpwnam("nobody")
USER, PASSWORD = "anna", "old secret"


class Login(socketserver.ThreadingTCPServer):
    """CAPA, USER and PASS; then the process has the connection, and answers PASS if nobody else does."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, argv, env, cwd, answer=b""):
        self.process, self.answer = (argv, env, cwd), answer
        super().__init__(("127.0.0.1", 0), None)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def finish_request(self, request, _):
        """Octet by octet: what comes after PASS is not ours."""
        request.sendall(b"+OK old server\r\n")
        line = b""
        while octet := request.recv(1):
            line += octet
            if octet != b"\n":
                continue
            verb = line.split(b" ")[0].strip().upper()
            line = b""
            if verb == b"PASS":
                request.sendall(self.answer)
                argv, env, cwd = self.process
                subprocess.run(argv, env=env, cwd=cwd, stdin=request, stdout=request, stderr=subprocess.DEVNULL, check=False)
                return
            request.sendall({b"CAPA": b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\n.\r\n", b"USER": b"+OK\r\n"}.get(verb, b"-ERR\r\n"))
            if verb == b"QUIT":
                return


class Old:
    """What all of them have: a port, and the listing of the only mailbox."""

    def __init__(self, port):
        self.port = port

    def session(self, delete=()):
        """(UIDLs, sizes), in order; then these messages are deleted."""
        with contextlib.closing(poplib.POP3("127.0.0.1", self.port, timeout=kit.PATIENCE)) as pop:
            pop.user(USER)
            pop.pass_(PASSWORD)
            uidls = [row.split(b" ", 1)[1].decode("latin-1") for row in pop.uidl()[1]]
            sizes = [int(row.split()[1]) for row in pop.list()[1]]
            for n in delete:
                pop.dele(n)
            pop.quit()
        return uidls, sizes


def owned(folder):
    subprocess.run(["chown", "-R", f"{OWNER.pw_uid}:{OWNER.pw_gid}", folder], check=True)


def as_owner(argv):
    return ["setpriv", "--reuid", str(OWNER.pw_uid), "--regid", str(OWNER.pw_gid), "--clear-groups", *map(str, argv)]


class Dovecot(Old):
    """Of Debian 12 or later, whose 2.4 has other words. settings: beside those that name private directories."""

    def __init__(self, top, maildir, control=None, **settings):
        tree = kit.unpacked("dovecot-pop3d")
        top.mkdir()
        for name in "run", "state":
            (top / name).mkdir()
        doveconf = tree / "usr/bin/doveconf"        # it is not in the tree where dovecot-core is installed
        libraries = f"{kit.beside(tree).get('LD_LIBRARY_PATH', '')}:{tree}/usr/lib/dovecot"
        self.env = dict(os.environ, USER=USER, HOME=str(top), LD_LIBRARY_PATH=libraries)
        self.doveconf = [doveconf if doveconf.exists() else "/usr/bin/doveconf", "-c", top / "dovecot.conf"]
        lines = [f"log_path = /dev/stderr\nbase_dir = {top}/run\nstate_dir = {top}/state\nssl = no"]
        (top / "dovecot.conf").write_text("dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n")
        self.is_24 = subprocess.run([*self.doveconf, "-n"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
        if self.is_24:
            lines = ["dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0", *lines, f"mail_driver = maildir\nmail_path = {maildir}",
                     f"import_environment {{\n  USER = {USER}\n  HOME = {top}\n  LD_LIBRARY_PATH = {libraries}\n}}"]
            lines += [f"mail_control_path = {control}"] if control else []
        else:
            lines.append(f"mail_location = maildir:{maildir}" + (f":CONTROL={control}" if control else ""))
        (top / "dovecot.conf").write_text("\n".join(lines + [f"{name} = {value}" for name, value in settings.items() if value]) + "\n")
        owned(top)
        argv = as_owner([*self.doveconf, *(["-F"] if self.is_24 else ["-m", "pop3", "-e"]), tree / "usr/lib/dovecot/pop3"])
        self.server = Login(argv, self.env, top, b"+OK\r\n")
        super().__init__(self.server.server_address[1])

    def printed(self, path):
        """A file with what `doveconf -n` prints."""
        path.write_bytes(subprocess.run([*self.doveconf, "-n"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout)
        return path

    def down(self):
        self.server.shutdown()
        self.server.server_close()


class Courier(Old):
    def __init__(self, maildir):
        tree = kit.unpacked("courier-pop")
        libraries = f"{kit.beside(tree).get('LD_LIBRARY_PATH', '')}:{tree}/usr/lib"
        env = dict(os.environ, AUTHENTICATED=USER, AUTHADDR=USER, TCPREMOTEIP="127.0.0.1", MAILDIR=str(maildir), HOME=str(maildir), LD_LIBRARY_PATH=libraries)
        owned(maildir)
        self.server = Login(as_owner([tree / "usr/lib/courier/courier/courierpop3d", maildir]), env, maildir)
        super().__init__(self.server.server_address[1])

    def down(self):
        self.server.shutdown()
        self.server.server_close()


class Saslauthd(threading.Thread):
    """Whoever asks is right: the passwords of the old server are not what is tested."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        os.chmod(path, 0o666)
        self.listener.listen()
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.listener.accept()
                with conn:
                    for _ in range(4):          # login, password, service, realm
                        length, = struct.unpack(">H", conn.recv(2, socket.MSG_WAITALL))
                        conn.recv(length, socket.MSG_WAITALL)
                    conn.sendall(struct.pack(">H", 2) + b"OK")


class Cyrus(Old):
    """The whole of it in one directory, with its master, pop3d and lmtpd."""

    def __init__(self, top, conf=""):
        tree = kit.unpacked("cyrus-pop3d")
        self.top, programs = top, tree / "usr/lib/cyrus/bin"
        for name in ("config/proc", "config/db", "config/socket", "config/lock", "config/log", "spool/stage.", "ptclient"):
            (top / name).mkdir(parents=True)
        self.listing = kit.lab.free_port()
        self.lmtp = top / "lmtp"
        (top / "imapd.conf").write_text(
            f"configdirectory: {top}/config\npartition-default: {top}/spool\ncyrus_user: {OWNER.pw_name}\nadmins: cyrus\nservername: old.example\n"
            f"proc_path: {top}/config/proc\nmboxname_lockpath: {top}/config/lock\nlmtpsocket: {self.lmtp}\nsasl_pwcheck_method: saslauthd\n"
            f"sasl_saslauthd_path: {top}/sasl\nsasl_mech_list: PLAIN\nallowplaintext: yes\nautocreate_quota: 0\nautocreate_post: yes\n"
            f"autocreate_quota_messages: 0\nexpunge_mode: delayed\ndelete_mode: delayed\nduplicatesuppression: no\nstatuscache: no\n"
            f"conversations: no\nsearch_engine: none\nunixhierarchysep: no\n{conf}")
        (top / "cyrus.conf").write_text(
            f'START {{\n recover cmd="{programs}/ctl_cyrusdb -C {top}/imapd.conf -r"\n}}\nSERVICES {{\n'
            f' pop3 cmd="{programs}/pop3d -C {top}/imapd.conf" listen="127.0.0.1:{self.listing}" prefork=0\n'
            f' lmtpunix cmd="{programs}/lmtpd -C {top}/imapd.conf -a" listen="{self.lmtp}" prefork=0\n}}\nEVENTS {{\n}}\n')
        owned(top)
        self.sasl = Saslauthd(top / "sasl")
        self.env = dict(os.environ, CYRUS_USER=OWNER.pw_name, **kit.beside(tree))
        self.log = open(top / "master.log", "wb")
        self.master = subprocess.Popen([programs / "master", "-D", "-C", top / "imapd.conf", "-M", top / "cyrus.conf", "-p", top / "pid"],
                                       env=self.env, cwd=top, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=kit.die_with_parent)
        super().__init__(self.listing)
        if not kit.wait_until(self.answers):
            raise AssertionError("Cyrus does not answer:\n" + (top / "master.log").read_text(errors="replace"))

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                return s.recv(3) == b"+OK"
        except OSError:
            return False

    def deliver(self, letters):
        with smtplib.LMTP(str(self.lmtp), timeout=kit.PATIENCE) as lmtp:
            for letter in letters:
                lmtp.sendmail("s@sender.example", [USER], letter)

    def mailbox(self):
        """Its directory: mbpath prints the same."""
        return next(path.parent for path in (self.top / "spool").rglob("cyrus.index"))

    def down(self):
        self.master.terminate()
        self.master.wait()
        self.log.close()
        self.sasl.listener.close()
