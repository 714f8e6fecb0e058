#!/usr/bin/env python3
"""To another PostgreSQL by logical replication, while mail flows, as INSTALL describes it; here of the same version."""
import json
import pathlib
import smtplib
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kit

READERS = [f"reader{n}@example.org" for n in range(3)]
SECOND = kit.lab.PGPORT + 1
TABLES = """select c.relname from pg_class c where c.relnamespace = 'postern'::regnamespace and c.relkind in ('r', 'p')
             and not c.relispartition and c.relpersistence = 'p' order by 1"""


class Cluster:
    """The new one: empty, beside the lab's."""

    def __init__(self, site):
        self.lab = site.lab
        self.data = self.lab.data.parent / "next"

    def make(self):
        if kit.ROOT:
            self.data.mkdir(mode=0o700)
            kit.shutil.chown(self.data, "postgres", "postgres")
        self.lab.as_pg(self.lab.pg_bin("initdb"), "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C", "-N", what="initdb")
        for name in ("postgresql.conf", "lab.conf", "pg_hba.conf", "pg_ident.conf"):
            (self.data / name).write_bytes((self.lab.data / name).read_bytes())
        self.ctl("-l", self.data / "log", "-o", f"-p {SECOND}", "start")

    def ctl(self, *words):
        self.lab.as_pg(self.lab.pg_bin("pg_ctl"), "-D", self.data, "-w", "-t", "30", *words, what="pg_ctl")

    def stop(self):
        try:
            self.ctl("-m", "immediate", "stop")
        except kit.lab.LabError:
            pass

    def sql(self, text, database=kit.lab.DATABASE):
        return kit.lab.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text, what="psql",
                           env=dict(self.lab.env(), PGPORT=str(SECOND))).rstrip("\n")


class MajorUpgrade(unittest.TestCase):
    def setUp(self):
        self.site = kit.Site("postern-major-", kit.QUICK + "cells = 1;\n", lmtp=True,
                             pgconf="wal_level = logical\n"
                             # Else it waits five seconds for a worker that is free, per table.
                             "wal_retrieve_retry_interval = 100\nmax_logical_replication_workers = 8\nmax_worker_processes = 12\n"
                             "max_sync_workers_per_subscription = 6\nwal_receiver_status_interval = 1\n")
        self.addCleanup(self.site.down)
        self.site.up()
        for n, address in enumerate(READERS):
            self.site.account(address, [kit.letter(k) for k in range(3 + n)])
        self.site.ctl("expire")         # partitions of the history
        self.site.ctl("policy", "set", "undelete=3")
        self.next = Cluster(self.site)
        self.addCleanup(self.next.stop)
        self.stopping = False
        self.delivered = 0

    # -- mail

    def deliver(self):
        with smtplib.LMTP("127.0.0.1", self.site.lmtp, timeout=30) as lmtp:
            for address in READERS:
                lmtp.sendmail("sender@example.org", [address], kit.letter(100 + self.delivered))
        self.delivered += 1

    def work(self):
        while not self.stopping:
            self.deliver()
            with self.site.login(READERS[self.delivered % 3]) as pop:
                pop.ok("DELE 1")
                pop.ok("QUIT")

    # -- the steps

    def copy_schema(self):
        """Roles, and everything but rows."""
        def old(name, *args):
            return kit.lab.run(str(self.site.lab.pg_bin(name)), *args, what=name, env=self.site.lab.env())
        def new(text, database):
            subprocess.run(["psql", "-XAtq", "-d", database], input=text.encode(), check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env=dict(self.site.lab.env(), PGPORT=str(SECOND)))
        new(old("pg_dumpall", "--globals-only"), "postgres")
        self.next.sql(f"create database {kit.lab.DATABASE} template template0 encoding 'UTF8'", "postgres")
        new(old("pg_dump", "--schema-only", kit.lab.DATABASE), kit.lab.DATABASE)

    def rows(self, sql):
        """By table: how many rows, and a digest of all."""
        return sql(" union all ".join(f"select '{t}', count(*), md5(string_agg(r::text, '' order by r::text)) from postern.{t} r"
                                      for t in self.site.sql(TABLES).splitlines())).splitlines()

    def conf(self):
        path = self.site.dir / "next.conf"
        path.write_text("".join((f'database = "host={self.site.lab.sockets} port={SECOND} dbname={kit.lab.DATABASE}";' if line.startswith("database ")
                                 else line) + "\n" for line in self.site.lab.conf.read_text().splitlines()))
        return path

    def ctl(self, *args):
        done = subprocess.run([str(self.site.lab.posternctl), "-c", str(self.conf()), *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=kit.lab.plain_env(), check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace"))
        return done.stdout.decode()

    def test_switch(self):
        lab = self.site.lab
        # What could not be deleted once it is published.
        self.assertEqual(lab.sql("""select c.relname from pg_class c where c.relnamespace = 'postern'::regnamespace and c.relkind in ('r', 'p')
            and c.relpersistence <> 'u' and c.relreplident not in ('f', 'i')
            and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)"""), "")
        self.next.make()
        self.copy_schema()
        lab.sql("create publication postern_upgrade for tables in schema postern with (publish_via_partition_root = true)")
        worker = threading.Thread(target=self.work, daemon=True)
        worker.start()
        self.next.sql(f"create subscription postern_upgrade connection 'host={lab.sockets} port={kit.lab.PGPORT} dbname={kit.lab.DATABASE} user=postgres'"
                      " publication postern_upgrade")
        self.assertTrue(kit.wait_until(lambda: self.next.sql("select count(*) > 0 and bool_and(srsubstate = 'r') from pg_subscription_rel") == "t"),
                        (self.next.data / "log").read_text()[-2000:])
        seen = self.delivered
        self.assertTrue(kit.wait_until(lambda: self.delivered > seen + 5))
        self.stopping = True
        worker.join(30)
        # What an operator changes is carried, too: rows that have no key are removed.
        self.site.ctl("mailbox", "remove", READERS[2], "--yes")
        self.site.ctl("erase", READERS[2], "--removed", "--yes")
        end = lab.sql("select pg_current_wal_lsn()")
        self.assertTrue(kit.wait_until(lambda: lab.sql(f"select confirmed_flush_lsn >= '{end}' from pg_replication_slots") == "t"))
        self.assertEqual(self.rows(self.next.sql), self.rows(lab.sql))
        self.next.sql("drop subscription postern_upgrade")
        # Behind are all that were used; to look changes nothing, to set is done once.
        behind = json.loads(self.ctl("--json", "schema", "sequences", "--dry-run"))
        self.assertEqual(json.loads(self.ctl("--json", "schema", "sequences", "--dry-run")), behind)
        self.assertIn("postern.content_content_seq", [s["sequence"] for s in behind])
        # The mailbox that was removed has left nothing that could be found under its number again.
        self.assertEqual(json.loads(self.ctl("--json", "schema", "sequences")), behind)
        self.assertEqual(json.loads(self.ctl("--json", "schema", "sequences")), [])
        for s in behind:
            self.assertLessEqual(int(s["will_be"]), int(lab.sql(f"select last_value + 1 from {s['sequence']}")))
        self.next.sql("select setval('postern.tenant_tenant_seq', 5000)")
        self.assertEqual(json.loads(self.ctl("--json", "schema", "sequences")), [])
        self.assertEqual(self.next.sql("select last_value from postern.tenant_tenant_seq"), "5000")
        self.ctl("--as", "user=postgres", "schema", "upgrade")
        self.next.sql("select postern.harden()")
        self.assertEqual(self.next.sql("select risk from postern.find_risks()"), "")
        self.ctl("check")
        # Postern with the new one.
        before = self.site.fetched(READERS[0])
        lab.conf.write_text(self.conf().read_text())
        self.site.ctl("reload")
        self.assertTrue(kit.wait_until(lambda: self.next.sql("select count(*) > 1 from pg_stat_activity where usename in ('postern_mail', 'postern_lmtp')") == "t"))
        self.site.account("new@example.org")
        with smtplib.LMTP("127.0.0.1", self.site.lmtp, timeout=30) as lmtp:
            for address in (READERS[0], "new@example.org"):
                lmtp.sendmail("sender@example.org", [address], kit.letter(999))
        self.assertEqual(self.site.fetched("new@example.org")[0][-60:], kit.letter(999)[-60:])
        after = self.site.fetched(READERS[0])
        self.assertEqual(after[:-1], before)
        self.ctl("check")
        self.assertEqual(lab.sql("select count(*) from postern.mailbox where address = 'new@example.org'"), "0")


if __name__ == "__main__":
    unittest.main()
