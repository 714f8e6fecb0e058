/*
 * data.h - from the octets of DATA or BDAT to the octets that are stored.
 *
 * A state machine over chunks of any size. Only CRLF . CRLF ends DATA (RFC 5321
 * section 2.3.8, and the smuggling of messages by other line ends); one
 * leading dot is taken away from a line of DATA, never from one of BDAT. A CR
 * or LF alone becomes CRLF and is reported, a NUL is kept and reported: whether
 * the message is refused for it is the caller's decision. All else passes
 * through as it is.
 */
#ifndef POSTERN_LMTP_DATA_H
#define POSTERN_LMTP_DATA_H

#include <stdbool.h>

#include "daemon/base/span.h"

enum data_state {
    DATA_LINE,      /* at the start of a line, after a CRLF, or of the message */
    DATA_TEXT,
    DATA_BARE,      /* after a bare LF: text, though what is stored ends a line there */
    DATA_CR,        /* a CR came, nothing known yet */
    DATA_DOT,       /* a dot at the start of a line, not yet handed on */
    DATA_DOT_CR,    /* a CR after that */
    DATA_END,       /* the end was seen */
};

struct data_decoder {
    enum data_state state;
    bool dots;          /* DATA: unstuff, look for the end */
    bool bare;          /* a CR or LF came that is not part of a CRLF */
    bool nul;
};

/* What is to be stored, in order; the span is valid in the call only. */
typedef void data_put(void *arg, struct span out);

#define DATA_START(is_data) ((struct data_decoder){ .state = DATA_LINE, .dots = (is_data) })

/* Returns how many octets were used: all of them, or those up to the end of the data (state DATA_END). */
size_t data_decode(struct data_decoder *d, struct span in, data_put *put, void *arg);

/* No more will come (the last BDAT): a last line without its end gets one. */
void data_finish(struct data_decoder *d, data_put *put, void *arg);

#endif
