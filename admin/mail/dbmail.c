/*
 * dbmail.c - a message, put together from its parts as DBMail does it, with all that is odd
 * about that: clients have seen it so.
 */
#include "admin/mail/dbmail.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

void dbmail_join_begin(struct dbmail_join *j, dbmail_out *out, void *arg)
{
    *j = (struct dbmail_join){ .out = out, .arg = arg, .header = true };
}

/* ------------------------------------------------------------- Content-Type */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/*
 * The value of the first field, with its continuation lines, and what is behind it. A field without a space behind its
 * colon is not found.
 */
static bool type_of(struct span header, struct span *value_r, struct span *rest_r)
{
    static const struct span name = { "Content-type: ", 14 };
    const char *at = header.at, *end = header.at + header.len;

    for (;;) {
        if ((size_t)(end - at) >= name.len && strncasecmp(at, name.at, name.len) == 0)
            break;
        at = end > at ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (at == NULL)
            return false;
        at++;
    }
    at += name.len;
    const char *stop = at;
    while (stop < end && !((*stop == '\n' || *stop == '\r') && (stop + 1 == end || !is_blank(stop[1]))))
        stop++;
    *value_r = (struct span){ at, (size_t)(stop - at) };
    *rest_r = (struct span){ stop, (size_t)(end - stop) };
    return true;
}

/* Over blanks, and comments in parentheses. */
static void pass_blanks(struct span *s)
{
    int inside = 0;

    while (s->len > 0 && (inside > 0 || is_blank(*s->at) || *s->at == '(')) {
        if (*s->at == '\\' && inside > 0 && s->len > 1)
            s->at++, s->len--;
        else if (*s->at == '(')
            inside++;
        else if (*s->at == ')' && inside > 0)
            inside--;
        s->at++, s->len--;
    }
}

static struct span token(struct span *s)
{
    struct span t = { s->at, 0 };

    while (s->len > 0 && !is_blank(*s->at) && strchr("()<>@,;:\\\"/[]?=", *s->at) == NULL)
        s->at++, s->len--, t.len++;
    return t;
}

/* A parameter's value as it is meant, cut where it is longer than DBMail keeps. */
static void value_of(struct span *s, char value[DBMAIL_BOUNDARY])
{
    size_t n = 0;

    if (s->len > 0 && *s->at == '"') {
        for (s->at++, s->len--; s->len > 0 && *s->at != '"'; s->at++, s->len--) {
            if (*s->at == '\\' && s->len > 1)
                s->at++, s->len--;
            if (*s->at != '\r' && *s->at != '\n' && n < DBMAIL_BOUNDARY - 1)
                value[n++] = *s->at;
        }
        if (s->len > 0)
            s->at++, s->len--;
    } else {
        /* What is no token by RFC 2045 is common in boundaries: "=_x", "a/b". */
        for (; s->len > 0 && !is_blank(*s->at) && *s->at != ';'; s->at++, s->len--)
            if (n < DBMAIL_BOUNDARY - 1)
                value[n++] = *s->at;
    }
    memset(value + n, 0, DBMAIL_BOUNDARY - n);
}

/* False: there is no type, or it has no boundary. Of a type it is said whether it is a message, or a multipart. */
static bool look(struct span header, bool *message_r, bool *multipart_r, char boundary[DBMAIL_BOUNDARY])
{
    struct span s, rest, another, type, subtype;
    char value[DBMAIL_BOUNDARY];
    bool found = false;

    if (!type_of(header, &s, &rest))
        return false;
    pass_blanks(&s);
    type = token(&s);
    pass_blanks(&s);
    if (s.len > 0 && *s.at == '/')
        s.at++, s.len--;
    pass_blanks(&s);
    subtype = token(&s);
    *message_r = span_is_nocase(type, SPAN_OF("message")) && span_is_nocase(subtype, SPAN_OF("rfc822"));
    /* Of several the last one counts where it parses what it has put together. */
    *multipart_r = span_is_nocase(type, SPAN_OF("multipart")) && !type_of(rest, &another, &rest);
    for (pass_blanks(&s); s.len > 0; pass_blanks(&s)) {
        const bool semicolon = *s.at == ';';

        s.at++, s.len--;
        if (!semicolon)
            continue;
        pass_blanks(&s);
        struct span name = token(&s);
        pass_blanks(&s);
        if (s.len == 0 || *s.at != '=')
            continue;
        s.at++, s.len--;
        pass_blanks(&s);
        value_of(&s, value);
        if (!found && span_is_nocase(name, SPAN_OF("boundary"))) {
            memcpy(boundary, value, sizeof value);
            found = true;
        }
    }
    return found;
}

/* -------------------------------------------------------------------- parts */

static void put(struct dbmail_join *j, const char *before, const char *boundary, const char *after)
{
    j->out(j->arg, before, strlen(before));
    j->out(j->arg, boundary, strlen(boundary));
    j->out(j->arg, after, strlen(after));
}

/* Parts that contained the one before end here. */
static void close_parts(struct dbmail_join *j, int depth)
{
    for (int d = j->depth; d > 0 && d - 1 >= depth && j->around[d - 1][0] != '\0'; d--) {
        put(j, "\n--", j->around[d - 1], "--\n");
        memset(j->around[d - 1], 0, sizeof j->around[d - 1]);
    }
}

bool dbmail_join_part(struct dbmail_join *j, bool header, int depth, struct span data)
{
    const bool header_before = j->header, found_before = j->found, message_before = j->message;
    bool multipart = false;
    const char *nul = data.len > 0 ? memchr(data.at, '\0', data.len) : NULL;

    if (depth < 0 || depth > DBMAIL_DEPTH)
        return false;
    if (nul != NULL)
        data.len = (size_t)(nul - data.at);
    j->header = header;
    j->found = header && look(data, &j->message, &multipart, j->boundary);
    if (header && j->parts == 0)
        j->multipart = multipart;
    if (j->found)
        memcpy(j->around[depth], j->boundary, sizeof j->boundary);
    close_parts(j, depth);
    j->depth = depth;
    if (depth > 0 && j->around[depth - 1][0] != '\0')
        memcpy(j->boundary, j->around[depth - 1], sizeof j->boundary);
    /* A part without a body: what it puts together it parses and writes again, with an empty line then. */
    if (header && header_before && depth > 0 && !message_before)
        put(j, found_before ? "--" : "\n--", j->boundary, "\n");
    else if (header && (!header_before || found_before))
        put(j, "\n--", j->boundary, "\n");
    j->out(j->arg, data.at, data.len);
    if (header)
        j->out(j->arg, "\n", 1);
    j->parts++;
    return true;
}

void dbmail_join_end(struct dbmail_join *j)
{
    if (j->parts > 2 && j->around[0][0] != '\0')
        put(j, "\n--", j->around[0], "--\n");
    else if (j->parts == 2 && j->multipart)     /* a prologue, and no part: written again, as above */
        j->out(j->arg, "\n", 1);
}
