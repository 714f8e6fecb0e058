/*
 * listing.c - built once, in one piece of memory, then only read.
 */
#include "storage/maildrop/listing.h"

#include <stdbool.h>

#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum { UIDVALIDITY_BITS = 48 };

struct listing {
    size_t refs;
    struct listing_state state;
    size_t count;
    uint64_t octets;
    int64_t first_uid;
    size_t memory;
    bool wide;              /* the numbers do not fit in 32 bits */
    /* One of the pairs is set. In the narrow one uids are counted from first_uid. */
    uint32_t *uid32, *octets32;
    int64_t *uid64;
    uint64_t *octets64;
    /* Own UIDLs, one behind the other: that of i lies from uidl_at[i] to uidl_at[i + 1]. NULL if there is none. */
    uint32_t *uidl_at;
    char *uidls;
};

/* What must be known before the memory is taken. */
struct plan {
    size_t count, uidl_octets;
    bool has_uidls;
    int64_t first_uid, last_uid;
    uint64_t octets, largest;
};

static struct listing *make(const struct plan *plan, const struct listing_state *state)
{
    bool wide = plan->count > 0 &&
                ((uint64_t)plan->last_uid - (uint64_t)plan->first_uid > UINT32_MAX || plan->largest > UINT32_MAX);
    size_t each = wide ? sizeof(int64_t) + sizeof(uint64_t) : 2 * sizeof(uint32_t);
    size_t numbers = plan->count * each;
    size_t ends = plan->has_uidls ? (plan->count + 1) * sizeof(uint32_t) : 0;
    size_t memory = sizeof(struct listing) + numbers + ends + plan->uidl_octets;
    struct listing *l = mem_alloc(memory);

    *l = (struct listing){
        .refs = 1, .state = *state, .octets = plan->octets, .first_uid = plan->first_uid, .memory = memory, .wide = wide
    };
    char *at = (char *)(l + 1);
    if (wide) {
        l->uid64 = (int64_t *)(void *)at;
        l->octets64 = (uint64_t *)(void *)(at + plan->count * sizeof(int64_t));
    } else {
        l->uid32 = (uint32_t *)(void *)at;
        l->octets32 = l->uid32 + plan->count;
    }
    if (plan->has_uidls) {
        l->uidl_at = (uint32_t *)(void *)(at + numbers);
        l->uidl_at[0] = 0;
        l->uidls = at + numbers + ends;
    }
    return l;
}

static void append(struct listing *l, int64_t uid, uint64_t octets, struct span uidl)
{
    size_t i = l->count++;

    if (l->wide) {
        l->uid64[i] = uid;
        l->octets64[i] = octets;
    } else {
        l->uid32[i] = (uint32_t)(uid - l->first_uid);
        l->octets32[i] = (uint32_t)octets;
    }
    if (l->uidl_at != NULL) {
        if (uidl.len > 0)
            memcpy(l->uidls + l->uidl_at[i], uidl.at, uidl.len);
        l->uidl_at[i + 1] = l->uidl_at[i] + (uint32_t)uidl.len;
    }
}

static struct span own_uidl(const struct listing *l, size_t i)
{
    if (l->uidl_at == NULL)
        return (struct span){ NULL, 0 };
    return (struct span){ l->uidls + l->uidl_at[i], l->uidl_at[i + 1] - l->uidl_at[i] };
}

/* ---- from the database */

static bool plan_message(struct plan *plan, int64_t uid, int64_t octets, struct span uidl, const char **error_r)
{
    /* cppcheck-suppress ctunullpointer ; walk() has a plan where it has no listing to fill */
    if (uid <= plan->last_uid) {
        *error_r = "the uids do not rise";
        return false;
    }
    if (octets < 0 || !num_add(plan->octets, (uint64_t)octets, &plan->octets)) {
        *error_r = "the sizes are out of range";
        return false;
    }
    if (plan->count == 0)
        plan->first_uid = uid;
    plan->count++;
    plan->last_uid = uid;
    if ((uint64_t)octets > plan->largest)
        plan->largest = (uint64_t)octets;
    plan->uidl_octets += uidl.len;
    plan->has_uidls |= uidl.len > 0;
    return true;
}

/* Goes over the three arrays side by side: into the plan, or, if there is one, into the listing to fill. */
static bool walk(struct span uids, struct span octets, struct span uidls, struct plan *plan, struct listing *fill,
                 const char **error_r)
{
    struct pg_array u, o, t;
    bool with_uidls = uidls.at != NULL;

    *error_r = "an array is not what was declared";
    if (uids.at == NULL && octets.at == NULL && !with_uidls)
        return true;        /* array_agg over no rows */
    if (!pg_array_start(&u, uids, PG_INT8) || !pg_array_start(&o, octets, PG_INT8) ||
        (with_uidls && !pg_array_start(&t, uidls, PG_TEXT)))
        return false;
    if (u.count != o.count || (with_uidls && t.count != u.count)) {
        *error_r = "the arrays are not of one length";
        return false;
    }
    for (uint32_t i = 0; i < u.count; i++) {
        int64_t uid, size;
        struct span uidl = { NULL, 0 };
        int own = 0;
        if (!pg_array_int8(&u, &uid) || !pg_array_int8(&o, &size))
            return false;
        if (with_uidls)
            own = pg_array_next(&t, &uidl);
        if (own < 0)
            return false;
        if (own == 1 && uidl_fault(uidl) != NULL) {
            *error_r = "a UIDL is none";
            return false;
        }
        if (fill != NULL)
            append(fill, uid, (uint64_t)size, uidl);
        else if (!plan_message(plan, uid, size, uidl, error_r))
            return false;
    }
    return pg_array_ended(&u) && pg_array_ended(&o) && (!with_uidls || pg_array_ended(&t));
}

struct listing *listing_decode(const struct listing_state *state, const struct listing *before, struct span uids,
                               struct span octets, struct span uidls, const char **error_r)
{
    struct plan plan = { 0 };

    if (before != NULL)
        for (size_t i = 0; i < before->count; i++)
            plan_message(&plan, listing_uid(before, i), (int64_t)listing_message_octets(before, i), own_uidl(before, i),
                         error_r);
    if (!walk(uids, octets, uidls, &plan, NULL, error_r))
        return NULL;
    if (plan.last_uid >= state->next_uid || state->uidvalidity < 0 || state->uidvalidity >> UIDVALIDITY_BITS != 0) {
        *error_r = "the state of the mailbox is out of range";
        return NULL;
    }
    if (plan.uidl_octets > UINT32_MAX) {
        *error_r = "the UIDLs are too long together";
        return NULL;
    }

    struct listing *l = make(&plan, state);
    if (before != NULL)
        for (size_t i = 0; i < before->count; i++)
            append(l, listing_uid(before, i), listing_message_octets(before, i), own_uidl(before, i));
    walk(uids, octets, uidls, &plan, l, error_r);
    return l;
}

struct listing *listing_without(const struct listing *before, const unsigned char *marks)
{
    struct plan plan = { 0 };
    struct listing_state state = before->state;
    const char *error;

    state.expunges++;
    for (size_t i = 0; i < before->count; i++)
        if (marks[i] == 0)
            plan_message(&plan, listing_uid(before, i), (int64_t)listing_message_octets(before, i), own_uidl(before, i),
                         &error);
    struct listing *l = make(&plan, &state);
    for (size_t i = 0; i < before->count; i++)
        if (marks[i] == 0)
            append(l, listing_uid(before, i), listing_message_octets(before, i), own_uidl(before, i));
    return l;
}

/* ---- references */

struct listing *listing_hold(struct listing *l)
{
    l->refs++;
    return l;
}

void listing_release(struct listing **l)
{
    if (*l != NULL && --(*l)->refs == 0)
        mem_free(*l);
    *l = NULL;
}

/* ---- reading */

const struct listing_state *listing_state(const struct listing *l)
{
    return &l->state;
}

size_t listing_count(const struct listing *l)
{
    return l->count;
}

uint64_t listing_octets(const struct listing *l)
{
    return l->octets;
}

int64_t listing_uid(const struct listing *l, size_t i)
{
    ASSERT(i < l->count);
    return l->wide ? l->uid64[i] : l->first_uid + l->uid32[i];
}

uint64_t listing_message_octets(const struct listing *l, size_t i)
{
    ASSERT(i < l->count);
    return l->wide ? l->octets64[i] : l->octets32[i];
}

/*
 * `%012llx.%llu` of uidvalidity and uid, for ever: clients keep it to know what
 * they have. By hand, as a UIDL of 20,000 messages calls this 20,000 times.
 */
static size_t native_uidl(int64_t uidvalidity, int64_t uid, char *out)
{
    static const char digits[] = "0123456789abcdef";
    enum { HEX = UIDVALIDITY_BITS / 4 };

    for (int i = HEX - 1; i >= 0; i--) {
        out[i] = digits[uidvalidity & 15];
        uidvalidity >>= 4;
    }
    out[HEX] = '.';
    return HEX + 1 + num_format(out + HEX + 1, (uint64_t)uid);
}

size_t listing_uidl(const struct listing *l, size_t i, char out[UIDL_MAX])
{
    struct span own = own_uidl(l, i);

    if (own.len == 0)
        return native_uidl(l->state.uidvalidity, listing_uid(l, i), out);
    memcpy(out, own.at, own.len);
    return own.len;
}

size_t listing_memory(const struct listing *l)
{
    return l->memory;
}
