/*
 * sasl_plain.c - PLAIN (RFC 4616), LOGIN, EXTERNAL (RFC 4422 appendix A)
 * and APOP (RFC 1939 section 7).
 *
 * Owns the form of their messages. What is a password ends in account_check(),
 * as PASS does, octet for octet. Not by the library: it keeps copies of
 * passwords that nobody can wipe.
 */
#include "auth/sasl.h"

#include <openssl/evp.h>
#include <sodium.h>

#include "auth/decoy.h"
#include "auth/prepare.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

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

static void check_password(struct accounts *accounts, struct span name, struct span password, struct span domain,
                           const struct auth_origin *origin, struct account_verdict *v)
{
    struct auth_request request = { .name = name, .password = password, .default_domain = domain, .origin = *origin };

    account_check(accounts, &request, false, v);
}

void exchange_plain(struct accounts *accounts, const struct auth_opening *o, struct account_verdict *v)
{
    struct span authzid, name, password = o->initial;

    if (!until_nul(&password, &authzid) || !until_nul(&password, &name) || name.len == 0 || password.len == 0 ||
        memchr(password.at, '\0', password.len) != NULL || !name_is_utf8(o->initial)) {
        exchange_refuse(v, "malformed");
        return;
    }
    check_password(accounts, name, password, o->default_domain, &o->origin, v);
    exchange_authorize(v, authzid, o->default_domain);
}

static bool challenge(struct exchange_answer *out, const char *text)
{
    out->len = strlen(text);
    memcpy(out->challenge, text, out->len);
    return true;
}

bool exchange_login(struct exchange *x, struct span message, bool has_message, struct exchange_answer *out)
{
    if (!has_message)
        return challenge(out, "Username:");
    if (x->name == NULL && message.len > 0 && message.len <= NAME_TYPED_MAX && memchr(message.at, '\0', message.len) == NULL) {
        x->name = mem_strn(message.at, message.len);
        return challenge(out, "Password:");
    }
    if (x->name == NULL)
        exchange_refuse(&out->verdict, "malformed");
    else
        check_password(x->accounts, span_str(x->name), message, span_str(x->domain), &x->origin, &out->verdict);
    return false;
}

void exchange_external(struct accounts *accounts, const struct auth_opening *o, struct account_verdict *v)
{
    struct credentials c;

    if (o->identity.len == 0) {
        exchange_refuse(v, "certificate");
        return;
    }
    if (account_find(accounts, o->identity, o->default_domain, &o->origin, false, &c, v) <= 0)
        return;
    if (c.active)
        account_accept(v, &c);
    else
        exchange_refuse(v, "disabled");
    secret_wipe(&c, sizeof c);
    exchange_authorize(v, o->initial, o->default_domain);
}

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

void exchange_apop(struct accounts *accounts, const struct auth_opening *o, struct account_verdict *v)
{
    const char *space = o->initial.len > 0 ? memrchr(o->initial.at, ' ', o->initial.len) : NULL;
    char decoy[33];
    struct credentials c;

    if (space == NULL || o->timestamp.len == 0) {
        exchange_refuse(v, "malformed");
        return;
    }
    struct span name = { o->initial.at, (size_t)(space - o->initial.at) };
    struct span given = { space + 1, o->initial.len - name.len - 1 };

    int found = account_find(accounts, name, o->default_domain, &o->origin, false, &c, v);
    if (found < 0)
        return;
    const char *secret = shared_secret(&c, found, name, decoy);
    int right = apop_matches(o->timestamp, secret, given);
    if (right < 0) {
        log_error(NULL, "could not compute MD5, which APOP needs");
        v->verdict = AUTH_BROKEN;
    } else {
        if (found > 0 && right && c.active && secret != decoy && !v->barred)
            account_accept(v, &c);
        else if (found > 0)
            exchange_refuse(v, !c.active ? "disabled" : v->barred ? "guessing" : secret == decoy ? "no-secret" : "password");
    }
    secret_wipe(&c, sizeof c);
}
