/*
 * client.h - the client's side of POP3 (RFC 1939, 2449, 2595, 3206, 5034): logs in, lists,
 * retrieves. Deletes nothing, ever: there is no function for it.
 *
 * Waits, with bounds (wire.h); one session at a time, ended by whatever fails.
 */
#ifndef POSTERN_ADMIN_POP3_CLIENT_H
#define POSTERN_ADMIN_POP3_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/pop3/address.h"
#include "admin/pop3/unstuff.h"
#include "daemon/base/span.h"

struct pop3_how {
    const struct pop3_address *address;
    const char *user;
    struct span secret;         /* of the user, or the master user */
    /*
     * A user that may log in as any other: by SASL PLAIN, the user being the authorization identity
     * (RFC 4616), where the server offers it, otherwise as USER*MASTER. "*MASTER", or any mark in front
     * that is no letter and no digit, is always USER*MASTER. NULL: none.
     */
    const char *master;
    const char *ca_file;        /* as in wire.h */
    bool untrusted;
    bool plaintext;             /* without TLS too, where the server has none */
    unsigned timeout;           /* seconds for each wait, as in wire.h */
    bool (*stop)(void *arg);    /* as in wire.h */
    void *arg;
};

enum pop3_end {
    POP3_DONE,
    POP3_REFUSED,       /* this, and the session goes on; or the login, and there is no use in trying again */
    POP3_LATER,         /* the server is busy, or somebody else has the maildrop */
    POP3_LOST,          /* the connection; or what came was no POP3 */
    POP3_STOPPED,       /* by `stop` */
    POP3_UNWANTED,      /* `out` has refused it */
};

struct pop3_message {
    uint32_t number;
    uint64_t octets;            /* as LIST says: often less or more than come */
    char *uidl;                 /* NULL: it has none */
};
struct pop3_list {
    struct pop3_message *messages;  /* in the order of the server, which is that of their numbers */
    size_t count, room;
    bool has_uidls;             /* the server knows UIDL */
};
void pop3_list_free(struct pop3_list *list);

struct pop3;

/* What is lent must live as long. Says nothing to anybody yet. */
struct pop3 *pop3_new(const struct pop3_how *how);
/* QUIT, without waiting for more than a moment, if the session is alive. */
void pop3_free(struct pop3 **pop3);

/* Once: connects, has TLS, logs in. */
enum pop3_end pop3_login(struct pop3 *pop3);
/* LIST and UIDL. */
enum pop3_end pop3_list(struct pop3 *pop3, struct pop3_list *list_r);

/* Does the server take commands before it has answered those before? Else one at a time. */
bool pop3_pipelines(const struct pop3 *pop3);
/* RETR of these messages, whose answers come in this order. */
enum pop3_end pop3_ask(struct pop3 *pop3, const uint32_t *numbers, size_t count);
/*
 * The answer to the first RETR that was not answered, unstuffed; the octets are as the server has sent
 * them, and a message that is REFUSED has none. False from `out`: UNWANTED, the session is over.
 */
typedef bool pop3_out(void *arg, const char *at, size_t len);
enum pop3_end pop3_answer(struct pop3 *pop3, pop3_out *out, void *arg);

/* What went wrong, in words: the server's own, or ours; lent until the next call. */
const char *pop3_why(const struct pop3 *pop3);
/* After LATER: how many seconds the server wants us to wait; 0 if it does not say. */
unsigned pop3_delay(const struct pop3 *pop3);
/* Why the certificate would not do, with `untrusted`; NULL: it would, or there is no TLS. */
const char *pop3_distrust(const struct pop3 *pop3);
/* The session has no TLS. */
bool pop3_is_plaintext(const struct pop3 *pop3);

#endif
