/*
 * Signed tokens. Keys and tokens were made by openssl(1); what else may be wrong
 * with a token, tests/system/test_oauth.py says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "auth/sasl/jwt.h"

static const char keys_text[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAp3QOTf+m7Y7Dh0Jv82q4\n"
    "BfXYgZnlYHKRmZvV6CplbYo+2rlox7D77ncLYCFnERs4XK5tD1dPtYCuMynFsF8b\n"
    "OCG9RfqY4zZYYtvYOJT3uu3VrAnf5Q/QY0Xifq57JPcrBHzQ2xh67LexLOir5U5R\n"
    "TRASyS2qvu9km2fQVpvHrYv6CWy0epMDTCbANy1MBLdEQKKyWw+llFy/w7ZYXJs0\n"
    "oP/Un7gDsCw71yGLNymUfvd5wtifbjIna7YIM6pKvBQrkicAzlMkyW1Xb6OX1Q5p\n"
    "E7TKjw47H1pTbZ6sXAT9eshaOtQweMlIvbjoKh2MN72oBefmLqT1mAjplxrrb/Mk\n"
    "OQIDAQAB\n"
    "-----END PUBLIC KEY-----\n"
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXXD2LY2iWUzT8ISgviN3AtVVy0JH\n"
    "VuZTkUqnm8UDcMGBHMXJ0jFXt7YBrem8y2qpO7s39K8r8RRIHkopW4OtnA==\n"
    "-----END PUBLIC KEY-----\n";
/* {"iss":"i","aud":"a","exp":2000000000,"nbf":1500000000,"email":"anna@example.org"} */
static const char rs256[] =
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIiwiYXVkIjoiYSIsImV4cCI6MjAwMDAwMDAwMCwibmJmIjoxNTAwMDAwMDAwLCJlbWFpbCI6ImFub"
    "mFAZXhhbXBsZS5vcmcifQ.AnMxjewzlQdH-lYpHmJXwM5jIsqTwmydeeKcfdc_YNRr1WuCvlo5TBETakQM5D1z47_pjRI6zg_4BfFxperVBTC6"
    "MbJ8CpDLo1gqZ50b_1cXGfyg0n1KPddExc1048vRrZydmLA8gPc8quGe-dYNUJFFof-o9x7505iVn7_WuUlH7L4lDSCrBZ9RovzGBOngqT2VLc"
    "IPFB5wF7COMJlxf8ozN7--0Exe2lFkPl9jodNZydhhj7QmbyWV7PmeeMetYQkiEQdN6QF0FZeT7CTUQzpWNvCw6_h6zVV30Qg-9qiyUZrzbsp-"
    "EpvAkKwSD82PkILux8CdtjiiXTq3PLNU9g";
static const char es256[] =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJpIiwiYXVkIjoiYSIsImV4cCI6MjAwMDAwMDAwMCwibmJmIjoxNTAwMDAwMDAwLCJlbWFpbCI6ImFub"
    "mFAZXhhbXBsZS5vcmcifQ.600xtulo-Szo197U2EVUoikxDYwNXFc4fXVfxLE6LT3Ue_5DI6wFVC3KGS-xSCw8sb2JMZKBLnFuO7pAK84Hzw";

static struct jwt_keys *keys_of(const char *text, const char **error_r)
{
    char path[] = "/tmp/postern-test-jwt-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct jwt_keys *k = jwt_keys_new(path, error_r);
    unlink(path);
    return k;
}

static const char *verify(const struct jwt_keys *k, struct span token, int64_t now, char address_r[NAME_TYPED_MAX + 1])
{
    /* A copy that ends where its memory ends. */
    char *copy = malloc(token.len > 0 ? token.len : 1);

    assert_non_null(copy);
    if (token.len > 0)
        memcpy(copy, token.at, token.len);
    const char *why = jwt_verify(k, (struct span){ copy, token.len }, &(struct jwt_wanted){ "i", "a", "email", now }, address_r);
    free(copy);
    return why;
}

static void test_vectors(void **state)
{
    const char *const tokens[] = { rs256, es256 };
    char address[NAME_TYPED_MAX + 1];
    const char *error;
    struct jwt_keys *k = keys_of(keys_text, &error);

    (void)state;
    assert_non_null(k);
    for (size_t i = 0; i < 2; i++) {
        struct span token = span_str(tokens[i]);
        assert_null(verify(k, token, 1700000000, address));
        assert_string_equal(address, "anna@example.org");
        assert_null(verify(k, token, 2000000059, address));
        assert_string_equal(verify(k, token, 2000000060, address), "token-expired");
        assert_null(verify(k, token, 1499999940, address));
        assert_string_equal(verify(k, token, 1499999939, address), "token-not-yet");
    }
    jwt_keys_free(&k);
    assert_null(k);
}

static void test_keys(void **state)
{
    const char *error = NULL;

    (void)state;
    assert_null(keys_of("", &error));
    assert_null(keys_of("nothing\n", &error));
    assert_null(keys_of("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", &error));
    assert_null(keys_of("-----BEGIN PUBLIC KEY-----\n*\n", &error));
    assert_null(jwt_keys_new("/nonexistent/keys", &error));
    assert_string_equal(error, "it cannot be opened");
}

#define P256_KEY "-----BEGIN PUBLIC KEY-----\n" \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXXD2LY2iWUzT8ISgviN3AtVVy0JH\n" \
    "VuZTkUqnm8UDcMGBHMXJ0jFXt7YBrem8y2qpO7s39K8r8RRIHkopW4OtnA==\n" \
    "-----END PUBLIC KEY-----\n"

/* Keys that are too weak, or of another kind than the two algorithms have; one bad key spoils a file, so that it is noticed. */
static void test_other_keys(void **state)
{
    static const char *const other[] = {
        /* RSA of 1024 bits, P-384, Ed25519 */
        "-----BEGIN PUBLIC KEY-----\n"
        "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCpSqlEVTbPSCAp/Uyz+jIDGU/L\n"
        "LZPbSNwXRTKQexei8woSEvJr05bsxf4e40N+JfJS1b5kChn/vEr9PjRExnzQrzYj\n"
        "G06+JL9TeP4Jx33NJvq7nhrtuGEkdqF9EYALV+vfhnB0B6EGp+NrZoB7N4BczK1E\n"
        "WTUcxE1caj3TVeyBWwIDAQAB\n"
        "-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n"
        "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEzdeMyKBHjlgH5D2Jq66Q1gNmxMhFiZ5g\n"
        "uboeLWzRS2AkgmnVRk/XfPeCJ4WJ/owF/T0WazsPmEiVXkO5zhRhrg9O5V7W43D6\n"
        "+swY9caNP4kJMq3PyAhjgwvFLqZVNCby\n"
        "-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n"
        "MCowBQYDK2VwAyEAIchk1i4/HJ4O0U16n3Fq4gY5qAh97CYI5w8yO9OKyEg=\n"
        "-----END PUBLIC KEY-----\n",
    };
    char text[8192] = "";
    const char *error = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        assert_null(keys_of(other[i], &error));
        assert_non_null(strstr(error, "neither RSA of 2048 bits or more nor P-256"));
        snprintf(text, sizeof text, "%s%s", P256_KEY, other[i]);
        assert_null(keys_of(text, &error));
    }
    text[0] = '\0';
    for (int i = 0; i < JWT_KEYS_MAX; i++)
        strcat(text, P256_KEY);
    struct jwt_keys *k = keys_of(text, &error);
    assert_non_null(k);
    jwt_keys_free(&k);
    strcat(text, P256_KEY);
    assert_null(keys_of(text, &error));
    assert_non_null(strstr(error, "more than 16 keys"));
}

/* One octet changed, or the end cut off: never good. */
static void test_noise(void **state)
{
    const char *const tokens[] = { rs256, es256 };
    char address[NAME_TYPED_MAX + 1], text[1024];
    const char *error;
    struct jwt_keys *k = keys_of(keys_text, &error);

    (void)state;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        const char *token = tokens[rand() % 2];
        size_t len = strlen(token), at = (size_t)rand() % len;
        memcpy(text, token, len);
        text[at] = (char)rand();
        if (text[at] == token[at] || rand() % 8 == 0)
            len = at;
        assert_non_null(verify(k, (struct span){ text, len }, 1700000000, address));
    }
    jwt_keys_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_keys), cmocka_unit_test(test_other_keys), cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
