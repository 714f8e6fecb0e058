/*
 * source_list.c - the files that an import is given, found and put in order.
 *
 * Must never follow a link in somebody's folder where it was not asked to.
 */
#include "admin/mail/source_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/mail/natural.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"

static struct file *add(struct source *s, const char *dir, const char *name, const char *reject)
{
    struct file *f;
    size_t len = (dir != NULL ? strlen(dir) + 1 : 0) + strlen(name) + 1;

    if (s->count == s->room) {
        s->room = s->room > 0 ? 2 * s->room : 64;
        s->files = mem_resize(s->files, s->room, sizeof *s->files);
    }
    f = &s->files[s->count++];
    *f = (struct file){ .path = mem_alloc(len), .reject = reject, .rank = UINT64_MAX };
    snprintf(f->path, len, "%s%s%s", dir != NULL ? dir : "", dir != NULL ? "/" : "", name);
    return f;
}

/*
 * With --follow-links, and for files that the operator has named, symbolic links are
 * followed, as spools are made of them; but in a folder only those of root, or of the
 * owner of the target. An operator who imports somebody's folder may read more than
 * that person, who would find the files of others among their mail. Without the option
 * see folder.h.
 */
bool source_leads_astray(const struct stat *link, const struct stat *target)
{
    return S_ISLNK(link->st_mode) && link->st_uid != 0 && link->st_uid != target->st_uid;
}

const char source_not_theirs[] = "is a symbolic link to a file of another owner";

static void look(struct source *s, struct file *f)
{
    struct stat st, link;

    if (stat(f->path, &st) != 0 || lstat(f->path, &link) != 0) {
        f->reject = errno == ENOENT   ? "no such file"
                    : errno == EACCES ? "permission denied"
                                      : "cannot be examined";
        return;
    }
    f->mtime = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    if (f->in_folder && source_leads_astray(&link, &st))
        f->reject = source_not_theirs;
    else if (S_ISDIR(st.st_mode))
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

/* The same from a folder, which is open. */
static void look_in(struct source *s, struct file *f, const struct folder *folder, const char *name)
{
    struct stat st = { .st_size = 0 };

    f->reject = folder_look(folder, name, &st);
    f->mtime = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    if (f->reject == NULL && st.st_size == 0)
        f->reject = "is empty";
    if (f->reject != NULL)
        return;
    f->octets = st.st_size;
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

static int by_name(const void *a, const void *b)
{
    const struct file *x = a, *y = b;

    return natural_cmp(source_base_name(x->path), source_base_name(y->path));
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = ((const struct file *)a)->order, y = ((const struct file *)b)->order;

    return x < y ? -1 : x > y ? 1 : by_name(a, b);
}

static int by_rank(const void *a, const void *b)
{
    uint64_t x = ((const struct file *)a)->rank, y = ((const struct file *)b)->rank;

    return x < y ? -1 : x > y ? 1 : by_time(a, b);
}

/* A file in a directory; `folder` as in struct file. */
static void add_found(struct source *s, const char *dir, const char *name, size_t folder, bool maildir)
{
    struct file *f;

    if (name[0] == '.')
        return;
    f = add(s, dir, name, NULL);
    f->in_folder = true;
    f->folder = folder;
    if (folder == 0)
        look(s, f);
    else
        look_in(s, f, &s->folders[folder - 1], name);
    f->in_maildir = maildir;
    f->order = name_time(name, f->mtime);
}

/* All that does not begin with a dot. d, which may be NULL with errno, is closed. */
static void list_all(struct source *s, const char *dir, DIR *d, size_t folder, bool maildir)
{
    struct dirent *e;

    if (d == NULL) {
        add(s, NULL, dir, errno == EACCES ? "permission denied" : "cannot be opened");
        return;
    }
    while ((e = readdir(d)) != NULL)
        add_found(s, dir, e->d_name, folder, maildir);
    closedir(d);
}

static void list_following(struct source *s, const char *dir, bool maildir)
{
    struct stat st, link;

    /* `new` and `cur`; the folder itself the operator has named. */
    if (maildir && lstat(dir, &link) == 0 && stat(dir, &st) == 0 && source_leads_astray(&link, &st))
        add(s, NULL, dir, source_not_theirs);
    else
        list_all(s, dir, opendir(dir), 0, maildir);
}

static size_t add_folder(struct source *s, const char *path, const char *inner)
{
    if (s->folder_count == s->folder_room) {
        s->folder_room = s->folder_room > 0 ? 2 * s->folder_room : 4;
        s->folders = mem_resize(s->folders, s->folder_room, sizeof *s->folders);
    }
    s->folders[s->folder_count++] = folder_of(path, inner);
    return s->folder_count;
}

/* inner: "new" or "cur" of a Maildir, whose path this is; or NULL. */
static void list_dir(struct source *s, const char *path, const char *inner)
{
    const bool maildir = inner != NULL;
    char *dir = NULL;

    if (asprintf(&dir, "%s%s%s", path, maildir ? "/" : "", maildir ? inner : "") < 0)
        abort();
    if (s->how.follow_links) {
        list_following(s, dir, maildir);
    } else {
        size_t n = add_folder(s, path, inner);
        const char *why = folder_open(&s->folders[n - 1]);

        if (why != NULL) {
            add(s, NULL, dir, why);
        } else {
            int fd = openat(s->folders[n - 1].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            list_all(s, dir, fd >= 0 ? fdopendir(fd) : NULL, n, maildir);
        }
        folder_close(&s->folders[n - 1]);
    }
    free(dir);
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

static char *joined(const char *dir, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        abort();
    return path;
}

/* Maildir++: ".Sent". POP3 never showed them; somebody may miss them, though. */
static void list_inner(struct source *s, const char *maildir)
{
    DIR *d = opendir(maildir);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        char *path = joined(maildir, e->d_name);

        if (e->d_name[0] != '.' || strspn(e->d_name, ".") == strlen(e->d_name) || !has_dir(path, "cur")) {
            free(path);
            continue;
        }
        s->inner = mem_resize(s->inner, s->inner_count + 1, sizeof *s->inner);
        s->inner[s->inner_count++] = path;
    }
    if (d != NULL)
        closedir(d);
}

static void add_dir(struct source *s, const char *path)
{
    static const char *const parts[] = { "new", "cur" };
    enum source_format format = s->how.format;
    size_t first = s->count;
    bool maildir = format == SOURCE_MAILDIR || (format == SOURCE_AUTO && has_dir(path, "cur") && has_dir(path, "new"));

    if (!maildir)
        list_dir(s, path, NULL);
    for (size_t i = 0; maildir && i < 2; i++)
        list_dir(s, path, parts[i]);
    if (maildir) {
        source_dovecot(s, path, first);
        list_inner(s, path);
    }
    if (s->count > first)
        qsort(s->files + first, s->count - first, sizeof *s->files, maildir ? by_rank : by_name);
}

void source_list(struct source *s, const char *path)
{
    struct file *f;
    struct stat st;
    size_t len = strlen(path);
    char *plain;

    while (len > 1 && path[len - 1] == '/')
        len--;
    plain = mem_strn(path, len);
    if (stat(plain, &st) == 0 && S_ISDIR(st.st_mode)) {
        add_dir(s, plain);
    } else {
        f = add(s, NULL, plain, NULL);
        look(s, f);
        if (f->reject == NULL && s->how.format == SOURCE_MAILDIR)
            f->reject = "is a file, not a Maildir";
    }
    mem_free(plain);
}
