/*
 * json.c - JSON (RFC 8259), written as it comes. Asks nobody, keeps no text.
 */
#include "admin/json.h"

#include "daemon/base/mem.h"

void json_start(struct json *j, FILE *out)
{
    *j = (struct json){ .out = out };
}

/* The length of the UTF-8 character at s (RFC 3629: shortest form, no surrogates), 0 if there is none. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
    static const struct { unsigned char from, to, second_from, second_to; size_t len; } forms[] = {
        { 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 }, { 0xE1, 0xEC, 0x80, 0xBF, 3 },
        { 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 }, { 0xF0, 0xF0, 0x90, 0xBF, 4 },
        { 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
    };

    if (s[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (s[0] < forms[i].from || s[0] > forms[i].to)
            continue;
        if (left < forms[i].len || s[1] < forms[i].second_from || s[1] > forms[i].second_to)
            return 0;
        for (size_t k = 2; k < forms[i].len; k++)
            if ((s[k] & 0xC0) != 0x80)
                return 0;
        return forms[i].len;
    }
    return 0;
}

static void string(FILE *out, struct span text)
{
    const unsigned char *s = (const unsigned char *)text.at;

    putc('"', out);
    for (size_t i = 0, n; i < text.len; i += n) {
        n = utf8_len(s + i, text.len - i);
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
