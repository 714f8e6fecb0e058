/*
 * probe.c - forks the one process that asks the database on behalf of the
 * master, and takes nothing from it but a number and a line to be shown.
 */
#include "daemon/process/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/system/privdrop.h"
#include "storage/pg/schema.h"

/* Exit statuses; others mean that it did not get so far. */
enum { PROBE_GOOD = 0, PROBE_WRONG = 10, PROBE_AWAY = 11 };
enum { TEXT_MAX = 1024 };

/* As a worker that serves these protocols. */
static _Noreturn void probe(struct config *config, unsigned set, int out, pid_t parent)
{
    unsigned needs = protocols_need(set);
    char *text = NULL;
    int outcome;

    process_become(&(struct process_role){
        .ident = "posternd probe", .name = "posternd probe", .user = config_user(config, set),
        .keep = &out, .keep_count = 1, .parent_signal = SIGKILL, .parent = parent,
    });
    config_forget_auth(config);
    config_forget_sessions(config, NEEDS_ALL & ~needs);
    outcome = schema_probe(needs & NEEDS_LOGINS ? config->conninfo_mail : config->conninfo_lmtp, &text);
    if (text != NULL)
        (void)!write(out, text, strnlen(text, TEXT_MAX));
    _exit(outcome > 0 ? PROBE_GOOD : outcome == 0 ? PROBE_WRONG : PROBE_AWAY);
}

/* What it says until it closes; one line, whatever libpq made of it. */
static char *read_text(int fd)
{
    char text[TEXT_MAX + 1];
    size_t len = 0;
    ssize_t n;

    while (len < TEXT_MAX && (n = read(fd, text + len, TEXT_MAX - len)) != 0) {
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            break;
    }
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ')
            text[i] = ' ';
    }
    return mem_strn(text, len);
}

static int probe_as(struct config *config, unsigned set, char **text_r)
{
    int fds[2], status = 0;
    pid_t parent = getpid(), pid;

    mem_drop(text_r);
    if (pipe2(fds, O_CLOEXEC) < 0) {
        mem_error(text_r, "%s", strerror(errno));
        return -1;
    }
    pid = fork();
    if (pid == 0)
        probe(config, set, fds[1], parent);
    close(fds[1]);
    if (pid > 0) {
        *text_r = read_text(fds[0]);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
    } else {
        mem_error(text_r, "%s", strerror(errno));
    }
    close(fds[0]);
    if (pid < 0)
        return -1;

    if (WIFEXITED(status) && WEXITSTATUS(status) == PROBE_GOOD) {
        mem_drop(text_r);
        return 1;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == PROBE_AWAY)
        return -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != PROBE_WRONG)
        mem_error(text_r, "could not check the database schema: could not start a process for it");
    return 0;
}

int probe_schema(struct config *config, unsigned spoken, char **text_r)
{
    int outcome = 1;

    for (unsigned set; spoken != 0 && outcome == 1; spoken &= ~set) {
        set = config_together(config, spoken);
        outcome = probe_as(config, set, text_r);
    }
    return outcome;
}
