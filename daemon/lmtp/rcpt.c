/*
 * rcpt.c - RCPT: those that come together are answered together, from one
 * question to the database.
 *
 * Must never answer a command before those that came before it.
 */
#include "daemon/lmtp/commands.h"

#include "auth/name.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/lmtp/address.h"
#include "daemon/lmtp/transaction.h"
#include "storage/content/codec.h"

static void log_refused(const struct lmtp_session *s, const char *address, enum lmtp_reply_name reply)
{
    log_info(lmtp_transaction_id(s).s, "lmtp from=%s to=%s refused code=%s status=%s",
             log_text(span_str(s->transaction->sender)).s, log_text(span_str(address)).s, lmtp_replies[reply].code,
             lmtp_replies[reply].enhanced);
}

/* anna+lists@example.org is anna@example.org where it is unknown as a whole. NULL where there is no tag. */
static char *without_tag(const char *address, const char *separators)
{
    const char *at = strrchr(address, '@');
    size_t tag = strcspn(address, separators);

    if (separators[0] == '\0' || at == NULL || address[0] == '"' || tag == 0 || tag >= (size_t)(at - address))
        return NULL;
    size_t size = tag + strlen(at) + 1;
    char *base = mem_alloc(size);
    memcpy(base, address, tag);
    memcpy(base + tag, at, size - tag);
    return base;
}

/* What can be said without the database: a reply, or REPLY_COUNT and the address. */
static enum lmtp_reply_name check_rcpt(struct lmtp_session *s, struct span args, char address[NAME_ADDRESS_MAX + 1],
                                       const char **why)
{
    struct path path;
    struct span rest, keyword, value;
    bool has_value;

    if (!path_prefix(&args, SPAN_OF("TO:")))
        return REPLY_SYNTAX_TO;
    if (path_parse(args, &path, &rest) != PATH_OK || path.len == 0)
        return REPLY_BAD_RCPT;
    int params = param_next(&rest, &keyword, &value, &has_value);
    if (params != 0)
        return params < 0 ? REPLY_BAD_PARAM : REPLY_UNKNOWN_PARAM;
    if (path.eight_bit && !s->transaction->utf8)
        return REPLY_NEEDS_UTF8;
    if (path.no_domain) {
        /* Whose it is only the operator can say: no tenant is to get the mail for the host's postmaster. */
        if (lmtp_settings(s)->lmtp_postmaster[0] == '\0') {
            log_refused(s, "postmaster", REPLY_NO_POSTMASTER);
            return REPLY_NO_POSTMASTER;
        }
        memcpy(address, "postmaster", sizeof "postmaster");
    } else if (name_canonical(path.typed, (struct span){ NULL, 0 }, address, why) != 1) {
        /*
         * As it came, and not as path_parse() understood it: every way in has the same rules, and
         * says the same of what it refuses.
         */
        return REPLY_BAD_RCPT_WHY;
    }
    return REPLY_COUNT;
}

enum outcome lmtp_cmd_rcpt(struct session *session, const struct args *args)
{
    struct lmtp_session *s = lmtp_of(session);
    struct lmtp_pending *p;
    char address[NAME_ADDRESS_MAX + 1];

    if (s->transaction->chunks)
        return lmtp_say(s, REPLY_NESTED, NULL, NULL);
    if (s->pending == NULL)
        s->pending = mem_array(LMTP_BATCH, sizeof s->pending[0]);
    ASSERT(s->pending_count < LMTP_BATCH);
    p = &s->pending[s->pending_count];
    *p = (struct lmtp_pending){ .why = NULL };
    p->reply = check_rcpt(s, args->v[0], address, &p->why);
    if (p->reply == REPLY_COUNT) {
        p->address = mem_str(address);
        p->base = without_tag(address, lmtp_settings(s)->lmtp_separator);
    }
    s->pending_count++;
    return CMD_WAIT;
}

static void add_mailbox(struct lmtp_transaction *t, const struct mailbox_ref *mailbox)
{
    if (t->mailbox_count == t->mailbox_size) {
        t->mailbox_size = t->mailbox_size == 0 ? 4 : t->mailbox_size * 2;
        t->mailboxes = mem_resize(t->mailboxes, t->mailbox_size, sizeof t->mailboxes[0]);
    }
    t->mailboxes[t->mailbox_count++] = *mailbox;
}

/* Takes the address of the pending one over. False: too many recipients, or mailboxes behind them. */
static bool accept(struct lmtp_session *s, struct lmtp_pending *p, const struct resolved *rows, size_t count)
{
    struct lmtp_transaction *t = s->transaction;

    if (t->recipient_count >= (size_t)lmtp_settings(s)->lmtp_max_recipients ||
        count > LMTP_MAILBOXES - t->mailbox_count)
        return false;
    if (t->recipient_count == t->recipient_size) {
        t->recipient_size = t->recipient_size == 0 ? 4 : t->recipient_size * 2;
        t->recipients = mem_resize(t->recipients, t->recipient_size, sizeof t->recipients[0]);
    }
    t->recipients[t->recipient_count++] = (struct lmtp_recipient){ p->address, t->mailbox_count, count };
    p->address = NULL;
    /* Those too that have no room now: it is decided when the message is stored, and told then. */
    for (size_t i = 0; i < count; i++)
        if (mailbox_is_one(&rows[i].mailbox)) {
            add_mailbox(t, &rows[i].mailbox);
            /* All of them share one content. */
            if (rows[i].codec != CODEC_PLAIN)
                t->codec = rows[i].codec;
        }
    t->recipients[t->recipient_count - 1].count = t->mailbox_count - t->recipients[t->recipient_count - 1].first;
    return true;
}

/*
 * Of an address: OK if one of its mailboxes can take the message and, where a
 * list is served as a whole, none of the others is over quota. Where none can,
 * over quota for now counts before over quota for good: it may be different soon.
 */
static enum recipient_verdict verdict_of(const struct lmtp_service *service, const struct resolved *rows, size_t count)
{
    size_t of[RECIPIENT_ELSEWHERE + 1] = { 0 };

    for (size_t i = 0; i < count; i++)
        of[rows[i].verdict]++;
    /* Later it is a copy for each of them, wherever they are then. */
    if (of[RECIPIENT_ELSEWHERE] > 0)
        return RECIPIENT_ELSEWHERE;
    bool full = of[RECIPIENT_FULL] > 0 || of[RECIPIENT_NEVER_FITS] > 0;
    if (of[RECIPIENT_OK] > 0 && !(service->refuse_list && full))
        return RECIPIENT_OK;
    if (!full)
        return rows[0].verdict;
    if (service->refuse_list)
        return of[RECIPIENT_NEVER_FITS] > 0 ? RECIPIENT_NEVER_FITS : RECIPIENT_FULL;
    return of[RECIPIENT_FULL] > 0 ? RECIPIENT_FULL : RECIPIENT_NEVER_FITS;
}

static void answer_one(struct lmtp_session *s, struct lmtp_pending *p, enum db_status status,
                       const struct resolved *rows, size_t count)
{
    enum recipient_verdict verdict;
    enum lmtp_reply_name reply;

    if (status != DB_OK || count == 0)
        reply = REPLY_TROUBLE;
    else if ((verdict = verdict_of(lmtp_service_of(s), rows, count)) != RECIPIENT_OK)
        reply = lmtp_verdict_reply(lmtp_service_of(s), verdict);
    else
        reply = accept(s, p, rows, count) ? REPLY_RCPT_OK : REPLY_TOO_MANY;
    if (reply != REPLY_RCPT_OK)
        log_refused(s, p->address, reply);
    lmtp_say(s, reply, p->address, NULL);
}

/* In the order in which they came; rows has some for each that was asked about, none if status is not DB_OK. */
static void answer_all(struct lmtp_session *s, enum db_status status, const struct resolved *rows, size_t count)
{
    size_t asked = 0, at = 0;

    for (size_t i = 0; i < s->pending_count && !s->ending; i++) {
        struct lmtp_pending *p = &s->pending[i];
        size_t n = 0;
        if (p->address == NULL) {
            lmtp_say(s, p->reply, p->why, NULL);
            continue;
        }
        while (at + n < count && rows[at + n].recipient == asked)
            n++;
        answer_one(s, p, status, rows + at, n);
        asked++;
        at += n;
    }
    lmtp_forget_pending(s);
}

static void resolved(void *owner, enum db_status status, const struct resolved *rows, size_t count)
{
    struct lmtp_session *s = owner;

    s->job = NULL;
    answer_all(s, status, rows, count);
    lmtp_go_on(s, LMTP_MAIL);
}

void lmtp_answer_pending(struct lmtp_session *s)
{
    struct resolve_question *questions = mem_array(s->pending_count, sizeof questions[0]);
    char postmaster[NAME_ADDRESS_MAX + 1];
    size_t count = 0;

    /* What is wrong with it was told when the configuration was checked. */
    (void)name_canonical(span_str(lmtp_settings(s)->lmtp_postmaster), SPAN_OF(""), postmaster, NULL);
    for (size_t i = 0; i < s->pending_count; i++)
        if (s->pending[i].address != NULL)
            questions[count++] = (struct resolve_question){ s->pending[i].address, s->pending[i].base };
    if (count == 0) {
        answer_all(s, DB_OK, NULL, 0);
    } else {
        s->job = deliver_resolve(lmtp_host(s)->deliver, questions, count, s->transaction->announced,
                                 postmaster[0] != '\0' ? postmaster : NULL, resolved, s);
        lmtp_rest(s, LMTP_RESOLVING);
    }
    mem_free(questions);
}
