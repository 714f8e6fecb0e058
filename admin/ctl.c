/*
 * ctl.c - what every verb may use: to say what went wrong or was done, and to
 * understand an argument or the value of an option.
 *
 * Whatever is printed here comes from people, files, the database: none of it is
 * obeyed by a terminal.
 */
#include "admin/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/shown.h"
#include "auth/name.h"
#include "daemon/base/num.h"
#include "daemon/base/when.h"

const struct cmdline_option ctl_options[OPT_COUNT] = {
#define OPTION(id, name, arg, letter, help) [OPT_##id] = { name, arg, help, letter },
#include "admin/options.def"
#undef OPTION
};

static void (*errors_told)(void *arg, const char *line);
static void *errors_arg;

void ctl_errors_to(void (*told)(void *arg, const char *line), void *arg)
{
    errors_told = told;
    errors_arg = arg;
}

enum ctl_exit ctl_error(enum ctl_exit end, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vasprintf(&text, fmt, ap);
    va_end(ap);
    /* libpq's texts end in a line feed, and may have more of them. */
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    for (int i = 0; i < len; i++)
        if (text[i] == '\n' || text[i] == '\t')
            text[i] = ' ';
    if (len >= 0)
        shown_text(text);
    if (errors_told != NULL) {
        errors_told(errors_arg, len >= 0 ? text : "out of memory");
    } else {
        fflush(stdout);
        fprintf(stderr, "posternctl: %s\n", len >= 0 ? text : "out of memory");
    }
    if (len >= 0)
        free(text);
    return end;
}

void ctl_say(const struct ctl *c, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int len;

    if (c->json)
        return;
    va_start(ap, fmt);
    len = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (len < 0)
        return;
    shown_text(text);
    puts(text);
    free(text);
}

bool ctl_domain(const char *arg, char out[CTL_DOMAIN_SIZE])
{
    const char *why;

    _Static_assert(NAME_DOMAIN_MAX + 1 == CTL_DOMAIN_SIZE, "a domain fits");
    if (name_domain(span_str(arg), out, &why) == 1)
        return true;
    ctl_error(CTL_FAILED, "\"%s\" is not a domain: %s", arg, why);
    return false;
}

bool ctl_address(const char *arg, bool catch_all, char out[CTL_ADDRESS_SIZE])
{
    const char *why;

    if (catch_all && arg[0] == '@') {
        out[0] = '@';
        return ctl_domain(arg + 1, out + 1);
    }
    if (name_canonical(span_str(arg), SPAN_OF(""), out, &why) == 1)
        return true;
    ctl_error(CTL_FAILED, "\"%s\" is not an address: %s", arg, why);
    return false;
}

bool ctl_quota(const char *arg, int64_t *octets_r)
{
    static const char units[] = "kMGT";
    struct span digits = span_str(arg);
    uint64_t n, scale = 1;
    const char *unit;

    *octets_r = -1;
    if (strcmp(arg, "none") == 0)
        return true;
    if (digits.len > 1 && (unit = strchr(units, digits.at[digits.len - 1])) != NULL) {
        digits.len--;
        scale <<= 10 * (unit - units + 1);
    }
    if (num_parse(digits, (uint64_t)INT64_MAX / scale, &n) != 1) {
        ctl_error(CTL_USAGE, "\"%s\" is neither a number of octets, such as 500M or 2G, nor none", arg);
        return false;
    }
    *octets_r = (int64_t)(n * scale);
    return true;
}

bool ctl_number(const struct ctl *c, enum ctl_option option, uint64_t not_given, uint64_t max, int64_t *n_r)
{
    uint64_t n = not_given;

    if (c->opt[option] != NULL && (num_parse(span_str(c->opt[option]), max, &n) != 1 || n == 0)) {
        ctl_error(CTL_USAGE, "--%s must be a number from 1 to %llu, not \"%s\"", ctl_options[option].name,
                  (unsigned long long)max, c->opt[option]);
        return false;
    }
    *n_r = (int64_t)n;
    return true;
}

bool ctl_time(const struct ctl *c, enum ctl_option option, char out[CTL_TIME_SIZE], const char **text_r)
{
    const char *given = c->opt[option], *why;
    int64_t at;

    *text_r = NULL;
    if (given == NULL)
        return true;
    if (!when_parse(given, (int64_t)time(NULL), &at, &why)) {
        ctl_error(CTL_USAGE, "--%s \"%s\": %s", ctl_options[option].name, given, why);
        return false;
    }
    time_t t = (time_t)at;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, CTL_TIME_SIZE, "%Y-%m-%d %H:%M:%S+00", &tm) == 0) {
        ctl_error(CTL_USAGE, "--%s \"%s\": too long ago", ctl_options[option].name, given);
        return false;
    }
    *text_r = out;
    return true;
}
