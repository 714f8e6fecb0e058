/*
 * uidls.h - the list of UIDLs that imported messages bring along, so that
 * clients do not fetch them again: one a line, in the order of the messages.
 */
#ifndef POSTERN_ADMIN_UIDLS_H
#define POSTERN_ADMIN_UIDLS_H

struct uidls;

/* Reads and checks all of it: form (uidl.h) and duplicates. NULL after a message. */
struct uidls *uidls_new(const char *path);
void uidls_free(struct uidls **uidls);
/* The next one, NULL at the end. */
const char *uidls_next(struct uidls *uidls);

#endif
