/*
 * reply.c - one reply as text. A line never has more than 512 octets: the
 * addresses in it are canonical, so at most 320, or cut by path_parse().
 */
#include "daemon/lmtp/reply.h"

const struct lmtp_reply lmtp_replies[REPLY_COUNT] = {
#define LMTP_REPLY(name, code, enhanced, text) { code, enhanced, text },
#include "daemon/lmtp/reply.def"
#undef LMTP_REPLY
};

void lmtp_reply_put(struct buf *out, enum lmtp_reply_name name, const char *a, const char *b)
{
    const struct lmtp_reply *reply = &lmtp_replies[name];
    const char *arguments[] = { a, b };
    size_t next = 0;

    buf_addf(out, "%s %s ", reply->code, reply->enhanced);
    for (const char *p = reply->text; *p != '\0'; p++) {
        if (p[0] == '%' && p[1] == 's') {
            buf_add_str(out, next < 2 && arguments[next] != NULL ? arguments[next] : "");
            next++;
            p++;
        } else {
            buf_add(out, p, 1);
        }
    }
    buf_add(out, "\r\n", 2);
}
