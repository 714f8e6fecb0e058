/*
 * batch.h - passwords that a helper was asked about at one time: those that are
 * cached are answered at once, the others are looked up in the database together,
 * and slow hashes come last, one for this helper. For helper.c only.
 */
#ifndef POSTERN_AUTH_BATCH_H
#define POSTERN_AUTH_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/frame.h"

struct accounts;
struct answers;
struct batch;

/* Both outlive it. */
struct batch *batch_new(struct accounts *accounts, struct answers *answers);
void batch_free(struct batch **batch);

/* The request's texts are lent until batch_serve(). It may be full then: batch_is_full(). */
void batch_add(struct batch *batch, const struct auth_request *request);
bool batch_is_full(const struct batch *batch);

/*
 * Blocks. Every request is answered or handed back, but for one that takes a slow
 * hash, which waits for batch_hash(), and for which true is returned.
 */
bool batch_serve(struct batch *batch);
void batch_hash(struct batch *batch);

#endif
