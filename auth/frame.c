/*
 * frame.c - what goes over the socket between a worker and its auth helper.
 *
 * A kind in one octet, then fixed fields, least significant octet first, then
 * texts with their length in two octets. Both ends are the same program on the
 * same machine, so there is no version. Must never assert on what it reads.
 */
#include "auth/frame.h"

#include "daemon/base/mem.h"
#include "daemon/net/peer.h"

_Static_assert((int)FRAME_REQUEST_MAX <= (int)PEER_MAX && (int)FRAME_START_MAX <= (int)PEER_MAX &&
               (int)FRAME_STEP_MAX <= (int)PEER_MAX && (int)FRAME_REPLY_MAX <= (int)PEER_MAX &&
               (int)FRAME_CHALLENGE_MAX <= (int)PEER_MAX, "a frame is one message");

struct reader {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static void put_number(unsigned char **at, uint64_t v, int octets)
{
    for (int i = 0; i < octets; i++)
        *(*at)++ = (unsigned char)(v >> (8 * i));
}

static void put_text(unsigned char **at, struct span text)
{
    put_number(at, text.len, 2);
    if (text.len > 0)
        memcpy(*at, text.at, text.len);
    *at += text.len;
}

static uint64_t get_number(struct reader *r, size_t octets)
{
    uint64_t v = 0;

    if (r->bad || r->left < octets) {
        r->bad = true;
        return 0;
    }
    for (size_t i = 0; i < octets; i++)
        v |= (uint64_t)r->at[i] << (8 * i);
    r->at += octets;
    r->left -= octets;
    return v;
}

static struct span get_text(struct reader *r, size_t max)
{
    size_t len = (size_t)get_number(r, 2);

    if (r->bad || len > max || len > r->left) {
        r->bad = true;
        return SPAN_OF("");
    }
    struct span text = { (const char *)r->at, len };
    r->at += len;
    r->left -= len;
    return text;
}

/* It goes into the log as it is: lower-case hex digits. */
static struct span get_session(struct reader *r)
{
    struct span session = get_text(r, FRAME_SESSION_MAX);

    for (size_t i = 0; i < session.len; i++)
        r->bad = r->bad || strchr("0123456789abcdef", session.at[i]) == NULL || session.at[i] == '\0';
    return session;
}

/* ------------------------------------------- parts of more than one frame */

enum { ORIGIN_SUSPECT = 1, ORIGIN_GOOD = 2, ORIGIN_FLAGS = 3 };

static void put_origin(unsigned char **at, const struct auth_origin *origin)
{
    put_text(at, origin->network);
    put_number(at, (origin->suspect ? ORIGIN_SUSPECT : 0u) | (origin->good ? ORIGIN_GOOD : 0u), 1);
}

/* It becomes a parameter of PostgreSQL's, and may come into the log. */
static void get_origin(struct reader *r, struct auth_origin *origin_r)
{
    origin_r->network = get_text(r, FRAME_NETWORK_MAX);
    unsigned flags = (unsigned)get_number(r, 1);
    r->bad = r->bad || flags > ORIGIN_FLAGS;
    origin_r->suspect = flags & ORIGIN_SUSPECT;
    origin_r->good = flags & ORIGIN_GOOD;
    for (size_t i = 0; i < origin_r->network.len; i++)
        r->bad =
            r->bad || origin_r->network.at[i] == '\0' || strchr("0123456789abcdef.:/", origin_r->network.at[i]) == NULL;
}

enum { POLICY_POP3 = 1, POLICY_TLS_ONLY = 2, POLICY_REPLACE_NUL = 4, POLICY_TRACE = 8, POLICY_FLAGS = 15 };

static void put_policy(unsigned char **at, const struct auth_policy *p)
{
    unsigned flags = (p->pop3 ? POLICY_POP3 : 0u) | (p->tls_only ? POLICY_TLS_ONLY : 0u) |
                     (p->replace_nul ? POLICY_REPLACE_NUL : 0u) | (p->trace ? POLICY_TRACE : 0u);

    put_number(at, flags, 1);
    put_text(at, p->maintenance);
    put_number(at, (uint32_t)p->login_delay, 4);
    put_number(at, (uint32_t)p->expire, 4);
    put_number(at, (uint64_t)p->domain, 8);
    put_number(at, (uint64_t)p->tenant, 8);
    put_number(at, (uint32_t)p->domain_sessions, 4);
    put_number(at, (uint32_t)p->tenant_sessions, 4);
}

/* A number, or AUTH_UNSET. */
static int32_t get_setting(struct reader *r)
{
    uint64_t v = get_number(r, 4);

    if (v == UINT32_MAX)
        return AUTH_UNSET;
    r->bad = r->bad || v > INT32_MAX;
    return r->bad ? AUTH_UNSET : (int32_t)v;
}

static int64_t get_id(struct reader *r)
{
    uint64_t v = get_number(r, 8);

    r->bad = r->bad || v > INT64_MAX;
    return r->bad ? 0 : (int64_t)v;
}

static void put_mailbox(unsigned char **at, const struct mailbox_ref *mailbox)
{
    put_number(at, (uint64_t)mailbox->number, FRAME_MAILBOX);
}

/* Of nobody where it is zero. */
static struct mailbox_ref get_mailbox(struct reader *r)
{
    return (struct mailbox_ref){ .number = get_id(r) };
}

static void put_ticket(unsigned char **at, const struct mailbox_ticket *ticket)
{
    memcpy(*at, ticket->octets, sizeof ticket->octets);
    *at += sizeof ticket->octets;
}

static void get_ticket(struct reader *r, struct mailbox_ticket *ticket_r)
{
    if (r->bad || r->left < sizeof ticket_r->octets) {
        r->bad = true;
        return;
    }
    memcpy(ticket_r->octets, r->at, sizeof ticket_r->octets);
    r->at += sizeof ticket_r->octets;
    r->left -= sizeof ticket_r->octets;
}

static void get_policy(struct reader *r, struct auth_policy *p)
{
    unsigned flags = (unsigned)get_number(r, 1);

    r->bad = r->bad || flags > POLICY_FLAGS;
    p->pop3 = flags & POLICY_POP3;
    p->tls_only = flags & POLICY_TLS_ONLY;
    p->replace_nul = flags & POLICY_REPLACE_NUL;
    p->trace = flags & POLICY_TRACE;
    p->maintenance = get_text(r, AUTH_MAINTENANCE_MAX);
    /* It is sent to clients as it is. */
    for (size_t i = 0; i < p->maintenance.len; i++)
        r->bad = r->bad || p->maintenance.at[i] < ' ' || p->maintenance.at[i] > '~';
    p->login_delay = get_setting(r);
    p->expire = get_setting(r);
    p->domain = get_id(r);
    p->tenant = get_id(r);
    p->domain_sessions = get_setting(r);
    p->tenant_sessions = get_setting(r);
}

/* ------------------------------------------------------------------ frames */

unsigned frame_kind(const unsigned char *data, size_t len)
{
    return len > 0 ? data[0] : 0;
}

enum { HOW_AT = 1 + 8, REQUEST_LANE_AT = HOW_AT + 1, START_LANE_AT = HOW_AT + 3 };
enum { HOW_UNCACHED = 1, HOW_SLOW = 2, HOW_RIGHT = 4, HOW_WRONG = 8, HOW_FLAGS = 15 };

size_t frame_put_request(unsigned char out[FRAME_REQUEST_MAX], const struct auth_request *request)
{
    unsigned char *at = out;

    if (request->name.len > NAME_TYPED_MAX || request->password.len > PASSWORD_MAX ||
        request->default_domain.len > NAME_TYPED_MAX || request->session.len > FRAME_SESSION_MAX ||
        request->origin.network.len > FRAME_NETWORK_MAX)
        return 0;
    put_number(&at, FRAME_CHECK_PASSWORD, 1);
    put_number(&at, request->id, 8);
    put_number(&at, (request->uncached ? HOW_UNCACHED : 0u) | (request->slow ? HOW_SLOW : 0u) |
               (request->report == REPORT_RIGHT ? HOW_RIGHT : request->report == REPORT_WRONG ? HOW_WRONG : 0u), 1);
    put_number(&at, request->lane, 4);
    put_text(&at, request->name);
    put_text(&at, request->password);
    put_text(&at, request->default_domain);
    put_text(&at, request->session);
    put_origin(&at, &request->origin);
    return (size_t)(at - out);
}

void frame_ask_uncached(unsigned char *frame, size_t len)
{
    ASSERT(len > HOW_AT && (frame[0] == FRAME_CHECK_PASSWORD || frame[0] == FRAME_START));
    frame[HOW_AT] |= HOW_UNCACHED;
}

void frame_ask_slow(unsigned char *request, size_t len)
{
    ASSERT(len > HOW_AT && request[0] == FRAME_CHECK_PASSWORD);
    request[HOW_AT] |= HOW_SLOW;
}

void frame_set_lane(unsigned char *frame, size_t len, uint32_t lane)
{
    unsigned char *at = frame + (frame[0] == FRAME_START ? START_LANE_AT : REQUEST_LANE_AT);

    ASSERT((frame[0] == FRAME_START || frame[0] == FRAME_CHECK_PASSWORD) && len > START_LANE_AT + 4);
    put_number(&at, lane, 4);
}

bool frame_get_request(const unsigned char *data, size_t len, struct auth_request *request_r)
{
    struct reader r = { data, len, false };

    if (get_number(&r, 1) != FRAME_CHECK_PASSWORD)
        return false;
    request_r->id = get_number(&r, 8);
    uint64_t how = get_number(&r, 1);
    r.bad = r.bad || how > HOW_FLAGS || (how & (HOW_RIGHT | HOW_WRONG)) == (HOW_RIGHT | HOW_WRONG);
    request_r->report = how & HOW_RIGHT ? REPORT_RIGHT : how & HOW_WRONG ? REPORT_WRONG : REPORT_NONE;
    request_r->uncached = how & HOW_UNCACHED;
    request_r->slow = how & HOW_SLOW;
    request_r->lane = (uint32_t)get_number(&r, 4);
    request_r->name = get_text(&r, NAME_TYPED_MAX);
    request_r->password = get_text(&r, PASSWORD_MAX);
    request_r->default_domain = get_text(&r, NAME_TYPED_MAX);
    request_r->session = get_session(&r);
    get_origin(&r, &request_r->origin);
    return !r.bad && r.left == 0;
}

static bool is_ok(uint64_t verdict)
{
    return verdict == AUTH_OK || verdict == AUTH_OK_UNCONFIRMED;
}

size_t frame_put_reply(unsigned char out[FRAME_REPLY_MAX], const struct auth_reply *reply)
{
    unsigned char *at = out;

    if (reply->address.len > NAME_ADDRESS_MAX || reply->policy.maintenance.len > AUTH_MAINTENANCE_MAX ||
        reply->elsewhere.len > ELSEWHERE_MAX)
        return 0;
    put_number(&at, FRAME_VERDICT, 1);
    put_number(&at, reply->id, 8);
    put_number(&at, (uint64_t)reply->verdict, 1);
    put_mailbox(&at, &reply->mailbox);
    put_text(&at, reply->address);
    put_number(&at, reply->guesses, 4);
    if (is_ok(reply->verdict) || reply->verdict == AUTH_ELSEWHERE)
        put_policy(&at, &reply->policy);
    if (reply->verdict == AUTH_ELSEWHERE)
        put_text(&at, reply->elsewhere);
    if (reply->verdict == AUTH_OK_UNCONFIRMED) {
        put_number(&at, (uint64_t)reply->versions.proof, 8);
        put_number(&at, (uint64_t)reply->versions.policy, 8);
    }
    if (is_ok(reply->verdict))
        put_ticket(&at, &reply->ticket);
    return (size_t)(at - out);
}

bool frame_get_reply(const unsigned char *data, size_t len, struct auth_reply *reply_r)
{
    struct reader r = { data, len, false };
    struct elsewhere elsewhere;

    if (get_number(&r, 1) != FRAME_VERDICT)
        return false;
    reply_r->id = get_number(&r, 8);
    uint64_t verdict = get_number(&r, 1);
    reply_r->mailbox = get_mailbox(&r);
    reply_r->address = get_text(&r, NAME_ADDRESS_MAX);
    reply_r->guesses = (uint32_t)get_number(&r, 4);
    reply_r->policy = (struct auth_policy){ .maintenance = SPAN_OF("") };
    reply_r->versions = (struct mailbox_versions){ 0, 0 };
    if (is_ok(verdict) || verdict == AUTH_ELSEWHERE)
        get_policy(&r, &reply_r->policy);
    reply_r->elsewhere = verdict == AUTH_ELSEWHERE ? get_text(&r, ELSEWHERE_MAX) : SPAN_OF("");
    if (verdict == AUTH_OK_UNCONFIRMED) {
        reply_r->versions.proof = get_id(&r);
        r.bad = r.bad || reply_r->versions.proof == 0;
        reply_r->versions.policy = get_id(&r);
    }
    reply_r->ticket = (struct mailbox_ticket){ { 0 } };
    if (is_ok(verdict))
        get_ticket(&r, &reply_r->ticket);
    if (r.bad || r.left != 0 || verdict > AUTH_ELSEWHERE)
        return false;
    reply_r->verdict = (enum auth_verdict)verdict;
    if (reply_r->verdict == AUTH_ELSEWHERE)
        return reply_r->address.len > 0 && elsewhere_parse(reply_r->elsewhere, &elsewhere);
    /* A verdict that contradicts itself would open somebody's maildrop, or nobody's. */
    return is_ok(verdict) ? mailbox_is_one(&reply_r->mailbox) && reply_r->address.len > 0
                          : !mailbox_is_one(&reply_r->mailbox);
}

size_t frame_put_start(unsigned char out[FRAME_START_MAX], uint64_t id, const struct auth_opening *o)
{
    unsigned char *at = out;

    if (o->initial.len > AUTH_MESSAGE_MAX || o->default_domain.len > NAME_TYPED_MAX ||
        o->session.len > FRAME_SESSION_MAX || o->exporter.len > FRAME_BINDING_MAX ||
        o->unique.len > FRAME_BINDING_MAX || o->identity.len > NAME_ADDRESS_MAX ||
        o->timestamp.len > FRAME_TIMESTAMP_MAX || o->origin.network.len > FRAME_NETWORK_MAX)
        return 0;
    put_number(&at, FRAME_START, 1);
    put_number(&at, id, 8);
    put_number(&at, o->uncached, 1);
    put_number(&at, o->mechanism, 1);
    put_number(&at, o->has_initial, 1);
    put_number(&at, o->lane, 4);
    put_text(&at, o->initial);
    put_text(&at, o->default_domain);
    put_text(&at, o->session);
    put_text(&at, o->exporter);
    put_text(&at, o->unique);
    put_text(&at, o->identity);
    put_text(&at, o->timestamp);
    put_origin(&at, &o->origin);
    return (size_t)(at - out);
}

bool frame_get_start(const unsigned char *data, size_t len, uint64_t *id_r, struct auth_opening *opening_r)
{
    struct reader r = { data, len, false };

    if (get_number(&r, 1) != FRAME_START)
        return false;
    *id_r = get_number(&r, 8);
    uint64_t uncached = get_number(&r, 1);
    uint64_t mechanism = get_number(&r, 1);
    uint64_t has_initial = get_number(&r, 1);
    if (r.bad || uncached > 1 || mechanism >= MECHANISMS || has_initial > 1)
        return false;
    opening_r->uncached = uncached == 1;
    opening_r->mechanism = (enum mechanism)mechanism;
    opening_r->has_initial = has_initial == 1;
    opening_r->lane = (uint32_t)get_number(&r, 4);
    opening_r->initial = get_text(&r, AUTH_MESSAGE_MAX);
    opening_r->default_domain = get_text(&r, NAME_TYPED_MAX);
    opening_r->session = get_session(&r);
    opening_r->exporter = get_text(&r, FRAME_BINDING_MAX);
    opening_r->unique = get_text(&r, FRAME_BINDING_MAX);
    opening_r->identity = get_text(&r, NAME_ADDRESS_MAX);
    opening_r->timestamp = get_text(&r, FRAME_TIMESTAMP_MAX);
    get_origin(&r, &opening_r->origin);
    return !r.bad && r.left == 0 && (opening_r->has_initial || opening_r->initial.len == 0);
}

size_t frame_put_step(unsigned char out[FRAME_STEP_MAX], enum frame_kind kind, const struct auth_step *step)
{
    unsigned char *at = out;

    if (step->response.len > AUTH_MESSAGE_MAX)
        return 0;
    put_number(&at, kind, 1);
    put_number(&at, step->id, 8);
    put_number(&at, step->exchange, 8);
    put_text(&at, step->response);
    return (size_t)(at - out);
}

bool frame_get_step(const unsigned char *data, size_t len, enum frame_kind kind, struct auth_step *step_r)
{
    struct reader r = { data, len, false };

    if (get_number(&r, 1) != kind)
        return false;
    step_r->id = get_number(&r, 8);
    step_r->exchange = get_number(&r, 8);
    step_r->response = get_text(&r, kind == FRAME_RESPOND ? AUTH_MESSAGE_MAX : 0);
    return !r.bad && r.left == 0;
}

size_t frame_put_challenge(unsigned char out[FRAME_CHALLENGE_MAX], const struct auth_challenge *challenge)
{
    unsigned char *at = out;

    if (challenge->text.len > AUTH_CHALLENGE_MAX)
        return 0;
    put_number(&at, FRAME_CHALLENGE, 1);
    put_number(&at, challenge->id, 8);
    put_number(&at, challenge->exchange, 8);
    put_text(&at, challenge->text);
    return (size_t)(at - out);
}

bool frame_get_challenge(const unsigned char *data, size_t len, struct auth_challenge *challenge_r)
{
    struct reader r = { data, len, false };

    if (get_number(&r, 1) != FRAME_CHALLENGE)
        return false;
    challenge_r->id = get_number(&r, 8);
    challenge_r->exchange = get_number(&r, 8);
    challenge_r->text = get_text(&r, AUTH_CHALLENGE_MAX);
    return !r.bad && r.left == 0 && challenge_r->exchange != 0;
}

size_t frame_put_handed_back(unsigned char out[FRAME_HANDED_BACK_MAX], uint64_t id)
{
    unsigned char *at = out;

    put_number(&at, FRAME_HANDED_BACK, 1);
    put_number(&at, id, 8);
    return (size_t)(at - out);
}

bool frame_get_handed_back(const unsigned char *data, size_t len, uint64_t *id_r)
{
    struct reader r = { data, len, false };

    if (get_number(&r, 1) != FRAME_HANDED_BACK)
        return false;
    *id_r = get_number(&r, 8);
    return !r.bad && r.left == 0;
}
