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
#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "daemon/base/utf8.h"

/* Code points of a local part, as typed: decomposed and in UTF-8 it may be several times as long as it will be. */
enum { CODES_MAX = 4 * NAME_LOCAL_MAX };

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

/* Valid UTF-8 without control characters; a NUL is one of those. */
static bool text_ok(struct span text, const char **error_r)
{
    for (size_t at = 0; at < text.len;) {
        uint32_t code;
        size_t n = utf8_char((struct span){ text.at + at, text.len - at }, &code);
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
            return refuse(error_r, "its domain has a character that is not allowed in domains");
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

/* ----------------------------------------------------------- what nobody means */

static bool is_blank(ucs4_t c)
{
    return c == ' ' || c == '\t' || uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Zs);
}

/* Soft hyphens, joiners, marks of direction, byte order marks: they come along when text is copied. */
static bool is_unseen(ucs4_t c)
{
    return c >= 0x80 && uc_is_property_default_ignorable_code_point(c);
}

struct span name_trim(struct span text)
{
    ucs4_t c;
    int n;

    while (text.len > 0 && (n = u8_mbtoucr(&c, (const uint8_t *)text.at, text.len)) > 0 &&
           (is_blank(c) || is_unseen(c)))
        text = (struct span){ text.at + n, text.len - (size_t)n };
    while (text.len > 0) {
        const uint8_t *start = (const uint8_t *)text.at, *last = u8_prev(&c, start + text.len, start);

        if (last == NULL || !(is_blank(c) || is_unseen(c)))
            break;
        text.len = (size_t)(last - start);
    }
    return text;
}

/* ------------------------------------------------------------------ the domain */

static int domain_of(struct span in, char out[NAME_DOMAIN_MAX + 1], const char **error_r)
{
    char typed[NAME_TYPED_MAX + 1], ascii[NAME_TYPED_MAX + 1];

    out[0] = '\0';
    if (in.len == 0)
        return refuse(error_r, "its domain is empty");
    if (in.len > NAME_TYPED_MAX)
        return refuse(error_r, "its domain is too long");
    if (!text_ok(in, error_r))
        return 0;
    if (in.at[0] == '[')
        return refuse(error_r, "its domain is an address literal, which cannot have mailboxes");
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

int name_domain(struct span in, char out[NAME_DOMAIN_MAX + 1], const char **error_r)
{
    return domain_of(name_trim(in), out, error_r);
}

/* -------------------------------------------------------------- the local part */

bool name_is_plain(unsigned char c)
{
    return c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr(".!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/*
 * A local part as it was typed, without its quotes and backslashes, and where
 * it ends: at the `@`, or with the text. `out` has room for all of the text.
 */
static bool take_local(struct span in, char *out, size_t *len_r, bool *quoted_r, size_t *end_r, const char **error_r)
{
    size_t at = 0, len = 0;

    *quoted_r = in.len > 0 && in.at[0] == '"';
    if (!*quoted_r) {
        const char *sign = in.len > 0 ? memrchr(in.at, '@', in.len) : NULL;
        *len_r = *end_r = sign != NULL ? (size_t)(sign - in.at) : in.len;
        if (*len_r > 0)
            memcpy(out, in.at, *len_r);
        return true;
    }
    for (at = 1; at < in.len && in.at[at] != '"'; at++) {
        if (in.at[at] == '\\' && ++at == in.len)
            break;
        out[len++] = in.at[at];
    }
    if (at >= in.len)
        return refuse(error_r, "it has an unterminated quoted string");
    if (++at < in.len && in.at[at] != '@')
        return refuse(error_r, "it has characters between the quoted string and the @");
    *len_r = len;
    *end_r = at;
    return true;
}

/* False where it does not fit, or there is no memory. */
static bool normalize(uninorm_t form, const uint32_t *in, size_t n, uint32_t out[CODES_MAX], size_t *n_r)
{
    *n_r = CODES_MAX;
    uint32_t *result = u32_normalize(form, in, n, out, n_r);

    if (result == out)
        return true;
    free(result);
    return false;
}

static bool lower_all(const uint32_t *in, size_t n, uint32_t out[CODES_MAX], size_t *n_r)
{
    *n_r = CODES_MAX;
    /* No language: what the letters mean must not depend on the locale of a host. */
    uint32_t *result = u32_tolower(in, n, NULL, UNINORM_NFC, out, n_r);

    if (result != out) {
        free(result);
        return false;
    }
    /* Which of the two small sigmas it is depends on the letters around; so both are one. */
    for (size_t i = 0; i < *n_r; i++)
        if (out[i] == 0x3C2)
            out[i] = 0x3C3;
    return true;
}

/* What an input method makes wide or narrow means the letter; any blank means a blank. */
static ucs4_t one_width(ucs4_t c)
{
    ucs4_t plain[UC_DECOMPOSITION_MAX_LENGTH];
    int tag;

    if (uc_decomposition(c, &tag, plain) == 1 && (tag == UC_DECOMP_WIDE || tag == UC_DECOMP_NARROW))
        return plain[0];
    return is_blank(c) ? ' ' : c;
}

/*
 * UsernameCaseMapped (RFC 8265 section 3.3), but that blanks and symbols are
 * let through where RFC 6531 does. No unassigned code point, whose case and
 * form another version of Unicode may say something of: so an address that is
 * canonical stays it. No compatibility character either, as a client that does
 * SASLprep would send another one in its place.
 */
static bool fold(const char *text, size_t len, char out[NAME_LOCAL_MAX], size_t *len_r, const char **error_r)
{
    uint32_t a[CODES_MAX], b[CODES_MAX];
    size_t n = 0, m;

    for (size_t at = 0; at < len;) {
        ucs4_t c;
        at += (size_t)u8_mbtouc(&c, (const uint8_t *)text + at, len - at);
        if (is_unseen(c))
            continue;
        if (n == CODES_MAX)
            return refuse(error_r, "it has more than 64 octets before the @");
        a[n++] = one_width(c);
    }
    if (!normalize(UNINORM_NFC, a, n, b, &m) || !lower_all(b, m, a, &n))
        return refuse(error_r, "it has more than 64 octets before the @");
    if (!normalize(UNINORM_NFKC, a, n, b, &m) || n != m || memcmp(a, b, n * sizeof a[0]) != 0)
        return refuse(
            error_r,
            "it has a compatibility character of Unicode before the @");
    for (size_t i = 0; i < n; i++)
        if (uc_is_general_category_withtable(a[i], UC_CATEGORY_MASK_C | UC_CATEGORY_MASK_Zl | UC_CATEGORY_MASK_Zp))
            return refuse(error_r, "it has a character before the @ that is not assigned in Unicode");
    *len_r = NAME_LOCAL_MAX;
    uint8_t *octets = u32_to_u8(a, n, (uint8_t *)out, len_r);
    if (octets == (uint8_t *)out)
        return true;
    free(octets);
    return refuse(error_r, "it has more than 64 octets before the @");
}

static bool fold_local(const char *text, size_t len, char out[NAME_LOCAL_MAX], size_t *len_r, const char **error_r)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x80)
            return fold(text, len, out, len_r, error_r);
    if (len > NAME_LOCAL_MAX)
        return refuse(error_r, "it has more than 64 octets before the @");
    for (size_t i = 0; i < len; i++)
        out[i] = lower(text[i]);
    *len_r = len;
    return true;
}

/* In quotes only where it needs them (RFC 5321 section 4.1.2): its octets, 0 if they are too many. */
static size_t put_local(const char *text, size_t len, bool plain, char out[NAME_LOCAL_MAX])
{
    size_t at = 0;

    if (plain) {
        memcpy(out, text, len);
        return len;
    }
    out[at++] = '"';
    for (size_t i = 0; i < len; i++) {
        const bool escaped = text[i] == '"' || text[i] == '\\';
        if (at + escaped + 2 > NAME_LOCAL_MAX)
            return 0;
        if (escaped)
            out[at++] = '\\';
        out[at++] = text[i];
    }
    out[at++] = '"';
    return at;
}

int name_canonical(struct span in, struct span default_domain, char out[NAME_ADDRESS_MAX + 1], const char **error_r)
{
    char typed[NAME_TYPED_MAX], local[NAME_LOCAL_MAX], ascii[NAME_DOMAIN_MAX + 1];
    size_t typed_len, len, end;
    bool quoted, plain = true;

    out[0] = '\0';
    in = name_trim(in);
    if (in.len > NAME_TYPED_MAX)
        return refuse(error_r, "it is too long");
    if (!text_ok(in, error_r) || !take_local(in, typed, &typed_len, &quoted, &end, error_r) ||
        !fold_local(typed, typed_len, local, &len, error_r))
        return 0;
    if (len == 0)
        return refuse(error_r, end < in.len ? "it has nothing before the @" : "it is empty");
    for (size_t i = 0; i < len; i++)
        plain = plain && name_is_plain((unsigned char)local[i]);
    if (!plain && !quoted)
        return refuse(error_r, "it has a space or another character before the @ that is allowed in quotes only");
    if (end == in.len && default_domain.len == 0)
        return refuse(error_r, "it has no domain");
    if (end < in.len ? !domain_of((struct span){ in.at + end + 1, in.len - end - 1 }, ascii, error_r)
                     : !name_domain(default_domain, ascii, error_r))
        return 0;
    len = put_local(local, len, plain, out);
    if (len == 0) {
        out[0] = '\0';
        return refuse(error_r, "it has more than 64 octets before the @");
    }
    out[len] = '@';
    memcpy(out + len + 1, ascii, strlen(ascii) + 1);
    return 1;
}
