"""The ledger: what was promised to clients, in a file that only grows.

A line for each event, as JSON, written before the octets that could make it
true or after those that prove it (see EVENTS), so that the file tells what is
owed even where this process was killed. It must never ask Postern anything.
"""
import json
import os
import threading

# What the events mean, and when they are written.
EVENTS = {
    "letter":  "t, octets: a letter was made",
    "sent":    "t, try, to: from here on a copy may be stored in each mailbox of `to` (before the last octets are sent)",
    "acked":   "t, try, box: 250 came, or an import ended well",
    "refused": "t, try, box, reply: surely not stored",
    "unsure":  "t, try, box, why: no answer, or one that leaves it open",
    "open":    "s, box: a session is about to send its password",
    "list":    "s, box, uidls: what UIDL showed it",
    "seen":    "box, uidl, t: which letter a UIDL is (each time that it was looked at)",
    "quit":    "s, box, uidls: QUIT is about to be sent with these marked",
    "gone":    "s: +OK came for it",
    "aged":    "box, uidls: made so old that expiry may take them at any time",
    "fault":   "what, where: something is about to be broken",
    "wrong":   "what: seen by an actor, and never right",
}


class Ledger:
    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.lock = threading.Lock()
        self.counts = dict.fromkeys(EVENTS, 0)

    def note(self, event, **fields):
        line = json.dumps({"e": event, **fields}, separators=(",", ":")).encode() + b"\n"
        with self.lock:
            self.counts[event] += 1
            os.write(self.fd, line)

    def close(self):
        os.close(self.fd)


def events(path):
    """All of them; the last line may be cut, where the writer was killed."""
    with open(path, "rb") as f:
        for line in f:
            if line.endswith(b"\n"):
                yield json.loads(line)
