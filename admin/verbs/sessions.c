/*
 * sessions.c - `sessions`: who holds a maildrop; `break`: it is told to let go.
 *
 * PostgreSQL knows which backends hold the locks; the workers behind them know
 * the sessions, and are asked by a notification. What they answer was not
 * checked by anybody: it is parsed by the database and shown as text.
 */
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"
#include "daemon/base/clock.h"
#include "daemon/base/mem.h"

enum { PATIENCE_MS = 1000, BREAK_PATIENCE_MS = 3000 };

/* $1: the channel; $2: what to show for a holder that did not answer. */
static const char merge[] =
    "select coalesce(h.address, 'removed mailbox ' || h.mailbox) collate \"C\" as address, to_timestamp(a.since) as"
    " since,"
    " a.peer as \"from\", a.host, a.protocol, coalesce(a.session, $2) as session, h.pid as backend, a.session is not"
    " null as answered"
    " from postern.held_maildrops() h left join (select distinct on (r.mailbox, r.lane_pid) r.*"
    "  from postern.answers($1) r) a on a.mailbox = h.mailbox and a.lane_pid = h.pid order by 1, 2";

static PGresult *merged(struct ctl *c, const char *channel)
{
    struct args a = ARGS_NONE;

    args_text(&a, channel);
    args_text(&a, c->json ? NULL : "no answer");
    return db_ask(c, "list sessions", merge, &a);
}

static bool all_answered(const PGresult *res)
{
    int col = PQfnumber(res, "answered");

    for (int row = 0; row < PQntuples(res); row++)
        if (PQgetvalue(res, row, col)[0] != 't')
            return false;
    return true;
}

/* True if something was answered, which the database keeps: anybody could listen to a notification. */
static bool has_news(struct ctl *c, const char *channel)
{
    PGnotify *n;
    bool news = false;

    PQconsumeInput(c->db);
    while ((n = PQnotifies(c->db)) != NULL) {
        news = news || strcmp(n->relname, channel) == 0;
        PQfreemem(n);
    }
    return news;
}

enum { CHANNEL_SIZE = 40 };

/* On a channel that nobody can guess. False after a message. */
static bool listen_for_answers(struct ctl *c, char channel[CHANNEL_SIZE])
{
    unsigned char random[8];
    char hex[2 * sizeof random + 1], listen[CHANNEL_SIZE + sizeof "listen "];

    randombytes_buf(random, sizeof random);
    snprintf(channel, CHANNEL_SIZE, "postern_reply_%s", sodium_bin2hex(hex, sizeof hex, random, sizeof random));
    snprintf(listen, sizeof listen, "listen %s", channel);      /* our own letters and digits */
    return db_do(c, "listen for answers", listen);
}

/* Asks, and waits until all holders have answered, or for a second. NULL after a message. */
static PGresult *ask_all(struct ctl *c, const char *channel)
{
    struct args a = ARGS_NONE;
    PGresult *res;
    uint64_t until = clock_ms() + PATIENCE_MS;
    int left;

    args_text(&a, channel);
    res = db_ask(c, "ask for sessions", "select postern.ask_who($1)", &a);
    if (res == NULL)
        return NULL;
    PQclear(res);
    res = merged(c, channel);
    while (res != NULL && !all_answered(res) && (left = clock_left(until)) > 0) {
        struct pollfd fd = { PQsocket(c->db), POLLIN, 0 };

        poll(&fd, 1, left);
        if (!has_news(c, channel))
            continue;
        PQclear(res);
        res = merged(c, channel);
    }
    return res;
}

enum ctl_exit run_sessions(struct ctl *c)
{
    char channel[CHANNEL_SIZE];
    PGresult *res;

    if (!listen_for_answers(c, channel))
        return db_end(c);
    res = ask_all(c, channel);
    if (res == NULL)
        return db_end(c);
    out_rows(c, res);
    PQclear(res);
    return CTL_DONE;
}

/* ----------------------------------------------------------------------- break */

/* The number of a mailbox, and how many hold it: none, or one. False after a message. */
static bool find_holder(struct ctl *c, const char *address, struct mailbox_ref *mailbox_r, int64_t *holders_r)
{
    struct args a = ARGS_NONE;
    int64_t found[2];

    args_text(&a, address);
    if (!db_numbers(c, "find the mailbox",
                    "select m, (select count(*) from postern.held_maildrops() h where h.mailbox = m)"
                    " from postern.find_mailbox($1) m",
                    &a, 2, found))
        return false;
    *mailbox_r = (struct mailbox_ref){ .number = found[0] };
    *holders_r = found[1];
    return true;
}

/*
 * Has the holder answered? Anybody can notify, but not on a channel that they cannot guess; and what
 * comes of it is looked at.
 */
static bool holder_answered(struct ctl *c, const char *channel, const struct mailbox_ref *mailbox)
{
    uint64_t until = clock_ms() + BREAK_PATIENCE_MS;
    int left;
    char is_free[48];
    bool answered = false;

    snprintf(is_free, sizeof is_free, "free %s", mailbox_text(mailbox).s);
    while (!answered && (left = clock_left(until)) > 0) {
        struct pollfd fd = { PQsocket(c->db), POLLIN, 0 };
        PGnotify *n;

        poll(&fd, 1, left);
        if (!PQconsumeInput(c->db))
            return false;
        while ((n = PQnotifies(c->db)) != NULL) {
            answered = answered || (strcmp(n->relname, channel) == 0 && strcmp(n->extra, is_free) == 0);
            PQfreemem(n);
        }
    }
    return answered;
}

static enum ctl_exit end_backend(struct ctl *c, const char *address, const struct mailbox_ref *mailbox)
{
    struct args a = ARGS_NONE;
    int64_t ended;

    args_mailbox(&a, mailbox);
    if (!db_numbers(c, "terminate the connection", "select coalesce(postern.end_backend($1), 0)", &a, 1, &ended))
        return db_end(c);
    ctl_say(c, "terminated the connection that held the maildrop of %s, and %lld in all", address, (long long)ended);
    return CTL_DONE;
}

enum ctl_exit run_break(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE], channel[CHANNEL_SIZE];
    struct args a = ARGS_NONE;
    struct mailbox_ref mailbox;
    int64_t holders;
    enum ctl_exit end;

    if (!ctl_address(c->args[0], false, address))
        return CTL_USAGE;
    if (!find_holder(c, address, &mailbox, &holders))
        return db_end(c);
    if (holders == 0)
        return ctl_error(CTL_FAILED, "no session holds the maildrop of %s", address);
    if (!listen_for_answers(c, channel))
        return db_end(c);
    args_mailbox(&a, &mailbox);
    args_text(&a, channel);
    end = db_call(c, "request the release", "select postern.order_release($1, $2)", &a);
    if (end != CTL_DONE)
        return end;
    if (holder_answered(c, channel, &mailbox)) {
        ctl_say(c, "ended the session that held the maildrop of %s", address);
        return CTL_DONE;
    }
    if (!find_holder(c, address, &mailbox, &holders))
        return db_end(c);
    if (holders == 0) {
        ctl_say(c, "the maildrop of %s is free", address);
        return CTL_DONE;
    }
    if (c->opt[OPT_FORCE] == NULL)
        return ctl_error(CTL_FAILED,
                         "the holder of the maildrop of %s does not answer; --force terminates its database connection"
                         " and all sessions on it",
                         address);
    return end_backend(c, address, &mailbox);
}
