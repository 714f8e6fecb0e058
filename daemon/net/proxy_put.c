/*
 * proxy_put.c - PROXY headers, made (see proxy_put.h).
 */
#include "daemon/net/proxy_put.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/network.h"
#include "daemon/base/num.h"

struct end {
    struct network_address address;
    unsigned port;
};

static bool read_end(const char *text, struct end *end_r)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;

    if (colon == NULL || !network_of_peer(text, &end_r->address) || num_parse(span_str(colon + 1), 65535, &port) != 1)
        return false;
    end_r->port = (unsigned)port;
    return true;
}

static size_t put_v1(const struct end *from, const struct end *to, bool four, char out[PROXY_PUT_MAX])
{
    char a[NETWORK_TEXT_SIZE], b[NETWORK_TEXT_SIZE];

    network_text(&from->address, 128, a);
    network_text(&to->address, 128, b);
    return (size_t)snprintf(out, PROXY_PUT_MAX, "PROXY %s %s %s %u %u\r\n", four ? "TCP4" : "TCP6", a, b, from->port,
                            to->port);
}

static void put16(char *at, unsigned n)
{
    at[0] = (char)(n >> 8);
    at[1] = (char)n;
}

static size_t put_v2(const struct end *from, const struct end *to, bool four, char out[PROXY_PUT_MAX])
{
    enum { HEAD = 16, V4_AT = 12 };
    const size_t octets = four ? 4 : 16, skip = four ? V4_AT : 0;
    char *at = out + HEAD;

    out[12] = 0x21;                         /* version 2, PROXY */
    out[13] = four ? 0x11 : 0x21;           /* TCP over IPv4, or IPv6 */
    put16(out + 14, (unsigned)(2 * octets + 4));
    memcpy(at, from->address.octets + skip, octets);
    memcpy(at + octets, to->address.octets + skip, octets);
    put16(at + 2 * octets, from->port);
    put16(at + 2 * octets + 2, to->port);
    return HEAD + 2 * octets + 4;
}

size_t proxy_put(int version, const char *peer, const char *local, char out[PROXY_PUT_MAX])
{
    static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
    struct end from, to;
    bool known = read_end(peer, &from) && read_end(local, &to);
    bool four = known && network_is_ipv4(&from.address) && network_is_ipv4(&to.address);

    /* One header has one family, and an address of IPv4 can be written as one of IPv6, but only in version 2. */
    if (version == 1 && known && !four && (network_is_ipv4(&from.address) || network_is_ipv4(&to.address)))
        known = false;
    if (version == 1)
        return known ? put_v1(&from, &to, four, out) : (size_t)snprintf(out, PROXY_PUT_MAX, "PROXY UNKNOWN\r\n");
    memcpy(out, signature, sizeof signature);
    if (known)
        return put_v2(&from, &to, four, out);
    out[12] = 0x20;                         /* LOCAL: the connection is our own */
    out[13] = 0;
    put16(out + 14, 0);
    return 16;
}
