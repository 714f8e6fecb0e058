/* auth_client_fixture.c - see auth_client_fixture.h. */
#include "tests/unit/auth_client_fixture.h"

struct fixture f;

static void on_lost(void *arg)
{
    (void)arg;
    f.lost++;
}

static void on_watchdog(void *arg)
{
    (void)arg;
    fail_msg("nothing came");
}

void begin(size_t helpers, uint64_t deadline_ms)
{
    int ends[HELPERS_MAX];
    const struct timeval patience = { 10, 0 };

    memset(&f, 0, sizeof f);
    f.loop = loop_new();
    f.count = helpers;
    for (size_t i = 0; i < helpers; i++) {
        int pair[2];
        assert_int_equal(peer_pair(pair), 0);
        ends[i] = pair[0];
        f.helper[i] = pair[1];
        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    }
    f.client = auth_client_new(f.loop, ends, helpers, deadline_ms, on_lost, &f);
    f.watchdog = timer_new(f.loop, on_watchdog, &f);
    assert_int_equal(auth_client_alive(f.client), helpers);
}

void hang_up(size_t i)
{
    close(f.helper[i]);
    f.helper[i] = -1;
}

void end(void)
{
    auth_client_free(&f.client);
    assert_null(f.client);
    for (size_t i = 0; i < f.count; i++)
        if (f.helper[i] >= 0)
            hang_up(i);
    timer_free(&f.watchdog);
    loop_free(&f.loop);
}

void on_done(void *owner, const struct auth_result *result)
{
    struct asker *a = owner;

    a->calls++;
    a->verdict = result->verdict;
    a->mailbox = result->mailbox;
    a->ticket = result->ticket;
    snprintf(a->address, sizeof a->address, "%.*s", (int)result->address.len, result->address.at);
    snprintf(a->challenge, sizeof a->challenge, "%.*s", (int)result->challenge.len, result->challenge.at);
    if (++f.answers == f.wanted)
        loop_stop(f.loop);
}

uint64_t ask(struct asker *a, const char *name)
{
    int before = f.answers;
    uint64_t id = auth_check_password(f.client, span_str(name), SPAN_OF("secret"), SPAN_OF("example.org"), NULL, "0a1b2c", on_done, a);

    auth_lane(f.client, id, LANE);
    assert_int_equal(f.answers, before);    /* never from within */
    assert_true(id != 0);
    return id;
}

void run_until(int more)
{
    f.wanted += more;
    if (f.answers < f.wanted) {
        timer_set(f.watchdog, 20000);
        loop_run(f.loop);
        timer_stop(f.watchdog);
    }
    assert_int_equal(f.answers, f.wanted);
}

void stop(void *arg)
{
    loop_stop(arg);
}

void run_idle(void)
{
    int before = f.answers;

    for (int i = 0; i < 5; i++) {
        struct timer *t = timer_new(f.loop, stop, f.loop);
        timer_set(t, 1);
        loop_run(f.loop);
        timer_free(&t);
    }
    assert_int_equal(f.answers, before);
}

/* What is asked in a turn is sent at its end. */
static void end_turn(void)
{
    loop_defer(f.loop, stop, f.loop);
    loop_run(f.loop);
}

long take_message(size_t i, unsigned char *data, size_t size)
{
    end_turn();
    return next_message(f.helper[i], &f.in[i], data, size);
}

struct auth_request take(size_t i)
{
    static unsigned char data[PEER_MAX];
    struct auth_request r;

    long len = take_message(i, data, sizeof data);
    assert_true(len > 0);
    assert_true(frame_get_request(data, (size_t)len, &r));
    assert_int_equal(r.lane, LANE);
    return r;
}

bool has_request(size_t i)
{
    end_turn();
    return has_message(f.helper[i], &f.in[i]);
}

void give_unconfirmed(size_t i, uint64_t id)
{
    unsigned char out[FRAME_REPLY_MAX];
    const struct auth_reply reply = {
        .id = id, .verdict = AUTH_OK_UNCONFIRMED, .mailbox = { 42 }, .address = SPAN_OF("anna@example.org"), .versions = { 5, 6 },
        .ticket = { "for anna" },
    };

    assert_true(send_message(f.helper[i], out, frame_put_reply(out, &reply)));
}

void give(size_t i, uint64_t id, enum auth_verdict verdict)
{
    unsigned char out[FRAME_REPLY_MAX];
    const struct auth_reply reply = {
        .id = id, .verdict = verdict, .mailbox = { verdict == AUTH_OK ? 42 : 0 }, .address = SPAN_OF("anna@example.org"),
    };

    assert_true(send_message(f.helper[i], out, frame_put_reply(out, &reply)));
}

void give_back(size_t i, uint64_t id)
{
    unsigned char out[FRAME_HANDED_BACK_MAX];

    assert_true(send_message(f.helper[i], out, frame_put_handed_back(out, id)));
}
