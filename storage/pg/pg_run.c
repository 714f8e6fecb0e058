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

void pg_note_run(struct pg_lane *lane, const struct question *q)
{
    struct pg *pg = lane->pg;
    const struct pg_statement *first = pg->statements->at;
    uint64_t now = clock_us();
    /* Those before it on this lane have been answered then. */
    uint64_t since = q->asked_us > lane->answers.answered_us ? q->asked_us : lane->answers.answered_us;
    bool in_table = q->statement >= first && q->statement < first + pg->statements->count;

    pg->told.took_us = now - q->asked_us;
    lane->answers.answered_us = now;
    metric_time(HISTOGRAM_SQL, pg->told.took_us);
    metric_longest(in_table ? pg->longest[q->statement - first] : LONGEST_OTHER, now, now - since);
}
