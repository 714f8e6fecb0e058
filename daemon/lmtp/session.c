/*
 * session.c - the life of an LMTP session: greeting, line loop, end; and the
 * service, which is all of them.
 *
 * Owns the connection. The next command is looked at only when the last one is
 * answered, so what a client can make us keep is bounded by one message. Must
 * never end a session in the middle of a message because the service is told
 * to stop.
 */
#include "daemon/lmtp/session.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/traced.h"
#include "daemon/net/conn.h"
#include "daemon/net/fd.h"
#include "daemon/net/loop.h"
#include "daemon/net/proxy.h"
#include "storage/deliver/deliver.h"
#include "storage/deliver/spool.h"

enum {
    GREETING_PATIENCE_MS = 5000,    /* for the first lane: a process that has just started has none */
    GREETING_LOOK_MS = 20,
    LAST_WORD_MS = 10000,
    UNTOLD_MS = 60000,
};

static const char *const end_names[] = {
    [LMTP_QUIT] = "quit", [LMTP_EOF] = "eof", [LMTP_TIMEOUT] = "timeout", [LMTP_LOST] = "lost", [LMTP_DRAIN] = "drain",
    [LMTP_ERRORS] = "errors", [LMTP_REFUSED] = "refused",
};

static size_t on_input(void *owner, struct span in);
static void on_drained(void *owner);
static void on_end(void *owner, enum conn_end why);

static const struct conn_protocol protocol = { .input = on_input, .drained = on_drained, .end = on_end };

/* -------------------------------------------------------------------- trace */

bool lmtp_is_traced(const struct lmtp_session *s)
{
    return s->conn != NULL && traced_wanted(conn_peer(s->conn), SPAN_OF(""), loop_now(s->service->host.loop));
}

static void trace(const struct lmtp_session *s, char who, struct span text)
{
    while (text.len > 0 && (text.at[text.len - 1] == '\n' || text.at[text.len - 1] == '\r'))
        text.len--;
    if (lmtp_is_traced(s))
        log_info(s->id, "trace %c: %s", who, log_text(text).s);
}

/* ------------------------------------------------------------------ replies */

static void replied(struct lmtp_session *s)
{
    ASSERT(s->owed > 0);
    s->owed--;
}

/*
 * To what a sender wrote and his mail server passed on: twenty addresses of a list that are none
 * are no reason to close.
 */
static bool is_of_sender(enum lmtp_reply_name name)
{
    return name == REPLY_BAD_SENDER || name == REPLY_BAD_RCPT || name == REPLY_BAD_RCPT_WHY;
}

void lmtp_say_text(struct lmtp_session *s, const char *text)
{
    replied(s);
    trace(s, 'S', span_str(text));
    conn_write(s->conn, text, strlen(text));
}

static void write_reply(struct lmtp_session *s, enum lmtp_reply_name name, const char *a, const char *b)
{
    struct buf line = BUF_EMPTY;

    lmtp_reply_put(&line, name, a, b);
    trace(s, 'S', buf_span(&line));
    conn_write(s->conn, line.data, line.len);
    buf_free(&line);
}

void lmtp_say_unasked(struct lmtp_session *s, enum lmtp_reply_name name)
{
    write_reply(s, name, NULL, NULL);
}

void lmtp_say(struct lmtp_session *s, enum lmtp_reply_name name, const char *a, const char *b)
{
    const char *code = lmtp_replies[name].code;

    replied(s);
    /* 50x and 555: not a word of a mail server. What it cannot know (550, 552 ...) does not count. */
    if (((code[0] == '5' && code[1] == '0') || strcmp(code, "555") == 0) && !is_of_sender(name)) {
        if (++s->bad >= (unsigned)s->service->host.settings->lmtp_bad_commands) {
            name = REPLY_ERRORS;
            lmtp_end(s, LMTP_ERRORS);
        }
    }
    write_reply(s, name, a, b);
}

/*
 * A client that misses a reply waits for ever, and one too many it takes for that to its next
 * command: refused as mail, or lost.
 */
static bool all_replied(const struct lmtp_session *s)
{
    switch (s->state) {
    case LMTP_WAITING:
    case LMTP_START:
    case LMTP_READY:
        return s->owed == 0;
    case LMTP_MAIL:
    case LMTP_RESOLVING:
        return s->owed == s->pending_count;
    case LMTP_DATA:
    case LMTP_SPOOLING:
    case LMTP_STORING:
        return s->owed == s->recipient_count;
    case LMTP_CHUNK:
        return s->owed == lmtp_chunk_replies(s);
    }
    return false;
}

struct lmtp_transaction_id lmtp_transaction_id(const struct lmtp_session *s)
{
    struct lmtp_transaction_id id;
    snprintf(id.s, sizeof id.s, "%s.%u", s->id, s->number);
    return id;
}

/* ---------------------------------------------------------------------- end */

static void gone(struct lmtp_service *service)
{
    service->count--;
    service->host.session_ended(service->host.arg);
}

static void closed(void *arg)
{
    gone(arg);
}

/* As in POP3: what probes and health checks do is of no interest. */
static void log_end(const struct lmtp_session *s)
{
    enum log_level level = s->noteworthy || s->end == LMTP_ERRORS ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
    uint64_t ms = loop_now(s->service->host.loop) - s->started;
    char line[1024];

    if (!log_wants(level))
        return;
    snprintf(
        line, sizeof line,
        "lmtp session peer=%s local=%s lhlo=%s messages=%llu deliveries=%llu sql-time=%llu.%03llu"
        " in=%llu out=%llu time=%llu.%03llu end=%s",
        s->conn != NULL ? conn_peer(s->conn) : "gone", s->conn != NULL ? conn_local(s->conn) : "gone",
        log_text((struct span){ s->lhlo != NULL ? s->lhlo : "", s->lhlo_len }).s, (unsigned long long)s->messages,
        (unsigned long long)s->deliveries, (unsigned long long)(s->sql_ms / 1000),
        (unsigned long long)(s->sql_ms % 1000), s->conn != NULL ? (unsigned long long)conn_octets_in(s->conn) : 0,
        s->conn != NULL ? (unsigned long long)(conn_octets_out(s->conn) + conn_queued(s->conn)) : 0,
        (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000), end_names[s->end]);
    if (level == LOG_LEVEL_INFO)
        log_info(s->id, "%s", line);
    else
        log_debug(s->id, "%s", line);
}

static void session_free(struct lmtp_session *s)
{
    struct lmtp_service *service = s->service;
    struct conn *conn = s->conn;
    bool finish = conn != NULL && s->end != LMTP_LOST;

    log_end(s);
    if (s->job != NULL)
        deliver_forget(s->job);
    if (s->timer != NULL)
        timer_free(&s->timer);
    lmtp_reset(s);
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        service->sessions = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    mem_free(s->recipients);
    mem_free(s->mailboxes);
    mem_free(s->pending);
    mem_free(s->lhlo);
    mem_free(s);
    if (finish) {
        conn_finish(&conn, LAST_WORD_MS, closed, service);
        return;
    }
    if (conn != NULL)
        conn_free(&conn);
    gone(service);
}

void lmtp_end(struct lmtp_session *s, enum lmtp_end end)
{
    s->end = end;
    s->ending = true;
}

/* From outside of a command. A message that is being stored is waited for, to log what became of it. */
static void session_over(struct lmtp_session *s, enum lmtp_end end)
{
    s->end = end;
    if (s->state == LMTP_STORING) {
        s->ending = true;
        if (end == LMTP_LOST && s->conn != NULL)
            conn_free(&s->conn);
        return;
    }
    session_free(s);
}

/* The service is told to stop, and this session is not at a message: 421. */
static void stop_between(struct lmtp_session *s)
{
    switch (s->state) {
    case LMTP_WAITING:
    case LMTP_START:
    case LMTP_READY:
        break;
    case LMTP_MAIL:
        if (s->chunks && s->recipient_count > 0)
            return;
        break;
    case LMTP_DATA:
    case LMTP_CHUNK:
    case LMTP_RESOLVING:
    case LMTP_SPOOLING:
    case LMTP_STORING:
        return;
    }
    if (!s->service->closing || s->ending)
        return;
    lmtp_say_unasked(s, REPLY_STOPPING);
    lmtp_end(s, LMTP_DRAIN);
}

void lmtp_rest(struct lmtp_session *s, enum lmtp_state state)
{
    s->state = state;
    conn_pause(s->conn);
    /* It is we who are silent. */
    conn_set_timeout(s->conn, 0);
}

void lmtp_go_on(struct lmtp_session *s, enum lmtp_state to)
{
    s->state = to;
    stop_between(s);
    if (s->ending) {
        session_free(s);
        return;
    }
    ASSERT(all_replied(s));
    conn_set_timeout(s->conn, (uint64_t)s->service->host.settings->lmtp_idle);
    if (!conn_full(s->conn))
        conn_resume(s->conn);
}

/* --------------------------------------------------------------------- input */

/* One line, or none: how many octets are done with. False in *more_r when there is nothing to do with the rest now. */
static size_t one_line(struct lmtp_session *s, struct span in, bool *more_r)
{
    struct line_reader before = s->line;
    struct span line, rest = in;
    enum line_kind kind = line_next(&s->line, LINE_ENDS_CRLF, LMTP_PATH_LIMIT, &rest, &line);

    *more_r = kind != LINE_MORE;
    if (kind == LINE_MORE)
        return in.len - rest.len;
    if (s->pending_count > 0 &&
        (kind != LINE_COMMAND || !lmtp_is_rcpt(line) || s->pending_count == LMTP_BATCH)) {
        /* The replies to those before come first, perhaps from the database: then this line is left for later. */
        lmtp_answer_pending(s);
        if (s->state == LMTP_RESOLVING || s->ending) {
            s->line = before;
            *more_r = false;
            return 0;
        }
    }
    s->owed++;
    switch (kind) {
    case LINE_MORE:
        break;
    case LINE_COMMAND:
    case LINE_NUL:
        trace(s, 'C', line);
        lmtp_command(s, line);
        break;
    case LINE_LONG:
        if (lmtp_is_bdat(line))
            lmtp_bdat_refused(s, REPLY_TOO_LONG);
        else
            lmtp_say(s, REPLY_TOO_LONG, NULL, NULL);
        break;
    case LINE_ENDLESS:
        lmtp_say(s, REPLY_ERRORS, NULL, NULL);
        lmtp_end(s, LMTP_ERRORS);
        break;
    }
    return in.len - rest.len;
}

static size_t on_input(void *owner, struct span in)
{
    struct lmtp_session *s = owner;
    size_t used = 0;
    bool more = true;

    while (more && used < in.len && !s->ending && !conn_paused(s->conn)) {
        struct span rest = { in.at + used, in.len - used };
        if (conn_full(s->conn))
            conn_pause(s->conn);    /* until it is drained */
        else if (s->state == LMTP_DATA || s->state == LMTP_CHUNK)
            used += lmtp_take(s, rest);
        else
            used += one_line(s, rest, &more);
        ASSERT(s->ending || all_replied(s));
    }
    if (s->pending_count > 0 && !s->ending && s->state == LMTP_MAIL)
        lmtp_answer_pending(s);
    stop_between(s);
    if (s->ending && s->state != LMTP_STORING) {
        session_free(s);
        return 0;
    }
    return used;
}

static void on_drained(void *owner)
{
    struct lmtp_session *s = owner;

    if (s->state != LMTP_RESOLVING && s->state != LMTP_SPOOLING && s->state != LMTP_STORING &&
        s->state != LMTP_WAITING && !s->behind)
        conn_resume(s->conn);
}

static void on_end(void *owner, enum conn_end why)
{
    struct lmtp_session *s = owner;

    switch (why) {
    case CONN_EOF:
        session_over(s, LMTP_EOF);
        return;
    case CONN_LOST:
        session_over(s, LMTP_LOST);
        return;
    case CONN_TIMEOUT:
        lmtp_say_unasked(s, REPLY_IDLE);
        session_over(s, LMTP_TIMEOUT);
        return;
    }
}

/* --------------------------------------------------------------------- start */

static void greet(struct lmtp_session *s)
{
    struct buf line = BUF_EMPTY;

    buf_addf(&line, "220 %s Postern LMTP ready\r\n", s->service->hostname);
    conn_write(s->conn, line.data, line.len);
    buf_free(&line);
    s->state = LMTP_START;
}

/* RFC 5321 section 3.1: a server that cannot serve says so in place of the greeting. */
static void look_for_lane(void *arg)
{
    struct lmtp_session *s = arg;

    if (deliver_lanes_up(s->service->host.deliver) > 0) {
        timer_free(&s->timer);
        greet(s);
        conn_resume(s->conn);
    } else if (loop_now(s->service->host.loop) - s->started > GREETING_PATIENCE_MS) {
        s->noteworthy = true;
        lmtp_say_unasked(s, REPLY_NO_DATABASE);
        session_over(s, LMTP_REFUSED);
    } else {
        timer_set(s->timer, GREETING_LOOK_MS);
    }
}

/*
 * A proxy that names no client checks our health, or lets in a mail server that
 * it should have named: one warning a minute is enough for that.
 */
static void log_not_allowed(const struct lmtp_session *s, bool named)
{
    struct lmtp_service *service = s->service;
    uint64_t now = loop_now(service->host.loop);

    if (fd_peer_has_gone(conn_peer(s->conn)) || (!named && now < service->untold_until)) {
        log_debug(s->id, "lmtp peer=%s not allowed to deliver here", conn_peer(s->conn));
        return;
    }
    if (!named)
        service->untold_until = now + UNTOLD_MS;
    log_warning(s->id, "lmtp peer=%s not allowed to deliver here%s", conn_peer(s->conn),
                named ? "" : ": its PROXY header names no client; not logged again for a minute");
}

void lmtp_session_start(struct lmtp_service *service, int in, int out, const struct trust *trust,
                        const struct proxy_origin *origin)
{
    struct lmtp_session *s = mem_zalloc(sizeof *s);
    unsigned char id[8];
    bool allowed = origin != NULL && origin->known ? trust_allows_peer(trust, origin->peer) : trust_allows(trust, in);

    s->service = service;
    randombytes_buf(id, sizeof id);
    sodium_bin2hex(s->id, sizeof s->id, id, sizeof id);
    s->started = loop_now(service->host.loop);
    s->refusal = REPLY_COUNT;
    s->next = service->sessions;
    if (s->next != NULL)
        s->next->prev = s;
    service->sessions = s;
    service->count++;
    metric_add(METRIC_LMTP_SESSIONS, 1);

    s->conn = conn_new(service->host.loop, in, out, &protocol, s);
    if (origin != NULL)
        conn_set_origin(s->conn, origin);
    conn_set_timeout(s->conn, (uint64_t)service->host.settings->lmtp_idle);
    if (!allowed) {
        log_not_allowed(s, origin == NULL || origin->known);
        lmtp_say_unasked(s, REPLY_NOT_ALLOWED);
        session_over(s, LMTP_REFUSED);
    } else if (service->count > (size_t)service->host.settings->lmtp_sessions) {
        s->noteworthy = true;
        lmtp_say_unasked(s, REPLY_CROWDED);
        session_over(s, LMTP_REFUSED);
    } else if (deliver_lanes_up(service->host.deliver) == 0) {
        conn_pause(s->conn);
        s->timer = timer_new(service->host.loop, look_for_lane, s);
        timer_set(s->timer, GREETING_LOOK_MS);
    } else {
        greet(s);
    }
}

/* ------------------------------------------------------------------- service */

struct lmtp_service *lmtp_service_new(const struct lmtp_host *host)
{
    struct lmtp_service *service = mem_zalloc(sizeof *service);
    const struct lmtp_settings *settings = host->settings;

    service->host = *host;
    service->space = spool_space_new(settings->lmtp_spool_dir, (uint64_t)settings->lmtp_spool_memory,
                                     (uint64_t)settings->lmtp_spool_size);
    spool_space_beside(service->space, host->loop);
    service->over_quota_permanent = settings->lmtp_over_quota == LMTP_PERMANENT;
    service->disabled_permanent = settings->lmtp_disabled == LMTP_PERMANENT;
    service->refuse_list = settings->lmtp_list_over_quota == LMTP_LIST_REFUSE;
    service->reject_bare = settings->bare_newline == LMTP_BARE_REJECT;
    service->reject_nul = settings->nul_octets == LMTP_NUL_REJECT;
    if (settings->lmtp_hostname[0] != '\0')
        snprintf(service->hostname, sizeof service->hostname, "%s", settings->lmtp_hostname);
    else if (gethostname(service->hostname, sizeof service->hostname - 1) != 0)
        snprintf(service->hostname, sizeof service->hostname, "localhost");
    return service;
}

void lmtp_service_free(struct lmtp_service **servicep)
{
    struct lmtp_service *service = *servicep;

    *servicep = NULL;
    if (service == NULL)
        return;
    while (service->sessions != NULL) {
        struct lmtp_session *s = service->sessions;
        if (s->state == LMTP_STORING)
            log_warning(lmtp_transaction_id(s).s, "closed with commit outcome unknown");
        s->end = LMTP_LOST;
        session_free(s);
    }
    spool_space_free(&service->space);
    mem_free(service);
}

size_t lmtp_service_sessions(const struct lmtp_service *service)
{
    return service->count;
}

void lmtp_service_close_all(struct lmtp_service *service)
{
    struct lmtp_session *next;

    service->closing = true;
    for (struct lmtp_session *s = service->sessions; s != NULL; s = next) {
        next = s->next;
        stop_between(s);
        if (s->ending && s->state != LMTP_STORING)
            session_free(s);
    }
}
