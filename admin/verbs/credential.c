/*
 * credential.c - what is to be stored of passwords (see credential.h).
 *
 * Must never show a secret, nor leave one in memory.
 */
#include "admin/verbs/credential.h"

#include <string.h>

#include "admin/db.h"
#include "auth/account/make.h"
#include "auth/scheme/scheme.h"
#include "auth/scheme/scram.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

void credential_begin(struct credential_rows *r)
{
    *r = (struct credential_rows){ BUF_EMPTY, BUF_EMPTY, BUF_EMPTY, 0 };
    pg_array_begin(&r->mailboxes, PG_INT8);
    pg_array_begin(&r->kinds, PG_TEXT);
    pg_array_begin(&r->texts, PG_TEXT);
}

void credential_wipe(struct credential_rows *r)
{
    buf_wipe(&r->mailboxes);
    buf_wipe(&r->kinds);
    buf_wipe(&r->texts);
    r->count = 0;
}

static void add(struct credential_rows *r, const struct keyring *keyring, const struct mailbox_ref *mailbox,
                enum credential_kind kind, const char *text)
{
    const char *name = credential_kind_name(kind);
    const struct seal_row row = { *mailbox, name, SPAN_OF("") };
    char sealed[SEAL_TEXT_MAX];

    /* No text of a scheme is too long for it. */
    if (keyring != NULL)
        ASSERT(seal_close(keyring, &row, text, sealed));
    pg_array_put_int8(&r->mailboxes, mailbox->number);
    pg_array_put_bytes(&r->kinds, span_str(name));
    pg_array_put_bytes(&r->texts, span_str(keyring != NULL ? sealed : text));
    r->count++;
}

const char *credential_hash_fault(const char *hash)
{
    const char *why;

    if (strlen(hash) >= SCHEME_TEXT_MAX)
        return "it is too long for any scheme";
    if (scheme_is_locked(hash))
        return "it is the hash of a locked account";
    return scheme_known(hash, &why) == 1 ? NULL : why;
}

void credential_add_hash(struct credential_rows *r, const struct keyring *keyring, const struct mailbox_ref *mailbox,
                         const char *hash)
{
    char verifier[SCRAM_TEXT_MAX];
    bool sha1;

    if (scram_read(hash, &sha1, verifier)) {
        add(r, keyring, mailbox, CREDENTIAL_PASSWORD, verifier);
        add(r, keyring, mailbox, sha1 ? CREDENTIAL_SCRAM_SHA_1 : CREDENTIAL_SCRAM_SHA_256, verifier);
    } else {
        add(r, keyring, mailbox, CREDENTIAL_PASSWORD, hash);
    }
    secret_wipe(verifier, sizeof verifier);
}

static bool has_word(const char *words, const char *word)
{
    const char *at = strstr(words, word);

    while (at != NULL && ((at > words && at[-1] != ' ') || (at[strlen(word)] != ' ' && at[strlen(word)] != '\0')))
        at = strstr(at + 1, word);
    return at != NULL;
}

bool credential_add_password(struct credential_rows *r, struct ctl *c, const struct keyring *keyring,
                             const struct mailbox_ref *mailbox, const char *stores, struct span password,
                             const char **error_r)
{
    char texts[CREDENTIAL_KINDS][SCHEME_TEXT_MAX];
    bool made[CREDENTIAL_KINDS] = { false };
    bool ok = true;

    for (enum credential_kind kind = 0; ok && kind < CREDENTIAL_KINDS; kind++) {
        if (kind == CREDENTIAL_APP_PASSWORD ||
            (kind != CREDENTIAL_PASSWORD && !has_word(stores, credential_kind_name(kind))))
            continue;
        ok = make_secret(kind, password, &c->auth, texts[kind], error_r) == 0;
        made[kind] = ok;
    }
    for (enum credential_kind kind = 0; ok && kind < CREDENTIAL_KINDS; kind++)
        if (made[kind])
            add(r, keyring, mailbox, kind, texts[kind]);
    secret_wipe(texts, sizeof texts);
    return ok;
}

enum ctl_exit credential_store(struct ctl *c, struct credential_rows *r)
{
    struct args a = ARGS_NONE;

    pg_array_set_count(&r->mailboxes, r->count);
    pg_array_set_count(&r->kinds, r->count);
    pg_array_set_count(&r->texts, r->count);
    args_binary(&a, &r->mailboxes);
    args_binary(&a, &r->kinds);
    args_binary(&a, &r->texts);
    return db_call(c, "set the password", "select postern.set_secrets_of($1, $2, $3)", &a);
}

enum ctl_exit credential_is_proven_with(struct ctl *c, const struct mailbox_ref *mailbox, const char *what,
                                        const char *address, const char *done)
{
    struct args a = ARGS_NONE;

    args_mailbox(&a, mailbox);
    PGresult *res = db_ask(c, "ask which secret logins are verified against", "select postern.proves($1)", &a);
    if (res == NULL)
        return db_end(c);
    const bool yes = PQgetvalue(res, 0, 0)[0] == 't';
    PQclear(res);
    if (yes)
        return CTL_DONE;
    return ctl_error(CTL_FAILED,
                     "the %s of %s is %s here, but logins use another secret: postern.credentials() is the "
                     "provider's own; change the secret where that function reads it",
                     what, address, done);
}
