/* Connecting to unix sockets: by path, in the abstract namespace, and what is not there. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/unix_socket.h"

static char folder[] = "/tmp/postern-unix-XXXXXX";
static char path[64];

static int begin(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/socket", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static int listening(const struct sockaddr_un *un, socklen_t len, int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)un, len), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_path(void **state)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };

    (void)state;
    assert_int_equal(unix_socket_connect(path, SOCK_STREAM), -1);
    assert_int_equal(errno, ENOENT);
    strcpy(un.sun_path, path);
    int server = listening(&un, sizeof un, SOCK_STREAM);
    int fd = unix_socket_connect(path, SOCK_STREAM | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    int accepted = accept(server, NULL, NULL);
    assert_int_equal(write(fd, "a", 1), 1);
    char c = 0;
    assert_int_equal(read(accepted, &c, 1), 1);
    assert_int_equal(c, 'a');
    close(fd);
    close(accepted);
    assert_int_equal(unix_socket_connect(path, SOCK_DGRAM), -1);
    assert_int_equal(errno, EPROTOTYPE);
    close(server);
    assert_int_equal(unix_socket_connect(path, SOCK_STREAM), -1);
    assert_int_equal(errno, ECONNREFUSED);
}

static void test_abstract(void **state)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    char name[64], got[8] = "";

    (void)state;
    snprintf(name, sizeof name, "@postern-test-%ld", (long)getpid());
    memcpy(un.sun_path + 1, name + 1, strlen(name) - 1);
    int server = listening(&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)), SOCK_DGRAM);
    int fd = unix_socket_connect(name, SOCK_DGRAM);
    assert_true(fd >= 0);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    assert_int_equal(recv(server, got, sizeof got, 0), 5);
    assert_string_equal(got, "hello");
    close(fd);
    close(server);
    assert_int_equal(unix_socket_connect(name, SOCK_DGRAM), -1);
}

static void test_too_long(void **state)
{
    char name[UNIX_SOCKET_PATH_MAX + 2];

    (void)state;
    memset(name, 'x', sizeof name);
    name[0] = '/';
    name[UNIX_SOCKET_PATH_MAX + 1] = '\0';
    assert_int_equal(unix_socket_connect(name, SOCK_STREAM), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    name[UNIX_SOCKET_PATH_MAX] = '\0';
    assert_int_equal(unix_socket_connect(name, SOCK_STREAM), -1);
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path), cmocka_unit_test(test_abstract), cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
