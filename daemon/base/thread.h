/*
 * thread.h - threads for work that would block an event loop.
 *
 * They are started before the process gives up the right to make threads, and
 * are let out no further than it. They share with the rest of the process only
 * what their own module has under a lock, and must never log: the log knows one
 * thread.
 */
#ifndef POSTERN_BASE_THREAD_H
#define POSTERN_BASE_THREAD_H

#include <stdbool.h>

/*
 * A thread that runs run(arg), which never returns, as soon as threads_confine()
 * lets it. It takes no signals. False: the system has no more of them.
 */
bool thread_start(void (*run)(void *arg), void *arg);

/*
 * Lets those that were started go, one after the other, each behind confine(arg)
 * in itself. Returns when the last one is confined; confine() may log, as this
 * thread waits meanwhile.
 */
void threads_confine(void (*confine)(void *arg), void *arg);

#endif
