"""Does the service serve? A login and a delivery each 100 ms, with a mailbox of their own, and since when."""
import threading
import time

from lmtpkit import kit

EVERY = 0.1


class Probe(threading.Thread):
    """Either of the two; good holds (began, ended) of the last one that was served."""

    def __init__(self, site, kind, box):
        super().__init__(daemon=True)
        self.site, self.box = site, box
        self.probe = getattr(self, kind)
        self.good = (0.0, 0.0)
        self.tried = self.served = 0
        self.stop = threading.Event()

    def run(self):
        while not self.stop.wait(EVERY):
            began = time.monotonic()
            self.tried += 1
            try:
                self.probe()
            except (OSError, EOFError, AssertionError):
                continue
            self.served += 1
            self.good = (began, time.monotonic())

    def pop3(self):
        with self.site.connect(timeout=5) as pop:
            pop.login(self.box)
            pop.stat()
            pop.ok("QUIT")

    def lmtp(self):
        with self.site.lmtp_connect(timeout=5) as client:
            reply, = client.deliver(b"Subject: probe\r\n\r\n", self.box)
            assert reply.startswith(b"250"), reply


class Probes:
    def __init__(self, site, pop3_box, lmtp_box):
        self.each = [Probe(site, "pop3", pop3_box), Probe(site, "lmtp", lmtp_box)]
        for probe in self.each:
            probe.start()

    def served_since(self, when, seconds):
        """Seconds from `when` until both were served by what began then or later; None: not within that time."""
        if not kit.lab.wait_until(lambda: all(p.good[0] >= when for p in self.each), seconds):
            return None
        return max(p.good[1] for p in self.each) - when

    def close(self):
        for probe in self.each:
            probe.stop.set()
        for probe in self.each:
            probe.join()
