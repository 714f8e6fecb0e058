/*
 * space.c - `du`: what mail and tables take, and whether vacuum does its work;
 * `restored`: the uids that a restored back-up does not know of.
 */
#include <stdio.h>
#include <stdlib.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/out.h"
#include "admin/progress.h"
#include "admin/verbs/scope.h"

static void rows_json(struct json *j, const char *key, const PGresult *res)
{
    json_array(j, key);
    for (int i = 0; i < PQntuples(res); i++)
        out_json_row(j, NULL, res, i);
    json_end(j);
}

/* What the tables take, behind what the mail takes. */
static enum ctl_exit tables(struct ctl *c, struct json *j)
{
    PGresult *rows = db_ask(c, "measure the tables", "select * from postern.space_of_tables()", &ARGS_NONE);
    int64_t octets = 0;

    if (rows == NULL || !db_numbers(c, "measure the database", "select postern.database_octets()", &ARGS_NONE, 1,
                                    &octets)) {
        PQclear(rows);
        return db_end(c);
    }
    if (c->json) {
        rows_json(j, "tables", rows);
        json_int(j, "database_octets", octets);
    } else {
        putchar('\n');
        out_rows(c, rows);
        printf("\nthe database takes %lld octets\n", (long long)octets);
    }
    PQclear(rows);
    return CTL_DONE;
}

enum ctl_exit run_du(struct ctl *c)
{
    struct args a = ARGS_NONE;
    struct scope scope;
    enum ctl_exit end;
    struct json j;

    if (!scope_args(c, &a, &scope))
        return CTL_USAGE;
    if (scope.all && c->tenant != NULL) {       /* all that there is for them */
        a = ARGS_NONE;
        args_text(&a, "tenant");
        args_text(&a, c->tenant);
        scope.all = false;
    }
    end = out_ask_member(c, &j, "mail", "measure the mail", "select * from postern.space($1, $2)", &a);
    if (end == CTL_DONE && scope.all)
        end = tables(c, &j);
    if (end == CTL_DONE && c->json)
        json_end(&j);
    return end;
}

/* ---- restored */

enum { SKIP_BATCH = 1000 };

enum ctl_exit run_restored(struct ctl *c)
{
    bool resume = c->opt[OPT_RESUME] != NULL;
    struct args a = ARGS_NONE, batch = ARGS_NONE;
    struct progress progress;
    int64_t skip, begun[3], done[2] = { 0, 1 };     /* skip, mailboxes, total; mailboxes, whether there are more */
    bool good = true;

    if (resume && c->opt[OPT_SKIP] != NULL)
        return ctl_error(CTL_USAGE, "--resume skips as many uids as the interrupted run: --skip cannot be given");
    if (!ctl_number(c, OPT_SKIP, 1000000, 1000000000000, &skip))
        return CTL_USAGE;
    args_int(&a, skip);
    args_bool(&a, resume);
    if (!db_numbers(c, "begin", "select skip, mailboxes, total from postern.skip_start($1, $2)", &a, 3, begun))
        return db_end(c);
    args_int(&batch, SKIP_BATCH);
    progress_start(&progress, "mailboxes", 0);
    while (good && done[1] != 0) {
        good = db_numbers(c, "skip uids", "select mailboxes, more::integer::bigint from postern.skip_uids($1)",
                          &batch, 2, done);
        progress_count(&progress, (uint64_t)done[0], (uint64_t)begun[2]);
    }
    progress_clear(&progress);
    if (!good)
        return ctl_error(db_end(c),
                         "not all mailboxes have skipped uids: run restored --resume before you start posternd");
    ctl_say(c,
            "%lld mailbox(es) skip %lld uids: existing mail keeps its UIDL, new mail gets one that was never used",
            (long long)done[0], (long long)begun[0]);
    return CTL_DONE;
}
