/*
 * outdir.h - a directory that only we write into.
 */
#ifndef POSTERN_ADMIN_OUTDIR_H
#define POSTERN_ADMIN_OUTDIR_H

#include <stdbool.h>

/*
 * The descriptor of a new directory (mode 0700) at this path, relative to `at` (or AT_FDCWD), or with
 * may_exist of an existing empty one. Create files relative to the descriptor: the owner of the
 * directory around it can replace it by another one or a link. -1: *why_r says why (static, or lent
 * until the next strerror()).
 */
int outdir_open(int at, const char *path, bool may_exist, const char **why_r);
/* The same for one that we have written into before: it may exist, and need not be empty. */
int outdir_again(int at, const char *path, const char **why_r);

#endif
