/*
 * handover.h - what one master leaves to the next: descriptors, and a note
 * that says what they are.
 *
 * The note is a file without a name whose descriptor the environment variable
 * POSTERN_HANDOVER tells. Who can set that is who starts posternd, and may say
 * what it listens at anyway.
 */
#ifndef POSTERN_HANDOVER_H
#define POSTERN_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>

struct sockets;

enum { HANDOVER_ADOPTED_MAX = 256 };

struct handover {
    /* standard error, for when the start is over; while it lasts 2 leads to the old master */
    int errors;
    int control;                /* the operators' listening socket, -1: none */
    char *control_path;         /* NULL: none */
    int login_cache;            /* the memory that auth helpers share (login_cache.h), -1: none */
    struct sockets *sockets;    /* bound ones; NULL where they were adopted */
    int adopted[HANDOVER_ADOPTED_MAX];
    size_t adopted_count;
    char *adopted_names;        /* NULL: they have none */
};

/* In the child that will become the new master: what it hands over stays open over exec(). False with errno. */
bool handover_give(const struct handover *handover);
/* In the new one. 1: there is something, 0: nobody like us started it, -1: it makes no sense. */
int handover_take(struct handover *handover_r);

#endif
