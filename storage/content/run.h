/*
 * run.h - octets of a content as the functions of the schema are given them.
 *
 * put_octets(), put_parts(), deliver() and recode() take them together with how many
 * octets they are. As long as that, a run is the octets as they are, and cut into
 * parts (postern.parts_of). One that is shorter is coded: for each segment its codec,
 * an octet, its length, three octets, most significant first, and so many octets
 * (postern.coded_parts).
 */
#ifndef POSTERN_STORAGE_RUN_H
#define POSTERN_STORAGE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/span.h"

/*
 * The run of these octets, which begin with a segment, and end with one or with
 * the content. Segments that hardly get shorter stay plain, and so does the run if all do.
 * It holds as long as `octets`, or until room is used again.
 */
struct span run_of(struct span octets, int32_t codec, struct buf *room);
/* Does this run hold these octets, and nothing else? */
bool run_holds(struct span run, struct span octets);

#endif
