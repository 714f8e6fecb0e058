"""Who uses the service while it is tortured, well and badly: each actor runs its turns until it is told to stop.

An actor writes to the ledger what it was promised. Whatever breaks is no
problem of its own; what may never be, whatever breaks, it notes as wrong.
"""
import random
import re
import threading
import time

DOMAIN = "t1.example"
BROKEN = (OSError, EOFError)
TEMPORARY = re.compile(r"-ERR \[(SYS/TEMP|IN-USE)\]|b'4[25]1 ")


# What posternctl says then.
PASSING_TEXT = re.compile(rb"SQLSTATE (08|25006|40|53|57|58)|connection|cannot reach")


def passing(e):
    """Nothing to wonder about while things are broken: a lost connection, a temporary refusal."""
    return isinstance(e, BROKEN) or isinstance(e, AssertionError) and TEMPORARY.search(str(e)) is not None


class World:
    """What all actors share."""

    def __init__(self, site, book, boxes, aliases=None, quota=()):
        self.site, self.book = site, book
        self.boxes = [f"{name}@{DOMAIN}" for name in boxes]
        self.aliases = {f"{name}@{DOMAIN}": [f"{b}@{DOMAIN}" for b in to] for name, to in (aliases or {}).items()}
        self.quota = {f"{name}@{DOMAIN}" for name in quota}
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.numbers = dict.fromkeys("ts", 0)

    def name(self, kind):
        """Of a letter (t) or a session (s)."""
        with self.lock:
            self.numbers[kind] += 1
            return f"{kind}{self.numbers[kind]}"

    def mailboxes(self, recipient):
        return self.aliases.get(recipient, [recipient])


class Actor(threading.Thread):
    pause = 0.02                # the longest, between two turns
    broken_pause = 0.3

    def __init__(self, world, seed):
        super().__init__(daemon=True, name=type(self).__name__)
        self.world, self.site, self.book = world, world.site, world.book
        self.rng = random.Random(seed)

    def run(self):
        while not self.world.stop.is_set():
            try:
                self.turn()
                time.sleep(self.rng.uniform(0, self.pause))
            except Exception as e:      # noqa: B902 -- a bug here must not look like silence
                if not passing(e):
                    self.wrong(f"{self.name}: {e!r}")
                    if not isinstance(e, AssertionError):
                        raise
                time.sleep(self.rng.uniform(0, self.broken_pause))

    def turn(self):
        raise NotImplementedError

    def wrong(self, what):
        self.book.note("wrong", what=what)
