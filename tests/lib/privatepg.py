"""A PostgreSQL of its own for a test: one directory, one unix socket, no TCP port.

Run by the user postgres where the test is root (PostgreSQL refuses to be), by
the test's own user otherwise. fsync is off: no test here pulls the plug.
"""

import glob
import os
import pwd
import shutil
import subprocess
import tempfile

import pq


def bindir():
    """The newest PostgreSQL server of the machine."""
    found = glob.glob('/usr/lib/postgresql/*/bin/initdb')
    if not found:
        raise RuntimeError('no PostgreSQL server in /usr/lib/postgresql')
    return os.path.dirname(max(found, key=lambda p: int(p.split('/')[4])))


class PrivatePG:
    def __init__(self, conf='', where=None):
        """conf: lines for postgresql.conf; where: the folder that its own is made in."""
        self.conf = conf
        # Short: the path of a unix socket has room for 107 octets.
        self.dir = tempfile.mkdtemp(prefix='ppg-', dir=where or os.environ.get('POSTERN_LAB_MEMORY', '/tmp'))
        self.data = os.path.join(self.dir, 'data')
        self.user = {}
        if os.geteuid() == 0:
            who = pwd.getpwnam('postgres')
            os.chown(self.dir, who.pw_uid, who.pw_gid)
            self.user = {'user': who.pw_uid, 'group': who.pw_gid, 'extra_groups': []}
        os.chmod(self.dir, 0o755)

    def _run(self, *argv):
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd='/', **self.user)
        if done.returncode != 0:
            raise RuntimeError('%s: %s' % (argv[0], done.stdout.decode(errors='replace')))

    def _ctl(self, *words):
        # The server keeps the descriptors that it inherits, so it gets none of ours.
        done = subprocess.run([os.path.join(bindir(), 'pg_ctl'), '-D', self.data, *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd='/', **self.user)
        if done.returncode != 0:
            raise RuntimeError('pg_ctl %s: %s' % (words[-1], self.log()))

    def start(self):
        self._run(os.path.join(bindir(), 'initdb'), '-D', self.data, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8',
                  '--locale=C', '-N')
        with open(os.path.join(self.data, 'postgresql.conf'), 'a') as conf:
            conf.write("listen_addresses = ''\nunix_socket_directories = '%s'\nfsync = off\n"
                       "max_connections = 50\nmax_locks_per_transaction = 256\nshared_buffers = 128MB\n%s" % (self.dir, self.conf))
        self._ctl('-w', '-l', os.path.join(self.dir, 'log'), 'start')
        return self

    def restart(self):
        """Nothing is in memory then."""
        self._ctl('-w', '-m', 'fast', 'stop')
        self._ctl('-w', '-l', os.path.join(self.dir, 'log'), 'start')

    def stop(self):
        try:
            if os.path.exists(os.path.join(self.data, 'postmaster.pid')):
                self._ctl('-w', '-m', 'immediate', 'stop')
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        try:
            with open(os.path.join(self.dir, 'log')) as f:
                return f.read()[-2000:]
        except OSError:
            return 'no log'

    def conninfo(self, database):
        return 'host=%s dbname=%s' % (self.dir, database)

    def psql_argv(self, database, user='postgres'):
        return ['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', '%s user=%s' % (self.conninfo(database), user)]

    def sql(self, database, text, user='postgres'):
        """The answer as text: rows by line, columns by `|`. An error is a RuntimeError with PostgreSQL's words."""
        try:
            return pq.ask(text, conninfo='%s user=%s' % (self.conninfo(database), user))
        except pq.Error as e:
            raise RuntimeError(str(e)) from None
