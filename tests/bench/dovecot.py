"""Dovecot beside Postern, in its best-tuned form: few processes with many
sessions each (client_limit) that are there before the sessions come, plain-text
passwords in a file and in the auth cache, no lock for a session, no directory
read again where an index knows it, no size asked of a file. Used by tests/bench/run where Debian's dovecot-pop3d is installed
(`make bench-deps`); everything lives in one directory and on ports of loopback."""
import os
import pathlib
import pwd
import shutil
import subprocess
import time

from servers import free_port

CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = pop3{lmtp_protocol}
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = {location}
auth_mechanisms = plain
auth_cache_size = 10M
pop3_no_flag_updates = yes
pop3_fast_size_lookups = yes
pop3_lock_session = no
maildir_very_dirty_syncs = yes
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
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
  service_count = 0
  process_min_avail = 2
  client_limit = 2000
}}
service pop3 {{
  service_count = 0
  client_limit = 1000
  process_min_avail = 4
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
  process_min_avail = 8
  service_count = 0
}}
protocol lmtp {{
  postmaster_address = postmaster@bench.example
}}
"""

LOCATIONS = {"dovecot": "maildir:{dir}/mail/%n", "mdbox": "mdbox:{dir}/mail/%n"}


def installed():
    return os.path.exists("/usr/lib/dovecot/pop3") and shutil.which("dovecot") and os.geteuid() == 0


class Dovecot:
    beside, db_root = (), None

    def __init__(self, directory, password, certificate, peer="dovecot"):
        self.dir, self.password, self.peer, self.root = pathlib.Path(directory), password, peer, None
        for name in ("mail", "state"):
            (self.dir / name).mkdir(parents=True)
        (self.dir / "users").write_text("")
        self.port, self.tls_port = free_port(), free_port()
        # By LMTP into the same mailboxes, durable: fsync is its default there.
        self.lmtp = free_port() if os.path.exists("/usr/lib/dovecot/lmtp") else None
        (self.dir / "dovecot.conf").write_text(CONFIG.format(
            dir=self.dir, port=self.port, tls_port=self.tls_port, location=LOCATIONS[peer].format(dir=self.dir),
            certificate=certificate, key=certificate.with_suffix(".key"), lmtp_protocol=" lmtp" if self.lmtp else "",
            lmtp_service=LMTP_SERVICE.format(lmtp=self.lmtp) if self.lmtp else ""))

    def fill(self, names, messages, secret=None, repeat=1, linked=False):
        """The same messages for each user, a list of bytes, `repeat` times; secret: of all of them, with its scheme."""
        owner = pwd.getpwnam("nobody").pw_uid
        stored = [text.replace(b"\r\n", b"\n") for text in messages]
        pool = self.dir / "pool"
        if linked:
            pool.mkdir(exist_ok=True)
            for i, text in enumerate(stored):
                (pool / str(i)).write_bytes(text)
        with open(self.dir / "users", "a", encoding="ascii") as lines:
            for name in names:
                lines.write(f"{name}@bench.example:{secret or '{PLAIN}' + self.password}\n")
                for part in ("cur", "new", "tmp") if messages else ():
                    (self.dir / "mail" / name / part).mkdir(parents=True)
                for i in range(len(messages) * repeat):
                    k = i % len(messages)
                    path = self.dir / "mail" / name / "cur" / f"{1700000000 + i}.M{i}.bench,S={len(stored[k])},W={len(messages[k])}:2,S"
                    if linked:
                        os.link(pool / str(k), path)
                    else:
                        path.write_bytes(stored[k])
        subprocess.run(["chown", "-R", str(owner), self.dir / "mail"], check=True)

    def up(self):
        subprocess.run(["dovecot", "-c", self.dir / "dovecot.conf"], check=True, stderr=subprocess.DEVNULL)
        pid_file = self.dir / "run" / "master.pid"
        for _ in range(100):
            if pid_file.exists() and pid_file.read_text().strip():
                break
            time.sleep(0.1)
        self.root = int(pid_file.read_text())
        time.sleep(1)

    def stop(self):
        if self.root:
            subprocess.run(["dovecot", "-c", self.dir / "dovecot.conf", "stop"], check=False, stderr=subprocess.DEVNULL)
            for _ in range(100):
                if not pathlib.Path(f"/proc/{self.root}").exists():
                    break
                time.sleep(0.1)
            self.root = None

    down = stop

    def fresh(self):
        self.stop()
        self.up()
