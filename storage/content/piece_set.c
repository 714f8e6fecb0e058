/*
 * piece_set.c - spans that point into a PGresult, which lives as long as anybody
 * holds one of them: connections still send from it when its session has gone.
 *
 * So nothing here may refer to a drop or a store.
 */
#include "storage/content/piece_set.h"

#include <string.h>

#include "daemon/base/mem.h"
#include "storage/content/codec.h"
#include "storage/content/content.h"
#include "storage/pg/pg_row.h"

enum { COL_UID, COL_PART, COL_DELIVERED_TO, COL_DATA, COL_CODEC };      /* PIECE_COLUMNS */

struct piece_ref {
    size_t refs, octets;
    PGresult *res;
};

struct piece_set {
    struct piece_ref ref;
    size_t count;
    struct piece_part parts[];  /* behind them the spans, the Delivered-To lines, and parts that were decoded */
};

static size_t all_octets;

static const struct span header = { "Delivered-To: ", sizeof "Delivered-To: " - 1 };

void piece_hold(struct piece_ref *ref)
{
    ref->refs++;
}

void piece_release(struct piece_ref *ref)
{
    if (--ref->refs > 0)
        return;
    all_octets -= ref->octets;
    PQclear(ref->res);
    mem_free(ref);      /* the first member of its set */
}

size_t piece_octets(void)
{
    return all_octets;
}

struct piece_ref *piece_set_ref(struct piece_set *set)
{
    return &set->ref;
}

const struct piece_part *piece_set_part(const struct piece_set *set, size_t k)
{
    ASSERT(k < set->count);
    return &set->parts[k];
}

/* Where the next span goes, and the next line or part that is not in the answer as it is. */
struct place {
    struct span *span;
    char *text;
};

static void add_delivered_to(struct piece_part *part, struct place *place, struct span address)
{
    char *line = place->text;

    memcpy(line, header.at, header.len);
    memcpy(line + header.len, address.at, address.len);
    memcpy(line + header.len + address.len, "\r\n", 2);
    size_t len = header.len + address.len + 2;
    place->text += len;
    *place->span++ = (struct span){ line, len };
    part->count++;
    part->octets += len;
}

static int32_t codec_of(const PGresult *res, int row)
{
    int32_t codec;

    return pg_get_int4(res, row, COL_CODEC, &codec) ? codec : CODEC_PLAIN;
}

/* What a row holds; it may be where it was. As text_octets() has counted. */
static bool decode(struct place *place, const PGresult *res, int row, struct span stored, struct span *octets_r)
{
    int32_t codec = codec_of(res, row);
    char *room = place->text;

    if (codec != CODEC_PLAIN)
        place->text += PART_OCTETS;
    return codec_decode(codec, stored, room, octets_r);
}

/* One row, which is of this message; false if it is not the next part. */
static bool add_row(struct piece_part *part, struct place *place, const PGresult *res, int row, uint32_t first_part)
{
    struct span data, address;
    int32_t number;

    if (part->broken || !pg_get_int4(res, row, COL_PART, &number))
        return false;
    if (!part->found) {
        part->found = true;
        part->spans = place->span;
        /* As text_octets() has counted: the room ends there. */
        if (first_part == 0 && number == 0 && pg_get_bytes(res, row, COL_DELIVERED_TO, &address))
            add_delivered_to(part, place, address);
    }
    if (!pg_get_bytes(res, row, COL_DATA, &data))
        return part->rows == 0;     /* without content; then this is its only row */
    if (number < 0 || (uint32_t)number != first_part + part->rows)
        return false;
    if (!decode(place, res, row, data, &data))
        return false;
    part->rows++;
    if (data.len > 0) {
        *place->span++ = data;
        part->count++;
        part->octets += data.len;
    }
    return true;
}

/*
 * Octets for the Delivered-To lines, each counted with each row of its message (mostly there is
 * one row), and for parts that are decoded.
 */
static size_t text_octets(const PGresult *res, int rows, uint32_t first_part)
{
    size_t octets = 0;
    int32_t number;

    for (int row = 0; row < rows; row++) {
        if (first_part == 0 && !PQgetisnull(res, row, COL_DELIVERED_TO) &&
            pg_get_int4(res, row, COL_PART, &number) && number == 0)
            octets += header.len + (size_t)PQgetlength(res, row, COL_DELIVERED_TO) + 2;
        if (codec_of(res, row) != CODEC_PLAIN)
            octets += PART_OCTETS;
    }
    return octets;
}

struct piece_set *piece_set_new(PGresult *res, piece_uid *uid, const void *asked, size_t count, uint32_t first_part)
{
    int rows = PQntuples(res);
    size_t texts = text_octets(res, rows, first_part);
    size_t spans = ((size_t)rows + count) * sizeof(struct span);
    struct piece_set *set = mem_zalloc(sizeof *set + count * sizeof set->parts[0] + spans + texts);
    struct place place;

    set->ref.refs = 1;
    set->ref.res = res;
    set->ref.octets = PQresultMemorySize(res);
    all_octets += set->ref.octets;
    set->count = count;
    place.span = (struct span *)(void *)&set->parts[count];
    place.text = (char *)place.span + spans;

    size_t k = 0;
    for (int row = 0; row < rows; row++) {
        int64_t of;
        if (!pg_get_int8(res, row, COL_UID, &of))
            of = 0;
        /* Rows come in the order of uid; a message without a row is gone. */
        while (k < count && uid(asked, k) != of)
            k++;
        if (k == count) {
            piece_release(&set->ref);
            return NULL;
        }
        /* Of several messages one that is damaged must not take the others along. */
        if (!add_row(&set->parts[k], &place, res, row, first_part))
            set->parts[k].broken = true;
    }
    return set;
}
