/*
 * helper.h - the auth helper: the only process that sees a stored secret.
 *
 * Plain blocking code with an own user and an own SQL role: takes one request
 * at a time from its worker, looks the credentials up, verifies, answers.
 */
#ifndef POSTERN_AUTH_HELPER_H
#define POSTERN_AUTH_HELPER_H

struct auth_settings;

/*
 * Runs until the worker's end of fd is closed; returns the exit status of the
 * process. conninfo is a libpq connection string for the role postern_auth;
 * login_cache is what login_cache_memory() gave, or -1, and is closed here;
 * schema_version is what the database's schema has to be at (another one is
 * AUTH_BROKEN); served is the set (MECH_BIT()) of mechanisms that can be offered:
 * exchanges of all others are refused. Called after privileges were dropped. A
 * database that is away is retried with each request (at most once a second):
 * AUTH_UNAVAILABLE meanwhile.
 */
int auth_helper_run(int fd, const char *conninfo, const struct auth_settings *settings, int schema_version,
                    int login_cache, unsigned served);

#endif
