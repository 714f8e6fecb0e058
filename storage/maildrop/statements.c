/*
 * statements.c - the table of statements.def.
 */
#include "storage/maildrop/statements.h"

#define STATEMENT PG_STATEMENT_TYPES
#define STATEMENT_APART PG_STATEMENT_TYPES
#define STATEMENT_GROUPED PG_STATEMENT_TYPES_GROUPED
#include "storage/maildrop/statements.def"
#undef STATEMENT
#undef STATEMENT_APART
#undef STATEMENT_GROUPED

static const struct pg_statement table[] = {
#define STATEMENT PG_STATEMENT_ROW
#define STATEMENT_APART PG_STATEMENT_ROW_APART
#define STATEMENT_GROUPED PG_STATEMENT_ROW_GROUPED
#include "storage/maildrop/statements.def"
#undef STATEMENT
#undef STATEMENT_APART
#undef STATEMENT_GROUPED
};
const struct pg_statements maildrop_statements = { table, sizeof table / sizeof table[0], true };
