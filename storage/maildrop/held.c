/*
 * held.c - the maildrops that this worker holds, by mailbox.
 */
#include "storage/maildrop/held.h"

bool held_add(struct held *held, struct held_place *place)
{
    if (held_find(held, &place->mailbox) != NULL)
        return false;
    hash_add(&held->places, mailbox_key(&place->mailbox), &place->by_mailbox);
    place->there = true;
    return true;
}

void held_remove(struct held *held, struct held_place *place)
{
    if (!place->there)
        return;
    hash_remove(&held->places, &place->by_mailbox);
    place->there = false;
}

struct drop *held_find(const struct held *held, const struct mailbox_ref *mailbox)
{
    struct hash_link *link = hash_find(&held->places, mailbox_key(mailbox));

    return link != NULL ? HASH_OF(link, struct held_place, by_mailbox)->drop : NULL;
}

struct visit {
    void (*each)(struct drop *drop, void *arg);
    void *arg;
};

static void visit(struct hash_link *link, void *arg)
{
    const struct visit *v = arg;

    v->each(HASH_OF(link, struct held_place, by_mailbox)->drop, v->arg);
}

void held_each(struct held *held, void (*each)(struct drop *drop, void *arg), void *arg)
{
    hash_each(&held->places, visit, &(struct visit){ each, arg });
}

void held_free(struct held *held)
{
    hash_free(&held->places);
}
