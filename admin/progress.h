/*
 * progress.h - one line on a terminal that tells how far a long job is.
 * Silent where standard error is not a terminal.
 */
#ifndef POSTERN_ADMIN_PROGRESS_H
#define POSTERN_ADMIN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown;             /* there is a terminal */
    bool drawn;             /* a line stands there */
    const char *unit;       /* "messages" */
    int64_t total;          /* octets */
    uint64_t started, last; /* clock_ms() */
};

/* This process draws nothing from now on: its parent does. */
void progress_off(void);
void progress_start(struct progress *p, const char *unit, int64_t total_octets);
/* Draws at most five times a second. */
void progress_step(struct progress *p, uint64_t count, int64_t octets);
/* The same for a job whose size is known, and no octets: "12000 of 50000 mailboxes". */
void progress_count(struct progress *p, uint64_t count, uint64_t total);
/* Both: "12 of 1000 mailboxes  34000 messages ...", and how long the rest takes if it is like what was done. */
void progress_of(struct progress *p, uint64_t done, uint64_t total, uint64_t messages, int64_t octets);
/* Says that something is still being done: "WHAT: 12 s", of a job of which nobody can tell how far it is. */
void progress_wait(struct progress *p, const char *what);
/* Takes the line away: before anything else is printed, and at the end. */
void progress_clear(struct progress *p);
/* Sleeps for as long as so many octets came too early; 0: there is no limit. */
void progress_keep_rate(const struct progress *p, uint64_t octets, int64_t octets_per_second);
/* Seconds since the start. */
double progress_seconds(const struct progress *p);

#endif
