/*
 * cmd_drop.c - the commands on an open maildrop: STAT LIST UIDL DELE NOOP RSET
 * QUIT, and CAPA again. (RETR and TOP are in body.c.)
 *
 * Owns the marks. Numbers are those of the snapshot and never change in a
 * session. Never removes anything before QUIT, and never says that something
 * was removed before the commit did it.
 */
#include "daemon/pop3/session.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/net/conn.h"

static bool is_marked(const struct pop3_session *s, size_t i)
{
    return s->marks != NULL && s->marks[i] != 0;
}

/* What is not marked. */
static struct tally unmarked(const struct pop3_session *s)
{
    return (struct tally){ drop_count(s->drop) - s->deleted, drop_octets(s->drop) - s->deleted_octets };
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

static enum outcome cmd_noop(struct pop3_session *s, const struct args *args)
{
    (void)args;
    return pop3_ok(s, "%s", "");
}

/* RFC 1939 section 5: nothing after the two numbers. */
static enum outcome cmd_stat(struct pop3_session *s, const struct args *args)
{
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

    while (!conn_full(s->conn)) {
        size_t len = 0;

        for (; s->at < count && len + LISTING_LINE + 3 <= sizeof block; s->at++) {
            if (!is_marked(s, s->at))
                len += listing_line(s, s->at, field, block + len);
        }
        if (s->at == count) {
            memcpy(block + len, ".\r\n", 3);
            conn_write(s->conn, block, len + 3);
            return P3_DONE;
        }
        conn_write(s->conn, block, len);
    }
    return P3_WAIT;
}

static enum outcome list_step(struct pop3_session *s)
{
    return listing(s, octets_field);
}

static enum outcome uidl_step(struct pop3_session *s)
{
    return listing(s, uidl_field);
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

static enum outcome cmd_list(struct pop3_session *s, const struct args *args)
{
    if (args->count == 1)
        return one_listed(s, args->v[0], octets_field);
    s->at = 0;
    say_left(s);
    return list_step(s);
}

static enum outcome cmd_uidl(struct pop3_session *s, const struct args *args)
{
    if (args->count == 1)
        return one_listed(s, args->v[0], uidl_field);
    s->at = 0;
    say_left(s);
    return uidl_step(s);
}

/* ------------------------------------------------------------------ marks */

static enum outcome cmd_dele(struct pop3_session *s, const struct args *args)
{
    enum outcome out;
    size_t i;

    if (!pop3_pick(s, args->v[0], &i, &out))
        return out;
    /* The lock is lost, so nothing can be deleted any more: say it now, not at QUIT. */
    if (drop_lost(s->drop))
        return pop3_err(s, RC_SYS_TEMP, "connection to the maildrop lost, log in again");
    if (s->marks == NULL)
        s->marks = mem_array(drop_count(s->drop), 1);
    s->marks[i] = 1;
    s->deleted++;
    s->deleted_octets += drop_message_octets(s->drop, i);
    return pop3_ok(s, "message %zu is marked as deleted", i + 1);
}

static enum outcome cmd_rset(struct pop3_session *s, const struct args *args)
{
    (void)args;
    mem_free(s->marks);
    s->marks = NULL;
    s->deleted = 0;
    s->deleted_octets = 0;
    return say_left(s);
}

/* ----------------------------------------------------------------- UPDATE */

/* What to say of a QUIT, by how its commit ended. */
static void say_quit(struct pop3_session *s, enum db_status status)
{
    unsigned long long left = s->left.messages;

    switch (status) {
    case DB_OK:
        if (s->deleted == 0)
            pop3_ok(s, "bye, %llu message%s left", left, plural(left));
        else
            pop3_ok(s, "bye, %zu message%s deleted, %llu left", s->deleted, plural(s->deleted), left);
        return;
    case DB_LOST:
        /* The connection broke between the question and the answer: nobody knows. */
        pop3_err(s, RC_SYS_TEMP, "connection to the maildrop lost, the messages may or may not have been deleted");
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
    enum pop3_end end = END_QUIT;       /* also of a client that did not wait for the reply */

    s->asked = false;
    pop3_charge(s, store_cost(s->service->host.store));
    if (s->deleted == 0) {
        /* There was nothing to commit; a lock that is lost is a lock given back. */
        status = DB_OK;
    } else if (status == DB_OK) {
        s->removed = s->deleted;
    } else {
        log_warning(s->id, "quit of user=%s failed: status=%s, %zu marked messages may still exist",
                    log_text((struct span){ s->name, s->name_len }).s, db_status_name(status), s->deleted);
        s->left.messages += s->deleted;
        s->left.octets += s->deleted_octets;
        end = END_ERROR;
        metric_add(METRIC_QUIT_FAILED, 1);
    }
    if (s->conn != NULL)
        say_quit(s, status);
    pop3_session_over(s, end);
}

static enum outcome cmd_quit(struct pop3_session *s, const struct args *args)
{
    (void)args;
    pop3_enter(s, POP3_UPDATE);
    if (drop_lost(s->drop)) {
        /* Before anything was asked, so this is certain. */
        s->end = END_ERROR;
        pop3_err(s, RC_SYS_TEMP, "connection to the maildrop lost, nothing was deleted");
        return P3_CLOSE;
    }
    s->left = unmarked(s);
    s->asked = true;
    drop_note_sent(s->drop);    /* a client that sends QUIT has what it wanted */
    drop_finish(&s->drop, s->deleted > 0 ? s->marks : NULL, on_finished, s);
    return P3_WAIT;
}

static const struct command rows[] = {
    { .verb = "STAT", .run = cmd_stat, .counted = METRIC_COMMAND_STAT },
    { .verb = "LIST", .max = 1, .run = cmd_list, .step = list_step, .counted = METRIC_COMMAND_LIST },
    { .verb = "UIDL", .max = 1, .run = cmd_uidl, .step = uidl_step, .counted = METRIC_COMMAND_UIDL },
    { .verb = "RETR",
      .min = 1,
      .max = 1,
      .run = pop3_cmd_retr,
      .step = pop3_body_step,
      .counted = METRIC_COMMAND_RETR },
    { .verb = "DELE", .min = 1, .max = 1, .run = cmd_dele, .counted = METRIC_COMMAND_DELE },
    { .verb = "TOP", .min = 2, .max = 2, .run = pop3_cmd_top, .step = pop3_body_step, .counted = METRIC_COMMAND_TOP },
    { .verb = "NOOP", .run = cmd_noop, .counted = METRIC_COMMAND_NOOP },
    { .verb = "RSET", .run = cmd_rset, .counted = METRIC_COMMAND_RSET },
    { .verb = "QUIT", .run = cmd_quit, .counted = METRIC_COMMAND_QUIT },
    { .verb = "CAPA", .run = pop3_cmd_capa, .counted = METRIC_COMMAND_CAPA },
};
const struct command_table pop3_drop_commands = { rows, sizeof rows / sizeof rows[0] };
