/*
 * inetd.c - a session for inetd, xinetd, systemd (Accept=yes), ssh or a shell:
 * the code of worker and helper, with one session.
 *
 * Whoever started us waits for this process, so the session runs in it and the
 * helper is its child. Nothing but protocol may ever reach the client: before
 * anything else was done here, 0, 1 and 2 have become /dev/null.
 */
#include "daemon/process/inetd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/primary.h"
#include "daemon/process/cell.h"
#include "daemon/process/certs.h"
#include "daemon/config/config.h"
#include "daemon/session/trust.h"
#include "daemon/net/fd.h"
#include "daemon/net/loop.h"
#include "daemon/net/passing.h"
#include "daemon/net/peer.h"
#include "daemon/net/proxy_gate.h"
#include "daemon/system/privdrop.h"
#include "daemon/system/sandbox.h"
#include "daemon/process/serve.h"

enum { HELPER_END_S = 2 };      /* for a helper to follow its worker; afterwards the kernel sees to it */

/* ------------------------------------------------------------- the client */

void inetd_refuse(int out, const char *reply)
{
    struct pollfd p = { .fd = out, .events = POLLOUT };

    /* A client that does not take one line is not waited for. */
    if (poll(&p, 1, 1000) == 1)
        (void)!write(out, reply, strlen(reply));
}

static bool is_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* A socket whose client has left and said nothing: not worth a connection to the database, nor a line in the log. */
static bool is_gone(int fd)
{
    struct pollfd p = { .fd = fd };
    char byte;

    return is_socket(fd) && poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 &&
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* Two numbers of one socket: one is enough, and tells what comes next that there is one end and not two. */
static int same_socket(int in, int out)
{
    struct stat a, b;

    if (!is_socket(in) || fstat(in, &a) < 0 || fstat(out, &b) < 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
        return out;
    close(out);
    return in;
}

/* ------------------------------------------------------ the configuration */

static void count_problem(void *arg, const char *file, int line, const char *text)
{
    (void)arg, (void)file, (void)line, (void)text;
}

/* The log first: where it goes stands in a file that may be wrong in other places. NULL, with the problems logged. */
static struct config *load(const char *file)
{
    const char *why = NULL;
    int problems;
    struct config *config = config_load(file, 0, count_problem, NULL, &problems);
    const char *target = strcmp(config->daemon.log, "stderr") != 0 ? config->daemon.log : "syslog";

    log_open("syslog", config->daemon.log_level, "posternd", &why);
    if (!log_open(target, config->daemon.log_level, "posternd", &why))
        log_error(NULL, "could not open the log %s: %s", target, why);
    if (problems > 0) {
        config_free(&config);
        config = config_load(file, 0, config_log_problem, NULL, &problems);
        config_free(&config);
        return NULL;
    }
    /* For one session: whatever is for many only costs time here. */
    config->auth.auth_helpers = 1;
    config->auth.auth_cache = 0;
    config->auth.one_session = true;
    config->storage.database_lanes = 1;
    config->storage.database_lmtp_lanes = 1;
    config->storage.listing_cache = 0;
    config->storage.one_session = true;
    /* Times of logins are shared by the processes of one master; there is none. */
    config->pop3.pop3_login_delay = 0;
    /* Nor is anybody left to resume a TLS session with. */
    config->tls.tls_ticket_life = 0;
    return config;
}

/* ------------------------------------------------------------ the session */

static const struct serve_shared alone = { .limits_area = -1 };

struct inetd {
    struct serve serve;
    const struct config *config;
    const struct protocol *protocol;
    struct session_entry entry;
    struct trust *trust;        /* NULL: whoever comes may */
    struct proxy_gate *gate;    /* NULL: clients come by themselves */
    bool over;                  /* refused before the loop ran */
};

static void session_ended(void *arg)
{
    struct inetd *s = arg;

    loop_stop(s->serve.loop);
}

/* Ends the session without a deletion; one that is being committed is finished first. */
static void close_session(void *arg)
{
    struct inetd *s = arg;

    serve_close_all(&s->serve);
}

static void wrong_schema(void *arg, const char *text)
{
    (void)arg;
    log_error(NULL, "%s", text);
}

static void header_came(void *arg, void *client, int fd, const struct proxy_origin *origin)
{
    struct inetd *s = arg;
    struct proxy_origin believed;

    if (fd < 0) {
        s->over = true;
        loop_stop(s->serve.loop);
        return;
    }
    (void)client;
    believed = *origin;
    config_believe(s->config, config_inetd(s->config, s->protocol), &believed);
    s->entry.origin = &believed;
    serve_client(&s->serve, s->protocol, fd, fd, &s->entry);
}

/* Where the listener that lends us its settings stands behind a proxy, so do we. */
static void await_proxy(struct inetd *s, int in, int out)
{
    size_t listener = config_inetd(s->config, s->protocol);
    char *error = NULL;
    struct proxy_trust *trust = proxy_trust_new(config_listener(s->config, listener)->proxy, &error);

    ASSERT(trust != NULL);      /* it was checked */
    s->gate = proxy_gate_new(s->serve.loop, PROXY_PATIENCE_MS, header_came, s);
    if (in == out) {
        proxy_gate_enter(s->gate, in, trust, NULL);
    } else {
        log_warning(NULL, "standard input and output are not one socket: proxy cannot be used");
        close(in);
        close(out);
        s->over = true;
    }
    proxy_trust_free(&trust);
}

/* Who may come, where the protocol asks. False: nobody can tell; the client was told, and is gone. */
static bool read_trust(struct inetd *s, int in, int out)
{
    char *error = NULL;

    if (!s->protocol->trusts)
        return true;
    s->trust = trust_new(config_listener(s->config, config_inetd(s->config, s->protocol))->allow, &error);
    s->entry.trust = s->trust;
    if (s->trust != NULL)
        return true;
    log_error(NULL, "listeners: allow: %s", error);
    mem_drop(&error);
    inetd_refuse(out, s->protocol->refusals[REFUSAL_CONFIG]);
    close(in);
    if (out != in)
        close(out);
    return false;
}

/* auth: the socket of the helper; -1: nobody logs in. */
static void run_session(const struct config *config, const struct protocol *protocol, int in, int out, int auth,
                        bool tls)
{
    size_t listener = config_inetd(config, protocol);
    struct inetd s = { .config = config, .protocol = protocol, .entry = config_entry(config, listener) };

    /* Only the service that opened the socket knows which listener it is: its word holds. */
    s.entry.implicit_tls = tls;

    serve_start(&s.serve, config, protocol_bit(protocol), &auth, auth >= 0 ? 1 : 0, &alone,
                &(struct serve_calls){ .session_ended = session_ended, .wrong_schema = wrong_schema, .arg = &s });
    loop_signal(s.serve.loop, SIGTERM, close_session, &s);
    loop_signal(s.serve.loop, SIGINT, close_session, &s);
    loop_signal(s.serve.loop, SIGHUP, close_session, &s);
    if (!read_trust(&s, in, out))
        s.over = true;
    else if (auth >= 0 && config_listener(config, listener)->proxy[0] != '\0')
        await_proxy(&s, in, out);
    else
        serve_client(&s.serve, protocol, in, out, &s.entry);
    if (!s.over)
        loop_run(s.serve.loop);
    proxy_gate_free(&s.gate);
    serve_stop(&s.serve);
    trust_free(&s.trust);
}

/* Its socket is closed, so it ends; one that is held up by the database gets SIGKILL with our own end. */
static void await_helper(pid_t helper)
{
    struct timespec patience = { .tv_sec = HELPER_END_S };
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    if (waitpid(helper, NULL, WNOHANG) == 0)
        sigtimedwait(&child, NULL, &patience);
    waitpid(helper, NULL, WNOHANG);
}

/* Certificates and keys, with the rights that we were started with. */
static bool load_certificates(struct config *config, const struct protocol *protocol, const char *file, bool tls)
{
    const size_t listener = config_inetd(config, protocol);
    struct tls_ends ends = TLS_ENDS_NONE;

    if (certs_load_one(config, listener, !tls, file, config_log_problem, NULL) > 0)
        return false;
    if (tls && config_entry(config, listener).tls == NULL) {
        log_error(NULL, "%s: --tls requires tls_certificate", file);
        return false;
    }
    /* A line with every session is enough to say of what is over; days ahead, --check says it. */
    certs_ends(config, &ends);
    tls_ends_tell(&ends, (int64_t)time(NULL), 0, tls_ends_log, NULL);
    tls_ends_free(&ends);
    return true;
}

static int refuse(struct config **config, int out, bool tls, const char *reply)
{
    config_free(config);
    /* To one who waits for a handshake there is nothing to be said. */
    if (!tls)
        inetd_refuse(out, reply);
    return EXIT_FAILURE;
}

static bool start_helper(struct config *config, int pair[2], pid_t *helper_r)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    /* Both are to believe the same server; without the memory each has its own. */
    (void)primary_share();
    if (peer_pair(pair) < 0 || (*helper_r = cell_fork_helper(config, "1", pair[1], -1, SIGKILL)) < 0) {
        log_error(NULL, "could not start an auth helper: %s", strerror(errno));
        return false;
    }
    close(pair[1]);
    return true;
}

/* To a posternd that runs, where the configuration has a way to it. */
static bool pass(const struct config *config, const struct inetd_start *start, int in, int out)
{
    const struct listener_settings *l = config_listener(config, config_inetd(config, start->protocol));

    return l->passed && !start->alone &&
           passing_client(l->address, start->protocol->name,
                          (start->tls ? PASSING_TLS : 0u) | (start->stay ? PASSING_STAY : 0u), in, out);
}

/*
 * To close it may not be enough: where a posternd that runs did not come to it, the client still
 * lies where it was passed to.
 */
static void end_client(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
}

/* whole: one more number of the client, which stays open. */
static int serve_alone(struct config *config, const struct inetd_start *start, int in, int out, int whole)
{
    const struct protocol *protocol = start->protocol;
    const char *file = start->file;
    bool tls = start->tls;
    bool logins = protocol->needs & NEEDS_LOGINS;
    int pair[2] = { -1, -1 }, keep[4];
    pid_t helper = 0;

    fd_notice_loss(in, (uint64_t)config->daemon.tcp_keepalive, (uint64_t)config->daemon.tcp_user_timeout);
    if (logins && !start_helper(config, pair, &helper))
        return refuse(&config, out, tls, protocol->refusals[REFUSAL_RESOURCES]);
    /* Behind the fork: keys are none of the helper's business. */
    if (logins && !load_certificates(config, protocol, file, tls))
        return refuse(&config, out, tls, protocol->refusals[REFUSAL_CONFIG]);
    out = same_socket(in, out);
    keep[0] = in;
    keep[1] = out;
    keep[2] = whole;
    keep[3] = pair[0];
    process_become(&(struct process_role){
        .ident = "posternd", .name = "posternd", .user = config_user(config, protocol_bit(protocol)),
        .keep = keep, .keep_count = logins ? 4 : 3,
    });
    config_forget_auth(config);
    config_forget_sessions(config, NEEDS_ALL & ~protocol->needs);
    sandbox_enter(SANDBOX_SESSION, config);
    run_session(config, protocol, in, out, pair[0], tls);
    end_client(whole);
    if (logins)
        await_helper(helper);
    config_free(&config);
    return EXIT_SUCCESS;
}

int inetd_run(const struct inetd_start *start, int in, int out)
{
    struct config *config;
    int status, whole;

    if (is_gone(in))
        return EXIT_SUCCESS;
    config = load(start->file);
    if (config == NULL)
        return refuse(&config, out, start->tls, start->protocol->refusals[REFUSAL_CONFIG]);
    if (pass(config, start, in, out)) {
        config_free(&config);
        return EXIT_SUCCESS;
    }
    whole = fcntl(out, F_DUPFD_CLOEXEC, 3);
    status = serve_alone(config, start, in, out, whole);
    end_client(whole);          /* it may have been refused */
    return status;
}
