/*
 * seal.c - the keys, and boxes around stored secrets (see seal.h).
 *
 * Owns the form of both. Keys live in memory that is locked and kept out of
 * core files, and leave it only into libsodium.
 */
#include "auth/scheme/seal.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

#define PREFIX "{SEALED}"
enum {
    KEY = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    BASE64 = sodium_base64_VARIANT_ORIGINAL,
    KEYS_MAX = 16,
    ROW_MAX = 8 + 32 + 1 + SEAL_LABEL_MAX,
};

struct keyring {
    size_t count;
    struct key {
        char id[SEAL_ID_MAX + 1];
        unsigned char key[KEY];
    } keys[KEYS_MAX];
};

static bool id_ok(struct span id)
{
    for (size_t i = 0; i < id.len; i++)
        if (!isalnum((unsigned char)id.at[i]) && id.at[i] != '-' && id.at[i] != '_')
            return false;
    return id.len > 0 && id.len <= SEAL_ID_MAX;
}

static const struct key *find(const struct keyring *r, struct span id)
{
    for (size_t i = 0; i < r->count; i++)
        if (span_is(id, span_str(r->keys[i].id)))
            return &r->keys[i];
    return NULL;
}

/* NULL, or what is wrong with the line. */
static const char *read_line(struct keyring *r, char *line)
{
    size_t len = 0;
    const char *end;

    line[strcspn(line, "\r\n")] = '\0';
    char *at = line + strspn(line, " \t");
    if (*at == '\0' || *at == '#')
        return NULL;
    struct span id = { at, strcspn(at, " \t") };
    at += id.len;
    at += strspn(at, " \t");
    if (!id_ok(id))
        return "the id of a key must have 1 to 32 letters, digits, - and _";
    if (find(r, id) != NULL)
        return "two keys have the same id";
    if (r->count == KEYS_MAX)
        return "more than 16 keys";
    struct key *k = &r->keys[r->count];
    if (sodium_base642bin(k->key, KEY, at, strlen(at), " \t", &len, &end, BASE64) != 0 || *end != '\0' || len != KEY)
        return "a key must be 32 octets in base64";
    memcpy(k->id, id.at, id.len);
    r->count++;
    return NULL;
}

static const char *read_file(struct keyring *r, FILE *file)
{
    char line[256];
    const char *problem = NULL;
    struct stat st;

    /* Whoever reads the database and this file has the passwords. */
    if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode))
        return "it is not a regular file";
    if ((st.st_mode & 077) != 0)
        return "it is accessible to others than its owner: chmod 400";
    /* Keys stay out of stdio's buffer, which nobody wipes. */
    setvbuf(file, NULL, _IONBF, 0);
    while (problem == NULL && fgets(line, sizeof line, file) != NULL)
        problem = strlen(line) == sizeof line - 1 ? "a line is too long" : read_line(r, line);
    secret_wipe(line, sizeof line);
    if (problem == NULL && ferror(file))
        problem = strerror(errno);
    return problem == NULL && r->count == 0 ? "it contains no key" : problem;
}

struct keyring *keyring_load(const char *path, char error_r[KEYRING_ERROR_MAX])
{
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        snprintf(error_r, KEYRING_ERROR_MAX, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    struct keyring *r = sodium_malloc(sizeof *r);
    if (r == NULL) {
        snprintf(error_r, KEYRING_ERROR_MAX, "cannot read %s: could not lock memory for keys", path);
        fclose(file);
        return NULL;
    }
    memset(r, 0, sizeof *r);
    const char *problem = read_file(r, file);
    fclose(file);
    if (problem != NULL) {
        snprintf(error_r, KEYRING_ERROR_MAX, "%s: %s", path, problem);
        keyring_free(&r);
        return NULL;
    }
    sodium_mprotect_readonly(r);
    return r;
}

void keyring_free(struct keyring **keyring)
{
    /* Wipes it, as libsodium promises. */
    sodium_free(*keyring);
    *keyring = NULL;
}

const char *keyring_first(const struct keyring *r)
{
    return r->keys[0].id;
}

/* The oldest key is the last one (the first one seals), and stays last when others are added. */
void keyring_derive(const struct keyring *r, const char *purpose, unsigned char out[KEYRING_DERIVED])
{
    ASSERT(r->count > 0);
    crypto_generichash(out, KEYRING_DERIVED, (const unsigned char *)purpose, strlen(purpose), r->keys[r->count - 1].key,
                       KEY);
}

void keyring_fingerprint(const struct keyring *r, unsigned char out[KEYRING_DERIVED])
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, KEYRING_DERIVED);
    for (size_t i = 0; i < r->count; i++)
        crypto_generichash_update(&state, r->keys[i].key, KEY);
    crypto_generichash_final(&state, out, KEYRING_DERIVED);
    secret_wipe(&state, sizeof state);
}

bool keyring_new_line(const char *id, char out[KEYRING_LINE_MAX])
{
    unsigned char key[KEY];
    char text[sodium_base64_ENCODED_LEN(KEY, BASE64)];

    if (!id_ok(span_str(id)))
        return false;
    randombytes_buf(key, sizeof key);
    snprintf(out, KEYRING_LINE_MAX, "%s %s", id, sodium_bin2base64(text, sizeof text, key, sizeof key, BASE64));
    secret_wipe(key, sizeof key);
    secret_wipe(text, sizeof text);
    return true;
}

bool seal_is(const char *stored, struct span *id_r)
{
    const char *colon;

    if (strncmp(stored, PREFIX, strlen(PREFIX)) != 0)
        return false;
    stored += strlen(PREFIX);
    colon = strchr(stored, ':');
    if (id_r != NULL)
        *id_r = (struct span){ stored, colon != NULL ? (size_t)(colon - stored) : strlen(stored) };
    return true;
}

/* What is authenticated beside the secret: no two rows have the same. 0 if it does not fit. */
static size_t row_octets(const struct seal_row *row, unsigned char out[ROW_MAX])
{
    size_t kind = strlen(row->kind);

    if (kind > 32 || row->label.len > SEAL_LABEL_MAX)
        return 0;
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)((uint64_t)row->mailbox.number >> (56 - 8 * i));
    memcpy(out + 8, row->kind, kind + 1);
    if (row->label.len > 0)
        memcpy(out + 8 + kind + 1, row->label.at, row->label.len);
    return 8 + kind + 1 + row->label.len;
}

int seal_open(const struct keyring *r, const struct seal_row *row, const char *sealed, char out[SCHEME_TEXT_MAX],
              const char **error_r)
{
    unsigned char box[NONCE + SCHEME_TEXT_MAX + TAG], beside[ROW_MAX];
    unsigned long long got = 0;
    size_t len = 0;
    struct span id = { "", 0 };
    const char *end;

    out[0] = '\0';
    if (r == NULL) {
        *error_r = "it is sealed, but no key is configured: see auth_key_file in postern.conf(5)";
        return -1;
    }
    seal_is(sealed, &id);
    const struct key *k = find(r, id);
    if (k == NULL) {
        *error_r = "it is sealed with a key that is not in the key file";
        return -1;
    }
    const char *text = id.at + id.len + 1;
    size_t beside_len = row_octets(row, beside);
    if (id.at[id.len] != ':' || sodium_base642bin(box, sizeof box, text, strlen(text), NULL, &len, &end, BASE64) != 0 ||
        *end != '\0' || len < NONCE + TAG || beside_len == 0 || len - NONCE - TAG >= SCHEME_TEXT_MAX ||
        crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)out, &got, NULL, box + NONCE, len - NONCE, beside,
                                                   beside_len, box, k->key) != 0) {
        *error_r = "its seal is broken: it was changed, belongs to another mailbox, or the key is a wrong one";
        out[0] = '\0';
        return -1;
    }
    out[got] = '\0';
    return 0;
}

bool seal_close(const struct keyring *r, const struct seal_row *row, const char *text, char out[SEAL_TEXT_MAX])
{
    unsigned char box[NONCE + SCHEME_TEXT_MAX + TAG], beside[ROW_MAX];
    unsigned long long made = 0;
    size_t len = strlen(text), beside_len = row_octets(row, beside);
    int head;

    _Static_assert(sizeof PREFIX + SEAL_ID_MAX + 1 + sodium_base64_ENCODED_LEN(sizeof box, BASE64) <= SEAL_TEXT_MAX,
                   "room for the longest");
    if (len >= SCHEME_TEXT_MAX || beside_len == 0)
        return false;
    randombytes_buf(box, NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(box + NONCE, &made, (const unsigned char *)text, len, beside, beside_len,
                                               NULL, box, r->keys[0].key);
    head = snprintf(out, SEAL_TEXT_MAX, PREFIX "%s:", r->keys[0].id);
    sodium_bin2base64(out + head, SEAL_TEXT_MAX - (size_t)head, box, NONCE + (size_t)made, BASE64);
    return true;
}
