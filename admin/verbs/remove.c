/*
 * remove.c - `tenant remove`, `domain remove`, `mailbox remove`.
 *
 * Disabled first, then a bounded batch of mail at a time, each in a transaction
 * of its own: what was interrupted is asked for again and goes on. Never
 * removes mail without --yes, and nothing at all with --dry-run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/progress.h"
#include "admin/verbs/remove.h"

enum { BATCH = 500 };

struct removal {
    struct ctl *c;
    struct progress progress;
    uint64_t messages;
    int64_t octets;
};

static enum ctl_exit ask(struct ctl *c, const char *what, const char *sql, const struct args *a)
{
    PGresult *res = db_ask(c, what, sql, a);

    if (res == NULL)
        return db_end(c);
    PQclear(res);
    return CTL_DONE;
}

/* Says how much would go, where --yes was not given or nothing is to be done. CTL_DONE: go on, unless --dry-run. */
static enum ctl_exit consent(struct ctl *c, const char *kind, const char *name, int64_t *octets_r)
{
    struct args a = ARGS_NONE;
    const char *domains, *mailboxes, *messages, *octets;
    enum ctl_exit end = CTL_DONE;
    bool dry = c->opt[OPT_DRY_RUN] != NULL, empty;
    char holds[160];
    PGresult *res;

    args_text(&a, kind);
    args_text(&a, name);
    res = db_ask(c, "count what would be removed", "select * from postern.holdings($1, $2)", &a);
    if (res == NULL)
        return db_end(c);
    domains = PQgetvalue(res, 0, 0);
    mailboxes = PQgetvalue(res, 0, 1);
    messages = PQgetvalue(res, 0, 2);
    octets = PQgetvalue(res, 0, 3);
    *octets_r = strtoll(octets, NULL, 10);
    if (strcmp(kind, "tenant") == 0) {
        snprintf(holds, sizeof holds, "%s domain(s) with %s mailbox(es), %s message(s), %s octets", domains, mailboxes,
                 messages, octets);
        empty = strcmp(domains, "0") == 0;
    } else if (strcmp(kind, "domain") == 0) {
        snprintf(holds, sizeof holds, "%s mailbox(es) with %s message(s), %s octets", mailboxes, messages, octets);
        empty = strcmp(mailboxes, "0") == 0;
    } else {
        snprintf(holds, sizeof holds, "%s message(s), %s octets", messages, octets);
        empty = strcmp(messages, "0") == 0;
    }
    PQclear(res);
    if (dry)
        ctl_say(c, "%s %s would be removed, with %s", kind, name, holds);
    else if (!empty && c->opt[OPT_YES] == NULL)
        end = ctl_error(CTL_FAILED, "%s %s has %s: add --yes to remove all of it", kind, name, holds);
    return end;
}

static enum ctl_exit drop_mailbox(struct removal *r, const char *address)
{
    bool gone = false;

    while (!gone) {
        struct args a = ARGS_NONE;
        PGresult *res;

        args_text(&a, address);
        args_bool(&a, r->c->opt[OPT_FORCE] != NULL);
        args_int(&a, BATCH);
        res = db_ask(r->c, "remove the mailbox",
                     "select messages, octets, gone from postern.remove_mailbox($1, $2, $3)", &a);
        if (res == NULL)
            return db_end(r->c);
        r->messages += strtoull(PQgetvalue(res, 0, 0), NULL, 10);
        r->octets += strtoll(PQgetvalue(res, 0, 1), NULL, 10);
        gone = PQgetvalue(res, 0, 2)[0] == 't';
        PQclear(res);
        progress_step(&r->progress, r->messages, r->octets);
    }
    return CTL_DONE;
}

static enum ctl_exit drop_domain(struct removal *r, const char *name)
{
    struct args a = ARGS_NONE, off = ARGS_NONE;
    PGresult *res;
    enum ctl_exit end;

    args_text(&off, name);
    end = ask(r->c, "disable the domain", "select postern.set_domain($1, null, null, false, null)", &off);
    if (end != CTL_DONE)
        return end;
    args_text(&a, name);
    res = db_ask(r->c, "list the mailboxes", "select address from postern.list_mailboxes($1)", &a);
    if (res == NULL)
        return db_end(r->c);
    for (int i = 0; i < PQntuples(res) && end == CTL_DONE; i++)
        end = drop_mailbox(r, PQgetvalue(res, i, 0));
    PQclear(res);
    return end == CTL_DONE ? ask(r->c, "remove the domain", "select postern.remove_domain($1)", &a) : end;
}

static enum ctl_exit drop_tenant(struct removal *r, const char *name)
{
    struct args a = ARGS_NONE;
    PGresult *res;
    enum ctl_exit end;

    args_text(&a, name);
    end = ask(r->c, "disable the tenant", "select postern.set_tenant($1, null, false, null)", &a);
    if (end != CTL_DONE)
        return end;
    /* Other names of a domain go before it. */
    res = db_ask(r->c, "list the domains",
                 "select name from postern.list_domains($1, null) order by alias_of is null, name collate \"C\"", &a);
    if (res == NULL)
        return db_end(r->c);
    for (int i = 0; i < PQntuples(res) && end == CTL_DONE; i++)
        end = drop_domain(r, PQgetvalue(res, i, 0));
    PQclear(res);
    return end == CTL_DONE ? ask(r->c, "remove the tenant", "select postern.remove_tenant($1)", &a) : end;
}

static enum ctl_exit remove_one(struct ctl *c, const char *kind, const char *name,
                                enum ctl_exit (*drop)(struct removal *, const char *))
{
    struct removal r = { .c = c };
    int64_t octets = 0;
    enum ctl_exit end = consent(c, kind, name, &octets);

    if (end != CTL_DONE || c->opt[OPT_DRY_RUN] != NULL)
        return end;
    progress_start(&r.progress, "messages removed", octets);
    end = drop(&r, name);
    progress_clear(&r.progress);
    if (end == CTL_DONE)
        ctl_say(c, "%s %s removed", kind, name);
    else if (r.messages > 0)
        ctl_error(end, "%llu message(s) removed; repeat the command to continue", (unsigned long long)r.messages);
    return end;
}

enum ctl_exit remove_mailbox(struct ctl *c, const char *address)
{
    struct removal r = { .c = c };
    enum ctl_exit end;

    progress_start(&r.progress, "messages removed", 0);
    end = drop_mailbox(&r, address);
    progress_clear(&r.progress);
    if (end != CTL_DONE && r.messages > 0)
        ctl_error(end, "%llu message(s) removed; repeat the command to continue", (unsigned long long)r.messages);
    return end;
}

enum ctl_exit run_tenant_remove(struct ctl *c) { return remove_one(c, "tenant", c->args[0], drop_tenant); }

enum ctl_exit run_domain_remove(struct ctl *c)
{
    char name[CTL_DOMAIN_SIZE];

    return ctl_domain(c->args[0], name) ? remove_one(c, "domain", name, drop_domain) : CTL_FAILED;
}

enum ctl_exit run_mailbox_remove(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];

    return ctl_address(c->args[0], false, address) ? remove_one(c, "mailbox", address, drop_mailbox) : CTL_FAILED;
}
