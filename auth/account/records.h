/*
 * records.h - failures that count, and networks of logins, until they are
 * written: in groups, and not too often, so that a flood of refusals is not one
 * of transactions.
 */
#ifndef POSTERN_AUTH_RECORDS_H
#define POSTERN_AUTH_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/mailbox_ref.h"

struct auth_settings;
struct credentials_source;
struct records;

/* Both outlive it. */
struct records *records_new(struct credentials_source *source, const struct auth_settings *settings);
/* What was not written is forgotten. */
void records_free(struct records **records);

/* One more refusal of this name; this mailbox was logged in to from there. In a flood some are skipped. */
void records_failure(struct records *records, const char *address);
void records_login(struct records *records, const struct mailbox_ref *mailbox, const char *network);

/* Blocks: writes what is there, one statement for each kind; unless `now`, only as often as may be. */
void records_write(struct records *records, bool now);
/* Milliseconds until records_write() may write what is there, 0 for at once; -1: there is nothing. */
int records_wait(const struct records *records);

#endif
