/*
 * policy.c - `policy set`, `show` and `clear`: the switches of everybody, a
 * tenant, a domain or a mailbox. What a switch may be is decided in SQL.
 */
#include <stdio.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"
#include "daemon/base/option_value.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

/* The three parameters that say whose it is; text is what to call it. False after a message. */
struct scope {
    char domain[CTL_DOMAIN_SIZE], mailbox[CTL_ADDRESS_SIZE];
    const char *kind, *name;
};

static bool scope_args(struct ctl *c, struct args *a, struct scope *scope_r)
{
    const char *tenant = c->opt[OPT_TENANT], *domain = c->opt[OPT_DOMAIN], *mailbox = c->opt[OPT_MAILBOX];

    if ((tenant != NULL) + (domain != NULL) + (mailbox != NULL) > 1) {
        ctl_error(CTL_USAGE, "give one of --tenant, --domain and --mailbox, or none for everybody");
        return false;
    }
    if ((domain != NULL && !ctl_domain(domain, scope_r->domain)) ||
        (mailbox != NULL && !ctl_address(mailbox, false, scope_r->mailbox)))
        return false;
    scope_r->kind = tenant != NULL ? "tenant " : domain != NULL ? "domain " : mailbox != NULL ? "mailbox " : "";
    scope_r->name = tenant != NULL    ? tenant
                    : domain != NULL  ? scope_r->domain
                    : mailbox != NULL ? scope_r->mailbox
                                      : "everybody";
    args_text(a, tenant);
    args_text(a, domain != NULL ? scope_r->domain : NULL);
    args_text(a, mailbox != NULL ? scope_r->mailbox : NULL);
    return true;
}

/*
 * Durations are typed as everywhere, "30m" or "7d"; each switch has a unit of
 * its own in SQL. What is no duration, or no whole number of them, is for SQL
 * to judge. out has room for 32 octets.
 */
static struct span in_its_unit(struct span name, const char *value, char out[32])
{
    static const struct { const char *name; int64_t ms; const char *unit; } units[] = {
        { "trace", 1, " milliseconds" }, { "login_delay", 1000, "" }, { "expire_delivered", 86400000, "" },
        { "expire_retrieved", 86400000, "" }, { "undelete", 86400000, "" },
    };
    struct option_value v;

    if (value[strspn(value, "0123456789")] == '\0' || !option_value_parse(OPTION_DURATION, value, &v))
        return span_str(value);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (span_is(name, span_str(units[i].name)) && v.number % units[i].ms == 0) {
            snprintf(out, 32, "%lld%s", (long long)(v.number / units[i].ms), units[i].unit);
            return span_str(out);
        }
    return span_str(value);
}

enum ctl_exit run_policy_set(struct ctl *c)
{
    struct args a = ARGS_NONE;
    struct buf names = BUF_EMPTY, values = BUF_EMPTY;
    struct scope scope;
    PGresult *res = NULL;
    bool good = true;
    char text[32];

    if (!scope_args(c, &a, &scope))
        return CTL_USAGE;
    pg_array_begin(&names, PG_TEXT);
    pg_array_begin(&values, PG_TEXT);
    for (int i = 0; i < c->nargs && good; i++) {
        const char *equals = strchr(c->args[i], '=');

        good = equals != NULL;
        if (!good) {
            ctl_error(CTL_USAGE, "\"%s\" is not NAME=VALUE", c->args[i]);
            break;
        }
        pg_array_put_bytes(&names, (struct span){ c->args[i], (size_t)(equals - c->args[i]) });
        struct span value = in_its_unit((struct span){ c->args[i], (size_t)(equals - c->args[i]) }, equals + 1, text);

        pg_array_put_bytes(&values, value);
    }
    pg_array_set_count(&names, (uint32_t)c->nargs);
    pg_array_set_count(&values, (uint32_t)c->nargs);
    args_binary(&a, &names);
    args_binary(&a, &values);
    if (good)
        res = db_ask(c, "set the policy", "select postern.set_policy($1, $2, $3, $4::text[], $5::text[])", &a);
    buf_free(&names);
    buf_free(&values);
    if (res == NULL)
        return good ? db_end(c) : CTL_USAGE;
    PQclear(res);
    ctl_say(c, "policy of %s%s changed", scope.kind, scope.name);
    return CTL_DONE;
}

enum ctl_exit run_policy_clear(struct ctl *c)
{
    struct args a = ARGS_NONE;
    struct scope scope;
    enum ctl_exit end;

    if (!scope_args(c, &a, &scope))
        return CTL_USAGE;
    if (c->tenant != NULL && c->opt[OPT_DOMAIN] == NULL && c->opt[OPT_MAILBOX] == NULL)
        return ctl_error(CTL_FAILED, "policies of a tenant, or of everybody, are set by the operator of the host");
    end = db_call(c, "clear the policy", "select postern.clear_policy($1, $2, $3)", &a);
    if (end == CTL_DONE)
        ctl_say(c, "policy of %s%s cleared", scope.kind, scope.name);
    return end;
}

enum ctl_exit run_policy_show(struct ctl *c)
{
    struct args a = ARGS_NONE;
    struct scope scope;

    if (!scope_args(c, &a, &scope))
        return CTL_USAGE;
    return out_ask(c, "list policies", "select * from postern.list_policies($1, $2, $3)", &a);
}
