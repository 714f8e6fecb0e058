/*
 * set_uidls.c - the UIDLs of an old server for messages that were imported before.
 *
 * Must never take a UIDL from a message that the source does not speak of.
 */
#include "admin/mail/set_uidls.h"

#include <stdlib.h>
#include <string.h>

#include "admin/db.h"
#include "daemon/base/mem.h"
#include "storage/content/content.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum { COL_DIGEST, COL_UID, COL_UIDL };

struct wish {
    unsigned char digest[CONTENT_DIGEST];
    const struct pair *pair;
    int row;                /* of the message in the mailbox that gets it; -1: none, so far */
    bool dropped;
};

struct setting {
    PGresult *rows;         /* the messages of the mailbox, by digest, then uid */
    int count;
    struct wish **by_row;   /* what each of them is to get, or NULL */
    int *by_uidl;           /* rows that have a UIDL of their own, by it */
    int owned;
    struct wish *wishes;
    size_t wished, room;
};

static const char *uidl_at(const struct setting *s, int row)
{
    return PQgetisnull(s->rows, row, COL_UIDL) ? NULL : PQgetvalue(s->rows, row, COL_UIDL);
}

/* ------------------------------------------------------------ what is there */

/* qsort() has no argument for it; posternctl has one thread. */
static const struct setting *sorting;

static int by_uidl(const void *a, const void *b)
{
    return strcmp(uidl_at(sorting, *(const int *)a), uidl_at(sorting, *(const int *)b));
}

static bool load(struct setting *s, struct ctl *c, const struct mailbox_ref *mailbox)
{
    struct args a = ARGS_NONE;

    args_mailbox(&a, mailbox);
    s->rows = db_ask_binary(c, "list what is there", "select digest, uid, uidl from postern.list_uidls($1)", &a);
    if (s->rows == NULL)
        return false;
    s->count = PQntuples(s->rows);
    s->by_row = mem_array((size_t)s->count + 1, sizeof(struct wish *));
    s->by_uidl = mem_array((size_t)s->count + 1, sizeof *s->by_uidl);
    for (int i = 0; i < s->count; i++) {
        s->by_row[i] = NULL;
        if (uidl_at(s, i) != NULL)
            s->by_uidl[s->owned++] = i;
    }
    sorting = s;
    qsort(s->by_uidl, (size_t)s->owned, sizeof *s->by_uidl, by_uidl);
    return true;
}

/* The row that has this UIDL, or -1. */
static int holder(const struct setting *s, const char *uidl)
{
    int low = 0, high = s->owned;

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (strcmp(uidl_at(s, s->by_uidl[middle]), uidl) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->owned && strcmp(uidl_at(s, s->by_uidl[low]), uidl) == 0 ? s->by_uidl[low] : -1;
}

static bool has_digest(const struct setting *s, int row, const struct wish *w)
{
    return memcmp(PQgetvalue(s->rows, row, COL_DIGEST), w->digest, CONTENT_DIGEST) == 0;
}

/* The first row with the digest of the wish, or one that is beyond it. */
static int first_row(const struct setting *s, const struct wish *w)
{
    int low = 0, high = s->count;

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (memcmp(PQgetvalue(s->rows, middle, COL_DIGEST), w->digest, CONTENT_DIGEST) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ------------------------------------------------------------ what is wished */

static void hash(void *arg, const char *at, size_t len)
{
    content_hash_add(arg, (struct span){ at, len });
}

static bool wish(struct setting *s, const struct source_item *it, const struct pair *pair)
{
    struct content_hash h;
    struct wish *w;

    if (s->wished == s->room) {
        s->room = s->room > 0 ? 2 * s->room : 256;
        s->wishes = mem_resize(s->wishes, s->room, sizeof *s->wishes);
    }
    w = &s->wishes[s->wished];
    *w = (struct wish){ .pair = pair, .row = -1 };
    content_hash_begin(&h);
    if (!source_read(it, hash, &h))
        return false;
    content_hash_end(&h, w->digest);
    s->wished++;
    return true;
}

static void give(struct setting *s, struct wish *w, int row)
{
    w->row = row;
    s->by_row[row] = w;
}

/* Of several copies the one that has the UIDL keeps it; the others get theirs in their order. */
static void choose(struct setting *s, struct set_uidls *done)
{
    int *next = mem_array((size_t)s->count + 1, sizeof *next);  /* of each first row: where to look on */

    for (int i = 0; i < s->count; i++)
        next[i] = i;
    for (size_t i = 0; i < s->wished; i++) {
        int row = holder(s, s->wishes[i].pair->uidl);

        if (row >= 0 && has_digest(s, row, &s->wishes[i])) {
            give(s, &s->wishes[i], row);
            done->had++;
        }
    }
    for (size_t i = 0; i < s->wished; i++) {
        struct wish *w = &s->wishes[i];
        int first, row;

        if (w->row >= 0)
            continue;
        first = first_row(s, w);
        row = first < s->count ? next[first] : s->count;
        while (row < s->count && has_digest(s, row, w) && s->by_row[row] != NULL)
            row++;
        if (first < s->count)
            next[first] = row;
        if (row < s->count && has_digest(s, row, w))
            give(s, w, row);
        else
            done->missing++;
    }
    mem_free(next);
}

static bool is_change(const struct setting *s, const struct wish *w)
{
    return w->row >= 0 && !w->dropped && (uidl_at(s, w->row) == NULL || strcmp(uidl_at(s, w->row), w->pair->uidl) != 0);
}

static int by_wished(const void *a, const void *b)
{
    return strcmp((*(struct wish *const *)a)->pair->uidl, (*(struct wish *const *)b)->pair->uidl);
}

static struct wish *who_wishes(struct wish **sorted, size_t count, const char *uidl)
{
    size_t low = 0, high = count;

    while (uidl != NULL && low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(sorted[middle]->pair->uidl, uidl) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return uidl != NULL && low < count && strcmp(sorted[low]->pair->uidl, uidl) == 0 ? sorted[low] : NULL;
}

/* A message that keeps its UIDL keeps it from the one that wishes it, which then keeps its own, and so on. */
static void drop_taken(struct setting *s, pairs_note *note, void *arg)
{
    struct wish **sorted = mem_array(s->wished + 1, sizeof *sorted);

    for (size_t i = 0; i < s->wished; i++)
        sorted[i] = &s->wishes[i];
    qsort(sorted, s->wished, sizeof *sorted, by_wished);
    for (size_t i = 0; i < s->wished; i++) {
        struct wish *w = &s->wishes[i];
        int row = holder(s, w->pair->uidl);

        if (!is_change(s, w) || row < 0 || s->by_row[row] != NULL)
            continue;
        for (; w != NULL && is_change(s, w); w = who_wishes(sorted, s->wished, uidl_at(s, w->row))) {
            note(arg, w->pair->file, w->pair->line, w->pair->uidl, "is that of another message in the mailbox");
            w->dropped = true;
        }
    }
    mem_free(sorted);
}

/* ------------------------------------------------------------ what is done */

static enum ctl_exit store(struct setting *s, struct ctl *c, const struct mailbox_ref *mailbox, bool dry_run,
                           struct set_uidls *done)
{
    struct buf uids = BUF_EMPTY, uidls = BUF_EMPTY;
    struct args a = ARGS_NONE;
    enum ctl_exit end = CTL_DONE;

    pg_array_begin(&uids, PG_INT8);
    pg_array_begin(&uidls, PG_TEXT);
    for (size_t i = 0; i < s->wished; i++) {
        const struct wish *w = &s->wishes[i];

        if (!is_change(s, w))
            continue;
        pg_array_put_int8(&uids, db_int8(s->rows, w->row, COL_UID));
        pg_array_put_bytes(&uidls, span_str(w->pair->uidl));
        done->set++;
    }
    pg_array_set_count(&uids, (uint32_t)done->set);
    pg_array_set_count(&uidls, (uint32_t)done->set);
    args_mailbox(&a, mailbox);
    args_binary(&a, &uids);
    args_binary(&a, &uidls);
    if (done->set > 0 && !dry_run)
        end = db_call(c, "set the UIDLs", "select postern.set_uidls($1, $2, $3)", &a);
    buf_free(&uids);
    buf_free(&uidls);
    return end;
}

enum ctl_exit set_uidls(struct ctl *c, const struct mailbox_ref *mailbox, struct source *source, struct pairs *pairs,
                        const bool with[], bool dry_run, pairs_note *note, void *arg, struct set_uidls *done_r)
{
    struct setting s = { .rows = NULL };
    struct source_item it;
    enum ctl_exit end;

    *done_r = (struct set_uidls){ .set = 0 };
    if (!load(&s, c, mailbox))
        return db_end(c);
    while (source_next(source, &it) == 1) {
        const struct pair *pair = pairs_find(pairs, &it);

        if (it.kind != STATE_LIVING && !with[it.kind])
            continue;
        if (pair != NULL && pair->uidl != NULL && pair->ours) {
            note(arg, pair->file, pair->line, pair->uidl, "is one that the mailbox may make itself");
            continue;
        }
        /* One that cannot be read, or is another one by now, is not the one that the mailbox has. */
        if (it.kind != STATE_KIND_FOLDER_DATA && it.reject == NULL && (pair == NULL || pair->uidl != NULL))
            done_r->missing += pair == NULL || !wish(&s, &it, pair);
        if (source_broken(source) != NULL)
            break;
    }
    if (source_broken(source) != NULL) {
        end = ctl_error(CTL_FAILED, "%s: no UIDL was set", source_broken(source));
    } else {
        choose(&s, done_r);
        drop_taken(&s, note, arg);
        end = store(&s, c, mailbox, dry_run, done_r);
    }
    PQclear(s.rows);
    mem_free(s.by_row);
    mem_free(s.by_uidl);
    mem_free(s.wishes);
    return end;
}
