"""A real xinetd, openbsd-inetd, inetutils-inetd or tcpserver on a high port of the loopback, from the sample files in etc/.

Not all can be installed side by side: xinetd and ucspi-tcp are installed, the
two inetds are unpacked from their packages below the build folder (`make debs`).
"""
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess

import kit

ME = pwd.getpwuid(os.geteuid()).pw_name


class SuperServer:
    def __init__(self, argv, address, log, **env):
        self.address, self.log = address, log
        with open(log, "ab") as out:
            self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=kit.lab.plain_env(**env))
        if not kit.wait_until(self.listens, 10):
            self.stop()
            raise AssertionError(f"{argv} does not listen on {address}{kit.lab.tail(log)}")

    def listens(self):
        # By the kernel's table: a connection would already start a session.
        port = f":{int(self.address.rpartition(':')[2]):04X}"
        rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
        return any(row.split()[1].endswith(port) and row.split()[3] == "0A" for row in rows)

    def stop(self):
        """The server, and what it started that is still there (its sessions, or a daemon it waits for)."""
        children = [pid for pid in kit.lab.pids() if parent(pid) == self.proc.pid]
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        kit.lab.signal_all(children, signal.SIGTERM)
        kit.wait_until(lambda: not any(map(kit.alive, children)), 10)


def parent(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text[text.rindex(")") + 2:].split()[1])


FLAGS = {"pop3": "--inetd", "pop3s": "--inetd --tls", "lmtp": "--inetd=lmtp"}


def inetd_program(kind):
    """What to start, and what its environment needs."""
    if kind == "inetutils":
        tree = kit.unpacked("inetutils-inetd")
        return str(tree / "usr/sbin/inetutils-inetd"), kit.beside(tree)
    found = shutil.which("inetd", path="/usr/sbin:" + os.environ.get("PATH", ""))
    if found:
        return found, {}
    tree = kit.unpacked("openbsd-inetd")
    return str(tree / "usr/sbin/inetd"), kit.beside(tree)


def xinetd_conf(site, port, wait, flags, program):
    """The service of etc/xinetd.d-postern with this `wait` and these flags, moved to our port, user and files."""
    sample = (kit.TOP / "etc" / "xinetd.d-postern").read_text()
    plain = "\n".join(re.sub(r"^\s*#\s?", "", line) for line in sample.splitlines())
    word = "yes" if wait else "no"
    for body in re.findall(r"^service\s+\S+\s*\{(.*?)^\}", plain, re.S | re.M):
        rows = dict(re.findall(r"^\s*(\w+)\s*\+?=\s*(.*?)\s*$", body, re.M))
        if rows.get("wait") == word and rows.get("server_args", "") == flags:
            break
    else:
        raise AssertionError(f"etc/xinetd.d-postern has no service with wait = {word} and {flags}")
    rows.update({
        "type": "UNLISTED", "bind": "127.0.0.1", "port": str(port), "disable": "no", "user": ME,
        "server": program[0],
        "server_args": " ".join([flags, *program[1:], f"-c {site.lab.conf}"]),
    })
    for name in ("group", "log_type", "log_on_success", "log_on_failure", "only_from", "id"):
        rows.pop(name, None)
    body = "".join(f"    {name} = {value}\n" for name, value in rows.items())
    return f"service postern-test\n{{\n{body}}}\n"


def inetd_conf(site, port, wait, flags, program):
    """The line of etc/inetd.conf-postern with this wait and these flags, moved to our port, user and files."""
    for line in (kit.TOP / "etc" / "inetd.conf-postern").read_text().splitlines():
        words = line.lstrip("#").split()
        if len(words) > 6 and words[1] == "stream" and words[3].split(".")[0] == ("wait" if wait else "nowait") \
                and " ".join(words[7:]) == flags:
            break
    else:
        raise AssertionError("etc/inetd.conf-postern has no such line")
    return (f"127.0.0.1:{port} stream tcp {words[3]} {ME} {program[0]} "
            f"{' '.join([*words[6:], *program[1:]])} -c {site.lab.conf}\n")


def tcpserver_argv(site, port, protocol, program):
    """The command of etc/tcpserver-postern for this protocol, moved to our port and files."""
    text = (kit.TOP / "etc" / "tcpserver-postern").read_text()
    words = re.search(rf"^{protocol}\)\s+exec (.*?) ;;", text, re.M).group(1).split()
    at = next(n for n, word in enumerate(words) if word.isdigit() and words[n + 1].startswith("/"))
    words[at - 1:at + 2] = ["127.0.0.1", str(port), program[0]]
    return words + [*program[1:], "-c", str(site.lab.conf)]


def start(kind, site, wait=False, protocol="pop3", program=None):
    """program: what is started, with arguments of its own, in place of posternd."""
    program = [str(word) for word in program or [site.lab.posternd]]
    port = kit.lab.free_port()
    flags = "" if wait else FLAGS[protocol]
    conf = site.dir / f"{kind}{'-wait' if wait else ''}-{protocol}.conf"
    log = site.dir / f"{kind}.log"
    env = {}
    if kind == "xinetd":
        conf.write_text(xinetd_conf(site, port, wait, flags, program))
        argv = ["/usr/sbin/xinetd", "-dontfork", "-f", str(conf), "-pidfile", str(site.dir / f"{kind}.pid")]
    elif kind == "tcpserver":
        argv = tcpserver_argv(site, port, protocol, program)
    else:
        conf.write_text(inetd_conf(site, port, wait, flags, program))
        program, env = inetd_program(kind)
        argv = [program, "--debug" if kind == "inetutils" else "-i", str(conf)]
    return SuperServer(argv, f"127.0.0.1:{port}", log, **env)
