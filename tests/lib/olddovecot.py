"""Debian's Dovecot, unpacked privately, whole: with its logins, TLS, a master user, and any mail format. Only root can run it."""
import os
import pathlib
import shutil
import socket
import subprocess

import kit
import lab

CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
libexec_dir = {core}
mail_plugin_dir = {core}/modules
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_dh =
disable_plaintext_auth = yes
default_login_user = daemon
default_internal_user = nobody
default_internal_group = nogroup
import_environment = LD_LIBRARY_PATH
first_valid_uid = 1
mail_location = {location}
auth_mechanisms = plain
auth_master_user_separator = *
mailbox_list_index = no
mail_fsync = never
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/masters
  master = yes
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={dir}/mail/%n
}}
service pop3 {{
  executable = {tree}/usr/lib/dovecot/pop3
}}
service pop3-login {{
  executable = {tree}/usr/lib/dovecot/pop3-login
  chroot =
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
{more}
"""


class Unpacked:
    """Its programs, where it keeps what, and whether it answers; dovecot-core is unpacked with it, unless it is installed."""

    def __init__(self, where):
        self.dir = pathlib.Path(where)
        self.conf = self.dir / "dovecot.conf"
        self.tree = kit.unpacked("dovecot-pop3d")
        self.core = self.program("usr/lib/dovecot/auth").parent
        libraries = f"{kit.beside(self.tree).get('LD_LIBRARY_PATH', '')}:{self.tree}/usr/lib/dovecot"
        self.env = dict(os.environ, LC_ALL="C", LD_LIBRARY_PATH=libraries)
        self.port, self.tls_port, self.process = lab.free_port(), lab.free_port(), None

    def program(self, path):
        return self.tree / path if (self.tree / path).exists() else pathlib.Path("/") / path

    def start(self, **how):
        self.process = subprocess.Popen([self.program("usr/sbin/dovecot"), "-F", "-c", self.conf], env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=kit.die_with_parent, **how)
        if not kit.wait_until(self.answers):
            self.down()
            raise AssertionError("Dovecot does not answer: " + self.log())

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=kit.PATIENCE) as pop:
                return pop.recv(3) == b"+OK"
        except OSError:
            return False

    def log(self):
        path = self.dir / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def down(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(kit.PATIENCE)
            self.process = None


class Dovecot(Unpacked):
    """kind: of mail_location. One user, and a master user who is called master; both have this password."""

    def __init__(self, where, certificate, user, password, kind="maildir", more=""):
        super().__init__(where)
        self.user = user
        (self.dir / "state").mkdir(parents=True)
        (self.dir / "mail").mkdir()
        self.dir.chmod(0o755)
        shutil.chown(self.dir / "mail", "mail", "mail")
        (self.dir / "users").write_text(f"{user}:{{PLAIN}}{password}\n")
        (self.dir / "masters").write_text(f"master:{{PLAIN}}{password}\n")
        self.conf.write_text(CONFIG.format(dir=self.dir, tree=self.tree, core=self.core, port=self.port, tls_port=self.tls_port, more=more,
                                           certificate=certificate, key=certificate.with_suffix(".key"),
                                           location=f"{kind}:{self.dir}/mail/%n"))
        self.start()

    def doveadm(self, *args, stdin=None):
        return subprocess.run([self.program("usr/bin/doveadm"), "-c", self.conf, *args], env=self.env, input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=True).stdout

    def put(self, letters):
        for octets in letters:
            self.doveadm("save", "-u", self.user, stdin=octets)
