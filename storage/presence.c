/*
 * presence.c - a worker's answer to `posternctl sessions`: which of its
 * sessions holds which maildrop.
 *
 * The question comes from the database, so from anybody who may connect to it:
 * the name of the reply channel is checked here and again by answer_who().
 */
#include <inttypes.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "storage/store_impl.h"

enum {
    ANSWER_MAX = 7000,      /* a notification holds less than 8,000 octets */
    CHANNEL_DIGITS = 16,
};

static const struct span channel_prefix = { "postern_reply_", sizeof "postern_reply_" - 1 };

static bool is_reply_channel(struct span channel)
{
    if (channel.len != channel_prefix.len + CHANNEL_DIGITS || memcmp(channel.at, channel_prefix.at, channel_prefix.len) != 0)
        return false;
    return strspn(channel.at + channel_prefix.len, "0123456789abcdef") == CHANNEL_DIGITS;
}

static void add_json_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":\"", name);
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\' || *p < ' ' || *p > '~')
            buf_addf(out, "\\u%04x", *p);
        else
            buf_add(out, p, 1);
    }
    buf_add(out, "\"", 1);
}

struct answer {
    struct store *store;
    struct span channel;
    struct pg_ref lane;     /* any that is up */
    struct buf json;
};

static void ignore(void *arg, enum db_status status, PGresult *res)
{
    (void)arg;
    (void)status;
    PQclear(res);
}

static void send_answer(struct answer *a)
{
    struct pg_args args = PG_ARGS_EMPTY;

    if (buf_left(&a->json) == 0)
        return;
    buf_add(&a->json, "]", 1);
    pg_arg_bytes(&args, a->channel);
    pg_arg_bytes(&args, buf_span(&a->json));
    pg_ask(a->store->pg, a->lane, PG_ANSWER_WHO, &args, ignore, NULL);
    buf_clear(&a->json);
}

static void add_drop(struct drop *drop, void *arg)
{
    struct answer *a = arg;
    struct buf one = BUF_EMPTY;

    if (drop->state == DROP_OPENING)
        return;
    buf_addf(&one, "{\"mailbox\":%" PRId64 ",\"since\":%lld,\"pid\":%ld,\"lane_pid\":%d", drop->mailbox, (long long)drop->since,
             (long)getpid(), pg_backend_pid(drop->lane));
    add_json_text(&one, "session", drop->session);
    add_json_text(&one, "peer", drop->peer);
    add_json_text(&one, "protocol", drop->protocol);
    add_json_text(&one, "host", a->store->host);
    buf_add(&one, "}", 1);
    struct span object = buf_span(&one);
    if (buf_left(&a->json) > 0 && buf_left(&a->json) + object.len + 2 > ANSWER_MAX)
        send_answer(a);
    buf_add(&a->json, buf_left(&a->json) > 0 ? "," : "[", 1);
    buf_add(&a->json, object.at, object.len);
    buf_free(&one);
}

void presence_answer(struct store *store, const char *channel)
{
    struct answer a = { .store = store, .channel = span_str(channel), .json = BUF_EMPTY };

    if (!is_reply_channel(a.channel) || pg_bind(store->pg, &a.lane) != PG_BOUND)
        return;
    held_each(&store->held, add_drop, &a);
    send_answer(&a);
    pg_unbind(a.lane);
    buf_free(&a.json);
}
