/*
 * sasl_plain.c - PLAIN (RFC 4616), and what there is to know of LOGIN.
 *
 * Owns the form of their messages. What is a password ends in account_check(),
 * as PASS does, octet for octet. Not by the library: it keeps copies of
 * passwords that nobody can wipe.
 */
#include "auth/sasl/sasl.h"

#include <string.h>

#include "auth/account/account.h"
#include "daemon/base/mem.h"
#include "daemon/base/utf8.h"

/* The part of *rest before the next NUL, which *rest is moved behind. False if there is none. */
static bool until_nul(struct span *rest, struct span *part_r)
{
    const char *nul = rest->len > 0 ? memchr(rest->at, '\0', rest->len) : NULL;

    if (nul == NULL)
        return false;
    *part_r = (struct span){ rest->at, (size_t)(nul - rest->at) };
    *rest = (struct span){ nul + 1, rest->len - part_r->len - 1 };
    return true;
}

/* PLAIN: [authzid] NUL authcid NUL passwd (RFC 4616 section 2). */
static bool plain_name(struct span message, struct span *name_r)
{
    struct span authzid;

    return until_nul(&message, &authzid) && until_nul(&message, name_r);
}

static bool plain_password(struct span message, struct span *password_r)
{
    struct span authzid, name;

    *password_r = message;
    return until_nul(password_r, &authzid) && until_nul(password_r, &name) && password_r->len > 0;
}

static bool plain_start(struct exchange *x, const struct auth_opening *o, struct sasl_challenge *out)
{
    struct span authzid, name, password = o->initial;

    (void)out;
    if (!until_nul(&password, &authzid) || !until_nul(&password, &name) || name.len == 0 || password.len == 0 ||
        memchr(password.at, '\0', password.len) != NULL || !utf8_valid(o->initial)) {
        verdict_refuse(&x->verdict, "malformed");
        return false;
    }
    const struct auth_request request = {
        .name = name, .password = password, .default_domain = span_str(x->domain), .origin = x->origin,
        .uncached = o->uncached,
    };
    account_check(x->accounts, &request, &x->verdict);
    verdict_authorize(&x->verdict, authzid, o->default_domain);
    return false;
}

const struct mechanism_how sasl_plain = { .name = plain_name, .start = plain_start, .password = plain_password };

/* Of the first message, which is all that this may be asked of. */
static bool login_name(struct span message, struct span *name_r)
{
    *name_r = message;
    return true;
}

const struct mechanism_how sasl_login = { .name = login_name };
