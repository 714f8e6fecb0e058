/*
 * export_tree.c - `export` of many mailboxes: those of a domain, a tenant or the store, each in a
 * folder of its own.
 *
 * One that cannot be exported leaves the others alone. Must never write outside of the directory,
 * whatever the database says.
 */
#include "admin/verbs/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/db.h"
#include "admin/mail/outdir.h"
#include "admin/shown.h"
#include "daemon/base/mem.h"

struct tree {
    struct ctl *c;
    struct mailout_to to;       /* what is the same for all */
    const char *path;
    int top;                    /* its descriptor, */
    int domain;                 /* and that of a domain in it, or -1, */
    char name[CTL_DOMAIN_SIZE]; /* which is this one */
    uint64_t mailboxes, failed;
    uint64_t left;              /* directories without a mailbox */
    struct mailout_done done;
};

static bool open_domain(struct tree *t, const char *name)
{
    const char *why;

    if (t->domain >= 0 && strcmp(t->name, name) == 0)
        return true;
    if (t->domain >= 0)
        close(t->domain);
    t->domain = outdir_again(t->top, name, &why);
    if (t->domain < 0)
        ctl_error(CTL_FAILED, "could not write to %s/%s: %s", shown_name(t->path), name, why);
    else
        snprintf(t->name, sizeof t->name, "%s", name);
    return t->domain >= 0;
}

/* A list of UIDLs beside what cannot keep them. */
static bool open_list(struct tree *t, const char *local, struct mailout_to *to, char **path_r)
{
    char *name = NULL;
    int fd;

    *path_r = NULL;
    if (to->format == MAILOUT_MAILDIR)
        return true;
    if (asprintf(&name, "%s.uidls", local) < 0 || asprintf(path_r, "%s/%s/%s", t->path, t->name, name) < 0)
        abort();
    fd = openat(t->domain, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    to->uidls = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (to->uidls == NULL)
        ctl_error(CTL_FAILED, "could not create %s: %s", shown_name(*path_r), strerror(errno));
    free(name);
    return to->uidls != NULL;
}

/* LOCAL, LOCAL.mbox or LOCAL.eml in the folder of the domain. */
static enum ctl_exit export_local(struct tree *t, const char *address, const char *local)
{
    static const char *const ends[MAILOUT_FORMATS] = { ".mbox", "", ".eml" };
    struct mailout_to to = t->to;
    struct mailout_done done;
    char *base = NULL, *path = NULL, *list = NULL;
    enum ctl_exit end = CTL_FAILED;

    if (asprintf(&base, "%s%s", local, ends[to.format]) < 0 ||
        asprintf(&path, "%s/%s/%s", t->path, t->name, base) < 0)
        abort();
    to.at = t->domain;
    to.base = base;
    to.path = path;
    if (open_list(t, local, &to, &list))
        end = export_close_list(to.uidls, list, export_one(t->c, address, &to, &done));
    if (end == CTL_DONE) {
        export_say(t->c, address, &to, &done);
        t->mailboxes++;
        t->done.messages += done.messages;
        t->done.octets += done.octets;
        t->done.there += done.there;
        t->done.removed += done.removed;
    }
    free(base);
    free(path);
    free(list);
    return end;
}

/* A name in a directory, which leads nowhere else. */
static bool is_name(const char *s)
{
    return s[0] != '\0' && strchr(s, '/') == NULL && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static void export_address(struct tree *t, const char *address)
{
    const char *at = strrchr(address, '@');
    char *local = at != NULL ? mem_strn(address, (size_t)(at - address)) : mem_str("");
    enum ctl_exit end = CTL_FAILED;

    if (at == NULL || !is_name(local) || !is_name(at + 1))
        ctl_error(CTL_FAILED, "%s: no directory can have the name of this mailbox; export it alone", address);
    else if (open_domain(t, at + 1))
        end = export_local(t, address, local);
    if (end != CTL_DONE) {
        t->failed++;
        ctl_error(end, "%s was not exported", address);
    }
    mem_free(local);
}

static int by_address(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct listed {
    const char **addresses;     /* in rising order */
    size_t count;
};

/* A directory in that of a domain, whose mailbox has another name by now, or was removed. */
static void tell_left(struct tree *t, const struct listed *l, const char *domain, const char *local)
{
    char *address = NULL;

    if (asprintf(&address, "%s@%s", local, domain) < 0)
        abort();
    if (bsearch(&address, l->addresses, l->count, sizeof *l->addresses, by_address) == NULL) {
        t->left++;
        ctl_error(CTL_PARTLY, "%s/%s/%s was left as it is: there is no such mailbox any more", shown_name(t->path),
                  shown_name(domain), shown_name(local));
    }
    free(address);
}

/* Calls itself for each directory in the first one. */
static void look_for_left(struct tree *t, const struct listed *l, int at, const char *name, const char *domain)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (domain != NULL)
            tell_left(t, l, domain, e->d_name);
        else
            look_for_left(t, l, fd, e->d_name, e->d_name);
    }
    if (d != NULL)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

/* Mail that an earlier run has written must not come to life where its owner has none any more. */
static void tell_all_left(struct tree *t, const PGresult *res)
{
    struct listed l = { mem_array((size_t)PQntuples(res) + 1, sizeof(const char *)), (size_t)PQntuples(res) };
    const char *const domain = t->c->opt[OPT_DOMAIN];

    for (size_t i = 0; i < l.count; i++)
        l.addresses[i] = PQgetvalue(res, (int)i, 0);
    qsort(l.addresses, l.count, sizeof *l.addresses, by_address);
    if (domain == NULL)
        look_for_left(t, &l, t->top, ".", NULL);
    else if (t->domain >= 0)
        look_for_left(t, &l, t->domain, ".", t->name);
    mem_free(l.addresses);
}

static enum ctl_exit export_addresses(struct tree *t, const PGresult *res)
{
    for (int i = 0; i < PQntuples(res); i++) {
        export_address(t, PQgetvalue(res, i, 0));
        if (PQstatus(t->c->db) != CONNECTION_OK)
            return ctl_error(CTL_NO_DATABASE, "stopped: %d mailboxes were not exported", PQntuples(res) - i);
    }
    ctl_say(t->c, "exported %llu mailbox%s with %llu messages, %llu octets to %s; %llu failed",
            (unsigned long long)t->mailboxes, t->mailboxes == 1 ? "" : "es",
            (unsigned long long)(t->done.messages + t->done.there), (unsigned long long)t->done.octets,
            shown_name(t->path), (unsigned long long)t->failed);
    if (t->to.sync)
        tell_all_left(t, res);
    /* Once, as it waits for all that others write, too. */
    if (!mailout_sync(t->top))
        return ctl_error(CTL_FAILED, "could not write to %s: %s", shown_name(t->path), strerror(errno));
    return t->failed + t->left > 0 ? CTL_PARTLY : CTL_DONE;
}

enum ctl_exit export_tree(struct ctl *c, const struct mailout_to *to)
{
    struct tree t = { .c = c, .to = *to, .path = c->args[0], .domain = -1 };
    char domain[CTL_DOMAIN_SIZE];
    struct args a = ARGS_NONE;
    enum ctl_exit end;
    const char *why;
    PGresult *res;

    if (c->nargs != 1)
        return ctl_error(CTL_USAGE, "export of many mailboxes wants one directory: see posternctl export --help");
    if ((c->opt[OPT_DOMAIN] != NULL) + (c->opt[OPT_TENANT] != NULL) + (c->opt[OPT_ALL] != NULL) > 1)
        return ctl_error(CTL_USAGE, "--domain, --tenant and --all exclude each other");
    if (c->opt[OPT_UIDLS] != NULL)
        return ctl_error(CTL_USAGE, "--uidls is for one mailbox: many get a list each where the format needs it");
    if (c->opt[OPT_DOMAIN] != NULL && !ctl_domain(c->opt[OPT_DOMAIN], domain))
        return CTL_FAILED;
    args_text(&a, c->opt[OPT_TENANT]);
    args_text(&a, c->opt[OPT_DOMAIN] != NULL ? domain : NULL);
    res = db_ask(c, "list the mailboxes",
                 "select m.address from postern.list_domains($1, $2) d, postern.list_mailboxes(d.name) m"
                 " order by split_part(m.address, '@', -1), m.address", &a);
    if (res == NULL)
        return db_end(c);
    t.to.later = true;
    t.top = to->sync ? outdir_again(AT_FDCWD, t.path, &why) : outdir_open(AT_FDCWD, t.path, true, &why);
    if (t.top < 0)
        end = ctl_error(CTL_FAILED, "could not write to %s: %s; nothing was written%s", shown_name(t.path), why,
                        to->sync ? "" : "; --sync continues an export, or brings it up to date");
    else
        end = export_addresses(&t, res);
    if (t.domain >= 0)
        close(t.domain);
    if (t.top >= 0)
        close(t.top);
    PQclear(res);
    return end;
}
