/*
 * sasl_apop.c - APOP (RFC 1939 section 7): a digest of the greeting's timestamp
 * and the secret. No SASL mechanism, but checked like one.
 */
#include "auth/sasl/sasl.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

#include "auth/account/account.h"
#include "auth/account/decoy.h"
#include "auth/scheme/prepare.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

/* Lower-case hex of MD5 over the timestamp, its brackets included, and the secret. 0 where there is no MD5. */
static size_t apop_digest(struct span timestamp, const char *secret, char out[33])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    ASSERT(ctx != NULL);
    if (EVP_DigestInit_ex(ctx, EVP_md5(), NULL) != 1 || EVP_DigestUpdate(ctx, timestamp.at, timestamp.len) != 1 ||
        EVP_DigestUpdate(ctx, secret, strlen(secret)) != 1 || EVP_DigestFinal_ex(ctx, md, &len) != 1)
        len = 0;
    EVP_MD_CTX_free(ctx);
    if (len == 16)
        sodium_bin2hex(out, 33, md, len);
    secret_wipe(md, sizeof md);
    return len;
}

/*
 * Is it the digest of the secret, in any form that a client may have it in? Which
 * one was typed the digest does not tell. 1, 0, or -1 where there is no MD5.
 */
static int apop_matches(struct span timestamp, const char *secret, struct span given)
{
    static const enum prepare_form forms[] = { PREPARE_COMPOSED, PREPARE_DECOMPOSED };
    char want[33], form[PASSWORD_MAX + 1];
    int right = 0;

    if (apop_digest(timestamp, secret, want) != 16)
        return -1;
    right = given.len == 32 && sodium_memcmp(given.at, want, 32) == 0;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0] && !right; i++) {
        size_t len = prepare_form(forms[i], span_str(secret), form);
        form[len] = '\0';
        if (len > 0 && apop_digest(timestamp, form, want) == 16)
            right = given.len == 32 && sodium_memcmp(given.at, want, 32) == 0;
        secret_wipe(form, len);
    }
    secret_wipe(want, sizeof want);
    return right;
}

/* What is stored in the clear; where nothing is, something that nobody knows. */
static const char *shared_secret(const struct credentials *c, int found, struct span name, char decoy[33])
{
    unsigned char octets[16];

    for (size_t i = 0; found > 0 && i < c->count; i++)
        if (c->secrets[i].kind == CREDENTIAL_SHARED_SECRET && c->secrets[i].text[0] != '\0')
            return c->secrets[i].text;
    decoy_octets("secret", name, octets, sizeof octets);
    return sodium_bin2hex(decoy, 33, octets, sizeof octets);
}

static bool apop_start(struct exchange *x, const struct auth_opening *o, struct sasl_challenge *out)
{
    struct account_verdict *v = &x->verdict;
    struct span name;
    char decoy[33];
    struct credentials c;

    (void)out;
    if (!sasl_name_before_space(o->initial, &name) || o->timestamp.len == 0) {
        verdict_refuse(v, "malformed");
        return false;
    }
    struct span given = { name.at + name.len + 1, o->initial.len - name.len - 1 };
    int found = account_find(x->accounts, name, o->default_domain, &o->origin, false, &c, v);
    if (found < 0)
        return false;
    const char *secret = shared_secret(&c, found, name, decoy);
    int right = apop_matches(o->timestamp, secret, given);
    if (right < 0) {
        log_error(NULL, "could not compute MD5, which APOP needs");
        v->verdict = AUTH_BROKEN;
    } else {
        if (found > 0 && right && c.active && secret != decoy && !v->barred)
            verdict_accept(v, &c);
        else if (found > 0)
            verdict_refuse(v, !c.active ? "disabled" : v->barred ? "guessing" :
                           secret == decoy ? "no-secret" : "password");
    }
    secret_wipe(&c, sizeof c);
    return false;
}

const struct mechanism_how sasl_apop = { .name = sasl_name_before_space, .start = apop_start };
