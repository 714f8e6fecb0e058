/*
 * mailout_maildir.c - an export as a Maildir with the file dovecot-uidlist, so that Dovecot shows
 * the UIDLs that clients know, in the order that they know; and bringing such a Maildir up to date.
 *
 * The uids are those of the mailbox. Each line keeps the UIDL of its message (P), which Dovecot
 * shows whatever its pop3_uidl_format is. The name of a file tells the uid, so that a later
 * export knows what is there:
 *
 *     <time>.Q<uid>V<uidvalidity>.postern,S=<octets of the file>,W=<octets with CRLF>
 *
 * Must never add to a Maildir that a server has used, or that holds anything else: its list
 * says more than ours by then.
 */
#include "admin/mail/mailout_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/mail/outdir.h"
#include "admin/shown.h"
#include "daemon/base/mem.h"

enum { NAME_ROOM = 160, HEADER_ROOM = 256 };

static const char list_name[] = "dovecot-uidlist", list_tmp[] = "uidlist.postern", message_tmp[] = "message.postern";
enum { NEW, CUR, TMP, PARTS };
static const char *const parts[PARTS] = { "new", "cur", "tmp" };

struct found {
    int64_t uid, time, size, octets;    /* as its name tells */
    char *name;
    int part;
    bool gone;                  /* it is not to be there any more */
};

struct maildir_there {
    int parts[PARTS];           /* descriptors, or -1 */
    FILE *list;
    struct found *found;        /* in rising order of uid */
    size_t count, room, next;
    int64_t time;               /* the last one that was given to a name */
};

/* ------------------------------------------------------------ what is there */

static void name_of(const struct mailout *o, const struct found *f, char out[NAME_ROOM])
{
    snprintf(out, NAME_ROOM, "%lld.Q%012lldV%s.postern,S=%lld,W=%lld", (long long)f->time, (long long)f->uid,
             o->to.uidvalidity, (long long)f->size, (long long)f->octets);
}

/* A name that this mailbox gives, with flags or without. */
static bool parse_name(const struct mailout *o, const char *name, struct found *f)
{
    long long time, uid, size, octets;
    char made[NAME_ROOM];
    size_t len = strcspn(name, ":");

    if (sscanf(name, "%lld.Q%lldV%*12[0-9a-f].postern,S=%lld,W=%lld", &time, &uid, &size, &octets) != 4)
        return false;
    *f = (struct found){ .uid = uid, .time = time, .size = size, .octets = octets };
    name_of(o, f, made);
    return strlen(made) == len && strncmp(made, name, len) == 0;
}

static bool stranger(const struct mailout *o, const char *part, const char *name)
{
    ctl_error(CTL_FAILED, "could not add to %s: it holds %s%s%s, which no export of this mailbox has written; "
              "nothing was written", shown_name(o->to.path), part != NULL ? part : "", part != NULL ? "/" : "",
              shown_name(name));
    return false;
}

static bool add_found(struct mailout *o, int part, const char *name)
{
    struct maildir_there *t = o->there;
    struct found f;

    if (!parse_name(o, name, &f))
        return stranger(o, parts[part], name);
    if (t->count == t->room) {
        t->room = t->room > 0 ? 2 * t->room : 256;
        t->found = mem_resize(t->found, t->room, sizeof *t->found);
    }
    f.name = mem_str(name);
    f.part = part;
    t->found[t->count++] = f;
    return true;
}

static bool of_tmp(struct mailout *o, const char *name)
{
    if (strcmp(name, list_tmp) != 0 && strcmp(name, message_tmp) != 0)
        return stranger(o, parts[TMP], name);
    return unlinkat(o->there->parts[TMP], name, 0) == 0 || mailout_failed(o, "write to");
}

static bool of_top(struct mailout *o, const char *name)
{
    for (int i = 0; i < PARTS; i++)
        if (strcmp(name, parts[i]) == 0)
            return true;
    return strcmp(name, list_name) == 0 || stranger(o, NULL, name);
}

/* Each name of a directory, by its descriptor. part: PARTS is the Maildir itself. */
static bool look_through(struct mailout *o, int fd, int part)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = own >= 0 ? fdopendir(own) : NULL;
    struct dirent *e;
    bool ok = d != NULL || mailout_failed(o, "read");

    while (ok && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        ok = part == PARTS ? of_top(o, e->d_name)
             : part == TMP ? of_tmp(o, e->d_name)
                           : add_found(o, part, e->d_name);
    }
    if (d != NULL)
        closedir(d);
    else if (own >= 0)
        close(own);
    return ok;
}

/* Dovecot writes the list anew, with a GUID of the mailbox, when it has read it for the first time. */
static bool unused(struct mailout *o)
{
    char head[HEADER_ROOM] = "";
    int fd = openat(o->dir, list_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return errno == ENOENT || mailout_failed(o, "read the list of UIDLs in");
    got = read(fd, head, sizeof head - 1);
    close(fd);
    if (got < 0)
        return mailout_failed(o, "read the list of UIDLs in");
    head[strcspn(head, "\n")] = '\0';
    if (strstr(head, " G") == NULL)
        return true;
    ctl_error(CTL_FAILED, "could not add to %s: Dovecot has used it; nothing was written", shown_name(o->to.path));
    return false;
}

static int by_uid(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return (x->uid > y->uid) - (x->uid < y->uid);
}

static bool open_part(struct mailout *o, int part)
{
    int *fd = &o->there->parts[part];

    if (mkdirat(o->dir, parts[part], 0700) != 0 && !(o->to.sync && errno == EEXIST))
        return mailout_failed(o, "create directories in");
    *fd = openat(o->dir, parts[part], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *fd >= 0 || mailout_failed(o, "open the directories of");
}

static bool look(struct mailout *o)
{
    struct maildir_there *t = o->there;

    for (int i = 0; i < PARTS; i++)
        if (!look_through(o, t->parts[i], i))
            return false;
    if (t->count > 0)
        qsort(t->found, t->count, sizeof *t->found, by_uid);
    for (size_t i = 1; i < t->count; i++)
        if (t->found[i].uid == t->found[i - 1].uid)
            return stranger(o, parts[t->found[i].part], t->found[i].name);
    return true;
}

/* ------------------------------------------------------------------ writing */

/* Dovecot's has 32 bits and is not 0. */
static unsigned long short_uidvalidity(const char *text)
{
    unsigned long long n = strtoull(text, NULL, 16);

    return (n & UINT32_MAX) != 0 ? (unsigned long)(n & UINT32_MAX) : 1;
}

/* Dovecot takes no uid from UINT32_MAX on. */
static bool uids_fit(struct mailout *o)
{
    if (o->to.next_uid <= UINT32_MAX)
        return true;
    ctl_error(CTL_FAILED, "could not write to %s: the uids of the mailbox are too large for the list of a Maildir; "
              "use --format mbox or eml", shown_name(o->to.path));
    return false;
}

static bool open_list(struct mailout *o)
{
    struct maildir_there *t = o->there;
    int fd = openat(t->parts[TMP], list_tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    t->list = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (t->list == NULL)
        return mailout_failed(o, "create the list of UIDLs in");
    fprintf(t->list, "3 V%lu N%lld\n", short_uidvalidity(o->to.uidvalidity), (long long)o->to.next_uid);
    return true;
}

static bool maildir_open(struct mailout *o)
{
    const char *why;

    o->there = mem_zalloc(sizeof *o->there);
    for (int i = 0; i < PARTS; i++)
        o->there->parts[i] = -1;
    if (!uids_fit(o))
        return false;
    o->dir = o->to.sync ? outdir_again(o->to.at, o->to.base, &why) : outdir_open(o->to.at, o->to.base, true, &why);
    if (o->dir < 0) {
        ctl_error(CTL_FAILED, "could not write to %s: %s; nothing was written", shown_name(o->to.path), why);
        return false;
    }
    if (flock(o->dir, LOCK_EX | LOCK_NB) != 0) {
        ctl_error(CTL_FAILED, "could not write to %s: another export is writing there", shown_name(o->to.path));
        return false;
    }
    if (o->to.sync && (!look_through(o, o->dir, PARTS) || !unused(o)))
        return false;
    for (int i = 0; i < PARTS; i++)
        if (!open_part(o, i))
            return false;
    return (!o->to.sync || look(o)) && open_list(o);
}

static void list(struct mailout *o, const char *name, const struct mail *mail)
{
    int len = (int)strcspn(name, ":");

    fprintf(o->there->list, "%lld P%s :%.*s\n", (long long)mail->uid, mail->uidl, len, name);
    mailout_list(o, name, mail);
}

/* A machine that went down may have left a file without its octets. */
static bool is_whole(const struct mailout *o, const struct found *f, const struct mail *mail)
{
    struct stat st;

    return f->octets == mail->octets &&
           fstatat(o->there->parts[f->part], f->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           st.st_size == f->size;
}

/* Those in front of it have gone from the mailbox. */
static bool maildir_has(struct mailout *o, const struct mail *mail)
{
    struct maildir_there *t = o->there;
    const struct found *f;

    for (; t->next < t->count && t->found[t->next].uid < mail->uid; t->next++)
        t->found[t->next].gone = true;
    if (t->next == t->count || t->found[t->next].uid != mail->uid)
        return false;
    f = &t->found[t->next];
    if (is_whole(o, f, mail))
        return true;
    unlinkat(t->parts[f->part], f->name, 0);
    t->next++;
    return false;
}

static void maildir_keep(struct mailout *o, const struct mail *mail)
{
    struct maildir_there *t = o->there;
    const struct found *f = &t->found[t->next++];

    t->time = f->time > t->time ? f->time : t->time;
    list(o, f->name, mail);
}

static bool maildir_begin(struct mailout *o, const struct mail *mail)
{
    (void)mail;
    return mailout_file(o, o->there->parts[TMP], message_tmp);
}

/*
 * Servers read a Maildir without a list in the order of the times in its names, so those never
 * go back, whatever received_at does; the true time is the mtime. New mail has no flags, and
 * stands in new/.
 */
static bool maildir_end(struct mailout *o, const struct mail *mail)
{
    struct maildir_there *t = o->there;
    struct found f = { .uid = mail->uid, .octets = mail->octets };
    int64_t second = mail->received > 0 ? mail->received / 1000000 : 0;
    char name[NAME_ROOM];

    if (!mailout_lf_end(o) || !mailout_file_end(o, mail, &f.size))
        return false;
    t->time = second > t->time ? second : t->time;
    f.time = t->time;
    name_of(o, &f, name);
    if (renameat(t->parts[TMP], message_tmp, t->parts[NEW], name) != 0)
        return mailout_failed(o, "write");
    list(o, name, mail);
    return true;
}

/* -------------------------------------------------------------------- close */

static bool remove_gone(struct mailout *o)
{
    struct maildir_there *t = o->there;

    for (size_t i = 0; i < t->count; i++) {
        const struct found *f = &t->found[i];

        if (!f->gone && i < t->next)
            continue;
        if (unlinkat(t->parts[f->part], f->name, 0) != 0)
            return mailout_failed(o, "remove a message from");
        o->done.removed++;
    }
    return true;
}

/* The list comes last: with it there are all messages, on the disk too. */
static bool finish(struct mailout *o)
{
    struct maildir_there *t = o->there;
    const bool later = o->to.later;
    bool ok = !ferror(t->list) && fflush(t->list) == 0;

    mem_free(o->name);
    o->name = NULL;
    if (!ok)
        return mailout_failed(o, "write the list of UIDLs in");
    return remove_gone(o) && (((later || mailout_sync(o->dir)) &&
                               renameat(t->parts[TMP], list_tmp, o->dir, list_name) == 0 &&
                               (later || fsync(o->dir) == 0)) ||
                              mailout_failed(o, "write to"));
}

static bool maildir_close(struct mailout *o, bool complete)
{
    struct maildir_there *t = o->there;
    bool ok = complete && finish(o);

    if (t->list != NULL)
        fclose(t->list);
    for (int i = 0; i < PARTS; i++)
        if (t->parts[i] >= 0)
            close(t->parts[i]);
    for (size_t i = 0; i < t->count; i++)
        mem_free(t->found[i].name);
    mem_free(t->found);
    mem_free(t);
    o->there = NULL;
    return ok;
}

static bool maildir_data(struct mailout *o, struct span octets)
{
    return mailout_lf(o, octets);
}

const struct mailout_how mailout_maildir = {
    maildir_open, maildir_has, maildir_keep, maildir_begin, maildir_data, maildir_end, maildir_close,
};
