/*
 * move.c - `move`: many mailboxes move in, several at once, and a table says what became of each.
 *
 * Nothing is stored before the whole file was looked at. A line that fails leaves the others
 * alone; the same command again does what is left.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/jobs.h"
#include "admin/json.h"
#include "admin/progress.h"
#include "admin/shown.h"
#include "admin/verbs/importing.h"
#include "admin/verbs/keyring.h"
#include "admin/verbs/move_list.h"
#include "admin/verbs/move_work.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum { JOBS_GIVEN = 4, JOBS_MOST = 64, NOTES_KEPT = 1000 };

enum line_state { LINE_WAITS, LINE_RUNS, LINE_DONE, LINE_PARTLY, LINE_FAILED, LINE_REFUSED, LINE_STOPPED, LINE_STATES };
static const char *const state_names[LINE_STATES] = {
    "not begun", "running", "done", "partly", "failed", "refused", "interrupted",
};

struct note {
    enum move_note what;
    uint64_t number;
    char *file, *uidl, *reason;
};

struct outcome {
    enum line_state state;
    struct move_result *result; /* NULL: it has none */
    char *reason;               /* NULL: there is none to give */
    struct move_progress progress;      /* while it runs */
    struct note *notes;         /* the first ones, with --json, until the line is told */
    size_t note_count;
};

struct move {
    struct ctl *c;
    struct move_list *list;
    struct move_how how;
    struct keyring *keyring;
    struct outcome *outcomes;   /* one for each line of the list */
    size_t *todo, todo_count;   /* lines that can be done */
    struct json json;
    struct progress progress;
    bool lost;
    int forwarded;
    uint64_t states[LINE_STATES];    /* how many lines ended so */
    uint64_t messages, octets;  /* that were stored, of lines that ended; */
    uint64_t seen, read;        /* and that were looked at */
};

static volatile sig_atomic_t interrupts;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupts++;
}

static bool is_interrupted(void *arg)
{
    (void)arg;
    return interrupts > 0;
}

/* ------------------------------------------------------------- one outcome */

static void json_result(struct json *j, const struct move_result *r)
{
    json_bool(j, "made_domain", r->made_domain);
    json_bool(j, "made_mailbox", r->made_mailbox);
    json_bool(j, "set_password", r->set_password);
    json_bool(j, "kept_password", r->kept_password);
    json_int(j, "imported", (int64_t)r->import.stored);
    json_int(j, "octets", (int64_t)r->import.stored_octets);
    json_int(j, "there_already", (int64_t)r->import.there);
    for (int i = STATE_LIVING + 1; i < IMPORT_KINDS; i++)
        json_int(j, importing_kinds[i].key, (int64_t)r->import.left_out[i]);
    json_int(j, "rejected", (int64_t)r->import.rejected);
    json_int(j, "doubts", (int64_t)r->import.doubts);
    json_int(j, "uidls_in_doubt", (int64_t)r->import.uidls_in_doubt);
    json_int(j, "removed", (int64_t)r->synced.removed);
    json_int(j, "gone_but_read", (int64_t)r->synced.read);
    json_int(j, "files", (int64_t)r->seen.files);
    json_int(j, "octets_seen", r->seen.octets);
    json_int(j, "milliseconds", (int64_t)r->ms);
}

static const char *note_word(enum move_note what)
{
    switch (what) {
    case NOTE_REJECTED:
        return "REJECTED";
    case NOTE_DOUBT:
        return "DOUBT";
    case NOTE_UIDL:
        return "UIDL";
    case NOTE_SERVER:
        return "SERVER";
    case NOTE_FOLDER:
        break;
    }
    return "FOLDER";
}

static void json_notes(struct json *j, struct outcome *o)
{
    json_array(j, "notes");
    for (size_t i = 0; i < o->note_count; i++) {
        struct note *n = &o->notes[i];

        json_object(j, NULL);
        json_text(j, "kind", span_str(note_word(n->what)));
        json_text(j, "file", span_str(n->file));
        if (n->number > 0)
            json_int(j, "number", (int64_t)n->number);
        if (n->uidl != NULL)
            json_text(j, "uidl", span_str(n->uidl));
        json_text(j, "reason", span_str(n->reason));
        json_end(j);
        mem_free(n->file);
        mem_free(n->uidl);
        mem_free(n->reason);
    }
    json_end(j);
    mem_free(o->notes);
    o->notes = NULL;
    o->note_count = 0;
}

static uint64_t left_out_of(const struct import_done *d)
{
    uint64_t n = 0;

    for (int kind = STATE_LIVING + 1; kind < IMPORT_KINDS; kind++)
        n += d->left_out[kind];
    return n;
}

static uint64_t seen_of(const struct import_done *d)
{
    return d->stored + d->there + d->rejected + left_out_of(d);
}

/* The line has come to its end, whichever. */
static void settle(struct move *m, size_t i, enum line_state state, const char *reason)
{
    const struct move_line *l = &m->list->lines[i];
    struct outcome *o = &m->outcomes[i];
    struct json *j = &m->json;

    o->state = state;
    o->reason = reason != NULL && reason[0] != '\0' ? mem_str(reason) : NULL;
    m->states[state]++;
    if (o->result != NULL) {
        m->messages += o->result->import.stored;
        m->octets += o->result->import.stored_octets;
        m->read += (uint64_t)o->result->seen.octets;
        m->seen += seen_of(&o->result->import);
    }
    if (!m->c->json)
        return;
    json_object(j, NULL);
    json_int(j, "line", (int64_t)l->line);
    json_text(j, "address", span_str(l->address));
    json_text(j, "state", span_str(state_names[state]));
    if (o->reason != NULL)
        json_text(j, "reason", span_str(o->reason));
    if (o->result != NULL)
        json_result(j, o->result);
    json_notes(j, o);
    json_end(j);
    fflush(stdout);
}

static void refuse(struct move *m, size_t i, const char *why)
{
    const struct move_line *l = &m->list->lines[i];

    if (!m->c->json)
        printf("REFUSED line %zu %s: %s\n", l->line, l->address[0] != '\0' ? shown_name(l->address) : "\"\"", why);
    settle(m, i, LINE_REFUSED, why);
}

/* ------------------------------------------------------- what processes say */

static void show_note(struct move *m, size_t i, const struct move_said_note *n)
{
    struct outcome *o = &m->outcomes[i];

    progress_clear(&m->progress);
    if (m->c->json) {
        if (o->note_count == NOTES_KEPT)
            return;
        if (o->notes == NULL)
            o->notes = mem_array(NOTES_KEPT, sizeof *o->notes);
        o->notes[o->note_count++] = (struct note){ n->what, n->number, mem_str(n->file),
                                                   n->uidl != NULL ? mem_str(n->uidl) : NULL, mem_str(n->reason) };
        return;
    }
    printf("%s %s %s", m->list->lines[i].address, note_word(n->what), shown_name(n->file));
    if (n->number > 0)
        printf(n->what == NOTE_REJECTED ? ":message %llu" : ":%llu", (unsigned long long)n->number);
    if (n->uidl != NULL)
        printf(" %s", n->uidl[0] != '\0' ? shown_name(n->uidl) : "\"\"");
    printf(" %s\n", n->reason);
    fflush(stdout);
}

static void said(void *arg, size_t piece, struct span message)
{
    struct move *m = arg;
    struct move_heard heard;
    struct outcome *o = &m->outcomes[m->todo[piece]];

    move_hear(message, &heard);
    if (heard.note != NULL)
        show_note(m, m->todo[piece], heard.note);
    if (heard.progress != NULL)
        o->progress = *heard.progress;
    if (heard.result != NULL) {
        o->result = mem_alloc(sizeof *o->result);
        *o->result = *heard.result;
    }
}

static void done(void *arg, size_t piece)
{
    struct move *m = arg;
    const size_t i = m->todo[piece];
    const struct move_result *r = m->outcomes[i].result;

    ASSERT(r != NULL);
    m->lost = m->lost || r->lost;
    if (r->end == CTL_DONE)
        settle(m, i, LINE_DONE, NULL);
    else if (r->end == CTL_PARTLY)
        settle(m, i, r->import.stopped ? LINE_STOPPED : LINE_PARTLY, r->reason);
    else
        settle(m, i, LINE_FAILED, r->reason);
}

static void died(void *arg, size_t piece, const char *how)
{
    struct move *m = arg;

    settle(m, m->todo[piece], LINE_FAILED, how);
}

static bool wanted(void *arg, size_t piece)
{
    struct move *m = arg;

    if (interrupts > 0 || m->lost)
        return false;
    m->outcomes[m->todo[piece]].state = LINE_RUNS;
    return true;
}

/* The first time all are asked to end behind their batch; whoever cannot wait asks again. */
static void forward(struct move *m)
{
    if (m->forwarded >= interrupts || m->forwarded >= 2)
        return;
    m->forwarded++;
    jobs_signal(m->forwarded == 1 ? SIGTERM : SIGKILL);
}

static void look_around(void *arg)
{
    struct move *m = arg;
    uint64_t messages = m->seen, ended = 0;
    int64_t octets = (int64_t)m->read;

    forward(m);
    if (!m->progress.shown)
        return;
    for (size_t i = 0; i < m->todo_count; i++) {
        const struct outcome *o = &m->outcomes[m->todo[i]];

        if (o->state == LINE_RUNS) {
            messages += o->progress.messages;
            octets += o->progress.octets;
        }
        ended += o->state != LINE_WAITS && o->state != LINE_RUNS;
    }
    progress_of(&m->progress, ended, m->todo_count, messages, octets);
}

static void work(void *arg, size_t piece, const struct jobs_voice *voice)
{
    struct move *m = arg;

    move_work(&m->how, &m->list->lines[m->todo[piece]], voice);
}

static void end_process(void *arg)
{
    struct move *m = arg;

    if (m->c->db != NULL)
        db_close(m->c);
}

/* ------------------------------------------------- before anything is stored */

enum { COL_MAILBOX, COL_HAS_PASSWORD, COL_HAS_DOMAIN, COL_FAULT };

/* What the database says of a line, by row of find_accounts(). */
static void check_account(struct move *m, struct move_line *l, const PGresult *res, int row)
{
    l->has_mailbox = !PQgetisnull(res, row, COL_MAILBOX);
    l->has_password = PQgetvalue(res, row, COL_HAS_PASSWORD)[0] == 't';
    l->has_domain = PQgetvalue(res, row, COL_HAS_DOMAIN)[0] == 't';
    if (!PQgetisnull(res, row, COL_FAULT))
        move_list_fault(l, PQgetvalue(res, row, COL_FAULT));
    else if (!l->has_mailbox && !m->how.create)
        move_list_fault(l, "there is no such mailbox");
    else if (!l->has_domain && m->how.tenant == NULL)
        move_list_fault(l, "its domain is not here: create it, or say for whom with --tenant");
}

static bool check_accounts(struct move *m)
{
    struct buf addresses = BUF_EMPTY;
    struct args a = ARGS_NONE;
    uint32_t n = 0;
    PGresult *res;
    int row = 0;

    pg_array_begin(&addresses, PG_TEXT);
    for (size_t i = 0; i < m->list->count; i++)
        if (m->list->lines[i].fault == NULL) {
            pg_array_put_bytes(&addresses, span_str(m->list->lines[i].address));
            n++;
        }
    pg_array_set_count(&addresses, n);
    args_binary(&a, &addresses);
    res = db_ask(m->c, "find the mailboxes",
                 "select mailbox, has_password, has_domain, fault from postern.find_accounts($1)", &a);
    buf_free(&addresses);
    for (size_t i = 0; res != NULL && i < m->list->count; i++)
        if (m->list->lines[i].fault == NULL)
            check_account(m, &m->list->lines[i], res, row++);
    PQclear(res);
    return res != NULL;
}

static bool check_tenant(struct ctl *c, const char *tenant)
{
    struct args a = ARGS_NONE;

    args_text(&a, tenant);
    return tenant == NULL || db_call(c, "find the tenant", "select postern.list_tenants($1)", &a) == CTL_DONE;
}

/* ------------------------------------------------------------------- report */

static int shown_width(const struct move *m)
{
    size_t width = strlen("ADDRESS");

    for (size_t i = 0; i < m->list->count; i++)
        if (strlen(m->list->lines[i].address) > width)
            width = strlen(m->list->lines[i].address);
    return width < 60 ? (int)width : 60;
}

static void row_text(const struct move *m, size_t i, int width)
{
    const struct outcome *o = &m->outcomes[i];
    const struct move_result none = { .ms = 0 }, *r = o->result != NULL ? o->result : &none;

    printf("%6zu  %-*s  %-11s %9llu %14llu %9llu %9llu %8llu %8.1f", m->list->lines[i].line, width,
           m->list->lines[i].address[0] != '\0' ? shown_name(m->list->lines[i].address) : "-", state_names[o->state],
           (unsigned long long)r->import.stored, (unsigned long long)r->import.stored_octets,
           (unsigned long long)r->import.there, (unsigned long long)left_out_of(&r->import),
           (unsigned long long)r->synced.removed, (double)r->ms / 1000);
    if (o->reason != NULL) {
        char *reason = mem_str(o->reason);

        shown_text(reason);
        printf("  %s", reason);
        mem_free(reason);
    } else if (m->how.dry_run && o->result != NULL) {
        printf("  %s%s%s", r->made_domain ? "make the domain, " : "",
               r->made_mailbox ? "make the mailbox" : "mailbox is here",
               r->set_password ? ", set the password" : r->kept_password ? ", keep the password" : "");
    }
    putchar('\n');
}

static void report_text(struct move *m)
{
    const int width = shown_width(m);
    const double seconds = progress_seconds(&m->progress);

    printf("%6s  %-*s  %-11s %9s %14s %9s %9s %8s %8s  %s\n", "LINE", width, "ADDRESS", "STATE", "IMPORTED", "OCTETS",
           "THERE", "LEFT OUT", "REMOVED", "SECONDS", m->how.dry_run ? "WOULD" : "REASON");
    for (size_t i = 0; i < m->list->count; i++)
        row_text(m, i, width);
    printf("%s %llu of %zu mailboxes: %llu messages, %llu octets in %.1f s", m->how.dry_run ? "would move" : "moved",
           (unsigned long long)m->states[LINE_DONE], m->list->count, (unsigned long long)m->messages,
           (unsigned long long)m->octets, seconds);
    if (seconds > 0 && m->messages > 0)
        printf(" (%.0f/s, %.1f MB/s)", (double)m->messages / seconds, (double)m->octets / 1e6 / seconds);
    for (int s = LINE_DONE + 1; s < LINE_STATES; s++)
        if (m->states[s] > 0)
            printf("; %llu %s", (unsigned long long)m->states[s], state_names[s]);
    if (m->states[LINE_WAITS] > 0)
        printf("; %llu %s", (unsigned long long)m->states[LINE_WAITS], state_names[LINE_WAITS]);
    putchar('\n');
}

static void report_json(struct move *m)
{
    static const char *const keys[LINE_STATES] = {
        "not_begun", NULL, "done", "partly", "failed", "refused", "interrupted",
    };
    struct json *j = &m->json;

    json_end(j);
    json_int(j, "lines", (int64_t)m->list->count);
    for (int s = 0; s < LINE_STATES; s++)
        if (keys[s] != NULL)
            json_int(j, keys[s], (int64_t)m->states[s]);
    json_int(j, "imported", (int64_t)m->messages);
    json_int(j, "octets", (int64_t)m->octets);
    json_int(j, "milliseconds", (int64_t)(progress_seconds(&m->progress) * 1000));
    json_bool(j, "dry_run", m->how.dry_run);
    json_end(j);
}

static enum ctl_exit report(struct move *m)
{
    progress_clear(&m->progress);
    for (size_t i = 0; i < m->list->count; i++)
        if (m->outcomes[i].state == LINE_WAITS)
            settle(m, i, LINE_WAITS, NULL);
    if (m->c->json)
        report_json(m);
    else
        report_text(m);
    if (m->states[LINE_DONE] == m->list->count)
        return CTL_DONE;
    if (interrupts > 0)
        ctl_error(CTL_PARTLY, "interrupted: run the same command again to continue");
    else if (m->lost)
        return ctl_error(CTL_NO_DATABASE, "stopped, as the database cannot be reached: run the same command again to"
                         " continue");
    else if (m->states[LINE_DONE] + m->states[LINE_PARTLY] == 0)
        return ctl_error(CTL_FAILED, "no line could be done");
    return CTL_PARTLY;
}

/* --------------------------------------------------------------------- verb */

static bool move_all(struct move *m, unsigned processes)
{
    const struct jobs jobs = {
        .processes = processes, .count = m->todo_count, .work = work, .end = end_process, .wanted = wanted,
        .said = said, .done = done, .died = died, .wait = look_around, .arg = m,
    };
    struct sigaction stop = { .sa_handler = on_interrupt }, old_int, old_term;
    bool ok;

    sigaction(SIGINT, &stop, &old_int);
    sigaction(SIGTERM, &stop, &old_term);
    ok = m->todo_count == 0 || jobs_run(&jobs);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    return ok;
}

static enum ctl_exit run(struct move *m, unsigned processes)
{
    enum ctl_exit end;
    bool ok;

    if (m->c->json) {
        json_start(&m->json, stdout);
        json_object(&m->json, NULL);
        json_array(&m->json, "mailboxes");
    }
    for (size_t i = 0; i < m->list->count; i++) {
        if (m->list->lines[i].fault != NULL)
            refuse(m, i, m->list->lines[i].fault);
        else
            m->todo[m->todo_count++] = i;
    }
    fflush(stdout);
    /* Each process has a connection of its own, and none may have this one. */
    db_close(m->c);
    progress_start(&m->progress, "mailboxes", 0);
    ok = move_all(m, processes);
    end = report(m);
    return ok || end != CTL_DONE ? end : CTL_FAILED;
}

static void free_all(struct move *m)
{
    for (size_t i = 0; i < m->list->count; i++) {
        mem_free(m->outcomes[i].result);
        mem_free(m->outcomes[i].reason);
    }
    mem_free(m->outcomes);
    mem_free(m->todo);
    move_list_free(&m->list);
    import_pop3_free(&m->how.pop3);
    keyring_free(&m->keyring);
}

enum ctl_exit run_move(struct ctl *c)
{
    struct move m = { .c = c };
    char domain[CTL_DOMAIN_SIZE] = "";
    int64_t processes;
    enum ctl_exit end;

    m.how = (struct move_how){
        .c = c, .tenant = c->opt[OPT_TENANT], .create = c->opt[OPT_NO_CREATE] == NULL,
        .final = c->opt[OPT_FINAL] != NULL, .dry_run = c->opt[OPT_DRY_RUN] != NULL,
        .over_quota = c->opt[OPT_OVER_QUOTA] != NULL, .sync = c->opt[OPT_SYNC] != NULL, .stop = is_interrupted,
    };
    end = importing_options(c, &m.how.source, m.how.with);
    if (end != CTL_DONE || !ctl_number(c, OPT_JOBS, JOBS_GIVEN, JOBS_MOST, &processes))
        return CTL_USAGE;
    if (import_pop3_common(c, &m.how.pop3) != CTL_DONE)
        return CTL_USAGE;
    if ((c->opt[OPT_MASTER] != NULL) != (c->opt[OPT_PASSWORD_FILE] != NULL))
        return ctl_error(CTL_USAGE, "--master and --password-file want each other");
    if (c->opt[OPT_SYNC_LIMIT] != NULL && !m.how.sync)
        return ctl_error(CTL_USAGE, "--sync-limit is for --sync");
    if (m.how.sync && m.how.final)
        return ctl_error(CTL_USAGE, "--sync and --final exclude each other: after the switch nothing is removed here");
    if (m.how.tenant != NULL && !m.how.create)
        return ctl_error(CTL_USAGE, "--tenant and --no-create exclude each other");
    if (m.how.final && m.how.with[IMPORT_GONE])
        return ctl_error(CTL_USAGE, "--final and --with gone exclude each other: what is deleted stays deleted");
    if (c->opt[OPT_DOMAIN] != NULL && !ctl_domain(c->opt[OPT_DOMAIN], domain))
        return CTL_FAILED;
    if (!check_tenant(c, m.how.tenant))
        return db_end(c);
    if (!ctl_keyring(c, &m.keyring))
        return CTL_FAILED;
    secret_no_core();
    m.how.keyring = m.keyring;
    if (c->opt[OPT_MASTER] == NULL || secret_line_of_file(c->opt[OPT_PASSWORD_FILE], &m.how.pop3.secret))
        m.list = move_list_read(c->args[0], domain, c->opt[OPT_MASTER] != NULL);
    if (m.list == NULL) {
        import_pop3_free(&m.how.pop3);
        keyring_free(&m.keyring);
        return CTL_FAILED;
    }
    m.how.list = m.list;
    m.outcomes = mem_array(m.list->count + 1, sizeof *m.outcomes);
    m.todo = mem_array(m.list->count + 1, sizeof *m.todo);
    end = check_accounts(&m) ? run(&m, (unsigned)processes) : db_end(c);
    free_all(&m);
    return end;
}
