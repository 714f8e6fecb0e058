/*
 * say.c - what is said, and how many replies are still owed.
 */
#include "daemon/lmtp/session.h"

#include <string.h>

#include "daemon/base/mem.h"
#include "daemon/net/conn.h"

static void replied(struct lmtp_session *s)
{
    ASSERT(s->owed > 0);
    s->owed--;
}

enum outcome lmtp_outcome(const struct lmtp_session *s)
{
    if (s->ending)
        return CMD_CLOSE;
    return s->owed > 0 ? CMD_WAIT : CMD_DONE;
}

enum outcome lmtp_end(struct lmtp_session *s, enum session_end end)
{
    s->base.end = end;
    s->ending = true;
    return CMD_CLOSE;
}

/*
 * To what a sender wrote and his mail server passed on: twenty addresses of a list that are none
 * are no reason to close.
 */
static bool is_of_sender(enum lmtp_reply_name name)
{
    return name == REPLY_BAD_SENDER || name == REPLY_BAD_RCPT || name == REPLY_BAD_RCPT_WHY;
}

enum outcome lmtp_say_text(struct lmtp_session *s, const char *text)
{
    replied(s);
    session_trace_reply(&s->base, span_str(text));
    conn_write(s->base.conn, text, strlen(text));
    return lmtp_outcome(s);
}

static void write_reply(struct lmtp_session *s, enum lmtp_reply_name name, const char *a, const char *b)
{
    struct buf line = BUF_EMPTY;

    lmtp_reply_put(&line, name, a, b);
    session_trace_reply(&s->base, buf_span(&line));
    conn_write(s->base.conn, line.data, line.len);
    buf_free(&line);
}

void lmtp_say_unasked(struct lmtp_session *s, enum lmtp_reply_name name)
{
    write_reply(s, name, NULL, NULL);
}

enum outcome lmtp_say(struct lmtp_session *s, enum lmtp_reply_name name, const char *a, const char *b)
{
    const char *code = lmtp_replies[name].code;

    replied(s);
    /* 50x and 555: not a word of a mail server. What it cannot know (550, 552 ...) does not count. */
    if (((code[0] == '5' && code[1] == '0') || strcmp(code, "555") == 0) && !is_of_sender(name)) {
        if (++s->bad >= (unsigned)lmtp_settings(s)->lmtp_bad_commands) {
            name = REPLY_ERRORS;
            lmtp_end(s, END_ERRORS);
        }
    }
    write_reply(s, name, a, b);
    return lmtp_outcome(s);
}

enum outcome lmtp_bdat_refused(struct lmtp_session *s, enum lmtp_reply_name why)
{
    lmtp_say(s, why, NULL, NULL);
    return lmtp_end(s, END_ERRORS);
}
