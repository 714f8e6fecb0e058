/*
 * scope.c - what a verb is to look at: --tenant, --domain, --mailbox, or all.
 */
#include "admin/verbs/scope.h"

bool scope_args(struct ctl *c, struct args *a, struct scope *scope_r)
{
    const char *tenant = c->opt[OPT_TENANT], *domain = c->opt[OPT_DOMAIN], *mailbox = c->opt[OPT_MAILBOX];
    int given = (tenant != NULL) + (domain != NULL) + (mailbox != NULL);

    scope_r->all = given == 0;
    if (given > 1) {
        ctl_error(CTL_USAGE, "give only one of --tenant, --domain and --mailbox");
        return false;
    }
    if ((domain != NULL && !ctl_domain(domain, scope_r->name)) ||
        (mailbox != NULL && !ctl_address(mailbox, false, scope_r->name)))
        return false;
    args_text(a, tenant != NULL ? "tenant" : domain != NULL ? "domain" : mailbox != NULL ? "mailbox" : "all");
    args_text(a, tenant != NULL ? tenant : given == 0 ? NULL : scope_r->name);
    return true;
}
