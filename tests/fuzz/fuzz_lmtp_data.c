/* LMTP: DATA and BDAT against a reference that has all octets in its hands. */
#include "daemon/base/buf.h"
#include "daemon/lmtp/data.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void put(void *arg, struct span out)
{
    buf_add(arg, out.at, out.len);
}

/* Returns how many octets belong to the data, its end with it; *ended_r says if that was there. */
static size_t reference(struct span in, bool is_data, struct buf *out, bool *bare_r, bool *ended_r)
{
    bool line = true;       /* behind a CRLF */
    size_t i = 0;

    *bare_r = *ended_r = false;
    while (i < in.len) {
        if (is_data && line && in.at[i] == '.') {
            if (in.len - i >= 3 && in.at[i + 1] == '\r' && in.at[i + 2] == '\n') {
                *ended_r = true;
                return i + 3;
            }
            i++;
            line = false;
            continue;
        }
        line = false;
        if (in.at[i] == '\r' && i + 1 < in.len && in.at[i + 1] == '\n') {
            buf_add_str(out, "\r\n");
            line = true;
            i += 2;
        } else if (in.at[i] == '\r' || in.at[i] == '\n') {
            buf_add_str(out, "\r\n");
            *bare_r = true;
            i++;
        } else {
            buf_add(out, in.at + i++, 1);
        }
    }
    return i;
}

static void check(struct span in, bool is_data, struct cuts c)
{
    struct data_decoder d = DATA_START(is_data);
    struct buf got = BUF_EMPTY, wanted = BUF_EMPTY;
    struct span rest = in;
    size_t used = 0;
    bool bare, ended;

    while (rest.len > 0 && d.state != DATA_END) {
        struct span piece = exact(cut(&c, &rest));
        size_t n = data_decode(&d, piece, put, &got);

        MUST(n == piece.len || (n < piece.len && d.state == DATA_END));
        used += n;
        exact_free(piece);
    }
    size_t all = reference(in, is_data, &wanted, &bare, &ended);
    MUST(ended == (d.state == DATA_END) && used == all);
    if (!is_data)
        data_finish(&d, put, &got);
    if (ended) {
        MUST(span_is(buf_span(&got), buf_span(&wanted)) && d.bare == bare);
    } else if (!is_data) {
        struct span w = buf_span(&wanted), g = buf_span(&got);

        MUST(d.bare == bare && g.len >= w.len && span_is((struct span){ g.at, w.len }, w));
        MUST(g.len == w.len || (g.len == w.len + 2 && memcmp(g.at + w.len, "\r\n", 2) == 0));
        MUST(g.len == 0 || (g.len >= 2 && memcmp(g.at + g.len - 2, "\r\n", 2) == 0));
    }
    if (ended || !is_data)
        MUST(d.nul == (buf_left(&wanted) > 0 && memchr(buf_span(&wanted).at, '\0', buf_left(&wanted)) != NULL));
    buf_free(&got);
    buf_free(&wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct cuts c = take_cuts(&in);

    check(in, true, c);
    check(in, false, c);
    return 0;
}
