/*
 * password.c - setting a password, in all the forms that the domain stores, and
 * app passwords. A password is read from a terminal without echo, or as one
 * line of standard input; never from the command line, where every user of the
 * host could see it.
 */
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"
#include "admin/secret_line.h"
#include "admin/verbs/credential.h"
#include "admin/verbs/keyring.h"
#include "auth/account/make.h"
#include "auth/scheme/scheme.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum {
    /* A POP3 command line is 255 octets, of which `PASS ` and the line end are not the password. */
    POP3_PASSWORD_MAX = 255 - 5 - 2,
};

/* A hash of another server's is all that can be stored of its password. */
static bool put_hash(struct credential_rows *rows, const struct keyring *keyring, const struct mailbox_ref *mailbox,
                     const struct secret_line *line)
{
    char text[SECRET_LINE_MAX + 1];
    const char *why;

    memcpy(text, line->text, line->len);
    text[line->len] = '\0';
    why = credential_hash_fault(text);
    if (why == NULL)
        credential_add_hash(rows, keyring, mailbox, text);
    else if (line->len >= SCHEME_TEXT_MAX)
        ctl_error(CTL_FAILED, "a password hash has at most %d octets", SCHEME_TEXT_MAX - 1);
    else if (scheme_is_locked(text))
        ctl_error(CTL_FAILED,
                  "this is the hash of a locked account: nothing was changed; see posternctl mailbox disable");
    else
        ctl_error(CTL_FAILED, "this password hash cannot be used: %s", why);
    secret_wipe(text, sizeof text);
    return why == NULL;
}

static bool put_password(struct ctl *c, struct credential_rows *rows, const struct keyring *keyring,
                         const struct mailbox_ref *mailbox, const char *stores, const struct secret_line *line)
{
    const char *why;
    bool ok = credential_add_password(rows, c, keyring, mailbox, stores, (struct span){ line->text, line->len }, &why);

    if (!ok)
        ctl_error(CTL_FAILED, "could not make the secrets of the password: %s", why);
    return ok;
}

static enum ctl_exit forget(struct ctl *c, const struct mailbox_ref *mailbox)
{
    struct args a = ARGS_NONE;

    args_mailbox(&a, mailbox);
    return db_call(c, "remove the password", "select postern.set_secrets($1, '{}', '{}')", &a);
}

enum ctl_exit run_password(struct ctl *c)
{
    const bool hash = c->opt[OPT_HASH] != NULL, remove = c->opt[OPT_REMOVE] != NULL;
    struct credential_rows rows;
    struct keyring *keyring = NULL;
    char address[CTL_ADDRESS_SIZE];
    struct secret_line line = { .len = 0 };
    struct args a = ARGS_NONE;
    enum ctl_exit end = CTL_FAILED;
    bool ready;

    if (hash && remove)
        return ctl_error(CTL_USAGE, "--hash or --remove, not both");
    if (!ctl_address(c->args[0], false, address) || !ctl_keyring(c, &keyring))
        return CTL_FAILED;
    secret_no_core();
    args_text(&a, address);
    /* Before anybody types a password for nothing. */
    PGresult *plan =
        db_ask(c, "find the mailbox", "select mailbox, array_to_string(stores, ' ') from postern.secret_plan($1)", &a);
    if (plan == NULL) {
        keyring_free(&keyring);
        return db_end(c);
    }
    struct mailbox_ref mailbox = { 0 };
    mailbox_parse(span_str(PQgetvalue(plan, 0, 0)), &mailbox);
    credential_begin(&rows);
    ready = remove || secret_line_ask(hash ? "password hash" : "password", address, !hash, &line);
    if (ready && hash)
        ready = put_hash(&rows, keyring, &mailbox, &line);
    else if (ready && !remove)
        ready = put_password(c, &rows, keyring, &mailbox, PQgetvalue(plan, 0, 1), &line);
    if (ready)
        end = remove ? forget(c, &mailbox) : credential_store(c, &rows);
    if (end == CTL_DONE)
        end = credential_is_proven_with(c, &mailbox, "password", address, remove ? "removed" : "stored");
    if (end == CTL_DONE && !hash && line.len > POP3_PASSWORD_MAX)
        fprintf(stderr,
                "posternctl: warning: this password has %zu octets, but a POP3 client can send only about 240\n",
                line.len);
    PQclear(plan);
    credential_wipe(&rows);
    secret_wipe(&line, sizeof line);
    keyring_free(&keyring);
    if (end == CTL_DONE)
        ctl_say(c, "password of %s %s", address, remove ? "removed" : "set");
    return end;
}

/* ------------------------------------------------------------ app passwords */

enum ctl_exit run_app_password_add(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE], password[APP_PASSWORD_MAX], text[SCHEME_TEXT_MAX], sealed[SEAL_TEXT_MAX];
    struct keyring *keyring = NULL;
    struct args a = ARGS_NONE, b = ARGS_NONE;
    const char *why;
    enum ctl_exit end = CTL_FAILED;

    if (!ctl_address(c->args[0], false, address) || !ctl_keyring(c, &keyring))
        return CTL_FAILED;
    secret_no_core();
    args_text(&a, address);
    PGresult *plan = db_ask(c, "find the mailbox", "select mailbox from postern.secret_plan($1)", &a);
    if (plan == NULL) {
        keyring_free(&keyring);
        return db_end(c);
    }
    struct seal_row row = { { 0 }, "app-password", span_str(c->args[1]) };
    mailbox_parse(span_str(PQgetvalue(plan, 0, 0)), &row.mailbox);
    PQclear(plan);
    make_app_password(password);
    if (make_secret(CREDENTIAL_APP_PASSWORD, span_str(password), &c->auth, text, &why) != 0) {
        ctl_error(CTL_FAILED, "could not make an app password: %s", why);
    } else if (keyring != NULL && !seal_close(keyring, &row, text, sealed)) {
        ctl_error(CTL_FAILED, "the name of an app password must have 1 to %d octets", SEAL_LABEL_MAX);
    } else {
        args_mailbox(&b, &row.mailbox);
        args_text(&b, c->args[1]);
        args_text(&b, keyring != NULL ? sealed : text);
        PGresult *res = db_ask(c, "add the app password", "select postern.add_app_password($1, $2, $3)", &b);
        end = res != NULL ? credential_is_proven_with(c, &row.mailbox, "app password", address, "stored") : db_end(c);
        PQclear(res);
    }
    if (end == CTL_DONE && c->json) {
        struct json j;
        json_start(&j, stdout);
        json_object(&j, NULL);
        json_text(&j, "address", span_str(address));
        json_text(&j, "name", span_str(c->args[1]));
        json_text(&j, "password", span_str(password));
        json_end(&j);
    } else if (end == CTL_DONE) {
        printf("%s\n", password);
    }
    secret_wipe(password, sizeof password);
    secret_wipe(text, sizeof text);
    keyring_free(&keyring);
    return end;
}

enum ctl_exit run_app_password_list(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    args_text(&a, address);
    return out_ask(c, "list the app passwords", "select * from postern.list_app_passwords($1)", &a);
}

enum ctl_exit run_app_password_remove(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    enum ctl_exit end;

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    args_text(&a, address);
    args_text(&a, c->args[1]);
    end = db_call(c, "remove the app password", "select postern.remove_app_password($1, $2)", &a);
    if (end == CTL_DONE)
        ctl_say(c, "app password %s of %s removed", c->args[1], address);
    return end;
}

/* ------------------------------------------------------------- certificates */

/* The stored text is no secret: that it is there is the proof, and its seal proves that posternctl put it there. */
static enum ctl_exit set_certificate(struct ctl *c, const struct keyring *keyring, const struct mailbox_ref *mailbox,
                                     bool remove, const char *address)
{
    const struct seal_row row = { *mailbox, credential_kind_name(CREDENTIAL_CERTIFICATE), SPAN_OF("") };
    char sealed[SEAL_TEXT_MAX] = "any";
    struct args a = ARGS_NONE;
    enum ctl_exit end;

    args_mailbox(&a, mailbox);
    if (keyring != NULL)
        ASSERT(seal_close(keyring, &row, "any", sealed));
    args_text(&a, remove ? NULL : sealed);
    end = db_call(c, "set whether the mailbox accepts certificates", "select postern.set_certificate($1, $2)", &a);
    return end == CTL_DONE && !remove ? credential_is_proven_with(c, mailbox, "certificate", address, "accepted") : end;
}

enum ctl_exit run_certificate(struct ctl *c)
{
    const bool remove = c->opt[OPT_REMOVE] != NULL;
    struct keyring *keyring = NULL;
    struct mailbox_ref mailbox = { 0 };
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    enum ctl_exit end;

    if (!ctl_address(c->args[0], false, address) || !ctl_keyring(c, &keyring))
        return CTL_FAILED;
    args_text(&a, address);
    PGresult *plan = db_ask(c, "find the mailbox", "select mailbox from postern.secret_plan($1)", &a);
    if (plan != NULL)
        mailbox_parse(span_str(PQgetvalue(plan, 0, 0)), &mailbox);
    end = plan != NULL ? set_certificate(c, keyring, &mailbox, remove, address) : db_end(c);
    PQclear(plan);
    keyring_free(&keyring);
    if (end == CTL_DONE)
        ctl_say(c, "%s %s client certificates", address, remove ? "no longer accepts" : "accepts");
    return end;
}
