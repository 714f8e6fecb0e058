"""The servers that tests/bench/run visits, and what /proc tells about them:
Postern in a lab, the same under xinetd, mailutils-pop3d under xinetd, the null
server. Dovecot has a module of its own. Each has `root`, the process whose
tree is counted; `beside`, other servers that do a part of its work; `db_root`,
its database's process, or None; `port`, `tls_port` and `lmtp`, None where it has none."""
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", TOP / "build"))
if not BUILD.is_absolute():
    BUILD = TOP / BUILD


def sh(*argv, stdin=None, check=True, env=None):
    done = subprocess.run([str(a) for a in argv], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=env, check=False)
    if check and done.returncode != 0:
        sys.exit(f"bench: {' '.join(map(str, argv))}\n{done.stdout}{done.stderr}")
    return done


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ------------------------------------------------------------------ processes

def process_table():
    """pid -> (parent, CPU seconds, those of its ended children)"""
    tick = os.sysconf("SC_CLK_TCK")
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            rest = text[text.rindex(")") + 2:].split()
            table[int(entry)] = (int(rest[1]), sum(map(int, rest[11:13])) / tick, sum(map(int, rest[13:15])) / tick)
    return table


def tree(root, table=None):
    table = table or process_table()
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        if pid in table:
            found.append(pid)
            todo += [p for p, (parent, *_) in table.items() if parent == pid]
    return found


def threads_of(pid):
    """Of its threads: CPU seconds, which stat counts in steps of 10 ms, and how often they were woken."""
    seconds = wakeups = 0
    for thread in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
            wakeups += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (thread / "status").read_text(), re.M).group(1))
        except OSError:
            pass    # it has ended, or this kernel does not tell
    return seconds, wakeups


class Meter:
    """What a server and its database use while something is measured."""

    def __init__(self, server):
        self.roots = {"": [server.root] + [other.root for other in server.beside], "db": [server.db_root]}
        self.before = {part: self.usage(part) for part in self.roots}

    def usage(self, part):
        """CPU seconds so far, those of processes that have ended, and how often each of the others was woken."""
        table = process_table()
        seconds, ended, wakeups = 0, 0, {}
        for pid in {pid for root in self.roots[part] if root for pid in tree(root, table)}:
            of_threads, wakeups[pid] = threads_of(pid)
            seconds += max(table[pid][1], of_threads) + table[pid][2]
            ended += table[pid][2]
        return seconds, ended, wakeups

    def end(self, units):
        """By part, for 1,000 units: CPU seconds; wake-ups, where it is not processes that come and go that do the work."""
        found = {}
        for part, (seconds, ended, wakeups) in self.before.items():
            seconds_now, ended_now, wakeups_now = self.usage(part)
            if not units:
                continue
            found[part + ("1000" if part else "cpu1000")] = (seconds_now - seconds) * 1000 / units
            if ended_now - ended < (seconds_now - seconds) / 10:
                found[part + "wakeups1000"] = sum(n - wakeups.get(pid, 0) for pid, n in wakeups_now.items()) * 1000 / units
        return found


def pss_of(root):
    total = 0
    for pid in tree(root):
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
    return total    # KiB


def await_port(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"bench: nobody listens on port {port}")


# ---------------------------------------------------------------------- Postern

# The program that passes the client it was started for to a posternd that runs, and the listener that takes it.
PASSER = "postern-inetd"
PASSED = '{{ address = "{dir}/inetd"; passed = true; }}'


class Lab:
    """A Postern of its own, with its own PostgreSQL; the programs and the lab are those of a tree of sources."""
    beside = ()

    def __init__(self, directory, peer="postern", top=TOP, build=BUILD):
        self.dir, self.peer, self.top, self.build = directory, peer, top, build
        self.port, self.tls_port, self.lmtp = free_port(), free_port(), free_port()
        self.passer = (build / PASSER) if (build / PASSER).exists() else None
        self.up()
        self.sql("create extension if not exists pg_stat_statements")

    def up(self):
        env = dict(os.environ, BUILD=str(self.build), POSTERN_LAB_PGCONF="shared_preload_libraries = 'plpgsql, pg_stat_statements'\n"
                   "pg_stat_statements.track = none\nshared_buffers = 1GB\nmin_wal_size = 1GB\nmax_wal_size = 2GB\n")
        if self.top != TOP:
            env["POSTERN_LAB_BUILT"] = "yes"    # what lies there is measured, and not made anew
        settings = []
        if self.passer:
            settings = ["--set", 'listeners = ( {{ address = "127.0.0.1"; port = {}; }}, {{ address = "127.0.0.1"; port = {}; protocol = "lmtp"; }},'
                        ' {{ address = "127.0.0.1"; port = {}; tls = "implicit"; }}, {} );'.format(self.port, self.lmtp, self.tls_port,
                                                                                                   PASSED.format(dir=self.dir))]
        out = sh(self.top / "tests" / "lab", "up", self.dir, "--pop3", self.port, "--pop3s", self.tls_port, "--lmtp", self.lmtp, *settings, env=env).stdout
        self.facts = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        self.root = int(pathlib.Path(self.dir, "posternd.pid").read_text())
        self.db_root = int(pathlib.Path(self.dir, "pg", "postmaster.pid").read_text().split()[0])

    def sql(self, text):
        env = dict(os.environ, PGHOST=self.facts["PGHOST"], PGPORT=self.facts["PGPORT"])
        return sh("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", self.facts["PGDATABASE"],
                  "-c", text, env=env).stdout.strip()

    def age(self):
        """As a server that is not new: there are segments of the WAL to be used again."""
        self.sql("select pg_switch_wal() from generate_series(1, 60) n where pg_logical_emit_message(true, 'bench', n::text) is not null")
        self.sql("checkpoint")

    def count_statements(self, what):
        """What is timed does not pay for being counted, so: 'top', and 'none' again."""
        self.sql(f"alter system set pg_stat_statements.track = '{what}'")
        self.sql("select pg_reload_conf()")
        time.sleep(0.5)
        self.sql("select pg_stat_statements_reset()")

    def ctl(self, *args, stdin=None):
        return sh(self.build / "posternctl", "-c", self.facts["CONF"], *args, stdin=stdin)

    def fresh(self):
        """New workers: those that served before have room in their heaps."""
        old = set(tree(self.root)) - {self.root}
        os.kill(self.root, signal.SIGHUP)
        deadline = time.monotonic() + 30
        while old & set(tree(self.root)) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)

    def stop(self):
        sh(self.top / "tests" / "lab", "down", self.dir, check=False)

    down = stop


class Null:
    """Answers from memory: the ceiling of generator and loopback."""
    peer, beside, db_root, lmtp = "null", (), None, None

    def __init__(self, messages, size, certificate=None):
        self.port = free_port()
        argv = [BUILD / "bench" / "nullpop", "--port", self.port, "--messages", messages, "--size", size]
        if certificate:
            argv += ["--cert", certificate, "--key", certificate.with_suffix(".key")]
        self.tls_port = self.port if certificate else None
        self.process = subprocess.Popen([str(a) for a in argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.root = self.process.pid
        await_port(self.port)

    def down(self):
        self.process.terminate()
        self.process.wait()


# ----------------------------------------------------------------------- xinetd

class Xinetd:
    """A program for each session. lab: of whose database it is a client."""
    tls_port, lmtp = None, None

    def __init__(self, directory, peer, program, arguments, lab=None, beside=()):
        directory.mkdir(parents=True, exist_ok=True)
        self.peer, self.port, self.lab, self.beside = peer, free_port(), lab, beside
        conf = directory / f"{peer}.xinetd"
        conf.write_text(f"service {peer}\n{{\n    type = UNLISTED\n    socket_type = stream\n    protocol = tcp\n    wait = no\n"
                        f"    user = root\n    bind = 127.0.0.1\n    port = {self.port}\n    server = {program}\n"
                        f"    server_args = {arguments}\n    instances = UNLIMITED\n    per_source = UNLIMITED\n    cps = 100000 1\n}}\n")
        self.process = subprocess.Popen(["/usr/sbin/xinetd", "-dontfork", "-f", str(conf), "-pidfile", str(directory / f"{peer}.pid")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.root = self.process.pid
        await_port(self.port)

    @property
    def db_root(self):
        return self.lab and self.lab.db_root

    def down(self):
        self.process.terminate()
        self.process.wait()


def xinetd_is_there():
    return os.path.exists("/usr/sbin/xinetd") and os.geteuid() == 0


def single_shot(directory, lab):
    """posternd started for each session, with nobody beside it."""
    conf = pathlib.Path(lab.facts["CONF"])
    if lab.passer:
        text = conf.read_text().replace(", " + PASSED.format(dir=lab.dir), "")
        conf = conf.with_name("single-shot.conf")
        conf.write_text(text)
    return Xinetd(directory, lab.peer, lab.build / "posternd", f"--inetd -c {conf}", lab)


def passed(directory, lab):
    """A small program for each session, which passes it to the lab's posternd; None where the build has none."""
    if lab.passer is None:
        return None
    return Xinetd(directory, lab.peer, lab.passer, f"--socket={lab.dir}/inetd -c {lab.facts['CONF']}", lab, (lab,))


class Mailutils(Xinetd):
    """mailutils-pop3d on Maildirs, users of a file, passwords by the cheapest hash that it takes."""

    @staticmethod
    def installed():
        return xinetd_is_there() and os.path.exists("/usr/sbin/pop3d") and shutil.which("openssl")

    def __init__(self, directory, domain, password, users, messages):
        owner = pwd.getpwnam("nobody")
        secret = sh("openssl", "passwd", "-1", password).stdout.strip()
        (directory / "domains").mkdir(parents=True)
        rows = []
        for user in users:
            home = directory / "mail" / user
            box = home / "INBOX"
            for name in ("cur", "new", "tmp"):
                (box / name).mkdir(parents=True)
            for i, text in enumerate(messages):
                (box / "cur" / f"{1700000000 + i}.M{i}.bench:2,S").write_bytes(text.replace(b"\r\n", b"\n"))
            rows.append(f"{user}:{secret}:{owner.pw_uid}:{owner.pw_gid}::{home}:/bin/sh\n")
        (directory / "domains" / domain).write_text("".join(rows))
        sh("chown", "-R", owner.pw_uid, directory / "mail")
        conf = directory / "mailutils.conf"
        conf.write_text("auth { authentication clear; authentication generic; authorization clear; authorization virtdomain; };\n"
                        f"virtdomain {{ passwd-dir {directory}/domains; }};\n"
                        f"mailbox {{ mailbox-type maildir; mailbox-pattern \"maildir://{directory}/mail/${{user}}\"; }};\n"
                        "locking { type null; };\nmandatory-locking { enable no; };\n")
        super().__init__(directory, "mailutils", "/usr/sbin/pop3d", f"--config-file={conf} --inetd")


# ------------------------------------------------------------------- generators

def generator(program, port, users, *options):
    if not (BUILD / "bench" / program).exists():
        sys.exit(f"bench: there is no {BUILD}/bench/{program}; make it with `make {os.path.relpath(BUILD, TOP)}/bench/{program}`")
    done = sh(BUILD / "bench" / program, "--port", port, "--users", users, "--quiet", *options, check=False)
    if not done.stdout.strip():
        sys.exit(f"bench: {program}: {done.stderr}")
    result = json.loads(done.stdout)
    result["said"] = done.stderr
    return result
