/*
 * mbox.c - where the messages of an mbox file are, and how its lines are quoted.
 *
 * Must never take a line of text for a separator, which would cut a message in
 * two: hence the date.
 */
#include "admin/mbox.h"

#include <ctype.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/mem.h"

enum { SCAN_BUFFER = 256 * 1024, LINE_HEAD = 512 };

/* ------------------------------------------------------------ separator */

static bool number(struct span word, size_t digits_min, size_t digits_max, int *n_r)
{
    *n_r = 0;
    if (word.len < digits_min || word.len > digits_max)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (!isdigit((unsigned char)word.at[i]))
            return false;
        *n_r = *n_r * 10 + (word.at[i] - '0');
    }
    return true;
}

static bool month(struct span word, int *month_r)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (size_t i = 0; i < 12; i++)
        if (span_is_nocase(word, (struct span){ names + 3 * i, 3 })) {
            *month_r = (int)i;
            return true;
        }
    return false;
}

/* "hh:mm" or "hh:mm:ss" */
static bool clock_time(struct span w, struct tm *tm)
{
    if ((w.len != 5 && w.len != 8) || w.at[2] != ':' || (w.len == 8 && w.at[5] != ':'))
        return false;
    return number((struct span){ w.at, 2 }, 2, 2, &tm->tm_hour) && number((struct span){ w.at + 3, 2 }, 2, 2, &tm->tm_min)
        && (w.len == 5 || number((struct span){ w.at + 6, 2 }, 2, 2, &tm->tm_sec))
        && tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 61;
}

/* "+0200" or "-0130", in seconds */
static bool zone(struct span w, int *seconds_r)
{
    int hhmm;

    if (w.len != 5 || (w.at[0] != '+' && w.at[0] != '-') || !number((struct span){ w.at + 1, 4 }, 4, 4, &hhmm))
        return false;
    *seconds_r = (hhmm / 100 * 60 + hhmm % 100) * 60 * (w.at[0] == '-' ? -1 : 1);
    return true;
}

/*
 * "From sender Sun Nov 22 21:45:20 2026", the order of the words, a zone before
 * or behind the year, commas and missing seconds left free: they vary. Other
 * words (names of zones, "remote from host") are passed over.
 */
int mbox_separator(struct span line, int64_t *time_r)
{
    bool have_day = false, have_month = false, have_time = false, have_year = false;
    struct tm tm = { .tm_isdst = 0 };
    int offset = 0, n, word_number = 0;
    size_t i = 5;

    if (line.len < 5 || memcmp(line.at, "From ", 5) != 0)
        return 0;
    while (i < line.len) {
        struct span w = { line.at + i, 0 };

        while (i < line.len && !isspace((unsigned char)line.at[i]) && line.at[i] != ',')
            i++;
        w.len = (size_t)(line.at + i - w.at);
        i++;
        /* The first word is the sender, unless there is none. */
        if (w.len == 0 || word_number++ == 0)
            continue;
        if (!have_time && clock_time(w, &tm))
            have_time = true;
        else if (!have_month && month(w, &tm.tm_mon))
            have_month = true;
        else if (!have_day && number(w, 1, 2, &n) && n >= 1 && n <= 31)
            have_day = true, tm.tm_mday = n;
        else if (!have_year && number(w, 4, 4, &n) && n >= 1970)
            have_year = true, tm.tm_year = n - 1900;
        else
            zone(w, &offset);
    }
    if (!have_day || !have_month || !have_time || !have_year)
        return 0;
    *time_r = ((int64_t)timegm(&tm) - offset) * 1000000;
    return 1;
}

/* ----------------------------------------------------------------- scan */

struct mbox_scan {
    int fd;
    char buffer[SCAN_BUFFER];
    size_t at, len;         /* of the buffer: what was not looked at yet */
    off_t offset;           /* in the file, of buffer[at] */
    char head[LINE_HEAD];   /* how the line began */
    size_t head_len;
    bool eof;
    bool inside;            /* a separator was read: a message begins at offset */
    int64_t time;           /* its date */
};

struct mbox_scan *mbox_scan_new(int fd)
{
    struct mbox_scan *s = mem_zalloc(sizeof *s);

    s->fd = fd;
    return s;
}

void mbox_scan_free(struct mbox_scan **scan)
{
    mem_free(*scan);
    *scan = NULL;
}

/* Reads to behind the next line end; its beginning is in head. Returns its length, 0 at the end, -1 with errno. */
static off_t next_line(struct mbox_scan *s)
{
    off_t length = 0;
    bool whole = false;

    s->head_len = 0;
    while (!whole) {
        const char *from, *lf;
        size_t n, keep;

        if (s->at == s->len) {
            ssize_t got;

            do
                got = pread(s->fd, s->buffer, sizeof s->buffer, s->offset);
            while (got < 0 && errno == EINTR);
            if (got < 0)
                return -1;
            s->at = 0;
            s->len = (size_t)got;
            if (got == 0)
                break;
        }
        from = s->buffer + s->at;
        lf = memchr(from, '\n', s->len - s->at);
        whole = lf != NULL;
        n = whole ? (size_t)(lf - from) + 1 : s->len - s->at;
        keep = n < LINE_HEAD - s->head_len ? n : LINE_HEAD - s->head_len;
        memcpy(s->head + s->head_len, from, keep);
        s->head_len += keep;
        s->at += n;
        s->offset += (off_t)n;
        length += (off_t)n;
    }
    return length;
}

int mbox_next(struct mbox_scan *s, off_t *at_r, off_t *end_r, int64_t *time_r)
{
    off_t empty = 0;    /* length of the line before, if it is an empty one of this message */

    *at_r = s->offset;
    for (;;) {
        off_t length = next_line(s);
        int64_t time = 0;

        if (length < 0)
            return -1;
        if (length > 0 && mbox_separator((struct span){ s->head, s->head_len }, &time) == 0) {
            empty = (length == 1 && s->head[0] == '\n') || (length == 2 && memcmp(s->head, "\r\n", 2) == 0) ? length : 0;
            continue;
        }
        *end_r = s->offset - length - empty;
        *time_r = s->time;
        if (s->inside) {
            s->inside = length > 0;
            s->time = time;
            return 1;
        }
        if (length == 0)
            return 0;
        /* The first one: what is in front of it is no message (and the caller made sure that there is nothing). */
        s->inside = true;
        s->time = time;
        *at_r = s->offset;
        empty = 0;
    }
}

/* -------------------------------------------------------------- quoting */

static const char from_[] = "From ";

static void release(struct mbox_filter *f, size_t marks, mbox_out *out, void *arg)
{
    static const char many[] = ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>";

    while (marks > 0) {
        size_t n = marks < sizeof many - 1 ? marks : sizeof many - 1;
        out(arg, many, n);
        marks -= n;
    }
    if (f->from > 0)
        out(arg, from_, f->from);
    f->marks = f->from = 0;
    f->inside = true;
}

/* How many marks stand in front of a "From " that had `marks`. */
static size_t other_marks(enum mbox_quoting quoting, size_t marks)
{
    if (quoting == MBOX_QUOTE)
        return marks + 1;
    if (marks > 0 && (quoting == MBOX_UNQUOTE_RD || (quoting == MBOX_UNQUOTE_O && marks == 1)))
        return marks - 1;
    return marks;
}

void mbox_filter_feed(struct mbox_filter *f, const char *in, size_t len, mbox_out *out, void *arg)
{
    const char *end = in + len;

    if (f->quoting == MBOX_PLAIN) {
        out(arg, in, len);
        return;
    }
    while (in < end) {
        const char *from = in;

        if (!f->inside) {
            if (*in == '>' && f->from == 0) {
                f->marks++;
                in++;
            } else if (*in == from_[f->from]) {
                in++;
                if (++f->from == sizeof from_ - 1)
                    release(f, other_marks(f->quoting, f->marks), out, arg);
            } else {
                release(f, f->marks, out, arg);
            }
            continue;
        }
        /* To the next line that must be looked at: most lines begin with neither. */
        while (in < end && !(in > from && in[-1] == '\n' && (*in == '>' || *in == 'F'))) {
            const char *lf = memchr(in, '\n', (size_t)(end - in));
            in = lf != NULL ? lf + 1 : end;
        }
        out(arg, from, (size_t)(in - from));
        f->inside = in[-1] != '\n';
    }
}

void mbox_filter_end(struct mbox_filter *f, mbox_out *out, void *arg)
{
    release(f, f->marks, out, arg);
    f->inside = false;
}
