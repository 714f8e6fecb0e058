"""Two trees of Postern side by side, `run --against DIR`: the text of what was
measured. Whatever is compared, above 1 this tree is the better one."""
import os
import statistics
import subprocess

from report import middle, number
from scenarios import LESS, SCENARIOS

# What is shown of each scenario besides its figure: the keys that are summed, and its name.
COSTS = [
    (("p99",), "p99, ms"),
    (("cpu1000",), "CPU s for 1,000, server"),
    (("db1000",), "CPU s for 1,000, database"),
    (("cpu1000", "db1000"), "CPU s for 1,000, both"),
    (("gen1000",), "CPU s for 1,000, generator"),
    (("wakeups1000",), "wake-ups for 1,000, server"),
    (("dbwakeups1000",), "wake-ups for 1,000, database"),
]


def git(top, *arguments):
    done = subprocess.run(["git", "-C", str(top), *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip()


def tree_name(top):
    """Its folder, its commit, and whether it was changed since."""
    commit = git(top, "log", "-1", "--format=%h %s")
    changed = git(top, "status", "--porcelain", "--untracked-files=no")
    return f"{os.path.basename(top)}, {commit or 'of no commit'}{', changed' if changed else ''}"


def summed(runs, keys):
    """Their sum for each run, under one key."""
    return [{"value": sum(run[key] for key in keys)} if all(run.get(key) is not None for key in keys) else {} for run in runs]


def compare(name, ours, theirs, less):
    """A line; the runs are pairs, and so are the ratios."""
    ratios = [b["value"] / a["value"] if less else a["value"] / b["value"]
              for a, b in zip(ours, theirs) if a.get("value") and b.get("value")]
    if not ratios:
        return []
    return [f"  {name:48} {number(middle(ours)):>10} {number(middle(theirs)):>10} {statistics.median(ratios):8.3f}"
            f"   {min(ratios):.3f} to {max(ratios):.3f}"]


def text(results):
    m = results["machine"]
    lines = [f"This tree:  {results['trees'][0]}", f"the other:  {results['trees'][1]}",
             f"{results['date']}, {m['processors']} processors ({m['model']}); {results['versions'][-1]}; "
             f"{results['rounds']} pairs of {results['seconds']} s, by turns", "",
             f"  {'':48} {'this tree':>10} {'the other':>10} {'better':>8}   of all pairs"]
    for scenario in SCENARIOS:
        runs = results["scenarios"].get(scenario.name, {})
        if not {"postern", "against"} <= runs.keys():
            continue
        ours, theirs = runs["postern"], runs["against"]
        errors = sum(run["errors"] for run in ours), sum(run["errors"] for run in theirs)
        lines.append(scenario.name + (f"  ERRORS: {errors[0]} and {errors[1]}" if any(errors) else ""))
        lines += compare(scenario.unit, ours, theirs, scenario.unit in LESS)
        for keys, name in COSTS:
            lines += compare(name, summed(ours, keys), summed(theirs, keys), True)
    return "\n".join(lines) + "\n"
