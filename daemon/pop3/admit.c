/*
 * admit.c - the password was right: may there be a session?
 *
 * Owns what the operator's policy, the delay between logins and the number of
 * sessions say about it. Only a client whose login is confirmed hears any of
 * this; a stranger must not learn what is switched how for whom.
 */
#include "daemon/pop3/login.h"

#include <stdarg.h>
#include <stdio.h>

#include "auth/client/client.h"
#include "daemon/base/log.h"
#include "daemon/base/recent.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"

/* Reasons are many, and others will come: those that an operator has to tell apart from afar. */
static enum metric count_of(const char *reason)
{
    static const struct { const char *reason; enum metric metric;
    } rows[] = {
        { "password", METRIC_LOGIN_CREDENTIALS }, { "empty-password", METRIC_LOGIN_CREDENTIALS },
        { "disabled", METRIC_LOGIN_CREDENTIALS }, { "in-use", METRIC_LOGIN_IN_USE },
        { "database", METRIC_LOGIN_DATABASE },    { "auth-unavailable", METRIC_LOGIN_AUTH_UNAVAILABLE },
        { "broken", METRIC_LOGIN_BROKEN },        { "guessing", METRIC_LOGIN_GUESSING },
        { "pop3-off", METRIC_LOGIN_POLICY },      { "tls-only", METRIC_LOGIN_POLICY },
        { "maintenance", METRIC_LOGIN_POLICY },   { "login-delay", METRIC_LOGIN_POLICY },
        { "sessions", METRIC_LOGIN_POLICY },     { "old-server", METRIC_LOGIN_OLD_SERVER },
        { "old-server-temp", METRIC_LOGIN_OLD_SERVER }, { "old-server-perm", METRIC_LOGIN_OLD_SERVER },
        { "old-server-mechanism", METRIC_LOGIN_OLD_SERVER }, { "relay-limit", METRIC_LOGIN_OLD_SERVER },
        { "old-server-password", METRIC_LOGIN_CREDENTIALS },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].reason, reason) == 0)
            return rows[i].metric;
    }
    return METRIC_LOGIN_OTHER;
}

void pop3_log_refused(struct pop3_session *s, const char *reason)
{
    char tls[TLS_TEXT_SIZE], mechanism[SASL_LIST_SIZE];

    metric_add(count_of(reason), 1);
    s->login->told = true;
    log_info(s->base.id, "login user=%s peer=%s%s%s result=refused reason=%s",
             log_text(pop3_name(s)).s, conn_peer(s->base.conn), pop3_tls_text(s, tls),
             pop3_mechanism_text(s, mechanism), reason);
}

enum outcome pop3_login_failed(struct pop3_session *s, const char *reason, enum code code, const char *text)
{
    pop3_log_refused(s, reason);
    pop3_set_name(s, (struct span){ NULL, 0 });
    return pop3_err(s, code, "%s", text);
}

/* RFC 2449 section 6.5: counted from the last login that was let in. 0 if there is nothing to wait for. */
static uint64_t seconds_to_wait(const struct pop3_session *s)
{
    const struct service_host *host = pop3_host(s);
    uint64_t delay =
        s->login_delay != AUTH_UNSET ? (uint64_t)s->login_delay * 1000 : (uint64_t)pop3_settings(s)->pop3_login_delay;
    uint64_t last, gone;

    if (host->logins == NULL || delay == 0 || !mailbox_is_one(&s->login->mailbox))
        return 0;
    last = recent_get(host->logins, mailbox_key(&s->login->mailbox));
    if (last == 0)
        return 0;
    /* Another worker's turn may have begun a little later than ours. */
    gone = loop_now(host->loop) > last ? loop_now(host->loop) - last : 0;
    return gone < delay ? (delay - gone + 999) / 1000 : 0;
}

/* What speaks against this session, in words. */
struct objection {
    const char *reason;         /* NULL: nothing */
    enum code code;
    char text[AUTH_MAINTENANCE_MAX + 1];
};

__attribute__((format(printf, 4, 5)))
static void object(struct objection *o, const char *reason, enum code code, const char *fmt, ...)
{
    va_list ap;

    o->reason = reason;
    o->code = code;
    va_start(ap, fmt);
    vsnprintf(o->text, sizeof o->text, fmt, ap);
    va_end(ap);
}

static struct objection find_objection(struct pop3_session *s, const struct auth_policy *policy)
{
    struct objection o = { .reason = NULL };
    uint64_t wait;

    if (!policy->pop3)
        object(&o, "pop3-off", RC_SYS_PERM, "POP3 is not enabled for this mailbox");
    else if (policy->tls_only && conn_tls_version(s->base.conn) == NULL)
        object(&o, "tls-only", RC_NONE, "this mailbox can be opened over TLS only");
    else if (policy->maintenance.len > 0)
        object(&o, "maintenance", RC_SYS_TEMP, "%.*s", (int)policy->maintenance.len, policy->maintenance.at);
    else if ((wait = seconds_to_wait(s)) > 0)
        object(&o, "login-delay", RC_LOGIN_DELAY, "wait %llu second%s", (unsigned long long)wait, wait == 1 ? "" : "s");
    else if (!guard_admit(pop3_service_of(s)->guard, &s->seat, policy))
        object(&o, "sessions", RC_SYS_TEMP, "too many sessions of this provider or domain, try again later");
    return o;
}

int pop3_admit(struct pop3_session *s, const struct auth_policy *policy, bool confirmed, enum outcome *out_r)
{
    s->login_delay = policy->login_delay;
    s->expire = policy->expire;
    s->replace_nul = policy->replace_nul;
    s->tenant = policy->tenant;
    s->base.traced = policy->trace;
    struct objection o = find_objection(s, policy);
    if (o.reason == NULL)
        return 1;
    if (!confirmed)
        return -1;
    *out_r = pop3_login_failed(s, o.reason, o.code, o.text);
    return 0;
}
