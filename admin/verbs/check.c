/*
 * check.c - `check`: what does not add up, in words, and mending it.
 *
 * Right while deliveries and sessions run: whatever is called wrong was seen in
 * one snapshot. Mends only what follows from what is there; a message is never
 * removed, its octets are never changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/out.h"
#include "admin/progress.h"
#include "admin/verbs/scan.h"
#include "auth/name.h"
#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

struct check {
    struct ctl *c;
    struct json json;
    uint64_t wrong, mended;
};

static void report(struct check *k, const char *kind, const char *problem, bool mended)
{
    if (mended)
        k->mended++;
    else
        k->wrong++;
    if (k->c->json) {
        json_object(&k->json, NULL);
        json_text(&k->json, "kind", span_str(kind));
        json_text(&k->json, "problem", span_str(problem));
        json_bool(&k->json, "mended", mended);
        json_end(&k->json);
        return;
    }
    fputs(mended ? "MENDED " : "WRONG ", stdout);
    out_text(stdout, problem, 0);
    putchar('\n');
}

/* ---- counts and references, step by step (find_problems()) */

static const char *const steps[] = { "contents", "mailboxes", "usage", "parts", "uidls", "names", "partitions" };
enum { STEPS = sizeof steps / sizeof steps[0] };
enum { COL_KIND, COL_ID, COL_MENDABLE, COL_PROBLEM };
enum { CONTENTS_AT_ONCE = 1000 };
static const char find[] = "select kind, id, mendable, problem from postern.find_problems($1)";

/* "check mailboxes (step 2 of 7)", lent until the next call. */
static const char *step_text(int step)
{
    static char text[80];

    snprintf(text, sizeof text, "check %s (step %d of %d)", steps[step], step + 1, STEPS);
    return text;
}

static PGresult *find_problems(struct ctl *c, int step)
{
    struct args a = ARGS_NONE;

    args_text(&a, steps[step]);
    return db_ask(c, step_text(step), find, &a);
}

static bool tell_problem(void *arg, const PGresult *res)
{
    if (PQntuples(res) > 0)
        report(arg, PQgetvalue(res, 0, COL_KIND), PQgetvalue(res, 0, COL_PROBLEM), false);
    return true;
}

/* As they come: there may be as many as there are mailboxes. */
static enum ctl_exit tell_problems(struct check *k)
{
    enum ctl_exit end = CTL_DONE;

    for (int step = 0; step < STEPS && end == CTL_DONE; step++) {
        struct args a = ARGS_NONE;

        args_text(&a, steps[step]);
        end = db_each(k->c, step_text(step), find, &a, tell_problem, k);
    }
    return end;
}

/* By kind and number, the order in which they come. */
static int compare(const PGresult *x, int i, const PGresult *y, int j)
{
    int kind = strcmp(PQgetvalue(x, i, COL_KIND), PQgetvalue(y, j, COL_KIND));
    long long m = strtoll(PQgetvalue(x, i, COL_ID), NULL, 10), n = strtoll(PQgetvalue(y, j, COL_ID), NULL, 10);

    return kind != 0 ? kind : (m > n) - (m < n);
}

/* What is mended by one reading of all messages, which a thousand may share. */
static bool is_of_content(const PGresult *found, int i)
{
    const char *kind = PQgetvalue(found, i, COL_KIND);

    return strcmp(kind, "refs") == 0 || strcmp(kind, "orphan content") == 0;
}

/* From row i on as many as go together; returns the row behind them. */
static int mend_some(struct ctl *c, const PGresult *found, int i)
{
    struct args a = ARGS_NONE;
    struct buf contents = BUF_EMPTY;
    uint32_t n = 0;

    if (!is_of_content(found, i)) {
        args_text(&a, PQgetvalue(found, i, COL_KIND));
        args_text(&a, PQgetvalue(found, i, COL_ID));
        db_call(c, "mend", "select postern.mend($1, $2)", &a);
        return i + 1;
    }
    pg_array_begin(&contents, PG_INT8);
    for (; i < PQntuples(found) && n < CONTENTS_AT_ONCE && is_of_content(found, i); i++, n++)
        pg_array_put_int8(&contents, strtoll(PQgetvalue(found, i, COL_ID), NULL, 10));
    pg_array_set_count(&contents, n);
    args_binary(&a, &contents);
    db_call(c, "mend contents", "select postern.mend_contents($1)", &a);
    buf_free(&contents);
    return i;
}

/* True if the database can still be asked: a mending that failed was reported. */
static bool mend(struct ctl *c, const PGresult *found)
{
    for (int i = 0; i < PQntuples(found);) {
        i = PQgetvalue(found, i, COL_MENDABLE)[0] == 't' ? mend_some(c, found, i) : i + 1;
        if (db_end(c) == CTL_NO_DATABASE)
            return false;
    }
    return true;
}

/* Looked at once more: what was mended is what has gone. */
static void tell_mended(struct check *k, const PGresult *found, const PGresult *left)
{
    int j = 0, n = PQntuples(left);

    for (int i = 0; i < PQntuples(found); i++) {
        while (j < n && compare(left, j, found, i) < 0)
            j++;
        if (j == n || compare(left, j, found, i) != 0)
            report(k, PQgetvalue(found, i, COL_KIND), PQgetvalue(found, i, COL_PROBLEM), true);
    }
    for (j = 0; j < n; j++)
        report(k, PQgetvalue(left, j, COL_KIND), PQgetvalue(left, j, COL_PROBLEM), false);
}

static enum ctl_exit repair(struct check *k)
{
    PGresult *found[STEPS] = { NULL }, *left;
    bool good = true;

    for (int step = 0; step < STEPS && good; step++)
        good = (found[step] = find_problems(k->c, step)) != NULL;
    for (int step = 0; step < STEPS && good; step++)
        good = mend(k->c, found[step]);
    /* What one step mends may be what another one has found. */
    for (int step = 0; step < STEPS && good; step++) {
        if (PQntuples(found[step]) == 0)
            continue;
        good = (left = find_problems(k->c, step)) != NULL;
        if (good)
            tell_mended(k, found[step], left);
        PQclear(left);
    }
    for (int step = 0; step < STEPS; step++)
        PQclear(found[step]);
    return good ? CTL_DONE : db_end(k->c);
}

/*
 * What somebody has set, granted or taken over. What is not wrong for certain
 * is told, and not counted.
 */
static enum ctl_exit check_risks(struct check *k)
{
    PGresult *res = db_ask(k->c, "look for added rights", "select is_wrong, risk from postern.find_risks()",
                           &ARGS_NONE);

    if (res == NULL)
        return db_end(k->c);
    for (int i = 0; i < PQntuples(res); i++) {
        if (PQgetvalue(res, i, 0)[0] == 't')
            report(k, "risk", PQgetvalue(res, i, 1), false);
        else if (!k->c->json)
            ctl_error(CTL_DONE, "%s", PQgetvalue(res, i, 1));
    }
    PQclear(res);
    return CTL_DONE;
}

/*
 * SQL knows what the programs make of ASCII. Letters beyond it they fold by the
 * tables of a library of their own: what they would spell in another way is
 * looked for here, among the few that have such letters.
 */
struct spelling {
    struct check *check;
    char kind[16];
    struct buf text;        /* the first three */
    int wrong;
};

static void tell_spelling(struct spelling *s)
{
    struct buf line = BUF_EMPTY;

    if (s->wrong > 0) {
        buf_addf(&line, "%d %s(es) that neither clients nor mail can reach: %.*s", s->wrong, s->kind,
                 (int)buf_left(&s->text), buf_span(&s->text).at);
        buf_add(&line, "", 1);
        report(s->check, "spelling", buf_span(&line).at, false);
    }
    buf_free(&line);
    buf_clear(&s->text);
    s->wrong = 0;
}

/* They come by kind. */
static bool check_spelling(void *arg, const PGresult *res)
{
    struct spelling *s = arg;
    char made[NAME_ADDRESS_MAX + 1];

    if (PQntuples(res) == 0 || strcmp(s->kind, PQgetvalue(res, 0, 0)) != 0)
        tell_spelling(s);
    if (PQntuples(res) == 0)
        return true;
    snprintf(s->kind, sizeof s->kind, "%s", PQgetvalue(res, 0, 0));
    if (name_canonical(db_bytes(res, 0, 1), SPAN_OF(""), made, NULL) == 0 || strcmp(made, PQgetvalue(res, 0, 1)) == 0)
        return true;
    if (s->wrong++ < 3)
        buf_addf(&s->text, "%s\"%s\" (it is spelled \"%s\")", s->wrong > 1 ? ", " : "", PQgetvalue(res, 0, 1), made);
    return true;
}

static enum ctl_exit check_spellings(struct check *k)
{
    struct spelling s = { .check = k, .text = BUF_EMPTY };
    enum ctl_exit end = db_each(k->c, "check names", "select kind, address from postern.names_beyond_ascii()",
                                &ARGS_NONE, check_spelling, &s);

    buf_free(&s.text);
    return end;
}

static void damaged(void *arg, const char *problem)
{
    report(arg, "octets", problem, false);
}

enum ctl_exit run_check(struct ctl *c)
{
    struct check k = { .c = c };
    struct scan_totals totals = { 0, 0 };
    char *collation;
    bool ours;
    enum ctl_exit end;

    if (!db_locks_are_ours(c, &ours))
        return db_end(c);
    if (!ours && !c->json)
        ctl_error(CTL_DONE, "%s", db_locks_advice);
    collation = db_collation(c);
    if (collation != NULL && !c->json)
        ctl_error(CTL_DONE, "%s", collation);
    if (c->json) {
        json_start(&k.json, stdout);
        json_object(&k.json, NULL);
        json_text(&k.json, "collation", span_str(collation));
        json_text(&k.json, "locks", span_str(ours ? "revoked" : "tickets"));
        json_array(&k.json, "problems");
    }
    end = c->opt[OPT_REPAIR] != NULL ? repair(&k) : tell_problems(&k);
    if (end == CTL_DONE)
        end = check_spellings(&k);
    if (end == CTL_DONE)
        end = check_risks(&k);
    if (end == CTL_DONE && c->opt[OPT_QUICK] == NULL)
        end = scan_contents(c, &(struct scan_how){ .damaged = damaged, .arg = &k }, &totals);
    if (c->json) {
        json_end(&k.json);
        json_int(&k.json, "wrong", (int64_t)k.wrong);
        json_int(&k.json, "mended", (int64_t)k.mended);
        json_int(&k.json, "contents_read", (int64_t)totals.contents);
        json_int(&k.json, "octets_read", (int64_t)totals.octets);
        json_bool(&k.json, "complete", end == CTL_DONE);
        json_end(&k.json);
    } else if (end == CTL_DONE) {
        if (c->opt[OPT_QUICK] == NULL)
            printf("read %llu contents, %llu octets; ", (unsigned long long)totals.contents,
                   (unsigned long long)totals.octets);
        printf("%llu wrong, %llu mended\n", (unsigned long long)k.wrong, (unsigned long long)k.mended);
    }
    mem_free(collation);
    return end == CTL_DONE && k.wrong > 0 ? CTL_FAILED : end;
}
