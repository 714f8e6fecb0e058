/*
 * mbox.c - where the messages of an mbox file are, and how its lines are quoted.
 *
 * Reads a file once from its beginning to its end, in one buffer; lines may be
 * as long as they like. Looks ahead only behind lines that begin with "From ",
 * and to where a Content-Length leads. Must not give a message out twice, nor
 * octets of a message to two.
 */
#include "admin/mail/mbox.h"

#include <errno.h>
#include <unistd.h>

#include "admin/mail/fromline.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"

enum { SCAN_BUFFER = 256 * 1024, LINE_HEAD = 1024 };

/* ----------------------------------------------------------------- reading */

struct mbox_scan {
    int fd;
    bool keep;
    mbox_doubt *doubt;
    void *arg;
    char buffer[SCAN_BUFFER];
    size_t at, len;             /* of the buffer: what was not looked at yet */
    bool eof;                   /* behind buffer[len] there is nothing */
    off_t offset;               /* in the file, of buffer[at] */
    uint64_t line;              /* number of the line that was read last */
    char head[LINE_HEAD];       /* how it began */
    uint64_t separators;
    bool begun;                 /* the first separator was looked for */
    bool loose;                 /* it was of the form FROM_TEXT */
    bool inside;                /* of a message: the rest is about it */
    struct mbox_message m;
    bool header, first;         /* in its header; at its first line */
    off_t content_length;       /* -1: none, -2: several that differ */
    off_t believed;             /* where it ends by its Content-Length; 0: not known */
    off_t empty;                /* length of the line before, where that is an empty one of its own */
    bool blank;                 /* an empty line or a separator stands in front */
};

struct mbox_scan *mbox_scan_new(int fd, bool keep, mbox_doubt *doubt, void *arg)
{
    struct mbox_scan *s = mem_zalloc(sizeof *s);

    s->fd = fd;
    s->keep = keep;
    s->doubt = doubt;
    s->arg = arg;
    return s;
}

void mbox_scan_free(struct mbox_scan **scan)
{
    mem_free(*scan);
    *scan = NULL;
}

uint64_t mbox_separators(const struct mbox_scan *scan) { return scan->separators; }

static ssize_t read_at(int fd, char *to, size_t size, off_t at)
{
    ssize_t got;

    do
        got = pread(fd, to, size, at);
    while (got < 0 && errno == EINTR);
    return got;
}

/* At least `want` octets in the buffer, or all that are left. False: errno. */
static bool fill(struct mbox_scan *s, size_t want)
{
    if (s->len - s->at >= want || s->eof)
        return true;
    memmove(s->buffer, s->buffer + s->at, s->len - s->at);
    s->len -= s->at;
    s->at = 0;
    while (s->len < want && !s->eof) {
        ssize_t got = read_at(s->fd, s->buffer + s->len, sizeof s->buffer - s->len, s->offset + (off_t)s->len);

        if (got < 0)
            return false;
        s->eof = got == 0;
        s->len += (size_t)got;
    }
    return true;
}

static void pass(struct mbox_scan *s, size_t n)
{
    s->at += n;
    s->offset += (off_t)n;
}

/*
 * Reads to behind the next line end. Its length, 0 at the end, -1 with errno.
 * How it begins is lent in *head_r until the next call, or until fill().
 */
static off_t next_line(struct mbox_scan *s, struct span *head_r)
{
    off_t length = 0;
    const char *lf;

    if (!fill(s, LINE_HEAD))
        return -1;
    *head_r = (struct span){ s->buffer + s->at, s->len - s->at };
    s->line += head_r->len > 0;
    while (s->len > s->at && (lf = memchr(s->buffer + s->at, '\n', s->len - s->at)) == NULL) {
        /* Longer than what is in the buffer: its beginning is kept elsewhere. */
        if (length == 0) {
            head_r->len = head_r->len < LINE_HEAD ? head_r->len : LINE_HEAD;
            memcpy(s->head, head_r->at, head_r->len);
            head_r->at = s->head;
        }
        length += (off_t)(s->len - s->at);
        pass(s, s->len - s->at);
        if (!fill(s, 1))
            return -1;
    }
    if (s->len > s->at) {
        size_t n = (size_t)(lf - (s->buffer + s->at)) + 1;

        if (length == 0)
            head_r->len = n;
        length += (off_t)n;
        pass(s, n);
    }
    return length;
}

static bool is_empty(struct span line)
{
    return (line.len == 1 && line.at[0] == '\n') || (line.len == 2 && line.at[0] == '\r' && line.at[1] == '\n');
}

/* ------------------------------------------------------------------ verdicts */

/* BEHIND_TEXT where it cannot be read: the next line will tell. */
static enum from_behind look_ahead(struct mbox_scan *s)
{
    size_t n;

    if (!fill(s, FROM_AHEAD))
        return BEHIND_TEXT;
    n = s->len - s->at;
    return from_behind((struct span){ s->buffer + s->at, n < FROM_AHEAD ? n : FROM_AHEAD });
}

/* The line that was just read begins with "From ": does a message end in front of it? */
static bool separates(struct mbox_scan *s, const struct from_line *line)
{
    const char *doubt;
    enum from_verdict verdict = from_judge(line, s->blank, look_ahead(s), s->loose, &doubt);

    if (s->believed > 0) {
        s->m.unquoted = true;
        if (verdict == FROM_SEPARATES)
            s->doubt(s->arg, s->line,
                     "treated as text: a separator within the Content-Length of the message");
        return false;
    }
    if (doubt != NULL)
        s->doubt(s->arg, s->line, doubt);
    return verdict == FROM_SEPARATES;
}

/* Does a message whose body is [body, at) end there: is a separator behind it, or nothing? */
static bool ends_at(const struct mbox_scan *s, off_t at, off_t body)
{
    /* The octet in front, an empty line, the From_ line, and what is behind that. */
    char room[1 + 2 + LINE_HEAD + FROM_AHEAD];
    ssize_t got = at > body ? read_at(s->fd, room, sizeof room, at - 1) : read_at(s->fd, room + 1, sizeof room - 1, at);
    struct span in = { room + 1, 0 };
    struct from_line line;
    const char *lf, *doubt;
    bool blank;

    if (at > body && got-- <= 0)
        return false;
    in.len = got > 0 ? (size_t)got : 0;
    blank = in.len > 0 && (in.at[0] == '\n' || (in.len > 1 && in.at[0] == '\r' && in.at[1] == '\n'));
    if (blank) {
        size_t n = in.at[0] == '\n' ? 1 : 2;
        in = (struct span){ in.at + n, in.len - n };
    }
    if (in.len == 0)
        return true;
    if (at > body && room[0] != '\n' && !blank)
        return false;
    lf = memchr(in.at, '\n', in.len);
    line = from_line((struct span){ in.at, lf != NULL ? (size_t)(lf - in.at) : in.len });
    if (line.form == FROM_NONE)
        return false;
    in = lf != NULL ? (struct span){ lf + 1, in.len - (size_t)(lf + 1 - in.at) } : (struct span){ "", 0 };
    if (in.len > FROM_AHEAD)
        in.len = FROM_AHEAD;
    return from_judge(&line, true, from_behind(in), s->loose, &doubt) == FROM_SEPARATES;
}

/* ------------------------------------------------------------------- a message */

static void begin(struct mbox_scan *s, const struct from_line *line)
{
    s->separators++;
    s->m = (struct mbox_message){ .at = s->offset, .line = s->line, .has_time = line->has_time, .zone = line->zone,
                                  .time = line->time };
    s->inside = s->header = s->first = s->blank = true;
    s->content_length = -1;
    s->believed = s->empty = 0;
}

static bool field_value(struct span line, struct span name, struct span *value_r)
{
    if (line.len <= name.len || strncasecmp(line.at, name.at, name.len) != 0)
        return false;
    *value_r = (struct span){ line.at + name.len, line.len - name.len };
    while (value_r->len > 0 && strchr(" \t\r\n", value_r->at[value_r->len - 1]) != NULL)
        value_r->len--;
    while (value_r->len > 0 && strchr(" \t", value_r->at[0]) != NULL)
        value_r->at++, value_r->len--;
    return true;
}

static void header_field(struct mbox_scan *s, struct span line)
{
    struct span value;
    uint64_t n;

    s->m.state |= state_of_field(line);
    if (field_value(line, SPAN_OF("Content-Length:"), &value)) {
        off_t length = num_parse(value, INT64_MAX / 2, &n) == 1 ? (off_t)n : -2;
        s->content_length = s->content_length == -1 || s->content_length == length ? length : -2;
    } else if (!s->m.has_time && field_value(line, SPAN_OF("Date:"), &value)) {
        s->m.has_time = s->m.time_of_field = from_date(value, &s->m.time) == 1;
    }
}

/* A From_ line between the separator and the header: programs that quoted what was a separator left it there. */
static bool is_left_over(struct mbox_scan *s, struct span line)
{
    enum from_behind behind;

    if (!s->first || s->keep || from_marks(line) < 0)
        return false;
    behind = look_ahead(s);
    if (behind != BEHIND_FIELD && behind != BEHIND_HEADER)
        return false;
    s->m.at = s->offset;
    return true;
}

/* The line is one of the message; it was read already. */
static void message_line(struct mbox_scan *s, struct span line, off_t length)
{
    bool empty = is_empty(line);

    s->empty = empty ? length : 0;
    s->blank = empty;
    s->first = false;
    if (!s->header)
        return;
    if (!empty) {
        header_field(s, line);
    } else {
        s->header = false;
        if (s->content_length >= 0 && s->content_length < INT64_MAX / 2 - s->offset
            && ends_at(s, s->offset + s->content_length, s->offset))
            s->believed = s->offset + s->content_length;
    }
}

/* The first From_ line: whatever its form, with any marks, behind empty lines. 1, 0 if there is none, -1. */
static int find_first(struct mbox_scan *s)
{
    struct span line;
    off_t length;
    struct from_line from;
    int marks;

    s->begun = true;
    do
        length = next_line(s, &line);
    while (length > 0 && is_empty(line));
    if (length <= 0)
        return (int)length;
    marks = from_marks(line);
    if (marks < 0)
        return 0;
    from = from_line((struct span){ line.at + marks, line.len - (size_t)marks });
    s->loose = from.form == FROM_TEXT;
    begin(s, &from);
    return 1;
}

/*
 * A crash leaves holes in files, octets 0 in place of what was written last, and
 * the next separator then stands behind them in what is one line. True: that is
 * so here, and the hole begins at *hole_r of the line. What was lent may have moved.
 */
static bool behind_hole(struct mbox_scan *s, struct span *line, struct from_line *from_r, size_t *hole_r)
{
    const char *from = memmem(line->at, line->len, "\0From ", 6);
    enum from_behind behind;

    if (from == NULL || s->believed > 0)
        return false;
    *hole_r = (size_t)(from - line->at);
    *from_r = from_line((struct span){ from + 1, line->len - *hole_r - 1 });
    if (from_r->form != FROM_DATED)
        return false;
    while (*hole_r > 0 && line->at[*hole_r - 1] == '\0')
        --*hole_r;
    *line = SPAN_OF("text");
    behind = look_ahead(s);
    if (behind != BEHIND_FIELD && behind != BEHIND_HEADER)
        return false;
    s->doubt(s->arg, s->line,
             "treated as a separator: a From_ line after octets 0, as a crash leaves them; these are left out");
    return true;
}

/* The message has ended, `end` is where, unless its Content-Length knows better. */
static int give(struct mbox_scan *s, off_t end, struct mbox_message *message_r)
{
    s->m.end = s->believed > 0 ? s->believed : end;
    *message_r = s->m;
    s->inside = false;
    return 1;
}

int mbox_next(struct mbox_scan *s, struct mbox_message *message_r)
{
    int found = s->begun ? 1 : find_first(s);

    if (found <= 0 || !s->inside)
        return found < 0 ? -1 : 0;
    for (;;) {
        struct span line;
        off_t start = s->offset, length = next_line(s, &line), empty = s->empty;
        struct from_line from;
        size_t hole;

        if (length < 0)
            return -1;
        if (length == 0)
            return give(s, start - empty, message_r);
        if (memchr(line.at, '\0', line.len) != NULL && behind_hole(s, &line, &from, &hole)) {
            give(s, hole > 0 ? start + (off_t)hole : start - empty, message_r);
            begin(s, &from);
            return 1;
        }
        if (line.at[0] == 'F' && (from = from_line(line)).form != FROM_NONE) {
            bool end = s->believed > 0 && start >= s->believed;

            if (is_left_over(s, SPAN_OF("From ")))
                continue;
            if (end || separates(s, &from)) {
                give(s, start - empty, message_r);
                begin(s, &from);
                return 1;
            }
            /* What was lent may have moved; a line of text needs no closer look. */
            line = SPAN_OF("From ");
        } else if (line.at[0] == '>' && s->first && from_marks(line) > 0) {
            if (is_left_over(s, line))
                continue;
            line = SPAN_OF(">");
        }
        message_line(s, line, length);
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
