/*
 * dovecot.c - the order and the UIDLs that Dovecot gave the messages of a Maildir.
 */
#include "admin/mail/dovecot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/base/num.h"

enum { READ = 65536, FILE_MAX = 512 * 1024 * 1024, WIDTH_MAX = 32 };

const char dovecot_format[] = "%08Xu%08Xv";

struct dovecot_list {
    struct buf text;
    uint32_t validity;
    struct dovecot_entry *entries;      /* by name */
    size_t count, room;
};

/* ---------------------------------------------------------------- reading */

static const char *read_all(int fd, struct buf *text)
{
    char *piece = mem_alloc(READ);
    const char *why = NULL;
    ssize_t got;

    while (why == NULL && (got = read(fd, piece, READ)) != 0) {
        if (got < 0 && errno != EINTR)
            why = "cannot be read";
        else if (got > 0 && buf_left(text) + (size_t)got > FILE_MAX)
            why = "is larger than 512 MB";
        else if (got > 0)
            buf_add(text, piece, (size_t)got);
    }
    mem_free(piece);
    return why;
}

static struct span take_line(struct span *text)
{
    const char *lf = memchr(text->at, '\n', text->len);
    struct span line = { text->at, lf != NULL ? (size_t)(lf - text->at) : text->len };
    size_t used = line.len + (lf != NULL);

    *text = (struct span){ text->at + used, text->len - used };
    return line;
}

/* Up to a space, which is taken too. */
static struct span take_word(struct span *line)
{
    const char *space = line->len > 0 ? memchr(line->at, ' ', line->len) : NULL;
    struct span word = { line->at, space != NULL ? (size_t)(space - line->at) : line->len };
    size_t used = word.len + (space != NULL);

    *line = (struct span){ line->at + used, line->len - used };
    return word;
}

static bool number_in(struct span word, uint32_t *n_r)
{
    uint64_t n;

    if (num_parse(word, UINT32_MAX, &n) != 1)
        return false;
    *n_r = (uint32_t)n;
    return true;
}

static const char *header(struct dovecot_list *l, struct span line, int *version_r)
{
    struct span version = take_word(&line);
    bool known = false;

    *version_r = span_is(version, SPAN_OF("1")) ? 1 : span_is(version, SPAN_OF("3")) ? 3 : 0;
    if (*version_r == 0)
        return "does not begin with the version 1 or 3";
    while (line.len > 0 && !known) {
        struct span word = take_word(&line);

        if (*version_r == 1)
            known = number_in(word, &l->validity);
        else if (word.len > 1 && word.at[0] == 'V')
            known = number_in((struct span){ word.at + 1, word.len - 1 }, &l->validity);
        if (*version_r == 1)
            break;
    }
    return known && l->validity > 0 ? NULL : "has no uidvalidity in its first line";
}

static struct span without_flags(struct span name)
{
    const char *colon = name.len > 0 ? memchr(name.at, ':', name.len) : NULL;

    return colon != NULL ? (struct span){ name.at, (size_t)(colon - name.at) } : name;
}

/* The words of version 3 up to the name, which follows a colon. */
static const char *extensions(struct span *line, struct dovecot_entry *e)
{
    while (line->len > 0 && line->at[0] != ':') {
        struct span word = take_word(line), value;

        if (word.len == 0)
            continue;
        value = (struct span){ word.at + 1, word.len - 1 };
        if (word.at[0] == 'P') {
            e->has_uidl = true;
            e->uidl = value;
        } else if (word.at[0] == 'G') {
            e->guid = value;
        } else if (word.at[0] == 'O' && !number_in(value, &e->order)) {
            return "has an O without a number";
        }
    }
    if (line->len == 0)
        return "has no name of a file";
    *line = (struct span){ line->at + 1, line->len - 1 };
    return NULL;
}

static const char *entry(struct span line, int version, struct dovecot_entry *e)
{
    const char *why = NULL;

    e->order = UINT32_MAX;
    if (!number_in(take_word(&line), &e->uid) || e->uid == 0)
        return "does not begin with a uid";
    if (version == 3)
        why = extensions(&line, e);
    if (why != NULL)
        return why;
    e->name = without_flags(line);
    if (e->name.len == 0)
        return "has no name of a file";
    return memchr(e->name.at, '/', e->name.len) != NULL || memchr(e->name.at, '\0', e->name.len) != NULL
               ? "has a name that no file of a Maildir has" : NULL;
}

static int by_name(const void *a, const void *b)
{
    const struct dovecot_entry *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = memcmp(x->name.at, y->name.at, n);

    return order != 0              ? order
           : x->name.len != y->name.len ? (x->name.len < y->name.len ? -1 : 1)
                                   : (x->line > y->line) - (x->line < y->line);
}

/* One file, one uid: the line that comes first is believed. */
static void sort(struct dovecot_list *l, dovecot_fault *fault, void *arg)
{
    size_t kept = 0;

    qsort(l->entries, l->count, sizeof *l->entries, by_name);
    for (size_t i = 0; i < l->count; i++) {
        if (kept > 0 && span_is(l->entries[kept - 1].name, l->entries[i].name))
            fault(arg, l->entries[i].line, "names a file that a line before names");
        else
            l->entries[kept++] = l->entries[i];
    }
    l->count = kept;
}

static void read_entries(struct dovecot_list *l, struct span text, int version, dovecot_fault *fault, void *arg)
{
    uint32_t last = 0;

    for (size_t line = 2; text.len > 0; line++) {
        struct dovecot_entry e = { .line = line };
        const char *why = entry(take_line(&text), version, &e);

        if (why == NULL && e.uid <= last)
            why = "has a uid that does not rise";
        if (why != NULL) {
            fault(arg, line, why);
            continue;
        }
        last = e.uid;
        if (l->count == l->room) {
            l->room = l->room > 0 ? 2 * l->room : 256;
            l->entries = mem_resize(l->entries, l->room, sizeof *l->entries);
        }
        l->entries[l->count++] = e;
    }
    if (l->count > 0)
        sort(l, fault, arg);
}

struct dovecot_list *dovecot_read(int fd, dovecot_fault *fault, void *arg, const char **error_r)
{
    struct dovecot_list *l = mem_zalloc(sizeof *l);
    struct span text;
    int version = 0;

    *error_r = read_all(fd, &l->text);
    if (*error_r == NULL && buf_left(&l->text) == 0)
        *error_r = "is empty";
    if (*error_r == NULL) {
        text = buf_span(&l->text);
        *error_r = header(l, take_line(&text), &version);
    }
    if (*error_r == NULL)
        read_entries(l, text, version, fault, arg);
    else
        dovecot_free(&l);
    return l;
}

void dovecot_free(struct dovecot_list **list)
{
    buf_free(&(*list)->text);
    mem_free((*list)->entries);
    mem_free(*list);
    *list = NULL;
}

const struct dovecot_entry *dovecot_find(const struct dovecot_list *l, const char *name)
{
    struct dovecot_entry wanted = { .name = without_flags(span_str(name)) };
    size_t low = 0, high = l->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (by_name(&l->entries[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < l->count && span_is(l->entries[low].name, wanted.name) ? &l->entries[low] : NULL;
}

/* ------------------------------------------------------------------ UIDLs */

struct variable {
    char letter;        /* u, v, f or g; % is itself */
    bool hex;
    int width;          /* of a number, with zeros in front */
};

/* What follows a percent sign. */
static const char *take_variable(const char **at, struct variable *v)
{
    const char *p = *at;

    *v = (struct variable){ .width = 0 };
    if (*p == '0')
        for (p++; *p >= '0' && *p <= '9' && v->width <= WIDTH_MAX; p++)
            v->width = 10 * v->width + (*p - '0');
    if (*p == 'X') {
        v->hex = true;
        p++;
    }
    v->letter = *p;
    if (*p == 'm')
        return "has %m, which Dovecot has for an mbox only";
    if (*p == '\0' || strchr("uvfg%", *p) == NULL || v->width > WIDTH_MAX)
        return "has something else than %u, %v, %f, %g, and numbers such as %08Xu";
    if (strchr("fg%", *p) != NULL && (v->hex || v->width > 0))
        return "has a text where there should be a number";
    *at = p + 1;
    return NULL;
}

const char *dovecot_format_fault(const char *format)
{
    const char *why = NULL;
    struct variable v;
    bool each = false;

    while (*format != '\0' && why == NULL)
        if (*format++ == '%') {
            why = take_variable(&format, &v);
            each |= v.letter == 'u' || v.letter == 'f' || v.letter == 'g';
        }
    return why != NULL ? why : each ? NULL : "is the same for all messages";
}

static void add_value(const struct dovecot_list *l, const struct dovecot_entry *e, const struct variable *v,
                      struct buf *out)
{
    const uint32_t n = v->letter == 'u' ? e->uid : l->validity;
    struct span text = v->letter == 'g' && e->guid.len > 0 ? e->guid : e->name;

    if (v->letter == '%')
        buf_add(out, "%", 1);
    else if (v->letter == 'f' || v->letter == 'g')
        buf_add(out, text.at, text.len);
    else
        buf_addf(out, v->hex ? "%0*lx" : "%0*lu", v->width > 0 ? v->width : 1, (unsigned long)n);
}

void dovecot_uidl(const struct dovecot_list *l, const struct dovecot_entry *e, const char *format, struct buf *out)
{
    struct variable v;

    if (e->has_uidl) {
        struct span kept = e->uidl.len > 0 ? e->uidl : e->name;

        buf_add(out, kept.at, kept.len);
        return;
    }
    while (*format != '\0') {
        if (*format != '%') {
            buf_add(out, format++, 1);
            continue;
        }
        format++;
        if (take_variable(&format, &v) != NULL)
            return;
        add_value(l, e, &v, out);
    }
}
