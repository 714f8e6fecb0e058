/*
 * mailout.c - what the formats of an export share, and the simplest of them, a file for each
 * message.
 *
 * Must never overwrite anything.
 */
#include "admin/mail/mailout_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/mail/outdir.h"
#include "admin/shown.h"
#include "daemon/base/mem.h"
#include "storage/maildrop/uidl.h"

const char *const mailout_names[MAILOUT_FORMATS] = { "mbox", "maildir", "eml" };

static const struct mailout_how *const hows[MAILOUT_FORMATS] = { &mailout_mbox, &mailout_maildir, &mailout_eml };

bool mailout_failed(const struct mailout *o, const char *what)
{
    const char *why = strerror(errno);

    if (o->name != NULL)
        ctl_error(CTL_FAILED, "could not %s %s in %s: %s", what, o->name, shown_name(o->to.path), why);
    else
        ctl_error(CTL_FAILED, "could not %s %s: %s", what, shown_name(o->to.path), why);
    return false;
}

bool mailout_lf(struct mailout *o, struct span s)
{
    const char *end = s.at + s.len;

    while (s.at < end) {
        const char *cr;

        if (o->cr && *s.at != '\n')
            putc('\r', o->out);
        o->cr = false;
        cr = memchr(s.at, '\r', (size_t)(end - s.at));
        fwrite(s.at, 1, (size_t)((cr != NULL ? cr : end) - s.at), o->out);
        o->cr = cr != NULL;
        s.at = cr != NULL ? cr + 1 : end;
    }
    return !ferror(o->out) || mailout_failed(o, "write");
}

bool mailout_lf_end(struct mailout *o)
{
    if (o->cr)
        putc('\r', o->out);
    o->cr = false;
    return !ferror(o->out) || mailout_failed(o, "write");
}

bool mailout_file(struct mailout *o, int at, const char *name)
{
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    mem_free(o->name);
    o->name = mem_str(name);
    o->out = fd >= 0 ? fdopen(fd, "w") : NULL;
    return o->out != NULL || mailout_failed(o, "create");
}

bool mailout_file_end(struct mailout *o, const struct mail *mail, int64_t *size_r)
{
    struct timespec times[2] = { { 0, UTIME_OMIT }, { 0, 0 } };
    int64_t second = mail->received / 1000000, rest = mail->received % 1000000;
    struct stat st = { .st_size = 0 };
    bool ok;

    times[1].tv_sec = (time_t)(rest < 0 ? second - 1 : second);
    times[1].tv_nsec = (long)(rest < 0 ? rest + 1000000 : rest) * 1000;
    ok = fflush(o->out) == 0 && futimens(fileno(o->out), times) == 0 && fstat(fileno(o->out), &st) == 0;
    ok = fclose(o->out) == 0 && ok;
    o->out = NULL;
    *size_r = st.st_size;
    return ok || mailout_failed(o, "write");
}

void mailout_list(struct mailout *o, const char *name, const struct mail *mail)
{
    if (o->to.uidls != NULL)
        fprintf(o->to.uidls, "%s%s%s\n", name != NULL ? name : "", name != NULL ? "\t" : "", mail->uidl);
}

/* -------------------------------------------------- a file for each message */

static bool eml_open(struct mailout *o)
{
    const char *why;

    o->dir = outdir_open(o->to.at, o->to.base, true, &why);
    if (o->dir < 0)
        ctl_error(CTL_FAILED, "could not write to %s: %s; nothing was written", shown_name(o->to.path), why);
    return o->dir >= 0;
}

static bool eml_begin(struct mailout *o, const struct mail *mail)
{
    char name[32];

    (void)mail;
    snprintf(name, sizeof name, "%09llu.eml", (unsigned long long)o->done.messages + 1);
    return mailout_file(o, o->dir, name);
}

static bool eml_data(struct mailout *o, struct span octets)
{
    return fwrite(octets.at, 1, octets.len, o->out) == octets.len || mailout_failed(o, "write");
}

static bool eml_end(struct mailout *o, const struct mail *mail)
{
    int64_t size;

    if (!mailout_file_end(o, mail, &size))
        return false;
    mailout_list(o, o->name, mail);
    return true;
}

static bool eml_close(struct mailout *o, bool complete)
{
    return !complete || o->to.later || mailout_sync(o->dir) || mailout_failed(o, "write");
}

const struct mailout_how mailout_eml = { eml_open, NULL, NULL, eml_begin, eml_data, eml_end, eml_close };

/* ------------------------------------------------------------- any of them */

struct mailout *mailout_open(const struct mailout_to *to)
{
    struct mailout *o = mem_zalloc(sizeof *o);
    struct mailout_done done;

    o->to = *to;
    o->dir = -1;
    if (!hows[to->format]->open(o))
        mailout_close(&o, false, &done);
    return o;
}

/* Each stands in a line. */
static bool uidl_is_good(const struct mail *mail)
{
    const char *why = uidl_fault(span_str(mail->uidl));

    if (why != NULL)
        ctl_error(CTL_FAILED, "the message with uid %lld has a UIDL that %s: see posternctl message uidl",
                  (long long)mail->uid, why);
    return why == NULL;
}

bool mailout_has(struct mailout *o, const struct mail *mail)
{
    const struct mailout_how *how = hows[o->to.format];

    return how->has != NULL && how->has(o, mail);
}

bool mailout_keep(struct mailout *o, const struct mail *mail)
{
    if (!uidl_is_good(mail))
        return false;
    hows[o->to.format]->keep(o, mail);
    o->done.there++;
    return true;
}

static bool begin(void *arg, const struct mail *mail)
{
    struct mailout *o = arg;

    return uidl_is_good(mail) && hows[o->to.format]->begin(o, mail);
}

static bool data(void *arg, struct span octets)
{
    struct mailout *o = arg;

    o->done.octets += octets.len;
    return hows[o->to.format]->data(o, octets);
}

static bool end(void *arg, const struct mail *mail)
{
    struct mailout *o = arg;

    if (!hows[o->to.format]->end(o, mail))
        return false;
    o->done.messages++;
    return true;
}

const struct mail_sink mailout_sink = { begin, data, end };

bool mailout_sync(int dir) { return syncfs(dir) == 0; }

bool mailout_close(struct mailout **out, bool complete, struct mailout_done *done_r)
{
    struct mailout *o = *out;
    bool ok = hows[o->to.format]->close(o, complete) && complete;

    if (o->out != NULL)
        fclose(o->out);
    if (o->dir >= 0)
        close(o->dir);
    mem_free(o->name);
    *done_r = o->done;
    mem_free(o);
    *out = NULL;
    return ok;
}
