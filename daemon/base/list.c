/*
 * list.c - words with commas or blanks between them (see list.h). The one place
 * that knows what may stand between them.
 */
#include "daemon/base/list.h"

static bool is_between(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

bool list_next(struct span *rest, struct span *word_r)
{
    size_t at = 0, end;

    while (at < rest->len && is_between(rest->at[at]))
        at++;
    for (end = at; end < rest->len && !is_between(rest->at[end]); end++)
        continue;
    *word_r = (struct span){ rest->at + at, end - at };
    *rest = (struct span){ rest->at + end, rest->len - end };
    return word_r->len > 0;
}
