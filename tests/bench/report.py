"""What a run of tests/bench/run has measured, as text, JSON and a plot, and as
the table for README. Works from the JSON alone: see tests/bench/table."""
import pathlib
import shutil
import statistics
import subprocess

from scenarios import LESS, SCENARIOS

HALF = 0.5      # of a processor: a generator that takes more bounds the rate
NAMES = {"dovecot": "Dovecot", "mdbox": "mdbox", "mailutils": "mailutils", "alone": "alone"}


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def middle(runs, key="value"):
    found = [run[key] for run in runs or [] if run.get(key) is not None]
    return statistics.median(found) if found else None


def cpu_of(runs):
    """CPU seconds of a server and its database for 1,000 units."""
    return middle([{"value": run["cpu1000"] + run.get("db1000", 0)} for run in runs or [] if run.get("cpu1000") is not None])


def divided(a, b):
    return a / b if a and b else None


def rows(results):
    """A row for each scenario and each server that it is compared with, in the order of the table."""
    for scenario in SCENARIOS:
        runs = results["scenarios"].get(scenario.name)
        if not runs or "postern" not in runs:
            continue
        ours, cpu, client = middle(runs["postern"]), cpu_of(runs["postern"]), middle(runs["postern"], "client")
        spread = max(r["value"] for r in runs["postern"]) - min(r["value"] for r in runs["postern"])
        compared = [peer for peer in scenario.goals if peer in runs] or [None]
        for peer in compared:
            theirs, goal, less = middle(runs.get(peer)), scenario.goals.get(peer) or None, scenario.unit in LESS
            cpu_goal = scenario.cpu if peer == "dovecot" else None
            # Two shared processors: what the generator takes, no server gets, and the ratio of rates says less than there is.
            if cpu_goal is None and not less and client and client > HALF:
                cpu_goal = goal
            yield {"scenario": scenario.name, "unit": scenario.unit, "peer": NAMES.get(peer, "-"), "postern": ours, "other": theirs,
                   "ratio": divided(theirs, ours) if less else divided(ours, theirs), "goal": goal, "limit": scenario.limit,
                   "spread": spread / ours if ours else 0, "null": middle(runs.get("null")), "client": client,
                   "p50": middle(runs["postern"], "p50"), "p99": middle(runs["postern"], "p99"), "cpu": cpu, "db": middle(runs["postern"], "db1000"),
                   "other_cpu": cpu_of(runs.get(peer)), "cpu_ratio": divided(cpu_of(runs.get(peer)), cpu), "cpu_goal": cpu_goal,
                   "errors": sum(r["errors"] for server in runs.values() for r in server)}


def missed(row):
    """Which goals of a row are not reached, in words."""
    told = []
    for ratio, goal, what in ((row["ratio"], row["goal"], ""), (row["cpu_ratio"], row["cpu_goal"], " by CPU")):
        if ratio and goal and ratio < goal:
            told.append(f"{number(ratio)} of {number(goal)}{what}")
    if row["limit"] and row["postern"] and row["postern"] >= row["limit"]:
        told.append(f"{number(row['postern'])} {row['unit']}, to be under {row['limit']}")
    return f"{row['scenario']}, {row['peer']}: " + ", ".join(told) if told else None


def heading(results):
    m = results["machine"]
    return (f"{results['date']}, {m['processors']} processors ({m['model']}), {m['system']}; " + ", ".join(results["versions"]) +
            f"; fsync {m['fsync']}, synchronous_commit {m['synchronous_commit']}; medians of {results['rounds']} rounds of {results['seconds']} s")


def text(results):
    lines = ["Postern benchmark, " + heading(results),
             "ratio: how many times better than the other, its goal behind it; spread: (max - min) / median; null: the same from memory;",
             "gen.: the generator's share of a processor; CPU s: for 1,000 sessions, messages, deliveries or MB, Postern and its database,",
             "that of the database alone, of the other, and how many times less",
             f"{'scenario':58} {'unit':12} {'Postern':>9} {'spread':>6} {'other':>9} {'ratio':>7} {'goal':>5} {'null':>9} {'gen.':>5} "
             f"{'p50 ms':>7} {'p99 ms':>7} {'CPU s':>7} {'its db':>7} {'other':>7} {'ratio':>6} {'goal':>5} {'errors':>6}  compared with"]
    table = list(rows(results))
    for r in table:
        goal = number(r["goal"]) if r["goal"] else f"<{r['limit']}" if r["limit"] else "-"
        lines.append(f"{r['scenario']:58} {r['unit']:12} {number(r['postern']):>9} {r['spread']:6.0%} {number(r['other']):>9} {number(r['ratio']):>7} "
                     f"{goal:>5} {number(r['null']):>9} {'-' if r['client'] is None else format(r['client'], '.0%'):>5} "
                     f"{number(r['p50']):>7} {number(r['p99']):>7} {number(r['cpu']):>7} {number(r['db']):>7} {number(r['other_cpu']):>7} "
                     f"{number(r['cpu_ratio']):>6} {number(r['cpu_goal']):>5} {r['errors']:6}  {r['peer']}")
    behind = [m for m in map(missed, table) if m]
    return "\n".join(lines + ([""] + ["goals not reached:"] + ["  " + m for m in behind] if behind else []) + [""] + results["notes"]) + "\n"


def readme(results):
    """As README has it."""
    lines = []
    words = heading(results).split()
    while words:
        line = words.pop(0)
        while words and len(line) + 1 + len(words[0]) <= 76:
            line += " " + words.pop(0)
        lines.append(line)
    lines += ["", f"  {'':52}{'Postern':>7} {'other':>7} {'ratio':>5}  {'':12} {'CPU s':>5} {'other':>5} {'ratio':>5}"]
    for r in rows(results):
        name = r["scenario"].replace(" connections", "").replace(" connection", "")
        name += {"Dovecot": "", "-": ""}.get(r["peer"], f" ({r['peer']})")
        lines.append(f"  {name:52}{number(r['postern']):>7} {number(r['other']):>7} {number(r['ratio']):>5}  {r['unit']:12} "
                     f"{number(r['cpu']):>5} {number(r['other_cpu']):>5} {number(r['cpu_ratio']):>5}")
    lines += ["", "The other server is Dovecot in its best-tuned form, unless another is named; the",
              "last number of a scenario is the number of connections. CPU s is for 1,000 of what",
              "is counted, the database included. `make bench` prints these figures and more, and",
              "tests/bench/README explains what limits them."]
    return "\n".join(lines) + "\n"


def plot(results, path):
    """Bars of the ratios, and their goals, on a logarithmic scale; nothing without gnuplot or without ratios."""
    shown = [r for r in rows(results) if r["ratio"]]
    if not shown or not shutil.which("gnuplot"):
        return False
    data = pathlib.Path(path).with_suffix(".data")
    data.write_text("".join(f"\"{r['scenario']}{', ' + r['peer'] if r['peer'] != 'Dovecot' else ''}\"\t{r['ratio']:.3f}\t{r['goal'] or 'NaN'}\n"
                            for r in reversed(shown)))
    script = f"""set terminal svg size 1100,{120 + 26 * len(shown)} font 'sans,12'
set output '{path}'
set datafile separator "\\t"
set title 'Postern, times better than the other server'
set logscale x
set grid xtics
set key bottom right
set yrange [-0.7:{len(shown)}-0.3]
set arrow from 1,-0.7 to 1,{len(shown)}-0.3 nohead lw 2
set style fill solid 0.6
plot '{data}' using (sqrt($2)):0:(1):2:($0-0.35):($0+0.35):ytic(1) with boxxyerror title 'measured', \\
     '' using 3:0 with points pointtype 9 pointsize 1.2 title 'goal'
"""
    done = subprocess.run(["gnuplot"], input=script, text=True, check=False)
    data.unlink()
    return done.returncode == 0
