/* LMTP: command lines, however the octets come. */
#include "daemon/base/buf.h"
#include "daemon/lmtp/line.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void tell(struct buf *told, struct span stream, struct cuts *c)
{
    struct line_reader reader = { 0 };
    struct buf kept = BUF_EMPTY;

    while (stream.len > 0) {
        struct span piece = c != NULL ? cut(c, &stream) : take_span(&stream, stream.len);
        enum line_result result;

        buf_add(&kept, piece.at, piece.len);
        do {
            struct span in = exact(buf_span(&kept)), line;
            size_t used = lmtp_line_next(&reader, in, &line, &result);

            MUST(used <= in.len);
            if (result == LINE_WHOLE) {
                MUST(memmem(line.at, line.len, "\r\n", 2) == NULL && line.len + 2 <= LINE_MAX_PATH);
                buf_add(told, line.at, line.len);
            }
            /* When it is seen that it never ends depends on how it comes. */
            if (result == LINE_WHOLE || result == LINE_TOO_LONG)
                buf_addf(told, " %d\n", result);
            buf_consume(&kept, used);
            exact_free(in);
        } while (result == LINE_WHOLE || result == LINE_TOO_LONG);
        MUST(buf_left(&kept) <= LINE_MAX_PATH);
        if (result == LINE_HOPELESS)
            break;
    }
    buf_free(&kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct cuts c = take_cuts(&in);
    struct buf whole = BUF_EMPTY, cut = BUF_EMPTY;

    if (in.len > LINE_ENDLESS / 2)
        in.len = LINE_ENDLESS / 2;
    tell(&whole, in, NULL);
    tell(&cut, in, &c);
    MUST(span_is(buf_span(&whole), buf_span(&cut)));
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
