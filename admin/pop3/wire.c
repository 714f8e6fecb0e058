/*
 * wire.c - a connection to a server, with or without TLS, for a program that may wait.
 *
 * The socket does not block; each wait is a poll() with a deadline. Must never hand out what
 * came in plain text before a handshake as if it had come through TLS.
 */
#include "admin/pop3/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/clock.h"
#include "daemon/base/mem.h"

enum {
    READ_OCTETS = 64 * 1024,
    PACE = 1024,            /* octets that come within how.timeout at least, where an answer is longer */
};

struct wire {
    struct wire_how how;
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    struct buf in;
    size_t lent;            /* octets in front of it that the last wire_line() gave: they go with the next call */
    uint64_t waited;        /* ms for an answer, since the last command or the last PACE octets */
    size_t came;            /* in that time */
    char *error;
    const char *distrust;
    bool stopped, hopeless;
};

struct wire *wire_new(const struct wire_how *how)
{
    struct wire *w = mem_zalloc(sizeof *w);

    w->how = *how;
    w->fd = -1;
    /* OpenSSL writes without MSG_NOSIGNAL. */
    signal(SIGPIPE, SIG_IGN);
    return w;
}

void wire_free(struct wire **wire)
{
    struct wire *w = *wire;

    SSL_free(w->ssl);
    SSL_CTX_free(w->ctx);
    if (w->fd >= 0)
        close(w->fd);
    buf_wipe(&w->in);
    mem_drop(&w->error);
    mem_free(w);
    *wire = NULL;
}

const char *wire_error(const struct wire *w) { return w->error != NULL ? w->error : "connection lost"; }
const char *wire_distrust(const struct wire *w) { return w->distrust; }
bool wire_stopped(const struct wire *w) { return w->stopped; }
bool wire_hopeless(const struct wire *w) { return w->hopeless; }

/* ------------------------------------------------------------------ waiting */

static uint64_t deadline(const struct wire *w) { return clock_ms() + w->how.timeout * (uint64_t)1000; }

static bool wait_for(struct wire *w, int fd, short events, uint64_t until)
{
    struct pollfd p = { .fd = fd, .events = events };

    for (;;) {
        int left = clock_left(until), got;

        w->stopped = w->how.stop != NULL && w->how.stop(w->how.arg);
        if (w->stopped) {
            mem_error(&w->error, "interrupted");
            return false;
        }
        got = left > 0 ? poll(&p, 1, left) : 0;
        if (got > 0)
            return true;
        if (got < 0 && errno != EINTR) {
            mem_error(&w->error, "could not wait: %s", strerror(errno));
            return false;
        }
        if (got == 0 && clock_left(until) == 0) {
            mem_error(&w->error, w->came > 0 ? "less than 1 KB of an answer in %u seconds" : "no answer for %u seconds",
                      w->how.timeout);
            return false;
        }
    }
}

/* --------------------------------------------------------------- connecting */

static bool connect_to(struct wire *w, const struct addrinfo *to)
{
    const int one = 1;
    socklen_t len = sizeof(int);
    int error = 0;

    w->fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    if (w->fd < 0) {
        mem_error(&w->error, "%s", strerror(errno));
        return false;
    }
    if (connect(w->fd, to->ai_addr, to->ai_addrlen) != 0) {
        error = errno;
        if (error == EINPROGRESS || error == EINTR) {
            if (!wait_for(w, w->fd, POLLOUT, deadline(w)))
                return false;
            if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
                error = errno;
        }
    }
    if (error != 0)
        mem_error(&w->error, "%s", strerror(error));
    else
        setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return error == 0;
}

bool wire_connect(struct wire *w)
{
    const struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *all = NULL;
    int got = getaddrinfo(w->how.host, w->how.port, &want, &all);
    bool ok = false;

    if (got != 0) {
        w->hopeless = got != EAI_AGAIN;
        mem_error(&w->error, "%s", got == EAI_SYSTEM ? strerror(errno) : gai_strerror(got));
        return false;
    }
    for (const struct addrinfo *a = all; a != NULL && !ok && !w->stopped; a = a->ai_next) {
        if (w->fd >= 0)
            close(w->fd);
        ok = connect_to(w, a);
    }
    freeaddrinfo(all);
    if (ok)
        mem_drop(&w->error);
    return ok;
}

/* ---------------------------------------------------------------------- TLS */

static bool is_address(const char *host)
{
    unsigned char room[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

static const char *ssl_words(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_error());

    return words != NULL ? words : "TLS failed";
}

static bool set_up_tls(struct wire *w)
{
    const bool address = is_address(w->how.host);
    bool ok;

    ERR_clear_error();
    w->ctx = SSL_CTX_new(TLS_client_method());
    ok = w->ctx != NULL;
    if (ok && w->how.ca_file != NULL && SSL_CTX_load_verify_locations(w->ctx, w->how.ca_file, NULL) != 1) {
        mem_error(&w->error, "could not read the authorities in %s: %s", w->how.ca_file, ssl_words());
        return false;
    }
    ok = ok && (w->how.ca_file != NULL || SSL_CTX_set_default_verify_paths(w->ctx) == 1) &&
         SSL_CTX_set_min_proto_version(w->ctx, w->how.untrusted ? TLS1_VERSION : TLS1_2_VERSION) == 1;
    if (ok && w->how.untrusted)
        ok = SSL_CTX_set_cipher_list(w->ctx, "DEFAULT@SECLEVEL=0") == 1;
    w->ssl = ok ? SSL_new(w->ctx) : NULL;
    ok = w->ssl != NULL && SSL_set_fd(w->ssl, w->fd) == 1;
    if (ok && address)
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(w->ssl), w->how.host) == 1;
    else if (ok)
        ok = SSL_set1_host(w->ssl, w->how.host) == 1 && SSL_set_tlsext_host_name(w->ssl, w->how.host) == 1;
    if (!ok)
        mem_error(&w->error, "could not prepare TLS: %s", ssl_words());
    else
        SSL_set_verify(w->ssl, w->how.untrusted ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return ok;
}

/* After a call that returned `got`, not above zero: true, the same once more. */
static bool ssl_again(struct wire *w, int got, uint64_t until)
{
    const int why = SSL_get_error(w->ssl, got), error = errno;

    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return wait_for(w, w->fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until);
    if (why == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        mem_error(&w->error, "the server closed the connection");
    else if (why == SSL_ERROR_SSL)
        mem_error(&w->error, "TLS: %s", ssl_words());
    else if (why == SSL_ERROR_SYSCALL && error != 0)
        mem_error(&w->error, "%s", strerror(error));
    else
        mem_error(&w->error, "the server closed the connection");
    return false;
}

static void take_back(struct wire *w)
{
    buf_consume(&w->in, w->lent);
    w->lent = 0;
}

bool wire_start_tls(struct wire *w)
{
    const uint64_t until = deadline(w);
    long result;
    int got;

    take_back(w);
    if (buf_left(&w->in) > 0) {
        mem_error(&w->error, "the server, or somebody on the way, sent data in front of TLS");
        w->hopeless = true;
        return false;
    }
    if (!set_up_tls(w)) {
        w->hopeless = true;
        return false;
    }
    do {
        ERR_clear_error();
        errno = 0;
        got = SSL_connect(w->ssl);
    } while (got <= 0 && ssl_again(w, got, until));
    result = SSL_get_verify_result(w->ssl);
    if (got <= 0) {
        w->hopeless = ERR_peek_error() != 0 &&
                      ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING;
        if (result != X509_V_OK && !w->how.untrusted)
            mem_error(&w->error, "its certificate cannot be trusted: %s; see --tls-ca and --accept",
                      X509_verify_cert_error_string(result));
        return false;
    }
    w->distrust = result != X509_V_OK ? X509_verify_cert_error_string(result) : NULL;
    return true;
}

/* ------------------------------------------------------------------- octets */

bool wire_send(struct wire *w, struct span octets)
{
    const uint64_t until = deadline(w);

    w->waited = w->came = 0;
    while (octets.len > 0) {
        size_t done = 0;

        if (w->ssl != NULL) {
            int got;

            ERR_clear_error();
            errno = 0;
            got = SSL_write_ex(w->ssl, octets.at, octets.len, &done);
            if (got != 1 && !ssl_again(w, got, until))
                return false;
        } else {
            ssize_t n = send(w->fd, octets.at, octets.len, MSG_NOSIGNAL);

            if (n < 0 && errno != EAGAIN && errno != EINTR) {
                mem_error(&w->error, "%s", strerror(errno));
                return false;
            }
            if (n < 0 && !wait_for(w, w->fd, POLLOUT, until))
                return false;
            done = n > 0 ? (size_t)n : 0;
        }
        octets = (struct span){ octets.at + done, octets.len - done };
    }
    return true;
}

/* A server that sends an octet now and then would keep us for ever. */
static void note_pace(struct wire *w, uint64_t began, size_t octets)
{
    w->waited += clock_ms() - began;
    w->came += octets;
    if (w->came >= PACE)
        w->waited = w->came = 0;
}

/* More of what comes, behind what there is. */
static bool read_more(struct wire *w)
{
    const uint64_t began = clock_ms(), patience = w->how.timeout * (uint64_t)1000;
    const uint64_t until = began + (w->waited < patience ? patience - w->waited : 0);
    char *room = buf_reserve(&w->in, READ_OCTETS);

    for (;;) {
        size_t done = 0;

        if (w->ssl != NULL) {
            int got;

            ERR_clear_error();
            errno = 0;
            got = SSL_read_ex(w->ssl, room, READ_OCTETS, &done);
            if (got != 1 && !ssl_again(w, got, until))
                return false;
        } else {
            ssize_t n = recv(w->fd, room, READ_OCTETS, 0);

            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                mem_error(&w->error, "%s", n == 0 ? "the server closed the connection" : strerror(errno));
                return false;
            }
            if (n < 0 && !wait_for(w, w->fd, POLLIN, until))
                return false;
            done = n > 0 ? (size_t)n : 0;
        }
        if (done > 0) {
            buf_commit(&w->in, done);
            note_pace(w, began, done);
            return true;
        }
    }
}

bool wire_line(struct wire *w, struct span *line_r, bool *lf_alone_r)
{
    size_t looked = 0;

    take_back(w);
    for (;;) {
        struct span in = buf_span(&w->in);
        const char *lf = in.len > looked ? memchr(in.at + looked, '\n', in.len - looked) : NULL;
        size_t len = lf != NULL ? (size_t)(lf - in.at) : in.len;

        if (len > WIRE_LINE_MAX) {
            mem_error(&w->error, "the server sent a line longer than %d octets", WIRE_LINE_MAX);
            return false;
        }
        if (lf != NULL) {
            const bool cr = len > 0 && in.at[len - 1] == '\r';

            w->lent = len + 1;
            *line_r = (struct span){ in.at, len - cr };
            if (lf_alone_r != NULL)
                *lf_alone_r = !cr;
            return true;
        }
        looked = in.len;
        if (!read_more(w))
            return false;
    }
}

bool wire_octets(struct wire *w, struct span *octets_r)
{
    take_back(w);
    if (buf_left(&w->in) == 0 && !read_more(w))
        return false;
    *octets_r = buf_span(&w->in);
    return true;
}

void wire_take(struct wire *w, size_t octets) { buf_consume(&w->in, octets); }
