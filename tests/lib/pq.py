"""SQL by libpq, in this process: what `psql -XAtq -c` would print, without a program started for each question.

Debian's psql is a script in Perl that looks for the real one: a tenth of the
processor time of all tests went into it.
"""
import ctypes

_lib = ctypes.CDLL("libpq.so.5")
for _name, _result, _arguments in (
        ("PQconnectdbParams", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]),
        ("PQstatus", ctypes.c_int, [ctypes.c_void_p]),
        ("PQerrorMessage", ctypes.c_char_p, [ctypes.c_void_p]),
        ("PQsetNoticeProcessor", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]),
        ("PQsendQuery", ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
        ("PQgetResult", ctypes.c_void_p, [ctypes.c_void_p]),
        ("PQresultStatus", ctypes.c_int, [ctypes.c_void_p]),
        ("PQresultErrorMessage", ctypes.c_char_p, [ctypes.c_void_p]),
        ("PQntuples", ctypes.c_int, [ctypes.c_void_p]),
        ("PQnfields", ctypes.c_int, [ctypes.c_void_p]),
        ("PQgetvalue", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
        ("PQclear", None, [ctypes.c_void_p]),
        ("PQfinish", None, [ctypes.c_void_p])):
    _call = getattr(_lib, _name)
    _call.restype, _call.argtypes = _result, _arguments

_CONNECTION_OK, _COMMAND_OK, _TUPLES_OK, _EMPTY = 0, 1, 2, 0
_IN = {"PGHOST": "host", "PGPORT": "port", "PGDATABASE": "dbname", "PGUSER": "user"}
_quiet = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(lambda *_: None)


class Error(Exception):
    """With PostgreSQL's words."""


class Connection:
    """A session of its own, by the PG variables of env or, without them, a conninfo string."""

    def __init__(self, env=None, conninfo=None):
        words = {"dbname": conninfo} if conninfo is not None else {_IN[k]: v for k, v in env.items() if k in _IN}
        names = (ctypes.c_char_p * (len(words) + 1))(*(k.encode() for k in words), None)
        values = (ctypes.c_char_p * (len(words) + 1))(*(str(v).encode() for v in words.values()), None)
        self.conn = _lib.PQconnectdbParams(names, values, 1)
        if _lib.PQstatus(self.conn) != _CONNECTION_OK:
            text = self._error()
            self.close()
            raise Error(text)
        _lib.PQsetNoticeProcessor(self.conn, _quiet, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.conn is not None:
            _lib.PQfinish(self.conn)
            self.conn = None

    def _error(self):
        return (_lib.PQerrorMessage(self.conn) or b"").decode(errors="replace").rstrip("\n")

    def ask(self, text):
        """The rows of all its statements, a line each, columns divided by `|`. At an error, Error."""
        if not _lib.PQsendQuery(self.conn, text.encode()):
            raise Error(self._error())
        lines, errors = [], []
        while result := _lib.PQgetResult(self.conn):
            status = _lib.PQresultStatus(result)
            if status == _TUPLES_OK:
                columns = range(_lib.PQnfields(result))
                lines += ["|".join(_lib.PQgetvalue(result, row, column).decode(errors="replace") for column in columns)
                          for row in range(_lib.PQntuples(result))]
            elif status not in (_COMMAND_OK, _EMPTY):
                errors.append((_lib.PQresultErrorMessage(result) or b"").decode(errors="replace").rstrip("\n"))
            _lib.PQclear(result)
        if errors:
            raise Error("\n".join(errors))
        return "\n".join(lines)


def ask(text, env=None, conninfo=None):
    """One question, with a connection of its own."""
    with Connection(env, conninfo) as connection:
        return connection.ask(text)
