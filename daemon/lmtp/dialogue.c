/*
 * dialogue.c - an LMTP session from its connection's side: greeting, line loop,
 * what the connection tells.
 *
 * Owns the connection. The next command is looked at only when the last one is
 * answered, so what a client can make us keep is bounded by one message.
 */
#include "daemon/lmtp/session.h"

#include <ctype.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/session/trust.h"
#include "daemon/net/conn.h"
#include "daemon/net/fd.h"
#include "daemon/net/loop.h"
#include "daemon/net/proxy.h"
#include "storage/deliver/deliver.h"

enum {
    GREETING_PATIENCE_MS = 5000,    /* for the first lane: a process that has just started has none */
    GREETING_LOOK_MS = 20,
    UNTOLD_MS = 60000,
};

static size_t on_input(void *owner, struct span in);
static void on_drained(void *owner);
static void on_end(void *owner, enum conn_end why);

static const struct conn_protocol protocol = { .input = on_input, .drained = on_drained, .end = on_end };

/* --------------------------------------------------------------------- lines */

static bool is_text_octet(char octet)
{
    unsigned char c = (unsigned char)octet;
    return c >= 0x20 && c != 0x7F;
}

/* A RCPT that is not answered at once, if a transaction is under way: it becomes a pending one. */
static bool is_rcpt(struct span line)
{
    bool argument = false;

    if (line.len <= 4 || line.at[4] != ' ' || !span_is_nocase((struct span){ line.at, 4 }, SPAN_OF("RCPT")))
        return false;
    for (size_t i = 4; i < line.len; i++) {
        if (!is_text_octet(line.at[i]))
            return false;
        argument = argument || line.at[i] != ' ';
    }
    return argument;
}

/* Does the line, or what came of it, begin as a BDAT does, whatever follows the verb? */
static bool is_bdat(struct span line)
{
    return line.len >= 4 && span_is_nocase((struct span){ line.at, 4 }, SPAN_OF("BDAT")) &&
           (line.len == 4 || !isalnum((unsigned char)line.at[4]));
}

/* A line that cannot be what it begins as. */
static enum outcome refuse_line(struct lmtp_session *s, struct span line, enum lmtp_reply_name why)
{
    return is_bdat(line) ? lmtp_bdat_refused(s, why) : lmtp_say(s, why, NULL, NULL);
}

/* Nothing that is no text gets further: what is wrong, or REPLY_COUNT. */
static enum lmtp_reply_name find_no_text(struct span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (!is_text_octet(line.at[i]))
            return line.at[i] == '\r' || line.at[i] == '\n' ? REPLY_BAD_LINE : REPLY_BAD_OCTET;
    return REPLY_COUNT;
}

static enum outcome command(struct lmtp_session *s, struct span line)
{
    struct span verb = command_verb(line);
    struct args args = { .count = 0 };
    bool here;
    const struct command *cmd = command_find(&lmtp_commands, verb, s->state, &here);
    enum lmtp_reply_name wrong = find_no_text(line);

    session_trace_command(&s->base, cmd, line);
    if (wrong != REPLY_COUNT)
        return refuse_line(s, line, wrong);
    if (cmd == NULL)
        return lmtp_say(s, REPLY_UNKNOWN, NULL, NULL);
    /* RFC 5321 section 4.1.1: white space behind a command is nothing. */
    while (line.len > 0 && line.at[line.len - 1] == ' ')
        line.len--;
    if (line.len > verb.len + 1)
        args.v[args.count++] = (struct span){ verb.at + verb.len + 1, line.len - verb.len - 1 };
    if (args.count < cmd->min || args.count > cmd->max)
        return refuse_line(s, line, (enum lmtp_reply_name)cmd->wrong);
    if (!here)
        return lmtp_say(s, REPLY_SEQUENCE, NULL, NULL);
    return cmd->run(&s->base, &args);
}

/* One line, or none: how many octets are done with. False in *more_r when there is nothing to do with the rest now. */
static size_t one_line(struct lmtp_session *s, struct span in, bool *more_r)
{
    struct line_reader before = s->base.line;
    struct span line, rest = in;
    size_t limit = command_limit(&lmtp_commands, in, s->state);
    enum line_kind kind = line_next(&s->base.line, LINE_ENDS_CRLF, limit, &rest, &line);

    *more_r = kind != LINE_MORE;
    if (kind == LINE_MORE)
        return in.len - rest.len;
    if (s->pending_count > 0 &&
        (kind != LINE_COMMAND || !is_rcpt(line) || s->pending_count == LMTP_BATCH)) {
        /* The replies to those before come first, perhaps from the database: then this line is left for later. */
        lmtp_answer_pending(s);
        if (s->state == LMTP_RESOLVING || s->ending) {
            s->base.line = before;
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
        command(s, line);
        break;
    case LINE_LONG:
        refuse_line(s, line, REPLY_TOO_LONG);
        break;
    case LINE_ENDLESS:
        lmtp_say(s, REPLY_ERRORS, NULL, NULL);
        lmtp_end(s, END_ERRORS);
        break;
    }
    return in.len - rest.len;
}

static size_t on_input(void *owner, struct span in)
{
    struct lmtp_session *s = owner;
    size_t used = 0;
    bool more = true;

    while (more && used < in.len && !s->ending && !conn_paused(s->base.conn)) {
        struct span rest = { in.at + used, in.len - used };
        if (conn_full(s->base.conn))
            conn_pause(s->base.conn);    /* until it is drained */
        else if (s->state == LMTP_DATA || s->state == LMTP_CHUNK)
            used += lmtp_take(s, rest);
        else
            used += one_line(s, rest, &more);
        ASSERT(s->ending || lmtp_all_replied(s));
    }
    if (s->pending_count > 0 && !s->ending && s->state == LMTP_MAIL)
        lmtp_answer_pending(s);
    lmtp_stop_between(s);
    return lmtp_end_now(s) ? 0 : used;
}

static void on_drained(void *owner)
{
    struct lmtp_session *s = owner;

    if (s->state != LMTP_RESOLVING && s->state != LMTP_SPOOLING && s->state != LMTP_STORING &&
        s->state != LMTP_WAITING && !s->behind)
        conn_resume(s->base.conn);
}

static void on_end(void *owner, enum conn_end why)
{
    struct lmtp_session *s = owner;

    switch (why) {
    case CONN_EOF:
        lmtp_session_over(s, END_EOF);
        return;
    case CONN_LOST:
        lmtp_session_over(s, END_LOST);
        return;
    case CONN_TIMEOUT:
        lmtp_say_unasked(s, REPLY_IDLE);
        lmtp_session_over(s, END_TIMEOUT);
        return;
    }
}

/* --------------------------------------------------------------------- start */

static void greet(struct lmtp_session *s)
{
    struct buf line = BUF_EMPTY;

    buf_addf(&line, "220 %s Postern LMTP ready\r\n", lmtp_service_of(s)->hostname);
    conn_write(s->base.conn, line.data, line.len);
    buf_free(&line);
    s->state = LMTP_START;
}

/* RFC 5321 section 3.1: a server that cannot serve says so in place of the greeting. */
static void look_for_lane(void *arg)
{
    struct lmtp_session *s = arg;

    if (deliver_lanes_up(lmtp_host(s)->deliver) > 0) {
        timer_free(&s->timer);
        greet(s);
        conn_resume(s->base.conn);
    } else if (loop_now(lmtp_host(s)->loop) - s->base.started > GREETING_PATIENCE_MS) {
        s->noteworthy = true;
        lmtp_say_unasked(s, REPLY_NO_DATABASE);
        lmtp_session_over(s, END_REFUSED);
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
    struct lmtp_service *service = lmtp_service_of(s);
    uint64_t now = loop_now(lmtp_host(s)->loop);

    if (fd_peer_has_gone(conn_peer(s->base.conn)) || (!named && now < service->untold_until)) {
        log_debug(s->base.id, "lmtp peer=%s not allowed to deliver here", conn_peer(s->base.conn));
        return;
    }
    if (!named)
        service->untold_until = now + UNTOLD_MS;
    log_warning(s->base.id, "lmtp peer=%s not allowed to deliver here%s", conn_peer(s->base.conn),
                named ? "" : ": its PROXY header names no client; not logged again for a minute");
}

void lmtp_session_start(struct service *service, int in, int out, const struct session_entry *entry)
{
    struct lmtp_session *s = mem_zalloc(sizeof *s);
    const struct proxy_origin *origin = entry->origin;
    bool allowed = origin != NULL && origin->known ? trust_allows_peer(entry->trust, origin->peer)
                                                   : entry->own || trust_allows(entry->trust, in);

    session_join(&s->base, service, entry);
    s->base.conn = conn_new(service->host.loop, in, out, &protocol, s);
    if (origin != NULL)
        conn_set_origin(s->base.conn, origin);
    conn_set_timeout(s->base.conn, (uint64_t)lmtp_settings(s)->lmtp_idle);
    if (!allowed) {
        log_not_allowed(s, origin == NULL || origin->known);
        lmtp_say_unasked(s, REPLY_NOT_ALLOWED);
        lmtp_session_over(s, END_REFUSED);
    } else if (service->count > (size_t)lmtp_settings(s)->lmtp_sessions) {
        s->noteworthy = true;
        lmtp_say_unasked(s, REPLY_CROWDED);
        lmtp_session_over(s, END_REFUSED);
    } else if (deliver_lanes_up(service->host.deliver) == 0) {
        conn_pause(s->base.conn);
        s->timer = timer_new(service->host.loop, look_for_lane, s);
        timer_set(s->timer, GREETING_LOOK_MS);
    } else {
        greet(s);
    }
}
