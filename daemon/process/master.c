/*
 * master.c - binds, forks cells, replaces those that die, reloads, ends.
 *
 * It has all the rights there are and therefore looks at nothing that a
 * stranger has sent: no client's octet, no answer of the database, no message
 * of a worker; only its file, the certificates and keys that it names, signals,
 * how processes ended, and lines of operators that the kernel vouches for.
 *
 * No signal handler anywhere: all signals are blocked for as long as it runs
 * and taken one at a time from a signalfd, so that nothing happens in between.
 * Signals of one kind that come together count as one; therefore every turn
 * asks waitpid() until there is nothing more.
 */
#include "daemon/process/master.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/limit.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/primary.h"
#include "daemon/base/recent.h"
#include "daemon/control/commands.h"
#include "daemon/control/metrics_process.h"
#include "daemon/control/operator.h"
#include "daemon/process/cell.h"
#include "daemon/process/cells.h"
#include "daemon/process/cert_watch.h"
#include "daemon/process/handover.h"
#include "daemon/process/probe.h"
#include "daemon/process/sockets.h"
#include "daemon/process/upgrade.h"
#include "daemon/system/detach.h"
#include "daemon/system/privdrop.h"
#include "daemon/system/sandbox.h"
#include "daemon/system/sd.h"
#include "storage/pg/collation.h"

#define NEVER UINT64_MAX

enum {
    KILL_MS = 5000,             /* after drain_time, for what is left */
    LOGINS = 1 << 16,           /* slots of the table for LOGIN-DELAY: 1 MiB */
    LOOK_MS = 50,               /* between looks whether all cells serve, in an upgrade */
    LOG_MS = 200,               /* between attempts to write what the log has not taken */
};

struct master {
    struct setup setup;
    struct recent *logins;
    struct limits *limits;
    struct cells *cells;
    struct commands commands;
    struct operator_socket *operators;
    struct metrics_process *metrics;
    struct cert_watch certs;
    struct upgrade *upgrade;
    bool stopping;
    bool replaced;              /* by a new master, which has our sockets: stopping, without haste */
    uint64_t close_at;          /* NEVER, or when sessions that are left are closed */
    uint64_t kill_at;
    uint64_t watchdog;          /* how often the service manager is told that all is well; 0: never */
    uint64_t ping_at;
};

static uint64_t master_now(void)
{
    return clock_ms();
}

/* ----------------------------------------------------------------- reload */

/* The operators' door, by the configuration of now. The server goes on without it. */
static void open_control(struct master *m)
{
    char *error = NULL;

    if (operator_listen(m->operators, m->setup.config->control.control_socket, &error) < 0)
        log_warning(NULL, "control socket disabled: %s", error);
    mem_drop(&error);
}

/* As the setup has it now. */
static void renew_cells(struct master *m)
{
    const struct cell_plan plan = {
        .config = m->setup.config, .sockets = m->setup.sockets, .logins = m->logins, .limits = m->limits,
        .login_cache = m->setup.login_cache,
    };

    cells_renew(m->cells, &plan, master_now());
    metrics_logins(cells_count_with(m->cells, NEEDS_LOGINS) > 0);
}

/* The names of files are in the memory of the process that shows them: it is another one then. */
static void watch_certificates(struct master *m)
{
    if (cert_watch_renew(&m->certs, m->setup.config))
        metrics_process_renew(m->metrics, master_now());
    cert_watch_tell(&m->certs, m->setup.config, master_now());
}

/* All of the new configuration, or none of it; what was wrong is in m->setup.told. */
static bool reload(struct master *m)
{
    sd_notify_state("RELOADING=1");
    log_info(NULL, "reload: reading %s", m->setup.file);
    bool good = setup_again(&m->setup);
    metric_add(good ? METRIC_RELOADS : METRIC_RELOADS_FAILED, 1);
    if (good) {
        watch_certificates(m);
        open_control(m);
        renew_cells(m);
        log_info(NULL, "reload: %u cells with the new configuration, old ones keep their sessions",
                 cells_count(m->cells));
    }
    sd_notify_state("READY=1");
    return good;
}

/* -------------------------------------------------------------------- end */

/* Accepts no more; sessions have this many ms (NEVER: all the time they want). */
static void stop(struct master *m, uint64_t ms)
{
    if (m->stopping && !m->replaced) {
        log_info(NULL, "stopping immediately");
        cells_tell_old(m->cells, cell_close);
        m->kill_at = master_now() + KILL_MS;
        return;
    }
    if (!m->stopping && !m->replaced)
        sd_notify_state("STOPPING=1");
    /* Once more after a new master took over: then it has a haste. */
    if (m->stopping)
        m->replaced = false;
    m->stopping = true;
    sockets_free(&m->setup.sockets, NULL);
    cells_retire(m->cells);
    if (ms == NEVER)
        return;
    log_info(NULL, "stopping: sessions have %.1f s to finish", (double)ms / 1000);
    m->close_at = master_now() + ms;
    m->kill_at = m->close_at + KILL_MS;
}

static void close_rest(struct master *m)
{
    m->close_at = NEVER;
    cells_tell_old(m->cells, cell_close);
}

static void kill_rest(struct master *m)
{
    log_warning(NULL, "killing %zu cells that did not end in time", cells_old(m->cells));
    cells_tell_old(m->cells, cell_kill);
    m->kill_at = NEVER;
}

/* ---------------------------------------------------------------- upgrade */

static void start_upgrade(struct master *m, int operator)
{
    const struct master_start *start = m->setup.start;
    const struct upgrade_program program = {
        .path = start->program, .file = m->setup.file, .foreground = start->foreground,
    };
    struct handover give = {
        .control = operator_fd(m->operators), .control_path = m->setup.config->control.control_socket,
        .login_cache = m->setup.login_cache, .adopted_count = start->adopted_count,
    };

    if (start->adopted_count > 0) {
        memcpy(give.adopted, start->adopted, start->adopted_count * sizeof give.adopted[0]);
        give.adopted_names = start->adopted_names != NULL ? mem_str(start->adopted_names) : NULL;
    } else {
        give.sockets = m->setup.sockets;
    }
    upgrade_start(m->upgrade, &program, &give, operator, master_now());
    mem_free(give.adopted_names);
}

static void heed(struct master *m, enum upgrade_news news)
{
    const char *pid_file = m->setup.config->daemon.pid_file;

    switch (news) {
    case UPGRADE_NOTHING:
        break;
    case UPGRADE_SERVES:
        /* Its sockets are ours no more, whoever of the two closes them last. */
        operator_leave(m->operators);
        sockets_leave(&m->setup.sockets);
        metrics_process_stop(m->metrics);
        m->replaced = true;
        stop(m, NEVER);
        break;
    case UPGRADE_FAILED:
        /* It may have written its own and taken that away again. */
        if (pid_file_write(pid_file) < 0)
            log_warning(NULL, "could not write pid_file %s: %s", pid_file, strerror(errno));
        break;
    }
}

/* In the new master: the old one goes when all cells that there should be serve. */
static void relieve(struct master *m)
{
    const struct handover *h = m->setup.start->handover;
    const struct storage_settings *storage = &m->setup.config->storage;
    const uint64_t lanes = cells_count_with(m->cells, NEEDS_LOGINS) * (uint64_t)storage->database_lanes;
    const uint64_t lmtp = cells_count_with(m->cells, NEEDS_DELIVERIES) * (uint64_t)storage->database_lmtp_lanes;

    if (!upgrade_is_awaited(m->upgrade))
        return;
    if ((metrics_workers() < cells_count(m->cells) || metrics_gauge(GAUGE_LANES_UP) < lanes ||
         metrics_gauge(GAUGE_LMTP_LANES_UP) < lmtp) &&
        !upgrade_is_late(m->upgrade, master_now()))
        return;
    log_info(NULL, "upgrade: this process serves, the old one may end");
    if (h->control >= 0)
        operator_adopt(m->operators, h->control_path, h->control);
    sockets_free(&m->setup.inherited, m->setup.sockets);
    upgrade_done(m->upgrade);
    open_control(m);
}

/* --------------------------------------------------- what operators ask for */

struct posting {
    const struct order *order;
    int passed;
    unsigned taken;
};

static void post(struct cell *cell, void *arg)
{
    struct posting *p = arg;

    p->taken += cell_order(cell, p->order, p->passed);
}

static unsigned call_post(void *arg, const struct order *order, int passed)
{
    struct master *m = arg;
    struct posting p = { order, passed, 0 };

    cells_each(m->cells, post, &p);
    return p.taken;
}

static bool call_stopping(void *arg)
{
    const struct master *m = arg;

    return m->stopping;
}

static bool call_reload(void *arg, struct span *told_r, unsigned *cells_r)
{
    struct master *m = arg;
    bool good = reload(m);

    *told_r = buf_span(&m->setup.told);
    *cells_r = cells_count(m->cells);
    return good;
}

static uint64_t call_drain_time(void *arg)
{
    const struct master *m = arg;

    return (uint64_t)m->setup.config->daemon.drain_time;
}

static void call_drain(void *arg, uint64_t ms)
{
    stop(arg, ms);
}

static void call_upgrade(void *arg, int operator)
{
    start_upgrade(arg, operator);
}

static const struct command_calls command_calls = {
    .stopping = call_stopping, .reload = call_reload, .drain_time = call_drain_time, .drain = call_drain,
    .upgrade = call_upgrade, .post = call_post,
};

/* -------------------------------------------------------------- main loop */

/* Those that the master takes. USR1 means nothing to it, but must not end a worker that is not ready for it. */
static void master_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGCHLD);
}

/* Not if nobody accepts: cells that do not come up again may do so with a fresh master. */
static void ping(struct master *m, uint64_t now)
{
    if (now < m->ping_at)
        return;
    m->ping_at = now + m->watchdog;
    if (m->stopping || cells_accepting(m->cells))
        sd_notify_state("WATCHDOG=1");
}

/* As s6 wants it, and simple enough for others: a newline, and the end. */
static void tell_ready(int fd)
{
    sd_notify_state("READY=1");
    if (fd < 0)
        return;
    (void)!write(fd, "\n", 1);
    close(fd);
}

/* When there is something to do although no signal comes. */
static uint64_t next_deadline(const struct master *m)
{
    uint64_t next = m->kill_at;
    const uint64_t others[] = {
        m->close_at, m->ping_at, cells_deadline(m->cells), upgrade_deadline(m->upgrade),
        operator_deadline(m->operators),
        m->stopping ? NEVER : metrics_process_deadline(m->metrics),
        m->stopping ? NEVER : m->certs.at,
        upgrade_is_awaited(m->upgrade) ? master_now() + LOOK_MS : NEVER,
        log_flush() ? NEVER : master_now() + LOG_MS,
    };

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (others[i] < next)
            next = others[i];
    }
    return next;
}

/* Returns the signal, or 0: the deadline has come, or something else, which was done. */
static int wait_until(struct master *m, int signals, uint64_t deadline)
{
    struct pollfd fds[2 + OPERATOR_FDS] = {
        { .fd = signals, .events = POLLIN }, { .fd = upgrade_fd(m->upgrade), .events = POLLIN },
    };
    size_t operators = operator_poll(m->operators, fds + 2);
    uint64_t now = master_now(), ms = deadline > now ? deadline - now : 0;
    struct signalfd_siginfo info;

    if (poll(fds, (nfds_t)(2 + operators), deadline == NEVER ? -1 : ms > INT_MAX ? INT_MAX : (int)ms) < 0)
        return 0;
    operator_serve(m->operators, fds + 2, operators, master_now());
    heed(m, upgrade_look(m->upgrade, master_now()));
    return read(signals, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

/* Takes note of all processes that have ended, whosever they were. */
static void reap(struct master *m)
{
    enum upgrade_news news;
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (metrics_process_reap(m->metrics, pid, master_now()))
            continue;
        if (upgrade_reap(m->upgrade, pid, status, master_now(), &news))
            heed(m, news);
        else
            cells_reap(m->cells, pid, status, master_now());
    }
    cells_sweep(m->cells);
}

/* Does what is due; for metrics and certificates only as long as it goes on. */
static void keep_up(struct master *m)
{
    cells_start(m->cells, master_now());
    if (!m->stopping) {
        metrics_process_keep(m->metrics, m->setup.config, master_now());
        cert_watch_tell(&m->certs, m->setup.config, master_now());
    }
    relieve(m);
    cells_look(m->cells, master_now());
    ping(m, master_now());
}

static void supervise(struct master *m, int signals)
{
    m->watchdog = sd_watchdog();
    m->ping_at = m->watchdog > 0 ? master_now() : NEVER;
    renew_cells(m);
    metrics_process_keep(m->metrics, m->setup.config, master_now());
    tell_ready(m->setup.start->ready_fd);
    for (;;) {
        int signo = wait_until(m, signals, next_deadline(m));

        reap(m);
        if (signo == SIGHUP && !m->stopping)
            reload(m);
        else if (signo == SIGUSR2 && !m->stopping)
            start_upgrade(m, -1);
        else if (signo == SIGTERM || signo == SIGINT)
            stop(m, (uint64_t)m->setup.config->daemon.drain_time);
        if (m->stopping && cells_old(m->cells) == 0)
            return;
        if (master_now() >= m->close_at)
            close_rest(m);
        if (master_now() >= m->kill_at)
            kill_rest(m);
        keep_up(m);
    }
}

/* ------------------------------------------------------------------ start */

static void log_start(const struct master *m)
{
    const struct passwd *pw;

    log_info(NULL, "posternd " POSTERN_VERSION " starting with %u cells",
             cells_wanted(m->setup.config, sockets_speak(m->setup.sockets, m->setup.config)));
    if (privdrop_is_root())
        return;
    pw = getpwuid(geteuid());
    log_info(NULL, "not started as root: workers and auth helpers run as user %s (%ld)",
             pw != NULL ? pw->pw_name : "?", (long)geteuid());
}

/* False if the schema is wrong. A database that is away may come up later, as the workers will see. */
static bool first_schema(const struct master *m)
{
    char *text = NULL;
    int outcome = probe_schema(m->setup.config, sockets_speak(m->setup.sockets, m->setup.config), &text);

    if (outcome == 0)
        setup_tell(m->setup.start, true, "%s", text);
    else if (outcome < 0)
        setup_tell(m->setup.start, false, "%s; logins get [SYS/TEMP] until that is solved", text);
    mem_drop(&text);
    return outcome != 0;
}

/* What is left of the start: no more than that of it can fail. */
static bool settle(struct master *m, int background, int *signals_r)
{
    sigset_t set;

    m->logins = recent_new(LOGINS);
    m->limits = limits_new();
    if (m->logins == NULL || m->limits == NULL || !metrics_share() || !log_share() || !collation_share() ||
        !primary_share()) {
        setup_tell(m->setup.start, true, "could not share memory: %s", strerror(errno));
        return false;
    }
    /* Until here SIGTERM simply ended us: there was nothing to be tidied up. */
    master_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *signals_r = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (*signals_r < 0) {
        setup_tell(m->setup.start, true, "could not set up signals: %s", strerror(errno));
        return false;
    }
    if (pid_file_write(m->setup.config->daemon.pid_file) < 0) {
        setup_tell(m->setup.start, true, "could not write pid_file %s: %s", m->setup.config->daemon.pid_file,
                   strerror(errno));
        return false;
    }
    if (background >= 0 && detach_done(background) < 0) {
        setup_tell(m->setup.start, true, "could not go into the background: %s", strerror(errno));
        pid_file_remove(m->setup.config->daemon.pid_file);
        return false;
    }
    return true;
}

/* Everything that can go wrong, while somebody is there to see it. */
static bool prepare(struct master *m, int *signals_r)
{
    int background = -1;

    if (!setup_first(&m->setup))
        return false;
    if (!m->setup.start->foreground && m->setup.start->handover == NULL && (background = detach_fork()) < 0) {
        setup_tell(m->setup.start, true, "could not fork: %s", strerror(errno));
        return false;
    }
    return first_schema(m) && settle(m, background, signals_r);
}

int master_run(const struct master_start *start)
{
    struct master m = { .close_at = NEVER, .kill_at = NEVER, .commands = { &command_calls, &m } };
    int signals = -1;
    sigset_t hup;
    bool good;

    sandbox_no_new_rights();
    /* One that comes during the start is a reload after it, and not our end. */
    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hup, NULL);
    setup_init(&m.setup, start);
    m.cells = cells_new();
    m.operators = operator_new(commands_run, &m.commands);
    m.metrics = metrics_process_new();
    m.upgrade = upgrade_new();
    good = prepare(&m, &signals);
    if (good) {
        log_start(&m);
        setup_settled(&m.setup);
        watch_certificates(&m);
        upgrade_settled(m.upgrade, start->handover, master_now());
        if (!upgrade_is_awaited(m.upgrade))
            open_control(&m);
        supervise(&m, signals);
        log_info(NULL, "posternd has stopped");
        pid_file_remove(m.setup.config->daemon.pid_file);
        log_finish();
    }
    metrics_process_free(&m.metrics);
    /* Where the old master goes on, they are its sockets and its paths. */
    if (upgrade_is_awaited(m.upgrade) || (start->handover != NULL && !good))
        sockets_leave(&m.setup.sockets);
    operator_free(&m.operators);
    upgrade_free(&m.upgrade);
    cells_free(&m.cells);
    cert_watch_free(&m.certs);
    recent_free(&m.logins);
    limits_free(&m.limits);
    setup_free(&m.setup);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
