"""The library that sorts text changes under the database: nothing of ours notices, and operators are told."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import kit
import lmtpkit

LOCALE = "xx_XX.UTF-8"
DOMAINS = ["swap.example", "sw-ap.example", "s_wap.example"]
LOCALS = [f"{a}{sign}{b}" for a in ("a", "ab", "z", "an.na", "0", "x-y_z") for sign in ".-_" for b in ("b", "ba", "1")][:50]
ADDRESSES = [f"{local}@{domain}" for domain in DOMAINS for local in LOCALS]
ALIAS = "all-of_them.here@swap.example"

# One locale, where - . _ @ are passed over, and where they are letters behind z.
HEADER = """\
comment_char %
escape_char /
LC_IDENTIFICATION
title "of a test"
END LC_IDENTIFICATION
LC_CTYPE
copy "en_US"
END LC_CTYPE
LC_COLLATE
copy "iso14651_t1"
"""
SIGNS_BEHIND_Z = "reorder-after <U007A>\n" + "".join(
    f'<{sign}> <S007A>;"<BASE><BASE>";"<MIN><MIN>";<{sign}>\n' for sign in ("U005F", "U002E", "U0040", "U002D")) + "reorder-end\n"
FOOTER = "END LC_COLLATE\n" + "".join(f'LC_{part}\ncopy "en_US"\nEND LC_{part}\n' for part in (
    "MONETARY", "NUMERIC", "TIME", "MESSAGES", "PAPER", "NAME", "ADDRESS", "TELEPHONE", "MEASUREMENT"))


def compiled(folder, name, weights):
    """The locale in a folder of its own."""
    source, where = folder / f"{name}.src", folder / name
    source.write_text(HEADER + weights + FOOTER)
    where.mkdir(mode=0o755)
    # 1: with warnings.
    done = subprocess.run(["localedef", "-c", "-i", source, "-f", "UTF-8", where / LOCALE], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode not in (0, 1) or not (where / LOCALE).is_dir():
        raise AssertionError(done.stdout)
    return where


class Foreign(unittest.TestCase):
    """A site whose database has a locale that we can change."""

    @classmethod
    def setUpClass(cls):
        cls.locales = pathlib.Path(tempfile.mkdtemp(prefix="locales-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.locales, ignore_errors=True)
        cls.locales.chmod(0o755)
        cls.place = cls.locales / "now"
        cls.place.symlink_to(compiled(cls.locales, "before", "").name)
        os.environ.update(POSTERN_LAB_LOCALE=LOCALE, POSTERN_LAB_LOCPATH=str(cls.place))
        cls.addClassCleanup(lambda: [os.environ.pop(name) for name in ("POSTERN_LAB_LOCALE", "POSTERN_LAB_LOCPATH")])
        cls.site = kit.Site("collation-", kit.QUICK + "cells = 2;\n", lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()

    def sorted_by_the_database(self):
        return self.site.sql("select string_agg(x, ' ' order by x) from unnest('{aab,a-b,a.b,a_b,a@b,azb}'::text[]) x")


class Swapped(Foreign):
    def test_nothing_has_the_database_s_collation(self):
        """Columns of tables, partitions, views and indexes, and what functions compare by a pattern."""
        self.site.sql("create database parted")
        self.site.ctl("--as", "user=postgres dbname=parted", "schema", "init", "--partitions", "2")
        for database in (kit.lab.DATABASE, "parted"):
            self.assertEqual(self.site.lab.sql("""
                select c.oid::regclass || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
                 where c.relnamespace::regnamespace::text like 'postern%' and a.attnum > 0 and not a.attisdropped
                   and a.attcollation not in (0, 'pg_catalog."C"'::regcollation)""", database), "")
            self.assertEqual(self.site.lab.sql("""
                select i.indexrelid::regclass from pg_index i join pg_class c on c.oid = i.indrelid
                 where c.relnamespace::regnamespace::text like 'postern%'
                   and exists (select from unnest(i.indcollation) x where x not in (0, 'pg_catalog."C"'::regcollation))""", database), "")
        # Parameters and variables have the database's collation, where nothing else is said.
        wrong = re.compile(r'''(?<!collate "C") !?~\*? |\b(?:lower|upper|initcap|regexp_\w+)\((?![^()]*collate "C")'''
                           r'''|\bi?like\b|\bsimilar to\b|\bsubstring\((?:(?!collate "C").)* from ''''')
        for function, source in json.loads(self.site.sql(
                "select json_agg(array[proname, prosrc]) from pg_proc where pronamespace::regnamespace::text like 'postern%'")):
            source = re.sub(r"--.*", "", source)
            source = re.sub(r"'(?:[^']|'')*'", "''", source)
            self.assertIsNone(wrong.search(source), function)

    def test_what_the_programs_sort(self):
        """The columns of a function's result have the database's collation, too."""
        for path in (p for folder in ("admin", "auth", "storage") for p in (kit.TOP / folder).glob("*.c")):
            text = path.read_text().replace("order by uid", "")
            self.assertTrue("order by" not in text or 'collate \\"C\\"' in text, path)

    def deliver(self, address):
        with lmtpkit.Lmtp(f"127.0.0.1:{self.site.lmtp}") as lmtp:
            try:
                return lmtp.deliver(lmtpkit.LETTER, address)[0].startswith(b"250 ")
            except AssertionError:      # refused before it was sent
                return False

    def lists(self):
        """What stands first in each line, of mail and not of tables."""
        texts = [self.site.ctl(*words).stdout.decode().partition("\n\n")[0] for words in (
            ["mailbox", "list"], ["alias", "list"], ["domain", "list"], ["tenant", "list"], ["du", "--domain", DOMAINS[0]],
            ["mailbox", "list", DOMAINS[1]], ["app-password", "list", ADDRESSES[0]], ["policy", "show"])]
        return [[line.split()[0] for line in text.splitlines()[1:]] for text in texts]

    def add(self, addresses):
        """As posternctl does. Returns how many are new."""
        return int(self.site.sql("""
            create temporary table made (address text);
            do $$
            declare
                a text;
            begin
                foreach a in array '{%s}'::text[] loop
                    begin
                        perform postern.add_mailbox(a, null);
                        insert into made values (a);
                    exception when sqlstate 'PN409' then
                        null;
                    end;
                end loop;
            end
            $$;
            select count(*) from made""" % ",".join(addresses)))

    def make(self):
        site = self.site
        for tenant in ("t-one", "t.two", "t_three"):
            site.ctl("tenant", "add", tenant)
        for domain in DOMAINS:
            site.ctl("domain", "add", domain, "--tenant", "t-one")
        self.add(ADDRESSES)
        site.password(ADDRESSES[0])
        site.sql("insert into postern.credential (mailbox, kind, secret) select m.mailbox, c.kind, c.secret"
                 "  from postern.credential c, postern.mailbox m where m.mailbox <> c.mailbox")
        site.ctl("alias", "add", ALIAS, *ADDRESSES[:20])
        for label in ("my phone", "my-phone", "my_tablet", "my.pad"):
            site.ctl("app-password", "add", ADDRESSES[0], label)
        for address in ADDRESSES[::15]:
            site.ctl("policy", "set", "--mailbox", address, "login_delay=0")

    def test_swapped(self):
        self.make()
        before, order = self.lists(), self.sorted_by_the_database()
        self.assertTrue(self.deliver(ADDRESSES[3]))

        self.site.pg_stop()
        self.place.unlink()
        self.place.symlink_to(compiled(self.locales, "after", SIGNS_BEHIND_Z).name)
        self.site.lab.pg_start()
        self.site.wait_lanes()

        self.assertNotEqual(self.sorted_by_the_database(), order, "the locale has not changed")
        refused = [a for a in ADDRESSES if not self.deliver(a)]
        again = self.add(ADDRESSES)
        no_login = []
        for address in ADDRESSES:
            with self.site.connect() as pop:
                pop.ok("USER " + address)
                if not pop.cmd("PASS " + kit.PASSWORD).startswith(b"+OK"):
                    no_login.append(address)
        self.assertEqual((len(refused), again, len(no_login)), (0, 0, 0), "no mail, made again, no login")
        self.assertTrue(self.deliver(ALIAS))
        self.assertEqual(self.site.ctl("domain", "add", DOMAINS[2], "--tenant", "t-one", check=False).returncode, 1)
        self.site.checked()
        self.assertEqual(self.lists(), before)
        # By octets, whatever the database's own order is.
        self.assertEqual(before[0], sorted(ADDRESSES))
        self.assertEqual(before[2], sorted(DOMAINS))


class Told(Foreign):
    """That the database's collation is of another version: once, with what to do, and never by the server's own warning."""

    def restart(self):
        """As wait_lanes(), but by another database: in this one psql is warned as well."""
        self.site.pg_restart()
        self.assertTrue(kit.wait_until(lambda: self.site.lab.lanes_ready("postgres") >= self.site.lab.lanes_wanted(), 15))

    def test_told_once(self):
        site, line = self.site, "Postern does not depend on it"
        self.assertNotIn(line, site.log_text())
        self.assertNotIn(b"collation", site.ctl("schema", "status").stdout)
        site.sql("update pg_database set datcollversion = '1.9' where datname = 'postern'")
        self.restart()
        self.assertTrue(kit.wait_until(lambda: line in site.log_text()), site.log_tail())

        for words in (["check", "--quick"], ["check"]):
            done = site.lab.ctl(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 0)
            self.assertNotIn("collation", done.stdout)
            self.assertRegex(done.stderr, r"^posternctl: the collation version of database postern is 1\.9 but the library's is now \S+; "
                             r'.*ALTER DATABASE "postern" REFRESH COLLATION VERSION\n\Z')
        done = site.lab.ctl("schema", "status", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.stderr, "")
        self.assertRegex(done.stdout, r"(?m)^collation +the collation version of database postern .*REFRESH COLLATION VERSION$")
        for words in (["schema", "status"], ["check", "--quick"]):
            found = json.loads(site.ctl("--json", *words).stdout)
            self.assertIn("REFRESH COLLATION VERSION", found["collation"])
        # The other verbs say nothing of it.
        for words in (["tenant", "list"], ["tenant", "add", "somebody"], ["du"], ["sessions"], ["policy", "show"]):
            done = site.lab.ctl(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = subprocess.run([str(site.lab.posternd), "-c", str(site.lab.conf), "--check"], env=kit.lab.plain_env(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertNotIn("WARNING", done.stdout)

        # Connections that come later say no more, of any worker or helper; nor does anything write to standard error.
        self.restart()
        site.account("told@collation.example", [kit.letter(1)])
        site.login("told@collation.example").close()
        self.assertEqual(site.log_text().count(line), 1, site.log_text())
        self.assertNotIn("collation version mismatch", site.log_text())

    def tearDown(self):
        self.site.sql("alter database postern refresh collation version")


if __name__ == "__main__":
    unittest.main()
