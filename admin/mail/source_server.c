/*
 * source_server.c - the mail server that had a directory, and where its list is.
 *
 * Must never go on without a list that is there and cannot be used, nor guess whose list
 * clients know: they would fetch all of their mail again.
 */
#include "admin/mail/source_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/mail/cyrus.h"
#include "admin/mail/listfile.h"
#include "admin/mail/uidl_format.h"
#include "admin/shown.h"
#include "daemon/base/mem.h"

static const char names_format[] = "%f";

static struct span base_of(const struct file *f) { return listfile_base(span_str(source_base_name(f->path))); }

static const char *format_of_names_fault(const char *format)
{
    const char *why = uidl_format_fault(format);

    return why != NULL ? why : uidl_format_of_names(format) ? NULL : "has more than names, for which there is no list";
}

/* The path is the source's from then on. */
static const char *note_list(struct source *s, char *path)
{
    s->lists = mem_resize(s->lists, s->list_count + 1, sizeof *s->lists);
    s->lists[s->list_count++] = path;
    return path;
}

/* Files have their names as UIDLs. */
static void give_names(struct source *s, const struct source_place *place)
{
    const char *format = s->how.uidl_format != NULL ? s->how.uidl_format : names_format, *list;

    if (place->inner != NULL || place->first == s->count)
        return;
    list = note_list(s, mem_str(place->path));
    for (struct file *f = s->files + place->first; f < s->files + s->count; f++) {
        struct span name = base_of(f);
        struct uidl_values values = { .name = name, .guid = name };
        struct buf uidl = BUF_EMPTY;

        if (!f->alone)          /* `cur` itself, which could not be read */
            continue;
        uidl_format_make(format, &values, &uidl);
        (void)source_give(place, f, &uidl, list, 0);
    }
}

/* qmail-pop3d, which vpopmail has too, goes by the time of the file. */
static void read_qmail(struct source *s, const struct source_place *place)
{
    for (struct file *f = s->files + place->first; f < s->files + s->count; f++)
        f->rank = f->mtime > 0 ? (uint64_t)f->mtime / 1000000 : 0;
    give_names(s, place);
}

static const struct source_server servers[] = {
    { "dovecot", "dovecot-uidlist", NULL, true, NULL, uidl_format_fault, source_dovecot },
    { "courier", "courierpop3dsizelist", NULL, true, NULL, NULL, source_courier },
    { "cyrus", "cyrus.index", "cyrus.header", false, source_cyrus_own, cyrus_format_fault, source_cyrus },
    { "qmail", NULL, NULL, true, NULL, format_of_names_fault, read_qmail },
};
enum { SERVERS = sizeof servers / sizeof servers[0] };
/* None is known, and the operator says that UIDLs are names. */
static const struct source_server names_alone = { "names", NULL, NULL, true, NULL, format_of_names_fault, give_names };

static const struct source_server *server_named(const char *name)
{
    for (size_t i = 0; i < SERVERS; i++)
        if (strcmp(servers[i].name, name) == 0)
            return &servers[i];
    return NULL;
}

static bool is_none(const char *name) { return name != NULL && strcmp(name, "none") == 0; }

static const char *wanted_name(const struct source_how *how)
{
    return how->server == NULL && how->doveconf != NULL ? "dovecot" : how->server;
}

const char *source_how_fault(const struct source_how *how, const char **option_r)
{
    const char *name = wanted_name(how), *why = NULL, *first = NULL;
    const struct source_server *server = name != NULL ? server_named(name) : NULL;

    *option_r = "--server";
    if (name != NULL && server == NULL && mbox_server_find(name) == NULL && !is_none(name))
        return "is not dovecot, courier, cyrus, qmail, uw, popa3d, qpopper, mailutils or none";
    *option_r = "--doveconf";
    if (how->doveconf != NULL && (server == NULL || strcmp(server->name, "dovecot") != 0))
        return "is for --server dovecot";
    *option_r = "--uidl-format";
    if (how->uidl_format == NULL)
        return NULL;
    if (name != NULL && (server == NULL || server->format_fault == NULL))
        return "is not possible with this --server";
    /* Dovecot's of an mbox: which of them it is shows later. */
    if ((name == NULL || mbox_server_find(name) != NULL) && mbox_server_format_fault(how->uidl_format) == NULL)
        return NULL;
    if (server != NULL)
        return server->format_fault(how->uidl_format);
    for (size_t i = 0; i < SERVERS; i++)
        if (servers[i].format_fault != NULL) {
            if ((why = servers[i].format_fault(how->uidl_format)) == NULL)
                return NULL;
            first = first != NULL ? first : why;
        }
    return first;
}

void source_failed(struct source *s, const char *path, const char *why)
{
    if (buf_left(&s->fault) == 0)
        buf_addf(&s->fault, "%s %s", shown_name(path), why);
}

/* ----------------------------------------------------------- where lists are */

static char *joined(const char *dir, const char *name)
{
    struct buf path = BUF_EMPTY;
    char *all;

    buf_addf(&path, "%s/%s", dir, name);
    all = mem_strn(buf_span(&path).at, buf_left(&path));
    buf_free(&path);
    return all;
}

/* The folder that has a file of this name: true. A directory of CONTROL= or INDEX= has one for the inbox. */
static bool locate(struct source *s, const struct source_place *place, const char *name, struct folder *folder_r)
{
    static const char *const inboxes[] = { NULL, ".INBOX", "INBOX" };
    const char *dir = s->how.control != NULL ? s->how.control : place->path, *why;
    const size_t tries = s->how.control != NULL && place->inner == NULL ? 3 : 1;
    struct folder outer = folder_of(dir, NULL);
    bool found = false;

    if ((why = folder_open(&outer)) != NULL)
        source_failed(s, dir, why);
    for (size_t i = 0; why == NULL && !found && i < tries; i++) {
        const char *inner = place->inner != NULL ? place->inner : inboxes[i];
        char *path = inner != NULL ? joined(inner, name) : mem_str(name);

        found = faccessat(outer.fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        if (found)
            *folder_r = folder_of(dir, inner);
        mem_free(path);
    }
    folder_free(&outer);
    return found;
}

/* It must be of the owner of the folder, as all that is read there. */
static int open_in(struct source *s, struct folder *folder, const char *name, const char *path, const char **why_r)
{
    struct stat st = { .st_size = 0 };
    int fd = -1;

    *why_r = NULL;
    if (s->how.follow_links) {
        fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            *why_r = strerror(errno);
        else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
            *why_r = "is not a regular file";
    } else if ((*why_r = folder_open(folder)) == NULL) {
        fd = folder_file(folder, name, &st, why_r);
    }
    if (*why_r != NULL && fd >= 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int source_open_list(struct source *s, const struct source_place *place, const char *name, const char **path_r)
{
    struct folder folder;
    const char *why;
    char *dir, *path;
    int fd;

    if (!locate(s, place, name, &folder))
        return -1;
    dir = folder.inner != NULL ? joined(folder.path, folder.inner) : mem_str(folder.path);
    path = joined(dir, name);
    mem_free(dir);
    fd = open_in(s, &folder, name, path, &why);
    folder_free(&folder);
    if (why != NULL) {
        source_failed(s, path, why);
        mem_free(path);
        return -1;
    }
    *path_r = note_list(s, path);
    return fd;
}

/* ------------------------------------------------------------- whose it was */

static bool has_list(struct source *s, const struct source_place *place, const struct source_server *server)
{
    struct folder folder;

    if (server->list == NULL || server->maildir != place->maildir)
        return false;
    if (!locate(s, place, server->list, &folder) &&
        (server->trace == NULL || !locate(s, place, server->trace, &folder)))
        return false;
    folder_free(&folder);
    return true;
}

/* By the lists that are there. */
static const struct source_server *find(struct source *s, const struct source_place *place)
{
    const struct source_server *found = NULL;

    for (size_t i = 0; i < SERVERS; i++) {
        if (!has_list(s, place, &servers[i]))
            continue;
        if (found != NULL) {
            struct buf why = BUF_EMPTY;

            buf_addf(&why, "has %s and %s: say by --server which of them clients know the mail from",
                     found->list, servers[i].list);
            source_failed(s, place->path, buf_span(&why).at);
            buf_free(&why);
            return NULL;
        }
        found = &servers[i];
    }
    return found;
}

const struct source_server *source_server(struct source *s, const struct source_place *place)
{
    const char *name = wanted_name(&s->how), *format = s->how.uidl_format, *why;
    const struct source_server *server = name != NULL ? server_named(name) : find(s, place);

    if (is_none(name) || buf_left(&s->fault) > 0)
        return NULL;
    if (name != NULL && server == NULL && place->maildir) {
        source_failed(s, place->path, "is a Maildir: the server of --server has mboxes");
        return NULL;
    }
    if (server != NULL && server->maildir != place->maildir) {
        source_failed(s, place->path, place->maildir ? "is a Maildir: it was of another server than --server says"
                                                     : "is not a Maildir: it was of another server than --server says");
        return NULL;
    }
    if (server == NULL && format != NULL && place->maildir && place->inner == NULL) {
        if (format_of_names_fault(format) == NULL)
            return &names_alone;
        source_doubt_in(s, place->path, 0, "has no list of a server: the format of UIDLs does not help");
    }
    if (server != NULL && format != NULL) {
        why = server->format_fault != NULL ? server->format_fault(format) : "is not one that this server had";
        if (why != NULL) {
            struct buf text = BUF_EMPTY;

            buf_addf(&text, "was of %s: the format of UIDLs \"%s\" %s", server->name, format, why);
            source_failed(s, place->path, buf_span(&text).at);
            buf_free(&text);
            return NULL;
        }
    }
    return server;
}

/* ------------------------------------------------------- what lists speak of */

static int by_span(struct span a, struct span b)
{
    const int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_base(const void *a, const void *b)
{
    const struct file *x = *(struct file *const *)a, *y = *(struct file *const *)b;
    const int order = by_span(base_of(x), base_of(y));

    return order != 0 ? order : (x > y) - (x < y);
}

struct source_names source_names_of(struct source *s, const struct source_place *place)
{
    struct source_names n = { mem_array(s->count - place->first + 1, sizeof *n.sorted), 0 };

    for (size_t i = place->first; i < s->count; i++)
        if (s->files[i].alone)
            n.sorted[n.count++] = &s->files[i];
    qsort(n.sorted, n.count, sizeof *n.sorted, by_base);
    return n;
}

void source_names_free(struct source_names *names) { mem_free(names->sorted); }

struct file *source_named(const struct source_names *names, struct span base)
{
    size_t low = 0, high = names->count;
    struct span name;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (by_span(base_of(names->sorted[middle]), base) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == names->count)
        return NULL;
    name = base_of(names->sorted[low]);
    return span_is(name, base) ? names->sorted[low] : NULL;
}

bool source_give(const struct source_place *place, struct file *f, struct buf *uidl, const char *list, size_t line)
{
    const bool first = f->uidl == NULL;

    if (first && place->inner == NULL) {
        f->uidl = mem_strn(buf_span(uidl).at, buf_left(uidl));
        f->uidl_file = list;
        f->uidl_line = line;
    }
    buf_free(uidl);
    return first;
}

void source_doubt_in(struct source *s, const char *path, size_t line, const char *what)
{
    s->how.doubt(s->how.arg, path, line, what);
}
