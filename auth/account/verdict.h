/*
 * verdict.h - the helper's verdict about a login, and the part of it that is sent.
 */
#ifndef POSTERN_AUTH_VERDICT_H
#define POSTERN_AUTH_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/account/credentials.h"
#include "auth/frame.h"
#include "auth/login.h"
#include "auth/name.h"

struct account_verdict {
    enum auth_verdict verdict;
    struct mailbox_ref mailbox;     /* of these two: AUTH_OK, AUTH_OK_UNCONFIRMED */
    char address[NAME_ADDRESS_MAX + 1];     /* of AUTH_OK as stored; else the canonical name, empty where it has none */
    /*
     * Of a refusal, for the log and nobody else: "unknown", "disabled",
     * "password", "no-password", "unusable" (what is stored: an operator has to act),
     * "guessing"; of an exchange also "no-secret", "malformed", "authzid", "binding",
     * "certificate", "mechanism", "aborted", "token-...".
     */
    const char *reason;
    bool cached;                    /* AUTH_OK, AUTH_OK_UNCONFIRMED: the password was not verified now, but before */
    struct mailbox_versions versions;   /* AUTH_OK_UNCONFIRMED */
    char network[FRAME_NETWORK_MAX + 1];    /* network of the client; empty if it is not counted */
    bool barred;                    /* too many failures: refused as "guessing", even with the right password */
    bool unseen;                    /* AUTH_OK: its network was not recorded today */
    bool counted;                   /* as a guess, by this helper, until account_write_down() */
    uint32_t guesses;               /* failures of this name before this one, on all hosts */
    struct auth_policy policy;      /* AUTH_OK, AUTH_ELSEWHERE; its text is in `maintenance` */
    char maintenance[AUTH_MAINTENANCE_MAX];
    char elsewhere[ELSEWHERE_MAX + 1];      /* AUTH_ELSEWHERE: where, see stored.h; then the mailbox may be none */
};

/*
 * It was the right password, token or certificate: the verdict becomes AUTH_OK, with all that belongs
 * to it; or AUTH_ELSEWHERE, if the mailbox is not here.
 */
void verdict_accept(struct account_verdict *verdict, const struct credentials *credentials);
/* Is it what verdict_accept() made of it? */
bool verdict_is_accepted(const struct account_verdict *verdict);
/* It becomes AUTH_REFUSED for this reason (static text). */
void verdict_refuse(struct account_verdict *verdict, const char *reason);
/* Nobody may log in as another user: an authorization identity is empty, or means the same mailbox. */
void verdict_authorize(struct account_verdict *verdict, struct span authzid, struct span domain);

#endif
