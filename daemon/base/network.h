/*
 * network.h - addresses of clients and lists of networks. IPv4 is ::ffff:a.b.c.d
 * here, so that both families are one kind of number.
 */
#ifndef POSTERN_BASE_NETWORK_H
#define POSTERN_BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

struct sockaddr_storage;
struct network_list;

struct network_address {
    unsigned char octets[16];
};

/* The first `bits` of the 128 count. */
struct network {
    struct network_address address;
    unsigned bits;
};

/* Is it "192.0.2.1" or "2001:db8::1", so that no name server need be asked for it? */
bool network_is_address(const char *host);
/* As conn_peer() writes it, "192.0.2.1:4242" or "[2001:db8::1]:4242". False for what is no internet address. */
bool network_of_peer(const char *peer, struct network_address *address_r);
/* False for what is no internet address. */
bool network_of_sockaddr(const struct sockaddr_storage *from, struct network_address *address_r, unsigned *port_r);
/* The 4 or 16 octets of an address of AF_INET or AF_INET6. */
struct network_address network_of_octets(int family, const void *octets);

bool network_is_ipv4(const struct network_address *address);
bool network_is_loopback(const struct network_address *address);
/* All but the first `prefix` bits become 0 where it is IPv6; IPv4 stays as it is. */
void network_cut(struct network_address *address, unsigned prefix);
/* "192.0.2.1", or "2001:db8::/64" of one that was cut. */
enum { NETWORK_TEXT_SIZE = 52 };
void network_text(const struct network_address *address, unsigned prefix, char out[NETWORK_TEXT_SIZE]);
/* "192.0.2.1:4242" or "[2001:db8::1]:4242": what network_of_peer() reads. */
enum { NETWORK_PEER_SIZE = 64 };
void network_peer(const struct network_address *address, unsigned port, char out[NETWORK_PEER_SIZE]);

/* "192.0.2.1", "10.0.0.0/8", "2001:db8::/32". False if the word is neither an address nor a network. */
bool network_parse(struct span word, struct network *network_r);
bool network_has(const struct network *network, const struct network_address *address);

/*
 * Such words, parted by spaces or commas. NULL with the reason in *error_r
 * (mem_error()) if one is none.
 */
struct network_list *network_list_new(const char *text, char **error_r);
void network_list_free(struct network_list **list);
/* One word more. False if it is none. */
bool network_list_add(struct network_list *list, struct span word);
bool network_list_is_empty(const struct network_list *list);
bool network_list_has(const struct network_list *list, const struct network_address *address);

#endif
