/*
 * Stored secrets, as the database of another program may have them, and the
 * file of keys. Nothing here may be slow, whatever a secret says it costs.
 */
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/scheme/scheme.h"
#include "auth/scheme/scram.h"
#include "auth/scheme/seal.h"
#include "auth/settings.h"
#include "tests/fuzz/fuzz.h"

static struct keyring *keyring;

static struct keyring *load(struct span text)
{
    char path[64], error[KEYRING_ERROR_MAX];
    int fd = memfd_create("keys", MFD_CLOEXEC);
    struct keyring *k;

    MUST(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text.at, text.len) == (ssize_t)text.len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    k = keyring_load(path, error);
    close(fd);
    return k;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    MUST(sodium_init() >= 0);
    keyring = load(SPAN_OF("k1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"));
    MUST(keyring != NULL);
    return 0;
}

static void check_stored(const char *stored)
{
    static const struct auth_settings settings = { .auth_argon2_memory = 19922944, .auth_argon2_passes = 2 };
    struct scram_verifier v;
    const char *error = NULL;

    if (scheme_known(stored, &error) == 0)
        MUST(error != NULL);
    /* Only what is a digest, or a text: other schemes take their time, and end in a library. */
    else if (strncasecmp(stored, "{S", 2) == 0 || strncasecmp(stored, "{M", 2) == 0 || strncasecmp(stored, "{PLAIN}", 7) == 0)
        if (strstr(stored, "CRYPT") == NULL && strchr(stored, '$') == NULL)
            (void)scheme_verify(stored, SPAN_OF("secret"), &error);
    char name[SCHEME_NAME_MAX], verifier[SCRAM_TEXT_MAX];
    bool sha1;

    scheme_name(stored, name);
    MUST(strlen(name) < sizeof name);
    if (scram_read(stored, &sha1, verifier))
        MUST(scram_parse(verifier, sha1, &v));
    (void)scheme_plain(stored);
    (void)scheme_is_locked(stored);
    (void)scheme_costs_as_new(stored, &settings);
    (void)scram_parse(stored, false, &v);
    (void)scram_parse(stored, true, &v);
}

static void check_sealed(const char *stored)
{
    static const struct seal_row row = { { 1 }, "password", { "", 0 } };
    char text[SCHEME_TEXT_MAX], sealed[SEAL_TEXT_MAX], back[SCHEME_TEXT_MAX];
    struct span id;
    const char *error = NULL;

    if (seal_is(stored, &id))
        MUST(id.at >= stored && id.at + id.len <= stored + strlen(stored));
    /* Nobody makes one by chance. */
    MUST(seal_open(keyring, &row, stored, text, &error) < 0 || !seal_is(stored, &id));
    if (seal_close(keyring, &row, stored, sealed))
        MUST(seal_open(keyring, &row, sealed, back, &error) == 0 && strcmp(back, stored) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    char *stored = exact_string(in);
    struct keyring *other;
    struct span name;

    check_stored(stored);
    check_sealed(stored);
    for (int binds = 0; binds < 2; binds++)
        if (scram_first_ok(in, binds, &name) && name.len > 0)
            MUST(name.at > in.at && name.at + name.len <= in.at + in.len);
    other = load(in);
    if (other != NULL)
        MUST(strlen(keyring_first(other)) <= SEAL_ID_MAX);
    keyring_free(&other);
    free(stored);
    return 0;
}
