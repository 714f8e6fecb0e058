/*
 * pg_error.h - errors of the database.
 */
#ifndef POSTERN_STORAGE_PG_ERROR_H
#define POSTERN_STORAGE_PG_ERROR_H

#include "storage/pg/pg_impl.h"

/* An error of the database: logged, not more than a few in ten seconds, and what it means for the asker. */
enum db_status pg_error(struct pg *pg, const PGresult *res, const char *what);

#endif
