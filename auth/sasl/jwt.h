/*
 * jwt.h - signed tokens (RFC 7519, RFC 7515) of an OAuth server: is this one of
 * ours, for us, and still good? RS256 and ES256 only (RFC 7518 section 3.1):
 * what is signed with a secret, or not at all, is refused (RFC 8725).
 */
#ifndef POSTERN_AUTH_JWT_H
#define POSTERN_AUTH_JWT_H

#include <stdint.h>

#include "auth/name.h"
#include "daemon/base/span.h"

enum { JWT_KEYS_MAX = 16 };

struct jwt_keys;

/*
 * The public keys of a PEM file, RSA of 2048 bits or more, and P-256. NULL with the reason in
 * *error_r (static text).
 */
struct jwt_keys *jwt_keys_new(const char *path, const char **error_r);
void jwt_keys_free(struct jwt_keys **keys);

struct jwt_wanted {
    const char *issuer;     /* iss */
    const char *audience;   /* aud, or one of them */
    const char *claim;      /* whose value is the address */
    int64_t now;            /* seconds since 1970; a clock may be off by a minute */
};

/* NULL and the address of the token's owner; or why it is not good, for the log (static text). */
const char *jwt_verify(const struct jwt_keys *keys, struct span token, const struct jwt_wanted *wanted,
                       char address_r[NAME_TYPED_MAX + 1]);

#endif
