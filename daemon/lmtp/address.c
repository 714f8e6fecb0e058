/*
 * address.c - paths and parameters of MAIL and RCPT.
 *
 * Must never read behind the end of a span, whatever is in it, nor let one
 * address be spelled so that it looks like another.
 */
#include "daemon/lmtp/address.h"

#include "auth/name.h"
#include "daemon/base/num.h"
#include "daemon/base/utf8.h"

/* What is left to read. */
struct scan {
    const char *at, *end;
};

static bool more(const struct scan *s)
{
    return s->at < s->end;
}

static bool take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

/* False when it is full; the parser goes on, to tell bad syntax from too long. */
static bool put(struct path *path, char c)
{
    if (path->len == PATH_TEXT_MAX)
        return false;
    path->text[path->len++] = c;
    path->text[path->len] = '\0';
    return true;
}

static bool letter_or_digit(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool domain_char(unsigned char c)
{
    return letter_or_digit(c) || c >= 0x80 || c == '-' || c == '.' || c == '_';
}

/* A-d-l ":" -- accepted and ignored (RFC 5321 appendix C). */
static bool skip_route(struct scan *s)
{
    do {
        if (!take(s, '@') || !more(s) || !domain_char((unsigned char)*s->at))
            return false;
        while (more(s) && domain_char((unsigned char)*s->at))
            s->at++;
    } while (take(s, ','));
    return take(s, ':');
}

/* The local part into path->text, the quotes only where it needs them. */
static enum path_result take_local(struct scan *s, struct path *path)
{
    char local[PATH_TEXT_MAX];
    size_t len = 0;
    bool plain = true, fits = true;

    if (take(s, '"')) {
        for (;;) {
            if (!more(s))
                return PATH_SYNTAX;
            if (take(s, '"'))
                break;
            if (*s->at == '\\' && ++s->at == s->end)
                return PATH_SYNTAX;
            unsigned char c = (unsigned char)*s->at++;
            if (c < 0x20 || c == 0x7F)
                return PATH_SYNTAX;
            plain = plain && name_is_plain(c);
            if (len < sizeof local)
                local[len++] = (char)c;
            else
                fits = false;
        }
    } else {
        while (more(s) && name_is_plain((unsigned char)*s->at)) {
            if (len < sizeof local)
                local[len++] = *s->at;
            else
                fits = false;
            s->at++;
        }
    }
    if (len == 0)
        return PATH_SYNTAX;     /* "" is a spelling of nothing */
    if (!plain)
        fits = put(path, '"') && fits;
    for (size_t i = 0; i < len; i++) {
        if (!plain && (local[i] == '"' || local[i] == '\\'))
            fits = put(path, '\\') && fits;
        fits = put(path, local[i]) && fits;
    }
    if (!plain)
        fits = put(path, '"') && fits;
    path->local_len = path->len;
    return fits ? PATH_OK : PATH_TOO_LONG;
}

static enum path_result take_domain(struct scan *s, struct path *path)
{
    bool fits = put(path, '@');
    size_t before = path->len;

    if (more(s) && *s->at == '[') {
        path->literal = true;
        while (more(s) && *s->at != ']' && (letter_or_digit((unsigned char)*s->at) || strchr("[.:-", *s->at) != NULL)) {
            if (*s->at == '\0')
                return PATH_SYNTAX;
            fits = put(path, *s->at++) && fits;
        }
        if (!take(s, ']'))
            return PATH_SYNTAX;
        fits = put(path, ']') && fits;
    } else {
        while (more(s) && domain_char((unsigned char)*s->at))
            fits = put(path, *s->at++) && fits;
        if (fits && path->len == before)
            return PATH_SYNTAX;
    }
    return fits ? PATH_OK : PATH_TOO_LONG;
}

enum path_result path_parse(struct span in, struct path *path_r, struct span *rest_r)
{
    struct scan s = { in.at, in.at + in.len };
    enum path_result result;

    *path_r = (struct path){ .len = 0 };
    *rest_r = (struct span){ s.end, 0 };
    take(&s, ' ');
    const char *start = s.at;
    if (!take(&s, '<'))
        return PATH_SYNTAX;
    if (!take(&s, '>')) {
        if (more(&s) && *s.at == '@' && !skip_route(&s))
            return PATH_SYNTAX;
        path_r->typed.at = s.at;
        result = take_local(&s, path_r);
        if (result == PATH_SYNTAX)
            return result;
        if (take(&s, '@')) {
            enum path_result domain = take_domain(&s, path_r);
            if (domain != PATH_OK)
                result = domain;
        } else if (span_is_nocase((struct span){ path_r->text, path_r->len }, SPAN_OF("postmaster"))) {
            path_r->no_domain = true;
        } else {
            return PATH_SYNTAX;
        }
        path_r->typed.len = (size_t)(s.at - path_r->typed.at);
        if (result == PATH_SYNTAX || !take(&s, '>'))
            return PATH_SYNTAX;
        if (result != PATH_OK)
            return result;
    }
    if (more(&s) && *s.at != ' ')
        return PATH_SYNTAX;
    for (const char *p = start; p < s.at; p++)
        path_r->eight_bit = path_r->eight_bit || (unsigned char)*p >= 0x80;
    if (!utf8_valid((struct span){ start, (size_t)(s.at - start) }))
        return PATH_NOT_UTF8;
    *rest_r = (struct span){ s.at, (size_t)(s.end - s.at) };
    return PATH_OK;
}

int param_next(struct span *rest, struct span *keyword_r, struct span *value_r, bool *has_value_r)
{
    struct scan s = { rest->at, rest->at + rest->len };

    /* Trailing spaces come from clients that put a parameter in or not. */
    while (take(&s, ' '))
        continue;
    if (!more(&s))
        return 0;
    keyword_r->at = s.at;
    while (more(&s) && (letter_or_digit((unsigned char)*s.at) || (*s.at == '-' && s.at > keyword_r->at)))
        s.at++;
    keyword_r->len = (size_t)(s.at - keyword_r->at);
    *has_value_r = take(&s, '=');
    value_r->at = s.at;
    while (*has_value_r && more(&s) && *s.at > 0x20 && *s.at != 0x7F && *s.at != '=')
        s.at++;
    value_r->len = (size_t)(s.at - value_r->at);
    if (keyword_r->len == 0 || (*has_value_r && value_r->len == 0) || (more(&s) && *s.at != ' '))
        return -1;
    *rest = (struct span){ s.at, (size_t)(s.end - s.at) };
    return 1;
}

enum params_result mail_params_parse(struct span rest, struct mail_params *params_r)
{
    struct span keyword, value;
    bool has_value;
    int more_r;

    *params_r = (struct mail_params){ .size = 0 };
    while ((more_r = param_next(&rest, &keyword, &value, &has_value)) == 1) {
        if (span_is_nocase(keyword, SPAN_OF("SIZE"))) {
            int n = num_parse(value, UINT64_MAX / 2, &params_r->size);
            if (params_r->has_size || !has_value || n == 0)
                return PARAMS_SYNTAX;
            params_r->has_size = true;
            params_r->size_huge = n < 0;
        } else if (span_is_nocase(keyword, SPAN_OF("BODY"))) {
            if (params_r->body || !has_value)
                return PARAMS_SYNTAX;
            /* BINARYMIME is not offered (RFC 3030): its data need not have lines. */
            if (!span_is_nocase(value, SPAN_OF("7BIT")) && !span_is_nocase(value, SPAN_OF("8BITMIME")))
                return PARAMS_UNKNOWN;
            params_r->body = true;
        } else if (span_is_nocase(keyword, SPAN_OF("SMTPUTF8"))) {
            if (params_r->utf8 || has_value)
                return PARAMS_SYNTAX;
            params_r->utf8 = true;
        } else {
            return PARAMS_UNKNOWN;
        }
    }
    return more_r == 0 ? PARAMS_OK : PARAMS_SYNTAX;
}

bool path_prefix(struct span *args, struct span prefix)
{
    if (args->len < prefix.len || !span_is_nocase((struct span){ args->at, prefix.len }, prefix))
        return false;
    args->at += prefix.len;
    args->len -= prefix.len;
    return true;
}
