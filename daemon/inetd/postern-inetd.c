/*
 * postern-inetd.c - gives the client that it was started for to a posternd that
 * runs, or else becomes `posternd --inetd`.
 *
 * inetd starts it for each client, so it is a few system calls, and has no
 * library but C's: it reads no configuration, and nothing of the client's. What
 * it does not understand is posternd's to refuse, in the words of the protocol:
 * descriptor 2 is the client, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/net/passing.h"

enum { EXIT_NO_PROGRAM = 127 };

struct flags {
    char *file;                 /* of posternd; NULL: its own */
    const char *socket;         /* NULL: the usual one of the protocol */
    const char *protocol;
    bool tls, stay, wrong;
};

static struct flags parse(int argc, char **argv)
{
    enum { INETD = 256, SOCKET, TLS, STAY };
    static const struct option names[] = {
        { "config", required_argument, NULL, 'c' },
        { "inetd", optional_argument, NULL, INETD },
        { "socket", required_argument, NULL, SOCKET },
        { "tls", no_argument, NULL, TLS },
        { "stay", no_argument, NULL, STAY },
        { NULL, 0, NULL, 0 },
    };
    struct flags f = { .protocol = "pop3" };
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "c:", names, NULL)) != -1) {
        switch (c) {
        case 'c': f.file = optarg; break;
        case INETD: f.protocol = optarg != NULL ? optarg : "pop3"; break;
        case SOCKET: f.socket = optarg; break;
        case TLS: f.tls = true; break;
        case STAY: f.stay = true; break;
        default: f.wrong = true;
        }
    }
    f.wrong = f.wrong || optind < argc || f.protocol[0] == '\0' || strlen(f.protocol) >= PASSING_PROTOCOL_SIZE;
    return f;
}

/* posternd is where this program is. */
static bool find_posternd(char path[PATH_MAX])
{
    static const char name[] = "posternd";
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    char *end;

    if (n <= 0 || (size_t)n + sizeof name >= PATH_MAX)
        return false;
    path[n] = '\0';
    end = strrchr(path, '/') + 1;
    memcpy(end, name, sizeof name);
    return true;
}

static int become_posternd(const struct flags *f)
{
    static char name[] = "posternd", alone[] = "--alone", tls[] = "--tls", config[] = "-c", wrong[] = "--wrong";
    char path[PATH_MAX], inetd[64];
    char *argv[8];
    size_t n = 0;

    snprintf(inetd, sizeof inetd, "--inetd=%s", f->protocol);
    argv[n++] = name;
    argv[n++] = inetd;
    argv[n++] = alone;
    if (f->tls)
        argv[n++] = tls;
    if (f->file != NULL) {
        argv[n++] = config;
        argv[n++] = f->file;
    }
    /* An argument that it does not know either. */
    if (f->wrong)
        argv[n++] = wrong;
    argv[n] = NULL;
    if (find_posternd(path))
        execv(path, argv);
    return EXIT_NO_PROGRAM;
}

int main(int argc, char **argv)
{
    struct flags f = parse(argc, argv);
    char path[64];

    if (f.socket == NULL) {
        snprintf(path, sizeof path, "/run/postern/inetd-%s", f.protocol);
        f.socket = path;
    }
    /* With one of them closed, what is opened here would get its number. */
    if (!f.wrong && fcntl(0, F_GETFD) >= 0 && fcntl(1, F_GETFD) >= 0 && fcntl(2, F_GETFD) >= 0 &&
        passing_client(f.socket, f.protocol, (f.tls ? PASSING_TLS : 0u) | (f.stay ? PASSING_STAY : 0u), 0, 1))
        return 0;
    return become_posternd(&f);
}
