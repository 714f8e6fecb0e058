/*
 * pg_group.h - questions of many sessions in one statement.
 *
 * A statement that has a group form is gathered for each lane, while a group of its
 * kind is under way and as long as the loop has other things to do: what is there
 * when it would wait goes out together. So nobody waits for a timer; one question
 * alone is sent as it is, at once; and the busier worker and database are, the fewer
 * statements each session costs.
 */
#ifndef POSTERN_STORAGE_PG_GROUP_H
#define POSTERN_STORAGE_PG_GROUP_H

#include "storage/pg/pg_impl.h"

/* The statements of all group forms; of a pg whose statements have none, nothing. */
void group_begin(struct pg *pg);
void group_end(struct pg *pg);      /* after all lanes have ended */

/* Takes the question in; the values of args are copied. The lane is up. */
void group_ask(struct pg_lane *lane, const struct question *q, const struct pg_args *args);
/* Sends what has gathered, where it need not wait for anything; for who cannot wait for the turn's end. */
void group_flush(struct pg_lane *lane);
/* The lane was lost: what has gathered is answered with DB_LOST. After what was sent. */
void group_lose(struct pg_lane *lane);

#endif
