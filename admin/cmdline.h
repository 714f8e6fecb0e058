/*
 * cmdline.h - options of a command line, by getopt_long(). A file of its own,
 * as getopt's `struct option` and that of the configuration cannot meet.
 */
#ifndef POSTERN_ADMIN_CMDLINE_H
#define POSTERN_ADMIN_CMDLINE_H

struct cmdline_option {
    const char *name;
    const char *arg;            /* what its argument is called; NULL: it takes none */
    const char *help;
    char letter;                /* its short form; 0: it has none */
};

/*
 * given[i] is the argument of the option of row i, "" if it takes none, NULL
 * if it was not there. Options may stand anywhere; the words end up after
 * them. Returns the index of the first word, or -1 after a message.
 */
int cmdline_parse(int argc, char **argv, const struct cmdline_option *rows, int count, const char **given);

#endif
