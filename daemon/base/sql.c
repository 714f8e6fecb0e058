/*
 * sql.c - the statement that every connection begins with, and the meaning of
 * errors that more than one program has to know.
 *
 * set_config() and not the start-up packet: it stands above what a database, a
 * role, PGOPTIONS and the connection string say, a pooler lets it through, and
 * a setting that this server does not know can be passed over.
 */
#include "daemon/base/sql.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/buf.h"
#include "daemon/base/mem.h"

static const struct setting {
    const char *name;
    const char *value[2];       /* by program; NULL: as it is */
    bool always;                /* false: where it differs */
} settings[] = {
#define SETTING(name, serves, tool, note) { #name, { serves, tool }, true },
#define SETTING_OF_SUPERUSERS(name, value, note) { #name, { value, value }, false },
#include "daemon/base/sql_settings.def"
#undef SETTING
#undef SETTING_OF_SUPERUSERS
};

char *sql_settings(const struct sql_wants *wants)
{
    static const char *const commits[] = { SQL_COMMIT_WORDS };
    struct buf out = BUF_EMPTY;

    buf_addf(&out,
             "select pg_catalog.set_config(s.name, s.value, false) from (values ('statement_timeout', '%llu', true)",
             (unsigned long long)wants->statement_timeout);
    /* Twice: expunge() is to know that it was the operator who said off. Nothing has set a name of ours before. */
    if (wants->program == SQL_SERVES)
        buf_addf(&out, ", ('synchronous_commit', '%s', true), ('postern.synchronous_commit', '%s', true)",
                 commits[wants->commit], commits[wants->commit]);
    if (!wants->may_be_read_only)
        buf_add_str(&out, ", ('default_transaction_read_only', 'off', true)");
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (settings[i].value[wants->program] != NULL)
            buf_addf(&out, ", ('%s', %s, %s)", settings[i].name, settings[i].value[wants->program],
                     settings[i].always ? "true" : "false");
    buf_add_str(&out, ") s (name, value, always)"
                      " where (pg_catalog.current_setting(s.name, true) is not null"
                      " or s.name operator(pg_catalog.=) 'postern.synchronous_commit')"
                      " and (s.always or pg_catalog.current_setting(s.name, true) operator(pg_catalog.<>) s.value)");
    struct span all = buf_span(&out);
    char *text = mem_strn(all.at, all.len);
    buf_free(&out);
    return text;
}

bool sql_is_conflict(const char *sqlstate)
{
    return sqlstate != NULL && (strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0);
}

bool sql_ends_connection(const char *sqlstate)
{
    static const char *const states[] = {
        "57P01",    /* shutdown, or an operator ended it */
        "57P02",    /* another process of the server crashed */
        "57P03",    /* it starts, or shuts down */
        "57P04",    /* the database was dropped */
        "57P05",    /* idle_session_timeout */
        "25P03",    /* idle_in_transaction_session_timeout */
        "25P04",    /* transaction_timeout */
        "53300",    /* too many connections */
        "08P01",    /* a pooler says so of all that it does not like */
    };

    for (size_t i = 0; sqlstate != NULL && i < sizeof states / sizeof states[0]; i++)
        if (strcmp(sqlstate, states[i]) == 0)
            return true;
    return false;
}

bool sql_cannot_load(const char *function)
{
    /* Messages are translated; these names are not. dfmgr.c of PostgreSQL 15 to 17. */
    return function != NULL &&
           (strcmp(function, "internal_load_library") == 0 || strcmp(function, "incompatible_module_error") == 0);
}

bool sql_is_unconfirmed(const char *function)
{
    /* syncrep.c of PostgreSQL 15 to 17; the message is translated, and its SQLSTATE that of any warning. */
    return function != NULL && strcmp(function, "SyncRepWaitForLSN") == 0;
}

const char *sql_advice(const char *sqlstate, const char *function)
{
    if (sql_cannot_load(function))
        return "; PostgreSQL's files were replaced under the running server, as an upgrade of its"
               " package does: restart PostgreSQL";
    /* No such prepared statement; there is one of that name. */
    if (sqlstate != NULL && (strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0))
        return "; it looks as if " SQL_POOLER_ADVICE;
    return "";
}
