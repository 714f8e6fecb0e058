/*
 * login.c - what is known of a client before it has logged in, and what the
 * log says of it.
 *
 * Never keeps a password.
 */
#include "daemon/pop3/login.h"

#include <stdio.h>

#include "auth/client/client.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/secret.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/login_lane.h"

struct pop3_login *pop3_login_new(const struct session_entry *entry)
{
    struct pop3_login *login = mem_zalloc(sizeof *login);

    if (entry->default_domain[0] != '\0')
        login->domain = mem_str(entry->default_domain);
    return login;
}

void pop3_drop_challenge(struct pop3_login *login)
{
    if (login->challenge != NULL)
        secret_wipe(login->challenge, login->challenge_len);
    mem_free(login->challenge);
    login->challenge = NULL;
}

void pop3_login_free(struct pop3_session *s)
{
    struct pop3_login *login = s->login;

    if (login == NULL)
        return;
    s->login = NULL;
    if (login->auth_id != 0)
        auth_forget(pop3_host(s)->auth, login->auth_id);
    if (login->open_id != 0)
        drop_forget(pop3_host(s)->store, login->open_id);
    login_lane_free(&login->lane);
    mem_free(login->name);
    mem_free(login->domain);
    mem_free(login->timestamp);
    mem_free(login->refusal);
    mem_free(login->elsewhere);
    pop3_drop_challenge(login);
    mem_free(login);
}

struct span pop3_name(const struct pop3_session *s)
{
    if (s->login == NULL)
        return s->base.address;
    return (struct span){ s->login->name, s->login->name_len };
}

void pop3_set_name(struct pop3_session *s, struct span name)
{
    struct pop3_login *login = s->login;
    char *copy = name.len > 0 ? mem_strn(name.at, name.len) : NULL;

    mem_free(login->name);
    login->name = copy;
    login->name_len = name.len;
}

bool pop3_may_try(struct pop3_session *s, struct span name, char network[NETWORK_TEXT_SIZE],
                  struct auth_origin *origin_r)
{
    return guard_try(pop3_service_of(s)->guard, &s->seat, conn_peer(s->base.conn), name, span_str(s->login->domain),
                     loop_now(pop3_host(s)->loop), network, origin_r);
}

const char *pop3_tls_text(const struct pop3_session *s, char out[TLS_TEXT_SIZE])
{
    const char *version = s->base.conn != NULL ? conn_tls_version(s->base.conn) : NULL;

    out[0] = '\0';
    if (version != NULL)
        snprintf(out, TLS_TEXT_SIZE, " tls=%s cipher=%s", version, conn_tls_cipher(s->base.conn));
    return out;
}

const char *pop3_mechanism_text(const struct pop3_session *s, char out[SASL_LIST_SIZE])
{
    out[0] = '\0';
    if (s->report.mechanism != MECHANISMS)
        snprintf(out, SASL_LIST_SIZE, " mechanism=%s", mechanisms[s->report.mechanism].name);
    return out;
}

void pop3_count_login(const struct pop3_session *s)
{
    const char *version = conn_tls_version(s->base.conn);

    metric_add(METRIC_LOGIN_OK, 1);
    metric_add(s->report.mechanism != MECHANISMS ? mechanisms[s->report.mechanism].metric : METRIC_MECHANISM_USER, 1);
    metric_add(version == NULL ? METRIC_TLS_NONE : strcmp(version, "TLSv1.3") == 0 ? METRIC_TLS_13 : METRIC_TLS_12, 1);
}

void pop3_keep_address(struct pop3_session *s)
{
    s->address = s->login->name;
    s->base.address = pop3_name(s);
    s->login->name = NULL;
}
