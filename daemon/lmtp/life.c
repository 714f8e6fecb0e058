/*
 * life.c - what becomes of an LMTP session: when its input rests and goes on,
 * its end.
 *
 * Must never end a session in the middle of a message because the service is
 * told to stop. Knows no command.
 */
#include "daemon/base/mem.h"
#include "daemon/lmtp/transaction.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"

enum { LAST_WORD_MS = 10000 };

/*
 * A client that misses a reply waits for ever, and one too many it takes for that to its next
 * command: refused as mail, or lost.
 */
bool lmtp_all_replied(const struct lmtp_session *s)
{
    switch (s->state) {
    case LMTP_WAITING:
    case LMTP_START:
    case LMTP_READY:
        return s->owed == 0;
    case LMTP_MAIL:
    case LMTP_RESOLVING:
        return s->owed == s->pending_count;
    case LMTP_DATA:
    case LMTP_SPOOLING:
    case LMTP_STORING:
        return s->owed == s->transaction->recipient_count;
    case LMTP_CHUNK:
        return s->owed == lmtp_chunk_replies(s);
    }
    return false;
}

/* As in POP3: what probes and health checks do is of no interest. */
static void log_end(struct lmtp_session *s)
{
    bool seen = s->noteworthy || s->base.end == END_ERRORS;

    session_note_octets(&s->base);
    session_log_end(&s->base, seen ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
                    "lmtp session peer=%s local=%s lhlo=%s messages=%llu deliveries=%llu sql-time=%llu.%03llu",
                    session_peer(&s->base), session_local(&s->base),
                    log_text((struct span){ s->lhlo != NULL ? s->lhlo : "", s->lhlo_len }).s,
                    (unsigned long long)s->report.messages, (unsigned long long)s->report.deliveries,
                    (unsigned long long)(s->report.sql_ms / 1000), (unsigned long long)(s->report.sql_ms % 1000));
}

void lmtp_session_free(struct lmtp_session *s)
{
    log_end(s);
    if (s->job != NULL)
        deliver_forget(s->job);
    if (s->timer != NULL)
        timer_free(&s->timer);
    lmtp_reset(s);
    mem_free(s->pending);
    mem_free(s->lhlo);
    session_leave(&s->base, s->base.end != END_LOST ? LAST_WORD_MS : 0);
}

void lmtp_session_over(struct lmtp_session *s, enum session_end end)
{
    s->base.end = end;
    if (s->state == LMTP_STORING) {
        s->ending = true;
        if (end == END_LOST && s->base.conn != NULL)
            conn_free(&s->base.conn);
        return;
    }
    lmtp_session_free(s);
}

bool lmtp_end_now(struct lmtp_session *s)
{
    if (!s->ending || s->state == LMTP_STORING)
        return false;
    lmtp_session_free(s);
    return true;
}

void lmtp_stop_between(struct lmtp_session *s)
{
    switch (s->state) {
    case LMTP_WAITING:
    case LMTP_START:
    case LMTP_READY:
        break;
    case LMTP_MAIL:
        if (s->transaction->chunks && s->transaction->recipient_count > 0)
            return;
        break;
    case LMTP_DATA:
    case LMTP_CHUNK:
    case LMTP_RESOLVING:
    case LMTP_SPOOLING:
    case LMTP_STORING:
        return;
    }
    if ((!s->base.service->draining && !s->base.closing) || s->ending)
        return;
    lmtp_say_unasked(s, REPLY_STOPPING);
    lmtp_end(s, END_DRAIN);
}

void lmtp_rest(struct lmtp_session *s, enum lmtp_state state)
{
    s->state = state;
    conn_pause(s->base.conn);
    /* It is we who are silent. */
    conn_set_timeout(s->base.conn, 0);
}

void lmtp_go_on(struct lmtp_session *s, enum lmtp_state to)
{
    s->state = to;
    lmtp_stop_between(s);
    if (s->ending) {
        lmtp_session_free(s);
        return;
    }
    ASSERT(lmtp_all_replied(s));
    conn_set_timeout(s->base.conn, (uint64_t)lmtp_settings(s)->lmtp_idle);
    if (!conn_full(s->base.conn))
        conn_resume(s->base.conn);
}
