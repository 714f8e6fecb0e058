/*
 * schema_version.h - which version of the schema a database has, and what is to
 * be done about another one: for all that connect, whichever way they ask.
 */
#ifndef POSTERN_BASE_SCHEMA_VERSION_H
#define POSTERN_BASE_SCHEMA_VERSION_H

#include <libpq-fe.h>

/* The question, whose answer schema_version_of() reads in text and in binary format. */
#define SCHEMA_VERSION_QUERY "select postern.schema_version()"

/* The same, and which server it is (primary.h). */
#define SCHEMA_VERSION_AND_SERVER_QUERY SCHEMA_VERSION_QUERY ", postern.server_identity()"
/* Of an answer to it that tells a version, in text format; empty: a standby. It lives as long as the answer. */
const char *schema_version_server(const PGresult *res);

/* The version that the answer tells; 0 there is no schema, or an empty one; -1 it does not tell, for another reason. */
int schema_version_of(const PGresult *res);

/*
 * What to tell an operator who has `found` (0: no schema at all) where `wanted` is
 * needed: one line that names the command, static, good until the next call.
 * NULL if they are equal.
 */
const char *schema_version_advice(int found, int wanted);

#endif
