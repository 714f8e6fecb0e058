/*
 * opening.c - from a name and its password to an open maildrop, however the
 * client logs in: helper, delay between logins, lock and listing, and only then
 * +OK.
 *
 * Never tells why a login was refused; the log does, as far as it is known here.
 */
#include "daemon/pop3/login.h"

#include <time.h>

#include "auth/client/client.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/recent.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/login_lane.h"

/*
 * RFC 2595 section 2.3, RFC 8314 section 4.1: a password is not to be read by others. It was sent
 * all the same; it is not looked at.
 */
enum outcome pop3_refuse_cleartext(struct pop3_session *s)
{
    if (s->login->tls != NULL)
        return pop3_err(s, RC_NONE, "TLS is required to log in: use STLS, or TLS on port 995");
    return pop3_err(s, RC_NONE, "TLS is required to log in: use TLS on port 995");
}

/* Whose client is to be set up in another way? */
void pop3_log_cleartext(struct pop3_session *s)
{
    if (!s->login->cleartext_logged)
        pop3_log_refused(s, "cleartext");
    s->login->cleartext_logged = s->login->told = true;
}

static enum outcome say_unavailable(struct pop3_session *s)
{
    return pop3_login_failed(s, "auth-unavailable", RC_SYS_TEMP, "cannot verify the login now, try again later");
}

static enum outcome say_broken(struct pop3_session *s)
{
    return pop3_login_failed(s, "broken", RC_SYS_PERM, "cannot verify the login, contact your mail provider");
}

static enum outcome logged_in(struct pop3_session *s, struct drop *drop)
{
    struct recent *logins = pop3_host(s)->logins;
    size_t count = drop_count(drop);
    unsigned long long octets = drop_octets(drop);
    char tls[TLS_TEXT_SIZE], mechanism[SASL_LIST_SIZE];

    pop3_count_login(s);
    metric_time(HISTOGRAM_OPEN, clock_us() - s->login->asked_us);
    s->drop = drop;
    pop3_enter(s, POP3_TRANSACTION);
    if (logins != NULL)
        recent_set(logins, mailbox_key(&s->login->mailbox), loop_now(pop3_host(s)->loop));
    pop3_keep_address(s);
    pop3_login_free(s);
    pop3_set_session_timer(s);
    log_info(s->base.id, "login user=%s peer=%s%s%s result=ok messages=%zu octets=%llu tenant=%lld",
             log_text(s->base.address).s, conn_peer(s->base.conn), pop3_tls_text(s, tls),
             pop3_mechanism_text(s, mechanism), count, octets, (long long)s->tenant);
    return pop3_ok(s, "%zu message%s, %llu octets", count, count == 1 ? "" : "s", octets);
}

enum outcome pop3_ask_password(struct pop3_session *s, struct span password)
{
    struct span name = pop3_name(s);
    char network[NETWORK_TEXT_SIZE];
    struct auth_origin origin;

    s->login->pass_at = loop_now(pop3_host(s)->loop);
    if (!pop3_may_try(s, name, network, &origin))
        return pop3_refuse(s, "guessing", 0);
    /* Never a password, whatever is stored (A07). */
    if (password.len == 0)
        return pop3_refuse(s, "empty-password", 0);
    s->login->asked_us = clock_us();
    s->login->auth_id = auth_check_password(pop3_host(s)->auth, name, password, span_str(s->login->domain), &origin,
                                            s->base.id, pop3_on_verdict, s);
    pop3_bind_login(s);
    return CMD_WAIT;
}

static void on_lane(void *owner)
{
    struct pop3_session *s = owner;
    uint32_t pid;

    if (login_lane_pid(s->login->lane, &pid))
        auth_lane(pop3_host(s)->auth, s->login->auth_id, pid);
}

void pop3_bind_login(struct pop3_session *s)
{
    /* One that is left over from a login that failed may be lost by now. */
    login_lane_free(&s->login->lane);
    s->login->lane = login_lane_new(pop3_host(s)->store, on_lane, s);
    on_lane(s);
}

/* An unconfirmed login is not good enough for what is to be said: once more, by what is stored. */
static void check_uncached(struct pop3_session *s)
{
    s->login->asked_us = clock_us();
    auth_check_uncached(pop3_host(s)->auth, s->login->auth_id);
    pop3_bind_login(s);
}

/*
 * The one place where a cached login becomes a confirmed one: whoever opened the
 * maildrop saw whether it still holds, or could not tell. False: it has to be
 * checked once more, and the answer to that is the next that is heard.
 */
static bool confirm(struct pop3_session *s, enum db_status status)
{
    struct pop3_service *service = pop3_service_of(s);

    if (s->login->auth_id == 0)        /* it was confirmed before */
        return true;
    if (status == DB_UNCONFIRMED) {
        check_uncached(s);
        return false;
    }
    auth_forget(service->base.host.auth, s->login->auth_id);
    s->login->auth_id = 0;
    if (status == DB_OK)
        guard_right(service->guard, &s->seat, pop3_name(s), loop_now(service->base.host.loop));
    else
        guard_unknown(service->guard, &s->seat, loop_now(service->base.host.loop));
    return true;
}

/* +OK means that the maildrop is locked and listed (A13). */
static void on_opened(void *owner, enum db_status status, struct drop *drop)
{
    struct pop3_session *s = owner;
    enum outcome out = CMD_DONE;

    s->login->open_id = 0;
    if (!confirm(s, status))
        return;
    if (status != DB_OK)
        pop3_charge(s, store_cost(pop3_host(s)->store));
    switch (status) {
    case DB_OK:
        out = logged_in(s, drop);
        break;
    case DB_LOCKED:
        s->report.in_use++;
        out = pop3_login_failed(
            s, "in-use", RC_IN_USE,
            "this mailbox is in use by another session, perhaps on another device; try again in a few minutes");
        break;
    case DB_NOT_FOUND:
        out = pop3_refuse(s, "disabled", 0);
        break;
    case DB_RETRY:
    case DB_LOST:
        out = pop3_login_failed(s, "database", RC_SYS_TEMP, "cannot open the maildrop now, try again later");
        break;
    case DB_UNCONFIRMED:    /* a confirmed login is not told so */
    case DB_ONE_SERVER:
    case DB_BUG:
        out = pop3_login_failed(s, "broken", RC_SYS_PERM, "cannot open the maildrop, contact your mail provider");
        break;
    }
    pop3_act(s, out);
}

static enum outcome open_drop(struct pop3_session *s, const struct auth_result *result)
{
    struct drop_holder holder = {
        .session = s->base.id, .peer = conn_peer(s->base.conn), .protocol = "pop3", .since = time(NULL),
        .asked = pop3_session_asked, .asks = pop3_settings(s)->pop3_takeover_after > 0,
        .ticket = result->ticket,
    };

    if (result->verdict == AUTH_OK_UNCONFIRMED)
        holder.versions = result->versions;
    s->login->asked_us = clock_us();
    s->login->open_id = drop_open(pop3_host(s)->store, &s->login->lane, &s->login->mailbox, &holder, on_opened, s);
    return CMD_WAIT;
}

/* The rest of what a good password leads to. */
static enum outcome let_in(struct pop3_session *s, const struct auth_result *result)
{
    struct pop3_service *service = pop3_service_of(s);
    bool confirmed = result->verdict == AUTH_OK;
    enum outcome out = CMD_WAIT;

    s->login->mailbox = result->mailbox;
    pop3_set_name(s, result->address);
    if (confirmed)
        guard_right(service->guard, &s->seat, result->address, loop_now(service->base.host.loop));
    switch (pop3_admit(s, &result->policy, confirmed, &out)) {
    case 1:
        return open_drop(s, result);
    case 0:
        return out;
    default:
        check_uncached(s);
        return CMD_WAIT;
    }
}

void pop3_time_answer(struct pop3_session *s)
{
    uint64_t took = clock_us() - s->login->asked_us;

    s->report.auth_us += took;
    metric_time(HISTOGRAM_AUTH, took);
}

void pop3_on_verdict(void *owner, const struct auth_result *result)
{
    struct pop3_session *s = owner;
    enum outcome out = CMD_DONE;

    pop3_time_answer(s);
    if (result->verdict != AUTH_OK_UNCONFIRMED && result->verdict != AUTH_ELSEWHERE)
        s->login->auth_id = 0;
    /* USER said it already; in an exchange the helper knows better than what was typed, if it has understood it. */
    if (s->report.mechanism != MECHANISMS && result->address.len > 0)
        pop3_set_name(s, result->address);
    switch (result->verdict) {
    case AUTH_OK:
    case AUTH_OK_UNCONFIRMED:
        out = let_in(s, result);
        break;
    case AUTH_REFUSED:
        out = pop3_refuse(s, "password", result->guesses);
        break;
    case AUTH_UNAVAILABLE:
        guard_unknown(pop3_service_of(s)->guard, &s->seat, loop_now(pop3_host(s)->loop));
        out = pop3_hold(s, say_unavailable, pop3_soon(s));
        break;
    case AUTH_BROKEN:
        guard_unknown(pop3_service_of(s)->guard, &s->seat, loop_now(pop3_host(s)->loop));
        out = pop3_hold(s, say_broken, pop3_soon(s));
        break;
    case AUTH_ELSEWHERE:
        out = pop3_relay_login(s, result);
        break;
    case AUTH_CHALLENGE:
        ASSERT(result->verdict != AUTH_CHALLENGE);
    }
    pop3_act(s, out);
}
