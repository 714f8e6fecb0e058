/*
 * statements.h - the questions of this folder to the database, by name.
 */
#ifndef POSTERN_STORAGE_DELIVER_STATEMENTS_H
#define POSTERN_STORAGE_DELIVER_STATEMENTS_H

#include "storage/pg/pg.h"

/* For pg_new() and pg_ask(). */
extern const struct pg_statements delivery_statements;
enum delivery_statement {
#define STATEMENT(name, sql, args, columns) PG_##name,
#define STATEMENT_GROUPED(name, sql, args, columns, group, undo) PG_##name,
#include "storage/deliver/statements.def"
#undef STATEMENT
#undef STATEMENT_GROUPED
};

#endif
