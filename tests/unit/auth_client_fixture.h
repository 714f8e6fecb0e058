/*
 * auth_client_fixture.h - the worker's side of authentication, with helpers
 * that the test plays: for test_auth_client*.c.
 */
#ifndef TESTS_AUTH_CLIENT_FIXTURE_H
#define TESTS_AUTH_CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <cmocka.h>

#include "auth/client/client.h"
#include "auth/frame.h"
#include "daemon/base/log.h"
#include "daemon/base/secret.h"
#include "daemon/net/loop.h"
#include "daemon/net/peer.h"
#include "tests/unit/packets.h"

enum { HELPERS_MAX = 3, NEVER = 3600000, LANE = 4711 };

struct fixture {
    struct loop *loop;
    struct auth_client *client;
    int helper[HELPERS_MAX];    /* the helpers' ends, -1 when closed */
    struct packet in[HELPERS_MAX];
    size_t count;
    int lost;
    int answers, wanted;
    struct timer *watchdog;
};
extern struct fixture f;

struct asker {
    int calls;
    enum auth_verdict verdict;
    struct mailbox_ref mailbox;
    struct mailbox_ticket ticket;
    char address[NAME_ADDRESS_MAX + 1];
    char challenge[64];
};

void begin(size_t helpers, uint64_t deadline_ms);
void hang_up(size_t i);
void end(void);
void on_done(void *owner, const struct auth_result *result);
uint64_t ask(struct asker *a, const char *name);
/* Runs the loop until so many more were answered than it was called for before. */
void run_until(int more);
void stop(void *arg);
/* Everything that is ready now, and what follows from it; nobody is answered. */
void run_idle(void);
/* The next request that helper i got, for LANE. The spans hold until the next call. */
struct auth_request take(size_t i);
bool has_request(size_t i);
/* The next message of any kind, after what was asked in this turn was sent. */
long take_message(size_t i, unsigned char *data, size_t size);
void give_back(size_t i, uint64_t id);
/* From the cache. */
void give_unconfirmed(size_t i, uint64_t id);
void give(size_t i, uint64_t id, enum auth_verdict verdict);

#endif
