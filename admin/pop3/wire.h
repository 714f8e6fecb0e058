/*
 * wire.h - a connection to a server, with or without TLS, for a program that may wait: octets and
 * lines, each wait bounded. Knows no protocol.
 */
#ifndef POSTERN_ADMIN_POP3_WIRE_H
#define POSTERN_ADMIN_POP3_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

/* A line of a reply: RFC 2449 section 4 has 512 octets, and some servers more. */
enum { WIRE_LINE_MAX = 8192 };

struct wire_how {
    const char *host, *port;
    unsigned timeout;           /* seconds for each wait: for a connection, for an answer or 1 KB of it, for room */
    const char *ca_file;        /* PEM file of authorities; NULL: those of the system */
    bool untrusted;             /* any certificate will do, and any version of TLS */
    bool (*stop)(void *arg);    /* asked before each wait, and when a signal has ended it: true gives up; may be NULL */
    void *arg;
};

struct wire;

/* What is lent must live as long. Not connected. */
struct wire *wire_new(const struct wire_how *how);
void wire_free(struct wire **wire);

/* False with wire_error(), here and below: then there is nothing but wire_free(). */
bool wire_connect(struct wire *wire);
/* A handshake; the certificate is that of the host (RFC 6125). What came before it is refused. */
bool wire_start_tls(struct wire *wire);
/* Why the certificate would not do, with `untrusted` (lent); NULL: it would. */
const char *wire_distrust(const struct wire *wire);

bool wire_send(struct wire *wire, struct span octets);
/*
 * The next line, without its end, lent until the next call that reads. *lf_alone_r: that was no CRLF; may be NULL.
 * One longer than WIRE_LINE_MAX is a failure.
 */
bool wire_line(struct wire *wire, struct span *line_r, bool *lf_alone_r);
/* What has come, one octet at least; lent until the next call. wire_take() says how much of it is done with. */
bool wire_octets(struct wire *wire, struct span *octets_r);
void wire_take(struct wire *wire, size_t octets);

/* In words: "no answer for 60 seconds"; lent. */
const char *wire_error(const struct wire *wire);
/* It was `stop` that has ended it. */
bool wire_stopped(const struct wire *wire);
/* The handshake has failed, or the name of the host is unknown: there is no use in trying again. */
bool wire_hopeless(const struct wire *wire);

#endif
