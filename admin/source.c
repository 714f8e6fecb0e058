/*
 * source.c - where an import finds its messages.
 *
 * Must never open what is not a regular file: reading a FIFO would wait for
 * ever, a device may do anything.
 */
#include "admin/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/eol.h"
#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"

enum { CHUNK = 128 * 1024 };

struct file {
    char *path;
    const char *reject;         /* static text */
    bool is_mbox, in_maildir;
    uint64_t order;             /* Maildir: the time in its name */
    int64_t mtime;
    int64_t octets;
};

struct source {
    struct file *files;
    size_t count, room, next;
    int64_t octets;
    enum mbox_quoting quoting;
    bool any;
    int fd;
    struct mbox_scan *scan;     /* of the mbox that is being read */
    unsigned number;            /* of its message */
    struct buf name;
};

/* ----------------------------------------------------------------- listing */

static struct file *add(struct source *s, const char *dir, const char *name, const char *reject)
{
    struct file *f;
    size_t len = (dir != NULL ? strlen(dir) + 1 : 0) + strlen(name) + 1;

    if (s->count == s->room) {
        s->room = s->room > 0 ? 2 * s->room : 64;
        s->files = mem_resize(s->files, s->room, sizeof *s->files);
    }
    f = &s->files[s->count++];
    *f = (struct file){ .path = mem_alloc(len), .reject = reject };
    snprintf(f->path, len, "%s%s%s", dir != NULL ? dir : "", dir != NULL ? "/" : "", name);
    return f;
}

/* What stat says of it. Symbolic links are followed: spools are made of them. */
static void look(struct source *s, struct file *f)
{
    struct stat st;

    if (stat(f->path, &st) != 0) {
        f->reject = errno == ENOENT ? "there is no such file" : errno == EACCES ? "permission denied" : "cannot be looked at";
        return;
    }
    f->mtime = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    if (S_ISDIR(st.st_mode))
        f->reject = "is a directory";
    else if (!S_ISREG(st.st_mode))
        f->reject = "is not a regular file";
    else if (st.st_size == 0)
        f->reject = "is empty";
    else
        f->octets = st.st_size;
    if (f->reject == NULL)
        s->octets += f->octets;
}

/* Maildir: "time.unique.host:2,flags". Names of another form stand where their mtime is. */
static uint64_t name_time(const char *name, int64_t mtime)
{
    struct span digits = { name, strspn(name, "0123456789") };
    uint64_t n;

    if (name[digits.len] == '.' && num_parse(digits, INT64_MAX, &n) == 1)
        return n;
    return mtime > 0 ? (uint64_t)mtime / 1000000 : 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(base_name(((const struct file *)a)->path), base_name(((const struct file *)b)->path));
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = ((const struct file *)a)->order, y = ((const struct file *)b)->order;

    return x < y ? -1 : x > y ? 1 : by_name(a, b);
}

/* All that does not begin with a dot. */
static void list_dir(struct source *s, const char *dir, bool maildir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    if (d == NULL) {
        add(s, NULL, dir, errno == EACCES ? "permission denied" : "cannot be opened");
        return;
    }
    while ((e = readdir(d)) != NULL) {
        struct file *f;

        if (e->d_name[0] == '.')
            continue;
        f = add(s, dir, e->d_name, NULL);
        look(s, f);
        f->in_maildir = maildir;
        f->order = name_time(e->d_name, f->mtime);
    }
    closedir(d);
}

static bool has_dir(const char *path, const char *name)
{
    struct stat st;
    char *inner = NULL;
    bool is;

    if (asprintf(&inner, "%s/%s", path, name) < 0)
        return false;
    is = stat(inner, &st) == 0 && S_ISDIR(st.st_mode);
    free(inner);
    return is;
}

static void add_dir(struct source *s, const char *path, enum source_format format)
{
    static const char *const parts[] = { "new", "cur" };
    size_t first = s->count;
    bool maildir = format == SOURCE_MAILDIR || (format == SOURCE_AUTO && has_dir(path, "cur") && has_dir(path, "new"));

    if (format == SOURCE_MBOX) {
        add(s, NULL, path, "is a directory, not an mbox file");
        return;
    }
    if (!maildir) {
        list_dir(s, path, false);
    } else {
        for (size_t i = 0; i < 2; i++) {
            char *inner = NULL;

            if (asprintf(&inner, "%s/%s", path, parts[i]) < 0)
                abort();
            list_dir(s, inner, true);
            free(inner);
        }
    }
    if (s->count > first)
        qsort(s->files + first, s->count - first, sizeof *s->files, maildir ? by_time : by_name);
}

static int open_file(const char *path)
{
    /* O_NONBLOCK: should it have become a FIFO since we looked. */
    return open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

static ssize_t read_head(int fd, off_t at, char *head, size_t size)
{
    ssize_t got;

    do
        got = pread(fd, head, size, at);
    while (got < 0 && errno == EINTR);
    return got;
}

static bool looks_like_mbox(const char *path)
{
    char head[512];
    int fd = open_file(path);
    ssize_t got = fd >= 0 ? read_head(fd, 0, head, sizeof head) : -1;
    int64_t time;
    const char *lf;

    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return false;
    lf = memchr(head, '\n', (size_t)got);
    return mbox_separator((struct span){ head, lf != NULL ? (size_t)(lf - head) : (size_t)got }, &time) == 1;
}

static void add_path(struct source *s, const char *path, enum source_format format)
{
    struct file *f;
    struct stat st;
    size_t len = strlen(path);
    char *plain;

    while (len > 1 && path[len - 1] == '/')
        len--;
    plain = mem_strn(path, len);
    if (stat(plain, &st) == 0 && S_ISDIR(st.st_mode)) {
        add_dir(s, plain, format);
    } else {
        f = add(s, NULL, plain, NULL);
        look(s, f);
        if (f->reject == NULL && format == SOURCE_MAILDIR)
            f->reject = "is a file, not a Maildir";
        if (f->reject == NULL && format != SOURCE_EML)
            f->is_mbox = looks_like_mbox(plain);
        if (f->reject == NULL && format == SOURCE_MBOX && !f->is_mbox)
            f->reject = "does not begin with a From_ line: not an mbox";
    }
    mem_free(plain);
}

struct source *source_new(char *const *paths, int count, enum source_format format, enum mbox_quoting quoting, bool any)
{
    struct source *s = mem_zalloc(sizeof *s);

    s->fd = -1;
    s->any = any;
    s->quoting = quoting;
    for (int i = 0; i < count; i++)
        add_path(s, paths[i], format);
    return s;
}

static void close_file(struct source *s)
{
    if (s->scan != NULL)
        mbox_scan_free(&s->scan);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

void source_free(struct source **source)
{
    struct source *s = *source;

    close_file(s);
    for (size_t i = 0; i < s->count; i++)
        mem_free(s->files[i].path);
    mem_free(s->files);
    buf_free(&s->name);
    mem_free(s);
    *source = NULL;
}

int64_t source_octets(const struct source *source) { return source->octets; }

/* ------------------------------------------------------------------- items */

/*
 * Lenient, as real mail is: a header field (RFC 5322 section 2.2), blanks in
 * front of the colon allowed (section 4.5); a From_ line that some program left
 * there, quoted or not; an empty line, which is a message without a header.
 */
const char *source_not_mail(const char *head, size_t len)
{
    size_t i = 0;

    if (len == 0)
        return "is empty";
    if (head[0] == '\n' || head[0] == '\r')
        return NULL;
    if ((len >= 5 && memcmp(head, "From ", 5) == 0) || (len >= 6 && memcmp(head, ">From ", 6) == 0))
        return NULL;
    while (i < len && head[i] > ' ' && head[i] < 0x7F && head[i] != ':')
        i++;
    if (i > 0) {
        while (i < len && (head[i] == ' ' || head[i] == '\t'))
            i++;
        if (i < len && head[i] == ':')
            return NULL;
    }
    return "is not a mail message: its first line is no header field";
}

static int next_in_mbox(struct source *s, const struct file *f, struct source_item *it)
{
    int got = mbox_next(s->scan, &it->at, &it->end, &it->received);

    if (got == 0)
        return 0;
    s->number++;
    buf_clear(&s->name);
    buf_addf(&s->name, "%s:message %u", f->path, s->number);
    it->name = buf_span(&s->name).at;
    it->fd = s->fd;
    it->quoting = s->quoting;
    if (got < 0) {
        it->reject = "cannot be read any further";
        close_file(s);
        s->next++;
    } else if (it->at == it->end) {
        it->reject = "is empty";
    }
    return 1;
}

/* Opens the file that is next; false if it is rejected. */
static bool open_next(struct source *s, const struct file *f, struct source_item *it)
{
    char head[1024];
    ssize_t got;
    struct stat st;

    it->name = f->path;
    it->reject = f->reject;
    it->received = f->mtime;
    it->quoting = MBOX_PLAIN;
    if (it->reject != NULL)
        return false;
    s->fd = it->fd = open_file(f->path);
    if (s->fd < 0 || fstat(s->fd, &st) != 0) {
        it->reject = errno == EACCES ? "permission denied" : errno == ENOENT ? "has gone" : "cannot be opened";
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        it->reject = "is not a regular file";
        return false;
    }
    it->at = 0;
    it->end = st.st_size;
    got = read_head(s->fd, 0, head, sizeof head);
    if (got < 0)
        it->reject = "cannot be read";
    else if (got == 0)
        it->reject = "is empty";
    else if (!s->any && !f->is_mbox)
        it->reject = source_not_mail(head, (size_t)got);
    return it->reject == NULL;
}

int source_next(struct source *s, struct source_item *it)
{
    *it = (struct source_item){ .fd = -1 };
    for (;;) {
        const struct file *f;

        if (s->scan != NULL) {
            if (next_in_mbox(s, &s->files[s->next], it) == 1)
                return 1;
            s->next++;
        }
        close_file(s);
        if (s->next == s->count)
            return 0;
        f = &s->files[s->next];
        if (!open_next(s, f, it) || !f->is_mbox) {
            s->next++;
            return 1;
        }
        s->scan = mbox_scan_new(s->fd);
        s->number = 0;
    }
}

/* ----------------------------------------------------------------- reading */

struct reading {
    struct eol eol;
    char *room;         /* EOL_ROOM(CHUNK) */
    source_out *out;
    void *arg;
};

static void convert(void *arg, const char *at, size_t len)
{
    struct reading *r = arg;
    size_t n = eol_feed(&r->eol, at, len, r->room);

    if (n > 0)
        r->out(r->arg, r->room, n);
}

bool source_read(const struct source_item *it, source_out *out, void *arg)
{
    struct reading r = { EOL_START, mem_alloc(EOL_ROOM(CHUNK)), out, arg };
    struct mbox_filter filter = { .quoting = it->quoting };
    char *chunk = mem_alloc(CHUNK);
    off_t at = it->at;
    bool ok = true;

    while (ok && at < it->end) {
        size_t want = it->end - at < CHUNK ? (size_t)(it->end - at) : CHUNK;
        ssize_t got = pread(it->fd, chunk, want, at);

        if (got > 0) {
            mbox_filter_feed(&filter, chunk, (size_t)got, convert, &r);
            at += got;
        } else if (got == 0 || errno != EINTR) {
            errno = got == 0 ? ENODATA : errno;
            ok = false;
        }
    }
    if (ok) {
        size_t n;

        mbox_filter_end(&filter, convert, &r);
        n = eol_end(&r.eol, r.room);
        if (n > 0)
            out(arg, r.room, n);
    }
    mem_free(chunk);
    mem_free(r.room);
    return ok;
}
