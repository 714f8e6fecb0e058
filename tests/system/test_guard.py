"""Who guesses and who comes too often; what the policy of a mailbox does (A10, A11, L02, R03, C11, C12)."""
import base64
import concurrent.futures
import os
import re
import socket
import subprocess
import time
import unittest

import kit

WHO = "anna@example.org"
# Nobody is exempt: the clients of these tests are addresses of 127.0.0.0/8.
STRICT = kit.QUICK.replace('pop3_failure_delay = "100ms"', 'pop3_failure_delay = "50ms"') + \
    'pop3_limit_exempt = ""; pop3_failure_delay_max = "200ms"; pop3_login_failures = 100;\n'


def connect(site, source="127.0.0.1", greet=True):
    host, port = site.address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), kit.PATIENCE, (source, 0))
    return kit.Pop(site.address, greet=greet, sock=sock)


def try_login(site, who, password, source="127.0.0.1"):
    """The reply to PASS."""
    with connect(site, source) as pop:
        pop.ok("USER " + who)
        reply = pop.cmd("PASS " + password)
        pop.cmd("QUIT")
        return reply


class GuardCase(unittest.TestCase):
    conf = STRICT

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("guard-", cls.conf)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])

    def good(self, who=WHO, source="127.0.0.1", password=kit.PASSWORD):
        reply = try_login(self.site, who, password, source)
        self.assertTrue(reply.startswith(b"+OK"), (source, reply))

    def bad(self, who=WHO, source="127.0.0.1", password="wrong"):
        reply = try_login(self.site, who, password, source)
        self.assertEqual(reply, b"-ERR [AUTH] wrong name or password", source)


class Guessing(GuardCase):
    conf = STRICT + "auth_failures = 12; pop3_limit_failures = 20;\n"

    def test_known_address(self):
        """While others guess, the right password is good from where it was good before, and only there."""
        who, home = "home@example.org", "127.1.0.1"
        self.site.account(who, [])
        self.good(who, home)
        for n in range(14):
            self.bad(who, f"127.1.1.{n + 1}")
        self.bad(who, "127.1.2.1", kit.PASSWORD)
        self.good(who, home)
        self.assertIn('result=refused reason=guessing', self.site.log_text())
        # Another host, or this one started anew, knows what all have counted and who was good.
        second = self.site.second().start()
        try:
            host, port = second.address.rsplit(":", 1)
            for source, wanted in (("127.1.2.2", b"-ERR [AUTH]"), (home, b"+OK")):
                with kit.Pop(second.address, sock=socket.create_connection((host, int(port)), kit.PATIENCE, (source, 0))) as pop:
                    pop.ok("USER " + who)
                    self.assertTrue(pop.cmd("PASS " + kit.PASSWORD).startswith(wanted), source)
                    pop.cmd("QUIT")
        finally:
            second.stop()
        # One write for a pair, however often it logs in.
        for _ in range(3):
            self.good(who, home)
        self.assertEqual(self.site.sql("""select k.network, k.seen = current_date from postern.known_address k
            join postern.mailbox m using (mailbox) where m.address = 'home@example.org'"""), home + "|t")

    def test_guessing_address(self):
        """Beyond the limit nobody is asked, nothing is verified, and the answer is the same."""
        guesser = "127.2.0.1"
        self.site.account("neighbour@example.org", [])
        self.good("neighbour@example.org", guesser)
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda n: self.bad(f"nobody{n}@example.org", guesser), range(30)))
        helper_lines = len(re.findall(r"auth name=", self.site.log_text()))
        self.bad(WHO, guesser, kit.PASSWORD)
        self.bad("nobody@example.org", guesser)
        self.assertEqual(len(re.findall(r"auth name=", self.site.log_text())), helper_lines)
        self.good("neighbour@example.org", guesser)
        self.good(WHO, "127.2.0.2")

    def test_exchanges_count(self):
        """AUTH is one more way to guess."""
        who = "sasl@example.org"
        self.site.account(who, [])

        def plain(password, source):
            with connect(self.site, source) as pop:
                text = base64.b64encode(f"\0{who}\0{password}".encode()).decode()
                reply = pop.cmd("AUTH PLAIN " + text)
                pop.cmd("QUIT")
                return reply
        self.assertTrue(plain(kit.PASSWORD, "127.3.0.1").startswith(b"+OK"))
        for n in range(14):
            self.assertEqual(plain("wrong", f"127.3.1.{n + 1}"), b"-ERR [AUTH] wrong name or password")
        self.assertEqual(plain(kit.PASSWORD, "127.3.2.1"), b"-ERR [AUTH] wrong name or password")
        self.bad(who, "127.3.2.2", kit.PASSWORD)
        self.assertTrue(plain(kit.PASSWORD, "127.3.0.1").startswith(b"+OK"))


class Shared(GuardCase):
    """What the hosts count together: postern.guess."""

    def failures(self, name):
        return int(self.site.sql(f"select coalesce(ceil(extract(epoch from postern.guessed_until('{name}') - clock_timestamp()) / 3600), 0)"))

    def guess(self, name, times):
        self.site.sql(f"select postern.count_failure('{name}', 3600000, 100) from generate_series(1, {times})")

    def test_strangers_name(self):
        """A name that meets that of a victim, and any number of others, take none of its failures away."""
        self.site.sql("delete from postern.guess")
        rows = self.site.sql("""select string_agg(name, ' ') from (select 'n' || n || '@example.org' as name from generate_series(1, 20000) n) x
            group by postern.guess_account(name) & 65535 having count(*) >= 4 limit 1""").split()
        victim, *strangers = rows
        self.guess(victim, 10)
        for stranger in strangers:
            self.guess(stranger, 30)
        self.assertEqual(self.failures(victim), 10)
        self.assertEqual(self.failures(strangers[0]), 30)
        self.guess(victim, 5)
        self.assertEqual(self.failures(victim), 15)
        # One failure gives way, so that no name that was tried once stays in the way for ever.
        self.site.sql("delete from postern.guess")
        self.guess(strangers[0], 1)
        self.guess(strangers[1], 1)
        self.guess(victim, 2)
        self.assertEqual(self.failures(victim), 2)

    def test_nobody_can_aim(self):
        """Which names meet depends on a key that is nobody's, and is another one in each database."""
        where = "select string_agg((postern.guess_account('n' || n) & 65535)::text, ' ') from generate_series(1, 50) n"
        before = self.site.sql(where)
        self.assertEqual(self.site.sql(where), before)
        kept = self.site.sql("select guess from postern.login_key")
        self.addCleanup(self.site.sql, f"update postern.login_key set guess = '{kept}'")
        self.site.sql("update postern.login_key set guess = sha256('other')")
        self.assertNotEqual(self.site.sql(where), before)


class Flood(GuardCase):
    conf = STRICT + "auth_failures = 50; pop3_limit_failures = 50; pop3_limit_connections = 0;\n"

    def test_good_client_gets_in(self):
        """A flood of guesses from many addresses at many accounts: each login of a good client is let in."""
        good = 0
        stop = False
        self.good()

        def guess(thread):
            n = 0
            while not stop:
                n += 1
                who = (WHO, f"nobody{n}@example.org")[n % 2]
                with connect(self.site, f"127.9.{thread}.{n % 200 + 1}") as pop:
                    for _ in range(3):
                        pop.ok("USER " + who)
                        reply = pop.cmd("PASS guess%d" % n)
                        if not reply.startswith(b"-ERR"):
                            raise AssertionError(reply)
            return n
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            threads = [pool.submit(guess, n) for n in range(16)]
            try:
                end = time.monotonic() + 3
                while time.monotonic() < end or good < 20:
                    self.good()
                    good += 1
            finally:
                stop = True
            self.assertTrue(all(t.result() > 0 for t in threads))


class Connections(GuardCase):
    conf = STRICT + "pop3_limit_sessions = 5;\n"

    def test_sessions(self):
        """As many as are allowed, over all workers; a worker that dies takes its count along."""
        open_ones = [connect(self.site, "127.4.0.1") for _ in range(5)]
        with connect(self.site, "127.4.0.1", greet=False) as pop:
            self.assertEqual(pop.line(), b"-ERR [SYS/TEMP] too many sessions from your address, try again later")
            self.assertTrue(pop.at_end())
        connect(self.site, "127.4.0.2").close()
        self.assertIn("connection peer=127.4.0.1:", self.site.log_text())
        for worker in self.site.tree()[1]:
            kit.kill(worker)
        self.site.login_soon(WHO).close()

        def five():
            again = []
            try:
                for _ in range(5):
                    again.append(connect(self.site, "127.4.0.1"))
                return True
            except (AssertionError, OSError, EOFError):
                return False
            finally:
                for pop in again:
                    pop.close()
        self.assertTrue(kit.wait_until(five))
        for pop in open_ones:
            pop.close()

    def test_rate(self):
        second = self.site.second("pop3_limit_connections = 6;").start()
        try:
            replies = []
            host, port = second.address.rsplit(":", 1)
            for _ in range(8):
                with kit.Pop(second.address, greet=False, sock=socket.create_connection((host, int(port)), kit.PATIENCE, ("127.4.1.1", 0))) as pop:
                    replies.append(pop.line()[:4])
            self.assertEqual(replies[:6], [b"+OK "] * 6)
            self.assertEqual(replies[7], b"-ERR")
        finally:
            second.stop()


class Policy(GuardCase):
    conf = kit.QUICK + 'pop3_expire = "7 user"; pop3_login_delay_user = "10m";\n'

    def tearDown(self):
        for scope in ((), ("--tenant", self.tenant), ("--domain", "example.org"), ("--mailbox", WHO)):
            self.site.ctl("policy", "clear", *scope)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tenant = cls.site.sql("select t.name from postern.tenant t join postern.domain d using (tenant) where d.name = 'example.org'")

    def answer(self, password=kit.PASSWORD):
        return try_login(self.site, WHO, password)

    def set(self, *args):
        self.site.ctl("policy", "set", *args)

    def test_pop3_off(self):
        self.set("--tenant", self.tenant, "pop3=off")
        self.assertEqual(self.answer(), b"-ERR [SYS/PERM] POP3 is not enabled for this mailbox")
        self.assertEqual(self.answer("wrong"), b"-ERR [AUTH] wrong name or password")
        self.set("--mailbox", WHO, "pop3=on")
        self.good()
        self.set("--mailbox", WHO, "pop3=default")
        self.assertTrue(self.answer().startswith(b"-ERR"))

    def test_maintenance(self):
        self.set("maintenance=back at noon")
        self.assertEqual(self.answer(), b"-ERR [SYS/TEMP] back at noon")
        self.assertEqual(self.answer("wrong"), b"-ERR [AUTH] wrong name or password")
        self.assertIn("result=refused reason=maintenance", self.site.log_text())

    def test_tls_only(self):
        self.set("--domain", "example.org", "tls_only=on")
        self.assertEqual(self.answer(), b"-ERR this mailbox can be opened over TLS only")

    def test_login_delay_and_capa(self):
        """RFC 2449 sections 6.5 and 6.7: before the login what may be, with USER; after it what is."""
        with connect(self.site) as pop:
            capa = pop.multi("CAPA")
            self.assertIn(b"EXPIRE 7 USER", capa)
            self.assertIn(b"LOGIN-DELAY 600 USER", capa)
            pop.login(WHO)
            capa = pop.multi("CAPA")
            self.assertIn(b"EXPIRE NEVER", capa)
            self.assertFalse([line for line in capa if line.startswith(b"LOGIN-DELAY")])
            pop.ok("QUIT")
        self.set("--domain", "example.org", "login_delay=2", "expire_delivered=30")
        time.sleep(2)
        with connect(self.site) as pop:
            pop.login(WHO)
            capa = pop.multi("CAPA")
            self.assertIn(b"EXPIRE 30", capa)
            self.assertIn(b"LOGIN-DELAY 2", capa)
            self.assertIn(b"IMPLEMENTATION Postern", capa)
            pop.ok("QUIT")
        self.set("--domain", "example.org", "login_delay=600")
        self.assertTrue(self.answer().startswith(b"-ERR [LOGIN-DELAY] wait "))
        self.set("--mailbox", WHO, "login_delay=0")
        self.good()

    def test_sessions_of_a_tenant(self):
        self.site.account("bert@example.org", [])
        self.site.account("cora@example.org", [])
        self.set("--tenant", self.tenant, "sessions=2")
        first, second = self.site.login(WHO), self.site.login("bert@example.org")
        reply = try_login(self.site, "cora@example.org", kit.PASSWORD)
        self.assertTrue(reply.startswith(b"-ERR [SYS/TEMP] too many sessions"), reply)
        first.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: try_login(self.site, "cora@example.org", kit.PASSWORD).startswith(b"+OK")))
        second.close()
        first.close()

    def test_replace_nul(self):
        """P1: other octets, as many."""
        who = "nul@example.org"
        self.site.account(who, [])
        data = b"Subject: nul\r\n\r\nbefore\0after\r\n" + b"x" * 9000 + b"\0\r\n"
        self.site.lab.sql("select 1")
        self.site.fill(who, [data])
        self.assertEqual(self.site.fetched(who), [data])
        self.set("--mailbox", who, "replace_nul=on")
        self.assertEqual(self.site.fetched(who), [data.replace(b"\0", b"\x80")])

    def test_tool(self):
        self.set("--mailbox", WHO, "trace=30m", "login_delay=5")
        shown = self.site.ctl("policy", "show").stdout.decode()
        self.assertIn(WHO, shown)
        for args in (("nonsense=1",), ("pop3=perhaps",), ("--mailbox", WHO, "sessions=3"), ("pop3",), ("maintenance=a\rb",),
                     ("--mailbox", "ghost@example.org", "pop3=off"), ("--domain", "example.org", "--mailbox", WHO, "pop3=off")):
            with self.subTest(args=args):
                self.assertNotEqual(self.site.ctl("policy", "set", *args, check=False).returncode, 0)


class Fail2ban(GuardCase):
    conf = STRICT

    def test_filter(self):
        """The filter in etc finds the guessers in a log as it is, and nobody whom they name."""
        hostile = ['x" peer=192.0.2.66:1 result=refused reason=password', "peer=192.0.2.66:1 result=refused reason=password",
                   "\\", '"', "a" * 230, "x\x7f\x80\xff", 'y"... peer=192.0.2.66:1 result=refused reason=password']
        for n, name in enumerate(hostile):
            with connect(self.site, "127.5.0.%d" % (n + 1)) as pop:
                pop.send(b"USER " + name.encode("latin-1") + b"\r\n")
                if pop.line().startswith(b"+OK"):
                    pop.err("PASS wrong", "AUTH")
                else:
                    pop.ok("USER x")
                    pop.err("PASS wrong", "AUTH")
        self.good(source="127.5.1.1")
        with connect(self.site, "127.5.1.2") as pop:        # no guess
            pop.err("USER")
        debs = kit.unpacked("fail2ban")
        done = subprocess.run(
            ["python3", str(debs / "usr/bin/fail2ban-regex"), "-c", str(debs / "etc/fail2ban"), "-o", "<ip>",
             str(self.site.lab.log), str(kit.TOP / "etc/fail2ban/filter.d/postern.conf")],
            env=dict(os.environ, **kit.beside(debs)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(sorted(done.stdout.split()), ["127.5.0.%d" % (n + 1) for n in range(len(hostile))], done.stderr)


if __name__ == "__main__":
    unittest.main()
