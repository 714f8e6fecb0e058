/*
 * network.c - addresses of clients and lists of networks. Pure: asks nobody.
 */
#include "daemon/base/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/list.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/base/span.h"

struct network {
    struct network_address address;
    unsigned bits;
};

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

bool network_of_peer(const char *peer, struct network_address *address_r)
{
    const char *end = peer[0] == '[' ? strchr(peer, ']') : strrchr(peer, ':');
    const char *begin = peer[0] == '[' ? peer + 1 : peer;
    unsigned most;

    return end != NULL && parse_address((struct span){ begin, (size_t)(end - begin) }, address_r, &most);
}

bool network_is_ipv4(const struct network_address *a)
{
    return memcmp(a->octets, mapped, sizeof mapped) == 0;
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

static bool parse_network(struct span word, struct network *out)
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

struct network_list *network_list_new(const char *text, char **error_r)
{
    struct network_list *list = mem_zalloc(sizeof *list);
    struct span rest = span_str(text), word;

    while (list_next(&rest, &word)) {
        list->networks = mem_resize(list->networks, list->count + 1, sizeof list->networks[0]);
        if (!parse_network(word, &list->networks[list->count])) {
            mem_error(error_r, "\"%.*s\" is not an address or a network", (int)word.len, word.at);
            network_list_free(&list);
            return NULL;
        }
        list->count++;
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

static bool in_network(const struct network_address *a, const struct network *n)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(a->octets, n->address.octets, whole) != 0)
        return false;
    return rest == 0 || ((a->octets[whole] ^ n->address.octets[whole]) & (0xFF00u >> rest & 0xFFu)) == 0;
}

bool network_list_has(const struct network_list *list, const struct network_address *a)
{
    for (size_t i = 0; i < list->count; i++)
        if (in_network(a, &list->networks[i]))
            return true;
    return false;
}
