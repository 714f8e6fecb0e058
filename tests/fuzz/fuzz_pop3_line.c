/* POP3: command lines, however the octets come, and their arguments. */
#include "daemon/pop3/args.h"
#include "daemon/session/line.h"
#include "daemon/base/buf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void check_command(struct span line)
{
    struct args args;
    struct span rest;
    char verb[VERB_LEN];
    size_t octets = 0;
    bool more;

    MUST(line.len == 0 || memchr(line.at, '\n', line.len) == NULL);
    MUST(line.len == 0 || memchr(line.at, '\0', line.len) == NULL);
    if (!args_verb(line, verb, &rest, &more) || !args_split(rest, &args))
        return;
    MUST(args.count >= 1 && args.count <= ARGS_MAX);
    for (unsigned i = 0; i < args.count; i++) {
        MUST(args.v[i].len > 0 && memchr(args.v[i].at, ' ', args.v[i].len) == NULL);
        octets += args.v[i].len;
    }
    MUST(octets + args.count - 1 == rest.len);
}

/* What is told of a stream, one line each; the octets come in the pieces of `c`. */
static void tell(struct buf *told, struct span stream, size_t limit, struct cuts *c)
{
    struct line_reader reader = { 0 };
    struct buf kept = BUF_EMPTY;

    while (stream.len > 0) {
        struct span piece = c != NULL ? cut(c, &stream) : take_span(&stream, stream.len);
        struct span in, line;
        enum line_kind kind;

        buf_add(&kept, piece.at, piece.len);
        in = exact(buf_span(&kept));
        struct span all = in;
        while ((kind = line_next(&reader, LINE_ENDS_LF, limit, &in, &line)) != LINE_MORE && kind != LINE_ENDLESS) {
            buf_addf(told, "%d ", kind);
            if (kind == LINE_COMMAND) {
                MUST(line.len < limit);
                check_command(line);
                buf_add(told, line.at, line.len);
            }
            buf_add_str(told, "\n");
        }
        buf_consume(&kept, all.len - in.len);
        exact_free(all);
        /* A conn keeps no more than this of what was not consumed. */
        MUST(buf_left(&kept) < limit);
        if (kind == LINE_ENDLESS) {
            buf_add_str(told, "endless\n");
            break;
        }
    }
    buf_free(&kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    size_t limit = take_octet(&in) & 1 ? LINE_SASL_LIMIT : LINE_LIMIT;
    struct cuts c = take_cuts(&in);
    struct buf whole = BUF_EMPTY, cut = BUF_EMPTY;

    tell(&whole, in, limit, NULL);
    tell(&cut, in, limit, &c);
    MUST(span_is(buf_span(&whole), buf_span(&cut)));
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
