/*
 * message.c - DATA and BDAT: a message comes in, is stored, and every
 * recipient gets its reply.
 *
 * A message that is refused while it comes (too large, no room) is read to its
 * end all the same, and kept no longer. Must never say 250 for what was not
 * reported as committed, nor give one reply less or more than there are
 * accepted recipients (RFC 2033 section 4.2).
 */
#include "daemon/lmtp/session.h"

#include <time.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/lmtp/trace.h"
#include "daemon/net/conn.h"
#include "storage/deliver/spool.h"

enum { HEAD = 65536 };      /* octets in which the Message-ID is looked for */
_Static_assert((int)KNOWN_KEY == (int)DELIVERY_KEY, "what is known by a key is delivered by it");

/* ----------------------------------------------------------------- coming in */

static void refuse(struct lmtp_session *s, enum lmtp_reply_name why)
{
    if (s->refusal == REPLY_COUNT)
        s->refusal = why;
    spool_drop(s->spool);
}

static void spool_ready(void *arg);

static void store(void *arg, struct span out)
{
    struct lmtp_session *s = arg;

    s->octets += out.len;
    if (s->refusal != REPLY_COUNT)
        return;
    if (s->octets > (uint64_t)s->service->host.settings->lmtp_max_size)
        refuse(s, REPLY_TOO_LARGE);
    else if (!spool_add(s->spool, out))
        refuse(s, REPLY_NO_SPACE);
    else if (s->known != NULL)
        known_add(s->known, out);
}

/* Our lines come first (RFC 5321 section 4.4). */
static void start_message(struct lmtp_session *s, bool is_data)
{
    struct lmtp_transaction_id id = lmtp_transaction_id(s);
    struct buf trace = BUF_EMPTY;

    s->decoder = DATA_START(is_data);
    s->spool = spool_new(s->service->space);
    spool_watch(s->spool, spool_ready, s);
    if (s->service->host.settings->lmtp_duplicate_window > 0)
        s->known = known_new();
    s->octets = 0;
    trace_put(&trace, &(struct trace){
                          .sender = s->sender,
                          .lhlo = { s->lhlo, s->lhlo_len },
                          .peer = conn_peer(s->conn),
                          .host = s->service->hostname,
                          .id = id.s,
                          .recipient = s->recipient_count == 1 ? s->recipients[0].address : NULL,
                          .utf8 = s->utf8,
                          .when = time(NULL),
                      });
    if (!spool_add(s->spool, buf_span(&trace)))
        refuse(s, REPLY_NO_SPACE);
    buf_free(&trace);
}

/* ----------------------------------------------------------------- the replies */

struct told {
    const char *message_id;
    size_t message_id_len;
    uint64_t octets, ms;
};

/* What members of lists did not get, in the order of the recipients, as far as it was not told yet. */
struct losses {
    const struct delivery_lost *at, *end;
};

static const char *why_lost(enum recipient_verdict why)
{
    return why == RECIPIENT_FULL ? "over-quota" : why == RECIPIENT_NEVER_FITS ? "larger-than-quota"
         : why == RECIPIENT_DISABLED ? "disabled" : "removed";
}

/* The sender is not told of a member that the list hides: the operator is. How many they were. */
static size_t tell_lost(const struct lmtp_session *s, size_t i, struct losses *losses, const struct told *told)
{
    struct lmtp_transaction_id id = lmtp_transaction_id(s);
    size_t count = 0;

    for (; losses->at < losses->end && losses->at->recipient == i; losses->at++, count++)
        log_warning(id.s, "lmtp from=%s to=%s octets=%llu member=%s mailbox=%s lost reason=%s message-id=%s",
                    log_text(span_str(s->sender)).s, log_text(span_str(s->recipients[i].address)).s,
                    (unsigned long long)told->octets,
                    log_text(span_str(losses->at->address != NULL ? losses->at->address : "")).s,
                    mailbox_text(&losses->at->mailbox).s, why_lost(losses->at->why),
                    log_text((struct span){ told->message_id, told->message_id_len }).s);
    metric_add(METRIC_LMTP_LOST, count);
    return count;
}

/* The first of its mailboxes that has the message. */
static const struct mailbox_ref *first_mailbox(const struct lmtp_session *s, size_t i, const struct losses *losses)
{
    const struct lmtp_recipient *r = &s->recipients[i];
    const struct delivery_lost *lost = losses->at;
    size_t k = 0;

    while (k + 1 < r->count && lost < losses->end && lost->recipient == i &&
           mailbox_same(&lost->mailbox, &s->mailboxes[r->first + k])) {
        lost++;
        k++;
    }
    return &s->mailboxes[r->first + k];
}

static void tell(struct lmtp_session *s, size_t i, enum lmtp_reply_name reply, int64_t uid, struct losses *losses,
                 const struct told *told)
{
    const struct lmtp_recipient *r = &s->recipients[i];
    struct lmtp_transaction_id id = lmtp_transaction_id(s);
    const struct mailbox_ref *mailbox = first_mailbox(s, i, losses);
    size_t lost = tell_lost(s, i, losses, told);

    log_info(
        id.s,
        "lmtp from=%s to=%s octets=%llu code=%s status=%s mailbox=%s mailboxes=%zu uid=%lld db=%llums message-id=%s",
        log_text(span_str(s->sender)).s, log_text(span_str(r->address)).s, (unsigned long long)told->octets,
        lmtp_replies[reply].code, lmtp_replies[reply].enhanced, mailbox_text(mailbox).s, r->count - lost,
        (long long)uid, (unsigned long long)told->ms,
        log_text((struct span){ told->message_id, told->message_id_len }).s);
    metric_add(lmtp_replies[reply].code[0] == '2'   ? METRIC_LMTP_STORED
               : lmtp_replies[reply].code[0] == '4' ? METRIC_LMTP_DEFERRED
                                                    : METRIC_LMTP_REFUSED,
               1);
    if (lmtp_replies[reply].code[0] == '2')
        s->deliveries++;
    if (s->conn != NULL)
        lmtp_say(s, reply, r->address, id.s);
}

static void tell_all(struct lmtp_session *s, enum lmtp_reply_name reply)
{
    struct told told = { .message_id = "", .octets = s->octets };
    struct losses none = { NULL, NULL };

    for (size_t i = 0; i < s->recipient_count; i++)
        tell(s, i, reply, 0, &none, &told);
}

/* ---------------------------------------------------------------------- storing */

/* What the message is known by, for the time of its storing. */
struct storing {
    uint64_t octets;
    size_t message_id_len;
    char message_id[];
};

/* One allocation, owned by the session while the job runs. */
static struct storing *storing_new(struct lmtp_session *s, struct span head)
{
    struct span id = trace_message_id(head);
    struct storing *storing = mem_alloc(sizeof *storing + id.len + 1);
    storing->octets = spool_octets(s->spool);
    storing->message_id_len = id.len;
    memcpy(storing->message_id, id.at, id.len);
    return storing;
}

/* A message without a Message-ID has no keys: two reports of the same words may both be meant. */
static void make_keys(struct lmtp_session *s, struct delivery_recipient *recipients)
{
    struct span message_id = { s->storing->message_id, s->storing->message_id_len };
    unsigned char digest[KNOWN_DIGEST];

    if (s->known == NULL || message_id.len == 0)
        return;
    known_digest(s->known, digest);
    for (size_t i = 0; i < s->recipient_count; i++) {
        known_key(digest, message_id, s->sender, s->recipients[i].address, recipients[i].key);
        recipients[i].has_key = true;
    }
}

static enum lmtp_reply_name reply_for(const struct lmtp_session *s, const struct delivery_result *result, size_t i)
{
    if (result->status != DB_OK)
        return result->disk_full ? REPLY_NO_SPACE : REPLY_TROUBLE;
    if (result->recipients[i].verdict == RECIPIENT_OK)
        return REPLY_STORED;
    return lmtp_verdict_reply(s->service, result->recipients[i].verdict);
}

static void stored(void *owner, const struct delivery_result *result)
{
    struct lmtp_session *s = owner;
    struct told told = { s->storing->message_id, s->storing->message_id_len, s->storing->octets, result->ms };

    struct losses losses = { NULL, NULL };

    if (result->lost_count > 0)
        losses = (struct losses){ result->lost, result->lost + result->lost_count };
    s->job = NULL;
    if (lmtp_is_traced(s))
        log_info(s->id, "trace C: (message of %llu octets)", (unsigned long long)told.octets);
    s->messages++;
    s->sql_ms += result->ms;
    metric_add(METRIC_LMTP_MESSAGES, result->status == DB_OK ? 1 : 0);
    for (size_t i = 0; i < s->recipient_count; i++)
        tell(s, i, reply_for(s, result, i), result->status == DB_OK ? result->recipients[i].uid : 0, &losses, &told);
    lmtp_reset(s);
    lmtp_go_on(s, LMTP_READY);
}

static void start_storing(struct lmtp_session *s, struct span head)
{
    struct delivery_recipient *recipients = mem_array(s->recipient_count, sizeof recipients[0]);
    struct lmtp_transaction_id id = lmtp_transaction_id(s);
    const struct delivery_terms terms = {
        .window = (uint64_t)s->service->host.settings->lmtp_duplicate_window,
        .all = s->service->refuse_list,
        .session = id.s,
    };

    s->storing = storing_new(s, head);
    spool_let_go(s->spool);
    for (size_t i = 0; i < s->recipient_count; i++) {
        const struct lmtp_recipient *r = &s->recipients[i];
        recipients[i] = (struct delivery_recipient){ .address = r->address,
                                                     .mailboxes = s->mailboxes + r->first,
                                                     .count = r->count };
    }
    make_keys(s, recipients);
    s->job = deliver_message(s->service->host.deliver, &s->spool, recipients, s->recipient_count, &terms, stored, s);
    mem_free(recipients);
    lmtp_rest(s, LMTP_STORING);
}

/* Every octet is where it is read from, and the header was: what the disk refuses is refused here. False: not yet. */
static bool spooled(struct lmtp_session *s, struct span *head_r)
{
    enum spool_state state = spool_settle(s->spool);

    if (state == SPOOL_FAILED)
        refuse(s, REPLY_NO_SPACE);
    else if (state == SPOOL_READY && (state = spool_fetch(s->spool, 0, HEAD, head_r)) == SPOOL_FAILED)
        refuse(s, REPLY_TROUBLE);
    return state != SPOOL_WAIT;
}

static void refuse_whole(struct lmtp_session *s)
{
    tell_all(s, s->refusal);
    s->state = LMTP_MAIL;
    lmtp_reset(s);
}

/* All octets are there. */
static void message_whole(struct lmtp_session *s)
{
    struct span head = SPAN_OF("");

    if (s->refusal == REPLY_COUNT && s->decoder.nul && s->service->reject_nul)
        refuse(s, REPLY_HAS_NUL);
    if (s->refusal == REPLY_COUNT && s->decoder.bare && s->service->reject_bare)
        refuse(s, REPLY_HAS_BARE);
    if (s->refusal == REPLY_COUNT && !spooled(s, &head))
        lmtp_rest(s, LMTP_SPOOLING);
    else if (s->refusal == REPLY_COUNT)
        start_storing(s, head);
    else
        refuse_whole(s);
}

/* ---------------------------------------------------------- a disk that is slow */

/* What comes is no faster than the disk: the client waits, and we keep no more than a piece or two. */
static void keep_pace(struct lmtp_session *s)
{
    if (s->spool == NULL || s->state == LMTP_SPOOLING || !spool_behind(s->spool))
        return;
    s->behind = true;
    lmtp_rest(s, s->state);
}

static void spool_ready(void *arg)
{
    struct lmtp_session *s = arg;
    struct span head;

    if (s->behind) {
        s->behind = spool_behind(s->spool);
        if (!s->behind)
            lmtp_go_on(s, s->state);
        return;
    }
    if (s->state != LMTP_SPOOLING || !spooled(s, &head))
        return;
    if (s->refusal == REPLY_COUNT) {
        start_storing(s, head);
        return;
    }
    refuse_whole(s);
    lmtp_go_on(s, LMTP_READY);
}

/* ---------------------------------------------------------------- DATA and BDAT */

void lmtp_data(struct lmtp_session *s)
{
    start_message(s, true);
    s->state = LMTP_DATA;
    lmtp_say_text(s, "354 end data with a dot on a line by itself\r\n");
    s->owed += s->recipient_count;
}

/* The octets of a chunk were used up. */
static void chunk_whole(struct lmtp_session *s)
{
    s->state = LMTP_MAIL;
    if (!s->chunk_last) {
        lmtp_say(s, s->refusal == REPLY_COUNT ? REPLY_CHUNK : s->refusal, NULL, NULL);
        return;
    }
    data_finish(&s->decoder, store, s);
    message_whole(s);
}

/* A chunk that belongs to nothing: it was thrown away. */
static void void_chunk_whole(struct lmtp_session *s)
{
    if (s->sender == NULL) {
        s->state = s->lhlo != NULL ? LMTP_READY : LMTP_START;
        lmtp_say(s, REPLY_SEQUENCE, NULL, NULL);
        return;
    }
    s->state = LMTP_MAIL;
    /*
     * As DATA without a recipient (RFC 2033 section 4.2): a reply for each of none would be no
     * reply, and a client that waits.
     */
    lmtp_say(s, REPLY_NO_RECIPIENT, NULL, NULL);
    if (s->chunk_last)
        lmtp_reset(s);
}

static void chunk_over(struct lmtp_session *s)
{
    if (s->chunk_void)
        void_chunk_whole(s);
    else
        chunk_whole(s);
}

size_t lmtp_chunk_replies(const struct lmtp_session *s)
{
    return s->chunk_last && !s->chunk_void ? s->recipient_count : 1;
}

void lmtp_bdat(struct lmtp_session *s, uint64_t octets, bool last)
{
    s->chunk_left = octets;
    s->chunk_last = last;
    s->chunk_void = s->state != LMTP_MAIL || s->recipient_count == 0;
    if (!s->chunk_void && !s->chunks)
        start_message(s, false);
    /* Behind one that was refused there are no more recipients either: they would get a message that lacks it. */
    s->chunks = s->state == LMTP_MAIL;
    s->state = LMTP_CHUNK;
    s->owed += lmtp_chunk_replies(s) - 1;
    if (octets == 0)
        chunk_over(s);
}

size_t lmtp_take(struct lmtp_session *s, struct span in)
{
    size_t used;

    if (s->state == LMTP_DATA) {
        used = data_decode(&s->decoder, in, store, s);
        if (s->decoder.state == DATA_END)
            message_whole(s);
        keep_pace(s);
        return used;
    }
    used = s->chunk_left < in.len ? (size_t)s->chunk_left : in.len;
    s->chunk_left -= used;
    if (!s->chunk_void)
        data_decode(&s->decoder, (struct span){ in.at, used }, store, s);
    if (s->chunk_left == 0)
        chunk_over(s);
    keep_pace(s);
    return used;
}
