/* POP3: what RETR and TOP send, against a reference that has the whole message in its hands. */
#include "daemon/base/buf.h"
#include "daemon/pop3/stuff.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void stuff(struct stuff *st, struct span message, struct cuts *c, struct buf *out)
{
    struct span end;

    while (message.len > 0) {
        struct span piece = exact(cut(c, &message)), all = piece;
        struct stuff_run run;

        piece = stuff_cut(st, piece);
        MUST(piece.at == all.at && piece.len <= all.len);
        while (stuff_next(st, &piece, &run)) {
            if (run.dot)
                buf_add_str(out, ".");
            buf_add(out, run.bytes.at, run.bytes.len);
        }
        exact_free(all);
    }
    end = stuff_end(st);
    buf_add(out, end.at, end.len);
}

/* Where TOP ends: behind the blank line and so many lines more. */
static size_t top_end(struct span m, uint64_t lines)
{
    bool header = true;
    size_t start = 0;

    for (size_t i = 0; i < m.len; i++) {
        if (!header && lines == 0)
            return i;
        if (m.at[i] != '\n')
            continue;
        size_t len = i - start;
        if (header)
            header = !(len == 0 || (len == 1 && m.at[start] == '\r'));
        else
            lines--;
        start = i + 1;
    }
    return m.len;
}

/* As a client does it: a line at a time, to the one that is a dot alone. */
static void unstuff(struct span in, struct buf *out)
{
    for (;;) {
        const char *end = memmem(in.at, in.len, "\r\n", 2);

        MUST(end != NULL);
        size_t len = (size_t)(end - in.at);
        if (len == 1 && in.at[0] == '.') {
            MUST(in.len == 3);
            return;
        }
        if (len > 0 && in.at[0] == '.') {
            buf_add(out, in.at + 1, len + 1);
        } else {
            buf_add(out, in.at, len + 2);
        }
        in.at += len + 2;
        in.len -= len + 2;
    }
}

/* Bare line ends are stuffed, too, which a client that only knows CRLF would take for content: only messages as they are stored. */
static bool is_stored_form(struct span m)
{
    for (size_t i = 0; i < m.len; i++) {
        if (m.at[i] == '\n' && (i == 0 || m.at[i - 1] != '\r'))
            return false;
        if (m.at[i] == '\r' && (i + 1 == m.len || m.at[i + 1] != '\n'))
            return false;
    }
    return true;
}

/* No client may see an end before the end, whatever it takes for a line end (Y04). */
static void check_no_early_end(struct span out)
{
    for (size_t i = 0; i + 3 < out.len; i++)
        if ((i == 0 || out.at[i - 1] == '\n' || out.at[i - 1] == '\r') && out.at[i] == '.')
            MUST(out.at[i + 1] != '\n' && out.at[i + 1] != '\r');
}

static void check(struct span message, bool top, uint64_t lines, struct cuts c)
{
    struct buf out = BUF_EMPTY, back = BUF_EMPTY;
    struct stuff st;
    struct span wanted = message;

    if (top) {
        stuff_top(&st, lines);
        wanted.len = top_end(message, lines);
    } else {
        stuff_whole(&st);
    }
    stuff(&st, message, &c, &out);
    MUST(st.octets == wanted.len);
    check_no_early_end(buf_span(&out));
    if (is_stored_form(message)) {
        unstuff(buf_span(&out), &back);
        if (wanted.len > 0 && wanted.at[wanted.len - 1] != '\n') {
            MUST(buf_left(&back) == wanted.len + 2);
            back.len -= 2;
        }
        MUST(span_is(buf_span(&back), wanted));
    }
    buf_free(&out);
    buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    uint64_t lines = take_octet(&in);
    struct cuts c = take_cuts(&in);
    struct buf converted = BUF_EMPTY;

    check(in, false, 0, c);
    check(in, true, lines, c);
    /* And as it would be stored. */
    for (size_t i = 0; i < in.len; i++)
        if (in.at[i] == '\n')
            buf_add_str(&converted, "\r\n");
        else if (in.at[i] != '\r')
            buf_add(&converted, in.at + i, 1);
    check(buf_span(&converted), false, 0, c);
    check(buf_span(&converted), true, lines, c);
    buf_free(&converted);
    return 0;
}
