/*
 * helper.c - the auth helper's loop: one request after the other.
 *
 * Owns the process's side of the socket and the log lines of refusals. Ends
 * when the worker has gone, or talks nonsense; never for what a client sent.
 */
#include "auth/helper/helper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "auth/account/account.h"
#include "auth/helper/exchange.h"
#include "auth/frame.h"
#include "daemon/base/log.h"
#include "daemon/base/secret.h"
#include "daemon/net/peer.h"

/* between attempts to write: nobody reads the log; somebody does, and slowly */
enum { LOG_MS = 500, LOG_READ_MS = 10 };

static const char *const verdict_names[] = {
    [AUTH_OK] = "ok", [AUTH_OK_UNCONFIRMED] = "ok", [AUTH_REFUSED] = "refused",
    [AUTH_UNAVAILABLE] = "unavailable", [AUTH_BROKEN] = "broken",
};

/* The worker is not told the reason, so that no client can be. */
static void log_verdict(const char *session, const char *mechanism, struct span typed, const struct account_verdict *v)
{
    struct span name = v->address[0] != '\0' ? span_str(v->address) : typed;
    const char *by = mechanism != NULL ? " mechanism=" : "";

    if (mechanism == NULL)
        mechanism = "";
    if (session[0] == '\0')
        session = NULL;
    if (v->verdict == AUTH_REFUSED)
        log_info(session, "auth name=%s%s%s result=refused reason=%s", log_text(name).s, by, mechanism, v->reason);
    else
        log_debug(session, "auth name=%s%s%s result=%s%s", log_text(name).s, by, mechanism, verdict_names[v->verdict],
                  v->verdict == AUTH_OK_UNCONFIRMED ? " cached=unconfirmed" : v->cached ? " cached=yes" : "");
}

/* That the worker has gone is seen when the next request is read. */
static void send_verdict(int fd, uint64_t id, const struct account_verdict *v, const struct mailbox_ticket *ticket)
{
    unsigned char out[FRAME_REPLY_MAX];
    bool is_ok = v->verdict == AUTH_OK || v->verdict == AUTH_OK_UNCONFIRMED;
    struct auth_reply reply = {
        id, v->verdict, is_ok ? v->mailbox : (struct mailbox_ref){ 0 }, span_str(v->address), v->guesses,
        v->policy, v->versions, *ticket,
    };

    reply.policy.maintenance.at = v->maintenance;
    peer_send_blocking(fd, out, frame_put_reply(out, &reply));
}

static bool serve_password(int fd, struct accounts *accounts, const unsigned char *data, size_t len)
{
    struct auth_request request;
    struct account_verdict v;
    struct mailbox_ticket ticket;
    char session[FRAME_SESSION_MAX + 1] = "";

    if (!frame_get_request(data, len, &request))
        return false;
    account_check(accounts, &request, true, &v);
    account_ticket(accounts, &v, request.lane, &ticket);
    memcpy(session, request.session.at, request.session.len);
    log_verdict(session, NULL, request.name, &v);
    send_verdict(fd, request.id, &v, &ticket);
    account_write_down(accounts, &v);
    return true;
}

static bool serve_exchange(int fd, struct accounts *accounts, struct exchanges *exchanges, const unsigned char *data,
                           size_t len)
{
    struct auth_opening opening;
    struct auth_step step;
    struct exchange_answer answer;
    struct mailbox_ticket ticket;
    unsigned char out[FRAME_CHALLENGE_MAX];
    unsigned kind = frame_kind(data, len);

    if (kind == FRAME_START && frame_get_start(data, len, &step.id, &opening))
        exchange_start(exchanges, step.id, &opening, &answer);
    else if (kind == FRAME_RESPOND && frame_get_step(data, len, FRAME_RESPOND, &step))
        exchange_respond(exchanges, &step, &answer);
    else if (kind == FRAME_ABORT && frame_get_step(data, len, FRAME_ABORT, &step))
        exchange_abort(exchanges, &step, &answer);
    else
        return false;
    if (answer.exchange != 0) {
        struct auth_challenge challenge = {
            step.id, answer.exchange, { answer.challenge.octets, answer.challenge.len },
        };
        peer_send_blocking(fd, out, frame_put_challenge(out, &challenge));
        return true;
    }
    account_ticket(accounts, &answer.verdict, answer.lane, &ticket);
    log_verdict(answer.session, answer.mechanism < MECHANISMS ? mechanisms[answer.mechanism].name : "none",
                span_str(answer.typed), &answer.verdict);
    send_verdict(fd, step.id, &answer.verdict, &ticket);
    account_write_down(accounts, &answer.verdict);
    return true;
}

/* While the log has not taken all, the next request is waited for a moment at a time. */
static void await_request(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    int ms = LOG_MS;

    while (!log_flush() && poll(&p, 1, ms) == 0) {
        size_t before = log_waiting();

        (void)log_flush();
        ms = log_waiting() < before ? LOG_READ_MS : LOG_MS;
    }
}

int auth_helper_run(int fd, const char *conninfo, const struct auth_settings *settings, int schema_version,
                    int login_cache, unsigned served)
{
    unsigned char data[PEER_MAX];
    bool sane = true;

    secret_init();
    secret_no_core();
    struct accounts *accounts = accounts_new(conninfo, settings, schema_version, login_cache);
    struct exchanges *exchanges = exchanges_new(accounts, settings, served);
    while (sane) {
        await_request(fd);
        long len = peer_receive_blocking(fd, data, sizeof data);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            break;
        if (frame_kind(data, (size_t)len) == FRAME_CHECK_PASSWORD)
            sane = serve_password(fd, accounts, data, (size_t)len);
        else
            sane = serve_exchange(fd, accounts, exchanges, data, (size_t)len);
        secret_wipe(data, (size_t)len);
        account_upkeep(accounts);
    }
    if (!sane)
        log_error(NULL, "auth helper stopping: invalid request from its worker");
    exchanges_free(&exchanges);
    accounts_free(&accounts);
    return sane ? 0 : 1;
}
