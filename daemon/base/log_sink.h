/*
 * log_sink.h - where log lines go, without ever waiting for whoever
 * takes them. For log.c alone.
 *
 * What cannot be written at once waits in a memory of 64 KiB, in order, and is
 * tried again with each line and by log_sink_flush(). When it is full, lines
 * are refused. Nothing here allocates.
 */
#ifndef POSTERN_BASE_LOG_SINK_H
#define POSTERN_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* of one line; less than PIPE_BUF, so that lines of several processes do not mix */
enum { LOG_LINE_OCTETS = 2048 };

/*
 * "stderr", "syslog" (the socket /dev/log), "syslog:" and the absolute path of
 * another such socket, or the absolute path of a file. False, with the reason
 * in *error_r (static text or strerror's), where the name is none of these, or
 * the file cannot be opened: then all is as before. A socket where nobody
 * listens is no failure: see log_sink_reached(). *lost_r: how many lines waited
 * for a former place and could not be written there.
 */
bool log_sink_open(const char *where, size_t *lost_r, const char **error_r);
/* Standard error leads elsewhere now. */
void log_sink_stderr_moved(void);
/* In a forked process, whose descriptor for syslog was closed. */
void log_sink_forked(void);

bool log_sink_is_syslog(void);
bool log_sink_is_stderr(void);
bool log_sink_reached(void);
/* The path of the socket, or what was opened. */
const char *log_sink_name(void);
/* A descriptor above 2 that a caller has to keep open; -1: there is none, or it is syslog's. */
int log_sink_descriptor(void);

/* At most LOG_LINE_OCTETS, with its LF (for syslog: NUL) at the end; now: it must not wait. False: it was not taken. */
bool log_sink_put(const char *line, size_t len, bool now);
/* Tries once more; true if nothing waits any more. */
bool log_sink_flush(void);
/* Lines that wait. */
size_t log_sink_waiting(void);
/* Forgets them, and says how many they were. */
size_t log_sink_give_up(void);
/* Waits that long for what takes the lines to have room; at the end of a process. */
void log_sink_wait(int ms);

#endif
