/* What a log line looks like, byte for byte, and what cannot get into it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/log.h"

static char directory[] = "/tmp/test-log-XXXXXX", path[64];

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/log", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static const char *logged(void)
{
    static char text[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static void start(enum log_level level)
{
    const char *error = NULL;
    unlink(path);
    assert_true(log_open(path, level, "posternd worker 2", &error));
    assert_true(log_descriptor() > 2);
}

static void matches(const char *pattern)
{
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&re, logged(), 0, NULL, 0) != 0)
        fail_msg("log is: %s", logged());
    regfree(&re);
}

#define HEAD "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z posternd worker 2\\[[0-9]+\\]: "

static void line(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO);
    log_info("1f0c77aa", "pop3 login user=%s result=%d", "anna", 0);
    matches(HEAD "1f0c77aa pop3 login user=anna result=0\n$");
    start(LOG_LEVEL_INFO);
    log_error(NULL, "could not reach the database");
    matches(HEAD "could not reach the database\n$");
}

static void one_event_is_one_line(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO);
    log_warning(NULL, "database says: %s", "connection refused\n\tIs it running?\x7f\n\n");
    matches(HEAD "database says: connection refused  Is it running\\? \n$");
}

static void levels(void **state)
{
    (void)state;
    start(LOG_LEVEL_WARNING);
    assert_true(log_wants(LOG_LEVEL_ERROR) && log_wants(LOG_LEVEL_WARNING));
    assert_false(log_wants(LOG_LEVEL_INFO) || log_wants(LOG_LEVEL_DEBUG));
    log_info(NULL, "not this");
    log_debug(NULL, "nor this");
    assert_string_equal(logged(), "");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug(NULL, "but this");
    matches(HEAD "but this\n$");
}

static void long_line_is_cut(void **state)
{
    (void)state;
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    start(LOG_LEVEL_INFO);
    errno = ENOENT;
    log_info("1f0c77aa", "%s", text);
    assert_int_equal(errno, ENOENT);
    const char *out = logged();
    size_t len = strlen(out);
    assert_true(len < 2100);
    assert_string_equal(out + len - 5, "x...\n");
}

static void bad_target(void **state)
{
    (void)state;
    const char *error = NULL;
    start(LOG_LEVEL_INFO);
    assert_false(log_open("relative/path", LOG_LEVEL_DEBUG, "x", &error));
    assert_string_equal(error, "must be syslog, syslog:PATH, stderr or an absolute path");
    assert_false(log_open("/nonexistent/log", LOG_LEVEL_DEBUG, "x", &error));
    assert_string_equal(error, strerror(ENOENT));
    log_info(NULL, "as before");
    matches(HEAD "as before\n$");
}

/* N07: in syslog mode nothing is written to descriptors 0 to 2. */
static void syslog_is_silent(void **state)
{
    (void)state;
    const char *error = NULL;
    int saved = dup(STDERR_FILENO), fds[2];
    char octet;
    assert_int_equal(pipe(fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    dup2(fds[1], STDERR_FILENO);
    assert_true(log_open("syslog", LOG_LEVEL_DEBUG, "posternd", &error));
    assert_int_equal(log_descriptor(), -1);
    log_error("1f0c77aa", "nobody sees this");
    ssize_t n = read(fds[0], &octet, 1);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[0]);
    close(fds[1]);
    assert_true(n < 0);
}

static void quoted(void **state)
{
    (void)state;
    assert_string_equal(log_text(SPAN_OF("anna@example.org")).s, "\"anna@example.org\"");
    assert_string_equal(log_text(SPAN_OF("")).s, "\"\"");
    assert_string_equal(log_text(SPAN_OF("a\"b\\c\r\n\0\x1b\x80 d")).s, "\"a\\x22b\\x5cc\\x0d\\x0a\\x00\\x1b\\x80 d\"");
    char text[300];
    memset(text, 'x', sizeof text);
    const struct span all = { text, 200 }, more = { text, 201 };
    assert_int_equal(strlen(log_text(all).s), 202);
    assert_int_equal(strlen(log_text(more).s), 205);
    assert_string_equal(log_text(more).s + 200, "x\"...");
    memset(text, '\n', sizeof text);
    const struct span feeds = { text, sizeof text };
    assert_int_equal(strlen(log_text(feeds).s), 205);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line),
        cmocka_unit_test(one_event_is_one_line),
        cmocka_unit_test(levels),
        cmocka_unit_test(long_line_is_cut),
        cmocka_unit_test(bad_target),
        cmocka_unit_test(syslog_is_silent),
        cmocka_unit_test(quoted),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
