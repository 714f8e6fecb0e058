/*
 * scheme_pbkdf2.c - PBKDF2 (RFC 8018) as other servers wrote it.
 *
 *   {PBKDF2}$1$SALT$ROUNDS$HEX                  Dovecot: SHA-1, the salt as it is written
 *   {PBKDF2-SHA256}ROUNDS$SALT$HASH             OpenLDAP: also -SHA1, -SHA512 and {PBKDF2} for SHA-1
 *   $pbkdf2-sha256$ROUNDS$SALT$HASH             passlib: also $pbkdf2$ for SHA-1 and $pbkdf2-sha512$
 *
 * In the last two salt and hash are base64 with `.` for `+` and without padding.
 * Owns these forms and what they may cost. Nothing here makes new ones.
 */
#include <limits.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "auth/scheme/scheme.h"
#include "auth/scheme/scheme_text.h"
#include "daemon/base/num.h"
#include "daemon/base/secret.h"

enum { ROUNDS_MAX = 2000000, SALT_MAX = 128 };      /* a second or two at most */

struct pbkdf2 {
    const EVP_MD *digest;
    uint64_t rounds;
    unsigned char salt[SALT_MAX], hash[EVP_MAX_MD_SIZE];
    size_t salt_len, hash_len;
};

/* What is before the next `$`, which *rest is moved behind; the last field has none. */
static bool field(struct span *rest, bool last, struct span *field_r)
{
    const char *end = rest->len > 0 ? memchr(rest->at, '$', rest->len) : NULL;

    if ((end == NULL) != last)
        return false;
    *field_r = (struct span){ rest->at, last ? rest->len : (size_t)(end - rest->at) };
    if (!last)
        *rest = (struct span){ end + 1, rest->len - field_r->len - 1 };
    return field_r->len > 0;
}

/* Base64 with `.` for `+`, without padding or with it. */
static bool adapted(struct span text, unsigned char *out, size_t size, size_t *len_r)
{
    char copy[SCHEME_TEXT_MAX];

    if (text.len >= sizeof copy)
        return false;
    for (size_t i = 0; i < text.len; i++)
        copy[i] = text.at[i] == '.' ? '+' : text.at[i];
    copy[text.len] = '\0';
    return secret_text_decode(copy, CODE_BASE64, out, size, len_r);
}

static bool parse_dovecot(struct span rest, struct pbkdf2 *p)
{
    struct span salt, rounds, hash;
    char hex[2 * 20 + 1] = "";

    if (!field(&rest, false, &salt) || !field(&rest, false, &rounds) || !field(&rest, true, &hash) ||
        salt.len > sizeof p->salt || hash.len >= sizeof hex || num_parse(rounds, ROUNDS_MAX, &p->rounds) != 1)
        return false;
    memcpy(p->salt, salt.at, salt.len);
    p->salt_len = salt.len;
    memcpy(hex, hash.at, hash.len);
    return secret_text_decode(hex, CODE_HEX, p->hash, sizeof p->hash, &p->hash_len) && p->hash_len == 20;
}

static bool parse_adapted(struct span rest, struct pbkdf2 *p)
{
    struct span salt, rounds, hash;

    return field(&rest, false, &rounds) && field(&rest, false, &salt) && field(&rest, true, &hash) &&
           num_parse(rounds, ROUNDS_MAX, &p->rounds) == 1 && adapted(salt, p->salt, sizeof p->salt, &p->salt_len) &&
           p->salt_len > 0 && adapted(hash, p->hash, sizeof p->hash, &p->hash_len) &&
           p->hash_len == (size_t)EVP_MD_get_size(p->digest);
}

static const struct {
    const char *begins;
    const EVP_MD *(*digest)(void);
    bool (*parse)(struct span rest, struct pbkdf2 *p);
} forms[] = {
    { "{PBKDF2}$1$", EVP_sha1, parse_dovecot },         { "{PBKDF2}", EVP_sha1, parse_adapted },
    { "{PBKDF2-SHA1}", EVP_sha1, parse_adapted },       { "{PBKDF2-SHA256}", EVP_sha256, parse_adapted },
    { "{PBKDF2-SHA512}", EVP_sha512, parse_adapted },   { "$pbkdf2$", EVP_sha1, parse_adapted },
    { "$pbkdf2-sha256$", EVP_sha256, parse_adapted },   { "$pbkdf2-sha512$", EVP_sha512, parse_adapted },
};

static bool pbkdf2_takes(const char *stored)
{
    return strncasecmp(stored, "{PBKDF2", 7) == 0 || strncmp(stored, "$pbkdf2", 7) == 0;
}

static bool parse(const char *stored, struct pbkdf2 *p)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t len = strlen(forms[i].begins);
        if (strncasecmp(stored, forms[i].begins, len) == 0) {
            p->digest = forms[i].digest();
            return forms[i].parse(span_str(stored + len), p) && p->rounds > 0;
        }
    }
    return false;
}

static int pbkdf2_known(const char *stored, const char **error_r)
{
    struct pbkdf2 p;

    if (parse(stored, &p))
        return 1;
    *error_r = "the PBKDF2 hash is incomplete or damaged, of a kind that is not known, or its cost is too high";
    return 0;
}

static enum scheme_answer pbkdf2_verify(const char *stored, struct span password, const char **error_r)
{
    unsigned char made[EVP_MAX_MD_SIZE];
    enum scheme_answer answer = SCHEME_FAILED;
    struct pbkdf2 p;

    if (parse(stored, &p) && password.len <= INT_MAX &&
        PKCS5_PBKDF2_HMAC(password.at, (int)password.len, p.salt, (int)p.salt_len, (int)p.rounds, p.digest,
                          (int)p.hash_len, made) == 1)
        answer = sodium_memcmp(made, p.hash, p.hash_len) == 0 ? SCHEME_MATCHES : SCHEME_DIFFERS;
    else
        *error_r = "OpenSSL could not compute PBKDF2";
    secret_wipe(made, sizeof made);
    return answer;
}

const struct scheme scheme_pbkdf2 = { pbkdf2_takes, pbkdf2_known, pbkdf2_verify, .quick = false };
