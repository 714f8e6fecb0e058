/*
 * helper.c - the auth helper's loop: what there is to read, worked off.
 *
 * Owns the process's side of the socket. Ends when the worker has gone, or
 * talks nonsense; never for what a client sent.
 */
#include "auth/helper/helper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "auth/account/account.h"
#include "auth/helper/answers.h"
#include "auth/helper/batch.h"
#include "auth/helper/exchange.h"
#include "auth/frame.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/peer.h"

/* between attempts to write: nobody reads the log; somebody does, and slowly */
enum { LOG_MS = 500, LOG_READ_MS = 10 };

struct desk {
    struct accounts *accounts;
    struct exchanges *exchanges;
    struct batch *batch;
    struct answers answers;
    struct packet packets[PACKETS_MAX];
};

static bool serve_exchange(struct desk *d, const unsigned char *data, size_t len)
{
    struct auth_opening opening;
    struct auth_step step;
    struct exchange_answer answer;
    unsigned kind = frame_kind(data, len);

    if (kind == FRAME_START && frame_get_start(data, len, &step.id, &opening))
        exchange_start(d->exchanges, step.id, &opening, &answer);
    else if (kind == FRAME_RESPOND && frame_get_step(data, len, FRAME_RESPOND, &step))
        exchange_respond(d->exchanges, &step, &answer);
    else if (kind == FRAME_ABORT && frame_get_step(data, len, FRAME_ABORT, &step))
        exchange_abort(d->exchanges, &step, &answer);
    else
        return false;
    if (answer.exchange != 0)
        answers_challenge(&d->answers, &(struct auth_challenge){
            step.id, answer.exchange, { answer.challenge.octets, answer.challenge.len },
        });
    else
        answers_verdict(&d->answers, d->accounts, step.id, answer.session,
                        answer.mechanism < MECHANISMS ? mechanisms[answer.mechanism].name : "none",
                        span_str(answer.typed), answer.lane, &answer.verdict);
    answers_send(&d->answers);
    account_write(d->accounts);
    return true;
}

/*
 * Passwords first, of which most are answered in a moment, then the steps of
 * exchanges, then the slow hash. False: something was none of these.
 */
static bool serve(struct desk *d, size_t packets)
{
    const unsigned char *data;
    struct auth_request request;
    bool hash = false;
    size_t len;

    for (size_t i = 0; i < packets; i++)
        while (packet_next(&d->packets[i], &data, &len)) {
            if (frame_kind(data, len) != FRAME_CHECK_PASSWORD)
                continue;
            if (!frame_get_request(data, len, &request))
                return false;
            if (batch_is_full(d->batch) && batch_serve(d->batch))
                batch_hash(d->batch);
            batch_add(d->batch, &request);
        }
    hash = batch_serve(d->batch);
    for (size_t i = 0; i < packets; i++) {
        packet_rewind(&d->packets[i]);
        while (packet_next(&d->packets[i], &data, &len))
            if (frame_kind(data, len) != FRAME_CHECK_PASSWORD && !serve_exchange(d, data, len))
                return false;
    }
    if (hash)
        batch_hash(d->batch);
    return true;
}

/*
 * Until there is something to read: the log is written, which may not take all at
 * once, and what logins have left to be done in a quiet moment. With nothing of
 * that the read itself waits.
 */
static void await_packets(struct desk *d, int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int log_ms = LOG_MS;

    for (;;) {
        size_t before = log_waiting();
        bool logged = log_flush();
        int ms = account_wait(d->accounts);

        log_ms = log_waiting() < before ? LOG_READ_MS : LOG_MS;
        if (!logged && (ms < 0 || ms > log_ms))
            ms = log_ms;
        if (ms < 0 || poll(&p, 1, ms) != 0)
            return;
        if (!account_make_one(d->accounts))
            account_write(d->accounts);
    }
}

int auth_helper_run(int fd, const char *conninfo, const struct auth_settings *settings, int schema_version,
                    int login_cache, unsigned served)
{
    bool sane = true;
    int n;

    secret_init();
    secret_no_core();
    struct desk *d = mem_zalloc(sizeof *d);
    d->accounts = accounts_new(conninfo, settings, schema_version, login_cache);
    d->exchanges = exchanges_new(d->accounts, settings, served);
    d->answers.fd = fd;
    d->batch = batch_new(d->accounts, &d->answers);
    while (sane) {
        await_packets(d, fd);
        n = packets_receive(fd, d->packets, PACKETS_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        sane = serve(d, (size_t)n);
        for (int i = 0; i < n; i++)
            packet_wipe(&d->packets[i]);
    }
    if (!sane)
        log_error(NULL, "auth helper stopping: invalid request from its worker");
    account_upkeep(d->accounts);
    batch_free(&d->batch);
    exchanges_free(&d->exchanges);
    accounts_free(&d->accounts);
    mem_free(d);
    return sane ? 0 : 1;
}
