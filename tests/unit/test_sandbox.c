/*
 * What a process can still do in the sandbox of its role: each question is
 * asked by a child that enters it, and answers by how it ends.
 *
 * Landlock is looked for first: where the kernel has none, what it would refuse
 * is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "daemon/system/sandbox.c"
#include "daemon/system/sandbox_files.c"

static char dir[] = "/tmp/postern-sandbox-XXXXXX", spool[64], key[64];
static char with_socket[] = "host=/tmp dbname=x user=postern_mail", with_address[] = "host=127.0.0.1 port=5499 dbname=x",
            with_name[] = "host=/tmp,database.example.org port=5499 dbname=x", with_service[] = "service=x", forgotten[] = "";
static struct config config;
static char relayed[] = "127.0.0.1:25", nowhere[] = "";

enum answer { CAN, CANNOT, KILLED };

/* 0 from `ask`: it can. */
static enum answer child(enum sandbox_role role, int (*ask)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        sandbox_enter(role, &config);
        _exit(ask() == 0 ? CAN : CANNOT);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGSYS);
        return KILLED;
    }
    assert_true(WEXITSTATUS(status) <= CANNOT);
    return (enum answer)WEXITSTATUS(status);
}

static void in_every_role(int (*ask)(void), enum answer wanted)
{
    for (int role = SANDBOX_WORKER; role <= SANDBOX_METRICS; role++)
        assert_int_equal(child((enum sandbox_role)role, ask), wanted);
}

static bool is_there(void)
{
#ifdef POSTERN_SANITIZED
    return false;
#else
    return true;
#endif
}

static bool has_landlock(long abi)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= abi;
}

static int opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    return fd < 0 ? -1 : close(fd);
}

/* ------------------------------------------------------------- new processes */

static int exec_shell(void) { return execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL); }
static int fork_one(void) { return fork() < 0 ? -1 : 0; }
static int trace_parent(void) { return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL); }
static int read_parent(void)
{
    char octet;
    struct iovec here = { &octet, 1 }, there = { dir, 1 };

    return process_vm_readv(getppid(), &here, 1, &there, 1, 0) == 1 ? 0 : -1;
}
static int become_root(void) { return setuid(0); }
static int signal_parent(void) { return kill(getppid(), 0); }

static void no_new_process(void **state)
{
    (void)state;
    if (!is_there())
        skip();
    in_every_role(exec_shell, KILLED);
    in_every_role(fork_one, KILLED);
    in_every_role(trace_parent, KILLED);
    in_every_role(read_parent, KILLED);
    in_every_role(become_root, KILLED);
    in_every_role(signal_parent, CANNOT);
}

/* ------------------------------------------------------------------- memory */

static int make_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? 0 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int map_executable(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int use_memory(void)
{
    char *p = malloc(8 << 20);

    if (p == NULL)
        return -1;
    memset(p, 1, 8 << 20);
    free(p);
    return 0;
}

static void nothing_executable(void **state)
{
    (void)state;
    if (!is_there())
        skip();
    in_every_role(make_executable, CANNOT);
    in_every_role(map_executable, CANNOT);
    in_every_role(use_memory, CAN);
}

/* -------------------------------------------------------------------- files */

static int read_key(void) { return opens(key, O_RDONLY); }
static int read_shadow(void) { return opens("/etc/shadow", O_RDONLY); }
static int read_machine_id(void) { return opens("/etc/machine-id", O_RDONLY); }
static int write_tmp(void) { return opens("/tmp/postern-sandbox-test", O_WRONLY | O_CREAT); }
static int read_zone(void) { return opens("/usr/share/zoneinfo/UTC", O_RDONLY); }
/* Debian's place of an operator's own authorities: what is in /etc/ssl/certs points there. */
static const char authorities[] = "/usr/local/share/ca-certificates";
static int read_authorities(void) { return opens(authorities, O_RDONLY); }
static int spool_file(void)
{
    int fd = open(spool, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char octet = 'x';

    return fd >= 0 && write(fd, &octet, 1) == 1 && pread(fd, &octet, 1, 0) == 1 ? close(fd) : -1;
}

static void few_files(void **state)
{
    (void)state;
    if (!is_there() || !has_landlock(1))
        skip();
    assert_int_equal(child(SANDBOX_WORKER, read_key), CANNOT);
    assert_int_equal(child(SANDBOX_SESSION, read_key), CANNOT);
    assert_int_equal(child(SANDBOX_METRICS, read_key), CANNOT);
    assert_int_equal(child(SANDBOX_HELPER, read_key), CAN);     /* it is there for that */
    in_every_role(read_shadow, CANNOT);
    in_every_role(read_machine_id, CANNOT);
    in_every_role(write_tmp, CANNOT);
    in_every_role(read_zone, CAN);
    if (access(authorities, F_OK) == 0)
        in_every_role(read_authorities, CAN);
    assert_int_equal(child(SANDBOX_WORKER, spool_file), CAN);
    assert_int_equal(child(SANDBOX_SESSION, spool_file), CAN);
    assert_int_equal(child(SANDBOX_HELPER, spool_file), CANNOT);
    assert_int_equal(child(SANDBOX_METRICS, spool_file), CANNOT);
    /* A worker that serves no deliveries, whose role it was made to forget. */
    config.conninfo_lmtp = forgotten;
    assert_int_equal(child(SANDBOX_WORKER, spool_file), CANNOT);
    assert_int_equal(child(SANDBOX_SESSION, spool_file), CANNOT);
    config.conninfo_lmtp = with_socket;
}

/* ------------------------------------------------------------------ network */

/* 0 if nobody forbids it: nobody listens there. */
static int connect_to(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    return connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == ECONNREFUSED ? 0 : -1;
}

static int stream_socket(void) { return socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? -1 : 0; }
static int datagram_socket(void) { return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 ? -1 : 0; }
static int unix_socket(void) { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? -1 : 0; }
static int syslog_socket(void) { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 ? -1 : 0; }
static int connect_database(void) { return connect_to(5499); }
static int connect_usual(void) { return connect_to(5432); }
static int connect_elsewhere(void) { return connect_to(25); }
static int raw_socket(void) { return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 ? -1 : 0; }
static int packet_socket(void) { return socket(AF_PACKET, SOCK_DGRAM, 0) < 0 ? -1 : 0; }
static int listen_somewhere(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? -1 : listen(fd, 1);
}

static void few_connections(void **state)
{
    (void)state;
    if (!is_there())
        skip();
    in_every_role(raw_socket, CANNOT);
    in_every_role(packet_socket, CANNOT);
    in_every_role(listen_somewhere, CANNOT);
    for (int role = SANDBOX_WORKER; role < SANDBOX_METRICS; role++) {
        assert_int_equal(child((enum sandbox_role)role, unix_socket), CAN);
        assert_int_equal(child((enum sandbox_role)role, syslog_socket), CAN);
    }
    /* It has what it listens on, and makes nothing else. */
    assert_int_equal(child(SANDBOX_METRICS, unix_socket), CANNOT);
    assert_int_equal(child(SANDBOX_METRICS, syslog_socket), CANNOT);
    /* The database is a unix socket: nothing of the Internet is needed. */
    in_every_role(stream_socket, CANNOT);
    in_every_role(datagram_socket, CANNOT);
    config.conninfo_auth = with_address;
    assert_int_equal(child(SANDBOX_HELPER, stream_socket), CAN);
    assert_int_equal(child(SANDBOX_HELPER, datagram_socket), CANNOT);
    assert_int_equal(child(SANDBOX_WORKER, stream_socket), CANNOT);
    config.conninfo_mail = with_name;
    assert_int_equal(child(SANDBOX_WORKER, stream_socket), CAN);
    assert_int_equal(child(SANDBOX_SESSION, datagram_socket), CAN);
    assert_int_equal(child(SANDBOX_HELPER, datagram_socket), CANNOT);
    config.conninfo_mail = with_service;
    assert_int_equal(child(SANDBOX_WORKER, datagram_socket), CAN);
    config.conninfo_mail = config.conninfo_auth = with_socket;
    /* Nor where logins are relayed, but by those who serve them. */
    config.pop3.pop3_relay_servers = relayed;
    assert_int_equal(child(SANDBOX_WORKER, stream_socket), CAN);
    assert_int_equal(child(SANDBOX_SESSION, stream_socket), CAN);
    assert_int_equal(child(SANDBOX_WORKER, datagram_socket), CANNOT);
    assert_int_equal(child(SANDBOX_HELPER, stream_socket), CANNOT);
    assert_int_equal(child(SANDBOX_METRICS, stream_socket), CANNOT);
    config.conninfo_mail = NULL;
    assert_int_equal(child(SANDBOX_WORKER, stream_socket), CANNOT);
    config.conninfo_mail = with_socket;
    config.pop3.pop3_relay_servers = nowhere;
    if (!has_landlock(4))
        skip();
    config.pop3.pop3_relay_servers = relayed;
    assert_int_equal(child(SANDBOX_WORKER, connect_elsewhere), CAN);
    assert_int_equal(child(SANDBOX_WORKER, connect_database), CANNOT);
    assert_int_equal(child(SANDBOX_HELPER, connect_elsewhere), CANNOT);
    config.pop3.pop3_relay_servers = nowhere;
    config.conninfo_mail = config.conninfo_auth = with_address;
    config.conninfo_lmtp = forgotten;
    assert_int_equal(child(SANDBOX_WORKER, connect_usual), CANNOT);
    config.conninfo_lmtp = with_socket;
    assert_int_equal(child(SANDBOX_WORKER, connect_database), CAN);
    assert_int_equal(child(SANDBOX_HELPER, connect_database), CAN);
    assert_int_equal(child(SANDBOX_METRICS, connect_database), CANNOT);
    in_every_role(connect_elsewhere, CANNOT);
    config.conninfo_mail = config.conninfo_auth = with_socket;
}

/* ---------------------------------------------------------------------- modes */

static void modes(void **state)
{
    (void)state;
    if (!is_there())
        skip();
    config.daemon.sandbox = SANDBOX_OFF;
    in_every_role(fork_one, CAN);
    in_every_role(read_key, CAN);
    config.daemon.sandbox = SANDBOX_LOG;
    in_every_role(fork_one, CAN);
    in_every_role(read_key, CAN);
    config.daemon.sandbox = SANDBOX_ON;
}

static int set_up(void **state)
{
    FILE *out;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(spool, sizeof spool, "%s/spool", dir);
    snprintf(key, sizeof key, "%s/key", dir);
    assert_int_equal(mkdir(spool, 0700), 0);
    out = fopen(key, "w");
    assert_non_null(out);
    fclose(out);
    config.daemon.sandbox = SANDBOX_ON;
    config.conninfo_mail = config.conninfo_auth = config.conninfo_lmtp = with_socket;
    config.lmtp.lmtp_spool_dir = spool;
    config.auth.auth_key_file = key;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(key);
    rmdir(spool);
    return rmdir(dir);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_new_process),
        cmocka_unit_test(nothing_executable),
        cmocka_unit_test(few_files),
        cmocka_unit_test(few_connections),
        cmocka_unit_test(modes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
