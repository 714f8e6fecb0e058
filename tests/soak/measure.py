"""What is looked at from outside, every few seconds: processes by /proc, the database by its statistics."""
import os
import pathlib
import re
import time

import kit


def memory(pid):
    """KiB by smaps_rollup, or None if it has gone or hides from us."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M))
    return {"pss": int(found["Pss"]), "rss": int(found["Rss"]), "anonymous": int(found["Anonymous"])}


def cpu_seconds(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return sum(map(int, text[text.rindex(")") + 2:].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def steal():
    """Seconds in which our machine had no processor, and in which its processors were busy, since it started."""
    fields = [int(n) for n in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    tick = os.sysconf("SC_CLK_TCK")
    return fields[7] / tick, (sum(fields[:3]) + sum(fields[5:8])) / tick


TABLES = """
    select case when relname like 'history%' then 'history' else relname end, sum(n_live_tup), sum(n_dead_tup),
           sum(pg_total_relation_size(relid)), sum(autovacuum_count)
      from pg_stat_user_tables where schemaname = 'postern' group by 1"""


class Watch:
    def __init__(self, site):
        self.site = site
        self.db = site.psql()
        self.dead = set()

    def close(self):
        self.db.close()

    def processes(self):
        """name -> pid: ours by role and number, PostgreSQL's by what they are."""
        master, workers, helpers = self.site.tree()
        found = {"master": master}
        for role, pids in (("worker", workers), ("helper", helpers)):
            for n, pid in enumerate(sorted(pids), 1):
                found[f"{role} {n}"] = pid
        lanes = {}
        for pid in self.site.lab.pg_pids():
            try:
                title = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
            except OSError:
                continue
            match = re.search(r"(?:postgres: |: )?(postern_\w+) ", title)
            if match:
                lanes.setdefault(match.group(1), []).append(pid)
            elif re.fullmatch(r"postgres: [a-z ]*(writer|checkpointer|launcher)\s*", title):
                found[title.split(": ")[1].strip()] = pid
        for role, pids in lanes.items():
            if role != "postern_admin":             # posternctl's come and go
                for n, pid in enumerate(sorted(pids), 1):
                    found[f"{role} {n}"] = pid
        return found

    def sample(self):
        row = {"at": time.time(), "processes": {}}
        for name, pid in self.processes().items():
            taken = memory(pid)
            if taken is None:
                continue
            try:
                row["processes"][name] = {"pid": pid, "fds": kit.fds(pid), "cpu": cpu_seconds(pid), **taken}
            except OSError:
                continue
        row["steal"], row["busy"] = steal()
        row["tables"] = {}
        for line in self.db.ask(TABLES).splitlines():
            name, live, dead, octets, vacuums = line.split("|")
            row["tables"][name] = {"live": int(live), "dead": int(dead), "octets": int(octets), "vacuums": int(vacuums)}
        size, wal, locks, backends = self.db.ask("""
            select pg_database_size(current_database()), pg_current_wal_lsn() - '0/0',
                   (select count(*) from pg_locks where locktype = 'advisory'),
                   (select count(*) from pg_stat_activity where backend_type = 'client backend')""").split("|")
        row["database"], row["wal"], row["locks"], row["backends"] = int(size), int(wal), int(locks), int(backends)
        # History is kept for history_days: it has to grow, and nothing else may.
        row["stored"] = row["database"] - row["tables"].get("history", {"octets": 0})["octets"]
        row["history"] = row["database"] - row["stored"]
        row["messages"] = row["tables"]["message"]["live"]
        row["dead"] = sum(t["dead"] for t in row["tables"].values())
        return row
