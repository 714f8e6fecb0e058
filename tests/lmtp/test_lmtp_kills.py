"""LMTP and everything that can break: what was acknowledged is there, what was not is whole or not there (P2, LE04-LE18)."""
import os
import random
import signal
import threading
import time
import unittest

from lmtpkit import DOMAIN, LETTER, U1, U2, U3, Case, Site, kit, stuff

CONF = 'database_retry = "300ms"; respawn_pause = "500ms"; drain_time = "10s"; database_statement_timeout = "20s";\n'
BIG = 2_000_000


class Cuts(Case):
    conf = CONF

    def state(self):
        return [self.site.contents()] + [self.site.count(u) for u in ("u1", "u2", "u3")]

    def test_lost_in_data(self):                                # LE10
        before = self.state()
        for size in (len(LETTER), BIG):
            message = stuff(kit.letter(1, size))
            for cut in (0, 1, len(message) // 2, len(message) - 5, len(message) - 2, len(message) - 1):
                for end in ("close", "reset", "shutdown"):
                    c = self.connect()
                    c.mail(U1, U2)
                    c.expect("354", "DATA", plain=True)
                    c.send(message[:cut])
                    if end == "shutdown":
                        c.sock.shutdown(1)
                        self.assertTrue(c.at_end())
                    getattr(c, "reset" if end == "reset" else "close")()
        c = self.connect()
        c.mail(U1)
        c.send(b"BDAT 100\r\nhalf")
        c.close()
        c = self.connect()
        c.mail(U1)
        c.send(b"BDAT 4\r\nall\nBDAT 0 LAS")
        c.close()
        self.connect().ok("NOOP")
        self.assertEqual(self.state(), before)
        self.site.checked()

    def test_client_leaves_before_the_reply(self):              # LE11: it counts, as it was whole
        for _ in range(5):
            c = self.connect()
            c.mail(U1)
            c.expect("354", "DATA", plain=True)
            c.send(stuff(LETTER))
            c.close()
        self.assertTrue(kit.wait_until(lambda: self.site.count("u1") == 5))
        self.site.checked()

    def test_database_crashes_behind_the_reply(self):           # LE04
        for size in (300, BIG):
            reply, = self.connect().deliver(kit.letter(size, size), U1)
            self.site.pg_stop("immediate")
            self.assertTrue(reply.startswith(b"250"))
            self.site.lab.pg_start()
            self.site.wait_lanes()
            self.assertTrue(kit.wait_until(lambda: len(self.site.lmtp_lanes()) == 4))
        self.assertEqual([body for _, body in self.site.bodies(U1)], [kit.letter(n, n) for n in (300, BIG)])
        self.site.checked()

    def test_database_away(self):                               # LM01, LW06, LE08, LE09
        before = self.state()
        waiting, sending = self.connect(), self.connect()
        waiting.ok("MAIL FROM:<s@x>")
        sending.mail(U1, U2, U3)
        sending.expect("354", "DATA", plain=True)
        self.site.pg_stop("fast")
        try:
            waiting.expect("451 4.3.0", f"RCPT TO:<{U1}>")
            waiting.expect("451 4.3.0", f"RCPT TO:<ghost@{DOMAIN}>")
            sending.send(stuff(LETTER))
            self.assertEqual([sending.reply()[:9] for _ in range(3)], [b"451 4.3.0"] * 3)
            sending.ok("NOOP")
            late = self.connect(greet=False)
            self.assertTrue(late.reply(plain=True).startswith(b"421 "))
            self.assertTrue(late.at_end())
        finally:
            self.site.lab.pg_start()
        self.assertTrue(kit.wait_until(lambda: len(self.site.lmtp_lanes()) == 4))
        self.assertEqual(self.state(), before)
        sending.deliver(LETTER, U1)                             # LE05, and the same connection goes on
        self.assertEqual(self.site.count("u1"), 1)

    def blocked(self, client, message, *recipients):
        """A delivery that waits for a row that we hold. The psql to let it go with."""
        psql = self.site.psql()
        self.addCleanup(psql.close)
        psql.ask("begin")
        psql.ask(f"select from postern.mailbox where address = '{recipients[0]}' for update")
        client.mail(*recipients)
        client.expect("354", "DATA", plain=True)
        client.send(stuff(message))
        self.assertTrue(kit.wait_until(lambda: self.waiting()))
        return psql

    def waiting(self):
        return self.site.sql("select pid from pg_stat_activity where usename = 'postern_lmtp' and wait_event_type = 'Lock'")

    def test_lane_is_lost_while_storing(self):                  # LE08, LE09
        for size in (300, BIG):
            before = self.state()
            c = self.connect()
            psql = self.blocked(c, kit.letter(1, size), U1, U2)
            self.site.sql(f"select pg_terminate_backend({self.waiting()}, 5000)")
            self.assertEqual([c.reply()[:9] for _ in range(2)], [b"451 4.3.0"] * 2)
            psql.ask("rollback")
            self.assertEqual(self.state(), before)
            c.deliver(LETTER, U3)
        self.site.checked()

    def test_statement_takes_too_long(self):
        before = self.state()
        self.site.sql("alter role postern_lmtp set lock_timeout = '300ms'")
        self.addCleanup(self.site.sql, "alter role postern_lmtp reset lock_timeout")
        for pid in self.site.lmtp_lanes():
            self.site.sql(f"select pg_terminate_backend({pid}, 5000)")
        self.assertTrue(kit.wait_until(lambda: len(self.site.lmtp_lanes()) == 4))
        for size in (300, BIG):
            c = self.connect()
            psql = self.blocked(c, kit.letter(1, size), U1)
            self.assertTrue(c.reply().startswith(b"451 4.3.0"))
            psql.ask("rollback")
        self.assertEqual(self.state(), before)
        self.site.sql("alter role postern_lmtp reset lock_timeout")    # check reports it
        self.site.checked()

    def fault(self, errcode, when="true"):
        self.site.sql(f"""
            create sequence public.faults;
            create function public.fault() returns trigger language plpgsql security definer as $$
            begin
                if {when} then raise exception 'planted' using errcode = '{errcode}'; end if;
                return new;
            end $$;
            create trigger fault before insert on postern.message for each row execute function public.fault()""")
        self.addCleanup(self.site.sql, "drop trigger if exists fault on postern.message; drop function if exists public.fault();"
                                       " drop sequence if exists public.faults")

    def test_disk_full(self):                                   # LE08
        self.fault("53100")
        for size in (300, BIG):
            replies = self.connect().deliver(kit.letter(1, size), U1, U2)
            self.assertEqual([r[:9] for r in replies], [b"452 4.3.1"] * 2)
        self.site.checked()

    def test_conflict_is_tried_again(self):                     # LE08
        self.fault("40P01", "nextval('public.faults') % 3 > 0")
        for size in (300, BIG):
            reply, = self.connect().deliver(kit.letter(1, size), U1)
            self.assertTrue(reply.startswith(b"250"), reply)
        self.assertEqual(self.site.count("u1"), 2)
        self.site.checked()

    def test_conflict_for_ever(self):                           # LE08
        self.fault("40001")
        for size in (300, BIG):
            reply, = self.connect().deliver(kit.letter(1, size), U1)
            self.assertTrue(reply.startswith(b"451 4.3.0"), reply)
        self.assertEqual(self.site.count("u1"), 0)
        self.site.checked()

    def test_a_message_that_waits_keeps_nobody_waiting(self):
        c = self.connect()
        psql = self.blocked(c, kit.letter(1, BIG), U1)
        for _ in range(20):
            reply, = self.connect().deliver(LETTER, U2)
            self.assertTrue(reply.startswith(b"250"))
        psql.ask("rollback")
        self.assertTrue(c.reply().startswith(b"250"))

    def test_a_delivery_that_is_not_committed_keeps_only_its_mailbox_waiting(self):
        """All of one domain: each takes sums that nobody holds, and none is lost."""
        mailbox = self.site.mailbox(U1)
        with self.site.psql() as psql:
            self.assertNotIn("ERROR", psql.ask(
                f"begin; select postern.deliver(3, sha256('abc'), 'abc', null, array[{mailbox}], array[1], array[null], null, null)"))
            for recipients in ((U2,), (U2, U3)) * 2:
                for reply in self.connect().deliver(LETTER, *recipients):
                    self.assertTrue(reply.startswith(b"250"), reply)
            psql.ask("commit")
        self.assertEqual([self.site.count(u) for u in ("u1", "u2", "u3")], [1, 4, 2])
        self.assertEqual(self.site.ctl("check", "--quick").returncode, 0)
        self.site.empty("u1")

    def test_mailbox_vanishes(self):                            # LE06: its own verdict, the others are stored
        self.site.users("gone", "off")
        c = self.connect()
        c.mail(U1, f"gone@{DOMAIN}", f"off@{DOMAIN}", U2)
        self.site.ctl("mailbox", "remove", f"gone@{DOMAIN}", "--yes")
        self.site.ctl("mailbox", "disable", f"off@{DOMAIN}")
        self.assertEqual([r[:9] for r in c.data(LETTER, 4)], [b"250 2.1.5", b"550 5.1.1", b"550 5.2.1", b"250 2.1.5"])
        self.site.ctl("mailbox", "remove", f"off@{DOMAIN}", "--yes")
        self.site.checked()

    def test_held_maildrop(self):                               # 8: not seen in that session, there at the next
        with self.site.login(U1) as pop:
            self.connect().deliver(LETTER, U1)
            self.assertEqual(pop.stat()[0], 0)
            pop.ok("QUIT")
        self.assertEqual(len(self.site.bodies(U1)), 1)


class Kills(Case):
    conf = CONF

    def worker(self):
        return self.site.tree()[1][0]

    def new_worker(self, old):
        self.assertTrue(kit.wait_until(lambda: [p for p in self.site.tree()[1] if p != old]))

    def test_worker_in_data(self):                              # P2
        c = self.connect()
        c.mail(U1)
        c.expect("354", "DATA", plain=True)
        c.send(kit.letter(1, BIG))
        old = self.worker()
        os.kill(old, signal.SIGKILL)
        self.assertTrue(c.at_end())
        self.new_worker(old)
        self.assertEqual(self.site.count("u1"), 0)
        self.assertEqual([], os.listdir(self.site.lab.spool))
        reply, = self.connect().deliver(LETTER, U1)
        self.assertTrue(reply.startswith(b"250"))
        self.site.checked()

    def storing(self, message):
        """Who holds the row of the mailbox, and a client whose whole message waits for it."""
        psql = self.site.psql()
        psql.ask("begin")
        psql.ask(f"select from postern.mailbox where address = '{U1}' for update")
        c = self.connect()
        c.mail(U1)
        c.expect("354", "DATA", plain=True)
        c.send(stuff(message))
        self.assertTrue(kit.wait_until(lambda: self.site.sql(
            "select 1 from pg_stat_activity where usename = 'postern_lmtp' and wait_event_type = 'Lock'"), 10))
        return psql, c

    def test_worker_while_storing(self):                        # LE17: whole or not at all; sent again, it may be there twice
        for size in (300, BIG):
            self.site.empty("u1")
            message = kit.letter(size, size)
            psql, c = self.storing(message)
            old = self.worker()
            os.kill(old, signal.SIGKILL)
            self.assertTrue(c.at_end())
            psql.ask("rollback")
            psql.close()
            self.new_worker(old)
            reply, = self.connect().deliver(message, U1)
            self.assertTrue(reply.startswith(b"250"))
            bodies = self.site.bodies(U1)
            self.assertIn(len(bodies), (1, 2))
            self.assertEqual({body for _, body in bodies}, {message})
            self.site.checked()

    def test_killed_at_any_moment(self):
        """Deliveries without a pause, the worker killed again and again: each 250 is a message, each message is whole."""
        acked, lock, stop = [], threading.Lock(), threading.Event()

        def work(n):
            k = 0
            while not stop.is_set():
                try:
                    with self.site.lmtp_connect(timeout=kit.PATIENCE) as c:
                        while not stop.is_set():
                            k += 1
                            number = n * 100000 + k
                            reply, = c.deliver(kit.letter(number, 300 if k % 5 else 400000), U2)
                            if reply.startswith(b"250"):
                                with lock:
                                    acked.append(number)
                except (OSError, EOFError, AssertionError):
                    time.sleep(0.05)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
        for t in threads:
            t.start()
        for _ in range(6):
            time.sleep(random.uniform(0.3, 1.0))
            workers = self.site.tree()[1]
            if workers:
                os.kill(workers[0], signal.SIGKILL)
                self.new_worker(workers[0])
        stop.set()
        for t in threads:
            t.join()
        self.assertGreater(len(acked), 10)
        found = []
        for _, body in self.site.bodies(U2):
            number = int(body.split(b"letter ")[1].split(b"\r\n")[0])
            self.assertEqual(body, kit.letter(number, len(body) if len(body) < 1000 else 400000))
            found.append(number)
        self.assertEqual(set(acked) - set(found), set())
        self.assertEqual(len(found), len(set(found)))           # nothing was sent twice here
        self.site.checked()

    def test_stop_in_data(self):                                # LE18
        idle, between, sending, chunks = (self.connect() for _ in range(4))
        between.mail(U1)
        for c in (sending, chunks):
            c.mail(U1)
        sending.expect("354", "DATA", plain=True)
        sending.send("Subject: x\r\n\r\nhalf\r\n")
        chunks.send("BDAT 3\r\na\r\n")
        self.assertTrue(chunks.reply().startswith(b"250"))
        os.kill(self.site.lab.master_pid(), signal.SIGTERM)
        for c in (idle, between):
            self.assertTrue(c.reply().startswith(b"421 4.3.2"))
            self.assertTrue(c.at_end())
        sending.send("the rest\r\n.\r\n")
        chunks.send("BDAT 3 LAST\r\nb\r\n")
        for c in (sending, chunks):
            self.assertTrue(c.reply().startswith(b"250"))
            self.assertTrue(c.reply().startswith(b"421 4.3.2"))
            self.assertTrue(c.at_end())
        self.assertTrue(kit.wait_until(lambda: not self.site.lab.daemon_pids()))
        self.site.lab.daemon_start()
        self.assertEqual({body for _, body in self.site.bodies(U1)}, {b"Subject: x\r\n\r\nhalf\r\nthe rest\r\n", b"a\r\nb\r\n"})

    def test_stop_while_storing(self):                          # LE18: whatever is known by then is told
        """SIGTERM, and a second one, which ends all that does not wait for the database."""
        for times in (1, 2):
            self.site.empty("u1")
            psql, c = self.storing(LETTER)
            for _ in range(times):
                os.kill(self.site.lab.master_pid(), signal.SIGTERM)
                time.sleep(0.3)
            psql.ask("rollback")
            psql.close()
            self.assertTrue(c.reply().startswith(b"250"))
            self.assertTrue(c.reply().startswith(b"421 4.3.2"))
            self.assertTrue(c.at_end())
            self.assertTrue(kit.wait_until(lambda: not self.site.lab.daemon_pids()))
            self.site.lab.daemon_start()
            self.assertEqual([body for _, body in self.site.bodies(U1)], [LETTER])

    def test_reload(self):
        c, d = self.connect(), self.connect()
        d.mail(U1)
        d.expect("354", "DATA", plain=True)
        old = self.worker()
        os.kill(self.site.lab.master_pid(), signal.SIGHUP)
        self.assertTrue(c.reply().startswith(b"421 4.3.2"))     # a mail server would keep it for ever
        self.new_worker(old)
        d.send(stuff(LETTER))
        self.assertTrue(d.reply().startswith(b"250"))
        self.connect().deliver(LETTER, U1)
        self.assertEqual(self.site.count("u1"), 2)


class Crowd(unittest.TestCase):
    """LE16, and point by point: deliverers and deleting sessions on the same maildrops; every message is accounted for."""

    BOXES, DELIVERERS, READERS, SECONDS = 30, 16, 12, 15

    @classmethod
    def setUpClass(cls):
        cls.site = Site("lmtp-", CONF)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.boxes = [f"c{n}@{DOMAIN}" for n in range(cls.BOXES)]
        cls.site.account(cls.boxes[0])
        cls.site.sql(f"select postern.add_mailbox('c' || n || '@{DOMAIN}', null) from generate_series(1, {cls.BOXES - 1}) n")
        cls.site.sql("insert into postern.credential (mailbox, kind, secret) select m.mailbox, 'password', c.secret"
                     " from postern.mailbox m, postern.credential c"
                     " where not exists (select from postern.credential x where x.mailbox = m.mailbox) limit 1000")

    def test_accounted_for(self):
        acked, deleted, wrong, lock, stop = {}, [], [], threading.Lock(), threading.Event()

        def deliver(n):
            rng, k = random.Random(n), 0
            try:
                with self.site.lmtp_connect() as c:
                    while not stop.is_set():
                        k += 1
                        number = n * 100000 + k
                        to = rng.sample(self.boxes, rng.choice((1, 1, 1, 2, 5)))
                        replies = c.deliver(kit.letter(number, 300 if k % 20 else 300000), *to)
                        with lock:
                            for box, reply in zip(to, replies):
                                if reply.startswith(b"250"):
                                    acked[(box, number)] = True
                                else:
                                    wrong.append(reply)
            except BaseException as e:      # noqa: B902 -- told below
                wrong.append(repr(e))

        def read(n):
            rng = random.Random(1000 + n)
            try:
                while not stop.is_set():
                    box = rng.choice(self.boxes)
                    with self.site.connect() as pop:
                        pop.ok("USER " + box)
                        reply = pop.cmd("PASS " + kit.PASSWORD)
                        if reply.startswith(b"-ERR [IN-USE]"):
                            continue
                        count = pop.stat()[0]
                        uidl = pop.uidl()
                        if len(uidl) != count or sorted(int(u.split(b".")[1]) for u in uidl) != [int(u.split(b".")[1]) for u in uidl]:
                            wrong.append((box, uidl))
                        taken = []
                        for m in range(1, count + 1):
                            body = pop.retr(m).split(b"Message-ID: <")[1]
                            taken.append((box, int(body.split(b"@")[0])))
                            pop.ok(f"DELE {m}")
                        if rng.random() < 0.2:
                            continue            # lost: nothing is deleted
                        if pop.ok("QUIT"):
                            with lock:
                                deleted.extend(taken)
            except BaseException as e:      # noqa: B902
                wrong.append(repr(e))
        threads = [threading.Thread(target=deliver, args=(n,)) for n in range(1, self.DELIVERERS + 1)]
        threads += [threading.Thread(target=read, args=(n,)) for n in range(self.READERS)]
        for t in threads:
            t.start()
        time.sleep(self.SECONDS)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])
        left = []
        for box in self.boxes:
            for data in self.site.fetched(box):
                left.append((box, int(data.split(b"Message-ID: <")[1].split(b"@")[0])))
        self.assertEqual(len(deleted), len(set(deleted)))
        self.assertEqual(sorted(deleted + left), sorted(acked))
        self.assertGreater(len(deleted), 50)
        self.site.checked()


class Memory(Case):
    conf = 'lmtp_max_size = "300M"; lmtp_spool_memory = "8M";\n'

    def rss(self):
        with open(f"/proc/{self.site.tree()[1][0]}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def send(self, client, size):
        line = b"x" * 998 + b"\r\n"
        block = line * 1000
        for _ in range(size // len(block)):
            client.send(block)
        client.send(b".\r\n")

    def test_one_large_message(self):                           # LD10
        self.connect().deliver(kit.letter(1, BIG), U1)
        before = self.rss()
        c = self.connect()
        c.mail(U1)
        c.expect("354", "DATA", plain=True)
        top = [before]
        done = threading.Event()

        def watch():
            while not done.wait(0.05):
                top.append(self.rss())
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            self.send(c, 200_000_000)
            c.sock.settimeout(120)
            self.assertTrue(c.reply().startswith(b"250"))
        finally:
            done.set()
            thread.join()
        if not kit.sanitized():
            self.assertLess(max(top) - before, 16 * 1024)
        self.assertEqual(int(self.site.sql("select max(octets) from postern.content")) // 1000000, 200)

    def test_many_at_once(self):
        before, top, done = self.rss(), [], threading.Event()
        wrong = []

        def work():
            try:
                with self.site.lmtp_connect(timeout=120) as c:
                    c.mail(U2)
                    c.expect("354", "DATA", plain=True)
                    self.send(c, 10_000_000)
                    if not c.reply().startswith(b"250"):
                        wrong.append("refused")
            except BaseException as e:      # noqa: B902
                wrong.append(repr(e))
        threads = [threading.Thread(target=work) for _ in range(24)]

        def watch():
            while not done.wait(0.05):
                top.append(self.rss())
        watcher = threading.Thread(target=watch)
        for t in threads + [watcher]:
            t.start()
        for t in threads:
            t.join()
        done.set()
        watcher.join()
        self.assertEqual(wrong, [])
        # lmtp_spool_memory, 32 KiB for each, and what the lanes have on their way.
        if not kit.sanitized():
            self.assertLess(max(top) - before, 32 * 1024)
        self.site.checked()


if __name__ == "__main__":
    unittest.main()
