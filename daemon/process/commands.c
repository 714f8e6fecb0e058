/*
 * commands.c - what an operator may ask of the master.
 *
 * Each command looks at its words, does one thing or passes it on to the
 * workers, and says what came of it. None waits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/control.h"
#include "daemon/base/log.h"
#include "daemon/base/metrics.h"
#include "daemon/base/num.h"
#include "daemon/base/traced.h"
#include "daemon/process/master_impl.h"
#include "daemon/control/orders.h"

struct posting {
    const struct order *order;
    int passed;
    unsigned taken;
};

static void post(struct cell *cell, void *arg)
{
    struct posting *p = arg;

    p->taken += cell_order(cell, p->order, p->passed);
}

static unsigned post_all(struct master *m, const struct order *order, int passed)
{
    struct posting p = { order, passed, 0 };

    master_each_cell(m, post, &p);
    return p.taken;
}

static bool seconds(const char *word, uint64_t *seconds_r)
{
    return num_parse(span_str(word), CONTROL_SECONDS_MAX, seconds_r) == 1;
}

/* -------------------------------------------------------------- the commands */

static void command_reload(struct master *m, int fd, char **words, size_t count)
{
    (void)words;
    (void)count;
    if (master_reload(m)) {
        operator_sayf(fd, "OK reloaded, %u cells with the new configuration", m->slot_count);
        if (m->told.len > 0)
            operator_say(fd, m->told.data, m->told.len);
        return;
    }
    operator_sayf(fd, "ERR the old configuration stays:");
    operator_say(fd, m->told.data, m->told.len);
}

static void command_drain(struct master *m, int fd, char **words, size_t count)
{
    uint64_t s = (uint64_t)m->config->daemon.drain_time / 1000;

    if (count == 2 && !seconds(words[1], &s)) {
        operator_sayf(fd, "ERR drain [SECONDS]");
        return;
    }
    operator_sayf(fd, "OK draining, sessions have %llu s to finish", (unsigned long long)s);
    master_stop(m, s * 1000);
}

static void command_upgrade(struct master *m, int fd, char **words, size_t count)
{
    (void)words;
    (void)count;
    upgrade_start(m, fd);
}

static void command_log_level(struct master *m, int fd, char **words, size_t count)
{
    static const char *const levels[] = { LOG_LEVEL_WORDS };

    (void)m;
    (void)count;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(levels[i], words[1]) != 0)
            continue;
        log_info(NULL, "control: log-level %s", levels[i]);
        log_set_level((enum log_level)i);
        operator_sayf(fd, "OK log level is %s until the next reload", levels[i]);
        return;
    }
    operator_sayf(fd, "ERR log-level error|warning|info|debug");
}

static void command_kick(struct master *m, int fd, char **words, size_t count)
{
    struct order order = { .what = ORDER_KICK };

    (void)count;
    if (strlen(words[1]) >= sizeof order.subject) {
        operator_sayf(fd, "ERR that is neither an address nor a session");
        return;
    }
    strcpy(order.subject, words[1]);
    log_info(NULL, "control: kick %s", log_text(span_str(words[1])).s);
    /* How many will answer is known last: a worker may be faster, and its lines then come before this one. */
    operator_sayf(fd, "OK %u", post_all(m, &order, fd));
}

static void command_trace(struct master *m, int fd, char **words, size_t count)
{
    struct order order = { .what = ORDER_TRACE };
    uint64_t s = 0, now = master_now();

    (void)count;
    if (!traced_is_subject(words[1]) || !seconds(words[2], &s)) {
        operator_sayf(fd, "ERR trace ADDRESS|PEER|NETWORK SECONDS");
        return;
    }
    order.until = s > 0 ? now + s * 1000 : 0;
    /* Workers that are started later have it from us. */
    if (!traced_set(words[1], order.until, now)) {
        operator_sayf(fd, "ERR %d are traced already", TRACED_MAX);
        return;
    }
    strcpy(order.subject, words[1]);
    log_info(NULL, "control: trace %s for %llu s", log_text(span_str(words[1])).s, (unsigned long long)s);
    post_all(m, &order, -1);
    if (s > 0)
        operator_sayf(fd, "OK traced for %llu s", (unsigned long long)s);
    else
        operator_sayf(fd, "OK no longer traced");
}

static void command_status(struct master *m, int fd, char **words, size_t count)
{
    struct buf text = BUF_EMPTY;

    (void)m;
    (void)words;
    (void)count;
    buf_add_str(&text, "OK\n");
    metrics_text(&text);
    operator_say(fd, text.data, text.len);
    buf_free(&text);
}

static const struct row {
    const char *word;
    size_t fewest, most;        /* words, with that one */
    bool stopping;              /* also while the master stops */
    void (*run)(struct master *m, int fd, char **words, size_t count);
} rows[] = {
    { "reload", 1, 1, false, command_reload },
    { "drain", 1, 2, true, command_drain },
    { "upgrade", 1, 1, false, command_upgrade },
    { "log-level", 2, 2, true, command_log_level },
    { "kick", 2, 2, true, command_kick },
    { "trace", 3, 3, true, command_trace },
    { "status", 1, 1, true, command_status },
};

void master_command(void *arg, int fd, char **words, size_t count)
{
    struct master *m = arg;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];

        if (strcmp(row->word, words[0]) != 0)
            continue;
        if (count < row->fewest || count > row->most)
            operator_sayf(fd, "ERR wrong arguments for %s", row->word);
        else if (m->stopping && !row->stopping)
            operator_sayf(fd, "ERR this posternd is stopping");
        else
            row->run(m, fd, words, count);
        return;
    }
    operator_sayf(fd, "ERR unknown command");
}
