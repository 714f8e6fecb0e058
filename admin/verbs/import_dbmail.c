/*
 * import_dbmail.c - the options that name a database of DBMail (see import_dbmail.h).
 */
#include "admin/verbs/import_dbmail.h"

#include "admin/mail/source_dbmail.h"
#include "admin/mail/sync.h"

enum ctl_exit import_dbmail_options(const struct ctl *c, int64_t *sync_limit_r)
{
    static const enum ctl_option others[] = {
        OPT_POP3, OPT_PASSWORD_FILE, OPT_MASTER, OPT_TLS_CA, OPT_ACCEPT, OPT_WAIT, OPT_FORMAT, OPT_QUOTING, OPT_ANY,
        OPT_FOLLOW_LINKS, OPT_UIDLS, OPT_UIDL_FORMAT, OPT_SERVER, OPT_CONTROL, OPT_DOVECONF, OPT_FOLDERS,
    };

    if (c->nargs > 1)
        return ctl_error(CTL_USAGE, "--dbmail and paths exclude each other");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (c->opt[others[i]] != NULL)
            return ctl_error(CTL_USAGE, "--%s does not go with --dbmail", ctl_options[others[i]].name);
    if (c->opt[OPT_SYNC] != NULL && c->opt[OPT_SET_UIDLS] != NULL)
        return ctl_error(CTL_USAGE, "--sync and --set-uidls exclude each other");
    if (c->opt[OPT_SYNC_LIMIT] != NULL && c->opt[OPT_SYNC] == NULL)
        return ctl_error(CTL_USAGE, "--sync-limit is for --sync");
    if (!ctl_number(c, OPT_SYNC_LIMIT, SYNC_LIMIT, 100, sync_limit_r))
        return CTL_USAGE;
    return import_dbmail_common(c);
}

enum ctl_exit import_dbmail_common(const struct ctl *c)
{
    const char *fault = c->opt[OPT_DBMAIL] != NULL ? source_dbmail_fault(c->opt[OPT_DBMAIL]) : NULL;

    /* It may hold a password: it is not shown. */
    return fault != NULL ? ctl_error(CTL_USAGE, "the connection string of --dbmail %s", fault) : CTL_DONE;
}

struct source *import_dbmail_open(const struct ctl *c, const char *user)
{
    return source_dbmail_new(&(struct source_dbmail_how){ .conninfo = c->opt[OPT_DBMAIL], .user = user });
}

struct source *import_dbmail_open_user(const struct ctl *c, const char *mailbox)
{
    return import_dbmail_open(c, c->opt[OPT_USER] != NULL ? c->opt[OPT_USER] : mailbox);
}
