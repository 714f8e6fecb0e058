/*
 * settings.c - the options of LMTP, and what a bound cannot say of them.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/name.h"
#include "daemon/lmtp/session.h"

static const struct option rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_T_##type, def, min, max, text, offsetof(struct lmtp_settings, field) },
#include "daemon/lmtp/options.def"
#undef OPTION
};
const struct option_table lmtp_options = { rows, sizeof rows / sizeof rows[0], sizeof(struct lmtp_settings) };

struct report {
    options_problem *problem;
    void *arg;
    const char *file;
    int count;
};

static void complain(struct report *r, const char *option, const char *value, const char *what)
{
    char text[512];

    snprintf(text, sizeof text, "%s: \"%.200s\" %s", option, value, what);
    r->problem(r->arg, r->file, 0, text);
    r->count++;
}

int lmtp_settings_check(const void *settings, options_problem *problem, void *arg, const char *file)
{
    const struct lmtp_settings *s = settings;
    struct report r = { problem, arg, file, 0 };
    char address[NAME_ADDRESS_MAX + 1];
    const char *why;
    struct stat st;

    if (s->lmtp_hostname[strspn(s->lmtp_hostname,
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")] != '\0')
        complain(&r, "lmtp_hostname", s->lmtp_hostname, "is not a host name");
    if (strpbrk(s->lmtp_separator, "@\" \t") != NULL)
        complain(&r, "lmtp_separator", s->lmtp_separator, "must not contain @, quotes or white space");
    if (s->lmtp_postmaster[0] != '\0' &&
        name_canonical(span_str(s->lmtp_postmaster), (struct span){ NULL, 0 }, address, &why) != 1) {
        char what[160];
        snprintf(what, sizeof what, "is not an address: %s", why);
        complain(&r, "lmtp_postmaster", s->lmtp_postmaster, what);
    }
    if (stat(s->lmtp_spool_dir, &st) != 0 || !S_ISDIR(st.st_mode))
        complain(&r, "lmtp_spool_dir", s->lmtp_spool_dir,
                 "is not a directory; create it, accessible to the workers' user only");
    return r.count;
}
