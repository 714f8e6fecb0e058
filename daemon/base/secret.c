/*
 * secret.c - the few places where memory that held a password ends.
 */
#include "daemon/base/secret.h"

#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "daemon/base/mem.h"

void secret_init(void)
{
    ASSERT(sodium_init() >= 0);
}

void secret_wipe(void *p, size_t len)
{
    if (len > 0)
        sodium_memzero(p, len);
}

void *secret_alloc(size_t len)
{
    void *p = sodium_malloc(len);
    ASSERT(p != NULL);
    return p;
}

void secret_free(void *p)
{
    sodium_free(p);     /* overwrites first */
}

void secret_no_core(void)
{
    /* Not dumpable is lost by a change of user ids, so this is called after it; the limit stays whatever comes. */
    const struct rlimit none = { 0, 0 };
    ASSERT(setrlimit(RLIMIT_CORE, &none) == 0);
    ASSERT(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
}
