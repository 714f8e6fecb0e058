/*
 * seal.h - stored secrets that a stolen database does not give away.
 *
 * A sealed secret is "{SEALED}ID:base64", an XChaCha20-Poly1305 box (libsodium)
 * around any text that scheme.h or scram.h knows. The row it stands in
 * (mailbox, kind, label) is authenticated with it, so that whoever can write to
 * the database still cannot give one mailbox the password of another. The keys
 * are in a file that only auth helpers and posternctl read:
 *
 *     # a comment
 *     ID BASE64-OF-32-OCTETS
 *
 * The first key seals, all of them open.
 */
#ifndef POSTERN_AUTH_SEAL_H
#define POSTERN_AUTH_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/scheme/scheme.h"
#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"

struct keyring;

enum {
    SEAL_ID_MAX = 32,           /* letters, digits, `-`, `_` */
    SEAL_LABEL_MAX = 64,        /* octets of a credential's label */
    SEAL_TEXT_MAX = 1024,       /* room for a sealed secret, with its NUL */
};

/* Where a secret stands. */
struct seal_row {
    struct mailbox_ref mailbox;
    const char *kind;           /* postern.credential.kind */
    struct span label;
};

/*
 * The keys of a file, in locked memory. NULL with prose in error_r: it cannot
 * be read, users other than its owner may read it, a line is not understood.
 */
enum { KEYRING_ERROR_MAX = 512 };
struct keyring *keyring_load(const char *path, char error_r[KEYRING_ERROR_MAX]);
/* Wipes them. */
void keyring_free(struct keyring **keyring);
/* The id of the key that seals. */
const char *keyring_first(const struct keyring *keyring);
/*
 * 32 octets that only those who have the oldest key of the file can derive: a keyed hash of the
 * purpose. The caller wipes them.
 */
enum { KEYRING_DERIVED = 32 };
void keyring_derive(const struct keyring *keyring, const char *purpose, unsigned char out[KEYRING_DERIVED]);
/* Of all its keys: another one where a key was added or has gone. */
void keyring_fingerprint(const struct keyring *keyring, unsigned char out[KEYRING_DERIVED]);
/* A new line for such a file, without its line end; false if the id is none. The caller wipes it. */
enum { KEYRING_LINE_MAX = 96 };
bool keyring_new_line(const char *id, char out[KEYRING_LINE_MAX]);

/* Does the stored text say that it is sealed? With which key: *id_r, if not NULL, points into it. */
bool seal_is(const char *stored, struct span *id_r);
/*
 * 0, and `out` is what was sealed there; -1 with the reason in *error_r (static text). keyring may
 * be NULL: there is none.
 */
int seal_open(const struct keyring *keyring, const struct seal_row *row, const char *sealed, char out[SCHEME_TEXT_MAX],
              const char **error_r);
/* Seals with the first key. False if the text or the label is too long. */
bool seal_close(const struct keyring *keyring, const struct seal_row *row, const char *text, char out[SEAL_TEXT_MAX]);

#endif
