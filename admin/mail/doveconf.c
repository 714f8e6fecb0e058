/*
 * doveconf.c - what Dovecot's configuration says of UIDLs.
 */
#include "admin/mail/doveconf.h"

#include <string.h>

#include "admin/mail/listfile.h"
#include "daemon/base/mem.h"

enum { DEPTH_MAX = 64 };

struct reading {
    struct doveconf *conf;
    unsigned depth;             /* of blocks that are open */
    unsigned pop3;              /* the depth inside `protocol pop3 {`; 0: not in there */
    bool settings;              /* there was one */
};

static struct span trimmed(struct span s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = (struct span){ s.at + 1, s.len - 1 };
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t' || s.at[s.len - 1] == '\r'))
        s.len--;
    return s;
}

/* Without its quotes, and what is quoted in them. */
static char *value_of(struct span s)
{
    char *value = mem_strn(s.at, s.len), *to = value;

    if (s.len < 2 || s.at[0] != '"' || s.at[s.len - 1] != '"')
        return value;
    for (size_t i = 1; i + 1 < s.len; i++) {
        if (s.at[i] == '\\' && i + 2 < s.len)
            i++;
        *to++ = s.at[i];
    }
    *to = '\0';
    return value;
}

static void keep_value(char **to, struct span value)
{
    mem_free(*to);
    *to = value_of(value);
    if (**to == '\0') {
        mem_free(*to);
        *to = NULL;
    }
}

static bool has_text(struct span s, const char *text)
{
    return s.len > 0 && memmem(s.at, s.len, text, strlen(text)) != NULL;
}

static void setting(struct reading *r, struct span name, struct span value)
{
    r->settings = true;
    if (span_is(name, SPAN_OF("mail_control_path")))
        r->conf->elsewhere |= value.len > 0;
    else if (span_is(name, SPAN_OF("mail_location")) || span_is(name, SPAN_OF("location")))
        r->conf->elsewhere |= has_text(value, ":CONTROL=");
    if (r->depth > 0 && r->pop3 == 0)
        return;
    if (span_is(name, SPAN_OF("pop3_uidl_format")))
        keep_value(&r->conf->uidl_format, value);
    else if (span_is(name, SPAN_OF("pop3_deleted_flag")))
        keep_value(&r->conf->deleted_flag, value);
    else if (span_is(name, SPAN_OF("pop3_reuse_xuidl")))
        r->conf->reuse_xuidl = span_is_nocase(value, SPAN_OF("yes")) || span_is_nocase(value, SPAN_OF("y")) ||
                               span_is_nocase(value, SPAN_OF("true"));
}

static const char *take_line(struct reading *r, struct span line)
{
    const char *equals;

    line = trimmed(line);
    if (line.len == 0 || line.at[0] == '#')
        return NULL;
    if (span_is(line, SPAN_OF("}"))) {
        if (r->depth == 0)
            return "is not what doveconf prints: it closes more blocks than it opens";
        r->depth--;
        if (r->depth < r->pop3)
            r->pop3 = 0;
        return NULL;
    }
    equals = memchr(line.at, '=', line.len);
    if (equals == NULL && line.at[line.len - 1] == '{') {
        if (++r->depth > DEPTH_MAX)
            return "has too many blocks in each other";
        if (r->depth == 1 && span_is(trimmed((struct span){ line.at, line.len - 1 }), SPAN_OF("protocol pop3")))
            r->pop3 = 1;
        return NULL;
    }
    if (equals == NULL)
        return "is not what doveconf prints: a line has no =";
    setting(r, trimmed((struct span){ line.at, (size_t)(equals - line.at) }),
            trimmed((struct span){ equals + 1, line.len - (size_t)(equals - line.at) - 1 }));
    return NULL;
}

const char *doveconf_read(int fd, struct doveconf *conf)
{
    struct reading r = { .conf = conf };
    struct buf text = BUF_EMPTY;
    const char *why;

    *conf = (struct doveconf){ .elsewhere = false };
    why = listfile_read(fd, &text);
    for (struct span left = buf_span(&text); why == NULL && left.len > 0;) {
        bool whole;

        why = take_line(&r, listfile_line(&left, &whole));
    }
    if (why == NULL && memchr(buf_span(&text).at, '\0', buf_left(&text)) != NULL)
        why = "is not what doveconf prints: it has an octet 0";
    if (why == NULL && r.depth > 0)
        why = "is not complete: a block is not closed";
    if (why == NULL && !r.settings)
        why = "is not what doveconf prints: it has no settings";
    buf_free(&text);
    return why;
}

void doveconf_free(struct doveconf *conf)
{
    mem_free(conf->uidl_format);
    mem_free(conf->deleted_flag);
    *conf = (struct doveconf){ .elsewhere = false };
}
