/*
 * known.h - what a message is known by, should it come a second time.
 *
 * A mail server that has lost our reply sends the same octets again; a message
 * with other octets is another one, whatever its Message-ID says. The lines
 * that we put in front are not among them, nor are the header fields that a
 * mail server writes anew at each attempt: Exim's Delivery-date, and its
 * Envelope-to, which lists the recipients that are left.
 */
#ifndef POSTERN_LMTP_KNOWN_H
#define POSTERN_LMTP_KNOWN_H

#include "daemon/base/span.h"

enum { KNOWN_KEY = 16, KNOWN_DIGEST = 32 };

struct known;

struct known *known_new(void);
void known_free(struct known **known);

/* The octets as they are stored, with CRLF line ends, in pieces of any size. */
void known_add(struct known *known, struct span octets);
/* No more octets will come. Once. */
void known_digest(struct known *known, unsigned char digest[KNOWN_DIGEST]);

/* The same Message-ID, sender, recipient and octets are the same key. */
void known_key(const unsigned char digest[KNOWN_DIGEST], struct span message_id, const char *sender,
               const char *recipient, unsigned char key[KNOWN_KEY]);

#endif
