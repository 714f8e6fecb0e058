/*
 * conn_fixture.h - a conn with a protocol of lines, and the client at its other
 * end, for the tests of conn.c.
 */
#ifndef TESTS_CONN_FIXTURE_H
#define TESTS_CONN_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/buf.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"

enum { NOT_ENDED = -1 };

/* A protocol that consumes whole lines, and does what a test sets before or after. */
struct conn_test {
    struct loop *loop;
    struct conn *conn;
    int fd;                     /* the client's side */
    int from;                   /* where the client reads, if that is another */
    struct buf got;             /* what was consumed */
    int inputs, drains, ends, done, freed;
    int end;
    bool pause_at_line, reply_at_line, free_at_input, finish_at_input, free_at_end, finish_at_end, busy;
    bool consume_nothing;
    size_t fill_at_drain;       /* octets to write at each drained(), while fills > 0 */
    int fills;
};
extern struct conn_test t;

void finished(void *arg);
void fill(size_t len);
void stop(void *arg);
void turns(int n);
/* Waits in the loop, at most some seconds, until *what is not zero. */
void until(const int *what);
int setup(void **state);
int teardown(void **state);
void start(int in, int out);
void open_pair(void);
int tcp_pair(int family, int *client_r);
void open_tcp(void);
void reset_client(void);
void say(const char *text);
void got(const char *expected);
/* What the client can read now. */
size_t client_reads(char *data, size_t size);
void client_got(const char *expected);
void count_free(void *arg);

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
