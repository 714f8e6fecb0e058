/*
 * state.c - what a mailbox format says of a message beside its text.
 */
#include "admin/mail/state.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    MOZILLA_EXPUNGED = 0x0008,          /* X-Mozilla-Status: gone when the folder is compacted */
    MOZILLA_IMAP_DELETED = 0x00200000,  /* X-Mozilla-Status2: \Deleted on an IMAP server */
};

enum state_kind state_kind(unsigned flags)
{
    const unsigned internal = STATE_INTERNAL_SUBJECT | STATE_INTERNAL_FIELD;

    return (flags & internal) == internal ? STATE_KIND_FOLDER_DATA
        : (flags & STATE_DELETED) != 0 ? STATE_KIND_DELETED
        : (flags & STATE_DRAFT) != 0 ? STATE_KIND_DRAFT : STATE_LIVING;
}

/* The value of the field, without blanks around it, if the line is that field. */
static bool is_field(struct span line, const char *name, struct span *value_r)
{
    size_t len = strlen(name), at = len;

    if (line.len <= len || strncasecmp(line.at, name, len) != 0)
        return false;
    while (at < line.len && (line.at[at] == ' ' || line.at[at] == '\t'))
        at++;
    if (at == line.len || line.at[at] != ':')
        return false;
    at++;
    while (at < line.len && isspace((unsigned char)line.at[at]))
        at++;
    while (line.len > at && isspace((unsigned char)line.at[line.len - 1]))
        line.len--;
    *value_r = (struct span){ line.at + at, line.len - at };
    return true;
}

/* Hexadecimal, as far as it goes; what does not fit is no status. */
static uint32_t hex(struct span value)
{
    uint32_t n = 0;

    if (value.len > 8)
        return 0;
    for (size_t i = 0; i < value.len; i++) {
        int c = tolower((unsigned char)value.at[i]);

        if (!isxdigit(c))
            return 0;
        n = n * 16 + (uint32_t)(isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    return n;
}

/* Letters, and only letters: "RO", "D". */
static bool has_letter(struct span value, char letter)
{
    bool has = false;

    for (size_t i = 0; i < value.len; i++) {
        if (!isalpha((unsigned char)value.at[i]))
            return false;
        has = has || value.at[i] == letter;
    }
    return has;
}

unsigned state_of_field(struct span line)
{
    struct span v;

    /* Most lines begin with another letter. */
    if (line.len < 6 || (line.at[0] | 0x20) < 's' || (line.at[0] | 0x20) > 'x')
        return 0;
    if (is_field(line, "X-Mozilla-Status", &v))
        return (hex(v) & MOZILLA_EXPUNGED) != 0 ? STATE_DELETED : 0;
    if (is_field(line, "X-Mozilla-Status2", &v))
        return (hex(v) & MOZILLA_IMAP_DELETED) != 0 ? STATE_DELETED : 0;
    if (is_field(line, "X-Mozilla-Draft-Info", &v))
        return STATE_DRAFT;
    if (is_field(line, "X-Status", &v))
        return (has_letter(v, 'D') ? STATE_DELETED : 0) | (has_letter(v, 'T') ? STATE_DRAFT : 0);
    if (is_field(line, "Status", &v))
        return has_letter(v, 'D') ? STATE_DELETED : 0;
    if (is_field(line, "X-IMAP", &v) || is_field(line, "X-IMAPbase", &v))
        return STATE_INTERNAL_FIELD;
    if (is_field(line, "Subject", &v) && span_is(v, SPAN_OF("DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA")))
        return STATE_INTERNAL_SUBJECT;
    return 0;
}

size_t state_maildir_base(const char *name)
{
    const char *info = NULL;

    /* Windows has no colon in names: programs there write `;` or `!`. */
    for (const char *p = name; *p != '\0'; p++)
        if ((*p == ':' || *p == ';' || *p == '!') && p[1] == '2' && p[2] == ',')
            info = p;
    return info != NULL ? (size_t)(info - name) : strlen(name);
}

unsigned state_of_maildir_name(const char *name)
{
    const char *info = name + state_maildir_base(name);
    unsigned flags = 0;

    for (info += *info != '\0' ? 3 : 0; isalpha((unsigned char)*info); info++)
        flags |= *info == 'T' ? STATE_DELETED : *info == 'D' ? STATE_DRAFT : 0u;
    return flags;
}

unsigned state_of_mh_name(const char *name)
{
    size_t digits = name[0] == ',' || name[0] == '#' ? strspn(name + 1, "0123456789") : 0;

    return digits > 0 && name[1 + digits] == '\0' ? STATE_DELETED : 0;
}
