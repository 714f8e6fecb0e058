/*
 * shown.c - names of files, and text that came with mail, as they are printed.
 */
#include "admin/shown.h"

#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/utf8.h"

enum { LENT = 4 };

/* Controls (C0, DEL, C1), line and paragraph separators, and what turns the direction of writing around. */
static bool obeyed(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
           (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE007F);
}

size_t shown_plain(struct span s)
{
    uint32_t c = 0;
    size_t len = utf8_char(s, &c);

    return len > 0 && !obeyed(c) ? len : 0;
}

static bool needs_quotes(struct span s)
{
    size_t n;

    for (; s.len > 0; s.at += n, s.len -= n)
        if ((n = shown_plain(s)) == 0 || s.at[0] == ' ' || s.at[0] == '"' || s.at[0] == '\\')
            return true;
    return false;
}

const char *shown_name(const char *name)
{
    static struct buf rooms[LENT];
    static unsigned turn;
    struct buf *out = &rooms[turn++ % LENT];
    struct span s = span_str(name);
    size_t n;

    if (s.len > 0 && !needs_quotes(s))
        return name;
    buf_clear(out);
    buf_add_str(out, "\"");
    for (; s.len > 0; s.at += n, s.len -= n) {
        n = shown_plain(s);
        if (n == 0 && (s.at[0] == '\n' || s.at[0] == '\t'))
            buf_add_str(out, s.at[0] == '\n' ? "\\n" : "\\t");
        else if (n == 0)
            buf_addf(out, "\\%03o", (unsigned char)s.at[0]);
        else if (s.at[0] == '"' || s.at[0] == '\\')
            buf_addf(out, "\\%c", s.at[0]);
        else
            buf_add(out, s.at, n);
        n = n > 0 ? n : 1;
    }
    buf_add_str(out, "\"");
    return buf_span(out).at;
}

void shown_text(char *text)
{
    size_t len = strlen(text), n;

    for (size_t i = 0; i < len; i += n > 0 ? n : 1)
        if ((n = shown_plain((struct span){ text + i, len - i })) == 0)
            text[i] = '?';
}
