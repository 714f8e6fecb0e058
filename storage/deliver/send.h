/*
 * send.h - what a job with a message asks: deliver() alone, or a transaction.
 */
#ifndef POSTERN_STORAGE_SEND_H
#define POSTERN_STORAGE_SEND_H

#include <stdbool.h>

struct deliver_job;

/* A deliver_job.ask, for a message that goes as one question, and for a large one. */
bool send_small(struct deliver_job *job);
bool send_large(struct deliver_job *job);
/* For spool_watch(), of the job: goes on with what waited. */
void send_spool_ready(void *job);
/* A large one is given up, as soon as no answer of the database is on its way; nothing is stored. */
void send_stop_large(struct deliver_job *job);

#endif
