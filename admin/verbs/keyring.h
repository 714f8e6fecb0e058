/*
 * keyring.h - the keys of stored secrets, for the verbs that write them.
 */
#ifndef POSTERN_ADMIN_KEYRING_H
#define POSTERN_ADMIN_KEYRING_H

#include "admin/ctl.h"
#include "auth/scheme/seal.h"

/*
 * The keys of auth_key_file; NULL in *keyring_r where none is configured, and
 * secrets are stored as they are. False after a message: a secret must not be
 * stored in the clear because somebody may not read the file.
 */
bool ctl_keyring(const struct ctl *c, struct keyring **keyring_r);

#endif
