/*
 * listfile.c - reading the files in which mail servers keep lists.
 */
#include "admin/mail/listfile.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/base/num.h"

enum { READ = 65536, FILE_MAX = 512 * 1024 * 1024 };

const char *listfile_read(int fd, struct buf *text)
{
    char *piece = mem_alloc(READ);
    const char *why = NULL;
    ssize_t got;

    while (why == NULL && (got = read(fd, piece, READ)) != 0) {
        if (got < 0 && errno != EINTR)
            why = "cannot be read";
        else if (got > 0 && buf_left(text) + (size_t)got > FILE_MAX)
            why = "is larger than 512 MB";
        else if (got > 0)
            buf_add(text, piece, (size_t)got);
    }
    mem_free(piece);
    return why;
}

struct span listfile_line(struct span *text, bool *whole_r)
{
    const char *lf = memchr(text->at, '\n', text->len);
    struct span line = { text->at, lf != NULL ? (size_t)(lf - text->at) : text->len };
    size_t used = line.len + (lf != NULL);

    *whole_r = lf != NULL;
    *text = (struct span){ text->at + used, text->len - used };
    return line;
}

struct span listfile_word(struct span *line)
{
    const char *space = line->len > 0 ? memchr(line->at, ' ', line->len) : NULL;
    struct span word = { line->at, space != NULL ? (size_t)(space - line->at) : line->len };
    size_t used = word.len + (space != NULL);

    *line = (struct span){ line->at + used, line->len - used };
    return word;
}

struct span listfile_last_word(struct span *line)
{
    const char *space = line->len > 0 ? memrchr(line->at, ' ', line->len) : NULL;
    size_t at = space != NULL ? (size_t)(space - line->at) + 1 : 0;
    struct span word = { line->at + at, line->len - at };

    line->len = at > 0 ? at - 1 : 0;
    return word;
}

bool listfile_number(struct span word, uint32_t *n_r)
{
    uint64_t n;

    if (num_parse(word, UINT32_MAX, &n) != 1)
        return false;
    *n_r = (uint32_t)n;
    return true;
}

struct span listfile_base(struct span name)
{
    const char *colon = name.len > 0 ? memchr(name.at, ':', name.len) : NULL;

    return colon != NULL ? (struct span){ name.at, (size_t)(colon - name.at) } : name;
}

bool listfile_is_name(struct span name)
{
    return name.len > 0 && memchr(name.at, '/', name.len) == NULL && memchr(name.at, '\0', name.len) == NULL;
}
