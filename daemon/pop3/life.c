/*
 * life.c - what becomes of a POP3 session: its states, its timer, what follows
 * from the outcome of a command, its end.
 *
 * Never writes a reply, and never removes a message: what ends here without a
 * commit removes nothing. Knows no command.
 */
#include "daemon/pop3/session.h"

#include <stdio.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "daemon/pop3/login.h"
#include "daemon/pop3/relay.h"
#include "daemon/pop3/relays.h"

/* Looks at a client's output in one write time, so that it is closed between 1 and 1.25 of it. */
enum { LOOKS = 4 };

static const char *const state_names[] = {
    [POP3_AUTHORIZATION] = "authorization", [POP3_TRANSACTION] = "transaction", [POP3_UPDATE] = "update",
    [POP3_RELAYED] = "relayed",
};

/* RFC 1939 section 3: only forward, and QUIT before the login ends without UPDATE; or to another server. */
void pop3_enter(struct pop3_session *s, enum pop3_state to)
{
    ASSERT(to == POP3_RELAYED ? s->state == POP3_AUTHORIZATION : to == s->state + 1);
    log_debug(s->base.id, "state=%s was=%s", state_names[to], state_names[s->state]);
    s->state = to;
}

/* ------------------------------------------------------------------ timers */

uint64_t pop3_login_by(const struct pop3_session *s)
{
    return s->base.started + (uint64_t)pop3_settings(s)->pop3_login_time;
}

void pop3_set_login_timer(struct pop3_session *s)
{
    uint64_t now = loop_now(pop3_host(s)->loop), due = pop3_login_by(s);

    if (s->login->say_at != 0 && s->login->say_at < due)
        due = s->login->say_at;
    timer_set(s->timer, due > now ? due - now : 0);
}

static void look_later(struct pop3_session *s)
{
    timer_set(s->timer, (uint64_t)pop3_settings(s)->pop3_write_time / LOOKS);
}

void pop3_set_session_timer(struct pop3_session *s)
{
    conn_set_timeout(s->base.conn, (uint64_t)pop3_settings(s)->pop3_idle);
    look_later(s);
}

void pop3_look_at_output(struct pop3_session *s)
{
    uint64_t out = conn_octets_out(s->base.conn);

    if (conn_queued(s->base.conn) == 0 || out != s->base.octets_out) {
        s->base.octets_out = out;
        s->stalled = 0;
    } else if (++s->stalled >= LOOKS) {
        pop3_session_over(s, END_TIMEOUT);
        return;
    }
    look_later(s);
}

/* --------------------------------------------------------------------- end */

void pop3_charge(struct pop3_session *s, struct drop_cost cost)
{
    s->report.cost.statements += cost.statements;
    s->report.cost.us += cost.us;
}

/* What probes and health checks do is of no interest; who logged in, or tried to, is. */
static void log_end(const struct pop3_session *s)
{
    const struct pop3_report *r = &s->report;
    bool inside = s->state != POP3_AUTHORIZATION;
    bool seen = inside || s->login->refused > 0 || s->base.end == END_BAD_COMMANDS || s->base.end == END_EARLY_TLS ||
                (s->base.conn != NULL && conn_tls_error(s->base.conn) != NULL);
    enum log_level level = seen ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
    char who[256], tls[TLS_TEXT_SIZE];

    if (!log_wants(level))
        return;
    if (inside)
        snprintf(who, sizeof who, "user=%s", log_text(s->base.address).s);
    else
        snprintf(who, sizeof who, "refused=%u", s->login->refused);
    session_log_end(
        &s->base, level,
        "session %s peer=%s%s retr=%llu/%llu top=%llu/%llu dele=%zu left=%llu/%llu local=%s mechanism=%s sql=%llu"
        " sql-time=%llu.%06llu auth-time=%llu.%06llu in-use=%u",
        who, session_peer(&s->base), pop3_tls_text(s, tls), (unsigned long long)r->retr.messages,
        (unsigned long long)r->retr.octets, (unsigned long long)r->top.messages, (unsigned long long)r->top.octets,
        r->removed, (unsigned long long)r->left.messages, (unsigned long long)r->left.octets,
        session_local(&s->base),
        r->mechanism != MECHANISMS ? mechanisms[r->mechanism].name : pop3_name(s).len > 0 ? "USER" : "none",
        (unsigned long long)r->cost.statements, (unsigned long long)(r->cost.us / 1000000),
        (unsigned long long)(r->cost.us % 1000000), (unsigned long long)(r->auth_us / 1000000),
        (unsigned long long)(r->auth_us % 1000000), r->in_use);
}

/* What an old server said and did is not known here: no numbers of messages. */
static void log_end_relayed(const struct pop3_session *s)
{
    const struct pop3_report *r = &s->report;
    char tls[TLS_TEXT_SIZE];

    session_log_end(&s->base, LOG_LEVEL_INFO, "session user=%s peer=%s%s relayed=%s local=%s mechanism=%s"
                    " auth-time=%llu.%06llu",
                    log_text(s->base.address).s, session_peer(&s->base), pop3_tls_text(s, tls), relay_name(s->relay),
                    session_local(&s->base), r->mechanism != MECHANISMS ? mechanisms[r->mechanism].name : "USER",
                    (unsigned long long)(r->auth_us / 1000000), (unsigned long long)(r->auth_us % 1000000));
}

static void count_end(const struct pop3_session *s)
{
    metric_add(METRIC_RETR_MESSAGES, s->report.retr.messages);
    metric_add(METRIC_RETR_OCTETS, s->report.retr.octets);
    metric_add(METRIC_TOP_MESSAGES, s->report.top.messages);
    metric_add(METRIC_DELETED_MESSAGES, s->report.removed);
    metric_add(METRIC_OCTETS_IN, s->base.octets_in);
    metric_add(METRIC_OCTETS_OUT, s->base.octets_out);
    if (s->base.end == END_KICKED)
        metric_add(METRIC_KICKED, 1);
    if (s->base.end == END_TAKEN)
        metric_add(METRIC_TAKEN_OVER, 1);
    if (s->state != POP3_AUTHORIZATION && s->state != POP3_RELAYED && s->base.end != END_QUIT)
        metric_add(METRIC_POP3_LOST, 1);
}

/* Does the client get what is still written? */
static bool has_last_word(const struct pop3_session *s)
{
    switch (s->base.end) {
    case END_LOST:
    case END_TIMEOUT:
    case END_KICKED:
        return false;
    case END_TAKEN:
        return s->replied;
    case END_OLD_SERVER:    /* what it has sent is the client's, its last word above all; what was cut is cut here */
    case END_QUIT:
    case END_EOF:
    case END_DRAIN:
    case END_BAD_COMMANDS:
    case END_ERRORS:
    case END_EARLY_TLS:
    case END_REFUSED:
    case END_ERROR:
        break;
    }
    return true;
}

void pop3_relay_over(struct pop3_session *s)
{
    if (s->relay == NULL)
        return;
    relay_free(&s->relay);
    if (s->state != POP3_RELAYED)
        relays_answered(pop3_service_of(s)->relays, s->login->old_server);
    relays_leave(pop3_service_of(s)->relays);
}

/* Frees the session; its connection is closed, at once or after the last reply was written. */
static void session_free(struct pop3_session *s)
{
    uint64_t last_word = has_last_word(s) ? (uint64_t)pop3_settings(s)->pop3_write_time : 0;

    pop3_relay_over(s);
    pop3_login_free(s);
    if (s->drop != NULL) {
        if (s->base.conn != NULL && conn_octets_out(s->base.conn) >= s->owed_until)
            drop_note_sent(s->drop);
        drop_finish(&s->drop, NULL, NULL, NULL);
    }
    guard_leave(pop3_service_of(s)->guard, &s->seat);
    if (s->timer != NULL)
        timer_free(&s->timer);
    mem_free(s->address);
    mem_free(s->marks.set);
    mem_free(s->body);
    session_leave(&s->base, last_word);
}

void pop3_session_over(struct pop3_session *s, enum session_end end)
{
    s->base.end = end;
    session_note_octets(&s->base);
    if (s->state == POP3_UPDATE && s->asked) {
        /* The QUIT was whole, so it counts (Q06): its commit goes on, and the end comes with its result. */
        if (s->base.conn != NULL) {
            log_debug(s->base.id, "client disconnected while its QUIT is being committed");
            conn_free(&s->base.conn);
        }
        if (s->timer != NULL)
            timer_free(&s->timer);
        return;
    }
    /* No commit: the marks mean nothing, all messages are left. */
    if (s->drop != NULL) {
        s->report.left = (struct tally){ drop_count(s->drop), drop_octets(s->drop) };
        pop3_charge(s, drop_cost(s->drop));
    }
    pop3_tell_refusal(s);
    if (s->state == POP3_RELAYED)
        log_end_relayed(s);
    else
        log_end(s);
    count_end(s);
    session_free(s);
}

/* ---------------------------------------------------------------- outcomes */

bool pop3_settle(struct pop3_session *s, enum outcome out)
{
    switch (out) {
    case CMD_DONE:
        ASSERT(s->replied);
        session_trace_rest(&s->base);
        s->replied = false;
        s->command = NULL;
        break;
    case CMD_WAIT:
        if (!conn_paused(s->base.conn))
            conn_pause(s->base.conn);
        return true;
    case CMD_ASK:
        s->wants_line = true;
        break;
    case CMD_CLOSE:
        pop3_session_over(s, s->base.end);
        return false;
    case CMD_ABORT:
        pop3_session_over(s, END_ERROR);
        return false;
    }
    if (!s->base.service->closing && !s->base.closing)
        return true;
    pop3_session_over(s, END_DRAIN);
    return false;
}

bool pop3_act(struct pop3_session *s, enum outcome out)
{
    if (!pop3_settle(s, out))
        return false;
    /* Full: `drained` will resume. */
    if (pop3_takes_line(s) && !conn_full(s->base.conn))
        conn_resume(s->base.conn);
    return true;
}
