/*
 * transaction.c - what one MAIL begins: how it is made and forgotten.
 */
#include "daemon/lmtp/transaction.h"

#include <stdio.h>

#include "daemon/base/mem.h"
#include "daemon/lmtp/known.h"
#include "storage/deliver/spool.h"

void lmtp_begin(struct lmtp_session *s, struct span sender)
{
    ASSERT(s->transaction == NULL);
    s->transaction = mem_zalloc(sizeof *s->transaction);
    s->transaction->sender = mem_strn(sender.at, sender.len);
    s->number++;
}

void lmtp_forget_pending(struct lmtp_session *s)
{
    for (size_t i = 0; i < s->pending_count; i++) {
        mem_free(s->pending[i].address);
        mem_free(s->pending[i].base);
    }
    s->pending_count = 0;
}

static void message_free(struct lmtp_message *message)
{
    if (message == NULL)
        return;
    spool_free(&message->spool);
    known_free(&message->known);
    mem_free(message->storing);
    mem_free(message);
}

void lmtp_reset(struct lmtp_session *s)
{
    struct lmtp_transaction *t = s->transaction;

    lmtp_forget_pending(s);
    if (s->state == LMTP_MAIL)
        s->state = LMTP_READY;
    if (t == NULL)
        return;
    s->transaction = NULL;
    message_free(t->message);
    for (size_t i = 0; i < t->recipient_count; i++)
        mem_free(t->recipients[i].address);
    mem_free(t->recipients);
    mem_free(t->mailboxes);
    mem_free(t->sender);
    mem_free(t);
}

struct lmtp_transaction_id lmtp_transaction_id(const struct lmtp_session *s)
{
    struct lmtp_transaction_id id;
    snprintf(id.s, sizeof id.s, "%s.%u", s->base.id, s->number);
    return id;
}

enum lmtp_reply_name lmtp_verdict_reply(const struct lmtp_service *service, enum recipient_verdict verdict)
{
    switch (verdict) {
    case RECIPIENT_OK:
        break;
    case RECIPIENT_NO_USER:
        return REPLY_NO_USER;
    case RECIPIENT_NO_DOMAIN:
        return REPLY_NO_DOMAIN;
    case RECIPIENT_DISABLED:
        return service->disabled_permanent ? REPLY_DISABLED : REPLY_DISABLED_TEMP;
    case RECIPIENT_FULL:
        return service->over_quota_permanent ? REPLY_FULL : REPLY_FULL_TEMP;
    case RECIPIENT_NEVER_FITS:
        return REPLY_NEVER_FITS;
    case RECIPIENT_DUPLICATE:
        return REPLY_DUPLICATE;
    case RECIPIENT_ELSEWHERE:
        return REPLY_ELSEWHERE;
    }
    ASSERT(verdict != RECIPIENT_OK);
    return REPLY_TROUBLE;
}

size_t lmtp_chunk_replies(const struct lmtp_session *s)
{
    return s->chunk.last && !s->chunk.unwanted ? s->transaction->recipient_count : 1;
}
