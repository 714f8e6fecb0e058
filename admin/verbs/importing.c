/*
 * importing.c - options that the verbs that import have in common (see importing.h).
 */
#include "admin/verbs/importing.h"

#include <string.h>

const struct importing_kind importing_kinds[IMPORT_KINDS] = {
    [STATE_LIVING] = { NULL, NULL, NULL },
    [STATE_KIND_DELETED] = { "deleted", "left_out_deleted", "marked as deleted" },
    [STATE_KIND_DRAFT] = { "drafts", "left_out_drafts", "drafts" },
    [STATE_KIND_FOLDER_DATA] = { "folder-data", "left_out_folder_data", "FOLDER INTERNAL DATA" },
    [STATE_KIND_HIDDEN] = { "hidden", "left_out_hidden", "not shown by their server" },
    [IMPORT_GONE] = { "gone", "left_out_gone", "deleted since they were imported" },
};

static bool is_word(const char *given, const char *const *words, int count, int *which_r)
{
    for (int i = 0; i < count; i++)
        if (given == NULL || strcmp(given, words[i]) == 0) {
            *which_r = i;
            return true;
        }
    return false;
}

bool importing_format(const char *word, enum source_format *format_r)
{
    static const char *const formats[] = { "auto", "mbox", "maildir", "eml" };
    int which = 0;
    bool is = is_word(word, formats, 4, &which);

    *format_r = (enum source_format)which;
    return is;
}

const char *importing_uidl_fault(const char *format)
{
    const char *option;

    return source_how_fault(&(struct source_how){ .uidl_format = format }, &option);
}

const char *importing_server_fault(const char *name)
{
    const struct source_how how = { .server = name };
    const char *option;

    return source_how_fault(&how, &option);
}

/* "deleted,drafts" */
static bool option_with(const char *given, bool with[IMPORT_KINDS])
{
    while (given != NULL && *given != '\0') {
        struct span word = { given, strcspn(given, ", ") };
        int found = 0;

        for (int i = STATE_LIVING + 1; i < IMPORT_KINDS; i++)
            if (span_is(word, span_str(importing_kinds[i].word)))
                found = i;
        if (found == 0 && word.len > 0) {
            ctl_error(CTL_USAGE, "\"%.*s\" is not deleted, drafts, folder-data, hidden or gone: "
                      "see posternctl import --help", (int)word.len, word.at);
            return false;
        }
        with[found] = true;
        given += word.len + (given[word.len] != '\0');
    }
    return true;
}

static enum ctl_exit not_a(const char *given, const char *what)
{
    return ctl_error(CTL_USAGE, "\"%s\" is not a %s: see posternctl import --help", given, what);
}

enum ctl_exit importing_options(const struct ctl *c, struct source_how *source, bool with[IMPORT_KINDS])
{
    static const char *const quotings[] = { "rd", "o", "none" };
    static const enum mbox_quoting meanings[] = { MBOX_UNQUOTE_RD, MBOX_UNQUOTE_O, MBOX_PLAIN };
    const char *fault, *option;
    enum source_format format;
    int quoting;

    if (!importing_format(c->opt[OPT_FORMAT], &format))
        return not_a(c->opt[OPT_FORMAT], "format");
    if (!is_word(c->opt[OPT_QUOTING], quotings, 3, &quoting))
        return not_a(c->opt[OPT_QUOTING], "quoting");
    if (!option_with(c->opt[OPT_WITH], with))
        return CTL_USAGE;
    *source = (struct source_how){
        .format = format, .quoting = meanings[quoting], .quoting_given = c->opt[OPT_QUOTING] != NULL,
        .any = c->opt[OPT_ANY] != NULL,
        .follow_links = c->opt[OPT_FOLLOW_LINKS] != NULL, .server = c->opt[OPT_SERVER],
        .uidl_format = c->opt[OPT_UIDL_FORMAT], .doveconf = c->opt[OPT_DOVECONF], .control = c->opt[OPT_CONTROL],
        .folders = c->opt[OPT_FOLDERS] != NULL,
    };
    if ((fault = source_how_fault(source, &option)) != NULL)
        return ctl_error(CTL_USAGE, "%s %s", option, fault);
    if (source->control != NULL && c->nargs > 2)
        return ctl_error(CTL_USAGE, "--control is for one directory");
    return CTL_DONE;
}
