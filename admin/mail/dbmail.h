/*
 * dbmail.h - a message as DBMail (3.x) sends it, from the parts as it stores them: headers
 * and bodies of MIME parts, without the lines that separate them. Pure.
 *
 * Rows of dbmail_partlists come in the order of part_key, part_order, and part_depth from
 * the deepest up. The lines that separate the parts are made anew from the boundary in
 * the header of the part that contains them.
 */
#ifndef POSTERN_ADMIN_DBMAIL_H
#define POSTERN_ADMIN_DBMAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

enum { DBMAIL_DEPTH = 64, DBMAIL_BOUNDARY = 128 };

/* Gets the message, in as many calls as it takes, with line ends as they are. */
typedef void dbmail_out(void *arg, const char *at, size_t len);

struct dbmail_join {
    dbmail_out *out;
    void *arg;
    unsigned parts;
    int depth;                              /* of the part before */
    bool header, found, message;            /* the part before: a header; with a boundary; of a message/rfc822 */
    bool multipart;                         /* the whole message is one */
    char boundary[DBMAIL_BOUNDARY];         /* the one that was found last, or of the part around */
    char around[DBMAIL_DEPTH + 1][DBMAIL_BOUNDARY];     /* by depth; "": none */
};

void dbmail_join_begin(struct dbmail_join *j, dbmail_out *out, void *arg);
/* False: it is deeper than DBMail goes, or not at all; nothing was done. */
bool dbmail_join_part(struct dbmail_join *j, bool header, int depth, struct span data);
void dbmail_join_end(struct dbmail_join *j);

#endif
