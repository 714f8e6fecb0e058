/*
 * out.c - answers of the database, for people and as JSON.
 */
#include "admin/out.h"

#include <stdlib.h>
#include <string.h>

#include "admin/db.h"
#include "admin/shown.h"
#include "daemon/base/mem.h"
#include "storage/pg/pg_row.h"

/* Characters, not octets: names may be UTF-8. */
static int text_width(const char *s)
{
    int n = 0;

    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

void out_text(FILE *out, const char *text, int width)
{
    for (struct span s = span_str(text); s.len > 0;) {
        size_t n = shown_plain(s);

        if (n > 0)
            fwrite(s.at, 1, n, out);
        else
            putc('?', out);
        n = n > 0 ? n : 1;
        s.at += n;
        s.len -= n;
    }
    for (int i = text_width(text); i < width; i++)
        putc(' ', out);
}

static bool is_number(const PGresult *res, int col)
{
    return PQftype(res, col) == PG_INT8 || PQftype(res, col) == PG_INT4;
}

/* In room of at least 40 octets, or the value itself. */
static const char *human(const PGresult *res, int row, int col, char room[40])
{
    const char *value = PQgetvalue(res, row, col);

    if (PQgetisnull(res, row, col))
        return "-";
    if (PQftype(res, col) == PG_BOOL)
        return value[0] == 't' ? "yes" : "no";
    if (PQftype(res, col) == PG_TIMESTAMPTZ) {
        /* 2026-01-31 12:00:00.123+00: to the second, UTC. */
        snprintf(room, 40, "%.19sZ", value);
        return room;
    }
    return value;
}

static void json_value(struct json *j, const PGresult *res, int row, int col)
{
    const char *key = PQfname(res, col), *value = PQgetvalue(res, row, col);
    char room[64];

    if (PQgetisnull(res, row, col)) {
        json_null(j, key);
    } else if (PQftype(res, col) == PG_BOOL) {
        json_bool(j, key, value[0] == 't');
    } else if (is_number(res, col)) {
        json_int(j, key, strtoll(value, NULL, 10));
    } else if (PQftype(res, col) == PG_TIMESTAMPTZ) {
        /* RFC 3339: the session's time zone is UTC. */
        size_t len = strcspn(value, "+");
        snprintf(room, sizeof room, "%.*sZ", (int)len, value);
        if (len > 10)
            room[10] = 'T';
        json_text(j, key, span_str(room));
    } else {
        json_text(j, key, span_str(value));
    }
}

void out_json_row(struct json *j, const char *key, const PGresult *res, int row)
{
    json_object(j, key);
    for (int col = 0; col < PQnfields(res); col++)
        json_value(j, res, row, col);
    json_end(j);
}

static void table(const PGresult *res)
{
    int cols = PQnfields(res), rows = PQntuples(res);
    int *widths = mem_array((size_t)cols, sizeof *widths);
    char room[40];

    for (int col = 0; col < cols; col++) {
        widths[col] = text_width(PQfname(res, col));
        for (int row = 0; row < rows; row++) {
            int w = text_width(human(res, row, col, room));
            widths[col] = w > widths[col] ? w : widths[col];
        }
    }
    for (int row = -1; row < rows; row++)
        for (int col = 0; col < cols; col++) {
            const char *s = row < 0 ? PQfname(res, col) : human(res, row, col, room);

            if (is_number(res, col))
                for (int pad = text_width(s); pad < widths[col]; pad++)
                    putchar(' ');
            /* No blanks at the end of a line. */
            out_text(stdout, s, is_number(res, col) || col == cols - 1 ? 0 : widths[col]);
            fputs(col == cols - 1 ? "\n" : "  ", stdout);
        }
    mem_free(widths);
}

void out_rows(const struct ctl *c, const PGresult *res)
{
    struct json j;

    if (!c->json) {
        if (PQntuples(res) > 0)
            table(res);
        return;
    }
    json_start(&j, stdout);
    json_array(&j, NULL);
    for (int row = 0; row < PQntuples(res); row++)
        out_json_row(&j, NULL, res, row);
    json_end(&j);
}

void out_row(const struct ctl *c, const PGresult *res)
{
    struct json j;
    int width = 0;
    char room[40];

    if (c->json) {
        json_start(&j, stdout);
        out_json_row(&j, NULL, res, 0);
        return;
    }
    for (int col = 0; col < PQnfields(res); col++) {
        int w = text_width(PQfname(res, col));
        width = w > width ? w : width;
    }
    for (int col = 0; col < PQnfields(res); col++) {
        out_text(stdout, PQfname(res, col), width + 2);
        out_text(stdout, human(res, 0, col, room), 0);
        putchar('\n');
    }
}

static enum ctl_exit ask(struct ctl *c, const char *what, const char *sql, const struct args *a,
                         void (*show)(const struct ctl *c, const PGresult *res))
{
    PGresult *res = db_ask(c, what, sql, a);

    if (res == NULL)
        return db_end(c);
    show(c, res);
    PQclear(res);
    return CTL_DONE;
}

enum ctl_exit out_ask(struct ctl *c, const char *what, const char *sql, const struct args *a)
{
    return ask(c, what, sql, a, out_rows);
}
enum ctl_exit out_ask_one(struct ctl *c, const char *what, const char *sql, const struct args *a)
{
    return ask(c, what, sql, a, out_row);
}
