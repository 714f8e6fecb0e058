/*
 * policies.h - what the last login of an address was told of its policy, so
 * that the next one need not ask for it: valid as long as the version of all
 * policies, which each login reads, is the same.
 */
#ifndef POSTERN_AUTH_POLICIES_H
#define POSTERN_AUTH_POLICIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/login.h"
#include "daemon/base/mailbox_ref.h"

struct policies;

struct policy_entry {
    struct mailbox_ref mailbox;
    struct mailbox_versions versions;   /* its proof is 0 where each login has to look at the secrets */
    struct auth_policy policy;
    char maintenance[AUTH_MAINTENANCE_MAX + 1];     /* the policy's text */
};

/* Room for `entries`; with 0 nothing is ever found. */
struct policies *policies_new(size_t entries);
void policies_free(struct policies **policies);
/*
 * NULL, or what was kept for this address; valid until the next policies_put().
 * With a network (not "") only if it was kept for that one, and in these 24
 * hours: whoever logs in from elsewhere, or for the first time in a day, has to
 * be asked for.
 */
const struct policy_entry *policies_get(const struct policies *policies, const char *address, const char *network,
                                        int64_t now_s);
void policies_put(struct policies *policies, const char *address, const char *network, int64_t now_s,
                  const struct policy_entry *entry);

#endif
