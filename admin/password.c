/*
 * password.c - setting a password: read from a terminal without echo, or as one
 * line of standard input; never from the command line, where every user of the
 * host could see it.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "auth/scheme.h"
#include "daemon/base/secret.h"

enum {
    LINE_MAX_OCTETS = 1024,
    /* A POP3 command line is 255 octets, of which `PASS ` and the line end are not the password. */
    POP3_PASSWORD_MAX = 255 - 5 - 2,
};

struct line {
    char text[LINE_MAX_OCTETS + 2];     /* the line end may be CRLF */
    size_t len;
};

static struct termios echo_on;
static volatile sig_atomic_t echo_is_off;

static void echo_back(int sig)
{
    if (echo_is_off)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &echo_on);
    signal(sig, SIG_DFL);
    raise(sig);
}

/* One line from standard input; of it only the line end is taken away. False after a message. */
static bool read_line(struct line *line)
{
    bool ended = false;

    line->len = 0;
    while (!ended && line->len < sizeof line->text) {
        /* One octet at a time: what follows the line is not ours. */
        ssize_t got = read(STDIN_FILENO, line->text + line->len, 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            ctl_error(CTL_FAILED, "could not read standard input: %s", strerror(errno));
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
    if (line->len > LINE_MAX_OCTETS) {
        ctl_error(CTL_FAILED, "that is longer than %d octets: nothing was changed", LINE_MAX_OCTETS);
        return false;
    }
    if (line->len == 0) {
        ctl_error(CTL_FAILED, "that is empty: nothing was changed");
        return false;
    }
    if (memchr(line->text, '\0', line->len) != NULL || memchr(line->text, '\r', line->len) != NULL) {
        ctl_error(CTL_FAILED, "that has a NUL or a CR in it: nothing was changed");
        return false;
    }
    return true;
}

static bool prompt(const char *text, struct line *line)
{
    struct termios off;
    bool ok;

    if (tcgetattr(STDIN_FILENO, &echo_on) != 0) {
        ctl_error(CTL_FAILED, "could not turn the echo off: %s", strerror(errno));
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
    ok = read_line(line);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &echo_on);
    echo_is_off = 0;
    return ok;
}

static bool ask(struct line *line, const char *address, bool hash)
{
    struct line again;
    bool same;

    if (!isatty(STDIN_FILENO))
        return read_line(line);
    fprintf(stderr, "%s of %s\n", hash ? "password hash" : "new password", address);
    if (!prompt(hash ? "hash: " : "password: ", line))
        return false;
    if (hash)
        return true;
    if (!prompt("once more: ", &again)) {
        secret_wipe(&again, sizeof again);
        return false;
    }
    same = again.len == line->len && memcmp(again.text, line->text, line->len) == 0;
    secret_wipe(&again, sizeof again);
    if (!same)
        ctl_error(CTL_FAILED, "the two are not the same: nothing was changed");
    return same;
}

static bool make_secret(struct ctl *c, struct line *line, char secret[SCHEME_TEXT_MAX])
{
    const char *why;

    if (c->opt[OPT_HASH] == NULL) {
        if (scheme_hash("argon2id", (struct span){ line->text, line->len }, &c->auth, secret, &why) == 0)
            return true;
        ctl_error(CTL_FAILED, "could not hash the password: %s", why);
        return false;
    }
    if (line->len >= SCHEME_TEXT_MAX) {
        ctl_error(CTL_FAILED, "a password hash is not longer than %d octets", SCHEME_TEXT_MAX - 1);
        return false;
    }
    memcpy(secret, line->text, line->len);
    secret[line->len] = '\0';
    if (scheme_known(secret, &why) == 1)
        return true;
    ctl_error(CTL_FAILED, "this password hash cannot be used: %s", why);
    return false;
}

enum ctl_exit run_password(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE], secret[SCHEME_TEXT_MAX];
    struct line line;
    struct args a = ARGS_NONE;
    PGresult *res;
    enum ctl_exit end = CTL_FAILED;

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    secret_no_core();
    args_text(&a, address);
    /* Before anybody types a password for nothing. */
    res = db_ask(c, "find the mailbox", "select postern.find_mailbox($1)", &a);
    if (res == NULL)
        return db_end(c);
    PQclear(res);

    if (ask(&line, address, c->opt[OPT_HASH] != NULL) && make_secret(c, &line, secret)) {
        args_text(&a, secret);
        res = db_ask(c, "set the password", "select postern.set_password($1, $2)", &a);
        end = res != NULL ? CTL_DONE : db_end(c);
        PQclear(res);
    }
    if (end == CTL_DONE && c->opt[OPT_HASH] == NULL && line.len > POP3_PASSWORD_MAX)
        fprintf(stderr, "posternctl: warning: a POP3 client can send at most about 240 octets of password, this one has %zu\n", line.len);
    secret_wipe(&line, sizeof line);
    secret_wipe(secret, sizeof secret);
    if (end == CTL_DONE)
        ctl_say(c, "password of %s set", address);
    return end;
}
