/*
 * utf8.c - what is UTF-8. Never reads behind the end of the text.
 */
#include "daemon/base/utf8.h"

size_t utf8_char(struct span text, uint32_t *code_r)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = { { 0x80, 0x00, 0 }, { 0xE0, 0xC0, 0x80 }, { 0xF0, 0xE0, 0x800 }, { 0xF8, 0xF0, 0x10000 } };
    const unsigned char *p = (const unsigned char *)text.at;

    for (size_t n = 0; n < sizeof forms / sizeof forms[0] && n < text.len; n++) {
        if ((p[0] & forms[n].mask) != forms[n].lead)
            continue;
        uint32_t code = p[0] & (unsigned char)~forms[n].mask;
        for (size_t i = 1; i <= n; i++) {
            if ((p[i] & 0xC0) != 0x80)
                return 0;
            code = code << 6 | (p[i] & 0x3F);
        }
        if (code < forms[n].least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
            return 0;
        *code_r = code;
        return n + 1;
    }
    return 0;
}

bool utf8_valid(struct span text)
{
    uint32_t code;

    for (size_t n; text.len > 0; text = (struct span){ text.at + n, text.len - n })
        if ((n = utf8_char(text, &code)) == 0)
            return false;
    return true;
}
