#!/usr/bin/env python3
"""What the ledger says must be there, may be there and must not: tests/torture/account.py LEDGER

Reads events only. Sessions of one maildrop come one after the other, so the
UIDLs that a later one is shown tell what became of the QUITs before it: all of
what was marked is gone, or none. What contradicts the promises of
design.md is a problem; a problem begins with its name.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import ledger                   # noqa: E402


class Copies:
    """Of one letter in one mailbox."""

    def __init__(self):
        self.tries = 0
        self.acked = 0          # attempts that were acknowledged
        self.possible = 0       # attempts that may have stored it
        self.sent_at = self.acked_at = None
        self.uidls = set()      # under which it was ever seen


class Box:
    def __init__(self):
        self.token = {}         # UIDL: letter
        self.gone = set()       # UIDLs whose deletion was acknowledged, or seen to have happened
        self.open = {}          # session: its QUIT, of which nobody knows yet what it did
        self.aged = set()
        self.holder = None      # the session that was shown its UIDLs last: all before it have lost the lock

    def marked(self):
        return set().union(*(q.uidls for q in self.open.values()))


class Quit:
    def __init__(self, box, uidls, at):
        self.box, self.uidls, self.at = box, frozenset(uidls), at
        self.done = None        # True: it happened, False: it did not
        self.fenced = False     # another session had the maildrop before: it must not happen


class Account:
    def __init__(self, events):
        self.problems = []
        self.copies = collections.defaultdict(Copies)       # (box, letter)
        self.boxes = collections.defaultdict(Box)
        self.letters = set()
        self.quits = {}         # session: Quit
        self.opened = {}        # session: (index, UIDLs known and not marked, UIDLs gone)
        self.counts = collections.Counter()
        for at, event in enumerate(events):
            self.counts[event["e"]] += 1
            getattr(self, "on_" + event["e"])(at, event)

    def problem(self, name, text):
        self.problems.append(f"{name}: {text}")

    # -- what came in

    def on_letter(self, _, e):
        self.letters.add(e["t"])

    def on_sent(self, at, e):
        for box in e["to"]:
            copies = self.copies[box, e["t"]]
            copies.tries += 1
            copies.possible += 1
            copies.sent_at = at

    def on_acked(self, at, e):
        copies = self.copies[e["box"], e["t"]]
        copies.acked += 1
        copies.acked_at = at

    def on_refused(self, _, e):
        self.copies[e["box"], e["t"]].possible -= 1

    def on_unsure(self, _, e):
        pass

    # -- what went out

    def on_open(self, at, e):
        box = self.boxes[e["box"]]
        self.opened[e["s"]] = (at, set(box.token) - box.marked() - box.gone, set(box.gone))

    def on_list(self, _, e):
        box, name = self.boxes[e["box"]], e["box"]
        at, known, gone = self.opened.pop(e["s"])
        shown = set(e["uidls"])
        box.holder = e["s"]
        if len(shown) != len(e["uidls"]):
            self.problem("uid reused", f"{name}: session {e['s']} was shown a UIDL twice")
        if shown & gone:
            self.problem("returned", f"{name}: {sorted(shown & gone)} was deleted, and shown to session {e['s']}")
        # Marked since: that QUIT may have come first.
        lost = known - shown - box.marked() - box.gone - box.aged
        if lost:
            self.problem("lost", f"{name}: {sorted(lost)} was there, was not deleted, and is not shown to session {e['s']}")
        for session, q in list(box.open.items()):
            if q.at < at:
                self.settle(session, q, shown)

    def settle(self, session, q, shown):
        """A later session got in: whatever this QUIT did was done by then."""
        box = self.boxes[q.box]
        del box.open[session]
        certain = q.uidls - box.aged - box.gone - box.marked()
        there, away = certain & shown, certain - shown
        if there and away:
            self.problem("half a deletion", f"{q.box}: of the QUIT of session {session} {sorted(away)} happened, {sorted(there)} did not")
        if certain:
            q.done = not there
        box.gone |= q.uidls if q.done else away

    def on_seen(self, _, e):
        self.look(e["box"], e["uidl"], e["t"])

    def look(self, name, uidl, token):
        box = self.boxes[name]
        before = box.token.setdefault(uidl, token)
        if before != token:
            self.problem("uid reused", f"{name}: UIDL {uidl} was letter {before}, and is letter {token}")
        if token is not None:
            self.copies[name, token].uidls.add(uidl)

    def on_quit(self, at, e):
        box = self.boxes[e["box"]]
        q = self.quits[e["s"]] = Quit(e["box"], e["uidls"], at)
        q.fenced = box.holder != e["s"]
        if not q.fenced:
            box.open[e["s"]] = q

    def on_gone(self, _, e):
        q = self.quits[e["s"]]
        if q.fenced and q.uidls:
            self.problem("fence", f"{q.box}: session {e['s']} could delete after session {self.boxes[q.box].holder} had opened the maildrop")
        if q.done is False:
            self.problem("returned", f"{q.box}: the QUIT of session {e['s']} was answered +OK, and what it marked was shown later")
        q.done = True
        box = self.boxes[q.box]
        box.open.pop(e["s"], None)
        box.gone |= q.uidls

    def on_aged(self, _, e):
        self.boxes[e["box"]].aged |= set(e["uidls"])

    def on_fault(self, _, e):
        pass

    def on_wrong(self, _, e):
        self.problem("wrong", e["what"])

    # -- the end

    def compare(self, name, found):
        """found: the (UIDL, letter) of each message that is in this mailbox, in its order, all being quiet."""
        box = self.boxes[name]
        shown = {uidl for uidl, _ in found}
        for session, q in list(box.open.items()):
            self.settle(session, q, shown)
        for uidl, token in found:
            if uidl in box.gone:
                self.problem("returned", f"{name}: {uidl} was deleted, and is there")
            if token is not None:
                self.look(name, uidl, token)
        if len(shown) != len(found):
            self.problem("uid reused", f"{name}: a UIDL is there twice")
        lost = set(box.token) - shown - box.gone - box.aged
        if lost:
            self.problem("lost", f"{name}: {sorted(lost)} was seen, was not deleted, and is not there")
        for (where, token), copies in list(self.copies.items()):
            if where != name:
                continue
            if copies.possible == 0 and copies.uidls:
                self.problem("unknown", f"{name}: letter {token} is there, and never was sent whole to it")
            elif len(copies.uidls) > copies.possible:
                self.problem("doubled", f"{name}: letter {token} was stored {len(copies.uidls)} times, "
                                        f"by {copies.possible} attempt(s): {sorted(copies.uidls)}")
            if len(copies.uidls) < copies.acked:
                self.problem("lost", f"{name}: letter {token} was acknowledged {copies.acked} time(s), "
                                     f"and was stored {len(copies.uidls)} time(s)")
        self.in_order(name)

    def in_order(self, name):
        """What was acknowledged before another was sent has the lower uid; letters sent more than once are passed over."""
        last = (-1, None)
        numbered = []
        for uidl, token in self.boxes[name].token.items():
            stem, _, uid = uidl.rpartition(".")
            copies = self.copies.get((name, token))
            if stem and uid.isdigit() and copies and copies.tries == 1 and len(copies.uidls) == 1:
                numbered.append((stem, int(uid), copies, uidl))
        if len({stem for stem, *_ in numbered}) > 1:
            self.problem("uid reused", f"{name}: uidvalidity has changed")
        for _, _, copies, uidl in sorted(numbered, key=lambda n: n[:2]):
            if copies.acked_at is not None and copies.acked_at < last[0]:
                self.problem("uid order", f"{name}: {uidl} was acknowledged before {last[1]} was sent, and has the higher uid")
            if copies.sent_at > last[0]:
                last = (copies.sent_at, uidl)


def main():
    account = Account(ledger.events(sys.argv[1]))
    for name in ledger.EVENTS:
        print(f"{account.counts[name]:8} {name}")
    for text in account.problems:
        print(text)
    return bool(account.problems)


if __name__ == "__main__":
    sys.exit(main())
