/*
 * policies.c - an entry as words of the shared memory, and for how long it holds.
 */
#include "auth/account/policies.h"

#include <sodium.h>

#include "auth/login_cache.h"
#include "daemon/base/mem.h"

/* What each word is. Those of two numbers of 32 bits have the first one in the low half. */
enum {
    MAILBOX, PROOF, VERSION, DOMAIN, TENANT,
    SESSIONS,           /* of the domain, of the tenant */
    DELAY_EXPIRE,
    ENDS,               /* when it ends */
    FLAGS,
    WORDS,
};
_Static_assert((int)WORDS == (int)LOGIN_CACHE_POLICY_WORDS, "the table keeps as many");
_Static_assert((int)POLICIES_KEPT_MOST_S <= (int)LOGIN_CACHE_IDLE_S, "it is kept as long");
enum { FLAG_POP3 = 1, FLAG_TLS_ONLY = 2, FLAG_REPLACE_NUL = 4 };

static uint64_t pair(int32_t low, int32_t high)
{
    return (uint64_t)(uint32_t)high << 32 | (uint32_t)low;
}

static int32_t low(uint64_t word)
{
    return (int32_t)(uint32_t)word;
}

static int32_t high(uint64_t word)
{
    return (int32_t)(uint32_t)(word >> 32);
}

bool policies_get(const struct login_cache *c, const char *address, const char *network, uint32_t now_s,
                  struct policy_entry *e)
{
    uint64_t w[WORDS];

    if (!login_cache_get_policy(c, span_str(address), span_str(network), now_s, w))
        return false;
    const int32_t left = (int32_t)((uint32_t)w[ENDS] - now_s);
    if (left <= 0 || left > POLICIES_KEPT_MOST_S || (int64_t)w[VERSION] != login_cache_version(c))
        return false;
    *e = (struct policy_entry){
        .mailbox = { (int64_t)w[MAILBOX] },
        .versions = { (int64_t)w[PROOF], (int64_t)w[VERSION] },
        .policy = {
            .pop3 = w[FLAGS] & FLAG_POP3, .tls_only = w[FLAGS] & FLAG_TLS_ONLY,
            .replace_nul = w[FLAGS] & FLAG_REPLACE_NUL, .maintenance = SPAN_OF(""),
            .login_delay = low(w[DELAY_EXPIRE]), .expire = high(w[DELAY_EXPIRE]),
            .domain = (int64_t)w[DOMAIN], .tenant = (int64_t)w[TENANT],
            .domain_sessions = low(w[SESSIONS]), .tenant_sessions = high(w[SESSIONS]),
        },
    };
    return true;
}

void policies_put(const struct login_cache *c, const char *address, const char *network, uint32_t now_s,
                  const struct policy_entry *e)
{
    const struct auth_policy *p = &e->policy;
    const uint32_t ends =
        now_s + POLICIES_KEPT_LEAST_S + randombytes_uniform(POLICIES_KEPT_MOST_S - POLICIES_KEPT_LEAST_S + 1);

    ASSERT(p->maintenance.len == 0 && !p->trace);
    login_cache_put_policy(c, span_str(address), span_str(network), now_s, (const uint64_t[WORDS]){
        [MAILBOX] = (uint64_t)e->mailbox.number, [PROOF] = (uint64_t)e->versions.proof,
        [VERSION] = (uint64_t)e->versions.policy, [DOMAIN] = (uint64_t)p->domain, [TENANT] = (uint64_t)p->tenant,
        [SESSIONS] = pair(p->domain_sessions, p->tenant_sessions),
        [DELAY_EXPIRE] = pair(p->login_delay, p->expire), [ENDS] = ends,
        [FLAGS] = (p->pop3 ? FLAG_POP3 : 0u) | (p->tls_only ? FLAG_TLS_ONLY : 0u) |
                  (p->replace_nul ? FLAG_REPLACE_NUL : 0u),
    });
}
