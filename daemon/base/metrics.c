/*
 * metrics.c - the shared table, and its text.
 *
 * Owns the mapping. Every process of the daemon can write all of it, the less
 * trusted ones too: what is read here are numbers, never pointers, sizes or
 * text, so a worker that was taken over can lie and do no more.
 */
#include "daemon/base/metrics.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"

enum {
    STRIPES = 64,
    SEATS = 2048,               /* workers at once, with those that drain */
    STALE_MS = 10000,
};

struct seat {
    _Atomic uint64_t taken;
    _Atomic uint64_t beat_ms;   /* 0: never heard of */
    _Atomic uint64_t gauges[GAUGE_COUNT];
};

/* Pages that are never written cost nothing. */
struct table {
    _Alignas(64) struct metric_stripe stripes[STRIPES];
    struct seat seats[SEATS];
    uint64_t started;           /* seconds since 1970 */
    _Atomic uint64_t no_logins; /* nobody logs in here: deliveries only */
};

static struct metric_stripe own;
static struct table *table;     /* NULL: not shared */
static struct seat *my_seat;
static struct buf more = BUF_EMPTY; /* not shared: names of files, which no worker may write */
struct metric_stripe *metrics_mine = &own;

/* Upper bounds in microseconds, and as Prometheus has them. */
static const struct bound {
    uint64_t us;
    const char *text;
} bounds[METRIC_BUCKETS - 1] = {
    { 100, "0.0001" }, { 250, "0.00025" }, { 500, "0.0005" }, { 1000, "0.001" }, { 2500, "0.0025" }, { 5000, "0.005" },
    { 10000, "0.01" }, { 25000, "0.025" }, { 50000, "0.05" }, { 100000, "0.1" }, { 250000, "0.25" }, { 500000, "0.5" },
    { 1000000, "1" }, { 2500000, "2.5" }, { 5000000, "5" }, { 10000000, "10" },
};

static const struct row {
    enum { ROW_COUNTER, ROW_GAUGE, ROW_HISTOGRAM, ROW_LONGEST } kind;
    unsigned id;
    const char *family, *labels, *help;
} rows[] = {
#define COUNTER(id, family, labels, help) { ROW_COUNTER, METRIC_##id, family, labels, help },
#define GAUGE(id, family, labels, help) { ROW_GAUGE, GAUGE_##id, family, labels, help },
#define HISTOGRAM(id, family, help) { ROW_HISTOGRAM, HISTOGRAM_##id, family, "", help },
#define LONGEST(id, labels, help) { ROW_LONGEST, LONGEST_##id, "database_statement_longest_seconds", labels, help },
#include "daemon/base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
};

static const char *const statements[] = {
#define COUNTER(id, family, labels, help)
#define GAUGE(id, family, labels, help)
#define HISTOGRAM(id, family, help)
#define LONGEST(id, labels, help) #id,
#include "daemon/base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
};

static uint64_t read_word(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* ------------------------------------------------------------------ counting */

void metric_time(enum metric_histogram h, uint64_t us)
{
    unsigned i = 0;

    while (i < METRIC_BUCKETS - 1 && us > bounds[i].us)
        i++;
    atomic_fetch_add_explicit(&metrics_mine->histograms[h].buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metrics_mine->histograms[h].sum_us, us, memory_order_relaxed);
}

enum metric_longest metric_longest_of(const char *name)
{
    for (unsigned i = 0; i < LONGEST_COUNT; i++)
        if (strcmp(statements[i], name) == 0)
            return (enum metric_longest)i;
    return LONGEST_OTHER;
}

/*
 * Time is cut into windows of five minutes, and there are two words: that of the window that lasts,
 * and of the one before it. A word has the number of its window above the microseconds, so that one
 * that is older is neither shown nor kept.
 */
enum { LONGEST_BITS = 40 };

static uint64_t window_of(uint64_t us)
{
    return us / METRIC_WINDOW_US & (UINT64_MAX >> LONGEST_BITS);
}

void metric_longest(enum metric_longest l, uint64_t now_us, uint64_t us)
{
    const uint64_t window = window_of(now_us), most = (UINT64_C(1) << LONGEST_BITS) - 1;
    const uint64_t word = window << LONGEST_BITS | (us < most ? us : most);
    _Atomic uint64_t *at = &metrics_mine->longest[l][window % 2];
    uint64_t is = atomic_load_explicit(at, memory_order_relaxed);

    while ((is >> LONGEST_BITS != window || is < word) &&
           !atomic_compare_exchange_weak_explicit(at, &is, word, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void metric_set(enum metric_gauge g, uint64_t value)
{
    if (my_seat != NULL)
        atomic_store_explicit(&my_seat->gauges[g], value, memory_order_relaxed);
}

void metrics_beat(void)
{
    if (my_seat != NULL)
        atomic_store_explicit(&my_seat->beat_ms, clock_ms(), memory_order_release);
}

/* ------------------------------------------------------------------- sharing */

static void count_dropped(size_t lines)
{
    metric_add(METRIC_LOG_DROPPED, lines);
}

bool metrics_share(void)
{
    void *shared = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (shared == MAP_FAILED)
        return false;
    table = shared;
    table->started = (uint64_t)time(NULL);
    metrics_mine = &table->stripes[0];
    log_when_dropped(count_dropped);
    return true;
}

void metrics_use(unsigned cell)
{
    if (table != NULL)
        metrics_mine = &table->stripes[cell % STRIPES];
}

static void clear(struct seat *seat)
{
    atomic_store_explicit(&seat->beat_ms, 0, memory_order_relaxed);
    for (unsigned g = 0; g < GAUGE_COUNT; g++)
        atomic_store_explicit(&seat->gauges[g], 0, memory_order_relaxed);
}

int metrics_seat_take(void)
{
    for (int i = 0; table != NULL && i < SEATS; i++) {
        if (read_word(&table->seats[i].taken) != 0)
            continue;
        atomic_store_explicit(&table->seats[i].taken, 1, memory_order_relaxed);
        return i;
    }
    return -1;
}

void metrics_seat_free(int seat)
{
    if (seat < 0)
        return;
    ASSERT(seat < SEATS);
    clear(&table->seats[seat]);
    atomic_store_explicit(&table->seats[seat].taken, 0, memory_order_relaxed);
}

uint64_t metrics_seat_heard(int seat)
{
    ASSERT(seat < SEATS);
    return seat >= 0 ? atomic_load_explicit(&table->seats[seat].beat_ms, memory_order_acquire) : 0;
}

uint64_t metrics_seat_gauge(int seat, enum metric_gauge g)
{
    ASSERT(seat < SEATS);
    return seat >= 0 ? read_word(&table->seats[seat].gauges[g]) : 0;
}

void metrics_sit(int seat)
{
    ASSERT(seat < SEATS);
    my_seat = seat >= 0 ? &table->seats[seat] : NULL;
}

/* ------------------------------------------------------------------- reading */

static bool is_heard(const struct seat *seat, uint64_t now)
{
    uint64_t beat = atomic_load_explicit(&seat->beat_ms, memory_order_acquire);

    return beat != 0 && (beat > now || now - beat <= STALE_MS);
}

unsigned metrics_workers(void)
{
    unsigned n = 0;
    uint64_t now = clock_ms();

    for (int i = 0; table != NULL && i < SEATS; i++)
        n += is_heard(&table->seats[i], now);
    return n;
}

uint64_t metrics_gauge(enum metric_gauge g)
{
    uint64_t sum = 0, now = clock_ms();

    for (int i = 0; table != NULL && i < SEATS; i++) {
        if (is_heard(&table->seats[i], now))
            sum += read_word(&table->seats[i].gauges[g]);
    }
    return sum;
}

void metrics_logins(bool served)
{
    if (table != NULL)
        atomic_store_explicit(&table->no_logins, !served, memory_order_relaxed);
}

bool metrics_ready(void)
{
    if (table != NULL && read_word(&table->no_logins) != 0)
        return metrics_gauge(GAUGE_LMTP_LANES_UP) > 0;
    return metrics_gauge(GAUGE_LANES_UP) > 0 && metrics_gauge(GAUGE_HELPERS) > 0;
}

static uint64_t counted(unsigned id)
{
    uint64_t sum = 0;

    for (int i = 0; i < STRIPES; i++)
        sum += read_word(&table->stripes[i].counters[id]);
    return sum;
}

static void histogram_text(struct buf *out, const struct row *row)
{
    uint64_t below = 0, sum = 0;

    for (unsigned b = 0; b < METRIC_BUCKETS; b++) {
        for (int i = 0; i < STRIPES; i++)
            below += read_word(&table->stripes[i].histograms[row->id].buckets[b]);
        buf_addf(out, "postern_%s_bucket{le=\"%s\"} %llu\n", row->family,
                 b < METRIC_BUCKETS - 1 ? bounds[b].text : "+Inf", (unsigned long long)below);
    }
    for (int i = 0; i < STRIPES; i++)
        sum += read_word(&table->stripes[i].histograms[row->id].sum_us);
    buf_addf(out, "postern_%s_sum %llu.%06llu\npostern_%s_count %llu\n", row->family,
             (unsigned long long)(sum / 1000000), (unsigned long long)(sum % 1000000), row->family,
             (unsigned long long)below);
}

static uint64_t longest(unsigned id)
{
    const uint64_t window = window_of(clock_us()), before = window_of(clock_us() - METRIC_WINDOW_US);
    uint64_t most = 0;

    for (int i = 0; i < 2 * STRIPES; i++) {
        uint64_t word = read_word(&table->stripes[i / 2].longest[id][i % 2]);
        uint64_t us = word & ((UINT64_C(1) << LONGEST_BITS) - 1);

        if ((word >> LONGEST_BITS == window || word >> LONGEST_BITS == before) && us > most)
            most = us;
    }
    return most;
}

static void row_text(struct buf *out, const struct row *row)
{
    static const char *const kinds[] = {
        [ROW_COUNTER] = "counter", [ROW_GAUGE] = "gauge", [ROW_HISTOGRAM] = "histogram", [ROW_LONGEST] = "gauge"
    };
    bool labels = row->labels[0] != '\0';

    if (row->help[0] != '\0')
        buf_addf(out, "# HELP postern_%s %s\n# TYPE postern_%s %s\n", row->family, row->help, row->family,
                 kinds[row->kind]);
    if (row->kind == ROW_HISTOGRAM) {
        histogram_text(out, row);
        return;
    }
    if (row->kind == ROW_LONGEST) {
        uint64_t us = longest(row->id);
        buf_addf(out, "postern_%s{%s} %llu.%06llu\n", row->family, row->labels, (unsigned long long)(us / 1000000),
                 (unsigned long long)(us % 1000000));
        return;
    }
    buf_addf(
        out, "postern_%s%s%s%s %llu\n", row->family, labels ? "{" : "", row->labels, labels ? "}" : "",
        (unsigned long long)(row->kind == ROW_COUNTER ? counted(row->id) : metrics_gauge((enum metric_gauge)row->id)));
}

static void one_text(struct buf *out, const char *name, const char *help, uint64_t value)
{
    buf_addf(out, "# HELP postern_%s %s\n# TYPE postern_%s gauge\npostern_%s %llu\n", name, help, name, name,
             (unsigned long long)value);
}

bool metrics_set_more(const char *text, size_t len)
{
    if (span_is(buf_span(&more), (struct span){ text, len }))
        return false;
    buf_clear(&more);
    buf_add(&more, text, len);
    return true;
}

void metrics_text(struct buf *out)
{
    if (table == NULL)
        return;
    buf_addf(out, "# HELP postern_info The version of Postern.\n# TYPE postern_info gauge\n"
                  "postern_info{version=\"" POSTERN_VERSION "\"} 1\n");
    one_text(out, "start_time_seconds", "Start time of the master, in seconds since 1970.", table->started);
    one_text(out, "workers", "Running workers.", metrics_workers());
    one_text(out, "ready",
             "1 if a worker has a database with the right schema and auth helpers, else 0.",
             metrics_ready() ? 1 : 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        row_text(out, &rows[i]);
    buf_add(out, buf_span(&more).at, buf_left(&more));
}
