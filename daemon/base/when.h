/*
 * when.h - a moment of the past as people type it on a command line.
 */
#ifndef POSTERN_BASE_WHEN_H
#define POSTERN_BASE_WHEN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * "10m", "2h", "3d": so long ago, a duration as in the configuration, with its
 * unit; "now", "today", "yesterday": the beginning of that day; "2026-11-29",
 * "2026-11-29 10:00", "2026-11-29T10:00:30Z", "2026-11-29 10:00+02:00". What names
 * no zone is UTC. now and *at_r are seconds since 1970; a part of a second is
 * none. False for all else, and for what is after now: *why_r says why, static text.
 */
bool when_parse(const char *text, int64_t now, int64_t *at_r, const char **why_r);

#endif
