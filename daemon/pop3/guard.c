/*
 * guard.c - the limits by address and by account.
 */
#include "daemon/pop3/guard.h"

#include <string.h>

#include "auth/name.h"
#include "daemon/base/limit.h"
#include "daemon/base/mem.h"
#include "daemon/base/recent.h"
#include "daemon/pop3/pop3.h"

enum { MINUTE = 60000, PAIR_TRIES = 20 };

/* What a key is one of. */
enum { KEY_CONNECTIONS = 1, KEY_ADDRESS, KEY_ACCOUNT, KEY_PAIR, KEY_DOMAIN, KEY_TENANT };

struct guard {
    struct limits *limits;          /* NULL: nobody is counted here */
    int area;
    const struct pop3_settings *settings;
    uint32_t failures;
    uint64_t failure_ms;
    struct network_list *exempt;
};

struct guard *guard_new(struct limits *limits, int area, const struct pop3_settings *settings, uint32_t failures,
                        uint64_t failure_ms)
{
    struct guard *g = mem_zalloc(sizeof *g);
    char *error = NULL;

    g->limits = limits;
    g->area = area;
    g->settings = settings;
    g->failures = failures;
    g->failure_ms = failure_ms;
    g->exempt = network_list_new(settings->pop3_limit_exempt, &error);
    ASSERT(g->exempt != NULL);
    return g;
}

void guard_free(struct guard **guard)
{
    if (*guard == NULL)
        return;
    network_list_free(&(*guard)->exempt);
    mem_free(*guard);
    *guard = NULL;
}

static uint64_t key(const struct guard *g, unsigned char kind, const void *data, size_t len)
{
    return limit_key(&g->limits->seed, kind, data, len);
}

static uint64_t key_of_id(const struct guard *g, unsigned char kind, int64_t id)
{
    return key(g, kind, &id, sizeof id);
}

const char *guard_arrive(struct guard *g, struct guard_seat *seat, const char *peer, uint64_t now)
{
    const struct pop3_settings *settings = g->settings;
    struct network_address address;

    *seat = (struct guard_seat){ false };
    if (!network_of_peer(peer, &address) || network_list_has(g->exempt, &address))
        return NULL;
    seat->named = true;
    if (g->limits == NULL)
        return NULL;
    network_cut(&address, (unsigned)settings->pop3_limit_ipv6_prefix);
    seat->watched = true;
    seat->address = key(g, KEY_ADDRESS, &address, sizeof address);
    if (settings->pop3_limit_connections > 0) {
        uint32_t most = (uint32_t)settings->pop3_limit_connections;
        if (limit_add(g->limits->rates, key(g, KEY_CONNECTIONS, &address, sizeof address),
                      MINUTE / most > 0 ? MINUTE / most : 1, most, now) >= most)
            return "connections";
    }
    if (settings->pop3_limit_sessions > 0) {
        if (limit_present_count(g->limits->present, seat->address) >= (uint32_t)settings->pop3_limit_sessions)
            return "sessions";
        seat->entered = limit_enter(g->limits->present, g->area, seat->address) == 1;
    }
    return NULL;
}

static void leave(struct guard *g, uint64_t *key_p)
{
    if (*key_p != 0)
        limit_leave(g->limits->present, g->area, *key_p);
    *key_p = 0;
}

void guard_leave(struct guard *g, struct guard_seat *seat)
{
    if (seat->entered)
        limit_leave(g->limits->present, g->area, seat->address);
    seat->entered = false;
    leave(g, &seat->domain);
    leave(g, &seat->tenant);
}

/* The keys of the account that is meant, in whatever spelling. */
static void find_account(struct guard *g, struct guard_seat *seat, struct span name, struct span default_domain)
{
    char address[NAME_ADDRESS_MAX + 1];
    struct { uint64_t account, address; } pair;

    seat->account = seat->pair = 0;
    if (name.len == 0)
        return;
    if (name_canonical(name, default_domain, address, NULL) == 1)
        name = span_str(address);
    seat->account = key(g, KEY_ACCOUNT, name.at, name.len);
    pair.account = seat->account;
    pair.address = seat->address;
    seat->pair = key(g, KEY_PAIR, &pair, sizeof pair);
}

bool guard_try(struct guard *g, struct guard_seat *seat, const char *peer, struct span name, struct span default_domain,
               uint64_t now, char network[NETWORK_TEXT_SIZE], struct auth_origin *origin_r)
{
    struct network_address address;
    uint32_t from_address, to_account, most = (uint32_t)g->settings->pop3_limit_failures;
    bool good = false;

    *origin_r = (struct auth_origin){ .network = SPAN_OF("") };
    if (!seat->named || !network_of_peer(peer, &address))
        return true;
    network_cut(&address, (unsigned)g->settings->pop3_limit_ipv6_prefix);
    network_text(&address, (unsigned)g->settings->pop3_limit_ipv6_prefix, network);
    origin_r->network = span_str(network);
    if (!seat->watched)
        return true;
    find_account(g, seat, name, default_domain);
    /* Up to twice what is allowed: a guesser who stops is let in again after a while, however long they guessed. */
    from_address = limit_add(g->limits->rates, seat->address, g->failure_ms, 2 * most, now);
    to_account =
        seat->account != 0 ? limit_add(g->limits->rates, seat->account, g->failure_ms, 2 * g->failures, now) : 0;
    seat->tried = true;
    /* An address is often that of many (NAT): it takes four of its failures to double the delay. */
    seat->before = to_account > from_address / 4 ? to_account : from_address / 4;
    /* Names with a good login from there before, but not a guesser in the same network who keeps trying. */
    good = seat->pair != 0 && recent_get(g->limits->good, seat->pair) != 0 &&
           limit_add(g->limits->rates, seat->pair, g->failure_ms, 2 * PAIR_TRIES, now) < PAIR_TRIES;
    if (from_address >= most && !good && name.len > 0)
        return false;
    /* The helper knows of good logins on other hosts, and before this daemon was started. */
    origin_r->suspect = !good && (to_account >= g->failures || from_address >= most);
    origin_r->good = good;
    origin_r->failed = seat->before > 0;
    origin_r->line = seat->address;
    return true;
}

static void take_back(struct guard *g, struct guard_seat *seat, uint64_t now)
{
    if (!seat->tried)
        return;
    seat->tried = false;
    limit_take_back(g->limits->rates, seat->address, g->failure_ms, now);
    if (seat->account == 0)
        return;
    limit_take_back(g->limits->rates, seat->account, g->failure_ms, now);
    limit_take_back(g->limits->rates, seat->pair, g->failure_ms, now);
}

void guard_right(struct guard *g, struct guard_seat *seat, struct span name, uint64_t now)
{
    take_back(g, seat, now);
    if (!seat->watched)
        return;
    if (seat->pair == 0)
        find_account(g, seat, name, SPAN_OF(""));
    if (seat->pair != 0)
        recent_set(g->limits->good, seat->pair, now);
}

void guard_unknown(struct guard *g, struct guard_seat *seat, uint64_t now)
{
    take_back(g, seat, now);
}

uint64_t guard_wrong(struct guard *g, struct guard_seat *seat, struct span name, uint32_t guesses, uint64_t now)
{
    uint64_t delay = (uint64_t)g->settings->pop3_failure_delay, most = (uint64_t)g->settings->pop3_failure_delay_max;
    unsigned doubles;

    if (!seat->named)
        return delay;
    if (seat->tried && seat->account == 0) {
        find_account(g, seat, name, SPAN_OF(""));
        if (seat->account != 0) {
            uint32_t before = limit_add(g->limits->rates, seat->account, g->failure_ms, 2 * g->failures, now);
            seat->before = before > seat->before ? before : seat->before;
        }
    }
    doubles = guesses > seat->before ? guesses : seat->before;
    seat->tried = false;
    seat->before = 0;
    for (; doubles > 0 && delay < most; doubles--)
        delay *= 2;
    return delay < most || delay == (uint64_t)g->settings->pop3_failure_delay ? delay : most;
}

/* One more under this key, if that is within the limit. */
static bool admit_one(struct guard *g, uint64_t *key_p, unsigned char kind, int64_t id, int32_t most)
{
    uint64_t k;

    if (most == AUTH_UNSET)
        return true;
    k = key_of_id(g, kind, id);
    if (limit_present_count(g->limits->present, k) >= (uint32_t)most)
        return false;
    if (limit_enter(g->limits->present, g->area, k) == 1)
        *key_p = k;
    return true;
}

bool guard_admit(struct guard *g, struct guard_seat *seat, const struct auth_policy *policy)
{
    if (g->limits == NULL)
        return true;
    leave(g, &seat->domain);
    leave(g, &seat->tenant);
    if (!admit_one(g, &seat->domain, KEY_DOMAIN, policy->domain, policy->domain_sessions))
        return false;
    if (admit_one(g, &seat->tenant, KEY_TENANT, policy->tenant, policy->tenant_sessions))
        return true;
    leave(g, &seat->domain);
    return false;
}
