/*
 * account.c - is this the password of this name?
 *
 * Owns the decision, the decoy and the use of the login cache. A refusal
 * must take the same path and time whatever its reason (A10), and only a
 * password that was verified may be let in or cached.
 */
#include "auth/account/account.h"

#include <stdio.h>
#include <string.h>

#include "auth/account/credentials.h"
#include "auth/account/decoy.h"
#include "auth/account/learn.h"
#include "auth/login_cache.h"
#include "auth/account/make.h"
#include "auth/account/policies.h"
#include "auth/account/records.h"
#include "auth/account/tickets.h"
#include "auth/scheme/prepare.h"
#include "auth/settings.h"
#include "auth/account/upkeep.h"
#include "daemon/base/clock.h"
#include "daemon/base/limit.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/secret.h"

enum {
    GUESSED_NAMES = 1 << 14,    /* 128 KiB */
    TRUSTED = 4,                /* times auth_failures: see is_guessing() */
};

struct accounts {
    const struct auth_settings *settings;
    struct credentials_source *source;
    struct keyring *keyring;    /* NULL: there is none, or it cannot be read (logged) */
    struct upkeep *upkeep;
    struct learn *learn;
    struct tickets *tickets;
    struct login_cache *login_cache;
    /* What is verified where there is nothing to verify. */
    char decoy[SCHEME_TEXT_MAX];
    struct limit_rates *guesses;    /* failures that this helper has verified itself, by name */
    struct limit_seed seed;
    struct records *records;
};

/* Without its keys a helper still serves those whose secrets are not sealed. */
static struct keyring *load_keys(const struct auth_settings *settings)
{
    char error[KEYRING_ERROR_MAX];
    struct keyring *keyring;

    if (settings->auth_key_file == NULL || settings->auth_key_file[0] == '\0')
        return NULL;
    keyring = keyring_load(settings->auth_key_file, error);
    if (keyring == NULL)
        log_error(
            NULL,
            "auth_key_file: %s: sealed secrets cannot be used; the file must be readable by auth_user"
            " and nobody else",
            error);
    return keyring;
}

/* Who has other keys looks at what is stored, whatever was verified before: it may be sealed with one that has gone. */
static void depend_on_keys(struct accounts *a)
{
    unsigned char fingerprint[KEYRING_DERIVED];

    if (a->keyring == NULL)
        return;
    keyring_fingerprint(a->keyring, fingerprint);
    login_cache_depend(a->login_cache, (struct span){ (const char *)fingerprint, sizeof fingerprint });
    secret_wipe(fingerprint, sizeof fingerprint);
}

struct accounts *accounts_new(const char *conninfo, const struct auth_settings *settings, int schema_version,
                              int login_cache)
{
    struct accounts *a = mem_zalloc(sizeof *a);

    a->settings = settings;
    scheme_decoy(settings, a->decoy);
    a->login_cache = login_cache_new(login_cache);
    a->keyring = load_keys(settings);
    depend_on_keys(a);
    a->source = credentials_source_new(conninfo, schema_version, settings->auth_deadline, settings->commit, a->keyring,
                                       a->login_cache, settings->one_session);
    a->upkeep = upkeep_new(a->source, settings, a->keyring);
    a->guesses = limit_rates_new(GUESSED_NAMES);
    ASSERT(a->guesses != NULL);
    limit_seed_make(&a->seed);
    a->records = records_new(a->source, settings);
    a->learn = learn_new(a->source, settings, a->keyring, a->login_cache, a->records);
    a->tickets = tickets_new(a->source);
    if (settings->one_session)
        return a;
    credentials_source_decoys(a->source);
    credentials_source_connect(a->source);
    if (credentials_connection(a->source) > 0)
        (void)tickets_look(a->tickets);
    return a;
}

void accounts_need_decoys(struct accounts *a)
{
    credentials_source_decoys(a->source);
}

void accounts_free(struct accounts **accounts)
{
    struct accounts *a = *accounts;

    if (a == NULL)
        return;
    *accounts = NULL;
    limit_rates_free(&a->guesses);
    upkeep_free(&a->upkeep);
    learn_free(&a->learn);
    records_free(&a->records);
    tickets_free(&a->tickets);
    credentials_source_free(&a->source);
    login_cache_free(&a->login_cache);
    keyring_free(&a->keyring);
    mem_free(a);
}

/*
 * What a client has sent: its octets, and behind them the form that they have
 * by SASLprep, where that is another one. Both are verified, in this order, so
 * that no secret that was made of the octets stops working. So a wrong
 * password that has two forms costs twice what others do, whether its name is
 * known or not; a client that is let in by the second pays once, as what it
 * sent is cached.
 */
struct given {
    struct span forms[2];
    size_t count;
    char prepared[PASSWORD_MAX];
};

static void given_of(struct given *g, struct span password)
{
    size_t len = prepare_password(password, g->prepared);

    g->forms[0] = password;
    g->forms[1] = (struct span){ g->prepared, len };
    g->count = len > 0 ? 2 : 1;
}

static void given_wipe(struct given *g)
{
    if (g->count > 1)
        secret_wipe(g->prepared, g->forms[1].len);
}

/* False where it could not be computed, for want of memory, as it could not for a name that exists. */
static bool verify_decoy(struct accounts *a, const struct given *g)
{
    const char *error;
    bool done = true;

    for (size_t i = 0; i < g->count; i++) {
        struct span password = g->forms[i];
        /* A password that no scheme takes would cost nothing. */
        bool usable = password.len > 0 && memchr(password.at, '\0', password.len) == NULL;

        done = scheme_verify(a->decoy, usable ? password : SPAN_OF("x"), &error) != SCHEME_FAILED && done;
    }
    return done;
}

/* AUTH_REFUSED where the reason is set, else AUTH_UNAVAILABLE or AUTH_BROKEN. */
static void refuse(struct account_verdict *v, enum auth_verdict verdict, const char *reason)
{
    v->verdict = verdict;
    v->reason = reason;
}

static bool is_password(const struct credentials *c, size_t i)
{
    return c->secrets[i].kind == CREDENTIAL_PASSWORD || c->secrets[i].kind == CREDENTIAL_APP_PASSWORD;
}

/* An app password is always looked up: the day of its last use is written down. */
static bool has_proof(const struct credentials *c, size_t i)
{
    return c->versions.proof != 0 && c->secrets[i].kind == CREDENTIAL_PASSWORD;
}

static void cache_login(struct accounts *a, const struct credentials *c, size_t i, struct span password)
{
    if (has_proof(c, i))
        login_cache_add_proof(a->login_cache, &c->mailbox, c->versions.proof, password);
    else
        login_cache_add(a->login_cache, span_str(c->secrets[i].text), password);
}

/*
 * What is asked for came from the database just now, so a password that was
 * changed is not found. Disabled ones are not looked up: a quick refusal
 * would tell that the password was right.
 */
static bool is_cached(struct accounts *a, const struct credentials *c, struct span password)
{
    for (size_t i = 0; c->active && i < c->count; i++) {
        /* Without the key of its seal it proves nothing any more, whatever was verified against it before. */
        if (!is_password(c, i) || c->secrets[i].text[0] == '\0')
            continue;
        if (has_proof(c, i) && login_cache_has_proof(a->login_cache, &c->mailbox, c->versions.proof, password))
            return true;
        if (login_cache_has(a->login_cache, span_str(c->secrets[i].text), password)) {
            cache_login(a, c, i, password);
            upkeep_note(a->upkeep, c, i, password, true, false);
            return true;
        }
    }
    return false;
}

/* An app password may be typed with or without what separates its groups. */
static enum scheme_answer verify_form(const struct credentials *c, size_t i, struct span password, const char **error_r)
{
    char form[PASSWORD_MAX];

    if (c->secrets[i].kind != CREDENTIAL_APP_PASSWORD || password.len > sizeof form)
        return scheme_verify(c->secrets[i].text, password, error_r);
    enum scheme_answer answer =
        scheme_verify(c->secrets[i].text, (struct span){ form, make_app_form(password, form) }, error_r);
    secret_wipe(form, sizeof form);
    return answer;
}

/* The first form that does not differ is *form_r. */
static enum scheme_answer verify(const struct credentials *c, size_t i, const struct given *g, size_t *form_r,
                                 const char **error_r)
{
    enum scheme_answer answer = SCHEME_DIFFERS;

    for (*form_r = 0; *form_r < g->count; ++*form_r)
        if ((answer = verify_form(c, i, g->forms[*form_r], error_r)) != SCHEME_DIFFERS)
            break;
    return answer;
}

/* quickly: false where it takes a slow hash, and then nothing was decided. */
static bool check_secrets(struct accounts *a, const struct credentials *c, const struct given *g, bool quickly,
                          struct account_verdict *v)
{
    struct span password = g->forms[0];
    bool matched = false, unavailable = false, unusable = false, paid = false, any = false;
    const char *error;
    size_t form;

    for (size_t i = 0; i < c->count && !matched; i++) {
        const char *stored = c->secrets[i].text;

        if (!is_password(c, i) || scheme_is_locked(stored))
            continue;
        if (quickly && !scheme_is_quick(stored))
            return false;
        any = true;
        switch (verify(c, i, g, &form, &error)) {
        case SCHEME_MATCHES:
            matched = true;
            if (c->active) {
                cache_login(a, c, i, password);
                upkeep_note(a->upkeep, c, i, password, false, g->count > 1 && form == 0);
            }
            break;
        case SCHEME_DIFFERS:
            break;
        case SCHEME_FAILED:
            unavailable = true;
            log_error(NULL, "could not verify the password of mailbox %s: %s", mailbox_text(&c->mailbox).s, error);
            break;
        case SCHEME_UNKNOWN:
            unusable = true;
            log_error(NULL, "a stored password of mailbox %s cannot be used: %s", mailbox_text(&c->mailbox).s, error);
            break;
        }
        paid = paid || scheme_costs_as_new(stored, a->settings);
    }
    if (matched && c->active) {
        verdict_accept(v, c);
        return true;
    }
    if (!paid && quickly)
        return false;
    /* Another cost than that of an unknown name would tell that the name is known. */
    if (!paid && !verify_decoy(a, g))
        unavailable = true;
    if (unavailable)
        refuse(v, AUTH_UNAVAILABLE, NULL);
    else if (!c->active)
        refuse(v, AUTH_REFUSED, "disabled");
    else
        /* Whatever is wrong with what is stored, only the log says it: no name that does not exist has it. */
        refuse(v, AUTH_REFUSED, unusable ? "unusable" : any ? "password" : "no-password");
    return true;
}

/* Failures that are not forgotten, where the last one will be in so many milliseconds. */
static uint32_t failures(const struct accounts *a, int64_t guessed_ms)
{
    int64_t interval = a->settings->auth_failure_time;
    int64_t n = guessed_ms > 0 ? (guessed_ms + interval - 1) / interval : 0;

    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* --- failures that this helper has verified itself --- */

/*
 * A worker counts guesses too, and says where clients are and whether they logged in
 * before. A worker that was taken over can claim anything, so the helper has a count
 * of its own, in memory that no worker can reach.
 */
static uint64_t guess_key(const struct accounts *a, const char *address)
{
    return limit_key(&a->seed, 0, address, strlen(address));
}

static uint32_t most_guesses(const struct accounts *a)
{
    return (uint32_t)a->settings->auth_failures * TRUSTED;
}

static uint32_t guesses(const struct accounts *a, const char *address)
{
    return limit_count(a->guesses, guess_key(a, address), (uint64_t)a->settings->auth_failure_time, clock_ms());
}

/* Counted until its verdict is known. A password that is not verified is no guess: the refusal reveals nothing. */
static void count_guess(struct accounts *a, struct account_verdict *v)
{
    v->counted = true;
    limit_add(a->guesses, guess_key(a, v->address), (uint64_t)a->settings->auth_failure_time, most_guesses(a),
              clock_ms());
}

static void take_guess_back(struct accounts *a, struct account_verdict *v)
{
    if (v->counted)
        limit_take_back(a->guesses, guess_key(a, v->address), (uint64_t)a->settings->auth_failure_time, clock_ms());
    v->counted = false;
}

/*
 * Too many have guessed: the password is not even looked at, right or wrong, but
 * for one who was let in from there before. It costs no Argon2, and tells
 * nothing: names that do not exist are guessed at as well, and the worker
 * says every refusal after the same time. Networks that are known or, as the worker
 * says, good or exempt may try four times as often, by the helper's own count.
 */
static bool is_guessing(const struct accounts *a, const struct auth_origin *origin, const struct account_verdict *v,
                        bool known)
{
    const uint32_t most = (uint32_t)a->settings->auth_failures, before = guesses(a, v->address);

    if (before >= most_guesses(a))
        return true;
    if (origin->network.len == 0 || known || origin->good)
        return false;
    return origin->suspect || v->guesses >= most || before >= most;
}

int account_find(struct accounts *a, struct span name, struct span default_domain, const struct auth_origin *origin,
                 bool whole, struct credentials *out, struct account_verdict *v)
{
    int64_t guessed_ms;

    memset(v, 0, sizeof *v);
    memcpy(v->network, origin->network.len > 0 ? origin->network.at : "", origin->network.len);
    refuse(v, AUTH_REFUSED, "unknown");
    if (!name_canonical(name, default_domain, v->address, NULL)) {
        /* An exchange takes the same path for this name, so it needs the key of the decoys. */
        if (decoy_has_key() || credentials_source_connect(a->source) == CREDENTIALS_FOUND)
            return 0;
        refuse(v, AUTH_UNAVAILABLE, NULL);
        return -1;
    }
    enum credentials_answer answer = credentials_fetch(a->source, v->address, v->network, whole, out, &guessed_ms);
    v->guesses = failures(a, guessed_ms);
    v->barred = is_guessing(a, origin, v, answer == CREDENTIALS_FOUND && out->known);
    if (!v->barred && (answer >= 0 || answer == CREDENTIALS_UNUSABLE))
        count_guess(a, v);
    switch (answer) {
    case CREDENTIALS_FOUND:
        return 1;
    case CREDENTIALS_UNUSABLE:
        refuse(v, AUTH_REFUSED, "unusable");
        return 0;
    case CREDENTIALS_NONE:
        return 0;
    case CREDENTIALS_AWAY:
        refuse(v, AUTH_UNAVAILABLE, NULL);
        return -1;
    case CREDENTIALS_BROKEN:
        break;
    }
    refuse(v, AUTH_BROKEN, NULL);
    return -1;
}

/*
 * A password that was verified, from the same network within a day, when the mailbox
 * had this number: nobody is asked, and whoever opens the maildrop confirms
 * that it still has it.
 */
static bool is_cached_unconfirmed(struct accounts *a, const struct auth_request *request, struct account_verdict *v)
{
    struct policy_entry e;

    memset(v, 0, sizeof *v);
    memcpy(v->network, request->origin.network.at != NULL ? request->origin.network.at : "",
           request->origin.network.len);
    if (!name_canonical(request->name, request->default_domain, v->address, NULL) ||
        guesses(a, v->address) >= most_guesses(a) ||
        !credentials_recent(a->source, v->address, v->network, &e) ||
        !login_cache_has_proof(a->login_cache, &e.mailbox, e.versions.proof, request->password))
        return false;
    metric_add(METRIC_AUTH_CACHED, 1);
    v->verdict = AUTH_OK_UNCONFIRMED;
    v->cached = true;
    v->mailbox = e.mailbox;
    v->policy = e.policy;
    v->versions = e.versions;
    return true;
}

bool account_check_cached(struct accounts *a, const struct auth_request *request, struct account_verdict *v)
{
    const struct span password = request->password;

    return !request->uncached && password.len > 0 && memchr(password.at, '\0', password.len) == NULL &&
           is_cached_unconfirmed(a, request, v);
}

/* quickly: false where it takes a slow hash, and then nothing was decided. */
static bool check(struct accounts *a, const struct auth_request *request, bool quickly, struct account_verdict *v)
{
    struct span password = request->password;
    struct credentials c;
    struct given given;
    bool done = true;

    /* An empty one is nobody's (A07), and crypt(3) would end at a NUL. */
    if (password.len == 0 || memchr(password.at, '\0', password.len) != NULL) {
        memset(v, 0, sizeof *v);
        if (quickly)
            return false;
        bool is_name = name_canonical(request->name, request->default_domain, v->address, NULL);
        given_of(&given, password);
        (void)verify_decoy(a, &given);
        refuse(v, AUTH_REFUSED, is_name ? "password" : "unknown");
        return true;
    }
    if (account_check_cached(a, request, v))
        return true;
    int found = account_find(a, request->name, request->default_domain, &request->origin, true, &c, v);
    if (v->barred && found >= 0)
        refuse(v, AUTH_REFUSED, "guessing");
    /* Nothing that is stored here decides. One that is disabled takes the path of all refusals. */
    bool elsewhere = found > 0 && !v->barred && c.active && c.elsewhere[0] != '\0';
    v->cached = found > 0 && !v->barred && !elsewhere && is_cached(a, &c, password);
    if (v->cached || elsewhere)
        verdict_accept(v, &c);
    if (found >= 0 && !v->barred && !v->cached && !elsewhere) {
        given_of(&given, password);
        if (found > 0)
            done = check_secrets(a, &c, &given, quickly, v);
        else if (quickly)
            done = false;
        else if (!verify_decoy(a, &given))
            refuse(v, AUTH_UNAVAILABLE, NULL);
        given_wipe(&given);
    }
    if (found > 0)
        secret_wipe(&c, sizeof c);
    if (!done)
        take_guess_back(a, v);
    return done;
}

void account_check(struct accounts *a, const struct auth_request *request, struct account_verdict *v)
{
    (void)check(a, request, false, v);
}

bool account_check_quickly(struct accounts *a, const struct auth_request *request, struct account_verdict *v)
{
    return check(a, request, true, v);
}

bool account_look_ahead(struct accounts *a, const struct credentials_question *questions, size_t n)
{
    return credentials_look_ahead(a->source, questions, n, true);
}

void account_forget_ahead(struct accounts *a)
{
    credentials_forget_ahead(a->source);
}

void account_ticket(struct accounts *a, struct account_verdict *v, uint32_t lane, struct mailbox_ticket *ticket_r)
{
    const struct mailbox_versions confirmed = { 0, 0 };

    *ticket_r = (struct mailbox_ticket){ { 0 } };
    if (v->verdict != AUTH_OK && v->verdict != AUTH_OK_UNCONFIRMED)
        return;
    if (tickets_make(a->tickets, &v->mailbox, v->verdict == AUTH_OK ? &confirmed : &v->versions, lane, ticket_r))
        return;
    v->mailbox = (struct mailbox_ref){ 0 };
    refuse(v, AUTH_UNAVAILABLE, NULL);
}

/* ------------------------------------------------------- when it was answered */

void account_write_down(struct accounts *a, struct account_verdict *v)
{
    if (v->verdict != AUTH_REFUSED || strcmp(v->reason, "aborted") == 0)
        take_guess_back(a, v);
    if (v->network[0] == '\0' || v->address[0] == '\0')
        return;
    if (v->verdict == AUTH_REFUSED)
        records_failure(a->records, v->address);
    else if (v->verdict == AUTH_OK && v->unseen)
        records_login(a->records, &v->mailbox, v->network);
}

void account_report(struct accounts *a, const struct auth_request *report)
{
    struct account_verdict v = { .verdict = AUTH_REFUSED };

    if (report->report == REPORT_RIGHT) {
        learn_note(a->learn, report);
        return;
    }
    if (!name_canonical(report->name, report->default_domain, v.address, NULL))
        return;
    count_guess(a, &v);
    if (report->origin.network.len > 0)
        records_failure(a->records, v.address);
}

void account_write(struct accounts *a)
{
    records_write(a->records, false);
    upkeep_look(a->upkeep);
}

bool account_make_one(struct accounts *a)
{
    return upkeep_make_one(a->upkeep) || learn_one(a->learn);
}

int account_wait(const struct accounts *a)
{
    return upkeep_is_left(a->upkeep) || learn_is_left(a->learn) ? 0 : records_wait(a->records);
}

void account_upkeep(struct accounts *a)
{
    upkeep_look(a->upkeep);
    while (upkeep_make_one(a->upkeep) || learn_one(a->learn))
        ;
    records_write(a->records, true);
}
