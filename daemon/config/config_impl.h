/*
 * config_impl.h - between config_file.c, which loads, and config_check.c.
 */
#ifndef POSTERN_CONFIG_IMPL_H
#define POSTERN_CONFIG_IMPL_H

#include <libconfig.h>
#include <stdbool.h>

#include "daemon/config/config.h"

/*
 * Collects the problems of one load: counts them, and finds the lines that a check of more than
 * one option cannot know.
 */
struct config_report {
    const char *file;
    options_problem *problem;
    void *arg;
    int count;
    config_t tree;              /* the file once more, for its line numbers */
    bool have_tree;
};

void config_report_open(struct config_report *r, const char *file, options_problem *problem, void *arg);
void config_report_close(struct config_report *r);
/* An options_problem: passes on, with a line where the teller had none. */
void config_report_problem(void *report, const char *file, int line, const char *text);

void config_check_listeners(const struct config *c, unsigned flags, struct config_report *r);
/* All the rest; connection strings are put together on the way. */
void config_check(struct config *c, unsigned flags, struct config_report *r);

#endif
