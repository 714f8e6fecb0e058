/*
 * courier.c - the UIDLs that Courier gave the messages of a Maildir.
 *
 * Must never take half a number for a whole one: it would be the UIDL of another message.
 */
#include "admin/mail/courier.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "admin/mail/listfile.h"
#include "daemon/base/num.h"

static bool any_number(struct span word, uint64_t *n_r) { return num_parse(word, UINT64_MAX, n_r) == 1; }

/* "/3 17 1796063130" */
static const char *sizelist_header(struct courier_list *l, struct span line)
{
    struct span version = listfile_word(&line);
    uint64_t n;

    l->version = span_is(version, SPAN_OF("/1")) ? 1 : span_is(version, SPAN_OF("/2")) ? 2
        : span_is(version, SPAN_OF("/3")) ? 3 : 0;
    if (l->version == 0)
        return "is of a version that is not known: /1, /2 and /3 are";
    return any_number(listfile_word(&line), &n) ? NULL : "has no number in its first line";
}

const char *courier_open(struct courier_list *l, int fd)
{
    const char *why;
    bool whole;

    *l = (struct courier_list){ .version = 0 };
    why = listfile_read(fd, &l->text);
    l->left = buf_span(&l->text);
    if (why == NULL && l->left.len == 0)
        why = "is empty";
    if (why != NULL || l->left.at[0] != '/')
        return why;
    l->line = 1;
    return sizelist_header(l, listfile_line(&l->left, &whole));
}

void courier_close(struct courier_list *l) { buf_free(&l->text); }

static struct span up_to_colon(struct span *word)
{
    struct span part = listfile_base(*word);
    size_t used = part.len + (part.len < word->len);

    *word = (struct span){ word->at + used, word->len - used };
    return part;
}

/* "7:1796063130:0", "7:1796063130", or "7" */
static bool numbers(int version, struct span word, struct courier_entry *e)
{
    uint64_t utf8;

    if (!any_number(up_to_colon(&word), &e->number))
        return false;
    if (version >= 2 && !any_number(up_to_colon(&word), &e->validity))
        return false;
    if (version >= 3 && !any_number(up_to_colon(&word), &utf8))
        return false;
    return word.len == 0;
}

static const char *sizelist_entry(struct span line, bool whole, int version, struct courier_entry *e)
{
    uint64_t octets;

    *e = (struct courier_entry){ .number = 0 };
    if (!whole)
        return "is not complete";
    if (version > 0 && !numbers(version, listfile_last_word(&line), e))
        return "does not end with the numbers of its version";
    if (!any_number(listfile_last_word(&line), &octets))
        return "has no size";
    e->name = listfile_base(line);
    return listfile_is_name(e->name) ? NULL : "has a name that no file of a Maildir has";
}

int courier_next(struct courier_list *l, struct courier_entry *e, const char **fault_r)
{
    bool whole;
    struct span line;

    if (l->left.len == 0)
        return 0;
    l->line++;
    line = listfile_line(&l->left, &whole);
    *fault_r = sizelist_entry(line, whole, l->version, e);
    return *fault_r == NULL ? 1 : -1;
}

void courier_uidl(const struct courier_entry *e, struct buf *out)
{
    if (e->number > 0) {
        buf_addf(out, "UID%" PRIu64, e->number);
        if (e->validity > 0)
            buf_addf(out, "-%" PRIu64, e->validity);
        return;
    }
    for (size_t i = 0; i < e->name.len; i++) {
        const unsigned char c = (unsigned char)e->name.at[i];

        if (c < 0x21 || c > 0x7e || c == '\'' || c == '"' || c == '+')
            buf_addf(out, "+%02X", (unsigned)c);
        else
            buf_add(out, &e->name.at[i], 1);
    }
}

int courier_cmp(const char *a, const char *b)
{
    const long long x = strtoll(a, NULL, 10), y = strtoll(b, NULL, 10);

    if (x != y)
        return x < y ? -1 : 1;
    while (*a != '\0' && *a != ':' && *a == *b) {
        a++;
        b++;
    }
    /* As signed octets, which they were where Courier ran; a name without flags is the same as with them. */
    const signed char p = (signed char)(*a == ':' ? '\0' : *a), q = (signed char)(*b == ':' ? '\0' : *b);
    return (p > q) - (p < q);
}
