/*
 * dialogue.c - a POP3 session from its connection's side: its start, its line
 * loop, what the connection tells.
 *
 * Owns the connection and the order of commands: the next one is looked at only
 * when the reply to the last is complete and the client takes its octets, so a
 * client that sends a thousand commands and reads nothing costs what one costs
 * (N04, N05). Never writes a reply but the greeting.
 */
#include "daemon/pop3/session.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "daemon/pop3/args.h"
#include "daemon/pop3/login.h"

static size_t on_input(void *owner, struct span in);
static void on_drained(void *owner);
static void on_end(void *owner, enum conn_end why);
static void on_unheard(void *owner);

static const struct conn_protocol protocol = { on_input, on_drained, on_end, on_unheard };

static void on_timer(void *arg)
{
    struct pop3_session *s = arg;
    uint64_t now = loop_now(pop3_host(s)->loop);

    if (s->state != POP3_AUTHORIZATION) {
        pop3_look_at_output(s);
    } else if (now >= pop3_login_by(s)) {
        pop3_session_over(s, END_TIMEOUT);
    } else if (s->login->say_at != 0 && now >= s->login->say_at) {
        s->login->say_at = 0;
        pop3_set_login_timer(s);
        pop3_act(s, s->login->say(s));
    } else {
        pop3_set_login_timer(s);
    }
}

/* -------------------------------------------------------------------- start */

/* No `<` but that of APOP's timestamp, which announces it, and no `[`, which would be a response code (G02, G03). */
static void greet(struct pop3_session *s)
{
    static const char words[] = "+OK Postern ready";

    conn_write(s->base.conn, words, sizeof words - 1);
    pop3_make_timestamp(s);
    if (s->login->timestamp != NULL) {
        conn_write(s->base.conn, " ", 1);
        conn_write(s->base.conn, s->login->timestamp, strlen(s->login->timestamp));
    }
    conn_write(s->base.conn, "\r\n", 2);
}

/* Before anything is done for the client, a handshake above all. True: it may stay. */
static bool let_in(struct pop3_session *s, bool implicit_tls)
{
    const char *why = guard_arrive(pop3_service_of(s)->guard, &s->seat, conn_peer(s->base.conn),
                                   loop_now(pop3_host(s)->loop));

    if (why == NULL)
        return true;
    pop3_log_turned_away(s, why);
    s->base.end = END_REFUSED;
    if (!implicit_tls)
        pop3_err(s, RC_SYS_TEMP, "too many %s from your address, try again later", why);
    pop3_session_over(s, END_REFUSED);
    return false;
}

void pop3_session_start(struct service *service, int in, int out, const struct session_entry *entry)
{
    struct pop3_session *s = mem_zalloc(sizeof *s);

    session_join(&s->base, service, entry);
    s->report.mechanism = MECHANISMS;
    s->login_delay = s->expire = AUTH_UNSET;
    s->login = pop3_login_new(entry);

    s->base.conn = conn_new(service->host.loop, in, out, &protocol, s);
    if (entry->origin != NULL)
        conn_set_origin(s->base.conn, entry->origin);
    s->timer = timer_new(service->host.loop, on_timer, s);
    pop3_set_login_timer(s);
    log_debug(s->base.id, "start peer=%s", conn_peer(s->base.conn));
    session_trace_start(&s->base);
    if (!let_in(s, entry->implicit_tls))
        return;
    s->may_login = entry->cleartext == CLEARTEXT_ALWAYS ||
                   (entry->cleartext == CLEARTEXT_LOCAL && conn_is_local(s->base.conn));
    if (entry->implicit_tls) {
        ASSERT(entry->tls != NULL);
        s->may_login = true;
        conn_start_tls(s->base.conn, entry->tls);       /* the greeting waits for its end (T10) */
    } else if (conn_tls_version(s->base.conn) != NULL) {
        s->may_login = true;        /* the proxy's, and that was believed */
    } else {
        s->login->tls = entry->tls;
    }
    greet(s);
}

/* --------------------------------------------------------------- the loop */

static bool right_args(const struct command *cmd, struct span rest, bool more, struct args *args)
{
    args->count = 0;
    if (cmd->rest && more) {
        args->v[args->count++] = rest;
        return true;
    }
    if (more && !args_split(rest, args))
        return false;
    return args->count >= cmd->min && args->count <= cmd->max;
}

/*
 * A line that is a command: 1. -1 if it is one of the other state, which is an error but no sign
 * of a stranger. 0: none.
 */
static int understand(struct pop3_session *s, struct span line, const struct command **cmd_r, struct args *args,
                      const char **wrong_r)
{
    const struct command *cmd;
    char verb[VERB_LEN];
    struct span rest;
    bool more, here;

    *wrong_r = "unknown command";
    if (!args_verb(line, verb, &rest, &more))
        return 0;
    cmd = command_find(&pop3_commands, command_verb(line), s->state, &here);
    if (cmd == NULL)
        return 0;
    if (!here) {
        *wrong_r = s->state == POP3_TRANSACTION ? "you are logged in already" : "log in first";
        return -1;
    }
    if (!right_args(cmd, rest, more, args)) {
        *wrong_r = "invalid arguments";
        return 0;
    }
    *cmd_r = cmd;
    return 1;
}

/* A command that is not for now, one that is not ours, or what is none. */
static enum outcome refuse_line(struct pop3_session *s, int known, bool keyword, const char *wrong)
{
    if (known < 0)
        return pop3_err(s, RC_NONE, "%s", wrong);
    return keyword ? pop3_bad(s, wrong) : pop3_strange(s, wrong);
}

static enum outcome one_line(struct pop3_session *s, enum line_kind kind, struct span line)
{
    const struct command *cmd = NULL;
    const char *wrong = NULL;
    struct args args;
    unsigned bad = s->bad;
    enum outcome out = CMD_DONE;
    int known = 0;

    switch (kind) {
    case LINE_COMMAND:
        known = understand(s, line, &cmd, &args, &wrong);
        break;
    case LINE_NUL:
        wrong = "NUL in command";
        break;
    case LINE_LONG:
        wrong = "command longer than 255 octets";
        break;
    case LINE_ENDLESS:
        s->base.end = END_BAD_COMMANDS;
        pop3_err(s, RC_NONE, "line too long, closing connection");
        return CMD_CLOSE;
    case LINE_MORE:
        ASSERT(kind != LINE_MORE);
    }

    if (s->state == POP3_AUTHORIZATION)
        pop3_begin_login_command(s, kind == LINE_COMMAND ? line : (struct span){ NULL, 0 });
    session_trace_command(&s->base, cmd, kind == LINE_COMMAND ? line : SPAN_OF(""));
    metric_add(cmd != NULL ? cmd->counted : METRIC_COMMAND_OTHER, 1);
    if (known < 0)
        s->bad = 0;
    if (known <= 0)
        out = refuse_line(s, known, kind == LINE_COMMAND && args_is_keyword(line), wrong);
    /* RFC 1939 section 7: PASS only right after USER. CAPA in between is harmless and seen. */
    if (s->state == POP3_AUTHORIZATION && (cmd == NULL || !cmd->keeps_name))
        pop3_set_name(s, (struct span){ NULL, 0 });
    if (known <= 0)
        return out;

    s->command = cmd;
    s->got_message = false;
    /* After the login it is that of the login, for the log. */
    if (s->state == POP3_AUTHORIZATION)
        s->report.mechanism = MECHANISMS;
    out = cmd->run(&s->base, &args);
    if (s->bad == bad)
        s->bad = 0;
    return out;
}

/* What a command has asked for may be longer than a command (S10, S11). */
static size_t line_limit(const struct pop3_session *s, struct span in)
{
    return s->wants_line ? LINE_SASL_LIMIT : command_limit(&pop3_commands, in, s->state);
}

static enum outcome any_line(struct pop3_session *s, enum line_kind kind, struct span line)
{
    if (!s->wants_line)
        return one_line(s, kind, line);
    s->wants_line = false;
    session_trace_answer(&s->base);
    return s->command->answer(&s->base, kind, line);
}

/* The first octets of a handshake (RFC 8446 section 5.1), where a line was to come. */
static bool is_handshake(struct span in)
{
    return in.len >= 2 && in.at[0] == 0x16 && in.at[1] == 3;
}

static size_t on_input(void *owner, struct span in)
{
    struct pop3_session *s = owner;
    struct span rest = in, line = { NULL, 0 };

    /* It was set up for port 995 and came here: no reply of ours means anything to it, but the log should say so. */
    if (s->state == POP3_AUTHORIZATION && s->command == NULL && is_handshake(in)) {
        pop3_session_over(s, END_EARLY_TLS);
        return 0;
    }
    while (pop3_takes_line(s)) {
        enum line_kind kind;

        if (conn_full(s->base.conn)) {
            conn_pause(s->base.conn);
            break;
        }
        kind = line_next(&s->base.line, LINE_ENDS_LF, line_limit(s, rest), &rest, &line);
        if (kind == LINE_MORE)
            break;
        s->more = rest.len > 0;
        if (!pop3_settle(s, any_line(s, kind, line)))
            return 0;
    }
    return in.len - rest.len;
}

static void on_drained(void *owner)
{
    struct pop3_session *s = owner;

    if (pop3_takes_line(s))
        conn_resume(s->base.conn);
    else if (s->command->step != NULL && !s->asked)
        pop3_act(s, s->command->step(&s->base));
}

/*
 * The client has gone, or reads no more. A whole QUIT that it sent before still
 * counts (Q06), and so does all that leads there, but not behind a message that
 * it was sent and did not get: to delete that would lose it, and no mail lost
 * comes before all else.
 */
static void on_unheard(void *owner)
{
    struct pop3_session *s = owner;

    s->unheard = true;
    if (conn_octets_out(s->base.conn) < s->owed_until || (s->command != NULL && s->command->message))
        pop3_session_over(s, END_LOST);
}

static void on_end(void *owner, enum conn_end why)
{
    switch (why) {
    case CONN_EOF:
        pop3_session_over(owner, END_EOF);
        return;
    case CONN_LOST:
        pop3_session_over(owner, END_LOST);
        return;
    case CONN_TIMEOUT:
        pop3_session_over(owner, END_TIMEOUT);
        return;
    }
}
