/*
 * loop.h - the event loop: libevent wrapped in a few functions.
 *
 * One loop per process, in one thread, which alone may call what is here. Callbacks run one after the other; memory
 * that an event may still refer to is freed at the end of the turn, by
 * loop_defer(). A loop is made after the last fork: its epoll descriptor would
 * be the child's too, and what one takes out of it is gone for the other.
 */
#ifndef POSTERN_NET_LOOP_H
#define POSTERN_NET_LOOP_H

#include <stdint.h>

struct loop;
struct watch;   /* a descriptor */
struct timer;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop *loop_new(void);
/* After all watches and timers; what is deferred is done first. */
void loop_free(struct loop **loop);
void loop_run(struct loop *loop);           /* until loop_stop() */
void loop_stop(struct loop *loop);
/* Monotonic milliseconds at the start of this turn; never 0. */
uint64_t loop_now(const struct loop *loop);
/* Which turn this is: for what must not be done too often in one. */
uint64_t loop_turn(const struct loop *loop);

typedef void loop_fd_cb(void *arg, int fd, unsigned events);
typedef void loop_cb(void *arg);

/* Watches fd for nothing until watch_set(). The descriptor stays the caller's and is closed after watch_free(). */
struct watch *watch_new(struct loop *loop, int fd, loop_fd_cb *cb, void *arg);
/* Level-triggered; setting what is set already costs no system call. */
void watch_set(struct watch *w, unsigned events);
void watch_free(struct watch **w);

/* One shot; set again in the callback for another. Freeing it in its own callback is allowed. */
struct timer *timer_new(struct loop *loop, loop_cb *cb, void *arg);
void timer_set(struct timer *t, uint64_t ms);
void timer_stop(struct timer *t);
void timer_free(struct timer **t);

/* cb(arg) once, after the callbacks that are due in this turn. In the order of the calls. */
void loop_defer(struct loop *loop, loop_cb *cb, void *arg);
/*
 * cb(arg) once, when nothing is ready any more and the loop would wait, or some busy turns later: for what is
 * cheaper done for many than for one, and keeps nobody waiting until then.
 */
void loop_before_wait(struct loop *loop, loop_cb *cb, void *arg);
/* cb(arg) at each arrival of a signal, in the loop. Kept until loop_free(). */
void loop_signal(struct loop *loop, int signo, loop_cb *cb, void *arg);

#endif
