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
/* Before account_find(), by who shows something of a name that is not there: 0 says then that decoy.h has a key. */
void accounts_need_decoys(struct accounts *accounts);

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
 * Blocks as long as the database and the password scheme take. Unless the request
 * says uncached, a password that was verified before is let in without asking the
 * database: that is AUTH_OK_UNCONFIRMED, and holds only if open_maildrop() confirms it.
 */
void account_check(struct accounts *accounts, const struct auth_request *request, struct account_verdict *verdict_r);

/* The same for what the cache answers. False: nothing was decided, and nobody asked. */
bool account_check_cached(struct accounts *accounts, const struct auth_request *request,
                          struct account_verdict *verdict_r);
/* As account_check(). False: it takes a slow hash, and nothing was decided. */
bool account_check_quickly(struct accounts *accounts, const struct auth_request *request,
                           struct account_verdict *verdict_r);
/*
 * Asks the database what is to be known for these together, of which no two may be of one
 * name: the next checks of them need not. As credentials_look_ahead(). The
 * questions are the addresses (name_canonical(), none is empty) and networks of
 * the requests.
 */
bool account_look_ahead(struct accounts *accounts, const struct credentials_question *questions, size_t n);
void account_forget_ahead(struct accounts *accounts);

/*
 * What the maildrop of an AUTH_OK or AUTH_OK_UNCONFIRMED is opened with, on the
 * connection whose process is `lane`. Blocks for a statement where the key has to be
 * asked for. Without a key the verdict becomes AUTH_UNAVAILABLE: nobody could open
 * anything. Other verdicts stay, and get no ticket.
 */
void account_ticket(struct accounts *accounts, struct account_verdict *verdict, uint32_t lane,
                    struct mailbox_ticket *ticket_r);

/*
 * Takes back the count of what was no guess, and notes for account_write() a failure
 * that counts, or the network of a login; so each verdict must be passed to it once.
 */
void account_write_down(struct accounts *accounts, struct account_verdict *verdict);

/*
 * What an old server has said of a password: a wrong one counts as a failure, a right one is
 * noted for account_make_one(). Never blocks.
 */
void account_report(struct accounts *accounts, const struct auth_request *report);

/*
 * After clients have their answers, as nobody waits for it: writes what their logins
 * left, mostly nothing, else with a statement for all. Blocks for these.
 */
void account_write(struct accounts *accounts);
/*
 * What account_write() has left for a quiet moment, as it takes a slow hash. False:
 * nothing. Else blocks for that of one login.
 */
bool account_make_one(struct accounts *accounts);
/* Milliseconds until there is something to be written or made, 0 for now; -1: nothing is left. */
int account_wait(const struct accounts *accounts);
/* All of it, whatever it takes: before the end. */
void account_upkeep(struct accounts *accounts);

#endif
