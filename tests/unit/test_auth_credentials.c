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
#include "auth/account/writes.h"
#include "auth/login_cache.h"
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

/* One that remembers nothing, and one that is new for each that shall. */
static struct login_cache *none, *memory;

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
        " known text default 'f', known_today text default 'f', version text default '1', proof text default '0', elsewhere text)");
    admin_run("drop function " LOGIN);
    admin_run("create function " LOGIN " returns setof odd language plpgsql security definer set search_path = public, pg_temp as $$begin"
        " if $1 = 'no-such-character@odd.example' then raise 'no' using errcode = '22021'; end if;"
        " if $1 = 'slow@odd.example' then perform pg_sleep(60); end if;"
        " if $1 = 'stop@odd.example' then perform pg_terminate_backend(pg_backend_pid()); end if;"
        " return query select * from odd order by row; end$$");
    admin_run("grant execute on function " LOGIN " to postern_auth");
    none = login_cache_new(-1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    admin_close();
    login_cache_free(&none);
    login_cache_free(&memory);
    return 0;
}

static struct login_cache *cache_of(bool remembers)
{
    if (!remembers)
        return none;
    login_cache_free(&memory);
    memory = login_cache_new(login_cache_memory(LOGIN_CACHE_LEAST));
    return memory;
}

static struct credentials_source *source_of(int version, bool remembers)
{
    return credentials_source_new(auth_conninfo, version, PATIENCE_MS, SQL_COMMIT_ON, NULL, cache_of(remembers), false);
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
    struct credentials_source *s = source_of(schema_wanted(), false);

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

/* Still at another server: what is stored here says nothing of that, nor need there be a mailbox. */
static void elsewhere(void **state)
{
    (void)state;
    assert_int_equal(FETCH("(elsewhere) values ('1 h 995 pops nothing tls a name')"), CREDENTIALS_FOUND);
    assert_string_equal(c.elsewhere, "1 h 995 pops nothing tls a name");
    assert_int_equal(c.mailbox.number, 7);
    assert_int_equal(FETCH("(mailbox, kind, elsewhere) values (null, null, '1 h 995 pops nothing tls x')"), CREDENTIALS_FOUND);
    assert_true(!mailbox_is_one(&c.mailbox) && c.count == 0 && c.active && c.policy.domain == 1);
    assert_string_equal(c.address, ANNA);
    assert_int_equal(FETCH("(elsewhere) values (E'1 h 995 pops nothing tls x\\r\\nDELE 1')"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(elsewhere) values ('nonsense')"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(mailbox, elsewhere) values (null, 'nonsense')"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(mailbox, address, elsewhere) values (null, null, '1 h 995 pops nothing tls x')"), CREDENTIALS_UNUSABLE);
    assert_int_equal(FETCH("(mailbox) values ('7')"), CREDENTIALS_FOUND);
    assert_string_equal(c.elsewhere, "");
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
    struct credentials_source *s = source_of(schema_wanted(), false);

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

static unsigned missing_of(struct credentials_source *s, int64_t mailbox)
{
    unsigned missing;

    writes_missing(s, &(struct mailbox_ref){ mailbox }, 1, &missing);
    return missing;
}

static void use(struct credentials_source *s, const char *label)
{
    writes_app_used(s, &(struct mailbox_ref){ 7 }, &label, 1);
}

/* One statement of each kind that a login leaves behind, with a right that is missing: each is logged and costs the connection, nothing more. */
static void what_a_login_leaves(void **state)
{
    struct credentials_source *s = source_of(schema_wanted(), true);

    (void)state;
    /* Nobody is connected: nothing happens. */
    use(s, "phone");
    assert_int_equal(missing_of(s, 7), 0);
    admin_run("truncate odd");
    admin_run("insert into odd default values");
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_FOUND);
    admin_run("drop function postern.missing_secrets(bigint)");
    admin_run("create function postern.missing_secrets(bigint) returns setof text language sql as"
              " $$select k from (values ('scram-sha-256'), ('fingerprint'), (null)) v (k) where $1 <> 8 union all select 'shared-secret' where $1 > 8$$");
    assert_int_equal(missing_of(s, 7), 1u << CREDENTIAL_SCRAM_SHA_256);
    /* Of several, each its own. */
    const struct mailbox_ref several[] = { { 9 }, { 8 }, { 7 }, { 9 } };
    const unsigned two = 1u << CREDENTIAL_SCRAM_SHA_256 | 1u << CREDENTIAL_SHARED_SECRET;
    const unsigned wanted[] = { two, 0, 1u << CREDENTIAL_SCRAM_SHA_256, two };
    unsigned got[4];
    writes_missing(s, several, 4, got);
    assert_memory_equal(got, wanted, sizeof wanted);
    /* Octets that the database's encoding has not: of no concern for the connection. */
    use(s, "\xff");
    assert_int_equal(missing_of(s, 7), 1u << CREDENTIAL_SCRAM_SHA_256);
    admin_run("revoke execute on function postern.use_app_password(bigint, text) from postern_auth");
    use(s, "phone");
    assert_int_equal(missing_of(s, 7), 0);
    credentials_source_free(&s);
}

/* Written together; and where one of them fails, the others all the same. */
static void what_many_logins_leave(void **state)
{
    struct credentials_source *s = source_of(schema_wanted(), true);
    const struct mailbox_ref mailboxes[] = { { 9 }, { 7 }, { 8 }, { 7 } };
    const char *const good[] = { "192.0.2.1", "2001:db8::/64", "192.0.2.3", "2001:db8::/64" };
    const char *const bad[] = { "192.0.2.5", "192.0.2.6", "no network", "192.0.2.7" };
    const char *const names[] = { "a@odd.example", "quote\"d\\@odd.example", "a@odd.example" };
    const char *const worse[] = { "b@odd.example", "\xff", "c@odd.example" };

    (void)state;
    assert_int_equal(fetch_from(s, ANNA), CREDENTIALS_FOUND);
    admin_run("create table seen (mailbox bigint, network inet)");
    admin_run("grant insert on seen to postern_auth");
    admin_run("drop function postern.remember_address(bigint, inet)");
    admin_run("create function postern.remember_address(bigint, inet) returns void language sql security definer set search_path = public, pg_temp"
              " as $$insert into seen values ($1, $2)$$");
    admin_run("grant execute on function postern.remember_address(bigint, inet) to postern_auth");
    writes_remember(s, mailboxes, good, 4);
    assert_string_equal(admin_value("select string_agg(mailbox || '=' || network, ' ' order by ctid) from seen", NULL, NULL),
                        "7=2001:db8::/64 8=192.0.2.3/32 9=192.0.2.1/32");
    admin_run("truncate seen");
    writes_remember(s, mailboxes, bad, 4);
    assert_string_equal(admin_value("select string_agg(mailbox || '=' || host(network), ' ' order by ctid) from seen", NULL, NULL),
                        "9=192.0.2.5 7=192.0.2.6 7=192.0.2.7");
    writes_count_failures(s, names, 3, 60000, 10);
    writes_count_failures(s, worse, 3, 60000, 10);
    assert_string_equal(admin_value("select string_agg(round(extract(epoch from until - now()) / 60)::text, ' ' order by until) from postern.guess", NULL, NULL),
                        "1 1 1 2");
    credentials_source_free(&s);
}

/* What is asked for several at once is what each would be told alone, and one that is an error is that of nobody else. */
static void ahead(void **state)
{
    static const struct credentials_question good[] = { { "b@odd.example", "192.0.2.1" }, { "nobody@odd.example", "" }, { "a@odd.example", "" } };
    static const struct credentials_question bad[] = { { "b@odd.example", "192.0.2.1" }, { "no-such-character@odd.example", "" }, { "a@odd.example", "" } };
    static const struct credentials_question late[] = { { "b@odd.example", "" }, { "slow@odd.example", "" } };
    struct credentials_source *s = credentials_source_new(auth_conninfo, schema_wanted(), 1200, SQL_COMMIT_ON, NULL, cache_of(true), false);

    (void)state;
    admin_run("create sequence questions");
    admin_run("create or replace function " LOGIN " returns setof odd language plpgsql volatile security definer set search_path = public, pg_temp as $$begin"
        " perform nextval('questions');"
        " if $1 = 'no-such-character@odd.example' then raise 'no' using errcode = '22021'; end if;"
        " if $1 = 'slow@odd.example' then perform pg_sleep(60); end if;"
        " if $1 = 'nobody@odd.example' then return query select row, null, null, null, null, null, null, domain, tenant, pop3, tls_only, maintenance, login_delay, replace_nul,"
        "   trace, expire, domain_sessions, tenant_sessions, '5'::text, known, known_today, version, proof, elsewhere from odd where row = (select min(row) from odd); return; end if;"
        " return query select row, mailbox, $1, active, kind, label, coalesce(host($2), 'none') || row % 2, domain, tenant, pop3, tls_only, maintenance, login_delay, replace_nul,"
        "   trace, expire, domain_sessions, tenant_sessions, guessed_ms, known, known_today, version, proof, elsewhere from odd order by row; end$$");
    admin_run("drop function postern.login_group(text[], inet[], boolean)");
    admin_run("create function postern.login_group(text[], inet[], boolean) returns table (mailbox text, address text, active text, kind text, label text,"
        " secret text, domain text, tenant text, pop3 text, tls_only text, maintenance text, login_delay text, replace_nul text, trace text, expire text,"
        " domain_sessions text, tenant_sessions text, guessed_ms text, known text, known_today text, version text, proof text, elsewhere text, question bigint)"
        " language sql volatile security definer set search_path = public, pg_temp as $$select l.mailbox, l.address, l.active, l.kind, l.label, l.secret,"
        " l.domain, l.tenant, l.pop3, l.tls_only, l.maintenance, l.login_delay, l.replace_nul, l.trace, l.expire, l.domain_sessions, l.tenant_sessions,"
        " l.guessed_ms, l.known, l.known_today, l.version, l.proof, l.elsewhere, q.n from unnest($1, $2) with ordinality q (a, b, n), postern.login(q.a, q.b, $3) l$$");
    admin_run("grant execute on function postern.login_group(text[], inet[], boolean) to postern_auth");
    admin_run("truncate odd restart identity");
    admin_run("insert into odd (mailbox) values ('7'), ('7')");
    assert_true(credentials_look_ahead(s, good, 3, true));
    assert_string_equal(admin_value("select last_value from questions", NULL, NULL), "3");
    assert_int_equal(credentials_fetch(s, "a@odd.example", "", true, &c, &guessed_ms), CREDENTIALS_FOUND);
    assert_string_equal(c.address, "a@odd.example");
    assert_true(c.count == 2 && strcmp(c.secrets[0].text, "none1") == 0 && strcmp(c.secrets[1].text, "none0") == 0);
    assert_int_equal(credentials_fetch(s, "b@odd.example", "192.0.2.1", true, &c, &guessed_ms), CREDENTIALS_FOUND);
    assert_string_equal(c.secrets[0].text, "192.0.2.11");
    assert_int_equal(credentials_fetch(s, "nobody@odd.example", "", true, &c, &guessed_ms), CREDENTIALS_NONE);
    assert_int_equal(guessed_ms, 5);
    assert_string_equal(admin_value("select last_value from questions", NULL, NULL), "3");
    /* From elsewhere, and when it was forgotten, it is asked anew. */
    assert_int_equal(credentials_fetch(s, "b@odd.example", "192.0.2.2", true, &c, &guessed_ms), CREDENTIALS_FOUND);
    assert_string_equal(c.secrets[0].text, "192.0.2.21");
    credentials_forget_ahead(s);
    assert_int_equal(credentials_fetch(s, "nobody@odd.example", "", true, &c, &guessed_ms), CREDENTIALS_NONE);
    assert_string_equal(admin_value("select last_value from questions", NULL, NULL), "5");

    assert_true(credentials_look_ahead(s, bad, 3, true));
    assert_int_equal(credentials_fetch(s, "b@odd.example", "192.0.2.1", true, &c, &guessed_ms), CREDENTIALS_FOUND);
    assert_int_equal(credentials_fetch(s, "no-such-character@odd.example", "", true, &c, &guessed_ms), CREDENTIALS_NONE);
    assert_int_equal(credentials_fetch(s, "a@odd.example", "", true, &c, &guessed_ms), CREDENTIALS_FOUND);
    /* Who does not answer in time is asked about alone, while others are asked elsewhere. */
    assert_false(credentials_look_ahead(s, late, 2, true));
    assert_int_equal(credentials_fetch(s, "b@odd.example", "", true, &c, &guessed_ms), CREDENTIALS_AWAY);
    usleep(RECONNECT_US);
    assert_int_equal(credentials_fetch(s, "b@odd.example", "", true, &c, &guessed_ms), CREDENTIALS_FOUND);
    credentials_source_free(&s);
}

/* Where the policy was told before and the function for the rest gives another mailbox, all of it is asked for again. */
static void another_mailbox_than_before(void **state)
{
    struct credentials_source *s = source_of(schema_wanted(), true);

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
    struct credentials_source *s = source_of(schema_wanted() + 1, false);

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
        s = source_of(schema_wanted(), false);
        admin_run(changes[i]);
        assert_int_equal(fetch_from(s, ANNA), i == 1 ? CREDENTIALS_AWAY : CREDENTIALS_BROKEN);
        credentials_source_free(&s);
    }
    admin_run("alter schema elsewhere rename to postern");
}

/* It does not answer: the login is put off when the time is over, and the connection given up. */
static void no_answer(void **state)
{
    struct credentials_source *s = credentials_source_new(auth_conninfo, schema_wanted(), 300, SQL_COMMIT_ON, NULL, none, false);

    (void)state;
    assert_int_equal(fetch_from(s, "slow@odd.example"), CREDENTIALS_AWAY);
    credentials_source_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole), cmocka_unit_test(elsewhere), cmocka_unit_test(not_of_one_mailbox), cmocka_unit_test(no_policy), cmocka_unit_test(odd_secrets),
        cmocka_unit_test(errors), cmocka_unit_test(no_answer), cmocka_unit_test(what_a_login_leaves), cmocka_unit_test(what_many_logins_leave),
        cmocka_unit_test(another_mailbox_than_before), cmocka_unit_test(ahead), cmocka_unit_test(wrong_schema),
    };
    const char *error;

    if (without_database("auth_credentials"))
        return 0;
    log_open("/dev/null", LOG_LEVEL_DEBUG, "test", &error);
    secret_init();
    return cmocka_run_group_tests_name("auth_credentials", tests, setup, teardown);
}
