/*
 * import.c - `import`: messages of mbox files, Maildirs, directories and files
 * into a mailbox, in their order: what the command line asks for, and what is printed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/mail/import.h"
#include "admin/mail/source.h"
#include "admin/progress.h"
#include "admin/shown.h"
#include "admin/verbs/import_dbmail.h"
#include "admin/verbs/import_pop3.h"
#include "admin/verbs/importing.h"
#include "daemon/base/mem.h"

enum { DOUBTS_KEPT = 1000 };

struct doubt {
    char *file;
    uint64_t line;
    const char *what;   /* static */
};

/* What is printed of an import. */
struct shown {
    struct ctl *c;
    const char *address;
    bool server;                    /* the mail comes from one, not from files */
    unsigned sync_limit;            /* percent */
    struct progress progress;
    struct json json;
    struct doubt *doubts;           /* the first ones: with --json they are told at the end */
    uint64_t doubt_count;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

static bool is_interrupted(void *arg)
{
    (void)arg;
    return interrupted != 0;
}

/* ------------------------------------------------------------ what is told */

static void show_rejected(void *arg, const struct source_item *it, const char *why)
{
    struct shown *s = arg;

    progress_clear(&s->progress);
    if (s->c->json) {
        json_object(&s->json, NULL);
        json_text(&s->json, "file", span_str(it->path));
        if (it->number > 0)
            json_int(&s->json, "message", it->number);
        json_text(&s->json, "reason", span_str(why));
        json_end(&s->json);
    } else {
        printf("REJECTED %s %s\n", it->name, why);
        fflush(stdout);
    }
}

static void show_doubt(void *arg, const char *path, uint64_t line, const char *what)
{
    struct shown *s = arg;

    progress_clear(&s->progress);
    if (!s->c->json) {
        printf("DOUBT %s:%llu %s\n", shown_name(path), (unsigned long long)line, what);
        fflush(stdout);
    } else if (s->doubt_count < DOUBTS_KEPT) {
        if (s->doubts == NULL)
            s->doubts = mem_array(DOUBTS_KEPT, sizeof *s->doubts);
        s->doubts[s->doubt_count++] = (struct doubt){ mem_str(path), line, what };
    }
}

/* Before the first message, in an array of its own. */
static void show_uidl(void *arg, const char *file, size_t line, const char *uidl, const char *what)
{
    struct shown *s = arg;

    if (s->c->json) {
        json_object(&s->json, NULL);
        json_text(&s->json, "file", span_str(file));
        if (line > 0)
            json_int(&s->json, uidl != NULL ? "line" : "message", (int64_t)line);
        if (uidl != NULL)
            json_text(&s->json, "uidl", span_str(uidl));
        json_text(&s->json, "reason", span_str(what));
        json_end(&s->json);
        return;
    }
    printf("UIDL %s", shown_name(file));
    if (line > 0)
        printf(uidl != NULL ? ":%zu" : ":message %zu", line);
    if (uidl != NULL)
        printf(" %s", uidl[0] != '\0' ? shown_name(uidl) : "\"\"");
    printf(" %s\n", what);
}

static void show_note(void *arg, const char *text)
{
    struct shown *s = arg;

    progress_clear(&s->progress);
    ctl_error(CTL_DONE, "%s", text);
}

static void show_step(void *arg, uint64_t messages, int64_t octets)
{
    struct shown *s = arg;

    progress_step(&s->progress, messages, octets);
}

/* ------------------------------------------------------------------- verb */

static void json_doubts(struct shown *s, const struct import_done *done)
{
    struct json *j = &s->json;

    json_array(j, "doubts");
    for (uint64_t i = 0; i < s->doubt_count; i++) {
        json_object(j, NULL);
        json_text(j, "file", span_str(s->doubts[i].file));
        json_int(j, "line", (int64_t)s->doubts[i].line);
        json_text(j, "reason", span_str(s->doubts[i].what));
        json_end(j);
    }
    json_end(j);
    json_int(j, "doubts_in_all", (int64_t)done->doubts);
    json_int(j, "uidls_in_doubt", (int64_t)done->uidls_in_doubt);
}

static void summary_json(struct shown *s, const struct import_done *done, struct source_seen seen, bool complete,
                         const struct sync_done *sync)
{
    struct json *j = &s->json;

    json_end(j);
    json_doubts(s, done);
    json_int(j, "imported", (int64_t)done->stored);
    json_int(j, "octets", (int64_t)done->stored_octets);
    json_int(j, "there_already", (int64_t)done->there);
    json_int(j, "uidls_set", (int64_t)done->adopted);
    json_int(j, "other_uidls", (int64_t)done->other_uidls);
    for (int i = STATE_LIVING + 1; i < IMPORT_KINDS; i++)
        json_int(j, importing_kinds[i].key, (int64_t)done->left_out[i]);
    json_int(j, "files", (int64_t)seen.files);
    json_int(j, "mboxes", (int64_t)seen.mboxes);
    json_int(j, "separators", (int64_t)seen.separators);
    json_int(j, "octets_seen", seen.octets);
    if (s->server) {
        json_int(j, "arrived_by_date", (int64_t)seen.sent_times);
        json_int(j, "arrived_now", (int64_t)seen.no_times);
    }
    if (sync != NULL) {
        json_int(j, "removed", (int64_t)sync->removed);
        json_int(j, "gone_but_read", (int64_t)sync->read);
        json_bool(j, "held", sync->held);
    }
    json_bool(j, "dry_run", s->c->opt[OPT_DRY_RUN] != NULL);
    json_bool(j, "complete", complete);
    json_end(j);
}

static void summary_text(struct shown *s, const struct import_done *done, struct source_seen seen)
{
    printf("%s %llu messages, %llu octets into %s in %.1f s",
           s->c->opt[OPT_DRY_RUN] != NULL ? "would import" : "imported", (unsigned long long)done->stored,
           (unsigned long long)done->stored_octets, s->address, progress_seconds(&s->progress));
    if (done->there > 0)
        printf(", %llu already there", (unsigned long long)done->there);
    if (done->rejected > 0)
        printf(", %llu rejected", (unsigned long long)done->rejected);
    if (done->doubts > 0)
        printf(", %llu doubts", (unsigned long long)done->doubts);
    if (done->uidls_in_doubt > 0)
        printf(", %llu UIDLs in doubt", (unsigned long long)done->uidls_in_doubt);
    printf(s->server ? "\nlisted %llu messages, %llu octets" : "\nread %llu files, %llu octets",
           (unsigned long long)seen.files, (unsigned long long)seen.octets);
    if (done->adopted > 0)
        printf("; %llu messages got their UIDLs", (unsigned long long)done->adopted);
    if (done->other_uidls > 0)
        printf("; %llu messages have other UIDLs here (--set-uidls)", (unsigned long long)done->other_uidls);
    if (seen.mboxes > 0)
        printf("; %llu of them mbox, with %llu separators", (unsigned long long)seen.mboxes,
               (unsigned long long)seen.separators);
    if (seen.sent_times > 0)
        printf("; times of arrival by Date: %llu", (unsigned long long)seen.sent_times);
    if (seen.no_times > 0)
        printf("; arrived now, as they say no time: %llu", (unsigned long long)seen.no_times);
    for (int i = STATE_LIVING + 1; i < IMPORT_KINDS; i++)
        if (done->left_out[i] > 0)
            printf("; left out: %llu %s (--with %s)", (unsigned long long)done->left_out[i], importing_kinds[i].text,
                   importing_kinds[i].word);
    putchar('\n');
}

/* What POP3 never showed, and nobody should look for in vain. */
static void folders(struct shown *s, const struct source *source)
{
    if (s->c->json)
        json_array(&s->json, "folders");
    for (size_t i = 0; i < source_folders(source); i++) {
        if (s->c->json)
            json_text(&s->json, NULL, span_str(source_folder(source, i)));
        else
            printf("FOLDER %s is not imported: see --folders\n", shown_name(source_folder(source, i)));
    }
    if (s->c->json)
        json_end(&s->json);
}

/* Nothing is stored before all of the UIDLs were looked at. */
static enum ctl_exit look(struct shown *s, struct import *im, struct source *source)
{
    enum ctl_exit end;

    if (s->c->json) {
        json_start(&s->json, stdout);
        json_object(&s->json, NULL);
        json_array(&s->json, "uidls");
    }
    end = import_look(im, source);
    fflush(stdout);
    if (s->c->json)
        json_end(&s->json);
    folders(s, source);
    if (end != CTL_DONE && s->c->json)
        json_end(&s->json);
    return end;
}

static void sync_text(struct shown *s, const struct sync_done *sync)
{
    if (sync->of == 0) {
        printf("nothing that was imported from the server has gone there\n");
        return;
    }
    printf("gone at the server since they were imported: %s %llu of %llu messages",
           s->c->opt[OPT_DRY_RUN] != NULL ? "would remove" : "removed", (unsigned long long)sync->removed,
           (unsigned long long)sync->of);
    if (sync->read > 0)
        printf(", kept %llu that were read here", (unsigned long long)sync->read);
    if (sync->held)
        printf("; a session holds the maildrop: run the same command again to remove the others");
    putchar('\n');
}

/* Only behind an import that has seen all there is. */
static enum ctl_exit sync_too(struct shown *s, struct import *im, struct source *source, struct sync_done *done)
{
    const struct sync_how how = { .limit = s->sync_limit, .dry_run = s->c->opt[OPT_DRY_RUN] != NULL };
    enum ctl_exit end = import_sync(im, source, &how, done);

    return end == CTL_DONE && done->held ? CTL_PARTLY : end;
}

static enum ctl_exit store(struct shown *s, struct import *im, struct source *source)
{
    struct sync_done synced = { .of = 0 };
    bool sync = s->c->opt[OPT_SYNC] != NULL;
    struct sigaction stop = { .sa_handler = on_interrupt }, old_int, old_term;
    const struct import_done *done = import_done(im);
    struct source_seen seen;
    enum ctl_exit end;
    bool complete;

    sigaction(SIGINT, &stop, &old_int);
    sigaction(SIGTERM, &stop, &old_term);
    progress_start(&s->progress, "messages", source_octets(source));
    if (s->c->json)
        json_array(&s->json, "rejected");
    end = import_run(im, source);
    complete = (end == CTL_DONE || end == CTL_PARTLY) && !done->stopped;
    progress_clear(&s->progress);
    seen = source_seen(source);
    if (!s->c->json)
        summary_text(s, done, seen);
    if (sync && complete) {
        enum ctl_exit sync_end = sync_too(s, im, source, &synced);

        end = sync_end != CTL_DONE ? sync_end : end;
        if (!s->c->json && (sync_end == CTL_DONE || sync_end == CTL_PARTLY))
            sync_text(s, &synced);
    }
    if (s->c->json)
        summary_json(s, done, seen, complete, sync && complete ? &synced : NULL);
    if (!complete)
        ctl_error(end, s->server ? "%s: run the same command again to continue"
                               : "%s: run the same command with --resume to continue",
                  done->stopped ? "interrupted" : s->server ? "stopped" : "stopped, the last batch was not stored");
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    return end;
}

/* A second pass over mail that is there: nothing is stored. */
static enum ctl_exit set(struct shown *s, struct import *im, struct source *source)
{
    const bool dry_run = s->c->opt[OPT_DRY_RUN] != NULL;
    const struct import_done *done = import_done(im);
    struct json *j = &s->json;
    struct set_uidls set;
    enum ctl_exit end;
    bool all;

    if (s->c->json)
        json_array(j, "kept");
    end = import_set_uidls(im, source, dry_run, &set);
    all = end == CTL_DONE || end == CTL_PARTLY;
    if (s->c->json) {
        json_end(j);
        json_doubts(s, done);
        json_int(j, "set", all ? (int64_t)set.set : 0);
        json_int(j, "had", (int64_t)set.had);
        json_int(j, "missing", (int64_t)set.missing);
        json_bool(j, "dry_run", dry_run);
        json_end(j);
    } else if (all) {
        printf("%s %llu UIDLs in %s; %llu messages had theirs", dry_run ? "would set" : "set",
               (unsigned long long)set.set, s->address, (unsigned long long)set.had);
        if (set.missing > 0)
            printf(", %llu are not in the mailbox", (unsigned long long)set.missing);
        if (done->uidls_in_doubt > 0)
            printf(", %llu UIDLs in doubt", (unsigned long long)done->uidls_in_doubt);
        putchar('\n');
    }
    return end;
}

enum ctl_exit run_import(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    struct shown s = { .c = c, .address = address };
    struct import_how how = { .resumed = c->opt[OPT_RESUME] != NULL, .set_uidls = c->opt[OPT_SET_UIDLS] != NULL,
                              .over_quota = c->opt[OPT_OVER_QUOTA] != NULL, .uidls = c->opt[OPT_UIDLS] };
    const struct import_told told = { show_uidl, show_doubt, show_rejected, show_step, is_interrupted, &s };
    const struct import_pop3_told told_pop3 = { is_interrupted, show_note, &s };
    struct import_pop3 pop3 = { .wait = 0 };
    struct source_how source_how;
    struct source *source;
    struct import *im;
    enum ctl_exit end = importing_options(c, &source_how, how.with);
    const char *fault;

    if (end == CTL_DONE)
        end = c->opt[OPT_DBMAIL] != NULL ? import_dbmail_options(c, &pop3.limit) : import_pop3_options(c, &pop3);
    if (end != CTL_DONE)
        return end;
    s.server = c->opt[OPT_POP3] != NULL || c->opt[OPT_DBMAIL] != NULL;
    s.sync_limit = (unsigned)pop3.limit;
    if (how.set_uidls && how.resumed)
        return ctl_error(CTL_USAGE, "--set-uidls and --resume exclude each other");
    how.dry_run = c->opt[OPT_DRY_RUN] != NULL;
    how.resumed |= s.server && !how.set_uidls;
    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    im = import_new(c, &how, &told);
    end = import_begin(im, address);
    if (end != CTL_DONE) {
        import_free(&im);
        return end;
    }
    source_how.doubt = import_doubt;
    source_how.arg = im;
    source_how.listed = how.uidls != NULL;
    source = c->opt[OPT_DBMAIL] != NULL ? import_dbmail_open_user(c, address)
             : s.server                 ? import_pop3_open(c, &pop3, address, &told_pop3)
                                        : source_new(c->args + 1, c->nargs - 1, &source_how);
    if (source == NULL)
        end = CTL_FAILED;
    else if ((fault = source_fault(source)) != NULL)
        end = ctl_error(CTL_FAILED, "%s: nothing was stored", fault);
    else if (how.set_uidls && how.uidls == NULL && !source_has_uidls(source))
        end = ctl_error(CTL_USAGE, "--set-uidls wants --uidls, or a list of the server that had the Maildir");
    else if ((end = look(&s, im, source)) == CTL_DONE)
        end = how.set_uidls ? set(&s, im, source) : store(&s, im, source);
    import_free(&im);
    if (source != NULL)
        source_free(&source);
    import_pop3_free(&pop3);
    for (uint64_t i = 0; i < s.doubt_count; i++)
        mem_free(s.doubts[i].file);
    mem_free(s.doubts);
    return end;
}
