/*
 * source_courier.c - the order and the UIDLs of a Maildir that Courier had.
 */
#include "admin/mail/source_impl.h"

#include <stdlib.h>
#include <unistd.h>

#include "admin/mail/courier.h"
#include "daemon/base/mem.h"

static int by_courier(const void *a, const void *b)
{
    const struct file *x = *(struct file *const *)a, *y = *(struct file *const *)b;
    const int order = courier_cmp(source_base_name(x->path), source_base_name(y->path));

    return order != 0 ? order : (x > y) - (x < y);
}

/* Courier goes by the names: what it has not seen so far has its place among the others. */
static void order(struct source_names *names)
{
    qsort(names->sorted, names->count, sizeof *names->sorted, by_courier);
    for (size_t i = 0; i < names->count; i++)
        names->sorted[i]->rank = i;
}

static void take(struct source *s, const struct source_place *place, const struct source_names *names,
                 struct courier_list *list, const char *path)
{
    struct courier_entry e;
    const char *fault;
    int got;

    while ((got = courier_next(list, &e, &fault)) != 0) {
        struct file *f = got > 0 ? source_named(names, e.name) : NULL;
        struct buf uidl = BUF_EMPTY;

        if (got < 0) {
            source_doubt_in(s, path, list->line, fault);
        } else if (f != NULL) {
            courier_uidl(&e, &uidl);
            if (!source_give(place, f, &uidl, path, list->line))
                source_doubt_in(s, path, list->line, "names a file that a line before names");
        }
    }
}

void source_courier(struct source *s, const struct source_place *place)
{
    struct source_names names = source_names_of(s, place);
    struct courier_list list;
    const char *path, *why;
    int fd = place->inner == NULL ? source_open_list(s, place, "courierpop3dsizelist", &path) : -1;

    if (fd >= 0) {
        why = courier_open(&list, fd);
        close(fd);
        if (why != NULL)
            source_failed(s, path, why);
        else
            take(s, place, &names, &list, path);
        courier_close(&list);
    } else if (place->inner == NULL && place->first < s->count) {
        source_doubt_in(s, place->path, 0, "has no courierpop3dsizelist: its messages get new UIDLs");
    }
    order(&names);
    source_names_free(&names);
}
