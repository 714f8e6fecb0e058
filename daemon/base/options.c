/*
 * options.c - from a libconfig file to the modules' settings. Owns the checks
 * of names, types and bounds; must never end the process for what stands in
 * the file, as a running daemon reads it again on SIGHUP, and never stop at the
 * first problem.
 */
#include "daemon/base/options.h"

#include <ctype.h>
#include <errno.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/buf.h"
#include "daemon/base/list.h"
#include "daemon/base/mem.h"
#include "daemon/base/option_value.h"

enum {
    FILE_MAX = 1048576,
    WORD_SHOWN = 64,            /* octets of a wrong word in a message */
};

struct reading {
    const char *file;
    const struct option_target *targets;
    size_t count;
    struct option_list *list;
    bool allow_unknown;
    options_problem *problem;
    void *arg;
    int problems;
};

static void problem(struct reading *r, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void problem(struct reading *r, int line, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->problems++;
    r->problem(r->arg, r->file, line, text);
}

/* --- settings --- */

/* An enum without a negative constant is an unsigned int to gcc and clang, and is set as one. */
_Static_assert(sizeof(enum option_type) == sizeof(unsigned), "enums are as wide as unsigned");

static void *field(void *settings, const struct option *o)
{
    return (char *)settings + o->offset;
}

static void set_value(void *settings, const struct option *o, const struct option_value *v)
{
    switch (o->type) {
    case OPTION_BOOL:
        *(bool *)field(settings, o) = v->number != 0;
        break;
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_DURATION:
        *(int64_t *)field(settings, o) = v->number;
        break;
    case OPTION_WORD:
    case OPTION_WORDS:
        *(unsigned *)field(settings, o) = (unsigned)v->number;
        break;
    case OPTION_TEXT: {
        char **text = field(settings, o);
        mem_free(*text);
        *text = mem_str(v->text);
        break;
    }
    }
}

static void set_defaults(const struct option_table *table, void *settings)
{
    memset(settings, 0, table->size);
    for (size_t i = 0; i < table->count; i++) {
        const struct option *o = &table->rows[i];
        struct option_value v;
        struct span wrong;
        ASSERT(o->words != NULL ? option_words_parse(o, o->def, &v, &wrong) : option_value_parse(o->type, o->def, &v));
        set_value(settings, o, &v);
    }
}

void options_free(const struct option_table *table, void *settings)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].type != OPTION_TEXT)
            continue;
        char **text = field(settings, &table->rows[i]);
        mem_free(*text);
        *text = NULL;
    }
}

static void *list_item(const struct option_list *list, size_t i)
{
    return (char *)list->items + i * list->table->size;
}

void options_free_list(struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        options_free(list->table, list_item(list, i));
    mem_free(list->items);
    mem_free(list->lines);
    list->items = NULL;
    list->lines = NULL;
    list->count = 0;
}

/* --- names --- */

/* libconfig has NULL where it had no memory for a name or a text. */
static const char *kept(const char *text)
{
    if (text == NULL)
        mem_exhausted(1);
    return text;
}

const struct option *options_row(const struct option_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].name, name) == 0)
            return &table->rows[i];
    return NULL;
}

/* How many letters have to be changed, put in or taken out, or swapped with their neighbour. */
static size_t distance(const char *a, const char *b)
{
    enum { NAME_MAX_LEN = 63 };
    size_t la = strlen(a), lb = strlen(b);
    size_t rows[3][NAME_MAX_LEN + 1], *before = rows[0], *last = rows[1], *now = rows[2];

    if (la > NAME_MAX_LEN || lb > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t j = 0; j <= lb; j++)
        last[j] = j;
    for (size_t i = 1; i <= la; i++) {
        now[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[lb];
}

struct nearest {
    const char *name;
    size_t distance;
};

static void nearest_try(struct nearest *n, const char *wanted, const char *name)
{
    size_t d = distance(wanted, name);
    if (d < n->distance && d * 3 <= strlen(wanted)) {
        n->name = name;
        n->distance = d;
    }
}

static void nearest_in(struct nearest *n, const char *wanted, const struct option_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        nearest_try(n, wanted, table->rows[i].name);
}

static void unknown_name(struct reading *r, int line, const char *name, const struct nearest *n)
{
    if (r->allow_unknown)
        return;
    if (n->name != NULL)
        problem(r, line, "unknown option %s, did you mean %s?", name, n->name);
    else
        problem(r, line, "unknown option %s", name);
}

/* --- values --- */

/* given is NULL where there is no text. */
static void read_words(struct reading *r, const struct option *o, int line, const char *given, void *settings)
{
    struct buf words = BUF_EMPTY;
    struct option_value v;
    struct span wrong = { NULL, 0 };

    if (given != NULL && option_words_parse(o, given, &v, &wrong)) {
        set_value(settings, o, &v);
        return;
    }
    option_words_add(o, &words);
    wrong.len = wrong.len < WORD_SHOWN ? wrong.len : WORD_SHOWN;
    if (given == NULL && o->type == OPTION_WORD)
        problem(r, line, "%s must be %s", o->name, words.data);
    else if (given == NULL)
        problem(r, line, "%s must be a list of these in double quotes: %s", o->name, words.data);
    else if (o->type == OPTION_WORD)
        problem(r, line, "%s must be %s and is \"%.*s\"", o->name, words.data, (int)wrong.len, wrong.at);
    else if (list_words(wrong, o->words, &(unsigned){ 0 }, &wrong))
        problem(r, line, "%s: \"%.*s\" is there twice", o->name, (int)wrong.len, wrong.at);
    else
        problem(r, line, "%s: \"%.*s\" is not one of %s", o->name, (int)wrong.len, wrong.at, words.data);
    buf_free(&words);
}

static void read_value(struct reading *r, const struct option *o, const config_setting_t *s, void *settings)
{
    char given[OPTION_TEXT_SIZE], low[OPTION_TEXT_SIZE], high[OPTION_TEXT_SIZE];
    struct option_value v = { 0, NULL };
    int line = (int)config_setting_source_line(s), type = config_setting_type(s);
    bool understood = false;

    switch (o->type) {
    case OPTION_BOOL:
        understood = type == CONFIG_TYPE_BOOL;
        v.number = understood && config_setting_get_bool(s);
        break;
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_DURATION:
        if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64) {
            understood = true;
            v.number = type == CONFIG_TYPE_INT ? config_setting_get_int(s) : config_setting_get_int64(s);
            int64_t seconds = v.number;
            if (o->type == OPTION_DURATION && __builtin_mul_overflow(seconds, 1000, &v.number))
                v.number = seconds < 0 ? INT64_MIN : INT64_MAX;
        } else if (type == CONFIG_TYPE_STRING && o->type != OPTION_INT) {
            understood = option_value_parse(o->type, kept(config_setting_get_string(s)), &v);
        }
        break;
    case OPTION_WORD:
    case OPTION_WORDS:
        read_words(r, o, line, type == CONFIG_TYPE_STRING ? kept(config_setting_get_string(s)) : NULL, settings);
        return;
    case OPTION_TEXT:
        understood = type == CONFIG_TYPE_STRING;
        v.text = understood ? kept(config_setting_get_string(s)) : NULL;
        break;
    }
    if (!understood) {
        problem(r, line, "%s must be %s", o->name, option_type_prose(o->type));
        return;
    }
    if (option_value_in_bounds(o, &v)) {
        set_value(settings, o, &v);
        return;
    }
    option_number_format(o->type, o->min, low);
    option_number_format(o->type, o->max, high);
    if (o->type == OPTION_TEXT) {
        problem(r, line, "%s must be %s to %s octets long and is %zu", o->name, low, high, strlen(v.text));
    } else {
        option_number_format(o->type, v.number, given);
        problem(r, line, "%s must be from %s to %s and is %s", o->name, low, high, given);
    }
}

static void read_list_item(struct reading *r, config_setting_t *group, void *settings)
{
    const struct option_table *table = r->list->table;

    if (!config_setting_is_group(group)) {
        problem(r, (int)config_setting_source_line(group), "%s must hold groups only, as { %s = ...; }", r->list->name,
                table->rows[0].name);
        return;
    }
    for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, i);
        const char *name = kept(config_setting_name(s));
        const struct option *o = options_row(table, name);
        if (o != NULL) {
            read_value(r, o, s, settings);
            continue;
        }
        struct nearest n = { NULL, SIZE_MAX };
        nearest_in(&n, name, table);
        unknown_name(r, (int)config_setting_source_line(s), name, &n);
    }
}

static void read_list(struct reading *r, config_setting_t *s)
{
    struct option_list *list = r->list;

    if (!config_setting_is_list(s)) {
        problem(r, (int)config_setting_source_line(s), "%s must be a list of groups, as ( { %s = ...; } )",
                list->name, list->table->rows[0].name);
        return;
    }
    list->count = (size_t)config_setting_length(s);
    list->items = mem_array(list->count, list->table->size);
    list->lines = mem_array(list->count, sizeof *list->lines);
    for (size_t i = 0; i < list->count; i++) {
        config_setting_t *group = config_setting_get_elem(s, (unsigned)i);
        list->lines[i] = (int)config_setting_source_line(group);
        set_defaults(list->table, list_item(list, i));
        read_list_item(r, group, list_item(list, i));
    }
}

static void read_top(struct reading *r, config_setting_t *s)
{
    const char *name = kept(config_setting_name(s));
    struct nearest n = { NULL, SIZE_MAX };

    if (r->list != NULL && strcmp(name, r->list->name) == 0) {
        read_list(r, s);
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        const struct option *o = options_row(r->targets[i].table, name);
        if (o != NULL) {
            read_value(r, o, s, r->targets[i].settings);
            return;
        }
        nearest_in(&n, name, r->targets[i].table);
    }
    if (r->list != NULL)
        nearest_try(&n, name, r->list->name);
    unknown_name(r, (int)config_setting_source_line(s), name, &n);
}

/* --- the file --- */

static bool read_file(struct reading *r, struct buf *text)
{
    struct stat st;
    FILE *in = fopen(r->file, "re");
    const char *why = NULL;

    if (in == NULL) {
        problem(r, 0, "could not open: %s", strerror(errno));
        return false;
    }
    if (fstat(fileno(in), &st) == 0 && S_ISDIR(st.st_mode)) {
        why = "is a directory";
    } else {
        size_t n;
        do {
            n = fread(buf_reserve(text, 4096), 1, 4096, in);
            buf_commit(text, n);
        } while (n > 0 && buf_left(text) <= FILE_MAX);
        if (ferror(in))
            why = "could not be read completely";
        else if (buf_left(text) > FILE_MAX)
            why = "is larger than 1 MiB";
    }
    fclose(in);
    if (why != NULL)
        problem(r, 0, "%s", why);
    return why == NULL;
}

/* Where the token ends that begins at `at`: what libconfig's lexer would take, as far as it matters here. */
static size_t token_end(struct span t, size_t at)
{
    size_t i = at + 1;
    char c = t.at[at];

    if (c == '"') {
        while (i < t.len && t.at[i] != '"')
            i += t.at[i] == '\\' ? 2 : 1;
        return i < t.len ? i + 1 : t.len;
    }
    if (c == '#' || (c == '/' && i < t.len && t.at[i] == '/')) {
        while (i < t.len && t.at[i] != '\n')
            i++;
        return i;
    }
    if (c == '/' && i < t.len && t.at[i] == '*') {
        const char *end = memmem(t.at + i + 1, t.len - i - 1, "*/", 2);
        return end != NULL ? (size_t)(end - t.at) + 2 : t.len;
    }
    if (isalnum((unsigned char)c) || c == '*')
        while (i < t.len && (isalnum((unsigned char)t.at[i]) || strchr("-_*.", t.at[i]) != NULL))
            i++;
    return i;
}

/*
 * Two things that libconfig 1.5 does must not happen to a daemon: a number of
 * more than 32 bits is cut without a word unless it ends in L (so that is put
 * there), and an @include of something that cannot be read ends the process.
 */
static bool prepare(struct reading *r, struct span in, struct buf *out)
{
    int line = 1;
    bool fine = true;

    for (size_t at = 0, end; at < in.len; at = end) {
        end = token_end(in, at);
        const struct span token = { in.at + at, end - at };
        size_t digits = 0;
        while (digits < token.len && isdigit((unsigned char)token.at[digits]))
            digits++;
        bool hex = token.len > 2 && token.at[0] == '0' && (token.at[1] | 0x20) == 'x';
        buf_add(out, token.at, token.len);
        if (token.len > 9 && (digits == token.len || hex))
            buf_add_str(out, "L");
        if (token.at[0] == '@') {
            problem(r, line, "@include is not supported");
            fine = false;
        }
        for (size_t i = 0; i < token.len; i++) {
            if (token.at[i] == '\n')
                line++;
            if (token.at[i] == '\0' && fine) {
                problem(r, line, "contains a NUL octet");
                fine = false;
            }
        }
    }
    buf_add(out, "\n", 1);      /* a comment in a last line without an end is a syntax error to libconfig */
    return fine;
}

static void read_config(struct reading *r)
{
    struct buf raw = BUF_EMPTY, text = BUF_EMPTY;
    config_t config;

    config_init(&config);
    if (read_file(r, &raw) && prepare(r, buf_span(&raw), &text)) {
        if (config_read_string(&config, text.data) == CONFIG_FALSE) {
            problem(r, config_error_line(&config), "%s", config_error_text(&config));
        } else {
            config_setting_t *root = config_root_setting(&config);
            for (unsigned i = 0; i < (unsigned)config_setting_length(root); i++)
                read_top(r, config_setting_get_elem(root, i));
        }
    }
    config_destroy(&config);
    buf_wipe(&raw);             /* a connection string may have a password in it */
    buf_wipe(&text);
}

int options_load(const char *file, const struct option_target *targets, size_t count,
                 struct option_list *list, bool allow_unknown, options_problem *problem_cb, void *arg)
{
    struct reading r = { file, targets, count, list, allow_unknown, problem_cb, arg, 0 };

    for (size_t i = 0; i < count; i++)
        set_defaults(targets[i].table, targets[i].settings);
    if (list != NULL) {
        list->items = NULL;
        list->lines = NULL;
        list->count = 0;
    }
    if (file != NULL)
        read_config(&r);
    return r.problems;
}
