/*
 * exchange.c - the exchanges that are open in this helper.
 *
 * Owns their number, their age and their names. Must never let a worker reach
 * an exchange by a guess of another request, nor keep one whose verdict was
 * given.
 */
#include "auth/exchange.h"

#include <time.h>

#include "auth/sasl.h"
#include "daemon/base/idmap.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum {
    EXCHANGES_MAX = 1024,
    AGE_MAX_MS = 3600000,       /* no session may take longer to log in */
};

struct exchanges {
    struct accounts *accounts;
    const struct auth_settings *settings;
    Gsasl *gsasl;
    struct idmap *open;
    TAILQ_HEAD(exchange_list, exchange) by_age;     /* the oldest first */
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void exchange_refuse(struct account_verdict *v, const char *reason)
{
    v->verdict = AUTH_REFUSED;
    v->mailbox = 0;
    v->reason = reason;
}

bool exchange_is_ascii(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] >= 0x80)
            return false;
    return true;
}

void exchange_authorize(struct account_verdict *v, struct span authzid, struct span domain)
{
    char address[NAME_ADDRESS_MAX + 1];

    if (v->verdict != AUTH_OK || authzid.len == 0)
        return;
    if (!name_canonical(authzid, domain, address, NULL) || strcmp(address, v->address) != 0)
        exchange_refuse(v, "authzid");
}

/* ------------------------------------------------------------------ lives */

struct exchanges *exchanges_new(struct accounts *accounts, const struct auth_settings *settings)
{
    struct exchanges *e = mem_zalloc(sizeof *e);

    e->accounts = accounts;
    e->settings = settings;
    e->gsasl = exchange_gsasl_new();
    e->open = idmap_new();
    TAILQ_INIT(&e->by_age);
    return e;
}

static void exchange_close(struct exchanges *e, struct exchange *x)
{
    TAILQ_REMOVE(&e->by_age, x, by_age);
    idmap_take(e->open, x->id);
    exchange_gsasl_close(x);
    mem_free(x->domain);
    mem_free(x->name);
    mem_free(x);
}

void exchanges_free(struct exchanges **exchanges)
{
    struct exchanges *e = *exchanges;
    struct exchange *x;

    if (e == NULL)
        return;
    *exchanges = NULL;
    while ((x = TAILQ_FIRST(&e->by_age)) != NULL)
        exchange_close(e, x);
    idmap_free(&e->open);
    gsasl_done(e->gsasl);
    mem_free(e);
}

static void copy_session(char out[FRAME_SESSION_MAX + 1], struct span session)
{
    if (session.len > 0)
        memcpy(out, session.at, session.len);
    out[session.len] = '\0';
}

/* Whoever opens exchanges and leaves them is the first whom it hits when there are too many. */
static struct exchange *exchange_open(struct exchanges *e, uint64_t request, const struct auth_opening *opening)
{
    struct exchange *x = mem_zalloc(sizeof *x), *oldest;
    int64_t now = now_ms();

    while ((oldest = TAILQ_FIRST(&e->by_age)) != NULL &&
           (idmap_count(e->open) >= EXCHANGES_MAX || now - oldest->opened > AGE_MAX_MS))
        exchange_close(e, oldest);
    x->id = idmap_put(e->open, x);
    x->accounts = e->accounts;
    x->settings = e->settings;
    x->request = request;
    x->opened = now;
    x->mechanism = opening->mechanism;
    copy_session(x->session, opening->session);
    x->domain = mem_strn(opening->default_domain.at, opening->default_domain.len);
    x->origin = opening->origin;
    memcpy(x->network, x->origin.network.len > 0 ? x->origin.network.at : "", x->origin.network.len);
    x->origin.network.at = x->network;
    TAILQ_INSERT_TAIL(&e->by_age, x, by_age);
    return x;
}

/* --------------------------------------------------------------- messages */

static void put_typed(struct exchange_answer *out, struct span name)
{
    size_t len = name.len < EXCHANGE_TYPED_MAX ? name.len : EXCHANGE_TYPED_MAX;

    if (len > 0)
        memcpy(out->typed, name.at, len);
    out->typed[len] = '\0';
}

/* From the first message that has it. LOGIN keeps its own. */
static void keep_name(struct exchange *x, struct span message)
{
    struct span name;

    if (x->mechanism != MECH_LOGIN && x->name == NULL && mechanism_name(x->mechanism, message, &name))
        x->name = mem_strn(name.at, name.len);
}

static void begin_answer(struct exchange_answer *out)
{
    out->typed[0] = '\0';
    out->exchange = 0;
    out->mechanism = MECHANISMS;
    out->session[0] = '\0';
    out->len = 0;
    memset(&out->verdict, 0, sizeof out->verdict);
    out->verdict.verdict = AUTH_UNAVAILABLE;
}

static void settle(struct exchanges *e, struct exchange *x, bool challenged, struct exchange_answer *out)
{
    memcpy(out->session, x->session, sizeof out->session);
    out->mechanism = x->mechanism;
    if (x->name != NULL)
        put_typed(out, span_str(x->name));
    if (challenged)
        out->exchange = x->id;
    else
        exchange_close(e, x);
}

void exchange_start(struct exchanges *e, uint64_t id, const struct auth_opening *opening, struct exchange_answer *out)
{
    struct exchange *x;
    struct span name;
    bool challenged = false;

    begin_answer(out);
    if (mechanism_name(opening->mechanism, opening->initial, &name))
        put_typed(out, name);
    out->mechanism = opening->mechanism;
    copy_session(out->session, opening->session);
    switch (opening->mechanism) {
    case MECH_PLAIN:
        exchange_plain(e->accounts, opening, &out->verdict);
        return;
    case MECH_EXTERNAL:
        put_typed(out, opening->identity);
        exchange_external(e->accounts, opening, &out->verdict);
        return;
    case MECH_APOP:
        exchange_apop(e->accounts, opening, &out->verdict);
        return;
    case MECH_LOGIN:
        x = exchange_open(e, id, opening);
        challenged = exchange_login(x, opening->initial, opening->has_initial, out);
        break;
    case MECH_OAUTHBEARER:
    case MECH_XOAUTH2:
        x = exchange_open(e, id, opening);
        keep_name(x, opening->initial);
        challenged = exchange_oauth(x, opening->initial, out);
        break;
    default:
        x = exchange_open(e, id, opening);
        keep_name(x, opening->initial);
        if (exchange_gsasl_open(e->gsasl, x, opening))
            challenged = exchange_gsasl_step(x, opening->initial, out);
        break;
    }
    settle(e, x, challenged, out);
}

/* NULL where there is none, or it is another request's. */
static struct exchange *find(struct exchanges *e, const struct auth_step *step)
{
    struct exchange *x = idmap_get(e->open, step->exchange);

    return x != NULL && x->request == step->id ? x : NULL;
}

static bool go_on(struct exchange *x, struct span response, struct exchange_answer *out)
{
    keep_name(x, response);
    switch (x->mechanism) {
    case MECH_LOGIN: return exchange_login(x, response, true, out);
    case MECH_OAUTHBEARER:
    case MECH_XOAUTH2: return exchange_oauth(x, response, out);
    default: return exchange_gsasl_step(x, response, out);
    }
}

void exchange_respond(struct exchanges *e, const struct auth_step *step, struct exchange_answer *out)
{
    struct exchange *x = find(e, step);

    begin_answer(out);
    if (x == NULL)
        return;
    settle(e, x, go_on(x, step->response, out), out);
}

void exchange_abort(struct exchanges *e, const struct auth_step *step, struct exchange_answer *out)
{
    struct exchange *x = find(e, step);

    begin_answer(out);
    if (x == NULL)
        return;
    memcpy(out->verdict.address, x->verdict.address, sizeof out->verdict.address);
    exchange_refuse(&out->verdict, "aborted");
    settle(e, x, false, out);
}
