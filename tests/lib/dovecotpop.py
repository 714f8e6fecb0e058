"""Dovecot's POP3 sessions over a Maildir: its session process alone, without login and master; for a client that wants
to log in, in front of a port. Or all of it, with a configuration."""
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

import kit

SESSION = "/usr/lib/dovecot/pop3"
OLD = "mail_location = maildir:{mail}\n"
NEW = "dovecot_config_version = {version}\ndovecot_storage_version = {version}\nmail_driver = maildir\nmail_path = {mail}\n"


def version():
    """Of the Dovecot that is installed, "2.3.19.1"."""
    return subprocess.run(["dovecot", "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()[0].split("-")[0]


class DovecotPop:
    """A copy of the Maildir, owned by nobody, and who reads it. Needs root."""

    def __init__(self, maildir, extra=""):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.mail = self.top / "mail"
        shutil.copytree(maildir, self.mail)
        for name in "run", "state":
            (self.top / name).mkdir()
        number = version()
        first = OLD if number.startswith("2.3.") else NEW
        (self.top / "conf").write_text(first.format(mail=self.mail, version=number) + f"log_path = {self.top}/log\nbase_dir = {self.top}/run\n"
                                       f"state_dir = {self.top}/state\nssl = no\n{extra}\n", encoding="ascii")
        (self.top / "log").touch()
        subprocess.run(["chown", "-R", "nobody:nogroup", self.top], check=True)
        self.listener = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.listener is not None:
            self.listener.close()
        shutil.rmtree(self.top)

    def argv(self):
        return ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "env", "USER=anna", f"HOME={self.top}",
                SESSION, "-c", str(self.top / "conf")]

    def session(self, *commands):
        """What one session answers."""
        done = subprocess.run(self.argv(), input="".join(c + "\r\n" for c in (*commands, "QUIT")).encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        log = (self.top / "log").read_text()
        if b"-ERR" in done.stdout or "Error" in log or not done.stdout.startswith(b"+OK"):
            raise AssertionError(f"{done.stdout[:2000]}\n{done.stderr}\n{log}")
        return done.stdout

    def listed(self, command):
        """The second word of each line: UIDLs, or sizes."""
        return [line.split()[1] for line in self.session(command).split(b"\r\n") if line[:1].isdigit()]

    def retrieved(self, count):
        out = self.session(*(f"RETR {n}" for n in range(1, count + 1)))
        found = []
        for part in out.split(b"\r\n.\r\n")[:count]:
            body = part[part.index(b" octets\r\n") + 9:] + b"\r\n"
            found.append((b"\r\n" + body).replace(b"\r\n..", b"\r\n.")[2:])
        return found

    def listen(self):
        """A port of loopback: whoever comes is let in, and then talks to a session."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()
        return self.listener.getsockname()[1]

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                self.serve(client)

    def serve(self, client):
        lines = client.makefile("rwb", 0)
        lines.write(b"+OK\r\n")
        for line in lines:
            verb = line.split()[0].upper()
            if verb == b"CAPA":
                lines.write(b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\n.\r\n")
            elif verb == b"PASS":
                break
            elif verb == b"QUIT":
                lines.write(b"+OK\r\n")
                return
            else:
                lines.write(b"+OK\r\n" if verb == b"USER" else b"-ERR\r\n")
        # The session greets nobody.
        lines.write(b"+OK\r\n")
        subprocess.run(self.argv(), stdin=client.fileno(), stdout=client.fileno(), check=False)


class Dovecot:
    """All of its processes, on a port of loopback, with this configuration for users and mail. Needs root."""
    CONF = """base_dir = {top}/run
state_dir = {top}/state
log_path = {top}/log
protocols = pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""

    def __init__(self, conf):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.top.chmod(0o755)
        for name in "run", "state":
            (self.top / name).mkdir()
        self.port = kit.lab.free_port()
        (self.top / "conf").write_text(self.CONF.format(top=self.top, port=self.port) + conf, encoding="ascii")
        self.proc = subprocess.Popen(["dovecot", "-F", "-c", self.top / "conf"], stderr=subprocess.DEVNULL, preexec_fn=kit.die_with_parent)
        if not kit.wait_until(self.answers):
            text = (self.top / "log").read_text()
            self.__exit__()
            raise AssertionError(text)

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                return s.recv(4).startswith(b"+OK")
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.terminate()
        self.proc.wait()
        shutil.rmtree(self.top)
