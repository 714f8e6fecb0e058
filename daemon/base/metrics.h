/*
 * metrics.h - counters, gauges and histograms, declared once in metrics.def and
 * kept in memory that all processes of the daemon share.
 *
 * Counters and histograms belong to the daemon, not to a process: one that dies
 * leaves what it counted. Gauges belong to a worker and end with it. To count
 * is one relaxed addition to a word that few others write. A process that was
 * not told to share counts for itself, and nobody reads it.
 *
 * Nothing here is by tenant, mailbox or address: these are not bounded, and the
 * log has them.
 */
#ifndef POSTERN_BASE_METRICS_H
#define POSTERN_BASE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

enum metric {
#define COUNTER(id, family, labels, help) METRIC_##id,
#define GAUGE(id, family, labels, help)
#define HISTOGRAM(id, family, help)
#define LONGEST(id, labels, help)
#include "daemon/base/metrics.def"
    METRIC_COUNT
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
};
enum metric_gauge {
#define COUNTER(id, family, labels, help)
#define GAUGE(id, family, labels, help) GAUGE_##id,
#define HISTOGRAM(id, family, help)
#define LONGEST(id, labels, help)
#include "daemon/base/metrics.def"
    GAUGE_COUNT
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
};
enum metric_histogram {
#define COUNTER(id, family, labels, help)
#define GAUGE(id, family, labels, help)
#define HISTOGRAM(id, family, help) HISTOGRAM_##id,
#define LONGEST(id, labels, help)
#include "daemon/base/metrics.def"
    HISTOGRAM_COUNT
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
};
enum metric_longest {
#define COUNTER(id, family, labels, help)
#define GAUGE(id, family, labels, help)
#define HISTOGRAM(id, family, help)
#define LONGEST(id, labels, help) LONGEST_##id,
#include "daemon/base/metrics.def"
    LONGEST_COUNT
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
};

enum { METRIC_BUCKETS = 17 };   /* upper bounds, and one more for what is above */

struct metric_stripe {
    _Atomic uint64_t counters[METRIC_COUNT];
    struct {
        _Atomic uint64_t buckets[METRIC_BUCKETS];
        _Atomic uint64_t sum_us;
    } histograms[HISTOGRAM_COUNT];
    _Atomic uint64_t longest[LONGEST_COUNT][2];     /* of a window of time each: metric_longest() */
};
extern struct metric_stripe *metrics_mine;      /* where this process counts */

static inline void metric_add(enum metric m, uint64_t n)
{
    atomic_fetch_add_explicit(&metrics_mine->counters[m], n, memory_order_relaxed);
}
/* One observation, in microseconds. */
void metric_time(enum metric_histogram h, uint64_t us);
/* The statement with this name, or LONGEST_OTHER. */
enum metric_longest metric_longest_of(const char *name);
/* One ran for so many microseconds until now_us (clock_us()). What is shown is the longest of the last minutes. */
enum { METRIC_WINDOW_US = 300000000 };
void metric_longest(enum metric_longest l, uint64_t now_us, uint64_t us);

/* In the master, before anything is forked. False with errno if there is no memory. */
bool metrics_share(void);
/* In a member of a cell. Those of cells whose numbers are equal modulo 64 count in one place. */
void metrics_use(unsigned cell);

/*
 * In the master: a seat for the gauges of a worker that is to be forked, -1 if there is none; and
 * when the worker has ended.
 */
int metrics_seat_take(void);
void metrics_seat_free(int seat);
/*
 * In the master: when the worker of this seat beat last; 0: not yet, or there is no seat. It says
 * no more than that it was another time.
 */
uint64_t metrics_seat_heard(int seat);
/* In the master: what the worker of this seat said last. */
uint64_t metrics_seat_gauge(int seat, enum metric_gauge g);
/* In that worker. A seat of -1 is allowed. */
void metrics_sit(int seat);
void metric_set(enum metric_gauge g, uint64_t value);
/* All gauges are set: they are those of now. */
void metrics_beat(void);

/* What workers that have been heard of within ten seconds say: how many they are, and the sum of a gauge. */
unsigned metrics_workers(void);
uint64_t metrics_gauge(enum metric_gauge g);
/* In the master: are there logins at all? Until it says no, there are. */
void metrics_logins(bool served);
/*
 * At least one worker can serve: it runs, its database answers, its schema is right; where there
 * are logins, it is one that serves them.
 */
bool metrics_ready(void);

/*
 * In the master: text that is shown too, as its children that are forked later will show it.
 * Copied. False: it is the same as before.
 */
bool metrics_set_more(const char *text, size_t len);
/* All of it, as Prometheus reads it: text format 0.0.4. */
void metrics_text(struct buf *out);

#endif
