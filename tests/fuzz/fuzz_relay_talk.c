/* POP3: what an old server says up to its answer to a login, however the octets come. */
#include "auth/elsewhere.h"
#include "daemon/base/buf.h"
#include "daemon/pop3/relay_talk.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

/* The order that holds whatever it says: TLS and XCLIENT before a name, and each said once. */
static void check_order(unsigned *said, enum relay_next next, bool stls, bool xclient)
{
    bool password = next == RELAY_SAY_RESPONSE || next == RELAY_SAY_PASS;

    MUST(next == RELAY_WAIT || (*said & (1u << next)) == 0);
    *said |= 1u << next;
    if (password || next == RELAY_ACCEPTED || next == RELAY_REFUSED) {
        MUST(!stls || (*said & (1u << RELAY_BEGIN_TLS)) != 0);
        MUST(!xclient || (*said & (1u << RELAY_SAY_XCLIENT)) != 0);
        MUST((*said & (1u << RELAY_SAY_CAPA)) != 0);
    }
    if (next == RELAY_ACCEPTED)
        MUST((*said & (1u << RELAY_SAY_RESPONSE | 1u << RELAY_SAY_PASS)) != 0);
}

static void talk(struct span stream, bool stls, bool xclient, struct cuts *c)
{
    struct line_reader reader = { 0 };
    struct relay_talk t;
    struct buf kept = BUF_EMPTY;
    unsigned said = 0, lines = 0;
    bool over = false;

    relay_talk_begin(&t, stls, xclient);
    while (stream.len > 0 && !over) {
        struct span piece = cut(c, &stream);
        struct span in, line, all;

        buf_add(&kept, piece.at, piece.len);
        in = all = exact(buf_span(&kept));
        while (!over) {
            enum line_kind kind = line_next(&reader, LINE_ENDS_LF, RELAY_LINE_LIMIT, &in, &line);
            enum relay_next next;

            if (kind == LINE_MORE)
                break;
            next = relay_talk_line(&t, kind, line);
            check_order(&said, next, stls, xclient);
            if (next == RELAY_BEGIN_TLS)
                check_order(&said, relay_talk_secured(&t), stls, xclient);
            over = next == RELAY_ACCEPTED || next == RELAY_REFUSED || next == RELAY_FAULT;
            MUST(next != RELAY_FAULT || t.fault != NULL);
            MUST(++lines < 1000);
        }
        buf_consume(&kept, all.len - in.len);
        exact_free(all);
        MUST(over || buf_left(&kept) < RELAY_LINE_LIMIT);
    }
    buf_free(&kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct cuts c = take_cuts(&in);
    struct elsewhere e;
    uint8_t how = take_octet(&in);

    talk(in, how & 1, how & 2, &c);
    /* What the database says of it. */
    in = exact(in);
    if (elsewhere_parse(in, &e)) {
        MUST(e.port > 0 && e.server > 0 && e.host.len > 0 && e.name.len > 0 && e.name.len <= ELSEWHERE_NAME_MAX);
        MUST(memchr(e.name.at, '\r', e.name.len) == NULL && memchr(e.name.at, '\n', e.name.len) == NULL);
        MUST(memchr(e.host.at, ' ', e.host.len) == NULL);
        MUST(e.tls != ELSEWHERE_NONE || e.cleartext);
    }
    exact_free(in);
    return 0;
}
