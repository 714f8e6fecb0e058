"""Letters that say who they are: each can be known in any mailbox, and shows if one octet of it was changed.

The first line that the sender writes is `X-Torture: TOKEN SUM`; SUM is SHA-256
over all that follows it. What a server puts in front is looked at too.
"""
import hashlib
import re

HEAD = re.compile(rb"X-Torture: ([0-9a-z-]+) ([0-9a-f]{64})\r\n")
# What Postern puts in front of what it delivers; nothing in front of what is imported.
TRACE = re.compile(rb"(?:Delivered-To: [^\r\n]*\r\nReturn-Path: <[^\r\n]*>\r\nReceived: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)?")


def write(token, octets, rng):
    """About that many octets; some lines begin with dots, some are empty, some are long."""
    lines = [b"Message-ID: <%s@torture.example>" % token.encode(), b"Subject: letter " + token.encode(), b""]
    size = 0
    while size < octets:
        kind = rng.randrange(12)
        line = (b"." * rng.randrange(1, 4) if kind == 0 else b"" if kind == 1 else
                b"%d " % size + token.encode() + b" " + b"x" * (rng.randrange(900) if kind == 2 else rng.randrange(70)))
        lines.append(line)
        size += len(line) + 2
    rest = b"\r\n".join(lines) + b"\r\n"
    return b"X-Torture: %s %s\r\n" % (token.encode(), hashlib.sha256(rest).hexdigest().encode()) + rest


def read(data):
    """(token, what is wrong): of a message as a client gets it. token is None where it cannot be found,
    and what is wrong is None where nothing is."""
    head = HEAD.search(data)
    if head is None:
        return None, "it has no X-Torture line"
    token = head.group(1).decode()
    if hashlib.sha256(data[head.end():]).hexdigest().encode() != head.group(2):
        return token, "its octets are not those of its checksum"
    if not TRACE.fullmatch(data, 0, head.start()):
        return token, f"what stands in front of it is {data[:head.start()]!r}"
    return token, None


def token_of(lines):
    """Of the lines of a TOP; None where it is not in them."""
    for line in lines:
        head = HEAD.match(line + b"\r\n")
        if head:
            return head.group(1).decode()
    return None
