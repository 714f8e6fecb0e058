/*
 * sasl_oauth.c - OAUTHBEARER (RFC 7628) and XOAUTH2, as Google and
 * Microsoft have it: the client shows a token that an OAuth server signed.
 *
 * Owns the form of their messages. A token that is not good is told in JSON,
 * as a challenge; whatever the client answers to that, it is refused.
 */
#include "auth/sasl/sasl.h"

#include <string.h>
#include <time.h>

#include "auth/account/account.h"
#include "auth/sasl/jwt.h"
#include "auth/settings.h"
#include "daemon/base/log.h"
#include "daemon/base/secret.h"

struct bearer {
    struct span user, token;
};

/* The next part up to ^A, which *rest is moved behind. */
static bool until_separator(struct span *rest, struct span *part_r)
{
    const char *end = rest->len > 0 ? memchr(rest->at, '\1', rest->len) : NULL;

    if (end == NULL)
        return false;
    *part_r = (struct span){ rest->at, (size_t)(end - rest->at) };
    *rest = (struct span){ end + 1, rest->len - part_r->len - 1 };
    return true;
}

static bool begins(struct span text, const char *with, struct span *rest_r)
{
    size_t len = strlen(with);

    if (text.len < len || strncasecmp(text.at, with, len) != 0)
        return false;
    *rest_r = (struct span){ text.at + len, text.len - len };
    return true;
}

/* "n,a=anna@example.org,": the name is optional, and bindings are not used here (RFC 7628 section 3.1). */
static bool read_gs2(struct span header, struct span *user_r)
{
    if (header.len < 3 || (header.at[0] != 'n' && header.at[0] != 'y') || header.at[1] != ',' ||
        header.at[header.len - 1] != ',')
        return false;
    struct span name = { header.at + 2, header.len - 3 };
    *user_r = SPAN_OF("");
    if (name.len == 0)
        return true;
    return begins(name, "a=", user_r) && memchr(user_r->at, ',', user_r->len) == NULL &&
           memchr(user_r->at, '=', user_r->len) == NULL;
}

/* Both are a list of parts, each ended by ^A, and an empty one at the end; the first one differs. */
static bool read_message(enum mechanism m, struct span message, struct bearer *b)
{
    struct span part, value;
    bool found = false;

    if (message.len == 0 || memchr(message.at, '\0', message.len) != NULL || !until_separator(&message, &part))
        return false;
    if (m == MECH_XOAUTH2 ? !begins(part, "user=", &b->user) : !read_gs2(part, &b->user))
        return false;
    while (until_separator(&message, &part) && part.len > 0) {
        if (!begins(part, "auth=Bearer ", &value))
            continue;
        if (found || value.len == 0)
            return false;
        found = true;
        b->token = value;
    }
    return found && part.len == 0 && message.len == 0;
}

/* Whose token? False with the verdict if nobody's. */
static bool check_token(struct exchange *x, const struct bearer *b, char address[NAME_TYPED_MAX + 1])
{
    const struct auth_settings *settings = x->settings;
    const struct jwt_wanted wanted = { settings->oauth_issuer, settings->oauth_audience, settings->oauth_claim,
                                       (int64_t)time(NULL) };
    const char *error = NULL;

    /* Read for each: they are few, and new ones are used at once. */
    struct jwt_keys *keys = jwt_keys_new(settings->oauth_keys, &error);
    if (keys == NULL || wanted.issuer[0] == '\0' || wanted.audience[0] == '\0') {
        log_error(NULL, "cannot verify tokens: oauth_keys: %s",
                  error != NULL ? error : "oauth_issuer or oauth_audience is not set");
        jwt_keys_free(&keys);
        x->verdict.verdict = AUTH_BROKEN;
        return false;
    }
    const char *why = jwt_verify(keys, b->token, &wanted, address);
    jwt_keys_free(&keys);
    if (why != NULL)
        verdict_refuse(&x->verdict, why);
    return why == NULL;
}

static void log_in(struct exchange *x, const struct bearer *b)
{
    char address[NAME_TYPED_MAX + 1];
    struct credentials c;

    if (!check_token(x, b, address) ||
        account_find(x->accounts, span_str(address), span_str(x->domain), &x->origin, false, &c, &x->verdict) <= 0)
        return;
    if (c.active)
        verdict_accept(&x->verdict, &c);
    else
        verdict_refuse(&x->verdict, "disabled");
    secret_wipe(&c, sizeof c);
    verdict_authorize(&x->verdict, b->user, span_str(x->domain));
}

static bool oauth_start(struct exchange *x, const struct auth_opening *o, struct sasl_challenge *out)
{
    struct bearer b = { SPAN_OF(""), SPAN_OF("") };

    sasl_note_name(x, o->initial);
    if (!read_message(x->mechanism, o->initial, &b) || (x->mechanism == MECH_XOAUTH2 && b.user.len == 0)) {
        verdict_refuse(&x->verdict, "malformed");
        return false;
    }
    log_in(x, &b);
    return x->verdict.verdict == AUTH_REFUSED && sasl_challenge(out, SPAN_OF("{\"status\":\"invalid_token\"}"));
}

/* The client has read why. */
static bool oauth_step(struct exchange *x, struct span message, struct sasl_challenge *out)
{
    (void)x, (void)message, (void)out;
    return false;
}

/* What is between `before`, at the beginning of text, and the octet `end`. */
static bool between(struct span text, const char *before, char end, struct span *part_r)
{
    const size_t skip = strlen(before);
    const char *stop = text.len > skip ? memchr(text.at + skip, end, text.len - skip) : NULL;

    if (stop == NULL || strncasecmp(text.at, before, skip) != 0)
        return false;
    *part_r = (struct span){ text.at + skip, (size_t)(stop - text.at) - skip };
    return true;
}

static bool oauthbearer_name(struct span message, struct span *name_r)
{
    return between(message, "n,a=", ',', name_r) || between(message, "y,a=", ',', name_r);
}

static bool xoauth2_name(struct span message, struct span *name_r)
{
    return between(message, "user=", '\1', name_r);
}

const struct mechanism_how sasl_oauthbearer = { .name = oauthbearer_name, .start = oauth_start, .step = oauth_step };
const struct mechanism_how sasl_xoauth2 = { .name = xoauth2_name, .start = oauth_start, .step = oauth_step };
