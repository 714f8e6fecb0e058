/*
 * source_dbmail.c - the mailbox of a DBMail user.
 *
 * Must never write to that database, nor believe what it answers without looking: it
 * belongs to somebody else. Its tables are those that DBMail 3.0 to 3.5 have in
 * PostgreSQL; messages that 2.x stored, and nobody converted, are in dbmail_messageblks.
 */
#include "admin/mail/source_dbmail.h"

#include <errno.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "admin/mail/dbmail.h"
#include "admin/mail/source_impl.h"
#include "admin/mail/spooled.h"
#include "admin/shown.h"
#include "daemon/base/connect.h"
#include "daemon/base/conninfo.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"

enum { BYTEA = 17, INT4 = 23 };
enum { COL_PHYSICAL, COL_UIDL, COL_DELETED, COL_DRAFT, COL_OCTETS, COL_RECEIVED, COLS };

static const char begin[] = "begin transaction isolation level repeatable read read only";
static const char find_user[] = "select user_idnr from dbmail_users where userid = $1"
    " union all select user_idnr from dbmail_users where lower(userid) = lower($1)"
    " and not exists (select from dbmail_users where userid = $1)";
/* 2 and above: deleted, to be purged, not yet or not wholly stored. */
static const char list_messages[] =
    "select m.physmessage_id, m.unique_id, m.deleted_flag, m.draft_flag, p.messagesize,"
    " (extract(epoch from coalesce(p.internal_date, now() at time zone 'UTC')) * 1000000)::bigint"
    " from dbmail_messages m join dbmail_physmessage p on p.id = m.physmessage_id"
    " join dbmail_mailboxes b on b.mailbox_idnr = m.mailbox_idnr"
    " where b.owner_idnr = $1 and lower(b.name) = 'inbox' and m.status < 2 order by m.message_idnr";
static const char has_blocks[] = "select relname from pg_catalog.pg_class"
    " where relname = 'dbmail_messageblks' and pg_catalog.pg_table_is_visible(oid)";
static const char parts[] =
    "select l.is_header::int4, l.part_depth::int4, p.data"
    " from dbmail_partlists l join dbmail_mimeparts p on p.id = l.part_id"
    " where l.physmessage_id = $1 order by l.part_key, l.part_order, l.part_depth desc";
static const char blocks[] =
    "select 0::int4, 0::int4, messageblk from dbmail_messageblks where physmessage_id = $1 order by messageblk_idnr";

struct dbmail_source {
    struct source base;
    PGconn *db;
    PGresult *list;
    bool has_blocks;            /* dbmail_messageblks */
    int next;
    char *path, *label;
    struct spooled spooled;
};

static struct dbmail_source *of(struct source *s) { return (struct dbmail_source *)s; }

/* ------------------------------------------------------------- questions */

/* The first line of what the server said, or libpq. */
static void say(struct buf *to, const struct dbmail_source *d, const char *what, const char *why)
{
    size_t len = strcspn(why, "\r\n");

    if (buf_left(to) > 0)
        return;
    buf_addf(to, "%s could not %s: ", d->path, what);
    buf_add(to, why, len);
}

static void say_of(struct buf *to, const struct dbmail_source *d, const char *what, const PGresult *res)
{
    const char *why = res != NULL ? PQresultErrorMessage(res) : "";

    if (why[0] == '\0')
        why = PQerrorMessage(d->db);
    say(to, d, what, why[0] != '\0' ? why : "an unexpected answer");
}

/* Rows of `cols` columns in text; NULL after a fault. */
static PGresult *ask(struct dbmail_source *d, const char *what, const char *sql, const char *parameter, int cols)
{
    PGresult *res = PQexecParams(d->db, sql, parameter != NULL, NULL, &parameter, NULL, NULL, 0);

    if (PQresultStatus(res) == PGRES_TUPLES_OK && PQnfields(res) == cols)
        return res;
    say_of(&d->base.fault, d, what, res);
    PQclear(res);
    return NULL;
}

static bool number(const PGresult *res, int row, int col, int64_t *n_r)
{
    uint64_t n;

    if (PQgetisnull(res, row, col) ||
        num_parse((struct span){ PQgetvalue(res, row, col), (size_t)PQgetlength(res, row, col) }, INT64_MAX, &n) != 1)
        return false;
    *n_r = (int64_t)n;
    return true;
}

/* -------------------------------------------------------------- the list */

static bool open_user(struct dbmail_source *d, const char *user)
{
    PGresult *res = ask(d, "find the user", find_user, user, 1);
    bool found = false;

    if (res != NULL && PQntuples(res) == 0)
        say(&d->base.fault, d, "find the user", "dbmail_users has no such userid; see --user");
    else if (res != NULL && PQntuples(res) > 1)
        say(&d->base.fault, d, "find the user", "dbmail_users has several, in capitals and not; see --user");
    else if (res != NULL && (d->list = ask(d, "list the messages", list_messages, PQgetvalue(res, 0, 0), COLS)) != NULL)
        found = true;
    PQclear(res);
    return found;
}

/* To plan such a query takes longer than to answer it. */
static bool prepare(struct dbmail_source *d, const char *name, const char *sql)
{
    PGresult *res = PQprepare(d->db, name, sql, 0, NULL);
    bool ok = PQresultStatus(res) == PGRES_COMMAND_OK;

    if (!ok)
        say_of(&d->base.fault, d, "prepare to read messages", res);
    PQclear(res);
    return ok;
}

static bool open_list(struct dbmail_source *d, const char *user)
{
    PGresult *res = PQexec(d->db, begin);
    bool begun = PQresultStatus(res) == PGRES_COMMAND_OK;
    int64_t octets;

    if (!begun)
        say_of(&d->base.fault, d, "begin", res);
    PQclear(res);
    if (!begun || !open_user(d, user) || (res = ask(d, "look for tables", has_blocks, NULL, 1)) == NULL)
        return false;
    d->has_blocks = PQntuples(res) > 0;
    PQclear(res);
    if (!prepare(d, "parts", parts) || (d->has_blocks && !prepare(d, "blocks", blocks)))
        return false;
    for (int i = 0; i < PQntuples(d->list); i++)
        if (number(d->list, i, COL_OCTETS, &octets) && octets < INT64_MAX / 2 - d->base.octets)
            d->base.octets += octets;
    return true;
}

static int dbmail_next(struct source *s, struct source_item *it)
{
    struct dbmail_source *d = of(s);
    int64_t octets, deleted, draft;
    int row = d->next;

    if (d->list == NULL || row == PQntuples(d->list))
        return 0;
    d->next++;
    s->seen.files++;
    buf_clear(&s->name);
    buf_addf(&s->name, "%s:message %d", shown_name(d->path), d->next);
    it->path = it->uidl_file = d->path;
    it->number = (unsigned)d->next;
    it->uidl_line = it->number;
    it->name = buf_span(&s->name).at;
    it->quoting = MBOX_PLAIN;
    it->uidl = PQgetisnull(d->list, row, COL_UIDL) ? NULL : PQgetvalue(d->list, row, COL_UIDL);
    if (!number(d->list, row, COL_OCTETS, &octets) || !number(d->list, row, COL_RECEIVED, &it->received) ||
        !number(d->list, row, COL_DELETED, &deleted) || !number(d->list, row, COL_DRAFT, &draft)) {
        it->reject = "has numbers in its row that make no sense";
        return 1;
    }
    it->end = octets;
    s->seen.octets += octets;
    it->kind = deleted > 0 ? STATE_KIND_DELETED : draft > 0 ? STATE_KIND_DRAFT : STATE_LIVING;
    return 1;
}

/* ---------------------------------------------------------- one message */

struct spooling {
    struct spooled *to;
    int error;                  /* errno, or 0 */
};

static void spool(void *arg, const char *at, size_t len)
{
    struct spooling *s = arg;

    if (s->error == 0 && !spooled_add(s->to, at, len))
        s->error = errno;
}

static int int4(const PGresult *res, int col)
{
    const unsigned char *p = (const unsigned char *)PQgetvalue(res, 0, col);

    return (int)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}

static bool is_part(const PGresult *res)
{
    return PQnfields(res) == 3 && PQftype(res, 0) == INT4 && PQftype(res, 1) == INT4 && PQftype(res, 2) == BYTEA &&
        PQgetlength(res, 0, 0) == 4 && PQgetlength(res, 0, 1) == 4 && PQfformat(res, 2) == 1 && !PQgetisnull(res, 0, 2);
}

/* How many parts came; -1: s->broken says why there is no going on. One at a time is held in memory. */
static int64_t take_parts(struct dbmail_source *d, const char *prepared, const char *message, struct dbmail_join *join,
                          const char **reject_r)
{
    const int binary = 1;
    int64_t count = 0;
    PGresult *res;

    if (PQsendQueryPrepared(d->db, prepared, 1, &message, NULL, NULL, binary) != 1 || PQsetSingleRowMode(d->db) != 1) {
        say_of(&d->base.broken, d, "read a message", NULL);
        return -1;
    }
    while ((res = PQgetResult(d->db)) != NULL) {
        ExecStatusType status = PQresultStatus(res);

        if (status == PGRES_SINGLE_TUPLE && is_part(res)) {
            struct span data = { PQgetvalue(res, 0, 2), (size_t)PQgetlength(res, 0, 2) };

            count++;
            if (*reject_r == NULL && !dbmail_join_part(join, int4(res, 0) != 0, int4(res, 1), data))
                *reject_r = "has parts that are deeper than DBMail shows them";
        } else if (status != PGRES_TUPLES_OK) {
            say_of(&d->base.broken, d, "read a message", res);
        }
        PQclear(res);
        /* A COPY would never end by itself. */
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
            return -1;
    }
    return buf_left(&d->base.broken) > 0 ? -1 : count;
}

static bool dbmail_fetch(struct source_item *it)
{
    struct dbmail_source *d = of(it->source);
    const char *message = PQgetvalue(d->list, (int)it->number - 1, COL_PHYSICAL);
    struct spooling s = { &d->spooled, 0 };
    struct dbmail_join join;
    int64_t count;

    if (it->reject != NULL || buf_left(&d->base.broken) > 0)
        return false;
    if (!spooled_start(&d->spooled)) {
        say(&d->base.broken, d, "make a file for a message", strerror(errno));
        return false;
    }
    dbmail_join_begin(&join, spool, &s);
    count = take_parts(d, "parts", message, &join, &it->reject);
    if (count == 0 && d->has_blocks)
        count = take_parts(d, "blocks", message, &join, &it->reject);
    if (count < 0)
        return false;
    if (count == 0)
        it->reject = "has no parts in the database";
    if (it->reject != NULL)
        return false;
    dbmail_join_end(&join);
    /* What it sends before the dot that ends a message is an end of a line of its own. */
    spool(&s, "\r\n", 2);
    if (s.error == 0 && !spooled_end(&d->spooled))
        s.error = errno;
    if (s.error != 0) {
        say(&d->base.broken, d, "keep a message in a file", strerror(s.error));
        return false;
    }
    it->fd = d->spooled.fd;
    it->at = 0;
    it->end = d->spooled.octets;
    return true;
}

/* ------------------------------------------------------------ the source */

static void dbmail_again(struct source *s) { of(s)->next = 0; }

static const char *dbmail_label(const struct source *s) { return ((const struct dbmail_source *)s)->label; }

static void dbmail_free(struct source *s)
{
    struct dbmail_source *d = of(s);

    spooled_free(&d->spooled);
    PQclear(d->list);
    PQfinish(d->db);
    buf_free(&s->fault);
    buf_free(&s->name);
    mem_free(d->path);
    mem_free(d->label);
    mem_free(d);
}

static const struct source_kind dbmail_kind = { .next = dbmail_next, .fetch = dbmail_fetch, .again = dbmail_again,
                                                .label = dbmail_label, .by_uidl = true, .free = dbmail_free };

const char *source_dbmail_fault(const char *conninfo)
{
    PQconninfoOption *words = PQconninfoParse(conninfo, NULL);
    const char *why = words == NULL ? "cannot be read by libpq" : NULL;

    for (const PQconninfoOption *o = words; o != NULL && o->keyword != NULL; o++)
        if (strcmp(o->keyword, "password") == 0 && o->val != NULL)
            why = "has a password, which others see: put it into a file (passfile=FILE, or ~/.pgpass)";
    PQconninfoFree(words);
    return why;
}

static char *text_of(const char *a, const char *b, const char *c)
{
    struct buf text = BUF_EMPTY;
    char *copy;

    buf_addf(&text, "%s%s%s", a, b, c);
    copy = mem_strn(buf_span(&text).at, buf_left(&text));
    buf_free(&text);
    return copy;
}

struct source *source_dbmail_new(const struct source_dbmail_how *how)
{
    struct dbmail_source *d = mem_zalloc(sizeof *d);
    /* A standby will do. */
    char *error = NULL, *conninfo = conninfo_merge("target_session_attrs=any", how->conninfo, "posternctl", &error);

    d->base.kind = &dbmail_kind;
    d->base.fd = -1;
    d->spooled = SPOOLED_NONE;
    d->path = text_of("dbmail:", how->user, "");
    if (conninfo == NULL) {
        say(&d->base.fault, d, "connect", error);
        mem_drop(&error);
        return &d->base;
    }
    d->db = connect_quietly(conninfo, connect_no_notice, NULL);
    mem_free(conninfo);
    d->label = text_of(PQdb(d->db) != NULL ? PQdb(d->db) : "", ":", d->path);
    if (PQstatus(d->db) != CONNECTION_OK)
        say(&d->base.fault, d, "connect",
            PQconnectionNeedsPassword(d->db)
                ? "the database wants a password: put it into a file (passfile=FILE, or ~/.pgpass)"
                : PQerrorMessage(d->db));
    else
        open_list(d, how->user);
    return &d->base;
}
