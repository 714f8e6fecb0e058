/*
 * sync_files.c - what has gone from files since an import brought it (see sync_files.h).
 *
 * Must never remove a message that somebody may have read here, nor one that came another way.
 */
#include "admin/mail/sync_files.h"

#include "admin/db.h"
#include "admin/mail/sync_impl.h"
#include "daemon/base/mem.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

const char sync_files_label[] = "files";

static const struct sync_kind files = {
    .label = sync_files_label,
    .gone = "from the files",
    .none = "there is no message in the files",
    .remove = "select * from postern.remove_left($1, $2, $3)",
};

struct left {
    struct buf digests, copies;     /* side by side; an array the second */
    uint32_t count;
};

static void add_left(void *arg, const unsigned char *digest, int64_t copies)
{
    struct left *l = arg;

    buf_add(&l->digests, digest, CONTENT_DIGEST);
    pg_array_put_int8(&l->copies, copies);
    l->count++;
}

enum ctl_exit sync_files_run(struct ctl *c, const struct mailbox_ref *mailbox, struct source *source,
                             const struct known *known, const struct sync_how *how, struct sync_done *done_r)
{
    struct left left = { BUF_EMPTY, BUF_EMPTY, 0 };
    struct buf uidls = BUF_EMPTY;
    struct args a = ARGS_NONE;
    uint64_t listed;
    PGresult *absent;
    enum ctl_exit end;

    *done_r = (struct sync_done){ .of = 0 };
    pg_array_begin(&left.copies, PG_INT8);
    known_left(known, add_left, &left);
    pg_array_set_count(&left.copies, left.count);
    if (left.count == 0) {
        buf_free(&left.copies);
        return CTL_DONE;
    }
    source_quiet(source, true);
    listed = sync_list(source, &uidls, NULL);
    source_quiet(source, false);
    args_mailbox(&a, mailbox);
    args_text(&a, files.label);
    args_binary(&a, &left.digests);
    args_binary(&a, &left.copies);
    args_binary(&a, &uidls);
    absent = db_ask_binary(c, "look for what has gone from the files",
                           "select uid, unread, of from postern.list_left($1, $2, $3, $4, $5)", &a);
    end = absent != NULL ? sync_absent(c, mailbox, &files, listed, absent, how, done_r) : db_end(c);
    PQclear(absent);
    buf_free(&uidls);
    buf_free(&left.digests);
    buf_free(&left.copies);
    return end;
}
