/*
 * service.c - all POP3 sessions of a worker, and their settings.
 *
 * Owns the list of sessions and what they share: the reply to CAPA, session
 * ids. Never touches a connection or the protocol: session.c does.
 */
#include "daemon/pop3/session.h"

#include <stdio.h>
#include <unistd.h>

#include <sodium.h>

#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"
#include "daemon/base/num.h"

static const struct option rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_T_##type, def, min, max, text, offsetof(struct pop3_settings, field) },
#include "daemon/pop3/options.def"
#undef OPTION
};
const struct option_table pop3_options = { rows, sizeof rows / sizeof rows[0], sizeof(struct pop3_settings) };

enum { STANDARD_IDLE = 600000, EXPIRE_MAX = 99999 };

/* 1 a number of days, 0 "never", -1 neither. */
static int parse_expire(const char *text, uint64_t *days_r, bool *user_r)
{
    static const struct span user = { " user", 5 };
    struct span expire = span_str(text);

    *user_r =
        expire.len > user.len && span_is_nocase((struct span){ expire.at + expire.len - user.len, user.len }, user);
    if (*user_r)
        expire.len -= user.len;
    if (span_is_nocase(expire, SPAN_OF("never")))
        return 0;
    return num_parse(expire, EXPIRE_MAX, days_r) == 1 ? 1 : -1;
}

int pop3_settings_check(const struct pop3_settings *settings, options_problem *problem, void *arg, const char *file)
{
    int problems = 0;
    char *error = NULL;
    uint64_t days;
    bool user;

    if (settings->pop3_idle < STANDARD_IDLE && !settings->pop3_idle_below_standard) {
        problem(arg, file, 0, "pop3_idle is below the 10 minutes that RFC 1939 requires; "
                              "set pop3_idle_below_standard = true to allow that");
        problems++;
    }
    if (settings->pop3_expire[0] != '\0' && parse_expire(settings->pop3_expire, &days, &user) < 0) {
        problem(
            arg, file, 0,
            "pop3_expire must be empty, \"never\" or a number of days up to 99999, followed by \" user\""
            " where mailboxes differ");
        problems++;
    }
    if (settings->pop3_login_delay % 1000 != 0 || settings->pop3_login_delay_user % 1000 != 0) {
        problem(
            arg, file, 0,
            "pop3_login_delay and pop3_login_delay_user must be whole seconds, as CAPA announces them in seconds");
        problems++;
    }
    struct network_list *exempt = network_list_new(settings->pop3_limit_exempt, &error);
    if (exempt == NULL) {
        char text[256];

        snprintf(text, sizeof text, "pop3_limit_exempt: %.200s", error);
        problem(arg, file, 0, text);
        problems++;
        mem_drop(&error);
    }
    network_list_free(&exempt);
    return problems;
}

/* It goes into the greeting as it is. */
static bool is_host_name(const char *name)
{
    return name[0] != '\0' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] == '\0';
}

/* RFC 2449 section 6.7: before the login the shortest that anybody has, and that it differs. */
static void add_expire(struct buf *b, const char *expire, const struct pop3_session *s)
{
    uint64_t days = 0;
    bool user = false;
    int is_days = expire[0] != '\0' ? parse_expire(expire, &days, &user) : -1;

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

/* All but SASL, which depends on more. s is NULL before the login. */
static char *make_capa(const struct pop3_service *service, unsigned kind, const struct pop3_session *s, size_t *len_r)
{
    const struct pop3_settings *settings = service->host.settings;
    struct buf b = BUF_EMPTY;
    struct span text;

    buf_add_str(&b, "+OK capability list follows\r\n"
                    "TOP\r\nUIDL\r\n");
    if (kind & CAPA_USER)
        buf_add_str(&b, "USER\r\n");
    buf_add_str(&b, "RESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
    if (kind & CAPA_STLS)
        buf_add_str(&b, "STLS\r\n");
    add_expire(&b, settings->pop3_expire, s);
    if (service->host.logins != NULL)
        add_login_delay(&b, settings, s);
    if (settings->pop3_implementation)
        buf_add_str(&b, "IMPLEMENTATION Postern\r\n");
    text = buf_span(&b);
    char *made = mem_strn(text.at, text.len);
    *len_r = text.len;
    buf_free(&b);
    return made;
}

char *pop3_own_capa(const struct pop3_session *s, unsigned kind, size_t *len_r)
{
    return make_capa(s->service, kind, s, len_r);
}

struct pop3_service *pop3_service_new(const struct pop3_host *host)
{
    struct pop3_service *service = mem_zalloc(sizeof *service);

    service->host = *host;
    service->mechanisms = host->settings->sasl_mechanisms;
    if (gethostname(service->host_name, sizeof service->host_name) < 0 || !is_host_name(service->host_name))
        snprintf(service->host_name, sizeof service->host_name, "localhost");
    randombytes_buf(&service->next_id, sizeof service->next_id);
    for (unsigned kind = 0; kind < CAPA_KINDS; kind++)
        service->capa[kind].text = make_capa(service, kind, NULL, &service->capa[kind].len);
    service->guard =
        guard_new(host->limits, host->limits_area, host->settings, host->account_failures, host->failure_time);
    return service;
}

/*
 * A step by an odd number visits all of 2^48 ids before one comes again, and
 * a random start keeps workers and hosts apart: unique without a system call
 * for each session. An id is no secret.
 */
void pop3_next_id(struct pop3_service *service, char id_r[13])
{
    service->next_id += 0x9E3779B97F4BULL;
    snprintf(id_r, 13, "%012llx", (unsigned long long)(service->next_id & 0xFFFFFFFFFFFFULL));
}

void pop3_session_gone(struct pop3_service *service)
{
    void (*ended)(void *arg) = service->host.session_ended;

    service->count--;
    if (!service->freed) {
        ended(service->host.arg);
    } else if (service->count == 0) {
        for (unsigned kind = 0; kind < CAPA_KINDS; kind++)
            mem_free(service->capa[kind].text);
        guard_free(&service->guard);
        mem_free(service);
    }
}

size_t pop3_service_sessions(const struct pop3_service *service)
{
    return service->count;
}

void pop3_service_kick(struct pop3_service *service, struct span subject,
                       void (*told)(void *arg, const char *id, struct span address), void *arg)
{
    struct pop3_session *s, *next;

    /* session_ended() does not free the service: the worker does, when its loop has stopped. */
    for (s = service->sessions; s != NULL; s = next) {
        struct span address = { s->name, s->state != POP3_AUTHORIZATION ? s->name_len : 0 };

        next = s->next;
        if (!span_is_nocase(subject, span_str(s->id)) && (address.len == 0 || !span_is_nocase(subject, address)))
            continue;
        told(arg, s->id, address);
        pop3_session_over(s, END_KICKED);
    }
}

void pop3_service_close_all(struct pop3_service *service)
{
    struct pop3_session *s, *next;

    service->closing = true;
    /* session_ended() of the last one may free the service: the list is not looked at after it. */
    for (s = service->sessions; s != NULL; s = next) {
        next = s->next;
        pop3_session_drain(s);
    }
}

void pop3_service_free(struct pop3_service **service)
{
    struct pop3_service *svc = *service;
    struct pop3_session *s, *next;

    *service = NULL;
    svc->freed = true;
    /* A hold on the service while its sessions go: the last one out frees it. */
    svc->count++;
    for (s = svc->sessions; s != NULL; s = next) {
        next = s->next;
        pop3_session_over(s, END_DRAIN);
    }
    pop3_session_gone(svc);
}
