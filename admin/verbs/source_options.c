/*
 * source_options.c - how a source of messages is read (see source_options.h).
 */
#include "admin/verbs/source_options.h"

#include <string.h>

#include "admin/mail/dovecot.h"

static bool word(const char *given, const char *what, const char *const *words, int count, int *which_r)
{
    for (int i = 0; i < count; i++)
        if (given == NULL || strcmp(given, words[i]) == 0) {
            *which_r = i;
            return true;
        }
    ctl_error(CTL_USAGE, "\"%s\" is not a %s: see posternctl import --help", given, what);
    return false;
}

/* "deleted,drafts" */
static bool kinds(const char *given, bool with[STATE_KINDS])
{
    static const char *const words[STATE_KINDS] = {
        [STATE_LIVING] = "", [STATE_KIND_DELETED] = "deleted", [STATE_KIND_DRAFT] = "drafts",
        [STATE_KIND_FOLDER_DATA] = "folder-data",
    };

    while (given != NULL && *given != '\0') {
        struct span one = { given, strcspn(given, ", ") };
        int found = STATE_LIVING;

        for (int i = STATE_LIVING + 1; i < STATE_KINDS; i++)
            if (span_is(one, span_str(words[i])))
                found = i;
        if (found == STATE_LIVING && one.len > 0) {
            ctl_error(CTL_USAGE, "\"%.*s\" is not deleted, drafts or folder-data", (int)one.len, one.at);
            return false;
        }
        with[found] = true;
        given += one.len + (given[one.len] != '\0');
    }
    return true;
}

bool source_options(const struct ctl *c, struct source_how *how_r, bool with_r[STATE_KINDS])
{
    static const char *const formats[] = { "auto", "mbox", "maildir", "eml" };
    static const char *const quotings[] = { "rd", "o", "none" };
    static const enum mbox_quoting meanings[] = { MBOX_UNQUOTE_RD, MBOX_UNQUOTE_O, MBOX_PLAIN };
    const char *const uidl_format = c->opt[OPT_UIDL_FORMAT], *fault;
    int format, quoting;

    if (!word(c->opt[OPT_FORMAT], "format", formats, 4, &format) ||
        !word(c->opt[OPT_QUOTING], "quoting", quotings, 3, &quoting) || !kinds(c->opt[OPT_WITH], with_r))
        return false;
    if (uidl_format != NULL && strcmp(uidl_format, "none") != 0 &&
        (fault = dovecot_format_fault(uidl_format)) != NULL) {
        ctl_error(CTL_USAGE, "the format of UIDLs \"%s\" %s", uidl_format, fault);
        return false;
    }
    how_r->format = (enum source_format)format;
    how_r->quoting = meanings[quoting];
    how_r->any = c->opt[OPT_ANY] != NULL;
    how_r->follow_links = c->opt[OPT_FOLLOW_LINKS] != NULL;
    how_r->uidl_format = uidl_format;
    return true;
}
