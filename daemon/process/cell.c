/*
 * cell.c - forks the members of a cell, tells them apart, reports how they ended.
 *
 * It decides nothing: when a cell is made, replaced or ended is the master's.
 * The rest of this file runs in the master, which reads no client byte; only
 * what stands behind a fork here is worker or helper.
 */
#include "daemon/process/cell.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/helper/helper.h"
#include "daemon/base/limit.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/net/peer.h"
#include "daemon/control/orders.h"
#include "daemon/system/privdrop.h"
#include "daemon/system/sandbox.h"
#include "daemon/process/serve.h"
#include "daemon/process/sockets.h"
#include "daemon/process/worker.h"
#include "storage/pg/schema.h"

struct cell {
    unsigned number;
    unsigned serves;        /* a set of protocols */
    uint64_t started;
    pid_t worker;           /* 0: gone */
    pid_t *helpers;         /* 0: gone */
    size_t helper_count;
    size_t alive;           /* members */
    int orders;             /* our end, -1: there is none */
    int seat;               /* of its gauges */
    uint64_t heard;         /* of the worker, at the last look; how often nothing since */
    unsigned silent;
    unsigned helper_silent; /* how often in a row the worker said that a helper hangs, or had gone and left one */
    bool retiring;
    bool wrong_schema;
    struct limits *limits;
    int limits_area;        /* the worker's */
};

/* ------------------------------------------------------------ the members */

static void unblock_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

pid_t cell_fork_helper(struct config *config, const char *number, int fd, int login_cache, int parent_signal)
{
    const int keep[] = { fd, login_cache };
    char ident[48], name[16];
    pid_t parent = getpid(), pid;

    pid = fork();
    if (pid != 0)
        return pid;
    snprintf(ident, sizeof ident, "posternd auth %s", number);
    snprintf(name, sizeof name, "posternd a%s", number);
    process_become(&(struct process_role){
        .ident = ident, .name = name, .user = config->daemon.auth_user,
        .keep = keep, .keep_count = login_cache >= 0 ? 2 : 1, .batch = config->daemon.batch_scheduling,
        .parent_signal = parent_signal, .parent = parent,
    });
    metrics_use((unsigned)strtoul(number, NULL, 10));
    config_forget_sessions(config, NEEDS_ALL);
    /*
     * A helper ends when its worker does: a signal to the whole group or service must not take it
     * from sessions that drain.
     */
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    unblock_signals();
    sandbox_enter(SANDBOX_HELPER, config);
    int status = auth_helper_run(fd, config->conninfo_auth, &config->auth, schema_wanted(), login_cache,
                                 config_mechanisms(config));
    log_finish();
    _exit(status);
}

static pid_t fork_worker(struct cell *cell, const struct cell_plan *plan, const int *auth, int orders)
{
    char ident[48], name[16];
    const size_t auth_count = cell->helper_count;
    const unsigned number = cell->number, serves = cell->serves;
    const int seat = cell->seat;
    pid_t parent = getpid();
    pid_t pid = fork();
    struct sockets *sockets;
    int *keep;
    const struct serve_shared shared = { plan->logins, plan->limits, cell->limits_area };

    if (pid != 0)
        return pid;
    /* A member does not keep the master's record of its cell. */
    mem_free(cell->helpers);
    mem_free(cell);
    snprintf(ident, sizeof ident, "posternd worker %u", number);
    snprintf(name, sizeof name, "posternd w%u", number);
    sockets = sockets_of(plan->sockets, plan->config, serves);
    keep = mem_array(sockets->count + auth_count + 1, sizeof *keep);
    if (sockets->count > 0)
        memcpy(keep, sockets->fds, sockets->count * sizeof *keep);
    memcpy(keep + sockets->count, auth, auth_count * sizeof *keep);
    keep[sockets->count + auth_count] = orders;
    process_become(&(struct process_role){
        .ident = ident, .name = name, .user = config_user(plan->config, serves),
        .keep = keep, .keep_count = sockets->count + auth_count + (orders >= 0),
        .batch = plan->config->daemon.batch_scheduling,
        /* A worker without a master drains: nobody else would ever tell it to. */
        .parent_signal = WORKER_DRAIN, .parent = parent,
    });
    mem_free(keep);
    config_forget_auth(plan->config);
    config_forget_sessions(plan->config, NEEDS_ALL & ~protocols_need(serves));
    metrics_use(number);
    metrics_sit(seat);
    int status = worker_run(plan->config, serves, sockets, auth, auth_count, &shared, orders);
    log_finish();
    _exit(status);
}

/* --------------------------------------------------------------- the cell */

/* The helpers and our side of their sockets. Stops at the first that fails. */
static bool fork_helpers(struct cell *c, const struct cell_plan *plan, int *ends)
{
    for (size_t i = 0; i < c->helper_count; i++) {
        char number[32];
        int pair[2];
        pid_t pid;

        if (peer_pair(pair) < 0)
            return false;
        ends[i] = pair[0];
        snprintf(number, sizeof number, "%u.%zu", c->number, i + 1);
        pid = cell_fork_helper(plan->config, number, pair[1], plan->login_cache, 0);
        close(pair[1]);
        if (pid < 0)
            return false;
        c->helpers[i] = pid;
        c->alive++;
    }
    return true;
}

struct cell *cell_new(unsigned number, unsigned serves, uint64_t now, const struct cell_plan *plan)
{
    const bool logins = protocols_need(serves) & NEEDS_LOGINS;
    struct cell *c = mem_zalloc(sizeof *c);
    int *ends;

    int orders[2] = { -1, -1 };

    c->number = number;
    c->serves = serves;
    c->started = now;
    c->seat = metrics_seat_take();
    c->helper_count = logins ? (size_t)plan->config->auth.auth_helpers : 0;
    c->helpers = mem_array(c->helper_count, sizeof *c->helpers);
    ends = mem_array(c->helper_count, sizeof *ends);
    for (size_t i = 0; i < c->helper_count; i++)
        ends[i] = -1;

    c->limits = plan->limits;
    c->limits_area = logins ? limit_area_take(c->limits->present) : -1;
    if (fork_helpers(c, plan, ends)) {
        pid_t pid;

        /* Without them it serves all the same. */
        if (orders_pair(orders) < 0)
            log_warning(NULL, "could not send orders to worker %u: %s", number, strerror(errno));
        pid = fork_worker(c, plan, ends, orders[1]);
        if (orders[1] >= 0)
            close(orders[1]);
        if (pid > 0) {
            c->worker = pid;
            c->alive++;
        }
    }
    if (c->worker == 0)
        log_error(NULL, "could not start worker %u and its auth helpers: %s", number, strerror(errno));
    /* The worker has them; where there is none the helpers read an end of file and go. */
    for (size_t i = 0; i < c->helper_count; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
    }
    mem_free(ends);
    c->orders = orders[0];
    return c;
}

void cell_free(struct cell **cell)
{
    struct cell *c = *cell;

    if (c == NULL)
        return;
    ASSERT(c->alive == 0);
    *cell = NULL;
    limit_area_give(c->limits->present, c->limits_area);
    if (c->orders >= 0)
        close(c->orders);
    metrics_seat_free(c->seat);
    mem_free(c->helpers);
    mem_free(c);
}

bool cell_complete(const struct cell *c)
{
    return c->alive == c->helper_count + 1;
}

bool cell_empty(const struct cell *c)
{
    return c->alive == 0;
}

unsigned cell_number(const struct cell *c)
{
    return c->number;
}

uint64_t cell_started(const struct cell *c)
{
    return c->started;
}

bool cell_wrong_schema(const struct cell *c)
{
    return c->wrong_schema;
}

static void ask_worker(struct cell *c, int signo)
{
    c->retiring = true;
    if (c->worker > 0)
        kill(c->worker, signo);
}

void cell_retire(struct cell *c)
{
    ask_worker(c, WORKER_RETIRE);
}

void cell_close(struct cell *c)
{
    ask_worker(c, WORKER_CLOSE);
}

bool cell_order(const struct cell *c, const struct order *order, int passed)
{
    return c->worker > 0 && c->orders >= 0 && orders_send(c->orders, order, passed);
}

static void kill_helpers(const struct cell *c)
{
    for (size_t i = 0; i < c->helper_count; i++) {
        if (c->helpers[i] > 0)
            kill(c->helpers[i], SIGKILL);
    }
}

/*
 * Was it found so often in a row? By looks, not by the clock: where the whole
 * machine stood still the first one after it finds nothing new, and the next one does.
 */
static bool hangs(unsigned *found, bool now, unsigned looks)
{
    *found = now ? *found + 1 : 0;
    if (*found < looks)
        return false;
    *found = 0;
    return true;
}

void cell_look(struct cell *c, unsigned looks, uint64_t ms)
{
    uint64_t heard = metrics_seat_heard(c->seat);
    bool there = c->worker != 0 && c->seat >= 0;
    bool helper_hangs = there ? metrics_seat_gauge(c->seat, GAUGE_HELPERS_SILENT) > 0 : c->worker == 0 && c->alive > 0;

    if (hangs(&c->silent, there && heard == c->heard, looks)) {
        log_error(NULL, "worker %u (pid %ld) unresponsive for %.1f s, killing it", c->number, (long)c->worker,
                  (double)ms / 1000);
        kill(c->worker, SIGKILL);
    }
    c->heard = heard;
    if (hangs(&c->helper_silent, helper_hangs, looks)) {
        log_error(NULL, "auth helpers of worker %u unresponsive or left over, killing them", c->number);
        kill_helpers(c);
    }
}

void cell_kill(struct cell *c)
{
    ask_worker(c, SIGKILL);
    kill_helpers(c);
}

/* "exited with status 1", "was killed by signal 9 (Killed)" */
static void describe(char *out, size_t size, int status)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(out, size, "exited with status %d", WEXITSTATUS(status));
}

static void report_end(const struct cell *c, const char *who, pid_t pid, int status)
{
    char how[96];

    describe(how, sizeof how, status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && c->retiring)
        log_debug(NULL, "%s (pid %ld) has finished", who, (long)pid);
    else if (c->wrong_schema)
        log_warning(NULL, "%s (pid %ld) stopped: unknown version of the database schema", who, (long)pid);
    else
        log_error(NULL, "%s (pid %ld) %s", who, (long)pid, how);
}

int cell_reap(struct cell *c, pid_t pid, int status)
{
    char who[64];

    if (pid == c->worker) {
        c->worker = 0;
        /* Whatever sessions it had are over. */
        limit_area_give(c->limits->present, c->limits_area);
        c->limits_area = -1;
        metrics_seat_free(c->seat);
        c->seat = -1;
        c->wrong_schema = WIFEXITED(status) && WEXITSTATUS(status) == WORKER_WRONG_SCHEMA;
        snprintf(who, sizeof who, "worker %u", c->number);
        report_end(c, who, pid, status);
        c->alive--;
        return 1;
    }
    for (size_t i = 0; i < c->helper_count; i++) {
        if (pid == c->helpers[i]) {
            c->helpers[i] = 0;
            snprintf(who, sizeof who, "auth helper %u.%zu", c->number, i + 1);
            report_end(c, who, pid, status);
            c->alive--;
            return 1;
        }
    }
    return 0;
}
