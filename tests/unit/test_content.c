/*
 * The stored form: arithmetic, digests, runs, and segments that are coded: what was
 * stored comes out, and of what was not, nothing that could be taken for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <endian.h>
#include <zstd.h>

#include "daemon/base/mem.h"
#include "storage/content/check.h"
#include "storage/content/codec.h"
#include "storage/content/content.h"
#include "storage/content/piece_set.h"
#include "storage/content/run.h"
#include "storage/content/segment.h"

enum { UNKNOWN = 8, COLUMNS = 5, HEAD = 4, PARTS = 64 };

/* ---- octets, and what is stored of them */

/* Lines that differ, and get shorter. */
static char *text_new(size_t len)
{
    char *text = mem_alloc(len + 100);

    for (size_t at = 0, n = 0; at < len; n++)
        at += (size_t)snprintf(text + at, 100, "%06zu the quick brown fox jumps over the lazy dog, %zu times\r\n", n, n * n % 971);
    return text;
}

static char *noise_new(size_t len)
{
    char *noise = mem_alloc(len + 1);
    uint32_t seed = 1;

    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        noise[i] = (char)(seed >> 16);
    }
    return noise;
}

/* As the database has it. */
struct row {
    int64_t uid;
    int32_t part, codec;
    struct span data;
};
struct stored {
    struct row rows[PARTS];
    int count;
};

/* What postern.parts_of() and coded_parts() make of a run. */
static void store(struct stored *s, int64_t uid, struct span run, size_t octets)
{
    bool coded = run.len < octets;

    for (int32_t first = 0; run.len > 0; first += SEGMENT_PARTS) {
        const unsigned char *at = (const unsigned char *)run.at;
        size_t len = run.len < SEGMENT_OCTETS ? run.len : SEGMENT_OCTETS;
        int32_t codec = CODEC_PLAIN;
        if (coded) {
            codec = at[0];
            len = (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
            run.at += HEAD;
            run.len -= HEAD;
        }
        for (size_t i = 0; i * PART_OCTETS < len; i++) {
            size_t left = len - i * PART_OCTETS;
            assert_true(s->count < PARTS);
            s->rows[s->count++] = (struct row){ uid, first + (int32_t)i, codec,
                                                { run.at + i * PART_OCTETS, left < PART_OCTETS ? left : PART_OCTETS } };
        }
        run.at += len;
        run.len -= len;
    }
}

static void put(PGresult *res, int row, int column, const void *value, size_t len)
{
    char *copy = mem_alloc(len + 1);

    if (value != NULL && len > 0)
        memcpy(copy, value, len);
    assert_int_equal(PQsetvalue(res, row, column, value != NULL ? copy : NULL, value != NULL ? (int)len : -1), 1);
    mem_free(copy);
}

/* Of fetch_parts(), for this range; the messages have a Delivered-To line. */
static PGresult *answer(const struct stored *s, const struct piece_range *range)
{
    static char name[] = "c";
    PGresAttDesc columns[COLUMNS];
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    memset(columns, 0, sizeof columns);
    for (size_t i = 0; i < COLUMNS; i++)
        columns[i] = (PGresAttDesc){ .name = name, .format = 1 };
    assert_int_equal(PQsetResultAttrs(res, COLUMNS, columns), 1);
    for (int i = 0, n = 0; i < s->count; i++) {
        const struct row *row = &s->rows[i];
        uint64_t uid = htobe64((uint64_t)row->uid);
        uint32_t part = htonl((uint32_t)row->part), codec = htonl((uint32_t)row->codec);

        if (row->part < (int32_t)range->first || row->part >= (int32_t)(range->first + range->parts))
            continue;
        put(res, n, 0, &uid, sizeof uid);
        put(res, n, 1, &part, sizeof part);
        put(res, n, 2, "a@b", 3);
        put(res, n, 3, row->data.at, row->data.len);
        put(res, n++, 4, row->codec != CODEC_PLAIN ? &codec : NULL, sizeof codec);
    }
    return res;
}

static const char line[] = "Delivered-To: a@b\r\n";
enum { LINE = sizeof line - 1 };

static struct piece_message message(const void *asked, size_t k)
{
    return (struct piece_message){ (int64_t)k + 1, *(const uint64_t *)asked };
}

static const struct piece_range whole = { .first = 0, .parts = 32, .begins = true, .most = 256000 };

/* Reads message 1 as a session does, `parts` at a time; its octets are at least as many as these. */
static bool read_whole(const struct stored *s, uint32_t parts, struct span octets, struct buf *out)
{
    uint64_t wanted = octets.len + LINE;
    struct piece_range range = { .parts = parts, .begins = true, .most = (uint64_t)parts * PART_OCTETS };

    buf_clear(out);
    for (int n = 0; buf_left(out) < wanted; n++) {
        uint64_t left = wanted - buf_left(out);
        struct piece_set *set = piece_set_new(answer(s, &range), message, &left, 1, &range);
        const struct piece_part *part = piece_set_part(set, 0);
        bool good = part->found && !part->broken && (part->cut || part->next == range.first + range.parts ||
                                                     buf_left(out) + part->octets == wanted);
        assert_true(n < 1000);
        /* P7 */
        assert_true(part->octets <= range.most + LINE);
        for (size_t i = 0; i < part->count; i++)
            buf_add(out, part->spans[i].at, part->spans[i].len);
        range.first = part->next;
        range.skip = part->next_skip;
        range.parts = part->cut && parts < SEGMENT_PARTS ? SEGMENT_PARTS : parts;
        range.begins = buf_left(out) == 0;
        piece_release(piece_set_ref(set));
        if (!good)
            return false;
    }
    assert_int_equal(piece_octets(), 0);
    struct span all = buf_span(out);
    return all.len == wanted && all.len >= LINE && span_is((struct span){ all.at, LINE }, SPAN_OF(line)) &&
           span_is((struct span){ all.at + LINE, all.len - LINE }, octets);
}

static bool is_whole(const struct stored *s, struct span octets, int64_t stored, char *why, size_t size)
{
    struct content_check check;
    unsigned char digest[CONTENT_DIGEST];

    content_digest(octets, digest);
    content_check_begin(&check, (int64_t)octets.len, stored, (struct span){ (const char *)digest, sizeof digest });
    for (int i = 0; i < s->count; i++)
        content_check_part(&check, s->rows[i].part, s->rows[i].codec, s->rows[i].data);
    return content_check_end(&check, why, size);
}

/* ---- what was stored comes out */

static void round_trip(struct span octets)
{
    static const uint32_t at_once[] = { 1, 8, 32 };
    struct buf room = BUF_EMPTY, out = BUF_EMPTY;
    struct span run = run_of(octets, CODEC_ZSTD, &room);
    struct stored s = { .count = 0 };
    int64_t stored = 0;
    char why[100];

    assert_true(run.len <= octets.len);
    assert_true(run_holds(run, octets));
    store(&s, 1, run, octets.len);
    for (size_t i = 0; i < sizeof at_once / sizeof at_once[0]; i++)
        assert_true(read_whole(&s, at_once[i], octets, &out));
    for (int i = 0; i < s.count; i++)
        stored += (int64_t)s.rows[i].data.len;
    assert_true(is_whole(&s, octets, stored, why, sizeof why));
    assert_false(is_whole(&s, octets, stored + 1, why, sizeof why));
    buf_free(&room);
    buf_free(&out);
}

static void sizes_at_the_edges(void **state)
{
    static const size_t sizes[] = { 1, 2, 100, 7899, 7900, 7901, 7999, 8000, 8001, 63999, 64000, 64001, 71900,
                                    127999, 128000, 128001, 255999, 256000, 256001, 262144, 320000 };
    char *text = text_new(320000), *noise = noise_new(320000);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        round_trip((struct span){ text, sizes[i] });
        round_trip((struct span){ noise, sizes[i] });
    }
    /* Both, in one content: text, a segment that stays as it is, text. */
    memcpy(text + 70000, noise, 150000);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        round_trip((struct span){ text, sizes[i] });
    memset(text, 'x', 320000);
    round_trip((struct span){ text, 320000 });
    mem_free(text);
    mem_free(noise);
}

static void what_hardly_shrinks_stays(void **state)
{
    struct buf room = BUF_EMPTY;
    char *noise = noise_new(200000), *text = text_new(200000);

    (void)state;
    assert_ptr_equal(run_of((struct span){ noise, 200000 }, CODEC_ZSTD, &room).at, noise);
    assert_ptr_equal(run_of((struct span){ text, 200000 }, CODEC_PLAIN, &room).at, text);
    assert_ptr_equal(run_of((struct span){ text, 1 }, CODEC_ZSTD, &room).at, text);
    assert_int_equal(run_of((struct span){ text, 0 }, CODEC_ZSTD, &room).len, 0);
    assert_true(run_of((struct span){ text, 200000 }, CODEC_ZSTD, &room).len < 100000);
    buf_free(&room);
    mem_free(noise);
    mem_free(text);
}

/* TOP: a header is read from the first part, whatever is behind it, and in whatever form. */
static void beginnings(void **state)
{
    static const struct piece_range beginning = { .first = 0, .parts = 1, .begins = true, .most = PART_OCTETS };
    char *text = text_new(200000), *noise = noise_new(200000);
    uint64_t wanted = 200000 + LINE;
    struct buf room = BUF_EMPTY;

    (void)state;
    memcpy(text + 9000, noise, 50000);
    for (int n = 0; n < 2; n++) {
        struct stored s = { .count = 0 };
        struct piece_set *set;

        if (n == 1)
            memset(text + 3000, 'x', 190000);
        store(&s, 1, run_of((struct span){ text, 200000 }, CODEC_ZSTD, &room), 200000);
        assert_int_equal(s.rows[0].codec, CODEC_ZSTD);
        set = piece_set_new(answer(&s, &beginning), message, &wanted, 1, &beginning);
        assert_true(piece_set_part(set, 0)->cut);
        assert_int_equal(piece_set_part(set, 0)->next, 0);
        /* No more than of a plain one, though the whole segment may be in this part. */
        assert_in_range(piece_set_part(set, 0)->octets - LINE, 7000, PART_OCTETS);
        assert_int_equal(piece_set_part(set, 0)->next_skip, piece_set_part(set, 0)->octets - LINE);
        assert_memory_equal(piece_set_part(set, 0)->spans[1].at, text, piece_set_part(set, 0)->spans[1].len);
        piece_release(piece_set_ref(set));
    }
    buf_free(&room);
    mem_free(text);
    mem_free(noise);
}

/* A reader that has come to part 3 of plain ones, and finds that they were coded meanwhile, is told; by its octets it goes on. */
static void recoded_meanwhile(void **state)
{
    static const struct piece_range by_part = { .first = 3, .parts = 32, .most = 256000 };
    static const struct piece_range by_octets = { .first = 0, .parts = 32, .skip = 24000, .most = 256000 };
    char *text = text_new(100000);
    uint64_t left = 100000 - 24000;
    struct stored plain = { .count = 0 }, coded = { .count = 0 };
    const struct stored *both[] = { &plain, &coded };
    struct buf room = BUF_EMPTY;
    struct piece_set *set;

    (void)state;
    store(&plain, 1, (struct span){ text, 100000 }, 100000);
    store(&coded, 1, run_of((struct span){ text, 100000 }, CODEC_ZSTD, &room), 100000);
    set = piece_set_new(answer(&coded, &by_part), message, &left, 1, &by_part);
    assert_true(piece_set_part(set, 0)->broken);
    piece_release(piece_set_ref(set));
    for (int n = 0; n < 2; n++) {
        struct buf out = BUF_EMPTY;
        set = piece_set_new(answer(both[n], &by_octets), message, &left, 1, &by_octets);
        assert_false(piece_set_part(set, 0)->broken);
        for (size_t i = 0; i < piece_set_part(set, 0)->count; i++)
            buf_add(&out, piece_set_part(set, 0)->spans[i].at, piece_set_part(set, 0)->spans[i].len);
        assert_int_equal(buf_left(&out), left);
        assert_memory_equal(buf_span(&out).at, text + 24000, left);
        piece_release(piece_set_ref(set));
        buf_free(&out);
    }
    buf_free(&room);
    mem_free(text);
}

/* ---- what was not stored does not */

static void expect_damage(const struct stored *s, struct span octets, const char *wanted)
{
    struct buf out = BUF_EMPTY;
    char why[100];

    for (uint32_t parts = 1; parts <= 32; parts += 31)
        assert_false(read_whole(s, parts, octets, &out));
    assert_int_equal(piece_octets(), 0);
    assert_false(is_whole(s, octets, 0, why, sizeof why));
    if (wanted != NULL)
        assert_string_equal(why, wanted);
    buf_free(&out);
}

static void damaged(void **state)
{
    char *text = text_new(100000);
    const struct span octets = { text, 100000 };
    struct buf room = BUF_EMPTY;
    struct stored sound = { .count = 0 }, s;
    char *copy;
    int last;

    (void)state;
    /* So that both segments have several parts. */
    for (size_t i = 0; i < octets.len; i += 3)
        text[i] = (char)(text[i] + (char)(i * i / 7));
    store(&sound, 1, run_of(octets, CODEC_ZSTD, &room), octets.len);
    for (last = 0; sound.rows[last + 1].part < SEGMENT_PARTS; last++)
        continue;
    assert_true(last >= 2 && last < sound.count - 2);

    s = sound;                          /* the end of a segment is missing */
    s.rows[last].data.len -= 5;
    expect_damage(&s, octets, "part 0 cannot be decoded");
    s = sound;                          /* and all of its last part */
    memmove(&s.rows[last], &s.rows[last + 1], (size_t)(--s.count - last) * sizeof s.rows[0]);
    expect_damage(&s, octets, "part 0 cannot be decoded");
    s = sound;                          /* a part within it */
    memmove(&s.rows[1], &s.rows[2], (size_t)(--s.count - 1) * sizeof s.rows[0]);
    expect_damage(&s, octets, NULL);
    s = sound;                          /* all of it */
    memmove(&s.rows[0], &s.rows[last + 1], (size_t)(s.count - last - 1) * sizeof s.rows[0]);
    s.count -= last + 1;
    expect_damage(&s, octets, "part 0 is missing");
    s = sound;                          /* the last segment */
    s.count = last + 1;
    expect_damage(&s, octets, "has 64000 octets, should have 100000");
    s = sound;                          /* garbage */
    s.rows[0].data = (struct span){ text, 8000 };
    expect_damage(&s, octets, "part 0 cannot be decoded");
    s = sound;                          /* something behind it */
    copy = mem_alloc(s.rows[last].data.len + 1);
    memcpy(copy, s.rows[last].data.at, s.rows[last].data.len);
    copy[s.rows[last].data.len] = 0;
    s.rows[last].data = (struct span){ copy, s.rows[last].data.len + 1 };
    expect_damage(&s, octets, "part 0 cannot be decoded");
    mem_free(copy);
    s = sound;                          /* a codec that nobody knows */
    for (int i = 0; i <= last; i++)
        s.rows[i].codec = UNKNOWN;
    expect_damage(&s, octets, "part 0 cannot be decoded");
    s = sound;                          /* where no segment begins */
    for (int i = 0; i <= last; i++)
        s.rows[i].part++;
    expect_damage(&s, octets, NULL);
    s = sound;                          /* twice */
    s.rows[1] = s.rows[0];
    expect_damage(&s, octets, NULL);
    s = sound;                          /* of another content of the same length, nearly */
    s.rows[0].codec = CODEC_PLAIN;
    expect_damage(&s, octets, NULL);
    s = sound;
    s.rows[1].codec = CODEC_PLAIN;
    expect_damage(&s, octets, NULL);
    buf_free(&room);
    mem_free(text);
}

/* One frame of its own, as a row that somebody has put there. */
static void store_frame(struct stored *s, struct buf *room, struct span octets, int window_log, bool sized, bool in_parts)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    char *at = buf_reserve(room, ZSTD_compressBound(octets.len));
    ZSTD_inBuffer in = { octets.at, octets.len, 0 };
    ZSTD_outBuffer out = { at, ZSTD_compressBound(octets.len), 0 };

    assert_non_null(c);
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, sized);
    if (sized)
        ZSTD_CCtx_setPledgedSrcSize(c, octets.len);
    assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_end), 0);
    ZSTD_freeCCtx(c);
    s->count = 0;
    for (size_t i = 0; i < out.pos; i += PART_OCTETS)
        s->rows[s->count++] = (struct row){ 1, (int32_t)(i / PART_OCTETS), CODEC_ZSTD,
                                            { at + i, !in_parts || out.pos - i < PART_OCTETS ? out.pos - i : PART_OCTETS } };
}

/* A little that becomes much, more than it says, or says nothing; one that wants a window of 128 MiB. */
static void bombs(void **state)
{
    enum { MUCH = 16 << 20 };
    char *zeros = mem_zalloc(MUCH), *text = text_new(64000);
    struct buf room = BUF_EMPTY, out = BUF_EMPTY;
    struct stored s;

    (void)state;
    store_frame(&s, &room, (struct span){ zeros, MUCH }, 17, true, true);
    expect_damage(&s, (struct span){ zeros, MUCH }, "part 0 cannot be decoded");
    expect_damage(&s, (struct span){ zeros, 64000 }, "part 0 cannot be decoded");
    store_frame(&s, &room, (struct span){ zeros, MUCH }, 17, false, true);
    expect_damage(&s, (struct span){ zeros, 64000 }, "part 0 cannot be decoded");
    store_frame(&s, &room, (struct span){ text, 64000 }, 16, true, true);
    assert_true(read_whole(&s, 32, (struct span){ text, 64000 }, &out));
    assert_false(read_whole(&s, 32, (struct span){ text, 63999 }, &out));   /* one octet too many: none is sent */
    assert_int_equal(buf_left(&out), LINE);
    expect_damage(&s, (struct span){ text, 63999 }, "has 64000 octets, should have 63999");
    /* It says 64,000 in its header, and has others: the first one's size, with the blocks of the second. */
    store_frame(&s, &room, (struct span){ zeros, 64000 }, 17, true, false);
    struct buf lie = BUF_EMPTY, big = BUF_EMPTY;
    struct stored other;
    store_frame(&other, &big, (struct span){ zeros, MUCH }, 17, true, false);
    buf_add(&lie, s.rows[0].data.at, 4);
    for (size_t head = 4; head < 20; head++) {
        buf_clear(&lie);
        buf_add(&lie, s.rows[0].data.at, head < 10 ? head : 10);
        buf_add(&lie, other.rows[0].data.at + head, other.rows[0].data.len - head);
        other.rows[1] = (struct row){ 1, 0, CODEC_ZSTD, buf_span(&lie) };
        struct stored one = { .rows = { other.rows[1] }, .count = 1 };
        expect_damage(&one, (struct span){ zeros, 64000 }, NULL);
    }
    /* Without a size of its content it can have any window. */
    store_frame(&s, &room, (struct span){ text, 64000 }, 27, false, true);
    expect_damage(&s, (struct span){ text, 64000 }, "part 0 cannot be decoded");
    buf_free(&room);
    buf_free(&out);
    buf_free(&lie);
    buf_free(&big);
    mem_free(zeros);
    mem_free(text);
}

/* Of several messages in an answer one that is damaged does not take the others along. */
static void neighbours(void **state)
{
    char *text = text_new(20000);
    uint64_t wanted = 20000 + LINE;
    struct stored s = { .count = 0 };
    struct buf room[3] = { BUF_EMPTY, BUF_EMPTY, BUF_EMPTY };
    struct piece_set *set;

    (void)state;
    for (int64_t uid = 1; uid <= 3; uid++)
        store(&s, uid, run_of((struct span){ text, 20000 }, CODEC_ZSTD, &room[uid - 1]), 20000);
    for (int i = 0; i < s.count; i++)
        if (s.rows[i].uid == 2)
            s.rows[i].data.len /= 2;
    set = piece_set_new(answer(&s, &whole), message, &wanted, 4, &whole);
    for (size_t k = 0; k < 4; k++) {
        const struct piece_part *part = piece_set_part(set, k);
        assert_int_equal(part->found, k < 3);
        assert_int_equal(part->broken, k == 1);
        if (k == 0 || k == 2)
            assert_memory_equal(part->spans[1].at, text, 20000);
    }
    piece_release(piece_set_ref(set));
    for (int i = 0; i < 3; i++)
        buf_free(&room[i]);
    mem_free(text);
}

static void runs_that_hold_something_else(void **state)
{
    char *text = text_new(100000);
    struct span octets = { text, 100000 };
    struct buf room = BUF_EMPTY;
    struct span run = run_of(octets, CODEC_ZSTD, &room);

    (void)state;
    assert_true(run_holds(run, octets));
    for (size_t cut = 1; cut < run.len; cut += run.len / 7)
        assert_false(run_holds((struct span){ run.at, run.len - cut }, octets));
    text[99999] = '!';
    assert_false(run_holds(run, octets));
    assert_false(run_holds(run, (struct span){ text, 99999 }));
    assert_false(run_holds((struct span){ text, 99999 }, octets));
    assert_true(run_holds(octets, octets));
    buf_free(&room);
    mem_free(text);
}

static void plain_contents_checked(void **state)
{
    struct stored s = { .rows = { { 1, 0, CODEC_PLAIN, SPAN_OF("abc") }, { 1, 1, CODEC_PLAIN, SPAN_OF("def") } }, .count = 2 };
    char why[100];

    (void)state;
    assert_true(is_whole(&s, SPAN_OF("abcdef"), 0, why, sizeof why));
    assert_false(is_whole(&s, SPAN_OF("abcde"), 0, why, sizeof why));
    assert_string_equal(why, "has 6 octets, should have 5");
    assert_false(is_whole(&s, SPAN_OF("abcdeg"), 0, why, sizeof why));
    assert_string_equal(why, "its octets do not have its digest");
    s.rows[1].part = 2;
    assert_false(is_whole(&s, SPAN_OF("abcdef"), 0, why, sizeof why));
    assert_string_equal(why, "part 1 is missing");
    s.rows[1].part = 1;
    s.rows[1].codec = UNKNOWN;
    assert_false(is_whole(&s, SPAN_OF("abcdef"), 0, why, sizeof why));
    assert_string_equal(why, "part 1 cannot be decoded");
    s.count = 0;
    assert_true(is_whole(&s, SPAN_OF(""), 0, why, sizeof why));
}

static void arithmetic(void **state)
{
    int32_t number = 7;

    (void)state;
    assert_int_equal(content_whole(SEGMENT_OCTETS - 1), 0);
    assert_int_equal(content_whole(SEGMENT_OCTETS), SEGMENT_OCTETS);
    assert_int_equal(content_whole(3 * SEGMENT_OCTETS + 1), 3 * SEGMENT_OCTETS);
    assert_int_equal(content_part_at(0), 0);
    assert_int_equal(content_part_at(5ull * PART_OCTETS), 5);
    assert_int_equal(content_part_at((uint64_t)INT32_MAX * PART_OCTETS), INT32_MAX);
    assert_true(codec_named(SPAN_OF("zstd"), &number) && number == CODEC_ZSTD);
    assert_true(codec_named(SPAN_OF("plain"), &number) && number == CODEC_PLAIN);
    assert_false(codec_named(SPAN_OF("gzip"), &number));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_at_the_edges),
        cmocka_unit_test(what_hardly_shrinks_stays),
        cmocka_unit_test(beginnings),
        cmocka_unit_test(recoded_meanwhile),
        cmocka_unit_test(damaged),
        cmocka_unit_test(bombs),
        cmocka_unit_test(neighbours),
        cmocka_unit_test(runs_that_hold_something_else),
        cmocka_unit_test(plain_contents_checked),
        cmocka_unit_test(arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
