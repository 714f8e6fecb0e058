/*
 * verify.c - `verify`: everything is read back and compared with its digest.
 *
 * How far it got is kept in the database, so that it can be resumed, from
 * another host too. Changes no mail.
 */
#include <stdio.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/out.h"
#include "admin/verbs/scan.h"

struct verify {
    struct ctl *c;
    struct json json;
    int64_t damaged;
};

static bool note(struct verify *v, int64_t content, const struct scan_totals *totals, bool finished)
{
    struct args a = ARGS_NONE;
    PGresult *res;

    args_int(&a, content);
    args_int(&a, (int64_t)totals->contents);
    args_int(&a, (int64_t)totals->octets);
    args_int(&a, v->damaged);
    args_bool(&a, finished);
    res = db_ask(v->c, "record the progress", "select postern.verify_note($1, $2, $3, $4, $5)", &a);
    PQclear(res);
    return res != NULL;
}

static bool noted(void *arg, int64_t content, const struct scan_totals *totals)
{
    return note(arg, content, totals, false);
}

static void damaged(void *arg, const char *problem)
{
    struct verify *v = arg;

    v->damaged++;
    if (v->c->json) {
        json_text(&v->json, NULL, span_str(problem));
        return;
    }
    fputs("WRONG ", stdout);
    out_text(stdout, problem, 0);
    putchar('\n');
    fflush(stdout);
}

enum ctl_exit run_verify(struct ctl *c)
{
    struct verify v = { .c = c };
    struct scan_how how = { .damaged = damaged, .noted = noted, .arg = &v };
    struct scan_totals totals;
    struct args a = ARGS_NONE;
    enum ctl_exit end;
    int64_t rate, begun[4];

    if (!ctl_number(c, OPT_RATE, 0, 1000000, &rate))
        return CTL_USAGE;
    how.octets_per_second = rate * 1000000;
    args_bool(&a, c->opt[OPT_RESUME] != NULL);
    if (!db_numbers(c, "begin", "select content, contents, octets, damaged from postern.verify_start($1)", &a, 4,
                    begun))
        return db_end(c);
    how.behind = begun[0];
    totals = (struct scan_totals){ (uint64_t)begun[1], (uint64_t)begun[2] };
    v.damaged = begun[3];
    if (how.behind > 0)
        ctl_say(c, "continuing after content %lld: %llu contents read, %lld of them damaged", (long long)how.behind,
                (unsigned long long)totals.contents, (long long)v.damaged);
    if (c->json) {
        json_start(&v.json, stdout);
        json_object(&v.json, NULL);
        json_array(&v.json, "problems");
    }
    end = scan_contents(c, &how, &totals);
    if (end == CTL_DONE && !note(&v, 0, &totals, true))
        end = db_end(c);
    if (c->json) {
        json_end(&v.json);
        json_int(&v.json, "wrong", v.damaged);
        json_int(&v.json, "contents_read", (int64_t)totals.contents);
        json_int(&v.json, "octets_read", (int64_t)totals.octets);
        json_bool(&v.json, "complete", end == CTL_DONE);
        json_end(&v.json);
    } else if (end == CTL_DONE) {
        printf("read %llu contents, %llu octets; %lld damaged\n", (unsigned long long)totals.contents,
               (unsigned long long)totals.octets, (long long)v.damaged);
    }
    return end == CTL_DONE && v.damaged > 0 ? CTL_FAILED : end;
}
