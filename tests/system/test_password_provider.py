"""`posternctl password` where credentials() is a provider's own: what is set here may not be what a login is proven with."""
import unittest

import kit

WHO, LOCAL = "who@own.example", "local@own.example"

# The provider's table has WHO; all others are Postern's own.
FALLS_BACK = """
    alter function postern.credentials(text) rename to own_credentials;
    create function postern.credentials(p_address text)
    returns table (mailbox bigint, address text, active boolean, kind text, label text, secret text)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp
    as $$
    begin
        if p_address = 'who@own.example' then
            return query select m.mailbox, m.address, true, 'password', '', '{PLAIN}theirs'
                           from postern.mailbox m where m.address = p_address;
        else
            return query select * from postern.own_credentials(p_address);
        end if;
    end $$;
    revoke all on function postern.credentials(text) from public;
    grant execute on function postern.credentials(text) to postern_auth;
    update postern.policy_version set version = postern.next_proof(version);
"""


class Provider(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("provider-")
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        for who in (WHO, LOCAL):
            cls.site.account(who)

    def password(self, who, *options, text=b"ours\n"):
        done = self.site.ctl("password", who, *options, check=False, stdin=text)
        return done.returncode, done.stdout.decode()

    def good(self, who, password):
        with self.site.connect() as pop:
            pop.ok("USER " + who)
            reply = pop.cmd("PASS " + password)
            pop.ok("QUIT")
            return reply.startswith(b"+OK")

    def test_what_is_said(self):
        self.assertEqual(self.password(WHO), (0, f"password of {WHO} set\n"))
        self.assertEqual(self.password(WHO, "--remove"), (0, f"password of {WHO} removed\n"))
        self.site.sql(FALLS_BACK)
        for options, done in (((), "stored"), (("--remove",), "removed")):
            status, said = self.password(WHO, *options)
            self.assertEqual(status, 1)
            self.assertEqual(said, f"posternctl: the password of {WHO} is {done} here, but logins use another secret: "
                                   "postern.credentials() is the provider's own; change the secret where that function reads it\n")
        self.assertTrue(self.good(WHO, "theirs"))
        self.assertFalse(self.good(WHO, "ours"))
        done = self.site.ctl("app-password", "add", WHO, "phone", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("logins use another secret", done.stdout.decode())
        # Whom that function leaves to ours has the password that was set.
        self.assertEqual(self.password(LOCAL), (0, f"password of {LOCAL} set\n"))
        self.assertTrue(self.good(LOCAL, "ours"))
        self.assertEqual(self.site.ctl("app-password", "add", LOCAL, "phone").returncode, 0)
        self.assertEqual(self.password(LOCAL, "--remove"), (0, f"password of {LOCAL} removed\n"))
        self.assertFalse(self.good(LOCAL, "ours"))

    def test_lists_take_commas_and_blanks(self):
        for text in ("scram-sha-256,shared-secret", "scram-sha-256 shared-secret", " scram-sha-256, shared-secret ,"):
            self.site.ctl("domain", "set", "own.example", "--store", "none")
            self.site.ctl("domain", "set", "own.example", "--store", text)
            self.assertEqual(self.site.sql("select stores from postern.domain where name = 'own.example'"), "{scram-sha-256,shared-secret}")
        self.site.ctl("domain", "set", "own.example", "--store", "none")
        self.assertEqual(self.site.sql("select stores from postern.domain where name = 'own.example'"), "{}")
        self.assertNotEqual(self.site.ctl("domain", "set", "own.example", "--store", "scram,none", check=False).returncode, 0)


if __name__ == "__main__":
    unittest.main()
