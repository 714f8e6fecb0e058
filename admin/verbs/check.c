/*
 * check.c - `check`: what does not add up, in words, and mending it.
 *
 * Right while deliveries and sessions run: whatever is called wrong was seen in
 * one snapshot. Mends only what follows from what is there; a message is never
 * removed, its octets are never changed.
 */
#include <stdio.h>
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

enum { COL_KIND, COL_ID, COL_MENDABLE, COL_PROBLEM };

static PGresult *find_problems(struct ctl *c)
{
    static const struct args none = { .n = 0 };

    return db_ask(c, "check for problems", "select kind, id, mendable, problem from postern.find_problems()", &none);
}

static bool same(const PGresult *x, int i, const PGresult *y, int j)
{
    return strcmp(PQgetvalue(x, i, COL_KIND), PQgetvalue(y, j, COL_KIND)) == 0 &&
           strcmp(PQgetvalue(x, i, COL_ID), PQgetvalue(y, j, COL_ID)) == 0;
}

static bool is_among(const PGresult *x, int i, const PGresult *y)
{
    for (int j = 0; j < PQntuples(y); j++)
        if (same(x, i, y, j))
            return true;
    return false;
}

/* True if the database can still be asked: a mending that failed was reported. */
static bool mend(struct ctl *c, const PGresult *found)
{
    for (int i = 0; i < PQntuples(found); i++) {
        struct args a = ARGS_NONE;
        PGresult *res;

        if (PQgetvalue(found, i, COL_MENDABLE)[0] != 't')
            continue;
        args_text(&a, PQgetvalue(found, i, COL_KIND));
        args_text(&a, PQgetvalue(found, i, COL_ID));
        res = db_ask(c, "mend", "select postern.mend($1, $2)", &a);
        PQclear(res);
        if (res == NULL && db_end(c) == CTL_NO_DATABASE)
            return false;
    }
    return true;
}

/* Counts and references. */
static enum ctl_exit check_counts(struct check *k)
{
    PGresult *found = find_problems(k->c), *left = NULL;

    if (found == NULL)
        return db_end(k->c);
    if (k->c->opt[OPT_REPAIR] != NULL && PQntuples(found) > 0) {
        /* Looked at once more: what was mended is what has gone. */
        if (!mend(k->c, found) || (left = find_problems(k->c)) == NULL) {
            PQclear(found);
            return db_end(k->c);
        }
        for (int i = 0; i < PQntuples(found); i++)
            if (!is_among(found, i, left))
                report(k, PQgetvalue(found, i, COL_KIND), PQgetvalue(found, i, COL_PROBLEM), true);
        PQclear(found);
        found = left;
    }
    for (int i = 0; i < PQntuples(found); i++)
        report(k, PQgetvalue(found, i, COL_KIND), PQgetvalue(found, i, COL_PROBLEM), false);
    PQclear(found);
    return CTL_DONE;
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
static enum ctl_exit check_spelling(struct check *k, const char *kind, const char *sql)
{
    PGresult *res = db_ask(k->c, "check names", sql, &ARGS_NONE);
    struct buf text = BUF_EMPTY;
    int wrong = 0;

    if (res == NULL)
        return db_end(k->c);
    for (int i = 0; i < PQntuples(res); i++) {
        char made[NAME_ADDRESS_MAX + 1];

        if (name_canonical(db_bytes(res, i, 0), SPAN_OF(""), made, NULL) == 0 ||
            strcmp(made, PQgetvalue(res, i, 0)) == 0)
            continue;
        if (wrong++ < 3)
            buf_addf(&text, "%s\"%s\" (it is spelled \"%s\")", wrong > 1 ? ", " : "", PQgetvalue(res, i, 0), made);
    }
    PQclear(res);
    if (wrong > 0) {
        struct buf line = BUF_EMPTY;

        buf_addf(&line, "%d %s(es) that neither clients nor mail can reach: %.*s", wrong, kind, (int)buf_left(&text),
                 buf_span(&text).at);
        buf_add(&line, "", 1);
        report(k, "spelling", buf_span(&line).at, false);
        buf_free(&line);
    }
    buf_free(&text);
    return CTL_DONE;
}

static enum ctl_exit check_spellings(struct check *k)
{
    enum ctl_exit end = check_spelling(k, "mailbox", "select m.address from postern.list_mailboxes(null) m"
                                       " where octet_length(m.address) > length(m.address) and m.address is nfc"
                                       " normalized");

    return end != CTL_DONE ? end
        : check_spelling(k, "alias", "select distinct a.address from postern.list_aliases(null, null) a"
                         " where octet_length(a.address) > length(a.address) and a.address is nfc normalized and"
                         " a.address not like '@%'");
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
    end = check_counts(&k);
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
