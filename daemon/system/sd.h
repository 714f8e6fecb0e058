/*
 * sd.h - what a service manager passes in the environment: sockets that it
 * made (LISTEN_FDS), and where to tell it how we are (NOTIFY_SOCKET), how
 * often (WATCHDOG_USEC).
 */
#ifndef POSTERN_SD_H
#define POSTERN_SD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True if fd is a socket that connections can be accepted from. */
bool sd_is_listening(int fd);
/*
 * The sockets passed to this process: descriptors 3 to 3 + *count_r - 1, made
 * close-on-exec; none is an answer too. *names_r is what FileDescriptorName=
 * said of each, with colons in between, to mem_free(), or NULL. The variables
 * are removed. Returns false, with the reason in *error_r, if what was passed
 * is not that.
 */
bool sd_listen_fds(size_t *count_r, char **names_r, const char **error_r);
/*
 * Milliseconds after which sd_notify_state("WATCHDOG=1") is due again, half of what the manager
 * waits for; 0 if it does not.
 */
uint64_t sd_watchdog(void);
/* One datagram, "READY=1" or the like. Where nobody asked for it nothing happens. */
void sd_notify_state(const char *state);

#endif
