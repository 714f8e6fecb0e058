/*
 * reply.h - what the server says: one table, so that no reply lacks its
 * enhanced code or has one of another class.
 */
#ifndef POSTERN_LMTP_REPLY_H
#define POSTERN_LMTP_REPLY_H

#include "daemon/base/buf.h"

enum lmtp_reply_name {
#define LMTP_REPLY(name, code, enhanced, text) REPLY_##name,
#include "daemon/lmtp/reply.def"
#undef LMTP_REPLY
    REPLY_COUNT
};

struct lmtp_reply {
    const char *code, *enhanced, *text;
};
extern const struct lmtp_reply lmtp_replies[REPLY_COUNT];

/*
 * One whole line into out. a and b are the arguments of a text that has any:
 * the recipient; after it the id of the transaction. NULL where not needed.
 */
void lmtp_reply_put(struct buf *out, enum lmtp_reply_name name, const char *a, const char *b);

#endif
