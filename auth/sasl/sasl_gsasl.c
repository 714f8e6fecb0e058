/*
 * sasl_gsasl.c - SCRAM (RFC 5802, RFC 7677) and CRAM-MD5 (RFC 2195), by
 * GNU SASL.
 *
 * Owns what the library is told of an account. A name that is not there, or
 * has nothing stored that the mechanism could use, goes the whole way like any
 * other and fails at its end. Stored secrets are wiped where the library lets
 * us; what it copies lies in this process only.
 */
#include "auth/sasl/sasl.h"

#include <gsasl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "auth/account/account.h"
#include "auth/account/decoy.h"
#include "auth/scheme/scram.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum {
    MESSAGE_MAX = 4096,     /* octets of a message: the library keeps several copies, and a name has 1280 at most */
    BASE64 = sodium_base64_VARIANT_ORIGINAL,
};

/* What the exchange has of the library. */
struct gsasl {
    Gsasl_session *gs;      /* NULL: it could not be started */
    bool looked_up;         /* and then the verdict says what will be answered to the right proof */
    bool finishing;         /* only the client's last, empty message is to come (RFC 5034 section 4) */
};

static struct gsasl *session(const struct exchange *x)
{
    return x->own;
}

static bool is_scram(enum mechanism m)
{
    return m != MECH_CRAM_MD5;
}

static bool is_sha1(enum mechanism m)
{
    return m == MECH_SCRAM_SHA_1 || m == MECH_SCRAM_SHA_1_PLUS;
}

/* Out of memory is the one way to fail; the exchange then lacks something, and does not end well. */
static void set(Gsasl_session *gs, Gsasl_property property, const char *text)
{
    (void)gsasl_property_set(gs, property, text);
}

static void set_base64(Gsasl_session *gs, Gsasl_property property, const void *octets, size_t len)
{
    char text[sodium_base64_ENCODED_LEN(64, BASE64)];

    if (len > 0 && len <= 64)
        set(gs, property, sodium_bin2base64(text, sizeof text, octets, len, BASE64));
    secret_wipe(text, sizeof text);
}

/* ------------------------------------------------- what an account has stored */

static const char *find_secret(const struct credentials *c, enum credential_kind kind)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->secrets[i].kind == (char)kind && c->secrets[i].text[0] != '\0')
            return c->secrets[i].text;
    return NULL;
}

/* The same name has the same salt each time, as a real one has. */
static void set_decoy_salt(struct exchange *x, struct span name)
{
    unsigned char salt[SCRAM_SALT];
    char iterations[12];

    decoy_octets(is_sha1(x->mechanism) ? "salt 1" : "salt 256", name, salt, sizeof salt);
    set_base64(session(x)->gs, GSASL_SCRAM_SALT, salt, sizeof salt);
    snprintf(iterations, sizeof iterations, "%d", SCRAM_ITERATIONS);
    set(session(x)->gs, GSASL_SCRAM_ITER, iterations);
}

static void set_decoy(struct exchange *x, struct span name)
{
    unsigned char key[32];
    const size_t len = is_sha1(x->mechanism) ? 20 : 32;

    randombytes_buf(key, sizeof key);
    if (is_scram(x->mechanism)) {
        set_decoy_salt(x, name);
        set_base64(session(x)->gs, GSASL_SCRAM_STOREDKEY, key, len);
        set_base64(session(x)->gs, GSASL_SCRAM_SERVERKEY, key, len);
    } else {
        set_base64(session(x)->gs, GSASL_PASSWORD, key, sizeof key);
    }
    secret_wipe(key, sizeof key);
}

/* 1 set, 0 there is nothing that could be used, -1 what is stored is no verifier. */
static int set_secret(struct exchange *x, const struct credentials *c, struct span name)
{
    const char *verifier = NULL, *shared = find_secret(c, CREDENTIAL_SHARED_SECRET);
    struct scram_verifier v;

    if (is_scram(x->mechanism))
        verifier = find_secret(c, is_sha1(x->mechanism) ? CREDENTIAL_SCRAM_SHA_1 : CREDENTIAL_SCRAM_SHA_256);
    if (verifier != NULL) {
        bool good = scram_parse(verifier, is_sha1(x->mechanism), &v);
        if (good) {
            set(session(x)->gs, GSASL_SCRAM_ITER, v.iterations);
            set(session(x)->gs, GSASL_SCRAM_SALT, v.salt);
            set(session(x)->gs, GSASL_SCRAM_STOREDKEY, v.stored_key);
            set(session(x)->gs, GSASL_SCRAM_SERVERKEY, v.server_key);
        }
        secret_wipe(&v, sizeof v);
        return good ? 1 : -1;
    }
    if (shared == NULL)
        return 0;
    if (is_scram(x->mechanism))
        set_decoy_salt(x, name);
    set(session(x)->gs, GSASL_PASSWORD, shared);
    return 1;
}

/* x->verdict becomes what the right proof is worth. */
static void use_account(struct exchange *x, const struct credentials *c)
{
    switch (set_secret(x, c, span_str(x->verdict.address))) {
    case 1:
        if (!c->active || x->verdict.barred) {
            verdict_refuse(&x->verdict, c->active ? "guessing" : "disabled");
            return;
        }
        verdict_accept(&x->verdict, c);
        return;
    case 0:
        verdict_refuse(&x->verdict, c->active ? "no-secret" : "disabled");
        set_decoy(x, span_str(x->verdict.address));
        return;
    default:
        log_error(NULL, "a stored secret of mailbox %s cannot be used: it is not a %s verifier",
                  mailbox_text(&c->mailbox).s, mechanisms[x->mechanism].name);
        /* To the client it looks like a name that does not exist. */
        verdict_refuse(&x->verdict, c->active ? "unusable" : "disabled");
        set_decoy(x, span_str(x->verdict.address));
        return;
    }
}

/* Once in an exchange, as soon as the library has read the client's name. */
static void look_up(struct exchange *x)
{
    const char *typed = gsasl_property_fast(session(x)->gs, GSASL_AUTHID);
    struct span name = typed != NULL ? span_str(typed) : SPAN_OF("");
    struct credentials c;

    session(x)->looked_up = true;
    accounts_need_decoys(x->accounts);
    int found = account_find(x->accounts, name, span_str(x->domain), &x->origin, false, &c, &x->verdict);
    if (found > 0) {
        use_account(x, &c);
        secret_wipe(&c, sizeof c);
    } else if (found == 0) {
        set_decoy(x, x->verdict.address[0] != '\0' ? span_str(x->verdict.address) : name);
    }
}

/* ------------------------------------------------------------- the library */

static int on_property(Gsasl *library, Gsasl_session *gs, Gsasl_property property)
{
    struct exchange *x = gs != NULL ? gsasl_session_hook_get(gs) : NULL;

    (void)library;
    if (x == NULL || session(x)->looked_up)
        return GSASL_NO_CALLBACK;
    switch (property) {
    case GSASL_SCRAM_ITER:
    case GSASL_PASSWORD:
        look_up(x);
        return GSASL_OK;
    default:
        return GSASL_NO_CALLBACK;
    }
}

/* One for the process: to the end, and made when it is first asked for. */
static Gsasl *library(void)
{
    static Gsasl *made;

    if (made != NULL)
        return made;
    int rc = gsasl_init(&made);
    if (rc != GSASL_OK)
        log_error(NULL, "could not start GNU SASL: %s", gsasl_strerror(rc));
    ASSERT(rc == GSASL_OK);
    gsasl_callback_set(made, on_property);
    return made;
}

/* False where the library has no such mechanism, or there is no memory. */
static bool begin(struct exchange *x, const struct auth_opening *opening)
{
    x->own = mem_zalloc(sizeof(struct gsasl));
    int rc = gsasl_server_start(library(), mechanisms[x->mechanism].name, &session(x)->gs);

    if (rc != GSASL_OK) {
        log_error(NULL, "could not start %s: %s", mechanisms[x->mechanism].name, gsasl_strerror(rc));
        session(x)->gs = NULL;
        return false;
    }
    gsasl_session_hook_set(session(x)->gs, x);
    /*
     * They are there for a mechanism without PLUS too, so that a client that was led to believe
     * that there is no PLUS is refused.
     */
    set_base64(session(x)->gs, GSASL_CB_TLS_EXPORTER, opening->exporter.at, opening->exporter.len);
    set_base64(session(x)->gs, GSASL_CB_TLS_UNIQUE, opening->unique.at, opening->unique.len);
    return true;
}

static void gsasl_end(struct exchange *x)
{
    static const Gsasl_property secrets[] = {
        GSASL_PASSWORD, GSASL_SCRAM_STOREDKEY, GSASL_SCRAM_SERVERKEY, GSASL_SCRAM_SALTED_PASSWORD,
    };
    Gsasl_session *gs = session(x)->gs;

    for (size_t i = 0; gs != NULL && i < sizeof secrets / sizeof secrets[0]; i++) {
        const char *text = gsasl_property_fast(gs, secrets[i]);
        /* It is the library's copy, made for us alone. */
        if (text != NULL)
            secret_wipe((void *)(uintptr_t)text, strlen(text));
    }
    if (gs != NULL)
        gsasl_finish(gs);
    mem_free(x->own);
    x->own = NULL;
}

/* Not before the library has said that the proof is right. */
static void accept(struct exchange *x)
{
    const char *authzid = gsasl_property_fast(session(x)->gs, GSASL_AUTHZID);

    verdict_authorize(&x->verdict, span_str(authzid), span_str(x->domain));
}

/* What a failure is called in the log. */
static const char *reason_of(int rc)
{
    switch (rc) {
    case GSASL_AUTHENTICATION_ERROR:
        return "password";
    case GSASL_NO_CB_TLS_EXPORTER:
    case GSASL_NO_CB_TLS_UNIQUE:
        return "binding";
    default:
        return "malformed";
    }
}

/* The verdict is in x->verdict; or true, and the client has to send more. */
static bool step(struct exchange *x, struct span message, struct sasl_challenge *out)
{
    char *text = NULL;
    size_t len = 0;
    int rc = gsasl_step(session(x)->gs, message.at, message.len, &text, &len);
    bool more = rc == GSASL_NEEDS_MORE;

    if (session(x)->looked_up && (x->verdict.verdict == AUTH_UNAVAILABLE || x->verdict.verdict == AUTH_BROKEN)) {
        more = false;
    } else if (rc == GSASL_MALLOC_ERROR || rc == GSASL_CRYPTO_ERROR) {
        x->verdict.verdict = AUTH_UNAVAILABLE;
    } else if (rc == GSASL_OK) {
        accept(x);
        /* RFC 5034 section 4: what the server has to say at the end goes out as one more challenge. */
        session(x)->finishing = more = verdict_is_accepted(&x->verdict) && len > 0;
    } else if (!more && (!session(x)->looked_up || verdict_is_accepted(&x->verdict))) {
        verdict_refuse(&x->verdict, reason_of(rc));
    }
    if (more && len > sizeof out->octets) {
        verdict_refuse(&x->verdict, "malformed");
        more = false;
    }
    if (more && len > 0)
        memcpy(out->octets, text, len);
    out->len = more ? len : 0;
    gsasl_free(text);
    return more;
}

static bool is_ascii(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] >= 0x80)
            return false;
    return true;
}

/*
 * Not so where SASLprep leaves nothing of it (soft hyphens): the library would refuse it, and
 * never free what it has prepared.
 */
static bool is_name(struct span name)
{
    char *prepared = NULL;

    if (is_ascii(name))
        return true;            /* an empty one the library knows how to refuse */
    char *text = mem_strn(name.at, name.len);
    bool something = gsasl_saslprep(text, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) != GSASL_OK || prepared[0] != '\0';
    gsasl_free(prepared);
    mem_free(text);
    return something;
}

static bool first_ok(const struct exchange *x, struct span message)
{
    struct span name;

    return scram_first_ok(message, (mechanisms[x->mechanism].flags & MECH_BINDS) != 0, &name) && is_name(name);
}

static bool gsasl_respond(struct exchange *x, struct span message, struct sasl_challenge *out)
{
    bool more = false;

    sasl_note_name(x, message);
    /*
     * The library takes messages for C strings here and there; neither mechanism
     * has a NUL in any. To an empty one of SCRAM it would ask again, and it is
     * lenient with the first.
     */
    if (message.len > MESSAGE_MAX || (message.len > 0 && memchr(message.at, '\0', message.len) != NULL) ||
        (message.len == 0 && is_scram(x->mechanism) && !session(x)->finishing) ||
        (is_scram(x->mechanism) && !session(x)->looked_up && !first_ok(x, message))) {
        verdict_refuse(&x->verdict, "malformed");
    } else if (session(x)->finishing) {
        if (message.len > 0)
            verdict_refuse(&x->verdict, "malformed");
    } else {
        more = step(x, message, out);
    }
    return more;
}

static bool gsasl_start(struct exchange *x, const struct auth_opening *o, struct sasl_challenge *out)
{
    return begin(x, o) && gsasl_respond(x, o->initial, out);
}

static bool scram_name(struct span message, struct span *name_r)
{
    return scram_first_ok(message, true, name_r);
}

const struct mechanism_how sasl_scram = {
    .name = scram_name, .start = gsasl_start, .step = gsasl_respond, .end = gsasl_end,
};
const struct mechanism_how sasl_cram_md5 = {
    .name = sasl_name_before_space, .start = gsasl_start, .step = gsasl_respond, .end = gsasl_end,
};
