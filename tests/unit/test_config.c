/*
 * test_config.c - the whole configuration: defaults, and every problem told,
 * with its line; the sample and the manual that are in the source say what the
 * tables say. Run in the top folder of the source.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/mem.h"

/* Not in the library of modules: only posternd has it. */
#include "daemon/config/config.c"
#include "daemon/config/config_check.c"
#include "daemon/config/config_file.c"
#include "daemon/config/protocols.c"

static char file[] = "/tmp/postern-test-config-XXXXXX";
static char problems[8192];         /* "LINE: text\n" each */

static void note(void *arg, const char *name, int line, const char *text)
{
    size_t len = strlen(problems);

    assert_null(arg);
    assert_string_equal(name, file);
    snprintf(problems + len, sizeof problems - len, "%d: %s\n", line, text);
}

static struct config *load(const char *text, unsigned flags, int *count_r)
{
    FILE *f = fopen(file, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    problems[0] = '\0';
    return config_load(file, flags, note, NULL, count_r);
}

/* Who runs the tests may be root, on a host without our users. */
#define USERS "user = \"nobody\"; auth_user = \"daemon\";\n"

static int count_of(const char *text, unsigned flags)
{
    int count;
    struct config *c = load(text, flags, &count);

    config_free(&c);
    return count;
}

/* Exactly this is wrong, and it is told in this line. */
static void assert_problem(const char *text, unsigned flags, int line, const char *words)
{
    char start[16];
    int count = count_of(text, flags);

    if (count != 1 || strstr(problems, words) == NULL)
        fail_msg("wanted one problem \"%s\", got %d:\n%s", words, count, problems);
    snprintf(start, sizeof start, "%d: ", line);
    if (strncmp(problems, start, strlen(start)) != 0)
        fail_msg("wanted line %d, got:\n%s", line, problems);
}

static void test_defaults(void **state)
{
    int count;
    struct config *c = load(USERS, 0, &count);

    (void)state;
    assert_string_equal(problems, "");
    assert_int_equal(count, 0);
    assert_int_equal(c->daemon.cells, 0);
    assert_int_equal(c->daemon.sessions_per_worker, 10000);
    assert_int_equal(c->daemon.drain_time, 30000);
    assert_string_equal(c->daemon.log, "syslog");
    assert_int_equal(c->daemon.log_level, LOG_LEVEL_INFO);
    assert_int_equal(c->pop3.pop3_idle, 600000);
    assert_int_equal(c->auth.auth_helpers, 2);
    assert_int_equal(c->listeners.count, 0);
    assert_non_null(strstr(c->conninfo_mail, "postern_mail"));
    assert_null(strstr(c->conninfo_mail, "postern_auth"));
    assert_non_null(strstr(c->conninfo_auth, "postern_auth"));
    /* Of a socket that no listener of the file is for. */
    assert_string_equal(config_listener(c, 0)->default_domain, "");
    assert_int_equal(config_entry(c, 0).cleartext, CLEARTEXT_LOCAL);
    assert_null(config_entry(c, 0).tls);
    config_free(&c);
    assert_null(c);
}

static void test_listeners(void **state)
{
    int count;
    struct config *c = load(USERS
        "listeners = (\n"
        "  { address = \"127.0.0.1\"; },\n"
        "  { address = \"::1\"; port = 1110; default_domain = \"example.org\"; },\n"
        "  { address = \"/run/postern/pop3\"; backlog = 5; }\n"
        ");\n", CONFIG_LISTENERS, &count);

    (void)state;
    assert_string_equal(problems, "");
    assert_int_equal(count, 0);
    assert_int_equal(c->listeners.count, 3);
    assert_int_equal(config_listener(c, 0)->port, 110);
    assert_string_equal(config_entry(c, 0).default_domain, "");
    assert_string_equal(config_entry(c, 1).default_domain, "example.org");
    assert_int_equal(config_listener(c, 2)->backlog, 5);
    config_free(&c);
}

/* Who serves what. */
static void test_workers(void **state)
{
    static const char both[] = "listeners = ( { address = \"127.0.0.1\"; },\n"
                               "  { address = \"127.0.0.1\"; port = 24; protocol = \"lmtp\"; } ); lmtp_spool_dir = \"/tmp\";\n";
    const unsigned pop3 = 1u << PROTOCOL_pop3, lmtp = 1u << PROTOCOL_lmtp;
    char text[1024];
    int count;
    struct config *c;

    (void)state;
    c = load(USERS, 0, &count);
    assert_int_equal(config_speaks(c), pop3);
    config_free(&c);
    snprintf(text, sizeof text, "%s%s", USERS, both);
    c = load(text, 0, &count);
    assert_int_equal(count, 0);
    assert_int_equal(config_speaks(c), pop3 | lmtp);
    assert_int_equal(config_together(c, pop3 | lmtp), pop3 | lmtp);
    assert_string_equal(config_user(c, lmtp), c->daemon.user);
    config_free(&c);
    snprintf(text, sizeof text, "%s%slmtp_user = \"mail\";\n", USERS, both);
    c = load(text, 0, &count);
    assert_int_equal(count, 0);
    assert_int_equal(config_together(c, pop3 | lmtp), pop3);
    assert_int_equal(config_together(c, lmtp), lmtp);
    assert_string_equal(config_user(c, lmtp), "mail");
    assert_string_equal(config_user(c, pop3), c->daemon.user);
    /* What a worker does not serve it is made to forget. */
    config_forget_sessions(c, NEEDS_LOGINS);
    assert_string_equal(c->conninfo_mail, "");
    assert_non_null(strstr(c->conninfo_lmtp, "postern_lmtp"));
    config_free(&c);
}

static void test_listeners_wrong(void **state)
{
    (void)state;
    assert_problem(USERS, CONFIG_LISTENERS, 0, "listeners");
    assert_problem(USERS "\nlisteners = ();\n", CONFIG_LISTENERS, 3, "listeners");
    assert_problem(USERS "listeners = ( { address = \"mail.example.org\"; } );\n", CONFIG_LISTENERS, 2, "mail.example.org");
    assert_problem(USERS "listeners = (\n { port = 110; } );\n", CONFIG_LISTENERS, 3, "address is missing");
    assert_problem(USERS "listeners = ( { address = \"*\"; protocol = \"imap\"; } );\n", CONFIG_LISTENERS, 2, "imap");
    assert_problem(USERS "listeners = ( { address = \"*\"; default_domain = \"a@b\"; } );\n", CONFIG_LISTENERS, 2, "a@b");
    assert_problem(USERS "listeners = ( { address = \"*\"; },\n { address = \"*\"; port = 1110; },\n"
                   " { address = \"*\"; } );\n", CONFIG_LISTENERS, 4, "line 2");
    assert_problem(USERS "listeners = ( { address = \"*\"; name = \"pop3\"; },\n"
                   " { address = \"/a\"; name = \"pop3\"; } );\n", CONFIG_LISTENERS, 3, "line 2");
    assert_problem(USERS "listeners = ( { address = \"*\"; name = \"a:b\"; } );\n", CONFIG_LISTENERS, 2, "a:b");
    /* A path has no port. */
    assert_problem(USERS "listeners = ( { address = \"/a\"; },\n { address = \"/a\"; port = 1110; } );\n",
                   CONFIG_LISTENERS, 3, "line 2");
}

static void test_tls(void **state)
{
    int count;
    struct config *c = load(USERS
        "tls_certificate = \"/c/all.pem\"; tls_key = \"/c/all.key\"; tls_sni_directory = \"/c/sni\";\n"
        "listeners = (\n"
        "  { address = \"*\"; },\n"
        "  { address = \"*\"; port = 995; tls = \"implicit\"; certificate = \"/c/own.pem\"; cleartext_login = \"never\"; },\n"
        "  { address = \"/run/pop3\"; tls = \"none\"; cleartext_login = \"always\"; }\n"
        ");\n", CONFIG_LISTENERS, &count);

    (void)state;
    assert_string_equal(problems, "");
    assert_string_equal(config_tls_files(c, 0).certificate, "/c/all.pem");
    assert_string_equal(config_tls_files(c, 0).sni_directory, "/c/sni");
    /* The key and the names of another certificate are not its own. */
    assert_string_equal(config_tls_files(c, 1).certificate, "/c/own.pem");
    assert_string_equal(config_tls_files(c, 1).key, "");
    assert_string_equal(config_tls_files(c, 1).sni_directory, "");
    assert_false(config_entry(c, 0).implicit_tls);
    assert_true(config_entry(c, 1).implicit_tls);
    assert_int_equal(config_entry(c, 1).cleartext, CLEARTEXT_NEVER);
    assert_int_equal(config_entry(c, 2).cleartext, CLEARTEXT_ALWAYS);
    assert_string_equal(config_tls_files(c, 7).certificate, "/c/all.pem");
    config_free(&c);

    assert_problem(USERS "listeners = ( { address = \"*\"; tls = \"yes\"; } );\n", CONFIG_LISTENERS, 2, "yes");
    assert_problem(USERS "listeners = ( { address = \"*\"; tls = \"stls\"; } );\n", CONFIG_LISTENERS, 2, "requires certificate");
    assert_problem(USERS "listeners = ( { address = \"*\"; tls = \"implicit\"; } );\n", CONFIG_LISTENERS, 2, "requires certificate");
    assert_problem(USERS "listeners = ( { address = \"*\"; key = \"/k\"; } );\n", CONFIG_LISTENERS, 2, "require certificate");
    assert_problem(USERS "listeners = ( { address = \"*\"; cleartext_login = \"maybe\"; } );\n", CONFIG_LISTENERS, 2, "maybe");
    assert_problem(USERS "tls_min = \"1.4\";\n", 0, 2, "tls_min");
    assert_problem(USERS "tls_key = \"/k\";\n", 0, 2, "tls_key");
    assert_problem(USERS "\ntls_sni_directory = \"/k\";\n", 0, 3, "tls_sni_directory");
    assert_problem(USERS "tls_ticket_life = \"1ms\";\n", 0, 2, "tls_ticket_life");
}

static void test_log(void **state)
{
    (void)state;
    assert_int_equal(count_of(USERS "log = \"stderr\"; log_level = \"debug\";\n", 0), 0);
    assert_int_equal(count_of(USERS "log = \"/var/log/postern.log\"; pid_file = \"/run/postern.pid\";\n", CONFIG_DETACHED), 0);
    assert_problem(USERS "log = \"stderr\";\n", CONFIG_DETACHED, 2, "foreground");
    assert_problem(USERS "log = \"postern.log\";\n", 0, 2, "postern.log");
    assert_problem(USERS "log_level = \"loud\";\n", 0, 2, "loud");
    assert_problem(USERS "pid_file = \"run/pid\";\n", 0, 2, "run/pid");
}

static void test_users(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        assert_int_equal(count_of("user = \"no-such-user\";\n", 0), 0);
        skip();
    }
    assert_problem("auth_user = \"daemon\";\nuser = \"no-such-user\";\n", 0, 2, "no-such-user");
    assert_problem("auth_user = \"daemon\"; user = \"root\";\n", 0, 1, "user");
    assert_problem("auth_user = \"daemon\";\n\nuser = \"daemon\";\n", 0, 1, "auth_user");
}

static void test_database(void **state)
{
    (void)state;
    assert_problem(USERS "database = \"host='\";\n", 0, 2, "database");
    assert_problem(USERS "database_auth = \"no_such_word=1\";\n", 0, 2, "database_auth");
    assert_problem(USERS "\n\ndatabase_admin = \"no_such_word=1\";\n", 0, 4, "database_admin");
}

/* Q09: an idle timer below 10 minutes needs to be meant. */
static void test_pop3(void **state)
{
    (void)state;
    assert_problem(USERS "pop3_idle = \"5m\";\n", 0, 2, "pop3_idle");
    assert_int_equal(count_of(USERS "pop3_idle = \"5m\"; pop3_idle_below_standard = true;\n", 0), 0);
}

/* A word that an option does not take is refused with those that it takes, a mechanism too. */
static void test_words(void **state)
{
    int count;
    struct config *c = load(USERS "sasl_mechanisms = \"apop,PLAIN\"; lmtp_disabled = \"temporary\"; tls_min = \"1.3\";\n", 0, &count);

    (void)state;
    assert_string_equal(problems, "");
    assert_int_equal(c->pop3.sasl_mechanisms, MECH_BIT(MECH_APOP) | MECH_BIT(MECH_PLAIN));
    assert_int_equal(c->lmtp.lmtp_disabled, LMTP_TEMPORARY);
    assert_int_equal(c->tls.tls_min, TLS_1_3);
    assert_int_equal(c->daemon.sandbox, SANDBOX_ON);
    config_free(&c);
    assert_problem(USERS "lmtp_disabled = \"no\";\n", 0, 2, "\"temporary\" or \"permanent\"");
    assert_problem(USERS "sandbox = \"maybe\";\n", 0, 2, "\"on\", \"log\" or \"off\"");
    assert_problem(USERS "sasl_mechanisms = \"PLAIN NTLM\";\n", 0, 2, "\"NTLM\" is not one of SCRAM-SHA-256-PLUS, ");
    assert_problem(USERS "listeners = ( { address = \"*\"; client_verify = \"all\"; } );\n", CONFIG_LISTENERS, 2,
                   "\"none\", \"optional\" or \"require\"");
}

/* Every problem in one go, each in its own line. */
static void test_all_at_once(void **state)
{
    static const struct { int line; const char *word; } wanted[] = {
        { 2, "cells" }, { 3, "no_such_option" }, { 4, "log_level" }, { 5, "pop3_idle" },
        { 6, "carrier-pigeon" }, { 7, "database_mail" },
    };
    size_t n = sizeof wanted / sizeof wanted[0];

    (void)state;
    assert_int_equal(count_of(USERS
        "cells = 100000;\n"
        "no_such_option = 1;\n"
        "log_level = \"loud\";\n"
        "pop3_idle = \"5m\";\n"
        "listeners = ( { address = \"*\"; protocol = \"carrier-pigeon\"; } );\n"
        "database_mail = \"no_such_word=1\";\n", CONFIG_LISTENERS), n);
    for (size_t i = 0; i < n; i++) {
        char start[64];
        const char *at;

        snprintf(start, sizeof start, "%d: ", wanted[i].line);
        at = strstr(problems, start);
        assert_non_null(at);
        at = strstr(at, wanted[i].word);
        assert_non_null(at);
    }
}

static void test_no_file(void **state)
{
    int count;
    struct config *c;

    (void)state;
    unlink(file);
    problems[0] = '\0';
    c = config_load(file, CONFIG_LISTENERS, note, NULL, &count);
    config_free(&c);
    assert_true(count >= 1);
    assert_null(strstr(problems, "listeners"));
}

/* -------------------------------------------------- what is in the source */

static char *contents(FILE *f)
{
    char *text = mem_zalloc(1 << 20);
    size_t n;

    assert_non_null(f);
    rewind(f);
    n = fread(text, 1, (1 << 20) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

static char *printed(void (*print)(FILE *out))
{
    FILE *f = tmpfile();

    assert_non_null(f);
    print(f);
    return contents(f);
}

/* Tells the first line that differs: the texts are long. */
static void assert_same(const char *kept, const char *made, const char *where, const char *how)
{
    size_t at = 0, line = 0;

    while (kept[at] != '\0' && kept[at] == made[at]) {
        if (kept[at++] == '\n')
            line = at;
    }
    if (kept[at] != made[at])
        fail_msg("%s is not what posternd %s prints, which says here: %.*s", where, how,
                 (int)strcspn(made + line, "\n"), made + line);
}

/* etc/postern.conf is the output of `posternd --print-config`. */
static void test_sample(void **state)
{
    char *made = printed(config_sample), *kept = contents(fopen("etc/postern.conf", "r"));
    char *with_users = mem_zalloc(strlen(made) + sizeof USERS);

    (void)state;
    assert_same(kept, made, "etc/postern.conf", "--print-config");
    strcpy(with_users, made);
    strcat(with_users, USERS);
    assert_int_equal(count_of(with_users, CONFIG_LISTENERS), 0);
    mem_free(with_users);
    mem_free(made);
    mem_free(kept);
}

/* postern.conf(5) has the output of `posternd --print-manual` in it. */
static void test_manual(void **state)
{
    static const char begin[] = ".\\\" options begin\n", end[] = ".\\\" options end\n";
    char *made = printed(config_manual), *kept = contents(fopen("daemon/postern.conf.5", "r"));
    char *from = strstr(kept, begin), *to = strstr(kept, end);

    (void)state;
    assert_non_null(from);
    assert_non_null(to);
    *to = '\0';
    assert_same(from + sizeof begin - 1, made, "daemon/postern.conf.5", "--print-manual");
    mem_free(made);
    mem_free(kept);
}

static int make_file(void **state)
{
    int fd = mkstemp(file);

    (void)state;
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    unlink(file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_listeners), cmocka_unit_test(test_workers),
        cmocka_unit_test(test_listeners_wrong),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_database),
        cmocka_unit_test(test_pop3),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_manual),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
