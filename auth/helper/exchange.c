/*
 * exchange.c - the exchanges that are open in this helper.
 *
 * Owns their number, their age and their names. Must never let a worker reach
 * an exchange by a guess of another request, nor keep one whose verdict was
 * given. Knows no mechanism: what it does is in its row (mechanism.h).
 */
#include "auth/helper/exchange.h"

#include <sys/queue.h>

#include "auth/mechanism.h"
#include "daemon/base/clock.h"
#include "daemon/base/idmap.h"
#include "daemon/base/mem.h"

enum {
    EXCHANGES_MAX = 1024,
    AGE_MAX_MS = 3600000,       /* no session may take longer to log in */
};

struct entry {
    TAILQ_ENTRY(entry) by_age;          /* once it waits for its client, as all that is below */
    uint64_t id;                        /* what the worker calls it by; 0: it does not wait yet */
    uint64_t request;
    uint64_t opened;                    /* clock_ms() */
    char session[FRAME_SESSION_MAX + 1];
    uint32_t lane;
    struct exchange x;
};

struct exchanges {
    struct accounts *accounts;
    const struct auth_settings *settings;
    unsigned served;                            /* MECH_BIT() of mechanisms */
    struct idmap *open;
    TAILQ_HEAD(entry_list, entry) by_age;       /* the oldest first */
};

/* ------------------------------------------------------------------ lives */

struct exchanges *exchanges_new(struct accounts *accounts, const struct auth_settings *settings, unsigned served)
{
    struct exchanges *e = mem_zalloc(sizeof *e);

    e->accounts = accounts;
    e->settings = settings;
    e->served = served;
    e->open = idmap_new();
    TAILQ_INIT(&e->by_age);
    return e;
}

static void entry_free(struct exchanges *e, struct entry *entry)
{
    const struct mechanism_how *how = mechanisms[entry->x.mechanism].how;

    if (entry->id != 0) {
        TAILQ_REMOVE(&e->by_age, entry, by_age);
        idmap_take(e->open, entry->id);
    }
    if (how->end != NULL)
        how->end(&entry->x);
    mem_free(entry->x.domain);
    mem_free(entry->x.name);
    mem_free(entry);
}

void exchanges_free(struct exchanges **exchanges)
{
    struct exchanges *e = *exchanges;
    struct entry *entry;

    if (e == NULL)
        return;
    *exchanges = NULL;
    while ((entry = TAILQ_FIRST(&e->by_age)) != NULL)
        entry_free(e, entry);
    idmap_free(&e->open);
    mem_free(e);
}

static void copy_session(char out[FRAME_SESSION_MAX + 1], struct span session)
{
    if (session.len > 0)
        memcpy(out, session.at, session.len);
    out[session.len] = '\0';
}

static struct entry *entry_new(const struct exchanges *e, uint64_t request, const struct auth_opening *opening)
{
    struct entry *entry = mem_zalloc(sizeof *entry);
    struct exchange *x = &entry->x;

    entry->request = request;
    copy_session(entry->session, opening->session);
    entry->lane = opening->lane;
    x->mechanism = opening->mechanism;
    x->accounts = e->accounts;
    x->settings = e->settings;
    x->domain = mem_strn(opening->default_domain.at, opening->default_domain.len);
    x->origin = opening->origin;
    memcpy(x->network, x->origin.network.len > 0 ? x->origin.network.at : "", x->origin.network.len);
    x->origin.network.at = x->network;
    x->verdict.verdict = AUTH_UNAVAILABLE;
    return entry;
}

/* It waits for its client. Who opens exchanges and leaves them is the first whom it hits when there are too many. */
static void entry_keep(struct exchanges *e, struct entry *entry)
{
    struct entry *oldest;

    entry->opened = clock_ms();
    while ((oldest = TAILQ_FIRST(&e->by_age)) != NULL &&
           (idmap_count(e->open) >= EXCHANGES_MAX || entry->opened - oldest->opened > AGE_MAX_MS))
        entry_free(e, oldest);
    entry->id = idmap_put(e->open, entry);
    TAILQ_INSERT_TAIL(&e->by_age, entry, by_age);
}

/* --------------------------------------------------------------- messages */

static void put_typed(struct exchange_answer *out, struct span name)
{
    size_t len = name.len < EXCHANGE_TYPED_MAX ? name.len : EXCHANGE_TYPED_MAX;

    if (len > 0)
        memcpy(out->typed, name.at, len);
    out->typed[len] = '\0';
}

static void begin_answer(struct exchange_answer *out)
{
    out->typed[0] = '\0';
    out->exchange = 0;
    out->lane = 0;
    out->mechanism = MECHANISMS;
    out->session[0] = '\0';
    out->challenge.len = 0;
    memset(&out->verdict, 0, sizeof out->verdict);
    out->verdict.verdict = AUTH_UNAVAILABLE;
}

/* The exchange goes on, or is over. */
static void settle(struct exchanges *e, struct entry *entry, bool challenged, struct exchange_answer *out)
{
    memcpy(out->session, entry->session, sizeof out->session);
    out->mechanism = entry->x.mechanism;
    if (entry->x.name != NULL)
        put_typed(out, span_str(entry->x.name));
    if (challenged) {
        if (entry->id == 0)
            entry_keep(e, entry);
        out->exchange = entry->id;
        return;
    }
    out->challenge.len = 0;
    out->lane = entry->lane;
    out->verdict = entry->x.verdict;
    entry_free(e, entry);
}

void exchange_start(struct exchanges *e, uint64_t id, const struct auth_opening *opening, struct exchange_answer *out)
{
    struct span name;

    begin_answer(out);
    if (mechanism_name(opening->mechanism, opening->initial, &name))
        put_typed(out, name);
    /* Only a worker that was taken over asks for it. */
    if ((e->served & MECH_BIT(opening->mechanism)) == 0 || mechanisms[opening->mechanism].how->start == NULL) {
        copy_session(out->session, opening->session);
        out->mechanism = opening->mechanism;
        verdict_refuse(&out->verdict, "mechanism");
        return;
    }
    struct entry *entry = entry_new(e, id, opening);
    settle(e, entry, mechanisms[opening->mechanism].how->start(&entry->x, opening, &out->challenge), out);
}

/* NULL where there is none, or it is another request's. */
static struct entry *find(struct exchanges *e, const struct auth_step *step)
{
    struct entry *entry = idmap_get(e->open, step->exchange);

    return entry != NULL && entry->request == step->id ? entry : NULL;
}

void exchange_respond(struct exchanges *e, const struct auth_step *step, struct exchange_answer *out)
{
    struct entry *entry = find(e, step);

    begin_answer(out);
    if (entry == NULL)
        return;
    settle(e, entry, mechanisms[entry->x.mechanism].how->step(&entry->x, step->response, &out->challenge), out);
}

void exchange_abort(struct exchanges *e, const struct auth_step *step, struct exchange_answer *out)
{
    struct entry *entry = find(e, step);
    struct account_verdict aborted = { .verdict = AUTH_REFUSED };

    begin_answer(out);
    if (entry == NULL)
        return;
    /* What is written down of a refusal is not of this one: nobody tried a password. */
    memcpy(aborted.address, entry->x.verdict.address, sizeof aborted.address);
    aborted.counted = entry->x.verdict.counted;
    verdict_refuse(&aborted, "aborted");
    entry->x.verdict = aborted;
    settle(e, entry, false, out);
}
