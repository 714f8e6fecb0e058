/*
 * scan.c - reading every content of the store, page by page.
 *
 * Each page is a snapshot of its own, so a content whose parts are spread over
 * two pages may vanish in between. Whatever looks damaged is therefore read
 * once more, alone and in one snapshot, before it is called so.
 */
#include "admin/scan.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "admin/db.h"
#include "admin/progress.h"
#include "daemon/base/mem.h"

enum { PAGE_ROWS = 256, DIGEST = 32 };

struct reading {
    int64_t content;            /* 0: none yet */
    int64_t octets, came;
    int32_t next_part;          /* that is expected */
    bool gap;
    unsigned char digest[DIGEST];
    crypto_generichash_state hash;
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
    struct span digest = db_bytes(res, row, 2);

    s->now = (struct reading){ .content = db_int8(res, row, 0), .octets = db_int8(res, row, 1) };
    ASSERT(digest.len == DIGEST);
    memcpy(s->now.digest, digest.at, DIGEST);
    crypto_generichash_init(&s->now.hash, NULL, 0, DIGEST);
}

/* True if the content that was read is whole; else why says what is wrong. */
static bool finish(struct scan *s)
{
    struct reading *r = &s->now;
    unsigned char digest[DIGEST];

    s->totals->contents++;
    s->totals->octets += (uint64_t)r->came;
    crypto_generichash_final(&r->hash, digest, DIGEST);
    if (r->gap)
        snprintf(s->why, sizeof s->why, "content %lld: part %d is missing", (long long)r->content, (int)r->next_part);
    else if (r->came != r->octets)
        snprintf(s->why, sizeof s->why, "content %lld: has %lld octets, should have %lld", (long long)r->content, (long long)r->came,
                 (long long)r->octets);
    else if (memcmp(digest, r->digest, DIGEST) != 0)
        snprintf(s->why, sizeof s->why, "content %lld: its octets do not have its digest", (long long)r->content);
    else
        return true;
    return false;
}

static void finish_and_note(struct scan *s)
{
    if (s->now.content != 0 && !finish(s))
        buf_add(&s->suspects, &s->now.content, sizeof s->now.content);
    s->now.content = 0;
}

static void part(struct reading *r, const PGresult *res, int row)
{
    struct span data = db_bytes(res, row, 4);

    if (PQgetisnull(res, row, 3))
        return;
    if (db_int4(res, row, 3) != r->next_part)
        r->gap = true;
    if (!r->gap)
        r->next_part++;
    r->came += (int64_t)data.len;
    crypto_generichash_update(&r->hash, (const unsigned char *)data.at, data.len);
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
    res = db_ask_binary(s->c, "read the store", "select content, octets, digest, part, data from postern.scan_contents($1, $2, $3, $4)", &a);
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
    if (rows == 0 && s->now.content != 0 && !finish(s)) {
        buf_clear(text);
        buf_add_str(text, s->why);
        result = owners(s->c, suspect, text) ? 1 : -1;
    }
    s->now.content = 0;
    return rows == 0 && db_do(s->c, "read the store", "commit") ? result : -1;
}

enum ctl_exit scan_all(struct ctl *c, scan_damaged *damaged, void *arg, struct scan_totals *totals_r)
{
    struct scan_totals again = { 0, 0 };
    struct scan s = { .c = c, .totals = totals_r };
    struct buf text = BUF_EMPTY;
    struct progress progress;
    int64_t content = 0;
    int32_t part_at = -1;
    int rows, result = 0;

    progress_start(&progress, "contents", 0);
    while ((rows = page(&s, &content, &part_at, false)) > 0)
        progress_step(&progress, totals_r->contents, (int64_t)totals_r->octets);
    progress_clear(&progress);
    finish_and_note(&s);
    s.totals = &again;
    while (rows == 0 && result >= 0 && buf_left(&s.suspects) > 0) {
        int64_t suspect;

        memcpy(&suspect, buf_span(&s.suspects).at, sizeof suspect);
        buf_consume(&s.suspects, sizeof suspect);
        result = look_again(&s, suspect, &text);
        if (result == 1)
            damaged(arg, buf_span(&text).at);
    }
    buf_free(&s.suspects);
    buf_free(&text);
    return rows == 0 && result >= 0 ? CTL_DONE : db_end(c);
}
