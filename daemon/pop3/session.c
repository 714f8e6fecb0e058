/*
 * session.c - the life of a POP3 session: its states, its line loop, its end.
 *
 * Owns the connection, the timer and the order of commands: the next one is
 * looked at only when the reply to the last is complete and the client takes
 * its octets, so a client that sends a thousand commands and reads nothing
 * costs what one costs (N04, N05). Never writes a reply but the greeting, and
 * never removes a message: what ends here without a commit removes nothing.
 */
#include "daemon/pop3/session.h"

#include <stdio.h>

#include "auth/client/client.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"

/* Looks at a client's output in one write time, so that it is closed between 1 and 1.25 of it. */
enum { LOOKS = 4 };

static const char *const end_names[] = {
    [END_QUIT] = "quit",           [END_EOF] = "eof",         [END_TIMEOUT] = "timeout",
    [END_LOST] = "lost",           [END_DRAIN] = "drain",     [END_BAD_COMMANDS] = "bad-commands",
    [END_EARLY_TLS] = "early-tls", [END_REFUSED] = "refused", [END_KICKED] = "kicked",
    [END_TAKEN] = "taken-over",    [END_ERROR] = "error",
};

static const char *const state_names[] = {
    [POP3_AUTHORIZATION] = "authorization", [POP3_TRANSACTION] = "transaction", [POP3_UPDATE] = "update",
};

static size_t on_input(void *owner, struct span in);
static void on_drained(void *owner);
static void on_end(void *owner, enum conn_end why);

static void on_unheard(void *owner);

static const struct conn_protocol protocol = { on_input, on_drained, on_end, on_unheard };

/* RFC 1939 section 3: only forward, and QUIT before the login ends without UPDATE. */
void pop3_enter(struct pop3_session *s, enum pop3_state to)
{
    ASSERT(to == s->state + 1);
    log_debug(s->id, "state=%s was=%s", state_names[to], state_names[s->state]);
    s->state = to;
}

/* ------------------------------------------------------------------ timers */

static uint64_t login_by(const struct pop3_session *s)
{
    return s->started + (uint64_t)s->service->host.settings->pop3_login_time;
}

void pop3_set_login_timer(struct pop3_session *s)
{
    uint64_t now = loop_now(s->service->host.loop), due = login_by(s);

    if (s->refuse_at != 0 && s->refuse_at < due)
        due = s->refuse_at;
    timer_set(s->timer, due > now ? due - now : 0);
}

static void look_later(struct pop3_session *s)
{
    timer_set(s->timer, (uint64_t)s->service->host.settings->pop3_write_time / LOOKS);
}

void pop3_set_session_timer(struct pop3_session *s)
{
    conn_set_timeout(s->conn, (uint64_t)s->service->host.settings->pop3_idle);
    look_later(s);
}

/* A client that takes nothing for the write time is closed, though it may go on sending (Y20). */
static void look_at_output(struct pop3_session *s)
{
    uint64_t out = conn_octets_out(s->conn);

    if (conn_queued(s->conn) == 0 || out != s->out_seen) {
        s->out_seen = out;
        s->stalled = 0;
    } else if (++s->stalled >= LOOKS) {
        pop3_session_over(s, END_TIMEOUT);
        return;
    }
    look_later(s);
}

static void on_timer(void *arg)
{
    struct pop3_session *s = arg;
    uint64_t now = loop_now(s->service->host.loop);

    if (s->state != POP3_AUTHORIZATION) {
        look_at_output(s);
    } else if (now >= login_by(s)) {
        pop3_session_over(s, END_TIMEOUT);
    } else if (s->refuse_at != 0 && now >= s->refuse_at) {
        s->refuse_at = 0;
        pop3_set_login_timer(s);
        pop3_act(s, pop3_say_refusal(s));
    } else {
        pop3_set_login_timer(s);
    }
}

/* ------------------------------------------------------------ start and end */

void pop3_charge(struct pop3_session *s, struct drop_cost cost)
{
    s->cost.statements += cost.statements;
    s->cost.us += cost.us;
}

const char *pop3_tls_text(const struct pop3_session *s, char out[TLS_TEXT_SIZE])
{
    const char *version = s->conn != NULL ? conn_tls_version(s->conn) : NULL;

    out[0] = '\0';
    if (version != NULL)
        snprintf(out, TLS_TEXT_SIZE, " tls=%s cipher=%s", version, conn_tls_cipher(s->conn));
    return out;
}

/* No `<` but that of APOP's timestamp, which announces it, and no `[`, which would be a response code (G02, G03). */
static void greet(struct pop3_session *s)
{
    static const char words[] = "+OK Postern ready";

    conn_write(s->conn, words, sizeof words - 1);
    pop3_make_timestamp(s);
    if (s->timestamp != NULL) {
        conn_write(s->conn, " ", 1);
        conn_write(s->conn, s->timestamp, strlen(s->timestamp));
    }
    conn_write(s->conn, "\r\n", 2);
}

/* Before anything is done for the client, a handshake above all. True: it may stay. */
static bool let_in(struct pop3_session *s, bool implicit_tls)
{
    const char *why = guard_arrive(s->service->guard, &s->seat, conn_peer(s->conn), loop_now(s->service->host.loop));

    if (why == NULL)
        return true;
    pop3_log_turned_away(s, why);
    s->end = END_REFUSED;
    if (!implicit_tls)
        pop3_err(s, RC_SYS_TEMP, "too many %s from your address, try again later", why);
    pop3_session_over(s, END_REFUSED);
    return false;
}

void pop3_session_start(struct pop3_service *service, int in, int out, const struct pop3_entry *entry)
{
    struct pop3_session *s = mem_zalloc(sizeof *s);

    s->service = service;
    s->mechanism = MECHANISMS;
    pop3_next_id(service, s->id);
    s->started = loop_now(service->host.loop);
    s->login_delay = s->expire = AUTH_UNSET;
    if (entry->default_domain[0] != '\0')
        s->domain = mem_str(entry->default_domain);
    s->next = service->sessions;
    if (s->next != NULL)
        s->next->prev = s;
    service->sessions = s;
    service->count++;
    metric_add(METRIC_POP3_SESSIONS, 1);

    s->conn = conn_new(service->host.loop, in, out, &protocol, s);
    if (entry->origin != NULL)
        conn_set_origin(s->conn, entry->origin);
    s->timer = timer_new(service->host.loop, on_timer, s);
    pop3_set_login_timer(s);
    log_debug(s->id, "start peer=%s", conn_peer(s->conn));
    if (pop3_is_traced(s))
        log_info(s->id, "trace start peer=%s local=%s", conn_peer(s->conn), conn_local(s->conn));
    if (!let_in(s, entry->implicit_tls))
        return;
    s->may_login = entry->cleartext == POP3_CLEARTEXT_ALWAYS ||
                   (entry->cleartext == POP3_CLEARTEXT_LOCAL && conn_is_local(s->conn));
    if (entry->implicit_tls) {
        ASSERT(entry->tls != NULL);
        s->may_login = true;
        conn_start_tls(s->conn, entry->tls);        /* the greeting waits for its end (T10) */
    } else if (conn_tls_version(s->conn) != NULL) {
        s->may_login = true;        /* the proxy's, and that was believed */
    } else {
        s->tls = entry->tls;
    }
    greet(s);
}

/* What probes and health checks do is of no interest; who logged in, or tried to, is. */
static void log_end(const struct pop3_session *s)
{
    const char *wrong = s->conn != NULL ? conn_tls_error(s->conn) : NULL;
    enum log_level level = s->state != POP3_AUTHORIZATION || s->refused > 0 || s->end == END_BAD_COMMANDS ||
                                   s->end == END_EARLY_TLS || wrong != NULL
                               ? LOG_LEVEL_INFO
                               : LOG_LEVEL_DEBUG;
    uint64_t ms = loop_now(s->service->host.loop) - s->started;
    char line[1024], tls[TLS_TEXT_SIZE];

    if (!log_wants(level))
        return;
    snprintf(
        line, sizeof line,
        "peer=%s%s retr=%llu/%llu top=%llu/%llu dele=%zu left=%llu/%llu local=%s mechanism=%s sql=%llu"
        " sql-time=%llu.%06llu"
        " auth-time=%llu.%06llu in-use=%u in=%llu out=%llu time=%llu.%03llu end=%s%s%s%s",
        s->conn != NULL ? conn_peer(s->conn) : "gone", pop3_tls_text(s, tls), (unsigned long long)s->retr.messages,
        (unsigned long long)s->retr.octets, (unsigned long long)s->top.messages, (unsigned long long)s->top.octets,
        s->removed, (unsigned long long)s->left.messages, (unsigned long long)s->left.octets,
        s->conn != NULL ? conn_local(s->conn) : "gone",
        s->mechanism != MECHANISMS ? mechanisms[s->mechanism].name
        : s->name != NULL          ? "USER"
                                   : "none",
        (unsigned long long)s->cost.statements, (unsigned long long)(s->cost.us / 1000000),
        (unsigned long long)(s->cost.us % 1000000), (unsigned long long)(s->auth_us / 1000000),
        (unsigned long long)(s->auth_us % 1000000), s->in_use, (unsigned long long)s->in_seen,
        (unsigned long long)s->out_seen, (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000),
        end_names[s->end], wrong != NULL ? " tls-error=\"" : "", wrong != NULL ? wrong : "", wrong != NULL ? "\"" : "");
    if (s->state == POP3_AUTHORIZATION) {
        if (level == LOG_LEVEL_INFO)
            log_info(s->id, "session refused=%u %s", s->refused, line);
        else
            log_debug(s->id, "session refused=%u %s", s->refused, line);
    } else {
        log_info(s->id, "session user=%s %s", log_text((struct span){ s->name, s->name_len }).s, line);
    }
}

static void count_end(const struct pop3_session *s)
{
    metric_add(METRIC_RETR_MESSAGES, s->retr.messages);
    metric_add(METRIC_RETR_OCTETS, s->retr.octets);
    metric_add(METRIC_TOP_MESSAGES, s->top.messages);
    metric_add(METRIC_DELETED_MESSAGES, s->removed);
    metric_add(METRIC_OCTETS_IN, s->in_seen);
    metric_add(METRIC_OCTETS_OUT, s->out_seen);
    if (s->end == END_KICKED)
        metric_add(METRIC_KICKED, 1);
    if (s->end == END_TAKEN)
        metric_add(METRIC_TAKEN_OVER, 1);
    if (s->state != POP3_AUTHORIZATION && s->end != END_QUIT)
        metric_add(METRIC_POP3_LOST, 1);
}

static void session_closed(void *arg)
{
    pop3_session_gone(arg);
}

/* Frees the session; its connection is closed, at once or after the last reply was written. */
static void session_free(struct pop3_session *s)
{
    struct pop3_service *service = s->service;
    struct conn *conn = s->conn;
    bool finish = conn != NULL && s->end != END_LOST && s->end != END_TIMEOUT && s->end != END_KICKED &&
                  (s->end != END_TAKEN || s->replied);

    if (s->auth_id != 0)
        auth_forget(service->host.auth, s->auth_id);
    if (s->open_id != 0)
        drop_forget(service->host.store, s->open_id);
    if (s->drop != NULL) {
        if (conn != NULL && conn_octets_out(conn) >= s->owed_until)
            drop_note_sent(s->drop);
        drop_finish(&s->drop, NULL, NULL, NULL);
    }
    guard_leave(service->guard, &s->seat);
    if (s->timer != NULL)
        timer_free(&s->timer);
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        service->sessions = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    mem_free(s->name);
    mem_free(s->domain);
    mem_free(s->timestamp);
    mem_free(s->refusal);
    mem_free(s->marks);
    mem_free(s);

    if (finish) {
        conn_finish(&conn, (uint64_t)service->host.settings->pop3_write_time, session_closed, service);
        return;
    }
    if (conn != NULL)
        conn_free(&conn);
    pop3_session_gone(service);
}

void pop3_session_over(struct pop3_session *s, enum pop3_end end)
{
    s->end = end;
    if (s->conn != NULL) {
        s->in_seen = conn_octets_in(s->conn);
        s->out_seen = conn_octets_out(s->conn) + conn_queued(s->conn);
    }
    if (s->state == POP3_UPDATE && s->asked) {
        /* The QUIT was whole, so it counts (Q06): its commit goes on, and the end comes with its result. */
        if (s->conn != NULL) {
            log_debug(s->id, "client disconnected while its QUIT is being committed");
            conn_free(&s->conn);
        }
        if (s->timer != NULL)
            timer_free(&s->timer);
        return;
    }
    /* No commit: the marks mean nothing, all messages are left. */
    if (s->drop != NULL) {
        s->left = (struct tally){ drop_count(s->drop), drop_octets(s->drop) };
        pop3_charge(s, drop_cost(s->drop));
    }
    pop3_tell_refusal(s);
    log_end(s);
    count_end(s);
    session_free(s);
}

void pop3_session_drain(struct pop3_session *s)
{
    /* Nothing is said to a client that did not ask: an unsolicited line would be taken for the next reply. */
    if (pop3_takes_line(s))
        pop3_session_over(s, END_DRAIN);
}

/* --------------------------------------------------------------- the loop */

/* False: the session is gone. */
static bool settle(struct pop3_session *s, enum outcome out)
{
    switch (out) {
    case P3_DONE:
        ASSERT(s->replied);
        pop3_trace_rest(s);
        s->replied = false;
        s->command = NULL;
        if (!s->service->closing)
            return true;
        pop3_session_over(s, END_DRAIN);
        return false;
    case P3_WAIT:
        if (!conn_paused(s->conn))
            conn_pause(s->conn);
        return true;
    case P3_ASK:
        s->wants_line = true;
        if (!s->service->closing)
            return true;
        pop3_session_over(s, END_DRAIN);
        return false;
    case P3_CLOSE:
        pop3_session_over(s, s->end);
        return false;
    case P3_ABORT:
        pop3_session_over(s, END_ERROR);
        return false;
    }
    ASSERT(false);
    return false;
}

bool pop3_act(struct pop3_session *s, enum outcome out)
{
    if (!settle(s, out))
        return false;
    /* Full: `drained` will resume. */
    if (pop3_takes_line(s) && !conn_full(s->conn))
        conn_resume(s->conn);
    return true;
}

static const struct command *find(const struct command_table *table, const char verb[VERB_LEN])
{
    for (size_t i = 0; i < table->count; i++) {
        if (memcmp(table->rows[i].verb, verb, VERB_LEN) == 0)
            return &table->rows[i];
    }
    return NULL;
}

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
    const struct command_table *mine = &pop3_auth_commands, *other = &pop3_drop_commands;
    const struct command *cmd;
    char verb[VERB_LEN];
    struct span rest;
    bool more;

    *wrong_r = "unknown command";
    if (!args_verb(line, verb, &rest, &more))
        return 0;
    if (s->state == POP3_TRANSACTION) {
        mine = &pop3_drop_commands;
        other = &pop3_auth_commands;
    }
    cmd = find(mine, verb);
    if (cmd == NULL) {
        if (find(other, verb) == NULL)
            return 0;
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
    enum outcome out = P3_DONE;
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
        s->end = END_BAD_COMMANDS;
        pop3_err(s, RC_NONE, "line too long, closing connection");
        return P3_CLOSE;
    case LINE_MORE:
        ASSERT(kind != LINE_MORE);
    }

    if (s->state == POP3_AUTHORIZATION)
        pop3_begin_login_command(s, kind == LINE_COMMAND ? line : (struct span){ NULL, 0 });
    pop3_trace_command(s, cmd, kind == LINE_COMMAND ? line : SPAN_OF(""));
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
        s->mechanism = MECHANISMS;
    out = cmd->run(s, &args);
    if (s->bad == bad)
        s->bad = 0;
    return out;
}

/* A client that logs in by AUTH may say more in a line than others (S10, S11), also in that of the command. */
static size_t line_limit(const struct pop3_session *s, struct span in)
{
    bool sasl = s->wants_line || (s->state == POP3_AUTHORIZATION && in.len > 5 &&
                                  span_is_nocase((struct span){ in.at, 5 }, SPAN_OF("AUTH ")));

    return sasl ? LINE_SASL_LIMIT : LINE_LIMIT;
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

        if (conn_full(s->conn)) {
            conn_pause(s->conn);
            break;
        }
        kind = line_next(&s->line, LINE_ENDS_LF, line_limit(s, rest), &rest, &line);
        if (kind == LINE_MORE)
            break;
        s->more = rest.len > 0;
        if (!settle(s, s->wants_line ? pop3_sasl_line(s, kind, line) : one_line(s, kind, line)))
            return 0;
    }
    return in.len - rest.len;
}

static void on_drained(void *owner)
{
    struct pop3_session *s = owner;

    if (pop3_takes_line(s))
        conn_resume(s->conn);
    else if (s->command->step != NULL && !s->asked)
        pop3_act(s, s->command->step(s));
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
    if (conn_octets_out(s->conn) < s->owed_until || (s->command != NULL && s->command->step == pop3_body_step))
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
