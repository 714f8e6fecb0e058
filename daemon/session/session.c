/*
 * session.c - all sessions of a protocol: their list, their ids, their end.
 *
 * Knows nothing of what they say to their clients: the row of their protocol
 * does (protocol.h).
 */
#include "daemon/session/session.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "daemon/net/passing_gate.h"

static const char *const end_names[] = {
    [END_QUIT] = "quit",
    [END_EOF] = "eof",
    [END_TIMEOUT] = "timeout",
    [END_LOST] = "lost",
    [END_DRAIN] = "drain",
    [END_BAD_COMMANDS] = "bad-commands",
    [END_ERRORS] = "errors",
    [END_EARLY_TLS] = "early-tls",
    [END_REFUSED] = "refused",
    [END_KICKED] = "kicked",
    [END_TAKEN] = "taken-over",
    [END_OLD_SERVER] = "old-server",
    [END_ERROR] = "error",
};

/* ------------------------------------------------------------------ service */

void service_init(struct service *service, const struct protocol *protocol, const struct service_host *host)
{
    service->protocol = protocol;
    service->host = *host;
    randombytes_buf(&service->next_id, sizeof service->next_id);
}

size_t service_sessions(const struct service *service)
{
    return service->count;
}

/* session_ended() does not free the service: the process does, when its loop has stopped. */
static void ask_all(struct service *service, void (*ask)(struct session *s))
{
    struct session *next;

    for (struct session *s = service->sessions; s != NULL; s = next) {
        next = s->next;
        ask(s);
    }
}

void service_drain(struct service *service)
{
    service->draining = true;
    if (service->protocol->drain != NULL)
        ask_all(service, service->protocol->drain);
}

void service_close_all(struct service *service)
{
    service->draining = service->closing = true;
    ask_all(service, service->protocol->close);
}

void service_kick(struct service *service, struct span subject,
                  void (*told)(void *arg, const char *id, struct span address), void *arg)
{
    struct session *next;

    if (service->protocol->kick == NULL)
        return;
    for (struct session *s = service->sessions; s != NULL; s = next) {
        next = s->next;
        if (!span_is_nocase(subject, span_str(s->id)) &&
            (s->address.len == 0 || !span_is_nocase(subject, s->address)))
            continue;
        told(arg, s->id, s->address);
        service->protocol->kick(s);
    }
}

/* One session less. */
static void gone(void *arg)
{
    struct service *service = arg;

    service->count--;
    if (!service->freed)
        service->host.session_ended(service->host.arg);
    else if (service->count == 0)
        service->protocol->end(service);
}

void service_free(struct service **servicep)
{
    struct service *service = *servicep;

    *servicep = NULL;
    if (service == NULL)
        return;
    service->freed = true;
    /* A hold on the service while its sessions go: the last one out frees it. */
    service->count++;
    ask_all(service, service->protocol->abandon);
    gone(service);
}

/* ----------------------------------------------------------------- sessions */

/*
 * A step by an odd number visits all of 2^64 ids, and of 2^48, before one comes
 * again, and a random start keeps workers and hosts apart: unique without a
 * system call for each session. An id is no secret.
 */
static void make_id(struct service *service, char id_r[SESSION_ID_SIZE])
{
    unsigned digits = service->protocol->id_digits;

    ASSERT(digits < SESSION_ID_SIZE);
    service->next_id += 0x9E3779B97F4A7C15ULL;
    snprintf(id_r, SESSION_ID_SIZE, "%0*llx", (int)digits,
             (unsigned long long)(service->next_id & (UINT64_MAX >> (64 - 4 * digits))));
}

/* As SIGTERM ends a session that was not passed. */
static void passer_gone(void *arg)
{
    struct session *s = arg;

    log_debug(s->id, "who passed the client has gone");
    s->closing = true;
    s->service->protocol->close(s);
}

void session_join(struct session *s, struct service *service, const struct session_entry *entry)
{
    s->service = service;
    s->passer = entry->passer;
    if (s->passer != NULL)
        passer_watch(s->passer, passer_gone, s);
    make_id(service, s->id);
    s->started = loop_now(service->host.loop);
    s->next = service->sessions;
    if (s->next != NULL)
        s->next->prev = s;
    service->sessions = s;
    service->count++;
    metric_add(service->protocol->accepted, 1);
}

/* One whose passer is to hear of it, when its descriptors are closed. */
struct passed {
    struct service *service;
    struct passer *passer;
};

static void passed_gone(void *arg)
{
    struct passed *p = arg;
    struct service *service = p->service;

    passer_free(&p->passer);
    mem_free(p);
    gone(service);
}

void session_leave(struct session *s, uint64_t last_word_ms)
{
    struct service *service = s->service;
    struct conn *conn = s->conn;
    struct passed *passed = NULL;

    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        service->sessions = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    if (s->passer != NULL) {
        passer_watch(s->passer, NULL, NULL);
        passed = mem_alloc(sizeof *passed);
        *passed = (struct passed){ service, s->passer };
    }
    mem_free(s);
    if (conn != NULL && last_word_ms > 0) {
        conn_finish(&conn, last_word_ms, passed != NULL ? passed_gone : gone,
                    passed != NULL ? (void *)passed : service);
        return;
    }
    if (conn != NULL)
        conn_free(&conn);
    if (passed != NULL)
        passed_gone(passed);
    else
        gone(service);
}

void session_note_octets(struct session *s)
{
    if (s->conn == NULL)
        return;
    s->octets_in = conn_octets_in(s->conn);
    s->octets_out = conn_octets_out(s->conn) + conn_queued(s->conn);
}

const char *session_peer(const struct session *s)
{
    return s->conn != NULL ? conn_peer(s->conn) : "gone";
}

const char *session_local(const struct session *s)
{
    return s->conn != NULL ? conn_local(s->conn) : "gone";
}

void session_log_end(const struct session *s, enum log_level level, const char *fmt, ...)
{
    const char *wrong = s->conn != NULL ? conn_tls_error(s->conn) : NULL;
    uint64_t ms = loop_now(s->service->host.loop) - s->started;
    char line[1280];
    va_list args;

    if (!log_wants(level))
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    (level == LOG_LEVEL_DEBUG ? log_debug : log_info)(
        s->id, "%s in=%llu out=%llu time=%llu.%03llu end=%s%s%s%s", line, (unsigned long long)s->octets_in,
        (unsigned long long)s->octets_out, (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000),
        end_names[s->end], wrong != NULL ? " tls-error=\"" : "", wrong != NULL ? wrong : "", wrong != NULL ? "\"" : "");
}
