/*
 * json.c - JSON (RFC 8259), written as it comes. Asks nobody.
 */
#include "admin/json.h"

#include "admin/shown.h"
#include "daemon/base/json_quote.h"
#include "daemon/base/mem.h"
#include "daemon/base/utf8.h"

void json_start(struct json *j, FILE *out)
{
    *j = (struct json){ .out = out };
}

/* \u and four digits, above U+FFFF as a pair of surrogates (RFC 8259 section 7). */
static void escaped(FILE *out, uint32_t code)
{
    if (code > 0xFFFF)
        fprintf(out, "\\u%04x\\u%04x", (unsigned)(0xD800 + ((code - 0x10000) >> 10)),
                (unsigned)(0xDC00 + ((code - 0x10000) & 0x3FF)));
    else
        fprintf(out, "\\u%04x", (unsigned)code);
}

/* It may be printed on a terminal: characters that a terminal could obey are escaped too (shown.h). */
static void string(FILE *out, struct span text)
{
    static struct buf quoted = BUF_EMPTY;

    buf_clear(&quoted);
    json_quote(&quoted, text);
    for (struct span s = buf_span(&quoted); s.len > 0;) {
        uint32_t code;
        size_t n = utf8_char(s, &code);

        if (shown_plain(s) > 0)
            fwrite(s.at, 1, n, out);
        else
            escaped(out, code);
        s = (struct span){ s.at + n, s.len - n };
    }
}

static void member(struct json *j, const char *key)
{
    if (j->some[j->depth])
        putc(',', j->out);
    /* A line for each element of an outer array: long lists can be read, and grepped. */
    if (j->depth == 1 && j->array[1])
        putc('\n', j->out);
    j->some[j->depth] = true;
    ASSERT((key == NULL) == (j->depth == 0 || j->array[j->depth]));
    if (key == NULL)
        return;
    string(j->out, span_str(key));
    putc(':', j->out);
}

static void begin(struct json *j, const char *key, bool array)
{
    member(j, key);
    ASSERT(j->depth < JSON_DEPTH);
    putc(array ? '[' : '{', j->out);
    j->depth++;
    j->some[j->depth] = false;
    j->array[j->depth] = array;
}

void json_object(struct json *j, const char *key) { begin(j, key, false); }
void json_array(struct json *j, const char *key) { begin(j, key, true); }

void json_end(struct json *j)
{
    ASSERT(j->depth > 0);
    putc(j->array[j->depth] ? ']' : '}', j->out);
    if (--j->depth == 0)
        putc('\n', j->out);
}

void json_text(struct json *j, const char *key, struct span text)
{
    member(j, key);
    string(j->out, text);
}

void json_int(struct json *j, const char *key, int64_t n)
{
    member(j, key);
    fprintf(j->out, "%lld", (long long)n);
}

void json_bool(struct json *j, const char *key, bool b)
{
    member(j, key);
    fputs(b ? "true" : "false", j->out);
}

void json_null(struct json *j, const char *key)
{
    member(j, key);
    fputs("null", j->out);
}
