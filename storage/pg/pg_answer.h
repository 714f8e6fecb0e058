/*
 * pg_answer.h - the answers of a lane.
 */
#ifndef POSTERN_STORAGE_PG_ANSWER_H
#define POSTERN_STORAGE_PG_ANSWER_H

#include "storage/pg/pg_impl.h"

/* Gives all answers that are there; false if the connection failed. */
bool lane_give_answers(struct pg_lane *lane);

#endif
