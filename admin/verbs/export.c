/*
 * export.c - `export`: a mailbox as an mbox file, a Maildir or a directory of files.
 *
 * Reads one snapshot of it.
 */
#include "admin/verbs/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/db.h"
#include "admin/progress.h"
#include "admin/shown.h"
#include "admin/tenant.h"

enum { PAGE = 1000 };

struct export {
    struct mailout *out;
    struct progress progress;
    uint64_t messages;
    int64_t octets;
};

/* ------------------------------------------------------------- one mailbox */

static bool export_begin(void *arg, const struct mail *mail)
{
    struct export *e = arg;

    return mailout_sink.begin(e->out, mail);
}

static bool export_data(void *arg, struct span octets)
{
    struct export *e = arg;

    e->octets += (int64_t)octets.len;
    progress_step(&e->progress, e->messages, e->octets);
    return mailout_sink.data(e->out, octets);
}

static bool export_end(void *arg, const struct mail *mail)
{
    struct export *e = arg;

    e->messages++;
    return mailout_sink.end(e->out, mail);
}

/* What an earlier export has written is not read again. */
static enum ctl_exit export_some(struct ctl *c, const struct mailbox_ref *mailbox, const struct mail *mails, int count,
                                 struct export *e)
{
    static const struct mail_sink sink = { export_begin, export_data, export_end };
    enum ctl_exit end = CTL_DONE;

    for (int i = 0, first = 0; i < count && end == CTL_DONE; first = i) {
        while (i < count && !mailout_has(e->out, &mails[i]))
            i++;
        if (i > first)
            end = mail_read(c, mailbox, &mails[first], i - first, &sink, e);
        if (end == CTL_DONE && i < count && !mailout_keep(e->out, &mails[i++]))
            end = CTL_FAILED;
    }
    return end;
}

static enum ctl_exit export_page(struct ctl *c, const struct mailbox_ref *mailbox, struct export *e, int64_t *after,
                                 bool *more)
{
    struct mail mails[PAGE];
    struct args a = ARGS_NONE;
    PGresult *res;
    enum ctl_exit end;
    int rows;

    args_mailbox(&a, mailbox);
    args_int(&a, *after);
    args_int(&a, PAGE);
    res = db_ask_binary(c, "list messages",
                        "select uid, octets, received_at, uidl from postern.list_messages($1, $2, $3)", &a);
    if (res == NULL)
        return db_end(c);
    rows = PQntuples(res);
    for (int i = 0; i < rows; i++)
        mails[i] = (struct mail){ db_int8(res, i, 0), db_int8(res, i, 1), db_time(res, i, 2), PQgetvalue(res, i, 3) };
    end = export_some(c, mailbox, mails, rows, e);
    *more = rows == PAGE;
    if (rows > 0)
        *after = mails[rows - 1].uid;
    PQclear(res);
    return end;
}

static enum ctl_exit export_pages(struct ctl *c, const struct mailbox_ref *mailbox, int64_t octets, struct export *e)
{
    enum ctl_exit end = CTL_DONE;
    int64_t after = 0;
    bool more = true;

    progress_start(&e->progress, "messages", octets);
    while (more && end == CTL_DONE)
        end = export_page(c, mailbox, e, &after, &more);
    progress_clear(&e->progress);
    return end;
}

/* Within a transaction of the caller's. */
static enum ctl_exit export_snapshot(struct ctl *c, const char *address, struct mailout_to to,
                                     struct mailout_done *done_r)
{
    struct export e = { .out = NULL };
    struct args a = ARGS_NONE;
    struct mailbox_ref mailbox;
    enum ctl_exit end;
    PGresult *res;
    int64_t octets;

    *done_r = (struct mailout_done){ .messages = 0 };
    args_text(&a, address);
    res = db_ask_binary(c, "find the mailbox",
                        "select postern.find_mailbox($1), m.octets, m.uidvalidity, m.next_uid"
                        " from postern.show_mailbox($1) m", &a);
    if (res == NULL)
        return db_end(c);
    mailbox = db_mailbox(res, 0, 0);
    octets = db_int8(res, 0, 1);
    to.uidvalidity = PQgetvalue(res, 0, 2);
    to.next_uid = db_int8(res, 0, 3);
    e.out = mailout_open(&to);
    end = e.out != NULL ? export_pages(c, &mailbox, octets, &e) : CTL_FAILED;
    if (e.out != NULL && !mailout_close(&e.out, end == CTL_DONE, done_r) && end == CTL_DONE)
        end = CTL_FAILED;
    if (end != CTL_DONE && done_r->messages > 0)
        ctl_error(end, "the export to %s is not complete%s", shown_name(to.path),
                  to.format == MAILOUT_MAILDIR ? ": --sync continues it" : "");
    PQclear(res);
    return end;
}

enum ctl_exit export_one(struct ctl *c, const char *address, const struct mailout_to *to, struct mailout_done *done_r)
{
    enum ctl_exit end = tenant_opens(c, address);

    if (end != CTL_DONE)
        return end;
    if (!db_do(c, "read the mailbox", "begin isolation level repeatable read, read only"))
        return db_end(c);
    end = export_snapshot(c, address, *to, done_r);
    if (PQstatus(c->db) == CONNECTION_OK && !db_do(c, "read the mailbox", "rollback"))
        return db_end(c);
    return end;
}

void export_say(struct ctl *c, const char *address, const struct mailout_to *to, const struct mailout_done *done)
{
    char sync[96] = "";

    if (to->sync)
        snprintf(sync, sizeof sync, "; %llu were there, %llu have gone and were removed",
                 (unsigned long long)done->there, (unsigned long long)done->removed);
    ctl_say(c, "exported %llu messages, %llu octets of %s to %s%s", (unsigned long long)done->messages,
            (unsigned long long)done->octets, address, shown_name(to->path), sync);
}

enum ctl_exit export_eml(struct ctl *c, const char *address, const char *path, int at, const char *base,
                         uint64_t *count_r)
{
    const struct mailout_to to = { .format = MAILOUT_EML, .path = path, .at = at, .base = base };
    struct mailout_done done;
    enum ctl_exit end = export_snapshot(c, address, to, &done);

    *count_r = done.messages;
    return end;
}

enum ctl_exit export_close_list(FILE *list, const char *path, enum ctl_exit end)
{
    bool ok = list == NULL || !ferror(list);

    if (list != NULL && fclose(list) != 0)
        ok = false;
    return ok || end != CTL_DONE ? end
                                 : ctl_error(CTL_FAILED, "could not write %s: %s", shown_name(path), strerror(errno));
}

static enum ctl_exit export_single(struct ctl *c, struct mailout_to to)
{
    const char *list = c->opt[OPT_UIDLS];
    char address[CTL_ADDRESS_SIZE];
    struct mailout_done done;
    enum ctl_exit end;

    if (c->nargs != 2)
        return ctl_error(CTL_USAGE, "export wants an address and a path: see posternctl export --help");
    to.path = to.base = c->args[1];
    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    if (list != NULL && (to.uidls = fopen(list, "wxe")) == NULL)
        return ctl_error(CTL_FAILED, "could not create %s: %s", shown_name(list), strerror(errno));
    end = export_one(c, address, &to, &done);
    end = export_close_list(to.uidls, list, end);
    if (end == CTL_DONE) {
        export_say(c, address, &to, &done);
        if (to.format != MAILOUT_MAILDIR && list == NULL && !to.x_uidl && done.messages > 0)
            ctl_say(c, "the UIDLs are not in it: see --uidls");
    }
    return end;
}

enum ctl_exit run_export(struct ctl *c)
{
    const bool many = c->opt[OPT_DOMAIN] != NULL || c->opt[OPT_TENANT] != NULL || c->opt[OPT_ALL] != NULL;
    struct mailout_to to = { .format = many ? MAILOUT_MAILDIR : MAILOUT_MBOX, .at = AT_FDCWD,
                             .sync = c->opt[OPT_SYNC] != NULL, .x_uidl = c->opt[OPT_X_UIDL] != NULL };

    if (c->opt[OPT_FORMAT] != NULL) {
        int found = -1;

        for (int i = 0; i < MAILOUT_FORMATS; i++)
            if (strcmp(c->opt[OPT_FORMAT], mailout_names[i]) == 0)
                found = i;
        if (found < 0)
            return ctl_error(CTL_USAGE, "\"%s\" is not a format: mbox, maildir or eml", c->opt[OPT_FORMAT]);
        to.format = (enum mailout_format)found;
    }
    if (to.sync && to.format != MAILOUT_MAILDIR)
        return ctl_error(CTL_USAGE, "--sync is for --format maildir");
    if (to.x_uidl && to.format != MAILOUT_MBOX)
        return ctl_error(CTL_USAGE, "--x-uidl is for --format mbox");
    return many ? export_tree(c, &to) : export_single(c, to);
}
