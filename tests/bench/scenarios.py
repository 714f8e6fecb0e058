"""What is measured: the table SCENARIOS, and the ways of measuring that its
rows name. Each is a function of (bench, server) that returns a dictionary
with `value`, in the unit of the row, and `errors`; `p50` and `p99` are in ms,
`client` is the generator's share of a processor, `cpu1000` and `db1000` are CPU
seconds of the server and of its database for 1,000 units."""
import collections
import json
import pathlib
import subprocess
import time

from servers import BUILD, cpu_of, generator, pss_of

KEYS = {"sessions/s": ("sessions_per_s", "sessions"), "messages/s": ("messages_per_s", "messages"),
        "MB/s": ("mb_per_s", None)}
WARMUP = 1      # seconds


def cost(server, before, units, elapsed, warmup=WARMUP):
    """The CPU of the warm-up is in the sum as well: scaled to the measured part."""
    if not units:
        return {}
    share = elapsed / (elapsed + warmup) * 1000 / units
    return {"cpu1000": (cpu_of(server.root) - before[0]) * share, "db1000": (cpu_of(server.db_root) - before[1]) * share}


def play(bench, server, group, unit, *options, warmup=WARMUP, port=None):
    """popbench against this server."""
    before = cpu_of(server.root), cpu_of(server.db_root)
    length = () if "--once" in options or "--sessions" in options else ("--seconds", bench.seconds, "--warmup", warmup)
    run = generator("popbench", port or server.port, bench.users[group], *options, *length)
    if not length:
        warmup = 0
    rate, count = KEYS[unit]
    session = run["latency_us"]["session"]
    return {"value": run[rate], "errors": run["errors_total"], "said": run["said"], "p50": session["p50"] / 1000, "p99": session["p99"] / 1000,
            "client": run["client_cpu_s"] / max(run["elapsed_s"], 1e-9),
            **cost(server, before, run[count] if count else run["bytes"] / 1e6, run["elapsed_s"], warmup)}


# ------------------------------------------------------------- ways of measuring

def needs(measure, *groups, null=None):
    """The maildrops that have to be filled for it, and which null server is its ceiling."""
    measure.groups, measure.null = groups, null
    return measure


def pop3(group, unit, *options):
    def measure(bench, server):
        return play(bench, server, group, unit, *options)
    return needs(measure, group, null=group)


def pop3s(group, unit, *options):
    def measure(bench, server):
        return play(bench, server, group, unit, *options, "--tls", "implicit", port=server.tls_port)
    return needs(measure, group, null=group + " tls")


def take(*options):
    """Every maildrop is filled anew by LMTP, then fetched and emptied once."""
    def measure(bench, server):
        if server.lmtp:
            filled = generator("lmtpbench", server.lmtp, bench.users["take"], "--connections", 8, "--each", 50, "--size", 10240)
            if filled["errors_total"]:
                return {"value": 0, "errors": filled["errors_total"], "said": filled["said"]}
        return play(bench, server, "take", "messages/s", "--scenario", "fetch-delete", "--once", "--connections", "16", *options)
    return needs(measure, "take", null="small")


def lmtp(connections, recipients, octets):
    def measure(bench, server):
        before = cpu_of(server.root), cpu_of(server.db_root)
        run = generator("lmtpbench", server.lmtp, bench.users["inbox"], "--connections", connections, "--rcpts-per-message", recipients,
                        "--size", octets, "--seconds", bench.seconds, "--warmup", WARMUP)
        return {"value": run["deliveries_per_s"], "errors": run["errors_total"], "said": run["said"], "client": run["client_cpu_s"] / run["elapsed_s"],
                **cost(server, before, run["deliveries"], run["elapsed_s"])}
    return needs(measure, "inbox")


class Idle:
    """Sessions that are logged in and say nothing, for as long as the `with` lasts."""

    def __init__(self, bench, server, group, sessions, tls):
        self.ready = pathlib.Path(bench.work, "idle-ready")
        self.ready.unlink(missing_ok=True)
        options = ["--tls", "implicit"] if tls else []
        self.holder = subprocess.Popen(
            [str(a) for a in (BUILD / "bench" / "popbench", "--port", server.tls_port if tls else server.port, "--users", bench.users[group],
                              "--scenario", "idle", "--connections", sessions, "--hold", 120, "--ramp", 32, "--quiet",
                              "--exec-ready", f"touch {self.ready}", *options)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not self.ready.exists() and self.holder.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)

    def end(self):
        """The number of errors, and what was said of them."""
        self.holder.terminate()
        out, said = self.holder.communicate()
        return json.loads(out)["errors_total"] if out.strip() else 1, said


def memory(sessions, tls):
    """KiB of PSS that a session adds, 50 messages in its maildrop."""
    def measure(bench, server):
        server.fresh()
        before = pss_of(server.root)
        idle = Idle(bench, server, "idle", sessions, tls)
        after = pss_of(server.root)
        errors, said = idle.end()
        return {"value": (after - before) / sessions, "errors": errors, "said": said, "total_kib": after}
    return needs(measure, "idle")


def poll_beside_idle(sessions):
    """The poll rate of others while that many sessions are idle."""
    def measure(bench, server):
        if server.peer == "alone":
            return play(bench, server, "small", "sessions/s", *POLL, "16")
        idle = Idle(bench, server, "crowd", sessions, False)
        time.sleep(6)   # idle is who says nothing for some seconds
        result = play(bench, server, "small", "sessions/s", *POLL, "16")
        errors, said = idle.end()
        result["errors"] += errors
        result["said"] += said
        return result
    return needs(measure, "small", "crowd")


def restart(group):
    """ms from connecting to the end of the first poll after the server and its database were started; nothing is in the page cache."""
    def measure(bench, server):
        server.stop()
        subprocess.run(["sync"], check=True)
        try:
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
        except OSError:
            pass    # not ours to do: the caches stay warm, for all
        server.up()
        result = play(bench, server, group, "sessions/s", *POLL, "1", "--sessions", "1")
        return {"value": result["p50"], "errors": result["errors"], "said": result["said"]}
    return needs(measure, group)


def half_rate(bench, server):
    """p99 of a poll, in ms, when sessions come at half of the rate that this server reached in this run."""
    most = bench.median(FIRST, server.peer)
    if not most:
        return None
    result = play(bench, server, "small", "sessions/s", *POLL, "64", "--rate", max(int(most / 2), 1))
    return {**result, "value": result["p99"]}


needs(half_rate, "small")


def cpu_of_poll(bench, server):
    """Measured along with the first scenario."""
    last = bench.last(FIRST, server.peer)
    return last and {"value": last["cpu1000"] + last["db1000"], "errors": 0}


needs(cpu_of_poll, "small")


# --------------------------------------------------------------------- the table

POLL = ("--scenario", "poll", "--connections")
FETCH = ("--scenario", "fetch", "--connections")
TOP = ("--scenario", "top", "--connections")
PIPE = ("--pipeline", "on")
FIRST = "poll of 50 messages, 16 connections"

# How many maildrops of how many messages of how many octets. plain: the password is stored as it is, as making so many
# proofs of Argon2id is not what is measured. linked: the messages are the same in all maildrops and take their space once.
Group = collections.namedtuple("Group", "users messages octets plain linked", defaults=(False, False))
GROUPS = {
    "small": Group(64, 50, 10240),
    "argon": Group(32, 50, 10240),
    "large": Group(4, 20000, 2048),
    "big": Group(8, 20, 1048576),
    "middle": Group(16, 50, 102400),
    "inetd": Group(32, 50, 10240, plain=True),
    "take": Group(64, 0, 0),
    "inbox": Group(200, 0, 0),
    "idle": Group(1000, 50, 10240, plain=True, linked=True),
    "crowd": Group(10000, 0, 0, plain=True),
    "huge": Group(1, 100000, 2048, linked=True),
}

# goals: how many times better than this peer Postern is to be (0: no figure was set); less is better where the unit is one of LESS.
# quick: in `make bench-quick`, too. late: after all others, as it leaves cold caches behind.
Scenario = collections.namedtuple("Scenario", "name unit goals measure quick late", defaults=(False, False))
LESS = ("ms", "KiB", "CPU s")

SCENARIOS = [
    Scenario(FIRST, "sessions/s", {"dovecot": 3}, pop3("small", "sessions/s", *POLL, "16"), True),
    Scenario("poll of 50 messages, 64 connections", "sessions/s", {"dovecot": 3}, pop3("small", "sessions/s", *POLL, "64"), True),
    Scenario("CPU of 1,000 such polls, database included", "CPU s", {"dovecot": 3}, cpu_of_poll, True),
    Scenario("p99 of a poll at half of the highest rate (under 10)", "ms", {"dovecot": 0}, half_rate, True),
    Scenario("poll over TLS, resumed, 16 connections", "sessions/s", {"dovecot": 1.5}, pop3s("small", "sessions/s", *POLL, "16", "--tls-resume"), True),
    Scenario("poll over TLS, full handshakes, 16 connections", "sessions/s", {"dovecot": 1.5}, pop3s("small", "sessions/s", *POLL, "16"), True),
    Scenario("poll, Argon2id on both sides, users seen before", "sessions/s", {"dovecot": 100}, pop3("argon", "sessions/s", *POLL, "16")),
    Scenario("poll of 20,000 messages, 4 connections", "sessions/s", {"dovecot": 10}, pop3("large", "sessions/s", *POLL, "4"), True),
    Scenario("fetch 50 x 10 KB, lock-step, 16 connections", "messages/s", {"dovecot": 2}, pop3("small", "messages/s", *FETCH, "16"), True),
    Scenario("fetch 50 x 10 KB, pipelined, 16 connections", "messages/s", {"dovecot": 2}, pop3("small", "messages/s", *FETCH, "16", *PIPE), True),
    Scenario("fetch 20 x 1 MB, lock-step, 8 connections", "MB/s", {"dovecot": 1.2}, pop3("big", "MB/s", *FETCH, "8")),
    Scenario("fetch 20 x 1 MB, pipelined, 8 connections", "MB/s", {"dovecot": 1.2}, pop3("big", "MB/s", *FETCH, "8", *PIPE), True),
    Scenario("TOP n 0 of 50 x 100 KB, 16 connections", "messages/s", {"dovecot": 2}, pop3("middle", "messages/s", *TOP, "16"), True),
    Scenario("fetch and delete 50 x 10 KB, lock-step, 16 connections", "messages/s", {"dovecot": 2, "mdbox": 1.2}, take()),
    Scenario("fetch and delete 50 x 10 KB, pipelined, 16 connections", "messages/s", {"dovecot": 2, "mdbox": 1.2}, take(*PIPE)),
    Scenario("LMTP 10 KB, 1 connection", "deliveries/s", {"dovecot": 2.5}, lmtp(1, 1, 10240)),
    Scenario("LMTP 10 KB, 8 connections", "deliveries/s", {"dovecot": 2.5}, lmtp(8, 1, 10240), True),
    Scenario("LMTP 10 KB, 32 connections", "deliveries/s", {"dovecot": 2.5}, lmtp(32, 1, 10240)),
    Scenario("LMTP 10 KB to 10 recipients, 8 connections", "deliveries/s", {"dovecot": 8}, lmtp(8, 10, 10240), True),
    Scenario("LMTP 10 KB to 50 recipients, 8 connections", "deliveries/s", {"dovecot": 15}, lmtp(8, 50, 10240)),
    Scenario("LMTP 10 MB, 8 connections", "deliveries/s", {"dovecot": 1}, lmtp(8, 1, 10485760)),
    Scenario("poll under xinetd, 16 connections", "sessions/s", {"mailutils": 1}, pop3("inetd", "sessions/s", *POLL, "16")),
    Scenario("poll beside 10,000 idle sessions, 16 connections", "sessions/s", {"alone": 0.9}, poll_beside_idle(10000)),
    Scenario("memory of an idle session", "KiB", {"dovecot": 20}, memory(1000, False), False, True),
    Scenario("memory of an idle session, TLS", "KiB", {"dovecot": 6}, memory(1000, True), False, True),
    Scenario("first poll of 100,000 messages after a restart (under 300)", "ms", {"dovecot": 0}, restart("huge"), False, True),
]
