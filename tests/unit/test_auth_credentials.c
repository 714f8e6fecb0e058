/*
 * What a helper makes of answers that postern.login() does not give: a provider
 * has put a function of his own in its place, or an operator has work to do.
 *
 * The database (admin_fixture.h) is this program's own: it replaces functions there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <libpq-fe.h>

#include "auth/account/credentials.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "storage/pg/schema.h"
#include "tests/unit/admin_fixture.h"

#define ANNA "anna@odd.example"
#define LOGIN "postern.login(text, inet, boolean)"

enum { PATIENCE_MS = 5000, RECONNECT_US = 1050000 };

static struct credentials c;
static int64_t guessed_ms;

/* A table of texts is what the function gives; who asks for some other names gets something else. */
static int setup(void **state)
{
    (void)state;
    if (admin_connect() < 0)
        return -1;
    admin_run("create table odd (row serial, mailbox text default '7', address text default '" ANNA "', active text default 't',"
        " kind text default 'password', label text default '', secret text default 'x', domain text default '1', tenant text default '1',"
        " pop3 text default 't', tls_only text default 'f', maintenance text, login_delay text, replace_nul text default 'f',"
        " trace text default 'f', expire text, domain_sessions text, tenant_sessions text, guessed_ms text default '0',"
        " known text default 'f', known_today text default 'f', version text default '1', proof text default '0')");
    admin_run("drop function " LOGIN);
    admin_run("create function " LOGIN " returns setof odd language plpgsql security definer set search_path = public, pg_temp as $$begin"
        " if $1 = 'no-such-character@odd.example' then raise 'no' using errcode = '22021'; end if;"
        " if $1 = 'slow@odd.example' then perform pg_sleep(60); end if;"
        " if $1 = 'stop@odd.example' then perform pg_terminate_backend(pg_backend_pid()); end if;"
        " return query select * from odd order by row; end$$");
    admin_run("grant execute on function " LOGIN " to postern_auth");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    admin_close();
    return 0;
}

static struct credentials_source *source_of(int version, size_t policies)
{
    return credentials_source_new(auth_conninfo, version, PATIENCE_MS, SQL_COMMIT_ON, NULL, policies);
}

static enum credentials_answer fetch_from(struct credentials_source *s, const char *address)
{
    memset(&c, 0, sizeof c);
    return credentials_fetch(s, address, "", false, &c, &guessed_ms);
}

/* One row for each of `rows`: its columns and their values. */
static enum credentials_answer fetch(size_t n, const char *const rows[])
{
    char text[4000];
    struct credentials_source *s = source_of(schema_wanted(), 0);

    admin_run("truncate odd");
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "insert into odd %s", rows[i]);
        admin_run(text);
    }
    enum credentials_answer answer = fetch_from(s, ANNA);
    credentials_source_free(&s);
    assert_null(s);
    return answer;
}

#define FETCH(...) fetch(sizeof (const char *[]){ __VA_ARGS__ } / sizeof (char *), (const char *[]){ __VA_ARGS__ })

static void whole(void **state)
{
    (void)state;
    assert_int_equal(FETCH("(guessed_ms, login_delay, maintenance, known) values ('250', '60', 'back soon', 't')"), CREDENTIALS_FOUND);
    assert_true(c.mailbox.number == 7 && c.active && c.count == 1 && c.known && !c.known_today && guessed_ms == 250);
    assert_string_equal(c.address, ANNA);
    assert_string_equal(c.secrets[0].text, "x");
    assert_true(c.policy.login_delay == 60 && c.policy.expire == AUTH_UNSET && c.policy.maintenance.len == 9);
    assert_int_equal(fetch(0, NULL), CREDENTIALS_NONE);
    assert_int_equal(FETCH("(mailbox, guessed_ms) values (null, '9')"), CREDENTIALS_NONE);
    assert_true(guessed_ms == 9);
}

/* Nobody gets in by rows that could be somebody else's. */
static void not_of_one_mailbox(void **state)
{
    (void)state;
    assert_int_equal(FETCH("(mailbox) values ('0')"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(mailbox) values ('-7')"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(mailbox) values ('seven')"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(address) values ('')"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(address) values (null)"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(address) values (repeat('a', 321))"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(active) values (null)"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(mailbox) values ('7')", "(mailbox) values ('8')"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(mailbox) values ('7')", "(mailbox) values (null)"), CREDENTIALS_UNUSABLE);
}

/* A login whose policy is not known would be one without its limits. */
static void no_policy(void **state)
{
    (void)state;
    assert_int_equal(FETCH("(domain) values (null)"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(login_delay, expire, domain_sessions) values ('99999999999', 'soon', '-1')"), CREDENTIALS_FOUND);
    assert_true(c.policy.login_delay == AUTH_UNSET && c.policy.expire == AUTH_UNSET && c.policy.domain_sessions == AUTH_UNSET);
    assert_int_equal(FETCH("(maintenance) values (repeat('m', 1000))"), CREDENTIALS_FOUND);
    assert_int_equal(c.policy.maintenance.len, AUTH_MAINTENANCE_MAX);
}

/* What cannot be used proves nothing, and hides no other. */
static void odd_secrets(void **state)
{
    (void)state;
    assert_int_equal(FETCH("(kind, secret) values ('fingerprint', 'x')", "(secret) values (null)", "(kind) values (null)",
                           "(label, secret) values ('', 'good')"), CREDENTIALS_FOUND);
    assert_int_equal(c.count, 1);
    assert_string_equal(c.secrets[0].text, "good");
    assert_int_equal(FETCH("(label) values (repeat('l', 65))", "(secret) values (repeat('s', 600))", "(secret) values (repeat('s', 1024))",
                           "(secret) values (repeat('s', 511))"), CREDENTIALS_FOUND);
    assert_int_equal(c.count, 4);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(c.secrets[i].text, "");
    assert_int_equal(strlen(c.secrets[3].text), 511);
    assert_int_equal(FETCH("(secret) values ('{SEALED}no')", "(secret) values ('{SEALED}k:AAAA')"), CREDENTIALS_FOUND);
    assert_int_equal(FETCH("(label) select n::text from generate_series(1, 30) n"), CREDENTIALS_FOUND);
    assert_int_equal(c.count, CREDENTIALS_SECRETS_MAX);
}

/* What is typed costs no connection; what the database cannot do now is no refusal. */
static void errors(void **state)
{
    struct credentials_source *s = source_of(schema_wanted(), 0);

    (void)state;
    admin_run("truncate odd");
    admin_run("insert into odd default values");
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_FOUND);
    assert_int_equal(fetch_from(s, "no-such-character@odd.example"), CREDENTIALS_NONE);
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_FOUND);
    /* The connection is lost in the middle. */
    assert_int_equal(fetch_from(s, "stop@odd.example"), CREDENTIALS_AWAY);
    usleep(RECONNECT_US);
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_FOUND);
    credentials_source_free(&s);
    credentials_source_free(&s);
}

/* One statement of each kind that a login leaves behind, with a right that is missing: each is logged and costs the connection, nothing more. */
static void what_a_login_leaves(void **state)
{
    struct credentials_source *s = source_of(schema_wanted(), 8);

    (void)state;
    /* Nobody is connected: nothing happens. */
    credentials_app_used(s, &(struct mailbox_ref){ 7 }, "phone");
    assert_int_equal(credentials_missing(s, &(struct mailbox_ref){ 7 }), 0);
    admin_run("truncate odd");
    admin_run("insert into odd default values");
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_FOUND);
    admin_run("drop function postern.missing_secrets(bigint)");
    admin_run("create function postern.missing_secrets(bigint) returns setof text language sql as $$values ('scram-sha-256'), ('fingerprint'), (null)$$");
    assert_int_equal(credentials_missing(s, &(struct mailbox_ref){ 7 }), 1u << CREDENTIAL_SCRAM_SHA_256);
    /* Octets that the database's encoding has not: of no concern for the connection. */
    credentials_app_used(s, &(struct mailbox_ref){ 7 }, "\xff");
    assert_int_equal(credentials_missing(s, &(struct mailbox_ref){ 7 }), 1u << CREDENTIAL_SCRAM_SHA_256);
    admin_run("revoke execute on function postern.use_app_password(bigint, text) from postern_auth");
    credentials_app_used(s, &(struct mailbox_ref){ 7 }, "phone");
    assert_int_equal(credentials_missing(s, &(struct mailbox_ref){ 7 }), 0);
    credentials_source_free(&s);
}

/* Where the policy was told before and the function for the rest gives another mailbox, all of it is asked for again. */
static void another_mailbox_than_before(void **state)
{
    struct credentials_source *s = source_of(schema_wanted(), 8);

    (void)state;
    admin_run("truncate odd");
    admin_run("insert into odd (version) select postern.current_policy()");
    admin_run("drop function postern.credentials(text)");
    admin_run("create function postern.credentials(text) returns setof odd language sql security definer as $$select * from odd where $1 <> ''$$");
    admin_run("grant execute on function postern.credentials(text) to postern_auth");
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_FOUND);
    assert_true(fetch_from(s, ANNA) == CREDENTIALS_FOUND && c.mailbox.number == 7);
    admin_run("update odd set mailbox = '8'");
    assert_true(fetch_from(s, ANNA) == CREDENTIALS_FOUND && c.mailbox.number == 8);
    admin_run("update odd set mailbox = '9', address = ''");
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_UNUSABLE);
    admin_run("truncate odd");
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_NONE);
    credentials_source_free(&s);
}

/* What only an operator can mend is told apart from what time mends; nobody is refused by either. */
static void wrong_schema(void **state)
{
    struct credentials_source *s = source_of(schema_wanted() + 1, 0);

    (void)state;
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_BROKEN);
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_BROKEN);
    credentials_source_free(&s);
    const char *const changes[] = {
        "create or replace function postern.schema_version() returns integer language sql as 'select null::integer'",
        "create or replace function postern.schema_version() returns integer language sql as $$select 'x'::text::integer$$",
        "alter schema postern rename to elsewhere",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        s = source_of(schema_wanted(), 0);
        admin_run(changes[i]);
        assert_int_equal(fetch_from(s, ANNA), i == 1 ? CREDENTIALS_AWAY : CREDENTIALS_BROKEN);
        credentials_source_free(&s);
    }
    admin_run("alter schema elsewhere rename to postern");
}

/* It does not answer: the login is put off when the time is over, and the connection given up. */
static void no_answer(void **state)
{
    struct credentials_source *s = credentials_source_new(auth_conninfo, schema_wanted(), 300, SQL_COMMIT_ON, NULL, 0);

    (void)state;
    assert_int_equal(fetch_from(s, "slow@odd.example"), CREDENTIALS_AWAY);
    credentials_source_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole), cmocka_unit_test(not_of_one_mailbox), cmocka_unit_test(no_policy), cmocka_unit_test(odd_secrets),
        cmocka_unit_test(errors), cmocka_unit_test(no_answer), cmocka_unit_test(what_a_login_leaves),
        cmocka_unit_test(another_mailbox_than_before), cmocka_unit_test(wrong_schema),
    };
    const char *error;

    if (without_database("auth_credentials"))
        return 0;
    log_open("/dev/null", LOG_LEVEL_DEBUG, "test", &error);
    secret_init();
    return cmocka_run_group_tests_name("auth_credentials", tests, setup, teardown);
}
