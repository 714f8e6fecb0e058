/*
 * queue.c - stochastic fair queueing: a fixed number of lines for each rank,
 * served in turn. Two clients who share a line by chance share its turn.
 */
#include "auth/client/queue.h"

#include "daemon/base/mem.h"

enum {
    LINES = 1024,
    /* Of so many turns one is for the lower ranks: whoever waits behind a crowd still gets there. */
    TURNS = 8,
};

TAILQ_HEAD(place_list, queue_place);

struct line {
    struct place_list places;
    size_t count;
    TAILQ_ENTRY(line) next;     /* among those of its rank that are not empty */
};

TAILQ_HEAD(line_list, line);

struct queue {
    size_t most, count, turn;
    struct place_list first;
    struct line_list waiting[QUEUE_RANKS];
    struct line lines[QUEUE_RANKS][LINES];
};

struct queue *queue_new(size_t most)
{
    struct queue *q = mem_zalloc(sizeof *q);

    ASSERT(most > 0);
    q->most = most;
    TAILQ_INIT(&q->first);
    for (int rank = 0; rank < QUEUE_RANKS; rank++) {
        TAILQ_INIT(&q->waiting[rank]);
        for (int i = 0; i < LINES; i++)
            TAILQ_INIT(&q->lines[rank][i].places);
    }
    return q;
}

void queue_free(struct queue **queue)
{
    mem_free(*queue);
    *queue = NULL;
}

static struct line *line_of(struct queue *q, const struct queue_place *p)
{
    return &q->lines[p->rank][p->line % LINES];
}

void queue_remove(struct queue *q, struct queue_place *p)
{
    struct line *line = line_of(q, p);

    q->count--;
    if (p->first) {
        TAILQ_REMOVE(&q->first, p, next);
        return;
    }
    TAILQ_REMOVE(&line->places, p, next);
    if (--line->count == 0)
        TAILQ_REMOVE(&q->waiting[p->rank], line, next);
}

/* The newest in the longest line of the lowest rank. Looked for only when the queue is full. */
static struct queue_place *greediest(struct queue *q)
{
    int rank = QUEUE_RANKS - 1;
    struct line *line, *longest;

    while (rank > 0 && TAILQ_EMPTY(&q->waiting[rank]))
        rank--;
    longest = TAILQ_FIRST(&q->waiting[rank]);
    TAILQ_FOREACH(line, &q->waiting[rank], next)
        if (line->count > longest->count)
            longest = line;
    return TAILQ_LAST(&longest->places, place_list);
}

struct queue_place *queue_put(struct queue *q, struct queue_place *p, uint64_t number, enum queue_rank rank)
{
    struct queue_place *out;
    struct line *line;

    p->line = number;
    p->rank = rank;
    p->first = false;
    line = line_of(q, p);
    TAILQ_INSERT_TAIL(&line->places, p, next);
    if (line->count++ == 0)
        TAILQ_INSERT_TAIL(&q->waiting[rank], line, next);
    if (++q->count <= q->most)
        return NULL;
    out = greediest(q);
    queue_remove(q, out);
    return out;
}

void queue_put_first(struct queue *q, struct queue_place *p)
{
    p->line = 0;
    p->rank = QUEUE_GOOD;
    p->first = true;
    TAILQ_INSERT_TAIL(&q->first, p, next);
    q->count++;
}

/* Which rank has this turn, QUEUE_RANKS for none: the highest that is there, now and then a lower one. */
static int rank_of_turn(struct queue *q, int lowest)
{
    int highest = 0, lower;

    while (highest <= lowest && TAILQ_EMPTY(&q->waiting[highest]))
        highest++;
    if (highest > lowest)
        return QUEUE_RANKS;
    if (++q->turn % TURNS != 0)
        return highest;
    /* Each second of these is for the lowest. */
    lower = lowest;
    if (q->turn / TURNS % 2 == 0)
        for (lower = highest + 1; lower < lowest && TAILQ_EMPTY(&q->waiting[lower]);)
            lower++;
    return lower <= lowest && !TAILQ_EMPTY(&q->waiting[lower]) ? lower : highest;
}

struct queue_place *queue_take(struct queue *q, enum queue_rank lowest)
{
    struct queue_place *p = TAILQ_FIRST(&q->first);

    if (p == NULL) {
        int rank = rank_of_turn(q, (int)lowest);
        if (rank == QUEUE_RANKS)
            return NULL;
        struct line *line = TAILQ_FIRST(&q->waiting[rank]);

        p = TAILQ_FIRST(&line->places);
        /* Behind the others, for its next one. */
        TAILQ_REMOVE(&q->waiting[rank], line, next);
        TAILQ_INSERT_TAIL(&q->waiting[rank], line, next);
    }
    queue_remove(q, p);
    return p;
}

size_t queue_count(const struct queue *q)
{
    return q->count;
}
