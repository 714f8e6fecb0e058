/*
 * main.c - posternctl: the table of verbs, the command line, help.
 *
 * Owns what a verb is; each handler sees its arguments counted, its options
 * checked against the table, and the database connected and of the right
 * version. Must never take a password from the command line.
 */
#include "admin/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/cmdline.h"
#include "admin/db.h"
#include "admin/shown.h"
#include "auth/name.h"
#include "daemon/base/num.h"
#include "daemon/base/secret.h"
#include "daemon/base/when.h"

#define BIT(option) (UINT64_C(1) << (option))

enum needs { NEEDS_NOTHING, NEEDS_CONFIG, NEEDS_DATABASE, NEEDS_SCHEMA };

struct verb {
    const char *word, *action;      /* action is NULL for a verb of one word */
    ctl_run *run;
    int fewest, most;
    enum needs needs;
    bool shows;                     /* --json is for those that show something */
    uint64_t options;
    const char *args, *help;
};

static const struct verb verbs[] = {
#define VERB(word, action, run, fewest, most, needs, shows, options, args, help) \
    { word, action, run, fewest, most, needs, shows, options, args, help },
#include "admin/verbs.def"
#undef VERB
};
enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

static const struct cmdline_option option_rows[OPT_COUNT] = {
    [OPT_CONFIG] = { "config", "FILE", "configuration to read in place of " POSTERN_SYSCONFDIR "/postern.conf", 'c' },
    [OPT_AS] = { "as", "WORDS", "libpq words in place of the option database_admin, as in --as user=postgres", 0 },
    [OPT_JSON] = { "json", NULL, "print JSON, for verbs that show something", 0 },
    [OPT_HELP] = { "help", NULL, "this text, or that of a verb", 'h' },
    [OPT_VERSION] = { "version", NULL, "print the version", 0 },
    [OPT_ALIAS_OF] = { "alias-of", "DOMAIN", "deliver every address to the same local part in DOMAIN", 0 },
    [OPT_ALL] = { "all", NULL, "every message of the mailbox", 0 },
    [OPT_ANY] = { "any", NULL, "accept files that do not look like mail", 0 },
    [OPT_BATCH] = { "batch", "N", "messages in one transaction, 1 to 100000 (default 1000)", 0 },
    [OPT_DOMAIN] = { "domain", "DOMAIN", "for all mailboxes of this domain", 0 },
    [OPT_DRY_RUN] = { "dry-run", NULL, "show what would be done, without doing it", 0 },
    [OPT_FORCE] = { "force", NULL, "even while a session holds the maildrop", 0 },
    [OPT_FORMAT] = { "format", "FORMAT", "mbox, maildir or eml; import detects it by default", 0 },
    [OPT_HASH] = { "hash", NULL, "standard input holds a password hash, not a password", 0 },
    [OPT_MAILBOX] = { "mailbox", "ADDRESS", "for this mailbox", 0 },
    [OPT_MINUTES] = { "minutes", "N", "duration in minutes", 0 },
    [OPT_NAME] = { "name", "NEW", "new name", 0 },
    [OPT_OFF] = { "off", NULL, "stop it", 0 },
    [OPT_PARTITIONS] = { "partitions", "N",
                         "hash partitions of content and content_part, 0 to 1024 (default 0: plain tables)", 0 },
    [OPT_QUICK] = { "quick", NULL, "count only, do not read the mail", 0 },
    [OPT_QUOTA] = { "quota", "OCTETS", "limit in octets: 500M, 2G, or none", 0 },
    [OPT_QUOTING] = { "quoting", "QUOTING", "how an mbox quotes lines that begin with From: rd (default), o or none",
                      0 },
    [OPT_RATE] = { "rate", "MB/S", "read at most that many million octets per second", 0 },
    [OPT_RAW] = { "raw", NULL, "show the message as a client receives it", 0 },
    [OPT_REPAIR] = { "repair", NULL, "repair what can be repaired without guessing", 0 },
    [OPT_REMOVE] = { "remove", NULL, "remove the password; app passwords remain", 0 },
    [OPT_REMOVED] = { "removed", NULL, "only the remains of removed mailboxes of that name", 0 },
    [OPT_RESUME] = { "resume", NULL, "continue where it was interrupted", 0 },
    [OPT_SENDER] = { "sender", "ADDRESS", "the envelope sender; <> or nothing for a bounce", 'f' },
    [OPT_SESSION] = { "session", "ID", "what this session did; ID as in the log", 0 },
    [OPT_SINCE] = { "since", "TIME",
                    "from then on: 10m, 2h or 3d ago, today, yesterday, 2026-01-31, \"2026-01-31 12:00\" (UTC)", 0 },
    [OPT_SKIP] = { "skip", "N", "number of uids that each mailbox skips (default 1000000)", 0 },
    [OPT_SOCKET] = { "socket", "WHERE", "the LMTP listener of posternd: a path or IP:PORT (default /run/postern/lmtp)",
                     0 },
    [OPT_STORE] = { "store", "KINDS",
                    "secrets to store in addition to the hash of a password:"
                    " scram-sha-256,scram-sha-1,shared-secret, or none",
                    0 },
    [OPT_TENANT] = { "tenant", "TENANT", "the tenant that owns the domain", 0 },
    [OPT_UID] = { "uid", "N", "only this message", 0 },
    [OPT_UIDLS] = { "uidls", "FILE", "file with one UIDL per line, in the order of the messages", 0 },
    [OPT_WITH] = { "with", "KINDS", "import also what is left out by default: deleted,drafts,folder-data,gone", 0 },
    [OPT_YES] = { "yes", NULL, "delete mail without confirmation", 0 },
};
enum { OPTIONS_OF_TOOL = BIT(OPT_CONFIG) | BIT(OPT_AS) | BIT(OPT_JSON) | BIT(OPT_HELP) | BIT(OPT_VERSION) };

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
    fflush(stdout);
    fprintf(stderr, "posternctl: %s\n", len >= 0 ? text : "out of memory");
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
        ctl_error(CTL_USAGE, "\"%s\" is not a number of octets, as in 500M or 2G, nor none", arg);
        return false;
    }
    *octets_r = (int64_t)(n * scale);
    return true;
}

bool ctl_number(const struct ctl *c, enum ctl_option option, uint64_t not_given, uint64_t max, int64_t *n_r)
{
    uint64_t n = not_given;

    if (c->opt[option] != NULL && (num_parse(span_str(c->opt[option]), max, &n) != 1 || n == 0)) {
        ctl_error(CTL_USAGE, "--%s is a number from 1 to %llu, not \"%s\"", option_rows[option].name,
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
        ctl_error(CTL_USAGE, "--%s \"%s\": %s", option_rows[option].name, given, why);
        return false;
    }
    time_t t = (time_t)at;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, CTL_TIME_SIZE, "%Y-%m-%d %H:%M:%S+00", &tm) == 0) {
        ctl_error(CTL_USAGE, "--%s \"%s\": that is too long ago", option_rows[option].name, given);
        return false;
    }
    *text_r = out;
    return true;
}

static void help_verb(FILE *out, const struct verb *v)
{
    fprintf(out, "usage: posternctl [-c FILE] %s%s%s%s%s%s\n%s\n", v->shows ? "[--json] " : "", v->word,
            v->action != NULL ? " " : "", v->action != NULL ? v->action : "", v->args[0] != '\0' ? " " : "", v->args,
            v->help);
    for (unsigned i = 0; i < OPT_COUNT; i++)
        if (v->options & BIT(i))
            fprintf(out, "  --%s%s%s\n      %s\n", option_rows[i].name, option_rows[i].arg != NULL ? " " : "",
                    option_rows[i].arg != NULL ? option_rows[i].arg : "", option_rows[i].help);
}

/* Of all verbs, or of those that begin with this word. */
static void help_all(FILE *out, const char *word)
{
    fputs("usage: posternctl [-c FILE] [--as WORDS] [--json] VERB ...\n", out);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        const struct verb *v = &verbs[i];

        if (word == NULL || strcmp(word, v->word) == 0)
            fprintf(out, "  %s%s%s%s%s\n      %s\n", v->word, v->action != NULL ? " " : "",
                    v->action != NULL ? v->action : "", v->args[0] != '\0' ? " " : "", v->args, v->help);
    }
    if (word != NULL)
        return;
    fputs("options:\n", out);
    for (unsigned i = 0; i < OPT_COUNT; i++)
        if (OPTIONS_OF_TOOL & BIT(i))
            fprintf(out, "  --%s%s%s\n      %s\n", option_rows[i].name, option_rows[i].arg != NULL ? " " : "",
                    option_rows[i].arg != NULL ? option_rows[i].arg : "", option_rows[i].help);
    fputs("`posternctl VERB --help` tells more; the manual is posternctl(8).\n", out);
}

/* The verb that the words name; NULL after a message, or after help. *end_r is the exit status then. */
static const struct verb *find_verb(struct ctl *c, int argc, char **argv, int at, enum ctl_exit *end_r)
{
    const char *word = at < argc ? argv[at] : NULL, *action = at + 1 < argc ? argv[at + 1] : NULL;
    const struct verb *v = NULL;
    bool known = false;

    *end_r = CTL_USAGE;
    for (size_t i = 0; i < VERB_COUNT && v == NULL && word != NULL; i++) {
        if (strcmp(verbs[i].word, word) != 0)
            continue;
        known = true;
        if (verbs[i].action == NULL || (action != NULL && strcmp(verbs[i].action, action) == 0))
            v = &verbs[i];
    }
    if (c->opt[OPT_HELP] != NULL && (word == NULL || known)) {
        *end_r = CTL_DONE;
        if (v != NULL)
            help_verb(stdout, v);
        else
            help_all(stdout, word);
        return NULL;
    }
    if (v == NULL) {
        if (word == NULL)
            help_all(stderr, NULL);
        else if (!known)
            ctl_error(CTL_USAGE, "unknown verb \"%s\": see posternctl --help", word);
        else if (action == NULL)
            ctl_error(CTL_USAGE, "%s: what to do is missing: see posternctl %s --help", word, word);
        else
            ctl_error(CTL_USAGE, "%s cannot \"%s\": see posternctl %s --help", word, action, word);
        return NULL;
    }
    for (unsigned i = 0; i < OPT_COUNT; i++)
        if (c->opt[i] != NULL && !((v->options | OPTIONS_OF_TOOL) & BIT(i))) {
            ctl_error(CTL_USAGE, "--%s is not an option of %s%s%s", option_rows[i].name, v->word,
                      v->action != NULL ? " " : "", v->action != NULL ? v->action : "");
            return NULL;
        }
    c->args = argv + at + (v->action != NULL ? 2 : 1);
    c->nargs = argc - at - (v->action != NULL ? 2 : 1);
    if (c->nargs < v->fewest || c->nargs > v->most) {
        ctl_error(CTL_USAGE, "%s arguments", c->nargs < v->fewest ? "too few" : "too many");
        help_verb(stderr, v);
        return NULL;
    }
    if (c->json && !v->shows) {
        ctl_error(CTL_USAGE, "--json is for verbs that show something");
        return NULL;
    }
    return v;
}

static void config_problem(void *arg, const char *file, int line, const char *text)
{
    (void)arg;
    if (line > 0)
        ctl_error(CTL_FAILED, "%s:%d: %s", shown_name(file), line, text);
    else
        ctl_error(CTL_FAILED, "%s: %s", file != NULL ? shown_name(file) : "configuration", text);
}

/* Of a configuration that is not there, the defaults are good enough, unless it was named. */
static bool load_config(struct ctl *c)
{
    static const char usual[] = POSTERN_SYSCONFDIR "/postern.conf";
    const struct option_target targets[] = { { &storage_options, &c->storage },
                                             { &auth_options, &c->auth },
                                             { &control_options, &c->control } };
    const char *file = c->opt[OPT_CONFIG];

    if (file == NULL && (access(usual, F_OK) == 0 || errno != ENOENT))
        file = usual;
    return options_load(file, targets, sizeof targets / sizeof targets[0], NULL, true, config_problem, NULL) == 0;
}

int main(int argc, char **argv)
{
    struct ctl c;
    const struct verb *v;
    enum ctl_exit end;
    int at;

    memset(&c, 0, sizeof c);
    secret_init();
    at = cmdline_parse(argc, argv, option_rows, OPT_COUNT, c.opt);
    if (at < 0)
        return CTL_USAGE;
    c.json = c.opt[OPT_JSON] != NULL;
    if (c.opt[OPT_VERSION] != NULL) {
        puts("posternctl " POSTERN_VERSION);
        return CTL_DONE;
    }
    v = find_verb(&c, argc, argv, at, &end);
    if (v == NULL)
        return (int)end;

    end = CTL_FAILED;
    if (v->needs == NEEDS_NOTHING) {
        end = v->run(&c);
    } else if (load_config(&c)) {
        end = v->needs > NEEDS_CONFIG ? db_connect(&c) : CTL_DONE;
        if (end == CTL_DONE && v->needs == NEEDS_SCHEMA)
            end = db_need_schema(&c);
        if (end == CTL_DONE)
            end = v->run(&c);
    }
    db_close(&c);
    options_free(&storage_options, &c.storage);
    options_free(&auth_options, &c.auth);
    options_free(&control_options, &c.control);
    if (fflush(stdout) != 0 && end == CTL_DONE)
        end = ctl_error(CTL_FAILED, "could not write to standard output: %s", strerror(errno));
    return (int)end;
}
