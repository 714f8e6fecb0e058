/*
 * trust.c - who may deliver.
 */
#include "daemon/lmtp/trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/list.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"
#include "daemon/base/num.h"

struct network {
    unsigned char address[16];  /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
};

struct trust {
    struct network *networks;
    size_t network_count;
    uid_t *users;
    size_t user_count;
};

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF };

static bool parse_network(struct span word, struct network *network_r)
{
    char text[INET6_ADDRSTRLEN + 1];
    const char *slash = memchr(word.at, '/', word.len);
    size_t len = slash != NULL ? (size_t)(slash - word.at) : word.len;
    unsigned extra = 0, most = 128;
    uint64_t bits;

    if (len >= sizeof text)
        return false;
    memcpy(text, word.at, len);
    text[len] = '\0';
    if (inet_pton(AF_INET, text, network_r->address + 12) == 1) {
        memcpy(network_r->address, mapped, sizeof mapped);
        extra = 96;
        most = 32;
    } else if (inet_pton(AF_INET6, text, network_r->address) != 1) {
        return false;
    }
    network_r->bits = 128;
    if (slash == NULL)
        return true;
    if (num_parse((struct span){ slash + 1, word.len - len - 1 }, most, &bits) != 1)
        return false;
    network_r->bits = (unsigned)bits + extra;
    return true;
}

/* 1; 0 there is no such user. */
static int parse_user(struct span word, uid_t *user_r)
{
    uint64_t number;

    if (num_parse(word, UINT32_MAX - 1, &number) == 1) {
        *user_r = (uid_t)number;
        return 1;
    }
    char *name = mem_strn(word.at, word.len);
    const struct passwd *pw = getpwnam(name);
    if (pw != NULL)
        *user_r = pw->pw_uid;
    mem_free(name);
    return pw != NULL;
}

struct trust *trust_new(const char *allow, char **error_r)
{
    struct trust *trust = mem_zalloc(sizeof *trust);
    static const struct span user = { "user:", 5 };

    mem_drop(error_r);
    struct span rest = span_str(allow), word;
    while (*error_r == NULL && list_next(&rest, &word)) {
        if (word.len > user.len && strncmp(word.at, user.at, user.len) == 0) {
            trust->users = mem_resize(trust->users, trust->user_count + 1, sizeof trust->users[0]);
            if (parse_user((struct span){ word.at + user.len, word.len - user.len },
                           &trust->users[trust->user_count]) == 1)
                trust->user_count++;
            else
                mem_error(error_r, "\"%.*s\" is not a user of this host", (int)word.len, word.at);
        } else {
            trust->networks = mem_resize(trust->networks, trust->network_count + 1, sizeof trust->networks[0]);
            if (parse_network(word, &trust->networks[trust->network_count]))
                trust->network_count++;
            else
                mem_error(error_r, "\"%.*s\" is not an address, a network or user:NAME", (int)word.len, word.at);
        }
    }
    if (*error_r != NULL)
        trust_free(&trust);
    return trust;
}

void trust_free(struct trust **trust)
{
    if (*trust != NULL) {
        mem_free((*trust)->networks);
        mem_free((*trust)->users);
    }
    mem_free(*trust);
    *trust = NULL;
}

static bool in_network(const unsigned char address[16], const struct network *n)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(address, n->address, whole) != 0)
        return false;
    return rest == 0 || ((address[whole] ^ n->address[whole]) & (0xFF00u >> rest & 0xFFu)) == 0;
}

static bool allows_address(const struct trust *trust, const unsigned char address[16])
{
    static const struct network loopback[] = {
        { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 127 }, 104 },
        { { [15] = 1 }, 128 },
    };
    const struct network *networks = trust->network_count > 0 ? trust->networks : loopback;
    size_t count = trust->network_count > 0 ? trust->network_count : sizeof loopback / sizeof loopback[0];

    for (size_t i = 0; i < count; i++)
        if (in_network(address, &networks[i]))
            return true;
    return false;
}

bool trust_allows_peer(const struct trust *trust, const char *peer)
{
    struct network_address address;

    return trust->network_count > 0 && network_of_peer(peer, &address) && allows_address(trust, address.octets);
}

bool trust_allows(const struct trust *trust, int fd)
{
    struct sockaddr_storage peer = { 0 };
    socklen_t len = sizeof peer;
    unsigned char address[16];

    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return errno == ENOTSOCK;
    if (peer.ss_family == AF_INET) {
        memcpy(address, mapped, sizeof mapped);
        memcpy(address + 12, &((const struct sockaddr_in *)(const void *)&peer)->sin_addr, 4);
        return allows_address(trust, address);
    }
    if (peer.ss_family == AF_INET6) {
        memcpy(address, &((const struct sockaddr_in6 *)(const void *)&peer)->sin6_addr, 16);
        return allows_address(trust, address);
    }
    struct ucred ucred;
    len = sizeof ucred;
    if (trust->user_count == 0)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len) != 0)
        return false;
    for (size_t i = 0; i < trust->user_count; i++)
        if (trust->users[i] == ucred.uid)
            return true;
    return false;
}
