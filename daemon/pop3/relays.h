/*
 * relays.h - which old servers a worker may relay logins to, and how many it does: what all relays of a
 * process share.
 */
#ifndef POSTERN_POP3_RELAYS_H
#define POSTERN_POP3_RELAYS_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/elsewhere.h"
#include "daemon/base/host_port.h"

struct loop;
struct pop3_settings;
struct relays;

struct relays *relays_new(struct loop *loop, const struct pop3_settings *settings);
void relays_free(struct relays **relays);

enum relays_may {
    RELAYS_MAY,
    RELAYS_UNLISTED,    /* pop3_relay_servers does not name it */
    RELAYS_AWAY,        /* it could not be reached a moment ago */
    RELAYS_FULL,        /* as many as may be */
};
/* RELAYS_MAY: *listed_r is how pop3_relay_servers has it, by which name it is looked up. */
enum relays_may relays_ask(const struct relays *relays, const struct elsewhere *to, struct host_port *listed_r);
/*
 * One more, which waits for this server until relays_answered(), in any case, and then one less. Of
 * those that wait there may be fewer: a quarter of all for one server, a half for all of them.
 */
void relays_enter(struct relays *relays, int64_t server);
void relays_answered(struct relays *relays, int64_t server);
void relays_leave(struct relays *relays);
/*
 * It cannot be reached, or does not get as far as a login: nobody else tries for pop3_relay_pause. True
 * where that is news.
 */
bool relays_note_away(struct relays *relays, int64_t server);

#endif
