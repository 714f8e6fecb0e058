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
#include "daemon/pop3/session.h"

#include <stdio.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"

/* A flood of clients must not become a flood of lines. */
static bool may_tell(struct pop3_service *service)
{
    enum { LINES_A_SECOND = 10, SECOND = 1000 };
    uint64_t second = loop_now(service->host.loop) / SECOND;

    if (second != service->turned_second) {
        service->turned_second = second;
        service->turned = 0;
    }
    return ++service->turned <= LINES_A_SECOND;
}

void pop3_log_turned_away(struct pop3_session *s, const char *why)
{
    if (may_tell(s->service))
        log_info(s->id, "connection peer=%s result=refused reason=%s", conn_peer(s->conn), why);
}

void pop3_begin_login_command(struct pop3_session *s, struct span line)
{
    static const char verbs[][VERB_LEN + 1] = { "USER", "PASS", "AUTH", "APOP", "STLS" };
    struct span verb = { line.at, line.len < VERB_LEN ? line.len : VERB_LEN };

    s->login_verb = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (span_is_nocase(verb, span_str(verbs[i])))
            s->login_verb = verbs[i];
    /* A line that could not be read at all, where PASS was to come. */
    if (line.len == 0 && s->name != NULL)
        s->login_verb = verbs[1];
}

void pop3_note_refusal(struct pop3_session *s, struct span reply)
{
    char text[512];

    if (s->state != POP3_AUTHORIZATION || s->login_verb == NULL)
        return;
    if (s->told) {
        s->told = false;
        return;
    }
    snprintf(text, sizeof text, "user=%s command=%s result=refused reply=\"%.*s\"",
             log_text((struct span){ s->name, s->name_len }).s, s->login_verb, (int)reply.len, reply.at);
    mem_free(s->refusal);
    s->refusal = mem_str(text);
}

void pop3_forget_refusal(struct pop3_session *s)
{
    mem_free(s->refusal);
    s->refusal = NULL;
}

void pop3_tell_refusal(struct pop3_session *s)
{
    if (s->refusal != NULL && may_tell(s->service))
        log_info(s->id, "login peer=%s %s", conn_peer(s->conn), s->refusal);
    pop3_forget_refusal(s);
}
