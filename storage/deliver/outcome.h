/*
 * outcome.h - what is told of recipients, and of a message to them.
 */
#ifndef POSTERN_STORAGE_OUTCOME_H
#define POSTERN_STORAGE_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/mailbox_ref.h"
#include "storage/pg/status.h"

/* As the functions of the schema number them. */
enum recipient_verdict {
    RECIPIENT_OK = 0,
    RECIPIENT_NO_USER = 1,
    RECIPIENT_NO_DOMAIN = 2,
    RECIPIENT_DISABLED = 3,
    RECIPIENT_FULL = 4,
    RECIPIENT_NEVER_FITS = 5,   /* larger than the whole quota */
    RECIPIENT_DUPLICATE = 6,    /* it has the message already; a delivery only */
    RECIPIENT_ELSEWHERE = 7,    /* still at another server, or perhaps there; never of a delivery */
};

/*
 * In the order of the questions: one for each mailbox of a recipient, with what
 * keeps mail from this one now (disabled, over quota, elsewhere) or RECIPIENT_OK; or one
 * with the verdict of the recipient, without a mailbox.
 */
struct resolved {
    size_t recipient;           /* from 0 */
    enum recipient_verdict verdict;
    struct mailbox_ref mailbox; /* may be none; never with RECIPIENT_OK */
    int32_t codec;              /* that its policy wants for new mail (storage/content/codec.h) */
};
/* rows hold in the call only; there are none unless status is DB_OK. */
typedef void resolve_done(void *owner, enum db_status status, const struct resolved *rows, size_t count);

struct delivered {
    enum recipient_verdict verdict;
    /* in its first mailbox; 0 where another recipient has named it, or nothing was stored */
    int64_t uid;
};
/*
 * The share of a mailbox that did not get the message, though its recipient has RECIPIENT_OK:
 * others of a list got theirs.
 */
struct delivery_lost {
    size_t recipient;                   /* from 0; ascending, and those of one in the order of its mailboxes */
    struct mailbox_ref mailbox;
    char *address;                      /* NULL where it is gone */
    enum recipient_verdict why;         /* RECIPIENT_NO_USER (it is gone), _DISABLED, _FULL or _NEVER_FITS */
};
struct delivery_result {
    enum db_status status;              /* DB_OK: decided and, where anything was stored, committed */
    bool disk_full;                     /* the reason of DB_RETRY */
    const struct delivered *recipients; /* in their order; NULL unless DB_OK */
    size_t count;
    const struct delivery_lost *lost;   /* of all recipients; none unless DB_OK */
    size_t lost_count;
    uint64_t ms;                        /* that it took */
};
/* The result holds in the call only. DB_LOST: it may or may not be stored. */
typedef void deliver_done(void *owner, const struct delivery_result *result);

#endif
