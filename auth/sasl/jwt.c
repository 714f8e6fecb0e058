/*
 * jwt.c - signed tokens (see jwt.h).
 *
 * Owns the keys, and the order of things: nothing that a token says is believed
 * before its signature was verified, but for the name of the algorithm, and
 * that only chooses among keys that were made for it.
 */
#include "auth/sasl/jwt.h"

#include <jansson.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdio.h>

#include "daemon/base/base64.h"
#include "daemon/base/mem.h"

enum {
    SKEW = 60,              /* seconds */
    PART_MAX = 9216,        /* octets of a decoded part: the whole token fits into one message */
    ES256_OCTETS = 64,
};

enum algorithm { RS256, ES256 };

struct jwt_keys {
    size_t count;
    EVP_PKEY *keys[JWT_KEYS_MAX];
};

/* ------------------------------------------------------------------- keys */

static bool is_p256(EVP_PKEY *key)
{
    char group[32];
    size_t len;

    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1 &&
           (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0);
}

static bool is_for(EVP_PKEY *key, enum algorithm algorithm)
{
    if (algorithm == ES256)
        return is_p256(key);
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= 2048;
}

/* Takes one block of the file. */
static const char *take_key(struct jwt_keys *k, const char *name, const unsigned char *data, long len)
{
    EVP_PKEY *key = strcmp(name, PEM_STRING_PUBLIC) == 0 ? d2i_PUBKEY(NULL, &data, len) : NULL;

    if (key == NULL)
        return "it contains other things than public keys";
    if (k->count == JWT_KEYS_MAX || !(is_for(key, RS256) || is_for(key, ES256))) {
        EVP_PKEY_free(key);
        return k->count == JWT_KEYS_MAX ? "it contains more than 16 keys"
                                        : "it contains a key that is neither RSA of 2048 bits or more nor P-256";
    }
    k->keys[k->count++] = key;
    return NULL;
}

static const char *read_keys(FILE *in, struct jwt_keys *k)
{
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    const char *why = NULL;
    long len;

    while (why == NULL && PEM_read(in, &name, &header, &data, &len) == 1) {
        why = take_key(k, name, data, len);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)len);      /* it may be a private key, by mistake */
    }
    /* The end of the file is told as one more block that does not begin. */
    if (why == NULL && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        why = "it contains an unreadable block";
    ERR_clear_error();
    return why != NULL || k->count > 0 ? why : "it contains no public key in PEM";
}

struct jwt_keys *jwt_keys_new(const char *path, const char **error_r)
{
    FILE *in = fopen(path, "re");

    if (in == NULL) {
        *error_r = "it cannot be opened";
        return NULL;
    }
    struct jwt_keys *k = mem_zalloc(sizeof *k);
    *error_r = read_keys(in, k);
    fclose(in);
    if (*error_r != NULL)
        jwt_keys_free(&k);
    return k;
}

void jwt_keys_free(struct jwt_keys **keys)
{
    struct jwt_keys *k = *keys;

    if (k == NULL)
        return;
    *keys = NULL;
    for (size_t i = 0; i < k->count; i++)
        EVP_PKEY_free(k->keys[i]);
    mem_free(k);
}

/* -------------------------------------------------------------- signatures */

/*
 * JWS has the two numbers side by side (RFC 7518 section 3.4), OpenSSL wants them in DER. Octets,
 * 0 if that cannot be.
 */
static size_t to_der(const unsigned char *raw, size_t len, unsigned char *out, size_t size)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, ES256_OCTETS / 2, NULL), *s = BN_bin2bn(raw + ES256_OCTETS / 2, ES256_OCTETS / 2, NULL);
    int octets = 0;

    ASSERT(sig != NULL && r != NULL && s != NULL && len == ES256_OCTETS);
    ECDSA_SIG_set0(sig, r, s);      /* which owns both from here */
    int need = i2d_ECDSA_SIG(sig, NULL);
    if (need > 0 && (size_t)need <= size)
        octets = i2d_ECDSA_SIG(sig, &out);
    ECDSA_SIG_free(sig);
    return octets > 0 ? (size_t)octets : 0;
}

static bool verifies(EVP_PKEY *key, struct span text, const unsigned char *sig, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    ASSERT(ctx != NULL);
    bool good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(ctx, sig, len, (const unsigned char *)text.at, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

static bool signed_by_any(const struct jwt_keys *k, enum algorithm algorithm, struct span text,
                          const unsigned char *sig, size_t len)
{
    unsigned char der[80];

    if (algorithm == ES256) {
        if (len != ES256_OCTETS)
            return false;
        len = to_der(sig, len, der, sizeof der);
        sig = der;
        if (len == 0)
            return false;
    }
    for (size_t i = 0; i < k->count; i++)
        if (is_for(k->keys[i], algorithm) && verifies(k->keys[i], text, sig, len))
            return true;
    return false;
}

/* ------------------------------------------------------------------ claims */

/*
 * NULL if it is no JSON object; a name that is there twice makes it none (RFC 8725 section 3.10,
 * RFC 7515 section 4).
 */
static json_t *object_of(struct span text)
{
    unsigned char octets[PART_MAX];
    size_t len;

    if (!base64_decode(text, BASE64_URL, octets, sizeof octets, &len))
        return NULL;
    json_t *object = json_loadb((const char *)octets, len, JSON_REJECT_DUPLICATES, NULL);
    if (object != NULL && !json_is_object(object)) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

static bool is_for_us(const json_t *aud, const char *audience)
{
    for (size_t i = 0; json_is_array(aud) && i < json_array_size(aud); i++)
        if (is_text(json_array_get(aud, i), audience))
            return true;
    return is_text(aud, audience);
}

/*
 * Some servers let their users type an address, and tell whether it is theirs. Present, it says so
 * only as true; some servers write that as a string. All else, null too, is no yes.
 */
static bool is_unverified(const json_t *claims)
{
    const json_t *verified = json_object_get(claims, "email_verified");

    return verified != NULL && !json_is_true(verified) && !is_text(verified, "true");
}

static const char *check_claims(const json_t *claims, const struct jwt_wanted *wanted,
                                char address_r[NAME_TYPED_MAX + 1])
{
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    const json_t *address = json_object_get(claims, wanted->claim);

    if (!is_text(json_object_get(claims, "iss"), wanted->issuer))
        return "token-issuer";
    if (!is_for_us(json_object_get(claims, "aud"), wanted->audience))
        return "token-audience";
    /* RFC 7519 section 4.1.4 lets it be absent; a token that is good for ever is none for us. */
    if (!json_is_number(exp) || json_number_value(exp) <= (double)(wanted->now - SKEW))
        return "token-expired";
    if (nbf != NULL && (!json_is_number(nbf) || json_number_value(nbf) > (double)(wanted->now + SKEW)))
        return "token-not-yet";
    if (strcmp(wanted->claim, "email") == 0 && is_unverified(claims))
        return "token-address";
    if (!json_is_string(address) || json_string_length(address) == 0 || json_string_length(address) > NAME_TYPED_MAX)
        return "token-address";
    memcpy(address_r, json_string_value(address), json_string_length(address) + 1);
    return NULL;
}

/* The part before the next dot, which *rest is moved behind. */
static bool until_dot(struct span *rest, struct span *part_r)
{
    const char *dot = rest->len > 0 ? memchr(rest->at, '.', rest->len) : NULL;

    if (dot == NULL)
        return false;
    *part_r = (struct span){ rest->at, (size_t)(dot - rest->at) };
    *rest = (struct span){ dot + 1, rest->len - part_r->len - 1 };
    return true;
}

static bool algorithm_of(struct span text, enum algorithm *algorithm_r)
{
    json_t *header = object_of(text);
    const json_t *alg = json_object_get(header, "alg");
    bool known = is_text(alg, "RS256") || is_text(alg, "ES256");

    if (known)
        *algorithm_r = is_text(alg, "RS256") ? RS256 : ES256;
    /* What has to be understood, and is not (RFC 7515 section 4.1.11). */
    known = known && json_object_get(header, "crit") == NULL;
    json_decref(header);
    return known;
}

const char *jwt_verify(const struct jwt_keys *keys, struct span token, const struct jwt_wanted *wanted,
                       char address_r[NAME_TYPED_MAX + 1])
{
    struct span rest = token, header, payload;
    unsigned char sig[PART_MAX];
    enum algorithm algorithm;
    size_t len;

    if (!until_dot(&rest, &header) || !until_dot(&rest, &payload) ||
        !base64_decode(rest, BASE64_URL, sig, sizeof sig, &len))
        return "token-malformed";
    if (!algorithm_of(header, &algorithm))
        return "token-algorithm";
    if (!signed_by_any(keys, algorithm, (struct span){ token.at, header.len + 1 + payload.len }, sig, len))
        return "token-signature";
    json_t *claims = object_of(payload);
    const char *why = claims != NULL ? check_claims(claims, wanted, address_r) : "token-malformed";
    json_decref(claims);
    return why;
}
