/*
 * mailbox_ref.h - which mailbox: how it is referred to on its whole way, from
 * the auth helper that says whose login it is to the statement that opens it.
 *
 * Nothing but storage/, and who makes one, looks inside: others copy, compare
 * and print it by what is here. All zero refers to no mailbox.
 */
#ifndef POSTERN_BASE_MAILBOX_REF_H
#define POSTERN_BASE_MAILBOX_REF_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"

struct mailbox_ref {
    int64_t number;     /* mailbox.mailbox, above zero (sql/README) */
};

/*
 * What a cached login was verified against: it holds if these two numbers are
 * what they were (sql/README), which only who opens the maildrop sees. All zero:
 * the login needs no confirmation.
 */
struct mailbox_versions {
    int64_t proof;      /* mailbox.proof; 0: its logins are not cached that way */
    int64_t policy;     /* policy_version: of all that is common to several */
};

/*
 * What an auth helper makes for a login and the database takes for the lock: of this
 * mailbox, for one connection, for two minutes (auth/ticket.h). Everybody else hands
 * it on as it is.
 */
enum { MAILBOX_TICKET = 69 };
struct mailbox_ticket {
    unsigned char octets[MAILBOX_TICKET];
};
static inline struct span mailbox_ticket_span(const struct mailbox_ticket *t)
{
    return (struct span){ (const char *)t->octets, sizeof t->octets };
}

/* False: it refers to none. */
static inline bool mailbox_is_one(const struct mailbox_ref *m) { return m->number != 0; }
static inline bool mailbox_same(const struct mailbox_ref *a, const struct mailbox_ref *b)
{
    return a->number == b->number;
}
/* For tables: equal if and only if mailbox_same() says so. */
static inline uint64_t mailbox_key(const struct mailbox_ref *m) { return (uint64_t)m->number; }

/* Its number in decimal, for log lines, notifications and parameters in text form: mailbox_text(m).s */
struct mailbox_text {
    char s[24];
};
struct mailbox_text mailbox_text(const struct mailbox_ref *m);
/* The reverse; false if `text` is not the number of a mailbox. */
bool mailbox_parse(struct span text, struct mailbox_ref *m_r);

#endif
