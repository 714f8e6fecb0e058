/*
 * db_fixture.h - for tests against a real PostgreSQL: mailboxes made by a
 * superuser's connection, maildrops opened through a store, one after the other.
 */
#ifndef POSTERN_TESTS_DB_FIXTURE_H
#define POSTERN_TESTS_DB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "daemon/base/buf.h"
#include "daemon/base/conninfo.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/drop.h"
#include "storage/maildrop/login_lane.h"
#include "storage/maildrop/store.h"
#include "tests/unit/admin_fixture.h"

extern struct loop *loop;
/* A mailbox by its number, as a function wants it. */
#define BOX(n) (&(struct mailbox_ref){ .number = (n) })

int64_t mailbox_new(void);
/* Octets that differ from message to message and from place to place. */
char *body_new(unsigned seed, size_t len);
/* As LMTP and the importer will store it; delivered_to and uidl may be NULL. */
void message_add(int64_t mailbox, const char *body, size_t len, const char *delivered_to, const char *uidl);
/* The same by deliver()'s own way, coded by zstd where it gets shorter. */
void message_add_coded(int64_t mailbox, const char *body, size_t len, const char *delivered_to);
void messages_add(int64_t mailbox, unsigned n, size_t len);
int64_t messages_in(int64_t mailbox);
extern char *wrong_schema_text;
void wrong_schema(void *arg, const char *text);
extern const struct storage_settings test_settings;
struct store *store_at(const char *common, const struct storage_settings *settings);
struct store *test_store(const struct storage_settings *settings);
/* Runs the loop until somebody stops it. */
void wait_for_answer(void);
/* Lets the loop run for a while. */
void turn_for(uint64_t ms);
void wait_for_lanes(struct store *store, size_t n);

/* What an auth helper would make, by the database: for a lane of this process number, zero where there is no key. */
struct mailbox_ticket ticket_for(int64_t mailbox, const struct mailbox_versions *versions, uint32_t pid);
/* drop_open() with a ticket, as soon as the lane for it is known. */
uint64_t open_for(struct store *store, int64_t mailbox, const struct drop_holder *holder, drop_opened *done, void *owner);

struct opened {
    bool answered;
    enum db_status status;
    struct drop *drop;
};

void opened(void *owner, enum db_status status, struct drop *drop);
extern const struct drop_holder test_holder;
struct opened open_with(struct store *store, int64_t mailbox, const struct drop_holder *holder);
struct opened open_drop(struct store *store, int64_t mailbox);
struct drop *must_open(struct store *store, int64_t mailbox);

struct finished {
    bool answered;
    enum db_status status;
};

void finished(void *owner, enum db_status status);
enum db_status finish(struct drop *drop, const unsigned char *marks);

struct got {
    bool answered;
    enum db_status status;
    struct piece piece;
};

void got_piece(void *owner, enum db_status status, struct piece piece);
extern enum drop_want want;     /* how read_piece() asks */
struct got read_piece(struct drop *drop, size_t i, uint32_t number);
/* The whole message, appended; the last piece says that it is. */
enum db_status read_message(struct drop *drop, size_t i, struct buf *out);
int database_setup(void **state);
int database_teardown(void **state);
/* Message i is this line in front, or none, and these octets. */
void expect_message(struct drop *d, size_t i, const char *head, const char *body, size_t len);

#endif
