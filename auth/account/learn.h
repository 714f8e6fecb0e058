/*
 * learn.h - what a login leaves that an old server has accepted: the network of the
 * client, and where the server's row says so a hash of the password, so that its owner
 * needs no other one when the mailbox has moved.
 *
 * Noted when a worker reports it, carried out in a quiet moment, as upkeep.h does:
 * nobody waits for it, and a failure costs nobody the login.
 */
#ifndef POSTERN_AUTH_LEARN_H
#define POSTERN_AUTH_LEARN_H

#include <stdbool.h>

#include "auth/account/credentials.h"
#include "auth/frame.h"

struct auth_settings;
struct learn;
struct login_cache;
struct records;

/* All of it outlives the result; keyring may be NULL. */
struct learn *learn_new(struct credentials_source *source, const struct auth_settings *settings,
                        const struct keyring *keyring, const struct login_cache *cache, struct records *records);
/* Forgets, and wipes, what was noted and not written. */
void learn_free(struct learn **learn);
/* This password is right, as a worker says. Where many wait it is passed over, till the next login. */
void learn_note(struct learn *learn, const struct auth_request *report);
/* False: nothing is left. Blocks for some statements and, at most, two slow hashes. */
bool learn_one(struct learn *learn);
bool learn_is_left(const struct learn *learn);

#endif
