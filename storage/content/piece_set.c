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
#include "storage/content/segment.h"
#include "storage/pg/pg_row.h"

enum { COL_UID, COL_PART, COL_DELIVERED_TO, COL_DATA, COL_CODEC };      /* PIECE_COLUMNS */

/* Octets that were decoded. */
struct room {
    struct room *next;
    size_t size;
    char octets[];
};

struct piece_ref {
    size_t refs, octets;
    PGresult *res;              /* NULL: nothing points into it */
    struct room *rooms;
};

struct piece_set {
    struct piece_ref ref;
    size_t count;
    struct piece_part parts[];  /* behind them the spans, and the Delivered-To lines */
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
    for (struct room *r = ref->rooms, *next; r != NULL; r = next) {
        next = r->next;
        mem_free(r);
    }
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

/* A set on its way, row by row. */
struct filling {
    const PGresult *res;
    const struct piece_range *range;
    struct piece_ref *ref;
    struct span *span;          /* where the next one goes, */
    char *text;                 /* and the next line */
    bool points;                /* one points into the answer */

    /* The message that it is at. */
    struct piece_part *part;
    uint64_t left;              /* octets that it may have, with those to skip */
    uint64_t skip, most;
    struct segment segment;     /* where its parts are coded, the one that has begun */
};

static void add_span(struct filling *f, struct span octets)
{
    *f->span++ = octets;
    f->part->count++;
    f->part->octets += octets.len;
}

static void add_delivered_to(struct filling *f, struct span address)
{
    char *line = f->text;

    memcpy(line, header.at, header.len);
    memcpy(line + header.len, address.at, address.len);
    memcpy(line + header.len + address.len, "\r\n", 2);
    size_t len = header.len + address.len + 2;
    f->text += len;
    f->part->line = len;
    f->left -= f->left < len ? f->left : len;
    add_span(f, (struct span){ line, len });
}

/* ---- parts as they are */

static void add_plain(struct filling *f, struct span data)
{
    size_t skip = f->skip < data.len ? (size_t)f->skip : data.len;

    f->part->next++;
    f->left -= f->left < data.len ? f->left : data.len;
    f->skip -= skip;
    if (data.len == skip)
        return;
    add_span(f, (struct span){ data.at + skip, data.len - skip });
    f->points = true;
}

/* ---- coded segments */

static struct room *room_new(struct piece_ref *ref, size_t size)
{
    struct room *r = mem_alloc(sizeof *r + size);

    r->size = size;
    r->next = ref->rooms;
    ref->rooms = r;
    ref->octets += size;
    all_octets += size;
    return r;
}

/* The last one that was made, without the octets in front. */
static struct room *room_without(struct piece_ref *ref, size_t skip, size_t octets)
{
    struct room *old = ref->rooms, *r;

    if (skip == 0)
        return old;
    ref->rooms = old->next;
    ref->octets -= old->size;
    all_octets -= old->size;
    r = room_new(ref, octets);
    memcpy(r->octets, old->octets + skip, octets);
    mem_free(old);
    return r;
}

/* The segment that has begun is over, with this row or with the message. False: it is damaged. */
static bool end_segment(struct filling *f)
{
    struct segment s = f->segment;
    bool whole = s.first + SEGMENT_PARTS <= f->range->first + f->range->parts;
    size_t skip = (size_t)f->skip;
    uint64_t wanted;
    ssize_t octets;

    f->segment.codec = CODEC_PLAIN;
    if (s.codec == CODEC_PLAIN || f->part->cut)
        return true;
    wanted = segment_octets(&s);
    if (wanted == 0 || wanted > f->left || wanted < f->skip)
        return false;
    /* Where it ends early, none of what is behind. */
    bool cut = !whole || wanted > f->most + skip;
    if (wanted > f->most + skip)
        wanted = f->most + skip;
    struct room *room = room_new(f->ref, (size_t)wanted);
    octets = segment_decode(&s, whole, room->octets, (size_t)wanted);
    if (octets < 0)
        return false;
    if ((size_t)octets > skip)
        add_span(f, (struct span){ room_without(f->ref, skip, (size_t)octets - skip)->octets, (size_t)octets - skip });
    f->left -= (uint64_t)octets;
    f->most -= (size_t)octets > skip ? (size_t)octets - skip : 0;
    f->part->cut = cut;
    f->part->next = cut ? s.first : s.first + SEGMENT_PARTS;
    f->part->next_skip = cut ? ((size_t)octets > skip ? (size_t)octets : skip) : 0;
    f->skip = 0;
    return true;
}

/* ---- rows */

static void message_begins(struct filling *f, struct piece_part *part, struct piece_message asked)
{
    f->part = part;
    f->left = asked.octets + f->range->skip;
    f->skip = f->range->skip;
    f->most = f->range->most;
    f->segment.codec = CODEC_PLAIN;
    part->next = f->range->first;
    part->spans = f->span;
}

static void message_ends(struct filling *f)
{
    if (f->part != NULL && !f->part->broken && !end_segment(f))
        f->part->broken = true;
}

static int32_t codec_of(const PGresult *res, int row)
{
    int32_t codec;

    return pg_get_int4(res, row, COL_CODEC, &codec) ? codec : CODEC_PLAIN;
}

/* A line goes in front of the octets of this row, if it has one. */
static bool has_line(const struct piece_range *range, const PGresult *res, int row)
{
    int32_t number;

    return range->begins && !PQgetisnull(res, row, COL_DELIVERED_TO) &&
           pg_get_int4(res, row, COL_PART, &number) && number == 0;
}

/* One row, which is of this message; false if it is not the next part. */
static bool add_row(struct filling *f, int row)
{
    struct piece_part *part = f->part;
    int32_t number, codec = codec_of(f->res, row);
    struct span data, address;

    if (part->broken || !pg_get_int4(f->res, row, COL_PART, &number) || number < 0)
        return false;
    if (!part->found) {
        part->found = true;
        /* As text_octets() has counted: the room ends there. */
        if (has_line(f->range, f->res, row) && pg_get_bytes(f->res, row, COL_DELIVERED_TO, &address))
            add_delivered_to(f, address);
    }
    if (!pg_get_bytes(f->res, row, COL_DATA, &data))
        return part->next == f->range->first && f->segment.codec == CODEC_PLAIN;    /* its only row: no content */
    if (segment_add(&f->segment, (uint32_t)number, codec, data))
        return true;
    if (!end_segment(f))
        return false;
    if (part->cut)
        return true;
    if ((uint32_t)number != part->next)
        return false;
    if (codec != CODEC_PLAIN)
        return segment_begin(&f->segment, (uint32_t)number, codec, data);
    add_plain(f, data);
    return true;
}

/* Octets for the Delivered-To lines, each counted with each first row of its message. */
static size_t text_octets(const PGresult *res, int rows, const struct piece_range *range)
{
    size_t octets = 0;

    for (int row = 0; row < rows; row++)
        if (has_line(range, res, row))
            octets += header.len + (size_t)PQgetlength(res, row, COL_DELIVERED_TO) + 2;
    return octets;
}

/* Of the answer nothing is kept that nobody points to: what was decoded is here. */
static void keep_answer(struct piece_set *set, PGresult *res, bool points)
{
    size_t octets = points ? PQresultMemorySize(res) : 0;

    if (points)
        set->ref.res = res;
    else
        PQclear(res);
    set->ref.octets += octets;
    all_octets += octets;
}

struct piece_set *piece_set_new(PGresult *res, piece_asked *asked_of, const void *asked, size_t count,
                                const struct piece_range *range)
{
    int rows = PQntuples(res);
    size_t texts = text_octets(res, rows, range);
    size_t spans = ((size_t)rows + count) * sizeof(struct span);
    struct piece_set *set = mem_zalloc(sizeof *set + count * sizeof set->parts[0] + spans + texts);
    struct filling f = { .res = res, .range = range, .ref = &set->ref };
    struct piece_message message = { 0, 0 };
    size_t k = 0;
    bool stranger = false;

    set->ref.refs = 1;
    set->count = count;
    f.span = (struct span *)(void *)&set->parts[count];
    f.text = (char *)f.span + spans;
    for (int row = 0; row < rows && !stranger; row++) {
        int64_t of;
        if (!pg_get_int8(res, row, COL_UID, &of))
            of = 0;
        /* Rows come in the order of uid; a message without a row is gone. */
        for (; k < count && (f.part == NULL || message.uid != of); k++) {
            message_ends(&f);
            message = asked_of(asked, k);
            message_begins(&f, &set->parts[k], message);
        }
        stranger = f.part == NULL || message.uid != of;
        /* Of several messages one that is damaged must not take the others along. */
        if (!stranger && !add_row(&f, row))
            f.part->broken = true;
    }
    message_ends(&f);
    keep_answer(set, res, f.points);
    if (!stranger)
        return set;
    piece_release(&set->ref);
    return NULL;
}
