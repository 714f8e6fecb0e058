/*
 * accounts.c - tenant, domain, mailbox: each verb is one function of the schema.
 */
#include <stdio.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"
#include "daemon/base/list.h"
#include "daemon/base/num.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

/* An option that is a number, or none, which is -1; null where it is not given. False after a message. */
static bool args_count(const struct ctl *c, enum ctl_option option, int64_t max, struct args *a)
{
    uint64_t n;

    if (c->opt[option] == NULL) {
        args_null(a);
        return true;
    }
    if (strcmp(c->opt[option], "none") == 0) {
        args_int(a, -1);
        return true;
    }
    if (num_parse(span_str(c->opt[option]), (uint64_t)max, &n) != 1) {
        ctl_error(CTL_USAGE, "--%s must be a number of %s or none, not \"%s\"", ctl_options[option].name,
                  option == OPT_MAX_DOMAINS ? "domains" : option == OPT_MAX_MAILBOXES ? "mailboxes" : "messages",
                  c->opt[option]);
        return false;
    }
    args_int(a, (int64_t)n);
    return true;
}

static bool args_messages(const struct ctl *c, enum ctl_option option, struct args *a)
{
    return args_count(c, option, INT64_MAX, a);
}

/* The options --quota and --quota-messages: null where one is not given. False after a message. */
static bool args_quota(struct ctl *c, struct args *a)
{
    int64_t octets;

    if (c->opt[OPT_QUOTA] == NULL)
        args_null(a);
    else if (ctl_quota(c->opt[OPT_QUOTA], &octets))
        args_int(a, octets);
    else
        return false;
    return args_messages(c, OPT_QUOTA_MESSAGES, a);
}

/* One of them is given. */
static bool has_quota(const struct ctl *c)
{
    return c->opt[OPT_QUOTA] != NULL || c->opt[OPT_QUOTA_MESSAGES] != NULL;
}

static enum ctl_exit nothing_to_set(void)
{
    return ctl_error(CTL_USAGE, "nothing to change: give at least one option, see --help");
}

static const char set_tenant[] = "select postern.set_tenant($1, $2, $3, $4, $5, $6)";
static const char set_domain[] = "select postern.set_domain($1, $2, $3, $4, $5, $6, $7)";
static const char set_mailbox[] = "select postern.set_mailbox($1, $2, $3, $4, $5)";

/* Asks, and says what was done: "domain example.org changed". */
static enum ctl_exit change(struct ctl *c, const char *what, const char *sql, const struct args *a, const char *kind,
                            const char *name, const char *done)
{
    enum ctl_exit end = db_call(c, what, sql, a);

    if (end == CTL_DONE)
        ctl_say(c, "%s %s %s", kind, name, done);
    return end;
}

/* ------------------------------------------------------------------ tenant */

static const char set_limits[] = "select postern.set_tenant_limits($1, $2, $3)";

/* --max-domains and --max-mailboxes, for set_limits; *limited_r: one is given. False after a message. */
static bool limits(struct ctl *c, struct args *a, bool *limited_r)
{
    *limited_r = c->opt[OPT_MAX_DOMAINS] != NULL || c->opt[OPT_MAX_MAILBOXES] != NULL;
    args_text(a, c->args[0]);
    return args_count(c, OPT_MAX_DOMAINS, INT32_MAX, a) && args_count(c, OPT_MAX_MAILBOXES, INT32_MAX, a);
}

/* The tenant was changed, as `end` says: so are its limits, or neither is. limit is NULL where they were set before. */
static enum ctl_exit with_limits(struct ctl *c, enum ctl_exit end, const struct args *limit, bool limited,
                                 const char *done)
{
    if (end == CTL_DONE && limit != NULL && limited)
        end = db_call(c, "set the limits of the tenant", set_limits, limit);
    if (end == CTL_DONE && limited && !db_do(c, "commit", "commit"))
        end = db_end(c);
    if (end == CTL_DONE)
        ctl_say(c, "tenant %s %s", c->args[0], done);
    return end;
}

enum ctl_exit run_tenant_add(struct ctl *c)
{
    struct args a = ARGS_NONE, limit = ARGS_NONE;
    enum ctl_exit end;
    bool limited;

    args_text(&a, c->args[0]);
    if (!args_quota(c, &a) || !args_messages(c, OPT_QUOTA_MESSAGES_EACH, &a))
        return CTL_USAGE;
    if (!limits(c, &limit, &limited))
        return CTL_USAGE;
    if (limited && !db_do(c, "begin", "begin"))
        return db_end(c);
    end = db_call(c, "add the tenant", "select postern.add_tenant($1, $2, $3, $4)", &a);
    return with_limits(c, end, &limit, limited, "added");
}

static enum ctl_exit tenants(struct ctl *c, const char *name)
{
    struct args a = ARGS_NONE;

    args_text(&a, name);
    return name != NULL ? out_ask_one(c, "list tenants", "select * from postern.list_tenants($1)", &a)
                        : out_ask(c, "list tenants", "select * from postern.list_tenants($1)", &a);
}

enum ctl_exit run_tenant_show(struct ctl *c) { return tenants(c, c->args[0]); }
enum ctl_exit run_tenant_list(struct ctl *c) { return tenants(c, NULL); }

enum ctl_exit run_tenant_set(struct ctl *c)
{
    struct args a = ARGS_NONE, limit = ARGS_NONE;
    enum ctl_exit end;
    bool limited;

    if (!limits(c, &limit, &limited))
        return CTL_USAGE;
    if (c->opt[OPT_NAME] == NULL && !has_quota(c) && c->opt[OPT_QUOTA_MESSAGES_EACH] == NULL && !limited)
        return nothing_to_set();
    args_text(&a, c->args[0]);
    args_text(&a, c->opt[OPT_NAME]);
    args_null(&a);
    if (!args_quota(c, &a) || !args_messages(c, OPT_QUOTA_MESSAGES_EACH, &a))
        return CTL_USAGE;
    if (limited && !db_do(c, "begin", "begin"))
        return db_end(c);
    /* First the limits, which go by the old name. */
    end = limited ? db_call(c, "set the limits of the tenant", set_limits, &limit) : CTL_DONE;
    if (end == CTL_DONE)
        end = db_call(c, "change the tenant", set_tenant, &a);
    return with_limits(c, end, NULL, limited, "changed");
}

static enum ctl_exit tenant_switch(struct ctl *c, bool enabled)
{
    struct args a = ARGS_NONE;

    args_text(&a, c->args[0]);
    args_null(&a);
    args_bool(&a, enabled);
    args_null(&a);
    args_null(&a);
    args_null(&a);
    return change(c, "change the tenant", set_tenant, &a, "tenant", c->args[0], enabled ? "enabled" : "disabled");
}

enum ctl_exit run_tenant_enable(struct ctl *c) { return tenant_switch(c, true); }
enum ctl_exit run_tenant_disable(struct ctl *c) { return tenant_switch(c, false); }

/* ------------------------------------------------------------------ domain */

enum ctl_exit run_domain_add(struct ctl *c)
{
    struct args a = ARGS_NONE;
    char name[CTL_DOMAIN_SIZE], home[CTL_DOMAIN_SIZE];

    if (c->opt[OPT_TENANT] == NULL && c->opt[OPT_ALIAS_OF] == NULL)
        return ctl_error(CTL_USAGE, "--tenant or --alias-of is required");
    if (!ctl_domain(c->args[0], name) || (c->opt[OPT_ALIAS_OF] != NULL && !ctl_domain(c->opt[OPT_ALIAS_OF], home)))
        return CTL_FAILED;
    args_text(&a, name);
    args_text(&a, c->opt[OPT_TENANT]);
    args_text(&a, c->opt[OPT_ALIAS_OF] != NULL ? home : NULL);
    if (!args_quota(c, &a))
        return CTL_USAGE;
    args_bool(&a, c->opt[OPT_FORCE] != NULL);
    return change(c, "add the domain", "select postern.add_domain($1, $2, $3, $4, $5, $6)", &a, "domain", name,
                  "added");
}

enum ctl_exit run_domain_show(struct ctl *c)
{
    struct args a = ARGS_NONE;
    char name[CTL_DOMAIN_SIZE];

    if (!ctl_domain(c->args[0], name))
        return CTL_FAILED;
    args_null(&a);
    args_text(&a, name);
    return out_ask_one(c, "show the domain", "select * from postern.list_domains($1, $2)", &a);
}

enum ctl_exit run_domain_list(struct ctl *c)
{
    struct args a = ARGS_NONE;

    args_text(&a, c->opt[OPT_TENANT]);
    args_null(&a);
    return out_ask(c, "list domains", "select * from postern.list_domains($1, $2)", &a);
}

/* Beside the hash of a password; "none" is nothing. */
static enum ctl_exit set_stores(struct ctl *c, const char *name)
{
    struct span rest = span_str(c->opt[OPT_STORE]), word;
    struct buf list = BUF_EMPTY;
    struct args a = ARGS_NONE;
    enum ctl_exit end;
    uint32_t count = 0;

    pg_array_begin(&list, PG_TEXT);
    while (!span_is(span_str(c->opt[OPT_STORE]), SPAN_OF("none")) && list_next(&rest, &word)) {
        pg_array_put_bytes(&list, word);
        count++;
    }
    pg_array_set_count(&list, count);
    args_text(&a, name);
    args_binary(&a, &list);
    end = db_call(c, "change what the domain stores", "select postern.set_domain_stores($1, $2)", &a);
    buf_free(&list);
    return end;
}

enum ctl_exit run_domain_set(struct ctl *c)
{
    struct args a = ARGS_NONE;
    char name[CTL_DOMAIN_SIZE], new_name[CTL_DOMAIN_SIZE];
    enum ctl_exit end;

    if (c->opt[OPT_NAME] == NULL && c->opt[OPT_TENANT] == NULL && !has_quota(c) && c->opt[OPT_STORE] == NULL)
        return nothing_to_set();
    if (!ctl_domain(c->args[0], name) || (c->opt[OPT_NAME] != NULL && !ctl_domain(c->opt[OPT_NAME], new_name)))
        return CTL_FAILED;
    if (c->opt[OPT_STORE] != NULL) {
        end = set_stores(c, name);
        if (end != CTL_DONE)
            return end;
    }
    args_text(&a, name);
    args_text(&a, c->opt[OPT_NAME] != NULL ? new_name : NULL);
    args_text(&a, c->opt[OPT_TENANT]);
    args_null(&a);
    if (!args_quota(c, &a))
        return CTL_USAGE;
    args_bool(&a, c->opt[OPT_FORCE] != NULL);
    return change(c, "change the domain", set_domain, &a, "domain", name, "changed");
}

static enum ctl_exit domain_switch(struct ctl *c, bool enabled)
{
    struct args a = ARGS_NONE;
    char name[CTL_DOMAIN_SIZE];

    if (!ctl_domain(c->args[0], name))
        return CTL_FAILED;
    args_text(&a, name);
    args_null(&a);
    args_null(&a);
    args_bool(&a, enabled);
    args_null(&a);
    args_null(&a);
    args_bool(&a, false);
    return change(c, "change the domain", set_domain, &a, "domain", name, enabled ? "enabled" : "disabled");
}

enum ctl_exit run_domain_enable(struct ctl *c) { return domain_switch(c, true); }
enum ctl_exit run_domain_disable(struct ctl *c) { return domain_switch(c, false); }

/* ----------------------------------------------------------------- mailbox */

enum ctl_exit run_mailbox_add(struct ctl *c)
{
    struct args a = ARGS_NONE;
    char address[CTL_ADDRESS_SIZE];

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    args_text(&a, address);
    if (!args_quota(c, &a))
        return CTL_USAGE;
    return change(c, "add the mailbox", "select postern.add_mailbox($1, $2, $3)", &a, "mailbox", address, "added");
}

enum ctl_exit run_mailbox_show(struct ctl *c)
{
    struct args a = ARGS_NONE;
    char address[CTL_ADDRESS_SIZE];

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    args_text(&a, address);
    return out_ask_one(c, "show the mailbox", "select * from postern.show_mailbox($1)", &a);
}

enum ctl_exit run_mailbox_list(struct ctl *c)
{
    struct args a = ARGS_NONE;
    char domain[CTL_DOMAIN_SIZE];

    if (c->nargs > 0 && !ctl_domain(c->args[0], domain))
        return CTL_FAILED;
    args_text(&a, c->nargs > 0 ? domain : NULL);
    return out_ask(c, "list mailboxes", "select * from postern.list_mailboxes($1)", &a);
}

enum ctl_exit run_mailbox_set(struct ctl *c)
{
    struct args a = ARGS_NONE;
    char address[CTL_ADDRESS_SIZE], new_address[CTL_ADDRESS_SIZE];

    if (c->opt[OPT_NAME] == NULL && !has_quota(c))
        return nothing_to_set();
    if (!ctl_address(c->args[0], false, address) ||
        (c->opt[OPT_NAME] != NULL && !ctl_address(c->opt[OPT_NAME], false, new_address)))
        return CTL_FAILED;
    args_text(&a, address);
    args_text(&a, c->opt[OPT_NAME] != NULL ? new_address : NULL);
    args_null(&a);
    if (!args_quota(c, &a))
        return CTL_USAGE;
    return change(c, "change the mailbox", set_mailbox, &a, "mailbox", address, "changed");
}

static enum ctl_exit mailbox_switch(struct ctl *c, bool enabled)
{
    struct args a = ARGS_NONE;
    char address[CTL_ADDRESS_SIZE];

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    args_text(&a, address);
    args_null(&a);
    args_bool(&a, enabled);
    args_null(&a);
    args_null(&a);
    return change(c, "change the mailbox", set_mailbox, &a, "mailbox", address, enabled ? "enabled" : "disabled");
}

enum ctl_exit run_mailbox_enable(struct ctl *c) { return mailbox_switch(c, true); }
enum ctl_exit run_mailbox_disable(struct ctl *c) { return mailbox_switch(c, false); }
