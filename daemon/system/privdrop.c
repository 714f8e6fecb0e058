/*
 * privdrop.c - the short list by which a process starts.
 *
 * It must never go on after a step failed: a worker that kept a right is worse
 * than none.
 */
#include "daemon/system/privdrop.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

bool privdrop_is_root(void)
{
    return geteuid() == 0;
}

static void give_up(const char *what, const char *which) __attribute__((noreturn));

static void give_up(const char *what, const char *which)
{
    log_error(NULL, "could not %s %s: %s", what, which, strerror(errno));
    log_finish();
    _exit(EXIT_FAILURE);
}

static int by_number(const void *a, const void *b)
{
    const int *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Closes all but the role's, so that a descriptor that somebody opens one day is not passed on by oversight. */
static void close_others(const struct process_role *role)
{
    int *keep = mem_array(role->keep_count + 1, sizeof *keep);
    size_t n = role->keep_count;
    unsigned from = 3;

    if (n > 0)
        memcpy(keep, role->keep, n * sizeof *keep);
    if (log_descriptor() >= 0)
        keep[n++] = log_descriptor();
    qsort(keep, n, sizeof *keep, by_number);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned)keep[i] > from)
            close_range(from, (unsigned)keep[i] - 1, 0);
        if ((unsigned)keep[i] >= from)
            from = (unsigned)keep[i] + 1;
    }
    close_range(from, ~0U, 0);
    mem_free(keep);
    /* The descriptor for syslog went too: lines of several processes must not wait for each other's. */
    log_forked();
}

/* Supplementary groups are kept: the passfile of a role may be readable by one. */
static void become_user(const char *name)
{
    const struct passwd *pw;

    errno = 0;
    pw = getpwnam(name);
    if (pw == NULL || pw->pw_uid == 0) {
        errno = pw != NULL ? EPERM : errno != 0 ? errno : ENOENT;
        give_up("run as user", name);
    }
    /* libpq looks for passwords and certificates in $HOME; root's it cannot even look into. */
    if (setenv("HOME", pw->pw_dir, 1) < 0)
        give_up("set the home of", name);
    if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0)
        give_up("take the groups of", name);
    if (setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
        give_up("become", name);
    if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || geteuid() == 0 || getuid() == 0) {
        errno = EPERM;
        give_up("stay", name);
    }
}

/* Another policy than the usual one was somebody's choice: it stays. */
static void schedule_in_batches(void)
{
    const struct sched_param none = { .sched_priority = 0 };

    if (sched_getscheduler(0) == SCHED_OTHER && sched_setscheduler(0, SCHED_BATCH, &none) < 0)
        log_warning(NULL, "could not take the scheduling policy SCHED_BATCH: %s; see batch_scheduling",
                    strerror(errno));
}

void process_become(const struct process_role *role)
{
    log_set_ident(role->ident);
    prctl(PR_SET_NAME, role->name);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    close_others(role);
    if (role->batch)
        schedule_in_batches();
    if (privdrop_is_root())
        become_user(role->user);
    if (role->parent_signal != 0) {
        /* After the change of user, which takes it away; and the parent may have died before. */
        prctl(PR_SET_PDEATHSIG, role->parent_signal);
        if (getppid() != role->parent)
            _exit(EXIT_SUCCESS);
    }
    secret_init();
    secret_no_core();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

uint64_t privdrop_descriptors(uint64_t wanted)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
        return 0;
    if (rl.rlim_cur < wanted) {
        struct rlimit more = { .rlim_cur = wanted, .rlim_max = rl.rlim_max > wanted ? rl.rlim_max : wanted };

        /* Above the hard limit only root may go: others get what there is. */
        if (setrlimit(RLIMIT_NOFILE, &more) < 0) {
            more = (struct rlimit){ .rlim_cur = rl.rlim_max, .rlim_max = rl.rlim_max };
            (void)setrlimit(RLIMIT_NOFILE, &more);
        }
        if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
            return 0;
    }
    return rl.rlim_cur;
}
