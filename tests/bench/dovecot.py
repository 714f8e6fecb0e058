"""Dovecot beside Postern, in its best-tuned form: few processes with many
sessions each (client_limit), plain-text passwords in a file, no index noise
at login. Used by tests/bench/run where Debian's dovecot-pop3d is installed
(`make bench-deps`); everything lives in one directory and on one port of
loopback."""
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import time

CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = pop3{lmtp_protocol}
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:{dir}/mail/%n
auth_mechanisms = plain
auth_cache_size = 10M
pop3_no_flag_updates = yes
mail_max_userip_connections = 100000
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={dir}/mail/%n
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  service_count = 0
  process_min_avail = 2
  client_limit = 2000
}}
service pop3 {{
  service_count = 0
  client_limit = 1000
  process_min_avail = 2
}}
{lmtp_service}service anvil {{
  client_limit = 10000
}}
service auth {{
  client_limit = 10000
}}
"""


LMTP_SERVICE = """service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
  process_min_avail = 4
  service_count = 0
}}
protocol lmtp {{
  postmaster_address = postmaster@bench.example
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def installed():
    return os.path.exists("/usr/lib/dovecot/pop3") and shutil.which("dovecot") and os.geteuid() == 0


class Dovecot:
    def __init__(self, directory, password):
        self.dir, self.password = pathlib.Path(directory), password
        for name in ("mail", "state"):
            (self.dir / name).mkdir(parents=True)
        (self.dir / "users").write_text("")
        self.port = free_port()
        # By LMTP into the same Maildirs, durable: fsync is its default there.
        self.lmtp = free_port() if os.path.exists("/usr/lib/dovecot/lmtp") else None
        (self.dir / "dovecot.conf").write_text(CONFIG.format(
            dir=self.dir, port=self.port, lmtp_protocol=" lmtp" if self.lmtp else "",
            lmtp_service=LMTP_SERVICE.format(lmtp=self.lmtp) if self.lmtp else ""))
        self.root, self.db_root = None, None

    def fill(self, group, users, messages):
        """The same messages for each user: a list of bytes."""
        owner = pwd.getpwnam("nobody").pw_uid
        with open(self.dir / "users", "a", encoding="ascii") as lines:
            for n in range(users):
                lines.write(f"{group}{n}@bench.example:{{PLAIN}}{self.password}\n")
                box = self.dir / "mail" / f"{group}{n}"
                for name in ("cur", "new", "tmp"):
                    (box / name).mkdir(parents=True)
                for i, text in enumerate(messages):
                    stored = text.replace(b"\r\n", b"\n")
                    (box / "cur" / f"{1700000000 + i}.M{i}.bench,S={len(stored)},W={len(text)}:2,S").write_bytes(stored)
        subprocess.run(["chown", "-R", str(owner), self.dir / "mail"], check=True)

    def start(self):
        subprocess.run(["dovecot", "-c", self.dir / "dovecot.conf"], check=True, stderr=subprocess.DEVNULL)
        pid_file = self.dir / "run" / "master.pid"
        for _ in range(100):
            if pid_file.exists() and pid_file.read_text().strip():
                break
            time.sleep(0.1)
        self.root = int(pid_file.read_text())
        time.sleep(1)

    def down(self):
        if self.root:
            subprocess.run(["dovecot", "-c", self.dir / "dovecot.conf", "stop"], check=False, stderr=subprocess.DEVNULL)
