/*
 * scheme_scram.c - a SCRAM verifier in the place of a password's hash: a password that a client
 * sends can be verified against it, too (RFC 5802 section 3: StoredKey).
 *
 *   SCRAM-SHA-256$ROUNDS:SALT$STORED:SERVER     ours, and PostgreSQL's; also SCRAM-SHA-1
 *   {SCRAM-SHA-256}ROUNDS,SALT,STORED,SERVER    Dovecot; also {SCRAM-SHA-1}
 *
 * Owns what they may cost. Nothing here makes new ones: make.c does.
 */
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include "auth/scheme/scheme.h"
#include "auth/scheme/scram.h"
#include "daemon/base/base64.h"
#include "daemon/base/num.h"
#include "daemon/base/secret.h"

enum { ROUNDS_MAX = 2000000, SALT_MAX = 64 };

struct verifier {
    const EVP_MD *digest;
    uint64_t rounds;
    unsigned char salt[SALT_MAX], stored_key[EVP_MAX_MD_SIZE];
    size_t salt_len, key_len;
};

static bool scram_takes(const char *stored)
{
    return strncasecmp(stored, "{SCRAM-SHA-", 11) == 0 || strncmp(stored, "SCRAM-SHA-", 10) == 0;
}

static bool parse(const char *stored, struct verifier *v)
{
    char ours[SCRAM_TEXT_MAX];
    struct scram_verifier text;
    bool sha1, ok;

    ok = scram_read(stored, &sha1, ours) && scram_parse(ours, sha1, &text) &&
         num_parse(span_str(text.iterations), ROUNDS_MAX, &v->rounds) == 1 &&
         base64_decode(span_str(text.salt), BASE64_PADDED, v->salt, sizeof v->salt, &v->salt_len) &&
         base64_decode(span_str(text.stored_key), BASE64_PADDED, v->stored_key, sizeof v->stored_key, &v->key_len);
    if (ok)
        v->digest = sha1 ? EVP_sha1() : EVP_sha256();
    secret_wipe(ours, sizeof ours);
    secret_wipe(&text, sizeof text);
    return ok;
}

static int scram_known(const char *stored, const char **error_r)
{
    struct verifier v;
    bool ok = parse(stored, &v);

    secret_wipe(&v, sizeof v);
    if (!ok)
        *error_r = "the SCRAM verifier is incomplete or damaged, of a kind that is not known, or its cost is too high";
    return ok;
}

/* H(HMAC(Hi(password, salt, rounds), "Client Key")) */
static bool stored_key(const struct verifier *v, struct span password, unsigned char out[EVP_MAX_MD_SIZE])
{
    unsigned char salted[EVP_MAX_MD_SIZE], client[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool ok = password.len <= INT_MAX &&
              PKCS5_PBKDF2_HMAC(password.at, (int)password.len, v->salt, (int)v->salt_len, (int)v->rounds, v->digest,
                                (int)v->key_len, salted) == 1 &&
              HMAC(v->digest, salted, (int)v->key_len, (const unsigned char *)"Client Key", 10, client, &len) != NULL &&
              EVP_Digest(client, len, out, &len, v->digest, NULL) == 1 && len == v->key_len;

    secret_wipe(salted, sizeof salted);
    secret_wipe(client, sizeof client);
    return ok;
}

static enum scheme_answer scram_verify(const char *stored, struct span password, const char **error_r)
{
    unsigned char made[EVP_MAX_MD_SIZE];
    enum scheme_answer answer = SCHEME_FAILED;
    struct verifier v;

    if (parse(stored, &v) && stored_key(&v, password, made))
        answer = sodium_memcmp(made, v.stored_key, v.key_len) == 0 ? SCHEME_MATCHES : SCHEME_DIFFERS;
    else
        *error_r = "OpenSSL could not compute the SCRAM verifier";
    secret_wipe(made, sizeof made);
    secret_wipe(&v, sizeof v);
    return answer;
}

const struct scheme scheme_scram = { scram_takes, scram_known, scram_verify, .quick = false };
