/*
 * relays.c - how many logins are relayed, and which old servers are away (see relays.h).
 *
 * Owns the bounds: one old server that does not answer must not hold all of the sessions that there may be.
 */
#include "daemon/pop3/relays.h"

#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/net/loop.h"
#include "daemon/pop3/pop3.h"

enum { AWAY_MAX = 64, WAITING_PART = 4, WAITING_LEAST = 8 };

struct relays {
    struct loop *loop;
    const struct pop3_settings *settings;
    size_t count, waiting;      /* all of them, and those whose old server has not answered yet */
    size_t next;                /* in away: the oldest */
    struct away {
        int64_t server;
        uint64_t until;         /* loop_now() */
    } away[AWAY_MAX];
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

static size_t most_waiting(size_t most)
{
    return most / WAITING_PART > WAITING_LEAST ? most / WAITING_PART : WAITING_LEAST;
}

enum relays_may relays_ask(const struct relays *relays, const struct elsewhere *to, struct host_port *listed_r)
{
    size_t most = (size_t)relays->settings->pop3_relay_sessions;

    if (!host_port_find(span_str(relays->settings->pop3_relay_servers), to->host, to->port, listed_r))
        return RELAYS_UNLISTED;
    if (is_away(relays, to->server))
        return RELAYS_AWAY;
    return relays->count >= most || relays->waiting >= most_waiting(most) ? RELAYS_FULL : RELAYS_MAY;
}

static void measure(const struct relays *relays)
{
    metric_set(GAUGE_RELAYED, relays->count - relays->waiting);
}

void relays_enter(struct relays *relays)
{
    relays->count++;
    relays->waiting++;
}

void relays_joined(struct relays *relays)
{
    relays->waiting--;
    measure(relays);
}

void relays_leave(struct relays *relays, bool joined)
{
    relays->count--;
    if (!joined)
        relays->waiting--;
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
