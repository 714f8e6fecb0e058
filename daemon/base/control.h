/*
 * control.h - what posternctl and the master say to each other.
 *
 * Over the unix socket `control_socket`, one command a connection. The master
 * asks the kernel who connects (SO_PEERCRED) before it reads an octet; only
 * root and its own user are heard. A command is one line of at most
 * CONTROL_LINE octets with its LF, words with one space between:
 *
 *   reload                     read the configuration and the certificates again; problems after OK are warnings
 *   drain [SECONDS]            accept no more, end when the sessions have, or that time is over
 *   upgrade                    start the program anew and hand the listening sockets to it
 *   log-level LEVEL            error, warning, info or debug, until the next reload
 *   kick SUBJECT               end the sessions of a mailbox's address, or the one with this id
 *   trace SUBJECT SECONDS      write the dialogues of a subject (traced.h) to the log; 0 ends it
 *   status                     the metrics, as Prometheus reads them
 *
 * The answer is a line that begins with "OK" or "ERR", then what there is to
 * tell, line by line, then the end of the connection. To `kick` the master
 * says "OK N"; N workers write their lines, each ending with "done", before and
 * behind it: they get the connection itself, so that the master need not read
 * what they say.
 */
#ifndef POSTERN_BASE_CONTROL_H
#define POSTERN_BASE_CONTROL_H

#include "daemon/base/options.h"

struct control_settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
#include "daemon/base/control.def"
#undef OPTION
};
extern const struct option_table control_options;

/* metrics_listen: "127.0.0.1:9110" or "[::1]:9110", in its parts. False if it is nothing like that. */
bool control_metrics_address(const char *text, char host[64], uint16_t *port_r);

enum {
    CONTROL_LINE = 512,
    CONTROL_WORDS = 3,
    CONTROL_SECONDS_MAX = 7 * 86400,
};

#endif
