/*
 * credentials.c - what is asked of the database for a login, and what its rows
 * mean.
 *
 * Owns the statements. Must never take "could not ask" for "no such address",
 * nor rows that are not of one mailbox for its own, nor let a stored secret
 * live on in a result.
 */
#include "auth/account/credentials.h"

#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/account/auth_db.h"
#include "auth/account/decoy.h"
#include "auth/account/policies.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/base/secret.h"

/* All of it; and the credentials alone, where the policy was told before. */
#define STATEMENT_FULL "login"
#define STATEMENT_KNOWN "credentials"

static const struct auth_db_statement statements[] = {
    { STATEMENT_FULL,
      "select mailbox, address, active, kind, label, secret, domain, tenant, pop3, tls_only, maintenance,"
      " login_delay, replace_nul,"
      " trace, expire, domain_sessions, tenant_sessions, guessed_ms, known, known_today, version, proof from"
      " postern.login($1, $2, $3)",
      3 },
    /* The last one: only for who keeps policies. */
    { STATEMENT_KNOWN,
      "select mailbox, address, active, kind, label, secret, postern.current_policy() from postern.credentials($1)",
      1 },
};
enum { STATEMENTS = sizeof statements / sizeof statements[0] };

struct credentials_source {
    struct auth_db *db;
    const struct keyring *keyring;
    int64_t statement_ms;
    struct policies *policies;
    bool keeps;                 /* policies, and so logins may be unconfirmed */
};

const char *credential_kind_name(enum credential_kind kind)
{
    static const char *const names[] = {
        [CREDENTIAL_PASSWORD] = "password", [CREDENTIAL_APP_PASSWORD] = "app-password",
        [CREDENTIAL_SCRAM_SHA_256] = "scram-sha-256", [CREDENTIAL_SCRAM_SHA_1] = "scram-sha-1",
        [CREDENTIAL_SHARED_SECRET] = "shared-secret", [CREDENTIAL_CERTIFICATE] = "certificate",
    };

    return names[kind];
}

struct credentials_source *credentials_source_new(const char *conninfo, int schema_version, int64_t statement_ms,
                                                  enum sql_commit commit, const struct keyring *keyring,
                                                  size_t policies)
{
    struct credentials_source *s = mem_zalloc(sizeof *s);

    s->keeps = policies > 0;
    s->db = auth_db_new(conninfo, schema_version, statement_ms, commit, statements,
                        s->keeps ? STATEMENTS : STATEMENTS - 1);
    s->keyring = keyring;
    s->statement_ms = statement_ms;
    s->policies = policies_new(policies);
    return s;
}

void credentials_source_free(struct credentials_source **source)
{
    struct credentials_source *s = *source;

    if (s == NULL)
        return;
    *source = NULL;
    auth_db_free(&s->db);
    policies_free(&s->policies);
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
    return fresh || !decoy_has_key() ? take_decoy_key(s) : CREDENTIALS_FOUND;
}

enum {
    COL_MAILBOX, COL_ADDRESS, COL_ACTIVE, COL_KIND, COL_LABEL, COL_SECRET, COL_DOMAIN, COL_TENANT, COL_POP3,
    COL_TLS_ONLY, COL_MAINTENANCE,
    COL_LOGIN_DELAY, COL_REPLACE_NUL, COL_TRACE, COL_EXPIRE, COL_DOMAIN_SESSIONS, COL_TENANT_SESSIONS,
    COL_GUESSED_MS, COL_KNOWN,
    COL_KNOWN_TODAY, COL_VERSION, COL_PROOF,
    KNOWN_COL_VERSION = COL_SECRET + 1,     /* of STATEMENT_KNOWN */
};

static struct span column(const PGresult *result, int row, int col)
{
    return (struct span){ PQgetvalue(result, row, col), (size_t)PQgetlength(result, row, col) };
}

/* False if it is none of those that prove anything here. */
static bool read_kind(struct span text, enum credential_kind *kind_r)
{
    for (enum credential_kind kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (span_is(text, span_str(credential_kind_name(kind)))) {
            *kind_r = kind;
            return true;
        }
    return false;
}

/*
 * One secret, its seal taken off. What cannot be opened proves nothing, and is told: a login that
 * needs it is BROKEN.
 */
static void read_secret(const struct credentials_source *s, struct credentials *out, enum credential_kind kind,
                        struct span label, struct span stored)
{
    size_t n = out->count++;
    const struct seal_row row = { out->mailbox, credential_kind_name(kind), label };
    const char *why;
    struct span id;

    out->secrets[n].kind = (char)kind;
    out->secrets[n].sealed = false;
    out->secrets[n].label[0] = out->secrets[n].text[0] = out->secrets[n].stored[0] = '\0';
    if (label.len > SEAL_LABEL_MAX || stored.len >= SEAL_TEXT_MAX || memchr(stored.at, '\0', stored.len) != NULL)
        return;
    memcpy(out->secrets[n].label, label.at, label.len);
    out->secrets[n].label[label.len] = '\0';
    memcpy(out->secrets[n].stored, stored.at, stored.len);
    out->secrets[n].stored[stored.len] = '\0';
    if (!seal_is(out->secrets[n].stored, &id)) {
        if (stored.len < SCHEME_TEXT_MAX)
            memcpy(out->secrets[n].text, out->secrets[n].stored, stored.len + 1);
    } else if (seal_open(s->keyring, &row, out->secrets[n].stored, out->secrets[n].text, &why) != 0) {
        log_error(NULL, "the stored %s of mailbox %s cannot be used: %s", row.kind, mailbox_text(&out->mailbox).s,
                  why);
    } else {
        out->secrets[n].sealed = span_is(id, span_str(keyring_first(s->keyring)));
    }
}

static bool is_true(const PGresult *result, int col)
{
    return span_is(column(result, 0, col), SPAN_OF("t"));
}

/* A null, or what is none of ours, says nothing. */
static int64_t number(const PGresult *result, int col, int64_t otherwise)
{
    uint64_t v;

    return num_parse(column(result, 0, col), INT64_MAX, &v) == 1 ? (int64_t)v : otherwise;
}

static int32_t setting(const PGresult *result, int col)
{
    int64_t v = number(result, col, AUTH_UNSET);

    return v <= INT32_MAX ? (int32_t)v : AUTH_UNSET;
}

/* What holds for the mailbox stands in each row; the first one will do. */
static void read_policy(const PGresult *result, struct credentials *out)
{
    struct span maintenance = column(result, 0, COL_MAINTENANCE);

    if (maintenance.len > AUTH_MAINTENANCE_MAX)
        maintenance.len = AUTH_MAINTENANCE_MAX;
    memset(out->maintenance, 0, sizeof out->maintenance);
    memcpy(out->maintenance, maintenance.at, maintenance.len);
    out->policy = (struct auth_policy){
        .pop3 = is_true(result, COL_POP3),
        .tls_only = is_true(result, COL_TLS_ONLY),
        .replace_nul = is_true(result, COL_REPLACE_NUL),
        .trace = is_true(result, COL_TRACE),
        .maintenance = { out->maintenance, maintenance.len },
        .login_delay = setting(result, COL_LOGIN_DELAY),
        .expire = setting(result, COL_EXPIRE),
        .domain = number(result, COL_DOMAIN, 0),
        .tenant = number(result, COL_TENANT, 0),
        .domain_sessions = setting(result, COL_DOMAIN_SESSIONS),
        .tenant_sessions = setting(result, COL_TENANT_SESSIONS),
    };
    out->known = is_true(result, COL_KNOWN);
    out->known_today = is_true(result, COL_KNOWN_TODAY);
}

/* The rows of one mailbox; false if they are not what postern.login() promises. */
static bool read_rows(const struct credentials_source *s, const PGresult *result, struct credentials *out)
{
    int rows = PQntuples(result);
    struct span address = column(result, 0, COL_ADDRESS);

    if (!mailbox_parse(column(result, 0, COL_MAILBOX), &out->mailbox) ||
        address.len == 0 || address.len > NAME_ADDRESS_MAX || PQgetisnull(result, 0, COL_ACTIVE))
        return false;
    out->active = span_is(column(result, 0, COL_ACTIVE), SPAN_OF("t"));
    memcpy(out->address, address.at, address.len);
    out->address[address.len] = '\0';
    out->count = 0;
    for (int row = 0; row < rows; row++) {
        /* Two mailboxes for one address: whose password is it? */
        if (!span_is(column(result, row, COL_MAILBOX), column(result, 0, COL_MAILBOX)))
            return false;
        struct span secret = column(result, row, COL_SECRET);
        enum credential_kind kind;
        if (!read_kind(column(result, row, COL_KIND), &kind) || PQgetisnull(result, row, COL_SECRET))
            continue;
        if (out->count == CREDENTIALS_SECRETS_MAX) {
            log_warning(NULL, "mailbox %s has more than %d secrets, the others are ignored",
                        mailbox_text(&out->mailbox).s, CREDENTIALS_SECRETS_MAX);
            break;
        }
        read_secret(s, out, kind, column(result, row, COL_LABEL), secret);
    }
    return true;
}

static void wipe_rows(PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++)
        secret_wipe(PQgetvalue(result, row, COL_SECRET), (size_t)PQgetlength(result, row, COL_SECRET));
}

/*
 * The login of one whose policy was told before, to this network, today. False,
 * and nothing is said, where that does not hold any more, or anything is odd:
 * then all of it is asked for.
 */
static bool ask_known(struct credentials_source *s, const char *address, const char *network, bool whole,
                      struct credentials *out)
{
    const char *values[] = { address };
    const struct policy_entry *entry = policies_get(s->policies, address, network, (int64_t)time(NULL));
    struct mailbox_ref mailbox;

    if (entry == NULL || (whole && entry->versions.proof != 0))
        return false;
    PGresult *result = auth_db_prepared(s->db, STATEMENT_KNOWN, 1, values);
    if (result == NULL)
        return false;
    bool good = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0 &&
                mailbox_parse(column(result, 0, COL_MAILBOX), &mailbox) && mailbox_same(&mailbox, &entry->mailbox) &&
                number(result, KNOWN_COL_VERSION, 0) == entry->versions.policy &&
                read_rows(s, result, out);
    if (good) {
        memcpy(out->maintenance, entry->maintenance, sizeof out->maintenance);
        out->policy = entry->policy;
        out->policy.maintenance.at = out->maintenance;
        out->versions = (struct mailbox_versions){ 0, 0 };
        out->known = out->known_today = network[0] != '\0';
    }
    wipe_rows(result);
    PQclear(result);
    return good;
}

/*
 * Not while there is a trace, which ends by itself; nor from where a login is
 * still to be written down; nor of a mailbox made just now: see
 * credentials_fetch().
 */
static void read_and_keep_policy(struct credentials_source *s, const char *address, const char *network,
                                 const PGresult *result, struct credentials *c)
{
    read_policy(result, c);
    /* An address that is another name of the mailbox's may become one of its own. */
    bool own = strcmp(address, c->address) == 0;
    c->versions = (struct mailbox_versions){ own ? number(result, COL_PROOF, 0) : 0, number(result, COL_VERSION, 0) };
    struct policy_entry entry = { .mailbox = c->mailbox, .versions = c->versions, .policy = c->policy };

    if (c->policy.trace || c->policy.domain == 0 || (network[0] != '\0' && !c->known_today)) {
        c->versions.proof = 0;
        return;
    }
    memcpy(entry.maintenance, c->maintenance, sizeof entry.maintenance);
    policies_put(s->policies, address, network, (int64_t)time(NULL), &entry);
}

static enum credentials_answer ask(struct credentials_source *s, const char *address, const char *network, bool whole,
                                   struct credentials *out, int64_t *guessed_ms_r)
{
    const char *values[] = { address, network[0] != '\0' ? network : NULL, s->keeps ? "t" : "f" };
    enum credentials_answer answer = CREDENTIALS_NONE;

    if (ask_known(s, address, network, whole, out))
        return CREDENTIALS_FOUND;
    PGresult *result = auth_db_prepared(s->db, STATEMENT_FULL, 3, values);
    if (result == NULL)
        return CREDENTIALS_AWAY;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        /* No address has such a character. */
        if (!auth_db_is_no_text(result))
            answer = answer_of(auth_db_failed(s->db, "could not ask the database for credentials", result));
    } else if (PQntuples(result) > 0) {
        *guessed_ms_r = number(result, COL_GUESSED_MS, 0);
    }
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0 && !PQgetisnull(result, 0, COL_MAILBOX)) {
        answer = read_rows(s, result, out) ? CREDENTIALS_FOUND : CREDENTIALS_UNUSABLE;
        if (answer == CREDENTIALS_UNUSABLE)
            log_error(NULL, "postern.credentials() returned rows of several mailboxes for %s",
                      log_text(span_str(address)).s);
        else
            read_and_keep_policy(s, address, network, result, out);
        wipe_rows(result);
    }
    PQclear(result);
    return answer;
}

const struct policy_entry *credentials_recent(const struct credentials_source *s, const char *address,
                                              const char *network)
{
    const struct policy_entry *entry = policies_get(s->policies, address, network, (int64_t)time(NULL));

    return entry != NULL && entry->versions.proof != 0 ? entry : NULL;
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
        answer = ask(s, address, network, whole, out, guessed_ms_r);
        /*
         * A provider's credentials() has made the mailbox in this very
         * statement, whose snapshot does not show yet what holds for it: the
         * next one does. Nobody gets in with the policy unknown.
         */
        if (answer == CREDENTIALS_FOUND && out->policy.domain == 0)
            answer = ask(s, address, network, whole, out, guessed_ms_r);
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

/* ------------------------------------------------------ what a login leaves */

/* One call of a function; the first column of the first row in *answer_r, if not NULL, to PQclear(). */
static void call(struct credentials_source *s, const char *what, const char *sql, int n, const char *const *values,
                 PGresult **answer_r)
{
    PGresult *result = auth_db_query(s->db, sql, n, values);

    if (answer_r != NULL)
        *answer_r = NULL;
    if (result == NULL)
        return;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        if (!auth_db_is_no_text(result))
            auth_db_failed(s->db, what, result);
    } else if (answer_r != NULL) {
        *answer_r = result;
        return;
    }
    PQclear(result);
}

/* The key as the database writes it, "\\x" and hex digits; false for anything else. */
static bool read_key(const PGresult *answer, unsigned char key_r[TICKET_KEY], int64_t *now_ms_r)
{
    struct span text = column(answer, 0, 0);
    size_t len = 0;
    bool ok = text.len == 2 + 2 * TICKET_KEY &&
              sodium_hex2bin(key_r, TICKET_KEY, text.at + 2, text.len - 2, NULL, &len, NULL) == 0 && len == TICKET_KEY;

    *now_ms_r = number(answer, 1, 0);
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
        call(s, "could not read the key of tickets", "select secret, now_ms from postern.newest_ticket_key()", 0, NULL,
             &answer);
        if (answer == NULL && auth_db_is_up(s->db))
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

void credentials_upgrade(struct credentials_source *s, const struct mailbox_ref *mailbox, enum credential_kind kind,
                         const char *label, const char *old, const char *better)
{
    const struct mailbox_text number = mailbox_text(mailbox);
    const char *values[] = { number.s, credential_kind_name(kind), label, old, better };

    call(s, "could not store an upgraded hash", "select postern.upgrade_secret($1, $2, $3, $4, $5)", 5, values, NULL);
}

void credentials_add(struct credentials_source *s, const struct mailbox_ref *mailbox, const char *verified,
                     enum credential_kind kind, const char *secret)
{
    const struct mailbox_text number = mailbox_text(mailbox);
    const char *values[] = { number.s, verified, credential_kind_name(kind), secret };

    call(s, "could not store an additional secret", "select postern.add_secret($1, $2, $3, $4)", 4, values, NULL);
}

void credentials_app_used(struct credentials_source *s, const struct mailbox_ref *mailbox, const char *label)
{
    const struct mailbox_text number = mailbox_text(mailbox);
    const char *values[] = { number.s, label };

    call(s, "could not record the use of an app password", "select postern.use_app_password($1, $2)", 2, values,
         NULL);
}

unsigned credentials_missing(struct credentials_source *s, const struct mailbox_ref *mailbox)
{
    const struct mailbox_text number = mailbox_text(mailbox);
    const char *values[] = { number.s };
    enum credential_kind kind;
    unsigned missing = 0;
    PGresult *answer;

    call(s, "could not read which secrets to store", "select postern.missing_secrets($1)", 1, values, &answer);
    for (int row = 0; answer != NULL && row < PQntuples(answer); row++)
        if (read_kind(column(answer, row, 0), &kind))
            missing |= 1u << kind;
    PQclear(answer);
    return missing;
}

void credentials_count_failure(struct credentials_source *s, const char *address, int64_t interval_ms, int64_t most)
{
    char interval[24], limit[24];
    const char *const values[] = { address, interval, limit };

    snprintf(interval, sizeof interval, "%lld", (long long)interval_ms);
    snprintf(limit, sizeof limit, "%lld", (long long)most);
    call(s, "could not count a refused login", "select postern.count_failure($1, $2, $3)", 3, values, NULL);
}

void credentials_remember(struct credentials_source *s, const struct mailbox_ref *mailbox, const char *network)
{
    const struct mailbox_text number = mailbox_text(mailbox);
    const char *const values[] = { number.s, network };

    call(s, "could not record the network of a login", "select postern.remember_address($1, $2)", 2, values, NULL);
}
