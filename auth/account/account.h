/*
 * account.h - is this the password of this name? The decision, for the helper.
 */
#ifndef POSTERN_AUTH_ACCOUNT_H
#define POSTERN_AUTH_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/account/credentials.h"
#include "auth/frame.h"
#include "auth/login.h"
#include "auth/name.h"
#include "auth/account/verdict.h"

struct auth_settings;
struct accounts;

/* Connects to the database if it is there. */
struct accounts *accounts_new(const char *conninfo, const struct auth_settings *settings, int schema_version,
                              int login_cache);
void accounts_free(struct accounts **accounts);

/*
 * Looks up a name. 1: credentials_r is filled, the caller wipes it. 0: unknown,
 * and the verdict is that refusal. -1: cannot tell, and the verdict says so. Its
 * address is the canonical name, empty if there is none. Blocks as long as the
 * database takes. If the verdict is `barred`, the login must fail: a password is
 * not verified, and an exchange runs to its end and fails there, because other
 * challenges would reveal that the name is known. whole: as in
 * credentials_fetch().
 */
int account_find(struct accounts *accounts, struct span name, struct span default_domain,
                 const struct auth_origin *origin, bool whole, struct credentials *credentials_r,
                 struct account_verdict *verdict_r);

/*
 * Blocks as long as the database and the password scheme take. With
 * may_be_unconfirmed, and unless the request says uncached, a password that was
 * verified before is let in without asking the database: that is
 * AUTH_OK_UNCONFIRMED, and holds only if open_maildrop() confirms it.
 */
void account_check(struct accounts *accounts, const struct auth_request *request, bool may_be_unconfirmed,
                   struct account_verdict *verdict_r);

/*
 * What the maildrop of an AUTH_OK or AUTH_OK_UNCONFIRMED is opened with, on the
 * connection whose process is `lane`. Blocks for a statement where the key has to be
 * asked for. Without a key the verdict becomes AUTH_UNAVAILABLE: nobody could open
 * anything. Other verdicts stay, and get no ticket.
 */
void account_ticket(struct accounts *accounts, struct account_verdict *verdict, uint32_t lane,
                    struct mailbox_ticket *ticket_r);

/* After the client has its answer: writes that the last login requires, mostly none. Blocks. */
void account_upkeep(struct accounts *accounts);
/*
 * After the verdict was sent, as nobody waits for it: records a failure that counts,
 * or the network of a login. In a flood some are skipped. Takes back the count of
 * what was no guess, so each verdict must be passed to it once.
 */
void account_write_down(struct accounts *accounts, struct account_verdict *verdict);

#endif
