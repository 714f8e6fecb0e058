/*
 * move_source.h - where the mail of a line is, of the file that says which mailboxes move.
 */
#ifndef POSTERN_ADMIN_MOVE_SOURCE_H
#define POSTERN_ADMIN_MOVE_SOURCE_H

#include "admin/verbs/import_pop3.h"
#include "admin/verbs/move_list.h"

/*
 * The server of a line that has one. *p is what holds for all lines, with the secret of a --master, and lives as long
 * as the source. NULL after a message.
 */
struct source *move_source_server(const struct ctl *c, const struct move_line *line, struct import_pop3 *p,
                                  const struct import_pop3_told *told);
/* The files of any other line. `how` is what holds for all lines. */
struct source *move_source_files(const struct move_line *line, struct source_how how);

#endif
