/*
 * trust.h - who may connect, where a listener has a list of them: networks and users.
 */
#ifndef POSTERN_SESSION_TRUST_H
#define POSTERN_SESSION_TRUST_H

#include <stdbool.h>

struct trust;

/*
 * allow is a list of words, parted by spaces or commas: addresses ("192.0.2.1",
 * "::1"), networks ("10.0.0.0/8", "2001:db8::/32"), users of this host
 * ("user:postfix", "user:1001") for unix sockets. Without a network in it only
 * loopback addresses may connect by TCP; without a user in it the mode of the
 * socket decides. NULL with the reason in *error_r (mem_error()) if a word is
 * none of these, or its user does not exist.
 */
struct trust *trust_new(const char *allow, char **error_r);
void trust_free(struct trust **trust);

/*
 * May the one at the other end of fd deliver? What is not a socket (a pipe, a file) was handed to
 * us by who started us: yes.
 */
bool trust_allows(const struct trust *trust, int fd);
/*
 * The same of the one whom a proxy tells, "192.0.2.1:4242" as conn_peer()
 * writes it. It is nobody of this host, so only a network can let it in.
 */
bool trust_allows_peer(const struct trust *trust, const char *peer);

#endif
