"""A process whose code somebody else has taken over: system calls that it makes because a test says so (ptrace, x86-64).

Whatever stands in the way of an intruder is then met in the living process itself: its user, its
filter, its limits. Must only be used on processes of a test's own daemon: one may be killed by what it asks.
"""
import ctypes
import errno
import os
import pathlib
import platform
import signal
import socket
import struct

AVAILABLE = platform.machine() == "x86_64"
READ, WRITE, OPEN, CLOSE, SOCKET, CONNECT, EXECVE, KILL = 0, 1, 2, 3, 41, 42, 59, 62
ATTACH, DETACH, STEP, GETREGS, SETREGS = 16, 17, 9, 12, 13
R10, R9, R8, RAX, RDX, RSI, RDI, ORIG_RAX, RIP, RSP = 7, 8, 9, 10, 12, 13, 14, 15, 16, 19
REGISTERS = 27
RED_ZONE = 128                  # octets below the stack pointer that are somebody's

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def landlock():
    """Its version, below 1 where there is none."""
    return libc.syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))


class Killed(Exception):
    """By the signal that is its argument."""


class Intruder:
    """with Intruder(pid) as p: p.call(OPEN, b"/etc/passwd", os.O_RDONLY)"""

    def __init__(self, pid):
        self.pid = pid
        self.gone = False

    def ptrace(self, request, data=None):
        if libc.ptrace(request, self.pid, None, data) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request} of {self.pid}")

    def __enter__(self):
        self.ptrace(ATTACH)
        self.await_stop()
        self.saved = (ctypes.c_uint64 * REGISTERS)()
        self.ptrace(GETREGS, self.saved)
        self.mem = open(f"/proc/{self.pid}/mem", "r+b", 0)
        self.instruction = self.find_instruction()
        return self

    def __exit__(self, *_):
        self.mem.close()
        if not self.gone:
            self.ptrace(SETREGS, self.saved)
            self.ptrace(DETACH)

    def await_stop(self):
        _, status = os.waitpid(self.pid, 0x40000000)    # __WALL
        if not os.WIFSTOPPED(status):
            self.gone = True
            raise Killed(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
        return os.WSTOPSIG(status)

    def find_instruction(self):
        """Where `syscall` stands in the C library."""
        for line in pathlib.Path(f"/proc/{self.pid}/maps").read_text().splitlines():
            where, rights, *_, name = line.split()
            if not rights.startswith("r-x") or "/libc.so" not in name:
                continue
            first, last = (int(x, 16) for x in where.split("-"))
            self.mem.seek(first)
            at = self.mem.read(last - first).find(b"\x0f\x05")
            if at >= 0:
                return first + at
        raise AssertionError("no system call in the C library?")

    def call(self, number, *args):
        """Its result, as a number; -errno. Octets are put on its stack, and their address given."""
        at = (self.saved[RSP] - RED_ZONE) & ~15
        values = []
        for arg in args:
            if isinstance(arg, bytes):
                at = (at - len(arg) - 1) & ~15
                self.mem.seek(at)
                self.mem.write(arg + b"\0")
                arg = at
            values.append(arg & 0xffffffffffffffff)
        regs = (ctypes.c_uint64 * REGISTERS)(*self.saved)
        for register, value in zip((RDI, RSI, RDX, R10, R8, R9), values):
            regs[register] = value
        regs[RAX], regs[RIP], regs[RSP] = number, self.instruction, at
        regs[ORIG_RAX] = 0xffffffffffffffff     # the call that was interrupted is not begun again now
        self.ptrace(SETREGS, regs)
        self.ptrace(STEP)
        got = self.await_stop()
        if got != signal.SIGTRAP:
            raise AssertionError(f"stopped by signal {got}, not by its step")
        self.ptrace(GETREGS, regs)
        return ctypes.c_int64(regs[RAX]).value

    # -- what an intruder would like

    def opens(self, path, flags=os.O_RDONLY):
        """0, or the errno by its name."""
        return self.closed(self.call(OPEN, os.fsencode(path), flags, 0o600))

    def connects(self, address, kind=socket.SOCK_STREAM):
        """0, or the errno of socket() or connect(). To (host, port), or to a path."""
        fd = self.call(SOCKET, socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, kind, 0)
        if fd < 0:
            return errno.errorcode[-fd]
        if isinstance(address, str):
            sockaddr = struct.pack("=H", 1) + os.fsencode(address) + b"\0"
        else:
            sockaddr = struct.pack("=H", 2) + struct.pack(">H", address[1]) + bytes(map(int, address[0].split("."))) + bytes(8)
        result = self.call(CONNECT, fd, sockaddr, len(sockaddr))
        self.call(CLOSE, fd)
        return 0 if result >= 0 else errno.errorcode[-result]

    def logs_in(self, path, role, database):
        """To PostgreSQL at that socket: True, False where it is refused, or the errno of socket() or connect()."""
        fd = self.call(SOCKET, socket.AF_UNIX, socket.SOCK_STREAM, 0)
        if fd < 0:
            return errno.errorcode[-fd]
        result = self.call(CONNECT, fd, struct.pack("=H", 1) + os.fsencode(str(path)) + b"\0", 2 + len(os.fsencode(str(path))) + 1)
        if result < 0:
            self.call(CLOSE, fd)
            return errno.errorcode[-result]
        text = b"user\0" + role.encode() + b"\0database\0" + database.encode() + b"\0\0"
        hello = struct.pack(">II", 8 + len(text), 0x30000) + text
        assert self.call(WRITE, fd, hello, len(hello)) == len(hello)
        # Nothing of the process's is there: below what call() puts on the stack.
        at = (self.saved[RSP] - 4096) & ~15
        assert self.call(READ, fd, at, 9) == 9
        self.mem.seek(at)
        answer = self.mem.read(9)
        self.call(CLOSE, fd)
        return answer == b"R" + struct.pack(">II", 8, 0)

    def executes(self, path):
        return self.call(EXECVE, os.fsencode(path), 0, 0)

    def closed(self, result):
        if result < 0:
            return errno.errorcode[-result]
        self.call(CLOSE, result)
        return 0
