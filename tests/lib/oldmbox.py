"""POP3 servers that others had before, each for one session with one mbox: what it shows, and the mbox as it leaves it.

No server listens: a session is a process on a pipe, as under inetd.
"""
import pathlib
import pwd
import subprocess
import tempfile

import unpack

NOBODY = pwd.getpwnam("nobody")


def parse(out, first, count):
    """The replies behind the first ones of a session: UIDL, LIST, and `count` times RETR."""
    lines = out.split(b"\n")
    at = 0

    def reply(multi):
        nonlocal at
        status = lines[at]
        at += 1
        got = []
        if multi and status.startswith(b"+OK"):
            while lines[at] not in (b".\r", b"."):
                got.append(lines[at][1:] if lines[at].startswith(b".") else lines[at])
                at += 1
            at += 1
        return status, got

    for _ in range(first):
        status, _ = reply(False)
        assert status.startswith(b"+OK"), out
    uidls = [line.split()[1].decode() for line in reply(True)[1]]
    sizes = [int(line.split()[1]) for line in reply(True)[1]]
    messages = [b"".join(line + b"\n" for line in reply(True)[1]) for _ in range(count)]
    return uidls, sizes, messages


def commands(count, login=()):
    words = [*login, "UIDL", "LIST", *(f"RETR {n + 1}" for n in range(count)), "QUIT"]
    return "".join(word + "\r\n" for word in words).encode()


def as_nobody(*argv):
    return ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", *argv]


def dovecot(mbox, count, extra=""):
    """Debian's dovecot-pop3d: its session process, without login and master."""
    with tempfile.TemporaryDirectory(prefix="dovecot-") as name:
        top = pathlib.Path(name)
        for folder in "run", "state", "mail":
            (top / folder).mkdir()
        (top / "inbox").write_bytes(mbox)
        (top / "conf").write_text(f"mail_location = mbox:{top}/mail:INBOX={top}/inbox\nlog_path = /dev/stderr\nbase_dir = {top}/run\n"
                                  f"state_dir = {top}/state\nssl = no\nmbox_write_locks = fcntl\n{extra}\n", encoding="ascii")
        subprocess.run(["chown", "-R", "nobody:nogroup", top], check=True)
        done = subprocess.run(as_nobody("env", "USER=anna", f"HOME={top}", "/usr/lib/dovecot/pop3", "-c", f"{top}/conf"),
                              input=commands(count), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        assert done.stdout.count(b"+OK") >= 3, done
        return *parse(done.stdout, 0, count), (top / "inbox").read_bytes()


def mailutils(mbox, count):
    with tempfile.TemporaryDirectory(prefix="mailutils-") as name:
        top = pathlib.Path(name)
        (top / "domains").mkdir()
        (top / "INBOX").write_bytes(mbox)
        secret = subprocess.run(["openssl", "passwd", "-1", "secret"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
        (top / "domains" / "example.org").write_text(f"anna:{secret}:{NOBODY.pw_uid}:{NOBODY.pw_gid}::{top}:/bin/sh\n", encoding="ascii")
        (top / "conf").write_text("auth { authentication clear; authentication generic; authorization clear; authorization virtdomain; };\n"
                                  f"virtdomain {{ passwd-dir {top}/domains; }};\n"
                                  "mailbox { mailbox-type mbox; };\n"
                                  "locking { type null; };\nmandatory-locking { enable no; };\n", encoding="ascii")
        subprocess.run(["chown", "-R", "nobody:nogroup", top], check=True)
        done = subprocess.run(["/usr/sbin/pop3d", f"--config-file={top}/conf", "--inetd"],
                              input=commands(count, ("USER anna@example.org", "PASS secret")), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return *parse(done.stdout, 3, count), (top / "INBOX").read_bytes()


POPA3D = """set -e
mount -t tmpfs none /var/mail
mount -t tmpfs none /var/lib
mount -t tmpfs none /etc/pam.d
for file in passwd group shadow; do mount --bind "$1/$file" /etc/$file; done
mkdir /var/lib/popa3d
chmod 1777 /var/mail
install -o nobody -g nogroup -m 600 "$1/mbox" /var/mail/anna
printf 'auth required pam_permit.so\\naccount required pam_permit.so\\n' >/etc/pam.d/popa3d
"$2/usr/sbin/popa3d" <"$1/in" >"$1/out"
cp /var/mail/anna "$1/mbox"
"""


def popa3d(mbox, count):
    """Debian's popa3d, unpacked, with users, spool and PAM of a namespace of its own: root is needed."""
    with tempfile.TemporaryDirectory(prefix="popa3d-") as name:
        top = pathlib.Path(name)
        (top / "mbox").write_bytes(mbox)
        (top / "in").write_bytes(commands(count, ("USER anna", "PASS secret")))
        (top / "passwd").write_text(f"root:x:0:0::/root:/bin/sh\nanna:x:{NOBODY.pw_uid}:{NOBODY.pw_gid}::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
                                    "popa3d:x:99:99::/:/bin/false\n", encoding="ascii")
        (top / "group").write_text(f"root:x:0:\nnogroup:x:{NOBODY.pw_gid}:\nmail:x:8:\npopa3d:x:99:\n", encoding="ascii")
        (top / "shadow").write_text("root:*:19000::::::\nanna:*:19000::::::\n", encoding="ascii")
        done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", POPA3D, "sh", top, unpack.unpack("popa3d")],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 0, done
        return *parse((top / "out").read_bytes(), 3, count), (top / "mbox").read_bytes()
