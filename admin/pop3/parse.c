/*
 * parse.c - what a POP3 server says, line by line (see parse.h).
 */
#include "admin/pop3/parse.h"

#include "daemon/base/num.h"

enum { SECONDS_MAX = 86400 };

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static struct span skip_blanks(struct span s)
{
    while (s.len > 0 && is_blank(s.at[0]))
        s = (struct span){ s.at + 1, s.len - 1 };
    return s;
}

/* The next word; *s begins behind it. */
static struct span word(struct span *s)
{
    struct span w = skip_blanks(*s);
    size_t n = 0;

    while (n < w.len && !is_blank(w.at[n]))
        n++;
    *s = (struct span){ w.at + n, w.len - n };
    return (struct span){ w.at, n };
}

static bool begins(struct span s, const char *with)
{
    size_t len = strlen(with);

    return s.len >= len && strncasecmp(s.at, with, len) == 0;
}

struct pop3_reply pop3_reply(struct span line)
{
    struct pop3_reply r = { POP3_NONSENSE, { "", 0 }, { "", 0 } };
    size_t status = 0;

    /* "+OKmessage" is one, as clients take it. */
    if (begins(line, "+OK")) {
        r.status = POP3_OK;
        status = 3;
    } else if (begins(line, "-ERR")) {
        r.status = POP3_ERR;
        status = 4;
    } else if (line.len > 0 && line.at[0] == '+' && (line.len == 1 || is_blank(line.at[1]))) {
        r.status = POP3_CHALLENGE;
        status = 1;
    } else {
        return r;
    }
    r.text = skip_blanks((struct span){ line.at + status, line.len - status });
    if (r.status == POP3_ERR && r.text.len > 0 && r.text.at[0] == '[') {
        const char *end = memchr(r.text.at, ']', r.text.len);

        if (end != NULL) {
            r.code = (struct span){ r.text.at + 1, (size_t)(end - r.text.at) - 1 };
            r.text = skip_blanks((struct span){ end + 1, r.text.len - r.code.len - 2 });
        }
    }
    return r;
}

enum pop3_code pop3_code(const struct pop3_reply *reply, unsigned *seconds_r)
{
    struct span rest = reply->code, name = word(&rest), number = word(&rest);
    uint64_t n;

    *seconds_r = 0;
    if (span_is_nocase(name, SPAN_OF("LOGIN-DELAY"))) {
        if (num_parse(number, SECONDS_MAX, &n) != 0)
            *seconds_r = (unsigned)n;
        return POP3_CODE_LATER;
    }
    if (span_is_nocase(name, SPAN_OF("IN-USE")) || span_is_nocase(name, SPAN_OF("SYS/TEMP")))
        return POP3_CODE_LATER;
    if (span_is_nocase(name, SPAN_OF("AUTH")))
        return POP3_CODE_AUTH;
    return span_is_nocase(name, SPAN_OF("SYS/PERM")) ? POP3_CODE_NEVER : POP3_CODE_NONE;
}

bool pop3_numbered(struct span line, uint32_t *number_r, struct span *rest_r)
{
    struct span number = word(&line), rest = skip_blanks(line);
    uint64_t n;

    if (num_parse(number, UINT32_MAX, &n) != 1 || n == 0)
        return false;
    while (rest.len > 0 && is_blank(rest.at[rest.len - 1]))
        rest.len--;
    *number_r = (uint32_t)n;
    *rest_r = rest;
    return true;
}

bool pop3_octets(struct span rest, uint64_t *octets_r)
{
    return num_parse(word(&rest), INT64_MAX, octets_r) == 1;
}

void pop3_capa(struct pop3_capa *capa, struct span line)
{
    struct span name = word(&line), w;
    uint64_t n;

    if (span_is_nocase(name, SPAN_OF("STLS")))
        capa->stls = true;
    else if (span_is_nocase(name, SPAN_OF("PIPELINING")))
        capa->pipelining = true;
    else if (span_is_nocase(name, SPAN_OF("USER")))
        capa->user = true;
    else if (span_is_nocase(name, SPAN_OF("LOGIN-DELAY")) && num_parse(word(&line), SECONDS_MAX, &n) != 0)
        capa->login_delay = (unsigned)n;
    else if (span_is_nocase(name, SPAN_OF("SASL")))
        while ((w = word(&line)).len > 0)
            capa->sasl_plain |= span_is_nocase(w, SPAN_OF("PLAIN"));
}
