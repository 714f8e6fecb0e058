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

static void rows_json(struct json *j, const char *key, const PGresult *res)
{
    json_array(j, key);
    for (int i = 0; i < PQntuples(res); i++)
        out_json_row(j, NULL, res, i);
    json_end(j);
}

/* What was asked for: "all", or the one option that was given. False after a message. */
static bool which(struct ctl *c, struct args *a, char name[CTL_ADDRESS_SIZE])
{
    int given = (c->opt[OPT_TENANT] != NULL) + (c->opt[OPT_DOMAIN] != NULL) + (c->opt[OPT_MAILBOX] != NULL);

    if (given > 1) {
        ctl_error(CTL_USAGE, "give only one of --tenant, --domain and --mailbox");
        return false;
    }
    if (c->opt[OPT_TENANT] != NULL) {
        args_text(a, "tenant");
        args_text(a, c->opt[OPT_TENANT]);
    } else if (c->opt[OPT_DOMAIN] != NULL) {
        if (!ctl_domain(c->opt[OPT_DOMAIN], name))
            return false;
        args_text(a, "domain");
        args_text(a, name);
    } else if (c->opt[OPT_MAILBOX] != NULL) {
        if (!ctl_address(c->opt[OPT_MAILBOX], false, name))
            return false;
        args_text(a, "mailbox");
        args_text(a, name);
    } else {
        args_text(a, "all");
        args_null(a);
    }
    return true;
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
    char name[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    bool all = c->opt[OPT_TENANT] == NULL && c->opt[OPT_DOMAIN] == NULL && c->opt[OPT_MAILBOX] == NULL;
    enum ctl_exit end;
    struct json j;

    if (!which(c, &a, name))
        return CTL_USAGE;
    end = out_ask_member(c, &j, "mail", "measure the mail", "select * from postern.space($1, $2)", &a);
    if (end == CTL_DONE && all)
        end = tables(c, &j);
    if (end == CTL_DONE && c->json)
        json_end(&j);
    return end;
}

enum ctl_exit run_restored(struct ctl *c)
{
    struct args a = ARGS_NONE;
    PGresult *res;
    int64_t skip;

    if (!ctl_number(c, OPT_SKIP, 1000000, 1000000000000, &skip))
        return CTL_USAGE;
    args_int(&a, skip);
    res = db_ask(c, "skip uids", "select postern.skip_uids($1)", &a);
    if (res == NULL)
        return db_end(c);
    ctl_say(
        c,
        "%s mailbox(es) skip %lld uids: existing mail keeps its UIDL, new mail gets one that was never used",
        PQgetvalue(res, 0, 0), (long long)skip);
    PQclear(res);
    return CTL_DONE;
}
