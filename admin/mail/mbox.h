/*
 * mbox.h - where the messages of an mbox file are, and how its lines are quoted
 * (RFC 4155 appendix A, and what programs really write).
 *
 * A separator is a From_ line with an empty line or nothing in front and
 * something like a header after it (fromline.h). One empty line in front of a
 * separator, or at the end of the file, belongs to the mbox and not to the
 * message. A Content-Length (mboxcl, mboxcl2) is believed where it leads to a
 * separator or to the end of the file, and only there.
 */
#ifndef POSTERN_ADMIN_MBOX_H
#define POSTERN_ADMIN_MBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "admin/mail/state.h"
#include "daemon/base/span.h"

struct mbox_message {
    off_t at, end;          /* where it is in the file */
    uint64_t line;          /* of its separator */
    bool has_time;
    bool time_of_field;     /* its Date field, as the separator has none */
    bool zone;              /* the separator names one: else its time may be that of some place */
    int64_t time;           /* microseconds since 1970 */
    unsigned state;         /* enum state_flag, from its header */
    bool unquoted;          /* a From_ line that is not quoted was found in it: no line of it is */
};

/* Something that people should look at: the number of a line, and static text. */
typedef void mbox_doubt(void *arg, uint64_t line, const char *what);

/*
 * The next message of a file, by offsets: nothing of it is held in memory, and
 * no more of the file than a buffer. Empty lines in front of the first separator
 * are passed over; if something else stands there, there are no messages. The
 * first From_ line may be of any form, or quoted.
 *
 * From_ lines between the separator and the header are left out, unless `keep`:
 * then those that are quoted belong to the message.
 */
struct mbox_scan;
struct mbox_scan *mbox_scan_new(int fd, bool keep, mbox_doubt *doubt, void *arg);
void mbox_scan_free(struct mbox_scan **scan);
/* 1 and a message. 0: there are no more. -1: errno. */
int mbox_next(struct mbox_scan *scan, struct mbox_message *message_r);
uint64_t mbox_separators(const struct mbox_scan *scan);     /* so far */

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
