"""Logins that come together are looked up in one statement, and what happens to one of them does not happen to the others (P6, A10)."""
import re
import unittest
import urllib.request

import kit

NAMES = [f"g{n}@example.org" for n in range(10)]
RAISES = NAMES[3]
CHANGED = "update postern.policy_version set version = postern.next_proof(version)"
# As a provider might: theirs fails for one of them.
FAILS_FOR_ONE = f"""
    alter function postern.credentials(text) rename to own_credentials;
    create function postern.credentials(p_address text)
    returns table (mailbox bigint, address text, active boolean, kind text, label text, secret text)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp
    as $$
    begin
        if p_address = '{RAISES}' then raise 'a row of theirs is broken'; end if;
        return query select * from postern.own_credentials(p_address);
    end $$;
    revoke all on function postern.credentials(text) from public;
    grant execute on function postern.credentials(text) to postern_auth;
    {CHANGED};
"""


class Together(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = kit.lab.free_port()
        cls.site = kit.Site("groups-", kit.QUICK + f'cells = 1; auth_helpers = 2; respawn_pause = "500ms"; metrics_listen = "127.0.0.1:{cls.port}";\n')
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        for name in NAMES:
            cls.site.account(name)
        cls.secrets("{PLAIN}" + kit.PASSWORD)

    @classmethod
    def secrets(cls, text):
        """A quick one, and nobody has logged in with it before."""
        cls.site.sql(f"update postern.credential set secret = '{text}'")

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=kit.PATIENCE) as answer:
            return int(re.search(rf"^postern_{re.escape(name)} (\d+)$", answer.read().decode(), re.M).group(1))

    def gather(self, while_they_wait=lambda: None, password=lambda name: kit.PASSWORD):
        """What all are answered who log in while nobody can be looked up."""
        self.secrets("{PLAIN}" + kit.PASSWORD)
        sessions = []
        psql = self.site.psql()
        self.addCleanup(psql.close)
        psql.ask("begin; lock table postern.credential in access exclusive mode")
        asked = self.metric('pop3_commands_total{command="pass"}')
        for name in NAMES:
            pop = self.site.connect()
            self.addCleanup(pop.close)
            pop.ok("USER " + name)
            pop.send("PASS " + password(name) + "\r\n")
            sessions.append(pop)
        self.assertTrue(kit.wait_until(lambda: self.metric('pop3_commands_total{command="pass"}') == asked + len(NAMES)))
        while_they_wait()
        psql.ask("rollback")
        answers = {name: pop.line() for name, pop in zip(NAMES, sessions)}
        for pop in sessions:
            pop.close()
        return answers

    def test_looked_up_together(self):
        groups, names = self.metric("auth_lookup_groups_total"), self.metric('auth_lookups_total{statement="group"}')
        answers = self.gather()
        self.assertTrue(all(answer.startswith(b"+OK") for answer in answers.values()), answers)
        self.assertGreater(self.metric("auth_lookup_groups_total"), groups)
        self.assertGreaterEqual(self.metric('auth_lookups_total{statement="group"}') - names, 2)

    def test_refusals_are_their_own(self):
        answers = self.gather(password=lambda name: "wrong" if name in NAMES[:2] else kit.PASSWORD)
        for name, answer in answers.items():
            self.assertTrue(answer.startswith(b"-ERR [AUTH]" if name in NAMES[:2] else b"+OK"), answers)

    def test_bad_apple(self):
        """One of a group fails in the database: the others are asked for one by one, and get in."""
        self.site.sql(FAILS_FOR_ONE)
        try:
            answers = self.gather()
        finally:
            self.site.sql(f"drop function postern.credentials(text); alter function postern.own_credentials(text) rename to credentials; {CHANGED}")
        for name, answer in answers.items():
            self.assertTrue(answer.startswith(b"-ERR [SYS/" if name == RAISES else b"+OK"), answers)

    def test_helper_is_killed(self):
        """With a group in its hands: the other one is asked, and nobody is refused."""
        def kill_first():
            before = self.site.tree()[2]
            kit.kill(before[0])

        answers = self.gather(kill_first)
        self.assertTrue(all(re.match(rb"\+OK|-ERR \[SYS/TEMP\]", answer) for answer in answers.values()), answers)
        self.assertTrue(any(answer.startswith(b"+OK") for answer in answers.values()), answers)
        self.assertTrue(kit.wait_until(lambda: all(self.site.login_soon(name).close() is None for name in NAMES[:2])))

    def test_same_rows(self):
        """login_group() tells what login() tells, whatever holds for the mailbox."""
        self.site.ctl("policy", "set", "--mailbox", NAMES[0], "maintenance=later")
        self.site.ctl("domain", "add", "alias.example", "--alias-of", "example.org")
        self.site.sql("select postern.count_failure('nobody@example.org', 600000, 10)")
        self.site.sql("insert into postern.known_address select mailbox, '192.0.2.1', current_date from postern.mailbox "
                      f"where address = '{NAMES[1]}'")
        self.site.ctl("old-server", "add", "old", "old.example:995")
        self.site.ctl("mailbox", "elsewhere", "old", NAMES[1], "--name", "another name")
        self.addCleanup(self.site.ctl, "mailbox", "here", NAMES[1])
        asked = ", ".join(f"('{name}', {network})" for name in (NAMES[0], NAMES[1], "nobody@example.org", "g1@alias.example", NAMES[0])
                          for network in ("null::inet", "'192.0.2.1'"))
        same = "mailbox, address, active, kind, label, secret, domain, tenant, pop3, tls_only, maintenance, login_delay, replace_nul, trace, expire, " \
               "domain_sessions, tenant_sessions, guessed_ms / 60000, known, known_today, version, proof, elsewhere"
        got = self.site.sql(f"with q as (select row_number() over () as n, * from (values {asked}) v (a, net)), "
                            f"alone as (select {same}, q.n from q, postern.login(q.a, q.net, true)), "
                            f"grouped as (select {same}, question as n from (select array_agg(a order by n) as names, array_agg(net order by n) as nets from q) g, "
                            "postern.login_group(g.names, g.nets, true)) "
                            "select (select count(*) from alone), (select count(*) from (table alone except all table grouped) d), "
                            "(select count(*) from (table grouped except all table alone) d)")
        self.assertEqual(got, "10|0|0")


if __name__ == "__main__":
    unittest.main()
