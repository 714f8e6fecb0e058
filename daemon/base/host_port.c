/*
 * host_port.c - a list of hosts with their ports, word by word (see host_port.h).
 */
#include "daemon/base/host_port.h"

#include "daemon/base/network.h"
#include "daemon/base/num.h"

static bool is_gap(char c)
{
    return c == ' ' || c == ',' || c == '\t';
}

static bool is_host(struct span host)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-_";

    for (size_t i = 0; i < host.len; i++)
        if (memchr(letters, host.at[i], sizeof letters - 1) == NULL)
            return false;
    return host.len > 0 && host.len <= HOST_PORT_HOST_MAX;
}

static bool parse(struct span word, struct host_port *out)
{
    size_t colon = word.len;
    struct span host;
    uint64_t port;

    while (colon > 0 && word.at[colon - 1] != ':')
        colon--;
    if (colon < 2 || num_parse((struct span){ word.at + colon, word.len - colon }, UINT16_MAX, &port) != 1 || port == 0)
        return false;
    host = (struct span){ word.at, colon - 1 };
    if (host.at[0] == '[') {
        if (host.len < 3 || host.at[host.len - 1] != ']')
            return false;
        host = (struct span){ host.at + 1, host.len - 2 };
    } else if (memchr(host.at, ':', host.len) != NULL) {
        return false;       /* where would the address end? */
    }
    if (!is_host(host))
        return false;
    memcpy(out->host, host.at, host.len);
    out->host[host.len] = '\0';
    out->port = (uint16_t)port;
    return true;
}

int host_port_next(struct span *list, struct host_port *out, struct span *word_r)
{
    while (list->len > 0 && is_gap(list->at[0])) {
        list->at++;
        list->len--;
    }
    *word_r = (struct span){ list->at, 0 };
    while (word_r->len < list->len && !is_gap(list->at[word_r->len]))
        word_r->len++;
    list->at += word_r->len;
    list->len -= word_r->len;
    if (word_r->len == 0)
        return 0;
    return parse(*word_r, out) ? 1 : -1;
}

bool host_port_find(struct span list, struct span host, uint16_t port, struct host_port *out)
{
    struct span word;
    int found;

    while ((found = host_port_next(&list, out, &word)) != 0)
        if (found > 0 && out->port == port && span_is_nocase(host, span_str(out->host)))
            return true;
    return false;
}

size_t host_port_names(struct span list)
{
    struct span rest = list, word, before;
    struct host_port server, other;
    size_t count = 0;

    while (host_port_next(&rest, &server, &word) != 0) {
        struct span seen = list;
        bool is_new = word.len > 0 && parse(word, &server) && !network_is_address(server.host);

        while (is_new && host_port_next(&seen, &other, &before) != 0 && before.at != word.at)
            is_new = strcmp(other.host, server.host) != 0;
        count += is_new;
    }
    return count;
}
