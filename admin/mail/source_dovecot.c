/*
 * source_dovecot.c - the order and the UIDLs of a Maildir that Dovecot had.
 */
#include "admin/mail/source_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "admin/mail/dovecot.h"
#include "admin/mail/listfile.h"
#include "admin/mail/xuidl.h"

static const char list_name[] = "dovecot-uidlist", keywords_name[] = "dovecot-keywords";

/* What it says of formats counts only where the operator does not say it. */
void source_configure(struct source *s)
{
    const char *const path = s->how.doveconf;
    struct doveconf *c = &s->dovecot;
    const char *why = NULL;
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (path == NULL)
        return;
    why = fd < 0 ? strerror(errno) : doveconf_read(fd, c);
    if (fd >= 0)
        close(fd);
    if (why != NULL) {
        source_failed(s, path, why);
    } else if (s->how.uidl_format == NULL && c->uidl_format != NULL &&
               (why = uidl_format_fault(c->uidl_format)) != NULL) {
        struct buf text = BUF_EMPTY;

        buf_addf(&text, "has a pop3_uidl_format that %s", why);
        source_failed(s, path, buf_span(&text).at);
        buf_free(&text);
    }
}

static const char *format_of(const struct source *s)
{
    return s->how.uidl_format != NULL ? s->how.uidl_format
        : s->dovecot.uidl_format != NULL ? s->dovecot.uidl_format : dovecot_format;
}

/* pop3_reuse_xuidl: what an older server has left in the message goes before the format. */
static bool reused(struct source *s, const struct file *f, struct buf *uidl)
{
    const char *reject = f->reject;
    struct stat st;
    int fd = s->dovecot.reuse_xuidl && reject == NULL ? source_open_file(s, f, &st, &reject) : -1;
    bool has = fd >= 0 && reject == NULL && S_ISREG(st.st_mode) && xuidl_of(fd, uidl);

    if (fd >= 0)
        close(fd);
    return has;
}

static void take(struct source *s, const struct source_place *place, struct dovecot_list *list, const char *path)
{
    struct source_names names = source_names_of(s, place);
    struct dovecot_entry e;
    const char *fault;
    int got;

    while ((got = dovecot_next(list, &e, &fault)) != 0) {
        struct file *f = got > 0 ? source_named(&names, e.name) : NULL;
        struct buf uidl = BUF_EMPTY;

        if (f != NULL && f->rank != UINT64_MAX)
            fault = "names a file that a line before names";
        if (got < 0 || (f != NULL && f->rank != UINT64_MAX)) {
            source_doubt_in(s, path, list->line, fault);
        } else if (f != NULL) {
            f->rank = (uint64_t)e.order << 32 | e.uid;
            if (place->inner == NULL && (e.has_uidl || !reused(s, f, &uidl)))
                dovecot_uidl(list, &e, format_of(s), &uidl);
            (void)source_give(place, f, &uidl, path, list->line);
        }
    }
    source_names_free(&names);
}

/* pop3_deleted_flag: what a POP3 client removes gets this keyword, and is there for IMAP. */
static void hide(struct source *s, const struct source_place *place)
{
    struct buf text = BUF_EMPTY;
    const char *path, *why;
    int fd, letter;

    if (s->dovecot.deleted_flag == NULL || (fd = source_open_list(s, place, keywords_name, &path)) < 0)
        return;
    why = listfile_read(fd, &text);
    close(fd);
    if (why != NULL)
        source_failed(s, path, why);
    letter = dovecot_letter(buf_span(&text), s->dovecot.deleted_flag);
    if (letter < 0)
        source_failed(s, path, "has more than 26 keywords before pop3_deleted_flag: import by POP3 instead");
    for (size_t i = place->first; letter > 0 && i < s->count; i++)
        if (s->files[i].alone && dovecot_has_letter(source_base_name(s->files[i].path), letter))
            s->files[i].kind = STATE_KIND_HIDDEN;
    buf_free(&text);
}

void source_dovecot(struct source *s, const struct source_place *place)
{
    struct dovecot_list list;
    const char *path, *why;
    int fd = source_open_list(s, place, list_name, &path);

    if (fd < 0 && place->inner != NULL)
        return;
    if (fd < 0 && s->dovecot.elsewhere && s->how.control == NULL)
        source_failed(s, place->path, "has no dovecot-uidlist, as this is elsewhere (CONTROL=): see --control");
    else if (fd < 0 && place->first < s->count)
        source_doubt_in(s, place->path, 0, "has no dovecot-uidlist: its messages get new UIDLs");
    if (fd < 0)
        return;
    why = dovecot_open(&list, fd);
    close(fd);
    if (why != NULL)
        source_failed(s, path, why);
    else
        take(s, place, &list, path);
    dovecot_close(&list);
    hide(s, place);
}
