/*
 * sessions.c - `sessions`: who holds a maildrop.
 *
 * PostgreSQL knows which backends hold the locks; the workers behind them know
 * the sessions, and are asked by a notification. What they answer was not
 * checked by anybody: it is parsed by the database and shown as text.
 */
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"
#include "daemon/base/mem.h"

enum { PATIENCE_MS = 1000, ANSWERS_MAX = 100000 };

/* $1: the answers, as a text[]; $2: what to show for a holder that did not answer. */
static const char merge[] =
    "select coalesce(h.address, 'removed mailbox ' || h.mailbox) as address, to_timestamp(a.since) as since,"
    " a.peer as \"from\", a.host, a.protocol, coalesce(a.session, $2) as session, h.pid as backend, a.session is not null as answered"
    " from postern.held_maildrops() h left join (select distinct on (r.mailbox, r.lane_pid) r.*"
    "  from unnest($1::text[]) p cross join lateral jsonb_to_recordset(p::jsonb)"
    "  as r(mailbox bigint, lane_pid integer, since bigint, session text, peer text, protocol text, host text)) a"
    " on a.mailbox = h.mailbox and a.lane_pid = h.pid order by 1, 2";

struct answers {
    struct buf array;
    uint32_t count;
};

static PGresult *merged(struct ctl *c, struct answers *answers)
{
    struct args a = ARGS_NONE;

    array_end(&answers->array, answers->count);
    args_binary(&a, &answers->array);
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

/* Anybody can notify: an answer that is no array of objects is passed over. */
static bool is_answer(struct ctl *c, const char *text)
{
    struct args a = ARGS_NONE;
    PGresult *res;
    bool ok;

    args_text(&a, text);
    res = PQexecParams(c->db, "select 1 from jsonb_to_recordset($1::jsonb)"
                       " as r(mailbox bigint, lane_pid integer, since bigint, session text, peer text, protocol text, host text)",
                       a.n, NULL, a.values, a.lengths, a.formats, 0);
    ok = PQresultStatus(res) == PGRES_TUPLES_OK;
    PQclear(res);
    return ok;
}

/* True if something came. */
static bool collect(struct ctl *c, const char *channel, struct answers *answers)
{
    PGnotify *n;
    uint32_t before = answers->count;

    PQconsumeInput(c->db);
    while ((n = PQnotifies(c->db)) != NULL) {
        if (strcmp(n->relname, channel) == 0 && answers->count < ANSWERS_MAX && is_answer(c, n->extra)) {
            array_bytes(&answers->array, n->extra, strlen(n->extra));
            answers->count++;
        }
        PQfreemem(n);
    }
    return answers->count > before;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Asks, and waits until all holders have answered, or for a second. NULL after a message. */
static PGresult *ask_all(struct ctl *c, const char *channel, struct answers *answers)
{
    char listen[64];
    struct args a = ARGS_NONE;
    PGresult *res;
    int64_t until = now_ms() + PATIENCE_MS, left;

    snprintf(listen, sizeof listen, "listen %s", channel);      /* our own letters and digits */
    if (!db_do(c, "listen for answers", listen))
        return NULL;
    args_text(&a, channel);
    res = db_ask(c, "ask for sessions", "select postern.ask_who($1)", &a);
    if (res == NULL)
        return NULL;
    PQclear(res);
    res = merged(c, answers);
    while (res != NULL && !all_answered(res) && (left = until - now_ms()) > 0) {
        struct pollfd fd = { PQsocket(c->db), POLLIN, 0 };

        poll(&fd, 1, (int)left);
        if (!collect(c, channel, answers))
            continue;
        PQclear(res);
        res = merged(c, answers);
    }
    return res;
}

enum ctl_exit run_sessions(struct ctl *c)
{
    struct answers answers = { BUF_EMPTY, 0 };
    unsigned char random[8];
    char hex[2 * sizeof random + 1], channel[40];
    PGresult *res;

    randombytes_buf(random, sizeof random);
    snprintf(channel, sizeof channel, "postern_reply_%s", sodium_bin2hex(hex, sizeof hex, random, sizeof random));
    array_begin(&answers.array, DB_OID_TEXT);
    res = ask_all(c, channel, &answers);
    buf_free(&answers.array);
    if (res == NULL)
        return db_end(c);
    out_rows(c, res);
    PQclear(res);
    return CTL_DONE;
}
