"""Those who fetch and delete: by POP3, in the ways that clients have, `posternctl expire`; and `posternctl recode`."""
import subprocess
import time

import letters
from actors import PASSING_TEXT, Actor
from lmtpkit import kit

TEMPORARY = (b"-ERR [SYS/TEMP]", b"-ERR [IN-USE]")


class Reader(Actor):
    """One session a turn: in one of the maildrops, and all of them are somebody else's too."""

    WAYS = ("proper", "proper", "proper", "pipelined", "pipelined", "slow", "top", "vanish", "reset", "half quit",
            "half close", "quit and vanish", "quit and reset", "look")

    def turn(self):
        way = self.rng.choice(self.WAYS)
        box = self.rng.choice(self.world.boxes)
        name = self.world.name("s")
        with self.site.connect(timeout=20) as pop:
            pop.ok("USER " + box)
            self.book.note("open", s=name, box=box)
            reply = pop.cmd("PASS " + kit.PASSWORD)
            if not reply.startswith(b"+OK"):
                if not reply.startswith(TEMPORARY):
                    self.wrong(f"the right password for {box} was answered {reply}")
                time.sleep(self.rng.uniform(0, 0.1))
                return
            self.session(pop, box, name, way)

    def session(self, pop, box, name, way):
        count, octets = pop.stat()
        sizes = [int(line.split()[1]) for line in pop.multi("LIST")]
        uidls = [u.decode() for u in pop.uidl()]
        if (count, octets) != (len(sizes), sum(sizes)) or len(uidls) != count:
            self.wrong(f"{box}: STAT said {count} {octets}, LIST {len(sizes)} {sum(sizes)}, UIDL {len(uidls)}")
        self.book.note("list", s=name, box=box, uidls=uidls)
        numbers = list(range(1, count + 1))
        if way == "look" or not numbers:
            pop.ok("QUIT")
            return
        # Some stay, so that maildrops are not always empty.
        wanted = numbers if len(numbers) > 40 else sorted(self.rng.sample(numbers, self.rng.randint(1, len(numbers))))
        marked = self.fetch(pop, box, uidls, sizes, wanted, way)
        if marked is not None:
            self.end(pop, box, name, [uidls[n - 1] for n in marked], way)

    # -- fetching: the numbers that are marked now; None where the session is over

    def fetch(self, pop, box, uidls, sizes, wanted, way):
        if way == "pipelined":
            pop.send(b"".join(b"RETR %d\r\n" % n for n in wanted))
            got = [n for n in wanted if self.take(pop, box, uidls[n - 1], sizes[n - 1])]
            pop.send(b"".join(b"DELE %d\r\n" % n for n in got))
            return [n for n in got if self.yes(pop.line(), f"DELE {n}")]
        got = []
        for n in wanted:
            if way == "vanish" and self.rng.random() < 0.2:
                pop.send(b"RETR %d\r\n" % n)
                return None
            if way == "slow":
                time.sleep(self.rng.uniform(0, 0.2))
            if way == "top":
                pop.send(b"TOP %d 0\r\n" % n)
                there = self.top(pop, box, uidls[n - 1])
            else:
                pop.send(b"RETR %d\r\n" % n)
                there = self.take(pop, box, uidls[n - 1], sizes[n - 1])
            if there and self.rng.random() < 0.9 and self.yes(pop.cmd(f"DELE {n}"), f"DELE {n}"):
                got.append(n)
        if self.rng.random() < 0.05:
            pop.ok("RSET")
            return []
        return got

    def yes(self, reply, what):
        """A refusal must be a temporary one."""
        if reply.startswith(b"+OK"):
            return True
        if not reply.startswith(TEMPORARY):
            self.wrong(f"{what} was answered {reply}")
        return False

    def top(self, pop, box, uidl):
        if not self.yes(pop.line(), f"{box}: TOP of {uidl}"):
            return False
        token = letters.token_of(pop.body())
        if token is None:
            self.wrong(f"{box}: TOP of {uidl} shows no letter")
            return False
        self.book.note("seen", box=box, uidl=uidl, t=token)
        return True

    def take(self, pop, box, uidl, size):
        if not self.yes(pop.line(), f"{box}: RETR of {uidl}"):
            return False
        data = kit.unstuffed(pop.body())
        token, why = letters.read(data)
        if len(data) != size:
            why = f"LIST said {size} octets, {len(data)} came"
        if why is not None:
            self.wrong(f"{box}: {uidl}, letter {token}: {why}")
            return False
        self.book.note("seen", box=box, uidl=uidl, t=token)
        return True

    # -- the end

    def end(self, pop, box, name, marked, way):
        if way in ("vanish", "reset", "half quit"):
            if way == "half quit":
                pop.send(b"QUIT"[:self.rng.randint(1, 4)])      # no line: not a command
            if way == "reset":
                pop.reset()
            return
        self.book.note("quit", s=name, box=box, uidls=marked)
        pop.send(b"QUIT\r\n")
        if way == "quit and reset":
            pop.reset()
        elif way == "half close":
            pop.sock.shutdown(1)
        if way.startswith("quit and"):
            return
        reply = pop.line()
        if reply.startswith(b"+OK"):
            self.book.note("gone", s=name)
        elif not reply.startswith(TEMPORARY):
            self.wrong(f"{box}: QUIT was answered {reply}")
        if not pop.at_end():
            self.wrong(f"{box}: something came behind the answer to QUIT")


def ctl(site, *args):
    return subprocess.run([str(site.lab.posternctl), "-c", str(site.lab.conf), *args], timeout=60, check=False,
                          env=kit.lab.plain_env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class Expirer(Actor):
    """Makes letters of one mailbox old that were seen, and lets `posternctl expire` take them."""

    pause = 2.0

    def __init__(self, world, seed, box):
        super().__init__(world, seed)
        self.box = box

    def turn(self):
        try:
            self.age()
        except kit.lab.LabError:
            return              # the database is away
        self.expire()

    def age(self):
        with self.site.connect(timeout=20) as pop:
            pop.ok("USER " + self.box)
            name = self.world.name("s")
            self.book.note("open", s=name, box=self.box)
            if not pop.cmd("PASS " + kit.PASSWORD).startswith(b"+OK"):
                return
            uidls = [u.decode() for u in pop.uidl()]
            self.book.note("list", s=name, box=self.box, uidls=uidls)
            old = []
            for n in range(1, min(len(uidls), 3) + 1):
                token = letters.token_of(pop.multi(f"TOP {n} 0"))
                self.book.note("seen", box=self.box, uidl=uidls[n - 1], t=token)
                old.append(uidls[n - 1])
            pop.ok("QUIT")
        uids = [u.rpartition(".")[2] for u in old]
        if old:
            self.book.note("aged", box=self.box, uidls=old)
            self.site.sql(f"""update postern.message g set received_at = now() - interval '3 days' from postern.mailbox b
                where b.mailbox = g.mailbox and b.address = '{self.box}' and g.uid in ({','.join(uids)})""")

    def expire(self):
        done = ctl(self.site, "expire")
        if done.returncode not in (0, 4) and not PASSING_TEXT.search(done.stdout):
            self.wrong(f"expire ended with {done.returncode}: {done.stdout.decode(errors='replace')}")


class Recoder(Actor):
    """Compresses all that is stored, or undoes it, while it comes, is read, and goes."""

    pause = 2.0

    def turn(self):
        done = ctl(self.site, "recode", "--to", self.rng.choice(("zstd", "plain")), "--batch", str(self.rng.randrange(1, 50)))
        if b"stays as it is" in done.stdout or (done.returncode not in (0, 3, 4) and not PASSING_TEXT.search(done.stdout)):
            self.wrong(f"recode ended with {done.returncode}: {done.stdout.decode(errors='replace')}")


class Sweeper(Actor):
    """Vacuums, as autovacuum does not come to it: at a crash PostgreSQL forgets how many rows are dead, and here one comes
    every few seconds. In four minutes they filled the small disk."""

    pause = 20.0

    def turn(self):
        try:
            self.site.sql("vacuum")
        except kit.lab.LabError:
            pass                # the database is away
