/*
 * pop3_fake.h - a POP3 session without a database, for test_pop3_*.c: what
 * storage/maildrop/drop.h and auth/client/client.h declare, answered as a test says, and a
 * client at the other end of a socketpair, all in one loop.
 *
 * The protocol is the point here: replies to failures that a real database
 * gives only by luck. Where the database is the point, tests use a real one.
 */
#ifndef TESTS_POP3_FAKE_H
#define TESTS_POP3_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/client/client.h"
#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/recent.h"
#include "daemon/base/secret.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "daemon/pop3/pop3.h"
#include "daemon/session/session.h"
#include "storage/content/content.h"
#include "storage/maildrop/drop.h"
#include "storage/maildrop/login_lane.h"

enum {
    FAKE_MESSAGES = 4, FAKE_PIECE = 262144, FAKE_PARTS = FAKE_PIECE / PART_OCTETS + 1, PATIENCE_MS = 20000,
    FAKE_LANE = 4711,
};

struct fake {
    struct loop *loop;
    struct service *service;
    struct pop3_settings settings;
    struct recent *logins;

    struct buf mail[FAKE_MESSAGES];     /* message i is mail[i % FAKE_MESSAGES] */
    size_t count;
    unsigned reads;

    enum auth_verdict verdict;          /* of a right password, "secret" */
    enum db_status open_status;
    enum db_status read_status;         /* of the piece read_fails_at */
    uint32_t read_fails_at;
    enum db_status finish_status;
    bool lost;
    enum cleartext cleartext;
    struct auth_policy policy;          /* of the mailbox */
    bool hold_auth, hold_open, hold_finish;        /* the answer waits for fake_answer() */

    auth_done *auth_done;
    void *auth_owner;
    enum auth_verdict auth_says;
    drop_opened *open_done;
    enum db_status open_says;
    void *open_owner;
    drop_piece *read_done;
    void *read_owner;
    size_t read_message;
    uint32_t read_piece;
    drop_done *finish_done;
    void *finish_owner;

    /* A login from the cache: what comes of opening, and of looking at what is stored. */
    struct mailbox_versions versions;
    enum db_status open_unconfirmed;
    bool unconfirmed;
    unsigned uncached;          /* how often it was asked for */
    unsigned bound;             /* how often a request was told its lane */
    size_t lanes;               /* bound, and neither opened on nor given back */
    auth_done *uncached_done;
    void *uncached_owner;

    const char *challenges[4];          /* of an exchange, in this order; then comes the verdict */
    size_t challenged, forgotten;
    struct auth_opening opening;        /* the last one; its spans do not hold */
    auth_done *sasl_done;
    void *sasl_owner;

    char asked_name[256], asked_domain[64], asked_password[10000];
    unsigned opens, opened, finishes, checks;   /* asked for, given, given back */
    size_t pieces, most_pieces;         /* lent and not given back */
    bool marked[FAKE_MESSAGES];         /* what the last drop_finish() removed */
    bool under_way[FAKE_MESSAGES];      /* whole, */
    bool retrieved[FAKE_MESSAGES];      /* and taken by the client */
    size_t ended;
};
extern struct fake fake;

/* What names the answer that is on its way, for the loop. */
struct drop {
    int unused;
};

/* An exchange: so many challenges as the test says, and the last message is right if it is "secret". */
void answer_challenge(void *arg);
void answer_open(void *arg);

/* A piece owns a copy of its octets, so that a use after its release is seen by the sanitizer. */
struct piece_ref {
    unsigned refs;
    struct span spans[FAKE_PARTS];
    char data[FAKE_PIECE];
};

void answer_finish(void *arg);

struct client {
    int fd;
    struct watch *watch;
    struct buf in;
    size_t want;            /* stop the loop when so many octets are there */
    bool eof, deaf;         /* deaf: reads nothing */
};

void stop_loop(void *arg);
/* Runs the loop until somebody stops it. Only a test that fails waits for the timer. */
void run_loop(void);
/* A few turns, so that what is on its way happens. */
void run_a_while(uint64_t ms);
struct client *client_new(const char *domain);
void client_close(struct client *c);
void say_span(struct client *c, struct span text);
void say(struct client *c, const char *text);
void hear(struct client *c, size_t octets);
/* The next octets are exactly these. */
void expect(struct client *c, const char *text);
void ask(struct client *c, const char *command, const char *reply);
/* Nothing more, and the end. */
void expect_eof(struct client *c);
void until_ended(size_t sessions);
struct client *login(void);
void fake_mail(size_t i, const char *text);
/* Again after settings were changed: they are read when the service is made. */
void fake_service(void);
int fake_setup(void **state);
int fake_teardown(void **state);

#define FAKE_TEST(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

#endif
