/*
 * batch.c - passwords that are asked about together (see batch.h).
 *
 * Owns their order. Must never let one login's error or delay be another's, nor
 * look at a guess of a name before the one before it was counted.
 */
#include "auth/helper/batch.h"

#include <string.h>

#include "auth/account/account.h"
#include "auth/helper/answers.h"
#include "auth/name.h"
#include "daemon/base/mem.h"

enum { BATCH_MAX = CREDENTIALS_AHEAD_MAX };

struct item {
    struct auth_request request;
    char address[NAME_ADDRESS_MAX + 1];     /* empty: it is none */
    char network[FRAME_NETWORK_MAX + 1];
};

struct batch {
    struct accounts *accounts;
    struct answers *answers;
    size_t count;               /* of those that are not answered: the first ones */
    struct item *items[BATCH_MAX];
    struct item *slow;          /* the one that takes a slow hash here, or NULL; also in `items` */
    struct item places[BATCH_MAX];
};

struct batch *batch_new(struct accounts *accounts, struct answers *answers)
{
    struct batch *b = mem_zalloc(sizeof *b);

    b->accounts = accounts;
    b->answers = answers;
    return b;
}

void batch_free(struct batch **batch)
{
    mem_free(*batch);
    *batch = NULL;
}

bool batch_is_full(const struct batch *b)
{
    return b->count == BATCH_MAX;
}

void batch_add(struct batch *b, const struct auth_request *request)
{
    ASSERT(b->count < BATCH_MAX);
    struct item *item = &b->places[b->count];

    item->request = *request;
    if (!name_canonical(request->name, request->default_domain, item->address, NULL))
        item->address[0] = '\0';
    memcpy(item->network, request->origin.network.len > 0 ? request->origin.network.at : "",
           request->origin.network.len);
    item->network[request->origin.network.len] = '\0';
    b->items[b->count++] = item;
}

static void answer(struct batch *b, const struct item *item, struct account_verdict *v)
{
    const struct auth_request *r = &item->request;
    char session[FRAME_SESSION_MAX + 1] = "";

    memcpy(session, r->session.at, r->session.len);
    answers_verdict(b->answers, b->accounts, r->id, session, NULL, r->name, r->lane, v);
}

/* What the cache answers goes out before the database is asked; so does what is no question. */
static void answer_cached(struct batch *b)
{
    struct account_verdict v;
    size_t left = 0;

    for (size_t i = 0; i < b->count; i++)
        if (b->items[i]->request.report != REPORT_NONE) {
            account_report(b->accounts, &b->items[i]->request);
            answers_heard(b->answers, b->items[i]->request.id);
        } else if (account_check_cached(b->accounts, &b->items[i]->request, &v))
            answer(b, b->items[i], &v);
        else
            b->items[left++] = b->items[i];
    b->count = left;
    answers_send(b->answers);
}

/* This helper computes one slow hash, of the request that it was told to; others may be free for the rest. */
static void is_slow(struct batch *b, struct item *item)
{
    if (b->slow == NULL)
        b->slow = item;
    else
        answers_hand_back(b->answers, item->request.id);
}

static bool is_twice(const struct batch *b, size_t i)
{
    for (size_t k = 0; k < i && b->items[i]->address[0] != '\0'; k++)
        if (strcmp(b->items[k]->address, b->items[i]->address) == 0)
            return true;
    return false;
}

/* Those of different names; the others are for the next round, when this one was written down. */
static void serve_round(struct batch *b)
{
    struct credentials_question questions[BATCH_MAX] = { { NULL, NULL } };
    struct item *round[BATCH_MAX], *left[BATCH_MAX];
    size_t n = 0, lefts = 0, asked = 0;
    struct account_verdict v;

    for (size_t i = 0; i < b->count; i++)
        if (is_twice(b, i))
            left[lefts++] = b->items[i];
        else
            round[n++] = b->items[i];
    for (size_t i = 0; i < n; i++)
        if (round[i]->address[0] != '\0')
            questions[asked++] = (struct credentials_question){ round[i]->address, round[i]->network };
    bool in_time = account_look_ahead(b->accounts, questions, asked);
    for (size_t i = 0; i < n; i++) {
        if (!in_time)
            answers_hand_back(b->answers, round[i]->request.id);
        else if (account_check_quickly(b->accounts, &round[i]->request, &v))
            answer(b, round[i], &v);
        else
            is_slow(b, round[i]);
    }
    /* Exchanges, and the slow hash behind them, are to see what holds then, and what was counted now. */
    account_forget_ahead(b->accounts);
    answers_send(b->answers);
    account_write(b->accounts);
    memcpy(b->items, left, lefts * sizeof left[0]);
    b->count = lefts;
}

bool batch_serve(struct batch *b)
{
    size_t left = 0;

    answer_cached(b);
    /* What is told to be slow is asked for alone: nobody waits for it who need not. */
    for (size_t i = 0; i < b->count; i++)
        if (b->slow == NULL && b->items[i]->request.slow)
            b->slow = b->items[i];
        else
            b->items[left++] = b->items[i];
    b->count = left;
    if (b->slow == NULL && b->count == 1) {
        b->slow = b->items[0];
        b->count = 0;
    }
    while (b->count > 0)
        serve_round(b);
    return b->slow != NULL;
}

void batch_hash(struct batch *b)
{
    struct account_verdict v;

    account_check(b->accounts, &b->slow->request, &v);
    answer(b, b->slow, &v);
    answers_send(b->answers);
    account_write(b->accounts);
    b->slow = NULL;
}
