/*
 * trace.h - the lines in front of a message, and what is read from its header.
 */
#ifndef POSTERN_LMTP_TRACE_H
#define POSTERN_LMTP_TRACE_H

#include <stdbool.h>
#include <time.h>

#include "daemon/base/buf.h"
#include "daemon/base/span.h"

struct trace {
    const char *sender;     /* empty for <> */
    struct span lhlo;       /* as the client said it; anything */
    const char *peer;       /* conn_peer() */
    const char *host;       /* ours */
    const char *id;
    const char *recipient;  /* the only one, or NULL where there are more: they do not learn of each other */
    bool utf8;              /* SMTPUTF8 was said */
    time_t when;
};

/* Return-Path (RFC 5321 section 4.4) and one Received, each line with its CRLF. */
void trace_put(struct buf *out, const struct trace *trace);

/*
 * The Message-ID in the beginning of a message, without the white space around
 * it; empty where there is none in the header as far as it was given.
 */
struct span trace_message_id(struct span head);

#endif
