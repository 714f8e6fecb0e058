"""The final accounting: all is quiet and healed, and everything is looked at: what clients get, what is stored,
what is held, what is left over.

A finding is a text that begins with its name. It must never repair.
"""
import os
import re
import time

import account
import ledger
import letters
from lmtpkit import kit


def found(site, box, problems):
    """(UIDL, letter) of each message, as a client gets them; what is changed is a problem."""
    result = []
    with site.login(box) as pop:
        uidls = [u.decode() for u in pop.uidl()]
        sizes = [int(line.split()[1]) for line in pop.multi("LIST")]
        for n, (uidl, size) in enumerate(zip(uidls, sizes), 1):
            try:
                data = pop.retr(n)
            except AssertionError as e:
                problems.append(f"lost: {box}: {uidl} is shown and cannot be fetched: {e}")
                result.append((uidl, None))
                continue
            except (EOFError, OSError) as e:
                problems.append(f"changed: {box}: {uidl} does not come to its end: {str(e)[:200]}")
                raise
            token, why = letters.read(data)
            if len(data) != size:
                why = f"LIST says {size} octets, {len(data)} came"
            if why is not None:
                problems.append(f"changed: {box}: {uidl}, letter {token}: {why}")
            result.append((uidl, token))
        pop.ok("QUIT")
    return result


def read_all(site, boxes, book):
    """Problems of the ledger, and of the mailboxes beside it."""
    state = account.Account(ledger.events(book))
    for box in boxes:
        changed = []
        try:
            there = found(site, box, changed)
        except (AssertionError, EOFError, OSError) as e:
            state.problems += changed or [f"lock: {box} cannot be opened: {e}"]
            continue
        state.problems += changed
        state.compare(box, there)
    return state.problems


def locks(site):
    held = site.sql("select distinct pid from pg_locks where locktype = 'advisory'").split()
    return [f"lock: process {pid} of PostgreSQL holds a maildrop: "
            + site.sql(f"select usename || ' ' || state || ' ' || query from pg_stat_activity where pid = {pid}") for pid in held]


def stored(site):
    """What the operator's tool finds when it recounts and reads back, and quotas that were passed."""
    problems = []
    done = site.ctl("check", check=False)
    if done.returncode != 0:
        problems += [f"check: {line}" for line in done.stdout.decode(errors="replace").splitlines()]
    return problems + [f"quota: {line}" for line in site.sql(
        "select address || ' holds ' || octets || ' of ' || quota from postern.mailbox where octets > quota").splitlines()]


def leftovers(site):
    """Files of the spool: named ones, and those without a name that a process still has."""
    spool = site.lab.spool
    problems = [f"spool: {spool / name} is left" for name in sorted(os.listdir(spool))]
    for pid in site.lab.daemon_pids():
        try:
            links = kit.opened(pid)
        except OSError:
            continue
        problems += [f"spool: process {pid} has {link} open" for link in links if link.startswith(f"{spool}/")]
    return problems


def crashes(log):
    """Ends of processes, in the log of posternd, that neither the injector's signal nor want of memory explains."""
    starved = "out of memory" in log
    return [f"crash: {line}" for line in log.splitlines()
            if re.search(r"exited with status [1-9]|assertion failed", line)
            or (killed := re.search(r"was killed by signal (\d+)", line))
            and killed.group(1) != "9" and not (starved and killed.group(1) == "6")]


def everything(site, boxes, book, patience=5):
    """patience: seconds in which sessions that were left have to end."""
    end = time.monotonic() + patience
    while (held := locks(site)) and time.monotonic() < end:
        time.sleep(0.2)
    return held + read_all(site, boxes, book) + stored(site) + leftovers(site)
