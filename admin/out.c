/*
 * out.c - answers of the database, for people and as JSON.
 */
#include "admin/out.h"

#include <errno.h>
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

/* Widths of the columns of a table. */
struct widths {
    int cols;
    int *width;
};

static void widths_begin(struct widths *w, const PGresult *res)
{
    w->cols = PQnfields(res);
    w->width = mem_array((size_t)w->cols, sizeof *w->width);
    for (int col = 0; col < w->cols; col++)
        w->width[col] = text_width(PQfname(res, col));
}

static void widths_add(struct widths *w, const PGresult *res)
{
    char room[40];

    for (int row = 0; row < PQntuples(res); row++)
        for (int col = 0; col < w->cols; col++) {
            int n = text_width(human(res, row, col, room));
            w->width[col] = n > w->width[col] ? n : w->width[col];
        }
}

/* Row -1 is the headings. */
static void print_line(const struct widths *w, const PGresult *res, int row)
{
    char room[40];

    for (int col = 0; col < w->cols; col++) {
        const char *s = row < 0 ? PQfname(res, col) : human(res, row, col, room);
        bool last = col == w->cols - 1;

        if (is_number(res, col))
            for (int pad = text_width(s); pad < w->width[col]; pad++)
                putchar(' ');
        /* No blanks at the end of a line. */
        out_text(stdout, s, is_number(res, col) || last ? 0 : w->width[col]);
        fputs(last ? "\n" : "  ", stdout);
    }
}

static void table(const PGresult *res)
{
    struct widths w;

    widths_begin(&w, res);
    widths_add(&w, res);
    for (int row = -1; row < PQntuples(res); row++)
        print_line(&w, res, row);
    mem_free(w.width);
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

/* ---- rows as they come */

enum { ROWS_MEASURED = 500 };

struct stream {
    const struct ctl *c;
    struct json *json;
    const char *key;                    /* of the array within an object; NULL: the array is all there is */
    bool begun;
    struct widths widths;
    PGresult *waiting[ROWS_MEASURED];   /* for the width of the columns */
    int count;
};

static void json_begin(struct stream *s)
{
    json_start(s->json, stdout);
    if (s->key != NULL)
        json_object(s->json, NULL);
    json_array(s->json, s->key);
    s->begun = true;
}

static void table_begin(struct stream *s)
{
    widths_begin(&s->widths, s->waiting[0]);
    for (int i = 0; i < s->count; i++)
        widths_add(&s->widths, s->waiting[i]);
    print_line(&s->widths, s->waiting[0], -1);
    for (int i = 0; i < s->count; i++) {
        print_line(&s->widths, s->waiting[i], 0);
        PQclear(s->waiting[i]);
    }
    s->count = 0;
    s->begun = true;
}

static void stream_json(struct stream *s, const PGresult *res)
{
    if (!s->begun)
        json_begin(s);
    if (PQntuples(res) > 0)
        out_json_row(s->json, NULL, res, 0);
    else
        json_end(s->json);
}

static void stream_table(struct stream *s, const PGresult *res)
{
    if (s->begun && PQntuples(res) > 0) {
        widths_add(&s->widths, res);
        print_line(&s->widths, res, 0);
        return;
    }
    if (PQntuples(res) > 0) {
        PGresult *copy = PQcopyResult(res, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);

        ASSERT(copy != NULL);
        s->waiting[s->count++] = copy;
    }
    if (!s->begun && s->count > 0 && (PQntuples(res) == 0 || s->count == ROWS_MEASURED))
        table_begin(s);
}

static bool stream_row(void *arg, const PGresult *res)
{
    struct stream *s = arg;

    if (s->c->json)
        stream_json(s, res);
    else
        stream_table(s, res);
    if (ferror(stdout) == 0)
        return true;
    ctl_error(CTL_FAILED, "could not write to standard output: %s", strerror(errno));
    return false;
}

enum ctl_exit out_ask_member(struct ctl *c, struct json *j, const char *key, const char *what, const char *sql,
                             const struct args *a)
{
    struct stream s = { .c = c, .json = j, .key = key };
    enum ctl_exit end = db_each(c, what, sql, a, stream_row, &s);

    for (int i = 0; i < s.count; i++)
        PQclear(s.waiting[i]);
    mem_free(s.widths.width);
    return end;
}

enum ctl_exit out_ask(struct ctl *c, const char *what, const char *sql, const struct args *a)
{
    struct json j;

    return out_ask_member(c, &j, NULL, what, sql, a);
}

enum ctl_exit out_ask_one(struct ctl *c, const char *what, const char *sql, const struct args *a)
{
    PGresult *res = db_ask(c, what, sql, a);

    if (res == NULL)
        return db_end(c);
    out_row(c, res);
    PQclear(res);
    return CTL_DONE;
}
