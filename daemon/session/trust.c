/*
 * trust.c - who may connect.
 */
#include "daemon/session/trust.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/list.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"
#include "daemon/base/num.h"

struct trust {
    struct network_list *networks;
    uid_t *users;
    size_t user_count;
};

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

    trust->networks = network_list_new("", error_r);
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
        } else if (!network_list_add(trust->networks, word)) {
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
        network_list_free(&(*trust)->networks);
        mem_free((*trust)->users);
    }
    mem_free(*trust);
    *trust = NULL;
}

bool trust_allows_peer(const struct trust *trust, const char *peer)
{
    struct network_address address;

    return network_of_peer(peer, &address) && network_list_has(trust->networks, &address);
}

bool trust_allows(const struct trust *trust, int fd)
{
    struct sockaddr_storage peer = { 0 };
    socklen_t len = sizeof peer;
    struct network_address address;
    unsigned port;

    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return errno == ENOTSOCK;
    if (network_of_sockaddr(&peer, &address, &port))
        return network_list_is_empty(trust->networks) ? network_is_loopback(&address)
                                                      : network_list_has(trust->networks, &address);
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
