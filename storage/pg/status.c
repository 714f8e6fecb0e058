/*
 * status.c - the names of db_status, for the log.
 */
#include "storage/pg/status.h"

const char *db_status_name(enum db_status status)
{
    switch (status) {
    case DB_OK: return "ok";
    case DB_NOT_FOUND: return "not-found";
    case DB_UNCONFIRMED: return "unconfirmed";
    case DB_LOCKED: return "locked";
    case DB_RETRY: return "retry";
    case DB_LOST: return "lost";
    case DB_ONE_SERVER: return "one-server";
    case DB_BUG: return "bug";
    }
    return "unknown";
}
