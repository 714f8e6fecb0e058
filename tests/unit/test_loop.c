/* The event loop: order, one turn, what may be freed where. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/buf.h"
#include "daemon/net/loop.h"

static struct loop *loop;
static struct buf trace;

static int setup(void **state)
{
    (void)state;
    loop = loop_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(&loop);
    buf_free(&trace);
    return loop != NULL;
}

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

/* One turn that does not wait. */
static void turn(void)
{
    loop_defer(loop, stop, NULL);
    loop_run(loop);
}

static void note(void *arg)
{
    buf_add_str(&trace, arg);
}

static void traced(const char *expected)
{
    assert_string_equal(buf_left(&trace) > 0 ? trace.data : "", expected);
    buf_clear(&trace);
}

static char one[] = "1", two[] = "2", three[] = "3";

static void defer_more(void *arg)
{
    note(arg);
    loop_defer(loop, note, three);
}

static void deferred_in_order(void **state)
{
    (void)state;
    loop_defer(loop, defer_more, one);
    loop_defer(loop, note, two);
    turn();
    traced("123");
}

static void defer_itself(void *arg)
{
    note(arg);
    loop_defer(loop, defer_itself, arg);
}

/* What always wants to go on does not keep the loop from its descriptors. */
static void deferred_does_not_starve(void **state)
{
    (void)state;
    loop_defer(loop, defer_itself, one);
    turn();
    size_t n = buf_left(&trace);
    assert_true(n >= 1 && n < 100);
    buf_clear(&trace);
}

static void freed_with_loop(void **state)
{
    (void)state;
    loop_defer(loop, free, malloc(10));     /* the sanitizer tells */
}

struct pair {
    int fd[2];
    struct watch *watch;
    unsigned events;
    int calls;
};

static void on_fd(void *arg, int fd, unsigned events)
{
    struct pair *p = arg;
    assert_int_equal(fd, p->fd[0]);
    p->events = events;
    p->calls++;
}

static void open_pair(struct pair *p)
{
    *p = (struct pair){ .fd = { -1, -1 } };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p->fd), 0);
    p->watch = watch_new(loop, p->fd[0], on_fd, p);
}

static void close_pair(struct pair *p)
{
    watch_free(&p->watch);
    assert_null(p->watch);
    close(p->fd[0]);
    close(p->fd[1]);
}

/* While something is ready it gathers, but not for ever; where nothing is, it is done at once. */
static void before_the_wait(void **state)
{
    struct pair p;
    int turns = 0;

    (void)state;
    open_pair(&p);
    loop_before_wait(loop, note, one);
    turn();
    traced("1");
    assert_int_equal(write(p.fd[1], "x", 1), 1);
    watch_set(p.watch, LOOP_READ);      /* which nobody reads: always ready */
    loop_before_wait(loop, note, one);
    for (; buf_left(&trace) == 0; turns++) {
        assert_true(turns < 100);
        turn();
        if (turns == 0)
            loop_before_wait(loop, note, two);
    }
    traced("12");
    assert_true(turns > 1);
    loop_before_wait(loop, free, malloc(10));   /* the sanitizer tells */
    close_pair(&p);
}

static void watches(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    assert_int_equal(write(p.fd[1], "x", 1), 1);
    turn();
    assert_int_equal(p.calls, 0);           /* for nothing until watch_set() */
    watch_set(p.watch, LOOP_READ);
    turn();
    turn();
    assert_int_equal(p.calls, 2);           /* level-triggered */
    assert_int_equal(p.events, LOOP_READ);
    watch_set(p.watch, LOOP_READ | LOOP_WRITE);
    turn();
    assert_int_equal(p.events, LOOP_READ | LOOP_WRITE);
    watch_set(p.watch, LOOP_WRITE);
    turn();
    assert_int_equal(p.events, LOOP_WRITE);
    watch_set(p.watch, 0);
    p.calls = 0;
    turn();
    assert_int_equal(p.calls, 0);
    close_pair(&p);
}

static void free_own_watch(void *arg, int fd, unsigned events)
{
    struct pair *p = arg;
    (void)fd;
    (void)events;
    p->calls++;
    watch_free(&p->watch);
}

static void watch_freed_in_its_callback(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    watch_free(&p.watch);
    p.watch = watch_new(loop, p.fd[0], free_own_watch, &p);
    watch_set(p.watch, LOOP_READ | LOOP_WRITE);
    turn();
    turn();
    assert_int_equal(p.calls, 1);
    close_pair(&p);
}

static void free_other_watch(void *arg, int fd, unsigned events)
{
    struct pair *p = arg;
    (void)fd;
    (void)events;
    p[0].calls++;
    if (p[0].watch != NULL && p[1].watch != NULL)
        watch_free(p[0].fd[0] == fd ? &p[1].watch : &p[0].watch);
}

/* Both are ready in one turn; whoever comes first takes the other away. */
static void watch_freed_while_it_is_due(void **state)
{
    (void)state;
    struct pair p[2];
    for (int i = 0; i < 2; i++) {
        open_pair(&p[i]);
        watch_free(&p[i].watch);
        p[i].watch = watch_new(loop, p[i].fd[0], free_other_watch, p);
        watch_set(p[i].watch, LOOP_WRITE);
    }
    turn();
    assert_int_equal(p[0].calls, 1);
    close_pair(&p[0]);
    close_pair(&p[1]);
}

static struct timer *timer;

static void timer_again(void *arg)
{
    note(arg);
    if (buf_left(&trace) < 3)
        timer_set(timer, 1);
    else
        loop_stop(loop);
}

static void timer_last(void *arg)
{
    note(arg);
    timer_free(&timer);
    loop_stop(loop);
}

static void timers(void **state)
{
    (void)state;
    struct timer *never = timer_new(loop, note, two);
    timer_set(never, 0);
    timer_stop(never);
    timer = timer_new(loop, timer_again, one);
    timer_set(timer, 3600000);
    timer_set(timer, 0);                    /* the later call counts */
    loop_run(loop);
    traced("111");
    turn();
    traced("");                             /* one shot */
    timer_free(&timer);
    timer = timer_new(loop, timer_last, three);
    timer_set(timer, 1);
    loop_run(loop);
    traced("3");
    assert_null(timer);
    timer_free(&never);
    timer_free(&never);
}

static void time_stands_still_in_a_turn(void **state)
{
    (void)state;
    uint64_t before = loop_now(loop);
    assert_true(before > 0);
    usleep(5000);
    assert_true(loop_now(loop) == before);
    turn();
    assert_true(loop_now(loop) >= before + 5);
}

static void signals(void **state)
{
    (void)state;
    loop_signal(loop, SIGUSR1, note, one);
    loop_signal(loop, SIGUSR2, stop, NULL);
    raise(SIGUSR1);
    turn();
    traced("1");
    raise(SIGPIPE);                         /* ignored since loop_new() */
    raise(SIGUSR2);
    loop_run(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deferred_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(deferred_does_not_starve, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_with_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(before_the_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(watches, setup, teardown),
        cmocka_unit_test_setup_teardown(watch_freed_in_its_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(watch_freed_while_it_is_due, setup, teardown),
        cmocka_unit_test_setup_teardown(timers, setup, teardown),
        cmocka_unit_test_setup_teardown(time_stands_still_in_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(signals, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
