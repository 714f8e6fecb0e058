/*
 * sandbox_files.c - which files and TCP ports a role can still reach: Landlock
 * (Linux 5.13; ports since 6.7, signals since 6.12), by its system calls, as
 * the C library has none.
 *
 * What is open stays open. A file is known by what it is now, not by its name:
 * one that is replaced is another file, until the next reload. Must never
 * allow a directory in which keys are kept, but for /etc where the database
 * has a name: the resolver's files there are replaced while we run, and then
 * only their owner and mode keep keys from the role.
 */
#include "daemon/system/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/host_port.h"
#include "daemon/base/network.h"
#include "daemon/base/num.h"

/* What is younger than the headers of Debian 12. */
struct ruleset_attr {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
struct net_port_attr {
    uint64_t allowed_access, port;
};
enum {
    FS_TRUNCATE = 1 << 14, /* ABI 3 */
    FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
    NET_BIND = 1 << 0,
    NET_CONNECT = 1 << 1, /* ABI 4 */
    SCOPE_ABSTRACT_UNIX = 1 << 0,
    SCOPE_SIGNAL = 1 << 1, /* ABI 6 */
    RULE_NET_PORT = 2,
    FS_ALL = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1, /* ABI 1 */
    FS_FILE = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE |
              FS_IOCTL_DEV,
    READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    SPOOL = READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE |
            FS_TRUNCATE,
    PORT_DNS = 53,
    PORT_DATABASE = 5432,
};

struct ruleset {
    int fd;
    uint64_t fs;            /* rights that it handles */
    bool net;
};

/* A path that is not there cannot be reached either. */
static void allow_path(const struct ruleset *r, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = { .allowed_access = access & r->fs };
    struct stat st;

    if (path == NULL || path[0] == '\0')
        return;
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return;
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= FS_FILE;
    (void)syscall(SYS_landlock_add_rule, r->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
}

static void allow_port(const struct ruleset *r, uint64_t port)
{
    const struct net_port_attr rule = { NET_CONNECT, port };

    if (r->net)
        (void)syscall(SYS_landlock_add_rule, r->fd, RULE_NET_PORT, &rule, 0);
}

/* ----------------------------------------------------------------- database */

/* Options of libpq that name files, and the variables that stand in for them. */
static const struct {
    const char *option, *variable, *in_home;
} database_files[] = {
    { "passfile", "PGPASSFILE", ".pgpass" }, { "sslcert", "PGSSLCERT", ".postgresql" }, { "sslkey", "PGSSLKEY", NULL },
    { "sslrootcert", "PGSSLROOTCERT", NULL }, { "sslcrl", "PGSSLCRL", NULL }, { "sslcrldir", "PGSSLCRLDIR", NULL },
};

static const char *value(const PQconninfoOption *options, const char *name, const char *variable)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, name) == 0 && options->val != NULL && options->val[0] != '\0')
            return options->val;
    return variable != NULL ? getenv(variable) : NULL;
}

static void allow_database_files(const struct ruleset *r, const PQconninfoOption *options)
{
    const char *home = getenv("HOME");
    char path[4096];

    for (size_t i = 0; i < sizeof database_files / sizeof database_files[0]; i++) {
        allow_path(r, value(options, database_files[i].option, database_files[i].variable), READ);
        if (home == NULL || database_files[i].in_home == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", home, database_files[i].in_home);
        allow_path(r, path, READ);
    }
}

/* The next word of a list with commas; false at its end. */
static bool next_word(const char **list, char *out, size_t size)
{
    if (*list == NULL)
        return false;
    size_t len = strcspn(*list, ",");
    snprintf(out, size, "%.*s", (int)len, *list);
    *list = (*list)[len] == ',' ? *list + len + 1 : NULL;
    return true;
}

/* What a connection needs beside files. */
struct needs {
    bool network;           /* it is not a unix socket */
    bool names;             /* a resolver */
    bool anywhere;          /* the connection string does not tell where it leads to */
    bool abstract;          /* a unix socket without a file */
};

static void look_at_hosts(const PQconninfoOption *options, struct needs *n)
{
    const char *addresses = value(options, "hostaddr", "PGHOSTADDR"), *list = value(options, "host", "PGHOST");
    char host[1024];

    n->network = n->network || addresses != NULL;
    while (next_word(&list, host, sizeof host)) {
        if (host[0] == '@')
            n->abstract = true;
        if (host[0] == '@' || host[0] == '/' || host[0] == '\0')
            continue;
        n->network = true;
        if (addresses == NULL && !network_is_address(host))
            n->names = true;
    }
}

static void allow_ports(const struct ruleset *r, const PQconninfoOption *options)
{
    const char *list = value(options, "port", "PGPORT");
    char word[32];
    uint64_t port;

    if (list == NULL)
        allow_port(r, PORT_DATABASE);
    while (next_word(&list, word, sizeof word))
        allow_port(r, num_parse(span_str(word), UINT16_MAX, &port) == 1 ? port : PORT_DATABASE);
}

static PQconninfoOption *parse(const char *conninfo)
{
    return conninfo != NULL ? PQconninfoParse(conninfo, NULL) : NULL;
}

static void look_at_servers(const struct sandbox_reach *reach, struct needs *n)
{
    struct span list = span_str(reach->servers != NULL ? reach->servers : ""), word;
    struct host_port server;

    while (host_port_next(&list, &server, &word) > 0) {
        n->network = true;
        n->names = n->names || !network_is_address(server.host);
    }
}

static void allow_servers(const struct ruleset *r, const struct sandbox_reach *reach)
{
    struct span list = span_str(reach->servers != NULL ? reach->servers : ""), word;
    struct host_port server;

    while (host_port_next(&list, &server, &word) > 0)
        allow_port(r, server.port);
}

static struct needs look_at_databases(const struct sandbox_reach *reach)
{
    struct needs n = { .network = false };

    for (size_t i = 0; i < SANDBOX_DATABASES; i++) {
        PQconninfoOption *options = parse(reach->conninfo[i]);

        if (options == NULL)
            continue;
        look_at_hosts(options, &n);
        n.anywhere = n.anywhere || value(options, "service", "PGSERVICE") != NULL;
        PQconninfoFree(options);
    }
    look_at_servers(reach, &n);
    return n;
}

struct sandbox_network sandbox_network(const struct sandbox_reach *reach)
{
    struct needs n = look_at_databases(reach);

    return (struct sandbox_network){ n.network || n.anywhere, n.names || n.anywhere };
}

/* ------------------------------------------------------------------ ruleset */

static bool ruleset_new(struct ruleset *r, const struct needs *n)
{
    struct ruleset_attr attr = { .handled_access_fs = FS_ALL };
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    size_t size = sizeof attr.handled_access_fs;

    if (abi < 1)
        return false;
    if (abi >= 2)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        attr.handled_access_fs |= FS_TRUNCATE;
    if (abi >= 4) {
        size += sizeof attr.handled_access_net;
        attr.handled_access_net = NET_BIND | (n->anywhere ? 0u : NET_CONNECT);
    }
    if (abi >= 5)
        attr.handled_access_fs |= FS_IOCTL_DEV;
    if (abi >= 6) {
        size = sizeof attr;
        attr.scoped = SCOPE_SIGNAL | (n->abstract || n->anywhere ? 0u : SCOPE_ABSTRACT_UNIX);
    }
    r->fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    r->fs = attr.handled_access_fs;
    r->net = abi >= 4 && !n->anywhere;
    return r->fd >= 0;
}

/* Of the C library, of OpenSSL and libpq. */
static void allow_common_files(const struct ruleset *r, const struct needs *n)
{
    static const char *const files[] = {
        "/dev/null", "/dev/urandom", "/etc/localtime", "/usr/share/zoneinfo",
        /* Modules are loaded when they are first asked: of the resolver, of OpenSSL. */
        "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/usr/local/ssl",
        "/etc/ssl/openssl.cnf", "/etc/ssl/certs", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
        "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/krb5.conf",
    };
    static const char *const resolver[] = { "/etc", "/run/systemd/resolve", "/run/resolvconf",
                                            "/run/NetworkManager/resolv.conf" };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        allow_path(r, files[i], READ);
    allow_path(r, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
    for (size_t i = 0; (n->names || n->anywhere) && i < sizeof resolver / sizeof resolver[0]; i++)
        allow_path(r, resolver[i], READ);
    if (n->names)
        allow_port(r, PORT_DNS);
}

bool sandbox_files(const struct sandbox_reach *reach)
{
    struct needs n = look_at_databases(reach);
    struct ruleset r;

    if (!ruleset_new(&r, &n))
        return false;
    allow_common_files(&r, &n);
    for (size_t i = 0; i < SANDBOX_DATABASES; i++) {
        PQconninfoOption *options = parse(reach->conninfo[i]);

        if (options == NULL)
            continue;
        allow_database_files(&r, options);
        allow_ports(&r, options);
        PQconninfoFree(options);
    }
    for (size_t i = 0; i < SANDBOX_FILES; i++)
        allow_path(&r, reach->read[i], READ);
    allow_path(&r, reach->spool, SPOOL);
    allow_servers(&r, reach);
    bool done = syscall(SYS_landlock_restrict_self, r.fd, 0) == 0;
    close(r.fd);
    return done;
}
