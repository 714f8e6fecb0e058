/*
 * elsewhere.c - the text of an old server, word by word (see elsewhere.h).
 */
#include "auth/elsewhere.h"

#include "daemon/base/num.h"

/* What stands before the next space; *rest is moved behind it. False: there is no space, or nothing before it. */
static bool word(struct span *rest, struct span *word_r)
{
    const char *space = rest->len > 0 ? memchr(rest->at, ' ', rest->len) : NULL;

    if (space == NULL || space == rest->at)
        return false;
    *word_r = (struct span){ rest->at, (size_t)(space - rest->at) };
    rest->at += word_r->len + 1;
    rest->len -= word_r->len + 1;
    return true;
}

static bool number(struct span *rest, uint64_t max, uint64_t *n_r)
{
    struct span text;

    return word(rest, &text) && num_parse(text, max, n_r) == 1 && *n_r > 0;
}

/* Which of these words is it? False: none. */
static bool one_of(struct span *rest, const char *const *words, size_t count, unsigned *i_r)
{
    struct span text;

    if (!word(rest, &text))
        return false;
    for (*i_r = 0; *i_r < count; ++*i_r)
        if (span_is(text, span_str(words[*i_r])))
            return true;
    return false;
}

static bool is_host(struct span host)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-_";

    for (size_t i = 0; i < host.len; i++)
        if (memchr(letters, host.at[i], sizeof letters - 1) == NULL)
            return false;
    return host.len > 0 && host.len <= ELSEWHERE_HOST_MAX;
}

/* It becomes part of a line: a line end in it would be a command of its own. */
static bool is_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.at[i] < ' ' || name.at[i] == 0x7f)
            return false;
    return name.len > 0 && name.len <= ELSEWHERE_NAME_MAX;
}

bool elsewhere_parse(struct span text, struct elsewhere *out)
{
    static const char *const tls[] = { "pops", "stls", "none" };
    static const char *const tells[] = { "nothing", "proxy1", "proxy2", "xclient" };
    static const char *const switches[] = { "tls", "tls,learn", "cleartext", "cleartext,learn" };
    uint64_t server, port;
    unsigned how, told, set;

    if (text.len > ELSEWHERE_MAX || !number(&text, INT64_MAX, &server) || !word(&text, &out->host) ||
        !is_host(out->host) || !number(&text, UINT16_MAX, &port) || !one_of(&text, tls, 3, &how) ||
        !one_of(&text, tells, 4, &told) || !one_of(&text, switches, 4, &set) || !is_name(text))
        return false;
    out->server = (int64_t)server;
    out->port = (uint16_t)port;
    out->tls = (enum elsewhere_tls)how;
    out->tells = (enum elsewhere_tells)told;
    out->cleartext = set >= 2;
    out->learn = set % 2 == 1;
    out->name = text;
    return out->tls != ELSEWHERE_NONE || out->cleartext;
}
