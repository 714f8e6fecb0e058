/*
 * AUTH and APOP on the wire, with a helper that the test plays.
 */
#include "tests/unit/pop3_fake.h"

#include "auth/mechanism.h"
#include "daemon/base/list.h"

#define REFUSED "-ERR [AUTH] wrong name or password\r\n"
#define LOGGED_IN "+OK 3 messages, 73 octets\r\n"
#define GREETING "+OK Postern ready\r\n"

static void with_mechanisms(const char *list)
{
    struct span wrong;

    assert_true(list_words(span_str(list), mechanism_names, &fake.settings.sasl_mechanisms, &wrong));
    fake_service();
}

static struct client *greeted(void)
{
    struct client *c = client_new("example.org");

    expect(c, GREETING);
    return c;
}

static void bye(struct client *c)
{
    say(c, "QUIT\r\n");
    hear(c, 6);
    assert_memory_equal(buf_span(&c->in).at, "+OK by", 6);
    client_close(c);
}

/* "c2VjcmV0" is "secret", "eA==" is "x". */
static void test_one_message(void **state)
{
    struct client *c = greeted();

    (void)state;
    ask(c, "AUTH PLAIN\r\n", "+ \r\n");
    assert_int_equal(fake.checks, 0);       /* no helper before the client spoke */
    ask(c, "eA==\r\n", REFUSED);
    ask(c, "auth plain c2VjcmV0\r\n", LOGGED_IN);
    assert_int_equal(fake.opening.mechanism, MECH_PLAIN);
    assert_true(fake.opening.has_initial);
    assert_int_equal(fake.checks, 2);
    ask(c, "AUTH PLAIN\r\n", "-ERR you are logged in already\r\n");
    bye(c);
}

static void test_challenges(void **state)
{
    struct client *c;

    (void)state;
    with_mechanisms("cram-md5");
    c = greeted();
    fake.challenges[0] = "first";
    fake.challenges[1] = "";
    ask(c, "AUTH CRAM-MD5\r\n", "+ Zmlyc3Q=\r\n");
    assert_false(fake.opening.has_initial);
    ask(c, "eA==\r\n", "+ \r\n");
    ask(c, "c2VjcmV0\r\n", LOGGED_IN);
    bye(c);
}

/* S18 N02: it does not matter how the octets come, nor what comes behind them. */
static void test_every_split(void **state)
{
    static const char talk[] = "AUTH CRAM-MD5\r\neA==\r\nc2VjcmV0\r\nSTAT\r\nQUIT\r\n";

    (void)state;
    with_mechanisms("cram-md5");
    fake.challenges[0] = "first";
    fake.challenges[1] = "second";
    for (size_t cut = 0; cut <= sizeof talk - 1; cut++) {
        struct client *c = greeted();
        say_span(c, (struct span){ talk, cut });
        run_a_while(1);
        say_span(c, (struct span){ talk + cut, sizeof talk - 1 - cut });
        expect(c, "+ Zmlyc3Q=\r\n+ c2Vjb25k\r\n" LOGGED_IN "+OK 3 73\r\n+OK bye, 3 messages left\r\n");
        expect_eof(c);
    }
}

/* S13: LOGIN is USER and PASS, octet for octet: what a helper is asked, and what can be wrong before. */
static void test_login(void **state)
{
    struct client *c = greeted();

    (void)state;
    ask(c, "USER bert\r\n", "+OK send PASS\r\n");
    ask(c, "AUTH LOGIN\r\n", "+ VXNlcm5hbWU6\r\n");
    ask(c, "IGEgYg==\r\n", "+ UGFzc3dvcmQ6\r\n");           /* " a b" */
    assert_int_equal(fake.checks, 0);
    ask(c, "eA==\r\n", REFUSED);
    assert_string_equal(fake.asked_name, " a b");
    assert_string_equal(fake.asked_password, "x");
    assert_string_equal(fake.asked_domain, "example.org");
    /* The name of one that was given up, or refused, is nobody's. */
    ask(c, "PASS secret\r\n", "-ERR send USER first\r\n");
    ask(c, "AUTH LOGIN YQ==\r\n", "+ UGFzc3dvcmQ6\r\n");
    ask(c, "*\r\n", "-ERR authentication cancelled\r\n");
    ask(c, "PASS secret\r\n", "-ERR send USER first\r\n");
    ask(c, "AUTH LOGIN YQ==\r\n", "+ UGFzc3dvcmQ6\r\n");
    ask(c, "no base64\r\n", "-ERR invalid base64\r\n");
    ask(c, "PASS secret\r\n", "-ERR send USER first\r\n");
    assert_int_equal(fake.checks, 1);
    assert_int_equal(fake.forgotten, 0);
    ask(c, "AUTH LOGIN YWI=\r\n", "+ UGFzc3dvcmQ6\r\n");
    fake.verdict = AUTH_UNAVAILABLE;
    ask(c, "c2VjcmV0\r\n", "-ERR [SYS/TEMP] cannot verify the login now, try again later\r\n");
    fake.verdict = AUTH_OK;
    ask(c, "AUTH LOGIN YWI=\r\n", "+ UGFzc3dvcmQ6\r\n");
    ask(c, "c2VjcmV0\r\n", LOGGED_IN);
    bye(c);
}

/* No name, one with a NUL, and an empty password are refused as any other, and count. */
static void test_login_malformed(void **state)
{
    struct client *c = greeted();

    (void)state;
    ask(c, "AUTH LOGIN =\r\n", REFUSED);
    ask(c, "AUTH LOGIN YQBi\r\n", REFUSED);
    ask(c, "AUTH LOGIN YQ==\r\n", "+ UGFzc3dvcmQ6\r\n");
    ask(c, "\r\n", REFUSED);
    expect_eof(c);
    assert_int_equal(fake.checks, 0);
}

/* From the cache, as PASS: a login that does not hold is asked for once more, and the client sees nothing of it. */
static void test_login_unconfirmed(void **state)
{
    struct client *c = greeted();

    (void)state;
    fake.versions = (struct mailbox_versions){ 5, 6 };
    fake.open_unconfirmed = DB_UNCONFIRMED;
    ask(c, "AUTH LOGIN YQ==\r\n", "+ UGFzc3dvcmQ6\r\n");
    ask(c, "c2VjcmV0\r\n", LOGGED_IN);
    assert_int_equal(fake.uncached, 1);
    bye(c);
}

/* S04: the helper is told, and the next command is one. */
static void test_given_up(void **state)
{
    struct client *c;

    (void)state;
    with_mechanisms("plain cram-md5");
    c = greeted();
    ask(c, "AUTH PLAIN\r\n*\r\n", "+ \r\n-ERR authentication cancelled\r\n");
    assert_int_equal(fake.forgotten, 0);
    fake.challenges[0] = "first";
    ask(c, "AUTH CRAM-MD5\r\n", "+ Zmlyc3Q=\r\n");
    ask(c, "*\r\n", "-ERR authentication cancelled\r\n");
    assert_int_equal(fake.forgotten, 1);
    ask(c, "AUTH CRAM-MD5\r\n", "+ Zmlyc3Q=\r\n");
    ask(c, "no base64\r\n", "-ERR invalid base64\r\n");
    assert_int_equal(fake.forgotten, 2);
    ask(c, "NOOP\r\n", "-ERR log in first\r\n");
    /* The third, and so the last (S30). */
    ask(c, "AUTH CRAM-MD5\r\n", "+ Zmlyc3Q=\r\n");
    ask(c, "*\r\n", "-ERR authentication cancelled\r\n");
    expect_eof(c);
    until_ended(1);
}

/* The client goes, or the service closes, while it is the client's turn, or the helper's. */
static void test_gone(void **state)
{
    (void)state;
    with_mechanisms("cram-md5");
    fake.challenges[0] = "first";
    for (int when = 0; when < 4; when++) {
        struct client *c = greeted();
        fake.forgotten = 0;
        fake.hold_auth = when >= 2;
        if (when < 2)
            ask(c, "AUTH CRAM-MD5\r\n", "+ Zmlyc3Q=\r\n");
        else
            say(c, "AUTH CRAM-MD5\r\n");
        run_a_while(5);
        if (when % 2 == 0) {
            client_close(c);
            if (when == 2)          /* it is seen when there is something to say */
                loop_defer(fake.loop, answer_challenge, NULL);
            until_ended((size_t)when + 1);
        } else if (when == 1) {
            service_close_all(fake.service);
            expect_eof(c);
            until_ended(2);
            fake_service();
        } else {
            service_close_all(fake.service);
            loop_defer(fake.loop, answer_challenge, NULL);
            expect(c, "+ Zmlyc3Q=\r\n");
            expect_eof(c);
            until_ended(4);
        }
        run_a_while(5);
        assert_int_equal(fake.forgotten, 1);
    }
}

static void test_failures(void **state)
{
    struct client *c = greeted();

    (void)state;
    fake.verdict = AUTH_UNAVAILABLE;
    ask(c, "AUTH PLAIN c2VjcmV0\r\n", "-ERR [SYS/TEMP] cannot verify the login now, try again later\r\n");
    fake.verdict = AUTH_BROKEN;
    ask(c, "AUTH PLAIN c2VjcmV0\r\n", "-ERR [SYS/PERM] cannot verify the login, contact your mail provider\r\n");
    fake.verdict = AUTH_OK;
    fake.open_status = DB_LOCKED;
    ask(c, "AUTH PLAIN c2VjcmV0\r\n", "-ERR [IN-USE] this mailbox is in use by another session, perhaps on another device; try again in a few minutes\r\n");
    for (int i = 0; i < 2; i++)
        ask(c, "AUTH PLAIN eA==\r\n", REFUSED);
    ask(c, "AUTH PLAIN eA==\r\n", REFUSED);
    expect_eof(c);
}

/* S10: 12,288 octets, no more, and memory for no more. */
static void test_long_lines(void **state)
{
    enum { LONGEST = 12284 };               /* the largest multiple of four with a line end behind it */
    static char line[70000];
    struct client *c = greeted();

    (void)state;
    memset(line, 'A', sizeof line);
    memcpy(line + LONGEST, "\r\n", 3);
    ask(c, "AUTH PLAIN\r\n", "+ \r\n");
    ask(c, line, REFUSED);
    assert_int_equal(fake.opening.initial.len, LONGEST / 4 * 3);
    memset(line, 'A', sizeof line);
    memcpy(line + LONGEST + 4, "\r\n", 3);
    ask(c, "AUTH PLAIN\r\n", "+ \r\n");
    ask(c, line, "-ERR line longer than 12288 octets\r\n");
    ask(c, "NOOP\r\n", "-ERR log in first\r\n");
    memset(line, 'A', sizeof line);
    line[66000] = '\0';
    ask(c, "AUTH PLAIN\r\n", "+ \r\n");
    ask(c, line, "-ERR line too long, closing connection\r\n");
    hear(c, SIZE_MAX);
    client_close(c);
}

/* C08 S07: what is announced, and nothing else. */
static void test_offer(void **state)
{
    struct client *c;

    (void)state;
    with_mechanisms("login scram-sha-256 scram-sha-256-plus external");
    c = greeted();
    ask(c, "AUTH\r\n", "+OK mechanism list follows\r\nSCRAM-SHA-256\r\nLOGIN\r\n.\r\n");
    ask(c, "AUTH \r\n", "+OK mechanism list follows\r\nSCRAM-SHA-256\r\nLOGIN\r\n.\r\n");
    say(c, "AUTH PLAIN\r\nAUTH SCRAM-SHA-256-PLUS\r\nAUTH EXTERNAL\r\n");
    for (int i = 0; i < 3; i++)
        expect(c, "-ERR authentication mechanism not available\r\n");
    ask(c, "APOP x y\r\n", "-ERR APOP is not available\r\n");
    bye(c);
    with_mechanisms("");
    c = greeted();
    ask(c, "AUTH\r\n", "-ERR no authentication mechanism available\r\n");
    ask(c, "CAPA\r\n", "+OK capability list follows\r\nTOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"
                       "IMPLEMENTATION Postern\r\n.\r\n");
    bye(c);
}

/* S06, and A14: not in the clear. */
static void test_not_in_the_clear(void **state)
{
    struct client *c;

    (void)state;
    with_mechanisms("plain scram-sha-256 cram-md5 apop");
    fake.cleartext = CLEARTEXT_NEVER;
    c = greeted();
    ask(c, "AUTH\r\n", "-ERR no authentication mechanism available\r\n");
    ask(c, "AUTH PLAIN c2VjcmV0\r\n", "-ERR TLS is required to log in: use TLS on port 995\r\n");
    ask(c, "AUTH SCRAM-SHA-256\r\n", "-ERR TLS is required to log in: use TLS on port 995\r\n");
    ask(c, "APOP x y\r\n", "-ERR APOP is not available\r\n");
    bye(c);
    fake.settings.sasl_without_tls = true;
    fake_service();
    c = client_new("");
    hear(c, 40);
    assert_memory_equal(buf_span(&c->in).at, "+OK Postern ready <", 19);
    buf_clear(&c->in);
    ask(c, "AUTH\r\n", "+OK mechanism list follows\r\nSCRAM-SHA-256\r\nCRAM-MD5\r\n.\r\n");
    ask(c, "AUTH CRAM-MD5 eA==\r\n", "-ERR this mechanism takes no initial response\r\n");
    ask(c, "AUTH PLAIN c2VjcmV0\r\n", "-ERR TLS is required to log in: use TLS on port 995\r\n");
    assert_int_equal(fake.checks, 0);
    bye(c);
}

/* P05: name and digest go to the helper as they are, with the timestamp. */
static void test_apop(void **state)
{
    struct client *c;

    (void)state;
    with_mechanisms("APOP");
    c = client_new("");
    hear(c, 40);
    while (memchr(buf_span(&c->in).at, '\n', buf_left(&c->in)) == NULL)
        hear(c, buf_left(&c->in) + 1);
    buf_clear(&c->in);
    ask(c, "USER bert@example.org\r\nAPOP anna 0123\r\n", "+OK send PASS\r\n" REFUSED);
    assert_string_equal(fake.asked_password, "anna 0123");
    assert_int_equal(fake.opening.mechanism, MECH_APOP);
    assert_true(fake.opening.timestamp.len > 30);
    ask(c, "PASS secret\r\n", "-ERR send USER first\r\n");
    bye(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_one_message), FAKE_TEST(test_challenges), FAKE_TEST(test_every_split), FAKE_TEST(test_given_up),
        FAKE_TEST(test_login), FAKE_TEST(test_login_malformed), FAKE_TEST(test_login_unconfirmed),
        FAKE_TEST(test_gone),        FAKE_TEST(test_failures),   FAKE_TEST(test_long_lines),  FAKE_TEST(test_offer),
        FAKE_TEST(test_not_in_the_clear), FAKE_TEST(test_apop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
