/*
 * sync.c - what has gone at a server since an import brought it (see sync.h).
 *
 * Must never remove a message that somebody may have read here, nor one that came another way.
 */
#include "admin/mail/sync_impl.h"

#include "admin/db.h"
#include "daemon/base/mem.h"
#include "storage/maildrop/uidl.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum { BATCH = 1000, COL_UID = 0, COL_UNREAD, COL_OF };

uint64_t sync_list(struct source *source, struct buf *uidls, uint64_t *without_r)
{
    struct source_item it;
    uint64_t listed = 0, without = 0;
    uint32_t n = 0;

    pg_array_begin(uidls, PG_TEXT);
    source_again(source);
    for (; source_next(source, &it) == 1; listed++)
        if (it.uidl != NULL && uidl_fault(span_str(it.uidl)) == NULL) {
            pg_array_put_bytes(uidls, span_str(it.uidl));
            n++;
        } else {
            without += it.uidl == NULL;
        }
    pg_array_set_count(uidls, n);
    if (without_r != NULL)
        *without_r = without;
    return listed;
}

static bool is_unread(const PGresult *res, int row) { return db_bytes(res, row, COL_UNREAD).at[0] != 0; }

static enum ctl_exit refuse(const struct sync_done *done, const struct sync_kind *kind, uint64_t absent,
                            uint64_t listed, const struct sync_how *how)
{
    if (how->limit >= 100)
        return CTL_DONE;
    if (listed == 0 && absent > 0)
        return ctl_error(CTL_FAILED, "%s, and all %llu that came from there would go: nothing was removed; if that is "
                         "right, use --sync-limit 100", kind->none, (unsigned long long)absent);
    if (absent > SYNC_FEW && absent * 100 > done->of * how->limit)
        return ctl_error(CTL_FAILED, "%llu of %llu messages that came from there have gone %s, more than "
                         "%u percent: nothing was removed; if that is right, use --sync-limit",
                         (unsigned long long)absent, (unsigned long long)done->of, kind->gone, how->limit);
    return CTL_DONE;
}

static enum ctl_exit remove_batch(struct ctl *c, const struct mailbox_ref *mailbox, const struct sync_kind *kind,
                                  struct buf *uids, struct sync_done *done)
{
    struct args a = ARGS_NONE;
    PGresult *res;

    args_mailbox(&a, mailbox);
    args_text(&a, kind->label);
    args_binary(&a, uids);
    res = db_ask_binary(c, "remove what has gone at the source", kind->remove, &a);
    if (res == NULL)
        return db_end(c);
    done->removed += (uint64_t)db_int8(res, 0, 0);
    done->held = db_bytes(res, 0, 1).at[0] != 0;
    PQclear(res);
    return CTL_DONE;
}

static enum ctl_exit remove_all(struct ctl *c, const struct mailbox_ref *mailbox, const struct sync_kind *kind,
                                const PGresult *absent, struct sync_done *done)
{
    struct buf uids = BUF_EMPTY;
    enum ctl_exit end = CTL_DONE;
    uint32_t n = 0;

    done->removed = 0;
    for (int i = 0; i < PQntuples(absent) && end == CTL_DONE && !done->held; i++) {
        if (n == 0) {
            buf_clear(&uids);
            pg_array_begin(&uids, PG_INT8);
        }
        if (is_unread(absent, i)) {
            pg_array_put_int8(&uids, db_int8(absent, i, COL_UID));
            n++;
        }
        if (n == BATCH || (n > 0 && i + 1 == PQntuples(absent))) {
            pg_array_set_count(&uids, n);
            end = remove_batch(c, mailbox, kind, &uids, done);
            n = 0;
        }
    }
    buf_free(&uids);
    return end;
}

enum ctl_exit sync_absent(struct ctl *c, const struct mailbox_ref *mailbox, const struct sync_kind *kind,
                          uint64_t listed, const PGresult *absent, const struct sync_how *how,
                          struct sync_done *done_r)
{
    enum ctl_exit end;

    for (int i = 0; i < PQntuples(absent); i++) {
        done_r->of = (uint64_t)db_int8(absent, i, COL_OF);
        done_r->removed += is_unread(absent, i);
        done_r->read += !is_unread(absent, i);
    }
    end = refuse(done_r, kind, (uint64_t)PQntuples(absent), listed, how);
    if (end != CTL_DONE)
        done_r->removed = 0;
    else if (!how->dry_run && done_r->removed > 0)
        end = remove_all(c, mailbox, kind, absent, done_r);
    return end;
}

enum ctl_exit sync_run(struct ctl *c, const struct mailbox_ref *mailbox, struct source *source,
                       const struct sync_how *how, struct sync_done *done_r)
{
    const struct sync_kind server = {
        .label = source_label(source), .gone = "at the server", .none = "the server lists no message",
        .remove = "select * from postern.remove_absent($1, $2, $3)",
    };
    struct buf uidls = BUF_EMPTY;
    struct args a = ARGS_NONE;
    uint64_t listed, without;
    enum ctl_exit end;
    PGresult *absent;

    *done_r = (struct sync_done){ .of = 0 };
    ASSERT(server.label != NULL);
    listed = sync_list(source, &uidls, &without);
    if (without > 0) {
        buf_free(&uidls);
        return ctl_error(CTL_PARTLY, "%llu of %llu messages have no UIDL at the server: nothing was removed, as they"
                         " may be those that seem to have gone", (unsigned long long)without,
                         (unsigned long long)listed);
    }
    args_mailbox(&a, mailbox);
    args_text(&a, server.label);
    args_binary(&a, &uidls);
    absent = db_ask_binary(c, "look for what has gone at the server",
                           "select uid, unread, of from postern.list_absent($1, $2, $3)", &a);
    buf_free(&uidls);
    end = absent != NULL ? sync_absent(c, mailbox, &server, listed, absent, how, done_r) : db_end(c);
    PQclear(absent);
    return end;
}
