/*
 * json.c - JSON (RFC 8259), written as it comes. Asks nobody, keeps no text.
 */
#include "admin/json.h"

#include "daemon/base/mem.h"
#include "daemon/base/utf8.h"

void json_start(struct json *j, FILE *out)
{
    *j = (struct json){ .out = out };
}

static void string(FILE *out, struct span text)
{
    const unsigned char *s = (const unsigned char *)text.at;
    uint32_t code;

    putc('"', out);
    for (size_t i = 0, n; i < text.len; i += n) {
        n = utf8_char((struct span){ text.at + i, text.len - i }, &code);
        if (n == 0) {
            n = 1;
            fputs("\\ufffd", out);
        } else if (s[i] == '"' || s[i] == '\\') {
            putc('\\', out);
            putc(s[i], out);
        } else if (s[i] < ' ' || s[i] == 0x7F) {
            fprintf(out, "\\u%04x", s[i]);
        } else {
            fwrite(s + i, 1, n, out);
        }
    }
    putc('"', out);
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
