/*
 * A worker's whole use of the database, against one that answers anything:
 * maildrops are opened, read and closed, messages delivered, locks moved
 * aside, lanes lost, and notifications come that anybody may have sent. Only
 * what pg_lane.c has checked holds: an answer has the columns that were declared.
 *
 * What must hold: who asks is told, once; no maildrop is open twice; a message
 * that ends has the octets that the listing says; DB_OK for marked messages
 * stands behind an expunge that succeeded; nothing is kept in the end.
 */
#include <arpa/inet.h>
#include <endian.h>

#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/loop.h"
#include "storage/deliver/deliver.h"
#include "storage/deliver/spool.h"
#include "storage/deliver/statements.h"
#include "storage/maildrop/alone.h"
#include "storage/maildrop/aside.h"
#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/drop_read.h"
#include "storage/maildrop/login_lane.h"
#include "storage/maildrop/reclaim.h"
#include "storage/maildrop/takeover.h"
#include "tests/fuzz/fuzz.h"

enum { LANES = 2, ASIDE = LANES, ALONE, ALL_LANES, DEEP = 512, SLOTS = 4, MAILBOXES = 2, ROWS_MAX = 9, VALUE_MAX = 20000, LARGE = 300000, LARGE_MAX = 2, JOBS_MAX = 16, STEPS_MAX = 400 };

struct question {
    const struct pg_statement *statement;
    pg_answer *answer;
    void *arg;
};

struct pg_lane {
    bool up;
    uint64_t generation;
    size_t bound, count;
    bool alone;
    struct question asked[DEEP];
};

struct pg {
    struct pg_lane lanes[ALL_LANES];
    bool alone_fails;
    const struct pg_statements *statements;
    const struct pg_events *events;
    void *owner;
    struct question later[DEEP];
    enum db_status later_status[DEEP];
    size_t later_count;
    const char *sqlstate;
    bool unconfirmed;
};

static struct span in;                  /* what is left of the input */
static struct pg *pgs[2];               /* of the store, of deliveries */
static struct loop *loop;
static struct spool_space *spools;
static struct storage_settings settings;

/* ------------------------------------------------------ what storage/pg/pg.h declares */

struct pg *pg_new(struct loop *l, const char *conninfo, const struct pg_statements *statements,
                  const struct pg_wants *wants, const struct pg_events *events, void *owner)
{
    struct pg *pg = mem_zalloc(sizeof *pg);

    (void)l, (void)conninfo, (void)wants;
    pg->events = events;
    pg->owner = owner;
    pg->sqlstate = "";
    for (size_t i = 0; i < ALL_LANES; i++)
        pg->lanes[i] = (struct pg_lane){ .up = i < LANES, .generation = 1 };
    pg->statements = statements;
    pgs[statements == &delivery_statements] = pg;
    return pg;
}

void pg_serve_one(struct pg *pg)
{
    (void)pg;
}

static void tell_later(struct pg *pg)
{
    /* What these ask for comes behind them. */
    for (size_t n = pg->later_count; n > 0; n--) {
        struct question q = pg->later[0];
        enum db_status status = pg->later_status[0];

        pg->later_count--;
        memmove(pg->later, pg->later + 1, pg->later_count * sizeof pg->later[0]);
        memmove(pg->later_status, pg->later_status + 1, pg->later_count * sizeof pg->later_status[0]);
        q.answer(q.arg, status, NULL);
    }
}

void pg_later(struct pg *pg, enum db_status status, pg_answer *answer, void *arg)
{
    MUST(pg->later_count < DEEP);
    pg->later_status[pg->later_count] = status;
    pg->later[pg->later_count++] = (struct question){ NULL, answer, arg };
}

static void lose(struct pg *pg, struct pg_lane *lane, bool freeing)
{
    struct pg_lane lost = *lane;

    if (!lane->up)
        return;
    *lane = (struct pg_lane){ .up = false, .generation = lost.generation + 1 };
    if (!freeing)
        pg->events->lost(pg->owner);
    for (size_t i = 0; i < lost.count; i++)
        lost.asked[i].answer(lost.asked[i].arg, DB_LOST, NULL);
    if (!freeing)
        pg->events->decided(pg->owner);
}

void pg_free(struct pg **pgp)
{
    struct pg *pg = *pgp;

    for (size_t i = 0; i < ALL_LANES; i++)
        lose(pg, &pg->lanes[i], true);
    while (pg->later_count > 0)
        tell_later(pg);
    mem_free(pg);
    *pgp = NULL;
}

bool pg_alive(struct pg_ref ref)
{
    return ref.lane != NULL && ref.lane->up && ref.lane->generation == ref.generation;
}

enum pg_bound pg_bind(struct pg *pg, struct pg_ref *ref_r)
{
    struct pg_lane *best = NULL;
    bool taken = false;

    *ref_r = (struct pg_ref){ NULL, 0 };
    for (size_t i = 0; i < LANES; i++) {
        struct pg_lane *lane = &pg->lanes[i];

        taken = taken || (lane->up && lane->alone);
        if (lane->up && !lane->alone && (best == NULL || lane->bound < best->bound))
            best = lane;
    }
    if (best == NULL)
        return taken ? PG_WAIT : PG_AWAY;
    best->bound++;
    *ref_r = (struct pg_ref){ best, best->generation };
    return PG_BOUND;
}

enum pg_bound pg_bind_quick(struct pg *pg, struct pg_ref *ref_r)
{
    return pg_bind(pg, ref_r);
}

void pg_unbind(struct pg_ref ref)
{
    if (ref.lane == NULL || ref.lane->generation != ref.generation)
        return;
    MUST(ref.lane->bound > 0);
    ref.lane->bound--;
}

bool pg_bind_aside(struct pg *pg, struct pg_ref *ref_r)
{
    struct pg_lane *lane = &pg->lanes[ASIDE];

    *ref_r = (struct pg_ref){ NULL, 0 };
    if (!lane->up)
        return false;
    lane->bound++;
    *ref_r = (struct pg_ref){ lane, lane->generation };
    return true;
}

size_t pg_bound_aside(const struct pg *pg)
{
    return pg->lanes[ASIDE].bound;
}

enum pg_bound pg_bind_alone(struct pg *pg, struct pg_ref *ref_r)
{
    struct pg_lane *lane = &pg->lanes[ALONE];

    *ref_r = (struct pg_ref){ NULL, 0 };
    if (!lane->up)
        return pg->alone_fails ? PG_AWAY : PG_WAIT;
    lane->bound++;
    *ref_r = (struct pg_ref){ lane, lane->generation };
    return PG_BOUND;
}

void pg_rebind(struct pg_ref *ref, struct pg_ref to)
{
    MUST(pg_alive(to));
    pg_unbind(*ref);
    to.lane->bound++;
    *ref = to;
}

int pg_backend_pid(struct pg_ref ref)
{
    return pg_alive(ref) ? 4711 : 0;
}

struct pg_ref pg_listener(const struct pg *pg)
{
    for (size_t i = 0; i < LANES; i++)
        if (pg->lanes[i].up)
            return (struct pg_ref){ (struct pg_lane *)(uintptr_t)&pg->lanes[i], pg->lanes[i].generation };
    return (struct pg_ref){ NULL, 0 };
}

const char *pg_reply_channel(struct pg *pg)
{
    (void)pg;
    return "postern_reply_0123456789abcdef";
}

bool pg_is_alone(struct pg_ref ref)
{
    (void)ref;
    return true;
}

bool pg_keep_alone(struct pg *pg, struct pg_ref ref)
{
    (void)pg;
    if (!pg_alive(ref) || ref.lane->alone)
        return false;
    ref.lane->alone = true;
    return true;
}

void pg_share(struct pg_ref ref)
{
    if (ref.lane != NULL && ref.lane->generation == ref.generation)
        ref.lane->alone = false;
}

void pg_ask(struct pg *pg, struct pg_ref ref, size_t statement, const struct pg_args *args, pg_answer *answer, void *arg)
{
    /* What is sent was read: a value that is not there would be seen. */
    for (int i = 0; i < args->count; i++)
        exact_free(exact((struct span){ args->values[i], (size_t)args->lengths[i] }));
    if (!pg_alive(ref)) {
        pg_later(pg, DB_LOST, answer, arg);
        return;
    }
    MUST(ref.lane->count < DEEP);
    ref.lane->asked[ref.lane->count++] = (struct question){ &pg->statements->at[statement], answer, arg };
}

void pg_break(struct pg_ref ref, const char *why)
{
    (void)why;
    /* As a lane that is broken: dead at once, its questions are answered by and by, which is when the input says so. */
    if (pg_alive(ref))
        lose(ref.lane >= pgs[1]->lanes && ref.lane < pgs[1]->lanes + ALL_LANES ? pgs[1] : pgs[0], ref.lane, false);
}

const char *pg_sqlstate(const struct pg *pg) { return pg->sqlstate; }
uint64_t pg_server(struct pg_ref ref) { return ref.lane != NULL; }
bool pg_unconfirmed(const struct pg *pg) { return pg->unconfirmed; }
uint64_t pg_took_us(const struct pg *pg) { (void)pg; return 1; }
size_t pg_lanes_up(const struct pg *pg) { return pg->lanes[0].up + (size_t)pg->lanes[1].up; }
size_t pg_lanes_busy(const struct pg *pg) { return pg->lanes[0].count > 0; }
void pg_ask_grouped(struct pg *pg, struct pg_ref ref, size_t statement, const struct pg_args *args, pg_answer *answer, void *arg)
{
    pg_ask(pg, ref, statement, args, answer, arg);
}

unsigned long long pg_statements(const struct pg *pg) { (void)pg; return 0; }

/* libpq keeps it where only it can write to. */
char *PQcmdStatus(PGresult *res)
{
    static char status[2][9] = { "COMMIT", "ROLLBACK" };

    return status[PQntuples(res) > 0];
}

/* ------------------------------------------------------------------ answers */

static void put32(struct buf *out, uint64_t v)
{
    uint32_t be = htonl((uint32_t)v);

    buf_add(out, &be, sizeof be);
}

static void put64(struct buf *out, uint64_t v)
{
    uint64_t be = htobe64(v);

    buf_add(out, &be, sizeof be);
}

/* What makes sense most of the time, or eight octets. */
static uint64_t any_number(uint64_t sense)
{
    uint8_t kind = take_octet(&in);

    return kind < 200 ? sense : kind < 240 ? kind - 200u : take_number(&in, 8);
}

static void put_array(struct buf *out, Oid element)
{
    uint32_t count = take_octet(&in) % 12;

    if (take_octet(&in) >= 240) {
        struct span raw = take_text(&in);
        buf_add(out, raw.at, raw.len);
        return;
    }
    put32(out, count > 0);
    put32(out, 0);
    put32(out, element);
    if (count == 0)
        return;
    put32(out, count);
    put32(out, 1);
    for (uint32_t i = 0; i < count; i++) {
        if (element == PG_INT8) {
            put32(out, 8);
            put64(out, any_number(i + 1u));
        } else if (take_octet(&in) < 128) {
            put32(out, UINT32_MAX);
        } else {
            struct span text = take_text(&in);
            put32(out, text.len);
            buf_add(out, text.at, text.len);
        }
    }
}

/* False: null. */
static bool put_value(struct buf *out, Oid type, int row)
{
    uint8_t kind = take_octet(&in);
    struct span text;

    if (kind >= 250)
        return false;
    if (kind >= 245) {      /* of another size */
        text = take_text(&in);
        buf_add(out, text.at, text.len);
        return true;
    }
    switch (type) {
    case PG_BOOL:
        buf_add(out, kind & 1 ? "\1" : "\0", 1);
        break;
    case PG_INT4:
        put32(out, any_number(kind % 4));
        break;
    case PG_INT8:
        put64(out, any_number((uint64_t)row + kind % 16));
        break;
    case PG_INT8_ARRAY:
        put_array(out, PG_INT8);
        break;
    case PG_TEXT_ARRAY:
        put_array(out, PG_TEXT);
        break;
    default:                /* text and octets, long ones now and then */
        text = take_text(&in);
        for (unsigned n = kind & 32 ? 40 : 1; n > 0 && buf_left(out) + text.len <= VALUE_MAX; n--)
            buf_add(out, text.at, text.len);
        break;
    }
    return true;
}

static PGresult *make_result(const struct pg_statement *statement)
{
    static char name[] = "c";
    PGresAttDesc columns[9] = { { .name = name, .format = 1 } };
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    uint8_t rows = take_octet(&in);
    int count = 0;

    MUST(res != NULL);
    for (; count < statement->column_count; count++)
        columns[count] = columns[0];
    rows = rows < 160 ? 1 : rows % ROWS_MAX;
    if (count == 0) {
        /* PQcmdStatus() above goes by the rows. */
        count = rows != 1;
        rows = rows != 1;
    }
    MUST(count == 0 || PQsetResultAttrs(res, count, columns) == 1);
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < count; column++) {
            struct buf value = BUF_EMPTY;
            bool there = put_value(&value, column < statement->column_count ? statement->columns[column] : 0, row);
            MUST(PQsetvalue(res, row, column, there ? (value.data != NULL ? value.data : name) : NULL, there ? (int)buf_left(&value) : -1) == 1);
            buf_free(&value);
        }
    return res;
}

static bool expunged[MAILBOXES];    /* by an answer that said so, since the mailbox was opened */

static void answer_next(struct pg *pg, struct pg_lane *lane)
{
    static const enum db_status faults[] = { DB_RETRY, DB_BUG, DB_RETRY, DB_LOST };
    static const char *const states[] = { "", "40P01", "53100", "PN423", "PN401" };
    struct question q = lane->asked[0];
    uint8_t kind = take_octet(&in);

    if (lane->count == 0)
        return;
    lane->count--;
    memmove(lane->asked, lane->asked + 1, lane->count * sizeof lane->asked[0]);
    pg->sqlstate = "";
    if (kind >= 224) {
        pg->sqlstate = states[kind / 4 % 5];
        q.answer(q.arg, faults[kind % 4], NULL);
    } else {
        if (q.statement == &maildrop_statements.at[PG_EXPUNGE])
            expunged[0] = expunged[1] = true;
        q.answer(q.arg, DB_OK, make_result(q.statement));
    }
}

/* At the end of a store. */
bool pg_wait(struct pg *pg, int ms)
{
    MUST(ms > 0);
    for (size_t i = 0; i < ALL_LANES; i++)
        if (pg->lanes[i].up && pg->lanes[i].count > 0) {
            answer_next(pg, &pg->lanes[i]);
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------ sessions */

static struct slot {
    struct drop *drop;
    uint64_t opening;           /* 0: nothing is asked */
    int64_t mailbox;
    bool reading, gives_up, finishing, marked;
    enum drop_want want;
    size_t message;
    uint32_t piece;             /* 0: the next one is the first of a message */
    uint64_t octets;
} slots[SLOTS];
static size_t finishing, jobs, large_ones;
static struct store *store;
static struct deliver *deliver;

static void check_alone(void)
{
    for (size_t i = 0; i < SLOTS; i++)
        for (size_t k = i + 1; k < SLOTS; k++)
            MUST(slots[i].drop == NULL || slots[k].drop == NULL || slots[i].mailbox != slots[k].mailbox ||
                 drop_lost(slots[i].drop) || drop_lost(slots[k].drop));
}

static void opened(void *owner, enum db_status status, struct drop *drop)
{
    struct slot *s = owner;

    MUST(s->opening != 0 && s->drop == NULL && (status == DB_OK) == (drop != NULL));
    s->opening = 0;
    s->drop = drop;
    if (drop == NULL)
        return;
    check_alone();
    for (size_t i = 0; i < drop_count(drop); i++) {
        char uidl[UIDL_MAX];
        size_t len = drop_message_uidl(drop, i, uidl);
        MUST(len >= 1 && len <= UIDL_MAX && drop_message_octets(drop, i) <= drop_octets(drop));
    }
}

static void finished_marked(void *owner, enum db_status status)
{
    const bool *fine = owner;

    MUST(status != DB_OK || *fine);
    finishing--;
}

static void finished(void *owner, enum db_status status)
{
    (void)owner, (void)status;
    finishing--;
}

static void finish(struct slot *s, bool marks)
{
    size_t count = drop_count(s->drop);
    unsigned char *marked = calloc(count + 1, 1);

    MUST(marked != NULL);
    for (size_t i = 0; i < count; i++)
        marked[i] = take_octet(&in) & 1;
    marks = marks && memchr(marked, 1, count) != NULL;
    expunged[s->mailbox - 1] = false;
    finishing++;
    drop_finish(&s->drop, marks ? marked : NULL, marks ? finished_marked : finished, &expunged[s->mailbox - 1]);
    free(marked);
    *s = (struct slot){ .drop = NULL };
}

static bool asked(void *owner, const char *by, bool ordered)
{
    struct slot *s = owner;

    MUST(strlen(by) < 100);
    if (s->drop == NULL || (!s->gives_up && !ordered))
        return false;
    finish(s, false);
    return true;
}

static void begin_open(struct slot *s)
{
    uint8_t flags = take_octet(&in);
    const struct drop_holder holder = {
        .session = "0123456789ab", .peer = "192.0.2.1:4242", .protocol = "pop3", .since = 1, .asked = flags & 4 ? NULL : asked, .asks = flags & 2,
    };

    if (s->drop != NULL || s->opening != 0)
        return;
    *s = (struct slot){ .mailbox = flags % MAILBOXES + 1, .gives_up = flags & 8 };
    struct login_lane *lane = login_lane_new(store, NULL, NULL);
    uint32_t pid;
    MUST(login_lane_pid(lane, &pid));
    s->opening = drop_open(store, &lane, &(struct mailbox_ref){ s->mailbox }, &holder, opened, s);
}

static void take_piece(struct slot *s, struct piece *piece)
{
    for (size_t i = 0; i < piece->count; i++) {
        struct span copy = exact(piece->spans[i]);
        s->octets += copy.len;
        exact_free(copy);
    }
    MUST(s->octets <= drop_message_octets(s->drop, s->message));
    if (piece->last) {
        MUST(s->octets == drop_message_octets(s->drop, s->message));
        drop_note_retrieved(s->drop, s->message);
        if (take_octet(&in) & 1)
            drop_note_sent(s->drop);
        s->message++;
        s->piece = 0;
    } else {
        s->piece++;
    }
    if (s->piece == 0)
        s->octets = 0;
    piece_release(piece->ref);
}

static void piece_came(void *owner, enum db_status status, struct piece piece)
{
    struct slot *s = owner;

    MUST(s->reading);
    s->reading = false;
    if (status == DB_OK) {
        take_piece(s, &piece);
    } else {
        s->piece = 0;
        s->octets = 0;
        s->message++;
    }
}

static void begin_read(struct slot *s)
{
    struct piece piece;
    uint8_t how = take_octet(&in);

    if (s->drop == NULL || s->reading || drop_count(s->drop) == 0)
        return;
    if (s->piece == 0 && how & 2)
        s->message = how / 4;
    if (s->piece == 0)
        s->want = (how & 1) == 0 ? WANT_WHOLE : how & 128 ? WANT_HEADER : WANT_BEGINNING;
    s->message %= drop_count(s->drop);
    s->reading = true;
    if (drop_read(s->drop, s->message, s->piece, s->want, &piece, piece_came, s)) {
        MUST(!drop_lost(s->drop));
        s->reading = false;
        take_piece(s, &piece);
    }
}

static void no_more_reading(struct slot *s)
{
    if (!s->reading)
        return;
    drop_read_forget(s->drop);
    s->reading = false;
    s->piece = 0;
    s->octets = 0;
}

/* ---------------------------------------------------------------- deliveries */

static void resolved(void *owner, enum db_status status, const struct resolved *rows, size_t count)
{
    (void)owner;
    MUST(status == DB_OK || count == 0);
    for (size_t i = 0; i < count; i++)
        MUST(rows[i].recipient < 3 && ((rows[i].verdict >= RECIPIENT_OK && rows[i].verdict <= RECIPIENT_NEVER_FITS) || rows[i].verdict == RECIPIENT_ELSEWHERE));
    jobs--;
}

static void delivered(void *owner, const struct delivery_result *result)
{
    (void)owner;
    MUST((result->status == DB_OK) == (result->recipients != NULL) && result->count == 2);
    for (size_t i = 0; result->recipients != NULL && i < result->count; i++)
        MUST(result->recipients[i].verdict >= RECIPIENT_OK && result->recipients[i].verdict <= RECIPIENT_DUPLICATE);
    MUST(result->lost_count == 0 || (result->status == DB_OK && result->lost != NULL));
    for (size_t i = 0; i < result->lost_count; i++)
        MUST(result->lost[i].recipient < result->count && result->lost[i].why > RECIPIENT_OK && result->lost[i].why <= RECIPIENT_NEVER_FITS);
    jobs--;
}

static void begin_resolve(void)
{
    static const struct resolve_question questions[] = { { "anna@example.org", NULL }, { "b+x@example.org", "b@example.org" }, { "postmaster", NULL } };

    if (jobs >= JOBS_MAX)
        return;
    jobs++;
    deliver_resolve(deliver, questions, 3, take_octet(&in), NULL, resolved, NULL);
}

static void begin_delivery(bool large)
{
    static char text[LARGE];
    static const struct mailbox_ref mailboxes[] = { { 1 }, { 2 }, { 3 } };
    const struct delivery_recipient recipients[] = {
        { .address = "anna@example.org", .mailboxes = mailboxes, .count = 1 },
        { .address = "b@example.org", .mailboxes = mailboxes + 1, .count = 2, .has_key = large },
    };
    const struct delivery_terms terms = { .window = 1000, .all = large, .session = "1f0c77aa.1" };
    struct spool *spool;
    struct deliver_job *job;

    if (jobs >= JOBS_MAX || (large && ++large_ones > LARGE_MAX))
        return;
    spool = spool_new(spools);
    memset(text, 'x', sizeof text);
    MUST(spool_add(spool, (struct span){ text, large ? sizeof text : 100 }));
    jobs++;
    job = deliver_message(deliver, &spool, recipients, 2, &terms, delivered, NULL);
    if (take_octet(&in) > 240) {
        deliver_forget(job);
        jobs--;
    }
}

/* --------------------------------------------------------------------- target */

static void stop_loop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void turn(void)
{
    loop_defer(loop, stop_loop, NULL);
    loop_run(loop);
}

static void notify(void)
{
    static const char *const channels[] = { PG_ASK_CHANNEL, "postern_reply_0123456789abcdef" };
    uint8_t kind = take_octet(&in), mailbox = take_octet(&in);
    char text[300];

    if (pg_listener(pgs[0]).lane == NULL)
        return;
    if (kind < 200) {
        static const char to[] = "postern_reply_fedcba9876543210";
        unsigned n = mailbox % 4u;
        switch (kind % 5) {
        case 0: snprintf(text, sizeof text, "who %s", to); break;
        case 1: snprintf(text, sizeof text, "release %u %s 0123456789ab", n, to); break;
        case 2: snprintf(text, sizeof text, "order %u %s", n, to); break;
        default: snprintf(text, sizeof text, "%s %u", kind % 5 == 3 ? "free" : "busy", n); break;
        }
        pgs[0]->events->notified(pgs[0]->owner, channels[kind % 5 > 2], text, 4712);
        return;
    }
    char *own = exact_string(take_text(&in));
    pgs[0]->events->notified(pgs[0]->owner, channels[mailbox & 1], own, 4712);
    free(own);
}

/* What timers do. */
static void time_passes(uint8_t what)
{
    switch (what) {
    case 0: case 1: case 2:
        if (store->aside->due)
            aside_next(store->aside);
        break;
    case 3:
        if (store->reclaim->busy)
            reclaim_next(store->reclaim);
        break;
    case 4:
        takeover_due(store->takeover);
        break;
    case 5:
        read_ahead_forget(store->read_ahead);
        break;
    case 6:
        alone_next(store->alone);
        break;
    default:
        tell_later(pgs[0]);
        tell_later(pgs[1]);
        turn();
        break;
    }
}

static void step(void)
{
    uint8_t what = take_octet(&in);
    struct slot *s = &slots[what / 16 % SLOTS];
    struct pg *pg = pgs[what >= 128];
    struct pg_lane *lane = &pg->lanes[what / 64 % 2];

    switch (what % 16) {
    case 0: case 1: case 2: case 3:
        answer_next(pg, lane);
        break;
    case 4:
        answer_next(pgs[0], &pgs[0]->lanes[what & 64 ? ALONE : ASIDE]);
        break;
    case 5:
        begin_open(s);
        break;
    case 6:
        if (s->opening != 0) {
            drop_forget(store, s->opening);
            *s = (struct slot){ .drop = NULL };
        }
        break;
    case 7: case 8:
        begin_read(s);
        break;
    case 9:
        no_more_reading(s);
        break;
    case 10:
        if (s->drop != NULL)
            finish(s, what & 64);
        break;
    case 11:
        lane = what & 32 ? &pg->lanes[what & 16 ? ALONE : ASIDE] : lane;
        if (lane->up) {
            lose(pg, lane, false);
        } else {
            lane->up = true;
            pg->events->decided(pg->owner);
        }
        break;
    case 12:
        notify();
        break;
    case 13:
        begin_resolve();
        break;
    case 14:
        begin_delivery(what & 16);
        break;
    case 15:
        time_passes(what / 16);
        break;
    }
}

static void no_problem(void *arg, const char *file, int line, const char *text)
{
    (void)arg, (void)file, (void)line, (void)text;
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct option_target target = { &storage_options, &settings };

    (void)argc, (void)argv;
    secret_init();
    MUST(log_open("/dev/null", LOG_LEVEL_ERROR, "fuzz", &(const char *){ NULL }));
    MUST(options_load(NULL, &target, 1, NULL, false, no_problem, NULL) == 0);
    loop = loop_new();
    spools = spool_space_new("/dev/shm", UINT64_MAX, UINT64_MAX);
    return 0;
}

static void wrong_schema(void *arg, const char *text)
{
    (void)arg, (void)text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = (struct span){ (const char *)data, size };
    store = store_new(loop, &settings, "", wrong_schema, NULL);
    deliver = deliver_new(loop, &settings, "", wrong_schema, NULL);
    large_ones = 0;
    store->aside->rest = 0;
    store->aside->many = 1;
    store->alone->many = 2;
    for (unsigned n = 0; in.len > 0 && n < STEPS_MAX; n++)
        step();
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].opening != 0)
            drop_forget(store, slots[i].opening);
        else if (slots[i].drop != NULL)
            finish(&slots[i], false);
        slots[i] = (struct slot){ .drop = NULL };
    }
    /* Everything that is asked is answered or lost; who ends is told. */
    pgs[0]->alone_fails = true;
    for (size_t i = 0; i < ALL_LANES; i++)
        lose(pgs[0], &pgs[0]->lanes[i], false);
    for (size_t i = 0; i < LANES; i++)
        lose(pgs[1], &pgs[1]->lanes[i], false);
    while (pgs[0]->later_count + pgs[1]->later_count > 0) {
        tell_later(pgs[0]);
        tell_later(pgs[1]);
    }
    for (int i = 0; i < 10; i++) {
        alone_next(store->alone);
        tell_later(pgs[0]);
    }
    MUST(finishing == 0 && jobs == 0);
    MUST(store_held(store) == 0);
    store_free(&store);
    deliver_free(&deliver);
    turn();
    return 0;
}
