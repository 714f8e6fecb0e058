/*
 * upkeep.c - what a good login leaves to write (see upkeep.h).
 *
 * Owns a copy of the password between the answer and the writing, and wipes
 * it. Never decides about a login.
 */
#include "auth/account/upkeep.h"

#include <sodium.h>
#include <time.h>

#include "auth/account/make.h"
#include "auth/settings.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum {
    HOUR = 3600,
    USED_MAX = 4096,    /* app passwords whose use is known to be written; where two meet, one more statement is made */
};

struct upkeep {
    struct credentials_source *source;
    const struct auth_settings *settings;
    const struct keyring *keyring;
    struct used {
        uint64_t key;
        int64_t hour;
    } *used;
    /* What was noted. */
    enum { NOTHING, USED, VERIFIED } due;
    struct mailbox_ref mailbox;
    /* the stored one is of another scheme, cost or form; has not the seal that it should have */
    bool hash, seal;
    char label[SEAL_LABEL_MAX + 1];
    char text[SCHEME_TEXT_MAX], stored[SEAL_TEXT_MAX];
    char password[PASSWORD_MAX];
    size_t password_len;
};

struct upkeep *upkeep_new(struct credentials_source *source, const struct auth_settings *settings,
                          const struct keyring *keyring)
{
    struct upkeep *u = mem_zalloc(sizeof *u);

    u->source = source;
    u->settings = settings;
    u->keyring = keyring;
    u->used = mem_array(USED_MAX, sizeof *u->used);
    return u;
}

void upkeep_free(struct upkeep **upkeep)
{
    struct upkeep *u = *upkeep;

    if (u == NULL)
        return;
    *upkeep = NULL;
    mem_free(u->used);
    secret_wipe(u, sizeof *u);
    mem_free(u);
}

/* Is this the first use in this hour, as far as this helper knows? */
static bool first_use(struct upkeep *u, const struct mailbox_ref *mailbox, const char *label)
{
    unsigned char h[16];
    uint64_t key;
    crypto_generichash_state state;
    const int64_t hour = (int64_t)time(NULL) / HOUR;
    const uint64_t mailbox_number = mailbox_key(mailbox);

    crypto_generichash_init(&state, NULL, 0, sizeof h);
    crypto_generichash_update(&state, (const unsigned char *)&mailbox_number, sizeof mailbox_number);
    crypto_generichash_update(&state, (const unsigned char *)label, strlen(label));
    crypto_generichash_final(&state, h, sizeof h);
    memcpy(&key, h, sizeof key);
    struct used *slot = &u->used[key % USED_MAX];
    if (slot->key == key && slot->hour == hour)
        return false;
    *slot = (struct used){ key, hour };
    return true;
}

void upkeep_note(struct upkeep *u, const struct credentials *c, size_t i, struct span password, bool cached,
                 bool as_typed)
{
    u->due = NOTHING;
    u->mailbox = c->mailbox;
    if (c->secrets[i].kind == CREDENTIAL_APP_PASSWORD) {
        if (!first_use(u, &c->mailbox, c->secrets[i].label))
            return;
        memcpy(u->label, c->secrets[i].label, sizeof u->label);
        u->due = USED;
        return;
    }
    /* One that is cached was seen here before, and everything written then. */
    if (!u->settings->auth_upgrade || cached || c->secrets[i].label[0] != '\0' || password.len > sizeof u->password)
        return;
    u->hash = as_typed || !scheme_costs_as_new(c->secrets[i].text, u->settings);
    u->seal = u->keyring != NULL && !c->secrets[i].sealed;
    memcpy(u->text, c->secrets[i].text, sizeof u->text);
    memcpy(u->stored, c->secrets[i].stored, sizeof u->stored);
    memcpy(u->password, password.at, password.len);
    u->password_len = password.len;
    u->due = VERIFIED;
}

/* The secret of this kind, as it is to be stored. False where it cannot be made (logged). */
static bool make(struct upkeep *u, enum credential_kind kind, const char *text, char out[SEAL_TEXT_MAX])
{
    const struct seal_row row = { u->mailbox, credential_kind_name(kind), SPAN_OF("") };
    char made[SCHEME_TEXT_MAX];
    const char *why = "too long to seal";
    bool ok = true;

    if (text != NULL)
        memcpy(made, text, strlen(text) + 1);
    else
        ok = make_secret(kind, (struct span){ u->password, u->password_len }, u->settings, made, &why) == 0;
    if (ok && u->keyring != NULL)
        ok = seal_close(u->keyring, &row, made, out);
    else if (ok)
        memcpy(out, made, strlen(made) + 1);
    secret_wipe(made, sizeof made);
    if (!ok)
        log_warning(NULL, "could not make the %s of mailbox %s: %s", row.kind, mailbox_text(&u->mailbox).s, why);
    return ok;
}

static void write_verified(struct upkeep *u)
{
    char now[SEAL_TEXT_MAX], more[SEAL_TEXT_MAX];

    memcpy(now, u->stored, sizeof now);
    if ((u->hash || u->seal) && make(u, CREDENTIAL_PASSWORD, u->hash ? NULL : u->text, now)) {
        credentials_upgrade(u->source, &u->mailbox, CREDENTIAL_PASSWORD, "", u->stored, now);
        log_info(NULL, "upgraded the stored password of mailbox %s", mailbox_text(&u->mailbox).s);
    }
    unsigned missing = credentials_missing(u->source, &u->mailbox);
    for (enum credential_kind kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (missing & (1u << kind) && make(u, kind, NULL, more))
            credentials_add(u->source, &u->mailbox, now, kind, more);
    secret_wipe(now, sizeof now);
    secret_wipe(more, sizeof more);
}

void upkeep_write(struct upkeep *u)
{
    if (u->due == USED)
        credentials_app_used(u->source, &u->mailbox, u->label);
    if (u->due == VERIFIED) {
        write_verified(u);
        secret_wipe(u->text, sizeof u->text);
        secret_wipe(u->stored, sizeof u->stored);
        secret_wipe(u->password, u->password_len);
    }
    u->due = NOTHING;
}
