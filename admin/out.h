/*
 * out.h - answers of the database, for people and as JSON.
 *
 * The names of the columns are the headings, and the keys of the JSON.
 */
#ifndef POSTERN_ADMIN_OUT_H
#define POSTERN_ADMIN_OUT_H

#include <libpq-fe.h>

#include "admin/ctl.h"
#include "admin/json.h"

/* Text format. All rows: aligned columns, or an array of objects. */
void out_rows(const struct ctl *c, const PGresult *res);
/* Row 0: a line for each column, or one object. */
void out_row(const struct ctl *c, const PGresult *res);
/*
 * Asks, and shows all rows as they come, however many there are (db_each()). Columns are as wide as
 * the first some hundred rows want them; a value that is wider widens those behind it.
 */
struct args;
enum ctl_exit out_ask(struct ctl *c, const char *what, const char *sql, const struct args *a);
/* The same; with --json as the first member of an object that stays open, if CTL_DONE, for more members. */
enum ctl_exit out_ask_member(struct ctl *c, struct json *j, const char *key, const char *what, const char *sql,
                             const struct args *a);
/* Asks, as db_ask() does, and shows row 0. */
enum ctl_exit out_ask_one(struct ctl *c, const char *what, const char *sql, const struct args *a);
/* Row `row` as an object, its columns typed. */
void out_json_row(struct json *j, const char *key, const PGresult *res, int row);
/* Text for a terminal: what it could obey (shown.h) is shown as `?`. */
void out_text(FILE *out, const char *text, int width);

#endif
