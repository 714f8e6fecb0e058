/*
 * mailread.h - messages out of a mailbox, as a client would get them, in
 * bounded memory.
 */
#ifndef POSTERN_ADMIN_MAILREAD_H
#define POSTERN_ADMIN_MAILREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/ctl.h"
#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"

struct mail {
    int64_t uid, octets;
    int64_t received;           /* microseconds since 1970 */
    const char *uidl;
};

/* Each is false after it has said what is wrong: reading ends. */
struct mail_sink {
    bool (*begin)(void *arg, const struct mail *mail);
    bool (*data)(void *arg, struct span octets);
    bool (*end)(void *arg, const struct mail *mail);
};

/*
 * These messages of the mailbox, in rising order of uid. A message whose octets
 * are not those that the listing says is an error before its end() is called.
 */
enum ctl_exit mail_read(struct ctl *c, const struct mailbox_ref *mailbox, const struct mail *mails, int count,
                        const struct mail_sink *sink, void *arg);

#endif
