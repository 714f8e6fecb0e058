/*
 * compare.c - `compare`: are the messages of a source those of a mailbox, with their UIDLs,
 * octets, text and order? Or those of all mailboxes of a file that `move` takes. Changes nothing.
 */
#include <stdio.h>

#include "admin/shown.h"
#include "admin/verbs/comparison.h"
#include "admin/verbs/importing.h"
#include "admin/verbs/move_list.h"

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

static enum ctl_exit compare_line(struct ctl *c, struct json *j, const struct move_line *l, struct source_how how,
                                  const bool with[IMPORT_KINDS])
{
    if (l->fault != NULL)
        return refuse(j, l);
    move_list_how(l, &how);
    return comparison_run(c, j, (struct comparison_of){ .address = l->address, .paths = l->sources,
                                 .path_count = l->source_count, .uidls = l->uidls, .how = how, .with = with });
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

static enum ctl_exit compare_list(struct ctl *c, struct json *j, const struct source_how *how,
                                  const bool with[IMPORT_KINDS])
{
    char domain[CTL_DOMAIN_SIZE] = "";
    struct report r = { .alike = 0 };
    enum ctl_exit end = CTL_DONE;
    struct move_list *list;

    if (c->opt[OPT_DOMAIN] != NULL && !ctl_domain(c->opt[OPT_DOMAIN], domain))
        return CTL_FAILED;
    list = move_list_read(c->opt[OPT_FROM], domain, false);
    if (list == NULL)
        return CTL_FAILED;
    if (j != NULL) {
        json_object(j, NULL);
        json_array(j, "mailboxes");
    }
    for (size_t i = 0; i < list->count && end != CTL_NO_DATABASE; i++) {
        if (list->lines[i].fault == NULL && list->lines[i].source_count == 0) {
            r.without_source++;
            continue;
        }
        end = compare_line(c, j, &list->lines[i], *how, with);
        r.alike += end == CTL_DONE;
        r.not_alike += end == CTL_PARTLY;
        r.failed += end != CTL_DONE && end != CTL_PARTLY;
        fflush(stdout);
    }
    report_end(j, &r);
    move_list_free(&list);
    if (end == CTL_NO_DATABASE)
        return ctl_error(end, "stopped: not all mailboxes were compared");
    return r.not_alike + r.failed > 0 ? CTL_PARTLY : CTL_DONE;
}

static enum ctl_exit compare_single(struct ctl *c, struct json *j, const struct source_how *how,
                                    const bool with[IMPORT_KINDS])
{
    struct import_pop3 pop3 = { .wait = 0 };
    enum ctl_exit end = import_pop3_options(c, &pop3);

    if (end == CTL_DONE)
        end = comparison_run(c, j, (struct comparison_of){
            .address = c->args[0], .pop3 = c->opt[OPT_POP3] != NULL ? &pop3 : NULL, .paths = c->args + 1,
            .path_count = c->nargs - 1, .uidls = c->opt[OPT_UIDLS], .how = *how, .with = with,
        });
    import_pop3_free(&pop3);
    return end;
}

enum ctl_exit run_compare(struct ctl *c)
{
    const bool list = c->opt[OPT_FROM] != NULL, server = c->opt[OPT_POP3] != NULL;
    struct source_how how = { .format = SOURCE_AUTO };
    bool with[IMPORT_KINDS] = { false };
    struct json json, *j = c->json ? &json : NULL;
    enum ctl_exit end = importing_options(c, &how, with);

    if (end != CTL_DONE)
        return end;
    if (list ? c->nargs > 0 || server : c->nargs < 1 || (c->nargs < 2 && !server))
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
