/*
 * master_cells.c - which cells there are: those there should be, started and
 * started again with a pause between, and the old ones, which end by themselves.
 */
#include <sched.h>
#include <sys/wait.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/process/master_impl.h"
#include "daemon/net/tls_tickets.h"

enum {
    FIRST_PAUSE_MS = 100,       /* before a cell that died is replaced; doubles up to respawn_pause */
    SOUND_MS = 10000,           /* a cell that lived so long was sound: the next pause is the first again */
    LOOKS = 5,                  /* within worker_watchdog, at each of which a worker that works has beaten again */
};

static struct cell_plan plan_of(const struct master *m)
{
    return (struct cell_plan){ .config = m->config, .sockets = m->sockets, .logins = m->logins, .limits = m->limits,
        .login_cache = m->login_cache };
}

unsigned cells_wanted(const struct config *c)
{
    cpu_set_t cpus;

    if (c->daemon.cells > 0)
        return (unsigned)c->daemon.cells;
    /* Those that we may run on: a container often has fewer than the machine. */
    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
}

void cells_make(struct master *m)
{
    m->slot_count = cells_wanted(m->config);
    m->slots = mem_array(m->slot_count, sizeof *m->slots);
}

void cells_put_aside(struct master *m, struct cell *cell)
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
    cells_put_aside(m, cell);
    metric_add(METRIC_CELL_DEATHS, m->stopping ? 0 : 1);
    if (!m->stopping)
        log_warning(NULL, "cell %u is replaced in %.1f s", cell_number(cell), (double)slot->pause / 1000);
}

void cells_start(struct master *m, uint64_t now)
{
    struct cell_plan plan = plan_of(m);

    /* A new cell gets the keys of now and knows none of before. */
    if (m->config->tickets != NULL)
        tls_tickets_turn(m->config->tickets, clock_ms());
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
    if (master_metrics_reap(m, pid) || upgrade_reap(m, pid, status))
        return;
    for (unsigned i = 0; i < m->slot_count; i++) {
        struct slot *slot = &m->slots[i];

        if (slot->cell != NULL && cell_reap(slot->cell, pid, status) == 1) {
            slot_lost(m, slot, master_now());
            return;
        }
    }
    for (size_t i = 0; i < m->old_count; i++) {
        if (cell_reap(m->old[i], pid, status) == 1)
            return;
    }
    /* A stranger: as process 1 of a container we inherit those. */
}

void cells_reap(struct master *m)
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

static void look_at(struct cell *cell, void *ms)
{
    cell_look(cell, LOOKS, *(const uint64_t *)ms);
}

void cells_look(struct master *m, uint64_t now)
{
    uint64_t ms = (uint64_t)m->config->daemon.worker_watchdog, pause = ms / LOOKS;

    if (ms == 0) {
        m->look_at = NEVER;
        return;
    }
    if (now >= m->look_at)
        master_each_cell(m, look_at, &ms);
    else if (m->look_at != NEVER && m->look_at - now <= pause)
        return;         /* else it is the first time, or the configuration has changed */
    m->look_at = now + pause;
}

void cells_put_all_aside(struct master *m)
{
    for (unsigned i = 0; i < m->slot_count; i++) {
        if (m->slots[i].cell != NULL)
            cells_put_aside(m, m->slots[i].cell);
    }
    mem_free(m->slots);
    m->slots = NULL;
    m->slot_count = 0;
}

void master_each_cell(struct master *m, void (*each)(struct cell *cell, void *arg), void *arg)
{
    for (unsigned i = 0; i < m->slot_count; i++) {
        if (m->slots[i].cell != NULL)
            each(m->slots[i].cell, arg);
    }
    for (size_t i = 0; i < m->old_count; i++)
        each(m->old[i], arg);
}

void cells_tell_old(struct master *m, void (*tell)(struct cell *cell))
{
    for (size_t i = 0; i < m->old_count; i++)
        tell(m->old[i]);
}
