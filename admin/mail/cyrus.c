/*
 * cyrus.c - the messages and the UIDLs of a mailbox of Cyrus.
 *
 * All numbers in the file are big endian.
 */
#include "admin/mail/cyrus.h"

#include <string.h>

#include "admin/mail/listfile.h"

enum {
    OLDEST = 6,
    COMMON = 24,                        /* octets that the header has in all versions, */
    AT_VERSION = 8, AT_START = 12, AT_RECORD = 16, AT_COUNT = 20,   /* and what is where in them */
    FLAG_DELETED = 1 << 2, FLAG_DRAFT = 1 << 3, FLAG_ARCHIVED = 1 << 29, FLAG_UNLINKED = 1 << 30,
    OPTION_UIDL = 1 << 0,
};
#define FLAG_EXPUNGED 0x80000000u

/* What is where, from this version on; 0: it has none. */
struct cyrus_layout {
    uint32_t version;
    uint32_t header, record;            /* octets that have to be there */
    uint32_t last_uid, validity, options, show_after;   /* in the header */
    uint32_t received, flags;           /* in a record, whose uid is in front */
    bool wide;                          /* times are nanoseconds in 64 bits, not seconds in 32 */
};

static const struct cyrus_layout layouts[] = {
    { 20, 192, 144, 88, 92, 64, 112, 8, 36, true },
    { 19, 160, 112, 28, 44, 64, 112, 4, 32, false },
    { 13, 128, 104, 28, 44, 60, 112, 4, 32, false },
    { OLDEST, 76, 60, 28, 44, 60, 0, 4, 32, false },
};
enum { NEWEST = 20 };

static uint32_t number_at(const struct buf *text, size_t at)
{
    const unsigned char *p = (const unsigned char *)buf_span(text).at + at;

    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t long_at(const struct buf *text, size_t at)
{
    return (uint64_t)number_at(text, at) << 32 | number_at(text, at + 4);
}

/* In microseconds. */
static int64_t time_at(const struct cyrus_index *x, size_t at)
{
    const struct buf *t = &x->text;

    return x->layout->wide ? (int64_t)(long_at(t, at) / 1000) : number_at(t, at) * INT64_C(1000000);
}

static const struct cyrus_layout *layout_of(uint32_t version)
{
    const struct cyrus_layout *l = layouts;

    if (version < OLDEST || version > NEWEST)
        return NULL;
    while (l->version > version)
        l++;
    return l;
}

static const char *index_header(struct cyrus_index *x)
{
    const size_t len = buf_left(&x->text);
    const struct cyrus_layout *l;

    if (len < COMMON)
        return len == 0 ? "is empty" : "is shorter than its header";
    l = x->layout = layout_of(number_at(&x->text, AT_VERSION));
    if (l == NULL)
        return "is of a version that is not known: 6 to 20 are";
    x->start = number_at(&x->text, AT_START);
    x->record = number_at(&x->text, AT_RECORD);
    x->count = number_at(&x->text, AT_COUNT);
    if (x->start < l->header || x->start > len || x->record < l->record)
        return "has a header that does not fit its version";
    if (x->count > (len - x->start) / x->record)
        return "is shorter than its header says";
    x->validity = number_at(&x->text, l->validity);
    x->last_uid = number_at(&x->text, l->last_uid);
    x->uid_alone = (number_at(&x->text, l->options) & OPTION_UIDL) == 0;
    if (l->show_after > 0)
        x->show_after = time_at(x, l->show_after);
    return x->validity > 0 ? NULL : "has no uidvalidity";
}

const char *cyrus_open(struct cyrus_index *x, int fd)
{
    const char *why;

    *x = (struct cyrus_index){ .count = 0 };
    why = listfile_read(fd, &x->text);
    return why != NULL ? why : index_header(x);
}

void cyrus_close(struct cyrus_index *x) { buf_free(&x->text); }

int cyrus_next(struct cyrus_index *x, struct cyrus_entry *e, const char **fault_r)
{
    const struct cyrus_layout *l = x->layout;
    size_t at;
    uint32_t flags;

    if (x->next == x->count)
        return 0;
    at = x->start + (size_t)x->next++ * x->record;
    flags = number_at(&x->text, at + l->flags);
    *e = (struct cyrus_entry){
        .uid = number_at(&x->text, at),
        .received = time_at(x, at + l->received),
        .expunged = (flags & (FLAG_EXPUNGED | FLAG_UNLINKED)) != 0,
        .archived = (flags & FLAG_ARCHIVED) != 0,
        .deleted = (flags & FLAG_DELETED) != 0, .draft = (flags & FLAG_DRAFT) != 0,
    };
    *fault_r = e->uid <= x->uid ? "has a uid that does not rise"
        : e->uid > x->last_uid ? "has a uid larger than the last one" : NULL;
    if (*fault_r != NULL)
        return -1;
    x->uid = e->uid;
    return 1;
}

/* -------------------------------------------------------------------- UIDLs */

enum form { CYRUS, UID_ALONE, DOVECOT, COURIER, FORMS };
static const char *const forms[FORMS] = { "cyrus", "uidonly", "dovecot", "courier" };

static enum form form_of(const char *format)
{
    enum form f = CYRUS;

    while (f < FORMS && strcmp(forms[f], format) != 0)
        f++;
    return f;
}

const char *cyrus_format_fault(const char *format)
{
    return form_of(format) < FORMS ? NULL : "is not one of those of Cyrus: cyrus, uidonly, dovecot or courier";
}

void cyrus_uidl(const struct cyrus_index *x, uint32_t uid, const char *format, struct buf *out)
{
    const unsigned long n = uid, validity = x->validity;

    switch (x->uid_alone ? UID_ALONE : form_of(format)) {
    case UID_ALONE:
        buf_addf(out, "%lu", n);
        break;
    case DOVECOT:
        buf_addf(out, "%08lx%08lx", n, validity);
        break;
    case COURIER:
        buf_addf(out, "%lu-%lu", validity, n);
        break;
    case CYRUS:
    case FORMS:
        buf_addf(out, "%lu.%lu", validity, n);
        break;
    }
}

uint32_t cyrus_uid_of(const char *name)
{
    const size_t digits = strspn(name, "0123456789");
    uint32_t uid;

    /* Cyrus writes no zeros in front: "01." is not "1.". */
    if (name[0] == '0' || strcmp(name + digits, ".") != 0 || !listfile_number((struct span){ name, digits }, &uid))
        return 0;
    return uid;
}
