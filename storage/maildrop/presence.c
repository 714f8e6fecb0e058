/*
 * presence.c - what workers say to each other and to posternctl by
 * notifications; and the answer to `posternctl sessions`: which session here
 * holds which maildrop.
 *
 *   on PG_ASK_CHANNEL        "who CHANNEL", "release MAILBOX CHANNEL SESSION", "order MAILBOX CHANNEL"
 *   on a reply channel       "answered", "busy MAILBOX", "free MAILBOX"
 *
 * The JSON of tell_sessions() stays in the database (answer()), as anybody could listen.
 *
 * They come from the database, so from anybody who may connect to it: what has
 * not this form is passed over, and the name of the reply channel is checked
 * here and again by answer().
 */
#include "storage/maildrop/presence.h"

#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/json_quote.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/takeover.h"

enum {
    ANSWER_MAX = 7000,
    /* To answer is work for all sessions, and whoever may connect can ask; a script of an operator's is below it. */
    ASKED_A_SECOND = 20,
    CHANNEL_DIGITS = 16,
};

static const struct span channel_prefix = { "postern_reply_", sizeof "postern_reply_" - 1 };

static bool is_reply_channel(struct span channel)
{
    if (channel.len != channel_prefix.len + CHANNEL_DIGITS ||
        memcmp(channel.at, channel_prefix.at, channel_prefix.len) != 0)
        return false;
    return strspn(channel.at + channel_prefix.len, "0123456789abcdef") == CHANNEL_DIGITS;
}

static void add_json_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    json_quote(out, span_str(text));
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
    pg_ask(a->store->pg, a->lane, PG_ANSWER, &args, ignore, NULL);
    buf_clear(&a->json);
}

static void add_drop(struct drop *drop, void *arg)
{
    struct answer *a = arg;
    struct buf one = BUF_EMPTY;

    if (drop->state == DROP_OPENING)
        return;
    buf_addf(&one, "{\"mailbox\":%s,\"since\":%lld,\"pid\":%ld,\"lane_pid\":%d", mailbox_text(&drop->place.mailbox).s,
             (long long)drop->who.since, (long)getpid(), pg_backend_pid(drop->lane));
    add_json_text(&one, "session", drop->who.session);
    add_json_text(&one, "peer", drop->who.peer);
    add_json_text(&one, "protocol", drop->who.protocol);
    add_json_text(&one, "host", a->store->host);
    buf_add(&one, "}", 1);
    struct span object = buf_span(&one);
    if (buf_left(&a->json) > 0 && buf_left(&a->json) + object.len + 2 > ANSWER_MAX)
        send_answer(a);
    buf_add(&a->json, buf_left(&a->json) > 0 ? "," : "[", 1);
    buf_add(&a->json, object.at, object.len);
    buf_free(&one);
}

static bool may_ask(struct store *store)
{
    uint64_t second = loop_now(store->loop) / 1000;

    if (second != store->asked.second)
        store->asked = (struct store_asked){ second, 0 };
    return ++store->asked.times <= ASKED_A_SECOND;
}

static void tell_sessions(struct store *store, const char *channel)
{
    struct answer a = { .store = store, .channel = span_str(channel), .json = BUF_EMPTY };

    if (!may_ask(store) || pg_bind(store->pg, &a.lane) != PG_BOUND)
        return;
    held_each(&store->held, add_drop, &a);
    send_answer(&a);
    pg_unbind(a.lane);
    buf_free(&a.json);
}

/* Words with one space between them; returns how many, 0 where there are too many or one is too long. */
enum { WORDS = 4, WORD_SIZE = 48 };
static size_t split(const char *text, char words[WORDS][WORD_SIZE])
{
    for (size_t n = 0; n < WORDS; n++) {
        size_t len = strcspn(text, " ");

        if (len == 0 || len >= WORD_SIZE)
            return 0;
        memcpy(words[n], text, len);
        words[n][len] = '\0';
        if (text[len] == '\0')
            return n + 1;
        text += len + 1;
    }
    return 0;
}

void presence_notified(struct store *store, const char *channel, const char *text, int pid)
{
    char words[WORDS][WORD_SIZE];
    size_t n = split(text, words);
    struct mailbox_ref mailbox;

    if (strcmp(channel, PG_ASK_CHANNEL) != 0) {
        if (n == 2 && mailbox_parse(span_str(words[1]), &mailbox) &&
            (strcmp(words[0], "free") == 0 || strcmp(words[0], "busy") == 0))
            takeover_answered(store, &mailbox, words[0][0] == 'f');
        return;
    }
    if (n == 2 && strcmp(words[0], "who") == 0 && is_reply_channel(span_str(words[1])))
        tell_sessions(store, words[1]);
    else if (n == 4 && strcmp(words[0], "release") == 0 && mailbox_parse(span_str(words[1]), &mailbox) &&
             is_reply_channel(span_str(words[2])))
        takeover_asked(store, &mailbox, words[2], words[3]);
    else if (n == 3 && strcmp(words[0], "order") == 0 && mailbox_parse(span_str(words[1]), &mailbox) &&
             is_reply_channel(span_str(words[2])))
        takeover_ordered(store, &mailbox, words[2], pid);
}
