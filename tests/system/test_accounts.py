"""Postern on the accounts of another program (etc/accounts), in a PostgreSQL and a MariaDB that are really there.

The tables have the columns, types and defaults that matter here, as the programs make them.
"""
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import subprocess
import tempfile
import unittest

import kit
from kit import lab

FILES = kit.TOP / "etc/accounts"
PENCIL = "$1$saltsalt$wCrc3hcrR95SV83Xh8Z.41"


class MariaDB:
    """A server of its own, on a free port of the loopback and a socket."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mdb-", dir="/tmp"))
        self.port = lab.free_port()
        self.who = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.proc = None

    def run(self, *argv, **kw):
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", check=False, **kw)
        if done.returncode != 0:
            raise AssertionError(f"{argv[0]}: {done.stderr}")
        return done.stdout

    def install(self):
        self.run("mariadb-install-db", "--no-defaults", f"--datadir={self.dir}/data", "--skip-test-db", "--skip-name-resolve",
                 "--auth-root-authentication-method=normal", **self.who)
        return self

    def start(self):
        self.proc = subprocess.Popen(
            ["mariadbd", "--no-defaults", f"--datadir={self.dir}/data", f"--socket={self.dir}/s", f"--port={self.port}",
             "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0",
             f"--log-error={self.dir}/log"], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, **self.who)
        kit.wait_until(lambda: subprocess.run(["mariadb", "--no-defaults", "-S", f"{self.dir}/s", "-u", "root", "-e", "select 1"],
                                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0,
                       60)
        return self

    def sql(self, text, database=""):
        return self.run("mariadb", "--no-defaults", "-S", f"{self.dir}/s", "-u", "root", "-N", "-B", *([database] if database else []),
                        input=text)

    def stop(self):
        if self.proc is not None:
            self.proc.send_signal(signal.SIGTERM)
            self.proc.wait(30)
            self.proc = None

    def down(self):
        if self.proc is not None:
            self.proc.kill()
            self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- what the programs' tables are

POSTFIXADMIN = """
create table domain (domain varchar(255) not null primary key, description varchar(255) not null default '',
    aliases {int} not null default 0, mailboxes {int} not null default 0, maxquota bigint not null default 0,
    quota bigint not null default 0, transport varchar(255), backupmx {bool} not null default {false}, active {bool} not null default {true});
create table mailbox (username varchar(255) not null primary key, password varchar(255) not null, name varchar(255) not null default '',
    maildir varchar(255) not null default '', quota bigint not null default 0, local_part varchar(255) not null default '',
    domain varchar(255) not null, active {bool} not null default {true});
insert into domain (domain) values ('ALL'), ('theirs.example');
insert into domain (domain, active) values ('dead.example', {false});
insert into mailbox (username, password, domain, quota) values
    ('ann@theirs.example', '{ann}', 'theirs.example', 100000),
    ('bob@theirs.example', '{pencil}', 'theirs.example', 0),
    ('cat@theirs.example', '{pencil}', 'theirs.example', 0),
    ('x@dead.example', '{pencil}', 'dead.example', 0);
insert into mailbox (username, password, domain, active) values ('off@theirs.example', '{pencil}', 'theirs.example', {false});
"""
IREDMAIL = """
create table domain (domain varchar(255) not null default '' primary key, transport varchar(255) not null default 'dovecot',
    settings text, active {small} not null default 1);
create table mailbox (username varchar(255) not null primary key, password varchar(255) not null default '',
    storagebasedirectory varchar(255) not null default '/var/vmail', maildir varchar(255) not null default '',
    quota bigint not null default 0, domain varchar(255) not null default '',
    enablesmtp {small} not null default 1, enablepop3 {small} not null default 1, enablepop3secured {small} not null default 1,
    enableimap {small} not null default 1, enabledeliver {small} not null default 1, enablelda {small} not null default 1,
    active {small} not null default 1);
insert into domain (domain) values ('theirs.example');
insert into mailbox (username, password, domain, quota) values
    ('ann@theirs.example', '{ann}', 'theirs.example', 1),
    ('bob@theirs.example', '{pencil}', 'theirs.example', 0);
insert into mailbox (username, password, domain, active) values ('off@theirs.example', '{pencil}', 'theirs.example', 0);
insert into mailbox (username, password, domain, enablepop3) values ('nopop@theirs.example', '{pencil}', 'theirs.example', 0);
insert into mailbox (username, password, domain, enabledeliver) values ('nomail@theirs.example', '{pencil}', 'theirs.example', 0);
"""
ISPCONFIG = """
create table mail_domain (domain_id int unsigned not null auto_increment primary key, server_id int unsigned not null default 0,
    domain varchar(255) not null default '', active enum('n','y') not null default 'n', unique (server_id, domain)) charset utf8mb4;
create table mail_user (mailuser_id int unsigned not null auto_increment primary key, server_id int unsigned not null default 0,
    email varchar(255) not null default '', login varchar(255) not null default '', password varchar(255) not null default '',
    maildir varchar(255) not null default '', quota bigint not null default -1,
    disablepop3 enum('n','y') not null default 'n', disabledeliver enum('n','y') not null default 'n',
    postfix enum('n','y') not null default 'y', access enum('n','y') not null default 'y') charset utf8mb4;
insert into mail_domain (server_id, domain, active) values (1, 'theirs.example', 'y'), (2, 'elsewhere.example', 'y');
insert into mail_user (server_id, email, login, password, quota) values
    (1, 'ann@theirs.example', 'ann@theirs.example', '{ann}', 100000),
    (1, 'bob@theirs.example', 'web1p2', '{pencil}', -1),
    (2, 'there@elsewhere.example', 'there@elsewhere.example', '{pencil}', -1);
insert into mail_user (server_id, email, login, password, postfix) values (1, 'off@theirs.example', 'off@theirs.example', '{pencil}', 'n');
insert into mail_user (server_id, email, login, password, disablepop3)
    values (1, 'nopop@theirs.example', 'nopop@theirs.example', '{pencil}', 'y');
insert into mail_user (server_id, email, login, password, disabledeliver)
    values (1, 'nomail@theirs.example', 'nomail@theirs.example', '{pencil}', 'y');
"""
VPOPMAIL = """
create table vpopmail (pw_name char(32) not null, pw_domain char(96) not null, pw_passwd char(128), pw_uid int, pw_gid int,
    pw_gecos char(48), pw_dir char(160), pw_shell char(20), primary key (pw_name, pw_domain));
insert into vpopmail values
    ('ann', 'theirs.example', '{ann}', 0, 0, '', '', '100000S,500C'),
    ('bob', 'theirs.example', '{pencil}', 0, 0, '', '', 'NOQUOTA'),
    ('nopop', 'theirs.example', '{pencil}', 0, 2, '', '', '50M'),
    ('nomail', 'theirs.example', '{pencil}', 0, 16, '', '', '1000C');
"""
GENERIC = """
create table people (mail text primary key, pass text not null, alive boolean not null default true, megs integer);
insert into people values ('ann@theirs.example', '{ann}', true, 1), ('bob@theirs.example', '{pencil}', true, null),
    ('off@theirs.example', '{pencil}', false, null);
create view postern_account as select mail as address, mail as login, pass as password, alive as active, 'y' as pop3, 1 as delivers,
    megs * 1000000::bigint as quota from people;
"""
PG_TYPES = {"int": "integer", "bool": "boolean", "small": "int2", "true": "true", "false": "false"}
MY_TYPES = {"int": "int", "bool": "tinyint(1)", "small": "tinyint(1)", "true": "1", "false": "0"}
BLOWFISH = "$2y$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2"


class AccountsCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("accounts-", kit.QUICK, lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.ctl("tenant", "add", "own")
        cls.site.ctl("domain", "add", "--tenant", "own", "own.example")
        cls.site.ctl("mailbox", "add", "anna@own.example")
        cls.site.password("anna@own.example")

    def tearDown(self):
        """Each file is undone, and nothing of it is left."""
        self.psql("remove.sql")
        self.assertNotIn(b"replaced", self.site.ctl("schema", "status").stdout)
        self.assertEqual(self.site.sql("select count(*) from pg_namespace where nspname = 'postern_accounts'"), "0")
        self.ok("anna@own.example", kit.PASSWORD)
        for address in self.site.sql("select address from postern.mailbox where address not like '%@own.example'").splitlines():
            self.site.ctl("mailbox", "remove", "--yes", address)
        self.site.checked()

    # -- what a test does

    @staticmethod
    def granted(name, schema="", user="theirs"):
        """What the head of a file says that its login must be given over there; all of it if it has nothing to say."""
        head = (FILES / name).read_text().partition("\\if")[0]
        word = "GRANT" if schema else "grant"       # MySQL's are in capitals
        grants = re.findall(rf"^--     ({word} .*? (?i:on) )(\w+\.)?(\w+) (?i:to) postern(.*;)$", head, re.M)
        return "".join(f"{what}{schema}{table} to {user}{rest}\n" for what, _, table, rest in grants)

    def psql(self, name, check=True, **variables):
        place = self.site.lab
        done = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1",
                               *(w for k, v in variables.items() for w in ("-v", f"{k}={v}")), "-f", str(FILES / name)],
                              env=dict(place.env(), ACCOUNTS_PASSWORD="secret"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(done.stdout)
        return done

    def login(self, name, password):
        with self.site.connect() as pop:
            pop.cmd("USER " + name)
            reply = pop.cmd("PASS " + password)
            pop.ok("QUIT")
            return reply

    def ok(self, name, password="pencil"):
        reply = self.login(name, password)
        self.assertTrue(reply.startswith(b"+OK"), (name, reply))

    def refused(self, name, password="pencil", code=b"[AUTH]"):
        reply = self.login(name, password)
        self.assertTrue(reply.startswith(b"-ERR " + code), (name, reply))

    def deliver(self, to, text="hello"):
        with smtplib.LMTP("127.0.0.1", self.site.lmtp) as mta:
            mta.sendmail("somebody@example.net", [to], f"Subject: hello\r\n\r\n{text}\r\n")

    def undeliverable(self, to, code, text="hello"):
        try:
            self.deliver(to, text)
        except smtplib.SMTPRecipientsRefused as refusal:
            self.assertEqual(refusal.recipients[to][0], code, refusal)
        except smtplib.SMTPResponseException as refusal:
            self.assertEqual(refusal.smtp_code, code, refusal)
        else:
            self.fail(f"mail to {to} was taken")

    def whole(self, bob="bob@theirs.example"):
        """What holds for every program: ann has a quota of 0.1 to 1 MB, bob has none."""
        self.assertRegex(self.site.ctl("schema", "status").stdout.decode(), r"replaced +credentials, resolve")
        # From the first login on, or the first mail, there is a maildrop.
        self.ok("ann@theirs.example")
        self.ok("ANN@Theirs.Example")
        self.refused("ann@theirs.example", "wrong")
        self.refused("nobody@theirs.example")
        # A database that compares without regard to accents must not mean somebody else.
        self.refused("änn@theirs.example")
        self.undeliverable("nobody@theirs.example", 550)
        self.deliver("bob@theirs.example")
        with self.site.login(bob, "pencil") as pop:
            self.assertIn(b"Subject: hello", pop.retr(1))
            pop.ok("QUIT")
        self.undeliverable("ann@theirs.example", 552, "x" * 1_200_000)
        self.deliver("bob@theirs.example", "x" * 1_200_000)
        # Postern's own mailboxes are beside them, and their mail does not shut them out.
        for _ in range(2):
            self.deliver("anna@own.example")
            self.ok("anna@own.example", kit.PASSWORD)
        # What the operator switches off stays off.
        self.site.ctl("mailbox", "disable", "ann@theirs.example")
        self.refused("ann@theirs.example")
        self.refused("ann@theirs.example")
        self.undeliverable("ann@theirs.example", 550)
        self.site.ctl("mailbox", "enable", "ann@theirs.example")
        self.ok("ann@theirs.example")

    def switched(self, change, columns):
        """columns: what to set, and back; each holds at once."""
        for off, on in columns:
            change(off)
            self.refused("ann@theirs.example")
            self.undeliverable("ann@theirs.example", 550)
            change(on)
            self.deliver("ann@theirs.example")
            self.ok("ann@theirs.example")


class InPostgreSQL(AccountsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        hba = cls.site.lab.data / "pg_hba.conf"
        hba.write_text("local theirs theirs scram-sha-256\n" + hba.read_text())
        cls.site.sql("create role theirs login password 'secret'")
        cls.site.sql("select pg_reload_conf()")

    def their(self, text):
        return self.site.lab.sql(text, database="theirs")

    def make(self, tables, name, **more):
        self.site.sql("create database theirs")
        self.addCleanup(self.site.sql, "drop database theirs with (force)")
        self.their(tables.format(**PG_TYPES, ann="{BLF-CRYPT}" + BLOWFISH, pencil=PENCIL)
                   + (self.granted(name) or "grant select on all tables in schema public to theirs;"))
        env = self.site.lab.env()
        for _ in range(2):      # it may be run again
            self.psql(name, kind="pgsql", host=env["PGHOST"], port=env["PGPORT"], dbname="theirs", user="theirs", **more)

    def everything(self):
        return self.their("select query_to_xml(format('select xmin, * from public.%I t order by t', c.relname), true, false, '')"
                          " from pg_class c where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname")

    def test_postfixadmin(self):
        self.make(POSTFIXADMIN, "postfixadmin.sql")
        before = self.everything()
        self.whole()
        self.refused("off@theirs.example")
        self.refused("x@dead.example")
        self.undeliverable("off@theirs.example", 550)
        # A policy of the domain holds at the first login already.
        self.site.ctl("policy", "set", "--domain", "theirs.example", "pop3=no")
        for _ in range(2):
            self.refused("cat@theirs.example", code=b"[SYS/PERM]")
        self.site.ctl("policy", "clear", "--domain", "theirs.example")
        self.assertEqual(self.everything(), before)
        self.switched(self.their, [("update mailbox set active = false where username like 'ann@%'", "update mailbox set active = true"),
                                   ("update domain set active = false", "update domain set active = true where domain <> 'dead.example'")])
        # A new password, another quota, a removal, a return.
        self.their("update mailbox set password = '{PLAIN}new' where username = 'ann@theirs.example'")
        self.refused("ann@theirs.example")
        self.ok("ann@theirs.example", "new")
        self.their("delete from mailbox where username = 'bob@theirs.example'")
        self.refused("bob@theirs.example")
        self.undeliverable("bob@theirs.example", 550)
        self.assertEqual(self.site.sql("select messages from postern.mailbox where address = 'bob@theirs.example'"), "2")
        self.their(f"insert into mailbox (username, password, domain) values ('bob@theirs.example', '{PENCIL}', 'theirs.example')")
        self.ok("bob@theirs.example")
        # A name of the domain that only Postern knows, and a local mailbox in a domain of theirs.
        self.site.ctl("domain", "add", "--alias-of", "theirs.example", "also.example")
        self.ok("bob@also.example")
        self.deliver("bob@also.example")
        self.site.ctl("mailbox", "add", "local@theirs.example")
        self.site.password("local@theirs.example")
        self.ok("local@theirs.example", kit.PASSWORD)
        self.deliver("local@theirs.example")
        self.ok("local@theirs.example", kit.PASSWORD)
        self.site.ctl("domain", "remove", "also.example")

    def test_their_database_is_down(self):
        self.make(POSTFIXADMIN, "postfixadmin.sql")
        self.ok("ann@theirs.example")
        self.site.sql("alter database theirs allow_connections false")
        self.site.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'theirs'")
        # Nobody is told that their password is wrong or that they do not exist; Postern's own do not notice.
        self.refused("ann@theirs.example", code=b"[SYS/TEMP]")
        self.undeliverable("ann@theirs.example", 451)
        self.ok("anna@own.example", kit.PASSWORD)
        self.deliver("anna@own.example")
        self.site.sql("alter database theirs allow_connections true")
        self.ok("ann@theirs.example")
        self.deliver("ann@theirs.example")

    def test_iredmail(self):
        self.make(IREDMAIL, "iredmail.sql")
        self.whole()
        self.assertEqual(self.site.sql("select quota from postern.mailbox where address = 'ann@theirs.example'"), "1048576")
        for who in ("off", "nopop"):
            self.refused(who + "@theirs.example")
        self.deliver("nopop@theirs.example")
        self.ok("nomail@theirs.example")
        self.undeliverable("nomail@theirs.example", 550)
        self.switched(self.their, [("update mailbox set active = 0", "update mailbox set active = 1"),
                                   ("update domain set active = 0", "update domain set active = 1")])

    def test_other_names_of_a_domain(self):
        """The account is asked for at the first mail or login by them, as by its own."""
        self.site.ctl("domain", "add", "--tenant", "own", "theirs.example", check=False)     # or there since the test before
        self.site.ctl("domain", "add", "--alias-of", "theirs.example", "also.example")
        self.addCleanup(self.site.ctl, "domain", "remove", "also.example")
        self.make(IREDMAIL, "iredmail.sql")
        self.deliver("ann@also.example")
        self.ok("bob@also.example")
        self.ok("ann@theirs.example")
        self.undeliverable("nobody@also.example", 550)
        self.deliver("nopop@also.example")
        self.undeliverable("nomail@also.example", 550)
        self.their("update mailbox set active = 0 where username like 'ann@%'")
        self.undeliverable("ann@also.example", 550)
        self.their("update mailbox set active = 1 where username like 'ann@%'")
        self.deliver("ann@also.example")
        # An account with an address of it would have its mail and its logins: the name means what Postern says.
        self.their(f"""insert into domain (domain) values ('also.example');
            insert into mailbox (username, password, domain) values ('bob@also.example', '{{PLAIN}}other', 'also.example')""")
        self.ok("bob@also.example")
        self.refused("bob@also.example", "other")
        self.deliver("bob@also.example")
        self.assertEqual(self.site.sql("select count(*) from postern.mailbox where address = 'bob@also.example'"), "0")

    def test_an_alias_is_no_account(self):
        self.site.ctl("alias", "add", "info@own.example", "anna@own.example")
        self.addCleanup(self.site.ctl, "alias", "remove", "info@own.example")
        self.make(POSTFIXADMIN, "postfixadmin.sql")
        self.their(f"""insert into domain (domain) values ('own.example');
            insert into mailbox (username, password, domain) values ('info@own.example', '{PENCIL}', 'own.example'),
                                                                    ('anna@own.example', '{PENCIL}', 'own.example')""")
        before = self.site.sql("select messages from postern.mailbox where address = 'anna@own.example'")
        self.refused("info@own.example")
        self.refused("anna@own.example")
        self.deliver("info@own.example")
        self.assertEqual(self.site.sql("select messages from postern.mailbox where address = 'anna@own.example'"), str(int(before) + 1))

    def test_what_an_operator_switched_off(self):
        """A change of something else over there does not switch it on."""
        self.make(POSTFIXADMIN, "postfixadmin.sql")
        self.ok("ann@theirs.example")
        self.site.ctl("mailbox", "disable", "ann@theirs.example")
        self.their("update mailbox set quota = 200000 where username = 'ann@theirs.example'")
        self.refused("ann@theirs.example")
        self.undeliverable("ann@theirs.example", 550)
        self.assertEqual(self.site.sql("select quota from postern.mailbox where address = 'ann@theirs.example'"), "200000")
        self.site.ctl("mailbox", "enable", "ann@theirs.example")
        self.ok("ann@theirs.example")

    def test_postmaster(self):
        """The account that gets the postmaster's mail may be theirs, and had none before."""
        self.make(POSTFIXADMIN, "postfixadmin.sql")
        self.site.ctl("mailbox", "add", "other@own.example")
        self.addCleanup(self.site.ctl, "mailbox", "remove", "--yes", "other@own.example")
        for to in ("{postmaster}", "{postmaster@own.example}"):
            row = self.site.sql(f"select verdict, mailbox from postern.resolve('{to}', array[null], 0, 'bob@theirs.example')")
            self.assertEqual(row, f"0|{self.site.mailbox('bob@theirs.example')}", to)
            self.site.ctl("mailbox", "remove", "--yes", "bob@theirs.example")

    def test_view_and_the_way_back(self):
        self.make(GENERIC, "view.sql")
        self.whole()
        self.refused("off@theirs.example")
        # The way back leaves mail where it is; the hashes come along where they are wanted.
        self.psql("remove.sql")
        self.refused("bob@theirs.example")
        self.assertEqual(self.site.sql("select messages from postern.mailbox where address = 'bob@theirs.example'"), "2")
        env = self.site.lab.env()
        self.psql("view.sql", host=env["PGHOST"], port=env["PGPORT"], dbname="theirs", user="theirs")
        self.ok("bob@theirs.example")
        self.psql("remove.sql", passwords=1)
        self.their("delete from people")
        self.ok("bob@theirs.example")
        self.refused("bob@theirs.example", "wrong")


class InMySQL(AccountsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.maria = MariaDB()
        cls.addClassCleanup(cls.maria.down)
        cls.maria.install().start()

    def their(self, text):
        return self.maria.sql(text, "theirs")

    def make(self, tables, name, **more):
        self.maria.sql("create database theirs character set utf8mb4")
        self.addCleanup(self.maria.sql, "drop database theirs; drop user postern@'%'")
        self.their(tables.format(**MY_TYPES, ann=BLOWFISH, pencil=PENCIL))
        self.maria.sql("create user postern@'%' identified by 'secret';" + self.granted(name, "theirs.", "postern"))
        for _ in range(2):
            self.psql(name, kind="mysql", port=self.maria.port, dbname="theirs", **more)

    def test_postfixadmin(self):
        self.make(POSTFIXADMIN, "postfixadmin.sql")
        self.whole()
        self.refused("off@theirs.example")
        self.switched(self.their, [("update mailbox set active = 0 where username like 'ann@%'", "update mailbox set active = 1"),
                                   ("update domain set active = 0", "update domain set active = 1")])
        self.their("delete from mailbox where username = 'bob@theirs.example'")
        self.refused("bob@theirs.example")
        self.undeliverable("bob@theirs.example", 550)

    def test_their_database_restarts(self):
        self.make(POSTFIXADMIN, "postfixadmin.sql")
        self.ok("ann@theirs.example")
        self.maria.stop()
        self.refused("ann@theirs.example", code=b"[SYS/TEMP]")
        self.undeliverable("ann@theirs.example", 451)
        self.ok("anna@own.example", kit.PASSWORD)
        self.maria.start()
        self.ok("ann@theirs.example")
        self.deliver("ann@theirs.example")
        # MySQL ends a connection that was idle for long.
        for line in self.maria.sql("select id from information_schema.processlist where user = 'postern'").splitlines():
            self.maria.sql(f"kill {line}")
        self.ok("ann@theirs.example")
        self.deliver("ann@theirs.example")

    def test_iredmail(self):
        self.make(IREDMAIL, "iredmail.sql")
        self.whole()
        self.refused("nopop@theirs.example")
        self.deliver("nopop@theirs.example")
        self.ok("nomail@theirs.example")
        self.undeliverable("nomail@theirs.example", 550)
        self.switched(self.their, [("update mailbox set active = 0", "update mailbox set active = 1")])

    def test_ispconfig(self):
        self.make(ISPCONFIG, "ispconfig.sql", server=1, default_domain="theirs.example")
        self.whole(bob="web1p2@theirs.example")
        # The name of one who logs in with another is no name to log in with, and no other domain is put behind one.
        for who in ("bob@theirs.example", "web1p2@own.example", "off@theirs.example", "nopop@theirs.example", "there@elsewhere.example"):
            self.refused(who)
        # Nor does it switch off the account that it names.
        self.assertEqual(self.site.sql("select enabled from postern.mailbox where address = 'bob@theirs.example'"), "t")
        self.site.ctl("password", "bob@theirs.example", stdin=b"new\n", check=False)
        self.assertEqual(self.site.sql("select enabled from postern.mailbox where address = 'bob@theirs.example'"), "t")
        self.undeliverable("there@elsewhere.example", 550)
        self.deliver("nopop@theirs.example")
        self.ok("nomail@theirs.example")
        self.undeliverable("nomail@theirs.example", 550)
        self.switched(self.their, [("update mail_user set postfix = 'n' where login like 'ann@%'", "update mail_user set postfix = 'y'"),
                                   ("update mail_domain set active = 'n'", "update mail_domain set active = 'y'")])

    def test_vpopmail(self):
        self.make(VPOPMAIL, "vpopmail.sql")
        self.whole()
        self.assertEqual(self.site.sql("""select array_agg(postern_accounts.quota_of(q) order by q collate "C") from unnest(array
            ['', '1000C', '1000C,20KBS', '10485760', '10485760S,5C', '2g', '50M', '7MB', 'NOQUOTA', '0']) q"""),
            "{NULL,NULL,NULL,20480,10485760,10485760,2147483648,52428800,7340032,NULL}")
        self.refused("nopop@theirs.example")
        self.deliver("nopop@theirs.example")
        self.ok("nomail@theirs.example")
        self.undeliverable("nomail@theirs.example", 550)


if __name__ == "__main__":
    unittest.main()
