/*
 * verdict.c - how a verdict becomes yes or no (see verdict.h).
 *
 * Must never leave a mailbox in a refusal.
 */
#include "auth/account/verdict.h"

#include <string.h>

void verdict_accept(struct account_verdict *v, const struct credentials *c)
{
    v->verdict = AUTH_OK;
    v->reason = NULL;
    v->mailbox = c->mailbox;
    v->unseen = !c->known_today;
    memcpy(v->address, c->address, sizeof v->address);
    memcpy(v->maintenance, c->maintenance, sizeof v->maintenance);
    v->policy = c->policy;
    if (c->elsewhere[0] == '\0')
        return;
    v->verdict = AUTH_ELSEWHERE;
    memcpy(v->elsewhere, c->elsewhere, sizeof v->elsewhere);
}

bool verdict_is_accepted(const struct account_verdict *v)
{
    return v->verdict == AUTH_OK || v->verdict == AUTH_ELSEWHERE;
}

void verdict_refuse(struct account_verdict *v, const char *reason)
{
    v->verdict = AUTH_REFUSED;
    v->cached = false;
    v->mailbox = (struct mailbox_ref){ 0 };
    v->reason = reason;
}

void verdict_authorize(struct account_verdict *v, struct span authzid, struct span domain)
{
    char address[NAME_ADDRESS_MAX + 1];

    /* One that is unconfirmed went by the mailbox's own address, too: no other name has a proof. */
    if ((!verdict_is_accepted(v) && v->verdict != AUTH_OK_UNCONFIRMED) || authzid.len == 0)
        return;
    if (!name_canonical(authzid, domain, address, NULL) || strcmp(address, v->address) != 0)
        verdict_refuse(v, "authzid");
}
