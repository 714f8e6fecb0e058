/*
 * xuidl.c - the field X-UIDL of a message.
 */
#include "admin/mail/xuidl.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "admin/mail/listfile.h"

enum { PIECE = 65536, HEADER_MAX = 1024 * 1024 };

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static struct span without_blanks(struct span s)
{
    while (s.len > 0 && is_blank(s.at[0]))
        s = (struct span){ s.at + 1, s.len - 1 };
    while (s.len > 0 && is_blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

bool xuidl_in(struct span header, struct span *value_r)
{
    while (header.len > 0) {
        bool whole;
        struct span line = listfile_line(&header, &whole);
        const char *colon = line.len > 0 ? memchr(line.at, ':', line.len) : NULL;

        if (without_blanks(line).len == 0)
            return false;
        if (colon == NULL || is_blank(line.at[0]))
            continue;
        const size_t len = (size_t)(colon - line.at);
        if (!span_is_nocase(without_blanks((struct span){ line.at, len }), SPAN_OF("X-UIDL")))
            continue;
        *value_r = without_blanks((struct span){ colon + 1, line.len - len - 1 });
        return true;
    }
    return false;
}

/* Has it an empty line? */
static bool is_whole(struct span head)
{
    return memmem(head.at, head.len, "\n\n", 2) != NULL || memmem(head.at, head.len, "\n\r\n", 3) != NULL;
}

bool xuidl_of(int fd, struct buf *value)
{
    struct buf head = BUF_EMPTY;
    struct span found;
    ssize_t got = 1;
    bool has;

    while (got != 0 && buf_left(&head) < HEADER_MAX && !is_whole(buf_span(&head))) {
        got = pread(fd, buf_reserve(&head, PIECE), PIECE, (off_t)buf_left(&head));
        if (got > 0)
            buf_commit(&head, (size_t)got);
        else if (got < 0 && errno != EINTR)
            break;
    }
    has = got >= 0 && xuidl_in(buf_span(&head), &found);
    if (has)
        buf_add(value, found.at, found.len);
    buf_free(&head);
    return has;
}
