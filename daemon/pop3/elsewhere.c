/*
 * elsewhere.c - a login to a mailbox that is still at an old server: it is asked, and where it says yes
 * the session is relayed to it.
 *
 * Never opens a maildrop, and needs no lane. What the old server refuses counts as what we refuse, and is said in
 * our words: nothing of what it says before the login reaches the client.
 */
#include "daemon/pop3/login.h"

#include "auth/client/client.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/names.h"
#include "daemon/base/recent.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "daemon/pop3/relay.h"
#include "daemon/pop3/relays.h"
#include "storage/maildrop/login_lane.h"

/* What is kept of the verdict until the old server has answered. */
struct pop3_elsewhere {
    uint32_t guesses;
    struct auth_policy policy;
    char maintenance[AUTH_MAINTENANCE_MAX];
};

static uint64_t now(const struct pop3_session *s)
{
    return loop_now(pop3_host(s)->loop);
}

static struct guard *guard(const struct pop3_session *s)
{
    return pop3_service_of(s)->guard;
}

/* ------------------------------------------------------------- what is said */

static enum outcome say_away(struct pop3_session *s)
{
    return pop3_login_failed(s, "old-server", RC_SYS_TEMP,
                             "the server that has this mailbox cannot be asked now, try again later");
}

static enum outcome say_full(struct pop3_session *s)
{
    return pop3_login_failed(s, "relay-limit", RC_SYS_TEMP, "too many sessions at the moment, try again later");
}

static enum outcome say_temporary(struct pop3_session *s)
{
    return pop3_login_failed(s, "old-server-temp", RC_SYS_TEMP,
                             "the server that has this mailbox cannot open it now, try again later");
}

static enum outcome say_permanent(struct pop3_session *s)
{
    return pop3_login_failed(s, "old-server-perm", RC_SYS_PERM,
                             "the server that has this mailbox cannot open it, contact your mail provider");
}

static enum outcome say_in_use(struct pop3_session *s)
{
    return pop3_login_failed(
        s, "in-use", RC_IN_USE,
        "this mailbox is in use by another session, perhaps on another device; try again in a few minutes");
}

static enum outcome say_delay(struct pop3_session *s)
{
    return pop3_login_failed(s, "login-delay", RC_LOGIN_DELAY, "wait before you log in again");
}

/* The client has proved who it is, but with nothing that another server could be shown. */
static enum outcome say_mechanism(struct pop3_session *s)
{
    return pop3_login_failed(
        s, "old-server-mechanism", RC_NONE,
        "this mailbox can be logged in to with a password only (USER and PASS, AUTH PLAIN or AUTH LOGIN)");
}

/* ---------------------------------------------------------------- the answer */

static void over(struct pop3_session *s)
{
    auth_forget(pop3_host(s)->auth, s->login->auth_id);
    s->login->auth_id = 0;
    pop3_relay_over(s);
}

static enum outcome nobody_knows(struct pop3_session *s, enum outcome (*say)(struct pop3_session *s))
{
    over(s);
    guard_unknown(guard(s), &s->seat, now(s));
    return pop3_hold(s, say, pop3_soon(s));
}

static void is_right(struct pop3_session *s)
{
    auth_report(pop3_host(s)->auth, s->login->auth_id, true, pop3_name(s));
    s->login->auth_id = 0;
    guard_right(guard(s), &s->seat, pop3_name(s), now(s));
}

static enum outcome refused(struct pop3_session *s)
{
    uint32_t guesses = s->login->elsewhere->guesses;

    metric_add(METRIC_RELAY_REFUSED, 1);
    switch (relay_refusal(s->relay)) {
    case RELAY_WRONG:
        auth_report(pop3_host(s)->auth, s->login->auth_id, false, pop3_name(s));
        s->login->auth_id = 0;
        pop3_relay_over(s);
        return pop3_refuse(s, "password", guesses);
    /*
     * [LOGIN-DELAY] may be said before the password was looked at (RFC 2449 section 8.1.1), and
     * nobody knows when this server says [IN-USE]: neither proves that the password is right.
     */
    case RELAY_IN_USE:
        return nobody_knows(s, say_in_use);
    case RELAY_LOGIN_DELAY:
        return nobody_knows(s, say_delay);
    case RELAY_SYS_TEMP:
        return nobody_knows(s, say_temporary);
    case RELAY_SYS_PERM:
        break;
    }
    return nobody_knows(s, say_permanent);
}

static enum outcome away(struct pop3_session *s)
{
    metric_add(METRIC_RELAY_AWAY, 1);
    /* One mailbox that opens slowly, or a guess that is answered by silence, must not keep all others out. */
    if (relay_was_named(s->relay))
        log_warning(s->base.id, "old server %s did not answer the login of user=%s: %s", relay_name(s->relay),
                    log_text(pop3_name(s)).s, log_text(span_str(relay_why(s->relay))).s);
    else if (relays_note_away(pop3_service_of(s)->relays, s->login->old_server))
        log_warning(s->base.id, "old server %s cannot be used: %s; its logins are answered with [SYS/TEMP] meanwhile",
                    relay_name(s->relay), log_text(span_str(relay_why(s->relay))).s);
    return nobody_knows(s, say_away);
}

/* Such a password may be right at another server that takes it in another way; for this one it is none. */
static enum outcome unsayable(struct pop3_session *s)
{
    uint32_t guesses = s->login->elsewhere->guesses;

    over(s);
    return pop3_refuse(s, "old-server-password", guesses);
}

static void traced(void *owner, bool to_server, size_t octets)
{
    struct pop3_session *s = owner;

    if (session_is_traced(&s->base))
        log_info(s->base.id, "trace %s: (%zu octets relayed)", to_server ? "C" : "S", octets);
}

static enum outcome let_in(struct pop3_session *s)
{
    struct recent *logins = pop3_host(s)->logins;
    char tls[TLS_TEXT_SIZE], mechanism[SASL_LIST_SIZE];
    enum outcome out = CMD_WAIT;

    is_right(s);
    s->login->elsewhere->policy.maintenance.at = s->login->elsewhere->maintenance;
    if (pop3_admit(s, &s->login->elsewhere->policy, true, &out) != 1) {
        pop3_relay_over(s);
        return out;
    }
    metric_add(METRIC_RELAY_OK, 1);
    pop3_count_login(s);
    pop3_enter(s, POP3_RELAYED);
    relays_answered(pop3_service_of(s)->relays, s->login->old_server);
    if (logins != NULL && mailbox_is_one(&s->login->mailbox))
        recent_set(logins, mailbox_key(&s->login->mailbox), now(s));
    pop3_keep_address(s);
    pop3_login_free(s);
    pop3_set_session_timer(s);
    relay_trace(s->relay, traced);
    log_info(s->base.id, "login user=%s peer=%s%s%s result=ok relayed=%s", log_text(s->base.address).s,
             conn_peer(s->base.conn), pop3_tls_text(s, tls), pop3_mechanism_text(s, mechanism), relay_name(s->relay));
    return pop3_ok(s, "logged in");
}

static void on_answer(void *owner, enum relay_answer answer)
{
    struct pop3_session *s = owner;
    enum outcome out = CMD_WAIT;

    metric_time(HISTOGRAM_RELAY, clock_us() - s->login->asked_us);
    switch (answer) {
    case RELAY_YES:
        out = let_in(s);
        break;
    case RELAY_NO:
        out = refused(s);
        break;
    case RELAY_AWAY:
        out = away(s);
        break;
    case RELAY_UNSAYABLE:
        out = unsayable(s);
        break;
    }
    if (pop3_act(s, out) && s->state == POP3_RELAYED)
        relay_join(s->relay, s->base.conn);
}

static void on_end(void *owner, enum relay_end end)
{
    static const enum session_end ends[] = {
        [RELAY_CLIENT_EOF] = END_EOF, [RELAY_QUIT] = END_QUIT, [RELAY_CLIENT_LOST] = END_LOST,
        [RELAY_CLIENT_TIMEOUT] = END_TIMEOUT, [RELAY_SERVER_LOST] = END_OLD_SERVER,
    };

    pop3_session_over(owner, ends[end]);
}

static const struct relay_calls calls = { on_answer, on_end };

/* ---------------------------------------------------------------- the question */

static bool lend_password(void *owner, struct span *password_r)
{
    const struct pop3_session *s = owner;

    return auth_password(pop3_host(s)->auth, s->login->auth_id, password_r);
}

static void ask(struct pop3_session *s, const struct elsewhere *to, const char *host)
{
    char *addresses = names_look(host);
    const struct relay_plan plan = {
        .to = *to, .addresses = addresses, .peer = conn_peer(s->base.conn), .local = conn_local(s->base.conn),
        .tls = pop3_host(s)->tls_out, .ms = (uint64_t)pop3_settings(s)->pop3_relay_time,
    };

    relays_enter(pop3_service_of(s)->relays, to->server);
    s->login->old_server = to->server;
    s->login->asked_us = clock_us();
    s->relay = relay_new(pop3_host(s)->loop, &plan, lend_password, &calls, s);
    mem_free(addresses);
}

static void keep(struct pop3_session *s, const struct auth_result *result)
{
    struct pop3_elsewhere *e = mem_zalloc(sizeof *e);

    e->guesses = result->guesses;
    e->policy = result->policy;
    if (e->policy.maintenance.len > 0)
        memcpy(e->maintenance, e->policy.maintenance.at, e->policy.maintenance.len);
    mem_free(s->login->elsewhere);
    s->login->elsewhere = e;
}

enum outcome pop3_relay_login(struct pop3_session *s, const struct auth_result *result)
{
    const struct elsewhere *to = &result->elsewhere;
    struct host_port listed;
    struct span password;

    login_lane_free(&s->login->lane);
    s->login->mailbox = result->mailbox;
    pop3_set_name(s, result->address);
    if (!lend_password(s, &password)) {
        over(s);
        metric_add(METRIC_RELAY_MECHANISM, 1);
        guard_right(guard(s), &s->seat, pop3_name(s), now(s));
        return say_mechanism(s);
    }
    switch (relays_ask(pop3_service_of(s)->relays, to, &listed)) {
    case RELAYS_MAY:
        keep(s, result);
        ask(s, to, listed.host);
        return CMD_WAIT;
    case RELAYS_UNLISTED:
        if (relays_note_away(pop3_service_of(s)->relays, to->server))
            log_error(s->base.id, "mailbox of user=%s is at %.*s port %u, which pop3_relay_servers does not name",
                      log_text(pop3_name(s)).s, (int)to->host.len, to->host.at, to->port);
        break;
    case RELAYS_AWAY:
        break;
    case RELAYS_FULL:
        metric_add(METRIC_RELAY_AWAY, 1);
        return nobody_knows(s, say_full);
    }
    metric_add(METRIC_RELAY_AWAY, 1);
    return nobody_knows(s, say_away);
}
