"""Those who bring mail: by LMTP, as a mail server does, and by `posternctl import`."""
import pathlib
import subprocess
import tempfile

import letters
from actors import BROKEN, PASSING_TEXT, Actor, passing
from lmtpkit import kit, stuff


class Deliverer(Actor):
    """Brings a letter to some mailboxes, and again where no answer came: then it may be there twice."""

    TRIES = 4

    def turn(self):
        rng = self.rng
        token = self.world.name("t")
        octets = rng.choice((0, 200, 400, 900, 3000, 9000, 30000)) if rng.random() < 0.97 else rng.randrange(200_000, 1_500_000)
        data = letters.write(token, octets, rng)
        self.book.note("letter", t=token, octets=len(data))
        owed = self.recipients()
        for attempt in range(1, self.TRIES + 1):
            if not owed or self.world.stop.is_set() and attempt > 1:
                return
            try:
                with self.site.lmtp_connect(timeout=15) as client:
                    owed = self.attempt(client, token, attempt, data, owed)
            except Exception as e:      # noqa: B902
                if not passing(e):
                    raise
                self.world.stop.wait(rng.uniform(0, 0.5))
            if rng.random() < 0.1:
                return          # gives up, as a queue's time may be over

    def recipients(self):
        rng, boxes = self.rng, self.world.boxes
        kind = rng.random()
        if kind < 0.1 and self.world.aliases:
            return [rng.choice(sorted(self.world.aliases))]
        count = 1 if kind < 0.7 else len(boxes) if kind > 0.97 else rng.randint(2, min(4, len(boxes)))
        return rng.sample(boxes, count)

    def attempt(self, client, token, number, data, recipients):
        """Those whom it is still owed to."""
        rng = self.rng
        client.expect("250", "MAIL FROM:<s@sender.example>")
        owed, taken = [], []
        for who in recipients:
            reply = client.cmd(f"RCPT TO:<{who}>")
            if reply.startswith(b"250"):
                taken.append(who)
            elif reply.startswith(b"4"):
                owed.append(who)
            else:
                self.wrong(f"RCPT TO:<{who}> was answered {reply}")
        if not taken:
            return owed
        rest = self.begin(client, data)
        if rest is None:
            return owed + taken
        if rng.random() < 0.04:
            client.send(rest[:rng.randrange(len(rest))])        # cut: nothing may be stored
            if rng.random() < 0.5:
                client.reset()
            return owed + taken
        cut = rng.randrange(len(rest))
        client.send(rest[:cut])
        self.book.note("sent", **{"t": token, "try": number, "to": [b for who in taken for b in self.world.mailboxes(who)]})
        return owed + self.finish(client, token, number, rest[cut:], taken)

    def begin(self, client, data):
        """What is to be sent now, all of it; None: refused."""
        if self.rng.random() < 0.15:
            return b"BDAT %d LAST\r\n" % len(data) + data
        reply = client.cmd("DATA", plain=True)
        if reply.startswith(b"354"):
            return stuff(data)
        if not reply.startswith(b"4"):
            self.wrong(f"DATA was answered {reply}")
        return None

    def finish(self, client, token, number, rest, taken):
        rng = self.rng
        left = list(taken)
        try:
            client.send(rest)
            way = rng.random()
            if way < 0.04:
                client.close()
            elif way < 0.06:
                client.reset()
            elif way < 0.10:
                client.sock.shutdown(1)
            owed = []
            while left:
                if not self.answer(token, number, left[0], client.reply()):
                    owed.append(left[0])
                left.pop(0)
            return owed
        except BROKEN as e:
            for who in left:
                self.each(who, "unsure", token, number, why=repr(e))
            raise

    def each(self, who, event, token, number, **more):
        for box in self.world.mailboxes(who):
            self.book.note(event, **{"t": token, "try": number, "box": box}, **more)

    def answer(self, token, number, who, reply):
        """True: it is not owed any more."""
        if reply.startswith(b"250"):
            self.each(who, "acked", token, number)
            return True
        text = reply.decode()
        # 451: the connection to the database was lost, perhaps behind the commit.
        if text.startswith(("451", "421")):
            self.each(who, "unsure", token, number, why=text)
            return False
        self.each(who, "refused", token, number, reply=text)
        full = text.startswith(("452 4.2.2", "552 5.2.3"))
        if full and who not in self.world.quota or not full and not text.startswith("452"):
            self.wrong(f"a letter to {who} was answered {text}")
        return full                     # enough for this one


class Importer(Actor):
    """A few files, and again with --resume where that did not end well."""

    pause = 1.0

    def turn(self):
        rng = self.rng
        box = rng.choice([b for b in self.world.boxes if b not in self.world.quota])
        with tempfile.TemporaryDirectory(dir=self.site.dir) as folder:
            tokens = []
            for n in range(rng.randint(1, 4)):
                token = self.world.name("t")
                data = letters.write(token, rng.choice((300, 5000, 400_000 if rng.random() < 0.2 else 900)), rng)
                pathlib.Path(folder, f"{n:03}.eml").write_bytes(data)
                self.book.note("letter", t=token, octets=len(data))
                tokens.append(token)
            for attempt in range(1, 4):
                for token in tokens:
                    self.book.note("sent", **{"t": token, "try": attempt, "to": [box]})
                done, why = self.once(box, folder, attempt)
                for token in tokens:
                    if done:
                        self.book.note("acked", **{"t": token, "try": attempt, "box": box})
                    else:
                        self.book.note("unsure", **{"t": token, "try": attempt, "box": box}, why=why)
                if done or self.world.stop.is_set():
                    return
                self.world.stop.wait(0.5)

    def once(self, box, folder, attempt):
        argv = [self.site.lab.posternctl, "-c", self.site.lab.conf, "import", "--format", "eml", "--any", box, folder]
        with subprocess.Popen([str(a) for a in argv + (["--resume"] if attempt > 1 else [])], env=kit.lab.plain_env(),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as proc:
            try:
                out, _ = proc.communicate(timeout=self.rng.uniform(0.02, 0.1) if self.rng.random() < 0.1 else 30)
            except subprocess.TimeoutExpired:
                proc.kill()
                return False, "killed"
        if proc.returncode in (0, 4) or PASSING_TEXT.search(out):
            return proc.returncode == 0, out.decode(errors="replace")
        self.wrong(f"an import ended with {proc.returncode}: {out.decode(errors='replace')}")
        return False, "wrong"
