/*
 * conninfo.c - connection strings, put together by libpq's own parser, so that
 * whatever libpq takes (URIs, quoted values, lists of hosts) is taken here.
 *
 * Never prints what it handles: a connection string may hold a password.
 */
#include "daemon/base/conninfo.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"

/* What holds where neither string says otherwise. */
static const struct {
    const char *keyword, *value;
} fallbacks[] = {
    { "client_encoding", "UTF8" },
    { "connect_timeout", "10" },
    /* A host that died without a word is noticed after twenty seconds, not after two hours. */
    { "keepalives_idle", "10" },
    { "keepalives_interval", "3" },
    { "keepalives_count", "3" },
    { "tcp_user_timeout", "10000" },
};

static void add_word(struct buf *out, const char *keyword, const char *value)
{
    if (buf_left(out) > 0)
        buf_add(out, " ", 1);
    buf_add_str(out, keyword);
    buf_add(out, "='", 2);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\')
            buf_add(out, "\\", 1);
        buf_add(out, p, 1);
    }
    buf_add(out, "'", 1);
}

static const char *find(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

static PQconninfoOption *parse(const char *conninfo, char **error_r)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &why);
    if (options == NULL) {
        int len = why != NULL ? (int)strcspn(why, "\n") : 0;
        if (len > 0)
            mem_error(error_r, "%.*s", len, why);
        else
            mem_error(error_r, "connection string cannot be parsed");
        PQfreemem(why);
    }
    return options;
}

char *conninfo_merge(const char *common, const char *role, const char *application_name, char **error_r)
{
    PQconninfoOption *under = parse(common, error_r);
    if (under == NULL)
        return NULL;
    PQconninfoOption *over = parse(role, error_r);
    if (over == NULL) {
        PQconninfoFree(under);
        return NULL;
    }

    /* Both lists have all keywords that libpq knows, in one order. */
    struct buf out = BUF_EMPTY;
    for (const PQconninfoOption *o = over; o->keyword != NULL; o++) {
        const char *value = o->val != NULL ? o->val : find(under, o->keyword);
        if (strcmp(o->keyword, "application_name") == 0)
            value = application_name;
        for (size_t i = 0; value == NULL && i < sizeof fallbacks / sizeof fallbacks[0]; i++)
            if (strcmp(o->keyword, fallbacks[i].keyword) == 0)
                value = fallbacks[i].value;
        if (value != NULL)
            add_word(&out, o->keyword, value);
    }
    PQconninfoFree(under);
    PQconninfoFree(over);

    struct span all = buf_span(&out);
    char *text = mem_strn(all.at, all.len);
    buf_wipe(&out);
    return text;
}

static size_t elements(const char *list)
{
    size_t n = 1;

    for (; (list = strchr(list, ',')) != NULL; list++)
        n++;
    return n;
}

/* The n-th element of a list, from 0. */
static struct span element(const char *list, size_t n)
{
    for (; n > 0; n--)
        list = strchr(list, ',') + 1;
    return (struct span){ list, strcspn(list, ",") };
}

static bool is_list_of_hosts(const char *keyword)
{
    return strcmp(keyword, "host") == 0 || strcmp(keyword, "hostaddr") == 0 || strcmp(keyword, "port") == 0;
}

char *conninfo_rotate(const char *conninfo, size_t by)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    struct buf out = BUF_EMPTY;

    ASSERT(options != NULL);
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        struct buf list = BUF_EMPTY;
        size_t count = o->val != NULL && is_list_of_hosts(o->keyword) ? elements(o->val) : 0;

        for (size_t i = 0; i < count; i++) {
            struct span one = element(o->val, (i + by) % count);

            buf_add(&list, ",", i > 0 ? 1 : 0);
            buf_add(&list, one.at, one.len);
        }
        buf_add(&list, "", 1);
        if (o->val != NULL)
            add_word(&out, o->keyword, count > 1 ? buf_span(&list).at : o->val);
        buf_free(&list);
    }
    PQconninfoFree(options);

    struct span all = buf_span(&out);
    char *text = mem_strn(all.at, all.len);
    buf_wipe(&out);
    return text;
}

static bool is_name(const char *host)
{
    return host[0] != '\0' && host[0] != '/' && host[0] != '@' && strpbrk(host, "/%") == NULL &&
           !network_is_address(host);
}

/* NULL where there is no host, or addresses stand beside it already. */
static const char *hosts_without_addresses(const PQconninfoOption *options)
{
    const char *address = find(options, "hostaddr"), *host = find(options, "host");

    if ((address != NULL && *address != '\0') || getenv("PGHOSTADDR") != NULL)
        return NULL;
    return host != NULL ? host : getenv("PGHOST");
}

void conninfo_names(const char *conninfo, void (*each)(void *arg, const char *name), void *arg)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    const char *hosts = options != NULL ? hosts_without_addresses(options) : NULL;

    for (size_t i = 0; hosts != NULL && i < elements(hosts); i++) {
        struct span one = element(hosts, i);
        char *host = mem_strn(one.at, one.len);

        if (is_name(host))
            each(arg, host);
        mem_free(host);
    }
    PQconninfoFree(options);
}

/* Lists of one length. */
struct places {
    struct buf host, address, port;
    size_t count;
};

static void add_place(struct places *p, const char *host, struct span address, struct span port)
{
    if (p->count++ > 0) {
        buf_add(&p->host, ",", 1);
        buf_add(&p->address, ",", 1);
        buf_add(&p->port, ",", 1);
    }
    buf_add_str(&p->host, host);
    buf_add(&p->address, address.at, address.len);
    buf_add(&p->port, port.at, port.len);
}

static void add_host(struct places *p, const char *host, struct span port, conninfo_addresses *look, char **error_r)
{
    char *addresses = is_name(host) ? look(host) : NULL;

    if (addresses == NULL)
        add_place(p, host, (struct span){ "", 0 }, port);
    else if (addresses[0] == '\0')
        mem_error(error_r, "no address found for host \"%s\"", host);
    for (size_t i = 0; addresses != NULL && addresses[0] != '\0' && i < elements(addresses); i++)
        add_place(p, host, element(addresses, i), port);
    mem_free(addresses);
}

/* All of it, with these in place of its hosts. */
static char *with_places(const PQconninfoOption *options, struct places *p, bool ports)
{
    struct buf out = BUF_EMPTY;

    buf_add(&p->host, "", 1);
    buf_add(&p->address, "", 1);
    buf_add(&p->port, "", 1);
    add_word(&out, "host", buf_span(&p->host).at);
    add_word(&out, "hostaddr", buf_span(&p->address).at);
    if (ports)
        add_word(&out, "port", buf_span(&p->port).at);
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (o->val != NULL && !is_list_of_hosts(o->keyword))
            add_word(&out, o->keyword, o->val);
    struct span all = buf_span(&out);
    char *text = mem_strn(all.at, all.len);
    buf_wipe(&out);
    return text;
}

char *conninfo_resolved(const char *conninfo, conninfo_addresses *look, char **error_r)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    const char *hosts = options != NULL ? hosts_without_addresses(options) : NULL;
    const char *ports = options != NULL ? find(options, "port") : NULL;
    size_t count = hosts != NULL ? elements(hosts) : 0, port_count = ports != NULL ? elements(ports) : 0;
    struct places p = { .host = BUF_EMPTY, .address = BUF_EMPTY, .port = BUF_EMPTY };
    char *text = NULL;

    if (count == 0 || (port_count > 1 && port_count != count)) {        /* libpq says what is wrong with it */
        PQconninfoFree(options);
        return mem_str(conninfo);
    }
    for (size_t i = 0; i < count; i++) {
        struct span one = element(hosts, i),
                    port = port_count > 0 ? element(ports, port_count > 1 ? i : 0) : (struct span){ "", 0 };
        char *host = mem_strn(one.at, one.len);

        add_host(&p, host, port, look, error_r);
        mem_free(host);
    }
    if (p.count > 0) {
        mem_drop(error_r);
        text = with_places(options, &p, port_count > 0);
    }
    buf_free(&p.host);
    buf_free(&p.address);
    buf_free(&p.port);
    PQconninfoFree(options);
    return text;
}

char *conninfo_look_up(const char *name)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    struct buf list = BUF_EMPTY;
    char text[NI_MAXHOST];

    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        found = NULL;
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        buf_add(&list, ",", buf_left(&list) > 0 ? 1 : 0);
        buf_add_str(&list, text);
    }
    if (found != NULL)
        freeaddrinfo(found);
    char *addresses = mem_strn(buf_span(&list).at, buf_left(&list));
    buf_free(&list);
    return addresses;
}

size_t conninfo_hosts(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    const char *host = options != NULL ? find(options, "host") : NULL,
               *address = options != NULL ? find(options, "hostaddr") : NULL;
    size_t n = address != NULL && *address != '\0' ? elements(address) : host != NULL ? elements(host) : 1;

    PQconninfoFree(options);
    return n;
}

bool conninfo_goes_by_user(const char *conninfo)
{
    static const char *const others[] = { "password", "passfile", "hostaddr" };
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    const char *host = options != NULL ? find(options, "host") : NULL;
    bool user = options != NULL && (host == NULL || host[0] == '/' || host[0] == '@' || host[0] == '\0');

    for (size_t i = 0; user && i < sizeof others / sizeof others[0]; i++)
        user = find(options, others[i]) == NULL;
    PQconninfoFree(options);
    return user;
}
