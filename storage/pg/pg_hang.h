/*
 * pg_hang.h - does a server that owes an answer still answer at all?
 */
#ifndef POSTERN_STORAGE_PG_HANG_H
#define POSTERN_STORAGE_PG_HANG_H

#include "storage/pg/pg_impl.h"

/*
 * The oldest question of this lane has waited for some time, and does so again a
 * second later: to be called each time. Where nothing else is answered either, all
 * lanes are given up, within some seconds and whatever statement_timeout is.
 */
void hang_look(struct pg_lane *lane);
/*
 * The lane for that was set up, or could not be for a reason that somebody gave. (That it
 * was let in pg_lane.c notes.)
 */
void hang_heard(struct pg *pg);

#endif
