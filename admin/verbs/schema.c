/*
 * schema.c - `schema init`, `upgrade`, `status` and `sequences`. The texts are built in: a new
 * schema is made in one transaction, each upgrade has one of its own, and the row
 * in the version table is part of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "storage/pg/schema.h"

/*
 * Two upgrades at once: the second one waits here, and then finds nothing to
 * do. The form of two numbers cannot meet the lock of a maildrop, which is one.
 */
static const char upgrade_lock[] = "select pg_advisory_xact_lock(x'504F'::integer, 0)";

/* One statement or a whole file, whatever it answers. What fails ends the transaction. */
static bool run_text(struct ctl *c, const char *what, const char *sql)
{
    PGresult *res = PQexec(c->db, sql);
    bool ok = PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;

    if (!ok)
        db_failed(c, what, res);
    PQclear(res);
    if (!ok)
        PQclear(PQexec(c->db, "rollback"));
    return ok;
}

/* Begins a transaction that nobody else is in. Returns the version that is there, 0 if none, -1 after a message. */
static int begin_alone(struct ctl *c, const char *what)
{
    PGresult *res;
    bool there;
    int found;

    if (!run_text(c, what, "begin") || !run_text(c, what, upgrade_lock))
        return -1;
    /* A question that fails would end the transaction: is there a table to ask? */
    res = db_ask(c, what, "select to_regclass('postern.schema_version') is not null", &ARGS_NONE);
    if (res == NULL)
        return -1;
    there = strcmp(PQgetvalue(res, 0, 0), "t") == 0;
    PQclear(res);
    res = db_ask(c, what, there ? "select coalesce(max(version), 0) from postern.schema_version" : "select 0",
                 &ARGS_NONE);
    if (res == NULL)
        return -1;
    found = atoi(PQgetvalue(res, 0, 0));
    PQclear(res);
    return found;
}

/* It has this version from now on, by what has the name. */
static bool note_and_commit(struct ctl *c, const char *what, int version, const char *name)
{
    struct args a = ARGS_NONE;

    args_int(&a, version);
    args_text(&a, name);
    PGresult *res = db_ask(c, what, "insert into postern.schema_version (version, name) values ($1, $2)"
                                    " returning version", &a);
    if (res == NULL)
        return false;
    PQclear(res);
    return db_do(c, what, "commit");
}

static enum ctl_exit there_already(int found)
{
    return ctl_error(CTL_FAILED, "the database already has a schema, version %d%s", found,
                     found < schema_wanted() ? ": upgrade it with `posternctl schema upgrade`" : "");
}

static enum ctl_exit say_version(struct ctl *c)
{
    ctl_say(c, "the schema has version %d", schema_wanted());
    return CTL_DONE;
}

/* What was added to the rights or settings of our roles, and what is not taken from others; NULL after a message. */
static PGresult *find_risks(struct ctl *c)
{
    return db_ask(c, "look for added rights", "select risk from postern.find_risks()", &ARGS_NONE);
}

/* Roles belong to the cluster, so they may have something from before. */
static enum ctl_exit say_risks(struct ctl *c)
{
    PGresult *res = find_risks(c);

    if (res == NULL)
        return db_end(c);
    for (int i = 0; i < PQntuples(res); i++)
        ctl_error(CTL_DONE, "%s", PQgetvalue(res, i, 0));
    PQclear(res);
    return say_version(c);
}

static enum ctl_exit make_schema(struct ctl *c, int64_t partitions)
{
    char what[96], set[64];
    int found = begin_alone(c, "create the schema");

    if (found < 0)
        return db_end(c);
    if (found > 0)
        return there_already(found);
    snprintf(set, sizeof set, "set local postern.partitions = %lld", (long long)partitions);
    if (!run_text(c, "create the schema", set))
        return db_end(c);
    for (const struct schema_text *t = schema_files; t->sql != NULL; t++) {
        snprintf(what, sizeof what, "create the schema, file %s", t->name);
        if (!run_text(c, what, t->sql))
            return db_end(c);
    }
    return note_and_commit(c, "create the schema", schema_wanted(), "schema") ? say_risks(c) : db_end(c);
}

/*
 * What a new version of PostgreSQL, or a restored database, has given back to everybody
 * is taken away again. Who is not the owner leaves it as it is.
 */
static enum ctl_exit protect(struct ctl *c)
{
    return run_text(c, "protect the locks of maildrops",
                    "select case when has_function_privilege('postern.protect()', 'execute')"
                    " then postern.protect() end")
               ? CTL_DONE : db_end(c);
}

/* One upgrade, unless somebody else has applied it meanwhile. */
static enum ctl_exit apply(struct ctl *c, const struct schema_text *t)
{
    char what[96];
    int found;

    snprintf(what, sizeof what, "apply upgrade %s", t->name);
    found = begin_alone(c, what);
    if (found < 0)
        return db_end(c);
    if (found >= t->version)
        return db_do(c, what, "rollback") ? CTL_DONE : db_end(c);
    if (!run_text(c, what, t->sql) || !note_and_commit(c, what, t->version, t->name))
        return db_end(c);
    ctl_say(c, "applied %s", t->name);
    return CTL_DONE;
}

enum ctl_exit run_schema_init(struct ctl *c)
{
    uint64_t partitions = 0;
    const char *encoding;
    int found;

    if (c->opt[OPT_PARTITIONS] != NULL && num_parse(span_str(c->opt[OPT_PARTITIONS]), 1024, &partitions) != 1)
        return ctl_error(CTL_USAGE, "--partitions must be a number from 0 to 1024");
    /* Local parts may be UTF-8, and lengths are counted in characters. */
    encoding = PQparameterStatus(c->db, "server_encoding");
    if (encoding == NULL || strcmp(encoding, "UTF8") != 0)
        return ctl_error(CTL_FAILED, "database %s has encoding %s: create it with encoding 'UTF8' template template0",
                         PQdb(c->db), encoding != NULL ? encoding : "unknown");
    found = db_schema_version(c);
    if (found < 0)
        return db_end(c);
    return found > 0 ? there_already(found) : make_schema(c, (int64_t)partitions);
}

enum ctl_exit run_schema_upgrade(struct ctl *c)
{
    int found = db_schema_version(c);

    if (found < 0)
        return db_end(c);
    if (found == 0 || found > schema_wanted())
        return ctl_error(CTL_WRONG_SCHEMA, "%s", schema_advice(found));
    if (found < schema_first)
        return ctl_error(CTL_WRONG_SCHEMA, "the database schema has version %d, from before the first release, "
                         "and cannot be upgraded: set up a new database with `posternctl schema init`", found);
    for (const struct schema_text *t = schema_upgrades; t->sql != NULL; t++) {
        enum ctl_exit end = t->version > found ? apply(c, t) : CTL_DONE;

        if (end != CTL_DONE)
            return end;
    }
    enum ctl_exit end = protect(c);
    return end == CTL_DONE ? say_version(c) : end;
}

/* A line with a value that comes from the database. */
static void said(const char *what, const char *value)
{
    printf("%-12s", what);
    out_text(stdout, value, 0);
    putchar('\n');
}

enum ctl_exit run_schema_status(struct ctl *c)
{
    int found = db_schema_version(c);
    const char *advice, *replaced;
    char *collation;
    bool ours = false;
    PGresult *res = NULL, *risks = NULL;
    struct json j;

    if (found < 0)
        return db_end(c);
    advice = schema_advice(found);
    collation = db_collation(c);
    if (advice == NULL) {
        res = db_ask(c, "find replaced functions",
                     "select coalesce(string_agg(r, ', '), '') from postern.list_replaced() as r", &ARGS_NONE);
        risks = res != NULL ? find_risks(c) : NULL;
        if (risks == NULL || !db_locks_are_ours(c, &ours)) {
            PQclear(risks);
            PQclear(res);
            mem_free(collation);
            return db_end(c);
        }
    }
    replaced = res != NULL ? PQgetvalue(res, 0, 0) : "";
    if (c->json) {
        json_start(&j, stdout);
        json_object(&j, NULL);
        json_int(&j, "found", found);
        json_int(&j, "wanted", schema_wanted());
        json_bool(&j, "usable", advice == NULL);
        json_text(&j, "advice", span_str(advice));
        json_text(&j, "replaced", span_str(replaced));
        json_text(&j, "collation", span_str(collation));
        if (advice == NULL)
            json_text(&j, "locks", span_str(ours ? "revoked" : "tickets"));
        json_array(&j, "risks");
        for (int i = 0; i < PQntuples(risks); i++)
            json_text(&j, NULL, span_str(PQgetvalue(risks, i, 0)));
        json_end(&j);
        json_text(&j, "database", span_str(PQdb(c->db)));
        json_int(&j, "postgresql", PQserverVersion(c->db) / 10000);
        json_end(&j);
    } else {
        said("database", PQdb(c->db));
        printf("postgresql  %d\nfound       %d\nwanted      %d\n", PQserverVersion(c->db) / 10000, found,
               schema_wanted());
        if (replaced[0] != '\0')
            said("replaced", replaced);
        if (advice == NULL)
            said("locks", ours ? "nobody but Postern's functions takes them" : db_locks_advice);
        if (collation != NULL)
            said("collation", collation);
        for (int i = 0; i < PQntuples(risks); i++)
            said("risk", PQgetvalue(risks, i, 0));
        if (advice != NULL)
            printf("advice      %s\n", advice);
    }
    PQclear(res);
    PQclear(risks);
    mem_free(collation);
    return advice == NULL ? CTL_DONE : CTL_WRONG_SCHEMA;
}

enum ctl_exit run_schema_sequences(struct ctl *c)
{
    struct args a = ARGS_NONE;
    const bool dry = c->opt[OPT_DRY_RUN] != NULL;

    args_bool(&a, dry);
    PGresult *res = db_ask(c, "set the sequences",
                           "select sequence, next_number, will_be from postern.set_sequences($1)", &a);
    if (res == NULL)
        return db_end(c);
    out_rows(c, res);
    if (PQntuples(res) == 0)
        ctl_say(c, "no sequence is behind its tables");
    PQclear(res);
    return CTL_DONE;
}
