/*
 * command.c - finds a command in its table. Knows no protocol.
 */
#include "daemon/session/command.h"

const struct command *command_find(const struct command_table *table, struct span verb, unsigned state, bool *here_r)
{
    const struct command *elsewhere = NULL;

    *here_r = false;
    for (size_t i = 0; i < table->count; i++) {
        const struct command *row = &table->rows[i];

        if (!span_is_nocase(verb, span_str(row->verb)))
            continue;
        if (row->states & IN_STATE(state)) {
            *here_r = true;
            return row;
        }
        elsewhere = row;
    }
    return elsewhere;
}

struct span command_verb(struct span line)
{
    const char *space = line.len > 0 ? memchr(line.at, ' ', line.len) : NULL;

    return (struct span){ line.at, space != NULL ? (size_t)(space - line.at) : line.len };
}

size_t command_limit(const struct command_table *table, struct span in, unsigned state)
{
    const struct command *row;
    bool here;

    /* Shorter than any limit: it makes no difference, and nearly all are. */
    if (in.len < table->limit)
        return table->limit;
    row = command_find(table, command_verb((struct span){ in.at, VERB_MAX + 1 }), state, &here);
    return row != NULL && here && row->limit > 0 ? row->limit : table->limit;
}
