/*
 * uidl_format.c - formats of UIDLs as Dovecot has them.
 *
 * Must never take what it does not know for something else: a wrong UIDL is a message
 * that clients fetch again, or never see.
 */
#include "admin/mail/uidl_format.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/mem.h"

enum { WIDTH_MAX = 32, FILTERS = 4, MD5_OCTETS = 16 };

enum filter { HEX, LOWER, UPPER, MD5 };

struct variable {
    char letter;                /* u, v, f or g; % is itself */
    size_t count;               /* of filters */
    struct {
        enum filter filter;
        unsigned width;         /* of HEX: so many digits, 0: as many as it has */
    } filters[FILTERS];
    unsigned width;             /* of the result, with zeros in front */
};

static const char unknown[] = "has something other than %u, %v, %f, %g, %08Xu, and %{uid | hex(8)}";
static const char mixed[] = "has %{uid} of Dovecot 2.4 beside %u or %%, which are no variables there";
static const char of_mbox[] = "has %m, which Dovecot has for an mbox only: with a Maildir it shows no UIDLs then";

static const char *add_filter(struct variable *v, enum filter filter, unsigned width)
{
    bool number = v->letter == 'u' || v->letter == 'v';

    for (size_t i = 0; i < v->count; i++)
        number &= v->filters[i].filter == LOWER || v->filters[i].filter == UPPER;
    if (v->count == FILTERS)
        return unknown;
    if (filter == HEX && !number)
        return "makes a hexadecimal number of what is no number";
    v->filters[v->count].filter = filter;
    v->filters[v->count].width = width;
    v->count++;
    return NULL;
}

/* ------------------------------------------------------- between the braces */

static void skip_blanks(const char **p) { *p += strspn(*p, " \t"); }

static bool take_word(const char **p, const char *word)
{
    const size_t len = strlen(word);
    const char next = strncmp(*p, word, len) == 0 ? (*p)[len] : 'x';

    if ((next >= 'a' && next <= 'z') || (next >= '0' && next <= '9') || next == '_')
        return false;
    *p += len;
    return true;
}

/* "hex(8)" */
static const char *take_filter(const char **p, struct variable *v)
{
    unsigned width = 0;

    if (take_word(p, "lower"))
        return add_filter(v, LOWER, 0);
    if (take_word(p, "upper"))
        return add_filter(v, UPPER, 0);
    if (take_word(p, "md5")) {
        const char *more = *p;

        /* What is binary in the end is shown in hexadecimal anyway. */
        skip_blanks(&more);
        if (*more == '|') {
            more++;
            skip_blanks(&more);
            if (take_word(&more, "hexlify"))
                *p = more;
            else
                return unknown;
        }
        return add_filter(v, MD5, 0);
    }
    if (!take_word(p, "hex"))
        return unknown;
    skip_blanks(p);
    if (**p == '(') {
        ++*p;
        skip_blanks(p);
        if (**p < '0' || **p > '9')
            return unknown;
        for (; **p >= '0' && **p <= '9' && width <= WIDTH_MAX; ++*p)
            width = 10 * width + (unsigned)(**p - '0');
        skip_blanks(p);
        if (width > WIDTH_MAX || **p != ')')
            return unknown;
        ++*p;
    }
    return add_filter(v, HEX, width);
}

/* After the opening brace. */
static const char *take_long(const char **p, struct variable *v)
{
    const char *why = NULL;

    skip_blanks(p);
    if (take_word(p, "md5"))
        return of_mbox;
    v->letter = take_word(p, "uidvalidity") ? 'v' : take_word(p, "uid") ? 'u' : take_word(p, "filename") ? 'f'
        : take_word(p, "guid") ? 'g' : '\0';
    if (v->letter == '\0')
        return unknown;
    skip_blanks(p);
    while (why == NULL && **p == '|') {
        ++*p;
        skip_blanks(p);
        why = take_filter(p, v);
        skip_blanks(p);
    }
    if (why == NULL && **p != '}')
        why = unknown;
    *p += why == NULL;
    return why;
}

/* -------------------------------------------------------------- one variable */

static enum filter filter_of(char modifier)
{
    return modifier == 'X' ? HEX : modifier == 'L' ? LOWER : modifier == 'U' ? UPPER : MD5;
}

/* What follows a percent sign. */
static const char *take_variable(const char **at, struct variable *v)
{
    char modifiers[FILTERS];
    size_t count = 0;
    const char *p = *at, *why = NULL;

    *v = (struct variable){ .width = 0 };
    if (*p == '0')
        for (p++; *p >= '0' && *p <= '9' && v->width <= WIDTH_MAX; p++)
            v->width = 10 * v->width + (unsigned)(*p - '0');
    while (*p != '\0' && strchr("XLUM", *p) != NULL && count < FILTERS)
        modifiers[count++] = *p++;
    if (v->width > WIDTH_MAX)
        return unknown;
    if (*p == 'm')
        return of_mbox;
    if (*p == '{') {
        p++;
        /* 2.4 has filters, and 2.3 has modifiers, but no braces here. */
        why = count > 0 || v->width > 0 ? unknown : take_long(&p, v);
    } else if (*p != '\0' && strchr("uvfg%", *p) != NULL) {
        v->letter = *p++;
    } else {
        why = unknown;
    }
    for (size_t i = 0; i < count && why == NULL; i++)
        why = add_filter(v, filter_of(modifiers[i]), 0);
    if (why == NULL && v->width > 0 && (v->letter == 'f' || v->letter == 'g' || v->letter == '%'))
        why = "has a text where there should be a number";
    *at = p;
    return why;
}

static bool md5_hex(struct span text, char digits[2 * MD5_OCTETS + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_Digest(text.at, text.len, digest, &len, EVP_md5(), NULL) != 1 || len != MD5_OCTETS)
        return false;
    for (size_t i = 0; i < MD5_OCTETS; i++)
        snprintf(digits + 2 * i, 3, "%02x", (unsigned)digest[i]);
    return true;
}

const char *uidl_format_fault(const char *format)
{
    const char *why = NULL;
    char digits[2 * MD5_OCTETS + 1];
    struct variable v;
    bool each = false, braces = false, letters = false;

    while (*format != '\0' && why == NULL)
        if (*format++ == '%') {
            braces |= *format == '{';
            letters |= *format != '{';
            why = braces && letters ? mixed : take_variable(&format, &v);
            if (why != NULL)
                break;
            each |= v.letter == 'u' || v.letter == 'f' || v.letter == 'g';
            for (size_t i = 0; i < v.count && why == NULL; i++)
                if (v.filters[i].filter == MD5 && !md5_hex(SPAN_OF(""), digits))
                    why = "has MD5, which OpenSSL does not offer here";
        }
    return why != NULL ? why : each ? NULL : "is the same for all messages";
}

bool uidl_format_of_names(const char *format)
{
    struct variable v;

    while (*format != '\0')
        if (*format++ == '%' && (take_variable(&format, &v) != NULL || (v.letter != 'f' && v.letter != '%')))
            return false;
    return true;
}

/* ------------------------------------------------------------------- making */

static void hexadecimal(struct buf *value, uint32_t n, unsigned width)
{
    char digits[WIDTH_MAX + 9];
    int len = snprintf(digits, sizeof digits, "%0*lx", width > 0 ? (int)width : 1, (unsigned long)n);

    /* Digits that do not fit are left out, in front. */
    buf_clear(value);
    buf_add_str(value, width > 0 && len > (int)width ? digits + len - (int)width : digits);
}

static void to_case(struct buf *value, char first, char last, int shift)
{
    for (char *p = value->data + value->at; p < value->data + value->len; p++)
        if (*p >= first && *p <= last)
            *p = (char)(*p + shift);
}

static void apply(struct buf *value, const struct variable *v, uint32_t n)
{
    char digits[2 * MD5_OCTETS + 1];

    for (size_t i = 0; i < v->count; i++)
        switch (v->filters[i].filter) {
        case HEX:
            hexadecimal(value, n, v->filters[i].width);
            break;
        case LOWER:
            to_case(value, 'A', 'Z', 'a' - 'A');
            break;
        case UPPER:
            to_case(value, 'a', 'z', 'A' - 'a');
            break;
        case MD5:
            ASSERT(md5_hex(buf_span(value), digits));
            buf_clear(value);
            buf_add_str(value, digits);
            break;
        }
}

void uidl_format_make(const char *format, const struct uidl_values *values, struct buf *out)
{
    struct buf value = BUF_EMPTY;
    struct variable v;

    while (*format != '\0') {
        if (*format != '%') {
            buf_add(out, format++, 1);
            continue;
        }
        format++;
        ASSERT(take_variable(&format, &v) == NULL);
        const uint32_t n = v.letter == 'u' ? values->uid : values->validity;
        const struct span text = v.letter == 'g' ? values->guid : v.letter == 'f' ? values->name : SPAN_OF("%");

        buf_clear(&value);
        if (v.letter == 'u' || v.letter == 'v')
            buf_addf(&value, "%lu", (unsigned long)n);
        else
            buf_add(&value, text.at, text.len);
        apply(&value, &v, n);
        for (size_t i = buf_left(&value); i < v.width; i++)
            buf_add(out, "0", 1);
        buf_add(out, buf_span(&value).at, buf_left(&value));
    }
    buf_free(&value);
}
