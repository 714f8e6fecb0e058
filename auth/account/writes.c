/*
 * writes.c - the statements of what a login leaves (see writes.h).
 *
 * Owns their order: rows that two helpers lock at once are locked in one order
 * by both. Must never let one row of a group lose the others.
 */
#include "auth/account/writes.h"

#include <stdio.h>

#include "auth/account/auth_db.h"
#include "auth/account/credentials_rows.h"
#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/base/num.h"

/* The result in *answer_r, if not NULL, to PQclear(). False: it failed; that is complained of if there is a `what`. */
static bool call(struct credentials_source *s, const char *what, const char *sql, int n, const char *const *values,
                 PGresult **answer_r)
{
    struct auth_db *db = credentials_db(s);
    PGresult *result = auth_db_query(db, sql, n, values);
    bool ok = result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK;

    if (answer_r != NULL)
        *answer_r = ok ? result : NULL;
    if (result != NULL && !ok && what != NULL && !auth_db_is_no_text(result))
        auth_db_failed(db, what, result);
    if (!ok || answer_r == NULL)
        PQclear(result);
    return ok;
}

/* Parameters: arrays of the same length, then values for all of their rows. */
struct group {
    const char *what, *sql;
    int arrays, values;         /* two of each at most */
    struct buf array[2];
    const char *value[2];
};

static bool group_send(struct credentials_source *s, struct group *g, const char *what)
{
    const char *values[4];
    int n = 0;

    for (int i = 0; i < g->arrays; i++)
        values[n++] = auth_db_array(&g->array[i]);
    for (int i = 0; i < g->values; i++)
        values[n++] = g->value[i];
    bool ok = call(s, what, g->sql, n, values, NULL);
    for (int i = 0; i < g->arrays; i++)
        buf_clear(&g->array[i]);
    return ok;
}

/* put(g, arg, i) adds row i. */
static void group_write(struct credentials_source *s, struct group *g, size_t n,
                        void (*put)(struct group *g, const void *arg, size_t i), const void *arg)
{
    for (size_t i = 0; i < n; i++)
        put(g, arg, i);
    if (n > 0 && !group_send(s, g, n == 1 ? g->what : NULL) && n > 1) {
        log_debug(NULL, "%s: one by one, as %zu at once failed", g->what, n);
        for (size_t i = 0; i < n && auth_db_connect(credentials_db(s)) == AUTH_DB_UP; i++) {
            put(g, arg, i);
            group_send(s, g, g->what);
        }
    }
    for (int i = 0; i < g->arrays; i++)
        buf_free(&g->array[i]);
}

static void put_text(struct group *g, const void *arg, size_t i)
{
    const char *const *texts = arg;

    auth_db_array_add(&g->array[0], texts[i]);
}

void writes_count_failures(struct credentials_source *s, const char *const *addresses, size_t n, int64_t interval_ms,
                           int64_t most)
{
    char interval[24], limit[24];
    struct group g = {
        .what = "could not count a refused login", .sql = "select postern.count_failures($1, $2, $3)",
        .arrays = 1, .values = 2, .value = { interval, limit },
    };

    snprintf(interval, sizeof interval, "%lld", (long long)interval_ms);
    snprintf(limit, sizeof limit, "%lld", (long long)most);
    group_write(s, &g, n, put_text, addresses);
}

struct of_mailboxes {
    const struct mailbox_ref *mailboxes;
    const char *const *texts;
};

static void put_of_mailbox(struct group *g, const void *arg, size_t i)
{
    const struct of_mailboxes *rows = arg;

    auth_db_array_add(&g->array[0], mailbox_text(&rows->mailboxes[i]).s);
    auth_db_array_add(&g->array[1], rows->texts[i]);
}

void writes_remember(struct credentials_source *s, const struct mailbox_ref *mailboxes, const char *const *networks,
                     size_t n)
{
    const struct of_mailboxes rows = { mailboxes, networks };
    struct group g = {
        .what = "could not record the network of a login", .arrays = 2,
        .sql = "select postern.remember_address(o.mailbox, o.network) from"
               " (select distinct * from unnest($1::bigint[], $2::inet[]) r (mailbox, network) order by 1, 2) o",
    };

    group_write(s, &g, n, put_of_mailbox, &rows);
}

void writes_app_used(struct credentials_source *s, const struct mailbox_ref *mailboxes, const char *const *labels,
                     size_t n)
{
    const struct of_mailboxes rows = { mailboxes, labels };
    struct group g = {
        .what = "could not record the use of an app password", .arrays = 2,
        .sql = "select postern.use_app_password(o.mailbox, o.label) from"
               " (select distinct * from unnest($1::bigint[], $2::text[]) r (mailbox, label) order by 1, 2) o",
    };

    group_write(s, &g, n, put_of_mailbox, &rows);
}

void writes_missing(struct credentials_source *s, const struct mailbox_ref *mailboxes, size_t n, unsigned *missing_r)
{
    struct buf numbers = BUF_EMPTY;
    enum credential_kind kind;
    PGresult *answer;
    uint64_t place;

    for (size_t i = 0; i < n; i++) {
        auth_db_array_add(&numbers, mailbox_text(&mailboxes[i]).s);
        missing_r[i] = 0;
    }
    const char *const values[] = { auth_db_array(&numbers) };
    call(s, "could not read which secrets to store",
         "select q.place, k from unnest($1::bigint[]) with ordinality q (mailbox, place),"
         " postern.missing_secrets(q.mailbox) k", 1, values, &answer);
    const struct rows rows = { answer, 0, answer != NULL ? PQntuples(answer) : 0 };
    for (int row = 0; row < rows.count; row++)
        if (num_parse(rows_text(&rows, row, 0), n, &place) == 1 && place > 0 &&
            rows_kind(rows_text(&rows, row, 1), &kind))
            missing_r[place - 1] |= 1u << kind;
    PQclear(answer);
    buf_free(&numbers);
}

void writes_upgrade(struct credentials_source *s, const struct mailbox_ref *mailbox, enum credential_kind kind,
                    const char *label, const char *old, const char *better)
{
    const struct mailbox_text number = mailbox_text(mailbox);
    const char *values[] = { number.s, credential_kind_name(kind), label, old, better };

    call(s, "could not store an upgraded hash", "select postern.upgrade_secret($1, $2, $3, $4, $5)", 5, values, NULL);
}

void writes_add(struct credentials_source *s, const struct mailbox_ref *mailbox, const char *verified,
                enum credential_kind kind, const char *secret)
{
    const struct mailbox_text number = mailbox_text(mailbox);
    const char *values[] = { number.s, verified, credential_kind_name(kind), secret };

    call(s, "could not store an additional secret", "select postern.add_secret($1, $2, $3, $4)", 4, values, NULL);
}

void writes_learn(struct credentials_source *s, const struct mailbox_ref *mailbox, const char *old, const char *secret)
{
    const struct mailbox_text number = mailbox_text(mailbox);
    const char *values[] = { number.s, old, secret };

    call(s, "could not store a password that an old server has accepted", "select postern.learn_secret($1, $2, $3)", 3,
         values, NULL);
}
