/*
 * pg_lane.h - one connection in pipeline mode.
 */
#ifndef POSTERN_STORAGE_PG_LANE_H
#define POSTERN_STORAGE_PG_LANE_H

#include "storage/pg/pg_impl.h"

void lane_start(struct pg_lane *lane);
void lane_end(struct pg_lane *lane);        /* with pg->freeing set */
void lane_send(struct pg_lane *lane, const struct question *q, const struct pg_args *args);
void lane_listen(struct pg_lane *lane);      /* to what there is to be listened to */
void lane_listen_to(struct pg_lane *lane, const char *channel);
/* One that is on_demand is closed, in the next turn or when its last question was answered, unless it is used again. */
void lane_unused(struct pg_lane *lane);
/* For how long its oldest question has been the oldest, in milliseconds; 0: there is none. */
uint64_t lane_waits(const struct pg_lane *lane);
/* The next attempt to connect begins with another host of the list. */
void lane_try_next_host(struct pg_lane *lane);
/* What the loop would call: the connection can be read, or (LOOP_WRITE) written to. */
void lane_event(void *lane, int fd, unsigned events);

#endif
