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
#include "admin/verbs/import_dbmail.h"
#include "admin/verbs/importing.h"
#include "admin/verbs/keyring.h"
#include "admin/verbs/move_list.h"
#include "admin/verbs/move_report.h"
#include "admin/verbs/move_work.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum { JOBS_GIVEN = 4, JOBS_MOST = 64 };

struct move {
    struct ctl *c;
    struct move_list *list;
    struct move_how how;
    struct keyring *keyring;
    struct move_report report;
    size_t *todo, todo_count;   /* lines that can be done */
    bool lost;
    int forwarded;
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

/* ------------------------------------------------------- what processes say */

static void said(void *arg, size_t piece, struct span message)
{
    struct move *m = arg;
    struct move_heard heard;
    struct outcome *o = &m->report.outcomes[m->todo[piece]];

    move_hear(message, &heard);
    if (heard.note != NULL)
        move_report_note(&m->report, m->todo[piece], heard.note);
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
    const struct move_result *r = m->report.outcomes[i].result;

    ASSERT(r != NULL);
    m->lost = m->lost || r->lost;
    if (r->end == CTL_DONE)
        move_report_settle(&m->report, i, LINE_DONE, NULL);
    else if (r->end == CTL_PARTLY)
        move_report_settle(&m->report, i, r->import.stopped ? LINE_STOPPED : LINE_PARTLY, r->reason);
    else
        move_report_settle(&m->report, i, LINE_FAILED, r->reason);
}

static void died(void *arg, size_t piece, const char *how)
{
    struct move *m = arg;

    move_report_settle(&m->report, m->todo[piece], LINE_FAILED, how);
}

static bool wanted(void *arg, size_t piece)
{
    struct move *m = arg;

    if (interrupts > 0 || m->lost)
        return false;
    m->report.outcomes[m->todo[piece]].state = LINE_RUNS;
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

    forward(m);
    move_report_progress(&m->report, m->todo_count);
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

static enum ctl_exit report(struct move *m)
{
    const uint64_t *states = m->report.states;

    move_report_end(&m->report);
    if (states[LINE_DONE] == m->list->count)
        return CTL_DONE;
    if (interrupts > 0)
        ctl_error(CTL_PARTLY, "interrupted: run the same command again to continue");
    else if (m->lost)
        return ctl_error(CTL_NO_DATABASE,
                         "stopped, as the database cannot be reached: run the same command again to continue");
    else if (states[LINE_DONE] + states[LINE_PARTLY] == 0)
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

    move_report_begin(&m->report, m->c, m->list, m->how.dry_run);
    for (size_t i = 0; i < m->list->count; i++) {
        const struct move_line *l = &m->list->lines[i];

        if (l->fault != NULL) {
            move_report_refuse(&m->report, i, l->fault);
            continue;
        }
        if (l->password_fault != NULL)
            move_report_warn(&m->report, i, l->password_fault);
        m->todo[m->todo_count++] = i;
    }
    fflush(stdout);
    /* Each process has a connection of its own, and none may have this one. */
    db_close(m->c);
    ok = move_all(m, processes);
    end = report(m);
    move_report_free(&m->report);
    return ok || end != CTL_DONE ? end : CTL_FAILED;
}

static void free_all(struct move *m)
{
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
    if (import_dbmail_common(c) != CTL_DONE)
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
        m.list = move_list_read(c->args[0], domain, c->opt[OPT_MASTER] != NULL, c->opt[OPT_DBMAIL] != NULL);
    if (m.list == NULL) {
        import_pop3_free(&m.how.pop3);
        keyring_free(&m.keyring);
        return CTL_FAILED;
    }
    m.how.list = m.list;
    m.todo = mem_array(m.list->count + 1, sizeof *m.todo);
    end = check_accounts(&m) ? run(&m, (unsigned)processes) : db_end(c);
    free_all(&m);
    return end;
}
