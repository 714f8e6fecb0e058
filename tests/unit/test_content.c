/* The stored form: arithmetic, digests, and parts that have a codec, with one that turns octets round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <endian.h>

#include "storage/content/check.h"
#include "storage/content/codec.h"
#include "storage/content/content.h"
#include "storage/content/piece_set.h"

enum { TURNED = 7, UNKNOWN = 8, COLUMNS = 5 };

static ssize_t turn(struct span stored, char *room)
{
    if (stored.len > 0 && stored.at[0] == '!')
        return -1;
    for (size_t i = 0; i < stored.len; i++)
        room[i] = stored.at[stored.len - 1 - i];
    return (ssize_t)stored.len;
}

/* In place of the table of storage/content/codecs.c. */
const struct codec codecs[] = { { TURNED, "turned", turn }, { 0, NULL, NULL } };

struct row {
    int64_t uid;
    int32_t part, codec;
    const char *data;
};

static void put(PGresult *res, int row, int column, const void *value, size_t len)
{
    char copy[64];

    assert_true(len <= sizeof copy);
    if (value != NULL)
        memcpy(copy, value, len);
    assert_int_equal(PQsetvalue(res, row, column, value != NULL ? copy : NULL, value != NULL ? (int)len : -1), 1);
}

/* Of fetch_parts(); the messages have a Delivered-To line. */
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
        uint32_t part = htonl((uint32_t)rows[i].part), codec = htonl((uint32_t)rows[i].codec);

        put(res, i, 0, &uid, sizeof uid);
        put(res, i, 1, &part, sizeof part);
        put(res, i, 2, "a@b", 3);
        put(res, i, 3, rows[i].data, strlen(rows[i].data));
        put(res, i, 4, rows[i].codec != CODEC_PLAIN ? &codec : NULL, sizeof codec);
    }
    return res;
}

static int64_t uid(const void *asked, size_t k)
{
    (void)asked;
    return (int64_t)k + 1;
}

static void expect_octets(const struct piece_part *part, const char *wanted)
{
    char all[200];
    size_t len = 0;

    assert_false(part->broken);
    for (size_t i = 0; i < part->count; i++) {
        memcpy(all + len, part->spans[i].at, part->spans[i].len);
        len += part->spans[i].len;
    }
    assert_int_equal(len, part->octets);
    assert_int_equal(len, strlen(wanted));
    assert_memory_equal(all, wanted, len);
}

static void messages_with_codecs(void **state)
{
    static const struct row rows[] = {
        { 1, 0, TURNED, "cba" }, { 1, 1, CODEC_PLAIN, "def" }, { 1, 2, TURNED, "ihg" },
        { 2, 0, UNKNOWN, "x" }, { 2, 1, CODEC_PLAIN, "y" },
        { 3, 0, CODEC_PLAIN, "x" }, { 3, 1, TURNED, "!" },
        { 4, 0, TURNED, "zyx" },
    };
    static const struct row later[] = { { 1, 5, TURNED, "cba" }, { 1, 6, TURNED, "fed" } };
    struct piece_set *set = piece_set_new(answer(rows, 8), uid, NULL, 4, 0);

    (void)state;
    assert_non_null(set);
    expect_octets(piece_set_part(set, 0), "Delivered-To: a@b\r\nabcdefghi");
    assert_int_equal(piece_set_part(set, 0)->rows, 3);
    assert_true(piece_set_part(set, 1)->broken);
    assert_true(piece_set_part(set, 2)->broken);
    expect_octets(piece_set_part(set, 3), "Delivered-To: a@b\r\nxyz");
    piece_release(piece_set_ref(set));

    set = piece_set_new(answer(later, 2), uid, NULL, 1, 5);
    expect_octets(piece_set_part(set, 0), "abcdef");
    piece_release(piece_set_ref(set));
}

static void begin(struct content_check *check, const char *octets)
{
    unsigned char digest[CONTENT_DIGEST];

    content_digest(span_str(octets), digest);
    content_check_begin(check, (int64_t)strlen(octets), (struct span){ (const char *)digest, sizeof digest });
}

static void expect_damage(struct content_check *check, const char *wanted)
{
    char why[100];

    assert_false(content_check_end(check, why, sizeof why));
    assert_string_equal(why, wanted);
}

static void contents_checked(void **state)
{
    struct content_check check;
    char why[100];

    (void)state;
    begin(&check, "abcdef");
    content_check_part(&check, 0, TURNED, SPAN_OF("cba"));
    content_check_part(&check, 1, CODEC_PLAIN, SPAN_OF("def"));
    assert_true(content_check_end(&check, why, sizeof why));
    begin(&check, "");
    assert_true(content_check_end(&check, why, sizeof why));

    begin(&check, "abc");
    content_check_part(&check, 0, CODEC_PLAIN, SPAN_OF("a"));
    content_check_part(&check, 2, UNKNOWN, SPAN_OF("c"));
    expect_damage(&check, "part 1 is missing");
    begin(&check, "abc");
    content_check_part(&check, 0, CODEC_PLAIN, SPAN_OF("a"));
    content_check_part(&check, 1, UNKNOWN, SPAN_OF("b"));
    content_check_part(&check, 2, CODEC_PLAIN, SPAN_OF("c"));
    expect_damage(&check, "part 1 cannot be decoded");
    begin(&check, "abc");
    content_check_part(&check, 0, CODEC_PLAIN, SPAN_OF("ab"));
    expect_damage(&check, "has 2 octets, should have 3");
    begin(&check, "abc");
    content_check_part(&check, 0, CODEC_PLAIN, SPAN_OF("abd"));
    expect_damage(&check, "its octets do not have its digest");
}

static void arithmetic(void **state)
{
    struct buf room = BUF_EMPTY;
    struct span run = content_run(SPAN_OF("abc"), &room);

    (void)state;
    assert_int_equal(content_whole(PART_OCTETS - 1), 0);
    assert_int_equal(content_whole(PART_OCTETS), PART_OCTETS);
    assert_int_equal(content_whole(3 * PART_OCTETS + 1), 3 * PART_OCTETS);
    assert_int_equal(content_part_at(0), 0);
    assert_int_equal(content_part_at(5ull * PART_OCTETS), 5);
    assert_int_equal(content_part_at((uint64_t)INT32_MAX * PART_OCTETS), INT32_MAX);
    assert_true(span_is(run, SPAN_OF("abc")));
    buf_free(&room);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_with_codecs),
        cmocka_unit_test(contents_checked),
        cmocka_unit_test(arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
