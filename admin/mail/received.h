/*
 * received.h - when a message came to its server, as far as its header tells. Pure.
 */
#ifndef POSTERN_ADMIN_RECEIVED_H
#define POSTERN_ADMIN_RECEIVED_H

#include <stdint.h>

#include "daemon/base/span.h"

enum received_by { RECEIVED_FIELD, RECEIVED_DATE, RECEIVED_NOTHING };

/*
 * head: the first octets of the message. The date of the topmost Received field that has one
 * (RFC 5321 section 4.4), else that of the Date field: microseconds since 1970, not negative.
 */
enum received_by received_time(struct span head, int64_t *time_r);

#endif
