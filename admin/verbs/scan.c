/*
 * scan.c - reading every content of the store, page by page.
 *
 * Each page is a snapshot of its own, so a content whose parts are spread over
 * two pages may vanish in between. Whatever looks damaged is therefore read
 * once more, alone and in one snapshot, before it is called so.
 */
#include "admin/verbs/scan.h"

#include <stdio.h>
#include <string.h>

#include "admin/db.h"
#include "admin/progress.h"
#include "daemon/base/mem.h"
#include "storage/content/check.h"
#include "storage/content/codec.h"

enum { PAGE_ROWS = 256, NOTE_SECONDS = 2 };

struct reading {
    int64_t content;            /* 0: none yet */
    struct content_check check;
};

struct scan {
    struct ctl *c;
    struct reading now;
    struct buf suspects;        /* int64_t each */
    struct scan_totals *totals;
    char why[160];              /* of the last one that looked damaged */
};

static void begin(struct scan *s, const PGresult *res, int row)
{
    s->now.content = db_int8(res, row, 0);
    content_check_begin(&s->now.check, db_int8(res, row, 1), PQgetisnull(res, row, 6) ? 0 : db_int8(res, row, 6),
                        db_bytes(res, row, 2));
}

/* True if the content that was read is whole; else why says what is wrong. */
static bool finish(struct scan *s)
{
    char why[sizeof s->why - 40];

    s->totals->contents++;
    s->totals->octets += (uint64_t)s->now.check.came;
    if (content_check_end(&s->now.check, why, sizeof why))
        return true;
    snprintf(s->why, sizeof s->why, "content %lld: %s", (long long)s->now.content, why);
    return false;
}

static void finish_and_note(struct scan *s)
{
    if (s->now.content != 0 && !finish(s))
        buf_add(&s->suspects, &s->now.content, sizeof s->now.content);
    s->now.content = 0;
}

/* What was begun is not read to its end. */
static void leave(struct scan *s)
{
    char why[sizeof s->why];

    if (s->now.content != 0)
        (void)content_check_end(&s->now.check, why, sizeof why);
    s->now.content = 0;
}

static void part(struct reading *r, const PGresult *res, int row)
{
    int32_t codec = PQgetisnull(res, row, 5) ? CODEC_PLAIN : db_int4(res, row, 5);

    if (!PQgetisnull(res, row, 3))
        content_check_part(&r->check, db_int4(res, row, 3), codec, db_bytes(res, row, 4));
}

/* One page from behind (*content, *part_at) on; both are moved. Returns its rows, -1 after a message. */
static int page(struct scan *s, int64_t *content, int32_t *part_at, bool only)
{
    struct args a = ARGS_NONE;
    PGresult *res;
    int rows;

    args_int(&a, *content);
    args_int(&a, *part_at);
    args_int(&a, PAGE_ROWS);
    args_bool(&a, only);
    res = db_ask_binary(s->c, "read the store",
                        "select content, octets, digest, part, data, codec, stored"
                        " from postern.scan_contents($1, $2, $3, $4)", &a);
    if (res == NULL)
        return -1;
    rows = PQntuples(res);
    for (int row = 0; row < rows; row++) {
        if (db_int8(res, row, 0) != s->now.content) {
            finish_and_note(s);
            begin(s, res, row);
        }
        part(&s->now, res, row);
    }
    if (rows > 0) {
        *content = db_int8(res, rows - 1, 0);
        *part_at = PQgetisnull(res, rows - 1, 3) ? INT32_MAX : db_int4(res, rows - 1, 3);
    }
    PQclear(res);
    return rows;
}

static bool owners(struct ctl *c, int64_t content, struct buf *text)
{
    struct args a = ARGS_NONE;
    PGresult *res;

    args_int(&a, content);
    res = db_ask(c, "find the messages of a content", "select postern.content_owners($1)", &a);
    if (res == NULL)
        return false;
    buf_addf(text, " (%s)", PQgetvalue(res, 0, 0));
    PQclear(res);
    return true;
}

/* Once more, in one snapshot. 1 it is damaged, 0 it is not, or has gone; -1 after a message. */
static int look_again(struct scan *s, int64_t suspect, struct buf *text)
{
    int64_t content = suspect;
    int32_t part_at = -1;
    int rows, result = 0;

    if (!db_do(s->c, "read the store", "begin isolation level repeatable read, read only"))
        return -1;
    s->now.content = 0;
    while ((rows = page(s, &content, &part_at, true)) > 0)
        continue;
    if (rows == 0 && s->now.content != 0) {
        if (!finish(s)) {
            buf_clear(text);
            buf_add_str(text, s->why);
            result = owners(s->c, suspect, text) ? 1 : -1;
        }
        s->now.content = 0;
    }
    leave(s);
    return rows == 0 && db_do(s->c, "read the store", "commit") ? result : -1;
}

/* What looked damaged so far, read once more and told. False after a message. */
static bool tell_damaged(struct scan *s, const struct scan_how *how)
{
    /* The content that is being read right now goes on behind it. */
    struct reading now = s->now;
    struct scan_totals again = { 0, 0 }, *totals = s->totals;
    struct buf text = BUF_EMPTY;
    int result = 0;

    s->totals = &again;
    while (result >= 0 && buf_left(&s->suspects) > 0) {
        int64_t suspect;

        memcpy(&suspect, buf_span(&s->suspects).at, sizeof suspect);
        buf_consume(&s->suspects, sizeof suspect);
        result = look_again(s, suspect, &text);
        if (result == 1)
            how->damaged(how->arg, buf_span(&text).at);
    }
    buf_free(&text);
    s->totals = totals;
    s->now = now;
    return result >= 0;
}

enum ctl_exit scan_contents(struct ctl *c, const struct scan_how *how, struct scan_totals *totals)
{
    struct scan s = { .c = c, .totals = totals };
    struct progress progress;
    uint64_t before = totals->octets;
    int64_t content = how->behind;
    int32_t part_at = content > 0 ? INT32_MAX : -1;
    bool good = true;
    double noted_at = 0;
    int rows = 1;

    progress_start(&progress, "contents", 0);
    while (good && (rows = page(&s, &content, &part_at, false)) > 0) {
        progress_step(&progress, totals->contents, (int64_t)totals->octets);
        progress_keep_rate(&progress, totals->octets - before, how->octets_per_second);
        if (buf_left(&s.suspects) > 0) {
            progress_clear(&progress);
            good = tell_damaged(&s, how);
        }
        /* The last content of the page may have more parts: what is done is all before it. */
        if (good && how->noted != NULL && progress_seconds(&progress) > noted_at + NOTE_SECONDS) {
            noted_at = progress_seconds(&progress);
            good = how->noted(how->arg, content - 1, totals);
        }
    }
    progress_clear(&progress);
    if (good && rows == 0) {
        finish_and_note(&s);
        good = tell_damaged(&s, how);
    }
    leave(&s);
    buf_free(&s.suspects);
    return rows == 0 && good ? CTL_DONE : db_end(c);
}
