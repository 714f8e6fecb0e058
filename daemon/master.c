/*
 * master.c - binds, forks cells, replaces those that die, reloads, ends.
 *
 * It has all the rights there are and therefore looks at nothing that a
 * stranger has sent: no client's octet, no answer of the database, no message
 * of a worker; only its file, the certificates and keys that it names, signals
 * and how processes ended.
 *
 * No signal handler anywhere: all signals are blocked for as long as it runs
 * and taken one at a time by sigtimedwait(), so that nothing happens in
 * between. Signals of one kind that come together count as one; therefore
 * every turn asks waitpid() until there is nothing more.
 */
#include "daemon/master.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/limit.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/recent.h"
#include "daemon/cell.h"
#include "daemon/certs.h"
#include "daemon/config.h"
#include "daemon/detach.h"
#include "daemon/net/tls_tickets.h"
#include "daemon/privdrop.h"
#include "daemon/probe.h"
#include "daemon/sd.h"
#include "daemon/sockets.h"

enum {
    FIRST_PAUSE_MS = 100,       /* before a cell that died is replaced; doubles up to respawn_pause */
    SOUND_MS = 10000,           /* a cell that lived so long was sound: the next pause is the first again */
    KILL_MS = 5000,             /* after drain_time, for what is left */
    LOGINS = 1 << 16,           /* slots of the table for LOGIN-DELAY: 1 MiB */
    SPARE_DESCRIPTORS = 64,     /* of a worker, beside sessions, lanes and helpers */
};
#define NEVER UINT64_MAX

/* One of the cells there should be. */
struct slot {
    struct cell *cell;          /* NULL: to be started at start_at */
    uint64_t start_at;
    uint64_t pause;             /* the last one */
};

struct master {
    const struct master_start *start;
    char *file;                 /* the same from any directory */
    struct config *config;
    struct sockets *sockets;
    struct recent *logins;
    struct limits *limits;
    struct slot *slots;
    unsigned slot_count;
    struct cell **old;          /* incomplete, or of an earlier configuration: they end by themselves */
    size_t old_count, old_size;
    bool stopping;
    uint64_t kill_at;
    uint64_t watchdog;          /* how often the service manager is told that all is well; 0: never */
    uint64_t ping_at;
};

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ cells */

static struct cell_plan plan_of(const struct master *m)
{
    return (struct cell_plan){ .config = m->config, .sockets = m->sockets, .logins = m->logins, .limits = m->limits };
}

static unsigned cells_wanted(const struct config *c)
{
    cpu_set_t cpus;

    if (c->daemon.cells > 0)
        return (unsigned)c->daemon.cells;
    /* Those that we may run on: a container often has fewer than the machine. */
    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
}

static void make_slots(struct master *m)
{
    m->slot_count = cells_wanted(m->config);
    m->slots = mem_array(m->slot_count, sizeof *m->slots);
}

/* From now on it is an old one: its worker accepts no more, what has sessions finishes them. */
static void put_aside(struct master *m, struct cell *cell)
{
    if (m->old_count == m->old_size) {
        m->old_size = m->old_size > 0 ? 2 * m->old_size : 8;
        m->old = mem_resize(m->old, m->old_size, sizeof *m->old);
    }
    m->old[m->old_count++] = cell;
    cell_retire(cell);
}

/* The cell of this slot lost a member: put it aside, and say when the next one is due. */
static void slot_lost(struct master *m, struct slot *slot, uint64_t now)
{
    uint64_t longest = (uint64_t)m->config->daemon.respawn_pause;
    struct cell *cell = slot->cell;

    if (cell_wrong_schema(cell))
        slot->pause = longest;      /* nothing to be gained by haste: somebody is upgrading, or has to */
    else if (slot->pause == 0 || now - cell_started(cell) >= SOUND_MS)
        slot->pause = FIRST_PAUSE_MS;
    else
        slot->pause *= 2;
    if (slot->pause > longest)
        slot->pause = longest;
    slot->start_at = now + slot->pause;
    slot->cell = NULL;
    put_aside(m, cell);
    if (!m->stopping)
        log_warning(NULL, "cell %u is replaced in %.1f s", cell_number(cell), (double)slot->pause / 1000);
}

/* Starts what is due. */
static void start_cells(struct master *m, uint64_t now)
{
    struct cell_plan plan = plan_of(m);

    /* A new cell gets the keys of now and knows none of before. */
    if (m->config->tickets != NULL)
        tls_tickets_turn(m->config->tickets, tls_tickets_clock());
    for (unsigned i = 0; i < m->slot_count; i++) {
        struct slot *slot = &m->slots[i];

        if (slot->cell != NULL || slot->start_at > now)
            continue;
        slot->cell = cell_new(i + 1, now, &plan);
        if (!cell_complete(slot->cell))
            slot_lost(m, slot, now);
    }
}

static void reap_one(struct master *m, pid_t pid, int status)
{
    for (unsigned i = 0; i < m->slot_count; i++) {
        struct slot *slot = &m->slots[i];

        if (slot->cell != NULL && cell_reap(slot->cell, pid, status) == 1) {
            slot_lost(m, slot, now_ms());
            return;
        }
    }
    for (size_t i = 0; i < m->old_count; i++) {
        if (cell_reap(m->old[i], pid, status) == 1)
            return;
    }
    /* A stranger: as process 1 of a container we inherit those. */
}

static void reap(struct master *m)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        reap_one(m, pid, status);
    for (size_t i = m->old_count; i-- > 0;) {
        if (cell_empty(m->old[i])) {
            cell_free(&m->old[i]);
            m->old[i] = m->old[--m->old_count];
        }
    }
}

static void put_all_aside(struct master *m)
{
    for (unsigned i = 0; i < m->slot_count; i++) {
        if (m->slots[i].cell != NULL)
            put_aside(m, m->slots[i].cell);
    }
    mem_free(m->slots);
    m->slots = NULL;
    m->slot_count = 0;
}

static void tell_all(struct master *m, void (*tell)(struct cell *cell))
{
    for (size_t i = 0; i < m->old_count; i++)
        tell(m->old[i]);
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

    return log_open(target, c->log_level, "posternd", error_r);
}

static void raise_limits(const struct config *c)
{
    uint64_t wanted = (uint64_t)c->daemon.sessions_per_worker + (uint64_t)c->storage.database_lanes +
                      (uint64_t)c->auth.auth_helpers + c->listeners.count * 2 + SPARE_DESCRIPTORS;
    uint64_t got = privdrop_descriptors(wanted);

    if (got < wanted)
        log_warning(NULL, "sessions_per_worker = %lld needs %llu descriptors, the limit is %llu: connections above it wait",
                    (long long)c->daemon.sessions_per_worker, (unsigned long long)wanted, (unsigned long long)got);
}

/* All of the new configuration, or none of it: what can fail comes first. */
static bool reload_config(struct master *m)
{
    const char *why = NULL;
    char *error = NULL;
    int problems;
    struct config *config = config_load(m->file, config_flags(m->start), config_log_problem, NULL, &problems);
    struct sockets *sockets;

    if (problems == 0)
        problems = certs_load(config, m->file, m->config, config_log_problem, NULL);
    if (problems > 0) {
        log_error(NULL, "reload: %d problems, the old configuration and its certificates stay", problems);
        config_free(&config);
        return false;
    }
    sockets = sockets_bind(config, m->sockets, &error);
    if (sockets == NULL) {
        log_error(NULL, "reload: %s, the old configuration stays", error);
        mem_free(error);
        config_free(&config);
        return false;
    }
    if (!open_log(m->start, config, &why)) {
        log_error(NULL, "reload: could not open the log %s: %s, the old configuration stays", config->daemon.log, why);
        sockets_free(&sockets, m->sockets);
        config_free(&config);
        return false;
    }
    if (strcmp(config->daemon.pid_file, m->config->daemon.pid_file) != 0) {
        if (pid_file_write(config->daemon.pid_file) < 0)
            log_warning(NULL, "could not write pid_file %s: %s", config->daemon.pid_file, strerror(errno));
        pid_file_remove(m->config->daemon.pid_file);
    }
    sockets_free(&m->sockets, sockets);
    m->sockets = sockets;
    config_free(&m->config);
    m->config = config;
    certs_warn(m->config);
    return true;
}

static void reload(struct master *m)
{
    struct slot *slots = m->slots;
    unsigned slot_count = m->slot_count;

    sd_notify_state("RELOADING=1");
    log_info(NULL, "reload: reading %s", m->file);
    if (reload_config(m)) {
        raise_limits(m->config);
        /* First the new ones, then no more of the old: somebody accepts all the time. */
        make_slots(m);
        start_cells(m, now_ms());
        for (unsigned i = 0; i < slot_count; i++) {
            if (slots[i].cell != NULL)
                put_aside(m, slots[i].cell);
        }
        mem_free(slots);
        log_info(NULL, "reload: %u cells with the new configuration, sessions of the old ones go on", m->slot_count);
    }
    sd_notify_state("READY=1");
}

/* -------------------------------------------------------------------- end */

static void stop(struct master *m)
{
    if (m->stopping) {
        log_info(NULL, "stopping at once");
        tell_all(m, cell_close);
        m->kill_at = now_ms() + KILL_MS;
        return;
    }
    m->stopping = true;
    sd_notify_state("STOPPING=1");
    log_info(NULL, "stopping: sessions have %.1f s to finish", (double)m->config->daemon.drain_time / 1000);
    sockets_free(&m->sockets, NULL);
    put_all_aside(m);
    tell_all(m, cell_drain);
    m->kill_at = now_ms() + (uint64_t)m->config->daemon.drain_time + KILL_MS;
}

static void kill_rest(struct master *m)
{
    log_warning(NULL, "killing what has not ended: %zu cells", m->old_count);
    tell_all(m, cell_kill);
    m->kill_at = NEVER;
}

/* -------------------------------------------------------------- main loop */

/* Those that the master takes. USR1 and USR2 mean nothing to it, but must not end a worker that is not ready for them. */
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
    uint64_t next = m->ping_at < m->kill_at ? m->ping_at : m->kill_at;

    for (unsigned i = 0; i < m->slot_count; i++) {
        if (m->slots[i].cell == NULL && m->slots[i].start_at < next)
            next = m->slots[i].start_at;
    }
    return next;
}

/* Returns the signal, or -1 when the deadline has come. */
static int wait_until(uint64_t deadline)
{
    sigset_t set;
    uint64_t now = now_ms();
    uint64_t ms = deadline > now ? deadline - now : 0;
    struct timespec ts = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

    master_signals(&set);
    return deadline == NEVER ? sigwaitinfo(&set, NULL) : sigtimedwait(&set, NULL, &ts);
}

static void supervise(struct master *m)
{
    m->kill_at = NEVER;
    m->watchdog = sd_watchdog();
    m->ping_at = m->watchdog > 0 ? now_ms() : NEVER;
    make_slots(m);
    start_cells(m, now_ms());
    tell_ready(m->start->ready_fd);
    for (;;) {
        int signo = wait_until(next_deadline(m));

        reap(m);
        if (signo == SIGHUP && !m->stopping)
            reload(m);
        else if (signo == SIGTERM || signo == SIGINT)
            stop(m);
        if (m->stopping && m->old_count == 0)
            return;
        if (now_ms() >= m->kill_at)
            kill_rest(m);
        start_cells(m, now_ms());
        ping(m, now_ms());
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
    if (log_descriptor() == STDERR_FILENO)
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
    return true;
}

static bool first_sockets(struct master *m)
{
    char *error = NULL;

    if (m->start->adopted_count > 0) {
        m->sockets = sockets_adopt(m->config, m->start->adopted, m->start->adopted_count, m->start->adopted_names, &error);
    } else {
        m->sockets = sockets_bind(m->config, NULL, &error);
    }
    if (m->sockets == NULL)
        tell(m, true, "%s", error);
    mem_free(error);
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
    mem_free(text);
    return outcome != 0;
}

/* What is left of the start: no more than that of it can fail. */
static bool settle(struct master *m, int background)
{
    sigset_t set;

    m->logins = recent_new(LOGINS);
    m->limits = limits_new();
    if (m->logins == NULL || m->limits == NULL) {
        tell(m, true, "could not share memory: %s", strerror(errno));
        return false;
    }
    /* Until here SIGTERM simply ended us: there was nothing to be tidied up. */
    master_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
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
static bool prepare(struct master *m)
{
    int background = -1;

    if (!first_config(m) || !first_sockets(m))
        return false;
    if (!m->start->foreground && (background = detach_fork()) < 0) {
        tell(m, true, "could not fork: %s", strerror(errno));
        return false;
    }
    return first_schema(m) && settle(m, background);
}

/* The file by a path that holds in any directory. Links are left as they are: they may point elsewhere at the next reload. */
static char *absolute(const char *file)
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
    struct master m = { .start = start, .file = absolute(start->file) };
    sigset_t hup;
    bool good;

    /* One that comes during the start is a reload after it, and not our end. */
    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hup, NULL);
    good = prepare(&m);
    if (good) {
        log_start(&m);
        certs_warn(m.config);
        raise_limits(m.config);
        supervise(&m);
        log_info(NULL, "posternd has stopped");
        pid_file_remove(m.config->daemon.pid_file);
    }
    sockets_free(&m.sockets, NULL);
    recent_free(&m.logins);
    limits_free(&m.limits);
    config_free(&m.config);
    mem_free(m.old);
    mem_free(m.file);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
