/*
 * source_pop3.h - the messages that somebody's POP3 server has, as a source (source.h).
 *
 * Nothing is deleted there. Messages that are going to be read are asked for ahead, within bounds,
 * where the server allows that. A connection that is lost is made again, and the reading goes on
 * where it was: messages are found again by their UIDLs, or by number and size where they have none
 * that tells them apart.
 */
#ifndef POSTERN_ADMIN_SOURCE_POP3_H
#define POSTERN_ADMIN_SOURCE_POP3_H

#include "admin/mail/source.h"
#include "admin/pop3/client.h"

struct source_pop3_how {
    struct pop3_how pop3;
    const char *url;            /* as the operator wrote it: in messages, and as the path of items */
    unsigned patience;          /* seconds in all to wait for a server that is busy or away, with no message between */
    /* What people should know that changes nothing: a wait, a certificate that would not do. */
    void (*tell)(void *arg, const char *text);
    void *arg;
};

/*
 * Logs in and lists. What is lent must live as long. NULL: *why_r says why, to mem_free(). A
 * message is rejected if it has more octets than SOURCE_POP3_MAX.
 */
#define SOURCE_POP3_MAX ((int64_t)1 << 30)
struct source *source_pop3_new(const struct source_pop3_how *how, char **why_r);

#endif
