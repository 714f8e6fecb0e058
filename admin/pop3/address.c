/*
 * address.c - where a POP3 server is (see address.h).
 */
#include "admin/pop3/address.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "daemon/base/mem.h"
#include "daemon/base/num.h"

static bool host_may_be(struct span host, bool brackets)
{
    if (host.len == 0 || host.len > 255)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.at[i];

        if (!isalnum(c) && c != '.' && c != '-' && c != '_' && !(brackets && (c == ':' || c == '%')))
            return false;
    }
    return true;
}

const char *pop3_address(const char *text, struct pop3_address *a)
{
    struct span host, port = { NULL, 0 };
    uint64_t number = 0;
    bool brackets;

    *a = (struct pop3_address){ .tls = strncasecmp(text, "pops://", 7) == 0 };
    if (!a->tls && strncasecmp(text, "pop://", 6) != 0)
        return "begins with neither pops:// nor pop://";
    text += a->tls ? 7 : 6;
    if (strchr(text, '@') != NULL)
        return "has an @: the user is given by --user, the password by --password-file";
    brackets = text[0] == '[';
    host = brackets ? (struct span){ text + 1, strcspn(text + 1, "]") } : (struct span){ text, strcspn(text, ":/") };
    text = host.at + host.len;
    if (brackets && *text++ != ']')
        return "has no ] behind its address";
    if (!host_may_be(host, brackets))
        return "has no name of a host, or one that cannot be";
    if (*text == ':') {
        port = (struct span){ text + 1, strcspn(text + 1, "/") };
        text = port.at + port.len;
        if (num_parse(port, 65535, &number) != 1 || number == 0)
            return "has a port that is not a number from 1 to 65535";
    }
    if (*text != '\0' && strcmp(text, "/") != 0)
        return "has a path, which no POP3 server has";
    a->host = mem_strn(host.at, host.len);
    for (char *c = a->host; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    a->port = port.at != NULL ? mem_strn(port.at, port.len) : mem_str(a->tls ? "995" : "110");
    return NULL;
}

void pop3_address_free(struct pop3_address *a)
{
    mem_free(a->host);
    mem_free(a->port);
    *a = (struct pop3_address){ .host = NULL };
}
