/*
 * policies.h - what the last login of an address was told of its policy, so
 * that the next one need not ask for it: valid as long as the version of all
 * policies, which each login reads, is the same. Known to all helpers of a host
 * (auth/login_cache.h).
 */
#ifndef POSTERN_AUTH_POLICIES_H
#define POSTERN_AUTH_POLICIES_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/login.h"
#include "daemon/base/mailbox_ref.h"

struct login_cache;

/* An entry is kept for a time between these two, in seconds, each for another, so that not all end at once. */
enum { POLICIES_KEPT_LEAST_S = 16 * 3600, POLICIES_KEPT_MOST_S = 24 * 3600 };

struct policy_entry {
    struct mailbox_ref mailbox;
    struct mailbox_versions versions;   /* its proof is 0 where each login has to look at the secrets */
    struct auth_policy policy;          /* without a text of maintenance, and no trace: such a one is not kept */
};

/*
 * What was kept for this address, from this network (a text, which may be empty). False:
 * nothing, or it is older than that, or of an older version than a helper has
 * seen meanwhile. Whoever logs in from elsewhere, or for the first time in a day, has to
 * be asked for. now_s: seconds of CLOCK_MONOTONIC.
 */
bool policies_get(const struct login_cache *cache, const char *address, const char *network, uint32_t now_s,
                  struct policy_entry *entry_r);
/* As the database has just told it. */
void policies_put(const struct login_cache *cache, const char *address, const char *network, uint32_t now_s,
                  const struct policy_entry *entry);

#endif
