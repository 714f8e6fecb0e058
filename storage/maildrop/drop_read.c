/*
 * drop_read.c - messages in pieces, and the next small ones ahead.
 *
 * Owns what was read ahead, within the bounds of the store. Never says that a
 * piece is the last one unless the octets of the whole message are those that
 * the listing says (promise P1).
 */
#include "storage/maildrop/drop_read.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/close.h"
#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/listing.h"
#include "storage/pg/pg_array.h"
#include "storage/content/content.h"
#include "storage/content/piece_set.h"

enum {
    PIECE_PARTS = 4 * SEGMENT_PARTS,
    BEGINNING_PARTS = 1,
    FEW_PARTS = SEGMENT_PARTS,
    SMALL_OCTETS = PIECE_PARTS * PART_OCTETS,  /* a message that fits in one piece, parts being what they are */
    WINDOW_GROWS = 8,
    WINDOW_MAX = 512,
    AHEAD_IDLE_MS = 5000,
    LITTLE = 16 * 1024,         /* octets that are asked for together with those of others */
    PLENTY = 64 << 20,          /* octets that clients may have us hold before all get less at once, */
    TOO_MUCH = 256 << 20,       /* and as little as there is */
};

/* One statement under way. The drop outlives it, as the lock is given back when it was answered. */
struct read_question {
    struct drop *drop;
    size_t first;
    uint32_t count, piece;
    struct piece_range range;
    enum drop_want want;
    bool again;                 /* in place of one whose answer was of no use */
    uint64_t ahead_octets;      /* counted in the store until it is known what becomes of them */
    drop_piece *done;
    void *owner;
};

/* Of all drops of a store. */
struct read_ahead {
    struct loop *loop;
    uint64_t each, all;         /* octets for one drop, and for all */
    uint64_t octets;            /* kept by, or under way to, all drops */
    struct reader *readers;     /* those that keep something */
    struct timer *timer;
};

/* Of one drop, from the first message that is read on. */
struct reader {
    struct read_ahead *store;
    struct read_question *question; /* that is waited for */
    size_t next_in_order;       /* message behind the one that was read last */
    uint32_t window;            /* messages in one statement */
    size_t message;             /* that is being read, */
    uint32_t next_piece;
    uint32_t next_part;         /* where that piece begins, */
    uint64_t next_skip;         /* behind so many octets, */
    bool in_segment;            /* of a coded segment, of which there is more to be had */
    uint64_t octets_so_far;
    uint64_t content_so_far;    /* of them in the content */
    struct piece_set *ahead;    /* messages ahead_first .. + ahead_count - 1 */
    struct piece_range ahead_range;
    bool ahead_headers;         /* no more of them than their headers */
    size_t ahead_first;
    uint32_t ahead_count;
    uint64_t ahead_octets;
    uint64_t used_at;
    struct reader *next, **link;    /* in readers */
};

static struct piece_message message_asked(const void *asked, size_t k)
{
    const struct read_question *q = asked;
    const struct listing *listing = q->drop->listing;
    uint64_t before = q->piece > 0 ? q->drop->reader->octets_so_far : 0;

    return (struct piece_message){ listing_uid(listing, q->first + k),
                                   listing_message_octets(listing, q->first + k) - before };
}

/* ---- what was read ahead */

static void release_ahead(struct reader *r)
{
    if (r->ahead == NULL)
        return;
    piece_release(piece_set_ref(r->ahead));
    r->ahead = NULL;
    r->store->octets -= r->ahead_octets;
    *r->link = r->next;
    if (r->next != NULL)
        r->next->link = r->link;
}

/* The set's reference and the octets are the reader's from now on. */
static void keep_ahead(struct reader *r, struct piece_set *set, const struct read_question *q)
{
    struct read_ahead *store = r->store;

    r->ahead = set;
    r->ahead_first = q->first;
    r->ahead_count = q->count;
    r->ahead_range = q->range;
    r->ahead_headers = q->want == WANT_HEADER;
    r->ahead_octets = q->ahead_octets;
    r->used_at = loop_now(store->loop);
    if (store->readers == NULL)
        timer_set(store->timer, AHEAD_IDLE_MS);
    r->next = store->readers;
    r->link = &store->readers;
    if (store->readers != NULL)
        store->readers->link = &r->next;
    store->readers = r;
}

void read_ahead_forget(void *arg)
{
    struct read_ahead *store = arg;
    uint64_t now = loop_now(store->loop);

    for (struct reader *r = store->readers, *next; r != NULL; r = next) {
        next = r->next;
        if (now - r->used_at >= AHEAD_IDLE_MS)
            release_ahead(r);
    }
    if (store->readers != NULL)
        timer_set(store->timer, AHEAD_IDLE_MS);
}

struct read_ahead *read_ahead_new(struct loop *loop, uint64_t each, uint64_t all)
{
    struct read_ahead *store = mem_zalloc(sizeof *store);

    store->loop = loop;
    store->each = each;
    store->all = all;
    store->timer = timer_new(loop, read_ahead_forget, store);
    return store;
}

void read_ahead_free(struct read_ahead **ahead)
{
    timer_free(&(*ahead)->timer);
    mem_free(*ahead);
    *ahead = NULL;
}

/* ---- one piece */

/*
 * Message k of the set, which is the answer for this range. Moves the drop's place in it; the
 * piece has no reference yet. DB_BUG: it is not what it should be.
 */
static enum db_status take_piece(struct drop *drop, size_t i, uint32_t piece, const struct piece_set *set, size_t k,
                                 const struct piece_range *range, struct piece *piece_r)
{
    struct reader *r = drop->reader;
    const struct piece_part *part = piece_set_part(set, k);
    uint64_t octets = r->octets_so_far + part->octets;
    uint64_t wanted = listing_message_octets(drop->listing, i);

    if (!part->found)
        return DB_NOT_FOUND;
    bool ends_early = octets < wanted && !part->cut && part->next < range->first + range->parts;
    if (part->broken || octets > wanted || ends_early)
        return DB_BUG;
    r->octets_so_far = octets;
    r->content_so_far += part->octets - part->line;
    r->next_piece = piece + 1;
    r->next_part = part->next;
    r->next_skip = part->next_skip;
    r->in_segment = part->cut;
    *piece_r = (struct piece){ .spans = part->spans, .count = part->count, .last = octets == wanted };
    return DB_OK;
}

static void tell_wrong(const struct drop *drop, size_t i, const struct piece_part *part)
{
    log_error(drop->who.session,
              "mailbox=%s uid=%lld result=bug: %s, %llu octets of %llu were found: run `posternctl check`",
              mailbox_text(&drop->place.mailbox).s, (long long)listing_uid(drop->listing, i),
              part->broken ? "a part is missing or damaged" : "its length is wrong",
              (unsigned long long)(drop->reader->octets_so_far + part->octets),
              (unsigned long long)listing_message_octets(drop->listing, i));
}

/* 1 and the piece with a reference for the receiver, if message i was read ahead. */
static int read_from_ahead(struct drop *drop, size_t i, enum drop_want want, struct piece *piece_r)
{
    struct reader *r = drop->reader;

    if (r->ahead == NULL || (r->ahead_headers && want != WANT_HEADER) || i < r->ahead_first ||
        i - r->ahead_first >= r->ahead_count)
        return 0;
    if (take_piece(drop, i, 0, r->ahead, i - r->ahead_first, &r->ahead_range, piece_r) != DB_OK)
        return 0;   /* asked for alone, and told then */
    piece_r->ref = piece_set_ref(r->ahead);
    piece_hold(piece_r->ref);
    r->used_at = loop_now(r->store->loop);
    if (i == r->ahead_first + r->ahead_count - 1)
        release_ahead(r);
    return 1;
}

/* ---- asking */

static uint64_t octets_to_read(const struct drop *drop, size_t i, enum drop_want want)
{
    uint64_t octets = listing_message_octets(drop->listing, i);

    return want != WANT_WHOLE && octets > BEGINNING_PARTS * PART_OCTETS ? BEGINNING_PARTS * PART_OCTETS : octets;
}

/*
 * How many messages to read with message i. One that begins with the first
 * message mostly takes the others too: 8 at once, then 64, and so on. Who leaves
 * mail on the server begins with what is new, often a single one: 1, then 8.
 */
static uint32_t choose_window(struct drop *drop, size_t i, enum drop_want want, uint64_t *ahead_octets_r)
{
    struct reader *r = drop->reader;
    const struct read_ahead *store = r->store;
    uint64_t sum = octets_to_read(drop, i, want), more = 0;
    size_t count = listing_count(drop->listing);
    uint32_t n = 1;

    *ahead_octets_r = 0;
    if (r->window == 0)
        r->window = i == 0 ? WINDOW_GROWS : 1;
    else if (i != r->next_in_order)
        r->window = 1;
    else if (r->window < WINDOW_MAX)
        r->window *= WINDOW_GROWS;
    if (sum > SMALL_OCTETS)
        return 1;
    while (n < r->window && n < count - i) {
        uint64_t next = octets_to_read(drop, i + n, want);
        if (next > SMALL_OCTETS || sum + next > store->each || store->octets + more + next > store->all)
            break;
        sum += next;
        more += next;
        n++;
    }
    if (n > 1)
        *ahead_octets_r = sum;
    return n;
}

static void ask(struct drop *drop, const struct read_question *question);

/*
 * A piece of this message that does not begin with a segment: that is where it was read to when its parts
 * were plain, and since then it may have been recoded. Asks once more, by its octets, which are what they were.
 */
static bool ask_again(struct drop *drop, const struct read_question *q)
{
    struct reader *r = drop->reader;
    struct read_question again = *q;

    if (q->again || q->range.first % SEGMENT_PARTS == 0 ||
        r->content_so_far != (uint64_t)q->range.first * PART_OCTETS)
        return false;
    again.again = true;
    again.range.first = (uint32_t)(r->content_so_far / SEGMENT_OCTETS) * SEGMENT_PARTS;
    again.range.skip = r->content_so_far % SEGMENT_OCTETS;
    if (again.range.parts < SEGMENT_PARTS)
        again.range.parts = SEGMENT_PARTS;
    ask(drop, &again);
    return true;
}

static void fetch_answered(void *arg, enum db_status status, PGresult *res)
{
    struct read_question *q = arg;
    struct drop *drop = q->drop;
    struct reader *r = drop->reader;
    struct read_ahead *store = drop->store->read_ahead;
    struct piece piece = { 0 };
    struct piece_set *set = NULL;

    drop_charge(drop);
    drop->reading--;
    if (r == NULL || r->question != q) {    /* not wanted any more */
        store->octets -= q->ahead_octets;
        PQclear(res);
        mem_free(q);
        close_after_reading(drop);
        return;
    }
    r->question = NULL;
    if (status == DB_OK) {
        set = piece_set_new(res, message_asked, q, q->count, &q->range);
        if (set == NULL) {
            log_error(drop->who.session,
                      "database statement=FETCH mailbox=%s result=bug: a message that was not requested",
                      mailbox_text(&drop->place.mailbox).s);
            status = DB_BUG;
        } else {
            status = take_piece(drop, q->first, q->piece, set, 0, &q->range, &piece);
        }
    }
    if (set != NULL && status == DB_OK) {
        piece.ref = piece_set_ref(set);
        if (q->count > 1) {
            piece_hold(piece.ref);
            keep_ahead(r, set, q);
        }
    } else {
        bool asked = set != NULL && status == DB_BUG && ask_again(drop, q);
        if (set != NULL && status == DB_BUG && !asked)
            tell_wrong(drop, q->first, piece_set_part(set, 0));
        if (set != NULL)
            piece_release(piece_set_ref(set));
        store->octets -= q->ahead_octets;
        if (asked) {
            mem_free(q);
            return;
        }
    }
    drop_piece *done = q->done;
    void *owner = q->owner;
    mem_free(q);
    done(owner, status, piece);
}

/* It costs others little to wait for it, and it is worth a copy. */
static bool is_little(const struct read_question *q)
{
    uint64_t octets = 0;

    for (size_t k = 0; k < q->count && octets <= LITTLE; k++)
        octets += octets_to_read(q->drop, q->first + k, q->want);
    return octets <= LITTLE;
}

static void ask(struct drop *drop, const struct read_question *question)
{
    struct read_question *q = mem_alloc(sizeof *q);
    struct reader *r = drop->reader;
    struct pg_args args = PG_ARGS_EMPTY;
    struct buf uids = BUF_EMPTY;

    *q = *question;
    pg_array_put_head(&uids, q->count);
    for (size_t k = 0; k < q->count; k++)
        pg_array_put_int8(&uids, listing_uid(drop->listing, q->first + k));
    pg_arg_mailbox(&args, &drop->place.mailbox);
    pg_arg_bytes(&args, buf_span(&uids));
    if (q->want != WANT_HEADER) {
        pg_arg_int4(&args, (int32_t)q->range.first);
        pg_arg_int4(&args, (int32_t)q->range.parts);
    }
    r->question = q;
    drop->reading++;
    r->used_at = loop_now(r->store->loop);
    r->store->octets += q->ahead_octets;
    pg_arg_bytes(&args, mailbox_ticket_span(&drop->ticket));
    if (q->want == WANT_HEADER)
        pg_ask(drop->store->pg, drop->lane, PG_FETCH_HEADERS, &args, fetch_answered, q);
    else if (is_little(q))
        pg_ask_grouped(drop->store->pg, drop->lane, PG_FETCH, &args, fetch_answered, q);
    else
        pg_ask(drop->store->pg, drop->lane, PG_FETCH, &args, fetch_answered, q);
    buf_free(&uids);
}

/* Thousands that ask for much and do not read would have us hold a long piece for each. */
static uint32_t fewer_parts(uint32_t parts)
{
    uint32_t most = piece_octets() > TOO_MUCH ? 1 : piece_octets() > PLENTY ? FEW_PARTS : parts;

    return parts < most ? parts : most;
}

/* The next parts, so many at most; of a coded segment all, as none of them is of use alone. */
static struct piece_range next_range(const struct reader *r, uint32_t parts)
{
    return (struct piece_range){
        .first = r->next_part,
        .parts = r->in_segment && parts < SEGMENT_PARTS ? SEGMENT_PARTS : parts,
        .begins = r->octets_so_far == 0,
        .skip = r->next_skip,
        .most = (uint64_t)parts * PART_OCTETS,
    };
}

int drop_read(struct drop *drop, size_t i, uint32_t piece, enum drop_want want, struct piece *piece_r, drop_piece *done,
              void *owner)
{
    struct read_question q = {
        .drop = drop, .first = i, .count = 1, .piece = piece, .done = done, .owner = owner
    };
    uint32_t parts = PIECE_PARTS;

    if (drop->reader == NULL) {
        drop->reader = mem_zalloc(sizeof *drop->reader);
        drop->reader->store = drop->store->read_ahead;
    }
    struct reader *r = drop->reader;
    ASSERT(drop->state == DROP_OPEN && r->question == NULL);
    ASSERT(i < listing_count(drop->listing) && piece <= INT32_MAX / PIECE_PARTS - 1);
    ASSERT(piece == 0 || (i == r->message && piece == r->next_piece));
    if (piece == 0) {
        r->message = i;
        r->next_piece = r->next_part = 0;
        r->next_skip = 0;
        r->in_segment = false;
        r->octets_so_far = r->content_so_far = 0;
        /* A lane that was lost took the lock along: nothing more is told, not even what is here. */
        if (!drop_lost(drop) && read_from_ahead(drop, i, want, piece_r)) {
            r->next_in_order = i + 1;
            return 1;
        }
        release_ahead(r);
        q.want = want;
        q.count = choose_window(drop, i, want, &q.ahead_octets);
        if (want != WANT_WHOLE)
            parts = BEGINNING_PARTS;
        r->next_in_order = i + 1;
    }
    q.range = next_range(r, q.count == 1 ? fewer_parts(parts) : parts);
    ask(drop, &q);
    return 0;
}

void drop_read_forget(struct drop *drop)
{
    if (drop->reader != NULL)
        drop->reader->question = NULL;
}

void drop_read_end(struct drop *drop)
{
    if (drop->reader == NULL)
        return;
    release_ahead(drop->reader);
    mem_free(drop->reader);
    drop->reader = NULL;
}

bool drop_read_waits(const struct drop *drop)
{
    return drop->reader != NULL && drop->reader->question != NULL;
}

uint64_t drop_read_at(const struct drop *drop)
{
    return drop->reader != NULL ? drop->reader->used_at : 0;
}
