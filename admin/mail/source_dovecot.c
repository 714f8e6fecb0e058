/*
 * source_dovecot.c - the order and the UIDLs of a Maildir that Dovecot had.
 *
 * Must never go on without its list where that is there and cannot be used: clients
 * would fetch all of their mail again.
 */
#include "admin/mail/source_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/mail/dovecot.h"
#include "admin/shown.h"
#include "daemon/base/mem.h"

static const char list_name[] = "dovecot-uidlist";

struct telling {
    struct source *s;
    const char *path;
};

static void tell(void *arg, size_t line, const char *what)
{
    const struct telling *t = arg;

    t->s->how.doubt(t->s->how.arg, t->path, line, what);
}

/* -1 and no reason: there is no list. It must be of the owner of the folder, as all that is read there. */
static int open_list(struct source *s, const char *maildir, const char *path, const char **why_r)
{
    struct folder folder = folder_of(maildir, NULL);
    struct stat st = { .st_size = 0 };
    int fd = -1;

    *why_r = NULL;
    if (s->how.follow_links) {
        fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            *why_r = strerror(errno);
        else if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
            *why_r = "is not a regular file";
    } else if ((*why_r = folder_open(&folder)) == NULL &&
               faccessat(folder.fd, list_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        fd = folder_file(&folder, list_name, &st, why_r);
    }
    folder_free(&folder);
    return fd;
}

static void take(struct source *s, const struct dovecot_list *list, struct file *f, const char *path)
{
    const struct dovecot_entry *e = dovecot_find(list, source_base_name(f->path));
    struct buf uidl = BUF_EMPTY;

    if (e == NULL)
        return;
    dovecot_uidl(list, e, s->how.uidl_format != NULL ? s->how.uidl_format : dovecot_format, &uidl);
    f->uidl = mem_strn(buf_span(&uidl).at, buf_left(&uidl));
    f->uidl_file = path;
    f->uidl_line = e->line;
    f->rank = (uint64_t)e->order << 32 | e->uid;
    buf_free(&uidl);
}

void source_dovecot(struct source *s, const char *maildir, size_t first)
{
    struct buf name = BUF_EMPTY;
    struct dovecot_list *list = NULL;
    const char *why;
    char *path;
    int fd;

    if (s->how.uidl_format != NULL && strcmp(s->how.uidl_format, "none") == 0)
        return;
    buf_addf(&name, "%s/%s", maildir, list_name);
    path = mem_strn(buf_span(&name).at, buf_left(&name));
    buf_free(&name);
    fd = open_list(s, maildir, path, &why);
    if (fd >= 0 && why == NULL)
        list = dovecot_read(fd, tell, &(struct telling){ s, path }, &why);
    if (fd >= 0)
        close(fd);
    if (why != NULL && buf_left(&s->fault) == 0)
        buf_addf(&s->fault, "%s %s", shown_name(path), why);
    if (list == NULL) {
        mem_free(path);
        return;
    }
    s->lists = mem_resize(s->lists, s->list_count + 1, sizeof *s->lists);
    s->lists[s->list_count++] = path;
    for (size_t i = first; i < s->count; i++)
        if (s->files[i].in_maildir)
            take(s, list, &s->files[i], path);
    dovecot_free(&list);
}
