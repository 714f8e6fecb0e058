"""A lab with a certificate, and clients that speak TLS to it, at once or by STLS."""
import os
import signal
import socket
import ssl
import subprocess
import unittest
import warnings

import kit

WHO = "tls@example.org"


def context(site=None, version=None, alpn=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if site is None:
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    else:
        c.load_verify_locations(site.lab.tls / "ca.pem")
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # those that are asked for to be refused are deprecated
            c.set_ciphers("ALL:@SECLEVEL=0")
            c.minimum_version = c.maximum_version = version
    if alpn is not None:
        c.set_alpn_protocols(alpn)
    return c


class TlsCase(unittest.TestCase):
    conf = kit.QUICK

    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("tls-", cls.conf, pop3s=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.pop3s = f"127.0.0.1:{cls.site.pop3s}"
        cls.letters = [kit.letter(n, 400) for n in range(1, 4)] + [kit.letter(4, 1_000_000)]
        cls.site.account(WHO, cls.letters)

    def raw(self, address):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=kit.PATIENCE)

    def implicit(self, ctx=None, name="localhost", greet=True, **kw):
        ctx = ctx or context(self.site)
        return kit.Pop("", sock=ctx.wrap_socket(self.raw(self.pop3s), server_hostname=name, **kw), greet=greet)

    def handshake(self, pop, ctx=None, name="localhost"):
        """What STLS leads to, on the same connection."""
        self.assertFalse(pop.buf)
        pop.sock = (ctx or context(self.site)).wrap_socket(pop.sock, server_hostname=name)
        return pop

    def stls(self, ctx=None, name="localhost"):
        pop = self.site.connect()
        pop.ok("STLS")
        return self.handshake(pop, ctx, name)

    def both(self):
        return (("implicit", self.implicit), ("stls", self.stls))

    def until(self, test, what, seconds=10):
        self.assertTrue(kit.wait_until(test, seconds), f"{what}{self.site.log_tail()}")

    def reload(self, conf):
        self.site.lab.write_conf(int(self.site.address.rpartition(":")[2]), conf)
        os.kill(self.site.lab.master_pid(), signal.SIGHUP)

    def s_client(self, *args, stdin=b"QUIT\r\n"):
        return subprocess.run(["openssl", "s_client", "-connect", self.pop3s, "-CAfile", str(self.site.lab.tls / "ca.pem"),
                               "-ign_eof", *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=30, check=False).stdout.decode(errors="replace")
