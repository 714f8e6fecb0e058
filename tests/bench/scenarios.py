"""What is measured: the table SCENARIOS, and the ways of measuring that its
rows name. Each is a function of (bench, server) that returns a dictionary
with `value`, in the unit of the row, and `errors`; `p50` and `p99` are in ms,
`client` is the generator's share of a processor. For 1,000 units, warm-up
included: `cpu1000`, `db1000` and `gen1000` are CPU seconds of the server, of its
database and of the generator, `wakeups1000` and `dbwakeups1000` how often the
processes of the server and of its database were woken."""
import collections
import json
import pathlib
import subprocess
import time

from servers import BUILD, Meter, generator, pss_of

# Its rate, how many, and how many with those of the warm-up.
KEYS = {"sessions/s": ("sessions_per_s", "sessions", "all_sessions"), "messages/s": ("messages_per_s", "messages", "all_messages"),
        "MB/s": ("mb_per_s", "bytes", "all_bytes"), "deliveries/s": ("deliveries_per_s", "deliveries", "all_deliveries")}
WARMUP = 1      # seconds


def result_of(run, unit, meter, latency):
    """What a generator and a meter have told, as a measuring function returns it."""
    rate, count, all_of_them = KEYS[unit]
    size = 1e6 if unit == "MB/s" else 1
    cost = meter.end(run[all_of_them] / size)
    if run[count]:
        cost["gen1000"] = run["client_cpu_s"] * 1000 * size / run[count]
    times = run["latency_us"][latency]
    return {"value": run[rate], "errors": run["errors_total"], "said": run["said"], "p50": times["p50"] / 1000, "p99": times["p99"] / 1000,
            "client": run["client_cpu_s"] / max(run["elapsed_s"], 1e-9), **cost}


def play(bench, server, group, unit, *options, port=None, users=None):
    """popbench against this server."""
    length = () if "--once" in options or "--sessions" in options else ("--seconds", bench.seconds, "--warmup", WARMUP)
    meter = Meter(server)
    run = generator("popbench", port or server.port, users or bench.users[group], *options, *length)
    return result_of(run, unit, meter, "session")


# ------------------------------------------------------------- ways of measuring

def needs(measure, *groups, null=None, server="postern"):
    """The maildrops that have to be filled for it, which null server is its ceiling, and which of our servers is measured."""
    measure.groups, measure.null, measure.server = groups, null, server
    return measure


def pop3(group, unit, *options, server="postern"):
    def measure(bench, visited):
        return play(bench, visited, group, unit, *options)
    return needs(measure, group, null=group, server=server)


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
        meter = Meter(server)
        run = generator("lmtpbench", server.lmtp, bench.users["inbox"], "--connections", connections, "--rcpts-per-message", recipients,
                        "--size", octets, "--seconds", bench.seconds, "--warmup", WARMUP)
        return result_of(run, "deliveries/s", meter, "transaction")
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
    """p99 of a poll, in ms, when sessions come as fast to each server: at half of the highest rate of the one compared with."""
    result = play(bench, server, "small", "sessions/s", *POLL, "64", "--rate", max(int(bench.highest_rate() / 2), 1))
    return {**result, "value": result["p99"]}


needs(half_rate, "small")


def quiet(bench, server):
    """p50 of a poll, in ms, when sessions come one at a time and the server sleeps in between."""
    result = play(bench, server, "small", "sessions/s", *POLL, "1", "--rate", "50")
    return {**result, "value": result["p50"]}


needs(quiet, "small")


def unseen(group, *options):
    """Each user logs in once, and never again to this server."""
    def measure(bench, server):
        return play(bench, server, group, "sessions/s", "--once", *options, users=bench.unseen_users(group, server))
    return needs(measure, group)


def statements(bench, server):
    """Of all kinds, and of all processes of the server, in the time that 1,000 polls take."""
    if server.peer not in ("postern", "against"):
        return None
    server.count_statements("top")
    run = generator("popbench", server.port, bench.users["small"], *POLL, "64", "--sessions", "5000")
    calls = int(server.sql("select sum(calls) from pg_stat_statements s join pg_roles r on r.oid = s.userid where toplevel and rolname ~ '^postern_'"))
    server.count_statements("none")
    return {"value": calls * 1000 / run["all_sessions"], "errors": run["errors_total"], "said": run["said"]}


needs(statements, "small")


# --------------------------------------------------------------------- the table

POLL = ("--scenario", "poll", "--connections")
FETCH = ("--scenario", "fetch", "--connections")
TOP = ("--scenario", "top", "--connections")
PIPE = ("--pipeline", "on")
# Whose highest rate half_rate halves.
POLLS = ("poll of 50 messages, 16 connections", "poll of 50 messages, 64 connections")

# How many maildrops of how many messages of how many octets. plain: the password is stored as it is, as making so many
# proofs of Argon2id is not what is measured. linked: the messages are the same in all maildrops and take their space once.
# unseen: so many users again for each round.
Group = collections.namedtuple("Group", "users messages octets plain linked unseen", defaults=(False, False, False))
GROUPS = {
    "small": Group(64, 50, 10240),
    "argon": Group(32, 50, 10240),
    "large": Group(4, 20000, 2048),
    "big": Group(8, 20, 1048576),
    "middle": Group(16, 50, 102400),
    "inetd": Group(32, 50, 10240, plain=True),
    "unseen": Group(4000, 10, 10240, plain=True, linked=True, unseen=True),
    "take": Group(64, 0, 0),
    "inbox": Group(200, 0, 0),
    "idle": Group(1000, 50, 10240, plain=True, linked=True),
    "crowd": Group(10000, 0, 0, plain=True),
    "huge": Group(1, 100000, 2048, linked=True),
}

# goals: how many times better than this peer Postern is to be (0: no figure was set); less is better where the unit is one of LESS.
# cpu: how many times less CPU than Dovecot server and database are to take for a unit. limit: the figure is to stay below it.
# quick: in `make bench-quick`, too. late: after all others, as it leaves cold caches behind.
Scenario = collections.namedtuple("Scenario", "name unit goals measure cpu limit quick late", defaults=(None, None, False, False))
LESS = ("ms", "KiB", "statements")

SCENARIOS = [
    Scenario(POLLS[0], "sessions/s", {"dovecot": 6}, pop3("small", "sessions/s", *POLL, "16"), cpu=9, quick=True),
    Scenario(POLLS[1], "sessions/s", {"dovecot": 6}, pop3("small", "sessions/s", *POLL, "64"), cpu=9, quick=True),
    Scenario("p99 of a poll at half of the other's highest rate", "ms", {"dovecot": 1}, half_rate, limit=10, quick=True),
    Scenario("p50 of a poll alone on a quiet server", "ms", {"dovecot": 0}, quiet, quick=True),
    Scenario("statements for 1,000 polls, 64 connections", "statements", {}, statements, limit=400, quick=True),
    Scenario("poll, users not seen before, cheap scheme, 64 connections", "sessions/s", {"dovecot": 0}, unseen("unseen", *POLL, "64")),
    Scenario("poll over TLS, resumed, 16 connections", "sessions/s", {"dovecot": 1.5},
             pop3s("small", "sessions/s", *POLL, "16", "--tls-resume"), cpu=3, quick=True),
    Scenario("poll over TLS, full handshakes, 16 connections", "sessions/s", {"dovecot": 1.5},
             pop3s("small", "sessions/s", *POLL, "16"), cpu=3, quick=True),
    Scenario("poll, Argon2id on both sides, users seen before", "sessions/s", {"dovecot": 100}, pop3("argon", "sessions/s", *POLL, "16")),
    Scenario("poll of 20,000 messages, 4 connections", "sessions/s", {"dovecot": 10}, pop3("large", "sessions/s", *POLL, "4"), quick=True),
    Scenario("fetch 50 x 10 KB, lock-step, 16 connections", "messages/s", {"dovecot": 3}, pop3("small", "messages/s", *FETCH, "16"), quick=True),
    Scenario("fetch 50 x 10 KB, pipelined, 16 connections", "messages/s", {"dovecot": 2.5},
             pop3("small", "messages/s", *FETCH, "16", *PIPE), quick=True),
    Scenario("fetch 20 x 1 MB, lock-step, 8 connections", "MB/s", {"dovecot": 1.2}, pop3("big", "MB/s", *FETCH, "8")),
    Scenario("fetch 20 x 1 MB, pipelined, 8 connections", "MB/s", {"dovecot": 1.2}, pop3("big", "MB/s", *FETCH, "8", *PIPE), quick=True),
    Scenario("TOP n 0 of 50 x 100 KB, 16 connections", "messages/s", {"dovecot": 2}, pop3("middle", "messages/s", *TOP, "16"), quick=True),
    Scenario("fetch and delete 50 x 10 KB, lock-step, 16 connections", "messages/s", {"dovecot": 2.5, "mdbox": 1.5}, take()),
    Scenario("fetch and delete 50 x 10 KB, pipelined, 16 connections", "messages/s", {"dovecot": 2.5, "mdbox": 1.5}, take(*PIPE)),
    Scenario("LMTP 10 KB, 1 connection", "deliveries/s", {"dovecot": 2.5}, lmtp(1, 1, 10240)),
    Scenario("LMTP 10 KB, 8 connections", "deliveries/s", {"dovecot": 5}, lmtp(8, 1, 10240), cpu=6, quick=True),
    Scenario("LMTP 10 KB, 32 connections", "deliveries/s", {"dovecot": 6}, lmtp(32, 1, 10240), cpu=6),
    Scenario("LMTP 10 KB to 10 recipients, 8 connections", "deliveries/s", {"dovecot": 14}, lmtp(8, 10, 10240), quick=True),
    Scenario("LMTP 10 KB to 50 recipients, 8 connections", "deliveries/s", {"dovecot": 15}, lmtp(8, 50, 10240)),
    Scenario("LMTP 10 MB, 8 connections", "deliveries/s", {"dovecot": 1}, lmtp(8, 1, 10485760)),
    Scenario("poll under xinetd, posternd beside it, 16 connections", "sessions/s", {"mailutils": 8},
             pop3("inetd", "sessions/s", *POLL, "16", server="passed")),
    Scenario("poll under xinetd, alone, 16 connections", "sessions/s", {"mailutils": 1.2}, pop3("inetd", "sessions/s", *POLL, "16", server="inetd")),
    Scenario("poll beside 10,000 idle sessions, 16 connections", "sessions/s", {"alone": 0.9}, poll_beside_idle(10000)),
    Scenario("memory of an idle session", "KiB", {"dovecot": 20}, memory(1000, False), late=True),
    Scenario("memory of an idle session, TLS", "KiB", {"dovecot": 6}, memory(1000, True), late=True),
    Scenario("first poll of 100,000 messages after a restart", "ms", {"dovecot": 0}, restart("huge"), limit=300, late=True),
]
