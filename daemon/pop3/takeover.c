/*
 * takeover.c - does a session give its maildrop up to somebody who wants it? The
 * holder's half of storage/maildrop/takeover.c, whatever host the other one is on. Must
 * never give up one that is at work.
 */
#include "daemon/base/log.h"
#include "daemon/net/conn.h"
#include "daemon/pop3/session.h"

/* Something would be lost with the session: deletions, or that it got a message which it is about to delete. */
static bool has_to_lose(const struct pop3_session *s)
{
    return s->marks.count > 0 || s->got_message;
}

/*
 * A client that filters what it fetched says nothing for long; one that the kernel knows to be
 * gone will never say more.
 */
static bool gives_up(const struct pop3_session *s, uint64_t silent)
{
    const struct pop3_settings *settings = pop3_settings(s);
    uint64_t least = (uint64_t)settings->pop3_takeover_after,
             longer = (uint64_t)settings->pop3_takeover_after_deletions;

    if (least == 0 || silent < least)
        return false;
    return !has_to_lose(s) || (longer > 0 && silent >= longer) || conn_vanished(s->base.conn);
}

/*
 * Not an autologout (RFC 1939 section 3): nothing happens to a silent session
 * until its owner has logged in elsewhere. While the database is asked, or
 * the client takes octets of a message, it is at work; a QUIT has begun to
 * delete. An operator's word needs no silence.
 */
bool pop3_session_asked(void *owner, const char *by, bool ordered)
{
    struct pop3_session *s = owner;
    uint64_t silent = s->base.conn != NULL ? conn_silent(s->base.conn) : 0;

    if (s->state != POP3_TRANSACTION || (!ordered && (s->asked || !gives_up(s, silent))))
        return false;
    log_info(s->base.id, "maildrop of user=%s given up to %s%s silent=%llu.%03llu",
             log_text(s->base.address).s, ordered ? "" : "session=", log_text(span_str(by)).s,
             (unsigned long long)(silent / 1000), (unsigned long long)(silent % 1000));
    /* What a client that is there after all reads as the answer to its next command: nothing that it marked is gone. */
    if (pop3_takes_line(s) && conn_queued(s->base.conn) == 0)
        pop3_err(s, RC_SYS_TEMP, ordered ? "session closed by the operator, nothing was deleted"
                                         : "maildrop taken over by another session, nothing was deleted");
    pop3_session_over(s, END_TAKEN);
    return true;
}
