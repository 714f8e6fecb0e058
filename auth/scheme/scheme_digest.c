/*
 * scheme_digest.c - passwords that other servers stored as a plain digest, a
 * salted one, or as they are: {SHA}, {SSHA256}, {PLAIN-MD5}, {PLAIN} and their
 * kin (RFC 2307, Dovecot, Courier, OpenLDAP).
 *
 * Owns the table of these names and how their octets are written. A stolen
 * table of such secrets is a table of passwords: nothing here makes new ones.
 */
#include <openssl/evp.h>
#include <sodium.h>

#include "auth/scheme/scheme.h"
#include "auth/scheme/scheme_text.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { SALT_MAX = 64 };

static const struct digest {
    const char *name;
    const EVP_MD *(*digest)(void);
    size_t len;                 /* octets of the digest; the salt follows them */
    bool salted;
    enum secret_code code;      /* where the name does not say it */
} digests[] = {
    { "SHA", EVP_sha1, 20, false, CODE_BASE64 },        { "SHA1", EVP_sha1, 20, false, CODE_BASE64 },
    { "SHA256", EVP_sha256, 32, false, CODE_BASE64 },   { "SHA512", EVP_sha512, 64, false, CODE_BASE64 },
    { "SSHA", EVP_sha1, 20, true, CODE_BASE64 },        { "SSHA256", EVP_sha256, 32, true, CODE_BASE64 },
    { "SSHA512", EVP_sha512, 64, true, CODE_BASE64 },   { "SMD5", EVP_md5, 16, true, CODE_BASE64 },
    { "LDAP-MD5", EVP_md5, 16, false, CODE_BASE64 },    { "PLAIN-MD5", EVP_md5, 16, false, CODE_HEX },
    { "MD5RAW", EVP_md5, 16, false, CODE_HEX },         { "MD5", EVP_md5, 16, false, CODE_BASE64 },
};

static const char *const plain_names[] = { "PLAIN", "CLEARTEXT", "CLEAR" };

static const struct digest *digest_of(const struct secret_text *t)
{
    for (size_t i = 0; i < sizeof digests / sizeof digests[0]; i++)
        if (secret_text_is(t, digests[i].name))
            return &digests[i];
    return NULL;
}

static bool is_plain(const struct secret_text *t)
{
    for (size_t i = 0; i < sizeof plain_names / sizeof plain_names[0]; i++)
        if (secret_text_is(t, plain_names[i]))
            return true;
    return false;
}

const char *scheme_plain(const char *stored)
{
    struct secret_text t;

    return secret_text_parse(stored, &t) && t.code == CODE_NONE && is_plain(&t) && t.text[0] != '\0' ? t.text : NULL;
}

/* The digest, and behind it the salt. 0 if the text is not that. */
static size_t octets_of(const struct digest *d, const struct secret_text *t,
                        unsigned char out[EVP_MAX_MD_SIZE + SALT_MAX])
{
    ASSERT(d != NULL);          /* digest_takes() took it */
    enum secret_code code = t->code != CODE_NONE ? t->code : d->code;
    size_t len;

    /* Some write hex under the plain name: as base64 it would be of another length. */
    if (t->code == CODE_NONE && !d->salted && strlen(t->text) == 2 * d->len)
        code = CODE_HEX;
    if (!secret_text_decode(t->text, code, out, EVP_MAX_MD_SIZE + SALT_MAX, &len))
        return 0;
    return d->salted ? (len > d->len && len <= d->len + SALT_MAX ? len : 0) : len == d->len ? len : 0;
}

static bool digest_takes(const char *stored)
{
    struct secret_text t;

    /* "{MD5}$1$" is a hash of crypt(3). */
    return secret_text_parse(stored, &t) && t.text[0] != '$' && (is_plain(&t) || digest_of(&t) != NULL);
}

static int digest_known(const char *stored, const char **error_r)
{
    unsigned char octets[EVP_MAX_MD_SIZE + SALT_MAX];
    struct secret_text t;

    if (!secret_text_parse(stored, &t))
        return 0;
    if (is_plain(&t) ? t.text[0] != '\0' && t.code == CODE_NONE : octets_of(digest_of(&t), &t, octets) > 0)
        return 1;
    *error_r = is_plain(&t) ? "the stored password is empty, or written in a way that is not known"
                            : "the digest is incomplete or damaged";
    return 0;
}

static enum scheme_answer plain_verify(const char *text, struct span password)
{
    size_t len = strlen(text);

    return len == password.len && sodium_memcmp(text, password.at, len) == 0 ? SCHEME_MATCHES : SCHEME_DIFFERS;
}

static enum scheme_answer digest_verify(const char *stored, struct span password, const char **error_r)
{
    unsigned char octets[EVP_MAX_MD_SIZE + SALT_MAX], made[EVP_MAX_MD_SIZE];
    enum scheme_answer answer = SCHEME_FAILED;
    struct secret_text t;

    secret_text_parse(stored, &t);
    if (is_plain(&t))
        return plain_verify(t.text, password);
    const struct digest *d = digest_of(&t);
    ASSERT(d != NULL);
    size_t len = octets_of(d, &t, octets);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestInit_ex(ctx, d->digest(), NULL) == 1 &&
        EVP_DigestUpdate(ctx, password.at, password.len) == 1 &&
        EVP_DigestUpdate(ctx, octets + d->len, len - d->len) == 1 && EVP_DigestFinal_ex(ctx, made, NULL) == 1)
        answer = sodium_memcmp(made, octets, d->len) == 0 ? SCHEME_MATCHES : SCHEME_DIFFERS;
    else
        *error_r = "OpenSSL of this system does not compute the digest";
    EVP_MD_CTX_free(ctx);
    secret_wipe(made, sizeof made);
    return answer;
}

const struct scheme scheme_digest = { digest_takes, digest_known, digest_verify, .quick = true };
