/*
 * scheme_crypt.c - what crypt(3) of libxcrypt takes: accounts of other servers.
 *
 * Owns the table of its methods: how a hash of each ends, and what it costs.
 * crypt(3) itself would run any cost that a hash asks for, for hours. Nothing
 * here makes new hashes.
 */
#include <crypt.h>
#include <errno.h>
#include <sodium.h>

#include "auth/scheme/scheme.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/base/secret.h"

enum { ROUNDS_MAX = 1000000, BCRYPT_MAX = 15 };     /* some seconds at most */
static const uint64_t memory_max = (uint64_t)1 << 30;

static const char digits64[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static unsigned digit64(char c)
{
    const char *p = c != '\0' ? strchr(digits64, c) : NULL;

    return p != NULL ? (unsigned)(p - digits64) : 64;
}

/* n digits of base 64, the least significant first. */
static bool number64(const char *at, size_t n, uint64_t *value_r)
{
    *value_r = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned d = digit64(at[i]);
        if (d > 63)
            return false;
        *value_r |= (uint64_t)d << (6 * i);
    }
    return true;
}

static bool rounds_ok(const char *at, char end)
{
    const char *stop = strchr(at, end);
    uint64_t rounds;

    return stop != NULL && num_parse((struct span){ at, (size_t)(stop - at) }, ROUNDS_MAX, &rounds) == 1;
}

/* What follows the prefix: does it cost no more than we allow? */
static bool cost_fixed(const char *at)
{
    (void)at;
    return true;
}

static bool cost_sha2(const char *at)
{
    return strncmp(at, "rounds=", 7) != 0 || rounds_ok(at + 7, '$');
}

static bool cost_sha1(const char *at)
{
    return rounds_ok(at, '$');
}

static bool cost_sunmd5(const char *at)
{
    return *at == '$' || (strncmp(at, ",rounds=", 8) == 0 && rounds_ok(at + 8, '$'));
}

static bool cost_bcrypt(const char *at)
{
    uint64_t log2;

    return strlen(at) > 2 && at[2] == '$' && num_parse((struct span){ at, 2 }, BCRYPT_MAX, &log2) == 1;
}

static bool cost_bsdi(const char *at)
{
    uint64_t rounds;

    return number64(at, 4, &rounds) && rounds <= ROUNDS_MAX;
}

/* N, r and p of scrypt (RFC 7914 section 2): the memory is 128 N r octets, walked p times. */
static bool cost_scrypt(const char *at)
{
    unsigned log2 = digit64(at[0]);
    uint64_t r, p;

    return log2 >= 1 && log2 <= 30 && number64(at + 1, 5, &r) && number64(at + 6, 5, &p) && r > 0 && p > 0 &&
           r <= memory_max && p <= memory_max && (r * p) <= (memory_max >> log2) / 128;
}

/*
 * One of yescrypt's numbers: short ones take one digit, and the first digit
 * tells how many there are (decode64_uint32() of its reference code).
 */
static bool yescrypt_number(const char **at, uint32_t min, uint32_t *value_r)
{
    uint32_t start = 0, end = 47, more = 0;
    uint32_t c = digit64(*(*at)++);

    if (c > 63)
        return false;
    *value_r = min;
    while (c > end) {
        *value_r += (end + 1 - start) << (6 * more);
        start = end + 1;
        end = start + (62 - end) / 2;
        more++;
    }
    *value_r += (c - start) << (6 * more);
    while (more-- > 0) {
        c = digit64(*(*at)++);
        if (c > 63)
            return false;
        *value_r += c << (6 * more);
    }
    return true;
}

/* Flavour, log2 of N, and r; the further parameters that yescrypt knows are made by no crypt(3). */
static bool cost_yescrypt(const char *at)
{
    uint32_t flavour, log2, r;

    return yescrypt_number(&at, 0, &flavour) && yescrypt_number(&at, 1, &log2) && yescrypt_number(&at, 1, &r) &&
           *at == '$' && log2 <= 30 && r <= (memory_max >> log2) / 128;
}

/* In the order of looking; the last one is traditional DES, without any prefix. */
static const struct method {
    const char *prefix;
    bool (*cost)(const char *behind_prefix);
    size_t hash;        /* characters behind the last `$`, or behind the prefix where there is none */
} methods[] = {
    { "$1$", cost_fixed, 22 },      { "$5$", cost_sha2, 43 },       { "$6$", cost_sha2, 86 },
    { "$2a$", cost_bcrypt, 53 },    { "$2b$", cost_bcrypt, 53 },    { "$2x$", cost_bcrypt, 53 },
    { "$2y$", cost_bcrypt, 53 },    { "$y$", cost_yescrypt, 43 },   { "$gy$", cost_yescrypt, 43 },
    { "$7$", cost_scrypt, 43 },     { "$sha1$", cost_sha1, 28 },    { "$md5", cost_sunmd5, 22 },
    { "$3$", cost_fixed, 32 },      { "_", cost_bsdi, 19 },         { "", cost_fixed, 13 },
};

static const struct method *method_of(const char *stored)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strncmp(stored, methods[i].prefix, strlen(methods[i].prefix)) == 0)
            /* A `$` that no row begins with is not DES. */
            return methods[i].prefix[0] == '\0' && digit64(stored[0]) > 63 ? NULL : &methods[i];
    return NULL;
}

static bool crypt_takes(const char *stored)
{
    return method_of(stored) != NULL;
}

/* A hash that was cut off, as a narrow column of another server's table does, would only ever differ. */
static int crypt_known(const char *stored, const char **error_r)
{
    const struct method *m = method_of(stored);
    const char *hash = strrchr(stored, '$');

    ASSERT(m != NULL);          /* crypt_takes() took it */
    hash = hash != NULL ? hash + 1 : stored + strlen(m->prefix);
    if (strspn(hash, digits64) != m->hash || hash[m->hash] != '\0') {
        *error_r = "the crypt(3) hash is incomplete or damaged";
        return 0;
    }
    if (!m->cost(stored + strlen(m->prefix))) {
        *error_r = "the crypt(3) hash has a cost that cannot be read or is too high";
        return 0;
    }
    switch (crypt_checksalt(stored)) {
    case CRYPT_SALT_OK:
    case CRYPT_SALT_METHOD_LEGACY:
    case CRYPT_SALT_TOO_CHEAP:
        return 1;
    default:
        *error_r = "crypt(3) of this system does not take the hash";
        return 0;
    }
}

static enum scheme_answer crypt_verify(const char *stored, struct span password, const char **error_r)
{
    enum scheme_answer answer;

    /* Longer ones crypt(3) neither makes nor takes. */
    if (password.len >= CRYPT_MAX_PASSPHRASE_SIZE)
        return SCHEME_DIFFERS;
    struct crypt_data *data = mem_zalloc(sizeof *data);
    errno = 0;
    const char *made = crypt_r(password.at, stored, data);
    if (made == NULL || made[0] == '*') {
        answer = errno == ENOMEM ? SCHEME_FAILED : SCHEME_UNKNOWN;
        *error_r = errno == ENOMEM ? "there is no memory to verify a password" : "crypt(3) cannot read the hash";
    } else {
        size_t len = strlen(stored);
        answer = strlen(made) == len && sodium_memcmp(made, stored, len) == 0 ? SCHEME_MATCHES : SCHEME_DIFFERS;
    }
    secret_wipe(data, sizeof *data);
    mem_free(data);
    return answer;
}

const struct scheme scheme_crypt = { crypt_takes, crypt_known, crypt_verify, .quick = false };
