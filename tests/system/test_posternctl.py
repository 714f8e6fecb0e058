#!/usr/bin/env python3
"""posternctl against a real PostgreSQL: every verb, imports and exports, check --repair, grants."""

import hashlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
from privatepg import PrivatePG  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CTL = os.path.join(TOP, os.environ.get('BUILD', 'build'), 'posternctl')

DONE, FAILED, USAGE, PARTLY, NO_DATABASE, WRONG_SCHEMA = range(6)
FROM_ = b'From a@b Sun Nov 22 21:45:20 2026\n'


def setUpModule():
    global pg
    pg = PrivatePG().start()


def tearDownModule():
    pg.stop()


class Base(unittest.TestCase):
    """Each class has a database of its own."""

    database = None
    partitions = None

    @classmethod
    def setUpClass(cls):
        cls.database = 'db_' + cls.__name__.lower()
        cls.dir = tempfile.mkdtemp(prefix='pctl-', dir='/tmp')
        pg.sql('postgres', 'create database %s' % cls.database)
        cls.conf = os.path.join(cls.dir, 'postern.conf')
        with open(cls.conf, 'w') as f:
            f.write('database = "%s";\nauth_argon2_memory = "8M";\nauth_argon2_passes = 1;\n' % pg.conninfo(cls.database))
        if cls is not Schema:
            words = ['schema', 'init'] + (['--partitions', cls.partitions] if cls.partitions else [])
            done = cls.run_ctl('--as', 'user=postgres', *words)
            assert done.returncode == DONE, done.stderr
            for verb in (('tenant', 'add', 'acme'), ('domain', 'add', 'example.org', '--tenant', 'acme')):
                assert cls.run_ctl(*verb).returncode == DONE

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    @classmethod
    def run_ctl(cls, *args, stdin=b''):
        return subprocess.run([CTL, '-c', cls.conf, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ctl(self, *args, stdin=b'', exit=DONE):
        done = self.run_ctl(*args, stdin=stdin)
        self.assertEqual(done.returncode, exit, (args, done.stdout[-500:], done.stderr))
        return done.stdout.decode()

    def err(self, *args, stdin=b'', exit=FAILED):
        done = self.run_ctl(*args, stdin=stdin)
        self.assertEqual(done.returncode, exit, (args, done.stdout[-500:], done.stderr))
        return done.stderr.decode()

    def json(self, *args, exit=DONE):
        return json.loads(self.ctl('--json', *args, exit=exit))

    def sql(self, text, user='postgres'):
        return pg.sql(self.database, text, user)

    def mailbox(self, name):
        address = name + '@example.org'
        self.ctl('mailbox', 'add', address)
        return address

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, octets, mtime=None):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f:
            f.write(octets)
        if mtime is not None:
            os.utime(path, (mtime, mtime))
        return path

    def messages(self, address):
        """The octets of all messages, in their order."""
        return [self.raw(address, m['uid']) for m in self.json('message', 'list', address)]

    def raw(self, address, uid):
        done = self.run_ctl('message', 'show', address, str(uid), '--raw')
        self.assertEqual(done.returncode, DONE, done.stderr)
        return done.stdout

    def digests(self, address):
        return self.sql("select c.octets, encode(c.digest, 'hex') from postern.message g join postern.content c using (content)"
                        " join postern.mailbox m using (mailbox) where m.address = '%s' order by g.uid" % address).split('\n')

    def check_clean(self):
        self.assertEqual(self.json('check')['wrong'], 0)


class CommandLine(Base):
    def test_help_of_each_verb(self):
        text = self.ctl('--help')
        verbs = re.findall(r'^  ([a-z][a-z-]*(?: (?:init|upgrade|status|add|show|list|set|enable|disable|remove|new-key|new-ticket-key|seal|unseal))?)\b', text, re.M)
        self.assertGreater(len(verbs), 35)
        for verb in verbs:
            self.assertIn('usage: posternctl', self.ctl(*verb.split(), '--help'))
        self.assertIn('tenant disable', self.ctl('tenant', '--help'))

    def test_manual_has_each_verb_and_option(self):
        with open(os.path.join(TOP, 'admin', 'posternctl.8')) as f:
            manual = f.read()
        with open(os.path.join(TOP, 'admin', 'verbs.def')) as f:
            for word, action in re.findall(r'^VERB\("(\w+)", (?:"(\w+)"|NULL)', f.read(), re.M):
                self.assertRegex(manual, r'(?m)^\.It Ic %s%s\b' % (word, ' ' + action if action else ''))
        with open(os.path.join(TOP, 'admin', 'options.def')) as f:
            names = re.findall(r'^OPTION\(\w+, "([\w-]+)"', f.read(), re.M)
        self.assertGreater(len(names), 35)
        for name in names:
            self.assertRegex(manual, r'Fl -%s\b' % name)

    def test_manual_has_the_options_of_each_verb(self):
        """In its synopsis, or in those of its forms; help says the same."""
        options, verbs, manual = {}, {}, {}
        with open(os.path.join(TOP, 'admin', 'options.def')) as f:
            options.update(re.findall(r'^OPTION\((\w+), "([\w-]+)"', f.read(), re.M))
        with open(os.path.join(TOP, 'admin', 'verbs.def')) as f:
            for line in re.findall(r'^VERB\(.*', f.read(), re.M):
                word, action, taken, usage = re.match(r'VERB\("([\w-]+)", (?:"([\w-]+)"|NULL), \w+, (?:[^,]+, ){4}(.*?), "((?:[^"\\]|\\.)*)"', line).groups()
                verb = word + (' ' + action if action else '')
                verbs[verb] = {options[o] for o in re.findall(r'OPT_(\w+)', taken)}
                self.assertEqual(set(re.findall(r'--([\w-]+)', usage)), verbs[verb], verb)
        with open(os.path.join(TOP, 'admin', 'posternctl.8')) as f:
            for synopsis in re.findall(r'^\.It Ic (.*)', f.read(), re.M):
                verb = max((v for v in verbs if (synopsis + ' ').startswith(v + ' ')), key=len, default='')
                manual.setdefault(verb, set()).update(re.findall(r'(?:Fl|\|) -([\w-]+)', synopsis))
        for verb, taken in verbs.items():
            self.assertEqual(manual[verb], taken, verb)

    def test_usage(self):
        self.err(exit=USAGE)
        self.assertIn('unknown verb', self.err('frobnicate', exit=USAGE))
        self.assertIn('frob', self.err('tenant', 'frob', exit=USAGE))
        self.err('tenant', exit=USAGE)
        self.err('tenant', 'add', exit=USAGE)
        self.err('tenant', 'add', 'a', 'b', exit=USAGE)
        self.err('tenant', 'add', 'a', '--repair', exit=USAGE)
        self.err('tenant', 'add', 'a', '--quota', 'much', exit=USAGE)
        self.err('tenant', 'set', 'a', exit=USAGE)
        self.err('--json', 'tenant', 'add', 'a', exit=USAGE)
        self.err('--bogus', exit=USAGE)
        self.err('tenant', 'list', '--json', '--json', exit=USAGE)

    def test_broken_configuration(self):
        path = self.write('broken.conf', b'database = 5;\n')
        done = subprocess.run([CTL, '-c', path, 'tenant', 'list'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b'broken.conf:1', done.stderr)
        done = subprocess.run([CTL, '-c', '/nonexistent', 'tenant', 'list'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, FAILED)


class Schema(Base):
    def test_life_of_a_schema(self):
        # The role postern_admin may not be there yet.
        status = self.json('--as', 'user=postgres', 'schema', 'status', exit=WRONG_SCHEMA)
        self.assertEqual((status['found'], status['usable']), (0, False))
        self.assertIn('schema init', status['advice'])
        self.assertIn('schema init', self.err('--as', 'user=postgres', 'tenant', 'list', exit=WRONG_SCHEMA))
        self.err('--as', 'user=postgres', 'schema', 'upgrade', exit=WRONG_SCHEMA)
        self.err('--as', 'user=postgres', 'schema', 'init', '--partitions', 'many', exit=USAGE)
        self.ctl('--as', 'user=postgres', 'schema', 'init')
        status = self.json('schema', 'status')
        self.assertEqual(status['found'], status['wanted'])
        self.assertEqual(self.sql('select version, name from postern.schema_version'), '%d|schema' % status['wanted'])
        self.assertIn('already', self.err('--as', 'user=postgres', 'schema', 'init'))
        self.ctl('--as', 'user=postgres', 'schema', 'upgrade')
        self.sql("insert into postern.schema_version values (9999, '9999_later')")
        self.err('tenant', 'list', exit=WRONG_SCHEMA)
        self.err('--as', 'user=postgres', 'schema', 'upgrade', exit=WRONG_SCHEMA)
        self.sql('delete from postern.schema_version where version = 9999')
        self.ctl('tenant', 'list')

    def test_without_the_right(self):
        pg.sql('postgres', 'create database powerless')
        conf = self.write('powerless.conf', ('database = "%s";' % pg.conninfo('powerless')).encode())
        pg.sql('postgres', 'create role nobody_much login')
        done = subprocess.run([CTL, '-c', conf, '--as', 'user=nobody_much', 'schema', 'init'], stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b'permission denied', done.stderr)
        self.assertEqual(pg.sql('powerless', "select to_regnamespace('postern') is null"), 't')

    def test_wrong_encoding(self):
        pg.sql('postgres', "create database ascii encoding 'SQL_ASCII' template template0")
        conf = self.write('ascii.conf', ('database = "%s";' % pg.conninfo('ascii')).encode())
        done = subprocess.run([CTL, '-c', conf, '--as', 'user=postgres', 'schema', 'init'], stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b'UTF8', done.stderr)

    def test_database_absent(self):
        conf = self.write('absent.conf', b'database = "host=/nonexistent dbname=x";')
        done = subprocess.run([CTL, '-c', conf, 'tenant', 'list'], stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, NO_DATABASE)
        self.assertIn(b'cannot be reached', done.stderr)


class Accounts(Base):
    def test_tenant(self):
        self.ctl('tenant', 'add', 'other', '--quota', '1M')
        self.assertIn('already exists', self.err('tenant', 'add', 'other'))
        for name in ('Upper', 'with space', "quo'te", '', 'ä', 'x' * 64):
            self.err('tenant', 'add', name)
        self.assertEqual(self.json('tenant', 'show', 'other')['quota'], 1 << 20)
        self.ctl('tenant', 'set', 'other', '--name', 'third', '--quota', 'none')
        self.assertIsNone(self.json('tenant', 'show', 'third')['quota'])
        self.assertEqual(self.json('tenant', 'show', 'third')['quota_messages_each'], 1000000)
        self.ctl('tenant', 'set', 'third', '--quota-messages', '7', '--quota-messages-each', 'none')
        self.assertEqual([self.json('tenant', 'show', 'third')[name] for name in ('quota_messages', 'quota_messages_each')], [7, None])
        self.err('tenant', 'set', 'third', '--quota-messages', '5k', exit=USAGE)
        self.assertIn('does not exist', self.err('tenant', 'show', 'other'))
        self.err('tenant', 'set', 'other', '--quota', '5')
        self.err('tenant', 'set', 'third', '--name', 'acme')
        self.ctl('tenant', 'disable', 'third')
        self.assertFalse(self.json('tenant', 'show', 'third')['enabled'])
        self.ctl('tenant', 'enable', 'third')
        self.assertEqual([t['name'] for t in self.json('tenant', 'list')], ['acme', 'third'])
        self.ctl('tenant', 'remove', 'third')
        self.assertIn('does not exist', self.err('tenant', 'remove', 'third'))

    def test_domain(self):
        self.ctl('domain', 'add', 'Bücher.Example.', '--tenant', 'acme')
        self.assertEqual(self.json('domain', 'show', 'BÜCHER.example')['name'], 'xn--bcher-kva.example')
        self.assertIn('already exists', self.err('domain', 'add', 'xn--bcher-kva.example', '--tenant', 'acme'))
        for name in ('with space.org', 'a@b.org', '', 'x..y', 'a' * 64 + '.org'):
            self.err('domain', 'add', name, '--tenant', 'acme')
        self.err('domain', 'add', 'no.tenant', exit=USAGE)
        self.err('domain', 'add', 'no.tenant', '--tenant', 'nobody')
        self.ctl('domain', 'set', 'bücher.example', '--name', 'books.example', '--quota', '2k')
        self.ctl('mailbox', 'add', 'a@books.example')
        self.ctl('alias', 'add', '@books.example', 'a@books.example')
        self.ctl('domain', 'set', 'books.example', '--name', 'livres.example')
        self.assertEqual(self.json('mailbox', 'list', 'livres.example')[0]['address'], 'a@livres.example')
        self.assertEqual(self.json('alias', 'list', 'livres.example')[0]['address'], '@livres.example')
        self.err('domain', 'set', 'livres.example', '--name', 'example.org')
        self.ctl('domain', 'add', 'alias.example', '--alias-of', 'livres.example')
        self.assertEqual(self.json('domain', 'show', 'alias.example')['alias_of'], 'livres.example')
        self.assertIn('is an alias of', self.err('mailbox', 'add', 'b@alias.example'))
        self.assertIn('is an alias of', self.err('domain', 'add', 'twice.example', '--alias-of', 'alias.example'))
        self.assertIn('1 mailbox', self.err('domain', 'remove', 'livres.example'))
        self.assertIn('alias', self.err('domain', 'remove', 'livres.example', '--yes'))
        self.ctl('domain', 'remove', 'alias.example')
        self.ctl('domain', 'remove', 'livres.example', '--yes')
        self.ctl('domain', 'disable', 'example.org')
        self.assertFalse(self.json('domain', 'list', '--tenant', 'acme')[0]['enabled'])
        self.ctl('domain', 'enable', 'example.org')

    def test_mailbox(self):
        self.ctl('mailbox', 'add', 'Anna@EXAMPLE.org', '--quota', '1G')
        self.assertEqual(self.json('mailbox', 'show', 'anna@example.org')['quota'], 1 << 30)
        for value, shown in (('5', 5), ('0', 0), ('none', 1000000)):
            self.ctl('mailbox', 'set', 'anna@example.org', '--quota-messages', value)
            self.assertEqual(self.json('mailbox', 'show', 'anna@example.org')['quota_messages'], shown)
        self.assertIn('already exists', self.err('mailbox', 'add', 'ANNA@example.org'))
        for name in ('anna', '@example.org', 'anna@', 'a b@example.org', 'a\n@example.org', 'q"uote@example.org', 'a\\b@example.org', '%s;--@example.org', 'x' * 65 + '@example.org'):
            self.err('mailbox', 'add', name)
        self.assertIn('domain nowhere.org does not exist', self.err('mailbox', 'add', 'a@nowhere.org'))
        for name in ("o'neil@example.org", '"q\\"uote"@example.org', 'käthe@example.org', '"a\\\\b"@example.org', '"%s;--"@example.org'):
            self.ctl('mailbox', 'add', name)
            self.assertEqual(self.json('mailbox', 'show', name)['address'], name)
            self.ctl('mailbox', 'remove', name)
        self.ctl('mailbox', 'set', 'anna@example.org', '--name', 'hanna@example.org')
        self.err('mailbox', 'show', 'anna@example.org')
        self.assertIn('stays in its domain', self.err('mailbox', 'set', 'hanna@example.org', '--name', 'hanna@other.org'))
        self.ctl('mailbox', 'disable', 'hanna@example.org')
        self.assertFalse(self.json('mailbox', 'show', 'hanna@example.org')['active'])
        self.ctl('mailbox', 'enable', 'hanna@example.org')
        first = self.json('mailbox', 'show', 'hanna@example.org')['uidvalidity']
        self.ctl('mailbox', 'remove', 'hanna@example.org')
        self.assertIn('does not exist', self.err('mailbox', 'remove', 'hanna@example.org'))
        # U05: made again, it has other UIDLs
        self.ctl('mailbox', 'add', 'hanna@example.org')
        self.assertNotEqual(self.json('mailbox', 'show', 'hanna@example.org')['uidvalidity'], first)

    def test_alias(self):
        for name in ('bob', 'eve'):
            self.mailbox(name)
        self.ctl('alias', 'add', 'Info@example.org', 'bob@example.org', 'eve@example.org')
        self.assertEqual([a['mailbox'] for a in self.json('alias', 'show', 'info@example.org')], ['bob@example.org', 'eve@example.org'])
        self.assertIn('already', self.err('alias', 'add', 'info@example.org', 'bob@example.org'))
        self.err('alias', 'add', 'x@example.org', 'nobody@example.org')
        self.err('alias', 'add', 'bob@example.org', 'eve@example.org')
        self.err('mailbox', 'add', 'info@example.org')
        self.err('alias', 'show', 'x@example.org')
        self.ctl('alias', 'disable', 'info@example.org')
        self.ctl('alias', 'set', 'info@example.org', 'eve@example.org')
        self.assertEqual([(a['mailbox'], a['enabled']) for a in self.json('alias', 'list')], [('eve@example.org', False)])
        self.ctl('alias', 'enable', 'info@example.org')
        self.err('alias', 'set', 'none@example.org', 'eve@example.org')
        # All of its new targets, or the old ones.
        self.err('alias', 'set', 'info@example.org', 'bob@example.org', 'nobody@example.org')
        self.assertEqual(len(self.json('alias', 'show', 'info@example.org')), 1)
        self.ctl('alias', 'add', '@example.org', 'bob@example.org')
        self.assertEqual(len(self.json('alias', 'list', 'example.org')), 2)
        self.err('alias', 'remove', 'info@example.org', 'bob@example.org')
        self.ctl('alias', 'remove', 'info@example.org', 'eve@example.org')
        self.err('alias', 'remove', 'info@example.org')
        self.ctl('alias', 'remove', '@example.org')
        self.ctl('mailbox', 'remove', 'bob@example.org')
        self.ctl('mailbox', 'remove', 'eve@example.org')

    def test_removal_says_how_much(self):
        self.ctl('tenant', 'add', 'gone')
        self.ctl('domain', 'add', 'gone.example', '--tenant', 'gone')
        self.ctl('domain', 'add', 'aka.example', '--alias-of', 'gone.example')
        self.ctl('mailbox', 'add', 'a@gone.example')
        self.ctl('import', 'a@gone.example', self.write('gone.eml', b'A: 1\n\nx\n'))
        self.assertIn('1 message(s), 11 octets', self.err('mailbox', 'remove', 'a@gone.example'))
        self.assertIn('2 domain(s) with 1 mailbox(es), 1 message(s), 11 octets', self.err('tenant', 'remove', 'gone'))
        self.ctl('tenant', 'remove', 'gone', '--yes')
        self.assertEqual(self.sql('select count(*) from postern.content'), '0')
        self.check_clean()

    def test_json_is_valid_for_odd_names(self):
        name = '"x\\"\\\\/\u00e4\u20ac"@example.org'
        self.ctl('mailbox', 'add', name)
        self.assertIn(name, [m['address'] for m in self.json('mailbox', 'list')])
        self.ctl('mailbox', 'remove', name)

    def test_settings_of_the_database(self):
        """What a database sets for its sessions is not for us; and a lock that is held is waited for."""
        for setting in ('default_transaction_read_only = on', "default_transaction_isolation = 'serializable'", "lock_timeout = '1ms'"):
            pg.sql('postgres', 'alter database %s set %s' % (self.database, setting))
        try:
            self.ctl('tenant', 'add', 'ro')
            self.ctl('tenant', 'remove', 'ro')
        finally:
            pg.sql('postgres', 'alter database %s reset all' % self.database)

    def test_held_maildrop(self):
        address = self.mailbox('held')
        with Holder(self, address):
            self.assertIn('holds the maildrop', self.err('mailbox', 'remove', address))
            self.ctl('mailbox', 'remove', address, '--force')


class Holder:
    """A connection that holds a maildrop, as a worker would."""

    def __init__(self, case, address):
        self.psql = subprocess.Popen(pg.psql_argv(case.database, 'postern_mail'), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.mailbox = case.sql("select mailbox from postern.mailbox where address = '%s'" % address)
        # Not the super user: it reads its own notifications and calls only what a worker may.
        self.ask('select pg_backend_pid()')
        self.pid = self.last
        ticket = case.sql("with t as (select '\\x01'::bytea || int8send(%s) || int8send(0) || int8send(0) || int4send(%s)"
                          " || int8send(postern.now_ms() + 120000) as text) select t.text || postern.signed(k, t.text) from t, postern.ticket_key k"
                          " order by k.key desc limit 1" % (self.mailbox, self.pid))
        self.ask("listen postern_ask; select outcome from postern.open_maildrop(%s, null, null, null, null, null, '%s')" % (self.mailbox, ticket))
        case.assertEqual(self.last, '0')

    def ask(self, sql):
        """Returns the lines that psql printed up to the end of this statement."""
        self.psql.stdin.write((sql + ';\n\\echo done\n').encode())
        self.psql.stdin.flush()
        lines = []
        while True:
            line = self.psql.stdout.readline().decode()
            if line in ('done\n', ''):          # an empty line is a function's that returns nothing
                break
            lines.append(line.rstrip('\n'))
        self.last = lines[-1] if lines else None
        return lines

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.psql.stdin.close()
        self.psql.wait()
        self.psql.stdout.close()


class Password(Base):
    def secret(self):
        return self.sql("select secret from postern.credential")

    def test_from_standard_input(self):
        address = self.mailbox('anna')
        self.ctl('password', address, stdin=b'  two words  \r\nignored\n')
        first = self.secret()
        self.assertTrue(first.startswith('$argon2id$'))
        self.assertEqual(self.json('mailbox', 'show', address)['credentials'], 'password')
        for bad in (b'', b'\n', b'\r\n', b'a\0b\n', b'a\rb\n', b'x' * 1025 + b'\n', b'x' * 10240):
            self.err('password', address, stdin=bad)
        self.assertEqual(self.secret(), first)
        done = self.run_ctl('password', address, stdin=b'y' * 1024)
        self.assertEqual(done.returncode, DONE)
        self.assertIn(b'240', done.stderr)
        self.assertNotEqual(self.secret(), first)
        self.err('password', 'nobody@example.org', stdin=b'x\n')
        crypt = '$6$rounds=5000$usesomesillystri$D4IrlXatmP7rx3P3InaxBeoomnAihCKRVQAr/36vbe3yJYsl0OVrRaZX2/xQN2n7Zk8F1m2cR0O7eHfa2D5fO.'
        done = self.run_ctl('password', address, '--hash', stdin=crypt.encode() + b'\n')
        if done.returncode == DONE:
            self.assertEqual(self.secret(), crypt)
        kept = self.secret()
        for bad in (b'plain\n', b'$9$unknown$x\n', b'x' * 600 + b'\n'):
            self.assertNotIn('plain', self.err('password', address, '--hash', stdin=bad).replace('--hash', ''))
        self.assertEqual(self.secret(), kept)
        self.sql('delete from postern.credential')

    def on_terminal(self, address, typed):
        """Types each text after its prompt; returns the exit status and all that the terminal showed."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(CTL, [CTL, '-c', self.conf, 'password', address])
        shown = b''
        for prompt, text in typed:
            while prompt not in shown:
                shown += os.read(fd, 1000)
            os.write(fd, text)
        try:
            while True:
                got = os.read(fd, 1000)
                if not got:
                    break
                shown += got
        except OSError:
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(fd)
        return status, shown

    def test_on_a_terminal(self):
        address = self.mailbox('bob')
        status, shown = self.on_terminal(address, [(b'password: ', b's3cret word\n'), (b'once more: ', b's3cret word\n')])
        self.assertEqual(status, DONE, shown)
        self.assertNotIn(b's3cret', shown)
        status, shown = self.on_terminal(address, [(b'password: ', b'one\n'), (b'once more: ', b'other\n')])
        self.assertEqual(status, FAILED)
        self.assertIn(b'do not match', shown)
        self.sql('delete from postern.credential')


class Import(Base):
    def stored(self, address, path, *options, exit=DONE):
        out = self.ctl('import', address, path, *options, exit=exit)
        return out, self.messages(address)

    def test_line_ends(self):
        """X04: bare LF and bare CR become CRLF, a missing one is added, NULs are kept, nothing else is added."""
        address = self.mailbox('eol')
        path = self.write('eol.eml', b'A: 1\nB: 2\r\n\r\nbare\rlone\n\n.dot\n\0nul\xff\nend')
        _, got = self.stored(address, path)
        self.assertEqual(got, [b'A: 1\r\nB: 2\r\n\r\nbare\r\nlone\r\n\r\n.dot\r\n\0nul\xff\r\nend\r\n'])
        self.assertEqual(self.json('message', 'list', address)[0]['octets'], len(got[0]))
        show = self.json('message', 'show', address, '1')
        self.assertEqual(show['digest'], hashlib.blake2b(got[0], digest_size=32).hexdigest())
        self.assertEqual(show['content_refs'], 1)

    def test_directory_in_name_order(self):
        address = self.mailbox('dir')
        for name in ('b', 'a', 'B', '10', '9', 'é', 'z.eml'):
            self.write('dir/' + name, b'Subject: %s\n\n' % name.encode(), mtime=1000000)
        self.write('dir/.hidden', b'Subject: hidden\n\n')
        _, got = self.stored(address, self.path('dir') + '/')
        self.assertEqual([m.split()[1].decode() for m in got], ['9', '10', 'B', 'a', 'b', 'z.eml', 'é'])
        self.assertEqual({m['received_at'] for m in self.json('message', 'list', address)}, {'1970-01-12T13:46:40Z'})

    def test_rejected(self):
        address = self.mailbox('rejected')
        self.write('bad/1.eml', b'Subject: good\n\n')
        self.write('bad/2 with space.eml', b'')
        self.write('bad/3.png', b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR')
        os.makedirs(self.path('bad/4.dir'))
        os.mkfifo(self.path('bad/5.fifo'))
        os.symlink('/dev/zero', self.path('bad/6.device'))
        os.symlink('/nonexistent', self.path('bad/7.gone'))
        self.write('bad/8.txt', b'Hello world\n')
        self.write('bad/9.eml', b'\nno header\n')
        self.write('bad/A.eml', b'>From a@b once\nSubject: x\n\n')
        self.write('bad/B.eml', FROM_ + b'Subject: y\n\n')
        out, got = self.stored(address, self.path('bad'), exit=PARTLY)
        rejected = [line for line in out.split('\n') if line.startswith('REJECTED ')]
        self.assertEqual(len(rejected), 7, rejected)
        for name, why in (('2 with space.eml', 'empty'), ('3.png', 'not a mail message'), ('4.dir', 'directory'), ('5.fifo', 'regular'),
                          ('6.device', 'symbolic link'), ('7.gone', 'symbolic link'), ('8.txt', 'not a mail message')):
            self.assertTrue(any(self.path('bad/' + name) in line and why in line for line in rejected), (name, rejected))
        self.assertEqual(len(got), 4)
        # From_ lines in front of the header are no part of a message; --any leaves all as it is.
        self.assertEqual(got[2:], [b'Subject: x\r\n\r\n', b'Subject: y\r\n\r\n'])
        self.assertIn('7 rejected', out)
        out, _ = self.stored(self.mailbox('follow'), self.path('bad'), '--follow-links', exit=PARTLY)
        for name, why in (('6.device', 'is not a regular file'), ('7.gone', 'no such file')):
            self.assertRegex(out, f'REJECTED {self.path("bad/" + name)} .*{why}')
        other = self.mailbox('any')
        out, got = self.stored(other, self.path('bad'), '--any', exit=PARTLY)
        self.assertEqual((out.count('REJECTED'), len(got)), (5, 6))
        self.assertEqual(got[4:], [b'>From a@b once\r\nSubject: x\r\n\r\n', FROM_[:-1] + b'\r\nSubject: y\r\n\r\n'])
        summary = self.json('import', address, self.path('bad/3.png'), '/nonexistent', exit=PARTLY)
        self.assertEqual((summary['imported'], len(summary['rejected'])), (0, 2))

    def test_header_forms(self):
        address = self.mailbox('forms')
        good = [b'X:\n', b'Subject : x\n', b'A-b.c_d:x', b'\r\nbody', b'\r', b'From: x\n']
        bad = [b'no colon', b': x', b' folded: x\n', b'a b: x\n', b'\xef\xbb\xbfSubject: x\n', b'\x01: x\n']
        for i, octets in enumerate(good + bad):
            self.write('forms/%02d' % i, octets)
        out = self.ctl('import', address, self.path('forms'), exit=PARTLY)
        self.assertEqual(out.count('REJECTED'), len(bad), out)

    def test_mbox(self):
        address = self.mailbox('mbox')
        path = self.write('box', FROM_ + b'A: 1\n\nFrom here\n>From b\n>>From c\n\n' + FROM_.replace(b'45:20', b'45:21') + b'A: 2\n\n\n'
                          + FROM_ + b'\n' + FROM_ + b'A: 3\n\nend')
        out, got = self.stored(address, path, exit=PARTLY)
        self.assertEqual(got, [b'A: 1\r\n\r\nFrom here\r\nFrom b\r\n>From c\r\n', b'A: 2\r\n\r\n', b'A: 3\r\n\r\nend\r\n'])
        self.assertIn('REJECTED %s:message 3 is empty' % path, out)
        self.assertEqual([m['received_at'] for m in self.json('message', 'list', address)][:2], ['2026-11-22T21:45:20Z', '2026-11-22T21:45:21Z'])
        for quoting, wanted in (('o', b'From here\r\nFrom b\r\n>>From c\r\n'), ('none', b'From here\r\n>From b\r\n>>From c\r\n')):
            _, got = self.stored(self.mailbox('mbox-' + quoting), path, '--quoting', quoting, exit=PARTLY)
            self.assertEqual(got[0], b'A: 1\r\n\r\n' + wanted)
        # Asked for as one message, it is one; with --any bytes unchanged.
        _, got = self.stored(self.mailbox('mbox-eml'), path, '--format', 'eml')
        self.assertEqual((len(got), got[0][:6]), (1, b'A: 1\r\n'))
        _, got = self.stored(self.mailbox('mbox-any'), path, '--format', 'eml', '--any')
        self.assertEqual(len(got), 1)
        self.assertTrue(got[0].startswith(FROM_[:-1]))
        self.ctl('import', address, self.write('no.mbox', b'A: 1\n\n'), '--format', 'mbox', exit=PARTLY)
        self.err('import', address, path, '--format', 'zip', exit=USAGE)
        self.err('import', address, path, '--quoting', 'x', exit=USAGE)

    def test_maildir(self):
        address = self.mailbox('maildir')
        for part in ('tmp', 'cur', 'new'):
            os.makedirs(self.path('md/' + part))
        self.write('md/cur/200.b:2,S', b'A: 3\n\n')
        self.write('md/cur/100.z:2,', b'A: 1\n\n')
        self.write('md/new/200.a', b'A: 2\n\n', mtime=1600000000)
        self.write('md/new/odd', b'A: 4\n\n', mtime=300)
        self.write('md/tmp/50.x', b'A: 0\n\n')
        _, got = self.stored(address, self.path('md'))
        self.assertEqual([m[3:4] for m in got], [b'1', b'2', b'3', b'4'])
        self.assertEqual(self.json('message', 'list', address)[1]['received_at'], '2020-09-13T12:26:40Z')

    def test_several_paths_and_unknown_mailbox(self):
        a, b = self.write('p1.eml', b'A: 1\n\n'), self.write('p2.eml', b'A: 2\n\n')
        address = self.mailbox('several')
        self.ctl('import', address, b, a, b)
        self.assertEqual([m[3:4] for m in self.messages(address)], [b'2', b'1', b'2'])
        self.err('import', 'nobody@example.org', a)
        self.err('import', address, exit=USAGE)

    def test_resume(self):
        address = self.mailbox('resume')
        for i in range(30):
            # Every message twice: a resumed import must not take the copy for the original.
            self.write('resume/%02d' % i, b'A: %d\n\n' % (i // 2))
        for i in range(13):
            self.ctl('import', address, self.path('resume/%02d' % i))
        out = self.ctl('import', address, self.path('resume'), '--resume')
        self.assertIn('imported 17 messages', out)
        self.assertIn('13 already there', out)
        self.assertEqual([int(m.split()[1]) for m in self.messages(address)], [i // 2 for i in range(30)])
        self.assertIn('imported 0', self.ctl('import', address, self.path('resume'), '--resume'))

    def test_interrupted(self):
        """SIGINT: whole messages in their order are there, --resume brings the rest, nothing appears twice."""
        address = self.mailbox('stop')
        with open(self.write('stop.mbox', b''), 'wb') as f:
            for i in range(60000):
                f.write(FROM_ + b'A: %d\n\n%s\n\n' % (i, b'x' * 1000))
        run = subprocess.Popen([CTL, '-c', self.conf, 'import', address, self.path('stop.mbox')], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while self.json('mailbox', 'show', address)['messages'] == 0:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate()
        there = self.json('mailbox', 'show', address)['messages']
        if run.returncode != DONE:          # it may have been quicker than we are
            self.assertEqual(run.returncode, PARTLY, err)
            self.assertIn(b'--resume', err)
            self.assertIn(b'imported %d messages' % there, out)
        out = self.ctl('import', address, self.path('stop.mbox'), '--resume')
        self.assertIn('imported %d messages' % (60000 - there), out)
        self.assertEqual(self.sql("select count(*), count(distinct content) from postern.message join postern.mailbox using (mailbox)"
                                  " where address = '%s'" % address), '60000|60000')
        self.assertEqual(self.raw(address, 60000)[:8], b'A: 59999')
        os.unlink(self.path('stop.mbox'))

    def test_killed(self):
        """P2: kill -9 in mid-import leaves whole batches; --resume completes them."""
        address = self.mailbox('killed')
        with open(self.write('killed.mbox', b''), 'wb') as f:
            for i in range(30000):
                f.write(FROM_ + b'A: %d\n\n%s\n\n' % (i, b'x' * 1000))
        run = subprocess.Popen([CTL, '-c', self.conf, 'import', address, self.path('killed.mbox')], stdout=subprocess.DEVNULL)
        while self.json('mailbox', 'show', address)['messages'] == 0:
            time.sleep(0.01)
        run.kill()
        run.wait()
        self.ctl('import', address, self.path('killed.mbox'), '--resume')
        self.assertEqual(self.json('mailbox', 'show', address)['messages'], 30000)
        self.check_clean()
        os.unlink(self.path('killed.mbox'))

    def test_quota(self):
        address = self.mailbox('quota')
        for i in range(10):
            self.write('quota/%d' % i, b'A: %d\n\n' % i)        # 8 octets each
        self.ctl('mailbox', 'set', address, '--quota', '79')
        text = self.err('import', address, self.path('quota'))
        self.assertIn('the quota of mailbox quota@example.org is 79 octets', text)
        self.assertIn('1 too many', text)
        self.assertEqual(self.json('mailbox', 'show', address)['messages'], 0)
        self.ctl('mailbox', 'set', address, '--quota', '80')
        self.ctl('import', address, self.path('quota'), '--resume')
        self.err('import', address, self.path('quota/0'))
        self.ctl('mailbox', 'set', address, '--quota', 'none', '--quota-messages', '10')
        self.assertIn('the quota of mailbox quota@example.org is 10 messages, 10 are used, 1 more do not fit: 1 too many',
                      self.err('import', address, self.path('quota/0')))
        self.check_clean()

    def test_database_full(self):
        """What the database refuses is said in its words, and nothing of the batch is there."""
        address = self.mailbox('full')
        path = self.write('full.eml', b'A: full\n\n')
        self.sql("create function no_room() returns trigger language plpgsql as"
                 " $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;"
                 " create trigger no_room before insert on postern.content_part execute function no_room()")
        try:
            self.assertIn('No space left', self.err('import', address, path))
        finally:
            self.sql('drop trigger no_room on postern.content_part')
        self.assertEqual(self.json('mailbox', 'show', address)['messages'], 0)
        self.ctl('import', address, path)
        self.check_clean()

    def test_uidls(self):
        """U02, U03, U07: UIDLs that come along are kept, or refused before anything is stored."""
        address = self.mailbox('uidls')
        self.write('uidls', b''.join(FROM_ + b'A: %d\n\n' % i for i in range(4)))
        listed = self.path('uidl-list')

        def attempt(lines, exit):
            with open(listed, 'wb') as f:
                f.write(b''.join(line + b'\n' for line in lines))
            done = self.run_ctl('import', address, self.path('uidls'), '--uidls', listed)
            self.assertEqual(done.returncode, exit, done.stdout + done.stderr)
            return (done.stdout + done.stderr).decode()

        native = (self.json('mailbox', 'show', address)['uidvalidity'] + '.7').encode()
        for bad, why in ((b'', 'is empty'), (b'x' * 481, 'longer than 480'), (b'a b', 'a space'), (b'\xc3\x28', 'nor UTF-8'), (b'a\0b', 'a control'),
                         (b'a', 'a message before'), (native, 'make itself')):
            self.assertRegex(attempt([b'a', bad, b'c', b'd'], PARTLY), ':2 .*' + why)
            shown = [m['uidl'] for m in self.json('message', 'list', address)]
            self.assertEqual((shown[0], shown[2:]), ('a', ['c', 'd']))
            self.assertRegex(shown[1], r'^[0-9a-f]{12}\.[0-9]+$')
            self.ctl('message', 'remove', address, '--all', '--yes')
        for few in ([b'p', b'q'], [b'a', b'b', b'c', b'd', b'e']):
            self.assertIn('%d line(s) for 4 message(s)' % len(few), attempt(few, FAILED))
        self.assertEqual(self.json('mailbox', 'show', address)['messages'], 0)
        kept = ['a', 'x' * 480, '!~', '\xe4']
        attempt([u.encode() for u in kept], DONE)
        self.assertEqual([m['uidl'] for m in self.json('message', 'list', address)], kept)
        self.assertIn('of a message in the mailbox', attempt([b'e', b'f', b'g', b'a'], PARTLY))
        self.assertEqual(self.json('mailbox', 'show', address)['messages'], 8)
        for form in ('mbox', 'maildir', 'eml'):
            out, list_ = self.path('uidl-out.' + form), self.path('uidl-list.' + form)
            self.ctl('export', address, out, '--format', form, '--uidls', list_)
            other = self.mailbox('uidls-moved-' + form)
            self.ctl('import', other, out, '--uidls', list_)
            for field in 'uidl', 'octets':
                self.assertEqual([m[field] for m in self.json('message', 'list', other)], [m[field] for m in self.json('message', 'list', address)])
        self.check_clean()

    def test_many_small(self):
        address = self.mailbox('small')
        for i in range(10000):
            self.write('small/%05d' % i, b'From: a@b\nSubject: %d\n\n' % i + b'a line of some length, as they are\n' * 80)
        started = time.monotonic()
        self.ctl('import', address, self.path('small'))
        seconds = time.monotonic() - started
        print('import: 10,000 messages of 2.8 kB: %.0f/s' % (10000 / seconds), file=sys.stderr)
        self.assertEqual(self.json('mailbox', 'show', address)['messages'], 10000)
        self.assertIn(b'Subject: 9999\r\n', self.raw(address, 10000))
        shutil.rmtree(self.path('small'))

    def test_a_large_one_in_bounded_memory(self):
        address = self.mailbox('large')
        path = self.write('large.eml', b'Subject: large\n\n')
        block = os.urandom(3 * 65536).hex().encode()
        with open(path, 'ab') as f:
            for i in range(270):
                f.write(b'%d\n' % i + block)
        started = time.monotonic()
        with open(os.devnull, 'wb') as null:
            pid = os.posix_spawn(CTL, [CTL, '-c', self.conf, 'import', address, path], os.environ,
                                 file_actions=[(os.POSIX_SPAWN_DUP2, null.fileno(), 1)])
        _, status, usage = os.wait4(pid, 0)
        self.assertEqual(status, 0)
        print('import: %.0f MB message: %.1f s, %d kB resident' % (os.path.getsize(path) / 1e6, time.monotonic() - started, usage.ru_maxrss),
              file=sys.stderr)
        self.assertLess(usage.ru_maxrss, 40000)
        digest = hashlib.blake2b(digest_size=32)
        with open(path, 'rb') as f:
            for line in f:
                digest.update(line.rstrip(b'\n') + b'\r\n')
        self.assertEqual(self.json('message', 'show', address, '1')['digest'], digest.hexdigest())
        raw = subprocess.run([CTL, '-c', self.conf, 'message', 'show', address, '1', '--raw'], stdout=subprocess.PIPE).stdout
        self.assertEqual(hashlib.blake2b(raw, digest_size=32).hexdigest(), digest.hexdigest())
        self.check_clean()
        os.unlink(path)


class Export(Base):
    texts = [
        b'Subject: one\r\n\r\nplain\r\n',
        b'Subject: two\r\n\r\nFrom here\r\n>From there\r\n>>From afar\r\n.dot\r\n..\r\n\r\n\r\n',
        b'Subject: three\r\n\r\nnul \0 and \xff\xfe 8 bit\r\n',
        b'Subject: header only\r\n',
        b'Subject: empty body\r\n\r\n',
        b'\r\nno header\r\n',
        b'Subject: long line\r\n\r\n' + b'x' * 300000 + b'\r\n',
        b'Subject: big\r\n\r\n' + b'0123456789abcdef\r\n' * 150000,
        b'Subject: one\r\n\r\nplain\r\n',
        FROM_[:-1] + b'\r\nSubject: From_ in front\r\n\r\n',
    ]

    def test_round_trips(self):
        address = self.mailbox('source')
        for i, text in enumerate(self.texts):
            # Times that do not rise with the order of the messages.
            self.write('source/%02d' % i, text, mtime=1600000000 - 1000 * i)
        # --any: one of them begins with a From_ line, which is taken off otherwise.
        self.ctl('import', address, self.path('source'), '--any')
        self.assertEqual(self.messages(address), self.texts)
        for form in ('mbox', 'maildir', 'eml'):
            path = self.path('out.' + form)
            self.ctl('export', address, path, '--format', form)
            other = self.mailbox('back-' + form)
            self.ctl('import', other, path, '--any')
            self.assertEqual(self.digests(other), self.digests(address), form)
            self.assertEqual([m['received_at'] for m in self.json('message', 'list', other)],
                             [m['received_at'] for m in self.json('message', 'list', address)], form)
            self.assertEqual(self.messages(other), self.texts, form)

    def test_delivered_to(self):
        """Exported is what a client gets, the Delivered-To line included."""
        address = self.mailbox('delivered')
        self.ctl('import', address, self.write('d.eml', b'A: 1\n\n'))
        line = b'Delivered-To: x@example.org\r\n'
        self.sql("update postern.message g set delivered_to = 'x@example.org', octets = g.octets + 29 from postern.mailbox m"
                 " where m.mailbox = g.mailbox and m.address = '%s'; update postern.mailbox set octets = octets + 29 where address = '%s'"
                 % (address, address))
        self.assertEqual(self.messages(address), [line + b'A: 1\r\n\r\n'])
        self.ctl('export', address, self.path('d.out'), '--format', 'eml')
        with open(self.path('d.out/000000001.eml'), 'rb') as f:
            self.assertEqual(f.read(), line + b'A: 1\r\n\r\n')
        self.ctl('--as', 'user=postgres', 'check', '--repair', '--quick')

    def test_never_overwrites(self):
        address = self.mailbox('over')
        self.ctl('import', address, self.write('o.eml', b'A: 1\n\n'))
        there = self.write('there/x', b'mine')
        self.err('export', address, there)
        for form in ('maildir', 'eml'):
            self.err('export', address, self.path('there'), '--format', form)
            self.err('export', address, there, '--format', form)
        with open(there, 'rb') as f:
            self.assertEqual(f.read(), b'mine')
        self.assertEqual(os.listdir(self.path('there')), ['x'])
        self.err('export', address, self.path('none/out'))
        self.err('export', 'nobody@example.org', self.path('nobody'))
        self.assertFalse(os.path.exists(self.path('nobody')))
        self.err('export', address, self.path('zip'), '--format', 'zip', exit=USAGE)
        os.makedirs(self.path('empty-dir'))
        self.ctl('export', address, self.path('empty-dir'), '--format', 'maildir')

    def test_damaged_message_is_no_export(self):
        """P1: what does not have its octets is an error, and no mbox is left that looks whole."""
        address = self.mailbox('damaged')
        self.ctl('import', address, self.write('dam.eml', b'A: 1\n\n' + b'x' * 20000))
        self.sql("delete from postern.content_part p using postern.message g join postern.mailbox m using (mailbox)"
                 " where p.content = g.content and p.part = 1 and m.address = '%s'" % address)
        self.assertIn('posternctl check', self.err('export', address, self.path('damaged.mbox')))
        self.assertFalse(os.path.exists(self.path('damaged.mbox')))
        self.ctl('mailbox', 'remove', address, '--yes')


class Message(Base):
    def test_list_show_remove(self):
        address = self.mailbox('anna')
        for i in range(5):
            self.ctl('import', address, self.write('m.eml', b'A: %d\n\n' % i))
        self.assertEqual([m['number'] for m in self.json('message', 'list', address)], [1, 2, 3, 4, 5])
        self.assertIn('uidl', self.ctl('message', 'list', address))
        self.ctl('message', 'remove', address, '2', '4')
        listed = self.json('message', 'list', address)
        self.assertEqual([(m['number'], m['uid']) for m in listed], [(1, 1), (2, 3), (3, 5)])
        uidvalidity = self.json('mailbox', 'show', address)['uidvalidity']
        self.assertEqual(listed[2]['uidl'], uidvalidity + '.5')
        self.assertEqual(self.json('message', 'show', address, '5')['number'], 3)
        self.assertIn('uid 2', self.err('message', 'show', address, '2'))
        self.assertIn('uid 2', self.err('message', 'show', address, '2', '--raw'))
        # All of them or none.
        self.assertIn('uid 4', self.err('message', 'remove', address, '1', '4'))
        self.assertEqual(len(self.json('message', 'list', address)), 3)
        for bad in ('0', '-1', 'x', '99999999999999999999'):
            self.err('message', 'show', address, '--', bad, exit=USAGE)
        self.err('message', 'remove', address, exit=USAGE)
        self.err('message', 'remove', address, '1', '--all', exit=USAGE)
        self.assertIn('3 message(s), 24 octets', self.err('message', 'remove', address, '--all'))
        self.ctl('message', 'remove', address, '--all', '--yes')
        self.ctl('message', 'remove', address, '--all')
        self.assertEqual(self.json('message', 'list', address), [])
        self.assertEqual(self.sql('select count(*) from postern.content_part'), '0')
        # U05: uids go on.
        self.ctl('import', address, self.path('m.eml'))
        self.assertEqual(self.json('message', 'list', address)[0]['uid'], 6)
        self.err('message', 'list', 'nobody@example.org')
        self.check_clean()


class Sessions(Base):
    def asked(self, holder, seen):
        """What `sessions` says while the holder plays a worker's part."""
        answered = []
        asker = threading.Thread(target=lambda: answered.append(self.json('sessions')))
        asker.start()
        while asker.is_alive():
            # psql shows a notification behind the next statement.
            for channel in set(re.findall(r'postern_reply_[0-9a-f]{16}', '\n'.join(holder.ask('select 1')))) - seen:
                seen.add(channel)
                who = [{'mailbox': int(holder.mailbox), 'lane_pid': int(holder.pid), 'since': 1000000, 'session': 'abc"\x1b',
                        'peer': '192.0.2.1:4242', 'protocol': 'pop3', 'host': 'mail1', 'pid': 7}]
                for text in ('not json', '{}', '[1]', json.dumps(who)):
                    holder.ask("select postern.answer('%s', '%s')" % (channel, text.replace("'", "''")))
            time.sleep(0.02)
        asker.join()
        return answered[0]

    def test_sessions(self):
        address = self.mailbox('anna')
        self.assertEqual(self.json('sessions'), [])
        with Holder(self, address) as holder:
            silent = self.json('sessions')
            self.assertEqual([(s['address'], s['backend'], s['session'], s['answered']) for s in silent],
                             [(address, int(holder.pid), None, False)])
            self.assertIn('no answer', self.ctl('sessions'))

            # posternctl asks for a second; a machine that has much to do may need more than that for an answer.
            seen = set()
            for _ in range(20):
                answered = self.asked(holder, seen)
                if answered[0]['answered']:
                    break
            row = answered[0]
            self.assertEqual((row['session'], row['from'], row['host'], row['protocol'], row['since']),
                             ('abc"\x1b', '192.0.2.1:4242', 'mail1', 'pop3', '1970-01-12T13:46:40Z'))
            self.assertTrue(row['answered'])
        self.assertEqual(self.json('sessions'), [])


class Check(Base):
    def setUp(self):
        self.address = self.mailbox('anna')
        for i in range(4):
            self.ctl('import', self.address, self.write('c.eml', b'A: %d\n\n' % i + b'x' * 20000))
        self.id = self.sql("select mailbox from postern.mailbox where address = '%s'" % self.address)
        self.contents = self.sql('select content from postern.message where mailbox = %s order by uid' % self.id).split('\n')

    def tearDown(self):
        self.sql('delete from postern.message; delete from postern.content; delete from postern.content_part;'
                 ' delete from postern.usage; delete from postern.usage_change; delete from postern.mailbox')

    def found(self, *options, exit=FAILED):
        report = self.json('check', *options, exit=exit)
        return report, sorted({p['kind'] for p in report['problems']})

    def mends(self, kinds):
        """It is seen, told in words, mended, and gone."""
        report, seen = self.found('--quick')
        self.assertEqual(seen, sorted(kinds))
        self.assertEqual(report['mended'], 0)
        self.assertIn('WRONG ', self.ctl('check', '--quick', exit=FAILED))
        report, seen = self.found('--repair', exit=DONE)
        self.assertEqual((seen, report['wrong']), (sorted(kinds), 0))
        self.assertTrue(all(p['mended'] for p in report['problems']))
        self.check_clean()

    def test_clean(self):
        report, seen = self.found(exit=DONE)
        self.assertEqual((seen, report['contents_read']), ([], 4))
        self.assertEqual(report['octets_read'], int(self.sql('select sum(octets) from postern.content')))

    def test_counts_of_a_mailbox(self):
        self.sql('update postern.mailbox set messages = messages + 1, octets = 5')
        self.mends(['mailbox', 'usage'])
        self.assertEqual(self.json('mailbox', 'show', self.address)['messages'], 4)

    def test_next_uid(self):
        self.sql('update postern.mailbox set next_uid = 2')
        self.mends(['mailbox'])
        self.assertEqual(self.json('mailbox', 'show', self.address)['next_uid'], 5)

    def test_usage(self):
        self.sql('select postern.add_usage(domain, 0, -7) from postern.domain')
        self.mends(['usage'])

    def test_usage_missing(self):
        self.sql('delete from postern.usage; delete from postern.usage_change')
        self.mends(['usage'])

    def test_refs(self):
        self.sql('update postern.content set refs = 9 where content = %s' % self.contents[0])
        self.mends(['refs'])

    def test_orphan_content(self):
        self.sql("insert into postern.content (content, refs, octets, digest) values (900, 1, 1, sha256('x'));"
                 "insert into postern.content_part values (900, 0, 'x')")
        self.mends(['orphan content'])
        self.assertEqual(self.sql('select count(*) from postern.content_part where content = 900'), '0')

    def test_orphan_parts(self):
        self.sql("insert into postern.content_part values (901, 0, 'x')")
        self.mends(['orphan parts'])

    def test_message_octets(self):
        self.sql('update postern.message set octets = 1 where uid = 2')
        before = int(self.json('mailbox', 'show', self.address)['expunges'])
        self.mends(['mailbox', 'message octets'])
        # A worker's listing of it is not true any more.
        self.assertGreater(int(self.json('mailbox', 'show', self.address)['expunges']), before)

    def damaged(self, words):
        """What cannot be mended is told, with the message that is hurt, and stays."""
        for options in ((), ('--repair',)):
            report, _ = self.found(*options)
            self.assertEqual(report['wrong'], 1, report)
            self.assertRegex(report['problems'][-1]['problem'], words)
            self.assertFalse(report['problems'][-1]['mended'])
        self.assertEqual(len(self.json('message', 'list', self.address)), 4)

    def test_missing_part(self):
        self.sql('delete from postern.content_part where part = 1 and content = %s' % self.contents[1])
        self.damaged(r'part 1 is missing.*%s uid 2' % self.address)

    def test_missing_last_part(self):
        self.sql('delete from postern.content_part where part = 2 and content = %s' % self.contents[1])
        self.damaged(r'has 16000 octets, should have 20010.*uid 2')

    def test_all_parts_missing(self):
        self.sql('delete from postern.content_part where content = %s' % self.contents[3])
        self.damaged(r'has 0 octets, should have 20010.*uid 4')

    def test_changed_octet(self):
        self.sql("update postern.content_part set data = set_byte(data, 77, 0) where part = 1 and content = %s" % self.contents[2])
        self.assertEqual(self.json('check', '--quick')['wrong'], 0)
        self.damaged(r'do not have its digest.*uid 3')

    def test_missing_content(self):
        self.sql('delete from postern.content where content = %s' % self.contents[0])
        self.damaged(r'is missing.*%s uid 1' % self.address)

    def test_missing_mailbox(self):
        self.sql('insert into postern.message (mailbox, uid, content, octets)'
                 ' select 4711, 7, content, octets from postern.content where content = %s' % self.contents[0])
        self.sql('update postern.content set refs = refs + 1 where content = %s' % self.contents[0])
        self.damaged(r'mailbox 4711: does not exist but has 1 message.*uid 7')

    def test_native_uidl(self):
        self.sql("update postern.message g set uidl = lpad(to_hex(uidvalidity), 12, '0') || '.99' from postern.mailbox m"
                 " where m.mailbox = g.mailbox and uid = 1")
        self.damaged('imported UIDL')

    def test_storage_of_parts(self):
        self.sql('alter table postern.content_part alter data set storage extended')
        try:
            self.damaged('storage plain')
        finally:
            self.sql('alter table postern.content_part alter data set storage plain')

    def test_while_mail_comes_and_goes(self):
        """Nothing is called wrong that is only under way, and a repair does not disturb deliveries."""
        others = ['w%d@example.org' % i for i in range(3)]
        for a in others:
            self.ctl('mailbox', 'add', a)
        for i in range(40):
            self.write('busy/%02d' % i, b'A: %d\n\n' % i + b'y' * 30000)
        stop = threading.Event()
        errors = []

        def churn(address):
            while not stop.is_set():
                for verb in (('import', address, self.path('busy')), ('message', 'remove', address, '--all', '--yes')):
                    done = self.run_ctl(*verb)
                    if done.returncode != DONE:
                        errors.append(done.stderr)

        threads = [threading.Thread(target=churn, args=(a,)) for a in others]
        for t in threads:
            t.start()
        try:
            for _ in range(15):
                report = self.json('check')
                self.assertEqual(report['problems'], [])
            # Repairs of what is wrong all the time.
            for _ in range(15):
                self.sql('select postern.add_usage(domain, 0, 1) from postern.domain')
                self.run_ctl('check', '--repair', '--quick')
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(errors, [])
        self.check_clean()


class Many(Base):
    """Verbs over many mailboxes: what they cost follows what they look at."""

    MAILBOXES, EACH = 3000, 4

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        pg.sql(cls.database, """
            set session_replication_role = replica;
            insert into postern.mailbox (domain, address, next_uid, messages, octets)
                select d.domain, 'many' || n || '@' || d.name, %(each)d + 1, %(each)d, 100 * %(each)d
                  from postern.domain d, generate_series(1, %(n)d) n where d.name = 'example.org';
            select postern.add_usage(domain, sum(messages)::bigint, sum(octets)::bigint) from postern.mailbox group by domain;
            insert into postern.message (mailbox, uid, content, octets, received_at)
                select m.mailbox, u, 1 + (m.mailbox * 7 + u * 11) %% (%(n)d * 2), 100, now() - interval '20 days'
                  from postern.mailbox m, generate_series(1, %(each)d) u;
            insert into postern.content (content, refs, octets, digest)
                select content, count(*), 100, sha256('') from postern.message group by content;
            insert into postern.content_part (content, part, data) select content, 0, '' from postern.content;
            set session_replication_role = origin;
            analyze""" % {'n': cls.MAILBOXES, 'each': cls.EACH})

    def plans(self, sql):
        """The plans of all statements that this one runs, those within functions too."""
        done = subprocess.run(pg.psql_argv(self.database) + ['-c', "load 'auto_explain'; set auto_explain.log_min_duration = 0;"
                              " set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on; set jit = off;"
                              " set auto_explain.log_timing = off; set auto_explain.log_format = json; set client_min_messages = log;",
                              '-c', sql], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done.stderr[-500:])
        return [json.JSONDecoder().raw_decode(text[text.index('{'):])[0]['Plan']
                for text in done.stderr.decode().split('plan:')[1:]]

    def work(self, sql):
        """How many rows all nodes of the plans have had in their hands."""
        def rows(node):
            own = sum(v for k, v in node.items() if k == 'Actual Rows' or k.startswith('Rows Removed')) * node['Actual Loops']
            return own + sum(rows(n) for n in node.get('Plans', ()))
        return sum(rows(plan) for plan in self.plans(sql))

    def linear(self, sql, times):
        """Every row there is may be looked at that often, which is far from each with each."""
        work = self.work(sql)
        self.assertGreater(work, 0)
        self.assertLess(work, times * self.MAILBOXES * (self.EACH + 1), sql)

    def test_du(self):
        self.linear("select * from postern.space('all', null)", 10)
        self.linear("select * from postern.space('tenant', 'acme')", 10)
        self.linear("select * from postern.space('domain', 'example.org')", 10)
        # What one of them costs has nothing to do with how many others there are.
        self.assertLess(self.work("select * from postern.space('mailbox', 'many7@example.org')"), 200)
        rows = self.json('du', '--domain', 'example.org')['mail']
        self.assertEqual(len(rows), self.MAILBOXES + 1)
        self.assertEqual(rows[-1]['stored_octets'], int(self.sql('select sum(octets) from postern.content')))
        self.assertEqual(rows[-1]['shared_octets'], rows[-1]['octets'] - rows[-1]['stored_octets'])
        self.assertEqual({(r['messages'], r['stored_octets']) for r in rows[:-1]}, {(self.EACH, 100 * self.EACH)})

    def test_check(self):
        self.assertEqual(self.sql('select * from postern.find_problems()'), '')
        self.linear('select * from postern.find_problems()', 12)
        # What is wrong is looked for once more, and once for all that is.
        self.sql('update postern.message set octets = octets + 1 where content % 3 = 0;'
                 'delete from postern.content where content % 3 = 1;'
                 'update postern.content set refs = refs + 1 where content % 3 = 2')
        try:
            self.linear('select * from postern.find_problems()', 40)
            found = dict(line.split('|') for line in
                         self.sql('select kind, count(*) from postern.find_problems() group by kind').split('\n'))
            self.assertEqual(sorted(found), ['mailbox', 'message octets', 'missing content', 'refs'])
            self.assertEqual(found['missing content'], self.sql(
                'select count(distinct content) from postern.message where content % 3 = 1'))
            self.assertEqual(found['message octets'], self.sql(
                'select count(distinct mailbox) from postern.message where content % 3 = 0'))
        finally:
            self.sql("update postern.message set octets = 100; update postern.content set refs = refs - 1 where content % 3 = 2;"
                     "insert into postern.content (content, refs, octets, digest)"
                     " select content, count(*), 100, sha256('') from postern.message where content % 3 = 1 group by content")

    def test_expire(self):
        pages = 'select count(*), sum(messages) from postern.list_expired(0, 1000)'

        def told():
            return self.sql('select count(*), sum(messages) from postern.list_expired(0, 1000000) where messages > 0')
        self.addCleanup(self.sql, 'delete from postern.policy')
        self.ctl('policy', 'set', '--mailbox', 'many7@example.org', 'expire_delivered=19')
        # The others are not looked into.
        self.assertLess(self.work(pages), 4 * self.MAILBOXES)
        self.assertEqual(told(), '1|%d' % self.EACH)
        # Each switch is that of the narrowest policy which sets it, as for one mailbox alone.
        self.ctl('policy', 'set', 'expire_delivered=10')
        self.ctl('policy', 'set', '--tenant', 'acme', 'expire_delivered=30', 'expire_retrieved=3')
        for name, value in (('8', 'expire_delivered=19'), ('9', 'expire_retrieved=1'), ('10', 'pop3=off')):
            self.ctl('policy', 'set', '--mailbox', 'many%s@example.org' % name, value)
        self.sql("update postern.message set retrieved_at = now() - interval '2 days' where uid = 1")
        self.assertEqual(told(), self.sql(
            'select count(distinct g.mailbox), count(*) from postern.message g, postern.expires(g.mailbox) x'
            ' where g.received_at < x.delivered_before or g.retrieved_at < x.retrieved_before'))
        self.assertEqual(told(), '3|%d' % (2 * self.EACH + 1))
        self.ctl('policy', 'set', '--domain', 'example.org', 'expire_delivered=19')
        self.assertEqual(told(), '%d|%d' % (self.MAILBOXES, self.MAILBOXES * self.EACH))
        self.linear(pages, 6)
        self.assertIn('of %d mailbox(es) would expire' % self.MAILBOXES, self.ctl('expire', '--dry-run'))
        # A scope: of the others nothing is looked at, and nothing but mail expires.
        self.assertLess(self.work("select * from postern.list_expired(0, 1000, 'mailbox', 'many7@example.org')"), 200)
        for scope in (('--tenant', 'acme'), ('--domain', 'example.org')):
            self.assertIn('of %d mailbox(es) would expire' % self.MAILBOXES, self.ctl('expire', '--dry-run', *scope))
        self.assertEqual(self.ctl('expire', '--mailbox', 'many7@example.org', '--dry-run').split('\n')[0:2],
                         ['many7@example.org: 4 message(s), 400 octets have expired',
                          '4 message(s), 400 octets of 1 mailbox(es) would expire; 0 skipped because a session holds them'])
        self.err('expire', '--domain', 'elsewhere.example')
        self.err('expire', '--domain', 'example.org', '--tenant', 'acme', exit=USAGE)

    def test_repair(self):
        """A thousand contents are mended by one reading of the messages."""
        self.sql("update postern.content set refs = refs + 1 where content % 3 = 0;"
                 "insert into postern.content (content, refs, octets, digest) select 100000 + n, 1, 100, sha256('')"
                 " from generate_series(1, 1500) n")
        wrong = int(self.sql('select count(*) from postern.content where content % 3 = 0 or content > 100000'))
        self.linear('select postern.mend_contents(array(select content from postern.content where content % 3 = 0 limit 1000))', 6)
        report = self.json('check', '--quick', '--repair')
        self.assertEqual((report['wrong'], report['mended']), (0, wrong - 1000))
        self.assertEqual(self.sql('select * from postern.find_problems()'), '')

    def queries(self):
        """What posternctl's connections to this database do: process, state and what they wait for."""
        return self.sql("select pid, state, wait_event from pg_stat_activity where datname = '%s' and application_name like 'posternctl%%'"
                        % self.database).split('\n')

    def until(self, condition):
        """A busy machine may take its time."""
        for _ in range(600):
            if condition():
                return True
            time.sleep(0.1)
        return False

    def test_rows_as_they_come(self):
        """The first line is there before the server has sent all, and memory does not grow with the number of lines."""
        lines = 40000
        self.sql("set session_replication_role = replica;"
                 " insert into postern.alias (domain, address, mailbox)"
                 " select domain, repeat('a', 50) || n || '@example.org', mailbox from postern.mailbox, generate_series(1, %d) n"
                 " where address = 'many1@example.org'" % lines)
        self.addCleanup(self.sql, "delete from postern.alias")
        for words in ([], ['--json']):
            with self.subTest(words):
                tool = subprocess.Popen([CTL, '-c', self.conf, *words, 'alias', 'list'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                first = tool.stdout.readline()
                self.assertTrue(first.startswith(b'[' if words else b'address'), first)
                # It waits for us, and the server for it.
                self.assertTrue(self.until(lambda: any('active|ClientWrite' in q for q in self.queries())), self.queries())
                with open('/proc/%d/status' % tool.pid) as f:
                    peak = int(re.search(r'VmHWM:\s+(\d+) kB', f.read()).group(1))
                with tool:
                    rest, errors = tool.stdout.read(), tool.stderr.read()
                self.assertEqual((tool.returncode, errors), (DONE, b''))
                # All of it takes 3 MB on the wire, and three times as much in the client.
                self.assertLess(peak, 12 << 10)
                if words:
                    self.assertEqual(len(json.loads(first + rest)), lines)
                else:
                    self.assertEqual(rest.count(b'\n'), lines)

    def test_output_that_fails(self):
        """No line is lost without a word: a disk that is full ends the question, and says so."""
        for verb in (('mailbox', 'list'), ('tenant', 'list'), ('tenant', 'show', 'acme')):
            with self.subTest(verb), open('/dev/full', 'wb') as full:
                done = subprocess.run([CTL, '-c', self.conf, *verb], stdout=full, stderr=subprocess.PIPE)
                self.assertEqual((done.returncode, done.stderr),
                                 (FAILED, b'posternctl: could not write to standard output: No space left on device\n'))

    def test_killed(self):
        """The server does not go on with what nobody waits for."""
        with subprocess.Popen(pg.psql_argv(self.database), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as psql:
            psql.stdin.write(b'begin; lock table postern.mailbox in access exclusive mode;\n\\echo locked\n')
            psql.stdin.flush()
            self.assertEqual(psql.stdout.readline(), b'locked\n')
            for verb in (('mailbox', 'list'), ('mailbox', 'show', 'many1@example.org'), ('restored',)):
                with self.subTest(verb), subprocess.Popen([CTL, '-c', self.conf, *verb], stdout=subprocess.DEVNULL) as tool:
                    self.assertTrue(self.until(lambda: any('active|relation' in q for q in self.queries())), self.queries())
                    tool.kill()
                    tool.wait()
                    # The lock is held all the time.
                    self.assertTrue(self.until(lambda: self.queries() == ['']), self.queries())
            psql.stdin.close()

    def test_restored(self):
        """In batches; what was killed goes on behind the last one, and no mailbox skips twice."""
        skipped = ('select next_uid - %d, count(*) from postern.mailbox group by next_uid order by 1' % (self.EACH + 1))
        self.assertIn('no interrupted run', self.err('restored', '--resume'))
        with subprocess.Popen(pg.psql_argv(self.database), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as psql:
            psql.stdin.write(b"begin; select from postern.mailbox where address = 'many1500@example.org' for update;\n\\echo locked\n")
            psql.stdin.flush()
            while psql.stdout.readline() != b'locked\n':
                pass
            with subprocess.Popen([CTL, '-c', self.conf, 'restored', '--skip', '1000'], stdout=subprocess.DEVNULL) as tool:
                self.assertTrue(self.until(lambda: any('active|transactionid' in q for q in self.queries())), self.queries())
                tool.kill()
            self.assertTrue(self.until(lambda: self.queries() == ['']), self.queries())
            self.assertEqual(self.sql(skipped), '0|%d\n1000|1000' % (self.MAILBOXES - 1000))
            psql.stdin.close()
        self.err('restored', '--resume', '--skip', '5', exit=USAGE)
        self.assertIn('%d mailbox(es) skip 1000 uids' % self.MAILBOXES, self.ctl('restored', '--resume'))
        self.assertEqual(self.sql(skipped), '1000|%d' % self.MAILBOXES)
        self.err('restored', '--resume')
        # A run that the backup has brought along says nothing of these mailboxes.
        self.sql("update postern.restoration set finished_at = null, server = server - interval '1 hour', mailbox = 5")
        self.assertIn('without --resume', self.err('restored', '--resume'))
        self.ctl('restored', '--skip', '7')
        self.assertEqual(self.sql(skipped), '1007|%d' % self.MAILBOXES)
        self.sql('update postern.mailbox set next_uid = %d' % (self.EACH + 1))

    def test_progress(self):
        """A question that takes long is told on a terminal, and the line is taken away."""
        ours, terminal = pty.openpty()
        with subprocess.Popen(pg.psql_argv(self.database), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as psql:
            psql.stdin.write(b'begin; lock table postern.mailbox in access exclusive mode;\n\\echo locked\n')
            psql.stdin.flush()
            psql.stdout.readline()
            with subprocess.Popen([CTL, '-c', self.conf, 'check', '--quick'], stdout=subprocess.PIPE, stderr=terminal) as tool:
                os.close(terminal)
                said = b''
                while b' s\x1b[K' not in said:
                    said += os.read(ours, 1000)
                self.assertRegex(said, rb'\rcheck mailboxes \(step 2 of 7\): [0-9]+ s')
                psql.stdin.close()
                self.assertIn(b'0 wrong', tool.stdout.read())
                self.assertTrue(os.read(ours, 1000).endswith(b'\r\x1b[K'))
        os.close(ours)


class Quota(Base):
    def test_exact_under_concurrency(self):
        """Many at once never store more than the quota of domain and tenant together."""
        for limit in (('domain', 'example.org'), ('tenant', 'acme')):
            with self.subTest(limit):
                self.ctl(limit[0], 'set', limit[1], '--quota', '1000')
                self.ctl('domain', 'add', 'second.org', '--tenant', 'acme')
                addresses = ['q%d@example.org' % i for i in range(6)]
                if limit[0] == 'tenant':
                    addresses[3:] = ['q%d@second.org' % i for i in range(3)]
                for a in addresses:
                    self.ctl('mailbox', 'add', a)
                path = self.write('q.eml', b'A: 1\n\n' + b'x' * 90)      # 100 octets
                codes = []

                def fill(address):
                    for _ in range(4):
                        codes.append(self.run_ctl('import', address, path).returncode)

                threads = [threading.Thread(target=fill, args=(a,)) for a in addresses]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                self.assertEqual(self.json(limit[0], 'show', limit[1])['octets'], 1000)
                self.assertEqual(sorted(codes), [DONE] * 10 + [FAILED] * 14)
                text = self.err('import', addresses[0], path)
                self.assertIn('the quota of %s %s is 1000 octets, 1000 are used, 100 more do not fit: 100 too many' % limit, text)
                self.check_clean()
                self.ctl(limit[0], 'set', limit[1], '--quota', 'none')
                for a in addresses:
                    self.ctl('mailbox', 'remove', a, '--yes')
                self.ctl('domain', 'remove', 'second.org')


class Partitioned(Base):
    partitions = '4'

    def test_the_same_in_partitions(self):
        address = self.mailbox('anna')
        for i in range(20):
            self.write('p/%02d' % i, b'A: %d\n\n' % i + b'z' * 20000)
        self.ctl('import', address, self.path('p'))
        self.assertEqual(self.sql("select count(*) from pg_inherits where inhparent = 'postern.content_part'::regclass"), '4')
        self.ctl('export', address, self.path('p.mbox'))
        other = self.mailbox('bob')
        self.ctl('import', other, self.path('p.mbox'))
        self.assertEqual(self.digests(other), self.digests(address))
        self.check_clean()
        self.sql('alter table postern.content_part detach partition postern.content_part_3')
        try:
            report = self.json('check', '--quick', exit=FAILED)
            self.assertIn('partitions', {p['kind'] for p in report['problems']})
        finally:
            self.sql('alter table postern.content_part attach partition postern.content_part_3 for values with (modulus 4, remainder 3)')
        self.check_clean()
        self.ctl('mailbox', 'remove', other, '--yes')
        self.check_clean()


class Grants(Base):
    """The list is that of sql/README: each role can execute what is here, and nothing else."""

    roles = {
        'postern_auth': {'schema_version', 'credentials', 'current_policy', 'login', 'login_group', 'count_failures', 'remember_address', 'upgrade_secret', 'missing_secrets',
                         'add_secret', 'use_app_password', 'decoy_key', 'newest_ticket_key', 'learn_secret', 'server_identity'},
        'postern_mail': {'schema_version', 'lock_key', 'open_maildrop', 'list_rest', 'close_maildrop', 'open_maildrops', 'close_maildrops', 'fetch_parts', 'fetch_parts_group', 'fetch_headers', 'expunge', 'answer', 'ask_release', 'is_operator',
                         'note_sessions', 'reclaim', 'move_locks', 'server_identity'},
        'postern_lmtp': {'schema_version', 'resolve', 'deliver', 'resolve_group', 'deliver_group', 'put_contents', 'put_octets', 'put_messages', 'mail_codec', 'server_identity'},
        'postern_admin': {
            'schema_version', 'lock_key', 'held_maildrops', 'ask_who', 'answers', 'order_release', 'end_backend', 'read_parts', 'put_contents', 'put_parts', 'put_messages', 'locks_are_ours',
            'find_mailbox', 'add_tenant', 'list_tenants', 'set_tenant', 'remove_tenant', 'add_domain', 'list_domains', 'set_domain',
            'remove_domain', 'add_mailbox', 'list_mailboxes', 'show_mailbox', 'set_mailbox', 'remove_mailbox', 'secret_plan',
            'set_secrets', 'set_domain_stores', 'add_app_password', 'list_app_passwords', 'remove_app_password', 'set_certificate', 'list_replaced', 'proves',
            'holdings', 'add_alias', 'list_aliases', 'set_alias', 'remove_alias', 'list_messages', 'show_message', 'remove_mail', 'list_uidls', 'set_uidls',
            'begin_import', 'end_import', 'put_over_quota', 'find_accounts', 'move_in', 'set_secrets_of', 'set_policy', 'clear_policy',
            'list_policies', 'mail_codec', 'list_digests', 'uidls_in_use', 'note_imported', 'list_known_uidls', 'adopt_uidls', 'list_absent',
            'remove_absent', 'list_left', 'remove_left', 'end_sync', 'find_problems', 'names_beyond_ascii', 'find_risks', 'mend', 'mend_contents',
            'scan_contents', 'content_owners',
            'make_history', 'old_history', 'drop_history', 'reclaim', 'undelete', 'show_history', 'list_expired', 'expire_mail',
            'begin_recode', 'recode_mailboxes', 'recode_contents', 'recode_parts', 'recode',
            'space', 'space_of_tables', 'database_octets', 'verify_start', 'verify_note', 'skip_start', 'skip_uids', 'set_sequences',
            'traces', 'erase_history', 'person', 'list_audit', 'list_operators', 'set_tenant_limits', 'who_am_i',
            'set_old_server', 'list_old_servers', 'remove_old_server', 'set_elsewhere', 'set_domain_elsewhere', 'list_elsewhere'},
        # Theirs are in the schema postern_tenant: test_tenants.
        'postern_tenant': {''},
    }

    def test_functions(self):
        for role, wanted in self.roles.items():
            got = self.sql("select p.proname from pg_proc p where p.pronamespace = 'postern'::regnamespace"
                           " and has_function_privilege('%s', p.oid, 'execute') order by 1" % role)
            self.assertEqual(set(got.split('\n')), wanted, role)

    def test_no_table(self):
        for role in list(self.roles) + ['public']:
            got = self.sql("select c.relname, a.privilege_type from pg_class c, aclexplode(c.relacl) a"
                           " where c.relnamespace = 'postern'::regnamespace and a.grantee = %s"
                           % ('0' if role == 'public' else "'%s'::regrole" % role))
            self.assertEqual(got, '', role)

    def test_search_path(self):
        """Each function has one of its own, but for those that only others of ours can call, or that were parsed when they were made."""
        got = self.sql("select p.proname from pg_proc p where p.pronamespace = 'postern'::regnamespace"
                       " and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)"
                       " and (p.prosecdef or p.prosqlbody is null)"
                       " and (p.prosecdef or exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee <> p.proowner))")
        self.assertEqual(got, '')

    def test_contents_of_others(self):
        """A deliverer can neither lengthen nor read what is stored."""
        address = self.mailbox('victim')
        thief = self.mailbox('thief')
        self.ctl('import', address, self.write('v.eml', b'A: secret\n\n'))
        content = self.sql('select content from postern.content')
        mailbox = self.sql("select mailbox from postern.mailbox where address = '%s'" % thief)
        with self.assertRaisesRegex(RuntimeError, 'did not create'):
            self.sql('select postern.put_messages(%s, array[%s::bigint], null, null, null)' % (mailbox, content), 'postern_lmtp')
        with self.assertRaisesRegex(RuntimeError, 'did not create'):
            self.sql("select postern.put_octets(%s, 1, 'more')" % content, 'postern_lmtp')
        with self.assertRaisesRegex(RuntimeError, 'did not create'):
            self.sql("select postern.put_parts(array[%s::bigint], array[1], array['more'::bytea])" % content, 'postern_admin')
        # No caller can make a part that is too long: they are cut here.
        with self.assertRaisesRegex(RuntimeError, r'parts of \{8000,1000\}'):
            self.sql("do $$ declare c bigint[]; begin c := postern.put_contents('{9000}', array[sha256('x')], '{1}');"
                     " perform postern.put_parts(c, '{0}', array[decode(repeat('00', 9000), 'hex')]);"
                     " raise exception 'parts of %', (select array_agg(length(p.data) order by p.part) from postern.content_part p"
                     " where p.content = c[1]); end $$")
        self.check_clean()

    def test_lying_deliverer(self):
        """What a deliverer says of a content must be what it has stored: no domain gets full by a number."""
        address = self.mailbox('lied-to')
        domain = address.split('@')[1]
        mailbox = self.sql("select mailbox from postern.mailbox where address = '%s'" % address)
        self.ctl('domain', 'set', domain, '--quota', '1G')
        huge = 9_200_000_000_000_000_000
        deliver = "perform postern.deliver(%%s, sha256('x'), null, c[1], array[%s]::bigint[], array[1], array['a'], null, null);" % mailbox
        messages = "perform postern.put_messages(%s, c, null, null, null);" % mailbox
        octets = "perform postern.put_octets(c[1], 0, 'abc');"
        for said, put, then, error in (
                (huge, octets, deliver % huge, 'is said to have %d octets, and 3 in 1 parts' % huge),
                (huge, octets, deliver % 3, 'is said to have %d octets, and 3 in 1 parts' % huge),
                (huge, '', messages, 'is said to have %d octets, and 0 in 0 parts' % huge),
                (4, octets, messages, 'is said to have 4 octets, and 3 in 1 parts'),
                (2, octets, messages, 'is said to have 2 octets, and 3 in 1 parts'),
                (2, ''.join("perform postern.put_octets(c[1], %d, 'a');" % n for n in (0, 1)), messages, 'and 2 in 2 parts'),
                (3, octets, deliver % huge, '%d octets, but this content has others' % huge),
                (3, octets, deliver % 0, '0 octets, but this content has others')):
            with self.assertRaisesRegex(RuntimeError, error):
                self.sql("do $$ declare c bigint[]; begin c := postern.put_contents('{%d}', array[sha256('x')], '{1}'); %s %s end $$"
                         % (said, put, then), 'postern_lmtp')
        resolve = "select verdict from postern.resolve(array['%s'], array[null], %d, null)"
        self.assertEqual(self.sql(resolve % (address, huge), 'postern_lmtp'), '5')
        for then in (deliver % 3, messages):
            self.sql("do $$ declare c bigint[]; begin c := postern.put_contents('{3}', array[sha256('x')], '{1}'); %s %s end $$"
                     % (octets, then), 'postern_lmtp')
        self.assertEqual(self.sql('select messages, octets from postern.mailbox where mailbox = %s' % mailbox), '2|23')
        self.ctl('domain', 'set', domain, '--quota', 'none')
        self.assertEqual(self.sql('select count(*) from postern.find_problems()'), '0')
        self.sql("select postern.remove_mail('%s', null)" % address)    # no digest of it is right

    def test_what_must_not_be(self):
        """The tables of the mail have no CHECKs: the functions refuse, and a trigger does for addresses and quotas."""
        address = self.mailbox('strict')
        mailbox = self.sql("select mailbox from postern.mailbox where address = '%s'" % address)
        put = "do $$ declare c bigint[]; begin c := postern.put_contents(%s); %s end $$"
        deliver = "select postern.deliver(%s, null, array[%s]::bigint[], array[1], array[%s], null, null)"
        fine = "'{3}', array[sha256('x')], '{1}'"
        for role, refused in (
                ('postern_lmtp', put % ("'{-1}', array[sha256('x')], '{1}'", '')),
                ('postern_lmtp', put % ("'{3}', array['x'::bytea], '{1}'", '')),
                ('postern_lmtp', put % ("'{3}', array[sha256('x')], '{0}'", '')),
                ('postern_lmtp', put % (fine, "perform postern.put_octets(c[1], -1, 'abc');")),
                ('postern_admin', put % (fine, "perform postern.put_parts(c, '{-1}', array['abc'::bytea]);")),
                ('postern_lmtp', put % (fine, "perform postern.put_messages(%s, c, null, array[E'a\nX: y'], null);" % mailbox)),
                ('postern_lmtp', put % (fine, "perform postern.put_octets(c[1], 0, 'abc');"
                                              " perform postern.put_messages(%s, c, null, null, array['a b']);" % mailbox)),
                ('postern_lmtp', put % (fine, "perform postern.deliver(-9, sha256('x'), null, c[1], array[%s]::bigint[], array[1],"
                                              " array['a'], null, null);" % mailbox)),
                ('postern_lmtp', deliver % ("3, 'short', 'abc'", mailbox, "'a'")),
                ('postern_lmtp', deliver % ("3, sha256('x'), 'abc'", mailbox, "E'a\rX: y'"))):
            with self.assertRaises(RuntimeError, msg=refused) as caught:
                self.sql(refused, role)
            self.assertRegex(str(caught.exception), 'negative octets|a negative part number|line end within|has a space or a control', refused)
        self.ctl('import', address, self.write('strict.eml', b'A: b\n\n'))
        with self.assertRaisesRegex(RuntimeError, 'has messages'):
            self.sql('delete from postern.mailbox where mailbox = %s' % mailbox)
        for column, value in (('address', "'@example.org'"), ('address', "'x@'"), ('address', "repeat('x', 320) || '@'"), ('quota', '-1'), ('quota_messages', '-1')):
            with self.assertRaisesRegex(RuntimeError, 'cannot be', msg=value):
                self.sql('update postern.mailbox set %s = %s where mailbox = %s' % (column, value, mailbox))
        with self.assertRaisesRegex(RuntimeError, 'cannot be'):
            self.sql("insert into postern.mailbox (domain, address) select domain, '@' from postern.mailbox where mailbox = %s" % mailbox)
        self.check_clean()


if __name__ == '__main__':
    unittest.main()
