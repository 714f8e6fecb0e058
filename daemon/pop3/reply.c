/*
 * reply.c - the first line of every reply.
 *
 * Owns the form of +OK, -ERR and response codes: registered ones only, on
 * -ERR only (RFC 2449 section 8, RFC 3206), 512 octets at most, nothing of
 * what the client sent. Never decides what to answer.
 */
#include "daemon/pop3/login.h"

#include <stdarg.h>
#include <stdio.h>

#include "daemon/base/mem.h"
#include "daemon/net/conn.h"

enum { REPLY_LIMIT = 512 };     /* RFC 2449 section 4, with its line end */

static const char *const codes[] = {
    [RC_NONE] = "",
    [RC_AUTH] = "[AUTH] ",
    [RC_IN_USE] = "[IN-USE] ",
    [RC_LOGIN_DELAY] = "[LOGIN-DELAY] ",
    [RC_SYS_TEMP] = "[SYS/TEMP] ",
    [RC_SYS_PERM] = "[SYS/PERM] ",
};

static void __attribute__((format(printf, 3, 0)))
reply(struct pop3_session *s, const char *status, const char *fmt, va_list args)
{
    char line[REPLY_LIMIT + 1];
    size_t len = strlen(status);
    int n;

    ASSERT(!s->replied);    /* one reply to each command */
    s->replied = true;
    memcpy(line, status, len);
    n = vsnprintf(line + len, sizeof line - len, fmt, args);
    ASSERT(n >= 0 && len + (size_t)n <= REPLY_LIMIT - 2);
    len += (size_t)n;
    if (line[len - 1] == ' ')
        len--;              /* "+OK" alone */
    session_trace_reply(&s->base, (struct span){ line, len });
    line[len++] = '\r';
    line[len++] = '\n';
    conn_write(s->base.conn, line, len);
    s->base.replied_until = conn_octets_out(s->base.conn) + conn_queued(s->base.conn);
}

enum outcome pop3_ok(struct pop3_session *s, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    reply(s, "+OK ", fmt, args);
    va_end(args);
    return CMD_DONE;
}

enum outcome pop3_err(struct pop3_session *s, enum code code, const char *fmt, ...)
{
    char status[sizeof "-ERR [LOGIN-DELAY] "], said[REPLY_LIMIT];
    va_list args;

    snprintf(status, sizeof status, "-ERR %s", codes[code]);
    if (s->state == POP3_AUTHORIZATION) {
        va_start(args, fmt);
        vsnprintf(said, sizeof said, fmt, args);
        va_end(args);
        pop3_note_refusal(s, span_str(said));
    }
    va_start(args, fmt);
    reply(s, status, fmt, args);
    va_end(args);
    return CMD_DONE;
}

enum outcome pop3_bad(struct pop3_session *s, const char *text)
{
    unsigned limit = (unsigned)pop3_settings(s)->pop3_bad_commands;

    if (s->state == POP3_AUTHORIZATION) {
        /*
         * Who is not logged in is more likely a scanner; but clients try in a row what some
         * servers have (LANG, UTF8, XTND ...).
         */
        limit /= 2;
        if (limit < 3)
            limit = 3;
    }
    if (++s->bad < limit)
        return pop3_err(s, RC_NONE, "%s", text);
    s->base.end = END_BAD_COMMANDS;
    pop3_err(s, RC_NONE, "too many invalid commands, closing connection");
    return CMD_CLOSE;
}

enum outcome pop3_strange(struct pop3_session *s, const char *text)
{
    /* With the one of pop3_bad(): three. */
    if (s->state == POP3_AUTHORIZATION)
        s->bad += 2;
    return pop3_bad(s, text);
}

enum outcome pop3_ready_reply(struct pop3_session *s, const char *text, size_t len)
{
    ASSERT(!s->replied);
    s->replied = true;
    session_trace_reply(&s->base, (struct span){ text, strcspn(text, "\r") });
    conn_write(s->base.conn, text, len);
    s->base.replied_until = conn_octets_out(s->base.conn) + conn_queued(s->base.conn);
    return CMD_DONE;
}
