/*
 * history.c - `history` and `undelete`: where did my mail go, and back with it.
 */
#include <stdio.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"

enum ctl_exit run_history(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE], time[CTL_TIME_SIZE];
    struct args a = ARGS_NONE;
    const char *since;

    if (!ctl_time(c, OPT_SINCE, time, &since))
        return CTL_USAGE;
    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    args_text(&a, address);
    args_text(&a, since);
    return out_ask(c, "show the history", "select * from postern.show_history($1, $2)", &a);
}

enum ctl_exit run_undelete(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE], time[CTL_TIME_SIZE];
    const char *since;
    struct args a = ARGS_NONE;
    bool dry = c->opt[OPT_DRY_RUN] != NULL;
    enum ctl_exit end = CTL_DONE;
    int64_t uid;
    PGresult *res;

    if (!ctl_number(c, OPT_UID, 0, INT64_MAX, &uid) || !ctl_time(c, OPT_SINCE, time, &since))
        return CTL_USAGE;
    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    args_text(&a, address);
    args_text(&a, since);
    args_text(&a, c->opt[OPT_SESSION]);
    if (uid > 0)
        args_int(&a, uid);
    else
        args_null(&a);
    args_bool(&a, dry);
    res = db_ask(c, "bring mail back", "select * from postern.undelete($1, $2, $3, $4, $5)", &a);
    if (res == NULL)
        return db_end(c);
    out_rows(c, res);
    if (PQntuples(res) == 0)
        end = ctl_error(CTL_FAILED, "mailbox %s has no deleted message that can be brought back", address);
    else
        ctl_say(c, "%d message(s) %s", PQntuples(res), dry ? "can be brought back" : "brought back");
    PQclear(res);
    return end;
}
