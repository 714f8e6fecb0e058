/*
 * list_rest.c - a long listing, some thousand messages at a time.
 *
 * How many messages a maildrop holds is its owner's business, and a million in one
 * answer would keep the other sessions of the lane waiting. Between two
 * questions their statements run. The lock keeps other sessions out; what an
 * operator removes meanwhile is in the listing or not, as if it was removed
 * right after the opening, and the next opening finds the listing outdated.
 */
#include "storage/maildrop/list_rest.h"

#include "daemon/base/log.h"
#include "storage/maildrop/listing.h"

enum { LISTED_AT_ONCE = 20000 };    /* postern.listed_at_once() */
/* Columns of PG_LIST_REST. */
enum { COL_UIDS, COL_OCTETS, COL_UIDLS };

static void ask(struct drop *drop);

static int64_t next_listed(const struct drop *drop)
{
    size_t count = listing_count(drop->listing);

    return count > 0 ? listing_uid(drop->listing, count - 1) + 1 : 0;
}

static bool is_whole(const struct drop *drop)
{
    return drop->opening.came < LISTED_AT_ONCE || next_listed(drop) >= listing_state(drop->listing)->next_uid;
}

static enum db_status take(struct drop *drop, const PGresult *res)
{
    struct span arrays[3] = { { NULL, 0 } };
    const char *error = "not one row";
    struct listing *all = NULL;
    size_t before = listing_count(drop->listing);

    for (int i = 0; i < 3 && PQntuples(res) == 1; i++)
        pg_get_bytes(res, 0, i, &arrays[i]);
    if (PQntuples(res) == 1)
        all = listing_decode(listing_state(drop->listing), drop->listing, arrays[COL_UIDS], arrays[COL_OCTETS],
                             arrays[COL_UIDLS], &error);
    if (all == NULL) {
        log_error(drop->who.session, "database statement=LIST_REST mailbox=%s result=bug: %s",
                  mailbox_text(&drop->place.mailbox).s, error);
        return DB_BUG;
    }
    listing_release(&drop->listing);
    drop->listing = all;
    drop->opening.came = listing_count(all) - before;
    return DB_OK;
}

static void answered(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;

    drop_charge(drop);
    if (status == DB_OK)
        status = take(drop, res);
    PQclear(res);
    if (status == DB_OK && !is_whole(drop) && drop_is_awaited(drop) && !drop->store->closing)
        ask(drop);
    else
        drop->opening.listed(drop, status);
}

static void ask(struct drop *drop)
{
    struct pg_args args = PG_ARGS_EMPTY;

    pg_arg_mailbox(&args, &drop->place.mailbox);
    pg_arg_int8(&args, next_listed(drop));
    pg_arg_int8(&args, listing_state(drop->listing)->next_uid);
    pg_arg_bytes(&args, mailbox_ticket_span(&drop->ticket));
    pg_ask(drop->store->pg, drop->lane, PG_LIST_REST, &args, answered, drop);
}

void list_rest(struct drop *drop, drop_listed *listed)
{
    drop->opening.listed = listed;
    if (is_whole(drop))
        listed(drop, DB_OK);
    else
        ask(drop);
}
