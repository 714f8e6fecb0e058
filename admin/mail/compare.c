/*
 * compare.c - which message is which (see compare.h): two sorted lists are walked through, so
 * time grows with n log n.
 */
#include "admin/mail/compare.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/mem.h"

typedef int compare_order(const struct compare_mail *x, const struct compare_mail *y);

static int by_uidl(const struct compare_mail *x, const struct compare_mail *y) { return strcmp(x->uidl, y->uidl); }

static int by_digest(const struct compare_mail *x, const struct compare_mail *y)
{
    return memcmp(x->likeness.digest, y->likeness.digest, CONTENT_DIGEST);
}

static int by_kept(const struct compare_mail *x, const struct compare_mail *y)
{
    return memcmp(x->likeness.kept, y->likeness.kept, CONTENT_DIGEST);
}

static bool has_uidl(const struct compare_mail *m) { return m->uidl != NULL; }

static bool has_digest(const struct compare_mail *m) { return !m->unread; }

static bool has_kept(const struct compare_mail *m) { return m->has_kept && !m->unread; }

/* qsort() has no argument for it; posternctl has one thread. Equal ones stay in their order. */
static compare_order *sorting;

static int by_sorting(const void *a, const void *b)
{
    const struct compare_mail *x = *(struct compare_mail *const *)a, *y = *(struct compare_mail *const *)b;
    int order = sorting(x, y);

    return order != 0 ? order : (x > y) - (x < y);
}

/* Those of a side that are not matched and can be, sorted; the caller frees it. */
static struct compare_mail **sorted(struct compare_side *side, compare_order *order,
                                    bool (*can)(const struct compare_mail *), size_t *count_r)
{
    struct compare_mail **list = mem_array(side->count + 1, sizeof *list);

    *count_r = 0;
    for (size_t i = 0; i < side->count; i++)
        if (side->mails[i].other == NULL && can(&side->mails[i]))
            list[(*count_r)++] = &side->mails[i];
    sorting = order;
    qsort(list, *count_r, sizeof *list, by_sorting);
    return list;
}

static void match(struct compare_side *here, struct compare_side *there, compare_order *order,
                  bool (*can)(const struct compare_mail *))
{
    size_t n, m, i = 0, j = 0;
    struct compare_mail **x = sorted(here, order, can, &n), **y = sorted(there, order, can, &m);

    while (i < n && j < m) {
        int which = order(x[i], y[j]);

        if (which == 0) {
            x[i]->other = y[j];
            y[j]->other = x[i];
        }
        i += which <= 0;
        j += which >= 0;
    }
    mem_free(x);
    mem_free(y);
}

void compare_match(struct compare_side *here, struct compare_side *there)
{
    match(here, there, by_uidl, has_uidl);
    match(here, there, by_digest, has_digest);
}

bool compare_wants_kept(const struct compare_mail *m)
{
    return m->other == NULL || (!m->other->unread && by_digest(m, m->other) != 0);
}

/*
 * Those that stand elsewhere: as few as there can be, which is all but a longest rising
 * sequence of places. last[n]: the message with the lowest place that ends one of n + 1.
 */
static void mark_order(struct compare_side *there)
{
    struct compare_mail **last = mem_array(there->count + 1, sizeof(struct compare_mail *));
    struct compare_mail **before = mem_array(there->count + 1, sizeof(struct compare_mail *));
    size_t longest = 0;

    for (size_t i = 0; i < there->count; i++) {
        struct compare_mail *m = &there->mails[i];
        size_t low = 0, high = longest;

        if (m->other == NULL)
            continue;
        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (last[middle]->other < m->other)
                low = middle + 1;
            else
                high = middle;
        }
        before[i] = low > 0 ? last[low - 1] : NULL;
        last[low] = m;
        longest += low == longest;
        m->flags |= COMPARE_ORDER;
        m->other->flags |= COMPARE_ORDER;
    }
    for (struct compare_mail *m = longest > 0 ? last[longest - 1] : NULL; m != NULL; m = before[m - there->mails]) {
        m->flags &= ~(unsigned)COMPARE_ORDER;
        m->other->flags &= ~(unsigned)COMPARE_ORDER;
    }
    mem_free(last);
    mem_free(before);
}

void compare_rest(struct compare_side *here, struct compare_side *there)
{
    match(here, there, by_kept, has_kept);
    for (size_t i = 0; i < there->count; i++) {
        struct compare_mail *m = &there->mails[i], *other = m->other;
        unsigned flags = 0;

        if (other == NULL || m->unread || other->unread)
            continue;
        if (m->uidl != NULL && other->uidl != NULL && strcmp(m->uidl, other->uidl) != 0)
            flags |= COMPARE_UIDL;
        if (m->likeness.octets != other->likeness.octets)
            flags |= COMPARE_OCTETS;
        if (by_digest(m, other) != 0)
            flags |= COMPARE_TEXT | (m->has_kept && other->has_kept && by_kept(m, other) == 0 ? COMPARE_FIELDS : 0U);
        m->flags = other->flags = flags;
    }
    mark_order(there);
}
