/*
 * likeness.h - what tells whether two messages are the same: their octets and digest; and a
 * second digest that leaves out header fields that servers add, hide or change, as two servers
 * may show one message with different ones. Pure; the message comes in pieces, with CRLF.
 */
#ifndef POSTERN_ADMIN_LIKENESS_H
#define POSTERN_ADMIN_LIKENESS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"
#include "storage/content/content.h"

struct likeness {
    uint64_t octets;
    unsigned char digest[CONTENT_DIGEST];   /* of all of it */
    unsigned char kept[CONTENT_DIGEST];     /* without those fields */
};

enum { LIKENESS_NAME = 24 };
struct likeness_hash {
    struct content_hash all, kept;
    uint64_t octets;
    enum { LIKENESS_NAMING, LIKENESS_IN_LINE, LIKENESS_BODY } state;
    bool left_out;              /* this field, and its continuation lines */
    char name[LIKENESS_NAME];   /* how the line begins, until it is known which field it is */
    size_t len;
};

void likeness_begin(struct likeness_hash *h);
void likeness_add(struct likeness_hash *h, struct span octets);
void likeness_end(struct likeness_hash *h, struct likeness *likeness_r);

#endif
