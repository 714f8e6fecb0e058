/*
 * cmd_sasl.c - AUTH (RFC 5034) and APOP (RFC 1939 section 7): the dialogue on
 * the wire.
 *
 * Owns lines and base64. What the messages mean only the auth helper knows:
 * nothing of them is kept here, and the verdict goes the way of PASS (opening.c);
 * but for LOGIN, which is USER and PASS, and goes their way from the start.
 */
#include "daemon/pop3/commands.h"

#include <sodium.h>

#include "auth/client/client.h"
#include "auth/name.h"
#include "daemon/base/base64.h"
#include "daemon/base/clock.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/conn.h"
#include "daemon/net/loop.h"
#include "daemon/pop3/args.h"
#include "daemon/pop3/login.h"

_Static_assert(AUTH_MESSAGE_MAX >= LINE_SASL_LIMIT / 4 * 3, "what a line can hold, a helper takes");

enum { BASE64 = sodium_base64_VARIANT_ORIGINAL };

/* -------------------------------------------------------------- the dialogue */

static bool is_as_pass(const struct pop3_session *s)
{
    return (mechanisms[s->report.mechanism].flags & MECH_AS_PASS) != 0;
}

/* The reply that ends an exchange before its verdict. No [AUTH]: nobody has to be asked for another password (R07). */
static enum outcome give_up(struct pop3_session *s, const char *why)
{
    if (s->login->auth_id == 0 && is_as_pass(s) && s->login->name != NULL) {
        pop3_log_refused(s, "aborted");
        /* That was no USER. */
        pop3_set_name(s, (struct span){ NULL, 0 });
    }
    if (s->login->auth_id == 0)
        return pop3_bad(s, why);
    auth_forget(pop3_host(s)->auth, s->login->auth_id);
    s->login->auth_id = 0;
    /* A helper was at work for it: that is not to be had without end (S30). */
    pop3_err(s, RC_NONE, "%s", why);
    /* That was no USER. */
    pop3_set_name(s, (struct span){ NULL, 0 });
    if (++s->login->refused < pop3_settings(s)->pop3_login_failures)
        return CMD_DONE;
    s->base.end = END_REFUSED;
    return CMD_CLOSE;
}

static enum outcome challenge(struct pop3_session *s, struct span octets)
{
    char line[4 + sodium_base64_ENCODED_LEN(AUTH_CHALLENGE_MAX, BASE64)];

    memcpy(line, "+ ", 2);
    sodium_bin2base64(line + 2, sizeof line - 4, (const unsigned char *)octets.at, octets.len, BASE64);
    size_t len = strlen(line);
    memcpy(line + len, "\r\n", 2);
    session_trace_reply(&s->base, SPAN_OF("+ ***"));
    conn_write(s->base.conn, line, len + 2);
    secret_wipe(line, len);
    return CMD_ASK;
}

static enum outcome say_challenge(struct pop3_session *s)
{
    enum outcome out = challenge(s, (struct span){ s->login->challenge, s->login->challenge_len });

    pop3_drop_challenge(s->login);
    return out;
}

/*
 * Only the answer to the message that contains the name depends on it: if the server
 * begins, it has sent all challenges before it looks up anything, and a second
 * challenge of SCRAM follows a correct proof only.
 */
static enum outcome hold_challenge(struct pop3_session *s, struct span text)
{
    struct pop3_login *login = s->login;

    if (login->challenged || (mechanisms[s->report.mechanism].flags & MECH_SERVER_FIRST))
        return challenge(s, text);
    login->challenged = true;
    pop3_drop_challenge(login);
    login->challenge = mem_strn(text.at, text.len);
    login->challenge_len = text.len;
    return pop3_hold(s, say_challenge, pop3_soon(s));
}

/* An auth_done: a challenge of the helper, or its verdict. */
static void on_answer(void *owner, const struct auth_result *result)
{
    struct pop3_session *s = owner;

    if (result->verdict != AUTH_CHALLENGE) {
        pop3_on_verdict(s, result);
        return;
    }
    pop3_time_answer(s);
    pop3_act(s, hold_challenge(s, result->challenge));
}

/*
 * For the log: also where no helper will say whose login it was. Of a client's first message only:
 * see mechanism_name().
 */
static void note_name(struct pop3_session *s, struct span message)
{
    struct span name;

    if (s->login->name == NULL && mechanism_name(s->report.mechanism, message, &name))
        pop3_set_name(s, name);
}

static struct span binding(const struct pop3_session *s, enum conn_binding type, unsigned char out[CONN_BINDING_MAX])
{
    return (struct span){ (const char *)out, conn_channel_binding(s->base.conn, type, out) };
}

/*
 * A client of SCRAM that can bind, and was not told that we can, was lied to: so the helper has to
 * know where we told (RFC 5802 section 6).
 */
static bool bindings_matter(const struct pop3_session *s)
{
    enum mechanism plus = mechanism_plus(s->report.mechanism);

    if (mechanisms[s->report.mechanism].flags & MECH_BINDS)
        return true;
    return plus != MECHANISMS && (pop3_offered(s) & MECH_BIT(plus)) != 0;
}

/* initial.at is NULL where the client has said nothing yet. */
static enum outcome start(struct pop3_session *s, struct span initial)
{
    unsigned char exporter[CONN_BINDING_MAX], unique[CONN_BINDING_MAX];
    char network[NETWORK_TEXT_SIZE];
    struct auth_opening opening = {
        .mechanism = s->report.mechanism, .has_initial = initial.at != NULL, .initial = initial,
        .default_domain = span_str(s->login->domain), .session = span_str(s->base.id),
    };

    note_name(s, initial);
    if (mechanisms[s->report.mechanism].flags & MECH_CERTIFICATE) {
        opening.identity = span_str(conn_client_identity(s->base.conn));
        pop3_set_name(s, opening.identity);
    }
    if (mechanisms[s->report.mechanism].flags & MECH_TIMESTAMP)
        opening.timestamp = span_str(s->login->timestamp);
    if (bindings_matter(s)) {
        opening.exporter = binding(s, CONN_TLS_EXPORTER, exporter);
        opening.unique = binding(s, CONN_TLS_UNIQUE, unique);
    }
    s->login->challenged = false;
    s->login->pass_at = loop_now(pop3_host(s)->loop);
    s->login->asked_us = clock_us();
    /* Who it is only the helper will know: it refuses on its own where too many have guessed. */
    (void)pop3_may_try(s, SPAN_OF(""), network, &opening.origin);
    s->login->auth_id = auth_start(pop3_host(s)->auth, &opening, on_answer, s);
    pop3_bind_login(s);
    return CMD_WAIT;
}

/* The name, and then the password. */
static enum outcome as_pass(struct pop3_session *s, struct span text)
{
    char network[NETWORK_TEXT_SIZE];
    struct auth_origin origin;

    if (s->login->name != NULL)
        return pop3_ask_password(s, text);
    if (text.len == 0 || text.len > NAME_TYPED_MAX || memchr(text.at, '\0', text.len) != NULL) {
        s->login->pass_at = loop_now(pop3_host(s)->loop);
        (void)pop3_may_try(s, SPAN_OF(""), network, &origin);
        return pop3_refuse(s, "password", 0);
    }
    pop3_set_name(s, text);
    return challenge(s, SPAN_OF("Password:"));
}

/* Begins an exchange, or goes on with the one that is open. */
static enum outcome message(struct pop3_session *s, struct span text)
{
    unsigned char octets[AUTH_MESSAGE_MAX];
    size_t len;
    enum outcome out = CMD_WAIT;

    if (!base64_decode(text, BASE64_PADDED, octets, sizeof octets, &len)) {
        out = give_up(s, "invalid base64");
    } else if (is_as_pass(s)) {
        out = as_pass(s, (struct span){ (const char *)octets, len });
    } else if (s->login->auth_id == 0) {
        out = start(s, (struct span){ (const char *)octets, len });
    } else {
        s->login->pass_at = loop_now(pop3_host(s)->loop);
        s->login->asked_us = clock_us();
        note_name(s, (struct span){ (const char *)octets, len });
        auth_respond(pop3_host(s)->auth, s->login->auth_id, (struct span){ (const char *)octets, len });
    }
    secret_wipe(octets, sizeof octets);
    return out;
}

enum outcome pop3_auth_line(struct session *session, enum line_kind kind, struct span line)
{
    struct pop3_session *s = pop3_of(session);

    switch (kind) {
    case LINE_COMMAND:
        break;
    case LINE_NUL:
        return give_up(s, "invalid base64");
    case LINE_LONG:
        return give_up(s, "line longer than 12288 octets");
    case LINE_ENDLESS:
        s->base.end = END_BAD_COMMANDS;
        pop3_err(s, RC_NONE, "line too long, closing connection");
        return CMD_CLOSE;
    case LINE_MORE:
        ASSERT(kind != LINE_MORE);
    }
    if (span_is(line, SPAN_OF("*")))
        return give_up(s, "authentication cancelled");
    return message(s, line);
}

/* ---------------------------------------------------------------- the commands */

/* What Outlook 5 asks instead of CAPA: a name a line (S29). */
static enum outcome list(struct pop3_session *s)
{
    char names[SASL_LIST_SIZE], *save = NULL;

    pop3_sasl_list(pop3_offered(s), names);
    if (names[0] == '\0')
        return pop3_err(s, RC_NONE, "no authentication mechanism available");
    pop3_ok(s, "mechanism list follows");
    for (char *name = strtok_r(names, " ", &save); name != NULL; name = strtok_r(NULL, " ", &save)) {
        conn_write(s->base.conn, name, strlen(name));
        conn_write(s->base.conn, "\r\n", 2);
    }
    conn_write(s->base.conn, ".\r\n", 3);
    return CMD_DONE;
}

/*
 * A mechanism that is not offered: told why where TLS would help. It is no bad command: some
 * clients try one after the other.
 */
static enum outcome not_offered(struct pop3_session *s, enum mechanism m, struct span initial)
{
    unsigned char octets[AUTH_MESSAGE_MAX];
    size_t len;
    bool configured = (pop3_service_of(s)->mechanisms & MECH_BIT(m)) != 0;

    if (!configured || s->may_login || (mechanisms[m].flags & (MECH_TIMESTAMP | MECH_CERTIFICATE | MECH_BINDS)))
        return pop3_err(s, RC_NONE, "authentication mechanism not available");
    s->report.mechanism = m;
    if (base64_decode(initial, BASE64_PADDED, octets, sizeof octets, &len))
        note_name(s, (struct span){ (const char *)octets, len });
    secret_wipe(octets, sizeof octets);
    pop3_log_cleartext(s);
    pop3_set_name(s, (struct span){ NULL, 0 });
    return pop3_refuse_cleartext(s);
}

enum outcome pop3_cmd_auth(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);
    struct span rest = args->count > 0 ? args->v[0] : SPAN_OF("");
    const char *space = rest.len > 0 ? memchr(rest.at, ' ', rest.len) : NULL;
    struct span name = { rest.at, space != NULL ? (size_t)(space - rest.at) : rest.len };
    enum mechanism m;

    if (rest.len == 0)
        return list(s);
    if (!mechanism_find(name, &m) || (mechanisms[m].flags & MECH_TIMESTAMP))
        return pop3_err(s, RC_NONE, "authentication mechanism not available");
    if ((pop3_offered(s) & MECH_BIT(m)) == 0)
        return not_offered(s, m, space != NULL ? (struct span){ space + 1, rest.len - name.len - 1 } : SPAN_OF(""));
    s->report.mechanism = m;
    if (space == NULL) {
        if (is_as_pass(s))
            return challenge(s, SPAN_OF("Username:"));
        if (mechanisms[m].flags & MECH_SERVER_FIRST)
            return start(s, (struct span){ NULL, 0 });
        /* It is the client's turn, so no helper is asked before it spoke. */
        return challenge(s, SPAN_OF(""));
    }
    if (mechanisms[m].flags & MECH_NO_INITIAL)
        return pop3_bad(s, "this mechanism takes no initial response");
    struct span initial = { space + 1, rest.len - name.len - 1 };
    if (initial.len == 0)
        return pop3_bad(s, "invalid arguments");
    /* Present, but empty (RFC 5034 section 4): not the same as none. */
    return message(s, span_is(initial, SPAN_OF("=")) ? SPAN_OF("") : initial);
}

enum outcome pop3_cmd_apop(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);
    struct span name_and_digest = name_trim(args->v[0]);

    if (s->login->timestamp == NULL)
        return pop3_bad(s, "APOP is not available");
    if (name_and_digest.len == 0 || memchr(name_and_digest.at, ' ', name_and_digest.len) == NULL)
        return pop3_bad(s, "invalid arguments");
    s->report.mechanism = MECH_APOP;
    return start(s, name_and_digest);
}
