#!/usr/bin/env python3
"""Two PostgreSQL servers, synchronous replication: the first one dies or hangs, the second one takes over."""
import collections
import pathlib
import re
import signal
import smtplib
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit

READERS = [f"reader{n}@example.org" for n in range(4)]
SECOND = kit.lab.PGPORT + 1
CONF = kit.QUICK + 'cells = 1; database_statement_timeout = "1s"; auth_deadline = "3s"; database_retry = "500ms"; pop3_limit_failures = 100000;\n'


class Standby:
    """The second server: a copy of the lab's, on its folder of sockets."""

    def __init__(self, site):
        self.lab = site.lab
        self.data = self.lab.data.parent / "standby"

    def make(self):
        with open(self.lab.data / "pg_hba.conf", "a", encoding="ascii") as hba:
            hba.write("local replication postgres peer map=postern\n")
        self.lab.sql("select pg_reload_conf()")
        if kit.ROOT:
            self.data.mkdir(mode=0o700)
            kit.shutil.chown(self.data, "postgres", "postgres")
        self.lab.as_pg(self.lab.pg_bin("pg_basebackup"), "-D", self.data, "-h", self.lab.sockets, "-p", kit.lab.PGPORT,
                       "-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync", what="pg_basebackup")
        self.start()
        # Not in the copy: the one that is left alone must not wait for another.
        self.lab.sql("alter system set synchronous_standby_names = '*'")
        self.lab.sql("select pg_reload_conf()")
        if not kit.wait_until(lambda: self.lab.sql("select sync_state from pg_stat_replication") == "sync"):
            raise AssertionError("the standby does not follow: " + self.log())

    def log(self):
        return (self.data / "log").read_text(errors="replace")[-2000:]

    def ctl(self, *words):
        self.lab.as_pg(self.lab.pg_bin("pg_ctl"), "-D", self.data, "-w", "-t", "30", *words, what="pg_ctl")

    def start(self):
        self.ctl("-l", self.data / "log", "-o", f"-p {SECOND}", "start")

    def promote(self):
        self.ctl("promote")

    def stop(self):
        try:
            self.ctl("-m", "immediate", "stop")
        except kit.lab.LabError:
            pass

    def sql(self, text):
        return kit.lab.pq.ask(text, dict(self.lab.env(), PGPORT=str(SECOND)))


class Ledger:
    """What was acknowledged to whom, told apart from what nobody can know."""

    def __init__(self):
        self.lock = threading.Lock()
        self.stored, self.maybe_stored = collections.Counter(), collections.Counter()
        self.deleted, self.maybe_deleted = set(), set()
        self.wrong = []             # answers that a failing database must never cause
        self.done = collections.deque()     # (when, "lmtp" or "pop3") of what was acknowledged
        self.seen = set()           # kinds of refusals

    def note(self, reply):
        reply = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
        self.seen.add(" ".join(reply.split()[:2]))
        if not re.match(r"-ERR \[(SYS/TEMP|IN-USE)\]|4\d\d", reply):
            self.wrong.append(reply)

    def ack(self, kind):
        self.done.append((time.monotonic(), kind))

    def outage(self, kind, since):
        """Seconds: the longest time without any, from shortly before."""
        times = [t for t, k in list(self.done) if k == kind and t > since - 1]
        return max((b - a for a, b in zip(times, times[1:])), default=float("nan"))

    def first_after(self, when, kind):
        return min((t for t, k in list(self.done) if k == kind and t > when), default=None)


class Failover(unittest.TestCase):
    def setUp(self):
        self.site = kit.Site("postern-failover-", conf=CONF, lmtp=True, pgconf="fsync = off\n")     # nobody pulls a plug here
        self.addCleanup(self.site.down)
        self.site.up()
        self.standby = Standby(self.site)
        self.addCleanup(self.standby.stop)
        for address in READERS:
            self.site.account(address)
        self.standby.make()
        place = self.site.lab
        conf = re.sub(r"(?m)^database = .*$", f'database = "host={place.sockets},{place.sockets} port={kit.lab.PGPORT},{SECOND}'
                      f' dbname={kit.lab.DATABASE} connect_timeout=2 target_session_attrs=read-write";', place.conf.read_text())
        place.conf.write_text(conf)
        self.site.ctl("reload")
        self.stopping = False
        self.ledger = Ledger()
        self.threads = []

    # ------------------------------------------------------------------ load

    def deliver(self, worker):
        """One message after the other, to two mailboxes at once, until told to stop."""
        n = 0
        while not self.stopping:
            try:
                with smtplib.LMTP("127.0.0.1", self.site.lmtp, timeout=30) as lmtp:
                    lmtp.ehlo()
                    while not self.stopping:
                        n += 1
                        self.deliver_one(lmtp, f"w{worker}n{n}", [READERS[(worker + n) % 4], READERS[(worker + n + 1) % 4]])
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)

    def deliver_one(self, lmtp, name, to):
        codes = [lmtp.mail("sender@example.org")] + [lmtp.rcpt(address) for address in to]
        refused = [c for c in codes if c[0] >= 400]
        if refused:
            for code, text in refused:
                self.ledger.note(f"{code} {text.decode(errors='replace')}")
            raise smtplib.SMTPException()
        lmtp.docmd("DATA")
        with self.ledger.lock:
            for address in to:
                self.ledger.maybe_stored[address, name] += 1
        lmtp.send(f"Subject: {name}\r\n\r\n".encode() + b"text\r\n" * 200 + b".\r\n")
        for address in to:
            code, text = lmtp.getreply()
            if code == 250:
                self.ledger.stored[address, name] += 1
                self.ledger.ack("lmtp")
            else:
                self.ledger.note(f"{code} {text.decode(errors='replace')}")

    def read(self, address):
        """Takes two messages, deletes them, says QUIT, comes again."""
        while not self.stopping:
            try:
                with kit.Pop(self.site.address, timeout=30) as pop:
                    self.read_once(pop, address)
                time.sleep(0.01)
            except (OSError, EOFError):
                time.sleep(0.02)

    def read_once(self, pop, address):
        names = []
        pop.ok("USER " + address)
        reply = pop.cmd("PASS " + kit.PASSWORD)
        if not reply.startswith(b"+OK"):
            self.ledger.note(reply)
            time.sleep(0.1)
            return
        self.ledger.ack("login")
        count = int(reply.split()[1])
        for n in range(1, min(count, 2) + 1):
            pop.send(b"RETR %d\r\n" % n)
            reply = pop.line()
            if not reply.startswith(b"+OK"):
                self.ledger.note(reply)
                return
            names.append(re.search(rb"Subject: (\w+)", b"\r\n".join(pop.body())).group(1).decode())
            reply = pop.cmd(f"DELE {n}")
            if not reply.startswith(b"+OK"):
                self.ledger.note(reply)
                return
        pop.send(b"QUIT\r\n")
        self.ledger.maybe_deleted.update((address, name) for name in names)
        reply = pop.line()
        if reply.startswith(b"+OK"):
            self.ledger.deleted.update((address, name) for name in names)
            self.ledger.ack("pop3")
        else:
            self.ledger.note(reply)

    def load(self):
        self.threads = [threading.Thread(target=self.deliver, args=(n,), daemon=True) for n in range(3)]
        self.threads += [threading.Thread(target=self.read, args=(address,), daemon=True) for address in READERS]
        for t in self.threads:
            t.start()
        self.await_work(time.monotonic())

    def await_work(self, since, seconds=30):
        """Until a login, a QUIT and a delivery were acknowledged, but for those that were under way."""
        found = {}

        def there():
            for kind in ("login", "pop3", "lmtp"):
                found[kind] = self.ledger.first_after(since + 0.2, kind)
            return None not in found.values()
        self.assertTrue(kit.wait_until(there, seconds), f"{found} {self.ledger.seen}{self.site.log_tail()}")

    def end_load(self):
        self.stopping = True
        for t in self.threads:
            t.join(40)
            self.assertFalse(t.is_alive())

    # ----------------------------------------------------------------- checks

    def found(self):
        """(address, subject) of what is stored, by the tables of the server that is left."""
        rows = self.standby.sql("""
            select b.address, substring(convert_from(p.data, 'UTF8') from 'Subject: (\\w+)'), count(*)
              from postern.message m join postern.mailbox b using (mailbox) join postern.content_part p on p.content = m.content and p.part = 0
             where b.address like 'reader%' group by 1, 2""")
        return {(a, name): int(n) for a, name, n in (row.split("|") for row in rows.splitlines())}

    def check_ledger(self):
        found = self.found()
        lost = [key for key in self.ledger.stored if key not in found and key not in self.ledger.maybe_deleted]
        back = [key for key in self.ledger.deleted if key in found]
        twice = {key: n for key, n in found.items() if n > self.ledger.maybe_stored[key]}
        self.assertEqual((lost, back, twice), ([], [], {}))
        self.assertEqual(self.ledger.wrong, [])
        self.site.ctl("check")
        print(f"acknowledged: {len(self.ledger.stored)} deliveries, {len(self.ledger.deleted)} deletions;"
              f" refusals: {sorted(self.ledger.seen)}", file=sys.stderr)

    def show(self, what, since):
        names = {"login": "login", "pop3": "QUIT", "lmtp": "delivery"}
        print(f"\n{what}: longest time without any " + ", ".join(f"{name} {self.ledger.outage(kind, since):.2f} s" for kind, name in names.items()),
              file=sys.stderr)

    def test_primary_dies(self):
        """kill -9 of all of it under load; nothing of what was acknowledged is gone, nobody restarts Postern."""
        masters = self.site.tree()[0]
        held = kit.Pop(self.site.address)
        self.load()
        self.site.account("held@example.org", [kit.letter(1)])
        held.login("held@example.org")
        held.ok("DELE 1")
        died = time.monotonic()
        kit.lab.signal_all(self.site.lab.pg_pids(), signal.SIGKILL)
        self.standby.promote()
        promoted = time.monotonic() - died
        self.await_work(died)
        self.show(f"primary killed, standby promoted after {promoted:.2f} s", died)
        # The session that was open then lost its lock, and deletes nothing.
        held.err("QUIT", "SYS/TEMP")
        held.close()
        time.sleep(0.5)
        self.returns_read_only()
        self.end_load()
        self.assertEqual(self.site.tree()[0], masters)
        self.check_ledger()
        with self.site.login("held@example.org") as pop:
            self.assertEqual(pop.stat()[0], 1)

    def returns_read_only(self):
        """The old primary, demoted, is the first host of the list again: nobody uses it."""
        old = self.site.lab.data
        (old / "standby.signal").touch()
        if kit.ROOT:
            kit.shutil.chown(old / "standby.signal", "postgres", "postgres")
        self.site.lab.pg_start()
        self.standby.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename like 'postern%'")
        back = time.monotonic()
        self.await_work(back)
        self.show("old primary back, read-only, all connections ended", back)
        # A lane that comes back has looked at it, and passed it over.
        self.assertTrue(kit.wait_until(lambda: self.site.sql("select count(*) from pg_stat_activity where usename in"
                                                             " ('postern_mail', 'postern_lmtp')") == "0"))
        self.site.pg_stop("immediate")

    def test_primary_hangs(self):
        """
        Its processes stop, its connections stay: the lanes give it up by themselves, long
        before a statement may have lasted too long, and find the other one.
        """
        place = self.site.lab
        place.conf.write_text(place.conf.read_text().replace('database_statement_timeout = "1s"', 'database_statement_timeout = "10m"'))
        self.site.ctl("reload")
        self.site.wait_lanes()
        self.load()
        stopped = self.site.lab.pg_pids()
        self.addCleanup(kit.lab.signal_all, stopped, signal.SIGCONT)
        hung = time.monotonic()
        kit.lab.signal_all(stopped, signal.SIGSTOP)
        self.standby.promote()
        promoted = time.monotonic() - hung
        self.await_work(hung, 40)
        self.assertIn("the database answers nothing any more, on no connection", self.site.log_text())
        # One lane more than there are deliverers: it must not cost them the same time once more.
        self.assertIn("the database did not answer another lane", self.site.log_text())
        self.show(f"primary hangs, standby promoted after {promoted:.2f} s", hung)
        # Fenced, as it has to be before it goes on: what it was asked and had not answered must not be done.
        kit.lab.signal_all(stopped, signal.SIGKILL)
        self.end_load()
        self.check_ledger()

    def test_no_standby(self):
        """
        Nobody confirms a commit, so nothing is acknowledged; and a server that
        is told not to write any more, while it is used, is left for another.
        """
        self.standby.stop()
        with smtplib.LMTP("127.0.0.1", self.site.lmtp, timeout=30) as lmtp:
            lmtp.ehlo()
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                lmtp.sendmail("sender@example.org", [READERS[0]], b"Subject: alone\r\n\r\ntext\r\n")
            self.assertEqual(refused.exception.smtp_code, 451)
        # Stored here it is, and may follow to the standby: that it was refused says only that nobody promised it.
        self.ledger.maybe_stored[READERS[0], "alone"] += 1
        self.standby.start()
        self.standby.promote()
        self.site.sql("alter system set default_transaction_read_only = on")
        self.site.sql("select pg_reload_conf()")
        self.load()
        # Or one of the lanes was at the other one before.
        self.assertRegex(self.site.log_text(), "the database has become read-only|another server is the primary now")
        self.end_load()
        self.check_ledger()


class Authority(unittest.TestCase):
    """A standby is no authority; and what was learned from a server does not hold on the one that takes over."""

    def setUp(self):
        self.site = kit.Site("postern-authority-", conf=CONF, lmtp=True, pgconf="fsync = off\n")
        self.addCleanup(self.site.down)
        self.site.up()
        self.standby = Standby(self.site)
        self.addCleanup(self.standby.stop)
        self.site.account(READERS[0], [kit.letter(1)])
        self.standby.make()

    def at(self, ports, more=""):
        hosts = ",".join([str(self.site.lab.sockets)] * len(ports.split(",")))
        return f'database = "host={hosts} port={ports} dbname={kit.lab.DATABASE} connect_timeout=2 {more}";\n'

    def refused(self, more, why):
        other = self.site.second(self.at(str(SECOND), more))
        other.start()
        try:
            with kit.Pop(other.address) as pop:
                pop.ok("USER " + READERS[0])
                pop.err("PASS " + kit.PASSWORD, "SYS/TEMP")
            # Workers and helpers.
            self.assertTrue(kit.wait_until(lambda: len(re.findall(why, other.log.read_text())) >= 2), other.log.read_text())
            # None stays: each connection is asked who it is, and left.
            self.assertTrue(kit.wait_until(lambda: self.connections(self.standby.sql) == {}))
        finally:
            other.stop()

    def test_standby_alone(self):
        self.refused("", "server is in hot standby mode")
        self.refused("target_session_attrs=any", "the server is a standby")

    def test_standby_first(self):
        """Two sessions would hold one maildrop; from the list the primary is taken, whoever is asked first."""
        with self.site.login(READERS[0]):
            for more in ("", "target_session_attrs=any"):
                other = self.site.second(self.at(f"{SECOND},{kit.lab.PGPORT}", more))
                other.start()
                try:
                    def in_use():
                        with kit.Pop(other.address) as pop:
                            pop.ok("USER " + READERS[0])
                            return b"[IN-USE]" in pop.cmd("PASS " + kit.PASSWORD)
                    self.assertTrue(kit.wait_until(in_use), other.log.read_text())
                finally:
                    other.stop()

    def test_one_delivery_behind(self):
        """The next message gets the uid of the one that is lost, which a worker has listed."""
        self.site.lab.sql("alter system set synchronous_standby_names = ''")
        self.site.lab.sql("select pg_reload_conf()")
        place = self.site.lab
        place.conf.write_text(re.sub(r"(?m)^database = .*$", self.at(f"{kit.lab.PGPORT},{SECOND}").strip(), place.conf.read_text()))
        self.site.ctl("reload")
        self.site.wait_lanes()
        self.assertTrue(kit.wait_until(lambda: self.standby.sql("select count(*) from postern.message") == "1"))
        self.standby.sql("alter system set primary_conninfo = ''")
        self.standby.sql("select pg_reload_conf()")
        self.assertTrue(kit.wait_until(lambda: self.site.sql("select count(*) from pg_stat_replication") == "0"))
        lost, next_one = kit.letter(2, 9000), kit.letter(3, 700)
        self.deliver(lost)
        self.assertEqual(len(self.site.fetched(READERS[0])), 2)
        kit.lab.signal_all(self.site.lab.pg_pids(), signal.SIGKILL)
        self.standby.promote()
        self.assertTrue(kit.wait_until(lambda: self.delivered(next_one)))
        self.site.login_soon(READERS[0]).close()        # whose lanes are others than those of deliveries
        found = self.site.fetched(READERS[0])
        self.assertEqual(len(found), 2)
        self.assertTrue(found[1].endswith(next_one), found[1][:300])
        self.assertIn("another server or timeline than before", self.site.log_text())

    def connections(self, sql):
        """To one of the servers, by role."""
        return dict(row.split("|") for row in sql("select usename, count(*) from pg_stat_activity where usename in"
                                                  " ('postern_mail', 'postern_lmtp', 'postern_auth') group by 1").splitlines())

    def test_old_primary_lives(self):
        """
        The standby is promoted, and the old primary goes on: from the moment at which one
        lane has met the new one nobody is told anything by the old one, in no process; nor
        when the new one is gone.
        """
        place = self.site.lab
        place.sql("alter system set synchronous_standby_names = ''")
        place.sql("select pg_reload_conf()")
        # While it is a standby nobody uses it, though it is the first of the list.
        place.conf.write_text(re.sub(r"(?m)^database = .*$", self.at(f"{SECOND},{kit.lab.PGPORT}").strip(), place.conf.read_text())
                              .replace("cells = 1", "cells = 2"))
        self.site.ctl("reload")
        self.assertTrue(kit.wait_until(lambda: all(int(self.connections(place.sql).get(role, 0)) >= 2
                                                   for role in ("postern_mail", "postern_lmtp", "postern_auth"))))
        for _ in range(8):
            self.site.login_soon(READERS[0]).close()
        self.assertEqual(self.connections(self.standby.sql), {})
        self.assertTrue(kit.wait_until(lambda: place.sql("select count(*) from pg_stat_replication where replay_lsn = pg_current_wal_lsn()") == "1"))
        held = self.site.login(READERS[0])
        held.ok("DELE 1")
        self.standby.promote()
        with self.site.connect() as pop:        # the old one may answer yet
            pop.ok("USER " + READERS[0])
            self.assertRegex(pop.cmd("PASS " + kit.PASSWORD), rb"\[IN-USE\]")
        # Of one lane, on which that session is not.
        place.sql("select pg_terminate_backend(min(pid)) from pg_stat_activity where usename = 'postern_mail'"
                  " and pid not in (select pid from pg_locks where locktype = 'advisory')")
        self.assertTrue(kit.wait_until(lambda: self.connections(self.standby.sql)))
        # What is done from now on is done there, whichever process does it.
        self.site.password(READERS[0], "another password")
        self.assertEqual(self.standby.sql("select pg_is_in_recovery()"), "f")
        self.assertTrue(kit.wait_until(lambda: self.delivered(kit.letter(2))))
        self.assertEqual(self.standby.sql("select count(*) from postern.message"), "2")
        self.assertEqual(place.sql("select count(*) from postern.message"), "1")
        for _ in range(12):
            with self.site.connect() as pop:
                pop.ok("USER " + READERS[0])
                self.assertRegex(pop.cmd("PASS " + kit.PASSWORD), rb"^-ERR \[(AUTH|SYS/TEMP)\]")
            with self.site.connect() as pop:
                pop.ok("USER " + READERS[0])
                reply = pop.cmd("PASS another password")
                self.assertRegex(reply, rb"^(\+OK 2 |-ERR \[SYS/TEMP\])")
        held.err("QUIT", "SYS/TEMP")
        held.close()
        # A helper that nobody asks has no reason to look.
        self.assertTrue(kit.wait_until(lambda: self.connections(place.sql).keys() <= {"postern_auth"}), self.site.log_tail())
        self.assertEqual(place.sql("select count(*) from postern.message"), "1")
        # Nor is it taken back when it is all that is left.
        self.standby.stop()
        self.assertTrue(kit.wait_until(lambda: len(re.findall("a primary of an older timeline than one that was met", self.site.log_text())) >= 2))
        with self.site.connect() as pop:
            pop.ok("USER " + READERS[0])
            pop.err("PASS another password", "SYS/TEMP")
        # It is asked who it is each time, and left.
        self.assertTrue(kit.wait_until(lambda: "postern_mail" not in self.connections(place.sql)), self.site.log_tail())

    def deliver(self, message):
        with smtplib.LMTP("127.0.0.1", self.site.lmtp, timeout=30) as lmtp:
            lmtp.sendmail("sender@example.org", [READERS[0]], message)

    def delivered(self, message):
        try:
            self.deliver(message)
            return True
        except (OSError, smtplib.SMTPException):
            return False


class Unconfirmed(unittest.TestCase):
    """A standby that has to confirm each commit and does not exist; somebody cancels the wait: the server commits, and warns."""

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("postern-unconfirmed-", conf=CONF.replace('"1s"', '"30s"') + "database_lanes = 1;\n", lmtp=True, pgconf="fsync = off\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        # Warnings are not for the role to hide.
        cls.site.sql("alter role postern_mail set client_min_messages = error; alter role postern_lmtp set client_min_messages = error")
        cls.site.account(READERS[0], [kit.letter(n) for n in range(3)])
        cls.site.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename like 'postern%'")
        cls.site.wait_lanes()

    def setUp(self):
        self.site.login_soon(READERS[0]).close()
        self.wants("nobody")
        self.addCleanup(self.wants, "")

    def wants(self, names):
        self.site.lab.sql(f"alter system set synchronous_standby_names = '{names}'")
        self.site.lab.sql("select pg_reload_conf()")
        kit.wait_until(lambda: self.site.sql("show synchronous_standby_names") == names)

    def cancel(self, role):
        """What waits for the standby. A worker that waits is asked again until it goes on."""
        self.assertTrue(kit.wait_until(lambda: "t" in self.site.sql(
            f"select pg_cancel_backend(pid) from pg_stat_activity where usename = '{role}' and wait_event = 'SyncRep'")))

    def count(self):
        return int(self.site.sql(f"select count(*) from postern.message where mailbox = {self.site.mailbox(READERS[0])}"))

    def test_quit(self):
        had = self.count()
        pop = self.site.login(READERS[0])
        pop.ok("DELE 1")
        pop.send(b"QUIT\r\n")
        self.cancel("postern_mail")
        self.assertRegex(pop.line(), rb"^-ERR \[SYS/TEMP\] the messages were deleted, but the standby server has not confirmed it: they may come back")
        self.assertEqual(self.count(), had - 1)
        self.assertRegex(self.site.log_text(), r"quit of user=\S+ failed: status=one-server, 1 marked messages may come back")
        self.assertIn("a wait for the synchronous standby was cancelled", self.site.log_text())
        # The lock was given back, and the lane goes on.
        self.wants("")
        with self.site.login(READERS[0]) as again:
            again.ok("QUIT")

    def test_long_wait(self):
        """No other lane could say that the server lives, so one more connection asks: who waits is left alone."""
        pop = self.site.login(READERS[0])
        pop.ok("DELE 1")
        pop.send(b"QUIT\r\n")
        self.assertTrue(kit.wait_until(lambda: self.site.sql("select count(*) from pg_stat_activity where usename = 'postern_mail'"
                                                             " and wait_event = 'SyncRep' and now() - query_start > '9 s'") == "1"))
        self.wants("")
        self.assertRegex(pop.line(), rb"^\+OK")
        self.assertNotIn("on no connection", self.site.log_text())

    def deliver(self, message):
        answers = []

        def run():
            with smtplib.LMTP("127.0.0.1", self.site.lmtp, timeout=30) as lmtp:
                lmtp.ehlo()
                try:
                    lmtp.sendmail("sender@example.org", [READERS[0]], message)
                    answers.append(250)
                except smtplib.SMTPDataError as e:
                    answers.append(e.smtp_code)
        thread = threading.Thread(target=run)
        thread.start()
        self.cancel("postern_lmtp")
        thread.join(30)
        return answers

    def test_delivery(self):
        self.assertEqual(self.deliver(b"Subject: small\r\n\r\ntext\r\n"), [451])

    def test_large_delivery(self):
        self.assertEqual(self.deliver(kit.letter(1, 3_000_000)), [451])

    def test_verb(self):
        """posternctl says so, and fails."""
        found = []
        thread = threading.Thread(target=lambda: found.append(self.site.ctl("tenant", "add", "unsure", check=False)))
        thread.start()
        self.cancel("postern_admin")
        thread.join(30)
        self.assertEqual(found[0].returncode, 1, found[0].stdout)
        self.assertIn(b"a wait for the synchronous standby was cancelled", found[0].stdout)


if __name__ == "__main__":
    unittest.main()
