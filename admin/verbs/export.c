/*
 * export.c - `export`: a mailbox as an mbox file, a Maildir or a directory of
 * files, such that an import of it gives the same messages in the same order.
 *
 * Reads one snapshot of the mailbox. Must never overwrite anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/verbs/export.h"
#include "admin/mail/mailread.h"
#include "admin/mail/mbox.h"
#include "admin/mail/outdir.h"
#include "admin/progress.h"
#include "admin/shown.h"

enum { PAGE = 1000 };

struct export {
    const char *path;           /* of the mbox, or of the directory, as it is shown */
    int at;                     /* the directory is created here, at the path `base` */
    const char *base;
    int dir;                    /* its descriptor, or -1 */
    FILE *out;                  /* the mbox, or the file of this message */
    FILE *uidls;                /* NULL: not wanted */
    char *name, *temporary;     /* of the file of this message */
    char *last;                 /* of the file of the one that was written last; NULL for an mbox */
    struct mbox_filter filter;  /* mbox */
    bool cr;                    /* a CR whose LF may follow: both are one line end */
    int64_t time;               /* Maildir: the last one that was given to a name */
    uint64_t count;
    int64_t octets;
    struct progress progress;
};

static bool failed(const struct export *e, const char *what)
{
    ctl_error(CTL_FAILED, "could not %s %s: %s", what, shown_name(e->name != NULL ? e->name : e->path),
              strerror(errno));
    return false;
}

/* CRLF as LF, the line end of files here. A CR that stands alone stays. */
static bool put_lf(struct export *e, struct span s)
{
    const char *end = s.at + s.len;

    while (s.at < end) {
        const char *cr;

        if (e->cr && *s.at != '\n')
            putc('\r', e->out);
        e->cr = false;
        cr = memchr(s.at, '\r', (size_t)(end - s.at));
        fwrite(s.at, 1, (size_t)((cr != NULL ? cr : end) - s.at), e->out);
        e->cr = cr != NULL;
        s.at = cr != NULL ? cr + 1 : end;
    }
    return !ferror(e->out) || failed(e, "write");
}

static bool end_lf(struct export *e)
{
    if (e->cr)
        putc('\r', e->out);
    e->cr = false;
    return !ferror(e->out) || failed(e, "write");
}

/* ------------------------------------------------------------------- mbox */

static bool mbox_open(struct export *e)
{
    int fd = open(e->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    e->out = fd >= 0 ? fdopen(fd, "w") : NULL;
    e->filter = (struct mbox_filter){ .quoting = MBOX_QUOTE };
    return e->out != NULL || failed(e, "create");
}

static bool mbox_begin(void *arg, const struct mail *mail)
{
    struct export *e = arg;
    time_t t = (time_t)(mail->received / 1000000);
    struct tm tm;
    char date[64];

    gmtime_r(&t, &tm);
    strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm);
    fprintf(e->out, "From MAILER-DAEMON %s\n", date);
    return true;
}

static void mbox_lines(void *arg, const char *at, size_t len)
{
    put_lf(arg, (struct span){ at, len });
}

static bool mbox_data(void *arg, struct span octets)
{
    struct export *e = arg;

    mbox_filter_feed(&e->filter, octets.at, octets.len, mbox_lines, e);
    return !ferror(e->out);
}

static bool mbox_end(void *arg, const struct mail *mail)
{
    struct export *e = arg;

    (void)mail;
    mbox_filter_end(&e->filter, mbox_lines, e);
    end_lf(e);
    putc('\n', e->out);
    return !ferror(e->out) || failed(e, "write");
}

static bool mbox_close(struct export *e, bool ok)
{
    if (e->out == NULL)
        return false;
    if (ok && (fflush(e->out) != 0 || fsync(fileno(e->out)) != 0))
        ok = failed(e, "write");
    fclose(e->out);
    /* Half an mbox looks like a whole one. */
    if (!ok)
        unlink(e->path);
    return ok;
}

/* -------------------------------------------------- a file for each message */

static bool dir_open(struct export *e)
{
    const char *why;

    e->dir = outdir_open(e->at, e->base, true, &why);
    if (e->dir < 0)
        ctl_error(CTL_FAILED, "could not write to %s: %s; nothing was written", shown_name(e->path), why);
    return e->dir >= 0;
}

/* The name relative to the directory. */
static const char *inside(const struct export *e, const char *name)
{
    return name + strlen(e->path) + 1;
}

static bool file_begin(struct export *e)
{
    int fd = openat(e->dir, inside(e, e->temporary != NULL ? e->temporary : e->name),
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    e->out = fd >= 0 ? fdopen(fd, "w") : NULL;
    return e->out != NULL || failed(e, "create");
}

static bool file_end(struct export *e, const struct mail *mail)
{
    struct timespec times[2] = { { 0, UTIME_OMIT }, { 0, 0 } };
    bool ok;

    times[1].tv_sec = (time_t)(mail->received / 1000000);
    times[1].tv_nsec = (long)(mail->received % 1000000 * 1000);
    ok = fflush(e->out) == 0 && futimens(fileno(e->out), times) == 0;
    ok = fclose(e->out) == 0 && ok;
    e->out = NULL;
    if (ok && e->temporary != NULL)
        ok = renameat(e->dir, inside(e, e->temporary), e->dir, inside(e, e->name)) == 0;
    if (!ok)
        failed(e, "write");
    free(e->temporary);
    free(e->last);
    e->last = e->name;
    e->name = e->temporary = NULL;
    return ok;
}

static bool dir_close(struct export *e, bool ok)
{
    if (e->out != NULL)
        fclose(e->out);
    free(e->name);
    free(e->temporary);
    free(e->last);
    e->name = e->temporary = e->last = NULL;
    if (ok && syncfs(e->dir) != 0)
        ok = failed(e, "write");
    if (e->dir >= 0)
        close(e->dir);
    e->dir = -1;
    return ok;
}

static bool eml_begin(void *arg, const struct mail *mail)
{
    struct export *e = arg;

    (void)mail;
    if (asprintf(&e->name, "%s/%09llu.eml", e->path, (unsigned long long)e->count + 1) < 0)
        abort();
    return file_begin(e);
}

static bool eml_data(void *arg, struct span octets)
{
    struct export *e = arg;

    return fwrite(octets.at, 1, octets.len, e->out) == octets.len || failed(e, "write");
}

static bool eml_end(void *arg, const struct mail *mail)
{
    return file_end(arg, mail);
}

static bool maildir_open(struct export *e)
{
    static const char *const parts[] = { "cur", "new", "tmp" };

    if (!dir_open(e))
        return false;
    for (size_t i = 0; i < 3; i++)
        if (mkdirat(e->dir, parts[i], 0700) != 0)
            return failed(e, "create directories in");
    return true;
}

/*
 * Maildirs are read in the order of the times in their names, so those never go
 * back, whatever received_at does; the true time is the mtime. New mail has no
 * flags, and stands in new/.
 */
static bool maildir_begin(void *arg, const struct mail *mail)
{
    struct export *e = arg;
    int64_t t = mail->received > 0 ? mail->received / 1000000 : 0;

    e->time = t > e->time ? t : e->time;
    if (asprintf(&e->name, "%s/new/%lld.Q%012llu.postern", e->path, (long long)e->time,
                 (unsigned long long)e->count + 1) < 0 ||
        asprintf(&e->temporary, "%s/tmp/%lld.Q%012llu.postern", e->path, (long long)e->time,
                 (unsigned long long)e->count + 1) < 0)
        abort();
    return file_begin(e);
}

static bool maildir_data(void *arg, struct span octets)
{
    return put_lf(arg, octets);
}

static bool maildir_end(void *arg, const struct mail *mail)
{
    return end_lf(arg) && file_end(arg, mail);
}

/* ------------------------------------------------------------------- verb */

enum { FORMAT_MBOX, FORMAT_MAILDIR, FORMAT_EML };
static const struct format {
    const char *name;
    bool (*open)(struct export *e);
    bool (*close)(struct export *e, bool ok);
    struct mail_sink sink;
} formats[] = {
    [FORMAT_MBOX] = { "mbox", mbox_open, mbox_close, { mbox_begin, mbox_data, mbox_end } },
    [FORMAT_MAILDIR] = { "maildir", maildir_open, dir_close, { maildir_begin, maildir_data, maildir_end } },
    [FORMAT_EML] = { "eml", dir_open, dir_close, { eml_begin, eml_data, eml_end } },
};

struct counted {
    struct export *e;
    const struct format *format;
};

static bool count_begin(void *arg, const struct mail *mail)
{
    struct counted *n = arg;

    return n->format->sink.begin(n->e, mail);
}

static bool count_data(void *arg, struct span octets)
{
    struct counted *n = arg;

    n->e->octets += (int64_t)octets.len;
    progress_step(&n->e->progress, n->e->count, n->e->octets);
    return n->format->sink.data(n->e, octets);
}

static bool count_end(void *arg, const struct mail *mail)
{
    struct counted *n = arg;

    if (!n->format->sink.end(n->e, mail))
        return false;
    n->e->count++;
    if (n->e->uidls != NULL && n->e->last != NULL)
        fprintf(n->e->uidls, "%s\t%s\n", strrchr(n->e->last, '/') + 1, mail->uidl);
    else if (n->e->uidls != NULL)
        fprintf(n->e->uidls, "%s\n", mail->uidl);
    return true;
}

static enum ctl_exit export_page(struct ctl *c, const struct mailbox_ref *mailbox, struct counted *n, int64_t *after,
                                 bool *more)
{
    static const struct mail_sink counting = { count_begin, count_data, count_end };
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
    end = mail_read(c, mailbox, mails, rows, &counting, n);
    *more = rows == PAGE;
    if (rows > 0)
        *after = mails[rows - 1].uid;
    PQclear(res);
    return end;
}

static enum ctl_exit export_all(struct ctl *c, const struct mailbox_ref *mailbox, int64_t octets, struct counted *n)
{
    enum ctl_exit end = CTL_DONE;
    int64_t after = 0;
    bool more = true;

    progress_start(&n->e->progress, "messages", octets);
    while (more && end == CTL_DONE)
        end = export_page(c, mailbox, n, &after, &more);
    progress_clear(&n->e->progress);
    return end;
}

static enum ctl_exit export_snapshot(struct ctl *c, const char *address, struct counted *n)
{
    struct args a = ARGS_NONE;
    PGresult *res;
    enum ctl_exit end;
    bool ok;
    struct mailbox_ref mailbox;
    int64_t octets;

    args_text(&a, address);
    res = db_ask_binary(c, "find the mailbox",
                        "select postern.find_mailbox($1), m.octets from postern.show_mailbox($1) m", &a);
    if (res == NULL)
        return db_end(c);
    mailbox = db_mailbox(res, 0, 0);
    octets = db_int8(res, 0, 1);
    PQclear(res);

    if (!n->format->open(n->e)) {
        n->format->close(n->e, false);
        return CTL_FAILED;
    }
    end = export_all(c, &mailbox, octets, n);
    ok = n->format->close(n->e, end == CTL_DONE);
    return end == CTL_DONE && !ok ? CTL_FAILED : end;
}

enum ctl_exit export_eml(struct ctl *c, const char *address, const char *path, int at, const char *base,
                         uint64_t *count_r)
{
    struct export e = { .path = path, .at = at, .base = base, .dir = -1 };
    struct counted n = { &e, &formats[FORMAT_EML] };
    enum ctl_exit end = export_snapshot(c, address, &n);

    *count_r = e.count;
    return end;
}

enum ctl_exit run_export(struct ctl *c)
{
    struct export e = { .path = c->args[1], .at = AT_FDCWD, .base = c->args[1], .dir = -1 };
    struct counted n = { &e, &formats[FORMAT_MBOX] };
    char address[CTL_ADDRESS_SIZE];
    enum ctl_exit end;

    if (c->opt[OPT_FORMAT] != NULL) {
        n.format = NULL;
        for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
            if (strcmp(c->opt[OPT_FORMAT], formats[i].name) == 0)
                n.format = &formats[i];
        if (n.format == NULL)
            return ctl_error(CTL_USAGE, "\"%s\" is not a format: mbox, maildir or eml", c->opt[OPT_FORMAT]);
    }
    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    if (c->opt[OPT_UIDLS] != NULL && (e.uidls = fopen(c->opt[OPT_UIDLS], "wxe")) == NULL)
        return ctl_error(CTL_FAILED, "could not create %s: %s", shown_name(c->opt[OPT_UIDLS]), strerror(errno));
    end = db_do(c, "read the mailbox", "begin isolation level repeatable read, read only")
              ? export_snapshot(c, address, &n)
              : db_end(c);
    if (e.uidls != NULL && fclose(e.uidls) != 0 && end == CTL_DONE)
        end = ctl_error(CTL_FAILED, "could not write %s: %s", shown_name(c->opt[OPT_UIDLS]), strerror(errno));
    if (end == CTL_DONE)
        ctl_say(c, "exported %llu messages, %lld octets of %s to %s", (unsigned long long)e.count, (long long)e.octets,
                address, shown_name(e.path));
    else if (e.count > 0)
        ctl_error(end, "the export to %s is not complete", shown_name(e.path));
    return end;
}
