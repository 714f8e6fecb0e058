/*
 * account.h - is this the password of this name? The decision, for the helper.
 */
#ifndef POSTERN_AUTH_ACCOUNT_H
#define POSTERN_AUTH_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/client.h"
#include "auth/credentials.h"
#include "auth/frame.h"
#include "auth/name.h"

struct auth_settings;
struct accounts;

struct account_verdict {
    enum auth_verdict verdict;
    int64_t mailbox;                /* AUTH_OK */
    char address[NAME_ADDRESS_MAX + 1];     /* AUTH_OK: as stored; else the canonical name, empty where it has none */
    /*
     * Of a refusal, for the log and nobody else: "unknown", "disabled",
     * "password", "no-password"; of an exchange also "no-secret", "malformed",
     * "authzid", "binding", "certificate", "aborted", "token-...".
     */
    const char *reason;
    bool remembered;                /* AUTH_OK: the password was proven before */
};

/* Connects to the database if it is there. */
struct accounts *accounts_new(const char *conninfo, const struct auth_settings *settings, int schema_version);
void accounts_free(struct accounts **accounts);

/*
 * Whose name is it? 1: credentials_r is filled, the caller wipes it. 0: nobody's,
 * and the verdict is that refusal. -1: cannot tell, and the verdict says so. Its
 * address is the canonical name, empty where there is none. Blocks as long as
 * the database takes.
 */
int account_find(struct accounts *accounts, struct span name, struct span default_domain,
                 struct credentials *credentials_r, struct account_verdict *verdict_r);

/* Blocks as long as the database and the password scheme take. */
void account_check(struct accounts *accounts, const struct auth_request *request, struct account_verdict *verdict_r);

/* When the client has its answer: what the last login leaves to write. Blocks for it; mostly there is nothing. */
void account_upkeep(struct accounts *accounts);

#endif
