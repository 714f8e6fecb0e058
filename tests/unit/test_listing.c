/*
 * Listings and their cache: the arrays of the database become messages, or an
 * error; what is appended or removed leaves the rest as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/mem.h"
#include "storage/maildrop/drop.h"
#include "storage/maildrop/listing.h"
#include "storage/maildrop/listing_cache.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

#define NO_ARRAY ((struct span){ NULL, 0 })

static struct span numbers(struct buf *b, const int64_t *values, size_t n)
{
    buf_clear(b);
    pg_array_put_head(b, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        pg_array_put_int8(b, values[i]);
    return buf_span(b);
}

static void put_u32(struct buf *b, uint32_t v)
{
    unsigned char be[4] = { (unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v };
    buf_add(b, be, sizeof be);
}

static struct span texts(struct buf *b, const char *const *values, size_t n)
{
    buf_clear(b);
    put_u32(b, 1);
    put_u32(b, 1);
    put_u32(b, PG_TEXT);
    put_u32(b, (uint32_t)n);
    put_u32(b, 1);
    for (size_t i = 0; i < n; i++) {
        put_u32(b, values[i] != NULL ? (uint32_t)strlen(values[i]) : UINT32_MAX);
        if (values[i] != NULL)
            buf_add_str(b, values[i]);
    }
    return buf_span(b);
}

/* A listing of n messages from these arrays; uidls may be NULL. */
static struct listing *decode(const struct listing_state *state, const struct listing *before, const int64_t *uids,
                              const int64_t *octets, const char *const *uidls, size_t n)
{
    struct buf u = BUF_EMPTY, o = BUF_EMPTY, t = BUF_EMPTY;
    const char *error = NULL;
    struct listing *l = listing_decode(state, before, numbers(&u, uids, n), numbers(&o, octets, n),
                                       uidls != NULL ? texts(&t, uidls, n) : NO_ARRAY, &error);
    if (l == NULL)
        assert_non_null(error);
    buf_free(&u);
    buf_free(&o);
    buf_free(&t);
    return l;
}

static void expect_uidl(const struct listing *l, size_t i, const char *wanted)
{
    char out[UIDL_MAX + 1];
    size_t len = listing_uidl(l, i, out);
    assert_in_range(len, 1, UIDL_MAX);
    out[len] = '\0';
    assert_string_equal(out, wanted);
}

static const struct listing_state state0 = { 0x00ab12cd34ef, 1000, 7 };

static void plain(void **state)
{
    static const int64_t uids[] = { 3, 4, 900 }, octets[] = { 0, 1, 4000000 };
    struct listing *l = decode(&state0, NULL, uids, octets, NULL, 3);

    (void)state;
    assert_non_null(l);
    assert_int_equal(listing_count(l), 3);
    assert_int_equal(listing_octets(l), 4000001);
    assert_int_equal(listing_uid(l, 2), 900);
    assert_int_equal(listing_message_octets(l, 2), 4000000);
    /* The form of a native UIDL is for ever: clients keep it. */
    expect_uidl(l, 0, "00ab12cd34ef.3");
    expect_uidl(l, 2, "00ab12cd34ef.900");
    listing_release(&l);
    assert_null(l);
}

static void empty(void **state)
{
    const char *error;
    struct listing *l = listing_decode(&state0, NULL, NO_ARRAY, NO_ARRAY, NO_ARRAY, &error);

    (void)state;
    assert_non_null(l);
    assert_int_equal(listing_count(l), 0);
    assert_int_equal(listing_octets(l), 0);
    listing_release(&l);
}

static void own_uidls(void **state)
{
    static const int64_t uids[] = { 1, 2, 3 }, octets[] = { 5, 5, 5 };
    char longest[UIDL_MAX + 1];
    memset(longest, '~', UIDL_MAX);
    longest[UIDL_MAX] = '\0';
    const char *const own[] = { longest, NULL, "!\303\244" };
    struct listing *l = decode(&state0, NULL, uids, octets, own, 3);

    (void)state;
    assert_non_null(l);
    expect_uidl(l, 0, longest);
    expect_uidl(l, 1, "00ab12cd34ef.2");
    expect_uidl(l, 2, "!\303\244");
    listing_release(&l);
}

static void large_numbers(void **state)
{
    const struct listing_state far = { (INT64_C(1) << 48) - 1, INT64_MAX, 0 };
    const int64_t uids[] = { 1, INT64_MAX - 1 }, octets[] = { INT64_C(5000000000), 1 };
    struct listing *l = decode(&far, NULL, uids, octets, NULL, 2);

    (void)state;
    assert_non_null(l);
    assert_true(listing_uid(l, 1) == INT64_MAX - 1);
    assert_true(listing_message_octets(l, 0) == UINT64_C(5000000000));
    expect_uidl(l, 1, "ffffffffffff.9223372036854775806");
    listing_release(&l);
}

static void appended(void **state)
{
    static const int64_t uids[] = { 1, 5 }, octets[] = { 10, 20 }, new_uids[] = { 6, 7 };
    static const int64_t new_octets[] = { 30, INT64_C(6000000000) };
    static const char *const own[] = { NULL, "imported" };
    const struct listing_state later = { state0.uidvalidity, 1001, state0.expunges };
    struct listing *a = decode(&state0, NULL, uids, octets, NULL, 2);
    struct listing *b = decode(&later, a, new_uids, new_octets, own, 2);    /* narrow becomes wide, and gets UIDLs */
    struct listing *c = decode(&later, b, (const int64_t[]){ 8 }, (const int64_t[]){ 1 }, NULL, 1);

    (void)state;
    assert_non_null(b);
    assert_int_equal(listing_count(a), 2);
    assert_int_equal(listing_count(b), 4);
    assert_true(listing_octets(b) == UINT64_C(6000000060));
    assert_int_equal(listing_state(b)->next_uid, 1001);
    expect_uidl(b, 0, "00ab12cd34ef.1");
    expect_uidl(b, 3, "imported");
    assert_non_null(c);
    expect_uidl(c, 3, "imported");
    expect_uidl(c, 4, "00ab12cd34ef.8");
    assert_true(listing_message_octets(c, 3) == UINT64_C(6000000000));
    listing_release(&a);
    listing_release(&b);
    listing_release(&c);
}

static void without_the_marked(void **state)
{
    static const int64_t uids[] = { 1, 5, 9 }, octets[] = { 10, 20, 40 };
    static const char *const own[] = { "a", "b", "c" };
    struct listing *l = decode(&state0, NULL, uids, octets, own, 3);
    struct listing *left = listing_without(l, (const unsigned char[]){ 1, 0, 1 });
    struct listing *none = listing_without(l, (const unsigned char[]){ 1, 1, 1 });

    (void)state;
    assert_int_equal(listing_count(left), 1);
    assert_int_equal(listing_octets(left), 20);
    assert_int_equal(listing_uid(left, 0), 5);
    expect_uidl(left, 0, "b");
    assert_int_equal(listing_state(left)->expunges, state0.expunges + 1);
    assert_int_equal(listing_state(left)->next_uid, state0.next_uid);
    assert_int_equal(listing_count(none), 0);
    listing_release(&l);
    listing_release(&left);
    listing_release(&none);
}

static void nonsense_is_refused(void **state)
{
    static const int64_t up[] = { 1, 2 }, down[] = { 2, 1 }, twice[] = { 2, 2 }, zero[] = { 0, 1 };
    static const int64_t octets[] = { 1, 1 }, negative[] = { 1, -1 }, huge[] = { INT64_MAX, INT64_MAX };
    static const int64_t late[] = { 1, 1000 };
    static const char *const blank[] = { "a b", NULL }, *const nothing[] = { "", NULL }, *const high[] = { "\303(", NULL },
                      *const control[] = { "a\177", NULL };
    const struct listing_state no_validity = { -1, 1000, 0 }, wide_validity = { INT64_C(1) << 48, 1000, 0 };
    struct buf u = BUF_EMPTY, o = BUF_EMPTY;
    const char *error = NULL;

    (void)state;
    assert_null(decode(&state0, NULL, down, octets, NULL, 2));
    assert_null(decode(&state0, NULL, twice, octets, NULL, 2));
    assert_null(decode(&state0, NULL, zero, octets, NULL, 2));
    assert_null(decode(&state0, NULL, late, octets, NULL, 2));
    assert_null(decode(&state0, NULL, up, negative, NULL, 2));
    assert_null(decode(&state0, NULL, up, octets, blank, 2));
    assert_null(decode(&state0, NULL, up, octets, nothing, 2));
    assert_null(decode(&state0, NULL, up, octets, high, 2));
    assert_null(decode(&state0, NULL, up, octets, control, 2));
    assert_null(decode(&no_validity, NULL, up, octets, NULL, 2));
    assert_null(decode(&wide_validity, NULL, up, octets, NULL, 2));
    struct listing *two = decode(&state0, NULL, up, huge, NULL, 2);     /* their sum just fits in 64 bits */
    assert_non_null(two);
    assert_null(decode(&state0, two, (const int64_t[]){ 3 }, (const int64_t[]){ INT64_MAX }, NULL, 1));
    assert_null(decode(&state0, two, up, octets, NULL, 2));             /* not behind what is there */
    listing_release(&two);
    assert_null(listing_decode(&state0, NULL, numbers(&u, up, 2), numbers(&o, octets, 1), NO_ARRAY, &error));
    assert_null(listing_decode(&state0, NULL, numbers(&u, up, 2), NO_ARRAY, NO_ARRAY, &error));
    assert_null(listing_decode(&state0, NULL, numbers(&u, up, 2), (struct span){ "x", 1 }, NO_ARRAY, &error));
    buf_free(&u);
    buf_free(&o);
}

/* What INSTALL and the option listing_cache count with. */
static void memory_of_large_ones(void **state)
{
    (void)state;
    for (size_t n = 20000; n <= 100000; n += 80000) {
        int64_t *uids = mem_array(n, sizeof *uids), *octets = mem_array(n, sizeof *octets);
        const struct listing_state s = { 1, (int64_t)n + 1, 0 };
        for (size_t i = 0; i < n; i++) {
            uids[i] = (int64_t)i + 1;
            octets[i] = 2000;
        }
        struct listing *l = decode(&s, NULL, uids, octets, NULL, n);
        assert_in_range(listing_memory(l), n * 8, n * 8 + 200);
        listing_release(&l);
        mem_free(uids);
        mem_free(octets);
    }
}

static struct listing *of_size(size_t n)
{
    int64_t uids[64], octets[64];
    for (size_t i = 0; i < n; i++) {
        uids[i] = (int64_t)i + 1;
        octets[i] = 1;
    }
    return decode(&state0, NULL, uids, octets, NULL, n);
}

#define BOX(n) (&(struct mailbox_ref){ .number = (n) })

static bool cached(struct listing_cache *c, int64_t mailbox)
{
    struct listing *l = listing_cache_get(c, BOX(mailbox), 1);
    bool there = l != NULL;
    listing_release(&l);
    return there;
}

static void cache_keeps_what_was_used_last(void **state)
{
    struct listing *l = of_size(10);
    size_t each;

    (void)state;
    struct listing_cache *c = listing_cache_new(1 << 20);
    listing_cache_put(c, BOX(1), 1, l);
    each = listing_cache_octets(c);
    assert_in_range(each, listing_memory(l), listing_memory(l) + 100);
    listing_cache_free(&c);

    c = listing_cache_new(3 * each);
    for (int64_t m = 1; m <= 3; m++)
        listing_cache_put(c, BOX(m), 1, l);
    assert_true(cached(c, 1));
    listing_cache_put(c, BOX(4), 1, l);
    assert_true(cached(c, 1));
    assert_false(cached(c, 2));
    assert_true(cached(c, 3));
    assert_true(cached(c, 4));
    assert_true(listing_cache_octets(c) <= 3 * each);
    /* In place of: nothing is counted twice, and what is held lives on. */
    struct listing *other = of_size(12), *held = listing_cache_get(c, BOX(4), 1);
    listing_cache_put(c, BOX(4), 1, other);
    assert_true(held == l);
    listing_release(&held);
    held = listing_cache_get(c, BOX(4), 1);
    assert_true(held == other);
    listing_release(&held);
    listing_release(&other);
    listing_cache_free(&c);
    assert_int_equal(listing_count(l), 10);
    listing_release(&l);
}

/* What one server knew may be another message on the next one. */
static void cache_of_another_server(void **state)
{
    struct listing *l = of_size(10);

    (void)state;
    struct listing_cache *c = listing_cache_new(1 << 20);
    listing_cache_put(c, BOX(1), 1, l);
    assert_null(listing_cache_get(c, BOX(1), 2));
    assert_int_equal(listing_cache_octets(c), 0);
    listing_cache_put(c, BOX(1), 1, l);
    listing_cache_put(c, BOX(1), 2, l);
    assert_null(listing_cache_get(c, BOX(1), 1));
    listing_cache_free(&c);
    listing_release(&l);
}

static void cache_bounds(void **state)
{
    struct listing_cache *none = listing_cache_new(0), *many = listing_cache_new(1 << 20);
    struct listing *l = of_size(50);

    (void)state;
    listing_cache_put(none, BOX(1), 1, l);
    assert_false(cached(none, 1));
    assert_int_equal(listing_cache_octets(none), 0);
    for (int64_t m = 0; m < 5000; m++)
        listing_cache_put(many, BOX(m * 16), 1, l);
    assert_true(listing_cache_octets(many) <= 1 << 20);
    assert_false(cached(many, 0));
    assert_true(cached(many, 4999 * 16));
    listing_release(&l);
    listing_cache_free(&none);
    listing_cache_free(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(empty),
        cmocka_unit_test(own_uidls),
        cmocka_unit_test(large_numbers),
        cmocka_unit_test(appended),
        cmocka_unit_test(without_the_marked),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(memory_of_large_ones),
        cmocka_unit_test(cache_keeps_what_was_used_last),
        cmocka_unit_test(cache_of_another_server),
        cmocka_unit_test(cache_bounds),
    };
    return cmocka_run_group_tests_name("listing", tests, NULL, NULL);
}
