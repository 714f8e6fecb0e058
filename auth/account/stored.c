/* stored.c - the names of kinds (see stored.h). */
#include "auth/account/stored.h"

const char *credential_kind_name(enum credential_kind kind)
{
    static const char *const names[] = {
        [CREDENTIAL_PASSWORD] = "password", [CREDENTIAL_APP_PASSWORD] = "app-password",
        [CREDENTIAL_SCRAM_SHA_256] = "scram-sha-256", [CREDENTIAL_SCRAM_SHA_1] = "scram-sha-1",
        [CREDENTIAL_SHARED_SECRET] = "shared-secret", [CREDENTIAL_CERTIFICATE] = "certificate",
    };

    return names[kind];
}
