/*
 * conn.h - one client's byte stream: input as it comes, output with two marks.
 *
 * Reads when the protocol is ready for more, passes on what it read, keeps what
 * was not consumed (bounded), gathers output and writes it once per turn. Input
 * and output may be one socket or two descriptors (a pipe, a file). Layers above
 * do not see whether TLS is used.
 *
 * Who owns what: the session owns the conn and ends it by conn_free() or
 * conn_finish(); the conn owns its descriptors.
 */
#ifndef POSTERN_NET_CONN_H
#define POSTERN_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "daemon/base/span.h"

struct loop;
struct conn;
struct proxy_origin;
struct tls_ctx;

enum conn_end {
    CONN_EOF,       /* the client sends no more; everything before it was consumed. It may still read */
    CONN_LOST,      /* reading or writing failed: nobody reads our answers */
    CONN_TIMEOUT,   /* no octet went either way for the time that was set */
};

/*
 * Callbacks of a protocol. `input` gets all octets that were received and not
 * consumed and returns how many it consumed, at least those of every whole
 * command, unless it paused the conn; it is not called while paused, nor with
 * nothing. It may call conn_free(), and then returns 0.
 * `drained`: the output fell under the low mark after conn_full() had said true.
 * `end` comes once; the owner then calls conn_free() or conn_finish(), at once
 * or later. After CONN_EOF it may still write. CONN_EOF is told only after all
 * input before it was consumed, so a paused conn hears of it after its resume;
 * an unfinished line at the end stays unconsumed and is dropped. If the client
 * is lost, or lets the timeout pass, after CONN_EOF was told, what is written
 * is dropped silently and `drained` comes as usual: nobody waits in vain.
 *
 * None of the three is ever called from within a call of the owner's.
 */
struct conn_protocol {
    size_t (*input)(void *owner, struct span in);
    void (*drained)(void *owner);
    void (*end)(void *owner, enum conn_end why);
    /*
     * May be NULL: then writing that failed is CONN_LOST at once, and what the
     * client sent before it went is dropped. With it, this is told instead:
     * what is queued, and all output from now on, goes nowhere, but input is
     * delivered to its end; CONN_LOST comes then. conn_octets_out() is what was
     * written. The owner may end the conn here.
     */
    void (*unheard)(void *owner);
};

enum { CONN_HIGH = 65536, CONN_LOW = 16384 };   /* octets of queued output */

/*
 * in and out may be the same descriptor; both belong to the conn from now on.
 * They may be a socket, a pipe, a terminal or a regular file (always ready).
 * Sets TCP_NODELAY on a TCP socket; a descriptor's O_NONBLOCK is put back at
 * the end, as it may be shared (ssh, a shell).
 */
struct conn *conn_new(struct loop *loop, int in, int out, const struct conn_protocol *protocol, void *owner);
/*
 * A proxy has told whose connection it is: from now on conn_peer(),
 * conn_local(), what is said of TLS and the client's identity are as it says,
 * and the client is not local, wherever the proxy is. To be called at once
 * after conn_new(); origin is copied.
 */
void conn_set_origin(struct conn *conn, const struct proxy_origin *origin);
/* From now on these callbacks are called; what one that is under way returns still counts. */
void conn_set_protocol(struct conn *conn, const struct conn_protocol *protocol, void *owner);
/* At once; what is queued is lost. */
void conn_free(struct conn **conn);
/*
 * Writes what is queued, then closes; the owner is done with it now and hears
 * no more. Closes in a way that the client can still read the last reply (what
 * the client sent meanwhile is read and thrown away, for a short time), and
 * gives up after ms milliseconds without progress. done(arg), if not NULL, is
 * called when the descriptors are closed.
 */
void conn_finish(struct conn **conn, uint64_t ms, void (*done)(void *arg), void *arg);

/* Queues; the copy is made now. */
void conn_write(struct conn *conn, const void *data, size_t len);
/* Queues without a copy: data stays valid until free_cb(arg), which is called exactly once, also if the conn ends. */
void conn_write_ref(struct conn *conn, const void *data, size_t len, void (*free_cb)(void *arg), void *arg);
/* True while more than CONN_HIGH octets are queued: stop producing and wait for `drained`. */
bool conn_full(struct conn *conn);
size_t conn_queued(const struct conn *conn);

/* No input is delivered nor read between these. Resume delivers what was kept, at the end of this turn. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);
bool conn_paused(const struct conn *conn);

/*
 * A TLS handshake begins as soon as what is queued is written; until then
 * nothing may be written, and from now on no octet in the clear is read. Only
 * with all input consumed. What is written after conn_start_tls() with nothing
 * queued waits for the end of the handshake. One that fails is CONN_LOST. ctx
 * outlives the conn.
 */
void conn_start_tls(struct conn *conn, struct tls_ctx *ctx);
/*
 * The same as the client of that connection, to a server that we have connected to: tls_out.h makes
 * ssl, which is taken. What is written meanwhile goes out when the server's certificate was verified.
 */
void conn_start_tls_to(struct conn *conn, SSL *ssl);
/*
 * "TLSv1.3", and the cipher; NULL where there is no TLS, or its handshake is not complete. Of the
 * proxy's, where there is none of ours.
 */
const char *conn_tls_version(const struct conn *conn);
const char *conn_tls_cipher(const struct conn *conn);
/* What was wrong with what the client sent, after CONN_LOST, for the log; NULL where it simply went. */
const char *conn_tls_error(const struct conn *conn);

/*
 * What ties a login to this very TLS connection, so that it cannot be passed on
 * over another one: RFC 9266 and RFC 5929 section 3. out has room for
 * CONN_BINDING_MAX octets. Returns how many; 0 where there is none: without TLS,
 * before the end of its handshake, and below TLS 1.3 where the client has no
 * extended master secret (RFC 7627), as then two connections may have the same;
 * tls-unique is not defined for TLS 1.3.
 */
enum conn_binding { CONN_TLS_EXPORTER, CONN_TLS_UNIQUE };
enum { CONN_BINDING_MAX = 64 };
size_t conn_channel_binding(const struct conn *conn, enum conn_binding type, unsigned char out[CONN_BINDING_MAX]);

/* CONN_TIMEOUT after ms without an octet read or written; 0 is never. Costs nothing per octet. */
void conn_set_timeout(struct conn *conn, uint64_t ms);

/* Milliseconds in which the client said nothing and took nothing, as far as we and the kernel know. */
uint64_t conn_silent(const struct conn *conn);
/*
 * Of one that was silent for long: does the kernel know that nobody is there any
 * more? Where it does not it asks now, so some seconds later it does. False
 * where that cannot be known.
 */
bool conn_vanished(const struct conn *conn);

/* The address that the client's certificate proves (TLS, verified), or NULL. Owned by the conn. */
const char *conn_client_identity(const struct conn *conn);

/*
 * "192.0.2.1:4242", "[2001:db8::1]:4242", "unix", or "stdin" and "stdout": of the client, and of
 * our side. Owned by the conn.
 */
const char *conn_peer(const struct conn *conn);
const char *conn_local(struct conn *conn);
/* Nobody can listen in between: loopback, a unix socket, a pipe, a terminal or a file. */
bool conn_is_local(const struct conn *conn);
uint64_t conn_octets_in(const struct conn *conn);
uint64_t conn_octets_out(const struct conn *conn);

#endif
