/*
 * helper.c - the auth helper's loop: one request after the other.
 *
 * Owns the process's side of the socket and the log lines of refusals. Ends
 * when the worker has gone, or talks nonsense; never for what a client sent.
 */
#include "auth/helper.h"

#include <errno.h>
#include <string.h>

#include "auth/account.h"
#include "auth/frame.h"
#include "daemon/base/log.h"
#include "daemon/base/secret.h"
#include "daemon/net/peer.h"

static const char *const verdict_names[] = {
    [AUTH_OK] = "ok", [AUTH_REFUSED] = "refused", [AUTH_UNAVAILABLE] = "unavailable", [AUTH_BROKEN] = "broken",
};

/* The worker is not told the reason, so that no client can be. */
static void log_verdict(const struct auth_request *request, const struct account_verdict *v)
{
    char session[FRAME_SESSION_MAX + 1] = "";
    struct span name = v->address[0] != '\0' ? span_str(v->address) : request->name;

    memcpy(session, request->session.at, request->session.len);
    if (v->verdict == AUTH_REFUSED)
        log_info(session[0] != '\0' ? session : NULL, "auth name=%s result=refused reason=%s", log_text(name).s, v->reason);
    else
        log_debug(session[0] != '\0' ? session : NULL, "auth name=%s result=%s%s", log_text(name).s, verdict_names[v->verdict],
                  v->remembered ? " remembered=yes" : "");
}

/* False if it is no request. */
static bool serve(int fd, struct accounts *accounts, const unsigned char *data, size_t len)
{
    struct auth_request request;
    struct account_verdict v;
    unsigned char out[FRAME_REPLY_MAX];

    if (!frame_get_request(data, len, &request))
        return false;
    account_check(accounts, &request, &v);
    log_verdict(&request, &v);
    struct auth_reply reply = { request.id, v.verdict, v.mailbox, span_str(v.address) };
    /* That the worker has gone is seen when the next request is read. */
    peer_send_blocking(fd, out, frame_put_reply(out, &reply));
    return true;
}

int auth_helper_run(int fd, const char *conninfo, const struct auth_settings *settings, int schema_version)
{
    unsigned char data[FRAME_REQUEST_MAX];
    bool sane = true;

    secret_init();
    secret_no_core();
    struct accounts *accounts = accounts_new(conninfo, settings, schema_version);
    while (sane) {
        long len = peer_receive_blocking(fd, data, sizeof data);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            break;
        sane = serve(fd, accounts, data, (size_t)len);
        secret_wipe(data, (size_t)len);
    }
    if (!sane)
        log_error(NULL, "auth helper ends: its worker sent something that is no request");
    accounts_free(&accounts);
    return sane ? 0 : 1;
}
