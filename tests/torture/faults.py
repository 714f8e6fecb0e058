"""What is broken, and how it heals. Each fault is a generator: it breaks, yields while that shall last, and heals.

Faults of the service manager's kind (a process that ended is started again)
heal by themselves. A fault that a machine does not allow is not in its deck.
"""
import os
import signal
import socket
import struct
import subprocess
import time

from machine import kit

lab = kit.lab


class NotHealed(Exception):
    """What should have healed by itself did not."""


class Faults:
    def __init__(self, machine, rng):
        self.machine, self.site, self.rng = machine, machine.site, rng
        self.table = {
            "worker killed": self.kill_worker, "helper killed": self.kill_helper, "master killed": self.kill_master,
            "all of posternd killed": self.kill_all, "posternd reloaded": self.reload, "posternd upgraded": self.upgrade,
            "backend killed": self.kill_backend, "lanes terminated": self.terminate_lanes,
            "PostgreSQL restarted, fast": lambda: self.restart("fast"),
            "PostgreSQL restarted, immediate": lambda: self.restart("immediate"),
            "postmaster killed": self.kill_postmaster, "all of PostgreSQL killed": self.kill_postgres,
            "worker stopped": self.stop_worker, "worker hangs": lambda: self.hang(1), "helper stopped": self.stop_helper,
            "helper hangs": lambda: self.hang(2),
            "backend stopped": self.stop_backend, "all of PostgreSQL stopped": self.stop_postgres,
            "table locked": self.lock_table,
            "connections broken": lambda: self.proxy("break"), "connections cut in an answer": self.cut,
            "connections delayed": lambda: self.proxy("delay", 60), "connections stalled": self.stall,
            "connections refused": self.refuse, "too many clients": self.too_many,
            "descriptors exhausted": self.no_descriptors, "memory exhausted": self.no_memory,
        }
        if machine.disks:
            self.table |= {"spool full": lambda: self.fill("spool"), "disk of the database full": lambda: self.fill("data"),
                           "disk of the WAL full": lambda: self.fill("wal")}
        if machine.clocks:
            self.table |= {"clock of the host moved": lambda: self.move_clock(""), "clock of the database moved": lambda: self.move_clock(".postgres")}
        # Done where a few seconds are all there is.
        self.short = ["worker killed", "connections cut in an answer", "backend killed", "helper killed", "connections broken",
                      "PostgreSQL restarted, immediate", "master killed", "lanes terminated"]
        if machine.clocks:
            self.short += ["clock of the host moved", "clock of the database moved"]

    def one(self, pids):
        return self.rng.choice(sorted(pids)) if pids else None

    @staticmethod
    def signal(pid, signo=signal.SIGKILL):
        if pid is not None:
            lab.signal_all([pid], signo)

    # -- processes

    def kill_worker(self):
        self.signal(self.one(self.machine.processes()[1]))
        yield 0

    def kill_helper(self):
        self.signal(self.one(self.machine.processes()[2]))
        yield 0

    def kill_master(self):
        self.signal(self.machine.processes()[0])
        yield 0

    def kill_all(self):
        lab.signal_all(self.site.lab.daemon_pids(), signal.SIGKILL)
        yield 0

    def reload(self):
        self.signal(self.machine.processes()[0], signal.SIGHUP)
        yield 0

    def upgrade(self):
        self.site.ctl("upgrade", check=False)
        yield 0

    def kill_backend(self):
        self.signal(self.one(self.machine.backends(self.rng.choice(("postern_mail", "postern_lmtp")))))
        yield 0

    def terminate_lanes(self):
        for role in ("postern_mail", "postern_lmtp"):
            for pid in self.machine.backends(role):
                if self.rng.random() < 0.6:
                    self.signal(pid, signal.SIGTERM)
        yield 0

    def restart(self, mode):
        with self.machine.pg_wanted:
            self.site.lab.pg_stop(mode)
            yield self.rng.uniform(0, 1)
            self.site.lab.pg_start()

    def kill_postmaster(self):
        self.signal(self.machine.postmaster())
        yield 0

    def kill_postgres(self):
        lab.signal_all(self.site.lab.pg_pids(), signal.SIGKILL)
        yield 0

    # -- time

    def frozen(self, pids):
        pids = [p for p in pids if p is not None]
        try:
            lab.signal_all(pids, signal.SIGSTOP)
            yield self.rng.uniform(0.5, 2.5)
        finally:
            lab.signal_all(pids, signal.SIGCONT)

    def stop_worker(self):
        return self.frozen([self.one(self.machine.processes()[1])])

    def hang(self, kind):
        """Until its master ends it: a helper when it has left logins without an answer for 15 s, and 5 more."""
        pid = self.one(self.machine.processes()[kind])
        self.signal(pid, signal.SIGSTOP)
        for _ in range(100):
            if pid is None or not kit.alive(pid):
                return
            yield 0.5
        self.signal(pid, signal.SIGCONT)
        raise NotHealed("the master did not end it")

    def stop_helper(self):
        return self.frozen([self.one(self.machine.processes()[2])])

    def stop_backend(self):
        return self.frozen([self.one(self.machine.backends(self.rng.choice(("postern_mail", "postern_lmtp"))))])

    def stop_postgres(self):
        return self.frozen(self.site.lab.pg_pids())

    def move_clock(self, whose):
        """By less than half a day to either side: posternctl expire takes what is a day old by the clock of the database."""
        try:
            ahead = self.rng.choice((-1, 1)) * self.rng.randrange(1800, 11 * 3600)
            self.machine.set_clock(whose, ahead)
            shown = self.site.sql("select extract(epoch from clock_timestamp())::bigint") if whose else subprocess.check_output(["date", "+%s"])
            assert abs(int(shown) - time.time() - ahead) < 600, "the clock has not moved"
            yield self.rng.uniform(0.5, 2.5)
        finally:
            self.machine.set_clock(whose, 0)

    def lock_table(self):
        with self.site.psql() as psql:
            psql.ask("begin")
            psql.ask(f"lock table postern.{self.rng.choice(('message', 'mailbox', 'content_part'))} in access exclusive mode")
            yield self.rng.uniform(0.5, 2)

    # -- between Postern and PostgreSQL

    def proxy(self, *order):
        self.machine.order(*order)
        yield self.rng.uniform(1, 3) if order[0] == "delay" else 0
        self.machine.order("heal")

    def cut(self):
        self.machine.order("cut", self.rng.randrange(20000))
        yield self.rng.uniform(0.5, 1)
        self.machine.order("heal")

    def stall(self):
        self.machine.order("stall")
        yield self.rng.uniform(0.5, 3)
        if self.rng.random() < 0.5:
            self.machine.order("break")
        self.machine.order("heal")

    def refuse(self):
        self.machine.order("refuse")
        self.machine.order("break")
        yield self.rng.uniform(0.5, 2)
        self.machine.order("heal")

    def too_many(self):
        """All that are not reserved for superusers are held; the lanes' own ones are then broken."""
        held = []
        try:
            where = f"{self.site.lab.sockets}/.s.PGSQL.{lab.PGPORT}"
            for broken in (False, True):
                if broken:
                    self.machine.order("break")
                while len(held) < 200:
                    s = socket.socket(socket.AF_UNIX)
                    held.append(s)
                    if not authenticated(s, where):
                        break
            yield self.rng.uniform(1, 2)
        finally:
            for s in held:
                s.close()

    # -- what there is only so much of

    def limited(self, pid, limit, value):
        """As the process's own user, who may do that; the hard limit is what it was."""
        if pid is None:
            return
        who = owner(pid) if lab.ROOT else {}
        try:
            subprocess.run(["prlimit", "--pid", str(pid), f"--{limit}={value}:"], check=True, **who)
            yield self.rng.uniform(1, 2)
        finally:
            # It may have died of it.
            subprocess.run(["prlimit", "--pid", str(pid), f"--{limit}=unlimited:" if limit == "as" else f"--{limit}=1024:"],
                           check=False, stderr=subprocess.DEVNULL, **who)

    def no_descriptors(self):
        pid = self.one(self.machine.processes()[1])
        return self.limited(pid, "nofile", kit.fds(pid) + self.rng.randrange(3) if pid else 0)

    def no_memory(self):
        pid = self.one(self.machine.processes()[1])
        size = int(open(f"/proc/{pid}/statm", encoding="ascii").read().split()[0]) * os.sysconf("SC_PAGE_SIZE") if pid else 0
        return self.limited(pid, "as", size)

    def fill(self, disk):
        ballast = self.machine.disks[disk] / "ballast"
        try:
            with open(ballast, "wb") as f:
                at = 0
                for step in (1 << 20, 1 << 12):
                    try:
                        while True:
                            os.posix_fallocate(f.fileno(), at, step)
                            at += step
                    except OSError:
                        pass
            if disk == "wal":
                self.use_up_wal()
            yield self.rng.uniform(1, 3)
        finally:
            ballast.unlink(missing_ok=True)

    def use_up_wal(self):
        """Until the next segment cannot be made, which PostgreSQL answers with a PANIC."""
        try:
            for _ in range(12):
                self.site.sql("select pg_logical_emit_message(false, 'torture', 'x'), pg_switch_wal()")
        except lab.LabError:
            pass


def owner(pid):
    """As subprocess wants it. Not by /proc/PID's own owner, which is root where a process hides."""
    lines = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status", encoding="ascii"))
    return {"user": int(lines["Uid"].split()[0]), "group": int(lines["Gid"].split()[0]), "extra_groups": []}


def authenticated(s, where):
    """A connection to PostgreSQL that holds a place; False where there is none left."""
    try:
        s.settimeout(5)
        s.connect(where)
        words = b"user\0postern_admin\0database\0postern\0\0"
        s.sendall(struct.pack("!ii", 8 + len(words), 196608) + words)
        return s.recv(1) == b"R"
    except OSError:
        return False
