/*
 * uidls.c - the lines of a list of UIDLs. Somebody's script has made it: a line that is
 * wrong is told by its number, and the others count.
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

static void add(struct uidls *u, struct span line)
{
    const char *tab = line.len > 0 ? memchr(line.at, '\t', line.len) : NULL;
    struct span key = { line.at, tab != NULL ? (size_t)(tab - line.at) : 0 };
    struct span uidl = tab != NULL ? (struct span){ tab + 1, line.len - key.len - 1 } : line;
    struct uidl_line *l;

    if (u->count == u->room) {
        u->room = u->room > 0 ? 2 * u->room : 256;
        u->lines = mem_resize(u->lines, u->room, sizeof *u->lines);
    }
    l = &u->lines[u->count++];
    *l = (struct uidl_line){ .number = u->count, .key = tab != NULL ? mem_strn(key.at, key.len) : NULL,
                             .uidl = mem_strn(uidl.at, uidl.len), .fault = uidl_fault(uidl) };
    if (l->fault == NULL && tab != NULL && (key.len == 0 || memchr(key.at, '\0', key.len) != NULL))
        l->fault = "has no name in front of its tab";
    u->named |= tab != NULL;
}

struct uidls *uidls_new(const char *path)
{
    struct uidls *u = mem_zalloc(sizeof *u);
    FILE *in = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    bool ok = in != NULL;

    while (ok && (errno = 0, len = getline(&line, &room, in)) >= 0) {
        size_t n = (size_t)len;

        if (n > 0 && line[n - 1] == '\n')
            n--;
        if (n > 0 && line[n - 1] == '\r')
            n--;
        add(u, (struct span){ line, n });
    }
    ok = ok && !ferror(in);
    if (!ok)
        ctl_error(CTL_FAILED, "%s: %s", shown_name(path), strerror(errno));
    if (in != NULL)
        fclose(in);
    free(line);
    for (size_t i = 0; u->named && i < u->count; i++)
        if (u->lines[i].key == NULL && u->lines[i].fault == NULL)
            u->lines[i].fault = "has no name and tab in front, where other lines have";
    if (!ok)
        uidls_free(&u);
    return u;
}

void uidls_free(struct uidls **uidls)
{
    for (size_t i = 0; i < (*uidls)->count; i++) {
        mem_free((*uidls)->lines[i].key);
        mem_free((*uidls)->lines[i].uidl);
    }
    mem_free((*uidls)->lines);
    mem_free(*uidls);
    *uidls = NULL;
}
