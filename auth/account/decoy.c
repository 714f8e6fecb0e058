/*
 * decoy.c - a keyed hash of names that are not there (see decoy.h).
 *
 * Owns the key. Must never show it, nor make anything that could be taken for
 * a real secret.
 */
#include "auth/account/decoy.h"

#include <sodium.h>
#include <stdint.h>

#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

static unsigned char key[crypto_generichash_KEYBYTES];
static bool made;

void decoy_set_key(struct span of_database, struct span of_file)
{
    static const char purpose[] = "postern decoy 2";
    const uint64_t len = of_database.len;
    crypto_generichash_state state;

    secret_init();
    crypto_generichash_init(&state, (const unsigned char *)purpose, sizeof purpose - 1, sizeof key);
    /* The length separates the two. */
    crypto_generichash_update(&state, (const unsigned char *)&len, sizeof len);
    crypto_generichash_update(&state, (const unsigned char *)of_database.at, of_database.len);
    if (of_file.len > 0)
        crypto_generichash_update(&state, (const unsigned char *)of_file.at, of_file.len);
    crypto_generichash_final(&state, key, sizeof key);
    secret_wipe(&state, sizeof state);
    made = true;
}

bool decoy_has_key(void)
{
    return made;
}

void decoy_octets(const char *purpose, struct span name, unsigned char *out, size_t len)
{
    crypto_generichash_state state;

    ASSERT(made);
    crypto_generichash_init(&state, key, sizeof key, len);
    /* With its NUL, which ends it. */
    crypto_generichash_update(&state, (const unsigned char *)purpose, strlen(purpose) + 1);
    crypto_generichash_update(&state, (const unsigned char *)name.at, name.len);
    crypto_generichash_final(&state, out, len);
    secret_wipe(&state, sizeof state);
}
