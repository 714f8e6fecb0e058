/*
 * idmap.h - from a request id to the one who asked.
 *
 * An answer finds its asker by id and never by pointer: the asker may have
 * gone. Ids are never used twice in the life of a map; 0 is never an id.
 */
#ifndef POSTERN_BASE_IDMAP_H
#define POSTERN_BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap;

struct idmap *idmap_new(void);
void idmap_free(struct idmap **map);                  /* the pointers in it are not touched */
uint64_t idmap_put(struct idmap *map, void *p);       /* p is not NULL; returns its new id */
void *idmap_get(const struct idmap *map, uint64_t id); /* NULL if there is none */
void *idmap_take(struct idmap *map, uint64_t id);     /* the same, and it is out of the map */
size_t idmap_count(const struct idmap *map);
/* Calls each(p, arg) for all; `each` may take ids out, the one it is called for too, and must not put. */
void idmap_each(struct idmap *map, void (*each)(void *p, void *arg), void *arg);

#endif
