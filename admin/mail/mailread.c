/*
 * mailread.c - messages out of a mailbox: small ones many at a time, large ones
 * piece by piece.
 */
#include "admin/mail/mailread.h"

#include "admin/db.h"
#include "storage/content/content.h"
#include "storage/content/piece_set.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum {
    PARTS = 128,                        /* of a large message in one answer: 1 MB */
    SMALL = PART_OCTETS * 32,
    TOGETHER = 1024 * 1024,             /* octets of small messages in one answer */
};

_Static_assert(PARTS % SEGMENT_PARTS == 0, "an answer ends with a segment");

static struct piece_message message_of(const void *asked, size_t k)
{
    const struct mail *mail = (const struct mail *)asked + k;

    return (struct piece_message){ mail->uid, mail->octets > 0 ? (uint64_t)mail->octets : 0 };
}

/* The parts from `first` on of these messages; NULL after a message. */
static struct piece_set *fetch(struct ctl *c, const struct mailbox_ref *mailbox, const struct mail *mails, int count,
                               int first, int parts)
{
    struct args a = ARGS_NONE;
    struct buf uids = BUF_EMPTY;
    struct piece_set *set;
    PGresult *res;

    pg_array_begin(&uids, PG_INT8);
    for (int i = 0; i < count; i++)
        pg_array_put_int8(&uids, mails[i].uid);
    pg_array_set_count(&uids, (uint32_t)count);
    args_mailbox(&a, mailbox);
    args_binary(&a, &uids);
    args_int(&a, first);
    args_int(&a, parts);
    res = db_ask_binary(c, "read messages",
                        "select " PIECE_COLUMNS " from postern.read_parts($1, $2, $3, $4)", &a);
    buf_free(&uids);
    if (res == NULL)
        return NULL;
    const struct piece_range range = {
        .first = (uint32_t)first, .parts = (uint32_t)parts, .begins = first == 0, .most = (uint64_t)parts * PART_OCTETS
    };
    set = piece_set_new(res, message_of, mails, (size_t)count, &range);
    if (set == NULL)
        ctl_error(CTL_FAILED, "could not read messages: there is one that was not asked for");
    return set;
}

/* What an answer has of a message. */
static bool pass_on(const struct piece_part *part, const struct mail_sink *sink, void *arg, int64_t *sent)
{
    for (size_t i = 0; i < part->count; i++)
        if (!sink->data(arg, part->spans[i]))
            return false;
    *sent += (int64_t)part->octets;
    return true;
}

static enum ctl_exit whole(const struct mail *mail, int64_t sent, const struct mail_sink *sink, void *arg)
{
    if (sent != mail->octets)
        return ctl_error(CTL_FAILED, "the message with uid %lld has %lld of %lld octets: run posternctl check",
                         (long long)mail->uid, (long long)sent, (long long)mail->octets);
    return sink->end(arg, mail) ? CTL_DONE : CTL_FAILED;
}

static enum ctl_exit read_large(struct ctl *c, const struct mailbox_ref *mailbox, const struct mail *mail,
                                const struct mail_sink *sink, void *arg)
{
    int64_t sent = 0;

    if (!sink->begin(arg, mail))
        return CTL_FAILED;
    for (int first = 0; sent < mail->octets; first += PARTS) {
        struct piece_set *set = fetch(c, mailbox, mail, 1, first, PARTS);
        int64_t before = sent;
        bool ok;

        if (set == NULL)
            return db_end(c);
        ok = pass_on(piece_set_part(set, 0), sink, arg, &sent);
        piece_release(piece_set_ref(set));
        if (!ok)
            return CTL_FAILED;
        if (sent == before)
            break;
    }
    return whole(mail, sent, sink, arg);
}

static enum ctl_exit read_small(struct ctl *c, const struct mailbox_ref *mailbox, const struct mail *mails, int count,
                                const struct mail_sink *sink, void *arg)
{
    struct piece_set *set = fetch(c, mailbox, mails, count, 0, SMALL / PART_OCTETS + 1);
    enum ctl_exit end = CTL_DONE;

    if (set == NULL)
        return db_end(c);
    for (int i = 0; i < count && end == CTL_DONE; i++) {
        int64_t sent = 0;

        if (!sink->begin(arg, &mails[i]) || !pass_on(piece_set_part(set, (size_t)i), sink, arg, &sent))
            end = CTL_FAILED;
        else
            end = whole(&mails[i], sent, sink, arg);
    }
    piece_release(piece_set_ref(set));
    return end;
}

enum ctl_exit mail_read(struct ctl *c, const struct mailbox_ref *mailbox, const struct mail *mails, int count,
                        const struct mail_sink *sink, void *arg)
{
    enum ctl_exit end = CTL_DONE;

    for (int i = 0, n; i < count && end == CTL_DONE; i += n) {
        int64_t octets = 0;

        for (n = 0; i + n < count && mails[i + n].octets <= SMALL && octets < TOGETHER; n++)
            octets += mails[i + n].octets;
        if (n > 0) {
            end = read_small(c, mailbox, &mails[i], n, sink, arg);
        } else {
            end = read_large(c, mailbox, &mails[i], sink, arg);
            n = 1;
        }
    }
    return end;
}
