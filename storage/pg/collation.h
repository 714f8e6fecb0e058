/*
 * collation.h - the library that sorts text is not the one that the database
 * was made with: PostgreSQL says so at each connection, we say it once.
 *
 * Nothing of ours depends on it, as every text in the schema is collate "C"
 * (sql/README); what else is in that database may.
 */
#ifndef POSTERN_STORAGE_COLLATION_H
#define POSTERN_STORAGE_COLLATION_H

#include <libpq-fe.h>
#include <stdbool.h>

/* No row, or one where the two versions differ: database, its version, that of the library now. Any role may ask. */
#define COLLATION_QUERY \
    "select d.datname::text, d.datcollversion, v.now" \
    " from pg_catalog.pg_database d, pg_catalog.pg_database_collation_actual_version(d.oid) v(now)" \
    " where d.datname = current_database() and d.datcollversion <> v.now"
/* What to say then, of these three and of the database once more. */
#define COLLATION_TEXT \
    "the collation version of database %s is %s but the library's is now %s; Postern does not depend on it:" \
    " REINDEX anything else in this database, then ALTER DATABASE %s REFRESH COLLATION VERSION"

/* Before the workers are forked: so that one of them says it for all. False with errno set. */
bool collation_share(void);
/* Is there somebody to say it? */
bool collation_is_shared(void);
/* Logs an answer to COLLATION_QUERY that is not the one that came last, to whichever process. */
void collation_tell(const PGresult *res);

#endif
