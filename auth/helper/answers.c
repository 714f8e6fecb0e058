/*
 * answers.c - what a helper says (see answers.h).
 *
 * Owns the log lines of verdicts: the worker is not told the reason, so that
 * no client can be.
 */
#include "auth/helper/answers.h"

#include "auth/account/account.h"
#include "daemon/base/log.h"

static const char *const verdict_names[] = {
    [AUTH_OK] = "ok", [AUTH_OK_UNCONFIRMED] = "ok", [AUTH_REFUSED] = "refused",
    [AUTH_UNAVAILABLE] = "unavailable", [AUTH_BROKEN] = "broken", [AUTH_ELSEWHERE] = "elsewhere",
};

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

void answers_send(struct answers *a)
{
    (void)packet_send(a->fd, &a->packet);
}

static void put(struct answers *a, const unsigned char *frame, size_t len)
{
    if (packet_add(&a->packet, frame, len))
        return;
    answers_send(a);
    packet_add(&a->packet, frame, len);
}

void answers_verdict(struct answers *a, struct accounts *accounts, uint64_t id, const char *session,
                     const char *mechanism, struct span typed, uint32_t lane, struct account_verdict *v)
{
    unsigned char out[FRAME_REPLY_MAX];
    struct mailbox_ticket ticket;

    account_ticket(accounts, v, lane, &ticket);
    log_verdict(session, mechanism, typed, v);
    bool is_ok = v->verdict == AUTH_OK || v->verdict == AUTH_OK_UNCONFIRMED || v->verdict == AUTH_ELSEWHERE;
    struct auth_reply reply = {
        id, v->verdict, is_ok ? v->mailbox : (struct mailbox_ref){ 0 }, span_str(v->address), v->guesses,
        v->policy, v->versions, ticket, span_str(v->elsewhere),
    };
    reply.policy.maintenance.at = v->maintenance;
    put(a, out, frame_put_reply(out, &reply));
    account_write_down(accounts, v);
}

void answers_challenge(struct answers *a, const struct auth_challenge *challenge)
{
    unsigned char out[FRAME_CHALLENGE_MAX];

    put(a, out, frame_put_challenge(out, challenge));
}

void answers_heard(struct answers *a, uint64_t id)
{
    const struct auth_reply reply = { .id = id, .verdict = AUTH_UNAVAILABLE };
    unsigned char out[FRAME_REPLY_MAX];

    put(a, out, frame_put_reply(out, &reply));
}

void answers_hand_back(struct answers *a, uint64_t id)
{
    unsigned char out[FRAME_HANDED_BACK_MAX];

    put(a, out, frame_put_handed_back(out, id));
}
