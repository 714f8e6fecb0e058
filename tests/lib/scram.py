"""A client of SCRAM (RFC 5802, RFC 7677) and what a server stores for it, by hashlib alone."""
import base64
import hashlib
import hmac
import os
import re


def b64(data):
    return base64.b64encode(data).decode()


def keys(name, password, salt, iterations):
    """ClientKey, StoredKey and ServerKey."""
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", name)
    return client, hashlib.new(name, client).digest(), hmac.digest(salted, b"Server Key", name)


def verifier(password, name="sha256", iterations=4096, salt=None):
    """As postern.credential holds it."""
    salt = salt or os.urandom(16)
    _, stored, server = keys(name, password, salt, iterations)
    head = {"sha256": "SCRAM-SHA-256", "sha1": "SCRAM-SHA-1"}[name]
    return f"{head}${iterations}:{b64(salt)}${b64(stored)}:{b64(server)}"


class Client:
    """header: the GS2 header; binding: the octets of the channel binding."""

    def __init__(self, user, password, name="sha256", header="n,,", binding=b"", nonce=None):
        self.password, self.name, self.header, self.binding = password, name, header, binding
        self.nonce = nonce or b64(os.urandom(18))
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"
        self.server_first = self.signature = None

    def first(self):
        return (self.header + self.bare).encode()

    def parse(self, challenge):
        """The server's first message: nonce, salt and iteration count."""
        self.server_first = challenge.decode()
        match = re.fullmatch(r"r=([!-+\--~]+),s=([A-Za-z0-9+/]+=*),i=(\d+)", self.server_first)
        assert match, challenge
        nonce, salt, iterations = match.group(1), base64.b64decode(match.group(2)), int(match.group(3))
        assert nonce.startswith(self.nonce) and len(nonce) >= len(self.nonce) + 16, "S22: the server adds to the nonce"
        return nonce, salt, iterations

    def final(self, challenge, nonce=None, cbind=None):
        theirs, salt, iterations = self.parse(challenge)
        bound = b64(self.header.encode() + self.binding) if cbind is None else cbind
        without = f"c={bound},r={nonce or theirs}"
        client, stored, server = keys(self.name, self.password, salt, iterations)
        message = f"{self.bare},{self.server_first},{without}".encode()
        proof = bytes(a ^ b for a, b in zip(client, hmac.digest(stored, message, self.name)))
        self.signature = b"v=" + base64.b64encode(hmac.digest(server, message, self.name))
        return f"{without},p={b64(proof)}".encode()
