/*
 * cmd_drop.c - the commands on an open maildrop: STAT LIST UIDL DELE NOOP RSET
 * QUIT, and CAPA again. (RETR and TOP are in body.c.)
 *
 * Owns the marks. Numbers are those of the snapshot and never change in a
 * session. Never removes anything before QUIT, and never says that something
 * was removed before the commit did it.
 */
#include "daemon/pop3/commands.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/net/conn.h"
#include "daemon/pop3/session.h"

static bool is_marked(const struct pop3_session *s, size_t i)
{
    return s->marks.set != NULL && s->marks.set[i] != 0;
}

/* What is not marked. */
static struct tally unmarked(const struct pop3_session *s)
{
    return (struct tally){ drop_count(s->drop) - s->marks.count, drop_octets(s->drop) - s->marks.octets };
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

bool pop3_pick(struct pop3_session *s, struct span number, size_t *i_r, enum outcome *out_r)
{
    size_t count = drop_count(s->drop);
    uint64_t n;
    int parsed = num_parse(number, UINT64_MAX, &n);

    if (parsed == 0)
        *out_r = pop3_bad(s, "invalid message number");
    else if (count == 0)
        *out_r = pop3_err(s, RC_NONE, "the maildrop is empty");
    else if (parsed < 0)
        *out_r = pop3_err(s, RC_NONE, "no such message, only %zu message%s", count, plural(count));
    else if (n < 1 || n > count)
        *out_r =
            pop3_err(s, RC_NONE, "no message %llu, only %zu message%s", (unsigned long long)n, count, plural(count));
    else if (is_marked(s, (size_t)(n - 1)))
        *out_r = pop3_err(s, RC_NONE, "message %llu is deleted", (unsigned long long)n);
    else {
        *i_r = (size_t)(n - 1);
        return true;
    }
    return false;
}

enum outcome pop3_cmd_noop(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);

    (void)args;
    return pop3_ok(s, "%s", "");
}

/* RFC 1939 section 5: nothing after the two numbers. */
enum outcome pop3_cmd_stat(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);
    struct tally left = unmarked(s);

    (void)args;
    return pop3_ok(s, "%llu %llu", (unsigned long long)left.messages, (unsigned long long)left.octets);
}

static enum outcome say_left(struct pop3_session *s)
{
    struct tally left = unmarked(s);

    return pop3_ok(s, "%llu message%s, %llu octets", (unsigned long long)left.messages, plural(left.messages),
                   (unsigned long long)left.octets);
}

/* --------------------------------------------------------------- listings */

enum { LISTING_BLOCK = 8192, LISTING_LINE = 20 + 1 + UIDL_MAX + 2 };

typedef size_t listing_field(const struct pop3_session *s, size_t i, char *out);

static size_t octets_field(const struct pop3_session *s, size_t i, char *out)
{
    return num_format(out, drop_message_octets(s->drop, i));
}

static size_t uidl_field(const struct pop3_session *s, size_t i, char *out)
{
    return drop_message_uidl(s->drop, i, out);
}

static size_t listing_line(const struct pop3_session *s, size_t i, listing_field *field, char *out)
{
    size_t len = num_format(out, (uint64_t)i + 1);

    out[len++] = ' ';
    len += field(s, i, out + len);
    out[len++] = '\r';
    out[len++] = '\n';
    return len;
}

/* In blocks: a maildrop may have a hundred thousand lines, and each client asks for all of them. */
static enum outcome listing(struct pop3_session *s, listing_field *field)
{
    size_t count = drop_count(s->drop);
    char block[LISTING_BLOCK];

    while (!conn_full(s->base.conn)) {
        size_t len = 0;

        for (; s->listed < count && len + LISTING_LINE + 3 <= sizeof block; s->listed++) {
            if (!is_marked(s, s->listed))
                len += listing_line(s, s->listed, field, block + len);
        }
        if (s->listed == count) {
            memcpy(block + len, ".\r\n", 3);
            conn_write(s->base.conn, block, len + 3);
            return CMD_DONE;
        }
        conn_write(s->base.conn, block, len);
    }
    return CMD_WAIT;
}

enum outcome pop3_list_step(struct session *s)
{
    return listing(pop3_of(s), octets_field);
}

enum outcome pop3_uidl_step(struct session *s)
{
    return listing(pop3_of(s), uidl_field);
}

static enum outcome one_listed(struct pop3_session *s, struct span number, listing_field *field)
{
    char line[LISTING_LINE];
    enum outcome out;
    size_t i;

    if (!pop3_pick(s, number, &i, &out))
        return out;
    return pop3_ok(s, "%.*s", (int)listing_line(s, i, field, line) - 2, line);
}

enum outcome pop3_cmd_list(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);

    if (args->count == 1)
        return one_listed(s, args->v[0], octets_field);
    s->listed = 0;
    say_left(s);
    return pop3_list_step(session);
}

enum outcome pop3_cmd_uidl(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);

    if (args->count == 1)
        return one_listed(s, args->v[0], uidl_field);
    s->listed = 0;
    say_left(s);
    return pop3_uidl_step(session);
}

/* ------------------------------------------------------------------ marks */

enum outcome pop3_cmd_dele(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);
    enum outcome out;
    size_t i;

    if (!pop3_pick(s, args->v[0], &i, &out))
        return out;
    /* The lock is lost, so nothing can be deleted any more: say it now, not at QUIT. */
    if (drop_lost(s->drop))
        return pop3_err(s, RC_SYS_TEMP, "connection to the maildrop lost, log in again");
    if (s->marks.set == NULL)
        s->marks.set = mem_array(drop_count(s->drop), 1);
    s->marks.set[i] = 1;
    s->marks.count++;
    s->marks.octets += drop_message_octets(s->drop, i);
    return pop3_ok(s, "message %zu is marked as deleted", i + 1);
}

enum outcome pop3_cmd_rset(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);

    (void)args;
    mem_free(s->marks.set);
    s->marks.set = NULL;
    s->marks.count = 0;
    s->marks.octets = 0;
    return say_left(s);
}

/* ----------------------------------------------------------------- UPDATE */

/* What to say of a QUIT, by how its commit ended. */
static void say_quit(struct pop3_session *s, enum db_status status)
{
    unsigned long long left = s->report.left.messages;

    switch (status) {
    case DB_OK:
        if (s->marks.count == 0)
            pop3_ok(s, "bye, %llu message%s left", left, plural(left));
        else
            pop3_ok(s, "bye, %zu message%s deleted, %llu left", s->marks.count, plural(s->marks.count), left);
        return;
    case DB_LOST:
        /* The connection broke between the question and the answer: nobody knows. */
        pop3_err(s, RC_SYS_TEMP, "connection to the maildrop lost, the messages may or may not have been deleted");
        return;
    case DB_ONE_SERVER:
        pop3_err(s, RC_SYS_TEMP, "the messages were deleted, but the standby server has not confirmed it: they may come"
                 " back if the database fails now");
        return;
    case DB_RETRY:
        pop3_err(s, RC_SYS_TEMP, "nothing was deleted, try again later");
        return;
    case DB_NOT_FOUND:
    case DB_LOCKED:
    case DB_UNCONFIRMED:
    case DB_BUG:
        pop3_err(s, RC_SYS_PERM, "deletion failed, contact your mail provider");
        return;
    }
}

/* Commit, then speak. */
static void on_finished(void *owner, enum db_status status)
{
    struct pop3_session *s = owner;
    enum session_end end = END_QUIT;       /* also of a client that did not wait for the reply */

    s->asked = false;
    pop3_charge(s, store_cost(pop3_host(s)->store));
    if (s->marks.count == 0) {
        /* There was nothing to commit; a lock that is lost is a lock given back. */
        status = DB_OK;
    } else if (status == DB_OK) {
        s->report.removed = s->marks.count;
    } else {
        log_warning(s->base.id, "quit of user=%s failed: status=%s, %zu marked messages may %s",
                    log_text(s->base.address).s, db_status_name(status), s->marks.count,
                    status == DB_ONE_SERVER ? "come back" : "still exist");
        s->report.left.messages += s->marks.count;
        s->report.left.octets += s->marks.octets;
        end = END_ERROR;
        metric_add(METRIC_QUIT_FAILED, 1);
    }
    if (s->base.conn != NULL)
        say_quit(s, status);
    pop3_session_over(s, end);
}

enum outcome pop3_cmd_quit(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);

    (void)args;
    pop3_enter(s, POP3_UPDATE);
    if (drop_lost(s->drop)) {
        /* Before anything was asked, so this is certain. */
        s->base.end = END_ERROR;
        pop3_err(s, RC_SYS_TEMP, "connection to the maildrop lost, nothing was deleted");
        return CMD_CLOSE;
    }
    s->report.left = unmarked(s);
    s->asked = true;
    drop_note_sent(s->drop);    /* a client that sends QUIT has what it wanted */
    drop_finish(&s->drop, s->marks.count > 0 ? s->marks.set : NULL, on_finished, s);
    return CMD_WAIT;
}
