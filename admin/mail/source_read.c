/*
 * source_read.c - the octets of an item of an import, as they will be stored.
 *
 * Must never report success unless all of it was read.
 */
#include "admin/mail/source.h"

#include <errno.h>
#include <unistd.h>

#include "admin/mail/eol.h"
#include "daemon/base/mem.h"

enum { CHUNK = 128 * 1024 };

struct reading {
    struct hide hide;
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

static void without_hidden(void *arg, const char *at, size_t len)
{
    struct reading *r = arg;

    hide_feed(&r->hide, at, len, convert, r);
}

static bool read_region(const struct source_item *it, source_out *out, void *arg)
{
    struct reading r = { .eol = EOL_START, .room = mem_alloc(EOL_ROOM(CHUNK)), .out = out, .arg = arg };
    mbox_out *const next = it->hide != NULL ? without_hidden : convert;
    struct mbox_filter filter = { .quoting = it->quoting };
    char *chunk = mem_alloc(CHUNK);
    off_t at = it->at;
    bool ok = true;

    if (it->hide != NULL)
        r.hide = hide_start(it->hide);
    while (ok && at < it->end) {
        size_t want = it->end - at < CHUNK ? (size_t)(it->end - at) : CHUNK;
        ssize_t got = pread(it->fd, chunk, want, at);

        if (got > 0) {
            mbox_filter_feed(&filter, chunk, (size_t)got, next, &r);
            at += got;
        } else if (got == 0 || errno != EINTR) {
            errno = got == 0 ? ENODATA : errno;
            ok = false;
        }
    }
    if (ok) {
        size_t n;

        mbox_filter_end(&filter, next, &r);
        if (it->hide != NULL)
            hide_end(&r.hide, convert, &r);
        n = eol_end(&r.eol, r.room);
        if (n > 0)
            out(arg, r.room, n);
    }
    mem_free(chunk);
    mem_free(r.room);
    return ok;
}

bool source_read(const struct source_item *item, source_out *out, void *arg)
{
    struct source_item fetched = *item;

    if (!source_fetch(&fetched)) {
        errno = EIO;
        return false;
    }
    return read_region(&fetched, out, arg);
}
