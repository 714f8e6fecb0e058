/*
 * csv.c - a table that an operator wrote (see csv.h).
 *
 * Works in place: a field becomes shorter by its quotes, and its separator a NUL.
 */
#include "admin/csv.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

/* ------------------------------------------------------------------ reading */

/* What was held is wiped, not left to the allocator. */
static char *larger(char *text, size_t len, size_t room)
{
    char *more = mem_alloc(room + 1);

    memcpy(more, text, len);
    secret_wipe(text, len);
    mem_free(text);
    return more;
}

static char *read_all(int fd, size_t *len_r, const char **error_r)
{
    size_t room = 65536, len = 0;
    char *text = mem_alloc(room + 1);

    *error_r = NULL;
    for (;;) {
        ssize_t got;

        if (len == room) {
            room = 2 * room;
            text = larger(text, len, room);
        }
        got = read(fd, text + len, room - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            *error_r = strerror(errno);
        else if ((len += (size_t)got) > CSV_TEXT_MAX)
            *error_r = "is larger than 1 GB";
        if (got <= 0 || *error_r != NULL)
            break;
    }
    *len_r = len;
    if (*error_r == NULL)
        return text;
    secret_wipe(text, len);
    mem_free(text);
    return NULL;
}

char *csv_slurp(const char *path, size_t *len_r, const char **error_r)
{
    const bool input = strcmp(path, "-") == 0;
    int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char *text;

    if (fd < 0) {
        *error_r = strerror(errno);
        return NULL;
    }
    text = read_all(fd, len_r, error_r);
    if (!input)
        close(fd);
    return text;
}

/* ------------------------------------------------------------------ parsing */

/* The next line of the text, without its end, which becomes a NUL. */
static bool next_line(char **at, char *end, char **line_r, size_t *len_r)
{
    char *lf;
    size_t len;

    if (*at >= end)
        return false;
    lf = memchr(*at, '\n', (size_t)(end - *at));
    *line_r = *at;
    len = (size_t)((lf != NULL ? lf : end) - *at);
    *at += len + 1;
    if (len > 0 && (*line_r)[len - 1] == '\r')
        len--;
    (*line_r)[len] = '\0';
    *len_r = len;
    return true;
}

/* Which of them stands first outside of quotes; a line of one column has none. */
static char separator_of(const char *line)
{
    bool quoted = false;

    for (; *line != '\0'; line++) {
        if (*line == '"')
            quoted = !quoted;
        else if (!quoted && (*line == ',' || *line == ';' || *line == '\t'))
            return *line;
    }
    return ',';
}

/* A field in quotes, of which *at is the first. False if they are not closed, or something follows them. */
static bool quoted(char **at, char separator, const char **fault_r)
{
    char *from = *at + 1, *to = *at;

    for (; *from != '\0' && (from[0] != '"' || from[1] == '"'); from++) {
        if (*from == '"')
            from++;
        *to++ = *from;
    }
    if (*from == '\0') {
        *fault_r = "a quote is not closed in this line";
        return false;
    }
    from++;
    if (*from != '\0' && *from != separator) {
        *fault_r = "something follows a closing quote";
        return false;
    }
    *to = '\0';
    *at = from;
    return true;
}

/*
 * Splits a line in place into at most `most` fields; returns how many there are, which may be
 * more. *fault_r: it cannot be split.
 */
static size_t split(char *line, char separator, char **fields, size_t most, const char **fault_r)
{
    size_t n = 0;

    *fault_r = NULL;
    for (char *at = line;; at++) {
        char *field = at;

        if (*at == '"') {
            if (!quoted(&at, separator, fault_r))
                return 0;
        } else {
            while (*at != '\0' && *at != separator)
                at++;
        }
        if (n < most)
            fields[n] = field;
        n++;
        const bool last = *at == '\0';
        *at = '\0';
        if (last)
            return n;
    }
}

static void add_row(struct csv *c, char *line, size_t len, size_t number, char separator)
{
    struct csv_row *row;
    size_t n;

    if (c->count == c->room) {
        c->room = c->room > 0 ? 2 * c->room : 256;
        c->rows = mem_resize(c->rows, c->room, sizeof *c->rows);
        c->fields = mem_resize(c->fields, c->room * c->column_count, sizeof *c->fields);
    }
    row = &c->rows[c->count];
    *row = (struct csv_row){ .line = number };
    if (memchr(line, '\0', len) != NULL) {
        row->fault = "it contains a NUL";
    } else {
        n = split(line, separator, c->fields + c->count * c->column_count, c->column_count, &row->fault);
        if (row->fault == NULL && n < c->column_count)
            row->fault = "it has fewer fields than there are columns: was the file cut off?";
        else if (row->fault == NULL && n > c->column_count)
            row->fault = "it has more fields than there are columns";
    }
    c->count++;
}

static void small_letters(char *name)
{
    size_t from = strspn(name, " \t"), len = strlen(name + from);

    memmove(name, name + from, len + 1);
    while (len > 0 && (name[len - 1] == ' ' || name[len - 1] == '\t'))
        name[--len] = '\0';
    for (; *name != '\0'; name++)
        *name = (char)tolower((unsigned char)*name);
}

static const char *header(struct csv *c, char *line, size_t len, char *separator_r)
{
    const char *fault;

    if (memchr(line, '\0', len) != NULL)
        return "its first line contains a NUL: is it a spreadsheet that was not exported as CSV?";
    *separator_r = separator_of(line);
    c->column_count = split(line, *separator_r, c->columns, CSV_COLUMNS_MAX, &fault);
    if (fault != NULL || c->column_count > CSV_COLUMNS_MAX) {
        c->column_count = 0;
        return fault != NULL ? fault : "its first line has more than 64 columns";
    }
    for (size_t i = 0; i < c->column_count; i++)
        small_letters(c->columns[i]);
    return NULL;
}

struct csv *csv_parse(char *text, size_t len, const char **error_r)
{
    struct csv *c = mem_zalloc(sizeof *c);
    char *at = text, *end = text + len, *line, separator = ',';
    size_t number = 0, n;

    c->text = text;
    c->text_len = len;
    *error_r = "it has no line that names the columns";
    text[len] = '\0';
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        at += 3;            /* what some spreadsheets begin with */
    while (next_line(&at, end, &line, &n)) {
        number++;
        if (n == 0 || line[0] == '#')
            continue;
        if (c->column_count > 0)
            add_row(c, line, n, number, separator);
        else if ((*error_r = header(c, line, n, &separator)) != NULL)
            break;
    }
    if (*error_r != NULL) {
        csv_free(&c);
        return NULL;
    }
    for (size_t i = 0; i < c->count; i++)
        if (c->rows[i].fault == NULL)
            c->rows[i].fields = c->fields + i * c->column_count;
    return c;
}

void csv_free(struct csv **csv)
{
    struct csv *c = *csv;

    secret_wipe(c->text, c->text_len);
    mem_free(c->text);
    mem_free(c->rows);
    mem_free(c->fields);
    mem_free(c);
    *csv = NULL;
}
