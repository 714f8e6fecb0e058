/*
 * scan.h - reading every content of the store, and comparing it with its digest.
 */
#ifndef POSTERN_ADMIN_SCAN_H
#define POSTERN_ADMIN_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/ctl.h"

struct scan_totals {
    uint64_t contents, octets;
};

/* A line for each content that is damaged, with the messages that it belongs to. */
typedef void scan_damaged(void *arg, const char *problem);

/*
 * Told now and then, between two contents, unless it is NULL: all up to
 * `content` were read and what was damaged among them was told. False: stop.
 */
typedef bool scan_noted(void *arg, int64_t content, const struct scan_totals *totals);

struct scan_how {
    int64_t behind;             /* begin after this content; 0 for all */
    int64_t octets_per_second;  /* at most; 0 for no limit */
    scan_damaged *damaged;
    scan_noted *noted;
    void *arg;
};

/* Adds to the totals. In bounded memory, and without a transaction that would last for hours. */
enum ctl_exit scan_contents(struct ctl *c, const struct scan_how *how, struct scan_totals *totals);

#endif
