/*
 * when.c - reads moments (see when.h). Knows no clock and no zone of this host:
 * what an operator types means the same on all of them.
 */
#include "daemon/base/when.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "daemon/base/option_value.h"

enum { DAY = 86400 };

/* Digits alone, so many. */
static bool read_digits(const char **at, int count, int *number_r)
{
    *number_r = 0;
    for (int i = 0; i < count; i++) {
        if (!isdigit((unsigned char)**at))
            return false;
        *number_r = *number_r * 10 + (*(*at)++ - '0');
    }
    return true;
}

/* "+02:00", "-0330", "+02", "Z", "UTC" or nothing: how far east of UTC, in seconds. */
static bool read_zone(const char *at, int64_t *east_r)
{
    int hours = 0, minutes = 0;
    bool west;

    *east_r = 0;
    at += strspn(at, " ");
    if (at[0] == '\0' || strcmp(at, "Z") == 0 || strcmp(at, "UTC") == 0)
        return true;
    west = at[0] == '-';
    if ((!west && at[0] != '+') || (at++, !read_digits(&at, 2, &hours)))
        return false;
    if (at[0] != '\0' && (at += at[0] == ':', !read_digits(&at, 2, &minutes)))
        return false;
    *east_r = (hours * 60 + minutes) * (west ? -60 : 60);
    return at[0] == '\0' && hours <= 15 && minutes < 60;
}

static bool read_clock(const char **at, struct tm *tm)
{
    if (!read_digits(at, 2, &tm->tm_hour) || *(*at)++ != ':' || !read_digits(at, 2, &tm->tm_min))
        return false;
    if (**at != ':')
        return true;
    (*at)++;
    return read_digits(at, 2, &tm->tm_sec);
}

static bool read_date(const char *at, int64_t *at_r)
{
    struct tm tm = { 0 }, real;
    int64_t east = 0;
    time_t t;

    if (!read_digits(&at, 4, &tm.tm_year) || *at++ != '-' || !read_digits(&at, 2, &tm.tm_mon) || *at++ != '-' ||
        !read_digits(&at, 2, &tm.tm_mday))
        return false;
    if (((at[0] == ' ' || at[0] == 'T') && isdigit((unsigned char)at[1]) && (at++, !read_clock(&at, &tm))) ||
        !read_zone(at, &east))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    real = tm;
    t = timegm(&real);
    /* The 31st of April became another day. */
    if (real.tm_mon != tm.tm_mon || real.tm_mday != tm.tm_mday || real.tm_hour != tm.tm_hour ||
        real.tm_min != tm.tm_min)
        return false;
    *at_r = (int64_t)t - east;
    return true;
}

static bool read_ago(const char *text, int64_t now, int64_t *at_r)
{
    struct option_value v;

    /* A number alone would be seconds, and is rather half of a date. */
    if (text[strspn(text, "0123456789")] == '\0' || !option_value_parse(OPTION_DURATION, text, &v))
        return false;
    *at_r = v.number / 1000 < now ? now - v.number / 1000 : 0;
    return true;
}

bool when_parse(const char *text, int64_t now, int64_t *at_r, const char **why_r)
{
    bool known = true;

    if (strcmp(text, "now") == 0)
        *at_r = now;
    else if (strcmp(text, "today") == 0)
        *at_r = now - now % DAY;
    else if (strcmp(text, "yesterday") == 0)
        *at_r = now - now % DAY - DAY;
    else
        known = read_ago(text, now, at_r) || read_date(text, at_r);
    if (!known) {
        *why_r = "a time is 10m, 2h or 3d ago, today, yesterday, 2026-11-29, or \"2026-11-29 10:00\" (UTC)";
        return false;
    }
    if (*at_r > now) {
        *why_r = "the time is in the future";
        return false;
    }
    return true;
}
