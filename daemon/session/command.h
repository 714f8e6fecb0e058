/*
 * command.h - what a protocol's commands are: rows of one table, which say all
 * that is to be known of a command but what it does.
 *
 * A handler reads its arguments, writes its reply and returns an outcome. Only
 * the loop of its protocol acts on outcomes: it alone pauses and resumes input,
 * ends sessions and frees them.
 */
#ifndef POSTERN_SESSION_COMMAND_H
#define POSTERN_SESSION_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/metrics.h"
#include "daemon/base/span.h"
#include "daemon/session/line.h"

struct session;

enum outcome {
    CMD_DONE,       /* the reply is written: the next command may come */
    CMD_WAIT,       /* there is more to come: after an answer, when the output has drained, or behind other input */
    CMD_ASK,        /* the client's next line belongs to this command: it goes to `answer` */
    CMD_CLOSE,      /* the reply is written and was the last; session->end says why */
    CMD_ABORT,      /* the reply cannot be finished: cut it off */
};

enum { ARGS_MAX = 2, VERB_MAX = 8 };

/* Lent out of the input. */
struct args {
    struct span v[ARGS_MAX];
    unsigned count;
};

#define IN_STATE(state) (1u << (state))

struct command {
    char verb[VERB_MAX + 1];    /* in upper case; clients may use any */
    unsigned states;            /* IN_STATE() of each in which it may be said */
    unsigned char min, max;     /* arguments */
    bool rest;                  /* the one argument is all that follows the first space */
    bool secret;                /* its arguments are shown nowhere: a trace has the verb alone */
    bool login;                 /* belongs to a login */
    bool keeps_name;            /* POP3: may stand between USER and PASS */
    bool message;               /* its reply is a message */
    unsigned limit;             /* octets of its line with the line end; 0: as the table says */
    int wrong;                  /* LMTP: what is said to wrong arguments, an enum lmtp_reply_name */
    enum metric counted;        /* where it is counted, in a protocol that counts its commands */
    enum outcome (*run)(struct session *s, const struct args *args);
    enum outcome (*step)(struct session *s);    /* goes on when the output has drained */
    enum outcome (*answer)(struct session *s, enum line_kind kind, struct span line);   /* after CMD_ASK */
};

struct command_table {
    const struct command *rows;
    size_t count;
    unsigned limit;             /* octets of a line with its end */
};

/*
 * The row of a verb for a session in this state; or that for another state,
 * with *here_r false; NULL if there is none.
 */
const struct command *command_find(const struct command_table *table, struct span verb, unsigned state, bool *here_r);
/* What stands before the first space of a line. */
struct span command_verb(struct span line);
/* How many octets the line may have that `in` begins with: what command_find() finds by its verb says so. */
size_t command_limit(const struct command_table *table, struct span in, unsigned state);

#endif
