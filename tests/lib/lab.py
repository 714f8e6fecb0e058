"""A private Postern: PostgreSQL and posternd with everything below one folder.

  tests/lab up DIR [--pop3 PORT] [--pop3s PORT] [--lmtp PORT] [--set 'libconfig text']
                                      --pop3s: with a certificate for localhost and 127.0.0.1,
                                      so that the other listener has STLS
  tests/lab fill DIR ADDRESS PATH     empties that mailbox, imports the .eml files of PATH in the order of their names, 2 before 10
  tests/lab password DIR ADDRESS      sets the password that standard input holds
  tests/lab down DIR                  stops all of it; DIR stays, and `up` brings it back with its mail

`up` prints NAME=value lines when both answer; with --pop3s CAFILE is what
clients have to trust. Whatever is started here is
stopped by `down`; nothing outside DIR is written, but for a folder
/tmp/postern-lab-* where DIR is too long or too private for PostgreSQL's socket.

As root the lab shows the privilege picture: PostgreSQL runs as postgres,
workers as nobody with the role postern_mail and, unless there is a lmtp_user, postern_lmtp, auth helpers
as daemon with the role postern_auth, and pg_hba.conf lets each have that role only. As an
ordinary user there is one user for all.

Environment: BUILD is the folder of the programs, POSTERN_LAB_PGCONF is text
to append to postgresql.conf, POSTERN_LAB_POSTERND is what to start as posternd.
POSTERN_LAB_LOCALE is the locale of the cluster, POSTERN_LAB_LOCPATH where
PostgreSQL finds it (LOCPATH, see locale(7)). POSTERN_LAB_TEMPLATES is a folder
in which a new cluster is kept, schema included, for later labs to copy;
POSTERN_LAB_BUILT says that somebody has run `make` already. POSTERN_LAB_MEMORY
is a folder for what PostgreSQL and the spool write, on a file system in memory.
"""
import argparse
import fcntl
import hashlib
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pq

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = os.geteuid() == 0
PGPORT = 5432                   # names the socket only: PostgreSQL listens on no address
DATABASE = "postern"
ROLES = ["postern_mail", "postern_auth", "postern_lmtp", "postern_admin"]


class LabError(Exception):
    """Said to the user as it is, without a traceback."""


def say(text):
    print(f"lab: {text}", file=sys.stderr)


def build_dir():
    return (TOP / os.environ.get("BUILD", "build")).resolve()


def plain_env(**more):
    """Without what a make above us says to its children, and without other databases' settings."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES") and not k.startswith("PG")}
    env.update(more)
    return env


def run(*argv, what, **kw):
    """Output is shown only if it fails."""
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, env=kw.pop("env", plain_env()), **kw)
    if done.returncode != 0:
        raise LabError(f"{what} failed (exit status {done.returncode}):\n{done.stdout.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def build_programs():
    if "POSTERN_LAB_BUILT" in os.environ:
        return
    # One at a time: several labs may start at once, and make does not expect that.
    with open(TOP / "Makefile", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run("make", "-s", "-C", TOP, "deps", what="make deps")
        run("make", "-s", "-C", TOP, what="make")


# ------------------------------------------------------------------ processes

def alive(pid):
    """A zombie, waiting for a parent that does not ask, is dead for us."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] != "Z"


def wait_until(test, seconds):
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def signal_all(pids, signo):
    for pid in pids:
        try:
            os.kill(pid, signo)
        except ProcessLookupError:
            pass


def pids():
    return [int(e) for e in os.listdir("/proc") if e.isdigit()]


# ------------------------------------------------------------------------ lab

class Lab:
    def __init__(self, where):
        self.dir = pathlib.Path(where).absolute()
        self.conf = self.dir / "postern.conf"
        self.log = self.dir / "postern.log"
        self.pid_file = self.dir / "posternd.pid"
        self.state_file = self.dir / "lab.json"
        self.data = self.dir / "pg"
        self.sockets = self.dir
        self.tls = self.dir / "tls"
        self.pop3s = None
        self.pgconf = os.environ.get("POSTERN_LAB_PGCONF", "")
        self.templates = os.environ.get("POSTERN_LAB_TEMPLATES")
        self.has_database = False       # as the cluster was copied
        if self.state_file.exists():
            state = json.loads(self.state_file.read_text())
            self.data = pathlib.Path(state["data"])
            self.sockets = pathlib.Path(state["sockets"])
            self.pop3s = state.get("pop3s")

    @property
    def pg_log(self):
        """Where PostgreSQL gets: not into a folder of ours that is private."""
        private = self.data.parent == self.sockets != self.dir
        return (self.data if private else self.dir) / "postgresql.log"

    # -- programs

    @property
    def posternd(self):
        return pathlib.Path(os.environ.get("POSTERN_LAB_POSTERND", build_dir() / "posternd")).resolve()

    @property
    def posternctl(self):
        return build_dir() / "posternctl"

    def env(self):
        return plain_env(PGHOST=str(self.sockets), PGPORT=str(PGPORT), PGDATABASE=DATABASE, PGUSER="postgres")

    def ctl(self, *args, **kw):
        return subprocess.run([str(self.posternctl), "-c", str(self.conf), *map(str, args)],
                              env=plain_env(), check=False, **kw)

    def sql(self, text, database=DATABASE):
        try:
            return pq.ask(text, dict(self.env(), PGDATABASE=database))
        except pq.Error as e:
            raise LabError(str(e)) from None

    # -- PostgreSQL

    @staticmethod
    def pg_bin(name):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/" + name),
                       key=lambda p: [int(n) for n in re.findall(r"\d+", p.parts[-3])])
        if found:
            return found[-1]
        other = shutil.which(name)
        if other is None:
            raise LabError(f"PostgreSQL's {name} is neither below /usr/lib/postgresql nor in PATH")
        return pathlib.Path(other)

    def as_pg(self, *argv, what):
        who = {"user": "postgres", "group": "postgres", "extra_groups": []} if ROOT else {}
        place = {"LOCPATH": os.environ["POSTERN_LAB_LOCPATH"]} if "POSTERN_LAB_LOCPATH" in os.environ else {}
        # initdb and pg_ctl look at the working directory, which that user may not enter.
        return run(*argv, what=what, cwd="/", env=plain_env(**place), **who)

    def reachable(self, user):
        """May this user (postgres, or a worker's) pass through the folders down to DIR?"""
        if not ROOT:
            return True
        return subprocess.run(["test", "-x", str(self.dir)], user=user, group=pwd.getpwnam(user).pw_gid,
                              extra_groups=[], cwd="/", check=False).returncode == 0

    def choose_places(self):
        if not (self.state_file.exists() and self.sockets.is_dir()):
            self.choose_folders()
        self.state_file.write_text(json.dumps(
            {"data": str(self.data), "sockets": str(self.sockets), "pop3s": self.pop3s}) + "\n")

    def choose_folders(self):
        self.sockets = self.dir
        private = not (self.reachable("postgres") and self.reachable("nobody"))
        if private or len(str(self.dir / f".s.PGSQL.{PGPORT}")) > 107:
            self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="postern-lab-", dir="/tmp"))
            self.sockets.chmod(0o755)
        if (self.data / "PG_VERSION").exists():
            return                      # it comes back with its mail
        self.data = self.dir / "pg"
        if private:
            self.data = self.sockets / "pg"
        elif "POSTERN_LAB_MEMORY" in os.environ:
            place = pathlib.Path(tempfile.mkdtemp(prefix="lab-", dir=os.environ["POSTERN_LAB_MEMORY"]))
            place.chmod(0o755)
            self.data = place / "pg"

    def forget(self):
        """What lies elsewhere than below DIR."""
        for place in {self.data.parent, self.sockets} - {self.dir}:
            shutil.rmtree(place, ignore_errors=True)

    @property
    def spool(self):
        """Beside the database: a worker, too, must be able to get there."""
        return self.data.parent / "spool"

    def pg_pids(self):
        """Of the server and its children: their working directory is the data folder."""
        found = []
        for pid in pids():
            try:
                if os.readlink(f"/proc/{pid}/cwd") == str(self.data) and alive(pid):
                    found.append(pid)
            except OSError:
                pass
        return found

    def make_cluster(self):
        owner = "postgres" if ROOT else None
        if not (self.data / "PG_VERSION").exists():
            shutil.rmtree(self.data, ignore_errors=True)
            if not self.copy_cluster():
                self.new_cluster()
        self.write_pg_conf()

    def new_cluster(self):
        self.data.mkdir(mode=0o700)
        if ROOT:
            shutil.chown(self.data, "postgres", "postgres")
        self.as_pg(self.pg_bin("initdb"), "-D", self.data, "-U", "postgres", "-E", "UTF8",
                   "--locale=" + os.environ.get("POSTERN_LAB_LOCALE", "C"), "-A", "peer", what="initdb")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as out:
            out.write("\ninclude = 'lab.conf'\n")

    def copy_cluster(self):
        """A copy of the one that was made first, with the database and its schema; False where there is none."""
        if self.templates is None:
            return False
        kind = [os.environ.get(name, "") for name in ("POSTERN_LAB_LOCALE", "POSTERN_LAB_LOCPATH")]
        name = hashlib.sha256(repr(kind).encode() + self.posternctl.read_bytes()).hexdigest()[:16]
        model = Lab(pathlib.Path(self.templates) / f"template-{name}")
        model.dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        with open(model.dir / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            model = Lab(model.dir)      # somebody else may have made it meanwhile, and said where
            if not (model.dir / "complete").exists():
                model.be_template()
        run("cp", "-a", "--reflink=auto", "--sparse=always", model.data, self.data, what="copying a cluster")
        self.has_database = True
        return True

    def be_template(self):
        self.templates, self.pgconf = None, "fsync = off"
        self.choose_places()
        self.write_conf(free_port(), "")
        self.make_cluster()
        self.pg_start()
        try:
            self.make_database()
        finally:
            self.pg_stop()
        (self.dir / "complete").touch()

    def lmtp_user(self):
        found = re.search(r'\blmtp_user\s*[=:]\s*"([^"]+)"', strip_comments(self.conf.read_text()))
        return found.group(1) if found else "nobody"

    def write_pg_conf(self):
        owner = "postgres" if ROOT else None
        (self.data / "lab.conf").write_text(f"""\
listen_addresses = ''
port = {PGPORT}
unix_socket_directories = '{self.sockets}'
fsync = on
max_connections = 200
# Each open maildrop is a lock: ten thousand need as many slots.
max_locks_per_transaction = 256
shared_buffers = 256MB
{self.pgconf}
""")
        (self.data / "pg_hba.conf").write_text("local all all peer map=postern\n")
        if ROOT:
            pairs = [("nobody", "postern_mail"), (self.lmtp_user(), "postern_lmtp"), ("daemon", "postern_auth"),
                     ("root", "postern_admin"), ("root", "postgres")]
            pairs += [("postgres", role) for role in ROLES + ["postgres"]]
        else:
            me = pwd.getpwuid(os.geteuid()).pw_name
            pairs = [(me, role) for role in ROLES + ["postgres"]]
        (self.data / "pg_ident.conf").write_text("".join(f"postern {a} {b}\n" for a, b in pairs))
        if owner:
            # That user makes the socket there, and cannot touch what is root's.
            shutil.chown(self.sockets, "root", owner)
            self.sockets.chmod(0o1775)
            for name in ("lab.conf", "pg_hba.conf", "pg_ident.conf"):
                shutil.chown(self.data / name, owner, owner)
        if not self.pg_log.exists():
            self.pg_log.touch(mode=0o644)
        if owner:
            shutil.chown(self.pg_log, owner, owner)

    def pg_start(self):
        if not self.pg_pids():
            # After a crash: the number in them may be another process by now,
            # or a zombie where nobody waits for orphans.
            for stale in (self.data / "postmaster.pid", self.sockets / f".s.PGSQL.{PGPORT}.lock"):
                stale.unlink(missing_ok=True)
        try:
            self.as_pg(self.pg_bin("pg_ctl"), "-D", self.data, "-l", self.pg_log, "-w", "-t", "60", "start",
                       what="starting PostgreSQL")
        except LabError as e:
            raise LabError(f"{e}{tail(self.pg_log)}") from None

    def pg_stop(self, mode="fast"):
        if self.pg_pids():
            try:
                self.as_pg(self.pg_bin("pg_ctl"), "-D", self.data, "-m", mode, "-w", "-t", "30", "stop",
                           what="stopping PostgreSQL")
            except LabError:
                signal_all(self.pg_pids(), signal.SIGKILL)
        if not wait_until(lambda: not self.pg_pids(), 10):
            raise LabError(f"PostgreSQL's processes {self.pg_pids()} do not end")

    def make_database(self):
        if self.has_database:
            return
        if self.sql(f"select 1 from pg_database where datname = '{DATABASE}'", "postgres") == "":
            self.sql(f"create database {DATABASE}", "postgres")
        known = self.sql("select to_regclass('postern.schema_version') is not null") == "t"
        done = self.ctl("schema", "upgrade" if known else "init", "--as", "user=postgres",
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise LabError(f"posternctl could not make the schema:\n{done.stdout.decode(errors='replace')}")

    # -- posternd

    def daemon_pids(self):
        """The master, workers and helpers of this lab's configuration."""
        found = []
        for pid in pids():
            try:
                argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.path.basename(argv[0]) == b"posternd" and str(self.conf).encode() in argv and alive(pid):
                found.append(pid)
        return found

    def master_pid(self):
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if pid in self.daemon_pids() else None

    def write_conf(self, port, more, lmtp=None):
        listeners = f'{{ address = "127.0.0.1"; port = {port}; }}'
        if lmtp is not None:
            listeners += f', {{ address = "127.0.0.1"; port = {lmtp}; protocol = "lmtp"; }}'
        if self.pop3s:
            listeners += f', {{ address = "127.0.0.1"; port = {self.pop3s}; tls = "implicit"; }}'
        own = {
            "database": f'database = "host={self.sockets} port={PGPORT} dbname={DATABASE}";',
            "log": f'log = "{self.log}";',
            "pid_file": f'pid_file = "{self.pid_file}";',
            "control_socket": f'control_socket = "{self.sockets}/control";',
            "listeners": f"listeners = ( {listeners} );",
            "lmtp_spool_dir": f'lmtp_spool_dir = "{self.spool}";',
        }
        if self.pop3s:
            own["tls_certificate"] = f'tls_certificate = "{self.tls}/localhost.pem";'
            own["tls_key"] = f'tls_key = "{self.tls}/localhost.key";'
        if ROOT:
            own["user"] = 'user = "nobody";'
            own["auth_user"] = 'auth_user = "daemon";'
        given = top_names(more)
        lines = [line for name, line in own.items() if name not in given]
        self.conf.write_text("# Made by tests/lab; written anew by each `up`.\n" + "\n".join(lines) + "\n" + more + "\n")

    def certificate(self, name, sans, folder=None, kind="EC"):
        """NAME.pem with its chain and NAME.key, signed by the authority of this lab, which is made first."""
        self.tls.mkdir(mode=0o755, exist_ok=True)
        ca, ca_key = self.tls / "ca.pem", self.tls / "ca.key"
        algorithm = {"EC": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "RSA": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]}[kind]
        if not ca.exists():
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", "/CN=the authority of a lab", "-addext", "basicConstraints=critical,CA:true",
                "-addext", "keyUsage=critical,keyCertSign", "-keyout", ca_key, "-out", ca, what="openssl req")
            ca_key.chmod(0o600)
        folder = pathlib.Path(folder or self.tls)
        own, key, request = folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}.csr"
        run("openssl", "genpkey", "-algorithm", *algorithm, "-out", key, what="openssl genpkey")
        key.chmod(0o600)
        run("openssl", "req", "-new", "-key", key, "-subj", "/CN=" + name.replace("+", "\\+"), "-out", request, what="openssl req")
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".cnf") as extensions:
            extensions.write("subjectAltName=" + ",".join(sans) + "\nbasicConstraints=CA:false\n")
            extensions.flush()
            run("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "30",
                "-extfile", extensions.name, "-out", own, what="openssl x509")
        request.unlink()
        own.write_text(own.read_text() + ca.read_text())

    def address(self):
        """Where to reach the first listener, as POP3= says it."""
        text = strip_comments(self.conf.read_text())
        match = re.search(r"listeners\s*[=:](.*?)\)", text, re.S)
        block = match.group(1) if match else ""
        where = re.search(r'address\s*[=:]\s*"([^"]*)"', block)
        port = re.search(r"port\s*[=:]\s*(\d+)", block)
        host = where.group(1) if where else "127.0.0.1"
        if host.startswith("/"):
            return host
        return f"{'127.0.0.1' if host == '*' else host}:{port.group(1) if port else 110}"

    def greets(self):
        where = self.address()
        try:
            if where.startswith("/"):
                s = socket.socket(socket.AF_UNIX)
                s.connect(where)
            else:
                host, _, port = where.rpartition(":")
                s = socket.create_connection((host.strip("[]"), int(port)), timeout=2)
            with s:
                s.settimeout(2)
                return s.recv(3) == b"+OK"
        except OSError:
            return False

    def lanes_wanted(self):
        text = strip_comments(self.conf.read_text())

        def number(name, default):
            match = re.search(rf"(?:^|;)\s*{name}\s*[=:]\s*(\d+)", text, re.M)
            return int(match.group(1)) if match else default
        return (number("cells", 0) or len(os.sched_getaffinity(0))) * number("database_lanes", 2)

    def lanes_ready(self, database=DATABASE):
        """How many are connected and have been set up: a lane's set-up is one pipeline, and idle behind it."""
        return int(self.sql("""select count(*) from pg_stat_activity where usename = 'postern_mail' and query <> ''
                               and (state = 'idle' or wait_event_type = 'Lock')""", database))

    def daemon_start(self):
        done = subprocess.run([str(self.posternd), "-c", str(self.conf)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=plain_env(), check=False)
        if done.returncode != 0:
            raise LabError(f"posternd did not start (exit status {done.returncode}):\n"
                           f"{done.stdout.decode(errors='replace')}{tail(self.log)}")
        if not wait_until(self.greets, 60):
            raise LabError(f"posternd does not answer on {self.address()}{tail(self.log)}")
        # It greets before it has reached the database; a login in that moment would be put off.
        wanted = self.lanes_wanted()
        wait_until(lambda: self.lanes_ready() >= wanted, 30)

    def daemon_stop(self):
        master = self.master_pid()
        if master is not None:
            signal_all([master], signal.SIGTERM)
            if not wait_until(lambda: not alive(master), 3):
                # Sessions are still open: the second one says "at once".
                signal_all([master], signal.SIGTERM)
                wait_until(lambda: not alive(master), 5)
        self.end_daemon()
        if not wait_until(lambda: not self.daemon_pids(), 10):
            raise LabError(f"processes {self.daemon_pids()} of posternd do not end")
        self.pid_file.unlink(missing_ok=True)

    def end_daemon(self):
        """Its processes, when the master has ended: they see that, and those that count or look for leaks do it now."""
        if not wait_until(lambda: not self.daemon_pids(), 3):
            signal_all(self.daemon_pids(), signal.SIGKILL)

    # -- the four verbs

    def up(self, port, more, lmtp=None):
        if self.master_pid() is not None:
            raise LabError(f"{self.dir} is up already: posternd is process {self.master_pid()}; "
                           f"stop it with `tests/lab down {self.dir}`")
        self.dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        if ROOT:
            self.dir.chmod(0o755)
        build_programs()
        # What an earlier lab left when it crashed.
        self.daemon_stop()
        self.choose_places()
        self.pg_stop()
        try:
            if self.pop3s and not (self.tls / "localhost.pem").exists():
                self.certificate("localhost", ["DNS:localhost", "IP:127.0.0.1"])
            self.write_conf(port or free_port(), more, lmtp)
            self.spool.mkdir(mode=0o700, exist_ok=True)
            if ROOT:
                shutil.chown(self.spool, self.lmtp_user())
            self.make_cluster()
            self.pg_start()
            self.make_database()
            self.daemon_start()
        except BaseException:
            self.down()
            raise

    def told(self, lmtp):
        """What `up` prints."""
        text = (f"POP3={self.address()}\nCONF={self.conf}\nPGHOST={self.sockets}\nPGPORT={PGPORT}\n"
                f"PGDATABASE={DATABASE}\nPGUSER=postgres\nLOG={self.log}\n")
        if self.pop3s:
            text += f"POP3S=127.0.0.1:{self.pop3s}\nCAFILE={self.tls}/ca.pem\n"
        if lmtp is not None:
            text += f"LMTP=127.0.0.1:{lmtp}\n"
        return text

    def down(self, mode="fast"):
        self.daemon_stop()
        self.pg_stop(mode)
        # Only its socket was there: the next `up` makes it again.
        if self.sockets != self.dir and self.data.parent != self.sockets:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def must(self, *args, **kw):
        done = self.ctl(*args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)
        if done.returncode != 0:
            raise LabError(f"posternctl {' '.join(map(str, args))} failed (exit status {done.returncode}):\n"
                           f"{done.stdout.decode(errors='replace')}")

    def has(self, noun, name):
        return self.ctl(noun, "show", name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def make(self, noun, name, *more):
        """Somebody else may make it in the same moment."""
        try:
            self.must(noun, "add", name, *more)
        except LabError:
            if not self.has(noun, name):
                raise

    def make_mailbox(self, address):
        """True if it was not there."""
        # As if its domain were there, which is so for most: each call of posternctl costs as much as a login.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if self.ctl("mailbox", "add", address, **quiet).returncode == 0:
            return True
        if self.has("mailbox", address):
            return False
        domain = address.rpartition("@")[2]
        if not self.has("domain", domain):
            if not self.has("tenant", "lab"):
                self.make("tenant", "lab")
            self.make("domain", domain, "--tenant", "lab")
        self.make("mailbox", address)
        return True

    def fill(self, address, path):
        """What was refused: a line for each file."""
        if "@" not in address:
            raise LabError(f"{address!r} is not an address")
        if not os.path.isdir(path):
            raise LabError(f"{path} is not a folder")
        if not self.make_mailbox(address):
            self.must("message", "remove", address, "--all", "--yes")
        if not any(os.scandir(path)):
            return []
        done = self.ctl("import", "--format", "eml", "--any", address, path,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = done.stdout.decode(errors="replace")
        # 3: some files were refused, which is told line by line.
        if done.returncode not in (0, 3):
            raise LabError(f"posternctl import failed (exit status {done.returncode}):\n"
                           f"{said}{done.stderr.decode(errors='replace')}")
        return [line for line in said.splitlines() if line.startswith("REJECTED ")]

    def password(self, address, **stdin):
        self.must("password", address, **stdin)


# -------------------------------------------------------------------- helpers

def tail(path, lines=25):
    try:
        text = pathlib.Path(path).read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return ""
    return f"\nThe end of {path}:\n" + "\n".join("  " + line for line in text)


_given = set()


def free_port():
    """Below those that the kernel gives to clients: one of them could have it before a server of ours does. Each once."""
    while True:
        port = random.randrange(15000, 32000)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def strip_comments(text):
    """libconfig's three kinds; a string may hold what looks like one."""
    keep = r'"(?:\\.|[^"\\])*"'
    return re.sub(rf"({keep})|/\*.*?\*/|(?:\#|//)[^\n]*", lambda m: m.group(1) or " ", text, flags=re.S)


def top_names(text):
    """The names that a piece of libconfig text sets at its top level."""
    depth, names = 0, set()
    for token in re.findall(r'"(?:\\.|[^"\\])*"|[({\[]|[)}\]]|[A-Za-z*][\w*-]*\s*[=:]|.', strip_comments(text), re.S):
        if token in "({[":
            depth += 1
        elif token in ")}]":
            depth -= 1
        elif depth == 0 and token[-1] in "=:" and len(token) > 1:
            names.add(token[:-1].strip())
    return names


def main():
    parser = argparse.ArgumentParser(prog="tests/lab", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up")
    up.add_argument("dir")
    for name in ("pop3", "pop3s", "lmtp"):
        up.add_argument("--" + name, type=int, metavar="PORT")
    up.add_argument("--set", action="append", default=[], metavar="TEXT")
    fill = verbs.add_parser("fill")
    for name in ("dir", "address", "path"):
        fill.add_argument(name)
    password = verbs.add_parser("password")
    for name in ("dir", "address"):
        password.add_argument(name)
    verbs.add_parser("down").add_argument("dir")
    args = parser.parse_args()

    # Ctrl-C's way, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lab = Lab(args.dir)
    try:
        if args.verb == "up":
            lab.pop3s = args.pop3s
            lab.up(args.pop3, "\n".join(args.set), args.lmtp)
            print(lab.told(args.lmtp), end="")
            return 0
        if not lab.dir.is_dir():
            raise LabError(f"there is no {lab.dir}")
        if args.verb == "down":
            lab.down()
            return 0
        if not lab.conf.exists():
            raise LabError(f"{lab.dir} is not a lab: it has no postern.conf")
        if args.verb == "fill":
            print("".join(line + "\n" for line in lab.fill(args.address, args.path)), end="")
        else:
            lab.password(args.address)
        return 0
    except LabError as e:
        say(e)
        return 1
    except KeyboardInterrupt:
        return 130

