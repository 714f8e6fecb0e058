/*
 * scram.h - a stored SCRAM verifier (RFC 5803, as PostgreSQL writes it too):
 * "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>", the last three
 * in base64. Pure.
 */
#ifndef POSTERN_AUTH_SCRAM_H
#define POSTERN_AUTH_SCRAM_H

#include <stdbool.h>

#include "daemon/base/span.h"

enum {
    /* RFC 7677 section 4 asks for no less. The same for a name that is not there, which it must not tell (S26) */
    SCRAM_ITERATIONS = 4096,
    SCRAM_SALT = 16,            /* octets; the same */
    SCRAM_BASE64_MAX = 96,
    SCRAM_TEXT_MAX = 320,       /* room for a verifier, with its NUL */
};

struct scram_verifier {
    char iterations[12];
    char salt[SCRAM_BASE64_MAX], stored_key[SCRAM_BASE64_MAX], server_key[SCRAM_BASE64_MAX];    /* base64 */
};

/* False if it is not one of SCRAM-SHA-256, or of SCRAM-SHA-1. The caller wipes it. */
bool scram_parse(const char *text, bool sha1, struct scram_verifier *verifier_r);

/*
 * A verifier that may be written as Dovecot does, "{SCRAM-SHA-256}<iterations>,<salt>,<StoredKey>,<ServerKey>" in
 * base64 with its padding, in the form above. *sha1_r is whether it is one of SCRAM-SHA-1. False if it is neither, or
 * damaged. The caller wipes out.
 */
bool scram_read(const char *text, bool *sha1_r, char out[SCRAM_TEXT_MAX]);

/*
 * Two things of a client's first message that RFC 5802 asks to be refused, and
 * no more: a name with a `=` that begins neither "=2C" nor "=3D" (section 5.1),
 * and "p=", the use of a channel binding, with a mechanism that has none
 * (section 6). *name_r is the name as it stands there, empty if there is none.
 */
bool scram_first_ok(struct span message, bool binds, struct span *name_r);

#endif
