/* Headers of the PROXY protocol, which is told the same however much of the stream is there. */
#include "daemon/net/proxy.h"
#include "tests/fuzz/fuzz.h"

enum { PREFIXES_MAX = 300 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void check_text(const char *text, size_t size)
{
    MUST(memchr(text, '\0', size) != NULL);
    for (; *text != '\0'; text++)
        MUST(*text > ' ' && *text <= '~');
}

static int parse(struct span in, struct proxy_origin *o)
{
    const char *wrong = NULL;
    struct span copy = exact(in);
    int n;

    memset(o, 0x55, sizeof *o);
    n = proxy_parse(copy, o, &wrong);
    MUST(n <= (int)in.len && n <= PROXY_MAX && (n != -1 || wrong != NULL));
    exact_free(copy);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct proxy_origin o, part;
    int n = parse(in, &o);

    if (n > 0) {
        if (o.known) {
            check_text(o.peer, sizeof o.peer);
            check_text(o.local, sizeof o.local);
        }
        check_text(o.tls_version, sizeof o.tls_version);
        check_text(o.tls_cipher, sizeof o.tls_cipher);
        check_text(o.client_name, sizeof o.client_name);
    }
    for (size_t len = 0; len < size && len < PREFIXES_MAX; len++) {
        int early = parse((struct span){ in.at, len }, &part);

        if (n > 0)
            MUST(early == (len < (size_t)n ? 0 : n));
        else if (n == 0)
            MUST(early == 0);
    }
    return 0;
}
