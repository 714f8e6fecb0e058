"""Many quick connections to each super server by its sample in etc/: everybody is served afterwards, and meanwhile.

Super servers know limits of connections in a second or a minute at which they
switch a service off for everybody. The samples set them, so here they stay as shipped.
"""
import re
import socket
import unittest

import kit
import superserver

WHO = "flood@example.org"
FLOOD = 120
FLOODER, OTHER = "127.0.0.66", "127.0.0.1"      # all of 127/8 is this host


class Flood(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("flood-", kit.QUICK + "cells = 1;\n", lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])

    def connect(self, address, source):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=30, source_address=(source, 0))

    def served(self, address, source):
        try:
            with kit.Pop("", sock=self.connect(address, source), timeout=30) as pop:
                pop.login(WHO)
                pop.ok("QUIT")
            return True
        except (OSError, EOFError):
            return False

    def flood(self, address):
        """Connections that leave at once."""
        for _ in range(FLOOD):
            try:
                self.connect(address, FLOODER).close()
            except OSError:
                pass                            # what comes of it is asked below

    def test_flood(self):
        for kind in ("xinetd", "inetd", "inetutils", "tcpserver"):
            with self.subTest(kind=kind):
                server = superserver.start(kind, self.site)
                try:
                    self.assertTrue(self.served(server.address, OTHER))
                    self.flood(server.address)
                    self.assertTrue(self.served(server.address, OTHER), kit.lab.tail(server.log))
                    # Theirs may be at its bound until what they started has ended.
                    self.assertTrue(kit.wait_until(lambda: self.served(server.address, FLOODER), 60), kit.lab.tail(server.log))
                finally:
                    server.stop()

    def test_one_address_takes_not_all(self):
        """xinetd: connections that stay. Others are served beside them."""
        server = superserver.start("xinetd", self.site)
        held = []
        try:
            for _ in range(FLOOD):
                held.append(self.connect(server.address, FLOODER))
            self.assertTrue(self.served(server.address, OTHER), kit.lab.tail(server.log))
            self.assertFalse(self.served(server.address, FLOODER))
        finally:
            for sock in held:
                sock.close()
            server.stop()

    def test_samples_set_them(self):
        """Where the default is what a flood reaches."""
        for name in ("posternd", "posternd-pop3s", "posternd-lmtp"):
            text = (kit.TOP / "etc/systemd" / f"{name}.socket").read_text()
            self.assertRegex(text, r"(?m)^TriggerLimitIntervalSec=0$")
            self.assertRegex(text, r"(?m)^MaxConnections=\d+$")
        services = re.findall(r"^service .*?^\}", (kit.TOP / "etc/xinetd.d-postern").read_text(), re.S | re.M)
        for service in services:
            if re.search(r"wait\s+= no", service):
                self.assertRegex(service, r"(?s)instances .*per_source .*cps ")


if __name__ == "__main__":
    unittest.main()
