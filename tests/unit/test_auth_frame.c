/*
 * The frames between worker and helper: whatever is not exactly one is refused,
 * and none is read past its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "auth/frame.h"

/* A copy that ends where its memory ends, so that a sanitizer sees one octet too many. */
static unsigned char *exact(const unsigned char *data, size_t len)
{
    unsigned char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

static bool request_in(const unsigned char *data, size_t len)
{
    struct auth_request r;
    unsigned char *copy = exact(data, len);
    bool ok = frame_get_request(copy, len, &r);

    free(copy);
    return ok;
}

static bool reply_in(const unsigned char *data, size_t len)
{
    struct auth_reply r;
    unsigned char *copy = exact(data, len);
    bool ok = frame_get_reply(copy, len, &r);

    free(copy);
    return ok;
}

static void test_request(void **state)
{
    unsigned char out[FRAME_REQUEST_MAX];
    struct auth_request r, in = { UINT64_C(0x8070605040302010), SPAN_OF("anna\0x"), SPAN_OF(" a  b "), SPAN_OF("example.org"), SPAN_OF("09af"), { .network = SPAN_OF("2001:db8::/64"), .suspect = true }, false, 0x80000001, false, REPORT_NONE };

    (void)state;
    size_t len = frame_put_request(out, &in);
    assert_true(len > 0);
    assert_true(frame_get_request(out, len, &r));
    assert_true(r.id == in.id && r.lane == in.lane);
    assert_true(span_is(r.name, in.name) && span_is(r.password, in.password) && span_is(r.default_domain, in.default_domain) && span_is(r.session, in.session));
    assert_true(span_is(r.origin.network, in.origin.network) && r.origin.suspect && !r.origin.good);
    for (size_t cut = 0; cut < len; cut++)
        assert_false(request_in(out, cut));
    out[len] = 0;
    assert_false(request_in(out, len + 1));
    assert_false(reply_in(out, len));

    in = (struct auth_request){ 1, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { .good = true }, true, 5, false, REPORT_NONE };
    len = frame_put_request(out, &in);
    assert_true(frame_get_request(out, len, &r));
    assert_int_equal(r.name.len + r.password.len + r.default_domain.len, 0);
    assert_true(r.uncached);
    in.uncached = false;
    frame_put_request(out, &in);
    assert_true(frame_get_request(out, len, &r) && !r.uncached);
    frame_ask_uncached(out, len);
    assert_true(frame_get_request(out, len, &r) && r.uncached && r.lane == 5);
    frame_set_lane(out, len, UINT32_MAX);
    assert_true(frame_get_request(out, len, &r) && r.uncached && !r.slow && r.lane == UINT32_MAX && r.session.len == 0);
    frame_ask_slow(out, len);
    assert_true(frame_get_request(out, len, &r) && r.uncached && r.slow);
    in.slow = true;
    frame_put_request(out, &in);
    assert_true(frame_get_request(out, len, &r) && !r.uncached && r.slow);
    out[9] = 16;                /* a way to ask that there is not */
    assert_false(request_in(out, len));
}

static void test_handed_back(void **state)
{
    unsigned char out[FRAME_HANDED_BACK_MAX + 1];
    uint64_t id;

    (void)state;
    size_t len = frame_put_handed_back(out, UINT64_C(0x8070605040302010));
    assert_int_equal(len, FRAME_HANDED_BACK_MAX);
    assert_true(frame_get_handed_back(out, len, &id) && id == UINT64_C(0x8070605040302010));
    for (size_t cut = 0; cut < len; cut++)
        assert_false(frame_get_handed_back(out, cut, &id));
    out[len] = 0;
    assert_false(frame_get_handed_back(out, len + 1, &id));
    out[0] = FRAME_VERDICT;
    assert_false(frame_get_handed_back(out, len, &id));
}

static void test_request_bounds(void **state)
{
    static const char text[PASSWORD_MAX + 1];
    unsigned char out[FRAME_REQUEST_MAX];
    char network[FRAME_NETWORK_MAX + 1];
    struct auth_request r;

    (void)state;
    memset(network, '1', sizeof network);
    r = (struct auth_request){ 1, { text, NAME_TYPED_MAX }, { text, PASSWORD_MAX }, { text, NAME_TYPED_MAX }, SPAN_OF("0123456789abcdef"), { .network = { network, FRAME_NETWORK_MAX } }, false, 0, false, REPORT_NONE };
    assert_int_equal(frame_put_request(out, &r), FRAME_REQUEST_MAX);
    assert_true(request_in(out, FRAME_REQUEST_MAX));
    r.password.len++;
    assert_int_equal(frame_put_request(out, &r), 0);
    r.password.len = 0;
    r.name.len++;
    assert_int_equal(frame_put_request(out, &r), 0);
    r.name.len = 0;
    r.default_domain.len++;
    assert_int_equal(frame_put_request(out, &r), 0);
    r.default_domain.len = 0;
    r.session = SPAN_OF("0123456789abcdef0");
    assert_int_equal(frame_put_request(out, &r), 0);
    r.session = SPAN_OF("1\n2");       /* nothing that could forge a log line */
    assert_false(request_in(out, frame_put_request(out, &r)));

    r.session = SPAN_OF("");
    r.origin.network.len++;
    assert_int_equal(frame_put_request(out, &r), 0);
    r.origin.network = SPAN_OF("1.2.3.4 x");        /* nor one that is no address */
    assert_false(request_in(out, frame_put_request(out, &r)));

    /* A length that is larger than a name may be, all of it there. */
    r = (struct auth_request){ 1, { text, 5 }, { text, NAME_TYPED_MAX + 1 }, { NULL, 0 }, { NULL, 0 }, { .good = true }, false, 0, false, REPORT_NONE };
    size_t len = frame_put_request(out, &r);
    memmove(out + 10, out + 10 + 2 + 5, len - 17);    /* the name's place is taken by the password */
    assert_false(request_in(out, len - 7));
}

static void test_reply(void **state)
{
    unsigned char out[FRAME_REPLY_MAX];
    struct auth_reply r, in = {
        7, AUTH_OK_UNCONFIRMED, INT64_C(281474976710655), SPAN_OF("anna@example.org"), 3,
        { true, false, true, false, SPAN_OF("back at noon"), 600, AUTH_UNSET, 5, INT64_MAX, AUTH_UNSET, 20 },
        { 1700000000000000, 9 }, { "a ticket\377" }, SPAN_OF(""),
    };

    (void)state;
    size_t len = frame_put_reply(out, &in);
    assert_true(frame_get_reply(out, len, &r));
    assert_true(r.id == 7 && r.verdict == AUTH_OK_UNCONFIRMED && mailbox_same(&r.mailbox, &in.mailbox) && span_is(r.address, in.address) && r.guesses == 3);
    assert_true(r.versions.proof == in.versions.proof && r.versions.policy == 9);
    assert_memory_equal(r.ticket.octets, in.ticket.octets, MAILBOX_TICKET);
    assert_true(r.policy.pop3 && !r.policy.tls_only && r.policy.replace_nul && !r.policy.trace);
    assert_true(span_is(r.policy.maintenance, in.policy.maintenance) && r.policy.login_delay == 600 && r.policy.expire == AUTH_UNSET);
    assert_true(r.policy.domain == 5 && r.policy.tenant == INT64_MAX && r.policy.domain_sessions == AUTH_UNSET && r.policy.tenant_sessions == 20);
    for (size_t cut = 0; cut < len; cut++)
        assert_false(reply_in(out, cut));
    out[len] = 0;
    assert_false(reply_in(out, len + 1));
    assert_false(request_in(out, len));
    for (unsigned v = 0; v < 256; v++) {
        out[9] = (unsigned char)v;
        assert_int_equal(reply_in(out, len), v == AUTH_OK_UNCONFIRMED);
    }
    in = (struct auth_reply){ .id = 7, .verdict = AUTH_REFUSED, .address = SPAN_OF("") };
    len = frame_put_reply(out, &in);
    for (unsigned v = 0; v < 256; v++) {
        out[9] = (unsigned char)v;
        assert_int_equal(reply_in(out, len), v > AUTH_OK_UNCONFIRMED && v <= AUTH_BROKEN);
    }
}

/* A mailbox that is at another server, which exists here or not. */
static void test_elsewhere(void **state)
{
    unsigned char out[FRAME_REPLY_MAX];
    struct auth_reply r, in = {
        .id = 7, .verdict = AUTH_ELSEWHERE, .address = SPAN_OF("anna@example.org"), .policy = { .maintenance = SPAN_OF("soon"), .tenant = 3 },
        .elsewhere = SPAN_OF("1 old.example 995 pops proxy2 tls,learn anna smith"),
    };

    (void)state;
    for (int64_t mailbox = 0; mailbox < 2; mailbox++) {
        in.mailbox.number = mailbox;
        size_t len = frame_put_reply(out, &in);
        assert_true(frame_get_reply(out, len, &r) && r.verdict == AUTH_ELSEWHERE && mailbox_same(&r.mailbox, &in.mailbox));
        assert_true(span_is(r.elsewhere, in.elsewhere) && span_is(r.policy.maintenance, in.policy.maintenance) && r.policy.tenant == 3);
        for (size_t cut = 0; cut < len; cut++)
            assert_false(reply_in(out, cut));
    }
    /* What is no server is no verdict. */
    in.elsewhere = SPAN_OF("1 old.example 995 pops proxy2 tls,learn anna\r\nDELE 1");
    assert_false(reply_in(out, frame_put_reply(out, &in)));
    in.elsewhere = SPAN_OF("");
    assert_false(reply_in(out, frame_put_reply(out, &in)));
    in.elsewhere = SPAN_OF("1 old.example 995 pops proxy2 tls anna");
    in.address = SPAN_OF("");
    assert_false(reply_in(out, frame_put_reply(out, &in)));
}

/* What an old server has said of a password. */
static void test_report(void **state)
{
    unsigned char out[FRAME_REQUEST_MAX];
    struct auth_request r, in = { .id = 9, .name = SPAN_OF("anna@example.org"), .password = SPAN_OF("secret"), .origin = { .network = SPAN_OF("192.0.2.1") } };

    (void)state;
    for (enum auth_report report = REPORT_NONE; report <= REPORT_WRONG; report++) {
        in.report = report;
        assert_true(frame_get_request(out, frame_put_request(out, &in), &r) && r.report == report);
    }
    size_t len = frame_put_request(out, &in);
    out[9] |= 12;           /* both at once */
    assert_false(request_in(out, len));
}

/* Verdicts that contradict themselves. */
static void test_reply_sense(void **state)
{
    static const char text[NAME_ADDRESS_MAX + 1];
    unsigned char out[FRAME_REPLY_MAX];
    const struct auth_reply bad[] = {
#define REPLY(v, m, a) { .id = 7, .verdict = (v), .mailbox = { (m) }, .address = SPAN_OF(a) }
        REPLY(AUTH_OK, 0, "a@x"),  REPLY(AUTH_OK, -1, "a@x"), REPLY(AUTH_OK, INT64_MIN, "a@x"),
        REPLY(AUTH_OK, 5, ""),     REPLY(AUTH_REFUSED, 5, "a@x"),
#undef REPLY
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(reply_in(out, frame_put_reply(out, &bad[i])));
    assert_int_equal(frame_put_reply(out, &(struct auth_reply){ .verdict = AUTH_REFUSED, .address = { text, NAME_ADDRESS_MAX + 1 } }), 0);

    /* What a client would be sent, or obeyed. */
    struct auth_reply ok = { .id = 7, .verdict = AUTH_OK, .mailbox = { 5 }, .address = SPAN_OF("a@x"), .policy.maintenance = SPAN_OF("fine") };
    assert_true(reply_in(out, frame_put_reply(out, &ok)));
    ok.policy.maintenance = SPAN_OF("a\r\n+OK");
    assert_false(reply_in(out, frame_put_reply(out, &ok)));
    ok.policy.maintenance = SPAN_OF("");
    ok.policy.login_delay = -2;
    assert_false(reply_in(out, frame_put_reply(out, &ok)));
    ok.policy.login_delay = AUTH_UNSET;
    ok.policy.tenant = -1;
    assert_false(reply_in(out, frame_put_reply(out, &ok)));
}

static bool start_in(const unsigned char *data, size_t len)
{
    struct auth_opening o;
    uint64_t id;
    unsigned char *copy = exact(data, len);
    bool ok = frame_get_start(copy, len, &id, &o);

    free(copy);
    return ok;
}

static bool step_in(const unsigned char *data, size_t len, enum frame_kind kind)
{
    struct auth_step s;
    unsigned char *copy = exact(data, len);
    bool ok = frame_get_step(copy, len, kind, &s);

    free(copy);
    return ok;
}

static bool challenge_in(const unsigned char *data, size_t len)
{
    struct auth_challenge c;
    unsigned char *copy = exact(data, len);
    bool ok = frame_get_challenge(copy, len, &c);

    free(copy);
    return ok;
}

static void test_start(void **state)
{
    static const char text[AUTH_MESSAGE_MAX + 1];
    unsigned char out[FRAME_START_MAX + 1];
    struct auth_opening o, in = {
        .mechanism = MECH_SCRAM_SHA_256_PLUS, .has_initial = true, .initial = SPAN_OF("n,,n=\0"), .default_domain = SPAN_OF("example.org"),
        .session = SPAN_OF("09af"), .exporter = SPAN_OF("e"), .unique = SPAN_OF("uu"), .identity = SPAN_OF("a@x"), .timestamp = SPAN_OF("<1@x>"),
        .origin = { .network = SPAN_OF("192.0.2.1"), .good = true }, .lane = 0x80000001,
    };
    char network[FRAME_NETWORK_MAX + 1];
    uint64_t id;

    (void)state;
    size_t len = frame_put_start(out, UINT64_C(0x8070605040302010), &in);
    assert_int_equal(frame_kind(out, len), FRAME_START);
    assert_true(frame_get_start(out, len, &id, &o));
    assert_true(id == UINT64_C(0x8070605040302010) && o.mechanism == in.mechanism && o.has_initial && span_is(o.initial, in.initial));
    assert_true(span_is(o.default_domain, in.default_domain) && span_is(o.session, in.session) && span_is(o.exporter, in.exporter) &&
                span_is(o.unique, in.unique) && span_is(o.identity, in.identity) && span_is(o.timestamp, in.timestamp));
    assert_true(span_is(o.origin.network, in.origin.network) && o.origin.good && !o.origin.suspect && o.lane == in.lane);
    frame_set_lane(out, len, 7);
    assert_true(frame_get_start(out, len, &id, &o) && o.lane == 7 && o.has_initial && span_is(o.initial, in.initial));
    for (size_t cut = 0; cut < len; cut++)
        assert_false(start_in(out, cut));
    out[len] = 0;
    assert_false(start_in(out, len + 1));
    assert_false(request_in(out, len) || reply_in(out, len) || challenge_in(out, len) || step_in(out, len, FRAME_RESPOND));
    assert_false(o.uncached);
    frame_ask_uncached(out, len);
    assert_true(frame_get_start(out, len, &id, &o) && o.uncached && o.mechanism == in.mechanism && o.lane == 7);
    for (unsigned v = 0; v < 256; v++) {
        out[9] = (unsigned char)v;
        assert_int_equal(start_in(out, len), v < 2);
    }
    out[9] = 0;
    for (unsigned v = 0; v < 256; v++) {
        out[10] = (unsigned char)v;
        assert_int_equal(start_in(out, len), v < MECHANISMS);
    }
    out[10] = MECH_PLAIN;
    out[11] = 2;
    assert_false(start_in(out, len));
    out[11] = 0;        /* none, and yet there is one */
    assert_false(start_in(out, len));

    in = (struct auth_opening){ .mechanism = MECH_LOGIN, .session = SPAN_OF("1\n2") };
    assert_false(start_in(out, frame_put_start(out, 1, &in)));
    in = (struct auth_opening){
        .has_initial = true, .initial = { text, AUTH_MESSAGE_MAX }, .default_domain = { text, NAME_TYPED_MAX }, .session = SPAN_OF("0123456789abcdef"),
        .exporter = { text, FRAME_BINDING_MAX }, .unique = { text, FRAME_BINDING_MAX }, .identity = { text, NAME_ADDRESS_MAX },
        .timestamp = { text, FRAME_TIMESTAMP_MAX }, .origin.network = { network, FRAME_NETWORK_MAX },
    };
    memset(network, '1', sizeof network);
    assert_int_equal(frame_put_start(out, 1, &in), FRAME_START_MAX);
    assert_true(start_in(out, FRAME_START_MAX));
    struct span *parts[] = { &in.initial, &in.default_domain, &in.exporter, &in.unique, &in.identity, &in.timestamp, &in.origin.network };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        parts[i]->len++;
        assert_int_equal(frame_put_start(out, 1, &in), 0);
        parts[i]->len--;
    }
}

static void test_steps(void **state)
{
    static const char text[AUTH_MESSAGE_MAX + 1];
    unsigned char out[FRAME_STEP_MAX + 1];
    struct auth_step s;
    struct auth_challenge c;

    (void)state;
    size_t len = frame_put_step(out, FRAME_RESPOND, &(struct auth_step){ 5, 6, SPAN_OF("a\0b") });
    assert_true(frame_get_step(out, len, FRAME_RESPOND, &s));
    assert_true(s.id == 5 && s.exchange == 6 && span_is(s.response, SPAN_OF("a\0b")));
    for (size_t cut = 0; cut < len; cut++)
        assert_false(step_in(out, cut, FRAME_RESPOND));
    assert_false(step_in(out, len, FRAME_ABORT));
    out[0] = FRAME_ABORT;       /* which carries nothing */
    assert_false(step_in(out, len, FRAME_ABORT));
    len = frame_put_step(out, FRAME_ABORT, &(struct auth_step){ 5, 6, { NULL, 0 } });
    assert_true(step_in(out, len, FRAME_ABORT));
    assert_int_equal(frame_put_step(out, FRAME_RESPOND, &(struct auth_step){ 5, 6, { text, AUTH_MESSAGE_MAX } }), FRAME_STEP_MAX);
    assert_int_equal(frame_put_step(out, FRAME_RESPOND, &(struct auth_step){ 5, 6, { text, AUTH_MESSAGE_MAX + 1 } }), 0);

    len = frame_put_challenge(out, &(struct auth_challenge){ 5, 6, SPAN_OF("r=x") });
    assert_true(frame_get_challenge(out, len, &c));
    assert_true(c.id == 5 && c.exchange == 6 && span_is(c.text, SPAN_OF("r=x")));
    for (size_t cut = 0; cut < len; cut++)
        assert_false(challenge_in(out, cut));
    out[len] = 0;
    assert_false(challenge_in(out, len + 1));
    assert_false(reply_in(out, len));
    assert_false(challenge_in(out, frame_put_challenge(out, &(struct auth_challenge){ 5, 0, SPAN_OF("r=x") })));
    assert_int_equal(frame_put_challenge(out, &(struct auth_challenge){ 5, 6, { text, AUTH_CHALLENGE_MAX + 1 } }), 0);
}

/* Noise: an answer, never a crash. */
static void test_noise(void **state)
{
    unsigned char data[64];

    (void)state;
    srand(1);
    for (int i = 0; i < 200000; i++) {
        size_t len = (size_t)(rand() % (int)(sizeof data + 1));
        for (size_t k = 0; k < len; k++)
            data[k] = (unsigned char)(rand() % 4 == 0 ? rand() : rand() % 4);
        request_in(data, len);
        reply_in(data, len);
        start_in(data, len);
        step_in(data, len, FRAME_RESPOND);
        challenge_in(data, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request), cmocka_unit_test(test_handed_back),     cmocka_unit_test(test_request_bounds), cmocka_unit_test(test_reply),
        cmocka_unit_test(test_elsewhere), cmocka_unit_test(test_report),
        cmocka_unit_test(test_reply_sense), cmocka_unit_test(test_noise),          cmocka_unit_test(test_start),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
