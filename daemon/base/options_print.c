/*
 * options_print.c - the option tables as a sample configuration and as a part
 * of the manual. Owns the layout of both; what it writes as a value is what
 * options_load() reads.
 */
#include "daemon/base/option_value.h"
#include "daemon/base/options.h"

#include <string.h>

#include "daemon/base/buf.h"

enum { COLUMNS = 78 };

static const char *kind(enum option_type type)
{
    switch (type) {
    case OPTION_BOOL:
        return "True or false";
    case OPTION_INT:
        return "Number";
    case OPTION_SIZE:
        return "Size";
    case OPTION_DURATION:
        return "Duration";
    case OPTION_TEXT:
        return "Text";
    case OPTION_WORD:
        return "One of";
    case OPTION_WORDS:
        return "Any of";
    }
    return "";
}

/* "Duration, 1s to 1d."; "One of "never", "local" or "always"." */
static void add_bounds(const struct option *o, struct buf *out)
{
    char low[OPTION_TEXT_SIZE], high[OPTION_TEXT_SIZE];

    option_number_format(o->type, o->min, low);
    option_number_format(o->type, o->max, high);
    buf_add_str(out, kind(o->type));
    if (o->words != NULL) {
        buf_add_str(out, " ");
        option_words_add(o, out);
    }
    if (o->type == OPTION_WORDS)
        buf_add_str(out, "; separated by commas or spaces");
    if (o->words == NULL && o->type != OPTION_BOOL)
        buf_addf(out, ", %s to %s%s", low, high, o->type == OPTION_TEXT ? " octets" : "");
    buf_add_str(out, ".");
}

static void comment(FILE *out, const char *indent, const char *text)
{
    size_t column = 0;

    while (*(text += strspn(text, " ")) != '\0') {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > COLUMNS) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)(column == 0 ? fprintf(out, "%s#", indent) : 0);
        column += (size_t)fprintf(out, " %.*s", (int)word, text);
        text += word;
    }
    if (column > 0)
        fputc('\n', out);
}

static bool in_quotes(const struct option *o)
{
    return o->type == OPTION_TEXT || o->words != NULL ||
           (o->type != OPTION_BOOL && o->def[strspn(o->def, "0123456789")] != '\0');
}

static void value(FILE *out, const struct option *o)
{
    if (!in_quotes(o)) {
        fputs(o->def, out);
        return;
    }
    fputc('"', out);
    for (const char *c = o->def; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            fputc('\\', out);
        fputc(*c, out);
    }
    fputc('"', out);
}

void options_sample(FILE *out, const struct option_table *table, bool in_list)
{
    const char *indent = in_list ? "    " : "";

    for (size_t i = 0; i < table->count; i++) {
        const struct option *o = &table->rows[i];
        struct buf bounds = BUF_EMPTY;
        add_bounds(o, &bounds);
        comment(out, indent, o->text);
        comment(out, indent, bounds.data);
        buf_free(&bounds);
        fprintf(out, "%s#%s = ", indent, o->name);
        value(out, o);
        fputs(i + 1 < table->count ? ";\n\n" : ";\n", out);
    }
}

/* Prose for mdoc: each sentence on a line of its own, nothing that roff would take for its own. */
static void roff(FILE *out, const char *text)
{
    size_t column = 0;

    while (*(text += strspn(text, " ")) != '\0') {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > COLUMNS) {
            fputc('\n', out);
            column = 0;
        }
        if (column > 0)
            fputc(' ', out);
        else if (*text == '.' || *text == '\'')
            fputs("\\&", out);
        for (size_t i = 0; i < word; i++) {
            fputc(text[i], out);
            if (text[i] == '\\')
                fputc('e', out);
        }
        column += 1 + word;
        text += word;
        if (strchr(".!?", text[-1]) != NULL && *text != '\0') {
            fputc('\n', out);
            column = 0;
        }
    }
    fputc('\n', out);
}

/* The same as the argument of a macro. */
static void roff_argument(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputs("\\(dq", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
    }
}

void options_manual(FILE *out, const struct option_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *o = &table->rows[i];
        struct buf bounds = BUF_EMPTY;
        add_bounds(o, &bounds);
        fprintf(out, ".It Ic %s\n", o->name);
        roff(out, o->text);
        roff(out, bounds.data);
        buf_free(&bounds);
        if (o->def[0] != '\0') {
            fputs("The default is\n.Ql ", out);
            roff_argument(out, o->def);
            fputs(" .\n", out);
        }
    }
}
