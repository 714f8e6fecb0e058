/*
 * main.c - posternctl: finds the verb that the command line names, gives help,
 * reads the configuration, connects, and runs it.
 *
 * Owns what a verb is; each handler sees its arguments counted, its options
 * checked against the table, and the database connected and of the right
 * version. Must never take a password from the command line.
 */
#include "admin/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "admin/db.h"
#include "admin/shown.h"
#include "admin/tenant.h"
#include "daemon/base/secret.h"

/* A set of options, which are more than 64. */
__extension__ typedef unsigned __int128 option_set;
#define BIT(option) ((option_set)1 << (option))
_Static_assert(OPT_COUNT <= 128, "an option needs a bit");

enum needs { NEEDS_NOTHING, NEEDS_CONFIG, NEEDS_DATABASE, NEEDS_SCHEMA };

struct verb {
    const char *word, *action;      /* action is NULL for a verb of one word */
    ctl_run *run;
    int fewest, most;
    enum needs needs;
    bool shows;                     /* --json is for those that show something */
    option_set options;
    const char *args, *help;
};

static const struct verb verbs[] = {
#define VERB(word, action, run, fewest, most, needs, shows, options, args, help) \
    { word, action, run, fewest, most, needs, shows, options, args, help },
#include "admin/verbs.def"
#undef VERB
};
enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

static const option_set options_of_tool =
    BIT(OPT_CONFIG) | BIT(OPT_AS) | BIT(OPT_JSON) | BIT(OPT_HELP) | BIT(OPT_VERSION);

static void help_verb(FILE *out, const struct verb *v)
{
    fprintf(out, "usage: posternctl [-c FILE] %s%s%s%s%s%s\n%s\n", v->shows ? "[--json] " : "", v->word,
            v->action != NULL ? " " : "", v->action != NULL ? v->action : "", v->args[0] != '\0' ? " " : "", v->args,
            v->help);
    for (unsigned i = 0; i < OPT_COUNT; i++)
        if (v->options & BIT(i))
            fprintf(out, "  --%s%s%s\n      %s\n", ctl_options[i].name, ctl_options[i].arg != NULL ? " " : "",
                    ctl_options[i].arg != NULL ? ctl_options[i].arg : "", ctl_options[i].help);
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
        if (options_of_tool & BIT(i))
            fprintf(out, "  --%s%s%s\n      %s\n", ctl_options[i].name, ctl_options[i].arg != NULL ? " " : "",
                    ctl_options[i].arg != NULL ? ctl_options[i].arg : "", ctl_options[i].help);
    fputs("See `posternctl VERB --help` and posternctl(8) for more.\n", out);
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
            ctl_error(CTL_USAGE, "%s requires an action: see posternctl %s --help", word, word);
        else
            ctl_error(CTL_USAGE, "%s has no action \"%s\": see posternctl %s --help", word, action, word);
        return NULL;
    }
    for (unsigned i = 0; i < OPT_COUNT; i++)
        if (c->opt[i] != NULL && !((v->options | options_of_tool) & BIT(i))) {
            ctl_error(CTL_USAGE, "--%s is not an option of %s%s%s", ctl_options[i].name, v->word,
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
        ctl_error(CTL_USAGE, "--json is only for verbs that show something");
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
    at = cmdline_parse(argc, argv, ctl_options, OPT_COUNT, c.opt);
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
        if (end == CTL_DONE && c.db != NULL)
            end = tenant_find(&c);
        if (end == CTL_DONE)
            end = tenant_may(&c, v->word, v->action);
        if (end == CTL_DONE && v->needs == NEEDS_SCHEMA)
            end = db_need_schema(&c);
        if (end == CTL_DONE)
            end = v->run(&c);
    }
    db_close(&c);
    tenant_forget(&c);
    options_free(&storage_options, &c.storage);
    options_free(&auth_options, &c.auth);
    options_free(&control_options, &c.control);
    /* What was written long ago may have failed, too. */
    if ((fflush(stdout) != 0 || ferror(stdout) != 0) && end == CTL_DONE)
        end = ctl_error(CTL_FAILED, "could not write to standard output: %s", strerror(errno));
    return (int)end;
}
