/*
 * scheme_argon2.c - Argon2id and Argon2i, as libsodium verifies them.
 *
 * Owns the form `$argon2id$v=19$m=19456,t=2,p=1$salt$hash` and the bounds of
 * its cost. The form is checked here to the last character, because libsodium
 * calls a hash that it cannot read a wrong password.
 */
#include <sodium.h>
#include <sys/mman.h>

#include "auth/scheme/scheme.h"
#include "daemon/base/clock.h"
#include "daemon/base/metrics.h"
#include "daemon/base/num.h"

/* The same as the bounds of auth_argon2_memory and auth_argon2_passes: what we could have made ourselves. */
enum { MEMORY_MAX_KIB = 1024 * 1024, PASSES_MAX = 16, LANES_MAX = 16 };
/* characters of base64: 8 to 64, 16 to 128 octets */
enum { SALT_MIN = 11, SALT_MAX = 86, HASH_MIN = 22, HASH_MAX = 172 };

struct cost {
    uint64_t kib, passes, lanes;
};

static bool argon2_takes(const char *stored)
{
    return strncmp(stored, "$argon2", 7) == 0;
}

/* All up to the next `end`, which *at is moved behind; false if there is none. */
static bool field(const char **at, char end, struct span *field_r)
{
    const char *stop = strchr(*at, end);

    if (stop == NULL)
        return false;
    *field_r = (struct span){ *at, (size_t)(stop - *at) };
    *at = stop + (end != '\0');
    return true;
}

static bool number(const char **at, const char *key, char end, uint64_t *value_r)
{
    struct span text;

    if (strncmp(*at, key, 2) != 0 || !field(at, end, &text))
        return false;
    return num_parse((struct span){ text.at + 2, text.len - 2 }, UINT32_MAX, value_r) == 1;
}

static bool base64(struct span text, size_t min, size_t max)
{
    if (text.len < min || text.len > max || text.len % 4 == 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/'))
            return false;
    }
    return true;
}

static bool parse(const char *stored, struct cost *cost_r)
{
    struct span kind, version, salt, hash;
    const char *at = stored + 1;

    return field(&at, '$', &kind) && (span_is(kind, SPAN_OF("argon2id")) || span_is(kind, SPAN_OF("argon2i"))) &&
           field(&at, '$', &version) && span_is(version, SPAN_OF("v=19")) &&
           number(&at, "m=", ',', &cost_r->kib) && number(&at, "t=", ',', &cost_r->passes) &&
           number(&at, "p=", '$', &cost_r->lanes) &&
           field(&at, '$', &salt) && base64(salt, SALT_MIN, SALT_MAX) &&
           field(&at, '\0', &hash) && base64(hash, HASH_MIN, HASH_MAX);
}

static int argon2_known(const char *stored, const char **error_r)
{
    struct cost cost;

    if (!parse(stored, &cost) || cost.passes == 0 || cost.lanes == 0 || cost.kib < 8 * cost.lanes) {
        *error_r = "it begins like an Argon2 hash but is none of Argon2id or Argon2i, version 19";
        return 0;
    }
    if (cost.kib > MEMORY_MAX_KIB || cost.passes > PASSES_MAX || cost.lanes > LANES_MAX) {
        *error_r = "the Argon2 hash asks for more than 1 GiB, 16 passes or 16 lanes";
        return 0;
    }
    return 1;
}

/*
 * libsodium does not tell "no memory" from "wrong password"; ask the kernel for as much (addresses
 * only: no page is touched).
 */
static bool memory_is_there(uint64_t kib)
{
    size_t size = (size_t)kib * 1024;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return false;
    munmap(p, size);
    return true;
}

static enum scheme_answer argon2_verify(const char *stored, struct span password, const char **error_r)
{
    struct cost cost;
    uint64_t since = clock_us();
    bool matches = crypto_pwhash_str_verify(stored, password.at, password.len) == 0;

    metric_time(HISTOGRAM_HASH, clock_us() - since);
    if (matches)
        return SCHEME_MATCHES;
    if (parse(stored, &cost) && memory_is_there(cost.kib))
        return SCHEME_DIFFERS;
    *error_r = "there is no memory to verify a password";
    return SCHEME_FAILED;
}

const struct scheme scheme_argon2 = { argon2_takes, argon2_known, argon2_verify, .quick = false };
