"""Clients that mean harm, many at a time: those that hold a connection and hardly move, and those that flood.

Each comes from an address of its own in 127.0.0.0/8, so that neither ports nor
limits of an address are what stops them.
"""
import asyncio
import multiprocessing
import os
import pathlib
import random
import resource
import signal
import socket
import struct
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "lib"))
import kit                      # noqa: E402
import lmtpkit                  # noqa: E402

DOMAIN = "load.example"
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"       # of a ClientHello of 512 octets, and what follows never comes
AT_ONCE = 200                   # on the way in
PARTS = 50                      # of a round of what trickles: strangers do not all speak in the same moment
LISTENERS = ("pop3", "pop3s", "lmtp")


def login(number):
    return f"USER many{number + 1}@{DOMAIN}\r\nPASS {kit.PASSWORD}\r\n".encode()


def envelope(number):
    return f"LHLO x.example\r\nMAIL FROM:<s@x.example>\r\nRCPT TO:<many{number + 1}@{DOMAIN}>\r\nDATA\r\n".encode()


# What is said, and how many replies are waited for before the next; then, again and again, what trickles.
# name: listener, steps, trickle
SLOW = {
    "before login": ("pop3", [(b"", 1)], b"U"),
    "during STLS": ("pop3", [(b"", 1), (b"STLS\r\n", 1), (HELLO, 0)], b"\0"),
    "during the handshake of pop3s": ("pop3s", [(HELLO, 0)], b"\0"),
    "in the middle of a command": ("pop3", [(b"", 1), (login, 2), (b"RETR", 0)], b" "),
    "in RETR, not reading": ("pop3", [(b"", 1), (login, 2), (b"RETR 1\r\n", 0)], b""),
    "20 RETR pipelined, not reading": ("pop3", [(b"", 1), (login, 2), (b"RETR 1\r\n" * 20, 0)], b""),
    "in DATA": ("lmtp", [(b"", 1), (envelope, 4), (b"Subject: slow\r\n\r\n" + b"x" * 900, 0)], b"x"),
    "in DATA, after 300 KB": ("lmtp", [(b"", 1), (envelope, 4), ((b"x" * 76 + b"\r\n") * 3840, 0)], b"x"),
}

# name: what is sent at once, and how many lines are read before the connection is reset; all: until the server closes
ALL = 1 << 30
FLOODS = {
    "connects": (b"", 0),
    "bad commands": (b"BOGUS\r\n" * 100, ALL),
    "lines of 255 octets": ((b"A" * 253 + b"\r\n") * 100, ALL),
    "CAPA before login": (b"CAPA\r\n" * 100, 1000),
}


def source(number):
    return f"127.{60 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def own_machine():
    """What strangers have: of this one they get what nobody else wants, so that what they do to others they do by the server."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Addresses:
    def __init__(self, site):
        self.port = {"pop3": int(site.address.rsplit(":", 1)[1]), "pop3s": site.pop3s, "lmtp": site.lmtp}


def dial(number):
    sock = socket.socket()
    # Linux would reserve a port here, for all destinations, were it not told that connect() will choose.
    sock.setsockopt(socket.IPPROTO_IP, 24, 1)                       # IP_BIND_ADDRESS_NO_PORT
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.bind((source(number), 0))
    sock.setblocking(False)
    return sock


async def replies(loop, sock, count):
    """So many final ones; LMTP's continue with a hyphen. The rest that came with them is not ours."""
    if count == 0:
        return
    data = b""
    while sum(len(line) < 4 or line[3:4] != b"-" or not line[:3].isdigit() for line in data.split(b"\r\n")[:-1]) < count:
        got = await asyncio.wait_for(loop.sock_recv(sock, 65536), 120)
        if not got:
            raise EOFError(data)
        data += got
    last = data.split(b"\r\n")[count - 1 if not data[:1].isdigit() else -2]
    if not last.startswith((b"+OK", b"2", b"3")):
        raise AssertionError(last)


class Slow:
    """`count` connections in a process of its own. start() returns when they are where they shall be, with the number that got there;
    end() tells how many were still held. `far`: they have a machine of their own."""

    def __init__(self, addresses, name, count, first=0, every=1.0, far=False):
        self.port, (listener, self.steps, self.trickle), self.far = addresses.port, SLOW[name], far
        self.where, self.count, self.first, self.every = addresses.port[listener], count, first, every
        self.mine, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(theirs,), daemon=True)

    def start(self):
        self.process.start()
        return self.mine.recv()

    def end(self):
        self.mine.send("end")
        held = self.mine.recv()
        self.process.join()
        return held

    def run(self, pipe):
        kit.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        socks, complaints = asyncio.run(self.ramp())
        if self.far:
            own_machine()           # not before: all have to get there
        pipe.send((len(socks), complaints))
        part = 0
        while not pipe.poll(self.every / PARTS):
            for sock in socks[part::PARTS] if self.trickle else ():
                try:
                    sock.send(self.trickle)
                except OSError:
                    pass
            part = (part + 1) % PARTS
        pipe.recv()
        held = 0
        for sock in socks:
            try:
                held += self.trickle == b"" or sock.recv(1) != b""
            except BlockingIOError:
                held += 1
            except OSError:
                pass
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        pipe.send(held)

    async def ramp(self):
        loop, room, socks, complaints = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE), [], []

        async def one(number):
            async with room:
                sock = dial(number)
                try:
                    await loop.sock_connect(sock, ("127.0.0.1", self.where))
                    for say, count in self.steps:
                        await loop.sock_sendall(sock, say(number) if callable(say) else say)
                        await replies(loop, sock, count)
                    socks.append(sock)
                except (OSError, EOFError, AssertionError, asyncio.TimeoutError) as e:
                    sock.close()
                    complaints.append(f"{type(e).__name__}: {e}")
        await asyncio.gather(*(one(self.first + n) for n in range(self.count)))
        return socks, sorted(set(complaints))[:5]


class Flood:
    """As fast as it goes, until end(), which tells how many connections that were. `far`: from a machine of its own."""

    def __init__(self, addresses, name, at_once=AT_ONCE, first=0, far=False):
        self.far = far
        self.port, (self.say, self.lines), self.at_once, self.first = addresses.port["pop3"], FLOODS[name], at_once, first
        self.mine, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(theirs,), daemon=True)

    def start(self):
        self.process.start()
        return self.mine.recv()

    def end(self):
        self.mine.send("end")
        number = self.mine.recv()
        self.process.join()
        return number

    def run(self, pipe):
        kit.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.far:
            own_machine()
        pipe.send((self.at_once, []))
        pipe.send(asyncio.run(self.flood(pipe)))

    async def flood(self, pipe):
        loop, number, over = asyncio.get_running_loop(), 0, False

        async def one(mine):
            nonlocal number
            rng = random.Random(mine)
            while not over:
                sock = dial(self.first + rng.randrange(50_000))
                try:
                    await loop.sock_connect(sock, ("127.0.0.1", self.port))
                    number += 1
                    if self.say:
                        await loop.sock_sendall(sock, self.say)
                    lines = 0
                    while lines < self.lines:
                        got = await asyncio.wait_for(loop.sock_recv(sock, 65536), 60)
                        lines += got.count(b"\n") if got else ALL
                except (OSError, asyncio.TimeoutError):
                    pass
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        crowd = [asyncio.ensure_future(one(n)) for n in range(self.at_once)]
        while not pipe.poll():
            await asyncio.sleep(0.05)
        pipe.recv()
        over = True
        await asyncio.gather(*crowd)
        return number


# --------------------------------------------------------------- other users

class Others:
    """Good clients, at a steady rate: a poll, a delivery, and an echo between two processes, which only the machine can make slow."""

    def __init__(self, site, per_second=100):
        self.site, self.pause = site, 1 / per_second
        self.samples = multiprocessing.Queue()
        self.stop = multiprocessing.Event()
        self.processes = [multiprocessing.Process(target=self.run, args=(name,), daemon=True) for name in ("poll", "delivery", "echo")]

    def start(self):
        for process in self.processes:
            process.start()

    def poll(self):
        with kit.Pop("", sock=socket.create_connection(("127.0.0.1", int(self.site.address.rsplit(":", 1)[1])), timeout=60,
                                                       source_address=("127.50.0.1", 0)), timeout=60) as pop:
            pop.login(f"good@{DOMAIN}")
            pop.stat()
            pop.uidl()
            pop.ok("QUIT")

    def run(self, name):
        kit.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if name == "delivery":
            lmtp = lmtpkit.Lmtp(f"127.0.0.1:{self.site.lmtp}", timeout=60)
        elif name == "echo":
            near, far = socket.socketpair()
            if os.fork() == 0:
                near.close()
                while data := far.recv(64):
                    far.sendall(data)
                os._exit(0)
            far.close()
        rng, due = random.Random(name), time.monotonic()
        while not self.stop.is_set():
            # By the clock: who waits for a slow answer must not thereby ask less.
            due = max(due + self.pause * rng.uniform(0.5, 1.5), time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            at, began, wrong = time.time(), time.perf_counter(), None
            try:
                if name == "poll":
                    self.poll()
                elif name == "delivery":
                    reply, = lmtp.deliver(b"Subject: good\r\n\r\nbody\r\n" * 50, f"inbox@{DOMAIN}")
                    assert reply.startswith(b"250"), reply
                else:
                    near.sendall(b"x")
                    near.recv(64)
            except (OSError, EOFError, AssertionError) as e:
                wrong = f"{name}: {type(e).__name__}: {e}"
            self.samples.put((name, at, time.perf_counter() - began, wrong))

    def collect(self):
        found = []
        while not self.samples.empty():
            found.append(self.samples.get())
        return found

    def end(self):
        self.stop.set()
        end = time.monotonic() + 20
        while any(p.is_alive() for p in self.processes) and time.monotonic() < end:
            self.collect()
            time.sleep(0.05)
        for process in self.processes:
            process.kill()
