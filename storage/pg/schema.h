/*
 * schema.h - which schema these programs need, and its texts.
 */
#ifndef POSTERN_STORAGE_SCHEMA_H
#define POSTERN_STORAGE_SCHEMA_H

#include <stddef.h>

struct schema_text {
    int version;            /* the one that the schema has when this was applied */
    const char *name;       /* "01_tables", "0013_what" */
    const char *sql;        /* its text, ends in a NUL; NULL after the last one */
};

/*
 * Built in (sql/embed.sh). All of sql/schema, in order, makes the schema of version
 * schema_version in an empty database. sql/upgrade, in order and without a gap,
 * leads there from schema_first and any version since.
 */
extern const struct schema_text schema_files[];
extern const struct schema_text schema_upgrades[];
extern const int schema_first, schema_version;
/* The version that the programs need: schema_version. */
int schema_wanted(void);

/* schema_version_advice() for the version that these programs need. */
const char *schema_advice(int found);

/*
 * Blocking: can this role reach the database, without a pooler that shares
 * connections between transactions, and does it have the right schema? 1 yes;
 * 0 no, an operator has to act; -1 the database cannot be reached.
 * *text_r, to mem_free(), says what is wrong and which command fixes it.
 */
int schema_probe(const char *conninfo, char **text_r);

#endif
