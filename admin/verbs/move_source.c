/*
 * move_source.c - where the mail of a line is (see move_source.h).
 */
#include "admin/verbs/move_source.h"

#include <string.h>

#include "daemon/base/mem.h"

static bool read_secret(const struct move_line *l, struct secret_line *secret)
{
    if (l->secret_file != NULL)
        return secret_line_of_file(l->secret_file, secret);
    secret->len = strlen(l->secret);
    if (secret->len > SECRET_LINE_MAX) {
        ctl_error(CTL_FAILED, "the password for the server is longer than %d octets", SECRET_LINE_MAX);
        return false;
    }
    memcpy(secret->text, l->secret, secret->len);
    return true;
}

struct source *move_source_server(const struct ctl *c, const struct move_line *l, struct import_pop3 *p,
                                  const struct import_pop3_told *told)
{
    struct source *source = NULL;
    char *why = NULL;

    ASSERT(pop3_address(l->sources[0], &p->address) == NULL);
    if (c->opt[OPT_MASTER] == NULL && !read_secret(l, &p->secret))
        return NULL;
    source = import_pop3_log_in(c, p, l->sources[0], l->user != NULL ? l->user : l->address, told, &why);
    if (source == NULL)
        ctl_error(CTL_FAILED, "%s", why);
    mem_drop(&why);
    return source;
}

struct source *move_source_files(const struct move_line *l, struct source_how how)
{
    move_list_how(l, &how);
    return source_new(l->sources, l->source_count, &how);
}
