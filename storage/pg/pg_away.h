/*
 * pg_away.h - lanes that come and go: why, what is said of it, and descriptors that
 * are kept for their return.
 */
#ifndef POSTERN_STORAGE_PG_AWAY_H
#define POSTERN_STORAGE_PG_AWAY_H

#include "storage/pg/pg_impl.h"

/* Logs lane->away.why, or counts it where the same was logged less than a minute ago: then false. */
bool pg_say_away(struct pg_lane *lane, bool was_up);
void pg_away_due(void *pg);                  /* timer */
/* If this error or notice says that the server ends the connection, it is remembered. */
void lane_note_parting(struct pg_lane *lane, const PGresult *res);
/* Looks for it in what has come. */
void lane_hear_parting(struct pg_lane *lane);
/* The text, as one line, to lane->away.why. */
void lane_say_why(struct pg_lane *lane, const char *why);
/* Gives the connection up, in the next turn. */
void lane_break(struct pg_lane *lane, const char *why);
/* The same if its server is not believed any more (primary.h). True: it is to be given up, for whatever reason. */
bool lane_doubt(struct pg_lane *lane);
/*
 * Takes and gives back the descriptor of a lane that is not connected, and those for the time
 * within a call of libpq.
 */
void lane_reserve(struct pg_lane *lane);
void lane_use_reserve(struct pg_lane *lane);
void pg_reserve(struct pg *pg);
void pg_use_reserve(struct pg *pg);

#endif
