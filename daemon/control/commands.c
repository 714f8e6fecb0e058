/*
 * commands.c - what an operator may ask of the master: a row and a function for
 * each verb.
 *
 * Each command looks at its words, has the master do one thing or pass it on to
 * the workers, and says what came of it. None waits.
 */
#include "daemon/control/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/buf.h"
#include "daemon/base/control.h"
#include "daemon/base/log.h"
#include "daemon/base/metrics.h"
#include "daemon/base/num.h"
#include "daemon/base/traced.h"
#include "daemon/control/operator.h"
#include "daemon/control/orders.h"

/* One that came. */
struct command {
    int fd;
    char **words;
    size_t count;
    uint64_t now;
};

static bool seconds(const char *word, uint64_t *seconds_r)
{
    return num_parse(span_str(word), CONTROL_SECONDS_MAX, seconds_r) == 1;
}

/* -------------------------------------------------------------- the commands */

static void command_reload(const struct commands *c, const struct command *command)
{
    struct span told;
    unsigned cells;

    if (c->calls->reload(c->arg, &told, &cells))
        operator_sayf(command->fd, "OK reloaded, %u cells with the new configuration", cells);
    else
        operator_sayf(command->fd, "ERR the old configuration stays in effect:");
    if (told.len > 0)
        operator_say(command->fd, told.at, told.len);
}

static void command_drain(const struct commands *c, const struct command *command)
{
    uint64_t s = c->calls->drain_time(c->arg) / 1000;

    if (command->count == 2 && !seconds(command->words[1], &s)) {
        operator_sayf(command->fd, "ERR drain [SECONDS]");
        return;
    }
    operator_sayf(command->fd, "OK draining, sessions have %llu s to finish", (unsigned long long)s);
    c->calls->drain(c->arg, s * 1000);
}

static void command_upgrade(const struct commands *c, const struct command *command)
{
    c->calls->upgrade(c->arg, command->fd);
}

static void command_log_level(const struct commands *c, const struct command *command)
{
    static const char *const levels[] = { LOG_LEVEL_WORDS };

    (void)c;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(levels[i], command->words[1]) != 0)
            continue;
        log_info(NULL, "control: log-level %s", levels[i]);
        log_set_level((enum log_level)i);
        operator_sayf(command->fd, "OK log level is %s until the next reload", levels[i]);
        return;
    }
    operator_sayf(command->fd, "ERR log-level error|warning|info|debug");
}

static void command_kick(const struct commands *c, const struct command *command)
{
    struct order order = { .what = ORDER_KICK };

    if (strlen(command->words[1]) >= sizeof order.subject) {
        operator_sayf(command->fd, "ERR neither an address nor a session");
        return;
    }
    strcpy(order.subject, command->words[1]);
    log_info(NULL, "control: kick %s", log_text(span_str(command->words[1])).s);
    /* How many will answer is known last: a worker may be faster, and its lines then come before this one. */
    operator_sayf(command->fd, "OK %u", c->calls->post(c->arg, &order, command->fd));
}

static void command_trace(const struct commands *c, const struct command *command)
{
    struct order order = { .what = ORDER_TRACE };
    uint64_t s = 0;

    if (!traced_is_subject(command->words[1]) || !seconds(command->words[2], &s)) {
        operator_sayf(command->fd, "ERR trace ADDRESS|PEER|NETWORK SECONDS");
        return;
    }
    order.until = s > 0 ? command->now + s * 1000 : 0;
    /* Workers that are started later have it from us. */
    if (!traced_set(command->words[1], order.until, command->now)) {
        operator_sayf(command->fd, "ERR %d addresses and networks are already traced", TRACED_MAX);
        return;
    }
    strcpy(order.subject, command->words[1]);
    log_info(NULL, "control: trace %s for %llu s", log_text(span_str(command->words[1])).s, (unsigned long long)s);
    c->calls->post(c->arg, &order, -1);
    if (s > 0)
        operator_sayf(command->fd, "OK traced for %llu s", (unsigned long long)s);
    else
        operator_sayf(command->fd, "OK no longer traced");
}

static void command_status(const struct commands *c, const struct command *command)
{
    struct buf text = BUF_EMPTY;

    (void)c;
    buf_add_str(&text, "OK\n");
    metrics_text(&text);
    operator_say(command->fd, text.data, text.len);
    buf_free(&text);
}

static const struct row {
    const char *word;
    size_t fewest, most;        /* words, with that one */
    bool stopping;              /* also while the master stops */
    void (*run)(const struct commands *c, const struct command *command);
} rows[] = {
    { "reload", 1, 1, false, command_reload },
    { "drain", 1, 2, true, command_drain },
    { "upgrade", 1, 1, false, command_upgrade },
    { "log-level", 2, 2, true, command_log_level },
    { "kick", 2, 2, true, command_kick },
    { "trace", 3, 3, true, command_trace },
    { "status", 1, 1, true, command_status },
};

void commands_run(void *commands, int fd, char **words, size_t count, uint64_t now)
{
    const struct commands *c = commands;
    const struct command command = { .fd = fd, .words = words, .count = count, .now = now };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];

        if (strcmp(row->word, words[0]) != 0)
            continue;
        if (count < row->fewest || count > row->most)
            operator_sayf(fd, "ERR wrong arguments for %s", row->word);
        else if (!row->stopping && c->calls->stopping(c->arg))
            operator_sayf(fd, "ERR posternd is stopping");
        else
            row->run(c, &command);
        return;
    }
    operator_sayf(fd, "ERR unknown command");
}
