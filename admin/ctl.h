/*
 * ctl.h - what the verbs of posternctl share: the command line as it was
 * understood, the connection, the ways to end.
 */
#ifndef POSTERN_ADMIN_CTL_H
#define POSTERN_ADMIN_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    OPT_CONFIG, OPT_AS, OPT_JSON, OPT_HELP, OPT_VERSION, /* of the tool: allowed everywhere */
    OPT_ALIAS_OF, OPT_ALL, OPT_ANY, OPT_BATCH, OPT_DOMAIN, OPT_DRY_RUN, OPT_FORCE, OPT_FORMAT, OPT_HASH,
    OPT_MAILBOX, OPT_MINUTES, OPT_NAME, OPT_OFF,
    OPT_PARTITIONS, OPT_QUICK, OPT_QUOTA, OPT_QUOTING, OPT_RATE, OPT_RAW, OPT_REMOVE, OPT_REMOVED, OPT_REPAIR,
    OPT_RESUME, OPT_SENDER,
    OPT_SESSION, OPT_SINCE, OPT_SKIP, OPT_SOCKET, OPT_STORE, OPT_TENANT, OPT_UID, OPT_UIDLS, OPT_WITH, OPT_YES,
    OPT_COUNT,
};

struct ctl {
    const char *opt[OPT_COUNT];     /* NULL: not given; "" for one without an argument */
    char **args;                    /* those behind the verb */
    int nargs;
    bool json;
    struct storage_settings storage;
    struct auth_settings auth;
    struct control_settings control;
    struct pg_conn *db;             /* PGconn; NULL for a verb that does not ask for one */
};

/* A handler says on standard error what went wrong before it returns anything but CTL_DONE. */
typedef enum ctl_exit ctl_run(struct ctl *c);

/* "posternctl: ..." on standard error; bytes that a terminal could obey are shown as `?`. Returns `end`. */
enum ctl_exit ctl_error(enum ctl_exit end, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One line for a change that was made. Nothing with --json, where only data is printed. */
void ctl_say(const struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Arguments in canonical form, with a NUL behind; a bad one is reported and is
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

ctl_run run_schema_init, run_schema_upgrade, run_schema_status;
ctl_run run_tenant_add, run_tenant_show, run_tenant_list, run_tenant_set, run_tenant_enable, run_tenant_disable,
    run_tenant_remove;
ctl_run run_domain_add, run_domain_show, run_domain_list, run_domain_set, run_domain_enable, run_domain_disable,
    run_domain_remove;
ctl_run run_mailbox_add, run_mailbox_show, run_mailbox_list, run_mailbox_set, run_mailbox_enable, run_mailbox_disable,
    run_mailbox_remove;
ctl_run run_alias_add, run_alias_show, run_alias_list, run_alias_set, run_alias_enable, run_alias_disable,
    run_alias_remove;
ctl_run run_app_password_add, run_app_password_list, run_app_password_remove;
ctl_run run_secrets_new_key, run_secrets_status, run_secrets_seal, run_secrets_unseal;
ctl_run run_policy_set, run_policy_show, run_policy_clear;
ctl_run run_password, run_import, run_export, run_message_list, run_message_show, run_message_remove, run_sessions,
    run_break, run_check, run_deliver;
ctl_run run_history, run_undelete, run_expire, run_du, run_verify, run_restored, run_erase, run_disclose;
ctl_run run_reload, run_drain, run_upgrade, run_kick, run_trace, run_log_level, run_status, run_top;

#endif
