/*
 * upkeep.h - what a good login leaves to write: a better hash, kinds of secrets
 * that were missing, that an app password was used.
 *
 * Noted when the password was verified, written when the client has its answer:
 * nobody waits for it, and a failure costs nobody the login. What many logins
 * leave is written together.
 */
#ifndef POSTERN_AUTH_UPKEEP_H
#define POSTERN_AUTH_UPKEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/account/credentials.h"

struct auth_settings;
struct upkeep;

/* All of it outlives the upkeep; keyring may be NULL. */
struct upkeep *upkeep_new(struct credentials_source *source, const struct auth_settings *settings,
                          const struct keyring *keyring);
/* Forgets, and wipes, what was noted and not written. */
void upkeep_free(struct upkeep **upkeep);
/*
 * This password is the secret i of c, found out just now, or cached from
 * before: then only its use is noted. as_typed: the secret was made of these
 * octets, which are not the form that new ones are made of. Copies what it needs.
 * Blocks for upkeep_write() where too much has gathered.
 */
void upkeep_note(struct upkeep *upkeep, const struct credentials *c, size_t i, struct span password, bool cached,
                 bool as_typed);
/* Blocks for the statements that are due: mostly none, else one for all that was noted. */
void upkeep_look(struct upkeep *upkeep);
/* Is there something left that takes a slow hash? Blocks for that of one login, and wipes what was noted of it. */
bool upkeep_make_one(struct upkeep *upkeep);
bool upkeep_is_left(const struct upkeep *upkeep);

#endif
