/*
 * pg_away.c - lanes that come and go: why, what is said of it, and descriptors that
 * are kept for their return.
 */
#include "storage/pg/pg_away.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/sql.h"
#include "daemon/net/loop.h"

enum { SAY_AGAIN_MS = 60000 };

/* ---- the log */

/* What was counted since the last line about it. */
static void say_more(struct pg_reason *away, uint64_t now)
{
    if (away->more > 0)
        log_error(NULL, "database lanes lost or not connected %u more times in the last minute: %s",
                  away->more, away->why);
    away->more = 0;
    away->at = now;
}

void pg_away_due(void *arg)
{
    struct pg *pg = arg;
    uint64_t now = loop_now(pg->loop), next = 0;

    for (size_t i = 0; i < PG_AWAY_REASONS; i++) {
        struct pg_reason *away = &pg->away.reasons[i];
        if (away->more > 0 && now - away->at >= SAY_AGAIN_MS)
            say_more(away, now);
        if (away->more > 0 && (next == 0 || away->at + SAY_AGAIN_MS - now < next))
            next = away->at + SAY_AGAIN_MS - now;
    }
    if (next > 0)
        timer_set(pg->away.timer, next);
}

/* The one of this reason, or the one that was not heard of for the longest time. */
static struct pg_reason *reason(struct pg *pg, const char *why, uint64_t now)
{
    struct pg_reason *oldest = &pg->away.reasons[0];

    for (size_t i = 0; i < PG_AWAY_REASONS; i++) {
        if (strcmp(pg->away.reasons[i].why, why) == 0)
            return &pg->away.reasons[i];
        if (pg->away.reasons[i].at < oldest->at)
            oldest = &pg->away.reasons[i];
    }
    say_more(oldest, now);
    snprintf(oldest->why, sizeof oldest->why, "%s", why);
    oldest->at = 0;
    return oldest;
}

bool pg_say_away(struct pg_lane *lane, bool was_up)
{
    struct pg *pg = lane->pg;
    uint64_t now = loop_now(pg->loop);
    struct pg_reason *away = reason(pg, lane->away.why, now);

    if (away->at != 0 && now - away->at < SAY_AGAIN_MS) {
        if (away->more++ == 0)
            timer_set(pg->away.timer, away->at + SAY_AGAIN_MS - now);
        return false;
    }
    say_more(away, now);
    log_error(NULL, "database lane %u %s: %s", lane->number, was_up ? "was lost" : "could not connect",
              lane->away.why);
    return true;
}

void lane_note_parting(struct pg_lane *lane, const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    if (state == NULL || message == NULL || lane->away.parting[0] != '\0')
        return;
    /* The crash of another process of the server comes as a warning. */
    if (sql_ends_connection(state) ||
        (severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)))
        snprintf(lane->away.parting, sizeof lane->away.parting, "%s (SQLSTATE %s)", message, state);
}

void lane_hear_parting(struct pg_lane *lane)
{
    enum { ANSWERS = 64 };      /* that may stand in front of it */

    for (int i = 0; i < ANSWERS && lane->away.parting[0] == '\0'; i++) {
        PGresult *res;

        (void)PQconsumeInput(lane->conn);
        if (PQisBusy(lane->conn) || (res = PQgetResult(lane->conn)) == NULL)
            return;
        lane_note_parting(lane, res);
        PQclear(res);
    }
}

/* ---- giving up */

void lane_say_why(struct pg_lane *lane, const char *why)
{
    /* libpq's messages have several lines and end in one. */
    size_t n = 0;
    for (; *why != '\0' && n + 1 < sizeof lane->away.why; why++) {
        char c = *why == '\n' || *why == '\t' ? ' ' : *why;
        if (c != ' ' || (n > 0 && lane->away.why[n - 1] != ' '))
            lane->away.why[n++] = c;
    }
    while (n > 0 && lane->away.why[n - 1] == ' ')
        n--;
    lane->away.why[n] = '\0';
}

void lane_break(struct pg_lane *lane, const char *why)
{
    if (lane->broken)
        return;
    lane_say_why(lane, why);
    lane->broken = true;
    timer_set(lane->timer, 0);
}

bool lane_doubt(struct pg_lane *lane)
{
    if (lane->state == LANE_UP && !primary_is(lane->primary))
        lane_break(lane, PRIMARY_REPLACED);
    return lane->broken;
}

/* ---- descriptors */

/*
 * A lane that is not connected holds a descriptor that is good for nothing
 * else, and pg some more: for what libpq opens for a moment (passwords,
 * certificates, names of hosts). So clients that take every descriptor there
 * is while the database is away do not keep the lanes from coming back.
 */
static int hold(void)
{
    return open("/", O_PATH | O_CLOEXEC);
}

void lane_reserve(struct pg_lane *lane)
{
    if (lane->away.reserve < 0)
        lane->away.reserve = hold();
}

void lane_use_reserve(struct pg_lane *lane)
{
    if (lane->away.reserve >= 0)
        close(lane->away.reserve);
    lane->away.reserve = -1;
}

void pg_reserve(struct pg *pg)
{
    for (size_t i = 0; i < PG_SPARE; i++)
        if (pg->away.spare[i] < 0)
            pg->away.spare[i] = hold();
}

void pg_use_reserve(struct pg *pg)
{
    for (size_t i = 0; i < PG_SPARE; i++) {
        if (pg->away.spare[i] >= 0)
            close(pg->away.spare[i]);
        pg->away.spare[i] = -1;
    }
}
