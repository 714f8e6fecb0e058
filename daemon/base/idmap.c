/*
 * idmap.c - slots with a generation. An id is the number of its slot below and
 * the slot's generation above, so finding one is an index and a comparison.
 * A slot whose generations are used up is never given out again: an id is
 * never used twice, however long the process lives.
 */
#include "daemon/base/idmap.h"

#include "daemon/base/mem.h"

struct slot {
    void *p;            /* NULL: nobody waits here */
    uint32_t generation;
    uint32_t next;      /* in the list of free slots */
};

#define NONE UINT32_MAX

struct idmap {
    struct slot *slots;
    uint32_t used, cap;
    uint32_t free;
    size_t count;
};

struct idmap *idmap_new(void)
{
    struct idmap *map = mem_zalloc(sizeof *map);
    map->free = NONE;
    return map;
}

void idmap_free(struct idmap **map)
{
    if (*map == NULL)
        return;
    mem_free((*map)->slots);
    mem_free(*map);
    *map = NULL;
}

uint64_t idmap_put(struct idmap *map, void *p)
{
    uint32_t at = map->free;

    ASSERT(p != NULL);
    if (at != NONE) {
        map->free = map->slots[at].next;
    } else {
        if (map->used == map->cap) {
            ASSERT(map->cap < NONE / 2);
            map->cap = map->cap > 0 ? map->cap * 2 : 16;
            map->slots = mem_resize(map->slots, map->cap, sizeof *map->slots);
        }
        at = map->used++;
        map->slots[at].generation = 0;
    }
    struct slot *slot = &map->slots[at];
    slot->p = p;
    slot->generation++;     /* from 1, so that no id is 0 */
    map->count++;
    return (uint64_t)slot->generation << 32 | at;
}

static struct slot *find(const struct idmap *map, uint64_t id)
{
    uint32_t at = (uint32_t)id;
    if (at >= map->used)
        return NULL;
    struct slot *slot = &map->slots[at];
    return slot->p != NULL && slot->generation == id >> 32 ? slot : NULL;
}

void *idmap_get(const struct idmap *map, uint64_t id)
{
    const struct slot *slot = find(map, id);
    return slot != NULL ? slot->p : NULL;
}

void *idmap_take(struct idmap *map, uint64_t id)
{
    struct slot *slot = find(map, id);
    if (slot == NULL)
        return NULL;
    void *p = slot->p;
    slot->p = NULL;
    map->count--;
    if (slot->generation < UINT32_MAX) {
        slot->next = map->free;
        map->free = (uint32_t)id;
    }
    return p;
}

size_t idmap_count(const struct idmap *map)
{
    return map->count;
}

void idmap_each(struct idmap *map, void (*each)(void *p, void *arg), void *arg)
{
    for (uint32_t at = 0; at < map->used; at++)
        if (map->slots[at].p != NULL)
            each(map->slots[at].p, arg);
}
