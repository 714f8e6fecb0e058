/*
 * json.c - JSON (RFC 8259), written as it comes. Asks nobody.
 */
#include "admin/json.h"

#include "daemon/base/json_quote.h"
#include "daemon/base/mem.h"

void json_start(struct json *j, FILE *out)
{
    *j = (struct json){ .out = out };
}

static void string(FILE *out, struct span text)
{
    static struct buf quoted = BUF_EMPTY;

    buf_clear(&quoted);
    json_quote(&quoted, text);
    fwrite(buf_span(&quoted).at, 1, buf_span(&quoted).len, out);
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
