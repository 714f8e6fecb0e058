/*
 * secrets.c - `secrets new-key`, `status`, `seal`, `unseal`, `new-ticket-key`: what is stored, and
 * whether a stolen database gives it away.
 *
 * Secrets are read and replaced one by one, each only if it is still the one
 * that was read, so that these can be stopped, run again, and run beside
 * logins and new passwords.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/verbs/keyring.h"
#include "admin/out.h"
#include "daemon/base/secret.h"

enum { BATCH = 500 };

enum ctl_exit run_secrets_new_key(struct ctl *c)
{
    char line[KEYRING_LINE_MAX], today[16] = "";
    time_t now = time(NULL);
    struct tm t;

    if (gmtime_r(&now, &t) != NULL)
        strftime(today, sizeof today, "%Y-%m-%d", &t);
    if (!keyring_new_line(c->nargs > 0 ? c->args[0] : today, line))
        return ctl_error(CTL_USAGE, "the id of a key must have 1 to %d letters, digits, - and _", SEAL_ID_MAX);
    printf("%s\n", line);
    secret_wipe(line, sizeof line);
    return CTL_DONE;
}

enum ctl_exit run_secrets_status(struct ctl *c)
{
    /* Keys of seals are no secrets; nothing else of the text is shown. */
    PGresult *res = db_ask(c, "count the stored secrets",
        "select c.kind collate \"C\" as kind, coalesce(substring(c.secret from '^\\{SEALED\\}([^:]*):'), '') as key,"
        " count(*) as secrets"
        " from postern.credential c group by 1, 2 order by 1, 2", &ARGS_NONE);

    if (res == NULL)
        return db_end(c);
    out_rows(c, res);
    PQclear(res);
    return CTL_DONE;
}

enum ctl_exit run_secrets_new_ticket_key(struct ctl *c)
{
    PGresult *res = db_ask(c, "make a key of tickets", "select postern.new_ticket_key()", &ARGS_NONE);

    if (res == NULL)
        return db_end(c);
    PQclear(res);
    return CTL_DONE;
}

/*
 * The secret of a row in the form that is wanted. 1: it has another now, in out; 0: it is as it
 * should be; -1 after a message.
 */
static int convert(const struct keyring *keyring, bool seal, const PGresult *res, int row, char out[SEAL_TEXT_MAX])
{
    const char *stored = PQgetvalue(res, row, 4), *why;
    struct seal_row at = { { 0 }, PQgetvalue(res, row, 2),
                           { PQgetvalue(res, row, 3), (size_t)PQgetlength(res, row, 3) } };
    char text[SCHEME_TEXT_MAX];
    struct span id;
    bool sealed = seal_is(stored, &id), ok;

    mailbox_parse(span_str(PQgetvalue(res, row, 1)), &at.mailbox);
    if (sealed ? seal && span_is(id, span_str(keyring_first(keyring))) : !seal)
        return 0;
    if (sealed && seal_open(keyring, &at, stored, text, &why) != 0) {
        ctl_error(CTL_FAILED, "%s of mailbox %s: %s", at.kind, mailbox_text(&at.mailbox).s, why);
        return -1;
    }
    if (!sealed)
        snprintf(text, sizeof text, "%s", stored);
    ok = sealed || strlen(stored) < sizeof text;
    if (seal)
        ok = ok && seal_close(keyring, &at, text, out);
    else
        snprintf(out, SEAL_TEXT_MAX, "%s", text);
    secret_wipe(text, sizeof text);
    if (!ok)
        ctl_error(CTL_FAILED, "%s of mailbox %s is too long to seal", at.kind, mailbox_text(&at.mailbox).s);
    return ok ? 1 : -1;
}

/* 1 replaced; 0: somebody has changed it meanwhile, and it is right by that; -1 after a message. */
static int replace(struct ctl *c, const PGresult *res, int row, const char *made)
{
    struct args a = ARGS_NONE;

    args_text(&a, PQgetvalue(res, row, 0));
    args_text(&a, PQgetvalue(res, row, 4));
    args_text(&a, made);
    PGresult *done = db_ask(c, "replace a secret", "select postern.replace_secret($1, $2, $3)", &a);
    int n = done == NULL ? -1 : strcmp(PQgetvalue(done, 0, 0), "t") == 0;
    PQclear(done);
    return n;
}

static enum ctl_exit convert_all(struct ctl *c, bool seal)
{
    struct keyring *keyring = NULL;
    long long after = 0, changed = 0, left = 0;
    enum ctl_exit end = CTL_DONE;
    bool more = true;

    if (!ctl_keyring(c, &keyring))
        return CTL_FAILED;
    if (keyring == NULL)
        return ctl_error(
            CTL_FAILED,
            "no key: create one with `posternctl secrets new-key`, see auth_key_file in postern.conf(5)");
    secret_no_core();
    while (more && end == CTL_DONE) {
        struct args a = ARGS_NONE;
        char made[SEAL_TEXT_MAX];

        args_int(&a, after);
        args_int(&a, BATCH);
        PGresult *res = db_ask(c, "read the stored secrets", "select * from postern.scan_secrets($1, $2)", &a);
        if (res == NULL) {
            end = db_end(c);
            break;
        }
        more = PQntuples(res) == BATCH;
        for (int row = 0; row < PQntuples(res) && end == CTL_DONE; row++) {
            int todo = convert(keyring, seal, res, row, made);
            int done = todo > 0 ? replace(c, res, row, made) : todo;
            after = strtoll(PQgetvalue(res, row, 0), NULL, 10);
            secret_wipe(made, sizeof made);
            changed += done > 0;
            left += todo < 0;
            if (todo > 0 && done < 0)
                end = db_end(c);
            secret_wipe(PQgetvalue(res, row, 4), (size_t)PQgetlength(res, row, 4));
        }
        PQclear(res);
    }
    ctl_say(c, "%lld secret%s %s", changed, changed == 1 ? "" : "s", seal ? "sealed" : "unsealed");
    keyring_free(&keyring);
    return end == CTL_DONE && left > 0 ? CTL_PARTLY : end;
}

enum ctl_exit run_secrets_seal(struct ctl *c) { return convert_all(c, true); }
enum ctl_exit run_secrets_unseal(struct ctl *c) { return convert_all(c, false); }
