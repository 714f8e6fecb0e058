/*
 * login_lane.h - the lane of a login: bound before a helper is asked, as the ticket
 * that it makes opens the maildrop on that connection alone.
 */
#ifndef POSTERN_STORAGE_LOGIN_LANE_H
#define POSTERN_STORAGE_LOGIN_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/pg/pg.h"

struct login_lane;
struct store;

/*
 * Asks nothing. Where the first attempt to connect is still under way it waits, and
 * ready(owner) comes from the loop once that came to an end; else never.
 */
struct login_lane *login_lane_new(struct store *store, void (*ready)(void *owner), void *owner);
/* Nobody hears of it any more. May be NULL. */
void login_lane_free(struct login_lane **lane);

/* False: it waits. *pid_r is the process of its connection; 0: there is none, or it was lost. */
bool login_lane_pid(const struct login_lane *lane, uint32_t *pid_r);

/* For the store: the binding goes over, and says what there was; *lane is NULL then. */
enum pg_bound login_lane_take(struct login_lane **lane, struct pg_ref *ref_r);
/* There may be lanes now, for those that wait. */
void login_lanes_decided(struct store *store);

#endif
