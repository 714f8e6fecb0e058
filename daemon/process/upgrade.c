/*
 * upgrade.c - another program takes over without a connection being refused or
 * a session being ended.
 *
 * The old master starts the program anew, with the listening sockets. Both can
 * accept from them. Only when the new one serves, the old one stops to, and
 * ends with its last session; if the new one does not come up, the old one
 * goes on as if nothing had been. Until it knows, it never gives up anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/system/detach.h"
#include "daemon/process/handover.h"
#include "daemon/process/master_impl.h"
#include "daemon/system/sd.h"
#include "daemon/process/sockets.h"

enum {
    START_MS = 60000,       /* for the new one to serve */
    SAID_MAX = 8192,        /* of what it says is kept */
};

/* ------------------------------------------------------------- the old master */

__attribute__((format(printf, 2, 3)))
static void answer(struct master *m, const char *fmt, ...)
{
    struct successor *s = &m->successor;
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (s->operator >= 0)
        operator_sayf(s->operator, "%s", text);
}

static void forget(struct successor *s)
{
    if (s->pipe >= 0)
        close(s->pipe);
    if (s->operator >= 0)
        close(s->operator);
    buf_free(&s->said);
    *s = (struct successor){ .pipe = -1, .operator = -1, .kill_at = NEVER };
}

static void become(struct master *m, int pipe_end) __attribute__((noreturn));

/* In the child. Standard error leads to the old master until the start is over. */
static void become(struct master *m, int pipe_end)
{
    const struct master_start *start = m->start;
    char pid[16];
    char *argv[] = { mem_str(start->program), mem_str("-c"), mem_str(m->file),
                     start->foreground ? mem_str("--foreground") : NULL, NULL };
    struct handover h = {
        .errors = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), .control = operator_fd(m->operators),
        .control_path = m->config->control.control_socket, .login_cache = m->login_cache,
    };

    if (start->adopted_count > 0) {
        h.adopted_count = start->adopted_count;
        memcpy(h.adopted, start->adopted, start->adopted_count * sizeof h.adopted[0]);
        h.adopted_names = start->adopted_names != NULL ? mem_str(start->adopted_names) : NULL;
    } else {
        h.sockets = m->sockets;
    }
    /* The service manager's watchdog is for its main process, which is this one soon. */
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (getenv("WATCHDOG_PID") != NULL && setenv("WATCHDOG_PID", pid, 1) < 0)
        _exit(EXIT_FAILURE);
    if (h.errors < 0 || dup2(pipe_end, STDERR_FILENO) < 0 || !handover_give(&h))
        _exit(EXIT_FAILURE);
    execv(start->program, argv);
    fprintf(stderr, "posternd: could not execute %s: %s\n", start->program, strerror(errno));
    _exit(EXIT_FAILURE);
}

void upgrade_start(struct master *m, int operator)
{
    struct successor *s = &m->successor;
    int ends[2];
    pid_t pid;

    if (s->pid != 0 || m->predecessor >= 0 || m->stopping) {
        if (operator >= 0)
            operator_sayf(operator, "ERR there is an upgrade under way already");
        return;
    }
    if (getpid() == 1) {
        log_error(NULL, "upgrade: process 1 cannot hand over to a new process");
        if (operator >= 0)
            operator_sayf(operator,
                          "ERR posternd is process 1 here, which must not end: start a new container beside this one");
        return;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 || (pid = fork()) < 0) {
        log_error(NULL, "upgrade: could not fork: %s", strerror(errno));
        if (operator >= 0)
            operator_sayf(operator, "ERR could not fork");
        return;
    }
    if (pid == 0)
        become(m, ends[1]);
    close(ends[1]);
    *s = (struct successor){
        .pid = pid, .pipe = ends[0], .operator = operator >= 0 ? fcntl(operator, F_DUPFD_CLOEXEC, 3) : -1,
        .kill_at = master_now() + START_MS,
    };
    log_info(NULL, "upgrade: starting %s as process %ld", m->start->program, (long)pid);
}

/* Its sockets are ours no more, whoever of the two closes them last. */
static void hand_over(struct master *m)
{
    struct successor *s = &m->successor;
    char state[64];

    snprintf(state, sizeof state, "MAINPID=%ld\nREADY=1", (long)s->pid);
    sd_notify_state(state);
    log_info(NULL, "upgrade: process %ld serves, the sessions of this one go on until they end", (long)s->pid);
    answer(m, "OK process %ld serves, the sessions of process %ld go on until they end", (long)s->pid, (long)getpid());
    forget(s);
    operator_leave(m->operators);
    sockets_leave(&m->sockets);
    master_metrics_stop(m);
    m->replaced = true;
    master_stop(m, NEVER);
}

static void failed(struct master *m, const char *how)
{
    struct successor *s = &m->successor;
    char *said = s->said.data;

    log_error(NULL, "upgrade: the new posternd did not start (%s), this one goes on: %s", how,
              log_text((struct span){ said, s->said.len }).s);
    answer(m, "ERR the new posternd did not start (%s), this one goes on%s", how, s->said.len > 0 ? ":" : "");
    if (s->operator >= 0 && s->said.len > 0)
        operator_say(s->operator, said, s->said.len);
    forget(s);
    /* It may have written its own and taken that away again. */
    if (pid_file_write(m->config->daemon.pid_file) < 0)
        log_warning(NULL, "could not write pid_file %s: %s", m->config->daemon.pid_file, strerror(errno));
}

void upgrade_look(struct master *m)
{
    struct successor *s = &m->successor;
    char data[512];
    ssize_t n;

    if (s->pid == 0)
        return;
    while (s->pipe >= 0 && (n = read(s->pipe, data, sizeof data)) != -1) {
        const char *nul = memchr(data, '\0', (size_t)n);

        if (n == 0) {
            close(s->pipe);
            s->pipe = -1;
        } else if (nul != NULL) {
            hand_over(m);
            return;
        } else if (s->said.len + (size_t)n <= SAID_MAX) {
            buf_add(&s->said, data, (size_t)n);
        }
    }
    if (master_now() >= s->kill_at) {
        kill(s->pid, SIGKILL);
        s->kill_at = NEVER;
    }
}

bool upgrade_reap(struct master *m, pid_t pid, int status)
{
    char how[64];

    if (pid != m->successor.pid || pid == 0)
        return false;
    upgrade_look(m);
    if (m->successor.pid == 0)      /* it served, if only for a moment */
        return true;
    if (WIFEXITED(status))
        snprintf(how, sizeof how, "exit status %d", WEXITSTATUS(status));
    else
        snprintf(how, sizeof how, "signal %d", WTERMSIG(status));
    failed(m, how);
    return true;
}

/* ------------------------------------------------------------- the new master */

void upgrade_settled(struct master *m)
{
    const struct handover *h = m->start->handover;

    if (h == NULL)
        return;
    /* From here on standard error is what it was for the old one; what leads there keeps its end for one last word. */
    m->predecessor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    (void)dup2(h->errors, STDERR_FILENO);
    close(h->errors);
    log_stderr_moved();
    m->serve_by = master_now() + START_MS / 4;
}

void upgrade_done(struct master *m)
{
    const struct handover *h = m->start->handover;

    if (m->predecessor < 0)
        return;
    log_info(NULL, "upgrade: this process serves, the old one may go");
    if (h->control >= 0)
        operator_adopt(m->operators, h->control_path, h->control);
    sockets_free(&m->inherited, m->sockets);
    (void)!write(m->predecessor, "", 1);
    close(m->predecessor);
    m->predecessor = -1;
}
