/*
 * relay.c - one connection to an old server, for one client (see relay.h).
 *
 * Owns that connection. Must never send a password before the server's certificate was verified, unless its
 * row allows that; nor say QUIT for a client who did not; nor keep a password.
 */
#include "daemon/pop3/relay.h"

#include <stdarg.h>
#include <sodium.h>
#include <stdio.h>

#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"
#include "daemon/base/secret.h"
#include "daemon/net/conn.h"
#include "daemon/net/dial.h"
#include "daemon/net/fd.h"
#include "daemon/net/loop.h"
#include "daemon/net/proxy_put.h"
#include "daemon/net/tls_out.h"

enum {
    BASE64 = sodium_base64_VARIANT_ORIGINAL,
    KEEPALIVE_MS = 60000, UNACKED_MS = 60000,   /* of an old server whose host has gone */
    PASS_MAX = 240,         /* octets of an argument: RFC 2449 section 4 has 255 for a line */
    TAIL = 7,               /* "\nQUIT\r\n" */
    LAST_WORDS_MS = 60000,  /* between octets that a client takes which said QUIT and sends no more */
};

struct relay {
    struct loop *loop;
    const struct relay_calls *calls;
    void *owner;
    bool (*password)(void *owner, struct span *password_r);
    void (*traced)(void *owner, bool to_server, size_t octets);

    char *host, *name, *peer, *local;
    uint16_t port;
    enum elsewhere_tls tls_mode;
    enum elsewhere_tells tells;
    struct tls_out *tls;
    char where[ELSEWHERE_HOST_MAX + 16];

    struct dial *dial;
    struct conn *conn;              /* NULL: none yet */
    struct timer *timer;            /* up to the answer; then, once the client has said its last, to the end */
    struct timer *soon;             /* TLS begins when the answer to STLS was consumed */
    struct line_reader line;
    struct relay_talk talk;
    bool answered;
    bool ended;
    char why[256];

    struct conn *client;            /* joined */
    char tail[TAIL];                /* of what the client has sent: was QUIT the last of it? */
    bool client_eof;
    uint64_t taken;                 /* octets that the client had taken when the timer was set then */
    bool answers;                   /* the old server has said whole lines since the client has said something */
};

/* ----------------------------------------------------------------- the answer */

static void answer(struct relay *r, enum relay_answer with)
{
    if (r->answered)
        return;
    r->answered = true;
    timer_stop(r->timer);
    r->calls->answered(r->owner, with);
}

__attribute__((format(printf, 2, 3)))
static void away(struct relay *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(r->why, sizeof r->why, fmt, ap);
    va_end(ap);
    answer(r, RELAY_AWAY);
}

static const char *const steps[] = {
    [STEP_GREETING] = "greeting", [STEP_STLS] = "STLS", [STEP_XCLIENT] = "XCLIENT", [STEP_CAPA] = "CAPA",
    [STEP_CAPA_LIST] = "CAPA", [STEP_AUTH] = "AUTH", [STEP_RESPONSE] = "AUTH", [STEP_USER] = "USER",
    [STEP_PASS] = "PASS", [STEP_OVER] = "end",
};

/* -------------------------------------------------------------- what is said */

static void say(struct relay *r, const char *text)
{
    conn_write(r->conn, text, strlen(text));
}

static void said(void *arg)
{
    struct buf *line = arg;

    buf_wipe(line);
    mem_free(line);
}

/* A line with a password, or what it can be read from: overwritten when it has gone. */
static void say_secret(struct relay *r, struct buf *line)
{
    buf_add_str(line, "\r\n");
    conn_write_ref(r->conn, buf_span(line).at, buf_left(line), said, line);
}

static struct buf *line_new(size_t room)
{
    struct buf *line = mem_zalloc(sizeof *line);

    (void)buf_reserve(line, room + 3);      /* it must not move: what is left behind is not wiped */
    return line;
}

/* False: there is none, or no line can have it. */
static bool say_response(struct relay *r)
{
    struct span password, name = span_str(r->name);
    struct buf message = BUF_EMPTY;
    struct buf *line;

    if (!r->password(r->owner, &password) || memchr(password.at, '\0', password.len) != NULL)
        return false;
    /* No other identity than that of the name (RFC 4616). */
    (void)buf_reserve(&message, name.len + password.len + 3);
    buf_add(&message, "\0", 1);
    buf_add(&message, name.at, name.len);
    buf_add(&message, "\0", 1);
    buf_add(&message, password.at, password.len);
    line = line_new(sodium_base64_encoded_len(buf_left(&message), BASE64));
    sodium_bin2base64(buf_reserve(line, 0), sodium_base64_encoded_len(buf_left(&message), BASE64),
                      (const unsigned char *)buf_span(&message).at, buf_left(&message), BASE64);
    buf_commit(line, sodium_base64_encoded_len(buf_left(&message), BASE64) - 1);
    buf_wipe(&message);
    say_secret(r, line);
    return true;
}

static bool say_pass(struct relay *r)
{
    struct span password;
    struct buf *line;

    if (!r->password(r->owner, &password) || password.len == 0 || password.len > PASS_MAX)
        return false;
    /* What comes behind a line end would be a command. */
    for (size_t i = 0; i < password.len; i++)
        if (password.at[i] == '\r' || password.at[i] == '\n' || password.at[i] == '\0')
            return false;
    line = line_new(password.len + 5);
    buf_add_str(line, "PASS ");
    buf_add(line, password.at, password.len);
    say_secret(r, line);
    return true;
}

static void say_user(struct relay *r)
{
    say(r, "USER ");
    say(r, r->name);
    say(r, "\r\n");
}

/* As Dovecot has it. */
static void say_xclient(struct relay *r)
{
    struct network_address address;
    char text[NETWORK_TEXT_SIZE], line[160];

    if (!network_of_peer(r->peer, &address))
        return;
    network_text(&address, 128, text);
    snprintf(line, sizeof line, "XCLIENT ADDR=%s PORT=%s\r\n", text, strrchr(r->peer, ':') + 1);
    say(r, line);
}

static void begin_tls(struct relay *r)
{
    conn_start_tls_to(r->conn, tls_out_ssl(r->tls, r->host));
}

/* False: the talk is over, and the relay may be gone. */
static bool go_on(struct relay *r, enum relay_next next)
{
    switch (next) {
    case RELAY_WAIT:
        return true;
    case RELAY_SAY_STLS:
        say(r, "STLS\r\n");
        return true;
    case RELAY_BEGIN_TLS:
        /* Nothing that comes in the clear is read any more, and nothing is left of what did. */
        conn_pause(r->conn);
        timer_set(r->soon, 0);
        return true;
    case RELAY_SAY_XCLIENT:
        say_xclient(r);
        return true;
    case RELAY_SAY_CAPA:
        say(r, "CAPA\r\n");
        return true;
    case RELAY_SAY_AUTH:
        say(r, "AUTH PLAIN\r\n");
        return true;
    case RELAY_SAY_USER:
        say_user(r);
        return true;
    case RELAY_SAY_RESPONSE:
        if (say_response(r))
            return true;
        answer(r, RELAY_UNSAYABLE);
        return false;
    case RELAY_SAY_PASS:
        if (say_pass(r))
            return true;
        answer(r, RELAY_UNSAYABLE);
        return false;
    case RELAY_ACCEPTED:
        conn_pause(r->conn);
        answer(r, RELAY_YES);
        return false;
    case RELAY_REFUSED:
        answer(r, RELAY_NO);
        return false;
    case RELAY_FAULT:
        break;
    }
    away(r, "%s (%s)", r->talk.fault, steps[r->talk.step]);
    return false;
}

static void on_soon(void *arg)
{
    struct relay *r = arg;

    /* TLS begins behind what is queued, and nothing can be written before. */
    if (conn_queued(r->conn) > 0) {
        away(r, "it answers STLS before it was said");
        return;
    }
    conn_resume(r->conn);
    begin_tls(r);
    (void)go_on(r, relay_talk_secured(&r->talk));
}

/* ------------------------------------------------------ up to the old server's answer */

static size_t on_talk(void *owner, struct span in)
{
    struct relay *r = owner;
    struct span rest = in, line;

    while (!r->answered) {
        enum line_kind kind = line_next(&r->line, LINE_ENDS_LF, RELAY_LINE_LIMIT, &rest, &line);
        enum relay_next next;

        if (kind == LINE_MORE)
            break;
        next = relay_talk_line(&r->talk, kind, line);
        /* Said by anybody on the way, who hopes that it is taken for what comes by TLS. */
        if (next == RELAY_BEGIN_TLS && rest.len > 0) {
            away(r, "it says more behind its answer to STLS");
            return 0;
        }
        if (!go_on(r, next)) {
            /* Who was told may have freed it; where not, the rest is for later, or for nobody. */
            return next == RELAY_ACCEPTED ? in.len - rest.len : in.len;
        }
    }
    return in.len - rest.len;
}

static void on_talk_drained(void *owner)
{
    (void)owner;
}

static void on_talk_end(void *owner, enum conn_end why)
{
    struct relay *r = owner;
    const char *tls = conn_tls_error(r->conn);

    if (tls != NULL)
        away(r, "TLS: %s", tls);
    else
        away(r, "%s before its answer to %s", why == CONN_EOF ? "it closed the connection" : "the connection was lost",
             steps[r->talk.step]);
}

static const struct conn_protocol talking = { on_talk, on_talk_drained, on_talk_end, NULL };

static void connected(void *arg, int fd, const char *why)
{
    struct relay *r = arg;
    char header[PROXY_PUT_MAX];

    if (fd < 0) {
        away(r, "%s", why);
        return;
    }
    dial_free(&r->dial);
    fd_notice_loss(fd, KEEPALIVE_MS, UNACKED_MS);
    r->conn = conn_new(r->loop, fd, fd, &talking, r);
    if (r->tells == ELSEWHERE_PROXY1 || r->tells == ELSEWHERE_PROXY2)
        conn_write(r->conn, header, proxy_put(r->tells == ELSEWHERE_PROXY1 ? 1 : 2, r->peer, r->local, header));
    if (r->tls_mode == ELSEWHERE_POPS)
        begin_tls(r);
}

/* ----------------------------------------------------------------- the pipe */

static void end(struct relay *r, enum relay_end with)
{
    if (r->ended)
        return;
    r->ended = true;
    r->calls->ended(r->owner, with);
}

static bool said_quit(const struct relay *r)
{
    static const struct span ends[] = { { "QUIT\r\n", 6 }, { "QUIT\n", 5 } };

    for (size_t i = 0; i < 2; i++) {
        struct span tail = { r->tail + TAIL - ends[i].len, ends[i].len };

        /* Alone in its line: what stands before it is a line end, or nothing. */
        if (span_is_nocase(tail, ends[i]) && (tail.at[-1] == '\n' || tail.at[-1] == '\0'))
            return true;
    }
    return false;
}

static void keep_tail(struct relay *r, struct span in)
{
    size_t n = in.len < TAIL ? in.len : TAIL;

    memmove(r->tail, r->tail + n, TAIL - n);
    memcpy(r->tail + TAIL - n, in.at + in.len - n, n);
}

/* All of it, and no more until the other side has taken most of it: what is in between is bounded. */
static size_t copy(struct relay *r, struct span in, struct conn *from, struct conn *to)
{
    conn_write(to, in.at, in.len);
    if (conn_full(to))
        conn_pause(from);
    if (r->traced != NULL)
        r->traced(r->owner, to == r->conn, in.len);
    return in.len;
}

static size_t on_client(void *owner, struct span in)
{
    struct relay *r = owner;

    keep_tail(r, in);
    r->answers = false;
    return copy(r, in, r->client, r->conn);
}

static void on_client_drained(void *owner)
{
    struct relay *r = owner;

    conn_resume(r->conn);
}

static void await_last_words(struct relay *r)
{
    r->taken = conn_octets_out(r->client);
    timer_set(r->timer, LAST_WORDS_MS);
}

static void on_client_end(void *owner, enum conn_end why)
{
    struct relay *r = owner;

    if (why == CONN_TIMEOUT) {
        end(r, RELAY_CLIENT_TIMEOUT);
    } else if (why == CONN_LOST) {
        end(r, RELAY_CLIENT_LOST);
    } else if (said_quit(r)) {
        r->client_eof = true;       /* it may still read */
        await_last_words(r);
    } else {
        end(r, RELAY_CLIENT_EOF);
    }
}

static const struct conn_protocol client_side = { on_client, on_client_drained, on_client_end, NULL };

static size_t on_server(void *owner, struct span in)
{
    struct relay *r = owner;

    r->answers = in.at[in.len - 1] == '\n';
    if (r->client_eof && conn_octets_out(r->client) != r->taken)
        await_last_words(r);
    return copy(r, in, r->conn, r->client);
}

static void on_server_drained(void *owner)
{
    struct relay *r = owner;

    if (!r->client_eof)
        conn_resume(r->client);
}

static void on_server_end(void *owner, enum conn_end why)
{
    struct relay *r = owner;

    /* Many end TLS without a goodbye, or reset the connection, behind their answer to QUIT. */
    end(r, said_quit(r) && (why == CONN_EOF || r->answers) ? RELAY_QUIT : RELAY_SERVER_LOST);
}

static const struct conn_protocol server_side = { on_server, on_server_drained, on_server_end, NULL };

void relay_join(struct relay *r, struct conn *client)
{
    ASSERT(r->client == NULL && r->answered);
    r->client = client;
    conn_set_protocol(client, &client_side, r);
    conn_resume(client);
    conn_set_protocol(r->conn, &server_side, r);
    conn_resume(r->conn);
}

void relay_trace(struct relay *r, void (*traced)(void *owner, bool to_server, size_t octets))
{
    r->traced = traced;
}

/* -------------------------------------------------------------------- life */

static void on_time(void *arg)
{
    struct relay *r = arg;

    if (r->client_eof)
        end(r, RELAY_CLIENT_TIMEOUT);
    else
        away(r, "no answer in time (%s)", r->conn == NULL ? "connect" : steps[r->talk.step]);
}

struct relay *relay_new(struct loop *loop, const struct relay_plan *plan,
                        bool (*password)(void *owner, struct span *password_r), const struct relay_calls *calls,
                        void *owner)
{
    struct relay *r = mem_zalloc(sizeof *r);
    const struct elsewhere *to = &plan->to;
    struct network_address address;

    r->loop = loop;
    r->calls = calls;
    r->owner = owner;
    r->password = password;
    r->host = mem_strn(to->host.at, to->host.len);
    r->name = mem_strn(to->name.at, to->name.len);
    r->peer = mem_str(plan->peer);
    r->local = mem_str(plan->local);
    r->port = to->port;
    r->tls_mode = to->tls;
    r->tells = to->tells;
    r->tls = plan->tls;
    snprintf(r->where, sizeof r->where, strchr(r->host, ':') != NULL ? "[%s]:%u" : "%s:%u", r->host, r->port);
    /* Of a client that is not on the Internet there is nothing to tell. */
    relay_talk_begin(&r->talk, to->tls == ELSEWHERE_STLS,
                     to->tells == ELSEWHERE_XCLIENT && network_of_peer(plan->peer, &address));
    r->timer = timer_new(loop, on_time, r);
    timer_set(r->timer, plan->ms);
    r->soon = timer_new(loop, on_soon, r);
    r->dial = dial_new(loop, plan->addresses, to->port, plan->ms, connected, r);
    return r;
}

void relay_free(struct relay **relay)
{
    struct relay *r = *relay;

    if (r == NULL)
        return;
    *relay = NULL;
    dial_free(&r->dial);
    conn_free(&r->conn);
    timer_free(&r->timer);
    timer_free(&r->soon);
    mem_free(r->host);
    mem_free(r->name);
    mem_free(r->peer);
    mem_free(r->local);
    mem_free(r);
}

enum relay_refusal relay_refusal(const struct relay *r)
{
    return r->talk.refusal;
}

bool relay_was_named(const struct relay *r)
{
    return r->talk.named;
}

const char *relay_why(const struct relay *r)
{
    return r->why;
}

const char *relay_name(const struct relay *r)
{
    return r->where;
}
