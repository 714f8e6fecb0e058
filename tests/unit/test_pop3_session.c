/*
 * POP3 sessions on a fake storage: replies octet by octet, and every failure
 * of the storage at every place.
 */
#include "tests/unit/pop3_fake.h"

#define GREETING "+OK Postern ready\r\n"
#define CAPA "+OK capability list follows\r\nTOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n" \
             "IMPLEMENTATION Postern\r\nSASL PLAIN LOGIN\r\n.\r\n"
#define LOGIN "USER anna@example.org\r\nPASS secret\r\n"
#define LOGGED_IN "+OK send PASS\r\n+OK 3 messages, 73 octets\r\n"
#define REFUSED "-ERR [AUTH] wrong name or password\r\n"

static const char dialogue[] =
    LOGIN "STAT\r\nLIST\r\nUIDL\r\nLIST 2\r\nUIDL 3\r\nRETR 2\r\nTOP 1 0\r\nTOP 2 1\r\nTOP 3 9\r\nNOOP\r\n"
    "DELE 2\r\nLIST\r\nSTAT\r\nRETR 2\r\nRSET\r\nDELE 1\r\nXX\r\nCAPA\r\nQUIT\r\n";
static const char dialogue_replies[] =
    GREETING LOGGED_IN "+OK 3 73\r\n"
    "+OK 3 messages, 73 octets\r\n1 23\r\n2 34\r\n3 16\r\n.\r\n"
    "+OK 3 messages, 73 octets\r\n1 uid.1\r\n2 uid.2\r\n3 uid.3\r\n.\r\n"
    "+OK 2 34\r\n+OK 3 uid.3\r\n"
    "+OK 34 octets\r\nSubject: two\r\n\r\n..dot\r\n...\r\nsecond\r\n.\r\n"
    "+OK\r\nSubject: one\r\n\r\n.\r\n"
    "+OK\r\nSubject: two\r\n\r\n..dot\r\n.\r\n"
    "+OK\r\nSubject: three\r\n.\r\n+OK\r\n"
    "+OK message 2 is marked as deleted\r\n"
    "+OK 2 messages, 39 octets\r\n1 23\r\n3 16\r\n.\r\n+OK 2 39\r\n"
    "-ERR message 2 is deleted\r\n+OK 3 messages, 73 octets\r\n+OK message 1 is marked as deleted\r\n"
    "-ERR unknown command\r\n" CAPA "+OK bye, 1 message deleted, 2 left\r\n";

/* N01, and E01, Q01: what was marked, and only that, is handed to the commit. */
static void test_one_segment(void **state)
{
    struct client *c = client_new("");

    (void)state;
    ask(c, dialogue, dialogue_replies);
    expect_eof(c);
    until_ended(1);
    assert_true(fake.marked[0] && !fake.marked[1] && !fake.marked[2]);
    assert_int_equal(service_sessions(fake.service), 0);
}

/* N02, G20: cut at each octet. */
static void test_every_split(void **state)
{
    size_t count = 0;

    (void)state;
    for (size_t cut = 1; cut < sizeof dialogue - 1; cut++) {
        struct client *c = client_new("");

        expect(c, GREETING);
        say_span(c, (struct span){ dialogue, cut });
        run_a_while(0);
        say_span(c, (struct span){ dialogue + cut, sizeof dialogue - 1 - cut });
        expect(c, dialogue_replies + strlen(GREETING));
        expect_eof(c);
        until_ended(++count);
    }
}

/* G15: an error each, and no stranger for it. */
static void test_wrong_state(void **state)
{
    struct client *c = client_new("");

    (void)state;
    expect(c, GREETING);
    say(c, "STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nNOOP\r\nRSET\r\nTOP 1 0\r\nUIDL\r\n");
    for (int i = 0; i < 8; i++)
        expect(c, "-ERR log in first\r\n");
    ask(c, LOGIN, LOGGED_IN);
    ask(c, "USER x\r\nPASS x\r\n", "-ERR you are logged in already\r\n-ERR you are logged in already\r\n");
    ask(c, "STLS\r\n", "-ERR you are logged in already\r\n");      /* T05 */
    ask(c, "APOP x y\r\nAUTH PLAIN\r\nAUTH\r\n",
        "-ERR you are logged in already\r\n-ERR you are logged in already\r\n-ERR you are logged in already\r\n");   /* S08 */
    say(c, "STLSX\r\nUTF8\r\nLANG\r\nLAST\r\nXTND XLST\r\n");
    for (int i = 0; i < 5; i++)
        expect(c, "-ERR unknown command\r\n");
    ask(c, "QUIT\r\n", "+OK bye, 3 messages left\r\n");
    expect_eof(c);
}

/* C01, C04, C09, C11, C12: the same in both states, and only what is so. */
static void test_capa(void **state)
{
    static const char want[] = "+OK capability list follows\r\nTOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"
                               "PIPELINING\r\nEXPIRE 30\r\nLOGIN-DELAY 60\r\nSASL PLAIN LOGIN\r\n.\r\n";
    struct client *c;

    (void)state;
    mem_free(fake.settings.pop3_expire);
    fake.settings.pop3_expire = mem_str("30");
    fake.settings.pop3_login_delay = 60000;
    fake.settings.pop3_implementation = false;
    fake.logins = recent_new(64);
    fake_service();
    c = client_new("");
    expect(c, GREETING);
    ask(c, "capa\r\n", want);
    ask(c, LOGIN, LOGGED_IN);
    ask(c, "CAPA\r\n", want);
    ask(c, "QUIT\r\n", "+OK bye, 3 messages left\r\n");
    expect_eof(c);

    /* R03, R04: the second login is told to wait, at PASS, and the maildrop is not even asked for. */
    c = client_new("");
    expect(c, GREETING);
    ask(c, LOGIN, "+OK send PASS\r\n-ERR [LOGIN-DELAY] wait 60 seconds\r\n");
    assert_int_equal(fake.opens, 1);
    ask(c, "QUIT\r\n", "+OK bye\r\n");
    expect_eof(c);
}

/* G09, G12, G13, G16, G19, G21-G29, Y15, Y16 */
static void test_syntax(void **state)
{
    static const char *const wrong[] = {
        "STAT 1", "NOOP x", "RSET x", "LIST 1 2", "RETR 1 2", "DELE 1 2", "UIDL 1 2", "TOP 1 2 3", "CAPA x", "QUIT x",
        "RETR", "DELE", "TOP", "TOP 1", "STAT ", "LIST 1 ", "LIST  1", "TOP 1  0", "QUIT ",
    };
    static const char *const no_number[] = { "LIST -1", "LIST +1", "RETR 1x", "DELE 0x1", "UIDL 1.0", "LIST \xef\xbc\x91", "LIST 1e0", "DELE 1\t" };
    static const char *const none[] = { "LIST 4294967297", "DELE 18446744073709551615", "RETR 0", "TOP 4 0" };
    struct client *c = login();
    char command[400], reply[100];

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(command, sizeof command, "%s\r\nSTAT\r\n", wrong[i]);
        ask(c, command, "-ERR invalid arguments\r\n+OK 3 73\r\n");
    }
    for (size_t i = 0; i < sizeof no_number / sizeof no_number[0]; i++) {
        snprintf(command, sizeof command, "%s\r\nSTAT\r\n", no_number[i]);
        ask(c, command, "-ERR invalid message number\r\n+OK 3 73\r\n");
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        snprintf(command, sizeof command, "%s\r\nSTAT\r\n", none[i]);
        snprintf(reply, sizeof reply, "-ERR no message %s, only 3 messages\r\n+OK 3 73\r\n",
                 i == 0 ? "4294967297" : i == 1 ? "18446744073709551615" : i == 2 ? "0" : "4");
        ask(c, command, reply);
    }
    ask(c, "LIST 18446744073709551617\r\n", "-ERR no such message, only 3 messages\r\n");
    ask(c, "LIST 01\r\n", "+OK 1 23\r\n");
    ask(c, "TOP 1 -1\r\n", "-ERR invalid number of lines\r\n");
    ask(c, "TOP 1 99999999999999999999999\r\n", "+OK\r\nSubject: one\r\n\r\nfirst\r\n.\r\n");
    ask(c, "\r\nLIST\t1\r\nNOOP\rDELE 1\r\n", "-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n");
    say_span(c, SPAN_OF("DELE 1\0\r\n"));
    expect(c, "-ERR NUL in command\r\n");
    memset(command, 'A', sizeof command);
    memcpy(command, "NOOP ", 5);
    memcpy(command + 300, "DELE 1\r\nSTAT\r\n", 15);
    ask(c, command, "-ERR command longer than 255 octets\r\n+OK 3 73\r\n");
    ask(c, "QUIT\r\n", "+OK bye, 3 messages left\r\n");
    expect_eof(c);
    assert_false(fake.marked[0]);
}

/* X02 */
static void test_empty(void **state)
{
    struct client *c;

    (void)state;
    fake.count = 0;
    c = login();
    ask(c, "STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nRSET\r\n", "+OK 0 0\r\n+OK 0 messages, 0 octets\r\n.\r\n+OK 0 messages, 0 octets\r\n.\r\n"
                                                "-ERR the maildrop is empty\r\n+OK 0 messages, 0 octets\r\n");
    client_close(c);
    until_ended(1);
}

/* G11, N06, T14: strangers go; good commands are never punished. */
static void test_bad_commands(void **state)
{
    struct client *c = client_new("");
    char *junk = mem_alloc(70000);

    (void)state;
    expect(c, GREETING);
    say(c, "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\nB: c\r\n\r\n");
    for (int i = 0; i < 3; i++)
        expect(c, "-ERR unknown command\r\n");
    expect(c, "-ERR too many invalid commands, closing connection\r\n");
    expect_eof(c);

    /* What clients try, one after the other, is not that; but it has an end too. */
    c = client_new("");
    expect(c, GREETING);
    static const char *const probes[] = { "UTF8", "LANG en", "XTND XMIT", "XSENDER 1", "ENABLE UTF8", "HELO x", "LAST", "AUTH-INFO", "CAPABILITY" };
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        say(c, probes[i]);
        ask(c, "\r\n", "-ERR unknown command\r\n");
    }
    ask(c, "XX\r\n", "-ERR too many invalid commands, closing connection\r\n");
    expect_eof(c);

    c = login();
    for (int i = 0; i < 60; i++)
        ask(c, "XX\r\nRETR 9\r\n", "-ERR unknown command\r\n-ERR no message 9, only 3 messages\r\n");
    for (int i = 0; i < 19; i++)
        ask(c, "STAT x\r\n", "-ERR invalid arguments\r\n");
    ask(c, "STAT x\r\n", "-ERR too many invalid commands, closing connection\r\n");
    expect_eof(c);

    c = login();
    memset(junk, 'A', 70000);
    say_span(c, (struct span){ junk, 70000 });
    expect(c, "-ERR line too long, closing connection\r\n");
    expect_eof(c);
    mem_free(junk);
}

/* A03-A08: names, passwords, and who may stand between. */
static void test_user_pass(void **state)
{
    struct client *c = client_new("example.org");

    (void)state;
    expect(c, GREETING);
    ask(c, "PASS secret\r\n", "-ERR send USER first\r\n");
    ask(c, "USER\r\nPASS\r\n", "-ERR invalid arguments\r\n-ERR invalid arguments\r\n");
    ask(c, "USER anna\r\nXX\r\nPASS secret\r\n", "+OK send PASS\r\n-ERR unknown command\r\n-ERR send USER first\r\n");
    ask(c, "USER anna\r\nSTAT\r\nPASS secret\r\n", "+OK send PASS\r\n-ERR log in first\r\n-ERR send USER first\r\n");
    assert_int_equal(fake.checks, 0);
    ask(c, "USER bert\r\nPASS  a  b \r\n", "+OK send PASS\r\n" REFUSED);
    assert_string_equal(fake.asked_name, "bert");
    assert_string_equal(fake.asked_domain, "example.org");
    assert_string_equal(fake.asked_password, " a  b ");
    ask(c, "PASS secret\r\n", "-ERR send USER first\r\n");
    ask(c, "USER anna\r\nPASS \r\n", "+OK send PASS\r\n" REFUSED);
    assert_int_equal(fake.checks, 1);
    ask(c, "USER bert\r\nUSER anna\r\nCAPA\r\nPASS secret\r\nSTAT\r\n", "+OK send PASS\r\n+OK send PASS\r\n" CAPA "+OK 3 messages, 73 octets\r\n+OK 3 73\r\n");
    assert_string_equal(fake.asked_name, "anna");
    client_close(c);
    until_ended(1);
}

/* A09, and the octets behind the last one are not looked at. */
static void test_refusals(void **state)
{
    struct client *c = client_new("");

    (void)state;
    expect(c, GREETING);
    for (int i = 0; i < 3; i++)
        say(c, "USER anna\r\nPASS x\r\n");
    say(c, LOGIN);
    for (int i = 0; i < 3; i++)
        expect(c, "+OK send PASS\r\n" REFUSED);
    expect_eof(c);
    assert_int_equal(fake.opens, 0);
}

/* A11, A12, A23, R06, R07, L02: a code for each reason, and the connection stays. */
static void test_login_failures(void **state)
{
    static const struct {
        enum auth_verdict verdict;
        enum db_status open;
        const char *reply;
    } rows[] = {
        { AUTH_UNAVAILABLE, DB_OK, "-ERR [SYS/TEMP] cannot verify the login now, try again later\r\n" },
        { AUTH_BROKEN, DB_OK, "-ERR [SYS/PERM] cannot verify the login, contact your mail provider\r\n" },
        { AUTH_OK, DB_LOCKED, "-ERR [IN-USE] this mailbox is in use by another session, perhaps on another device; try again in a few minutes\r\n" },
        { AUTH_OK, DB_NOT_FOUND, REFUSED },
        { AUTH_OK, DB_RETRY, "-ERR [SYS/TEMP] cannot open the maildrop now, try again later\r\n" },
        { AUTH_OK, DB_BUG, "-ERR [SYS/PERM] cannot open the maildrop, contact your mail provider\r\n" },
    };
    struct client *c = client_new("");

    (void)state;
    expect(c, GREETING);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fake.verdict = rows[i].verdict;
        fake.open_status = rows[i].open;
        ask(c, LOGIN, "+OK send PASS\r\n");
        expect(c, rows[i].reply);
        ask(c, "PASS secret\r\n", "-ERR send USER first\r\n");
    }
    fake.verdict = AUTH_OK;
    fake.open_status = DB_OK;
    ask(c, LOGIN, LOGGED_IN);
    client_close(c);
    until_ended(1);
    assert_int_equal(fake.finishes, 1);
}

/*
 * A11: a cached login is unconfirmed until the maildrop is opened; whatever
 * else there is to be said is said after a look at the secrets.
 */
static void test_unconfirmed(void **state)
{
    static const struct {
        enum db_status unconfirmed;
        enum auth_verdict verdict;
        enum db_status open;
        const char *reply;
        unsigned uncached, opens;
    } rows[] = {
        { DB_UNCONFIRMED, AUTH_REFUSED, DB_OK, REFUSED, 1, 1 },
        { DB_UNCONFIRMED, AUTH_UNAVAILABLE, DB_OK, "-ERR [SYS/TEMP] cannot verify the login now, try again later\r\n", 1, 1 },
        { DB_UNCONFIRMED, AUTH_OK, DB_NOT_FOUND, REFUSED, 1, 2 },
        { DB_UNCONFIRMED, AUTH_OK, DB_LOCKED, "-ERR [IN-USE] this mailbox is in use by another session, perhaps on another device; try again in a few minutes\r\n", 1, 2 },
        { DB_RETRY, AUTH_OK, DB_OK, "-ERR [SYS/TEMP] cannot open the maildrop now, try again later\r\n", 0, 1 },
        { DB_BUG, AUTH_OK, DB_OK, "-ERR [SYS/PERM] cannot open the maildrop, contact your mail provider\r\n", 0, 1 },
        { DB_UNCONFIRMED, AUTH_OK, DB_OK, LOGGED_IN, 1, 2 },
        { DB_OK, AUTH_OK, DB_BUG, LOGGED_IN, 0, 1 },
    };

    (void)state;
    fake.versions = (struct mailbox_versions){ 5, 6 };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_in = strcmp(rows[i].reply, LOGGED_IN) == 0;
        struct client *c = client_new("");

        expect(c, GREETING);
        fake.uncached = fake.opens = 0;
        fake.open_unconfirmed = rows[i].unconfirmed;
        fake.verdict = rows[i].verdict;
        fake.open_status = rows[i].open;
        ask(c, LOGIN, is_in ? LOGGED_IN : "+OK send PASS\r\n");
        if (!is_in)
            expect(c, rows[i].reply);
        assert_int_equal(fake.uncached, rows[i].uncached);
        assert_int_equal(fake.opens, rows[i].opens);
        assert_false(fake.unconfirmed);        /* no password is kept */
        client_close(c);
        until_ended(i + 1);
    }
}

/* What the policy has against it is told to nobody whose login is unconfirmed; and it may have changed. */
static void test_unconfirmed_and_not_admitted(void **state)
{
    struct client *c = client_new("");

    (void)state;
    fake.versions = (struct mailbox_versions){ 5, 6 };
    fake.policy.maintenance = SPAN_OF("moving");
    fake.verdict = AUTH_REFUSED;
    expect(c, GREETING);
    ask(c, LOGIN, "+OK send PASS\r\n");
    expect(c, REFUSED);
    assert_int_equal(fake.uncached, 1);
    fake.verdict = AUTH_OK;
    ask(c, LOGIN, "+OK send PASS\r\n");
    expect(c, "-ERR [SYS/TEMP] moving\r\n");
    assert_int_equal(fake.uncached, 2);
    assert_int_equal(fake.opens, 0);
    client_close(c);
    until_ended(1);
}

/* The client goes while the maildrop is opened: the password goes, too. */
static void test_unconfirmed_and_gone(void **state)
{
    struct client *c = client_new("");

    (void)state;
    fake.versions = (struct mailbox_versions){ 5, 6 };
    fake.hold_open = true;
    expect(c, GREETING);
    ask(c, LOGIN, "+OK send PASS\r\n");
    client_close(c);
    fake.open_unconfirmed = DB_UNCONFIRMED;
    loop_defer(fake.loop, answer_open, NULL);
    until_ended(1);
    assert_false(fake.unconfirmed);
}

/* The client goes while the helper thinks. */
static void test_gone_in_login(void **state)
{
    struct client *c;

    (void)state;
    fake.hold_auth = true;
    fake.settings.pop3_login_time = 50;
    c = client_new("");
    expect(c, GREETING);
    ask(c, LOGIN, "+OK send PASS\r\n");
    expect_eof(c);
    until_ended(1);
    assert_null(fake.auth_done);
}

/* Q02-Q04, and the lock is given back in each case. */
static void test_commit_fails(void **state)
{
    static const struct {
        enum db_status status;
        const char *reply;
    } rows[] = {
        { DB_RETRY, "-ERR [SYS/TEMP] nothing was deleted, try again later\r\n" },
        { DB_LOST, "-ERR [SYS/TEMP] connection to the maildrop lost, the messages may or may not have been deleted\r\n" },
        { DB_ONE_SERVER, "-ERR [SYS/TEMP] the messages were deleted, but the standby server has not confirmed it: they may come back"
                         " if the database fails now\r\n" },
        { DB_BUG, "-ERR [SYS/PERM] deletion failed, contact your mail provider\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client *c = login();

        fake.finish_status = rows[i].status;
        ask(c, "DELE 1\r\nQUIT\r\n", "+OK message 1 is marked as deleted\r\n");
        expect(c, rows[i].reply);
        expect_eof(c);
        assert_int_equal(fake.finishes, i + 1);
        /* Without marks there is nothing that could fail. */
        c = login();
        ask(c, "DELE 1\r\nRSET\r\nQUIT\r\n", "+OK message 1 is marked as deleted\r\n+OK 3 messages, 73 octets\r\n+OK bye, 3 messages left\r\n");
        expect_eof(c);
        assert_int_equal(fake.marked[0], false);
        fake.finishes = (unsigned)i + 1;
    }
}

/* Q06, Q15: a whole QUIT counts though nobody waits for its reply; what follows it does not. */
static void test_quit_and_go(void **state)
{
    struct client *c = login();

    (void)state;
    say(c, "DELE 2\r\nQUIT\r\nRSET\r\nDELE 1\r\n");
    client_close(c);
    until_ended(1);
    assert_true(fake.marked[1] && !fake.marked[0]);

    /* Gone while the commit runs: it is not stopped. */
    c = login();
    fake.hold_finish = true;
    ask(c, "DELE 1\r\nQUIT\r\n", "+OK message 1 is marked as deleted\r\n");
    run_a_while(0);
    client_close(c);
    run_a_while(1);
    assert_int_equal(fake.ended, 1);
    assert_true(fake.marked[0]);
    loop_defer(fake.loop, answer_finish, NULL);
    until_ended(2);
}

/*
 * Q06: the same where the client has gone before it could be greeted; but what
 * it did not get of a message keeps that message.
 */
static void test_session_and_go(void **state)
{
    struct client *c = client_new("");

    (void)state;
    say(c, "USER anna@example.org\r\nPASS secret\r\nDELE 2\r\nQUIT\r\n");
    client_close(c);
    until_ended(1);
    assert_true(fake.marked[1] && !fake.marked[0]);

    c = client_new("");
    say(c, "USER anna@example.org\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n");
    client_close(c);
    until_ended(2);
    assert_false(fake.marked[0] || fake.marked[1]);
}

/* Q05, Q07: no whole QUIT line, no deletion. */
static void test_no_quit(void **state)
{
    static const char *const ends[] = { "", "QUI", "QUIT", "QUIT\r", "QUIT x\r\n" };

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct client *c = login();

        ask(c, "DELE 1\r\n", "+OK message 1 is marked as deleted\r\n");
        say(c, ends[i]);
        client_close(c);
        until_ended(i + 1);
        assert_int_equal(fake.finishes, i + 1);
        assert_false(fake.marked[0]);
    }
}

/* Q08 */
static void test_half_close(void **state)
{
    struct client *c = login();

    (void)state;
    say(c, "RETR 1\r\nQUIT\r\n");
    shutdown(c->fd, SHUT_WR);
    expect(c, "+OK 23 octets\r\nSubject: one\r\n\r\nfirst\r\n.\r\n+OK bye, 3 messages left\r\n");
    expect_eof(c);
}

/* Q11: not a word, not a deletion. */
static void test_idle(void **state)
{
    struct client *c = login();

    (void)state;
    ask(c, "DELE 1\r\n", "+OK message 1 is marked as deleted\r\n");
    fake.settings.pop3_idle = 30;
    client_close(c);
    until_ended(1);
    c = login();
    ask(c, "DELE 1\r\n", "+OK message 1 is marked as deleted\r\n");
    expect_eof(c);
    until_ended(2);
    assert_false(fake.marked[0]);
}

/* Q14: idle sessions are closed, those in a command finish it. */
static void test_close_all(void **state)
{
    struct client *idle = login(), *quitting = login(), *fresh = client_new("");

    (void)state;
    fake.hold_finish = true;
    expect(fresh, GREETING);
    ask(quitting, "DELE 1\r\nQUIT\r\n", "+OK message 1 is marked as deleted\r\n");
    run_a_while(0);
    assert_true(fake.marked[0]);
    service_close_all(fake.service);
    assert_int_equal(service_sessions(fake.service), 3);
    loop_defer(fake.loop, answer_finish, NULL);
    expect_eof(fresh);
    expect_eof(idle);
    client_close(quitting);
    until_ended(3);
}

static void count_problem(void *arg, const char *file, int line, const char *text)
{
    (void)text;
    assert_string_equal(file, "x.conf");
    assert_int_equal(line, 0);
    ++*(int *)arg;
}

static int problems(const char *expire, int64_t idle, bool below, int64_t delay)
{
    int count = 0, told;

    mem_free(fake.settings.pop3_expire);
    fake.settings.pop3_expire = mem_str(expire);
    fake.settings.pop3_idle = idle;
    fake.settings.pop3_idle_below_standard = below;
    fake.settings.pop3_login_delay = delay;
    told = pop3_protocol.check(&fake.settings, count_problem, &count, "x.conf");
    assert_int_equal(told, count);
    return told;
}

/* Q09, C09, C11: what cannot be kept or announced is refused. */
static void test_settings(void **state)
{
    (void)state;
    assert_int_equal(problems("", 600000, false, 0), 0);
    assert_int_equal(problems("never", 1000, true, 60000), 0);
    assert_int_equal(problems("NEVER", 600000, false, 0), 0);
    assert_int_equal(problems("30", 600000, false, 0), 0);
    assert_int_equal(problems("", 599999, false, 0), 1);
    assert_int_equal(problems("30 days", 600000, false, 0), 1);
    assert_int_equal(problems("-1", 600000, false, 0), 1);
    assert_int_equal(problems("100000", 600000, false, 0), 1);
    assert_int_equal(problems("", 600000, false, 1500), 1);
    assert_int_equal(problems("x", 1, false, 1), 3);
}

/* A14 C07: without TLS, where that is asked for, a password is not even looked at. */
static void test_no_cleartext(void **state)
{
    struct client *c;

    (void)state;
    fake.cleartext = CLEARTEXT_NEVER;
    c = client_new("");
    expect(c, "+OK Postern ready\r\n");
    ask(c, "CAPA\r\n", "+OK capability list follows\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"
                       "IMPLEMENTATION Postern\r\n.\r\n");
    ask(c, "USER anna@example.org\r\n", "-ERR TLS is required to log in: use TLS on port 995\r\n");
    ask(c, "PASS secret\r\n", "-ERR TLS is required to log in: use TLS on port 995\r\n");
    ask(c, "STLS\r\n", "-ERR TLS is not available\r\n");
    ask(c, "QUIT\r\n", "+OK bye\r\n");
    expect_eof(c);
    assert_int_equal(fake.checks, 0);
    until_ended(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_one_segment), FAKE_TEST(test_every_split), FAKE_TEST(test_wrong_state), FAKE_TEST(test_capa),
        FAKE_TEST(test_syntax), FAKE_TEST(test_empty), FAKE_TEST(test_bad_commands), FAKE_TEST(test_user_pass),
        FAKE_TEST(test_refusals), FAKE_TEST(test_login_failures), FAKE_TEST(test_unconfirmed),
        FAKE_TEST(test_unconfirmed_and_not_admitted), FAKE_TEST(test_unconfirmed_and_gone), FAKE_TEST(test_gone_in_login),
        FAKE_TEST(test_commit_fails), FAKE_TEST(test_quit_and_go), FAKE_TEST(test_session_and_go), FAKE_TEST(test_no_quit), FAKE_TEST(test_half_close),
        FAKE_TEST(test_idle), FAKE_TEST(test_close_all), FAKE_TEST(test_settings),
        FAKE_TEST(test_no_cleartext),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
