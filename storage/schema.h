/*
 * schema.h - which schema these programs need, and its migrations.
 */
#ifndef POSTERN_STORAGE_SCHEMA_H
#define POSTERN_STORAGE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

struct migration {
    int version;            /* 1, 2, 3 ...: the number of its file */
    const char *name;       /* "0001_tables" */
    const char *sql;        /* its text, ends in a NUL */
};

/* All of sql/NNNN_*.sql, built in, in order; the last one's version is what the programs need. */
extern const struct migration schema_migrations[];
extern const size_t schema_migration_count;
int schema_wanted(void);

/*
 * What to tell an operator who has `found` (0: no schema at all) instead of
 * schema_wanted(): one line that names the command, static, good until the
 * next call. NULL if they are equal.
 */
const char *schema_advice(int found);

/* Does this SQLSTATE, of asking postern.schema_version(), mean that there is no schema at all? */
bool schema_is_missing(const char *sqlstate);

/*
 * Blocking: can this role reach the database, without a pooler that shares
 * connections between transactions, and does it have the right schema? 1 yes;
 * 0 no, an operator has to act; -1 the database cannot be reached.
 * *text_r, to mem_free(), says what and which command mends it.
 */
int schema_probe(const char *conninfo, char **text_r);

#endif
