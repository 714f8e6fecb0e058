/*
 * scheme.h - password schemes: what may stand in postern.credential.secret.
 *
 * A stored secret is the text that crypt(3) or libsodium made, with or without
 * a prefix in braces as other servers write it: "{SHA512-CRYPT}$6$..."; or what
 * only that prefix tells: "{SSHA}...", "{PBKDF2}...", "{PLAIN}...". The
 * text itself says which scheme it is. What a stored secret may cost to verify
 * is bounded, so that one row cannot keep a helper busy for minutes.
 */
#ifndef POSTERN_AUTH_SCHEME_H
#define POSTERN_AUTH_SCHEME_H

#include <stdbool.h>

#include "auth/login.h"
#include "daemon/base/span.h"

struct auth_settings;

enum {
    SCHEME_TEXT_MAX = 512,      /* room for a stored secret, with its NUL: crypt(3) needs up to 384 */
};

enum scheme_answer {
    SCHEME_MATCHES = 1,
    SCHEME_DIFFERS = 0,
    SCHEME_FAILED = -1,     /* cannot tell now: no memory */
    SCHEME_UNKNOWN = -2,    /* no scheme takes this secret, or it would cost too much */
};

/* Is this password the one? *error_r (static text) is set where the answer is below zero. */
enum scheme_answer scheme_verify(const char *stored, struct span password, const char **error_r);

/*
 * 1 if a scheme takes this stored secret and its cost is acceptable; 0 with the reason in *error_r
 * (static text) if not.
 */
int scheme_known(const char *stored, const char **error_r);

/* Why this can be nobody's password (static text): it is empty, too long, or has a NUL in it. NULL: it can. */
const char *scheme_password_problem(struct span password);

/*
 * An account that its old system had locked (`!` or `*` in front of the hash, or alone): no
 * password is the right one.
 */
bool scheme_is_locked(const char *stored);

/*
 * What people call its scheme, as Dovecot does: "SHA512-CRYPT"; "UNKNOWN" where nothing tells. Shows nothing of the
 * secret, if that is one; what stands in braces otherwise.
 */
enum { SCHEME_NAME_MAX = 24 };
void scheme_name(const char *stored, char out[SCHEME_NAME_MAX]);

/* Is it a password as it is, "{PLAIN}..."? Lent, what follows the braces; else NULL. */
const char *scheme_plain(const char *stored);

/*
 * A new secret for this password at the configured cost. The one scheme that
 * makes new ones is "argon2id". Returns 0, or -1 with the reason in *error_r
 * (static text): an unknown scheme, an empty password, a NUL in it, one longer
 * than PASSWORD_MAX octets, no memory.
 */
int scheme_hash(const char *scheme, struct span password, const struct auth_settings *settings,
                char out[SCHEME_TEXT_MAX], const char **error_r);

/*
 * A secret that costs what a new one would, and is nobody's: its hash is random,
 * not made from any password. Made at once, where hashing one would keep each
 * inetd session waiting.
 */
void scheme_decoy(const struct auth_settings *settings, char out[SCHEME_TEXT_MAX]);

/* True if verifying this secret costs what a new one would: see account.c. */
bool scheme_costs_as_new(const char *stored, const struct auth_settings *settings);

/* True if verifying this secret takes a moment only; what no scheme takes is not. */
bool scheme_is_quick(const char *stored);

/*
 * For the schemes themselves: a row of the table in scheme.c. `takes` looks at
 * the beginning only; `known` and `verify` get what begins so, without a
 * prefix in braces but where the scheme is known by that alone, and verify only what is known, with a
 * password that is not
 * empty, holds no NUL and is followed by one.
 */
struct scheme {
    bool (*takes)(const char *stored);
    int (*known)(const char *stored, const char **error_r);
    enum scheme_answer (*verify)(const char *stored, struct span password, const char **error_r);
    bool quick;             /* one digest, no more */
};
extern const struct scheme scheme_argon2, scheme_crypt, scheme_digest, scheme_pbkdf2, scheme_scram;

#endif
