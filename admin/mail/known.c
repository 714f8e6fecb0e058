/*
 * known.c - what a mailbox has, and what imports brought to it that is gone (see known.h).
 */
#include "admin/mail/known.h"

#include <string.h>

#include "admin/db.h"
#include "daemon/base/mem.h"

struct known {
    PGresult *rows;     /* digest, copies, gone; digests in rising order */
    PGresult *uidls;    /* uidl, digest, here, received_at; UIDLs in rising order */
    bool with_gone;
    struct known_count {
        int64_t copies; /* that are there, and were not met again so far */
        int64_t gone;   /* that were deleted since, likewise */
    } *counts;
};

struct known *known_new(struct ctl *c, const struct mailbox_ref *mailbox, bool with_gone)
{
    struct args a = ARGS_NONE;
    struct known *k;
    PGresult *rows, *uidls;
    int n;

    args_mailbox(&a, mailbox);
    rows = db_ask_binary(c, "list what is there", "select * from postern.list_digests($1)", &a);
    if (rows == NULL)
        return NULL;
    uidls = db_ask_binary(c, "list what is there", "select * from postern.list_known_uidls($1)", &a);
    if (uidls == NULL) {
        PQclear(rows);
        return NULL;
    }
    n = PQntuples(rows);
    k = mem_zalloc(sizeof *k);
    k->rows = rows;
    k->uidls = uidls;
    k->with_gone = with_gone;
    k->counts = mem_array((size_t)n + 1, sizeof *k->counts);
    for (int i = 0; i < n; i++)
        k->counts[i] = (struct known_count){ db_int8(rows, i, 1), with_gone ? 0 : db_int8(rows, i, 2) };
    return k;
}

void known_free(struct known **known)
{
    if (*known == NULL)
        return;
    PQclear((*known)->rows);
    PQclear((*known)->uidls);
    mem_free((*known)->counts);
    mem_free(*known);
    *known = NULL;
}

static struct known_count *find(const struct known *k, const unsigned char digest[CONTENT_DIGEST])
{
    int low = 0, high = PQntuples(k->rows);

    while (low < high) {
        int middle = low + (high - low) / 2, order = memcmp(digest, PQgetvalue(k->rows, middle, 0), CONTENT_DIGEST);

        if (order == 0)
            return &k->counts[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

enum known_as known_take(struct known *k, const unsigned char digest[CONTENT_DIGEST])
{
    struct known_count *n = find(k, digest);

    if (n == NULL || (n->copies == 0 && n->gone == 0))
        return KNOWN_NOT;
    if (n->copies > 0) {
        n->copies--;
        return KNOWN_THERE;
    }
    n->gone--;
    return KNOWN_GONE;
}

static int find_uidl(const struct known *k, const char *uidl)
{
    int low = 0, high = PQntuples(k->uidls);

    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(uidl, PQgetvalue(k->uidls, middle, 0));

        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

enum known_as known_take_uidl(struct known *k, const char *uidl)
{
    const int row = find_uidl(k, uidl);
    struct known_count *n;
    bool here;

    if (row < 0)
        return KNOWN_NOT;
    here = db_bytes(k->uidls, row, 2).at[0] != 0;
    if (!here && k->with_gone)
        return KNOWN_NOT;
    n = find(k, (const unsigned char *)PQgetvalue(k->uidls, row, 1));
    if (here) {
        if (n != NULL && n->copies > 0)
            n->copies--;
        return KNOWN_THERE;
    }
    /* Gone, or there with another UIDL by now: undeleted, or given one. */
    if (n != NULL && n->gone == 0 && n->copies > 0) {
        n->copies--;
        return KNOWN_THERE;
    }
    if (n != NULL && n->gone > 0)
        n->gone--;
    return KNOWN_GONE;
}

enum known_as known_take_file(struct known *k, const char *uidl, int64_t received)
{
    const int row = find_uidl(k, uidl);

    if (row < 0 || PQgetisnull(k->uidls, row, 3) || db_time(k->uidls, row, 3) != received)
        return KNOWN_NOT;
    return known_take_uidl(k, uidl);
}

void known_left(const struct known *k, known_each *each, void *arg)
{
    for (int i = 0; i < PQntuples(k->rows); i++)
        if (k->counts[i].copies > 0)
            each(arg, (const unsigned char *)PQgetvalue(k->rows, i, 0), k->counts[i].copies);
}
