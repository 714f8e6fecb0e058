/*
 * A whole POP3 session, its commands in pieces of any size, against the fakes
 * of the unit tests: helper and database answer as the first octets say.
 *
 * What must hold: the session ends when its client does, every maildrop that
 * was opened is given back, no piece of a message is kept, each line outside
 * of a body is a reply, and nothing is deleted by a client that has not said
 * QUIT.
 */
#include "tests/unit/pop3_fake.h"

#include <ctype.h>

#include "tests/fuzz/fuzz.h"

enum { TURNS = 3 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    /* The fakes assert as a test does; there is none to jump back to. */
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    fake_setup(NULL);
    fake.settings.sasl_mechanisms = MECH_BIT(MECH_SCRAM_SHA_256) | MECH_BIT(MECH_SCRAM_SHA_1) | MECH_BIT(MECH_CRAM_MD5) |
                                    MECH_BIT(MECH_PLAIN) | MECH_BIT(MECH_LOGIN);
    fake.settings.sasl_without_tls = true;
    fake.settings.pop3_failure_delay = fake.settings.pop3_failure_delay_max = 0;
    fake_service();
    log_set_level(LOG_LEVEL_ERROR);
    return 0;
}

static void begin(struct span *in)
{
    static const enum auth_verdict verdicts[] = { AUTH_OK, AUTH_OK, AUTH_OK, AUTH_REFUSED, AUTH_UNAVAILABLE, AUTH_BROKEN };
    static const enum db_status statuses[] = { DB_OK, DB_OK, DB_OK, DB_LOCKED, DB_RETRY, DB_LOST, DB_BUG, DB_NOT_FOUND };
    static const enum db_status cached[] = { DB_OK, DB_OK, DB_OK, DB_LOCKED, DB_RETRY, DB_LOST, DB_BUG, DB_UNCONFIRMED };
    static const char *const texts[] = { "", "r=0123,s=QQ==,i=4096", "second" };
    uint8_t a = take_octet(in), b = take_octet(in), c = take_octet(in);

    fake.verdict = verdicts[a % 6];
    fake.versions = (struct mailbox_versions){ a % 6 == 1, 1 };
    fake.unconfirmed = false;
    fake.challenges[0] = a & 64 ? texts[a / 8 % 3] : NULL;
    fake.challenges[1] = a & 128 ? texts[2] : NULL;
    fake.open_status = statuses[b % 8];
    fake.open_unconfirmed = cached[b / 8 % 8];
    fake.read_status = statuses[b / 8 % 8];
    fake.read_fails_at = 0;
    fake.finish_status = b & 64 ? DB_RETRY : b & 128 ? DB_LOST : DB_OK;
    fake.policy.replace_nul = c & 1;
    fake.policy.tls_only = (c & 6) == 6;
    fake.policy.maintenance = (c & 24) == 24 ? SPAN_OF("moving") : SPAN_OF("");
    fake.policy.pop3 = (c & 96) != 96;
    fake.cleartext = c & 128 ? CLEARTEXT_NEVER : CLEARTEXT_LOCAL;
    fake.lost = false;
    fake.opens = fake.opened = fake.finishes = fake.checks = 0;
    fake.ended = 0;
    memset(fake.marked, 0, sizeof fake.marked);
    fake.auth_done = NULL;
}

/* The messages, too: one of them large. */
static void begin_mail(struct span *in)
{
    uint8_t count = take_octet(in);
    struct span text = take_text(in);

    fake.count = count % (FAKE_MESSAGES + 1);
    for (size_t i = 0; i < FAKE_MESSAGES; i++) {
        buf_clear(&fake.mail[i]);
        for (unsigned n = i == 3 ? 2000 : 1; n > 0; n--)
            buf_add(&fake.mail[i], text.at, text.len);
        buf_add_str(&fake.mail[i], "\r\n.\r\n..\r\n");
    }
}

static void run_turns(unsigned turns)
{
    while (turns-- > 0) {
        loop_defer(fake.loop, stop_loop, NULL);
        loop_run(fake.loop);
    }
}

static void check_output(struct span out)
{
    /* A greeting, or a refusal; behind it nobody here tells bodies from replies. */
    MUST(out.len < 4 || memcmp(out.at, "+OK ", 4) == 0 || memcmp(out.at, "-ERR", 4) == 0);
    MUST(out.len == 0 || (out.len >= 2 && memcmp(out.at + out.len - 2, "\r\n", 2) == 0));
}

/* In any case, in any place: then it may have been a command. */
static bool says_quit(struct span in)
{
    for (size_t i = 0; i + 4 <= in.len; i++)
        if (strncasecmp(in.at + i, "quit", 4) == 0)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size }, said;
    struct cuts c = take_cuts(&in);
    struct client *client;
    uint8_t flags = take_octet(&in);
    bool goes = flags & 1;

    begin(&in);
    begin_mail(&in);
    said = in;
    client = client_new(flags & 2 ? "example.org" : "");
    client->want = SIZE_MAX;
    if (flags & 4)
        watch_set(client->watch, 0);        /* deaf until the end */
    run_turns(1);
    while (in.len > 0 && !client->eof && fake.ended == 0) {
        struct span piece = cut(&c, &in);

        if (send(client->fd, piece.at, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)piece.len)
            break;
        run_turns(TURNS);
    }
    if (goes) {
        shutdown(client->fd, SHUT_RDWR);
    } else {
        shutdown(client->fd, SHUT_WR);
        if (!client->eof)
            watch_set(client->watch, LOOP_READ);
    }
    while (fake.ended == 0)
        run_loop();
    /* What was said is still on its way when the session has ended. */
    while (!goes && !client->eof)
        run_loop();
    run_turns(TURNS);
    if (!goes)
        check_output(buf_span(&client->in));
    MUST(fake.pieces == 0);
    MUST(fake.finishes == fake.opened);
    for (size_t i = 0; i < FAKE_MESSAGES; i++)
        MUST(!fake.marked[i] || says_quit(said));
    fake.open_done = NULL;
    fake.read_done = NULL;
    fake.finish_done = NULL;
    client_close(client);
    return 0;
}
