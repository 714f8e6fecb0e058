/*
 * frame.c - what goes over the socket between a worker and its auth helper.
 *
 * A kind in one octet, then fixed fields, least significant octet first, then
 * texts with their length in two octets. Both ends are the same program on the
 * same machine, so there is no version. Must never assert on what it reads.
 */
#include "auth/frame.h"

#include "daemon/net/peer.h"

enum { KIND_CHECK_PASSWORD = 1, KIND_VERDICT = 2 };

_Static_assert((int)FRAME_REQUEST_MAX <= (int)PEER_MAX && (int)FRAME_REPLY_MAX <= (int)PEER_MAX, "a frame is one message");

struct reader {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static void put_number(unsigned char **at, uint64_t v, int octets)
{
    for (int i = 0; i < octets; i++)
        *(*at)++ = (unsigned char)(v >> (8 * i));
}

static void put_text(unsigned char **at, struct span text)
{
    put_number(at, text.len, 2);
    if (text.len > 0)
        memcpy(*at, text.at, text.len);
    *at += text.len;
}

static uint64_t get_number(struct reader *r, size_t octets)
{
    uint64_t v = 0;

    if (r->bad || r->left < octets) {
        r->bad = true;
        return 0;
    }
    for (size_t i = 0; i < octets; i++)
        v |= (uint64_t)r->at[i] << (8 * i);
    r->at += octets;
    r->left -= octets;
    return v;
}

static struct span get_text(struct reader *r, size_t max)
{
    size_t len = (size_t)get_number(r, 2);

    if (r->bad || len > max || len > r->left) {
        r->bad = true;
        return SPAN_OF("");
    }
    struct span text = { (const char *)r->at, len };
    r->at += len;
    r->left -= len;
    return text;
}

size_t frame_put_request(unsigned char out[FRAME_REQUEST_MAX], const struct auth_request *request)
{
    unsigned char *at = out;

    if (request->name.len > NAME_TYPED_MAX || request->password.len > PASSWORD_MAX ||
        request->default_domain.len > NAME_TYPED_MAX || request->session.len > FRAME_SESSION_MAX)
        return 0;
    put_number(&at, KIND_CHECK_PASSWORD, 1);
    put_number(&at, request->id, 8);
    put_text(&at, request->name);
    put_text(&at, request->password);
    put_text(&at, request->default_domain);
    put_text(&at, request->session);
    return (size_t)(at - out);
}

bool frame_get_request(const unsigned char *data, size_t len, struct auth_request *request_r)
{
    struct reader r = { data, len, false };

    if (get_number(&r, 1) != KIND_CHECK_PASSWORD)
        return false;
    request_r->id = get_number(&r, 8);
    request_r->name = get_text(&r, NAME_TYPED_MAX);
    request_r->password = get_text(&r, PASSWORD_MAX);
    request_r->default_domain = get_text(&r, NAME_TYPED_MAX);
    request_r->session = get_text(&r, FRAME_SESSION_MAX);
    /* It goes into the log as it is. */
    for (size_t i = 0; i < request_r->session.len; i++)
        r.bad = r.bad || strchr("0123456789abcdef", request_r->session.at[i]) == NULL || request_r->session.at[i] == '\0';
    return !r.bad && r.left == 0;
}

size_t frame_put_reply(unsigned char out[FRAME_REPLY_MAX], const struct auth_reply *reply)
{
    unsigned char *at = out;

    if (reply->address.len > NAME_ADDRESS_MAX)
        return 0;
    put_number(&at, KIND_VERDICT, 1);
    put_number(&at, reply->id, 8);
    put_number(&at, (uint64_t)reply->verdict, 1);
    put_number(&at, (uint64_t)reply->mailbox, 8);
    put_text(&at, reply->address);
    return (size_t)(at - out);
}

bool frame_get_reply(const unsigned char *data, size_t len, struct auth_reply *reply_r)
{
    struct reader r = { data, len, false };

    if (get_number(&r, 1) != KIND_VERDICT)
        return false;
    reply_r->id = get_number(&r, 8);
    uint64_t verdict = get_number(&r, 1);
    uint64_t mailbox = get_number(&r, 8);
    reply_r->address = get_text(&r, NAME_ADDRESS_MAX);
    if (r.bad || r.left != 0 || verdict > AUTH_BROKEN || mailbox > INT64_MAX)
        return false;
    reply_r->verdict = (enum auth_verdict)verdict;
    reply_r->mailbox = (int64_t)mailbox;
    /* A verdict that contradicts itself would open somebody's maildrop, or nobody's. */
    return verdict == AUTH_OK ? mailbox > 0 && reply_r->address.len > 0 : mailbox == 0;
}
