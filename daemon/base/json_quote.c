/*
 * json_quote.c - text as JSON has it. The one place that knows what is escaped.
 */
#include "daemon/base/json_quote.h"

#include "daemon/base/utf8.h"

void json_quote(struct buf *out, struct span text)
{
    buf_add_str(out, "\"");
    for (size_t n; text.len > 0; text = (struct span){ text.at + n, text.len - n }) {
        uint32_t code;

        n = utf8_char(text, &code);
        if (n == 0) {
            n = 1;
            buf_add_str(out, "\\ufffd");
        } else if (code == '"' || code == '\\') {
            buf_addf(out, "\\%c", (int)code);
        } else if (code < ' ' || code == 0x7F) {
            buf_addf(out, "\\u%04x", (unsigned)code);
        } else {
            buf_add(out, text.at, n);
        }
    }
    buf_add_str(out, "\"");
}
