/*
 * pg_run.c - how long statements ran, for the metrics.
 */
#include "storage/pg/pg_run.h"

#include "daemon/base/clock.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"

enum metric_longest *pg_run_kinds(const struct pg_statements *statements)
{
    enum metric_longest *kinds = mem_array(statements->count, sizeof kinds[0]);

    for (size_t i = 0; i < statements->count; i++)
        kinds[i] = metric_longest_of(statements->at[i].name);
    return kinds;
}

/* The group form of a statement counts as that one; what lanes ask for themselves has no kind. */
static enum metric_longest kind_of(const struct pg *pg, const struct pg_statement *s)
{
    for (size_t i = 0; s != NULL && i < pg->statements->count; i++)
        if (s == &pg->statements->at[i] || s == &pg->forms[i].statement)
            return pg->longest[i];
    return LONGEST_OTHER;
}

void pg_note_run(struct pg_lane *lane, const struct question *q)
{
    struct pg *pg = lane->pg;
    uint64_t now = clock_us();
    /* Those before it on this lane have been answered then. */
    uint64_t since = q->asked_us > lane->answers.answered_us ? q->asked_us : lane->answers.answered_us;

    pg->told.took_us = now - q->asked_us;
    lane->answers.answered_us = now;
    metric_time(HISTOGRAM_SQL, pg->told.took_us);
    metric_longest(kind_of(pg, q->statement), now, now - since);
}
