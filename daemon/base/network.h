/*
 * network.h - addresses of clients and lists of networks. IPv4 is ::ffff:a.b.c.d
 * here, so that both families are one kind of number.
 */
#ifndef POSTERN_BASE_NETWORK_H
#define POSTERN_BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

struct network_list;

struct network_address {
    unsigned char octets[16];
};

/* As conn_peer() writes it, "192.0.2.1:4242" or "[2001:db8::1]:4242". False for what is no internet address. */
bool network_of_peer(const char *peer, struct network_address *address_r);
bool network_is_ipv4(const struct network_address *address);
/* All but the first `prefix` bits become 0 where it is IPv6; IPv4 stays as it is. */
void network_cut(struct network_address *address, unsigned prefix);
/* "192.0.2.1", or "2001:db8::/64" of one that was cut. */
enum { NETWORK_TEXT_SIZE = 52 };
void network_text(const struct network_address *address, unsigned prefix, char out[NETWORK_TEXT_SIZE]);

/*
 * Addresses and networks ("192.0.2.1", "10.0.0.0/8", "2001:db8::/32"), parted
 * by spaces or commas. NULL with the reason in *error_r (mem_error()) if a
 * word is none.
 */
struct network_list *network_list_new(const char *text, char **error_r);
void network_list_free(struct network_list **list);
bool network_list_has(const struct network_list *list, const struct network_address *address);

#endif
