/*
 * trace.c - Return-Path and Received. Nothing that a client said gets into
 * them that could end a line or leave its place.
 */
#include "daemon/lmtp/trace.h"

#include <stdio.h>

/* A name for the header: what is not a domain or an address literal is not repeated. */
static void put_name(struct buf *out, struct span name)
{
    bool good = name.len > 0 && name.len <= 255;

    for (size_t i = 0; good && i < name.len; i++) {
        unsigned char c = (unsigned char)name.at[i];
        good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               strchr("-._:[]", (int)c) != NULL;
        good = good && c != '\0';
    }
    if (good)
        buf_add(out, name.at, name.len);
    else
        buf_add_str(out, "unknown");
}

/* "192.0.2.1:4242" is [192.0.2.1], "[2001:db8::1]:4242" is [IPv6:2001:db8::1], the rest (unix, stdin) a word. */
static void put_peer(struct buf *out, const char *peer)
{
    const char *port = strrchr(peer, ':');

    if (peer[0] == '[' && port != NULL && port > peer + 1 && port[-1] == ']')
        buf_addf(out, "[IPv6:%.*s]", (int)(port - peer - 2), peer + 1);
    else if (port != NULL)
        buf_addf(out, "[%.*s]", (int)(port - peer), peer);
    else
        buf_add_str(out, peer);
}

/* RFC 5322 section 3.3, in local time; names in English whatever the locale. */
static void put_date(struct buf *out, time_t when)
{
    static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    struct tm tm;

    localtime_r(&when, &tm);
    long minutes = tm.tm_gmtoff / 60;
    buf_addf(out, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, minutes < 0 ? '-' : '+',
             (minutes < 0 ? -minutes : minutes) / 60, (minutes < 0 ? -minutes : minutes) % 60);
}

void trace_put(struct buf *out, const struct trace *trace)
{
    buf_addf(out, "Return-Path: <%s>\r\n", trace->sender);
    buf_add_str(out, "Received: from ");
    put_name(out, trace->lhlo);
    buf_add_str(out, " (");
    put_peer(out, trace->peer);
    buf_addf(out, ")\r\n\tby %s (Postern) with %s id %s", trace->host, trace->utf8 ? "UTF8LMTP" : "LMTP", trace->id);
    if (trace->recipient != NULL)
        buf_addf(out, "\r\n\tfor <%s>", trace->recipient);
    buf_add_str(out, ";\r\n\t");
    put_date(out, trace->when);
    buf_add_str(out, "\r\n");
}

struct span trace_message_id(struct span head)
{
    static const struct span name = { "Message-ID:", 11 };
    const char *p = head.at, *end = head.at + head.len;

    while (p < end) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        if (eol == NULL || eol == p)
            break;      /* the header ended, or what is here of it */
        if ((size_t)(eol - p) >= name.len && span_is_nocase((struct span){ p, name.len }, name)) {
            /* It may stand on the next line: folded. */
            while (eol + 2 < end && (eol[2] == ' ' || eol[2] == '\t')) {
                const char *next = memmem(eol + 2, (size_t)(end - eol - 2), "\r\n", 2);
                if (next == NULL)
                    return (struct span){ p, 0 };
                eol = next;
            }
            p += name.len;
            while (p < eol && strchr(" \t\r\n", *p) != NULL && *p != '\0')
                p++;
            while (eol > p && strchr(" \t\r\n", eol[-1]) != NULL && eol[-1] != '\0')
                eol--;
            return (struct span){ p, (size_t)(eol - p) };
        }
        p = eol + 2;
    }
    return (struct span){ head.at, 0 };
}
