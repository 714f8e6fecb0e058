"""Clients take every descriptor of a worker; its connections to the database come back all the same."""
import ctypes
import resource
import socket
import time
import unittest

import kit

WHO = "descriptors@example.org"
CONF = kit.QUICK + ('cells = 1; database_lanes = 3; database_lmtp_lanes = 2; database_retry = "300ms"; pop3_limit_exempt = "127.0.0.0/8";'
                    ' pop3_login_time = "10m";\n')
LIMIT, CLIENTS = 64, 150


def few():
    """For good: root could raise it again."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    ctypes.CDLL(None).prctl(24, 24, 0, 0, 0)        # PR_CAPBSET_DROP, CAP_SYS_RESOURCE


class Descriptors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = kit.Site("descriptors-", CONF, lmtp=True)
        cls.addClassCleanup(cls.site.down)
        cls.site.up()
        cls.site.account(WHO, [kit.letter(1)])
        cls.site.lab.end_daemon()

    def crowd(self, address):
        """More clients than the worker has descriptors for: some are served, the rest wait to be."""
        clients = []
        for _ in range(CLIENTS):
            sock = socket.create_connection(address.rsplit(":", 1))
            sock.setblocking(False)
            clients.append(sock)
            self.addCleanup(sock.close)
        return clients

    def served(self, clients):
        found = []
        for sock in clients:
            try:
                if sock.recv(1000, socket.MSG_PEEK):
                    found.append(sock)
            except (BlockingIOError, ConnectionError):
                pass
        return found

    def lmtp_lanes(self):
        return int(self.site.sql("select count(*) from pg_stat_activity where usename = 'postern_lmtp'"))

    def test_restart_of_the_database(self):
        daemon = self.site.second(f'lmtp_spool_dir = "{self.site.lab.spool}";\n')
        daemon.conf.write_text(daemon.conf.read_text().replace("listeners = ( ", 'listeners = ( { address = "127.0.0.1"; port = %d; protocol = "lmtp"; }, '
                                                               % kit.lab.free_port()))
        daemon.start(preexec_fn=few)
        self.addCleanup(daemon.stop)
        clients = self.crowd(daemon.address)
        self.assertTrue(kit.wait_until(lambda: "could not accept a connection: Too many open files" in daemon.log.read_text()),
                        kit.lab.tail(daemon.log))
        for mode in ("fast", "immediate"):
            self.site.pg_stop(mode)
            time.sleep(1)               # descriptors of lanes are free now, and clients knock
            self.site.lab.pg_start()
            self.site.wait_lanes(3)
            self.assertTrue(kit.wait_until(lambda: self.lmtp_lanes() == 2), kit.lab.tail(daemon.log))
            served = self.served(clients)
            self.assertGreater(len(served), 10)
            self.assertLess(len(served), CLIENTS)
        # One of them, who has waited all the time, is served as ever.
        served[0].setblocking(True)
        pop = kit.Pop(daemon.address, sock=served[0])
        pop.login(WHO)
        self.assertEqual(pop.retr(1), kit.letter(1))
        pop.ok("DELE 1")
        pop.ok("QUIT")


if __name__ == "__main__":
    unittest.main()
