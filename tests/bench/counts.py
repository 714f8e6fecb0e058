"""What is counted, not timed, of a poll and of a delivery: statements, system
calls, WAL; told in the notes below the table."""
import pathlib
import re
import shutil
import signal
import subprocess
import time

from servers import generator, tree


def delivery_cost(lab, users):
    """Statements and WAL octets for a message of 10 KB to one recipient, and to ten."""
    told = []
    for recipients in (1, 10):
        lab.sql("checkpoint")
        lab.count_statements("top")
        start = lab.sql("select pg_current_wal_lsn()")
        run = generator("lmtpbench", lab.lmtp, users, "--connections", 1, "--rcpts-per-message", recipients, "--messages", 500)
        octets = int(lab.sql(f"select pg_current_wal_lsn() - '{start}'::pg_lsn").split(".")[0])
        calls = int(lab.sql("select coalesce(sum(calls), 0) from pg_stat_statements where query ~ 'postern\\.(resolve|deliver)' and toplevel") or 0)
        told.append(f"{recipients} recipient{'s' if recipients > 1 else ''}: {calls / run['messages']:.2f} statements, "
                    f"{octets / run['messages']:,.0f} octets of WAL a message")
    lab.count_statements("none")
    return "; ".join(told)


def system_calls(lab, users, connections, polls):
    """System calls for each poll, of the workers and of the helpers, by strace, which slows them down: more come together."""
    counts = {}
    pids = [p for p in tree(lab.root) if p != lab.root]
    out = pathlib.Path(lab.dir, "strace")
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", str(out)] + sum((["-p", str(p)] for p in pids), []),
                              stderr=subprocess.DEVNULL)
    time.sleep(1)
    generator("popbench", lab.port, users, "--scenario", "poll", "--connections", connections, "--sessions", polls)
    time.sleep(0.3)
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    for line in out.read_text(errors="replace").splitlines():
        match = re.match(r"\d+\s+([a-z0-9_]+)\(", line)
        if match:
            counts[match.group(1)] = counts.get(match.group(1), 0) + 1
    return f"{sum(counts.values()) / polls:.1f} (" + ", ".join(
        f"{name} {n / polls:.1f}" for name, n in sorted(counts.items(), key=lambda kv: -kv[1]) if n / polls >= 0.05) + ")"


def statements(lab, users):
    """Of each poll, by name."""
    lab.count_statements("top")
    generator("popbench", lab.port, users, "--scenario", "poll", "--connections", "1", "--sessions", "500")
    rows = lab.sql("select substring(query from 'postern\\.(\\w+)'), sum(calls) from pg_stat_statements "
                   "where query ~ 'postern\\.' and toplevel group by 1 order by 2 desc")
    lab.count_statements("none")
    return {name: int(calls) / 500 for name, calls in (row.split("|") for row in rows.splitlines())
            if int(calls) >= 50}


def notes(bench):
    lab = bench.servers["postern"]
    told = ["import, messages/s: " + ", ".join(f"{octets:,} octets: {rate:,.0f}" for octets, rate in bench.imported.items())]
    if "small" in bench.users:
        told.append("statements for each poll: " + ", ".join(f"{n} {c:.2f}" for n, c in statements(lab, bench.users["small"]).items()))
        if shutil.which("strace"):
            told += [f"system calls for each poll of {connections}, workers and helpers: " + system_calls(lab, bench.users["small"], connections, polls)
                     for connections, polls in ((1, 400), (16, 1600))]
        else:
            told.append("system calls for each poll: strace is not installed")
    if "inbox" in bench.users:
        told.append("each delivery of 10 KB: " + delivery_cost(lab, bench.users["inbox"]))
    return told
