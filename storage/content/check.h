/*
 * check.h - is a content what it was when it was stored? Its parts are given one
 * after the other, as the database has them.
 */
#ifndef POSTERN_STORAGE_CHECK_H
#define POSTERN_STORAGE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"
#include "storage/content/content.h"

struct content_check_room;
struct content_check {
    int64_t octets, came;
    int64_t stored, stored_came;
    uint32_t next_part;         /* that is expected */
    bool gap, undecoded;
    struct content_check_room *room;    /* of the segment that it is at, if there was a coded one */
    unsigned char digest[CONTENT_DIGEST];
    struct content_hash hash;
};

/* octets, stored (0: nothing) and digest are what its row says. */
void content_check_begin(struct content_check *check, int64_t octets, int64_t stored, struct span digest);
void content_check_part(struct content_check *check, int32_t part, int32_t codec, struct span stored);
/* After the last part: true if it is whole. Otherwise why_r says what is wrong. Once. */
bool content_check_end(struct content_check *check, char *why_r, size_t size);

#endif
