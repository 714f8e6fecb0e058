/* Importers: mbox (where messages are, quoting there and back), From_ lines, states, names, line ends, lists of UIDLs, and those of Dovecot, Courier and Cyrus. */
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "admin/mail/courier.c"
#include "admin/mail/cyrus.c"
#include "admin/mail/doveconf.c"
#include "admin/mail/dovecot.c"
#include "admin/mail/eol.c"
#include "admin/mail/fromline.c"
#include "admin/mail/likeness.c"
#include "admin/mail/listfile.c"
#include "admin/mail/mbox.c"
#include "admin/mail/natural.c"
#include "admin/shown.c"
#include "admin/mail/state.c"
#include "admin/mail/uidl_format.c"
#include "admin/mail/uidls.c"
#include "admin/mail/xuidl.c"
#include "daemon/base/buf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

/* Problems are told to nobody. */
enum ctl_exit ctl_error(enum ctl_exit status, const char *fmt, ...)
{
    (void)fmt;
    return status;
}

static int file_of(struct span in)
{
    int fd = memfd_create("in", MFD_CLOEXEC);

    MUST(fd >= 0 && write(fd, in.at, in.len) == (ssize_t)in.len && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

struct doubts {
    uint64_t count, line;
};

static void doubt(void *arg, uint64_t line, const char *what)
{
    struct doubts *d = arg;

    MUST(line > d->line && what != NULL);
    d->line = line;
    d->count++;
}

static void check_scan(struct span in, bool keep)
{
    int fd = file_of(in);
    struct doubts doubts = { 0, 0 };
    struct mbox_scan *scan = mbox_scan_new(fd, keep, doubt, &doubts);
    struct mbox_message m;
    off_t last = 0;
    uint64_t count = 0;

    for (; mbox_next(scan, &m) == 1; count++) {
        MUST(m.at > last && m.end >= m.at && m.end <= (off_t)in.len);
        last = m.end;
        (void)state_kind(m.state);
    }
    MUST(count == mbox_separators(scan) && mbox_next(scan, &m) == 0);
    mbox_scan_free(&scan);
    close(fd);
}

/* What is printed of a name is one line that no terminal obeys, whatever the name. */
static void check_names(struct span in)
{
    char *name = strndup(in.at, in.len);
    const char *shown = shown_name(name);

    for (struct span s = span_str(shown); s.len > 0;) {
        size_t n = shown_plain(s);

        MUST(n > 0 && (shown == name || shown[0] == '"'));
        s = (struct span){ s.at + n, s.len - n };
    }
    (void)state_of_maildir_name(name);
    MUST(state_maildir_base(name) <= strlen(name));
    (void)state_of_mh_name(name);
    shown_text(name);
    for (struct span s = span_str(name); s.len > 0;) {
        size_t n = shown_plain(s);

        MUST(n > 0);
        s = (struct span){ s.at + n, s.len - n };
    }
    free(name);
}

static void check_lines(struct span line)
{
    struct from_line f = from_line(line);
    const char *what;
    int64_t time;

    for (int i = 0; i < 4; i++)
        (void)from_judge(&f, (i & 1) != 0, from_behind(line), (i & 2) != 0, &what);
    MUST(f.form != FROM_DATED || f.has_time);
    (void)from_date(line, &time);
    struct span xuidl;
    if (xuidl_in(line, &xuidl))
        MUST(xuidl.at >= line.at && xuidl.at + xuidl.len <= line.at + line.len);
    (void)from_marks(line);
    (void)from_is_field(line);
    (void)state_of_field(line);
}

static void put(void *arg, const char *at, size_t len)
{
    buf_add(arg, at, len);
}

static void filter(enum mbox_quoting quoting, struct span in, struct cuts c, struct buf *out)
{
    struct mbox_filter f = { .quoting = quoting };

    while (in.len > 0) {
        struct span piece = exact(cut(&c, &in));
        mbox_filter_feed(&f, piece.at, piece.len, put, out);
        exact_free(piece);
    }
    mbox_filter_end(&f, put, out);
}

static void check_quoting(struct span in, struct cuts c)
{
    struct buf quoted = BUF_EMPTY, back = BUF_EMPTY, old = BUF_EMPTY;

    filter(MBOX_QUOTE, in, c, &quoted);
    MUST(buf_left(&quoted) < 5 || memcmp(buf_span(&quoted).at, "From ", 5) != 0);
    MUST(memmem(buf_span(&quoted).at, buf_left(&quoted), "\nFrom ", 6) == NULL);
    filter(MBOX_UNQUOTE_RD, buf_span(&quoted), c, &back);
    MUST(span_is(buf_span(&back), in));
    filter(MBOX_UNQUOTE_O, in, c, &old);
    MUST(buf_left(&old) <= in.len);
    buf_free(&quoted);
    buf_free(&back);
    buf_free(&old);
}

static size_t lines_to_crlf(struct span in, struct cuts *c, char *out)
{
    struct eol e = EOL_START;
    size_t n = 0;

    while (in.len > 0) {
        struct span piece = c != NULL ? exact(cut(c, &in)) : exact(take_span(&in, in.len));
        n += eol_feed(&e, piece.at, piece.len, out + n);
        exact_free(piece);
    }
    return n + eol_end(&e, out + n);
}

static void check_eol(struct span in, struct cuts c)
{
    char *whole = malloc(EOL_ROOM(in.len)), *pieces = malloc(EOL_ROOM(in.len)), *twice = malloc(EOL_ROOM(EOL_ROOM(in.len)));

    MUST(whole != NULL && pieces != NULL && twice != NULL);
    size_t n = lines_to_crlf(in, NULL, whole);
    MUST(n <= EOL_ROOM(in.len));
    MUST(lines_to_crlf(in, &c, pieces) == n && memcmp(whole, pieces, n) == 0);
    MUST(lines_to_crlf((struct span){ whole, n }, NULL, twice) == n && memcmp(whole, twice, n) == 0);
    MUST(n == 0 || (n >= 2 && memcmp(whole + n - 2, "\r\n", 2) == 0));
    free(whole);
    free(pieces);
    free(twice);
}

/* In pieces and whole: the same digests. */
static void check_likeness(struct span in, struct cuts c)
{
    struct likeness_hash h;
    struct likeness whole, pieces;

    likeness_begin(&h);
    likeness_add(&h, in);
    likeness_end(&h, &whole);
    MUST(whole.octets == in.len);
    likeness_begin(&h);
    while (in.len > 0) {
        struct span piece = exact(cut(&c, &in));
        likeness_add(&h, piece);
        exact_free(piece);
    }
    likeness_end(&h, &pieces);
    MUST(memcmp(whole.digest, pieces.digest, CONTENT_DIGEST) == 0 && memcmp(whole.kept, pieces.kept, CONTENT_DIGEST) == 0 &&
         whole.octets == pieces.octets);
}

static void check_uidls(struct span in)
{
    char path[64];
    int fd = file_of(in);
    struct uidls *u;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    u = uidls_new(path);
    MUST(u != NULL);
    for (size_t i = 0; i < u->count; i++) {
        const struct uidl_line *l = &u->lines[i];

        MUST(l->number == i + 1 && (u->named || l->key == NULL));
        MUST(l->fault != NULL || (strlen(l->uidl) >= 1 && strlen(l->uidl) <= UIDL_MAX && strpbrk(l->uidl, " \t\r\n") == NULL));
        if (i > 0) {
            int order = natural_cmp(u->lines[i - 1].uidl, l->uidl), back = natural_cmp(l->uidl, u->lines[i - 1].uidl);
            MUST((order < 0) == (back > 0) && (order == 0) == (strcmp(u->lines[i - 1].uidl, l->uidl) == 0));
        }
    }
    uidls_free(&u);
    close(fd);
}

static void check_dovecot(struct span in)
{
    int fd = file_of(in);
    struct dovecot_list l;
    struct dovecot_entry e;
    char *format = strndup(in.at, in.len < 64 ? in.len : 64);
    const char *fault = dovecot_open(&l, fd);
    int got;

    if (uidl_format_fault(format) == NULL)
        MUST(strchr(format, '%') != NULL);
    while (fault == NULL && (got = dovecot_next(&l, &e, &fault)) != 0) {
        struct buf uidl = BUF_EMPTY;

        MUST((got < 0) == (fault != NULL) && l.line > 1);
        fault = NULL;
        if (got < 0)
            continue;
        MUST(e.uid > 0 && listfile_is_name(e.name) && memchr(e.name.at, ':', e.name.len) == NULL);
        dovecot_uidl(&l, &e, uidl_format_fault(format) == NULL ? format : dovecot_format, &uidl);
        MUST(buf_left(&uidl) > 0);
        buf_free(&uidl);
    }
    dovecot_close(&l);
    MUST(dovecot_letter(in, format) <= 'z' && dovecot_letter(in, format) >= -1);
    (void)dovecot_has_letter(format, 'a');
    free(format);
    close(fd);
}

static void check_doveconf(struct span in)
{
    int fd = file_of(in);
    struct doveconf conf;

    if (doveconf_read(fd, &conf) == NULL)
        MUST(conf.uidl_format == NULL || conf.uidl_format[0] != '\0');
    doveconf_free(&conf);
    close(fd);
}

static void check_courier(struct span in)
{
    int fd = file_of(in);
    struct courier_list l;
    struct courier_entry e;
    char *before = NULL;
    const char *fault = courier_open(&l, fd);
    int got;

    while (fault == NULL && (got = courier_next(&l, &e, &fault)) != 0) {
        struct buf uidl = BUF_EMPTY;

        MUST((got < 0) == (fault != NULL) && l.line > 0);
        fault = NULL;
        if (got < 0)
            continue;
        courier_uidl(&e, &uidl);
        MUST(buf_left(&uidl) > 0 && memchr(buf_span(&uidl).at, ' ', buf_left(&uidl)) == NULL);
        buf_free(&uidl);
        char *name = strndup(e.name.at, e.name.len);
        MUST(courier_cmp(name, name) == 0 && (before == NULL || courier_cmp(name, before) == -courier_cmp(before, name)));
        free(before);
        before = name;
    }
    free(before);
    courier_close(&l);
    close(fd);
}

static void check_cyrus(struct span in)
{
    int fd = file_of(in);
    struct cyrus_index x;
    struct cyrus_entry e;
    const char *fault = cyrus_open(&x, fd);
    uint32_t last = 0, count = 0;
    int got;

    while (fault == NULL && (got = cyrus_next(&x, &e, &fault)) != 0) {
        MUST((got < 0) == (fault != NULL) && x.next == ++count && count <= x.count);
        fault = NULL;
        if (got < 0)
            continue;
        MUST(e.uid > last && e.uid <= x.last_uid);
        last = e.uid;
    }
    cyrus_close(&x);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct cuts c = take_cuts(&in);
    struct span line = exact(in);

    check_lines(line);
    exact_free(line);
    check_scan(in, false);
    check_scan(in, true);
    check_names(in);
    check_quoting(in, c);
    check_likeness(in, c);
    check_eol(in, c);
    check_uidls(in);
    check_dovecot(in);
    check_doveconf(in);
    check_courier(in);
    check_cyrus(in);
    return 0;
}
