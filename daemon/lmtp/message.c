/*
 * message.c - DATA and BDAT: a message comes in, is stored, and every
 * recipient gets its reply.
 *
 * A message that is refused while it comes (too large, no room) is read to its
 * end all the same, and kept no longer. Must never say 250 for what was not
 * reported as committed, nor give one reply less or more than there are
 * accepted recipients (RFC 2033 section 4.2).
 */
#include "daemon/lmtp/commands.h"

#include <time.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/num.h"
#include "daemon/lmtp/known.h"
#include "daemon/lmtp/trace.h"
#include "daemon/lmtp/transaction.h"
#include "daemon/net/conn.h"
#include "storage/deliver/spool.h"

enum { HEAD = 65536 };      /* octets in which the Message-ID is looked for */
_Static_assert((int)KNOWN_KEY == (int)DELIVERY_KEY, "what is known by a key is delivered by it");

/* ----------------------------------------------------------------- coming in */

static void refuse(struct lmtp_message *m, enum lmtp_reply_name why)
{
    if (m->refusal == REPLY_COUNT)
        m->refusal = why;
    spool_drop(m->spool);
}

static void spool_ready(void *arg);

static void store(void *arg, struct span out)
{
    struct lmtp_session *s = arg;
    struct lmtp_message *m = s->transaction->message;

    m->octets += out.len;
    if (m->refusal != REPLY_COUNT)
        return;
    if (m->octets > (uint64_t)lmtp_settings(s)->lmtp_max_size)
        refuse(m, REPLY_TOO_LARGE);
    else if (!spool_add(m->spool, out))
        refuse(m, REPLY_NO_SPACE);
    else if (m->known != NULL)
        known_add(m->known, out);
}

/* Our lines come first (RFC 5321 section 4.4). */
static void start_message(struct lmtp_session *s, bool is_data)
{
    struct lmtp_transaction_id id = lmtp_transaction_id(s);
    struct lmtp_transaction *t = s->transaction;
    struct lmtp_message *m = mem_zalloc(sizeof *m);
    struct buf trace = BUF_EMPTY;

    t->message = m;
    m->refusal = REPLY_COUNT;
    m->decoder = DATA_START(is_data);
    m->spool = spool_new(lmtp_service_of(s)->space);
    spool_watch(m->spool, spool_ready, s);
    if (lmtp_settings(s)->lmtp_duplicate_window > 0)
        m->known = known_new();
    trace_put(&trace, &(struct trace){
                          .sender = t->sender,
                          .lhlo = { s->lhlo, s->lhlo_len },
                          .peer = conn_peer(s->base.conn),
                          .host = lmtp_service_of(s)->hostname,
                          .id = id.s,
                          .recipient = t->recipient_count == 1 ? t->recipients[0].address : NULL,
                          .utf8 = t->utf8,
                          .when = time(NULL),
                      });
    if (!spool_add(m->spool, buf_span(&trace)))
        refuse(m, REPLY_NO_SPACE);
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
                    log_text(span_str(s->transaction->sender)).s,
                    log_text(span_str(s->transaction->recipients[i].address)).s,
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
    const struct lmtp_recipient *r = &s->transaction->recipients[i];
    const struct delivery_lost *lost = losses->at;
    size_t k = 0;

    while (k + 1 < r->count && lost < losses->end && lost->recipient == i &&
           mailbox_same(&lost->mailbox, &s->transaction->mailboxes[r->first + k])) {
        lost++;
        k++;
    }
    return &s->transaction->mailboxes[r->first + k];
}

static void tell(struct lmtp_session *s, size_t i, enum lmtp_reply_name reply, int64_t uid, struct losses *losses,
                 const struct told *told)
{
    const struct lmtp_recipient *r = &s->transaction->recipients[i];
    struct lmtp_transaction_id id = lmtp_transaction_id(s);
    const struct mailbox_ref *mailbox = first_mailbox(s, i, losses);
    size_t lost = tell_lost(s, i, losses, told);

    log_info(
        id.s,
        "lmtp from=%s to=%s octets=%llu code=%s status=%s mailbox=%s mailboxes=%zu uid=%lld db=%llums message-id=%s",
        log_text(span_str(s->transaction->sender)).s, log_text(span_str(r->address)).s,
        (unsigned long long)told->octets,
        lmtp_replies[reply].code, lmtp_replies[reply].enhanced, mailbox_text(mailbox).s, r->count - lost,
        (long long)uid, (unsigned long long)told->ms,
        log_text((struct span){ told->message_id, told->message_id_len }).s);
    metric_add(lmtp_replies[reply].code[0] == '2'   ? METRIC_LMTP_STORED
               : lmtp_replies[reply].code[0] == '4' ? METRIC_LMTP_DEFERRED
                                                    : METRIC_LMTP_REFUSED,
               1);
    if (lmtp_replies[reply].code[0] == '2')
        s->report.deliveries++;
    if (s->base.conn != NULL)
        lmtp_say(s, reply, r->address, id.s);
}

static void tell_all(struct lmtp_session *s, enum lmtp_reply_name reply)
{
    struct told told = { .message_id = "", .octets = s->transaction->message->octets };
    struct losses none = { NULL, NULL };

    for (size_t i = 0; i < s->transaction->recipient_count; i++)
        tell(s, i, reply, 0, &none, &told);
}

/* ---------------------------------------------------------------------- storing */

/* What the message is known by, for the time of its storing. */
struct storing {
    uint64_t octets;
    size_t message_id_len;
    char message_id[];
};

/* One allocation, owned by the message while the job runs. */
static struct storing *storing_new(struct lmtp_message *m, struct span head)
{
    struct span id = trace_message_id(head);
    struct storing *storing = mem_alloc(sizeof *storing + id.len + 1);
    storing->octets = spool_octets(m->spool);
    storing->message_id_len = id.len;
    memcpy(storing->message_id, id.at, id.len);
    return storing;
}

/* A message without a Message-ID has no keys: two reports of the same words may both be meant. */
static void make_keys(struct lmtp_transaction *t, struct delivery_recipient *recipients)
{
    struct lmtp_message *m = t->message;
    struct span message_id = { m->storing->message_id, m->storing->message_id_len };
    unsigned char digest[KNOWN_DIGEST];

    if (m->known == NULL || message_id.len == 0)
        return;
    known_digest(m->known, digest);
    for (size_t i = 0; i < t->recipient_count; i++) {
        known_key(digest, message_id, t->sender, t->recipients[i].address, recipients[i].key);
        recipients[i].has_key = true;
    }
}

static enum lmtp_reply_name reply_for(const struct lmtp_session *s, const struct delivery_result *result, size_t i)
{
    if (result->status != DB_OK)
        return result->disk_full ? REPLY_NO_SPACE : REPLY_TROUBLE;
    if (result->recipients[i].verdict == RECIPIENT_OK)
        return REPLY_STORED;
    return lmtp_verdict_reply(lmtp_service_of(s), result->recipients[i].verdict);
}

static void stored(void *owner, const struct delivery_result *result)
{
    struct lmtp_session *s = owner;
    struct lmtp_transaction *t = s->transaction;
    const struct storing *storing = t->message->storing;
    struct told told = { storing->message_id, storing->message_id_len, storing->octets, result->ms };
    struct losses losses = { NULL, NULL };

    if (result->lost_count > 0)
        losses = (struct losses){ result->lost, result->lost + result->lost_count };
    s->job = NULL;
    session_trace_message(&s->base, told.octets);
    s->report.messages++;
    s->report.sql_ms += result->ms;
    metric_add(METRIC_LMTP_MESSAGES, result->status == DB_OK ? 1 : 0);
    for (size_t i = 0; i < t->recipient_count; i++)
        tell(s, i, reply_for(s, result, i), result->status == DB_OK ? result->recipients[i].uid : 0, &losses, &told);
    lmtp_reset(s);
    lmtp_go_on(s, LMTP_READY);
}

static void start_storing(struct lmtp_session *s, struct span head)
{
    struct lmtp_transaction *t = s->transaction;
    struct delivery_recipient *recipients = mem_array(t->recipient_count, sizeof recipients[0]);
    struct lmtp_transaction_id id = lmtp_transaction_id(s);
    const struct delivery_terms terms = {
        .window = (uint64_t)lmtp_settings(s)->lmtp_duplicate_window,
        .all = lmtp_service_of(s)->refuse_list,
        .codec = t->codec,
        .session = id.s,
    };

    t->message->storing = storing_new(t->message, head);
    spool_let_go(t->message->spool);
    for (size_t i = 0; i < t->recipient_count; i++) {
        const struct lmtp_recipient *r = &t->recipients[i];
        recipients[i] = (struct delivery_recipient){ .address = r->address,
                                                     .mailboxes = t->mailboxes + r->first,
                                                     .count = r->count };
    }
    make_keys(t, recipients);
    s->job = deliver_message(lmtp_host(s)->deliver, &t->message->spool, recipients, t->recipient_count, &terms, stored,
                             s);
    mem_free(recipients);
    lmtp_rest(s, LMTP_STORING);
}

/* Every octet is where it is read from, and the header was: what the disk refuses is refused here. False: not yet. */
static bool spooled(struct lmtp_message *m, struct span *head_r)
{
    enum spool_state state = spool_settle(m->spool);

    if (state == SPOOL_FAILED)
        refuse(m, REPLY_NO_SPACE);
    else if (state == SPOOL_READY && (state = spool_fetch(m->spool, 0, HEAD, head_r)) == SPOOL_FAILED)
        refuse(m, REPLY_TROUBLE);
    return state != SPOOL_WAIT;
}

static void refuse_whole(struct lmtp_session *s)
{
    tell_all(s, s->transaction->message->refusal);
    s->state = LMTP_MAIL;
    lmtp_reset(s);
}

/* All octets are there. */
static void message_whole(struct lmtp_session *s)
{
    const struct lmtp_service *service = lmtp_service_of(s);
    struct lmtp_message *m = s->transaction->message;
    struct span head = SPAN_OF("");

    if (m->refusal == REPLY_COUNT && m->decoder.nul && service->reject_nul)
        refuse(m, REPLY_HAS_NUL);
    if (m->refusal == REPLY_COUNT && m->decoder.bare && service->reject_bare)
        refuse(m, REPLY_HAS_BARE);
    if (m->refusal == REPLY_COUNT && !spooled(m, &head))
        lmtp_rest(s, LMTP_SPOOLING);
    else if (m->refusal == REPLY_COUNT)
        start_storing(s, head);
    else
        refuse_whole(s);
}

/* ---------------------------------------------------------- a disk that is slow */

/* What comes is no faster than the disk: the client waits, and we keep no more than a piece or two. */
static void keep_pace(struct lmtp_session *s)
{
    const struct lmtp_message *m = s->transaction != NULL ? s->transaction->message : NULL;

    if (m == NULL || m->spool == NULL || s->state == LMTP_SPOOLING || !spool_behind(m->spool))
        return;
    s->behind = true;
    lmtp_rest(s, s->state);
}

static void spool_ready(void *arg)
{
    struct lmtp_session *s = arg;
    struct lmtp_message *m = s->transaction->message;
    struct span head;

    if (s->behind) {
        s->behind = spool_behind(m->spool);
        if (!s->behind)
            lmtp_go_on(s, s->state);
        return;
    }
    if (s->state != LMTP_SPOOLING || !spooled(m, &head))
        return;
    if (m->refusal == REPLY_COUNT) {
        start_storing(s, head);
        return;
    }
    refuse_whole(s);
    lmtp_go_on(s, LMTP_READY);
}

/* ---------------------------------------------------------------- DATA and BDAT */

enum outcome lmtp_cmd_data(struct session *session, const struct args *args)
{
    struct lmtp_session *s = lmtp_of(session);

    (void)args;
    if (s->transaction->chunks)
        return lmtp_say(s, REPLY_NESTED, NULL, NULL);
    if (s->transaction->recipient_count == 0)
        return lmtp_say(s, REPLY_NO_RECIPIENT, NULL, NULL);
    start_message(s, true);
    s->state = LMTP_DATA;
    lmtp_say_text(s, "354 end data with a dot on a line by itself\r\n");
    s->owed += s->transaction->recipient_count;
    return lmtp_outcome(s);
}

/* The octets of a chunk were used up. */
static void chunk_whole(struct lmtp_session *s)
{
    struct lmtp_message *m = s->transaction->message;

    s->state = LMTP_MAIL;
    if (!s->chunk.last) {
        lmtp_say(s, m->refusal == REPLY_COUNT ? REPLY_CHUNK : m->refusal, NULL, NULL);
        return;
    }
    data_finish(&m->decoder, store, s);
    message_whole(s);
}

/* A chunk that belongs to nothing: it was thrown away. */
static void unwanted_chunk_whole(struct lmtp_session *s)
{
    if (s->transaction == NULL) {
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
    if (s->chunk.last)
        lmtp_reset(s);
}

static void chunk_over(struct lmtp_session *s)
{
    if (s->chunk.unwanted)
        unwanted_chunk_whole(s);
    else
        chunk_whole(s);
}

static enum outcome start_chunk(struct lmtp_session *s, uint64_t octets, bool last)
{
    struct lmtp_transaction *t = s->transaction;

    s->chunk = (struct lmtp_chunk){
        .left = octets, .last = last, .unwanted = s->state != LMTP_MAIL || t->recipient_count == 0,
    };
    if (!s->chunk.unwanted && !t->chunks)
        start_message(s, false);
    /* Behind one that was refused there are no more recipients either: they would get a message that lacks it. */
    if (s->state == LMTP_MAIL)
        t->chunks = true;
    s->state = LMTP_CHUNK;
    s->owed += lmtp_chunk_replies(s) - 1;
    if (octets == 0)
        chunk_over(s);
    return lmtp_outcome(s);
}

enum outcome lmtp_cmd_bdat(struct session *session, const struct args *args)
{
    struct span number = command_verb(args->v[0]);
    struct span rest = { number.at + number.len, args->v[0].len - number.len };
    uint64_t octets;
    bool last = span_is_nocase(rest, SPAN_OF(" LAST"));

    if (num_parse(number, INT64_MAX, &octets) == 1 && (rest.len == 0 || last))
        return start_chunk(lmtp_of(session), octets, last);
    return lmtp_bdat_refused(lmtp_of(session), REPLY_SYNTAX_BDAT);
}

size_t lmtp_take(struct lmtp_session *s, struct span in)
{
    struct lmtp_message *m = s->transaction != NULL ? s->transaction->message : NULL;
    size_t used;

    if (s->state == LMTP_DATA) {
        used = data_decode(&m->decoder, in, store, s);
        if (m->decoder.state == DATA_END)
            message_whole(s);
        keep_pace(s);
        return used;
    }
    used = s->chunk.left < in.len ? (size_t)s->chunk.left : in.len;
    s->chunk.left -= used;
    if (!s->chunk.unwanted)
        data_decode(&m->decoder, (struct span){ in.at, used }, store, s);
    if (s->chunk.left == 0)
        chunk_over(s);
    keep_pace(s);
    return used;
}
