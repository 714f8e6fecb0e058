"""From samples to a verdict, a table, a plot.

Flat is what has, over the second half of the time, a slope that adds up to less
than a share of its own size, and less than some absolute amount that is noise.
The slope is the median of the slopes between all pairs (Theil-Sen): one vacuum,
one spike, is not a trend.
"""
import statistics
import subprocess

# What is judged: name, how to get it from a sample, unit, share and amount that are still flat.
SHARES = {"memory": (0.03, 512), "fds": (0.05, 4), "stored": (0.05, 4 << 20), "dead": (0.25, 3000), "messages": (0.10, 100)}


def slope(points):
    """Of (x, y): the change of y for one of x."""
    step = max(1, len(points) // 200)
    points = points[::step]
    found = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(points) for b in points[i + 1:] if b[0] > a[0]]
    return statistics.median(found) if found else 0.0


def judge(kind, points):
    """points of the whole time. A row of the verdict."""
    middle = (points[0][0] + points[-1][0]) / 2
    second = [p for p in points if p[0] >= middle]
    first = [p[1] for p in points if p[0] < middle] or [points[0][1]]
    share, amount = SHARES[kind]
    level = statistics.median(p[1] for p in second)
    growth = slope(second) * (second[-1][0] - second[0][0])
    return {"first": statistics.median(first), "second": level, "growth": growth,
            "allowed": max(share * level, amount), "flat": growth <= max(share * level, amount)}


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def by_minute(samples, began, name, seconds=60):
    """[(minute, p50, p99, count)] in ms, whole minutes only."""
    buckets = {}
    for what, at, took in samples:
        if what == name:
            buckets.setdefault(int((at - began) // seconds), []).append(took * 1000)
    last = max(buckets, default=0)
    return [(m, percentile(v, 0.5), percentile(v, 0.99), len(v)) for m, v in sorted(buckets.items()) if m < last or len(buckets) == 1]


def series(rows, began):
    """name -> (kind, points): all that is judged."""
    found = {}
    def at(row):
        return row["at"] - began
    names = {name for row in rows for name in row["processes"]}
    for name in sorted(names):
        mine = [(at(r), r["processes"][name]) for r in rows if name in r["processes"]]
        if len(mine) < len(rows) / 2:
            continue                                # one of PostgreSQL's that came late or went
        # Of PostgreSQL's, what is theirs alone: the pages of the shared buffers that each has touched are not memory taken.
        ours = name.split()[0] in ("master", "worker", "helper")
        found[f"{name}, {'PSS' if ours else 'anonymous'} KiB"] = "memory", [(t, p["pss" if ours else "anonymous"]) for t, p in mine]
        if ours:
            found[f"{name}, heap KiB"] = "memory", [(t, p["anonymous"]) for t, p in mine]
            if mine[0][1]["fds"] >= 0 and not name.startswith("worker"):
                found[f"{name}, descriptors"] = "fds", [(t, p["fds"]) for t, p in mine]
    # Together: which worker gets a client is chance.
    found["workers, descriptors"] = "fds", [(at(r), sum(p["fds"] for n, p in r["processes"].items() if n.startswith("worker")))
                                            for r in rows]
    found["database without history, octets"] = "stored", [(at(r), r["stored"]) for r in rows]
    found["messages"] = "messages", [(at(r), r["messages"]) for r in rows]
    found["dead tuples"] = "dead", [(at(r), r["dead"]) for r in rows]
    for table in sorted(rows[-1]["tables"]):
        points = [(at(r), r["tables"][table]["dead"]) for r in rows if table in r["tables"]]
        if max(p[1] for p in points) > 1000:
            found[f"dead tuples of {table}"] = "dead", points
    return found


def latencies(samples, began, length):
    """name -> p50 and p99 (ms) of the first and the last quarter, without a first tenth in which caches fill."""
    found = {}
    for name in ("poll", "delivery", "echo", "disk"):
        mine = [(at - began, took * 1000) for what, at, took in samples if what == name]
        early = [took for at, took in mine if length * 0.1 <= at < length * 0.35]
        late = [took for at, took in mine if at >= length * 0.75]
        if early and late:
            found[name] = {key: (percentile(early, share), percentile(late, share))
                           for key, share in (("p50", 0.5), ("p99", 0.99))}
    return found


def costs(rows, began, length):
    """CPU seconds a minute of posternd and of PostgreSQL's backends for it, in the same quarters: what latency is where others load
    the machine, this is not."""
    def used(chosen, since, until):
        some = [r for r in rows if since <= r["at"] - began < until]
        if len(some) < 2:
            return float("nan")
        a, b = some[0], some[-1]
        return sum(p["cpu"] - a["processes"][n]["cpu"] for n, p in b["processes"].items()
                   if n in a["processes"] and chosen(n)) / (b["at"] - a["at"]) * 60
    return {what: (used(chosen, length * 0.1, length * 0.35), used(chosen, length * 0.75, length + 1))
            for what, chosen in (("posternd", lambda n: not n.startswith("postern_") and n.split()[0] in ("master", "worker", "helper")),
                                 ("backends", lambda n: n.startswith("postern_")))}


def text(result):
    """The table."""
    out = [f"{result['minutes']:.1f} minutes, seed {result['seed']}: " + ", ".join(
        f"{kind} {done}" + (f" ({failed} failed)" if failed else "") for kind, (done, failed) in result["done"].items())]
    out.append(f"processors: {result['share'] * 100:.0f} % of the machine by server, database and clients; "
               f"{result['others'] * 100:.0f} % by others")
    out.append("")
    out.append(f"{'':44} {'first half':>12} {'second half':>12} {'growth in it':>12} {'still flat':>12}")
    for name, row in result["verdict"].items():
        out.append(f"{name:44} {row['first']:12.0f} {row['second']:12.0f} {row['growth']:+12.0f} {row['allowed']:12.0f}"
                   f"{'' if row['flat'] else '   GROWS'}")
    out.append("")
    out.append(f"{'latency, ms':20} {'p50 early':>10} {'late':>8} {'ratio':>7} {'p99 early':>10} {'late':>8} {'ratio':>7}")
    for name, row in result["latency"].items():
        (a, b), (c, d) = row["p50"], row["p99"]
        out.append(f"{name:20} {a:10.2f} {b:8.2f} {b / a:7.2f} {c:10.2f} {d:8.2f} {d / c:7.2f}")
    for what, (early, late) in result["cpu"].items():
        out.append(f"{what + ', CPU s/minute':20} {early:10.2f} {late:8.2f} {late / max(early, 1e-9):7.2f}")
    out.append("echo and disk are the machine's own, without the server: compare with them.")
    out.append("")
    out.append(f"WAL {result['wal_per_minute'] / 1e6:.1f} MB a minute; history {result['history_per_minute'] / 1e6:.2f} MB "
               f"a minute, kept for history_days; autovacuum ran {result['vacuums']} times")
    out += [f"  | {line}" for line in result["said"]]
    out += [f"NOT FLAT OR WRONG: {what}" for what in result["wrong"]]
    out.append("verdict: " + ("not as it should be" if result["wrong"] else "flat"))
    return "\n".join(out) + "\n"


PLOT = """\
set terminal pngcairo size 1400,1500 font ",10"
set output "{where}/soak.png"
set multiplot layout 5,1
set datafile missing "?"
set key outside right
set grid
set xrange [0:{minutes}]
set title "memory of processes (PSS), MiB"
plot {memory}
set title "anonymous memory of PostgreSQL's backends, MiB"
plot {backends}
set title "database, MB; dead tuples (right)"
set y2tics
set y2label "dead tuples"
plot "{where}/samples.dat" using 1:2 with lines title "database", "" using 1:3 with lines title "without history", \\
     "" using 1:4 axes x1y2 with lines title "dead tuples"
unset y2tics
unset y2label
set title "descriptors of the workers; open maildrops"
plot {descriptors}, "{where}/samples.dat" using 1:5 with lines title "locks"
set title "latency by minute, ms"
set logscale y
set xlabel "minutes"
plot {latency}
unset multiplot
"""


def plot(where, rows, samples, began):
    """samples.dat, latency.dat, soak.gnuplot, and soak.png where gnuplot is there."""
    names = sorted({name for row in rows for name in row["processes"]})
    ours = [n for n in names if n.split()[0] in ("master", "worker", "helper")]
    lanes = [n for n in names if n.startswith("postern_")]
    with open(where / "samples.dat", "w", encoding="utf-8") as out:
        print("# minute database stored dead locks", *(f"'{n}'" for n in ours + lanes), "and fds of ours", file=out)
        for row in rows:
            def value(name, key, scale, row=row):
                return f"{row['processes'][name][key] / scale:.4f}" if name in row["processes"] else "?"
            print(f"{(row['at'] - began) / 60:.3f}", row["database"] / 1e6, row["stored"] / 1e6, row["dead"], row["locks"],
                  *(value(n, "pss", 1024) for n in ours), *(value(n, "anonymous", 1024) for n in lanes),
                  *(value(n, "fds", 1) for n in ours), file=out)
    kinds = ["poll", "delivery", "echo", "disk"]
    tables = {kind: {m: (p50, p99) for m, p50, p99, _ in by_minute(samples, began, kind)} for kind in kinds}
    with open(where / "latency.dat", "w", encoding="utf-8") as out:
        print("# minute, then p50 and p99 of", *kinds, file=out)
        for minute in sorted({m for t in tables.values() for m in t}):
            print(minute + 0.5, *(f"{v:.3f}" for kind in kinds for v in tables[kind].get(minute, (float("nan"),) * 2)), file=out)

    def curves(chosen, column):
        return ", ".join(f'"{where}/samples.dat" using 1:{column + i} with lines title "{n.replace("_", "-")}"'
                         for i, n in enumerate(chosen))
    curve = ", ".join(f'"{where}/latency.dat" using 1:{2 + 2 * i + j} with lines title "{kind} {share}"'
                      for i, kind in enumerate(kinds) for j, share in enumerate(("p50", "p99")))
    script = PLOT.format(where=where, minutes=(rows[-1]["at"] - began) / 60, memory=curves(ours, 6),
                         backends=curves(lanes, 6 + len(ours)), descriptors=curves(ours, 6 + len(ours) + len(lanes)), latency=curve)
    (where / "soak.gnuplot").write_text(script)
    try:
        subprocess.run(["gnuplot", where / "soak.gnuplot"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        pass
