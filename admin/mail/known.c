/*
 * known.c - what a mailbox has, and what imports brought to it that is gone (see known.h).
 */
#include "admin/mail/known.h"

#include <string.h>

#include "admin/db.h"
#include "daemon/base/mem.h"

struct known {
    PGresult *rows;     /* digest, copies, gone; digests in rising order */
    struct known_count {
        int64_t copies; /* that are there, and were not met again so far */
        int64_t gone;   /* that were deleted since, likewise */
    } *counts;
};

struct known *known_new(struct ctl *c, const struct mailbox_ref *mailbox, bool with_gone)
{
    struct args a = ARGS_NONE;
    struct known *k;
    PGresult *rows;
    int n;

    args_mailbox(&a, mailbox);
    rows = db_ask_binary(c, "list what is there", "select * from postern.list_digests($1)", &a);
    if (rows == NULL)
        return NULL;
    n = PQntuples(rows);
    k = mem_zalloc(sizeof *k);
    k->rows = rows;
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
