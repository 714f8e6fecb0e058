/*
 * capa.c - what is offered: CAPA (RFC 2449), SASL mechanisms, APOP's timestamp.
 *
 * A capability that is announced has its row here. What CAPA says but for SASL
 * is made once for all sessions; after a login it is that of its mailbox.
 */
#include "daemon/pop3/commands.h"

#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "auth/login.h"
#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/net/conn.h"
#include "daemon/pop3/login.h"

/* ---------------------------------------------------------------- the offer */

unsigned pop3_offered(const struct pop3_session *s)
{
    const struct pop3_service *service = pop3_service_of(s);
    unsigned char binding[CONN_BINDING_MAX];
    unsigned offered = 0;

    for (unsigned m = 0; m < MECHANISMS; m++) {
        bool possible = s->may_login;

        if ((service->mechanisms & MECH_BIT(m)) == 0)
            continue;
        if (mechanisms[m].flags & MECH_CERTIFICATE)
            possible = conn_client_identity(s->base.conn) != NULL;
        else if (mechanisms[m].flags & MECH_TIMESTAMP)
            possible = s->login != NULL && s->login->timestamp != NULL;
        else if (mechanisms[m].flags & MECH_BINDS)
            possible = conn_channel_binding(s->base.conn, CONN_TLS_EXPORTER, binding) > 0;
        else if (!(mechanisms[m].flags & MECH_SENDS_PASSWORD))
            possible = s->may_login || pop3_settings(s)->sasl_without_tls;
        if (possible)
            offered |= MECH_BIT(m);
    }
    return offered;
}

const char *pop3_sasl_list(unsigned offered, char out[SASL_LIST_SIZE])
{
    size_t len = 0;

    out[0] = '\0';
    for (unsigned m = 0; m < MECHANISMS; m++)
        if ((offered & MECH_BIT(m)) != 0 && !(mechanisms[m].flags & MECH_TIMESTAMP))
            len += (size_t)snprintf(out + len, SASL_LIST_SIZE - len, " %s", mechanisms[m].name);
    ASSERT(len < SASL_LIST_SIZE);
    return out;
}

/* Another one for every connection, and none that somebody could guess (P02). */
void pop3_make_timestamp(struct pop3_session *s)
{
    const struct pop3_service *service = pop3_service_of(s);
    unsigned char random[16];
    char hex[2 * sizeof random + 1], text[128];

    if (!(service->mechanisms & mechanisms_with(MECH_TIMESTAMP)) ||
        !(s->may_login || pop3_settings(s)->sasl_without_tls))
        return;
    randombytes_buf(random, sizeof random);
    snprintf(text, sizeof text, "<%s.%lld@%s>", sodium_bin2hex(hex, sizeof hex, random, sizeof random),
             (long long)time(NULL), service->host_name);
    s->login->timestamp = mem_str(text);
}

/* --------------------------------------------------------------------- CAPA */

/* RFC 2449 section 6.7: before the login the shortest that anybody has, and that it differs. */
static void add_expire(struct buf *b, const struct pop3_settings *settings, const struct pop3_session *s)
{
    const char *expire = settings->pop3_expire;
    uint64_t days = 0;
    bool user = false;
    int is_days = expire[0] != '\0' ? pop3_parse_expire(expire, &days, &user) : -1;

    if (s != NULL && s->expire != AUTH_UNSET)
        buf_addf(b, "EXPIRE %d\r\n", (int)s->expire);
    else if (is_days == 0 || (s != NULL && user))
        buf_add_str(b, "EXPIRE NEVER\r\n");
    else if (is_days == 1)
        buf_addf(b, "EXPIRE %llu%s\r\n", (unsigned long long)days, user ? " USER" : "");
}

/* RFC 2449 section 6.5: the longest, in the same way. */
static void add_login_delay(struct buf *b, const struct pop3_settings *settings, const struct pop3_session *s)
{
    int64_t all = settings->pop3_login_delay / 1000, user = settings->pop3_login_delay_user / 1000;

    if (s != NULL && s->login_delay != AUTH_UNSET)
        all = s->login_delay;
    if (s == NULL && user > 0)
        buf_addf(b, "LOGIN-DELAY %lld USER\r\n", (long long)(user > all ? user : all));
    else if (all > 0)
        buf_addf(b, "LOGIN-DELAY %lld\r\n", (long long)all);
}


static void add_implementation(struct buf *b, const struct pop3_settings *settings, const struct pop3_session *s)
{
    (void)s;
    if (settings->pop3_implementation)
        buf_add_str(b, "IMPLEMENTATION Postern\r\n");
}

struct capability {
    const char *line;       /* or what adds it; s is NULL before the login */
    void (*add)(struct buf *b, const struct pop3_settings *settings, const struct pop3_session *s);
    unsigned kind;          /* CAPA_USER, CAPA_STLS: only where that is possible */
    bool logins;            /* only where the times of logins are known */
};

static const struct capability capabilities[] = {
    { .line = "TOP" },
    { .line = "UIDL" },
    { .line = "USER", .kind = CAPA_USER },
    { .line = "RESP-CODES" },
    { .line = "AUTH-RESP-CODE" },
    { .line = "PIPELINING" },
    { .line = "STLS", .kind = CAPA_STLS },
    { .add = add_expire },
    { .add = add_login_delay, .logins = true },
    { .add = add_implementation },
};

/* All but SASL, which depends on more. */
static char *make(const struct service_host *host, unsigned kind, const struct pop3_session *s, size_t *len_r)
{
    struct buf b = BUF_EMPTY;
    struct span text;

    buf_add_str(&b, "+OK capability list follows\r\n");
    for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++) {
        const struct capability *c = &capabilities[i];

        if ((c->kind & ~kind) != 0 || (c->logins && host->logins == NULL))
            continue;
        if (c->add != NULL)
            c->add(&b, host->settings, s);
        else
            buf_addf(&b, "%s\r\n", c->line);
    }
    text = buf_span(&b);
    char *made = mem_strn(text.at, text.len);
    *len_r = text.len;
    buf_free(&b);
    return made;
}

void pop3_capa_make(struct pop3_service *service)
{
    for (unsigned kind = 0; kind < CAPA_KINDS; kind++)
        service->capa[kind].text = make(&service->base.host, kind, NULL, &service->capa[kind].len);
}

void pop3_capa_free(struct pop3_service *service)
{
    for (unsigned kind = 0; kind < CAPA_KINDS; kind++)
        mem_free(service->capa[kind].text);
}

/* In both states, and the same in both, but for STLS: that means "now" (RFC 2595 section 4; C06). */
enum outcome pop3_cmd_capa(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);
    unsigned kind = (s->may_login ? CAPA_USER : 0u) | (s->login != NULL && s->login->tls != NULL ? CAPA_STLS : 0u);
    const struct capa *capa = &pop3_service_of(s)->capa[kind];
    char list[SASL_LIST_SIZE], line[SASL_LIST_SIZE + sizeof "SASL\r\n.\r\n"];

    (void)args;
    pop3_sasl_list(pop3_offered(s), list);
    if (s->state == POP3_AUTHORIZATION) {
        pop3_ready_reply(s, capa->text, capa->len);
    } else {
        size_t own_len;
        char *own = make(pop3_host(s), kind, s, &own_len);

        pop3_ready_reply(s, own, own_len);
        mem_free(own);
    }
    /* No SASL line where there is no mechanism (C08). */
    int len = snprintf(line, sizeof line, list[0] != '\0' ? "SASL%s\r\n.\r\n" : "%s.\r\n", list);
    conn_write(s->base.conn, line, (size_t)len);
    return CMD_DONE;
}
