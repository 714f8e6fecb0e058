/*
 * The auth helper as it runs, a process of its own, against a real PostgreSQL
 * (admin_fixture.h). Makes domains of its own and removes them.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <libpq-fe.h>

#include "auth/frame.h"
#include "auth/helper/helper.h"
#include "auth/login_cache.h"
#include "auth/mechanism.h"
#include "auth/scheme/scheme.h"
#include "auth/settings.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/peer.h"
#include "storage/pg/schema.h"
#include "tests/unit/admin_fixture.h"
#include "tests/unit/packets.h"

static struct auth_settings settings = {
    .auth_helpers = 1, .auth_argon2_memory = 8388608, .auth_argon2_passes = 1, .auth_cache = 1 << 20, .auth_deadline = 20000,
    .auth_failures = 5, .auth_failure_time = 60000,
};
static PGconn *other_db;            /* to "postgres", to shut the database of the other one */
static char log_path[] = "/tmp/postern-test-auth-XXXXXX";

/* A helper, and our end of its socket. */
static int helper_fd = -1;
static struct packet inbox;
static pid_t helper_pid;

static void helper_start(const char *info, int version)
{
    int pair[2];
    const char *error;

    assert_int_equal(peer_pair(pair), 0);
    helper_pid = fork();
    assert_true(helper_pid >= 0);
    if (helper_pid == 0) {
        close(pair[0]);
        signal(SIGSEGV, SIG_DFL);       /* cmocka's would go on with the next test */
        signal(SIGABRT, SIG_DFL);
        log_open(log_path, LOG_LEVEL_DEBUG, "auth helper", &error);
        _exit(auth_helper_run(pair[1], info, &settings, version, login_cache_memory((size_t)settings.auth_cache),
                              ~0u));
    }
    close(pair[1]);
    helper_fd = pair[0];
}

static int helper_status(void)
{
    int status;

    assert_int_equal(waitpid(helper_pid, &status, 0), helper_pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void helper_end(void)
{
    close(helper_fd);
    assert_int_equal(helper_status(), 0);
}

enum { LANE = 4711 };
static struct auth_reply last;
static const char *network = "";        /* where the next login comes from */
static bool suspect, uncached;
static char last_address[NAME_ADDRESS_MAX + 1];

static enum auth_verdict ask_helper(struct span name, struct span password, const char *default_domain)
{
    static uint64_t id;
    static unsigned char data[PEER_MAX];    /* the last answer lies in it */
    struct auth_request r = { ++id, name, password, span_str(default_domain), SPAN_OF(""), { .network = span_str(network), .suspect = suspect }, uncached, LANE, false, REPORT_NONE };

    assert_true(send_message(helper_fd, data, frame_put_request(data, &r)));
    long len = next_message(helper_fd, &inbox, data, sizeof data);
    assert_true(len > 0);
    assert_true(frame_get_reply(data, (size_t)len, &last));
    assert_true(last.id == id);
    snprintf(last_address, sizeof last_address, "%.*s", (int)last.address.len, last.address.at);
    return last.verdict;
}

static bool from_cache;         /* the last login, and rightly so */

/* As a worker does it: what open_maildrop() finds is asked of the tables. */
static enum auth_verdict login_at(struct span name, struct span password, const char *default_domain)
{
    char number[32], common[32];
    enum auth_verdict verdict = ask_helper(name, password, default_domain);

    from_cache = verdict == AUTH_OK_UNCONFIRMED;
    if (!from_cache)
        return verdict;
    assert_true(last.versions.proof != 0);
    snprintf(number, sizeof number, "%lld", (long long)last.versions.proof);
    snprintf(common, sizeof common, "%lld", (long long)last.versions.policy);
    from_cache = admin_value("select 1 from postern.mailbox m join postern.domain d on d.domain = m.domain join postern.tenant t on t.tenant = d.tenant"
                   " join postern.policy_version v on v.version = $2::bigint where m.proof = $1::bigint"
                   " and m.enabled and d.enabled and t.enabled", number, common)[0] == '1';
    if (from_cache)
        return AUTH_OK;         /* it is confirmed */
    uncached = true;
    verdict = ask_helper(name, password, default_domain);
    uncached = false;
    assert_true(verdict != AUTH_OK_UNCONFIRMED);
    return verdict;
}

static enum auth_verdict login(const char *name, const char *password)
{
    return login_at(span_str(name), span_str(password), "");
}

static void allow_connections(const char *yes)
{
    char text[200];

    snprintf(text, sizeof text, "alter database \"%s\" allow_connections %s", PQdb(admin), yes);
    admin_value_on(other_db, text, NULL, NULL);
}

static const char *hash_of(const char *password)
{
    static char out[SCHEME_TEXT_MAX];
    const char *error = "-";

    if (scheme_hash("argon2id", span_str(password), &settings, out, &error) < 0)
        fail_msg("%s", error);
    return out;
}

static void set_secret(const char *address, const char *secret)
{
    admin_value("insert into postern.credential (mailbox, kind, secret) select mailbox, 'password', $2 from postern.mailbox"
        " where address = $1 on conflict (mailbox, kind, label) do update set secret = excluded.secret", address, secret);
}

static void mailbox_add(const char *address, const char *secret)
{
    admin_value("insert into postern.mailbox (domain, address) select domain, $1 from postern.domain"
        " where name = split_part($1, '@', -1)", address, NULL);
    if (secret != NULL)
        set_secret(address, secret);
}

/* Also after a run that failed half-way. */
static void clean(void)
{
    allow_connections("true");
    admin_value("grant execute on function postern.credentials(text), postern.login(text, inet, boolean) to postern_auth", NULL, NULL);
    admin_value("delete from postern.mailbox where address like '%auth-test.example'", NULL, NULL);
    admin_value("delete from postern.domain where alias_of is not null and name like '%auth-test.example'", NULL, NULL);
    admin_value("delete from postern.domain where name like '%auth-test.example'", NULL, NULL);
    admin_value("delete from postern.tenant where name like 'auth-test%'", NULL, NULL);
}

static int setup(void **state)
{
    char info[1024];

    (void)state;
    if (admin_connect() < 0)
        return -1;
    snprintf(info, sizeof info, "%s dbname=postgres", getenv("POSTERN_TEST_DB"));
    other_db = PQconnectdb(info);
    clean();
    admin_value("insert into postern.tenant (name) values ('auth-test'), ('auth-test-2')", NULL, NULL);
    admin_value("insert into postern.domain (tenant, name) select tenant, d from postern.tenant,"
        " unnest(array['auth-test.example', 'xn--bcher-kva.auth-test.example', 'off.auth-test.example']) d"
        " where tenant.name = 'auth-test'", NULL, NULL);
    admin_value("insert into postern.domain (tenant, name) select tenant, 'two.auth-test.example' from postern.tenant"
        " where name = 'auth-test-2'", NULL, NULL);
    admin_value("insert into postern.domain (tenant, name, alias_of) select tenant, 'alias.auth-test.example', domain"
        " from postern.domain where name = 'auth-test.example'", NULL, NULL);
    mailbox_add("anna@auth-test.example", hash_of("secret"));
    mailbox_add("bert@auth-test.example", hash_of("secret"));
    mailbox_add("nopass@auth-test.example", NULL);
    mailbox_add("anna@off.auth-test.example", hash_of("secret"));
    mailbox_add("anna@two.auth-test.example", hash_of("secret"));
    mailbox_add("anna@xn--bcher-kva.auth-test.example", hash_of("secret"));
    close(mkstemp(log_path));
    helper_start(auth_conninfo, schema_wanted());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(helper_fd);
    waitpid(helper_pid, NULL, 0);
    clean();
    PQfinish(other_db);
    admin_close();
    unlink(log_path);
    return 0;
}

/* Does any line of the helpers' log have this? */
static bool logged(const char *text)
{
    char line[1024];
    bool found = false;
    FILE *in = fopen(log_path, "r");

    assert_non_null(in);
    while (!found && fgets(line, sizeof line, in) != NULL)
        found = strstr(line, text) != NULL;
    fclose(in);
    return found;
}

static void test_right_and_wrong(void **state)
{
    (void)state;
    /* Twice each: the second time it is cached. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_OK);
        assert_true(last.mailbox.number == atoll(admin_value("select mailbox from postern.mailbox where address = 'anna@auth-test.example'", NULL, NULL)));
        assert_string_equal(last_address, "anna@auth-test.example");
        assert_int_equal(login("anna@auth-test.example", "Secret"), AUTH_REFUSED);
        assert_true(last.mailbox.number == 0);
        assert_string_equal(last_address, "anna@auth-test.example");
        assert_int_equal(login("anna@auth-test.example", "secret "), AUTH_REFUSED);      /* A06 */
        assert_int_equal(login("nobody@auth-test.example", "secret"), AUTH_REFUSED);
        assert_int_equal(login("anna@nowhere.example", "secret"), AUTH_REFUSED);
    }
    assert_true(logged("auth name=\"anna@auth-test.example\" result=ok cached=unconfirmed"));
    assert_true(logged("auth name=\"anna@auth-test.example\" result=refused reason=password"));
    assert_true(logged("auth name=\"nobody@auth-test.example\" result=refused reason=unknown"));
    assert_false(logged("secret"));
    assert_false(logged("Secret"));
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(login("ANNA@Auth-Test.EXAMPLE.", "secret"), AUTH_OK);
    assert_int_equal(login_at(SPAN_OF("anna"), SPAN_OF("secret"), "auth-test.example"), AUTH_OK);
    assert_int_equal(login_at(SPAN_OF("anna"), SPAN_OF("secret"), ""), AUTH_REFUSED);
    assert_int_equal(login("anna@b\xC3\xBC" "cher.auth-test.example", "secret"), AUTH_OK);
    assert_string_equal(last_address, "anna@xn--bcher-kva.auth-test.example");
    assert_int_equal(login("", "secret"), AUTH_REFUSED);
    assert_int_equal(login("@", "secret"), AUTH_REFUSED);
    assert_int_equal(login("an\xFFna@auth-test.example", "secret"), AUTH_REFUSED);
    assert_int_equal(login_at(SPAN_OF("anna@auth-test.example\0"), SPAN_OF("secret"), ""), AUTH_REFUSED);
    assert_int_equal(login("' or true --@auth-test.example", "secret"), AUTH_REFUSED);
    assert_int_equal(login("%@auth-test.example", "secret"), AUTH_REFUSED);
    /* Quotes that are not needed, blanks around it, wide letters: the same address. */
    assert_int_equal(login("\"anna\"@auth-test.example", "secret"), AUTH_OK);
    assert_int_equal(login(" anna@auth-test.example\t", "secret"), AUTH_OK);
    assert_int_equal(login("\xEF\xBC\xA1nna@auth-test.example", "secret"), AUTH_OK);
    assert_int_equal(login("anna @auth-test.example", "secret"), AUTH_REFUSED);
}

/* L07: another name of the domain is the same maildrop. */
static void test_domain_alias(void **state)
{
    (void)state;
    assert_int_equal(login("anna@alias.auth-test.example", "secret"), AUTH_OK);
    assert_string_equal(last_address, "anna@auth-test.example");
    assert_int_equal(login("anna@alias.auth-test.example", "wrong"), AUTH_REFUSED);
    assert_string_equal(last_address, "anna@alias.auth-test.example");
    assert_int_equal(login("nobody@alias.auth-test.example", "secret"), AUTH_REFUSED);
    admin_value("update postern.domain set enabled = false where name = 'alias.auth-test.example'", NULL, NULL);
    assert_int_equal(login("anna@alias.auth-test.example", "secret"), AUTH_REFUSED);
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_OK);
    admin_value("update postern.domain set enabled = true where name = 'alias.auth-test.example'", NULL, NULL);
    assert_int_equal(login("anna@alias.auth-test.example", "secret"), AUTH_OK);
}

/* Mailbox, domain and tenant; each was verified before, so the cache must not help. */
static void test_disabled(void **state)
{
    static const struct {
        const char *name, *off, *on;
    } cases[] = {
        { "bert@auth-test.example", "update postern.mailbox set enabled = false where address = 'bert@auth-test.example'",
          "update postern.mailbox set enabled = true where address = 'bert@auth-test.example'" },
        { "anna@off.auth-test.example", "update postern.domain set enabled = false where name = 'off.auth-test.example'",
          "update postern.domain set enabled = true where name = 'off.auth-test.example'" },
        { "anna@two.auth-test.example", "update postern.tenant set enabled = false where name = 'auth-test-2'",
          "update postern.tenant set enabled = true where name = 'auth-test-2'" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[200];
        assert_int_equal(login(cases[i].name, "secret"), AUTH_OK);
        admin_value(cases[i].off, NULL, NULL);
        assert_int_equal(login(cases[i].name, "secret"), AUTH_REFUSED);
        assert_int_equal(login(cases[i].name, "wrong"), AUTH_REFUSED);
        snprintf(line, sizeof line, "name=\"%s\" result=refused reason=disabled", cases[i].name);
        assert_true(logged(line));
        admin_value(cases[i].on, NULL, NULL);
        assert_int_equal(login(cases[i].name, "secret"), AUTH_OK);
    }
}

/* A11: what was verified is found in the cache as long as nothing has changed that it hangs on; by its own, and from where it was verified. */
static void test_cached(void **state)
{
    static const char *const changes[] = {
        "update postern.credential c set secret = secret from postern.mailbox m where m.mailbox = c.mailbox and m.address = 'kate@auth-test.example'",
        "update postern.mailbox set address = 'kate@auth-test.example' where address = 'kate@auth-test.example'",
        "select postern.set_policy(null, 'auth-test.example', null, '{login_delay}', '{1}')",
        "select postern.set_policy(null, 'auth-test.example', null, '{login_delay}', '{null}')",
        "update postern.domain set quota = 1 << 30 where name = 'two.auth-test.example'",
        "insert into postern.mailbox (domain, address) select domain, 'kate@' || name from postern.domain where name = 'alias.auth-test.example'",
        "delete from postern.mailbox where address = 'kate@alias.auth-test.example' returning mailbox",
    };

    (void)state;
    admin_value("insert into postern.mailbox (domain, address) select domain, 'kate@auth-test.example' from postern.domain where name = 'auth-test.example'",
        NULL, NULL);
    set_secret("kate@auth-test.example", hash_of("secret"));
    assert_int_equal(login("kate@auth-test.example", "secret"), AUTH_OK);
    assert_false(from_cache);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        bool is_deletion = strncmp(changes[i], "delete", 6) == 0;
        assert_int_equal(login("Kate@auth-test.example", "secret"), AUTH_OK);
        assert_true(from_cache);
        assert_int_equal(login("kate@auth-test.example", "Secret"), AUTH_REFUSED);
        assert_int_equal(login("kate@alias.auth-test.example", "secret"), strncmp(changes[i], "delete", 6) == 0 ? AUTH_REFUSED : AUTH_OK);
        assert_false(from_cache);
        network = "192.0.2.77";
        assert_int_equal(login("kate@auth-test.example", "secret"), AUTH_OK);
        if (i == 0)
            assert_false(from_cache);
        network = "";
        assert_int_equal(login("kate@auth-test.example", "secret"), AUTH_OK);
        admin_value(changes[i], NULL, NULL);
        assert_int_equal(login("kate@auth-test.example", "secret"), AUTH_OK);
        assert_int_equal(from_cache, is_deletion);
    }
    /* A reply of before, and what a new password does to it. */
    assert_int_equal(login("kate@auth-test.example", "secret"), AUTH_OK);
    assert_true(from_cache);
    set_secret("kate@auth-test.example", hash_of("other"));
    assert_int_equal(login("kate@auth-test.example", "secret"), AUTH_REFUSED);
    assert_int_equal(login("kate@auth-test.example", "other"), AUTH_OK);
    assert_false(from_cache);
    assert_int_equal(login("kate@auth-test.example", "other"), AUTH_OK);
    assert_true(from_cache);
    assert_int_equal(login("kate@auth-test.example", "secret"), AUTH_REFUSED);
    admin_value("delete from postern.mailbox where address = 'kate@auth-test.example'", NULL, NULL);
    assert_int_equal(login("kate@auth-test.example", "other"), AUTH_REFUSED);
}

static void test_changed_password(void **state)
{
    (void)state;
    assert_int_equal(login("bert@auth-test.example", "secret"), AUTH_OK);
    assert_int_equal(login("bert@auth-test.example", "secret"), AUTH_OK);
    set_secret("bert@auth-test.example", hash_of("other"));
    assert_int_equal(login("bert@auth-test.example", "secret"), AUTH_REFUSED);
    assert_int_equal(login("bert@auth-test.example", "other"), AUTH_OK);
    /* The same password again, with another salt. */
    set_secret("bert@auth-test.example", hash_of("other"));
    assert_int_equal(login("bert@auth-test.example", "other"), AUTH_OK);
    /* No password any more; no mailbox any more. */
    admin_value("delete from postern.credential c using postern.mailbox m where m.mailbox = c.mailbox and m.address = $1",
        "bert@auth-test.example", NULL);
    assert_int_equal(login("bert@auth-test.example", "other"), AUTH_REFUSED);
    admin_value("delete from postern.mailbox where address = $1", "bert@auth-test.example", NULL);
    assert_int_equal(login("bert@auth-test.example", "other"), AUTH_REFUSED);
    mailbox_add("bert@auth-test.example", hash_of("secret"));
    assert_int_equal(login("bert@auth-test.example", "secret"), AUTH_OK);
}

/* A07, P07: empty, NUL, too long; no secret, an empty one, one of another kind. */
static void test_no_password(void **state)
{
    static char lengthy[PASSWORD_MAX];

    (void)state;
    memset(lengthy, 'x', sizeof lengthy);
    assert_int_equal(login("anna@auth-test.example", ""), AUTH_REFUSED);
    assert_int_equal(login("nobody@auth-test.example", ""), AUTH_REFUSED);
    assert_int_equal(login_at(SPAN_OF("anna@auth-test.example"), SPAN_OF("secret\0"), ""), AUTH_REFUSED);
    assert_int_equal(login_at(SPAN_OF("anna@auth-test.example"), SPAN_OF("\0"), ""), AUTH_REFUSED);
    assert_int_equal(login_at(SPAN_OF("anna@auth-test.example"), (struct span){ lengthy, sizeof lengthy }, ""), AUTH_REFUSED);
    assert_int_equal(login("nopass@auth-test.example", ""), AUTH_REFUSED);
    assert_int_equal(login("nopass@auth-test.example", "secret"), AUTH_REFUSED);
    assert_true(logged("name=\"nopass@auth-test.example\" result=refused reason=no-password"));
    admin_value("insert into postern.credential (mailbox, kind, secret) select mailbox, 'shared-secret', 'secret'"
        " from postern.mailbox where address = 'nopass@auth-test.example'", NULL, NULL);
    assert_int_equal(login("nopass@auth-test.example", "secret"), AUTH_REFUSED);
    set_secret("nopass@auth-test.example", "");
    assert_int_equal(login("nopass@auth-test.example", ""), AUTH_REFUSED);
    assert_int_equal(login("nopass@auth-test.example", "secret"), AUTH_REFUSED);
    assert_true(logged("name=\"nopass@auth-test.example\" result=refused reason=unusable"));
    admin_value("delete from postern.credential c using postern.mailbox m where m.mailbox = c.mailbox and m.address = $1",
        "nopass@auth-test.example", NULL);
}

/*
 * A stored secret that nobody can verify is an operator's trouble: told with the mailbox, never shown. To a client it is
 * what a wrong password is, or it would tell that the name exists.
 */
static void test_broken_secret(void **state)
{
    char line[100];

    (void)state;
    mailbox_add("odd@auth-test.example", "{NTLM}opensesame");
    assert_int_equal(login("odd@auth-test.example", "opensesame"), AUTH_REFUSED);
    assert_true(last.mailbox.number == 0);
    snprintf(line, sizeof line, "mailbox %s cannot be used",
             admin_value("select mailbox from postern.mailbox where address = 'odd@auth-test.example'", NULL, NULL));
    assert_true(logged(line));
    assert_true(logged("name=\"odd@auth-test.example\" result=refused reason=unusable"));
    assert_false(logged("opensesame"));
    admin_value("update postern.credential set secret = repeat('$6$', 1000) where secret = '{NTLM}opensesame'", NULL, NULL);
    assert_int_equal(login("odd@auth-test.example", "opensesame"), AUTH_REFUSED);
    /* A good one beside it still opens. */
    admin_value("insert into postern.credential (mailbox, kind, label, secret) select mailbox, 'app-password', 'phone', $1"
        " from postern.mailbox where address = 'odd@auth-test.example'", hash_of("phone"), NULL);
    assert_int_equal(login("odd@auth-test.example", "phone"), AUTH_OK);
    assert_int_equal(login("odd@auth-test.example", "phone"), AUTH_OK);
    assert_int_equal(login("odd@auth-test.example", "opensesame"), AUTH_REFUSED);
}

/* Accounts of other servers. */
static void test_foreign_hash(void **state)
{
    (void)state;
    mailbox_add("carl@auth-test.example",
                "{SHA512-CRYPT}$6$saltsalt$rD9fW1BwIrjB90WCgCTdIQc3phTBhf04I6Iw/XlgKD9E9aEbzqGZipjiFxGo/4wWXDA6jV6/vZO.kKdDSfUJb0");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(login("carl@auth-test.example", "pencil"), AUTH_OK);
        assert_int_equal(login("carl@auth-test.example", "pencix"), AUTH_REFUSED);
    }
    set_secret("carl@auth-test.example", "abJ32bJMdTsnY");
    assert_int_equal(login("carl@auth-test.example", "pencil"), AUTH_OK);
    assert_int_equal(login("carl@auth-test.example", "pencix"), AUTH_REFUSED);
}

/* More logins than there is room to remember. */
static void test_many(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        char name[64];
        snprintf(name, sizeof name, "u%d@auth-test.example", i);
        mailbox_add(name, "abJ32bJMdTsnY");
    }
    for (int i = 0; i < 300; i++) {
        char name[64];
        snprintf(name, sizeof name, "u%d@auth-test.example", i % 100);
        assert_int_equal(login(name, "pencil"), AUTH_OK);
        assert_string_equal(last_address, name);
        assert_int_equal(login(name, "pen"), AUTH_REFUSED);
    }
}

/* Guessed at from elsewhere: its owner gets in from where he was before, and from nowhere else. */
static void test_guessed(void **state)
{
    (void)state;
    mailbox_add("guessed@auth-test.example", hash_of("secret"));
    mailbox_add("quiet@auth-test.example", hash_of("secret"));
    network = "192.0.2.1";
    assert_int_equal(login("guessed@auth-test.example", "secret"), AUTH_OK);
    assert_int_equal(last.guesses, 0);
    network = "2001:db8::/64";
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(login("guessed@auth-test.example", "wrong"), AUTH_REFUSED);
        assert_int_equal(last.guesses, i);
        assert_int_equal(login("guessed-nobody@auth-test.example", "wrong"), AUTH_REFUSED);
        assert_int_equal(last.guesses, i);
    }
    assert_int_equal(login("guessed@auth-test.example", "secret"), AUTH_REFUSED);
    assert_true(logged("name=\"guessed@auth-test.example\" result=refused reason=guessing"));
    assert_true(logged("name=\"guessed-nobody@auth-test.example\" result=refused reason=guessing"));
    network = "192.0.2.1";
    suspect = true;
    assert_int_equal(login("guessed@auth-test.example", "secret"), AUTH_OK);
    assert_int_equal(login("guessed@auth-test.example", "wrong"), AUTH_REFUSED);
    network = "192.0.2.2";
    assert_int_equal(login("quiet@auth-test.example", "secret"), AUTH_REFUSED);
    suspect = false;
    assert_int_equal(login("quiet@auth-test.example", "secret"), AUTH_OK);
    network = "";
    assert_int_equal(login("guessed@auth-test.example", "secret"), AUTH_OK);
    admin_value("delete from postern.guess", NULL, NULL);
    network = "192.0.2.3";
    /* This helper has its own count, whatever the database says; a new helper has none. */
    assert_int_equal(login("guessed@auth-test.example", "secret"), AUTH_REFUSED);
    assert_true(logged("name=\"guessed@auth-test.example\" result=refused reason=guessing"));
    helper_end();
    helper_start(auth_conninfo, schema_wanted());
    admin_value("delete from postern.guess", NULL, NULL);
    assert_int_equal(login("guessed@auth-test.example", "secret"), AUTH_OK);
    network = "";
    assert_int_equal(login("guessed@auth-test.example", "secret"), AUTH_OK);
    assert_string_equal(admin_value("select string_agg(host(network), ' ' order by network) from postern.known_address"
                            " join postern.mailbox using (mailbox) where address = 'guessed@auth-test.example'", NULL, NULL),
                        "192.0.2.1 192.0.2.3");
}

/* The narrowest that says something decides, switch by switch. */
static void test_policy(void **state)
{
    (void)state;
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_OK);
    assert_true(last.policy.pop3 && !last.policy.tls_only && !last.policy.trace && last.policy.maintenance.len == 0);
    assert_int_equal(last.policy.login_delay, AUTH_UNSET);
    assert_int_equal(last.policy.tenant_sessions, AUTH_UNSET);
    admin_value("select postern.set_policy('auth-test', null, null, '{tls_only,login_delay,sessions,expire_delivered}', '{on,60,9,30}')", NULL, NULL);
    admin_value("select postern.set_policy(null, 'auth-test.example', null, '{login_delay,sessions,expire_retrieved,trace}', '{120,7,14,1h}')", NULL, NULL);
    admin_value("select postern.set_policy(null, null, 'anna@auth-test.example', '{tls_only,pop3}', '{off,off}')", NULL, NULL);
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_OK);
    assert_true(!last.policy.pop3 && !last.policy.tls_only && last.policy.trace);
    assert_true(last.policy.login_delay == 120 && last.policy.expire == 14);
    assert_true(last.policy.tenant_sessions == 9 && last.policy.domain_sessions == 7);
    assert_true(last.policy.tenant > 0 && last.policy.domain > 0);
    assert_int_equal(login("bert@auth-test.example", "secret"), AUTH_OK);
    assert_true(last.policy.pop3 && last.policy.tls_only);
    assert_int_equal(login("anna@two.auth-test.example", "secret"), AUTH_OK);
    assert_int_equal(last.policy.login_delay, AUTH_UNSET);
    admin_value("select postern.set_policy(null, 'auth-test.example', null, '{trace,sessions}', '{0,null}')", NULL, NULL);
    admin_value("select postern.set_policy('auth-test', null, null, '{maintenance}', array['back at noon'])", NULL, NULL);
    assert_int_equal(login("bert@auth-test.example", "secret"), AUTH_OK);
    assert_true(!last.policy.trace && last.policy.domain_sessions == AUTH_UNSET);
    assert_true(span_is(last.policy.maintenance, SPAN_OF("back at noon")));
    admin_value("select postern.clear_policy('auth-test', null, null), postern.clear_policy(null, 'auth-test.example', null),"
        " postern.clear_policy(null, null, 'anna@auth-test.example')", NULL, NULL);
    assert_string_equal(admin_value("select count(*) from postern.policy", NULL, NULL), "0");
}

static void kill_helper_backends(void)
{
    admin_value("select pg_terminate_backend(pid, 5000) from pg_stat_activity where pid <> pg_backend_pid()"
        " and (query like '%postern.login%' or query like '%postern.current_policy%')", NULL, NULL);
}

/* A connection that was lost between two logins costs nobody a login. */
static void test_connection_lost(void **state)
{
    (void)state;
    sleep(1);       /* it reconnects once a second at most */
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_OK);
    kill_helper_backends();
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_OK);
}

/* A11, S31: a database that cannot be asked refuses nobody. */
static void test_database_away(void **state)
{
    enum auth_verdict verdict = AUTH_UNAVAILABLE;

    (void)state;
    uncached = true;
    allow_connections("false");
    kill_helper_backends();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_UNAVAILABLE);
        assert_int_equal(login("nobody@auth-test.example", "secret"), AUTH_UNAVAILABLE);
    }
    allow_connections("true");
    for (int i = 0; i < 100 && verdict == AUTH_UNAVAILABLE; i++) {
        usleep(100000);
        verdict = login("anna@auth-test.example", "secret");
    }
    assert_int_equal(verdict, AUTH_OK);
    assert_true(logged("reconnected to the database"));
    uncached = false;
}

/* What only an operator can mend: a right that is missing, and the wrong schema. */
static void test_operator_has_to_act(void **state)
{
    (void)state;
    sleep(1);
    uncached = true;
    admin_value("revoke execute on function postern.credentials(text), postern.login(text, inet, boolean) from postern_auth", NULL, NULL);
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_BROKEN);
    assert_int_equal(login("nobody@auth-test.example", "secret"), AUTH_BROKEN);
    admin_value("grant execute on function postern.credentials(text), postern.login(text, inet, boolean) to postern_auth", NULL, NULL);
    enum auth_verdict verdict = AUTH_BROKEN;
    for (int i = 0; i < 100 && verdict == AUTH_BROKEN; i++) {
        usleep(100000);
        verdict = login("anna@auth-test.example", "secret");
    }
    assert_int_equal(verdict, AUTH_OK);
    uncached = false;
    helper_end();

    helper_start(auth_conninfo, schema_wanted() + 1);
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_BROKEN);
    assert_int_equal(login("nobody@auth-test.example", "secret"), AUTH_BROKEN);
    assert_true(logged("wrong version of the database schema"));
    helper_end();
    helper_start(auth_conninfo, schema_wanted());
}

static void test_never_there(void **state)
{
    (void)state;
    helper_end();
    helper_start("host=/nonexistent dbname=x", schema_wanted());
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_UNAVAILABLE);
    assert_int_equal(login("anna@auth-test.example", ""), AUTH_REFUSED);
    helper_end();
    helper_start(auth_conninfo, schema_wanted());
}

/* What the next answer must be; its guesses are returned. */
static uint32_t next_answer(uint64_t id, enum auth_verdict verdict)
{
    unsigned char data[PEER_MAX];
    struct auth_reply reply;
    long len = next_message(helper_fd, &inbox, data, sizeof data);

    assert_true(len > 0);
    assert_true(frame_get_reply(data, (size_t)len, &reply));
    assert_true(reply.id == id);
    assert_int_equal(reply.verdict, verdict);
    return reply.guesses;
}

/*
 * In one packet: what was looked up together is for those passwords alone. Exchanges see what was counted of the one
 * before, and the slow hash, which is last, still gets its secret.
 */
static void test_kinds_together(void **state)
{
    static struct packet out;
    unsigned char data[PEER_MAX];
    struct auth_request r = {
        .password = SPAN_OF("secret"), .origin = { .network = SPAN_OF("192.0.2.99") }, .lane = LANE
    };
    struct auth_opening o = {
        .mechanism = MECH_PLAIN, .has_initial = true, .initial = SPAN_OF("\0swift@auth-test.example\0wrong"),
        .origin = { .network = SPAN_OF("192.0.2.99") }, .lane = LANE
    };

    (void)state;
    mailbox_add("slow@auth-test.example", hash_of("secret"));
    mailbox_add("swift@auth-test.example", "{PLAIN}secret");
    r.id = 1000001;
    r.name = SPAN_OF("slow@auth-test.example");
    assert_true(packet_add(&out, data, frame_put_request(data, &r)));
    r.id = 1000002;
    r.name = SPAN_OF("swift@auth-test.example");
    assert_true(packet_add(&out, data, frame_put_request(data, &r)));
    for (uint64_t id = 1000003; id <= 1000005; id++)
        assert_true(packet_add(&out, data, frame_put_start(data, id, &o)));
    assert_true(packet_send(helper_fd, &out));
    assert_int_equal(next_answer(1000002, AUTH_OK), 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(next_answer(1000003 + i, AUTH_REFUSED), i);
    assert_int_equal(next_answer(1000001, AUTH_OK), 0);
}

/* Its worker talks nonsense: it ends, and says so. */
static void test_nonsense(void **state)
{
    (void)state;
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_OK);
    assert_true(send_message(helper_fd, "nonsense", 8));
    assert_int_equal(helper_status(), 1);
    close(helper_fd);
    helper_start(auth_conninfo, schema_wanted());
    assert_int_equal(login("anna@auth-test.example", "secret"), AUTH_OK);
}

/* ------------------------------------------------ several requests in one packet */

struct told {
    uint64_t id;
    bool handed_back;
    enum auth_verdict verdict;
};

/* All of these at once, ids from 1; what is said to them, in its order. A name in capitals is told to be slow. */
static void ask_together(const char *const (*asked)[2], size_t n, struct told *told)
{
    static unsigned char frame[PEER_MAX];
    static struct packet out;
    struct auth_reply reply;

    for (size_t i = 0; i < n; i++) {
        const char *name = asked[i][0];
        struct auth_request r = { .id = i + 1, .name = span_str(name), .password = span_str(asked[i][1]), .default_domain = SPAN_OF("auth-test.example"),
                                  .session = SPAN_OF(""), .origin = { .network = span_str(network) }, .lane = LANE, .slow = name[0] >= 'A' && name[0] <= 'Z' };
        assert_true(packet_add(&out, frame, frame_put_request(frame, &r)));
    }
    assert_true(packet_send(helper_fd, &out));
    for (size_t i = 0; i < n; i++) {
        long len = next_message(helper_fd, &inbox, frame, sizeof frame);
        assert_true(len > 0);
        told[i] = (struct told){ .handed_back = frame_get_handed_back(frame, (size_t)len, &told[i].id) };
        if (told[i].handed_back) {
            assert_true(frame_get_handed_back(frame, (size_t)len, &told[i].id));
            continue;
        }
        assert_true(frame_get_reply(frame, (size_t)len, &reply));
        told[i].id = reply.id;
        told[i].verdict = reply.verdict;
    }
    assert_false(has_message(helper_fd, &inbox));
}

static const struct told *told_of(const struct told *told, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (told[i].id == id)
            return &told[i];
    fail_msg("no answer to %d", (int)id);
    return NULL;
}

/* What is cached is told first, then what a look into the database tells; of slow hashes one is computed here, and told last. */
static void test_together(void **state)
{
    static const char *const asked[][2] = {
        { "slow1", "secret" }, { "quick1", "pencil" }, { "nobody", "secret" }, { "quick2", "pencil" }, { "quick1", "pencil" },
        { "quick2", "wrong" }, { "known", "secret" }, { "not an address", "x" }, { "slow2", "secret" },
    };
    enum { N = sizeof asked / sizeof asked[0] };
    struct told told[N];

    (void)state;
    mailbox_add("known@auth-test.example", hash_of("secret"));
    mailbox_add("slow1@auth-test.example", hash_of("secret"));
    mailbox_add("slow2@auth-test.example", hash_of("secret"));
    mailbox_add("quick1@auth-test.example", "{PLAIN}pencil");
    mailbox_add("quick2@auth-test.example", "{PLAIN}pencil");
    assert_int_equal(login("known@auth-test.example", "secret"), AUTH_OK);
    ask_together(asked, N, told);
    assert_true(told[0].id == 7 && told[0].verdict == AUTH_OK_UNCONFIRMED);
    assert_true(told[N - 1].id == 1 && told[N - 1].verdict == AUTH_OK);
    static const uint64_t back[] = { 3, 6, 8, 9 }, let_in[] = { 2, 4, 5 };
    for (size_t i = 0; i < 4; i++)
        assert_true(told_of(told, N, back[i])->handed_back);
    for (size_t i = 0; i < 3; i++)
        assert_true(!told_of(told, N, let_in[i])->handed_back && told_of(told, N, let_in[i])->verdict <= AUTH_OK_UNCONFIRMED);
    /* The one that was handed back is computed where it is told to be slow, whatever else there is. */
    static const char *const again[][2] = { { "slow1", "wrong" }, { "quick2", "pencil" }, { "Slow2", "secret" } };
    ask_together(again, 3, told);
    assert_true(told[2].id == 3 && told[2].verdict == AUTH_OK);
    assert_true(told_of(told, 3, 1)->handed_back);
    assert_true(told_of(told, 3, 2)->verdict <= AUTH_OK_UNCONFIRMED);
}

/* Guesses of one name that come together are counted as if they had come one after the other. */
static void test_guesses_together(void **state)
{
    static const char *const asked[][2] = { { "Together", "a" }, { "together", "b" }, { "together", "c" }, { "together", "secret" } };
    struct told told[4];

    (void)state;
    network = "192.0.2.9";
    for (unsigned round = 0; round < 5; round++) {
        ask_together(asked, 4, told);
        assert_true(told[3].id == 1 && told[3].verdict == AUTH_REFUSED);
        for (size_t i = 0; i < 3; i++)
            assert_true(told[i].handed_back);
    }
    /* None of those that were handed back was a guess: there were five, and from now on nobody looks. */
    ask_together(asked, 4, told);
    for (size_t i = 0; i < 4; i++)
        assert_true(!told[i].handed_back && told[i].verdict == AUTH_REFUSED);
    assert_true(logged("name=\"together@auth-test.example\" result=refused reason=guessing"));
    network = "";
}

/* What logins have left is written before the end, though the worker goes at once. */
static void test_nothing_is_left(void **state)
{
    static const char *const asked[][2] = { { "left1", "pencil1" }, { "left2", "pencil2" }, { "left3", "pencil3" } };
    struct told told[3];

    (void)state;
    helper_end();
    settings.auth_upgrade = true;
    helper_start(auth_conninfo, schema_wanted());
    for (size_t i = 0; i < 3; i++) {
        char name[64], secret[64];
        snprintf(name, sizeof name, "%s@auth-test.example", asked[i][0]);
        snprintf(secret, sizeof secret, "{PLAIN}%s", asked[i][1]);
        mailbox_add(name, secret);
    }
    network = "192.0.2.77";
    ask_together(asked, 3, told);
    helper_end();
    assert_string_equal(admin_value("select count(*) filter (where secret like '$argon2id$%') from postern.credential join postern.mailbox using (mailbox)"
                                    " where address like 'left%@auth-test.example'", NULL, NULL), "3");
    assert_string_equal(admin_value("select count(*) from postern.known_address where network = '192.0.2.77'", NULL, NULL), "3");
    network = "";
    settings.auth_upgrade = false;
    helper_start(auth_conninfo, schema_wanted());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_and_wrong), cmocka_unit_test(test_names),          cmocka_unit_test(test_domain_alias),
        cmocka_unit_test(test_disabled), cmocka_unit_test(test_cached), cmocka_unit_test(test_changed_password), cmocka_unit_test(test_no_password),
        cmocka_unit_test(test_broken_secret),   cmocka_unit_test(test_foreign_hash),   cmocka_unit_test(test_many),
        cmocka_unit_test(test_guessed), cmocka_unit_test(test_policy), cmocka_unit_test(test_connection_lost), cmocka_unit_test(test_database_away),  cmocka_unit_test(test_operator_has_to_act),
        cmocka_unit_test(test_never_there), cmocka_unit_test(test_together), cmocka_unit_test(test_kinds_together), cmocka_unit_test(test_guesses_together), cmocka_unit_test(test_nothing_is_left),    cmocka_unit_test(test_nonsense),
    };
    if (without_database("auth_helper"))
        return 0;
    secret_init();
    return cmocka_run_group_tests(tests, setup, teardown);
}
