/*
 * body.c - RETR and TOP: a message on its way from the database to the client.
 *
 * A producer that may stop anywhere: a piece is asked for when the one before
 * has gone down to the low mark, so a session never holds more than a piece and
 * the tail of another, whatever the message (Y20, Y21). The octets are lent by the storage and go
 * out without a copy where that pays. Never changes them, and never sends the
 * dot of a message that could not be read to its end (Y11).
 */
#include "daemon/pop3/commands.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/net/conn.h"
#include "daemon/pop3/session.h"
#include "daemon/pop3/stuff.h"

/* Below this a copy is cheaper than the bookkeeping of a reference. */
enum { COPY_BELOW = 4096, BEGINNING_LINES = 50 };

/* The message that is being sent. */
struct pop3_body {
    size_t at;              /* which */
    uint32_t piece;         /* the next one */
    struct stuff stuff;
};

static void release(void *ref)
{
    piece_release(ref);
}

/* For clients to which a NUL is the end of all: another octet, one for one, so that LIST holds (P1). */
static void send_without_nul(struct pop3_session *s, struct span bytes)
{
    char *copy = mem_strn(bytes.at, bytes.len);

    for (char *nul = copy; (nul = memchr(nul, '\0', bytes.len - (size_t)(nul - copy))) != NULL;)
        *nul = (char)0x80;
    conn_write(s->base.conn, copy, bytes.len);
    mem_free(copy);
}

static void send_span(struct pop3_session *s, struct span part, struct piece_ref *ref)
{
    struct span rest = stuff_cut(&s->body->stuff, part);
    struct stuff_run run;

    while (stuff_next(&s->body->stuff, &rest, &run)) {
        if (run.dot)
            conn_write(s->base.conn, ".", 1);
        if (s->replace_nul && memchr(run.bytes.at, '\0', run.bytes.len) != NULL) {
            send_without_nul(s, run.bytes);
        } else if (run.bytes.len < COPY_BELOW) {
            conn_write(s->base.conn, run.bytes.at, run.bytes.len);
        } else {
            piece_hold(ref);
            conn_write_ref(s->base.conn, run.bytes.at, run.bytes.len, release, ref);
        }
    }
}

/* The message cannot be read, or not to its end. */
static enum outcome unreadable(struct pop3_session *s, enum db_status status)
{
    if (s->replied) {
        log_error(s->base.id, "message %zu could not be read completely: status=%s sent=%llu of=%llu, closing",
                  s->body->at + 1, db_status_name(status), (unsigned long long)s->body->stuff.octets,
                  (unsigned long long)drop_message_octets(s->drop, s->body->at));
        return CMD_ABORT;
    }
    switch (status) {
    case DB_NOT_FOUND:
        return pop3_err(s, RC_NONE, "message %zu no longer exists", s->body->at + 1);
    case DB_LOST:
        return pop3_err(s, RC_SYS_TEMP, "connection to the maildrop lost, log in again");
    case DB_RETRY:
        return pop3_err(s, RC_SYS_TEMP, "cannot read message %zu now, try again later", s->body->at + 1);
    case DB_OK:
    case DB_LOCKED:
    case DB_UNCONFIRMED:
    case DB_ONE_SERVER:
    case DB_BUG:
        break;
    }
    log_error(s->base.id, "message %zu cannot be read: status=%s", s->body->at + 1, db_status_name(status));
    return pop3_err(s, RC_SYS_PERM, "cannot read message %zu, contact your mail provider", s->body->at + 1);
}

/* Takes the piece, and gives its reference back. CMD_WAIT: the next one is wanted. */
static enum outcome send_piece(struct pop3_session *s, const struct piece *piece)
{
    struct tally *tally = s->body->stuff.top ? &s->report.top : &s->report.retr;
    struct span end;

    if (!s->replied) {
        if (s->body->stuff.top)
            pop3_ok(s, "%s", "");
        else
            pop3_ok(s, "%llu octets", (unsigned long long)drop_message_octets(s->drop, s->body->at));
    }
    for (size_t i = 0; i < piece->count && !s->body->stuff.enough; i++)
        send_span(s, piece->spans[i], piece->ref);
    piece_release(piece->ref);
    s->body->piece++;
    if (!piece->last && !s->body->stuff.enough)
        return CMD_WAIT;

    end = stuff_end(&s->body->stuff);
    if (conn_octets_out(s->base.conn) >= s->owed_until)
        drop_note_sent(s->drop);
    conn_write(s->base.conn, end.at, end.len);
    s->owed_until = conn_octets_out(s->base.conn) + conn_queued(s->base.conn);
    tally->messages++;
    tally->octets += s->body->stuff.octets;
    /* TOP of more lines than there are is how some clients fetch. */
    if (!s->body->stuff.enough)
        drop_note_retrieved(s->drop, s->body->at);
    s->got_message = true;
    return CMD_DONE;
}

static enum outcome go_on(struct pop3_session *s);

static void on_piece(void *owner, enum db_status status, struct piece piece)
{
    struct pop3_session *s = owner;
    enum outcome out;

    s->asked = false;
    out = status == DB_OK ? send_piece(s, &piece) : unreadable(s, status);
    if (out == CMD_WAIT)
        out = go_on(s);
    pop3_act(s, out);
}

static enum drop_want wanted(const struct stuff *stuff)
{
    /* TOP n 99999999 is how fetchmail fetches: that is no beginning. */
    if (!stuff->top || stuff->lines > BEGINNING_LINES)
        return WANT_WHOLE;
    return stuff->lines > 0 ? WANT_BEGINNING : WANT_HEADER;
}

static enum outcome go_on(struct pop3_session *s)
{
    enum drop_want want = wanted(&s->body->stuff);
    enum outcome out = CMD_WAIT;

    while (out == CMD_WAIT && !conn_full(s->base.conn)) {
        struct piece piece;

        if (!drop_read(s->drop, s->body->at, s->body->piece, want, &piece, on_piece, s)) {
            s->asked = true;
            return CMD_WAIT;
        }
        out = send_piece(s, &piece);
    }
    return out;
}

enum outcome pop3_body_step(struct session *s)
{
    return go_on(pop3_of(s));
}

/* stuff: as the command wants it. */
static enum outcome start(struct pop3_session *s, size_t i, struct stuff stuff)
{
    if (s->unheard) {
        s->base.end = END_LOST;
        return CMD_CLOSE;
    }
    if (drop_lost(s->drop))
        return pop3_err(s, RC_SYS_TEMP, "connection to the maildrop lost, log in again");
    if (s->body == NULL)
        s->body = mem_alloc(sizeof *s->body);
    *s->body = (struct pop3_body){ .at = i, .stuff = stuff };
    return go_on(s);
}

enum outcome pop3_cmd_retr(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);
    enum outcome out;
    struct stuff stuff;
    size_t i;

    if (!pop3_pick(s, args->v[0], &i, &out))
        return out;
    stuff_whole(&stuff);
    return start(s, i, stuff);
}

enum outcome pop3_cmd_top(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);
    enum outcome out;
    struct stuff stuff;
    uint64_t lines;
    size_t i;

    /* More than a number can hold is more than any message has: all of it, never a wrap (Y16). */
    if (num_parse(args->v[1], UINT64_MAX, &lines) == 0)
        return pop3_bad(s, "invalid number of lines");
    if (!pop3_pick(s, args->v[0], &i, &out))
        return out;
    stuff_top(&stuff, lines);
    return start(s, i, stuff);
}
