/*
 * scope.h - what a verb is to look at: --tenant, --domain, --mailbox, or all.
 */
#ifndef POSTERN_ADMIN_SCOPE_H
#define POSTERN_ADMIN_SCOPE_H

#include "admin/ctl.h"
#include "admin/db.h"

struct scope {
    bool all;                       /* none of the three was given */
    char name[CTL_ADDRESS_SIZE];    /* of a domain or a mailbox, in canonical form */
};

/*
 * Adds the two parameters that functions of the schema take for it: the kind ('all', 'tenant',
 * 'domain', 'mailbox') and the name, lent from c or scope_r. False after a message.
 */
bool scope_args(struct ctl *c, struct args *a, struct scope *scope_r);

#endif
