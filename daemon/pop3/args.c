/*
 * args.c - a command line in its parts (see args.h).
 */
#include "daemon/pop3/args.h"

#include <ctype.h>

bool args_verb(struct span line, char verb_r[VERB_LEN], struct span *rest_r, bool *more_r)
{
    const char *space = line.len > 0 ? memchr(line.at, ' ', line.len) : NULL;
    size_t len = space != NULL ? (size_t)(space - line.at) : line.len;

    if (len < 3 || len > VERB_LEN)
        return false;
    memset(verb_r, 0, VERB_LEN);
    for (size_t i = 0; i < len; i++) {
        char c = line.at[i];

        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (c < 'A' || c > 'Z')
            return false;
        verb_r[i] = c;
    }
    *more_r = space != NULL;
    *rest_r = *more_r ? (struct span){ space + 1, line.len - len - 1 } : (struct span){ "", 0 };
    return true;
}

bool args_is_keyword(struct span line)
{
    enum { KEYWORD_MIN = 3, KEYWORD_MAX = 12 };
    static const char http[] = " HTTP/";
    size_t len = 0;

    if (line.len > 0 && memmem(line.at, line.len, http, sizeof http - 1) != NULL)
        return false;
    while (len < line.len && (isalnum((unsigned char)line.at[len]) || line.at[len] == '-'))
        len++;
    return len >= KEYWORD_MIN && len <= KEYWORD_MAX && (len == line.len || line.at[len] == ' ');
}

bool args_split(struct span rest, struct args *args_r)
{
    args_r->count = 0;
    for (;;) {
        const char *space = rest.len > 0 ? memchr(rest.at, ' ', rest.len) : NULL;
        size_t len = space != NULL ? (size_t)(space - rest.at) : rest.len;

        if (len == 0 || args_r->count == ARGS_MAX)
            return false;
        args_r->v[args_r->count++] = (struct span){ rest.at, len };
        if (space == NULL)
            return true;
        rest = (struct span){ space + 1, rest.len - len - 1 };
    }
}
