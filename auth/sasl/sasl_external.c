/*
 * sasl_external.c - EXTERNAL (RFC 4422 appendix A): the client's certificate,
 * which the worker's TLS has verified, says who it is. Only mailboxes that have the
 * credential `certificate` accept it.
 */
#include "auth/sasl/sasl.h"

#include "auth/account/account.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

/* A worker that was taken over could claim any certificate, so the mailbox must have been told to accept them. */
static bool accepts_certificates(const struct credentials *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->secrets[i].kind == CREDENTIAL_CERTIFICATE && c->secrets[i].text[0] != '\0')
            return true;
    return false;
}

static bool external_start(struct exchange *x, const struct auth_opening *o, struct sasl_challenge *out)
{
    struct credentials c;

    (void)out;
    if (o->identity.len == 0) {
        verdict_refuse(&x->verdict, "certificate");
        return false;
    }
    x->name = mem_strn(o->identity.at, o->identity.len);
    if (account_find(x->accounts, o->identity, o->default_domain, &o->origin, false, &c, &x->verdict) <= 0)
        return false;
    if (c.active && accepts_certificates(&c))
        verdict_accept(&x->verdict, &c);
    else
        verdict_refuse(&x->verdict, c.active ? "no-secret" : "disabled");
    secret_wipe(&c, sizeof c);
    verdict_authorize(&x->verdict, o->initial, o->default_domain);
    return false;
}

const struct mechanism_how sasl_external = { .start = external_start };
