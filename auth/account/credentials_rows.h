/*
 * credentials_rows.h - what the rows of postern.login() and postern.credentials()
 * mean: those of one login, in an answer that may be of several.
 */
#ifndef POSTERN_AUTH_CREDENTIALS_ROWS_H
#define POSTERN_AUTH_CREDENTIALS_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "auth/account/stored.h"
#include "daemon/base/span.h"

struct keyring;

struct rows {
    PGresult *result;
    int first, count;
};

enum {
    COL_MAILBOX, COL_ADDRESS, COL_ACTIVE, COL_KIND, COL_LABEL, COL_SECRET, COL_DOMAIN, COL_TENANT, COL_POP3,
    COL_TLS_ONLY, COL_MAINTENANCE,
    COL_LOGIN_DELAY, COL_REPLACE_NUL, COL_TRACE, COL_EXPIRE, COL_DOMAIN_SESSIONS, COL_TENANT_SESSIONS,
    COL_GUESSED_MS, COL_KNOWN,
    COL_KNOWN_TODAY, COL_VERSION, COL_PROOF, COL_ELSEWHERE,
    KNOWN_COL_VERSION = COL_SECRET + 1,     /* where the policy was told before */
};

/* Of one row, the first is 0. */
struct span rows_text(const struct rows *rows, int row, int col);
bool rows_null(const struct rows *rows, int row, int col);
/* Of the first row. A null, or what is none of ours, says nothing. */
int64_t rows_number(const struct rows *rows, int col, int64_t otherwise);
/* False if it is none of those that prove anything here. */
bool rows_kind(struct span text, enum credential_kind *kind_r);

/*
 * Mailbox and secrets, their seals taken off; false if they are not what postern.login() promises.
 * whole: they are of that, else of postern.credentials() alone, and say nothing of `elsewhere`.
 */
bool rows_read(const struct rows *rows, const struct keyring *keyring, bool whole, struct credentials *out);
/*
 * The same where there is no mailbox, but the domain is elsewhere as a whole; false if the
 * row is not of that.
 */
bool rows_read_unknown(const struct rows *rows, struct credentials *out);
/* What holds for the mailbox stands in each row; the first one will do. */
void rows_read_policy(const struct rows *rows, struct credentials *out);
void rows_wipe(const struct rows *rows);

#endif
