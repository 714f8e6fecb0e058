/*
 * compare.c - `compare`: are the messages of a source those of a mailbox, with their UIDLs,
 * octets, text and order? Or those of all mailboxes of a file that `move` takes. Changes nothing.
 */
#include <stdio.h>

#include "admin/shown.h"
#include "admin/verbs/comparison.h"
#include "admin/verbs/import_dbmail.h"
#include "admin/verbs/importing.h"
#include "admin/verbs/move_list.h"
#include "admin/verbs/move_source.h"
#include "daemon/base/secret.h"

struct report {
    uint64_t alike, not_alike, failed, without_source;
};

static enum ctl_exit refuse(struct json *j, const struct move_line *l)
{
    if (j != NULL) {
        json_object(j, NULL);
        json_text(j, "address", span_str(l->address));
        json_int(j, "line", (int64_t)l->line);
        json_bool(j, "failed", true);
        json_text(j, "reason", span_str(l->fault));
        json_end(j);
    }
    return ctl_error(CTL_FAILED, "line %zu, %s: %s", l->line, shown_name(l->address), l->fault);
}

/* What is the same for all lines, and the one that is compared. */
struct listed {
    struct ctl *c;
    struct source_how how;
    struct import_pop3 pop3, server;    /* server: that of the line, */
    const struct move_line *line;
    const bool *with;
};

static void tell_server(void *arg, const char *text)
{
    const struct listed *k = arg;

    ctl_error(CTL_DONE, "%s: %s", k->line->address, text);
}

static struct source *open_line(void *arg, const char *address, source_doubt *doubt, void *doubt_arg)
{
    struct listed *k = arg;
    const struct import_pop3_told told = { NULL, tell_server, k };
    struct source_how how = k->how;

    (void)address;
    how.doubt = doubt;
    how.arg = doubt_arg;
    return k->line->pop3             ? move_source_server(k->c, k->line, &k->server, &told)
           : k->line->dbmail != NULL ? import_dbmail_open(k->c, k->line->dbmail)
                                     : move_source_files(k->line, how);
}

static enum ctl_exit compare_line(struct listed *k, struct json *j)
{
    const struct move_line *l = k->line;
    enum ctl_exit end;

    if (l->fault != NULL)
        return refuse(j, l);
    k->server = k->pop3;
    end = comparison_run(k->c, j, (struct comparison_of){ l->address, open_line, k, l->uidls, k->with });
    import_pop3_free(&k->server);
    return end;
}

static void report_end(struct json *j, const struct report *r)
{
    if (j == NULL) {
        printf("compared %llu mailboxes: %llu alike, %llu not alike, %llu failed",
               (unsigned long long)(r->alike + r->not_alike + r->failed), (unsigned long long)r->alike,
               (unsigned long long)r->not_alike, (unsigned long long)r->failed);
        comparison_count("without a source", r->without_source);
        putchar('\n');
        return;
    }
    json_end(j);
    json_int(j, "alike", (int64_t)r->alike);
    json_int(j, "not_alike", (int64_t)r->not_alike);
    json_int(j, "failed", (int64_t)r->failed);
    json_int(j, "without_source", (int64_t)r->without_source);
    json_end(j);
}

static enum ctl_exit compare_lines(struct listed *k, struct json *j, const struct move_list *list)
{
    struct report r = { .alike = 0 };
    enum ctl_exit end = CTL_DONE;

    if (j != NULL) {
        json_object(j, NULL);
        json_array(j, "mailboxes");
    }
    for (size_t i = 0; i < list->count && end != CTL_NO_DATABASE; i++) {
        k->line = &list->lines[i];
        if (k->line->fault == NULL && k->line->source_count == 0) {
            r.without_source++;
            continue;
        }
        end = compare_line(k, j);
        r.alike += end == CTL_DONE;
        r.not_alike += end == CTL_PARTLY;
        r.failed += end != CTL_DONE && end != CTL_PARTLY;
        fflush(stdout);
    }
    report_end(j, &r);
    if (end == CTL_NO_DATABASE)
        return ctl_error(end, "stopped: not all mailboxes were compared");
    return r.not_alike + r.failed > 0 ? CTL_PARTLY : CTL_DONE;
}

static enum ctl_exit compare_list(struct ctl *c, struct json *j, const struct source_how *how,
                                  const bool with[IMPORT_KINDS])
{
    const char *master = c->opt[OPT_MASTER], *secret = c->opt[OPT_PASSWORD_FILE];
    struct listed k = { .c = c, .how = *how, .with = with };
    char domain[CTL_DOMAIN_SIZE] = "";
    struct move_list *list = NULL;
    enum ctl_exit end = CTL_FAILED;

    if (import_pop3_common(c, &k.pop3) != CTL_DONE || import_dbmail_common(c) != CTL_DONE)
        return CTL_USAGE;
    if ((master != NULL) != (secret != NULL))
        return ctl_error(CTL_USAGE, "--master and --password-file want each other");
    if (c->opt[OPT_DOMAIN] != NULL && !ctl_domain(c->opt[OPT_DOMAIN], domain))
        return CTL_FAILED;
    secret_no_core();
    if (master == NULL || secret_line_of_file(secret, &k.pop3.secret))
        list = move_list_read(c->opt[OPT_FROM], domain, master != NULL, c->opt[OPT_DBMAIL] != NULL);
    if (list != NULL) {
        end = compare_lines(&k, j, list);
        move_list_free(&list);
    }
    import_pop3_free(&k.pop3);
    return end;
}

/* ------------------------------------------------------------------ one mailbox */

struct single {
    struct ctl *c;
    struct source_how how;
    struct import_pop3 pop3;
};

static void tell_note(void *arg, const char *text)
{
    (void)arg;
    ctl_error(CTL_DONE, "%s", text);
}

static struct source *open_single(void *arg, const char *address, source_doubt *doubt, void *doubt_arg)
{
    static const struct import_pop3_told told = { NULL, tell_note, NULL };
    struct single *k = arg;

    k->how.doubt = doubt;
    k->how.arg = doubt_arg;
    k->how.listed = k->c->opt[OPT_UIDLS] != NULL;
    return k->c->opt[OPT_DBMAIL] != NULL ? import_dbmail_open_user(k->c, address)
           : k->c->opt[OPT_POP3] != NULL ? import_pop3_open(k->c, &k->pop3, address, &told)
                                         : source_new(k->c->args + 1, k->c->nargs - 1, &k->how);
}

static enum ctl_exit compare_single(struct ctl *c, struct json *j, const struct source_how *how,
                                    const bool with[IMPORT_KINDS])
{
    struct single k = { .c = c, .how = *how };
    enum ctl_exit end = c->opt[OPT_DBMAIL] != NULL ? import_dbmail_options(c, &k.pop3.limit)
                                                   : import_pop3_options(c, &k.pop3);

    if (end == CTL_DONE)
        end = comparison_run(c, j, (struct comparison_of){ c->args[0], open_single, &k, c->opt[OPT_UIDLS], with });
    import_pop3_free(&k.pop3);
    return end;
}

enum ctl_exit run_compare(struct ctl *c)
{
    const bool list = c->opt[OPT_FROM] != NULL, pop3 = c->opt[OPT_POP3] != NULL;
    const bool server = pop3 || c->opt[OPT_DBMAIL] != NULL;
    struct source_how how = { .format = SOURCE_AUTO };
    bool with[IMPORT_KINDS] = { false };
    struct json json, *j = c->json ? &json : NULL;
    enum ctl_exit end = importing_options(c, &how, with);

    if (end != CTL_DONE)
        return end;
    if (list && c->opt[OPT_USER] != NULL)
        return ctl_error(CTL_USAGE, "--user is for one mailbox: --from has a column for it");
    if (list ? c->nargs > 0 || pop3 : c->nargs < 1 || (c->nargs < 2 && !server))
        return ctl_error(CTL_USAGE, "compare wants an address and a source, or --from: see posternctl compare --help");
    if (list && (c->opt[OPT_UIDLS] != NULL || c->opt[OPT_CONTROL] != NULL))
        return ctl_error(CTL_USAGE, "--uidls and --control are for one mailbox: --from has columns for them");
    if (!list && c->opt[OPT_DOMAIN] != NULL)
        return ctl_error(CTL_USAGE, "--domain is for --from");
    how.listed = c->opt[OPT_UIDLS] != NULL;
    if (j != NULL)
        json_start(j, stdout);
    return list ? compare_list(c, j, &how, with) : compare_single(c, j, &how, with);
}
