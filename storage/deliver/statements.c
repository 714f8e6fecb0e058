/*
 * statements.c - the table of statements.def.
 */
#include "storage/deliver/statements.h"

#define STATEMENT PG_STATEMENT_TYPES
#define STATEMENT_GROUPED PG_STATEMENT_TYPES_GROUPED
#include "storage/deliver/statements.def"
#undef STATEMENT
#undef STATEMENT_GROUPED

static const struct pg_statement table[] = {
#define STATEMENT PG_STATEMENT_ROW
#define STATEMENT_GROUPED PG_STATEMENT_ROW_GROUPED
#include "storage/deliver/statements.def"
#undef STATEMENT
#undef STATEMENT_GROUPED
};
const struct pg_statements delivery_statements = { table, sizeof table / sizeof table[0], false };
