/*
 * make.c - new secrets from a password (see make.h).
 *
 * Owns which form a new secret of each kind has. Keeps nothing.
 */
#include "auth/account/make.h"

#include <ctype.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>

#include "auth/scheme/prepare.h"
#include "auth/scheme/scram.h"
#include "daemon/base/secret.h"

enum { BASE64 = sodium_base64_VARIANT_ORIGINAL };

static int make_scram(bool sha1, const char *password, char out[SCHEME_TEXT_MAX], const char **error_r)
{
    const size_t len = sha1 ? 20 : 32;
    unsigned char salt[SCRAM_SALT];
    char salted[32], client[32], server[32], stored[32];
    char salt_text[48], stored_text[48], server_text[48];
    int rc;

    randombytes_buf(salt, sizeof salt);
    rc = gsasl_scram_secrets_from_password(sha1 ? GSASL_HASH_SHA1 : GSASL_HASH_SHA256, password, SCRAM_ITERATIONS,
                                           (const char *)salt, sizeof salt, salted, client, server, stored);
    if (rc == GSASL_OK) {
        sodium_bin2base64(salt_text, sizeof salt_text, salt, sizeof salt, BASE64);
        sodium_bin2base64(stored_text, sizeof stored_text, (const unsigned char *)stored, len, BASE64);
        sodium_bin2base64(server_text, sizeof server_text, (const unsigned char *)server, len, BASE64);
        snprintf(out, SCHEME_TEXT_MAX, "SCRAM-SHA-%s$%d:%s$%s:%s", sha1 ? "1" : "256", SCRAM_ITERATIONS, salt_text,
                 stored_text, server_text);
    } else {
        *error_r = gsasl_strerror(rc);
    }
    secret_wipe(salted, sizeof salted);
    secret_wipe(client, sizeof client);
    secret_wipe(server, sizeof server);
    secret_wipe(stored, sizeof stored);
    return rc == GSASL_OK ? 0 : -1;
}

static int scram_of(bool sha1, struct span password, char out[SCHEME_TEXT_MAX], const char **error_r)
{
    char copy[PASSWORD_MAX + 1];

    memcpy(copy, password.at, password.len);
    copy[password.len] = '\0';
    int end = make_scram(sha1, copy, out, error_r);
    secret_wipe(copy, sizeof copy);
    return end;
}

static int app_of(struct span password, char out[SCHEME_TEXT_MAX], const char **error_r)
{
    unsigned char md[64 + 8];
    char form[PASSWORD_MAX], text[sodium_base64_ENCODED_LEN(sizeof md, BASE64)];
    size_t len = make_app_form(password, form);
    int end = -1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    randombytes_buf(md + 64, 8);
    *error_r = "OpenSSL could not compute SHA-512";
    if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha512(), NULL) == 1 && EVP_DigestUpdate(ctx, form, len) == 1 &&
        EVP_DigestUpdate(ctx, md + 64, 8) == 1 && EVP_DigestFinal_ex(ctx, md, NULL) == 1)
        end = snprintf(out, SCHEME_TEXT_MAX, "{SSHA512}%s",
                       sodium_bin2base64(text, sizeof text, md, sizeof md, BASE64)) > 0
                  ? 0
                  : -1;
    EVP_MD_CTX_free(ctx);
    secret_wipe(form, sizeof form);
    return end;
}

static int make_of(enum credential_kind kind, struct span password, const struct auth_settings *settings,
                   char out[SCHEME_TEXT_MAX], const char **error_r)
{
    switch (kind) {
    case CREDENTIAL_PASSWORD:
        return scheme_hash("argon2id", password, settings, out, error_r);
    case CREDENTIAL_APP_PASSWORD:
        return app_of(password, out, error_r);
    case CREDENTIAL_SCRAM_SHA_256:
    case CREDENTIAL_SCRAM_SHA_1:
        return scram_of(kind == CREDENTIAL_SCRAM_SHA_1, password, out, error_r);
    case CREDENTIAL_SHARED_SECRET:
    case CREDENTIAL_CERTIFICATE:
    case CREDENTIAL_KINDS:
        break;
    }
    if (password.len >= SCHEME_TEXT_MAX) {
        *error_r = "the password is too long to be kept as a shared secret";
        return -1;
    }
    memcpy(out, password.at, password.len);
    out[password.len] = '\0';
    return 0;
}

int make_secret(enum credential_kind kind, struct span password, const struct auth_settings *settings,
                char out[SCHEME_TEXT_MAX], const char **error_r)
{
    char prepared[PASSWORD_MAX];

    out[0] = '\0';
    *error_r = scheme_password_problem(password);
    if (*error_r != NULL)
        return -1;
    size_t len = prepare_password(password, prepared);
    int end = make_of(kind, len > 0 ? (struct span){ prepared, len } : password, settings, out, error_r);
    secret_wipe(prepared, len);
    return end;
}

void make_app_password(char out[APP_PASSWORD_MAX])
{
    /* No l, o, 0 and 1, which are read for each other. */
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    size_t at = 0;

    _Static_assert(sizeof letters - 1 == 32, "five bits each");
    for (int i = 0; i < 25; i++) {
        if (i > 0 && i % 5 == 0)
            out[at++] = '-';
        out[at++] = letters[randombytes_uniform(sizeof letters - 1)];
    }
    out[at] = '\0';
}

size_t make_app_form(struct span password, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < password.len; i++)
        if (password.at[i] != '-' && password.at[i] != ' ')
            out[len++] = (char)tolower((unsigned char)password.at[i]);
    return len;
}
