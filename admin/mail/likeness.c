/*
 * likeness.c - two digests of a message (see likeness.h).
 */
#include "admin/mail/likeness.h"

#include <string.h>
#include <strings.h>

/*
 * What mail servers and programs keep in the header of a message, of which POP3 shows some or
 * none (mbox), and what a delivery puts in front.
 */
static const char *const fields[] = {
    "Status", "X-Status", "X-Keywords", "X-UID", "X-UIDL", "X-IMAP", "X-IMAPbase", "Content-Length", "Lines",
    "X-Mozilla-Status", "X-Mozilla-Status2", "X-Mozilla-Keys", "Return-Path", "Delivered-To", "Envelope-To",
    "X-Original-To",
};

static bool is_left_out(struct span name)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strlen(fields[i]) == name.len && strncasecmp(fields[i], name.at, name.len) == 0)
            return true;
    return false;
}

void likeness_begin(struct likeness_hash *h)
{
    *h = (struct likeness_hash){ .octets = 0 };
    content_hash_begin(&h->all);
    content_hash_begin(&h->kept);
}

static void keep(struct likeness_hash *h, const char *at, size_t len)
{
    if (len > 0)
        content_hash_add(&h->kept, (struct span){ at, len });
}

/* The line is `name` so far, and what it is is known. */
static void decide(struct likeness_hash *h, bool left_out)
{
    h->left_out = left_out;
    if (!left_out)
        keep(h, h->name, h->len);
    h->len = 0;
    h->state = LIKENESS_IN_LINE;
}

/* One octet at the beginning of a line. */
static void name_octet(struct likeness_hash *h, char c)
{
    struct span name = { h->name, h->len };

    h->name[h->len++] = c;
    if (c == '\n') {
        /* An empty line ends the header; a line without a colon is kept as it is. */
        bool empty = h->len <= 2 && (h->len == 1 || h->name[0] == '\r');

        decide(h, false);
        h->state = empty ? LIKENESS_BODY : LIKENESS_NAMING;
    } else if (name.len == 0 && (c == ' ' || c == '\t')) {
        decide(h, h->left_out);
    } else if (c == ':') {
        decide(h, is_left_out(name));
    } else if (h->len == LIKENESS_NAME) {
        decide(h, false);
    }
}

void likeness_add(struct likeness_hash *h, struct span s)
{
    content_hash_add(&h->all, s);
    h->octets += s.len;
    while (s.len > 0 && h->state != LIKENESS_BODY) {
        size_t n = 1;

        if (h->state == LIKENESS_NAMING) {
            name_octet(h, *s.at);
        } else {
            const char *lf = memchr(s.at, '\n', s.len);

            n = lf != NULL ? (size_t)(lf - s.at) + 1 : s.len;
            if (!h->left_out)
                keep(h, s.at, n);
            if (lf != NULL)
                h->state = LIKENESS_NAMING;
        }
        s = (struct span){ s.at + n, s.len - n };
    }
    keep(h, s.at, s.len);
}

void likeness_end(struct likeness_hash *h, struct likeness *likeness_r)
{
    if (h->state == LIKENESS_NAMING)
        keep(h, h->name, h->len);
    likeness_r->octets = h->octets;
    content_hash_end(&h->all, likeness_r->digest);
    content_hash_end(&h->kept, likeness_r->kept);
}
