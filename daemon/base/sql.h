/*
 * sql.h - what all connections to the database have in common, whoever makes
 * them: the settings that they ask for, and what an error of the server means
 * for them. Texts only; libpq is its callers' business.
 */
#ifndef POSTERN_BASE_SQL_H
#define POSTERN_BASE_SQL_H

#include <stdbool.h>
#include <stdint.h>

enum sql_program {
    SQL_SERVES,     /* worker, auth helper, a session under inetd */
    SQL_TOOL,       /* posternctl */
};

/* synchronous_commit of what serves, by the option database_synchronous_commit. */
enum sql_commit { SQL_COMMIT_ON, SQL_COMMIT_REMOTE_APPLY, SQL_COMMIT_REMOTE_WRITE, SQL_COMMIT_LOCAL, SQL_COMMIT_OFF };
#define SQL_COMMIT_WORDS \
    [SQL_COMMIT_ON] = "on", [SQL_COMMIT_REMOTE_APPLY] = "remote_apply", [SQL_COMMIT_REMOTE_WRITE] = "remote_write", \
    [SQL_COMMIT_LOCAL] = "local", [SQL_COMMIT_OFF] = "off"

struct sql_wants {
    enum sql_program program;
    enum sql_commit commit;         /* for SQL_SERVES; posternctl keeps what the server has, unless that is off */
    uint64_t statement_timeout;     /* milliseconds, 0: none */
    /*
     * Whoever connects has asked for a server that can be written to, so one that is told not to write
     * (default_transaction_read_only) is taken for one that cannot.
     */
    bool may_be_read_only;
};
/*
 * One statement without parameters, to mem_free(), that sets for this session
 * what sql_settings.def lists, and what is wanted. To be sent first on each new
 * connection.
 */
char *sql_settings(const struct sql_wants *wants);

/*
 * A deadlock or a serialization failure: the transaction was rolled back, that
 * is certain, and once more it may succeed. sqlstate may be NULL.
 */
bool sql_is_conflict(const char *sqlstate);
/* How often such a transaction is tried in all. */
enum { SQL_TRIES = 3 };

/* Does the server end the connection for a reason that it names: shutdown, an operator, a time-out, no room for it? */
bool sql_ends_connection(const char *sqlstate);

/*
 * Does this warning say that the wait for a synchronous standby was cancelled?
 * The transaction is committed here all the same, and lost if the standby takes
 * over now. function: as below; may be NULL.
 */
bool sql_is_unconfirmed(const char *function);

/*
 * What an operator is to do about an error whose message does not tell: static,
 * begins with "; ". Empty where there is nothing to add. function: the C function of the
 * server (PG_DIAG_SOURCE_FUNCTION). Either may be NULL.
 */
const char *sql_advice(const char *sqlstate, const char *function);
/* Waiting, or a restart of the database, helps: PostgreSQL could not load code of its own. */
bool sql_cannot_load(const char *function);

/* What to say of a connection pooler that gives each transaction another connection. */
#define SQL_POOLER_ADVICE \
    "a connection pooler that shares connections between transactions (as PgBouncer with pool_mode = transaction) is" \
    " between Postern and the database; the lock of a maildrop belongs to a connection, so let `database` name" \
    " PostgreSQL itself (for posternd --inetd a pooler with pool_mode = session is possible)"

#define SQL_STANDBY_ADVICE \
    "the server is a standby, which knows less than its primary and holds no locks: let `database` name the primary," \
    " or both with target_session_attrs=primary"

#endif
