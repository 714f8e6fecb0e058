/*
 * trace.c - the dialogue of a session in the log, for a time and for somebody.
 *
 * Owns what is masked: arguments of PASS, AUTH and APOP, and every line that is
 * no command where it came, an answer to a challenge among them, as it may be a password in the wrong place.
 * Messages and listings are told by their size: they are mail, and long.
 */
#include "daemon/pop3/session.h"

#include "daemon/base/log.h"
#include "daemon/base/traced.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"

bool pop3_is_traced(const struct pop3_session *s)
{
    struct span address = { s->name, s->state != POP3_AUTHORIZATION ? s->name_len : 0 };

    return s->conn != NULL && (s->trace || traced_wanted(conn_peer(s->conn), address, loop_now(s->service->host.loop)));
}

static bool is_secret(const struct command *cmd)
{
    return cmd->counted == METRIC_COMMAND_PASS || cmd->counted == METRIC_COMMAND_AUTH ||
           cmd->counted == METRIC_COMMAND_APOP;
}

void pop3_trace_command(const struct pop3_session *s, const struct command *cmd, struct span line)
{
    if (!pop3_is_traced(s))
        return;
    if (cmd != NULL && is_secret(cmd))
        log_info(s->id, "trace C: %.*s ***", (int)strnlen(cmd->verb, VERB_LEN), cmd->verb);
    else if (cmd == NULL)
        log_info(s->id, "trace C: (%zu octets that are not a command)", line.len);
    else
        log_info(s->id, "trace C: %s", log_text(line).s);
}

void pop3_trace_answer(const struct pop3_session *s)
{
    if (pop3_is_traced(s))
        log_info(s->id, "trace C: ***");
}

void pop3_trace_reply(const struct pop3_session *s, struct span line)
{
    if (pop3_is_traced(s))
        log_info(s->id, "trace S: %s", log_text(line).s);
}

void pop3_trace_rest(const struct pop3_session *s)
{
    uint64_t now = conn_octets_out(s->conn) + conn_queued(s->conn);

    if (now > s->replied_until && pop3_is_traced(s))
        log_info(s->id, "trace S: (%llu octets)", (unsigned long long)(now - s->replied_until));
}
