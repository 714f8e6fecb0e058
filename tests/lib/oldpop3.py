"""A POP3 server that somebody else runs: what it has is a list, and it may do whatever servers were seen to do."""
import base64
import socket
import threading
import time

import kit


def stuffed(octets, end=b"\r\n"):
    """As it is sent; the last line gets its end where it has none."""
    lines = kit.canonical(octets).split(b"\r\n")[:-1]
    return b"".join((b"." if line.startswith(b".") else b"") + line + end for line in lines) + b"." + end


class OldServer:
    """
    mail: [UIDL or None, octets] in order. What else it does:

    capa        lines of CAPA; None: it has no such command
    sizes       how many octets more LIST says than there are; or a function of the octets
    tls, stls   an ssl.SSLContext: from the first octet on, or behind STLS
    login       replies to PASS or AUTH, one for each, in place of +OK
    refused     {number: reply} to RETR
    cut         {number: times}: the connection is lost in the middle of the message
    raw         {number: octets}: what is sent for RETR, whatever it is
    end         of its lines
    host        where it listens
    trickle     it sends octet by octet
    endless     it sends an octet now and then for RETR, as long as anybody listens
    drop        sessions that end before the greeting
    """

    def __init__(self, mail, user="anna", password="wonder", **quirks):
        self.mail = [list(m) for m in mail]
        self.user, self.password = user, password
        self.capa = quirks.pop("capa", ["UIDL", "TOP", "USER", "PIPELINING"])
        self.sizes = quirks.pop("sizes", 0)
        self.tls, self.stls = quirks.pop("tls", None), quirks.pop("stls", None)
        self.login, self.refused = quirks.pop("login", []), quirks.pop("refused", {})
        self.cut, self.raw = quirks.pop("cut", {}), quirks.pop("raw", {})
        self.end, self.drop = quirks.pop("end", b"\r\n"), quirks.pop("drop", 0)
        self.host, self.trickle = quirks.pop("host", "127.0.0.1"), quirks.pop("trickle", False)
        self.endless = quirks.pop("endless", False)
        assert not quirks, quirks
        self.injected = b""             # behind the reply to STLS
        self.commands, self.sessions, self.fetched = [], 0, []
        self.socket = socket.create_server((self.host, 0), family=socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        self.port = self.socket.getsockname()[1]
        self.open = set()
        self.ended = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def url(self, scheme=None):
        return f"{scheme or ('pops' if self.tls else 'pop')}://localhost:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *why):
        if self.ended:
            return
        self.ended = True
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in list(self.open):
            connection.close()
        self.thread.join(kit.PATIENCE)

    def serve(self):
        while not self.ended:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.sessions += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open.add(connection)
            self.secured = connection       # or what TLS makes of it
            try:
                if self.drop > 0:
                    self.drop -= 1
                else:
                    self.session(connection)
            except (OSError, ValueError):
                pass
            finally:
                self.open.discard(connection)
                connection.close()
                self.secured.close()

    # -- a session; one after the other

    def session(self, connection):
        connection.settimeout(kit.PATIENCE)
        if self.tls:
            connection = self.secured = self.tls.wrap_socket(connection, server_side=True)
        self.send(connection, "+OK ready")
        mail, user, stream = None, None, connection.makefile("rb")
        while line := stream.readline().rstrip(b"\r\n").decode("latin-1"):
            verb, _, rest = line.partition(" ")
            self.commands.append(line)
            if verb == "QUIT":
                self.send(connection, "+OK bye")
                return
            if verb == "CAPA":
                self.send(connection, *(["-ERR what?"] if self.capa is None else ["+OK", *self.capa, "."]))
            elif verb == "STLS" and self.stls:
                connection.sendall(b"+OK begin" + self.end + self.injected)
                connection = self.secured = self.stls.wrap_socket(connection, server_side=True)
                stream = connection.makefile("rb")
            elif verb == "USER":
                user = rest
                self.send(connection, "+OK")
            elif verb in ("PASS", "AUTH"):
                if self.login:
                    reply = self.login.pop(0)
                elif verb == "AUTH":
                    reply = self.sasl(rest, connection, stream)
                else:
                    reply = "+OK" if (user, rest) == (self.user, self.password) else "-ERR [AUTH] no"
                if reply.startswith("+OK"):
                    mail = [tuple(m) for m in self.mail]
                self.send(connection, reply)
            elif mail is None:
                self.send(connection, "-ERR not now")
            elif not self.command(connection, mail, verb, rest):
                return

    def sasl(self, rest, connection, stream):
        mechanism, _, response = rest.partition(" ")
        if not response:
            self.send(connection, "+ ")
            response = stream.readline().decode().strip()
        authzid, authcid, password = base64.b64decode(response).decode().split("\0")
        wanted = (self.user, "master", self.password) if authzid else ("", self.user, self.password)
        return "+OK" if mechanism == "PLAIN" and (authzid, authcid, password) == wanted else "-ERR [AUTH] no"

    def command(self, connection, mail, verb, rest):
        if verb == "LIST":
            size = self.sizes if callable(self.sizes) else lambda octets: max(0, len(octets) + self.sizes)
            self.send(connection, "+OK", *(f"{n} {size(m[1])}" for n, m in enumerate(mail, 1)), ".")
        elif verb == "UIDL":
            if mail and all(m[0] is None for m in mail):
                self.send(connection, "-ERR no such command")
            else:
                self.send(connection, "+OK", *(f"{n} {m[0]}" for n, m in enumerate(mail, 1) if m[0] is not None), ".")
        elif verb == "RETR":
            return self.retrieve(connection, mail, int(rest))
        else:
            self.send(connection, "-ERR what?")
        return True

    def retrieve(self, connection, mail, number):
        if number in self.refused:
            self.send(connection, self.refused[number])
            return True
        while self.endless and not self.ended:
            connection.sendall(b"+")
            time.sleep(0.1)
        if number in self.raw:
            connection.sendall(self.raw[number])
            return True
        answer = b"+OK" + self.end + stuffed(mail[number - 1][1], self.end)
        if self.cut.get(number, 0) > 0:
            self.cut[number] -= 1
            connection.sendall(answer[:len(answer) // 2])
            return False
        for octet in answer if self.trickle else ():
            connection.sendall(bytes([octet]))
        connection.sendall(b"" if self.trickle else answer)
        self.fetched.append(number)
        return True

    def send(self, connection, *lines):
        connection.sendall(b"".join(line.encode("utf-8", "surrogateescape") + self.end for line in lines))
