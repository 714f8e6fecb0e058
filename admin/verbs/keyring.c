/*
 * keyring.c - the keys of stored secrets, for the verbs that write them.
 */
#include "admin/verbs/keyring.h"

bool ctl_keyring(const struct ctl *c, struct keyring **keyring_r)
{
    char error[KEYRING_ERROR_MAX];

    *keyring_r = NULL;
    if (c->auth.auth_key_file[0] == '\0')
        return true;
    *keyring_r = keyring_load(c->auth.auth_key_file, error);
    if (*keyring_r == NULL)
        ctl_error(CTL_FAILED, "auth_key_file: %s", error);
    return *keyring_r != NULL;
}
