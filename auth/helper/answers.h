/*
 * answers.h - what a helper says to its worker: verdicts and challenges, as
 * many in one packet as are ready at one time. For the files of this folder.
 */
#ifndef POSTERN_AUTH_ANSWERS_H
#define POSTERN_AUTH_ANSWERS_H

#include <stdint.h>

#include "auth/account/verdict.h"
#include "auth/frame.h"
#include "daemon/net/peer.h"

struct accounts;

/* All zero but the descriptor: there is nothing to say. */
struct answers {
    int fd;
    struct packet packet;
};

/*
 * mechanism: NULL for a password. typed: the name, for the log. Makes the ticket, for `lane`,
 * and has the verdict written down.
 */
void answers_verdict(struct answers *answers, struct accounts *accounts, uint64_t id, const char *session,
                     const char *mechanism, struct span typed, uint32_t lane, struct account_verdict *verdict);
void answers_challenge(struct answers *answers, const struct auth_challenge *challenge);
/* A report came; nobody is told a verdict. */
void answers_heard(struct answers *answers, uint64_t id);
void answers_hand_back(struct answers *answers, uint64_t id);
/* Blocks. That the worker has gone is seen when something is read. */
void answers_send(struct answers *answers);

#endif
