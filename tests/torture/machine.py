"""The machine that is tortured: a lab whose disks are small, with a proxy in front of PostgreSQL and a
service manager that starts again what has ended.

Small disks are file systems in memory, mounted in a mount namespace of this
process (see `run`), so that they vanish with it. Where that is not allowed
there are none, and no fault that fills them.
"""
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import lmtpkit                  # noqa: E402
from lmtpkit import kit         # noqa: E402

lab = kit.lab
DISKS = "POSTERN_TORTURE_DISKS"         # set by `run` in its mount namespace
CONF = """
cells = 2; auth_helpers = 1; drain_time = "5s";
respawn_pause = "500ms"; worker_watchdog = "5s"; database_retry = "500ms"; database_statement_timeout = "10s"; auth_deadline = "5s";
lmtp_spool_memory = "512k"; pop3_limit_exempt = "127.0.0.0/8"; log_level = "info";
"""
PGCONF = """
shared_buffers = 64MB
max_connections = 60
max_wal_size = 64MB
min_wal_size = 32MB
deadlock_timeout = 300ms
"""
SIZES = {"spool": "12M", "data": "700M", "wal": "160M"}


class Machine:
    def __init__(self, prefix="torture-"):
        self.site = lmtpkit.Site(prefix, CONF, pgconf=PGCONF)
        self.disks = {}
        self.proxy = None
        self.pg_wanted = threading.Lock()       # held by who wants PostgreSQL to be down
        self.stopping = threading.Event()
        self.manager = threading.Thread(target=self.supervise, daemon=True)
        self.starts = 0
        self.clocks = {}                        # whose: file with the seconds that it is ahead

    @property
    def lab(self):
        return self.site.lab

    # -- up and down

    def up(self):
        self.site.up()
        place = self.lab
        place.daemon_stop()
        place.pg_stop()
        if os.environ.get(DISKS):
            self.small_disks()
        if lab.ROOT:            # PostgreSQL sees the proxy's user
            with open(place.data / "pg_ident.conf", "a", encoding="ascii") as out:
                out.write("".join(f"postern root {role}\n" for role in lab.ROLES if role != "postern_admin"))
        self.make_clocks()
        place.pg_start()
        self.start_proxy()
        text = place.conf.read_text()
        place.conf.write_text(text.replace(f"host={place.sockets} ", f"host={self.front} "))
        place.daemon_start()
        self.manager.start()
        return self

    def small_disks(self):
        place = self.lab
        disk = place.data.with_name("pg.disk")
        place.data.rename(disk)
        for name, where, owner in (("data", place.data, "postgres"), ("wal", place.data / "pg_wal", "postgres"),
                                   ("spool", place.spool, "nobody")):
            where.mkdir(mode=0o700, exist_ok=True)
            lab.run("mount", "-t", "tmpfs", "-o", f"size={SIZES[name]},mode=0700", "tmpfs", where, what="mount")
            shutil.chown(where, owner, owner if owner == "postgres" else None)
            self.disks[name] = where
        lab.run("cp", "-a", f"{disk}/.", place.data, what="cp")
        shutil.rmtree(disk)

    def make_clocks(self):
        library = lab.build_dir() / "torture" / "clock.so"
        if kit.sanitized() or not library.exists():
            return
        for whose in ("", ".postgres"):
            self.clocks[whose] = self.lab.sockets / f"clock{whose}"
            self.set_clock(whose, 0)
            self.clocks[whose].chmod(0o644)
        os.environ["POSTERN_CLOCK"] = str(self.clocks[""])
        os.environ["LD_PRELOAD"] = str(library)     # for all that is started from here on

    def set_clock(self, whose, seconds):
        with open(self.clocks[whose], "r+b" if self.clocks[whose].exists() else "wb") as file:
            file.write(struct.pack("q", seconds))

    def start_proxy(self):
        self.front = self.lab.sockets / "front"
        self.front.mkdir(mode=0o755)
        socket = f".s.PGSQL.{lab.PGPORT}"
        self.proxy = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name("proxy.py")), str(self.front / socket),
             str(self.lab.sockets / socket)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.proxy.stdout.readline()
        (self.front / socket).chmod(0o777)

    def order(self, *words):
        """To the proxy."""
        self.proxy.stdin.write(" ".join(map(str, words)) + "\n")
        self.proxy.stdin.flush()
        self.proxy.stdout.readline()

    def down(self):
        self.stopping.set()
        os.environ.pop("LD_PRELOAD", None)
        if self.manager.ident:
            self.manager.join()
        if self.lab:
            self.lab.down()
        if self.proxy:
            self.proxy.stdin.close()
            self.proxy.wait(10)
            self.proxy.stdout.close()
        for where in reversed(self.disks.values()):
            subprocess.run(["umount", "-l", str(where)], check=False)
        if self.lab:
            self.lab.forget()
        shutil.rmtree(self.site.dir, ignore_errors=True)

    # -- the service manager

    def supervise(self):
        while not self.stopping.wait(0.2):
            if not self.daemon_alive():
                self.starts += 1
                subprocess.run([str(self.lab.posternd), "-c", str(self.lab.conf)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=lab.plain_env(), check=False)
            if self.pg_wanted.acquire(blocking=False):
                try:
                    if not self.pg_alive():
                        self.lab.pg_start()
                except lab.LabError:
                    time.sleep(0.3)     # the disk is full still, or old processes have not ended
                finally:
                    self.pg_wanted.release()

    @staticmethod
    def first_pid(path):
        try:
            pid = int(pathlib.Path(path).read_text().split("\n", maxsplit=1)[0])
        except (OSError, ValueError):
            return None
        return pid if lab.alive(pid) else None

    def daemon_alive(self):
        return self.first_pid(self.lab.pid_file) is not None

    def postmaster(self):
        return self.first_pid(self.lab.data / "postmaster.pid")

    def pg_alive(self):
        return self.postmaster() is not None

    def backends(self, role="postern_mail"):
        """Their process ids; none where PostgreSQL does not answer."""
        try:
            return [int(n) for n in self.site.sql(f"select pid from pg_stat_activity where usename = '{role}'").split()]
        except lab.LabError:
            return []

    def processes(self):
        """(master, workers, helpers)"""
        return self.site.tree()

    def whole(self):
        """One master, and its cells without anything of an older one."""
        master, workers, helpers = self.processes()
        return master is not None and len(workers) == 2 and len(helpers) == 2
