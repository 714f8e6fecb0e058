/* Names that clients and mail servers send: the canonical spelling of a canonical spelling is itself. */
#include "auth/name.h"
#include "daemon/base/utf8.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct span domain = exact(take_text(&in)), name = exact(in);
    char address[NAME_ADDRESS_MAX + 1], again[NAME_ADDRESS_MAX + 1], canonical[NAME_DOMAIN_MAX + 1], twice[NAME_DOMAIN_MAX + 1];
    const char *why;

    (void)utf8_valid(name);
    if (name_canonical(name, domain, address, &why)) {
        MUST(strlen(address) <= NAME_ADDRESS_MAX && strchr(address, '@') != NULL);
        for (const char *c = address; *c != '\0'; c++)
            MUST((unsigned char)*c >= ' ' && *c != 0x7F);
        MUST(utf8_valid(span_str(address)));
        MUST(name_canonical(span_str(address), SPAN_OF(""), again, &why) && strcmp(address, again) == 0);
    } else {
        MUST(address[0] == '\0');
    }
    if (name_domain(name, canonical, &why)) {
        MUST(strlen(canonical) <= NAME_DOMAIN_MAX);
        MUST(name_domain(span_str(canonical), twice, &why) && strcmp(canonical, twice) == 0);
    }
    exact_free(domain);
    exact_free(name);
    return 0;
}
