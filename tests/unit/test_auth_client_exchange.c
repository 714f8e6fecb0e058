/*
 * Exchanges on the worker's side: they stay with their helper, and nothing is
 * left of one that its asker forgot, or whose helper has gone.
 */
#include "tests/unit/auth_client_fixture.h"

static uint64_t begin_exchange(struct asker *a, const char *initial)
{
    uint64_t id = auth_start(f.client, &(struct auth_opening){
        .mechanism = MECH_SCRAM_SHA_256, .has_initial = true, .initial = span_str(initial), .session = SPAN_OF("0a1b2c"),
    }, on_done, a);
    auth_lane(f.client, id, LANE);
    return id;
}

/* The helper that has something to do. */
static size_t busy(void)
{
    for (size_t i = 0; i < f.count; i++)
        if (f.helper[i] >= 0 && has_request(i))
            return i;
    fail_msg("no helper was asked");
    return 0;
}

static uint64_t take_start(size_t i, const char *initial)
{
    unsigned char data[PEER_MAX];
    struct auth_opening o;
    uint64_t id = 0;

    long len = take_message(i, data, sizeof data);
    assert_true(len > 0);
    assert_true(frame_get_start(data, (size_t)len, &id, &o));
    assert_int_equal(o.lane, LANE);
    assert_true(span_is(o.initial, span_str(initial)) && o.has_initial && o.mechanism == MECH_SCRAM_SHA_256);
    return id;
}

static void take_step(size_t i, enum frame_kind kind, uint64_t id, uint64_t exchange, const char *response)
{
    unsigned char data[PEER_MAX];
    struct auth_step s;

    long len = take_message(i, data, sizeof data);
    assert_true(len > 0);
    assert_int_equal(frame_kind(data, (size_t)len), kind);
    assert_true(frame_get_step(data, (size_t)len, kind, &s));
    assert_true(s.id == id && s.exchange == exchange && span_is(s.response, span_str(response)));
}

static void challenge(size_t i, uint64_t id, uint64_t exchange, const char *text)
{
    unsigned char out[FRAME_CHALLENGE_MAX];

    assert_true(send_message(f.helper[i], out,
                                   frame_put_challenge(out, &(struct auth_challenge){ id, exchange, span_str(text) })));
}

/* Up to the first challenge, whose exchange is 77. Returns the helper. */
static size_t challenged(struct asker *a, uint64_t *id_r)
{
    *id_r = begin_exchange(a, "first");
    size_t h = busy();
    assert_true(take_start(h, "first") == *id_r);
    challenge(h, *id_r, 77, "what?");
    run_until(1);
    assert_int_equal(a->verdict, AUTH_CHALLENGE);
    assert_string_equal(a->challenge, "what?");
    return h;
}

static void test_whole(void **state)
{
    struct asker a = { 0 };
    uint64_t id;

    (void)state;
    begin(2, NEVER);
    size_t h = challenged(&a, &id);
    auth_respond(f.client, id, SPAN_OF("second"));
    take_step(h, FRAME_RESPOND, id, 77, "second");
    challenge(h, id, 77, "once more");
    run_until(1);
    assert_string_equal(a.challenge, "once more");
    auth_respond(f.client, id, SPAN_OF(""));
    take_step(h, FRAME_RESPOND, id, 77, "");
    give(h, id, AUTH_OK);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_OK);
    assert_int_equal(a.mailbox.number, 42);
    assert_string_equal(a.address, "anna@example.org");
    assert_int_equal(a.calls, 3);
    auth_forget(f.client, id);
    run_idle();
    assert_false(has_request(0) || has_request(1));
    end();
}

/* One whose client thinks is no load; what goes on with one waits for its own helper, and goes before new ones. */
static void test_order(void **state)
{
    struct asker a = { 0 }, others[40] = { { 0 } };
    uint64_t id;
    int before = 0;

    (void)state;
    begin(1, NEVER);
    challenged(&a, &id);
    for (int i = 0; i < 40; i++)
        ask(&others[i], "anna");
    auth_respond(f.client, id, SPAN_OF("second"));
    uint64_t first = take(0).id;
    for (before = 1; has_request(0); before++)
        take(0);
    assert_int_equal(before, 32);
    give(0, first, AUTH_REFUSED);
    run_until(1);
    take_step(0, FRAME_RESPOND, id, 77, "second");
    assert_false(has_request(0));
    end();
}

/* Forgotten at any time: the helper is told, and its answer to that makes room for others. */
static void test_forget(void **state)
{
    struct asker a = { 0 };
    uint64_t id;

    (void)state;
    begin(1, NEVER);
    for (int round = 0; round < 30; round++) {
        int when = round % 3;
        if (when == 0) {            /* its client has the word */
            challenged(&a, &id);
            auth_forget(f.client, id);
        } else if (when == 1) {     /* before the first challenge */
            id = begin_exchange(&a, "first");
            auth_forget(f.client, id);
            assert_true(take_start(0, "first") == id);
            challenge(0, id, 77, "what?");
        } else {                    /* the helper works on an answer */
            challenged(&a, &id);
            auth_respond(f.client, id, SPAN_OF("second"));
            auth_forget(f.client, id);
            take_step(0, FRAME_RESPOND, id, 77, "second");
            challenge(0, id, 77, "more");
        }
        auth_forget(f.client, id);
        run_idle();
        take_step(0, FRAME_ABORT, id, 77, "");
        give(0, id, AUTH_REFUSED);
        run_idle();
    }
    assert_int_equal(f.lost, 0);
    end();
}

/* A response that its helper did not take yet. */
static void test_forget_pinned(void **state)
{
    struct asker a = { 0 }, others[32] = { { 0 } };
    uint64_t id, first;

    (void)state;
    begin(1, NEVER);
    challenged(&a, &id);
    for (int i = 0; i < 32; i++)
        ask(&others[i], "anna");
    auth_respond(f.client, id, SPAN_OF("second"));
    auth_forget(f.client, id);
    first = take(0).id;
    while (has_request(0))
        take(0);
    give(0, first, AUTH_REFUSED);
    run_until(1);
    take_step(0, FRAME_ABORT, id, 77, "");
    end();
}

/* S31: nobody else can go on with an exchange. */
static void test_helper_lost(void **state)
{
    (void)state;
    for (int when = 0; when < 3; when++) {
        struct asker a = { 0 };
        uint64_t id;
        begin(2, NEVER);
        size_t h = challenged(&a, &id);
        if (when == 1) {
            auth_respond(f.client, id, SPAN_OF("second"));
            hang_up(h);
        } else {
            hang_up(h);
            run_idle();
            if (when == 2) {
                auth_forget(f.client, id);
                run_idle();
                assert_int_equal(a.calls, 1);
                end();
                continue;
            }
            auth_respond(f.client, id, SPAN_OF("second"));
            assert_int_equal(a.calls, 1);       /* not from within */
        }
        run_until(1);
        assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
        assert_false(has_request(1 - h));
        end();
    }
}

/* One that was not answered yet begins anew with another. */
static void test_begins_anew(void **state)
{
    struct asker a = { 0 };

    (void)state;
    begin(2, NEVER);
    uint64_t id = begin_exchange(&a, "first");
    size_t h = busy();
    hang_up(h);
    run_idle();
    assert_true(take_start(1 - h, "first") == id);
    give(1 - h, id, AUTH_REFUSED);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_REFUSED);
    end();
}

/* What was said in one message can be answered from the cache, and be asked once more; later there is nothing to ask again. */
static void test_unconfirmed(void **state)
{
    struct asker a = { 0 };
    unsigned char data[PEER_MAX];
    struct auth_opening o;
    uint64_t id, again = 0;

    (void)state;
    begin(1, NEVER);
    id = begin_exchange(&a, "first");
    take_start(0, "first");
    give_unconfirmed(0, id);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_OK_UNCONFIRMED);
    auth_forget(f.client, id);          /* it was confirmed */

    id = begin_exchange(&a, "first");
    take_start(0, "first");
    give_unconfirmed(0, id);
    run_until(1);
    auth_check_uncached(f.client, id);
    auth_lane(f.client, id, LANE + 1);
    long len = take_message(0, data, sizeof data);
    assert_true(len > 0 && frame_get_start(data, (size_t)len, &again, &o));
    assert_true(again == id && o.uncached && o.lane == LANE + 1 && span_is(o.initial, SPAN_OF("first")));
    give(0, id, AUTH_OK);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_OK);
    assert_int_equal(a.calls, 3);
    end();

    begin(1, NEVER);
    struct asker b = { 0 };
    challenged(&b, &id);
    auth_respond(f.client, id, SPAN_OF("second"));
    take_step(0, FRAME_RESPOND, id, 77, "second");
    give_unconfirmed(0, id);            /* such a helper is not heard any more */
    run_until(1);
    assert_int_equal(b.verdict, AUTH_UNAVAILABLE);
    end();
}

static void test_deadline(void **state)
{
    struct asker a = { 0 };
    uint64_t id;

    (void)state;
    begin(1, 50);
    challenged(&a, &id);
    usleep(80000);                  /* a client may think for longer */
    run_idle();
    assert_int_equal(a.calls, 1);
    auth_respond(f.client, id, SPAN_OF("second"));
    run_until(1);
    assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
    take_step(0, FRAME_RESPOND, id, 77, "second");
    challenge(0, id, 77, "late");
    run_idle();
    take_step(0, FRAME_ABORT, id, 77, "");
    end();
}

/* A helper that asks back where nothing is to be asked is dropped. */
static void test_nonsense(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct asker a = { 0 };
        uint64_t id;
        begin(1, NEVER);
        switch (kind) {
        case 0:     /* a password */
            id = ask(&a, "anna");
            challenge(0, id, 77, "what?");
            run_until(1);
            break;
        case 1:     /* as another exchange */
            challenged(&a, &id);
            auth_respond(f.client, id, SPAN_OF("second"));
            challenge(0, id, 78, "what?");
            run_until(1);
            break;
        case 2:     /* out of turn */
            challenged(&a, &id);
            challenge(0, id, 77, "and?");
            run_idle();
            auth_respond(f.client, id, SPAN_OF("second"));
            run_until(1);
            break;
        case 3:     /* a verdict out of turn */
            challenged(&a, &id);
            give(0, id, AUTH_OK);
            run_idle();
            auth_respond(f.client, id, SPAN_OF("second"));
            run_until(1);
            break;
        }
        run_idle();
        assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
        assert_int_equal(f.lost, 1);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),       cmocka_unit_test(test_order),       cmocka_unit_test(test_forget),
        cmocka_unit_test(test_forget_pinned), cmocka_unit_test(test_helper_lost), cmocka_unit_test(test_begins_anew), cmocka_unit_test(test_unconfirmed),
        cmocka_unit_test(test_deadline),    cmocka_unit_test(test_nonsense),
    };
    secret_init();
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
