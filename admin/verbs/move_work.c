/*
 * move_work.c - one mailbox of a move (see move_work.h).
 *
 * Whatever goes wrong is the result of this line. Must never store a message
 * that is there, or that its owner has deleted here.
 */
#include "admin/verbs/move_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/db.h"
#include "admin/progress.h"
#include "admin/verbs/credential.h"
#include "admin/verbs/import_dbmail.h"
#include "admin/verbs/move_source.h"
#include "auth/scheme/scheme.h"
#include "daemon/base/clock.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { STEP_MS = 250 };
enum said { SAID_STEP = 's', SAID_NOTE = 'n', SAID_RESULT = 'r' };

struct work {
    const struct move_how *how;
    struct ctl *c;
    const struct move_line *line;
    const struct jobs_voice *voice;
    uint64_t stepped;           /* clock_ms() of the last step that was said */
    struct move_result result;
};

/* ------------------------------------------------------------- what is said */

static void say(const struct jobs_voice *voice, enum said what, const void *at, size_t len)
{
    char message[sizeof(struct move_result) + 1];

    ASSERT(len < sizeof message);
    message[0] = (char)what;
    memcpy(message + 1, at, len);
    jobs_say(voice, message, len + 1);
}

/* Paths are as long as a system allows, and longer is not told. */
static void say_note(struct work *w, enum move_note what, uint64_t number, const char *file, const char *uidl,
                     const char *reason)
{
    char message[JOBS_MESSAGE_MAX];
    int len = snprintf(message, sizeof message, "%c%c%llu%c%.8000s%c%.4000s%c%.2000s", SAID_NOTE, what,
                       (unsigned long long)number, '\0', file, '\0', uidl != NULL ? uidl : "\n", '\0', reason);

    jobs_say(w->voice, message, (size_t)len + 1);
}

static void told_uidl(void *arg, const char *file, size_t line, const char *uidl, const char *what)
{
    say_note(arg, NOTE_UIDL, line, file, uidl, what);
}

static void told_doubt(void *arg, const char *path, uint64_t line, const char *what)
{
    say_note(arg, NOTE_DOUBT, line, path, NULL, what);
}

static void told_rejected(void *arg, const struct source_item *it, const char *why)
{
    say_note(arg, NOTE_REJECTED, it->number, it->path, NULL, why);
}

static void told_step(void *arg, uint64_t messages, int64_t octets)
{
    const struct move_progress p = { messages, octets };
    struct work *w = arg;
    uint64_t now = clock_ms();

    if (now - w->stepped < STEP_MS)
        return;
    w->stepped = now;
    say(w->voice, SAID_STEP, &p, sizeof p);
}

static bool told_stop(void *arg)
{
    const struct work *w = arg;

    return w->how->stop(NULL);
}

/* The first error is the reason; what follows it are its effects. */
static void told_error(void *arg, const char *line)
{
    struct work *w = arg;

    if (w->result.reason[0] == '\0')
        snprintf(w->result.reason, sizeof w->result.reason, "%s", line);
}

static void add_reason(struct work *w, uint64_t count, const char *text)
{
    char *reason = w->result.reason;
    size_t len = strlen(reason);

    if (count > 0)
        snprintf(reason + len, MOVE_REASON_MAX - len, "%s%llu %s", len > 0 ? ", " : "", (unsigned long long)count,
                 text);
}

/* -------------------------------------------------------------- the mailbox */

static enum ctl_exit connect(struct work *w)
{
    enum ctl_exit end;

    if (w->c->db != NULL && PQstatus(w->c->db) == CONNECTION_OK)
        return CTL_DONE;
    db_close(w->c);
    end = db_connect(w->c);
    w->result.lost = end != CTL_DONE;
    return end;
}

static void args_quota(struct args *a, int64_t quota)
{
    if (quota == MOVE_UNSET)
        args_null(a);
    else
        args_int(a, quota);
}

static enum ctl_exit make(struct work *w)
{
    const struct move_line *l = w->line;
    /* After the switch the quota of a mailbox is what has been set here. */
    const bool keep = w->how->final && l->has_mailbox;
    struct args a = ARGS_NONE;
    PGresult *res;

    if (w->how->dry_run) {
        w->result.made_mailbox = !l->has_mailbox;
        w->result.made_domain = !l->has_domain;
        return CTL_DONE;
    }
    args_text(&a, l->address);
    args_bool(&a, w->how->create);
    args_text(&a, w->how->tenant);
    args_quota(&a, keep ? MOVE_UNSET : l->quota);
    args_quota(&a, keep ? MOVE_UNSET : l->quota_messages);
    res = db_ask(w->c, "make the mailbox", "select made_domain, made_mailbox from postern.move_in($1, $2, $3, $4, $5)",
                 &a);
    if (res == NULL)
        return db_end(w->c);
    w->result.made_domain = PQgetvalue(res, 0, 0)[0] == 't';
    w->result.made_mailbox = PQgetvalue(res, 0, 1)[0] == 't';
    PQclear(res);
    return CTL_DONE;
}

/* ------------------------------------------------------------- the password */

static bool add_secret(struct work *w, const struct mailbox_ref *mailbox, const char *stores,
                       struct credential_rows *rows)
{
    const struct move_line *l = w->line;
    const char *file = l->hash_file != NULL ? l->hash_file : l->password_file, *why = NULL;
    const bool hash = l->hash_file != NULL || l->hash[0] != '\0';
    const char *secret = hash ? l->hash : l->password, *plain;
    struct secret_line line;

    if (file != NULL) {
        if (!secret_line_of_file(file, &line))
            return false;
        line.text[line.len] = '\0';
        secret = line.text;
    }
    why = hash ? credential_hash_fault(secret) : NULL;
    plain = hash && why == NULL ? scheme_plain(secret) : secret;
    if (why == NULL && plain == NULL)
        credential_add_hash(rows, w->how->keyring, mailbox, secret);
    else if (why == NULL)
        (void)credential_add_password(rows, w->c, w->how->keyring, mailbox, stores, span_str(plain), &why);
    if (file != NULL)
        secret_wipe(&line, sizeof line);
    if (why != NULL)
        ctl_error(CTL_FAILED, "the password cannot be set: %s", why);
    return why == NULL;
}

static enum ctl_exit set_password(struct work *w)
{
    const struct move_line *l = w->line;
    struct mailbox_ref mailbox = { 0 };
    struct credential_rows rows;
    struct args a = ARGS_NONE;
    enum ctl_exit end;
    PGresult *plan;

    if (l->hash[0] == '\0' && l->password[0] == '\0' && l->hash_file == NULL && l->password_file == NULL)
        return CTL_DONE;
    w->result.kept_password = w->how->final && l->has_password;
    if (l->password_fault != NULL)
        return CTL_DONE;        /* it makes the line `partly`, in the end */
    w->result.set_password = !w->result.kept_password;
    if (w->result.kept_password || w->how->dry_run)
        return CTL_DONE;
    w->result.set_password = false;
    args_text(&a, l->address);
    plan = db_ask(w->c, "find the mailbox", "select mailbox, array_to_string(stores, ' ') from postern.secret_plan($1)",
                  &a);
    if (plan == NULL)
        return db_end(w->c);
    mailbox_parse(span_str(PQgetvalue(plan, 0, 0)), &mailbox);
    credential_begin(&rows);
    end = add_secret(w, &mailbox, PQgetvalue(plan, 0, 1), &rows) ? credential_store(w->c, &rows) : CTL_FAILED;
    credential_wipe(&rows);
    PQclear(plan);
    if (end == CTL_DONE)
        end = credential_is_proven_with(w->c, &mailbox, "password", l->address, "stored");
    w->result.set_password = end == CTL_DONE;
    return end;
}

/* ----------------------------------------------------------------- the mail */

/* A wait, or what would have been refused: the server's name, and what is said of it. */
static void told_server(void *arg, const char *text)
{
    const struct work *w = arg;
    const char *url = w->line->sources[0];
    const size_t len = strlen(url);

    if (strncmp(text, url, len) == 0 && strncmp(text + len, ": ", 2) == 0)
        text += len + 2;
    say_note(arg, NOTE_SERVER, 0, url, NULL, text);
}

/* NULL after a message. *pop3 lives as long as the source. */
static struct source *open_server(struct work *w, struct import_pop3 *pop3)
{
    const struct import_pop3_told told = { told_stop, told_server, w };

    *pop3 = w->how->pop3;
    return move_source_server(w->c, w->line, pop3, &told);
}

static struct source *open_files(const struct work *w, struct import *im)
{
    struct source_how how = w->how->source;

    how.doubt = import_doubt;
    how.arg = im;
    return move_source_files(w->line, how);
}

/* Only behind an import that has seen all there is. */
static enum ctl_exit sync_too(struct work *w, struct import *im, struct source *source)
{
    const struct sync_how how = { .limit = (unsigned)w->how->pop3.limit, .dry_run = w->how->dry_run };
    enum ctl_exit end = import_sync(im, source, &how, &w->result.synced);

    if (end == CTL_DONE && w->result.synced.held)
        return ctl_error(CTL_PARTLY, "a session holds the maildrop: the next run removes what has gone at the source");
    return end;
}

static enum ctl_exit import_from(struct work *w, struct import *im, struct source *source)
{
    const char *fault = source_fault(source);
    enum ctl_exit end, synced = CTL_DONE;

    if (fault != NULL)
        return ctl_error(CTL_FAILED, "%s", fault);
    for (size_t i = 0; i < source_folders(source); i++)
        say_note(w, NOTE_FOLDER, 0, source_folder(source, i), NULL, "is not imported");
    end = import_look(im, source);
    if (end == CTL_DONE)
        end = import_run(im, source);
    w->result.import = *import_done(im);
    w->result.seen = source_seen(source);
    if (w->how->sync && (end == CTL_DONE || end == CTL_PARTLY) && !w->result.import.stopped)
        synced = sync_too(w, im, source);
    else if (w->how->final && end != CTL_NO_DATABASE && !w->how->dry_run)
        synced = import_end_sync(im);
    return synced != CTL_DONE ? synced : end;
}

/* What a dry run can tell: of the mailbox alone, and of a quota that the file has. */
static enum ctl_exit check_quota(struct work *w)
{
    const struct move_line *l = w->line;
    const bool kept = w->how->final && l->has_mailbox;

    if (w->how->over_quota || kept || l->quota < 0 || w->result.import.stored_octets <= (uint64_t)l->quota)
        return CTL_DONE;
    return ctl_error(CTL_FAILED, "%llu octets would not fit into the quota of %lld: see --over-quota",
                     (unsigned long long)w->result.import.stored_octets, (long long)l->quota);
}

static enum ctl_exit import_mail(struct work *w)
{
    const struct move_line *l = w->line;
    struct import_how how = { .resumed = true, .by_uidl = true, .sync = w->how->sync, .over_quota = w->how->over_quota,
                              .dry_run = w->how->dry_run, .uidls = l->uidls };
    const struct import_told told = { told_uidl, told_doubt, told_rejected, told_step, told_stop, w };
    struct import_pop3 pop3 = { .wait = 0 };
    struct source *source = NULL;
    enum ctl_exit end;
    struct import *im;

    if (l->source_count == 0)
        return CTL_DONE;
    memcpy(how.with, w->how->with, sizeof how.with);
    im = import_new(w->c, &how, &told);
    end = import_begin(im, w->result.made_mailbox && w->how->dry_run ? NULL : l->address);
    if (end == CTL_DONE) {
        source = l->pop3             ? open_server(w, &pop3)
                 : l->dbmail != NULL ? import_dbmail_open(w->c, l->dbmail)
                                     : open_files(w, im);
        end = source != NULL ? import_from(w, im, source) : CTL_FAILED;
    }
    import_free(&im);
    if (source != NULL)
        source_free(&source);
    import_pop3_free(&pop3);
    return end;
}

/* --------------------------------------------------------------------- line */

void move_work(const struct move_how *how, const struct move_line *line, const struct jobs_voice *voice)
{
    struct work w = { .how = how, .c = how->c, .line = line, .voice = voice };
    const uint64_t started = clock_ms();
    enum ctl_exit end;

    progress_off();
    ctl_errors_to(told_error, &w);
    end = connect(&w);
    if (end == CTL_DONE)
        end = make(&w);
    if (end == CTL_DONE)
        end = set_password(&w);
    if (end == CTL_DONE)
        end = import_mail(&w);
    if (how->dry_run && check_quota(&w) != CTL_DONE)
        end = CTL_FAILED;
    if ((end == CTL_DONE || end == CTL_PARTLY) && line->password_fault != NULL && !w.result.kept_password)
        end = ctl_error(CTL_PARTLY, "%s", line->password_fault);
    w.result.end = end;
    if (end == CTL_PARTLY) {
        add_reason(&w, w.result.import.rejected, "rejected");
        add_reason(&w, w.result.import.doubts, "doubts");
        add_reason(&w, w.result.import.uidls_in_doubt, "UIDLs in doubt");
    }
    w.result.ms = clock_ms() - started;
    ctl_errors_to(NULL, NULL);
    say(voice, SAID_RESULT, &w.result, sizeof w.result);
}

/* ------------------------------------------------------------------- parent */

void move_hear(struct span message, struct move_heard *heard)
{
    static struct move_result result;
    static struct move_progress progress;
    static struct move_said_note note;
    const char *at = message.at + 1;

    *heard = (struct move_heard){ NULL, NULL, NULL };
    switch ((enum said)message.at[0]) {
    case SAID_STEP:
        ASSERT(message.len == 1 + sizeof progress);
        memcpy(&progress, at, sizeof progress);
        heard->progress = &progress;
        break;
    case SAID_RESULT:
        ASSERT(message.len == 1 + sizeof result);
        memcpy(&result, at, sizeof result);
        heard->result = &result;
        break;
    case SAID_NOTE:
        note.what = (enum move_note)at[0];
        note.number = strtoull(at + 1, NULL, 10);
        note.file = at + strlen(at) + 1;
        note.uidl = note.file + strlen(note.file) + 1;
        note.reason = note.uidl + strlen(note.uidl) + 1;
        if (strcmp(note.uidl, "\n") == 0)
            note.uidl = NULL;
        heard->note = &note;
        break;
    }
}
