/*
 * source_cyrus.c - the messages that Cyrus shows of a directory, their order and UIDLs.
 *
 * Must never bring back what was removed: the file stays for days.
 */
#include "admin/mail/source_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/mail/cyrus.h"

bool source_cyrus_own(const char *name) { return strncmp(name, "cyrus.", 6) == 0; }

static void take(struct source *s, const struct source_place *place, const struct cyrus_index *index,
                 const struct cyrus_entry *e, struct file *f, const char *path)
{
    struct buf uidl = BUF_EMPTY;

    f->known = true;
    if (e->received > 0)
        f->mtime = e->received;
    f->kind = e->expunged || (index->show_after > 0 && e->received <= index->show_after) ? STATE_KIND_HIDDEN
        : e->deleted ? STATE_KIND_DELETED : e->draft ? STATE_KIND_DRAFT : STATE_LIVING;
    if (f->kind == STATE_KIND_HIDDEN)
        return;
    cyrus_uidl(index, e->uid, s->how.uidl_format != NULL ? s->how.uidl_format : "cyrus", &uidl);
    (void)source_give(place, f, &uidl, path, index->next);
}

static int by_rank(const void *a, const void *b)
{
    const struct file *x = a, *y = b;

    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* The uids rise in the index, and the files are sorted by them: both are gone through once. */
static void take_all(struct source *s, const struct source_place *place, struct cyrus_index *index, const char *path)
{
    struct file *f = s->files + place->first, *const end = s->files + s->count;
    struct cyrus_entry e;
    const char *fault;
    int got;

    while ((got = cyrus_next(index, &e, &fault)) != 0) {
        if (got < 0) {
            source_doubt_in(s, path, index->next, fault);
            continue;
        }
        while (f < end && f->rank < e.uid)
            f++;
        if (f < end && f->rank == e.uid)
            take(s, place, index, &e, f++, path);
        else if (!e.expunged)
            source_doubt_in(s, path, index->next, e.archived ? "shows a message that is in the archive partition"
                                                             : "shows a message that has no file");
    }
}

/* Cyrus did not show a file without a record; unless it is newer than the index, which is then an old one. */
static void take_others(struct source *s, const struct source_place *place, const struct cyrus_index *index,
                        const char *path)
{
    bool old = false;

    for (struct file *f = s->files + place->first; f < s->files + s->count; f++) {
        if (f->rank == UINT64_MAX || f->known)
            continue;
        f->kind = f->rank > index->last_uid ? STATE_LIVING : STATE_KIND_HIDDEN;
        old |= f->rank > index->last_uid;
    }
    if (old)
        source_doubt_in(s, path, 0, "is older than its directory: messages that it does not have get new UIDLs");
}

void source_cyrus(struct source *s, const struct source_place *place)
{
    struct cyrus_index index;
    const char *path, *why;
    int fd = source_open_list(s, place, "cyrus.index", &path);

    if (fd < 0) {
        if (place->inner == NULL || place->first < s->count)
            source_failed(s, place->path, "has no cyrus.index: see --control");
        return;
    }
    for (struct file *f = s->files + place->first; f < s->files + s->count; f++) {
        const uint32_t uid = f->alone ? cyrus_uid_of(source_base_name(f->path)) : 0;

        if (uid > 0)
            f->rank = uid;
        else if (f->reject == NULL)
            f->reject = "is not named like a message of Cyrus";
    }
    why = cyrus_open(&index, fd);
    close(fd);
    if (why != NULL) {
        source_failed(s, path, why);
    } else if (s->count > place->first) {
        qsort(s->files + place->first, s->count - place->first, sizeof *s->files, by_rank);
        take_all(s, place, &index, path);
        take_others(s, place, &index, path);
    }
    cyrus_close(&index);
}
