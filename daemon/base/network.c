/*
 * network.c - addresses of clients and lists of networks. Pure: asks nobody.
 */
#include "daemon/base/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/list.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"

struct network_list {
    struct network *networks;
    size_t count;
};

static const unsigned char mapped[12] = { [10] = 0xFF, [11] = 0xFF };

/* *most_r: how many bits it has in its own family. */
static bool parse_address(struct span word, struct network_address *out, unsigned *most_r)
{
    char text[INET6_ADDRSTRLEN + 1];

    if (word.len >= sizeof text)
        return false;
    memcpy(text, word.at, word.len);
    text[word.len] = '\0';
    *most_r = 32;
    memcpy(out->octets, mapped, sizeof mapped);
    if (inet_pton(AF_INET, text, out->octets + sizeof mapped) == 1)
        return true;
    *most_r = 128;
    return inet_pton(AF_INET6, text, out->octets) == 1;
}

bool network_is_address(const char *host)
{
    struct network_address any;
    unsigned most;

    return parse_address(span_str(host), &any, &most);
}

bool network_of_peer(const char *peer, struct network_address *address_r)
{
    const char *end = peer[0] == '[' ? strchr(peer, ']') : strrchr(peer, ':');
    const char *begin = peer[0] == '[' ? peer + 1 : peer;
    unsigned most;

    return end != NULL && parse_address((struct span){ begin, (size_t)(end - begin) }, address_r, &most);
}

struct network_address network_of_octets(int family, const void *octets)
{
    struct network_address a;

    if (family == AF_INET) {
        memcpy(a.octets, mapped, sizeof mapped);
        memcpy(a.octets + sizeof mapped, octets, 4);
    } else {
        memcpy(a.octets, octets, sizeof a.octets);
    }
    return a;
}

bool network_of_sockaddr(const struct sockaddr_storage *from, struct network_address *address_r, unsigned *port_r)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;

    if (from->ss_family != AF_INET && from->ss_family != AF_INET6)
        return false;
    *address_r = from->ss_family == AF_INET ? network_of_octets(AF_INET, &in->sin_addr)
                                            : network_of_octets(AF_INET6, &in6->sin6_addr);
    *port_r = ntohs(from->ss_family == AF_INET ? in->sin_port : in6->sin6_port);
    return true;
}

bool network_is_ipv4(const struct network_address *a)
{
    return memcmp(a->octets, mapped, sizeof mapped) == 0;
}

bool network_is_loopback(const struct network_address *a)
{
    static const struct network_address ipv6 = { { [15] = 1 } };

    return network_is_ipv4(a) ? a->octets[sizeof mapped] == 127 : memcmp(a, &ipv6, sizeof ipv6) == 0;
}

void network_cut(struct network_address *a, unsigned prefix)
{
    if (network_is_ipv4(a))
        return;
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = prefix > 8 * i ? prefix - 8 * i : 0;
        if (keep < 8)
            a->octets[i] &= (unsigned char)(0xFF00u >> keep);
    }
}

void network_text(const struct network_address *a, unsigned prefix, char out[NETWORK_TEXT_SIZE])
{
    if (network_is_ipv4(a)) {
        inet_ntop(AF_INET, a->octets + sizeof mapped, out, NETWORK_TEXT_SIZE);
        return;
    }
    inet_ntop(AF_INET6, a->octets, out, NETWORK_TEXT_SIZE);
    if (prefix < 128)
        snprintf(out + strlen(out), NETWORK_TEXT_SIZE - strlen(out), "/%u", prefix);
}

void network_peer(const struct network_address *a, unsigned port, char out[NETWORK_PEER_SIZE])
{
    char host[NETWORK_TEXT_SIZE];

    network_text(a, 128, host);
    snprintf(out, NETWORK_PEER_SIZE, network_is_ipv4(a) ? "%s:%u" : "[%s]:%u", host, port);
}

bool network_parse(struct span word, struct network *out)
{
    const char *slash = memchr(word.at, '/', word.len);
    struct span address = { word.at, slash != NULL ? (size_t)(slash - word.at) : word.len };
    uint64_t bits;
    unsigned most;

    if (!parse_address(address, &out->address, &most))
        return false;
    out->bits = 128;
    if (slash == NULL)
        return true;
    if (num_parse((struct span){ slash + 1, word.len - address.len - 1 }, most, &bits) != 1)
        return false;
    out->bits = (unsigned)bits + 128 - most;
    return true;
}

bool network_has(const struct network *n, const struct network_address *a)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(a->octets, n->address.octets, whole) != 0)
        return false;
    return rest == 0 || ((a->octets[whole] ^ n->address.octets[whole]) & (0xFF00u >> rest & 0xFFu)) == 0;
}

struct network_list *network_list_new(const char *text, char **error_r)
{
    struct network_list *list = mem_zalloc(sizeof *list);
    struct span rest = span_str(text), word;

    while (list_next(&rest, &word)) {
        if (!network_list_add(list, word)) {
            mem_error(error_r, "\"%.*s\" is not an address or a network", (int)word.len, word.at);
            network_list_free(&list);
            return NULL;
        }
    }
    return list;
}

void network_list_free(struct network_list **list)
{
    if (*list == NULL)
        return;
    mem_free((*list)->networks);
    mem_free(*list);
    *list = NULL;
}

bool network_list_add(struct network_list *list, struct span word)
{
    struct network network;

    if (!network_parse(word, &network))
        return false;
    list->networks = mem_resize(list->networks, list->count + 1, sizeof list->networks[0]);
    list->networks[list->count++] = network;
    return true;
}

bool network_list_is_empty(const struct network_list *list)
{
    return list->count == 0;
}

bool network_list_has(const struct network_list *list, const struct network_address *a)
{
    for (size_t i = 0; i < list->count; i++)
        if (network_has(&list->networks[i], a))
            return true;
    return false;
}
