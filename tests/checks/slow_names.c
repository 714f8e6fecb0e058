/*
 * slow_names.c - preloaded: a name service that has stopped to answer. A host
 * below .slow.test is 127.0.0.1, found after a minute while the file that
 * SLOW_NAMES names is there, and at once when it is not. two.slow.test is also 127.0.0.2.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    const char *file = getenv("SLOW_NAMES");

    if (node == NULL || strstr(node, ".slow.test") == NULL)
        return real(node, service, hints, found);
    for (int s = 0; s < 60 && file != NULL && access(file, F_OK) == 0; s++)
        sleep(1);
    int result = real("127.0.0.1", service, hints, found);
    if (result == 0 && strcmp(node, "two.slow.test") == 0) {
        struct addrinfo *last = *found;
        while (last->ai_next != NULL)
            last = last->ai_next;
        result = real("127.0.0.2", service, hints, &last->ai_next);
    }
    return result;
}
