/*
 * uidls.c - the list of UIDLs that imported messages bring along.
 *
 * Everything wrong with the list is found before the first message is stored.
 */
#include "admin/mail/uidls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/shown.h"
#include "daemon/base/mem.h"
#include "storage/maildrop/uidl.h"

struct uidls {
    char **lines;
    size_t count, room, next;
};

static void add(struct uidls *u, const char *line)
{
    if (u->count == u->room) {
        u->room = u->room > 0 ? 2 * u->room : 256;
        u->lines = mem_resize(u->lines, u->room, sizeof *u->lines);
    }
    u->lines[u->count++] = mem_str(line);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool all_differ(const struct uidls *u, const char *path)
{
    char **sorted = mem_array(u->count + 1, sizeof *sorted);
    const char *twice = NULL;

    if (u->count > 0)
        memcpy(sorted, u->lines, u->count * sizeof *sorted);
    qsort(sorted, u->count, sizeof *sorted, by_text);
    for (size_t i = 1; i < u->count && twice == NULL; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            twice = sorted[i];
    if (twice != NULL)
        ctl_error(CTL_FAILED, "%s: \"%s\" appears twice", shown_name(path), twice);
    mem_free(sorted);
    return twice == NULL;
}

struct uidls *uidls_new(const char *path)
{
    struct uidls *u = mem_zalloc(sizeof *u);
    FILE *in = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    bool ok = in != NULL;

    if (in == NULL)
        ctl_error(CTL_FAILED, "%s: %s", shown_name(path), strerror(errno));
    while (ok && (len = getline(&line, &room, in)) >= 0) {
        size_t n = (size_t)len;

        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = '\0';
        const char *fault = uidl_fault((struct span){ line, n });
        ok = fault == NULL;
        if (ok)
            add(u, line);
        else
            ctl_error(CTL_FAILED, "%s:%zu: the UIDL %s", shown_name(path), u->count + 1, fault);
    }
    if (in != NULL)
        fclose(in);
    free(line);
    if (!ok || !all_differ(u, path))
        uidls_free(&u);
    return u;
}

void uidls_free(struct uidls **uidls)
{
    for (size_t i = 0; i < (*uidls)->count; i++)
        mem_free((*uidls)->lines[i]);
    mem_free((*uidls)->lines);
    mem_free(*uidls);
    *uidls = NULL;
}

const char *uidls_next(struct uidls *uidls)
{
    return uidls->next < uidls->count ? uidls->lines[uidls->next++] : NULL;
}
