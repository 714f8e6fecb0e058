/*
 * name.c - from what somebody typed to the one spelling of an address.
 *
 * Owns the rules for local parts and domains. Pure: looks nothing up, keeps
 * nothing, and must never let through two spellings of one address or a text
 * that the database would read differently.
 */
#include "auth/name.h"

#include <idn2.h>
#include <stdbool.h>
#include <stdint.h>

static int refuse(const char **error_r, const char *why)
{
    if (error_r != NULL)
        *error_r = why;
    return 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/*
 * One character of UTF-8 as RFC 3629 section 4 has it: no surrogates, nothing
 * overlong, nothing above U+10FFFF. Returns its octets, 0 if there is none.
 */
static size_t utf8_char(const unsigned char *p, size_t left, uint32_t *code_r)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = { { 0x80, 0x00, 0 }, { 0xE0, 0xC0, 0x80 }, { 0xF0, 0xE0, 0x800 }, { 0xF8, 0xF0, 0x10000 } };

    for (size_t n = 0; n < sizeof forms / sizeof forms[0]; n++) {
        if ((p[0] & forms[n].mask) != forms[n].lead)
            continue;
        if (n >= left)
            return 0;
        uint32_t code = p[0] & (unsigned char)~forms[n].mask;
        for (size_t i = 1; i <= n; i++) {
            if ((p[i] & 0xC0) != 0x80)
                return 0;
            code = code << 6 | (p[i] & 0x3F);
        }
        if (code < forms[n].least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
            return 0;
        *code_r = code;
        return n + 1;
    }
    return 0;
}

bool name_is_utf8(struct span text)
{
    for (size_t at = 0; at < text.len;) {
        uint32_t code;
        size_t n = utf8_char((const unsigned char *)text.at + at, text.len - at, &code);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

/* Valid UTF-8 without control characters; a NUL is one of those. */
static bool text_ok(struct span text, const char **error_r)
{
    for (size_t at = 0; at < text.len;) {
        uint32_t code;
        size_t n = utf8_char((const unsigned char *)text.at + at, text.len - at, &code);
        if (n == 0)
            return refuse(error_r, "it is not valid UTF-8");
        if (code < 0x20 || (code >= 0x7F && code < 0xA0))
            return refuse(error_r, "it has a control character");
        at += n;
    }
    return true;
}

/* Letters, digits and hyphens; underscores are in no host name, but such mail domains exist. */
static int labels_ok(const char *name, const char **error_r)
{
    size_t label = 0;

    for (const char *p = name;; p++) {
        if (*p == '.' || *p == '\0') {
            if (label == 0)
                return refuse(error_r, "its domain has an empty label");
            if (label > 63)
                return refuse(error_r, "its domain has a label of more than 63 octets");
            if (p[-1] == '-' || p[-(ptrdiff_t)label] == '-')
                return refuse(error_r, "its domain has a label that begins or ends with a hyphen");
            label = 0;
            if (*p == '\0')
                return 1;
            continue;
        }
        if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '_'))
            return refuse(error_r, "its domain has a character that no domain can have");
        label++;
    }
}

/*
 * The A-labels of a domain, with a NUL behind them; room for NAME_TYPED_MAX.
 * What is ASCII is what the DNS knows it by, and libidn2 would refuse some that
 * exist: with two hyphens in the third place, or with an emoji.
 */
static bool to_ascii(const char *typed, char *out)
{
    uint8_t *ascii = NULL;
    size_t len = strlen(typed), i = 0;

    while (i < len && (unsigned char)typed[i] < 0x80)
        i++;
    if (i == len) {
        memcpy(out, typed, len + 1);
        return true;
    }
    if (idn2_lookup_u8((const uint8_t *)typed, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    len = strlen((const char *)ascii);
    if (len <= NAME_TYPED_MAX)
        memcpy(out, ascii, len + 1);
    idn2_free(ascii);
    return len <= NAME_TYPED_MAX;
}

int name_domain(struct span in, char out[NAME_DOMAIN_MAX + 1], const char **error_r)
{
    char typed[NAME_TYPED_MAX + 1], ascii[NAME_TYPED_MAX + 1];

    out[0] = '\0';
    if (in.len == 0)
        return refuse(error_r, "its domain is empty");
    if (in.len > NAME_TYPED_MAX)
        return refuse(error_r, "its domain is too long");
    if (!text_ok(in, error_r))
        return 0;
    memcpy(typed, in.at, in.len);
    typed[in.len] = '\0';
    if (!to_ascii(typed, ascii))
        return refuse(error_r, "its domain is not a valid internationalised domain name");

    size_t len = strlen(ascii);
    /* The dot of the root; looked for now, as other full stops have become one. */
    if (len > 1 && ascii[len - 1] == '.')
        ascii[--len] = '\0';
    if (len > NAME_DOMAIN_MAX)
        return refuse(error_r, "its domain is longer than 253 octets");
    for (size_t i = 0; i < len; i++)
        ascii[i] = lower(ascii[i]);
    if (!labels_ok(ascii, error_r))
        return 0;
    memcpy(out, ascii, len + 1);
    return 1;
}

int name_canonical(struct span in, struct span default_domain, char out[NAME_ADDRESS_MAX + 1], const char **error_r)
{
    struct span local = in, domain = default_domain;
    char ascii[NAME_DOMAIN_MAX + 1];

    out[0] = '\0';
    if (in.len > NAME_TYPED_MAX)
        return refuse(error_r, "it is too long");
    if (!text_ok(in, error_r))
        return 0;
    /* The last one: a quoted local part may hold others (RFC 5321 section 4.1.2). */
    const char *at = in.len > 0 ? memrchr(in.at, '@', in.len) : NULL;
    if (at != NULL) {
        local.len = (size_t)(at - in.at);
        domain = (struct span){ at + 1, in.len - local.len - 1 };
    }
    if (local.len == 0)
        return refuse(error_r, at != NULL ? "it has nothing before the @" : "it is empty");
    if (local.len > NAME_LOCAL_MAX)
        return refuse(error_r, "it has more than 64 octets before the @");
    if (local.at[0] == ' ' || local.at[local.len - 1] == ' ')
        return refuse(error_r, "it has a space at the beginning or before the @");
    if (at == NULL && default_domain.len == 0)
        return refuse(error_r, "it has no domain");
    if (!name_domain(domain, ascii, error_r))
        return 0;

    bool quoted = local.len >= 2 && local.at[0] == '"' && local.at[local.len - 1] == '"';
    for (size_t i = 0; i < local.len; i++)
        out[i] = quoted ? local.at[i] : lower(local.at[i]);
    out[local.len] = '@';
    memcpy(out + local.len + 1, ascii, strlen(ascii) + 1);
    return 1;
}
