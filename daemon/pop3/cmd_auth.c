/*
 * cmd_auth.c - the commands before the login, but for AUTH and APOP: CAPA STLS
 * USER PASS QUIT.
 *
 * Owns the way from a name and its password to an open maildrop, however the client
 * logs in: helper, delay between logins, lock and listing, and only then +OK.
 * Never keeps a password
 * (it is lent out of the input) and never tells why a login was refused; the
 * log does, as far as it is known here.
 */
#include "daemon/pop3/session.h"

#include <stdio.h>
#include <time.h>

#include "auth/client/client.h"
#include "auth/name.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"
#include "daemon/base/recent.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"

void pop3_set_name(struct pop3_session *s, struct span name)
{
    char *copy = name.len > 0 ? mem_strn(name.at, name.len) : NULL;

    mem_free(s->name);
    s->name = copy;
    s->name_len = name.len;
}

/* In both states, and the same in both, but for STLS: that means "now" (RFC 2595 section 4; C06). */
enum outcome pop3_cmd_capa(struct pop3_session *s, const struct args *args)
{
    unsigned kind = (s->may_login ? CAPA_USER : 0u) | (s->tls != NULL ? CAPA_STLS : 0u);
    const struct capa *capa = &s->service->capa[kind];
    char list[SASL_LIST_SIZE], line[SASL_LIST_SIZE + sizeof "SASL\r\n.\r\n"];

    (void)args;
    pop3_sasl_list(pop3_offered(s), list);
    if (s->state == POP3_AUTHORIZATION) {
        pop3_ready_reply(s, capa->text, capa->len);
    } else {
        size_t own_len;
        char *own = pop3_own_capa(s, kind, &own_len);

        pop3_ready_reply(s, own, own_len);
        mem_free(own);
    }
    /* No SASL line where there is no mechanism (C08). */
    int len = snprintf(line, sizeof line, list[0] != '\0' ? "SASL%s\r\n.\r\n" : "%s.\r\n", list);
    conn_write(s->conn, line, (size_t)len);
    return P3_DONE;
}

/*
 * What was said in the clear may have been said by somebody else: the name is
 * forgotten (as for every command here), and octets behind the line are never
 * used (T02, T03). The refusals are not: they count against guessing.
 */
static enum outcome cmd_stls(struct pop3_session *s, const struct args *args)
{
    struct tls_ctx *tls = s->tls;

    (void)args;
    if (conn_tls_version(s->conn) != NULL)
        return pop3_err(s, RC_NONE, "TLS is already active");
    if (tls == NULL)
        return pop3_bad(s, "TLS is not available");
    if (s->more) {
        s->end = END_BAD_COMMANDS;
        pop3_err(s, RC_NONE, "data after STLS and before the handshake, closing connection");
        return P3_CLOSE;
    }
    s->tls = NULL;
    s->may_login = true;
    pop3_ok(s, "begin TLS negotiation");
    conn_start_tls(s->conn, tls);
    return P3_DONE;
}

static enum outcome cmd_quit(struct pop3_session *s, const struct args *args)
{
    (void)args;
    s->end = END_QUIT;
    pop3_ok(s, "bye");
    return P3_CLOSE;
}

static void count_login(const struct pop3_session *s)
{
    const char *version = conn_tls_version(s->conn);

    metric_add(METRIC_LOGIN_OK, 1);
    metric_add(s->mechanism != MECHANISMS ? mechanisms[s->mechanism].metric : METRIC_MECHANISM_USER, 1);
    metric_add(version == NULL ? METRIC_TLS_NONE : strcmp(version, "TLSv1.3") == 0 ? METRIC_TLS_13 : METRIC_TLS_12, 1);
    metric_time(HISTOGRAM_OPEN, clock_us() - s->asked_us);
}

/*
 * RFC 2595 section 2.3, RFC 8314 section 4.1: a password is not to be read by others. It was sent
 * all the same; it is not looked at.
 */
enum outcome pop3_refuse_cleartext(struct pop3_session *s)
{
    if (s->tls != NULL)
        return pop3_err(s, RC_NONE, "TLS is required to log in: use STLS, or TLS on port 995");
    return pop3_err(s, RC_NONE, "TLS is required to log in: use TLS on port 995");
}

/* Whose client is to be set up in another way? */
void pop3_log_cleartext(struct pop3_session *s)
{
    if (!s->refusal_logged)
        pop3_log_refused(s, "cleartext");
    s->refusal_logged = s->told = true;
}

/*
 * The same answer for every name, known or not; a second USER replaces the first.
 * All of the line is the name: blanks around it are not part of it, and those
 * inside belong to a local part in quotes (auth/name.h).
 */
static enum outcome cmd_user(struct pop3_session *s, const struct args *args)
{
    if (name_trim(args->v[0]).len == 0)
        return pop3_bad(s, "invalid arguments");
    pop3_set_name(s, args->v[0]);
    if (s->may_login)
        return pop3_ok(s, "send PASS");
    pop3_log_cleartext(s);
    pop3_set_name(s, (struct span){ NULL, 0 });
    return pop3_refuse_cleartext(s);
}

/*
 * The credentials do not hold, for whatever reason. When it is said depends on
 * when PASS came and on how often this address and this name were refused
 * before, so that the time tells nobody the reason (A10).
 */
static enum outcome refuse(struct pop3_session *s, const char *reason, uint32_t guesses)
{
    pop3_log_refused(s, reason);
    s->refuse_at = s->pass_at + guard_wrong(s->service->guard, &s->seat, (struct span){ s->name, s->name_len }, guesses,
                                            loop_now(s->service->host.loop));
    pop3_set_login_timer(s);
    return P3_WAIT;
}

enum outcome pop3_say_refusal(struct pop3_session *s)
{
    pop3_set_name(s, (struct span){ NULL, 0 });
    s->refused++;
    pop3_err(s, RC_AUTH, "wrong name or password");
    if (s->refused < s->service->host.settings->pop3_login_failures)
        return P3_DONE;
    s->end = END_REFUSED;
    return P3_CLOSE;
}

static enum outcome logged_in(struct pop3_session *s, struct drop *drop)
{
    struct pop3_service *service = s->service;
    size_t count = drop_count(drop);
    unsigned long long octets = drop_octets(drop);
    char tls[TLS_TEXT_SIZE], mechanism[SASL_LIST_SIZE];

    count_login(s);
    s->drop = drop;
    s->tls = NULL;
    pop3_forget_refusal(s);
    pop3_enter(s, POP3_TRANSACTION);
    mem_free(s->domain);
    s->domain = NULL;
    mem_free(s->timestamp);
    s->timestamp = NULL;
    pop3_set_session_timer(s);
    if (service->host.logins != NULL)
        recent_set(service->host.logins, mailbox_key(&s->mailbox), loop_now(service->host.loop));
    log_info(s->id, "login user=%s peer=%s%s%s result=ok messages=%zu octets=%llu",
             log_text((struct span){ s->name, s->name_len }).s, conn_peer(s->conn), pop3_tls_text(s, tls),
             pop3_mechanism_text(s, mechanism), count, octets);
    return pop3_ok(s, "%zu message%s, %llu octets", count, count == 1 ? "" : "s", octets);
}

/* An unconfirmed login is not good enough for what is to be said: once more, by what is stored. */
static void check_uncached(struct pop3_session *s)
{
    s->asked_us = clock_us();
    auth_check_uncached(s->service->host.auth, s->auth_id);
}

/*
 * The one place where a cached login becomes a confirmed one: whoever opened the
 * maildrop saw whether it still holds, or could not tell. False: it has to be
 * checked once more, and the answer to that is the next that is heard.
 */
static bool confirm(struct pop3_session *s, enum db_status status)
{
    struct pop3_service *service = s->service;

    if (s->auth_id == 0)        /* it was confirmed before */
        return true;
    if (status == DB_UNCONFIRMED) {
        check_uncached(s);
        return false;
    }
    auth_forget(service->host.auth, s->auth_id);
    s->auth_id = 0;
    if (status == DB_OK)
        guard_right(service->guard, &s->seat, (struct span){ s->name, s->name_len }, loop_now(service->host.loop));
    else
        guard_unknown(service->guard, &s->seat, loop_now(service->host.loop));
    return true;
}

/* +OK means that the maildrop is locked and listed (A13). */
static void on_opened(void *owner, enum db_status status, struct drop *drop)
{
    struct pop3_session *s = owner;
    enum outcome out = P3_DONE;

    s->open_id = 0;
    if (!confirm(s, status))
        return;
    if (status != DB_OK)
        pop3_charge(s, store_cost(s->service->host.store));
    switch (status) {
    case DB_OK:
        out = logged_in(s, drop);
        break;
    case DB_LOCKED:
        s->in_use++;
        out = pop3_login_failed(
            s, "in-use", RC_IN_USE,
            "this mailbox is in use by another session, perhaps on another device; try again in a few minutes");
        break;
    case DB_NOT_FOUND:
        out = refuse(s, "disabled", 0);
        break;
    case DB_RETRY:
    case DB_LOST:
        out = pop3_login_failed(s, "database", RC_SYS_TEMP, "cannot open the maildrop now, try again later");
        break;
    case DB_UNCONFIRMED:    /* a confirmed login is not told so */
    case DB_BUG:
        out = pop3_login_failed(s, "broken", RC_SYS_PERM, "cannot open the maildrop, contact your mail provider");
        break;
    }
    pop3_act(s, out);
}

static enum outcome open_drop(struct pop3_session *s, const struct auth_result *result)
{
    struct drop_holder holder = {
        .session = s->id, .peer = conn_peer(s->conn), .protocol = "pop3", .since = time(NULL),
        .asked = pop3_session_asked, .asks = s->service->host.settings->pop3_takeover_after > 0,
    };

    if (result->verdict == AUTH_OK_UNCONFIRMED)
        holder.versions = result->versions;
    s->asked_us = clock_us();
    s->open_id = drop_open(s->service->host.store, &s->mailbox, &holder, on_opened, s);
    return P3_WAIT;
}

/* The rest of what a good password leads to. */
static enum outcome let_in(struct pop3_session *s, const struct auth_result *result)
{
    struct pop3_service *service = s->service;
    bool confirmed = result->verdict == AUTH_OK;
    enum outcome out = P3_WAIT;

    s->mailbox = result->mailbox;
    pop3_set_name(s, result->address);
    if (confirmed)
        guard_right(service->guard, &s->seat, result->address, loop_now(service->host.loop));
    switch (pop3_admit(s, &result->policy, confirmed, &out)) {
    case 1:
        return open_drop(s, result);
    case 0:
        return out;
    default:
        check_uncached(s);
        return P3_WAIT;
    }
}

void pop3_on_verdict(void *owner, const struct auth_result *result)
{
    struct pop3_session *s = owner;
    enum outcome out = P3_DONE;
    uint64_t took = clock_us() - s->asked_us;

    s->auth_us += took;
    metric_time(HISTOGRAM_AUTH, took);
    if (result->verdict == AUTH_CHALLENGE) {
        pop3_act(s, pop3_sasl_challenge(s, result->challenge));
        return;
    }
    if (result->verdict != AUTH_OK_UNCONFIRMED)
        s->auth_id = 0;
    /* USER said it already; in an exchange the helper knows better than what was typed, if it has understood it. */
    if (s->mechanism != MECHANISMS && result->address.len > 0)
        pop3_set_name(s, result->address);
    switch (result->verdict) {
    case AUTH_OK:
    case AUTH_OK_UNCONFIRMED:
        out = let_in(s, result);
        break;
    case AUTH_REFUSED:
        out = refuse(s, "password", result->guesses);
        break;
    case AUTH_UNAVAILABLE:
        guard_unknown(s->service->guard, &s->seat, loop_now(s->service->host.loop));
        out = pop3_login_failed(s, "auth-unavailable", RC_SYS_TEMP, "cannot verify the login now, try again later");
        break;
    case AUTH_BROKEN:
        guard_unknown(s->service->guard, &s->seat, loop_now(s->service->host.loop));
        out = pop3_login_failed(s, "broken", RC_SYS_PERM, "cannot verify the login, contact your mail provider");
        break;
    case AUTH_CHALLENGE:
        ASSERT(result->verdict != AUTH_CHALLENGE);
    }
    pop3_act(s, out);
}

bool pop3_may_try(struct pop3_session *s, struct span name, char network[NETWORK_TEXT_SIZE],
                  struct auth_origin *origin_r)
{
    return guard_try(s->service->guard, &s->seat, conn_peer(s->conn), name, span_str(s->domain),
                     loop_now(s->service->host.loop), network, origin_r);
}

static enum outcome cmd_pass(struct pop3_session *s, const struct args *args)
{
    struct pop3_service *service = s->service;
    struct span name = { s->name, s->name_len };
    char network[NETWORK_TEXT_SIZE];
    struct auth_origin origin;

    if (!s->may_login)
        return pop3_refuse_cleartext(s);
    if (s->name == NULL)
        return pop3_err(s, RC_NONE, "send USER first");
    s->pass_at = loop_now(service->host.loop);
    if (!pop3_may_try(s, name, network, &origin))
        return refuse(s, "guessing", 0);
    /* Never a password, whatever is stored (A07). */
    if (args->v[0].len == 0)
        return refuse(s, "empty-password", 0);
    s->asked_us = clock_us();
    s->auth_id = auth_check_password(service->host.auth, name, args->v[0], span_str(s->domain), &origin, s->id,
                                     pop3_on_verdict, s);
    return P3_WAIT;
}

static const struct command rows[] = {
    { .verb = "CAPA", .keeps_name = true, .run = pop3_cmd_capa, .counted = METRIC_COMMAND_CAPA },
    { .verb = "STLS", .run = cmd_stls, .counted = METRIC_COMMAND_STLS },
    { .verb = "USER", .min = 1, .max = 1, .rest = true, .run = cmd_user, .counted = METRIC_COMMAND_USER },
    { .verb = "PASS",
      .min = 1,
      .max = 1,
      .rest = true,
      .keeps_name = true,
      .run = cmd_pass,
      .counted = METRIC_COMMAND_PASS },
    { .verb = "AUTH", .rest = true, .run = pop3_cmd_auth, .counted = METRIC_COMMAND_AUTH },
    { .verb = "APOP", .min = 1, .max = 1, .rest = true, .run = pop3_cmd_apop, .counted = METRIC_COMMAND_APOP },
    { .verb = "QUIT", .run = cmd_quit, .counted = METRIC_COMMAND_QUIT },
};
const struct command_table pop3_auth_commands = { rows, sizeof rows / sizeof rows[0] };
