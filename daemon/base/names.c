/*
 * names.c - one thread for each name, and what it found last.
 *
 * The threads share nothing with the rest of the process but the table here,
 * under one lock that is never held while somebody is asked.
 */
#include "daemon/base/names.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "daemon/base/conninfo.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"
#include "daemon/base/thread.h"

enum { NAMES_MAX = NAMES_ADDED_MAX + 16, FIRST_WAIT_S = 2 };

static struct name {
    char *name;
    char *addresses;            /* with commas in between; "": none were found, or nothing yet */
    bool wanted, started;
    bool answered;
} names[NAMES_MAX];
static size_t name_count;
static bool begun;              /* names_start() was called */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static struct name *find_name(const char *name)
{
    for (size_t i = 0; i < name_count; i++)
        if (strcmp(names[i].name, name) == 0)
            return &names[i];
    return NULL;
}

static void run(void *arg)
{
    struct name *n = arg;

    pthread_mutex_lock(&lock);
    for (;;) {
        pthread_cond_broadcast(&changed);
        while (!n->wanted)
            pthread_cond_wait(&changed, &lock);
        n->wanted = false;
        pthread_mutex_unlock(&lock);
        char *addresses = conninfo_look_up(n->name);
        pthread_mutex_lock(&lock);
        /* A name service that is away does not make known addresses wrong. */
        if (addresses[0] != '\0' || n->addresses[0] == '\0') {
            mem_free(n->addresses);
            n->addresses = addresses;
        } else {
            mem_free(addresses);
        }
        n->answered = true;
    }
}

static void add_name(void *arg, const char *name)
{
    (void)arg;
    if (name_count < NAMES_MAX && find_name(name) == NULL)
        names[name_count++] = (struct name){ .name = mem_str(name), .addresses = mem_str(""), .wanted = true };
}

static bool all_answered(void)
{
    for (size_t i = 0; i < name_count; i++)
        if (names[i].started && !names[i].answered)
            return false;
    return true;
}

void names_add(const char *name)
{
    if (!network_is_address(name) && name_count < NAMES_ADDED_MAX)
        add_name(NULL, name);
}

void names_start(const char *const *conninfo, size_t count)
{
    begun = true;
    for (size_t i = 0; i < count; i++)
        if (conninfo[i] != NULL)
            conninfo_names(conninfo[i], add_name, NULL);
    for (size_t i = 0; i < name_count; i++)
        names[i].started = thread_start(run, &names[i]);
}

void names_await(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FIRST_WAIT_S;
    pthread_mutex_lock(&lock);
    while (!all_answered() && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&lock);
}

/* NULL: not ours to look up. */
static char *known(const char *name)
{
    struct name *n = find_name(name);
    char *addresses = NULL;

    if (n == NULL || !n->started)
        return NULL;
    pthread_mutex_lock(&lock);
    addresses = mem_str(n->addresses);
    n->wanted = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return addresses;
}

char *names_resolve(const char *conninfo, char **error_r)
{
    return name_count > 0 ? conninfo_resolved(conninfo, known, error_r) : mem_str(conninfo);
}

char *names_look(const char *name)
{
    char *addresses;

    if (network_is_address(name))
        return mem_str(name);
    addresses = known(name);
    if (addresses != NULL)
        return addresses;
    /* Who has threads for names waits for none, not even for one that has no thread. */
    return begun ? mem_str("") : conninfo_look_up(name);
}
