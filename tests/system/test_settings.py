"""What a database, a role or a connection string sets for its sessions must not change what the programs do."""
import re
import signal
import smtplib
import threading
import time
import unittest

import kit

BOXES = [f"settings{n}@example.org" for n in range(3)]
CONF = kit.QUICK + 'cells = 1; database_retry = "500ms"; database_statement_timeout = "20s"; pop3_login_delay = "0s";\n'
SECONDS = 5


class Traffic:
    """Sessions that delete, polls, deliveries and imports beside each other; what fails is kept."""

    def __init__(self, site):
        self.site, self.failures, self.done = site, [], {}
        self.until = time.monotonic() + SECONDS

    def each(self, name, step):
        while time.monotonic() < self.until:
            try:
                step()
                self.done[name] = self.done.get(name, 0) + 1
            except (OSError, EOFError, AssertionError, smtplib.SMTPException) as e:
                if b"IN-USE" not in str(e).encode() and b"locked" not in str(e).encode():
                    self.failures.append(f"{name}: {e}")
                time.sleep(0.05)

    def delete(self, box):
        with self.site.login(box) as pop:
            count, _ = pop.stat()
            for n in range(1, min(count, 5) + 1):
                pop.retr(n)
                pop.ok(f"DELE {n}")
            pop.ok("QUIT")

    def deliver(self):
        with smtplib.LMTP("127.0.0.1", self.site.lmtp, timeout=30) as lmtp:
            for n in range(20):
                lmtp.sendmail("s@sender.example", BOXES[n % 3], kit.letter(n, 3000))

    def bring(self):
        self.site.deliver(BOXES[0], [kit.letter(n) for n in range(20)])

    def run(self):
        steps = [("delete", lambda box=box: self.delete(box)) for box in BOXES]
        steps += [("poll", lambda: self.site.login(BOXES[2]).cmd("QUIT")), ("deliver", self.deliver), ("deliver", self.deliver),
                  ("import", self.bring)]
        threads = [threading.Thread(target=self.each, args=step) for step in steps]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return self


class Settings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("settings-", CONF, lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        for box in BOXES:
            cls.site.account(box, [kit.letter(n) for n in range(30)])

    def anew(self):
        """All connections of the programs."""
        self.site.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename like 'postern%'")
        self.site.wait_lanes()
        self.site.login_soon(BOXES[0]).close()
        kit.wait_until(lambda: self.site.sql("select count(*) from pg_stat_activity where usename = 'postern_lmtp'") == "4")

    def under(self, *settings):
        for setting in settings:
            self.site.lab.sql(f"alter database postern set {setting}", "postgres")
        try:
            self.anew()
            before = len(self.site.log_text())
            traffic = Traffic(self.site).run()
            time.sleep(1.5)             # for a time-out of connections that rest
            self.site.login(BOXES[1]).close()
            log = self.site.log_text()[before:]
        finally:
            self.site.lab.sql("alter database postern reset all", "postgres")
            self.anew()
        self.assertEqual(traffic.failures[:5], [])
        # anew() has ended connections of auth helpers that were not used yet.
        self.assertEqual([line for line in log.splitlines() if re.search("result=(retry|lost|bug)|was lost|could not(?! connect)", line) and
                          "administrator command" not in line][:5], [])
        for name in ("delete", "poll", "deliver", "import"):
            self.assertGreater(traffic.done.get(name, 0), 0, name)
        self.site.checked()

    def test_repeatable_read(self):
        self.under("default_transaction_isolation = 'repeatable read'")

    def test_serializable(self):
        self.under("default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on")

    def test_time_outs(self):
        self.under("idle_session_timeout = '1s'", "lock_timeout = '1ms'", "statement_timeout = '150ms'",
                   "idle_in_transaction_session_timeout = '1ms'")

    def test_read_only(self):
        self.under("default_transaction_read_only = on")

    def test_how_texts_are_written(self):
        self.under("bytea_output = 'escape'", "datestyle = 'German'", "intervalstyle = 'sql_standard'", "timezone = 'Asia/Kathmandu'",
                   "standard_conforming_strings = off", "backslash_quote = off", "array_nulls = off", "extra_float_digits = -15",
                   "client_encoding = 'LATIN1'", "search_path = 'nowhere'")

    def test_session_replication_role(self):
        """Triggers would not fire. Only a superuser can set it, so a program cannot set it back: it says so and does not go on."""
        self.site.sql("alter role postern_mail set session_replication_role = replica")
        try:
            self.site.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postern_mail'")
            self.assertTrue(kit.wait_until(lambda: 'permission denied to set parameter "session_replication_role"' in self.site.log_text()),
                            self.site.log_tail())
            with self.site.connect() as pop:
                pop.ok("USER " + BOXES[0])
                pop.err("PASS " + kit.PASSWORD, "SYS/TEMP")
        finally:
            self.site.sql("alter role postern_mail reset all")
        self.site.wait_lanes()
        self.site.login_soon(BOXES[0]).close()

    def test_what_users_set(self):
        """In the connection string; it says the same to posternctl and to a session under inetd."""
        other = self.site.second("""database = "host=%s port=5432 dbname=postern options='-c default_transaction_isolation=serializable"""
                                 """ -c statement_timeout=150 -c default_transaction_read_only=on'";\n""" % self.site.lab.sockets)
        try:
            other.start()
            with kit.Pop(other.address) as pop:
                pop.login(BOXES[2])
                pop.ok("DELE 1")
                pop.ok("QUIT")
        finally:
            other.stop()


class Crash(unittest.TestCase):
    """A role may set its own defaults, on all hosts and for good: what QUIT acknowledged is on disk all the same."""

    @classmethod
    def setUpClass(cls):
        # Nothing that was not waited for reaches the disk by itself.
        cls.site = kit.Site("crash-", CONF, pgconf="wal_writer_delay = '10s'\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.boxes = [f"crash{n}@example.org" for n in range(8)]
        for box in cls.boxes:
            cls.site.account(box, [kit.letter(n) for n in range(3)])

    def crash(self):
        place = self.site.lab
        kit.lab.signal_all(place.pg_pids(), signal.SIGKILL)
        kit.wait_until(lambda: not place.pg_pids())
        place.pg_start()

    def after_crash(self):
        """What is left in each, of three messages of which QUIT has removed one."""
        self.site.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename like 'postern%'")
        self.site.wait_lanes()
        sessions = [self.site.login_soon(box) for box in self.boxes]
        for pop in sessions:
            pop.ok("DELE 1")
        for pop in sessions:
            pop.ok("QUIT")
        self.crash()
        self.site.wait_lanes()
        return [int(self.site.sql(f"select count(*) from postern.message where mailbox = {self.site.mailbox(box)}")) for box in self.boxes]

    def test_role_says_off(self):
        for role in ("postern_mail", "postern_auth"):
            self.site.sql(f"set session authorization {role}; alter role {role} set synchronous_commit = off")
        self.addCleanup(self.site.sql, "alter role postern_mail reset all; alter role postern_auth reset all")
        self.assertEqual(self.after_crash(), [2] * 8)

    def test_server_says_off(self):
        """And the connection is one that says nothing of its own: the function waits for the disk."""
        self.site.account("alone@example.org", [kit.letter(1)])
        number = self.site.mailbox("alone@example.org")
        self.site.sql(f"set synchronous_commit = off; select pg_advisory_lock(postern.lock_key({number})) from generate_series(1, 2);"
                      f" select postern.expunge({number}, '{{1}}', 's', 'p', 1, '{{}}', 0, null)")
        self.crash()
        self.assertEqual(self.site.sql(f"select count(*) from postern.message where mailbox = {number}"), "0")
        self.site.wait_lanes()


class Conflicts(unittest.TestCase):
    """A deadlock or a serialization failure is rolled back and tried again; three times in all. Tries are counted by a sequence, which no rollback undoes."""

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("conflicts-", CONF, lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.sql("""create sequence public.tries;
            create function public.give_way() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$begin
                if nextval('public.tries') < tg_argv[0]::bigint then raise 'a made-up conflict' using errcode = tg_argv[1]; end if;
                return null;
            end$$""")

    def setUp(self):
        self.letters = [kit.letter(n) for n in range(4)]
        self.site.account(BOXES[0], self.letters)
        self.addCleanup(self.site.checked)

    def conflict(self, when, tries, state="40P01"):
        self.site.sql(f"""select setval('public.tries', 1, false); drop trigger if exists give_way on {when.split()[-1]};
            create trigger give_way after {when} for each statement execute function public.give_way('{tries}', '{state}')""")
        self.addCleanup(self.site.sql, f"drop trigger if exists give_way on {when.split()[-1]}")

    def tried(self):
        return int(self.site.sql("select last_value from public.tries"))

    def test_quit(self):
        for tries, state in ((3, "40P01"), (2, "40001")):
            self.conflict("delete on postern.message", tries, state)
            with self.site.login(BOXES[0]) as pop:
                pop.ok("DELE 1")
                pop.ok("QUIT")
            self.assertEqual(self.tried(), tries)
        self.assertEqual(self.site.fetched(BOXES[0]), self.letters[2:])
        self.assertEqual(self.site.sql("select count(*) from pg_locks where locktype = 'advisory'"), "0")

    def test_quit_in_vain(self):
        self.conflict("delete on postern.message", 4)
        with self.site.login(BOXES[0]) as pop:
            pop.ok("DELE 1")
            pop.err("QUIT", "SYS/TEMP")
        self.assertEqual(self.tried(), 3)
        self.assertEqual(self.site.fetched(BOXES[0]), self.letters)

    def test_quit_when_somebody_was_faster(self):
        """Between the unlocking and the second try: then nothing is removed, and that is certain."""
        self.site.sql("""create or replace function public.lock_it() returns trigger language plpgsql as $$begin
                if nextval('public.tries') < 2 then perform pg_sleep(0.3); raise 'a made-up conflict' using errcode = '40P01'; end if;
                return null; end$$""")
        number = self.site.mailbox(BOXES[0])
        with self.site.psql() as other:
            self.site.sql("select setval('public.tries', 1, false); create trigger give_way after delete on postern.message"
                          " for each statement execute function public.lock_it()")
            self.addCleanup(self.site.sql, "drop trigger if exists give_way on postern.message")
            pop = self.site.login(BOXES[0])
            pop.ok("DELE 1")
            pop.send(b"QUIT\r\n")
            # It waits in line for the lock, and so has it as soon as it is given back.
            other.ask(f"select pg_advisory_lock(postern.lock_key({number}))")
            reply = pop.line()
            pop.close()
        self.assertRegex(reply, rb"^(\+OK|-ERR \[SYS/TEMP\] (?!.*may or may not))")
        self.assertEqual(len(self.site.fetched(BOXES[0])), 3 if reply.startswith(b"+OK") else 4)

    def test_delivery(self):
        self.conflict("insert on postern.message", 3)
        with smtplib.LMTP("127.0.0.1", self.site.lmtp, timeout=30) as lmtp:
            lmtp.sendmail("s@sender.example", BOXES[0], kit.letter(9))
        self.assertEqual(len(self.site.fetched(BOXES[0])), 5)

    def test_recipient(self):
        """A provider's resolve() writes down whom it has found."""
        name = "postern.resolve(text[], text[], bigint, text)"
        was = self.site.sql(f"select pg_get_functiondef('{name}'::regprocedure)")
        self.addCleanup(self.site.sql, was)
        self.site.sql(was.replace("postern.resolve(", "public.resolve_was("))
        self.site.sql("""select setval('public.tries', 1, false);
            create or replace function postern.resolve(p_addresses text[], p_bases text[], p_octets bigint, p_postmaster text)
            returns table (n integer, verdict integer, mailbox bigint) language plpgsql security definer as $$begin
                if nextval('public.tries') < 3 then raise 'a made-up conflict' using errcode = '40P01'; end if;
                return query select * from public.resolve_was(p_addresses, p_bases, p_octets, p_postmaster);
            end$$""")
        with smtplib.LMTP("127.0.0.1", self.site.lmtp, timeout=30) as lmtp:
            lmtp.sendmail("s@sender.example", BOXES[0], kit.letter(9))
        self.assertEqual(self.tried(), 3)
        self.assertEqual(len(self.site.fetched(BOXES[0])), 5)

    def test_import(self):
        """Small ones, of which the second batch is gathered meanwhile, and a large one; each once, in their order."""
        more = [kit.letter(n, 400) for n in range(100, 1300)] + [kit.letter(7, 5_000_000), kit.letter(8)]
        for when in ("insert on postern.message", "insert on postern.content_part"):
            self.site.account(BOXES[1], [])
            self.conflict(when, 3)
            self.site.deliver(BOXES[1], more)
            self.assertEqual(self.site.fetched(BOXES[1]), more)
            self.site.sql(f"drop trigger give_way on {when.split()[-1]}")

    def test_import_of_a_large_message(self):
        self.site.account(BOXES[1], [])
        self.conflict("insert on postern.message", 3)
        self.site.deliver(BOXES[1], [kit.letter(7, 5_000_000)])
        self.assertEqual(self.site.fetched(BOXES[1]), [kit.letter(7, 5_000_000)])

    def test_verb(self):
        self.conflict("insert on postern.tenant", 3)
        self.site.ctl("tenant", "add", "twice")
        self.assertEqual(self.tried(), 3)
        self.site.sql("drop trigger give_way on postern.tenant")
        self.conflict("insert on postern.tenant", 9)
        self.assertIn("a made-up conflict", self.site.ctl("tenant", "add", "never", check=False).stdout.decode())
        self.assertEqual(self.tried(), 3)


class Partings(unittest.TestCase):
    """Why a connection was ended is in the log, in the server's words, and once."""

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("partings-", CONF.replace("cells = 1;", "cells = 1; database_lanes = 3;"))
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(BOXES[0], [kit.letter(1)])

    def test_ended_by_an_operator(self):
        for _ in range(4):
            self.site.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postern_mail'")
            kit.wait_until(lambda: "was lost" in self.site.log_text())
            self.site.wait_lanes()
        # It ends before the next test begins: PostgreSQL's last words are lost on who is just asking something.
        with self.site.login_soon(BOXES[0]) as pop:
            pop.ok("QUIT")
        log = self.site.log_text()
        self.assertIn("was lost: terminating connection due to administrator command (SQLSTATE 57P01)", log)
        self.assertNotIn("closed the connection unexpectedly", log)
        # Twelve losses; another line comes after a minute.
        self.assertEqual(log.count("was lost"), 1)

    def test_shutdown(self):
        before = len(self.site.log_text())
        self.site.pg_restart("immediate")
        self.site.wait_lanes()
        self.site.login_soon(BOXES[0]).close()
        log = self.site.log_text()[before:]
        self.assertRegex(log, "was lost: terminating connection (due to immediate shutdown command|because of crash)")
        self.assertNotIn("closed the connection unexpectedly", log)


if __name__ == "__main__":
    unittest.main()
