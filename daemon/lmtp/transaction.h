/*
 * transaction.h - what one MAIL begins: sender, recipients, message. For the
 * files of this folder only.
 */
#ifndef POSTERN_LMTP_TRANSACTION_H
#define POSTERN_LMTP_TRANSACTION_H

#include "daemon/lmtp/data.h"
#include "daemon/lmtp/session.h"
#include "storage/deliver/deliver.h"

struct known;
struct spool;
struct storing;

struct lmtp_recipient {
    char *address;              /* canonical, as it was given */
    size_t first, count;        /* its mailboxes, in transaction.mailboxes */
};

enum { LMTP_MAILBOXES = 50000 };    /* behind all recipients of a message */

/* Of message.c. */
struct lmtp_message {
    struct spool *spool;        /* NULL again while LMTP_STORING */
    struct known *known;        /* where duplicates are suppressed, else NULL */
    struct storing *storing;    /* while LMTP_STORING */
    struct data_decoder decoder;
    uint64_t octets;            /* without our lines */
    enum lmtp_reply_name refusal;   /* of the whole message; REPLY_COUNT: none */
};

struct lmtp_transaction {
    char *sender;               /* empty for <> */
    bool utf8;
    uint64_t announced;         /* SIZE= */
    struct lmtp_recipient *recipients;
    size_t recipient_count, recipient_size;
    struct mailbox_ref *mailboxes;
    size_t mailbox_count, mailbox_size;
    int32_t codec;              /* that the policy of one of them wants; else plain */
    bool chunks;                /* BDAT has begun, perhaps with one that was refused */
    struct lmtp_message *message;   /* from the first octet of DATA or BDAT on, else NULL */
};

/* sender is copied. */
void lmtp_begin(struct lmtp_session *s, struct span sender);
/* Forgets the transaction, if there is one, and RCPTs that are pending. */
void lmtp_reset(struct lmtp_session *s);

/* "1f0c77aa90b1c2d3.2" */
struct lmtp_transaction_id { char s[32]; };
struct lmtp_transaction_id lmtp_transaction_id(const struct lmtp_session *s);

/* The reply to a recipient with this verdict, as the configuration wants it. Not for RECIPIENT_OK. */
enum lmtp_reply_name lmtp_verdict_reply(const struct lmtp_service *service, enum recipient_verdict verdict);

/* A RCPT that came and was not answered yet: those that came together are looked up together. */
struct lmtp_pending {
    char *address, *base;       /* NULL: nothing to look up */
    enum lmtp_reply_name reply; /* where there is not */
    const char *why;            /* its argument; static */
};
void lmtp_forget_pending(struct lmtp_session *s);

/* How many replies the chunk that is coming gets when it is whole (RFC 2033 section 4.3). */
size_t lmtp_chunk_replies(const struct lmtp_session *s);

#endif
