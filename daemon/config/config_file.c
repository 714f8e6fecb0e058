/*
 * config_file.c - composes the option tables of all modules into one file's
 * worth: reads it, has it checked, and prints the sample and the manual.
 *
 * It must never act on what it reads: nothing is opened, bound or created here,
 * so that --check can be run beside a running server.
 */
#include "daemon/config/config_impl.h"

#include "daemon/base/mem.h"

/* The sections of the file, in the order of the sample and of the manual. */
static const struct section {
    const char *title;
    const struct option_table *table;
    size_t offset;              /* of its settings in struct config */
} sections[] = {
    { "Processes and log", &daemon_options, offsetof(struct config, daemon) },
    { "Operation", &control_options, offsetof(struct config, control) },
    { "Database", &storage_options, offsetof(struct config, storage) },
    { "Authentication", &auth_options, offsetof(struct config, auth) },
    { "TLS", &tls_options, offsetof(struct config, tls) },
#define PROTOCOL(name, title) { title, &name##_options, offsetof(struct config, name) },
#include "daemon/config/protocols.def"
#undef PROTOCOL
};
enum { SECTIONS = sizeof sections / sizeof sections[0] };

/* ------------------------------------------------------- telling problems */

void config_print_problem(void *arg, const char *file, int line, const char *text)
{
    FILE *out = arg;

    if (line > 0)
        fprintf(out, "%s:%d: %s\n", file, line, text);
    else
        fprintf(out, "%s: %s\n", file, text);
}

void config_log_problem(void *arg, const char *file, int line, const char *text)
{
    (void)arg;
    if (line > 0)
        log_error(NULL, "%s:%d: %s", file, line, text);
    else
        log_error(NULL, "%s: %s", file, text);
}

/* ------------------------------------------------------- life of a config */

struct config *config_load(const char *file, unsigned flags, options_problem *problem, void *arg, int *problems_r)
{
    struct config *c = mem_zalloc(sizeof *c);
    struct option_target targets[SECTIONS];
    struct config_report r;

    for (size_t i = 0; i < SECTIONS; i++)
        targets[i] = (struct option_target){ sections[i].table, (char *)c + sections[i].offset };
    c->listeners.name = "listeners";
    c->listeners.table = &listener_options;

    config_report_open(&r, file, problem, arg);
    options_load(file, targets, SECTIONS, &c->listeners, false, config_report_problem, &r);
    options_load(NULL, &(struct option_target){ &listener_options, &c->unlisted }, 1, NULL, false,
                 config_report_problem, &r);
    c->auth.commit = c->storage.database_synchronous_commit;
    /* What cannot be read at all would only be told again, as a listener that is missing. */
    if (r.have_tree || r.count == 0)
        config_check_listeners(c, flags, &r);
    config_check(c, flags, &r);
    /* The first one's always: a socket that no listener of the file is for speaks it. */
    for (size_t i = 0; i < PROTOCOLS; i++)
        if (i == 0 || (config_speaks(c) & protocol_bit(protocols[i])))
            protocols[i]->check(config_settings(c, protocols[i]), config_report_problem, &r, file);
    config_report_close(&r);
    *problems_r = r.count;
    return c;
}

void config_free(struct config **config)
{
    struct config *c = *config;

    if (c == NULL)
        return;
    *config = NULL;
    config_forget_auth(c);
    config_forget_sessions(c, NEEDS_ALL);
    for (size_t i = 0; i < SECTIONS; i++)
        options_free(sections[i].table, (char *)c + sections[i].offset);
    options_free_list(&c->listeners);
    options_free(&listener_options, &c->unlisted);
    mem_free(c->conninfo_mail);
    mem_free(c->conninfo_auth);
    mem_free(c->conninfo_lmtp);
    mem_free(c);
}

/* ------------------------------------------------------ sample and manual */

void config_sample(FILE *out)
{
    fputs("# postern.conf - the configuration of posternd and posternctl.\n"
          "#\n"
          "# Every option is shown, commented out at its default. postern.conf(5) is the\n"
          "# manual; `posternd --check` tells what is wrong with a file.\n", out);
    for (size_t i = 0; i < SECTIONS; i++) {
        fprintf(out, "\n# ---- %s\n\n", sections[i].title);
        options_sample(out, sections[i].table, false);
        if (sections[i].table != &daemon_options)
            continue;
        fputs("\n# ---- Listeners\n"
              "#\n"
              "# One group for each place to listen at. To be open to the world set\n"
              "# tls_certificate (below), the address \"*\", and add for pop3s\n"
              "#\n"
              "#     , { address = \"*\"; port = 995; tls = \"implicit\"; }\n\n"
              "listeners = ( {\n"
              "    address = \"127.0.0.1\";\n\n", out);
        options_sample(out, &listener_options, true);
        fputs("} );\n", out);
    }
}

static void manual_rows(FILE *out, const struct option_table *table)
{
    fputs(".Bl -tag -width Ds\n", out);
    options_manual(out, table);
    fputs(".El\n", out);
}

void config_manual(FILE *out)
{
    for (size_t i = 0; i < SECTIONS; i++) {
        fprintf(out, ".Ss %s\n", sections[i].title);
        manual_rows(out, sections[i].table);
        if (sections[i].table != &daemon_options)
            continue;
        fputs(".Ss Listeners\n"
              ".Ic listeners\n"
              "is a list of groups, one for each place to listen at, with these options:\n", out);
        manual_rows(out, &listener_options);
    }
}
