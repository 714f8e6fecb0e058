"""Operators of tenants: each is shown one tenant, by the database itself, whatever they ask for."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import catalogue
import kit
import privatepg
from oldpop3 import OldServer
from privatepg import PrivatePG

CTL = str(kit.lab.build_dir() / "posternctl")
DONE, FAILED, USAGE = 0, 1, 2
RIGHTS = "accounts,passwords,policies,sessions,history,mail"
OURS, THEIRS = "anna@acme.example", "bob@beta.example"

# What the operator of acme gives as an argument of that name, to reach what is beta's.
FOREIGN = {
    "p_address": f"'{THEIRS}'", "p_name": "'beta'", "p_tenant": "'beta'", "p_domain": "'beta.example'", "p_mailbox bigint": "{theirs}", "p_mailbox text": f"'{THEIRS}'",
    "p_mailboxes bigint[]": "array[{theirs}]", "p_mailboxes text[]": f"array['{THEIRS}']", "p_addresses": f"array['{THEIRS}']",
    "p_kind": "'tenant'", "p_quota": "1", "p_quota_messages": "1", "p_new_address": "'eve@beta.example'", "p_enabled": "false", "p_force": "true",
    "p_limit": "10", "p_label": "'phone'", "p_secret": "'x'", "p_kinds": "array['password']", "p_secrets": "array['x']", "p_names": "array['pop3']",
    "p_values": "array['false']", "p_since": "null", "p_session": "null", "p_uid": "1", "p_uids": "array[1]::bigint[]", "p_dry_run": "false",
    "p_after": "0", "p_first": "0", "p_parts integer": "10", "p_parts integer[]": "'{{0}}'", "p_data": "array['abc'::bytea]", "p_octets": "null",
    "p_octets bigint[]": "'{{3}}'", "p_digests bytea[]": "array[sha256('x')]", "p_digests bytea": "sha256('x')", "p_refs": "'{{1}}'",
    "p_contents": "array[{content}]", "p_received_at": "null", "p_delivered_to": "null", "p_uidls": "array['x']",
    "p_source": "'files'", "p_copies": "'{{1}}'",
    "p_channel": "'postern_reply_0123456789abcdef'",
}
# What comes of it, as far as it is not what holds for most: there is no such thing.
COMES = {
    # Where all that there is was asked for: of beta there is none.
    "who_am_i": "acme_op", "schema_version": "12", "held_maildrops": "", "ask_who": "", "answers": "",
    "find_accounts": "||f|f|", "put_contents": "ERROR PN400 a content to which no message", "put_parts": "ERROR PN400",
    # Of a number that is not theirs there is nothing; a secret that would be written for it is refused.
    "set_secrets": "ERROR 42501", "set_secrets_of": "ERROR 42501", "add_app_password": "ERROR 42501", "set_certificate": "ERROR 42501",
    "clear_policy": "ERROR PN400", "set_policy": "ERROR PN400", "list_policies": "ERROR PN400",
}
# Functions of the owner of the schema, whom no policy binds, that those of the tenants' may call, and why that shows nothing of others.
UNBOUND = {
    "my_tenant": "by session_user", "who_am_i": "by session_user", "schema_version": "a number", "note_opening": "behind find_mailbox",
    "check_opening": "behind find_mailbox", "held_maildrops": "joined with mailbox", "ask_who": "says nothing", "answers": "joined with mailbox",
    "show_message": "behind find_mailbox", "put_loose": "of the transaction", "put_parts": "of the transaction",
    "put_referred": "behind check_mailbox", "note_stored": "behind check_mailbox", "adopt_stored": "behind check_mailbox",
}


def setUpModule():
    global pg, conf, place
    pg = PrivatePG().start()
    unittest.addModuleCleanup(pg.stop)
    place = tempfile.mkdtemp(prefix="tenants-", dir="/tmp")
    unittest.addModuleCleanup(shutil.rmtree, place)
    conf = os.path.join(place, "postern.conf")
    write_conf(conf, "mail")
    pg.sql("postgres", "create database mail")
    ctl("postgres", "schema", "init")
    for tenant in ("acme", "beta"):
        ctl(None, "tenant", "add", tenant)
        ctl(None, "domain", "add", f"{tenant}.example", "--tenant", tenant)
        for name in ("anna", "bob"):
            ctl(None, "mailbox", "add", f"{name}@{tenant}.example")
            ctl(None, "password", f"{name}@{tenant}.example", stdin=b"secret of beta\n")
            letter = pathlib.Path(place, "letter.eml")
            letter.write_bytes(b"Subject: for beta alone\n\nsecret\n")
            ctl(None, "import", f"{name}@{tenant}.example", str(letter))
        ctl(None, "app-password", "add", f"bob@{tenant}.example", "phone")
        ctl(None, "old-server", "add", f"{tenant}-old", f"{tenant}.invalid:995")
        ctl(None, "mailbox", "elsewhere", f"{tenant}-old", f"bob@{tenant}.example", "--name", f"bob-{tenant}")
        ctl(None, "alias", "add", f"info@{tenant}.example", f"bob@{tenant}.example")
        ctl(None, "policy", "set", "--domain", f"{tenant}.example", "login_delay=5")
        ctl(None, "policy", "set", "--tenant", tenant, "undelete=5")
        ctl("postgres", "tenant", "operator", "add", tenant, f"{tenant}_op", "--rights", RIGHTS)


def write_conf(path, database):
    pathlib.Path(path).write_text(f'database = "{pg.conninfo(database)}";\nauth_argon2_memory = "8M";\nauth_argon2_passes = 1;\n')


def ctl(who, *args, stdin=b"", expect=DONE, config=None):
    """What was printed, and on what went wrong that too. who: a role; None is the host's operator."""
    done = subprocess.run([CTL, "-c", config or conf, *(["--as", f"user={who}"] if who else []), *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    text = (done.stdout + done.stderr).decode()
    if done.returncode != expect:
        raise AssertionError(f"{args}: {done.returncode}: {text}")
    return text


def sql(text, who="postgres", database="mail"):
    return pg.sql(database, text, who)


def psql(text, who):
    """The words of PostgreSQL with the code of an error, and what was answered before it."""
    done = subprocess.run([os.path.join(privatepg.bindir(), "psql"), "-XAtq", "-v", "VERBOSITY=verbose", "-d", f"{pg.conninfo('mail')} user={who}"], input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    error = re.search(r"ERROR: +(\w{5}): (.*)", done.stderr)
    return f"ERROR {error[1]} {error[2]}" if error else done.stdout.strip()


def of_beta():
    """Everything that is beta's, as a text."""
    return sql("""select string_agg(x.t, E'\n' order by x.t) from (
        select t::text from postern.tenant t where name = 'beta'
        union all select d::text from postern.domain d where name like '%beta%'
        union all select m::text from postern.mailbox m where address like '%beta%'
        union all select a::text from postern.alias a where address like '%beta%'
        union all select c::text from postern.credential c join postern.mailbox m using (mailbox) where address like '%beta%'
        union all select p::text from postern.policy p left join postern.domain d using (domain) left join postern.tenant t on t.tenant = p.tenant
                   where 'beta' in (t.name, split_part(d.name, '.', 1))
        union all select g::text from postern.message g join postern.mailbox m using (mailbox) where address like '%beta%'
        union all select h::text from postern.history h join postern.mailbox m using (mailbox) where address like '%beta%'
        union all select i::text from postern.imported i join postern.mailbox m using (mailbox) where address like '%beta%'
        union all select o::text from postern.tenant_operator o where role = 'beta_op') x (t)""")


class EachFunction(unittest.TestCase):
    """From the catalogue, so that a function that is added is tried, or fails here for want of a decision."""

    def setUp(self):
        self.theirs, self.ours = (sql(f"select mailbox from postern.mailbox where address = '{a}'") for a in (THEIRS, OURS))
        self.content = sql("select max(content) from postern.content")

    def functions(self):
        """Name, and the arguments that go in, each as `name type`."""
        rows = sql("""select p.proname, (select string_agg(a.name || ' ' || a.type::regtype, ';' order by a.n)
                        from unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) with ordinality a(name, type, n))
                        from pg_proc p where p.pronamespace = 'postern_tenant'::regnamespace and has_function_privilege('postern_tenant', p.oid, 'execute')
                        order by 1""")
        return [(name, [a for a in arguments.split(";") if a]) for name, arguments in (row.split("|") for row in rows.split("\n"))]

    def call(self, name, arguments):
        values = []
        for argument in arguments:
            value = FOREIGN.get(argument, FOREIGN.get(argument.split(" ")[0]))
            self.assertIsNotNone(value, f"{name}: what to give as {argument}?")
            values.append(value.format(theirs=self.theirs, content=self.content))
        return f"select * from postern_tenant.{name}({', '.join(values)})"

    def test_nothing_of_others(self):
        before = of_beta()
        for name, arguments in self.functions():
            with self.subTest(function=name):
                got = psql(self.call(name, arguments), "acme_op")
                wanted = COMES.get(name, "ERROR PN404")
                self.assertTrue(got.startswith(wanted) and (wanted or not got or "beta" not in got), f"{got}, not {wanted}")
                # What was typed may come back, and nothing else.
                self.assertNotRegex(got.replace(THEIRS, "").replace("beta.example", "").replace("tenant beta ", ""), "beta|secret")
                self.assertEqual(of_beta(), before)

    def test_all_that_there_is(self):
        """Those that take a null for all."""
        for call in ("list_tenants(null)", "list_domains(null, null)", "list_mailboxes(null)", "list_aliases(null, null)", "list_elsewhere(null)", "list_policies(null, null, null)",
                     "list_audit(null, null, null)"):
            got = psql(f"select * from postern_tenant.{call}", "acme_op")
            self.assertIn("acme", got, call)
            self.assertNotIn("beta", got, call)

    def test_without_the_right(self):
        """Each but those to look is refused to who has no right, also for what is their own."""
        ctl("postgres", "tenant", "operator", "add", "acme", "acme_looks", "--rights", "none")
        self.addCleanup(ctl, "postgres", "tenant", "operator", "remove", "acme_looks")
        needs = dict(row.split("|") for row in sql("select name, needs from postern.tenant_functions() where needs is not null").split("\n"))
        own = {"who_am_i": "look", "schema_version": "look", "held_maildrops": "sessions", "ask_who": "sessions", "answers": "sessions",
               "show_message": "mail", "put_contents": "mail", "put_parts": "mail", "put_messages": "mail", "note_imported": "mail", "adopt_uidls": "mail",
               "open_mail": "mail"}
        for name, arguments in self.functions():
            with self.subTest(function=name):
                right = needs.get(name) or own[name]
                call = self.call(name, arguments).replace("beta", "acme").replace("array['bob@acme.example']", "array['anna@acme.example']")
                call = re.sub(r"\(\d+", f"({self.ours}", call)
                got = psql(f"begin; {call}; rollback", "acme_looks")
                if right != "look":
                    self.assertTrue(got.startswith("ERROR PN403"), got)
                    self.assertIn(f'"{right}"', got)
                else:
                    self.assertNotIn("ERROR PN403 operator", got)

    def test_nobodys_operator(self):
        """Who may execute them, but is in no row of tenant_operator, is shown nothing."""
        sql("create role stray login in role postern_tenant")
        self.addCleanup(sql, "drop role stray")
        for name, arguments in self.functions():
            got = psql(f"begin; {self.call(name, arguments)}; rollback", "stray")
            self.assertTrue(name in ("who_am_i", "schema_version") or re.match("ERROR PN40[34]", got), f"{name}: {got}")
        self.assertEqual(psql("select * from postern_tenant.who_am_i()", "stray"), "")
        self.assertIn("the operator of no tenant", ctl("stray", "mailbox", "list", expect=FAILED))

    def test_they_are_those_of_the_host(self):
        """What the schema says, and who they belong to; so a function that was replaced and not made again shows."""
        before = [line for line in catalogue.lines(sql) if "postern_tenant" in line]
        sql("select postern.make_tenant_functions()")
        self.assertEqual([line for line in catalogue.lines(sql) if "postern_tenant" in line], before)
        self.assertEqual(sql("select p.oid::regprocedure from pg_proc p where p.pronamespace = 'postern_tenant'::regnamespace and"
                             " (p.proowner <> 'postern_tenant_owner'::regrole or not p.proconfig @> array['standard_conforming_strings=on', 'row_security=on'])"), "")


class Policies(unittest.TestCase):
    def test_every_table(self):
        self.assertEqual(sql("select c.oid::regclass from pg_class c where c.relnamespace = 'postern'::regnamespace"
                             " and c.relkind in ('r', 'p') and not c.relrowsecurity"), "")

    def test_grants(self):
        """Of a table without a policy nothing is granted; operators have no table at all, nor a function of the host's."""
        self.assertEqual(sql("select c.oid::regclass from pg_class c, aclexplode(c.relacl) a where c.relnamespace = 'postern'::regnamespace"
                             " and a.grantee = 'postern_tenant_owner'::regrole and c.relkind <> 'v'"
                             " and not exists (select from pg_policy p where p.polrelid = c.oid)"), "")
        self.assertEqual(sql("select c.oid::regclass from pg_class c where c.relkind = 'v' and c.relnamespace = 'postern'::regnamespace and"
                             " has_table_privilege('postern_tenant_owner', c.oid, 'select') and not coalesce(c.reloptions @> array['security_invoker=true'], false)"), "")
        self.assertEqual(sql("select c.oid::regclass from pg_class c where c.relnamespace in ('postern'::regnamespace, 'postern_maps'::regnamespace)"
                             " and c.relkind in ('r', 'p', 'v') and has_table_privilege('postern_tenant', c.oid, 'select, insert, update, delete')"), "")
        self.assertEqual(sql("select has_schema_privilege('acme_op', 'postern', 'usage'), has_schema_privilege('acme_op', 'postern_maps', 'usage'),"
                             " has_schema_privilege('postern_tenant_owner', 'postern_tenant', 'create'),"
                             " has_column_privilege('postern_tenant_owner', 'postern.credential', 'secret', 'select')"), "f|f|f|f")
        self.assertEqual(sql("select rolname from pg_roles where rolname in ('postern_tenant', 'postern_tenant_owner', 'acme_op')"
                             " and (rolsuper or rolbypassrls or rolcreaterole or (rolcanlogin and rolname <> 'acme_op'))"), "")

    def test_unbound(self):
        """What those functions may call that no policy binds is here with a reason, or stands behind a guard."""
        guarded = set(sql("select name from postern.tenant_functions() where form = 'guard'").split("\n"))
        got = sql("select p.proname from pg_proc p where p.pronamespace = 'postern'::regnamespace and p.prosecdef"
                  " and has_function_privilege('postern_tenant_owner', p.oid, 'execute')")
        self.assertEqual(set(got.split("\n")) - guarded, set(UNBOUND))

    def test_who_is_asking(self):
        """Nothing that a session sets makes it another's."""
        asked = "select address from postern_tenant.list_mailboxes(null) where address like 'anna@%'"
        for first in ("set role postern_tenant", "set session authorization default", "reset role", "set row_security = off",
                      "set search_path = postern, pg_temp", "select set_config('session_authorization', 'acme_op', false)",
                      "set standard_conforming_strings = off", "set transform_null_equals = on", "set local role postern_tenant",
                      "set default_transaction_read_only = on", "set application_name = 'beta_op'"):
            self.assertEqual(psql(f"{first}; {asked}", "acme_op").split("\n")[-1], OURS, first)
        for other in ("set session authorization beta_op", "set role beta_op", "set role postern_tenant_owner", "set role postern_admin",
                      "select set_config('role', 'beta_op', false)", "select set_config('session_authorization', 'beta_op', false)"):
            self.assertRegex(psql(other, "acme_op"), "ERROR (42501|22023)", other)

    def test_names_by_other_strings(self):
        """The text of functions is read as it was written, whatever the session sets."""
        for name in ('''"a b"''', "a[b", "A", "a\\\\b", ""):
            for first in ("", "set standard_conforming_strings = off; set backslash_quote = on; set escape_string_warning = off;"):
                got = psql(f"{first} select postern_tenant.add_mailbox($${name}@acme.example$$, null)", "acme_op")
                if not name.startswith('"'):
                    self.assertTrue(got.startswith("ERROR PN400"), (name, first, got))
        sql("""delete from postern.mailbox where address = '"a b"@acme.example'""")

    def test_around_the_functions(self):
        """By other ways: tables, catalogues, large objects, other sessions, notifications, locks, files."""
        with Session("beta_op"):
            for tried in ("select * from postern.mailbox", "select * from postern.domain_usage", "select * from postern_maps.mailboxes",
                          "select postern.list_mailboxes(null)", "select postern.my_tenant()", "update postern.tenant_operator set tenant = 2",
                          "insert into postern.tenant_operator values ('acme_op', 2)", "copy postern.mailbox to stdout",
                          "copy (select 1) to program 'true'", "select pg_read_file('PG_VERSION')", "create schema mine",
                          "create table public.mine (a integer)", "create temporary table mine (a integer)", "select lo_create(0)", "select lo_import('/etc/passwd')",
                          "select pg_terminate_backend(1)", "select * from pg_stat_activity", "select * from pg_locks", "select pg_advisory_lock(1)",
                          "select pg_try_advisory_lock(1)", "select pg_notify('postern_ask', 'who postern_reply_0123456789abcdef')", "select pg_sleep(1)",
                          "create role more", "alter role acme_op createrole", "grant postern_tenant to postern_maps", "alter role acme_op connection limit 100",
                          "select postern_tenant.check_mailbox(1)", "select postern_tenant.put_alias('x@acme.example', array['a'], true)",
                          "select postern_tenant.need('look')", "begin; lock table postern.mailbox", "truncate postern.audit", "create function pg_temp.f() returns int language sql as 'select 1'",
                          "alter function postern_tenant.need(text) security invoker", "drop function postern_tenant.need(text)",
                          "do $$ begin execute 'set session_replication_role = replica'; end $$", "load 'auto_explain'"):
                self.assertRegex(psql(tried, "acme_op"), "^ERROR (42501|58P01|3F000|0LP01|55P02)", tried)
        self.assertEqual(psql("select count(*) from pg_stats where schemaname = 'postern'", "acme_op"), "0")

    def test_room_that_counts_for_nobody(self):
        """Each content has its one message when the transaction ends; no more digests are noted than there were messages."""
        mailbox = sql(f"select mailbox from postern.mailbox where address = '{OURS}'")
        self.assertEqual(psql(f"select postern_tenant.open_mail('{OURS}')", "acme_op"), "")
        put = ("do $$ declare c bigint[]; begin c := postern_tenant.put_contents(array[3, 3], array['{abc}', '{abd}']::bytea[], %s);".format(
            **{n: "\\x" + hashlib.blake2b(n.encode(), digest_size=32).hexdigest() for n in ("abc", "abd")}) +
               " perform postern_tenant.put_parts(c, '{0, 0}', array['abc', 'abd']::bytea[]); %s end $$")
        messages = f"perform postern_tenant.put_messages({mailbox}, %s, null, null, null);"
        before = sql("select count(*) from postern.content")
        for refs, then in (("'{1, 1}'", ""), ("'{1, 1}'", messages % "c[1:1]"), ("'{1, 2}'", messages % "c"), ("'{1, 1}'", messages % "c[1:1]" + messages % "c"),
                           ("'{1, 1}'", messages % "array[c[1], c[1], c[2]]")):
            self.assertRegex(psql(put % (refs, then), "acme_op"), "^ERROR PN400", (refs, then))
        self.assertRegex(psql(f"begin; set constraints all deferred; {put % (chr(39) + '{1, 1}' + chr(39), '')}; commit", "acme_op"), "^ERROR PN400")
        self.assertEqual(sql("select count(*) from postern.content"), before)
        self.assertRegex(psql(f"select postern_tenant.note_imported({mailbox}, decode(repeat('00', 32 * 100), 'hex'))", "acme_op"), "^ERROR PN400 more digests")
        self.assertEqual(psql(put % ("'{1, 1}'", messages % "c"), "acme_op"), "")
        self.assertEqual(sql("select count(*) from postern.loose_content"), "0")
        sql(f"select postern.remove_mail('{OURS}', array(select uid from postern.message where mailbox = {mailbox} order by uid desc limit 2))")

    def test_alias_by_number(self):
        """Where a function of the form `rows` forgot everything, the policies would not."""
        mailbox = sql(f"select mailbox from postern.mailbox where address = '{THEIRS}'")
        for tried in (f"insert into postern.alias (domain, address, mailbox) select domain, 'x@acme.example', {mailbox} from postern.domain",
                      f"insert into postern.credential (mailbox, kind, secret) values ({mailbox}, 'shared-secret', 'x')",
                      "insert into postern.mailbox (domain, address) select d, 'x@beta.example' from generate_series(1, 9) d",
                      f"insert into postern.policy (mailbox, pop3) values ({mailbox}, false)",
                      "insert into postern.policy (tenant, pop3) values (2, false)"):
            with self.subTest(tried=tried), self.assertRaisesRegex(RuntimeError, "row-level security|set by the operator of the host"):
                as_owner(tried)
        before = of_beta()
        for tried in ("delete from postern.alias where address not like '%acme%'", "delete from postern.policy where domain <> 1 or tenant <> 1",
                      "update postern.mailbox set enabled = false where address not like '%acme%'", "delete from postern.credential where mailbox = " + mailbox):
            as_owner(tried)
            self.assertEqual(of_beta(), before, tried)
        for table, columns in (("tenant", "x"), ("domain", "x"), ("mailbox", "x"), ("alias", "x"), ("policy", "x"), ("message", "x"), ("history", "x"),
                               ("deleted", "x"), ("audit", "x"), ("usage_change", "x"), ("domain_usage", "x"), ("old_server", "x.name")):
            got = as_owner(f"raise exception '%', coalesce((select string_agg({columns}::text, ' ') from postern.{table} x), '')", raises=True)
            self.assertNotIn("permission denied", got, table)
            self.assertNotIn("beta", got, table)


def as_owner(statement, raises=False):
    """A statement that a function of the tenants' schema would have, without any where clause, asked by acme_op. It is taken back."""
    sql("create function postern_tenant.tried() returns void language plpgsql security definer as $f$ begin "
        f"{statement}; end $f$; alter function postern_tenant.tried() owner to postern_tenant_owner;"
        " grant execute on function postern_tenant.tried() to postern_tenant")
    try:
        return sql("select postern_tenant.tried()", "acme_op")
    except RuntimeError as e:
        if raises:
            return str(e)
        raise
    finally:
        sql("drop function postern_tenant.tried()")


class Session:
    """A session of this role, as long as it lasts."""

    def __init__(self, who):
        self.psql = subprocess.Popen([os.path.join(privatepg.bindir(), "psql"), "-XAtq", "-d", f"{pg.conninfo('mail')} user={who}"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.psql.communicate()


class Posternctl(unittest.TestCase):
    def test_whoami(self):
        got = json.loads(ctl("acme_op", "--json", "whoami"))
        self.assertEqual((got["role"], got["tenant"], got["rights"]), ("acme_op", "acme", RIGHTS))
        verbs = re.findall(r'^VERB\("([\w-]+)", (?:"([\w-]+)"|NULL)', (kit.TOP / "admin" / "verbs.def").read_text(), re.M)
        self.assertLessEqual(set(got["verbs"]), {" ".join(filter(None, v)) for v in verbs})
        self.assertIn("mailbox add", got["verbs"])
        self.assertNotIn("domain add", got["verbs"])
        self.assertEqual(json.loads(ctl(None, "--json", "whoami"))["rights"], "all")
        self.assertIn("an operator of the host", ctl(None, "whoami"))

    def test_what_is_the_hosts(self):
        for args in (("domain", "add", "x.example", "--tenant", "acme"), ("check",), ("verify",), ("expire",), ("schema", "status"), ("secrets", "status"),
                     ("tenant", "set", "acme", "--max-mailboxes", "none"), ("tenant", "operator", "list"), ("restored",), ("move", "/dev/null"), ("recode",),
                     ("old-server", "list"), ("old-server", "show", "acme-old"), ("old-server", "set", "acme-old", "host=evil.example"),
                     ("mailbox", "elsewhere", "acme-old", OURS), ("mailbox", "here", "bob@acme.example"), ("domain", "elsewhere", "acme.example", "acme-old"),
                     ("domain", "here", "acme.example"), ("secrets", "export", os.path.join(place, "hashes")), ("disclose", OURS, os.path.join(place, "disclosed")),
                     ("erase", OURS)):
            self.assertIn("is for the operator of the host", ctl("acme_op", *args, expect=FAILED), args)
        self.assertIn("for the operator of the host", ctl("acme_op", "import", OURS, os.path.join(place, "letter.eml"), "--over-quota", expect=FAILED))

    def test_life_of_a_mailbox(self):
        new = "new@acme.example"
        ctl("acme_op", "mailbox", "add", new, "--quota", "1M")
        ctl("acme_op", "password", new, stdin=b"one\n")
        ctl("acme_op", "password", new, stdin=b"two\n")
        ctl("acme_op", "app-password", "add", new, "phone")
        ctl("acme_op", "alias", "add", "sales@acme.example", new)
        self.assertIn("1 messages", ctl("acme_op", "import", new, os.path.join(place, "letter.eml")))
        self.assertIn("already there", ctl("acme_op", "import", new, os.path.join(place, "letter.eml"), "--resume"))
        self.assertIn(b"Subject: for beta alone", ctl("acme_op", "message", "show", new, "1", "--raw").encode())
        folder = os.path.join(place, "export")
        ctl("acme_op", "export", new, folder, "--format", "eml")
        self.assertEqual(len(os.listdir(folder)), 1)
        ctl("acme_op", "message", "uidl", new, "1", "ABC")
        ctl("acme_op", "message", "remove", new, "1")
        self.assertIn("brought back", ctl("acme_op", "undelete", new))
        self.assertIn("undelete", ctl("acme_op", "history", new))
        self.assertEqual(json.loads(ctl("acme_op", "--json", "du"))["mail"][0]["name"], "acme.example")
        self.assertIn("is 1048576", self.over_quota(new))
        ctl("acme_op", "policy", "set", "--mailbox", new, "pop3=no")
        ctl("acme_op", "mailbox", "set", new, "--name", "newer@acme.example")
        ctl("acme_op", "mailbox", "remove", "newer@acme.example", "--yes")
        ctl(None, "check")

    def test_old_servers(self):
        """The name of an old server is shown where somebody is still there; where it is, and whose others are, is not."""
        self.assertEqual(json.loads(ctl("acme_op", "--json", "mailbox", "show", "bob@acme.example"))["old_server"], "acme-old")
        listed = json.loads(ctl("acme_op", "--json", "elsewhere"))
        self.assertEqual([(r["name"], r["server"], r["name_there"]) for r in listed], [("bob@acme.example", "acme-old", "bob-acme")])
        self.assertIn("does not exist", ctl("acme_op", "elsewhere", "beta.example", expect=FAILED))
        self.assertIn("permission denied", as_owner("perform s.host from postern.old_server s", raises=True))
        # Each such change is noted, as passwords go there.
        ctl(None, "mailbox", "elsewhere", "acme-old", "anna@acme.example")
        ctl(None, "mailbox", "here", "anna@acme.example")
        got = [(r["old"], r["new"]) for r in json.loads(ctl("acme_op", "--json", "audit", OURS)) if r["change"] == "changed" and "old_server" in (r["new"] or "")]
        self.assertEqual([(json.loads(a), json.loads(b)) for a, b in got],
                         [({"old_server": None}, {"old_server": "acme-old"}),
                          ({"moved": False, "old_server": "acme-old"}, {"moved": True, "old_server": None})])
        ctl(None, "old-server", "set", "acme-old", "port=1995")
        self.assertEqual([(r["kind"], r["change"], json.loads(r["new"] or "{}").get("port")) for r in json.loads(ctl(None, "--json", "audit", "acme-old"))],
                         [("old-server", "added", 995), ("old-server", "changed", 1995)])
        self.assertEqual(json.loads(ctl("acme_op", "--json", "audit", "acme-old")), [])

    def test_moving_mail(self):
        """Import with UIDLs, again with --resume and --sync, comparison, and export of one and of all."""
        new = "mover@acme.example"
        ctl("acme_op", "mailbox", "add", new)
        self.addCleanup(ctl, "acme_op", "mailbox", "remove", new, "--yes")
        folder = pathlib.Path(place, "Maildir")
        for part in ("cur", "new", "tmp"):
            (folder / part).mkdir(parents=True)
        for n in (1, 2, 3):
            (folder / "cur" / f"100000000{n}.x.host:2,S").write_bytes(b"Subject: %d\n\ntext\n" % n)
        (folder / "dovecot-uidlist").write_text("3 V1700000000 N4\n" + "".join(f"{n} :100000000{n}.x.host\n" for n in (1, 2, 3)))
        args = ("import", new, str(folder), "--uidl-format", "%08Xu%08Xv")
        self.assertIn("3 messages", ctl("acme_op", *args))
        self.assertIn("3 already there", ctl("acme_op", *args, "--resume"))
        self.assertEqual(sql(f"select count(uidl) from postern.message join postern.mailbox m using (mailbox) where address = '{new}'"), "3")
        self.assertIn("ALIKE", ctl("acme_op", "compare", new, str(folder), "--uidl-format", "%08Xu%08Xv"))
        self.assertIn("does not exist", ctl("acme_op", "compare", THEIRS, str(folder), expect=FAILED))
        self.assertIn("does not exist", ctl("acme_op", "import", THEIRS, str(folder), "--resume", expect=FAILED))
        with OldServer([(f"old-{n}", b"Subject: old %d\r\n\r\ntext\r\n" % n) for n in (1, 2, 3)]) as server:
            secret = pathlib.Path(place, "secret")
            secret.write_text("wonder\n")
            args = ("import", new, "--pop3", server.url(), "--user", "anna", "--password-file", str(secret), "--accept", "plaintext")
            self.assertIn("3 messages", ctl("acme_op", *args))
            del server.mail[0]
            ctl("acme_op", *args, "--sync", "--sync-limit", "90")
            self.assertIn("does not exist", ctl("acme_op", "import", THEIRS, *args[2:], expect=FAILED))
        self.assertEqual(sql(f"select messages from postern.mailbox where address = '{new}'"), "5")
        # What the mailbox has already gets the UIDLs that it has there, and is not fetched.
        with OldServer([(f"new-{n}", b"Subject: %d\r\n\r\ntext\r\n" % n) for n in (1, 2, 3)]) as server:
            ctl("acme_op", "import", new, "--pop3", server.url(), *args[4:])
        self.assertEqual(sql(f"select messages from postern.mailbox where address = '{new}'"), "5")
        out = os.path.join(place, "all")
        ctl("acme_op", "export", "--all", out)
        self.assertEqual(os.listdir(out), ["acme.example"])
        self.assertIn("mover", os.listdir(os.path.join(out, "acme.example")))
        self.assertIn("does not exist", ctl("acme_op", "export", "--domain", "beta.example", os.path.join(place, "none"), expect=FAILED))
        self.assertIn("does not exist", ctl("acme_op", "export", "--tenant", "beta", os.path.join(place, "none"), expect=FAILED))
        # Each mailbox that was opened is noted.
        opened = {r["name"] for r in json.loads(ctl("acme_op", "--json", "audit")) if r["kind"] == "mail"}
        self.assertLessEqual({new, OURS, "bob@acme.example"}, opened)

    def test_notes_are_bounded(self):
        """What is noted of imports counts for no quota: of that there cannot be more than of messages."""
        mailbox = sql(f"select mailbox from postern.mailbox where address = '{OURS}'")
        opened = f"select postern_tenant.open_mail('{OURS}');"
        x = "sha256('x')"
        for tried, why in (
                (f"note_imported({mailbox}, {x}, array[repeat('a', 1000)], null)", "no client could be sent"),
                (f"note_imported({mailbox}, {x}, array['a'], repeat('s', 1001))", "at most 1000 octets"),
                (f"note_imported({mailbox}, (select string_agg({x}, ''::bytea) from generate_series(1, 1000)), null, null)", "more digests than messages"),
                (f"adopt_uidls({mailbox}, {x}, array[repeat('a', 1000)], null)", "no client could be sent"),
                (f"adopt_uidls({mailbox}, {x}, array['a'], repeat('s', 1001))", "at most 1000 octets"),
                (f"adopt_uidls({mailbox}, (select string_agg({x}, ''::bytea) from generate_series(1, 1000)),"
                 " (select array_agg('u' || n) from generate_series(1, 1000) n), null)", "more UIDLs than ten")):
            self.assertRegex(psql(f"{opened} select postern_tenant.{tried}", "acme_op"), f"ERROR PN400 .*{why}", tried)

    def over_quota(self, address):
        big = pathlib.Path(place, "big.eml")
        big.write_bytes(b"Subject: x\n\n" + b"x" * 70 * 20000)
        return ctl("acme_op", "import", address, str(big), expect=FAILED)

    def test_crossing(self):
        """Mail stays within a tenant, unless the operator of the host forces it."""
        self.assertIn("does not exist", ctl("acme_op", "alias", "add", "x@acme.example", THEIRS, "--force", expect=FAILED))
        for args in (("alias", "add", "x@acme.example", THEIRS), ("domain", "add", "y.example", "--tenant", "beta", "--alias-of", "acme.example")):
            self.assertIn("--force", ctl(None, *args, expect=FAILED))
            ctl(None, *args, "--force")
        self.assertIn("--force", ctl(None, "alias", "set", "x@acme.example", OURS, THEIRS, expect=FAILED))
        ctl(None, "alias", "add", "x@acme.example", OURS)
        # It is no secret of acme's that it goes elsewhere, but where is none of their business.
        self.assertNotIn("beta", ctl("acme_op", "alias", "list"))
        ctl("acme_op", "alias", "remove", "x@acme.example")
        ctl(None, "domain", "remove", "y.example")
        ctl(None, "domain", "add", "z.example", "--alias-of", "acme.example")
        self.assertIn("--force", ctl(None, "domain", "set", "z.example", "--tenant", "beta", expect=FAILED))
        ctl(None, "domain", "remove", "z.example")

    def test_limits(self):
        self.addCleanup(ctl, None, "tenant", "set", "beta", "--max-mailboxes", "none", "--max-domains", "none")
        ctl(None, "tenant", "set", "beta", "--max-mailboxes", "3", "--max-domains", "1")
        self.assertEqual(json.loads(ctl("beta_op", "--json", "tenant", "show", "beta"))["max_mailboxes"], 3)
        ctl("beta_op", "mailbox", "add", "c@beta.example")
        for who in ("beta_op", None):
            self.assertIn("may have 3 mailboxes", ctl(who, "mailbox", "add", "d@beta.example", expect=FAILED))
        self.assertIn("may have 1 domains", ctl(None, "domain", "add", "more.example", "--tenant", "beta", expect=FAILED))
        ctl("beta_op", "mailbox", "remove", "c@beta.example")
        # What it has beyond a limit it keeps, and that is no reason to refuse something else.
        ctl(None, "tenant", "set", "beta", "--max-domains", "0")
        ctl("beta_op", "mailbox", "add", "c@beta.example")
        ctl(None, "tenant", "set", "beta", "--max-mailboxes", "1", "--max-domains", "2")
        ctl(None, "domain", "add", "second.example", "--tenant", "beta")
        ctl(None, "domain", "remove", "second.example")
        ctl("beta_op", "mailbox", "remove", "c@beta.example")
        self.assertIn("may have 0 mailboxes", ctl(None, "tenant", "add", "none", "--max-mailboxes", "0") +
                      ctl(None, "domain", "add", "none.example", "--tenant", "none") + ctl(None, "mailbox", "add", "a@none.example", expect=FAILED))
        ctl(None, "tenant", "remove", "none", "--yes")

    def test_final(self):
        """What the host has named as final stays, or gets stricter; nothing of the host's is set by a tenant."""
        ctl(None, "policy", "set", "tls_only=true", "login_delay=10", "final=tls_only,login_delay,maintenance")
        ctl(None, "policy", "set", "--domain", "acme.example", "sessions=50", "final=sessions")
        self.addCleanup(ctl, None, "policy", "clear")
        self.addCleanup(ctl, None, "policy", "clear", "--domain", "acme.example")
        domain, mailbox = ("--domain", "acme.example"), ("--mailbox", OURS)
        for scope, switch, why in ((domain, "tls_only=false", "is final"), (mailbox, "tls_only=false", "is final"), (mailbox, "login_delay=9", "is final"),
                                   (domain, "maintenance=x", "is final"), (domain, "sessions=10", "is final"), (domain, "sessions=default", "is final"),
                                   (mailbox, "undelete=100", "operator of the host"), (domain, "trace=5m", "operator of the host"),
                                   (domain, "codec=zstd", "operator of the host"), (domain, "final=default", "operator of the host"),
                                   (("--tenant", "acme"), "pop3=false", "operator of the host"), ((), "pop3=false", "operator of the host")):
            self.assertIn(why, ctl("acme_op", "policy", "set", *scope, switch, expect=FAILED), (scope, switch))
        self.assertIn("operator of the host", ctl("acme_op", "policy", "clear", *domain, expect=FAILED))
        for scope in (("--tenant", "acme"), ("--tenant", "beta"), ()):
            self.assertIn("operator of the host", ctl("acme_op", "policy", "clear", *scope, expect=FAILED))
        for scope, switch in ((domain, "login_delay=20"), (mailbox, "tls_only=true"), (domain, "replace_nul=true"), (mailbox, "pop3=false"), (domain, "replace_nul=default")):
            ctl("acme_op", "policy", "set", *scope, switch)
        ctl("acme_op", "policy", "clear", *mailbox)
        self.assertIn("a list of", ctl(None, "policy", "set", "final=trace", expect=FAILED))
        # What goes with a mailbox goes.
        ctl("acme_op", "mailbox", "add", "gone@acme.example")
        ctl(None, "policy", "set", "--mailbox", "gone@acme.example", "undelete=3", "tls_only=true", "final=tls_only")
        ctl("acme_op", "mailbox", "remove", "gone@acme.example")

    def test_operators(self):
        for name, why in (("postern_x", "belongs to"), ("pg_x", "belongs to"), ("Acme", "its name"), ("a b", "its name"), ("x\"; drop role acme_op; --", "its name"),
                          ("", "its name"), ("a" * 64, "its name"), ("postgres", "belongs to"), ("public", "belongs to"), ("acme_op", "already exists"),
                          ("taken", "for something else")):
            if name == "taken":
                sql("create role taken")
                self.addCleanup(sql, "drop role taken")
            self.assertIn(why, ctl("postgres", "tenant", "operator", "add", "acme", name, expect=FAILED), name)
        self.assertIn("already exists", ctl("postgres", "tenant", "operator", "add", "beta", "acme_op", expect=FAILED))
        self.assertIn('no right "everything"', ctl("postgres", "tenant", "operator", "add", "acme", "x1", "--rights", "mail,everything", expect=FAILED))
        self.assertIn("does not exist", ctl("postgres", "tenant", "operator", "add", "nobody", "x1", expect=FAILED))
        self.assertEqual(sql("select count(*) from pg_roles where rolname = 'x1'"), "0")
        # Who may not create roles makes no operators.
        self.assertIn("permission denied", ctl(None, "tenant", "operator", "add", "acme", "x1", expect=FAILED))
        ctl("postgres", "tenant", "operator", "add", "acme", "acme-2", "--connections", "2")
        row = [r for r in json.loads(ctl(None, "--json", "tenant", "operator", "list", "acme")) if r["operator"] == "acme-2"][0]
        self.assertEqual((row["rights"], row["connections"], row["fault"]), ("accounts,passwords,policies,sessions,history", 2, None))
        self.assertIn('needs the right "mail"', ctl("acme-2", "message", "list", OURS, expect=FAILED))
        ctl("postgres", "tenant", "operator", "set", "acme-2", "--rights", "mail")
        self.assertIn("1  ", ctl("acme-2", "message", "list", OURS))
        self.assertIn('needs the right "accounts"', ctl("acme-2", "mailbox", "add", "y@acme.example", expect=FAILED))
        ctl("postgres", "tenant", "operator", "password", "acme-2", stdin=b"a long password\n")
        self.assertTrue(sql("select rolpassword from pg_authid where rolname = 'acme-2'").startswith("SCRAM-SHA-256$"))
        for role in ("postgres", "postern_admin"):
            self.assertIn("does not exist", ctl("postgres", "tenant", "operator", "password", role, stdin=b"x\n", expect=FAILED))
            self.assertIn("does not exist", ctl("postgres", "tenant", "operator", "remove", role, expect=FAILED))
        sql("alter role \"acme-2\" createrole")
        self.assertIn("attributes", ctl("postgres", "tenant", "operator", "password", "acme-2", stdin=b"x\n", expect=FAILED))
        self.assertIn("operator acme-2 cannot be used", ctl(None, "check", "--quick", expect=FAILED))
        sql("alter role \"acme-2\" nocreaterole")
        self.assertIn("has domains or operators", psql("select postern.remove_tenant('acme')", "postgres"))
        ctl("postgres", "tenant", "operator", "remove", "acme-2")
        self.assertEqual(sql("select count(*) from pg_roles where rolname = 'acme-2'"), "0")

    def test_a_name_given_again(self):
        """A table says who one is, and by name: the role of a removed operator is gone with the row."""
        ctl("postgres", "tenant", "operator", "add", "acme", "acme-3")
        with Session("acme-3") as other:
            kit.wait_until(lambda: sql("select count(*) from pg_stat_activity where usename = 'acme-3'") == "1")
            ctl("postgres", "tenant", "operator", "remove", "acme-3")
            kit.wait_until(lambda: sql("select count(*) from pg_stat_activity where usename = 'acme-3'") == "0")
            self.assertNotEqual(other.psql.communicate(b"select 1;\n")[0:1], (b"1\n",))


class Audit(unittest.TestCase):
    def rows(self, who=None, *args):
        return json.loads(ctl(who, "--json", "audit", *args))

    def test_each_change(self):
        """Of the host's operator and of a tenant's, by the same triggers."""
        for who, role, there in ((None, "postern_admin", True), ("acme_op", "acme_op", True)):
            name = f"audit{len(role)}@acme.example"
            ctl(who, "mailbox", "add", name, "--quota", "5M")
            ctl(who, "password", name, stdin=b"secret one\n")
            ctl(who, "password", name, stdin=b"secret two\n")
            ctl(who, "mailbox", "set", name, "--quota", "6M")
            ctl(who, "mailbox", "set", name, "--quota", "6M")       # changes nothing
            ctl(who, "policy", "set", "--mailbox", name, "pop3=false")
            ctl(who, "mailbox", "remove", name)
            got = self.rows(None, name)
            self.assertTrue(all(r["who"] == role and r["tenant"] == "acme" for r in got), got)
            self.assertEqual([(r["kind"], r["change"]) for r in got],
                             [("mailbox", "added"), ("secret", "added"), ("secret", "changed"), ("mailbox", "changed"), ("policy", "added"), ("policy", "changed"),
                              ("mailbox", "changed"), ("mailbox", "removed")])
            self.assertEqual((json.loads(got[3]["old"]), json.loads(got[3]["new"])), ({"quota": 5242880}, {"quota": 6291456}))
            self.assertNotRegex(json.dumps(got), "argon2|secret one|secret two")
            # The program of the host's operator is none of the tenant's business.
            self.assertRegex(str(self.rows("acme_op", name)[0]["program"]), "^posternctl [a-z]" if who else "^None$")
            self.assertRegex(got[0]["program"], "^posternctl [a-z]")
            self.assertEqual(self.rows("beta_op", name), [])
        self.assertNotEqual(self.rows(None, "acme_op"), [])

    def test_mail(self):
        """Who opens people's mail leaves a row, and cannot take it back while they read."""
        mailbox = sql(f"select mailbox from postern.mailbox where address = 'bob@acme.example'")
        read = f"select count(*) from postern_tenant.read_parts({mailbox}, '{{1}}', 0, 1)"
        sql("delete from postern.audit where kind = 'mail'")
        self.assertIn("PN403 mail is opened by", psql(read, "acme_op"))
        for begin in ("begin; select postern_tenant.open_mail('bob@acme.example');", "begin; savepoint s; select postern_tenant.open_mail('bob@acme.example'); release s;"):
            self.assertIn("PN403 mail is opened by", psql(f"{begin} {read}; rollback", "acme_op"))
        self.assertEqual(psql(f"select postern_tenant.open_mail('bob@acme.example'); {read}", "acme_op"), "1")
        self.assertEqual([(r["kind"], r["change"], r["name"]) for r in self.rows("acme_op", "bob@acme.example") if r["kind"] == "mail"],
                         [("mail", "opened", "bob@acme.example")])

    def test_a_delivery_asks_for_nothing(self):
        """The columns that it changes are not those of the trigger; a login's writes are no changes."""
        columns = sql("select string_agg(a.attname, ' ') from pg_trigger t, unnest(t.tgattr) n join pg_attribute a on a.attrelid = 'postern.mailbox'::regclass"
                      " and a.attnum = n where t.tgname = 'note_change' and t.tgrelid = 'postern.mailbox'::regclass")
        self.assertFalse({"next_uid", "messages", "octets", "expunges", "proof"} & set(columns.split()), columns)
        before = sql("select count(*) from postern.audit")
        mailbox = sql(f"select mailbox from postern.mailbox where address = '{OURS}'")
        old = sql(f"select secret from postern.credential where mailbox = {mailbox} and kind = 'password'")
        self.assertEqual(sql(f"select postern.upgrade_secret({mailbox}, 'password', '', '{old}', '{old}')", "postern_auth"), "t")
        # Nor is a seal.
        self.assertEqual(sql(f"select postern.replace_secret(credential, secret, secret || '') from postern.credential where mailbox = {mailbox}"), "t")
        self.assertEqual(sql("select count(*) from postern.audit"), before)


class Restored(unittest.TestCase):
    def test_dump(self):
        """Policies, rights and who is an operator are in a dump; their roles are made again."""
        tools = privatepg.bindir()
        env = dict(os.environ, PGHOST=pg.dir, PGUSER="postgres")
        ctl("postgres", "tenant", "operator", "add", "acme", "acme_moved", "--rights", "history")
        self.addCleanup(lambda: ctl("postgres", "tenant", "operator", "remove", "acme_moved"))
        sql("create database restored", database="postgres")
        self.addCleanup(sql, "drop database restored", database="postgres")
        dump = os.path.join(place, "dump")
        subprocess.run([os.path.join(tools, "pg_dump"), "-Fc", "-f", dump, "mail"], env=env, check=True)
        # As in another cluster, where nobody has made it yet.
        sql("drop role acme_moved")
        subprocess.run([os.path.join(tools, "pg_restore"), "-d", "restored", "--exit-on-error", dump], env=env, check=True)
        # The parentheses of a CHECK are read back in another way.
        differences = catalogue.differences(catalogue.lines(sql), catalogue.lines(lambda text: sql(text, database="restored")))
        self.assertEqual([line for line in differences if "policy_maintenance_check" not in line], [])
        other = os.path.join(place, "restored.conf")
        write_conf(other, "restored")
        listed = {r["operator"]: r for r in json.loads(ctl(None, "--json", "tenant", "operator", "list", config=other))}
        self.assertIn("add the operator again", listed["acme_moved"]["fault"])
        self.assertIsNone(listed["acme_op"]["fault"])
        ctl("postgres", "tenant", "operator", "add", "acme", "acme_moved", config=other)
        self.assertIn("with the rights: history", ctl("acme_moved", "whoami", config=other))
        self.assertNotIn("beta", ctl("acme_moved", "mailbox", "list", config=other))
        self.assertIn("anna@acme.example", ctl("acme_moved", "mailbox", "list", config=other))


class Sessions(unittest.TestCase):
    """With posternd: a tenant's operator sees and ends the sessions of the tenant."""

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("tenants-", kit.QUICK + "cells = 1;\n")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        for tenant in ("acme", "beta"):
            cls.site.ctl("tenant", "add", tenant)
            cls.site.ctl("domain", "add", f"{tenant}.example", "--tenant", tenant)
            cls.site.account(f"anna@{tenant}.example", [kit.letter(1)])
        lab = cls.site.lab
        hba = lab.data / "pg_hba.conf"
        hba.write_text("local all acme_op trust\n" + hba.read_text())
        lab.sql("select pg_reload_conf()")
        lab.sql("select postern.add_operator('acme', 'acme_op', null, null)")
        kit.wait_until(lambda: cls.site.ctl("--as", "user=acme_op", "whoami", check=False).returncode == 0)

    def op(self, *args, check=True):
        return self.site.ctl("--as", "user=acme_op", *args, check=check)

    def test_sessions_and_break(self):
        with self.site.login("anna@acme.example") as ours, self.site.login("anna@beta.example") as theirs:
            for tenant in ("acme", "beta"):
                number = json.loads(self.site.ctl("--json", "tenant", "show", tenant).stdout)["number"]
                said = rf'login user="anna@{tenant}.example" .* tenant={number}\n'
                self.assertTrue(kit.wait_until(lambda said=said: re.search(said, self.site.log_text())), self.site.log_text())
            listed = json.loads(self.site.ctl("--json", "sessions").stdout)
            self.assertEqual({s["address"] for s in listed if s["answered"]}, {"anna@acme.example", "anna@beta.example"})
            listed = json.loads(self.op("--json", "sessions").stdout)
            self.assertEqual([(s["address"], s["answered"]) for s in listed], [("anna@acme.example", True)])
            self.assertIn(b"does not exist", self.op("break", "anna@beta.example", check=False).stdout)
            self.assertIn(b"ended the session", self.op("break", "anna@acme.example").stdout)
            kit.wait_until(lambda: not self.site.sql("select 1 from postern.held_maildrops() where address like '%acme%'"))
            ours.close()
            # By hand, as who may send any notification: what is beta's goes on.
            mailbox = self.site.mailbox("anna@beta.example")
            subprocess.run(["psql", "-XAtq", "-U", "acme_op", "-c", f"notify postern_ask, 'order {mailbox} postern_reply_0123456789abcdef'"],
                           env=self.site.lab.env(), check=True)
            kit.wait_until(lambda: "ignoring a release order" in self.site.log_text())
            theirs.ok("NOOP")
            theirs.ok("QUIT")

    def test_who_listens(self):
        """The answers of workers go to who asked, not to who listens; of a question that somebody forges only their own are shown."""
        with self.site.login("anna@acme.example") as ours, self.site.login("anna@beta.example") as theirs:
            channel = "postern_reply_0123456789abcdef"
            self.op("whoami")
            done = subprocess.run(["psql", "-XAtq", "-U", "acme_op"], input=f"listen {channel}; notify postern_ask, 'who {channel}';\n"
                                  + "select count(*) from generate_series(1, 300000);\n" * 3
                                  + f"select 'answers', a.mailbox from postern_tenant.answers('{channel}') a;\n", text=True,
                                  env=self.site.lab.env(), stdout=subprocess.PIPE, check=True)
            self.assertNotIn('"peer"', done.stdout)
            self.assertNotIn(f"answers|{self.site.mailbox('anna@beta.example')}\n", done.stdout)
            ours.ok("QUIT")
            theirs.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
