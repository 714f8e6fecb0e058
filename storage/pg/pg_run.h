/*
 * pg_run.h - how long statements ran, for the metrics.
 */
#ifndef POSTERN_STORAGE_PG_RUN_H
#define POSTERN_STORAGE_PG_RUN_H

#include "storage/pg/pg_impl.h"

/* The metric of each of these; the caller frees it. */
enum metric_longest *pg_run_kinds(const struct pg_statements *statements);
/* This question of the lane is answered now: its time is counted, and told in pg->told. */
void pg_note_run(struct pg_lane *lane, const struct question *q);

#endif
