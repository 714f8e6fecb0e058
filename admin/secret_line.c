/*
 * secret_line.c - a password as a line of a file or of a terminal.
 */
#include "admin/secret_line.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "admin/ctl.h"
#include "admin/shown.h"
#include "daemon/base/secret.h"

static struct termios echo_on;
static volatile sig_atomic_t echo_is_off;

static void echo_back(int sig)
{
    if (echo_is_off)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &echo_on);
    signal(sig, SIG_DFL);
    raise(sig);
}

bool secret_line_read(int fd, const char *what, struct secret_line *line)
{
    bool ended = false;

    line->len = 0;
    while (!ended && line->len < sizeof line->text) {
        /* One octet at a time: what follows the line is not ours. */
        ssize_t got = read(fd, line->text + line->len, 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            ctl_error(CTL_FAILED, "could not read %s: %s", what, strerror(errno));
            return false;
        }
        if (got == 0)
            break;
        ended = line->text[line->len] == '\n';
        line->len++;
    }
    if (ended)
        line->len--;
    if (ended && line->len > 0 && line->text[line->len - 1] == '\r')
        line->len--;
    if (line->len > SECRET_LINE_MAX) {
        ctl_error(CTL_FAILED, "%s is longer than %d octets: nothing was changed", what, SECRET_LINE_MAX);
        return false;
    }
    if (line->len == 0) {
        ctl_error(CTL_FAILED, "%s is empty: nothing was changed", what);
        return false;
    }
    if (memchr(line->text, '\0', line->len) != NULL || memchr(line->text, '\r', line->len) != NULL) {
        ctl_error(CTL_FAILED, "%s contains a NUL or a CR: nothing was changed", what);
        return false;
    }
    return true;
}

bool secret_line_of_file(const char *path, struct secret_line *line)
{
    const bool input = strcmp(path, "-") == 0;
    const int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    bool ok;

    if (fd < 0) {
        ctl_error(CTL_FAILED, "%s: %s", shown_name(path), strerror(errno));
        return false;
    }
    ok = secret_line_read(fd, input ? "the input" : shown_name(path), line);
    if (!input)
        close(fd);
    return ok;
}

bool secret_line_prompt(const char *text, struct secret_line *line)
{
    struct termios off;
    bool ok;

    if (tcgetattr(STDIN_FILENO, &echo_on) != 0) {
        ctl_error(CTL_FAILED, "could not turn off echo: %s", strerror(errno));
        return false;
    }
    off = echo_on;
    off.c_lflag &= (tcflag_t)~ECHO;
    off.c_lflag |= ECHONL;
    signal(SIGINT, echo_back);
    signal(SIGTERM, echo_back);
    echo_is_off = 1;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &off);
    fputs(text, stderr);
    ok = secret_line_read(STDIN_FILENO, "the input", line);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &echo_on);
    echo_is_off = 0;
    return ok;
}

bool secret_line_ask(const char *what, const char *whose, bool twice, struct secret_line *line)
{
    struct secret_line again;
    char prompt[40];
    bool same;

    if (!isatty(STDIN_FILENO))
        return secret_line_read(STDIN_FILENO, "the input", line);
    fprintf(stderr, "%s%s of %s\n", twice ? "new " : "", what, whose);
    snprintf(prompt, sizeof prompt, "%s: ", what);
    if (!secret_line_prompt(prompt, line))
        return false;
    if (!twice)
        return true;
    if (!secret_line_prompt("once more: ", &again)) {
        secret_wipe(&again, sizeof again);
        return false;
    }
    same = again.len == line->len && memcmp(again.text, line->text, line->len) == 0;
    secret_wipe(&again, sizeof again);
    if (!same)
        ctl_error(CTL_FAILED, "the passwords do not match: nothing was changed");
    return same;
}
