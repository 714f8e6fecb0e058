/*
 * log.h - one line per event, for the one who is paged.
 *
 * A line is prose or key=value pairs, lower case, without a full stop; a
 * session's lines begin with its id. Nothing secret is ever passed in here,
 * and text from outside only through log_text().
 */
#ifndef POSTERN_BASE_LOG_H
#define POSTERN_BASE_LOG_H

#include <stdbool.h>

#include "daemon/base/span.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/*
 * Where lines go: "stderr", "syslog" or the absolute path of a file that is
 * appended to. ident is the name of the process in a line ("posternd",
 * "posternd worker 2"). Returns false, with the reason in *error_r (static
 * text or strerror's), if the file cannot be opened; logging goes on as before.
 * Until the first call lines go to stderr at level info. May be called again.
 */
bool log_open(const char *target, enum log_level level, const char *ident, const char **error_r);
void log_set_ident(const char *ident);
void log_set_level(enum log_level level);
/*
 * From now on the level is one of all processes that are forked afterwards,
 * whoever sets it. False with errno if there is no memory to share.
 */
bool log_share_level(void);
enum log_level log_level_now(void);
bool log_wants(enum log_level level);
/* The descriptor lines are written to, -1 for syslog: so that a caller keeps it open. */
int log_descriptor(void);

/* session is the id of a session, or NULL for a line of the process. */
void log_error(const char *session, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_warning(const char *session, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_info(const char *session, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_debug(const char *session, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Text from outside, made safe: in double quotes, `"`, `\` and everything that
 * is not printable ASCII escaped as \xNN, cut after 200 characters with "...".
 * Use as log_text(span).s in the arguments of a log call: it lives until the
 * end of that full expression.
 */
struct log_quoted { char s[224]; };
struct log_quoted log_text(struct span text);

#endif
