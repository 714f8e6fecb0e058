/*
 * thread.c - threads beside a loop: how they begin. Owns the order in which
 * they are let go, and nothing of what they do.
 */
#include "daemon/base/thread.h"

#include <pthread.h>
#include <signal.h>

#include "daemon/base/mem.h"

struct thread {
    void (*run)(void *arg);
    void *arg;
    unsigned number;            /* from 1 */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned started, let_go, confined;
static void (*confine_thread)(void *arg);
static void *confine_arg;

static void *begin(void *arg)
{
    struct thread t = *(struct thread *)arg;

    mem_free(arg);
    pthread_mutex_lock(&lock);
    while (let_go < t.number)
        pthread_cond_wait(&changed, &lock);
    confine_thread(confine_arg);
    confined = t.number;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    t.run(t.arg);
    return NULL;
}

/* Signals are the main thread's. */
bool thread_start(void (*run)(void *arg), void *arg)
{
    struct thread *t = mem_zalloc(sizeof *t);
    sigset_t all, before;
    pthread_t id;

    *t = (struct thread){ run, arg, started + 1 };
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool made = pthread_create(&id, NULL, begin, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (made) {
        pthread_detach(id);
        started++;
    } else {
        mem_free(t);
    }
    return made;
}

void threads_confine(void (*confine)(void *arg), void *arg)
{
    pthread_mutex_lock(&lock);
    confine_thread = confine;
    confine_arg = arg;
    while (let_go < started) {
        let_go++;
        pthread_cond_broadcast(&changed);
        while (confined < let_go)
            pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}
