"""A Dovecot as another provider's POP3 server has it, Debian's package unpacked: with XCLIENT and PROXY, everything in one folder, on
ports of loopback, with all its processes of one user."""
import grp
import os
import pathlib
import pwd
import shutil
import signal

import kit
import lab
import olddovecot

CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/state
libexec_dir = {core}
mail_plugin_dir = {core}/modules
import_environment = LD_LIBRARY_PATH
log_path = {dir}/log
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_dh =
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
auth_cache_size = 0
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
first_valid_uid = 0
login_trusted_networks = 127.0.0.0/8
haproxy_trusted_networks = 127.0.0.0/8
mail_location = maildir:{dir}/mail/%u
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={dir}/mail/%u
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
  inet_listener proxied {{
    port = {proxy_port}
    haproxy = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""


class Dovecot(olddovecot.Unpacked):
    """ports: tls_port (pops), port (STLS, or none), proxy_port (PROXY first, then as port)."""

    def __init__(self, folder, mechanisms="plain login"):
        super().__init__(folder)
        self.user = pwd.getpwnam("nobody") if kit.ROOT else pwd.getpwuid(os.getuid())
        for name in "mail", "run", "state":
            (self.dir / name).mkdir(parents=True)
        # The processes of a test's Dovecot are not the owner of the test's folders.
        for path in self.dir.parents:
            if str(path).startswith(str(pathlib.Path(os.environ.get("POSTERN_CHECK_DIR", "/tmp")))):
                path.chmod(path.stat().st_mode | 0o011)
        (self.dir / "users").write_text("")
        self.mechanisms, self.proxy_port = mechanisms, lab.free_port()

    def account(self, name, password):
        """Before it is started, as it looks at the file no more than once a second."""
        with open(self.dir / "users", "a", encoding="utf-8") as lines:
            lines.write(f"{name}:{{PLAIN}}{password}\n")

    def fill(self, name, letters):
        home = self.dir / "mail" / name
        for part in "cur", "new", "tmp":
            (home / part).mkdir(parents=True)
        for n, text in enumerate(letters):
            (home / "cur" / f"{1700000000 + n}.M{n}P1.old:2,").write_bytes(text.replace(b"\r\n", b"\n"))
        if kit.ROOT:
            for path in [home, *home.rglob("*")]:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def up(self, certificate, key):
        for source, name in (certificate, "cert.pem"), (key, "key.pem"):
            shutil.copy(source, self.dir / name)
        self.conf.write_text(CONFIG.format(
            dir=self.dir, tree=self.tree, core=self.core, certificate=self.dir / "cert.pem",
            key=self.dir / "key.pem", mechanisms=self.mechanisms, user=self.user.pw_name, group=grp.getgrgid(self.user.pw_gid).gr_name, port=self.port, tls_port=self.tls_port,
            proxy_port=self.proxy_port))
        return self.start()

    def start(self, **how):
        super().start(start_new_session=True, **how)
        return self

    def down(self, signo=signal.SIGTERM):
        if self.process is None:
            return
        if signo == signal.SIGKILL:
            os.killpg(self.process.pid, signo)      # all of them, in the middle of what they do
        super().down()
        (self.dir / "run/master.pid").unlink(missing_ok=True)
