/*
 * pairs.c - which UIDL each message of an import gets.
 *
 * Must never give a message the UIDL of another one: in doubt it gets one of ours, and
 * is fetched once more, while with a wrong one it would never be seen.
 */
#include "admin/mail/pairs.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "admin/db.h"
#include "admin/mail/uidls.h"
#include "admin/shown.h"
#include "daemon/base/mem.h"
#include "storage/content/content.h"
#include "storage/maildrop/uidl.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum { HEX_DIGEST = 2 * CONTENT_DIGEST };

struct pairs {
    struct pair *all;
    size_t count, room;
    size_t next;                /* pairs_find(): the first that was not met */
    const char *path;           /* of the item before */
    struct uidls *list;
    bool native;                /* without a list the messages have what their server showed */
    pairs_note *note;
    void *arg;
};

static struct pair *find(struct pairs *p, const struct source_item *it)
{
    size_t i = p->next;

    if (it->path != p->path) {
        while (i < p->count && p->all[i].path != it->path)
            i++;
        i = i < p->count ? i : p->next;
        p->path = it->path;
    }
    while (i < p->count && p->all[i].path == it->path && p->all[i].number < it->number)
        i++;
    p->next = i;
    if (i == p->count || p->all[i].path != it->path || p->all[i].number != it->number || p->all[i].at != it->at ||
        p->all[i].end != it->end)
        return NULL;
    p->next++;
    return &p->all[i];
}

static void look(struct pairs *p, const struct source_item *it)
{
    if (p->count == p->room) {
        p->room = p->room > 0 ? 2 * p->room : 256;
        p->all = mem_resize(p->all, p->room, sizeof *p->all);
    }
    p->all[p->count++] = (struct pair){ .path = it->path, .number = it->number, .at = it->at, .end = it->end,
                                        .stored = it->reject == NULL && it->kind == STATE_LIVING };
    if (p->native && it->uidl != NULL) {
        struct pair *m = &p->all[p->count - 1];

        m->uidl = it->uidl;
        m->file = it->uidl_file;
        m->line = it->uidl_line;
        m->fault = uidl_fault(span_str(it->uidl));
    }
}

/* Every message that a server may have shown. True if some are files of a directory. */
static bool look_at_all(struct pairs *p, struct source *source)
{
    struct source_item it;
    bool unordered = false;

    while (source_next(source, &it) == 1)
        if (it.kind != STATE_KIND_FOLDER_DATA) {
            look(p, &it);
            unordered |= it.in_folder;
        }
    source_again(source);
    return unordered;
}

static void give(struct pair *m, const char *file, const struct uidl_line *l)
{
    m->uidl = l->uidl;
    m->file = file;
    m->line = l->number;
    m->fault = l->fault;
}

/* ---------------------------------------------------------------- by name */

static struct span base_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;

    return (struct span){ name, state_maildir_base(name) };
}

static int by_span(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n > 0 ? memcmp(a.at, b.at, n) : 0;

    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int by_base(const void *a, const void *b)
{
    const struct pair *x = *(struct pair *const *)a, *y = *(struct pair *const *)b;
    int order = by_span(base_of(x->path), base_of(y->path));

    return order != 0 ? order : x < y ? -1 : x > y;
}

struct names {
    struct pair **sorted;
    size_t count;
};

static struct names names_of(struct pairs *p)
{
    struct names n = { mem_array(p->count + 1, sizeof *n.sorted), 0 };

    for (size_t i = 0; i < p->count; i++)
        if (p->all[i].number == 0)
            n.sorted[n.count++] = &p->all[i];
    qsort(n.sorted, n.count, sizeof *n.sorted, by_base);
    return n;
}

/* The path as it is, or but for the flags. */
static bool is_path(const char *path, const char *key)
{
    size_t len = (size_t)(base_of(path).at - path) + base_of(path).len;

    return strcmp(path, key) == 0 || (strlen(key) == len && strncmp(path, key, len) == 0);
}

/* The message with this name, if it is one only; else *fault_r. */
static struct pair *named(const struct names *n, const char *key, const char **fault_r)
{
    const bool whole = strchr(key, '/') != NULL;
    struct pair *found = NULL;
    size_t low = 0, high = n->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (by_span(base_of(n->sorted[middle]->path), base_of(key)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *fault_r = "names no message that is here";
    for (; low < n->count && by_span(base_of(n->sorted[low]->path), base_of(key)) == 0; low++) {
        if (whole && !is_path(n->sorted[low]->path, key))
            continue;
        *fault_r = found != NULL ? "has a name that several files have: give their paths" : NULL;
        found = n->sorted[low];
        if (*fault_r != NULL)
            return NULL;
    }
    return found;
}

/* -------------------------------------------------------------- by digest */

static bool is_digest(const char *key)
{
    return strlen(key) == HEX_DIGEST && strspn(key, "0123456789abcdefABCDEF") == HEX_DIGEST;
}

static int by_digest(const void *a, const void *b)
{
    const struct uidl_line *x = *(struct uidl_line *const *)a, *y = *(struct uidl_line *const *)b;
    int order = strcasecmp(x->key, y->key);

    return order != 0 ? order : x < y ? -1 : x > y;
}

static void hash(void *arg, const char *at, size_t len)
{
    content_hash_add(arg, (struct span){ at, len });
}

static bool digest_of(const struct source_item *it, char hex[HEX_DIGEST + 1])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[CONTENT_DIGEST];
    struct content_hash h;

    content_hash_begin(&h);
    if (it->reject != NULL || !source_read(it, hash, &h))
        return false;
    content_hash_end(&h, digest);
    for (size_t i = 0; i < CONTENT_DIGEST; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[HEX_DIGEST] = '\0';
    return true;
}

/* Copies of a message get the UIDLs of their digest in the order of the list. Lines that were used become NULL. */
static void give_by_digest(struct pairs *p, struct source *source, const char *file, struct uidl_line **lines,
                           size_t count)
{
    char hex[HEX_DIGEST + 1];
    struct source_item it;

    qsort(lines, count, sizeof *lines, by_digest);
    size_t *taken = mem_array(count, sizeof *taken);    /* of those that begin a run: how many of it */
    memset(taken, 0, count * sizeof *taken);
    while (source_next(source, &it) == 1) {
        struct pair *m = it.kind != STATE_KIND_FOLDER_DATA ? find(p, &it) : NULL;
        size_t low = 0, high = count;

        if (m == NULL || m->uidl != NULL || !digest_of(&it, hex))
            continue;
        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (strcasecmp(lines[middle]->key, hex) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < count && low + taken[low] < count && strcasecmp(lines[low + taken[low]]->key, hex) == 0) {
            give(m, file, lines[low + taken[low]]);
            taken[low]++;
        }
    }
    source_again(source);
    for (size_t i = 0, first = 0; i < count; i++) {
        if (strcasecmp(lines[i]->key, lines[first]->key) != 0)
            first = i;
        if (i >= first + taken[first])
            p->note(p->arg, file, lines[i]->number, lines[i]->uidl, "has the digest of no message that is here");
    }
    mem_free(taken);
    p->next = 0;
    p->path = NULL;
}

/* ------------------------------------------------------------- the list */

static void give_named(struct pairs *p, struct source *source, const char *file)
{
    struct names names = names_of(p);
    struct uidl_line **digests = mem_array(p->list->count + 1, sizeof *digests);
    size_t count = 0;

    for (size_t i = 0; i < p->list->count; i++) {
        struct uidl_line *l = &p->list->lines[i];
        const char *fault = l->fault;
        struct pair *m = l->key != NULL ? named(&names, l->key, &fault) : NULL;

        if (m == NULL && l->key != NULL && is_digest(l->key)) {
            digests[count++] = l;
            continue;
        }
        if (m != NULL && m->uidl == NULL) {
            give(m, file, l);
            continue;
        }
        if (m != NULL)
            fault = "names a message that a line before names";
        p->note(p->arg, file, l->number, l->uidl, l->fault != NULL ? l->fault : fault);
    }
    if (count > 0)
        give_by_digest(p, source, file, digests, count);
    mem_free(digests);
    mem_free(names.sorted);
    for (size_t i = 0; i < p->count; i++)
        if (p->all[i].uidl == NULL && p->all[i].stored)
            p->note(p->arg, p->all[i].path, p->all[i].number, NULL, "is not in the list of UIDLs");
}

static bool give_list(struct pairs *p, struct source *source, const char *file, bool unordered)
{
    p->list = uidls_new(file);
    if (p->list == NULL)
        return false;
    if (p->list->named) {
        give_named(p, source, file);
        return true;
    }
    if (unordered) {
        ctl_error(CTL_FAILED, "%s has no names, and no order of the files in a directory is the one of every server: "
                  "nothing was stored; its lines must be NAME, tab, UIDL", shown_name(file));
        return false;
    }
    if (p->list->count != p->count) {
        ctl_error(CTL_FAILED, "%s has %zu line(s) for %zu message(s): nothing was stored", shown_name(file),
                  p->list->count, p->count);
        return false;
    }
    for (size_t i = 0; i < p->count; i++)
        give(&p->all[i], file, &p->list->lines[i]);
    return true;
}

/* ------------------------------------------------------------------ faults */

static int by_uidl(const void *a, const void *b)
{
    const struct pair *x = *(struct pair *const *)a, *y = *(struct pair *const *)b;
    int order = strcmp(x->uidl, y->uidl);

    return order != 0 ? order : x < y ? -1 : x > y;
}

/* Those that can be sent, by UIDL. The first of several messages keeps one. */
static size_t sort_by_uidl(struct pairs *p, struct pair **sorted)
{
    size_t n = 0, kept = 0;

    for (size_t i = 0; i < p->count; i++)
        if (p->all[i].uidl != NULL && p->all[i].fault == NULL)
            sorted[n++] = &p->all[i];
    qsort(sorted, n, sizeof *sorted, by_uidl);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && strcmp(sorted[kept - 1]->uidl, sorted[i]->uidl) == 0) {
            sorted[i]->fault = "is that of a message before, too";
            sorted[i]->shared = sorted[kept - 1]->shared = true;
        } else {
            sorted[kept++] = sorted[i];
        }
    }
    return kept;
}

static struct pair *with_uidl(struct pair **sorted, size_t count, const char *uidl)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(sorted[middle]->uidl, uidl) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && strcmp(sorted[low]->uidl, uidl) == 0 ? sorted[low] : NULL;
}

/* What the mailbox has, or may make itself. */
static bool ask_mailbox(struct ctl *c, const struct mailbox_ref *mailbox, struct pair **sorted, size_t count,
                        bool resumed)
{
    struct buf uidls = BUF_EMPTY;
    struct args a = ARGS_NONE;
    PGresult *res;

    pg_array_begin(&uidls, PG_TEXT);
    for (size_t i = 0; i < count; i++)
        pg_array_put_bytes(&uidls, span_str(sorted[i]->uidl));
    pg_array_set_count(&uidls, (uint32_t)count);
    args_mailbox(&a, mailbox);
    args_binary(&a, &uidls);
    res = db_ask(c, "look for the UIDLs", "select uidl, ours from postern.uidls_in_use($1, $2)", &a);
    buf_free(&uidls);
    if (res == NULL)
        return false;
    for (int i = 0; i < PQntuples(res); i++) {
        struct pair *m = with_uidl(sorted, count, PQgetvalue(res, i, 0));

        if (m == NULL)
            continue;
        m->in_use = true;
        m->ours = PQgetvalue(res, i, 1)[0] == 't';
        /* Mail that went elsewhere and comes back has them: it need not be stored, mostly. */
        if (m->ours && !resumed)
            m->fault = "is one that the mailbox may make itself";
        else if (!resumed)
            m->fault = "is that of a message in the mailbox: see --resume";
    }
    PQclear(res);
    return true;
}

/* A server that has messages shows their UIDLs, or it has none to show. */
static void tell_without(const struct pairs *p)
{
    size_t without = 0;

    for (size_t i = 0; i < p->count; i++)
        without += p->all[i].uidl == NULL;
    if (without > 0 && without == p->count)
        p->note(p->arg, p->all[0].path, 0, NULL, "has no UIDLs: messages get new ones");
    for (size_t i = 0; without < p->count && i < p->count; i++)
        if (p->all[i].uidl == NULL)
            p->note(p->arg, p->all[i].path, p->all[i].number, NULL, "has no UIDL at the server");
}

struct pairs *pairs_new(struct ctl *c, const struct mailbox_ref *mailbox, struct source *source, const char *list,
                        bool resumed, pairs_note *note, void *arg)
{
    struct pairs *p = mem_zalloc(sizeof *p);
    bool unordered, ok;

    p->note = note;
    p->arg = arg;
    p->native = list == NULL;
    source_quiet(source, true);
    unordered = look_at_all(p, source);
    ok = list == NULL || give_list(p, source, list, unordered);
    if (ok) {
        struct pair **sorted = mem_array(p->count + 1, sizeof *sorted);
        size_t count = sort_by_uidl(p, sorted);

        ok = count == 0 || mailbox == NULL || ask_mailbox(c, mailbox, sorted, count, resumed);
        mem_free(sorted);
    }
    source_quiet(source, false);
    if (ok && p->native && source_by_uidl(source))
        tell_without(p);
    for (size_t i = 0; ok && i < p->count; i++) {
        struct pair *m = &p->all[i];

        if (m->uidl == NULL || m->fault == NULL)
            continue;
        note(arg, m->file, m->line, m->uidl, m->fault);
        m->uidl = NULL;
    }
    if (!ok)
        pairs_free(&p);
    return p;
}

void pairs_free(struct pairs **pairs)
{
    struct pairs *p = *pairs;

    if (p->list != NULL)
        uidls_free(&p->list);
    mem_free(p->all);
    mem_free(p);
    *pairs = NULL;
}

void pairs_again(struct pairs *pairs)
{
    pairs->next = 0;
    pairs->path = NULL;
}

const struct pair *pairs_find(struct pairs *pairs, const struct source_item *item)
{
    return find(pairs, item);
}

size_t pairs_count(const struct pairs *pairs) { return pairs->count; }

size_t pairs_number(const struct pairs *pairs, const struct pair *pair) { return (size_t)(pair - pairs->all); }
