/*
 * commands.h - the verbs of the control socket (daemon/base/control.h), and
 * what they need of the master.
 */
#ifndef POSTERN_COMMANDS_H
#define POSTERN_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/span.h"

struct order;

/* What the master does of it. Each gets the arg of struct commands, and none waits. */
struct command_calls {
    bool (*stopping)(void *arg);
    /*
     * Reads all of the configuration anew, *cells_r: for how many cells. False: the one of before stays. *told_r is
     * lent, until the next call: problems or warnings, a line each.
     */
    bool (*reload)(void *arg, struct span *told_r, unsigned *cells_r);
    /* drain_time of the configuration, ms; accepts no more, and sessions have this many ms. */
    uint64_t (*drain_time)(void *arg);
    void (*drain)(void *arg, uint64_t ms);
    /* operator is answered, now or when it is known what became of it. */
    void (*upgrade)(void *arg, int operator);
    /* To each worker, with the descriptor `passed` or -1. Returns how many took it. */
    unsigned (*post)(void *arg, const struct order *order, int passed);
};

struct commands {
    const struct command_calls *calls;
    void *arg;
};

/* An operator_command (operator.h), the first argument of which is a struct commands. */
void commands_run(void *commands, int fd, char **words, size_t count, uint64_t now);

#endif
