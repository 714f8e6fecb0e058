/* Small ones: base64, numbers, text for the log, addresses of clients, connection strings, lists of networks, users and mechanisms. */
#include <sodium.h>

#include "auth/mechanism.h"
#include "daemon/base/base64.h"
#include "daemon/base/conninfo.h"
#include "daemon/base/list.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"
#include "daemon/base/num.h"
#include "daemon/session/trust.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return sodium_init() < 0 ? 1 : 0;
}

/* What is taken is what libsodium would have written. */
static void check_base64(struct span in, enum base64_kind kind, int variant)
{
    unsigned char octets[256];
    char again[512];
    size_t len;

    if (!base64_decode(in, kind, octets, sizeof octets, &len))
        return;
    MUST(len <= sizeof octets);
    sodium_bin2base64(again, sizeof again, octets, len, variant);
    MUST(span_is(span_str(again), in));
}

static void check_log_text(struct span in)
{
    struct log_quoted q = log_text(in);

    for (const char *c = q.s; *c != '\0'; c++)
        MUST(*c >= ' ' && *c <= '~');
}

static void check_network(const char *text)
{
    struct network_address a;
    char shown[NETWORK_TEXT_SIZE], *error = NULL;
    struct network_list *list = network_list_new(text, &error);

    MUST((list == NULL) == (error != NULL));
    mem_drop(&error);
    if (network_of_peer(text, &a)) {
        (void)(list != NULL && network_list_has(list, &a));
        network_cut(&a, 64);
        network_text(&a, 64, shown);
    }
    network_list_free(&list);
}

static void check_others(const char *text, struct span in)
{
    char *error = NULL, *conninfo;
    struct span wrong;
    struct trust *trust;
    uint64_t n;
    unsigned set;
    enum mechanism m;

    if (num_parse(in, UINT64_MAX, &n) == 1) {
        char digits[24];
        size_t len = num_format(digits, n);
        MUST(len <= in.len && memcmp(digits, in.at + in.len - len, len) == 0);
    }
    (void)list_words(in, mechanism_names, &set, &wrong);
    (void)mechanism_find(in, &m);
    /* Names of users are looked up in files, which is slow. */
    if (strstr(text, "user:") == NULL) {
        trust = trust_new(text, &error);
        MUST((trust == NULL) == (error != NULL));
        mem_drop(&error);
        trust_free(&trust);
    }
    error = NULL;
    conninfo = conninfo_merge(text, "user=postern_mail", "fuzz", &error);
    MUST((conninfo == NULL) == (error != NULL));
    mem_free(conninfo);
    mem_drop(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = exact((struct span){ (const char *)data, size });
    char *text = exact_string(in);

    check_base64(in, BASE64_PADDED, sodium_base64_VARIANT_ORIGINAL);
    check_base64(in, BASE64_URL, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    check_log_text(in);
    check_network(text);
    check_others(text, in);
    free(text);
    exact_free(in);
    return 0;
}
