/*
 * tenant.c - the operator of a tenant, and what they may run.
 */
#include "admin/tenant.h"

#include <string.h>

#include "admin/db.h"
#include "daemon/base/list.h"
#include "daemon/base/mem.h"

static const struct {
    const char *word, *action, *right;
} verbs[] = {
#define TENANT_VERB(word, action, right) { word, action, right },
#include "admin/tenant_verbs.def"
#undef TENANT_VERB
};

/* A superuser is a member of every role: what was granted to this very role counts. */
static const char is_member[] =
    "select exists (select from pg_catalog.pg_auth_members m join pg_catalog.pg_roles g on g.oid = m.roleid"
    " join pg_catalog.pg_roles r on r.oid = m.member where g.rolname = 'postern_tenant' and r.rolname = session_user)";

enum ctl_exit tenant_find(struct ctl *c)
{
    PGresult *res = db_ask(c, "see who is connected", is_member, &ARGS_NONE);

    if (res == NULL)
        return db_end(c);
    bool member = PQgetvalue(res, 0, 0)[0] == 't';
    PQclear(res);
    if (!member)
        return CTL_DONE;
    res = db_ask(c, "see whose operator this is",
                 "select operator, tenant, array_to_string(rights, ',') from postern_tenant.who_am_i()", &ARGS_NONE);
    if (res == NULL)
        return db_end(c);
    enum ctl_exit end = CTL_DONE;
    if (PQntuples(res) == 1) {
        c->operator_name = mem_str(PQgetvalue(res, 0, 0));
        c->tenant = mem_str(PQgetvalue(res, 0, 1));
        c->rights = mem_str(PQgetvalue(res, 0, 2));
    } else {
        end = ctl_error(CTL_FAILED, "role \"%s\" is the operator of no tenant in this database: ask the operator of"
                        " the host", PQuser(c->db));
    }
    PQclear(res);
    return end;
}

void tenant_forget(struct ctl *c)
{
    mem_drop(&c->operator_name);
    mem_drop(&c->tenant);
    mem_drop(&c->rights);
}

static bool has_right(const struct ctl *c, const char *right)
{
    struct span rest = span_str(c->rights), word;

    if (strcmp(right, "look") == 0)
        return true;
    while (list_next(&rest, &word))
        if (span_is(word, span_str(right)))
            return true;
    return false;
}

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

enum ctl_exit tenant_may(const struct ctl *c, const char *word, const char *action)
{
    const char *space = action != NULL ? " " : "", *last = action != NULL ? action : "";

    if (c->tenant == NULL)
        return CTL_DONE;
    if (c->opt[OPT_OVER_QUOTA] != NULL)
        return ctl_error(CTL_FAILED, "--over-quota is for the operator of the host, not for those of a tenant");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i].word, word) != 0 || !same(verbs[i].action, action))
            continue;
        if (has_right(c, verbs[i].right))
            return CTL_DONE;
        return ctl_error(CTL_FAILED,
                         "%s%s%s needs the right \"%s\", which operator %s of tenant %s does not have: the operator"
                         " of the host can give it", word, space, last, verbs[i].right, c->operator_name, c->tenant);
    }
    return ctl_error(CTL_FAILED,
                     "%s%s%s is for the operator of the host, not for those of a tenant: see posternctl whoami", word,
                     space, last);
}

enum ctl_exit tenant_opens(struct ctl *c, const char *address)
{
    struct args a = ARGS_NONE;

    if (c->tenant == NULL)
        return CTL_DONE;
    args_text(&a, address);
    return db_call(c, "open the mailbox", "select postern.open_mail($1)", &a);
}

void tenant_verbs(const struct ctl *c, tenant_verb *each, void *arg)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (c->tenant != NULL && has_right(c, verbs[i].right))
            each(arg, verbs[i].word, verbs[i].action, verbs[i].right);
}
