/*
 * recent.c - times by key in shared memory, without a lock: a process that is
 * killed in the middle of a change leaves nothing locked behind.
 *
 * A slot is two words, the time and a seal over key and time. They are written
 * one after the other; a reader that meets halves of two writes finds that the
 * seal does not fit and answers "never", as it does for another key.
 */
#include "daemon/base/recent.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "daemon/base/mem.h"

struct slot {
    _Atomic uint64_t when;
    _Atomic uint64_t seal;
};

struct recent {
    struct slot *slots;     /* shared */
    size_t mask;
    size_t size;            /* of the mapping */
};

/* The finalizer of splitmix64: neighbouring keys (mailbox ids) go to far slots. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t seal(uint64_t key, uint64_t when)
{
    return mix(key + UINT64_C(0x9e3779b97f4a7c15)) ^ mix(when + UINT64_C(0x3c6ef372fe94f82a));
}

struct recent *recent_new(size_t slots)
{
    size_t n = 1, size;
    while (n < slots && n <= SIZE_MAX / 2)
        n *= 2;
    if (n < slots || __builtin_mul_overflow(n, sizeof(struct slot), &size)) {
        errno = ENOMEM;
        return NULL;
    }
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return NULL;
    struct recent *recent = mem_zalloc(sizeof *recent);
    recent->slots = shared;
    recent->mask = n - 1;
    recent->size = size;
    return recent;
}

void recent_free(struct recent **recent)
{
    if (*recent == NULL)
        return;
    munmap((*recent)->slots, (*recent)->size);
    mem_free(*recent);
    *recent = NULL;
}

uint64_t recent_get(const struct recent *recent, uint64_t key)
{
    struct slot *slot = &recent->slots[mix(key) & recent->mask];
    uint64_t found = atomic_load_explicit(&slot->seal, memory_order_acquire);
    uint64_t when = atomic_load_explicit(&slot->when, memory_order_relaxed);
    return found == seal(key, when) ? when : 0;
}

void recent_set(struct recent *recent, uint64_t key, uint64_t when)
{
    struct slot *slot = &recent->slots[mix(key) & recent->mask];
    atomic_store_explicit(&slot->when, when, memory_order_relaxed);
    atomic_store_explicit(&slot->seal, seal(key, when), memory_order_release);
}
