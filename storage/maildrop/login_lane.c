/*
 * login_lane.c - lanes of logins, and those that wait for one (see login_lane.h).
 */
#include "storage/maildrop/login_lane.h"

#include "daemon/base/mem.h"
#include "storage/maildrop/drop_impl.h"

struct login_lane {
    struct store *store;
    void (*ready)(void *owner);
    void *owner;
    struct pg_ref ref;
    enum pg_bound bound;        /* PG_WAIT: it is in the list of those that wait */
    TAILQ_ENTRY(login_lane) next;
};

struct login_lane *login_lane_new(struct store *store, void (*ready)(void *owner), void *owner)
{
    struct login_lane *l = mem_zalloc(sizeof *l);

    l->store = store;
    l->ready = ready;
    l->owner = owner;
    l->bound = pg_bind(store->pg, &l->ref);
    if (l->bound == PG_WAIT)
        TAILQ_INSERT_TAIL(&store->opens.waiting, l, next);
    return l;
}

enum pg_bound login_lane_take(struct login_lane **lane, struct pg_ref *ref_r)
{
    struct login_lane *l = *lane;
    enum pg_bound bound = l->bound;

    ASSERT(bound != PG_WAIT);
    *lane = NULL;
    *ref_r = l->ref;
    mem_free(l);
    return bound;
}

void login_lane_free(struct login_lane **lane)
{
    struct login_lane *l = *lane;

    if (l == NULL)
        return;
    *lane = NULL;
    if (l->bound == PG_WAIT)
        TAILQ_REMOVE(&l->store->opens.waiting, l, next);
    pg_unbind(l->ref);
    mem_free(l);
}

bool login_lane_pid(const struct login_lane *l, uint32_t *pid_r)
{
    *pid_r = (uint32_t)pg_backend_pid(l->ref);
    return l->bound != PG_WAIT;
}

void login_lanes_decided(struct store *store)
{
    struct login_lane *l;

    while ((l = TAILQ_FIRST(&store->opens.waiting)) != NULL) {
        l->bound = pg_bind(store->pg, &l->ref);
        if (l->bound == PG_WAIT)
            return;
        TAILQ_REMOVE(&store->opens.waiting, l, next);
        l->ready(l->owner);
    }
}
