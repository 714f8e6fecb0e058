/*
 * sandbox.c - limits and the filter of system calls (seccomp), by role.
 *
 * What is not in the table fails with EPERM, which libraries take for a kernel
 * without it, and the kernel writes to its log: no input should end a process
 * because a library was updated. What only an intruder would ask for kills it.
 */
#include "daemon/system/sandbox.h"

#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/log.h"

enum {
    WORKER = 1 << SANDBOX_WORKER,
    SESSION = 1 << SANDBOX_SESSION,
    HELPER = 1 << SANDBOX_HELPER,
    METRICS = 1 << SANDBOX_METRICS,
    ACCEPTS = WORKER | METRICS,
    SERVES = ACCEPTS | SESSION,
    ALL = SERVES | HELPER,
    CONNECTS = WORKER | SESSION | HELPER,
};

static const struct {
    int call;
    unsigned roles;         /* 0: kills */
} calls[] = {
#define CALL(name, roles) { SCMP_SYS(name), roles },
#define KILLED(name) { SCMP_SYS(name), 0 },
#include "daemon/system/sandbox_calls.def"
#undef CALL
#undef KILLED
};

/* ------------------------------------------------------------------ limits */

static void freeze(int resource)
{
    struct rlimit rl;

    if (getrlimit((__rlimit_resource_t)resource, &rl) == 0) {
        rl.rlim_max = rl.rlim_cur;
        (void)setrlimit((__rlimit_resource_t)resource, &rl);
    }
}

static void limits(void)
{
    const struct rlimit none = { 0, 0 };

    /* Core files are off since secret_no_core(). No new process of this user, by this one. */
    (void)setrlimit(RLIMIT_NPROC, &none);
    freeze(RLIMIT_NOFILE);
}

/* ------------------------------------------------------------------- filter */

/* Argument n of a call is this. */
#define IS(n, value) SCMP_A##n(SCMP_CMP_EQ, (scmp_datum_t)(value), 0)

static int allow(scmp_filter_ctx f, int call, struct scmp_arg_cmp condition)
{
    return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, call, 1, &condition);
}

/* Nothing is made executable: not what was written, not what belongs to no file. Modules of the resolver are files. */
static int add_memory(scmp_filter_ctx f)
{
    const struct scmp_arg_cmp mapped_file[] = {
        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC), SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0),
    };
    int bad = allow(f, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    bad |= seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, mapped_file);
    return bad | allow(f, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

static int allow_socket(scmp_filter_ctx f, int family, int type)
{
    const struct scmp_arg_cmp kind[] = { IS(0, family), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, (scmp_datum_t)type) };

    return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, kind);
}

/*
 * Landlock knows nothing of datagrams, so there are none for the Internet
 * unless a resolver needs them: what is read here would leave by them.
 */
static int add_sockets(scmp_filter_ctx f, struct sandbox_network network)
{
    static const int internet[] = { AF_INET, AF_INET6 };
    /* The resolver asks which addresses this host has. */
    const struct scmp_arg_cmp routes[] = { IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE) };
    /* To the database, and to syslog. */
    int bad = allow_socket(f, AF_UNIX, SOCK_STREAM) | allow_socket(f, AF_UNIX, SOCK_DGRAM);

    for (size_t i = 0; i < sizeof internet / sizeof internet[0]; i++) {
        if (network.streams)
            bad |= allow_socket(f, internet[i], SOCK_STREAM);
        if (network.datagrams)
            bad |= allow_socket(f, internet[i], SOCK_DGRAM);
    }
    if (network.datagrams)
        bad |= seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, routes);
    /* libevent wakes itself by one. */
    return bad | allow(f, SCMP_SYS(socketpair), IS(0, AF_UNIX));
}

static int add_others(scmp_filter_ctx f)
{
    /* What is there to read, is it a terminal, the index of a network interface (link-local addresses). */
    static const unsigned long requests[] = { FIONREAD, FIONBIO, TCGETS, SIOCGIFINDEX, SIOCGIFNAME };
    int bad = 0;

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        bad |= allow(f, SCMP_SYS(ioctl), IS(1, requests[i]));
    /* abort(), of this process only */
    bad |= allow(f, SCMP_SYS(tgkill), IS(0, getpid()));
    /* Read limits, of oneself only; never raise one. */
    const struct scmp_arg_cmp read_limit[] = { IS(0, 0), IS(2, 0) };
    bad |= seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, read_limit);
    /* secret_no_core(), which a helper calls for itself. */
    const struct scmp_arg_cmp core_limit[] = { IS(0, 0), IS(1, RLIMIT_CORE) };
    const struct scmp_arg_cmp not_dumpable[] = { IS(0, PR_SET_DUMPABLE), IS(1, 0) };
    bad |= seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, core_limit);
    bad |= seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 2, not_dumpable);
    /* A new process; the C library tries clone() where there is no clone3(), whose flags a filter cannot see. */
    const struct scmp_arg_cmp process = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_VM, 0);
    bad |= seccomp_rule_add_array(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1, &process);
    return bad | seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int fill(scmp_filter_ctx f, unsigned role, struct sandbox_network network)
{
    int bad = 0;

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        /* Below zero: not a call of this machine. */
        if (calls[i].call < 0)
            continue;
        if (calls[i].roles == 0)
            bad |= seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, calls[i].call, 0);
        else if (calls[i].roles & role)
            bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i].call, 0);
    }
    if (role & CONNECTS)
        bad |= add_sockets(f, network);
    return bad | add_memory(f) | add_others(f);
}

/* In the mode "log" what is not allowed happens all the same. */
static int fill_log_only(scmp_filter_ctx f, unsigned role, struct sandbox_network network)
{
    int bad = 0;

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (calls[i].call >= 0 && (calls[i].roles & role))
            bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i].call, 0);
    }
    if (role & CONNECTS)
        bad |= add_sockets(f, network);
    return bad | add_memory(f);
}

static bool filter(unsigned role, struct sandbox_network network, bool log_only)
{
    scmp_filter_ctx f = seccomp_init(log_only ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(EPERM));
    int bad = f == NULL ? -ENOMEM : 0;

    if (bad == 0)
        bad = log_only ? fill_log_only(f, role, network) : fill(f, role, network);
    if (bad == 0) {
        (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, 1);
        /* A binary search in place of a list: it is gone through at every call. */
        (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        bad = seccomp_load(f);
    }
    seccomp_release(f);
    if (bad != 0)
        log_warning(NULL, "sandbox: no system call filter: %s", strerror(bad < 0 ? -bad : EINVAL));
    return bad == 0;
}

/* -------------------------------------------------------------------- enter */

/* NULL where the process was made to forget it (config_forget_sessions()). */
static const char *known(const char *conninfo)
{
    return conninfo != NULL && conninfo[0] != '\0' ? conninfo : NULL;
}

static struct sandbox_reach reach_of(enum sandbox_role role, const struct config *config)
{
    struct sandbox_reach reach = { .spool = NULL };

    switch (role) {
    case SANDBOX_WORKER:
    case SANDBOX_SESSION:
        reach.conninfo[0] = known(config->conninfo_mail);
        reach.conninfo[1] = known(config->conninfo_lmtp);
        if (reach.conninfo[0] != NULL)      /* it serves logins */
            reach.servers = config->pop3.pop3_relay_servers;
        if (reach.conninfo[1] != NULL)
            reach.spool = config->lmtp.lmtp_spool_dir;
        break;
    case SANDBOX_HELPER:
        reach.conninfo[0] = known(config->conninfo_auth);
        reach.read[0] = config->auth.auth_key_file;
        reach.read[1] = config->auth.oauth_keys;
        break;
    case SANDBOX_METRICS:
        break;
    }
    return reach;
}

void sandbox_no_new_rights(void)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void sandbox_enter(enum sandbox_role role, const struct config *config)
{
    enum sandbox_mode mode = config->daemon.sandbox;
    struct sandbox_reach reach = reach_of(role, config);

#ifdef POSTERN_SANITIZED
    /* Sanitizers look into /proc, and write what they find to files. */
    mode = SANDBOX_OFF;
#endif
    if (mode == SANDBOX_OFF)
        return;
    sandbox_no_new_rights();
    if (mode == SANDBOX_ON) {
        limits();
        if (!sandbox_files(&reach))
            log_debug(NULL, "sandbox: no file access limits: %s", strerror(errno));
    }
    filter(1u << role, sandbox_network(&reach), mode == SANDBOX_LOG);
}
