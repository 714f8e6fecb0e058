/*
 * jobs.c - many pieces of work of one kind, by several processes at once (see jobs.h).
 *
 * A process is asked by a message with the number of its piece, and answers with messages
 * of its own, whose first octet says whether the piece is done: datagrams, so that none
 * needs a length. Must never begin a piece twice.
 */
#include "admin/jobs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/ctl.h"
#include "daemon/base/mem.h"

struct jobs_voice {
    int fd;
};

static struct process {
    pid_t pid;          /* 0: none */
    int fd;
    bool busy;
    size_t piece;
} processes[JOBS_MAX];

enum { WAIT_MS = 200 };

/* ------------------------------------------------------------- the process */

enum { DONE = 'd', SAID = 's' };

static void say(int fd, char what, const void *message, size_t len)
{
    struct iovec parts[] = { { &what, 1 }, { (void *)(uintptr_t)message, len } };
    const struct msghdr head = { .msg_iov = parts, .msg_iovlen = 2 };
    ssize_t n;

    do
        n = sendmsg(fd, &head, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    /* Nobody is there any more. What was committed is, and the rest is done by the next run. */
    if (n < 0)
        _exit(EXIT_FAILURE);
}

void jobs_say(const struct jobs_voice *voice, const void *message, size_t len)
{
    ASSERT(len <= JOBS_MESSAGE_MAX);
    say(voice->fd, SAID, message, len);
}

static _Noreturn void be_process(const struct jobs *jobs, int fd, pid_t parent)
{
    const struct jobs_voice voice = { fd };
    size_t piece;
    ssize_t n;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    while (getppid() == parent) {
        n = recv(fd, &piece, sizeof piece, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof piece)
            break;
        jobs->work(jobs->arg, piece, &voice);
        say(fd, DONE, "", 0);
    }
    jobs->end(jobs->arg);
    /* Not exit(): what the parent has not written yet is the parent's to write. */
    _exit(EXIT_SUCCESS);
}

/* -------------------------------------------------------------- the parent */

static bool start(const struct jobs *jobs, struct process *p)
{
    const pid_t parent = getpid();
    int fds[2];

    fflush(stdout);
    fflush(stderr);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    p->pid = fork();
    if (p->pid == 0) {
        close(fds[0]);
        for (unsigned i = 0; i < jobs->processes; i++)
            if (&processes[i] != p && processes[i].pid > 0)
                close(processes[i].fd);
        be_process(jobs, fds[1], parent);
    }
    close(fds[1]);
    if (p->pid < 0) {
        close(fds[0]);
        p->pid = 0;
        return false;
    }
    p->fd = fds[0];
    p->busy = false;
    return true;
}

/* Its last piece is done, or will never be. */
static int finish(struct process *p)
{
    int status = 0;

    close(p->fd);
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    p->pid = 0;
    return status;
}

static void has_died(const struct jobs *jobs, struct process *p)
{
    char how[80];
    int status = finish(p);

    if (!p->busy)
        return;
    p->busy = false;
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "its process was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof how, "its process ended with status %d", WEXITSTATUS(status));
    jobs->died(jobs->arg, p->piece, how);
}

static void hear(const struct jobs *jobs, struct process *p)
{
    static char message[1 + JOBS_MESSAGE_MAX];
    ssize_t n = recv(p->fd, message, sizeof message, MSG_DONTWAIT);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        has_died(jobs, p);
    } else if (message[0] == SAID) {
        jobs->said(jobs->arg, p->piece, (struct span){ message + 1, (size_t)n - 1 });
    } else {
        p->busy = false;
        jobs->done(jobs->arg, p->piece);
    }
}

/* Gives the piece to the process, which is started if there is none. False with errno. */
static bool give(const struct jobs *jobs, struct process *p, size_t piece)
{
    for (;;) {
        ssize_t n;

        if (p->pid == 0 && !start(jobs, p))
            return false;
        do
            n = send(p->fd, &piece, sizeof piece, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n == (ssize_t)sizeof piece)
            break;
        finish(p);      /* it died while it had nothing to do */
    }
    p->piece = piece;
    p->busy = true;
    return true;
}

bool jobs_run(const struct jobs *jobs)
{
    struct pollfd fds[JOBS_MAX];
    struct process *of[JOBS_MAX];
    size_t next = 0;
    bool failed = false;
    int why = 0;

    ASSERT(jobs->processes > 0 && jobs->processes <= JOBS_MAX);
    for (;;) {
        nfds_t n = 0;

        for (unsigned i = 0; i < jobs->processes; i++) {
            struct process *p = &processes[i];

            if (!p->busy && next < jobs->count && !jobs->wanted(jobs->arg, next))
                next = jobs->count;
            if (!p->busy && next < jobs->count) {
                failed = !give(jobs, p, next);
                why = errno;
                next = failed ? jobs->count : next + 1;
            }
            if (p->busy) {
                fds[n] = (struct pollfd){ p->fd, POLLIN, 0 };
                of[n++] = p;
            }
        }
        if (n == 0)
            break;
        if (poll(fds, n, WAIT_MS) > 0)
            for (nfds_t i = 0; i < n; i++)
                if (fds[i].revents != 0)
                    hear(jobs, of[i]);
        jobs->wait(jobs->arg);
    }
    for (unsigned i = 0; i < jobs->processes; i++)
        if (processes[i].pid > 0)
            finish(&processes[i]);
    if (failed)
        ctl_error(CTL_FAILED, "could not start a process: %s", strerror(why));
    return !failed;
}

void jobs_signal(int signal)
{
    for (unsigned i = 0; i < JOBS_MAX; i++)
        if (processes[i].pid > 0)
            kill(processes[i].pid, signal);
}
