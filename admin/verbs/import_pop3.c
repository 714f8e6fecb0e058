/*
 * import_pop3.c - the options of `import` that name a POP3 server (see import_pop3.h).
 */
#include "admin/verbs/import_pop3.h"

#include <string.h>
#include <unistd.h>

#include "admin/mail/source_pop3.h"
#include "admin/mail/sync.h"
#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum {
    WAIT = 600, WAIT_MAX = 7 * 86400,   /* seconds */
    ANSWER_MAX = 120,                   /* seconds, for one answer */
};

/* "untrusted,plaintext" */
static bool option_accept(const char *given, struct import_pop3 *p)
{
    while (given != NULL && *given != '\0') {
        struct span word = { given, strcspn(given, ", ") };

        if (span_is(word, SPAN_OF("untrusted"))) {
            p->untrusted = true;
        } else if (span_is(word, SPAN_OF("plaintext"))) {
            p->plaintext = true;
        } else if (word.len > 0) {
            ctl_error(CTL_USAGE, "\"%.*s\" is not untrusted or plaintext: see posternctl import --help",
                      (int)word.len, word.at);
            return false;
        }
        given += word.len + (given[word.len] != '\0');
    }
    return true;
}

enum ctl_exit import_pop3_common(const struct ctl *c, struct import_pop3 *p)
{
    return option_accept(c->opt[OPT_ACCEPT], p) && ctl_number(c, OPT_WAIT, WAIT, WAIT_MAX, &p->wait) &&
                   ctl_number(c, OPT_SYNC_LIMIT, SYNC_LIMIT, 100, &p->limit)
               ? CTL_DONE
               : CTL_USAGE;
}

enum ctl_exit import_pop3_options(const struct ctl *c, struct import_pop3 *p)
{
    static const enum ctl_option others[] = { OPT_USER,   OPT_PASSWORD_FILE, OPT_MASTER, OPT_TLS_CA,
                                              OPT_ACCEPT, OPT_WAIT,          OPT_SYNC,   OPT_SYNC_LIMIT };
    static const enum ctl_option of_files[] = {
        OPT_FORMAT, OPT_QUOTING,     OPT_ANY,    OPT_FOLLOW_LINKS, OPT_FOLDERS,
        OPT_UIDLS,  OPT_UIDL_FORMAT, OPT_SERVER, OPT_CONTROL,      OPT_DOVECONF,
    };
    const char *url = c->opt[OPT_POP3], *fault;

    for (size_t i = 0; url == NULL && i < sizeof others / sizeof others[0]; i++)
        if (c->opt[others[i]] != NULL)
            return ctl_error(CTL_USAGE, "--%s is for --pop3", ctl_options[others[i]].name);
    if (url == NULL && c->nargs > 1)
        return CTL_DONE;
    if (url == NULL)
        return ctl_error(CTL_USAGE, "import needs a path, --pop3 or --dbmail: see posternctl import --help");
    if (c->nargs > 1)
        return ctl_error(CTL_USAGE, "--pop3 and paths exclude each other");
    for (size_t i = 0; i < sizeof of_files / sizeof of_files[0]; i++)
        if (c->opt[of_files[i]] != NULL)
            return ctl_error(CTL_USAGE, "--%s is for files, and --pop3 has none", ctl_options[of_files[i]].name);
    if (c->opt[OPT_SYNC] != NULL && c->opt[OPT_SET_UIDLS] != NULL)
        return ctl_error(CTL_USAGE, "--sync and --set-uidls exclude each other");
    if (c->opt[OPT_SYNC_LIMIT] != NULL && c->opt[OPT_SYNC] == NULL)
        return ctl_error(CTL_USAGE, "--sync-limit is for --sync");
    if (import_pop3_common(c, p) != CTL_DONE)
        return CTL_USAGE;
    fault = pop3_address(url, &p->address);
    return fault != NULL ? ctl_error(CTL_USAGE, "\"%s\" %s: see posternctl import --help", url, fault) : CTL_DONE;
}

static bool read_secret(const struct ctl *c, struct import_pop3 *p, const char *user)
{
    const char *path = c->opt[OPT_PASSWORD_FILE];
    struct buf text = BUF_EMPTY;
    bool ok;

    secret_no_core();
    if (path != NULL)
        return secret_line_of_file(path, &p->secret);
    if (!isatty(STDIN_FILENO)) {
        ctl_error(CTL_USAGE, "there is no terminal to ask for the password of %s: use --password-file, - is standard "
                  "input", user);
        return false;
    }
    buf_addf(&text, "password of %s at %s: ", user, p->address.host);
    ok = secret_line_prompt(buf_span(&text).at, &p->secret);
    buf_free(&text);
    return ok;
}

struct source *import_pop3_log_in(const struct ctl *c, const struct import_pop3 *p, const char *url, const char *user,
                                  const struct import_pop3_told *told, char **why_r)
{
    const struct source_pop3_how how = {
        .pop3 = { .address = &p->address, .user = user, .secret = { p->secret.text, p->secret.len },
                  .master = c->opt[OPT_MASTER], .ca_file = c->opt[OPT_TLS_CA], .untrusted = p->untrusted,
                  .plaintext = p->plaintext, .stop = told->stop, .arg = told->arg,
                  .timeout = (unsigned)(p->wait < ANSWER_MAX ? p->wait : ANSWER_MAX) },
        .url = url, .patience = (unsigned)p->wait, .tell = told->tell, .arg = told->arg,
    };

    return source_pop3_new(&how, why_r);
}

struct source *import_pop3_open(const struct ctl *c, struct import_pop3 *p, const char *mailbox,
                                const struct import_pop3_told *told)
{
    const char *user = c->opt[OPT_USER] != NULL ? c->opt[OPT_USER] : mailbox, *master = c->opt[OPT_MASTER];
    struct source *source;
    char *why = NULL;

    if (!read_secret(c, p, master != NULL ? master : user))
        return NULL;
    source = import_pop3_log_in(c, p, c->opt[OPT_POP3], user, told, &why);
    if (source == NULL)
        ctl_error(CTL_FAILED, "%s: nothing was stored", why);
    mem_drop(&why);
    return source;
}

void import_pop3_free(struct import_pop3 *p)
{
    pop3_address_free(&p->address);
    secret_wipe(&p->secret, sizeof p->secret);
}
