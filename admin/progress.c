/*
 * progress.c - one line on a terminal that tells how far a long job is.
 */
#include "admin/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"

static bool off;

void progress_off(void)
{
    off = true;
}

void progress_start(struct progress *p, const char *unit, int64_t total_octets)
{
    *p = (struct progress){
        .shown = !off && isatty(STDERR_FILENO) == 1, .unit = unit, .total = total_octets, .started = clock_ms()
    };
}

double progress_seconds(const struct progress *p)
{
    return (double)(clock_ms() - p->started) / 1000;
}

void progress_step(struct progress *p, uint64_t count, int64_t octets)
{
    uint64_t now, ms;

    if (!p->shown || (now = clock_ms()) - p->last < 200)
        return;
    p->last = now;
    ms = now - p->started > 0 ? now - p->started : 1;
    fprintf(stderr, "\r%llu %s  %.1f MB  %.0f/s  %.1f MB/s", (unsigned long long)count, p->unit, (double)octets / 1e6,
            (double)count * 1000 / (double)ms, (double)octets / 1e3 / (double)ms);
    if (p->total > 0 && octets > 0 && octets <= p->total) {
        int64_t left = (int64_t)((double)ms / 1000 * (double)(p->total - octets) / (double)octets);
        fprintf(stderr, "  %d%%  %lld:%02lld left", (int)(octets * 100 / p->total), (long long)(left / 60),
                (long long)(left % 60));
    }
    fputs("\033[K", stderr);
    p->drawn = true;
}

void progress_count(struct progress *p, uint64_t count, uint64_t total)
{
    uint64_t now;

    if (!p->shown || (now = clock_ms()) - p->last < 200)
        return;
    p->last = now;
    fprintf(stderr, "\r%llu of %llu %s\033[K", (unsigned long long)count, (unsigned long long)total, p->unit);
    p->drawn = true;
}

void progress_of(struct progress *p, uint64_t done, uint64_t total, uint64_t messages, int64_t octets)
{
    uint64_t now, ms;

    if (!p->shown || (now = clock_ms()) - p->last < 200)
        return;
    p->last = now;
    ms = now - p->started > 0 ? now - p->started : 1;
    fprintf(stderr, "\r%llu of %llu %s  %llu messages  %.1f MB  %.0f/s  %.1f MB/s", (unsigned long long)done,
            (unsigned long long)total, p->unit, (unsigned long long)messages, (double)octets / 1e6,
            (double)messages * 1000 / (double)ms, (double)octets / 1e3 / (double)ms);
    if (done > 0 && done < total) {
        uint64_t left = ms / done * (total - done) / 1000;

        fprintf(stderr, "  %llu:%02llu:%02llu left", (unsigned long long)(left / 3600),
                (unsigned long long)(left / 60 % 60), (unsigned long long)(left % 60));
    }
    fputs("\033[K", stderr);
    p->drawn = true;
}

void progress_wait(struct progress *p, const char *what)
{
    if (!p->shown)
        return;
    fprintf(stderr, "\r%s: %llu s\033[K", what, (unsigned long long)((clock_ms() - p->started) / 1000));
    p->drawn = true;
}

void progress_keep_rate(const struct progress *p, uint64_t octets, int64_t octets_per_second)
{
    double ahead;

    if (octets_per_second == 0)
        return;
    ahead = (double)octets / (double)octets_per_second - progress_seconds(p);
    if (ahead > 0) {
        struct timespec t = { (time_t)ahead, (long)((ahead - (double)(time_t)ahead) * 1e9) };
        nanosleep(&t, NULL);
    }
}

void progress_clear(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
