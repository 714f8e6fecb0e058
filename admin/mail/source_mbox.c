/*
 * source_mbox.c - what the server of an mbox showed of its messages.
 *
 * Must never go on where a server gave UIDs and nobody says which it was: clients would
 * fetch all of their mail again.
 */
#include "admin/mail/source_impl.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/mail/fromline.h"
#include "daemon/base/mem.h"

static bool is_none(const char *name) { return name != NULL && strcmp(name, "none") == 0; }

/* Formats are Dovecot's, and so is what doveconf prints. */
static bool is_dovecot(const struct source_how *how)
{
    return how->server != NULL ? strcmp(how->server, "dovecot") == 0
        : how->uidl_format != NULL || how->doveconf != NULL;
}

static const char *format_of(const struct source *s)
{
    return s->how.uidl_format != NULL ? s->how.uidl_format : s->dovecot.uidl_format;
}

void source_mbox_server(struct source *s)
{
    if (is_dovecot(&s->how))
        s->server = mbox_server_find("dovecot");
    else if (s->how.server != NULL)
        s->server = mbox_server_find(s->how.server);
    if (s->server != NULL && !s->how.quoting_given)
        s->how.quoting = mbox_server_quoting(s->server);
}

/* Looks like one: what it is, source.c decides later. */
static bool begins_with_from(int fd)
{
    char head[FROM_AHEAD];
    ssize_t got = pread(fd, head, sizeof head, 0);
    size_t at = 0;

    while (got > 0 && at < (size_t)got && (head[at] == '\r' || head[at] == '\n'))
        at++;
    return got > 0 && from_marks((struct span){ head + at, (size_t)got - at }) >= 0;
}

const char *source_mbox_fault(const struct source *s, int fd)
{
    const struct source_how *how = &s->how;
    const char *format = format_of(s);

    if (how->server == NULL && s->server == NULL && !how->listed)
        return mbox_seen_uids(fd) ? "has the UIDs of a server, and POP3 clients know its UIDLs: name it by --server, or"
                                    " say --server none" : NULL;
    if (how->server != NULL && !is_none(how->server) && s->server == NULL)
        return "is an mbox, which the server of --server has not";
    if (is_dovecot(how) && format != NULL && mbox_server_format_fault(format) != NULL)
        return "is an mbox, and Dovecot has no UIDLs of this format for it: see --uidl-format";
    return NULL;
}

void source_mbox_named(struct source *s, const char *path)
{
    struct stat st;
    const char *why = NULL;
    int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && begins_with_from(fd))
        why = source_mbox_fault(s, fd);
    close(fd);
    if (why != NULL)
        source_failed(s, path, why);
}

/* The same text on a second reading, if the file is as it was: items lend it as long as the source is there. */
static const char *kept(struct source *s, const char *uidl)
{
    if (s->uidl_next < s->uidl_count && strcmp(s->uidls[s->uidl_next], uidl) == 0)
        return s->uidls[s->uidl_next++];
    if (s->uidl_count == s->uidl_room) {
        s->uidl_room = s->uidl_room > 0 ? 2 * s->uidl_room : 256;
        s->uidls = mem_resize(s->uidls, s->uidl_room, sizeof *s->uidls);
    }
    s->uidls[s->uidl_count] = mem_str(uidl);
    s->uidl_next = s->uidl_count + 1;
    return s->uidls[s->uidl_count++];
}

void source_mbox_begin(struct source *s) { mbox_seen_begin(&s->of_server, s->server, format_of(s)); }

/*
 * Who delivers into an mbox writes the time of the place, seldom with a zone. The topmost Received field is of the same
 * host or one before it, minutes earlier, and has one: the difference in quarters of an hour is the zone.
 */
static int64_t in_utc(int64_t local, int64_t received)
{
    const int64_t quarter = INT64_C(900) * 1000000, most = 57 * quarter, apart = local - received;

    if (apart > most || apart < -most)
        return local;
    return local - (apart + (apart < 0 ? -quarter / 2 : quarter / 2)) / quarter * quarter;
}

void source_mbox_item(struct source *s, struct source_item *it, const struct mbox_message *m)
{
    const char *uidl = mbox_seen_message(&s->of_server, it->fd, it->at, it->end);

    it->hide = &s->of_server.hide;
    if (m->has_time && !m->time_of_field && !m->zone && s->of_server.has_received)
        it->received = in_utc(m->time, s->of_server.received);
    if (uidl == NULL)
        return;
    it->uidl = kept(s, uidl);
    it->uidl_file = it->path;
    it->uidl_line = m->line;
}

void source_mbox_free(struct source *s)
{
    for (size_t i = 0; i < s->uidl_count; i++)
        mem_free(s->uidls[i]);
    mem_free(s->uidls);
}
