/*
 * source_options.h - the options that say how a source of messages is read, for verbs that
 * read one and store nothing.
 */
#ifndef POSTERN_ADMIN_SOURCE_OPTIONS_H
#define POSTERN_ADMIN_SOURCE_OPTIONS_H

#include "admin/ctl.h"
#include "admin/mail/source.h"

/*
 * --format, --quoting, --any, --follow-links, --uidl-format; --with: of these kinds of
 * messages that are left out otherwise. how_r->doubt and arg are the caller's. False after a message.
 */
bool source_options(const struct ctl *c, struct source_how *how_r, bool with_r[STATE_KINDS]);

#endif
