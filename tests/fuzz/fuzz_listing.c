/*
 * What the database answers, in PostgreSQL's binary form: arrays, the listing
 * of a maildrop, the parts of messages. It is trusted with the mail, not with
 * our memory.
 */
#include <arpa/inet.h>

#include "storage/maildrop/listing.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"
#include "storage/content/content.h"
#include "storage/content/piece_set.h"
#include "storage/maildrop/drop.h"
#include "tests/fuzz/fuzz.h"

enum { COLUMNS = 5, ROWS_MAX = 64 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

/* NULL for an absent one. */
static struct span take_array(struct span *in)
{
    size_t len = (size_t)take_number(in, 2);

    return len == UINT16_MAX ? (struct span){ NULL, 0 } : exact(take_span(in, len));
}

static void check_array(struct span data, uint32_t type)
{
    struct pg_array a;
    struct span value;
    size_t seen = 0;
    int answer;

    if (data.at == NULL || !pg_array_start(&a, data, type))
        return;
    while ((answer = pg_array_next(&a, &value)) >= 0) {
        seen++;
        if (answer == 1)
            MUST(value.at >= data.at && value.at + value.len <= data.at + data.len);
    }
    MUST(seen <= a.count);
}

static void check_listing(const struct listing *l)
{
    char uidl[UIDL_MAX];
    uint64_t octets = 0;
    int64_t last = 0;

    for (size_t i = 0; i < listing_count(l); i++) {
        size_t len = listing_uidl(l, i, uidl);
        MUST(len >= 1 && len <= UIDL_MAX);
        MUST(listing_uid(l, i) > last);
        last = listing_uid(l, i);
        octets += listing_message_octets(l, i);
    }
    MUST(octets == listing_octets(l));
    MUST(last < listing_state(l)->next_uid);
}

static void put(PGresult *res, int row, int column, struct span value, bool null)
{
    char *copy = exact_string(value);

    MUST(PQsetvalue(res, row, column, null ? NULL : copy, null ? -1 : (int)value.len) == 1);
    free(copy);
}

static struct piece_message message_of(const void *asked, size_t k)
{
    return (struct piece_message){ listing_uid(asked, k), listing_message_octets(asked, k) };
}

/* Rows of any content, of a listing that is sound. */
static void check_pieces(const struct listing *l, struct span *in)
{
    static char names[COLUMNS][2] = { "a", "b", "c", "d", "e" };
    PGresAttDesc columns[COLUMNS];
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    uint8_t how = take_octet(in);
    const struct piece_range range = {
        .first = how % 2, .parts = how & 2 ? 1 : 32, .begins = how % 2 == 0, .skip = how & 4 ? 3 : 0, .most = how & 8 ? 8000 : 256000
    };
    size_t octets = 0;

    memset(columns, 0, sizeof columns);
    for (size_t i = 0; i < COLUMNS; i++)
        columns[i].name = names[i], columns[i].format = 1;
    MUST(res != NULL && PQsetResultAttrs(res, COLUMNS, columns) == 1);
    for (int row = 0; in->len > 0 && row < ROWS_MAX; row++) {
        uint8_t flags = take_octet(in);
        uint64_t uid = htobe64(flags & 1 ? take_number(in, 8) : (uint64_t)listing_uid(l, flags / 16 % listing_count(l)));
        uint32_t codec = htonl(flags / 32 - 5u);        /* of the highest ones zstd, and one that is not known */
        uint32_t part = htonl((uint32_t)(flags & 2 ? take_number(in, 4) : take_octet(in)));

        put(res, row, 0, (struct span){ (const char *)&uid, sizeof uid }, false);
        put(res, row, 1, (struct span){ (const char *)&part, sizeof part }, false);
        put(res, row, 2, take_text(in), flags & 4);
        put(res, row, 3, take_text(in), flags & 8);
        put(res, row, 4, (struct span){ (const char *)&codec, sizeof codec }, flags < 0xC0);
        octets += (size_t)PQgetlength(res, row, 2) + 16 + (flags < 0xC0 ? (size_t)PQgetlength(res, row, 3) : SEGMENT_OCTETS);
    }
    struct piece_set *set = piece_set_new(res, message_of, l, listing_count(l), &range);
    if (set == NULL)
        return;
    for (size_t k = 0; k < listing_count(l); k++) {
        const struct piece_part *part = piece_set_part(set, k);
        uint64_t sum = 0;

        for (size_t i = 0; i < part->count; i++) {
            struct span copy = exact(part->spans[i]);
            sum += copy.len;
            exact_free(copy);
        }
        MUST(sum == part->octets && sum <= octets);
    }
    piece_release(piece_set_ref(set));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct listing_state state = { (int64_t)take_number(&in, 6), (int64_t)take_number(&in, 8), take_octet(&in) };
    struct span uids = take_array(&in), octets = take_array(&in), uidls = take_array(&in);
    struct listing *l, *more = NULL;
    const char *error = NULL;

    check_array(uids, PG_INT8);
    check_array(uidls, PG_TEXT);
    l = listing_decode(&state, NULL, uids, octets, uidls, &error);
    MUST(l != NULL || error != NULL);
    if (l != NULL) {
        unsigned char *marks = calloc(listing_count(l) + 1, 1);
        struct listing *less;

        check_listing(l);
        MUST(marks != NULL);
        for (size_t i = 0; i < listing_count(l); i++)
            marks[i] = i % 3 == 0;
        less = listing_without(l, marks);
        check_listing(less);
        more = listing_decode(&state, less, uids, octets, uidls, &error);
        if (more != NULL)
            check_listing(more);
        if (listing_count(l) > 0)
            check_pieces(l, &in);
        free(marks);
        listing_release(&less);
    }
    listing_release(&l);
    listing_release(&more);
    exact_free(uids);
    exact_free(octets);
    exact_free(uidls);
    return 0;
}
