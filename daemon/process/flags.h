/*
 * flags.h - the command line.
 */
#ifndef POSTERN_FLAGS_H
#define POSTERN_FLAGS_H

#include <stdbool.h>
#include <stdio.h>

#include "daemon/config/protocols.h"

struct flags {
    const char *file;           /* the configuration */
    bool foreground, check, inetd, tls, alone, stay, print_config, print_manual, version, help;
    const struct protocol *protocol;    /* --inetd=NAME */
    int ready_fd;               /* --ready-fd; below zero: none */
    bool wrong;                 /* an option that there is not, or too many */
};

/* Says nothing: standard error may be a client, which only all of the flags together tell. */
struct flags flags_parse(int argc, char **argv);
void flags_usage(FILE *out);
void flags_help(FILE *out);

#endif
