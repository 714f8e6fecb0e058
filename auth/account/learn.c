/*
 * learn.c - passwords that old servers have accepted, until they are stored (see learn.h).
 *
 * Owns a copy of each until then, and wipes it. A worker that was taken over can report
 * any password: the database stores it only for a mailbox that is at a server of which
 * passwords are learned, and never when it is here (learn_secret()).
 */
#include "auth/account/learn.h"

#include <string.h>
#include <sys/queue.h>

#include "auth/account/make.h"
#include "auth/account/records.h"
#include "auth/account/writes.h"
#include "auth/login_cache.h"
#include "auth/settings.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { NOTES_MAX = 64 };

struct note {
    TAILQ_ENTRY(note) next;
    char address[NAME_ADDRESS_MAX + 1];
    char network[FRAME_NETWORK_MAX + 1];
    char password[PASSWORD_MAX];
    size_t password_len;
};
TAILQ_HEAD(note_list, note);

struct learn {
    struct credentials_source *source;
    const struct auth_settings *settings;
    const struct keyring *keyring;
    const struct login_cache *cache;
    struct records *records;
    struct note_list notes;
    size_t count;
};

struct learn *learn_new(struct credentials_source *source, const struct auth_settings *settings,
                        const struct keyring *keyring, const struct login_cache *cache, struct records *records)
{
    struct learn *l = mem_zalloc(sizeof *l);

    l->source = source;
    l->settings = settings;
    l->keyring = keyring;
    l->cache = cache;
    l->records = records;
    TAILQ_INIT(&l->notes);
    return l;
}

static void drop(struct learn *l, struct note *n)
{
    TAILQ_REMOVE(&l->notes, n, next);
    l->count--;
    secret_wipe(n, sizeof *n);
    mem_free(n);
}

void learn_free(struct learn **learn)
{
    struct learn *l = *learn;

    if (l == NULL)
        return;
    *learn = NULL;
    while (!TAILQ_EMPTY(&l->notes))
        drop(l, TAILQ_FIRST(&l->notes));
    mem_free(l);
}

void learn_note(struct learn *l, const struct auth_request *report)
{
    char address[NAME_ADDRESS_MAX + 1];
    struct note *n;

    if (l->count == NOTES_MAX || report->password.len > PASSWORD_MAX ||
        !name_canonical(report->name, SPAN_OF(""), address, NULL))
        return;
    n = mem_zalloc(sizeof *n);
    memcpy(n->address, address, sizeof n->address);
    if (report->origin.network.len > 0)
        memcpy(n->network, report->origin.network.at, report->origin.network.len);
    if (report->password.len > 0)
        memcpy(n->password, report->password.at, report->password.len);
    n->password_len = report->password.len;
    TAILQ_INSERT_TAIL(&l->notes, n, next);
    l->count++;
}

/* The stored password, as its place; c->count where there is none. */
static size_t find_password(const struct credentials *c)
{
    size_t i = 0;

    while (i < c->count && c->secrets[i].kind != CREDENTIAL_PASSWORD)
        i++;
    return i;
}

/* Was it this one before? */
static bool is_stored(const struct learn *l, const struct credentials *c, size_t i, struct span password)
{
    const char *text = c->secrets[i].text, *error;

    if (text[0] == '\0')
        return false;
    if (login_cache_has(l->cache, span_str(text), password))
        return true;
    if (scheme_verify(text, password, &error) != SCHEME_MATCHES)
        return false;
    login_cache_add(l->cache, span_str(text), password);
    return true;
}

static void store(struct learn *l, const struct credentials *c, const struct note *n)
{
    const struct span password = { n->password, n->password_len };
    const struct seal_row row = { c->mailbox, credential_kind_name(CREDENTIAL_PASSWORD), SPAN_OF("") };
    char made[SCHEME_TEXT_MAX], sealed[SEAL_TEXT_MAX];
    const size_t i = find_password(c);
    const char *why = "too long to seal";

    if (i < c->count && is_stored(l, c, i, password))
        return;
    bool ok = make_secret(CREDENTIAL_PASSWORD, password, l->settings, made, &why) == 0;
    if (ok && l->keyring != NULL)
        ok = seal_close(l->keyring, &row, made, sealed);
    else if (ok)
        memcpy(sealed, made, strlen(made) + 1);
    if (ok) {
        writes_learn(l->source, &c->mailbox, i < c->count ? c->secrets[i].stored : NULL, sealed);
        log_info(NULL, "learned the password of mailbox %s from its old server", mailbox_text(&c->mailbox).s);
    } else {
        log_warning(NULL, "could not make the password of mailbox %s: %s", mailbox_text(&c->mailbox).s, why);
    }
    secret_wipe(made, sizeof made);
    secret_wipe(sealed, sizeof sealed);
}

bool learn_one(struct learn *l)
{
    struct note *n = TAILQ_FIRST(&l->notes);
    struct credentials c;
    struct elsewhere elsewhere;
    int64_t guessed_ms;

    if (n == NULL)
        return false;
    if (credentials_fetch(l->source, n->address, n->network, true, &c, &guessed_ms) == CREDENTIALS_FOUND) {
        if (mailbox_is_one(&c.mailbox) && elsewhere_parse(span_str(c.elsewhere), &elsewhere)) {
            if (n->network[0] != '\0' && !c.known_today)
                records_login(l->records, &c.mailbox, n->network);
            if (elsewhere.learn)
                store(l, &c, n);
        }
        secret_wipe(&c, sizeof c);
    }
    drop(l, n);
    return true;
}

bool learn_is_left(const struct learn *l)
{
    return l->count > 0;
}
