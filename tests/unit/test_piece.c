/* Answers of fetch_parts() that no sound database gives: rows are missing, or in another order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <endian.h>

#include "storage/content/piece_set.h"

enum { COLUMNS = 5 };

struct row {
    int64_t uid;
    int32_t part;
    const char *delivered_to, *data;    /* NULL: null */
};

static void put(PGresult *res, int row, int column, const char *value, size_t len)
{
    char copy[64];

    assert_true(len <= sizeof copy);
    if (value != NULL)
        memcpy(copy, value, len);
    assert_int_equal(PQsetvalue(res, row, column, value != NULL ? copy : NULL, value != NULL ? (int)len : -1), 1);
}

static PGresult *answer(const struct row *rows, int count)
{
    static char name[] = "c";
    PGresAttDesc columns[COLUMNS];
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    memset(columns, 0, sizeof columns);
    for (size_t i = 0; i < COLUMNS; i++)
        columns[i] = (PGresAttDesc){ .name = name, .format = 1 };
    assert_int_equal(PQsetResultAttrs(res, COLUMNS, columns), 1);
    for (int i = 0; i < count; i++) {
        uint64_t uid = htobe64((uint64_t)rows[i].uid);
        uint32_t part = htonl((uint32_t)rows[i].part);

        put(res, i, 0, (const char *)&uid, sizeof uid);
        put(res, i, 1, (const char *)&part, sizeof part);
        put(res, i, 2, rows[i].delivered_to, rows[i].delivered_to != NULL ? strlen(rows[i].delivered_to) : 0);
        put(res, i, 3, rows[i].data, rows[i].data != NULL ? strlen(rows[i].data) : 0);
        put(res, i, 4, NULL, 0);
    }
    return res;
}

/* Messages with the uids 1 to n. */
static struct piece_message message(const void *asked, size_t k)
{
    (void)asked;
    return (struct piece_message){ (int64_t)k + 1, 1000 };
}

static const struct piece_range whole = { .first = 0, .parts = 32, .begins = true, .most = 256000 };

static void whole_messages(void **state)
{
    static const struct row rows[] = { { 1, 0, "a@b", "x" }, { 1, 1, "a@b", "y" }, { 2, 0, NULL, NULL } };
    struct piece_set *set = piece_set_new(answer(rows, 3), message, NULL, 3, &whole);

    (void)state;
    assert_non_null(set);
    assert_int_equal(piece_set_part(set, 0)->octets, strlen("Delivered-To: a@b\r\nxy"));
    assert_false(piece_set_part(set, 0)->broken);
    assert_true(piece_set_part(set, 1)->found);
    assert_int_equal(piece_set_part(set, 1)->octets, 0);
    assert_false(piece_set_part(set, 2)->found);
    piece_release(piece_set_ref(set));
}

/* Its line was written where no room had been counted for it. */
static void first_part_missing(void **state)
{
    static const struct row rows[] = { { 1, 1, "an-address-of-some-length@example.org", "x" }, { 2, 0, "a@b", "y" } };
    struct piece_set *set = piece_set_new(answer(rows, 2), message, NULL, 2, &whole);

    (void)state;
    assert_non_null(set);
    assert_true(piece_set_part(set, 0)->broken);
    assert_int_equal(piece_set_part(set, 0)->count, 0);
    assert_false(piece_set_part(set, 1)->broken);
    assert_int_equal(piece_set_part(set, 1)->octets, strlen("Delivered-To: a@b\r\ny"));
    piece_release(piece_set_ref(set));
}

static void parts_not_in_order(void **state)
{
    static const struct row rows[] = { { 1, 0, NULL, "x" }, { 1, 2, NULL, "z" }, { 2, 0, NULL, "y" }, { 2, -1, NULL, "y" } };
    static const struct row stranger[] = { { 2, 0, NULL, "x" }, { 1, 0, NULL, "x" } };
    struct piece_set *set = piece_set_new(answer(rows, 4), message, NULL, 2, &whole);

    (void)state;
    assert_non_null(set);
    assert_true(piece_set_part(set, 0)->broken);
    assert_true(piece_set_part(set, 1)->broken);
    piece_release(piece_set_ref(set));
    assert_null(piece_set_new(answer(stranger, 2), message, NULL, 2, &whole));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_messages),
        cmocka_unit_test(first_part_missing),
        cmocka_unit_test(parts_not_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
