/*
 * here.c - the messages that a mailbox has (see here.h).
 *
 * The digest of a content is known without reading it. That of what a client is sent is another
 * one where a line is put in front of it, so those messages are read.
 */
#include "admin/mail/here.h"

#include <string.h>

#include "admin/db.h"
#include "admin/mail/mailread.h"
#include "daemon/base/mem.h"

enum { COL_UID, COL_UIDL, COL_OCTETS, COL_IN_FRONT, COL_DIGEST };
enum { TOGETHER = 1000 };

static const char list[] =
    "select m.uid, m.uidl, m.octets, m.delivered_to is not null, u.digest"
    " from postern.list_messages($1, 0, 9223372036854775807) m left join postern.list_uidls($1) u on u.uid = m.uid"
    " order by m.uid";

int64_t here_uid(const struct here *h, const struct compare_mail *mail)
{
    return db_int8(h->rows, (int)(mail - h->side.mails), COL_UID);
}

/* ------------------------------------------------------ messages that are read */

struct reading {
    struct compare_mail *mails[TOGETHER];
    int next;
    struct likeness_hash hash;
};

static bool read_begin(void *arg, const struct mail *mail)
{
    struct reading *r = arg;

    (void)mail;
    likeness_begin(&r->hash);
    return true;
}

static bool read_data(void *arg, struct span octets)
{
    struct reading *r = arg;

    likeness_add(&r->hash, octets);
    return true;
}

static bool read_end(void *arg, const struct mail *mail)
{
    struct reading *r = arg;
    struct compare_mail *m = r->mails[r->next++];

    (void)mail;
    likeness_end(&r->hash, &m->likeness);
    m->has_kept = true;
    return true;
}

static enum ctl_exit read_some(struct ctl *c, struct here *h, bool (*wanted)(const struct here *, size_t))
{
    static const struct mail_sink sink = { read_begin, read_data, read_end };
    struct reading r;
    struct mail mails[TOGETHER];
    enum ctl_exit end = CTL_DONE;
    int n = 0;

    for (size_t i = 0; i < h->side.count && end == CTL_DONE; i++) {
        if (wanted(h, i)) {
            r.mails[n] = &h->side.mails[i];
            mails[n++] = (struct mail){ .uid = db_int8(h->rows, (int)i, COL_UID),
                                        .octets = db_int8(h->rows, (int)i, COL_OCTETS) };
        }
        if (n == TOGETHER || (n > 0 && i + 1 == h->side.count)) {
            r.next = 0;
            end = mail_read(c, &h->mailbox, mails, n, &sink, &r);
            n = 0;
        }
    }
    return end;
}

static bool has_line_in_front(const struct here *h, size_t i)
{
    return db_bytes(h->rows, (int)i, COL_IN_FRONT).at[0] != 0 || PQgetisnull(h->rows, (int)i, COL_DIGEST);
}

static bool wants_kept(const struct here *h, size_t i)
{
    return compare_wants_kept(&h->side.mails[i]) && !h->side.mails[i].has_kept;
}

enum ctl_exit here_kept(struct ctl *c, struct here *h) { return read_some(c, h, wants_kept); }

/* ------------------------------------------------------------------------ load */

static enum ctl_exit load_gone(struct ctl *c, struct here *h)
{
    struct args a = ARGS_NONE;
    int n;

    args_mailbox(&a, &h->mailbox);
    h->gone = db_ask_binary(c, "list what is gone",
                            "select digest, gone from postern.list_digests($1) where gone > 0 order by digest", &a);
    if (h->gone == NULL)
        return db_end(c);
    n = PQntuples(h->gone);
    h->gone_left = mem_array((size_t)n + 1, sizeof *h->gone_left);
    for (int i = 0; i < n; i++)
        h->gone_left[i] = db_int8(h->gone, i, 1);
    return CTL_DONE;
}

enum ctl_exit here_load(struct ctl *c, const char *address, struct here *h)
{
    struct args find = ARGS_NONE, a = ARGS_NONE;
    PGresult *res;

    *h = (struct here){ .rows = NULL };
    args_text(&find, address);
    res = db_ask_binary(c, "find the mailbox", "select postern.find_mailbox($1)", &find);
    if (res == NULL)
        return db_end(c);
    h->mailbox = db_mailbox(res, 0, 0);
    PQclear(res);
    args_mailbox(&a, &h->mailbox);
    h->rows = db_ask_binary(c, "list the messages", list, &a);
    if (h->rows == NULL)
        return db_end(c);
    h->side.count = (size_t)PQntuples(h->rows);
    h->side.mails = mem_array(h->side.count + 1, sizeof *h->side.mails);
    for (size_t i = 0; i < h->side.count; i++) {
        struct compare_mail *m = &h->side.mails[i];
        struct span digest = db_bytes(h->rows, (int)i, COL_DIGEST);

        m->uidl = PQgetvalue(h->rows, (int)i, COL_UIDL);
        m->likeness.octets = (uint64_t)db_int8(h->rows, (int)i, COL_OCTETS);
        if (digest.len == CONTENT_DIGEST)
            memcpy(m->likeness.digest, digest.at, CONTENT_DIGEST);
    }
    enum ctl_exit end = load_gone(c, h);
    return end == CTL_DONE ? read_some(c, h, has_line_in_front) : end;
}

void here_free(struct here *h)
{
    PQclear(h->rows);
    PQclear(h->gone);
    mem_free(h->gone_left);
    mem_free(h->side.mails);
    *h = (struct here){ .rows = NULL };
}

bool here_gone(struct here *h, const unsigned char digest[CONTENT_DIGEST])
{
    int low = 0, high = PQntuples(h->gone);

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (memcmp(PQgetvalue(h->gone, middle, 0), digest, CONTENT_DIGEST) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == PQntuples(h->gone) || memcmp(PQgetvalue(h->gone, low, 0), digest, CONTENT_DIGEST) != 0 ||
        h->gone_left[low] == 0)
        return false;
    h->gone_left[low]--;
    return true;
}
