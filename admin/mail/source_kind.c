/*
 * source_kind.c - what all sources have in common: each does the rest by the functions of
 * its kind.
 */
#include "admin/mail/source_impl.h"

void source_free(struct source **source)
{
    struct source *s = *source;

    buf_free(&s->broken);
    s->kind->free(s);
    *source = NULL;
}

int source_next(struct source *s, struct source_item *it)
{
    *it = (struct source_item){ .source = s, .fd = -1 };
    return s->kind->next(s, it);
}

bool source_fetch(struct source_item *it)
{
    const struct source_kind *kind = it->source->kind;

    return kind->fetch == NULL ? it->reject == NULL : kind->fetch(it);
}

void source_again(struct source *s)
{
    s->kind->again(s);
    s->seen = (struct source_seen){ .files = 0 };
}

void source_choose(struct source *s, source_wanted *wanted, void *arg)
{
    s->wanted = wanted;
    s->wanted_arg = arg;
}

const char *source_broken(const struct source *s) { return buf_left(&s->broken) > 0 ? buf_span(&s->broken).at : NULL; }

bool source_has_uidls(const struct source *s) { return s->list_count > 0 || s->server != NULL || s->kind->by_uidl; }

bool source_by_uidl(const struct source *s) { return s->kind->by_uidl; }

const char *source_label(const struct source *s) { return s->kind->label != NULL ? s->kind->label(s) : NULL; }

void source_quiet(struct source *s, bool quiet) { s->quiet = quiet; }

int64_t source_octets(const struct source *s) { return s->octets; }
