/*
 * move_report.h - what became of each line of a move: told while it runs, and in a table or as JSON
 * at the end.
 */
#ifndef POSTERN_ADMIN_MOVE_REPORT_H
#define POSTERN_ADMIN_MOVE_REPORT_H

#include "admin/ctl.h"
#include "admin/json.h"
#include "admin/progress.h"
#include "admin/verbs/move_list.h"
#include "admin/verbs/move_work.h"

enum line_state { LINE_WAITS, LINE_RUNS, LINE_DONE, LINE_PARTLY, LINE_FAILED, LINE_REFUSED, LINE_STOPPED, LINE_STATES };

struct outcome {
    enum line_state state;
    struct move_result *result; /* NULL: it has none */
    char *reason;               /* NULL: there is none to give */
    struct move_progress progress;      /* while it runs */
    struct note *notes;         /* the first ones, with --json, until the line is told */
    size_t note_count;
};

struct move_report {
    const struct ctl *c;
    const struct move_list *list;
    bool dry_run;
    struct outcome *outcomes;   /* one for each line of the list */
    struct json json;
    struct progress progress;
    char *server_told;          /* what was said of a server the last time; NULL: nothing */
    uint64_t states[LINE_STATES];   /* how many lines ended so */
    uint64_t messages, octets;  /* that were stored, of lines that ended; */
    uint64_t seen, read;        /* and that were looked at */
};

/* What is lent must live until move_report_free(). */
void move_report_begin(struct move_report *r, const struct ctl *c, const struct move_list *list, bool dry_run);
void move_report_free(struct move_report *r);

/* Something that a process said of the line. */
void move_report_note(struct move_report *r, size_t line, const struct move_said_note *note);
/* Something that is wrong with the line and does not refuse it, before anything is done. */
void move_report_warn(struct move_report *r, size_t line, const char *what);
/* The line has come to its end, whichever; reason may be NULL. A result was put into its outcome before. */
void move_report_settle(struct move_report *r, size_t line, enum line_state state, const char *reason);
/* Before anything was done: an end, too. */
void move_report_refuse(struct move_report *r, size_t line, const char *why);
/* How far it is, where there is a terminal: of `total` lines. */
void move_report_progress(struct move_report *r, size_t total);
/* Lines that were not begun are settled so; then the table, or the end of the JSON. */
void move_report_end(struct move_report *r);

#endif
