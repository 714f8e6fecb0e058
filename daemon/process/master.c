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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "auth/login_cache.h"
#include "daemon/base/clock.h"
#include "daemon/base/limit.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/recent.h"
#include "daemon/base/metrics.h"
#include "daemon/process/certs.h"
#include "daemon/system/detach.h"
#include "daemon/process/handover.h"
#include "daemon/process/master_impl.h"
#include "daemon/system/privdrop.h"
#include "daemon/process/probe.h"
#include "daemon/system/sandbox.h"
#include "daemon/system/sd.h"
#include "daemon/process/sockets.h"
#include "storage/pg/collation.h"

enum {
    KILL_MS = 5000,             /* after drain_time, for what is left */
    LOGINS = 1 << 16,           /* slots of the table for LOGIN-DELAY: 1 MiB */
    LOOK_MS = 50,               /* between looks whether all cells serve, in an upgrade */
    LOG_MS = 200,               /* between attempts to write what the log has not taken */
    SPARE_DESCRIPTORS = 64,     /* of a worker, beside sessions, lanes and helpers */
};

/* Nobody reads the log who could be told this by the log. */
#define NO_LOG_DAEMON \
    "no log daemon listens at %s: log lines are dropped until one does; set log to \"stderr\" or a file"

uint64_t master_now(void)
{
    return clock_ms();
}

/* ----------------------------------------------------------------- reload */

static unsigned config_flags(const struct master_start *start)
{
    return (start->adopted_count == 0 ? CONFIG_LISTENERS : 0u) | (start->foreground ? 0u : CONFIG_DETACHED);
}

/* "stderr" is the client or a listening socket where it is not ours. */
static bool open_log(const struct master_start *start, const struct config *c, const char **error_r)
{
    const char *target = start->no_stderr && strcmp(c->daemon.log, "stderr") == 0 ? "syslog" : c->daemon.log;

    return log_open(target, c->daemon.log_level, "posternd", error_r);
}

static void raise_limits(const struct config *c)
{
    uint64_t wanted = (uint64_t)c->daemon.sessions_per_worker + (uint64_t)c->storage.database_lanes +
                      (uint64_t)c->auth.auth_helpers + c->listeners.count * 2 + SPARE_DESCRIPTORS;
    uint64_t got = privdrop_descriptors(wanted);

    if (got < wanted)
        log_warning(NULL,
                    "sessions_per_worker = %lld needs %llu descriptors, the limit is %llu: connections above it wait",
                    (long long)c->daemon.sessions_per_worker, (unsigned long long)wanted, (unsigned long long)got);
}

/* An options_problem: to the log, and to the operator who asked for the reload. */
static void reload_problem(void *arg, const char *file, int line, const char *text)
{
    struct master *m = arg;

    config_log_problem(NULL, file, line, text);
    if (line > 0)
        buf_addf(&m->told, "%s:%d: %s\n", file, line, text);
    else
        buf_addf(&m->told, "%s: %s\n", file != NULL ? file : "configuration", text);
}

__attribute__((format(printf, 2, 3)))
static void reload_failed(struct master *m, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_error(NULL, "reload: %s, the old configuration and its certificates stay", text);
    buf_addf(&m->told, "%s\n", text);
}

/* The operators' door, by the configuration of now. The server goes on without it. */
static void open_control(struct master *m)
{
    char *error = NULL;

    if (operator_listen(m->operators, m->config->control.control_socket, &error) < 0)
        log_warning(NULL, "no control socket: %s", error);
    mem_drop(&error);
}

/* Cached logins outlive a reload, and an upgrade, unless there is to be room for another number. */
static void share_login_cache(struct master *m)
{
    const size_t entries = (size_t)m->config->auth.auth_cache;

    if (m->login_cache >= 0 && entries > 0 && login_cache_fits(m->login_cache, entries))
        return;
    if (m->login_cache >= 0)
        close(m->login_cache);
    m->login_cache = entries > 0 ? login_cache_memory(entries) : -1;
    if (m->login_cache < 0 && entries > 0)
        log_warning(NULL, "logins are not cached: %s", strerror(errno));
}

/* All of the new configuration, or none of it: what can fail comes first. */
static bool reload_config(struct master *m)
{
    const char *why = NULL;
    char *error = NULL;
    int problems;
    struct config *config = config_load(m->file, config_flags(m->start), reload_problem, m, &problems);
    struct sockets *sockets;

    if (problems == 0)
        problems = certs_load(config, m->file, m->config, reload_problem, m);
    if (problems > 0) {
        reload_failed(m, "%d problems", problems);
        config_free(&config);
        return false;
    }
    sockets = sockets_bind(config, m->sockets, &error);
    if (sockets == NULL) {
        reload_failed(m, "%s", error);
        mem_drop(&error);
        config_free(&config);
        return false;
    }
    if (!open_log(m->start, config, &why)) {
        reload_failed(m, "could not open the log %s: %s", config->daemon.log, why);
        sockets_free(&sockets, m->sockets);
        config_free(&config);
        return false;
    }
    if (strcmp(config->daemon.pid_file, m->config->daemon.pid_file) != 0) {
        if (pid_file_write(config->daemon.pid_file) < 0)
            log_warning(NULL, "could not write pid_file %s: %s", config->daemon.pid_file, strerror(errno));
        pid_file_remove(m->config->daemon.pid_file);
    }
    if (log_unreached() != NULL)
        buf_addf(&m->told, NO_LOG_DAEMON "\n", log_unreached());
    sockets_free(&m->sockets, sockets);
    m->sockets = sockets;
    config_free(&m->config);
    m->config = config;
    certs_warn(m->config);
    master_ends_new(m);
    share_login_cache(m);
    open_control(m);
    return true;
}

bool master_reload(struct master *m)
{
    struct slot *slots = m->slots;
    unsigned slot_count = m->slot_count;

    sd_notify_state("RELOADING=1");
    log_info(NULL, "reload: reading %s", m->file);
    buf_clear(&m->told);
    bool good = reload_config(m);
    metric_add(good ? METRIC_RELOADS : METRIC_RELOADS_FAILED, 1);
    if (good) {
        raise_limits(m->config);
        /* First the new ones, then no more of the old: somebody accepts all the time. */
        cells_make(m);
        cells_start(m, master_now());
        for (unsigned i = 0; i < slot_count; i++) {
            if (slots[i].cell != NULL)
                cells_put_aside(m, slots[i].cell);
        }
        mem_free(slots);
        log_info(NULL, "reload: %u cells with the new configuration, sessions of the old ones go on", m->slot_count);
    }
    sd_notify_state("READY=1");
    return good;
}

/* -------------------------------------------------------------------- end */

void master_stop(struct master *m, uint64_t ms)
{
    if (m->stopping && !m->replaced) {
        log_info(NULL, "stopping at once");
        cells_tell_old(m, cell_close);
        m->kill_at = master_now() + KILL_MS;
        return;
    }
    if (!m->stopping && !m->replaced)
        sd_notify_state("STOPPING=1");
    /* Once more after a new master took over: then it has a haste. */
    if (m->stopping)
        m->replaced = false;
    m->stopping = true;
    sockets_free(&m->sockets, NULL);
    cells_put_all_aside(m);
    if (ms == NEVER)
        return;
    log_info(NULL, "stopping: sessions have %.1f s to finish", (double)ms / 1000);
    m->close_at = master_now() + ms;
    m->kill_at = m->close_at + KILL_MS;
}

static void close_rest(struct master *m)
{
    m->close_at = NEVER;
    cells_tell_old(m, cell_close);
}

static void kill_rest(struct master *m)
{
    log_warning(NULL, "killing %zu cells that have not ended", m->old_count);
    cells_tell_old(m, cell_kill);
    m->kill_at = NEVER;
}

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
    bool accepting = m->stopping;

    if (now < m->ping_at)
        return;
    m->ping_at = now + m->watchdog;
    for (unsigned i = 0; i < m->slot_count; i++)
        accepting = accepting || m->slots[i].cell != NULL;
    if (accepting)
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
        m->close_at, m->ping_at, m->look_at, m->metrics_at, m->successor.kill_at, operator_deadline(m->operators),
        m->stopping ? NEVER : m->ends_at,
        m->predecessor >= 0 ? master_now() + LOOK_MS : NEVER,
        log_flush() ? NEVER : master_now() + LOG_MS,
    };

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (others[i] < next)
            next = others[i];
    }
    for (unsigned i = 0; i < m->slot_count; i++) {
        if (m->slots[i].cell == NULL && m->slots[i].start_at < next)
            next = m->slots[i].start_at;
    }
    return next;
}

/* Returns the signal, or 0: the deadline has come, or something else, which was done. */
static int wait_until(struct master *m, int signals, uint64_t deadline)
{
    struct pollfd fds[2 + OPERATOR_FDS] = {
        { .fd = signals, .events = POLLIN }, { .fd = m->successor.pid != 0 ? m->successor.pipe : -1, .events = POLLIN },
    };
    size_t operators = operator_poll(m->operators, fds + 2);
    uint64_t now = master_now(), ms = deadline > now ? deadline - now : 0;
    struct signalfd_siginfo info;

    if (poll(fds, (nfds_t)(2 + operators), deadline == NEVER ? -1 : ms > INT_MAX ? INT_MAX : (int)ms) < 0)
        return 0;
    operator_serve(m->operators, fds + 2, operators, master_now());
    upgrade_look(m);
    return read(signals, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

/* All cells that there should be serve: a process that took another's place waits for that. */
static void look_whether_done(struct master *m)
{
    bool all = metrics_workers() >= m->slot_count &&
               metrics_gauge(GAUGE_LANES_UP) >= m->slot_count * (uint64_t)m->config->storage.database_lanes;

    if (m->predecessor >= 0 && (all || master_now() >= m->serve_by)) {
        upgrade_done(m);
        open_control(m);
    }
}

static void supervise(struct master *m, int signals)
{
    m->watchdog = sd_watchdog();
    m->ping_at = m->watchdog > 0 ? master_now() : NEVER;
    m->look_at = NEVER;
    cells_make(m);
    cells_start(m, master_now());
    master_metrics(m, master_now());
    tell_ready(m->start->ready_fd);
    for (;;) {
        int signo = wait_until(m, signals, next_deadline(m));

        cells_reap(m);
        if (signo == SIGHUP && !m->stopping)
            master_reload(m);
        else if (signo == SIGUSR2 && !m->stopping)
            upgrade_start(m, -1);
        else if (signo == SIGTERM || signo == SIGINT)
            master_stop(m, (uint64_t)m->config->daemon.drain_time);
        if (m->stopping && m->old_count == 0)
            return;
        if (master_now() >= m->close_at)
            close_rest(m);
        if (master_now() >= m->kill_at)
            kill_rest(m);
        cells_start(m, master_now());
        master_metrics(m, master_now());
        master_ends(m, master_now());
        look_whether_done(m);
        cells_look(m, master_now());
        ping(m, master_now());
    }
}

/* ------------------------------------------------------------------ start */

/* Until the master is detached the operator reads standard error; afterwards, the log. */
__attribute__((format(printf, 3, 4)))
static void tell(const struct master *m, bool is_error, const char *fmt, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!m->start->no_stderr)
        fprintf(stderr, "posternd: %s\n", text);
    if (log_is_stderr())
        return;
    if (is_error)
        log_error(NULL, "%s", text);
    else
        log_warning(NULL, "%s", text);
}

/* Reads the configuration a first time; false when all its problems were told. */
static bool first_config(struct master *m)
{
    const char *why = NULL;
    options_problem *problem = m->start->no_stderr ? config_log_problem : config_print_problem;
    int problems;

    m->config = config_load(m->start->file, config_flags(m->start), problem, stderr, &problems);
    if (problems > 0 || certs_load(m->config, m->start->file, NULL, problem, stderr) > 0)
        return false;
    if (!open_log(m->start, m->config, &why)) {
        tell(m, true, "could not open the log %s: %s", m->config->daemon.log, why);
        return false;
    }
    if (log_unreached() != NULL)
        tell(m, false, NO_LOG_DAEMON, log_unreached());
    return true;
}

static bool first_sockets(struct master *m)
{
    char *error = NULL;

    if (m->start->adopted_count > 0) {
        m->sockets =
            sockets_adopt(m->config, m->start->adopted, m->start->adopted_count, m->start->adopted_names, &error);
    } else {
        if (m->start->handover != NULL)
            m->inherited = m->start->handover->sockets;
        m->sockets = sockets_bind(m->config, m->inherited, &error);
    }
    if (m->sockets == NULL)
        tell(m, true, "%s", error);
    mem_drop(&error);
    return m->sockets != NULL;
}

static void log_start(const struct master *m)
{
    const struct passwd *pw;

    log_info(NULL, "posternd " POSTERN_VERSION " starts with %u cells", cells_wanted(m->config));
    if (privdrop_is_root())
        return;
    pw = getpwuid(geteuid());
    log_info(NULL, "not started as root: workers and auth helpers all run as user %s (%ld)",
             pw != NULL ? pw->pw_name : "?", (long)geteuid());
}

/* False if the schema is wrong. A database that is away may come up later, as the workers will see. */
static bool first_schema(const struct master *m)
{
    char *text = NULL;
    int outcome = probe_schema(m->config, &text);

    if (outcome == 0)
        tell(m, true, "%s", text);
    else if (outcome < 0)
        tell(m, false, "%s; logins get [SYS/TEMP] until it can be", text);
    mem_drop(&text);
    return outcome != 0;
}

/* What is left of the start: no more than that of it can fail. */
static bool settle(struct master *m, int background, int *signals_r)
{
    sigset_t set;

    m->logins = recent_new(LOGINS);
    m->limits = limits_new();
    if (m->logins == NULL || m->limits == NULL || !metrics_share() || !log_share() || !collation_share()) {
        tell(m, true, "could not share memory: %s", strerror(errno));
        return false;
    }
    /* Until here SIGTERM simply ended us: there was nothing to be tidied up. */
    master_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *signals_r = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (*signals_r < 0) {
        tell(m, true, "could not take signals: %s", strerror(errno));
        return false;
    }
    if (pid_file_write(m->config->daemon.pid_file) < 0) {
        tell(m, true, "could not write pid_file %s: %s", m->config->daemon.pid_file, strerror(errno));
        return false;
    }
    if (background >= 0 && detach_done(background) < 0) {
        tell(m, true, "could not go into the background: %s", strerror(errno));
        pid_file_remove(m->config->daemon.pid_file);
        return false;
    }
    return true;
}

/* Everything that can go wrong, while somebody is there to see it. */
static bool prepare(struct master *m, int *signals_r)
{
    int background = -1;

    if (!first_config(m) || !first_sockets(m))
        return false;
    if (!m->start->foreground && m->start->handover == NULL && (background = detach_fork()) < 0) {
        tell(m, true, "could not fork: %s", strerror(errno));
        return false;
    }
    return first_schema(m) && settle(m, background, signals_r);
}

/*
 * The file by a path that holds in any directory. Links are left as they are: they may point
 * elsewhere at the next reload.
 */
char *master_path(const char *file)
{
    char cwd[PATH_MAX], *path;
    size_t size;

    if (file[0] == '/' || getcwd(cwd, sizeof cwd) == NULL)
        return mem_str(file);
    size = strlen(cwd) + strlen(file) + 2;
    path = mem_alloc(size);
    snprintf(path, size, "%s/%s", cwd, file);
    return path;
}

int master_run(const struct master_start *start)
{
    struct master m = {
        .start = start, .file = master_path(start->file), .predecessor = -1, .metrics_fd = -1, .told = BUF_EMPTY,
        .login_cache = start->handover != NULL ? start->handover->login_cache : -1,
        .close_at = NEVER, .kill_at = NEVER, .metrics_at = NEVER,
        .successor = { .pipe = -1, .operator = -1, .kill_at = NEVER, .said = BUF_EMPTY },
    };
    int signals = -1;
    sigset_t hup;
    bool good;

    sandbox_no_new_rights();
    /* One that comes during the start is a reload after it, and not our end. */
    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hup, NULL);
    m.operators = operator_new(master_command, &m);
    good = prepare(&m, &signals);
    if (good) {
        log_start(&m);
        certs_warn(m.config);
        master_ends_new(&m);
        share_login_cache(&m);
        raise_limits(m.config);
        upgrade_settled(&m);
        if (m.predecessor < 0)
            open_control(&m);
        supervise(&m, signals);
        log_info(NULL, "posternd has stopped");
        pid_file_remove(m.config->daemon.pid_file);
        log_finish();
    }
    if (m.metrics_listen != NULL)
        master_metrics_stop(&m);
    /* Where the old master goes on, they are its sockets and its paths. */
    if (m.predecessor >= 0 || (start->handover != NULL && !good))
        sockets_leave(&m.sockets);
    sockets_free(&m.sockets, NULL);
    operator_free(&m.operators);
    buf_free(&m.told);
    tls_ends_free(&m.ends);
    recent_free(&m.logins);
    limits_free(&m.limits);
    if (m.login_cache >= 0)
        close(m.login_cache);
    config_free(&m.config);
    mem_free(m.old);
    mem_free(m.file);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
