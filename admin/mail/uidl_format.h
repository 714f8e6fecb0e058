/*
 * uidl_format.h - formats of UIDLs as Dovecot has them in pop3_uidl_format. Pure.
 *
 * As in Dovecot up to 2.3: %u (uid), %v (uidvalidity), %f (name of the file), %g (GUID), with
 * a number of digits filled up with zeros and modifiers in between, as in %08Xu: X
 * hexadecimal, L lower case, U upper case, M the MD5 of it. As in Dovecot 2.4: %{uid},
 * %{uid | hex(8)}, %{filename | md5}.
 */
#ifndef POSTERN_ADMIN_UIDL_FORMAT_H
#define POSTERN_ADMIN_UIDL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/span.h"

struct uidl_values {
    uint32_t uid, validity;
    struct span name, guid;
};

/* Why we cannot make UIDLs of this format (static text); NULL if we can. */
const char *uidl_format_fault(const char *format);
/* Does it have nothing but names of files, for which no list is needed? */
bool uidl_format_of_names(const char *format);
/* The format is one without a fault. */
void uidl_format_make(const char *format, const struct uidl_values *values, struct buf *out);

#endif
