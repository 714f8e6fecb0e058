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
    *f = (struct file){ .path = mem_alloc(len), .reject = reject, .rank = UINT64_MAX, .kind = STATE_LIVING };
    snprintf(f->path, len, "%s%s%s", dir != NULL ? dir : "", dir != NULL ? "/" : "", name);
    return f;
}

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
        f->reject = "is a directory", f->is_dir = true;
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
    f->is_dir = S_ISDIR(st.st_mode);
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

/* A directory that is listed, and how. */
struct listing {
    const char *path;           /* as it is shown */
    const struct source_place *place;
    const struct source_server *server;
    size_t folder;              /* as in struct file */
};

static void add_found(struct source *s, const struct listing *l, const char *name)
{
    const bool own = l->server != NULL && l->server->is_own != NULL;
    struct file *f;

    if (name[0] == '.' || (own && l->server->is_own(name)))
        return;
    f = add(s, l->path, name, NULL);
    f->in_folder = true;
    f->folder = l->folder;
    if (l->folder == 0)
        look(s, f);
    else
        look_in(s, f, &s->folders[l->folder - 1], name);
    if (own && f->is_dir) {
        source_note_folder(s, f->path);
        s->count--;
        return;
    }
    f->alone = l->place->maildir || own;
    f->kind = state_kind(l->place->maildir ? state_of_maildir_name(name) : state_of_mh_name(name));
    f->order = name_time(name, f->mtime);
}

/* All that does not begin with a dot. d, which may be NULL with errno, is closed. */
static void list_all(struct source *s, const struct listing *l, DIR *d)
{
    struct dirent *e;

    if (d == NULL) {
        add(s, NULL, l->path, errno == EACCES ? "permission denied" : "cannot be opened");
        return;
    }
    while ((e = readdir(d)) != NULL)
        add_found(s, l, e->d_name);
    closedir(d);
}

/*
 * Does any component of the path behind the first `named` octets lead elsewhere? Links of `trusted` are followed, too;
 * those of root always are.
 */
static bool path_leads_astray(const char *dir, size_t named, uid_t trusted)
{
    char *path = mem_str(dir);
    bool astray = false;
    struct stat st, link;

    for (size_t end = named; path[end] != '\0' && !astray;) {
        end += 1 + strcspn(path + end + 1, "/");
        const char was = path[end];

        path[end] = '\0';
        astray = lstat(path, &link) == 0 && stat(path, &st) == 0 && link.st_uid != trusted &&
                 source_leads_astray(&link, &st);
        path[end] = was;
    }
    mem_free(path);
    return astray;
}

static void list_following(struct source *s, const struct listing *l)
{
    if (path_leads_astray(l->path, strlen(l->place->path), 0))
        add(s, NULL, l->path, source_not_theirs);
    else
        list_all(s, l, opendir(l->path));
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

static char *joined(const char *dir, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        abort();
    return path;
}

/* part: "new" or "cur", in the place; or NULL: the place itself. */
static void list_dir(struct source *s, const struct source_place *place, const struct source_server *server,
                     const char *part)
{
    char *inner = place->inner == NULL ? (part != NULL ? strdup(part) : NULL)
        : part != NULL ? joined(place->inner, part) : strdup(place->inner);
    char *dir = inner != NULL ? joined(place->path, inner) : strdup(place->path);
    struct listing l = { .path = dir, .place = place, .server = server };

    if (dir == NULL)
        abort();
    if (s->how.follow_links) {
        list_following(s, &l);
    } else {
        const char *why;

        l.folder = add_folder(s, place->path, inner);
        why = folder_open(&s->folders[l.folder - 1]);
        if (why != NULL) {
            add(s, NULL, dir, why);
        } else {
            int fd = openat(s->folders[l.folder - 1].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            list_all(s, &l, fd >= 0 ? fdopendir(fd) : NULL);
        }
        folder_close(&s->folders[l.folder - 1]);
    }
    free(dir);
    free(inner);
}

static bool has_dir(const char *path, const char *name)
{
    struct stat st;
    char *inner = joined(path, name);
    bool is = stat(inner, &st) == 0 && S_ISDIR(st.st_mode);

    free(inner);
    return is;
}

static void list_place(struct source *s, struct source_place *place)
{
    const struct source_server *server = source_server(s, place);
    const size_t noted = s->inner_count;

    place->first = s->count;
    if (place->maildir) {
        list_dir(s, place, server, "new");
        list_dir(s, place, server, "cur");
    } else {
        list_dir(s, place, server, NULL);
        source_sort_folders(s, noted);
    }
    if (server != NULL)
        server->read(s, place);
    if (s->count > place->first)
        qsort(s->files + place->first, s->count - place->first, sizeof *s->files,
              place->maildir || server != NULL ? by_rank : by_name);
}

static void add_dir(struct source *s, const char *path)
{
    const enum source_format format = s->how.format;
    const size_t noted = s->inner_count, named = strlen(path) + 1;
    struct source_place place = { .path = path };

    if (source_dbox_named(s, path))
        return;
    place.maildir = format == SOURCE_MAILDIR || (format == SOURCE_AUTO && has_dir(path, "cur") && has_dir(path, "new"));
    list_place(s, &place);
    if (place.maildir)
        source_find_folders(s, path);
    if (!s->how.folders)
        return;
    for (size_t i = noted; i < s->inner_count; i++) {
        char *inner = mem_str(s->inner[i] + named);     /* the array grows with what is in it */
        struct source_place folder = { .path = path, .inner = inner, .maildir = place.maildir };

        list_place(s, &folder);
        mem_free(inner);
    }
    source_forget_folders(s, noted);
}

/* The spool of somebody who has no mail is an mbox without a message. */
static bool is_empty_mbox(const struct source *s, const char *path, const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_size == 0 &&
           (s->how.format == SOURCE_MBOX || (s->how.format == SOURCE_AUTO && !source_names_one(path)));
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
    /* Named, but perhaps in a list of homes, whose owners may put there what they like. */
    if (path_leads_astray(plain, 0, geteuid())) {
        add(s, NULL, plain, source_not_theirs);
    } else if (stat(plain, &st) == 0 && S_ISDIR(st.st_mode)) {
        add_dir(s, plain);
    } else if (stat(plain, &st) == 0 && is_empty_mbox(s, plain, &st)) {
        s->seen.files++;
        s->seen.mboxes++;
    } else {
        f = add(s, NULL, plain, NULL);
        f->kind = state_kind(state_of_mh_name(source_base_name(plain)));
        look(s, f);
        if (f->reject == NULL && s->how.format == SOURCE_MAILDIR)
            f->reject = "is a file, not a Maildir";
        if (f->reject == NULL && s->how.format != SOURCE_EML)
            source_mbox_named(s, plain);
    }
    mem_free(plain);
}
