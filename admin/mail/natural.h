/*
 * natural.h - the order of names in which numbers count as numbers: "2." is in front
 * of "10.", and M99 of M100. Servers number files so: MH, Cyrus, and Dovecot's
 * microseconds, which have no zeros in front. Pure.
 */
#ifndef POSTERN_ADMIN_NATURAL_H
#define POSTERN_ADMIN_NATURAL_H

/* As strcmp(): 0 only for equal names, as "01" and "1" are two. */
int natural_cmp(const char *a, const char *b);

#endif
