/*
 * mbox.h - where the messages of an mbox file are, and how its lines are quoted
 * (RFC 4155 appendix A, and what programs really write).
 *
 * A separator is a line "From sender date" whose date can be understood, at the
 * beginning of the file or of any line. A line that begins with "From " and has
 * no date is text. One empty line in front of a separator, or at the end of
 * the file, belongs to the mbox and not to the message.
 */
#ifndef POSTERN_ADMIN_MBOX_H
#define POSTERN_ADMIN_MBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/span.h"

/* Is this line (with or without its end) a separator? 1 and its date (UTC where it names no zone), or 0. */
int mbox_separator(struct span line, int64_t *time_r);

/* The next message of a file, by offsets: not held in memory. */
struct mbox_scan;
struct mbox_scan *mbox_scan_new(int fd);
void mbox_scan_free(struct mbox_scan **scan);
/* 1: the message is [*at_r, *end_r), received *time_r. 0: there are no more. -1: errno. */
int mbox_next(struct mbox_scan *scan, off_t *at_r, off_t *end_r, int64_t *time_r);

/*
 * Quoting: lines that are `>`s and then "From ". What a filter holds back at
 * the beginning of a line is only a number of `>` and how much of "From " was
 * seen, so lines are not bounded.
 */
enum mbox_quoting {
    MBOX_PLAIN,         /* pass everything through */
    MBOX_QUOTE,         /* write: one more `>` in front of >*From (mboxrd) */
    MBOX_UNQUOTE_RD,    /* read: one `>` less in front of >+From (mboxrd) */
    MBOX_UNQUOTE_O,     /* read: only >From with exactly one `>` (mboxo) */
};

struct mbox_filter {
    enum mbox_quoting quoting;
    bool inside;        /* of a line whose beginning was decided */
    size_t marks;       /* `>` seen at its beginning */
    size_t from;        /* octets of "From " seen behind them */
};

/* Gets the result in as many calls as it takes. */
typedef void mbox_out(void *arg, const char *at, size_t len);
void mbox_filter_feed(struct mbox_filter *f, const char *in, size_t len, mbox_out *out, void *arg);
/* The message ends here; the filter is ready for the next one. */
void mbox_filter_end(struct mbox_filter *f, mbox_out *out, void *arg);

#endif
