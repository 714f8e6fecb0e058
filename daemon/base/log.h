/*
 * log.h - one line per event, for the one who is paged.
 *
 * A line is prose or key=value pairs, lower case, without a full stop; a
 * session's lines begin with its id. Nothing secret is ever passed in here,
 * and text from outside only through log_text().
 *
 * Logging never waits for the reader of the log. What cannot be written waits in
 * a memory of 64 KiB a process; what finds no room there is dropped and counted
 * (METRIC_LOG_DROPPED), and a line says how many were as soon as it can be written.
 */
#ifndef POSTERN_BASE_LOG_H
#define POSTERN_BASE_LOG_H

#include <stdbool.h>

#include "daemon/base/span.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* As people write them; what an array of words is made of. */
#define LOG_LEVEL_WORDS \
    [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug"

/*
 * Where lines go: "stderr", "syslog" (/dev/log), "syslog:PATH" (another socket
 * of the kind) or the absolute path of a file that is appended to. ident is the
 * name of the process in a line ("posternd", "posternd worker 2"). Returns
 * false, with the reason in *error_r (static text or strerror's), if the file
 * cannot be opened; logging goes on as before. Until the first call lines go to
 * stderr at level info, and may wait for its reader. May be called again.
 */
bool log_open(const char *target, enum log_level level, const char *ident, const char **error_r);
/* Descriptor 2 leads elsewhere now. */
void log_stderr_moved(void);
/*
 * In a forked process that has closed its parent's descriptors, all but
 * log_descriptor(): it does not write what waits for its parent, and has a
 * connection of its own to syslog.
 */
void log_forked(void);
/* The path of the socket where no log daemon could be reached; NULL: nothing is known to be wrong. */
const char *log_unreached(void);
bool log_is_stderr(void);

/* Called with the number of lines that were dropped just now, for a metric; log lines count by themselves, too. */
void log_when_dropped(void (*count)(size_t lines));

/*
 * Writes what waits, if it can be; false: something waits. Whoever may be silent for long calls
 * this from time to time.
 */
bool log_flush(void);
/* How many lines of this process wait: fewer after log_flush() means that the log is being read. */
size_t log_waiting(void);
/* Called when a line could not be written at once: to arrange for log_flush(). NULL for nobody. */
void log_when_waiting(void (*waits)(void *arg), void *arg);
/* At the end of a process: waits for up to half a second, if it has to. */
void log_finish(void);

void log_set_ident(const char *ident);
void log_set_level(enum log_level level);
/*
 * From now on the level, and the number of dropped lines, are those of all
 * processes that are forked afterwards, whoever sets them. False with errno if there is no memory to share.
 */
bool log_share(void);
enum log_level log_level_now(void);
bool log_wants(enum log_level level);
/*
 * The descriptor that lines are written to, above 2, so that a caller keeps it open; -1: there is
 * none, or it is that of syslog.
 */
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
