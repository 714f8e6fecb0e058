"""What the tests in Python share: a lab to talk to, clients (wire.py), psql."""
import ctypes
import errno
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import lab                      # noqa: E402
import unpack                   # noqa: E402
from wire import PASSWORD, PATIENCE, Pop, unstuffed          # noqa: E402, F401

TESTS = pathlib.Path(__file__).resolve().parents[1]
TOP = TESTS.parent

alive, ROOT = lab.alive, lab.ROOT
unpacked, beside = unpack.unpack, unpack.beside


def sanitized():
    """Built with SANITIZE or COVERAGE: there is no sandbox, and what memory it takes says nothing."""
    program = (lab.build_dir() / "posternd").read_bytes()
    return b"__asan_init" in program or b"__gcov_" in program


def wait_until(test, seconds=PATIENCE):
    """True as soon as the test holds. It is given PATIENCE at least; where the seconds are what is asked, lab.wait_until."""
    return lab.wait_until(test, max(seconds, PATIENCE))


# Quick passwords: what they cost is not what these tests are about.
QUICK = 'auth_argon2_memory = "8M"; auth_argon2_passes = 1; pop3_failure_delay = "100ms";\n'


def canonical(data):
    """The octets that POP3 has to send for a file: each line ends in CRLF, the last one too."""
    data = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    return data if data == b"" or data.endswith(b"\r\n") else data + b"\r\n"


def samples():
    return sorted((TESTS / "mail").glob("*.eml"), key=lambda p: os.fsencode(p.name))


def letter(number, octets=400):
    """A message of about that size; every line is different, so that a lost or doubled piece shows."""
    head = (f"From: Test <test@example.org>\r\nTo: Somebody <somebody@example.org>\r\n"
            f"Subject: letter {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\n").encode()
    lines, size, n = [head], len(head), 0
    while size < octets:
        line = b"%08d of letter %d: the quick brown fox jumps over the lazy dog\r\n" % (n, number)
        lines.append(line)
        size += len(line)
        n += 1
    return b"".join(lines)


class Site:
    """A lab, for as long as a test needs it."""

    def __init__(self, prefix="postern-test-", conf=QUICK, pgconf="", lmtp=False, pop3s=False):
        base = os.environ.get("POSTERN_CHECK_DIR", "/tmp")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        self.conf_text, self.pgconf = conf, pgconf
        self.pop3s = lab.free_port() if pop3s else None
        self.lab = None
        self.lmtp = lab.free_port() if lmtp else None

    def up(self, conf=None):
        if conf is not None:
            self.conf_text = conf
        place = lab.Lab(self.dir)
        # No test pulls the plug: what PostgreSQL has written is there, whichever process is killed.
        place.pgconf = "fsync = off\nfull_page_writes = off\n" + self.pgconf
        place.pop3s = self.pop3s
        place.up(None, self.conf_text, self.lmtp)
        self.lab = place
        self.address = self.lab.address()
        return self

    def down(self):
        place = self.lab or lab.Lab(self.dir)
        place.down("immediate")          # its files go
        # Tests kill with signal 9; whatever else ended a process is a bug, seen by a client or not.
        crashed = [line for line in self.log_text().splitlines()
                   if re.search(r"was killed by signal (?!9 )|exited with status [1-9]|assertion", line)] if self.lab else []
        place.forget()
        shutil.rmtree(self.dir, ignore_errors=True)
        if crashed:
            raise AssertionError("processes of posternd crashed:\n" + "\n".join(crashed))

    # -- accounts and mail

    def account(self, address, letters=(), password=PASSWORD):
        self.fill(address, letters)
        self.password(address, password)

    def fill(self, address, letters):
        """letters: octets of each message, or paths. Returns what the lab refused."""
        with tempfile.TemporaryDirectory() as folder:
            for n, item in enumerate(letters, 1):
                data = item if isinstance(item, bytes) else pathlib.Path(item).read_bytes()
                pathlib.Path(folder, f"{n:06}.eml").write_bytes(data)
            return self.lab.fill(address, folder)

    def password(self, address, password=PASSWORD):
        self.lab.password(address, input=(password + "\n").encode())

    def deliver(self, address, letters):
        """Adds to a mailbox, as mail that comes in during a session does."""
        with tempfile.TemporaryDirectory() as folder:
            for n, data in enumerate(letters, 1):
                pathlib.Path(folder, f"{n:06}.eml").write_bytes(data)
            self.ctl("import", "--format", "eml", "--any", address, folder)

    def ctl(self, *args, check=True, stdin=None):
        done = self.lab.ctl(*args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        if check and done.returncode != 0:
            raise AssertionError(f"posternctl {args} failed ({done.returncode}):\n{done.stdout.decode(errors='replace')}")
        return done

    # -- the database

    def sql(self, text):
        return self.lab.sql(text)

    def psql(self):
        return Psql(self.lab)

    def mailbox(self, address):
        return int(self.sql(f"select mailbox from postern.mailbox where address = '{address}'"))

    def uid(self, address, number):
        """Of the n-th message."""
        return self.sql(f"""select m.uid from postern.message m join postern.mailbox b using (mailbox)
            where b.address = '{address}' order by m.uid offset {number - 1} limit 1""")

    def recount(self, address):
        """After a test has changed rows of messages by hand: the sums, and word to listings that are remembered."""
        self.sql(f"""
            update postern.mailbox b set expunges = expunges + 1, messages = s.n, octets = s.o
              from (select mailbox, count(*) as n, sum(octets) as o from postern.message group by mailbox) s
             where s.mailbox = b.mailbox and b.address = '{address}';
            select postern.mend('usage', domain) from postern.domain""")

    def copies(self, model, name, count, messages=None):
        """name1@ up to name<count>@ in the domain of model, with its password and its (first) messages, whose octets are shared."""
        domain = model.partition("@")[2]
        few = "" if messages is None else f" and g.uid <= {messages}"
        self.sql(f"""
            begin;
            create temporary table copy on commit drop as
                select nextval(pg_get_serial_sequence('postern.mailbox', 'mailbox')) as mailbox, o.mailbox as model, o.domain,
                       '{name}' || n || '@{domain}' as address
                  from postern.mailbox o, generate_series(1, {count}) n where o.address = '{model}';
            insert into postern.mailbox (mailbox, domain, address) overriding system value select mailbox, domain, address from copy;
            insert into postern.credential (mailbox, kind, secret)
                select m.mailbox, c.kind, c.secret from copy m join postern.credential c on c.mailbox = m.model;
            insert into postern.message (mailbox, uid, content, octets)
                select m.mailbox, g.uid, g.content, g.octets from copy m join postern.message g on g.mailbox = m.model{few};
            update postern.content c set refs = c.refs + s.n
              from (select g.content, count(*) as n from copy m join postern.message g using (mailbox) group by 1) s
             where s.content = c.content;
            update postern.mailbox b set messages = s.n, octets = s.o, next_uid = s.u + 1
              from (select mailbox, count(*) as n, sum(g.octets) as o, max(g.uid) as u
                      from copy join postern.message g using (mailbox) group by 1) s
             where s.mailbox = b.mailbox;
            select postern.mend('usage', domain) from postern.domain;
            commit""")
        return [f"{name}{n}@{domain}" for n in range(1, count + 1)]

    def stored(self, address):
        """uid, octets and a checksum of each message, by the tables alone."""
        return self.sql(f"""
            select m.uid, m.octets, (select md5(string_agg(p.data, ''::bytea order by p.part))
                                       from postern.content_part p where p.content = m.content)
              from postern.message m join postern.mailbox b using (mailbox)
             where b.address = '{address}' order by m.uid""").splitlines()

    def pg_restart(self, mode="fast"):
        self.pg_stop(mode)
        self.lab.pg_start()

    def pg_stop(self, mode="fast"):
        self.lab.as_pg(self.lab.pg_bin("pg_ctl"), "-D", self.lab.data, "-m", mode, "-w", "stop", what="stopping PostgreSQL")

    def lane_pids(self):
        return [int(n) for n in self.sql("select pid from pg_stat_activity where usename = 'postern_mail'").split()]

    def wait_lanes(self, count=None):
        """Until every worker has its lanes again, after it or the database was away."""
        wanted = self.lab.lanes_wanted() if count is None else count

        def there():
            try:
                return self.lab.lanes_ready() >= wanted
            except lab.LabError:
                return False
        if not wait_until(there):
            raise AssertionError(f"{wanted} lanes were wanted, there are {self.lane_pids()}{self.log_tail()}")

    def checked(self):
        """posternctl finds nothing wrong with what is stored."""
        done = self.ctl("check", check=False)
        if done.returncode != 0:
            raise AssertionError("posternctl check:\n" + done.stdout.decode(errors="replace"))

    # -- processes

    def tree(self):
        """The living ones: master, workers, helpers."""
        master = self.lab.master_pid()
        workers, helpers = [], []
        for pid in self.lab.daemon_pids():
            try:
                name = pathlib.Path(f"/proc/{pid}/comm").read_text()
            except OSError:
                continue
            if pid == master:
                continue
            (helpers if name.startswith("posternd a") else workers).append(pid)
        return master, workers, helpers

    def log_text(self):
        return self.lab.log.read_text(errors="replace") if self.lab.log.exists() else ""

    def log_tail(self):
        return lab.tail(self.lab.log)

    def second(self, conf=""):
        """Another posternd on the same database, as on another host."""
        return Second(self, conf)

    # -- clients

    def connect(self, greet=True, timeout=PATIENCE):
        return Pop(self.address, greet=greet, timeout=timeout)

    def login(self, address, password=PASSWORD, timeout=PATIENCE):
        pop = self.connect(timeout=timeout)
        pop.login(address, password)
        return pop

    def login_soon(self, address, seconds=PATIENCE):
        """After a crash: the login must work as soon as the daemon is there again."""
        end = time.monotonic() + seconds
        while True:
            reply = None
            try:
                pop = self.connect()
                pop.ok("USER " + address)
                reply = pop.cmd("PASS " + PASSWORD)
                if reply.startswith(b"+OK"):
                    return pop
                pop.close()
            except (OSError, EOFError) as e:
                reply = e
            if time.monotonic() > end:
                raise AssertionError(f"no login for {address} in {seconds} s: {reply}{self.log_tail()}")
            time.sleep(0.05)

    def fetched(self, address):
        """Every message as a client gets it; the size that LIST says is compared on the way."""
        with self.login(address) as pop:
            sizes = [int(line.split()[1]) for line in pop.multi("LIST")]
            found = []
            for n, size in enumerate(sizes, 1):
                data = pop.retr(n)
                if len(data) != size:
                    raise AssertionError(f"{address}: LIST says {size} octets of message {n}, RETR sent {len(data)}")
                found.append(data)
            pop.ok("QUIT")
        return found


class Second:
    """posternd with a configuration of its own, beside the one of the lab."""

    count = 0

    def __init__(self, site, conf=""):
        Second.count += 1
        self.conf = site.dir / f"second{Second.count}.conf"
        self.log = site.dir / f"second{Second.count}.log"
        self.address = f"127.0.0.1:{lab.free_port()}"
        more = site.conf_text + conf
        names = lab.top_names(more)
        lines = [line for line in site.lab.conf.read_text().splitlines()
                 if line.split(" ")[0] in ("database", "user", "auth_user") and line.split(" ")[0] not in names]
        for name, line in (("log", f'log = "{self.log}";'),
                           ("control_socket", f'control_socket = "{site.lab.sockets}/control{Second.count}";'),
                           ("listeners", 'listeners = ( {{ address = "{}"; port = {}; }} );'.format(*self.address.split(":")))):
            if name not in names:
                lines.append(line)
        self.conf.write_text("\n".join(lines) + "\n" + more + "\n")
        self.proc = None
        self.site = site

    def start(self, *args, wait=True, **kw):
        self.proc = subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.conf), *args],
                                     env=kw.pop("env", lab.plain_env()), **kw)
        if wait and not wait_until(self.greets):
            self.stop()
            raise AssertionError(f"the second posternd does not answer{lab.tail(self.log)}")
        return self

    def greets(self):
        try:
            with Pop(self.address, timeout=5):
                return True
        except (OSError, EOFError):
            return False

    def pids(self):
        """All of its processes."""
        return self.place().daemon_pids()

    def place(self):
        """The lab, as if this were its only daemon: they are told apart by their configuration."""
        place = lab.Lab(self.site.dir)
        place.conf = self.conf
        return place

    def stop(self, signo=signal.SIGTERM, seconds=PATIENCE):
        """Its exit status."""
        if self.proc is None:
            return None
        if self.proc.poll() is None:
            self.proc.send_signal(signo)
        else:
            # It went to the background: its master is the one whose parent is none of them.
            found = self.pids()
            lab.signal_all([pid for pid in found if parent(pid) not in found], signo)
        try:
            status = self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            status = self.proc.wait()
        self.place().end_daemon()
        return status


class Psql:
    """A session of its own with the database, as the superuser: to hold a row or a lock in it."""

    def __init__(self, place):
        self.proc = subprocess.Popen(["psql", "-XAtq", "-v", "ON_ERROR_STOP=0"], env=place.env(), text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.proc.poll() is None:
            self.proc.stdin.close()
            self.proc.wait(PATIENCE)
        self.proc.stdout.close()

    def ask(self, text):
        self.proc.stdin.write(text.rstrip("; \n") + ";\n\\echo --end--\n")
        self.proc.stdin.flush()
        lines = []
        for line in self.proc.stdout:
            if line.rstrip("\n") == "--end--":
                return "\n".join(lines)
            lines.append(line.rstrip("\n"))
        raise AssertionError("psql ended:\n" + "\n".join(lines))


def sections(name):
    """The parts of a sample in etc/: what stands behind `# ---- title`, up to the next."""
    parts = re.split(r"^# ---- (.*)$", (TOP / "etc" / name).read_text(), flags=re.M)
    return dict(zip((title.strip() for title in parts[1::2]), parts[2::2]))


def rss(pid):
    """Resident octets of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def opened(pid):
    """What its descriptors are; those that it closes meanwhile are left out."""
    links = []
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except FileNotFoundError:
            pass
    return links


def kill(pid, signo=signal.SIGKILL):
    os.kill(pid, signo)
    if signo == signal.SIGKILL:
        wait_until(lambda: not alive(pid))


def die_with_parent():
    """For a child process that has nobody to end it when its parent is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)             # PR_SET_PDEATHSIG


def parent(pid):
    try:
        return int(re.search(r"^PPid:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1))
    except OSError:
        return None


def fds(pid):
    """How many descriptors a process has; -1 where we may not look (another user's, or one that hides)."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return -1


class _Comparison(ctypes.Structure):
    """scmp_arg_cmp of libseccomp."""
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def without_family(*families):
    """For preexec_fn: socket() of these fails, as with systemd's RestrictAddressFamilies or a kernel without them."""
    lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    call = lib.seccomp_syscall_resolve_name(b"socket")

    def apply():
        context = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(0x7FFF0000)))            # SCMP_ACT_ALLOW
        for family in families:
            rule = (_Comparison * 1)(_Comparison(0, 4, int(family), 0))                     # SCMP_CMP_EQ
            lib.seccomp_rule_add_array(context, ctypes.c_uint32(0x00050000 | errno.EAFNOSUPPORT), call, 1, rule)
        if lib.seccomp_load(context) != 0:
            os._exit(97)
    return apply
