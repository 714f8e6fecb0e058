/*
 * importing.h - what the verbs that import have in common on the command line, and the words
 * for what an import leaves out.
 */
#ifndef POSTERN_ADMIN_IMPORTING_H
#define POSTERN_ADMIN_IMPORTING_H

#include "admin/ctl.h"
#include "admin/mail/import.h"
#include "admin/mail/source.h"

/* One of each kind that is left out otherwise; that of STATE_LIVING is empty. */
struct importing_kind {
    const char *word;           /* of --with */
    const char *key, *text;     /* in JSON, and for people */
};
extern const struct importing_kind importing_kinds[IMPORT_KINDS];

/* --with, and all that is in struct source_how. CTL_USAGE after a message. */
enum ctl_exit importing_options(const struct ctl *c, struct source_how *source_r, bool with_r[IMPORT_KINDS]);
/* A word that --format takes; false: it is none. */
bool importing_format(const char *word, enum source_format *format_r);
/* Why this is no server (static text); NULL: it is one, or "none". */
const char *importing_server_fault(const char *name);
/* Why no server has this format of UIDLs (static text); NULL: one has. */
const char *importing_uidl_fault(const char *format);

#endif
