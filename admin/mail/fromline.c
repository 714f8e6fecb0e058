/*
 * fromline.c - From_ lines of mbox files, and whether one separates messages.
 *
 * Must neither cut a message at a line of its text nor glue two together. Where
 * the two cannot be told apart it decides, and says that there is a doubt.
 */
#include "admin/mail/fromline.h"

#include <ctype.h>
#include <stddef.h>
#include <time.h>

enum { PASSED = 8 };    /* From_ lines between a separator and a header */

/* ----------------------------------------------------------------- numbers */

static bool number(struct span word, size_t digits_min, size_t digits_max, int *n_r)
{
    *n_r = 0;
    if (word.len < digits_min || word.len > digits_max)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (!isdigit((unsigned char)word.at[i]))
            return false;
        *n_r = *n_r * 10 + (word.at[i] - '0');
    }
    return true;
}

/* The part of *rest up to one of `ends`, which is taken too; *end_r is which one it was, NUL at the end. */
static struct span part(struct span *rest, const char *ends, char *end_r)
{
    struct span p = { rest->at, 0 };

    while (p.len < rest->len && (rest->at[p.len] == '\0' || strchr(ends, rest->at[p.len]) == NULL))
        p.len++;
    *end_r = p.len < rest->len ? rest->at[p.len] : '\0';
    rest->at += p.len + (*end_r != '\0');
    rest->len -= p.len + (*end_r != '\0');
    return p;
}

/* ------------------------------------------------------------- words of a date */

struct date {
    bool day, month, year, time, zone;
    bool seconds;       /* the time has them, as people hardly write it */
    struct tm tm;
    int afternoon;      /* 12 for PM, 0 for AM, -1: neither was said */
    int offset;         /* of the zone, in seconds */
};

/* A name that may be cut to its first three letters, and no less; a dot may stand behind it. */
static int name_of(struct span w, const char *const *names, int count)
{
    if (w.len > 3 && w.at[w.len - 1] == '.')
        w.len--;
    for (int i = 0; i < count && w.len >= 3; i++) {
        size_t len = strlen(names[i]);

        if ((w.len == 3 || w.len == len) && strncasecmp(w.at, names[i], w.len) == 0)
            return i;
    }
    return -1;
}

static bool is_weekday(struct span w)
{
    static const char *const names[] = { "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday" };

    return name_of(w, names, 7) >= 0;
}

static bool month(struct span w, int *month_r)
{
    static const char *const names[] = {
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    };

    *month_r = span_is_nocase(w, SPAN_OF("Sept")) || span_is_nocase(w, SPAN_OF("Sept.")) ? 8 : name_of(w, names, 12);
    return *month_r >= 0;
}

/* "h:mm", "hh:mm:ss", "hh:mm:ss.fraction" */
static bool clock_time(struct span w, struct tm *tm)
{
    char end;
    struct span hour = part(&w, ":", &end), minute, second;
    int fraction;

    if (end != ':' || !number(hour, 1, 2, &tm->tm_hour))
        return false;
    minute = part(&w, ":", &end);
    tm->tm_sec = 0;
    if (!number(minute, 2, 2, &tm->tm_min) || tm->tm_hour > 23 || tm->tm_min > 59)
        return false;
    if (end == '\0')
        return true;
    second = part(&w, ".", &end);
    return number(second, 2, 2, &tm->tm_sec) && tm->tm_sec <= 60 && (end == '\0' || number(w, 1, 9, &fraction));
}

/* "+0200", "-01:30", "+02", in seconds */
static bool zone_number(struct span w, int *seconds_r)
{
    int hours, minutes = 0;

    if (w.len < 3 || (w.at[0] != '+' && w.at[0] != '-') || !number((struct span){ w.at + 1, 2 }, 2, 2, &hours))
        return false;
    if (w.len > 3) {
        size_t at = w.at[3] == ':' ? 4 : 3;

        if (!number((struct span){ w.at + at, w.len - at }, 2, 2, &minutes))
            return false;
    }
    if (hours > 15 || minutes > 59)
        return false;
    *seconds_r = (hours * 60 + minutes) * 60 * (w.at[0] == '-' ? -1 : 1);
    return true;
}

/* Names that mean one thing in mail. IST, for one, is three zones: the time is taken for UTC then. */
static bool zone_name(struct span w, int *seconds_r)
{
    static const struct {
        const char *name;
        int minutes;
    } zones[] = {
        { "UT", 0 }, { "UTC", 0 }, { "GMT", 0 }, { "Z", 0 }, { "WET", 0 }, { "WEST", 60 }, { "BST", 60 },
        { "CET", 60 }, { "MET", 60 }, { "MEZ", 60 }, { "CEST", 120 }, { "MEST", 120 }, { "MESZ", 120 },
        { "EET", 120 }, { "SAST", 120 }, { "EEST", 180 }, { "MSK", 180 },
        { "EST", -300 }, { "EDT", -240 }, { "CST", -360 }, { "CDT", -300 }, { "MST", -420 }, { "MDT", -360 },
        { "PST", -480 }, { "PDT", -420 }, { "AKST", -540 }, { "AKDT", -480 }, { "HST", -600 },
        { "HKT", 480 }, { "SGT", 480 }, { "AWST", 480 }, { "JST", 540 }, { "KST", 540 },
        { "AEST", 600 }, { "AEDT", 660 }, { "NZST", 720 }, { "NZDT", 780 },
    };

    if (w.len > 2 && w.at[0] == '(' && w.at[w.len - 1] == ')')
        w = (struct span){ w.at + 1, w.len - 2 };
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
        if (span_is_nocase(w, span_str(zones[i].name))) {
            *seconds_r = zones[i].minutes * 60;
            return true;
        }
    return false;
}

/* A name that is not known, "BRT": the time is taken for UTC. */
static bool zone_like(struct span w)
{
    if (w.len < 3 || w.len > 5)
        return false;
    for (size_t i = 0; i < w.len; i++)
        if (!isupper((unsigned char)w.at[i]))
            return false;
    return true;
}

/* Also "GMT-0700", as browsers write it. A name behind a number is a comment: "+0100 CET", "-0800 (PST)". */
static bool zone(struct date *d, struct span w)
{
    bool prefix = w.len > 3 && (strncasecmp(w.at, "GMT", 3) == 0 || strncasecmp(w.at, "UTC", 3) == 0);
    int seconds;

    if (zone_number(prefix ? (struct span){ w.at + 3, w.len - 3 } : w, &seconds))
        d->offset = seconds;
    else if (zone_name(w, &seconds))
        d->offset = d->zone ? d->offset : seconds;
    else if (!(d->time && !d->zone && zone_like(w))
             && !(d->zone && w.len > 2 && w.at[0] == '(' && w.at[w.len - 1] == ')'))
        return false;
    d->zone = true;
    return true;
}

/* 1970 and later. Two digits: RFC 5322 section 4.3. */
static bool year(struct date *d, struct span w)
{
    int n;

    if (number(w, 2, 2, &n))
        n += n < 50 ? 2000 : 1900;
    else if (!number(w, 4, 4, &n))
        return false;
    if (n < 1970)
        return false;
    d->tm.tm_year = n - 1900;
    d->year = true;
    return true;
}

static bool day(struct date *d, struct span w)
{
    int n;

    if (!number(w, 1, 2, &n) || n < 1 || n > 31)
        return false;
    d->tm.tm_mday = n;
    d->day = true;
    return true;
}

/* "2026-11-22", "2026/11/22", "22-Nov-2026" */
static bool joined_date(struct date *d, struct span w)
{
    struct date got = *d;
    char end;
    struct span a = part(&w, "-/", &end), b, c;
    int n;

    if (end == '\0' || d->day || d->month || d->year)
        return false;
    b = part(&w, "-/", &end);
    c = end != '\0' ? part(&w, "-/", &end) : SPAN_OF("");
    if (end != '\0')
        return false;
    if (number(a, 4, 4, &n)) {
        if (!year(&got, a) || !number(b, 1, 2, &n) || n < 1 || n > 12 || !day(&got, c))
            return false;
        got.tm.tm_mon = n - 1;
    } else if (!day(&got, a) || !month(b, &got.tm.tm_mon) || !year(&got, c)) {
        return false;
    }
    got.month = true;
    *d = got;
    return true;
}

/* "2026-11-22T21:45:20Z", the zone joined to the time or missing */
static bool iso_date(struct date *d, struct span w)
{
    struct date got = *d;
    char end;
    struct span date = part(&w, "Tt", &end), time;
    size_t at = 0;

    if (end == '\0' || !joined_date(&got, date))
        return false;
    while (at < w.len && w.at[at] != 'Z' && w.at[at] != 'z' && w.at[at] != '+' && w.at[at] != '-')
        at++;
    time = (struct span){ w.at, at };
    if (!clock_time(time, &got.tm) || (at < w.len && !zone(&got, (struct span){ w.at + at, w.len - at })))
        return false;
    got.time = got.seconds = true;
    *d = got;
    return true;
}

/* False if this is no word of a date, or one that was there already. */
static bool date_word(struct date *d, struct span w)
{
    struct tm tm = d->tm;
    int n;

    if (is_weekday(w))
        return true;
    if (!d->time && clock_time(w, &tm)) {
        d->tm = tm;
        d->seconds = w.len > 5;     /* more than "08:30" */
        return d->time = true;
    }
    if (!d->month && month(w, &n)) {
        d->tm.tm_mon = n;
        return d->month = true;
    }
    if (d->time && d->afternoon < 0 && d->tm.tm_hour >= 1 && d->tm.tm_hour <= 12
        && (span_is_nocase(w, SPAN_OF("AM")) || span_is_nocase(w, SPAN_OF("PM")))) {
        d->afternoon = (w.at[0] | 0x20) == 'p' ? 12 : 0;
        return true;
    }
    return (!d->day && day(d, w)) || (!d->year && year(d, w)) || joined_date(d, w) || iso_date(d, w) || zone(d, w);
}

static bool date_whole(const struct date *d, int64_t *time_r)
{
    struct tm tm = d->tm;

    if (!d->day || !d->month || !d->year)
        return false;
    if (d->afternoon >= 0)
        tm.tm_hour = tm.tm_hour % 12 + d->afternoon;
    *time_r = ((int64_t)timegm(&tm) - d->offset) * 1000000;
    return true;
}

/* The next word of *rest, an empty one at the end; commas separate too. */
static struct span next_word(struct span *rest)
{
    struct span w;

    while (rest->len > 0 && (isspace((unsigned char)rest->at[0]) || rest->at[0] == ',' || rest->at[0] == '\0'))
        rest->at++, rest->len--;
    w = (struct span){ rest->at, 0 };
    while (w.len < rest->len && !isspace((unsigned char)w.at[w.len]) && w.at[w.len] != ',' && w.at[w.len] != '\0')
        w.len++;
    rest->at += w.len;
    rest->len -= w.len;
    return w;
}

int from_date(struct span words, int64_t *time_r)
{
    struct date d = { .afternoon = -1 };

    for (struct span w = next_word(&words); w.len > 0; w = next_word(&words))
        date_word(&d, w);
    return d.time && date_whole(&d, time_r);
}

/* ---------------------------------------------------------------- From_ line */

/* A date from here to the end of the line, with the time in *f; "remote from host", as UUCP added it, may follow. */
static bool only_date(struct span words, bool time_needed, struct from_line *f)
{
    struct date d = { .afternoon = -1 };

    for (struct span w = next_word(&words); w.len > 0; w = next_word(&words)) {
        if (span_is(w, SPAN_OF("remote")) && span_is(next_word(&words), SPAN_OF("from")))
            break;
        if (!date_word(&d, w))
            return false;
    }
    if ((!d.time && time_needed) || !date_whole(&d, &f->time))
        return false;
    f->casual = !d.seconds;
    f->zone = d.zone;
    return true;
}

static bool nothing_left(struct span words)
{
    return next_word(&words).len == 0;
}

struct from_line from_line(struct span line)
{
    static const struct span mark = { "From ", 5 };
    struct from_line f = { .form = FROM_NONE };
    struct span rest, sender;
    bool dash, address, none;

    if (line.len < mark.len || memcmp(line.at, mark.at, mark.len) != 0)
        return f;
    rest = (struct span){ line.at + mark.len, line.len - mark.len };
    none = rest.len > 0 && rest.at[0] == ' ' && only_date(rest, true, &f);
    sender = next_word(&rest);
    dash = span_is(sender, SPAN_OF("-"));
    f.daemon = span_is_nocase(sender, SPAN_OF("MAILER-DAEMON"));
    address = f.daemon || dash || memchr(sender.at, '@', sender.len) != NULL;
    f.form = none ? FROM_DATED : nothing_left(rest) ? (sender.len == 0 || address ? FROM_LIKELY : FROM_TEXT)
        : address && !dash ? FROM_LIKELY : FROM_TEXT;
    f.has_time = none || from_date(rest, &f.time) == 1;
    /* A sender may be several words: the date is what is left at the end. */
    for (int i = 0; i < 8 && f.form != FROM_DATED && !nothing_left(rest); i++) {
        if (only_date(rest, !address, &f))
            f.form = FROM_DATED, f.has_time = true;
        next_word(&rest);
    }
    f.daemon = f.daemon && f.form == FROM_DATED;
    f.casual = f.casual && !address;
    return f;
}

int from_marks(struct span line)
{
    int marks = 0;

    while (line.len > 0 && line.at[0] == '>' && marks < 1000)
        line.at++, line.len--, marks++;
    return line.len >= 5 && memcmp(line.at, "From ", 5) == 0 ? marks : -1;
}

/* -------------------------------------------------------------------- behind */

static size_t field_name(struct span line)
{
    size_t n = 0, colon;

    while (n < line.len && line.at[n] > ' ' && line.at[n] < 0x7F && line.at[n] != ':')
        n++;
    colon = n;
    while (colon < line.len && (line.at[colon] == ' ' || line.at[colon] == '\t'))
        colon++;
    if (n == 0 || colon == line.len || line.at[colon] != ':')
        return 0;
    return line.len - colon >= 3 && memcmp(line.at + colon, "://", 3) == 0 ? 0 : n;
}

bool from_is_field(struct span line)
{
    return field_name(line) > 0;
}

static bool known_name(struct span name)
{
    static const char *const names[] = {
        "From",       "To",           "Cc",       "Date",   "Subject",      "Received",     "Return-Path",
        "Message-ID", "Delivered-To", "Reply-To", "Sender", "MIME-Version", "Content-Type", "Status",
    };

    if (name.len > 2 && (name.at[0] == 'X' || name.at[0] == 'x') && name.at[1] == '-')
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_is_nocase(name, span_str(names[i])))
            return true;
    return false;
}

/* The next line of *ahead without its end. False at the end. */
static bool ahead_line(struct span *ahead, struct span *line_r)
{
    const char *lf = ahead->len > 0 ? memchr(ahead->at, '\n', ahead->len) : NULL;
    size_t n = lf != NULL ? (size_t)(lf - ahead->at) : ahead->len;

    if (ahead->len == 0)
        return false;
    *line_r = (struct span){ ahead->at, n > 0 && ahead->at[n - 1] == '\r' ? n - 1 : n };
    ahead->at += n + (lf != NULL);
    ahead->len -= n + (lf != NULL);
    return true;
}

enum from_behind from_behind(struct span ahead)
{
    const size_t seen = ahead.len;
    bool field = false, known = false;
    struct span line = { NULL, 0 };
    bool any = false;
    int passed = 0;

    while (ahead_line(&ahead, &line)) {
        size_t name;

        /* A file of nothing but From_ lines must not be looked at once for each of them. */
        if (from_marks(line) >= 0 && !field && passed++ < PASSED)
            continue;
        if (line.len == 0)
            return known ? BEHIND_HEADER : field ? BEHIND_FIELD : any ? BEHIND_TEXT : BEHIND_EMPTY;
        any = true;
        if (line.at[0] == ' ' || line.at[0] == '\t')
            continue;
        name = field_name(line);
        /* The last line may be cut where one looks no further. */
        if (name == 0 && !(field && ahead.len == 0 && seen == FROM_AHEAD))
            return field ? BEHIND_FIELD : BEHIND_TEXT;
        field = field || name > 0;
        known = known || (name > 0 && known_name((struct span){ line.at, name }));
    }
    return known ? BEHIND_HEADER : field ? BEHIND_FIELD : any ? BEHIND_TEXT : BEHIND_END;
}

/* ------------------------------------------------------------------- verdict */

static enum from_verdict judge_dated(const struct from_line *line, bool blank, enum from_behind behind,
                                     const char **doubt_r)
{
    bool header = behind == BEHIND_FIELD || behind == BEHIND_HEADER;

    if (blank && line->casual && behind != BEHIND_HEADER) {
        *doubt_r = header ? "treated as a separator: a From_ line without an address, and hardly a header after it"
                          : "treated as text: a From_ line without an address and with no header after it";
        return header ? FROM_SEPARATES : FROM_IS_TEXT;
    }
    if (blank && behind == BEHIND_TEXT && !line->daemon) {
        *doubt_r = "treated as text: a From_ line with a date, an empty line before it, but no header after it";
        return FROM_IS_TEXT;
    }
    if (blank)
        return FROM_SEPARATES;
    if (header)
        *doubt_r = "treated as a separator: a From_ line with a date, a header after it, no empty line before it";
    return header ? FROM_SEPARATES : FROM_IS_TEXT;
}

enum from_verdict from_judge(const struct from_line *line, bool blank, enum from_behind behind, bool loose,
                             const char **doubt_r)
{
    *doubt_r = NULL;
    switch (line->form) {
    case FROM_NONE:
        return FROM_IS_TEXT;
    case FROM_DATED:
        return judge_dated(line, blank, behind, doubt_r);
    case FROM_LIKELY:
        if (blank && (behind == BEHIND_FIELD || behind == BEHIND_HEADER))
            return FROM_SEPARATES;
        if ((blank && behind != BEHIND_TEXT) || behind == BEHIND_HEADER)
            *doubt_r =
                blank
                    ? "treated as text: a From_ line without a date, and nothing after it"
                    : "treated as text: a From_ line without a date, with a header after it but no"
                      " empty line before it";
        return FROM_IS_TEXT;
    case FROM_TEXT:
        if (!blank || (behind != BEHIND_FIELD && behind != BEHIND_HEADER))
            return FROM_IS_TEXT;
        if (behind == BEHIND_HEADER || loose) {
            *doubt_r =
                loose ? NULL : "treated as a separator: a From_ line in an unknown form with a header after it";
            return FROM_SEPARATES;
        }
        *doubt_r = "treated as text: a From_ line in an unknown form, though a header may follow it";
        return FROM_IS_TEXT;
    }
    return FROM_IS_TEXT;
}
