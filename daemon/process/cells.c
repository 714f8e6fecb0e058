/*
 * cells.c - which cells there are: those there should be, started and started
 * again with a pause between, and the old ones, which end by themselves.
 */
#include "daemon/process/cells.h"

#include <sched.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/net/tls_tickets.h"
#include "daemon/process/sockets.h"

#define NEVER UINT64_MAX

enum {
    FIRST_PAUSE_MS = 100,       /* before a cell that died is replaced; doubles up to respawn_pause */
    SOUND_MS = 10000,           /* a cell that lived so long was sound: the next pause is the first again */
    LOOKS = 5,                  /* within worker_watchdog, at each of which a worker that works has beaten again */
};

/* One of the cells there should be. */
struct slot {
    unsigned serves;            /* a set of protocols */
    struct cell *cell;          /* NULL: to be started at start_at */
    uint64_t start_at;
    uint64_t pause;             /* the last one */
};

struct cells {
    struct cell_plan plan;
    struct slot *slots;
    unsigned slot_count;
    struct cell **old;          /* incomplete, or of an earlier configuration: they end by themselves */
    size_t old_count, old_size;
    uint64_t look_at;           /* when to look for workers that hang; NEVER: not at all */
};

struct cells *cells_new(void)
{
    struct cells *c = mem_zalloc(sizeof *c);

    c->look_at = NEVER;
    return c;
}

void cells_free(struct cells **cells)
{
    if (*cells == NULL)
        return;
    mem_free((*cells)->slots);
    mem_free((*cells)->old);
    mem_free(*cells);
    *cells = NULL;
}

/* How many for each set of protocols with the same user. */
static unsigned wanted_each(const struct config *c)
{
    cpu_set_t cpus;

    if (c->daemon.cells > 0)
        return (unsigned)c->daemon.cells;
    /* Those that we may run on: a container often has fewer than the machine. */
    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
}

unsigned cells_wanted(const struct config *c, unsigned spoken)
{
    unsigned count = 0;

    for (unsigned set; spoken != 0; spoken &= ~set) {
        set = config_together(c, spoken);
        count += wanted_each(c);
    }
    return count;
}

/* From now on it is an old one: its worker accepts no more, what has sessions finishes them. */
static void put_aside(struct cells *c, struct cell *cell)
{
    if (c->old_count == c->old_size) {
        c->old_size = c->old_size > 0 ? 2 * c->old_size : 8;
        c->old = mem_resize(c->old, c->old_size, sizeof *c->old);
    }
    c->old[c->old_count++] = cell;
    cell_retire(cell);
}

/* The cell of this slot lost a member: put it aside, and say when the next one is due. */
static void slot_lost(struct cells *c, struct slot *slot, uint64_t now)
{
    uint64_t longest = (uint64_t)c->plan.config->daemon.respawn_pause;
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
    put_aside(c, cell);
    metric_add(METRIC_CELL_DEATHS, 1);
    log_warning(NULL, "replacing cell %u in %.1f s", cell_number(cell), (double)slot->pause / 1000);
}

void cells_start(struct cells *c, uint64_t now)
{
    /* A new cell gets the keys of now and knows none of before. */
    if (c->plan.config->tickets != NULL)
        tls_tickets_turn(c->plan.config->tickets, clock_ms());
    for (unsigned i = 0; i < c->slot_count; i++) {
        struct slot *slot = &c->slots[i];

        if (slot->cell != NULL || slot->start_at > now)
            continue;
        slot->cell = cell_new(i + 1, slot->serves, now, &c->plan);
        if (!cell_complete(slot->cell))
            slot_lost(c, slot, now);
    }
}

/* Empty ones, for what is spoken on the sockets. */
static void make_slots(struct cells *c)
{
    const struct config *config = c->plan.config;
    unsigned spoken = sockets_speak(c->plan.sockets, config), each = wanted_each(config), n = 0;

    c->slot_count = cells_wanted(config, spoken);
    c->slots = mem_array(c->slot_count, sizeof *c->slots);
    for (unsigned set; spoken != 0; spoken &= ~set) {
        set = config_together(config, spoken);
        for (unsigned i = 0; i < each; i++)
            c->slots[n++].serves = set;
    }
}

void cells_renew(struct cells *c, const struct cell_plan *plan, uint64_t now)
{
    struct slot *slots = c->slots;
    unsigned count = c->slot_count;

    c->plan = *plan;
    make_slots(c);
    cells_start(c, now);
    for (unsigned i = 0; i < count; i++) {
        if (slots[i].cell != NULL)
            put_aside(c, slots[i].cell);
    }
    mem_free(slots);
}

void cells_reap(struct cells *c, pid_t pid, int status, uint64_t now)
{
    for (unsigned i = 0; i < c->slot_count; i++) {
        struct slot *slot = &c->slots[i];

        if (slot->cell != NULL && cell_reap(slot->cell, pid, status) == 1) {
            slot_lost(c, slot, now);
            return;
        }
    }
    for (size_t i = 0; i < c->old_count; i++) {
        if (cell_reap(c->old[i], pid, status) == 1)
            return;
    }
    /* A stranger: as process 1 of a container we inherit those. */
}

void cells_sweep(struct cells *c)
{
    for (size_t i = c->old_count; i-- > 0;) {
        if (cell_empty(c->old[i])) {
            cell_free(&c->old[i]);
            c->old[i] = c->old[--c->old_count];
        }
    }
}

static void look_at(struct cell *cell, void *ms)
{
    cell_look(cell, LOOKS, *(const uint64_t *)ms);
}

void cells_look(struct cells *c, uint64_t now)
{
    uint64_t ms = (uint64_t)c->plan.config->daemon.worker_watchdog, pause = ms / LOOKS;

    if (ms == 0) {
        c->look_at = NEVER;
        return;
    }
    if (now >= c->look_at)
        cells_each(c, look_at, &ms);
    else if (c->look_at != NEVER && c->look_at - now <= pause)
        return;         /* else it is the first time, or the configuration has changed */
    c->look_at = now + pause;
}

void cells_retire(struct cells *c)
{
    for (unsigned i = 0; i < c->slot_count; i++) {
        if (c->slots[i].cell != NULL)
            put_aside(c, c->slots[i].cell);
    }
    mem_free(c->slots);
    c->slots = NULL;
    c->slot_count = 0;
}

void cells_each(struct cells *c, void (*each)(struct cell *cell, void *arg), void *arg)
{
    for (unsigned i = 0; i < c->slot_count; i++) {
        if (c->slots[i].cell != NULL)
            each(c->slots[i].cell, arg);
    }
    for (size_t i = 0; i < c->old_count; i++)
        each(c->old[i], arg);
}

void cells_tell_old(struct cells *c, void (*tell)(struct cell *cell))
{
    for (size_t i = 0; i < c->old_count; i++)
        tell(c->old[i]);
}

uint64_t cells_deadline(const struct cells *c)
{
    uint64_t next = c->look_at;

    for (unsigned i = 0; i < c->slot_count; i++) {
        if (c->slots[i].cell == NULL && c->slots[i].start_at < next)
            next = c->slots[i].start_at;
    }
    return next;
}

unsigned cells_count(const struct cells *c)
{
    return c->slot_count;
}

unsigned cells_count_with(const struct cells *c, unsigned needs)
{
    unsigned count = 0;

    for (unsigned i = 0; i < c->slot_count; i++)
        count += (protocols_need(c->slots[i].serves) & needs) != 0;
    return count;
}

bool cells_accepting(const struct cells *c)
{
    for (unsigned i = 0; i < c->slot_count; i++) {
        if (c->slots[i].cell != NULL)
            return true;
    }
    return false;
}

size_t cells_old(const struct cells *c)
{
    return c->old_count;
}
