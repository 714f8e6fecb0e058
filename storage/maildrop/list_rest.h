/*
 * list_rest.h - what the first answer of an opening did not list.
 */
#ifndef POSTERN_STORAGE_LIST_REST_H
#define POSTERN_STORAGE_LIST_REST_H

#include "storage/maildrop/drop_impl.h"

typedef void drop_listed(struct drop *drop, enum db_status status);

/*
 * The listing of a drop that has its lock, of which opening.came messages came with the last answer,
 * is made whole: listed comes later, or within the call where it is whole. Where the status is not
 * DB_OK the lock may still be held.
 */
void list_rest(struct drop *drop, drop_listed *listed);

#endif
