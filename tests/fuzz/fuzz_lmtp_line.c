/* LMTP: command lines, however the octets come. */
#include "daemon/base/buf.h"
#include "daemon/lmtp/session.h"
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
        enum line_kind kind;

        buf_add(&kept, piece.at, piece.len);
        do {
            struct span in = exact(buf_span(&kept)), rest = in, line;

            kind = line_next(&reader, LINE_ENDS_CRLF, LMTP_PATH_LIMIT, &rest, &line);
            MUST(rest.len <= in.len);
            if (kind == LINE_COMMAND || kind == LINE_NUL) {
                MUST(memmem(line.at, line.len, "\r\n", 2) == NULL && line.len + 2 <= LMTP_PATH_LIMIT);
                buf_add(told, line.at, line.len);
            }
            if (kind != LINE_MORE)
                buf_addf(told, " %d\n", kind);
            buf_consume(&kept, in.len - rest.len);
            exact_free(in);
        } while (kind != LINE_MORE && kind != LINE_ENDLESS);
        MUST(buf_left(&kept) < LMTP_PATH_LIMIT);
        if (kind == LINE_ENDLESS)
            break;
    }
    buf_free(&kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct cuts c = take_cuts(&in);
    struct buf whole = BUF_EMPTY, cut = BUF_EMPTY;

    tell(&whole, in, NULL);
    tell(&cut, in, &c);
    MUST(span_is(buf_span(&whole), buf_span(&cut)));
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
