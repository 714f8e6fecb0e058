/*
 * secret.h - memory that holds a password, and its end (libsodium).
 */
#ifndef POSTERN_BASE_SECRET_H
#define POSTERN_BASE_SECRET_H

#include <stddef.h>

/* Once per process before anything else of libsodium; dies if it cannot. */
void secret_init(void);
/* Overwrites in a way that no compiler takes away. */
void secret_wipe(void *p, size_t len);
/* Locked out of swap and core files, with guard pages; dies if there is none. For keys and small tables only. */
void *secret_alloc(size_t len) __attribute__((returns_nonnull));
void secret_free(void *p);
/* No core file, no ptrace by the same user: called by every process that sees a password. */
void secret_no_core(void);

#endif
