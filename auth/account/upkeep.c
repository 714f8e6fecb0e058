/*
 * upkeep.c - what a good login leaves to write (see upkeep.h).
 *
 * Owns a copy of the password between the answer and the writing, and wipes
 * it. Never decides about a login, nor forgets what it cannot do at once.
 */
#include "auth/account/upkeep.h"

#include <sodium.h>
#include <sys/queue.h>
#include <time.h>

#include "auth/account/make.h"
#include "auth/account/writes.h"
#include "auth/settings.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum {
    HOUR = 3600,
    USED_MAX = 4096,    /* app passwords whose use is known to be written; where two meet, one more statement is made */
    NOTES_MAX = 64,     /* each holds a password */
};

struct note {
    TAILQ_ENTRY(note) next;
    struct mailbox_ref mailbox;
    bool used;                  /* of an app password: that alone is written */
    /* Else: the stored one is of another scheme, cost or form; has not the seal that it should have. */
    bool hash, seal;
    unsigned missing;           /* 1 << kind, once that was asked */
    char label[SEAL_LABEL_MAX + 1];
    char text[SCHEME_TEXT_MAX], stored[SEAL_TEXT_MAX];
    char password[PASSWORD_MAX];
    size_t password_len;
};
TAILQ_HEAD(note_list, note);

struct upkeep {
    struct credentials_source *source;
    const struct auth_settings *settings;
    const struct keyring *keyring;
    struct used {
        uint64_t key;
        int64_t hour;
    } *used;
    struct note_list noted, to_make;    /* to_make: it is known what, and that takes time */
    size_t count;
};

struct upkeep *upkeep_new(struct credentials_source *source, const struct auth_settings *settings,
                          const struct keyring *keyring)
{
    struct upkeep *u = mem_zalloc(sizeof *u);

    u->source = source;
    u->settings = settings;
    u->keyring = keyring;
    u->used = mem_array(USED_MAX, sizeof *u->used);
    TAILQ_INIT(&u->noted);
    TAILQ_INIT(&u->to_make);
    return u;
}

static void drop(struct upkeep *u, struct note_list *list, struct note *n)
{
    TAILQ_REMOVE(list, n, next);
    u->count--;
    secret_wipe(n, sizeof *n);
    mem_free(n);
}

void upkeep_free(struct upkeep **upkeep)
{
    struct upkeep *u = *upkeep;

    if (u == NULL)
        return;
    *upkeep = NULL;
    while (!TAILQ_EMPTY(&u->noted))
        drop(u, &u->noted, TAILQ_FIRST(&u->noted));
    while (!TAILQ_EMPTY(&u->to_make))
        drop(u, &u->to_make, TAILQ_FIRST(&u->to_make));
    mem_free(u->used);
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

static struct note *add(struct upkeep *u, const struct mailbox_ref *mailbox)
{
    if (u->count == NOTES_MAX) {
        upkeep_look(u);
        while (u->count == NOTES_MAX)
            (void)upkeep_make_one(u);
    }
    struct note *n = mem_zalloc(sizeof *n);
    n->mailbox = *mailbox;
    TAILQ_INSERT_TAIL(&u->noted, n, next);
    u->count++;
    return n;
}

void upkeep_note(struct upkeep *u, const struct credentials *c, size_t i, struct span password, bool cached,
                 bool as_typed)
{
    struct note *n;

    if (c->secrets[i].kind == CREDENTIAL_APP_PASSWORD) {
        if (!first_use(u, &c->mailbox, c->secrets[i].label))
            return;
        n = add(u, &c->mailbox);
        n->used = true;
        memcpy(n->label, c->secrets[i].label, sizeof n->label);
        return;
    }
    /* One that is cached was seen here before, and everything written then. */
    if (!u->settings->auth_upgrade || cached || c->secrets[i].label[0] != '\0' || password.len > PASSWORD_MAX)
        return;
    n = add(u, &c->mailbox);
    n->hash = as_typed || !scheme_costs_as_new(c->secrets[i].text, u->settings);
    n->seal = u->keyring != NULL && !c->secrets[i].sealed;
    memcpy(n->text, c->secrets[i].text, sizeof n->text);
    memcpy(n->stored, c->secrets[i].stored, sizeof n->stored);
    memcpy(n->password, password.at, password.len);
    n->password_len = password.len;
}

/* The secret of this kind, as it is to be stored. False where it cannot be made (logged). */
static bool make(const struct upkeep *u, const struct note *n, enum credential_kind kind, const char *text,
                 char out[SEAL_TEXT_MAX])
{
    const struct seal_row row = { n->mailbox, credential_kind_name(kind), SPAN_OF("") };
    char made[SCHEME_TEXT_MAX];
    const char *why = "too long to seal";
    bool ok = true;

    if (text != NULL)
        memcpy(made, text, strlen(text) + 1);
    else
        ok = make_secret(kind, (struct span){ n->password, n->password_len }, u->settings, made, &why) == 0;
    if (ok && u->keyring != NULL)
        ok = seal_close(u->keyring, &row, made, out);
    else if (ok)
        memcpy(out, made, strlen(made) + 1);
    secret_wipe(made, sizeof made);
    if (!ok)
        log_warning(NULL, "could not make the %s of mailbox %s: %s", row.kind, mailbox_text(&n->mailbox).s, why);
    return ok;
}

/* What was asked of all, and written of those where that was all. */
void upkeep_look(struct upkeep *u)
{
    struct mailbox_ref used[NOTES_MAX], verified[NOTES_MAX];
    const char *labels[NOTES_MAX];
    unsigned missing[NOTES_MAX];
    size_t useds = 0, verifieds = 0;
    struct note *n, *following;

    TAILQ_FOREACH(n, &u->noted, next)
        if (n->used) {
            used[useds] = n->mailbox;
            labels[useds++] = n->label;
        } else {
            verified[verifieds++] = n->mailbox;
        }
    if (useds > 0)
        writes_app_used(u->source, used, labels, useds);
    if (verifieds > 0)
        writes_missing(u->source, verified, verifieds, missing);
    verifieds = 0;
    for (n = TAILQ_FIRST(&u->noted); n != NULL; n = following) {
        following = TAILQ_NEXT(n, next);
        if (!n->used)
            n->missing = missing[verifieds++];
        if (!n->hash && !n->seal && n->missing == 0) {
            drop(u, &u->noted, n);
            continue;
        }
        TAILQ_REMOVE(&u->noted, n, next);
        TAILQ_INSERT_TAIL(&u->to_make, n, next);
    }
}

bool upkeep_make_one(struct upkeep *u)
{
    char now[SEAL_TEXT_MAX], more[SEAL_TEXT_MAX];
    struct note *n = TAILQ_FIRST(&u->to_make);

    if (n == NULL)
        return false;
    memcpy(now, n->stored, sizeof now);
    if ((n->hash || n->seal) && make(u, n, CREDENTIAL_PASSWORD, n->hash ? NULL : n->text, now)) {
        writes_upgrade(u->source, &n->mailbox, CREDENTIAL_PASSWORD, "", n->stored, now);
        log_info(NULL, "upgraded the stored password of mailbox %s", mailbox_text(&n->mailbox).s);
    }
    for (enum credential_kind kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (n->missing & (1u << kind) && make(u, n, kind, NULL, more))
            writes_add(u->source, &n->mailbox, now, kind, more);
    secret_wipe(now, sizeof now);
    secret_wipe(more, sizeof more);
    drop(u, &u->to_make, n);
    return true;
}

bool upkeep_is_left(const struct upkeep *u)
{
    return u->count > 0;
}
