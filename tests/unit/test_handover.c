/*
 * test_handover.c - what one master leaves to the next, and orders to workers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/process/handover.c"
#include "daemon/control/orders.c"

/* Of sockets.c, as far as a note needs it. */
static struct known { char address[64]; int64_t port; int fd; } known[8];
static size_t known_count;
static struct sockets some;

struct sockets *sockets_none(void)
{
    return &some;
}

void sockets_know(struct sockets *s, const char *address, int64_t port, int fd)
{
    assert_ptr_equal(s, &some);
    snprintf(known[known_count].address, sizeof known[0].address, "%s", address);
    known[known_count].port = port;
    known[known_count++].fd = fd;
}

void sockets_each(const struct sockets *s, void (*each)(void *arg, const char *address, int64_t port, int fd), void *arg)
{
    (void)s;
    each(arg, "::", 110, open("/dev/null", O_RDONLY | O_CLOEXEC));
    each(arg, "/run/a b", 0, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void test_there_and_back(void **state)
{
    struct handover given = { .errors = open("/dev/null", O_RDONLY | O_CLOEXEC), .control = open("/dev/null", O_RDONLY | O_CLOEXEC) };
    struct handover taken;
    char path[] = "/run/postern/control", names[] = "pop3:pop3 s";

    (void)state;
    given.control_path = path;
    given.login_cache = open("/dev/null", O_RDONLY | O_CLOEXEC);
    given.sockets = &some;
    given.adopted[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    given.adopted_count = 1;
    given.adopted_names = names;
    known_count = 0;
    assert_true(handover_give(&given));
    assert_int_equal(fcntl(given.control, F_GETFD), 0);
    assert_int_equal(handover_take(&taken), 1);
    assert_null(getenv("POSTERN_HANDOVER"));
    assert_int_equal(taken.errors, given.errors);
    assert_int_equal(taken.control, given.control);
    assert_string_equal(taken.control_path, path);
    assert_int_equal(taken.login_cache, given.login_cache);
    assert_int_equal(fcntl(given.login_cache, F_GETFD), FD_CLOEXEC);
    assert_int_equal(taken.adopted_count, 1);
    assert_int_equal(taken.adopted[0], given.adopted[0]);
    assert_int_equal(fcntl(given.control, F_GETFD), FD_CLOEXEC);
    assert_int_equal(known_count, 2);
    assert_string_equal(known[0].address, "::");
    assert_int_equal(known[0].port, 110);
    assert_string_equal(known[1].address, "/run/a b");
    assert_string_equal(taken.adopted_names, names);
    mem_free(taken.control_path);
    mem_free(taken.adopted_names);
}

static int take(const char *note)
{
    struct handover taken;
    char number[16];
    int fd = memfd_create("note", 0), outcome;

    assert_int_equal(write(fd, note, strlen(note)), strlen(note));
    snprintf(number, sizeof number, "%d", fd);
    setenv("POSTERN_HANDOVER", number, 1);
    outcome = handover_take(&taken);
    mem_free(taken.control_path);
    return outcome;
}

static void test_nonsense(void **state)
{
    static const char *const notes[] = {
        "", "errors\n", "errors x\n", "errors 99999\n", "errors 2\nlisten 2\n", "errors 2\nlisten 2 70000 ::\n", "errors 2\nfly 2\n",
        "control 2 /x\n", "errors 2\ncontrol 2 x\n", "errors -1\n", "errors 2\n\nlisten",
        "errors 2\nlogin_cache 3\nlogin_cache 3\n",
    };
    struct handover taken;

    (void)state;
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
        assert_int_equal(take(notes[i]), -1);
    setenv("POSTERN_HANDOVER", "two", 1);
    assert_int_equal(handover_take(&taken), -1);
    unsetenv("POSTERN_HANDOVER");
}

static void test_orders(void **state)
{
    struct order order = { .what = ORDER_KICK, .subject = "anna@example.org" }, got;
    int ends[2], passed, fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(orders_pair(ends), 0);
    assert_int_equal(orders_receive(ends[1], &got, &passed), 0);
    assert_true(orders_send(ends[0], &order, fd));
    order.what = ORDER_TRACE;
    order.until = 77;
    assert_true(orders_send(ends[0], &order, -1));
    assert_int_equal(orders_receive(ends[1], &got, &passed), 1);
    assert_int_equal(got.what, ORDER_KICK);
    assert_string_equal(got.subject, "anna@example.org");
    assert_true(passed >= 0 && passed != fd);
    assert_int_equal(fcntl(passed, F_GETFD), FD_CLOEXEC);
    close(passed);
    assert_int_equal(orders_receive(ends[1], &got, &passed), 1);
    assert_int_equal(got.until, 77);
    assert_int_equal(passed, -1);
    /* Half an order is none, and the next one is whole. */
    assert_int_equal(send(ends[0], &order, 8, 0), 8);
    assert_int_equal(orders_receive(ends[1], &got, &passed), 0);
    close(ends[0]);
    assert_int_equal(orders_receive(ends[1], &got, &passed), -1);
    close(ends[1]);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_orders),
    };
    return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
