/*
 * slots.h - a table of fixed size, in memory that several processes write at once:
 * some words are kept by a name, as long as there is room. Where there is none, an
 * entry that was not asked for lately makes room.
 *
 * There is no lock that a process which is killed could leave behind, and no order in
 * which words must be written. Each entry has a keyed checksum of its name and of all
 * its words, which is compared with the words as they were read: an entry that is half
 * written, or that two processes wrote at once, is not there. So it is for what may
 * be lost at any time, and asked for again.
 *
 * Each name has two sets of 8 places. Where both are full, an entry of one of them
 * is moved to its other set, if that has room. So with as many names as places 98 of 100
 * are found again, and with nine names for ten places all.
 */
#ifndef POSTERN_AUTH_SLOTS_H
#define POSTERN_AUTH_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOTS_WAYS = 8, SLOTS_WORDS_MAX = 16, SLOTS_KEY = 16, SLOTS_NAME = 16 };

/* A view of the memory, which is lent, as is the key. */
struct slots {
    unsigned char *memory;      /* slots_octets(), at a multiple of 8 */
    size_t sets;
    size_t words;               /* kept by each name */
    uint32_t idle_s;            /* what nobody has asked for in so many seconds has ended; 0: nothing ends by itself */
    const unsigned char *key;   /* SLOTS_KEY octets, not known to who chooses names */
};

/* Made by a keyed hash, all of it: which words belong to the name depends on nothing else. */
struct slots_name {
    unsigned char octets[SLOTS_NAME];
    uint64_t where;
};

/* Of so many sets; and of one entry, with its part of what a set has in common. */
size_t slots_octets(size_t sets, size_t words);
size_t slots_entry_octets(size_t words);

/* False: nothing is kept by this name, or not any more. now_s: seconds of a clock that all have in common. */
bool slots_get(const struct slots *slots, const struct slots_name *name, uint32_t now_s, uint64_t *words_r);
/* In place of what was kept by it. True: another entry, which had not ended, had to go. */
bool slots_put(const struct slots *slots, const struct slots_name *name, uint32_t now_s, const uint64_t *words);

#endif
