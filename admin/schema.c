/*
 * schema.c - `schema init`, `upgrade` and `status`: the migrations that are
 * built in, each applied in one transaction with its row in the version table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "storage/schema.h"

/*
 * Two upgrades at once: the second one waits here, and then finds nothing to
 * do. The form of two numbers cannot meet the lock of a maildrop, which is one.
 */
static const char upgrade_lock[] = "select pg_advisory_xact_lock(x'504F'::integer, 0)";

static enum ctl_exit failed(struct ctl *c, const char *what, PGresult *res)
{
    enum ctl_exit end = db_failed(c, what, res);

    PQclear(res);
    PQclear(PQexec(c->db, "rollback"));
    return end;
}

/* One migration, in its transaction. *done_r is false if somebody else has applied it meanwhile. */
static enum ctl_exit apply(struct ctl *c, const struct migration *m, int64_t partitions, bool *done_r)
{
    char what[96], set[64];
    struct args a = ARGS_NONE;
    PGresult *res;
    bool there;
    int found;

    *done_r = false;
    snprintf(what, sizeof what, "apply migration %s", m->name);
    snprintf(set, sizeof set, "set local postern.partitions = %lld", (long long)partitions);
    if (!db_do(c, what, "begin"))
        return db_end(c);
    res = PQexec(c->db, upgrade_lock);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        return failed(c, what, res);
    PQclear(res);
    /* A question that fails would end the transaction: is there a table to ask? */
    res = PQexec(c->db, "select to_regclass('postern.schema_version') is not null");
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        return failed(c, what, res);
    there = strcmp(PQgetvalue(res, 0, 0), "t") == 0;
    PQclear(res);
    res = PQexec(c->db, there ? "select coalesce(max(version), 0) from postern.schema_version" : "select 0");
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        return failed(c, what, res);
    found = atoi(PQgetvalue(res, 0, 0));
    PQclear(res);
    if (found >= m->version)
        return db_do(c, what, "rollback") ? CTL_DONE : db_end(c);

    res = PQexec(c->db, set);
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        return failed(c, what, res);
    PQclear(res);
    res = PQexec(c->db, m->sql);
    if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
        return failed(c, what, res);
    PQclear(res);
    args_int(&a, m->version);
    args_text(&a, m->name);
    res = PQexecParams(c->db, "insert into postern.schema_version (version, name) values ($1, $2)", a.n, NULL, a.values,
                       a.lengths, a.formats, 0);
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        return failed(c, what, res);
    PQclear(res);
    *done_r = true;
    return db_do(c, what, "commit") ? CTL_DONE : db_end(c);
}

static enum ctl_exit apply_from(struct ctl *c, int found, int64_t partitions)
{
    for (size_t i = 0; i < schema_migration_count; i++) {
        const struct migration *m = &schema_migrations[i];
        enum ctl_exit end;
        bool done;

        if (m->version <= found)
            continue;
        end = apply(c, m, partitions, &done);
        if (end != CTL_DONE)
            return end;
        if (done)
            ctl_say(c, "applied %s", m->name);
    }
    ctl_say(c, "the schema has version %d", schema_wanted());
    return CTL_DONE;
}

enum ctl_exit run_schema_init(struct ctl *c)
{
    uint64_t partitions = 0;
    const char *encoding;
    int found;

    if (c->opt[OPT_PARTITIONS] != NULL && num_parse(span_str(c->opt[OPT_PARTITIONS]), 1024, &partitions) != 1)
        return ctl_error(CTL_USAGE, "--partitions is a number from 0 to 1024");
    /* Local parts may be UTF-8, and lengths are counted in characters. */
    encoding = PQparameterStatus(c->db, "server_encoding");
    if (encoding == NULL || strcmp(encoding, "UTF8") != 0)
        return ctl_error(CTL_FAILED, "database %s has the encoding %s: make it with encoding 'UTF8' template template0", PQdb(c->db),
                         encoding != NULL ? encoding : "unknown");
    found = db_schema_version(c);
    if (found < 0)
        return db_end(c);
    if (found > 0)
        return ctl_error(CTL_FAILED, "there is a schema already, of version %d%s", found,
                         found < schema_wanted() ? ": bring it forward with `posternctl schema upgrade`" : "");
    return apply_from(c, 0, (int64_t)partitions);
}

enum ctl_exit run_schema_upgrade(struct ctl *c)
{
    int found = db_schema_version(c);

    if (found < 0)
        return db_end(c);
    if (found == 0 || found > schema_wanted())
        return ctl_error(CTL_WRONG_SCHEMA, "%s", schema_advice(found));
    return apply_from(c, found, 0);
}

enum ctl_exit run_schema_status(struct ctl *c)
{
    int found = db_schema_version(c);
    const char *advice, *replaced;
    char *collation;
    PGresult *res = NULL;
    struct json j;

    if (found < 0)
        return db_end(c);
    advice = schema_advice(found);
    collation = db_collation(c);
    if (advice == NULL) {
        res = db_ask(c, "look for functions that were replaced",
                     "select coalesce(string_agg(r, ', '), '') from postern.list_replaced() as r", &ARGS_NONE);
        if (res == NULL) {
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
        json_text(&j, "database", span_str(PQdb(c->db)));
        json_int(&j, "postgresql", PQserverVersion(c->db) / 10000);
        json_end(&j);
    } else {
        printf("database    %s\npostgresql  %d\nfound       %d\nwanted      %d\n", PQdb(c->db), PQserverVersion(c->db) / 10000, found,
               schema_wanted());
        if (replaced[0] != '\0')
            printf("replaced    %s\n", replaced);
        if (collation != NULL) {
            fputs("collation   ", stdout);
            out_text(stdout, collation, 0);
            putchar('\n');
        }
        if (advice != NULL)
            printf("advice      %s\n", advice);
    }
    PQclear(res);
    mem_free(collation);
    return advice == NULL ? CTL_DONE : CTL_WRONG_SCHEMA;
}
