/*
 * mailout_mbox.c - an export as an mbox: mboxrd quoting (RFC 4155 has none that can be undone),
 * LF line ends.
 *
 * Must never leave half an mbox: it looks like a whole one.
 */
#include "admin/mail/mailout_impl.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool mbox_open(struct mailout *o)
{
    int fd = openat(o->to.at, o->to.base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    o->out = fd >= 0 ? fdopen(fd, "w") : NULL;
    o->filter = (struct mbox_filter){ .quoting = MBOX_QUOTE };
    return o->out != NULL || mailout_failed(o, "create");
}

static bool mbox_begin(struct mailout *o, const struct mail *mail)
{
    int64_t second = mail->received / 1000000;
    time_t t = (time_t)(mail->received % 1000000 < 0 ? second - 1 : second);
    struct tm tm;
    char date[64];

    gmtime_r(&t, &tm);
    strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm);
    fprintf(o->out, "From MAILER-DAEMON %s\n", date);
    if (o->to.x_uidl)
        fprintf(o->out, "X-UIDL: %s\n", mail->uidl);
    return !ferror(o->out) || mailout_failed(o, "write");
}

static void lines(void *arg, const char *at, size_t len)
{
    mailout_lf(arg, (struct span){ at, len });
}

static bool mbox_data(struct mailout *o, struct span octets)
{
    mbox_filter_feed(&o->filter, octets.at, octets.len, lines, o);
    return !ferror(o->out);
}

static bool mbox_end(struct mailout *o, const struct mail *mail)
{
    mbox_filter_end(&o->filter, lines, o);
    mailout_lf_end(o);
    putc('\n', o->out);
    mailout_list(o, NULL, mail);
    return !ferror(o->out) || mailout_failed(o, "write");
}

static bool mbox_close(struct mailout *o, bool complete)
{
    if (o->out == NULL)
        return false;
    if (complete && (fflush(o->out) != 0 || (!o->to.later && fsync(fileno(o->out)) != 0)))
        complete = mailout_failed(o, "write");
    if (!complete)
        unlinkat(o->to.at, o->to.base, 0);
    return complete;
}

const struct mailout_how mailout_mbox = { mbox_open, NULL, NULL, mbox_begin, mbox_data, mbox_end, mbox_close };
