/*
 * refusal.c - what the log says of clients that are not let in.
 *
 * Owns the rule that no refusal before a login is seen at level debug only,
 * where it was a login that was refused. Why credentials are not good, or a
 * session may not be, is told at once. What else -ERR says to a command that
 * belongs to a login (no mechanism of that name, no base64, no TLS yet) is kept,
 * the last of it, and told at the end of a session that never logged in: many
 * clients try one thing after the other, and most come in. Never shows what
 * may be a password.
 */
#include "daemon/pop3/login.h"

#include <stdio.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "daemon/pop3/args.h"

/* A flood of clients must not become a flood of lines. */
static bool may_tell(struct pop3_service *service)
{
    enum { LINES_A_SECOND = 10, SECOND = 1000 };
    uint64_t second = loop_now(service->base.host.loop) / SECOND;

    if (second != service->turned_second) {
        service->turned_second = second;
        service->turned = 0;
    }
    return ++service->turned <= LINES_A_SECOND;
}

void pop3_log_turned_away(struct pop3_session *s, const char *why)
{
    if (may_tell(pop3_service_of(s)))
        log_info(s->base.id, "connection peer=%s result=refused reason=%s", conn_peer(s->base.conn), why);
}

void pop3_begin_login_command(struct pop3_session *s, struct span line)
{
    struct span verb = { line.at, line.len < VERB_LEN ? line.len : VERB_LEN };

    s->login->verb = NULL;
    for (size_t i = 0; i < pop3_commands.count; i++)
        if (pop3_commands.rows[i].login && span_is_nocase(verb, span_str(pop3_commands.rows[i].verb)))
            s->login->verb = pop3_commands.rows[i].verb;
    /* A line that could not be read at all, where PASS was to come. */
    if (line.len == 0 && s->login->name != NULL)
        s->login->verb = "PASS";
}

void pop3_note_refusal(struct pop3_session *s, struct span reply)
{
    char text[512];

    if (s->state != POP3_AUTHORIZATION || s->login->verb == NULL)
        return;
    if (s->login->told) {
        s->login->told = false;
        return;
    }
    snprintf(text, sizeof text, "user=%s command=%s result=refused reply=\"%.*s\"",
             log_text(pop3_name(s)).s, s->login->verb, (int)reply.len, reply.at);
    mem_free(s->login->refusal);
    s->login->refusal = mem_str(text);
}

void pop3_tell_refusal(struct pop3_session *s)
{
    if (s->login != NULL && s->login->refusal != NULL && may_tell(pop3_service_of(s)))
        log_info(s->base.id, "login peer=%s %s", conn_peer(s->base.conn), s->login->refusal);
}
