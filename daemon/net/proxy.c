/*
 * proxy.c - parses PROXY headers. Every octet is a stranger's: the proxy is
 * trusted for what it says, not for how well it says it. Never reads behind the
 * header, where the client's own octets begin.
 */
#include "daemon/net/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/base/num.h"

enum {
    V1_MAX = 107,           /* section 2.1: a line with its CRLF */
    V2_HEAD = 16,
    TLV_HEAD = 3,
    TLV_SSL = 0x20, SSL_VERSION = 0x21, SSL_CN = 0x22, SSL_CIPHER = 0x23,
    CLIENT_SSL = 1, CLIENT_CERT = 2 | 4,    /* with this connection, or with the session that it resumes */
    SSL_HEAD = 5,
};

static int wrong(const char **wrong_r, const char *text)
{
    *wrong_r = text;
    return -1;
}

static void name_address(int family, const void *octets, unsigned port, char out[NETWORK_PEER_SIZE])
{
    struct network_address address = network_of_octets(family, octets);

    network_peer(&address, port, out);
}

/* --- version 1: a line of text (section 2.1) --- */

/* The next word, and the one blank or the end behind it. */
static bool next_word(struct span *line, struct span *word_r)
{
    const char *blank = memchr(line->at, ' ', line->len);

    word_r->at = line->at;
    word_r->len = blank != NULL ? (size_t)(blank - line->at) : line->len;
    line->at += word_r->len + (blank != NULL);
    line->len -= word_r->len + (blank != NULL);
    return word_r->len > 0;
}

static bool v1_address(struct span word, int family, unsigned char out[16])
{
    char text[INET6_ADDRSTRLEN];

    if (word.len >= sizeof text)
        return false;
    memcpy(text, word.at, word.len);
    text[word.len] = '\0';
    return inet_pton(family, text, out) == 1;
}

static bool v1_port(struct span word, uint64_t *port_r)
{
    return num_parse(word, 65535, port_r) == 1 && (word.len == 1 || word.at[0] != '0');
}

static bool v1_addresses(struct span line, int family, struct proxy_origin *o)
{
    struct span source, destination, source_port, destination_port;
    unsigned char from[16], to[16];
    uint64_t from_port, to_port;

    if (!next_word(&line, &source) || !next_word(&line, &destination) || !next_word(&line, &source_port) ||
        !next_word(&line, &destination_port) || line.len > 0 || destination_port.at[destination_port.len] != '\r')
        return false;
    if (!v1_address(source, family, from) || !v1_address(destination, family, to) ||
        !v1_port(source_port, &from_port) || !v1_port(destination_port, &to_port))
        return false;
    name_address(family, from, (unsigned)from_port, o->peer);
    name_address(family, to, (unsigned)to_port, o->local);
    o->known = true;
    return true;
}

static int parse_v1(struct span in, struct proxy_origin *o, const char **wrong_r)
{
    const char *end = memchr(in.at, '\n', in.len < V1_MAX ? in.len : V1_MAX);
    struct span line, family;

    if (end == NULL)
        return in.len < V1_MAX ? 0 : wrong(wrong_r, "the version 1 header has no end");
    if (end == in.at || end[-1] != '\r')
        return wrong(wrong_r, "the version 1 header does not end in CRLF");
    line = (struct span){ in.at + 6, (size_t)(end - in.at) - 7 };
    next_word(&line, &family);
    /* What follows UNKNOWN is passed over. */
    if (span_is(family, SPAN_OF("UNKNOWN")))
        return (int)(end - in.at) + 1;
    if ((span_is(family, SPAN_OF("TCP4")) && v1_addresses(line, AF_INET, o)) ||
        (span_is(family, SPAN_OF("TCP6")) && v1_addresses(line, AF_INET6, o)))
        return (int)(end - in.at) + 1;
    return wrong(wrong_r, "the version 1 header is malformed");
}

/* --- version 2: binary (section 2.2) --- */

static unsigned get16(const char *at)
{
    return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

/* False for what does not belong into a log: it stays empty. */
static void take_text(struct span value, char *out, size_t size)
{
    if (value.len >= size)
        return;
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] <= ' ' || value.at[i] > '~' || value.at[i] == '"' || value.at[i] == '\\')
            return;
    }
    memcpy(out, value.at, value.len);
    out[value.len] = '\0';
}

/* The next type-length-value. False if what is left is none. */
static bool next_tlv(struct span *rest, unsigned char *type_r, struct span *value_r)
{
    if (rest->len < TLV_HEAD)
        return false;
    *type_r = (unsigned char)rest->at[0];
    *value_r = (struct span){ rest->at + TLV_HEAD, get16(rest->at + 1) };
    if (value_r->len > rest->len - TLV_HEAD)
        return false;
    rest->at += TLV_HEAD + value_r->len;
    rest->len -= TLV_HEAD + value_r->len;
    return true;
}

/* Section 2.2.6. */
static bool read_ssl(struct span value, struct proxy_origin *o)
{
    static const char verified[4] = { 0, 0, 0, 0 };
    unsigned client;
    bool certified;

    if (value.len < SSL_HEAD)
        return false;
    client = (unsigned char)value.at[0];
    certified = (client & CLIENT_CERT) != 0 && memcmp(value.at + 1, verified, sizeof verified) == 0;
    o->tls = (client & CLIENT_SSL) != 0;
    value.at += SSL_HEAD;
    value.len -= SSL_HEAD;
    while (value.len > 0) {
        unsigned char type;
        struct span text;

        if (!next_tlv(&value, &type, &text))
            return false;
        if (type == SSL_VERSION)
            take_text(text, o->tls_version, sizeof o->tls_version);
        else if (type == SSL_CIPHER)
            take_text(text, o->tls_cipher, sizeof o->tls_cipher);
        else if (type == SSL_CN && certified)
            take_text(text, o->client_name, sizeof o->client_name);
    }
    return true;
}

static bool read_tlvs(struct span rest, struct proxy_origin *o)
{
    while (rest.len > 0) {
        unsigned char type;
        struct span value;

        if (!next_tlv(&rest, &type, &value) || (type == TLV_SSL && !read_ssl(value, o)))
            return false;
    }
    return true;
}

/* Octets of both ends, by the octet that tells family and protocol; -1: not for a stream, or nothing that there is. */
static int addresses_size(unsigned family)
{
    switch (family) {
    case 0x00: return 0;        /* unknown to the proxy */
    case 0x11: return 12;
    case 0x21: return 36;
    case 0x31: return 216;      /* unix sockets */
    default: return -1;
    }
}

static void read_addresses(unsigned family, const char *at, struct proxy_origin *o)
{
    size_t len = family == 0x11 ? 4 : 16;
    int af = family == 0x11 ? AF_INET : AF_INET6;

    o->known = true;
    if (family == 0x31) {
        snprintf(o->peer, sizeof o->peer, "unix");
        snprintf(o->local, sizeof o->local, "unix");
        return;
    }
    name_address(af, at, get16(at + 2 * len), o->peer);
    name_address(af, at + len, get16(at + 2 * len + 2), o->local);
}

static int parse_v2(struct span in, struct proxy_origin *o, const char **wrong_r)
{
    unsigned command, family;
    size_t len;
    int size;

    if (in.len < V2_HEAD)
        return 0;
    command = (unsigned char)in.at[12];
    family = (unsigned char)in.at[13];
    len = get16(in.at + 14);
    if (command != 0x20 && command != 0x21)
        return wrong(wrong_r, "the header has an unknown version or command");
    if (len > PROXY_MAX - V2_HEAD)
        return wrong(wrong_r, "the header is too long");
    if (in.len < V2_HEAD + len)
        return 0;
    /* LOCAL, a health check: whatever follows does not matter. */
    if (command == 0x20)
        return (int)(V2_HEAD + len);
    size = addresses_size(family);
    if (size < 0)
        return wrong(wrong_r, "the header has an unknown address family");
    if ((size_t)size > len)
        return wrong(wrong_r, "the header is shorter than its addresses");
    if (size > 0)
        read_addresses(family, in.at + V2_HEAD, o);
    if (!read_tlvs((struct span){ in.at + V2_HEAD + size, len - (size_t)size }, o))
        return wrong(wrong_r, "the header is malformed after its addresses");
    return (int)(V2_HEAD + len);
}

/* Does it begin like this, as far as it goes? */
static bool begins(struct span in, struct span with)
{
    return memcmp(in.at, with.at, in.len < with.len ? in.len : with.len) == 0;
}

int proxy_parse(struct span in, struct proxy_origin *origin_r, const char **wrong_r)
{
    static const char v1[] = "PROXY ", v2[] = "\r\n\r\n\0\r\nQUIT\n";
    struct proxy_origin origin = { .known = false };
    int len = 0;

    if (in.len == 0)
        return 0;
    if (begins(in, SPAN_OF(v1)))
        len = in.len < sizeof v1 ? 0 : parse_v1(in, &origin, wrong_r);
    else if (begins(in, SPAN_OF(v2)))
        len = parse_v2(in, &origin, wrong_r);
    else
        return wrong(wrong_r, "no PROXY header");
    if (len > 0)
        *origin_r = origin;
    return len;
}
