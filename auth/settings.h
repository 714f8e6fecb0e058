/*
 * settings.h - the options of authentication (options.def), as auth helpers
 * and posternctl have them.
 */
#ifndef POSTERN_AUTH_SETTINGS_H
#define POSTERN_AUTH_SETTINGS_H

#include "daemon/base/options.h"
#include "daemon/base/sql.h"

struct auth_settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
#include "auth/options.def"
#undef OPTION
    enum sql_commit commit;     /* no option of its own: database_synchronous_commit */
    bool one_session;           /* nor this: nothing is asked of the database before somebody logs in */
};
extern const struct option_table auth_options;

#endif
