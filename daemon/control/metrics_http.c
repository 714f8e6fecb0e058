/*
 * metrics_http.c - libevent's HTTP in a process of its own.
 *
 * It has no database, no secret and no session: it reads the numbers that all
 * processes share. What comes in is a stranger's: headers are bounded, a body
 * is refused, a connection has five seconds, and there are sixty of them.
 */
#include "daemon/control/metrics_http.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/net/listener.h"
#include "daemon/system/privdrop.h"
#include "daemon/system/sandbox.h"

enum { HEADERS_MAX = 4096, PATIENCE_S = 5, DESCRIPTORS = 72, BACKLOG = 16, REST_MS = 100 };

int metrics_http_bind(const char *text, char **error_r)
{
    int fds[LISTENER_MAX_FDS], count;
    char host[64];
    uint16_t port;

    if (!control_metrics_address(text, host, &port)) {
        mem_error(error_r, "metrics_listen must be an address and a port, as in 127.0.0.1:9110 or [::1]:9110");
        return -1;
    }
    count = listener_bind(host, port, BACKLOG, fds, error_r);
    return count > 0 ? fds[0] : -1;
}

/* --------------------------------------------------------------- the process */

static void answer(struct evhttp_request *req, int code, const char *reason, const char *type, struct span text)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *body = evbuffer_new();

    if (body != NULL)
        evbuffer_add(body, text.at, text.len);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "Connection", "close");
    evhttp_send_reply(req, code, reason, body);
    if (body != NULL)
        evbuffer_free(body);
}

static void on_metrics(struct evhttp_request *req, void *arg)
{
    struct buf text = BUF_EMPTY;

    (void)arg;
    metrics_text(&text);
    answer(req, HTTP_OK, "OK", "text/plain; version=0.0.4; charset=utf-8", buf_span(&text));
    buf_free(&text);
}

/* The master and this process run: nothing is said of the database. */
static void on_alive(struct evhttp_request *req, void *arg)
{
    (void)arg;
    answer(req, HTTP_OK, "OK", "text/plain", SPAN_OF("alive\n"));
}

static void on_ready(struct evhttp_request *req, void *arg)
{
    (void)arg;
    if (metrics_ready())
        answer(req, HTTP_OK, "OK", "text/plain", SPAN_OF("ready\n"));
    else
        answer(req, HTTP_SERVUNAVAIL, "Service Unavailable", "text/plain",
               SPAN_OF(
                   "not ready: no worker has both a database with the right schema and auth helpers\n"));
}

static void on_other(struct evhttp_request *req, void *arg)
{
    (void)arg;
    answer(req, HTTP_NOTFOUND, "Not Found", "text/plain", SPAN_OF("not found: use /metrics, /alive or /ready\n"));
}

/* Out of descriptors: without a rest it would be told so over and over. */
static void rested(evutil_socket_t fd, short what, void *listener)
{
    (void)fd;
    (void)what;
    evconnlistener_enable(listener);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct timeval rest = { 0, REST_MS * 1000L };

    evconnlistener_disable(listener);
    event_base_once(arg, -1, EV_TIMEOUT, rested, listener, &rest);
}

static struct evhttp *http_new(struct event_base *base)
{
    struct evhttp *http = base != NULL ? evhttp_new(base) : NULL;

    if (http == NULL)
        return NULL;
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(http, HEADERS_MAX);
    evhttp_set_max_body_size(http, 0);
    evhttp_set_timeout(http, PATIENCE_S);
    evhttp_set_cb(http, "/metrics", on_metrics, NULL);
    evhttp_set_cb(http, "/alive", on_alive, NULL);
    evhttp_set_cb(http, "/ready", on_ready, NULL);
    evhttp_set_gencb(http, on_other, NULL);
    return http;
}

static int serve(int fd)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = http_new(base);
    struct evhttp_bound_socket *bound;

    if (http == NULL)
        return EXIT_FAILURE;
    evutil_make_socket_nonblocking(fd);
    bound = evhttp_accept_socket_with_handle(http, fd);
    if (bound == NULL)
        return EXIT_FAILURE;
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(bound), on_accept_error);
    event_base_dispatch(base);
    return EXIT_FAILURE;
}

static void forget_libevent_text(int severity, const char *text)
{
    (void)severity;
    (void)text;
}

pid_t metrics_http_fork(struct config *config, int fd)
{
    pid_t parent = getpid(), pid = fork();
    struct rlimit few = { DESCRIPTORS, DESCRIPTORS };
    sigset_t none;

    if (pid != 0)
        return pid;
    process_become(&(struct process_role){
        .ident = "posternd metrics", .name = "posternd metric",
        .user = config->daemon.metrics_user[0] != '\0' ? config->daemon.metrics_user : config->daemon.user,
        .keep = &fd, .keep_count = 1, .parent_signal = SIGKILL, .parent = parent,
    });
    /* It speaks to strangers, and knows nothing that they could want. */
    config_forget_auth(config);
    config_forget_sessions(config, NEEDS_ALL);
    setrlimit(RLIMIT_NOFILE, &few);
    /* What strangers make it warn of is not for the log. */
    event_set_log_callback(forget_libevent_text);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sandbox_enter(SANDBOX_METRICS, config);
    _exit(serve(fd));
}
