/*
 * credentials.c - what is asked of the database for a login, and what its rows
 * mean.
 *
 * Owns the statements. Must never take "could not ask" for "no such address",
 * nor let one login's error be another's, nor a stored secret live on in a result.
 */
#include "auth/account/credentials.h"

#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "auth/account/auth_db.h"
#include "auth/account/credentials_rows.h"
#include "auth/account/decoy.h"
#include "auth/account/policies.h"
#include "auth/login_cache.h"
#include "daemon/base/buf.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/num.h"
#include "daemon/base/secret.h"

/* All of it; and the credentials alone, where the policy was told before. Of several logins: with arrays. */
#define STATEMENT_FULL "login"
#define STATEMENT_KNOWN "credentials"
#define STATEMENT_FULL_GROUP "login-group"
#define STATEMENT_KNOWN_GROUP "credentials-group"

#define LOGIN_COLUMNS \
    "mailbox, address, active, kind, label, secret, domain, tenant, pop3, tls_only, maintenance, login_delay," \
    " replace_nul, trace, expire, domain_sessions, tenant_sessions, guessed_ms, known, known_today, version, proof," \
    " elsewhere"

static const struct auth_db_statement statements[] = {
    { STATEMENT_FULL, "select " LOGIN_COLUMNS " from postern.login($1, $2, $3)", 3 },
    { STATEMENT_FULL_GROUP, "select " LOGIN_COLUMNS ", question from postern.login_group($1, $2, $3)", 3 },
    /* The others: only for who keeps policies. */
    { STATEMENT_KNOWN,
      "select mailbox, address, active, kind, label, secret, postern.current_policy() from postern.credentials($1)",
      1 },
    { STATEMENT_KNOWN_GROUP,
      "select c.mailbox, c.address, c.active, c.kind, c.label, c.secret, postern.current_policy(), q.question from"
      " unnest($1::text[]) with ordinality q (address, question)"
      " cross join lateral postern.credentials(q.address) c",
      1 },
};
enum { STATEMENTS = sizeof statements / sizeof statements[0], STATEMENTS_WITHOUT_POLICIES = 2 };

/* Several at once may take this part of the time for a statement. */
enum { GROUP_PATIENCE = 4 };

/* What was asked for before its login: answers for several, and whose rows are which. */
struct ahead {
    PGresult *full, *known;             /* of either statement, or NULL */
    size_t count;
    struct ahead_of {
        const struct credentials_question *question;    /* the asker's */
        bool of_known;                  /* they are of STATEMENT_KNOWN_GROUP */
        struct rows rows;
    } of[CREDENTIALS_AHEAD_MAX];
};

struct credentials_source {
    struct auth_db *db;
    const struct keyring *keyring;
    int64_t statement_ms;
    const struct login_cache *cache;
    bool keeps;                 /* policies, and so logins may be unconfirmed */
    struct ahead ahead;
    bool decoys;                /* they are needed */
};

struct credentials_source *credentials_source_new(const char *conninfo, int schema_version, int64_t statement_ms,
                                                  enum sql_commit commit, const struct keyring *keyring,
                                                  const struct login_cache *cache, bool one_login)
{
    struct credentials_source *s = mem_zalloc(sizeof *s);

    s->cache = cache;
    s->keeps = login_cache_is_on(cache);
    s->db = auth_db_new(conninfo, schema_version, statement_ms, commit, statements,
                        s->keeps ? STATEMENTS : STATEMENTS_WITHOUT_POLICIES, !one_login);
    s->keyring = keyring;
    s->statement_ms = statement_ms;
    return s;
}

void credentials_source_free(struct credentials_source **source)
{
    struct credentials_source *s = *source;

    if (s == NULL)
        return;
    *source = NULL;
    credentials_forget_ahead(s);
    auth_db_free(&s->db);
    mem_free(s);
}

static enum credentials_answer answer_of(enum auth_db_state state)
{
    return state == AUTH_DB_BROKEN ? CREDENTIALS_BROKEN : CREDENTIALS_AWAY;
}

/* PostgreSQL's hex form of bytea; *len_r octets in out, 0 if it is not valid. */
static void read_bytea(const PGresult *result, unsigned char *out, size_t size, size_t *len_r)
{
    struct span text = { PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0) };

    if (text.len < 2 || text.at[0] != '\\' || text.at[1] != 'x' ||
        sodium_hex2bin(out, size, text.at + 2, text.len - 2, NULL, len_r, NULL) != 0)
        *len_r = 0;
}

/* Reads the key of the decoys, on each new connection: it may be to another database. */
static enum credentials_answer take_decoy_key(struct credentials_source *s)
{
    unsigned char of_database[64], of_file[KEYRING_DERIVED];
    enum credentials_answer answer = CREDENTIALS_FOUND;
    size_t len = 0;

    PGresult *result = auth_db_query(s->db, "select postern.decoy_key()", 0, NULL);
    if (result == NULL)
        return CREDENTIALS_AWAY;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        answer = answer_of(auth_db_failed(s->db, "could not read the key of decoys", result));
        PQclear(result);
        return answer;
    }
    read_bytea(result, of_database, sizeof of_database, &len);
    if (s->keyring != NULL)
        keyring_derive(s->keyring, "postern decoy", of_file);
    if (len == 0) {
        log_error(NULL, "postern.decoy_key() returned no key: postern.login_key has no row");
        answer = CREDENTIALS_BROKEN;
    } else {
        decoy_set_key((struct span){ (const char *)of_database, len },
                      (struct span){ (const char *)of_file, s->keyring != NULL ? sizeof of_file : 0 });
    }
    secret_wipe(PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0));
    secret_wipe(of_database, sizeof of_database);
    secret_wipe(of_file, sizeof of_file);
    PQclear(result);
    return answer;
}

enum credentials_answer credentials_source_connect(struct credentials_source *s)
{
    bool fresh = !auth_db_is_up(s->db);
    enum auth_db_state state = auth_db_connect(s->db);

    if (state != AUTH_DB_UP)
        return answer_of(state);
    return s->decoys && (fresh || !decoy_has_key()) ? take_decoy_key(s) : CREDENTIALS_FOUND;
}

void credentials_source_decoys(struct credentials_source *s)
{
    s->decoys = true;
}

/* ------------------------------------------------------------- several at once */

/* Nobody is to read it any more. */
static void drop_result(PGresult *result)
{
    const struct rows all = { result, 0, result != NULL ? PQntuples(result) : 0 };

    rows_wipe(&all);
    PQclear(result);
}

void credentials_forget_ahead(struct credentials_source *s)
{
    drop_result(s->ahead.full);
    drop_result(s->ahead.known);
    s->ahead.full = s->ahead.known = NULL;
    s->ahead.count = 0;
}

/* The rows stand in the order of the questions, each row before the number of its own. False: that is not so. */
static bool share_out(struct credentials_source *s, PGresult *result, const struct credentials_question *const *asked,
                      size_t n, bool of_known)
{
    const struct rows all = { result, 0, PQntuples(result) };
    const size_t before = s->ahead.count;
    const int column = of_known ? KNOWN_COL_VERSION + 1 : COL_ELSEWHERE + 1;
    uint64_t number, last = 0;

    for (int row = 0; row < all.count; row++) {
        if (num_parse(rows_text(&all, row, column), n, &number) != 1 || number < last || number == 0) {
            s->ahead.count = before;
            return false;
        }
        if (number > last)
            s->ahead.of[s->ahead.count++] = (struct ahead_of){ asked[number - 1], of_known, { result, row, 0 } };
        s->ahead.of[s->ahead.count - 1].rows.count++;
        last = number;
    }
    return true;
}

/* One statement for these. False: it took too long. */
static bool ask_group(struct credentials_source *s, const struct credentials_question *const *asked, size_t n,
                      bool of_known)
{
    struct buf addresses = BUF_EMPTY, networks = BUF_EMPTY;
    bool late;

    if (n < 2 || !auth_db_is_up(s->db))
        return true;
    for (size_t i = 0; i < n; i++) {
        auth_db_array_add(&addresses, asked[i]->address);
        auth_db_array_add(&networks, asked[i]->network[0] != '\0' ? asked[i]->network : NULL);
    }
    const char *const values[] = { auth_db_array(&addresses), auth_db_array(&networks), s->keeps ? "t" : "f" };
    PGresult *result = auth_db_prepared_within(s->db, of_known ? STATEMENT_KNOWN_GROUP : STATEMENT_FULL_GROUP,
                                               of_known ? 1 : 3, values, s->statement_ms / GROUP_PATIENCE, &late);
    buf_free(&addresses);
    buf_free(&networks);
    if (result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK && share_out(s, result, asked, n, of_known)) {
        metric_add(METRIC_AUTH_GROUPS, 1);
        metric_add(METRIC_AUTH_LOOKUPS_GROUPED, n);
        *(of_known ? &s->ahead.known : &s->ahead.full) = result;
        return true;
    }
    log_debug(NULL, "%zu logins are asked for one by one: %s", n,
              result != NULL ? log_text(span_str(PQresultErrorMessage(result))).s : "no answer");
    drop_result(result);
    return !late;
}

static uint32_t now_s(void)
{
    return (uint32_t)(clock_ms() / 1000);
}

/* Where the secrets alone are enough: see ask_known(). */
static bool known_entry(const struct credentials_source *s, const char *address, const char *network, bool whole,
                        struct policy_entry *entry_r)
{
    return policies_get(s->cache, address, network, now_s(), entry_r) && !(whole && entry_r->versions.proof != 0);
}

bool credentials_look_ahead(struct credentials_source *s, const struct credentials_question *questions, size_t n,
                            bool whole)
{
    const struct credentials_question *known[CREDENTIALS_AHEAD_MAX], *full[CREDENTIALS_AHEAD_MAX];
    struct policy_entry entry;
    size_t knowns = 0, fulls = 0;

    ASSERT(n <= CREDENTIALS_AHEAD_MAX);
    credentials_forget_ahead(s);
    if (n < 2 || credentials_source_connect(s) != CREDENTIALS_FOUND)
        return true;
    for (size_t i = 0; i < n; i++)
        if (known_entry(s, questions[i].address, questions[i].network, whole, &entry))
            known[knowns++] = &questions[i];
        else
            full[fulls++] = &questions[i];
    return ask_group(s, full, fulls, false) && ask_group(s, known, knowns, true);
}

/* ------------------------------------------------------------------ one login */

/* What a login is answered by: rows that are there, or a statement of its own. done_with() ends it. */
struct answer {
    PGresult *own;
    struct rows rows;
};

static void done_with(struct answer *a)
{
    if (a->own != NULL)
        drop_result(a->own);
}

static const struct rows *rows_ahead(const struct credentials_source *s, const char *address, const char *network,
                                     bool of_known)
{
    for (size_t i = 0; i < s->ahead.count; i++) {
        const struct ahead_of *of = &s->ahead.of[i];
        if (of->of_known == of_known && strcmp(of->question->address, address) == 0 &&
            strcmp(of->question->network, network) == 0)
            return &of->rows;
    }
    return NULL;
}

/* False: there is no answer. anew: what was asked for ahead is too old. */
static bool ask_or_have(struct credentials_source *s, bool of_known, bool anew, int n, const char *const *values,
                        const char *network, struct answer *a)
{
    const struct rows *ahead = anew ? NULL : rows_ahead(s, values[0], network, of_known);

    if (ahead != NULL) {
        *a = (struct answer){ NULL, *ahead };
        return true;
    }
    metric_add(METRIC_AUTH_LOOKUPS_ALONE, 1);
    a->own = auth_db_prepared(s->db, of_known ? STATEMENT_KNOWN : STATEMENT_FULL, n, values);
    a->rows = (struct rows){ a->own, 0, a->own != NULL ? PQntuples(a->own) : 0 };
    return a->own != NULL;
}

/*
 * The login of one whose policy was told before, to this network, today. False,
 * and nothing is said, where that does not hold any more, or anything is odd:
 * then all of it is asked for.
 */
static bool ask_known(struct credentials_source *s, const char *address, const char *network, bool whole, bool anew,
                      struct credentials *out)
{
    const char *values[] = { address };
    struct policy_entry entry;
    struct mailbox_ref mailbox;
    struct answer a;

    if (!known_entry(s, address, network, whole, &entry) ||
        !ask_or_have(s, true, anew, 1, values, network, &a))
        return false;
    const bool told = PQresultStatus(a.rows.result) == PGRES_TUPLES_OK && a.rows.count > 0;
    if (told)
        login_cache_set_version(s->cache, rows_number(&a.rows, KNOWN_COL_VERSION, 0));
    bool good = told && mailbox_parse(rows_text(&a.rows, 0, COL_MAILBOX), &mailbox) &&
                mailbox_same(&mailbox, &entry.mailbox) &&
                rows_number(&a.rows, KNOWN_COL_VERSION, 0) == entry.versions.policy &&
                rows_read(&a.rows, s->keyring, false, out);
    if (good) {
        /* Of one who is elsewhere no policy is kept. */
        out->elsewhere[0] = '\0';
        out->maintenance[0] = '\0';
        out->policy = entry.policy;
        out->versions = (struct mailbox_versions){ 0, 0 };
        out->known = out->known_today = network[0] != '\0';
    }
    done_with(&a);
    return good;
}

/*
 * Is there a password that cannot be read, for want of the key of its seal? Whatever was verified
 * against it when there was one proves nothing now, though mailbox and secret are the same.
 */
static bool is_unreadable(const struct credentials *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->secrets[i].kind == CREDENTIAL_PASSWORD && c->secrets[i].text[0] == '\0')
            return true;
    return false;
}

/*
 * Not while there is a trace, which ends by itself; nor a text of maintenance, which
 * only those whose login was confirmed are told; nor of a mailbox that is elsewhere; nor
 * from where a login is still to be written down; nor of a mailbox made just now: see
 * credentials_fetch().
 */
static void read_and_keep_policy(struct credentials_source *s, const char *address, const char *network,
                                 const struct rows *rows, struct credentials *c)
{
    rows_read_policy(rows, c);
    /* An address that is another name of the mailbox's may become one of its own. */
    bool own = strcmp(address, c->address) == 0 && !is_unreadable(c);
    c->versions = (struct mailbox_versions){ own ? rows_number(rows, COL_PROOF, 0) : 0,
                                             rows_number(rows, COL_VERSION, 0) };
    const struct policy_entry entry = { c->mailbox, c->versions, c->policy };

    login_cache_set_version(s->cache, c->versions.policy);

    if (c->elsewhere[0] != '\0' || c->policy.trace || c->policy.maintenance.len > 0 || c->policy.domain == 0 ||
        (network[0] != '\0' && !c->known_today))
        return;
    policies_put(s->cache, address, network, now_s(), &entry);
}

static enum credentials_answer ask(struct credentials_source *s, const char *address, const char *network, bool whole,
                                   bool anew, struct credentials *out, int64_t *guessed_ms_r)
{
    const char *values[] = { address, network[0] != '\0' ? network : NULL, s->keeps ? "t" : "f" };
    enum credentials_answer answer = CREDENTIALS_NONE;
    struct answer a;

    if (ask_known(s, address, network, whole, anew, out))
        return CREDENTIALS_FOUND;
    if (!ask_or_have(s, false, anew, 3, values, network, &a))
        return CREDENTIALS_AWAY;
    const bool told = PQresultStatus(a.rows.result) == PGRES_TUPLES_OK && a.rows.count > 0;
    if (PQresultStatus(a.rows.result) != PGRES_TUPLES_OK) {
        /* No address has such a character. */
        if (!auth_db_is_no_text(a.rows.result))
            answer = answer_of(auth_db_failed(s->db, "could not ask the database for credentials", a.rows.result));
    } else if (told) {
        *guessed_ms_r = rows_number(&a.rows, COL_GUESSED_MS, 0);
    }
    if (told && !rows_null(&a.rows, 0, COL_MAILBOX)) {
        answer = rows_read(&a.rows, s->keyring, true, out) ? CREDENTIALS_FOUND : CREDENTIALS_UNUSABLE;
        if (answer == CREDENTIALS_UNUSABLE)
            log_error(NULL, "postern.login() returned rows of several mailboxes, or of an invalid old server, for %s",
                      log_text(span_str(address)).s);
        else
            read_and_keep_policy(s, address, network, &a.rows, out);
    } else if (told && !rows_null(&a.rows, 0, COL_ELSEWHERE)) {
        answer = rows_read_unknown(&a.rows, out) ? CREDENTIALS_FOUND : CREDENTIALS_UNUSABLE;
        rows_read_policy(&a.rows, out);
        out->versions = (struct mailbox_versions){ 0, 0 };
    }
    done_with(&a);
    return answer;
}

bool credentials_recent(const struct credentials_source *s, const char *address, const char *network,
                        struct policy_entry *entry_r)
{
    return policies_get(s->cache, address, network, now_s(), entry_r) && entry_r->versions.proof != 0;
}

enum credentials_answer credentials_fetch(struct credentials_source *s, const char *address, const char *network,
                                          bool whole, struct credentials *out, int64_t *guessed_ms_r)
{
    const uint64_t asked = clock_ms();

    *guessed_ms_r = 0;
    for (;;) {
        bool fresh = !auth_db_is_up(s->db);
        enum credentials_answer answer = credentials_source_connect(s);
        if (answer != CREDENTIALS_FOUND)
            return answer;
        answer = ask(s, address, network, whole, false, out, guessed_ms_r);
        /*
         * A provider's credentials() has made the mailbox in this very
         * statement, whose snapshot does not show yet what holds for it: the
         * next one does. Nobody gets in with the policy unknown.
         */
        if (answer == CREDENTIALS_FOUND && out->policy.domain == 0)
            answer = ask(s, address, network, whole, true, out, guessed_ms_r);
        if (answer == CREDENTIALS_FOUND && out->policy.domain == 0) {
            log_error(NULL, "mailbox %s, which postern.credentials() returned, does not exist",
                      mailbox_text(&out->mailbox).s);
            answer = CREDENTIALS_UNUSABLE;
        }
        /*
         * A connection that was lost since the last question, or whose
         * statement was overtaken by a change of the function, is noticed only
         * now: ask once more on a new one. Not after a long wait: whoever
         * asked has no time left.
         */
        if (answer >= 0 || auth_db_is_up(s->db) || fresh || clock_ms() - asked >= (uint64_t)s->statement_ms)
            return answer;
    }
}

/* The key as the database writes it, "\\x" and hex digits; false for anything else. */
static bool read_key(PGresult *answer, unsigned char key_r[TICKET_KEY], int64_t *now_ms_r)
{
    const struct rows rows = { answer, 0, 1 };
    struct span text = rows_text(&rows, 0, 0);
    size_t len = 0;
    bool ok = text.len == 2 + 2 * TICKET_KEY &&
              sodium_hex2bin(key_r, TICKET_KEY, text.at + 2, text.len - 2, NULL, &len, NULL) == 0 && len == TICKET_KEY;

    *now_ms_r = rows_number(&rows, 1, 0);
    secret_wipe(PQgetvalue(answer, 0, 0), text.len);
    return ok;
}

bool credentials_ticket_key(struct credentials_source *s, unsigned char key_r[TICKET_KEY], int64_t *now_ms_r)
{
    PGresult *answer = NULL;

    /* That a connection was lost is noticed only when it is used: once more, on a new one. */
    for (int tries = 0; answer == NULL && tries < 2; tries++) {
        if (auth_db_connect(s->db) != AUTH_DB_UP)
            return false;
        answer = auth_db_query(s->db, "select secret, now_ms from postern.newest_ticket_key()", 0, NULL);
        if (answer == NULL || PQresultStatus(answer) == PGRES_TUPLES_OK)
            continue;
        auth_db_failed(s->db, "could not read the key of tickets", answer);
        PQclear(answer);
        answer = NULL;
        if (auth_db_is_up(s->db))
            return false;
    }
    bool ok = answer != NULL && PQntuples(answer) == 1 && read_key(answer, key_r, now_ms_r);
    if (answer != NULL && !ok)
        log_error(NULL, "the database has no key of tickets: run posternctl secrets new-ticket-key");
    PQclear(answer);
    return ok;
}

uint64_t credentials_connection(const struct credentials_source *s)
{
    return auth_db_connection(s->db);
}

struct auth_db *credentials_db(struct credentials_source *s)
{
    return s->db;
}
