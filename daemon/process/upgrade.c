/*
 * upgrade.c - another program takes over without a connection being refused or
 * a session being ended.
 *
 * The old master starts the program anew, with the listening sockets. Both can
 * accept from them. Only when the new one serves, the old one stops to, and
 * ends with its last session; if the new one does not come up, the old one
 * goes on as if nothing had been. Until it knows, it never gives up anything.
 */
#include "daemon/process/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/control/operator.h"
#include "daemon/system/sd.h"

#define NEVER UINT64_MAX

enum {
    START_MS = 60000,       /* for the new one to serve */
    SAID_MAX = 8192,        /* of what it says is kept */
};

/* A new master that is being started in our place. */
struct successor {
    pid_t pid;                  /* 0: none */
    int pipe;                   /* what it says on standard error, and a NUL when it serves */
    int operator;               /* who waits to hear of it, -1: nobody */
    uint64_t kill_at;
    struct buf said;
};

struct upgrade {
    struct successor successor;
    int predecessor;            /* pipe to the master that started us and is to hear that we serve; -1: none */
    uint64_t serve_by;          /* when to tell it in any case */
};

static const struct successor no_successor = { .pipe = -1, .operator = -1, .kill_at = NEVER };

struct upgrade *upgrade_new(void)
{
    struct upgrade *u = mem_zalloc(sizeof *u);

    u->successor = no_successor;
    u->predecessor = -1;
    return u;
}

static void forget(struct successor *s)
{
    if (s->pipe >= 0)
        close(s->pipe);
    if (s->operator >= 0)
        close(s->operator);
    buf_free(&s->said);
    *s = no_successor;
}

void upgrade_free(struct upgrade **upgrade)
{
    if (*upgrade == NULL)
        return;
    forget(&(*upgrade)->successor);
    mem_free(*upgrade);
    *upgrade = NULL;
}

/* ------------------------------------------------------------- the old master */

__attribute__((format(printf, 2, 3)))
static void answer(int operator, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (operator >= 0)
        operator_sayf(operator, "%s", text);
}

static void become(const struct upgrade_program *program, const struct handover *give, int pipe_end)
    __attribute__((noreturn));

/* In the child. Standard error leads to the old master until the start is over. */
static void become(const struct upgrade_program *program, const struct handover *give, int pipe_end)
{
    char pid[16];
    char *argv[] = { mem_str(program->path), mem_str("-c"), mem_str(program->file),
                     program->foreground ? mem_str("--foreground") : NULL, NULL };
    struct handover h = *give;

    h.errors = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    /* The service manager's watchdog is for its main process, which is this one soon. */
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (getenv("WATCHDOG_PID") != NULL && setenv("WATCHDOG_PID", pid, 1) < 0)
        _exit(EXIT_FAILURE);
    if (h.errors < 0 || dup2(pipe_end, STDERR_FILENO) < 0 || !handover_give(&h))
        _exit(EXIT_FAILURE);
    execv(program->path, argv);
    fprintf(stderr, "posternd: could not execute %s: %s\n", program->path, strerror(errno));
    _exit(EXIT_FAILURE);
}

void upgrade_start(struct upgrade *u, const struct upgrade_program *program, const struct handover *give,
                   int operator, uint64_t now)
{
    struct successor *s = &u->successor;
    int ends[2];
    pid_t pid;

    if (s->pid != 0 || u->predecessor >= 0) {
        answer(operator, "ERR an upgrade is already in progress");
        return;
    }
    if (getpid() == 1) {
        log_error(NULL, "upgrade: process 1 cannot hand over to a new process");
        answer(operator,
               "ERR posternd is process 1 here and must not end: start a new container instead");
        return;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 || (pid = fork()) < 0) {
        log_error(NULL, "upgrade: could not fork: %s", strerror(errno));
        answer(operator, "ERR could not fork");
        return;
    }
    if (pid == 0)
        become(program, give, ends[1]);
    close(ends[1]);
    *s = (struct successor){
        .pid = pid, .pipe = ends[0], .operator = operator >= 0 ? fcntl(operator, F_DUPFD_CLOEXEC, 3) : -1,
        .kill_at = now + START_MS,
    };
    log_info(NULL, "upgrade: starting %s as process %ld", program->path, (long)pid);
}

int upgrade_fd(const struct upgrade *u)
{
    return u->successor.pipe;
}

uint64_t upgrade_deadline(const struct upgrade *u)
{
    return u->successor.kill_at;
}

static void serves(struct successor *s)
{
    char state[64];

    snprintf(state, sizeof state, "MAINPID=%ld\nREADY=1", (long)s->pid);
    sd_notify_state(state);
    log_info(NULL, "upgrade: process %ld serves, this one keeps its sessions until they end", (long)s->pid);
    answer(s->operator, "OK process %ld serves, process %ld keeps its sessions until they end", (long)s->pid,
           (long)getpid());
    forget(s);
}

static void failed(struct successor *s, const char *how)
{
    const char *said = s->said.data;

    log_error(NULL, "upgrade: the new posternd did not start (%s), this one continues: %s", how,
              log_text((struct span){ said, s->said.len }).s);
    answer(s->operator, "ERR the new posternd did not start (%s), this one continues%s", how,
           s->said.len > 0 ? ":" : "");
    if (s->operator >= 0 && s->said.len > 0)
        operator_say(s->operator, said, s->said.len);
    forget(s);
}

enum upgrade_news upgrade_look(struct upgrade *u, uint64_t now)
{
    struct successor *s = &u->successor;
    char data[512];
    ssize_t n;

    if (s->pid == 0)
        return UPGRADE_NOTHING;
    while (s->pipe >= 0 && (n = read(s->pipe, data, sizeof data)) != -1) {
        const char *nul = memchr(data, '\0', (size_t)n);

        if (n == 0) {
            close(s->pipe);
            s->pipe = -1;
        } else if (nul != NULL) {
            serves(s);
            return UPGRADE_SERVES;
        } else if (s->said.len + (size_t)n <= SAID_MAX) {
            buf_add(&s->said, data, (size_t)n);
        }
    }
    if (now >= s->kill_at) {
        kill(s->pid, SIGKILL);
        s->kill_at = NEVER;
    }
    return UPGRADE_NOTHING;
}

bool upgrade_reap(struct upgrade *u, pid_t pid, int status, uint64_t now, enum upgrade_news *news_r)
{
    char how[64];

    if (pid != u->successor.pid || pid == 0)
        return false;
    *news_r = upgrade_look(u, now);
    if (*news_r == UPGRADE_SERVES)      /* if only for a moment */
        return true;
    if (WIFEXITED(status))
        snprintf(how, sizeof how, "exit status %d", WEXITSTATUS(status));
    else
        snprintf(how, sizeof how, "signal %d", WTERMSIG(status));
    failed(&u->successor, how);
    *news_r = UPGRADE_FAILED;
    return true;
}

/* ------------------------------------------------------------- the new master */

void upgrade_settled(struct upgrade *u, const struct handover *h, uint64_t now)
{
    if (h == NULL)
        return;
    /* From here on standard error is what it was for the old one; what leads there keeps its end for one last word. */
    u->predecessor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    (void)dup2(h->errors, STDERR_FILENO);
    close(h->errors);
    log_stderr_moved();
    u->serve_by = now + START_MS / 4;
}

bool upgrade_is_awaited(const struct upgrade *u)
{
    return u->predecessor >= 0;
}

bool upgrade_is_late(const struct upgrade *u, uint64_t now)
{
    return now >= u->serve_by;
}

void upgrade_done(struct upgrade *u)
{
    (void)!write(u->predecessor, "", 1);
    close(u->predecessor);
    u->predecessor = -1;
}
