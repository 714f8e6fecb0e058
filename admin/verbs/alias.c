/*
 * alias.c - addresses that mean one or many mailboxes.
 */
#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

/* The arguments from 1 on, as a text[]. */
static bool targets(struct ctl *c, struct buf *out)
{
    char address[CTL_ADDRESS_SIZE];

    pg_array_begin(out, PG_TEXT);
    for (int i = 1; i < c->nargs; i++) {
        if (!ctl_address(c->args[i], false, address))
            return false;
        pg_array_put_bytes(out, span_str(address));
    }
    pg_array_set_count(out, (uint32_t)(c->nargs - 1));
    return true;
}

/* sql takes the alias, its targets (null if there are none), `enabled` where `third`, and --force where `force`. */
static enum ctl_exit change(struct ctl *c, const char *what, const char *sql, const char *done, const bool *enabled,
                            bool third, bool force)
{
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    struct buf list = BUF_EMPTY;
    enum ctl_exit end = CTL_FAILED;

    if (ctl_address(c->args[0], true, address) && targets(c, &list)) {
        PGresult *res;

        args_text(&a, address);
        if (c->nargs > 1)
            args_binary(&a, &list);
        else
            args_null(&a);
        if (third && enabled != NULL)
            args_bool(&a, *enabled);
        else if (third)
            args_null(&a);
        if (force)
            args_bool(&a, c->opt[OPT_FORCE] != NULL);
        res = db_ask(c, what, sql, &a);
        end = res != NULL ? CTL_DONE : db_end(c);
        PQclear(res);
        if (end == CTL_DONE)
            ctl_say(c, "alias %s %s", address, done);
    }
    buf_free(&list);
    return end;
}

enum ctl_exit run_alias_add(struct ctl *c)
{
    return change(c, "add the alias", "select postern.add_alias($1, $2, $3)", "added", NULL, false, true);
}

enum ctl_exit run_alias_set(struct ctl *c)
{
    return change(c, "change the alias", "select postern.set_alias($1, $2, $3, $4)", "changed", NULL, true, true);
}

enum ctl_exit run_alias_enable(struct ctl *c)
{
    return change(c, "change the alias", "select postern.set_alias($1, $2, $3)", "enabled", &(bool){ true }, true,
                  false);
}

enum ctl_exit run_alias_disable(struct ctl *c)
{
    return change(c, "change the alias", "select postern.set_alias($1, $2, $3)", "disabled", &(bool){ false }, true,
                  false);
}

enum ctl_exit run_alias_remove(struct ctl *c)
{
    return change(c, "remove the alias", "select postern.remove_alias($1, $2)", c->nargs > 1 ? "changed" : "removed",
                  NULL, false, false);
}

static enum ctl_exit list(struct ctl *c, const char *domain, const char *address)
{
    struct args a = ARGS_NONE;

    args_text(&a, domain);
    args_text(&a, address);
    return out_ask(c, "list aliases", "select * from postern.list_aliases($1, $2)", &a);
}

enum ctl_exit run_alias_show(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];

    return ctl_address(c->args[0], true, address) ? list(c, NULL, address) : CTL_FAILED;
}

enum ctl_exit run_alias_list(struct ctl *c)
{
    char domain[CTL_DOMAIN_SIZE];

    if (c->nargs == 0)
        return list(c, NULL, NULL);
    return ctl_domain(c->args[0], domain) ? list(c, domain, NULL) : CTL_FAILED;
}
