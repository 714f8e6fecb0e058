/*
 * cmdline.c - options of a command line, by getopt_long().
 */
#include "admin/cmdline.h"

#include <getopt.h>
#include <stdio.h>

#include "daemon/base/mem.h"

enum { LONG_BASE = 256 };

static int parse(int argc, char **argv, const struct cmdline_option *rows, int count, const char **given,
                 struct option *longs, char *letters)
{
    int n = 0, got;

    for (int i = 0; i < count; i++) {
        longs[i] =
            (struct option){ rows[i].name, rows[i].arg != NULL ? required_argument : no_argument, NULL, LONG_BASE + i };
        given[i] = NULL;
        if (rows[i].letter != '\0') {
            letters[n++] = rows[i].letter;
            if (rows[i].arg != NULL)
                letters[n++] = ':';
        }
    }
    letters[n] = '\0';
    while ((got = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        int i = got - LONG_BASE;

        if (got == '?')
            return -1;
        for (int k = 0; i < 0 && k < count; k++)
            if (rows[k].letter == got)
                i = k;
        if (given[i] != NULL) {
            fprintf(stderr, "posternctl: --%s given twice\n", rows[i].name);
            return -1;
        }
        given[i] = rows[i].arg != NULL ? optarg : "";
    }
    return optind;
}

int cmdline_parse(int argc, char **argv, const struct cmdline_option *rows, int count, const char **given)
{
    struct option *longs = mem_array((size_t)count + 1, sizeof *longs);
    char *letters = mem_array((size_t)count + 1, 2);
    int at = parse(argc, argv, rows, count, given, longs, letters);

    mem_free(longs);
    mem_free(letters);
    return at;
}
