/*
 * The import from a POP3 server, with a server that may say anything and may go at any time: the
 * session, the list, messages found again after the connection was lost, their octets.
 */
#include <stdarg.h>
#include <unistd.h>

#include "admin/mail/fromline.c"
#include "admin/mail/received.c"
#include "admin/mail/source_kind.c"
#include "admin/mail/source_pop3.c"
#include "admin/mail/spooled.c"
#include "admin/pop3/address.c"
#include "admin/pop3/client.c"
#include "admin/pop3/parse.c"
#include "admin/pop3/unstuff.c"
#include "admin/shown.c"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    setenv("TMPDIR", "/dev/shm", 1);
    return 0;
}

/* ------------------------------------------- the server: what is left of the input, in its pieces */

static struct span from_server;
static struct cuts cuts;
static bool plaintext_allowed;
static unsigned connections;

struct wire {
    struct buf in;
    size_t lent;
    bool tls;
};

struct wire *wire_new(const struct wire_how *how)
{
    MUST(how->host != NULL && how->timeout > 0);
    return mem_zalloc(sizeof(struct wire));
}

void wire_free(struct wire **wire)
{
    buf_free(&(*wire)->in);
    mem_free(*wire);
    *wire = NULL;
}

bool wire_connect(struct wire *w) { (void)w; return connections++ < 8; }
bool wire_start_tls(struct wire *w) { return w->tls = (take_octet(&from_server) & 1) == 0; }
const char *wire_distrust(const struct wire *w) { (void)w; return NULL; }
const char *wire_error(const struct wire *w) { (void)w; return "gone"; }
bool wire_stopped(const struct wire *w) { (void)w; return false; }
bool wire_hopeless(const struct wire *w) { (void)w; return false; }

/* One command a line; nothing that deletes; no secret in the clear. */
bool wire_send(struct wire *w, struct span octets)
{
    MUST(octets.len >= 2 && memcmp(octets.at + octets.len - 2, "\r\n", 2) == 0);
    MUST(memmem(octets.at, octets.len, "DELE", 4) == NULL && memchr(octets.at, '\0', octets.len) == NULL);
    MUST(w->tls || plaintext_allowed || memmem(octets.at, octets.len, "sesame", 6) == NULL);
    return true;
}

static bool more(struct wire *w)
{
    struct span piece = cut(&cuts, &from_server);

    buf_add(&w->in, piece.at, piece.len);
    return piece.len > 0;
}

static void take_lent(struct wire *w)
{
    buf_consume(&w->in, w->lent);
    w->lent = 0;
}

bool wire_line(struct wire *w, struct span *line_r, bool *lf_alone_r)
{
    take_lent(w);
    for (;;) {
        struct span in = buf_span(&w->in);
        const char *lf = in.len > 0 ? memchr(in.at, '\n', in.len) : NULL;

        if (lf != NULL) {
            size_t len = (size_t)(lf - in.at);
            const bool cr = len > 0 && lf[-1] == '\r';

            w->lent = len + 1;
            *line_r = (struct span){ in.at, len - cr };
            if (lf_alone_r != NULL)
                *lf_alone_r = !cr;
            return true;
        }
        if (!more(w))
            return false;
    }
}

bool wire_octets(struct wire *w, struct span *octets_r)
{
    take_lent(w);
    if (buf_left(&w->in) == 0 && !more(w))
        return false;
    *octets_r = buf_span(&w->in);
    return true;
}

void wire_take(struct wire *w, size_t octets) { buf_consume(&w->in, octets); }

/* ---------------------------------------------------------------------- the import */

static bool every_other(void *arg, const struct source_item *it)
{
    unsigned *last = arg;

    MUST(it->number == *last + 1);
    *last = it->number;
    return it->number % 2 == 1;
}

static void read_all(struct source *s, unsigned take)
{
    struct source_item it;
    unsigned last = 0, number = 0;

    if (take > 0)
        source_choose(s, every_other, &last);
    while (source_broken(s) == NULL && source_next(s, &it) == 1) {
        MUST(it.number == ++number && it.reject == NULL && it.end >= 0);
        if (take > 1 && it.number % 2 == 0)
            continue;
        MUST(source_fetch(&it) == (it.fd >= 0));
        if (it.fd >= 0)
            MUST(it.end > 0 && lseek(it.fd, 0, SEEK_END) == it.end && it.received >= 0 && it.reject == NULL);
        else
            MUST(it.reject != NULL || source_broken(s) != NULL);
    }
    source_choose(s, NULL, NULL);       /* nobody asks for `last` any more */
}

static void check_pure(struct span in)
{
    struct span line = exact(in), rest;
    struct pop3_reply r = pop3_reply(line);
    struct pop3_capa capa = { .stls = false };
    struct pop3_address address;
    char *text = exact_string(in);
    uint64_t octets;
    unsigned seconds;
    uint32_t number;
    int64_t when;

    MUST(r.code.len + r.text.len <= line.len);
    (void)pop3_code(&r, &seconds);
    MUST(seconds <= 86400);
    if (pop3_numbered(line, &number, &rest)) {
        MUST(number > 0 && rest.len < line.len);
        (void)pop3_octets(rest, &octets);
    }
    pop3_capa(&capa, line);
    MUST(received_time(line, &when) == RECEIVED_NOTHING || when >= 0);
    if (pop3_address(text, &address) == NULL) {
        MUST(address.host[0] != '\0' && strchr(address.host, '/') == NULL && atoi(address.port) > 0);
        pop3_address_free(&address);
    }
    free(text);
    exact_free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    const uint8_t flags = take_octet(&in);
    const struct pop3_address address = { .tls = (flags & 1) != 0, .host = (char[]){ "old" }, .port = (char[]){ "1" } };
    const char *const masters[] = { NULL, "m", "*m", NULL };
    const struct source_pop3_how how = {
        .pop3 = { .address = &address, .user = "u", .secret = SPAN_OF("sesame"), .master = masters[flags >> 1 & 3],
                  .plaintext = (flags & 8) != 0, .timeout = 1 },
        .url = "pop://old",
    };
    struct source *s;
    char *why = NULL;

    check_pure(in);
    cuts = take_cuts(&in);
    from_server = in;
    plaintext_allowed = (flags & 8) != 0;
    connections = 0;
    s = source_pop3_new(&how, &why);
    MUST((s == NULL) == (why != NULL));
    mem_drop(&why);
    if (s == NULL)
        return 0;
    read_all(s, flags >> 4 & 3);
    if (source_broken(s) == NULL && (flags & 64) != 0) {
        source_choose(s, NULL, NULL);
        source_again(s);
        read_all(s, 0);
    }
    source_free(&s);
    return 0;
}
