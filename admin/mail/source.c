/*
 * source.c - the messages of the files that an import is given.
 *
 * Must never open what is not a regular file: reading a FIFO would wait for
 * ever, a device may do anything.
 */
#include "admin/mail/source_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/mail/fromline.h"
#include "admin/shown.h"
#include "daemon/base/mem.h"

enum {
    HEAD = 2 * FROM_AHEAD,      /* what is looked at to see what a file is */
    LEFT_OVER = 8,              /* From_ lines in front of a header */
};

static void close_file(struct source *s)
{
    if (s->scan != NULL) {
        s->separators += mbox_separators(s->scan);
        mbox_scan_free(&s->scan);
        mbox_seen_free(&s->of_server);
    }
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void file_free(struct file *f)
{
    mem_free(f->path);
    mem_free(f->uidl);
}

static void files_free(struct source *s)
{
    close_file(s);
    for (size_t i = 0; i < s->count; i++)
        file_free(&s->files[i]);
    mem_free(s->files);
    for (size_t i = 0; i < s->list_count; i++)
        mem_free(s->lists[i]);
    mem_free(s->lists);
    for (size_t i = 0; i < s->inner_count; i++)
        mem_free(s->inner[i]);
    mem_free(s->inner);
    doveconf_free(&s->dovecot);
    source_mbox_free(s);
    buf_free(&s->fault);
    for (size_t i = 0; i < s->folder_count; i++)
        folder_free(&s->folders[i]);
    mem_free(s->folders);
    buf_free(&s->name);
    mem_free(s);
}

const char *source_fault(const struct source *s) { return buf_left(&s->fault) > 0 ? buf_span(&s->fault).at : NULL; }

size_t source_folders(const struct source *s) { return s->inner_count; }

const char *source_folder(const struct source *s, size_t i) { return s->inner[i]; }

static void files_again(struct source *s)
{
    close_file(s);
    s->next = s->uidl_next = 0;
    s->separators = 0;
}

struct source_seen source_seen(const struct source *s)
{
    struct source_seen seen = s->seen;

    seen.separators = s->separators + (s->scan != NULL ? mbox_separators(s->scan) : 0);
    return seen;
}

/*
 * Lenient, as real mail is: a header field (RFC 5322 section 2.2), blanks in
 * front of the colon allowed (section 4.5); a From_ line that some program left
 * there, quoted or not; an empty line, which is a message without a header.
 */
const char *source_not_mail(const char *head, size_t len)
{
    if (len == 0)
        return "is empty";
    if (head[0] == '\n' || head[0] == '\r')
        return NULL;
    if (from_marks((struct span){ head, len }) >= 0 || from_is_field((struct span){ head, len }))
        return NULL;
    return "is not a mail message: its first line is not a header field";
}

static ssize_t read_head(int fd, off_t at, char *head, size_t size)
{
    ssize_t got;

    do
        got = pread(fd, head, size, at);
    while (got < 0 && errno == EINTR);
    return got;
}

static void doubt_in_mbox(void *arg, uint64_t line, const char *what)
{
    struct source *s = arg;

    if (s->quiet)
        return;
    s->how.doubt(s->how.arg, s->files[s->next].path, line, what);
}

static int next_in_mbox(struct source *s, const struct file *f, struct source_item *it)
{
    struct mbox_message m = { .at = 0 };
    int got = mbox_next(s->scan, &m);

    if (got == 0)
        return 0;
    s->number++;
    buf_clear(&s->name);
    buf_addf(&s->name, "%s:message %u", shown_name(f->path), s->number);
    it->name = buf_span(&s->name).at;
    it->path = f->path;
    it->in_folder = f->in_folder;
    it->number = s->number;
    it->fd = s->fd;
    it->at = m.at;
    it->end = m.end;
    /* A Date field is what its sender said: no message came later than the file was written. */
    it->received = !m.has_time || (m.time_of_field && m.time > f->mtime) ? f->mtime : m.time;
    it->quoting = m.unquoted ? MBOX_PLAIN : s->how.quoting;
    it->kind = state_kind(m.state);
    if (s->server != NULL)
        source_mbox_item(s, it, &m);
    if (got < 0) {
        it->reject = "cannot be read completely";
        close_file(s);
        s->next++;
    } else if (it->at == it->end) {
        it->reject = "is empty";
    }
    return 1;
}

static void no_doubt(void *arg, uint64_t line, const char *what)
{
    (void)arg, (void)line, (void)what;
}

/* Reads until it knows. */
static bool has_two_messages(int fd)
{
    struct mbox_scan *scan = mbox_scan_new(fd, false, no_doubt, NULL);
    struct mbox_message m;
    bool two = mbox_next(scan, &m) == 1 && mbox_next(scan, &m) == 1;

    mbox_scan_free(&scan);
    return two;
}

static struct span first_line(struct span in)
{
    const char *lf = in.len > 0 ? memchr(in.at, '\n', in.len) : NULL;

    return (struct span){ in.at, lf != NULL ? (size_t)(lf + 1 - in.at) : in.len };
}

static enum from_behind behind_line(struct span in, struct span line)
{
    size_t n = in.len - line.len;

    return from_behind((struct span){ line.at + line.len, n < FROM_AHEAD ? n : FROM_AHEAD });
}

/* Whether a file whose beginning is `head` is an mbox. *reject_r: neither, as far as one can tell. */
static bool is_mbox(const struct source *s, const struct file *f, int fd, struct span head, const char **reject_r)
{
    struct span line = first_line(head);
    const bool space = head.len > 0 && (head.at[0] == '\n' || head.at[0] == '\r');
    enum from_behind behind;
    struct from_line from;
    int marks;
    bool header;

    if (f->alone || s->how.format == SOURCE_EML)
        return false;
    while (head.len > 0 && (span_is(line, SPAN_OF("\n")) || span_is(line, SPAN_OF("\r\n")))) {
        head = (struct span){ head.at + line.len, head.len - line.len };
        line = first_line(head);
    }
    marks = from_marks(line);
    if (s->how.format == SOURCE_MBOX) {
        *reject_r = marks < 0 ? "does not begin with a From_ line: not an mbox" : NULL;
        return marks >= 0;
    }
    if (marks < 0)
        return false;
    behind = behind_line(head, line);
    header = behind == BEHIND_FIELD || behind == BEHIND_HEADER;
    /*
     * Of one message that is no mbox nothing is changed but that the From_ line goes: no quoting,
     * no empty line at its end.
     */
    if (marks > 0 || source_names_one(f->path))
        return header && has_two_messages(fd);
    from = from_line(line);
    if (header || (from.form == FROM_DATED && !space) || (from.form == FROM_LIKELY && !space && behind != BEHIND_TEXT))
        return true;
    if (has_two_messages(fd))
        *reject_r =
            "begins with \"From \" and contains From_ lines, but no header follows the first one: see --format";
    return false;
}

/* From_ lines in front of the header of a file that is one message: how many octets they are. */
static size_t left_over(struct span head, struct source_item *it)
{
    const size_t all = head.len;

    for (int i = 0; i < LEFT_OVER; i++) {
        struct span line = first_line(head);
        int marks = from_marks(line);
        enum from_behind behind = marks >= 0 ? behind_line(head, line) : BEHIND_TEXT;
        struct from_line from;

        if (marks < 0)
            break;
        from = from_line((struct span){ line.at + marks, line.len - (size_t)marks });
        if (behind != BEHIND_FIELD && behind != BEHIND_HEADER && (behind != BEHIND_EMPTY || from.form != FROM_DATED))
            break;
        if (from.has_time)
            it->received = from.time;
        head = (struct span){ head.at + line.len, head.len - line.len };
    }
    return all - head.len;
}

/* Opens the file that is next; false if it is rejected. *mbox_r: it is one. */
static bool open_next(struct source *s, const struct file *f, struct source_item *it, bool *mbox_r)
{
    char head[HEAD];
    struct span first = { head, 0 };
    ssize_t got;
    struct stat st;

    buf_clear(&s->name);
    buf_add_str(&s->name, shown_name(f->path));
    it->name = buf_span(&s->name).at;
    it->path = f->path;
    it->in_folder = f->in_folder;
    it->uidl = f->uidl;
    it->uidl_file = f->uidl_file;
    it->uidl_line = f->uidl_line;
    it->reject = f->reject;
    it->received = f->mtime;
    it->quoting = MBOX_PLAIN;
    it->kind = f->kind;
    s->seen.files++;
    if (it->reject != NULL)
        return false;
    s->fd = it->fd = source_open_file(s, f, &st, &it->reject);
    if (it->reject != NULL)
        return false;
    if (!S_ISREG(st.st_mode)) {
        it->reject = "is not a regular file";
        return false;
    }
    it->at = 0;
    it->end = st.st_size;
    s->seen.octets += st.st_size;
    got = read_head(s->fd, 0, head, sizeof head);
    first.len = got > 0 ? (size_t)got : 0;
    if (got <= 0)
        it->reject = got < 0 ? "cannot be read" : "is empty";
    else if (source_is_dbox(first.at, first.len))
        it->reject = source_dbox_file;
    else
        *mbox_r = is_mbox(s, f, s->fd, first, &it->reject);
    if (it->reject != NULL || *mbox_r || s->how.any)
        return it->reject == NULL;
    it->at = (off_t)left_over(first, it);
    it->reject = source_not_mail(head + it->at, first.len - (size_t)it->at);
    return it->reject == NULL;
}

static int files_next(struct source *s, struct source_item *it)
{
    for (;;) {
        const struct file *f;
        bool mbox = false;

        if (s->scan != NULL) {
            if (next_in_mbox(s, &s->files[s->next], it) == 1)
                return 1;
            s->next++;
        }
        close_file(s);
        if (s->next == s->count)
            return 0;
        f = &s->files[s->next];
        /* One that the operator has named was looked at before anything was stored. */
        if (open_next(s, f, it, &mbox) && mbox && f->in_folder)
            it->reject = source_mbox_fault(s, s->fd);
        if (it->reject != NULL || !mbox) {
            s->next++;
            return 1;
        }
        s->seen.mboxes++;
        s->scan = mbox_scan_new(s->fd, s->how.any, doubt_in_mbox, s);
        source_mbox_begin(s);
        s->number = 0;
    }
}

static const struct source_kind files_kind = { .next = files_next, .again = files_again, .free = files_free };

struct source *source_new(char *const *paths, int count, const struct source_how *how)
{
    struct source *s = mem_zalloc(sizeof *s);

    s->kind = &files_kind;
    s->fd = -1;
    s->how = *how;
    source_configure(s);
    source_mbox_server(s);
    for (int i = 0; i < count; i++)
        source_list(s, paths[i]);
    return s;
}
