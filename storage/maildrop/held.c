/*
 * held.c - the maildrops that this worker holds, by mailbox.
 */
#include "storage/maildrop/store_impl.h"

bool held_add(struct held *held, struct drop *drop)
{
    if (held_find(held, &drop->mailbox) != NULL)
        return false;
    hash_add(&held->drops, mailbox_key(&drop->mailbox), &drop->by_mailbox);
    drop->held = true;
    return true;
}

void held_remove(struct held *held, struct drop *drop)
{
    if (!drop->held)
        return;
    hash_remove(&held->drops, &drop->by_mailbox);
    drop->held = false;
}

struct drop *held_find(const struct held *held, const struct mailbox_ref *mailbox)
{
    struct hash_link *link = hash_find(&held->drops, mailbox_key(mailbox));

    return link != NULL ? HASH_OF(link, struct drop, by_mailbox) : NULL;
}

struct visit {
    void (*each)(struct drop *drop, void *arg);
    void *arg;
};

static void visit(struct hash_link *link, void *arg)
{
    const struct visit *v = arg;

    v->each(HASH_OF(link, struct drop, by_mailbox), v->arg);
}

void held_each(struct held *held, void (*each)(struct drop *drop, void *arg), void *arg)
{
    hash_each(&held->drops, visit, &(struct visit){ each, arg });
}

void held_free(struct held *held)
{
    hash_free(&held->drops);
}
