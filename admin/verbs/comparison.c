/*
 * comparison.c - one mailbox and what another server has of it (see comparison.h).
 *
 * Of each message only digests are held. The source is read first, which may take long, then
 * the mailbox in one snapshot.
 */
#include "admin/verbs/comparison.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/db.h"
#include "admin/mail/compare.h"
#include "admin/mail/here.h"
#include "admin/mail/pairs.h"
#include "admin/progress.h"
#include "admin/shown.h"
#include "admin/tenant.h"
#include "daemon/base/mem.h"

/* Where a message of the source is: as in struct source_item. */
struct place {
    const char *path;
    unsigned number;
};

struct comparison {
    struct ctl *c;
    struct json *json;              /* NULL: lines of text */
    char address[CTL_ADDRESS_SIZE];
    bool with[IMPORT_KINDS];
    const char *uidls;              /* path of a list, or NULL */
    struct source *source;
    struct pairs *pairs;            /* NULL: there is no list */
    struct compare_side there;
    struct place *places;           /* of there.mails[i] */
    size_t room;
    struct here here;
    uint64_t same, missing, extra, different, moved, deleted;
    uint64_t rejected, left_out, doubts, without_uidl;
    struct progress progress;
};

/* ---------------------------------------------------------------------- telling */

static const char *place_text(const struct place *p, char out[32])
{
    out[0] = '\0';
    if (p->number > 0)
        snprintf(out, 32, ":message %u", p->number);
    return out;
}

/* Begins a line, or an object: kind is "missing". */
static void tell(struct comparison *k, const char *kind, const struct place *place)
{
    char number[32];

    progress_clear(&k->progress);
    if (k->json != NULL) {
        json_object(k->json, NULL);
        json_text(k->json, "kind", span_str(kind));
        if (place != NULL) {
            json_text(k->json, "file", span_str(place->path));
            if (place->number > 0)
                json_int(k->json, "message", place->number);
        }
        return;
    }
    for (; *kind != '\0'; kind++)
        putchar(*kind - 'a' + 'A');
    if (place != NULL)
        printf(" %s%s", shown_name(place->path), place_text(place, number));
}

static void tell_text(struct comparison *k, const char *key, const char *value, const char *before)
{
    if (k->json != NULL)
        json_text(k->json, key, span_str(value));
    else
        printf("%s%s", before, shown_name(value));
}

static void tell_int(struct comparison *k, const char *key, int64_t n, const char *before)
{
    if (k->json != NULL)
        json_int(k->json, key, n);
    else
        printf("%s%lld", before, (long long)n);
}

static void tell_end(struct comparison *k, const char *text)
{
    if (k->json != NULL)
        json_end(k->json);
    else
        puts(text);
}

static void tell_rejected(struct comparison *k, const struct place *place, const char *why)
{
    k->rejected++;
    tell(k, "rejected", place);
    if (k->json != NULL)
        json_text(k->json, "reason", span_str(why));
    else
        printf(" %s", why);
    tell_end(k, "");
}

static void tell_missing(struct comparison *k, const struct compare_mail *m, const struct place *place)
{
    k->missing++;
    tell(k, "missing", place);
    if (m->uidl != NULL)
        tell_text(k, "uidl", m->uidl, " with the UIDL ");
    tell_end(k, " is not in the mailbox");
}

static void tell_extra(struct comparison *k, const struct compare_mail *m)
{
    k->extra++;
    tell(k, "extra", NULL);
    tell_int(k, "uid", here_uid(&k->here, m), " uid ");
    tell_text(k, "uidl_here", m->uidl, " with the UIDL ");
    tell_end(k, " is not at the source");
}

static void tell_different(struct comparison *k, const struct compare_mail *m, const struct place *place)
{
    const char *what = "", *next = ":";

    k->different++;
    tell(k, "differs", place);
    tell_int(k, "uid", here_uid(&k->here, m->other), " from uid ");
    if ((m->flags & COMPARE_UIDL) != 0) {
        tell_text(k, "uidl", m->uidl, ": the UIDL there is ");
        tell_text(k, "uidl_here", m->other->uidl, ", here ");
        next = ";";
    }
    if ((m->flags & COMPARE_OCTETS) != 0) {
        tell_int(k, "octets", (int64_t)m->likeness.octets, next[0] == ';' ? "; octets there " : ": octets there ");
        tell_int(k, "octets_here", (int64_t)m->other->likeness.octets, ", here ");
        next = ";";
    }
    if ((m->flags & COMPARE_FIELDS) != 0)
        what = " differs only in header fields that servers add or hide";
    else if ((m->flags & COMPARE_TEXT) != 0)
        what = " is another text";
    if (k->json != NULL) {
        json_bool(k->json, "text", (m->flags & COMPARE_TEXT) != 0);
        json_bool(k->json, "only_fields", (m->flags & COMPARE_FIELDS) != 0);
    } else if (what[0] != '\0') {
        fputs(next, stdout);
    }
    tell_end(k, what);
}

static void tell_moved(struct comparison *k, const struct compare_mail *m, const struct place *place)
{
    k->moved++;
    tell(k, "order", place);
    tell_int(k, "uid", here_uid(&k->here, m->other), " is uid ");
    tell_end(k, ", which stands elsewhere in the order");
}

static void doubt(void *arg, const char *path, uint64_t line, const char *what)
{
    struct comparison *k = arg;
    struct place place = { path, 0 };

    k->doubts++;
    tell(k, "doubt", &place);
    if (k->json != NULL)
        json_text(k->json, "reason", span_str(what));
    tell_int(k, "line", (int64_t)line, ":");
    if (k->json == NULL)
        printf(" %s", what);
    tell_end(k, "");
}

static void uidl_fault(void *arg, const char *file, size_t line, const char *uidl, const char *what)
{
    (void)uidl;
    doubt(arg, file, line, what);
}

/* --------------------------------------------------------------------- the source */

static void hash(void *arg, const char *at, size_t len) { likeness_add(arg, (struct span){ at, len }); }

static struct compare_mail *add(struct comparison *k, const struct source_item *it, const struct pair *pair)
{
    struct compare_mail *m;

    if (k->there.count == k->room) {
        k->room = k->room > 0 ? 2 * k->room : 256;
        k->there.mails = mem_resize(k->there.mails, k->room, sizeof *k->there.mails);
        k->places = mem_resize(k->places, k->room, sizeof *k->places);
    }
    m = &k->there.mails[k->there.count];
    *m = (struct compare_mail){ .uidl = k->pairs == NULL ? it->uidl : pair != NULL ? pair->uidl : NULL,
                                .has_kept = true };
    k->places[k->there.count++] = (struct place){ it->path, it->number };
    return m;
}

static void add_read(struct comparison *k, struct source_item *it)
{
    const struct pair *pair = k->pairs != NULL ? pairs_find(k->pairs, it) : NULL;
    const struct place place = { it->path, it->number };
    struct compare_mail *m;
    struct likeness_hash h;

    if (it->reject == NULL && it->kind != STATE_LIVING && !k->with[it->kind]) {
        k->left_out++;
        return;
    }
    if (it->reject == NULL && !source_fetch(it) && source_broken(k->source) != NULL)
        return;
    likeness_begin(&h);
    if (it->reject == NULL && !source_read(it, hash, &h))
        it->reject = "cannot be read";
    m = add(k, it, pair);
    m->unread = it->reject != NULL;
    likeness_end(&h, &m->likeness);
    k->without_uidl += m->uidl == NULL && !m->unread;
    if (it->reject != NULL)
        tell_rejected(k, &place, it->reject);
}

static enum ctl_exit read_pairs(struct comparison *k)
{
    struct args a = ARGS_NONE;
    struct mailbox_ref mailbox;
    PGresult *res;

    args_text(&a, k->address);
    res = db_ask_binary(k->c, "find the mailbox", "select postern.find_mailbox($1)", &a);
    if (res == NULL)
        return db_end(k->c);
    mailbox = db_mailbox(res, 0, 0);
    PQclear(res);
    if (k->uidls == NULL)
        return CTL_DONE;
    k->pairs = pairs_new(k->c, &mailbox, k->source, k->uidls, true, uidl_fault, k);
    return k->pairs != NULL ? CTL_DONE : db_end(k->c);
}

static enum ctl_exit read_source(struct comparison *k)
{
    struct source_item it;
    int64_t octets = 0;
    enum ctl_exit end;

    if (source_fault(k->source) != NULL)
        return ctl_error(CTL_FAILED, "%s", source_fault(k->source));
    end = read_pairs(k);
    if (end != CTL_DONE)
        return end;
    progress_start(&k->progress, "messages", source_octets(k->source));
    while (source_broken(k->source) == NULL && source_next(k->source, &it) == 1) {
        add_read(k, &it);
        octets += it.end - it.at;
        progress_step(&k->progress, k->there.count, octets);
    }
    progress_clear(&k->progress);
    if (source_broken(k->source) != NULL)
        return ctl_error(CTL_FAILED, "%s", source_broken(k->source));
    return CTL_DONE;
}

/* ------------------------------------------------------------------- both together */

static void judge(struct comparison *k)
{
    for (size_t i = 0; i < k->there.count; i++) {
        const struct compare_mail *m = &k->there.mails[i];

        /* It was told, and what it is nobody knows. */
        if (m->unread)
            continue;
        if (m->other == NULL) {
            if (!k->with[IMPORT_GONE] && here_gone(&k->here, m->likeness.digest))
                k->deleted++;
            else
                tell_missing(k, m, &k->places[i]);
            continue;
        }
        if ((m->flags & ~(unsigned)COMPARE_ORDER) != 0)
            tell_different(k, m, &k->places[i]);
        if ((m->flags & COMPARE_ORDER) != 0)
            tell_moved(k, m, &k->places[i]);
        k->same += m->flags == 0;
    }
    for (size_t i = 0; i < k->here.side.count; i++)
        if (k->here.side.mails[i].other == NULL)
            tell_extra(k, &k->here.side.mails[i]);
}

static bool is_alike(const struct comparison *k)
{
    return k->missing + k->extra + k->different + k->moved + k->rejected + k->doubts == 0;
}

void comparison_count(const char *what, uint64_t n)
{
    if (n > 0)
        printf(", %llu %s", (unsigned long long)n, what);
}

static void summary(struct comparison *k)
{
    const struct {
        const char *key, *text;
        uint64_t n;
    } counts[] = {
        { "missing", "missing here", k->missing }, { "extra", "not at the source", k->extra },
        { "different", "different", k->different }, { "order", "elsewhere in the order", k->moved },
        { "deleted", "deleted here since they were imported", k->deleted }, { "rejected", "rejected", k->rejected },
        { "left_out", "left out (--with)", k->left_out }, { "doubts", "doubts", k->doubts },
        { "without_uidl", "whose UIDL the source does not know", k->without_uidl },
    };

    if (k->json == NULL)
        printf("%s %s: %zu messages here, %zu at the source, %llu the same", is_alike(k) ? "ALIKE" : "NOT-ALIKE",
               k->address, k->here.side.count, k->there.count - (size_t)k->rejected, (unsigned long long)k->same);
    else
        json_end(k->json);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (k->json == NULL)
            comparison_count(counts[i].text, counts[i].n);
        else
            json_int(k->json, counts[i].key, (int64_t)counts[i].n);
    if (k->json == NULL) {
        putchar('\n');
        return;
    }
    json_int(k->json, "here", (int64_t)k->here.side.count);
    json_int(k->json, "there", (int64_t)(k->there.count - k->rejected));
    json_int(k->json, "same", (int64_t)k->same);
    json_bool(k->json, "alike", is_alike(k));
}

static enum ctl_exit compare_here(struct comparison *k)
{
    enum ctl_exit end;

    if (!db_do(k->c, "read the mailbox", "begin isolation level repeatable read, read only"))
        return db_end(k->c);
    end = here_load(k->c, k->address, &k->here);
    if (end == CTL_DONE) {
        compare_match(&k->here.side, &k->there);
        end = here_kept(k->c, &k->here);
    }
    /* Also where it failed: the next mailbox has a transaction of its own. */
    if (PQstatus(k->c->db) == CONNECTION_OK)
        db_do(k->c, "read the mailbox", "rollback");
    if (end == CTL_DONE) {
        compare_rest(&k->here.side, &k->there);
        judge(k);
    }
    return end;
}

enum ctl_exit comparison_run(struct ctl *c, struct json *j, struct comparison_of what)
{
    struct comparison k = { .c = c, .json = j, .uidls = what.uidls };
    enum ctl_exit end;

    if (!ctl_address(what.address, false, k.address))
        return CTL_FAILED;
    memcpy(k.with, what.with, sizeof k.with);
    if (j != NULL) {
        json_object(j, NULL);
        json_text(j, "address", span_str(k.address));
        json_array(j, "differences");
    }
    end = tenant_opens(c, k.address);
    if (end == CTL_DONE)
        k.source = what.open(what.arg, k.address, doubt, &k);
    if (end == CTL_DONE)
        end = k.source != NULL ? read_source(&k) : CTL_FAILED;
    if (end == CTL_DONE)
        end = compare_here(&k);
    progress_clear(&k.progress);
    if (end == CTL_DONE)
        summary(&k);
    else if (j != NULL)
        json_end(j);
    if (j != NULL && end != CTL_DONE)
        json_bool(j, "failed", true);
    if (j != NULL)
        json_end(j);
    if (k.pairs != NULL)
        pairs_free(&k.pairs);
    if (k.source != NULL)
        source_free(&k.source);
    here_free(&k.here);
    mem_free(k.there.mails);
    mem_free(k.places);
    return end == CTL_DONE && !is_alike(&k) ? CTL_PARTLY : end;
}
