/*
 * The worker's side of authentication against helpers that the test plays:
 * they answer late, wrong, or not at all, and go away.
 */
#include "tests/unit/auth_client_fixture.h"

static void test_answers(void **state)
{
    struct asker a = { 0 }, b = { 0 };

    (void)state;
    begin(1, NEVER);
    uint64_t id = ask(&a, "Anna");
    uint64_t other = ask(&b, "bert");
    assert_true(id != other);
    struct auth_request r = take(0);
    assert_true(r.id == id);
    assert_true(span_is(r.name, SPAN_OF("Anna")) && span_is(r.password, SPAN_OF("secret")) &&
                span_is(r.default_domain, SPAN_OF("example.org")));
    assert_true(take(0).id == other);
    give(0, other, AUTH_REFUSED);
    run_until(1);
    assert_int_equal(a.calls, 0);
    assert_int_equal(b.verdict, AUTH_REFUSED);
    assert_int_equal(b.mailbox.number, 0);
    give(0, id, AUTH_OK);
    run_until(1);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.verdict, AUTH_OK);
    assert_int_equal(a.mailbox.number, 42);
    assert_string_equal(a.address, "anna@example.org");
    assert_int_equal(b.calls, 1);
    end();
}

static uint64_t ask_from(struct asker *a, const char *name, const struct auth_origin *origin)
{
    uint64_t id = auth_check_password(f.client, span_str(name), SPAN_OF("secret"), SPAN_OF("example.org"), origin, "0a1b2c", on_done, a);

    auth_lane(f.client, id, LANE);
    return id;
}

/* What is most likely quick goes to one helper, whatever the name, so that the others sleep; in one packet. */
static void test_choice(void **state)
{
    struct asker a = { 0 };

    (void)state;
    begin(3, NEVER);
    for (int round = 0; round < 3; round++) {
        ask(&a, "anna");
        ask(&a, "bert");
        ask(&a, "carl");
        assert_true(has_request(0) && !has_request(1) && !has_request(2));
        uint64_t anna = take(0).id, bert = take(0).id;
        assert_true(f.in[0].at < f.in[0].len);
        give(0, anna, AUTH_OK);
        give(0, bert, AUTH_REFUSED);
        give(0, take(0).id, AUTH_OK);
        run_until(3);
    }
    end();
}

/* Strangers, one at a time for each helper, and all but one of the helpers; nobody else waits behind them. */
static void test_strangers(void **state)
{
    const struct auth_origin origin = { .network = SPAN_OF("192.0.2.1"), .line = 5 };
    struct asker a = { 0 };

    (void)state;
    begin(3, NEVER);
    for (int i = 0; i < 6; i++)
        ask_from(&a, "anna", &origin);
    uint64_t first = 0;
    int asked = 0;
    size_t at = 0;
    for (size_t i = 0; i < 3; i++)
        if (has_request(i)) {
            struct auth_request r = take(i);
            assert_true(r.slow);
            first = r.id;
            at = i;
            asked++;
            assert_false(has_request(i));
        }
    assert_int_equal(asked, 2);
    assert_int_equal(auth_client_waiting(f.client), 4);
    uint64_t good = ask(&a, "bert");
    for (size_t i = 0; i < 3; i++)
        if (has_request(i)) {
            struct auth_request r = take(i);
            assert_true(r.id == good && !r.slow);
            give(i, good, AUTH_OK);
        }
    run_until(1);
    give(at, first, AUTH_REFUSED);
    run_until(1);
    assert_true(has_request(at));
    end();
}

/* A slow hash that a helper cannot begin goes to the next who is free; one at a time, and quick ones pass it. */
static void test_handed_back(void **state)
{
    struct asker a[6] = { { 0 } }, b = { 0 };
    uint64_t ids[6];

    (void)state;
    begin(2, NEVER);
    for (int i = 0; i < 6; i++)
        ids[i] = ask(&a[i], "anna");
    for (int i = 0; i < 6; i++)
        assert_true(take(0).id == ids[i]);
    for (int i = 1; i < 6; i++)
        give_back(0, ids[i]);
    auth_forget(f.client, ids[5]);          /* and that is the end of it */
    run_idle();
    struct auth_request r = take(1);
    assert_true(r.slow && span_is(r.password, SPAN_OF("secret")));
    uint64_t at_one = r.id, at_zero = take(0).id;
    assert_false(has_request(0) || has_request(1));
    assert_int_equal(auth_client_waiting(f.client), 2);
    uint64_t quick = ask(&b, "bert");
    size_t h = has_request(0) ? 0 : 1;
    assert_true(take(h).id == quick);
    give(h, quick, AUTH_OK);
    run_until(1);
    assert_int_equal(b.verdict, AUTH_OK);
    give(0, ids[0], AUTH_OK);
    give(0, at_zero, AUTH_OK);
    give(1, at_one, AUTH_REFUSED);
    run_until(3);
    give(0, take(0).id, AUTH_OK);
    give(1, take(1).id, AUTH_OK);
    run_until(2);
    for (int i = 0; i < 5; i++)
        assert_int_equal(a[i].calls, 1);
    assert_int_equal(a[5].calls, 0);
    assert_int_equal(f.lost, 0);
    /* Twice is once too often: it would go round for ever. */
    uint64_t id = ask(&b, "bert");
    take(0);
    give_back(0, id);
    run_idle();
    h = has_request(0) ? 0 : 1;
    take(h);
    give_back(h, id);
    run_idle();
    assert_int_equal(f.lost, 1);
    assert_true(take(1 - h).id == id);
    end();
}

/* A helper that says nothing for a while gets no more of what others would answer at once. */
static void test_quiet(void **state)
{
    struct asker a[3] = { { 0 } };

    (void)state;
    begin(2, NEVER);
    uint64_t stuck = ask(&a[0], "anna");
    assert_true(take(0).id == stuck);
    usleep(20000);
    run_idle();
    uint64_t id = ask(&a[1], "bert");
    assert_true(has_request(1) && take(1).id == id);
    give(1, id, AUTH_OK);
    run_until(1);
    give(0, stuck, AUTH_OK);
    run_until(1);
    id = ask(&a[2], "carl");
    assert_true(has_request(0) && take(0).id == id);
    end();
}

/* All that a lost helper had is asked again, one at a time: what ended it would end the next one with all others. */
static void test_lost_with_a_group(void **state)
{
    struct asker a[20] = { { 0 } };

    (void)state;
    begin(2, NEVER);
    for (int i = 0; i < 20; i++)
        ask(&a[i], "anna");
    assert_true(has_request(0) && !has_request(1));
    hang_up(0);
    run_idle();
    for (int i = 0; i < 20; i++) {
        struct auth_request r = take(1);
        assert_true(r.slow);
        assert_false(has_request(1));
        give(1, r.id, i % 2 ? AUTH_OK : AUTH_REFUSED);
        run_until(1);
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(a[i].calls, 1);
    end();
}

/* A helper gets a few at once; the rest waits here, where it can be forgotten. */
static void test_depth(void **state)
{
    struct asker a[80] = { { 0 } };
    uint64_t ids[80], last = 0;
    int depth = 0;

    (void)state;
    begin(1, NEVER);
    for (int i = 0; i < 80; i++)
        ids[i] = ask(&a[i], "anna");
    for (; has_request(0); depth++)
        last = take(0).id;
    assert_true(depth > 1 && depth < 80);
    assert_true(last == ids[depth - 1]);
    auth_forget(f.client, ids[depth]);
    give(0, ids[0], AUTH_OK);
    run_until(1);
    assert_true(take(0).id == ids[depth + 1]);
    assert_false(has_request(0));
    for (int i = 1; i < 80; i++) {
        if (i == depth)
            continue;
        while (has_request(0))
            take(0);
        give(0, ids[i], AUTH_REFUSED);
        run_until(1);
    }
    assert_int_equal(a[depth].calls, 0);
    end();
}

static void test_queue_is_bounded(void **state)
{
    static struct asker a;
    int asked = 0, answered = f.answers;

    (void)state;
    begin(1, NEVER);
    answered = f.answers;
    /* Until one is told at once that there is no room. */
    while (f.answers == answered && asked < 100000) {
        for (int i = 0; i < 1000; i++, asked++)
            ask(&a, "anna");
        struct timer *t = timer_new(f.loop, stop, f.loop);
        timer_set(t, 1);
        loop_run(f.loop);
        timer_free(&t);
    }
    assert_true(asked >= 4096 && asked <= 6000);
    assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
    assert_int_equal(a.calls, asked - 4096 - 32);
    end();
}

/* Who has work and says nothing for three deadlines hangs; who has none, or has answered meanwhile, does not. */
static void test_silent(void **state)
{
    struct asker a[2] = { { 0 } };

    (void)state;
    begin(2, 20);
    assert_int_equal(auth_client_silent(f.client), 0);
    /* The second goes to the other one, when the first says nothing. */
    ask(&a[0], "anna");
    run_until(1);
    ask(&a[1], "anna");
    assert_int_equal(auth_client_silent(f.client), 0);
    run_until(1);
    usleep(100000);
    run_idle();
    assert_int_equal(auth_client_silent(f.client), 2);
    give(0, take(0).id, AUTH_OK);
    run_idle();
    assert_int_equal(auth_client_silent(f.client), 1);
    hang_up(1);
    run_idle();
    assert_int_equal(auth_client_silent(f.client), 0);
    end();
}

/* Time runs out: nobody is refused for that; the late answer is nobody's, and the helper goes on. */
static void test_deadline(void **state)
{
    struct asker a[40] = { { 0 } }, b = { 0 };
    uint64_t ids[40];

    (void)state;
    begin(1, 20);
    for (int i = 0; i < 40; i++)
        ids[i] = ask(&a[i], "anna");
    run_until(40);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].verdict, AUTH_UNAVAILABLE);
    }
    int got = 0;
    for (; has_request(0); got++)
        give(0, take(0).id, AUTH_OK);
    assert_int_equal(got, 32);
    run_idle();
    assert_false(has_request(0));           /* those that waited are not worked on any more */
    uint64_t id = ask(&b, "bert");
    assert_true(take(0).id == id);
    give(0, id, AUTH_OK);
    run_until(1);
    assert_int_equal(b.verdict, AUTH_OK);
    auth_forget(f.client, ids[0]);
    assert_int_equal(f.lost, 0);
    end();
}

/* S31: its requests go to another one, and no one is refused. */
static void test_lost_helper(void **state)
{
    struct asker a = { 0 };

    (void)state;
    begin(2, NEVER);
    uint64_t id = ask(&a, "anna");
    size_t first = has_request(0) ? 0 : 1;
    take(first);
    hang_up(first);
    run_idle();
    assert_int_equal(f.lost, 1);
    assert_int_equal(auth_client_alive(f.client), 1);
    struct auth_request r = take(1 - first);
    assert_true(r.id == id);
    assert_true(span_is(r.password, SPAN_OF("secret")));
    give(1 - first, id, AUTH_OK);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_OK);
    assert_int_equal(a.calls, 1);
    end();
}

/* A request that ends two helpers does not end a third. */
static void test_retried_once(void **state)
{
    struct asker a = { 0 };

    (void)state;
    begin(3, NEVER);
    ask(&a, "anna");
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < 3; i++)
            if (f.helper[i] >= 0 && has_request(i)) {
                hang_up(i);
                if (round == 0)
                    run_idle();
                else
                    run_until(1);
                break;
            }
    assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
    assert_int_equal(auth_client_alive(f.client), 1);
    run_idle();
    assert_int_equal(f.lost, 2);
    for (size_t i = 0; i < 3; i++)
        assert_true(f.helper[i] < 0 || !has_request(i));
    end();
}

/* The asker has the last word on a cached login: confirmed, or once more and not from the cache; a request is kept until then. */
static void test_unconfirmed(void **state)
{
    struct asker a = { 0 }, b = { 0 };

    (void)state;
    begin(1, 1000);
    uint64_t id = ask(&a, "anna");
    assert_false(take(0).uncached);
    give_unconfirmed(0, id);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_OK_UNCONFIRMED);
    auth_forget(f.client, id);
    auth_forget(f.client, id);          /* it is over */

    id = ask(&a, "anna");
    take(0);
    give_unconfirmed(0, id);
    run_until(1);
    auth_check_uncached(f.client, id);
    auth_lane(f.client, id, LANE);
    struct auth_request r = take(0);
    assert_true(r.id == id && r.uncached && span_is(r.name, SPAN_OF("anna")) && span_is(r.password, SPAN_OF("secret")));
    /* Meanwhile others are served. */
    uint64_t other = ask(&b, "bert");
    take(0);
    give(0, id, AUTH_REFUSED);
    give(0, other, AUTH_OK);
    run_until(2);
    assert_int_equal(a.verdict, AUTH_REFUSED);
    assert_int_equal(a.calls, 3);
    assert_int_equal(b.verdict, AUTH_OK);

    /* Left in the middle, or by nobody. */
    id = ask(&a, "anna");
    take(0);
    give_unconfirmed(0, id);
    run_until(1);
    auth_check_uncached(f.client, id);
    auth_lane(f.client, id, LANE);
    auth_forget(f.client, id);
    give(0, take(0).id, AUTH_OK);
    run_idle();
    assert_int_equal(a.calls, 4);
    id = ask(&a, "anna");
    take(0);
    give_unconfirmed(0, id);
    run_until(1);
    end();
}

/* Its helper has gone since: another one looks, or nobody can tell. */
static void test_unconfirmed_by_a_lost_helper(void **state)
{
    struct asker a = { 0 };

    (void)state;
    begin(2, 1000);
    uint64_t id = ask(&a, "anna");
    size_t first = has_request(0) ? 0 : 1;
    take(first);
    give_unconfirmed(first, id);
    run_until(1);
    hang_up(first);
    run_idle();
    assert_int_equal(a.calls, 1);
    auth_check_uncached(f.client, id);
    auth_lane(f.client, id, LANE);
    assert_true(take(1 - first).uncached);
    give(1 - first, id, AUTH_OK);
    run_until(1);
    assert_int_equal(a.calls, 2);

    id = ask(&a, "anna");
    take(1 - first);
    give_unconfirmed(1 - first, id);
    run_until(1);
    hang_up(1 - first);
    run_idle();
    auth_check_uncached(f.client, id);
    auth_lane(f.client, id, LANE);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
    end();
}

/* A helper that was told to look and does not, is none. */
static void test_cached_again(void **state)
{
    struct asker a = { 0 };

    (void)state;
    begin(1, 1000);
    uint64_t id = ask(&a, "anna");
    take(0);
    give_unconfirmed(0, id);
    run_until(1);
    auth_check_uncached(f.client, id);
    auth_lane(f.client, id, LANE);
    take(0);
    give_unconfirmed(0, id);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
    assert_int_equal(auth_client_alive(f.client), 0);
    end();
}

static void test_none_left(void **state)
{
    struct asker a[12] = { { 0 } }, b = { 0 };

    (void)state;
    begin(1, NEVER);
    for (int i = 0; i < 12; i++)
        ask(&a[i], "anna");
    hang_up(0);
    run_until(12);
    for (int i = 0; i < 12; i++)
        assert_int_equal(a[i].verdict, AUTH_UNAVAILABLE);
    ask(&b, "bert");
    run_until(1);
    assert_int_equal(b.verdict, AUTH_UNAVAILABLE);
    assert_int_equal(auth_client_alive(f.client), 0);
    assert_int_equal(f.lost, 1);
    end();
}

/* Gone, but our loop has not seen it yet when somebody asks. */
static void test_lost_unseen(void **state)
{
    struct asker a = { 0 };

    (void)state;
    begin(1, NEVER);
    hang_up(0);
    ask(&a, "anna");
    assert_int_equal(f.lost, 0);            /* told later, as all is */
    run_until(1);
    assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
    run_idle();
    assert_int_equal(f.lost, 1);
    end();
}

/* A helper that sends what makes no sense is dropped, and lets nobody in. */
static void test_nonsense(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        struct asker a = { 0 }, b = { 0 };
        begin(2, NEVER);
        uint64_t id = ask(&a, "anna");
        size_t h = has_request(0) ? 0 : 1;
        take(h);
        switch (kind) {
        case 0:     /* no frame */
            assert_true(send_message(f.helper[h], "\x02garbage", 8));
            break;
        case 1:     /* nobody's id */
            give(h, id + 1, AUTH_OK);
            break;
        case 2:     /* id 0 */
            give(h, 0, AUTH_OK);
            break;
        case 3:     /* what the other one was asked */
            give(1 - h, id, AUTH_OK);
            h = 1 - h;
            break;
        case 4:     /* twice */
            give(h, id, AUTH_REFUSED);
            run_until(1);
            give(h, id, AUTH_OK);
            break;
        }
        run_idle();
        assert_int_equal(a.calls, kind == 4);
        assert_int_equal(f.lost, 1);
        assert_int_equal(auth_client_alive(f.client), 1);
        assert_int_equal(recv(f.helper[h], &(char){ 0 }, 1, 0), 0);     /* it sees its end */
        uint64_t other = ask(&b, "bert");
        if (kind != 4) {
            assert_true(kind == 3 || take(1 - h).id == id);
            give(1 - h, id, AUTH_REFUSED);
            run_until(1);
            assert_int_equal(a.verdict, AUTH_REFUSED);
        }
        assert_true(take(1 - h).id == other);
        give(1 - h, other, AUTH_OK);
        run_until(1);
        assert_int_equal(b.verdict, AUTH_OK);
        end();
    }
}

static void test_forget(void **state)
{
    struct asker a = { 0 }, b = { 0 };

    (void)state;
    begin(1, NEVER);
    uint64_t id = ask(&a, "anna");
    auth_forget(f.client, id);
    auth_forget(f.client, id);
    auth_forget(f.client, 0);
    auth_forget(f.client, id + 1);
    give(0, take(0).id, AUTH_OK);
    run_idle();
    assert_int_equal(f.lost, 0);            /* that was an answer to what it was asked */
    /* One whose verdict is there, but was not told yet. */
    static const char lengthy[PASSWORD_MAX + 1];
    id = auth_check_password(f.client, SPAN_OF("anna"), (struct span){ lengthy, sizeof lengthy }, SPAN_OF(""), NULL, "0a1b2c", on_done, &a);
    auth_lane(f.client, id, LANE);
    auth_forget(f.client, id);
    run_idle();
    assert_int_equal(a.calls, 0);
    /* Forgotten by both, and the helper is lost: nobody is asked again. */
    id = ask(&b, "bert");
    auth_forget(f.client, id);
    hang_up(0);
    run_idle();
    assert_int_equal(b.calls, 0);
    end();
}

/* A password that is too long is wrong, for whatever name; 4096 octets are taken. */
static void test_too_long(void **state)
{
    static char lengthy[PASSWORD_MAX + 1];
    struct asker a = { 0 };

    (void)state;
    memset(lengthy, 'x', sizeof lengthy);
    begin(1, NEVER);
    auth_lane(f.client, auth_check_password(f.client, SPAN_OF("anna"), (struct span){ lengthy, PASSWORD_MAX + 1 }, SPAN_OF(""), NULL, "0a1b2c", on_done, &a), LANE);
    assert_int_equal(a.calls, 0);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_REFUSED);
    assert_false(has_request(0));
    auth_lane(f.client, auth_check_password(f.client, SPAN_OF("anna"), (struct span){ lengthy, PASSWORD_MAX }, SPAN_OF(""), NULL, "0a1b2c", on_done, &a), LANE);
    struct auth_request r = take(0);
    assert_int_equal(r.password.len, PASSWORD_MAX);
    give(0, r.id, AUTH_OK);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_OK);
    end();
}

static struct asker again;
static uint64_t to_forget;

static void on_done_asks(void *owner, const struct auth_result *result)
{
    auth_forget(f.client, to_forget);
    ask(&again, "bert");
    on_done(owner, result);
}

/* An answer makes its asker ask for another, and forget a third. */
static void test_asks_in_callback(void **state)
{
    struct asker a = { 0 }, c = { 0 };

    (void)state;
    memset(&again, 0, sizeof again);
    begin(1, NEVER);
    auth_lane(f.client, auth_check_password(f.client, SPAN_OF("anna"), SPAN_OF("x"), SPAN_OF(""), NULL, "0a1b2c", on_done_asks, &a), LANE);
    to_forget = ask(&c, "carl");
    give(0, take(0).id, AUTH_REFUSED);
    run_until(1);
    assert_true(take(0).id == to_forget);
    give(0, take(0).id, AUTH_OK);
    run_until(1);
    assert_int_equal(again.verdict, AUTH_OK);
    assert_int_equal(c.calls, 0);
    /* The same where nobody can answer. */
    auth_lane(f.client, auth_check_password(f.client, SPAN_OF("anna"), SPAN_OF("x"), SPAN_OF(""), NULL, "0a1b2c", on_done_asks, &a), LANE);
    hang_up(0);
    run_until(2);
    assert_int_equal(a.verdict, AUTH_UNAVAILABLE);
    assert_int_equal(again.verdict, AUTH_UNAVAILABLE);
    end();
}

/* The client ends with requests in every state; a sanitizer looks. */
static void test_end(void **state)
{
    struct asker a = { 0 };

    (void)state;
    begin(2, NEVER);
    for (int i = 0; i < 30; i++)
        ask(&a, "anna");
    auth_forget(f.client, ask(&a, "anna"));
    end();
    assert_int_equal(a.calls, 0);
    auth_client_free(&f.client);
}

/* Nobody is asked before the lane is known; and a request may be told its lane when it is over. */
static void waits_for_lane(void **state)
{
    struct asker a = { 0 }, late = { 0 }, gone = { 0 };

    (void)state;
    begin(1, NEVER);
    uint64_t id = auth_check_password(f.client, SPAN_OF("anna"), SPAN_OF("secret"), SPAN_OF("x"), NULL, "0a1b2c", on_done, &a);
    run_idle();
    assert_false(has_request(0));
    auth_lane(f.client, id, LANE);
    auth_lane(f.client, id, LANE + 1);      /* once is enough */
    give_unconfirmed(0, take(0).id);
    run_until(1);
    assert_int_equal(a.verdict, AUTH_OK_UNCONFIRMED);
    assert_string_equal(a.ticket.octets, "for anna");
    auth_check_uncached(f.client, id);
    run_idle();
    assert_false(has_request(0));
    auth_lane(f.client, id, LANE);
    struct auth_request r = take(0);
    assert_true(r.uncached && span_is(r.password, SPAN_OF("secret")));
    give(0, r.id, AUTH_OK);
    run_until(1);
    auth_lane(f.client, id, LANE);

    uint64_t forgotten = auth_check_password(f.client, SPAN_OF("anna"), SPAN_OF("secret"), SPAN_OF("x"), NULL, "0a1b2c", on_done, &gone);
    auth_forget(f.client, forgotten);
    auth_lane(f.client, forgotten, LANE);
    run_idle();
    assert_false(has_request(0));
    id = auth_check_password(f.client, SPAN_OF("anna"), SPAN_OF("secret"), SPAN_OF("x"), NULL, "0a1b2c", on_done, &gone);
    hang_up(0);
    run_idle();
    auth_lane(f.client, id, LANE);
    run_until(1);
    assert_int_equal(gone.verdict, AUTH_UNAVAILABLE);
    end();

    begin(1, 20);
    auth_check_password(f.client, SPAN_OF("anna"), SPAN_OF("secret"), SPAN_OF("x"), NULL, "0a1b2c", on_done, &late);
    run_until(1);
    assert_int_equal(late.verdict, AUTH_UNAVAILABLE);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),      cmocka_unit_test(test_choice), cmocka_unit_test(test_strangers), cmocka_unit_test(test_handed_back),
        cmocka_unit_test(test_quiet), cmocka_unit_test(test_lost_with_a_group),     cmocka_unit_test(test_depth),
        cmocka_unit_test(test_queue_is_bounded), cmocka_unit_test(test_deadline), cmocka_unit_test(test_silent), cmocka_unit_test(test_lost_helper),
        cmocka_unit_test(test_retried_once), cmocka_unit_test(test_unconfirmed), cmocka_unit_test(test_unconfirmed_by_a_lost_helper),
        cmocka_unit_test(test_cached_again), cmocka_unit_test(test_none_left),  cmocka_unit_test(test_lost_unseen),
        cmocka_unit_test(test_nonsense),     cmocka_unit_test(test_forget),     cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_asks_in_callback), cmocka_unit_test(test_end),
        cmocka_unit_test(waits_for_lane),
    };
    secret_init();
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
