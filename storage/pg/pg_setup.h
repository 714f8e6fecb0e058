/*
 * pg_setup.h - what a new connection of a lane is asked before anybody else
 * asks anything.
 */
#ifndef POSTERN_STORAGE_PG_SETUP_H
#define POSTERN_STORAGE_PG_SETUP_H

#include "storage/pg/pg_impl.h"

/* False: libpq says why. */
bool setup_send(struct pg_lane *lane);

enum setup {
    SETUP_UNDER_WAY,
    SETUP_DONE,
    SETUP_FAILED,           /* why says it */
    SETUP_HOPELESS,         /* the same, and to try again does not mend it */
    SETUP_OTHER_HOST,       /* the same, of a standby or a primary of before: another host of the list may be the one */
    SETUP_WRONG_SCHEMA,     /* of *version_r, 0 for none */
};
/* Something has come. */
enum setup setup_read(struct pg_lane *lane, char why[PG_WHY_SIZE], int *version_r);

#endif
