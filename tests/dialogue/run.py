#!/usr/bin/env python3
"""Runs the conversations of this folder against posternd, in every way that it can be reached.

  tests/dialogue/run.py [--mode MODE]... [--lab DIR] [SCRIPT.t]...

Modes: tcp (the daemon), segment (the daemon, all that the client says in one
segment), tls (the daemon, TLS from the first octet), socket, pipe, file (posternd --inetd on a socket pair, on two pipes,
with a file as its input), xinetd, inetd (the same below the real super
servers, nowait). README here says how a script is written.

Whatever a script asks, each stream of the server is also held against the
rules that hold for all of them: G03 G05 G06 G07 G17 R01 R02 I04.
"""
import argparse
import base64
import concurrent.futures
import os
import pathlib
import re
import select
import shlex
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
sys.dont_write_bytecode = True
import kit                      # noqa: E402
import superserver              # noqa: E402

MODES = ["tcp", "segment", "tls", "socket", "pipe", "file", "xinetd", "inetd"]
UP_FRONT = {"segment", "file"}      # everything is sent before anything is read
CODES = {b"IN-USE", b"LOGIN-DELAY", b"SYS/TEMP", b"SYS/PERM", b"AUTH", b"UTF8"}
WAIT = kit.PATIENCE                 # seconds for a line that should come: a failure, not a measurement


class Failure(Exception):
    pass


# -------------------------------------------------------------------- scripts

class Step:
    def __init__(self, number, text):
        self.number, self.text = number, text
        match = re.match(r"(?:([A-Z])\.)?([a-zA-Z~+-]+[!]?)(:?)(?:\s(.*))?$", text)
        if match is None:
            raise Failure(f"line {number}: {text!r} is not a step")
        self.conn = match.group(1) or ""
        self.op = match.group(2) + match.group(3)
        self.arg = match.group(4) or ""


SENDS = {"C:", "C-raw:", "C-bytes:", "C-many:", "login"}
READS = {"S:", "S+:", "S~", "S-set:", "S-message:", "S-top:", "S-lines:", "greet", "expect-eof"}
BEFORE = {"fill", "password", "mail", "ids:", "modes:"}
AROUND = {"sql:", "sql-until:", "ctl", "ctl!"}
ONLY_LIVE = {"sleep", "close", "reset", "shutdown-write", "S-nothing:", "connect"}
OPS = SENDS | READS | BEFORE | AROUND | ONLY_LIVE


class Script:
    def __init__(self, path):
        self.path = path
        self.name = path.stem
        self.steps = []
        self.ids, self.modes = [], None
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            # "#" opens a comment where a line or two spaces are before it.
            line = re.sub(r"(^|\s\s)#.*$", "", line).rstrip()
            if not line:
                continue
            step = Step(number, line)
            if step.op == "ids:":
                self.ids += step.arg.split()
            elif step.op == "modes:":
                self.modes = step.arg.split()
                if not set(self.modes) <= set(MODES):
                    raise Failure(f"{path.name}: line {number}: there is no such mode")
            elif step.op in OPS:
                self.steps.append(step)
            else:
                raise Failure(f"{path.name}: line {number}: unknown step {step.op!r}")
        if not self.ids:
            raise Failure(f"{path.name}: no ids: line says what it covers")

    def runs_in(self, mode):
        if self.modes is not None and mode not in self.modes:
            return False
        live = any(s.op in ONLY_LIVE or s.conn for s in self.steps)
        if mode in ("socket", "pipe", "file", "segment") and any(s.conn for s in self.steps):
            return mode == "socket" or mode == "pipe"
        if mode == "tls" and any(s.op == "shutdown-write" for s in self.steps):
            return False            # Python's TLS ends both directions or none
        if mode not in UP_FRONT:
            # A pipe has no reset, and its two ends close one by one.
            return not (mode == "pipe" and any(s.op == "reset" for s in self.steps))
        if live:
            return False
        # What looks at the database or asks posternctl must not do so in mid-session.
        talking = [s.op in SENDS or (s.op in READS and s.op != "expect-eof") for s in self.steps]
        first = talking.index(True)
        last = len(talking) - 1 - talking[::-1].index(True)
        return not any(s.op in AROUND for s in self.steps[first:last])


def octets(text):
    """The escapes of a C: line: \\xNN \\0 \\r \\n \\t \\s (space) \\\\ and \\{text*N} for repetition, \\b{text} for base64."""
    out, at = bytearray(), 0
    simple = {"0": 0, "r": 13, "n": 10, "t": 9, "s": 32, "\\": 92}
    while at < len(text):
        c = text[at]
        if c != "\\":
            out += c.encode()
            at += 1
        elif text[at + 1] == "x":
            out.append(int(text[at + 2:at + 4], 16))
            at += 4
        elif text[at + 1] == "{":
            end = text.index("}", at)
            what, _, times = text[at + 2:end].rpartition("*")
            out += octets(what) * int(times)
            at = end + 1
        elif text[at + 1] == "b":
            end = at + 3 + re.match(r"(?:[^{}]|\{[^}]*\})*", text[at + 3:]).end()
            out += base64.b64encode(octets(text[at + 3:end]))
            at = end + 1
        elif text[at + 1] in simple:
            out.append(simple[text[at + 1]])
            at += 2
        else:
            raise Failure(f"unknown escape in {text!r}")
    return bytes(out)


def pattern(text):
    """* and ? as a shell has them; everything else, brackets too, is itself."""
    return re.compile("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in text).encode(), re.S)


# ----------------------------------------------------------------- transports

class Wire:
    """A socket, or the ends of two pipes, and below --inetd, the process at their other end."""

    def __init__(self, fd_in, keep, proc=None):
        self.fd_in, self.keep, self.proc = fd_in, keep, proc
        self.sock = keep[0] if isinstance(keep[0], socket.socket) else None

    def send(self, data):
        # A server that closed early is found out by what it said, not by our write.
        try:
            if self.sock is not None:
                self.sock.sendall(data)
            else:
                # By the object, not by its number: that may be another talk's by now.
                while data:
                    data = data[self.keep[1].write(data):]
        except (OSError, ValueError):
            pass

    def recv(self, seconds):
        ready, _, _ = select.select([self.fd_in], [], [], seconds)
        if not ready:
            return None
        try:
            return os.read(self.fd_in, 65536)
        except ConnectionResetError:
            return b""

    def shutdown_write(self):
        if self.sock is not None:
            self.sock.shutdown(socket.SHUT_WR)
        else:
            self.keep[1].close()

    def close(self):
        for end in self.keep:
            end.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def ended(self):
        """posternd --inetd must end by itself, content."""
        if self.proc is None:
            return
        try:
            status = self.proc.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            raise Failure("posternd --inetd is still there though its session has ended") from None
        if status != 0:
            raise Failure(f"posternd --inetd ended with status {status}")


class TlsWire(Wire):
    def __init__(self, sock):
        super().__init__(sock.fileno(), [sock])

    def recv(self, seconds):
        if not self.sock.pending() and not select.select([self.sock], [], [], seconds)[0]:
            return None
        # A record of the protocol's own, a ticket for one, brings nothing: the next one is waited for.
        self.sock.settimeout(seconds or 0.1)
        try:
            return self.sock.recv(65536)
        except TimeoutError:
            return None
        except (ssl.SSLEOFError, ConnectionError) as e:
            if isinstance(e, ssl.SSLEOFError):
                raise Failure("the server ended without close_notify") from None
            return b""


class Reach:
    """How a mode gets a connection."""

    def __init__(self, mode, site, address):
        self.mode, self.site, self.address = mode, site, address

    def open(self, blob):
        if self.address is not None:
            host, _, port = self.address.rpartition(":")
            s = socket.create_connection((host, int(port)), timeout=WAIT)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.mode == "tls":
                trust = ssl.create_default_context(cafile=self.site.lab.tls / "ca.pem")
                wire = TlsWire(trust.wrap_socket(s, server_hostname="localhost"))
            else:
                wire = Wire(s.fileno(), [s])
        elif self.mode == "socket":
            ours, theirs = socket.socketpair()
            with theirs:
                # As inetd does it: 0, 1 and 2 are the client.
                wire = Wire(ours.fileno(), [ours], self.spawn(theirs, theirs, theirs))
        elif self.mode == "pipe":
            (r0, w0), (r1, w1) = os.pipe(), os.pipe()
            with os.fdopen(r0, "rb", 0) as stdin, os.fdopen(w1, "wb", 0) as stdout:
                ends = [os.fdopen(r1, "rb", 0), os.fdopen(w0, "wb", 0)]
                wire = Wire(r1, ends, self.spawn(stdin, stdout, stdout))
        else:
            r1, w1 = os.pipe()
            with tempfile.TemporaryFile(dir=self.site.dir) as stdin, os.fdopen(w1, "wb", 0) as stdout:
                stdin.write(blob)
                stdin.seek(0)
                return Wire(r1, [os.fdopen(r1, "rb", 0)], self.spawn(stdin, stdout, stdout))
        if blob is not None:
            # The greeting does not wait for us; neither do we for it.
            threading.Thread(target=wire.send, args=(blob,), daemon=True).start()
        return wire

    def spawn(self, stdin, stdout, stderr):
        return subprocess.Popen([str(self.site.lab.posternd), "-c", str(self.site.lab.conf), "--inetd"],
                                stdin=stdin, stdout=stdout, stderr=stderr, env=kit.lab.plain_env())


# ------------------------------------------------------------------- one talk

class Connection:
    def __init__(self, wire, talk, name):
        self.wire, self.talk, self.name = wire, talk, name
        self.buf = bytearray()
        self.eof = self.closed = self.greeted = False
        self.listing = False            # inside a multi-line reply that is read line by line

    def more(self, seconds=WAIT):
        data = self.wire.recv(seconds)
        if data is None:
            return False
        if data == b"":
            self.eof = True
        self.buf += data
        return True

    def line(self):
        while b"\n" not in self.buf:
            if self.eof:
                raise Failure(f"the server closed; what came last: {bytes(self.buf)[-200:]!r}")
            if not self.more():
                raise Failure(f"no line came in {WAIT} s; so far: {bytes(self.buf)[-200:]!r}")
        end = self.buf.index(b"\n") + 1
        line = bytes(self.buf[:end])
        del self.buf[:end]
        self.talk.note(f"{self.name}S: {line[:300]!r}" + (f"... {len(line)} octets" if len(line) > 300 else ""))
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Failure(f"G06: a bare CR or LF: {line!r}")
        return line[:-2]

    def first(self, line):
        """What holds for the first line of every reply."""
        if re.fullmatch(rb"(\+OK|-ERR)( .*)?", line, re.S) is None:
            raise Failure(f"G05: this is no status: {line!r}")
        if len(line) + 2 > 512:
            raise Failure(f"G07: the first line of a reply has {len(line) + 2} octets")
        if re.search(rb"[^ -~]", line):
            raise Failure(f"G17 I04: an octet that has no business in a reply: {line!r}")
        if kit.PASSWORD.encode() in line:
            raise Failure(f"G17: the password is in a reply: {line!r}")
        text = line.partition(b" ")[2]
        if text.startswith(b"["):
            code = re.match(rb"\[([^]]*)\]", text)
            if line.startswith(b"+OK"):
                raise Failure(f"G03 R02: a response code after +OK: {line!r}")
            if code is None or code.group(1) not in CODES:
                raise Failure(f"R01: this is no registered response code: {line!r}")
        self.listing = line.startswith(b"+OK")

    def expect(self, want):
        line = self.line()
        if line[:1] in (b"+", b"-"):
            self.first(line)
        elif not self.listing:
            raise Failure(f"G05: neither a status nor a line of a listing: {line!r}")
        if line == b".":
            self.listing = False
        if want.fullmatch(line) is None:
            raise Failure(f"got {line!r}")

    def to_dot(self):
        lines = []
        while True:
            line = self.line()
            if line == b".":
                self.listing = False
                return lines
            lines.append(line)

    def status(self):
        line = self.line()
        self.first(line)
        return line

    def at_end(self):
        while not self.eof and not self.buf:
            if not self.more():
                raise Failure("the server does not close")
        if self.buf:
            raise Failure(f"more than the protocol asks for: {bytes(self.buf)[:300]!r}")


class Talk:
    def __init__(self, script, reach):
        self.script, self.reach, self.site = script, reach, reach.site
        self.transcript = []
        self.conns = {}
        self.mail = {p.name: p.read_bytes() for p in kit.samples()}
        self.vars = {
            "U": f"{script.name}.{reach.mode}@dialogue.example",
            "V": f"{script.name}.{reach.mode}.v@dialogue.example",
            "P": kit.PASSWORD,
            "M": reach.mode,
        }
        self.letters = {}
        self.started = False

    def note(self, text):
        self.transcript.append(text)

    def text(self, text):
        return re.sub(r"\$([UVPM])", lambda m: self.vars[m.group(1)], text)

    def conn(self, name):
        if name not in self.conns:
            blob = None
            if self.reach.mode in UP_FRONT:
                blob = b"".join(self.said(s) for s in self.script.steps)
            self.conns[name] = Connection(self.reach.open(blob), self, name and name + ".")
        return self.conns[name]

    def said(self, step):
        """The octets that a step sends."""
        if step.op == "login":
            user = octets(self.text(step.arg or "$U"))
            return b"USER " + user + b"\r\nPASS " + kit.PASSWORD.encode() + b"\r\n"
        if step.op in ("C:", "C-bytes:"):
            return octets(self.text(step.arg)) + b"\r\n"
        if step.op == "C-raw:":
            return octets(self.text(step.arg))
        if step.op == "C-many:":
            times, _, what = step.arg.partition(" ")
            return (octets(self.text(what)) + b"\r\n") * int(times)
        return b""

    def run(self):
        try:
            for step in self.script.steps:
                try:
                    self.step(step)
                except (Failure, AssertionError, kit.lab.LabError) as e:
                    raise Failure(f"line {step.number}: {step.text}\n{e}") from None
            for name, conn in self.conns.items():
                self.finish(name, conn)
        finally:
            for conn in self.conns.values():
                if not conn.closed:
                    conn.wire.close()
                if conn.wire.proc is not None and conn.wire.proc.poll() is None:
                    conn.wire.proc.kill()
                    conn.wire.proc.wait()

    def finish(self, name, conn):
        if not conn.closed:
            # A script that ends without QUIT hangs up here; nothing may be left unsaid before.
            while not conn.eof and conn.more(0):
                pass
            if conn.buf:
                raise Failure(f"{name or 'the connection'}: the server said more than the script: {bytes(conn.buf)[:300]!r}")
            conn.wire.close()
            conn.closed = True
        conn.wire.ended()

    # -- the steps

    def step(self, s):
        handler = getattr(self, "do_" + re.sub(r"\W", "", s.op.replace("-", "_").replace("~", "_re").replace("+", "_challenge").replace("!", "_not")))
        handler(s)

    def send(self, s, one_by_one=False):
        conn = self.conn(s.conn)
        if self.reach.mode in UP_FRONT:
            return
        data = self.said(s)
        self.note(f"{s.conn and s.conn + '.'}C: {data[:300]!r}" + (f"... {len(data)} octets" if len(data) > 300 else ""))
        if one_by_one:
            for octet in data:
                conn.wire.send(bytes([octet]))
                time.sleep(0.003)
        elif len(data) > 65536:
            # The server may stop reading until we read.
            threading.Thread(target=conn.wire.send, args=(data,), daemon=True).start()
        else:
            conn.wire.send(data)

    def do_C(self, s):
        self.send(s)

    do_C_raw = do_C_many = do_C

    def do_C_bytes(self, s):
        self.send(s, one_by_one=True)

    def do_greet(self, s):
        conn = self.conn(s.conn)
        conn.greeted = True
        line = conn.status()
        if not line.startswith(b"+OK") or re.search(rb"[<>]", line):
            raise Failure(f"G01 G02: greeting {line!r}")

    def do_login(self, s):
        conn = self.conn(s.conn)
        if not conn.greeted:
            self.do_greet(s)
        self.send(s)
        for what in ("USER", "PASS"):
            line = conn.status()
            if not line.startswith(b"+OK"):
                raise Failure(f"{what}: {line!r}")

    def do_S(self, s):
        conn = self.conn(s.conn)
        if s.arg == "*until-dot":
            conn.to_dot()
        else:
            conn.expect(pattern(self.text(s.arg)))

    def do_S_challenge(self, s):
        """A line of a SASL exchange: base64 and nothing else (S12), which means this."""
        line = self.conn(s.conn).line()
        text = re.fullmatch(rb"\+ ((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)", line)
        if text is None:
            raise Failure(f"S12: this is no challenge: {line!r}")
        got = base64.b64decode(text.group(1))
        if pattern(self.text(s.arg)).fullmatch(got) is None:
            raise Failure(f"got {got!r}")

    def do_S_re(self, s):
        self.conn(s.conn).expect(re.compile(self.text(s.arg).encode(), re.S))

    def do_S_message(self, s):
        self.compare(s, kit.canonical(self.mail[s.arg]))

    def do_S_top(self, s):
        name, count = s.arg.split()
        head, blank, body = kit.canonical(self.mail[name]).partition(b"\r\n\r\n")
        lines = body.splitlines(keepends=True)
        self.compare(s, head + blank + b"".join(lines[:int(count)]))

    def compare(self, s, want):
        got = kit.unstuffed(self.conn(s.conn).to_dot())
        if got != want:
            raise Failure(f"{len(got)} octets came, {len(want)} were wanted:\n got {got[:1500]!r}\nwant {want[:1500]!r}")

    def do_S_lines(self, s):
        lines = self.conn(s.conn).to_dot()
        if len(lines) != int(s.arg):
            raise Failure(f"{len(lines)} lines came")

    def do_S_set(self, s):
        """The lines up to the dot are these, in any order; C02 says what a line looks like."""
        lines = self.conn(s.conn).to_dot()
        want = [pattern(p.strip()) for p in s.arg.split("|")]
        for line in lines:
            if len(line) > 510 or re.fullmatch(rb"[!-,\-/-~]+( [!-~]+)*", line) is None:
                raise Failure(f"C02: {line!r}")
            fits = [p for p in want if p.fullmatch(line)]
            if not fits:
                raise Failure(f"{line!r} was not wanted")
            want.remove(fits[0])
        if want:
            raise Failure(f"missing: {[p.pattern for p in want]}")

    def do_S_nothing(self, s):
        conn = self.conn(s.conn)
        if conn.buf or (conn.more(float(s.arg)) and not conn.eof) or conn.buf:
            raise Failure(f"something came: {bytes(conn.buf)!r}")

    def do_expect_eof(self, s):
        self.conn(s.conn).at_end()

    def do_connect(self, s):
        self.conn(s.conn)

    def do_sleep(self, s):
        time.sleep(float(s.arg))

    def do_close(self, s):
        conn = self.conn(s.conn)
        conn.wire.close()
        conn.closed = True

    def do_reset(self, s):
        conn = self.conn(s.conn)
        conn.wire.reset()
        conn.closed = True

    def do_shutdown_write(self, s):
        self.conn(s.conn).wire.shutdown_write()

    def do_mail(self, s):
        name, _, data = s.arg.partition(" ")
        self.mail[name] = octets(data)

    def do_fill(self, s):
        """fill [$V] NAME...; `gen:N` stands for N small letters, `all` for the samples."""
        words = octets(self.text(s.arg)).decode().split()
        address = words.pop(0) if words and "@" in words[0] else self.vars["U"]
        letters = []
        for word in words:
            if word.startswith("gen:"):
                letters += [kit.letter(n) for n in range(1, int(word[4:]) + 1)]
            elif word == "all":
                letters += [p.read_bytes() for p in kit.samples()]
            else:
                letters.append(self.mail[word])
        self.site.account(address, letters)

    def do_password(self, s):
        words = self.text(s.arg)
        address = self.vars["U"]
        if re.match(r"\S+@\S+ ", words):
            address, _, words = words.partition(" ")
        self.site.password(address, octets(words).decode())

    def query(self, s):
        text, _, want = self.text(s.arg).partition(" => ")
        return text, want.strip()

    def do_sql(self, s):
        text, want = self.query(s)
        got = self.site.sql(text)
        if got != want:
            raise Failure(f"the database says {got!r}")

    def do_sql_until(self, s):
        text, want = self.query(s)
        if not kit.wait_until(lambda: self.site.sql(text) == want):
            raise Failure(f"the database still says {self.site.sql(text)!r}")

    def do_ctl(self, s):
        self.site.ctl(*shlex.split(self.text(s.arg)))

    def do_ctl_not(self, s):
        if self.site.ctl(*shlex.split(self.text(s.arg)), check=False).returncode == 0:
            raise Failure("posternctl agreed to it")


# ------------------------------------------------------------------------ all

def one(script, reach):
    talk = Talk(script, reach)
    try:
        talk.run()
        return None
    except Failure as e:
        text = str(e)
    except Exception:                       # a bug of the runner is a failure too, told in full
        text = traceback.format_exc()
    said = "\n".join("    " + line for line in talk.transcript[-30:])
    return f"FAIL {script.path.name} in mode {reach.mode}: {text}\n{said}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--lab", metavar="DIR", help="a lab that is up")
    parser.add_argument("script", nargs="*", type=pathlib.Path)
    args = parser.parse_args()
    scripts = [Script(p) for p in args.script or sorted(HERE.glob("*.t"))]
    modes = args.mode or MODES

    site = kit.Site("dialogue-", pop3s=True)
    # The scripts say what is so without TLS; STLS has tests of its own.
    site.conf_text = (HERE / "dialogue.conf").read_text() + f"""
listeners = ( {{ address = "127.0.0.1"; port = {kit.lab.free_port()}; tls = "none"; }},
  {{ address = "127.0.0.1"; port = {site.pop3s}; tls = "implicit"; }} );
"""
    servers = []
    passed = failed = 0
    try:
        if args.lab:
            site.lab = kit.lab.Lab(args.lab)
            site.address = site.lab.address()
        else:
            site.up()
        jobs = []
        for mode in modes:
            address = site.address if mode in ("tcp", "segment") else None
            if mode == "tls":
                address = f"127.0.0.1:{site.lab.pop3s}"
            if mode in ("xinetd", "inetd"):
                server = superserver.start(mode, site)
                servers.append(server)
                address = server.address
            reach = Reach(mode, site, address)
            jobs += [(s, reach) for s in scripts if s.runs_in(mode)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda job: one(*job), jobs))
        for mode in modes:
            bad = [r for (s, reach), r in zip(jobs, results) if reach.mode == mode and r]
            count = sum(reach.mode == mode for _, reach in jobs)
            print(f"dialogue {mode}: {count - len(bad)} passed, {len(bad)} failed")
            for text in bad:
                print(text)
            passed, failed = passed + count - len(bad), failed + len(bad)
        if failed:
            print(site.log_tail())
    finally:
        for server in servers:
            server.stop()
        if not args.lab:
            site.down()
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    kit.signal.signal(kit.signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
