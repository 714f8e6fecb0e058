"""What several sessions ask at once, in one statement: each gets what it would get alone.

How questions gather and what becomes of a group is in tests/unit/test_pg_group.c.
"""
import pathlib
import re
import sys
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit                                                              # noqa: E402
from test_tickets import Role, TWO_MINUTES                              # noqa: E402

USERS = [f"u{n}@one.example" for n in range(12)]
LONG = 501      # messages: more than a group lists


class Groups(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = kit.lab.free_port()
        cls.site = kit.Site("groups-", conf=kit.QUICK + f'cells = 1; metrics_listen = "127.0.0.1:{cls.port}";\n')
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        for n, who in enumerate(USERS):
            cls.site.account(who, [kit.letter(i) for i in range(n)])
        cls.boxes = [cls.site.mailbox(who) for who in USERS]

    # ------------------------------------------------------------- the statements

    def ticket(self, mailbox, pid, proof=0, version=0):
        return self.site.sql(f"""with t as (select '\\x01'::bytea || int8send({mailbox}) || int8send({proof}) || int8send({version})
                || int4send({pid}) || int8send(postern.now_ms() + {TWO_MINUTES}) as text)
            select t.text || postern.signed(k, t.text) from t, postern.ticket_key k order by k.key desc limit 1""")

    def role(self):
        role = Role(self.site, "postern_mail")
        self.addCleanup(role.close)
        return role

    def locks(self):
        return int(self.site.sql("select count(*) from pg_locks where locktype = 'advisory'"))

    @staticmethod
    def ask_all(members):
        """members: mailbox, uidvalidity, next_uid, expunges, proof, version, ticket of each."""
        arrays = []
        for column, kind in zip(zip(*members), ["bigint"] * 6 + ["bytea"], strict=True):
            arrays.append("array[" + ",".join("null" if v is None else f"'{v}'" for v in column) + f"]::{kind}[]")
        return "select * from postern.open_maildrops(" + ", ".join(arrays) + ")"

    @staticmethod
    def ask_one(member):
        return "select * from postern.open_maildrop(" + ", ".join("null" if v is None else f"'{v}'" for v in member) + ")"

    def test_same_as_alone(self):
        """Each kind of login, in one group and one by one: the same row, or none where alone there is an error."""
        role, other = self.role(), self.role()
        site, box = self.site, self.boxes
        version = int(site.sql("select version from postern.policy_version"))
        proof = [int(site.sql(f"select proof from postern.mailbox where mailbox = {b}")) for b in box]
        state = [site.sql(f"select uidvalidity, next_uid, expunges from postern.mailbox where mailbox = {b}").split("|") for b in box]
        site.sql(f"update postern.mailbox set enabled = false where mailbox = {box[3]}")
        self.addCleanup(site.sql, f"update postern.mailbox set enabled = true where mailbox = {box[3]}")
        held = self.ticket(box[4], other.pid)
        self.assertEqual(other.ask(self.ask_one((box[4], None, None, None, None, None, held))).split("|")[0], "0")
        none = (None, None, None)

        def secrets(n, known=none):
            return (box[n], *known, None, None, self.ticket(box[n], role.pid))

        def cached(n, p, v, known=none):
            return (box[n], *known, p, v, self.ticket(box[n], role.pid, p, v))
        members = [
            secrets(0), secrets(1), secrets(5, state[5]),                               # nothing in it, one, and nothing new
            secrets(6, (state[6][0], 4, state[6][2])),                                  # 4, 5 and 6 are new
            secrets(7, (state[7][0], state[7][1], int(state[7][2]) + 1)),               # removed since then: all of it
            cached(8, proof[8], version, state[8]),                                     # it holds
            cached(9, proof[9] - 1, version), cached(10, proof[10], version - 1),       # it does not
            secrets(3), secrets(4),                                                     # disabled; held by somebody else
            (box[2], *none, None, None, self.ticket(box[1], role.pid)),                 # no ticket for it
            (box[11], *none, None, None, self.ticket(box[11], other.pid)),              # not for this connection
            (2 ** 40, *none, None, None, self.ticket(2 ** 40, role.pid)),               # no such mailbox
        ]
        rows = {int(line.split("|")[0]): line.split("|", 1)[1] for line in role.ask(self.ask_all(members)).splitlines()}
        self.assertEqual(set(rows), {n for n in range(1, 14) if n not in (11, 12)})
        self.assertEqual([rows[n][0] for n in sorted(rows)], list("00000022212"))
        self.assertTrue(rows[4].endswith("|f|{4,5,6}|" + rows[4].split("|")[-2] + "|"), rows[4])
        given_back = role.ask("select * from postern.close_maildrops(array[%s])" % ",".join(str(m[0]) for m in members[:6]))
        self.assertEqual(given_back.split(), [f"{n}|t" for n in range(1, 7)])
        self.assertEqual(self.locks(), 1)           # the other's
        for n, member in enumerate(members, 1):
            with self.subTest(n=n):
                alone = role.ask(self.ask_one(member))
                if n in (11, 12):
                    self.assertIn("ERROR:  PN401", alone)
                elif rows[n][0] == "0":
                    self.assertEqual(alone, rows[n])
                else:
                    self.assertEqual((alone[:2], rows[n]), (rows[n][:2], rows[n][0] + "|||||||"))
        role.ask("select postern.close_maildrop(b) from unnest(array[%s]) b" % ",".join(str(m[0]) for m in members[:6]))
        self.assertEqual(other.ask(f"select postern.close_maildrop({box[4]})"), "t")
        self.assertEqual(self.locks(), 0)

    def test_nothing_new(self):
        """All that is known is still true, or is not of one of them, for whatever reason: the same as alone."""
        role, other = self.role(), self.role()
        site, box = self.site, self.boxes
        version = int(site.sql("select version from postern.policy_version"))
        rows = [site.sql(f"select uidvalidity, next_uid, expunges, proof from postern.mailbox where mailbox = {b}").split("|") for b in box]
        site.sql(f"update postern.mailbox set enabled = false where mailbox = {box[3]}")
        self.addCleanup(site.sql, f"update postern.mailbox set enabled = true where mailbox = {box[3]}")
        other.ask(self.ask_one((box[4], None, None, None, None, None, self.ticket(box[4], other.pid))))

        def member(n, validity=0, uid=0, gone=0, proof=0, old=0, whose=None, pid=role.pid):
            known = [int(v) + more for v, more in zip(rows[n], (validity, uid, gone, proof), strict=True)]
            return (box[n], *known, version - old, self.ticket(box[n if whose is None else whose], pid, known[3], version - old))
        good = [member(n) for n in range(8) if n not in (3, 4)]
        asked = role.ask(self.ask_all(good)).splitlines()
        self.assertEqual(asked, [f"{n}|0|{m[1]}|{m[2]}|{m[3]}|f|||" for n, m in enumerate(good, 1)])
        self.assertEqual(self.locks(), len(good) + 1)
        role.ask("select postern.close_maildrop(b) from unnest(array[%s]) b" % ",".join(str(m[0]) for m in good))
        others = {
            "disabled": member(3), "held": member(4), "of another": member(8, whose=9), "another connection": member(8, pid=other.pid),
            "another life": member(8, validity=-1), "new mail": member(8, uid=-1), "removed": member(8, gone=-1),
            "another password": member(8, proof=-1), "another policy": member(8, old=1),
        }
        for why, m in others.items():
            with self.subTest(why):
                alone = role.ask(self.ask_one(m))
                role.ask(f"select postern.close_maildrop({m[0]})")
                both = role.ask(self.ask_all([good[0], m])).splitlines()
                self.assertEqual(both[0], asked[0])
                if "PN401" in alone:
                    self.assertEqual(len(both), 1)
                elif alone[0] == "0":
                    self.assertEqual(both[1], "2|" + alone)
                else:
                    self.assertEqual(both[1:], [f"2|{alone[0]}|||||||"])
                role.ask(f"select postern.close_maildrops(array[{good[0][0]}, {m[0]}])")
                self.assertEqual(self.locks(), 1)
        self.assertEqual(other.ask(f"select postern.close_maildrop({box[4]})"), "t")

    def test_long_listing(self):
        """Not in a group, where others would wait for it: no row, and no lock."""
        role = self.role()
        self.site.sql(f"update postern.mailbox set messages = messages + {LONG} where mailbox = {self.boxes[1]}")
        try:
            members = [(self.boxes[n], None, None, None, None, None, self.ticket(self.boxes[n], role.pid)) for n in (0, 1, 2)]
            self.assertEqual([line.split("|")[:2] for line in role.ask(self.ask_all(members)).splitlines()], [["1", "0"], ["3", "0"]])
            self.assertEqual(self.locks(), 2)
        finally:
            self.site.recount(USERS[1])

    def test_failure_leaves_nothing(self):
        """An error behind the locks, and a time that ran out: none is left."""
        role = self.role()
        members = [(b, None, None, None, None, None, self.ticket(b, role.pid)) for b in self.boxes]
        self.site.sql("alter table postern.message rename column octets to gone")
        try:
            role.refused(self.ask_all(members), "42703")
            self.assertEqual(self.locks(), 0)
        finally:
            self.site.sql("alter table postern.message rename column gone to octets")
        blocker = self.site.psql()
        self.addCleanup(blocker.close)
        blocker.ask("begin; lock table postern.message in access exclusive mode")
        role.ask("set statement_timeout = 200")
        role.refused(self.ask_all(members), "57014")
        self.assertEqual(self.locks(), 0)
        blocker.ask("rollback")

    def test_reading(self):
        """Each their own messages, as alone; nothing without the lock, and nothing that is not in the maildrop."""
        role, other = self.role(), self.role()
        tickets = [self.ticket(b, role.pid) for b in self.boxes]
        for n in (3, 5, 7):
            self.assertEqual(role.ask(self.ask_one((self.boxes[n], None, None, None, None, None, tickets[n]))).split("|")[0], "0")
        held = self.ticket(self.boxes[9], other.pid)
        self.assertEqual(other.ask(self.ask_one((self.boxes[9], None, None, None, None, None, held))).split("|")[0], "0")
        wanted = [(3, [1, 2]), (9, [1]), (5, [4]), (5, []), (7, [2, 3, 99]), (8, [1])]
        uids = [u for _, some in wanted for u in some]
        rows = role.ask("select n, uid, part, length(data), md5(data) from postern.fetch_parts_group(array[%s]::bigint[], array[%s]::bigint[], array[%s], %s, %s, array[%s]::bytea[])" % (
            ",".join(str(self.boxes[n]) for n, _ in wanted), ",".join(map(str, uids)), ",".join(str(len(some)) for _, some in wanted),
            "array_fill(0, array[6])", "array_fill(9, array[6])", ",".join(f"'{held if n == 9 else tickets[n]}'" for n, _ in wanted)))
        alone = []
        for n, (of, some) in enumerate(wanted, 1):
            if of in (3, 5, 7):
                alone += role.ask(f"select {n}, uid, part, length(data), md5(data) from postern.fetch_parts({self.boxes[of]}, array{some}::bigint[], 0, 9, '{tickets[of]}')").splitlines()
        self.assertEqual([line for line in rows.splitlines() if not line.startswith("WARNING")], alone)
        self.assertEqual(len(alone), 5)
        role.ask("select * from postern.close_maildrops(array[%s])" % ",".join(str(self.boxes[n]) for n in (3, 5, 7)))
        other.ask(f"select postern.close_maildrop({self.boxes[9]})")
        self.assertEqual(self.locks(), 0)

    # ------------------------------------------------------------- the program

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as reply:
            return dict(re.findall(r"^postern_(\S+) (\d+)", reply.read().decode(), re.M))

    def together(self, whom):
        """Logs in, the passwords known, while the database is held up: connections that have sent PASS and wait."""
        for who in whom:
            self.site.login(who).close()
        self.assertTrue(kit.wait_until(lambda: self.locks() == 0))
        blocker = self.site.psql()
        self.addCleanup(blocker.close)
        blocker.ask("begin; lock table postern.tenant in access exclusive mode")
        verdicts = int(self.metrics()["auth_wait_seconds_count"])
        pops = []
        for who in whom:
            pops.append(self.site.connect())
            self.addCleanup(pops[-1].close)
            pops[-1].ok("USER " + who)
            pops[-1].send(b"PASS " + kit.PASSWORD.encode() + b"\r\n")
        self.assertTrue(kit.wait_until(lambda: int(self.metrics()["auth_wait_seconds_count"]) == verdicts + len(whom)))
        return pops, blocker

    def test_logins(self):
        """Each gets its own maildrop; whoever left or was kicked leaves no lock."""
        before = self.metrics()
        pops, blocker = self.together(USERS)
        pops[2].close()
        blocker.ask("rollback")
        self.site.ctl("kick", USERS[3], check=False)     # as soon as it is open, or while it is being opened
        pops[3].close()
        for n, pop in enumerate(pops):
            if n not in (2, 3):
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertEqual(pop.stat()[0], n)
        for n, pop in enumerate(pops):
            if n not in (2, 3):
                pop.ok("DELE 1") if n == 11 else None
                pop.send(b"QUIT\r\n")
        for n, pop in enumerate(pops):
            if n not in (2, 3):
                self.assertTrue(pop.line().startswith(b"+OK"))
        self.assertTrue(kit.wait_until(lambda: self.locks() == 0))
        after = self.metrics()
        groups, grouped = (int(after[f"database_{name}_total"]) - int(before[f"database_{name}_total"]) for name in ("groups", "grouped"))
        self.assertGreater(groups, 0)
        self.assertGreater(grouped, groups)
        for n in (2, 3):
            self.assertEqual(len(self.site.fetched(USERS[n])), n)
        self.assertEqual(len(self.site.fetched(USERS[11])), 10)
        self.site.fill(USERS[11], [kit.letter(11)])

    def test_messages(self):
        """Read at once by several, of whom one leaves and one quits while it is asked for: each gets theirs."""
        whom = USERS[2:9]
        pops = [self.site.login(who) for who in whom]
        before = int(self.metrics()["database_grouped_total"])
        blocker = self.site.psql()
        self.addCleanup(blocker.close)
        blocker.ask("begin; lock table postern.content_part in access exclusive mode")
        # The first is under way alone; the others gather.
        for n, pop in enumerate(pops):
            pop.send(b"RETR 1\r\n" if n != 5 else b"RETR 2\r\nQUIT\r\n")
            if n == 0:
                self.assertTrue(kit.wait_until(lambda: self.site.sql("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") != "0"))
        self.assertTrue(kit.wait_until(lambda: int(self.metrics()["pop3_commands_total{command=\"retr\"}"]) >= len(pops)))
        pops[3].close()
        blocker.ask("rollback")
        for n, pop in enumerate(pops):
            if n != 3:
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertEqual(b"".join(line + b"\r\n" for line in pop.body()), kit.letter(0 if n != 5 else 1))
                self.assertTrue(pop.line().startswith(b"+OK")) if n == 5 else pop.ok("QUIT")
        self.assertTrue(kit.wait_until(lambda: self.locks() == 0))
        self.assertGreater(int(self.metrics()["database_grouped_total"]), before)

    def test_one_asks_in_vain(self):
        """A group that cannot be asked at all: everybody is asked for alone."""
        name = "open_maildrops(bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bytea[])"
        self.site.sql(f"revoke execute on function postern.{name} from postern_mail")
        try:
            pops, blocker = self.together(USERS[:8])
            blocker.ask("rollback")
            for n, pop in enumerate(pops):
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertEqual(pop.stat()[0], n)
                pop.ok("QUIT")
        finally:
            self.site.sql(f"grant execute on function postern.{name} to postern_mail")
        self.assertIn("42501", self.site.log_text())

    def test_failure_behind_the_locks(self):
        """As where the time runs out while the rows of a group are sent: all get in alone, and no lock is taken twice over."""
        name = "postern.open_maildrops"
        body = self.site.sql(f"select pg_get_functiondef('{name}'::regproc)")
        self.site.sql(body.replace(name, "postern.own_open_maildrops", 1))
        head, tail = re.match(r"(.*?)\$function\$.*\$function\$(.*)", body, re.S).groups()
        self.site.sql(f"{head}$$ begin perform from postern.own_open_maildrops($1, $2, $3, $4, $5, $6, $7);"
                      f" raise 'behind the locks' using errcode = 'query_canceled'; end $${tail}")
        try:
            pops, blocker = self.together(USERS[:8])
            blocker.ask("rollback")
            for n, pop in enumerate(pops):
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assertEqual(pop.stat()[0], n)
                pop.ok("QUIT")
        finally:
            self.site.sql(body)
            self.site.sql("drop function postern.own_open_maildrops")
        self.assertIn("behind the locks", self.site.log_text())
        self.assertTrue(kit.wait_until(lambda: self.locks() == 0))

    def test_lane_is_lost(self):
        """With a group on the way: a clean answer to each, and they log in again."""
        pops, blocker = self.together(USERS[:8])
        self.site.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postern_mail'")
        blocker.ask("rollback")
        for pop in pops:
            self.assertRegex(pop.line(), rb"^-ERR \[SYS/TEMP\]")
            pop.close()
        self.assertTrue(kit.wait_until(lambda: self.locks() == 0))
        for n, who in enumerate(USERS[:8]):
            with self.site.login_soon(who) as pop:
                self.assertEqual(pop.stat()[0], n)


if __name__ == "__main__":
    unittest.main()
