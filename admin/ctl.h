/*
 * ctl.h - what the verbs of posternctl share: the command line as it was
 * understood, the connection, the ways to end.
 */
#ifndef POSTERN_ADMIN_CTL_H
#define POSTERN_ADMIN_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/cmdline.h"
#include "auth/settings.h"
#include "daemon/base/control.h"
#include "storage/maildrop/store.h"

struct pg_conn;

/* Exit statuses: posternctl(8). */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_PARTLY = 3,
    CTL_NO_DATABASE = 4,
    CTL_WRONG_SCHEMA = 5,
};

enum ctl_option {
#define OPTION(id, name, arg, letter, help) OPT_##id,
#include "admin/options.def"
#undef OPTION
    OPT_COUNT,
};

struct ctl {
    const char *opt[OPT_COUNT];     /* NULL: not given; "" for one without an argument */
    char **args;                    /* those after the verb */
    int nargs;
    bool json;                      /* show data as JSON, and say nothing else on standard output */
    struct pg_conn *db;             /* PGconn; NULL for a verb that does not ask for one */
    /* Where the operator of a tenant runs it (tenant.h): who that is, and their rights; else all are NULL. */
    char *operator_name, *tenant, *rights;
    bool unconfirmed;               /* db.c: the last commit was not confirmed by the standby that it has to wait for */
    /* The configuration, for verbs that read one: of the connection, of secrets, of the control socket. */
    struct storage_settings storage;
    struct auth_settings auth;
    struct control_settings control;
};

/* A handler says on standard error what went wrong before it returns anything but CTL_DONE. */
typedef enum ctl_exit ctl_run(struct ctl *c);

/* The options as the command line wants them (cmdline.h), by enum ctl_option. */
extern const struct cmdline_option ctl_options[OPT_COUNT];

/* "posternctl: ..." on standard error; bytes that a terminal could obey are shown as `?`. Returns `end`. */
enum ctl_exit ctl_error(enum ctl_exit end, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* From now on ctl_error() gives its line, lent, to this function in place of standard error; NULL: there again. */
void ctl_errors_to(void (*told)(void *arg, const char *line), void *arg);
/* One line for a change that was made. Nothing with --json, where only data is printed. */
void ctl_say(const struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Arguments in canonical form, terminated by a NUL; a bad one is reported and is
 * false. An address may be "@domain" where catch_all is allowed.
 */
enum { CTL_ADDRESS_SIZE = 321, CTL_DOMAIN_SIZE = 254 };
bool ctl_address(const char *arg, bool catch_all, char out[CTL_ADDRESS_SIZE]);
bool ctl_domain(const char *arg, char out[CTL_DOMAIN_SIZE]);
/* Octets: "500", "20M", "1G"; "none" is -1. */
bool ctl_quota(const char *arg, int64_t *octets_r);
/*
 * A moment of the past that an option holds (when.h), as PostgreSQL reads it: *text_r is out, or
 * NULL where it was not given.
 */
enum { CTL_TIME_SIZE = 32 };
bool ctl_time(const struct ctl *c, enum ctl_option option, char out[CTL_TIME_SIZE], const char **text_r);
/* The number that an option holds, from 1 to max, or what it is where it was not given. */
bool ctl_number(const struct ctl *c, enum ctl_option option, uint64_t not_given, uint64_t max, int64_t *n_r);

/* One for each row; they are in admin/verbs. */
#define VERB(word, action, run, fewest, most, needs, shows, options, args, help) ctl_run run;
#include "admin/verbs.def"
#undef VERB

#endif
