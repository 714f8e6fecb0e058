/*
 * hide.c - header fields that clients did not see.
 *
 * Must never touch the body, and no field but those that are named.
 */
#include "admin/mail/hide.h"

#include <string.h>

struct hide hide_start(const struct hide_how *how)
{
    return (struct hide){ .how = how, .state = HIDE_BEGIN };
}

static void add(struct hide *h, hide_out *out, void *arg)
{
    if (!h->added && h->how->add.len > 0)
        out(arg, h->how->add.at, h->how->add.len);
    h->added = true;
}

static void let_go(struct hide *h, hide_out *out, void *arg)
{
    if (h->length > 0)
        out(arg, h->held, h->length);
    h->length = 0;
}

/* What is held is a line up to its colon, which blanks may precede. */
static bool has_name(const struct hide *h, const char *name)
{
    size_t n = h->length;

    while (n > 0 && (h->held[n - 1] == ' ' || h->held[n - 1] == '\t'))
        n--;
    return span_is_nocase((struct span){ h->held, n }, span_str(name));
}

static bool is_hidden(const struct hide *h)
{
    for (const char *const *name = h->how->names; *name != NULL; name++)
        if (has_name(h, *name))
            return true;
    return false;
}

/* It is known what the line is; the octet after what is held is the next one. */
static void decide(struct hide *h, bool dropped, hide_out *out, void *arg)
{
    h->dropped = dropped;
    h->state = dropped ? HIDE_DROP : HIDE_KEEP;
    if (dropped)
        h->length = 0;
    let_go(h, out, arg);
}

/* At the beginning of a line, or in the name of a field. False: the octet was not taken. */
static bool header_octet(struct hide *h, char c, hide_out *out, void *arg)
{
    const bool begins = h->length == 0, blank = c == ' ' || c == '\t';

    if (begins && blank) {
        decide(h, h->dropped && !h->how->one_line, out, arg);
        return false;
    }
    if (c == '\n' && (begins || (h->length == 1 && h->held[0] == '\r'))) {
        h->state = HIDE_BODY;
        add(h, out, arg);
        let_go(h, out, arg);
        return false;
    }
    if (c == ':') {
        bool dropped = is_hidden(h);

        if (!dropped && h->how->before != NULL && has_name(h, h->how->before))
            add(h, out, arg);
        decide(h, dropped, out, arg);
        return false;
    }
    if (c == '\n' || h->length == sizeof h->held) {
        decide(h, false, out, arg);
        return false;
    }
    h->held[h->length++] = c;
    h->state = HIDE_NAME;
    return true;
}

void hide_feed(struct hide *h, const char *in, size_t len, hide_out *out, void *arg)
{
    const char *end = in + len;

    while (in < end && h->state != HIDE_BODY) {
        if (h->state == HIDE_BEGIN || h->state == HIDE_NAME) {
            if (header_octet(h, *in, out, arg))
                in++;
            continue;
        }
        const char *lf = memchr(in, '\n', (size_t)(end - in)), *next = lf != NULL ? lf + 1 : end;

        if (h->state == HIDE_KEEP)
            out(arg, in, (size_t)(next - in));
        if (lf != NULL)
            h->state = HIDE_BEGIN;
        in = next;
    }
    if (in < end)
        out(arg, in, (size_t)(end - in));
}

void hide_end(struct hide *h, hide_out *out, void *arg)
{
    if (h->state == HIDE_BEGIN)
        add(h, out, arg);
    let_go(h, out, arg);
}
