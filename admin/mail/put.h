/*
 * put.h - messages into a mailbox, in batches, each one transaction.
 *
 * While the database works on one batch the next one is gathered. What is
 * counted as stored was committed.
 */
#ifndef POSTERN_ADMIN_PUT_H
#define POSTERN_ADMIN_PUT_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/ctl.h"
#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"
#include "storage/content/content.h"

enum {
    PUT_BATCH_OCTETS = 2 * 1024 * 1024,
    PUT_BATCH_MESSAGES = 1000,
    PUT_SMALL = 1024 * 1024,            /* a larger message goes in pieces, in a transaction of its own */
};

struct put;

/* over_quota: quotas that the messages exceed are no reason to refuse them. */
struct put *put_new(struct ctl *c, const struct mailbox_ref *mailbox, bool over_quota);
/* Before the first message: where all of them come from (source_label()), lent. */
void put_from(struct put *put, const char *label);
/* What was gathered and not flushed is forgotten. */
void put_free(struct put **put);

/* A small message; copied. uidl may be NULL. Sends the batch when it is full. */
enum ctl_exit put_small(struct put *put, struct span octets, const unsigned char digest[CONTENT_DIGEST],
                        int64_t received, const char *uidl);
/* All that was gathered is sent and committed. After a failure there is nothing gathered. */
enum ctl_exit put_flush(struct put *put);

/*
 * A large one, whose octets and digest are known before: begin, data in any
 * number of calls, end. put_large_end() refuses, and stores nothing, if what
 * came is not what was announced.
 */
enum ctl_exit put_large_begin(struct put *put, uint64_t octets, const unsigned char digest[CONTENT_DIGEST]);
enum ctl_exit put_large_data(struct put *put, const char *at, size_t len);
enum ctl_exit put_large_end(struct put *put, int64_t received, const char *uidl);
void put_large_abandon(struct put *put);
/* After a failure of one of these: it conflicted with another transaction and nothing was reported; begin again. */
bool put_large_again(const struct put *put);

uint64_t put_stored(const struct put *put);
uint64_t put_stored_octets(const struct put *put);

#endif
