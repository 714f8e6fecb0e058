/*
 * statements.c - the table of statements.def.
 */
#include "storage/deliver/statements.h"

#define STATEMENT PG_STATEMENT_TYPES
#include "storage/deliver/statements.def"
#undef STATEMENT

static const struct pg_statement table[] = {
#define STATEMENT PG_STATEMENT_ROW
#include "storage/deliver/statements.def"
#undef STATEMENT
};
const struct pg_statements delivery_statements = { table, sizeof table / sizeof table[0], false };
