/*
 * decoy.c - a keyed hash of names that are not there (see decoy.h).
 *
 * Owns the key. Must never show it, nor make anything that could be taken for
 * a real secret.
 */
#include "auth/account/decoy.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

static unsigned char key[crypto_generichash_KEYBYTES];
static bool made;

void decoy_init(void)
{
    static const char purpose[] = "postern decoy 1";
    unsigned char id[64];

    if (made)
        return;
    secret_init();
    made = true;
    randombytes_buf(key, sizeof key);
    int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t len = read(fd, id, sizeof id);
    close(fd);
    /* 128 bits in hex; before the first boot of an image it is empty or says so. */
    if (len >= 32 && memcmp(id, "uninitialized", 13) != 0)
        crypto_generichash(key, sizeof key, id, 32, (const unsigned char *)purpose, sizeof purpose - 1);
    secret_wipe(id, sizeof id);
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
