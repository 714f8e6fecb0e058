/*
 * scheme.c - the table of password schemes.
 *
 * Owns which scheme a stored secret belongs to, and what a password may be.
 * Must never log or keep either of them, nor say "differs" where it could not
 * tell.
 */
#include "auth/scheme/scheme.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "auth/settings.h"
#include "daemon/base/secret.h"

/* These know their secrets by the name in braces; those of the other table by what follows it. */
static const struct scheme *const named[] = { &scheme_pbkdf2, &scheme_scram, &scheme_digest };
static const struct scheme *const schemes[] = { &scheme_argon2, &scheme_crypt };

/* As Dovecot and its relatives write them, in any case: what must follow, so that the two cannot disagree. */
static const struct {
    const char *prefix, *begins;
} prefixes[] = {
    { "{ARGON2ID}", "$argon2id$" }, { "{ARGON2I}", "$argon2i$" }, { "{BLF-CRYPT}", "$2" },
    { "{SHA512-CRYPT}", "$6$" },    { "{SHA256-CRYPT}", "$5$" },  { "{MD5-CRYPT}", "$1$" },
    { "{MD5}", "$1$" },             { "{DES-CRYPT}", "" },        { "{CRYPT}", "" },
};

/* What other servers keep for one mechanism alone: no password can be compared with it. */
static const struct {
    const char *prefix, *why;
} states[] = {
    { "{CRAM-MD5", "it is the state of CRAM-MD5, with which no password can be compared" },
    { "{HMAC-MD5", "it is the state of CRAM-MD5, with which no password can be compared" },
    { "{DIGEST-MD5", "it is for DIGEST-MD5 alone, which no client uses any more" },
    { "{LANMAN", "it is for LANMAN and NTLM alone" },
    { "{NTLM", "it is for NTLM alone" },
    { "{RPA", "it is for RPA alone" },
    { "{OTP", "it is for one-time passwords" },
    { "{SKEY", "it is for one-time passwords" },
};

/* The secret without its prefix; NULL if there is one that we do not know. */
static const char *without_prefix(const char *stored, const char **error_r)
{
    if (stored[0] != '{')
        return stored;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t len = strlen(prefixes[i].prefix);
        if (strncasecmp(stored, prefixes[i].prefix, len) != 0)
            continue;
        if (strncmp(stored + len, prefixes[i].begins, strlen(prefixes[i].begins)) == 0)
            return stored + len;
        *error_r = "the secret is not of the scheme that its prefix in braces names";
        return NULL;
    }
    *error_r = "the scheme that the prefix in braces names is not known";
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strncasecmp(stored, states[i].prefix, strlen(states[i].prefix)) == 0)
            *error_r = states[i].why;
    return NULL;
}

/* The scheme that takes it, and the secret itself; NULL with the reason if none does, at that cost. */
static const struct scheme *find(const char *stored, const char **secret_r, const char **error_r)
{
    if (strlen(stored) >= SCHEME_TEXT_MAX) {
        *error_r = "the secret is too long for any scheme";
        return NULL;
    }
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (named[i]->takes(stored)) {
            *secret_r = stored;
            return named[i]->known(stored, error_r) ? named[i] : NULL;
        }
    const char *secret = without_prefix(stored, error_r);
    if (secret == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (schemes[i]->takes(secret)) {
            *secret_r = secret;
            return schemes[i]->known(secret, error_r) ? schemes[i] : NULL;
        }
    *error_r = "no scheme is known that makes such secrets";
    return NULL;
}

/* An empty one authenticates nobody (A07); crypt(3) would end at a NUL and take what is before it. */
const char *scheme_password_problem(struct span password)
{
    if (password.len == 0)
        return "the password is empty";
    if (password.len > PASSWORD_MAX)
        return "the password is longer than 4096 octets";
    if (memchr(password.at, '\0', password.len) != NULL)
        return "the password contains a NUL";
    return NULL;
}

bool scheme_is_locked(const char *stored)
{
    const char *secret = strncasecmp(stored, "{CRYPT}", 7) == 0 ? stored + 7 : stored;

    /* shadow(5). What crypt(3) makes never begins so. */
    return secret[0] == '!' || secret[0] == '*';
}

int scheme_known(const char *stored, const char **error_r)
{
    const char *secret;

    return find(stored, &secret, error_r) != NULL;
}

enum scheme_answer scheme_verify(const char *stored, struct span password, const char **error_r)
{
    char copy[PASSWORD_MAX + 1];
    const char *secret;

    const struct scheme *scheme = find(stored, &secret, error_r);
    if (scheme == NULL)
        return SCHEME_UNKNOWN;
    if (scheme_password_problem(password) != NULL)
        return SCHEME_DIFFERS;
    memcpy(copy, password.at, password.len);
    copy[password.len] = '\0';
    enum scheme_answer answer = scheme->verify(secret, (struct span){ copy, password.len }, error_r);
    secret_wipe(copy, password.len);
    return answer;
}

int scheme_hash(const char *scheme, struct span password, const struct auth_settings *settings,
                char out[SCHEME_TEXT_MAX], const char **error_r)
{
    _Static_assert(SCHEME_TEXT_MAX >= crypto_pwhash_STRBYTES, "room for what libsodium writes");

    out[0] = '\0';
    if (strcasecmp(scheme, "argon2id") != 0) {
        *error_r = "new passwords are stored as \"argon2id\" only";
        return -1;
    }
    *error_r = scheme_password_problem(password);
    if (*error_r != NULL)
        return -1;
    if (crypto_pwhash_str_alg(out, password.at, password.len, (unsigned long long)settings->auth_argon2_passes,
                              (size_t)settings->auth_argon2_memory, crypto_pwhash_ALG_ARGON2ID13) != 0) {
        *error_r = errno == ENOMEM ? "there is no memory to hash the password" : "libsodium cannot hash at this cost";
        return -1;
    }
    return 0;
}

void scheme_decoy(const struct auth_settings *settings, char out[SCHEME_TEXT_MAX])
{
    enum { VARIANT = sodium_base64_VARIANT_ORIGINAL_NO_PADDING };
    unsigned char salt[crypto_pwhash_SALTBYTES], hash[32];
    char salt_text[sodium_base64_ENCODED_LEN(sizeof salt, VARIANT)],
        hash_text[sodium_base64_ENCODED_LEN(sizeof hash, VARIANT)];

    randombytes_buf(salt, sizeof salt);
    randombytes_buf(hash, sizeof hash);
    snprintf(out, SCHEME_TEXT_MAX, "$argon2id$v=19$m=%lld,t=%lld,p=1$%s$%s",
             (long long)settings->auth_argon2_memory / 1024, (long long)settings->auth_argon2_passes,
             sodium_bin2base64(salt_text, sizeof salt_text, salt, sizeof salt, VARIANT),
             sodium_bin2base64(hash_text, sizeof hash_text, hash, sizeof hash, VARIANT));
}

bool scheme_costs_as_new(const char *stored, const struct auth_settings *settings)
{
    const char *error;
    const char *secret = without_prefix(stored, &error);

    return secret != NULL && strlen(secret) < crypto_pwhash_STRBYTES &&
           crypto_pwhash_str_needs_rehash(secret, (unsigned long long)settings->auth_argon2_passes,
                                          (size_t)settings->auth_argon2_memory) == 0;
}

bool scheme_is_quick(const char *stored)
{
    const char *secret, *error;
    const struct scheme *scheme = find(stored, &secret, &error);

    return scheme != NULL && scheme->quick;
}
