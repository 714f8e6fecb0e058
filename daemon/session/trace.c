/*
 * trace.c - the dialogue of a session in the log.
 *
 * Owns what is masked: by the table of commands, and by nothing else. Messages
 * and listings are told by their size: they are mail, and long.
 */
#include "daemon/base/traced.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "daemon/session/command.h"
#include "daemon/session/session.h"

bool session_is_traced(const struct session *s)
{
    return s->conn != NULL &&
           (s->traced || traced_wanted(conn_peer(s->conn), s->address, loop_now(s->service->host.loop)));
}

void session_trace_start(const struct session *s)
{
    if (session_is_traced(s))
        log_info(s->id, "trace start peer=%s local=%s", conn_peer(s->conn), conn_local(s->conn));
}

void session_trace_command(const struct session *s, const struct command *command, struct span line)
{
    if (!session_is_traced(s))
        return;
    if (command != NULL && command->secret)
        log_info(s->id, "trace C: %s ***", command->verb);
    else if (command == NULL && (s->service->protocol->needs & NEEDS_LOGINS))
        log_info(s->id, "trace C: (%zu octets that are not a command)", line.len);
    else
        log_info(s->id, "trace C: %s", log_text(line).s);
}

void session_trace_answer(const struct session *s)
{
    if (session_is_traced(s))
        log_info(s->id, "trace C: ***");
}

void session_trace_message(const struct session *s, uint64_t octets)
{
    if (session_is_traced(s))
        log_info(s->id, "trace C: (message of %llu octets)", (unsigned long long)octets);
}

void session_trace_reply(const struct session *s, struct span line)
{
    while (line.len > 0 && (line.at[line.len - 1] == '\n' || line.at[line.len - 1] == '\r'))
        line.len--;
    if (session_is_traced(s))
        log_info(s->id, "trace S: %s", log_text(line).s);
}

void session_trace_rest(const struct session *s)
{
    uint64_t now = conn_octets_out(s->conn) + conn_queued(s->conn);

    if (now > s->replied_until && session_is_traced(s))
        log_info(s->id, "trace S: (%llu octets)", (unsigned long long)(now - s->replied_until));
}
