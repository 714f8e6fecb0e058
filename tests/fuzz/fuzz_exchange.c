/*
 * SASL exchanges and APOP in the helper: any opening, any number of answers,
 * with accounts that are made up here. What a client can say without knowing
 * the password must never be a login.
 */
#include "auth/account/account.h"
#include "auth/account/decoy.h"
#include "auth/helper/exchange.h"
#include "auth/settings.h"
#include "daemon/base/log.h"
#include "daemon/base/secret.h"
#include "tests/fuzz/fuzz.h"

enum { STEPS = 6 };

static struct auth_settings settings;
static bool said;     /* the right password was said, in a mechanism that says it */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char empty[] = "", email[] = "email";

    (void)argc, (void)argv;
    secret_init();
    log_set_level(LOG_LEVEL_ERROR);
    decoy_set_key(SPAN_OF("fuzz"), SPAN_OF(""));
    settings.oauth_keys = settings.oauth_issuer = settings.oauth_audience = settings.auth_key_file = empty;
    settings.oauth_claim = email;
    return 0;
}

/* ------------------------------------------------ what auth/account/account.h declares */

static bool known(struct span name)
{
    return name.len >= 4 && memcmp(name.at, "anna", 4) == 0;
}

static void add_secret(struct credentials *c, enum credential_kind kind, const char *text)
{
    c->secrets[c->count].kind = (char)kind;
    snprintf(c->secrets[c->count].text, sizeof c->secrets[c->count].text, "%s", text);
    c->count++;
}

int account_find(struct accounts *accounts, struct span name, struct span default_domain, const struct auth_origin *origin, bool whole,
                 struct credentials *c, struct account_verdict *v)
{
    (void)accounts, (void)default_domain, (void)origin, (void)whole;
    memset(c, 0, sizeof *c);
    v->verdict = AUTH_REFUSED;
    v->reason = "unknown";
    if (!known(name))
        return 0;
    v->reason = "password";
    snprintf(v->address, sizeof v->address, "anna@example.org");
    c->mailbox.number = 42;
    c->active = true;
    snprintf(c->address, sizeof c->address, "anna@example.org");
    if (name.len % 2 == 0) {
        add_secret(c, CREDENTIAL_SHARED_SECRET, "a secret that no fuzzer knows: 7c1d07");
        add_secret(c, CREDENTIAL_SCRAM_SHA_256, "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$"
                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    }
    return 1;
}

void account_check(struct accounts *accounts, const struct auth_request *request, struct account_verdict *v)
{
    struct credentials c;

    if (account_find(accounts, request->name, request->default_domain, &request->origin, true, &c, v) == 1 &&
        span_is(request->password, SPAN_OF("secret"))) {
        said = true;
        verdict_accept(v, &c);
    }
}

void accounts_need_decoys(struct accounts *accounts)
{
    (void)accounts;
}

/* ------------------------------------------------------------------- target */

static void check(const struct exchange_answer *out, bool external)
{
    MUST(out->challenge.len <= AUTH_CHALLENGE_MAX);
    if (out->exchange != 0)
        return;
    MUST(out->verdict.verdict != AUTH_CHALLENGE);
    if (out->verdict.verdict == AUTH_OK)
        MUST((said || external) && out->verdict.mailbox.number == 42);
    else if (out->verdict.verdict == AUTH_REFUSED)
        MUST(out->verdict.reason != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct exchanges *e = exchanges_new(NULL, &settings, ~0u);
    struct span in = { (const char *)data, size };
    struct exchange_answer out;
    struct auth_opening o = { .session = SPAN_OF("0123456789ab"), .default_domain = SPAN_OF("example.org") };
    struct span initial;
    uint8_t flags;

    said = false;
    o.mechanism = (enum mechanism)(take_octet(&in) % MECHANISMS);
    flags = take_octet(&in);
    o.has_initial = flags & 1;
    o.exporter = flags & 2 ? SPAN_OF("0123456789abcdef0123456789abcdef") : SPAN_OF("");
    o.unique = flags & 4 ? SPAN_OF("0123456789ab") : SPAN_OF("");
    o.identity = flags & 8 ? SPAN_OF("anna@example.org") : SPAN_OF("");
    o.timestamp = flags & 16 ? SPAN_OF("<1@example.org>") : SPAN_OF("");
    o.origin.network = flags & 32 ? SPAN_OF("192.0.2.1") : SPAN_OF("");
    initial = o.has_initial ? exact(take_long_text(&in)) : exact(SPAN_OF(""));
    o.initial = initial;
    if (o.initial.len > AUTH_MESSAGE_MAX)
        o.initial.len = AUTH_MESSAGE_MAX;
    exchange_start(e, 7, &o, &out);
    check(&out, o.mechanism == MECH_EXTERNAL && o.identity.len > 0);
    for (int i = 0; i < STEPS && out.exchange != 0; i++) {
        struct span text = exact(take_long_text(&in));
        struct auth_step step = { 7, out.exchange, text };

        if (step.response.len > AUTH_MESSAGE_MAX)
            step.response.len = AUTH_MESSAGE_MAX;
        if (flags & 64 && i == 1)
            exchange_abort(e, &step, &out);
        else
            exchange_respond(e, &step, &out);
        check(&out, false);
        exact_free(text);
    }
    exact_free(initial);
    exchanges_free(&e);
    return 0;
}
