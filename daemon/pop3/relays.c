/*
 * relays.c - how many logins are relayed, and which old servers are away (see relays.h).
 *
 * Owns the bounds: one old server that does not answer must not hold all of the sessions that there may be,
 * nor keep logins from the others.
 */
#include "daemon/pop3/relays.h"

#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/net/loop.h"
#include "daemon/pop3/pop3.h"

enum { AWAY_MAX = 64, SERVERS_MAX = 64, WAITING_PART = 4, WAITING_LEAST = 8 };

struct relays {
    struct loop *loop;
    const struct pop3_settings *settings;
    size_t count, waiting;      /* all of them, and those whose old server has not answered yet */
    size_t next;                /* in away: the oldest */
    struct away {
        int64_t server;
        uint64_t until;         /* loop_now() */
    } away[AWAY_MAX];
    struct {
        int64_t server;
        size_t count;           /* 0: the place is free */
    } waits[SERVERS_MAX];       /* where more servers are asked at once, those are bounded all together only */
};

struct relays *relays_new(struct loop *loop, const struct pop3_settings *settings)
{
    struct relays *relays = mem_zalloc(sizeof *relays);

    relays->loop = loop;
    relays->settings = settings;
    return relays;
}

void relays_free(struct relays **relays)
{
    mem_free(*relays);
    *relays = NULL;
}

static bool is_away(const struct relays *relays, int64_t server)
{
    for (size_t i = 0; i < AWAY_MAX; i++)
        if (relays->away[i].server == server && relays->away[i].until > loop_now(relays->loop))
            return true;
    return false;
}

/* For one server. */
static size_t most_waiting(size_t most)
{
    return most / WAITING_PART > WAITING_LEAST ? most / WAITING_PART : WAITING_LEAST;
}

static size_t waiting_for(const struct relays *relays, int64_t server)
{
    for (size_t i = 0; i < SERVERS_MAX; i++)
        if (relays->waits[i].count > 0 && relays->waits[i].server == server)
            return relays->waits[i].count;
    return 0;
}

enum relays_may relays_ask(const struct relays *relays, const struct elsewhere *to, struct host_port *listed_r)
{
    size_t most = (size_t)relays->settings->pop3_relay_sessions;

    if (!host_port_find(span_str(relays->settings->pop3_relay_servers), to->host, to->port, listed_r))
        return RELAYS_UNLISTED;
    if (is_away(relays, to->server))
        return RELAYS_AWAY;
    if (relays->count >= most || relays->waiting >= 2 * most_waiting(most) ||
        waiting_for(relays, to->server) >= most_waiting(most))
        return RELAYS_FULL;
    return RELAYS_MAY;
}

static void measure(const struct relays *relays)
{
    metric_set(GAUGE_RELAYED, relays->count - relays->waiting);
}

void relays_enter(struct relays *relays, int64_t server)
{
    size_t place = SERVERS_MAX;

    relays->count++;
    relays->waiting++;
    for (size_t i = SERVERS_MAX; i-- > 0;) {
        if (relays->waits[i].count > 0 && relays->waits[i].server == server) {
            place = i;
            break;
        }
        if (relays->waits[i].count == 0)
            place = i;
    }
    if (place == SERVERS_MAX)
        return;
    relays->waits[place].server = server;
    relays->waits[place].count++;
}

void relays_answered(struct relays *relays, int64_t server)
{
    relays->waiting--;
    for (size_t i = 0; i < SERVERS_MAX; i++)
        if (relays->waits[i].count > 0 && relays->waits[i].server == server) {
            relays->waits[i].count--;
            break;
        }
    measure(relays);
}

void relays_leave(struct relays *relays)
{
    relays->count--;
    measure(relays);
}

bool relays_note_away(struct relays *relays, int64_t server)
{
    uint64_t until = loop_now(relays->loop) + (uint64_t)relays->settings->pop3_relay_pause;

    if (is_away(relays, server))
        return false;
    relays->away[relays->next] = (struct away){ server, until };
    relays->next = (relays->next + 1) % AWAY_MAX;
    return true;
}
