/*
 * scheme_text.c - names in braces and the octets behind them (see scheme_text.h).
 */
#include "auth/scheme/scheme_text.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

bool secret_text_parse(const char *stored, struct secret_text *t)
{
    static const struct {
        const char *suffix;
        enum secret_code code;
    } codes[] = { { ".HEX", CODE_HEX }, { ".B64", CODE_BASE64 }, { ".BASE64", CODE_BASE64 } };
    const char *end = stored[0] == '{' ? strchr(stored, '}') : NULL;

    if (end == NULL)
        return false;
    t->name = (struct span){ stored + 1, (size_t)(end - stored - 1) };
    t->code = CODE_NONE;
    t->text = end + 1;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        size_t len = strlen(codes[i].suffix);
        if (t->name.len > len && strncasecmp(t->name.at + t->name.len - len, codes[i].suffix, len) == 0) {
            t->name.len -= len;
            t->code = codes[i].code;
            break;
        }
    }
    return true;
}

bool secret_text_is(const struct secret_text *t, const char *name)
{
    return t->name.len == strlen(name) && strncasecmp(t->name.at, name, t->name.len) == 0;
}

bool secret_text_decode(const char *text, enum secret_code code, unsigned char *out, size_t size, size_t *len_r)
{
    size_t len = strlen(text);
    const char *end;

    *len_r = 0;
    if (code == CODE_HEX)
        return sodium_hex2bin(out, size, text, len, NULL, len_r, &end) == 0 && *end == '\0';
    /* Padded as it should be, or not at all. */
    int variant =
        len > 0 && text[len - 1] == '=' ? sodium_base64_VARIANT_ORIGINAL : sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
    return sodium_base642bin(out, size, text, len, NULL, len_r, &end, variant) == 0 && *end == '\0';
}
