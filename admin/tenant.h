/*
 * tenant.h - who runs posternctl: the operator of the host, or that of one tenant, whom the database
 * shows that tenant alone (sql/schema/20_tenants.sql).
 *
 * What is refused here the database refuses as well: these are the words for people.
 */
#ifndef POSTERN_ADMIN_TENANT_H
#define POSTERN_ADMIN_TENANT_H

#include "admin/ctl.h"

/*
 * Asks the database who is connected: from then on c->tenant and its kin say it, and the functions
 * of the tenants' schema are called in place of the host's (db.h).
 */
enum ctl_exit tenant_find(struct ctl *c);
void tenant_forget(struct ctl *c);

/* May whoever it is run this verb? The host's operator may run all. CTL_DONE, or the reason was said. */
enum ctl_exit tenant_may(const struct ctl *c, const char *word, const char *action);

/*
 * Before anything is done with the mail of this mailbox (canonical), outside of a transaction: the database notes that
 * it was opened. For the host's operator nothing is done. CTL_DONE, or the reason was said.
 */
enum ctl_exit tenant_opens(struct ctl *c, const char *address);

/* Calls each for all verbs that they may run; action may be NULL. */
typedef void tenant_verb(void *arg, const char *word, const char *action, const char *right);
void tenant_verbs(const struct ctl *c, tenant_verb *each, void *arg);

#endif
