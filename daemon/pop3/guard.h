/*
 * guard.h - who comes too often, and who guesses passwords: limits by address
 * and by account, in memory that all cells share.
 *
 * A try is counted before anybody is asked whether it is right, so that many
 * connections at once count as many; it is taken back where it was right. The
 * guard holds nobody up itself: it says how long a refusal has to wait, and
 * the session's timer does. What it tells apart it never tells a client.
 */
#ifndef POSTERN_POP3_GUARD_H
#define POSTERN_POP3_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/client/client.h"
#include "daemon/base/network.h"

struct limits;
struct pop3_settings;
struct guard;

/* A session's place; all zero before guard_arrive(). */
struct guard_seat {
    bool named;             /* not exempt: the helpers are told where it comes from */
    bool watched;           /* and it is counted here */
    bool entered;           /* counted among the sessions of its address */
    bool tried;             /* a try is counted that may have to be taken back */
    unsigned before;        /* failures before this try: so many times the delay doubles */
    uint64_t address, account, pair;    /* keys */
    uint64_t domain, tenant;            /* keys; 0: not counted there */
};

/*
 * limits may be NULL: then nobody is counted here, but by the helpers. area: of limit_area_take().
 * failures and failure_ms: how many an account may have, and how long until one
 * is forgotten. The settings outlive the guard, and were checked.
 */
struct guard *guard_new(struct limits *limits, int area, const struct pop3_settings *settings, uint32_t failures,
                        uint64_t failure_ms);
void guard_free(struct guard **guard);

/* A client is there. NULL, or why it is to be turned away: "sessions" or "connections", for the log. */
const char *guard_arrive(struct guard *guard, struct guard_seat *seat, const char *peer, uint64_t now_ms);
/* In any case at the end of a session, and of one that was turned away. */
void guard_leave(struct guard *guard, struct guard_seat *seat);

/*
 * A password was sent. True: have it checked, with this origin, whose text is
 * in network. False: refuse it as a wrong one, without asking. One of the three
 * below follows. The name is empty where only the helper will know it.
 */
bool guard_try(struct guard *guard, struct guard_seat *seat, const char *peer, struct span name,
               struct span default_domain, uint64_t now_ms, char network[NETWORK_TEXT_SIZE],
               struct auth_origin *origin_r);
/* It was right: this name has logged in. */
void guard_right(struct guard *guard, struct guard_seat *seat, struct span name, uint64_t now_ms);
/* Nobody could tell. */
void guard_unknown(struct guard *guard, struct guard_seat *seat, uint64_t now_ms);
/*
 * The milliseconds after which it is to be said. name: as the helper understood
 * it; guesses: what all hosts have counted for it, 0 if that was not asked.
 */
uint64_t guard_wrong(struct guard *guard, struct guard_seat *seat, struct span name, uint32_t guesses, uint64_t now_ms);

/*
 * May there be one session more of its domain and its tenant? It is counted if so, and no more
 * than once however often this is asked.
 */
bool guard_admit(struct guard *guard, struct guard_seat *seat, const struct auth_policy *policy);

#endif
