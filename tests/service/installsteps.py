"""What INSTALL tells a reader to do: its indented blocks, by step, and what each is.

A block is commands to be run as they are printed, unless it is a piece of
postern.conf or one of NOT_COMMANDS. test_install.py looks at all of them;
install-check does them in a fresh Debian.
"""
import re

import kit

INSTALL = kit.TOP / "INSTALL"


class Block:
    def __init__(self, step, lines):
        self.step = step
        indent = min(len(line) - len(line.lstrip()) for line in lines)
        self.text = "".join(line[indent:] + "\n" for line in lines)
        self.first = self.text.split("\n", 1)[0]
        self.kind, self.more = self.sort()

    def sort(self):
        for key, (kind, more) in NOT_COMMANDS.items():
            if self.first.startswith(key):
                return kind, more
        if re.match(r"\w+\s*=.*[;(]\s*(#.*)?$", self.first) and kit.lab.top_names(self.text):
            return "conf", None
        return "run", None

    def __repr__(self):
        return f"step {self.step}: {self.first}"


# By how the first line begins: what the block is, and which file it goes into, after which step it is to be run,
# or why it is not done.
NOT_COMMANDS = {
    "posternctl domain set example.org --store": ("after", 7),
    "posternctl import anna@example.org /home/anna/Maildir": ("other", "there is no other server: test_moving_in.py has some"),
    "posternctl import anna@example.org --pop3": ("other", "there is no other server: test_import_pop3.py has some"),
    "Dovecot   ": ("text", "what each server has to say"),
    "libpq  ": ("text", "what the libraries are for"),
    "make deb ": ("other", "instead of `make install`: deb-check does it"),
    "max_locks_per_transaction": ("append", "postgresql.conf"),
    "max_connections  ": ("text", "advice"),
    "local  ": ("prepend", "pg_hba.conf"),
    "# map": ("append", "pg_ident.conf"),
    'database      = "host=db.example.net': ("other", "there is no other host"),
    "etc/s6/posternd": ("files", "each is tried by test_service.py"),
    "listeners = (": ("other", "the daemon has the ports there: test_service.py and test_passing.py"),
    'command="': ("text", "a line of authorized_keys"),
    "17 3 * * *": ("append", "/etc/cron.d/postern"),
    "alter system set": ("other", "there is no second server: test_failover.py has one"),
    'database = "host=db1,db2 ': ("other", "there is no second server: test_failover.py has one"),
    'database = "host=db1,db2,db3': ("other", "there are no three servers"),
    "Patroni 3.0.3": ("text", "advice"),
    "create publication": ("other", "there is no second cluster: test_major_upgrade.py has one"),
    "pg_dumpall": ("other", "there is no second cluster: test_major_upgrade.py has one"),
    "create subscription": ("other", "there is no second cluster: test_major_upgrade.py has one"),
    **{command: ("other", "there is no other server: test_move.py moves a house") for command in (
        "umask 077", "posternctl passwords /etc/dovecot", "posternctl move house.tsv --tenant acme --over-quota --dry-run",
        "posternctl move house.tsv --tenant acme --over-quota --sync --jobs 8 >first", "postconf -e",
        "posternctl move house.tsv --tenant acme --over-quota --sync --jobs 8 >last", "postconf -X",
        "posternctl move house.tsv --tenant acme --over-quota --final", "posternctl compare --from")},
    "mail_location = maildir": ("other", "there is no other server: test_leave.py has one"),
    "chown -R vmail:vmail /srv/leave": ("other", "there is no other server: test_leave.py has one"),
    "posternctl import anna@example.org /srv/leave": ("other", "posternd runs on: test_leave.py goes back"),
    'pop3_relay_servers = ': ("other", "there is no old server: test_relay.py has one"),
    "posternctl old-server add old ": ("other", "there is no old server"),
    "posternctl mailbox here ": ("other", "there is no old server"),
    'database = "host=db.example.net dbname': ("other", "there is no other host"),
    "hostssl postern +postern_tenant": ("text", "lines of pg_hba.conf for hosts: nobody comes over the network there"),
    "posternctl --as user=postgres schema upgrade": ("other", "there is no second cluster: test_major_upgrade.py has one"),
}


def read():
    """All blocks, in order."""
    blocks, step, lines = [], 0, []
    for line in INSTALL.read_text().splitlines() + [""]:
        number = re.match(r" ?(\d+)\. ", line)
        if line.startswith("        "):
            lines.append(line)
            continue
        if lines:
            blocks.append(Block(step, lines))
            lines = []
        if number:
            step = int(number.group(1))
    return blocks


def steps():
    return [int(n) for n in re.findall(r"^ ?(\d+)\. ", INSTALL.read_text(), re.M)]
