/*
 * uidl.h - what a UIDL may be that an imported message brought along.
 *
 * RFC 1939 section 7 has servers make UIDLs of 1 to 70 octets from 0x21 to 0x7E. Those
 * of another server are kept as it sent them, as clients know their mail by them: what
 * bounds them is a response of 512 octets (RFC 2449 section 4) with "+OK ", a number of
 * ten digits and a space in front, and that the database keeps text, which is UTF-8.
 */
#ifndef POSTERN_STORAGE_UIDL_H
#define POSTERN_STORAGE_UIDL_H

#include "daemon/base/span.h"

enum { UIDL_MAX = 480 };

/* Why a client could not be sent this one (static text, as in "a UIDL ..."); NULL if it can. */
const char *uidl_fault(struct span uidl);

#endif
