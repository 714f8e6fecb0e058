/*
 * list.c - words with commas or blanks between them (see list.h). The one place
 * that knows what may stand between them.
 */
#include "daemon/base/list.h"

enum { SET_BITS = 32 };

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

bool list_words(struct span list, const char *const *words, unsigned *set_r, struct span *wrong_r)
{
    unsigned set = 0;
    struct span word;

    while (list_next(&list, &word)) {
        unsigned i = 0;

        while (i < SET_BITS && words[i] != NULL && !span_is_nocase(word, span_str(words[i])))
            i++;
        if (i == SET_BITS || words[i] == NULL || (set & (1u << i)) != 0) {
            *wrong_r = word;
            return false;
        }
        set |= 1u << i;
    }
    *set_r = set;
    return true;
}
