/*
 * primary.c - one word of shared memory, so that it is read without a lock and
 * half a change is never seen; and when its server was last heard, in another
 * cache line, as that changes all the time.
 */
#include "daemon/base/primary.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/base/fnv.h"

enum { CACHE_LINE = 64, HEARD_EVERY_MS = 1000 };

struct believed {
    atomic_uint_fast64_t now;       /* word_of() the server that is believed; 0: none yet */
    char apart[CACHE_LINE];
    atomic_uint_fast64_t heard;     /* clock_ms() */
};

static struct believed unshared;
static struct believed *in_use = &unshared;

static uint64_t word_of(struct primary_id id)
{
    return (uint64_t)id.cluster << 32 | id.timeline;
}

static struct primary_id id_of(uint64_t word)
{
    return (struct primary_id){ (uint32_t)(word >> 32), (uint32_t)word };
}

bool primary_read(const char *text, struct primary_id *id_r)
{
    const char *slash = strchr(text, '/');
    char *end;

    if (slash == NULL || slash == text || strlen(slash + 1) != 8)
        return false;
    unsigned long timeline = strtoul(slash + 1, &end, 16);
    if (*end != '\0' || timeline == 0 || timeline > UINT32_MAX)
        return false;
    *id_r = (struct primary_id){
        fnv1a(FNV1A_EMPTY, (struct span){ text, (size_t)(slash - text) }), (uint32_t)timeline
    };
    return true;
}

bool primary_share(void)
{
    void *memory = mmap(NULL, sizeof *in_use, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return false;
    if (in_use != &unshared)
        munmap(in_use, sizeof *in_use);
    in_use = memory;
    return true;
}

/* Nobody has heard of it for so long; somebody may have after `now` was taken. */
static bool is_quiet(uint64_t now, uint64_t ms)
{
    const uint64_t heard = atomic_load_explicit(&in_use->heard, memory_order_relaxed);

    return now > heard && now - heard >= ms;
}

enum primary_met primary_meet(struct primary_id id, uint64_t now)
{
    const uint64_t mine = word_of(id);
    uint_fast64_t believed = atomic_load(&in_use->now);

    do {
        const struct primary_id is = id_of(believed);
        if (believed == mine)
            break;
        if (believed != 0 && is.cluster == id.cluster && is.timeline > id.timeline)
            return PRIMARY_OLD;
        if (believed != 0 && is.cluster != id.cluster && !is_quiet(now, PRIMARY_QUIET_MS))
            return PRIMARY_FOREIGN;
    } while (!atomic_compare_exchange_weak(&in_use->now, &believed, mine));
    atomic_store(&in_use->heard, now);
    return believed == mine || believed == 0 ? PRIMARY_GOOD : PRIMARY_NEW;
}

bool primary_is(struct primary_id id)
{
    return atomic_load_explicit(&in_use->now, memory_order_acquire) == word_of(id);
}

void primary_heard(struct primary_id id, uint64_t now)
{
    if (primary_is(id) && is_quiet(now, HEARD_EVERY_MS))
        atomic_store_explicit(&in_use->heard, now, memory_order_relaxed);
}

struct primary_id primary_now(void)
{
    return id_of(atomic_load(&in_use->now));
}

const char *primary_advice(enum primary_met met)
{
    switch (met) {
    case PRIMARY_GOOD:
    case PRIMARY_NEW:
        break;
    case PRIMARY_OLD:
        return "the server is a primary of an older timeline than one that was met before, so another one has taken"
               " over: stop it, or make it a standby of that one; if a backup of that older time was restored,"
               " restart posternd";
    case PRIMARY_FOREIGN:
        return "the server belongs to another database cluster (another system identifier) than the one in use,"
               " which still answers: let `database` name servers of one cluster only";
    }
    return "";
}
