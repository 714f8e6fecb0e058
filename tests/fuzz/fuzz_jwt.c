/* Signed tokens, as if every signature were right: nobody finds one by chance. */
#include <openssl/evp.h>

static int always_right(void)
{
    return 1;
}
#define EVP_DigestVerify(ctx, sig, siglen, text, len) ((void)(ctx), (void)(sig), (void)(siglen), (void)(text), (void)(len), always_right())
#include "auth/sasl/jwt.c"

#include <sodium.h>

#include "tests/fuzz/fuzz.h"

static struct jwt_keys keys;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    keys.count = 2;
    keys.keys[0] = EVP_RSA_gen(2048);
    keys.keys[1] = EVP_EC_gen("P-256");
    return keys.keys[0] == NULL || keys.keys[1] == NULL;
}

/* The parts as they are, or, as nobody mutates base64 well, put into it here: header and claims with a NUL between them. */
static size_t encode(struct span in, char *out, size_t size)
{
    const char *nul = in.len > 0 ? memchr(in.at, '\0', in.len) : NULL;
    size_t first = nul != NULL ? (size_t)(nul - in.at) : 0, at;

    if (nul == NULL || sodium_base64_ENCODED_LEN(in.len, 7) + 128 > size)
        return 0;
    sodium_bin2base64(out, size, (const unsigned char *)in.at, first, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    at = strlen(out);
    out[at++] = '.';
    sodium_bin2base64(out + at, size - at, (const unsigned char *)nul + 1, in.len - first - 1, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    at += strlen(out + at);
    out[at++] = '.';
    memset(out + at, 'A', 86);      /* 64 octets */
    return at + 86;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct jwt_wanted wanted = { "https://id.example.org", "postern", "email", 1795400000 };
    static char token[16384];
    char address[NAME_TYPED_MAX + 1];
    struct span in = exact((struct span){ (const char *)data, size });
    size_t len = encode(in, token, sizeof token);

    (void)jwt_verify(&keys, in, &wanted, address);
    if (len > 0 && jwt_verify(&keys, (struct span){ token, len }, &wanted, address) == NULL)
        MUST(strlen(address) <= NAME_TYPED_MAX);
    exact_free(in);
    return 0;
}
