/*
 * move_report.c - what became of each line of a move (see move_report.h).
 *
 * Must never show a field of the file but the address.
 */
#include "admin/verbs/move_report.h"

#include <stdio.h>
#include <string.h>

#include "admin/shown.h"
#include "admin/verbs/importing.h"
#include "daemon/base/buf.h"
#include "daemon/base/mem.h"

enum { NOTES_KEPT = 1000 };

static const char *const state_names[LINE_STATES] = {
    "not begun", "running", "done", "partly", "failed", "refused", "interrupted",
};

struct note {
    enum move_note what;
    uint64_t number;
    char *file, *uidl, *reason;
};

static void json_result(struct json *j, const struct move_result *r)
{
    json_bool(j, "made_domain", r->made_domain);
    json_bool(j, "made_mailbox", r->made_mailbox);
    json_bool(j, "set_password", r->set_password);
    json_bool(j, "kept_password", r->kept_password);
    json_int(j, "imported", (int64_t)r->import.stored);
    json_int(j, "octets", (int64_t)r->import.stored_octets);
    json_int(j, "there_already", (int64_t)r->import.there);
    json_int(j, "uidls_set", (int64_t)r->import.adopted);
    json_int(j, "other_uidls", (int64_t)r->import.other_uidls);
    for (int i = STATE_LIVING + 1; i < IMPORT_KINDS; i++)
        json_int(j, importing_kinds[i].key, (int64_t)r->import.left_out[i]);
    json_int(j, "rejected", (int64_t)r->import.rejected);
    json_int(j, "doubts", (int64_t)r->import.doubts);
    json_int(j, "uidls_in_doubt", (int64_t)r->import.uidls_in_doubt);
    json_int(j, "removed", (int64_t)r->synced.removed);
    json_int(j, "gone_but_read", (int64_t)r->synced.read);
    json_bool(j, "held", r->synced.held);
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
void move_report_settle(struct move_report *r, size_t i, enum line_state state, const char *reason)
{
    const struct move_line *l = &r->list->lines[i];
    struct outcome *o = &r->outcomes[i];
    struct json *j = &r->json;

    o->state = state;
    o->reason = reason != NULL && reason[0] != '\0' ? mem_str(reason) : NULL;
    r->states[state]++;
    if (o->result != NULL) {
        r->messages += o->result->import.stored;
        r->octets += o->result->import.stored_octets;
        r->read += (uint64_t)o->result->seen.octets;
        r->seen += seen_of(&o->result->import);
    }
    if (!r->c->json)
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

void move_report_refuse(struct move_report *r, size_t i, const char *why)
{
    const struct move_line *l = &r->list->lines[i];

    if (!r->c->json)
        printf("REFUSED line %zu %s: %s\n", l->line, l->address[0] != '\0' ? shown_name(l->address) : "\"\"", why);
    move_report_settle(r, i, LINE_REFUSED, why);
}

void move_report_warn(struct move_report *r, size_t i, const char *what)
{
    const struct move_line *l = &r->list->lines[i];

    if (!r->c->json)
        printf("PASSWORD line %zu %s: %s\n", l->line, shown_name(l->address), what);
}

/* What is true of a server is so for each of its mailboxes: people are told once. */
static bool is_news(struct move_report *r, const struct move_said_note *n)
{
    struct buf text = BUF_EMPTY;
    bool news;

    if (n->what != NOTE_SERVER)
        return true;
    buf_addf(&text, "%s %s", n->file, n->reason);
    news = r->server_told == NULL || strcmp(r->server_told, buf_span(&text).at) != 0;
    mem_free(r->server_told);
    r->server_told = mem_str(buf_span(&text).at);
    buf_free(&text);
    return news;
}

/* The words may be those of a server. */
static void put_shown(const char *text)
{
    char *copy = mem_str(text);

    shown_text(copy);
    fputs(copy, stdout);
    mem_free(copy);
}

void move_report_note(struct move_report *r, size_t i, const struct move_said_note *n)
{
    struct outcome *o = &r->outcomes[i];

    if (!r->c->json && !is_news(r, n))
        return;
    progress_clear(&r->progress);
    if (r->c->json) {
        if (o->note_count == NOTES_KEPT)
            return;
        if (o->notes == NULL)
            o->notes = mem_array(NOTES_KEPT, sizeof *o->notes);
        o->notes[o->note_count++] = (struct note){ n->what, n->number, mem_str(n->file),
                                                   n->uidl != NULL ? mem_str(n->uidl) : NULL, mem_str(n->reason) };
        return;
    }
    printf("%s %s %s", r->list->lines[i].address, note_word(n->what), shown_name(n->file));
    if (n->number > 0)
        printf(n->what == NOTE_REJECTED ? ":message %llu" : ":%llu", (unsigned long long)n->number);
    if (n->uidl != NULL)
        printf(" %s", n->uidl[0] != '\0' ? shown_name(n->uidl) : "\"\"");
    putchar(' ');
    put_shown(n->reason);
    putchar('\n');
    fflush(stdout);
}

static int shown_width(const struct move_report *r)
{
    size_t width = strlen("ADDRESS");

    for (size_t i = 0; i < r->list->count; i++)
        if (strlen(r->list->lines[i].address) > width)
            width = strlen(r->list->lines[i].address);
    return width < 60 ? (int)width : 60;
}

static void row_text(const struct move_report *r, size_t i, int width)
{
    const struct move_result none = { .ms = 0 };
    const struct outcome *o = &r->outcomes[i];
    const struct move_line *l = &r->list->lines[i];
    const struct move_result *got = o->result != NULL ? o->result : &none;

    printf("%6zu  %-*s  %-11s %9llu %14llu %9llu %9llu %8llu %8.1f", l->line, width,
           l->address[0] != '\0' ? shown_name(l->address) : "-", state_names[o->state],
           (unsigned long long)got->import.stored, (unsigned long long)got->import.stored_octets,
           (unsigned long long)got->import.there, (unsigned long long)left_out_of(&got->import),
           (unsigned long long)got->synced.removed, (double)got->ms / 1000);
    if (o->reason != NULL) {
        fputs("  ", stdout);
        put_shown(o->reason);
    } else if (r->dry_run && o->result != NULL) {
        printf("  %s%s%s", got->made_domain ? "make the domain, " : "",
               got->made_mailbox ? "make the mailbox" : "mailbox is here",
               got->set_password ? ", set the password" : got->kept_password ? ", keep the password" : "");
    }
    putchar('\n');
}

static void report_text(struct move_report *r)
{
    const int width = shown_width(r);
    const double seconds = progress_seconds(&r->progress);

    printf("%6s  %-*s  %-11s %9s %14s %9s %9s %8s %8s  %s\n", "LINE", width, "ADDRESS", "STATE", "IMPORTED", "OCTETS",
           "THERE", "LEFT OUT", "REMOVED", "SECONDS", r->dry_run ? "WOULD" : "REASON");
    for (size_t i = 0; i < r->list->count; i++)
        row_text(r, i, width);
    printf("%s %llu of %zu mailboxes: %llu messages, %llu octets in %.1f s", r->dry_run ? "would move" : "moved",
           (unsigned long long)r->states[LINE_DONE], r->list->count, (unsigned long long)r->messages,
           (unsigned long long)r->octets, seconds);
    if (seconds > 0 && r->messages > 0)
        printf(" (%.0f/s, %.1f MB/s)", (double)r->messages / seconds, (double)r->octets / 1e6 / seconds);
    for (int s = LINE_DONE + 1; s < LINE_STATES; s++)
        if (r->states[s] > 0)
            printf("; %llu %s", (unsigned long long)r->states[s], state_names[s]);
    if (r->states[LINE_WAITS] > 0)
        printf("; %llu %s", (unsigned long long)r->states[LINE_WAITS], state_names[LINE_WAITS]);
    putchar('\n');
}

static void report_json(struct move_report *r)
{
    static const char *const keys[LINE_STATES] = {
        "not_begun", NULL, "done", "partly", "failed", "refused", "interrupted",
    };
    struct json *j = &r->json;

    json_end(j);
    json_int(j, "lines", (int64_t)r->list->count);
    for (int s = 0; s < LINE_STATES; s++)
        if (keys[s] != NULL)
            json_int(j, keys[s], (int64_t)r->states[s]);
    json_int(j, "imported", (int64_t)r->messages);
    json_int(j, "octets", (int64_t)r->octets);
    json_int(j, "milliseconds", (int64_t)(progress_seconds(&r->progress) * 1000));
    json_bool(j, "dry_run", r->dry_run);
    json_end(j);
}

void move_report_begin(struct move_report *r, const struct ctl *c, const struct move_list *list, bool dry_run)
{
    *r = (struct move_report){ .c = c, .list = list, .dry_run = dry_run };
    r->outcomes = mem_array(list->count + 1, sizeof *r->outcomes);
    progress_start(&r->progress, "mailboxes", 0);
    if (!c->json)
        return;
    json_start(&r->json, stdout);
    json_object(&r->json, NULL);
    json_array(&r->json, "mailboxes");
}

void move_report_progress(struct move_report *r, size_t total)
{
    uint64_t messages = r->seen, ended = 0;
    int64_t octets = (int64_t)r->read;

    if (!r->progress.shown)
        return;
    for (size_t i = 0; i < r->list->count; i++) {
        const struct outcome *o = &r->outcomes[i];

        if (o->state == LINE_RUNS) {
            messages += o->progress.messages;
            octets += o->progress.octets;
        }
        ended += o->state != LINE_WAITS && o->state != LINE_RUNS && o->state != LINE_REFUSED;
    }
    progress_of(&r->progress, ended, total, messages, octets);
}

void move_report_end(struct move_report *r)
{
    progress_clear(&r->progress);
    for (size_t i = 0; i < r->list->count; i++)
        if (r->outcomes[i].state == LINE_WAITS)
            move_report_settle(r, i, LINE_WAITS, NULL);
    if (r->c->json)
        report_json(r);
    else
        report_text(r);
}

void move_report_free(struct move_report *r)
{
    for (size_t i = 0; i < r->list->count; i++) {
        mem_free(r->outcomes[i].result);
        mem_free(r->outcomes[i].reason);
    }
    mem_free(r->outcomes);
    mem_free(r->server_told);
}
