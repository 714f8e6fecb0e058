/*
 * scan.h - reading every content of the store, and comparing it with its digest.
 */
#ifndef POSTERN_ADMIN_SCAN_H
#define POSTERN_ADMIN_SCAN_H

#include <stdint.h>

#include "admin/ctl.h"

struct scan_totals {
    uint64_t contents, octets;
};

/* A line for each content that is damaged, with the messages that it belongs to. */
typedef void scan_damaged(void *arg, const char *problem);

/* In bounded memory, and without a transaction that would last for hours. */
enum ctl_exit scan_all(struct ctl *c, scan_damaged *damaged, void *arg, struct scan_totals *totals_r);

#endif
