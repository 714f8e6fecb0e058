"""Who takes part in the soak: each kind is a process that does its thing at a rate of its own, whatever the server does.

An actor never retries and never repairs: what it did not expect is counted and told.
"""
import ctypes
import multiprocessing
import os
import pathlib
import queue
import random
import signal
import socket
import struct
import sys
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "lib"))
import kit                      # noqa: E402
import lmtpkit                  # noqa: E402
import tlskit                   # noqa: E402

DOMAIN = "soak.example"
WORDS = b"the quick brown fox jumps over the lazy dog and finds that nobody has read his mail "


class Place:
    """What a client has to know of the server, and how many mailboxes there are of each kind."""

    def __init__(self, site, sizes):
        self.site, self.sizes = site, sizes
        self.pop3, self.pop3s, self.lmtp = site.address, f"127.0.0.1:{site.pop3s}", f"127.0.0.1:{site.lmtp}"
        self.tls = tlskit.context(site)

    def address(self, kind, number):
        return f"{kind}{number}@{DOMAIN}"

    def connect(self, kind, number):
        """Each mailbox has its own network address and way to connect: every eighth TLS at once, another eighth STLS."""
        index = list(self.sizes).index(kind) if kind in self.sizes else 40
        way = number % 8
        host, port = (self.pop3s if way == 0 else self.pop3).rsplit(":", 1)
        sock = socket.create_connection((host, int(port)), timeout=60,
                                        source_address=(f"127.{10 + index}.{number // 250 % 250}.{number % 250 + 1}", 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if way == 0:
            sock = self.tls.wrap_socket(sock, server_hostname="localhost")
        pop = kit.Pop("", sock=sock, timeout=60)
        if way == 4:
            pop.ok("STLS")
            pop.sock = self.tls.wrap_socket(pop.sock, server_hostname="localhost")
        return pop

    def login(self, kind, number):
        pop = self.connect(kind, number)
        try:
            pop.login(self.address(kind, number))
        except BaseException:
            pop.close()
            raise
        return pop


def letter(rng):
    """Most mail is small; one in a hundred has something attached."""
    size = min(60_000, int(rng.lognormvariate(8.3, 1))) if rng.random() > 0.01 else rng.randrange(200_000, 1_500_000)
    text = b"".join(b"%08x %s\r\n" % (rng.getrandbits(32), WORDS[:rng.randrange(20, len(WORDS))])
                    for _ in range(size // 60 + 1))
    return b"Message-ID: <%x@soak.example>\r\nFrom: <a@soak.example>\r\nSubject: soak\r\n\r\n" % rng.getrandbits(96) + text


# ---------------------------------------------------------------------- kinds
#
# A kind is a function of (place, state, rng, number): one thing done with the
# mailbox of that number. state is a dictionary of the thread that does it, and
# no other thread ever gets the number: nobody meets himself.

def poll(place, _state, _rng, number):
    """Nothing new."""
    with place.login("poll", number) as pop:
        pop.stat()
        pop.uidl()
        pop.ok("QUIT")


def fetch(place, _state, _rng, number):
    """Takes all and deletes it."""
    with place.login("fetch", number) as pop:
        sizes = [int(line.split()[1]) for line in pop.multi("LIST")]
        for n, size in enumerate(sizes, 1):
            if len(pop.retr(n)) != size:
                raise AssertionError("a message is not as long as LIST says")
        pop.send(b"".join(b"DELE %d\r\n" % n for n in range(1, len(sizes) + 1)))
        for _ in sizes:
            if not pop.line().startswith(b"+OK"):
                raise AssertionError("DELE was refused")
        pop.ok("QUIT")


def keep(place, state, _rng, number):
    """Leaves mail on the server: fetches what it does not know."""
    known = state.setdefault(number, set())
    with place.login("keep", number) as pop:
        there = pop.uidl()
        for n, uidl in enumerate(there, 1):
            if uidl not in known:
                pop.retr(n)
        state[number] = set(there)
        pop.ok("QUIT")


def idle(place, state, rng, number):
    """Logs in and stays, says NOOP at times; some leave without a word."""
    held = state.setdefault("held", [])
    now = time.monotonic()
    over = [e for e in held if e[0] < now]
    for entry in over:
        held.remove(entry)
        with entry[2] as pop:
            if rng.random() < 0.7:
                pop.ok("NOOP")
                pop.ok("QUIT")
    # Nor at once where one has just left without a word, which the server may not know yet.
    if number not in [e[1] for e in held + over]:
        held.append((now + rng.uniform(*state["hold"]), number, place.login("idle", number)))


def vanish(place, _state, rng, number):
    """Hangs up where it should not."""
    how = rng.randrange(5)
    pop = place.connect("vanish", number)
    if how > 0:
        pop.ok("USER " + place.address("vanish", number))
        reply = pop.cmd("PASS " + kit.PASSWORD)
        # The session that it left before may still be on its way out.
        if not reply.startswith(b"+OK") and not reply.startswith(b"-ERR [IN-USE]"):
            raise AssertionError(f"login: {reply}")
    if how == 1:
        pop.send(b"RETR 1\r\nRETR 2\r\nRETR 3\r\n")
    elif how == 2:
        pop.send(b"DELE 1\r\nDELE 2\r\n")
    elif how == 3:
        pop.send(b"UIDL\r\nRETR 1\r\n")
        pop.sock.recv(100)
    elif how == 4:
        pop.send(b"RETR")
    if rng.random() < 0.5:
        pop.reset()
    else:
        pop.close()


def wrong(place, _state, _rng, number):
    """Guesses a password: of a mailbox that is there, or of none."""
    with place.connect("wrong", number) as pop:
        pop.ok("USER " + place.address("poll" if number % 2 else "nobody", number % place.sizes["poll"] + 1))
        if not pop.cmd(f"PASS guess {number}").startswith(b"-ERR"):
            raise AssertionError("a wrong password was not refused")


def deliver(place, state, rng, _number):
    """A mail server: some messages in a connection, one in ten for several."""
    if state.get("left", 0) == 0:
        if "lmtp" in state:
            state["lmtp"].expect("221", "QUIT")
            state["lmtp"].close()
        state["lmtp"], state["left"] = lmtpkit.Lmtp(place.lmtp, timeout=60), rng.randrange(5, 60)
    state["left"] -= 1
    kinds = rng.choices(["fetch", "keep", "idle", "vanish"], [10, 5, 2, 1], k=rng.randrange(2, 8) if rng.random() < 0.1 else 1)
    whom = sorted({place.address(kind, rng.randrange(place.sizes[kind]) + 1) for kind in kinds})
    for reply in state["lmtp"].deliver(letter(rng), *whom):
        if not reply.startswith(b"250 "):
            raise AssertionError(f"delivery: {reply}")


# ------------------------------------------------------------------ processes

KINDS = {f.__name__: f for f in (poll, fetch, keep, idle, vanish, wrong, deliver)}


class Actor:
    """A process with threads for one kind; `done` and `failed` count."""

    def __init__(self, place, kind, per_second, threads, seed, hold=(10, 60)):
        self.place, self.kind, self.rate, self.threads, self.seed, self.hold = place, kind, per_second, threads, seed, hold
        self.done, self.failed = (multiprocessing.Value(ctypes.c_uint64) for _ in range(2))
        self.said = multiprocessing.Queue()
        self.stop = multiprocessing.Event()
        self.process = multiprocessing.Process(target=self.run, daemon=True)

    def run(self):
        kit.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threads = [threading.Thread(target=self.thread, args=(n,)) for n in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def thread(self, mine):
        rng, state = random.Random(f"{self.seed} {self.kind} {mine}"), {"hold": self.hold}
        count = self.place.sizes.get(self.kind, 60_000)
        numbers = range(mine + 1, count + 1, self.threads)
        while not self.stop.wait(rng.expovariate(self.rate / self.threads)):
            try:
                KINDS[self.kind](self.place, state, rng, rng.choice(numbers))
                with self.done.get_lock():
                    self.done.value += 1
            except (OSError, EOFError, AssertionError) as e:
                state.pop("left", None)
                state.pop("lmtp", None)
                with self.failed.get_lock():
                    self.failed.value += 1
                    if self.failed.value <= 20:
                        self.said.put(f"{time.strftime('%H:%M:%S')} {self.kind}: {type(e).__name__}: {e}")
        for _, _, pop in state.get("held", ()):
            pop.close()
        if "lmtp" in state:
            state["lmtp"].close()

    def complaints(self):
        found = []
        while True:
            try:
                found.append(self.said.get_nowait())
            except queue.Empty:
                return found


class Probe:
    """Measures a poll and a delivery, each at a steady rate on an otherwise unused mailbox, and beside them what has nothing to do
    with the server and gets slower only with the machine: an echo between two processes, and 8 KiB written through to the disk.

    samples: a queue of (name, seconds since the epoch, seconds it took)."""

    def __init__(self, place, folder, per_second):
        self.place, self.folder, self.pause = place, folder, 1 / per_second
        self.samples = multiprocessing.Queue()
        self.said = multiprocessing.Queue()
        self.stop = multiprocessing.Event()
        self.process = multiprocessing.Process(target=self.run, daemon=True)

    def run(self):
        kit.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        near, far = socket.socketpair()
        if os.fork() == 0:
            near.close()
            while data := far.recv(64):
                far.sendall(data)
            os._exit(0)
        far.close()
        file = os.open(self.folder / "fsync", os.O_WRONLY | os.O_CREAT, 0o600)
        rng, lmtp, n = random.Random(1), None, 0
        body = b"Subject: probe\r\n\r\n" + b"".join(b"%04d %s\r\n" % (i, WORDS) for i in range(50))

        def echo():
            near.sendall(struct.pack("d", time.time()))
            near.recv(64)

        def disk():
            os.pwrite(file, os.urandom(8192), 0)
            os.fdatasync(file)

        def a_poll():
            with self.place.login("probe", n % 4 * 8 + 1) as pop:       # by the plain listener
                pop.stat()
                pop.uidl()
                pop.ok("QUIT")

        def delivery():
            reply, = lmtp.deliver(body, self.place.address("sink", 1))
            if not reply.startswith(b"250 "):
                raise AssertionError(reply)

        def timed(name, work):
            wall, began = time.time(), time.perf_counter()
            work()
            self.samples.put((name, wall, time.perf_counter() - began))

        while not self.stop.wait(self.pause * rng.uniform(0.5, 1.5)):
            try:
                timed("echo", echo)
                timed("poll", a_poll)
                if n % 2 == 0:
                    timed("disk", disk)
                    if n % 500 == 0:
                        if lmtp:
                            lmtp.close()
                        lmtp = lmtpkit.Lmtp(self.place.lmtp, timeout=60)
                    timed("delivery", delivery)
                n += 1
            except (OSError, EOFError, AssertionError) as e:
                self.said.put(f"{time.strftime('%H:%M:%S')} probe: {type(e).__name__}: {e}")
                n = 0
        near.close()
        if lmtp:
            lmtp.close()
