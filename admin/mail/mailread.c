/*
 * mailread.c - messages out of a mailbox: small ones many at a time, large ones
 * piece by piece.
 */
#include "admin/mail/mailread.h"

#include "admin/db.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum {
    PART_OCTETS = 8000,
    PARTS = 128,                        /* of a large message in one answer: 1 MB */
    SMALL = PART_OCTETS * 32,
    TOGETHER = 1024 * 1024,             /* octets of small messages in one answer */
};

static PGresult *fetch(struct ctl *c, const struct mailbox_ref *mailbox, const struct mail *mails, int count,
                       int first, int parts)
{
    struct args a = ARGS_NONE;
    struct buf uids = BUF_EMPTY;
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
                        "select uid, part, delivered_to, data from postern.fetch_parts($1, $2, $3, $4)", &a);
    buf_free(&uids);
    return res;
}

static bool put(const struct mail_sink *sink, void *arg, struct span octets, int64_t *sent)
{
    *sent += (int64_t)octets.len;
    return octets.len == 0 || sink->data(arg, octets);
}

/* The rows of one message from *row on; *row is behind them afterwards. */
static bool rows_of(const PGresult *res, int *row, const struct mail *mail, const struct mail_sink *sink, void *arg,
                    int64_t *sent)
{
    for (; *row < PQntuples(res) && db_int8(res, *row, 0) == mail->uid; ++*row) {
        bool ok = true;

        if (db_int4(res, *row, 1) == 0 && !PQgetisnull(res, *row, 2))
            ok = put(sink, arg, SPAN_OF("Delivered-To: "), sent) && put(sink, arg, db_bytes(res, *row, 2), sent)
                && put(sink, arg, SPAN_OF("\r\n"), sent);
        if (!ok || !put(sink, arg, db_bytes(res, *row, 3), sent))
            return false;
    }
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
        PGresult *res = fetch(c, mailbox, mail, 1, first, PARTS);
        int64_t before = sent;
        int row = 0;
        bool ok;

        if (res == NULL)
            return db_end(c);
        ok = rows_of(res, &row, mail, sink, arg, &sent);
        PQclear(res);
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
    PGresult *res = fetch(c, mailbox, mails, count, 0, SMALL / PART_OCTETS + 1);
    enum ctl_exit end = CTL_DONE;
    int row = 0;

    if (res == NULL)
        return db_end(c);
    for (int i = 0; i < count && end == CTL_DONE; i++) {
        int64_t sent = 0;

        if (!sink->begin(arg, &mails[i]) || !rows_of(res, &row, &mails[i], sink, arg, &sent))
            end = CTL_FAILED;
        else
            end = whole(&mails[i], sent, sink, arg);
    }
    PQclear(res);
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
