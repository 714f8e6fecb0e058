/*
 * uidls.h - a list of UIDLs that imported messages bring along, so that clients do not
 * fetch them again: a line for each, "NAME<tab>UIDL", or the UIDL alone.
 *
 * Only reads lines; which message gets which UIDL is said by pairs.h.
 */
#ifndef POSTERN_ADMIN_UIDLS_H
#define POSTERN_ADMIN_UIDLS_H

#include <stdbool.h>
#include <stddef.h>

struct uidl_line {
    size_t number;          /* from 1 */
    char *key;              /* what names the message; NULL in a list without names */
    char *uidl;
    const char *fault;      /* why nobody can be sent it (static text); NULL if there is nothing wrong */
};

struct uidls {
    struct uidl_line *lines;
    size_t count, room;
    bool named;             /* a line has a tab: all should */
};

/* Reads all of it; a line that is wrong is kept, with its fault. NULL after a message: it cannot be read. */
struct uidls *uidls_new(const char *path);
void uidls_free(struct uidls **uidls);

#endif
