/*
 * config_check.c - what depends on more than one option or on this host, and
 * the lines of the file that such a problem is told with.
 *
 * It must never act on what it reads either: see config_file.c.
 */
#include "daemon/config/config_impl.h"

#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/sasl/jwt.h"
#include "auth/mechanism.h"
#include "daemon/base/conninfo.h"
#include "daemon/base/list.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"
#include "daemon/base/secret.h"
#include "daemon/session/trust.h"
#include "daemon/net/listener.h"
#include "daemon/net/proxy_gate.h"
#include "daemon/net/socket_dir.h"

/* ------------------------------------------------------- telling problems */

void config_report_open(struct config_report *r, const char *file, options_problem *problem, void *arg)
{
    struct stat st;

    *r = (struct config_report){ .file = file, .problem = problem, .arg = arg };
    config_init(&r->tree);
    /* A pipe cannot be read twice: its problems of this kind go without a line. */
    if (file != NULL && stat(file, &st) == 0 && S_ISREG(st.st_mode))
        r->have_tree = config_read_file(&r->tree, file) == CONFIG_TRUE;
}

void config_report_close(struct config_report *r)
{
    config_destroy(&r->tree);
}

/* The line of the option that a text begins with, 0 if it is not in the file. */
static int report_line(const struct config_report *r, const char *text)
{
    char name[64];
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    const config_setting_t *setting;

    if (!r->have_tree || len == 0 || len >= sizeof name)
        return 0;
    memcpy(name, text, len);
    name[len] = '\0';
    setting = config_lookup(&r->tree, name);
    return setting != NULL ? (int)config_setting_source_line(setting) : 0;
}

void config_report_problem(void *arg, const char *file, int line, const char *text)
{
    struct config_report *r = arg;

    r->count++;
    r->problem(r->arg, file, line > 0 ? line : report_line(r, text), text);
}

__attribute__((format(printf, 3, 4)))
static void problemf(struct config_report *r, int line, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    config_report_problem(r, r->file, line, text);
}

/* ----------------------------------------------------------------- checks */

/* Sockets that are passed to us are none of our making, whatever we could make. */
static void check_family(const char *option, const char *address, int line, unsigned flags, struct config_report *r)
{
    const char *needs = flags & CONFIG_LISTENERS ? listener_needs(address) : NULL;

    if (needs != NULL)
        problemf(r, line, "%s: \"%s\" needs %s, which this system does not have", option, address, needs);
}

static void check_log(const struct config *c, unsigned flags, struct config_report *r)
{
    const char *target = c->daemon.log;
    char host[64];
    uint16_t port;

    if (strcmp(target, "stderr") == 0) {
        if (flags & CONFIG_DETACHED)
            problemf(r, 0, "log: \"stderr\" requires posternd --foreground");
    } else if (strncmp(target, "syslog:/", 8) == 0) {
        if (strlen(target + 7) >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
            problemf(r, 0, "log: the path of a unix socket may have at most %zu octets",
                     sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
    } else if (strcmp(target, "syslog") != 0 && target[0] != '/') {
        problemf(r, 0, "log: \"%s\" is not \"syslog\", \"syslog:/PATH\", \"stderr\" or an absolute path", target);
    }

    if (c->daemon.pid_file[0] != '\0' && c->daemon.pid_file[0] != '/')
        problemf(r, 0, "pid_file: \"%s\" is not an absolute path", c->daemon.pid_file);
    if (c->control.control_socket[0] != '\0' && c->control.control_socket[0] != '/')
        problemf(r, 0, "control_socket: \"%s\" is not an absolute path", c->control.control_socket);
    if (c->control.metrics_listen[0] != '\0' && !control_metrics_address(c->control.metrics_listen, host, &port))
        problemf(r, 0, "metrics_listen: \"%s\" is not an address and a port, as in 127.0.0.1:9110 or [::1]:9110",
                 c->control.metrics_listen);
    else if (c->control.metrics_listen[0] != '\0')
        check_family("metrics_listen", host, 0, flags, r);
}

/* Returns the user's id, or -1 after a problem. */
static long check_user(struct config_report *r, const char *option, const char *name)
{
    const struct passwd *pw = getpwnam(name);

    if (pw == NULL) {
        problemf(r, 0, "%s: user \"%s\" does not exist on this host", option, name);
        return -1;
    }
    if (pw->pw_uid == 0) {
        problemf(r, 0, "%s: \"%s\" is the superuser; name an unprivileged user", option, name);
        return -1;
    }
    return (long)pw->pw_uid;
}

/* A number of logins, as somebody may take it for, is far below. */
static void check_auth_cache(const struct config *c, struct config_report *r)
{
    enum { LEAST = 2097152 };

    if (c->auth.auth_cache > 0 && c->auth.auth_cache < LEAST)
        problemf(r, 0, "auth_cache: %lld octets are too few: set at least 2M, or 0 for no cache",
                 (long long)c->auth.auth_cache);
}

/* A worker beats twice a second, and is looked at five times in this time. */
static void check_watchdog(const struct config *c, struct config_report *r)
{
    if (c->daemon.worker_watchdog > 0 && c->daemon.worker_watchdog < 5000)
        problemf(
            r, 0,
            "worker_watchdog: below 5s, a busy worker would be mistaken for one that"
            " hangs; 0 disables it");
}

static void check_users(const struct config *c, struct config_report *r)
{
    long user, auth_user;

    if (geteuid() != 0)
        return;                 /* without root the user does not change */
    user = check_user(r, "user", c->daemon.user);
    auth_user = check_user(r, "auth_user", c->daemon.auth_user);
    if (user >= 0 && user == auth_user)
        problemf(r, 0, "auth_user: must differ from user, or a worker could read a helper's memory");
    if (c->daemon.metrics_user[0] != '\0' && auth_user >= 0 &&
        check_user(r, "metrics_user", c->daemon.metrics_user) == auth_user)
        problemf(r, 0, "metrics_user: must differ from auth_user, or it could read a helper's memory");
    for (size_t i = 0; i < PROTOCOLS; i++) {
        const char *name = config_user(c, protocol_bit(protocols[i]));
        char option[64];

        snprintf(option, sizeof option, "%s_user", protocols[i]->name);
        if (name != c->daemon.user && check_user(r, option, name) == auth_user && auth_user >= 0)
            problemf(r, 0, "%s: must differ from auth_user, or a worker could read a helper's memory", option);
    }
}

static void check_directory(const char *path, int line, struct config_report *r)
{
    char *error = NULL;

    if (!socket_dir_check(path, &error))
        problemf(r, line, "listeners: address: %s", error);
    mem_drop(&error);
}

static void check_address(const struct listener_settings *l, int line, unsigned flags, struct config_report *r)
{
    const char *a = l->address;

    if (a[0] == '\0') {
        problemf(r, line, "listeners: address is missing");
    } else if (a[0] == '/') {
        if (strlen(a) >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
            problemf(r, line, "listeners: address: the path of a unix socket may have at most %zu octets",
                     sizeof ((struct sockaddr_un *)NULL)->sun_path - 1);
        else if (flags & CONFIG_LISTENERS)
            check_directory(a, line, r);
    } else if (strcmp(a, "*") != 0 && !network_is_address(a)) {
        problemf(r, line, "listeners: address: \"%s\" is not an IPv4 or IPv6 address, \"*\" or an absolute path", a);
    } else {
        check_family("listeners: address", a, line, flags, r);
    }
}

static void check_allow(const struct listener_settings *l, int line, struct config_report *r)
{
    char *error = NULL;
    struct trust *trust = trust_new(l->allow, &error);

    if (trust == NULL)
        problemf(r, line, "listeners: allow: %s", error);
    trust_free(&trust);
    mem_drop(&error);
}

static void check_unix_listener(const struct listener_settings *l, int line, struct config_report *r)
{
    if (l->mode[strspn(l->mode, "01234567")] != '\0')
        problemf(r, line, "listeners: mode: \"%s\" is not an octal number", l->mode);
    if (l->group[0] != '\0' && getgrnam(l->group) == NULL)
        problemf(r, line, "listeners: group: group \"%s\" does not exist on this host", l->group);
    if (l->address[0] != '/' && (l->mode[0] != '\0' || l->group[0] != '\0'))
        problemf(r, line, "listeners: mode and group are for unix sockets");
}

static void check_proxy(const struct listener_settings *l, int line, struct config_report *r)
{
    char *error = NULL;
    struct proxy_trust *trust = proxy_trust_new(l->proxy, &error);

    if (trust == NULL)
        problemf(r, line, "listeners: proxy: %s", error);
    else if (l->proxy[0] != '\0' && !l->passed && (l->address[0] == '/') != (strcmp(l->proxy, "unix") == 0))
        problemf(r, line, "listeners: proxy: \"unix\" is for unix sockets, networks are for TCP");
    if (l->proxy[0] == '\0' && l->proxy_tls)
        problemf(r, line, "listeners: proxy_tls requires proxy");
    proxy_trust_free(&trust);
    mem_drop(&error);
}

/* Where no client connects. */
static void check_passed(const struct listener_settings *l, int line, bool trusts, struct config_report *r)
{
    struct span rest = span_str(l->allow), word;

    if (l->address[0] != '/')
        problemf(r, line, "listeners: passed requires the absolute path of a unix socket as address");
    if (l->tls == LISTENER_TLS_IMPLICIT)
        problemf(r, line, "listeners: tls: with passed, who passes a client tells by --tls that TLS begins with the"
                 " first octet");
    while (!trusts && list_next(&rest, &word))
        if (word.len < 5 || strncmp(word.at, "user:", 5) != 0)
            problemf(r, line, "listeners: allow: \"%.*s\" is not user:NAME, a user who may pass clients", (int)word.len,
                     word.at);
}

static void check_listener_tls(const struct config *c, size_t i, int line, struct config_report *r)
{
    const struct listener_settings *l = config_listener(c, i);
    bool wanted = l->tls == LISTENER_TLS_IMPLICIT || l->tls == LISTENER_TLS_STLS;

    if (wanted && config_tls_files(c, i).certificate[0] == '\0')
        problemf(r, line, "listeners: tls: requires certificate here, or tls_certificate");
    if (l->certificate[0] == '\0' && (l->key[0] != '\0' || l->sni_directory[0] != '\0'))
        problemf(r, line, "listeners: key and sni_directory require certificate in the same listener");
}

static void check_clients(const struct config *c, size_t i, int line, struct config_report *r)
{
    const struct listener_settings *l = config_listener(c, i);
    const bool asked = l->client_verify != TLS_VERIFY_NONE;

    if (asked && l->client_ca[0] == '\0')
        problemf(r, line, "listeners: client_verify: requires client_ca");
    if (!asked && (l->client_ca[0] != '\0' || l->client_crl[0] != '\0'))
        problemf(r, line, "listeners: client_ca and client_crl require client_verify \"optional\" or \"require\"");
    if (asked && (l->tls == LISTENER_TLS_NONE || config_tls_files(c, i).certificate[0] == '\0'))
        problemf(r, line, "listeners: client_verify: TLS is not available");
}

static void check_protocol(const struct config *c, size_t i, int line, struct config_report *r)
{
    const struct listener_settings *l = config_listener(c, i);
    const struct protocol *protocol = config_protocol(c, i);
    const char *wrong = NULL;

    if (protocol->trusts || l->passed)
        check_allow(l, line, r);
    else if (l->allow[0] != '\0')
        problemf(r, line, "listeners: allow is for LMTP, and for clients that are passed");
    if (l->passed)
        check_passed(l, line, protocol->trusts, r);
    if (protocol->needs & NEEDS_LOGINS) {
        check_listener_tls(c, i, line, r);
        check_clients(c, i, line, r);
    } else if (l->tls == LISTENER_TLS_IMPLICIT || l->tls == LISTENER_TLS_STLS) {
        problemf(r, line, "listeners: tls is for POP3; let the mail server connect over loopback or a unix socket");
    }
    if (l->address[0] != '/' && protocol->check_port != NULL)
        wrong = protocol->check_port(l->port);
    if (wrong != NULL)
        problemf(r, line, "listeners: port: %s", wrong);
}

static void check_tls(const struct config *c, struct config_report *r)
{
    if (c->tls.tls_certificate[0] == '\0' && c->tls.tls_key[0] != '\0')
        problemf(r, 0, "tls_key requires tls_certificate");
    if (c->tls.tls_certificate[0] == '\0' && c->tls.tls_sni_directory[0] != '\0')
        problemf(r, 0, "tls_sni_directory requires tls_certificate, for clients that send no name");
    if (c->tls.tls_ticket_life > 0 && c->tls.tls_ticket_life < 1000)
        problemf(r, 0, "tls_ticket_life: must be at least 1s, or 0 to disable resumption");
}

static void check_oauth(const struct config *c, struct config_report *r)
{
    const struct auth_settings *a = &c->auth;
    const char *error = NULL;

    if (!(c->pop3.sasl_mechanisms & mechanisms_with(MECH_TOKEN)))
        return;
    struct jwt_keys *keys = jwt_keys_new(a->oauth_keys, &error);
    if (keys == NULL)
        problemf(r, 0, "oauth_keys: %s: %s", a->oauth_keys, error);
    jwt_keys_free(&keys);
    if (a->oauth_issuer[0] == '\0' || a->oauth_audience[0] == '\0')
        problemf(r, 0, "oauth_issuer and oauth_audience: OAUTHBEARER and XOAUTH2 require both");
}

/* Colons are what stands between names that are passed. */
static void check_name(const struct config *c, size_t i, struct config_report *r)
{
    const char *name = config_listener(c, i)->name;
    int line = c->listeners.lines[i];

    if (strpbrk(name, ": \t\r\n") != NULL)
        problemf(r, line, "listeners: name: \"%s\" contains a colon or a space", name);
    for (size_t k = 0; name[0] != '\0' && k < i; k++) {
        if (strcmp(name, config_listener(c, k)->name) == 0)
            problemf(r, line, "listeners: the same name as in line %d", c->listeners.lines[k]);
    }
}

/* Two sockets in one place: bind() would say so too, but only when the server is started. */
static bool same_place(const struct listener_settings *a, const struct listener_settings *b)
{
    return strcmp(a->address, b->address) == 0 && (a->address[0] == '/' || a->port == b->port);
}

void config_check_listeners(const struct config *c, unsigned flags, struct config_report *r)
{
    if (c->listeners.count == 0 && (flags & CONFIG_LISTENERS))
        problemf(r, 0, "listeners: no listener is configured; for example: listeners = ( { address = \"*\"; } );");
    for (size_t i = 0; i < c->listeners.count; i++) {
        const struct listener_settings *l = config_listener(c, i);
        int line = c->listeners.lines[i];

        check_address(l, line, flags, r);
        check_unix_listener(l, line, r);
        check_name(c, i, r);
        check_proxy(l, line, r);
        check_protocol(c, i, line, r);
        if (strpbrk(l->default_domain, "@ \t\r\n") != NULL)
            problemf(r, line, "listeners: default_domain: \"%s\" is not a domain", l->default_domain);
        for (size_t k = 0; k < i; k++) {
            if (l->address[0] != '\0' && same_place(l, config_listener(c, k))) {
                problemf(r, line, "listeners: the same address and port as in line %d", c->listeners.lines[k]);
                break;
            }
        }
    }
}

static char *check_conninfo(const struct config *c, const char *option, const char *role, const char *name,
                            struct config_report *r)
{
    char *error = NULL;
    char *conninfo = conninfo_merge(c->storage.database, role, name, &error);

    if (conninfo == NULL) {
        problemf(r, 0, "%s: %s", option, error != NULL ? error : "is not a connection string");
        mem_drop(&error);
    }
    return conninfo;
}

static void check_database(struct config *c, struct config_report *r)
{
    char *error = NULL;
    char *common = conninfo_merge(c->storage.database, "", "posternd", &error);
    char *admin;

    /* A fault of what is common would be told three times. */
    if (common == NULL) {
        problemf(r, 0, "database: %s", error != NULL ? error : "is not a connection string");
        mem_drop(&error);
        return;
    }
    secret_wipe(common, strlen(common));
    mem_free(common);
    c->conninfo_mail = check_conninfo(c, "database_mail", c->storage.database_mail, "posternd", r);
    c->conninfo_auth = check_conninfo(c, "database_auth", c->storage.database_auth, "posternd auth", r);
    c->conninfo_lmtp = check_conninfo(c, "database_lmtp", c->storage.database_lmtp, "posternd lmtp", r);
    admin = check_conninfo(c, "database_admin", c->storage.database_admin, "posternctl", r);
    if (admin != NULL)
        secret_wipe(admin, strlen(admin));
    mem_free(admin);
}

void config_check(struct config *c, unsigned flags, struct config_report *r)
{
    check_log(c, flags, r);
    check_users(c, r);
    check_watchdog(c, r);
    check_auth_cache(c, r);
    check_database(c, r);
    check_tls(c, r);
    check_oauth(c, r);
}
