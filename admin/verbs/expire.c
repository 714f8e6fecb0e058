/*
 * expire.c - `expire`: what a timer does every day. Mail that has outlived its
 * policy, the content of deleted mail, days of history that are too old, and
 * partitions for the days to come.
 *
 * Every step is a transaction of bounded size, so that sessions wait for none
 * of them. A maildrop that is open is passed over and counted: its turn comes
 * tomorrow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/progress.h"
#include "admin/verbs/scope.h"

enum { PAGE = 1000, BATCH = 1000, BATCH_MAX = 100000, RECLAIM_OCTETS = 4 << 20, DAYS_AHEAD = 7 };

struct expiry {
    struct ctl *c;
    struct progress progress;
    bool dry;
    struct scope scope;
    struct args scope_args;     /* its two parameters */
    int64_t batch;
    int64_t mailboxes, held, messages, octets;      /* expired */
    int64_t reclaimed, reclaimed_octets;
    int64_t days_made, days_dropped;
};

static int64_t number(const PGresult *res, int row, int col)
{
    return strtoll(PQgetvalue(res, row, col), NULL, 10);
}

/* ---- history */

/* The first day that is kept, as PostgreSQL reads it. */
static const char *first_day(const struct ctl *c, char out[16])
{
    time_t first = time(NULL) - (time_t)c->storage.history_days * 86400;
    struct tm tm;

    gmtime_r(&first, &tm);
    strftime(out, 16, "%Y-%m-%d", &tm);
    return out;
}

static enum ctl_exit history(struct expiry *e)
{
    struct args ahead = ARGS_NONE, old = ARGS_NONE;
    char day[16];
    PGresult *res;
    bool more = true;

    args_text(&old, first_day(e->c, day));
    if (e->dry) {
        res = db_ask(e->c, "find old history", "select count(*) from postern.old_history($1)", &old);
        if (res == NULL)
            return db_end(e->c);
        e->days_dropped = number(res, 0, 0);
        PQclear(res);
        return CTL_DONE;
    }
    args_int(&ahead, DAYS_AHEAD);
    res = db_ask(e->c, "make partitions of the history", "select postern.make_history($1)", &ahead);
    if (res == NULL)
        return db_end(e->c);
    e->days_made = number(res, 0, 0);
    PQclear(res);
    while (more) {
        res = db_ask(e->c, "drop old history", "select postern.drop_history($1)", &old);
        if (res == NULL)
            return db_end(e->c);
        more = !PQgetisnull(res, 0, 0);
        e->days_dropped += more;
        PQclear(res);
    }
    return CTL_DONE;
}

/* ---- mail */

/* All that has expired in one mailbox, a batch at a time. */
static enum ctl_exit expire_mailbox(struct expiry *e, const char *mailbox)
{
    int64_t removed = e->batch;
    bool held = false;

    for (bool first = true; removed == e->batch && !held; first = false) {
        struct args a = ARGS_NONE;
        PGresult *res;

        args_text(&a, mailbox);
        args_int(&a, e->batch);
        res = db_ask(e->c, "expire mail", "select removed, octets, held from postern.expire_mail($1, $2)", &a);
        if (res == NULL)
            return db_end(e->c);
        removed = number(res, 0, 0);
        held = PQgetvalue(res, 0, 2)[0] == 't';
        e->messages += removed;
        e->octets += number(res, 0, 1);
        e->held += held;
        e->mailboxes += first && !held;
        PQclear(res);
        progress_step(&e->progress, (uint64_t)e->messages, e->octets);
    }
    return CTL_DONE;
}

static enum ctl_exit mail(struct expiry *e)
{
    char after[24] = "0";
    int rows = PAGE;
    enum ctl_exit end = CTL_DONE;

    while (rows == PAGE && end == CTL_DONE) {
        struct args a = e->scope_args;
        PGresult *res;

        args_text(&a, after);
        args_int(&a, PAGE);
        res = db_ask(e->c, "find expired mail",
                     "select mailbox, address, messages, octets from postern.list_expired($3, $4, $1, $2)", &a);
        if (res == NULL)
            return db_end(e->c);
        rows = PQntuples(res);
        for (int i = 0; i < rows && end == CTL_DONE; i++) {
            if (number(res, i, 2) == 0)
                continue;
            if (e->dry) {
                progress_clear(&e->progress);
                ctl_say(e->c, "%s: %s message(s), %s octets have expired", PQgetvalue(res, i, 1), PQgetvalue(res, i, 2),
                        PQgetvalue(res, i, 3));
                e->mailboxes++;
                e->messages += number(res, i, 2);
                e->octets += number(res, i, 3);
            } else {
                end = expire_mailbox(e, PQgetvalue(res, i, 0));
            }
        }
        progress_step(&e->progress, (uint64_t)e->messages, e->octets);
        if (rows > 0)
            snprintf(after, sizeof after, "%s", PQgetvalue(res, rows - 1, 0));
        PQclear(res);
    }
    return end;
}

/* ---- content of deleted mail */

static enum ctl_exit reclaim(struct expiry *e)
{
    bool more = !e->dry;

    while (more) {
        struct args a = ARGS_NONE;
        PGresult *res;

        args_int(&a, RECLAIM_OCTETS);
        res = db_ask(e->c, "reclaim deleted mail", "select messages, octets, more from postern.reclaim($1)", &a);
        if (res == NULL)
            return db_end(e->c);
        e->reclaimed += number(res, 0, 0);
        e->reclaimed_octets += number(res, 0, 1);
        more = PQgetvalue(res, 0, 2)[0] == 't';
        PQclear(res);
        progress_step(&e->progress, (uint64_t)e->reclaimed, e->reclaimed_octets);
    }
    return CTL_DONE;
}

static void tell(const struct expiry *e, bool complete)
{
    struct json j;

    if (!e->c->json) {
        printf("%lld message(s), %lld octets of %lld mailbox(es) %s; %lld skipped because a session holds them\n",
               (long long)e->messages, (long long)e->octets, (long long)e->mailboxes,
               e->dry ? "would expire" : "expired", (long long)e->held);
        if (!e->scope.all)
            return;
        if (!e->dry)
            printf("%lld deleted message(s), %lld octets reclaimed\n", (long long)e->reclaimed,
                   (long long)e->reclaimed_octets);
        printf("history: %lld day(s) %s, %lld created ahead\n", (long long)e->days_dropped,
               e->dry ? "would be dropped" : "dropped", (long long)e->days_made);
        return;
    }
    json_start(&j, stdout);
    json_object(&j, NULL);
    json_bool(&j, "dry_run", e->dry);
    json_int(&j, "mailboxes", e->mailboxes);
    json_int(&j, "held", e->held);
    json_int(&j, "messages", e->messages);
    json_int(&j, "octets", e->octets);
    json_int(&j, "reclaimed", e->reclaimed);
    json_int(&j, "reclaimed_octets", e->reclaimed_octets);
    json_int(&j, "history_days_made", e->days_made);
    json_int(&j, "history_days_dropped", e->days_dropped);
    json_bool(&j, "complete", complete);
    json_end(&j);
}

enum ctl_exit run_expire(struct ctl *c)
{
    struct expiry e = { .c = c, .dry = c->opt[OPT_DRY_RUN] != NULL };
    enum ctl_exit end, other = CTL_DONE;

    if (!ctl_number(c, OPT_BATCH, BATCH, BATCH_MAX, &e.batch) || !scope_args(c, &e.scope_args, &e.scope))
        return CTL_USAGE;
    progress_start(&e.progress, "messages", 0);
    /* Partitions first, and whatever comes of them, the mail all the same. They belong to all, as deleted mail does. */
    if (e.scope.all)
        other = history(&e);
    end = mail(&e);
    if (end == CTL_DONE && e.scope.all)
        end = reclaim(&e);
    if (end == CTL_DONE)
        end = other;
    progress_clear(&e.progress);
    tell(&e, end == CTL_DONE);
    return end;
}
